/*
 * Where a replay ended, against the log and the moment that was asked for: whether it is that moment,
 * and if not, why not.
 */
#ifndef ASOFS_REPLAY_ENDING_H
#define ASOFS_REPLAY_ENDING_H

#include "replay/choice.h"
#include "replay/pageserver.h"
#include "replay/reached.h"

struct ending {
    const struct choice *from;          /* borrowed */
    const struct pg_programs *programs; /* whose user reads the log; borrowed */
    struct reached reached;
    uint64_t more; /* pageserver_heard, of the last server */
    char *fetcher; /* the same; owned */
};

/* Where recovery is told to stop: at what was asked for, or where the log ended that has nothing
 * after it. */
struct ending_stop {
    bool end;
    uint64_t last; /* of the end: the last record; 0: there is none, nor a target */
    bool whole;    /* that is the base's first moment, too: no target either, which recovery of a
                      crash image would refuse before it is consistent */
};

/* An LSN that no record lies after is known to be the end. */
struct ending_stop ending_first_stop(const struct choice *c);

/* The end of the log, where the last record is that one. */
struct ending_stop ending_stop_at(const struct choice *c, uint64_t last);

/* What a server and its restore_command said; frees it. */
void ending_hear(struct ending *e, struct pageserver_heard *heard);
void ending_free(struct ending *e);

/* Where recovery ended is where it was told to, and on the way that the log takes. */
int ending_check_reached(const struct ending *e, const struct ending_stop *stop, struct err *err);

/*
 * Recovery must have come to the end that the log had when it was looked at, and after that there
 * must have been none: else a record is damaged, cannot be read, or is of a timeline that recovery
 * could not know of. What came meanwhile does not matter.
 */
int ending_check(const struct ending *e, struct err *err);

/* The end of the log may be the moment: of a time, if the log proves that time; of an LSN that no
 * record lies after. */
bool ending_may_be_moment(const struct ending *e);

/* The moment is not in the log after this base: -ERANGE. */
int ending_refuse(const struct ending *e, struct err *err);

/* Where an older base may lead to what the chosen one does not: it was not consistent by then, or,
 * of what only replay can find, it may lie in front of it. */
bool ending_may_be_older(const struct ending *e);

/* There is no older base: -ERANGE. */
int ending_refuse_early(const struct ending *e, struct err *err);

/* err: of a server that did not start. One that does not find the record with which recovery begins
 * does not say why. Returns -err->code. */
int ending_explain_start(const struct ending *e, struct err *err);

/* Of a moment that was reached. */
struct moment_shown ending_shown(const struct ending *e);

/* e->fetcher, to err if rc < 0. Whether the log ends there, or could not be had, is for who reads it
 * to judge. */
void ending_tell_fetcher(const struct ending *e, int rc, struct err *err);

#endif
