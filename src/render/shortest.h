/*
 * Floating point numbers as PostgreSQL writes them where extra_float_digits is above 0 (d2s.c,
 * f2s.c): the shortest digits that lie between the middles to the neighbours (a middle itself does
 * not count), of several the nearest to the value, of two equally near the even one; with an
 * exponent where it is below -4 or from 15 (double) or 6 (float) on.
 */
#ifndef ASOFS_RENDER_SHORTEST_H
#define ASOFS_RENDER_SHORTEST_H

#include <stddef.h>
#include <stdint.h>

#define SHORTEST_MAX 40 /* room for the longest */

struct shortest {
    uint64_t digits;  /* as an integer, which does not end with 0 unless it is 0 */
    int exponent;     /* of ten, that it is to be multiplied with */
    int limit;        /* from this exponent of the first digit on, it is written */
    const char *name; /* NaN, Infinity: instead of all that */
    int negative;
};

/* Out of the bits of a double, or a float. */
struct shortest render_shortest_double(uint64_t bits);
struct shortest render_shortest_float(uint32_t bits);

/* Writes at most SHORTEST_MAX bytes, and returns the end. */
char *render_shortest_put(const struct shortest *s, char *p);
size_t render_shortest_length(const struct shortest *s); /* what it would write */

#endif
