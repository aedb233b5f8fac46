/*
 * A flat file: bytes of exactly known size that never change, readable at any place by any number
 * of threads at once. Where they come from is its maker's alone:
 *
 *   spooled (extract/spooled.h)   chunks in spool files
 *   text (below)                  a text in memory
 *
 * A maker has a struct that begins with struct flatfile, and fills in `ops` and `size`. Who reads
 * uses the four functions below and never asks which it is.
 */
#ifndef ASOFS_COMMON_FLATFILE_H
#define ASOFS_COMMON_FLATFILE_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

struct flatfile;

struct flatfile_ops {
    /* All of a range that is not empty and ends at or before the end of the file: 0, or -errno.
     * Where less is left than there should be, that is -EIO, never a short file. Any thread. */
    int (*read)(const struct flatfile *f, void *buffer, size_t size, uint64_t offset);

    /* A file that holds just these bytes, as a descriptor that stays the flat file's; -1 where
     * there is none. NULL: there never is. */
    int (*fd)(const struct flatfile *f);

    void (*free)(struct flatfile *f); /* nobody reads any more */
};

struct flatfile {
    const struct flatfile_ops *ops;
    uint64_t size;
};

/* Up to `size` bytes from `offset`, fewer only at the end of the file. Bytes read or -errno. */
int64_t flatfile_read(const struct flatfile *f, void *buffer, size_t size, uint64_t offset);

/* For whoever can hand on a whole file instead of its bytes (fs/passthrough.h); -1: none. */
int flatfile_fd(const struct flatfile *f);

void flatfile_free(struct flatfile *f); /* NULL is fine */

/* What is in the buffer; it is empty afterwards. */
struct flatfile *flatfile_from_text(struct buf *text);

#endif
