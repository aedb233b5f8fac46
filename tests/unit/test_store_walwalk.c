/* store/walwalk.h: records over pages and segments, and every way in which a log ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"
#include "store/walrecord.h"
#include "store/walwalk.h"
#include "walbytes.h"

#define FIRST 5u
#define START (FIRST * WALBYTES_SEGMENT)
#define US_2000 (INT64_C(946684800) * 1000000)

static struct walbytes log5;
static struct wal_walk *walk;
static struct wal_record record, last; /* what wal_next left, and the last one it gave */

static int set_up(void **state)
{
    (void)state;
    walk = walbytes_make_walk(&log5, FIRST, 4);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    wal_walk_free(walk);
    walbytes_free(&log5);
    return 0;
}

static int next(void)
{
    struct err err;
    int rc = wal_next(walk, &record, &err);

    if (rc == 1)
        last = record;
    return rc;
}

/* Walks to the end; how many records there are. */
static unsigned walk_all(void)
{
    unsigned n = 0;

    while (next() == 1)
        n++;
    return n;
}

static void ends(enum wal_end end, uint64_t at)
{
    assert_int_equal(next(), 0);
    assert_int_equal(wal_ending(walk)->end, end);
    assert_int_equal(wal_ending(walk)->at, at);
    assert_non_null(wal_ending(walk)->why);
}

static void put_commit(int64_t us, uint32_t xid)
{
    us -= US_2000;
    walbytes_put(&log5, WAL_XACT, 0, xid, &us, sizeof(us));
}

/* ---- the walk ---- */

