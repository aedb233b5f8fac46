/* common/printable.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/printable.h"

static void assert_shown(const char *text, const char *want)
{
    struct buf b = {0};

    printable_put(&b, text, "  ");
    assert_string_equal(b.data, want);
    buf_free(&b);
}

static void what_is_harmless_is_shown_as_it_is(void **state)
{
    (void)state;
    assert_shown("", "");
    assert_shown("a \"b\"\t\\x1b \xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\x98",
                 "a \"b\"\t\\x1b \xc3\xa4 \xe2\x82\xac \xf0\x9f\x90\x98");
    assert_shown("one\ntwo\n three\n\nfour\n", "one\n  two\n three\n\n  four\n");
}

static void what_moves_the_cursor_is_escaped(void **state)
{
    (void)state;
    assert_shown("\x1b[2J\r\x07\x7f\x01", "\\x1b[2J\\x0d\\x07\\x7f\\x01");
    assert_shown("\xc2\x9b"
                 "31m",
                 "\\xc2\\x9b31m");
    assert_shown("\xe2\x80\xae"
                 "fdp\xe2\x81\xa6\xe2\x80\xa8",
                 "\\xe2\\x80\\xaefdp\\xe2\\x81\\xa6\\xe2\\x80\\xa8");
}

static void what_is_no_utf8_is_escaped(void **state)
{
    (void)state;
    assert_shown("\xff\xfe", "\\xff\\xfe");
    assert_shown("M\xfcller", "M\\xfcller");
    assert_shown("\xc3", "\\xc3");
    assert_shown("\xe2\x82", "\\xe2\\x82");
    assert_shown("\xc0\x8a\xe0\x80\x8a", "\\xc0\\x8a\\xe0\\x80\\x8a");
    assert_shown("\xed\xa0\x80", "\\xed\\xa0\\x80");
    assert_shown("\xf4\x90\x80\x80\xf8", "\\xf4\\x90\\x80\\x80\\xf8");
    assert_shown("\x80"
                 "a",
                 "\\x80"
                 "a");
}

static void what_is_printed_is_printable(void **state)
{
    FILE *saved = stdout;
    char *text = NULL;
    size_t n;
    int rc;

    (void)state;
    stdout = open_memstream(&text, &n);
    rc = printable_out("%s of %d\n", "\x1b[2Jerp", 7);
    fclose(stdout);
    stdout = saved;
    assert_true(rc >= 0);
    assert_string_equal(text, "\\x1b[2Jerp of 7\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_harmless_is_shown_as_it_is),
        cmocka_unit_test(what_moves_the_cursor_is_escaped),
        cmocka_unit_test(what_is_no_utf8_is_escaped),
        cmocka_unit_test(what_is_printed_is_printable),
    };

    return cmocka_run_group_tests_name("common/printable", tests, NULL, NULL);
}
