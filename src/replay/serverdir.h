/* The directory of a private server: where a view is mounted for it, and where its socket is. */
#ifndef ASOFS_REPLAY_SERVERDIR_H
#define ASOFS_REPLAY_SERVERDIR_H

#include <stdbool.h>

#include "common/err.h"
#include "pg/identity.h"

#define SERVERDIR_PLACE "/tmp"    /* where the directory of a private server is made, */
#define SERVERDIR_PREFIX "asofs-" /* and what its name begins with, in front of six letters */

struct serverdir {
    const struct pg_identity *as; /* that PostgreSQL runs as; borrowed */
    char *path;                   /* NULL: there is none */
    char *data, *run;             /* in it: the view, mounted; the server's own */
    int lock_fd;                  /* flock of path, as long as this process uses it; -1 */
};

/* The calling thread has entered, as `as`. On failure too serverdir_remove is next. */
int serverdir_make(struct serverdir *d, const struct pg_identity *as, struct err *err);

/* What is still mounted stays. Frees what d holds. */
void serverdir_remove(struct serverdir *d);

/* The mount on d->data, whose process has ended, goes. */
void serverdir_detach(struct serverdir *d);

/* Removes what processes that were killed left in /tmp. */
void serverdir_clear(const struct pg_identity *as);

/* Whether a mount is one that a private server works on, and nobody else. */
bool serverdir_has_mounted(const char *dir);

#endif
