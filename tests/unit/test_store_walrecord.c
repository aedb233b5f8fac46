/* store/walrecord.h: what the records say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/err.h"
#include "store/walrecord.h"
#include "store/walwalk.h"
#include "walbytes.h"

#define FIRST 5u
#define US_2000 (INT64_C(946684800) * 1000000)

static struct walbytes log5;
static struct wal_walk *walk;
static struct wal_record record;

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

    return wal_next(walk, &record, &err);
}

static void what_is_put(uint8_t *body, size_t *n, const void *bytes, size_t len)
{
    memcpy(body + *n, bytes, len);
    *n += len;
}

/* Two blocks of one relation, the first with a compressed image; origin, top transaction, data. */
static size_t make_parts(uint8_t *body, uint8_t image_info)
{
    static const uint8_t same[] = {1, 0x80 | 0x40 | 1, 0, 0, 9, 0, 0, 0};
    static const uint8_t others[] = {253, 1, 0, 252, 77, 0, 0, 0, 255, 4};
    const uint32_t relation[] = {1663, 5, 16384}, number = 42;
    const uint8_t first[] = {0, 0x30, 3, 0, 5, 0, 100, 0, image_info};
    const uint16_t hole = 500;
    size_t n = 0;

    what_is_put(body, &n, first, sizeof(first));
    what_is_put(body, &n, &hole, sizeof(hole));
    what_is_put(body, &n, relation, sizeof(relation));
    what_is_put(body, &n, &number, sizeof(number));
    what_is_put(body, &n, same, sizeof(same));
    what_is_put(body, &n, others, sizeof(others));
    what_is_put(body, &n, "imagedatmain", 12);
    return n;
}

static void parts_are_read(uint16_t magic, uint8_t image_info)
{
    struct wal_parts p;
    uint8_t body[100];
    size_t n = make_parts(body, image_info);

    log5.magic = magic;
    walbytes_put_raw(&log5, WAL_HEAP, 0, 731, body, n);
    assert_int_equal(next(), 1);
    assert_true(wal_read_parts(&record, &p));
    assert_int_equal(p.n_blocks, 2);
    assert_int_equal(p.top_xid, 77);
    assert_memory_equal(p.blocks[0].image, "image", 5);
    assert_int_equal(p.blocks[0].n_image, 5);
    assert_int_equal(p.blocks[0].hole, 100);
    assert_int_equal(p.blocks[0].hole_bytes, 500);
    assert_memory_equal(p.blocks[0].data, "dat", p.blocks[0].n_data);
    assert_int_equal(p.blocks[0].space, 1663);
    assert_int_equal(p.blocks[0].number, 42);
    assert_int_equal(p.blocks[1].relation, 16384);
    assert_int_equal(p.blocks[1].database, 5);
    assert_int_equal(p.blocks[1].number, 9);
    assert_int_equal(p.blocks[1].fork, 1);
    assert_true(p.blocks[1].begins);
    assert_null(p.blocks[1].image);
    assert_memory_equal(p.data, "main", p.n_data);
    assert_int_equal(p.n_data, 4);
}

static void blocks_and_data_are_told_apart(void **state)
{
    (void)state;
    parts_are_read(0xd110, 1 | 2 | 8);
}

static void an_image_of_14_has_other_flags(void **state)
{
    (void)state;
    parts_are_read(0xd10d, 1 | 2 | 4);
}

/* Where a head of make_parts ends, the 8 bytes after it could be those that were announced. */
static bool may_end_at(size_t n)
{
    return n == 27 + 8 || n == 35 + 8 || n == 38 + 8 || n == 43 + 8;
}

static void a_record_that_contradicts_itself_has_no_parts(void **state)
{
    struct wal_parts p;
    uint8_t body[100];
    size_t n, len = make_parts(body, 1 | 4);

    (void)state;
    for (n = 1; n < len; n++)
        walbytes_put_raw(&log5, WAL_HEAP, 0, 731, body, n);
    body[27 + 1] |= 0x20; /* the second block has data, of no bytes */
    walbytes_put_raw(&log5, WAL_HEAP, 0, 731, body, len);
    for (n = 1; n <= len; n++) {
        assert_int_equal(next(), 1);
        if (wal_read_parts(&record, &p) != may_end_at(n))
            fail_msg("%zu of %zu bytes", n, len);
    }
}

static struct wal_event event_of_next(void)
{
    struct wal_event e;

    assert_int_equal(next(), 1);
    assert_true(wal_read_event(&record, &e));
    return e;
}

static void transactions_have_a_time_and_a_number(void **state)
{
    uint8_t data[200] = {0}, *p = data;
    const int64_t us = 815, stored = us - US_2000;
    struct wal_event e;

    (void)state;
    memcpy(data, &stored, 8);
    walbytes_put(&log5, WAL_XACT, 0x00, 731, data, 8);
    walbytes_put(&log5, WAL_XACT, 0x20, 732, data, 8);
    walbytes_put(&log5, WAL_XACT, 0x30, 733, data, 8); /* it does not say which */
    memcpy(p + 16, &stored, 8);
    walbytes_put(&log5, WAL_XACT, 0x10, 734, data, 100);
    e = event_of_next();
    assert_true(e.kind == WAL_EVENT_COMMIT && e.time_us == us && e.xid == 731);
    e = event_of_next();
    assert_true(e.kind == WAL_EVENT_ABORT && e.time_us == us && e.xid == 732);
    e = event_of_next();
    assert_true(e.kind == WAL_EVENT_COMMIT_PREPARED && e.time_us == us && e.xid == 0);
    e = event_of_next();
    assert_true(e.kind == WAL_EVENT_PREPARE && e.time_us == us && e.xid == 734);
}

