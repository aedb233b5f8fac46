/* Pages of a heap, and their rows, made by hand. */
#ifndef ASOFS_TESTS_HEAPBYTES_H
#define ASOFS_TESTS_HEAPBYTES_H

#include <stddef.h>
#include <stdint.h>

#define HEAPBYTES_NEW                                                                              \
    0x0900u /* t_infomask: inserted by a committed transaction, nobody deleted it */

struct heapbytes_row {
    uint32_t xmin, xmax;
    unsigned mask;    /* t_infomask */
    unsigned columns; /* t_infomask2 */
};

void heapbytes_u16(char *p, unsigned v);
void heapbytes_u32(char *p, uint32_t v);

/* A page of 8192 bytes without rows. */
void heapbytes_page(char *page);

/* The line pointer of an item, made or changed: the page's `lower` grows if it must. */
void heapbytes_pointer(char *page, int item, unsigned at, unsigned flags, unsigned len);

/* Adds a row of these bytes, behind a header of 24 bytes. Returns its item; 0: the page is full. */
int heapbytes_add(char *page, struct heapbytes_row row, const void *data, size_t len);

/* Adds a row of a TOAST table: a chunk, its header short where it is (126 bytes at most). */
int heapbytes_add_chunk(char *page, struct heapbytes_row row, uint32_t value, uint32_t number,
                        const void *data, size_t len);

/* The header alone, 24 bytes. */
void heapbytes_header(char *p, struct heapbytes_row row);

#endif
