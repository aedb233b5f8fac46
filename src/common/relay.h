/*
 * What a child that stays in the background writes to its standard error, said as a message of this
 * process: to the terminal while there is one, else to syslog. So no child keeps what our caller
 * reads from us, and nothing that a child says is lost.
 *
 * A thread reads the child's end of a pipe. The child says "asofs: TEXT" (log.h); that a text has
 * several lines is kept.
 */
#ifndef ASOFS_COMMON_RELAY_H
#define ASOFS_COMMON_RELAY_H

#include "common/err.h"

struct relay;

/* *child_fd: for the child's standard error; closed by the caller, once it is started. */
int relay_start(struct relay **r, int *child_fd, struct err *err);

/* All that is written by now is said. Never waits for who has the other end. NULL is fine. */
void relay_end(struct relay *r);

#endif
