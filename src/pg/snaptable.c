#include "pg/snaptable.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/internal.h"
#include "pg/snaplist.h"

/* ---- the connection ---- */

/* Only a superuser may change it, so it is not set but refused. */
static int check_role(struct pg_conn *conn, struct err *err)
{
    static const struct pg_wanted wanted = {"bt", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn,
                    "SELECT pg_catalog.current_setting('session_replication_role') = 'replica',"
                    " pg_catalog.quote_ident(current_user)",
                    0, NULL, &wanted, &a, err);

    if (rc == 0 && pg_true(a, 0, 0))
        rc = err_set(err, EINVAL,
                     "session_replication_role is \"replica\" for the role %s: foreign keys would "
                     "not hold, and other triggers fire (ALTER ROLE … RESET, or the database's)",
                     pg_text(a, 0, 1));
    pg_answer_free(a);
    return rc;
}

static int check_second(struct pg_conn *conn, struct pg_server *s, struct err *err)
{
    int rc = pg_conn_inspect(conn, s, err);

    if (rc == 0 && s->in_recovery)
        rc = err_set(err, EROFS, "it is a standby: a copy can only be made into a primary server");
    if (rc == 0)
        rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);
    if (rc == 0)
        rc = check_role(conn, err);
    if (rc == 0)
        pg_rollback(conn);
    return rc;
}

