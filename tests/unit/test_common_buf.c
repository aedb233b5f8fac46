/* common/buf.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"

static void buf_is_always_a_string(void **state)
{
    struct buf b = {0};
    int i;

    (void)state;
    for (i = 0; i < 1000; i++) {
        buf_putc(&b, 'x');
        assert_int_equal(b.len, i + 1);
        assert_int_equal(b.data[b.len], '\0');
    }
    buf_clear(&b);
    assert_int_equal(b.len, 0);
    assert_string_equal(b.data, "");
    buf_printf(&b, "%s-%d", "a", 5);
    assert_string_equal(b.data, "a-5");
    buf_free(&b);
    assert_null(b.data);
}

static void buf_printf_grows_as_needed(void **state)
{
    struct buf b = {0};
    int i;

    (void)state;
    for (i = 0; i < 200; i++) {
        buf_clear(&b);
        buf_printf(&b, "%0*d", i + 1, 0);
        assert_int_equal(strlen(b.data), i + 1);
    }
    buf_free(&b);
}

static void buf_steal_leaves_an_empty_buffer(void **state)
{
    struct buf b = {0};
    char *s;

    (void)state;
    s = buf_steal(&b);
    assert_string_equal(s, "");
    free(s);
    buf_puts(&b, "text");
    s = buf_steal(&b);
    assert_string_equal(s, "text");
    assert_int_equal(b.len, 0);
    assert_null(b.data);
    free(s);
}

static void put_example(struct buf *b)
{
    buf_put_u32(b, 0xdeadbeef);
    buf_put_str(b, "name");
    buf_put_u64(b, UINT64_MAX - 1);
    buf_put_str(b, NULL);
    buf_put_str(b, "");
}

static bool get_example(struct reader *r)
{
    bool ok = reader_u32(r) == 0xdeadbeef;
    char *name = reader_str(r), *null, *empty;

    ok &= reader_u64(r) == UINT64_MAX - 1;
    null = reader_str(r);
    empty = reader_str(r);
    ok &= strcmp(name, "name") == 0 && !*null && !*empty;
    free(name);
    free(null);
    free(empty);
    return ok && reader_done(r);
}

static void reader_gets_what_was_put(void **state)
{
    struct buf b = {0};
    struct reader r;

    (void)state;
    put_example(&b);
    r = (struct reader){.p = b.data, .left = b.len};
    assert_true(get_example(&r));
    buf_free(&b);
}

static void reader_notices_every_truncation(void **state)
{
    struct buf b = {0};
    size_t n;

    (void)state;
    put_example(&b);
    for (n = 0; n < b.len; n++) {
        char *exact = mem_array(n, 1); /* so that the sanitizer sees a read beyond it */
        struct reader r = {.p = exact, .left = n};

        memcpy(exact, b.data, n);
        assert_false(get_example(&r));
        assert_true(r.bad);
        free(exact);
    }
    buf_free(&b);
}

static void reader_is_not_done_with_bytes_left(void **state)
{
    struct reader r = {.p = "\0\0\0\0x", .left = 5};

    (void)state;
    assert_int_equal(reader_u32(&r), 0);
    assert_false(reader_done(&r));
    assert_false(r.bad);
}

static void reader_stays_bad_and_gives_nothing(void **state)
{
    struct reader r = {.p = "\1\0\0", .left = 3};
    char *s;

    (void)state;
    assert_int_equal(reader_u32(&r), 0);
    r.p = "\1\0\0\0\0\0\0\0";
    r.left = 8;
    assert_int_equal(reader_u64(&r), 0);
    assert_int_equal(reader_u32(&r), 0);
    s = reader_str(&r);
    assert_string_equal(s, "");
    assert_false(reader_done(&r));
    free(s);
}

static void reader_refuses_lengths_beyond_the_end(void **state)
{
    static const uint32_t lengths[] = {4, 5, 0x7fffffff, 0x80000000, UINT32_MAX - 4, UINT32_MAX};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
        struct buf b = {0};
        struct reader r;
        char *s;

        buf_put_u32(&b, lengths[i]);
        buf_puts(&b, "abc");
        r = (struct reader){.p = b.data, .left = b.len};
        s = reader_str(&r);
        assert_string_equal(s, "");
        assert_true(r.bad);
        free(s);
        buf_free(&b);
    }
}

static void reader_refuses_a_nul_inside_a_string(void **state)
{
    struct buf b = {0};
    struct reader r;
    char *s;

    (void)state;
    buf_put_u32(&b, 3);
    buf_put(&b, "a\0b", 3);
    r = (struct reader){.p = b.data, .left = b.len};
    s = reader_str(&r);
    assert_string_equal(s, "");
    assert_true(r.bad);
    free(s);
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf_is_always_a_string),
        cmocka_unit_test(buf_printf_grows_as_needed),
        cmocka_unit_test(buf_steal_leaves_an_empty_buffer),
        cmocka_unit_test(reader_gets_what_was_put),
        cmocka_unit_test(reader_notices_every_truncation),
        cmocka_unit_test(reader_is_not_done_with_bytes_left),
        cmocka_unit_test(reader_stays_bad_and_gives_nothing),
        cmocka_unit_test(reader_refuses_lengths_beyond_the_end),
        cmocka_unit_test(reader_refuses_a_nul_inside_a_string),
    };

    return cmocka_run_group_tests_name("common/buf", tests, NULL, NULL);
}
