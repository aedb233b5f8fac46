/* store/walreach.h: how far a log reaches, by its records. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/err.h"
#include "common/mem.h"
#include "fixture.h"
#include "store/walreach.h"
#include "store/walrecord.h"
#include "store/walwalk.h"
#include "walbytes.h"

#define SEGMENT WALBYTES_SEGMENT
#define US INT64_C(1000000)
#define NOON (INT64_C(1790000000) * US)

struct place {
    char *dir, *own;
    struct walbytes w;
};

static int set_up(void **state)
{
    struct place *p = mem_alloc(sizeof(*p));

    p->dir = fixture_make_dir();
    p->own = mem_printf("%s/own", p->dir);
    assert_int_equal(mkdir(p->own, 0700), 0);
    walbytes_make(&p->w, 1, 4);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;

    fixture_remove_dir(p->dir);
    walbytes_free(&p->w);
    free(p->own);
    free(p);
    return 0;
}

/* Segments `from` to `to` of what was made. */
static void put(const struct place *p, uint64_t from, uint64_t to)
{
    for (; from <= to; from++)
        walbytes_write(p->dir, 1, from, "", walbytes_at(&p->w, from * SEGMENT));
}

static struct wal_way way_from(const struct place *p, const struct wal_list *list, uint64_t from)
{
    return (struct wal_way){.list = list,
                            .dir = p->dir,
                            .own = p->own,
                            .system = WALBYTES_SYSTEM,
                            .timeline = 1,
                            .from = from,
                            .before = UINT64_MAX};
}

static struct wal_reach reach_before(const struct place *p, uint64_t before)
{
    struct wal_list log, all;
    struct wal_way way = way_from(p, &all, SEGMENT + 40);
    struct wal_reach r;
    struct err err;

    way.before = before;
    assert_int_equal(wal_read(p->dir, SEGMENT, &log, &err), 0);
    wal_add_own(&log, p->own, 1, &all);
    assert_int_equal(wal_reach(&way, &r, &err), 0);
    wal_free(&all);
    wal_free(&log);
    return r;
}

static struct wal_reach reach(const struct place *p)
{
    return reach_before(p, UINT64_MAX);
}

static void the_last_record_is_the_end_and_the_last_commit_the_time(void **state)
{
    struct place *p = *state;
    struct wal_reach r;
    uint64_t last;

    walbytes_commit(&p->w, NOON);
    last = walbytes_put(&p->w, WAL_HEAP, 0, 701, "x", 1);
    put(p, 1, 1);
    r = reach(p);
    assert_int_equal(r.last, last);
    assert_int_equal(r.end, p->w.at);
    assert_int_equal(r.time_us, NOON);
    assert_int_equal(r.damaged, 0);
}

static int64_t first_time(const struct place *p, uint64_t from)
{
    struct wal_list log;
    struct wal_way way = way_from(p, &log, from);
    int64_t us;
    struct err err;

    assert_int_equal(wal_read(p->dir, SEGMENT, &log, &err), 0);
    assert_int_equal(wal_first_time(&way, &us, &err), 0);
    wal_free(&log);
    return us;
}

/* Whatever times the files have, which are those of this test. */
static void the_first_time_is_that_of_the_first_commit_from_there_on(void **state)
{
    struct place *p = *state;
    uint64_t from;

    walbytes_commit(&p->w, NOON);
    from = walbytes_put(&p->w, WAL_HEAP, 0, 701, "x", 1);
    put(p, 1, 1);
    assert_int_equal(first_time(p, from), 0);
    walbytes_commit(&p->w, NOON + 3 * US);
    walbytes_commit(&p->w, NOON + 4 * US);
    put(p, 1, 1);
    assert_int_equal(first_time(p, from), NOON + 3 * US);
    assert_int_equal(first_time(p, SEGMENT + 40), NOON);
    assert_int_equal(first_time(p, 9 * SEGMENT), 0);
}

/* Commits are not quite in the order of their times. */
static void the_newest_time_counts(void **state)
{
    struct place *p = *state;

    walbytes_commit(&p->w, NOON + 7);
    walbytes_commit(&p->w, NOON);
    put(p, 1, 1);
    assert_int_equal(reach(p).time_us, NOON + 7);
}

