/*
 * Spool files: unlinked as soon as they are open, so that nothing is left after a kill. One for
 * each worker and one for the leader; a chunk is appended at `end`, and counts once `end` has moved
 * behind it.
 */
#ifndef ASOFS_EXTRACT_SPOOL_H
#define ASOFS_EXTRACT_SPOOL_H

#include <stdint.h>

#include "common/err.h"

struct spool {
    int fd;
    uint64_t end; /* bytes that belong to complete chunks */
};

/* dir must be a writable directory. */
int spool_open(struct spool *s, const char *dir, struct err *err);
void spool_close(struct spool *s);

/* Forget what a writer left behind `end`. */
int spool_trim(struct spool *s, struct err *err);

/* Give the space of a range back to the file system; the range reads as zeros afterwards. */
void spool_discard(struct spool *s, uint64_t offset, uint64_t length);

#endif
