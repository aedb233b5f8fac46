/* replay/moment: times as people write them, the choice of a base, and what the log covers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/lsn.h"
#include "replay/moment.h"

#define SEGMENT (UINT32_C(16) << 20)
#define US INT64_C(1000000)
#define LENGTH(a) (sizeof(a) / sizeof(*(a)))

static void in_zone(const char *zone)
{
    setenv("TZ", zone, 1);
    tzset();
}

/* As PostgreSQL is told it; "" when it is refused. */
static const char *time_as(const char *value)
{
    static char text[MOMENT_TIME_MAX];
    struct moment m;
    struct err err;
    int rc = moment_parse(MOMENT_TIME, value, &m, &err);

    text[0] = 0;
    if (rc < 0) {
        assert_int_equal(rc, -EINVAL);
        assert_non_null(strstr(err.text, value));
        return text;
    }
    strcpy(text, m.text);
    moment_free(&m);
    return text;
}

static void a_time_with_a_zone_is_the_same_in_every_zone_of_ours(void **state)
{
    static const char *const zones[] = {"UTC", "Europe/Berlin", "America/New_York"};
    static const char *const values[] = {
        "2026-07-01 08:00Z",      "2026-07-01T08:00:00Z",      "2026-07-01t08:00:00z",
        "2026-07-01 10:00+02",    "2026-07-01 10:00:00 +0200", "2026-07-01T10:00:00.000+02:00",
        "2026-07-01 03:30-04:30", "2026-06-30 23:00:00-09"};
    size_t i, z;

    (void)state;
    for (z = 0; z < LENGTH(zones); z++) {
        in_zone(zones[z]);
        for (i = 0; i < LENGTH(values); i++)
            assert_string_equal(time_as(values[i]), "2026-07-01 08:00:00+00");
    }
}

static void a_time_without_a_zone_is_in_ours_summer_and_winter(void **state)
{
    (void)state;
    in_zone("Europe/Berlin");
    assert_string_equal(time_as("2026-07-01 08:00"), "2026-07-01 06:00:00+00");
    assert_string_equal(time_as("2026-01-01 08:00"), "2026-01-01 07:00:00+00");
    assert_string_equal(time_as("2026-11-16"), "2026-11-15 23:00:00+00");
    in_zone("UTC");
    assert_string_equal(time_as("2026-11-16"), "2026-11-16 00:00:00+00");
    assert_string_equal(time_as("2026-11-16 "), "2026-11-16 00:00:00+00");
}

/* On 25 October 2026 the clocks of Berlin show 02:30 twice, on 29 March 02:30 never. */
static void an_hour_that_comes_twice_is_one_of_the_two_and_the_zone_tells_which(void **state)
{
    const char *t;

    (void)state;
    in_zone("Europe/Berlin");
    t = time_as("2026-10-25 02:30");
    assert_true(strcmp(t, "2026-10-25 00:30:00+00") == 0 ||
                strcmp(t, "2026-10-25 01:30:00+00") == 0);
    assert_string_equal(time_as("2026-10-25 02:30+02"), "2026-10-25 00:30:00+00");
    assert_string_equal(time_as("2026-10-25 02:30+01"), "2026-10-25 01:30:00+00");
    assert_string_equal(time_as("2026-10-25 01:59:59"), "2026-10-24 23:59:59+00");
    assert_string_equal(time_as("2026-10-25 03:00"), "2026-10-25 02:00:00+00");
    assert_string_equal(time_as("2026-03-29 03:00"), "2026-03-29 01:00:00+00");
    in_zone("UTC");
}

static void an_hour_that_never_was_is_no_time(void **state)
{
    (void)state;
    in_zone("Europe/Berlin");
    assert_string_equal(time_as("2026-03-29 02:30"), "");
    in_zone("UTC");
    assert_string_equal(time_as("2026-03-29 02:30"), "2026-03-29 02:30:00+00");
}

static void fractions_are_kept_to_the_microsecond(void **state)
{
    (void)state;
    in_zone("UTC");
    assert_string_equal(time_as("2026-11-16 08:00:00.5"), "2026-11-16 08:00:00.500000+00");
    assert_string_equal(time_as("2026-11-16 08:00:00,000001"), "2026-11-16 08:00:00.000001+00");
    assert_string_equal(time_as("2026-11-16 08:00:00.1234567"), "2026-11-16 08:00:00.123456+00");
    assert_string_equal(time_as("2026-11-16 08:00:00.000000000000000000000000000001Z"),
                        "2026-11-16 08:00:00+00");
}

