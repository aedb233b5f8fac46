/*
 * viewfs: a complete view as a read-only FUSE file system.
 *
 *   viewfs_mount → viewfs_serve (until unmounted or told to end) → viewfs_unmount
 *
 * Everything a handler asks of the view is memory or a read of the spool; none touches the database.
 */
#ifndef ASOFS_FS_VIEWFS_H
#define ASOFS_FS_VIEWFS_H

#include <stdbool.h>
#include <sys/types.h>

#include "view/view.h"

struct viewfs_options {
    bool allow_other;
    bool debug;       /* libfuse prints every request */
    uid_t uid;        /* owner of everything */
    gid_t gid;
    mode_t umask;     /* bits taken from 0444 and 0555 */
};

struct viewfs;

int viewfs_mount(struct viewfs **fs, const struct view *v, const struct viewfs_options *o,
                 const char *dir, struct err *err);

/* Answers requests with several threads; returns after an unmount, SIGINT, SIGTERM or SIGHUP. */
int viewfs_serve(struct viewfs *fs, struct err *err);

void viewfs_unmount(struct viewfs *fs); /* NULL is fine; also frees */

#endif
