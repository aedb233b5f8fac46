/*
 * What became of each table of a snapshot, whose they are, shared between the thread that extracts
 * or renders (they alone write, with the functions below, which take the lock themselves) and those who
 * look at a view while it is made. A table's flat file may be read without the lock once its state was seen
 * to be TABLE_COMPLETE: from then on nothing of it changes.
 */
#ifndef ASOFS_EXTRACT_RESULT_H
#define ASOFS_EXTRACT_RESULT_H

#include <pthread.h>

#include "common/buf.h"
#include "common/flatfile.h"
#include "extract/plan.h"

enum table_state { TABLE_WAITING, TABLE_RUNNING, TABLE_COMPLETE, TABLE_FAILED };

struct table_result {
    enum table_state state;
    uint64_t rows;
    uint64_t bytes;     /* of the flat file; of its complete chunks, unless complete */
    uint64_t under_way; /* bytes of chunks in work, as far as known */
    uint64_t estimate;  /* bytes of the table in the source */
    uint64_t
        checksum; /* XXH3 of the flat file; when complete. 0: not known (extract/guest.h), or not
                           yet (results_sum_table) */
    size_t chunks, chunks_done;
    int64_t started_at;    /* clock_ms of its first chunk; 0 while waiting */
    int64_t ended_at;      /* clock_ms when complete or failed; else 0 */
    char *error;           /* when failed; or, complete, what a reader met */
    uint64_t *lengths;     /* bytes of each chunk, in the order of the file; 0 until it is done */
    uint64_t *chunk_rows;  /* and its rows */
    uint64_t *chunk_sums;  /* and its XXH3; 0: not known */
    struct flatfile *file; /* when complete, unless it was written into a directory; else NULL */
};

struct results {
    /* Called by the thread that extracts, without the lock, when a table is complete or has failed;
     * table == n: the schema is final. Set before the extraction begins, or NULL. */
    void (*settled)(void *arg, size_t table);
    void *settled_arg;

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

struct results *results_new(const struct plan *p); /* every table waits; p is not needed again */
void results_free(struct results *r);              /* NULL is fine */

/* ---- for whoever looks; several values that belong together are read under the lock ---- */

enum table_state results_state(struct results *r, size_t table);

const char *table_state_name(enum table_state s);

/* ---- for the thread that extracts ---- */

void results_set_joined(struct results *r, unsigned joined);

/* A chunk of it is in work. Says nothing new of a table that is no longer waiting. */
void results_start_table(struct results *r, size_t table);
/* What is in work has grown by `more`, which wraps around when it is less. */
void results_add_under_way(struct results *r, size_t table, uint64_t more);
/* Its chunk number `chunk`, in the order of the file, is complete. */
void results_add_chunk(struct results *r, size_t table, size_t chunk, uint64_t bytes, uint64_t rows,
                       uint64_t checksum);
/* All are. The flat file becomes the results'; NULL: it was written into a directory. */
void results_complete_table(struct results *r, size_t table, struct flatfile *file, uint64_t bytes,
                            uint64_t checksum);
/* Of a table without chunks, which is rendered: its flat file is known, and stays its maker's. */
void results_measure_table(struct results *r, size_t table, struct flatfile *file, uint64_t rows,
                           uint64_t checksum);
/* The checksum of such a file, where it becomes known later, and from any thread; it alone is not read without the
 * lock. 0: it is not known. */
void results_sum_table(struct results *r, size_t table, uint64_t checksum);
uint64_t results_checksum(struct results *r, size_t table);
/* The same, written into a directory, in these chunks; they are copied. */
struct results_chunk {
    uint64_t bytes, rows, checksum;
};
void results_write_table(struct results *r, size_t table, const struct results_chunk *chunks,
                         size_t n, uint64_t checksum);
void results_fail_table(struct results *r, size_t table, const char *why);

/* A part of a complete table could not be read. The first that is told stays. From any thread. */
void results_add_error(struct results *r, size_t table, const char *why);

/* schema.sql is this text, or could not be made: why. */
void results_set_schema(struct results *r, const struct buf *text, const char *why);

void results_release(struct results *r);
void results_end(struct results *r); /* and nothing is held any more, at the latest now */

#endif