static void what_psql_prints_can_be_pasted(void **state)
{
    (void)state;
    in_zone("UTC");
    assert_string_equal(time_as("2026-11-22 20:50:08.123456+00"), "2026-11-22 20:50:08.123456+00");
    assert_string_equal(time_as("2026-11-22 20:50:08.123456 UTC"), "");
}

static void odd_times_are_refused_with_their_own_words(void **state)
{
    static const char *const values[] = {
        "",
        " ",
        "yesterday",
        "2026",
        "2026-11",
        "2026-11-",
        "2026-1-6",
        "26-11-16",
        "2026-13-01",
        "2026-00-01",
        "2026-01-00",
        "2026-02-30",
        "2025-02-29 00:00Z",
        "2026-04-31",
        "1969-12-31",
        "0000-01-01",
        "2026-11-16 8:00",
        "2026-11-16 24:00",
        "2026-11-16 08",
        "2026-11-16 08:60",
        "2026-11-16 08:00:61",
        "2026-11-16 08:00:",
        "2026-11-16 08:00:0.5",
        "2026-11-16 08:00:00.",
        "2026-11-16 08:00:00.x",
        "2026-11-16 08:00+",
        "2026-11-16 08:00+1",
        "2026-11-16 08:00+01:",
        "2026-11-16 08:00+01:60",
        "2026-11-16 08:00+16",
        "2026-11-16 08:00+01:00:00",
        "2026-11-16 08:00ZZ",
        "2026-11-16 08:00Z+01",
        "2026-11-16 08:00 am",
        "2026-11-16x08:00",
        "2026-11-16 08:00\n",
        "2026-11-16 08:00'; DROP",
        "-2026-11-16",
        "99999-01-01",
    };
    size_t i;

    (void)state;
    in_zone("UTC");
    for (i = 0; i < LENGTH(values); i++)
        if (*time_as(values[i]))
            fail_msg("\"%s\" was taken as %s", values[i], time_as(values[i]));
}

static void the_29th_of_february_is_a_day_in_leap_years(void **state)
{
    (void)state;
    in_zone("UTC");
    assert_string_equal(time_as("2024-02-29 12:00"), "2024-02-29 12:00:00+00");
    assert_string_equal(time_as("2000-02-29Z"), "2000-02-29 00:00:00+00");
    assert_string_equal(time_as("2100-02-29"), "");
}

/* ---- the other kinds ---- */

static int parse(enum moment_kind kind, const char *value, struct moment *m)
{
    struct err err;
    int rc = moment_parse(kind, value, m, &err);

    if (rc < 0)
        assert_true(err.text[0] != 0);
    return rc;
}

static void places_transactions_and_restore_points_are_checked(void **state)
{
    char name[65];
    struct moment m;

    (void)state;
    memset(name, 'x', 64);
    name[64] = 0;
    assert_int_equal(parse(MOMENT_RESTORE_POINT, name, &m), -EINVAL);
    assert_int_equal(parse(MOMENT_RESTORE_POINT, "", &m), -EINVAL);
    assert_int_equal(parse(MOMENT_XID, "2", &m), -EINVAL); /* of PostgreSQL itself */
    assert_int_equal(parse(MOMENT_XID, "-5", &m), -EINVAL);
    assert_int_equal(parse(MOMENT_XID, " 5", &m), -EINVAL);
    assert_int_equal(parse(MOMENT_XID, "5x", &m), -EINVAL);
    assert_int_equal(parse(MOMENT_XID, "", &m), -EINVAL);
    assert_int_equal(parse(MOMENT_XID, "99999999999999999999999", &m), -EINVAL);
    assert_int_equal(parse(MOMENT_LSN, "16", &m), -EINVAL);
    assert_int_equal(parse(MOMENT_LSN, "0/G", &m), -EINVAL);
    assert_int_equal(parse(MOMENT_LSN, "16/B374D848", &m), 0);
    assert_true(m.lsn == UINT64_C(0x16B374D848));
    moment_free(&m);
}

static void words_tell_which_moment_it_is(void **state)
{
    static const struct {
        enum moment_kind kind;
        const char *value, *words;
    } cases[] = {{MOMENT_LATEST, "", "latest"},
                 {MOMENT_LSN, "0/3000148", "lsn 0/3000148"},
                 {MOMENT_XID, "745", "xid 745"},
                 {MOMENT_RESTORE_POINT, "before it", "restore point before it"},
                 {MOMENT_TIME, "2026-11-16 08:00Z", "time 2026-11-16 08:00:00+00"}};
    struct moment m;
    char *words;
    size_t i;

    (void)state;
    for (i = 0; i < LENGTH(cases); i++) {
        assert_int_equal(parse(cases[i].kind, cases[i].value, &m), 0);
        words = moment_words(&m);
        assert_string_equal(words, cases[i].words);
        free(words);
        moment_free(&m);
    }
}

