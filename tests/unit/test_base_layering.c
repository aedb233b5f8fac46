/* base/layering: on which base the next layer is put, for thousands of advances. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/layering.h"

#define MOST 13
#define ROUNDS 10000

/* ---- one decision ---- */

/* A chain of bases with these ids, which all have their log; n of them. */
static void chain_of(struct layering_base *chain, const unsigned long *ids, unsigned n)
{
    unsigned i;

    for (i = 0; i < n; i++)
        chain[i] = (struct layering_base){.id = ids[i], .has_wal = true};
}

static void while_there_is_room_the_newest_is_the_only_one(void **state)
{
    struct layering_base chain[MOST];
    unsigned n, tries[MOST];

    (void)state;
    memset(chain, 0, sizeof(chain)); /* has_wal does not matter */
    for (n = 1; n <= MOST; n++) {
        assert_int_equal(layering_plan(chain, n, MOST, tries), 1);
        assert_int_equal(tries[0], n - 1);
    }
}

static void layers_of_one_weight_are_replaced_by_one(void **state)
{
    static const unsigned long ids[] = {3, 4, 5, 6, 7};
    struct layering_base chain[5];
    unsigned tries[5];

    (void)state;
    chain_of(chain, ids, 5);
    assert_int_equal(layering_plan(chain, 5, 4, tries), 2); /* on the second there is room for 3 */
    assert_int_equal(tries[0], 0);
    assert_int_equal(tries[1], 1);
}

static void a_layer_that_weighs_more_stays(void **state)
{
    static const unsigned long kept[] = {1, 10, 13, 14, 15}, equal[] = {1, 10, 12, 14, 15},
                               all[] = {1, 6, 8, 10, 11}, heavy[] = {1, 9, 13, 16, 18};
    struct layering_base chain[5];
    unsigned tries[5];

    (void)state;
    chain_of(chain, kept, 5); /* weights 9, 3, 1, 1, and the new one replaces 1, 1 and then 3 */
    assert_int_equal(layering_plan(chain, 5, 4, tries), 1);
    assert_int_equal(tries[0], 1);
    chain_of(chain, equal, 5); /* 9, 2, 2, 1 */
    layering_plan(chain, 5, 4, tries);
    assert_int_equal(tries[0], 1);
    chain_of(chain, all, 5); /* 5, 2, 2, 1: in the end it weighs 6 */
    layering_plan(chain, 5, 4, tries);
    assert_int_equal(tries[0], 0);
    chain_of(chain, heavy, 5); /* 8, 4, 3, 2: it weighs 3, 6, 10, 18 */
    layering_plan(chain, 5, 4, tries);
    assert_int_equal(tries[0], 0);
}

static void the_newest_goes_even_if_it_weighs_more(void **state)
{
    static const unsigned long ids[] = {1, 101, 151, 171, 181};
    struct layering_base chain[5];
    unsigned tries[5];

    (void)state;
    chain_of(chain, ids, 5);
    assert_int_equal(layering_plan(chain, 5, 4, tries), 1);
    assert_int_equal(tries[0], 3);
}

static void a_chain_that_is_too_long_already_gets_short_enough(void **state)
{
    static const unsigned long ids[] = {1, 101, 151, 171, 181, 186, 188};
    struct layering_base chain[7];
    unsigned tries[7];

    (void)state;
    chain_of(chain, ids, 7);
    assert_int_equal(layering_plan(chain, 7, 4, tries), 1);
    assert_int_equal(tries[0], 3);
}

static void without_log_it_is_a_base_above_with_room_for_some(void **state)
{
    static const unsigned long ids[] = {1, 2, 3, 4, 5, 6, 7};
    struct layering_base chain[7];
    unsigned tries[7];

    (void)state;
    chain_of(chain, ids, 7); /* 6 layers, which one replaces */
    assert_int_equal(layering_plan(chain, 7, 6, tries), 4);
    assert_int_equal(tries[0], 0);
    assert_int_equal(tries[3], 3);
    chain[0].has_wal = chain[1].has_wal = false;
    assert_int_equal(layering_plan(chain, 7, 6, tries), 2);
    assert_int_equal(tries[0], 2);
    assert_int_equal(tries[1], 3);
    chain[2].has_wal = chain[3].has_wal = false; /* only fewer than LAYERING_ROOM would do */
    assert_int_equal(layering_plan(chain, 7, 6, tries), 0);
}

/* ---- many ---- */

/* A store: what was made, and the chain below the newest. Log is counted in units. */
struct run {
    unsigned most, n;
    struct layering_base chain[MOST + 3];
    double end[ROUNDS + 2]; /* by id: up to where it was replayed; id 1 is the directory */
    double kept_from;       /* the log */
    double replayed;
};

static struct run run;

static void begin(unsigned most)
{
    memset(&run, 0, sizeof(run));
    run.most = most;
    run.chain[0].id = run.n = 1;
}

