/*
 * Running one COPY … TO STDOUT inside the frozen transaction, step by step, so that a worker can
 * wait for it and a coordinator can interleave it with everything else it does.
 *
 *   pg_copy_start → pg_copy_step … until it returns something other than PG_COPY_MORE
 *
 * The statement runs after a savepoint that is rolled back afterwards: locks it took are given
 * back, and an error does not end the frozen transaction.
 */
#ifndef ASOFS_PG_COPY_H
#define ASOFS_PG_COPY_H

#include "pg/conn.h"

enum pg_copy_result {
    PG_COPY_MORE, /* wait until pg_conn_socket is readable, then step again */
    PG_COPY_DONE,
    PG_COPY_BUSY, /* the lock could not be had now; nothing was extracted that counts */
};

struct pg_copy {
    const char *copy_sql;
    /* One call for each message of the server: a row, or a header line. Negative: pg_copy_step
     * returns it, and pg_copy_give_up can end the COPY. */
    int (*data)(void *arg, const char *bytes, size_t len, struct err *err);
    void *arg;
    uint64_t rows; /* as the server counted them; valid when done */
    int stage;     /* private, as what follows */
    unsigned done; /* results of this stage that came */
    struct err failure;
};

/* lock_sql (NULL for the leader, who holds the locks) runs first. copy stays in use until the end.
 */
int pg_copy_start(struct pg_conn *conn, struct pg_copy *copy, const char *lock_sql,
                  struct err *err);

/*
 * Do what can be done without waiting. Returns a pg_copy_result, or negative: -ECONNRESET (the
 * session is lost), -EPROTO (the server answered with what cannot be; it cannot be used any more)
 * or another code (the statement failed, the session goes on; if not pg_conn_is_ready, it was
 * `data` that failed).
 */
int pg_copy_step(struct pg_conn *conn, struct pg_copy *copy, struct err *err);

/*
 * `data` has failed, err says how: cancel the statement, drop what still comes, and wait for the end
 * of it. The session goes on then, with the same code and err; or another: it is lost.
 */
int pg_copy_give_up(struct pg_conn *conn, struct pg_copy *copy, struct err *err);

#endif
