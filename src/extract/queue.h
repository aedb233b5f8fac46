/*
 * Which chunk is next, and which are still missing. Pure: the coordinator asks and tells.
 *
 * A chunk is waiting, running, or done. One that a worker could not finish is put back in front;
 * one whose table somebody has queued to lock exclusively goes to the leader, who alone gets
 * through.
 *
 * One that somebody else is at (another host, or a session that is just ending) is put off: it waits
 * behind all others, until it is done there or free again.
 *
 * A table can be held: its chunks wait, and are not handed out to workers, until it is opened. The
 * leader is not bound by that.
 */
#ifndef ASOFS_EXTRACT_QUEUE_H
#define ASOFS_EXTRACT_QUEUE_H

#include "extract/plan.h"

#define QUEUE_EMPTY (-1)
#define QUEUE_MAX_TRIES 5

struct queue;

struct queue *queue_new(const struct plan *p); /* p is borrowed */
void queue_free(struct queue *q);

/* The next waiting chunk becomes running; QUEUE_EMPTY when none waits. */
int64_t queue_take(struct queue *q);
/* The same for chunks that only the leader can do. */
int64_t queue_take_for_leader(struct queue *q);

/* A chunk that was taken is not begun now: it waits again, as the first. */
void queue_return(struct queue *q, uint32_t chunk);
/* A running chunk waits again, as the first. false: it has been tried QUEUE_MAX_TRIES times. */
bool queue_put_back(struct queue *q, uint32_t chunk);
/* A running chunk waits again, as the last. That is no try. */
void queue_put_off(struct queue *q, uint32_t chunk);
bool queue_was_put_off(const struct queue *q, uint32_t chunk); /* ever */
void queue_give_to_leader(struct queue *q, uint32_t chunk);
void queue_done(struct queue *q, uint32_t chunk);
/* Somebody else has done it: it is done, unless it is running here. false: that, or it was done. */
bool queue_done_elsewhere(struct queue *q, uint32_t chunk);

/* Its chunks that wait are taken before others. */
void queue_prefer_table(struct queue *q, uint32_t table);
void queue_hold_table(struct queue *q, uint32_t table);
void queue_open_table(struct queue *q, uint32_t table);
/* What of this table still waits will not be handed out any more. */
void queue_drop_table(struct queue *q, uint32_t table);

size_t queue_left(const struct queue *q); /* chunks that are not done and not dropped */

#endif
