/*
 * A replay: a view of a base is made, and a private server takes it to the moment; where that turns
 * out not to lead there, of an older base again.
 */
#ifndef ASOFS_REPLAY_REPLAY_H
#define ASOFS_REPLAY_REPLAY_H

#include "replay/moment.h"
#include "replay/pageserver.h"

struct replay_request {
    struct store *store;
    const struct pg_programs *programs; /* the calling thread has entered as their user */
    const char *view;                   /* is made; nobody else makes one of that name */
    const struct moment *moment;
    const char *log, *restore_command; /* pagewal_read() */
    /* A base that has in its pg_wal all the log that counts; NULL: whichever leads to the moment. */
    const char *only;
    const char *database;              /* that is wanted; NULL: several */
    unsigned connections;              /* that will be made */
    bool completed; /* the view is to be complete, and its server to have stopped */
    int stop_fd;    /* -1: none */
};

struct replay_result {
    unsigned prepared;         /* transactions that a server has room for: set before, and raised */
    bool made;                 /* the view is there, and not complete; after a failure too */
    struct pageserver *server; /* that shows the view; NULL: completed */
    struct moment_shown shown;
    uint64_t replayed; /* bytes of log between the base and the moment */
};

/* result: zero, but for `prepared`. */
int replay_run(const struct replay_request *req, struct replay_result *result, struct err *err);

#endif
