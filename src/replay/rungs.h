/*
 * Rungs: freezes of a live base that are made at a pace, so that any moment is reached from one that
 * is near, and of which only the newest are kept. What somebody froze by hand, or for a view, is
 * none. As its owner, like livefreeze.h.
 */
#ifndef ASOFS_REPLAY_RUNGS_H
#define ASOFS_REPLAY_RUNGS_H

#include <stdint.h>

#include "pg/programs.h"
#include "store/store.h"

/*
 * One more: *id, freed by the caller. Of the older ones those go that are too many with it, but what
 * a view or a layer stands on stays until a later time, as does all while a view is being made.
 */
int rungs_make(struct store *s, const struct pg_programs *p, unsigned keep, char **id,
               struct err *err);

/* 1: the number of the newest one's freeze; 0: there is none. */
int rungs_newest(struct store *s, uint64_t *number, struct err *err);

/* Of clocks in milliseconds since 1970, and pure: when the next is due after one that was, or the
 * first (newest: of the newest rung; 0: there is none). */
int64_t rungs_first(int64_t newest, int64_t now, int64_t every);
int64_t rungs_next(int64_t due, int64_t now, int64_t every);

#endif
