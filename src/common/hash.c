#include "common/hash.h"

#include <xxhash.h>

#include "common/mem.h"

/* Opaque to the rest: the state of xxHash is 64-byte aligned and large. */
static XXH3_state_t *state(const struct hash *h)
{
    return (XXH3_state_t *)(uintptr_t)h;
}

struct hash *hash_new(void)
{
    XXH3_state_t *s = XXH3_createState();

    if (!s)
        return mem_alloc(SIZE_MAX / 2); /* says so and aborts */
    XXH3_64bits_reset(s);
    return (struct hash *)s;
}

void hash_free(struct hash *h)
{
    XXH3_freeState(state(h));
}

void hash_reset(struct hash *h)
{
    XXH3_64bits_reset(state(h));
}

void hash_update(struct hash *h, const void *bytes, size_t len)
{
    XXH3_64bits_update(state(h), bytes, len);
}

uint64_t hash_value(const struct hash *h)
{
    return XXH3_64bits_digest(state(h));
}
