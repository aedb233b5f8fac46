/* replay/tablespaces.h: whether the log creates one, where replay begins, over the borders of
 * segments, and after damage; and what only looks like it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/lsn.h"
#include "common/mem.h"
#include "fixture.h"
#include "replay/segment.h"
#include "replay/tablespaces.h"
#include "store/wal.h"
#include "walbytes.h"

#define FIRST 5u
#define START (FIRST * WALBYTES_SEGMENT)
#define BORDER (START + WALBYTES_SEGMENT)
#define SEGMENTS 4u

static char *dir;
static struct walbytes log5;
static struct tablespaces *looker;
static struct err err;

static int set_up(void **state)
{
    (void)state;
    dir = fixture_make_dir();
    walbytes_make(&log5, FIRST, SEGMENTS);
    looker = tablespaces_new(
        &(struct tablespaces_wal){.segment_bytes = WALBYTES_SEGMENT, .system = WALBYTES_SYSTEM});
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tablespaces_free(looker);
    walbytes_free(&log5);
    fixture_remove_dir(dir);
    return 0;
}

static void replay_from(uint64_t from)
{
    tablespaces_free(looker);
    looker = tablespaces_new(&(struct tablespaces_wal){
        .segment_bytes = WALBYTES_SEGMENT, .system = WALBYTES_SYSTEM, .from = from});
}

static char *path_of(unsigned i, char name[25])
{
    wal_segment_name(1, FIRST + i, WALBYTES_SEGMENT, name);
    return mem_printf("%s/%s", dir, name);
}

static void remove_one(unsigned i)
{
    char name[25], *path = path_of(i, name);

    unlink(path);
    free(path);
}

static int look(unsigned i)
{
    char name[25], *path = path_of(i, name);
    int rc = tablespaces_look(looker, path, name, &err);

    free(path);
    return rc;
}

/* Of all segments, in the order of recovery: the first that is refused; SEGMENTS: none. */
static unsigned first_refused(void)
{
    unsigned i;

    for (i = 0; i < SEGMENTS && look(i) == 0; i++)
        ;
    return i;
}

static void names(const char *text)
{
    if (!strstr(err.text, text))
        fail_msg("\"%s\" is not in: %s", text, err.text);
}

static void a_log_without_one_passes(void **state)
{
    (void)state;
    walbytes_put(&log5, WAL_TBLSPC, WAL_TBLSPC_DROP, 731, "1234", 4);
    walbytes_put(&log5, WAL_DBASE, 0, 731, "1234/x", 7);
    walbytes_fill(&log5, BORDER + 1000);
    walbytes_write_all(&log5, dir);
    assert_int_equal(first_refused(), SEGMENTS);
}

static void one_is_found_with_its_place(void **state)
{
    (void)state;
    walbytes_fill(&log5, BORDER + 5000);
    walbytes_tablespace(&log5, "/srv/late");
    walbytes_write_all(&log5, dir);
    assert_int_equal(first_refused(), 1);
    assert_int_equal(err.code, 95); /* ENOTSUP */
    names("a tablespace is created in the log, at /srv/late: ");
}

/* By the segment in which it ends at the latest: recovery does not have that then. */
static void one_is_found_wherever_its_record_begins(void **state)
{
    uint64_t at;
    unsigned found;

    (void)state;
    for (at = BORDER - 2 * WAL_PAGE; at < BORDER + WAL_PAGE; at += 8) {
        if ((at % WAL_PAGE >= 120 && at % WAL_PAGE < WAL_PAGE - 120) ||
            (at % WAL_PAGE && wal_after_head(at - at % WAL_PAGE, WALBYTES_SEGMENT) >= at))
            continue;
        walbytes_free(&log5);
        walbytes_make(&log5, FIRST, SEGMENTS);
        walbytes_fill(&log5, at);
        walbytes_tablespace(&log5, "/srv/late");
        walbytes_write_all(&log5, dir);
        found = first_refused();
        if (found != (at > BORDER - WAL_RECORD_HEAD))
            fail_msg("of %lx in segment %u", (unsigned long)at, found);
        names(at < BORDER && at + 40 > BORDER && found == 0 ? "a place that the next segment tells"
                                                            : "/srv/late");
    }
}

