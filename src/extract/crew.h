/*
 * The crew: the snapshot workers of a view with their slots and spool files. Made before the freeze
 * when the protocol is `lock` (the workers take part in it), at the start of extraction when it is
 * `export`.
 */
#ifndef ASOFS_EXTRACT_CREW_H
#define ASOFS_EXTRACT_CREW_H

#include "extract/slot.h"

struct crew {
    struct slot *slots;
    struct spool *spools; /* by slot; one more behind them, for the leader */
    unsigned n;
    const char *spool_dir; /* borrowed, as what follows */
    const struct pg_target *target;
    const char *timezone;
    const char *snapshot_id; /* NULL with protocol lock */
    const char *lock_sql;    /* NULL with protocol export */
    int64_t worker_timeout_ms;
};

/* n slots, all empty. The other fields are the caller's to set. */
struct crew *crew_new(unsigned n);
void crew_free(struct crew *c); /* kills what runs, closes the spools */

int crew_start(struct crew *c, unsigned i, struct err *err);
int crew_open_spool(struct crew *c, unsigned i, struct err *err); /* i == n: the leader's */

unsigned crew_joined(const struct crew *c); /* slots that had a worker in the frozen state */

#endif
