#include "pages/pagefile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "pages/filestate.h"
#include "pages/layer.h"

#define COMPLAINTS_MAX 10 /* of one open file */

/* ---- where pages are ---- */

/* The newest layer in front of what lies below. */
static void chain_of(const struct pagefile *f, struct chain *c)
{
    const struct side *side = atomic_load(&((struct pagefile *)f)->side);
    unsigned i;

    c->n = 0;
    if (side)
        c->sides[c->n++] = side;
    for (i = 0; i < f->below.n; i++)
        c->sides[c->n++] = f->below.sides[i];
}

/* The difference file that belongs to an index of the chain. */
static struct disk_file *diff_of(const struct pagefile *f, const struct chain *c, int place)
{
    unsigned above = c->n - f->below.n;

    return (unsigned)place < above ? atomic_load(&((struct pagefile *)f)->diff)
                                   : f->diffs[(unsigned)place - above];
}

int pagefile_place(const struct pagefile *f, uint64_t page)
{
    struct chain c;
    int place;
    unsigned above;

    chain_of(f, &c);
    place = chain_find(&c, page);
    if (place == CHAIN_BASE && !f->base)
        return CHAIN_ZERO;
    if (place < 0)
        return place;
    above = c.n - f->below.n;
    return (unsigned)place < above ? (int)f->stack->n_layers - 1
                                   : (int)f->layers[(unsigned)place - above];
}

uint64_t pagefile_id(const struct pagefile *f)
{
    return f->id;
}

uint64_t pagefile_size(const struct pagefile *f)
{
    return atomic_load(&((struct pagefile *)f)->size);
}

pthread_mutex_t *pagefile_stripe(struct pagefile *f, uint64_t page)
{
    uint64_t key = (f->id * 0x9e3779b97f4a7c15u) ^ (page / RUN_PAGES * 0xc2b2ae3d27d4eb4fu);

    return &f->stack->stripes[(key >> 32) % STRIPES];
}

void pagefile_grow(struct pagefile *f, uint64_t size)
{
    uint64_t old = atomic_load(&f->size);

    while (old < size && !atomic_compare_exchange_weak(&f->size, &old, size))
        ;
}

/* ---- complaints ---- */

void pagefile_complain(struct pagefile *f, uint64_t page, const char *what)
{
    char *path;

    if (atomic_fetch_add(&f->complaints, 1) >= COMPLAINTS_MAX)
        return;
    path = dirtree_path(f->stack->tree, f->id);
    stack_complain(f->stack, "%s: page %" PRIu64 ": %s", path ? path : "?", page, what);
    free(path);
}

static void complain_of_base(struct pagefile *f)
{
    char *path;

    if (atomic_fetch_add(&f->complaints, 1) >= COMPLAINTS_MAX)
        return;
    path = dirtree_path(f->stack->tree, f->id);
    stack_complain(f->stack, "%s: the base's file changed since the base was added",
                   path ? path : "?");
    free(path);
}

/* ---- reading ---- */

/* Bytes of the base's file, zeros beyond its end. */
static int read_base(struct pagefile *f, char *bytes, size_t len, uint64_t offset)
{
    int rc;

    if (!f->base)
        return memset(bytes, 0, len), 0;
    rc = f->base->ops->read(f->base, bytes, len, offset);
    if (rc != BASEFILE_CHANGED)
        return rc;
    complain_of_base(f);
    return -EIO;
}

/* One page of a difference file into bytes[PAGE_BYTES]: 0, -EAGAIN when its checksum does not
 * match. */
static int read_stored_page(const struct side *side, struct disk_file *diff, uint64_t page,
                            char *bytes)
{
    uint32_t crc = side_crc(side, page);
    int64_t n = diff->ops->read(diff, bytes, PAGE_BYTES, page * PAGE_BYTES);

    if (n < 0)
        return (int)n;
    memset(bytes + n, 0, PAGE_BYTES - (size_t)n);
    return page_crc(bytes, PAGE_BYTES) == crc ? 0 : -EAGAIN;
}

