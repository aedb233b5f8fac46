/* view/sum.c: the checksum of a file whose parts come by in nearly their order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/hash.h"
#include "common/mem.h"
#include "view/sum.h"

#define SIZE (6u << 20)
#define PART (64u << 10)
#define MEMORY (UINT64_C(4) << 20)

struct summed {
    char *bytes;
    uint64_t right, value;
    struct render_memory *memory;
    struct sum *sum;
    atomic_uint known; /* how often it was told */
};

static int begin(void **state)
{
    struct summed *t = mem_alloc(sizeof(*t));
    struct hash *h = hash_new();
    size_t i;

    t->bytes = mem_alloc(SIZE);
    for (i = 0; i < SIZE; i++)
        t->bytes[i] = (char)(i * 7 + i / 251);
    hash_update(h, t->bytes, SIZE);
    t->right = hash_value(h);
    hash_free(h);
    t->memory = render_memory_new(MEMORY);
    t->sum = sum_new(SIZE, t->memory);
    *state = t;
    return 0;
}

static int end(void **state)
{
    struct summed *t = *state;

    sum_free(t->sum);
    assert_int_equal(render_memory_left(t->memory), MEMORY);
    render_memory_free(t->memory);
    free(t->bytes);
    free(t);
    return 0;
}

static void give(struct summed *t, uint64_t offset, size_t n)
{
    uint64_t value;

    if (!sum_add(t->sum, t->bytes + offset, n, offset, &value))
        return;
    assert_int_equal(value, t->right);
    t->known++;
}

static void give_from(struct summed *t, uint64_t offset)
{
    for (; offset < SIZE; offset += PART)
        give(t, offset, PART);
}

static void in_order(void **state)
{
    struct summed *t = *state;

    give_from(t, 0);
    assert_int_equal(t->known, 1);
    give_from(t, 0);
    assert_int_equal(t->known, 1);
}

/* Parts that are neighbours the other way round, as far apart as `by`. */
static void give_swapped(struct summed *t, unsigned by)
{
    uint64_t offset;
    unsigned i;

    for (offset = 0; offset < SIZE; offset += by * PART)
        for (i = by; i > 0; i--)
            give(t, offset + (i - 1) * PART, PART);
}

static void a_little_early(void **state)
{
    struct summed *t = *state;

    give_swapped(t, 8);
    assert_int_equal(t->known, 1);
}

static void overlapping(void **state)
{
    struct summed *t = *state;
    uint64_t offset;

    for (offset = 0; offset < SIZE; offset += PART) {
        give(t, offset ? offset - 100 : 0, PART + (offset ? 100 : 0));
        give(t, offset, 10);
        give(t, 0, PART);
    }
    assert_int_equal(t->known, 1);
}

static void nothing_is_left_out(void **state)
{
    struct summed *t = *state;

    give(t, 0, PART);
    give_from(t, 2 * PART);
    assert_int_equal(t->known, 0);
    give(t, PART, PART - 1);
    assert_int_equal(t->known, 0);
    give_from(t, PART); /* read again: what was missing comes by */
    assert_int_equal(t->known, 1);
}

static void what_is_early_is_bounded(void **state)
{
    struct summed *t = *state;
    uint64_t offset;

    for (offset = SIZE; offset > 0; offset -= 4 * PART)
        give(t, offset - 4 * PART, 4 * PART);
    assert_int_equal(t->known, 0); /* more than MEMORY */
    sum_trim(t->sum);
    assert_int_equal(render_memory_left(t->memory), MEMORY);
    give_from(t, 0);
    assert_int_equal(t->known, 1);
}

struct giver {
    struct summed *t;
    atomic_uint *next;
};

static void *give_next(void *arg)
{
    struct giver *g = arg;
    uint64_t offset;

    while ((offset = atomic_fetch_add(g->next, 1) * (uint64_t)PART) < SIZE)
        give(g->t, offset, PART);
    return NULL;
}

/* Which is missing where a thread slept long: then once more. */
static void from_several_threads(void **state)
{
    struct summed *t = *state;
    atomic_uint next = 0;
    struct giver g = {t, &next};
    pthread_t threads[4];
    unsigned i;

    for (i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, give_next, &g), 0);
    for (i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    give_from(t, 0);
    assert_int_equal(t->known, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(in_order, begin, end),
        cmocka_unit_test_setup_teardown(a_little_early, begin, end),
        cmocka_unit_test_setup_teardown(overlapping, begin, end),
        cmocka_unit_test_setup_teardown(nothing_is_left_out, begin, end),
        cmocka_unit_test_setup_teardown(what_is_early_is_bounded, begin, end),
        cmocka_unit_test_setup_teardown(from_several_threads, begin, end),
    };

    return cmocka_run_group_tests_name("view/sum", tests, NULL, NULL);
}
