#include "pg/objects.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "pg/internal.h"
#include "pg/publishing.h"

/* ---- the tables ---- */

#define OBJECT_COLUMNS                                                                             \
    "view text, schema text, name text, part integer, oid oid NOT NULL, bytes bigint NOT NULL,"    \
    " rows bigint, xxh3 text"

static const char make_sql[] =
    "CREATE TABLE asofs.flat_file (" OBJECT_COLUMNS ", PRIMARY KEY (view, schema, name, part));"
    "CREATE TABLE asofs.object (" OBJECT_COLUMNS ", run bigint NOT NULL);"
    "CREATE UNIQUE INDEX ON asofs.object (oid); CREATE INDEX ON asofs.object (view);"
    "GRANT SELECT ON asofs.flat_file, asofs.object TO PUBLIC";

enum { THERE, MAY_CREATE, ROLE, COMPATIBLE };

static const char look_sql[] =
    "SELECT pg_catalog.to_regclass('asofs.flat_file') IS NOT NULL"
    " AND pg_catalog.to_regclass('asofs.object') IS NOT NULL,"
    " pg_catalog.has_schema_privilege('asofs', 'CREATE'), pg_catalog.quote_ident(current_user),"
    " pg_catalog.current_setting('lo_compat_privileges')::boolean";

static int make_tables(struct pg_conn *conn, const struct pg_answer *a, struct err *err)
{
    if (!pg_true(a, 0, MAY_CREATE))
        return err_set(err, EACCES,
                       "tables cannot be made in schema \"asofs\": GRANT CREATE ON SCHEMA asofs TO "
                       "%s",
                       pg_text(a, 0, ROLE));
    return pg_run(conn, make_sql, err);
}

static const char may_sql[] = "SELECT pg_catalog.bool_and(pg_catalog.has_table_privilege(t, p)),"
                              " pg_catalog.quote_ident(current_user)"
                              " FROM pg_catalog.unnest(ARRAY['asofs.flat_file', 'asofs.object']) t,"
                              " pg_catalog.unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) p";

static int check_rights(struct pg_conn *conn, struct err *err)
{
    static const struct pg_wanted wanted = {"bt", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, may_sql, 0, NULL, &wanted, &a, err);

    if (rc == 0 && !pg_true(a, 0, 0))
        rc = err_set(err, EACCES,
                     "asofs.flat_file may not be written: GRANT ALL ON ALL TABLES IN SCHEMA asofs "
                     "TO %s",
                     pg_text(a, 0, 1));
    pg_answer_free(a);
    return rc;
}

/* As record.c of its tables: what another role attaches to one of these would run as a superuser. */
static int check_makers(struct pg_conn *conn, struct err *err)
{
    static const struct pg_wanted wanted = {"T", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn,
                    "SELECT string_agg(format('%s belongs to %I', c.relname, o.rolname), ', ')"
                    " FROM pg_class c JOIN pg_roles o ON o.oid = c.relowner"
                    " WHERE c.relnamespace = 'asofs'::regnamespace AND NOT o.rolsuper"
                    " AND c.relname IN ('flat_file', 'object')"
                    " AND (SELECT u.rolsuper FROM pg_roles u WHERE u.rolname = current_user)",
                    0, NULL, &wanted, &a, err);

    if (rc == 0 && !pg_is_null(a, 0, 0))
        rc =
            err_set(err, EEXIST, "the schema \"asofs\" is not as we make it: %s", pg_text(a, 0, 0));
    pg_answer_free(a);
    return rc;
}

/* Objects of another role could not be unlinked. */
static int check_owners(struct pg_conn *conn, const char *name, struct err *err)
{
    static const struct pg_wanted wanted = {"tt", 0, 1};
    struct pg_answer *a = NULL;
    int rc =
        pg_ask(conn,
               "SELECT DISTINCT pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(m.lomowner)),"
               " pg_catalog.quote_ident(current_user)"
               " FROM (SELECT oid FROM asofs.flat_file WHERE view = $1"
               "  UNION ALL SELECT oid FROM asofs.object WHERE view = $1) o"
               " JOIN pg_catalog.pg_largeobject_metadata m USING (oid)"
               " WHERE NOT pg_catalog.pg_has_role(m.lomowner, 'USAGE') LIMIT 1",
               1, &name, &wanted, &a, err);

    if (rc == 0 && pg_rows(a))
        rc = err_set(err, EACCES, "the copy \"%s\" belongs to another role: GRANT %s TO %s", name,
                     pg_text(a, 0, 0), pg_text(a, 0, 1));
    pg_answer_free(a);
    return rc;
}

