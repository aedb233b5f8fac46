/*
 * Running one COPY … FROM STDIN step by step, beside copy.h: so that a loader worker can wait for
 * the server and for its coordinator at once.
 *
 *   pg_write_begin
 *     pg_copyin_start → pg_copyin_step … until it returns something other than PG_COPYIN_MORE;
 *     again for the next table
 *   pg_write_commit, or pg_write_rollback
 *
 * Nothing waits for the server but the sending of the statement, which is short (and bounded, as
 * every query). There is no savepoint: whatever fails ends the transaction, and of it nothing stays
 * (pg_write_rollback). A COPY that is left in the middle leaves a session that cannot be used;
 * pg_copyin_abort ends it, so that it can.
 */
#ifndef ASOFS_PG_COPYIN_H
#define ASOFS_PG_COPYIN_H

#include "pg/conn.h"

/* ---- transactions that write ---- */

/*
 * READ COMMITTED, READ WRITE, with the settings of every transaction of ours. lock_timeout_ms: a
 * lock that is not had in time is -EBUSY; 0: no limit. Notices are not sent, so that what arrives
 * in the middle of a COPY is an error. After a failure there is no transaction.
 *
 * The commit does not wait for the disk: a crash of the server can take it back, whole, and all
 * that came after it. So what makes a copy current is no transaction of this kind.
 */
int pg_write_begin(struct pg_conn *conn, int64_t lock_timeout_ms, struct err *err);

/* -ECANCELED: something in it had failed, and nothing was kept; it is to be rolled back. -ECONNRESET
 * (also -ETIMEDOUT, -EINTR): whether it was kept is not known. */
int pg_write_commit(struct pg_conn *conn, struct err *err);
void pg_write_rollback(struct pg_conn *conn);

/* ---- COPY ---- */

#define PG_COPYIN_PIECE 65536u /* bytes: asked for and sent at a time; no more is held back */

enum pg_copyin_result {
    PG_COPYIN_MORE, /* wait until pg_conn_socket is ready for pg_copyin_events, then step again */
    PG_COPYIN_DONE,
};

struct pg_copyin {
    const char *copy_sql; /* pg_copyin_sql (copysql.h) */
    const char *table;    /* its name, without schema: to find the line in what the server says */
    /*
     * The bytes from `at` on, at most `room`: how many, 0 at the end, or negative, which aborts the
     * COPY and is its result. -EAGAIN does not: there are none yet; it is asked again at the next
     * step. It may take its time, but what waits for others does not belong here.
     */
    int64_t (*read)(void *arg, char *bytes, size_t room, uint64_t at, struct err *err);
    void *arg;

    uint64_t bytes; /* sent so far */
    uint64_t rows;  /* as the server counted them; valid when done */
    /*
     * After a failure: the line, from 1, of what was sent; 0: it tells none. The header is a line;
     * of a row over several lines it is the one where the row ends; of the binary form, the row.
     */
    uint64_t line;

    int stage;    /* private, as what follows */
    bool full;    /* the server does not take more now */
    bool stopped; /* to end as aborted; refused: it did */
    bool refused;
    unsigned done;
    struct err failure;
    char piece[PG_COPYIN_PIECE];
};

/* copy stays in use until the end. */
int pg_copyin_start(struct pg_conn *conn, struct pg_copyin *copy, struct err *err);

/*
 * Do what can be done without waiting, up to some pieces. Returns a pg_copyin_result, or negative:
 * -ECONNRESET (the session is lost), -EPROTO (the server answered with what cannot be; it cannot be
 * used any more), or another code: the COPY failed, or was aborted, and the session can be used
 * again once the transaction is rolled back. err holds the server's context, too: "COPY t, line 4,
 * column x: …". An error of the server ends the sending; one that came at the very moment of
 * sending may only be seen at the end, when all was sent in vain.
 */
int pg_copyin_step(struct pg_conn *conn, struct pg_copyin *copy, struct err *err);

/* POLLIN, and POLLOUT while the server has to take more. */
short pg_copyin_events(const struct pg_copyin *copy);

/* No row of it is to stay: the steps that follow end it on the server too, and then give `why`. */
void pg_copyin_abort(struct pg_copyin *copy, const struct err *why);

/* ---- where bytes come from: to be given as `read`, with one of these as `arg` ---- */

/* A part of a file. -EIO when it ends before. */
struct pg_copyin_file {
    int fd;
    uint64_t offset, len;
};
int64_t pg_copyin_read_file(void *file, char *bytes, size_t room, uint64_t at, struct err *err);

struct pg_copyin_bytes {
    const char *bytes;
    size_t len;
};
int64_t pg_copyin_read_bytes(void *b, char *bytes, size_t room, uint64_t at, struct err *err);

#endif
