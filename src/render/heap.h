/*
 * render/: heap pages to text, without a server. Pure: pages and files come by callbacks, and text or
 * an error goes out. May be called from view/; calls only common/.
 *
 *   out, work       text that grows; what a thread needs
 *   type            types, and those that write them: number, text, datetime (zone), network, shape,
 *                   binary, search, labels, jsonb and jsonpath (json), nested (array, row, range)
 *   varlena, toast  values of variable length, compressed (compress), or in a TOAST table
 *   toastmap        where the chunks of a TOAST table are, in memory (memory) or in a file
 *   heap            where pages come from; a page's header, checksum, items
 *   blocks          pages read here and there, some at once
 *   xacts           what became of a transaction
 *   rows            a block's visible rows as lines (field: their fields)
 *   lines           a table's flat file: lengths, index, any part of it
 *   memory          how much may be kept
 *
 * What is read of PostgreSQL's formats is the same in majors 14 to 18, block size 8192,
 * little-endian. Here: pages.
 */
#ifndef ASOFS_RENDER_HEAP_H
#define ASOFS_RENDER_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "render/bytes.h"

#define RENDER_BLOCK 8192u

/* The main fork of a relation. Read from any thread. */
struct render_pages {
    uint64_t blocks;
    /* n blocks from `block` on, of those that there are. 0 or -errno. */
    int (*read)(void *arg, uint64_t block, unsigned n, char *pages);
    void *arg;
};

/*
 * A page (bufpage.h, PageHeaderData): lsn, checksum u16 at 8, flags at 10 (bits 0-2), lower 12, upper 14,
 * special 16, size and version 18 (8192 | 4), prune xid 20; line pointers from 24 on (itemid.h: offset in
 * bits 0-14, flags 15-16, length 17-31). A page of zeros is empty.
 */

/* Line pointers that it has; -1: it is damaged, *fault tells how (a static text). checksum: the one in it
 * is compared, as that of block `block` of its relation (checksum.h). */
int render_page_items(const char *page, bool checksum, uint64_t block, const char **fault);

/* t_hoff, of a row of n bytes, 24 or more. */
static inline bool render_row_header_fits(const char *row, size_t n)
{
    size_t hoff = (unsigned char)row[22], bits = row[20] & 1 ? bytes_u16(row + 18) & 0x7ffu : 0;

    return hoff <= n && hoff % 8 == 0 && hoff >= 23 + (bits + 7) / 8;
}

/*
 * The row of item 1 to n of a page that render_page_items found right. 1: there is one; 0: none (unused,
 * dead, redirected); -1: damaged, *fault tells how. A row (htup_details.h, HeapTupleHeaderData) has 24
 * bytes or more, aligned to 8 within the page, and t_hoff (u8 at 22), which is a multiple of 8 from 24
 * on, lies within, behind the bitmap of nulls if it has one (bit 0 of t_infomask, u16 at 20; as many bits,
 * from 23 on, as t_infomask2, u16 at 18, & 0x7ff says).
 */
static inline int render_page_row(const char *page, int item, const char **row, size_t *len,
                                  const char **fault)
{
    uint32_t pointer = bytes_u32(page + 20 + 4 * (size_t)item);
    size_t at = pointer & 0x7fff, n = pointer >> 17;

    if ((pointer >> 15 & 3) != 1)
        return 0;
    *row = page + at;
    *len = n;
    if (at < bytes_u16(page + 14) || at + n > bytes_u16(page + 16) || n < 24 || at % 8 != 0)
        *fault = "a line pointer is damaged";
    else if (!render_row_header_fits(*row, n))
        *fault = "the header of a row is damaged";
    else
        return 1;
    return -1;
}

struct render_xacts; /* xacts.h */

#endif
