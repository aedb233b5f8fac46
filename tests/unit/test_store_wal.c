/* store/wal.h: what names, sizes and times of log segments mean, and which timelines lead where. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/io.h"
#include "common/mem.h"
#include "fixture.h"
#include "store/history.h"
#include "store/wal.h"

#define MIB (1u << 20)

/* ---- names ---- */

static void assert_name(const char *name, uint32_t segment_bytes, uint32_t timeline,
                        uint64_t number)
{
    struct wal_segment s;
    char again[25];

    assert_int_equal(wal_parse_name(name, segment_bytes, &s), 0);
    assert_int_equal(s.timeline, timeline);
    assert_int_equal(s.number, number);
    assert_false(s.partial);
    wal_segment_name(timeline, number, segment_bytes, again);
    assert_string_equal(again, name);
}

static void a_name_is_read_and_written_for_every_segment_size(void **state)
{
    struct wal_segment s;

    (void)state;
    assert_name("000000010000000000000001", 16 * MIB, 1, 1);
    assert_name("0000000100000000000000FF", 16 * MIB, 1, 255);
    assert_name("000000010000000100000000", 16 * MIB, 1, 256);
    assert_name("0000000A0000000100000000", MIB, 10, 4096);
    assert_int_equal(wal_parse_name("000000010000000000000003.partial", 16 * MIB, &s), 0);
    assert_true(s.partial);
    assert_int_equal(s.number, 3);
}

static void the_largest_and_smallest_segments_are_read(void **state)
{
    (void)state;
    assert_name("000000010000000000000FFF", MIB, 1, 4095);
    assert_name("000000010000000200000000", MIB, 1, 8192);
    assert_name("000000010000000000000003", 1024 * MIB, 1, 3);
    assert_name("FFFFFFFF0000000500000003", 1024 * MIB, UINT32_MAX, 23);
}

static void odd_names_are_no_segments(void **state)
{
    static const char *const odd[] = {
        "",
        "1",
        "00000001000000000000000",   /* a digit short */
        "0000000100000000000000010", /* a digit long */
        "000000000000000000000001",  /* no timeline 0 */
        "00000001000000000000000g",  /* no digit */
        "00000001000000000000000a",  /* PostgreSQL writes upper case */
        "000000010000000000000100",  /* 16 MiB: 256 segments a half */
        "00000001FFFFFFFF000000FF",  /* its end is no LSN */
        "000000010000000000000001.partial.gz",
        "000000010000000000000001.gz",
        "000000010000000000000001.00000028.backup",
        "00000002.history",
        " 00000010000000000000001",
        "000000010000000000000001 ",
        "+00000010000000000000001",
        "0x0000010000000000000001",
    };
    struct wal_segment s;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(odd) / sizeof(*odd); i++)
        if (wal_parse_name(odd[i], 16 * MIB, &s) >= 0)
            fail_msg("taken: \"%s\"", odd[i]);
    assert_int_equal(wal_parse_name("000000010000000000000004", 1024 * MIB, &s), -EINVAL);
    assert_int_equal(wal_parse_name("000000010000000000001000", MIB, &s), -EINVAL);
}

/* ---- what is covered ---- */

struct run {
    bool covers;
    uint64_t end, last;
};

#define AT(number) ((uint64_t)(number)*16 * MIB)

/* 2 left 1 in the middle of segment 4, 3 left 2 at the end of segment 5; 4 left 1 in segment 3. */
static struct history_turn of_2[] = {{1, AT(4) + 100}}, of_3[] = {{1, AT(4) + 100}, {2, AT(6)}},
                           of_4[] = {{1, AT(3) + 100}};
static struct history histories[] = {{2, of_2, 1}, {3, of_3, 2}, {4, of_4, 1}};

/* How many of the histories the log has. */
static size_t n_histories;

/* Segments of 16 MiB, in order; an empty one (timeline 0) ends them. The last one of the run as
 * timeline * 100 + number. */
