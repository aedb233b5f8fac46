#include "pg/snaptable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/internal.h"
#include "pg/refusals.h"

int pg_second_open(struct pg_conn **conn, const struct pg_target *target,
                   const struct pg_session *session, struct pg_server *server, struct err *err)
{
    struct pg_server s = {0};
    int rc = pg_conn_open(conn, target, session, err);

    if (rc < 0)
        return rc;
    rc = pg_conn_inspect(*conn, &s, err);
    if (rc == 0 && s.in_recovery)
        rc = err_set(err, EROFS, "it is a standby: a copy can only be made into a primary server");
    if (rc < 0) {
        pg_conn_close(*conn);
        *conn = NULL;
    }
    if (rc == 0 && server)
        *server = s;
    else
        pg_server_free(&s);
    return rc;
}

/* ---- the list as parameters ---- */

static void put_names(const struct pg_snaptable *tables, size_t n, char *values[2])
{
    struct buf schemas = {0}, names = {0};
    size_t i;

    buf_putc(&schemas, '{');
    buf_putc(&names, '{');
    for (i = 0; i < n; i++) {
        pg_put_element(&schemas, tables[i].schema);
        pg_put_element(&names, tables[i].name);
    }
    buf_putc(&schemas, '}');
    buf_putc(&names, '}');
    values[0] = buf_steal(&schemas);
    values[1] = buf_steal(&names);
}

#define LISTED                                                                                     \
    "WITH listed AS (SELECT l.i, c.oid, c.relkind FROM unnest($1::text[], $2::text[])"             \
    " WITH ORDINALITY AS l(s, n, i) LEFT JOIN pg_namespace n ON n.nspname = l.s"                   \
    " LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = l.n)"

static int ask_of_list(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n,
                       const char *sql, const struct pg_wanted *wanted, struct pg_answer **a,
                       struct err *err)
{
    char *values[2];
    int rc;

    put_names(tables, n, values);
    rc = pg_ask(conn, sql, 2, (const char *const *)values, wanted, a, err);
    free(values[0]);
    free(values[1]);
    return rc;
}

/* Names that a query on the list gives. */
static int collect_names(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n,
                         const char *sql, struct pg_names *names, struct err *err)
{
    static const struct pg_wanted wanted = {"t", 0, PG_MANY};
    struct pg_answer *a = NULL;
    int rc = ask_of_list(conn, tables, n, sql, &wanted, &a, err);
    size_t i;

    for (i = 0; rc == 0 && i < pg_rows(a); i++)
        pg_names_add(names, pg_text(a, i, 0));
    pg_answer_free(a);
    return rc;
}

/* ---- what may be filled at all ---- */

/* Names come from elsewhere; a superuser could fill the catalog. */
static const char reserved_sql[] =
    "SELECT format('%s.%s', l.s, l.n) FROM unnest($1::text[], $2::text[])"
    " WITH ORDINALITY AS l(s, n, i) WHERE l.s LIKE 'pg\\_%' OR l.s = 'information_schema'"
    " OR l.s = 'asofs' OR l.s ~ '^asofs_.*_(new|old)_[0-9]+$' ORDER BY l.i";

/* ---- what is there, compared ---- */

struct differences {
    struct pg_names reserved, not_there, no_table, columns, generated, types, unknown_types;
};

static void name_table(const struct pg_snaptable *t, struct pg_names *names)
{
    char *name = mem_printf("%s.%s", t->schema, t->name);

    pg_names_add(names, name);
    free(name);
}

static void name_column(const struct pg_snaptable *t, const char *column, struct pg_names *names,
                        const char *why)
{
    char *name = mem_printf("%s.%s.%s%s", t->schema, t->name, column, why);

    pg_names_add(names, name);
    free(name);
}

static struct pg_snapcolumn *find_column(struct pg_snaptable *t, const char *name)
{
    size_t i;

    for (i = 0; i < t->ncolumns; i++)
        if (strcmp(t->columns[i].name, name) == 0)
            return &t->columns[i];
    return NULL;
}

