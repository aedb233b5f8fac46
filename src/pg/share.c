#include "pg/share.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/internal.h"

#define TABLES "{share,share_table,share_chunk}"

/* ---- the tables ---- */

static const char make_sql[] =
    "CREATE TABLE asofs.share (view text PRIMARY KEY, run bigint NOT NULL, snapshot text NOT NULL,"
    " system_identifier text NOT NULL, database text NOT NULL, encoding text NOT NULL,"
    " timezone text NOT NULL);"
    "CREATE TABLE asofs.share_table (view text, run bigint, number integer, schema text NOT NULL,"
    " name text NOT NULL, kind text NOT NULL, columns text[] NOT NULL, generated boolean[] NOT "
    "NULL,"
    " skip boolean[] NOT NULL, leaf_schemas text[] NOT NULL, leaf_names text[] NOT NULL, filter "
    "text,"
    " target_schema text NOT NULL, format text NOT NULL, opened_at timestamptz,"
    " PRIMARY KEY (view, run, number));"
    "CREATE TABLE asofs.share_chunk (view text, run bigint, chunk integer, number integer NOT NULL,"
    " leaf integer NOT NULL, from_block bigint NOT NULL, until_block bigint NOT NULL,"
    " weight bigint NOT NULL, PRIMARY KEY (view, run, chunk))";

enum { THERE, MAY_CREATE, MAY_WRITE, ROLE };

static const char look_sql[] =
    "SELECT pg_catalog.count(DISTINCT c.oid) = 3,"
    " pg_catalog.has_schema_privilege('asofs', 'CREATE'),"
    " pg_catalog.bool_and(pg_catalog.has_table_privilege(c.oid, p)),"
    " pg_catalog.quote_ident(current_user)"
    " FROM pg_catalog.unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) p,"
    " pg_catalog.unnest($1::name[]) t"
    " LEFT JOIN pg_catalog.pg_class c ON c.relname = t AND c.relkind = 'r' AND c.relnamespace ="
    "  (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'asofs')";

static int look_at_tables(struct pg_conn *conn, struct pg_answer **a, struct err *err)
{
    static const struct pg_wanted wanted = {"bbBt", 1, 1};
    const char *tables = TABLES;

    return pg_ask(conn, look_sql, 1, &tables, &wanted, a, err);
}

static int refuse_tables(const struct pg_answer *a, const char *grant, struct err *err)
{
    return err_set(err, EACCES, "its tables in schema \"asofs\" may not be %s TO %s", grant,
                   pg_text(a, 0, ROLE));
}

static int make_tables(struct pg_conn *conn, struct err *err)
{
    struct pg_answer *a = NULL;
    int rc = look_at_tables(conn, &a, err);

    if (rc == 0 && !pg_true(a, 0, THERE))
        rc = pg_true(a, 0, MAY_CREATE)
                 ? pg_run(conn, make_sql, err)
                 : refuse_tables(a, "made: GRANT CREATE ON SCHEMA asofs", err);
    else if (rc == 0 && !pg_true(a, 0, MAY_WRITE))
        rc = refuse_tables(a, "written: GRANT ALL ON ALL TABLES IN SCHEMA asofs", err);
    pg_answer_free(a);
    return rc < 0 ? rc : pg_record_check_plain(conn, TABLES, err);
}

/* ---- writing ---- */

enum { P_NAME, P_RUN, P_FIRST, P_MOST = 14 };

struct lists { /* parameters: what is the same for all, then an array literal for each column */
    char run[24];
    struct buf b[P_MOST];
    const char *values[P_MOST];
};

static void begin_lists(struct lists *l, const char *name, int64_t run)
{
    int i;

    *l = (struct lists){0};
    snprintf(l->run, sizeof(l->run), "%lld", (long long)run);
    l->values[P_NAME] = name;
    l->values[P_RUN] = l->run;
    for (i = P_FIRST; i < P_MOST; i++)
        buf_putc(&l->b[i], '{');
}

static void end_lists(struct lists *l)
{
    int i;

    for (i = P_FIRST; i < P_MOST; i++) {
        buf_putc(&l->b[i], '}');
        l->values[i] = l->b[i].data;
    }
}

