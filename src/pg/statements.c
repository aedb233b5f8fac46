#include "pg/statements.h"

#include "pg/internal.h"

int pg_statements_start(struct pg_conn *conn, const char *sql, struct err *err)
{
    return pg_flush(conn, PQsendQuery(conn->pq, sql), err);
}

int pg_statements_step(struct pg_conn *conn, struct err *err)
{
    return pg_step(conn, err);
}

uint64_t pg_statements_rows(const struct pg_conn *conn)
{
    return conn->affected;
}
