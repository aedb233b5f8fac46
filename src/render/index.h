/*
 * Where in a flat file the lines of a block are. Blocks are counted through all relations of the file.
 * Plain arrays, 4.5 bytes a block: they can be written to disk as they are.
 *
 * Filled in any order while the file is measured, by one thread at a time (a length of its own may be
 * set by any); then finished, and only read.
 */
#ifndef ASOFS_RENDER_INDEX_H
#define ASOFS_RENDER_INDEX_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define RENDER_INDEX_STEP 16 /* blocks */

/* A block with more text than this has marks within, a part apart or more. */
#define RENDER_INDEX_LARGE (64u << 10)
#define RENDER_INDEX_PART (32u << 10)

/* The line of this item begins so many bytes behind the first of its block. */
struct render_mark {
    uint64_t block;
    uint32_t item, before;
};

struct render_index {
    uint64_t blocks;
    uint64_t size, rows;       /* of the file: bytes, the header too; lines without it */
    uint32_t *length;          /* of the text of each block */
    uint64_t *before;          /* bytes of the file before every 16th block */
    struct render_mark *marks; /* by block and item */
    size_t nmarks, marks_room;
};

/* Lines that are rendered at once: those of a block, or of some of its items. */
struct render_place {
    uint64_t block;
    int item;        /* the first */
    uint64_t begin;  /* in the file */
    uint64_t length; /* at least 1 */
    uint64_t enough; /* bytes to end with: length, or UINT64_MAX at the end of the block */
};

void render_index_init(struct render_index *x, uint64_t blocks);
void render_index_free(struct render_index *x);

void render_index_mark(struct render_index *x, const struct render_mark *marks, size_t n);

/* All lengths and marks are there. */
void render_index_finish(struct render_index *x, uint64_t header);

/*
 * A finished index as bytes (docs/formats.md), and back into one that was made for as many blocks: finished then. false:
 * it is not of such a file, or makes no sense, and x is as it was made. What it says need not be true even so, but never
 * leads out of the file.
 */
void render_index_put(const struct render_index *x, struct buf *b);
bool render_index_get(struct render_index *x, uint64_t header, const char *bytes, size_t n);

/* The last step that begins at or before the offset: where blocks without text make several begin at the same byte, the
 * last of them. */
uint64_t render_index_step(const struct render_index *x, uint64_t offset);

/* The place with the byte at `offset`, which is not in the header and not beyond the end. */
struct render_place render_index_find(const struct render_index *x, uint64_t offset);

#endif