static void free_lists(struct lists *l)
{
    int i;

    for (i = P_FIRST; i < P_MOST; i++)
        buf_free(&l->b[i]);
}

static void put_number(struct buf *array, uint64_t n)
{
    buf_printf(array, "%s%llu", array->len > 1 ? "," : "", (unsigned long long)n);
}

static void put_truth(struct buf *array, bool b)
{
    pg_put_element(array, b ? "t" : "f");
}

/* An array within an array has the form of a text. */
static void put_array(struct buf *array, struct buf *inner)
{
    buf_putc(inner, '}');
    pg_put_element(array, inner->data);
    buf_free(inner);
}

enum {
    T_SCHEMA = P_FIRST,
    T_NAME,
    T_KIND,
    T_COLUMNS,
    T_GENERATED,
    T_SKIP,
    T_LEAF_SCHEMAS,
    T_LEAF_NAMES,
    T_FILTER,
    T_TARGET,
    T_FORMAT,
    T_PARAMETERS
};

static const char table_sql[] =
    "INSERT INTO asofs.share_table (view, run, number, schema, name, kind, columns, generated, "
    "skip,"
    " leaf_schemas, leaf_names, filter, target_schema, format)"
    " SELECT $1, $2::bigint, t.n - 1, s, a, k, c::text[], g::boolean[], w::boolean[], ls::text[],"
    " ln::text[], f, ts, m FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[],"
    " $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[]) WITH ORDINALITY"
    " AS t(s, a, k, c, g, w, ls, ln, f, ts, m, n)";

static void put_columns(struct lists *l, const struct pg_table *t, const bool *skip)
{
    struct buf names = {0}, generated = {0}, left_out = {0};
    size_t i;

    buf_putc(&names, '{');
    buf_putc(&generated, '{');
    buf_putc(&left_out, '{');
    for (i = 0; i < t->ncolumns; i++) {
        pg_put_element(&names, t->columns[i].name);
        put_truth(&generated, t->columns[i].generated);
        put_truth(&left_out, skip[i]);
    }
    put_array(&l->b[T_COLUMNS], &names);
    put_array(&l->b[T_GENERATED], &generated);
    put_array(&l->b[T_SKIP], &left_out);
}

static void put_leaves(struct lists *l, const struct pg_table *t)
{
    struct buf schemas = {0}, names = {0};
    size_t i;

    buf_putc(&schemas, '{');
    buf_putc(&names, '{');
    for (i = 0; i < t->nleaves; i++) {
        pg_put_element(&schemas, t->leaves[i].schema);
        pg_put_element(&names, t->leaves[i].name);
    }
    put_array(&l->b[T_LEAF_SCHEMAS], &schemas);
    put_array(&l->b[T_LEAF_NAMES], &names);
}

static int write_tables(struct pg_conn *conn, const char *name, const struct pg_share *s,
                        struct err *err)
{
    struct lists l;
    size_t i;
    int rc;

    begin_lists(&l, name, s->run);
    for (i = 0; i < s->catalog->ntables; i++) {
        const struct pg_table *t = &s->catalog->tables[i];
        char kind[2] = {t->rel.kind, 0};

        pg_put_element(&l.b[T_SCHEMA], t->rel.schema);
        pg_put_element(&l.b[T_NAME], t->rel.name);
        pg_put_element(&l.b[T_KIND], kind);
        put_columns(&l, t, s->tables[i].skip);
        put_leaves(&l, t);
        pg_put_element(&l.b[T_FILTER], t->filter);
        pg_put_element(&l.b[T_TARGET], s->tables[i].target_schema);
        pg_put_element(&l.b[T_FORMAT], pg_format_name(s->tables[i].format));
    }
    end_lists(&l);
    rc = pg_run_with(conn, table_sql, T_PARAMETERS, l.values, err);
    free_lists(&l);
    return rc;
}

enum { C_NUMBER = P_FIRST, C_LEAF, C_FROM, C_UNTIL, C_WEIGHT, C_PARAMETERS };

