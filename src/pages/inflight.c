#include "pages/inflight.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "pages/page.h"

/* The file, mapped whole. */
struct table {
    struct inflight_header header;
    struct inflight_slot slots[INFLIGHT_SLOTS];
};

#define TABLE_BYTES 12288u /* whole blocks of 4096 */
_Static_assert(sizeof(struct table) <= TABLE_BYTES, "the table fits");
_Static_assert(INFLIGHT_SLOTS < 64, "one word says which slots are taken");

struct inflight {
    struct disk_file *disk;
    struct table *table;
    bool shared, was_clean;
    pthread_mutex_t lock; /* covers taken */
    pthread_cond_t freed;
    uint64_t taken; /* a bit a slot */
};

static uint32_t header_crc(const struct inflight_header *h)
{
    return crc32c(h, offsetof(struct inflight_header, clean));
}

static uint32_t slot_check(const struct inflight_slot *s)
{
    return crc32c(&s->file, sizeof(*s) - offsetof(struct inflight_slot, file));
}

int inflight_create(struct disk *d, const char *path, struct err *err)
{
    static const struct table empty;
    struct table *t = malloc(TABLE_BYTES);
    int rc;

    if (!t)
        return err_set(err, ENOMEM, "no memory for %s", path);
    memset(t, 0, TABLE_BYTES);
    *t = empty;
    memcpy(t->header.magic, INFLIGHT_MAGIC, sizeof(t->header.magic));
    t->header.version = INFLIGHT_VERSION;
    t->header.clean = 1;
    t->header.header_crc = header_crc(&t->header);
    t->header.names_crc = crc32c(&t->header.names_bytes, sizeof(t->header.names_bytes));
    rc = disk_replace_file(d, path, t, TABLE_BYTES);
    free(t);
    return rc < 0 ? err_set(err, -rc, "cannot write %s: %s", path, strerror(-rc)) : 0;
}

static const char *check_slots(const struct inflight *f)
{
    const struct inflight_slot *s;
    unsigned i;

    for (i = 0; i < INFLIGHT_SLOTS; i++) {
        s = &f->table->slots[i];
        if (s->kind == INFLIGHT_FREE)
            continue;
        if (f->was_clean || s->kind > INFLIGHT_TRUNCATE || s->check != slot_check(s) ||
            s->pages > INFLIGHT_PAGES)
            return "is damaged";
    }
    return NULL;
}

static const char *check_table(const struct inflight *f)
{
    const struct inflight_header *h = &f->table->header;

    if (memcmp(h->magic, INFLIGHT_MAGIC, sizeof(h->magic)) != 0)
        return "is none of asofs";
    if (h->version != INFLIGHT_VERSION)
        return "is of another version";
    if (h->header_crc != header_crc(h) || h->clean > 1)
        return "is damaged";
    if (h->clean && h->names_crc != crc32c(&h->names_bytes, sizeof(h->names_bytes)))
        return "is damaged";
    return check_slots(f);
}

static const char *map_table(struct inflight *f)
{
    struct stat st;
    unsigned i;
    int rc = f->disk->ops->file_stat(f->disk, &st);

    if (rc < 0)
        return strerror(-rc);
    if (st.st_size != TABLE_BYTES)
        return "has a wrong size";
    f->table = f->disk->ops->map(f->disk, 0, TABLE_BYTES, f->shared);
    if (!f->table)
        return strerror(errno);
    f->was_clean = f->table->header.clean == 1;
    for (i = 0; i < INFLIGHT_SLOTS; i++)
        if (f->table->slots[i].kind != INFLIGHT_FREE)
            f->taken |= UINT64_C(1) << i;
    return check_table(f);
}

static void free_inflight(struct inflight *f)
{
    if (f->table)
        f->disk->ops->unmap(f->disk, f->table, TABLE_BYTES);
    f->disk->ops->close(f->disk);
    pthread_mutex_destroy(&f->lock);
    pthread_cond_destroy(&f->freed);
    free(f);
}

