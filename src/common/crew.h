/*
 * A crew: some children with the same job (common/child.h), which are given work as long as there
 * is some. What is the same for every role stands here: how many are started, who is given work,
 * who has been silent for too long, what becomes of one that is lost. What the work is says the role.
 *
 *   crew_init → { crew_work, poll what crew_set_polls says, crew_hear } … → crew_end → crew_free
 *
 * A child that is lost puts its job back and is replaced, unless nobody may come later (`closed`), or
 * one after the other never became READY (no connection left on the server, say); then it is given
 * up, and the others do the work, as long as there is one.
 *
 * One thread at a time. What returns int is negative when the work cannot go on (err says why).
 */
#ifndef ASOFS_COMMON_CREW_H
#define ASOFS_COMMON_CREW_H

#include <poll.h>

#include "common/child.h"

#define CREW_MAX_FAILURES 5 /* children in a row that never became READY */

/* What a message of a busy child means. */
enum crew_answer {
    CREW_GOES_ON,  /* it is still at work; something moved */
    CREW_RESTS,    /* its job is settled */
    CREW_UNWANTED, /* it has to go; err says why */
    CREW_NONSENSE  /* no such message, or not now: it has to go, too */
};

/* What a role has to say of child i, counted from 0. */
struct crew_role {
    const char *word;           /* which command of asofs it runs; what one is called */
    const char *title;          /* the same as ps shows it and messages name it */
    const char *silence_option; /* which bounds its silence */

    /* One is about to be started: its first message (into an empty buffer), and *file_fd, borrowed,
     * that it gets as CHILD_FD_FILE; as it comes it is -1, none. */
    int (*configure)(void *arg, unsigned i, struct buf *first, int *file_fd, struct err *err);
    void (*ready)(void *arg, unsigned i); /* it is READY; may be NULL */

    /* How many jobs wait or are in work: there are never more children than that. */
    size_t (*left)(void *arg);

    /* It is idle: put its next job into the frame, and *fd, borrowed, a descriptor that goes with
     * it; as it comes it is -1. 1: it has one; 0: none waits; negative. */
    int (*next)(void *arg, unsigned i, struct buf *frame, int *fd, struct err *err);

    /* It is busy, and said this. An enum crew_answer or negative. */
    int (*answered)(void *arg, unsigned i, struct msg *m, struct err *err);

    /* Its process is gone. had_job: what `next` gave it last is not settled, and has to wait again. */
    int (*lost)(void *arg, unsigned i, bool had_job, const char *why, struct err *err);
};

struct crew {
    const struct crew_role *role; /* borrowed */
    void *arg;                    /* of the role's functions */
    struct child *children;
    unsigned n;
    bool closed;        /* nobody may come later: who is lost is not replaced */
    int64_t silence_ms; /* who is busy or joining and silent for so long is killed */
    bool told_fewer;
};

/* n children, all EMPTY. `closed` may be set afterwards. */
void crew_init(struct crew *c, const struct crew_role *role, void *arg, unsigned n,
               int64_t silence_ms);
void crew_free(struct crew *c); /* kills who runs */

/* Start child i, which is EMPTY; for who cannot wait for crew_work to do it. */
int crew_start(struct crew *c, unsigned i, struct err *err);

/* Kill who is silent, start who is missing, give work to who is idle. now: clock_ms */
int crew_work(struct crew *c, int64_t now, struct err *err);

/* n entries of a poll, and afterwards what they say. */
void crew_set_polls(const struct crew *c, struct pollfd *polls);
int crew_hear(struct crew *c, const struct pollfd *polls, struct err *err);

void crew_end(struct crew *c);  /* there is no more work: let them go */
void crew_kill(struct crew *c); /* the work is given up */

unsigned crew_joined(const struct crew *c); /* children that were READY once */

#endif
