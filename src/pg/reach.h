/*
 * How a server is reached, for who has to reach it again by himself: later, in another process,
 * without the environment and the working directory of now (asofs base follow).
 */
#ifndef ASOFS_PG_REACH_H
#define ASOFS_PG_REACH_H

#include <stdbool.h>

#include "common/err.h"
#include "pg/conn.h"

/*
 * A source to be kept, with the same meaning: what came from the environment (PGHOST, PGPASSFILE…)
 * and where the environment said where services stand (PGSERVICEFILE, PGSYSCONFDIR) is in it, and
 * names of files are absolute; secrets are not. As it was given when nothing has to be changed. A
 * service that everybody finds stays one. -EINVAL: libpq cannot use it; a service that is not found
 * is told with who looked, and where. No server is asked. *kept is owned by the caller.
 */
int pg_target_keep(const char *source, char **kept, struct pg_secrets *left_out, struct err *err);

/*
 * After a connection failed: whether that stays as it is until somebody changes a configuration.
 * 0: it may pass (the server is away, starts, has no room), or does not fail any more. -EINVAL,
 * -EACCES: it stays; err has a hint for who has the server's own words. Tries a connection and one
 * of replication. -EINTR: stop_fd.
 */
int pg_target_is_mistaken(const char *source, int stop_fd, struct err *err);

/* libpq's words for a failure with PQERRORS_SQLSTATE, a line for each attempt: all of them say what
 * will be said again (authentication, privileges, names), none that the server was not there. */
bool pg_failure_stays(const char *message);

#endif
