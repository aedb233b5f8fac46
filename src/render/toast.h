/*
 * Values that were too long for a page: their chunks lie in the relation's TOAST table, and are found
 * without its index by a map of where each is, made in one pass when the first is asked for. Chunks
 * whose row was inserted by a transaction that did not commit are none.
 *
 * A chunk is 16 bytes of the map: value, number, block and item. Thread safe.
 */
#ifndef ASOFS_RENDER_TOAST_H
#define ASOFS_RENDER_TOAST_H

#include "render/heap.h"
#include "render/work.h"

struct render_toast;

/* pages and xacts are borrowed. checksums as in render_page_check. */
struct render_toast *render_toast_new(const struct render_pages *pages, struct render_xacts *xacts,
                                      bool checksums);
void render_toast_free(struct render_toast *t); /* NULL is fine */

/* Append the chunks of a value, which are `size` bytes together. 0, or -EIO or another errno of reading
 * with the fault told. */
int render_toast_fetch(struct render_work *w, uint32_t value, size_t size, struct out *o);

#endif
