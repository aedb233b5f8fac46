/*
 * Texts are looked through 16 bytes at once: up to 16 bytes become a chunk, what is missing in it is
 * zero, and which of them are of a kind becomes a mask, bit 0 for the first.
 */
#ifndef ASOFS_RENDER_CHUNK_H
#define ASOFS_RENDER_CHUNK_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "render/bytes.h"

#define CHUNK 16

#ifdef __SSE2__
typedef __m128i chunk;

static inline chunk chunk_whole(const char *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline chunk chunk_of(uint64_t low, uint64_t high)
{
    return _mm_set_epi64x((int64_t)high, (int64_t)low);
}

static inline void chunk_store(char *p, chunk c)
{
    _mm_storeu_si128((__m128i *)(void *)p, c);
}

static inline unsigned quotes_in(chunk c)
{
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(c, _mm_set1_epi8('"')));
}

/* Bytes that are not zero are where the specials of CSV are. */
static inline chunk csv_marks_in(chunk c)
{
    __m128i ends = _mm_or_si128(_mm_cmpeq_epi8(c, _mm_set1_epi8('\n')),
                                _mm_cmpeq_epi8(c, _mm_set1_epi8('\r')));
    __m128i others =
        _mm_or_si128(_mm_cmpeq_epi8(c, _mm_set1_epi8(',')), _mm_cmpeq_epi8(c, _mm_set1_epi8('"')));

    return _mm_or_si128(ends, others);
}

static inline chunk chunk_or(chunk a, chunk b)
{
    return _mm_or_si128(a, b);
}

static inline bool chunk_has_marks(chunk marks)
{
    return _mm_movemask_epi8(marks) != 0;
}

/* What jsonb escapes in a string: below 32, quote and backslash. */
static inline unsigned json_specials_in(chunk c)
{
    __m128i low = _mm_cmpeq_epi8(_mm_min_epu8(c, _mm_set1_epi8(31)), c);
    __m128i others =
        _mm_or_si128(_mm_cmpeq_epi8(c, _mm_set1_epi8('\\')), _mm_cmpeq_epi8(c, _mm_set1_epi8('"')));

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(low, others));
}

/* \b \t \n \v \f \r are 8 to 13. */
static inline unsigned text_specials_in(chunk c)
{
    __m128i above = _mm_sub_epi8(c, _mm_set1_epi8(8));
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(above, _mm_set1_epi8(5)), above);

    return (unsigned)_mm_movemask_epi8(
        _mm_or_si128(control, _mm_cmpeq_epi8(c, _mm_set1_epi8('\\'))));
}
#else
typedef struct {
    char byte[CHUNK];
} chunk;

static inline chunk chunk_whole(const char *p)
{
    chunk c;

    memcpy(c.byte, p, CHUNK);
    return c;
}

static inline chunk chunk_of(uint64_t low, uint64_t high)
{
    chunk c;

    memcpy(c.byte, &low, sizeof(low));
    memcpy(c.byte + sizeof(low), &high, sizeof(high));
    return c;
}

static inline void chunk_store(char *p, chunk c)
{
    memcpy(p, c.byte, CHUNK);
}

static inline unsigned quotes_in(chunk c)
{
    unsigned mask = 0, i;

    for (i = 0; i < CHUNK; i++)
        mask |= (unsigned)(c.byte[i] == '"') << i;
    return mask;
}

static inline chunk csv_marks_in(chunk c)
{
    unsigned i;

    for (i = 0; i < CHUNK; i++)
        c.byte[i] = c.byte[i] == ',' || c.byte[i] == '"' || c.byte[i] == '\n' || c.byte[i] == '\r';
    return c;
}

static inline chunk chunk_or(chunk a, chunk b)
{
    unsigned i;

    for (i = 0; i < CHUNK; i++)
        a.byte[i] = a.byte[i] | b.byte[i];
    return a;
}

static inline bool chunk_has_marks(chunk marks)
{
    static const chunk none;

    return memcmp(&marks, &none, sizeof(none)) != 0;
}

static inline unsigned json_specials_in(chunk c)
{
    unsigned mask = 0, i;

    for (i = 0; i < CHUNK; i++)
        mask |= (unsigned)((unsigned char)c.byte[i] < 32 || c.byte[i] == '\\' || c.byte[i] == '"')
                << i;
    return mask;
}

static inline unsigned text_specials_in(chunk c)
{
    unsigned mask = 0, i;

    for (i = 0; i < CHUNK; i++)
        mask |= (unsigned)((c.byte[i] >= 8 && c.byte[i] <= 13) || c.byte[i] == '\\') << i;
    return mask;
}
#endif

/* Of less than 16 bytes. Two numbers that overlap hold any length, and nothing is read beyond. */
static inline chunk chunk_part(const char *p, size_t n)
{
    uint64_t low = 0, high = 0;

    if (n > 8) {
        low = bytes_u64(p);
        high = bytes_u64(p + n - 8) >> (8 * (16 - n));
    } else if (n == 8) {
        low = bytes_u64(p);
    } else if (n >= 4) {
        low = bytes_u32(p) | (uint64_t)bytes_u32(p + n - 4) << (8 * (n - 4));
    } else if (n) {
        low = (unsigned char)p[0] | (uint64_t)(unsigned char)p[n / 2] << (8 * (n / 2)) |
              (uint64_t)(unsigned char)p[n - 1] << (8 * (n - 1));
    }
    return chunk_of(low, high);
}

/* How many bits are set. */
static inline unsigned chunk_count(unsigned mask)
{
    mask = mask - (mask >> 1 & 0x5555);
    mask = (mask & 0x3333) + (mask >> 2 & 0x3333);
    mask = (mask + (mask >> 4)) & 0x0f0f;
    return (mask + (mask >> 8)) & 0x1f;
}

/* The n bytes at p go to `to`, where CHUNK bytes more may be written. */
static inline void chunk_copy(char *to, const char *p, size_t n)
{
    for (; n >= CHUNK; to += CHUNK, p += CHUNK, n -= CHUNK)
        chunk_store(to, chunk_whole(p));
    chunk_store(to, chunk_part(p, n));
}

#endif
