#include "pg/record.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "pg/internal.h"
#include "pg/overlap.h"

#define NAME_PATIENCE_MS 3000 /* for a session that is just ending */
#define LIST_PATIENCE "30000" /* ms: for workers of an earlier copy, whose host may be cut off */
#define LOOK_AGAIN_MS 200
#define FORMAT "asofs: format "
#define COMMENT FORMAT "1"
#define WAIT_LOOK_MS 60000
#define STANDBY_LOOK_MS 2000 /* it cannot listen */

/* What lasts as long as the lock of the name, which is the session's, has to be the session's too:
 * it may be silent for long, and if our host is cut off, it is to end soon. */
static const char session_settings[] =
    "SET idle_session_timeout = 0; SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 3;"
    "SET tcp_keepalives_count = 3; SET tcp_user_timeout = 14000";

/* ---- transactions ---- */

static int begin_writing(struct pg_conn *conn, struct err *err)
{
    return pg_begin(conn, PG_READ_WRITE, false, "SET LOCAL client_min_messages = error", err);
}

int pg_record_end_writing(struct pg_conn *conn, int rc, struct err *err)
{
    if (rc == 0)
        rc = pg_run(conn, "COMMIT", err);
    if (rc < 0)
        pg_rollback(conn);
    return rc;
}

/* ---- the schema ---- */

/*
 * asofs.view. Unlogged tables lose their rows when the server crashes or is restored, and a standby
 * has none, so asofs.marker loses its row with them: its file is empty then, which can be seen without
 * reading it, also on a standby. One that is filled again has another file; what was lost stays so.
 */
#define LABELS                                                                                     \
    "SELECT l.name, CASE WHEN l.state = 'current' AND l.marker IS NOT NULL"                        \
    "  AND (l.marker IS DISTINCT FROM pg_catalog.pg_relation_filenode('asofs.marker')"             \
    "   OR pg_catalog.pg_relation_size('asofs.marker') = 0) THEN 'lost' ELSE l.state END"          \
    "  AS state, l.moment, l.lsn, l.source, l.tables, l.rows, l.published_at FROM asofs.label l"

static const char make_sql[] =
    "CREATE SCHEMA asofs; COMMENT ON SCHEMA asofs IS '" COMMENT "';"
    "CREATE TABLE asofs.label (name text PRIMARY KEY, state text NOT NULL, moment timestamptz,"
    " lsn pg_lsn, source text, tables integer, rows bigint, published_at timestamptz, marker oid);"
    "CREATE UNLOGGED TABLE asofs.marker (made_at timestamptz);"
    "CREATE VIEW asofs.view AS " LABELS ";"
    "CREATE TABLE asofs.\"table\" (view text, schema text, name text, target_schema text,"
    " filter text, run bigint NOT NULL, cleared_at timestamptz, loaded_at timestamptz,"
    " rows bigint, xxh3 text, unlogged boolean, PRIMARY KEY (view, target_schema, name));"
    "CREATE TABLE asofs.chunk (view text, run bigint, chunk integer, rows bigint,"
    " done_at timestamptz, PRIMARY KEY (view, run, chunk));"
    "GRANT USAGE ON SCHEMA asofs TO PUBLIC;"
    "GRANT SELECT ON asofs.view, asofs.label, asofs.\"table\", asofs.chunk TO PUBLIC";

enum { THERE, SAYS, MAY_CREATE, DATABASE, ROLE };

static const struct pg_wanted look_wanted = {"btbtt", 1, 1};

static const char look_sql[] =
    "SELECT n.oid IS NOT NULL, coalesce(pg_catalog.obj_description(n.oid, 'pg_namespace'), ''),"
    " pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'),"
    " pg_catalog.quote_ident(pg_catalog.current_database()), pg_catalog.quote_ident(current_user)"
    " FROM (SELECT 1) x LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = 'asofs'";

static int make_schema(struct pg_conn *conn, const struct pg_answer *a, struct err *err)
{
    if (!pg_true(a, 0, MAY_CREATE))
        return err_set(err, EACCES,
                       "a schema \"asofs\" cannot be made: GRANT CREATE ON DATABASE %s TO %s",
                       pg_text(a, 0, DATABASE), pg_text(a, 0, ROLE));
    return pg_run(conn, make_sql, err);
}

