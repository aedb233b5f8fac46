/*
 * An index as it lies on disk, of any bytes: it is refused, or every byte of the file is in a place that it names,
 * and it is written as it was.
 *
 * The input: how many blocks the file has, how many bytes its header, then the index.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "render/index.h"

#define TRIES 64

static void check_place(const struct render_index *x, uint64_t offset)
{
    struct render_place p = render_index_find(x, offset);

    if (p.block >= x->blocks || p.item < 1 || p.begin > offset || offset - p.begin >= p.length)
        abort();
    if (p.length > x->length[p.block] || p.begin + p.length > x->size)
        abort();
}

static void check_places(const struct render_index *x, uint64_t header)
{
    uint64_t i, text = x->size - header;

    for (i = 0; text && i < TRIES; i++) {
        check_place(x, header + text / TRIES * i);
        check_place(x, header + (i < text ? i : 0));
        check_place(x, x->size - 1 - (i < text ? i : 0));
    }
}

static void check_bytes(const struct render_index *x, const char *bytes, size_t n)
{
    struct buf b = {0};

    render_index_put(x, &b);
    if (b.len != n || memcmp(b.data, bytes, n) != 0)
        abort();
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct render_index x;
    const char *bytes = (const char *)data + 2;

    if (size < 2)
        return 0;
    render_index_init(&x, data[0]);
    if (render_index_get(&x, data[1], bytes, size - 2)) {
        check_places(&x, data[1]);
        check_bytes(&x, bytes, size - 2);
    }
    render_index_free(&x);
    return 0;
}
