/*
 * What stands in the way of shadows, found before anything is changed, and all of it at once.
 *
 * The new table of a swap has another OID: whatever depends on the old one (pg_depend) would go on
 * reading it, or keep it from being dropped. What belongs to the table itself is made anew with it,
 * and does not count. DROP without CASCADE, in the swap, is the net behind this.
 */
#include <errno.h>

#include "pg/refusals.h"
#include "pg/shadowtree.h"

enum { TWICE, NO_TABLE, DEPENDS, UNFIT, CASCADES, DENIED, LOCKS, KINDS };

#define BY_ROWS "--publish=rows keeps the tables that there are"

static const struct {
    const char *what, *swap, *rows;
} words[KINDS] = {
    [TWICE] = {"more than once in the list", "a partition comes with its parent",
               "a partition comes with its parent"},
    [NO_TABLE] = {"not a table that can be filled", "leave it out", "leave it out"},
    [DEPENDS] = {"depends on a table that would be another one", BY_ROWS, ""},
    [UNFIT] = {"cannot be given to a new table", BY_ROWS, "drop it, or leave the table out"},
    [CASCADES] = {"without a primary key all rows are deleted first, which would reach another "
                  "table",
                  "", "add a primary key"},
    [DENIED] = {"no permission", "GRANT what is named to the role, or connect as another one",
                "GRANT what is named to the role, or connect as another one"},
    [LOCKS] = {"too many locks", "raise max_locks_per_transaction, or fill fewer tables",
               "raise max_locks_per_transaction, or fill fewer tables"},
};

/* clang-format off */
/* 0: TWICE, 1: NO_TABLE */
#define BOTH                                                                                       \
    " SELECT 0 AS kind, r.o AS name FROM rel r GROUP BY r.oid, r.o HAVING count(*) > 1"            \
    " UNION ALL SELECT 1, r.o || CASE WHEN r.relkind = 'f' THEN ' (a foreign table)'"              \
    "   WHEN r.relpersistence = 't' THEN ' (temporary)' ELSE '' END"                               \
    "  FROM rel r WHERE r.relkind NOT IN ('r', 'p') OR r.relpersistence = 't'"                     \
    "  OR r.sch IN ('pg_catalog', 'information_schema', 'pg_toast', 'asofs')"                      \
    " UNION ALL SELECT 5, format('CREATE on database %I', current_database())"                     \
    "  WHERE NOT has_database_privilege(current_database(), 'CREATE')"                             \
    " UNION ALL SELECT 5, format('UPDATE on sequence %I.%I', n.nspname, q.relname) FROM rel r"     \
    "  JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = r.oid"             \
    "   AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')"                          \
    "  JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'"                                     \
    "  JOIN pg_namespace n ON n.oid = q.relnamespace"                                              \
    "  WHERE CASE q.relkind WHEN 'S' THEN NOT has_sequence_privilege(q.oid, 'UPDATE') END"

/* 6: LOCKS. A table, its indexes, what is TOASTed with its index; of both. */
#define TOO_MANY                                                                                   \
    " UNION ALL SELECT 6, format('%s, and the lock table of the server has room for about %s',"    \
    "   n.wanted, n.room) FROM (SELECT (SELECT sum(2 + 2 * (SELECT count(*) FROM pg_index x"       \
    "    WHERE x.indrelid = r.oid) + CASE WHEN r.reltoastrelid <> 0 THEN 4 ELSE 0 END) FROM rel r)"\
    "   AS wanted, current_setting('max_locks_per_transaction')::int8"                             \
    "   * (current_setting('max_connections')::int8"                                               \
    "    + current_setting('max_prepared_transactions')::int8) AS room) n"                         \
    "  WHERE n.wanted > n.room / 10 * 9"

/* The table, its row type, the array of that, and identity sequences. */
#define TARGETS                                                                                    \
    ", target AS (SELECT 'pg_class'::regclass AS class, r.oid AS obj, r.o FROM rel r"              \
    "  UNION ALL SELECT 'pg_type'::regclass, r.reltype, r.o FROM rel r"                            \
    "  UNION ALL SELECT 'pg_type'::regclass, y.typarray, r.o FROM rel r"                           \
    "   JOIN pg_type y ON y.oid = r.reltype WHERE y.typarray <> 0"                                 \
    "  UNION ALL SELECT 'pg_class'::regclass, q.oid, q.o FROM idseq q)"

