/*
 * view/: a view's life. May be called from fs/ and cmd/; calls everything below it. Links without libfuse.
 *
 * A live view goes through these steps; each function says which step it expects.
 *
 *   view_freeze   connect, collect, lock, freeze, plan       (live.h)
 *   view_extract  snapshot workers fill the spool; release   (live.h)
 *   serve         the functions below, from any thread
 *   view_free
 */
#ifndef ASOFS_VIEW_VIEW_H
#define ASOFS_VIEW_VIEW_H

#include <stdint.h>
#include <time.h>

#include "common/err.h"
#include "view/tree.h"

struct view;

void view_free(struct view *v);

/* ---- the files of a complete view; node numbers are those of the tree ---- */

const struct tree *view_tree(const struct view *v);
struct timespec view_time(const struct view *v); /* the moment: every file's mtime */

/* Exact size in bytes of a file. */
uint64_t view_size(const struct view *v, uint32_t node);

/* Up to `size` bytes from `offset`, fewer only at the end of the file. Bytes read or -errno. */
int64_t view_read(const struct view *v, uint32_t node, void *buffer, size_t size, uint64_t offset);

/* Extended attributes. A value as text (no final NUL counted): its length, or -ENODATA. */
#define VIEW_XATTR_MAX 64
int view_xattr(const struct view *v, uint32_t node, const char *name, char value[VIEW_XATTR_MAX]);
/* The names, each ended by a NUL; *names is static. Returns the length in bytes. */
size_t view_xattr_names(const struct view *v, uint32_t node, const char **names);

/* "dbname@host", for /proc/mounts. */
const char *view_source(const struct view *v);

#endif
