/* asofs live --recover: what a daemon that was killed left. */
#ifndef ASOFS_CMD_LIVERECOVER_H
#define ASOFS_CMD_LIVERECOVER_H

#include <stdbool.h>

#include "common/err.h"
#include "fs/mountpoint.h"
#include "pg/identity.h"

/* -EBUSY: a process serves from the store now. To be asked before its mount is looked at. */
int live_recover_check(const char *store, const struct pg_identity *owner, struct err *err);

/*
 * The server that ran where `at` was taken from a process that is gone is ended, and it is said what
 * was done, and what is to be done then; or there is nothing to be done. `data` is the directory
 * itself, of `owner`: what is done is done by a process that has become him. This process has one
 * thread. *left: a postmaster.pid of a server that is gone is to be removed, by who serves: past him the
 * directory must not be changed.
 */
int live_recover(const char *data, const struct mountpoint *at, const struct pg_identity *owner,
                 bool *left, struct err *err);

#endif
