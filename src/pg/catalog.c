#include "pg/catalog.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/internal.h"

/*
 * $1, $2, $3: schema expressions (NULL: visible on the search path), name expressions, kinds of
 * pattern: 'e' exact, 'w' with wildcards, 'x' excluding; as arrays. $4: the schemas of the user's
 * search path. $5: exact sizes.
 *
 * pg_relation_size() takes a lock and waits for it, so before our locks are held the size is
 * relpages. A partition that is being detached is no longer part of what a new query sees. One row
 * for each relation, with `root` = itself or the partitioned table it is a leaf of. A pattern that
 * matched nothing gives a row with oid NULL.
 *
 * LOCK TABLE refuses materialized views, so they are locked after the snapshot was taken; a REFRESH
 * in between is seen by the file node that is current (pg_relation_filenode) being another than the
 * snapshot's.
 */
static const char relations_sql[] =
    "WITH RECURSIVE pattern AS ("
    "  SELECT p.nsp, p.rel, p.kind = 'e' AS exact, p.kind = 'x' AS exclude, p.no FROM ROWS FROM"
    "    (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[]),"
    "     pg_catalog.unnest($3::pg_catalog.text[])) WITH ORDINALITY AS p(nsp, rel, kind, no)"
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
    "    pg_catalog.array_agg(p.no) FILTER (WHERE NOT p.exclude) AS patterns,"
    "    pg_catalog.bool_or(p.exclude) AS exclude FROM usable u JOIN pattern p"
    "    ON u.relname COLLATE pg_catalog.\"default\" ~ p.rel AND CASE WHEN p.nsp IS NULL THEN "
    "u.visible"
    "      ELSE u.nspname COLLATE pg_catalog.\"default\" ~ p.nsp END"
    "  WHERE p.exact OR p.exclude OR (u.relkind IN ('r', 'p', 'm', 'f') AND NOT u.relispartition)"
    "  GROUP BY u.oid, u.relkind"
    "), chosen AS ("
    "  SELECT h.oid, h.relkind, h.exact, h.patterns FROM hit h"
    "  WHERE NOT h.exclude AND h.patterns IS NOT NULL"
    /* What is known of the root goes along, so that nothing has to be joined to it again. */
    "), part(root, oid, exact, patterns) AS ("
    "  SELECT h.oid, h.oid, h.exact, h.patterns FROM chosen h WHERE h.relkind = 'p'"
    "  UNION ALL SELECT p.root, i.inhrelid, p.exact, p.patterns FROM part p"
    "    JOIN pg_catalog.pg_inherits i ON i.inhparent = p.oid AND NOT i.inhdetachpending"
    "), member AS ("
    "  SELECT h.oid AS root, h.oid, h.exact, h.patterns FROM chosen h"
    "  UNION ALL SELECT p.root, p.oid, p.exact, p.patterns FROM part p WHERE p.oid <> p.root"
    ")"
    " SELECT m.root, c.oid, c.relkind, n.nspname, c.relname,"
    "  coalesce(pg_catalog.has_table_privilege(c.oid, 'SELECT')"
    "    AND pg_catalog.has_schema_privilege(n.oid, 'USAGE'), false),"
    "  pg_catalog.row_security_active(c.oid), m.exact, coalesce(a.amname = 'heap', false),"
    "  CASE WHEN c.relkind NOT IN ('r', 'm') THEN 0"
    "    WHEN $5::pg_catalog.bool THEN pg_catalog.pg_relation_size(c.oid)"
    "    ELSE c.relpages::pg_catalog.int8 * b.size END,"
    "  CASE WHEN c.relkind NOT IN ('r', 'm') OR c.reltoastrelid = 0 THEN 0"
    "    WHEN $5::pg_catalog.bool THEN pg_catalog.pg_relation_size(c.reltoastrelid)"
    "    ELSE t.relpages::pg_catalog.int8 * b.size END,"
    "  b.size, CASE WHEN c.relpersistence = 'u' AND (pg_catalog.pg_is_in_recovery()"
    /* said by a private server (private.c): its recovery has emptied them */
    "      OR pg_catalog.current_setting('asofs.recovered', true) = 'on') THEN 'unlogged'"
    "    WHEN c.relkind <> 'm' THEN '' WHEN NOT c.relispopulated THEN 'empty'"
    "    WHEN $5::pg_catalog.bool AND pg_catalog.pg_relation_filenode(c.oid)"
    "      IS DISTINCT FROM c.relfilenode THEN 'refreshed' ELSE '' END,"
    "  pg_catalog.array_to_string(m.patterns, ' '),"
    "  coalesce(pg_catalog.has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE'), false),"
    "  NULL::pg_catalog.int8"
    " FROM member m JOIN pg_catalog.pg_class c ON c.oid = m.oid"
    "  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    "  LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam"
    "  LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid,"
    "  (SELECT pg_catalog.current_setting('block_size')::pg_catalog.int8) AS b(size)"
    " WHERE c.relkind <> 'p' OR c.oid = m.root"
    " UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, "
    "NULL, NULL, NULL, p.no"
    "  FROM pattern p WHERE NOT p.exclude AND NOT EXISTS (SELECT FROM hit h WHERE p.no = ANY "
    "(h.patterns))"
    " ORDER BY 16 NULLS FIRST, 1, 2";

