/*
 * What became of each table, shared between the coordinator (who writes) and those who look at a
 * view while it is made. A table's flat file may be read without the lock once its state was seen
 * to be TABLE_COMPLETE: from then on nothing of it changes.
 */
#ifndef ASOFS_EXTRACT_RESULT_H
#define ASOFS_EXTRACT_RESULT_H

#include <pthread.h>

#include "common/buf.h"
#include "extract/flatfile.h"
#include "extract/plan.h"

enum table_state { TABLE_WAITING, TABLE_RUNNING, TABLE_COMPLETE, TABLE_FAILED };

struct table_result {
    enum table_state state;
    uint64_t rows;
    uint64_t bytes;     /* of the flat file; of its complete chunks, unless complete */
    uint64_t under_way; /* bytes of chunks in work, as far as known */
    uint64_t estimate;  /* bytes of the table in the source */
    uint64_t checksum;  /* XXH3 of the flat file; when complete */
    size_t chunks, chunks_done;
    int64_t started_at;   /* clock_ms of its first chunk; 0 while waiting */
    int64_t ended_at;     /* clock_ms when complete or failed; else 0 */
    char *error;          /* when failed */
    struct flatfile file; /* where its bytes are in the spool files; without a file of its own */
    int own_fd;           /* a file that holds just this flat file; -1: none. Size is `bytes` */
};

struct results {
    pthread_mutex_t lock; /* protects all that follows */
    struct table_result *tables;
    size_t n;
    unsigned joined;     /* workers that had the frozen state */
    bool released;       /* the source holds nothing for this view any more */
    int64_t released_at; /* clock_ms, when released */
    bool ended;          /* nothing changes any more */
    int64_t ended_at;    /* clock_ms, when ended */
    bool schema_done;    /* the two below are final */
    struct buf schema;   /* pg_dump's text */
    char *schema_error;  /* or why there is none; NULL */
};

void results_init(struct results *r, const struct plan *p);
void results_free(struct results *r);

const char *table_state_name(enum table_state s);

#endif
