/* extract/result.h: what became of each table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/clock.h"
#include "common/mem.h"
#include "extract/result.h"
#include "extract/spooled.h"
#include "fixture.h"

#define BLOCK 8192u

/* Tables 0, 1, 2 with 1, 4 and 2 chunks, and what was told of them. */
struct told {
    struct results *r;
    size_t tables[8];
    size_t n;
    enum table_state state; /* of the table at that moment, asked as others ask */
};

static void note_settled(void *arg, size_t table)
{
    struct told *t = arg;

    if (table < t->r->n)
        t->state = results_state(t->r, table);
    t->tables[t->n++] = table;
}

static int set_up_results(void **state)
{
    struct pg_table tables[] = {{.rel = {.kind = 'r', .blocks = 1, .bytes = BLOCK}},
                                {.rel = {.kind = 'r', .blocks = 4, .bytes = 4 * BLOCK}},
                                {.rel = {.kind = 'r', .blocks = 2, .bytes = 2 * BLOCK}}};
    struct pg_catalog c = {.tables = tables, .ntables = 3};
    struct told *t = mem_alloc(sizeof(*t));
    struct plan plan;

    plan_make(&plan, &c, BLOCK);
    t->r = results_new(&plan);
    plan_free(&plan);
    t->r->settled = note_settled;
    t->r->settled_arg = t;
    *state = t;
    return 0;
}

static int tear_down_results(void **state)
{
    struct told *t = *state;

    results_free(t->r);
    results_free(NULL);
    free(t);
    return 0;
}

static struct results *results_of(void **state)
{
    return ((struct told *)*state)->r;
}

static void results_begin_with_every_table_waiting(void **state)
{
    static const size_t chunks[] = {1, 4, 2};
    struct results *r = results_of(state);
    size_t t;

    assert_int_equal(r->n, 3);
    for (t = 0; t < r->n; t++) {
        assert_int_equal(results_state(r, t), TABLE_WAITING);
        assert_int_equal(r->tables[t].chunks, chunks[t]);
        assert_int_equal(r->tables[t].estimate, chunks[t] * BLOCK);
        assert_int_equal(r->tables[t].started_at, 0);
        assert_int_equal(r->tables[t].ended_at, 0);
        assert_null(r->tables[t].file);
    }
    assert_false(r->ended || r->released || r->schema_done);
}

static void a_table_starts_once(void **state)
{
    struct results *r = results_of(state);
    int64_t before = clock_ms();

    results_set_joined(r, 3);
    assert_int_equal(r->joined, 3);
    results_start_table(r, 1);
    assert_int_equal(results_state(r, 1), TABLE_RUNNING);
    assert_int_equal(results_state(r, 0), TABLE_WAITING);
    assert_in_range(r->tables[1].started_at, before, clock_ms());
    r->tables[1].started_at = 1;
    results_start_table(r, 1);
    assert_int_equal(r->tables[1].started_at, 1);
    results_fail_table(r, 1, "why not");
    results_start_table(r, 1); /* nor does one that has failed */
    assert_int_equal(results_state(r, 1), TABLE_FAILED);
}

static void chunks_add_up_in_the_order_of_the_file(void **state)
{
    struct results *r = results_of(state);
    const struct table_result *t = &r->tables[1];

    results_start_table(r, 1);
    results_add_under_way(r, 1, 500);
    results_add_under_way(r, 1, 200);
    assert_int_equal(t->under_way, 700);
    results_add_under_way(r, 1, -(uint64_t)700); /* wraps around */
    assert_int_equal(t->under_way, 0);
    results_add_chunk(r, 1, 2, 300, 3, 33);
    results_add_chunk(r, 1, 0, 100, 1, 11);
    assert_int_equal(t->bytes, 400);
    assert_int_equal(t->rows, 4);
    assert_int_equal(t->chunks_done, 2);
    assert_int_equal(t->lengths[0], 100);
    assert_int_equal(t->lengths[1], 0);
    assert_int_equal(t->lengths[2], 300);
    assert_int_equal(t->chunk_rows[2], 3);
    assert_int_equal(t->chunk_sums[0], 11);
    assert_int_equal(t->chunk_sums[2], 33);
    assert_int_equal(results_state(r, 1), TABLE_RUNNING);
}

static void a_measured_table_is_told_of_and_can_get_an_error_yet(void **state)
{
    struct told *told = *state;
    struct results *r = told->r;
    struct flatfile *file = spooled_alone(fixture_memory_file(), 0);

    file->size = 12;
    results_measure_table(r, 1, file, 5, 0);
    assert_int_equal(told->n, 1);
    assert_int_equal(told->state, TABLE_COMPLETE);
    assert_int_equal(r->tables[1].bytes, 12);
    assert_int_equal(r->tables[1].rows, 5);
    assert_int_equal(r->tables[1].checksum, 0); /* not known */
    assert_null(r->tables[1].error);
    results_add_error(r, 1, "block 3: bad");
    results_add_error(r, 1, "block 7: bad, too");
    assert_string_equal(r->tables[1].error, "block 3: bad");
    assert_int_equal(results_state(r, 1), TABLE_COMPLETE);
    assert_int_equal(told->n, 1);
}

