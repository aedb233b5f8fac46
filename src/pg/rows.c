/*
 * The rows of the tables become those of their shadows.
 *
 * With a primary key, in an order in which no foreign key among the tables is broken at any time:
 * parents first rows are updated and inserted, then children first those that are gone are deleted.
 * This fails where another unique value passes from a row to one that comes before it; then, from
 * the same point, the other order is tried: what is gone or differs is deleted, children first, and
 * all that is missing inserted, parents first; but not where a row that is deleted only to come back
 * would take rows with it that do not. Constraints that can be are deferred in both.
 *
 * Two rows with one key in a shadow would become one, so they are looked for.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/mem.h"
#include "pg/publishing.h"

enum step { EARLY, UPDATE, INSERT, GONE, DIFFERS, TWICE, STEPS };

/* ---- statements ---- */

/* clang-format off */
static const char lock_tables[] =
    SHADOW_TREE " SELECT '', 'LOCK TABLE ' || string_agg('ONLY ' || r.o, ', '"
                " ORDER BY r.sch, r.relname) || ' IN SHARE ROW EXCLUSIVE MODE' FROM rel r, copy";

#define TRIGGERS(state)                                                                            \
    SHADOW_TREE " SELECT '', format('ALTER TABLE ONLY %s %s TRIGGER %I', r.o, " state              \
                ", g.tgname) FROM rel r JOIN pg_trigger g ON g.tgrelid = r.oid"                    \
                " AND NOT g.tgisinternal AND g.tgenabled <> 'D', copy ORDER BY r.o, g.tgname"

static const char triggers_off[] = TRIGGERS("'DISABLE'");
static const char triggers_on[] =
    TRIGGERS("CASE g.tgenabled WHEN 'R' THEN 'ENABLE REPLICA' WHEN 'A' THEN 'ENABLE ALWAYS'"
             " ELSE 'ENABLE' END");

static const char keep_largest[] =
    SHADOW_TREE SHADOW_SEQUENCES " SELECT '', x.sql FROM (" SHADOW_KEEP_LARGEST ") x, copy";
static const char raise_sequences[] =
    SHADOW_TREE SHADOW_SEQUENCES " SELECT '', x.sql FROM (" SHADOW_RAISE ") x, copy";

/* An identity sequence is the table's own here. */
static const char raise_identity[] =
    SHADOW_TREE SHADOW_IDENTITY
    " SELECT '', format('SELECT setval(%L::regclass, x.m) FROM (SELECT least(greatest(%s(%I)::int8,"
    " %s), %s) AS m FROM %s HAVING count(*) > 0) x, %s q WHERE q.last_value %s x.m"
    " OR (q.last_value = x.m AND NOT q.is_called)', q.o, CASE WHEN q.seqincrement > 0 THEN 'max'"
    " ELSE 'min' END, q.attname, q.seqmin, q.seqmax, r0.s, q.o,"
    " CASE WHEN q.seqincrement > 0 THEN '<' ELSE '>' END)"
    " FROM copy, idseq q JOIN rel r0 ON r0.i = q.i AND r0.depth = 0"
    " WHERE EXISTS (SELECT FROM pg_class k JOIN pg_namespace w ON w.oid = k.relnamespace"
    "  JOIN pg_attribute b ON b.attrelid = k.oid AND b.attname = q.attname"
    "  WHERE w.nspname = r0.w AND k.relname = r0.relname)";

static const char drop_schemas[] =
    SHADOW_TREE " SELECT '', 'DROP TABLE ' || (SELECT string_agg(r.s, ', ') FROM rel r"
                " WHERE r.depth = 0) || '; DROP SCHEMA ' || string_agg(quote_ident(m.w), ', ')"
                " FROM map m, copy";

/* Values of these that are equal are the same. */
#define ONE_FORM                                                                                   \
    "(a.atttypid IN ('bool'::regtype, 'bytea'::regtype, 'date'::regtype, 'int2'::regtype,"         \
    " 'int4'::regtype, 'int8'::regtype, 'name'::regtype, 'oid'::regtype, 'time'::regtype,"         \
    " 'timestamp'::regtype, 'timestamptz'::regtype, 'uuid'::regtype)"                              \
    " OR a.atttypid IN ('text'::regtype, 'varchar'::regtype) AND (SELECT y.collisdeterministic"    \
    "  FROM pg_collation y WHERE y.oid = a.attcollation))"
