/*
 * fs/: the only room that knows libfuse. It translates between the kernel's requests and the rooms
 * that have what is asked for: view/ (flat files) and pages/ (a data directory). Whatever is decided
 * is decided there. May be called from cmd/ only; calls view/, pages/ and common/.
 *
 *   viewfs        a view, read-only: mounted, served; whose a request is
 *   flattree      its names, flat files and texts
 *   pagestree     the data directory below its .asofs/pages
 *   pagefs        a data directory that a PostgreSQL server writes: mounted, served, ended
 *   pagerequests  what it is asked
 *   datafiles     how pagestree and pagefs read one
 *   parking       requests that wait until a file is complete
 *   passthrough   files that the kernel reads without asking
 *   mountpoint    the directory: before, and how root mounts there
 *   session       libfuse's part of it (internal.h)
 *
 * Threads: whoever calls viewfs_serve or pagefs_serve stays in it until the end. The requests are
 * answered by libfuse's threads meanwhile, up to 10 of a view and 16 of a pagefs, and none waits for
 * more than one read of the spool or one call of pages/. Two others come in: the one that extracts
 * (viewfs_settled), and one of pagefs's own, which waits for the end. Everything else is for one
 * thread, before or after.
 *
 * A failure becomes an errno of the request; where it can be told why, it is in the log.
 *
 * viewfs: a view, complete or still being extracted, as a read-only FUSE file system.
 *
 *   viewfs_open → viewfs_mount → viewfs_serve (until unmounted or told to end)
 *   → viewfs_unmount → viewfs_free
 *
 * Everything a handler asks of the view is memory or a read of the spool; none touches the
 * database. Names never wait; stat and open of a file that is not complete are parked (parking.h).
 * Below .asofs/pages, a page view shows its data directory (viewstate.h).
 */
#ifndef ASOFS_FS_VIEWFS_H
#define ASOFS_FS_VIEWFS_H

#include <stdbool.h>
#include <sys/types.h>

#include "fs/mountpoint.h"
#include "pages/datadir.h"
#include "view/view.h"

struct viewfs_options {
    bool allow_other;
    bool no_passthrough;
    bool debug;    /* libfuse prints every request */
    unsigned jobs; /* threads that read ahead (view/ahead.h) */
    uid_t uid;     /* owner of everything */
    gid_t gid;
    mode_t umask; /* bits taken from 0444 and 0555 */
    /* What .asofs/pages shows, when the view's tree has it; its modes and owner are kept. Borrowed
     * until viewfs_free. */
    struct datadir *pages;
    uid_t pages_uid;
    gid_t pages_gid;
};

struct viewfs;

/* How many tables should have a file of their own: as many as the kernel can be given, and as we
 * may open. */
size_t viewfs_own_files(void);

int viewfs_open(struct viewfs **fs, struct view *v, const struct viewfs_options *o,
                struct err *err);
/* m (mountpoint_prepare) is borrowed until viewfs_unmount. From here on SIGINT, SIGTERM and SIGHUP
 * end viewfs_serve, also if they come before it is called.
 */
int viewfs_mount(struct viewfs *fs, struct mountpoint *m, struct err *err);

/* To be called when files may have become complete; for view_on_settled. */
void viewfs_settled(void *viewfs);

/* Answers requests with several threads; returns after an unmount, SIGINT, SIGTERM or SIGHUP. */
int viewfs_serve(struct viewfs *fs, struct err *err);

/* Parked requests are answered with EIO. viewfs_settled may still be called until viewfs_free. */
void viewfs_unmount(struct viewfs *fs); /* NULL is fine */
void viewfs_free(struct viewfs *fs);    /* NULL is fine */

#endif
