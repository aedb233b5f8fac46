/*
 * Writing a run of pages (at most 32, so that one announcement holds their checksums):
 *
 *   1. the stripe lock of the run
 *   2. space in the side page table; a page that is written in part is filled up from where it is
 *   3. announce the checksums to come             (inflight)
 *   4. write the pages into the difference file
 *   5. set their checksums and stored bits        (side)
 *   6. take the announcement back
 *
 * A process that ends before 4 leaves the old pages, after it the new ones; in between, what was
 * announced tells which of the two each page is. Until 5 a page not stored before is still read
 * from below.
 *
 * Truncation: announce; store the page that is cut in two; cut the difference file; lower the
 * limit, so that nothing below shows through when the file grows again; clear bits and checksums.
 * It can be done again from any point.
 */
#include "pages/pagefile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

#include "pages/filestate.h"
#include "pages/layer.h"

#define RUN_BYTES ((size_t)RUN_PAGES * PAGE_BYTES)

/* ---- difference storage in the newest layer ---- */

/* A difference file of the right size and with the times that the file has now. */
static int make_diff(struct pagefile *f, const char *path, struct disk_file **diff)
{
    struct disk *d = stack_newest(f->stack);
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}};
    struct stat st;
    int rc = pagefile_stat(f, &st);

    times[1] = st.st_mtim;
    if (rc == 0)
        rc = d->ops->open(d, path, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, diff);
    if (rc < 0)
        return rc;
    rc = (*diff)->ops->truncate(*diff, f->size);
    if (rc == 0)
        rc = (*diff)->ops->set_times(*diff, times);
    if (rc < 0)
        (*diff)->ops->close(*diff);
    return rc;
}

static int make_storage(struct pagefile *f)
{
    char diff_path[LAYER_PATH_MAX], side_path[LAYER_PATH_MAX];
    struct disk_file *diff;
    struct side *side;
    int rc;

    layer_path(diff_path, LAYER_DIFF, f->id);
    layer_path(side_path, LAYER_SIDE, f->id);
    rc = make_diff(f, diff_path, &diff);
    if (rc < 0)
        goto remove_diff;
    rc = side_create(stack_newest(f->stack), side_path, f->id, SIDE_NO_LIMIT, page_count(f->size),
                     &side, NULL);
    if (rc < 0)
        goto close_diff;
    rc = dirtree_touch(f->stack->tree, f->id);
    if (rc < 0)
        goto close_side;
    atomic_store(&f->fresh, true);
    atomic_store(&f->diff, diff);
    atomic_store(&f->side, side);
    return 0;

close_side:
    side_close(side);
close_diff:
    diff->ops->close(diff);
remove_diff:
    if (rc != -EEXIST)
        stack_remove_storage(f->stack, f->id);
    return rc;
}

/* Difference storage in the newest layer from now on. */
static int need_storage(struct pagefile *f)
{
    int rc = 0;

    if (f->stack->read_only)
        return -EROFS;
    if (atomic_load(&f->side))
        return 0;
    pthread_mutex_lock(&f->touching);
    if (!atomic_load(&f->side))
        rc = make_storage(f);
    pthread_mutex_unlock(&f->touching);
    return rc;
}

/* ---- writing ---- */

/* A run that is about to be written. Bytes and pages of the file; `bytes` begins at page `first`.
 */
struct run {
    uint64_t first;
    uint32_t n;
    const char *bytes;
    size_t len; /* the last page may be shorter than a page: it then ends the file */
    uint32_t crc[RUN_PAGES];
};

/* What a page written in part has in it otherwise. `from` and `to` are what is written of it: a
 * page that is written from its beginning to the end of the file needs nothing. */
static int fill_up(struct pagefile *f, uint64_t page, char *bytes, size_t from, size_t to)
{
    uint64_t size = pagefile_size(f);
    uint64_t used = size > page * PAGE_BYTES ? min_u64(size - page * PAGE_BYTES, PAGE_BYTES) : 0;

    if (from == 0 && to >= used)
        return memset(bytes, 0, PAGE_BYTES), 0;
    return pagefile_read_locked(f, page, bytes);
}

