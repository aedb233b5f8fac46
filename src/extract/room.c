#include "extract/room.h"

#include <stdlib.h>

#include "common/mem.h"

#define LEAST 65536u /* of a chunk of nearly nothing */

struct chunk_room {
    uint64_t share; /* in work: what it may write */
    uint64_t kept;  /* complete: what it holds */
    uint64_t least; /* it was given up for want of room: less is not tried again */
    bool in_work;
};

struct room {
    const struct plan *plan;
    uint64_t limit;    /* UINT64_MAX: none */
    uint64_t capacity; /* that was seen: a quota, say, of which the file system does not tell */
    unsigned writers, in_work;
    bool all;              /* the one in work has all there is */
    uint64_t kept, shares; /* sums */
    struct chunk_room *chunks;
    double *growth; /* by table: the most that a byte in the source became; 0: not known yet */
};

struct room *room_new(const struct plan *p, uint64_t limit, unsigned writers)
{
    struct room *r = mem_alloc(sizeof(*r));

    *r = (struct room){.plan = p, .writers = writers};
    r->limit = limit ? limit : UINT64_MAX;
    r->capacity = r->limit;
    r->chunks = mem_array(p->nchunks, sizeof(*r->chunks));
    r->growth = mem_array(p->ntables, sizeof(*r->growth));
    return r;
}

void room_free(struct room *r)
{
    if (!r)
        return;
    free(r->chunks);
    free(r->growth);
    free(r);
}

static uint64_t weight_of(const struct room *r, uint32_t chunk)
{
    uint64_t weight = r->plan->chunks[chunk].weight;

    return weight < LEAST ? LEAST : weight;
}

static uint64_t expected(const struct room *r, uint32_t chunk)
{
    double growth = r->growth[r->plan->chunks[chunk].table];
    double bytes = (double)weight_of(r, chunk) * (growth > 0 ? growth * 1.25 : 1.5);
    uint64_t least = r->chunks[chunk].least;

    return bytes < (double)least ? least : (uint64_t)bytes;
}

static uint64_t less(uint64_t from, uint64_t what)
{
    return from > what ? from - what : 0;
}

/* What nobody has. */
static uint64_t left(const struct room *r, uint64_t disk)
{
    uint64_t ours = less(r->capacity, r->kept + r->shares), of_disk = less(disk, r->shares);

    return ours < of_disk ? ours : of_disk;
}

static void begin_chunk(struct room *r, uint32_t chunk, uint64_t share)
{
    r->chunks[chunk].in_work = true;
    r->chunks[chunk].share = share;
    r->shares += share;
    r->in_work++;
}

bool room_ask(struct room *r, uint32_t chunk, uint64_t disk)
{
    uint64_t room = left(r, disk), need = expected(r, chunk), part = room / (2 * r->writers);

    if (r->all || need > room)
        return false;
    begin_chunk(r, chunk, part > need ? part : need);
    return true;
}

void room_ask_all(struct room *r, uint32_t chunk)
{
    begin_chunk(r, chunk, r->limit == UINT64_MAX ? UINT64_MAX : less(r->limit, r->kept));
    r->all = true;
}

uint64_t room_share(const struct room *r, uint32_t chunk)
{
    return r->chunks[chunk].share;
}

void room_return(struct room *r, uint32_t chunk)
{
    struct chunk_room *c = &r->chunks[chunk];

    if (!c->in_work)
        return;
    r->in_work--;
    r->shares -= c->share;
    c->share = 0;
    c->in_work = false;
    r->all = false; /* nobody else is in work beside that one */
}

void room_keep(struct room *r, uint32_t chunk, uint64_t bytes)
{
    double *growth = &r->growth[r->plan->chunks[chunk].table];
    double grown = (double)bytes / (double)weight_of(r, chunk);

    room_return(r, chunk);
    r->chunks[chunk].kept = bytes;
    r->kept += bytes;
    if (grown > *growth)
        *growth = grown;
}

bool room_overrun(struct room *r, uint32_t chunk, uint64_t written, bool full, uint64_t held)
{
    struct chunk_room *c = &r->chunks[chunk];
    bool had_all = r->all;

    if (full && held < r->capacity)
        r->capacity = held;
    if (!full && c->share > written)
        written = c->share;
    c->least = written > UINT64_MAX / 2 ? UINT64_MAX : 2 * written;
    room_return(r, chunk);
    return !had_all;
}

void room_give_back(struct room *r, uint32_t chunk)
{
    r->kept -= r->chunks[chunk].kept;
    r->chunks[chunk].kept = 0;
}

uint64_t room_kept(const struct room *r)
{
    return r->kept;
}

unsigned room_writers(const struct room *r)
{
    return r->in_work;
}

bool room_is_ample(const struct room *r, uint64_t disk)
{
    return !r->all && left(r, disk) >= r->kept + r->shares;
}