/* As record.c makes the schema. */
#define ONE_AT_A_TIME "SELECT pg_catalog.pg_advisory_xact_lock(1634955110, 0)"

static int look_at_tables(struct pg_conn *conn, bool *compatible, struct err *err)
{
    static const struct pg_wanted wanted = {"bbtb", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_begin(conn, PG_READ_WRITE, false, ONE_AT_A_TIME, err);

    if (rc == 0)
        rc = pg_ask(conn, look_sql, 0, NULL, &wanted, &a, err);
    if (rc == 0 && !pg_true(a, 0, THERE))
        rc = make_tables(conn, a, err);
    if (rc == 0)
        *compatible = pg_true(a, 0, COMPATIBLE);
    pg_answer_free(a);
    if (rc == 0)
        rc = pg_run(conn, "COMMIT", err);
    if (rc < 0)
        pg_rollback(conn);
    return rc;
}

/* ---- a name is of one kind ---- */

static int is_there(struct pg_conn *conn, const char *sql, const char *name, struct err *err)
{
    static const struct pg_wanted wanted = {"b", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, sql, name ? 1 : 0, &name, &wanted, &a, err);

    if (rc == 0)
        rc = pg_true(a, 0, 0);
    pg_answer_free(a);
    return rc;
}

static int check_kind(struct pg_conn *conn, const char *name, struct err *err)
{
    int rc = is_there(conn,
                      "SELECT EXISTS (SELECT FROM asofs.label WHERE name = $1) AND NOT EXISTS"
                      " (SELECT FROM asofs.flat_file WHERE view = $1)",
                      name, err);

    if (rc > 0)
        return err_set(err, EEXIST,
                       "\"%s\" is a copy that fills tables: give another name (--name)", name);
    return rc;
}

int pg_objects_prepare(struct pg_conn *conn, const char *name, bool *compatible, struct err *err)
{
    int rc = look_at_tables(conn, compatible, err);

    if (rc == 0)
        rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);
    if (rc < 0)
        return rc;
    rc = check_makers(conn, err);
    if (rc == 0)
        rc = check_rights(conn, err);
    if (rc == 0)
        rc = check_owners(conn, name, err);
    if (rc == 0)
        rc = check_kind(conn, name, err);
    pg_rollback(conn);
    return rc;
}

#define ANY_SQL "SELECT pg_catalog.to_regclass('asofs.flat_file') IS NOT NULL"

int pg_objects_refuse(struct pg_conn *conn, const char *name, struct err *err)
{
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);

    if (rc == 0)
        rc = is_there(conn, ANY_SQL, NULL, err);
    if (rc > 0)
        rc = is_there(conn, "SELECT EXISTS (SELECT FROM asofs.flat_file WHERE view = $1)", name,
                      err);
    pg_rollback(conn);
    if (rc > 0)
        return err_set(err, EEXIST, "\"%s\" is a copy in large objects: give another name (--name)",
                       name);
    return rc;
}

/* ---- writing ---- */

int pg_objects_add(struct pg_conn *conn, const char *name, int64_t run, const struct pg_object *o,
                   struct err *err)
{
    char numbers[5][24];
    const char *values[] = {name,       o->schema,  o->name,     numbers[0], numbers[1],
                            numbers[2], numbers[3], o->checksum, numbers[4]};

    snprintf(numbers[0], sizeof(numbers[0]), "%u", o->part);
    snprintf(numbers[1], sizeof(numbers[1]), "%u", o->oid);
    snprintf(numbers[2], sizeof(numbers[2]), "%llu", (unsigned long long)o->bytes);
    snprintf(numbers[3], sizeof(numbers[3]), "%llu", (unsigned long long)o->rows);
    snprintf(numbers[4], sizeof(numbers[4]), "%lld", (long long)run);
    return pg_run_with(conn,
                       "INSERT INTO asofs.object (view, schema, name, part, oid, bytes, rows, xxh3,"
                       " run) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
                       9, values, err);
}

static int ask_object(struct pg_conn *conn, const char *const *values, struct pg_object *o,
                      struct err *err)
{
    static const struct pg_wanted wanted = {"nNT", 0, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn,
                    "SELECT bytes, rows, xxh3 FROM asofs.object WHERE view = $1 AND run = $2"
                    " AND schema = $3 AND name = $4 AND part = $5",
                    5, values, &wanted, &a, err);

    if (rc == 0 && !pg_rows(a))
        rc = err_set(err, ESTALE,
                     "an object of this copy is gone: another one of its name has begun");
    if (rc == 0) {
        o->bytes = pg_number(a, 0, 0);
        o->rows = pg_number(a, 0, 1);
        o->checksum = mem_strdup(pg_text(a, 0, 2));
    }
    pg_answer_free(a);
    return rc;
}

