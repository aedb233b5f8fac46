/* common/escape.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "unescape.h"

static void assert_escaped(const char *name, const char *expected)
{
    char *escaped = escape_name(name), *back;

    assert_string_equal(escaped, expected);
    back = unescape(escaped);
    assert_non_null(back);
    assert_string_equal(back, name);
    free(escaped);
    free(back);
}

static void escape_leaves_ordinary_names_alone(void **state)
{
    (void)state;
    assert_escaped("orders", "orders");
    assert_escaped("Order Lines", "Order Lines");
    assert_escaped("a.b", "a.b");
    assert_escaped(".hidden", ".hidden");
    assert_escaped("...", "...");
    assert_escaped("größe-数量", "größe-数量");
    assert_escaped("\"quoted\"\\", "\"quoted\"\\");
}

static void escape_replaces_what_a_path_cannot_hold(void **state)
{
    (void)state;
    assert_escaped("a/b", "a%2Fb");
    assert_escaped("100%", "100%25");
    assert_escaped("%2F", "%252F");
    assert_escaped("two\nlines", "two%0Alines");
    assert_escaped("\x01\x1f\x7f", "%01%1F%7F");
}

static void escape_replaces_reserved_names(void **state)
{
    (void)state;
    assert_escaped("", "%");
    assert_escaped(".", "%2E");
    assert_escaped("..", "%2E%2E");
    assert_escaped(".asofs", "%2Easofs");
    assert_escaped(".asofs2", ".asofs2");
}

/* Coming back whole from every escaped name, no two names can have met. */
static void escape_is_injective_over_all_short_tricky_names(void **state)
{
    static const char letters[] = "%/.2EF\n\xc3";
    enum { LETTERS = sizeof(letters) - 1, LONGEST = 5 };
    size_t n, i, k, count;

    (void)state;
    for (n = 0, count = 1; n <= LONGEST; n++, count *= LETTERS) {
        for (i = 0; i < count; i++) {
            char name[LONGEST + 1] = "", *escaped, *back;
            size_t rest = i;

            for (k = 0; k < n; k++, rest /= LETTERS)
                name[k] = letters[rest % LETTERS];
            escaped = escape_name(name);
            back = unescape(escaped);
            assert_string_equal(back, name);
            assert_null(strpbrk(escaped, "/\n"));
            assert_true(*escaped && strcmp(escaped, ".") && strcmp(escaped, ".."));
            free(escaped);
            free(back);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escape_leaves_ordinary_names_alone),
        cmocka_unit_test(escape_replaces_what_a_path_cannot_hold),
        cmocka_unit_test(escape_replaces_reserved_names),
        cmocka_unit_test(escape_is_injective_over_all_short_tricky_names),
    };

    return cmocka_run_group_tests_name("common/escape", tests, NULL, NULL);
}
