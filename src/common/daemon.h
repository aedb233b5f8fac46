/*
 * Going to the background with an answer: the command returns when the child says that it is ready,
 * with the child's verdict as its exit status. The work itself is done in the child from the start,
 * so that no connection, worker or thread has to survive a fork.
 */
#ifndef ASOFS_COMMON_DAEMON_H
#define ASOFS_COMMON_DAEMON_H

#include "common/err.h"

/*
 * In the child: returns 0 with *parent_fd, which ends when the parent dies before daemon_ready
 * (watch it). In the parent: waits for daemon_ready or the child's end and returns 1 with *status
 * to exit with; negative when it died without a word.
 */
int daemon_fork(int *parent_fd, int *status, struct err *err);

/*
 * In the child: tell the parent to exit with 0, let go of terminal and directory, log to syslog.
 * -EPIPE when the parent is gone: nobody wants the result any more.
 */
int daemon_ready(int parent_fd, struct err *err);

#endif
