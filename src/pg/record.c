#include "pg/record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "pg/internal.h"

/* The first number of our advisory locks: "asof". The second is a hash of the copy's name; 0 is for
 * making the schema. */
#define LOCK_CLASS "1634955110"
#define NAME_PATIENCE_MS 3000 /* for a session that is just ending */
#define LOOK_AGAIN_MS 200
#define COMMENT "asofs: format 1"
#define WAIT_LOOK_MS 60000

/* ---- the schema ---- */

static const char make_sql[] =
    "CREATE SCHEMA asofs; COMMENT ON SCHEMA asofs IS '" COMMENT "';"
    "CREATE TABLE asofs.view (name text PRIMARY KEY, state text NOT NULL, moment timestamptz,"
    " lsn pg_lsn, source text, tables integer, rows bigint, published_at timestamptz);"
    "CREATE TABLE asofs.\"table\" (view text, schema text, name text, target_schema text,"
    " filter text, run bigint NOT NULL, cleared_at timestamptz, loaded_at timestamptz,"
    " rows bigint, xxh3 text, PRIMARY KEY (view, target_schema, name));"
    "CREATE TABLE asofs.chunk (view text, run bigint, chunk integer, rows bigint,"
    " done_at timestamptz, PRIMARY KEY (view, run, chunk));"
    "GRANT USAGE ON SCHEMA asofs TO PUBLIC;"
    "GRANT SELECT ON asofs.view, asofs.\"table\", asofs.chunk TO PUBLIC";

enum { THERE, OURS, MAY_CREATE, DATABASE, ROLE };

static const char look_sql[] =
    "SELECT n.oid IS NOT NULL, coalesce(pg_catalog.obj_description(n.oid, 'pg_namespace'), '')"
    " = '" COMMENT "', pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),"
    " pg_catalog.quote_ident(pg_catalog.current_database()),"
    " pg_catalog.quote_ident(current_user)"
    " FROM (SELECT 1) x LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = 'asofs'";

static int make_schema(struct pg_conn *conn, const struct pg_answer *a, struct err *err)
{
    if (!pg_true(a, 0, MAY_CREATE))
        return err_set(err, EACCES,
                       "a schema \"asofs\" cannot be made: GRANT CREATE ON DATABASE %s TO %s",
                       pg_text(a, 0, DATABASE), pg_text(a, 0, ROLE));
    return pg_run(conn, make_sql, err);
}

static int look_at_schema(struct pg_conn *conn, struct err *err)
{
    static const struct pg_wanted wanted = {"bbbtt", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, look_sql, 0, NULL, &wanted, &a, err);

    if (rc == 0 && !pg_true(a, 0, THERE))
        rc = make_schema(conn, a, err);
    else if (rc == 0 && !pg_true(a, 0, OURS))
        rc =
            err_set(err, EEXIST,
                    "the schema \"asofs\" is not ours: it should have the comment \"" COMMENT "\"");
    pg_answer_free(a);
    return rc;
}

static const char may_sql[] =
    "SELECT pg_catalog.bool_and(pg_catalog.has_table_privilege(t, p)),"
    " pg_catalog.quote_ident(current_user)"
    " FROM pg_catalog.unnest(ARRAY['asofs.view', 'asofs.\"table\"', 'asofs.chunk']) t,"
    " pg_catalog.unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p";

static int check_rights(struct pg_conn *conn, struct err *err)
{
    static const struct pg_wanted wanted = {"bt", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, may_sql, 0, NULL, &wanted, &a, err);

    if (rc == 0 && !pg_true(a, 0, 0))
        rc = err_set(err, EACCES,
                     "schema \"asofs\" is there, but its tables may not be written: GRANT ALL ON "
                     "ALL TABLES IN SCHEMA asofs TO %s",
                     pg_text(a, 0, 1));
    pg_answer_free(a);
    return rc;
}

/* One at a time makes it; who comes second finds it. */
static int prepare_schema(struct pg_conn *conn, struct err *err)
{
    int rc = pg_begin(conn, PG_READ_WRITE, false,
                      "SELECT pg_catalog.pg_advisory_xact_lock(" LOCK_CLASS ", 0)", err);

    if (rc == 0)
        rc = look_at_schema(conn, err);
    if (rc == 0)
        rc = check_rights(conn, err);
    if (rc == 0)
        rc = pg_run(conn, "COMMIT", err);
    if (rc < 0)
        pg_rollback(conn);
    return rc;
}

/* ---- the name ---- */

