#include "heapbytes.h"

#include <string.h>

#include "render/bytes.h"

void heapbytes_u16(char *p, unsigned v)
{
    p[0] = (char)v;
    p[1] = (char)(v >> 8);
}

void heapbytes_u32(char *p, uint32_t v)
{
    heapbytes_u16(p, v & 0xffff);
    heapbytes_u16(p + 2, v >> 16);
}

void heapbytes_page(char *page)
{
    memset(page, 0, 8192);
    heapbytes_u16(page + 12, 24);
    heapbytes_u16(page + 14, 8192);
    heapbytes_u16(page + 16, 8192);
    heapbytes_u16(page + 18, 8192 | 4);
}

void heapbytes_pointer(char *page, int item, unsigned at, unsigned flags, unsigned len)
{
    unsigned end = 24 + 4 * (unsigned)item;

    if (bytes_u16(page + 12) < end)
        heapbytes_u16(page + 12, end);
    heapbytes_u32(page + end - 4, at | flags << 15 | len << 17);
}

void heapbytes_header(char *p, struct heapbytes_row row)
{
    memset(p, 0, 24);
    heapbytes_u32(p, row.xmin);
    heapbytes_u32(p + 4, row.xmax);
    heapbytes_u16(p + 18, row.columns);
    heapbytes_u16(p + 20, row.mask);
    p[22] = 24;
}

int heapbytes_add(char *page, struct heapbytes_row row, const void *data, size_t len)
{
    unsigned lower = bytes_u16(page + 12), upper = bytes_u16(page + 14);
    unsigned room = (unsigned)(24 + len + 7) & ~7u;
    int item = (int)(lower - 24) / 4 + 1;

    if (lower + 4 + room > upper)
        return 0;
    upper -= room;
    heapbytes_u16(page + 14, upper);
    heapbytes_header(page + upper, row);
    memcpy(page + upper + 24, data, len);
    heapbytes_pointer(page, item, upper, 1, (unsigned)(24 + len));
    return item;
}

int heapbytes_add_chunk(char *page, struct heapbytes_row row, uint32_t value, uint32_t number,
                        const void *data, size_t len)
{
    size_t header = len <= 126 ? 1 : 4;
    char bytes[8192];

    heapbytes_u32(bytes, value);
    heapbytes_u32(bytes + 4, number);
    heapbytes_u32(bytes + 8, (uint32_t)(len + 4) << 2);
    if (header == 1)
        bytes[8] = (char)((len + 1) << 1 | 1);
    memcpy(bytes + 8 + header, data, len);
    row.columns = (row.columns & ~0x7ffu) | 3;
    return heapbytes_add(page, row, bytes, 8 + header + len);
}
