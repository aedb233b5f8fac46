/*
 * Segments of the shipped log on their way to a private server, ahead of it.
 *
 * Each segment has to be looked through before it is replayed (tablespaces.h), and a command that
 * does it takes longer than the replay of half a segment. So a thread does it while the server
 * starts and replays: a segment that is well is linked into pg_wal of the view, and its name is
 * noted in run/ahead. restore_command then has nothing to do but to find nothing, and the server
 * looks into pg_wal by itself. What the thread leaves out (it was too slow, a segment still grows,
 * the server's user may not write to it, one creates a tablespace) takes the way of the command.
 */
#ifndef ASOFS_REPLAY_LOOKAHEAD_H
#define ASOFS_REPLAY_LOOKAHEAD_H

#include <stdint.h>

#include "store/wal.h"

struct lookahead_request {
    const char *wal_dir;
    const struct wal_list *log;
    uint64_t from;   /* LSN where replay begins */
    uint64_t system; /* identifier of the cluster whose log it is to be */
    const char *wal; /* pg_wal of the view, mounted; copied, all else is borrowed until the end */
    const char *run; /* the server's own directory */
};

struct lookahead;

/* The thread works with the rights that the caller has (pg/identity.h). NULL: there is nothing to
 * look at, or no thread can be started, which is no failure. */
struct lookahead *lookahead_start(const struct lookahead_request *req);
void lookahead_stop(struct lookahead *l); /* NULL is fine */

/* restore_command that leaves to pg_wal what was noted, and else is `command`. It needs ASOFS_RUN
 * in the environment. Owned by the caller. */
char *lookahead_command(const char *command);

#endif
