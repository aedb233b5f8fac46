/*
 * Publishing a copy within the first database, in the steps of swap.c: wait until no snapshot is
 * older than the rows, lock out autovacuum, then in one short transaction the label and the tables.
 */
#include <errno.h>
#include <string.h>

#include "common/clock.h"
#include "pg/intonames.h"
#include "pg/publishing.h"

/* $1: the name of the copy; $2: the schema of the new tables. */
/* clang-format off */
#define TABLES                                                                                     \
    "WITH t AS (SELECT c.oid, c.relname, c.relacl, c.relowner, n.nspname = $2::text AS fresh,"     \
    "  n.nspname, format('%I.%I', n.nspname, c.relname) AS q"                                      \
    "  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"                              \
    "  WHERE n.nspname IN ($2::text, " INTO_SCHEMA ") AND c.relkind = 'r'"                         \
    "  AND obj_description(c.oid, 'pg_class') = " INTO_TABLE_COMMENT ")"

static const char lock_fresh[] =
    TABLES " SELECT 'LOCK TABLE ' || string_agg('ONLY ' || t.q, ', ' ORDER BY t.relname)"
           " || ' IN ACCESS EXCLUSIVE MODE' FROM t WHERE t.fresh";
static const char lock_against_changes[] =
    TABLES " SELECT 'LOCK TABLE ' || string_agg('ONLY ' || t.q, ', ' ORDER BY t.relname)"
           " || ' IN SHARE UPDATE EXCLUSIVE MODE' FROM t WHERE NOT t.fresh";
static const char lock_tables[] =
    TABLES " SELECT 'LOCK TABLE ONLY asofs.view' || coalesce(string_agg(', ONLY ' || t.q, ''"
           "  ORDER BY t.relname), '') || ' IN ACCESS EXCLUSIVE MODE' FROM t WHERE NOT t.fresh";

static const char swap_sql[] =
    TABLES
    " SELECT string_agg(x.sql, '; ' ORDER BY x.ord, x.sql) FROM ("
    "SELECT 1 AS ord, 'DROP TABLE ' || string_agg(t.q, ', ' ORDER BY t.relname) AS sql FROM t"
    "  WHERE NOT t.fresh"
    " UNION ALL SELECT 2, format('ALTER TABLE %s SET SCHEMA %I', t.q, " INTO_SCHEMA ") FROM t"
    "  WHERE t.fresh"
    " UNION ALL SELECT 3, format('GRANT %s ON %s TO %s%s', p.privilege_type, o.q,"
    "  CASE WHEN p.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END,"
    "  CASE WHEN p.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
    "  FROM t o JOIN t f ON f.relname = o.relname AND f.fresh AND NOT o.fresh"
    "  CROSS JOIN LATERAL aclexplode(o.relacl) p LEFT JOIN pg_roles r ON r.oid = p.grantee"
    "  WHERE p.grantee <> o.relowner AND (p.grantee = 0 OR r.oid IS NOT NULL)"
    " UNION ALL SELECT 3, format('GRANT %s (%I) ON %s TO %s%s', p.privilege_type, a.attname, o.q,"
    "  CASE WHEN p.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END,"
    "  CASE WHEN p.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"
    "  FROM t o JOIN t f ON f.relname = o.relname AND f.fresh AND NOT o.fresh"
    "  JOIN pg_attribute a ON a.attrelid = o.oid AND NOT a.attisdropped"
    "  JOIN pg_attribute b ON b.attrelid = f.oid AND b.attname = a.attname"
    "  CROSS JOIN LATERAL aclexplode(a.attacl) p LEFT JOIN pg_roles r ON r.oid = p.grantee"
    "  WHERE p.grantee <> o.relowner AND (p.grantee = 0 OR r.oid IS NOT NULL)"
    " UNION ALL SELECT 4, format('DROP SCHEMA %I', $2::text)) x WHERE x.sql IS NOT NULL";

