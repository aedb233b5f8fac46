/*
 * fs/: the only room that knows libfuse. It translates between the kernel and view/ (and, later,
 * store/); the logic is in the rooms below. May be called from cmd/ only.
 *
 * Mount points: what is checked before any work is begun.
 */
#ifndef ASOFS_FS_MOUNTPOINT_H
#define ASOFS_FS_MOUNTPOINT_H

#include <stdbool.h>

#include "common/err.h"

/*
 * Refuse what cannot become a mount: a path that is missing, no directory, not empty or a mount
 * point already, and a machine without a usable /dev/fuse. A dead asofs mount (its process was
 * killed) is taken away first. *absolute: the real path, freed by the caller.
 */
int mountpoint_prepare(const char *dir, char **absolute, struct err *err);

/* The path is a mount whose process is gone. */
bool mountpoint_is_dead(const char *path);

#endif
