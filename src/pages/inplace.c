/*
 * Writing a file whose base takes what is written itself (basefile.h): no difference storage is made,
 * and nothing is announced, as what the end of a process leaves behind is the base's part. The
 * locks are those of every write: `resize` shared, and the stripe of each run.
 */
#include <errno.h>

#include "pages/filestate.h"

#define RUN_BYTES ((size_t)RUN_PAGES * PAGE_BYTES)

bool pagefile_is_in_place(struct pagefile *f)
{
    return basefile_is_written(f->base) && f->below.n == 0 && !atomic_load(&f->side);
}

static int write_base_run(struct pagefile *f, const char *bytes, size_t len, uint64_t offset)
{
    pthread_mutex_t *stripe = pagefile_stripe(f, offset / PAGE_BYTES);
    int rc;

    pthread_mutex_lock(stripe);
    rc = f->base->ops->write(f->base, bytes, len, offset);
    pthread_mutex_unlock(stripe);
    return rc;
}

int64_t pagefile_write_in_place(struct pagefile *f, const char *bytes, size_t len, uint64_t offset)
{
    size_t done = 0, part;
    int rc = 0;

    if (f->stack->read_only)
        return -EROFS;
    pthread_rwlock_rdlock(&f->resize);
    while (done < len) {
        part = (size_t)min_u64(len - done, RUN_BYTES - (offset + done) % RUN_BYTES);
        rc = write_base_run(f, bytes + done, part, offset + done);
        if (rc < 0)
            break;
        done += part;
        pagefile_grow(f, offset + done);
    }
    pthread_rwlock_unlock(&f->resize);
    return done ? (int64_t)done : rc;
}

int pagefile_resize_in_place(struct pagefile *f, uint64_t size, bool only_larger)
{
    int rc = 0;

    if (f->stack->read_only)
        return -EROFS;
    pthread_rwlock_wrlock(&f->resize);
    if (!only_larger || size > f->size)
        rc = f->base->ops->resize(f->base, size);
    if (rc == 0 && (!only_larger || size > f->size))
        atomic_store(&f->size, size);
    pthread_rwlock_unlock(&f->resize);
    return rc;
}

int pagefile_set_times_in_place(struct pagefile *f, const struct timespec times[2])
{
    return f->stack->read_only ? -EROFS : f->base->ops->set_times(f->base, times);
}
