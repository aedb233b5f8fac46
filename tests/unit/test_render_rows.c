/* render/rows.h: pages made by hand. Each is written and measured, in one go and in parts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "render/rows.h"
#include "rowspage.h"

static const struct render_settings settings;

/* A table: number, words, number, words, in brackets. */
static struct render_attribute five[] = {
    {&rowspage_number, 4, 'i', NULL},    {&rowspage_words, -1, 'i', NULL},
    {&rowspage_number, 4, 'i', NULL},    {&rowspage_words, -1, 'i', NULL},
    {&rowspage_brackets, -1, 'i', NULL},
};
static const uint16_t in_order[] = {0, 1, 2, 3, 4}, turned[] = {4, 0, 3, 1}, some[] = {1, 3},
                      one[] = {1}, last[] = {4};

struct table {
    struct render_relation r;
    struct render_work w;
    char page[RENDER_BLOCK];
    struct out o;
};

static int begin(void **state)
{
    struct table *t = calloc(1, sizeof(*t));

    render_work_init(&t->w, &settings);
    t->r = (struct render_relation){
        .attributes = five, .nattributes = 5, .columns = in_order, .ncolumns = 5};
    t->r.xacts = rowspage_xacts();
    rowspage_clear(t->page);
    *state = t;
    return 0;
}

static int end(void **state)
{
    struct table *t = *state;

    render_xacts_free(t->r.xacts);
    render_work_free(&t->w);
    out_free(&t->o);
    free(t);
    return 0;
}

static void add_row(struct table *t, int32_t a, const char *b, int32_t c, const char *d,
                    const char *e)
{
    struct rowspage_row r;

    rowspage_begin(&r, 5, false);
    rowspage_int(&r, a);
    rowspage_text(&r, b, strlen(b));
    rowspage_int(&r, c);
    rowspage_text(&r, d, strlen(d));
    rowspage_text(&r, e, strlen(e));
    assert_int_not_equal(rowspage_add(t->page, &r), 0);
}

/* All that is said of the page agrees: rc, item and fault of writing and measuring. */
static int render_page(struct table *t, uint64_t *rows, int *item)
{
    uint64_t bytes = 0, measured = 0;
    int measured_item, rc, measured_rc;
    const char *fault;

    t->o.n = 0;
    *rows = 0;
    rc = render_rows_put(&t->w, &t->r, 7, t->page, &t->o, rows, item);
    fault = t->w.fault;
    assert_int_equal(t->w.used, 0);
    measured_rc = render_rows_measure(&t->w, &t->r, 7, t->page, &bytes, &measured, &measured_item);
    assert_int_equal(t->w.used, 0);
    assert_int_equal(rc, measured_rc);
    assert_int_equal(*item, measured_item);
    assert_ptr_equal(fault, t->w.fault);
    assert_int_equal(t->o.n, bytes);
    assert_int_equal(*rows, measured);
    return rc;
}

/* In parts of at least `enough` bytes each, it is the same. */
static void check_parts(struct table *t, uint64_t enough)
{
    uint64_t bytes, rows = 0, measured = 0;
    struct out o = {0};
    int item = 1, measured_item = 1;
    size_t was;

    do {
        bytes = 0;
        was = o.n;
        assert_int_equal(render_rows_put_from(&t->w, &t->r, 7, t->page, enough, &o, &rows, &item),
                         0);
        assert_int_equal(render_rows_measure_from(&t->w, &t->r, 7, t->page, enough, &bytes,
                                                  &measured, &measured_item),
                         0);
        assert_int_equal(o.n - was, bytes);
        assert_int_equal(item, measured_item);
        assert_true(bytes >= enough || item == 0);
    } while (item);
    assert_int_equal(rows, measured);
    assert_int_equal(o.n, t->o.n);
    assert_memory_equal(o.p, t->o.p, o.n);
    out_free(&o);
}

static void assert_page(struct table *t, const char *want, uint64_t want_rows)
{
    uint64_t rows;
    int item;

    assert_int_equal(render_page(t, &rows, &item), 0);
    assert_int_equal(item, 0);
    assert_int_equal(rows, want_rows);
    assert_int_equal(t->o.n, strlen(want));
    if (t->o.n)
        assert_memory_equal(t->o.p, want, t->o.n);
    check_parts(t, 1);
    check_parts(t, 30);
}

