/*
 * What holds descriptors and can be opened again when it is needed: at most HELD_MAX that nobody
 * uses just now stay open, those used last.
 */
#ifndef ASOFS_LIVE_HELD_H
#define ASOFS_LIVE_HELD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define HELD_MAX 512

struct held {
    struct held *prev, *next; /* of those that nobody uses */
    unsigned pins;
    bool open;
    void (*shut)(struct held *h); /* closes it; called under the lock */
};

struct held_list {
    pthread_mutex_t lock; /* covers all of it */
    struct held ends;
    size_t idle, most; /* HELD_MAX, or fewer */
};

void held_init(struct held_list *l);
void held_end(struct held_list *l);

/* It is open, and stays so until held_unpin. false: it is not; who opens it (alone: the caller's
 * lock) says so, and has pinned it then. */
bool held_pin(struct held_list *l, struct held *h);
void held_opened(struct held_list *l, struct held *h);
void held_unpin(struct held_list *l, struct held *h);
void held_shut(struct held_list *l, struct held *h); /* nobody uses it: closed now, if it is open */

#endif
