/* pg/pattern.h: what is written for a table, and as what a table is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/pattern.h"

static void assert_pattern(const char *text, const char *schema, const char *name, bool exact)
{
    struct pg_pattern p;
    struct err err;

    assert_int_equal(pg_pattern_parse(text, &p, &err), 0);
    assert_string_equal(p.text, text);
    if (schema)
        assert_string_equal(p.schema, schema);
    else
        assert_null(p.schema);
    assert_string_equal(p.name, name);
    assert_int_equal(p.exact, exact);
    pg_pattern_free(&p);
}

static void pattern_folds_letters_outside_quotes(void **state)
{
    (void)state;
    assert_pattern("orders", NULL, "^(orders)$", true);
    assert_pattern("Orders_2", NULL, "^(orders_2)$", true);
    assert_pattern("\"Orders\"", NULL, "^(Orders)$", true);
    assert_pattern("Or\"DER\"s", NULL, "^(orDERs)$", true);
    assert_pattern("größe", NULL, "^(größe)$", true);
}

static void pattern_separates_the_schema(void **state)
{
    (void)state;
    assert_pattern("Sales.Orders", "^(sales)$", "^(orders)$", true);
    assert_pattern("\"a.b\".\"c.d\"", "^(a\\.b)$", "^(c\\.d)$", true);
    assert_pattern("*.orders", "^(.*)$", "^(orders)$", false);
    assert_pattern("\"\"\"\".x", "^(\")$", "^(x)$", true);
}

static void pattern_wildcards_are_those_of_psql(void **state)
{
    (void)state;
    assert_pattern("*", NULL, "^(.*)$", false);
    assert_pattern("o*s?", NULL, "^(o.*s.)$", false);
    assert_pattern("\"o*s?\"", NULL, "^(o\\*s\\?)$", true);
    assert_pattern("public.*", "^(public)$", "^(.*)$", false);
}

static void pattern_takes_a_dollar_for_a_letter(void **state)
{
    (void)state;
    assert_pattern("a$b", NULL, "^(a\\$b)$", true);
    assert_pattern("\"a$b\"", NULL, "^(a\\$b)$", true);
}

static void pattern_keeps_other_regular_expressions(void **state)
{
    (void)state;
    assert_pattern("t[0-9]+", NULL, "^(t[0-9]+)$", false);
    assert_pattern("(a|b)", NULL, "^((a|b))$", false);
    assert_pattern("a{2}", NULL, "^(a{2})$", false);
    assert_pattern("^a\\d", NULL, "^(^a\\d)$", false);
}

static void pattern_takes_empty_brackets_for_an_array(void **state)
{
    (void)state;
    assert_pattern("a[]", NULL, "^(a\\[\\])$", true);
    assert_pattern("[]a", NULL, "^(\\[\\]a)$", true);
}

static void pattern_quotes_every_special_character_in_quotes(void **state)
{
    (void)state;
    assert_pattern("\"|*+?()[]{}.^$\\\"", NULL, "^(\\|\\*\\+\\?\\(\\)\\[\\]\\{\\}\\.\\^\\$\\\\)$",
                   true);
}

static void pattern_doubled_quotes_are_quotes(void **state)
{
    (void)state;
    assert_pattern("\"say \"\"Hi\"\"\"", NULL, "^(say \"Hi\")$", true);
    assert_pattern("\"a\"\"b\"", NULL, "^(a\"b)$", true);
    assert_pattern("\"\"a", NULL, "^(a)$", true);
    assert_pattern("\"A\"\"\".x", "^(A\")$", "^(x)$", true);
}

static void assert_pattern_refused(const char *text, const char *why)
{
    struct pg_pattern p;
    struct err err = {0};

    assert_int_equal(pg_pattern_parse(text, &p, &err), -EINVAL);
    if (!strstr(err.text, why))
        fail_msg("pattern %s: \"%s\" does not say \"%s\"", text, err.text, why);
    assert_null(p.text);
    assert_null(p.schema);
    assert_null(p.name);
}

static void pattern_refusals_say_why(void **state)
{
    (void)state;
    assert_pattern_refused("", "missing");
    assert_pattern_refused("\"\"", "missing");
    assert_pattern_refused(".", "missing");
    assert_pattern_refused(".orders", "missing");
    assert_pattern_refused("sales.", "missing");
    assert_pattern_refused("sales..orders", "missing");
    assert_pattern_refused("sales.\"\"", "missing");
    assert_pattern_refused("db.sales.orders", "too many parts");
    assert_pattern_refused("a.b.", "too many parts");
    assert_pattern_refused("*.*.*", "too many parts");
    assert_pattern_refused("\"orders", "not closed");
    assert_pattern_refused("\"", "not closed");
    assert_pattern_refused("\"a\"\"", "not closed");
    assert_pattern_refused("sales.\"orders", "not closed");
    assert_pattern_refused("\"sales.orders", "not closed");
}

static void assert_written(const char *schema, const char *name, const char *pattern)
{
    char *text = pg_pattern_of(schema, name), *quoted = mem_printf("\"%s\".\"%s\"", schema, name);
    struct pg_pattern p, q;
    struct err err;

    assert_string_equal(text, pattern);
    assert_int_equal(pg_pattern_parse(text, &p, &err), 0);
    assert_true(p.exact);
    if (!strchr(name, '"')) { /* the same as with quotes around all of it */
        assert_int_equal(pg_pattern_parse(quoted, &q, &err), 0);
        assert_string_equal(p.schema, q.schema);
        assert_string_equal(p.name, q.name);
        pg_pattern_free(&q);
    }
    pg_pattern_free(&p);
    free(quoted);
    free(text);
}

static void a_table_is_written_as_the_pattern_that_names_it(void **state)
{
    (void)state;
    assert_written("public", "orders_2", "public.orders_2");
    assert_written("public", "Orders", "public.\"Orders\"");
    assert_written("a.b", "c d", "\"a.b\".\"c d\"");
    assert_written("public", "o*s?", "public.\"o*s?\"");
    assert_written("_x", "a$b", "_x.\"a$b\"");
    assert_written("größe", "1st", "größe.\"1st\"");
    assert_written("public", "!x", "public.\"!x\"");
    assert_written("public", "say \"Hi\"", "public.\"say \"\"Hi\"\"\"");
    assert_written("public", "|+()[]{}^\\", "public.\"|+()[]{}^\\\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pattern_folds_letters_outside_quotes),
        cmocka_unit_test(pattern_separates_the_schema),
        cmocka_unit_test(pattern_wildcards_are_those_of_psql),
        cmocka_unit_test(pattern_takes_a_dollar_for_a_letter),
        cmocka_unit_test(pattern_keeps_other_regular_expressions),
        cmocka_unit_test(pattern_takes_empty_brackets_for_an_array),
        cmocka_unit_test(pattern_quotes_every_special_character_in_quotes),
        cmocka_unit_test(pattern_doubled_quotes_are_quotes),
        cmocka_unit_test(pattern_refusals_say_why),
        cmocka_unit_test(a_table_is_written_as_the_pattern_that_names_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
