#include "pg/freeze.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/units.h"
#include "pg/internal.h"

#define MIN_TRIES 5 /* more as long as --lock-timeout allows */
#define LOCKS_A_STATEMENT 200
#define CHANGED "tables were created, changed or dropped while they were frozen"
#define LEADER_LOCK_TIMEOUT "5s" /* once frozen; then it tries again */
#define JOIN_LOCK_TIMEOUT "1s"   /* a worker's chunk that cannot get on is given to the leader */
/* Of a worker, whose host may be cut off while the leader's is not. Not tcp_user_timeout, which also
 * ends who takes nothing for a while. */
#define JOIN_KEEPALIVES                                                                            \
    "SET LOCAL tcp_keepalives_idle = 5; SET LOCAL tcp_keepalives_interval = 3;"                    \
    "SET LOCAL tcp_keepalives_count = 3;"

static int check_lock_table(const struct pg_catalog *c, const struct pg_server *server,
                            unsigned sessions, struct err *err)
{
    size_t n = pg_catalog_count_relations(c) * sessions;

    /* The rest of the lock table belongs to the users of the database. */
    if ((int64_t)n <= server->lock_slots / 10 * 9)
        return 0;
    return err_set(
        err, ENOLCK,
        "%zu lock%s would be needed on tables and partitions (%u session%s), and the server's lock "
        "table has room for about %lld\nraise max_locks_per_transaction, or take fewer tables%s",
        n, units_s(n), sessions, units_s(sessions), (long long)server->lock_slots,
        sessions > 1 ? ", or fewer --jobs" : "");
}

static int begin_reading(struct pg_conn *conn, int64_t lock_timeout_ms, struct err *err)
{
    char more[64];

    snprintf(more, sizeof(more), "SET LOCAL lock_timeout = %lld", (long long)lock_timeout_ms);
    return pg_begin(conn, PG_READ_ONLY, true, more, err);
}

static int read_catalog(struct pg_conn *conn, const struct pg_freeze_request *req, bool exact_sizes,
                        struct pg_catalog **catalog, struct err *err)
{
    struct pg_catalog_how how = {.exact_sizes = exact_sizes,
                                 .may_miss = req->may_miss,
                                 .readable = req->readable,
                                 .binary = req->binary};

    return pg_catalog_read(conn, req->server, req->entries, req->nentries, &how, catalog, err);
}

/* The catalog as it is now, in a transaction of its own that holds nothing afterwards. */
static int collect_catalog(struct pg_conn *conn, const struct pg_freeze_request *req,
                           struct pg_catalog **catalog, struct err *err)
{
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);

    if (rc == 0)
        rc = read_catalog(conn, req, false, catalog, err);
    if (rc != -ECONNRESET && rc != -EINTR)
        pg_rollback(conn);
    return rc;
}

/* For sessions that extract: rows in physical order, so no way to them but a scan of the table. */
#define SCAN_SETTINGS                                                                              \
    "SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off;"                      \
    "SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = on;"                            \
    "SET LOCAL enable_tidscan = on;"

/* The catalog is read; from here on waiting for a lock (of an index, say) is done in short turns.
 */
static int prepare_leader(struct pg_conn *leader, struct err *err)
{
    return pg_run(leader, SCAN_SETTINGS "SET LOCAL lock_timeout = '" LEADER_LOCK_TIMEOUT "'", err);
}

/* "LOCK TABLE ONLY a.b, ONLY c.d IN … MODE; LOCK TABLE …" under construction. */
struct lock_list {
    struct pg_conn *conn;
    struct buf sql;
    const char *mode;
    size_t n;    /* in the statement under construction */
    size_t most; /* in one statement */
};

static void end_statement(struct lock_list *l)
{
    if (l->n)
        buf_printf(&l->sql, " IN %s MODE", l->mode);
    l->n = 0;
}

static int add_lock(struct lock_list *l, const struct pg_relation *rel, struct err *err)
{
    if (rel->kind == 'm')
        return 0; /* LOCK TABLE refuses them; see touch_matviews */
    if (l->n == l->most)
        end_statement(l);
    buf_puts(&l->sql, l->n ? ", ONLY " : l->sql.len ? ";LOCK TABLE ONLY " : "LOCK TABLE ONLY ");
    l->n++;
    return pg_put_relation(l->conn, &l->sql, rel->schema, rel->name, err);
}

