/*
 * Text that grows: what is rendered goes there. Of one thread. Memory is kept until out_free, so that
 * a row costs no allocation.
 */
#ifndef ASOFS_RENDER_OUT_H
#define ASOFS_RENDER_OUT_H

#include <stddef.h>
#include <string.h>

struct out {
    char *p; /* owned */
    size_t n, room;
};

void out_free(struct out *o);
void out_grow(struct out *o, size_t more); /* room for so much more, at least */

/* Where at most `more` bytes may be written; who did so adds their number to n. */
static inline char *out_place(struct out *o, size_t more)
{
    if (o->room - o->n <= more) /* not only <: so that even for no bytes there is a place */
        out_grow(o, more);
    return o->p + o->n;
}

static inline void out_put(struct out *o, const void *bytes, size_t n)
{
    char *to = out_place(o, n);

    if (n)
        memcpy(to, bytes, n);
    o->n += n;
}

static inline void out_putc(struct out *o, char c)
{
    *out_place(o, 1) = c;
    o->n++;
}

#endif
