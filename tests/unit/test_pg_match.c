/* pg/match.h: what patterns match, and which of them are left to the server. (Against a server: tests/mount/memory.test.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pg/match.h"
#include "pg/pattern.h"

static bool can(const char *text)
{
    struct pg_pattern p;
    struct err err;
    bool yes;

    assert_int_equal(pg_pattern_parse(text, &p, &err), 0);
    yes = pg_match_can(p.name);
    pg_pattern_free(&p);
    return yes;
}

static bool matches(const char *text, const char *name, bool bytes)
{
    struct pg_pattern p;
    struct err err;
    bool yes;

    assert_int_equal(pg_pattern_parse(text, &p, &err), 0);
    assert_true(pg_match_can(p.name));
    yes = pg_match(p.name, name, bytes);
    pg_pattern_free(&p);
    return yes;
}

static void what_is_plain_is_matched_here(void **state)
{
    static const char *const plain[] = {"orders", "o*s?",     "*",     "\"a|b(c)[d]{e}\\f^g+h\"",
                                        "a$b",    "\"*?.$\"", "größe", "[]"};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(plain) / sizeof(*plain); i++)
        assert_true(can(plain[i]));
}

static void what_is_a_regular_expression_is_not(void **state)
{
    static const char *const regexes[] = {"a|b", "ab+", "(a)", "[ab]", "a{2}", "^a",  "a\\b",
                                          "a\\", "\\*", "*+",  "?+",   "a[^]", "\\d", "**+"};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(regexes) / sizeof(*regexes); i++)
        assert_false(can(regexes[i]));
    assert_false(pg_match_can(""));
    assert_false(pg_match_can("^("));
    assert_false(pg_match_can("^()"));
    assert_false(pg_match_can("a"));
}

static void a_whole_name_is_matched(void **state)
{
    (void)state;
    assert_true(matches("orders", "orders", false));
    assert_true(matches("ORDERS", "orders", false));
    assert_false(matches("orders", "Orders", false));
    assert_false(matches("order", "orders", false));
    assert_false(matches("orders", "order", false));
    assert_true(matches("\"a.b*\"", "a.b*", false));
    assert_false(matches("\"a.b*\"", "axb", false));
    assert_true(matches("a[]b", "a[]b", false));
}

static void wildcards_take_what_they_can(void **state)
{
    (void)state;
    assert_true(matches("*", "", false));
    assert_true(matches("*", "x\ny", false));
    assert_false(matches("?", "", false));
    assert_true(matches("a*b*c", "abbbcbc", false));
    assert_false(matches("a*b*c", "abbbcb", false));
    assert_true(matches("*ab", "aab", false));
    assert_true(matches("*a?", "aaa", false));
    assert_false(matches("*a?", "a", false));
    assert_true(matches("**x**", "x", false));
    assert_true(matches("*aaaaaaaaaaaaab", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", false));
}

static void a_character_is_one_whatever_its_bytes(void **state)
{
    (void)state;
    assert_true(matches("gr??e", "größe", false));
    assert_false(matches("gr???e", "größe", false));
    assert_true(matches("gr????e", "größe", true));
    assert_true(matches("*?e", "größe", false));
    assert_true(matches("?", "漢", false));
    assert_true(matches("???", "漢", true));
    assert_true(matches("?", "\xe6", false)); /* half of one */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_plain_is_matched_here),
        cmocka_unit_test(what_is_a_regular_expression_is_not),
        cmocka_unit_test(a_whole_name_is_matched),
        cmocka_unit_test(wildcards_take_what_they_can),
        cmocka_unit_test(a_character_is_one_whatever_its_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
