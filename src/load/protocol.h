/*
 * What coordinator and delete or loader workers say to each other (common/child.h, common/msg.h).
 *
 *   coordinator → worker   CONFIG once; then JOB after JOB, each after the answer to the one
 *                          before; of a LOAD the frame carries the descriptor of the file
 *   worker → coordinator   READY once; then for each job PROGRESS any number of times and DONE,
 *                          BUSY (another worker has it, or a lock could not be had: once more) or
 *                          FAILED (it will not work, whoever tries)
 */
#ifndef ASOFS_LOAD_PROTOCOL_H
#define ASOFS_LOAD_PROTOCOL_H

#include "common/child.h"
#include "load/gate.h"
#include "pg/copysql.h"

enum load_message {
    LOAD_CONFIG = CHILD_OWN,
    LOAD_JOB,
    LOAD_PROGRESS,
    LOAD_DONE,
    LOAD_BUSY,
    LOAD_FAILED
};

struct load_config {
    uint32_t number;
    struct pg_target target;
    char *name; /* of the copy */
    char *role; /* "deleter", "loader": for application_name */
    uint64_t run;
    char *timezone;    /* of the session that wrote the files */
    char *lc_monetary; /* the same; "": as it is */
    char *snapshot_id; /* "": none. Else a LOAD is an INSERT … SELECT under it, without a file */
    uint64_t timeout_ms, lock_timeout_ms;
    uint32_t debug;
    uint32_t objects; /* parts become large objects (pg/objects.h) */
};

struct load_job {
    uint32_t kind; /* enum gate_kind */
    uint32_t item, part;
    char *sql;            /* CLEAR, FINISH: statements; LOAD: the COPY, or INSERT */
    char *schema, *table; /* of the snapshot table */
    int64_t chunk;        /* its number in asofs.chunk; below 0, it is no LOAD. CLEAR, FINISH: 0: it
                             has none, since it can be done twice */
    /* LOAD */
    uint32_t format;
    uint32_t first, last;
    uint64_t offset, len; /* in the file */
    uint64_t rows;        /* of the part, if parts become large objects */
    uint64_t checksum;    /* of the part; 0: not known */
    char *drop;           /* load/part.h */
};

struct load_answer {
    uint64_t bytes; /* PROGRESS: of the part */
    uint64_t rows;  /* DONE of a LOAD */
    uint64_t lines; /* the same; 0: not known */
    uint64_t line;  /* FAILED: of the part, from 1; 0: not known */
    uint32_t code;  /* errno of FAILED and BUSY */
    char *text;     /* their reason, and where the server saw it */
};

void load_put_config(struct buf *frame, const struct load_config *m);
void load_put_job(struct buf *frame, const struct load_job *m);
void load_put_answer(struct buf *frame, enum load_message type, const struct load_answer *m);

/* false: it is damaged. The strings are the caller's in either case: free them. */
bool load_get_config(struct reader *r, struct load_config *m);
bool load_get_job(struct reader *r, struct load_job *m);
bool load_get_answer(struct reader *r, struct load_answer *m);

void load_config_free(struct load_config *m);
void load_job_free(struct load_job *m);
void load_answer_free(struct load_answer *m);

#endif
