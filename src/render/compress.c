#include "render/compress.h"

#include <stdint.h>
#include <string.h>

#include <lz4.h>

#define PGLZ_MOST 91 /* 273 bytes of three */
#define LZ4_MOST 255 /* a match's length goes on with a byte of 255 each */
#define LZ4_SLACK 64 /* lengths in tokens */

struct pglz {
    const uint8_t *from, *from_end;
    uint8_t *to, *to_start, *to_end;
};

/* n bytes that begin `back` before `to`: where they overlap, what was written repeats. */
static inline void repeat(uint8_t *to, size_t back, size_t n)
{
    const uint8_t *from = to - back;

    while (back < n) {
        memcpy(to, from, back);
        to += back;
        n -= back;
        back *= 2;
    }
    memcpy(to, from, n);
}

/* The same for back >= 16 and 15 bytes behind the end that may be written: in steps that need no call. */
static inline void repeat_in_steps(uint8_t *to, size_t back, size_t n)
{
    const uint8_t *end = to + n;

    do {
        memcpy(to, to - back, 16);
        to += 16;
    } while (to < end);
}

static inline bool put_match(struct pglz *z)
{
    size_t back, n, left = (size_t)(z->from_end - z->from);

    if (left < 2)
        return false;
    n = (z->from[0] & 15u) + 3;
    back = ((size_t)(z->from[0] & 0xf0) << 4) | z->from[1];
    z->from += 2;
    if (n == 18) {
        if (left < 3)
            return false;
        n += *z->from++;
    }
    left = (size_t)(z->to_end - z->to);
    if (back == 0 || back > (size_t)(z->to - z->to_start) || n > left)
        return false;
    if (back >= 16 && left - n >= 15)
        repeat_in_steps(z->to, back, n);
    else
        repeat(z->to, back, n);
    z->to += n;
    return true;
}

static inline bool pglz_more(const struct pglz *z)
{
    return z->from < z->from_end && z->to < z->to_end;
}

/* What one control byte is for. */
static inline bool put_eight(struct pglz *z)
{
    unsigned control = *z->from++, i;

    if (control == 0 && z->from_end - z->from >= 8 && z->to_end - z->to >= 8) {
        memcpy(z->to, z->from, 8);
        z->from += 8;
        z->to += 8;
        return true;
    }
    for (i = 0; i < 8 && pglz_more(z); i++, control >>= 1) {
        if (!(control & 1))
            *z->to++ = *z->from++;
        else if (!put_match(z))
            return false;
    }
    return true;
}

/* Where so much is left on both sides, what one control byte is for needs no look at the ends: 8 matches of
 * three bytes, of 273 each, and what is written behind the last one. */
#define AMPLE_FROM (1 + 8 * 3 + 8)
#define AMPLE_TO (8 * 273 + 16)

/* Up to 8 bytes as they are; more are written. */
static inline void put_literals(struct pglz *z, unsigned n)
{
    memcpy(z->to, z->from, 8);
    z->from += n;
    z->to += n;
}

/* A match that ends far enough from the end of the value for steps of 16. */
static inline void put_repeated(struct pglz *z, size_t back, size_t n)
{
    if (back >= 16)
        repeat_in_steps(z->to, back, n);
    else
        repeat(z->to, back, n);
    z->to += n;
}

static inline bool put_ample_match(struct pglz *z)
{
    uint16_t head;
    size_t back, n;

    memcpy(&head, z->from, sizeof(head));
    n = (head & 15u) + 3;
    back = ((size_t)(head & 0xf0) << 4) | head >> 8;
    z->from += 2;
    if (n == 18)
        n += *z->from++;
    if (back == 0 || back > (size_t)(z->to - z->to_start))
        return false;
    put_repeated(z, back, n);
    return true;
}

static inline bool put_eight_ample(struct pglz *z)
{
    unsigned control = *z->from++ | 0x100u, n;

    for (;;) {
        n = (unsigned)__builtin_ctz(control);
        if (n)
            put_literals(z, n);
        control >>= n;
        if (control == 1)
            return true;
        if (!put_ample_match(z))
            return false;
        control >>= 1;
    }
}

static inline bool pglz_ample(const struct pglz *z)
{
    return z->from_end - z->from >= AMPLE_FROM && z->to_end - z->to >= AMPLE_TO;
}

static bool decompress_pglz(const char *p, size_t n, char *to, size_t size)
{
    struct pglz z = {.from = (const uint8_t *)p, .to = (uint8_t *)to, .to_start = (uint8_t *)to};

    z.from_end = z.from + n;
    z.to_end = z.to + size;
    while (pglz_ample(&z))
        if (!put_eight_ample(&z))
            return false;
    while (pglz_more(&z))
        if (!put_eight(&z))
            return false;
    return z.from == z.from_end && z.to == z.to_end;
}

bool render_decompress_plausible(unsigned method, size_t n, size_t size)
{
    if (method == RENDER_LZ4)
        return size <= LZ4_MOST * n + LZ4_SLACK;
    return method == RENDER_PGLZ && size <= PGLZ_MOST * n;
}

bool render_decompress(unsigned method, const char *p, size_t n, char *to, size_t size)
{
    if (!render_decompress_plausible(method, n, size) || n > INT32_MAX || size > 1u << 30)
        return false;
    if (method == RENDER_PGLZ)
        return decompress_pglz(p, n, to, size);
    return LZ4_decompress_safe(p, to, (int)n, (int)size) == (int)size;
}