int pg_objects_find(struct pg_conn *conn, const char *name, int64_t run, struct pg_object *o,
                    struct err *err)
{
    char numbers[2][24];
    const char *values[] = {name, numbers[0], o->schema, o->name, numbers[1]};
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);

    snprintf(numbers[0], sizeof(numbers[0]), "%lld", (long long)run);
    snprintf(numbers[1], sizeof(numbers[1]), "%u", o->part);
    if (rc == 0)
        rc = ask_object(conn, values, o, err);
    pg_rollback(conn);
    return rc;
}

/* ---- unlinking ---- */

/* At most so many objects and, but for the first, bytes at a time. One that somebody unlinked is
 * not there. */
static const char sweep_sql[] =
    "WITH few AS MATERIALIZED (SELECT oid FROM (SELECT oid, sum(bytes) OVER (ORDER BY oid) - bytes"
    "  AS before FROM asofs.object WHERE view = $1 ORDER BY oid LIMIT 64) o"
    "  WHERE before < 268435456),"
    " gone AS (DELETE FROM asofs.object o USING few s WHERE o.oid = s.oid RETURNING o.oid)"
    " SELECT pg_catalog.count(pg_catalog.lo_unlink(m.oid)), (SELECT pg_catalog.count(*) FROM few)"
    " FROM pg_catalog.pg_largeobject_metadata m WHERE m.oid IN (SELECT oid FROM gone)";

/* 1: there may be more. */
static int sweep_some(struct pg_conn *conn, const char *name, struct err *err)
{
    static const struct pg_wanted wanted = {"nn", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_begin(conn, PG_READ_WRITE, false, NULL, err);
    bool more = false;

    if (rc == 0)
        rc = pg_ask(conn, sweep_sql, 1, &name, &wanted, &a, err);
    if (rc == 0)
        more = pg_number(a, 0, 1) > 0;
    pg_answer_free(a);
    if (rc == 0)
        rc = pg_run(conn, "COMMIT", err);
    if (rc < 0)
        pg_rollback(conn);
    return rc < 0 ? rc : more;
}

static int forget_list(struct pg_conn *conn, const char *name, struct err *err)
{
    int rc = pg_begin(conn, PG_READ_WRITE, false, NULL, err);

    if (rc == 0)
        rc = pg_run_with(conn, "DELETE FROM asofs.\"table\" WHERE view = $1", 1, &name, err);
    if (rc == 0)
        rc = pg_run(conn, "COMMIT", err);
    if (rc < 0)
        pg_rollback(conn);
    return rc;
}

int pg_objects_sweep(struct pg_conn *conn, const char *name, bool forget, struct err *err)
{
    int rc;

    do {
        rc = sweep_some(conn, name, err);
    } while (rc > 0);
    return rc == 0 && forget ? forget_list(conn, name, err) : rc;
}

/* ---- becoming current ---- */

#define MOVED "view, schema, name, part, oid, bytes, rows, xxh3"

static const char out_sql[] =
    "WITH old AS (DELETE FROM asofs.flat_file WHERE view = $1 RETURNING " MOVED ")"
    " INSERT INTO asofs.object (" MOVED ", run) SELECT " MOVED ", 0 FROM old";

static const char in_sql[] =
    "WITH new AS (DELETE FROM asofs.object WHERE view = $1 AND run = $2 RETURNING " MOVED ")"
    " INSERT INTO asofs.flat_file (" MOVED ") SELECT " MOVED " FROM new";

static int try_publish(struct pg_conn *conn, const struct pg_label *label, const char *run,
                       int64_t try_ms, struct err *err)
{
    const char *values[] = {label->name, run};
    int rc = pg_publish_begin(conn, err);

    if (rc == 0)
        rc = pg_publish_lock(conn, "LOCK TABLE ONLY asofs.view IN ACCESS EXCLUSIVE MODE", try_ms,
                             err);
    if (rc == 0)
        rc = pg_run_with(conn, out_sql, 1, values, err);
    if (rc == 0)
        rc = pg_run_with(conn, in_sql, 2, values, err);
    if (rc == 0)
        rc = pg_publish_update_label(conn, label, err);
    if (rc == 0)
        rc = pg_publish_commit(conn, label, err);
    if (rc < 0)
        pg_rollback(conn);
    return rc;
}

int pg_objects_publish(struct pg_conn *conn, const struct pg_label *label, int64_t run,
                       int64_t timeout_ms, struct err *err)
{
    int64_t deadline = clock_ms() + timeout_ms, try_ms;
    char number[24];
    int rc = pg_publish_try_ms(conn, &try_ms, err);

    snprintf(number, sizeof(number), "%lld", (long long)run);
    while (rc == 0 && (rc = try_publish(conn, label, number, try_ms, err)) == -EBUSY)
        rc = pg_publish_pause(conn, deadline, err);
    return rc == -EBUSY ? pg_publish_refuse_label(conn, timeout_ms, err) : rc;
}

/* ---- reading ---- */

static const char label_sql[] =
    "SELECT extract(epoch FROM moment)::text FROM asofs.label WHERE name = $1";

static const char list_sql[] =
    "SELECT schema, name, part, oid, bytes, coalesce(rows, 0), coalesce(xxh3, '')"
    " FROM asofs.flat_file WHERE view = $1"
    " ORDER BY schema COLLATE \"C\", name COLLATE \"C\", part";

static int read_label(struct pg_conn *conn, const char *name, struct pg_object_list *l,
                      struct err *err)
{
    static const struct pg_wanted wanted = {"S", 0, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, label_sql, 1, &name, &wanted, &a, err);

    if (rc == 0 && pg_rows(a))
        l->moment_ns = pg_nanoseconds(a, 0, 0);
    pg_answer_free(a);
    return rc;
}

static int read_list(struct pg_conn *conn, const char *name, struct pg_object_list *l,
                     struct err *err)
{
    static const struct pg_wanted wanted = {"ttnonnt", 0, PG_MANY};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, list_sql, 1, &name, &wanted, &a, err);
    size_t i;

    if (rc < 0)
        return rc;
    l->n = pg_rows(a);
    l->objects = mem_array(l->n + 1, sizeof(*l->objects));
    for (i = 0; i < l->n; i++)
        l->objects[i] = (struct pg_object){.schema = mem_strdup(pg_text(a, i, 0)),
                                           .name = mem_strdup(pg_text(a, i, 1)),
                                           .part = (uint32_t)pg_number(a, i, 2),
                                           .oid = pg_oid(a, i, 3),
                                           .bytes = pg_number(a, i, 4),
                                           .rows = pg_number(a, i, 5),
                                           .checksum = mem_strdup(pg_text(a, i, 6))};
    pg_answer_free(a);
    return 0;
}

