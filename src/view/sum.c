/*
 * Whoever reads a file in order has few reads under way at once, which end in another order than that in which they
 * began: as far apart as the kernel reads ahead.
 */
#include "view/sum.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/mem.h"

#define FAR (UINT64_C(16) << 20) /* what comes earlier is not kept */
#define EARLY 32u                /* parts */

struct early {
    char *bytes; /* NULL: unused */
    size_t n;
    uint64_t offset;
};

struct sum {
    uint64_t size;
    struct render_memory *memory;
    atomic_bool done; /* nothing is added any more */

    pthread_mutex_t lock; /* protects what follows */
    struct hash *hash;    /* of what is before `next`; NULL: nothing was added yet */
    uint64_t next;
    struct early early[EARLY];
};

struct sum *sum_new(uint64_t size, struct render_memory *m)
{
    struct sum *s = mem_alloc(sizeof(*s));

    s->size = size;
    s->memory = m;
    pthread_mutex_init(&s->lock, NULL);
    return s;
}

/* ---- under the lock ---- */

static void forget(struct sum *s, struct early *e)
{
    if (!e->bytes)
        return;
    render_memory_give(s->memory, e->n);
    free(e->bytes);
    *e = (struct early){0};
}

static void forget_all(struct sum *s)
{
    unsigned i;

    for (i = 0; i < EARLY; i++)
        forget(s, &s->early[i]);
}

static void keep(struct sum *s, const void *bytes, size_t n, uint64_t offset)
{
    struct early *e = s->early;

    while (e < s->early + EARLY && e->bytes)
        e++;
    if (e == s->early + EARLY || offset - s->next > FAR || !render_memory_take(s->memory, n))
        return;
    *e = (struct early){mem_alloc(n), n, offset};
    memcpy(e->bytes, bytes, n);
}

/* What of it is new; it begins where nothing is missing before it. */
static void add(struct sum *s, const char *bytes, size_t n, uint64_t offset)
{
    size_t known = (size_t)(s->next - offset);

    if (known >= n)
        return;
    if (!s->hash)
        s->hash = hash_new();
    hash_update(s->hash, bytes + known, n - known);
    s->next = offset + n;
}

static struct early *find_due(struct sum *s)
{
    unsigned i;

    for (i = 0; i < EARLY; i++)
        if (s->early[i].bytes && s->early[i].offset <= s->next)
            return &s->early[i];
    return NULL;
}

/* And what was waiting for it. */
static void add_all(struct sum *s, const void *bytes, size_t n, uint64_t offset)
{
    struct early *e;

    add(s, bytes, n, offset);
    while ((e = find_due(s))) {
        add(s, e->bytes, e->n, e->offset);
        forget(s, e);
    }
}

static bool finish(struct sum *s, uint64_t *value)
{
    if (s->next < s->size)
        return false;
    *value = hash_value(s->hash);
    hash_free(s->hash);
    s->hash = NULL;
    forget_all(s);
    atomic_store(&s->done, true);
    return true;
}

/* ---- for all ---- */

bool sum_add(struct sum *s, const void *bytes, size_t n, uint64_t offset, uint64_t *value)
{
    bool last = false;

    if (n == 0 || atomic_load(&s->done))
        return false;
    pthread_mutex_lock(&s->lock);
    if (atomic_load(&s->done))
        ;
    else if (offset > s->next)
        keep(s, bytes, n, offset);
    else {
        add_all(s, bytes, n, offset);
        last = finish(s, value);
    }
    pthread_mutex_unlock(&s->lock);
    return last;
}

uint64_t sum_of_nothing(void)
{
    struct hash *h = hash_new();
    uint64_t value = hash_value(h);

    hash_free(h);
    return value;
}

void sum_trim(struct sum *s)
{
    pthread_mutex_lock(&s->lock);
    forget_all(s);
    pthread_mutex_unlock(&s->lock);
}

void sum_free(struct sum *s)
{
    if (!s)
        return;
    forget_all(s);
    if (s->hash)
        hash_free(s->hash);
    pthread_mutex_destroy(&s->lock);
    free(s);
}
