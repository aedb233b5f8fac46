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

/*
 * Where so much is left on both sides, what one control byte is for needs no look at the ends: 8 matches of
 * three bytes, of 273 each, and what is read and written behind the last one.
 */
#define STEP 16
#define FARTHEST 4096u /* back, of a match, and less */
#define AMPLE_FROM (1 + 8 * 3 + STEP)
#define AMPLE_TO (8 * 273 + STEP)

/* A byte as it is, or a match: which, nobody foresees, so it is all ones (match) or zeros (byte), and no
 * branch. */
struct token {
    size_t match;
    size_t back, n; /* of a match: n without the third byte; of a byte 1 */
};

static inline struct token take_token(const uint8_t **from, unsigned bit)
{
    struct token t = {.match = 0 - (size_t)bit};
    uint16_t head;

    memcpy(&head, *from, sizeof(head));
    t.back = (size_t)(head & 0xf0) << 4 | head >> 8;
    t.n = (((head & 15u) + 2) & t.match) + 1;
    *from += 1 + bit;
    return t;
}

/* A match from before the beginning, or from nowhere, of a value that has a byte already. */
static inline bool is_beyond(const struct token *t, size_t made)
{
    return ((t->back - 1) & t->match) >= made;
}

static __attribute__((noinline)) void put_unusual(struct pglz *z, const struct token *t)
{
    size_t n = t->n;

    if (n == 18)
        n += *z->from++;
    if (t->back >= STEP)
        repeat_in_steps(z->to, t->back, n);
    else
        repeat(z->to, t->back, n);
    z->to += n;
}

/* STEP bytes are copied, whatever it is. */
static inline bool put_token(struct pglz *z, unsigned bit)
{
    uintptr_t byte = (uintptr_t)z->from, source;
    struct token t = take_token(&z->from, bit);

    if (is_beyond(&t, (size_t)(z->to - z->to_start)))
        return false;
    if (t.n > STEP || (t.back | ~t.match) < STEP) {
        put_unusual(z, &t);
        return true;
    }
    source = (((uintptr_t)z->to - t.back) & t.match) | (byte & ~t.match);
    memcpy(z->to, (const void *)source, STEP);
    z->to += t.n;
    return true;
}

static inline bool put_eight_ample(struct pglz *z)
{
    unsigned control = *z->from++, i;

    if (control == 0) {
        memcpy(z->to, z->from, 8);
        z->from += 8;
        z->to += 8;
        return true;
    }
#pragma GCC unroll 8
    for (i = 0; i < 8; i++)
        if (!put_token(z, control >> i & 1))
            return false;
    return true;
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
    if (pglz_more(&z) && !put_eight(&z)) /* from here on it has a byte */
        return false;
    while (pglz_ample(&z))
        if (!put_eight_ample(&z))
            return false;
    while (pglz_more(&z))
        if (!put_eight(&z))
            return false;
    return z.from == z.from_end && z.to == z.to_end;
}

/* ---- looked through, without making the value ---- */

struct look {
    const uint8_t *from, *from_end;
    const uint8_t *kinds;
    size_t made, size;
    unsigned seen;
};

/* Matches repeat what is there already: only bytes that are written as they are, are looked at. */
static inline bool look_at_one(struct look *l, unsigned bit)
{
    const uint8_t *from = l->from;
    struct token t;

    if (!bit) {
        l->seen |= l->kinds[*l->from++];
        l->made++;
        return true;
    }
    if (l->from_end - from < 2)
        return false;
    t = take_token(&l->from, 1);
    if (t.n == 18) {
        if (l->from == l->from_end)
            return false;
        t.n += *l->from++;
    }
    if (is_beyond(&t, l->made) || t.n > l->size - l->made)
        return false;
    l->made += t.n;
    return true;
}

static inline bool look_has_more(const struct look *l)
{
    return l->from < l->from_end && l->made < l->size;
}

static inline bool look_at_eight(struct look *l)
{
    unsigned control = *l->from++, i;

    for (i = 0; i < 8 && look_has_more(l); i++, control >>= 1)
        if (!look_at_one(l, control & 1))
            return false;
    return true;
}

/* As put_eight_ample, where no match can be from before the beginning: but from nowhere. */
static inline bool look_at_eight_ample(struct look *l)
{
    const uint8_t *from = l->from;
    unsigned control = *from++, i, seen = 0;
    size_t made = 0, nowhere = 0;

#pragma GCC unroll 8
    for (i = 0; i < 8; i++) {
        unsigned bit = control >> i & 1;
        uint8_t byte = *from;
        struct token t = take_token(&from, bit);

        seen |= l->kinds[byte] & (bit - 1);
        nowhere |= (t.back - 1) & t.match;
        made += t.n;
        if (t.n == 18)
            made += *from++;
    }
    l->from = from;
    l->made += made;
    l->seen |= seen;
    return nowhere < FARTHEST;
}

static inline bool look_is_ample(const struct look *l)
{
    return l->from_end - l->from >= AMPLE_FROM && l->size - l->made >= AMPLE_TO;
}

bool render_look_through(const char *p, size_t n, size_t size, const uint8_t kinds[256],
                         unsigned enough, unsigned *seen)
{
    struct look l = {.from = (const uint8_t *)p, .kinds = kinds, .size = size};

    l.from_end = l.from + n;
    while (look_has_more(&l) && l.made < FARTHEST && !(l.seen & enough))
        if (!look_at_eight(&l))
            return false;
    while (look_is_ample(&l) && !(l.seen & enough))
        if (!look_at_eight_ample(&l))
            return false;
    while (look_has_more(&l) && !(l.seen & enough))
        if (!look_at_eight(&l))
            return false;
    *seen = l.seen;
    return l.seen & enough || (l.from == l.from_end && l.made == size);
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