/* It is of when the checkpoint began. */
static void a_checkpoint_has_an_older_time_than_the_commits_in_front_of_it(void **state)
{
    struct place *p = *state;
    uint8_t checkpoint[88] = {0}; /* struct CheckPoint: the time is its 9th field */
    int64_t seconds = NOON / US - 1;

    memcpy(checkpoint + 64, &seconds, sizeof(seconds));
    walbytes_commit(&p->w, NOON + 5);
    walbytes_switch(&p->w);
    walbytes_put(&p->w, WAL_XLOG, WAL_XLOG_CHECKPOINT, 0, checkpoint, sizeof(checkpoint));
    put(p, 1, 2);
    assert_int_equal(reach(p).time_us, NOON + 5);
    assert_int_equal(reach(p).end, p->w.at);
}

static void a_time_is_looked_for_in_front_of_segments_that_have_none(void **state)
{
    struct place *p = *state;
    struct wal_reach r;

    walbytes_commit(&p->w, NOON);
    walbytes_fill(&p->w, 3 * SEGMENT + 4096); /* one record all through segment 2 */
    walbytes_put(&p->w, WAL_HEAP, 0, 701, "x", 1);
    put(p, 1, 3);
    r = reach(p);
    assert_int_equal(r.end, p->w.at);
    assert_int_equal(r.time_us, NOON);
}

static void after_a_switch_the_next_segment_is_the_end(void **state)
{
    struct place *p = *state;

    walbytes_commit(&p->w, NOON);
    walbytes_switch(&p->w);
    put(p, 1, 1);
    assert_int_equal(reach(p).end, 2 * SEGMENT);
    walbytes_write(p->dir, 1, 2, ".partial", walbytes_at(&p->w, 2 * SEGMENT)); /* zeros */
    assert_int_equal(reach(p).end, 2 * SEGMENT);
}

static void a_record_whose_rest_is_not_there_is_no_end_and_no_damage(void **state)
{
    struct place *p = *state;
    struct wal_reach r;
    uint64_t end;

    walbytes_commit(&p->w, NOON);
    end = p->w.at;
    walbytes_fill(&p->w, 2 * SEGMENT + 8192 + 512);
    walbytes_commit(&p->w, NOON + 1);
    memset(walbytes_at(&p->w, 2 * SEGMENT + 8192 + 100), 0, SEGMENT - 8192 - 100);
    put(p, 1, 2); /* the head of the last page promises more than there is */
    r = reach(p);
    assert_int_equal(r.end, end);
    assert_int_equal(r.time_us, NOON);
    assert_int_equal(r.damaged, 0);
}

static void records_after_one_that_is_damaged_are_noticed(void **state)
{
    struct place *p = *state;
    struct wal_reach r;
    uint64_t last = walbytes_commit(&p->w, NOON);

    walbytes_fill(&p->w, SEGMENT + 3 * 8192);
    walbytes_commit(&p->w, NOON + 1);
    *walbytes_at(&p->w, SEGMENT + 8192 + 200) ^= 1;
    put(p, 1, 1);
    r = reach(p);
    assert_int_equal(r.last, last);
    assert_int_equal(r.damaged, SEGMENT + 3 * 8192 + WAL_PAGE_HEAD);
}

static uint64_t left_out(const struct place *p, uint64_t from)
{
    struct wal_list log;
    struct wal_way way = way_from(p, &log, from);
    struct err err;
    uint64_t there;

    assert_int_equal(wal_read(p->dir, SEGMENT, &log, &err), 0);
    assert_int_equal(wal_find_left_out(&way, &there, &err), 0);
    wal_free(&log);
    return there;
}

static void log_after_a_damaged_first_record_of_a_segment_is_left_out(void **state)
{
    struct place *p = *state;

    walbytes_switch(&p->w);
    walbytes_fill(&p->w, 2 * SEGMENT + 3 * 8192);
    walbytes_commit(&p->w, NOON);
    put(p, 1, 1);
    assert_int_equal(left_out(p, 2 * SEGMENT), 0); /* it did not come */
    put(p, 2, 2);
    assert_int_equal(left_out(p, 2 * SEGMENT), 0); /* a record begins there */
    *walbytes_at(&p->w, 2 * SEGMENT + 58) ^= 1;
    put(p, 2, 2);
    assert_int_equal(left_out(p, 2 * SEGMENT), 2 * SEGMENT + 3 * 8192 + WAL_PAGE_HEAD);
}