/* What refers to a key would be cut off by another form of it. */
#define MAY_SET_KEY                                                                                \
    "NOT EXISTS (SELECT FROM pg_constraint y WHERE y.confrelid = r.oid AND y.contype = 'f'"        \
    " AND y.confupdtype IN ('n', 'd'))"

/* Columns of a shadow are those that are loaded. keyed: the primary key is, all of it. set: those
 * that are updated; of the key where one value has several forms, as 1.0 and 1.00. */
#define KEYED                                                                                      \
    ", col AS (SELECT r.i, a.attname, a.attidentity, a.attnum, format('asofs_s.%I', a.attname)"    \
    "   AS s, format('%s.%I', r.o, a.attname) AS t, e.op,"                                            \
    "   e.op IS NULL OR NOT " ONE_FORM " AND " MAY_SET_KEY " AS set FROM rel r"                               \
    "  JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped"          \
    "  JOIN pg_namespace w ON w.nspname = r.w"                                                     \
    "  JOIN pg_class k ON k.relnamespace = w.oid AND k.relname = r.relname"                        \
    "  JOIN pg_attribute b ON b.attrelid = k.oid AND b.attname = a.attname"                        \
    "  LEFT JOIN (SELECT x.indrelid, y.num, format('OPERATOR(%I.%s)', n.nspname, o.oprname) AS op" \
    "   FROM pg_index x CROSS JOIN LATERAL unnest(x.indkey::int2[], x.indclass::oid[])"            \
    "    WITH ORDINALITY AS y(num, class, n)"                                                      \
    "   JOIN pg_opclass c ON c.oid = y.class"                                                      \
    "   JOIN pg_amop p ON p.amopfamily = c.opcfamily AND p.amopstrategy = 3"                       \
    "    AND p.amoplefttype = c.opcintype AND p.amoprighttype = c.opcintype"                       \
    "   JOIN pg_operator o ON o.oid = p.amopopr JOIN pg_namespace n ON n.oid = o.oprnamespace"     \
    "   WHERE x.indisprimary AND y.n <= x.indnkeyatts) e"                                          \
    "   ON e.indrelid = r.oid AND e.num = a.attnum WHERE r.depth = 0),"                            \
    " tab AS (SELECT r.i, r.o, r.s, l.f, CASE r.relkind WHEN 'r' THEN 'ONLY ' ELSE '' END || r.o"  \
    "   AS only, z.*, z.keys > 0 AND z.keys = (SELECT x.indnkeyatts FROM pg_index x"               \
    "    WHERE x.indrelid = r.oid AND x.indisprimary) AS keyed"                                    \
    "  FROM rel r JOIN listed l ON l.i = r.i CROSS JOIN LATERAL ("                                 \
    "   SELECT count(c.op) AS keys, string_agg(quote_ident(c.attname), ', ' ORDER BY c.attnum)"    \
    "     AS names, string_agg(c.s, ', ' ORDER BY c.attnum) AS values,"                            \
    "    string_agg(c.s || ' ' || c.op || ' ' || c.t, ' AND ' ORDER BY c.attnum) AS same,"         \
    "    string_agg(format('%I = %s', c.attname, c.s), ', ' ORDER BY c.attnum)"                    \
    "     FILTER (WHERE c.set) AS sets,"                                                           \
    "    string_agg(c.s, ', ' ORDER BY c.attnum) FILTER (WHERE c.op IS NOT NULL) AS key,"          \
    "    format('ROW(%s)::record *<> ROW(%s)::record',"                                            \
    "     string_agg(c.s, ', ' ORDER BY c.attnum) FILTER (WHERE c.set),"                           \
    "     string_agg(c.t, ', ' ORDER BY c.attnum) FILTER (WHERE c.set)) AS differs,"               \
    "    count(*) FILTER (WHERE c.op IS NULL AND c.attidentity = 'a') = 0 AS settable"             \
    "   FROM col c WHERE c.i = r.i) z WHERE r.depth = 0)"

#define FILTER "'WHERE ' || coalesce('(' || chr(10) || t.f || chr(10) || ')', 'true')"