static int read_copy(struct pg_conn *conn, const char *name, struct pg_object_list *l,
                     struct err *err)
{
    int rc = read_label(conn, name, l, err);

    if (rc == 0)
        rc = read_list(conn, name, l, err);
    if (rc == 0 && !l->n)
        rc =
            err_set(err, ENOENT, "there is no copy \"%s\" in large objects in this database", name);
    return rc;
}

static int read_only_copy(struct pg_conn *conn, struct pg_object_list *l, struct err *err)
{
    static const struct pg_wanted wanted = {"nTT", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn,
                    "SELECT pg_catalog.count(*), pg_catalog.min(view),"
                    " pg_catalog.string_agg(view, ', ' ORDER BY view)"
                    " FROM (SELECT DISTINCT view FROM asofs.flat_file) v",
                    0, NULL, &wanted, &a, err);

    if (rc == 0 && pg_number(a, 0, 0) > 1)
        rc = err_set(err, EINVAL, "several copies are in large objects here: name one (--name): %s",
                     pg_text(a, 0, 2));
    else if (rc == 0 && pg_number(a, 0, 0) == 0)
        rc = err_set(err, ENOENT, "no copy is in large objects in this database");
    if (rc == 0)
        rc = read_copy(conn, pg_text(a, 0, 1), l, err);
    pg_answer_free(a);
    return rc;
}

int pg_objects_begin(struct pg_conn *conn, const char *name, struct pg_object_list *l,
                     struct err *err)
{
    int rc = pg_begin(conn, PG_READ_ONLY, true, NULL, err);

    *l = (struct pg_object_list){0};
    if (rc == 0)
        rc = is_there(conn, ANY_SQL, NULL, err);
    if (rc == 0)
        return err_set(err, ENOENT, "no copy is in large objects in this database");
    if (rc > 0)
        rc = name ? read_copy(conn, name, l, err) : read_only_copy(conn, l, err);
    return rc;
}

void pg_objects_end(struct pg_conn *conn)
{
    pg_rollback(conn);
}

void pg_objects_free(struct pg_object_list *l)
{
    size_t i;

    for (i = 0; i < l->n; i++) {
        free(l->objects[i].schema);
        free(l->objects[i].name);
        free(l->objects[i].checksum);
    }
    free(l->objects);
    *l = (struct pg_object_list){0};
}
