/* store/walsaid.h: how far a log reaches, by what its source said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/err.h"
#include "common/io.h"
#include "common/mem.h"
#include "fixture.h"
#include "store/history.h"
#include "store/walsaid.h"

#define SEGMENT UINT64_C(65536)
#define NOON INT64_C(1790000000000000)

static struct history_turn turn_of_2 = {1, 3 * SEGMENT + 100};
static struct history history_of_2 = {2, &turn_of_2, 1};

static void what_the_source_said_counts_as_far_as_the_log_reaches(void **state)
{
    const struct wal_list l = {
        .segment_bytes = SEGMENT, .histories = &history_of_2, .n_histories = 1};
    const struct wal_said said[] = {{NOON, 2 * SEGMENT, 1},
                                    {NOON + 1, 3 * SEGMENT + 40, 1}, /* as the server names it */
                                    {NOON + 2, 3 * SEGMENT + 200, 2}};

    (void)state;
    assert_int_equal(walsaid_proves(said, 3, &l, 2, 2 * SEGMENT - 8), 0);
    assert_int_equal(walsaid_proves(said, 3, &l, 2, 2 * SEGMENT), NOON);
    assert_int_equal(walsaid_proves(said, 3, &l, 2, 3 * SEGMENT), NOON + 1);
    assert_int_equal(walsaid_proves(said, 3, &l, 2, 9 * SEGMENT), NOON + 2);
    assert_int_equal(walsaid_proves(said, 3, &l, 1, 9 * SEGMENT), NOON + 1);
    assert_int_equal(walsaid_proves(said, 0, &l, 1, 9 * SEGMENT), 0);
}

/* It was left before it came there: what was committed after is lost. */
static void what_a_branch_that_was_left_had_does_not_count(void **state)
{
    const struct wal_list l = {
        .segment_bytes = SEGMENT, .histories = &history_of_2, .n_histories = 1};
    const struct wal_said said = {NOON, 4 * SEGMENT, 1};

    (void)state;
    assert_int_equal(walsaid_proves(&said, 1, &l, 2, 9 * SEGMENT), 0);
}

static void the_last_ones_are_kept(void **state)
{
    struct wal_said said = {NOON, SEGMENT, 3}, got[WALSAID_MAX];
    const char *dir = *state;
    struct err err;
    size_t i;

    assert_int_equal(walsaid_read(dir, got), 0);
    for (i = 0; i < WALSAID_MAX + 3; i++, said.time_us++)
        assert_int_equal(walsaid_add(dir, &said, &err), 0);
    assert_int_equal(walsaid_read(dir, got), WALSAID_MAX);
    assert_int_equal(got[WALSAID_MAX - 1].time_us, NOON + WALSAID_MAX + 2);
    assert_int_equal(got[0].time_us, NOON + 3);
    assert_int_equal(got[0].lsn, SEGMENT);
    assert_int_equal(got[0].timeline, 3);
}

static void a_file_that_is_damaged_says_nothing_more(void **state)
{
    static const char *const texts[] = {"",
                                        "x",
                                        "1790000000000000 0/10000",
                                        "1790000000000000 0/10000 1",
                                        "1790000000000000 0/10000 0\n",
                                        "-5 0/10000 1\n",
                                        "1790000000000000 nowhere 1\n",
                                        "1790000000000000 0/10000 1 more\n"};
    struct wal_said got[WALSAID_MAX];
    const char *dir = *state;
    char *path = mem_printf("%s/source-log", dir);
    struct err err;
    size_t i;

    for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        unlink(path);
        assert_int_equal(io_write_file(AT_FDCWD, path, texts[i], strlen(texts[i]), &err), 0);
        assert_int_equal(walsaid_read(dir, got), 0);
    }
    free(path);
}

#define PLACED(f) cmocka_unit_test_setup_teardown(f, fixture_set_up_dir, fixture_tear_down_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_source_said_counts_as_far_as_the_log_reaches),
        cmocka_unit_test(what_a_branch_that_was_left_had_does_not_count),
        PLACED(the_last_ones_are_kept),
        PLACED(a_file_that_is_damaged_says_nothing_more),
    };

    return cmocka_run_group_tests_name("store/walsaid", tests, NULL, NULL);
}
