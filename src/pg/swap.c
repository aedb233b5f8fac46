/*
 * Tables and shadows change places.
 *
 * 1. Readers whose snapshot is older than the rows are waited for: rows that came after it do not
 *    exist for it, and the new table would be empty. Only those that had their snapshot when we
 *    began to look can be meant, whatever they are at.
 * 2. In one transaction, and in this order: the shadows are locked, which may take a while, as
 *    autovacuum has to be driven off them; then SHARE UPDATE EXCLUSIVE on the tables, so that nobody
 *    alters them. Readers and writers do not notice either. Tables and
 *    shadows are compared, statements are made, the largest values of sequences are looked up.
 * 3. asofs.view first, then the tables, ACCESS EXCLUSIVE; from here on readers are held. The old
 *    tables are dropped, without CASCADE, the new ones move in by SET SCHEMA. COMMIT.
 *
 * When a lock is not had all of 2 and 3 begins again, so that in the pause nobody waits for us.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/mem.h"
#include "pg/publishing.h"

/* ---- readers with an old snapshot ---- */

struct horizon {
    char *xid;  /* transactions before it, and all that loaded were, are over */
    char *time; /* snapshots that are taken from here on see what was loaded */
};

static int ask_horizon(struct pg_conn *conn, struct horizon *h, struct err *err)
{
    static const struct pg_wanted wanted = {"tt", 1, 1};
    struct pg_answer *a;
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);

    if (rc == 0)
        rc = pg_ask(conn,
                    "SELECT pg_snapshot_xmax(pg_current_snapshot())::text,"
                    " clock_timestamp()::text",
                    0, NULL, &wanted, &a, err);
    if (rc == 0) {
        h->xid = mem_strdup(pg_text(a, 0, 0));
        h->time = mem_strdup(pg_text(a, 0, 1));
        pg_answer_free(a);
    }
    pg_rollback(conn);
    return rc;
}

/*
 * A session without a role is autovacuum, which reads nothing of ours. When its transaction began
 * we are told only with privileges (pg_read_all_stats); its backend_xmin everybody is.
 */
static int ask_older(struct pg_conn *conn, const struct horizon *h, struct pg_answer **a,
                     struct err *err)
{
    static const char sql[] =
        "SELECT a.pid, coalesce(a.usename, '?'), coalesce(nullif(a.application_name, ''), '?'),"
        " coalesce(date_trunc('second', a.xact_start)::text, '?'), coalesce(left(a.query, 60), '')"
        " FROM pg_stat_activity a WHERE a.datname = current_database()"
        " AND a.pid <> pg_backend_pid() AND a.usesysid IS NOT NULL"
        " AND age(a.backend_xmin) > age($1::xid8::xid)"
        " AND (a.xact_start IS NULL OR a.xact_start <= $2::timestamptz) ORDER BY 4 LIMIT 8";
    static const struct pg_wanted wanted = {"ntttt", 0, 8};
    const char *values[] = {h->xid, h->time};
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);

    if (rc == 0)
        rc = pg_ask(conn, sql, 2, values, &wanted, a, err);
    pg_rollback(conn);
    return rc;
}

static int fail_older(const struct pg_answer *a, int64_t timeout_ms, struct err *err)
{
    size_t i;

    err_set(err, EBUSY,
            "somebody still reads as of before the copy was loaded, and would find the new tables "
            "empty; it did not end within %lld ms",
            (long long)timeout_ms);
    for (i = 0; i < pg_rows(a); i++)
        err_hint(err, "process %s (user %s, application %s), in a transaction since %s: %s",
                 pg_text(a, i, 0), pg_text(a, i, 1), pg_text(a, i, 2), pg_text(a, i, 3),
                 pg_text(a, i, 4));
    return -EBUSY;
}

int pg_publish_wait_older(struct pg_conn *conn, int64_t deadline, int64_t timeout_ms,
                          struct err *err)
{
    struct horizon h = {NULL, NULL};
    struct pg_answer *a = NULL;
    bool clear = false;
    int rc = ask_horizon(conn, &h, err);

    while (rc == 0 && !clear) {
        rc = ask_older(conn, &h, &a, err);
        clear = rc == 0 && pg_rows(a) == 0;
        if (rc == 0 && !clear && (rc = pg_publish_pause(conn, deadline, err)) == -EBUSY)
            fail_older(a, timeout_ms, err);
        pg_answer_free(a);
        a = NULL;
    }
    free(h.xid);
    free(h.time);
    return rc;
}

/* ---- statements ---- */

