/* extract/filter.h: row filters that may stand in a COPY. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "extract/filter.h"
#include "fixture.h"

static void filters_that_stay_within_their_parentheses_pass(void **state)
{
    static const char *const good[] = {
        "total > 0",
        "  total > 0\t",
        "(a or b) and ((c))",
        "name = 'it''s'",
        "name = '; -- /* */ $1 $$ ) ( \\'", /* a backslash is a character like any other */
        "name = E'it\\'s ) \\\\' or b",     /* here it is not */
        "name = e'\\'' or (b)",
        "'a'=E'\\')' and true",
        "someE'\\' and true", /* not the E of an escape string */
        "größeE'\\' and true",
        "\"odd ; name \"\" ) --\" > 5",
        "data->>'key' = '1' and tags @> '{a}'",
        "a = U&'d\\0061t\\+000061'",
        "a - 1 > b / c * d",
    };
    struct err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(good) / sizeof(*good); i++)
        if (filter_check(good[i], &err) != 0)
            fail_msg("%s: %s", good[i], err.text);
}

static void filters_that_reach_out_are_refused(void **state)
{
    static const struct {
        const char *filter, *why;
    } bad[] = {
        {"", "empty"},
        {" \t ", "empty"},
        {"true)) to program 'x' --", "closes a parenthesis"},
        {"a) or (b", "closes a parenthesis"},
        {")", "closes a parenthesis"},
        {"(a", "parenthesis that is not closed"},
        {"((a)", "parenthesis that is not closed"},
        {"a = '", "quote that is not closed"},
        {"a = 'b''", "quote that is not closed"},
        {"\"a = 1", "quote that is not closed"},
        {"E'\\'", "quote that is not closed"},
        {"a = E'\\' or true", "quote that is not closed"},
        {"(E'\\'", "quote that is not closed"},
        {"a -- b", "comment"},
        {"a --", "comment"},
        {"a /* b", "comment"},
        {"a */ b", "comment"},
        {"1--1", "comment"},
        {"a; drop table b", "semicolon"},
        {"$1", "dollar"},
        {"a = $$b$$", "dollar"},
        {"a = $x$)$x$", "dollar"},
        {"a \\ b", "backslash"},
        {"a\nb", "control"},
        {"a\rb", "control"},
        {"'a'\v'b'", "control"},
        {"a = \x01", "control"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct err err = {.text = "nothing"};

        if (filter_check(bad[i].filter, &err) != -EINVAL || !strstr(err.text, bad[i].why))
            fail_msg("%s: %s, wanted: %s", bad[i].filter, err.text, bad[i].why);
    }
}

/* Until 15, servers read a number in front of E'…' as just that: a number, and an escape string. */
static void filters_with_an_e_after_a_number_are_refused(void **state)
{
    static const char *const bad[] = {"a = 1E'\\' or ') --'", "a = 1e5E'\\' or ') --'",
                                      "a = .5e'\\' or ') --'"};
    struct err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (filter_check(bad[i], &err) == 0)
            fail_msg("passed: %s", bad[i]);
}

/* What passes is whole: it passes in parentheses too, and beside itself. */
static void filters_that_pass_can_stand_anywhere(void **state)
{
    static const char letters[] = "''''\"\"\"EE(())\\\\-/*;a $";
    uint64_t seed = 41;
    struct err err;
    int i, k, passed = 0;

    (void)state;
    for (i = 0; i < 200000; i++) {
        char filter[10] = "", twice[64];

        for (k = (int)fixture_random_below(&seed, sizeof(filter)); k > 0; k--)
            filter[k - 1] = letters[fixture_random_below(&seed, sizeof(letters) - 1)];
        if (filter_check(filter, &err) < 0)
            continue;
        snprintf(twice, sizeof(twice), "(%s) and ((%s))", filter, filter);
        if (filter_check(twice, &err) < 0)
            fail_msg("%s passes alone, but %s: %s", filter, twice, err.text);
        passed++;
    }
    assert_true(passed > 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_that_stay_within_their_parentheses_pass),
        cmocka_unit_test(filters_that_reach_out_are_refused),
        cmocka_unit_test(filters_with_an_e_after_a_number_are_refused),
        cmocka_unit_test(filters_that_pass_can_stand_anywhere),
    };

    return cmocka_run_group_tests_name("extract/filter", tests, NULL, NULL);
}