static const char holder_sql[] =
    "SELECT a.pid, a.application_name,"
    " pg_catalog.to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"
    " FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)"
    " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2"
    " AND l.classid::bigint = " LOCK_CLASS
    " AND l.objid::bigint = (pg_catalog.hashtext($1)::bigint & 4294967295)"
    " AND l.database = (SELECT oid FROM pg_catalog.pg_database"
    " WHERE datname = pg_catalog.current_database())";

static int refuse_name(struct pg_conn *conn, const char *name, struct err *err)
{
    static const struct pg_wanted wanted = {"nTT", 0, 1};
    struct pg_answer *a = NULL;

    if (pg_ask(conn, holder_sql, 1, &name, &wanted, &a, err) < 0)
        return -err->code;
    err_set(err, EBUSY, "another copy with the name \"%s\" is under way", name);
    if (pg_rows(a))
        err_hint(err, "It is \"%s\", server process %llu, since %s UTC.", pg_text(a, 0, 1),
                 (unsigned long long)pg_number(a, 0, 0), pg_text(a, 0, 2));
    pg_answer_free(a);
    return -err->code;
}

/* 1: it is ours; 0: not now. */
static int try_name(struct pg_conn *conn, const char *name, struct err *err)
{
    static const struct pg_wanted wanted = {"b", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(
        conn, "SELECT pg_catalog.pg_try_advisory_lock(" LOCK_CLASS ", pg_catalog.hashtext($1))", 1,
        &name, &wanted, &a, err);

    if (rc == 0)
        rc = pg_true(a, 0, 0);
    pg_answer_free(a);
    return rc;
}

static int take_name(struct pg_conn *conn, const char *name, struct err *err)
{
    int64_t until = clock_ms() + NAME_PATIENCE_MS;
    int rc;

    while ((rc = try_name(conn, name, err)) == 0 && clock_ms() < until)
        usleep(LOOK_AGAIN_MS * 1000);
    if (rc == 0)
        return refuse_name(conn, name, err);
    return rc < 0 ? rc : 0;
}

int pg_record_prepare(struct pg_conn *conn, const char *name, struct err *err)
{
    int rc = prepare_schema(conn, err);

    return rc < 0 ? rc : take_name(conn, name, err);
}

/* ---- the list ---- */

enum { P_NAME, P_SCHEMAS, P_NAMES, P_TARGETS, P_FILTERS, P_PARTS, P_RUN, LIST_PARAMETERS };

#define LISTED "unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS l(s, n, t, f)"

/* Tables that are not there any more are forgotten. */
static const char unlisted_sql[] =
    "SELECT pg_catalog.string_agg(pg_catalog.format('%I.%I', o.target_schema, o.name), ', '"
    " ORDER BY o.target_schema, o.name) FROM asofs.\"table\" o"
    " WHERE o.view = $1 AND o.loaded_at IS NOT NULL"
    " AND pg_catalog.to_regclass(pg_catalog.format('%I.%I', o.target_schema, o.name)) IS NOT NULL"
    " AND NOT EXISTS (SELECT FROM " LISTED " WHERE l.t = o.target_schema AND l.n = o.name)"
    " AND $6::bigint IS NOT NULL AND $7::bigint IS NOT NULL";

static const char run_sql[] = "SELECT greatest(pg_catalog.max(run) + 1,"
                              " (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::bigint)"
                              " FROM asofs.\"table\" WHERE view = $1";

static const char delete_sql[] =
    "DELETE FROM asofs.\"table\" o WHERE o.view = $1 AND (EXISTS (SELECT FROM " LISTED
    " WHERE l.t = o.target_schema AND l.n = o.name) OR"
    " pg_catalog.to_regclass(pg_catalog.format('%I.%I', o.target_schema, o.name)) IS NULL)"
    " AND $6::bigint IS NOT NULL AND $7::bigint IS NOT NULL";

static const char insert_sql[] =
    "INSERT INTO asofs.\"table\" (view, schema, name, target_schema, filter, run)"
    " SELECT $1, l.s, l.n, l.t, nullif(l.f, ''), $7::bigint FROM " LISTED
    " WHERE $6::bigint IS NOT NULL";

static const char chunks_sql[] =
    "WITH gone AS (DELETE FROM asofs.chunk WHERE view = $1)"
    " INSERT INTO asofs.chunk (view, run, chunk)"
    " SELECT $1, $3::bigint, g - 1 FROM pg_catalog.generate_series(1, $2::integer) g";

static int ask_text(struct pg_conn *conn, const char *sql, int n, const char *const *values,
                    char **text, struct err *err)
{
    static const struct pg_wanted wanted = {"T", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, sql, n, values, &wanted, &a, err);

    *text = rc == 0 && !pg_is_null(a, 0, 0) ? mem_strdup(pg_text(a, 0, 0)) : NULL;
    pg_answer_free(a);
    return rc;
}

static void list_values(const struct pg_record_table *tables, size_t n, char **values)
{
    struct buf b[LIST_PARAMETERS] = {{0}};
    unsigned long long parts = 0;
    size_t i;

    for (i = P_SCHEMAS; i <= P_FILTERS; i++)
        buf_putc(&b[i], '{');
    for (i = 0; i < n; i++) {
        pg_put_element(&b[P_SCHEMAS], tables[i].schema);
        pg_put_element(&b[P_NAMES], tables[i].name);
        pg_put_element(&b[P_TARGETS], tables[i].target_schema);
        pg_put_element(&b[P_FILTERS], tables[i].filter ? tables[i].filter : "");
        parts += tables[i].parts;
    }
    for (i = P_SCHEMAS; i <= P_FILTERS; i++) {
        buf_putc(&b[i], '}');
        values[i] = buf_steal(&b[i]);
    }
    values[P_PARTS] = mem_printf("%llu", parts);
}

static int write_list(struct pg_conn *conn, char **values, char **unlisted, struct err *err)
{
    const char *const *v = (const char *const *)values;
    const char *chunks[3];
    int rc = ask_text(conn, run_sql, 1, v, &values[P_RUN], err);

    if (rc == 0)
        rc = ask_text(conn, unlisted_sql, LIST_PARAMETERS, v, unlisted, err);
    if (rc == 0)
        rc = pg_run_with(conn, delete_sql, LIST_PARAMETERS, v, err);
    if (rc == 0)
        rc = pg_run_with(conn, insert_sql, LIST_PARAMETERS, v, err);
    chunks[0] = values[P_NAME];
    chunks[1] = values[P_PARTS];
    chunks[2] = values[P_RUN];
    if (rc == 0)
        rc = pg_run_with(conn, chunks_sql, 3, chunks, err);
    return rc;
}

int pg_record_list(struct pg_conn *conn, const char *name, const struct pg_record_table *tables,
                   size_t n, int64_t *run, char **unlisted, struct err *err)
{
    char *values[LIST_PARAMETERS] = {mem_strdup(name)};
    size_t i;
    int rc = pg_begin(conn, PG_READ_WRITE, false, NULL, err);

    *unlisted = NULL;
    list_values(tables, n, values);
    if (rc == 0)
        rc = write_list(conn, values, unlisted, err);
    if (rc == 0)
        rc = pg_run(conn, "COMMIT", err);
    if (rc < 0)
        pg_rollback(conn);
    else
        *run = strtoll(values[P_RUN], NULL, 10);
    for (i = 0; i < LIST_PARAMETERS; i++)
        free(values[i]);
    return rc;
}

/* ---- chunks ---- */

struct numbers {
    char run[24], chunk[24], rows[24];
};

static const char *of_run(struct numbers *n, int64_t run)
{
    snprintf(n->run, sizeof(n->run), "%lld", (long long)run);
    return n->run;
}

static const char *of_chunk(struct numbers *n, uint32_t chunk)
{
    snprintf(n->chunk, sizeof(n->chunk), "%u", chunk);
    return n->chunk;
}

static const char *of_rows(struct numbers *n, uint64_t rows)
{
    snprintf(n->rows, sizeof(n->rows), "%llu", (unsigned long long)rows);
    return n->rows;
}

int pg_record_forget_chunks(struct pg_conn *conn, const char *name, int64_t run, struct err *err)
{
    struct numbers n;
    const char *values[] = {name, of_run(&n, run)};

    return pg_run_with(conn, "DELETE FROM asofs.chunk WHERE view = $1 AND run = $2", 2, values,
                       err);
}

/* It is locked by another session, or there is none. */
static int refuse_claim(struct pg_conn *conn, const char *const *values, struct err *err)
{
    static const struct pg_wanted wanted = {"b", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn,
                    "SELECT EXISTS (SELECT FROM asofs.chunk"
                    " WHERE view = $1 AND run = $2 AND chunk = $3)",
                    3, values, &wanted, &a, err);

    if (rc == 0 && pg_true(a, 0, 0))
        rc = err_set(err, EBUSY, "part %s is being loaded by another session", values[2]);
    else if (rc == 0)
        rc = err_set(err, ESTALE, "this copy is over: another one of its name has begun");
    pg_answer_free(a);
    return rc;
}

int pg_record_claim(struct pg_conn *conn, const char *name, int64_t run, uint32_t chunk,
                    uint64_t *rows, struct err *err)
{
    static const struct pg_wanted wanted = {"bN", 0, 1};
    struct numbers n;
    const char *values[] = {name, of_run(&n, run), of_chunk(&n, chunk)};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn,
                    "SELECT done_at IS NOT NULL, rows FROM asofs.chunk"
                    " WHERE view = $1 AND run = $2 AND chunk = $3 FOR UPDATE SKIP LOCKED",
                    3, values, &wanted, &a, err);

    if (rc == 0 && !pg_rows(a))
        rc = refuse_claim(conn, values, err);
    else if (rc == 0 && pg_true(a, 0, 0)) {
        *rows = pg_number(a, 0, 1);
        rc = 1;
    }
    pg_answer_free(a);
    return rc;
}

