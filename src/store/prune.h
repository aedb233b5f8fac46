/*
 * What of a store can go: decided from facts alone. Pure.
 *
 * Needed are: the newest base from which everything within the retention can be shown, and all that
 * are newer; bases that a view stands on; what a needed layer lies on. Of the log: from the start
 * of the oldest needed base on, those left out that are merely below a layer. What may be given up
 * makes nothing needless that stays, and what goes with its view makes nothing needless at all.
 */
#ifndef ASOFS_STORE_PRUNE_H
#define ASOFS_STORE_PRUNE_H

#include "store/wal.h"
#include "store/store.h"

enum prune_why {
    PRUNE_REMOVE,
    PRUNE_PLAIN,    /* nothing is known of it (asofs store add-base) */
    PRUNE_RETAINED, /* moments that are retained are reached from it */
    PRUNE_VIEW,     /* a view stands on it */
    PRUNE_BELOW,    /* a layer that is needed lies on it */
};

struct prune_base {
    const char *id;
    struct store_base_facts facts;
    int64_t first_time; /* seconds since 1970: it can be shown from then on at the latest; 0: not
                           known */
    int below;          /* index of the base that this layer lies on; -1: it is no layer */
    bool has_view;
    bool lost;          /* nothing can be shown from it any more */
    bool frozen;        /* a freeze, or a layer on one: freezes can be given up */
    bool with_view;     /* a freeze that goes with its view */
    enum prune_why why; /* the answer */
};

/*
 * Says of each base (in any order) why it stays. keep_from: the earliest moment that is retained,
 * seconds since 1970. Returns the LSN from which the log is needed; 0: all of it.
 */
uint64_t prune_decide(struct prune_base *bases, size_t n, const struct wal_list *log,
                      int64_t keep_from);

/* Is segment i of the log needless? Never the last one: the receiver goes on after it. */
bool prune_segment(const struct wal_list *log, size_t i, uint64_t needed_from);

#endif
