/*
 * What coordinator and snapshot workers say to each other, over a socketpair, beside READY and
 * LOST of every child (common/child.h).
 *
 *   coordinator → worker   CONFIG once; FREEZE once after LOCKED (protocol lock only); then CHUNK
 *                          after CHUNK, each after the answer to the one before; closing the socket
 *                          ends the worker
 *   worker → coordinator   LOCKED once (protocol lock: connected, holds ACCESS SHARE, no snapshot
 *                          yet); READY once (has the frozen state); then for each chunk PROGRESS
 *                          any number of times and DONE, BUSY, ELSEWHERE or FAILED; LOST when it
 *                          cannot go on, before it exits
 */
#ifndef ASOFS_EXTRACT_PROTOCOL_H
#define ASOFS_EXTRACT_PROTOCOL_H

#include "common/child.h"
#include "extract/guest.h"
#include "pg/conn.h"

/* A worker's spool file. */
enum { WORKER_FD_SPOOL = CHILD_FD_FILE };

enum message_type {
    MSG_CONFIG = CHILD_OWN,
    MSG_CHUNK,
    MSG_PROGRESS,
    MSG_DONE,
    MSG_BUSY,
    MSG_FAILED,
    MSG_LOCKED,
    MSG_FREEZE,
    MSG_ELSEWHERE, /* with CHUNK_DIRECT: another session is at the chunk */
};

struct msg_config {
    uint32_t number; /* of the worker, from 1 */
    struct pg_target target;
    char *timezone;
    char *snapshot_id; /* protocol export; "" with lock */
    char *lock_sql;    /* protocol lock: statements that take its locks; "" with export */
    uint64_t timeout_ms;
    uint32_t debug;
};

/* CHUNK_DIRECT: into a second database. CHUNK_PATIENT: whoever else is at it is waited for a little.
 * CHUNK_OBJECT: as a large object of it. */
enum {
    CHUNK_BINARY = 1,
    CHUNK_FIRST = 2,
    CHUNK_LAST = 4,
    CHUNK_OWN_FILE = 8,
    CHUNK_DIRECT = 16,
    CHUNK_PATIENT = 32,
    CHUNK_OBJECT = 64
};

/* Where a chunk goes then (guest.h). */
struct msg_place {
    struct pg_target target;
    char *name, *schema, *table, *copy_sql;
    char *lc_monetary; /* of the session there; "": as it is */
    uint64_t run, lock_timeout_ms;
    uint32_t chunk; /* its number there */
    uint32_t part;  /* of its table, from 0 */
};

struct msg_chunk {
    uint32_t chunk;
    uint32_t flags;
    uint64_t
        offset; /* in the spool; CHUNK_OWN_FILE: unused, the frame carries the file's descriptor */
    uint64_t room; /* bytes that may be written there; UINT64_MAX: as many as there are */
    char *lock_sql;
    char *copy_sql;
    struct msg_place place; /* with CHUNK_DIRECT */
};

/* The answers; what a type does not use is 0 or "". */
struct msg_answer {
    uint32_t chunk;
    uint64_t bytes;
    uint64_t rows;
    uint64_t checksum;
    uint32_t code; /* errno of FAILED; EOVERFLOW: it needs more room */
    char *text;    /* of FAILED */
};

/* Fill a frame, ready for msg_send. */
void msg_put_config(struct buf *frame, const struct msg_config *m);
void msg_put_freeze(struct buf *frame);
void msg_put_chunk(struct buf *frame, const struct msg_chunk *m);
void msg_put_answer(struct buf *frame, enum message_type type, const struct msg_answer *m);

/* Read a body; false when it is damaged. The strings are the caller's in either case: free them. */
bool msg_get_config(struct reader *r, struct msg_config *m);
bool msg_get_chunk(struct reader *r, struct msg_chunk *m);
bool msg_get_answer(struct reader *r, struct msg_answer *m);

void msg_config_free(struct msg_config *m);
void msg_chunk_free(struct msg_chunk *m);
void msg_answer_free(struct msg_answer *m);

#endif
