/* Decimal digits of integers, two and four at a time. */
#ifndef ASOFS_RENDER_DIGITS_H
#define ASOFS_RENDER_DIGITS_H

#include <stdint.h>
#include <string.h>

#define DIGITS_SLACK 7                 /* bytes that are written behind a number, for speed */
#define DIGITS_MAX (20 + DIGITS_SLACK) /* room for the longest, its sign included */

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

/* All digits of what is below 10000; four bytes are written. */
static inline unsigned digits_count_short(unsigned v)
{
    return 1u + (v > 9) + (v > 99) + (v > 999);
}

static inline char *digits_short(char *p, unsigned v)
{
    unsigned n = digits_count_short(v);
    uint32_t four;

    memcpy(&four, digits_fours + v * 4, 4);
    four >>= 32 - 8 * n;
    memcpy(p, &four, 4);
    return p + n;
}

/* Eight digits as they lie in memory, of what is below 100000000. */
static inline uint64_t digits_eight(uint64_t v)
{
    uint32_t high, low;

    memcpy(&high, digits_fours + v / 10000 * 4, 4);
    memcpy(&low, digits_fours + v % 10000 * 4, 4);
    return (uint64_t)low << 32 | high;
}

/* The first n of them, 1 to 8, are the number; all eight bytes are written. */
static inline char *digits_upto_eight(char *p, uint64_t v, unsigned n)
{
    uint64_t eight = digits_eight(v) >> (64 - 8 * n);

    memcpy(p, &eight, 8);
    return p + n;
}

/* n digits, 1 to 20 and as many as it has, or more: then with zeros in front. Up to DIGITS_SLACK
 * bytes behind them are written, too. */
static inline char *digits_padded(char *p, uint64_t v, unsigned n)
{
    if (n > 16) {
        p = digits_upto_eight(p, v / 10000000000000000, n - 16);
        v %= 10000000000000000;
        n = 16;
    }
    if (n > 8) {
        p = digits_upto_eight(p, v / 100000000, n - 8);
        v %= 100000000;
        n = 8;
    }
    return digits_upto_eight(p, v, n);
}

/* All that it has; bytes behind as above. Most are short. */
static inline char *digits_unsigned(char *p, uint64_t v)
{
    return v < 10000 ? digits_short(p, (unsigned)v) : digits_padded(p, v, digits_count(v));
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