/* Of pg_depend d, which refers to target t: part of the table, made or found again with it. */
#define OWN                                                                                        \
    "CASE d.classid WHEN 'pg_class'::regclass THEN t.class = 'pg_class'::regclass AND ("           \
    "   d.objid IN (SELECT r.oid FROM rel r)"                                                      \
    "   OR EXISTS (SELECT FROM pg_index x WHERE x.indexrelid = d.objid"                            \
    "    AND x.indrelid IN (SELECT r.oid FROM rel r))"                                             \
    "   OR d.deptype IN ('a', 'i')) OR d.deptype = 'i'"                                            \
    "  WHEN 'pg_type'::regclass THEN d.deptype = 'i'"                                              \
    "  WHEN 'pg_constraint'::regclass THEN EXISTS (SELECT FROM pg_constraint k"                    \
    "   WHERE k.oid = d.objid AND k.conrelid IN (SELECT r.oid FROM rel r))"                        \
    "  WHEN 'pg_attrdef'::regclass THEN EXISTS (SELECT FROM pg_attrdef k"                          \
    "   WHERE k.oid = d.objid AND k.adrelid IN (SELECT r.oid FROM rel r))"                         \
    "  WHEN 'pg_trigger'::regclass THEN EXISTS (SELECT FROM pg_trigger k WHERE k.oid = d.objid"    \
    "   AND (k.tgisinternal OR k.tgrelid IN (SELECT r.oid FROM rel r)))"                           \
    "  WHEN 'pg_policy'::regclass THEN EXISTS (SELECT FROM pg_policy k"                            \
    "   WHERE k.oid = d.objid AND k.polrelid IN (SELECT r.oid FROM rel r))"                        \
    "  WHEN 'pg_rewrite'::regclass THEN EXISTS (SELECT FROM pg_rewrite k"                          \
    "   WHERE k.oid = d.objid AND k.ev_class IN (SELECT r.oid FROM rel r))"                        \
    "  WHEN 'pg_statistic_ext'::regclass THEN EXISTS (SELECT FROM pg_statistic_ext k"              \
    "   WHERE k.oid = d.objid AND k.stxrelid IN (SELECT r.oid FROM rel r))"                        \
    "  WHEN 'pg_publication_rel'::regclass THEN true ELSE false END"

/* 2: DEPENDS. A view is told by its name, not by that of its rule. */
#define DEPENDANTS                                                                                 \
    " UNION ALL SELECT DISTINCT 2, coalesce((SELECT pg_describe_object('pg_class'::regclass,"      \
    "    k.ev_class, 0) FROM pg_rewrite k WHERE d.classid = 'pg_rewrite'::regclass"                \
    "    AND k.oid = d.objid), pg_describe_object(d.classid, d.objid, d.objsubid))"                \
    "   || ' (on ' || t.o || ')'"                                                                  \
    "  FROM target t JOIN pg_depend d ON d.refclassid = t.class AND d.refobjid = t.obj"            \
    "  WHERE NOT " OWN

/* In the text of a policy a table that it reads, beside its own row, is ":relid OID". */
#define READS(expr) "k." expr "::text ~ format(':relid %s\\M', t.oid)"

