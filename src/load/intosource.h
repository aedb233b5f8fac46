/*
 * A copy within the first database itself: tables in schema asofs_NAME that are as of one moment
 * (pg/intosource.h). Insert workers, a crew of load/worker.h, join the exported snapshot and run
 * INSERT … SELECT … there, a chunk of the plan at a time; no row leaves the server.
 *
 * The whole of it is one call: whoever froze the database keeps the snapshot until `release`.
 *
 * What a kill leaves behind: the schema of new tables, known to be ours, and rows of asofs.chunk,
 * which the next copy of that name drops before it begins. Until then the old tables stay current.
 */
#ifndef ASOFS_LOAD_INTOSOURCE_H
#define ASOFS_LOAD_INTOSOURCE_H

#include "common/progress.h"
#include "extract/plan.h"

struct intosource_request {
    const char *name;               /* of the copy */
    const struct pg_target *source; /* pinned: the server whose snapshot it is */
    const char *snapshot_id;
    const struct pg_catalog *catalog;
    const struct plan *plan;
    const char *timezone;
    const char *description, *moment, *lsn; /* "erp@host"; the label */
    unsigned jobs;
    int64_t worker_timeout_ms, lock_timeout_ms, publish_timeout_ms;
    int stop_fd; /* readable: give up (-EINTR) */
    bool quiet;

    int (*held)(void *arg, struct err *err);    /* now and then: the snapshot is there still */
    int (*release)(void *arg, struct err *err); /* and is not needed any more */
    void *arg;
};

int intosource_run(const struct intosource_request *req, struct err *err);

#endif