static const char chunk_sql[] =
    "INSERT INTO asofs.share_chunk (view, run, chunk, number, leaf, from_block, until_block, "
    "weight)"
    " SELECT $1, $2::bigint, c.o - 1, n, l, f, u, w FROM unnest($3::integer[], $4::integer[],"
    " $5::bigint[], $6::bigint[], $7::bigint[]) WITH ORDINALITY AS c(n, l, f, u, w, o)";

static int write_chunks(struct pg_conn *conn, const char *name, const struct pg_share *s,
                        struct err *err)
{
    struct lists l;
    size_t k;
    int rc;

    begin_lists(&l, name, s->run);
    for (k = 0; k < s->nchunks; k++) {
        const struct pg_share_chunk *c = &s->chunks[k];

        put_number(&l.b[C_NUMBER], c->table);
        put_number(&l.b[C_LEAF], (uint64_t)(c->leaf + 1));
        put_number(&l.b[C_FROM], c->range.from);
        put_number(&l.b[C_UNTIL], c->range.until);
        put_number(&l.b[C_WEIGHT], c->weight);
    }
    end_lists(&l);
    rc = pg_run_with(conn, chunk_sql, C_PARAMETERS, l.values, err);
    free_lists(&l);
    return rc;
}

static const char forget_sql[] = "WITH a AS (DELETE FROM asofs.share WHERE view = $1),"
                                 " b AS (DELETE FROM asofs.share_table WHERE view = $1)"
                                 " DELETE FROM asofs.share_chunk WHERE view = $1";

static int write_share(struct pg_conn *conn, const char *name, const struct pg_share *s,
                       struct err *err)
{
    char run[24];
    const char *values[] = {name,        run,         s->snapshot_id, s->system_identifier,
                            s->database, s->encoding, s->timezone};

    snprintf(run, sizeof(run), "%lld", (long long)s->run);
    return pg_run_with(conn,
                       "INSERT INTO asofs.share (view, run, snapshot, system_identifier, database,"
                       " encoding, timezone) VALUES ($1, $2, $3, $4, $5, $6, $7)",
                       7, values, err);
}

int pg_share_write(struct pg_conn *conn, const char *name, const struct pg_share *s,
                   struct err *err)
{
    int rc = pg_begin(conn, PG_READ_WRITE, false, PG_ONE_AT_A_TIME, err);

    if (rc == 0)
        rc = make_tables(conn, err);
    if (rc == 0)
        rc = pg_run_with(conn, forget_sql, 1, &name, err);
    if (rc == 0)
        rc = write_share(conn, name, s, err);
    if (rc == 0)
        rc = write_tables(conn, name, s, err);
    if (rc == 0)
        rc = write_chunks(conn, name, s, err);
    return pg_record_end_writing(conn, rc, err);
}

int pg_share_open(struct pg_conn *conn, const char *name, int64_t run, const uint32_t *tables,
                  size_t n, struct err *err)
{
    struct lists l;
    size_t i;
    int rc = pg_begin(conn, PG_READ_WRITE, false, NULL, err);

    begin_lists(&l, name, run);
    for (i = 0; i < n; i++)
        put_number(&l.b[P_FIRST], tables[i]);
    end_lists(&l);
    if (rc == 0)
        rc = pg_run_with(conn,
                         "UPDATE asofs.share_table SET opened_at = pg_catalog.clock_timestamp()"
                         " WHERE view = $1 AND run = $2 AND number = ANY ($3::integer[])",
                         P_FIRST + 1, l.values, err);
    free_lists(&l);
    return pg_record_end_writing(conn, rc, err);
}

int pg_share_withdraw(struct pg_conn *conn, const char *name, struct err *err)
{
    struct pg_answer *a = NULL;
    int rc = pg_begin(conn, PG_READ_WRITE, false, NULL, err);

    if (rc == 0)
        rc = look_at_tables(conn, &a, err);
    if (rc == 0 && pg_true(a, 0, THERE) && pg_true(a, 0, MAY_WRITE))
        rc = pg_run_with(conn, forget_sql, 1, &name, err);
    pg_answer_free(a);
    return pg_record_end_writing(conn, rc, err);
}

