#include "live/pastnames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static uint64_t key_of(uint64_t dir, const char *name)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325) ^ dir;

    for (; *name; name++)
        h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
    return h;
}

static struct past_name *again(const struct past_name *n)
{
    return table_item(table_again(&n->by_name), struct past_name, by_name);
}

static struct past_name *any(const struct past_names *t, uint64_t dir, const char *name)
{
    return table_item(table_find(&t->by_name, key_of(dir, name)), struct past_name, by_name);
}

static bool is(const struct past_name *n, uint64_t dir, const char *name)
{
    return n->by_dir.key == dir && strcmp(n->name, name) == 0;
}

int past_names_add(struct past_names *t, uint64_t epoch, uint64_t dir, const char *name,
                   uint64_t id, mode_t mode)
{
    size_t len = strlen(name);
    struct past_name *n = malloc(sizeof(*n) + len + 1);

    if (!n)
        return -ENOMEM;
    n->epoch = epoch;
    n->id = id;
    n->mode = mode;
    memcpy(n->name, name, len + 1);
    table_add(&t->by_name, &n->by_name, key_of(dir, name));
    table_add(&t->by_dir, &n->by_dir, dir);
    return 0;
}

static struct past_name *exact(const struct past_names *t, uint64_t epoch, uint64_t dir,
                               const char *name)
{
    struct past_name *n = any(t, dir, name);

    while (n && !(n->epoch == epoch && is(n, dir, name)))
        n = again(n);
    return n;
}

bool past_names_said(const struct past_names *t, uint64_t epoch, uint64_t dir, const char *name)
{
    return exact(t, epoch, dir, name);
}

const struct past_name *past_names_find(const struct past_names *t, uint64_t from, uint64_t dir,
                                        const char *name)
{
    struct past_name *n, *first = NULL;

    for (n = any(t, dir, name); n; n = again(n))
        if (n->epoch >= from && is(n, dir, name) && (!first || n->epoch < first->epoch))
            first = n;
    return first;
}

const struct past_name *past_names_of_dir(const struct past_names *t, uint64_t dir,
                                          const struct past_name *n)
{
    return table_item(n ? table_again(&n->by_dir) : table_find(&t->by_dir, dir), struct past_name,
                      by_dir);
}

void past_names_relabel(struct past_names *t, uint64_t from, uint64_t to, uint64_t dir,
                        const char *name)
{
    struct past_name *n = exact(t, from, dir, name);

    if (n && !exact(t, to, dir, name))
        n->epoch = to;
}

static void forget(struct past_names *t, struct past_name *n)
{
    table_remove(&t->by_name, &n->by_name);
    table_remove(&t->by_dir, &n->by_dir);
    free(n);
}

bool past_names_forget(struct past_names *t, uint64_t epoch, size_t max)
{
    struct table_link *link = table_next(&t->by_name, NULL), *next;

    for (; link && max; link = next) {
        struct past_name *n = table_item(link, struct past_name, by_name);

        next = table_next(&t->by_name, link);
        if (n->epoch == epoch) {
            forget(t, n);
            max--;
        }
    }
    return link;
}

void past_names_free(struct past_names *t)
{
    struct table_link *link, *next;

    for (link = table_next(&t->by_name, NULL); link; link = next) {
        next = table_next(&t->by_name, link);
        free(table_item(link, struct past_name, by_name));
    }
    table_free(&t->by_name);
    table_free(&t->by_dir);
}
