/* replay/segment.h: where a record begins in a segment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/mem.h"
#include "fixture.h"
#include "replay/segment.h"
#include "store/wal.h"
#include "walbytes.h"

#define FIRST 5u
#define START (FIRST * WALBYTES_SEGMENT)
#define BORDER (START + WALBYTES_SEGMENT)

static char *dir;
static struct walbytes log5;

static int set_up(void **state)
{
    (void)state;
    dir = fixture_make_dir();
    walbytes_make(&log5, FIRST, 4);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    walbytes_free(&log5);
    fixture_remove_dir(dir);
    return 0;
}

static uint64_t find(unsigned i, uint64_t from, uint64_t *past)
{
    uint64_t start = (FIRST + i) * WALBYTES_SEGMENT, at;
    char name[25], *path;
    int fd;

    wal_segment_name(1, FIRST + i, WALBYTES_SEGMENT, name);
    path = mem_printf("%s/%s", dir, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    at = segment_find_page(fd, start, start + WALBYTES_SEGMENT, &from);
    close(fd);
    free(path);
    *past = from;
    return at;
}

static void the_next_record_after_a_place_is_found(void **state)
{
    uint64_t second, past;

    (void)state;
    walbytes_fill(&log5, START + 2 * WAL_PAGE + 1000);
    second = log5.at;
    walbytes_fill(&log5, BORDER + 2000);
    walbytes_put(&log5, WAL_HEAP, 0, 731, "1", 1);
    walbytes_write_all(&log5, dir);
    assert_int_equal(find(0, START, &past), START + WAL_SEGMENT_HEAD);
    assert_int_equal(find(0, START + WAL_PAGE, &past), second); /* it goes on in the next one */
    assert_int_equal(past, START + 3 * WAL_PAGE);
    assert_int_equal(find(0, past, &past), 0);
    assert_int_equal(past, BORDER);
    assert_int_equal(find(1, BORDER, &past), BORDER + 2000);
    assert_int_equal(find(1, BORDER + WAL_PAGE, &past), 0);
    assert_int_equal(find(2, BORDER + WALBYTES_SEGMENT, &past), 0);
}

/* A page that is there, and on which nothing follows, is the end. */
static void the_end_of_the_log_is_no_record(void **state)
{
    uint64_t past;

    (void)state;
    walbytes_fill(&log5, START + WAL_PAGE + 1000);
    walbytes_write_all(&log5, dir);
    assert_int_equal(find(0, START + WAL_PAGE, &past), 0);
}

#define SEGMENT_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        SEGMENT_TEST(the_next_record_after_a_place_is_found),
        SEGMENT_TEST(the_end_of_the_log_is_no_record),
    };

    return cmocka_run_group_tests_name("replay/segment", tests, NULL, NULL);
}
