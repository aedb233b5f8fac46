#include "pgexample.h"

#include <stdlib.h>

#include "common/mem.h"
#include "pg/internal.h"

static struct pg_relation relation(uint32_t oid, char kind, const char *schema, const char *name)
{
    return (struct pg_relation){.oid = oid,
                                .kind = kind,
                                .schema = mem_strdup(schema),
                                .name = mem_strdup(name),
                                .bytes = 8192,
                                .blocks = 1,
                                .readable = true};
}

/* One plain table with two columns, and one partitioned with two leaves. */
struct pg_catalog *example_catalog(void)
{
    struct pg_catalog *c = mem_alloc(sizeof(*c));
    struct pg_table *t;

    c->ntables = 2;
    c->tables = t = mem_array(2, sizeof(*t));
    t[0].rel = relation(100, 'r', "public", "items");
    t[0].ncolumns = 2;
    t[0].columns = mem_array(2, sizeof(*t[0].columns));
    t[0].columns[0] = (struct pg_column){.name = mem_strdup("id"), .type = 23};
    t[0].columns[1] = (struct pg_column){.name = mem_strdup("name"), .type = 25};
    t[1].rel = relation(200, 'p', "public", "orders");
    t[1].nleaves = 2;
    t[1].leaves = mem_array(2, sizeof(*t[1].leaves));
    t[1].leaves[0] = relation(201, 'r', "public", "orders_1");
    t[1].leaves[1] = relation(202, 'r', "public", "orders_2");
    return c;
}

void rename_to(char **name, const char *other)
{
    free(*name);
    *name = mem_strdup(other);
}

/* libpq quotes by the rules of a connection, which need not have come about. */
int open_nowhere(void **state)
{
    static struct pg_conn conn;

    conn.pq = PQconnectdb("host=/nonexistent port=1");
    *state = &conn;
    return conn.pq && PQstatus(conn.pq) == CONNECTION_BAD ? 0 : -1;
}

int close_nowhere(void **state)
{
    struct pg_conn *conn = *state;

    PQfinish(conn->pq);
    return 0;
}
