/* extract/queue.h: which chunk comes next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/mem.h"
#include "extract/queue.h"
#include "fixture.h"

#define BLOCK 8192u

static struct pg_relation relation(uint64_t blocks, uint64_t toast)
{
    return (struct pg_relation){.kind = 'r', .blocks = blocks, .bytes = blocks * BLOCK + toast};
}

struct planned {
    struct plan plan;
    struct queue *queue;
};

/* Tables 0, 1, 2 with 1, 4 and 2 chunks: numbers 0, 1..4, 5..6; in order 1 2 3 4 5 6 0. */
static int set_up_queue(void **state)
{
    struct pg_table t[] = {
        {.rel = relation(1, 0)}, {.rel = relation(4, 0)}, {.rel = relation(2, 0)}};
    struct pg_catalog c = {.tables = t, .ntables = 3};
    struct planned *f = mem_alloc(sizeof(*f));

    plan_make(&f->plan, &c, BLOCK);
    f->queue = queue_new(&f->plan);
    *state = f;
    return 0;
}

static int tear_down_queue(void **state)
{
    struct planned *f = *state;

    queue_free(f->queue);
    plan_free(&f->plan);
    free(f);
    return 0;
}

static struct queue *queue_of(void **state)
{
    return ((struct planned *)*state)->queue;
}

/* The next n chunks; -1 stands for QUEUE_EMPTY. */
static void assert_taken(struct queue *q, int n, ...)
{
    va_list ap;
    int i;

    va_start(ap, n);
    for (i = 0; i < n; i++)
        assert_int_equal(queue_take(q), va_arg(ap, int));
    va_end(ap);
}

static void queue_hands_out_every_chunk_once(void **state)
{
    struct queue *q = queue_of(state);
    uint32_t k;

    assert_int_equal(queue_left(q), 7);
    assert_taken(q, 9, 1, 2, 3, 4, 5, 6, 0, QUEUE_EMPTY, QUEUE_EMPTY);
    assert_int_equal(queue_left(q), 7); /* taken is not done */
    for (k = 0; k < 7; k++) {
        queue_done(q, k);
        assert_int_equal(queue_left(q), 6 - k);
    }
    assert_taken(q, 1, QUEUE_EMPTY);
}

static void queue_puts_back_in_front(void **state)
{
    struct queue *q = queue_of(state);

    assert_taken(q, 3, 1, 2, 3);
    assert_true(queue_put_back(q, 2));
    assert_true(queue_put_back(q, 1));
    assert_taken(q, 7, 1, 2, 4, 5, 6, 0, QUEUE_EMPTY);
    assert_true(queue_put_back(q, 6));
    assert_taken(q, 2, 6, QUEUE_EMPTY);
    assert_int_equal(queue_left(q), 7);
}

static void queue_takes_what_was_returned_once_more(void **state)
{
    struct queue *q = queue_of(state);
    int i;

    assert_taken(q, 1, 1);
    for (i = 0; i < 2 * QUEUE_MAX_TRIES; i++) {
        assert_taken(q, 1, 2);
        queue_return(q, 2);
    }
    queue_hold_table(q, 1); /* also what was returned */
    assert_taken(q, 1, 5);
    queue_return(q, 5);
    assert_taken(q, 1, 5);
    queue_open_table(q, 1);
    assert_taken(q, 1, 2);
    assert_true(queue_put_back(q, 2));
    assert_taken(q, 6, 2, 3, 4, 6, 0, QUEUE_EMPTY);
}

static void queue_counts_the_tries_of_each_chunk(void **state)
{
    struct queue *q = queue_of(state);
    int i;

    for (i = 1; i < QUEUE_MAX_TRIES; i++) {
        assert_taken(q, 1, 1);
        assert_true(queue_put_back(q, 1));
    }
    assert_taken(q, 2, 1, 2);
    assert_true(queue_put_back(q, 2));
    assert_false(queue_put_back(q, 1));
}