int pg_second_open(struct pg_conn **conn, const struct pg_target *target,
                   const struct pg_session *session, struct pg_server *server, struct err *err)
{
    struct pg_server s = {0};
    int rc;

    *conn = NULL;
    rc = pg_conn_open(conn, target, session, err);
    if (rc < 0)
        return rc;
    rc = check_second(*conn, &s, err);
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

/* ---- what stands in the way ---- */

struct differences {
    struct pg_names too_long, systems, twice, not_there, no_table, foreign, policy, columns,
        generated, types, unknown_types, filters, grants;
};

static int refuse_differences(struct differences *d, struct err *err)
{
    bool other;

    err->code = 0;
    pg_names_refuse(err, &d->too_long, "names that are too long for the second database", NULL);
    pg_names_refuse(err, &d->systems, "tables of PostgreSQL or of asofs itself are not filled",
                    "leave them out");
    pg_names_refuse(err, &d->twice, "tables that stand twice in the list, or as a partition, too",
                    NULL);
    pg_names_refuse(err, &d->not_there, "no such tables in the second database",
                    "--create=missing makes them");
    pg_names_refuse(err, &d->no_table, "these are no tables in the second database", NULL);
    pg_names_refuse(err, &d->foreign, "tables with partitions that are foreign tables", NULL);
    pg_names_refuse(err, &d->policy, "row security would hide rows of",
                    "connect as the owner of the table or as a role with BYPASSRLS");
    pg_names_refuse(err, &d->columns, "columns that are not on both sides", NULL);
    pg_names_refuse(err, &d->types, "columns of different types", NULL);
    pg_names_refuse(err, &d->generated, "columns that are generated in the second database alone",
                    NULL);
    pg_names_refuse(err, &d->unknown_types, "types that are not in the second database",
                    "make them first");
    pg_names_refuse(err, &d->filters, "the filters of these are no condition there", NULL);
    other = err->code;
    pg_names_refuse(err, &d->grants, "privileges that are missing", NULL);
    if (err->code && !other)
        err->code = EACCES;
    return -err->code;
}

static void drop_differences(struct differences *d)
{
    struct err ignored;

    refuse_differences(d, &ignored); /* its names are freed */
}

static void name_column(const struct pg_snaptable *t, const char *column, struct pg_names *names,
                        const char *why)
{
    struct buf b = {0};

    pg_pattern_put(&b, t->schema, t->name);
    buf_puts(&b, " (");
    pg_pattern_put_name(&b, column);
    buf_printf(&b, "%s)", why);
    pg_names_add(names, b.data);
    buf_free(&b);
}

/* ---- tables ---- */

enum { T_KIND, T_TOO_LONG, T_SYSTEM, T_TWICE, T_FOREIGN, T_POLICY, T_GRANT, T_GRANT_SCHEMA, T_OID };

/* $3: tables may be created. What a schema lacks stands with the first of its tables. */
static const char tables_sql[] = PG_SNAP_LISTED
    ", parts AS (SELECT p.relid::oid AS oid FROM listed l, pg_catalog.pg_partition_tree(l.oid) p"
    " WHERE l.relkind = 'p' AND p.level > 0)"
    " SELECT l.relkind::text, l.s::name::text <> l.s OR l.n::name::text <> l.n,"
    " l.s IN ('information_schema', 'asofs') OR pg_catalog.starts_with(l.s, 'pg_') OR"
    " pg_catalog.starts_with(coalesce(pg_catalog.obj_description(l.schema, 'pg_namespace'), ''),"
    " 'asofs: ') OR l.s ~ '^asofs_.*_(new|old)_[0-9]+$',"
    " pg_catalog.count(*) OVER (PARTITION BY l.s, l.n) > 1"
    " OR coalesce(l.oid IN (SELECT oid FROM parts), false),"
    " EXISTS (SELECT FROM pg_catalog.pg_partition_tree(l.oid) p JOIN pg_catalog.pg_class f"
    " ON f.oid = p.relid WHERE f.relkind = 'f' AND l.relkind = 'p'),"
    " coalesce(pg_catalog.row_security_active(l.oid), false),"
    " CASE WHEN NOT pg_catalog.has_table_privilege(l.oid, 'SELECT')"
    " OR NOT pg_catalog.has_table_privilege(l.oid, 'INSERT') THEN pg_catalog.format("
    "'GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON %I.%I TO %I', l.s, l.n, current_user) END,"
    " CASE WHEN pg_catalog.row_number() OVER (PARTITION BY l.s ORDER BY l.i) > 1 THEN NULL"
    " WHEN l.schema IS NULL THEN CASE WHEN $3::boolean AND NOT"
    " pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') THEN"
    " pg_catalog.format('GRANT CREATE ON DATABASE %I TO %I', pg_catalog.current_database(),"
    " current_user) END"
    " WHEN $3::boolean AND pg_catalog.bool_or(l.oid IS NULL) OVER (PARTITION BY l.s) AND NOT"
    " pg_catalog.has_schema_privilege(l.schema, 'CREATE') THEN"
    " pg_catalog.format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', l.s, current_user)"
    " WHEN NOT pg_catalog.has_schema_privilege(l.schema, 'USAGE') THEN"
    " pg_catalog.format('GRANT USAGE ON SCHEMA %I TO %I', l.s, current_user) END,"
    " coalesce(l.oid, 0::oid) FROM listed l ORDER BY l.i";

static void take_table(struct pg_snaptable *t, const struct pg_answer *a, size_t row, bool create,
                       struct differences *d)
{
    const char *kind = pg_text(a, row, T_KIND);

    t->oid = pg_number(a, row, T_OID);
    t->missing = !*kind;
    t->partitioned = *kind == 'p';
    if (pg_true(a, row, T_TOO_LONG))
        pg_snap_name(t, &d->too_long);
    else if (pg_true(a, row, T_SYSTEM))
        pg_snap_name(t, &d->systems);
    else if (t->missing && !create)
        pg_snap_name(t, &d->not_there);
    else if (*kind && *kind != 'r' && *kind != 'p')
        pg_snap_name(t, &d->no_table);
    if (pg_true(a, row, T_TWICE))
        pg_snap_name(t, &d->twice);
    if (pg_true(a, row, T_FOREIGN))
        pg_snap_name(t, &d->foreign);
    if (pg_true(a, row, T_POLICY))
        pg_snap_name(t, &d->policy);
    if (!pg_is_null(a, row, T_GRANT))
        pg_snap_name_grant(&d->grants, pg_text(a, row, T_GRANT));
    if (!pg_is_null(a, row, T_GRANT_SCHEMA))
        pg_snap_name_grant(&d->grants, pg_text(a, row, T_GRANT_SCHEMA));
}

static int find_tables(struct pg_conn *conn, struct pg_snaptable *tables, size_t n, bool create,
                       struct differences *d, struct err *err)
{
    struct pg_wanted wanted = {"TbbbbbTTn", n, n};
    struct pg_answer *a = NULL;
    int rc = pg_snap_ask(conn, tables, n, tables_sql, create ? "t" : "f", &wanted, &a, err);
    size_t i;

    for (i = 0; i < n && rc == 0; i++)
        take_table(&tables[i], a, i, create, d);
    pg_answer_free(a);
    return rc;
}

/* ---- columns ---- */

enum { C_TABLE, C_NAME, C_TYPE, C_GENERATED };

static const char columns_sql[] =
    PG_SNAP_LISTED " SELECT l.i, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),"
                   " a.attgenerated <> '' FROM listed l"
                   " JOIN pg_catalog.pg_attribute a ON a.attrelid = l.oid"
                   " WHERE l.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped"
                   " ORDER BY l.i, a.attnum";

static struct pg_snapcolumn *find_column(struct pg_snaptable *t, const char *name)
{
    size_t i;

    for (i = 0; i < t->ncolumns; i++)
        if (strcmp(t->columns[i].name, name) == 0)
            return &t->columns[i];
    return NULL;
}

static void compare_types(const struct pg_snaptable *t, const struct pg_snapcolumn *c,
                          const char *there, struct differences *d)
{
    char *why;

    if (strcmp(c->type, there) == 0)
        return;
    why = mem_printf(" %s, there %s", c->type, there);
    name_column(t, c->name, &d->types, why);
    free(why);
}

/* A column that is there. */
static void compare_column(struct pg_snaptable *t, const struct pg_answer *a, size_t row,
                           bool *found, struct differences *d)
{
    const char *name = pg_text(a, row, C_NAME);
    struct pg_snapcolumn *c = find_column(t, name);

    if (!c && !pg_true(a, row, C_GENERATED))
        name_column(t, name, &d->columns, ", only there");
    if (!c)
        return;
    found[c - t->columns] = true;
    compare_types(t, c, pg_text(a, row, C_TYPE), d);
    c->skip = pg_true(a, row, C_GENERATED);
    if (c->skip && !c->generated)
        name_column(t, name, &d->generated, "");
}

static size_t compare_table(struct pg_snaptable *t, const struct pg_answer *a, size_t row,
                            size_t number, struct differences *d)
{
    bool *found = mem_array(t->ncolumns + 1, sizeof(*found));
    bool there = row < pg_rows(a) && pg_number(a, row, C_TABLE) == number;
    size_t i;

    for (i = 0; i < t->ncolumns; i++)
        t->columns[i].skip = false;
    for (; row < pg_rows(a) && pg_number(a, row, C_TABLE) == number; row++)
        compare_column(t, a, row, found, d);
    for (i = 0; i < t->ncolumns && there; i++)
        if (!found[i])
            name_column(t, t->columns[i].name, &d->columns, ", missing there");
    free(found);
    return row;
}

static int compare_columns(struct pg_conn *conn, struct pg_snaptable *tables, size_t n,
                           struct differences *d, struct err *err)
{
    static const struct pg_wanted wanted = {"nttb", 0, PG_MANY};
    struct pg_answer *a = NULL;
    int rc = pg_snap_ask(conn, tables, n, columns_sql, NULL, &wanted, &a, err);
    size_t i, row = 0;

    for (i = 0; i < n && rc == 0; i++)
        row = compare_table(&tables[i], a, row, i + 1, d);
    pg_answer_free(a);
    return rc;
}

/* ---- types and filters: text that came from elsewhere ---- */

static bool ends_session(int rc)
{
    return rc == -ECONNRESET || rc == -EINTR || rc == -ETIMEDOUT || rc == -EPROTO;
}

/* What may fail does so in a savepoint; `why` is its reason. */
static int end_try(struct pg_conn *conn, int rc, const struct err *why, struct err *err)
{
    if (ends_session(rc)) {
        *err = *why;
        return rc;
    }
    return pg_run(conn, "ROLLBACK TO a; RELEASE a", err);
}

/* Nothing in it but what format_type() writes; so no comment, and nothing after it. */
static bool is_type_text(const char *p)
{
    for (; *p; p++) {
        if (*p == '"' && !(p = strchr(p + 1, '"')))
            return false;
        if (*p != '"' && !isalnum((unsigned char)*p) && !strchr("_ ,.()[]-", *p))
            return false;
        if (p[0] == '-' && p[1] == '-')
            return false;
    }
    return true;
}

/* Servers before 16 give an error for what is no type, later ones NULL. */
static int ask_type(struct pg_conn *conn, const char *type, bool *there, struct err *err)
{
    static const struct pg_wanted wanted = {"b", 1, 1};
    struct pg_answer *a = NULL;
    struct err why;
    int rc;

    *there = false;
    if (!is_type_text(type))
        return 0;
    rc = pg_run(conn, "SAVEPOINT a", err);
    if (rc < 0)
        return rc;
    rc = pg_ask(conn, "SELECT pg_catalog.to_regtype($1) IS NOT NULL", 1, &type, &wanted, &a, &why);
    *there = rc == 0 && pg_true(a, 0, 0);
    pg_answer_free(a);
    return end_try(conn, rc, &why, err);
}

/* Each type is asked for once. */
struct type_known {
    const char *type;
    bool there;
};

struct types_known {
    struct type_known *types;
    size_t n, room;
};

static int find_type(struct pg_conn *conn, const char *type, struct types_known *k, bool *there,
                     struct err *err)
{
    size_t i;
    int rc;

    for (i = 0; i < k->n; i++)
        if (strcmp(k->types[i].type, type) == 0) {
            *there = k->types[i].there;
            return 0;
        }
    rc = ask_type(conn, type, there, err);
    k->types = mem_grow(k->types, k->n, &k->room, sizeof(*k->types));
    k->types[k->n++] = (struct type_known){type, *there};
    return rc;
}

static int find_types_of(struct pg_conn *conn, const struct pg_snaptable *t, struct types_known *k,
                         struct differences *d, struct err *err)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < t->ncolumns && rc == 0; i++) {
        bool there;
        char *why;

        rc = find_type(conn, t->columns[i].type, k, &there, err);
        if (rc < 0 || there)
            continue;
        why = mem_printf(" %s", t->columns[i].type);
        name_column(t, t->columns[i].name, &d->unknown_types, why);
        free(why);
    }
    return rc;
}

