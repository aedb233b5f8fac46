/*
 * Freezing: the leader's transaction, and joining it.
 *
 * The leader locks every table (ACCESS SHARE), *then* takes the snapshot, so that no TRUNCATE, DROP or
 * ALTER can fall between: PostgreSQL's catalogs and TRUNCATE are not fully versioned by snapshots. Then it
 * reads the catalog once more under the snapshot; if that differs from what was collected, it starts
 * again. The transaction stays open until pg_freeze_release.
 */
#ifndef ASOFS_PG_FREEZE_H
#define ASOFS_PG_FREEZE_H

#include "pg/catalog.h"

struct pg_moment {
    char *snapshot_id;   /* as exported */
    char *time;          /* ISO 8601, UTC, microseconds */
    int64_t unix_ns;     /* the same */
    char *lsn;           /* everything the snapshot sees was logged at or before it */
};

struct pg_freeze_request {
    const struct pg_server *server;
    const struct pg_pattern *patterns; /* borrowed */
    size_t npatterns;
    int64_t lock_timeout_ms;
};

/*
 * Collect, lock, freeze, verify. On success the leader holds locks and snapshot, *catalog (exact sizes) and
 * *moment are the caller's to free. On failure the transaction is gone and nothing is locked.
 */
int pg_freeze_export(struct pg_conn *leader, const struct pg_freeze_request *req,
                     struct pg_catalog **catalog, struct pg_moment *moment, struct err *err);

/* A worker joins the frozen state; it can be done for as long as the leader's transaction is open. */
int pg_freeze_join(struct pg_conn *worker, const char *snapshot_id, struct err *err);

/* End the transaction: locks and snapshot are given back. */
int pg_freeze_release(struct pg_conn *conn, struct err *err);

void pg_moment_free(struct pg_moment *m);

#endif
