/*
 * Pages that are read here and there, some neighbours at once: what was read last is kept, checked page by
 * page when it is asked for.
 *
 * A source is what pages belong to; it is counted, so that what a thread keeps is never taken for that of
 * another source that came to the same address.
 */
#ifndef ASOFS_RENDER_BLOCKS_H
#define ASOFS_RENDER_BLOCKS_H

#include "render/heap.h"

struct render_source; /* thread safe */

/* What pages.arg points to is needed as long as pages are asked for. */
struct render_source *render_source_new(const struct render_pages *pages, bool checksums);
void render_source_drop(struct render_source *s); /* its maker is done with it; NULL is fine */

struct render_blocks; /* of one thread */

struct render_blocks *render_blocks_new(void);
void render_blocks_free(struct render_blocks *b); /* NULL is fine */

/* Line pointers of the page (render_page_items), *page until the next call; or -errno with *fault. */
int render_blocks_page(struct render_blocks *b, struct render_source *s, uint64_t block,
                       const char **page, const char **fault);

#endif
