#include "render/varlena.h"

#include "render/compress.h"
#include "render/toast.h"

#define MOST ((1u << 30) - 1 - 4) /* MaxAllocSize, without the header */
#define SIZE_BITS 0x3fffffffu     /* of two that the method of compression has above it */

/* The n bytes at p are `info` (va_tcinfo), which says how long what they make is, and how it is made. */
static int decompress(struct render_work *w, uint32_t info, const char *p, size_t n, struct out *o)
{
    size_t size = info & SIZE_BITS;
    char *to;

    if (size == 0 || size > MOST || !render_decompress_plausible(info >> 30, n, size))
        return render_fail(w, "a compressed value has an impossible length");
    to = out_place(o, size);
    if (!render_decompress(info >> 30, p, n, to, size))
        return render_fail(w, "a compressed value is damaged");
    o->n = size;
    return 0;
}

struct pointer {
    size_t size, stored; /* of the value, and of its chunks together */
    uint32_t method, value;
};

static int read_pointer(struct render_work *w, const char *p, struct pointer *at)
{
    uint32_t size = bytes_u32(p + 2), info = bytes_u32(p + 6);

    if (size < 4 || size - 4 > MOST || (info & SIZE_BITS) > size - 4)
        return render_fail(w, "a pointer to TOAST has an impossible length");
    if (!w->toast)
        return render_fail(w, "a pointer to TOAST in a table that has none");
    *at = (struct pointer){.size = size - 4,
                           .stored = info & SIZE_BITS,
                           .method = info >> 30,
                           .value = bytes_u32(p + 10)};
    return 0;
}

/* What is stored begins with va_tcinfo, which has to say the same as the pointer. */
static int open_compressed_chunks(struct render_work *w, const struct pointer *at, struct out *o)
{
    struct out *stored;
    size_t mark;
    int rc;

    if (at->stored < 4 || !render_decompress_plausible(at->method, at->stored - 4, at->size))
        return render_fail(w, "a compressed value has an impossible length");
    mark = w->used;
    stored = render_work_buffer(w);
    rc = render_toast_fetch(w, at->value, at->stored, stored);
    if (rc == 0 && bytes_u32(stored->p) != ((uint32_t)at->size | at->method << 30))
        rc = render_fail(w, "a value in TOAST has another length than its pointer says");
    if (rc == 0)
        rc = decompress(w, bytes_u32(stored->p), stored->p + 4, at->stored - 4, o);
    w->used = mark;
    return rc;
}

static int open_pointer(struct render_work *w, const char *p, struct out *o)
{
    struct pointer at = {0};
    int rc = read_pointer(w, p, &at);

    if (rc < 0)
        return rc;
    if (at.stored < at.size)
        return open_compressed_chunks(w, &at, o);
    return render_toast_fetch(w, at.value, at.stored, o);
}

int render_varlena_open(struct render_work *w, const char *p, size_t size, struct render_value *v)
{
    struct out *o = render_work_buffer(w);
    int rc;

    if (*p == 1)
        rc = open_pointer(w, p, o);
    else if (size < 8)
        rc = render_fail(w, "a compressed value is too short");
    else
        rc = decompress(w, bytes_u32(p + 4), p + 8, size - 8, o);
    *v = (struct render_value){o->p, o->n};
    return rc;
}
