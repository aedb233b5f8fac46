#include "render/blocks.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/mem.h"

#define RUN 8u /* blocks read at once, from a multiple of it on */
#define UNCHECKED (-2)

struct render_source {
    struct render_pages pages;
    bool checksums;
    atomic_uint users; /* who made it, and each render_blocks that has pages of it */
};

struct render_blocks {
    struct render_source *source; /* NULL: nothing is kept */
    uint64_t first;
    unsigned n;
    int items[RUN]; /* render_page_items, or UNCHECKED */
    char pages[RUN * RENDER_BLOCK];
};

struct render_source *render_source_new(const struct render_pages *pages, bool checksums)
{
    struct render_source *s = mem_alloc(sizeof(*s));

    s->pages = *pages;
    s->checksums = checksums;
    atomic_init(&s->users, 1);
    return s;
}

void render_source_drop(struct render_source *s)
{
    if (s && atomic_fetch_sub(&s->users, 1) == 1)
        free(s);
}

struct render_blocks *render_blocks_new(void)
{
    return mem_alloc(sizeof(struct render_blocks));
}

void render_blocks_free(struct render_blocks *b)
{
    if (!b)
        return;
    render_source_drop(b->source);
    free(b);
}

static void forget(struct render_blocks *b)
{
    render_source_drop(b->source);
    b->source = NULL;
}

static int read_run(struct render_blocks *b, struct render_source *s, uint64_t block)
{
    uint64_t first = block - block % RUN, left = s->pages.blocks - first;
    unsigned i, n = left < RUN ? (unsigned)left : RUN;
    int rc;

    forget(b);
    rc = s->pages.read(s->pages.arg, first, n, b->pages);
    if (rc < 0)
        return rc;
    atomic_fetch_add(&s->users, 1);
    b->source = s;
    b->first = first;
    b->n = n;
    for (i = 0; i < n; i++)
        b->items[i] = UNCHECKED;
    return 0;
}

int render_blocks_page(struct render_blocks *b, struct render_source *s, uint64_t block,
                       const char **page, const char **fault)
{
    size_t i;
    int rc;

    if (block >= s->pages.blocks) {
        *fault = "a block is behind the end of its table";
        return -EIO;
    }
    if (b->source != s || block < b->first || block - b->first >= b->n) {
        rc = read_run(b, s, block);
        if (rc < 0) {
            *fault = "a page cannot be read";
            return rc;
        }
    }
    i = (size_t)(block - b->first);
    *page = b->pages + i * RENDER_BLOCK;
    if (b->items[i] < 0) /* a damaged page is asked again for its fault */
        b->items[i] = render_page_items(*page, s->checksums, block, fault);
    return b->items[i] < 0 ? -EIO : b->items[i];
}
