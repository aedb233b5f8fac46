/* A checkpoint of a server that is on this machine; on a standby a restartpoint. */
#ifndef ASOFS_PG_CHECKPOINT_H
#define ASOFS_PG_CHECKPOINT_H

#include <stdint.h>

#include "common/err.h"

/*
 * Of the server that runs on a data directory, or on what is mounted over it: through the Unix socket
 * that postmaster.pid tells, or else its address, as the user that we are, in the database postgres;
 * PGUSER, PGDATABASE, PGPASSFILE … count. Waits until it is done, or stop_fd is readable. system:
 * whose server it has to be. -ENOTCONN: none runs there; -EACCES: who we are may not.
 */
int pg_checkpoint(const char *data, uint64_t system, int stop_fd, struct err *err);

#endif