static int check_comment(const char *comment, struct err *err)
{
    if (strcmp(comment, COMMENT) == 0)
        return 0;
    if (strncmp(comment, FORMAT, strlen(FORMAT)) == 0)
        return err_set(err, EEXIST,
                       "the schema \"asofs\" is of another version of asofs: \"%s\", not \"" COMMENT
                       "\"",
                       comment);
    return err_set(err, EEXIST,
                   "the schema \"asofs\" is not ours: it does not have the comment \"" COMMENT
                   "\"");
}

static int look_at_schema(struct pg_conn *conn, struct err *err)
{
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, look_sql, 0, NULL, &look_wanted, &a, err);

    if (rc == 0 && !pg_true(a, 0, THERE))
        rc = make_schema(conn, a, err);
    else if (rc == 0)
        rc = check_comment(pg_text(a, 0, SAYS), err);
    pg_answer_free(a);
    return rc;
}

/*
 * Who may create a schema could make this one, with our comment, and what stands in it would be run
 * by whoever copies. So its tables have to be plain ones; and as those of another role can change at
 * any time, also by who owns the schema, those of a role that is no superuser are not for superusers. Nobody of us reads the view.
 */
static const char odd_sql[] =
    "SELECT pg_catalog.string_agg(w.name || x.what, ', ' ORDER BY w.name, x.what)"
    " FROM pg_catalog.unnest($1::text[]) w(name)"
    " LEFT JOIN pg_catalog.pg_class c ON c.relname = w.name"
    "  AND c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'asofs')"
    " CROSS JOIN LATERAL ("
    "SELECT CASE w.name WHEN 'view' THEN ' is no view' ELSE ' is no table' END AS what"
    "  WHERE c.relkind IS DISTINCT FROM CASE w.name WHEN 'view' THEN 'v' ELSE 'r' END::\"char\""
    "  OR c.relpersistence <> CASE w.name WHEN 'marker' THEN 'u' ELSE 'p' END::\"char\""
    " UNION ALL SELECT ' has a trigger' FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid"
    " UNION ALL SELECT ' has a rule' FROM pg_catalog.pg_rewrite r WHERE r.ev_class = c.oid"
    "  AND r.ev_type <> '1'"
    " UNION ALL SELECT ' has row security' WHERE c.relrowsecurity"
    " UNION ALL SELECT ' has a default' FROM pg_catalog.pg_attrdef d WHERE d.adrelid = c.oid"
    " UNION ALL SELECT ' has the constraint ' || k.conname FROM pg_catalog.pg_constraint k"
    "  WHERE k.conrelid = c.oid AND k.contype NOT IN ('p', 'u', 'n')"
    " UNION ALL SELECT ' has an index on an expression' FROM pg_catalog.pg_index i"
    "  WHERE i.indrelid = c.oid AND (i.indexprs IS NOT NULL OR i.indpred IS NOT NULL)"
    " UNION ALL SELECT ' inherits' FROM pg_catalog.pg_inherits h"
    "  WHERE c.oid IN (h.inhrelid, h.inhparent)"
    " UNION ALL SELECT ' has a column of type ' || y.typname FROM pg_catalog.pg_attribute a"
    "  JOIN pg_catalog.pg_type y ON y.oid = a.atttypid WHERE a.attrelid = c.oid"
    "  AND y.typnamespace <> (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'pg_catalog')"
    " UNION ALL SELECT ' belongs to ' || o.rolname FROM pg_catalog.pg_roles o"
    "  WHERE o.oid = c.relowner AND NOT o.rolsuper"
    "  AND (SELECT u.rolsuper FROM pg_catalog.pg_roles u WHERE u.rolname = current_user)"
    " UNION ALL SELECT ' is in a schema of ' || o.rolname FROM pg_catalog.pg_namespace n"
    "  JOIN pg_catalog.pg_roles o ON o.oid = n.nspowner WHERE w.name = 'view'"
    "  AND n.nspname = 'asofs' AND NOT o.rolsuper"
    "  AND (SELECT u.rolsuper FROM pg_catalog.pg_roles u WHERE u.rolname = current_user)) x";