enum { C_TABLE, C_NAME, C_TYPE, C_GENERATED };

/* A column that is there. */
static void compare_column(struct pg_snaptable *t, const struct pg_answer *a, size_t row,
                           bool *found, struct differences *d)
{
    const char *name = pg_text(a, row, C_NAME);
    struct pg_snapcolumn *c = find_column(t, name);

    if (!c && !pg_true(a, row, C_GENERATED)) {
        name_column(t, name, &d->columns, " (only there)");
        return;
    }
    if (!c)
        return;
    found[c - t->columns] = true;
    if (strcmp(c->type, pg_text(a, row, C_TYPE)) != 0) {
        char *why = mem_printf(" (%s, there %s)", c->type, pg_text(a, row, C_TYPE));

        name_column(t, name, &d->types, why);
        free(why);
    }
    c->skip = pg_true(a, row, C_GENERATED);
    if (c->skip && !c->generated)
        name_column(t, name, &d->generated, "");
}

static size_t compare_table(struct pg_snaptable *t, const struct pg_answer *a, size_t row,
                            size_t number, struct differences *d)
{
    bool *found = mem_array(t->ncolumns + 1, sizeof(*found));
    size_t i;

    for (; row < pg_rows(a) && pg_number(a, row, C_TABLE) == number; row++)
        compare_column(t, a, row, found, d);
    for (i = 0; i < t->ncolumns && !t->missing; i++)
        if (!found[i])
            name_column(t, t->columns[i].name, &d->columns, " (missing there)");
    free(found);
    return row;
}

static int compare_columns(struct pg_conn *conn, struct pg_snaptable *tables, size_t n,
                           struct differences *d, struct err *err)
{
    static const struct pg_wanted wanted = {"nttb", 0, PG_MANY};
    struct pg_answer *a = NULL;
    int rc = ask_of_list(conn, tables, n,
                         LISTED " SELECT i, a.attname, format_type(a.atttypid, a.atttypmod),"
                                " a.attgenerated <> '' FROM listed l"
                                " JOIN pg_attribute a ON a.attrelid = l.oid"
                                " WHERE a.attnum > 0 AND NOT a.attisdropped ORDER BY i, a.attnum",
                         &wanted, &a, err);
    size_t i, row = 0;

    if (rc < 0)
        return rc;
    for (i = 0; i < n; i++)
        row = compare_table(&tables[i], a, row, i + 1, d);
    pg_answer_free(a);
    return 0;
}

static int find_tables(struct pg_conn *conn, struct pg_snaptable *tables, size_t n, bool create,
                       struct differences *d, struct err *err)
{
    static const struct pg_wanted wanted = {"T", 0, PG_MANY};
    struct pg_answer *a = NULL;
    int rc = ask_of_list(conn, tables, n, LISTED " SELECT relkind FROM listed ORDER BY i", &wanted,
                         &a, err);
    size_t i;

    if (rc < 0)
        return rc;
    for (i = 0; i < n && i < pg_rows(a); i++) {
        const char *kind = pg_text(a, i, 0);

        tables[i].missing = !*kind;
        if (tables[i].missing && !create)
            name_table(&tables[i], &d->not_there);
        else if (*kind && !strchr("rp", *kind))
            name_table(&tables[i], &d->no_table);
    }
    pg_answer_free(a);
    return 0;
}

