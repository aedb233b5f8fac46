/* Decimal digits of integers, two and four at a time. */
#ifndef ASOFS_RENDER_DIGITS_H
#define ASOFS_RENDER_DIGITS_H

#include <stdint.h>
#include <string.h>

#define DIGITS_MAX 20 /* bytes of the longest number, its sign included */

extern const char digits_fours[10000 * 4 + 1]; /* "000000010002…9999" */
extern const char digits_hex[256 * 2 + 1];     /* "000102…ff" */

static inline unsigned digits_count(uint64_t v)
{
    static const uint64_t powers[] = {0,
                                      10,
                                      100,
                                      1000,
                                      10000,
                                      100000,
                                      1000000,
                                      10000000,
                                      100000000,
                                      1000000000,
                                      10000000000,
                                      100000000000,
                                      1000000000000,
                                      10000000000000,
                                      100000000000000,
                                      1000000000000000,
                                      10000000000000000,
                                      100000000000000000,
                                      1000000000000000000,
                                      10000000000000000000u};
    unsigned bits = 64 - (unsigned)__builtin_clzll(v | 1);
    unsigned n = (bits * 1233) >> 12; /* log10(2) is about 1233 / 4096 */

    return n + (v >= powers[n] ? 1 : 0);
}

/* The last two, or four, digits of what is below 100, or 10000. Returns the end. */
static inline char *digits_two(char *p, unsigned v)
{
    memcpy(p, digits_fours + v * 4 + 2, 2);
    return p + 2;
}

static inline char *digits_four(char *p, unsigned v)
{
    memcpy(p, digits_fours + v * 4, 4);
    return p + 4;
}

/* A byte in hexadecimal. */
static inline char *digits_byte(char *p, unsigned char v)
{
    memcpy(p, digits_hex + v * 2, 2);
    return p + 2;
}

/* All of them, n of which there are (digits_count; or more: zeros in front). */
static inline char *digits_padded(char *p, uint64_t v, unsigned n)
{
    unsigned at = n;

    while (at >= 4) {
        at -= 4;
        digits_four(p + at, (unsigned)(v % 10000));
        v /= 10000;
    }
    memcpy(p, digits_fours + (v % 10000) * 4 + 4 - at, at);
    return p + n;
}

static inline char *digits_unsigned(char *p, uint64_t v)
{
    return digits_padded(p, v, digits_count(v));
}

static inline uint64_t digits_absolute(int64_t v)
{
    return v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
}

static inline char *digits_signed(char *p, int64_t v)
{
    *p = '-';
    return digits_unsigned(p + (v < 0), digits_absolute(v));
}

static inline unsigned digits_count_signed(int64_t v)
{
    return (v < 0 ? 1 : 0) + digits_count(digits_absolute(v));
}

#endif