static int find_types(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n,
                      struct differences *d, struct err *err)
{
    struct types_known k = {0};
    size_t i;
    int rc = 0;

    for (i = 0; i < n && rc == 0; i++)
        if (tables[i].missing)
            rc = find_types_of(conn, &tables[i], &k, d, err);
    free(k.types);
    return rc;
}

static int try_filter(struct pg_conn *conn, const struct pg_snaptable *t, struct differences *d,
                      struct err *err)
{
    struct buf b = {0};
    struct err why;
    int rc = pg_run(conn, "SAVEPOINT a", err);

    if (rc < 0)
        return rc;
    rc = pg_filter_prepare(conn, t->schema, t->name, t->filter, &why);
    if (rc < 0 && !ends_session(rc)) {
        pg_pattern_put(&b, t->schema, t->name);
        buf_printf(&b, " (%s)", why.text);
        pg_names_add(&d->filters, b.data);
    }
    buf_free(&b);
    return end_try(conn, rc, &why, err);
}

static int check_filters(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n,
                         struct differences *d, struct err *err)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < n && rc == 0; i++)
        if (tables[i].filter && !tables[i].missing)
            rc = try_filter(conn, &tables[i], d, err);
    return rc;
}

/* ---- compared ---- */

/* Within a transaction, which has failed if this does. */
static int compare_tables(struct pg_conn *conn, struct pg_snaptable *tables, size_t n, bool create,
                          struct err *err)
{
    struct differences d = {0};
    int rc = find_tables(conn, tables, n, create, &d, err);

