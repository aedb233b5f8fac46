/*
 * Mount points: what is checked before any work is begun, and how root mounts and unmounts there.
 * The path is looked up once. From then on it is the directory that was found that counts: who may
 * write in a directory above it cannot have root mount, or unmount, anything elsewhere.
 */
#ifndef ASOFS_FS_MOUNTPOINT_H
#define ASOFS_FS_MOUNTPOINT_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/err.h"

struct mountpoint {
    char *path;  /* absolute */
    int parent;  /* the directory above it */
    int dir;     /* itself, not what is mounted on it */
    char *dead;  /* of a dead mount that was taken away, its device, "MAJOR:MINOR"; or NULL */
    bool is_set; /* whether the members above are */
    bool mounted;
    dev_t dev; /* of what mountpoint_mount has mounted */
};

/*
 * Refuse what cannot become a mount: a path that is missing, no directory, not empty or a mount
 * point already, and a machine without a usable /dev/fuse. One that does not answer is refused, too
 * (ask.h). A dead asofs mount (its process was killed) is taken away first. On success mountpoint_close is due.
 * without: what can be done without /dev/fuse, in words, or NULL.
 */
int mountpoint_prepare(const char *dir, const char *without, struct mountpoint *m, struct err *err);
/* Refuse, of who is not root, what fusermount3 will refuse in the end. */
int mountpoint_check_user(const struct mountpoint *m, bool allow_other, struct err *err);
void mountpoint_close(struct mountpoint *m); /* once more, or one that is all zero, is fine */

/*
 * For root: a FUSE mount of ours, `options` as those of mount(8) that FUSE has not of its own
 * ("ro", "nosuid", "nodev"; "rw" is the default), permissions checked by the kernel. The descriptor
 * of /dev/fuse, or a negative errno.
 */
int mountpoint_mount(struct mountpoint *m, const char *source, const char *options,
                     bool allow_other, struct err *err);

/* What mountpoint_mount mounted is taken away, if it is still there. Without `lazily` it stays
 * where somebody uses it. 0 or a negative errno. */
int mountpoint_unmount(struct mountpoint *m, bool lazily);

/* What the kernel has collected of writes to it is written. Both may be called by the process that
 * serves it: what waits for answers is a child. */
int mountpoint_sync(const struct mountpoint *m);

#endif
