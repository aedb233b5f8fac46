/*
 * After the file system ended and is there again: each operation that was in flight has happened,
 * or has not; a write also in part, byte by byte, and then pages of its range may be unreadable.
 * The oracle is made to follow. All else must be as the oracle has it, which the comparison of
 * everything shows.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model.h"

struct pending { /* a write in flight */
    struct thread *t;
    char path[PATH_BYTES];
    int fd[2];
    ino_t inode; /* of the oracle */
    uint64_t end;
};

static uint64_t size_of(struct model *m, int fd)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        model_fail(m, NULL, NULL, "fstat: %s", strerror(errno));
    return (uint64_t)st.st_size;
}

/* ---- writes ---- */

/* False: the file has no name any more, and went with the process that had it open. */
static bool pending_open(struct pending *p, struct thread *t)
{
    struct model *m = t->m;
    struct op *op = &t->inflight;
    struct stat st;
    *p = (struct pending){.t = t, .end = op->offset + op->length, .fd = {-1, -1}};
    if (fstat(op->handle->fd[ORACLE], &st) != 0)
        model_fail(m, t, op, "fstat: %s", strerror(errno));
    p->inode = st.st_ino;
    if (!compare_find(m, op->handle->shared >= 0 ? "shared" : t->dir, st.st_ino, p->path))
        return false;
    for (int side = 0; side < 2; side++) {
        p->fd[side] = openat(m->root[side], p->path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        if (p->fd[side] < 0)
            model_fail(m, t, op, "settling: open of %s: %s", p->path, strerror(errno));
    }
    return true;
}

static void pending_close(struct pending *p)
{
    for (int side = 0; side < 2; side++)
        if (p->fd[side] >= 0)
            close(p->fd[side]);
}

/* Between the old size and the end of the longest write in flight to this file. */
static void settle_size(struct model *m, struct pending *all, size_t n, struct pending *p)
{
    uint64_t size = size_of(m, p->fd[SUBJECT]), old = size_of(m, p->fd[ORACLE]), most = old;
    for (size_t i = 0; i < n; i++)
        if (all[i].inode == p->inode && all[i].end > most)
            most = all[i].end;
    if (size < old || size > most)
        model_fail(m, p->t, &p->t->inflight, "settling %s: size %ju is not in %ju to %ju", p->path,
                   (uintmax_t)size, (uintmax_t)old, (uintmax_t)most);
    if (ftruncate(p->fd[ORACLE], (off_t)size) != 0)
        model_fail(m, p->t, NULL, "ftruncate: %s", strerror(errno));
}

static void settle_bytes(struct model *m, struct pending *p, uint64_t offset, size_t n)
{
    const struct op *op = &p->t->inflight;
    const uint8_t *now = op->bytes[0] + (offset - op->offset);
    uint8_t got[PAGE], old[PAGE];
    if (side_read(m, ORACLE, p->fd[ORACLE], old, n, offset) != (int64_t)n ||
        side_read(m, SUBJECT, p->fd[SUBJECT], got, n, offset) != (int64_t)n)
        model_fail(m, p->t, op, "settling %s: %zu bytes at %ju cannot be read", p->path, n,
                   (uintmax_t)offset);
    for (size_t i = 0; i < n; i++) {
        if (got[i] != now[i] && got[i] != old[i])
            model_fail(m, p->t, op,
                       "settling %s: byte %ju is %02x, neither %02x as before nor %02x as written",
                       p->path, (uintmax_t)(offset + i), got[i], old[i], now[i]);
        if (got[i] != old[i])
            m->happened++;
    }
    if (side_write(m, ORACLE, p->fd[ORACLE], got, n, offset) != (int64_t)n)
        model_fail(m, p->t, NULL, "writing to the oracle: %s", strerror(errno));
}

/* An unreadable page is written whole on both sides; true when it was one. */
static bool settle_damage(struct model *m, struct pending *p, uint64_t page)
{
    uint8_t bytes[PAGE];
    int64_t r = side_read(m, SUBJECT, p->fd[SUBJECT], bytes, PAGE, page * PAGE);
    if (r >= 0)
        return false;
    if (r != -EIO)
        model_fail(m, p->t, &p->t->inflight, "settling %s: page %ju: %s", p->path, (uintmax_t)page,
                   strerror((int)-r));
    struct random random = {m->seed ^ page};
    random_bytes(&random, bytes, PAGE);
    for (int side = 0; side < 2; side++) {
        r = side_write(m, side, p->fd[side], bytes, PAGE, page * PAGE);
        if (r != PAGE)
            model_fail(m, p->t, &p->t->inflight,
                       "settling %s: page %ju is unreadable and cannot be written whole (%d): %jd",
                       p->path, (uintmax_t)page, side, (intmax_t)r);
    }
    m->unreadable++;
    return true;
}

static void settle_write(struct model *m, struct pending *p)
{
    const struct op *op = &p->t->inflight;
    uint64_t size = size_of(m, p->fd[ORACLE]), end = p->end < size ? p->end : size;
    for (uint64_t page = op->offset / PAGE; page * PAGE < end; page++) {
        uint64_t from = page * PAGE > op->offset ? page * PAGE : op->offset;
        uint64_t to = (page + 1) * PAGE < end ? (page + 1) * PAGE : end;
        if (!settle_damage(m, p, page) && from < to)
            settle_bytes(m, p, from, (size_t)(to - from));
    }
}

/* ---- all else ---- */

static void settle_other(struct thread *t)
{
    struct model *m = t->m;
    struct difference before, after;
    if (compare_tree(m, t->dir, &before))
        return;
    op_apply(m, &t->inflight, ORACLE);
    if (!compare_tree(m, t->dir, &after))
        model_fail(m, t, &t->inflight,
                   "settling: it has neither not happened (%s) nor happened (%s)", before.text,
                   after.text);
    m->happened++;
}

void settle_all(struct model *m)
{
    struct pending *all = calloc(m->threads, sizeof *all);
    size_t n = 0;
    if (!all)
        abort();
    for (unsigned i = 0; i < m->threads; i++) {
        struct thread *t = &m->thread[i];
        m->inflight += t->inflight.kind != OP_NONE;
        if (op_writes(&t->inflight))
            n += pending_open(&all[n], t);
        else if (t->inflight.kind != OP_NONE)
            settle_other(t);
    }
    for (size_t i = 0; i < n; i++)
        settle_size(m, all, n, &all[i]);
    for (size_t i = 0; i < n; i++)
        settle_write(m, &all[i]);
    for (size_t i = 0; i < n; i++)
        pending_close(&all[i]);
    for (unsigned i = 0; i < m->threads; i++)
        m->thread[i].inflight.kind = OP_NONE;
    free(all);
}