int pg_record_chunk_done(struct pg_conn *conn, const char *name, int64_t run, uint32_t chunk,
                         uint64_t rows, struct err *err)
{
    struct numbers n;
    const char *values[] = {name, of_run(&n, run), of_chunk(&n, chunk), of_rows(&n, rows)};

    return pg_run_with(conn,
                       "UPDATE asofs.chunk SET done_at = pg_catalog.clock_timestamp(), rows = $4"
                       " WHERE view = $1 AND run = $2 AND chunk = $3",
                       4, values, err);
}

/* ---- tables ---- */

int pg_record_cleared(struct pg_conn *conn, const char *name, const char *target_schema,
                      const char *table, struct err *err)
{
    const char *values[] = {name, target_schema, table};

    return pg_run_with(conn,
                       "UPDATE asofs.\"table\" SET cleared_at = pg_catalog.clock_timestamp()"
                       " WHERE view = $1 AND target_schema = $2 AND name = $3",
                       3, values, err);
}

int pg_record_loaded(struct pg_conn *conn, const char *name, const char *target_schema,
                     const char *table, uint64_t rows, const char *checksum, struct err *err)
{
    struct numbers n;
    const char *values[] = {name, target_schema, table, of_rows(&n, rows), checksum};

    return pg_run_with(conn,
                       "UPDATE asofs.\"table\" SET loaded_at = pg_catalog.clock_timestamp(),"
                       " rows = $4, xxh3 = $5"
                       " WHERE view = $1 AND target_schema = $2 AND name = $3",
                       5, values, err);
}