/* Whole pages around [offset, offset + len), put together in `room` (RUN_BYTES). */
static int compose(struct pagefile *f, struct run *r, char *room, const char *bytes, size_t len,
                   uint64_t offset)
{
    size_t head = (size_t)(offset % PAGE_BYTES), tail = (head + len) % PAGE_BYTES;
    uint64_t last = r->first + r->n - 1;
    uint64_t size = pagefile_size(f) > offset + len ? pagefile_size(f) : offset + len;
    int rc = 0;

    if (head || r->n == 1)
        rc = fill_up(f, r->first, room, head, min_u64(head + len, PAGE_BYTES));
    if (rc == 0 && tail && r->n > 1)
        rc = fill_up(f, last, room + (size_t)(r->n - 1) * PAGE_BYTES, 0, tail);
    if (rc < 0)
        return rc;
    memcpy(room + head, bytes, len);
    r->bytes = room;
    r->len = (size_t)min_u64((uint64_t)r->n * PAGE_BYTES, size - r->first * PAGE_BYTES);
    return 0;
}

static void sum_up(struct run *r)
{
    uint32_t i;
    size_t at;

    for (i = 0, at = 0; i < r->n; i++, at += PAGE_BYTES)
        r->crc[i] = page_crc(r->bytes + at, (size_t)min_u64(r->len - at, PAGE_BYTES));
}

/* One page of a write that did not end. */
static int settle_page(struct pagefile *f, uint64_t page, uint32_t crc, uint64_t *damaged)
{
    struct disk_file *diff = f->diff;
    char bytes[PAGE_BYTES];
    int64_t n = diff->ops->read(diff, bytes, sizeof(bytes), page * PAGE_BYTES);
    uint32_t found;

    if (n < 0)
        return (int)n;
    found = page_crc(bytes, (size_t)n);
    if (n > 0 && found == crc) {
        side_set(f->side, page, crc);
    } else if (side_stored(f->side, page)) {
        *damaged += found != side_crc(f->side, page);
    } else {
        side_clear(f->side, page);
        if (n > 0)
            return diff->ops->allocate(diff, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                       page * PAGE_BYTES, PAGE_BYTES);
    }
    return 0;
}

int pagefile_settle(struct pagefile *f, uint64_t page, uint32_t n, const uint32_t *crc,
                    uint64_t *damaged)
{
    int rc = side_cover(f->side, page + n);
    uint32_t i;

    if (rc == 0 && n)
        rc = side_prepare(f->side, page, n);
    for (i = 0; rc == 0 && i < n; i++)
        rc = settle_page(f, page + i, crc[i], damaged);
    return rc;
}

/* The stripe is locked. */
static int store_run(struct pagefile *f, struct run *r)
{
    struct inflight *inflight = f->stack->inflight;
    struct disk_file *diff = f->diff;
    uint64_t damaged = 0;
    unsigned slot;
    uint32_t i;
    int rc;

    sum_up(r);
    slot = inflight_write(inflight, f->id, r->first, r->n, r->crc);
    rc = diff->ops->write(diff, r->bytes, r->len, r->first * PAGE_BYTES);
    if (rc == 0)
        for (i = 0; i < r->n; i++)
            side_set(f->side, r->first + i, r->crc[i]);
    else
        pagefile_settle(f, r->first, r->n, r->crc, &damaged);
    inflight_end(inflight, slot);
    if (damaged)
        pagefile_complain(f, r->first, "a write failed in the middle of it");
    return rc;
}

