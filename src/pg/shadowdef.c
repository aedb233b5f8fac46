/*
 * What a new table lacks when its rows are there: in the order in which it costs least.
 *
 * Indexes first, each a job of its own. Keys take over their unique index, so that building one is
 * never the work of a lock; those of partitioned tables are made ON ONLY the parent and become
 * valid with the last partition that is attached. ANALYZE comes before foreign keys, as validating
 * one is a join that has to be planned. Foreign keys are added by one job (two that lock tables in
 * different orders could deadlock) and validated by others. Triggers and policies come last, so
 * that they have not seen a row.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/mem.h"
#include "pg/shadowtext.h"
#include "pg/shadowtree.h"

/* clang-format off */
#define IN_TABLESPACE(oid)                                                                         \
    "format('SET LOCAL default_tablespace = %L; ', coalesce((SELECT ts.spcname"                    \
    " FROM pg_tablespace ts WHERE ts.oid = " oid "), ''))"

/* key: the constraint that an index belongs to, if to one. */
#define INDEXES                                                                                    \
    ", ind AS (SELECT r.i, r.depth, r.o, r.s, r.w, q.oid, q.relname, q.relkind, q.reltablespace,"  \
    "  q.reloptions, q.relpages, x.indisclustered, x.indisreplident, k.oid AS key, k.conname,"     \
    "  k.contype, coalesce(k.contype = 'x' OR " SHADOW_PERIOD ", false) AS odd,"                   \
    "  CASE WHEN k.condeferrable THEN ' DEFERRABLE' ELSE '' END"                                   \
    "   || CASE WHEN k.condeferred THEN ' INITIALLY DEFERRED' ELSE '' END AS deferral,"            \
    "  pg_get_constraintdef(k.oid) AS keydef, " SHADOW_OPTIONS("", "q.reloptions") " AS options,"  \
    "  " SHADOW_INDEX_HEAD("r.s") " || " SHADOW_REST("pg_get_indexdef(q.oid)",                     \
                                                     SHADOW_INDEX_HEAD("r.o")) " AS def"           \
    "  FROM rel r JOIN pg_index x ON x.indrelid = r.oid JOIN pg_class q ON q.oid = x.indexrelid"   \
    "  LEFT JOIN pg_constraint k ON k.conrelid = r.oid AND k.conindid = q.oid"                     \
    "   AND k.contype IN ('p', 'u', 'x')"                                                          \
    "  WHERE x.indisvalid OR q.relkind = 'I')"

#define BUILD                                                                                      \
    " SELECT 0 AS phase, q.oid::int8 AS job, -q.relpages AS ord, 0 AS depth, q.oid::int8 AS sub,"  \
    "  q.i, format('the index %I of %s', q.relname, q.o) AS what,"                                 \
    "  " IN_TABLESPACE("q.reltablespace") " || CASE WHEN q.odd THEN"                               \
    "   format('ALTER TABLE ONLY %s ADD CONSTRAINT %I %s', q.s, q.conname, q.keydef)"              \
    "   ELSE q.def END AS sql FROM ind q WHERE q.relkind = 'i'"

