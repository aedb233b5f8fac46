/* load/gate: a part is never given out before its bytes are there and its tables are cleared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "load/gate.h"

#define MOST 8
#define STEPS 3

static uint64_t seed = 20261128;

/* xorshift: the same numbers on every machine. */
static uint32_t random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 8) % n);
}

static bool takes(struct gate *g, enum gate_kind kind, struct gate_job *job)
{
    memset(job, 0xff, sizeof(*job));
    return gate_take(g, kind, job);
}

static void clear(struct gate *g, uint32_t table)
{
    struct gate_job job;

    assert_true(takes(g, GATE_CLEAR, &job));
    assert_int_equal(job.kind, GATE_CLEAR);
    assert_int_equal(job.item, table);
    gate_done(g, &job);
}

static void load(struct gate *g, uint32_t file, uint32_t part)
{
    struct gate_job job;

    assert_true(takes(g, GATE_LOAD, &job));
    assert_int_equal(job.kind, GATE_LOAD);
    assert_int_equal(job.item, file);
    assert_int_equal(job.part, part);
    gate_done(g, &job);
}

static void held_until_cleared(void **state)
{
    struct gate *g = gate_new(1);
    const uint32_t table = 0;
    struct gate_job job;

    (void)state;
    assert_int_equal(gate_add_file(g, &table, 1, 2), 0);
    gate_part_complete(g, 0, 1);
    assert_false(takes(g, GATE_LOAD, &job));
    assert_int_equal(gate_waiting(g, GATE_LOAD), 0);
    clear(g, 0);
    assert_true(gate_is_cleared(g, 0));
    load(g, 0, 1);
    assert_false(takes(g, GATE_LOAD, &job));
    gate_part_complete(g, 0, 0);
    load(g, 0, 0);
    assert_true(gate_is_loaded(g, 0));
    assert_true(gate_is_finished(g, 0));
    assert_int_equal(gate_left(g, GATE_LOAD) + gate_left(g, GATE_CLEAR), 0);
    gate_free(g);
}

static void held_until_all_are_cleared(void **state)
{
    struct gate *g = gate_new(2);
    const uint32_t both[] = {0, 1};
    struct gate_job job;

    (void)state;
    gate_add_file(g, both, 2, 1);
    gate_part_complete(g, 0, 0);
    clear(g, 0);
    assert_false(takes(g, GATE_LOAD, &job));
    clear(g, 1);
    load(g, 0, 0);
    assert_true(gate_is_loaded(g, 0) && gate_is_loaded(g, 1));
    gate_free(g);
}

/* Nobody has a file: who asked first whether it is open says what is done. */
static void done_without_a_file(void **state)
{
    struct gate *g = gate_new(2);
    const uint32_t child = 0, parent = 1;
    struct gate_job part = {.kind = GATE_LOAD, .item = 1}, job;

    (void)state;
    gate_add_file(g, &child, 1, 1);
    gate_add_file(g, &parent, 1, 2);
    gate_add_step(g, 1, 0);
    assert_true(gate_load_after(g, 0, 1));
    assert_false(gate_is_open(g, 1));
    clear(g, 0);
    clear(g, 1);
    assert_true(gate_is_open(g, 1));
    assert_false(gate_is_open(g, 0));
    gate_done(g, &part);
    assert_false(gate_is_loaded(g, 1));
    gate_part_complete(g, 1, 1); /* this one has a file all the same */
    load(g, 1, 1);
    assert_true(gate_is_loaded(g, 1));
    assert_true(gate_is_open(g, 0));
    assert_true(takes(g, GATE_FINISH, &job));
    gate_done(g, &job);
    part.item = 0;
    gate_done(g, &part);
    assert_true(gate_is_finished(g, 0) && gate_is_finished(g, 1));
    assert_int_equal(gate_left(g, GATE_LOAD), 0);
    gate_free(g);
}

static void put_back_comes_first(void **state)
{
    struct gate *g = gate_new(1);
    const uint32_t table = 0;
    struct gate_job job;
    int i;

    (void)state;
    gate_add_file(g, &table, 1, 2);
    clear(g, 0);
    gate_part_complete(g, 0, 0);
    gate_part_complete(g, 0, 1);
    for (i = 1; i < GATE_MAX_TRIES; i++) {
        assert_true(takes(g, GATE_LOAD, &job));
        assert_int_equal(job.part, 0);
        assert_true(gate_put_back(g, &job));
    }
    assert_true(takes(g, GATE_LOAD, &job));
    assert_false(gate_put_back(g, &job));
    load(g, 0, 1);
    assert_false(gate_is_loaded(g, 0));
    gate_free(g);
}

