/*
 * A directory that appears whole or not at all: filled under a hidden name beside its place,
 * brought to disk, then renamed. What a killed process left behind is removed by the next one of
 * the same user that wants the same place. Others may be able to write where it shall appear: all
 * is done by descriptors, what is theirs is not touched, and what appears is what was filled.
 */
#ifndef ASOFS_VIEW_OUTDIR_H
#define ASOFS_VIEW_OUTDIR_H

#include <time.h>

#include "common/err.h"
#include "common/flatfile.h"
#include "view/tree.h"

struct outdir {
    char *path;   /* where it shall appear */
    char *hidden; /* where it is filled */
    char *name;   /* the last part of that */
    int parent;   /* where both are */
    int fd;       /* of the hidden directory; a lock on it says that it is in use */
};

/* path must not exist, its parent must. */
int outdir_open(struct outdir *d, const char *path, struct err *err);

/* Sync and rename. After success or failure the outdir is closed; after failure nothing is left. */
int outdir_publish(struct outdir *d, struct err *err);

/* Remove everything and close. */
void outdir_abandon(struct outdir *d);

/* ---- what is filled in: the names of one database, below dir_fd ---- */

int outdir_make_dirs(const struct tree *t, int dir_fd, struct err *err);

/* The files of .asofs/. */
int outdir_write_meta(struct flatfile *const texts[META_FILES], int dir_fd, struct err *err);

/* Everything is there: give all of it, and dir_fd itself, the time of the moment. */
void outdir_set_times(const struct tree *t, struct timespec time, int dir_fd);

#endif
