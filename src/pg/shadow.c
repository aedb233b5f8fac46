#include "pg/shadow.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/refusals.h"
#include "pg/shadowtree.h"

/* ---- the list as parameters ---- */

static char *columns_of(const struct pg_shadow_table *t)
{
    struct buf b = {0};
    size_t i;

    buf_putc(&b, '{');
    for (i = 0; t->columns && i < t->ncolumns; i++)
        pg_put_element(&b, t->columns[i]);
    buf_putc(&b, '}');
    return buf_steal(&b);
}

static void put_list(struct pg_shadows *s, const struct pg_shadow_list *list)
{
    static const int places[] = {0, 1, 4, 5};
    struct buf b[4] = {{0}};
    size_t i, k;

    for (k = 0; k < 4; k++)
        buf_putc(&b[k], '{');
    for (i = 0; i < list->n; i++) {
        char *columns = columns_of(&list->tables[i]);

        pg_put_element(&b[0], list->tables[i].schema);
        pg_put_element(&b[1], list->tables[i].name);
        pg_put_element(&b[2], columns);
        pg_put_element(&b[3], list->tables[i].filter ? list->tables[i].filter : "");
        free(columns);
    }
    for (k = 0; k < 4; k++) {
        buf_putc(&b[k], '}');
        s->values[places[k]] = buf_steal(&b[k]);
    }
    s->values[2] = mem_strdup("{}");
    s->values[3] = mem_strdup("{}");
    s->values[6] = mem_strdup(list->name);
    s->values[7] = mem_strdup(list->unlogged ? "t" : "f");
}

int pg_shadow_ask(struct pg_conn *conn, const struct pg_shadows *s, size_t i, const char *sql,
                  const struct pg_wanted *wanted, struct pg_answer **a, struct err *err)
{
    const char *values[SHADOW_PARAMETERS + 1];
    char number[24];

    snprintf(number, sizeof(number), "%zu", i);
    memcpy(values, s->values, sizeof(s->values));
    values[SHADOW_PARAMETERS] = number;
    return pg_ask(conn, sql, SHADOW_PARAMETERS + 1, values, wanted, a, err);
}

int pg_shadow_collect(struct pg_conn *conn, const struct pg_shadows *s, size_t table,
                      const char *query, struct buf *sql, struct err *err)
{
    static const struct pg_wanted wanted = {"tT", 0, PG_MANY};
    struct pg_answer *a;
    size_t i;
    int rc = pg_shadow_ask(conn, s, table, query, &wanted, &a, err);

    if (rc < 0)
        return rc;
    for (i = 0; rc == 0 && i < pg_rows(a); i++) {
        if (pg_is_null(a, i, 1))
            rc = 1;
        else
            buf_printf(sql, "%s%s", sql->len ? ";\n" : "", pg_text(a, i, 1));
        if (rc > 0)
            err_set(err, EINVAL, "no shadow can be made of %s", pg_text(a, i, 0));
    }
    pg_answer_free(a);
    return rc;
}

/* ---- what there is ---- */

static bool is_copy_name(const char *name)
{
    size_t len = strlen(name);

    return len && len <= PG_COPY_NAME_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == len;
}

static int find_missing(struct pg_conn *conn, const struct pg_shadows *s, struct err *err)
{
    static const char sql[] =
        SHADOW_TREE " SELECT format('%I.%I', l.s, l.n) FROM listed l"
                    " WHERE NOT EXISTS (SELECT FROM tree t WHERE t.i = l.i) ORDER BY l.i";
    static const struct pg_wanted wanted = {"t", 0, PG_MANY};
    struct pg_names names = {0};
    struct pg_answer *a;
    size_t i;
    int rc = pg_shadow_ask(conn, s, 0, sql, &wanted, &a, err);

    if (rc < 0)
        return rc;
    for (i = 0; i < pg_rows(a); i++)
        pg_names_add(&names, pg_text(a, i, 0));
    pg_answer_free(a);
    err->code = 0;
    pg_names_refuse(err, &names, "no such table in the database that is to be filled",
                    "they have to be there before they are filled");
    return err->code ? (err->code = ESTALE, -ESTALE) : 0;
}

/* Under swap the partitions and the extended statistics may stand in schemas of their own. */
#define SCHEMAS(what)                                                                              \
    SHADOW_TREE " SELECT x.nspname FROM (SELECT r.sch AS nspname FROM rel r WHERE r.depth = 0"     \
                " " what ") x GROUP BY 1 ORDER BY 1"

