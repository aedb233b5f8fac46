#include "extract/plan.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

static struct chunk *add_chunk(struct plan *p, size_t *room, struct chunk k)
{
    p->chunks = mem_grow(p->chunks, p->nchunks, room, sizeof(*p->chunks));
    p->chunks[p->nchunks] = k;
    p->weight += k.weight;
    return &p->chunks[p->nchunks++];
}

/*
 * Ranges of equal numbers of blocks: TOAST is not addressed by block, so it is taken to be spread
 * evenly. The last range is open, so no block can be missed whatever the relation's size was when
 * it was asked.
 */
static void cut_relation(struct plan *p, size_t *room, uint32_t table, int32_t leaf,
                         const struct pg_relation *rel, uint64_t chunk_size)
{
    uint64_t n = chunk_size ? (rel->bytes + chunk_size - 1) / chunk_size : 1;
    uint64_t per, i, weight;

    if (n > rel->blocks)
        n = rel->blocks;
    if (n == 0)
        n = 1;
    per = (rel->blocks + n - 1) / n;
    if (per)
        n = (rel->blocks + per - 1) / per; /* rounding can leave nothing for the last ones */
    weight = rel->bytes / n;
    for (i = 0; i < n; i++) {
        struct chunk k = {.table = table, .leaf = leaf, .weight = weight};

        if (n > 1) {
            k.range.from = i * per;
            k.range.until = (i + 1) * per >= rel->blocks ? 0 : (i + 1) * per;
        }
        add_chunk(p, room, k);
    }
}

static void cut_table(struct plan *p, size_t *room, uint32_t table, const struct pg_table *t,
                      uint64_t chunk_size)
{
    size_t first = p->nchunks, k;

    for (k = 0; k < t->nleaves; k++)
        cut_relation(p, room, table, (int32_t)k, &t->leaves[k], chunk_size);
    if (t->nleaves == 0)
        cut_relation(p, room, table, -1, &t->rel, chunk_size);
    p->chunks[first].first = true;
    p->chunks[p->nchunks - 1].last = true;
}

struct weighed {
    uint64_t weight;
    size_t table;
};

static int heavier_first(const void *a, const void *b)
{
    const struct weighed *x = a, *y = b;

    if (x->weight != y->weight)
        return x->weight > y->weight ? -1 : 1;
    return x->table < y->table ? -1 : x->table > y->table;
}

static void put_in_order(struct plan *p)
{
    struct weighed *w = mem_array(p->ntables, sizeof(*w));
    size_t t, k, n = 0;

    for (t = 0; t < p->ntables; t++) {
        w[t].table = t;
        for (k = p->first[t]; k < p->first[t + 1]; k++)
            w[t].weight += p->chunks[k].weight;
    }
    qsort(w, p->ntables, sizeof(*w), heavier_first);
    p->order = mem_array(p->nchunks, sizeof(*p->order));
    for (t = 0; t < p->ntables; t++)
        for (k = p->first[w[t].table]; k < p->first[w[t].table + 1]; k++)
            p->order[n++] = (uint32_t)k;
    free(w);
}

static void turn_round(struct plan *p)
{
    size_t i;

    for (i = 0; i < p->nchunks / 2; i++) {
        uint32_t k = p->order[i];

        p->order[i] = p->order[p->nchunks - 1 - i];
        p->order[p->nchunks - 1 - i] = k;
    }
    p->backwards = true;
}

void plan_join(struct plan *p, const struct chunk *chunks, size_t n, size_t ntables)
{
    size_t k;

    *p = (struct plan){.nchunks = n, .ntables = ntables};
    p->chunks = mem_array(n + 1, sizeof(*p->chunks));
    p->first = mem_array(ntables + 1, sizeof(*p->first));
    if (n)
        memcpy(p->chunks, chunks, n * sizeof(*chunks));
    for (k = 0; k < n; k++) {
        struct chunk *c = &p->chunks[k];

        c->first = k == 0 || c[-1].table != c->table;
        c->last = k + 1 == n || c[1].table != c->table;
        if (c->first)
            p->first[c->table] = k;
        p->weight += c->weight;
    }
    p->first[ntables] = n;
    put_in_order(p);
    turn_round(p);
}

void plan_make_part(struct plan *p, const struct pg_catalog *c, uint64_t chunk_size,
                    const bool *left_out)
{
    size_t room = 0, t;

    *p = (struct plan){.ntables = c->ntables};
    p->first = mem_array(c->ntables + 1, sizeof(*p->first));
    for (t = 0; t < c->ntables; t++) {
        p->first[t] = p->nchunks;
        if (!left_out || !left_out[t])
            cut_table(p, &room, (uint32_t)t, &c->tables[t], chunk_size);
    }
    p->first[c->ntables] = p->nchunks;
    put_in_order(p);
}

void plan_make(struct plan *p, const struct pg_catalog *c, uint64_t chunk_size)
{
    plan_make_part(p, c, chunk_size, NULL);
}

void plan_free(struct plan *p)
{
    free(p->chunks);
    free(p->first);
    free(p->order);
    *p = (struct plan){0};
}

const struct pg_relation *plan_relation(const struct pg_catalog *c, const struct chunk *k)
{
    const struct pg_table *t = &c->tables[k->table];

    return k->leaf < 0 ? &t->rel : &t->leaves[k->leaf];
}

size_t plan_table_chunks(const struct plan *p, size_t table)
{
    return p->first[table + 1] - p->first[table];
}

size_t plan_chunks_on(const struct plan *p, uint32_t chunk)
{
    uint32_t t = p->chunks[chunk].table;

    return p->backwards ? chunk + 1 - p->first[t] : p->first[t + 1] - chunk;
}
