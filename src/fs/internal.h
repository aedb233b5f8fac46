/* What the file systems of this room have in common. The session is in session.c. */
#ifndef ASOFS_FS_INTERNAL_H
#define ASOFS_FS_INTERNAL_H

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "fs/mountpoint.h"

#define FS_FOREVER 86400.0 /* seconds the kernel may keep what it was told */

/*
 * Node numbers are fixed, so a file handle (NFS, open_by_handle_at) stays good when the kernel has
 * forgotten its node: the kernel then looks up "." in it, and ".." to find the way to the root. A
 * handle has the generation, too, which is another one in each mount, so that one of an earlier
 * mount is stale and never some other file. The kernel makes the root by itself, with 0.
 */
uint64_t fs_generation(void);
static inline uint64_t fs_generation_of(fuse_ino_t ino, uint64_t generation)
{
    return ino == FUSE_ROOT_ID ? 0 : generation;
}

struct fs_session_options {
    const char *flags;  /* of the mount, comma-separated ("ro,nosuid") */
    const char *source; /* for /proc/mounts */
    bool allow_other;
    bool debug; /* libfuse prints every request */
};

/*
 * A libfuse session, not mounted yet; libfuse's messages go to the log. Permissions are checked by
 * the kernel, the type is fuse.asofs.
 */
int fs_session_open(const struct fs_session_options *o, const struct fuse_lowlevel_ops *operations,
                    void *userdata, struct fuse_session **session, struct err *err);

/* Mount it, or say what may be wrong. Root mounts by himself, and not through a path; for all
 * others libfuse does. */
int fs_session_mount(struct fuse_session *session, struct mountpoint *m,
                     const struct fs_session_options *o, struct err *err);

/* Lazily; what somebody else has unmounted, and mounted there since, stays. */
void fs_session_unmount(struct fuse_session *session, struct mountpoint *m);

/* Large buffers for reading come from the heap, not from a fresh mapping each time: a third of the
 * read's cost. For the whole process. */
void fs_prepare_heap(void);

#endif
