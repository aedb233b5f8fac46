/*
 * base/: what asofs base and asofs prune do with the bases of a store. May be called from cmd/ only;
 * calls replay/ (layers), store/, pages/, pg/ and common/. What is served (view/, fs/) is no concern
 * of it. One thread, and beside it PostgreSQL's programs; following has one more thread (witness.h),
 * and a child that advances (follow.h).
 *
 * The bases of a store: taken from a running server (base_create), and dropped.
 *
 * Other ways to one are adopting a directory (adopt.h) and replaying the newest one forward
 * (advance.h). How the log behind them is kept coming stands in follow.h, what a store holds in
 * list.h. All but base_advance make root the owner of the store for good (writer.h).
 *
 * A base that was created is a physical backup without log. Its log comes with a replication slot
 * of the server, which is made first, so that nothing between the backup and who follows is lost.
 */
#ifndef ASOFS_BASE_CREATE_H
#define ASOFS_BASE_CREATE_H

#include <stdbool.h>

#include "common/err.h"
#include "pg/conn.h"

#define BASE_SLOT "asofs"

/* All strings are borrowed for the call. */
struct base_create_request {
    const char *store;    /* made when there is none */
    const char *conninfo; /* the store keeps what is needed of it (pg/reach.h) */
    const char *slot;     /* NULL: that of the store, or BASE_SLOT */
    bool unbounded_slot;  /* also where max_slot_wal_keep_size has no bound */
    const char *run_as;   /* NULL: the owner of the store, or postgres */
    const char *bindir;   /* NULL: looked for */
    bool quiet;           /* no progress */
    int stop_fd;          /* readable: give up (-EINTR) */
    /* The log is being received by somebody else; it is waited until he has this segment. */
    void (*waiting)(void *arg, const char *segment);
    void *arg;
};

struct base_create_result {
    char *id;
    struct pg_secrets left_out; /* of what the store keeps */
    /* After a failure: the slot that may have been made and could not be dropped again, and why; or
     * NULL. */
    char *slot_left, *slot_left_why;
};

/*
 * Everything that is refused is refused before the slot is made. On failure nothing is left: no
 * base, no store that was not there, and no slot; with slot_left, a store that knows it. Whatever
 * ends the process, the store knows the slot before the server has it (pg/slot.h), the same call
 * goes on with it, and base_drop drops it. -EBUSY: another process is at it. The result is to be freed in any
 * case.
 */
int base_create(const struct base_create_request *req, struct base_create_result *r,
                struct err *err);
void base_create_result_free(struct base_create_result *r);

/*
 * id: the base that goes (-ENOENT: there is none; -EBUSY: a view or a layer stands on it). NULL:
 * all of them, then the slot on the server, and the log that was received; what fails in between
 * leaves the rest to another try. A directory or a log that lies outside of the store stays.
 */
int base_drop(const char *store, const char *id, const char *run_as, struct err *err);

#endif