static void look_for_wal(void)
{
    unsigned i;

    for (i = 0; i < run.n; i++)
        run.chain[i].has_wal = run.end[run.chain[i].id] >= run.kept_from;
}

/* `log` units came. 0: there is no place for the layer. */
static int advance(double log)
{
    unsigned long newest = run.chain[run.n - 1].id;
    unsigned tries[MOST + 3];

    look_for_wal();
    if (!layering_plan(run.chain, run.n, run.most, tries))
        return 0;
    assert_in_range(tries[0], 0, run.n - 1);
    assert_true(run.chain[tries[0]].id < newest + 1);
    assert_true(run.n <= run.most || run.chain[tries[0]].has_wal);
    run.end[newest + 1] = run.end[newest] + log;
    run.replayed += run.end[newest + 1] - run.end[run.chain[tries[0]].id];
    if (run.n > run.most) /* what is new, to see whether there is anything to be gained */
        run.replayed += log;
    run.n = tries[0] + 1;
    run.chain[run.n++].id = newest + 1;
    assert_true(run.n - 1 <= run.most);
    return 1;
}

/* How often the log was replayed, on average. */
static double times(void)
{
    return run.replayed / run.end[run.chain[run.n - 1].id];
}

static void equal_advances_replay_each_a_few(void **state)
{
    int i;

    (void)state;
    begin(MOST);
    for (i = 1; i <= ROUNDS; i++) {
        assert_true(advance(1));
        if (i == 100 || i == 1000 || i == 10000)
            print_message("%d advances: %.2f times as much log as is new\n", i, times());
        assert_true(times() <= 1 + log2(i) / 2);
    }
    assert_true(times() < 6);
}

static uint64_t seed;

static double random_part(void)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(seed >> 11) / (double)(UINT64_C(1) << 53);
}

static double even(int i)
{
    (void)i;
    return random_part();
}

/* A few are most of it. */
static double uneven(int i)
{
    (void)i;
    return 1 / (0.00001 + random_part());
}

static double days_and_nights(int i)
{
    return i % 96 < 40 ? 1000 : 1;
}

static void random_advances_do_so_too(void **state)
{
    static double (*const logs[])(int) = {even, uneven, days_and_nights};
    unsigned k, i;

    (void)state;
    for (k = 0; k < 3; k++)
        for (seed = 1; seed <= 5; seed++) {
            begin(MOST);
            for (i = 0; i < ROUNDS; i++)
                assert_true(advance(logs[k]((int)i)));
            assert_true(times() <= log2(ROUNDS));
        }
}

/* Wherever in the order the one comes that is nearly all of the log. */
static void no_log_is_replayed_again_and_again(void **state)
{
    int big, i;

    (void)state;
    for (big = 0; big < 1000; big++) {
        begin(MOST);
        for (i = 0; i < 1000; i++)
            assert_true(advance(i == big ? 1e9 : 1));
        assert_true(times() <= log2(1000));
    }
}

static void any_limit_is_kept(void **state)
{
    unsigned most;
    int i;

    (void)state;
    for (most = 1; most <= MOST; most++) {
        begin(most);
        for (i = 0; i < 1000; i++)
            assert_true(advance(1));
    }
}

/* The log of `keep` advances is kept, and pruned each 96. */
static int advance_until_refused(int keep)
{
    int i;

    begin(MOST);
    for (i = 0; i < ROUNDS; i++) {
        if (i % 96 == 0 && i > keep)
            run.kept_from = run.end[1 + i - keep];
        if (!advance(1))
            break;
    }
    return i;
}

static void with_pruned_log_it_goes_on_for_long_and_ends_in_time(void **state)
{
    int i;

    (void)state;
    i = advance_until_refused(672); /* a week of quarters of an hour */
    print_message("with 672 advances of log: %d, %.1f times\n", i, times());
    assert_in_range(i, 7 * 672, 13 * 672);
    assert_true(times() < 16);
    i = advance_until_refused(96);
    print_message("with 96 advances of log: %d, %.1f times\n", i, times());
    assert_in_range(i, 7 * 96, 14 * 96);
    assert_true(times() < 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(while_there_is_room_the_newest_is_the_only_one),
        cmocka_unit_test(layers_of_one_weight_are_replaced_by_one),
        cmocka_unit_test(a_layer_that_weighs_more_stays),
        cmocka_unit_test(the_newest_goes_even_if_it_weighs_more),
        cmocka_unit_test(a_chain_that_is_too_long_already_gets_short_enough),
        cmocka_unit_test(without_log_it_is_a_base_above_with_room_for_some),
        cmocka_unit_test(equal_advances_replay_each_a_few),
        cmocka_unit_test(random_advances_do_so_too),
        cmocka_unit_test(no_log_is_replayed_again_and_again),
        cmocka_unit_test(any_limit_is_kept),
        cmocka_unit_test(with_pruned_log_it_goes_on_for_long_and_ends_in_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