/* ---- bases ---- */

/* Shown from 100 s and 2 segments on, 200 s and 4, …; the third is plain. */
static struct moment_base bases[] = {
    {"1",
     {.start_lsn = SEGMENT,
      .consistent_lsn = 2 * SEGMENT,
      .start_time = 50,
      .consistent_time = 100,
      .timeline = 1}},
    {"2",
     {.start_lsn = 3 * SEGMENT,
      .consistent_lsn = 4 * SEGMENT,
      .start_time = 150,
      .consistent_time = 200,
      .timeline = 1}},
    {"3", {.plain = true}},
    {"4", {.start_lsn = 6 * SEGMENT, .start_time = 300, .timeline = 1}},
};

static int choose_time(int64_t us)
{
    struct moment m = {.kind = MOMENT_TIME, .time_us = us};

    return moment_choose(&m, bases, LENGTH(bases), LENGTH(bases));
}

static int choose_lsn(uint64_t lsn)
{
    struct moment m = {.kind = MOMENT_LSN, .lsn = lsn};

    return moment_choose(&m, bases, LENGTH(bases), LENGTH(bases));
}

static void the_newest_base_that_is_early_enough_is_chosen(void **state)
{
    (void)state;
    assert_int_equal(choose_time(100 * US - 1), -1);
    assert_int_equal(choose_time(100 * US), 0);
    assert_int_equal(choose_time(200 * US - 1), 0);
    assert_int_equal(choose_time(200 * US), 1);
    assert_int_equal(choose_time(300 * US), 3); /* only its beginning is known */
    assert_int_equal(choose_lsn(2 * SEGMENT - 1), -1);
    assert_int_equal(choose_lsn(2 * SEGMENT), 0);
    assert_int_equal(choose_lsn(4 * SEGMENT - 1), 0);
    assert_int_equal(choose_lsn(4 * SEGMENT), 1);
    assert_int_equal(choose_lsn(UINT64_MAX), 3);
}

/* Of a server that was stopped the checkpoint's second is known, and the base may have what was
 * committed later in it. */
static void the_second_in_which_a_base_was_made_is_not_shown_from_it(void **state)
{
    static const struct store_base_facts made_by_an_older_asofs = {
        .start_lsn = SEGMENT, .consistent_lsn = SEGMENT, .start_time = 50, .consistent_time = 50};
    struct moment m = {.kind = MOMENT_TIME, .time_us = 50 * US};

    (void)state;
    assert_false(moment_is_after(&m, &made_by_an_older_asofs));
    m.time_us = 51 * US - 1;
    assert_false(moment_is_after(&m, &made_by_an_older_asofs));
    m.time_us = 51 * US;
    assert_true(moment_is_after(&m, &made_by_an_older_asofs));
}

static void transactions_are_looked_for_from_the_newest_base_back(void **state)
{
    struct moment m = {.kind = MOMENT_XID};

    (void)state;
    assert_int_equal(moment_choose(&m, bases, 4, 4), 3);
    assert_int_equal(moment_choose(&m, bases, 4, 3), 1); /* a plain one never */
    assert_int_equal(moment_choose(&m, bases, 4, 1), 0);
    assert_int_equal(moment_choose(&m, bases, 4, 0), -1);
    assert_int_equal(moment_choose(&m, bases, 0, 0), -1);
}

/* ---- the log ---- */

#define MAX_SEGMENTS 16

/* Whole segments of timeline 1 from `first` on, which prove the time 1030 s. */
struct some_log {
    struct wal_segment segments[MAX_SEGMENTS];
    struct wal_list list;
};

static void make_log(struct some_log *l, uint64_t first, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        l->segments[i] = (struct wal_segment){.timeline = 1, .number = first + i};
    l->list = (struct wal_list){.segments = l->segments, .n = n, .segment_bytes = SEGMENT};
}

static int check(const struct moment *m, struct some_log *l, struct err *err)
{
    struct wal_reach reach = {.time_us = 1030 * US};

    *err = (struct err){0};
    wal_covers(&l->list, 1, SEGMENT, &reach.end);
    return moment_check_wal(m, &bases[0], &l->list, &reach, err);
}

