/* common/csv.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/csv.h"
#include "common/mem.h"
#include "fixture.h"

static void assert_csv(const char *field, const char *expected)
{
    struct buf b = {0};

    buf_putc(&b, '|');
    csv_put_field(&b, field);
    assert_string_equal(b.data + 1, expected);
    buf_free(&b);
}

static void csv_quotes_only_what_it_must(void **state)
{
    (void)state;
    assert_csv(NULL, "");
    assert_csv("", "");
    assert_csv("plain text", "plain text");
    assert_csv("tab\tand ; and '", "tab\tand ; and '");
    assert_csv("a,b", "\"a,b\"");
    assert_csv("a\nb", "\"a\nb\"");
    assert_csv("a\rb", "\"a\rb\"");
    assert_csv("\"", "\"\"\"\"");
    assert_csv("say \"hi\", twice", "\"say \"\"hi\"\", twice\"");
}

/* The records of a text as "field|field|;", and what ended the reading. */
static int read_records(const char *text, size_t len, struct buf *out, int max)
{
    char *exact = mem_array(len, 1); /* so that the sanitizer sees a read beyond it */
    const char *p = exact, *end = exact + len;
    char *fields[4];
    int n, i;

    memcpy(exact, text, len);
    while ((n = csv_read_record(&p, end, fields, max)) > 0) {
        for (i = 0; i < n; i++) {
            buf_printf(out, "%s|", fields[i]);
            free(fields[i]);
        }
        buf_putc(out, ';');
    }
    assert_true(n < 0 || p == end);
    free(exact);
    return n;
}

static void assert_records(const char *text, const char *expected)
{
    struct buf b = {0};

    buf_puts(&b, "");
    if (read_records(text, strlen(text), &b, 4) != 0)
        fail_msg("refused: %s", text);
    assert_string_equal(b.data, expected);
    buf_free(&b);
}

static void csv_reads_records(void **state)
{
    (void)state;
    assert_records("", "");
    assert_records("a,b\n", "a|b|;");
    assert_records("a,b", "a|b|;");
    assert_records("a,b\r\nc,d\r\n", "a|b|;c|d|;");
    assert_records("a,b\r", "a|b|;");
    assert_records("\n", "|;");
    assert_records(",\n,,\n", "||;|||;");
    assert_records("a,\n", "a||;");
    assert_records("\"a,b\",\"c\nd\"\n", "a,b|c\nd|;");
    assert_records("\"say \"\"hi\"\"\",\"\"\n", "say \"hi\"||;");
    assert_records("in\"side,b\n", "in\"side|b|;");
    assert_records("\"a\"", "a|;");
}

static void csv_refuses_damaged_records(void **state)
{
    static const char *const bad[] = {"\"open",      "\"open\"\"", "a,\"open\n",
                                      "\"a\"b\n",    "\"a\" ,b\n", "a\rb\n",
                                      "1,2,3,4,5\n", "1,2,3,4,\n", "\""};
    struct buf b = {0};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (read_records(bad[i], strlen(bad[i]), &b, 4) != -EINVAL)
            fail_msg("taken for CSV: %s", bad[i]);
    assert_int_equal(b.len, 0);
    assert_int_equal(read_records("a\0b\n", 4, &b, 4), -EINVAL);
    buf_free(&b);
}

/* Three random fields: as CSV, and as read_records shows them. */
static void put_random_record(uint64_t *seed, struct buf *written, struct buf *shown)
{
    static const char letters[] = "ab,\"\n\r '|";
    int i, k;

    for (i = 0; i < 3; i++) {
        char field[8] = "";

        for (k = (int)fixture_random_below(seed, sizeof(field)); k > 0; k--)
            field[k - 1] = letters[fixture_random_below(seed, sizeof(letters) - 1)];
        buf_printf(shown, "%s|", field);
        csv_put_field(written, field);
        buf_putc(written, i < 2 ? ',' : '\n');
    }
    buf_putc(shown, ';');
}

static void csv_reads_what_it_wrote(void **state)
{
    uint64_t seed = 3;
    int round;

    (void)state;
    for (round = 0; round < 3000; round++) {
        struct buf written = {0}, expected = {0}, got = {0};

        put_random_record(&seed, &written, &expected);
        assert_int_equal(read_records(written.data, written.len, &got, 4), 0);
        assert_string_equal(got.data, expected.data);
        buf_free(&written);
        buf_free(&expected);
        buf_free(&got);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv_quotes_only_what_it_must),
        cmocka_unit_test(csv_reads_records),
        cmocka_unit_test(csv_refuses_damaged_records),
        cmocka_unit_test(csv_reads_what_it_wrote),
    };

    return cmocka_run_group_tests_name("common/csv", tests, NULL, NULL);
}
