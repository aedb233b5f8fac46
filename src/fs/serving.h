/*
 * A session that is served by many threads until it is unmounted, or somebody asks it to stop.
 * Stopping: a mount that nobody uses is unmounted while requests are still answered, so that the
 * kernel writes everything it collected.
 */
#ifndef ASOFS_FS_SERVING_H
#define ASOFS_FS_SERVING_H

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "common/stop.h"
#include "fs/mountpoint.h"

struct fs_serving {
    struct fuse_session *session;
    struct mountpoint *at;   /* borrowed */
    const struct stop *stop; /* NULL: never */
    unsigned threads;        /* that serve, at most */
    /* A mount that is in use: NULL: it is cut off, after the kernel's collected writes were asked
     * for. Else this is called once, and it is served until nobody uses it any more. */
    void (*in_use)(void *arg);
    /* As struct pagefs_options; may be NULL. */
    int (*enter)(void *arg);
    void (*leave)(void *arg);
    void *arg;

    pthread_t server;  /* the rest is serving.c's: who runs the session's loop */
    int wake_fd;       /* eventfd: the loop has ended */
    atomic_bool ended; /* the loop has returned */
};

/* 0 or a negative errno. */
int fs_serve(struct fs_serving *s);

/* The limit of open files is raised as far as it goes, for the whole process. */
void fs_raise_file_limit(void);

#endif
