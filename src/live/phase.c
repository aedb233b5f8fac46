#include "live/phase.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"

#define LOOK_NS 20000

struct phase_retired {
    struct phase_retired *next;
    void (*done)(void *arg);
    void *arg;
};

static void push(struct phase *p, struct phase_retired *r)
{
    r->next = atomic_load(&p->retired);
    while (!atomic_compare_exchange_weak(&p->retired, &r->next, r))
        ;
}

void phase_retire(struct phase *p, void (*done)(void *arg), void *arg)
{
    struct phase_retired *r = malloc(sizeof(*r));

    if (!r)
        return;
    r->done = done;
    r->arg = arg;
    push(p, r);
}

/* Their time has come, or they wait for the next one. */
static void settle(struct phase *p, struct phase_retired *r, bool over)
{
    struct phase_retired *next;

    for (; r; r = next) {
        next = r->next;
        if (!over) {
            push(p, r);
            continue;
        }
        r->done(r->arg);
        free(r);
    }
}

void phase_init(struct phase *p)
{
    atomic_init(&p->turn, 0);
    atomic_init(&p->inside[0], 0);
    atomic_init(&p->inside[1], 0);
    atomic_init(&p->retired, NULL);
    pthread_mutex_init(&p->turning, NULL);
}

void phase_end(struct phase *p)
{
    struct phase_retired *r;

    while ((r = atomic_exchange(&p->retired, NULL)))
        settle(p, r, true); /* what is done may retire something */
    pthread_mutex_destroy(&p->turning);
}

/* Counted with the turn that still is when it was counted: else the one who turned may have looked
 * already. */
unsigned phase_enter(struct phase *p)
{
    uint64_t turn;

    for (;;) {
        turn = atomic_load(&p->turn);
        atomic_fetch_add(&p->inside[turn & 1], 1);
        if (atomic_load(&p->turn) == turn)
            return turn & 1;
        atomic_fetch_sub(&p->inside[turn & 1], 1);
    }
}

void phase_leave(struct phase *p, unsigned entered)
{
    atomic_fetch_sub(&p->inside[entered], 1);
}

static int wait_empty(struct phase *p, unsigned parity, int64_t deadline)
{
    struct timespec moment = {0, LOOK_NS};

    while (atomic_load(&p->inside[parity])) {
        if (clock_ms() > deadline)
            return -EBUSY;
        nanosleep(&moment, NULL);
    }
    return 0;
}

static int lock_until(pthread_mutex_t *lock, int64_t deadline)
{
    struct timespec moment = {0, LOOK_NS};

    while (pthread_mutex_trylock(lock) != 0) {
        if (clock_ms() > deadline)
            return -EBUSY;
        nanosleep(&moment, NULL);
    }
    return 0;
}

/* The counter of the turn to come has to be empty first: a wait that was given up left calls in
 * it. */
int phase_wait(struct phase *p, int ms)
{
    int64_t deadline = clock_ms() + ms;
    struct phase_retired *retired;
    uint64_t turn;
    int rc = lock_until(&p->turning, deadline);

    if (rc < 0)
        return rc;
    retired = atomic_exchange(&p->retired, NULL);
    turn = atomic_load(&p->turn);
    rc = wait_empty(p, (turn + 1) & 1, deadline);
    if (rc == 0) {
        atomic_store(&p->turn, turn + 1);
        rc = wait_empty(p, turn & 1, deadline);
    }
    pthread_mutex_unlock(&p->turning);
    settle(p, retired, rc == 0);
    return rc;
}