enum {
    ROOT,
    OID,
    KIND,
    SCHEMA,
    NAME,
    READABLE,
    POLICY,
    EXACT,
    HEAP,
    BYTES,
    TOAST,
    BLOCK,
    STATE,
    PATTERNS,
    LOCKABLE,
    MISS
};

static const char columns_sql[] =
    "SELECT a.attrelid, a.attname, a.atttypid, a.attgenerated <> ''"
    " FROM pg_catalog.pg_attribute a WHERE a.attrelid = ANY ($1::pg_catalog.oid[])"
    " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum";

static char every_table[] = "every table"; /* the `where` of the entry that stands for no entries */

/* Problems, collected so that all are told at once; each under its heading. */
struct problems {
    struct buf missing, not_table, foreign, unlogged, empty, denied, policy;
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

static bool has_state(const PGresult *r, int row, const char *state)
{
    return strcmp(PQgetvalue(r, row, STATE), state) == 0;
}

static bool has_no_rows_to_show(const PGresult *r, int row)
{
    return PQgetvalue(r, row, KIND)[0] == 'f' || has_state(r, row, "empty") ||
           has_state(r, row, "unlogged");
}

/* What a wildcard matches but has no rows to show is left out, and told; named exactly it is
 * refused. */
static bool is_skipped(const PGresult *r, int row)
{
    return get_oid(r, row, ROOT) == get_oid(r, row, OID) && !is_true(r, row, EXACT) &&
           has_no_rows_to_show(r, row);
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
    else if (has_state(r, row, "unlogged"))
        add_problem(&p->unlogged, schema, name);
    else if (has_state(r, row, "empty"))
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
    tell(err, &p->not_table, "not a table",
         "views and sequences have no place in a view of tables");
    tell(err, &p->foreign, "a foreign table is not part of the frozen state", "leave it out");
    tell(err, &p->unlogged, "an unlogged table has no rows on a standby or at a past moment",
         "leave it out, or take the primary as source");
    tell(err, &p->empty, "a materialized view was never filled",
         "REFRESH MATERIALIZED VIEW, or leave it out");
    tell(err, &p->denied, "no permission to read",
         "GRANT USAGE on the schema and SELECT on the table");
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
        .lockable = is_true(r, row, LOCKABLE) || PQgetvalue(r, row, KIND)[0] == 'm',
        .row_security = is_true(r, row, POLICY),
        .refreshed = has_state(r, row, "refreshed"),
    };
}

static bool same_columns(const struct pg_selection *a, const struct pg_selection *b)
{
    size_t i;

    if (a->ncolumns != b->ncolumns)
        return false;
    for (i = 0; i < a->ncolumns; i++)
        if (strcmp(a->columns[i], b->columns[i]) != 0)
            return false;
    return true;
}

static bool same_selection(const struct pg_selection *a, const struct pg_selection *b)
{
    const char *x = a->filter ? a->filter : "", *y = b->filter ? b->filter : "";

    return same_columns(a, b) && strcmp(x, y) == 0;
}

/* The next of the numbers in *list (from 1, separated by spaces), or NULL at the end. */
static const struct pg_selection *next_entry(const struct pg_selection *entries, const char **list)
{
    char *end;
    unsigned long n = strtoul(*list, &end, 10);

    if (end == *list)
        return NULL;
    *list = end;
    return &entries[n - 1];
}

/* An entry that names the table exactly stands above wildcards; among equals all must say the same.
 */
static int select_entry(struct pg_table *t, const struct pg_selection *entries, const char *list,
                        struct err *err)
{
    const struct pg_selection *best = NULL, *e;
    const char *p = list;