static void records_of_all_lengths_are_found_as_they_were_put(void **state)
{
    static const size_t lengths[] = {1, 7, 8, 250, 255, 256, 4000, 8163, 8192, 20000, 90000};
    uint64_t starts[sizeof(lengths) / sizeof(*lengths)];
    uint8_t *data = mem_alloc(100000);
    struct wal_parts parts;
    size_t i;

    (void)state;
    for (i = 0; i < 100000; i++)
        data[i] = (uint8_t)(i * 7);
    for (i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
        starts[i] = walbytes_put(&log5, WAL_HEAP, 0x20, (uint32_t)i, data, lengths[i]);
    for (i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        assert_int_equal(next(), 1);
        assert_int_equal(record.start, starts[i]);
        assert_int_equal(record.prev, i ? starts[i - 1] : 0);
        assert_int_equal(record.xid, i);
        assert_int_equal(record.manager, WAL_HEAP);
        assert_int_equal(record.info, 0x20);
        assert_int_equal(record.major, 15);
        assert_int_equal(record.timeline, 1);
        assert_int_equal(record.next, record.end);
        assert_true(wal_read_parts(&record, &parts));
        assert_int_equal(parts.n_data, lengths[i]);
        assert_memory_equal(parts.data, data, lengths[i]);
    }
    ends(WAL_END_ZEROS, log5.at);
    assert_int_equal(last.start, log5.prev);
    assert_int_equal(last.end, log5.at);
    free(data);
}

/* Wherever a record begins: its head may be on two pages, or segments. */
static void a_record_is_found_wherever_it_begins(void **state)
{
    uint64_t at;

    for (at = START + 3 * WAL_PAGE; at < START + WALBYTES_SEGMENT + WAL_PAGE; at += 8) {
        if (at % WAL_PAGE >= 200 && at % WAL_PAGE < WAL_PAGE - 200)
            continue;
        if (at % WAL_PAGE && wal_after_head(at - at % WAL_PAGE, WALBYTES_SEGMENT) >= at)
            continue;
        tear_down(state);
        set_up(state);
        walbytes_fill(&log5, at);
        walbytes_tablespace(&log5, "/srv/late");
        put_commit(5, 731);
        assert_int_equal(next(), 1);
        assert_int_equal(record.end, at);
        assert_int_equal(next(), 1);
        assert_int_equal(record.start, wal_after_head(at, WALBYTES_SEGMENT));
        assert_int_equal(record.manager, WAL_TBLSPC);
        assert_int_equal(next(), 1);
        assert_int_equal(record.xid, 731);
        ends(WAL_END_ZEROS, log5.at);
    }
}

static void a_switch_goes_on_in_the_next_segment(void **state)
{
    struct wal_event e;

    (void)state;
    put_commit(1, 731);
    walbytes_switch(&log5);
    put_commit(2, 732);
    assert_int_equal(next(), 1);
    assert_int_equal(next(), 1);
    assert_true(wal_read_event(&record, &e));
    assert_int_equal(e.kind, WAL_EVENT_SWITCH);
    assert_int_equal(record.end, record.start + 24);
    assert_int_equal(record.next, START + WALBYTES_SEGMENT);
    assert_int_equal(next(), 1);
    assert_int_equal(record.start, START + WALBYTES_SEGMENT + WAL_SEGMENT_HEAD);
    assert_int_equal(record.xid, 732);
}

/* Its end is the border already. */
static void a_switch_at_the_end_of_a_segment_skips_none(void **state)
{
    (void)state;
    walbytes_fill(&log5, START + WALBYTES_SEGMENT - WAL_RECORD_HEAD);
    walbytes_switch(&log5);
    put_commit(2, 732);
    assert_int_equal(walk_all(), 3);
    ends(WAL_END_ZEROS, log5.at);
}

static void a_record_that_was_given_up_is_left_out(void **state)
{
    uint64_t given_up, page = START + WAL_PAGE;

    (void)state;
    put_commit(1, 731);
    walbytes_fill(&log5, START + WAL_PAGE - 16);
    walbytes_fill(&log5, page + 3000); /* its head is on two pages */
    given_up = log5.prev;
    memset(walbytes_at(&log5, page), 0, WAL_PAGE);
    assert_int_equal(next(), 1);
    assert_int_equal(next(), 1);
    ends(WAL_END_UNFINISHED, given_up);
    assert_int_equal(wal_ending(walk)->instead, WAL_END_ZEROS);
    assert_int_equal(wal_ending(walk)->found_at, page);
    assert_int_equal(record.n, 16);
    /* The server started, and went on there. */
    log5.prev = last.start;
    log5.at = page;
    put_commit(2, 733);
    assert_int_equal(*walbytes_at(&log5, page + 2), 0);
    *walbytes_at(&log5, page + 2) = 8;
    assert_int_equal(next(), 1);
    assert_int_equal(record.start, page + WAL_PAGE_HEAD);
    assert_int_equal(record.xid, 733);
    ends(WAL_END_ZEROS, log5.at);
}

static void every_major_has_its_number(void **state)
{
    static const uint16_t magic[] = {0xd10d, 0xd110, 0xd113, 0xd116, 0xd118};
    unsigned i;

    for (i = 0; i < 5; i++) {
        tear_down(state);
        set_up(state);
        log5.magic = magic[i];
        put_commit(1, 731);
        assert_int_equal(next(), 1);
        assert_int_equal(record.major, 14 + i);
    }
}

/* ---- ends ---- */

static void what_is_not_there_is_missing(void **state)
{
    (void)state;
    walbytes_fill(&log5, START + 4 * WALBYTES_SEGMENT);
    assert_int_equal(walk_all(), 1);
    ends(WAL_END_MISSING, START + 4 * WALBYTES_SEGMENT);
    log5.n = 2;
    wal_begin(walk, START);
    ends(WAL_END_UNFINISHED, START);
    assert_int_equal(wal_ending(walk)->instead, WAL_END_MISSING);
    assert_int_equal(wal_ending(walk)->found_at, START + 2 * WALBYTES_SEGMENT);
    assert_int_equal(record.manager, WAL_HEAP); /* its head is known */
    assert_true(record.n >= WAL_RECORD_HEAD && record.n < record.length);
    log5.n = 4;
    assert_int_equal(next(), 1); /* it came */
}

static void what_was_there_before_is_old(void **state)
{
    struct walbytes old;

    (void)state;
    walbytes_make(&old, FIRST - 3, 2);
    walbytes_fill(&old, old.start + WALBYTES_SEGMENT);
    memcpy(log5.bytes, old.bytes, WALBYTES_SEGMENT);
    ends(WAL_END_OLD, START);
    log5.prev = START - 100;
    put_commit(1, 731);
    walbytes_fill(&log5, START + WAL_PAGE); /* the next page is an old one */
    wal_begin(walk, START);
    assert_int_equal(walk_all(), 2);
    ends(WAL_END_OLD, START + WAL_PAGE);
    walbytes_free(&old);
}

/* In the last page of what was received, too. */
static void an_old_record_on_a_new_page_is_old(void **state)
{
    uint64_t prev = START - 5 * WALBYTES_SEGMENT, at;

    (void)state;
    log5.prev = START - 64;
    put_commit(1, 731);
    at = log5.at;
    log5.prev = prev;
    put_commit(2, 732);
    assert_int_equal(walk_all(), 1);
    ends(WAL_END_OLD, at);
}

static void an_earlier_timeline_is_old(void **state)
{
    (void)state;
    log5.timeline = 3;
    walbytes_fill(&log5, START + WAL_PAGE);
    log5.timeline = 2;
    put_commit(1, 731);
    assert_int_equal(walk_all(), 1);
    ends(WAL_END_OLD, START + WAL_PAGE);
    wal_begin(walk, START + WAL_PAGE);
    assert_int_equal(next(), 1);
}

/* Wherever a bit is wrong in the record in the middle, it is not given, nor what follows. */
static void a_damaged_record_ends_the_walk(void **state)
{
    uint64_t start, at;

    (void)state;
    put_commit(1, 731);
    start = walbytes_tablespace(&log5, "/srv/a");
    at = log5.at;
    put_commit(2, 732);
    for (; start < at - 3; start++) {
        *walbytes_at(&log5, start) ^= 0x10;
        wal_begin(walk, START);
        assert_int_equal(walk_all(), 1);
        assert_true(wal_ending(walk)->end == WAL_END_BROKEN ||
                    wal_ending(walk)->end == WAL_END_OLD ||
                    wal_ending(walk)->end == WAL_END_UNFINISHED);
        assert_int_equal(wal_ending(walk)->at, last.end);
        *walbytes_at(&log5, start) ^= 0x10;
    }
    wal_begin(walk, START);
    assert_int_equal(walk_all(), 3);
}

static void a_damaged_head_of_a_page_ends_the_walk(void **state)
{
    static const struct {
        unsigned at, bit;
        enum wal_end end;
    } cases[] = {{0, 1, WAL_END_FOREIGN},    {1, 0x40, WAL_END_BROKEN}, {2, 0x20, WAL_END_BROKEN},
                 {2, 2, WAL_END_BROKEN},     {2, 1, WAL_END_BROKEN},    {4, 1, WAL_END_OLD},
                 {15, 1, WAL_END_BROKEN},    {24, 1, WAL_END_FOREIGN},  {34, 4, WAL_END_FOREIGN},
                 {37, 0x10, WAL_END_FOREIGN}};
    uint64_t page = START + WALBYTES_SEGMENT;
    size_t i;

    (void)state;
    walbytes_fill(&log5, page);
    put_commit(1, 731);
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        wal_begin(walk, START);
        *walbytes_at(&log5, page + cases[i].at) ^= (uint8_t)cases[i].bit;
        assert_int_equal(next(), 1);
        ends(cases[i].end, page);
        *walbytes_at(&log5, page + cases[i].at) ^= (uint8_t)cases[i].bit;
        assert_int_equal(next(), 1);
    }
}