/* A column that is always generated as identity cannot be updated: its row is made anew. */
static const char statements_sql[] =
    SHADOW_TREE KEYED
    " SELECT x.step, x.i - 1, x.sql FROM copy, ("
    "SELECT 0 AS step, t.i, format('DELETE FROM %s %s', t.only, " FILTER ") AS sql"
    "  FROM tab t WHERE t.keyed IS NOT TRUE"
    " UNION ALL SELECT 0, t.i, format('DELETE FROM %s USING %s AS asofs_s WHERE %s AND %s',"
    "  t.only, t.s, t.same, t.differs) FROM tab t WHERE t.keyed AND NOT t.settable"
    " UNION ALL SELECT 1, t.i, format('UPDATE %s SET %s FROM %s AS asofs_s WHERE %s AND %s',"
    "  t.only, t.sets, t.s, t.same, t.differs)"
    "  FROM tab t WHERE t.keyed AND t.settable AND t.sets IS NOT NULL"
    " UNION ALL SELECT 2, t.i, format('INSERT INTO %s%s OVERRIDING SYSTEM VALUE SELECT %s"
    " FROM %s AS asofs_s%s', t.o, ' (' || t.names || ')', t.values, t.s, CASE WHEN t.keyed THEN"
    "  format(' WHERE NOT EXISTS (SELECT FROM %s WHERE %s)', t.only, t.same) ELSE '' END)"
    "  FROM tab t"
    " UNION ALL SELECT 3, t.i, format('DELETE FROM %s %s AND NOT EXISTS (SELECT FROM %s AS asofs_s"
    " WHERE %s)', t.only, " FILTER ", t.s, t.same) FROM tab t WHERE t.keyed"
    " UNION ALL SELECT 4, t.i, format('DELETE FROM %s USING %s AS asofs_s WHERE %s AND %s',"
    "  t.only, t.s, t.same, t.differs) FROM tab t WHERE t.keyed AND t.sets IS NOT NULL"
    " UNION ALL SELECT 5, t.i, format('SELECT %L, left(ROW(%s)::text, 200) FROM %s AS asofs_s"
    " GROUP BY %s HAVING count(*) > 1 LIMIT 1', t.o, t.key, t.s, t.key) FROM tab t WHERE t.keyed"
    ") x WHERE x.sql IS NOT NULL ORDER BY 1, 2";

static const char reaches_sql[] =
    SHADOW_TREE " SELECT EXISTS (SELECT" SHADOW_REACHED ") FROM copy";
/* clang-format on */

/* ---- in which order ---- */

struct plan {
    size_t n;
    size_t *parents_first; /* numbers of the tables */
    char **sql[STEPS];     /* of each table; NULL: nothing to do */
    bool reaches; /* a row that is deleted may take others with it, which do not come back */
};

/* Tables of the list that refer to another: those that nothing unplaced stands above come next. In
 * a circle the order of the list has to do. */
static void place(struct plan *p, const struct pg_answer *pairs)
{
    bool *placed = mem_array(p->n + 1, sizeof(*placed));
    size_t done, i, row;

    for (done = 0; done < p->n; done++) {
        size_t next = SIZE_MAX, any = SIZE_MAX;

        for (i = p->n; i-- > 0;) {
            bool free_now = !placed[i];

            for (row = 0; row < pg_rows(pairs) && free_now; row++)
                free_now = pg_number(pairs, row, 0) != i || placed[pg_number(pairs, row, 1)];
            any = placed[i] ? any : i;
            next = free_now ? i : next;
        }
        next = next == SIZE_MAX ? any : next;
        p->parents_first[done] = next;
        placed[next] = true;
    }
    free(placed);
}

static int order_tables(struct pg_conn *conn, const struct pg_shadows *s, struct plan *p,
                        struct err *err)
{
    static const char sql[] =
        SHADOW_TREE " SELECT DISTINCT r.i - 1, t.i - 1 FROM copy, rel r"
                    " JOIN pg_constraint k ON k.conrelid = r.oid AND k.contype = 'f'"
                    " JOIN rel t ON t.oid = k.confrelid WHERE t.i <> r.i ORDER BY 1, 2";
    static const struct pg_wanted wanted = {"nn", 0, PG_MANY};
    struct pg_answer *a;
    int rc = pg_shadow_ask(conn, s, 0, sql, &wanted, &a, err);

    if (rc < 0)
        return rc;
    place(p, a);
    pg_answer_free(a);
    return 0;
}

static int make_statements(struct pg_conn *conn, const struct pg_shadows *s, struct plan *p,
                           struct err *err)
{
    static const struct pg_wanted wanted = {"nnt", 0, PG_MANY};
    struct pg_answer *a;
    size_t row;
    int rc = pg_shadow_ask(conn, s, 0, statements_sql, &wanted, &a, err);

