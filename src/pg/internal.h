/* What the files of pg/ share. Not to be included from other rooms. */
#ifndef ASOFS_PG_INTERNAL_H
#define ASOFS_PG_INTERNAL_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "pg/conn.h"

struct pg_conn {
    PGconn *pq;
    int stop_fd;
    int64_t query_timeout_ms;
    char *timezone;
    bool can_notice_end; /* the server checks now and then whether we are still there */
};

/*
 * Run one statement (several, when nparams is 0) and wait. On success *res (may be NULL) holds the
 * last result, to be cleared by the caller.
 */
int pg_run(struct pg_conn *conn, const char *sql, int nparams, const char *const *values,
           PGresult **res, struct err *err);

/*
 * Begin a read-only transaction, REPEATABLE READ or READ COMMITTED, made harmless and with fixed
 * text forms by settings of its own; then run `more` (NULL: nothing). No snapshot is taken, unless
 * `more` does.
 */
int pg_begin(struct pg_conn *conn, bool repeatable, const char *more, struct err *err);
/* ROLLBACK; what goes wrong with it does not matter any more. */
void pg_rollback(struct pg_conn *conn);

/* Have one statement parsed and analysed, not run, by the extended protocol. */
int pg_prepare(struct pg_conn *conn, const char *sql, struct err *err);

/* Fill err from a failed result (or, without one, from the connection). */
int pg_fail(struct pg_conn *conn, const PGresult *res, struct err *err);

/* Wait until the socket can be read. 0, -EINTR, -ETIMEDOUT or -ECONNRESET. */
int pg_wait_readable(struct pg_conn *conn, struct err *err);

/* Append key='value' to a connection string. */
void pg_put_option(struct buf *conninfo, const char *key, const char *value);
/* Append an identifier, quoted by libpq. */
int pg_put_identifier(struct pg_conn *conn, struct buf *sql, const char *name, struct err *err);
/* schema.name */
int pg_put_relation(struct pg_conn *conn, struct buf *sql, const char *schema, const char *name,
                    struct err *err);
/* Append a string literal, quoted by libpq. */
int pg_put_literal(struct pg_conn *conn, struct buf *sql, const char *text, struct err *err);

#endif
