/* extract/room.h: which chunk may be begun in a spool that others empty. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/mem.h"
#include "extract/room.h"

#define BLOCK 8192u
#define CHUNK (128u * BLOCK) /* 1 MiB */
#define DISK (1ull << 40)

/* Tables 0 and 1, of 4 chunks of 1 MiB and of one of nearly nothing. */
static struct plan plan;

static int set_up_plan(void **state)
{
    struct pg_table t[] = {
        {.rel = {.kind = 'r', .blocks = 512, .bytes = 512 * BLOCK}},
        {.rel = {.kind = 'r', .blocks = 1, .bytes = BLOCK}},
    };
    struct pg_catalog c = {.tables = t, .ntables = 2};

    (void)state;
    plan_make(&plan, &c, CHUNK);
    return plan.nchunks == 5 ? 0 : -1;
}

static int tear_down_plan(void **state)
{
    (void)state;
    plan_free(&plan);
    return 0;
}

static void room_of_a_large_disk_is_shared_out_generously(void **state)
{
    struct room *r = room_new(&plan, 0, 2);

    (void)state;
    assert_true(room_ask(r, 0, DISK));
    assert_int_equal(room_share(r, 0), DISK / 4);
    assert_true(room_ask(r, 1, DISK));
    assert_int_equal(room_share(r, 1), (DISK - DISK / 4) / 4);
    assert_int_equal(room_writers(r), 2);
    room_keep(r, 0, CHUNK);
    assert_int_equal(room_kept(r), CHUNK);
    assert_true(room_is_ample(r, DISK));
    room_give_back(r, 0);
    assert_int_equal(room_kept(r), 0);
    room_free(r);
    room_free(NULL);
}

static void chunks_wait_until_others_are_given_back(void **state)
{
    struct room *r = room_new(&plan, 4 * CHUNK, 2);

    (void)state;
    assert_true(room_ask(r, 0, DISK));
    assert_int_equal(room_share(r, 0), CHUNK + CHUNK / 2);
    assert_true(room_ask(r, 1, DISK));
    assert_false(room_ask(r, 2, DISK));
    assert_false(room_is_ample(r, DISK));
    room_keep(r, 0, CHUNK);
    assert_true(room_ask(r, 2, DISK)); /* a quarter more than 0 was */
    room_return(r, 1);
    room_return(r, 1); /* nothing happens */
    assert_true(room_ask(r, 3, DISK));
    room_keep(r, 2, CHUNK);
    room_keep(r, 3, CHUNK);
    assert_false(room_ask(r, 1, DISK));
    room_give_back(r, 0);
    assert_true(room_ask(r, 1, DISK));
    room_free(r);
}

static void the_file_system_counts_too(void **state)
{
    struct room *r = room_new(&plan, 0, 1);

    (void)state;
    assert_false(room_ask(r, 0, CHUNK));
    assert_true(room_ask(r, 0, 2 * CHUNK));
    assert_false(room_ask(r, 1, 3 * CHUNK - 1)); /* of which 1.5 are promised */
    assert_true(room_ask(r, 4, 3 * CHUNK));
    room_free(r);
}

static void chunks_of_a_table_that_grew_want_more(void **state)
{
    struct room *r = room_new(&plan, 10 * CHUNK, 1);

    (void)state;
    assert_true(room_ask(r, 0, DISK));
    room_keep(r, 0, 4 * CHUNK);
    assert_true(room_ask(r, 1, DISK));
    assert_int_equal(room_share(r, 1), 5 * CHUNK);
    room_keep(r, 1, CHUNK); /* the most counts */
    assert_true(room_ask(r, 2, DISK));
    assert_int_equal(room_share(r, 2), 5 * CHUNK);
    room_free(r);
}

static void a_chunk_without_room_comes_again_when_there_is_twice_as_much(void **state)
{
    struct room *r = room_new(&plan, 6 * CHUNK, 2);

    (void)state;
    assert_true(room_ask(r, 0, DISK));
    assert_true(room_overrun(r, 0, room_share(r, 0), false, 0));
    assert_int_equal(room_writers(r), 0);
    assert_true(room_ask(r, 0, DISK));
    assert_int_equal(room_share(r, 0), 3 * CHUNK);
    assert_true(room_overrun(r, 0, 3 * CHUNK, false, 0));
    assert_true(room_ask(r, 0, DISK));
    assert_int_equal(room_share(r, 0), 6 * CHUNK);
    assert_true(room_overrun(r, 0, 6 * CHUNK, false, 0));
    assert_false(room_ask(r, 0, DISK));
    room_ask_all(r, 0);
    assert_int_equal(room_share(r, 0), 6 * CHUNK);
    assert_false(room_ask(r, 4, DISK)); /* nobody else then */
    assert_false(room_is_ample(r, DISK));
    assert_false(room_overrun(r, 0, 6 * CHUNK, false, 0));
    assert_true(room_ask(r, 4, DISK));
    room_free(r);
}

static void a_full_file_system_is_learned_from(void **state)
{
    struct room *r = room_new(&plan, 0, 2);

    (void)state;
    assert_true(room_ask(r, 0, DISK));
    assert_true(room_ask(r, 1, DISK));
    assert_true(room_overrun(r, 1, CHUNK, true, 2 * CHUNK));
    assert_false(room_ask(r, 1, DISK)); /* it seems to have 2 in all, and 0 has them */
    room_keep(r, 0, CHUNK);
    assert_false(room_ask(r, 1, DISK));
    room_give_back(r, 0);
    assert_true(room_ask(r, 1, DISK));
    assert_int_equal(room_share(r, 1), 2 * CHUNK);
    assert_true(room_overrun(r, 1, CHUNK, true, CHUNK));
    assert_false(room_ask(r, 1, DISK));
    room_ask_all(r, 1);
    assert_int_equal(room_share(r, 1), UINT64_MAX);
    assert_false(room_overrun(r, 1, CHUNK, true, CHUNK));
    room_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(room_of_a_large_disk_is_shared_out_generously),
        cmocka_unit_test(chunks_wait_until_others_are_given_back),
        cmocka_unit_test(the_file_system_counts_too),
        cmocka_unit_test(chunks_of_a_table_that_grew_want_more),
        cmocka_unit_test(a_chunk_without_room_comes_again_when_there_is_twice_as_much),
        cmocka_unit_test(a_full_file_system_is_learned_from),
    };

    return cmocka_run_group_tests_name("extract/room", tests, set_up_plan, tear_down_plan);
}