/* ---- reading: may it be believed ---- */

/* Names others who own one of the tables, or may write to it. */
static const char others_sql[] =
    "SELECT pg_catalog.string_agg(DISTINCT pg_catalog.format('%s (%s)', coalesce(r.rolname,"
    " 'everybody'), x.name), ', ')"
    " FROM (SELECT c.relname AS name, c.relowner AS role FROM pg_catalog.pg_class c"
    "  WHERE c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'asofs')"
    "  AND c.relname = ANY ($1::name[])"
    "  UNION SELECT c.relname, a.grantee FROM pg_catalog.pg_class c, "
    "pg_catalog.aclexplode(c.relacl) a"
    "  WHERE c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'asofs')"
    "  AND c.relname = ANY ($1::name[]) AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE')) x"
    " LEFT JOIN pg_catalog.pg_roles r ON r.oid = x.role"
    " WHERE r.rolname IS DISTINCT FROM current_user AND NOT coalesce(r.rolsuper, false)";

static int refuse_others(struct pg_conn *conn, struct err *err)
{
    static const struct pg_wanted wanted = {"T", 1, 1};
    const char *tables = TABLES;
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, others_sql, 1, &tables, &wanted, &a, err);

    if (rc == 0 && !pg_is_null(a, 0, 0)) {
        rc = err_set(err, EACCES, "what is to be done could be another's word: %s",
                     pg_text(a, 0, 0));
        err_hint(err, "Join as the role that leads the copy, to which alone the tables share, "
                      "share_table and share_chunk of schema asofs belong");
    }
    pg_answer_free(a);
    return rc;
}

static const char led_sql[] =
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE" PG_HOLDS_NAME("$1") ")";

static int refuse_unled(struct pg_conn *conn, const char *name, struct err *err)
{
    static const struct pg_wanted wanted = {"b", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, led_sql, 1, &name, &wanted, &a, err);

    if (rc == 0 && !pg_true(a, 0, 0))
        rc = err_set(err, ENOENT, "no copy with the name \"%s\" is under way", name);
    pg_answer_free(a);
    return rc;
}

static int refuse_alone(const char *name, struct err *err)
{
    return err_set(err, EAGAIN,
                   "the copy \"%s\" that is under way is none that can be joined: it has to be one "
                   "with --direct, of a running server whose snapshot is exported",
                   name);
}

static int check_shared(struct pg_conn *conn, const char *name, struct err *err)
{
    struct pg_answer *a = NULL;
    int rc = pg_record_check_there(conn, err);

    if (rc == 0)
        rc = refuse_unled(conn, name, err);
    if (rc == 0)
        rc = look_at_tables(conn, &a, err);
    if (rc == 0 && !pg_true(a, 0, THERE))
        rc = refuse_alone(name, err);
    if (rc == 0)
        rc = refuse_others(conn, err);
    if (rc == 0)
        rc = pg_record_check_plain(conn, "{table,chunk,share,share_table,share_chunk}", err);
    pg_answer_free(a);
    return rc;
}

/* ---- reading ---- */

static int refuse_nonsense(struct err *err)
{
    return err_set(err, EPROTO, "what schema \"asofs\" says of the copy makes no sense");
}

static int read_share(struct pg_conn *conn, const char *name, struct pg_share *s, struct err *err)
{
    static const struct pg_wanted wanted = {"nttttt", 0, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn,
                    "SELECT run, snapshot, system_identifier, database, encoding, timezone"
                    " FROM asofs.share WHERE view = $1 AND run ="
                    " (SELECT pg_catalog.max(run) FROM asofs.\"table\" WHERE view = $1)",
                    1, &name, &wanted, &a, err);

    if (rc == 0 && !pg_rows(a))
        rc = refuse_alone(name, err);
    if (rc == 0) {
        s->run = (int64_t)pg_number(a, 0, 0);
        s->snapshot_id = mem_strdup(pg_text(a, 0, 1));
        s->system_identifier = mem_strdup(pg_text(a, 0, 2));
        s->database = mem_strdup(pg_text(a, 0, 3));
        s->encoding = mem_strdup(pg_text(a, 0, 4));
        s->timezone = mem_strdup(pg_text(a, 0, 5));
    }
    pg_answer_free(a);
    return rc;
}

