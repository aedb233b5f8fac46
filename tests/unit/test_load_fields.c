/* load/fields: what stays of a file when columns are dropped, cut anywhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "load/fields.h"

#define MOST 5

static uint64_t seed = 20261128;

/* xorshift: the same numbers on every machine. */
static uint32_t random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)((seed >> 8) % n);
}

static int put_cut(struct fields *f, const char *bytes, size_t len, struct buf *out,
                   struct err *err)
{
    size_t at = 0, n;
    int rc = 0;

    while (at < len && rc == 0) {
        n = 1 + random_below(7);
        if (n > len - at)
            n = len - at;
        rc = fields_put(f, bytes + at, n, out, err);
        at += n;
    }
    return rc;
}

/* The result of a whole stream, or the code of its failure. */
static int run(enum pg_format format, const bool *drop, size_t n, const char *in, size_t len,
               struct buf *out)
{
    struct fields *f = fields_new(format, drop, n, len >= 4 && memcmp(in, "PGCO", 4) == 0);
    struct err err;
    int rc = put_cut(f, in, len, out, &err);

    if (rc == 0)
        rc = fields_end(f, &err);
    fields_free(f);
    return rc;
}

static void expect(enum pg_format format, const bool *drop, size_t n, const char *in,
                   const char *wanted)
{
    struct buf out = {0};

    assert_int_equal(run(format, drop, n, in, strlen(in), &out), 0);
    assert_string_equal(out.data ? out.data : "", wanted);
    buf_free(&out);
}

static void csv(void **state)
{
    const bool middle[] = {false, true, false}, first[] = {true, false}, last[] = {false, true};

    (void)state;
    expect(PG_FORMAT_CSV, middle, 3, "a,b,c\n1,2,3\n", "a,c\n1,3\n");
    expect(PG_FORMAT_CSV, middle, 3, "\"a,\n\"\"\",\"b\n,\",\n,,\n", "\"a,\n\"\"\",\n,\n");
    expect(PG_FORMAT_CSV, first, 2, ",x\ny,\n,\n\"\",\"\"\n", "x\n\n\n\"\"\n");
    expect(PG_FORMAT_CSV, last, 2, "x,\n,y\n", "x\n\n");
    expect(PG_FORMAT_CSV, last, 2, "", "");
}

/* What stood between other columns would end the data when it stands alone. */
static void csv_end_mark(void **state)
{
    const bool first[] = {true, false}, middle[] = {false, true, false};

    (void)state;
    expect(PG_FORMAT_CSV, first, 2, "1,\\.\n2,\\\n", "\"\\.\"\n\"\\\"\n");
    expect(PG_FORMAT_CSV, middle, 3, "\\.,1,\\.\n", "\\.,\\.\n");
}

static void text(void **state)
{
    const bool middle[] = {false, true, false}, first[] = {true, false};

    (void)state;
    expect(PG_FORMAT_TEXT, middle, 3, "a\tb\tc\n\\N\t\t\"\n", "a\tc\n\\N\t\"\n");
    expect(PG_FORMAT_TEXT, first, 2, "1\t\\\\.\n2\t\n", "\\\\.\n\n");
}

static void wrong_counts(void **state)
{
    const bool drop[] = {false, true};
    struct buf out = {0};

    (void)state;
    assert_int_equal(run(PG_FORMAT_CSV, drop, 2, "a,b\nc\n", 6, &out), -EINVAL);
    assert_int_equal(run(PG_FORMAT_CSV, drop, 2, "a,b,c\n", 6, &out), -EINVAL);
    assert_int_equal(run(PG_FORMAT_CSV, drop, 2, "a,b", 3, &out), -EINVAL);
    assert_int_equal(run(PG_FORMAT_CSV, drop, 2, "a", 1, &out), -EINVAL);
    assert_int_equal(run(PG_FORMAT_CSV, drop, 2, "\"", 1, &out), -EINVAL);
    assert_int_equal(run(PG_FORMAT_TEXT, drop, 2, "a\n", 2, &out), -EINVAL);
    assert_int_equal(run(PG_FORMAT_BINARY, drop, 2, "\0\1\0\0\0\0", 6, &out), -EINVAL);
    assert_int_equal(run(PG_FORMAT_BINARY, drop, 2, "\0\2\0\0\0", 5, &out), -EINVAL);
    assert_int_equal(run(PG_FORMAT_BINARY, drop, 2, "\0\2\x80\0\0\0", 6, &out), -EINVAL);
    assert_int_equal(run(PG_FORMAT_BINARY, drop, 2, "\xff\xff\0", 3, &out), -EINVAL);
    assert_int_equal(run(PG_FORMAT_BINARY, drop, 2, "\xff\xff", 2, &out), 0);
    buf_free(&out);
}

