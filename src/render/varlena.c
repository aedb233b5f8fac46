#include "render/varlena.h"

#include "render/compress.h"
#include "render/toast.h"

#define MOST ((1u << 30) - 1 - 4) /* MaxAllocSize, without the header */
#define LOOK_LEAST 64u            /* bytes: shorter ones are opened, so kinds say all of a text */
#define SIZE_BITS 0x3fffffffu     /* of two that the method of compression has above it */

/* What is compressed, wherever it was. */
struct packed {
    uint32_t info; /* va_tcinfo: how long what they make is, and how it is made */
    const char *p;
    size_t n;
};

static int check_packed(struct render_work *w, const struct packed *c)
{
    size_t size = c->info & SIZE_BITS;

    return size == 0 || size > MOST || !render_decompress_plausible(c->info >> 30, c->n, size)
               ? render_fail(w, "a compressed value has an impossible length")
               : 0;
}

static int decompress(struct render_work *w, const struct packed *c, struct out *o)
{
    size_t size = c->info & SIZE_BITS;
    int rc = check_packed(w, c);

    if (rc < 0)
        return rc;
    if (!render_decompress(c->info >> 30, c->p, c->n, out_place(o, size), size))
        return render_fail(w, "a compressed value is damaged");
    o->n += size;
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
static int fetch_packed(struct render_work *w, const struct pointer *at, struct packed *c)
{
    struct out *stored;
    int rc;

    if (at->stored < 4 || !render_decompress_plausible(at->method, at->stored - 4, at->size))
        return render_fail(w, "a compressed value has an impossible length");
    stored = render_work_buffer(w);
    rc = render_toast_fetch(w, at->value, at->stored, stored);
    if (rc < 0)
        return rc;
    *c = (struct packed){bytes_u32(stored->p), stored->p + 4, at->stored - 4};
    if (c->info != ((uint32_t)at->size | at->method << 30))
        return render_fail(w, "a value in TOAST has another length than its pointer says");
    return 0;
}

/* What it is, if it is compressed: 1; what is fetched for it is in a buffer of w. 0: the value as it is, appended
 * to *o. */
static int find_packed(struct render_work *w, const char *p, size_t size, struct packed *c,
                       struct out *o)
{
    struct pointer at = {0};
    int rc;

    if (*p != 1) {
        if (size < 8)
            return render_fail(w, "a compressed value is too short");
        *c = (struct packed){bytes_u32(p + 4), p + 8, size - 8};
        return 1;
    }
    rc = read_pointer(w, p, &at);
    if (rc == 0 && at.stored == at.size)
        return render_toast_fetch(w, at.value, at.stored, o);
    if (rc == 0)
        rc = fetch_packed(w, &at, c);
    return rc < 0 ? rc : 1;
}

int render_varlena_append(struct render_work *w, const char *p, size_t size, struct out *o)
{
    size_t mark = w->used;
    struct packed c;
    int rc = find_packed(w, p, size, &c, o);

    if (rc == 1)
        rc = decompress(w, &c, o);
    w->used = mark;
    return rc;
}

int render_varlena_open(struct render_work *w, const char *p, size_t size, struct render_value *v)
{
    struct out *o = render_work_buffer(w);
    int rc = render_varlena_append(w, p, size, o);

    *v = (struct render_value){o->p, o->n};
    return rc;
}

/* 1: looked through; 0: it has to be decompressed. */
static int look_through(struct render_work *w, const struct packed *c, const uint8_t kinds[256],
                        unsigned enough, unsigned *seen)
{
    int rc = check_packed(w, c);

    if (rc < 0 || c->info >> 30 != RENDER_PGLZ || (c->info & SIZE_BITS) < LOOK_LEAST)
        return rc;
    if (!render_look_through(c->p, c->n, c->info & SIZE_BITS, kinds, enough, seen))
        return render_fail(w, "a compressed value is damaged");
    return !(*seen & enough);
}

int render_varlena_look(struct render_work *w, const char *p, size_t size, const uint8_t kinds[256],
                        unsigned enough, struct render_value *v, unsigned *seen)
{
    struct out *o = render_work_buffer(w);
    size_t mark = w->used;
    struct packed c;
    int rc = find_packed(w, p, size, &c, o), packed = rc;

    *seen = 0;
    if (packed == 1)
        rc = look_through(w, &c, kinds, enough, seen);
    if (rc == 1) {
        *v = (struct render_value){NULL, c.info & SIZE_BITS};
        rc = 0;
    } else if (rc == 0) {
        if (packed == 1)
            rc = decompress(w, &c, o);
        *v = (struct render_value){o->p, o->n};
    }
    w->used = mark;
    return rc;
}