/* A partitioned index can be given its options only as it is made. */
#define KEYS                                                                                       \
    " UNION ALL SELECT 1, q.i, 10, q.depth, q.oid, q.i, format('the index %I of %s', q.relname,"   \
    "   q.o), " IN_TABLESPACE("q.reltablespace") " || q.def"                                       \
    "  FROM ind q WHERE q.relkind = 'I' AND q.key IS NULL"                                         \
    " UNION ALL SELECT 1, q.i, 20, q.depth, q.oid, q.i, '', format('ALTER TABLE ONLY %s"           \
    " ADD CONSTRAINT %I %s USING INDEX %I%s', q.s, q.conname, CASE q.contype WHEN 'p'"             \
    "   THEN 'PRIMARY KEY' ELSE 'UNIQUE' END, q.relname, q.deferral)"                              \
    "  FROM ind q WHERE q.relkind = 'i' AND q.key IS NOT NULL AND NOT q.odd"                       \
    " UNION ALL SELECT 1, q.i, 30, q.depth, q.oid, q.i, '', " IN_TABLESPACE("q.reltablespace")     \
    "   || format('ALTER TABLE ONLY %s ADD CONSTRAINT %I %s%s%s', q.s, q.conname,"                 \
    "   left(q.keydef, length(q.keydef) - length(q.deferral)), ' WITH (' || q.options || ')',"     \
    "   q.deferral) FROM ind q WHERE q.relkind = 'I' AND q.key IS NOT NULL"                        \
    " UNION ALL SELECT 1, q.i, 40, q.depth, q.oid, q.i, '', format('ALTER INDEX %I.%I ATTACH"      \
    " PARTITION %I.%I', p.w, p.relname, q.w, q.relname)"                                           \
    "  FROM ind q JOIN pg_inherits h ON h.inhrelid = q.oid JOIN ind p ON p.oid = h.inhparent"      \
    " UNION ALL SELECT 1, q.i, 50, q.depth, q.oid, q.i, '', format('ALTER INDEX %I.%I SET (%s)',"  \
    "   q.w, q.relname, q.options) FROM ind q"                                                     \
    "  WHERE q.relkind = 'i' AND q.odd AND q.options IS NOT NULL"                                  \
    " UNION ALL SELECT 1, q.i, 51, q.depth, q.oid, q.i, '', format('ALTER INDEX %I.%I ALTER"       \
    " COLUMN %s SET STATISTICS %s', q.w, q.relname, a.attnum, to_jsonb(a)->>'attstattarget')"      \
    "  FROM ind q JOIN pg_attribute a ON a.attrelid = q.oid"                                       \
    "   AND (to_jsonb(a)->>'attstattarget')::int >= 0"                                             \
    " UNION ALL SELECT 1, q.i, 52, q.depth, q.oid, q.i, '', format('ALTER TABLE %s CLUSTER ON %I'" \
    "   , q.s, q.relname) FROM ind q WHERE q.indisclustered"                                       \
    " UNION ALL SELECT 1, q.i, 53, q.depth, q.oid, q.i, '', format('ALTER TABLE ONLY %s REPLICA"   \
    " IDENTITY USING INDEX %I', q.s, q.relname)"                                                   \
    "  FROM ind q WHERE q.indisreplident"                                                          \
    " UNION ALL SELECT 1, q.i, 54, q.depth, q.oid, q.i, '', format('COMMENT ON INDEX %I.%I IS %L'" \
    "   , q.w, q.relname, obj_description(q.oid, 'pg_class'))"                                     \
    "  FROM ind q WHERE obj_description(q.oid, 'pg_class') IS NOT NULL"                            \
    " UNION ALL SELECT 1, q.i, 54, q.depth, q.oid, q.i, '', format('ALTER INDEX %I.%I DEPENDS ON"  \
    " EXTENSION %I', q.w, q.relname, d.extname) FROM ind q"                                        \
    "  CROSS JOIN LATERAL (" SHADOW_EXTENSIONS("'pg_class'::regclass", "q.oid") ") d"              \
    " UNION ALL SELECT 1, r.i, 55, r.depth, r.oid, r.i, '', format('ALTER TABLE ONLY %s REPLICA"   \
    " IDENTITY %s', r.s, CASE r.relreplident WHEN 'f' THEN 'FULL' ELSE 'NOTHING' END)"             \
    "  FROM rel r WHERE r.relreplident IN ('f', 'n')"

/* Partitions have theirs from the parent. */
#define UNCHECKED                                                                                  \
    " UNION ALL SELECT 1, r.i, 60, r.depth, k.oid, r.i, '', format('ALTER TABLE %s ADD CONSTRAINT" \
    " %I %s', r.s, k.conname, pg_get_constraintdef(k.oid))"                                        \
    "  FROM rel r JOIN pg_constraint k ON k.conrelid = r.oid AND k.contype = 'c'"                  \
    "   AND NOT k.convalidated AND k.coninhcount = 0"                                              \
    " UNION ALL SELECT 1, r.i, 61, r.depth, k.oid, r.i, '', format('COMMENT ON CONSTRAINT %I ON"   \
    " %s IS %L', k.conname, r.s, obj_description(k.oid, 'pg_constraint'))"                         \
    "  FROM rel r JOIN pg_constraint k ON k.conrelid = r.oid AND k.contype NOT IN ('f', 't')"      \
    "   AND obj_description(k.oid, 'pg_constraint') IS NOT NULL"