static struct run covers(const struct wal_segment *segments, uint32_t timeline, uint64_t from)
{
    struct wal_segment copy[16];
    struct wal_list l = {.segments = copy,
                         .segment_bytes = 16 * MIB,
                         .histories = histories,
                         .n_histories = n_histories};
    const struct wal_segment *s;
    struct run r = {0};

    for (; segments[l.n].timeline; l.n++)
        copy[l.n] = segments[l.n];
    r.covers = wal_covers(&l, timeline, from, &r.end);
    if (!r.covers)
        return r;
    s = wal_segment_at(&l, wal_newest(&l, timeline, from), (r.end - 1) / l.segment_bytes);
    r.last = s->timeline * 100 + s->number;
    return r;
}

static void assert_covers(const struct wal_segment *segments, uint32_t timeline, uint64_t from,
                          uint64_t end, uint64_t last)
{
    struct run r = covers(segments, timeline, from);

    assert_true(r.covers);
    assert_int_equal(r.end, end);
    assert_int_equal(r.last, last);
}

/* clang-format off */
#define WHOLE(t, n) {.timeline = (t), .number = (n)}
#define PARTIAL(t, n) {.timeline = (t), .number = (n), .partial = true}
#define END {.timeline = 0}
/* clang-format on */

static void a_run_goes_on_to_the_end_of_the_last_segment(void **state)
{
    static const struct wal_segment s[] = {WHOLE(1, 3), WHOLE(1, 4), WHOLE(1, 5), END};

    (void)state;
    assert_covers(s, 1, AT(3), AT(6), 105);
    assert_covers(s, 1, AT(3) + 1, AT(6), 105);
    assert_covers(s, 1, AT(4) - 1, AT(6), 105);
    assert_covers(s, 1, AT(5) + 77, AT(6), 105);
}

static void what_lies_outside_is_not_covered(void **state)
{
    static const struct wal_segment s[] = {WHOLE(1, 3), WHOLE(1, 4), END}, none[] = {END};

    (void)state;
    assert_false(covers(s, 1, AT(3) - 1).covers);
    assert_false(covers(s, 1, AT(5)).covers);
    assert_int_equal(covers(s, 1, AT(5)).end, AT(5));
    assert_false(covers(s, 1, UINT64_MAX).covers);
    assert_false(covers(none, 1, 0).covers);
}

static void a_run_ends_at_a_gap(void **state)
{
    static const struct wal_segment s[] = {WHOLE(1, 3), WHOLE(1, 4), WHOLE(1, 6), END};

    (void)state;
    assert_covers(s, 1, AT(3), AT(5), 104);
    assert_false(covers(s, 1, AT(5) + 8).covers);
    assert_covers(s, 1, AT(6), AT(7), 106);
}

static void a_run_ends_after_a_partial_segment(void **state)
{
    static const struct wal_segment s[] = {WHOLE(1, 3), PARTIAL(1, 4), WHOLE(1, 5), END};

    (void)state;
    assert_covers(s, 1, AT(3), AT(5), 104);
    assert_covers(s, 1, AT(4) + 9, AT(5), 104);
}

static void a_run_follows_the_histories_and_never_goes_back(void **state)
{
    static const struct wal_segment s[] = {WHOLE(1, 3), WHOLE(1, 4), WHOLE(2, 4),
                                           WHOLE(2, 5), WHOLE(3, 6), END};

    (void)state;
    n_histories = 2;
    assert_covers(s, 1, AT(3), AT(7), 306);
    assert_covers(s, 2, AT(4) + 200, AT(7), 306);
    assert_covers(s, 2, AT(3), AT(7), 306); /* of a layer: only its end is on timeline 2 */
    assert_covers(s, 3, AT(6), AT(7), 306);
    n_histories = 1;
    assert_covers(s, 1, AT(3), AT(6), 205);
    n_histories = 0;
    assert_covers(s, 1, AT(3), AT(5), 104);
    assert_false(covers(s, 2, AT(3)).covers);
}

