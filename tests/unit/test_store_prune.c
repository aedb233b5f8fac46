/* store/prune.h: what of a store can go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/prune.h"

#define MIB (UINT64_C(1) << 20)
#define SEGMENT (16 * MIB)

/* The store of most tests: a base every 100 MiB of log and every 100 s, the first at 1000 s. */
static struct prune_base base_at(const char *id, uint64_t mib, int64_t first_time)
{
    return (struct prune_base){
        .id = id,
        .facts = {.start_lsn = mib * MIB, .consistent_lsn = mib * MIB + 1, .timeline = 1},
        .first_time = first_time,
        .below = -1,
        .why = PRUNE_VIEW, /* something that is no answer here */
    };
}

static const struct wal_list no_log = {.segment_bytes = SEGMENT};

#define THREE_BASES                                                                                \
    {                                                                                              \
        base_at("1", 100, 1000), base_at("2", 200, 1100), base_at("3", 300, 1200)                  \
    }

static void what_reaches_the_earliest_moment_that_is_retained_stays_and_all_that_is_newer(void **s)
{
    struct prune_base b[] = THREE_BASES;

    (void)s;
    assert_int_equal(prune_decide(b, 3, &no_log, 1150), 200 * MIB);
    assert_int_equal(b[0].why, PRUNE_REMOVE);
    assert_int_equal(b[1].why, PRUNE_RETAINED);
    assert_int_equal(b[2].why, PRUNE_RETAINED);
}

static void a_base_whose_first_moment_is_the_earliest_one_is_enough(void **s)
{
    struct prune_base b[] = THREE_BASES;

    (void)s;
    assert_int_equal(prune_decide(b, 3, &no_log, 1200), 300 * MIB);
    assert_int_equal(b[1].why, PRUNE_REMOVE);
    assert_int_equal(prune_decide(b, 3, &no_log, 1199), 200 * MIB);
    assert_int_equal(b[1].why, PRUNE_RETAINED);
}

static void nothing_goes_while_no_base_is_as_old_as_the_retention(void **s)
{
    struct prune_base b[] = THREE_BASES;

    (void)s;
    assert_int_equal(prune_decide(b, 3, &no_log, 999), 100 * MIB);
    assert_int_equal(b[0].why, PRUNE_RETAINED);
}

static void a_freeze_makes_only_freezes_needless(void **s)
{
    struct prune_base b[] = THREE_BASES;

    (void)s;
    b[1].frozen = b[2].frozen = true;
    assert_int_equal(prune_decide(b, 3, &no_log, 1200), 100 * MIB);
    assert_int_equal(b[0].why, PRUNE_RETAINED); /* as freezes can be given up */
    assert_int_equal(b[1].why, PRUNE_REMOVE);
    assert_int_equal(b[2].why, PRUNE_RETAINED);
}

static void a_freeze_that_goes_with_its_view_makes_nothing_needless(void **s)
{
    struct prune_base b[] = THREE_BASES;

    (void)s;
    b[1].frozen = b[2].frozen = b[2].with_view = true;
    assert_int_equal(prune_decide(b, 3, &no_log, 1200), 100 * MIB);
    assert_int_equal(b[0].why, PRUNE_RETAINED);
    assert_int_equal(b[1].why, PRUNE_RETAINED);
}

static void an_old_freeze_is_needless_beside_a_base(void **s)
{
    struct prune_base b[] = THREE_BASES;

    (void)s;
    b[0].frozen = true;
    assert_int_equal(prune_decide(b, 3, &no_log, 1150), 200 * MIB);
    assert_int_equal(b[0].why, PRUNE_REMOVE);
    assert_int_equal(b[1].why, PRUNE_RETAINED);
}