    while ((e = next_entry(entries, &p)))
        if (!best || (e->pattern.exact && !best->pattern.exact))
            best = e;
    for (p = list; (e = next_entry(entries, &p));)
        if (e->pattern.exact == best->pattern.exact && !same_selection(best, e))
            return err_set(err, EINVAL, "%s.%s is selected in different ways by %s and %s",
                           t->rel.schema, t->rel.name, best->where, e->where);
    t->selection = best;
    return 0;
}

/* Rows come ordered by root and then OID, so a table's rows stand together; its own may stand among
 * them. */
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

/* That "every table" is none is told by who finds the list empty. */
static void note_missing(struct problems *p, struct pg_catalog *c,
                         const struct pg_selection *entries, size_t number, bool may_miss)
{
    if (may_miss)
        c->missed[c->nmissed++] = number;
    else if (entries[number].where != every_table)
        add_problem(&p->missing, "", entries[number].pattern.text);
}

static int take_relations(struct pg_catalog *c, const PGresult *r,
                          const struct pg_selection *entries, bool may_miss, struct err *err)
{
    struct problems problems = {0};
    int row, rows = PQntuples(r);

    c->tables = mem_array((size_t)rows, sizeof(*c->tables));
    c->skipped = mem_array((size_t)rows, sizeof(*c->skipped));
    c->missed = mem_array((size_t)rows, sizeof(*c->missed));
    for (row = 0; row < rows; row++) {
        if (!PQgetisnull(r, row, MISS)) {
            note_missing(&problems, c, entries, (size_t)get_size(r, row, MISS) - 1, may_miss);
            continue;
        }
        note_problems(&problems, c, r, row);
        if (!is_skipped(r, row))
            add_row(c, r, row);
    }
    return tell_problems(&problems, err);
}

/* Which entry chose each table; a table's own row is the one whose OID is its root. */
static int take_selections(struct pg_catalog *c, const PGresult *r,
                           const struct pg_selection *entries, struct err *err)
{
    int row, rows = PQntuples(r), rc = 0;
    size_t i = 0;

    for (row = 0; row < rows && rc == 0; row++) {
        if (get_oid(r, row, ROOT) != get_oid(r, row, OID) || is_skipped(r, row))
            continue;
        rc = select_entry(&c->tables[i++], entries, PQgetvalue(r, row, PATTERNS), err);
    }
    return rc;
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

/* Reduce the columns to those the entry names, in its order. */
static int choose_columns(struct pg_table *t, const struct pg_selection *e, struct err *err)
{
    struct pg_column *chosen = mem_array(e->ncolumns, sizeof(*chosen));
    size_t i, k, n = 0;

    for (i = 0; i < e->ncolumns; i++) {
        for (k = 0; k < t->ncolumns && strcmp(t->columns[k].name, e->columns[i]) != 0; k++)
            ;
        if (k == t->ncolumns) {
            err_set(err, EINVAL, "%s: %s.%s has no column \"%s\"", e->where, t->rel.schema,
                    t->rel.name, e->columns[i]);
            break;
        }
        chosen[n] = t->columns[k];
        chosen[n++].name = mem_strdup(t->columns[k].name);
    }
    for (k = 0; k < t->ncolumns; k++)
        free(t->columns[k].name);
    free(t->columns);
    t->columns = chosen;
    t->ncolumns = n;
    return n < e->ncolumns ? -EINVAL : 0;
}

static int apply_selections(struct pg_catalog *c, struct err *err)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < c->ntables && rc == 0; i++) {
        struct pg_table *t = &c->tables[i];

        if (t->selection->ncolumns)
            rc = choose_columns(t, t->selection, err);
        t->filter = mem_strdup(t->selection->filter);
        t->filter_where = mem_strdup(t->selection->where);
    }
    return rc;
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
    if (rc == 0) {
        take_columns(c, r);
        rc = apply_selections(c, err);
    }
    PQclear(r);
    buf_free(&oids);
    qsort(c->tables, c->ntables, sizeof(*c->tables), by_name);
    return rc;
}

/* The entries as the arrays that relations_sql takes. */
struct entry_arrays {
    struct buf schemas, names, kinds;
};

static void put_entry(struct entry_arrays *a, const struct pg_selection *e)
{
    put_element(&a->schemas, e->pattern.schema);
    put_element(&a->names, e->pattern.name);
    put_element(&a->kinds, e->exclude ? "x" : e->pattern.exact ? "e" : "w");
}