#define STATISTICS                                                                                 \
    ", stat AS (SELECT r.i, r.depth, x.oid, x.stxname, m.w, r.o, r.s, x.stxowner,"                 \
    "  to_jsonb(x)->>'stxstattarget' AS target, " SHADOW_STATISTICS_REST("r.o") " AS rest"         \
    "  FROM rel r JOIN pg_statistic_ext x ON x.stxrelid = r.oid"                                   \
    "  JOIN pg_namespace n ON n.oid = x.stxnamespace JOIN map m ON m.s = n.nspname)"
#define STATISTICS_MADE                                                                            \
    " UNION ALL SELECT 1, x.i, 70, x.depth, x.oid, x.i, format('the statistics %I of %s',"         \
    "   x.stxname, x.o), format('CREATE STATISTICS %I.%I ', x.w, x.stxname) || x.rest"             \
    "   || ' FROM ' || x.s FROM stat x"                                                            \
    " UNION ALL SELECT 1, x.i, 71, x.depth, x.oid, x.i, '', format('ALTER STATISTICS %I.%I OWNER"  \
    " TO %I', x.w, x.stxname, u.rolname) FROM stat x JOIN pg_roles u ON u.oid = x.stxowner"        \
    "  WHERE u.rolname <> current_user"                                                            \
    " UNION ALL SELECT 1, x.i, 72, x.depth, x.oid, x.i, '', format('ALTER STATISTICS %I.%I SET"    \
    " STATISTICS %s', x.w, x.stxname, x.target) FROM stat x WHERE x.target::int >= 0"              \
    " UNION ALL SELECT 1, x.i, 73, x.depth, x.oid, x.i, '', format('COMMENT ON STATISTICS %I.%I"   \
    " IS %L', x.w, x.stxname, obj_description(x.oid, 'pg_statistic_ext'))"                         \
    "  FROM stat x WHERE obj_description(x.oid, 'pg_statistic_ext') IS NOT NULL"

#define ANALYZED                                                                                   \
    " UNION ALL SELECT 2, r.i, 0, 0, 0, r.i, '', 'ANALYZE ' || r.s FROM rel r WHERE r.depth = 0"

/*
 * They lock the tables that they refer to against writers, and who waits for that holds up others.
 * Only a table that is not partitioned can have a key added without being read.
 */
#define REFERENCES                                                                                 \
    ", fk AS (SELECT r.i, r.depth, r.o, r.s, r.oid AS rel, r.relkind, k.oid, k.conname,"           \
    "  k.convalidated, " SHADOW_FK_HEAD("coalesce(t.s, format('%I.%I', n.nspname, c.relname))")    \
    "  || " SHADOW_REST("pg_get_constraintdef(k.oid)",                                             \
                        SHADOW_FK_HEAD("format('%I.%I', n.nspname, c.relname)")) " AS def"         \
    "  FROM rel r JOIN pg_constraint k ON k.conrelid = r.oid AND k.contype = 'f'"                  \
    "   AND k.conparentid = 0 JOIN pg_class c ON c.oid = k.confrelid"                              \
    "  JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN rel t ON t.oid = k.confrelid)"