    if (rc == 0)
        rc = compare_columns(conn, tables, n, &d, err);
    if (rc == 0)
        rc = find_types(conn, tables, n, &d, err);
    if (rc == 0)
        rc = check_filters(conn, tables, n, &d, err);
    if (rc == 0)
        return refuse_differences(&d, err);
    drop_differences(&d);
    return rc;
}

int pg_snaptable_check(struct pg_conn *conn, struct pg_snaptable *tables, size_t n, bool create,
                       struct err *err)
{
    int rc = pg_begin(conn, PG_READ_ONLY, true, NULL, err);

    if (rc == 0)
        rc = compare_tables(conn, tables, n, create, err);
    pg_rollback(conn);
    return rc;
}

static int refuse_others(const struct pg_snaptable *tables, const uint64_t *were, size_t n,
                         struct err *err)
{
    struct pg_names others = {0};
    size_t i;

    for (i = 0; i < n; i++)
        if (tables[i].oid != were[i])
            pg_snap_name(&tables[i], &others);
    err->code = 0;
    pg_names_refuse(err, &others, "tables that are other ones than those that were filled",
                    "dropped or renamed, and made anew? Copy again");
    return err->code ? (err->code = ESTALE, -ESTALE) : 0;
}

int pg_snaptable_check_again(struct pg_conn *conn, struct pg_snaptable *tables, size_t n,
                             struct err *err)
{
    uint64_t *were = mem_array(n + 1, sizeof(*were));
    size_t i;
    int rc;