int pg_record_check_plain(struct pg_conn *conn, const char *tables, struct err *err)
{
    static const struct pg_wanted wanted = {"T", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, odd_sql, 1, &tables, &wanted, &a, err);

    if (rc == 0 && !pg_is_null(a, 0, 0)) {
        rc =
            err_set(err, EEXIST, "the schema \"asofs\" is not as we make it: %s", pg_text(a, 0, 0));
        err_hint(err, "Whatever stands in it would be run by who copies. DROP SCHEMA asofs CASCADE "
                      "forgets what it says of copies; a superuser may ALTER TABLE … OWNER TO, and "
                      "ALTER SCHEMA.");
    }
    pg_answer_free(a);
    return rc;
}

static const char rights_sql[] =
    "SELECT pg_catalog.count(DISTINCT c.oid) = 5,"
    " pg_catalog.bool_and(pg_catalog.has_schema_privilege(n.oid, 'USAGE')"
    " AND coalesce(pg_catalog.has_table_privilege(c.oid, p), true)),"
    " pg_catalog.quote_ident(current_user)"
    " FROM pg_catalog.pg_namespace n, pg_catalog.unnest(ARRAY['SELECT', 'INSERT', 'UPDATE',"
    " 'DELETE', 'TRUNCATE']) p,"
    " pg_catalog.unnest(ARRAY['view', 'label', 'marker', 'table', 'chunk']::name[]) t"
    " LEFT JOIN pg_catalog.pg_class c ON c.relname = t"
    " AND c.relkind = CASE t WHEN 'view' THEN 'v' ELSE 'r' END"
    " AND c.relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'asofs')"
    " WHERE n.nspname = 'asofs'";

static int check_rights(struct pg_conn *conn, struct err *err)
{
    static const struct pg_wanted wanted = {"bbt", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, rights_sql, 0, NULL, &wanted, &a, err);

    if (rc == 0 && !pg_true(a, 0, 0))
        rc = err_set(
            err, EEXIST,
            "the schema \"asofs\" does not have its tables label, marker, table and chunk and "
            "its view \"view\" (any more); DROP SCHEMA asofs CASCADE, and it is made anew");
    else if (rc == 0 && !pg_true(a, 0, 1))
        rc = err_set(err, EACCES,
                     "the tables of the schema \"asofs\" may not be written: GRANT USAGE ON SCHEMA "
                     "asofs TO %s; GRANT ALL ON ALL TABLES IN SCHEMA asofs TO %s",
                     pg_text(a, 0, 2), pg_text(a, 0, 2));
    pg_answer_free(a);
    return rc;
}

/* One at a time makes it; who comes second finds it. */
static int prepare_schema(struct pg_conn *conn, struct err *err)
{
    int rc = begin_writing(conn, err);

    if (rc == 0)
        rc = pg_run(conn, PG_ONE_AT_A_TIME, err);
    if (rc == 0)
        rc = look_at_schema(conn, err);
    if (rc == 0)
        rc = check_rights(conn, err);
    if (rc == 0)
        rc = pg_record_check_plain(conn, "{view,label,marker,table,chunk}", err);
    return pg_record_end_writing(conn, rc, err);
}

/* ---- the name ---- */

/* Who may not see more of other roles' sessions does not see since when. */
static const char holder_sql[] =
    "SELECT a.pid, coalesce(a.application_name, ''),"
    " coalesce(', since ' || pg_catalog.to_char(a.backend_start AT TIME ZONE 'UTC',"
    " 'YYYY-MM-DD HH24:MI:SS \"UTC\"'), '')"
    " FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)"
    " WHERE" PG_HOLDS_NAME("$1") " LIMIT 1";

static int refuse_name(struct pg_conn *conn, const char *name, struct err *err)
{
    static const struct pg_wanted wanted = {"ntt", 0, 1};
    struct pg_answer *a = NULL;
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);

    if (rc == 0)
        rc = pg_ask(conn, holder_sql, 1, &name, &wanted, &a, err);
    pg_rollback(conn);
    if (rc < 0)
        return rc;
    err_set(err, EBUSY, "another copy with the name \"%s\" is under way", name);
    if (pg_rows(a))
        err_hint(err, "it is \"%s\", server process %llu%s", pg_text(a, 0, 1),
                 (unsigned long long)pg_number(a, 0, 0), pg_text(a, 0, 2));
    pg_answer_free(a);
    return -err->code;
}

