/*
 * Where the chunks of a TOAST table are: for toast.c, which fills it in one pass, finishes it, and then finds values
 * in it, from any number of threads.
 *
 * What is kept are runs: chunks of one value that follow each other in number and in place, from line pointer to line
 * pointer and from the last of a page to the first of the next. A run has 16 bytes, however many chunks it has; a value
 * that was written alone is one. Runs of a value may overlap where its number was given twice.
 *
 * Memory: 64 KiB, and more as long as it is at most half of what is left of the room. What does not go in there is sorted and
 * written to a file without a name, piece by piece; the pieces are merged at the end (with 1 MiB of buffers), and of every
 * 256th run, or fewer, the value stays in memory.
 */
#ifndef ASOFS_RENDER_TOASTMAP_H
#define ASOFS_RENDER_TOASTMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "render/memory.h"
#include "render/out.h"

struct toastmap_room {
    struct render_memory *memory;
    int (*file)(
        void *
            arg); /* a new file, to write and read, whose name is gone: its descriptor; or -errno */
    void *arg;
};

struct toastmap_run {
    uint32_t value, number, block; /* number and place of its first chunk */
    uint32_t rest;                 /* chunks, item, is it deleted */
};

#define TOASTMAP_MOST 0x3ffffu /* chunks of a run */

static inline uint32_t toastmap_count(const struct toastmap_run *r)
{
    return r->rest & TOASTMAP_MOST;
}

static inline int toastmap_item(const struct toastmap_run *r)
{
    return (int)(r->rest >> 18 & 0xfff);
}

static inline bool toastmap_deleted(const struct toastmap_run *r)
{
    return r->rest >> 30;
}

struct toastmap_chunk {
    uint32_t value, number, block;
    int item;     /* 1 to 2042 */
    bool last;    /* of its page's line pointers */
    bool deleted; /* by a transaction that committed */
};

struct toastmap;

struct toastmap *toastmap_new(
    const struct toastmap_room *room);  /* copied; NULL: memory is not limited */
void toastmap_free(struct toastmap *m); /* NULL is fine */

/* In the order of their places. 0, or -errno of the file. */
int toastmap_add(struct toastmap *m, const struct toastmap_chunk *c);
int toastmap_finish(struct toastmap *m);

/* The runs of a value, by number: in the map, or in *o, which is emptied. 0, or -errno of the file. */
int toastmap_find(const struct toastmap *m, uint32_t value, struct out *o,
                  const struct toastmap_run **runs, size_t *n);

#endif
