#include "render/index.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define ITEMS 2048     /* of a page, more than fit (ItemIdData has 4 bytes) */
#define MARK_BYTES 16u /* as bytes */

void render_index_init(struct render_index *x, uint64_t blocks)
{
    *x = (struct render_index){.blocks = blocks};
    x->length = mem_array(blocks + 1, sizeof(*x->length));
    x->before = mem_array(blocks / RENDER_INDEX_STEP + 1, sizeof(*x->before));
}

void render_index_free(struct render_index *x)
{
    free(x->length);
    free(x->before);
    free(x->marks);
    *x = (struct render_index){0};
}

void render_index_mark(struct render_index *x, const struct render_mark *marks, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        x->marks = mem_grow(x->marks, x->nmarks, &x->marks_room, sizeof(*x->marks));
        x->marks[x->nmarks++] = marks[i];
    }
}

static int compare_marks(const void *a, const void *b)
{
    const struct render_mark *x = a, *y = b;

    if (x->block != y->block)
        return x->block < y->block ? -1 : 1;
    return x->item < y->item ? -1 : x->item > y->item;
}

void render_index_finish(struct render_index *x, uint64_t header)
{
    uint64_t b;

    if (x->nmarks)
        qsort(x->marks, x->nmarks, sizeof(*x->marks), compare_marks);
    x->size = header;
    x->before[0] = header;
    for (b = 0; b < x->blocks; b++) {
        if (b % RENDER_INDEX_STEP == 0)
            x->before[b / RENDER_INDEX_STEP] = x->size;
        x->size += x->length[b];
    }
    if (x->blocks % RENDER_INDEX_STEP == 0)
        x->before[x->blocks / RENDER_INDEX_STEP] = x->size;
}

uint64_t render_index_step(const struct render_index *x, uint64_t offset)
{
    uint64_t low = 0, high = x->blocks / RENDER_INDEX_STEP + 1, middle;

    while (high - low > 1) {
        middle = low + (high - low) / 2;
        if (x->before[middle] <= offset)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Of the marks, how many are at most this far. */
static size_t count_marks(const struct render_index *x, uint64_t block, uint64_t before)
{
    size_t low = 0, high = x->nmarks, middle;
    const struct render_mark *m;

    while (low < high) {
        middle = low + (high - low) / 2;
        m = &x->marks[middle];
        if (m->block < block || (m->block == block && m->before <= before))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* From a place that is a block to the part of it with the byte at `offset`. */
static void narrow(const struct render_index *x, uint64_t offset, struct render_place *p)
{
    uint64_t begin = p->begin;
    size_t n = count_marks(x, p->block, offset - begin);

    if (n < x->nmarks && x->marks[n].block == p->block)
        p->length = p->enough = x->marks[n].before;
    if (n > 0 && x->marks[n - 1].block == p->block) {
        p->item = (int)x->marks[n - 1].item;
        p->begin = begin + x->marks[n - 1].before;
        p->length -= x->marks[n - 1].before;
        if (p->enough != UINT64_MAX)
            p->enough = p->length;
    }
}

struct render_place render_index_find(const struct render_index *x, uint64_t offset)
{
    uint64_t step = render_index_step(x, offset);
    struct render_place p = {.block = step * RENDER_INDEX_STEP,
                             .item = 1,
                             .begin = x->before[step],
                             .enough = UINT64_MAX};

    while (offset - p.begin >= x->length[p.block])
        p.begin += x->length[p.block++];
    p.length = x->length[p.block];
    if (p.length > RENDER_INDEX_LARGE)
        narrow(x, offset, &p);
    return p;
}

/* ---- as bytes ---- */

void render_index_put(const struct render_index *x, struct buf *b)
{
    size_t i;

    buf_put_u64(b, x->blocks);
    buf_put_u64(b, x->size);
    buf_put_u64(b, x->rows);
    buf_put_u64(b, x->nmarks);
    buf_put(b, x->length, x->blocks * sizeof(*x->length));
    for (i = 0; i < x->nmarks; i++) {
        buf_put_u64(b, x->marks[i].block);
        buf_put_u32(b, x->marks[i].item);
        buf_put_u32(b, x->marks[i].before);
    }
}

/* Within its block, of much text, and behind the one before it. */
static bool is_mark(const struct render_index *x, const struct render_mark *m,
                    const struct render_mark *last)
{
    if (m->block >= x->blocks || x->length[m->block] <= RENDER_INDEX_LARGE || m->item < 2 ||
        m->item > ITEMS || m->before == 0 || m->before >= x->length[m->block])
        return false;
    return !last || m->block > last->block ||
           (m->block == last->block && m->item > last->item && m->before > last->before);
}

static bool get_marks(struct render_index *x, struct reader *r, uint64_t n)
{
    struct render_mark m;
    uint64_t i;

    if (n != r->left / MARK_BYTES || r->left % MARK_BYTES)
        return false;
    for (i = 0; i < n; i++) {
        m.block = reader_u64(r);
        m.item = reader_u32(r);
        m.before = reader_u32(r);
        if (!is_mark(x, &m, i ? &x->marks[i - 1] : NULL))
            return false;
        render_index_mark(x, &m, 1);
    }
    return true;
}

static void forget(struct render_index *x)
{
    uint64_t blocks = x->blocks;

    render_index_free(x);
    render_index_init(x, blocks);
}

bool render_index_get(struct render_index *x, uint64_t header, const char *bytes, size_t n)
{
    struct reader r = {bytes, n, false};
    uint64_t blocks = reader_u64(&r), size = reader_u64(&r), rows = reader_u64(&r);
    uint64_t marks = reader_u64(&r);

    if (r.bad || blocks != x->blocks || r.left / sizeof(*x->length) < blocks)
        return false;
    if (blocks)
        memcpy(x->length, r.p, blocks * sizeof(*x->length));
    r.p += blocks * sizeof(*x->length);
    r.left -= blocks * sizeof(*x->length);
    if (get_marks(x, &r, marks)) {
        x->rows = rows;
        render_index_finish(x, header);
        if (x->size == size && rows <= size - header)
            return true;
    }
    forget(x);
    return false;
}
