/* pg/copysql.h: the text of statements. No server is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/copysql.h"
#include "pg/internal.h"
#include "pgexample.h"

static void assert_statement(struct pg_conn *conn, const struct pg_copy_source *s,
                             const char *expected)
{
    struct err err = {0};
    char *sql = NULL;

    assert_int_equal(pg_copy_sql(conn, s, &sql, &err), 0);
    assert_string_equal(sql, expected);
    free(sql);
}

static struct pg_copy_source source_of(const struct pg_table *t, const struct pg_relation *rel,
                                       enum pg_format format)
{
    return (struct pg_copy_source){
        .table = t, .rel = rel, .format = format, .header = true, .encoding = "UTF8"};
}

static void copy_of_a_plain_table_names_its_columns(void **state)
{
    struct pg_catalog *c = example_catalog();
    struct pg_table *t = &c->tables[0];
    struct pg_copy_source s = source_of(t, &t->rel, PG_FORMAT_CSV);

    assert_statement(*state, &s,
                     "COPY \"public\".\"items\" (\"id\", \"name\") TO STDOUT "
                     "(FORMAT csv, HEADER true, ENCODING 'UTF8')");
    s.header = false;
    assert_statement(*state, &s,
                     "COPY \"public\".\"items\" (\"id\", \"name\") TO STDOUT "
                     "(FORMAT csv, HEADER false, ENCODING 'UTF8')");
    s.format = PG_FORMAT_TEXT;
    assert_statement(*state, &s,
                     "COPY \"public\".\"items\" (\"id\", \"name\") TO STDOUT "
                     "(FORMAT text, ENCODING 'UTF8')");
    s.format = PG_FORMAT_BINARY;
    assert_statement(*state, &s,
                     "COPY \"public\".\"items\" (\"id\", \"name\") TO STDOUT "
                     "(FORMAT binary)");
    pg_catalog_free(c);
}

#define ITEMS_SELECT "COPY (SELECT \"id\", \"name\" FROM ONLY \"public\".\"items\" AS \"items\""

static void copy_of_a_block_range_selects_by_ctid(void **state)
{
    struct pg_catalog *c = example_catalog();
    struct pg_table *t = &c->tables[0];
    struct pg_copy_source s = source_of(t, &t->rel, PG_FORMAT_BINARY);

    s.range = (struct pg_copy_range){.from = 0, .until = 5};
    assert_statement(*state, &s,
                     ITEMS_SELECT " WHERE ctid >= '(0,0)' AND ctid < '(5,0)') "
                                  "TO STDOUT (FORMAT binary)");
    s.range = (struct pg_copy_range){.from = 5, .until = 4294967295};
    assert_statement(*state, &s,
                     ITEMS_SELECT " WHERE ctid >= '(5,0)' AND ctid < "
                                  "'(4294967295,0)') TO STDOUT (FORMAT binary)");
    s.range = (struct pg_copy_range){.from = 5};
    assert_statement(*state, &s, ITEMS_SELECT " WHERE ctid >= '(5,0)') TO STDOUT (FORMAT binary)");
    pg_catalog_free(c);
}

static void copy_with_a_filter_puts_it_in_parentheses(void **state)
{
    struct pg_catalog *c = example_catalog();
    struct pg_table *t = &c->tables[0];
    struct pg_copy_source s = source_of(t, &t->rel, PG_FORMAT_BINARY);

    t->filter = mem_strdup("a or b");
    assert_statement(*state, &s, ITEMS_SELECT " WHERE (a or b)) TO STDOUT (FORMAT binary)");
    s.range = (struct pg_copy_range){.from = 5, .until = 7};
    assert_statement(*state, &s,
                     ITEMS_SELECT " WHERE ctid >= '(5,0)' AND ctid < '(7,0)' AND (a or b)) "
                                  "TO STDOUT (FORMAT binary)");
    pg_catalog_free(c);
}

static void copy_selects_what_plain_copy_refuses(void **state)
{
    struct pg_catalog *c = example_catalog();
    struct pg_table *t = &c->tables[0], *p = &c->tables[1];
    struct pg_copy_source s = source_of(t, &t->rel, PG_FORMAT_BINARY);

    t->rel.kind = 'm';
    assert_statement(*state, &s, ITEMS_SELECT ") TO STDOUT (FORMAT binary)");
    t->rel.kind = 'r';
    t->columns[1].generated = true;
    assert_statement(*state, &s, ITEMS_SELECT ") TO STDOUT (FORMAT binary)");
    s = source_of(p, &p->leaves[0], PG_FORMAT_BINARY); /* has no columns */
    assert_statement(
        *state, &s,
        "COPY (SELECT  FROM ONLY \"public\".\"orders_1\" AS \"orders\") TO STDOUT (FORMAT binary)");
    pg_catalog_free(c);
}

