/*
 * Questions that may never be answered, such as those to a mount whose process has stopped: a
 * process that waits for one cannot always be killed, so a child asks, and is left behind.
 *
 * For a process with one thread only (the child goes on with all that the parent has).
 */
#ifndef ASOFS_COMMON_ASK_H
#define ASOFS_COMMON_ASK_H

#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "common/buf.h"
#include "common/err.h"

#define ASK_PATIENCE_MS 5000

struct ask {
    pid_t pid;
    int fd; /* what the child wrote */
};

/* question: in the child; writes its answer to `out` and returns a status of 0 to 125. */
int ask_start(struct ask *a, int (*question)(void *arg, FILE *out), void *arg, struct err *err);

/* Until the deadline (clock_ms): the status, with what was written put to `answer`; -ETIMEDOUT: no
 * answer by then; -EIO: the child died. Ends a in any case. */
int ask_wait(struct ask *a, int64_t deadline, struct buf *answer);

/* Both, within ASK_PATIENCE_MS. */
int ask(int (*question)(void *arg, FILE *out), void *arg, struct buf *answer, struct err *err);

#endif
