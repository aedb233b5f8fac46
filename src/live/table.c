#include "live/table.h"

#include <stdlib.h>

static size_t mix(uint64_t key)
{
    key ^= key >> 32;
    key *= UINT64_C(0x9e3779b97f4a7c15);
    return (size_t)(key ^ key >> 29);
}

static struct table_link **slot_of(const struct table *t, uint64_t key)
{
    return t->slots ? &t->slots[mix(key) & t->mask] : (struct table_link **)&t->first;
}

/* Without memory the chains become longer, and that is all. */
static void grow(struct table *t)
{
    struct table bigger = {.mask = t->slots ? t->mask * 2 + 1 : 63, .count = t->count};
    struct table_link *link, *next, **slot;
    size_t i;

    bigger.slots = calloc(bigger.mask + 1, sizeof(*bigger.slots));
    if (!bigger.slots)
        return;
    for (i = 0; i <= t->mask; i++)
        for (link = t->slots ? t->slots[i] : t->first; link; link = next) {
            next = link->next;
            slot = slot_of(&bigger, link->key);
            link->next = *slot;
            *slot = link;
        }
    free(t->slots);
    *t = bigger;
}

void table_add(struct table *t, struct table_link *link, uint64_t key)
{
    struct table_link **slot;

    if (t->count > t->mask)
        grow(t);
    slot = slot_of(t, key);
    link->key = key;
    link->next = *slot;
    *slot = link;
    t->count++;
}

void table_remove(struct table *t, struct table_link *link)
{
    struct table_link **at = slot_of(t, link->key);

    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    t->count--;
}

struct table_link *table_find(const struct table *t, uint64_t key)
{
    struct table_link *link = *slot_of(t, key);

    while (link && link->key != key)
        link = link->next;
    return link;
}

struct table_link *table_again(const struct table_link *link)
{
    struct table_link *next = link->next;

    while (next && next->key != link->key)
        next = next->next;
    return next;
}

struct table_link *table_next(const struct table *t, const struct table_link *link)
{
    size_t i = 0;

    if (link && link->next)
        return link->next;
    if (!t->slots)
        return link ? NULL : t->first;
    if (link)
        i = (mix(link->key) & t->mask) + 1;
    for (; i <= t->mask; i++)
        if (t->slots[i])
            return t->slots[i];
    return NULL;
}

void table_free(struct table *t)
{
    free(t->slots);
    *t = (struct table){0};
}