static void a_table_written_by_others_has_their_chunks(void **state)
{
    static const struct results_chunk chunks[] = {{100, 4, 11}, {50, 2, 22}};
    struct told *told = *state;
    struct results *r = told->r;
    const struct table_result *t = &r->tables[0];

    results_start_table(r, 0);
    results_write_table(r, 0, chunks, 2, 0xabc);
    assert_int_equal(told->state, TABLE_COMPLETE);
    assert_int_equal(t->chunks, 2);
    assert_int_equal(t->chunks_done, 2);
    assert_int_equal(t->bytes, 150);
    assert_int_equal(t->rows, 6);
    assert_int_equal(t->checksum, 0xabc);
    assert_int_equal(t->lengths[1], 50);
    assert_int_equal(t->chunk_rows[0], 4);
    assert_int_equal(t->chunk_sums[1], 22);
    assert_null(t->file);
}

static void a_complete_table_is_told_of_with_its_file(void **state)
{
    struct told *told = *state;
    struct results *r = told->r;
    struct flatfile *file = spooled_alone(fixture_memory_file(), 0);

    results_start_table(r, 2);
    results_add_chunk(r, 2, 0, 7, 1, 0);
    results_complete_table(r, 2, file, 12, 0x1234);
    assert_int_equal(told->n, 1);
    assert_int_equal(told->tables[0], 2);
    assert_int_equal(told->state, TABLE_COMPLETE);
    assert_ptr_equal(r->tables[2].file, file); /* and is freed with the rest */
    assert_int_equal(r->tables[2].bytes, 12);
    assert_int_equal(r->tables[2].checksum, 0x1234);
    assert_true(r->tables[2].ended_at >= r->tables[2].started_at);
    assert_null(r->tables[2].error);
}

static void a_failed_table_is_told_of_with_the_reason(void **state)
{
    struct told *told = *state;
    struct results *r = told->r;

    results_fail_table(r, 0, "the disk is full");
    assert_int_equal(told->n, 1);
    assert_int_equal(told->tables[0], 0);
    assert_int_equal(told->state, TABLE_FAILED);
    assert_string_equal(r->tables[0].error, "the disk is full");
    assert_true(r->tables[0].ended_at > 0);
    r->settled = NULL; /* nobody needs to listen */
    results_fail_table(r, 1, "nor this one");
    assert_int_equal(told->n, 1);
}

static void the_schema_is_told_of_behind_the_tables(void **state)
{
    struct told *told = *state;
    struct buf text = {0};

    buf_puts(&text, "CREATE TABLE t ();");
    results_set_schema(told->r, &text, NULL);
    buf_free(&text); /* it was copied */
    assert_int_equal(told->n, 1);
    assert_int_equal(told->tables[0], told->r->n);
    assert_true(told->r->schema_done);
    assert_int_equal(told->r->schema.len, 18);
    assert_memory_equal(told->r->schema.data, "CREATE TABLE t ();", 18);
    assert_null(told->r->schema_error);
}

static void a_schema_that_could_not_be_made_has_a_reason(void **state)
{
    struct told *told = *state;

    results_set_schema(told->r, NULL, "no pg_dump");
    assert_int_equal(told->tables[0], told->r->n);
    assert_true(told->r->schema_done);
    assert_int_equal(told->r->schema.len, 0);
    assert_string_equal(told->r->schema_error, "no pg_dump");
}

static void the_source_is_released_once(void **state)
{
    struct results *r = results_of(state);

    results_release(r);
    assert_true(r->released && !r->ended);
    assert_true(r->released_at > 0);
    r->released_at = 1;
    results_release(r);
    results_end(r);
    assert_int_equal(r->released_at, 1);
    assert_true(r->ended);
    assert_true(r->ended_at > 0);
}

static void the_end_releases_the_source_too(void **state)
{
    struct results *r = results_of(state);

    results_end(r);
    assert_true(r->released && r->ended);
    assert_true(r->released_at > 0);
}

static void table_states_have_names(void **state)
{
    (void)state;
    assert_string_equal(table_state_name(TABLE_WAITING), "waiting");
    assert_string_equal(table_state_name(TABLE_RUNNING), "running");
    assert_string_equal(table_state_name(TABLE_COMPLETE), "complete");
    assert_string_equal(table_state_name(TABLE_FAILED), "failed");
}

#define WITH_RESULTS(f) cmocka_unit_test_setup_teardown(f, set_up_results, tear_down_results)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RESULTS(results_begin_with_every_table_waiting),
        WITH_RESULTS(a_table_starts_once),
        WITH_RESULTS(chunks_add_up_in_the_order_of_the_file),
        WITH_RESULTS(a_measured_table_is_told_of_and_can_get_an_error_yet),
        WITH_RESULTS(a_table_written_by_others_has_their_chunks),
        WITH_RESULTS(a_complete_table_is_told_of_with_its_file),
        WITH_RESULTS(a_failed_table_is_told_of_with_the_reason),
        WITH_RESULTS(the_schema_is_told_of_behind_the_tables),
        WITH_RESULTS(a_schema_that_could_not_be_made_has_a_reason),
        WITH_RESULTS(the_source_is_released_once),
        WITH_RESULTS(the_end_releases_the_source_too),
        cmocka_unit_test(table_states_have_names),
    };

    return cmocka_run_group_tests_name("extract/result", tests, NULL, NULL);
}
