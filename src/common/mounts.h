/* What is mounted, as this process sees it. */
#ifndef ASOFS_COMMON_MOUNTS_H
#define ASOFS_COMMON_MOUNTS_H

#include <stdbool.h>

#define MOUNTS_OURS "fuse.asofs" /* the type of all that asofs mounts */

/* The type of the file system mounted at exactly this path (the one on top), or NULL; freed by the
 * caller. No file system is asked. */
char *mounts_type(const char *path);
bool mounts_is(const char *path, const char *type);

/* The device of the file system mounted at exactly this path (the one on top), as "MAJOR:MINOR", or
 * NULL; freed by the caller. No file system is asked. */
char *mounts_device(const char *path);

/* The path is a mount whose process is gone. Waits for ever when that process has stopped. */
bool mounts_is_dead(const char *path);

#endif