static void columns_can_be_left_out(void **state)
{
    struct pg_catalog *c = example_catalog();
    struct pg_table *t = &c->tables[0];
    struct pg_copy_source s = source_of(t, &t->rel, PG_FORMAT_BINARY);
    bool skip[] = {false, true};

    t->columns[1].generated = true;
    s.skip = skip;
    assert_statement(*state, &s, "COPY \"public\".\"items\" (\"id\") TO STDOUT (FORMAT binary)");
    skip[0] = true;
    assert_statement(
        *state, &s,
        "COPY (SELECT  FROM ONLY \"public\".\"items\" AS \"items\") TO STDOUT (FORMAT binary)");
    pg_catalog_free(c);
}

static void copy_of_a_leaf_has_the_parent_s_columns(void **state)
{
    struct pg_catalog *c = example_catalog();
    struct pg_copy_source s = source_of(&c->tables[0], &c->tables[1].leaves[1], PG_FORMAT_BINARY);

    assert_statement(*state, &s,
                     "COPY \"public\".\"orders_2\" (\"id\", \"name\") TO STDOUT "
                     "(FORMAT binary)");
    pg_catalog_free(c);
}

static void statements_quote_every_name(void **state)
{
    struct pg_catalog *c = example_catalog();
    struct pg_table *t = &c->tables[0];
    struct pg_copy_source s = source_of(t, &t->rel, PG_FORMAT_TEXT);
    struct err err;
    char *sql;

    rename_to(&t->rel.schema, "my\"schema");
    rename_to(&t->rel.name, "x\"; DROP TABLE y; --");
    rename_to(&t->columns[0].name, "a\"b");
    s.encoding = "U'8";
    assert_statement(*state, &s,
                     "COPY \"my\"\"schema\".\"x\"\"; DROP TABLE y; --\" (\"a\"\"b\", \"name\") "
                     "TO STDOUT (FORMAT text, ENCODING 'U''8')");
    assert_int_equal(pg_lock_nowait_sql(*state, &t->rel, &sql, &err), 0);
    assert_string_equal(sql, "LOCK TABLE ONLY \"my\"\"schema\".\"x\"\"; DROP TABLE y; --\" "
                             "IN ACCESS SHARE MODE NOWAIT");
    free(sql);
    pg_catalog_free(c);
}

static void formats_have_names_and_extensions(void **state)
{
    (void)state;
    assert_string_equal(pg_format_name(PG_FORMAT_CSV), "csv");
    assert_string_equal(pg_format_name(PG_FORMAT_TEXT), "text");
    assert_string_equal(pg_format_name(PG_FORMAT_BINARY), "binary");
    assert_string_equal(pg_format_extension(PG_FORMAT_CSV), ".csv");
    assert_string_equal(pg_format_extension(PG_FORMAT_TEXT), ".txt");
    assert_string_equal(pg_format_extension(PG_FORMAT_BINARY), ".bin");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_have_names_and_extensions),
        WITH_CONNECTION(copy_of_a_plain_table_names_its_columns),
        WITH_CONNECTION(copy_of_a_block_range_selects_by_ctid),
        WITH_CONNECTION(copy_with_a_filter_puts_it_in_parentheses),
        WITH_CONNECTION(copy_selects_what_plain_copy_refuses),
        WITH_CONNECTION(columns_can_be_left_out),
        WITH_CONNECTION(copy_of_a_leaf_has_the_parent_s_columns),
        WITH_CONNECTION(statements_quote_every_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
