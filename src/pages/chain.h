/* page -> layer: which layer of a file holds a page. Pure, lock-free; written once. */
#ifndef ASOFS_PAGES_CHAIN_H
#define ASOFS_PAGES_CHAIN_H

#include <stdint.h>

#include "pages/side.h"

#define CHAIN_MAX 32

/*
 * The places where a page may be, newest first: the view's own difference storage, (live base) the
 * epochs from the split point on, the layers of the base, and at last the base. A file need not
 * have storage in all layers: only those that have are listed.
 */
struct chain {
    unsigned n;
    const struct side *sides[CHAIN_MAX];
};

enum { CHAIN_BASE = -1, CHAIN_ZERO = -2 };

/* The index of the side page table whose difference file holds the page; CHAIN_BASE; or CHAIN_ZERO
 * when a layer cut the file off below it. */
int chain_find(const struct chain *c, uint64_t page);

/* The end (exclusive) of the run of pages from `page` on that come from the same place, at most
 * `end`. *place: as chain_find. */
uint64_t chain_run(const struct chain *c, uint64_t page, uint64_t end, int *place);

#endif