static void assert_fault(struct table *t, int want_item, const char *what)
{
    uint64_t rows;
    int item;

    assert_int_equal(render_page(t, &rows, &item), -EIO);
    assert_int_equal(item, want_item);
    assert_int_equal(rows, 0);
    assert_int_equal(t->o.n, 0);
    assert_non_null(strstr(t->w.fault, what));
}

static void rows_are_lines(void **state)
{
    struct table *t = *state;
    char zeros[RENDER_BLOCK] = {0};

    add_row(t, 1, "a", -2, "b,c", "d");
    add_row(t, 3, "", 4, "say \"x\"", "e,f");
    assert_page(t, "1,a,-2,\"b,c\",[d]\n3,\"\",4,\"say \"\"x\"\"\",\"[e,f]\"\n", 2);
    t->r.format = RENDER_TEXT;
    assert_page(t, "1\ta\t-2\tb,c\t[d]\n3\t\t4\tsay \"x\"\t[e,f]\n", 2);
    memcpy(t->page, zeros, RENDER_BLOCK);
    assert_page(t, "", 0);
}

static void only_visible_rows_are_written(void **state)
{
    struct table *t = *state;
    struct rowspage_row r;

    rowspage_add_dead(t->page);
    rowspage_begin(&r, 5, false);
    rowspage_hide(&r);
    rowspage_add(t->page, &r); /* has no attributes: nobody looks */
    add_row(t, 1, "a", 2, "b", "c");
    assert_page(t, "1,a,2,b,[c]\n", 1);
}

static void columns_may_be_some_in_any_order(void **state)
{
    struct table *t = *state;

    add_row(t, 1, "a\tb", 2, "\\.", "c");
    t->r.columns = turned;
    t->r.ncolumns = 4;
    assert_page(t, "[c],1,\\.,a\tb\n", 1);
    t->r.format = RENDER_TEXT;
    assert_page(t, "[c]\t1\t\\\\.\ta\\tb\n", 1);
    t->r.columns = some;
    t->r.ncolumns = 2;
    assert_page(t, "a\\tb\t\\\\.\n", 1);
    t->r.ncolumns = 0;
    assert_page(t, "\n", 1);
    t->r.format = RENDER_CSV;
    t->r.ncolumns = 1;
    t->r.columns = some + 1;
    assert_page(t, "\"\\.\"\n", 1);
}

static void nulls_are_empty(void **state)
{
    struct table *t = *state;
    struct rowspage_row r;

    rowspage_begin(&r, 5, true);
    rowspage_null(&r, 1, false);
    rowspage_text(&r, "", 0);
    rowspage_null(&r, 2, false);
    rowspage_int(&r, 5);
    rowspage_add(t->page, &r);
    assert_page(t, ",\"\",5,,\n", 1);
    t->r.format = RENDER_TEXT;
    assert_page(t, "\\N\t\t5\t\\N\t\\N\n", 1);
    t->r.columns = turned;
    t->r.ncolumns = 4;
    assert_page(t, "\\N\t\\N\t\\N\t\n", 1);
}

/* Rows from before columns were added, with and without a value for those. */
static void missing_values_are_told(void **state)
{
    struct table *t = *state;
    struct render_attribute added[5];
    struct rowspage_row r;

    memcpy(added, five, sizeof(added));
    added[2].missing = (char *)"17";
    added[3].missing = (char *)"x,\"y\"\\";
    t->r.attributes = added;
    rowspage_begin(&r, 2, false);
    rowspage_int(&r, 1);
    rowspage_text(&r, "a", 1);
    rowspage_add(t->page, &r);
    assert_page(t, "1,a,17,\"x,\"\"y\"\"\\\",\n", 1);
    t->r.columns = turned;
    t->r.ncolumns = 4;
    assert_page(t, ",1,\"x,\"\"y\"\"\\\",a\n", 1);
    t->r.format = RENDER_TEXT;
    assert_page(t, "\\N\t1\tx,\"y\"\\\\\ta\n", 1);
}

/* A row of an inheritance child may have attributes that the description lacks. */
static void attributes_beyond_the_last_wanted_are_not_looked_at(void **state)
{
    struct table *t = *state;
    struct rowspage_row r;

    rowspage_begin(&r, 9, false);
    rowspage_int(&r, 1);
    rowspage_text(&r, "a", 1);
    rowspage_add(t->page, &r);
    t->r.ncolumns = 2;
    assert_page(t, "1,a\n", 1);
    t->r.columns = one;
    t->r.ncolumns = 1;
    t->r.nattributes = 2;
    assert_page(t, "a\n", 1);
}

