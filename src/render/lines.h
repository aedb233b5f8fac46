/*
 * A table's flat file, rendered out of its pages: a header, then the lines of its relations (the
 * table, or the leaves of a partitioned one), block by block.
 *
 * Life: made; measured once, by any number of threads together; then read at any place, by any number
 * of threads. It can be written as a whole, in order, without being measured.
 *
 * Locks are its own: all may be called from any thread, but new and free.
 */
#ifndef ASOFS_RENDER_LINES_H
#define ASOFS_RENDER_LINES_H

#include <stdatomic.h>

#include "common/buf.h"
#include "render/memory.h"
#include "render/rows.h"

/* What is damaged, or cannot be read. */
struct render_fault {
    size_t relation;
    uint64_t block;   /* of the relation */
    int item;         /* from 1 on; 0: the page itself */
    const char *what; /* a static text */
    int code;         /* errno */
};

struct render_lines;

/* The header is copied. What the relations refer to, and the settings, are borrowed until free. */
struct render_lines *render_lines_new(const struct render_settings *s, const char *header,
                                      size_t nheader, const struct render_relation *relations,
                                      size_t n);
void render_lines_free(struct render_lines *l); /* NULL is fine */

/*
 * Take part in measuring, until there is nothing left to take, or *stop is true (NULL: never). 1: all
 * is measured now, by this call as the last; 0: others are still at it, or it was measured before;
 * -ECANCELED: *stop, and a later call goes on; -errno: the table has a fault, the first of all, which
 * the last one that measures is told, and whoever calls later.
 */
int render_lines_measure(struct render_lines *l, const atomic_bool *stop,
                         struct render_fault *fault);

/*
 * Before it is measured: keep what is rendered for it, while there is memory, so that readers find it. It takes longer
 * than measuring alone. m is borrowed until free. What is kept is given back with the last function, or by free.
 */
void render_lines_keep(struct render_lines *l, struct render_memory *m);
uint64_t render_lines_kept(struct render_lines *l); /* bytes */
void render_lines_give_back(struct render_lines *l);

/* Is there something left to take? */
bool render_lines_has_more(struct render_lines *l);

/* What follows is known then. */
bool render_lines_measured(const struct render_lines *l);
uint64_t render_lines_size(const struct render_lines *l); /* bytes */
uint64_t render_lines_rows(const struct render_lines *l);

/*
 * What was measured, as bytes, and back into a file that nobody measures or reads yet, of the same pages, settings and
 * version. false: it is not of such a file, or makes no sense; then it is to be measured.
 */
#define RENDER_LINES_VERSION 2 /* another one where some page's text is another one than before */
void render_lines_put(const struct render_lines *l, struct buf *b);
bool render_lines_get(struct render_lines *l, const char *bytes, size_t n);

/* Blocks of all relations together. */
uint64_t render_lines_blocks(const struct render_lines *l);

/* All of a range that ends at or before the end of the file, which is measured. 0, or -errno. */
int render_lines_read(struct render_lines *l, char *buffer, size_t size, uint64_t offset,
                      struct render_fault *fault);

/* The whole file in order, to a sink that returns 0, or -errno, which is passed on with a fault of
 * code 0. -ECANCELED: *stop. */
typedef int render_sink(void *arg, const char *bytes, size_t n);
int render_lines_write(struct render_lines *l, render_sink *sink, void *arg,
                       const atomic_bool *stop, struct render_fault *fault);

/* The same of n blocks from `first` on, counted through all relations; the first of all with the header.
 * *rows grows. */
int render_lines_write_part(struct render_lines *l, uint64_t first, uint64_t n, render_sink *sink,
                            void *arg, uint64_t *rows, struct render_fault *fault);

/* Give back memory that readers left for those who come after them. */
void render_lines_trim(struct render_lines *l);

#endif
