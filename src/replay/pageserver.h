/*
 * A view of a store with a private server on it: two children, `asofs pagefs` that shows the view
 * as a data directory, and the `postgres` that runs there. Both are gone when this process is.
 */
#ifndef ASOFS_REPLAY_PAGESERVER_H
#define ASOFS_REPLAY_PAGESERVER_H

#include "pg/control.h"
#include "pg/private.h"
#include "replay/restorecmd.h"
#include "store/wal.h"

struct pageserver_request {
    const struct pg_programs *programs;
    const char *store, *view;          /* the view exists */
    const struct pg_setting *settings; /* of the server, or NULL */
    char *const *env;                  /* for its restore_command, or NULL */
    /* To be looked through ahead of a server that recovers, from wal_from on (an LSN), in wal_dir;
     * log NULL: that is left to its restore_command. */
    const struct wal_list *log;
    const char *wal_dir;
    uint64_t wal_from; /* of any server that recovers or is a standby, as wal_segment_bytes is */
    uint32_t wal_segment_bytes;
    uint64_t wal_system; /* identifier of the cluster */
    bool recover;        /* archive recovery: recovery.signal is made */
    bool standby;        /* recovery that does not end: pageserver_stop_standby */
    unsigned connections;
    unsigned max_prepared;
    uint64_t shared_buffers; /* bytes; 0: default */
    const char *database;    /* that is likely to be asked for; NULL */
    bool unread;             /* pageserver_stop is next: nobody connects */
    int stop_fd;             /* -1: none */
};

struct pageserver;

struct pageserver_heard {
    char *log;     /* what the server said, or NULL */
    uint64_t end;  /* reached_switch_point(), of a server that recovers; 0: it has not ended it */
    uint64_t more; /* reached_damage() or refetch_damage(), of a log that a command fetches */
    char *fetcher; /* what restore_command said of the last segment, when it failed to fetch that;
                      NULL: nothing */
};

void pageserver_heard_free(struct pageserver_heard *heard);

/* Returns when the server accepts connections; a standby never does. On failure nothing is left;
 * `heard`, when not NULL, is set in any case, and freed by the caller. */
int pageserver_start(const struct pageserver_request *req, struct pageserver **s,
                     struct pageserver_heard *heard, struct err *err);

struct pg_private *pageserver_private(struct pageserver *s);

/* A shutdown with a checkpoint, verified in pg_control; then the view is closed. Frees s. */
int pageserver_stop(struct pageserver *s, struct err *err);

struct pageserver_standby {
    struct pg_control control; /* "shut down in recovery" */
    bool never_began;          /* the log was not there with which recovery begins: pg_control is
                                  what the backup has, of any checkpoint while it was made */
    struct pageserver_heard heard;     /* freed by the caller, also on failure */
    char missing[RESTORECMD_NAME_MAX]; /* the segment that it asked for in vain; "": none */
};

/*
 * Waits until a standby has stopped at its recovery target (with recovery_target_action shutdown),
 * or its restore_command has found nothing any more, and then stops it with a restartpoint. That
 * command is a shell's that appends the name of a segment that is not there, when it is asked for
 * one, to the file "missing" in the directory $ASOFS_RUN.
 *
 * Then the view is put in order, for recovery to go on from there: signal files go, and so do the
 * segments in pg_wal that are links, or are in `wal_dir` as well; and the view is closed. Frees s.
 */
int pageserver_stop_standby(struct pageserver *s, const char *wal_dir,
                            struct pageserver_standby *result, struct err *err);

/* At once; what the view then holds does not matter any more. Frees s; NULL is fine. */
void pageserver_abandon(struct pageserver *s);

#endif
