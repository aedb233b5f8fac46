/*
 * A newest layer that was not closed is put right, before anything else is done with it: what was
 * announced is settled (inflight.h), side page tables are rebuilt where they are not clean
 * (side.h), and difference files without a name are removed.
 */
#ifndef ASOFS_PAGES_RECOVERY_H
#define ASOFS_PAGES_RECOVERY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "pages/side.h"

struct stack;

struct datadir_recovery {
    bool unclean;         /* the newest layer had not been closed */
    uint64_t writes;      /* announced writes looked at, */
    uint64_t writes_lost; /* of which so many pages are neither old nor new: reading them is EIO */
    uint64_t truncations; /* done again */
    uint64_t orphans;     /* difference files without a name, removed */
    struct side_findings sides;
};

/* `s` was found unclean (stack_open), and no file of it is open. Adds what was done to `recovery`.
 * 0 or a negative errno: the layer is as unclean as it was, and it can be done again. */
int recovery_run(struct stack *s, struct datadir_recovery *recovery, struct err *err);

#endif
