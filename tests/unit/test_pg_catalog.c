/* pg/catalog.h: comparing catalogs. No server is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/mem.h"
#include "pg/catalog.h"
#include "pgexample.h"

static void change_oid(struct pg_catalog *c)
{
    c->tables[0].rel.oid++;
}

static void change_kind(struct pg_catalog *c)
{
    c->tables[0].rel.kind = 'p';
}

static void change_schema(struct pg_catalog *c)
{
    rename_to(&c->tables[1].rel.schema, "other");
}

static void change_name(struct pg_catalog *c)
{
    rename_to(&c->tables[1].rel.name, "other");
}

static void change_privilege(struct pg_catalog *c)
{
    c->tables[1].rel.readable = false;
}

static void change_row_security(struct pg_catalog *c)
{
    c->tables[1].rel.row_security = true;
}

static void change_column_name(struct pg_catalog *c)
{
    rename_to(&c->tables[0].columns[1].name, "label");
}

static void change_column_type(struct pg_catalog *c)
{
    c->tables[0].columns[1].type = 1043;
}

static void change_column_generated(struct pg_catalog *c)
{
    c->tables[0].columns[1].generated = true;
}

static void drop_column(struct pg_catalog *c)
{
    free(c->tables[0].columns[--c->tables[0].ncolumns].name);
}

static void change_leaf_oid(struct pg_catalog *c)
{
    c->tables[1].leaves[1].oid = 299;
}

static void change_leaf_name(struct pg_catalog *c)
{
    rename_to(&c->tables[1].leaves[0].name, "orders_0");
}

static void change_leaf_privilege(struct pg_catalog *c)
{
    c->tables[1].leaves[0].readable = false;
}

static void detach_leaf(struct pg_catalog *c)
{
    struct pg_relation *last = &c->tables[1].leaves[--c->tables[1].nleaves];

    free(last->schema);
    free(last->name);
}

static void drop_table(struct pg_catalog *c)
{
    struct pg_table *last = &c->tables[--c->ntables];

    free(last->rel.schema);
    free(last->rel.name);
    free(last->leaves[0].schema), free(last->leaves[0].name);
    free(last->leaves[1].schema), free(last->leaves[1].name);
    free(last->leaves);
}

static void catalogs_differ_by_every_change_that_matters(void **state)
{
    static void (*const changes[])(struct pg_catalog *) = {change_oid,
                                                           change_kind,
                                                           change_schema,
                                                           change_name,
                                                           change_privilege,
                                                           change_row_security,
                                                           change_column_name,
                                                           change_column_type,
                                                           change_column_generated,
                                                           drop_column,
                                                           change_leaf_oid,
                                                           change_leaf_name,
                                                           change_leaf_privilege,
                                                           detach_leaf,
                                                           drop_table};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
        struct pg_catalog *a = example_catalog(), *b = example_catalog();

        assert_true(pg_catalog_same(a, b));
        changes[i](b);
        if (pg_catalog_same(a, b) || pg_catalog_same(b, a))
            fail_msg("change %zu makes no difference", i);
        pg_catalog_free(a);
        pg_catalog_free(b);
    }
}

static void catalogs_with_a_refreshed_materialized_view_are_not_the_same(void **state)
{
    struct pg_catalog *a = example_catalog(), *b = example_catalog();

    (void)state;
    a->tables[0].rel.refreshed = b->tables[0].rel.refreshed = true;
    assert_false(pg_catalog_same(a, b));
    assert_false(pg_catalog_same(a, a));
    pg_catalog_free(a);
    pg_catalog_free(b);
}

static void catalogs_are_not_the_same_when_the_second_misses_something(void **state)
{
    struct pg_catalog *a = example_catalog(), *b = example_catalog();

    (void)state;
    a->gone = 1; /* before the snapshot */
    assert_true(pg_catalog_same(a, b));
    assert_false(pg_catalog_same(b, a));
    pg_catalog_free(a);
    pg_catalog_free(b);
}

static void catalogs_are_the_same_whatever_their_sizes(void **state)
{
    struct pg_catalog *a = example_catalog(), *b = example_catalog();

    (void)state;
    b->tables[0].rel.bytes = 1 << 20;
    b->tables[0].rel.blocks = 128;
    b->tables[1].leaves[0].bytes = 0;
    assert_true(pg_catalog_same(a, b));
    pg_catalog_free(a);
    pg_catalog_free(b);
}

static void catalog_counts_parents_and_leaves(void **state)
{
    struct pg_catalog *c = example_catalog(), *none = mem_alloc(sizeof(*none));

    (void)state;
    assert_int_equal(pg_catalog_count_relations(c), 4);
    assert_int_equal(pg_catalog_count_relations(none), 0);
    assert_true(pg_catalog_same(none, none));
    pg_catalog_free(c);
    pg_catalog_free(none);
    pg_catalog_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(catalogs_differ_by_every_change_that_matters),
        cmocka_unit_test(catalogs_with_a_refreshed_materialized_view_are_not_the_same),
        cmocka_unit_test(catalogs_are_not_the_same_when_the_second_misses_something),
        cmocka_unit_test(catalogs_are_the_same_whatever_their_sizes),
        cmocka_unit_test(catalog_counts_parents_and_leaves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