static bool read_format(const char *text, enum pg_format *format)
{
    int i;

    for (i = 0; pg_format_names[i]; i++)
        if (strcmp(pg_format_names[i], text) == 0) {
            *format = (enum pg_format)i;
            return true;
        }
    return false;
}

enum { NUMBER, SCHEMA, NAME, KIND, FILTER, TARGET, FORMAT, NCOLUMNS, NLEAVES };

static bool take_table(const struct pg_answer *a, size_t i, struct pg_share *s)
{
    struct pg_table *t = &s->catalog->tables[i];
    const char *kind = pg_text(a, i, KIND);

    t->rel.kind = kind[0];
    t->rel.schema = mem_strdup(pg_text(a, i, SCHEMA));
    t->rel.name = mem_strdup(pg_text(a, i, NAME));
    t->filter = pg_is_null(a, i, FILTER) ? NULL : mem_strdup(pg_text(a, i, FILTER));
    t->filter_where = mem_strdup("the list of the copy");
    t->ncolumns = pg_number(a, i, NCOLUMNS);
    t->columns = mem_array(t->ncolumns + 1, sizeof(*t->columns));
    t->nleaves = pg_number(a, i, NLEAVES);
    t->leaves = mem_array(t->nleaves + 1, sizeof(*t->leaves));
    s->tables[i].target_schema = mem_strdup(pg_text(a, i, TARGET));
    s->tables[i].skip = mem_array(t->ncolumns + 1, sizeof(bool));
    return pg_number(a, i, NUMBER) == i && strlen(kind) == 1 && strchr("rmp", kind[0]) &&
           read_format(pg_text(a, i, FORMAT), &s->tables[i].format);
}

static int read_tables(struct pg_conn *conn, const char *const *values, struct pg_share *s,
                       struct err *err)
{
    static const struct pg_wanted wanted = {"ntttTttnn", 0, PG_MANY};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn,
                    "SELECT number, schema, name, kind, filter, target_schema, format,"
                    " pg_catalog.cardinality(columns), pg_catalog.cardinality(leaf_names)"
                    " FROM asofs.share_table WHERE view = $1 AND run = $2 ORDER BY number",
                    2, values, &wanted, &a, err);
    size_t i;

    if (rc < 0)
        return rc;
    s->catalog->ntables = pg_rows(a);
    s->catalog->tables = mem_array(pg_rows(a) + 1, sizeof(*s->catalog->tables));
    s->tables = mem_array(pg_rows(a) + 1, sizeof(*s->tables));
    for (i = 0; i < pg_rows(a); i++)
        if (!take_table(a, i, s))
            rc = -EPROTO;
    pg_answer_free(a);
    return rc < 0 ? refuse_nonsense(err) : 0;
}

/* Rows (table, number within it from 1, …) of what its tables have several of. */
static int read_parts(struct pg_conn *conn, const char *sql, const struct pg_wanted *wanted,
                      const char *const *values, struct pg_share *s,
                      bool (*take)(struct pg_share *s, size_t table, size_t part,
                                   const struct pg_answer *a, size_t row),
                      struct err *err)
{
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, sql, 2, values, wanted, &a, err);
    size_t row, n = rc == 0 ? pg_rows(a) : 0;

    for (row = 0; row < n && rc == 0; row++)
        if (pg_number(a, row, 0) >= s->catalog->ntables || !pg_number(a, row, 1) ||
            !take(s, pg_number(a, row, 0), pg_number(a, row, 1) - 1, a, row))
            rc = refuse_nonsense(err);
    pg_answer_free(a);
    return rc;
}

static bool take_column(struct pg_share *s, size_t table, size_t part, const struct pg_answer *a,
                        size_t row)
{
    struct pg_table *t = &s->catalog->tables[table];

    if (part >= t->ncolumns || t->columns[part].name)
        return false;
    t->columns[part].name = mem_strdup(pg_text(a, row, 2));
    t->columns[part].generated = pg_true(a, row, 3);
    s->tables[table].skip[part] = pg_true(a, row, 4);
    return true;
}