/* A whole page from wherever it is; -EAGAIN as above. */
static int read_page_once(struct pagefile *f, uint64_t page, char *bytes)
{
    struct chain c;
    int place;

    chain_of(f, &c);
    place = chain_find(&c, page);
    if (place >= 0)
        return read_stored_page(c.sides[place], diff_of(f, &c, place), page, bytes);
    if (place == CHAIN_BASE)
        return read_base(f, bytes, PAGE_BYTES, page * PAGE_BYTES);
    memset(bytes, 0, PAGE_BYTES);
    return 0;
}

int pagefile_read_locked(struct pagefile *f, uint64_t page, char *bytes)
{
    int rc = read_page_once(f, page, bytes);

    if (rc != -EAGAIN)
        return rc;
    pagefile_complain(f, page, "its checksum does not match what is stored");
    return -EIO;
}

/* Without lock; a page that seems damaged may just be in the middle of being written. */
static int read_page(struct pagefile *f, uint64_t page, char *bytes)
{
    pthread_mutex_t *stripe = pagefile_stripe(f, page);
    int rc = read_page_once(f, page, bytes);

    if (rc != -EAGAIN)
        return rc;
    pthread_rwlock_rdlock(&f->resize);
    pthread_mutex_lock(stripe);
    rc = pagefile_read_locked(f, page, bytes);
    pthread_mutex_unlock(stripe);
    pthread_rwlock_unlock(&f->resize);
    return rc;
}

/* Part of one page. */
static int read_part(struct pagefile *f, uint64_t page, char *bytes, size_t from, size_t len)
{
    char whole[PAGE_BYTES];
    int rc = read_page(f, page, whole);

    if (rc == 0)
        memcpy(bytes, whole + from, len);
    return rc;
}

/* Whole pages [page, end) that come from one difference file: read at once, then checked one by
 * one. */
static int read_stored_run(struct pagefile *f, const struct chain *c, int place, uint64_t page,
                           uint64_t end, char *bytes)
{
    struct disk_file *diff = diff_of(f, c, place);
    size_t len = (size_t)(end - page) * PAGE_BYTES;
    int64_t n = diff->ops->read(diff, bytes, len, page * PAGE_BYTES);
    int rc = 0;

    if (n < 0)
        return (int)n;
    memset(bytes + n, 0, len - (size_t)n);
    for (; rc == 0 && page < end; page++, bytes += PAGE_BYTES)
        if (page_crc(bytes, PAGE_BYTES) != side_crc(c->sides[place], page))
            rc = read_page(f, page, bytes);
    return rc;
}

/* Whole pages from `page`, at most until `end`: how many were read, or a negative errno. */
static int64_t read_run(struct pagefile *f, uint64_t page, uint64_t end, char *bytes)
{
    struct chain c;
    uint64_t run_end;
    int place, rc = 0;

    chain_of(f, &c);
    run_end = c.n ? chain_run(&c, page, end, &place) : (place = CHAIN_BASE, end);
    if (place >= 0)
        rc = read_stored_run(f, &c, place, page, run_end, bytes);
    else if (place == CHAIN_BASE)
        rc = read_base(f, bytes, (size_t)(run_end - page) * PAGE_BYTES, page * PAGE_BYTES);
    else
        memset(bytes, 0, (size_t)(run_end - page) * PAGE_BYTES);
    return rc < 0 ? rc : (int64_t)(run_end - page);
}

int64_t pagefile_read(struct pagefile *f, void *bytes, size_t len, uint64_t offset)
{
    uint64_t size = pagefile_size(f), end, at = offset, page;
    char *p = bytes;
    int64_t n;
    size_t from, part;

    if (offset >= size || len == 0)
        return 0;
    end = offset + min_u64(len, size - offset);
    while (at < end) {
        page = at / PAGE_BYTES;
        from = (size_t)(at % PAGE_BYTES);
        if (from || end - at < PAGE_BYTES) {
            part = (size_t)min_u64(PAGE_BYTES - from, end - at);
            n = read_part(f, page, p, from, part);
        } else {
            n = read_run(f, page, end / PAGE_BYTES, p);
            part = n < 0 ? 0 : (size_t)n * PAGE_BYTES;
        }
        if (n < 0)
            return n;
        p += part;
        at += part;
    }
    return (int64_t)(end - offset);
}

/* ---- opening ---- */

/* Difference file and side page table of one layer. The size of the difference file is the file's.
 */