#define REFERENCES_MADE                                                                            \
    " UNION ALL SELECT 3, 0, -1, 0, 0, min(k.i), '', 'SET LOCAL lock_timeout = 300' FROM fk k"     \
    "  HAVING count(*) > 0"                                                                        \
    " UNION ALL SELECT 3, 0, 0, k.depth, k.oid, k.i, format('the foreign key %I of %s',"           \
    "   k.conname, k.o), format('ALTER TABLE %s ADD CONSTRAINT %I ', k.s, k.conname) || k.def"     \
    "   || CASE WHEN k.relkind = 'r' AND k.convalidated THEN ' NOT VALID' ELSE '' END FROM fk k"   \
    " UNION ALL SELECT 3, 0, 1, k.depth, k.oid, k.i, '', format('COMMENT ON CONSTRAINT %I ON %s"   \
    " IS %L', k.conname, k.s, obj_description(k.oid, 'pg_constraint'))"                            \
    "  FROM fk k WHERE obj_description(k.oid, 'pg_constraint') IS NOT NULL"                        \
    " UNION ALL SELECT 4, k.oid, 0, 0, k.oid, k.i, '', format('ALTER TABLE %s VALIDATE CONSTRAINT" \
    " %I', k.s, k.conname) FROM fk k WHERE k.relkind = 'r' AND k.convalidated"

/* Clones of a parent's trigger come with it; in which state each is, is its own. */
#define GUARDS                                                                                     \
    " UNION ALL SELECT 5, r.i, 10, r.depth, g.oid, r.i, format('the trigger %I of %s', g.tgname,"  \
    "   r.o), " SHADOW_TRIGGER_HEAD("r.s") " || " SHADOW_REST("pg_get_triggerdef(g.oid)",          \
                                                             SHADOW_TRIGGER_HEAD("r.o"))           \
    "  FROM rel r JOIN pg_trigger g ON g.tgrelid = r.oid AND NOT g.tgisinternal"                   \
    "   AND g.tgparentid = 0"                                                                      \
    " UNION ALL SELECT 5, r.i, 11, r.depth, g.oid, r.i, '', format('ALTER TABLE ONLY %s %s TRIGGE" \
    "R %I', r.s, CASE g.tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'R' THEN 'ENABLE REPLICA'"          \
    "   ELSE 'ENABLE ALWAYS' END, g.tgname)"                                                       \
    "  FROM rel r JOIN pg_trigger g ON g.tgrelid = r.oid AND NOT g.tgisinternal"                   \
    "   AND g.tgenabled <> 'O'"                                                                    \
    " UNION ALL SELECT 5, r.i, 12, r.depth, g.oid, r.i, '', format('COMMENT ON TRIGGER %I ON %s"   \
    " IS %L', g.tgname, r.s, obj_description(g.oid, 'pg_trigger'))"                                \
    "  FROM rel r JOIN pg_trigger g ON g.tgrelid = r.oid AND NOT g.tgisinternal"                   \
    "   AND obj_description(g.oid, 'pg_trigger') IS NOT NULL"                                      \
    " UNION ALL SELECT 5, r.i, 12, r.depth, g.oid, r.i, '', format('ALTER TRIGGER %I ON %s"        \
    " DEPENDS ON EXTENSION %I', g.tgname, r.s, d.extname)"                                         \
    "  FROM rel r JOIN pg_trigger g ON g.tgrelid = r.oid AND NOT g.tgisinternal"                   \
    "  CROSS JOIN LATERAL (" SHADOW_EXTENSIONS("'pg_trigger'::regclass", "g.oid") ") d"            \
    " UNION ALL SELECT 5, r.i, 20, r.depth, p.oid, r.i, '', format('CREATE POLICY %I ON %s %s',"   \
    "   p.polname, r.s, " SHADOW_POLICY ") FROM rel r JOIN pg_policy p ON p.polrelid = r.oid"      \
    " UNION ALL SELECT 5, r.i, 21, r.depth, p.oid, r.i, '', format('COMMENT ON POLICY %I ON %s"    \
    " IS %L', p.polname, r.s, obj_description(p.oid, 'pg_policy'))"                                \
    "  FROM rel r JOIN pg_policy p ON p.polrelid = r.oid"                                          \
    "   AND obj_description(p.oid, 'pg_policy') IS NOT NULL"                                       \
    " UNION ALL SELECT 5, r.i, 30, r.depth, 0, r.i, '', format('ALTER TABLE ONLY %s ENABLE ROW"    \
    " LEVEL SECURITY', r.s) FROM rel r WHERE r.relrowsecurity"                                     \
    " UNION ALL SELECT 5, r.i, 31, r.depth, 0, r.i, '', format('ALTER TABLE ONLY %s FORCE ROW"     \
    " LEVEL SECURITY', r.s) FROM rel r WHERE r.relforcerowsecurity"

