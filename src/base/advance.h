/*
 * A layer: the newest base of a store, replayed forward so that mounting a later moment replays
 * little. Where that carries no more layers, an older one that it stands on (layering.h).
 *
 * It is made as a view is (page.h), by a private server that is a standby and stays one: at the
 * end it stops at a restartpoint, "shut down in recovery", so that recovery can go on from there.
 * Only then the view becomes a base of its own (store_finish_layer); whatever ends earlier leaves
 * nothing but a view that the next one clears.
 */
#ifndef ASOFS_BASE_ADVANCE_H
#define ASOFS_BASE_ADVANCE_H

#include "replay/moment.h"

struct advance_request {
    const char *store;
    struct moment until;         /* MOMENT_TIME or MOMENT_LSN: not further; MOMENT_NONE: the end of
                                    the log */
    const char *run_as;          /* NULL: the owner of the store, or postgres */
    const char *bindir;          /* NULL: looked for */
    const char *log;             /* NULL: what the store says */
    const char *restore_command; /* NULL: what the store says */
    int stop_fd;                 /* -1: none */
};

struct advance_result {
    char *parent;                  /* the base that the layer stands on; without one, the newest */
    char *id;                      /* of the layer; NULL: nothing was gained, there is none */
    char *fetcher;                 /* pageserver_heard, where the log ended; NULL: nothing */
    struct store_base_facts facts; /* of the layer */
};

/* One process at a time (-EBUSY). The result is to be freed also on failure. */
int base_advance(const struct advance_request *req, struct advance_result *r, struct err *err);
void advance_result_free(struct advance_result *r);

#endif