static void end_arrays(struct entry_arrays *a)
{
    buf_putc(&a->schemas, '}');
    buf_putc(&a->names, '}');
    buf_putc(&a->kinds, '}');
}

static int query_relations(struct pg_conn *conn, const struct pg_server *server,
                           const struct pg_selection *entries, size_t n, bool exact_sizes,
                           PGresult **r, struct err *err)
{
    struct entry_arrays a = {0};
    const char *values[5];
    size_t i;
    int rc;

    buf_putc(&a.schemas, '{');
    buf_putc(&a.names, '{');
    buf_putc(&a.kinds, '{');
    for (i = 0; i < n; i++)
        put_entry(&a, &entries[i]);
    end_arrays(&a);
    values[0] = a.schemas.data;
    values[1] = a.names.data;
    values[2] = a.kinds.data;
    values[3] = server->search_path;
    values[4] = exact_sizes ? "t" : "f";
    rc = pg_run(conn, relations_sql, 5, values, r, err);
    buf_free(&a.schemas);
    buf_free(&a.names);
    buf_free(&a.kinds);
    return rc;
}

static bool includes_nothing(const struct pg_selection *entries, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (!entries[i].exclude)
            return false;
    return true;
}

/* The caller's entries, with "everything" behind them when they include nothing. */
static struct pg_selection *complete_entries(const struct pg_selection *entries, size_t *n)
{
    static const struct pg_selection everything = {
        .pattern = {.text = (char *)(uintptr_t) "*.*",
                    .schema = (char *)(uintptr_t) "^(.*)$",
                    .name = (char *)(uintptr_t) "^(.*)$"},
        .where = every_table};
    struct pg_selection *all = mem_array(*n + 1, sizeof(*all));

    if (*n)
        memcpy(all, entries, *n * sizeof(*all));
    if (includes_nothing(entries, *n))
        all[(*n)++] = everything;
    return all;
}

static int read_relations(struct pg_conn *conn, const struct pg_server *server,
                          const struct pg_selection *entries, size_t n,
                          const struct pg_catalog_how *how, struct pg_catalog *c, struct err *err)
{
    PGresult *r = NULL;
    int rc = query_relations(conn, server, entries, n, how->exact_sizes, &r, err);

    if (rc == 0)
        rc = take_relations(c, r, entries, how->may_miss, err);
    if (rc == 0 && c->ntables == 0 && !how->may_miss)
        rc = err_set(err, ENOENT, "database \"%s\" has no tables that could be taken",
                     server->database);
    if (rc == 0)
        rc = take_selections(c, r, entries, err);
    PQclear(r);
    return rc;
}

int pg_catalog_read(struct pg_conn *conn, const struct pg_server *server,
                    const struct pg_selection *entries, size_t n, const struct pg_catalog_how *how,
                    struct pg_catalog **catalog, struct err *err)
{
    struct pg_catalog *c = mem_alloc(sizeof(*c));
    struct pg_selection *all = complete_entries(entries, &n);
    int rc = read_relations(conn, server, all, n, how, c, err);

    if (rc == 0)
        rc = read_columns(conn, c, err);
    free(all);
    if (rc == 0)
        *catalog = c;
    else
        pg_catalog_free(c);
    return rc;
}

static int check_filter(struct pg_conn *conn, const struct pg_table *t, struct err *err)
{
    struct buf sql = {0};
    int rc;

    buf_puts(&sql, "SELECT FROM ONLY ");
    rc = pg_put_relation(conn, &sql, t->rel.schema, t->rel.name, err);
    buf_puts(&sql, " AS "); /* as where the filter is used (pg/copysql.c) */
    if (rc == 0)
        rc = pg_put_identifier(conn, &sql, t->rel.name, err);
    buf_printf(&sql, " WHERE (%s)", t->filter);
    if (rc == 0)
        rc = pg_prepare(conn, sql.data, err);
    buf_free(&sql);
    return rc < 0 ? err_prefix(err, "%s: the filter of %s.%s", t->filter_where, t->rel.schema,
                               t->rel.name)
                  : 0;
}

int pg_filter_check(struct pg_conn *conn, const struct pg_catalog *c, struct err *err)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < c->ntables && rc == 0; i++)
        if (c->tables[i].filter)
            rc = check_filter(conn, &c->tables[i], err);
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
        free(t->filter);
        free(t->filter_where);
    }
    for (i = 0; i < c->nskipped; i++)
        free(c->skipped[i]);
    free(c->skipped);
    free(c->missed);
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
