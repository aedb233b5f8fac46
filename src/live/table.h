/*
 * Things found by a number, of which several may have the same. What is in a table has a link in
 * itself, so that a million of them cost no more than that. Not thread safe.
 */
#ifndef ASOFS_LIVE_TABLE_H
#define ASOFS_LIVE_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct table_link {
    struct table_link *next;
    uint64_t key;
};

struct table {
    struct table_link **slots; /* NULL: one, which is `first` */
    struct table_link *first;
    size_t mask;
    size_t count;
};

void table_add(struct table *t, struct table_link *link, uint64_t key);
void table_remove(struct table *t, struct table_link *link);
struct table_link *table_find(const struct table *t, uint64_t key); /* NULL: none */
struct table_link *table_again(const struct table_link *link);      /* next of the same key */
struct table_link *table_next(const struct table *t, const struct table_link *link); /* of all; of
                                                                    NULL the first, in no order */
void table_free(struct table *t); /* the slots; what is in it is the caller's */

/* What a link is in; NULL of NULL. */
#define table_item(link, type, member)                                                             \
    ((link) ? (type *)((char *)(link)-offsetof(type, member)) : NULL)

#endif