static int open_storage(struct pagefile *f, unsigned layer, struct disk_file **diff,
                        struct side **side, uint64_t *size, struct side_findings *found,
                        struct err *err)
{
    struct disk *disk = f->stack->layers[layer];
    bool shared = layer + 1 == f->stack->n_layers && !f->stack->read_only;
    char path[LAYER_PATH_MAX];
    struct stat st;
    int rc;

    layer_path(path, LAYER_DIFF, f->id);
    rc = disk->ops->open(disk, path, shared ? DISK_WRITE : 0, diff);
    if (rc < 0)
        return err_set(err, EIO, "cannot open the difference file %s: %s", path, strerror(-rc));
    rc = (*diff)->ops->file_stat(*diff, &st);
    if (rc < 0)
        return err_set(err, EIO, "cannot look at %s: %s", path, strerror(-rc));
    *size = (uint64_t)st.st_size;
    layer_path(path, LAYER_SIDE, f->id);
    rc = side_open(disk, path, f->id, page_count(*size), shared, side, err);
    if (rc == 0 && found)
        rc = side_rebuild(*side, *diff, found, err);
    if (rc == 0 && found && side_stored_from(*side, page_count(*size)))
        rc = err_set(err, EIO, "the difference file of %s is shorter than it was", path);
    return rc;
}

static int open_layers(struct pagefile *f, const struct dirtree_node *node,
                       struct side_findings *found, struct err *err)
{
    unsigned layer = f->stack->n_layers;
    bool first = true;
    struct disk_file *diff = NULL;
    struct side *side;
    uint64_t size = 0;
    int rc = 0;

    while (rc == 0 && layer-- > 0) {
        if (!(node->layers & 1u << layer))
            continue;
        diff = NULL;
        side = NULL;
        rc = open_storage(f, layer, &diff, &side, &size, found, err);
        if (layer + 1 == f->stack->n_layers) {
            f->diff = diff;
            f->side = side;
        } else if (diff) {
            f->layers[f->below.n] = layer;
            f->diffs[f->below.n] = diff;
            f->below.sides[f->below.n++] = side;
        }
        if (first)
            f->size = size;
        first = false;
    }
    if (first && f->base)
        f->size = f->base->size;
    return rc;
}

int pagefile_open(struct stack *s, const struct dirtree_node *node, struct pagefile **result,
                  struct side_findings *found, struct err *err)
{
    struct pagefile *f = calloc(1, sizeof(*f));
    int rc = 0;

    if (!f)
        return err_set(err, ENOMEM, "no memory");
    f->stack = s;
    f->id = node->id;
    pthread_rwlock_init(&f->resize, NULL);
    pthread_mutex_init(&f->touching, NULL);
    if (node->entry != MANIFEST_NONE)
        rc = stack_open_base(s, node->entry, &f->base, err);
    if (rc == 0)
        rc = open_layers(f, node, found, err);
    if (rc < 0) {
        pagefile_close(f);
        return rc;
    }
    *result = f;
    return 0;
}

void pagefile_close(struct pagefile *f)
{
    struct disk_file *diff = f->diff;
    unsigned i;

    side_close(f->side);
    if (diff)
        diff->ops->close(diff);
    for (i = 0; i < f->below.n; i++) {
        side_close((struct side *)f->below.sides[i]);
        f->diffs[i]->ops->close(f->diffs[i]);
    }
    if (f->base)
        f->base->ops->close(f->base);
    pthread_rwlock_destroy(&f->resize);
    pthread_mutex_destroy(&f->touching);
    free(f);
}

int pagefile_stat(struct pagefile *f, struct stat *st)
{
    struct disk_file *diff = atomic_load(&f->diff);
    struct dirtree_node node;
    int rc = 0;

    if (!diff && f->below.n)
        diff = f->diffs[0];
    if (diff) {
        rc = diff->ops->file_stat(diff, st);
    } else if (f->base) {
        rc = f->base->ops->stat(f->base, st);
    } else {
        rc = dirtree_stat(f->stack->tree, f->id, &node);
        st->st_mtim = st->st_ctim = node.mtime;
        st->st_blocks = 0;
    }
    st->st_size = (off_t)pagefile_size(f);
    return rc;
}
