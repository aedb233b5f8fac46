/*
 * The table is mapped in pieces of 256 blocks (1 MiB, about 1.8 GiB of the file it describes). A
 * piece is mapped when its first block is needed and stays where it is, so readers follow a pointer
 * and no lock. Memory beyond the end of the table's file must not be touched, nor that of holes (on
 * tmpfs even reading it takes space): a block is given space first, by fallocate, so that a full
 * disk is an error here and not a SIGBUS later. Which blocks are in use is therefore noted beside
 * the map.
 */
#include "pages/side.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pages/page.h"

#define PIECE_BLOCKS 256u
#define PIECE_BYTES ((size_t)PIECE_BLOCKS * SIDE_BLOCK)
#define PIECES ((SIDE_MAX_PAGES / SIDE_PAGES) / PIECE_BLOCKS + 1)
#define PIECES_INLINE 8 /* about 14 GiB; more only for files of that size */

struct piece {
    _Atomic(struct side_block *) blocks;      /* NULL: not mapped */
    _Atomic uint64_t used[PIECE_BLOCKS / 64]; /* a bit a block: its memory may be touched */
};

struct side {
    struct disk_file *disk;
    uint64_t file;
    bool shared;
    pthread_mutex_t grow; /* covers bytes, used, and the making of pieces and blocks */
    _Atomic uint64_t bytes;
    uint32_t used;
    uint64_t unclean;        /* blocks */
    uint8_t *unclean_blocks; /* a bit each, as found by side_open; NULL: none */
    struct piece pieces[PIECES_INLINE];
    struct piece *_Atomic more; /* PIECES of them, for huge files; made by side_cover */
};

_Static_assert(sizeof(struct side_block) == SIDE_BLOCK, "a block is 4096 bytes on disk");

/* ---- sealed values ---- */

static uint64_t seal(uint64_t file, uint32_t tag, uint32_t value)
{
    struct {
        uint64_t file;
        uint32_t tag, value;
    } sealed = {file, tag, value};

    return (uint64_t)crc32c(&sealed, sizeof(sealed)) << 32 | value;
}

enum { TAG_LIMIT = 1, TAG_USED = 2 };

static uint32_t header_crc(const struct side_block *b)
{
    struct {
        uint32_t magic, version;
        uint64_t file;
        uint32_t number, zero;
    } header = {b->magic, b->version, b->file, b->number, 0};

    return crc32c(&header, sizeof(header));
}

static uint32_t body_crc(const struct side_block *b)
{
    return crc32c(b->stored, sizeof(b->stored) + sizeof(b->allocated) + sizeof(b->crc));
}