static void a_branch_that_was_left_is_not_followed_however_long_it_is(void **state)
{
    static const struct wal_segment s[] = {WHOLE(1, 3), WHOLE(1, 4), WHOLE(2, 4), WHOLE(1, 5),
                                           WHOLE(2, 5), WHOLE(1, 6), WHOLE(1, 7), END};

    (void)state;
    n_histories = 1;
    assert_covers(s, 1, AT(3), AT(6), 205);
    assert_covers(s, 1, AT(5), AT(8), 107); /* who is on it stays there */
}

static void without_the_segment_of_the_next_timeline_a_run_ends_where_that_begins(void **state)
{
    static const struct wal_segment s[] = {WHOLE(1, 3), PARTIAL(1, 4), WHOLE(1, 5), WHOLE(2, 5),
                                           END};

    (void)state;
    n_histories = 1;
    assert_covers(s, 1, AT(3), AT(4) + 100, 104);
}

static void the_partial_end_of_a_timeline_gives_way_to_the_next_timeline(void **state)
{
    static const struct wal_segment s[] = {WHOLE(1, 3), PARTIAL(1, 4), WHOLE(2, 4), PARTIAL(2, 5),
                                           END};

    (void)state;
    n_histories = 1;
    assert_covers(s, 1, AT(3), AT(6), 205);
}

static void the_newest_timeline_is_one_that_comes_by(void **state)
{
    struct wal_list l = {.histories = histories, .segment_bytes = 16 * MIB};
    uint32_t newest;

    (void)state;
    assert_int_equal(wal_newest(&l, 1, AT(3)), 1);
    l.n_histories = 2;
    assert_int_equal(wal_newest(&l, 1, AT(3)), 3);
    assert_int_equal(wal_newest(&l, 1, AT(4) + 101), 1);
    assert_int_equal(wal_newest(&l, 2, AT(6)), 3);
    assert_int_equal(wal_newest(&l, 2, AT(6) + 1), 2);
    assert_int_equal(wal_newest(&l, 7, AT(6)), 7);
    assert_false(wal_is_left(&l, 1, AT(3), &newest));
    assert_true(wal_is_left(&l, 1, AT(5), &newest));
    assert_int_equal(newest, 3);
    l.n_histories = 3; /* 4 comes from neither 2 nor 3 */
    assert_int_equal(wal_newest(&l, 1, AT(3)), 4);
    assert_int_equal(wal_newest(&l, 2, AT(5)), 3);
    assert_true(wal_is_left(&l, 2, AT(5), &newest));
    assert_int_equal(newest, 4);
    assert_false(wal_is_left(&l, 7, AT(5), &newest));
    assert_int_equal(wal_timeline_at(&l, 3, AT(4) + 99), 1);
    assert_int_equal(wal_timeline_at(&l, 3, AT(4) + 100), 2);
    assert_int_equal(wal_timeline_at(&l, 3, AT(6)), 3);
    assert_int_equal(wal_timeline_at(&l, 9, AT(6)), 9);
}

static void a_timeline_without_a_history_is_noticed(void **state)
{
    struct wal_segment s[] = {WHOLE(1, 3), WHOLE(2, 4), WHOLE(3, 5), WHOLE(3, 6)};
    struct wal_list l = {
        .segments = s, .n = 4, .histories = histories, .n_histories = 1, .segment_bytes = 16 * MIB};

    (void)state;
    assert_ptr_equal(wal_without_history(&l, 1), &s[2]);
    assert_null(wal_without_history(&l, 3));
    l.n_histories = 2;
    assert_null(wal_without_history(&l, 1));
}

/* ---- reading a directory ---- */

static void put(const char *dir, const char *name, off_t size, time_t written)
{
    char *path = mem_printf("%s/%s", dir, name);
    struct timespec times[2] = {{.tv_sec = written}, {.tv_sec = written, .tv_nsec = 5}};
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    assert_int_equal(futimens(fd, times), 0);
    close(fd);
    free(path);
}

static void put_text(const char *dir, const char *name, const char *text)
{
    char *path = mem_printf("%s/%s", dir, name);
    struct err err;

    assert_int_equal(io_write_file(AT_FDCWD, path, text, strlen(text), &err), 0);
    free(path);
}

