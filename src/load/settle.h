/*
 * What became of a COMMIT that publishes and whose answer is missing: another connection asks the
 * server, so that nobody is told that a copy failed which is current, or the other way round.
 */
#ifndef ASOFS_LOAD_SETTLE_H
#define ASOFS_LOAD_SETTLE_H

#include "pg/conn.h"

struct settle_request {
    const struct pg_target *target; /* pinned */
    const char *name;               /* of the copy */
    int64_t timeout_ms;             /* to connect, and for each answer */
    int stop_fd;
};

/*
 * rc, *err: with what a pg_publish_… (pg/publish.h) ended. 0: the copy is published, and people are
 * told how that is known; else rc, and err says whether it is, where the session was lost.
 *
 * *conn, whose session was lost, becomes another one that holds the name of the copy; unless that
 * cannot be had (any more): then it stays, to be closed, and nothing may be taken away.
 */
int settle_publish(struct pg_conn **conn, const struct settle_request *req, int rc,
                   struct err *err);

#endif
