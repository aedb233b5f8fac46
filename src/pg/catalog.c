#include "pg/catalog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/internal.h"

/*
 * $1, $2, $3: schema expressions (NULL: visible on the search path), name expressions, exactness; as arrays.
 * $4: the schemas of the user's search path. $5: exact sizes.
 *
 * pg_relation_size() takes a lock and waits for it, so before our locks are held the size is relpages.
 * A partition that is being detached is no longer part of what a new query sees. One row for each
 * relation, with `root` = itself or the partitioned table it is a leaf of. A pattern that matched
 * nothing gives a row with oid NULL.
 *
 * LOCK TABLE refuses materialized views, so they are locked after the snapshot was taken; a REFRESH in
 * between is seen by the file node that is current (pg_relation_filenode) being another than the snapshot's.
 */
static const char relations_sql[] =
    "WITH RECURSIVE pattern AS ("
    "  SELECT p.nsp, p.rel, p.exact, p.no FROM ROWS FROM"
    "    (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[]),"
    "     pg_catalog.unnest($3::pg_catalog.bool[])) WITH ORDINALITY AS p(nsp, rel, exact, no)"
    "), usable AS ("
    "  SELECT c.oid, c.relname, c.relkind, c.relispartition, n.nspname,"
    "    n.nspname = ANY ($4::pg_catalog.name[]) AND NOT EXISTS (SELECT FROM pg_catalog.pg_class d"
    "      JOIN pg_catalog.pg_namespace m ON m.oid = d.relnamespace"
    "      WHERE d.relname = c.relname AND m.nspname = ANY ($4::pg_catalog.name[])"
    "      AND pg_catalog.array_position($4::pg_catalog.name[], m.nspname)"
    "        < pg_catalog.array_position($4::pg_catalog.name[], n.nspname)) AS visible"
    "  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    "  WHERE c.relkind IN ('r', 'p', 'm', 'f', 'v', 'S') AND c.relpersistence <> 't'"
    "    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    "), hit AS ("
    "  SELECT u.oid, u.relkind, pg_catalog.bool_or(p.exact) AS exact,"
    "    pg_catalog.array_agg(p.no) AS patterns FROM usable u JOIN pattern p"
    "    ON u.relname COLLATE pg_catalog.\"default\" ~ p.rel AND CASE WHEN p.nsp IS NULL THEN u.visible"
    "      ELSE u.nspname COLLATE pg_catalog.\"default\" ~ p.nsp END"
    "  WHERE p.exact OR (u.relkind IN ('r', 'p', 'm', 'f') AND NOT u.relispartition)"
    "  GROUP BY u.oid, u.relkind"
    "), part(root, oid) AS ("
    "  SELECT h.oid, h.oid FROM hit h WHERE h.relkind = 'p'"
    "  UNION ALL SELECT p.root, i.inhrelid FROM part p"
    "    JOIN pg_catalog.pg_inherits i ON i.inhparent = p.oid AND NOT i.inhdetachpending"
    "), member(root, oid) AS ("
    "  SELECT h.oid, h.oid FROM hit h"
    "  UNION ALL SELECT p.root, p.oid FROM part p JOIN pg_catalog.pg_class c ON c.oid = p.oid"
    "    WHERE c.relkind <> 'p'"
    ")"
    " SELECT m.root, c.oid, c.relkind, n.nspname, c.relname,"
    "  coalesce(pg_catalog.has_table_privilege(c.oid, 'SELECT')"
    "    AND pg_catalog.has_schema_privilege(n.oid, 'USAGE'), false),"
    "  pg_catalog.row_security_active(c.oid), h.exact, coalesce(a.amname = 'heap', false),"
    "  CASE WHEN c.relkind NOT IN ('r', 'm') THEN 0"
    "    WHEN $5::pg_catalog.bool THEN pg_catalog.pg_relation_size(c.oid)"
    "    ELSE c.relpages::pg_catalog.int8 * b.size END,"
    "  CASE WHEN c.relkind NOT IN ('r', 'm') OR c.reltoastrelid = 0 THEN 0"
    "    WHEN $5::pg_catalog.bool THEN pg_catalog.pg_relation_size(c.reltoastrelid)"
    "    ELSE t.relpages::pg_catalog.int8 * b.size END,"
    "  b.size, CASE WHEN c.relkind <> 'm' THEN ''"
    "    WHEN NOT c.relispopulated THEN 'empty'"
    "    WHEN $5::pg_catalog.bool AND pg_catalog.pg_relation_filenode(c.oid)"
    "      IS DISTINCT FROM c.relfilenode THEN 'refreshed' ELSE '' END,"
    "  NULL::pg_catalog.int8"
    " FROM member m JOIN pg_catalog.pg_class c ON c.oid = m.oid"
    "  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    "  JOIN hit h ON h.oid = m.root"
    "  LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam"
    "  LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid,"
    "  (SELECT pg_catalog.current_setting('block_size')::pg_catalog.int8) AS b(size)"
    " UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, p.no"
    "  FROM pattern p WHERE NOT EXISTS (SELECT FROM hit h WHERE p.no = ANY (h.patterns))"
    " ORDER BY 14 NULLS FIRST, 1, 2";

enum { ROOT, OID, KIND, SCHEMA, NAME, READABLE, POLICY, EXACT, HEAP, BYTES, TOAST, BLOCK, MATVIEW, MISS };

static const char columns_sql[] =
    "SELECT a.attrelid, a.attname, a.atttypid, a.attgenerated <> ''"
    " FROM pg_catalog.pg_attribute a WHERE a.attrelid = ANY ($1::pg_catalog.oid[])"
    " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum";

/* Problems, collected so that all are told at once; each under its heading. */
struct problems {
    struct buf missing, not_table, foreign, empty, denied, policy;
};

static bool is_true(const PGresult *r, int row, int col)
{
    return PQgetvalue(r, row, col)[0] == 't';
}

static uint32_t get_oid(const PGresult *r, int row, int col)
{
    return (uint32_t)strtoul(PQgetvalue(r, row, col), NULL, 10);
}

static uint64_t get_size(const PGresult *r, int row, int col)
{
    return strtoull(PQgetvalue(r, row, col), NULL, 10);
}

/* A name in an array literal. */
static void put_element(struct buf *out, const char *text)
{
    buf_puts(out, out->len > 1 ? "," : "");
    if (!text) {
        buf_puts(out, "NULL");
        return;
    }
    buf_putc(out, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buf_putc(out, '\\');
        buf_putc(out, *text);
    }
    buf_putc(out, '"');
}

static void add_problem(struct buf *list, const char *schema, const char *name)
{
    buf_printf(list, "%s%s%s%s", list->len ? ", " : "", schema, *schema ? "." : "", name);
}

static bool is_empty_matview(const PGresult *r, int row)
{
    return strcmp(PQgetvalue(r, row, MATVIEW), "empty") == 0;
}

/* What a wildcard matches but has no rows to show is left out, and told; named exactly it is refused. */
static bool is_skipped(const PGresult *r, int row)
{
    return get_oid(r, row, ROOT) == get_oid(r, row, OID) && !is_true(r, row, EXACT) &&
           (PQgetvalue(r, row, KIND)[0] == 'f' || is_empty_matview(r, row));
}

static void note_problems(struct problems *p, struct pg_catalog *c, const PGresult *r, int row)
{
    const char *schema = PQgetvalue(r, row, SCHEMA), *name = PQgetvalue(r, row, NAME);
    char kind = PQgetvalue(r, row, KIND)[0];

    if (kind == 'v' || kind == 'S')
        add_problem(&p->not_table, schema, name);
    else if (is_skipped(r, row))
        c->skipped[c->nskipped++] = mem_printf("%s.%s", schema, name);
    else if (kind == 'f')
        add_problem(&p->foreign, schema, name);
    else if (is_empty_matview(r, row))
        add_problem(&p->empty, schema, name);
    else if (!is_true(r, row, READABLE))
        add_problem(&p->denied, schema, name);
    else if (is_true(r, row, POLICY))
        add_problem(&p->policy, schema, name);
}

static void tell(struct err *err, struct buf *list, const char *what, const char *advice)
{
    if (!list->len)
        return;
    if (!err->code)
        err_set(err, EINVAL, "%s: %s", what, list->data);
    else
        err_hint(err, "%s: %s", what, list->data);
    if (*advice)
        err_hint(err, "  (%s)", advice);
    buf_free(list);
}

static int tell_problems(struct problems *p, struct err *err)
{
    err->code = 0;
    tell(err, &p->missing, "no table matches",
         "a pattern without a schema sees the tables on the search_path; "
         "quote names that have capitals: '\"Order\"'");
    tell(err, &p->not_table, "not a table", "views and sequences have no place in a view of tables");
    tell(err, &p->foreign, "a foreign table is not part of the frozen state", "leave it out");
    tell(err, &p->empty, "a materialized view was never filled",
         "REFRESH MATERIALIZED VIEW, or leave it out");
    tell(err, &p->denied, "no permission to read", "GRANT USAGE on the schema and SELECT on the table");
    tell(err, &p->policy, "row security would hide rows of",
         "connect as the owner of the table or as a role with BYPASSRLS");
    return -err->code;
}

static void fill_relation(struct pg_relation *rel, const PGresult *r, int row)
{
    uint64_t heap = get_size(r, row, BYTES), block = get_size(r, row, BLOCK);

    *rel = (struct pg_relation){
        .oid = get_oid(r, row, OID),
        .kind = PQgetvalue(r, row, KIND)[0],
        .schema = mem_strdup(PQgetvalue(r, row, SCHEMA)),
        .name = mem_strdup(PQgetvalue(r, row, NAME)),
        .bytes = heap + get_size(r, row, TOAST),
        .blocks = is_true(r, row, HEAP) && block ? heap / block : 0,
        .readable = is_true(r, row, READABLE),
        .row_security = is_true(r, row, POLICY),
        .refreshed = strcmp(PQgetvalue(r, row, MATVIEW), "refreshed") == 0,
    };
}

/* Rows come ordered by root and then OID, so a table's rows stand together; its own may stand among them. */
static void add_row(struct pg_catalog *c, const PGresult *r, int row)
{
    uint32_t root = get_oid(r, row, ROOT);
    struct pg_table *t = c->ntables ? &c->tables[c->ntables - 1] : NULL;
    static const size_t leaf_size = sizeof(struct pg_relation);

    if (!t || row == 0 || get_oid(r, row - 1, ROOT) != root)
        t = &c->tables[c->ntables++];
    if (get_oid(r, row, OID) == root) {
        fill_relation(&t->rel, r, row);
        return;
    }
    t->leaves = mem_resize(t->leaves, t->nleaves + 1, leaf_size);
    fill_relation(&t->leaves[t->nleaves++], r, row);
}

static int take_relations(struct pg_catalog *c, const PGresult *r, const struct pg_pattern *patterns,
                          struct err *err)
{
    struct problems problems = {0};
    int row, rows = PQntuples(r);

    c->tables = mem_array((size_t)rows, sizeof(*c->tables));
    c->skipped = mem_array((size_t)rows, sizeof(*c->skipped));
    for (row = 0; row < rows; row++) {
        if (!PQgetisnull(r, row, MISS)) {
            add_problem(&problems.missing, "", patterns[get_size(r, row, MISS) - 1].text);
            continue;
        }
        note_problems(&problems, c, r, row);
        if (!is_skipped(r, row))
            add_row(c, r, row);
    }
    return tell_problems(&problems, err);
}

static int by_oid(const void *a, const void *b)
{
    const struct pg_table *x = a, *y = b;

    return x->rel.oid < y->rel.oid ? -1 : x->rel.oid > y->rel.oid;
}

static int by_name(const void *a, const void *b)
{
    const struct pg_table *x = a, *y = b;
    int d = strcmp(x->rel.schema, y->rel.schema);

    return d ? d : strcmp(x->rel.name, y->rel.name);
}

static void take_columns(struct pg_catalog *c, const PGresult *r)
{
    int row, rows = PQntuples(r);
    size_t i = 0;

    for (row = 0; row < rows; row++) {
        uint32_t oid = get_oid(r, row, 0);
        struct pg_table *t;

        while (i < c->ntables && c->tables[i].rel.oid < oid)
            i++;
        if (i == c->ntables)
            return;
        t = &c->tables[i];
        t->columns = mem_resize(t->columns, t->ncolumns + 1, sizeof(*t->columns));
        t->columns[t->ncolumns++] = (struct pg_column){
            .name = mem_strdup(PQgetvalue(r, row, 1)),
            .type = get_oid(r, row, 2),
            .generated = is_true(r, row, 3),
        };
    }
}

static int read_columns(struct pg_conn *conn, struct pg_catalog *c, struct err *err)
{
    struct buf oids = {0};
    const char *values[1];
    PGresult *r = NULL;
    size_t i;
    int rc;

    qsort(c->tables, c->ntables, sizeof(*c->tables), by_oid);
    buf_putc(&oids, '{');
    for (i = 0; i < c->ntables; i++)
        buf_printf(&oids, "%s%u", i ? "," : "", c->tables[i].rel.oid);
    buf_putc(&oids, '}');
    values[0] = oids.data;
    rc = pg_run(conn, columns_sql, 1, values, &r, err);
    if (rc == 0)
        take_columns(c, r);
    PQclear(r);
    buf_free(&oids);
    qsort(c->tables, c->ntables, sizeof(*c->tables), by_name);
    return rc;
}

static int read_relations(struct pg_conn *conn, const struct pg_server *server,
                          const struct pg_pattern *patterns, size_t n, bool exact_sizes,
                          struct pg_catalog *c, struct err *err)
{
    static const struct pg_pattern everything = {.schema = "^(.*)$", .name = "^(.*)$"};
    struct buf schemas = {0}, names = {0}, exact = {0};
    const char *values[5];
    PGresult *r = NULL;
    size_t i;
    int rc;

    buf_putc(&schemas, '{');
    buf_putc(&names, '{');
    buf_putc(&exact, '{');
    for (i = 0; i < (n ? n : 1); i++) {
        const struct pg_pattern *p = n ? &patterns[i] : &everything;

        put_element(&schemas, p->schema);
        put_element(&names, p->name);
        put_element(&exact, p->exact ? "t" : "f");
    }
    buf_putc(&schemas, '}');
    buf_putc(&names, '}');
    buf_putc(&exact, '}');
    values[0] = schemas.data;
    values[1] = names.data;
    values[2] = exact.data;
    values[3] = server->search_path;
    values[4] = exact_sizes ? "t" : "f";
    rc = pg_run(conn, relations_sql, 5, values, &r, err);
    if (rc == 0 && n == 0 && PQntuples(r) == 1 && !PQgetisnull(r, 0, MISS))
        rc = err_set(err, ENOENT, "database \"%s\" has no tables", server->database);
    if (rc == 0)
        rc = take_relations(c, r, patterns, err);
    PQclear(r);
    buf_free(&schemas);
    buf_free(&names);
    buf_free(&exact);
    return rc;
}

int pg_catalog_read(struct pg_conn *conn, const struct pg_server *server,
                    const struct pg_pattern *patterns, size_t npatterns, bool exact_sizes,
                    struct pg_catalog **catalog, struct err *err)
{
    struct pg_catalog *c = mem_alloc(sizeof(*c));
    int rc = read_relations(conn, server, patterns, npatterns, exact_sizes, c, err);

    if (rc == 0)
        rc = read_columns(conn, c, err);
    if (rc == 0)
        *catalog = c;
    else
        pg_catalog_free(c);
    return rc;
}

static void relation_free(struct pg_relation *r)
{
    free(r->schema);
    free(r->name);
}

void pg_catalog_free(struct pg_catalog *c)
{
    size_t i, k;

    if (!c)
        return;
    for (i = 0; i < c->ntables; i++) {
        struct pg_table *t = &c->tables[i];

        relation_free(&t->rel);
        for (k = 0; k < t->ncolumns; k++)
            free(t->columns[k].name);
        for (k = 0; k < t->nleaves; k++)
            relation_free(&t->leaves[k]);
        free(t->columns);
        free(t->leaves);
    }
    for (i = 0; i < c->nskipped; i++)
        free(c->skipped[i]);
    free(c->skipped);
    free(c->tables);
    free(c);
}

static bool same_relation(const struct pg_relation *a, const struct pg_relation *b)
{
    return a->oid == b->oid && a->kind == b->kind && strcmp(a->schema, b->schema) == 0 &&
           strcmp(a->name, b->name) == 0 && a->readable == b->readable &&
           a->row_security == b->row_security && !a->refreshed && !b->refreshed;
}

static bool same_table(const struct pg_table *a, const struct pg_table *b)
{
    size_t i;

    if (!same_relation(&a->rel, &b->rel) || a->ncolumns != b->ncolumns || a->nleaves != b->nleaves)
        return false;
    for (i = 0; i < a->ncolumns; i++)
        if (strcmp(a->columns[i].name, b->columns[i].name) != 0 ||
            a->columns[i].type != b->columns[i].type ||
            a->columns[i].generated != b->columns[i].generated)
            return false;
    for (i = 0; i < a->nleaves; i++)
        if (!same_relation(&a->leaves[i], &b->leaves[i]))
            return false;
    return true;
}

bool pg_catalog_same(const struct pg_catalog *a, const struct pg_catalog *b)
{
    size_t i;

    if (a->ntables != b->ntables)
        return false;
    for (i = 0; i < a->ntables; i++)
        if (!same_table(&a->tables[i], &b->tables[i]))
            return false;
    return true;
}

size_t pg_catalog_count_relations(const struct pg_catalog *c)
{
    size_t n = 0, i;

    for (i = 0; i < c->ntables; i++)
        n += 1 + c->tables[i].nleaves;
    return n;
}