static const char holders_sql[] =
    "WITH x AS (SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS o FROM pg_class c"
    "  JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = " INTO_SCHEMA
    "  OR (n.nspname = 'asofs' AND c.relname = 'view'))"
    " SELECT min(x.o) || CASE WHEN count(*) > 1 THEN format(' and %s more', count(*) - 1)"
    "   ELSE '' END, coalesce(l.pid, 0), coalesce(a.usename, '?'), coalesce(nullif("
    "   a.application_name, ''), '?'), coalesce(date_trunc('second', a.xact_start)::text, '?'),"
    "  coalesce(left(a.query, 60), '')"
    "  FROM pg_locks l JOIN x ON x.oid = l.relation LEFT JOIN pg_stat_activity a ON a.pid = l.pid"
    "  WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()"
    "  AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())"
    " GROUP BY l.pid, a.usename, a.application_name, a.xact_start, a.query ORDER BY 5 LIMIT 8";
/* clang-format on */

struct into {
    struct pg_conn *conn;
    const char *values[2];
    const struct pg_label *label;
};

static int make_sql(const struct into *p, const char *query, struct buf *sql, struct err *err)
{
    static const struct pg_wanted wanted = {"T", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(p->conn, query, 2, p->values, &wanted, &a, err);

    if (rc == 0 && !pg_is_null(a, 0, 0))
        buf_puts(sql, pg_text(a, 0, 0));
    pg_answer_free(a);
    return rc;
}

static int lock(const struct into *p, const char *query, int64_t limit_ms, struct err *err)
{
    struct buf b = {0};
    int rc = make_sql(p, query, &b, err);

    if (rc == 0 && b.len)
        rc = pg_publish_lock(p->conn, b.data, limit_ms, err);
    buf_free(&b);
    return rc;
}

/* Autovacuum goes when somebody has waited for deadlock_timeout, so this waits longer than a try;
 * nobody else is held by it. */
static int prepare_swap(const struct into *p, int64_t left_ms, struct buf *swap, struct err *err)
{
    int rc = pg_publish_begin(p->conn, err);

    if (rc == 0)
        rc = lock(p, lock_fresh, left_ms, err);
    if (rc == 0)
        rc = lock(p, lock_against_changes, left_ms, err);
    if (rc == 0)
        rc = make_sql(p, swap_sql, swap, err);
    return rc;
}

static int try_into(const struct into *p, int64_t left_ms, int64_t try_ms, struct err *err)
{
    struct buf swap = {0};
    int rc = prepare_swap(p, left_ms, &swap, err);

    if (rc == 0)
        rc = lock(p, lock_tables, try_ms, err);
    if (rc == 0)
        rc = pg_run(p->conn, swap.data, err);
    if (rc == 0)
        rc = pg_publish_put_label(p->conn, p->label, err);
    if (rc == 0)
        rc = pg_publish_commit(p->conn, p->label, err);
    if (rc < 0)
        pg_rollback(p->conn);
    buf_free(&swap);
    return rc;
}

static void name_holders(const struct into *p, struct err *err)
{
    static const struct pg_wanted wanted = {PUBLISH_HOLDERS, 0, 8};
    struct pg_answer *a = NULL;
    struct err ignored;
    int rc = pg_begin(p->conn, PG_READ_ONLY, false, NULL, &ignored);

    if (rc == 0)
        rc = pg_ask(p->conn, holders_sql, 1, p->values, &wanted, &a, &ignored);
    pg_rollback(p->conn);
    if (rc == 0)
        pg_publish_put_holders(a, err);
    pg_answer_free(a);
}

int pg_publish_into(struct pg_conn *conn, const char *schema, const struct pg_label *label,
                    int64_t timeout_ms, struct err *err)
{
    struct into p = {.conn = conn, .values = {label->name, schema}, .label = label};
    int64_t deadline = clock_ms() + timeout_ms, left, try_ms;
    int rc = pg_publish_wait_older(conn, deadline, timeout_ms, err);

    if (rc < 0)
        return rc; /* and who is in the way is named */
    rc = pg_publish_try_ms(conn, &try_ms, err);
    while (rc == 0) {
        left = deadline - clock_ms();
        rc = try_into(&p, left > 1 ? left : 1, try_ms, err);
        if (rc != -EBUSY)
            return rc;
        rc = pg_publish_pause(conn, deadline, err);
    }
    if (rc == -EBUSY && clock_ms() >= deadline) {
        err_set(err, EBUSY, "the tables could not be locked within %lld ms", (long long)timeout_ms);
        name_holders(&p, err);
    }
    return rc;
}
