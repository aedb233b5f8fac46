#include "extract/queue.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

enum { WAITING, RUNNING, PUT_OFF, FOR_LEADER, DONE };

struct queue {
    const struct plan *plan;
    uint8_t *state;
    uint8_t *tries;
    bool *was_put_off;
    bool *held;      /* by table */
    size_t cursor;   /* everything before it in plan->order is not WAITING, or stands in `again` */
    uint32_t *again; /* stack: chunks put back */
    size_t nagain, again_room;
    uint32_t *off; /* chunks put off, the longest first; some of them are done */
    size_t noff, off_room;
    uint32_t *wanted; /* stack: preferred tables */
    size_t nwanted, wanted_room;
    size_t for_leader;
    size_t left;
};

struct queue *queue_new(const struct plan *p)
{
    struct queue *q = mem_alloc(sizeof(*q));

    q->plan = p;
    q->state = mem_array(p->nchunks, 1);
    q->tries = mem_array(p->nchunks, 1);
    q->was_put_off = mem_array(p->nchunks, sizeof(*q->was_put_off));
    q->held = mem_array(p->ntables, sizeof(*q->held));
    q->left = p->nchunks;
    return q;
}

void queue_free(struct queue *q)
{
    if (!q)
        return;
    free(q->state);
    free(q->tries);
    free(q->held);
    free(q->was_put_off);
    free(q->again);
    free(q->off);
    free(q->wanted);
    free(q);
}

static int64_t take_again(struct queue *q)
{
    size_t i;

    for (i = q->nagain; i-- > 0;) {
        uint32_t k = q->again[i];

        if (q->state[k] == WAITING && q->held[q->plan->chunks[k].table])
            continue;
        memmove(&q->again[i], &q->again[i + 1], (--q->nagain - i) * sizeof(*q->again));
        if (q->state[k] == WAITING)
            return k;
    }
    return QUEUE_EMPTY;
}

static int64_t take_wanted(struct queue *q)
{
    while (q->nwanted) {
        uint32_t t = q->wanted[q->nwanted - 1];
        size_t k;

        for (k = q->plan->first[t]; k < q->plan->first[t + 1] && !q->held[t]; k++)
            if (q->state[k] == WAITING)
                return (int64_t)k;
        q->nwanted--;
    }
    return QUEUE_EMPTY;
}

/* In the order, a table's chunks stand together: those of a table that is held are passed at once. */
static int64_t take_ordered(struct queue *q)
{
    const struct plan *p = q->plan;
    size_t i;

    while (q->cursor < p->nchunks && q->state[p->order[q->cursor]] != WAITING)
        q->cursor++;
    for (i = q->cursor; i < p->nchunks;) {
        uint32_t k = p->order[i], t = p->chunks[k].table;

        if (q->held[t]) {
            i += plan_chunks_on(p, k);
            continue;
        }
        if (q->state[k] == WAITING)
            return k;
        i++;
    }
    return QUEUE_EMPTY;
}

static int64_t take_put_off(struct queue *q)
{
    int64_t k = QUEUE_EMPTY;
    size_t i;

    for (i = 0; i < q->noff && k == QUEUE_EMPTY; i++)
        if (q->state[q->off[i]] == PUT_OFF)
            k = q->off[i];
    q->noff -= i;
    if (q->noff)
        memmove(q->off, q->off + i, q->noff * sizeof(*q->off));
    return k;
}

int64_t queue_take(struct queue *q)
{
    int64_t k = take_wanted(q);

    if (k == QUEUE_EMPTY)
        k = take_again(q);
    if (k == QUEUE_EMPTY)
        k = take_ordered(q);
    if (k == QUEUE_EMPTY)
        k = take_put_off(q);
    if (k != QUEUE_EMPTY)
        q->state[k] = RUNNING;
    return k;
}

int64_t queue_take_for_leader(struct queue *q)
{
    size_t i;

    for (i = 0; q->for_leader && i < q->plan->nchunks; i++) {
        uint32_t k = q->plan->order[i];

        if (q->state[k] == FOR_LEADER) {
            q->state[k] = RUNNING;
            q->for_leader--;
            return k;
        }
    }
    return QUEUE_EMPTY;
}

void queue_return(struct queue *q, uint32_t chunk)
{
    q->state[chunk] = WAITING;
    q->again = mem_grow(q->again, q->nagain, &q->again_room, sizeof(*q->again));
    q->again[q->nagain++] = chunk;
}

bool queue_put_back(struct queue *q, uint32_t chunk)
{
    queue_return(q, chunk);
    return ++q->tries[chunk] < QUEUE_MAX_TRIES;
}

void queue_put_off(struct queue *q, uint32_t chunk)
{
    q->state[chunk] = PUT_OFF;
    q->was_put_off[chunk] = true;
    q->off = mem_grow(q->off, q->noff, &q->off_room, sizeof(*q->off));
    q->off[q->noff++] = chunk;
}

bool queue_was_put_off(const struct queue *q, uint32_t chunk)
{
    return q->was_put_off[chunk];
}

void queue_give_to_leader(struct queue *q, uint32_t chunk)
{
    q->state[chunk] = FOR_LEADER;
    q->for_leader++;
}

void queue_done(struct queue *q, uint32_t chunk)
{
    if (q->state[chunk] == FOR_LEADER)
        q->for_leader--;
    if (q->state[chunk] != DONE)
        q->left--;
    q->state[chunk] = DONE;
}

bool queue_done_elsewhere(struct queue *q, uint32_t chunk)
{
    if (q->state[chunk] == RUNNING || q->state[chunk] == DONE)
        return false;
    queue_done(q, chunk);
    return true;
}

void queue_prefer_table(struct queue *q, uint32_t table)
{
    q->wanted = mem_grow(q->wanted, q->nwanted, &q->wanted_room, sizeof(*q->wanted));
    q->wanted[q->nwanted++] = table;
}

void queue_hold_table(struct queue *q, uint32_t table)
{
    q->held[table] = true;
}

void queue_open_table(struct queue *q, uint32_t table)
{
    q->held[table] = false;
}

void queue_drop_table(struct queue *q, uint32_t table)
{
    size_t k;

    for (k = q->plan->first[table]; k < q->plan->first[table + 1]; k++)
        if (q->state[k] != RUNNING)
            queue_done(q, (uint32_t)k);
}

size_t queue_left(const struct queue *q)
{
    return q->left;
}
