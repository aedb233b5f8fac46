/* The page: the unit of difference storage. PostgreSQL may use another block size above it. */
#ifndef ASOFS_PAGES_PAGE_H
#define ASOFS_PAGES_PAGE_H

#include <stddef.h>
#include <stdint.h>

#define PAGE_BYTES 8192u

/* Pages that hold `size` bytes. */
static inline uint64_t page_count(uint64_t size)
{
    return size / PAGE_BYTES + (size % PAGE_BYTES != 0);
}

/*
 * CRC-32C (Castagnoli) of a page, as if it were filled up to PAGE_BYTES with zeros: the odd last
 * page of a file keeps its checksum when the file grows. len <= PAGE_BYTES. Never 0, which stands
 * for "no checksum" on disk: a checksum of 0 is given as 0xffffffff.
 */
uint32_t page_crc(const void *bytes, size_t len);

/* CRC-32C of any bytes, as in iSCSI and PostgreSQL. */
uint32_t crc32c(const void *bytes, size_t len);

/* Of what has the CRC-32C `crc`, and of more after it. */
uint32_t crc32c_more(uint32_t crc, const void *bytes, size_t len);

#endif