/* clang-format off */
/* In an order that is always the same. */
#define LOCK(what, mode)                                                                           \
    SHADOW_TREE " SELECT '', 'LOCK TABLE ' || string_agg('ONLY ' || r." what                       \
                ", ', ' ORDER BY r.sch, r.relname) || ' IN " mode " MODE' FROM rel r, copy"

static const char lock_shadows[] = LOCK("s", "ACCESS EXCLUSIVE");
static const char lock_against_changes[] = LOCK("o", "SHARE UPDATE EXCLUSIVE");
static const char lock_tables[] =
    SHADOW_TREE " SELECT '', 'LOCK TABLE ONLY asofs.view, ' || string_agg('ONLY ' || r.o, ', '"
                " ORDER BY r.sch, r.relname) || ' IN ACCESS EXCLUSIVE MODE' FROM rel r, copy";

/*
 * Rows outside of a filter were copied when the shadow was made; that they are still the same has to
 * be looked at while nobody can write to the table.
 */
static const char lock_filtered[] =
    SHADOW_TREE " SELECT '', 'LOCK TABLE ' || string_agg('ONLY ' || r.o, ', ' ORDER BY r.sch,"
                " r.relname) || ' IN SHARE ROW EXCLUSIVE MODE' FROM rel r JOIN listed l"
                " ON l.i = r.i AND l.f IS NOT NULL, copy HAVING count(*) > 0";
#define SUM_OF_ROWS                                                                                \
    "SELECT count(*), sum(hashtextextended(ROW(%s)::text, 0)) FROM %s%s WHERE (' || chr(10)"       \
    " || '%s' || chr(10) || ') IS NOT TRUE"
static const char count_filtered[] =
    SHADOW_TREE " SELECT r.o, format('SELECT EXISTS (" SUM_OF_ROWS " EXCEPT " SUM_OF_ROWS ")',"
                "  a.cols, k.only, r.o, l.f, a.cols, k.only, r.s, l.f)"
                " FROM rel r JOIN listed l ON l.i = r.i AND l.f IS NOT NULL CROSS JOIN LATERAL ("
                "  SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS cols"
                "  FROM pg_attribute a WHERE a.attrelid = r.oid AND a.attnum > 0"
                "  AND NOT a.attisdropped) a CROSS JOIN LATERAL (SELECT CASE r.relkind"
                "  WHEN 'r' THEN 'ONLY ' ELSE '' END AS only) k, copy WHERE r.depth = 0 ORDER BY 1";

/* A value that names one of the old tables, or what belongs to it, would be the number of nothing. */
static const char count_named[] =
    SHADOW_TREE SHADOW_IDENTITY
    " SELECT format('%s.%I', r.o, a.attname), format(CASE a.atttypid WHEN 'regclass'::regtype THEN"
    " 'SELECT EXISTS (SELECT FROM %s WHERE %I::oid = ANY (%L::oid[]))' ELSE"
    " 'SELECT EXISTS (SELECT FROM %s WHERE %I::oid[] && %L::oid[])' END, r.s, a.attname, old.oids)"
    " FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped"
    "  AND a.atttypid IN ('regclass'::regtype, 'regclass[]'::regtype) CROSS JOIN ("
    "  SELECT array_agg(x.oid) AS oids FROM (SELECT t.oid FROM rel t UNION SELECT q.oid FROM idseq q"
    "   UNION SELECT y.indexrelid FROM pg_index y JOIN rel t ON t.oid = y.indrelid) x) old, copy"
    " WHERE r.depth = 0 ORDER BY 1";

/* An identity sequence of a shadow is ours alone until the swap. */
static const char prepare_sql[] =
    SHADOW_TREE SHADOW_IDENTITY SHADOW_SEQUENCES
    " SELECT '', x.sql FROM (" SHADOW_KEEP_LARGEST " UNION ALL SELECT format('SELECT setval("
    "%L::regclass, least(greatest(x.m, %s), %s)) FROM (SELECT %s(%I)::int8 AS m FROM %s) x"
    " WHERE x.m IS NOT NULL', q.s, q.seqmin, q.seqmax, CASE WHEN q.seqincrement > 0 THEN 'max'"
    " ELSE 'min' END, q.attname, q.rs) FROM idseq q) x, copy";

/* Serial columns: a sequence goes with its table, so it is taken away from it, and given back. */
#define OWNED                                                                                      \
    ", owned AS (SELECT r.o, a.attname, format('%I.%I', n.nspname, q.relname) AS q FROM rel r"     \
    "  JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = r.oid"             \
    "   AND d.classid = 'pg_class'::regclass AND d.deptype = 'a' AND d.refobjsubid > 0"            \
    "  JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'"                                     \
    "  JOIN pg_namespace n ON n.oid = q.relnamespace"                                              \
    "  JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = d.refobjsubid)"

