/*
 * "Stop now": one descriptor that becomes readable when the work in hand shall end: SIGINT, SIGTERM
 * or SIGHUP (unless it is ignored, as by nohup) came, or the process that waits for us is gone.
 * Whatever waits polls it beside its own descriptors.
 */
#ifndef ASOFS_COMMON_STOP_H
#define ASOFS_COMMON_STOP_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct stop {
    int fd; /* poll for POLLIN */
    int signal_fd;
};

/* Blocks these signals in the calling thread (and those it starts later). */
int stop_open(struct stop *s, struct err *err);
/* The end of a peer's socket means stop, too. It is not owned. */
int stop_watch(struct stop *s, int peer_fd, struct err *err);
/*
 * Unblocks the signals. forget: those that came and were heard have no further effect (the work was
 * given up for them); otherwise they are delivered now, to whatever handles them by then.
 */
void stop_close(struct stop *s, bool forget);
bool stop_requested(const struct stop *s);

/* Wait at most `ms` milliseconds for the descriptor of a stop (-1: none); true: it shall end. */
bool stop_within(int stop_fd, int64_t ms);

#endif
