/* replay/reached: where a replay ended, from what its server said and left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fixture.h"
#include "replay/reached.h"
#include "walbytes.h"

static struct reached reading(const char *log)
{
    struct reached r;

    reached_read_log(log, &r);
    return r;
}

static void a_target_that_was_reached(void **state)
{
    struct reached r = reading("LOG:  starting archive recovery\n"
                               "LOG:  recovery stopping before commit of transaction 740, time "
                               "2026-11-27 10:00:01.5+00\n"
                               "LOG:  redo done at 0/3000148 system usage: CPU\n"
                               "LOG:  last completed transaction was at log time 2026-11-27 "
                               "10:00:00.25+00\n"
                               "LOG:  selected new timeline ID: 2\n");

    (void)state;
    assert_true(r.stopped && !r.target_later && !r.too_early);
    assert_int_equal(r.last, 0x3000148);
    assert_int_equal(r.commit_us, INT64_C(1795773600250000));
}

static void a_log_that_ends_before_it(void **state)
{
    struct reached r = reading("LOG:  redo done at 16/B374D848\n"
                               "FATAL:  recovery ended before configured recovery target was "
                               "reached\n");

    (void)state;
    assert_true(!r.stopped && r.target_later && !r.too_early);
    assert_int_equal(r.last, UINT64_C(0x16b374d848));
    assert_int_equal(r.commit_us, 0);
}

static void a_base_that_is_not_consistent_by_then(void **state)
{
    (void)state;
    assert_true(reading("LOG:  recovery stopping after WAL location (LSN) \"0/30\"\nFATAL:  "
                        "requested recovery stop point is before consistent recovery point\n")
                    .too_early);
    assert_true(reading("FATAL:  WAL ends before end of online backup\nHINT:  …").too_early);
    assert_true(reading("FATAL:  WAL ends before consistent recovery point\n").too_early);
}

static void a_server_that_said_nothing(void **state)
{
    struct reached r = reading("");

    (void)state;
    assert_false(r.stopped || r.target_later || r.too_early);
    assert_int_equal(r.last, 0);
}

static void the_last_line_of_a_history_counts(void **state)
{
    uint32_t timeline;

    (void)state;
    assert_int_equal(reached_parse_history("1\t0/3000148\tbefore 2026-11-27\n", &timeline),
                     0x3000148);
    assert_int_equal(reached_parse_history("1\t0/900000\tno reason\n2\t0/A00000\tno reason\n\n"
                                           "3\t16/D00090\tbefore LSN 16/D00090\n",
                                           &timeline),
                     UINT64_C(0x1600d00090));
    assert_int_equal(timeline, 3);
    assert_int_equal(
        reached_parse_history("3\t0/D00090\tat restore point \"7 1/2\"\n# 4 0/1\n", &timeline),
        0xd00090);
    assert_int_equal(reached_parse_history("", &timeline), 0);
    assert_int_equal(reached_parse_history("no history\n", &timeline), 0);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[256];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void the_newest_timeline_is_the_servers_own(void **state)
{
    char *dir = fixture_make_dir();
    uint32_t timeline;

    (void)state;
    assert_int_equal(reached_switch_point(dir, &timeline), 0);
    write_file(dir, "00000002.history", "1\t0/2000000\t\n");
    write_file(dir, "00000004.history", "1\t0/2000000\t\n2\t0/1000100\t\n");
    write_file(dir, "00000005.history.tmp", "1\t0/7000000\t\n");
    assert_int_equal(reached_switch_point(dir, &timeline), 0x1000100);
    assert_int_equal(timeline, 2);
    fixture_remove_dir(dir);
    assert_int_equal(reached_switch_point("/nonexistent", &timeline), 0);
}

/* A pg_wal in which the server's own timeline is 3, and began after a record of timeline 2. */
static void log_beyond_the_end_that_nothing_leads_to_is_damage(void **state)
{
    char *dir = fixture_make_dir();
    uint64_t last, beyond;
    struct walbytes w;

    (void)state;
    walbytes_make(&w, 1, 1);
    w.timeline = 2;
    last = walbytes_commit(&w, 1);
    walbytes_fill(&w, WALBYTES_SEGMENT + 3 * 8192);
    walbytes_commit(&w, 2);
    beyond = WALBYTES_SEGMENT + 3 * 8192 + WAL_PAGE_HEAD;
    assert_int_equal(reached_damage(dir, last, WALBYTES_SEGMENT), 0); /* no log */
    write_file(dir, "00000003.history", "2\t0/10060\t\n");
    walbytes_write(dir, 2, 1, "", w.bytes);
    walbytes_write(dir, 3, 1, "", w.bytes);                           /* what it wrote itself */
    assert_int_equal(reached_damage(dir, last, WALBYTES_SEGMENT), 0); /* it is all whole */
    *walbytes_at(&w, WALBYTES_SEGMENT + 8192 + 200) ^= 1;
    walbytes_write(dir, 2, 1, "", w.bytes);
    assert_int_equal(reached_damage(dir, last, WALBYTES_SEGMENT), beyond);
    assert_int_equal(reached_damage(dir, 0, WALBYTES_SEGMENT), 0);
    assert_int_equal(reached_damage("/nonexistent", last, WALBYTES_SEGMENT), 0);
    walbytes_free(&w);
    fixture_remove_dir(dir);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_target_that_was_reached),
        cmocka_unit_test(a_log_that_ends_before_it),
        cmocka_unit_test(a_base_that_is_not_consistent_by_then),
        cmocka_unit_test(a_server_that_said_nothing),
        cmocka_unit_test(the_last_line_of_a_history_counts),
        cmocka_unit_test(the_newest_timeline_is_the_servers_own),
        cmocka_unit_test(log_beyond_the_end_that_nothing_leads_to_is_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
