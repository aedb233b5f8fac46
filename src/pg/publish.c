#include "pg/publish.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/stop.h"
#include "pg/copyin.h"
#include "pg/publishing.h"

#define TRY_MS 300
#define PAUSE_MS 100 /* between two tries others get on */

/* ---- transactions and tries ---- */

/* A session of ours may have it off, but who publishes tells others that it is done. */
int pg_publish_begin(struct pg_conn *conn, struct err *err)
{
    *conn->committing = 0;
    return pg_begin(conn, PG_READ_WRITE, false,
                    "SELECT set_config('synchronous_commit', 'on', true)"
                    " WHERE current_setting('synchronous_commit') = 'off'",
                    err);
}

int pg_publish_try_ms(struct pg_conn *conn, int64_t *try_ms, struct err *err)
{
    static const struct pg_wanted wanted = {"n", 1, 1};
    struct pg_answer *a;
    int64_t half;
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);

    if (rc == 0)
        rc = pg_ask(conn, "SELECT setting FROM pg_settings WHERE name = 'deadlock_timeout'", 0,
                    NULL, &wanted, &a, err);
    if (rc == 0) {
        half = (int64_t)pg_number(a, 0, 0) / 2;
        *try_ms = half < 1 ? 1 : half < TRY_MS ? half : TRY_MS;
        pg_answer_free(a);
    }
    pg_rollback(conn);
    return rc;
}

int pg_publish_pause(struct pg_conn *conn, int64_t deadline, struct err *err)
{
    if (clock_ms() >= deadline)
        return -EBUSY;
    return stop_within(conn->stop_fd, PAUSE_MS) ? err_set(err, EINTR, "interrupted") : 0;
}

int pg_publish_lock(struct pg_conn *conn, const char *lock_sql, int64_t try_ms, struct err *err)
{
    char set[128];
    int rc;

    snprintf(set, sizeof(set), "SET LOCAL lock_timeout = %lld; SET LOCAL statement_timeout = %lld",
             (long long)try_ms, (long long)try_ms);
    rc = pg_run(conn, set, err);
    if (rc == 0)
        rc = pg_run(conn, lock_sql, err);
    if (rc == 0)
        rc = pg_run(conn, "SET LOCAL statement_timeout = 0", err);
    return rc == -ECANCELED ? -EBUSY : rc;
}

int pg_publish_run(struct pg_conn *conn, const struct pg_shadows *s, const char *query,
                   struct err *err)
{
    struct buf b = {0};
    int rc = pg_shadow_collect(conn, s, 0, query, &b, err);

    if (rc == 0 && b.len)
        rc = pg_run(conn, b.data, err);
    buf_free(&b);
    return rc > 0 ? -err->code : rc;
}

/* ---- autovacuum ---- */

/* A session without a role. */
static const char vacuumed[] =
    SHADOW_TREE " SELECT DISTINCT format('LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE', r.o)"
                " FROM rel r JOIN pg_locks l ON l.relation = r.oid AND l.locktype = 'relation'"
                " AND l.granted AND l.database = (SELECT d.oid FROM pg_database d"
                "  WHERE d.datname = current_database())"
                " JOIN pg_stat_activity a ON a.pid = l.pid AND a.usesysid IS NULL, copy";

static int find_vacuumed(struct pg_conn *conn, const struct pg_shadows *s, struct pg_answer **a,
                         struct err *err)
{
    static const struct pg_wanted wanted = {"t", 0, PG_MANY};
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);

    *a = NULL;
    if (rc == 0)
        rc = pg_shadow_ask(conn, s, 0, vacuumed, &wanted, a, err);
    pg_rollback(conn);
    return rc;
}

static int lock_alone(struct pg_conn *conn, const char *lock_sql, int64_t limit_ms, struct err *err)
{
    int rc = pg_begin(conn, PG_READ_WRITE, false, NULL, err);

    if (rc == 0)
        rc = pg_publish_lock(conn, lock_sql, limit_ms > 1 ? limit_ms : 1, err);
    pg_rollback(conn);
    return rc;
}

int pg_publish_clear_way(struct pg_conn *conn, const struct pg_shadows *s, int64_t deadline,
                         struct err *err)
{
    struct pg_answer *a;
    size_t i;
    int rc = find_vacuumed(conn, s, &a, err);

    for (i = 0; rc == 0 && i < pg_rows(a); i++)
        rc = lock_alone(conn, pg_text(a, i, 0), deadline - clock_ms(), err);
    pg_answer_free(a);
    return rc < 0 ? rc : pg_publish_pause(conn, deadline, err);
}

/* ---- who is in the way ---- */

/* clang-format off */
#define LABEL                                                                                      \
    "SELECT c.oid, 'asofs.view' AS o, true AS label FROM pg_class c"                               \
    "  JOIN pg_namespace n ON n.oid = c.relnamespace"                                              \
    "  WHERE n.nspname = 'asofs' AND c.relname = 'view'"