static void queue_gives_only_the_leader_what_is_the_leader_s(void **state)
{
    struct queue *q = queue_of(state);

    assert_int_equal(queue_take_for_leader(q), QUEUE_EMPTY);
    assert_taken(q, 3, 1, 2, 3);
    queue_give_to_leader(q, 3);
    queue_give_to_leader(q, 1);
    assert_taken(q, 5, 4, 5, 6, 0, QUEUE_EMPTY);
    assert_int_equal(queue_left(q), 7);
    assert_int_equal(queue_take_for_leader(q), 1);
    assert_int_equal(queue_take_for_leader(q), 3);
    assert_int_equal(queue_take_for_leader(q), QUEUE_EMPTY);
    queue_done(q, 1);
    assert_true(queue_put_back(q, 3));
    assert_taken(q, 2, 3, QUEUE_EMPTY);
    assert_int_equal(queue_left(q), 6);
}

static void queue_takes_a_preferred_table_first(void **state)
{
    struct queue *q = queue_of(state);

    queue_prefer_table(q, 2);
    assert_taken(q, 1, 5);
    queue_prefer_table(q, 0);
    assert_taken(q, 7, 0, 6, 1, 2, 3, 4, QUEUE_EMPTY);
}

static void queue_prefers_only_what_still_waits(void **state)
{
    struct queue *q = queue_of(state);

    assert_taken(q, 3, 1, 2, 3);
    queue_done(q, 1);
    queue_give_to_leader(q, 2);
    queue_prefer_table(q, 1);
    queue_prefer_table(q, 1);
    assert_taken(q, 5, 4, 5, 6, 0, QUEUE_EMPTY);
    queue_prefer_table(q, 1);
    assert_taken(q, 1, QUEUE_EMPTY);
}

static void queue_prefers_before_it_tries_again(void **state)
{
    struct queue *q = queue_of(state);

    assert_taken(q, 2, 1, 2);
    queue_put_back(q, 2);
    queue_prefer_table(q, 2);
    assert_taken(q, 3, 5, 6, 2);
    queue_put_back(q, 2);
    queue_prefer_table(q, 1); /* takes it by another way than the one by which it came back */
    assert_taken(q, 5, 2, 3, 4, 0, QUEUE_EMPTY);
}

static void queue_drops_what_waits_of_a_table(void **state)
{
    struct queue *q = queue_of(state);

    assert_taken(q, 3, 1, 2, 3);
    queue_give_to_leader(q, 1);
    queue_put_back(q, 2);
    queue_drop_table(q, 1); /* 1 is the leader's, 2 and 4 wait, 3 is running */
    assert_int_equal(queue_left(q), 4);
    assert_int_equal(queue_take_for_leader(q), QUEUE_EMPTY);
    assert_taken(q, 4, 5, 6, 0, QUEUE_EMPTY);
    queue_done(q, 3);
    assert_int_equal(queue_left(q), 3);
    queue_drop_table(q, 1);
    queue_drop_table(q, 0); /* running */
    assert_int_equal(queue_left(q), 3);
}

static void queue_holds_a_table_until_it_is_opened(void **state)
{
    struct queue *q = queue_of(state);

    queue_hold_table(q, 1);
    queue_hold_table(q, 0);
    queue_prefer_table(q, 1);
    assert_taken(q, 3, 5, 6, QUEUE_EMPTY);
    assert_int_equal(queue_left(q), 7);
    queue_give_to_leader(q, 6);
    assert_int_equal(queue_take_for_leader(q), 6);
    queue_put_back(q, 5);
    queue_open_table(q, 1);
    assert_taken(q, 6, 5, 1, 2, 3, 4, QUEUE_EMPTY);
    queue_open_table(q, 0);
    assert_taken(q, 2, 0, QUEUE_EMPTY);
}

static void queue_drops_a_table_that_is_held(void **state)
{
    struct queue *q = queue_of(state);

    queue_hold_table(q, 2);
    queue_drop_table(q, 2);
    assert_int_equal(queue_left(q), 5);
    assert_taken(q, 6, 1, 2, 3, 4, 0, QUEUE_EMPTY);
}

static void queue_takes_what_was_put_off_last(void **state)
{
    struct queue *q = queue_of(state);
    int i;

    assert_taken(q, 3, 1, 2, 3);
    queue_put_off(q, 2);
    queue_put_off(q, 1);
    assert_true(queue_was_put_off(q, 2));
    assert_false(queue_was_put_off(q, 3));
    assert_taken(q, 7, 4, 5, 6, 0, 2, 1, QUEUE_EMPTY);
    for (i = 0; i < 3 * QUEUE_MAX_TRIES; i++) { /* it is no try */
        queue_put_off(q, 2);
        assert_taken(q, 2, 2, QUEUE_EMPTY);
    }
    assert_true(queue_put_back(q, 2));
    assert_int_equal(queue_left(q), 7);
}