#define EVERYTHING                                                                                 \
    SHADOW_TREE INDEXES STATISTICS REFERENCES                                                      \
        ", jobs AS (" BUILD KEYS UNCHECKED STATISTICS_MADE ANALYZED REFERENCES_MADE GUARDS ")"

#define IN_ORDER                                                                                   \
    " SELECT t.phase, t.job, t.i - 1, t.what, t.sql FROM jobs t"                                   \
    " ORDER BY t.phase, CASE WHEN t.phase = 0 THEN t.ord END, t.job, t.ord, t.depth, t.sub, t.sql"

static const char swap_sql[] = EVERYTHING IN_ORDER;
static const char rows_sql[] =
    SHADOW_TREE ", jobs(phase, job, ord, depth, sub, i, what, sql) AS (SELECT 2, r.i, 0, 0, 0, r.i,"
                " '', 'ANALYZE ' || r.s FROM rel r WHERE r.depth = 0)" IN_ORDER;
/* clang-format on */

int pg_shadow_unmakeable(struct pg_conn *conn, const struct pg_shadows *s, struct pg_answer **a,
                         struct err *err)
{
    static const char sql[] =
        EVERYTHING " SELECT t.what FROM jobs t WHERE t.sql IS NULL ORDER BY 1";
    static const struct pg_wanted wanted = {"t", 0, PG_MANY};

    return pg_shadow_ask(conn, s, 0, sql, &wanted, a, err);
}

static bool is_next_of(const struct pg_answer *a, size_t row)
{
    return row && pg_number(a, row, 0) == pg_number(a, row - 1, 0) &&
           pg_number(a, row, 1) == pg_number(a, row - 1, 1);
}

/* Rows of one job follow each other. */
static size_t take_jobs(const struct pg_answer *a, struct pg_shadow_job *jobs)
{
    struct buf b = {0};
    size_t row, n = 0;

    for (row = 0; row < pg_rows(a); row++) {
        if (!is_next_of(a, row))
            jobs[n++] = (struct pg_shadow_job){.phase = (enum pg_shadow_phase)pg_number(a, row, 0),
                                               .table = pg_number(a, row, 2)};
        buf_printf(&b, "%s%s", b.len ? ";\n" : "", pg_text(a, row, 4));
        if (row + 1 == pg_rows(a) || !is_next_of(a, row + 1))
            jobs[n - 1].sql = buf_steal(&b);
    }
    return n;
}

int pg_shadow_finish(struct pg_conn *conn, const struct pg_shadows *s, struct pg_shadow_job **jobs,
                     size_t *n, struct err *err)
{
    static const struct pg_wanted wanted = {"nnntT", 0, PG_MANY};
    struct pg_answer *a = NULL;
    size_t i;
    int rc = pg_begin(conn, PG_READ_ONLY, true, NULL, err);

    if (rc == 0)
        rc = pg_shadow_ask(conn, s, 0, s->mode == PG_PUBLISH_SWAP ? swap_sql : rows_sql, &wanted,
                           &a, err);
    pg_rollback(conn);
    for (i = 0; rc == 0 && i < pg_rows(a); i++)
        if (pg_is_null(a, i, 4) || pg_number(a, i, 0) >= PG_SHADOW_PHASES)
            rc = err_set(err, EINVAL, "no shadow can be given %s", pg_text(a, i, 3));
    if (rc == 0) {
        *jobs = mem_array(pg_rows(a) + 1, sizeof(**jobs));
        *n = take_jobs(a, *jobs);
    }
    pg_answer_free(a);
    return rc;
}

void pg_shadow_free_jobs(struct pg_shadow_job *jobs, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        free(jobs[i].sql);
    free(jobs);
}