static bool take_leaf(struct pg_share *s, size_t table, size_t part, const struct pg_answer *a,
                      size_t row)
{
    struct pg_table *t = &s->catalog->tables[table];

    if (part >= t->nleaves || t->leaves[part].name)
        return false;
    t->leaves[part].kind = 'r';
    t->leaves[part].schema = mem_strdup(pg_text(a, row, 2));
    t->leaves[part].name = mem_strdup(pg_text(a, row, 3));
    return true;
}

/* Every column and leaf has come. */
static int check_parts(const struct pg_share *s, struct err *err)
{
    size_t i, k;

    for (i = 0; i < s->catalog->ntables; i++) {
        const struct pg_table *t = &s->catalog->tables[i];

        for (k = 0; k < t->ncolumns; k++)
            if (!t->columns[k].name)
                return refuse_nonsense(err);
        for (k = 0; k < t->nleaves; k++)
            if (!t->leaves[k].name)
                return refuse_nonsense(err);
    }
    return 0;
}

/* It is the next of its table, or the first of the next table. */
static bool take_chunk(const struct pg_answer *a, size_t k, struct pg_share *s)
{
    struct pg_share_chunk *c = &s->chunks[k];
    uint64_t table = pg_number(a, k, 1), leaf = pg_number(a, k, 2);
    uint64_t expected = k ? c[-1].table : 0;

    if (pg_number(a, k, 0) != k || table >= s->catalog->ntables ||
        leaf > s->catalog->tables[table].nleaves)
        return false;
    *c = (struct pg_share_chunk){.table = (uint32_t)table,
                                 .leaf = (int32_t)leaf - 1,
                                 .range = {pg_number(a, k, 3), pg_number(a, k, 4)},
                                 .weight = pg_number(a, k, 5)};
    return table == expected || (k && table == expected + 1);
}

static int read_chunks(struct pg_conn *conn, const char *const *values, struct pg_share *s,
                       struct err *err)
{
    static const struct pg_wanted wanted = {"nnnnnn", 0, PG_MANY};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn,
                    "SELECT chunk, number, leaf, from_block, until_block, weight"
                    " FROM asofs.share_chunk WHERE view = $1 AND run = $2 ORDER BY chunk",
                    2, values, &wanted, &a, err);
    size_t k;

    if (rc < 0)
        return rc;
    s->nchunks = pg_rows(a);
    s->chunks = mem_array(s->nchunks + 1, sizeof(*s->chunks));
    for (k = 0; k < s->nchunks && rc == 0; k++)
        if (!take_chunk(a, k, s))
            rc = refuse_nonsense(err);
    pg_answer_free(a);
    if (rc == 0 && (s->nchunks ? s->chunks[s->nchunks - 1].table + 1 : 0) != s->catalog->ntables)
        rc = refuse_nonsense(err);
    return rc;
}

static const char columns_sql[] =
    "SELECT t.number, c.o, c.name, c.generated, c.skip FROM asofs.share_table t,"
    " unnest(t.columns, t.generated, t.skip) WITH ORDINALITY AS c(name, generated, skip, o)"
    " WHERE t.view = $1 AND t.run = $2";

static const char leaves_sql[] =
    "SELECT t.number, l.o, l.schema, l.name FROM asofs.share_table t,"
    " unnest(t.leaf_schemas, t.leaf_names) WITH ORDINALITY AS l(schema, name, o)"
    " WHERE t.view = $1 AND t.run = $2";

static int read_all(struct pg_conn *conn, const char *name, struct pg_share *s, struct err *err)
{
    static const struct pg_wanted columns = {"nntbb", 0, PG_MANY}, leaves = {"nntt", 0, PG_MANY};
    char run[24];
    const char *values[] = {name, run};
    int rc = read_share(conn, name, s, err);

    snprintf(run, sizeof(run), "%lld", (long long)s->run);
    if (rc == 0)
        rc = read_tables(conn, values, s, err);
    if (rc == 0)
        rc = read_parts(conn, columns_sql, &columns, values, s, take_column, err);
    if (rc == 0)
        rc = read_parts(conn, leaves_sql, &leaves, values, s, take_leaf, err);
    if (rc == 0)
        rc = check_parts(s, err);
    return rc < 0 ? rc : read_chunks(conn, values, s, err);
}