static void orders_between_tables(void **state)
{
    struct gate *g = gate_new(3); /* 0 refers to 1, 1 to 2 */
    struct gate_job job;
    uint32_t i;

    (void)state;
    for (i = 0; i < 3; i++)
        gate_add_file(g, &i, 1, i == 1 ? 0 : 1);
    assert_true(gate_clear_after(g, 1, 0));
    assert_true(gate_clear_after(g, 2, 1));
    assert_false(gate_clear_after(g, 0, 2));
    assert_false(gate_clear_after(g, 0, 0));
    assert_true(gate_load_after(g, 0, 1));
    assert_true(gate_load_after(g, 1, 2));
    assert_false(gate_load_after(g, 2, 0));
    clear(g, 0);
    clear(g, 1);
    gate_part_complete(g, 0, 0);
    gate_part_complete(g, 2, 0);
    assert_false(takes(g, GATE_LOAD, &job));
    clear(g, 2);
    load(g, 2, 0);
    assert_true(gate_is_loaded(g, 1)); /* it has no parts */
    load(g, 0, 0);
    assert_true(gate_is_loaded(g, 0));
    gate_free(g);
}

static void take_step(struct gate *g, uint32_t table, uint32_t step)
{
    struct gate_job job;

    assert_true(takes(g, GATE_FINISH, &job));
    assert_int_equal(job.item, table);
    assert_int_equal(job.part, step);
    gate_done(g, &job);
}

static void steps_by_phase(void **state)
{
    struct gate *g = gate_new(2);
    struct gate_job job, other;
    uint32_t i;

    (void)state;
    for (i = 0; i < 2; i++) {
        gate_add_file(g, &i, 1, 1);
        gate_add_step(g, i, 2);
        gate_add_step(g, i, 1);
        gate_add_step(g, i, 1);
        gate_add_step(g, i, GATE_PHASE_ALL);
    }
    clear(g, 0);
    clear(g, 1);
    gate_part_complete(g, 0, 0);
    assert_false(takes(g, GATE_FINISH, &job));
    load(g, 0, 0);
    take_step(g, 0, 1);
    assert_true(takes(g, GATE_FINISH, &job));
    assert_int_equal(job.part, 2);
    assert_false(takes(g, GATE_FINISH, &other));
    gate_done(g, &job);
    take_step(g, 0, 0);
    assert_false(takes(g, GATE_FINISH, &job)); /* the other table is not that far */
    gate_part_complete(g, 1, 0);
    load(g, 1, 0);
    take_step(g, 1, 1);
    take_step(g, 1, 2);
    take_step(g, 1, 0);
    take_step(g, 0, 3);
    assert_true(gate_is_finished(g, 0));
    assert_false(gate_is_finished(g, 1));
    take_step(g, 1, 3);
    assert_int_equal(gate_left(g, GATE_FINISH), 0);
    gate_free(g);
}

static void only_late_steps(void **state)
{
    struct gate *g = gate_new(2);
    uint32_t i;

    (void)state;
    for (i = 0; i < 2; i++)
        gate_add_step(g, i, GATE_PHASE_ALL + 1 - i);
    clear(g, 0);
    clear(g, 1);
    take_step(g, 1, 0); /* the phases are those of all tables */
    take_step(g, 0, 0);
    assert_int_equal(gate_left(g, GATE_FINISH), 0);
    gate_free(g);
}

/* ---- every order of the events of two tables and a file that feeds both ---- */

enum { EV_CLEAR_0, EV_CLEAR_1, EV_PART_0, EV_PART_1, EVENTS };

static void run_order(const int *order)
{
    const uint32_t both[] = {0, 1};
    struct gate *g = gate_new(2);
    struct gate_job clears[2], job;
    bool cleared[2] = {0}, complete[2] = {0};
    int given = 0, i, open;

    gate_add_file(g, both, 2, 2);
    assert_true(takes(g, GATE_CLEAR, &clears[0]) && takes(g, GATE_CLEAR, &clears[1]));
    for (i = 0; i < EVENTS; i++) {
        if (order[i] <= EV_CLEAR_1) {
            cleared[clears[order[i]].item] = true;
            gate_done(g, &clears[order[i]]);
        } else {
            complete[order[i] - EV_PART_0] = true;
            gate_part_complete(g, 0, (uint32_t)(order[i] - EV_PART_0));
        }
        open = cleared[0] && cleared[1] ? complete[0] + complete[1] : 0;
        while (takes(g, GATE_LOAD, &job)) {
            assert_true(cleared[0] && cleared[1] && complete[job.part]);
            gate_done(g, &job);
            given++;
        }
        assert_int_equal(given, open);
    }
    assert_int_equal(given, 2);
    assert_true(gate_is_loaded(g, 0) && gate_is_loaded(g, 1));
    gate_free(g);
}

static void permute(int *order, int n)
{
    int i, t;

    if (n == EVENTS) {
        run_order(order);
        return;
    }
    for (i = n; i < EVENTS; i++) {
        t = order[n], order[n] = order[i], order[i] = t;
        permute(order, n + 1);
        t = order[n], order[n] = order[i], order[i] = t;
    }
}