    for (i = 0; i < n; i++)
        were[i] = tables[i].oid;
    rc = pg_snaptable_check(conn, tables, n, false, err);
    if (rc == 0)
        rc = refuse_others(tables, were, n, err);
    free(were);
    return rc;
}

/* ---- created ---- */

/* Not IF NOT EXISTS: that needs the right to create one even where it is there. */
static int create_schema(struct pg_conn *conn, const char *schema, struct err *err)
{
    static const struct pg_wanted wanted = {"b", 1, 1};
    struct pg_answer *a = NULL;
    struct buf sql = {0};
    int rc = pg_ask(conn, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)",
                    1, &schema, &wanted, &a, err);
    bool there = rc == 0 && pg_true(a, 0, 0);

    pg_answer_free(a);
    if (rc < 0 || there)
        return rc;
    buf_puts(&sql, "CREATE SCHEMA ");
    rc = pg_put_identifier(conn, &sql, schema, err);
    if (rc == 0)
        rc = pg_run(conn, sql.data, err);
    buf_free(&sql);
    return rc;
}

static int put_columns(struct pg_conn *conn, struct buf *sql, const struct pg_snaptable *t,
                       struct err *err)
{
    size_t i;
    int rc = 0;

    buf_puts(sql, " (");
    for (i = 0; i < t->ncolumns && rc == 0; i++) {
        buf_puts(sql, i ? ", " : "");
        rc = pg_put_identifier(conn, sql, t->columns[i].name, err);
        buf_printf(sql, " %s", t->columns[i].type); /* find_types has seen that it is one */
    }
    buf_putc(sql, ')');
    return rc;
}

static int create_table(struct pg_conn *conn, const struct pg_snaptable *t, struct err *err)
{
    struct buf sql = {0};
    char *name;
    int rc = create_schema(conn, t->schema, err);

    buf_puts(&sql, "CREATE TABLE IF NOT EXISTS ");
    if (rc == 0)
        rc = pg_put_relation(conn, &sql, t->schema, t->name, err);
    if (rc == 0)
        rc = put_columns(conn, &sql, t, err);
    if (rc == 0)
        rc = pg_run(conn, sql.data, err);
    buf_free(&sql);
    if (rc == 0)
        return 0;
    name = pg_pattern_of(t->schema, t->name);
    err_prefix(err, "%s cannot be created", name);
    free(name);
    return rc;
}

static int create_tables(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n,
                         struct err *err)
{
    size_t i;
    int rc = pg_run(conn, PG_ONE_AT_A_TIME, err);

    for (i = 0; i < n && rc == 0; i++)
        if (tables[i].missing)
            rc = create_table(conn, &tables[i], err);
    return rc;
}

int pg_snaptable_create(struct pg_conn *conn, struct pg_snaptable *tables, size_t n,
                        struct err *err)
{
    size_t i;
    int rc;

    for (i = 0; i < n && !tables[i].missing; i++)
        ;
    if (i == n)
        return 0;
    rc = pg_begin(conn, PG_READ_WRITE, false, "SET LOCAL client_min_messages = error", err);
    if (rc == 0)
        rc = create_tables(conn, tables, n, err);
    if (rc == 0)
        rc = compare_tables(conn, tables, n, false, err);
    if (rc == 0)
        rc = pg_run(conn, "COMMIT", err);
    if (rc < 0)
        pg_rollback(conn);
    return rc;
}

/* ---- loaded ---- */

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
    *sql = NULL;
    rc = pg_copyin_sql(conn, &target, sql, err);
    free(columns);
    return rc;
}
