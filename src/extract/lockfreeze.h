/*
 * Freezing by the protocol `lock`: the workers are asked for a snapshot while SHARE locks keep the
 * tables still, and those that have one in time are used.
 */
#ifndef ASOFS_EXTRACT_LOCKFREEZE_H
#define ASOFS_EXTRACT_LOCKFREEZE_H

#include "extract/workers.h"
#include "pg/freeze.h"

struct lockfreeze_request {
    struct pg_freeze_request freeze;
    int64_t freeze_timeout_ms; /* how long the SHARE locks may be held */
    int stop_fd;
};

/*
 * On success the leader and at least one worker are frozen (CHILD_IDLE; all others CHILD_GIVEN_UP),
 * no SHARE lock is held, and *catalog and *moment are the caller's to free. On failure no worker is
 * left and the leader's transaction is gone.
 */
int lockfreeze_run(struct workers *workers, struct pg_conn *leader,
                   const struct lockfreeze_request *req, struct pg_catalog **catalog,
                   struct pg_moment *moment, struct err *err);

#endif