/* [offset, offset + len) lies within one run. */
static int write_run(struct pagefile *f, const char *bytes, size_t len, uint64_t offset)
{
    struct run r = {.first = offset / PAGE_BYTES, .bytes = bytes, .len = len};
    pthread_mutex_t *stripe = pagefile_stripe(f, r.first);
    char *room = NULL;
    int rc;

    r.n = (uint32_t)((offset + len - 1) / PAGE_BYTES - r.first + 1);
    if (offset % PAGE_BYTES || len % PAGE_BYTES) {
        room = malloc((size_t)r.n * PAGE_BYTES);
        if (!room)
            return -ENOMEM;
    }
    pthread_mutex_lock(stripe);
    rc = side_prepare(f->side, r.first, r.n);
    if (rc == 0 && room)
        rc = compose(f, &r, room, bytes, len, offset);
    if (rc == 0)
        rc = store_run(f, &r);
    pthread_mutex_unlock(stripe);
    free(room);
    return rc;
}

/* How much of a write lies within the run that it begins in. */
static size_t part_of_run(uint64_t offset, size_t len)
{
    return (size_t)min_u64(len, RUN_BYTES - offset % RUN_BYTES);
}

/* A write that failed on its way may have made the difference file longer than the file is. */
static void cut_back(struct pagefile *f)
{
    struct disk_file *diff = f->diff;
    struct stat st;

    pthread_rwlock_wrlock(&f->resize);
    if (diff->ops->file_stat(diff, &st) == 0 && (uint64_t)st.st_size > f->size)
        diff->ops->truncate(diff, f->size);
    pthread_rwlock_unlock(&f->resize);
}

int64_t pagefile_write(struct pagefile *f, const void *bytes, size_t len, uint64_t offset)
{
    const char *p = bytes;
    size_t done = 0, part;
    int rc;

    if (pagefile_is_in_place(f))
        return pagefile_write_in_place(f, bytes, len, offset);
    rc = need_storage(f);
    if (rc < 0 || len == 0)
        return rc;
    if (offset + len > (uint64_t)SIDE_MAX_PAGES * PAGE_BYTES)
        return -EFBIG;
    pthread_rwlock_rdlock(&f->resize);
    rc = side_cover(f->side, page_count(offset + len));
    while (rc == 0 && done < len) {
        part = part_of_run(offset + done, len - done);
        rc = write_run(f, p + done, part, offset + done);
        if (rc < 0)
            break;
        done += part;
        pagefile_grow(f, offset + done);
    }
    pthread_rwlock_unlock(&f->resize);
    if (rc < 0)
        cut_back(f);
    return done ? (int64_t)done : rc;
}

/* ---- size ---- */

/* The page that a truncation cuts in two. */
struct cut {
    uint64_t page;
    size_t from;            /* where in the page */
    char whole[PAGE_BYTES]; /* as it was */
};

static int store_cut(struct pagefile *f, const char *bytes, const struct cut *cut, uint64_t size)
{
    struct run r = {.first = cut->page, .n = 1, .bytes = bytes};

    r.len = (size_t)min_u64(PAGE_BYTES, size - cut->page * PAGE_BYTES);
    return store_run(f, &r);
}

/* Stored with zeros beyond the cut, so that nothing shows through when the file grows again. */
static int make_cut(struct pagefile *f, struct cut *cut)
{
    char bytes[PAGE_BYTES] = {0};
    int rc;

    if (cut->from == 0)
        return 0;
    rc = side_prepare(f->side, cut->page, 1);
    if (rc == 0)
        rc = pagefile_read_locked(f, cut->page, cut->whole);
    if (rc < 0)
        return rc;
    memcpy(bytes, cut->whole, cut->from);
    return store_cut(f, bytes, cut, f->size);
}

/* Also done again for a truncation that a process did not end: its steps may all be repeated. */
static int shrink(struct pagefile *f, uint64_t size)
{
    struct cut cut = {.page = size / PAGE_BYTES, .from = (size_t)(size % PAGE_BYTES)};
    struct disk_file *diff = f->diff;
    unsigned slot = inflight_truncate(f->stack->inflight, f->id, size);
    int rc = make_cut(f, &cut);

    if (rc < 0)
        goto out;
    rc = diff->ops->truncate(diff, size);
    if (rc < 0) {
        if (cut.from && store_cut(f, cut.whole, &cut, f->size) < 0)
            pagefile_complain(f, cut.page, "the disk failed while the file was cut there");
        goto out;
    }
    side_lower_limit(f->side, page_count(size));
    side_clear_from(f->side, page_count(size));
    atomic_store(&f->size, size);
out:
    inflight_end(f->stack->inflight, slot);
    return rc;
}

