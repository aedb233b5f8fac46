/* Snapshot tables that are filled in place: in which order, and how they are cleared. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/internal.h"
#include "pg/snaplist.h"

/* Of a partitioned table the partitions, too: keys and triggers may be theirs alone. */
#define TREE                                                                                       \
    PG_SNAP_LISTED                                                                                 \
    ", tree AS (SELECT l.i, coalesce(p.relid::oid, l.oid) AS oid FROM listed l"                    \
    " LEFT JOIN LATERAL pg_catalog.pg_partition_tree(l.oid) p ON true)"

/*
 * The second is never NULL, the first where the table that refers is not listed. A key of a partition
 * that is its parent's is told where the parent is not listed. Last: whether what refers to a row goes,
 * or changes, with it.
 */
static const char keys_sql[] =
    TREE " SELECT child.i, parent.i, CASE WHEN child.i IS NULL THEN"
         " pg_catalog.format('%s (%s refers to it)', k.confrelid::regclass, k.conrelid::regclass)"
         " END, pg_catalog.bool_or(k.confdeltype NOT IN ('a', 'r'))"
         " FROM pg_catalog.pg_constraint k JOIN tree parent ON parent.oid = k.confrelid"
         " LEFT JOIN tree child ON child.oid = k.conrelid"
         " WHERE k.contype = 'f' AND (child.i IS NOT NULL OR NOT EXISTS ("
         "SELECT FROM pg_catalog.pg_constraint p JOIN tree ON tree.oid = p.confrelid"
         " WHERE p.oid = k.conparentid)) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";

/* tgtype: INSERT 4, DELETE 8, TRUNCATE 32. A partition's copy of a trigger is its parent's, unless
 * that does not fire, or is not listed. */
#define FIRES(t) #t ".tgenabled IN ('O', 'A') AND " #t ".tgtype & (4 | 8 | 32) <> 0"
static const char triggers_sql[] =
    TREE " SELECT DISTINCT pg_catalog.format('%s (%I)', t.tgrelid::regclass, t.tgname)"
         " FROM pg_catalog.pg_trigger t JOIN tree ON tree.oid = t.tgrelid"
         " WHERE NOT t.tgisinternal AND " FIRES(
             t) " AND NOT EXISTS ("
                "SELECT FROM pg_catalog.pg_trigger p JOIN tree ON tree.oid = p.tgrelid"
                " WHERE p.oid = t.tgparentid AND " FIRES(p) ") ORDER BY 1";

static const char rules_sql[] =
    TREE " SELECT pg_catalog.format('%s (%I)', r.ev_class::regclass, r.rulename)"
         " FROM pg_catalog.pg_rewrite r JOIN tree ON tree.oid = r.ev_class"
         " WHERE r.ev_enabled IN ('O', 'A') ORDER BY 1";

static const char rights_sql[] =
    TREE " SELECT pg_catalog.format('GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE"
         " ON %s TO %I', l.oid::regclass, current_user) FROM listed l WHERE NOT"
         " (pg_catalog.has_table_privilege(l.oid, 'SELECT')"
         " AND pg_catalog.has_table_privilege(l.oid, 'INSERT')"
         " AND pg_catalog.has_table_privilege(l.oid, 'DELETE')"
         " AND pg_catalog.has_table_privilege(l.oid, 'TRUNCATE'))"
         " UNION SELECT pg_catalog.format('GRANT SELECT, UPDATE ON SEQUENCE %s TO %I',"
         " q.oid::regclass, current_user) FROM tree l JOIN pg_catalog.pg_depend d"
         " ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = l.oid"
         " AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')"
         " JOIN pg_catalog.pg_class q ON q.oid = d.objid WHERE CASE q.relkind WHEN 'S' THEN"
         " NOT (pg_catalog.has_sequence_privilege(q.oid, 'SELECT')"
         " AND pg_catalog.has_sequence_privilege(q.oid, 'UPDATE')) END ORDER BY 1";

struct obstacles {
    struct pg_names outside, circle, filtered, triggers, rules, rights;
};

static int collect_names(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n,
                         const char *sql, void (*add)(struct pg_names *, const char *),
                         struct pg_names *names, struct err *err)
{
    static const struct pg_wanted wanted = {"t", 0, PG_MANY};
    struct pg_answer *a = NULL;
    int rc = pg_snap_ask(conn, tables, n, sql, NULL, &wanted, &a, err);
    size_t i;

    for (i = 0; rc == 0 && i < pg_rows(a); i++)
        add(names, pg_text(a, i, 0));
    pg_answer_free(a);
    return rc;
}

/* 0: outside of the list; else from 1. */
static int take_keys(const struct pg_answer *a, const struct pg_snaptable *tables, size_t n,
                     uint32_t (*pairs)[2], size_t *npairs, struct obstacles *o, struct err *err)
{
    size_t i;

    for (i = 0; i < pg_rows(a); i++) {
        uint64_t child = pg_number(a, i, 0), parent = pg_number(a, i, 1);

        if (!parent || parent > n || child > n)
            return pg_odd_answer(err, "a table that was not asked for");
        if (!child) {
            pg_names_add(&o->outside, pg_text(a, i, 2));
            continue;
        }
        if (tables[child - 1].filter && pg_true(a, i, 3))
            pg_snap_name(&tables[child - 1], &o->filtered);
        pairs[*npairs][0] = (uint32_t)child - 1;
        pairs[(*npairs)++][1] = (uint32_t)parent - 1;
    }
    return 0;
}