static void of_a_record_split_in_its_head_both_segments_are_needed(void **state)
{
    (void)state;
    walbytes_fill(&log5, BORDER - 8);
    walbytes_tablespace(&log5, "/srv/late");
    walbytes_write_all(&log5, dir);
    remove_one(0);
    assert_int_equal(look(1), -95);
    names("the segment in front of it, which would tell, is not there");
}

static void what_lies_before_replay_begins_does_not_matter(void **state)
{
    uint64_t second;

    (void)state;
    walbytes_tablespace(&log5, "/srv/early");
    second = log5.at;
    walbytes_fill(&log5, BORDER + 1000);
    walbytes_tablespace(&log5, "/srv/early");
    walbytes_fill(&log5, BORDER + 3000);
    walbytes_write_all(&log5, dir);
    assert_int_equal(first_refused(), 0);
    replay_from(second);
    assert_int_equal(first_refused(), 1);
    replay_from(BORDER + 1000); /* from the very record */
    assert_int_equal(first_refused(), 1);
    replay_from(log5.prev);
    assert_int_equal(first_refused(), SEGMENTS);
    replay_from(log5.prev - 8); /* no record begins there: all of the segment counts */
    assert_int_equal(first_refused(), 1);
}

/* What a record of it has at its 16th byte, wherever one could begin: rows that somebody inserted,
 * or a page of a table. `heads`: how many bytes of heads are before it. */
static uint8_t *make_likeness(size_t len, size_t heads)
{
    uint8_t *data = mem_alloc(len);
    size_t i;

    for (i = (8 - heads % 8) % 8; i + 8 < len; i += 8)
        memcpy(data + i, "\0\5\0\0\xff\x40/e", 8);
    return data;
}

static void what_only_looks_like_one_passes(void **state)
{
    uint8_t *data = make_likeness(3 * WALBYTES_SEGMENT, WAL_RECORD_HEAD + 5);
    int i;

    (void)state;
    for (i = 0; i < 20; i++)
        walbytes_put(&log5, WAL_HEAP, 0, 731, data, 500 + (size_t)i);
    walbytes_put(&log5, WAL_HEAP2, 0x50, 731, data, 5 * WALBYTES_SEGMENT / 2);
    walbytes_write_all(&log5, dir);
    assert_int_equal(first_refused(), SEGMENTS);
    free(data);
}

/* Exactly where a split head would be, with the segment in front to tell, and without. */
static void likeness_at_a_border_is_told_by_the_segment_in_front(void **state)
{
    uint8_t *data = make_likeness(WALBYTES_SEGMENT, WAL_RECORD_HEAD + 5);
    unsigned i;

    (void)state;
    for (i = 0; i < 24; i++) {
        walbytes_free(&log5);
        walbytes_make(&log5, FIRST, SEGMENTS);
        walbytes_fill(&log5, BORDER - 800 - 8 * i);
        walbytes_put(&log5, WAL_HEAP, 0, 731, data, 1000);
        walbytes_write_all(&log5, dir);
        assert_int_equal(first_refused(), SEGMENTS);
        remove_one(0);
        assert_int_equal(look(1), -95);
    }
    free(data);
}

static void one_after_damage_is_found_all_the_same(void **state)
{
    uint64_t at;

    (void)state;
    walbytes_fill(&log5, START + 1000);
    at = log5.prev + 100;
    walbytes_fill(&log5, START + WAL_PAGE + 504);
    walbytes_tablespace(&log5, "/srv/late");
    *walbytes_at(&log5, at) ^= 1;
    walbytes_write_all(&log5, dir);
    assert_int_equal(first_refused(), 0);
    names("/srv/late");
}

static void a_damaged_one_is_not_replayed(void **state)
{
    (void)state;
    walbytes_fill(&log5, START + 1000);
    walbytes_tablespace(&log5, "/srv/late");
    *walbytes_at(&log5, log5.at - 16) ^= 1;
    walbytes_write_all(&log5, dir);
    assert_int_equal(first_refused(), SEGMENTS);
}

static void one_in_place_is_in_the_view(void **state)
{
    (void)state;
    walbytes_tablespace(&log5, "");
    walbytes_write_all(&log5, dir);
    assert_int_equal(first_refused(), SEGMENTS);
}

