#include "pg/intosource.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/intonames.h"
#include "pg/refusals.h"
#include "pg/shadowtree.h"

/* ---- before anything is made ---- */

static const char look_sql[] =
    "SELECT n.oid IS NOT NULL, coalesce(obj_description(n.oid, 'pg_namespace') "
    "= " INTO_SCHEMA_COMMENT ", false), has_database_privilege(current_database(), 'CREATE'),"
    " quote_ident(current_database()), quote_ident(current_user), o.rolname"
    " FROM (SELECT 1) x LEFT JOIN pg_namespace n ON n.nspname = " INTO_SCHEMA
    " LEFT JOIN pg_roles o ON o.oid = n.nspowner AND NOT o.rolsuper AND (NOT pg_has_role(o.oid,"
    "  'USAGE') OR (SELECT u.rolsuper FROM pg_roles u WHERE u.rolname = current_user))";

enum { THERE, OURS, MAY_CREATE, DATABASE, ROLE, OTHER_OWNER };

static int run_collected(struct pg_conn *conn, const char *query, const char *name, struct err *err)
{
    static const struct pg_wanted wanted = {"t", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, query, 1, &name, &wanted, &a, err);

    if (rc == 0)
        rc = pg_run(conn, pg_text(a, 0, 0), err);
    pg_answer_free(a);
    return rc;
}

static int look_at_schema(struct pg_conn *conn, const char *name, struct err *err)
{
    static const char make[] =
        "SELECT format('CREATE SCHEMA %I; COMMENT ON SCHEMA %I IS %L',"
        " x.s, x.s, " INTO_SCHEMA_COMMENT ") FROM (SELECT " INTO_SCHEMA " AS s) x";
    static const struct pg_wanted wanted = {"bbbttT", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, look_sql, 1, &name, &wanted, &a, err);

    if (rc == 0 && !pg_true(a, 0, MAY_CREATE))
        rc = err_set(err, EACCES,
                     "the schemas of the copy cannot be made: GRANT CREATE ON DATABASE %s TO %s",
                     pg_text(a, 0, DATABASE), pg_text(a, 0, ROLE));
    else if (rc == 0 && !pg_true(a, 0, THERE))
        rc = run_collected(conn, make, name, err);
    else if (rc == 0 && !pg_true(a, 0, OURS))
        rc = err_set(err, EEXIST,
                     "the schema \"asofs_%s\" is not ours: it should have the comment \"asofs: "
                     "copy %s\"",
                     name, name);
    else if (rc == 0 && !pg_is_null(a, 0, OTHER_OWNER))
        rc = err_set(err, EEXIST,
                     "the schema \"asofs_%s\" belongs to %s, who could exchange what is in it",
                     name, pg_text(a, 0, OTHER_OWNER));
    pg_answer_free(a);
    return rc;
}

/* clang-format off */
/* $2: the names that are copied. What a table of ours owns is dropped with it. */
static const char refuse_sql[] =
    "WITH t AS (SELECT c.oid, c.relname, c.reltype, c.relowner, format('%I.%I',"
    "  n.nspname, c.relname) AS q,"
    "  coalesce(obj_description(c.oid, 'pg_class') = " INTO_TABLE_COMMENT ", false) AS ours"
    "  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    "  WHERE n.nspname = " INTO_SCHEMA "),"
    " ref AS (SELECT 'pg_class'::regclass AS class, t.oid, t.q FROM t WHERE t.ours UNION ALL"
    "  SELECT 'pg_type'::regclass, x.oid, t.q FROM t JOIN pg_type y ON y.oid = t.reltype"
    "   CROSS JOIN LATERAL unnest(ARRAY[y.oid, y.typarray]) AS x(oid) WHERE t.ours),"
    " dep AS (SELECT DISTINCT d.classid, d.objid, d.objsubid, ref.q FROM ref JOIN pg_depend d"
    "  ON d.refclassid = ref.class AND d.refobjid = ref.oid WHERE d.deptype = 'n'"
    "  AND NOT (d.classid = 'pg_class'::regclass AND d.objid IN (SELECT t.oid FROM t WHERE t.ours))"
    "  AND NOT (d.classid = 'pg_constraint'::regclass AND d.objid IN (SELECT k.oid"
    "   FROM pg_constraint k JOIN t ON t.oid = k.conrelid AND t.ours)))"
    "SELECT 1, format('%I', p.pubname) FROM pg_publication p WHERE p.puballtables"
    " UNION ALL SELECT 2, t.q FROM t WHERE NOT t.ours AND t.relname = ANY ($2::text[])"
    " UNION ALL SELECT 3, format('%s (%s)', pg_describe_object(classid, objid, objsubid), q)"
    "  FROM dep"
    " UNION ALL SELECT 4, t.q FROM t WHERE t.ours AND NOT pg_has_role(t.relowner, 'USAGE')"
    " UNION ALL SELECT 5, t.q FROM t JOIN pg_class c ON c.oid = t.oid WHERE t.ours"
    "  AND c.relrowsecurity"
    " ORDER BY 1, 2";
