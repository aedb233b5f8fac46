/* extract/result.h: what became of each table. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/mem.h"
#include "extract/result.h"
#include "extract/spooled.h"
#include "fixture.h"

#define BLOCK 8192u

static void results_begin_with_every_table_waiting(void **state)
{
    struct pg_table tables[] = {{.rel = {.kind = 'r', .blocks = 1, .bytes = BLOCK}},
                                {.rel = {.kind = 'r', .blocks = 4, .bytes = 4 * BLOCK}},
                                {.rel = {.kind = 'r', .blocks = 2, .bytes = 2 * BLOCK}}};
    struct pg_catalog c = {.tables = tables, .ntables = 3};
    struct plan plan;
    struct results *r;
    size_t t;

    (void)state;
    plan_make(&plan, &c, BLOCK);
    r = results_new(&plan);
    assert_int_equal(r->n, 3);
    for (t = 0; t < r->n; t++) {
        assert_int_equal(r->tables[t].state, TABLE_WAITING);
        assert_int_equal(r->tables[t].chunks, plan_table_chunks(&plan, t));
        assert_int_equal(r->tables[t].estimate, r->tables[t].chunks * BLOCK);
        assert_null(r->tables[t].file);
    }
    assert_false(r->ended || r->released || r->schema_done);
    r->tables[0].file = spooled_alone(fixture_memory_file(), 0);
    r->tables[1].error = mem_strdup("freed with the rest");
    r->schema_error = mem_strdup("so is this");
    buf_puts(&r->schema, "and this");
    results_free(r);
    results_free(NULL);
    plan_free(&plan);
}

static void table_states_have_names(void **state)
{
    (void)state;
    assert_string_equal(table_state_name(TABLE_WAITING), "waiting");
    assert_string_equal(table_state_name(TABLE_RUNNING), "running");
    assert_string_equal(table_state_name(TABLE_COMPLETE), "complete");
    assert_string_equal(table_state_name(TABLE_FAILED), "failed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(results_begin_with_every_table_waiting),
        cmocka_unit_test(table_states_have_names),
    };

    return cmocka_run_group_tests_name("extract/result", tests, NULL, NULL);
}
