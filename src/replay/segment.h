/* A segment of the log in memory, for a walk along its records (store/walwalk.h). */
#ifndef ASOFS_REPLAY_SEGMENT_H
#define ASOFS_REPLAY_SEGMENT_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define SEGMENT_PAGE 8192u

struct segment {
    uint64_t number;
    uint8_t *bytes; /* owned; kept from one reading to the next */
    size_t n, room;
};

/* At most segment_bytes of a file, which is read, not mapped: it may be cut meanwhile. What is no
 * file is refused, and not waited for. */
int segment_read(const char *path, uint64_t number, uint32_t segment_bytes, struct segment *s,
                 struct err *err);
void segment_free(struct segment *s);

/*
 * Where the first record begins from the page of *from on: an intact one, or one that goes on in
 * the next segment; 0: there is none. start, end: those of the segment; *from is then after the
 * pages that were looked at.
 */
uint64_t segment_find_page(int fd, uint64_t start, uint64_t end, uint64_t *from);

/* -EINVAL: the segment says that it is of another cluster. One that says nothing passes. */
int segment_check_system(const struct segment *s, uint64_t system_identifier, struct err *err);

/* Where a restore_command's guard finds the number of the cluster, how large a segment is, and the
 * LSN from which on the log is replayed. */
#define SEGMENT_SYSTEM_ENV "ASOFS_SYSTEM"
#define SEGMENT_BYTES_ENV "ASOFS_SEGMENT_BYTES"
#define SEGMENT_FROM_ENV "ASOFS_FROM"

#endif
