/*
 * What a command fetched, looked at once more. PostgreSQL removes the segment after the one where
 * recovery ended: where a record is damaged with which that begins, or which goes on in it, nothing is
 * left to see that the log did not end there. So that segment is fetched again.
 */
#ifndef ASOFS_REPLAY_REFETCH_H
#define ASOFS_REPLAY_REFETCH_H

#include "pg/programs.h"

struct refetch_request {
    const struct pg_programs *programs; /* the calling thread has entered as their user */
    const char *data;                   /* of a server that has ended its recovery */
    const char *command;                /* restore_command, as it was given */
    char *const *env;                   /* for it */
    uint32_t segment_bytes;
    uint64_t system; /* identifier of the cluster */
    uint64_t from;   /* LSN where replay began */
    uint32_t timeline;
    uint64_t end; /* where recovery ended on it */
    int stop_fd;  /* -1: none */
};

/* Log after req->end to which no record leads; 0: there is none, or the segment cannot be had. */
uint64_t refetch_damage(const struct refetch_request *req);

/* The command for a segment, as PostgreSQL makes it: %f its name, %p where it goes, %r the one that
 * replay began with. Pure; owned by the caller. */
char *refetch_command(const char *command, const char *name, const char *path, const char *begins);

#endif
