/*
 * One large object, written or read piece by piece.
 *
 * Written step by step, in a transaction of pg_write_begin (copyin.h), so that a loader worker can
 * go on telling that it lives. The server compresses each page of 2 KiB of an object; with lz4,
 * where it has it, which takes it about half of the time.
 *
 *   pg_objwrite_start → pg_objwrite_step … until it returns something other than 1
 *
 * Read in one stream, in a transaction of its caller's: whoever has a snapshot of before an object
 * was unlinked still reads it.
 *
 * An object belongs to the role that writes it. It may be read by that role, by those that are
 * members of it, and by superusers; not by who may read the table that is in it, for that right can
 * be one to single columns or rows.
 */
#ifndef ASOFS_PG_LARGEOBJECT_H
#define ASOFS_PG_LARGEOBJECT_H

#include <stddef.h>

#include "pg/conn.h"

#define PG_OBJECT_PIECE 262144u            /* bytes: written at a time, a multiple of any page */
#define PG_OBJECT_MOST ((uint64_t)1 << 42) /* bytes: 4 TiB, what a server takes */

struct pg_objwrite {
    /* The bytes from `at` on, at most `room`, all of them but at the end: how many, 0 at the end, or
     * negative, which is the result. -EAGAIN is not: there are none yet; it is asked again at the
     * next step. */
    int64_t (*read)(void *arg, char *bytes, size_t room, uint64_t at, struct err *err);
    void *arg;

    uint32_t oid;   /* of the new object, once started */
    uint64_t bytes; /* written so far */

    size_t waiting, sent; /* private, as what follows: bytes read and not sent; sent and not
                             confirmed */
    uint32_t descriptor;
    bool ended;
    char piece[PG_OBJECT_PIECE];
};

/* -EACCES: no privilege. */
int pg_objwrite_start(struct pg_conn *conn, struct pg_objwrite *w, struct err *err);

/* 1: wait until pg_conn_socket is readable (or, after -EAGAIN, there are bytes), then step again; 0:
 * all is written; negative: it
 * failed, and the transaction with it (-ECONNRESET, -EPROTO: the session is lost). */
int pg_objwrite_step(struct pg_conn *conn, struct pg_objwrite *w, struct err *err);

/* All of it, and wait. */
int pg_objwrite_run(struct pg_conn *conn, struct pg_objwrite *w, struct err *err);

/* All of an object that is `bytes` long, given to `take` in order. -EIO: it is shorter or longer.
 * What `take` returns, when negative, is the result. */
int pg_objread_run(struct pg_conn *conn, uint32_t oid, uint64_t bytes,
                   int (*take)(void *arg, const char *bytes, size_t len, struct err *err),
                   void *arg, struct err *err);

#endif