static void queue_knows_what_is_done_elsewhere(void **state)
{
    struct queue *q = queue_of(state);

    assert_taken(q, 3, 1, 2, 3);
    queue_put_off(q, 1);
    queue_give_to_leader(q, 2);
    assert_false(queue_done_elsewhere(q, 3)); /* running: it ends here */
    assert_true(queue_done_elsewhere(q, 1));
    assert_true(queue_done_elsewhere(q, 2));
    assert_true(queue_done_elsewhere(q, 5));
    assert_false(queue_done_elsewhere(q, 5));
    assert_int_equal(queue_left(q), 4);
    assert_int_equal(queue_take_for_leader(q), QUEUE_EMPTY);
    assert_taken(q, 4, 4, 6, 0, QUEUE_EMPTY);
}

static void queue_drops_what_was_put_off(void **state)
{
    struct queue *q = queue_of(state);

    assert_taken(q, 2, 1, 2);
    queue_put_off(q, 2);
    queue_drop_table(q, 1);
    assert_int_equal(queue_left(q), 4);
    assert_taken(q, 4, 5, 6, 0, QUEUE_EMPTY);
}

/* Who joins goes the other way; a table that is held is passed as well. */
static void queue_goes_backwards(void **state)
{
    struct planned *f = *state;
    struct plan p;
    struct queue *q;

    plan_join(&p, f->plan.chunks, f->plan.nchunks, f->plan.ntables);
    q = queue_new(&p);
    queue_hold_table(q, 1);
    assert_taken(q, 2, 0, 6);
    queue_open_table(q, 1);
    assert_taken(q, 2, 5, 4);
    queue_free(q);
    q = queue_new(&p);
    queue_hold_table(q, 2);
    assert_taken(q, 6, 0, 4, 3, 2, 1, QUEUE_EMPTY);
    queue_open_table(q, 2);
    assert_taken(q, 3, 6, 5, QUEUE_EMPTY);
    queue_free(q);
    plan_free(&p);
}

static void queue_done_twice_counts_once(void **state)
{
    struct queue *q = queue_of(state);

    assert_taken(q, 1, 1);
    queue_done(q, 1);
    queue_done(q, 1);
    assert_int_equal(queue_left(q), 6);
}

static void queue_of_nothing_is_empty(void **state)
{
    struct pg_catalog c = {0};
    struct plan p;
    struct queue *q;

    (void)state;
    plan_make(&p, &c, 0);
    q = queue_new(&p);
    assert_int_equal(queue_take(q), QUEUE_EMPTY);
    assert_int_equal(queue_take_for_leader(q), QUEUE_EMPTY);
    assert_int_equal(queue_left(q), 0);
    queue_free(q);
    queue_free(NULL);
    plan_free(&p);
}

/* What a queue is supposed to know, told in the plainest way. */
enum model_state { WAITING, RUNNING, PUT_OFF, LEADERS, DONE };

struct model {
    struct plan plan;
    struct queue *queue;
    enum model_state state[64];
    int tries[64];
    uint64_t seed;
};

static size_t model_count(const struct model *m, enum model_state s)
{
    size_t k, n = 0;

    for (k = 0; k < m->plan.nchunks; k++)
        n += m->state[k] == s;
    return n;
}

/* Some chunk in that state, or -1. */
static int64_t model_any(struct model *m, enum model_state s)
{
    size_t n = model_count(m, s), k, i;

    if (!n)
        return -1;
    i = fixture_random_below(&m->seed, (uint32_t)n);
    for (k = 0; m->state[k] != s || i--; k++)
        ;
    return (int64_t)k;
}

static void model_take(struct model *m, bool leader)
{
    enum model_state from = leader ? LEADERS : model_count(m, WAITING) ? WAITING : PUT_OFF;
    int64_t k = leader ? queue_take_for_leader(m->queue) : queue_take(m->queue);

    if (model_count(m, from) == 0) {
        assert_int_equal(k, QUEUE_EMPTY);
        return;
    }
    assert_in_range(k, 0, m->plan.nchunks - 1);
    assert_int_equal(m->state[k], from);
    m->state[k] = RUNNING;
}

