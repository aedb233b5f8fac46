/*
 * Where the rows of one chunk go: a file, from an offset on, through a buffer, with a running
 * checksum. Of the binary form it is what the whole file needs (seam.h).
 */
#ifndef ASOFS_EXTRACT_SINK_H
#define ASOFS_EXTRACT_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct sink;

struct sink_chunk {
    int fd;          /* borrowed */
    uint64_t offset; /* where the chunk begins */
    uint64_t room;   /* bytes that may be written; UINT64_MAX: as many as there are */
    bool binary, first, last;
};

struct sink *sink_new(void);
void sink_free(struct sink *s);

void sink_begin(struct sink *s, const struct sink_chunk *c);
/* -EOVERFLOW: there is no room for them. */
int sink_put(struct sink *s, const char *bytes, size_t len, struct err *err);
int sink_end(struct sink *s, struct err *err); /* everything is written, not necessarily on disk */

uint64_t sink_bytes(const struct sink *s);    /* of this chunk so far */
uint64_t sink_checksum(const struct sink *s); /* of this chunk, after sink_end */

#endif