/* xinfo with everything in front of the number; in 18 what is dropped of statistics is longer. */
static size_t make_prepared(uint8_t *data, bool commit, bool as_18)
{
    const uint32_t xinfo = 1 | 2 | 4 | 256 | (commit ? 8 : 0) | 16 | 128, two = 2, xid = 4711;
    const uint8_t zeros[32] = {0};
    size_t n = 8;

    what_is_put(data, &n, &xinfo, 4);
    what_is_put(data, &n, zeros, 8);
    what_is_put(data, &n, &two, 4);
    what_is_put(data, &n, zeros, 8);
    what_is_put(data, &n, &two, 4);
    what_is_put(data, &n, zeros, 24);
    what_is_put(data, &n, &two, 4);
    what_is_put(data, &n, zeros, as_18 ? 32 : 24);
    if (commit) {
        what_is_put(data, &n, &two, 4);
        what_is_put(data, &n, zeros, 32);
    }
    what_is_put(data, &n, &xid, 4);
    what_is_put(data, &n, "gid", 4);
    return n;
}

static void a_prepared_transaction_has_its_own_number(void **state)
{
    uint8_t data[300] = {0};
    struct wal_event e;
    int i;

    for (i = 0; i < 4; i++) {
        tear_down(state);
        set_up(state);
        log5.magic = i & 1 ? 0xd118 : 0xd110;
        walbytes_put(&log5, WAL_XACT, i & 2 ? 0xb0 : 0xc0, 9, data,
                     make_prepared(data, i & 2, i & 1));
        e = event_of_next();
        assert_int_equal(e.kind, i & 2 ? WAL_EVENT_COMMIT_PREPARED : WAL_EVENT_ABORT_PREPARED);
        assert_int_equal(e.xid, 4711);
    }
}

static void restore_points_checkpoints_and_ends_of_recovery_are_read(void **state)
{
    struct {
        int64_t time;
        char name[64];
    } point = {.time = 5, .name = "before the release"};
    struct {
        uint64_t redo;
        uint32_t timeline, before;
        uint8_t others[48];
        int64_t time;
        uint8_t more[16];
    } checkpoint = {.redo = 0x1234, .timeline = 3, .before = 2, .time = 1700000000};
    struct {
        int64_t time;
        uint32_t timeline, before;
    } end = {.time = 6, .timeline = 3, .before = 2};
    struct wal_event e;

    (void)state;
    walbytes_put(&log5, WAL_XLOG, 0x70, 0, &point, sizeof(point));
    walbytes_put(&log5, WAL_XLOG, 0x00, 0, &checkpoint, sizeof(checkpoint));
    walbytes_put(&log5, WAL_XLOG, 0x10, 0, &checkpoint, sizeof(checkpoint));
    walbytes_put(&log5, WAL_XLOG, 0x90, 0, &end, sizeof(end));
    e = event_of_next();
    assert_true(e.kind == WAL_EVENT_RESTORE_POINT && e.time_us == US_2000 + 5);
    assert_string_equal(e.name, "before the release");
    e = event_of_next();
    assert_true(e.kind == WAL_EVENT_SHUTDOWN && e.time_us == INT64_C(1700000000000000));
    assert_true(e.redo == 0x1234 && e.timeline == 3 && e.timeline_before == 2);
    e = event_of_next();
    assert_true(e.kind == WAL_EVENT_CHECKPOINT && e.redo == 0x1234);
    e = event_of_next();
    assert_true(e.kind == WAL_EVENT_END_OF_RECOVERY && e.time_us == US_2000 + 6);
    assert_true(e.timeline == 3 && e.timeline_before == 2);
}

static void other_records_are_no_events(void **state)
{
    struct wal_event e;

    (void)state;
    walbytes_put(&log5, WAL_HEAP, 0, 731, "12345678", 8);
    walbytes_put(&log5, WAL_XACT, 0x50, 731, "12345678", 8);
    walbytes_put(&log5, WAL_XLOG, 0x30, 731, "1234", 4);
    walbytes_put(&log5, WAL_XACT, 0x00, 731, "1234", 4); /* too short */
    walbytes_put(&log5, WAL_XLOG, 0x70, 731, "12345678", 8);
    while (next() == 1) {
        assert_false(wal_read_event(&record, &e));
        assert_int_equal(e.kind, WAL_EVENT_NONE);
    }
    assert_int_equal(wal_ending(walk)->end, WAL_END_ZEROS);
}

#define WAL_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAL_TEST(blocks_and_data_are_told_apart),
        WAL_TEST(an_image_of_14_has_other_flags),
        WAL_TEST(a_record_that_contradicts_itself_has_no_parts),
        WAL_TEST(transactions_have_a_time_and_a_number),
        WAL_TEST(a_prepared_transaction_has_its_own_number),
        WAL_TEST(restore_points_checkpoints_and_ends_of_recovery_are_read),
        WAL_TEST(other_records_are_no_events),
    };

    return cmocka_run_group_tests_name("store/walrecord", tests, NULL, NULL);
}