/* Of two identity sequences, which are one after the swap, the state of that which is ahead. */
#define IDENTITIES                                                                                 \
    " UNION ALL SELECT 20, 0, q.oid, format('SELECT setval(%L::regclass, x.v, x.c)"                \
    " FROM (SELECT last_value AS v, is_called AS c FROM %s"                                        \
    " UNION ALL SELECT last_value, is_called FROM %s) x ORDER BY x.v %s, x.c DESC LIMIT 1',"       \
    "  q.s, q.o, q.s, CASE WHEN q.seqincrement > 0 THEN 'DESC' ELSE 'ASC' END) FROM idseq q"

/* Version 14 has neither columns nor filters. */
#define PUBLICATIONS(filter)                                                                       \
    " UNION ALL SELECT 70, 0, k.oid, format('ALTER PUBLICATION %I ADD TABLE ONLY %s%s%s',"         \
    "  p.pubname, r.o, ' (' || (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.n)"      \
    "   FROM unnest(string_to_array(translate(to_jsonb(k)->>'prattrs', '[] ', ''), ',')::int2[])"  \
    "    WITH ORDINALITY AS u(num, n)"                                                             \
    "   JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = u.num) || ')'," filter ")"        \
    "  FROM rel r JOIN pg_publication_rel k ON k.prrelid = r.oid"                                  \
    "  JOIN pg_publication p ON p.oid = k.prpubid"

/* Which the next copy of this name may make logged again. */
#define MADE_UNLOGGED                                                                              \
    " UNION ALL SELECT 75, 0, r.oid, format('UPDATE asofs.\"table\" SET unlogged = %L WHERE view ="  \
    " %L AND target_schema = %L AND name = %L', copy.unlogged AND (r.relpersistence <> 'u'"        \
    "  OR r.i IN (SELECT made.i FROM made)), copy.name, r.sch, r.relname)"                         \
    "  FROM rel r, copy WHERE r.depth = 0"

#define SWAP(filter)                                                                               \
    SHADOW_TREE SHADOW_IDENTITY SHADOW_SEQUENCES OWNED                                             \
        " SELECT '', x.sql FROM ("                                                                 \
        "SELECT 10 AS ord, 0 AS depth, 0::oid AS oid,"                                             \
        "  format('ALTER SEQUENCE %s OWNED BY NONE', w.q) AS sql FROM owned w"                     \
        " UNION ALL SELECT 15, 0, 0, x.sql FROM (" SHADOW_RAISE ") x" IDENTITIES                   \
        " UNION ALL SELECT 30, 0, 0, 'DROP TABLE ' || string_agg(r.o, ', ' ORDER BY r.i)"          \
        "  FROM rel r WHERE r.depth = 0"                                                           \
        " UNION ALL SELECT 40, r.depth, r.oid, format('ALTER TABLE %s SET SCHEMA %I', r.s, r.sch)" \
        "  FROM rel r"                                                                             \
        " UNION ALL SELECT 50, 0, 0, format('ALTER SEQUENCE %s OWNED BY %s.%I', w.q, w.o,"         \
        "  w.attname) FROM owned w"                                                                \
        " UNION ALL SELECT 60, 0, x.oid, format('ALTER STATISTICS %I.%I SET SCHEMA %I', m.w,"      \
        "  x.stxname, m.s) FROM rel r JOIN pg_statistic_ext x ON x.stxrelid = r.oid"               \
        "  JOIN pg_namespace n ON n.oid = x.stxnamespace JOIN map m ON m.s = n.nspname"            \
        PUBLICATIONS(filter) MADE_UNLOGGED                                                         \
        " UNION ALL SELECT 80, 0, 0, 'DROP SCHEMA ' || string_agg(quote_ident(m.w), ', ')"         \
        "  FROM map m) x, copy WHERE x.sql IS NOT NULL ORDER BY x.ord, x.depth, x.oid, x.sql"

static const char swap_sql[] = SWAP("' WHERE (' || pg_get_expr(k.prqual, k.prrelid) || ')'");
static const char swap_sql_of_14[] = SWAP("''");
/* clang-format on */

/* ---- the transaction ---- */

static int lock_found(struct pg_conn *conn, const struct pg_shadows *s, const char *query,
                      int64_t try_ms, struct err *err)
{
    struct buf b = {0};
    int rc = pg_shadow_collect(conn, s, 0, query, &b, err);

    if (rc == 0)
        rc = pg_publish_lock(conn, b.data, try_ms, err);
    buf_free(&b);
    return rc > 0 ? -err->code : rc;
}

