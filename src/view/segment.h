/* What asofs itself reads in a segment of the log: the headers of its pages. */
#ifndef ASOFS_VIEW_SEGMENT_H
#define ASOFS_VIEW_SEGMENT_H

#include <stdint.h>

#include "common/err.h"

#define SEGMENT_PAGE 8192u

/*
 * The first page from *from on that is log, and no more of a record that began in front of it; 0:
 * none. start, end: those of the segment. Pages that were never written are zeros; those of a file
 * used again have other addresses.
 */
uint64_t segment_find_page(int fd, uint64_t start, uint64_t end, uint64_t *from);

/* -EINVAL: the segment says that it is of another cluster. One that says nothing passes. */
int segment_check_system(const char *path, uint64_t system_identifier, struct err *err);

/* Where a restore_command's guard finds the number of the cluster. */
#define SEGMENT_SYSTEM_ENV "ASOFS_SYSTEM"

#endif