/* ---- looking ---- */

#define TIME(column)                                                                               \
    "pg_catalog.to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

static const char views_sql[] = "SELECT name, state, " TIME("moment") ", lsn, source, " TIME(
    "published_at") ", tables, rows"
                    " FROM asofs.view WHERE $1::text IS NULL OR name = $1 ORDER BY name";

static const char entries_sql[] =
    "WITH last AS (SELECT view, pg_catalog.max(run) AS run FROM asofs.\"table\" GROUP BY view)"
    " SELECT t.view, t.target_schema, t.name, t.filter, " TIME("t.cleared_at") ", " TIME(
        "t.loaded_at") ", t.xxh3, t.rows"
                       " FROM asofs.\"table\" t JOIN last USING (view, run)"
                       " WHERE $1::text IS NULL OR t.view = $1 ORDER BY 1, 2, 3";

static char *copy_text(const struct pg_answer *a, size_t row, size_t column)
{
    return mem_strdup(pg_text(a, row, column));
}

static int read_views(struct pg_conn *conn, const char *name, struct pg_record *r, struct err *err)
{
    static const struct pg_wanted wanted = {"ttTTTTNN", 0, PG_MANY};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, views_sql, 1, &name, &wanted, &a, err);
    size_t i;

    if (rc < 0)
        return rc;
    r->nviews = pg_rows(a);
    r->views = mem_array(r->nviews, sizeof(*r->views));
    for (i = 0; i < r->nviews; i++)
        r->views[i] = (struct pg_record_view){.name = copy_text(a, i, 0),
                                              .state = copy_text(a, i, 1),
                                              .moment = copy_text(a, i, 2),
                                              .lsn = copy_text(a, i, 3),
                                              .source = copy_text(a, i, 4),
                                              .published_at = copy_text(a, i, 5),
                                              .tables = pg_number(a, i, 6),
                                              .rows = pg_number(a, i, 7)};
    pg_answer_free(a);
    return 0;
}

