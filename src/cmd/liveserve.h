/* The process that serves a live data directory (asofs live STORE MNT). */
#ifndef ASOFS_CMD_LIVESERVE_H
#define ASOFS_CMD_LIVESERVE_H

#include <stdbool.h>
#include <stdint.h>

#include "cmd/liverungs.h"
#include "common/err.h"
#include "pg/identity.h"

struct live_serve_options {
    bool primary;    /* also a server that writes by itself */
    bool foreground; /* else the command returns when it is mounted */
    bool durable;    /* as struct livedir_options, and below */
    uint64_t limit, reserve;
    const char *log; /* where the log goes that the server has done with; NULL: nowhere */
    uint64_t log_limit;
    bool recover; /* what was left by one that was killed, with its server, is put away first */
    struct live_rungs_options rungs; /* every_ms 0: none are made */
};

/*
 * Serve the data directory `data` on `dir`; its epochs lie in `epochs`, below the store (both paths
 * absolute). Returns the
 * exit status; what is wrong was said. Root serves as the owner of the store.
 */
int live_serve(const char *store, const char *data, const char *dir,
               const struct live_serve_options *o);

/* Of who is root: he is the owner of the store for good. 0 or a negative errno, in words. */
int live_become_owner(const char *store, struct err *err);

/* The same for a while: until pg_identity_leave(owner). */
int live_enter_owner(const char *store, struct pg_identity *owner, struct err *err);

/* Where it is served, as the daemon wrote down: STORE/epoch/daemon. *mountpoint is the caller's. */
int live_find_mountpoint(const char *store, char **mountpoint, struct err *err);

#endif