/* 1: it is so; 0: it is not. */
static int ask_truth(struct pg_conn *conn, const char *sql, int n, const char *const *values,
                     struct err *err)
{
    static const struct pg_wanted wanted = {"b", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, sql, n, values, &wanted, &a, err);

    if (rc == 0)
        rc = pg_true(a, 0, 0);
    pg_answer_free(a);
    return rc;
}

static int try_name(struct pg_conn *conn, const char *name, struct err *err)
{
    return ask_truth(
        conn, "SELECT pg_catalog.pg_try_advisory_lock(" PG_LOCK_CLASS ", pg_catalog.hashtext($1))",
        1, &name, err);
}

static int take_name(struct pg_conn *conn, const char *name, struct err *err)
{
    int64_t until = clock_ms() + NAME_PATIENCE_MS;
    int rc, rc2 = 0;

    while (rc2 == 0 && (rc = try_name(conn, name, err)) == 0 && clock_ms() < until)
        rc2 = pg_await_notice(conn, LOOK_AGAIN_MS, err);
    if (rc2 < 0 || rc < 0)
        return rc2 < 0 ? rc2 : rc;
    return rc > 0 ? 0 : refuse_name(conn, name, err);
}

int pg_record_check_name(struct pg_conn *conn, const char *name, struct err *err)
{
    int rc = ask_truth(conn,
                       "SELECT EXISTS (SELECT FROM pg_catalog.pg_locks l"
                       " WHERE l.pid = pg_catalog.pg_backend_pid() AND" PG_HOLDS_NAME("$1") ")",
                       1, &name, err);

    if (rc == 0)
        return err_set(
            err, ESTALE,
            "the name \"%s\" is not held any more: there is something between us and the "
            "server that changes sessions (a pooler of transactions)",
            name);
    return rc < 0 ? rc : 0;
}

int pg_record_prepare(struct pg_conn *conn, const char *name, struct err *err)
{
    int rc = prepare_schema(conn, err);

    if (rc == 0)
        rc = pg_run(conn, session_settings, err);
    return rc < 0 ? rc : take_name(conn, name, err);
}

/* ---- the list ---- */

enum { P_NAME, P_TARGETS, P_NAMES, P_SCHEMAS, P_FILTERS, P_RUN, LIST_PARAMETERS };

#define FIRST_THREE (P_NAMES + 1)
#define LISTED "unnest($2::text[], $3::text[]) AS l(t, n)"
#define IS_LISTED "EXISTS (SELECT FROM " LISTED " WHERE l.t = o.target_schema AND l.n = o.name)"
#define IS_THERE                                                                                   \
    "EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace s"                     \
    " ON s.oid = c.relnamespace WHERE s.nspname = o.target_schema AND c.relname = o.name)"
#define NAMES_OF "pg_catalog.string_agg(pg_catalog.format("
#define IN_ORDER ", ', ' ORDER BY o.target_schema, o.name)"

static const char others_sql[] =
    "WITH running AS (SELECT o.view, pg_catalog.max(o.run) AS run FROM asofs.\"table\" o"
    " WHERE o.view <> $1 AND EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE" PG_HOLDS_NAME(
        "o.view") ")"
                  " GROUP BY o.view), sharing AS (" PG_SHARING(
                      LISTED) ") SELECT " NAMES_OF
                              "'%I.%I (by \"%s\")', o.target_schema, o.name, o.view)" IN_ORDER
                              " FROM asofs.\"table\" o JOIN running USING (view, run) "
                              "WHERE " IS_LISTED " OR " PG_OID_OF(
                                  "o.target_schema", "o.name") " IN (SELECT oid FROM sharing)";

/* Tables that are not there any more are forgotten. */
static const char unlisted_sql[] =
    "SELECT " NAMES_OF "'%I.%I', o.target_schema, o.name)" IN_ORDER " FROM asofs.\"table\" o"
    " WHERE o.view = $1 AND o.loaded_at IS NOT NULL AND " IS_THERE " AND NOT " IS_LISTED;