#define HOLDERS                                                                                    \
    " SELECT min(x.o) || CASE WHEN count(*) > 1 THEN format(' and %s more', count(*) - 1)"         \
    "   ELSE '' END, coalesce(l.pid, 0), coalesce(a.usename, '?'), coalesce(nullif("               \
    "   a.application_name, ''), '?'), coalesce(date_trunc('second', a.xact_start)::text, '?'),"   \
    "  coalesce(left(a.query, 60), '')"                                                            \
    "  FROM pg_locks l JOIN x ON x.oid = l.relation"                                               \
    "  LEFT JOIN pg_stat_activity a ON a.pid = l.pid WHERE l.locktype = 'relation' AND l.granted"  \
    "  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())"    \
    "  AND l.pid IS DISTINCT FROM pg_backend_pid()"
#define ONCE                                                                                       \
    " GROUP BY l.pid, a.usename, a.application_name, a.xact_start, a.query ORDER BY 5 LIMIT 8"

static const char holders_of_label[] = "WITH x AS (" LABEL ")" HOLDERS ONCE;
static const char holders[] = SHADOW_TREE
    ", x AS (SELECT r.oid, r.o, false AS label FROM rel r, copy UNION ALL " LABEL ")" HOLDERS ONCE;
static const char writing_holders[] = SHADOW_TREE
    ", x AS (SELECT r.oid, r.o, false AS label FROM rel r, copy UNION ALL " LABEL ")" HOLDERS
    " AND (x.label OR l.mode <> 'AccessShareLock')" ONCE;
/* clang-format on */

static void name_holder(const struct pg_answer *a, size_t i, struct err *err)
{
    if (pg_number(a, i, 1) == 0)
        err_hint(err, "%s: locked by a prepared transaction", pg_text(a, i, 0));
    else
        err_hint(
            err,
            "%s: locked by process %s (user %s, application %s), in a transaction since %s: %s",
            pg_text(a, i, 0), pg_text(a, i, 1), pg_text(a, i, 2), pg_text(a, i, 3),
            pg_text(a, i, 4), pg_text(a, i, 5));
}

void pg_publish_put_holders(const struct pg_answer *a, struct err *err)
{
    size_t i;

    for (i = 0; i < pg_rows(a); i++)
        name_holder(a, i, err);
}

static const struct pg_wanted holders_wanted = {"tntttt", 0, 8};

/* Ends the transaction. */
static void name_holders(struct pg_conn *conn, int rc, struct pg_answer *a, struct err *err)
{
    pg_rollback(conn);
    if (rc == 0)
        pg_publish_put_holders(a, err);
    pg_answer_free(a);
}

void pg_publish_name_holders(struct pg_conn *conn, const struct pg_shadows *s, bool writers,
                             struct err *err)
{
    struct pg_answer *a = NULL;
    struct err ignored;
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, &ignored);

    if (rc == 0)
        rc = pg_shadow_ask(conn, s, 0, writers ? writing_holders : holders, &holders_wanted, &a,
                           &ignored);
    name_holders(conn, rc, a, err);
}

int pg_publish_refuse_label(struct pg_conn *conn, int64_t timeout_ms, struct err *err)
{
    struct pg_answer *a = NULL;
    struct err ignored;
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, &ignored);

    if (rc == 0)
        rc = pg_ask(conn, holders_of_label, 0, NULL, &holders_wanted, &a, &ignored);
    err_set(err, EBUSY, "asofs.view could not be locked within %lld ms", (long long)timeout_ms);
    name_holders(conn, rc, a, err);
    return -EBUSY;
}

/* ---- the label ---- */

/* What the copy named $1 fills has unlogged tables, also as partitions. */
#define HAS_UNLOGGED                                                                               \
    "EXISTS (SELECT FROM asofs.\"table\" t JOIN pg_namespace n ON n.nspname = t.target_schema"     \
    "  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.name"                           \
    "  LEFT JOIN LATERAL pg_partition_tree(c.oid) p ON true"                                       \
    "  JOIN pg_class k ON k.oid = coalesce(p.relid, c.oid)"                                        \
    "  WHERE t.view = $1::text AND k.relpersistence = 'u' AND k.relkind <> 'p'"                    \
    "   AND t.run = (SELECT max(o.run) FROM asofs.\"table\" o WHERE o.view = $1::text))"