static bool is_zero(const void *bytes, size_t len)
{
    const char *p = bytes;

    return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

/* ---- blocks ---- */

static uint64_t blocks_for(uint64_t pages)
{
    return pages ? (pages - 1) / SIDE_PAGES + 1 : 1;
}

static struct piece *piece_of(const struct side *s, uint64_t piece)
{
    struct piece *more;

    if (piece < PIECES_INLINE)
        return &((struct side *)s)->pieces[piece];
    more = ((struct side *)s)->more;
    return more ? &more[piece] : NULL;
}

/* The memory of a block, which only one in use has space for; NULL beyond the end. */
static struct side_block *block_at(const struct side *s, uint64_t number)
{
    struct piece *piece = piece_of(s, number / PIECE_BLOCKS);
    struct side_block *blocks = piece ? piece->blocks : NULL;

    if (!blocks || (number + 1) * SIDE_BLOCK > s->bytes)
        return NULL;
    return blocks + number % PIECE_BLOCKS;
}

/* The block, if it is in use. */
static struct side_block *used_block(const struct side *s, uint64_t number)
{
    struct piece *piece = piece_of(s, number / PIECE_BLOCKS);
    uint64_t i = number % PIECE_BLOCKS;

    return piece && piece->used[i / 64] >> i % 64 & 1 ? piece->blocks + i : NULL;
}

static void set_used(struct side *s, uint64_t number)
{
    uint64_t i = number % PIECE_BLOCKS;

    piece_of(s, number / PIECE_BLOCKS)->used[i / 64] |= UINT64_C(1) << i % 64;
    s->used++;
}

static int map_piece(struct side *s, uint64_t number)
{
    struct piece *piece;
    struct side_block *memory;

    if (number >= PIECES_INLINE && !s->more) {
        s->more = calloc(PIECES, sizeof(struct piece));
        if (!s->more)
            return -ENOMEM;
    }
    piece = piece_of(s, number);
    if (piece->blocks)
        return 0;
    memory = s->disk->ops->map(s->disk, number * PIECE_BYTES, PIECE_BYTES, s->shared);
    if (!memory)
        return -errno;
    piece->blocks = memory;
    return 0;
}

static int map_until(struct side *s, uint64_t bytes)
{
    uint64_t piece;
    int rc = 0;

    for (piece = 0; rc == 0 && piece * PIECE_BYTES < bytes; piece++)
        rc = map_piece(s, piece);
    return rc;
}

int side_cover(struct side *s, uint64_t pages)
{
    uint64_t bytes = blocks_for(pages) * SIDE_BLOCK;
    int rc = 0;

    if (pages > SIDE_MAX_PAGES)
        return -EFBIG;
    if (bytes <= s->bytes)
        return 0;
    pthread_mutex_lock(&s->grow);
    if (bytes > s->bytes) {
        rc = map_until(s, bytes);
        if (rc == 0)
            rc = s->disk->ops->truncate(s->disk, bytes);
        if (rc == 0)
            s->bytes = bytes;
    }
    pthread_mutex_unlock(&s->grow);
    return rc;
}

/* Put a block into use: it counts from the moment its magic is there. */
static int begin_block(struct side *s, uint64_t number)
{
    struct side_block *b = block_at(s, number), *first;
    int rc;

    if (!b)
        return -EIO; /* not covered: a mistake of the caller */
    rc = s->disk->ops->allocate(s->disk, 0, number * SIDE_BLOCK, SIDE_BLOCK);
    if (rc < 0)
        return rc;
    b->version = SIDE_VERSION;
    b->file = s->file;
    b->number = (uint32_t)number;
    b->magic = 0;
    b->header_crc = header_crc(&(struct side_block){
        .magic = SIDE_MAGIC, .version = SIDE_VERSION, .file = s->file, .number = b->number});
    if (number == 0) {
        b->limit = seal(s->file, TAG_LIMIT, SIDE_NO_LIMIT);
        b->used = seal(s->file, TAG_USED, 0);
    }
    __atomic_store_n(&b->magic, SIDE_MAGIC, __ATOMIC_RELEASE);
    set_used(s, number);
    first = block_at(s, 0);
    __atomic_store_n(&first->used, seal(s->file, TAG_USED, s->used), __ATOMIC_RELEASE);
    return 0;
}

int side_prepare(struct side *s, uint64_t page, uint64_t n)
{
    uint64_t number, last = (page + n - 1) / SIDE_PAGES;
    int rc = 0;

    for (number = page / SIDE_PAGES; rc == 0 && number <= last; number++) {
        if (used_block(s, number))
            continue;
        pthread_mutex_lock(&s->grow);
        if (!used_block(s, number))
            rc = begin_block(s, number);
        pthread_mutex_unlock(&s->grow);
    }
    return rc;
}

/* ---- opening ---- */

static struct side *side_new(struct disk_file *disk, uint64_t file, bool shared)
{
    struct side *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->disk = disk;
    s->file = file;
    s->shared = shared;
    pthread_mutex_init(&s->grow, NULL);
    return s;
}

void side_abandon(struct side *s)
{
    struct piece *piece;
    uint64_t i;

    if (!s)
        return;
    for (i = 0; i < PIECES && (piece = piece_of(s, i)); i++)
        if (piece->blocks)
            s->disk->ops->unmap(s->disk, piece->blocks, PIECE_BYTES);
    s->disk->ops->close(s->disk);
    pthread_mutex_destroy(&s->grow);
    free(s->unclean_blocks);
    free(s->more);
    free(s);
}

int side_create(struct disk *d, const char *path, uint64_t file, uint64_t limit, uint64_t pages,
                struct side **s, struct err *err)
{
    struct disk_file *disk;
    int rc = d->ops->open(d, path, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &disk);

    if (rc < 0)
        return err_set(err, -rc, "cannot create %s: %s", path, strerror(-rc));
    *s = side_new(disk, file, true);
    if (!*s) {
        disk->ops->close(disk);
        return err_set(err, ENOMEM, "no memory for %s", path);
    }
    rc = side_cover(*s, pages);
    if (rc == 0)
        rc = side_prepare(*s, 0, 1);
    if (rc < 0) {
        side_abandon(*s);
        *s = NULL;
        d->ops->remove(d, path);
        return err_set(err, -rc, "cannot write %s: %s", path, strerror(-rc));
    }
    side_lower_limit(*s, limit);
    return 0;
}

static int mark_unclean(struct side *s, uint64_t number)
{
    if (!s->unclean_blocks)
        s->unclean_blocks = calloc(s->bytes / SIDE_BLOCK / 8 + 1, 1);
    if (!s->unclean_blocks)
        return -ENOMEM;
    s->unclean_blocks[number / 8] |= (uint8_t)(1u << number % 8);
    s->unclean++;
    return 0;
}

/* A block without magic: a hole, or one whose making was cut short. */
static int check_unused(struct side *s, struct side_block *b)
{
    if (!is_zero(b->stored, SIDE_BLOCK - offsetof(struct side_block, stored)))
        return -EIO;
    if (s->shared && !is_zero(b, SIDE_BLOCK))
        memset(b, 0, SIDE_BLOCK);
    return 0;
}

/* The offset where the next data begins, at or after `from`. */
static int64_t next_data(struct disk_file *f, uint64_t from)
{
    int64_t at = f->ops->seek(f, from, SEEK_DATA);

    return at == -ENXIO ? INT64_MAX : at;
}

/* NULL, or what is wrong with a block that has data. */
static const char *check_block(struct side *s, uint64_t number)
{
    struct side_block *b = block_at(s, number);

    if (b->magic == 0)
        return check_unused(s, b) < 0 ? "has lost its header" : NULL;
    if (b->magic != SIDE_MAGIC)
        return "is none";
    if (b->version != SIDE_VERSION)
        return "is of another version";
    if (b->header_crc != header_crc(b) || b->number != number)
        return "has a damaged header";
    if (b->file != s->file)
        return "belongs to another file";
    set_used(s, number);
    if (b->clean != 1 || b->body_crc != body_crc(b))
        return mark_unclean(s, number) < 0 ? "does not fit into memory" : NULL;
    return NULL;
}

static const char *check_first(const struct side *s)
{
    const struct side_block *b = used_block(s, 0);

    if (!b)
        return "is empty";
    if (b->limit != seal(s->file, TAG_LIMIT, (uint32_t)b->limit) ||
        b->used != seal(s->file, TAG_USED, (uint32_t)b->used))
        return "has a damaged header";
    if ((uint32_t)b->used > s->used)
        return "has lost blocks";
    return NULL;
}

static const char *check_all(struct side *s, uint64_t pages)
{
    const char *wrong = NULL;
    int64_t data = 0;

    if (s->bytes % SIDE_BLOCK || s->bytes / SIDE_BLOCK < blocks_for(pages))
        return "is too short";
    while (!wrong && (uint64_t)data < s->bytes) {
        data = next_data(s->disk, (uint64_t)data);
        if (data < 0)
            return strerror((int)-data);
        if ((uint64_t)data >= s->bytes)
            break;
        wrong = check_block(s, (uint64_t)data / SIDE_BLOCK);
        data = data / SIDE_BLOCK * SIDE_BLOCK + SIDE_BLOCK;
    }
    return wrong ? wrong : check_first(s);
}

int side_open(struct disk *d, const char *path, uint64_t file, uint64_t pages, bool shared,
              struct side **result, struct err *err)
{
    struct disk_file *disk;
    struct stat st;
    struct side *s;
    const char *wrong;
    int rc = d->ops->open(d, path, shared ? DISK_WRITE : 0, &disk);

    if (rc < 0)
        return err_set(err, EIO, "cannot open the side page table %s: %s", path, strerror(-rc));
    s = side_new(disk, file, shared);
    if (!s) {
        disk->ops->close(disk);
        return err_set(err, ENOMEM, "no memory for %s", path);
    }
    rc = disk->ops->file_stat(disk, &st);
    if (rc == 0 && (uint64_t)st.st_size > blocks_for(SIDE_MAX_PAGES) * SIDE_BLOCK)
        rc = -EFBIG;
    if (rc == 0) {
        s->bytes = (uint64_t)st.st_size;
        rc = map_until(s, s->bytes);
    }
    wrong = rc < 0 ? strerror(-rc) : check_all(s, pages);
    if (wrong) {
        side_abandon(s);
        return err_set(err, EIO, "the side page table %s %s", path, wrong);
    }
    *result = s;
    return 0;
}

uint64_t side_unclean_blocks(const struct side *s)
{
    return s->unclean;
}

/* ---- readers ---- */

static bool bit(const uint8_t *bits, uint64_t i)
{
    return __atomic_load_n(&bits[i / 8], __ATOMIC_ACQUIRE) >> i % 8 & 1;
}

bool side_stored(const struct side *s, uint64_t page)
{
    const struct side_block *b = used_block(s, page / SIDE_PAGES);

    return b && bit(b->stored, page % SIDE_PAGES);
}

uint32_t side_crc(const struct side *s, uint64_t page)
{
    const struct side_block *b = used_block(s, page / SIDE_PAGES);

    return b ? __atomic_load_n(&b->crc[page % SIDE_PAGES], __ATOMIC_ACQUIRE) : 0;
}

uint64_t side_limit(const struct side *s)
{
    return (uint32_t)__atomic_load_n(&block_at(s, 0)->limit, __ATOMIC_ACQUIRE);
}

bool side_stored_from(const struct side *s, uint64_t page)
{
    uint64_t number = page / SIDE_PAGES, i = page % SIDE_PAGES;
    const struct side_block *b;

    for (; number < s->bytes / SIDE_BLOCK; number++, i = 0) {
        b = used_block(s, number);
        if (!b || is_zero(b->stored, sizeof(b->stored)))
            continue;
        for (; i < SIDE_PAGES; i++)
            if (bit(b->stored, i))
                return true;
    }
    return false;
}

/* ---- writers ---- */

static void set_bit(uint8_t *bits, uint64_t i)
{
    __atomic_fetch_or(&bits[i / 8], (uint8_t)(1u << i % 8), __ATOMIC_RELEASE);
}

static void clear_bit(uint8_t *bits, uint64_t i)
{
    __atomic_fetch_and(&bits[i / 8], (uint8_t) ~(1u << i % 8), __ATOMIC_RELEASE);
}

static void begin_change(struct side_block *b)
{
    if (__atomic_load_n(&b->clean, __ATOMIC_RELAXED))
        __atomic_store_n(&b->clean, 0, __ATOMIC_SEQ_CST);
}

static void put_crc(struct side_block *b, uint64_t i, uint32_t crc)
{
    begin_change(b);
    __atomic_store_n(&b->crc[i], crc, __ATOMIC_RELEASE);
    if (!bit(b->allocated, i))
        set_bit(b->allocated, i);
    if (!bit(b->stored, i))
        set_bit(b->stored, i);
}

static void erase(struct side_block *b, uint64_t i)
{
    if (!bit(b->stored, i) && !bit(b->allocated, i) && !b->crc[i])
        return;
    begin_change(b);
    clear_bit(b->stored, i);
    clear_bit(b->allocated, i);
    __atomic_store_n(&b->crc[i], 0, __ATOMIC_RELEASE);
}

void side_set(struct side *s, uint64_t page, uint32_t crc)
{
    put_crc(used_block(s, page / SIDE_PAGES), page % SIDE_PAGES, crc);
}

void side_set_allocated(struct side *s, uint64_t page, uint64_t n)
{
    struct side_block *b;

    for (; n; page++, n--) {
        b = used_block(s, page / SIDE_PAGES);
        if (!b || bit(b->allocated, page % SIDE_PAGES))
            continue;
        begin_change(b);
        set_bit(b->allocated, page % SIDE_PAGES);
    }
}

void side_clear(struct side *s, uint64_t page)
{
    struct side_block *b = used_block(s, page / SIDE_PAGES);

    if (b)
        erase(b, page % SIDE_PAGES);
}

void side_clear_from(struct side *s, uint64_t page)
{
    uint64_t number = page / SIDE_PAGES, i = page % SIDE_PAGES;
    struct side_block *b;

    for (; number < s->bytes / SIDE_BLOCK; number++, i = 0)
        if ((b = used_block(s, number)))
            for (; i < SIDE_PAGES; i++)
                erase(b, i);
}

void side_lower_limit(struct side *s, uint64_t limit)
{
    if (limit < side_limit(s))
        __atomic_store_n(&block_at(s, 0)->limit, seal(s->file, TAG_LIMIT, (uint32_t)limit),
                         __ATOMIC_SEQ_CST);
}

/* ---- rebuilding ---- */

/* The stored bit itself is no witness: where it contradicts checksum and data it is what is wrong.
 */
enum side_verdict side_judge(bool data, uint32_t crc_kept, uint32_t crc_found, bool all_zero)
{
    if (crc_kept)
        return crc_kept == crc_found ? SIDE_STORED : SIDE_DAMAGED;
    return data && !all_zero ? SIDE_DAMAGED : SIDE_ABSENT;
}

static void take_verdict(struct side_block *b, uint64_t i, enum side_verdict verdict,
                         uint32_t found, bool data)
{
    if (verdict == SIDE_ABSENT) {
        erase(b, i);
        if (data)
            set_bit(b->allocated, i);
        return;
    }
    if (verdict == SIDE_DAMAGED && !b->crc[i])
        b->crc[i] = found == 1 ? 2 : 1; /* any that cannot match: reading it is EIO */
    put_crc(b, i, b->crc[i]);
}

static int rebuild_page(struct side_block *b, uint64_t page, struct disk_file *diff, bool data,
                        struct side_findings *found)
{
    uint64_t i = page % SIDE_PAGES;
    char bytes[PAGE_BYTES] = {0};
    int64_t n = 0;
    enum side_verdict verdict;
    uint32_t crc;

    if (!data && !b->crc[i]) {
        erase(b, i);
        return 0;
    }
    if (data)
        n = diff->ops->read(diff, bytes, sizeof(bytes), page * PAGE_BYTES);
    if (n < 0)
        return (int)n;
    crc = page_crc(bytes, (size_t)n);
    verdict = side_judge(data, b->crc[i], crc, is_zero(bytes, (size_t)n));
    take_verdict(b, i, verdict, crc, data);
    if (verdict == SIDE_DAMAGED && found->damaged++ == 0)
        found->first_damaged = page;
    return 0;
}

static int rebuild_block(struct side *s, uint64_t number, struct disk_file *diff,
                         struct side_findings *found)
{
    struct side_block *b = used_block(s, number);
    uint64_t page = number * SIDE_PAGES, end = page + SIDE_PAGES;
    int64_t data = 0;
    int rc = 0;

    for (; rc == 0 && page < end; page++) {
        if (data < (int64_t)((page + 1) * PAGE_BYTES))
            data = next_data(diff, page * PAGE_BYTES);
        if (data < 0)
            return (int)data;
        rc = rebuild_page(b, page, diff, data < (int64_t)((page + 1) * PAGE_BYTES), found);
    }
    found->rebuilt++;
    return rc;
}

int side_rebuild(struct side *s, struct disk_file *diff, struct side_findings *found,
                 struct err *err)
{
    uint64_t number;
    int rc = 0;

    for (number = 0; s->unclean && rc == 0 && number < s->bytes / SIDE_BLOCK; number++) {
        if (!(s->unclean_blocks[number / 8] >> number % 8 & 1))
            continue;
        rc = rebuild_block(s, number, diff, found);
        if (rc < 0)
            return err_set(err, -rc, "cannot rebuild the side page table of file %llx: %s",
                           (unsigned long long)s->file, strerror(-rc));
        s->unclean_blocks[number / 8] &= (uint8_t) ~(1u << number % 8);
        s->unclean--;
    }
    return rc;
}

/* ---- an epoch's ---- */

static int clear_unless_whole(struct side *s, struct disk_file *diff, uint64_t page)
{
    char bytes[PAGE_BYTES];
    int64_t n = diff->ops->read(diff, bytes, sizeof(bytes), page * PAGE_BYTES);

    if (n < 0)
        return (int)n;
    if (page_crc(bytes, (size_t)n) != side_crc(s, page))
        side_clear(s, page);
    return 0;
}

int side_accept(struct side *s, struct disk_file *diff, uint64_t pages, bool check)
{
    uint64_t page;
    int rc = 0;

    for (page = 0; check && rc == 0 && page < pages; page++)
        if (side_stored(s, page))
            rc = clear_unless_whole(s, diff, page);
    if (rc == 0) {
        free(s->unclean_blocks);
        s->unclean_blocks = NULL;
        s->unclean = 0;
    }
    return rc;
}

/* ---- closing ---- */

static void clean_blocks(struct side *s)
{
    struct side_block *b;
    uint64_t number;

    for (number = 0; number < s->bytes / SIDE_BLOCK; number++) {
        b = used_block(s, number);
        if (!b || b->clean || (s->unclean && s->unclean_blocks[number / 8] >> number % 8 & 1))
            continue;
        b->body_crc = body_crc(b);
        __atomic_store_n(&b->clean, 1, __ATOMIC_RELEASE);
    }
}

int side_sync_page(struct side *s, uint64_t page)
{
    struct side_block *b = used_block(s, page / SIDE_PAGES);

    return b ? s->disk->ops->sync_map(s->disk, b, SIDE_BLOCK) : 0;
}

int side_sync(struct side *s)
{
    uint64_t piece, from;
    int rc = 0;

    clean_blocks(s);
    for (piece = 0; rc == 0 && (from = piece * PIECE_BYTES) < s->bytes; piece++)
        rc = s->disk->ops->sync_map(s->disk, piece_of(s, piece)->blocks,
                                    s->bytes - from < PIECE_BYTES ? s->bytes - from : PIECE_BYTES);
    return rc;
}

void side_close(struct side *s)
{
    if (s && s->shared)
        clean_blocks(s);
    side_abandon(s);
}