static const char delete_sql[] =
    "DELETE FROM asofs.\"table\" o WHERE o.view = $1 AND NOT " IS_THERE;

static const char run_sql[] = "SELECT greatest(pg_catalog.max(run) + 1,"
                              " (extract(epoch FROM pg_catalog.clock_timestamp()) * 1000)::bigint)"
                              " FROM asofs.\"table\" WHERE view = $1";

static const char insert_sql[] =
    "INSERT INTO asofs.\"table\" (view, schema, name, target_schema, filter, run)"
    " SELECT $1, l.s, l.n, l.t, l.f, $6 FROM"
    " unnest($2::text[], $3::text[], $4::text[], $5::text[]) AS l(t, n, s, f)"
    " ON CONFLICT (view, target_schema, name) DO UPDATE SET schema = excluded.schema,"
    " filter = excluded.filter, run = excluded.run, cleared_at = NULL, loaded_at = NULL,"
    " rows = NULL, xxh3 = NULL";

static const char chunks_sql[] =
    "WITH gone AS (DELETE FROM asofs.chunk WHERE view = $1)"
    " INSERT INTO asofs.chunk (view, run, chunk)"
    " SELECT $1, $2::bigint, g FROM pg_catalog.generate_series(-$4::integer, $3::integer - 1) g";

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
    size_t i;

    for (i = P_TARGETS; i <= P_FILTERS; i++)
        buf_putc(&b[i], '{');
    for (i = 0; i < n; i++) {
        pg_put_element(&b[P_TARGETS], tables[i].target_schema);
        pg_put_element(&b[P_NAMES], tables[i].name);
        pg_put_element(&b[P_SCHEMAS], tables[i].schema);
        pg_put_element(&b[P_FILTERS], tables[i].filter);
    }
    for (i = P_TARGETS; i <= P_FILTERS; i++) {
        buf_putc(&b[i], '}');
        values[i] = buf_steal(&b[i]);
    }
}

/* Two at once would exchange rows that neither knows of. */
static int refuse_others(struct pg_conn *conn, const char *const *values, struct err *err)
{
    char *others = NULL;
    int rc = ask_text(conn, others_sql, FIRST_THREE, values, &others, err);

    if (others)
        rc =
            err_set(err, EBUSY, "another copy that is under way fills the same tables: %s", others);
    free(others);
    return rc;
}

static int write_chunks(struct pg_conn *conn, const char *name, const char *run,
                        const struct pg_record_table *tables, size_t n, uint64_t others,
                        struct err *err)
{
    char parts[24], below[24];
    const char *values[] = {name, run, parts, below};
    unsigned long long sum = 0;
    size_t i;

    for (i = 0; i < n; i++)
        sum += tables[i].parts;
    snprintf(parts, sizeof(parts), "%llu", sum);
    snprintf(below, sizeof(below), "%llu", (unsigned long long)others);
    return pg_run_with(conn, chunks_sql, 4, values, err);
}

static int write_list(struct pg_conn *conn, char **values, char **unlisted, struct err *err)
{
    const char *const *v = (const char *const *)values;
    int rc = pg_run(conn, PG_ONE_AT_A_TIME, err);

    if (rc == 0)
        rc = refuse_others(conn, v, err);
    if (rc == 0)
        rc = ask_text(conn, run_sql, 1, v, &values[P_RUN], err);
    if (rc == 0)
        rc = ask_text(conn, unlisted_sql, FIRST_THREE, v, unlisted, err);
    if (rc == 0)
        rc = pg_run_with(conn, delete_sql, 1, v, err);
    return rc < 0 ? rc : pg_run_with(conn, insert_sql, LIST_PARAMETERS, v, err);
}

/* What a worker of an earlier copy is still at has an end before the list is ours: what it writes
 * is there before our clearing begins, or not at all. */
static int begin_list(struct pg_conn *conn, const char *name, struct err *err)
{
    int rc = begin_writing(conn, err);

    if (rc == 0)
        rc = pg_run(conn, "SET LOCAL lock_timeout = " LIST_PATIENCE, err);
    return rc < 0 ? rc : pg_record_check_name(conn, name, err);
}