/* $1 to $7: the label; $8: it is of tables. fresh: its row as it is to be. */
#define NEW_ROW                                                                                    \
    "WITH label AS (SELECT $1::text AS name, $2::text AS state, $3::timestamptz AS moment,"        \
    " $4::pg_lsn AS lsn, $5::text AS source, $6::int AS tables, $7::bigint AS rows,"               \
    " CASE WHEN $8::bool AND " HAS_UNLOGGED " THEN pg_relation_filenode('asofs.marker') END"       \
    "  AS marker),"                                                                                \
    " fresh AS (SELECT l.name, l.state, coalesce(l.moment, v.moment) AS moment,"                   \
    "  CASE WHEN l.moment IS NULL THEN v.lsn ELSE l.lsn END AS lsn,"                               \
    "  CASE WHEN l.moment IS NULL THEN v.source ELSE l.source END AS source,"                      \
    "  CASE WHEN l.moment IS NULL THEN v.tables ELSE l.tables END AS tables,"                      \
    "  CASE WHEN l.moment IS NULL THEN v.rows ELSE l.rows END AS rows,"                            \
    "  CASE WHEN l.state = 'current' THEN clock_timestamp() ELSE v.published_at END"               \
    "   AS published_at, l.marker FROM label l LEFT JOIN asofs.label v ON v.name = l.name)"
#define COLUMNS "name, state, moment, lsn, source, tables, rows, published_at, marker"

static int ask_with_label(struct pg_conn *conn, const char *sql, const struct pg_label *label,
                          const struct pg_wanted *wanted, struct pg_answer **a, struct err *err)
{
    char tables[24], rows[24];
    const char *values[] = {label->name,   label->state, label->moment, label->lsn,
                            label->source, tables,       rows,          label->objects ? "f" : "t"};

    snprintf(tables, sizeof(tables), "%lld", (long long)label->tables);
    snprintf(rows, sizeof(rows), "%lld", (long long)label->rows);
    return pg_ask(conn, sql, 8, values, wanted, a, err);
}

/* With its row, asofs.marker has a file that it never had: labels of what was lost are of another. */
static int fill_marker(struct pg_conn *conn, const struct pg_label *label, struct err *err)
{
    static const struct pg_wanted wanted = {"b", 1, 1};
    struct pg_answer *a;
    bool empty;
    int rc;

    if (label->objects)
        return 0;
    rc = pg_ask(conn, "SELECT pg_relation_size('asofs.marker') = 0 AND " HAS_UNLOGGED, 1,
                &label->name, &wanted, &a, err);
    if (rc < 0)
        return rc;
    empty = pg_true(a, 0, 0);
    pg_answer_free(a);
    return empty ? pg_run(conn, "TRUNCATE asofs.marker; INSERT INTO asofs.marker SELECT now()", err)
                 : 0;
}

static int copy_in(struct pg_conn *conn, const char *sql, const struct buf *lines, struct err *err)
{
    struct pg_copyin_bytes from = {lines->data, lines->len};
    struct pg_copyin *copy = mem_alloc(sizeof(*copy));
    int64_t deadline = clock_ms() + (conn->query_timeout_ms ? conn->query_timeout_ms : 3600000);
    int rc;

    *copy = (struct pg_copyin){
        .copy_sql = sql, .table = "label", .read = pg_copyin_read_bytes, .arg = &from};
    rc = pg_copyin_start(conn, copy, err);
    while (rc == 0 && (rc = pg_copyin_step(conn, copy, err)) == PG_COPYIN_MORE) {
        struct pollfd p[2] = {
            {.fd = pg_conn_socket(conn), .events = pg_copyin_events(copy)},
            {.fd = conn->stop_fd, .events = POLLIN},
        };

        if (clock_ms() >= deadline)
            rc = err_set(err, ETIMEDOUT, "the server gave no answer to COPY");
        else if (poll(p, 2, 1000) > 0 && p[1].revents)
            rc = err_set(err, EINTR, "interrupted");
    }
    free(copy);
    return rc < 0 ? rc : 0;
}

/* clang-format off */
/* As csv, a line for each row. */
#define FIELD(name) "coalesce('\"' || replace(r." name "::text, '\"', '\"\"') || '\"', '')"
#define LINES                                                                                      \
    NEW_ROW " SELECT concat_ws(',', " FIELD("name") ", " FIELD("state") ", " FIELD("moment")       \
    ", " FIELD("lsn") ", " FIELD("source") ", " FIELD("tables") ", " FIELD("rows") ", "            \
    FIELD("published_at") ", " FIELD("marker") ") FROM (SELECT " COLUMNS " FROM fresh"               \
    " UNION ALL SELECT " COLUMNS " FROM asofs.label v"                                             \
    " WHERE v.name <> $1::text) r"
/* clang-format on */