/* ---- at random: a row is written twice, once with all its fields ---- */

static void put_text_field(struct buf *b, enum pg_format format)
{
    static const char *const csv_fields[] = {"", "1", "\"\"", "\"a,b\"", "\"\n\"", "x\"\"y", "\\N"};
    static const char *const text_fields[] = {"", "1", "\\N", "\\t\\n", "\"", ",", "a,b"};

    buf_puts(b,
             format == PG_FORMAT_CSV ? csv_fields[random_below(7)] : text_fields[random_below(7)]);
}

static void put_binary_field(struct buf *b)
{
    static const char bytes[] = "\xff\xff\0\0\2abc";
    uint32_t len = random_below(9);

    if (len == 8) {
        buf_put(b, "\xff\xff\xff\xff", 4);
        return;
    }
    buf_put(b, "\0\0\0", 3);
    buf_putc(b, (char)len);
    buf_put(b, bytes, len);
}

static void put_field(struct buf *b, enum pg_format format)
{
    if (format == PG_FORMAT_BINARY)
        put_binary_field(b);
    else
        put_text_field(b, format);
}

static void begin_row(struct buf *b, enum pg_format format, size_t n)
{
    if (format != PG_FORMAT_BINARY)
        return;
    buf_putc(b, 0);
    buf_putc(b, (char)n);
}

static void put_row(enum pg_format format, const bool *drop, size_t n, size_t kept, struct buf *in,
                    struct buf *wanted)
{
    char separator = format == PG_FORMAT_CSV ? ',' : '\t';
    size_t i, done = 0;

    begin_row(in, format, n);
    begin_row(wanted, format, kept);
    for (i = 0; i < n; i++) {
        struct buf field = {0};

        put_field(&field, format);
        if (i && format != PG_FORMAT_BINARY)
            buf_putc(in, separator);
        buf_put(in, field.data, field.len);
        if (!drop[i] && done++ && format != PG_FORMAT_BINARY)
            buf_putc(wanted, separator);
        if (!drop[i])
            buf_put(wanted, field.data, field.len);
        buf_free(&field);
    }
    if (format != PG_FORMAT_BINARY) {
        buf_putc(in, '\n');
        buf_putc(wanted, '\n');
    }
}

static void put_binary_header(struct buf *b)
{
    buf_put(b, "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\3ext", PG_BINARY_HEADER + 3);
}

static void round_of(enum pg_format format)
{
    struct buf in = {0}, wanted = {0}, out = {0};
    size_t n = 2 + random_below(MOST - 1), kept = 0, i;
    bool drop[MOST] = {false};
    uint32_t rows = random_below(6);

    for (i = 0; i < n; i++)
        drop[i] = random_below(2);
    drop[random_below((uint32_t)n)] = drop[0] = false; /* two stay, mostly: no quotes are added */
    for (i = 0; i < n; i++)
        kept += !drop[i];
    if (format == PG_FORMAT_BINARY && random_below(2)) {
        put_binary_header(&in);
        put_binary_header(&wanted);
    }
    for (i = 0; i < rows; i++)
        put_row(format, drop, n, kept, &in, &wanted);
    if (format == PG_FORMAT_BINARY && random_below(2)) {
        buf_put(&in, "\xff\xff", 2);
        buf_put(&wanted, "\xff\xff", 2);
    }
    if (kept > 1 || format != PG_FORMAT_CSV) {
        assert_int_equal(run(format, drop, n, in.data ? in.data : "", in.len, &out), 0);
        assert_int_equal(out.len, wanted.len);
        if (out.len)
            assert_memory_equal(out.data, wanted.data, out.len);
    }
    buf_free(&in);
    buf_free(&wanted);
    buf_free(&out);
}

static void at_random(void **state)
{
    int i;

    (void)state;
    for (i = 0; i < 6000; i++)
        round_of((enum pg_format)(i % 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(csv),          cmocka_unit_test(csv_end_mark), cmocka_unit_test(text),
        cmocka_unit_test(wrong_counts), cmocka_unit_test(at_random),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