int pg_record_list(struct pg_conn *conn, const char *name, const struct pg_record_table *tables,
                   size_t n, uint64_t others, int64_t *run, char **unlisted, struct err *err)
{
    char *values[LIST_PARAMETERS] = {mem_strdup(name)};
    size_t i;
    int rc = begin_list(conn, name, err);

    *unlisted = NULL;
    list_values(tables, n, values);
    if (rc == 0)
        rc = write_list(conn, values, unlisted, err);
    if (rc == 0)
        rc = write_chunks(conn, name, values[P_RUN], tables, n, others, err);
    rc = pg_record_end_writing(conn, rc, err);
    if (rc == 0)
        *run = strtoll(values[P_RUN], NULL, 10);
    for (i = 0; i < LIST_PARAMETERS; i++)
        free(values[i]);
    return rc == -EBUSY ? err_prefix(err, "the list of the copy cannot be written") : rc;
}

/* ---- chunks ---- */

struct numbers {
    char run[24], chunk[24], rows[24];
};

static int refuse_old(struct err *err)
{
    return err_set(err, ESTALE, "this copy is over: another one of its name has begun");
}

static const char *of_run(struct numbers *n, int64_t run)
{
    snprintf(n->run, sizeof(n->run), "%lld", (long long)run);
    return n->run;
}

static const char *of_chunk(struct numbers *n, int64_t chunk)
{
    snprintf(n->chunk, sizeof(n->chunk), "%lld", (long long)chunk);
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
    int rc = begin_writing(conn, err);

    if (rc == 0)
        rc = pg_run_with(conn, "DELETE FROM asofs.chunk WHERE view = $1 AND run = $2", 2, values,
                         err);
    return pg_record_end_writing(conn, rc, err);
}

/* It is locked by another session, or there is none. */
static int refuse_claim(struct pg_conn *conn, const char *const *values, struct err *err)
{
    int rc = ask_truth(conn,
                       "SELECT EXISTS (SELECT FROM asofs.chunk"
                       " WHERE view = $1 AND run = $2 AND chunk = $3)",
                       3, values, err);

    if (rc == 0)
        return refuse_old(err);
    if (rc > 0 && *values[2] == '-')
        return err_set(err, EBUSY, "another session is still at it");
    return rc < 0 ? rc
                  : err_set(err, EBUSY, "part %s is being loaded by another session", values[2]);
}

int pg_record_claim(struct pg_conn *conn, const char *name, int64_t run, int64_t chunk,
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

/* A row of ours; there is none when another copy of the name has written its list. */
static int update_ours(struct pg_conn *conn, const char *sql, int n, const char *const *values,
                       struct err *err)
{
    static const struct pg_wanted wanted = {"b", 0, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, sql, n, values, &wanted, &a, err);

    if (rc == 0 && !pg_rows(a))
        rc = refuse_old(err);
    pg_answer_free(a);
    return rc;
}

int pg_record_chunk_done(struct pg_conn *conn, const char *name, int64_t run, int64_t chunk,
                         uint64_t rows, struct err *err)
{
    struct numbers n;
    const char *values[] = {name, of_run(&n, run), of_chunk(&n, chunk), of_rows(&n, rows)};

    return update_ours(conn,
                       "UPDATE asofs.chunk SET done_at = pg_catalog.clock_timestamp(), rows = $4"
                       " WHERE view = $1 AND run = $2 AND chunk = $3 RETURNING true",
                       4, values, err);
}

/* ---- tables ---- */

int pg_record_cleared(struct pg_conn *conn, const char *name, int64_t run,
                      const char *target_schema, const char *table, struct err *err)
{
    struct numbers n;
    const char *values[] = {name, of_run(&n, run), target_schema, table};

    return update_ours(conn,
                       "UPDATE asofs.\"table\" SET cleared_at = pg_catalog.clock_timestamp()"
                       " WHERE view = $1 AND run = $2 AND target_schema = $3 AND name = $4"
                       " RETURNING true",
                       4, values, err);
}

int pg_record_loaded(struct pg_conn *conn, const char *name, int64_t run, const char *target_schema,
                     const char *table, uint64_t rows, const char *checksum, struct err *err)
{
    struct numbers n;
    const char *values[] = {name,  of_run(&n, run),   target_schema,
                            table, of_rows(&n, rows), checksum};
    int rc = begin_writing(conn, err);

    if (rc == 0)
        rc = update_ours(conn,
                         "UPDATE asofs.\"table\" SET rows = $5, xxh3 = $6,"
                         " loaded_at = coalesce(loaded_at, pg_catalog.clock_timestamp())"
                         " WHERE view = $1 AND run = $2 AND target_schema = $3 AND name = $4"
                         " RETURNING true",
                         6, values, err);
    return pg_record_end_writing(conn, rc, err);
}

/* ---- looking ---- */

#define TIME(column)                                                                               \
    "pg_catalog.to_char(" column " AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"

static const char views_sql[] = "SELECT name, state, " TIME("moment") ", lsn, source, " TIME(
    "published_at") ", tables, rows"
                    " FROM (" LABELS ") v WHERE $1::text IS NULL OR name = $1 ORDER BY name";

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

/* 1: there is a schema of ours; 0: there is none (yet). */
static int is_there(struct pg_conn *conn, struct err *err)
{
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, look_sql, 0, NULL, &look_wanted, &a, err);

    if (rc == 0 && pg_true(a, 0, THERE))
        rc = check_comment(pg_text(a, 0, SAYS), err) < 0 ? -EEXIST : 1;
    pg_answer_free(a);
    return rc;
}

