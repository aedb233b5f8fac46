/*
 * The snapshot workers of a view: a crew (common/crew.h) whose jobs are chunks, each worker with a
 * spool file, which stays when the worker is replaced. Made before the freeze, in which they take
 * part when the protocol is `lock`; started by the extraction when it is `export`.
 */
#ifndef ASOFS_EXTRACT_WORKERS_H
#define ASOFS_EXTRACT_WORKERS_H

#include "common/crew.h"
#include "extract/ledger.h"
#include "extract/protocol.h"

struct worker_job {
    bool locked; /* protocol lock: it is joining, has its table locks, and waits for FREEZE */
    uint32_t chunk;
    uint64_t bytes; /* of the chunk in work, as last told */
};

struct workers {
    struct crew crew;
    struct worker_job *jobs; /* by child */
    struct spool *spools;    /* by child; one more after them, for the leader */

    const char *spool_dir; /* borrowed, as what follows */
    const struct pg_target *target;
    const char *timezone;
    const char *snapshot_id; /* NULL with protocol lock */
    const char *lock_sql;    /* NULL with protocol export */

    struct ledger *ledger;   /* what they work for; NULL before workers_begin */
    struct results *results; /* where it stands how many have joined */
    bool to_spool;           /* a place of their own is what --spool names */
};

/* n workers, none started. What is borrowed is the caller's to set. */
struct workers *workers_new(unsigned n, int64_t silence_ms);
void workers_free(struct workers *w); /* kills who runs, closes the spools */

/* Chunks of this ledger are their jobs from now on. */
void workers_begin(struct workers *w, struct ledger *ledger, struct results *results,
                   bool to_spool);

/* Add what is in work, as far as known. */
void workers_add_progress(const struct workers *w, struct progress_state *s);

#endif