static void a_history_that_is_none_is_refused_with_the_directory(void **state)
{
    struct wal_list l;
    struct err err;

    put(*state, "000000010000000000000002", MIB, 20);
    put(*state, "00000002.history", 12, 10);
    assert_int_equal(wal_read(*state, MIB, &l, &err), -EINVAL);
    assert_non_null(strstr(err.text, *state));
    assert_null(l.histories);
}

static void a_directory_is_read_in_order_and_other_files_are_left_out(void **state)
{
    const char *dir = *state;
    struct wal_list l;
    struct err err;

    put(dir, "000000020000000000000002", MIB, 30);
    put(dir, "000000010000000000000003.partial", 77, 40);
    put(dir, "000000010000000000000002", MIB, 20);
    put(dir, "000000010000000000000001", MIB, 10);
    put_text(dir, "00000003.history", "1\t0/200000\tx\n2\t0/300000\tx\n");
    put_text(dir, "00000002.history", "1\t0/200000\tx\n");
    put(dir, "000000010000000000000001.00000028.backup", 12, 10);
    put(dir, "archive_status", 0, 10);
    assert_int_equal(wal_read(dir, MIB, &l, &err), 0);
    assert_int_equal(l.n, 4);
    assert_int_equal(l.segment_bytes, MIB);
    assert_int_equal(l.segments[0].number, 1);
    assert_int_equal(l.segments[1].timeline, 1);
    assert_int_equal(l.segments[2].timeline, 2);
    assert_int_equal(l.segments[2].written.tv_sec, 30);
    assert_int_equal(l.segments[2].written.tv_nsec, 5);
    assert_true(l.segments[3].partial);
    assert_int_equal(l.n_histories, 2);
    assert_int_equal(l.histories[0].timeline, 2);
    assert_int_equal(l.histories[1].turns[1].end, 0x300000);
    wal_free(&l);
    assert_int_equal(l.n, 0);
    assert_int_equal(l.n_histories, 0);
}

static void of_a_whole_and_a_partial_segment_the_whole_one_counts(void **state)
{
    const char *dir = *state;
    struct wal_list l;
    struct err err;

    put(dir, "000000010000000000000002.partial", MIB, 30);
    put(dir, "000000010000000000000002", MIB, 20);
    assert_int_equal(wal_read(dir, MIB, &l, &err), 0);
    assert_int_equal(l.n, 1);
    assert_false(l.segments[0].partial);
    assert_int_equal(l.segments[0].written.tv_sec, 20);
    wal_free(&l);
}

static void a_segment_of_a_wrong_size_is_refused_by_name(void **state)
{
    const char *dir = *state;
    struct wal_list l;
    struct err err;

    put(dir, "000000010000000000000002", MIB, 20);
    put(dir, "000000010000000000000003", MIB - 1, 20);
    assert_int_equal(wal_read(dir, MIB, &l, &err), -EINVAL);
    assert_non_null(strstr(err.text, "000000010000000000000003"));
    assert_non_null(strstr(err.text, "1048575"));
    assert_int_equal(l.n, 0);
    assert_null(l.segments);
}

/* 3 is a freeze's own, cut at its end within it. */
static void after_what_a_freeze_has_cut_nothing_is_led_to(void **state)
{
    struct wal_segment segments[] = {{.timeline = 1, .number = 2, .own = true},
                                     {.timeline = 1, .number = 3, .own = true},
                                     {.timeline = 1, .number = 5}};
    struct wal_list all = {.segments = segments, .n = 3, .segment_bytes = MIB};
    struct wal_segment missing, there;

    (void)state;
    assert_true(wal_end_with_own(&all, 3 * MIB + 8, &missing, &there));
    assert_int_equal(all.n, 2);
    assert_int_equal(missing.number, 3);
    assert_int_equal(there.number, 5);
    assert_false(wal_end_with_own(&all, 3 * MIB + 8, &missing, &there)); /* nothing is there */
    all.n = 3;
    segments[1].own = false; /* it was kept: all of it */
    assert_false(wal_end_with_own(&all, 3 * MIB + 8, &missing, &there));
    assert_int_equal(all.n, 3);
}

