/*
 * A flat file: bytes of exactly known size that never change, readable at any place by any number
 * of threads at once. Where they come from is its maker's alone:
 *
 *   spooled (extract/spooled.h)   chunks in spool files
 *   text (below)                  a text in memory
 *
 * A maker has a struct that begins with struct flatfile, and fills in `ops` and `size`. Who reads
 * uses the functions below and never asks which it is.
 */
#ifndef ASOFS_COMMON_FLATFILE_H
#define ASOFS_COMMON_FLATFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

struct flatfile;

struct flatfile_piece { /* of a file, whose descriptor stays the flat file's */
    int fd;
    uint64_t offset;
    size_t size;
};

struct flatfile_ops {
    /* All of a range that is not empty and ends at or before the end of the file: 0, or -errno.
     * Where less is left than there should be, that is -EIO, never a short file. Any thread. */
    int (*read)(const struct flatfile *f, void *buffer, size_t size, uint64_t offset);

    /* The same, but it tells nobody of a failure: for who reads what is not asked for yet. NULL: the bytes
     * are there, and it would be of no use. */
    int (*try)(const struct flatfile *f, void *buffer, size_t size, uint64_t offset);

    /* Where they lie in files, in order: up to `most` pieces, or 0: they are more. NULL: they do not. */
    size_t (*pieces)(const struct flatfile *f, size_t size, uint64_t offset,
                     struct flatfile_piece *pieces, size_t most);

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

/* Do its bytes take work? Then it may be worth to read ahead, with flatfile_try: as the `try` above. */
bool flatfile_works(const struct flatfile *f);
int flatfile_try(const struct flatfile *f, void *buffer, size_t size, uint64_t offset);

/* For whoever hands on parts of files: as the `pieces` above, but of what flatfile_read would read. 0: they are
 * to be read with that, also if one of the files is shorter than it was. */
size_t flatfile_pieces(const struct flatfile *f, size_t size, uint64_t offset,
                       struct flatfile_piece *pieces, size_t most);

/* For whoever can hand on a whole file instead of its bytes (fs/passthrough.h); -1: none. */
int flatfile_fd(const struct flatfile *f);

void flatfile_free(struct flatfile *f); /* NULL is fine */

/* What is in the buffer; it is empty afterwards. */
struct flatfile *flatfile_from_text(struct buf *text);

#endif