static void a_moment_after_the_log_names_the_range_and_the_next_segment(void **state)
{
    struct moment m = {.kind = MOMENT_LSN, .lsn = 5 * SEGMENT, .text = "0/5000000"};
    struct some_log l;
    struct err err;

    (void)state;
    make_log(&l, 1, 4); /* segments 1 to 4 */
    assert_int_equal(check(&m, &l, &err), 0);
    m.lsn += 40; /* where the server names it, after the head of the next segment */
    assert_int_equal(check(&m, &l, &err), 0);
    m.lsn++;
    assert_int_equal(check(&m, &l, &err), -ERANGE);
    assert_non_null(strstr(err.text, "from 0/2000000 (1970-01-01 00:01:40+00) to 0/5000000"));
    assert_non_null(strstr(err.text, "000000010000000000000005"));
}

static void a_time_that_the_log_does_not_prove_is_refused(void **state)
{
    struct moment m = {.kind = MOMENT_TIME, .time_us = 1030 * US, .text = "x"};
    struct some_log l;
    struct err err;

    (void)state;
    make_log(&l, 1, 4);
    assert_int_equal(check(&m, &l, &err), 0);
    m.time_us++;
    assert_int_equal(check(&m, &l, &err), -ERANGE);
    assert_non_null(strstr(err.text, "to 0/5000000 (1970-01-01 00:17:10+00)"));
}

/* An idle source: nothing in the log is later than the end of the backup. */
static void a_log_that_proves_no_time_after_the_base_has_places_only(void **state)
{
    struct moment m = {.kind = MOMENT_TIME, .time_us = 100 * US, .text = "x"};
    struct wal_reach reach = {.end = 3 * SEGMENT, .time_us = 100 * US - 1};
    struct some_log l;
    struct err err;

    (void)state;
    make_log(&l, 1, 2);
    assert_int_equal(moment_last_time(&bases[0].facts, &reach), 0);
    assert_int_equal(moment_check_wal(&m, &bases[0], &l.list, &reach, &err), -ERANGE);
    assert_non_null(strstr(err.text, "to 0/3000000 (of no later time yet)"));
    reach.time_us++;
    assert_int_equal(moment_last_time(&bases[0].facts, &reach), 100);
    assert_int_equal(moment_check_wal(&m, &bases[0], &l.list, &reach, &err), 0);
}

static void after_a_gap_there_is_no_moment_and_the_gap_is_named(void **state)
{
    struct moment m = {.kind = MOMENT_LSN, .lsn = 4 * SEGMENT, .text = "0/4000000"};
    struct some_log l;
    struct err err;

    (void)state;
    make_log(&l, 1, 4);
    l.segments[2].number = 7; /* 3 is missing, and what is after it */
    l.segments[3].number = 8;
    assert_int_equal(check(&m, &l, &err), -ERANGE);
    assert_non_null(strstr(err.text, "000000010000000000000003"));
    m.lsn = 3 * SEGMENT;
    assert_int_equal(check(&m, &l, &err), 0);
}

static void the_latest_of_a_log_with_a_gap_is_refused(void **state)
{
    struct moment m = {.kind = MOMENT_LATEST, .text = ""};
    struct some_log l;
    struct err err;

    (void)state;
    make_log(&l, 1, 4);
    assert_int_equal(check(&m, &l, &err), 0);
    l.segments[3].number = 5;
    assert_int_equal(check(&m, &l, &err), -ERANGE);
    assert_non_null(strstr(err.text, "segment 000000010000000000000004 is missing"));
    l.segments[3].own = true; /* a server keeps old files for later use */
    assert_int_equal(check(&m, &l, &err), 0);
}

static void the_rest_of_a_segment_may_be_the_gap(void **state)
{
    struct moment m = {.kind = MOMENT_LATEST, .text = ""};
    struct some_log l;
    struct err err;

    (void)state;
    make_log(&l, 1, 4);
    l.segments[2].partial = true;
    assert_int_equal(check(&m, &l, &err), -ERANGE);
    assert_non_null(strstr(err.text, "segment 000000010000000000000003 is missing"));
    l.segments[3].own = true;
    assert_int_equal(check(&m, &l, &err), 0);
}

/* 2 left 1 in segment 3. */
static struct history_turn turn_of_2 = {1, 3 * SEGMENT + 100};
static struct history history_of_2 = {2, &turn_of_2, 1};