    if (rc < 0)
        return rc;
    for (row = 0; row < pg_rows(a); row++)
        p->sql[pg_number(a, row, 0)][pg_number(a, row, 1)] = mem_strdup(pg_text(a, row, 2));
    pg_answer_free(a);
    return 0;
}

static int ask_reach(struct pg_conn *conn, const struct pg_shadows *s, struct plan *p,
                     struct err *err)
{
    static const struct pg_wanted wanted = {"b", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_shadow_ask(conn, s, 0, reaches_sql, &wanted, &a, err);

    p->reaches = rc == 0 && pg_true(a, 0, 0);
    pg_answer_free(a);
    return rc;
}

static struct plan *plan_new(size_t n)
{
    struct plan *p = mem_alloc(sizeof(*p));
    int step;

    p->n = n;
    p->parents_first = mem_array(n + 1, sizeof(*p->parents_first));
    for (step = 0; step < STEPS; step++)
        p->sql[step] = mem_array(n + 1, sizeof(char *));
    return p;
}

static void plan_free(struct plan *p)
{
    size_t i;
    int step;

    for (step = 0; step < STEPS; step++) {
        for (i = 0; i < p->n; i++)
            free(p->sql[step][i]);
        free(p->sql[step]);
    }
    free(p->parents_first);
    free(p);
}

/* ---- the transaction ---- */

/* For each table these steps, up to STEPS; parents first, or children. */
static int run_steps(struct pg_conn *conn, const struct plan *p, bool parents_first,
                     const enum step *steps, struct err *err)
{
    size_t i, k;
    int rc = 0;

    for (i = 0; i < p->n; i++) {
        size_t table = p->parents_first[parents_first ? i : p->n - 1 - i];

        for (k = 0; steps[k] != STEPS && rc == 0; k++)
            if (p->sql[steps[k]][table])
                rc = pg_run(conn, p->sql[steps[k]][table], err);
    }
    return rc;
}

static int update_first(struct pg_conn *conn, const struct plan *p, struct err *err)
{
    static const enum step early[] = {EARLY, STEPS}, change[] = {UPDATE, INSERT, STEPS},
                           late[] = {GONE, STEPS};
    int rc = run_steps(conn, p, false, early, err);

    if (rc == 0)
        rc = run_steps(conn, p, true, change, err);
    return rc == 0 ? run_steps(conn, p, false, late, err) : rc;
}

static int delete_first(struct pg_conn *conn, const struct plan *p, struct err *err)
{
    static const enum step away[] = {EARLY, GONE, DIFFERS, STEPS}, back[] = {INSERT, STEPS},
                           again[] = {UPDATE, STEPS}; /* what ON DELETE SET NULL has changed */
    int rc = run_steps(conn, p, false, away, err);

    if (rc == 0)
        rc = run_steps(conn, p, true, back, err);
    return rc == 0 ? run_steps(conn, p, true, again, err) : rc;
}

static int refuse_twice(struct pg_conn *conn, const struct plan *p, struct err *err)
{
    static const struct pg_wanted wanted = {"tt", 0, 1};
    struct pg_answer *a;
    size_t i;
    int rc = 0;

    for (i = 0; i < p->n && rc == 0; i++) {
        if (!p->sql[TWICE][i])
            continue;
        rc = pg_ask(conn, p->sql[TWICE][i], 0, NULL, &wanted, &a, err);
        if (rc == 0 && pg_rows(a))
            rc = err_set(err, EIO, "several of the new rows of %s have the same primary key: %s",
                         pg_text(a, 0, 0), pg_text(a, 0, 1));
        pg_answer_free(a);
    }
    return rc;
}

static int change_rows(struct pg_conn *conn, const struct plan *p, struct err *err)
{
    static const char mark[] = "SAVEPOINT asofs_rows; SET CONSTRAINTS ALL DEFERRED";
    int rc = pg_run(conn, mark, err);

    if (rc == 0)
        rc = update_first(conn, p, err);
    if (rc == 0)
        rc = pg_run(conn, "SET CONSTRAINTS ALL IMMEDIATE", err);
    if (rc != -EIO || p->reaches)
        return rc;
    rc = pg_run(conn, "ROLLBACK TO SAVEPOINT asofs_rows; SET CONSTRAINTS ALL DEFERRED", err);
    if (rc == 0)
        rc = delete_first(conn, p, err);
    return rc == 0 ? pg_run(conn, "SET CONSTRAINTS ALL IMMEDIATE", err) : rc;
}

static int change_tables(struct pg_conn *conn, const struct pg_shadows *s, struct err *err)
{
    struct plan *p = plan_new(s->n);
    int rc = order_tables(conn, s, p, err);

    if (rc == 0)
        rc = make_statements(conn, s, p, err);
    if (rc == 0)
        rc = ask_reach(conn, s, p, err);
    if (rc == 0)
        rc = refuse_twice(conn, p, err);
    if (rc == 0) {
        struct buf on = {0};

        rc = pg_shadow_collect(conn, s, 0, triggers_on, &on, err);
        if (rc == 0)
            rc = pg_publish_run(conn, s, triggers_off, err);
        if (rc == 0)
            rc = change_rows(conn, p, err);
        if (rc == 0 && on.len)
            rc = pg_run(conn, on.data, err);
        buf_free(&on);
    }
    if (rc == 0)
        rc = pg_publish_run(conn, s, keep_largest, err);
    if (rc == 0)
        rc = pg_publish_run(conn, s, raise_sequences, err);
    if (rc == 0)
        rc = pg_publish_run(conn, s, raise_identity, err);
    if (rc == 0)
        rc = pg_publish_run(conn, s, drop_schemas, err);
    plan_free(p);
    return rc;
}

static int lock_writers_out(struct pg_conn *conn, const struct pg_shadows *s, int64_t try_ms,
                            struct err *err)
{
    struct buf b = {0};
    int rc = pg_publish_begin(conn, err);

