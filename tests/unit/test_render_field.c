/* render/field.h: against a plain second writing of the rules, for texts of all lengths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "render/field.h"

static const struct render_style csv = {RENDER_CSV, false}, csv_alone = {RENDER_CSV, true},
                                 text = {RENDER_TEXT, false};

static void put_plainly_as_csv(bool alone, const char *s, size_t n, struct out *o)
{
    bool quoted = n == 0 || (alone && n == 2 && memcmp(s, "\\.", 2) == 0);
    size_t i;

    for (i = 0; i < n; i++)
        quoted = quoted || strchr(",\"\n\r", s[i] ? s[i] : 'x');
    if (quoted)
        out_putc(o, '"');
    for (i = 0; i < n; i++) {
        if (s[i] == '"')
            out_putc(o, '"');
        out_putc(o, s[i]);
    }
    if (quoted)
        out_putc(o, '"');
}

static void put_plainly_as_text(const char *s, size_t n, struct out *o)
{
    static const char special[] = "\b\f\n\r\t\v\\", letter[] = "bfnrtv\\";
    const char *found;
    size_t i;

    for (i = 0; i < n; i++) {
        found = s[i] ? strchr(special, s[i]) : NULL;
        if (found)
            out_putc(o, '\\');
        out_putc(o, found ? letter[found - special] : s[i]);
    }
}

static bool has_doubled(struct render_style style, const char *s, size_t n, unsigned *kinds)
{
    const uint8_t *all = render_field_kinds(style.format);
    size_t i;

    for (*kinds = 0, i = 0; i < n; i++)
        *kinds |= all[(unsigned char)s[i]];
    return *kinds & RENDER_BYTE_DOUBLED;
}

/* A field that is made where it stands, and its length by the kinds of its bytes. */
static void check_made(struct render_style style, const char *s, size_t n, const struct out *want)
{
    struct out made = {0}, aside = {0};
    unsigned kinds;
    size_t at;

    out_put(&made, "ab", 2);
    at = render_field_open(style, &made);
    out_put(&made, s, n);
    render_field_end(style, &made, at, &aside);
    assert_int_equal(made.n, want->n);
    assert_memory_equal(made.p, want->p, want->n);
    if (n > 2 && !has_doubled(style, s, n, &kinds))
        assert_int_equal(render_field_length_of_kinds(style, n, kinds), want->n - 2);
    out_free(&made);
    out_free(&aside);
}

/* All ways give the same; the text stands in memory of just its size. */
static void check_field(struct render_style style, const char *s, size_t n)
{
    struct out want = {0}, got = {0}, closed = {0}, aside = {0};
    char *exact = mem_alloc(n ? n : 1);

    memcpy(exact, s, n);
    out_put(&want, "ab", 2);
    if (style.format == RENDER_CSV)
        put_plainly_as_csv(style.alone, s, n, &want);
    else
        put_plainly_as_text(s, n, &want);
    out_put(&got, "ab", 2);
    render_field_put(style, exact, n, &got);
    out_put(&closed, "ab", 2);
    out_put(&closed, exact, n);
    render_field_close(style, &closed, 2, &aside);
    assert_int_equal(got.n, want.n);
    assert_memory_equal(got.p, want.p, want.n);
    assert_int_equal(closed.n, want.n);
    assert_memory_equal(closed.p, want.p, want.n);
    assert_int_equal(render_field_length(style, exact, n), want.n - 2);
    check_made(style, exact, n, &want);
    free(exact);
    out_free(&want);
    out_free(&got);
    out_free(&closed);
    out_free(&aside);
}

static void check_all(const char *s, size_t n)
{
    check_field(csv, s, n);
    check_field(csv_alone, s, n);
    check_field(text, s, n);
}

static void fields_are_as_copy_writes_them(void **state)
{
    static const struct {
        const char *text, *csv, *alone, *escaped;
    } cases[] = {
        {"", "\"\"", "\"\"", ""},
        {"plain text", "plain text", "plain text", "plain text"},
        {"a,b", "\"a,b\"", "\"a,b\"", "a,b"},
        {"say \"hi\"", "\"say \"\"hi\"\"\"", "\"say \"\"hi\"\"\"", "say \"hi\""},
        {"a\nb", "\"a\nb\"", "\"a\nb\"", "a\\nb"},
        {"a\rb", "\"a\rb\"", "\"a\rb\"", "a\\rb"},
        {"\\.", "\\.", "\"\\.\"", "\\\\."},
        {"\\N", "\\N", "\\N", "\\\\N"},
        {"\b\f\t\v", "\b\f\t\v", "\b\f\t\v", "\\b\\f\\t\\v"},
        {"\a\x0e\x1f\x7f", "\a\x0e\x1f\x7f", "\a\x0e\x1f\x7f", "\a\x0e\x1f\x7f"},
    };
    struct out o = {0};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check_all(cases[i].text, strlen(cases[i].text));
        o.n = 0;
        render_field_put(csv, cases[i].text, strlen(cases[i].text), &o);
        render_field_put(csv_alone, cases[i].text, strlen(cases[i].text), &o);
        render_field_put(text, cases[i].text, strlen(cases[i].text), &o);
        out_putc(&o, '\0');
        assert_memory_equal(o.p, cases[i].csv, strlen(cases[i].csv));
        assert_memory_equal(o.p + strlen(cases[i].csv), cases[i].alone, strlen(cases[i].alone));
        assert_string_equal(o.p + strlen(cases[i].csv) + strlen(cases[i].alone), cases[i].escaped);
    }
    out_free(&o);
}

/* One byte of every value at every place of texts of every length up to 50. */
static void every_byte_is_seen_everywhere(void **state)
{
    char s[50];
    size_t n, at;
    int c;

    (void)state;
    for (n = 1; n <= sizeof(s); n++) {
        for (at = 0; at < n; at++) {
            for (c = 0; c < 256; c += c < 128 && n < 35 ? 1 : 17) {
                memset(s, 'a', n);
                s[at] = (char)c;
                check_field(csv, s, n);
                check_field(text, s, n);
            }
        }
    }
}

static void many_specials_are_written(void **state)
{
    static const char letters[] = "\"\"\\\n,ab\t\rcdefg \xe9";
    unsigned seed = 7;
    char s[300];
    size_t n, i;
    int round;

    (void)state;
    for (round = 0; round < (getenv("UNDER_VALGRIND") ? 400 : 4000); round++) {
        n = (unsigned)rand_r(&seed) % sizeof(s);
        for (i = 0; i < n; i++)
            s[i] = letters[(unsigned)rand_r(&seed) % (round % 2 ? sizeof(letters) - 1 : 8)];
        check_all(s, n);
    }
}

static void null_is_no_text(void **state)
{
    (void)state;
    assert_int_equal(render_field_null_length(RENDER_CSV), 0);
    assert_int_equal(render_field_null_length(RENDER_TEXT), 2);
    assert_string_equal(RENDER_FIELD_NULL, "\\N");
    assert_int_equal(render_field_delimiter(RENDER_CSV), ',');
    assert_int_equal(render_field_delimiter(RENDER_TEXT), '\t');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_are_as_copy_writes_them),
        cmocka_unit_test(every_byte_is_seen_everywhere),
        cmocka_unit_test(many_specials_are_written),
        cmocka_unit_test(null_is_no_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