static int lock_statements(struct lock_list *l, const struct pg_catalog *c, struct err *err)
{
    size_t i, k;
    int rc = 0;

    for (i = 0; i < c->ntables && rc == 0; i++) {
        const struct pg_table *t = &c->tables[i];

        rc = add_lock(l, &t->rel, err);
        for (k = 0; k < t->nleaves && rc == 0; k++)
            rc = add_lock(l, &t->leaves[k], err);
    }
    end_statement(l);
    return rc;
}

static int lock_tables(struct pg_conn *conn, const struct pg_catalog *c, struct err *err)
{
    struct lock_list l = {.conn = conn, .mode = "ACCESS SHARE", .most = LOCKS_A_STATEMENT};
    int rc = lock_statements(&l, c, err);

    if (rc == 0 && l.sql.len)
        rc = pg_run(conn, l.sql.data, err);
    buf_free(&l.sql);
    return rc;
}

/* A query is the only way to an ACCESS SHARE lock on a materialized view, so it follows the
 * snapshot. */
static int touch_matviews(struct pg_conn *conn, const struct pg_catalog *c, struct err *err)
{
    struct buf sql = {0};
    size_t i;
    int rc = 0;

    for (i = 0; i < c->ntables && rc == 0; i++) {
        if (c->tables[i].rel.kind != 'm')
            continue;
        buf_puts(&sql, sql.len ? "; SELECT FROM ONLY " : "SELECT FROM ONLY ");
        rc = pg_put_relation(conn, &sql, c->tables[i].rel.schema, c->tables[i].rel.name, err);
        buf_puts(&sql, " LIMIT 0");
    }
    if (rc == 0 && sql.len)
        rc = pg_run(conn, sql.data, err);
    buf_free(&sql);
    return rc;
}

/* The moment, and with it (it is the first query of the transaction) the snapshot. */
static int take_snapshot(struct pg_conn *conn, bool in_recovery, bool export,
                         struct pg_moment *moment, struct err *err)
{
    static const struct pg_wanted wanted = {"tLts", 1, 1};
    struct buf sql = {0};
    struct pg_answer *a;
    int rc;

    buf_printf(&sql,
               "SELECT %s, pg_catalog.%s(), pg_catalog.to_char(t AT TIME ZONE 'UTC',"
               " 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), EXTRACT(epoch FROM t)"
               " FROM pg_catalog.clock_timestamp() t",
               export ? "pg_catalog.pg_export_snapshot()" : "''",
               in_recovery ? "pg_last_wal_replay_lsn" : "pg_current_wal_insert_lsn");
    rc = pg_ask(conn, sql.data, 0, NULL, &wanted, &a, err);
    buf_free(&sql);
    if (rc < 0)
        return rc;
    moment->snapshot_id = export ? mem_strdup(pg_text(a, 0, 0)) : NULL;
    moment->lsn = mem_strdup(pg_text(a, 0, 1));
    moment->time = mem_strdup(pg_text(a, 0, 2));
    moment->unix_ns = pg_nanoseconds(a, 0, 3);
    pg_answer_free(a);
    return 0;
}

static int export_snapshot(struct pg_conn *conn, const struct pg_server *server,
                           struct pg_moment *moment, struct err *err)
{
    int rc = take_snapshot(conn, server->in_recovery, true, moment, err);

    if (rc == -EIO || rc == -EACCES) {
        err_prefix(err, "the server does not export its snapshot");
        if (!server->in_recovery)
            err_hint(err, "--freeze=lock does without");
    }
    return rc;
}

static void name_lock_holder(const struct pg_answer *a, size_t row, struct err *err)
{
    char *name = pg_pattern_of(pg_text(a, row, 0), pg_text(a, row, 1));

    if (!pg_is_null(a, row, 7))
        err_hint(err,
                 "%s is locked by the prepared transaction \"%s\" (of the user %s, since %s), "
                 "until COMMIT PREPARED or ROLLBACK PREPARED",
                 name, pg_text(a, row, 7), pg_text(a, row, 8), pg_text(a, row, 9));
    else
        err_hint(err, "%s is locked by process %s (user %s, application %s%s): %s", name,
                 pg_text(a, row, 2), pg_text(a, row, 4), pg_text(a, row, 5),
                 pg_true(a, row, 3) ? "" : ", itself waiting", pg_text(a, row, 6));
    free(name);
}

/*
 * Who stands in the way: every session that has, or waits for, one of these modes on one of the
 * tables. Asked after the failed transaction was rolled back; it may have gone meanwhile.
 */