/* What becomes of a running chunk. */
static void model_end(struct model *m)
{
    int64_t k = model_any(m, RUNNING);

    if (k < 0)
        return;
    switch (fixture_random_below(&m->seed, 6)) {
    case 0:
        assert_int_equal(queue_put_back(m->queue, (uint32_t)k), ++m->tries[k] < QUEUE_MAX_TRIES);
        m->state[k] = WAITING;
        break;
    case 1:
        queue_give_to_leader(m->queue, (uint32_t)k);
        m->state[k] = LEADERS;
        break;
    case 2:
        queue_put_off(m->queue, (uint32_t)k);
        m->state[k] = PUT_OFF;
        break;
    default:
        queue_done(m->queue, (uint32_t)k);
        m->state[k] = DONE;
    }
}

static void model_drop(struct model *m, uint32_t table)
{
    size_t k;

    queue_drop_table(m->queue, table);
    for (k = m->plan.first[table]; k < m->plan.first[table + 1]; k++)
        if (m->state[k] != RUNNING)
            m->state[k] = DONE;
}

static void model_done_elsewhere(struct model *m)
{
    uint32_t k = fixture_random_below(&m->seed, (uint32_t)m->plan.nchunks);
    bool settled = m->state[k] == RUNNING || m->state[k] == DONE;

    assert_int_equal(queue_done_elsewhere(m->queue, k), !settled);
    if (!settled)
        m->state[k] = DONE;
}

static void model_step(struct model *m)
{
    uint32_t table = fixture_random_below(&m->seed, (uint32_t)m->plan.ntables);
    uint64_t what = fixture_random_below(&m->seed, 100);

    if (what < 45)
        model_take(m, false);
    else if (what < 55)
        model_take(m, true);
    else if (what < 90)
        model_end(m);
    else if (what < 98)
        queue_prefer_table(m->queue, table);
    else if (what < 99)
        model_done_elsewhere(m);
    else
        model_drop(m, table);
    assert_int_equal(queue_left(m->queue), m->plan.nchunks - model_count(m, DONE));
}

static void queue_agrees_with_a_plain_model(void **state)
{
    struct pg_table t[8];
    struct pg_catalog c = {.tables = t, .ntables = 8};
    uint64_t seed = 17;
    int round, i;

    (void)state;
    for (round = 0; round < 300; round++) {
        struct model m = {.seed = seed};

        for (i = 0; i < 8; i++)
            t[i] = (struct pg_table){.rel = relation(fixture_random_below(&m.seed, 8), 0)};
        plan_make(&m.plan, &c, BLOCK);
        m.queue = queue_new(&m.plan);
        for (i = 0; i < 20000 && queue_left(m.queue); i++)
            model_step(&m);
        assert_int_equal(queue_left(m.queue), 0);
        assert_int_equal(queue_take(m.queue), QUEUE_EMPTY);
        queue_free(m.queue);
        plan_free(&m.plan);
        seed = m.seed;
    }
}

#define WITH_QUEUE(f) cmocka_unit_test_setup_teardown(f, set_up_queue, tear_down_queue)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_QUEUE(queue_hands_out_every_chunk_once),
        WITH_QUEUE(queue_puts_back_in_front),
        WITH_QUEUE(queue_counts_the_tries_of_each_chunk),
        WITH_QUEUE(queue_takes_what_was_returned_once_more),
        WITH_QUEUE(queue_gives_only_the_leader_what_is_the_leader_s),
        WITH_QUEUE(queue_takes_a_preferred_table_first),
        WITH_QUEUE(queue_prefers_only_what_still_waits),
        WITH_QUEUE(queue_prefers_before_it_tries_again),
        WITH_QUEUE(queue_drops_what_waits_of_a_table),
        WITH_QUEUE(queue_holds_a_table_until_it_is_opened),
        WITH_QUEUE(queue_drops_a_table_that_is_held),
        WITH_QUEUE(queue_takes_what_was_put_off_last),
        WITH_QUEUE(queue_knows_what_is_done_elsewhere),
        WITH_QUEUE(queue_drops_what_was_put_off),
        WITH_QUEUE(queue_goes_backwards),
        WITH_QUEUE(queue_done_twice_counts_once),
        cmocka_unit_test(queue_of_nothing_is_empty),
        cmocka_unit_test(queue_agrees_with_a_plain_model),
    };

    return cmocka_run_group_tests_name("extract/queue", tests, NULL, NULL);
}