static void every_order(void **state)
{
    int order[EVENTS] = {EV_CLEAR_0, EV_CLEAR_1, EV_PART_0, EV_PART_1};

    (void)state;
    permute(order, 0);
}

/* ---- at random, with losses ---- */

struct world {
    struct gate *g;
    uint32_t ntables, nfiles;
    uint32_t nparts[MOST], feeds[MOST][2];
    size_t nfeeds[MOST];
    bool cleared[MOST], complete[MOST][MOST], loaded[MOST][MOST], stepped[MOST][STEPS];
    unsigned phases[MOST][STEPS];
    struct gate_job running[64];
    size_t nrunning;
};

static void make_world(struct world *w)
{
    uint32_t i, f;

    memset(w, 0, sizeof(*w));
    w->ntables = 1 + random_below(MOST - 1);
    w->nfiles = w->ntables;
    w->g = gate_new(w->ntables);
    for (f = 0; f < w->nfiles; f++) {
        w->feeds[f][0] = f;
        w->feeds[f][1] = random_below(w->ntables);
        w->nfeeds[f] = w->feeds[f][1] == f || random_below(3) ? 1 : 2;
        w->nparts[f] = random_below(MOST);
        gate_add_file(w->g, w->feeds[f], w->nfeeds[f], w->nparts[f]);
    }
    for (i = 0; i < w->ntables; i++) {
        gate_clear_after(w->g, i, random_below(w->ntables));
        for (f = 0; f < STEPS; f++) {
            w->phases[i][f] = random_below(2) ? random_below(3) : GATE_PHASE_ALL + random_below(3);
            gate_add_step(w->g, i, w->phases[i][f]);
        }
    }
}

static void check_start(const struct world *w, const struct gate_job *job)
{
    size_t i;
    uint32_t f, p;
    unsigned phase;

    if (job->kind == GATE_LOAD) {
        assert_true(w->complete[job->item][job->part] && !w->loaded[job->item][job->part]);
        for (i = 0; i < w->nfeeds[job->item]; i++)
            assert_true(w->cleared[w->feeds[job->item][i]]);
    }
    if (job->kind != GATE_FINISH)
        return;
    for (f = 0; f < w->nfiles; f++)
        for (i = 0; i < w->nfeeds[f]; i++)
            for (p = 0; w->feeds[f][i] == job->item && p < w->nparts[f]; p++)
                assert_true(w->loaded[f][p]);
    phase = w->phases[job->item][job->part];
    for (f = 0; f < w->ntables; f++)
        for (p = 0; p < STEPS; p++)
            assert_true(w->stepped[f][p] || w->phases[f][p] >= phase ||
                        (f != job->item && phase < GATE_PHASE_ALL));
}

static void begin_some(struct world *w)
{
    struct gate_job job;

    if (w->nrunning == 5 || !gate_take(w->g, (enum gate_kind)random_below(GATE_KINDS), &job))
        return;
    check_start(w, &job);
    w->running[w->nrunning++] = job;
}

static void end_some(struct world *w)
{
    size_t i;
    struct gate_job job;

    if (!w->nrunning)
        return;
    i = random_below((uint32_t)w->nrunning);
    job = w->running[i];
    w->running[i] = w->running[--w->nrunning];
    if (random_below(10) == 0 && gate_put_back(w->g, &job))
        return; /* its worker was lost */
    if (job.kind == GATE_CLEAR)
        w->cleared[job.item] = true;
    if (job.kind == GATE_LOAD)
        w->loaded[job.item][job.part] = true;
    if (job.kind == GATE_FINISH)
        w->stepped[job.item][job.part] = true;
    gate_done(w->g, &job);
}

static void complete_some(struct world *w)
{
    uint32_t f = random_below(w->nfiles), p = w->nparts[f] ? random_below(w->nparts[f]) : 0;

    if (!w->nparts[f] || w->complete[f][p])
        return;
    w->complete[f][p] = true;
    gate_part_complete(w->g, f, p);
}

static bool is_over(const struct world *w)
{
    return !gate_left(w->g, GATE_CLEAR) && !gate_left(w->g, GATE_LOAD) &&
           !gate_left(w->g, GATE_FINISH);
}

static void at_random(void **state)
{
    struct world w;
    int round, turn;

    (void)state;
    for (round = 0; round < 2000; round++) {
        make_world(&w);
        for (turn = 0; !is_over(&w); turn++) {
            assert_true(turn < 100000); /* else it hangs */
            begin_some(&w);
            end_some(&w);
            complete_some(&w);
        }
        assert_int_equal(w.nrunning, 0);
        gate_free(w.g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(done_without_a_file),
        cmocka_unit_test(held_until_cleared),
        cmocka_unit_test(held_until_all_are_cleared),
        cmocka_unit_test(put_back_comes_first),
        cmocka_unit_test(orders_between_tables),
        cmocka_unit_test(steps_by_phase),
        cmocka_unit_test(only_late_steps),
        cmocka_unit_test(every_order),
        cmocka_unit_test(at_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
