#include "render/memory.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/mem.h"

struct render_memory {
    atomic_uint_fast64_t left;
};

struct render_memory *render_memory_new(uint64_t bytes)
{
    struct render_memory *m = mem_alloc(sizeof(*m));

    atomic_init(&m->left, bytes);
    return m;
}

void render_memory_free(struct render_memory *m)
{
    free(m);
}

bool render_memory_take(struct render_memory *m, uint64_t bytes)
{
    uint_fast64_t left = atomic_load(&m->left);

    do
        if (left < bytes)
            return false;
    while (!atomic_compare_exchange_weak(&m->left, &left, left - bytes));
    return true;
}

void render_memory_give(struct render_memory *m, uint64_t bytes)
{
    atomic_fetch_add(&m->left, bytes);
}

uint64_t render_memory_left(const struct render_memory *m)
{
    return atomic_load(&m->left);
}