    if (rc == 0)
        rc = pg_shadow_collect(conn, s, 0, lock_tables, &b, err);
    if (rc == 0)
        rc = pg_publish_lock(conn, b.data, try_ms, err);
    if (rc == 0)
        rc = pg_shadow_expect_listed(conn, s, err);
    buf_free(&b);
    if (rc != 0)
        pg_rollback(conn);
    return rc > 0 ? -err->code : rc;
}

/* What is done is done already; so here the transaction stays, and only this lock is tried. */
static int lock_label(struct pg_conn *conn, int64_t deadline, int64_t try_ms, struct err *err)
{
    int rc = pg_run(conn, "SAVEPOINT asofs_label", err);
    struct err ignored;

    while (rc == 0 && (rc = pg_publish_lock(conn,
                                            "LOCK TABLE ONLY asofs.view IN ACCESS EXCLUSIVE"
                                            " MODE",
                                            try_ms, err)) == -EBUSY) {
        rc = pg_run(conn, "ROLLBACK TO SAVEPOINT asofs_label", &ignored);
        if (rc == 0)
            rc = pg_publish_pause(conn, deadline, err);
    }
    return rc;
}

/* The limit of lock_writers_out is that of every lock here: of rows, too. Who has locked one (SELECT …
 * FOR UPDATE) and then waits for us to write it is in the way, and not to be one of a deadlock. */
static int publish_rows(struct pg_conn *conn, const struct pg_shadows *s,
                        const struct pg_label *label, int64_t timeout_ms, int64_t try_ms,
                        const char **what, struct err *err)
{
    int rc = lock_writers_out(conn, s, try_ms, err);

    if (rc < 0)
        return rc;
    *what = "rows of the tables could not be locked";
    rc = change_tables(conn, s, err);
    if (rc == 0) {
        *what = "asofs.view could not be locked";
        rc = lock_label(conn, clock_ms() + timeout_ms, try_ms, err);
    }
    if (rc == 0)
        rc = pg_publish_replace(conn, label->name, err);
    if (rc == 0)
        rc = pg_publish_update_label(conn, label, err);
    if (rc == 0)
        rc = pg_publish_commit(conn, label, err);
    if (rc < 0)
        pg_rollback(conn);
    return rc;
}

int pg_publish_rows(struct pg_conn *conn, const struct pg_shadows *s, const struct pg_label *label,
                    int64_t timeout_ms, struct err *err)
{
    int64_t deadline = clock_ms() + timeout_ms, try_ms;
    const char *what;
    int rc = pg_publish_try_ms(conn, &try_ms, err);

    do {
        what = "the tables could not be locked against writers";
        if (rc == 0)
            rc = publish_rows(conn, s, label, timeout_ms, try_ms, &what, err);
        if (rc == -EBUSY)
            rc = pg_publish_clear_way(conn, s, deadline, err);
        else
            return rc;
    } while (rc == 0);
    if (rc == -EBUSY) {
        err_set(err, EBUSY, "%s within %lld ms", what, (long long)timeout_ms);
        pg_publish_name_holders(conn, s, true, err);
    }
    return rc;
}