/* Rows that are frozen as they are written are seen by all snapshots, and so with the tables. */
int pg_publish_put_label(struct pg_conn *conn, const struct pg_label *label, struct err *err)
{
    static const struct pg_wanted wanted = {"t", 1, PG_MANY};
    struct buf lines = {0};
    struct pg_answer *a;
    size_t i;
    int rc = pg_publish_replace(conn, label->name, err);

    if (rc == 0)
        rc = fill_marker(conn, label, err);
    if (rc == 0)
        rc = ask_with_label(conn, LINES, label, &wanted, &a, err);
    if (rc < 0)
        return rc;
    for (i = 0; i < pg_rows(a); i++)
        buf_printf(&lines, "%s\n", pg_text(a, i, 0));
    pg_answer_free(a);
    rc = pg_run(conn, "TRUNCATE asofs.label", err);
    if (rc == 0)
        rc = copy_in(conn, "COPY asofs.label (" COLUMNS ") FROM STDIN (FORMAT csv, FREEZE)", &lines,
                     err);
    buf_free(&lines);
    return rc;
}

int pg_publish_update_label(struct pg_conn *conn, const struct pg_label *label, struct err *err)
{
    static const char sql[] =
        NEW_ROW " INSERT INTO asofs.label AS v (" COLUMNS ") SELECT " COLUMNS " FROM fresh"
                " ON CONFLICT (name) DO UPDATE SET (" COLUMNS ") = (SELECT excluded.name,"
                " excluded.state, excluded.moment, excluded.lsn, excluded.source, excluded.tables,"
                " excluded.rows, excluded.published_at, excluded.marker) RETURNING v.name";
    static const struct pg_wanted wanted = {"t", 1, 1};
    struct pg_answer *a;
    int rc = fill_marker(conn, label, err);

    if (rc == 0)
        rc = ask_with_label(conn, sql, label, &wanted, &a, err);
    if (rc == 0)
        pg_answer_free(a);
    return rc;
}

int pg_publish_commit(struct pg_conn *conn, const struct pg_label *label, struct err *err)
{
    static const struct pg_wanted wanted = {"Tt", 1, 1};
    struct pg_answer *a;
    int rc = pg_ask(conn, "SELECT pg_notify('asofs', $1)::text, pg_current_xact_id()::text", 1,
                    &label->name, &wanted, &a, err);

    if (rc < 0)
        return rc;
    snprintf(conn->committing, sizeof(conn->committing), "%s", pg_text(a, 0, 1));
    pg_answer_free(a);
    rc = pg_run(conn, "COMMIT", err);
    if (rc == 0)
        *conn->committing = 0;
    return rc;
}

const char *pg_publish_committing(const struct pg_conn *conn)
{
    return conn->committing;
}

static int ask_status(struct pg_conn *conn, const char *transaction, bool *over, struct err *err)
{
    static const struct pg_wanted wanted = {"t", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);

    if (rc == 0)
        rc = pg_ask(conn, "SELECT pg_xact_status($1::xid8)", 1, &transaction, &wanted, &a, err);
    if (rc == 0) {
        *over = strcmp(pg_text(a, 0, 0), "in progress") != 0;
        rc = strcmp(pg_text(a, 0, 0), "committed") == 0;
    }
    pg_answer_free(a);
    pg_rollback(conn);
    return rc;
}

int pg_publish_find(struct pg_conn *conn, const char *transaction, int64_t timeout_ms,
                    struct err *err)
{
    int64_t deadline = clock_ms() + timeout_ms;
    bool over = false;
    int rc, rc2 = 0;

    while ((rc = ask_status(conn, transaction, &over, err)) >= 0 && !over && rc2 == 0)
        rc2 = pg_publish_pause(conn, deadline, err);
    if (rc2 == -EBUSY)
        return err_set(err, EBUSY, "the server is still at it");
    return rc2 < 0 ? rc2 : rc;
}

static int try_label(struct pg_conn *conn, const struct pg_label *label, int64_t try_ms,
                     struct err *err)
{
    int rc = pg_publish_begin(conn, err);

    if (rc == 0)
        rc = pg_publish_lock(conn, "LOCK TABLE ONLY asofs.view IN ACCESS EXCLUSIVE MODE", try_ms,
                             err);
    if (rc == 0)
        rc = pg_publish_put_label(conn, label, err);
    if (rc == 0)
        rc = pg_publish_commit(conn, label, err);
    if (rc < 0)
        pg_rollback(conn);
    return rc;
}

int pg_publish_label(struct pg_conn *conn, const struct pg_label *label, int64_t timeout_ms,
                     struct err *err)
{
    int64_t deadline = clock_ms() + timeout_ms, try_ms;
    int rc = pg_publish_try_ms(conn, &try_ms, err);

    while (rc == 0 && (rc = try_label(conn, label, try_ms, err)) == -EBUSY) {
        rc = pg_publish_pause(conn, deadline, err);
        if (rc < 0)
            break;
    }
    return rc == -EBUSY ? pg_publish_refuse_label(conn, timeout_ms, err) : rc;
}