static void a_place_where_none_can_begin_is_said_to_be_none(void **state)
{
    (void)state;
    put_commit(1, 731);
    wal_begin(walk, START + 16);
    ends(WAL_END_BROKEN, START + 16);
    wal_begin(walk, START + 41);
    ends(WAL_END_BROKEN, START + 41);
    walbytes_fill(&log5, START + WAL_PAGE + 4000);
    wal_begin(walk, START + WAL_PAGE);
    ends(WAL_END_BROKEN, START + WAL_PAGE);
}

static int refuse(void *arg, uint64_t number, const uint8_t **bytes, size_t *n, struct err *err)
{
    (void)arg;
    *bytes = NULL;
    *n = 0;
    return err_set(err, 5, "segment %u cannot be read", (unsigned)number);
}

static void a_source_that_fails_ends_the_walk_with_its_words(void **state)
{
    struct wal_source source = {.segment = refuse, .segment_bytes = WALBYTES_SEGMENT};
    struct wal_walk *w = wal_walk_new(&source);
    uint64_t at;
    struct err err;

    (void)state;
    wal_begin(w, START);
    assert_int_equal(wal_next(w, &record, &err), -5);
    assert_string_equal(err.text, "segment 5 cannot be read");
    assert_int_equal(wal_seek(w, START, UINT64_MAX, &at, &err), -5);
    wal_walk_free(w);
}

