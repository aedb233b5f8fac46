/*
 * render/: heap pages to text, without a server. Pure: pages and files come by callbacks, and text or
 * an error goes out. May be called from view/; calls only common/.
 *
 *   out, work       text that grows; what a thread needs
 *   type            types, and those that write them: number, text, datetime (zone), network, shape,
 *                   binary, document, nested
 *   varlena, toast  values of variable length, compressed (compress), or in a TOAST table
 *   heap            where pages come from; a page's header, checksum, items
 *   xacts           what became of a transaction
 *   rows            a block's visible rows as lines (field: their fields)
 *   lines           a table's flat file: lengths, index, any part of it
 *
 * What is read of PostgreSQL's formats is the same in majors 14 to 18, block size 8192,
 * little-endian. Here: pages.
 */
#ifndef ASOFS_RENDER_HEAP_H
#define ASOFS_RENDER_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RENDER_BLOCK 8192u

/* The main fork of a relation. Read from any thread. */
struct render_pages {
    uint64_t blocks;
    /* n blocks from `block` on, of those that there are. 0 or -errno. */
    int (*read)(void *arg, uint64_t block, unsigned n, char *pages);
    void *arg;
};

/*
 * A page (bufpage.h, PageHeaderData): lsn, checksum u16 at 8, flags at 10, lower 12, upper 14, special
 * 16, size and version 18 (8192 | 4), prune xid 20; line pointers from 24 on (itemid.h: offset in bits
 * 0-14, flags 15-16, length 17-31). A page of zeros is empty.
 */

/* Line pointers that it has; -1: it is damaged, *fault tells how. checksum: the one in it is compared,
 * as the page of that number within its relation (checksum_impl.h). */
int render_page_items(const char *page, bool checksum, uint64_t block, const char **fault);

/* The row of item 1 to n. 1: there is one; 0: none (unused, dead, redirected); -1: damaged. At least 23
 * bytes, aligned to 8; t_hoff (22) lies within. */
int render_page_row(const char *page, int item, const char **row, size_t *len, const char **fault);

struct render_xacts; /* xacts.h */

#endif