static void name_lock_holders(struct pg_conn *conn, const struct pg_catalog *c, const char *modes,
                              struct err *err)
{
    static const char sql[] =
        "SELECT n.nspname, c.relname, l.pid, l.granted, coalesce(a.usename, '?'),"
        " coalesce(nullif(a.application_name, ''), '?'), coalesce(pg_catalog.left(a.query, 60), "
        "''),"
        " p.gid, p.owner, pg_catalog.date_trunc('second', p.prepared)"
        " FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation"
        " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid"
        /* A prepared transaction has no process, and locks its own number, too. */
        " LEFT JOIN pg_catalog.pg_locks x ON l.pid IS NULL AND x.pid IS NULL"
        "   AND x.locktype = 'transactionid' AND x.virtualtransaction = l.virtualtransaction"
        " LEFT JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = x.transactionid"
        " WHERE l.locktype = 'relation' AND l.mode = ANY ($2::pg_catalog.text[])"
        " AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()"
        " AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d"
        "   WHERE d.datname = pg_catalog.current_database())"
        " AND l.relation = ANY ($1::pg_catalog.oid[]) ORDER BY l.granted DESC, 1, 2 LIMIT 8";
    static const struct pg_wanted wanted = {"ttNbtttTTT", 0, 8};
    struct buf oids = {0};
    const char *values[2];
    struct err ignored;
    struct pg_answer *a = NULL;
    size_t i, k, row;

    for (i = 0; i < c->ntables; i++) {
        buf_printf(&oids, "%s%u", i ? "," : "{", c->tables[i].rel.oid);
        for (k = 0; k < c->tables[i].nleaves; k++)
            buf_printf(&oids, ",%u", c->tables[i].leaves[k].oid);
    }
    buf_puts(&oids, c->ntables ? "}" : "{}");
    values[0] = oids.data;
    values[1] = modes;
    if (pg_ask(conn, sql, 2, values, &wanted, &a, &ignored) == 0)
        for (row = 0; row < pg_rows(a); row++)
            name_lock_holder(a, row, err);
    pg_answer_free(a);
    buf_free(&oids);
}

static int explain_failure(struct pg_conn *conn, const struct pg_freeze_request *req,
                           const struct pg_catalog *c, struct err *err)
{
    struct err ignored;

    pg_rollback(conn);
    if (err->code != EBUSY)
        return -err->code;
    err_set(err, EBUSY, "a lock could not be had within %lld ms (--lock-timeout)",
            (long long)req->lock_timeout_ms);
    if (pg_begin(conn, PG_READ_ONLY, false, NULL, &ignored) == 0)
        name_lock_holders(conn, c, "{AccessExclusiveLock}", err);
    pg_rollback(conn);
    return -EBUSY;
}

/* Everything up to the snapshot. 1: what was there to be locked is gone. */
static int lock_and_export(struct pg_conn *conn, const struct pg_freeze_request *req,
                           const struct pg_catalog *c, struct pg_moment *moment, struct err *err)
{
    int rc = begin_reading(conn, req->lock_timeout_ms, err);

    if (rc == 0)
        rc = lock_tables(conn, c, err);
    if (rc == -ESTALE)
        return 1;
    if (rc == 0)
        rc = export_snapshot(conn, req->server, moment, err);
    if (rc == 0)
        rc = touch_matviews(conn, c, err);
    return rc == -ESTALE ? 1 : rc;
}

/*
 * One try. 0 = frozen, 1 = the catalog changed while we waited: try again. The transaction is open
 * after 0 only. Any failed statement can itself be the sign of a change; that is what the next try
 * will see or say.
 */
static int try_freeze(struct pg_conn *conn, const struct pg_freeze_request *req,
                      struct pg_catalog **catalog, struct pg_moment *moment, struct err *err)
{
    struct pg_catalog *before = NULL, *after = NULL;
    int rc;

    rc = collect_catalog(conn, req, &before, err);
    if (rc == 0)
        rc = check_lock_table(before, req->server, 1, err);
    if (rc < 0)
        goto out;
    rc = lock_and_export(conn, req, before, moment, err);
    if (rc == 0)
        rc = read_catalog(conn, req, true, &after, err);
    if (rc == 0)
        rc = pg_filter_check(conn, after, err);
    if (rc == 0 && !pg_catalog_same(before, after)) {
        err_set(err, EAGAIN, CHANGED);
        rc = 1;
    }
    if (rc < 0)
        rc = explain_failure(conn, req, before, err);
    else if (rc > 0)
        pg_rollback(conn);
out:
    pg_catalog_free(before);
    if (rc == 0) {
        *catalog = after;
    } else {
        pg_catalog_free(after);
        pg_moment_free(moment);
    }
    return rc;
}

