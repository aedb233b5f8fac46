/* This program, lent to the user that PostgreSQL runs as: restore_command runs it. */
#ifndef ASOFS_REPLAY_LEND_H
#define ASOFS_REPLAY_LEND_H

#include "common/err.h"
#include "pg/identity.h"

/*
 * *fd: -1 when that user, as which the calling thread has entered, reaches the program where it is.
 * Else, as the place may be closed to it, and any other mounted without the right to execute: a copy
 * in memory, which the server passes on as a descriptor; closed by the caller, also on failure.
 */
int lend_program(const struct pg_identity *as, int *fd, struct err *err);

#endif
