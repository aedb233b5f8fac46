/* Numbers as PostgreSQL stores them on a little-endian machine, from any address. */
#ifndef ASOFS_RENDER_BYTES_H
#define ASOFS_RENDER_BYTES_H

#include <stdint.h>
#include <string.h>

static inline uint16_t bytes_u16(const char *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint32_t bytes_u32(const char *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint64_t bytes_u64(const char *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

/* The next multiple of what pg_type.typalign says: 'c' 1, 's' 2, 'i' 4, 'd' 8. */
static inline size_t bytes_align(size_t n, char align)
{
    size_t to = align == 'd' ? 8 : align == 'i' ? 4 : align == 's' ? 2 : 1;

    return (n + to - 1) & ~(to - 1);
}

#endif