static void a_log_that_cannot_be_read_is_refused(void **state)
{
    char name[25], *path = path_of(0, name);

    (void)state;
    log5.magic = 0xd1ff; /* a later PostgreSQL's */
    walbytes_fill(&log5, START + 1000);
    walbytes_write_all(&log5, dir);
    assert_int_equal(look(0), -95);
    names("unknown version of PostgreSQL");
    log5.magic = 0xd110;
    memset(walbytes_at(&log5, START + 24), 7, 8); /* the cluster's identifier */
    walbytes_write_all(&log5, dir);
    assert_int_equal(look(0), -22);
    names(
        "it is of another cluster (its system identifier is 506381209866536711, that of the store "
        "is 7711139641497919867)");
    remove_one(0);
    assert_int_equal(look(0), -2);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(look(0), -22);
    names("it is no file");
    free(path);
}

static void what_is_no_segment_passes(void **state)
{
    (void)state;
    assert_int_equal(tablespaces_look(looker, "/nowhere", "00000002.history", &err), 0);
    assert_int_equal(tablespaces_look(looker, "/nowhere", "archive_status", &err), 0);
}

static void a_segment_of_which_nothing_is_there_passes(void **state)
{
    char name[25], *path = path_of(0, name);

    (void)state;
    walbytes_write_all(&log5, dir);
    assert_int_equal(first_refused(), SEGMENTS); /* zeros */
    assert_int_equal(truncate(path, 20), 0);
    assert_int_equal(look(0), 0);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(look(0), 0);
    free(path);
}

static void the_guard_knows_from_its_environment_where_replay_begins(void **state)
{
    char name[25], *path = path_of(0, name), lsn[LSN_TEXT_MAX], *size;
    char *argv[] = {"guard", path, name, NULL};

    (void)state;
    walbytes_tablespace(&log5, "/srv/early");
    walbytes_fill(&log5, START + 1000);
    walbytes_fill(&log5, START + 2000);
    walbytes_write_all(&log5, dir);
    size = mem_printf("%u", WALBYTES_SEGMENT);
    setenv(SEGMENT_BYTES_ENV, size, 1);
    setenv(SEGMENT_FROM_ENV, "0/0", 1);
    assert_int_equal(tablespaces_guard_main(3, argv), 130);
    setenv(SEGMENT_FROM_ENV, lsn_text(log5.prev, lsn), 1);
    assert_int_equal(tablespaces_guard_main(3, argv), 0);
    setenv(SEGMENT_SYSTEM_ENV, "7", 1);
    assert_int_equal(tablespaces_guard_main(3, argv), 130);
    unsetenv(SEGMENT_SYSTEM_ENV);
    unsetenv(SEGMENT_FROM_ENV);
    assert_int_equal(tablespaces_guard_main(3, argv), 130);
    setenv(SEGMENT_FROM_ENV, lsn, 1);
    setenv(SEGMENT_BYTES_ENV, "12345", 1);
    assert_int_equal(tablespaces_guard_main(3, argv), 130);
    assert_int_equal(tablespaces_guard_main(1, argv), 130);
    free(size);
    free(path);
}

#define TABLESPACES_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TABLESPACES_TEST(a_log_without_one_passes),
        TABLESPACES_TEST(one_is_found_with_its_place),
        TABLESPACES_TEST(one_is_found_wherever_its_record_begins),
        TABLESPACES_TEST(of_a_record_split_in_its_head_both_segments_are_needed),
        TABLESPACES_TEST(what_lies_before_replay_begins_does_not_matter),
        TABLESPACES_TEST(what_only_looks_like_one_passes),
        TABLESPACES_TEST(likeness_at_a_border_is_told_by_the_segment_in_front),
        TABLESPACES_TEST(one_after_damage_is_found_all_the_same),
        TABLESPACES_TEST(a_damaged_one_is_not_replayed),
        TABLESPACES_TEST(one_in_place_is_in_the_view),
        TABLESPACES_TEST(a_log_that_cannot_be_read_is_refused),
        TABLESPACES_TEST(what_is_no_segment_passes),
        TABLESPACES_TEST(a_segment_of_which_nothing_is_there_passes),
        TABLESPACES_TEST(the_guard_knows_from_its_environment_where_replay_begins),
    };

    return cmocka_run_group_tests_name("replay/tablespaces", tests, NULL, NULL);
}