static void dropped_attributes_are_skipped(void **state)
{
    struct table *t = *state;
    struct render_attribute dropped[5];

    memcpy(dropped, five, sizeof(dropped));
    dropped[0].type = dropped[1].type = dropped[2].type = NULL;
    t->r.attributes = dropped;
    t->r.columns = last;
    t->r.ncolumns = 1;
    add_row(t, 1, "gone", 2, "left", "here");
    assert_page(t, "[here]\n", 1);
}

static void long_values_are_aligned(void **state)
{
    struct table *t = *state;
    char value[131], want[300];

    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    add_row(t, 1, "a", 2, "b", value);
    add_row(t, 1, "ab", 2, value, "c");
    snprintf(want, sizeof(want), "1,a,2,b,[%s]\n1,ab,2,%s,[c]\n", value, value);
    assert_page(t, want, 2);
}

static void damage_is_told_with_its_item(void **state)
{
    struct table *t = *state;
    struct rowspage_row r;

    add_row(t, 1, "a", 2, "b", "c");
    add_row(t, 1, "a", 2, "b", "bad");
    assert_fault(t, 2, "a bad word");
    t->r.columns = turned;
    t->r.ncolumns = 4;
    assert_fault(t, 2, "a bad word");
    t->r.columns = in_order;
    assert_page(t, "1,a,2,b\n1,a,2,b\n", 2); /* nobody asks for it */
    t->r.ncolumns = 5;
    rowspage_clear(t->page);
    rowspage_begin(&r, 5, false);
    rowspage_int(&r, 1);
    rowspage_add(t->page, &r);
    assert_fault(t, 1, "beyond its row");
    t->page[12] = 23; /* where line pointers end */
    assert_fault(t, 0, "");
}

static void lengths_are_checked_against_the_row(void **state)
{
    struct table *t = *state;
    struct rowspage_row r;
    size_t len;

    rowspage_begin(&r, 5, false);
    rowspage_int(&r, 1);
    rowspage_text(&r, "word", 4);
    rowspage_int(&r, 2);
    rowspage_text(&r, "d", 1);
    rowspage_text(&r, "e", 1);
    for (len = r.header; len < r.len; len++) {
        struct rowspage_row cut = r;

        cut.len = len;
        rowspage_clear(t->page);
        rowspage_add(t->page, &cut);
        assert_fault(t, 1, "beyond its row");
    }
}

static void the_header_of_a_row_is_checked(void **state)
{
    struct table *t = *state;
    struct rowspage_row r;

    rowspage_begin(&r, 5, true);
    r.bytes[18] = 100; /* so many attributes have no place in its bitmap */
    rowspage_add(t->page, &r);
    assert_fault(t, 1, "header of a row");
}

static void columns_of_no_length_are_refused(void **state)
{
    struct table *t = *state;
    struct render_attribute odd[5];

    memcpy(odd, five, sizeof(odd));
    odd[0].len = -2;
    t->r.attributes = odd;
    add_row(t, 1, "a", 2, "b", "c");
    assert_fault(t, 1, "length");
}

static void a_header_names_the_columns(void **state)
{
    char *names[] = {(char *)"a", (char *)"b,c", (char *)"\\."};
    struct out o = {0};

    (void)state;
    render_rows_header(names, 3, &o);
    render_rows_header(names + 2, 1, &o);
    render_rows_header(names, 0, &o);
    assert_int_equal(o.n, strlen("a,\"b,c\",\\.\n\"\\.\"\n\n"));
    assert_memory_equal(o.p, "a,\"b,c\",\\.\n\"\\.\"\n\n", o.n);
    out_free(&o);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        CASE(rows_are_lines),
        CASE(only_visible_rows_are_written),
        CASE(columns_may_be_some_in_any_order),
        CASE(nulls_are_empty),
        CASE(missing_values_are_told),
        CASE(attributes_beyond_the_last_wanted_are_not_looked_at),
        CASE(dropped_attributes_are_skipped),
        CASE(long_values_are_aligned),
        CASE(damage_is_told_with_its_item),
        CASE(lengths_are_checked_against_the_row),
        CASE(the_header_of_a_row_is_checked),
        CASE(columns_of_no_length_are_refused),
        cmocka_unit_test(a_header_names_the_columns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
