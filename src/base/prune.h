/*
 * What of a store no view and no retention needs any more is removed: bases, layers, log (asofs
 * prune).
 *
 * Looked at first, decided then (store/prune.h), done last. Bases go before the log, the newest
 * first, and the store itself refuses to drop one that a view was put on meanwhile; what is left is
 * looked at again before any log is removed. While a view is being made that cannot be seen yet,
 * nothing is removed at all: which base and log it wants is not known.
 */
#ifndef ASOFS_BASE_PRUNE_H
#define ASOFS_BASE_PRUNE_H

#include "store/prune.h"

enum pruning_event {
    PRUNING_KEPT,      /* base, why: PRUNE_VIEW (view), PRUNE_BELOW or PRUNE_PLAIN */
    PRUNING_BASE,      /* base, bytes: it is removed */
    PRUNING_BUSY,      /* refusal: a base was to be removed, but somebody was quicker */
    PRUNING_LOG,       /* segments, first, last, bytes: they are removed */
    PRUNING_ELSEWHERE, /* log: that directory is not the store's, and left as it is */
};

/* What was done, or with dry_run would be. */
struct pruning_news {
    enum pruning_event event;
    const char *base;
    enum prune_why why;
    const char *view; /* one that stands on the base */
    const char *refusal;
    uint64_t segments;
    const char *first, *last; /* names of segments */
    const char *log;
    uint64_t bytes; /* on disk */
};

/* All of it is borrowed for the call. */
struct pruning_request {
    struct store *store; /* open, as who may change it (place.h) */
    int64_t keep_from;   /* the earliest moment that stays mountable, seconds since 1970 */
    bool dry_run;        /* nothing is removed */
    void (*tell)(void *arg, const struct pruning_news *news); /* as it happens */
    void *arg;
};

/*
 * *freed: bytes on disk, in all. -EBUSY: a view is being made. A base that cannot be read, or
 * opened, fails it before anything is removed; a failure later leaves what was told of removed.
 */
int pruning_run(const struct pruning_request *req, uint64_t *freed, struct err *err);

#endif