int pg_freeze_export(struct pg_conn *leader, const struct pg_freeze_request *req,
                     struct pg_catalog **catalog, struct pg_moment *moment, struct err *err)
{
    int64_t deadline = clock_ms() + req->lock_timeout_ms;
    int tries, rc = 1;

    for (tries = 0; rc != 0 && (tries < MIN_TRIES || (rc > 0 && clock_ms() < deadline)); tries++) {
        rc = try_freeze(leader, req, catalog, moment, err);
        if (rc < 0 && rc != -EIO)
            return rc; /* nothing that another try could mend */
        if (rc != 0)
            log_debug("freeze, try %d: %s", tries + 1, err->text);
    }
    if (rc > 0)
        err_set(err, EAGAIN, CHANGED ", in each of %d tries", tries);
    return rc == 0 ? prepare_leader(leader, err) : -err->code;
}

int pg_freeze_join(struct pg_conn *worker, const char *snapshot_id, struct err *err)
{
    struct buf more = {0};
    int rc;

    buf_puts(&more, SCAN_SETTINGS JOIN_KEEPALIVES "SET LOCAL lock_timeout = '" JOIN_LOCK_TIMEOUT
                                                  "';SET TRANSACTION SNAPSHOT ");
    rc = pg_put_literal(worker, &more, snapshot_id, err);
    if (rc == 0)
        rc = pg_begin(worker, PG_READ_ONLY, true, more.data, err);
    buf_free(&more);
    return rc;
}

int pg_freeze_join_writing(struct pg_conn *worker, const char *snapshot_id, int64_t lock_timeout_ms,
                           struct err *err)
{
    struct buf more = {0};
    int rc;

    buf_printf(&more,
               SCAN_SETTINGS "SET LOCAL client_min_messages = error; SET LOCAL synchronous_commit"
                             " = off; SET LOCAL lock_timeout = %lld; SET TRANSACTION SNAPSHOT ",
               (long long)lock_timeout_ms);
    rc = pg_put_literal(worker, &more, snapshot_id, err);
    if (rc == 0)
        rc = pg_begin(worker, PG_READ_WRITE, true, more.data, err);
    buf_free(&more);
    if (rc < 0)
        pg_rollback(worker);
    return rc;
}

static void add_unlockable(struct buf *names, const struct pg_relation *rel)
{
    if (rel->lockable)
        return;
    buf_puts(names, names->len ? ", " : "");
    pg_pattern_put(names, rel->schema, rel->name);
}

/* Everything that SHARE needs and is not there, named at once. */
static int check_lockable(const struct pg_catalog *c, struct err *err)
{
    struct buf names = {0};
    size_t i, k;

    for (i = 0; i < c->ntables; i++) {
        const struct pg_table *t = &c->tables[i];

        add_unlockable(&names, &t->rel);
        for (k = 0; k < t->nleaves; k++)
            add_unlockable(&names, &t->leaves[k]);
    }
    if (names.len)
        err_set(err, EACCES,
                "no permission to lock: %.3000s\n  (--freeze=lock needs UPDATE, DELETE or TRUNCATE "
                "on each table; -T PATTERN leaves out)",
                names.data);
    else
        err->code = 0;
    buf_free(&names);
    return -err->code;
}

int pg_freeze_prepare(struct pg_conn *leader, const struct pg_freeze_request *req,
                      struct pg_catalog **catalog, char **lock_sql, struct err *err)
{
    struct lock_list l = {.conn = leader, .mode = "ACCESS SHARE", .most = LOCKS_A_STATEMENT};
    struct pg_catalog *c = NULL;
    int rc;

    if (req->server->in_recovery)
        return err_set(
            err, ENOTSUP,
            "--freeze=lock is not possible on a standby: SHARE locks are not to be had there; "
            "use --freeze=export");
    rc = collect_catalog(leader, req, &c, err);
    if (rc == 0)
        rc = check_lockable(c, err);
    if (rc == 0)
        rc = check_lock_table(c, req->server, req->sessions, err);
    if (rc == 0)
        rc = lock_statements(&l, c, err);
    if (rc == 0) {
        rc = begin_reading(leader, req->lock_timeout_ms, err);
        if (rc == 0 && l.sql.len)
            rc = pg_run(leader, l.sql.data, err);
        if (rc < 0)
            rc = explain_failure(leader, req, c, err);
        if (rc == -ESTALE) {
            err_set(err, EAGAIN, CHANGED);
            rc = 1;
        }
    }
    if (rc == 0) {
        *catalog = c;
        *lock_sql = buf_steal(&l.sql);
    } else {
        pg_catalog_free(c);
    }
    buf_free(&l.sql);
    return rc;
}

