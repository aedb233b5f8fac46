/*
 * Flat files out of the spool (flatfile.h): the chunk map of one that lies in the spool files of
 * the workers, or a spool file that holds just one.
 *
 * A chunk is (spool file, offset, length); a flat file is its chunks one after the other. It is
 * made by one thread, chunk by chunk, and becomes a flat file once the last is set.
 *
 *   spooled_new → spooled_set … → spooled_seal → (flatfile_free)
 *                              or spooled_free
 */
#ifndef ASOFS_EXTRACT_SPOOLED_H
#define ASOFS_EXTRACT_SPOOLED_H

#include <stdbool.h>

#include "common/flatfile.h"

struct extent {
    int fd;          /* of the spool file; borrowed */
    uint64_t offset; /* in the spool file */
    uint64_t length;
    uint64_t start; /* in the flat file; known once sealed */
};

struct spooled;

struct spooled *spooled_new(size_t nchunks);
void spooled_free(struct spooled *s); /* one that was not sealed; NULL is fine */

/* Chunk number i (of this file) is complete. The spool file is borrowed until flatfile_free. */
void spooled_set(struct spooled *s, size_t i, int fd, uint64_t offset, uint64_t length);

/* All chunks are set: starts and size are worked out, empty extents dropped. What comes out is `s`,
 * now a flat file. */
struct flatfile *spooled_seal(struct spooled *s);

/* The first `size` bytes of a file, which is the flat file's from now on: it is what flatfile_fd
 * gives. */
struct flatfile *spooled_alone(int fd, uint64_t size);

/*
 * Where the byte at `offset` is: the spool file, its offset there, and how many bytes (at most
 * `want`) follow there. false at or behind the end of the file, or before it is sealed.
 */
bool spooled_locate(const struct spooled *s, uint64_t offset, uint64_t want, struct extent *where);

#endif