int pg_record_check_there(struct pg_conn *conn, struct err *err)
{
    int rc = is_there(conn, err);

    if (rc == 0)
        return err_set(err, ENOENT, "no copy has been made into this database");
    return rc < 0 ? rc : 0;
}

int pg_record_read(struct pg_conn *conn, const char *name, struct pg_record **record,
                   struct err *err)
{
    struct pg_record *r = mem_alloc(sizeof(*r));
    int rc = pg_begin(conn, PG_READ_ONLY, true, NULL, err);

    if (rc == 0)
        rc = pg_record_check_there(conn, err);
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
static int look_whether_current(struct pg_conn *conn, const char *const *values, struct err *err)
{
    int rc = is_there(conn, err);

    if (rc <= 0)
        return rc;
    return ask_truth(conn,
                     "SELECT EXISTS (SELECT FROM (" LABELS
                     ") v WHERE name = $1 AND state = 'current'"
                     " AND ($2::timestamptz IS NULL OR moment > $2::timestamptz))",
                     2, values, err);
}

static int is_current(struct pg_conn *conn, const char *const *values, struct err *err)
{
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);

    if (rc == 0)
        rc = look_whether_current(conn, values, err);
    pg_rollback(conn);
    return rc;
}

/* The time as it is meant now ("yesterday"), so that it stays what it is. */
static int read_time(struct pg_conn *conn, const char *given, char **time, struct err *err)
{
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);

    if (rc == 0)
        rc = ask_text(conn, "SELECT $1::timestamptz::text", 1, &given, time, err);
    pg_rollback(conn);
    if (rc != -EIO)
        return rc;
    err->code = EINVAL;
    return err_prefix(err, "\"%s\" is not a time", given);
}

/* A standby cannot listen; there it is looked at oftener. A session that waits is not idle. */
static int listen_to(struct pg_conn *conn, int64_t *look_ms, struct err *err)
{
    int rc = ask_truth(conn, "SELECT pg_catalog.pg_is_in_recovery()", 0, NULL, err);

    *look_ms = rc > 0 ? STANDBY_LOOK_MS : WAIT_LOOK_MS;
    if (rc < 0)
        return rc;
    return pg_run(conn,
                  rc > 0 ? "SET idle_session_timeout = 0"
                         : "SET idle_session_timeout = 0; LISTEN asofs",
                  err);
}

int pg_record_wait(struct pg_conn *conn, const char *name, const char *newer_than, struct err *err)
{
    const char *values[] = {name, NULL};
    int64_t look_ms = 0;
    char *time = NULL;
    int rc = newer_than ? read_time(conn, newer_than, &time, err) : 0;

    values[1] = time;
    if (rc == 0)
        rc = listen_to(conn, &look_ms, err);
    while (rc == 0 && (rc = is_current(conn, values, err)) == 0)
        rc = pg_await_notice(conn, look_ms, err);
    free(time);
    return rc < 0 ? rc : 0;
}
