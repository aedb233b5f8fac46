/*
 * Freezing: the leader's transaction, and joining it.
 *
 * The leader locks every table (ACCESS SHARE), *then* takes the snapshot, so that no TRUNCATE, DROP
 * or ALTER can fall between: PostgreSQL's catalogs and TRUNCATE are not fully versioned by
 * snapshots. Then it reads the catalog once more under the snapshot; if that differs from what was
 * collected, it starts again. The transaction stays open until pg_freeze_release.
 */
#ifndef ASOFS_PG_FREEZE_H
#define ASOFS_PG_FREEZE_H

#include "pg/catalog.h"

struct pg_moment {
    char *snapshot_id; /* as exported; NULL with protocol lock */
    char *time;        /* ISO 8601, UTC, microseconds */
    int64_t unix_ns;   /* the same */
    char *lsn;         /* everything the snapshot sees was logged at or before it */
    char *lsn_from;    /* protocol lock: the state did not change from here to lsn; else NULL */
};

struct pg_freeze_request {
    const struct pg_server *server;
    const struct pg_selection *entries; /* borrowed */
    size_t nentries;
    bool may_miss; /* these as in pg_catalog_how */
    bool readable, binary;
    int64_t lock_timeout_ms;
    unsigned
        sessions; /* that will hold locks on every table: 1, or the workers too (protocol lock) */
};

/*
 * Collect, lock, freeze, verify. On success the leader holds locks and snapshot, *catalog (exact
 * sizes) and *moment are the caller's to free. On failure the transaction is gone and nothing is
 * locked.
 */
int pg_freeze_export(struct pg_conn *leader, const struct pg_freeze_request *req,
                     struct pg_catalog **catalog, struct pg_moment *moment, struct err *err);

/* A worker joins the frozen state; it can be done for as long as the leader's transaction is open.
 */
int pg_freeze_join(struct pg_conn *worker, const char *snapshot_id, struct err *err);
/* The same READ WRITE: to read as of then, and write what is committed now (copyin.h: to be ended by
 * pg_write_commit or pg_write_rollback). After a failure there is no transaction. */
int pg_freeze_join_writing(struct pg_conn *worker, const char *snapshot_id, int64_t lock_timeout_ms,
                           struct err *err);

/*
 * ---- protocol lock, for servers and poolers without exported snapshots ----
 *
 * Under SHARE locks nobody writes to the tables, so every snapshot taken then sees the same rows.
 * In this order:
 *
 *   leader: pg_freeze_prepare    collect; refuse; BEGIN; ACCESS SHARE (1: a table is gone; again)
 *   workers: pg_freeze_hold      BEGIN; ACCESS SHARE; no snapshot yet
 *   leader: pg_freeze_try_share  SHARE, for a moment; again until it is had
 *   leader: pg_freeze_moment     its own snapshot
 *   workers: pg_freeze_now       their snapshots
 *   leader: pg_freeze_unshare    SHARE is given back; writers go on
 *   leader: pg_freeze_verify     the catalog is as collected (1: it is not; start again)
 */
int pg_freeze_prepare(struct pg_conn *leader, const struct pg_freeze_request *req,
                      struct pg_catalog **catalog, char **lock_sql, struct err *err);
int pg_freeze_hold(struct pg_conn *worker, const char *lock_sql, struct err *err);
/* Waits at most for try_ms in all. -EBUSY: not now. */
int pg_freeze_try_share(struct pg_conn *leader, const struct pg_catalog *c, int64_t try_ms,
                        struct err *err);
int pg_freeze_moment(struct pg_conn *leader, struct pg_moment *moment, struct err *err);
int pg_freeze_now(struct pg_conn *worker, struct err *err);
int pg_freeze_unshare(struct pg_conn *leader, struct pg_moment *moment, struct err *err);
int pg_freeze_verify(struct pg_conn *leader, const struct pg_freeze_request *req,
                     const struct pg_catalog *before, struct pg_catalog **after, struct err *err);
/* Add to err who holds locks that conflict with SHARE. */
void pg_freeze_name_writers(struct pg_conn *leader, const struct pg_catalog *c, struct err *err);
void pg_freeze_rollback(struct pg_conn *leader);

/* End the transaction: locks and snapshot are given back. */
int pg_freeze_release(struct pg_conn *conn, struct err *err);

void pg_moment_free(struct pg_moment *m);

#endif