static int map_schemas(struct pg_conn *conn, struct pg_shadows *s, struct err *err)
{
    static const char swap[] = SCHEMAS("UNION SELECT r.sch FROM rel r UNION SELECT n.nspname"
                                       " FROM rel r JOIN pg_statistic_ext x ON x.stxrelid = r.oid"
                                       " JOIN pg_namespace n ON n.oid = x.stxnamespace");
    static const char rows[] = SCHEMAS("");
    static const struct pg_wanted wanted = {"t", 0, PG_MANY};
    struct buf from = {0}, to = {0};
    struct pg_answer *a;
    size_t i;
    int rc = pg_shadow_ask(conn, s, 0, s->mode == PG_PUBLISH_SWAP ? swap : rows, &wanted, &a, err);

    if (rc < 0)
        return rc;
    buf_putc(&from, '{');
    buf_putc(&to, '{');
    for (i = 0; i < pg_rows(a); i++) {
        char *w = mem_printf("asofs_%s_new_%zu", s->name, i + 1);

        pg_put_element(&from, pg_text(a, i, 0));
        pg_put_element(&to, w);
        free(w);
    }
    buf_putc(&from, '}');
    buf_putc(&to, '}');
    free(s->values[2]);
    free(s->values[3]);
    s->values[2] = buf_steal(&from);
    s->values[3] = buf_steal(&to);
    pg_answer_free(a);
    return 0;
}

static int name_schemas(struct pg_conn *conn, struct pg_shadows *s, struct err *err)
{
    static const char sql[] =
        SHADOW_TREE " SELECT r.w FROM rel r WHERE r.depth = 0 AND r.w IS NOT NULL ORDER BY r.i";
    struct pg_wanted wanted = {"t", s->n, s->n};
    struct pg_answer *a;
    size_t i;
    int rc = pg_shadow_ask(conn, s, 0, sql, &wanted, &a, err);

    if (rc < 0)
        return rc;
    for (i = 0; i < s->n; i++)
        s->schemas[i] = mem_strdup(pg_text(a, i, 0));
    pg_answer_free(a);
    return 0;
}

int pg_shadow_plan(struct pg_conn *conn, const struct pg_shadow_list *list,
                   struct pg_shadows **shadows, struct err *err)
{
    struct pg_shadows *s;
    int rc;

    if (!is_copy_name(list->name))
        return err_set(err, EINVAL,
                       "the name of a copy has at most %d letters, digits, _ and -, which \"%s\" "
                       "has not",
                       PG_COPY_NAME_MAX, list->name);
    if (!list->n)
        return err_set(err, EINVAL, "there are no tables to fill");
    s = mem_alloc(sizeof(*s));
    s->name = mem_strdup(list->name);
    s->mode = list->mode;
    s->n = list->n;
    s->schemas = mem_array(list->n + 1, sizeof(*s->schemas));
    put_list(s, list);
    rc = pg_begin(conn, PG_READ_ONLY, true, NULL, err);
    if (rc == 0)
        rc = find_missing(conn, s, err);
    if (rc == 0)
        rc = map_schemas(conn, s, err);
    if (rc == 0)
        rc = name_schemas(conn, s, err);
    pg_rollback(conn);
    *shadows = rc == 0 ? s : NULL;
    if (rc < 0)
        pg_shadow_free(s);
    return rc;
}

void pg_shadow_free(struct pg_shadows *s)
{
    size_t i;

    if (!s)
        return;
    for (i = 0; i < SHADOW_PARAMETERS; i++)
        free(s->values[i]);
    mem_free_texts(s->schemas);
    free(s->name);
    free(s);
}

const char *pg_shadow_schema(const struct pg_shadows *s, size_t i)
{
    return s->schemas[i];
}

/* ---- their schemas ---- */

/*
 * The owners of the tables have to be able to own a table there. A schema of the name that is not
 * ours (pg_shadow_clear left it) is an error of the server's.
 */
int pg_shadow_schemas(struct pg_conn *conn, const struct pg_shadows *s, struct err *err)
{
    static const char sql[] =
        SHADOW_TREE " SELECT '', x.sql FROM map m CROSS JOIN LATERAL ("
                    "SELECT 1 AS ord, format('CREATE SCHEMA %I', m.w) AS sql"
                    " UNION ALL SELECT 2, format('COMMENT ON SCHEMA %I IS %L', m.w,"
                    "  '" SHADOW_COMMENT "' || c.name) FROM copy c"
                    " UNION ALL SELECT 3, format('GRANT USAGE, CREATE ON SCHEMA %I TO %I', m.w,"
                    "  u.rolname) FROM pg_roles u WHERE u.rolname <> current_user"
                    "  AND u.oid IN (SELECT r.relowner FROM rel r WHERE r.w = m.w)"
                    ") x ORDER BY m.w, x.ord, x.sql";
    struct buf b = {0};
    int rc = pg_begin(conn, PG_READ_WRITE, false, NULL, err);

    if (rc == 0)
        rc = pg_shadow_collect(conn, s, 0, sql, &b, err);
    if (rc == 0 && b.len)
        rc = pg_run(conn, b.data, err);
    if (rc == 0)
        rc = pg_run(conn, "COMMIT", err);
    if (rc < 0) {
        pg_rollback(conn);
        err_prefix(err, "the schemas of shadow tables cannot be made");
    }
    buf_free(&b);
    return rc;
}
