#include "extract/spooled.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"

struct spooled {
    struct flatfile file; /* first; without ops until sealed */
    struct extent *extents;
    size_t n;
    int alone; /* a file that is this flat file's own, or -1 */
};

struct spooled *spooled_new(size_t nchunks)
{
    struct spooled *s = mem_alloc(sizeof(*s));

    *s = (struct spooled){.n = nchunks, .alone = -1};
    s->extents = mem_array(nchunks, sizeof(*s->extents));
    return s;
}

void spooled_free(struct spooled *s)
{
    if (!s)
        return;
    if (s->alone >= 0)
        close(s->alone);
    free(s->extents);
    free(s);
}

void spooled_set(struct spooled *s, size_t i, int fd, uint64_t offset, uint64_t length)
{
    s->extents[i] = (struct extent){.fd = fd, .offset = offset, .length = length};
}

bool spooled_locate(const struct spooled *s, uint64_t offset, uint64_t want, struct extent *where)
{
    size_t lo = 0, hi = s->n;
    const struct extent *e;
    uint64_t skip;

    if (offset >= s->file.size)
        return false;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;

        if (s->extents[mid].start <= offset)
            lo = mid;
        else
            hi = mid;
    }
    e = &s->extents[lo];
    skip = offset - e->start;
    *where = *e;
    where->start = offset;
    where->offset += skip;
    where->length -= skip;
    if (where->length > want)
        where->length = want;
    return true;
}

/* ---- as a flat file ---- */

static int read_spooled(const struct flatfile *f, void *buffer, size_t size, uint64_t offset)
{
    const struct spooled *s = (const struct spooled *)f;
    struct extent e;
    size_t done = 0;
    int64_t n;

    while (done < size && spooled_locate(s, offset + done, size - done, &e)) {
        n = io_pread_full(e.fd, (char *)buffer + done, (size_t)e.length, e.offset);
        if (n < 0)
            return (int)n;
        if ((uint64_t)n < e.length)
            return -EIO; /* a spool file that lost its end */
        done += (size_t)n;
    }
    return 0;
}

static size_t pieces_of_spooled(const struct flatfile *f, size_t size, uint64_t offset,
                                struct flatfile_piece *pieces, size_t most)
{
    const struct spooled *s = (const struct spooled *)f;
    struct extent e;
    size_t n = 0;

    while (size && n < most && spooled_locate(s, offset, size, &e)) {
        pieces[n++] = (struct flatfile_piece){e.fd, e.offset, (size_t)e.length};
        size -= (size_t)e.length;
        offset += e.length;
    }
    return size ? 0 : n;
}

static int fd_of_spooled(const struct flatfile *f)
{
    return ((const struct spooled *)f)->alone;
}

static void free_spooled(struct flatfile *f)
{
    spooled_free((struct spooled *)f);
}

struct flatfile *spooled_seal(struct spooled *s)
{
    static const struct flatfile_ops ops = {.read = read_spooled,
                                            .pieces = pieces_of_spooled,
                                            .fd = fd_of_spooled,
                                            .free = free_spooled};
    size_t i, n = 0;

    for (i = 0; i < s->n; i++) {
        struct extent e = s->extents[i];

        if (e.length == 0)
            continue;
        e.start = s->file.size;
        s->file.size += e.length;
        s->extents[n++] = e;
    }
    s->n = n;
    s->file.ops = &ops;
    return &s->file;
}

struct flatfile *spooled_alone(int fd, uint64_t size)
{
    struct spooled *s = spooled_new(1);

    s->alone = fd;
    spooled_set(s, 0, fd, 0, size);
    return spooled_seal(s);
}
