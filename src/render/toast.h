/*
 * Values that were too long for a page: their chunks lie in the relation's TOAST table, and are found
 * without its index by a map of where each is, made in one pass when the first is asked for. Chunks
 * whose row was inserted by a transaction that did not commit are none. Thread safe: one makes the
 * map, and the others wait; who fails to read the table tells all that come.
 *
 * The map (toastmap.h) has 16 bytes for chunks that lie side by side, and goes to a file where it needs more memory than
 * there is. A page or row of the TOAST table that is damaged is left out, so that only values that lack a chunk fail.
 *
 * A row of the table (toast_internals.c): chunk_id oid, chunk_seq int4 from 0 on, chunk_data bytea, all
 * there; a chunk has 1996 bytes (TOAST_MAX_CHUNK_SIZE, heaptoast.h, for pages of 8192), the last what is left.
 */
#ifndef ASOFS_RENDER_TOAST_H
#define ASOFS_RENDER_TOAST_H

#include "render/heap.h"
#include "render/toastmap.h"
#include "render/work.h"

/* Another size is one of a server that was built otherwise (pg_control has it), and not read here. */
#define RENDER_TOAST_CHUNK 1996u

struct render_toast;

/* pages and xacts are borrowed; the room is copied, what it points at is borrowed. checksums as in render_page_items. */
struct render_toast *render_toast_new(const struct render_pages *pages, struct render_xacts *xacts,
                                      bool checksums, const struct toastmap_room *room);
void render_toast_free(struct render_toast *t); /* NULL is fine */

/* Append the chunks of a value of w->toast, which are `size` bytes together; memory is taken for what is
 * there. 0, or -EIO or another errno of reading with the fault told. */
int render_toast_fetch(struct render_work *w, uint32_t value, size_t size, struct out *o);

#endif