static void what_was_given_up_is_no_reason_and_needs_nothing(void **s)
{
    struct prune_base b[] = THREE_BASES;

    (void)s;
    b[0].frozen = b[1].frozen = b[2].frozen = b[0].lost = b[0].has_view = b[2].lost = true;
    assert_int_equal(prune_decide(b, 3, &no_log, 1200), 200 * MIB);
    assert_int_equal(b[0].why, PRUNE_VIEW);
    assert_int_equal(b[1].why, PRUNE_RETAINED);
    assert_int_equal(b[2].why, PRUNE_REMOVE);
}

static void bases_need_not_be_in_order(void **s)
{
    struct prune_base b[] = {base_at("1", 300, 1200), base_at("2", 100, 1000),
                             base_at("3", 200, 1100)};

    (void)s;
    assert_int_equal(prune_decide(b, 3, &no_log, 1150), 200 * MIB);
    assert_int_equal(b[0].why, PRUNE_RETAINED);
    assert_int_equal(b[1].why, PRUNE_REMOVE);
    assert_int_equal(b[2].why, PRUNE_RETAINED);
}

static void a_base_with_a_view_stays_with_its_log(void **s)
{
    struct prune_base b[] = THREE_BASES;

    (void)s;
    b[0].has_view = true;
    assert_int_equal(prune_decide(b, 3, &no_log, 1300), 100 * MIB);
    assert_int_equal(b[0].why, PRUNE_VIEW);
    assert_int_equal(b[1].why, PRUNE_REMOVE);
    assert_int_equal(b[2].why, PRUNE_RETAINED);
}

static void what_a_needed_layer_lies_on_stays_but_its_log_goes(void **s)
{
    struct prune_base b[] = THREE_BASES;

    (void)s;
    b[2].below = 1;
    b[1].below = 0;
    assert_int_equal(prune_decide(b, 3, &no_log, 1300), 300 * MIB);
    assert_int_equal(b[0].why, PRUNE_BELOW);
    assert_int_equal(b[1].why, PRUNE_BELOW);
    assert_int_equal(b[2].why, PRUNE_RETAINED);
}

static void a_layer_that_is_not_needed_goes_from_a_base_that_is(void **s)
{
    struct prune_base b[] = THREE_BASES;

    (void)s;
    b[1].below = 0;
    b[0].has_view = true;
    prune_decide(b, 3, &no_log, 1300);
    assert_int_equal(b[0].why, PRUNE_VIEW);
    assert_int_equal(b[1].why, PRUNE_REMOVE);
}

static void layers_that_lie_on_each_other_end_nothing(void **s)
{
    struct prune_base b[] = THREE_BASES;

    (void)s;
    b[2].below = 1;
    b[1].below = 2;
    prune_decide(b, 3, &no_log, 1300);
    assert_int_equal(b[1].why, PRUNE_BELOW);
}

static void a_base_of_which_nothing_is_known_stays_and_needs_no_log(void **s)
{
    struct prune_base b[] = THREE_BASES;

    (void)s;
    b[0].facts = (struct store_base_facts){.plain = true};
    b[0].first_time = 0;
    assert_int_equal(prune_decide(b, 3, &no_log, 1300), 300 * MIB);
    assert_int_equal(b[0].why, PRUNE_PLAIN);
    assert_int_equal(prune_decide(b, 1, &no_log, 1300), 0);
}

static void a_base_without_a_known_time_makes_no_other_needless(void **s)
{
    struct prune_base b[] = THREE_BASES;

    (void)s;
    b[2].first_time = 0;
    assert_int_equal(prune_decide(b, 3, &no_log, 1300), 200 * MIB);
    assert_int_equal(b[0].why, PRUNE_REMOVE);
    assert_int_equal(b[1].why, PRUNE_RETAINED);
    assert_int_equal(b[2].why, PRUNE_RETAINED);
}

static void without_bases_all_of_the_log_is_kept(void **s)
{
    (void)s;
    assert_int_equal(prune_decide(NULL, 0, &no_log, 1300), 0);
    assert_false(prune_segment(&no_log, 0, 0));
}

static struct wal_segment segment(uint32_t timeline, uint64_t number)
{
    return (struct wal_segment){.timeline = timeline, .number = number};
}