static int read_keys(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n,
                     uint32_t (**pairs)[2], size_t *npairs, struct obstacles *o, struct err *err)
{
    static const struct pg_wanted wanted = {"NnTb", 0, PG_MANY};
    struct pg_answer *a = NULL;
    int rc = pg_snap_ask(conn, tables, n, keys_sql, NULL, &wanted, &a, err);

    if (rc < 0)
        return rc;
    *pairs = mem_array(pg_rows(a) + 1, sizeof(**pairs));
    rc = take_keys(a, tables, n, *pairs, npairs, o, err);
    pg_answer_free(a);
    return rc;
}

/* Those of end (0 child, 1 parent) of a pair whose both ends are still there. */
static void mark_end(const bool *gone, uint32_t (*pairs)[2], size_t npairs, int end, bool *marked)
{
    size_t i;

    for (i = 0; i < npairs; i++)
        marked[pairs[i][end]] |= !gone[pairs[i][0]] && !gone[pairs[i][1]];
}

/* Take away those who refer to nobody, or to whom nobody refers, again and again: who is left stands
 * in a circle, or between two. */
static void find_circle(const struct pg_snaptable *tables, size_t n, uint32_t (*pairs)[2],
                        size_t npairs, struct pg_names *names)
{
    bool *gone = mem_array(n + 1, sizeof(*gone)), *marked = mem_array(n + 1, sizeof(*marked));
    bool any = true;
    size_t i;
    int end;

    while (any) {
        any = false;
        for (end = 0; end < 2; end++) {
            memset(marked, 0, n * sizeof(*marked));
            mark_end(gone, pairs, npairs, end, marked);
            for (i = 0; i < n; i++) {
                any |= !gone[i] && !marked[i];
                gone[i] |= !marked[i];
            }
        }
    }
    for (i = 0; i < n; i++)
        if (!gone[i])
            pg_snap_name(&tables[i], names);
    free(gone);
    free(marked);
}

static int refuse_obstacles(struct obstacles *o, struct err *err)
{
    static const char advice[] = "--publish=rows can take them";
    bool other;

    err->code = 0;
    pg_names_refuse(err, &o->outside, "tables that others refer to, which are not listed", advice);
    pg_names_refuse(err, &o->circle,
                    "tables that refer to each other, or to themselves, in a circle", advice);
    pg_names_refuse(err, &o->filtered,
                    "tables with rows outside of their filter that would go, or change, with what "
                    "they refer to",
                    "--publish=swap");
    pg_names_refuse(err, &o->triggers, "tables with triggers, which would fire", advice);
    pg_names_refuse(err, &o->rules, "tables with rules, which COPY passes over and DELETE obeys",
                    "--publish=rows refuses them, too: drop them, or leave the table out");
    other = err->code;
    pg_names_refuse(err, &o->rights, "privileges that are missing", NULL);
    if (err->code && !other)
        err->code = EACCES;
    return -err->code;
}

static int find_obstacles(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n,
                          struct obstacles *o, struct err *err)
{
    int rc = collect_names(conn, tables, n, triggers_sql, pg_names_add, &o->triggers, err);

    if (rc == 0)
        rc = collect_names(conn, tables, n, rules_sql, pg_names_add, &o->rules, err);
    if (rc == 0)
        rc = collect_names(conn, tables, n, rights_sql, pg_snap_name_grant, &o->rights, err);
    return rc;
}

int pg_snaptable_order(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n,
                       uint32_t (**pairs)[2], size_t *npairs, struct err *err)
{
    struct obstacles o = {0};
    struct err ignored;
    int rc = pg_begin(conn, PG_READ_ONLY, true, NULL, err);

    *pairs = NULL;
    *npairs = 0;
    if (rc == 0)
        rc = read_keys(conn, tables, n, pairs, npairs, &o, err);
    if (rc == 0)
        rc = find_obstacles(conn, tables, n, &o, err);
    pg_rollback(conn);
    if (rc == 0) {
        find_circle(tables, n, *pairs, *npairs, &o.circle);
        rc = refuse_obstacles(&o, err);
    } else {
        refuse_obstacles(&o, &ignored); /* its names are freed */
    }
    if (rc < 0) {
        free(*pairs);
        *pairs = NULL;
        *npairs = 0;
    }
    return rc;
}

/* Tables that inherit from it are tables of their own. Its name is what a filter may call it, as
 * where the rows came from (copysql.c). */
int pg_snaptable_clear_sql(struct pg_conn *conn, const struct pg_snaptable *t, bool referred_to,
                           char **sql, struct err *err)
{
    bool all = !t->filter && !referred_to;
    struct buf b = {0};
    int rc;

    buf_printf(&b, "%s%s", all ? "TRUNCATE TABLE " : "DELETE FROM ", t->partitioned ? "" : "ONLY ");
    rc = pg_put_relation(conn, &b, t->schema, t->name, err);
    if (rc == 0 && !all) {
        buf_puts(&b, " AS ");
        rc = pg_put_identifier(conn, &b, t->name, err);
    }
    if (t->filter)
        buf_printf(&b, " WHERE (%s)", t->filter);
    *sql = rc == 0 ? buf_steal(&b) : NULL;
    buf_free(&b);
    return rc;
}
