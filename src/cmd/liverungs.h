/*
 * asofs live --freeze-every: the process that serves makes rungs (replay/rungs.h). A thread of its
 * own waits for the time; a rung is made by a process of its own (asofs live STORE freeze --keep),
 * which works through the mount: who serves it must not.
 */
#ifndef ASOFS_CMD_LIVERUNGS_H
#define ASOFS_CMD_LIVERUNGS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "live/livedir.h"
#include "pg/identity.h"

struct live_rungs_options {
    int64_t every_ms; /* since the newest rung, also of an earlier process */
    unsigned keep;
    bool checkpoint;
};

struct live_rungs;

/* All but *o is borrowed until live_rungs_stop. */
int live_rungs_start(const char *store, struct livedir *l, const struct pg_identity *owner,
                     const struct live_rungs_options *o, struct live_rungs **r, struct err *err);

/* One that is being made is given up. NULL is fine. */
void live_rungs_stop(struct live_rungs *r);

#endif