static void a_directory_that_is_missing_is_an_error_and_an_empty_one_is_none(void **state)
{
    char *missing = mem_printf("%s/none", (char *)*state);
    struct wal_list l;
    struct err err;

    assert_int_equal(wal_read(missing, MIB, &l, &err), -ENOENT);
    assert_non_null(strstr(err.text, missing));
    assert_int_equal(wal_read(*state, MIB, &l, &err), 0);
    assert_int_equal(l.n, 0);
    wal_free(&l);
    free(missing);
}

static void what_a_base_has_itself_comes_with_the_histories_up_to_its_own(void **state)
{
    char *own = mem_printf("%s/own", (char *)*state);
    struct wal_list log, all;
    struct err err;

    assert_int_equal(mkdir(own, 0700), 0);
    put(*state, "000000030000000000000003", MIB, 30);
    put_text(*state, "00000003.history", "1\t0/200000\tx\n2\t0/300000\tx\n");
    put(own, "000000010000000000000001", MIB, 10);
    put(own, "000000020000000000000002", MIB, 20);
    put_text(own, "00000002.history", "1\t0/200000\tx\n");
    put_text(own, "00000003.history", "1\t0/100000\tx\n");
    put_text(own, "00000004.history", "1\t0/200000\tx\n");
    assert_int_equal(wal_read(*state, MIB, &log, &err), 0);
    wal_add_own(&log, own, 3, &all);
    assert_int_equal(all.n, 3);
    assert_true(all.segments[0].own && all.segments[1].own && !all.segments[2].own);
    assert_int_equal(all.n_histories, 2);
    assert_int_equal(all.histories[0].timeline, 2);
    assert_int_equal(all.histories[1].n, 2); /* the log's */
    assert_true(wal_has_history(&all, 2) && !wal_has_history(&log, 2));
    wal_free(&all);
    wal_add_own(&log, own, 1, &all);
    assert_int_equal(all.n_histories, 1);
    wal_free(&all);
    wal_free(&log);
    free(own);
}

#define PLACED(f) cmocka_unit_test_setup_teardown(f, fixture_set_up_dir, fixture_tear_down_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_is_read_and_written_for_every_segment_size),
        cmocka_unit_test(the_largest_and_smallest_segments_are_read),
        cmocka_unit_test(odd_names_are_no_segments),
        cmocka_unit_test(a_run_goes_on_to_the_end_of_the_last_segment),
        cmocka_unit_test(what_lies_outside_is_not_covered),
        cmocka_unit_test(a_run_ends_at_a_gap),
        cmocka_unit_test(a_run_ends_after_a_partial_segment),
        cmocka_unit_test(a_run_follows_the_histories_and_never_goes_back),
        cmocka_unit_test(a_branch_that_was_left_is_not_followed_however_long_it_is),
        cmocka_unit_test(without_the_segment_of_the_next_timeline_a_run_ends_where_that_begins),
        cmocka_unit_test(the_partial_end_of_a_timeline_gives_way_to_the_next_timeline),
        cmocka_unit_test(the_newest_timeline_is_one_that_comes_by),
        cmocka_unit_test(a_timeline_without_a_history_is_noticed),
        PLACED(a_history_that_is_none_is_refused_with_the_directory),
        PLACED(a_directory_is_read_in_order_and_other_files_are_left_out),
        PLACED(of_a_whole_and_a_partial_segment_the_whole_one_counts),
        PLACED(a_segment_of_a_wrong_size_is_refused_by_name),
        PLACED(what_a_base_has_itself_comes_with_the_histories_up_to_its_own),
        cmocka_unit_test(after_what_a_freeze_has_cut_nothing_is_led_to),
        PLACED(a_directory_that_is_missing_is_an_error_and_an_empty_one_is_none),
    };

    return cmocka_run_group_tests_name("store/wal", tests, NULL, NULL);
}
