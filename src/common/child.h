/*
 * A child with a job: asofs itself, run once more as another process ("asofs WORD"), with a socket
 * to us (common/msg.h). It owns nothing that outlives it, so it may be killed at any moment, and it
 * ends when its socket is closed.
 *
 *   we → child   one message that says what it has to know; then whatever its role has
 *   child → we   READY once, as soon as it can be given jobs; then whatever its role has; LOST and
 *                why when it cannot go on, before it exits
 *
 * Its state is set by whoever leads it, which as a rule is common/crew.h:
 *
 *   EMPTY → child_start → JOINING → READY → IDLE ⇄ BUSY → child_end, child_kill → EMPTY
 */
#ifndef ASOFS_COMMON_CHILD_H
#define ASOFS_COMMON_CHILD_H

#include <sys/types.h>

#include "common/msg.h"

/* Its descriptors; the others but the standard ones (/dev/null) are closed. */
enum { CHILD_FD_SOCKET = 3, CHILD_FD_FILE = 4 };

enum child_message {
    CHILD_READY = 1,
    CHILD_LOST,
    CHILD_OWN /* the first number of a role's own */
};

enum child_state {
    CHILD_EMPTY,   /* no process; one may be started */
    CHILD_JOINING, /* started, not READY yet */
    CHILD_IDLE,
    CHILD_BUSY,    /* has a job */
    CHILD_GIVEN_UP /* no process, and none will be */
};

struct child {
    enum child_state state;
    unsigned number; /* from 1; stays when the process is replaced */
    pid_t pid;       /* 0: no process */
    struct msg_conn socket;
    int64_t heard;      /* clock_ms when something last moved */
    unsigned failures;  /* processes in a row that never became READY */
    int64_t not_before; /* clock_ms before which no new one is started */
    bool joined;        /* one was READY */
};

/*
 * Start "asofs WORD" in a child that is EMPTY, and send it this first message; it is JOINING then.
 * title: how ps shows it, before its number. file_fd: borrowed, it gets a copy as CHILD_FD_FILE;
 * -1: none. What it has to say comes over the socket, so whoever reads our output does not wait
 * for it.
 */
int child_start(struct child *c, const char *word, const char *title, int file_fd,
                struct buf *first, struct err *err);

/* Kill and reap the process, if there is one; it is EMPTY then. */
void child_kill(struct child *c);

/* Close the socket, so that it ends by itself; then reap it (killed after two seconds). */
void child_end(struct child *c);

/* The body of LOST. false: it is damaged. */
bool child_get_lost(struct reader *body, struct err *why);

/* ---- in the child's own process ---- */

/* Was it started as a child, with a file or without? */
bool child_was_started(bool with_file);

/* First of all: the socket, the name of the process, no signal that is the parent's affair. */
void child_enter(struct msg_conn *socket, const char *name);

int child_say_ready(struct msg_conn *socket, struct err *err);

/* Last of all: rc is how it ended. What the parent does not know yet (it did not want it, and is
 * not gone) it is told. Returns the exit status. */
int child_leave(struct msg_conn *socket, int rc, const struct err *why);

#endif