/* clang-format on */

static const struct {
    const char *what, *advice;
} obstacles[] = {
    {"publications of all tables would send the copy to their subscribers", NULL},
    {"there already, and made by no copy", "drop them, or give the copy another --name"},
    {"these depend on tables of the copy, which are replaced by new ones",
     "drop them before; a function in PL/pgSQL depends on nothing"},
    {"tables of the copy that belong to another role", NULL},
    {"tables of the copy with row security, which the new ones would not have",
     "DISABLE ROW LEVEL SECURITY, or drop them; privileges on tables and columns stay"},
};

#define OBSTACLES (sizeof(obstacles) / sizeof(*obstacles))

static int refuse_obstacles(struct pg_conn *conn, const char *name, const char *names,
                            struct err *err)
{
    static const struct pg_wanted wanted = {"nt", 0, PG_MANY};
    struct pg_names in_the_way[OBSTACLES] = {{.more = 0}};
    const char *values[] = {name, names};
    struct pg_answer *a;
    size_t i;
    int rc = pg_ask(conn, refuse_sql, 2, values, &wanted, &a, err);

    if (rc < 0)
        return rc;
    for (i = 0; i < pg_rows(a); i++)
        pg_names_add(&in_the_way[pg_number(a, i, 0) - 1], pg_text(a, i, 1));
    err->code = 0;
    for (i = 0; i < OBSTACLES; i++)
        pg_names_refuse(err, &in_the_way[i], obstacles[i].what, obstacles[i].advice);
    rc = pg_rows(a) ? (err->code = EINVAL, -EINVAL) : 0;
    pg_answer_free(a);
    return rc;
}

static char *names_of(const struct pg_catalog *tables)
{
    struct buf b = {0};
    size_t i;

    buf_putc(&b, '{');
    for (i = 0; i < tables->ntables; i++)
        pg_put_element(&b, tables->tables[i].rel.name);
    buf_putc(&b, '}');
    return buf_steal(&b);
}

int pg_into_prepare(struct pg_conn *conn, const char *name, const struct pg_catalog *tables,
                    struct err *err)
{
    char *names = names_of(tables);
    int rc = pg_begin(conn, PG_READ_WRITE, false, NULL, err);

    if (rc == 0)
        rc = look_at_schema(conn, name, err);
    if (rc == 0)
        rc = refuse_obstacles(conn, name, names, err);
    if (rc == 0)
        rc = pg_run(conn, "COMMIT", err);
    if (rc < 0)
        pg_rollback(conn);
    free(names);
    return rc;
}

/* ---- the new tables ---- */

static int make_schema(struct pg_conn *conn, const char *name, const char *schema, struct err *err)
{
    struct buf b = {0};
    char *comment = mem_printf(SHADOW_COMMENT "%s", name);
    int rc;

    buf_puts(&b, "CREATE SCHEMA ");
    rc = pg_put_identifier(conn, &b, schema, err);
    buf_puts(&b, "; COMMENT ON SCHEMA ");
    if (rc == 0)
        rc = pg_put_identifier(conn, &b, schema, err);
    buf_puts(&b, " IS ");
    if (rc == 0)
        rc = pg_put_literal(conn, &b, comment, err);
    if (rc == 0)
        rc = pg_run(conn, b.data, err);
    free(comment);
    buf_free(&b);
    return rc;
}

static char *columns_of(const struct pg_table *t)
{
    struct buf b = {0};
    size_t i;

    buf_putc(&b, '{');
    for (i = 0; i < t->ncolumns; i++)
        pg_put_element(&b, t->columns[i].name);
    buf_putc(&b, '}');
    return buf_steal(&b);
}