/* The log went over to timeline 2 before base 3, which was still taken from the old server. */
static void a_base_beside_the_way_of_the_log_makes_no_other_needless(void **s)
{
    struct prune_base b[] = THREE_BASES;
    struct wal_segment g[] = {segment(1, 15), segment(2, 15), segment(1, 18), segment(2, 18)};
    struct wal_list l = {.segments = g, .n = 4, .segment_bytes = SEGMENT};

    (void)s;
    assert_int_equal(prune_decide(b, 3, &l, 1300), 200 * MIB);
    assert_int_equal(b[1].why, PRUNE_RETAINED);
    g[1].timeline = g[3].timeline = 1;
    assert_int_equal(prune_decide(b, 3, &l, 1300), 300 * MIB);
    assert_int_equal(b[1].why, PRUNE_REMOVE);
}

static void a_base_of_a_later_timeline_makes_those_before_it_needless(void **s)
{
    struct prune_base b[] = THREE_BASES;

    (void)s;
    b[2].facts.timeline = 2;
    assert_int_equal(prune_decide(b, 3, &no_log, 1300), 300 * MIB);
    b[2].facts.timeline = 1;
    b[1].facts.timeline = 2; /* what base 2 shows, base 3 does not */
    assert_int_equal(prune_decide(b, 3, &no_log, 1300), 200 * MIB);
    assert_int_equal(b[1].why, PRUNE_RETAINED);
    assert_int_equal(b[0].why, PRUNE_REMOVE);
}

static void the_segment_where_the_log_is_needed_from_stays_and_the_last_one_too(void **s)
{
    struct wal_segment g[] = {segment(1, 4), segment(1, 5), segment(1, 6), segment(1, 7)};
    struct wal_list l = {.segments = g, .n = 4, .segment_bytes = SEGMENT};

    (void)s;
    assert_true(prune_segment(&l, 1, 6 * SEGMENT + 1));
    assert_false(prune_segment(&l, 2, 6 * SEGMENT + 1));
    assert_true(prune_segment(&l, 1, 6 * SEGMENT));
    assert_false(prune_segment(&l, 1, 6 * SEGMENT - 1));
    assert_true(prune_segment(&l, 2, 20 * SEGMENT));
    assert_false(prune_segment(&l, 3, 20 * SEGMENT));
    assert_false(prune_segment(&l, 0, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            what_reaches_the_earliest_moment_that_is_retained_stays_and_all_that_is_newer),
        cmocka_unit_test(a_base_whose_first_moment_is_the_earliest_one_is_enough),
        cmocka_unit_test(nothing_goes_while_no_base_is_as_old_as_the_retention),
        cmocka_unit_test(a_freeze_makes_only_freezes_needless),
        cmocka_unit_test(a_freeze_that_goes_with_its_view_makes_nothing_needless),
        cmocka_unit_test(an_old_freeze_is_needless_beside_a_base),
        cmocka_unit_test(what_was_given_up_is_no_reason_and_needs_nothing),
        cmocka_unit_test(bases_need_not_be_in_order),
        cmocka_unit_test(a_base_with_a_view_stays_with_its_log),
        cmocka_unit_test(what_a_needed_layer_lies_on_stays_but_its_log_goes),
        cmocka_unit_test(a_layer_that_is_not_needed_goes_from_a_base_that_is),
        cmocka_unit_test(layers_that_lie_on_each_other_end_nothing),
        cmocka_unit_test(a_base_of_which_nothing_is_known_stays_and_needs_no_log),
        cmocka_unit_test(a_base_without_a_known_time_makes_no_other_needless),
        cmocka_unit_test(without_bases_all_of_the_log_is_kept),
        cmocka_unit_test(a_base_beside_the_way_of_the_log_makes_no_other_needless),
        cmocka_unit_test(a_base_of_a_later_timeline_makes_those_before_it_needless),
        cmocka_unit_test(the_segment_where_the_log_is_needed_from_stays_and_the_last_one_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
