/*
 * Values of variable length, as they stand in a row or in another value. Little-endian.
 *
 * PostgreSQL (varatt.h, in postgres.h until 15; the same in 14 to 18): the low bits of the first byte
 * tell what it is: 1: a pointer to TOAST, a tag byte, 18: on disk (struct varatt_external: rawsize,
 * extinfo, valueid, toastrelid); odd: a header of that byte alone, length << 1 | 1, itself included;
 * 00: four bytes, length << 2, itself included; 10: the same, compressed: then four bytes more, size
 * and method << 30 (0 pglz, 1 lz4), and the rest is the compressed value. Only what has a header of
 * four bytes is aligned, and padding is zeros.
 */
#ifndef ASOFS_RENDER_VARLENA_H
#define ASOFS_RENDER_VARLENA_H

#include "render/bytes.h"
#include "render/work.h"

/* Bytes that it takes, header included, of the `left` that there are; 0: it is none, or does not fit. */
static inline size_t varlena_size(const char *p, size_t left)
{
    unsigned char h;
    size_t n;

    if (left < 1)
        return 0;
    h = (unsigned char)*p;
    if (h == 1)
        n = left >= 2 && p[1] == 18 ? 18 : 0;
    else if (h & 1)
        n = h >> 1;
    else
        n = left >= 4 ? bytes_u32(p) >> 2 : 0;
    return n <= left && (h & 1 || n >= 4) ? n : 0;
}

/* Compressed, or in a TOAST table: it has to be opened. */
static inline bool varlena_is_closed(const char *p)
{
    unsigned char h = (unsigned char)*p;

    return h == 1 || (h & 3) == 2;
}

/* The value: where it is, or in a buffer of w. `size` is what varlena_size said. 0 or -EIO. */
int render_varlena_open(struct render_work *w, const char *p, size_t size, struct render_value *v);

/* The same for one that is closed, appended to *o. */
int render_varlena_append(struct render_work *w, const char *p, size_t size, struct out *o);

/*
 * The same for one of whose bytes only the kinds are asked for (compress.h, render_look_through). v->p NULL: it was
 * looked through, *seen are its kinds, none of them of `enough`, and v->len its length: so it is of long ones compressed
 * with pglz; else it was opened.
 */
int render_varlena_look(struct render_work *w, const char *p, size_t size, const uint8_t kinds[256],
                        unsigned enough, struct render_value *v, unsigned *seen);

static inline int render_varlena(struct render_work *w, const char *p, size_t size,
                                 struct render_value *v)
{
    if (varlena_is_closed(p))
        return render_varlena_open(w, p, size, v);
    *v = *p & 1 ? (struct render_value){p + 1, size - 1} : (struct render_value){p + 4, size - 4};
    return 0;
}

#endif
