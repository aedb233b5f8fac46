/*
 * A view mounted for a private server, by a child: `asofs pagefs`. It is started as this process is,
 * since root has to mount, and does its work as the user that PostgreSQL runs as.
 */
#ifndef ASOFS_REPLAY_VIEWMOUNT_H
#define ASOFS_REPLAY_VIEWMOUNT_H

#include <stdbool.h>
#include <sys/types.h>

#include "replay/serverdir.h"

/* Exit status of `asofs pagefs` for a private server: pages it wrote could not be stored. */
enum { VIEWMOUNT_LOST = 3, VIEWMOUNT_FULL = 4 /* for want of room */ };

struct viewmount_request {
    const char *store, *view;    /* the view exists */
    const struct serverdir *dir; /* on whose data it is mounted */
    int stop_fd;                 /* -1: none */
};

struct viewmount {
    pid_t pagefs;        /* 0: none */
    int out_fd;          /* what it writes to standard output; -1 */
    struct relay *voice; /* and to standard error */
};

/* Returns when it is mounted. On failure too viewmount_end and viewmount_free are next. */
int viewmount_start(struct viewmount *m, const struct viewmount_request *req, struct err *err);

/* Without it a server would not get on, and might not end. */
bool viewmount_has_ended(const struct viewmount *m);

/* It unmounts, closes the view and ends; it is waited for. -ENOSPC, -EIO: not all that was written
 * is in the view. */
int viewmount_end(struct viewmount *m, struct serverdir *dir, struct err *err);
void viewmount_free(struct viewmount *m);

#endif
