#include "pg/snaplist.h"

#include <stdlib.h>

#include "pg/internal.h"

int pg_snap_ask(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n, const char *sql,
                const char *more, const struct pg_wanted *wanted, struct pg_answer **a,
                struct err *err)
{
    struct buf schemas = {0}, names = {0};
    const char *values[3];
    size_t i;
    int rc;

    buf_putc(&schemas, '{');
    buf_putc(&names, '{');
    for (i = 0; i < n; i++) {
        pg_put_element(&schemas, tables[i].schema);
        pg_put_element(&names, tables[i].name);
    }
    buf_putc(&schemas, '}');
    buf_putc(&names, '}');
    values[0] = schemas.data;
    values[1] = names.data;
    values[2] = more;
    rc = pg_ask(conn, sql, more ? 3 : 2, values, wanted, a, err);
    buf_free(&schemas);
    buf_free(&names);
    return rc;
}

void pg_snap_name(const struct pg_snaptable *t, struct pg_names *names)
{
    char *name = pg_pattern_of(t->schema, t->name);

    pg_names_add(names, name);
    free(name);
}

void pg_snap_name_grant(struct pg_names *grants, const char *grant)
{
    if (grants->text.len > PG_NAMES_MAX)
        grants->more++;
    else
        buf_printf(&grants->text, "%s%s", grants->text.len ? "; " : "", grant);
}
