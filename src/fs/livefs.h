/*
 * livefs: a live directory (live/livedir.h) as a file system: the data directory that a PostgreSQL
 * server runs on, and below .asofs, which is found but not listed, how it was:
 *
 *   .asofs/frozen/<n>/    the tree of freeze n, read-only (live/frozen.h)
 *   .asofs/status.json    the freezes, and counts
 *
 * mkdir .asofs/frozen/<the next number> freezes, rmdir drops a freeze; its owner and root may.
 * It translates; what a call does is in live/.
 */
#ifndef ASOFS_FS_LIVEFS_H
#define ASOFS_FS_LIVEFS_H

#include <stdbool.h>

#include "common/err.h"
#include "common/stop.h"
#include "fs/mountpoint.h"
#include "live/livedir.h"

#define LIVEFS_CONTROL ".asofs"
#define LIVEFS_FROZEN "frozen"
#define LIVEFS_STATUS "status.json"

struct livefs;

struct livefs_options {
    bool allow_other;
    const char *source; /* for /proc/mounts */
    /* The text of status.json, which free() takes; NULL: no memory. Any thread that serves. */
    char *(*status)(void *arg);
    void (*in_use)(void *arg); /* it shall stop, but is in use: it will, when it is not any more */
    /* As those of struct pagefs_options. */
    int (*enter)(void *arg);
    void (*leave)(void *arg);
    void *arg;
};

/* Mount on what mountpoint_prepare made of a path. It and the livedir are borrowed. With the rights
 * of the caller; but the root of the directory is looked at, as by `enter`. */
int livefs_mount(struct livedir *l, struct mountpoint *m, const struct livefs_options *options,
                 struct livefs **fs, struct err *err);

/* Serve until unmounted, also when `stop` is requested and nobody uses it; 0, or a negative errno. */
int livefs_serve(struct livefs *fs, const struct stop *stop);

/* A freeze was given up (livedir_options.complain): the kernel is to forget its tree. Any thread;
 * NULL is fine. */
void livefs_given_up(struct livefs *fs);

void livefs_unmount(struct livefs *fs); /* also frees; NULL is fine. Files left open are closed */

#endif