int pg_freeze_hold(struct pg_conn *worker, const char *lock_sql, struct err *err)
{
    int rc = pg_begin(worker, PG_READ_ONLY, true,
                      SCAN_SETTINGS "SET LOCAL lock_timeout = '" JOIN_LOCK_TIMEOUT "'", err);

    return rc == 0 && *lock_sql ? pg_run(worker, lock_sql, err) : rc;
}

/*
 * One statement for all tables and a time-out on the statement as a whole: SHARE on the first
 * tables keeps their writers waiting while the last is waited for.
 */
int pg_freeze_try_share(struct pg_conn *leader, const struct pg_catalog *c, int64_t try_ms,
                        struct err *err)
{
    struct lock_list l = {.conn = leader, .mode = "SHARE", .most = SIZE_MAX};
    struct err ignored;
    int rc;

    buf_printf(&l.sql, "SAVEPOINT asofs_share; SET LOCAL statement_timeout = %lld",
               (long long)try_ms);
    rc = pg_run(leader, l.sql.data, err);
    buf_clear(&l.sql);
    if (rc == 0)
        rc = lock_statements(&l, c, err);
    if (rc == 0 && l.sql.len)
        rc = pg_run(leader, l.sql.data, err);
    buf_free(&l.sql);
    if (rc == 0)
        return pg_run(leader, "SET LOCAL statement_timeout = 0", err);
    if (rc != -ECONNRESET && rc != -EINTR)
        pg_run(leader, "ROLLBACK TO SAVEPOINT asofs_share; RELEASE SAVEPOINT asofs_share",
               &ignored);
    return rc == -ECANCELED ? -EBUSY : rc;
}

int pg_freeze_moment(struct pg_conn *leader, struct pg_moment *moment, struct err *err)
{
    int rc = take_snapshot(leader, false, false, moment, err);

    if (rc == 0)
        moment->lsn_from = mem_strdup(moment->lsn);
    return rc;
}

int pg_freeze_now(struct pg_conn *worker, struct err *err)
{
    return pg_run(worker, "SELECT", err);
}

int pg_freeze_unshare(struct pg_conn *leader, struct pg_moment *moment, struct err *err)
{
    static const struct pg_wanted wanted = {"l", 1, 1};
    struct pg_answer *a;
    int rc =
        pg_ask(leader, "SELECT pg_catalog.pg_current_wal_insert_lsn()", 0, NULL, &wanted, &a, err);

    if (rc < 0)
        return rc;
    free(moment->lsn);
    moment->lsn = mem_strdup(pg_text(a, 0, 0));
    pg_answer_free(a);
    return pg_run(leader, "ROLLBACK TO SAVEPOINT asofs_share; RELEASE SAVEPOINT asofs_share", err);
}

int pg_freeze_verify(struct pg_conn *leader, const struct pg_freeze_request *req,
                     const struct pg_catalog *before, struct pg_catalog **after, struct err *err)
{
    struct pg_catalog *c = NULL;
    int rc = touch_matviews(leader, before, err);

    if (rc == 0)
        rc = read_catalog(leader, req, true, &c, err);
    if (rc == 0)
        rc = pg_filter_check(leader, c, err);
    if (rc == 0 && !pg_catalog_same(before, c)) {
        err_set(err, EAGAIN, CHANGED);
        rc = 1;
    }
    if (rc == 0)
        rc = prepare_leader(leader, err);
    if (rc == 0)
        *after = c;
    else
        pg_catalog_free(c);
    return rc;
}

void pg_freeze_name_writers(struct pg_conn *leader, const struct pg_catalog *c, struct err *err)
{
    name_lock_holders(leader, c,
                      "{RowExclusiveLock,ShareUpdateExclusiveLock,ShareRowExclusiveLock,"
                      "ExclusiveLock,AccessExclusiveLock}",
                      err);
}

void pg_freeze_rollback(struct pg_conn *leader)
{
    pg_rollback(leader);
}

int pg_freeze_release(struct pg_conn *conn, struct err *err)
{
    return pg_run(conn, "COMMIT", err);
}

void pg_moment_free(struct pg_moment *m)
{
    free(m->snapshot_id);
    free(m->time);
    free(m->lsn);
    free(m->lsn_from);
    *m = (struct pg_moment){0};
}