/* Rows of what, and a query that is to be false; but: what it would mean. */
static int expect_false(struct pg_conn *conn, const struct pg_shadows *s, const char *query,
                        const char *but, struct err *err)
{
    static const struct pg_wanted all = {"tt", 0, PG_MANY}, one = {"b", 1, 1};
    struct pg_answer *queries = NULL, *a;
    size_t i;
    int rc = pg_shadow_ask(conn, s, 0, query, &all, &queries, err);

    for (i = 0; rc == 0 && i < pg_rows(queries); i++) {
        rc = pg_ask(conn, pg_text(queries, i, 1), 0, NULL, &one, &a, err);
        if (rc == 0 && pg_true(a, 0, 0))
            rc = err_set(err, ESTALE, "%s: %s", pg_text(queries, i, 0), but);
        pg_answer_free(a);
    }
    pg_answer_free(queries);
    return rc;
}

/* Writers to such a table are held for as long as it takes to read it twice. */
static int check_outside(struct pg_conn *conn, const struct pg_shadows *s, int64_t try_ms,
                         struct err *err)
{
    struct buf b = {0};
    int rc = pg_shadow_collect(conn, s, 0, lock_filtered, &b, err);

    if (rc == 0 && b.len)
        rc = pg_publish_lock(conn, b.data, try_ms, err);
    buf_free(&b);
    if (rc != 0)
        return rc > 0 ? -err->code : rc;
    return expect_false(conn, s, count_filtered,
                        "rows outside of the filter were written to while it was loaded, or loaded "
                        "rows do not satisfy it; copy again",
                        err);
}

/* Step 2. Autovacuum goes when somebody has waited for deadlock_timeout; others than it have nothing
 * to do with shadows, but with tables, of which we may already have some when we wait. */
static int prepare_swap(struct pg_conn *conn, const struct pg_shadows *s, int64_t left_ms,
                        int64_t try_ms, struct buf *swap, struct err *err)
{
    bool old = PQserverVersion(conn->pq) < 150000;
    int rc = pg_publish_begin(conn, err);

    if (rc == 0)
        rc = pg_shadow_expect_all(conn, s, err);
    if (rc == 0)
        rc = lock_found(conn, s, lock_shadows, left_ms, err);
    if (rc == 0)
        rc = lock_found(conn, s, lock_against_changes, try_ms, err);
    if (rc == 0)
        rc = pg_shadow_expect_listed(conn, s, err);
    if (rc == 0)
        rc = pg_shadow_compare(conn, s, false, err);
    if (rc == 0)
        rc = check_outside(conn, s, try_ms, err);
    if (rc == 0)
        rc = expect_false(
            conn, s, count_named,
            "there are names of tables that would be others; --publish=rows keeps them", err);
    if (rc == 0)
        rc = pg_publish_run(conn, s, prepare_sql, err);
    if (rc == 0)
        rc = pg_shadow_collect(conn, s, 0, old ? swap_sql_of_14 : swap_sql, swap, err);
    return rc > 0 ? -err->code : rc;
}

static int try_swap(struct pg_conn *conn, const struct pg_shadows *s, const struct pg_label *label,
                    int64_t left_ms, int64_t try_ms, struct err *err)
{
    struct buf swap = {0};
    int rc = prepare_swap(conn, s, left_ms, try_ms, &swap, err);

    if (rc == 0)
        rc = lock_found(conn, s, lock_tables, try_ms, err);
    if (rc == 0)
        rc = pg_shadow_compare(conn, s, true, err);
    if (rc == 0)
        rc = pg_run(conn, swap.data, err);
    if (rc == 0)
        rc = pg_publish_put_label(conn, label, err);
    if (rc == 0)
        rc = pg_publish_commit(conn, label, err);
    if (rc < 0)
        pg_rollback(conn);
    buf_free(&swap);
    return rc;
}

static int64_t left_until(int64_t deadline)
{
    int64_t left = deadline - clock_ms();

    return left > 1 ? left : 1;
}

int pg_publish_swap(struct pg_conn *conn, const struct pg_shadows *s, const struct pg_label *label,
                    int64_t timeout_ms, struct err *err)
{
    int64_t deadline = clock_ms() + timeout_ms, try_ms;
    int rc = pg_publish_wait_older(conn, deadline, timeout_ms, err);

    if (rc < 0)
        return rc;
    rc = pg_publish_try_ms(conn, &try_ms, err);
    while (rc == 0 && (rc = try_swap(conn, s, label, left_until(deadline), try_ms, err)) == -EBUSY)
        rc = pg_publish_clear_way(conn, s, deadline, err);
    if (rc == -EBUSY) {
        err_set(err, EBUSY, "the tables could not be locked within %lld ms", (long long)timeout_ms);
        pg_publish_name_holders(conn, s, false, err);
    }
    return rc;
}