static void a_timeline_without_its_history_is_named(void **state)
{
    struct moment m = {.kind = MOMENT_LSN, .lsn = 3 * SEGMENT - 1, .text = "x"};
    struct some_log l;
    struct err err;

    (void)state;
    make_log(&l, 1, 4);
    l.segments[2].timeline = l.segments[3].timeline = 2;
    assert_int_equal(check(&m, &l, &err), 0);
    m.lsn = 3 * SEGMENT;
    assert_int_equal(check(&m, &l, &err), -ENOENT);
    assert_non_null(strstr(err.text, "000000020000000000000003"));
    assert_non_null(strstr(err.text, "00000002.history"));
    m = (struct moment){.kind = MOMENT_LATEST, .text = ""};
    assert_int_equal(check(&m, &l, &err), -ENOENT);
    m = (struct moment){.kind = MOMENT_TIME, .time_us = 1031 * US, .text = "x"};
    assert_int_equal(check(&m, &l, &err), -ENOENT);
    l.list.histories = &history_of_2;
    l.list.n_histories = 1;
    m.time_us = 1020 * US;
    assert_int_equal(check(&m, &l, &err), 0);
    m.time_us = 2000 * US;
    assert_int_equal(check(&m, &l, &err), -ERANGE);
    assert_non_null(strstr(err.text, "000000020000000000000005"));
}

static void bases_on_a_branch_that_was_left_come_last(void **state)
{
    struct moment_base some[] = {
        {"1", {.start_lsn = 2 * SEGMENT, .timeline = 1}},
        {"2", {.start_lsn = 4 * SEGMENT, .timeline = 1}},
        {"3", {.start_lsn = 3 * SEGMENT, .consistent_lsn = 3 * SEGMENT + 101, .timeline = 1}},
        {"4", {.start_lsn = 3 * SEGMENT, .consistent_lsn = 4 * SEGMENT, .timeline = 2}}};
    struct wal_list l = {.histories = &history_of_2, .segment_bytes = SEGMENT};
    struct err err;

    (void)state;
    assert_int_equal(moment_leave_branches(some, 4, &l), 4);
    l.n_histories = 1;
    assert_int_equal(moment_leave_branches(some, 4, &l), 2);
    assert_string_equal(some[0].id, "1");
    assert_string_equal(some[1].id, "4");
    assert_string_equal(some[2].id, "2");
    assert_string_equal(some[3].id, "3");
    assert_int_equal(moment_refuse_left("no", &some[2], &l, &err), -ERANGE);
    assert_non_null(strstr(err.text, "no: base 2 is on a branch of timeline 1 that timeline 2"));
}

static void what_only_replay_can_tell_passes(void **state)
{
    struct moment xid = {.kind = MOMENT_XID, .text = "745"};
    struct moment lsn = {.kind = MOMENT_LSN, .lsn = UINT64_MAX, .text = "F/F"};
    struct some_log l;
    struct err err;

    (void)state;
    make_log(&l, 1, 4);
    assert_int_equal(check(&xid, &l, &err), 0);
    make_log(&l, 3, 2); /* the base's own log may lead there */
    assert_int_equal(check(&lsn, &l, &err), 0);
    make_log(&l, 1, 0);
    assert_int_equal(check(&lsn, &l, &err), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_time_with_a_zone_is_the_same_in_every_zone_of_ours),
        cmocka_unit_test(a_time_without_a_zone_is_in_ours_summer_and_winter),
        cmocka_unit_test(an_hour_that_comes_twice_is_one_of_the_two_and_the_zone_tells_which),
        cmocka_unit_test(an_hour_that_never_was_is_no_time),
        cmocka_unit_test(fractions_are_kept_to_the_microsecond),
        cmocka_unit_test(what_psql_prints_can_be_pasted),
        cmocka_unit_test(odd_times_are_refused_with_their_own_words),
        cmocka_unit_test(the_29th_of_february_is_a_day_in_leap_years),
        cmocka_unit_test(places_transactions_and_restore_points_are_checked),
        cmocka_unit_test(words_tell_which_moment_it_is),
        cmocka_unit_test(the_newest_base_that_is_early_enough_is_chosen),
        cmocka_unit_test(the_second_in_which_a_base_was_made_is_not_shown_from_it),
        cmocka_unit_test(transactions_are_looked_for_from_the_newest_base_back),
        cmocka_unit_test(a_moment_after_the_log_names_the_range_and_the_next_segment),
        cmocka_unit_test(a_time_that_the_log_does_not_prove_is_refused),
        cmocka_unit_test(a_log_that_proves_no_time_after_the_base_has_places_only),
        cmocka_unit_test(after_a_gap_there_is_no_moment_and_the_gap_is_named),
        cmocka_unit_test(the_latest_of_a_log_with_a_gap_is_refused),
        cmocka_unit_test(the_rest_of_a_segment_may_be_the_gap),
        cmocka_unit_test(a_timeline_without_its_history_is_named),
        cmocka_unit_test(bases_on_a_branch_that_was_left_come_last),
        cmocka_unit_test(what_only_replay_can_tell_passes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
