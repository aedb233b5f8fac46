/*
 * The chunk map of a flat file: where in the spool files its bytes are.
 *
 * A chunk is (spool file, offset, length); a flat file is its chunks one after the other. Once
 * sealed it never changes and may be read by any number of threads.
 */
#ifndef ASOFS_EXTRACT_FLATFILE_H
#define ASOFS_EXTRACT_FLATFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct extent {
    uint32_t file;   /* number of the spool file */
    uint64_t offset; /* in the spool file */
    uint64_t length;
    uint64_t start; /* in the flat file; known once sealed */
};

struct flatfile {
    struct extent *extents;
    size_t n;
    uint64_t size;
    bool sealed;
};

void flatfile_init(struct flatfile *f, size_t nchunks);
void flatfile_free(struct flatfile *f);

/* Chunk number i (of this file) is complete. */
void flatfile_set(struct flatfile *f, size_t i, uint32_t file, uint64_t offset, uint64_t length);

/* All chunks are set: work out starts and size. Empty extents are dropped. */
void flatfile_seal(struct flatfile *f);

/*
 * Where the byte at `offset` is: the spool file, its offset there, and how many bytes (at most
 * `want`) follow there. false at or behind the end of the file.
 */
bool flatfile_locate(const struct flatfile *f, uint64_t offset, uint64_t want,
                     struct extent *where);

#endif
