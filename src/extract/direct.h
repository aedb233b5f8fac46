/*
 * Where the rows of one chunk go, beside sink.h: a table of a second database, or a large object of
 * its own there (CHUNK_OBJECT), over a connection of the worker's own, which is made for the first
 * chunk and kept. (guest.h says who decides that.)
 *
 * A chunk is one transaction there: it is claimed (pg/record.h), its rows go from one COPY into the
 * other as they come, it is marked done. What is found done is not read at all, and has no bytes.
 *
 * The source is read no faster than the second server takes: between the two stand DIRECT_ROOM bytes
 * and what one step of pg/copy.h brings.
 */
#ifndef ASOFS_EXTRACT_DIRECT_H
#define ASOFS_EXTRACT_DIRECT_H

#include "extract/protocol.h"
#include "pg/copy.h"

#define DIRECT_ROOM (256u << 10)

struct direct;

struct direct_config { /* borrowed */
    struct pg_conn *source;
    int coordinator_fd; /* says nothing during a chunk but its end, which ends every wait */
    uint32_t number;    /* of the worker */
    const char *timezone;
    int64_t timeout_ms;
    /* Called now and then, with what has come of the chunk so far. waits: for the second server, so
     * that the worker is not silent although nothing moves. -EPIPE: the coordinator is gone. */
    int (*alive)(void *arg, uint64_t bytes, bool waits, struct err *err);
    void *arg;
};

struct direct *direct_new(const struct direct_config *config);
void direct_free(struct direct *d); /* NULL is fine */

/*
 * As pg_copy_step, but never PG_COPY_MORE; or DIRECT_ELSEWHERE: another session is at it, on this
 * host or on another one (load/join.h), and nothing was done. -ECANCELED: something of the second
 * server or of its connection that says nothing about the chunk, so somebody may try again; what
 * else is negative as in worker.c. done: its chunk is set by the caller.
 */
#define DIRECT_ELSEWHERE 100
int direct_chunk(struct direct *d, const struct msg_chunk *m, struct msg_answer *done,
                 struct err *err);

#endif