int inflight_open(struct disk *d, const char *path, bool shared, struct inflight **result,
                  struct err *err)
{
    struct disk_file *disk;
    struct inflight *f;
    const char *wrong;
    int rc = d->ops->open(d, path, shared ? DISK_WRITE : 0, &disk);

    if (rc < 0)
        return err_set(err, -rc, "cannot open %s: %s", path, strerror(-rc));
    f = calloc(1, sizeof(*f));
    if (!f) {
        disk->ops->close(disk);
        return err_set(err, ENOMEM, "no memory for %s", path);
    }
    f->disk = disk;
    f->shared = shared;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->freed, NULL);
    wrong = map_table(f);
    if (wrong) {
        free_inflight(f);
        return err_set(err, EIO, "the table of writes in flight (%s) %s", path, wrong);
    }
    *result = f;
    return 0;
}

bool inflight_was_clean(const struct inflight *f)
{
    return f->was_clean;
}

uint64_t inflight_names_bytes(const struct inflight *f)
{
    return f->table->header.names_bytes;
}

const struct inflight_slot *inflight_slot(const struct inflight *f, unsigned i)
{
    return f->table->slots[i].kind == INFLIGHT_FREE ? NULL : &f->table->slots[i];
}

void inflight_end(struct inflight *f, unsigned slot)
{
    __atomic_store_n(&f->table->slots[slot].kind, INFLIGHT_FREE, __ATOMIC_RELEASE);
    pthread_mutex_lock(&f->lock);
    f->taken &= ~(UINT64_C(1) << slot);
    pthread_cond_signal(&f->freed);
    pthread_mutex_unlock(&f->lock);
}

void inflight_begin(struct inflight *f)
{
    __atomic_store_n(&f->table->header.clean, 0, __ATOMIC_SEQ_CST);
}

void inflight_set_names_bytes(struct inflight *f, uint64_t bytes)
{
    __atomic_store_n(&f->table->header.names_bytes, bytes, __ATOMIC_SEQ_CST);
}

static unsigned take_slot(struct inflight *f)
{
    const uint64_t all = (UINT64_C(1) << INFLIGHT_SLOTS) - 1;
    unsigned i;

    pthread_mutex_lock(&f->lock);
    while (f->taken == all)
        pthread_cond_wait(&f->freed, &f->lock);
    i = (unsigned)__builtin_ctzll(~f->taken);
    f->taken |= UINT64_C(1) << i;
    pthread_mutex_unlock(&f->lock);
    return i;
}

static void announce(struct inflight_slot *s, enum inflight_kind kind)
{
    s->check = slot_check(s);
    __atomic_store_n(&s->kind, kind, __ATOMIC_SEQ_CST);
}

unsigned inflight_write(struct inflight *f, uint64_t file, uint64_t page, uint32_t n,
                        const uint32_t *crc)
{
    unsigned i = take_slot(f);
    struct inflight_slot *s = &f->table->slots[i];

    s->file = file;
    s->where = page;
    s->pages = n;
    memcpy(s->crc, crc, n * sizeof(*crc));
    announce(s, INFLIGHT_WRITE);
    return i;
}

unsigned inflight_truncate(struct inflight *f, uint64_t file, uint64_t size)
{
    unsigned i = take_slot(f);
    struct inflight_slot *s = &f->table->slots[i];

    s->file = file;
    s->where = size;
    s->pages = 0;
    announce(s, INFLIGHT_TRUNCATE);
    return i;
}

int inflight_sync(struct inflight *f)
{
    return f->disk->ops->sync_map(f->disk, f->table, TABLE_BYTES);
}

void inflight_close(struct inflight *f, bool clean)
{
    struct inflight_header *h;

    if (!f)
        return;
    h = &f->table->header;
    if (clean && f->shared) {
        h->names_crc = crc32c(&h->names_bytes, sizeof(h->names_bytes));
        __atomic_store_n(&h->clean, 1, __ATOMIC_SEQ_CST);
    }
    free_inflight(f);
}
