#include "pg/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/columns.h"
#include "pg/internal.h"
#include "pg/relations.h"

int pg_catalog_read(struct pg_conn *conn, const struct pg_server *server,
                    const struct pg_selection *entries, size_t n, const struct pg_catalog_how *how,
                    struct pg_catalog **catalog, struct err *err)
{
    struct pg_catalog *c = mem_alloc(sizeof(*c));
    struct pg_selection *all = pg_relations_entries(entries, &n);
    int rc = pg_relations_read(conn, server, all, n, how, c, err);

    if (rc == 0)
        rc = pg_columns_read(conn, c, how->binary, err);
    free(all);
    if (rc == 0)
        *catalog = c;
    else
        pg_catalog_free(c);
    return rc;
}

int pg_filter_prepare(struct pg_conn *conn, const char *schema, const char *name,
                      const char *filter, struct err *err)
{
    struct buf sql = {0};
    int rc;

    buf_puts(&sql, "SELECT FROM ONLY ");
    rc = pg_put_relation(conn, &sql, schema, name, err);
    buf_puts(&sql, " AS "); /* as where the filter is used (pg/copysql.c) */
    if (rc == 0)
        rc = pg_put_identifier(conn, &sql, name, err);
    buf_printf(&sql, " WHERE (%s)", filter);
    if (rc == 0)
        rc = pg_prepare(conn, sql.data, err);
    buf_free(&sql);
    return rc;
}

static int check_filter(struct pg_conn *conn, const struct pg_table *t, struct err *err)
{
    int rc = pg_filter_prepare(conn, t->rel.schema, t->rel.name, t->filter, err);
    char *name;

    if (rc == 0)
        return 0;
    name = pg_pattern_of(t->rel.schema, t->rel.name);
    err_prefix(err, "%s: the filter of %s", t->filter_where, name);
    free(name);
    return rc;
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
            pg_column_free(&t->columns[k]);
        for (k = 0; k < t->nleaves; k++)
            relation_free(&t->leaves[k]);
        free(t->columns);
        free(t->leaves);
        free(t->filter);
        free(t->filter_where);
    }
    for (i = 0; i < c->nleft_out; i++)
        free(c->left_out[i].name);
    free(c->left_out);
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

bool pg_catalog_same(const struct pg_catalog *before, const struct pg_catalog *b)
{
    const struct pg_catalog *a = before;
    size_t i;

    if (a->ntables != b->ntables || b->gone)
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