/* 3: UNFIT */
#define MISFITS                                                                                    \
    " UNION ALL SELECT 3, format('the rule %I of %s', k.rulename, r.o)"                            \
    "  FROM rel r JOIN pg_rewrite k ON k.ev_class = r.oid"                                         \
    " UNION ALL SELECT DISTINCT 3, 'the inheritance of ' || r.o FROM rel r JOIN pg_inherits h"     \
    "   ON (h.inhparent = r.oid AND r.relkind = 'r')"                                              \
    "   OR (h.inhrelid = r.oid AND NOT r.relispartition)"                                          \
    " UNION ALL SELECT 3, format('a place among the partitions of %s, which is not in the list: "  \
    "%s', h.inhparent::regclass, r.o) FROM rel r JOIN pg_inherits h ON h.inhrelid = r.oid"         \
    "  WHERE r.depth = 0 AND r.relispartition"                                                     \
    " UNION ALL SELECT 3, 'a partition that is being detached: ' || r.o"                           \
    "  FROM rel r JOIN pg_inherits h ON h.inhrelid = r.oid AND h.inhdetachpending"                 \
    " UNION ALL SELECT 3, 'the type of ' || r.o FROM rel r WHERE r.reloftype <> 0"                 \
    " UNION ALL SELECT 3, format('membership of %s in extension %I', r.o, e.extname)"              \
    "  FROM rel r JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = r.oid"        \
    "   AND d.deptype = 'e' JOIN pg_extension e ON e.oid = d.refobjid"                             \
    " UNION ALL SELECT DISTINCT 3, 'security labels of ' || r.o"                                   \
    "  FROM rel r JOIN pg_seclabel b ON b.classoid = 'pg_class'::regclass AND b.objoid = r.oid"    \
    " UNION ALL SELECT DISTINCT 3, 'the subscription to ' || r.o"                                  \
    "  FROM rel r JOIN pg_subscription_rel b ON b.srrelid = r.oid"                                 \
    " UNION ALL SELECT 3, format('the policy %I of %s, which reads one of the tables', k.polname," \
    "  r.o) FROM rel r JOIN pg_policy k ON k.polrelid = r.oid"                                     \
    "  WHERE EXISTS (SELECT FROM rel t WHERE " READS("polqual") " OR " READS("polwithcheck") ")"   \
    " UNION ALL SELECT 3, format('the trigger %I of %s, which is about another table', k.tgname,"  \
    "  r.o) FROM rel r JOIN pg_trigger k ON k.tgrelid = r.oid AND NOT k.tgisinternal"              \
    "   AND k.tgconstrrelid <> 0"                                                                  \
    " UNION ALL SELECT DISTINCT 3, format('what another than the owner has granted on %s', g.o)"   \
    "  FROM (SELECT r.o, r.relacl AS acl, r.relowner AS owner FROM rel r"                          \
    "   UNION ALL SELECT q.o, q.relacl, q.relowner FROM idseq q"                                   \
    "   UNION ALL SELECT r.o, a.attacl, r.relowner FROM rel r"                                     \
    "    JOIN pg_attribute a ON a.attrelid = r.oid AND NOT a.attisdropped) g"                      \
    "  CROSS JOIN LATERAL aclexplode(g.acl) e WHERE e.grantor <> g.owner"

/* 3: UNFIT. What is logged cannot refer to what is not, nor be replicated. */
#define UNLOGGED                                                                                   \
    " UNION ALL SELECT 3, format('the foreign key %I of %s, which would refer to an unlogged"      \
    " table', k.conname, r.o) FROM rel r JOIN pg_constraint k ON k.conrelid = r.oid"               \
    "   AND k.contype = 'f' AND k.conparentid = 0 JOIN pg_class c ON c.oid = k.confrelid"          \
    "   LEFT JOIN rel t ON t.oid = k.confrelid"                                                    \
    "  WHERE r.sp <> 'u' AND coalesce(t.sp, c.relpersistence) = 'u'"                               \
    " UNION ALL SELECT 3, format('a place in publication %I: %s would be unlogged', p.pubname,"    \
    "  r.o) FROM rel r JOIN pg_publication_rel k ON k.prrelid = r.oid"                             \
    "  JOIN pg_publication p ON p.oid = k.prpubid WHERE r.sp = 'u'"

/* 5: DENIED */
#define SWAP_PRIVILEGES                                                                            \
    " UNION ALL SELECT 5, 'ownership of ' || r.o FROM rel r"                                       \
    "  WHERE NOT pg_has_role(r.relowner, 'USAGE')"                                                 \
    " UNION ALL SELECT 5, format('CREATE on schema %I', m.s) FROM map m"                           \
    "  JOIN pg_namespace n ON n.nspname = m.s"                                                     \
    "  WHERE NOT has_schema_privilege(n.oid, 'CREATE')"                                            \
    " UNION ALL SELECT DISTINCT 5, format('ownership of publication %I', p.pubname) FROM rel r"    \
    "  JOIN pg_publication_rel k ON k.prrelid = r.oid JOIN pg_publication p ON p.oid = k.prpubid"  \
    "  WHERE NOT pg_has_role(p.pubowner, 'USAGE')"

static const char swap_sql[] = SHADOW_TREE SHADOW_IDENTITY TARGETS
    " SELECT x.kind, x.name FROM (" BOTH DEPENDANTS MISFITS UNLOGGED SWAP_PRIVILEGES TOO_MANY ") x, copy"
    " ORDER BY 1, 2";

