/*
 * Keeping the log of a store coming (asofs base follow): pg_receivewal of the store's replication
 * slot, started again whenever it ends, until it is told to stop or the server has lost the slot.
 *
 * Beside it, a child can advance the newest base now and then (asofs base advance --every). It is
 * started while we are still root, since it has to mount, and says itself what is wrong. We cannot
 * signal it once we are not: it ends when the pipe on its standard input does.
 */
#ifndef ASOFS_BASE_FOLLOW_H
#define ASOFS_BASE_FOLLOW_H

#include <stdint.h>

#include "common/err.h"
#include "common/stop.h"
#include "base/advance.h"

enum follow_event {
    FOLLOW_RECEIVES, /* slot, log: the server sends it, as it says itself; after each attempt anew */
    FOLLOW_FAILED,   /* why: an attempt did, or the server ended it */
    FOLLOW_PAUSES,   /* pause_ms, then there is another */
};

struct follow_news {
    enum follow_event event;
    const char *slot, *log; /* the log: a directory */
    const char *why;
    int64_t pause_ms;
};

/* All strings are borrowed for the call. */
struct follow_request {
    const char *store;
    int64_t restart_delay_ms; /* the longest pause; it begins with a short one */
    int64_t advance_every_ms; /* 0: never */
    const char *run_as;       /* NULL: the owner of the store, or postgres */
    const char *bindir;       /* NULL: looked for */
    int stop_fd;
    void (*tell)(void *arg, const struct follow_news *news);
    void *arg;
};

/*
 * 0: it was stopped. What no further attempt makes good: -ENOENT, -ESTALE: the slot is gone, or its
 * log is; -EINVAL: the store receives no log, the server is of another cluster, or libpq cannot use
 * what the store keeps (a service is gone); -EACCES: the server refuses who asks. The child, if any, is gone too.
 */
int base_follow(const struct follow_request *req, struct err *err);

/*
 * What that child does: advances every `every_ms` until it is stopped, which is 0, or its standard
 * input ends (stop, whose descriptor is that of the request, watches it from now on). told: what
 * came of each, why NULL or the failure; both are only lent.
 */
int base_advance_every(const struct advance_request *req, struct stop *stop, int64_t every_ms,
                       void (*told)(const struct advance_result *r, const struct err *why),
                       struct err *err);

#endif