/* ---- seeking ---- */

static void the_next_record_is_sought_after_the_rest_of_one(void **state)
{
    uint64_t at, second, end = START + 4 * WALBYTES_SEGMENT;
    struct err err;

    (void)state;
    walbytes_fill(&log5, START + 3 * WAL_PAGE + 1000);
    second = log5.at;
    walbytes_fill(&log5, START + 5 * WAL_PAGE); /* to the border */
    put_commit(1, 731);
    assert_int_equal(wal_seek(walk, START, end, &at, &err), 1);
    assert_int_equal(at, START + WAL_SEGMENT_HEAD);
    assert_int_equal(wal_seek(walk, START + WAL_PAGE, end, &at, &err), 1);
    assert_int_equal(at, second);
    assert_int_equal(next(), 1);
    assert_int_equal(record.start, second);
    assert_int_equal(wal_seek(walk, START + 4 * WAL_PAGE + 7, end, &at, &err), 1);
    assert_int_equal(at, START + 5 * WAL_PAGE + WAL_PAGE_HEAD);
    assert_int_equal(wal_seek(walk, START + WAL_PAGE, second, &at, &err), 0);
    assert_int_equal(wal_seek(walk, START + 6 * WAL_PAGE, end, &at, &err), 0);
    memset(walbytes_at(&log5, START + 3 * WAL_PAGE), 0xff,
           24); /* pages that are none are left out */
    assert_int_equal(wal_seek(walk, START + WAL_PAGE, UINT64_MAX, &at, &err), 1);
    assert_int_equal(at, START + 5 * WAL_PAGE + WAL_PAGE_HEAD);
}

#define WAL_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAL_TEST(records_of_all_lengths_are_found_as_they_were_put),
        WAL_TEST(a_record_is_found_wherever_it_begins),
        WAL_TEST(a_switch_goes_on_in_the_next_segment),
        WAL_TEST(a_switch_at_the_end_of_a_segment_skips_none),
        WAL_TEST(a_record_that_was_given_up_is_left_out),
        WAL_TEST(every_major_has_its_number),
        WAL_TEST(what_is_not_there_is_missing),
        WAL_TEST(what_was_there_before_is_old),
        WAL_TEST(an_old_record_on_a_new_page_is_old),
        WAL_TEST(an_earlier_timeline_is_old),
        WAL_TEST(a_damaged_record_ends_the_walk),
        WAL_TEST(a_damaged_head_of_a_page_ends_the_walk),
        WAL_TEST(a_place_where_none_can_begin_is_said_to_be_none),
        WAL_TEST(a_source_that_fails_ends_the_walk_with_its_words),
        WAL_TEST(the_next_record_is_sought_after_the_rest_of_one),
    };

    return cmocka_run_group_tests_name("store/walwalk", tests, NULL, NULL);
}