static int extend(struct pagefile *f, uint64_t size)
{
    struct disk_file *diff = f->diff;
    int rc = side_cover(f->side, page_count(size));

    if (rc == 0)
        rc = diff->ops->truncate(diff, size);
    if (rc == 0)
        atomic_store(&f->size, size);
    return rc;
}

int pagefile_truncate(struct pagefile *f, uint64_t size)
{
    int rc;

    if (pagefile_is_in_place(f))
        return pagefile_resize_in_place(f, size, false);
    if (size > (uint64_t)SIDE_MAX_PAGES * PAGE_BYTES)
        return -EFBIG;
    if (size == pagefile_size(f) && !atomic_load(&f->side))
        return f->stack->read_only ? -EROFS : 0;
    rc = need_storage(f);
    if (rc < 0)
        return rc;
    pthread_rwlock_wrlock(&f->resize);
    rc = size <= f->size ? shrink(f, size) : extend(f, size);
    pthread_rwlock_unlock(&f->resize);
    return rc;
}

int pagefile_allocate(struct pagefile *f, int mode, uint64_t offset, uint64_t len)
{
    uint64_t end = offset + len, first = offset / PAGE_BYTES;
    struct disk_file *diff;
    int rc;

    if (mode != 0 && mode != FALLOC_FL_KEEP_SIZE)
        return -EOPNOTSUPP;
    if (pagefile_is_in_place(f))
        return mode == 0 ? pagefile_resize_in_place(f, end, true) : 0;
    if (end > (uint64_t)SIDE_MAX_PAGES * PAGE_BYTES)
        return -EFBIG;
    rc = need_storage(f);
    if (rc < 0)
        return rc;
    diff = f->diff;
    pthread_rwlock_wrlock(&f->resize);
    rc = side_cover(f->side, page_count(end));
    if (rc == 0)
        rc = side_prepare(f->side, first, page_count(end) - first);
    if (rc == 0)
        rc = diff->ops->allocate(diff, mode, offset, len);
    if (rc == 0)
        side_set_allocated(f->side, first, page_count(end) - first);
    if (rc == 0 && mode == 0)
        pagefile_grow(f, end);
    pthread_rwlock_unlock(&f->resize);
    return rc;
}

int pagefile_set_times(struct pagefile *f, const struct timespec times[2])
{
    struct disk_file *diff;
    int rc;

    if (pagefile_is_in_place(f))
        return pagefile_set_times_in_place(f, times);
    rc = need_storage(f);
    if (rc < 0)
        return rc;
    diff = f->diff;
    return diff->ops->set_times(diff, times);
}

/* ---- syncing ---- */

/* The names of new difference files. */
static int sync_directories(struct pagefile *f)
{
    struct disk *d = stack_newest(f->stack);
    int rc;

    if (!atomic_exchange(&f->fresh, false))
        return 0;
    rc = d->ops->sync_dir(d, LAYER_DIFF);
    if (rc == 0)
        rc = d->ops->sync_dir(d, LAYER_SIDE);
    if (rc < 0)
        atomic_store(&f->fresh, true);
    return rc;
}

int pagefile_sync(struct pagefile *f)
{
    struct disk_file *diff;
    int rc;

    if (!atomic_load(&f->stack->durable))
        return 0;
    if (pagefile_is_in_place(f))
        return f->base->ops->sync(f->base);
    if (!atomic_load(&f->side))
        return stack_sync_names(f->stack);
    diff = f->diff;
    pthread_rwlock_wrlock(&f->resize); /* the table becomes clean: nobody writes meanwhile */
    rc = diff->ops->sync(diff);
    if (rc == 0)
        rc = side_sync(f->side);
    pthread_rwlock_unlock(&f->resize);
    if (rc == 0)
        rc = sync_directories(f);
    return rc < 0 ? rc : stack_sync_names(f->stack);
}
