/*
 * Statements that take their time (an index, a constraint), run step by step within a transaction
 * of pg_write_begin (copyin.h), so that a loader worker can go on telling that it lives. They are
 * ready-made by others of this room: pg/shadow.h, pg/snaptable.h.
 *
 *   pg_statements_start → pg_statements_step … until it returns something other than 1
 */
#ifndef ASOFS_PG_STATEMENTS_H
#define ASOFS_PG_STATEMENTS_H

#include "pg/conn.h"

/* One or several, separated by semicolons. */
int pg_statements_start(struct pg_conn *conn, const char *sql, struct err *err);

/* 1: wait until pg_conn_socket is readable, then step again; 0: all are done; negative: one failed,
 * and the transaction with it (-ECONNRESET, -EPROTO: the session is lost). */
int pg_statements_step(struct pg_conn *conn, struct err *err);

/* When all are done: how many rows the last of them wrote. */
uint64_t pg_statements_rows(const struct pg_conn *conn);

#endif