/* A type's name is text that came from elsewhere: it is one, and nothing more, or refused. */
static int find_type(struct pg_conn *conn, const struct pg_snaptable *t,
                     const struct pg_snapcolumn *c, struct differences *d, struct err *err)
{
    static const struct pg_wanted wanted = {"b", 1, 1};
    struct pg_answer *a = NULL;
    struct err why;
    int rc = pg_run(conn, "SAVEPOINT a", err);

    if (rc < 0)
        return rc;
    rc = pg_ask(conn, "SELECT to_regtype($1) IS NOT NULL", 1, &c->type, &wanted, &a, &why);
    if (rc < 0 || !pg_true(a, 0, 0)) {
        char *type = mem_printf(" (%s)", c->type);

        name_column(t, c->name, &d->unknown_types, type);
        free(type);
    }
    pg_answer_free(a);
    if (rc == -ECONNRESET || rc == -EINTR || rc == -ETIMEDOUT || rc == -EPROTO) {
        *err = why;
        return rc;
    }
    return pg_run(conn, "ROLLBACK TO a; RELEASE a", err);
}

static int find_types(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n,
                      struct differences *d, struct err *err)
{
    size_t i, k;
    int rc = 0;

    for (i = 0; i < n; i++)
        for (k = 0; tables[i].missing && k < tables[i].ncolumns && rc == 0; k++)
            rc = find_type(conn, &tables[i], &tables[i].columns[k], d, err);
    return rc;
}

static int refuse_differences(struct differences *d, struct err *err)
{
    *err = (struct err){0};
    pg_names_refuse(err, &d->reserved, "schemas of PostgreSQL or of asofs itself are not filled",
                    NULL);
    pg_names_refuse(err, &d->not_there, "no such tables in the second database",
                    "--create=missing makes them");
    pg_names_refuse(err, &d->no_table, "these are no tables in the second database", NULL);
    pg_names_refuse(err, &d->columns, "columns that are not on both sides", NULL);
    pg_names_refuse(err, &d->types, "columns of different types", NULL);
    pg_names_refuse(err, &d->generated, "columns that are generated in the second database alone",
                    NULL);
    pg_names_refuse(err, &d->unknown_types, "types that are not in the second database",
                    "make them first");
    return err->code ? -err->code : 0;
}

int pg_snaptable_check(struct pg_conn *conn, struct pg_snaptable *tables, size_t n, bool create,
                       struct err *err)
{
    struct differences d = {0};
    int rc = pg_begin(conn, PG_READ_ONLY, true, NULL, err);
    struct err ignored;

    if (rc == 0)
        rc = collect_names(conn, tables, n, reserved_sql, &d.reserved, err);
    if (rc == 0)
        rc = find_tables(conn, tables, n, create, &d, err);
    if (rc == 0)
        rc = compare_columns(conn, tables, n, &d, err);
    if (rc == 0)
        rc = find_types(conn, tables, n, &d, err);
    pg_rollback(conn);
    if (rc == 0)
        return refuse_differences(&d, err);
    refuse_differences(&d, &ignored); /* and its names are freed */
    return rc;
}

/* ---- created ---- */

static int put_column(struct pg_conn *conn, const struct pg_snapcolumn *c, struct buf *sql,
                      struct err *err)
{
    int rc = pg_put_identifier(conn, sql, c->name, err);

    /* pg_snaptable_check has seen that it is a type; a comment in it ends with the line. */
    buf_printf(sql, " %s\n", c->type);
    return rc;
}

static int create_table(struct pg_conn *conn, const struct pg_snaptable *t, struct err *err)
{
    struct buf sql = {0};
    size_t i;
    int rc;

    buf_puts(&sql, "CREATE SCHEMA IF NOT EXISTS ");
    rc = pg_put_identifier(conn, &sql, t->schema, err);
    if (rc == 0)
        rc = pg_run(conn, sql.data, err);
    buf_clear(&sql);
    buf_puts(&sql, "CREATE TABLE ");
    if (rc == 0)
        rc = pg_put_relation(conn, &sql, t->schema, t->name, err);
    for (i = 0; i < t->ncolumns && rc == 0; i++) {
        buf_puts(&sql, i ? ", " : " (");
        rc = put_column(conn, &t->columns[i], &sql, err);
    }
    buf_puts(&sql, t->ncolumns ? ")" : " ()");
    if (rc == 0)
        rc = pg_run(conn, sql.data, err);
    buf_free(&sql);
    return rc < 0 ? err_prefix(err, "%s.%s cannot be created", t->schema, t->name) : 0;
}

