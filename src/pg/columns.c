/* Columns: asked for, those of the entries chosen, and their types looked at. */
#include "pg/columns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/internal.h"
#include "pg/refusals.h"

/*
 * $1: the tables; $2: look for types without a binary form. A type's send function calls those of
 * what is in it: of the elements of an array, the base of a domain, the bounds of a range, the
 * columns of a row.
 */
static const char columns_sql[] =
    "WITH RECURSIVE inside(top, type) AS ("
    "  SELECT DISTINCT a.atttypid, a.atttypid FROM pg_catalog.pg_attribute a"
    "    WHERE a.attrelid = ANY ($1::pg_catalog.oid[]) AND a.attnum > 0 AND NOT a.attisdropped"
    "  UNION SELECT i.top, o.type FROM inside i JOIN pg_catalog.pg_type t ON t.oid = i.type,"
    " " PG_TYPES_INSIDE " WHERE o.type <> 0"
    "), tops AS (SELECT i.top,"
    "  (pg_catalog.min(t.oid) FILTER (WHERE t.typsend = 0))::pg_catalog.regtype::pg_catalog.text"
    "    AS unsendable,"
    " " PG_TYPES_TEXT(
        "CASE WHEN i.type <> i.top AND i.top >= " PG_FIRST_OWN_OID
        " THEN i.type END") " AS inside"
                            "  FROM inside i JOIN pg_catalog.pg_type t ON t.oid = i.type GROUP BY "
                            "i.top)"
                            " SELECT a.attrelid, a.attname, a.atttypid, a.attgenerated <> '',"
                            " CASE WHEN $2::pg_catalog.bool THEN p.unsendable END,"
                            " pg_catalog.format_type(a.atttypid, a.atttypmod), p.inside"
                            " FROM pg_catalog.pg_attribute a LEFT JOIN tops p ON p.top = a.atttypid"
                            " WHERE a.attrelid = ANY ($1::pg_catalog.oid[])"
                            " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, "
                            "a.attnum";

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

static void take_columns(struct pg_catalog *c, const struct pg_answer *r)
{
    size_t row, rows = pg_rows(r);
    size_t i = 0;

    for (row = 0; row < rows; row++) {
        uint32_t oid = pg_oid(r, row, 0);
        struct pg_table *t;

        while (i < c->ntables && c->tables[i].rel.oid < oid)
            i++;
        if (i == c->ntables)
            return;
        t = &c->tables[i];
        t->columns = mem_resize(t->columns, t->ncolumns + 1, sizeof(*t->columns));
        t->columns[t->ncolumns++] = (struct pg_column){
            .name = mem_strdup(pg_text(r, row, 1)),
            .type = pg_oid(r, row, 2),
            .generated = pg_true(r, row, 3),
            .unsendable = pg_is_null(r, row, 4) ? NULL : mem_strdup(pg_text(r, row, 4)),
            .type_name = mem_strdup(pg_text(r, row, 5)),
            .inside = mem_strdup(pg_text(r, row, 6)),
        };
    }
}

void pg_column_free(struct pg_column *c)
{
    free(c->name);
    free(c->type_name);
    free(c->inside);
    free(c->unsendable);
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
            pg_refuse_table(t, err, "has no column \"%s\"", e->columns[i]);
            err_prefix(err, "%s", e->where);
            break;
        }
        chosen[n] = t->columns[k];
        chosen[n].name = mem_strdup(t->columns[k].name);
        chosen[n].type_name = mem_strdup(t->columns[k].type_name);
        chosen[n].inside = mem_strdup(t->columns[k].inside);
        chosen[n++].unsendable = mem_strdup(t->columns[k].unsendable);
    }
    for (k = 0; k < t->ncolumns; k++)
        pg_column_free(&t->columns[k]);
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

static void add_unsendable(struct pg_names *n, const struct pg_table *t, const struct pg_column *c)
{
    struct buf b = {0};

    pg_pattern_put(&b, t->rel.schema, t->rel.name);
    buf_puts(&b, " (");
    pg_pattern_put_name(&b, c->name);
    buf_printf(&b, " %s)", c->unsendable);
    pg_names_add(n, b.data);
    buf_free(&b);
}

static int check_sendable(const struct pg_catalog *c, struct err *err)
{
    struct pg_names names = {0};
    size_t i, k;

    for (i = 0; i < c->ntables; i++)
        for (k = 0; k < c->tables[i].ncolumns; k++)
            if (c->tables[i].columns[k].unsendable)
                add_unsendable(&names, &c->tables[i], &c->tables[i].columns[k]);
    err->code = 0;
    pg_names_refuse(err, &names,
                    "--format=binary is not possible for types that have no binary form",
                    "take --format=csv or text; or leave out the tables (-T), or the columns "
                    "(--tables-from)");
    return -err->code;
}

int pg_columns_read(struct pg_conn *conn, struct pg_catalog *c, bool binary, struct err *err)
{
    static const struct pg_wanted wanted = {"ktobTtT", 0, PG_MANY};
    struct buf oids = {0};
    const char *values[2];
    struct pg_answer *r = NULL;
    size_t i;
    int rc;

    qsort(c->tables, c->ntables, sizeof(*c->tables), by_oid);
    buf_putc(&oids, '{');
    for (i = 0; i < c->ntables; i++)
        buf_printf(&oids, "%s%u", i ? "," : "", c->tables[i].rel.oid);
    buf_putc(&oids, '}');
    values[0] = oids.data;
    values[1] = binary ? "t" : "f";
    rc = pg_ask(conn, columns_sql, 2, values, &wanted, &r, err);
    if (rc == 0) {
        take_columns(c, r);
        rc = apply_selections(c, err);
    }
    pg_answer_free(r);
    buf_free(&oids);
    qsort(c->tables, c->ntables, sizeof(*c->tables), by_name);
    return rc == 0 ? check_sendable(c, err) : rc;
}
