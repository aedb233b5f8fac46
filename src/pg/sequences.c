#include "pg/sequences.h"

#include <stdlib.h>

#include "common/mem.h"
#include "pg/internal.h"

/* $1, $2: schemas and names. A partition may have a sequence of its own for a column of its parent. */
static const char statements_sql[] =
    "WITH rel AS (SELECT DISTINCT coalesce(p.relid, c.oid)::oid AS oid"
    "  FROM unnest($1::text[], $2::text[]) AS l(s, n) JOIN pg_namespace n ON n.nspname = l.s"
    "  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = l.n"
    "  LEFT JOIN LATERAL pg_partition_tree(c.oid) p ON true),"
    " seq AS (SELECT DISTINCT q.oid, r.oid AS rel, a.attname, p.seqincrement > 0 AS up, p.seqmin,"
    "   p.seqmax FROM rel r"
    "  JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped"
    "   AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)"
    "  LEFT JOIN pg_attrdef f ON f.adrelid = r.oid AND f.adnum = a.attnum"
    "  JOIN pg_depend d ON (d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')"
    "    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = r.oid"
    "    AND d.refobjsubid = a.attnum)"
    "   OR (d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid"
    "    AND d.refclassid = 'pg_class'::regclass)"
    "  JOIN pg_class q ON q.relkind = 'S' AND q.oid = CASE d.classid"
    "   WHEN 'pg_class'::regclass THEN d.objid ELSE d.refobjid END"
    "  JOIN pg_sequence p ON p.seqrelid = q.oid)"
    " SELECT format('SELECT setval(%L::regclass, x.m) FROM (SELECT least(greatest(%s(%I)::int8,"
    " %s), %s) AS m FROM %s) x, %s q WHERE x.m IS NOT NULL AND (q.last_value %s x.m"
    " OR (q.last_value = x.m AND NOT q.is_called))', oid::regclass,"
    "  CASE WHEN up THEN 'max' ELSE 'min' END, attname, seqmin, seqmax, rel::regclass,"
    "  oid::regclass, CASE WHEN up THEN '<' ELSE '>' END) FROM seq ORDER BY 1";

static char *names_of(const struct pg_snaptable *tables, size_t n, bool schemas)
{
    struct buf b = {0};
    size_t i;

    buf_putc(&b, '{');
    for (i = 0; i < n; i++)
        pg_put_element(&b, schemas ? tables[i].schema : tables[i].name);
    buf_putc(&b, '}');
    return buf_steal(&b);
}

static int run_all(struct pg_conn *conn, const struct pg_answer *statements, struct err *err)
{
    size_t i;
    int rc = 0;

    for (i = 0; rc == 0 && i < pg_rows(statements); i++)
        rc = pg_run(conn, pg_text(statements, i, 0), err);
    return rc;
}

int pg_sequences_raise(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n,
                       struct err *err)
{
    static const struct pg_wanted wanted = {"t", 0, PG_MANY};
    char *schemas = names_of(tables, n, true), *names = names_of(tables, n, false);
    const char *values[] = {schemas, names};
    struct pg_answer *a = NULL;
    int rc = pg_begin(conn, PG_READ_WRITE, false, NULL, err);

    if (rc == 0)
        rc = pg_ask(conn, statements_sql, 2, values, &wanted, &a, err);
    if (rc == 0)
        rc = run_all(conn, a, err);
    if (rc == 0)
        rc = pg_run(conn, "COMMIT", err);
    if (rc < 0)
        pg_rollback(conn);
    pg_answer_free(a);
    free(schemas);
    free(names);
    return rc < 0 ? err_prefix(err, "the sequences of the loaded tables") : 0;
}
