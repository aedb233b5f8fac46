/*
 * pagefs: a data directory (pages/datadir.h) as a writable file system, for one PostgreSQL server.
 * It translates; what a call does is in pages/.
 */
#ifndef ASOFS_FS_PAGEFS_H
#define ASOFS_FS_PAGEFS_H

#include <stdbool.h>
#include <sys/types.h>

#include "common/err.h"
#include "common/stop.h"
#include "fs/mountpoint.h"
#include "pages/datadir.h"

struct pagefs;

struct pagefs_options {
    uid_t uid; /* owner of everything shown */
    gid_t gid;
    bool allow_other;
    bool writeback;  /* the kernel collects writes; what it holds is lost if this process ends */
    bool own_spaces; /* a new tablespace comes to lie in the view, wherever its link leads; other
                        links are made in pg_wal alone */
    bool strict;     /* once a page that the kernel wrote back could not be stored, reading fails:
                        the page of before is never shown in its stead */
    const char *source; /* for /proc/mounts */
    /* Called in the thread that serves before anything is read: what rights it takes (as
     * pg/identity.h), all threads that serve have. The others, which unmount, keep those of the
     * caller. NULL: the caller's. 0 or a negative errno. */
    int (*enter)(void *arg);
    void (*leave)(void *arg);
    void *arg;
};

/* Mount on what mountpoint_prepare made of a path. It and the datadir are borrowed. The limit of
 * open files is raised as far as it goes, for the whole process. */
int pagefs_mount(struct datadir *d, struct mountpoint *m, const struct pagefs_options *options,
                 struct pagefs **fs, struct err *err);

/*
 * Serve until unmounted, `stop` is requested (NULL: never); 0, or a negative errno.
 * *lost: of the first page that the kernel wrote back and that could not be stored, the negative
 * errno; 0: there was none.
 * A mount that nobody uses is then unmounted in good order; one that is in use is cut off, and what
 * its users write from then on is lost to them.
 */
int pagefs_serve(struct pagefs *fs, const struct stop *stop, int *lost);

void pagefs_unmount(struct pagefs *fs); /* also frees; NULL is fine. Files left open are closed */

#endif