static void log_after_a_damaged_record_over_two_segments_is_left_out(void **state)
{
    struct place *p = *state;
    uint64_t end;

    walbytes_commit(&p->w, NOON);
    end = p->w.at;
    walbytes_fill(&p->w, 2 * SEGMENT + 3 * 8192);
    walbytes_commit(&p->w, NOON);
    put(p, 1, 1);
    assert_int_equal(left_out(p, end), 0); /* the other half did not come */
    put(p, 2, 2);
    assert_int_equal(left_out(p, end), 0);
    *walbytes_at(&p->w, 2 * SEGMENT + 200) ^= 1;
    put(p, 2, 2);
    assert_int_equal(left_out(p, end), 2 * SEGMENT + 3 * 8192 + WAL_PAGE_HEAD);
}

static void of_an_earlier_place_only_what_is_in_front_counts(void **state)
{
    struct place *p = *state;
    struct wal_reach r;
    uint64_t second;

    walbytes_commit(&p->w, NOON);
    second = walbytes_commit(&p->w, NOON + 1);
    walbytes_commit(&p->w, NOON + 2);
    put(p, 1, 1);
    r = reach_before(p, second);
    assert_int_equal(r.end, second);
    assert_int_equal(r.time_us, NOON);
    assert_int_equal(reach_before(p, SEGMENT).end, 0);
}

static void after_a_gap_nothing_counts(void **state)
{
    struct place *p = *state;
    uint64_t end;

    walbytes_commit(&p->w, NOON);
    end = p->w.at;
    walbytes_fill(&p->w, 4 * SEGMENT);
    walbytes_commit(&p->w, NOON + 1);
    put(p, 1, 1);
    put(p, 3, 4);
    assert_int_equal(reach(p).end, end);
    walbytes_write(p->own, 1, 2, "", walbytes_at(&p->w, 2 * SEGMENT)); /* the base has it itself */
    assert_int_equal(reach(p).end, p->w.at);
    assert_int_equal(reach(p).time_us, NOON + 1);
}

/* pg_wal of a stopped server has segments that it meant to use again. */
static void what_a_segment_held_before_does_not_count(void **state)
{
    struct place *p = *state;

    walbytes_commit(&p->w, NOON);
    put(p, 1, 1);
    walbytes_write(p->dir, 1, 2, "", walbytes_at(&p->w, SEGMENT));
    assert_int_equal(reach(p).end, p->w.at);
    assert_int_equal(reach(p).damaged, 0);
}

/* But what is behind it in the segment does. */
static void log_behind_a_page_of_an_earlier_use_counts(void **state)
{
    struct place *p = *state;

    walbytes_commit(&p->w, NOON);
    walbytes_fill(&p->w, 2 * SEGMENT + 3 * 8192);
    walbytes_commit(&p->w, NOON + 1);
    memcpy(walbytes_at(&p->w, 2 * SEGMENT), walbytes_at(&p->w, SEGMENT), 8192);
    put(p, 1, 2);
    assert_int_equal(reach(p).end, p->w.at);
    assert_int_equal(reach(p).time_us, NOON + 1);
}

static void a_log_of_nothing_or_of_another_cluster_reaches_nowhere(void **state)
{
    struct place *p = *state;

    assert_int_equal(reach(p).end, 0);
    put(p, 1, 1);
    assert_int_equal(reach(p).end, 0);
    walbytes_commit(&p->w, NOON);
    *walbytes_at(&p->w, SEGMENT + 24) ^= 1;
    put(p, 1, 1);
    assert_int_equal(reach(p).end, 0);
}

#define PLACED(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACED(the_last_record_is_the_end_and_the_last_commit_the_time),
        PLACED(the_newest_time_counts),
        PLACED(the_first_time_is_that_of_the_first_commit_from_there_on),
        PLACED(a_checkpoint_has_an_older_time_than_the_commits_in_front_of_it),
        PLACED(a_time_is_looked_for_in_front_of_segments_that_have_none),
        PLACED(after_a_switch_the_next_segment_is_the_end),
        PLACED(a_record_whose_rest_is_not_there_is_no_end_and_no_damage),
        PLACED(records_after_one_that_is_damaged_are_noticed),
        PLACED(log_after_a_damaged_first_record_of_a_segment_is_left_out),
        PLACED(log_after_a_damaged_record_over_two_segments_is_left_out),
        PLACED(of_an_earlier_place_only_what_is_in_front_counts),
        PLACED(after_a_gap_nothing_counts),
        PLACED(what_a_segment_held_before_does_not_count),
        PLACED(log_behind_a_page_of_an_earlier_use_counts),
        PLACED(a_log_of_nothing_or_of_another_cluster_reaches_nowhere),
    };

    return cmocka_run_group_tests_name("store/walreach", tests, NULL, NULL);
}
