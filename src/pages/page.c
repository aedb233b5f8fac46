#include "pages/page.h"

#include <assert.h>
#include <isa-l/crc.h>

#define CHUNK ((size_t)1 << 30) /* ISA-L counts in int */

/* The running value is kept inverted, as the polynomial division has it. */
static uint32_t extend_crc(uint32_t state, const void *bytes, size_t len)
{
    const unsigned char *p = bytes;

    while (len) {
        size_t n = len < CHUNK ? len : CHUNK;

        /* The parameter lacks its const; nothing is written. */
        state = crc32_iscsi((unsigned char *)(uintptr_t)p, (int)n, state);
        p += n;
        len -= n;
    }
    return state;
}

uint32_t crc32c(const void *bytes, size_t len)
{
    return ~extend_crc(UINT32_MAX, bytes, len);
}

uint32_t crc32c_more(uint32_t crc, const void *bytes, size_t len)
{
    return ~extend_crc(~crc, bytes, len);
}

uint32_t page_crc(const void *bytes, size_t len)
{
    static const unsigned char zeros[PAGE_BYTES];
    uint32_t state, crc;

    assert(len <= PAGE_BYTES);
    state = extend_crc(UINT32_MAX, bytes, len);
    crc = ~extend_crc(state, zeros, PAGE_BYTES - len);
    return crc ? crc : UINT32_MAX;
}
