#include "extract/flatfile.h"

#include <stdlib.h>

#include "common/mem.h"

void flatfile_init(struct flatfile *f, size_t nchunks)
{
    *f = (struct flatfile){.n = nchunks};
    f->extents = mem_array(nchunks, sizeof(*f->extents));
}

void flatfile_free(struct flatfile *f)
{
    free(f->extents);
    *f = (struct flatfile){0};
}

void flatfile_set(struct flatfile *f, size_t i, uint32_t file, uint64_t offset, uint64_t length)
{
    f->extents[i] = (struct extent){.file = file, .offset = offset, .length = length};
}

void flatfile_seal(struct flatfile *f)
{
    size_t i, n = 0;

    f->size = 0;
    for (i = 0; i < f->n; i++) {
        struct extent e = f->extents[i];

        if (e.length == 0)
            continue;
        e.start = f->size;
        f->size += e.length;
        f->extents[n++] = e;
    }
    f->n = n;
    f->sealed = true;
}

bool flatfile_locate(const struct flatfile *f, uint64_t offset, uint64_t want, struct extent *where)
{
    size_t lo = 0, hi = f->n;
    const struct extent *e;
    uint64_t skip;

    if (!f->sealed || offset >= f->size)
        return false;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;

        if (f->extents[mid].start <= offset)
            lo = mid;
        else
            hi = mid;
    }
    e = &f->extents[lo];
    skip = offset - e->start;
    *where = *e;
    where->start = offset;
    where->offset += skip;
    where->length -= skip;
    if (where->length > want)
        where->length = want;
    return true;
}
