/*
 * A page is 64 rows of 32 words. Each column has a sum of its own, so that a processor adds eight words
 * at once: sum = (sum ^ word) * prime ^ (sum ^ word) >> 17. Two rows of zeros follow, and all sums and
 * the block's number are folded into 16 bits.
 */
#include "render/checksum.h"

#include <stddef.h>
#include <string.h>

#include "render/heap.h"

#define ROW 128u /* bytes */
#define PRIME 16777619u

typedef uint32_t eight __attribute__((vector_size(32)));

struct sums {
    eight of[4];
};

/* What the columns start with: part of the format. */
static const uint32_t start[32] = {
    0x5b1f36e9, 0xb8525960, 0x02ab50aa, 0x1de66d2a, 0x79ff467a, 0x9bb9f8a3, 0x217e7cd2, 0x83e13d2c,
    0xf8d4474f, 0xe39eb970, 0x42c6ae16, 0x993216fa, 0x7b093b5d, 0x98daff3c, 0xf718902a, 0x0b1c9cdb,
    0xe58f764b, 0x187636bc, 0x5d7b3bb1, 0xe73de7de, 0x92bec979, 0xcca6c0b2, 0x304a0979, 0x85aa43d4,
    0x783125bb, 0x6ca8eaa2, 0xe407eac6, 0x4b5cfc3e, 0x9fbf8c76, 0x15ca20be, 0xf2ca9fd3, 0x959bd756,
};

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE void add_words(eight *sum, const char *words)
{
    eight v;

    memcpy(&v, words, sizeof(v));
    v ^= *sum;
    *sum = (v * PRIME) ^ (v >> 17);
}

ALWAYS_INLINE void add_row(struct sums *s, const char *row)
{
    add_words(&s->of[0], row);
    add_words(&s->of[1], row + 32);
    add_words(&s->of[2], row + 64);
    add_words(&s->of[3], row + 96);
}

ALWAYS_INLINE uint32_t sum_page(const char *page)
{
    char row[ROW];
    uint32_t columns[32], sum = 0;
    struct sums s;
    size_t i;

    memcpy(&s, start, sizeof(s));
    memcpy(row, page, sizeof(row));
    memset(row + 8, 0, 2);
    add_row(&s, row);
    for (i = ROW; i < RENDER_BLOCK; i += ROW)
        add_row(&s, page + i);
    memset(row, 0, sizeof(row));
    add_row(&s, row);
    add_row(&s, row);
    memcpy(columns, &s, sizeof(columns));
    for (i = 0; i < 32; i++)
        sum ^= columns[i];
    return sum;
}

static uint32_t sum_anywhere(const char *page)
{
    return sum_page(page);
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static uint32_t sum_avx2(const char *page)
{
    return sum_page(page);
}

static uint32_t sum_best(const char *page)
{
    return __builtin_cpu_supports("avx2") ? sum_avx2(page) : sum_anywhere(page);
}
#else
#define sum_best sum_anywhere
#endif

uint16_t render_page_checksum(const char *page, uint64_t block)
{
    return (uint16_t)((sum_best(page) ^ (uint32_t)block) % 65535 + 1);
}