int pg_share_read(struct pg_conn *conn, const char *name, struct pg_share **share, struct err *err)
{
    struct pg_share *s = mem_alloc(sizeof(*s));
    int rc = pg_begin(conn, PG_READ_ONLY, true, NULL, err);

    s->catalog = mem_alloc(sizeof(*s->catalog));
    if (rc == 0)
        rc = check_shared(conn, name, err);
    if (rc == 0)
        rc = read_all(conn, name, s, err);
    pg_rollback(conn);
    if (rc < 0) {
        pg_share_free(s);
        s = NULL;
    }
    *share = s;
    return rc;
}

void pg_share_free(struct pg_share *s)
{
    size_t i;

    if (!s)
        return;
    for (i = 0; s->tables && i < s->catalog->ntables; i++) {
        free(s->tables[i].target_schema);
        free(s->tables[i].skip);
    }
    pg_catalog_free(s->catalog);
    free(s->snapshot_id);
    free(s->system_identifier);
    free(s->database);
    free(s->encoding);
    free(s->timezone);
    free(s->tables);
    free(s->chunks);
    free(s);
}

/* ---- looking ---- */

/* What is committed late has an older time than its place. */
static const char state_sql[] =
    "SELECT EXISTS (SELECT FROM asofs.share WHERE view = $1 AND run = $2)"
    " AND EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE" PG_HOLDS_NAME(
        "$1") "),"
              " (SELECT pg_catalog.bool_and(loaded_at IS NOT NULL) FROM asofs.\"table\""
              "  WHERE view = $1 AND run = $2),"
              " (pg_catalog.clock_timestamp() - interval '1 minute')::text";

static int look_at_state(struct pg_conn *conn, const char *const *values,
                         struct pg_share_look *look, char since[64], struct err *err)
{
    static const struct pg_wanted wanted = {"bBt", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, state_sql, 2, values, &wanted, &a, err);

    if (rc == 0) {
        look->there = pg_true(a, 0, 0);
        look->loaded = pg_true(a, 0, 1);
        snprintf(since, 64, "%s", pg_text(a, 0, 2));
    }
    pg_answer_free(a);
    return rc;
}

static int tell_each(struct pg_conn *conn, const char *sql, int n, const char *const *values,
                     void (*tell)(void *arg, uint32_t number), void *arg, struct err *err)
{
    static const struct pg_wanted wanted = {"n", 0, PG_MANY};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, sql, n, values, &wanted, &a, err);
    size_t i;

    for (i = 0; rc == 0 && i < pg_rows(a); i++)
        tell(arg, (uint32_t)pg_number(a, i, 0));
    pg_answer_free(a);
    return rc;
}

int pg_share_look(struct pg_conn *conn, const char *name, int64_t run, struct pg_share_look *look,
                  struct err *err)
{
    char text[24], since[64] = "";
    const char *values[] = {name, text, *look->since ? look->since : NULL};
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);

    snprintf(text, sizeof(text), "%lld", (long long)run);
    if (rc == 0)
        rc = look_at_state(conn, values, look, since, err);
    if (rc == 0)
        rc = tell_each(conn,
                       "SELECT number FROM asofs.share_table WHERE view = $1 AND run = $2"
                       " AND opened_at IS NOT NULL",
                       2, values, look->opened, look->arg, err);
    if (rc == 0)
        rc = tell_each(conn,
                       "SELECT chunk FROM asofs.chunk WHERE view = $1 AND run = $2 AND chunk >= 0"
                       " AND done_at >= coalesce($3::timestamptz, '-infinity')",
                       3, values, look->done, look->arg, err);
    pg_rollback(conn);
    if (rc == 0)
        memcpy(look->since, since, sizeof(since));
    return rc;
}