static int check_filter(struct pg_conn *conn, const struct pg_snaptable *t, struct err *err)
{
    struct buf sql = {0};
    int rc;

    buf_puts(&sql, "DELETE FROM ");
    rc = pg_put_relation(conn, &sql, t->schema, t->name, err);
    buf_printf(&sql, " WHERE (%s)", t->filter);
    if (rc == 0)
        rc = pg_prepare(conn, sql.data, err);
    buf_free(&sql);
    return rc < 0 ? err_prefix(err, "the filter of %s.%s", t->schema, t->name) : 0;
}

int pg_snaptable_create(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n,
                        struct err *err)
{
    int rc = pg_begin(conn, PG_READ_WRITE, false, "SET LOCAL client_min_messages = error", err);
    size_t i;

    for (i = 0; i < n && rc == 0; i++)
        if (tables[i].missing)
            rc = create_table(conn, &tables[i], err);
    for (i = 0; i < n && rc == 0; i++)
        if (tables[i].filter)
            rc = check_filter(conn, &tables[i], err);
    if (rc == 0)
        rc = pg_run(conn, "COMMIT", err);
    if (rc < 0)
        pg_rollback(conn);
    return rc;
}

/* ---- in place ---- */

#define TREE                                                                                       \
    LISTED ", tree AS (SELECT l.i, coalesce(p.relid, l.oid)::oid AS oid FROM listed l"             \
           " LEFT JOIN LATERAL pg_partition_tree(l.oid) p ON true)"

static const char keys_sql[] =
    TREE " SELECT DISTINCT child.i, parent.i,"
         " format('%s (%s refers to it)', k.confrelid::regclass, k.conrelid::regclass)"
         " FROM pg_constraint k JOIN tree parent ON parent.oid = k.confrelid"
         " LEFT JOIN tree child ON child.oid = k.conrelid"
         " WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY 1, 2";

static const char triggers_sql[] =
    TREE " SELECT format('%s (%I)', t.tgrelid::regclass, t.tgname) FROM pg_trigger t"
         " JOIN tree USING (oid) WHERE t.tgrelid = oid AND NOT t.tgisinternal"
         " AND t.tgenabled IN ('O', 'A') ORDER BY 1";

static const char rules_sql[] =
    LISTED " SELECT format('%s (%I)', k.ev_class::regclass, k.rulename) FROM pg_rewrite k"
           " JOIN listed l ON l.oid = k.ev_class WHERE k.ev_type <> '1' ORDER BY 1";

static const char rights_sql[] =
    LISTED " SELECT format('GRANT INSERT, SELECT, DELETE, TRUNCATE ON %s TO %I', l.oid::regclass,"
           " current_user) FROM listed l WHERE NOT (has_table_privilege(l.oid, 'INSERT')"
           " AND has_table_privilege(l.oid, 'SELECT') AND has_table_privilege(l.oid, 'DELETE')"
           " AND has_table_privilege(l.oid, 'TRUNCATE')) ORDER BY 1";

static int read_keys(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n,
                     uint32_t (**pairs)[2], size_t *npairs, struct pg_names *outside,
                     struct err *err)
{
    static const struct pg_wanted wanted = {"Nnt", 0, PG_MANY};
    struct pg_answer *a = NULL;
    int rc = ask_of_list(conn, tables, n, keys_sql, &wanted, &a, err);
    size_t i;

    if (rc < 0)
        return rc;
    *pairs = mem_array(pg_rows(a) + 1, sizeof(**pairs));
    *npairs = 0;
    for (i = 0; i < pg_rows(a); i++) {
        if (pg_is_null(a, i, 0)) {
            pg_names_add(outside, pg_text(a, i, 2));
            continue;
        }
        (*pairs)[*npairs][0] = (uint32_t)pg_number(a, i, 0) - 1;
        (*pairs)[(*npairs)++][1] = (uint32_t)pg_number(a, i, 1) - 1;
    }
    pg_answer_free(a);
    return 0;
}