#define CASCADING                                                                                  \
    " UNION ALL SELECT DISTINCT 4, format('%s (from %s)', k.conrelid::regclass, r.o)"              \
    "  FROM rel r JOIN pg_constraint k ON k.confrelid = r.oid AND k.contype = 'f'"                 \
    "   AND k.confdeltype NOT IN ('a', 'r') AND k.conrelid NOT IN (SELECT t.oid FROM rel t)"       \
    "  WHERE r.depth = 0 AND NOT EXISTS (SELECT FROM pg_index x"                                   \
    "   WHERE x.indrelid = r.oid AND x.indisprimary)"

#define ROWS_PRIVILEGES                                                                            \
    " UNION ALL SELECT 3, format('the rule %I of %s', k.rulename, r.o)"                            \
    "  FROM rel r JOIN pg_rewrite k ON k.ev_class = r.oid AND k.ev_type <> '1'"                    \
    " UNION ALL SELECT 5, format('%s on table %s', p.name, r.o) FROM rel r"                        \
    "  CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE')) p(name)"                 \
    "  WHERE r.depth = 0 AND NOT has_table_privilege(r.oid, p.name)"                               \
    " UNION ALL SELECT 5, format('ownership of %s, whose triggers shall not fire', r.o)"           \
    "  FROM rel r WHERE NOT pg_has_role(r.relowner, 'USAGE') AND EXISTS (SELECT FROM pg_trigger g" \
    "   WHERE g.tgrelid = r.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D')"                    \
    " UNION ALL SELECT 5, 'BYPASSRLS, for ' || r.o FROM rel r"                                     \
    "  WHERE r.depth = 0 AND r.relrowsecurity AND NOT (SELECT u.rolsuper OR u.rolbypassrls"        \
    "   OR (pg_has_role(r.relowner, 'USAGE') AND NOT r.relforcerowsecurity)"                       \
    "   FROM pg_roles u WHERE u.rolname = current_user)"

static const char rows_sql[] =
    SHADOW_TREE " SELECT x.kind, x.name FROM (" BOTH CASCADING ROWS_PRIVILEGES ") x, copy"
                " ORDER BY 1, 2";
/* clang-format on */

static void take_names(const struct pg_answer *a, struct pg_names names[KINDS])
{
    size_t i;

    for (i = 0; i < pg_rows(a); i++)
        if (pg_number(a, i, 0) < KINDS)
            pg_names_add(&names[pg_number(a, i, 0)], pg_text(a, i, 1));
}

static int look(struct pg_conn *conn, const struct pg_shadows *s, struct pg_names names[KINDS],
                struct err *err)
{
    static const struct pg_wanted wanted = {"nt", 0, PG_MANY};
    bool swap = s->mode == PG_PUBLISH_SWAP;
    struct pg_answer *a;
    size_t i;
    int rc = pg_shadow_ask(conn, s, 0, swap ? swap_sql : rows_sql, &wanted, &a, err);

    if (rc == 0)
        take_names(a, names);
    pg_answer_free(a);
    if (rc < 0 || !swap)
        return rc;
    rc = pg_shadow_unmakeable(conn, s, &a, err);
    for (i = 0; rc == 0 && i < pg_rows(a); i++)
        pg_names_add(&names[UNFIT], pg_text(a, i, 0));
    pg_answer_free(a);
    return rc;
}

int pg_shadow_refuse(struct pg_conn *conn, const struct pg_shadows *s, struct err *err)
{
    struct pg_names names[KINDS] = {{{0}, 0}};
    bool denied = false, other = false;
    int kind, rc = pg_begin(conn, PG_READ_ONLY, true, NULL, err);

    if (rc == 0)
        rc = look(conn, s, names, err);
    pg_rollback(conn);
    if (rc == 0)
        err->code = 0;
    for (kind = 0; kind < KINDS; kind++) {
        *(kind == DENIED ? &denied : &other) |= names[kind].text.len > 0;
        if (rc == 0)
            pg_names_refuse(err, &names[kind], words[kind].what,
                            s->mode == PG_PUBLISH_SWAP ? words[kind].swap : words[kind].rows);
        buf_free(&names[kind].text);
    }
    if (rc == 0 && denied && !other)
        err->code = EACCES;
    return rc < 0 ? rc : -err->code;
}
