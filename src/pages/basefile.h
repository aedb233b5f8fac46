/*
 * One file of the base, which never changes: it must still be the one that the manifest tells of,
 * each time that something of it was read. Thread safe.
 */
#ifndef ASOFS_PAGES_BASEFILE_H
#define ASOFS_PAGES_BASEFILE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/err.h"
#include "pages/disk.h"
#include "pages/manifest.h"

struct basefile;

enum { BASEFILE_CHANGED = 1 };

/* The file of an entry of the manifest, which is borrowed. -EIO also when it is not the file that
 * was added. */
int basefile_open(struct disk *base, const struct manifest *m, uint32_t entry,
                  struct basefile **result, struct err *err);
void basefile_close(struct basefile *b); /* NULL: nothing */

/* As the manifest has it; bytes. */
uint64_t basefile_size(const struct basefile *b);

/* len bytes, zeros behind its end. 0, a negative errno, or BASEFILE_CHANGED: it is not the file any
 * more that was added, and what was read counts for nothing. */
int basefile_read(struct basefile *b, char *bytes, size_t len, uint64_t offset);

int basefile_stat(struct basefile *b, struct stat *st);

#endif