/* The server makes the statements, from its own catalog; $4: the columns, in their order. */
static int make_table(struct pg_conn *conn, const char *name, const char *schema,
                      const struct pg_table *t, struct err *err)
{
    static const char sql[] =
        "SELECT format('CREATE TABLE %I.%I AS SELECT %s FROM ONLY %I.%I WITH NO DATA;"
        " COMMENT ON TABLE %I.%I IS %L', $2::text, c.relname, coalesce(x.columns, ''), n.nspname,"
        "  c.relname, $2::text, c.relname, " INTO_TABLE_COMMENT ")"
        " || coalesce(format('; ALTER TABLE %I.%I ', $2::text, c.relname) || x.filled, '')"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN LATERAL ("
        "  SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.i) AS columns,"
        "   string_agg(format('ALTER %I SET NOT NULL', a.attname), ', ' ORDER BY u.i)"
        "    FILTER (WHERE a.attnotnull) AS filled"
        "  FROM unnest($4::text[]) WITH ORDINALITY AS u(name, i)"
        "  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = u.name AND a.attnum > 0"
        " ) x WHERE c.oid = $3::oid";
    static const struct pg_wanted wanted = {"t", 1, 1};
    char oid[16], *columns = columns_of(t);
    const char *values[] = {name, schema, oid, columns};
    struct pg_answer *a = NULL;
    int rc;

    snprintf(oid, sizeof(oid), "%u", t->rel.oid);
    rc = pg_ask(conn, sql, 4, values, &wanted, &a, err);
    if (rc == 0)
        rc = pg_run(conn, pg_text(a, 0, 0), err);
    pg_answer_free(a);
    free(columns);
    return rc;
}

int pg_into_make(struct pg_conn *conn, const char *name, int64_t run,
                 const struct pg_catalog *tables, int64_t lock_timeout_ms, char **schema,
                 struct err *err)
{
    char *made = mem_printf("asofs_%s_new_%lld", name, (long long)run);
    char *more = mem_printf("SET LOCAL lock_timeout = %lld", (long long)lock_timeout_ms);
    size_t i;
    int rc = pg_begin(conn, PG_READ_WRITE, false, more, err);

    free(more);
    if (rc == 0)
        rc = make_schema(conn, name, made, err);
    for (i = 0; i < tables->ntables && rc == 0; i++)
        rc = make_table(conn, name, made, &tables->tables[i], err);
    if (rc == 0)
        rc = pg_run(conn, "COMMIT", err);
    if (rc < 0) {
        pg_rollback(conn);
        free(made);
        return err_prefix(err, "the new tables of the copy cannot be made");
    }
    *schema = made;
    return 0;
}

int pg_into_analyze_sql(struct pg_conn *conn, const char *schema, const char *table, char **sql,
                        struct err *err)
{
    struct buf b = {0};
    int rc;

    buf_puts(&b, "ANALYZE ");
    rc = pg_put_relation(conn, &b, schema, table, err);
    if (rc == 0)
        *sql = buf_steal(&b);
    buf_free(&b);
    return rc;
}

/* ---- chunks ---- */

struct chunk_key {
    char run[24], chunk[24];
    const char *values[3];
};

static void key_of(struct chunk_key *k, const char *name, int64_t run, int64_t chunk)
{
    snprintf(k->run, sizeof(k->run), "%lld", (long long)run);
    snprintf(k->chunk, sizeof(k->chunk), "%lld", (long long)chunk);
    k->values[0] = name;
    k->values[1] = k->run;
    k->values[2] = k->chunk;
}

int pg_into_claim(struct pg_conn *conn, const char *name, int64_t run, int64_t chunk,
                  struct err *err)
{
    struct chunk_key k;

    key_of(&k, name, run, chunk);
    return pg_run_with(conn, "INSERT INTO asofs.chunk (view, run, chunk) VALUES ($1, $2, $3)", 3,
                       k.values, err);
}

int pg_into_find(struct pg_conn *conn, const char *name, int64_t run, int64_t chunk, uint64_t *rows,
                 struct err *err)
{
    static const struct pg_wanted wanted = {"n", 0, 1};
    struct pg_answer *a = NULL;
    struct chunk_key k;
    int rc;

    key_of(&k, name, run, chunk);
    rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);
    if (rc == 0)
        rc = pg_ask(conn,
                    "SELECT rows FROM asofs.chunk WHERE view = $1 AND run = $2 AND chunk = $3"
                    " AND done_at IS NOT NULL",
                    3, k.values, &wanted, &a, err);
    pg_rollback(conn);
    if (rc == 0 && pg_rows(a)) {
        *rows = pg_number(a, 0, 0);
        rc = 1;
    }
    pg_answer_free(a);
    return rc;
}
