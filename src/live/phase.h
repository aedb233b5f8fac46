/*
 * Calls that are under way, counted by turns: who turns the counters can wait until all calls that
 * began before are over, while those that begin meanwhile go on.
 */
#ifndef ASOFS_LIVE_PHASE_H
#define ASOFS_LIVE_PHASE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct phase {
    _Atomic uint64_t turn;
    _Alignas(64) atomic_int inside[2]; /* by the turn's parity */
    _Alignas(64) pthread_mutex_t turning;
    struct phase_retired *_Atomic retired;
};

void phase_init(struct phase *p);
void phase_end(struct phase *p);

/* Around each call; leave gets what enter gave. They do not wait. What is atomically changed before
 * a turn is seen by those that enter after it. */
unsigned phase_enter(struct phase *p);
void phase_leave(struct phase *p, unsigned entered);

/* Call `done` when all that have entered by now have left: at the end of a later phase_wait (or of
 * phase_end). Without memory it is never called, and what it would free is lost. */
void phase_retire(struct phase *p, void (*done)(void *arg), void *arg);

/* All that had entered have left: 0, or -EBUSY after `ms`. Not from within. */
int phase_wait(struct phase *p, int ms);

#endif
