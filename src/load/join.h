/*
 * Joining: more snapshot workers for a copy without files that is under way on another host
 * (extract/guest.h). They share the leader's snapshot, and asofs.chunk, which says who has which
 * chunk and what is done (pg/record.h). What there is to do says the leader (pg/share.h): who joins
 * plans nothing, and begins at the other end.
 *
 * It ends when all is loaded, whoever did it; or when the leader has ended. What is left when it is
 * killed or cut off: nothing; the second server ends its transactions, and the chunks in work there
 * are taken by others.
 */
#ifndef ASOFS_LOAD_JOIN_H
#define ASOFS_LOAD_JOIN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct join_request {            /* all of it is borrowed */
    const char *name;            /* of the copy */
    const char *source, *target; /* libpq conninfo strings, URIs or database names */
    const char *spool_dir;       /* nothing is kept there */
    unsigned jobs;
    int64_t wait_ms;           /* until there is a copy that can be joined */
    int64_t worker_timeout_ms; /* silence of a worker or of a server */
    int64_t lock_timeout_ms;   /* of each statement of a worker in the second database */
    int stop_fd;               /* readable: give up; -1: none */
    bool quiet;
};

/* -EINVAL: the source is another one than the leader's; for the rest, pg_share_read, and conn.h. */
int join_run(const struct join_request *req, struct err *err);

#endif