/* Take away those who refer to nobody, again and again: whoever is left stands in a circle. */
static void find_circle(const struct pg_snaptable *tables, size_t n, uint32_t (*pairs)[2],
                        size_t npairs, struct pg_names *names)
{
    bool *gone = mem_array(n + 1, sizeof(*gone)), *refers = mem_array(n + 1, sizeof(*refers));
    size_t i;
    bool any = true;

    while (any) {
        any = false;
        memset(refers, 0, n * sizeof(*refers));
        for (i = 0; i < npairs; i++)
            refers[pairs[i][0]] |= !gone[pairs[i][0]] && !gone[pairs[i][1]];
        for (i = 0; i < n; i++) {
            any |= !gone[i] && !refers[i];
            gone[i] |= !refers[i];
        }
    }
    for (i = 0; i < n; i++)
        if (!gone[i])
            name_table(&tables[i], names);
    free(gone);
    free(refers);
}

int pg_snaptable_order(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n,
                       uint32_t (**pairs)[2], size_t *npairs, struct err *err)
{
    static const char advice[] = "--publish=rows can take them";
    struct pg_names outside = {0}, circle = {0}, triggers = {0}, rules = {0}, rights = {0};
    int rc = pg_begin(conn, PG_READ_ONLY, true, NULL, err);

    *pairs = NULL;
    *npairs = 0;
    if (rc == 0)
        rc = read_keys(conn, tables, n, pairs, npairs, &outside, err);
    if (rc == 0)
        rc = collect_names(conn, tables, n, triggers_sql, &triggers, err);
    if (rc == 0)
        rc = collect_names(conn, tables, n, rules_sql, &rules, err);
    if (rc == 0)
        rc = collect_names(conn, tables, n, rights_sql, &rights, err);
    pg_rollback(conn);
    if (rc < 0)
        return rc;
    find_circle(tables, n, *pairs, *npairs, &circle);
    *err = (struct err){0};
    pg_names_refuse(err, &outside, "tables that others refer to, which are not listed", advice);
    pg_names_refuse(err, &circle, "tables that refer to each other in a circle", advice);
    pg_names_refuse(err, &triggers, "tables with triggers, which would fire", advice);
    pg_names_refuse(err, &rules, "tables with rules, which COPY passes over and DELETE obeys",
                    "--publish=rows refuses them, too: drop them, or leave the table out");
    pg_names_refuse(err, &rights, "privileges that are missing", NULL);
    return err->code ? -err->code : 0;
}

int pg_snaptable_clear_sql(struct pg_conn *conn, const struct pg_snaptable *t, bool referred_to,
                           char **sql, struct err *err)
{
    bool all = !t->filter && !referred_to;
    struct buf b = {0};
    int rc;

    buf_puts(&b, all ? "TRUNCATE TABLE " : "DELETE FROM ");
    rc = pg_put_relation(conn, &b, t->schema, t->name, err);
    if (t->filter)
        buf_printf(&b, " WHERE (%s)", t->filter);
    *sql = buf_steal(&b);
    return rc;
}

int pg_snaptable_copy_sql(struct pg_conn *conn, const struct pg_snaptable *t, const char *schema,
                          enum pg_format format, const char *encoding, bool header, char **sql,
                          struct err *err)
{
    const char **columns = mem_array(t->ncolumns + 1, sizeof(*columns));
    struct pg_copy_target target = {.schema = schema,
                                    .table = t->name,
                                    .columns = columns,
                                    .format = format,
                                    .header = header,
                                    .encoding = encoding};
    size_t i;
    int rc;

    for (i = 0; i < t->ncolumns; i++)
        if (!t->columns[i].skip)
            columns[target.ncolumns++] = t->columns[i].name;
    rc = pg_copyin_sql(conn, &target, sql, err);
    free(columns);
    return rc;
}