static int read_entries(struct pg_conn *conn, const char *name, struct pg_record *r,
                        struct err *err)
{
    static const struct pg_wanted wanted = {"tttTTTTN", 0, PG_MANY};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, entries_sql, 1, &name, &wanted, &a, err);
    size_t i;

    if (rc < 0)
        return rc;
    r->nentries = pg_rows(a);
    r->entries = mem_array(r->nentries, sizeof(*r->entries));
    for (i = 0; i < r->nentries; i++)
        r->entries[i] = (struct pg_record_entry){.view = copy_text(a, i, 0),
                                                 .schema = copy_text(a, i, 1),
                                                 .name = copy_text(a, i, 2),
                                                 .filter = copy_text(a, i, 3),
                                                 .cleared_at = copy_text(a, i, 4),
                                                 .loaded_at = copy_text(a, i, 5),
                                                 .checksum = copy_text(a, i, 6),
                                                 .rows = pg_number(a, i, 7)};
    pg_answer_free(a);
    return 0;
}

/* Once there is a schema that is ours. */
static int check_there(struct pg_conn *conn, struct err *err)
{
    static const struct pg_wanted wanted = {"bbbtt", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, look_sql, 0, NULL, &wanted, &a, err);

    if (rc == 0 && (!pg_true(a, 0, THERE) || !pg_true(a, 0, OURS)))
        rc = err_set(err, ENOENT, "no copy has been made into the database %s",
                     pg_text(a, 0, DATABASE));
    pg_answer_free(a);
    return rc;
}

int pg_record_read(struct pg_conn *conn, const char *name, struct pg_record **record,
                   struct err *err)
{
    struct pg_record *r = mem_alloc(sizeof(*r));
    int rc = pg_begin(conn, PG_READ_ONLY, true, NULL, err);

    if (rc == 0)
        rc = check_there(conn, err);
    if (rc == 0)
        rc = read_views(conn, name, r, err);
    if (rc == 0)
        rc = read_entries(conn, name, r, err);
    pg_rollback(conn);
    if (rc == 0 && name && !r->nviews && !r->nentries)
        rc = err_set(err, ENOENT, "no copy with the name \"%s\" has been made into this database",
                     name);
    if (rc < 0) {
        pg_record_free(r);
        r = NULL;
    }
    *record = r;
    return rc;
}

void pg_record_free(struct pg_record *r)
{
    size_t i;

    if (!r)
        return;
    for (i = 0; i < r->nviews; i++) {
        struct pg_record_view *v = &r->views[i];

        free(v->name);
        free(v->state);
        free(v->moment);
        free(v->lsn);
        free(v->source);
        free(v->published_at);
    }
    for (i = 0; i < r->nentries; i++) {
        struct pg_record_entry *e = &r->entries[i];

        free(e->view);
        free(e->schema);
        free(e->name);
        free(e->filter);
        free(e->cleared_at);
        free(e->loaded_at);
        free(e->checksum);
    }
    free(r->views);
    free(r->entries);
    free(r);
}

/* ---- waiting ---- */

/* 1: it is current, and new enough. A schema that is not there yet may come. */
static int is_current(struct pg_conn *conn, const char *const *values, struct err *err)
{
    static const struct pg_wanted there = {"b", 1, 1};
    static const struct pg_wanted wanted = {"b", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, "SELECT pg_catalog.to_regclass('asofs.view') IS NOT NULL", 0, NULL,
                    &there, &a, err);

    if (rc < 0)
        return rc;
    rc = pg_true(a, 0, 0);
    pg_answer_free(a);
    if (rc == 0)
        return 0;
    rc = pg_ask(conn,
                "SELECT EXISTS (SELECT FROM asofs.view WHERE name = $1 AND state = 'current'"
                " AND ($2::timestamptz IS NULL OR moment > $2::timestamptz))",
                2, values, &wanted, &a, err);
    if (rc == 0)
        rc = pg_true(a, 0, 0);
    pg_answer_free(a);
    return rc;
}

static int check_time(struct pg_conn *conn, const char *time, struct err *err)
{
    static const struct pg_wanted wanted = {"T", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, "SELECT $1::timestamptz::text", 1, &time, &wanted, &a, err);

    pg_answer_free(a);
    return rc == 0 || rc == -ECONNRESET || rc == -EINTR
               ? rc
               : err_set(err, EINVAL, "\"%s\" is not a time: %s", time, err->text);
}

int pg_record_wait(struct pg_conn *conn, const char *name, const char *newer_than, struct err *err)
{
    const char *values[] = {name, newer_than};
    int rc = check_time(conn, newer_than, err);

    if (rc == 0)
        rc = pg_run(conn, "LISTEN asofs", err);
    while (rc == 0 && (rc = is_current(conn, values, err)) == 0)
        rc = pg_await_notice(conn, WAIT_LOOK_MS, err);
    return rc < 0 ? rc : 0;
}
