/* Arrays, rows, ranges, multiranges and enums: render/array.c, row.c, range.c, nested.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "rendervalues.h"

#define INTS 1007 /* int4[] */
#define TEXTS 1009
#define INT4RANGE 3904
#define INT4MULTIRANGE 4451

static struct render_types *types;

static int make_types(void **state)
{
    (void)state;
    types = render_types_new(nested_rows, nested_nrows);
    return 0;
}

static int free_types(void **state)
{
    (void)state;
    render_types_free(types);
    return 0;
}

static const struct render_type *type_of(uint32_t oid)
{
    uint32_t blame;
    const struct render_type *t = render_types_find(types, oid, &blame);

    assert_non_null(t);
    return t;
}

static char *render_hex(uint32_t type, const char *hex, const char **fault)
{
    size_t n;
    char *bytes = bytes_of_hex(hex, &n), *text = rendered_text(type_of(type), bytes, n, fault);

    free(bytes);
    return text;
}

static void assert_fault(uint32_t type, const char *hex, const char *expected)
{
    const char *fault;
    char *text = render_hex(type, hex, &fault);

    assert_null(text);
    assert_string_equal(fault, expected);
}

static void assert_text(uint32_t type, const char *hex, const char *expected)
{
    char *text = render_hex(type, hex, NULL);

    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

/* The first type in nested_rows of that kind that has so many labels or fields. */
static uint32_t row_type(char kind, size_t n)
{
    size_t i;

    for (i = 0; i < nested_nrows; i++)
        if (nested_rows[i].kind == kind && nested_rows[i].nlabels + nested_rows[i].nfields == n)
            return nested_rows[i].oid;
    fail();
    return 0;
}

static void values_are_written_as_the_server_writes_them(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < nested_nvalues; i++)
        assert_text(nested_values[i].type, nested_values[i].hex, nested_values[i].text);
}

/* Every prefix of every value is a text or a fault. */
static void values_that_end_early_are_no_harm(void **state)
{
    size_t i, k, n;

    (void)state;
    for (i = 0; i < nested_nvalues; i++) {
        char *bytes = bytes_of_hex(nested_values[i].hex, &n);

        for (k = 0; k < n; k++) {
            char *cut = mem_alloc(k ? k : 1);

            memcpy(cut, bytes, k);
            free(rendered_text(type_of(nested_values[i].type), cut, k, NULL));
            free(cut);
        }
        free(bytes);
    }
}

static void arrays_that_are_damaged_are_faults(void **state)
{
    (void)state;
    assert_fault(INTS, "", "an array without a header");
    assert_fault(INTS, "010000000000000017000000", "an array without a header");
    assert_fault(INTS, "070000000000000017000000",
                 "an array of an impossible number of dimensions");
    assert_fault(INTS, "ffffffff0000000017000000",
                 "an array of an impossible number of dimensions");
    assert_fault(INTS, "000000000000000019000000", "an array of another type");
    assert_fault(INTS, "010000000000000017000000ffffffff01000000",
                 "an array's bounds are impossible");
    assert_fault(INTS, "01000000000000001700000001000000ffffff7f",
                 "an array's bounds are impossible");
    assert_fault(INTS, "010000000000000017000000ffffff7f00000000", "an array of too many elements");
    assert_fault(INTS, "020000000000000017000000ffff0000ffff00000100000001000000",
                 "an array of too many elements");
    assert_fault(INTS, "0100000000000000170000000100000001000000",
                 "a value inside another one ends too early");
    assert_fault(INTS, "01000000000000001700000001000000010000000102",
                 "a value inside another one is longer than that");
}

/* The offset of the elements, and the bitmap before them. */
static void arrays_are_bounded_by_their_bitmap(void **state)
{
    (void)state;
    assert_text(INTS, "01000000200000001700000001000000010000000000000000000000", "{NULL}");
    assert_fault(INTS, "010000002000000017000000ffff000001000000000000000000000000",
                 "an array's elements are at an impossible place");
    assert_fault(INTS, "01000000180000001700000001000000010000000000000000000000",
                 "an array's elements are at an impossible place");
    assert_fault(INTS, "0100000021000000170000000100000001000000000000000000000000",
                 "an array's elements are at an impossible place");
    assert_fault(INTS, "01000000f0ffffff170000000100000001000000000000000000000000",
                 "an array's elements are at an impossible place");
}

static void elements_are_inside_of_the_array(void **state)
{
    (void)state;
    assert_fault(TEXTS, "0100000000000000190000000100000001000000ff",
                 "a value inside another one is longer than that");
    assert_fault(TEXTS, "010000000000000019000000010000000100000000010000",
                 "a value inside another one is longer than that");
    assert_fault(TEXTS,
                 "01000000000000001900000001000000010000000112000000000000000000000000000000000000",
                 "a pointer to TOAST inside a value");
}

static void rows_that_are_damaged_are_faults(void **state)
{
    uint32_t pair = row_type('c', 2);
    char hex[200];

    (void)state;
    assert_fault(pair, "ffffffff", "a row inside a value has no header");
    assert_fault(pair, "ffffffff19000000ffffffff00000200000018000000000000",
                 "a row inside a value is of another type");
    snprintf(hex, sizeof(hex), "ffffffff%02x%02x0000ffffffff00000200000016", pair & 255, pair >> 8);
    assert_fault(pair, hex, "a row inside a value begins at an impossible place");
    snprintf(hex, sizeof(hex), "ffffffff%02x%02x0000ffffffff000002000000ff", pair & 255, pair >> 8);
    assert_fault(pair, hex, "a row inside a value begins at an impossible place");
    snprintf(hex, sizeof(hex), "ffffffff%02x%02x0000ffffffff000002000100170000000000", pair & 255,
             pair >> 8);
    assert_fault(pair, hex, "a row inside a value begins at an impossible place");
}

static void attributes_that_were_added_are_null(void **state)
{
    uint32_t pair = row_type('c', 2);
    char hex[200];

    (void)state;
    snprintf(hex, sizeof(hex), "ffffffff%02x%02x0000ffffffff00000100000018%02x07000000", pair & 255,
             pair >> 8, 0);
    assert_text(pair, hex, "(7,)");
    snprintf(hex, sizeof(hex), "ffffffff%02x%02x0000ffffffff00000000000018%02x", pair & 255,
             pair >> 8, 0);
    assert_text(pair, hex, "(,)");
}

static void ranges_that_are_damaged_are_faults(void **state)
{
    (void)state;
    assert_fault(INT4RANGE, "400f0000", "a range without a header");
    assert_fault(INT4RANGE, "170000000100000005", "a range of another type");
    assert_fault(INT4RANGE, "400f00000100000002", "a value inside another one ends too early");
    assert_fault(INT4RANGE, "400f0000010002", "a value inside another one is longer than that");
}

static void multiranges_that_are_damaged_are_faults(void **state)
{
    (void)state;
    assert_fault(INT4MULTIRANGE, "63110000", "a multirange without a header");
    assert_fault(INT4MULTIRANGE, "6411000000000000", "a multirange of another type");
    assert_fault(INT4MULTIRANGE, "63110000ffffffff00",
                 "a multirange of more ranges than it has room for");
    assert_fault(INT4MULTIRANGE, "631100000100000002", "a value inside another one ends too early");
    assert_fault(INT4MULTIRANGE, "6311000002000000000000800202000001000000020000000300000004000000",
                 "ranges of a multirange overlap");
}

static void a_label_that_is_none_is_a_fault(void **state)
{
    uint32_t mood = row_type('e', 5);

    (void)state;
    assert_fault(mood, "01000000", "a value of an enum that is none of its labels");
    assert_fault(mood, "010000", "a value of an enum that is none of its labels");
}

#define LEVELS (RENDER_NESTING + 6)
#define FIRST 20000 /* oid of the outermost row type */

/* Row types, each with one field: of the next, the last an int4. */
static struct render_types *chain_of_types(void)
{
    struct render_field_row fields[LEVELS];
    struct render_type_row rows[LEVELS];
    uint32_t i;

    for (i = 0; i < LEVELS; i++) {
        bool last = i == LEVELS - 1;

        fields[i] = (struct render_field_row){last ? 23 : FIRST + i + 1, last ? 4 : -1, 'd'};
        rows[i] = (struct render_type_row){.oid = FIRST + i,
                                           .kind = 'c',
                                           .len = -1,
                                           .align = 'd',
                                           .fields = &fields[i],
                                           .nfields = 1};
    }
    return render_types_new(rows, LEVELS);
}

#define ROW_HEADER 24 /* with the varlena's four bytes, and one of padding */

/* A row of the i-th of those types, and all that are in it, with the varlena's header; its size. */
static size_t put_chain(char *p, uint32_t i)
{
    static const char header[] = {1, 0, 0, 0, ROW_HEADER}; /* attributes, flags, t_hoff */
    uint32_t type = FIRST + i, size;

    memset(p, 0, ROW_HEADER + 4);
    memcpy(p + 8, &type, 4);
    memcpy(p + 18, header, sizeof(header));
    size = ROW_HEADER;
    size += i == LEVELS - 1 ? 4 : (uint32_t)put_chain(p + ROW_HEADER, i + 1);
    type = size << 2;
    memcpy(p, &type, 4);
    return size;
}

static void nesting_has_a_limit(void **state)
{
    static char bytes[LEVELS * ROW_HEADER + 4];
    const uint32_t inner =
        LEVELS - 3; /* more would be a long text: each level doubles the quotes */
    struct render_types *chain = chain_of_types();
    size_t n = put_chain(bytes, 0) - 4, skip = inner * ROW_HEADER;
    const char *fault;
    uint32_t oid;
    char *text;

    (void)state;
    assert_null(rendered_text(render_types_find(chain, FIRST, &oid), bytes + 4, n, &fault));
    assert_string_equal(fault, "values nested too deeply");
    text = rendered_text(render_types_find(chain, FIRST + inner, &oid), bytes + 4 + skip, n - skip,
                         &fault);
    assert_non_null(text);
    assert_string_equal(text, "(\"(\"\"(0)\"\")\")");
    free(text);
    render_types_free(chain);
}

/* Numbers of a few bytes that are 131,072 digits long. */
static void texts_have_a_limit(void **state)
{
    enum { ELEMENTS = 8200, SIZE = 12, HEADER = 20 };
    static const char number[SIZE] = {40, 0, 0, 0, 0, 0, -1, 127, 1, 0, 0, 0};
    static const uint32_t header[] = {1, 0, 1700, ELEMENTS, 1};
    char *bytes = mem_alloc(HEADER + ELEMENTS * SIZE);
    struct render_settings settings = {0};
    struct render_work w;
    size_t n;
    int i;

    (void)state;
    memcpy(bytes, header, HEADER);
    for (i = 0; i < ELEMENTS; i++)
        memcpy(bytes + HEADER + i * SIZE, number, SIZE);
    render_work_init(&w, &settings);
    assert_true(render_array_ops.length(&w, type_of(1231),
                                        (struct render_value){bytes, HEADER + ELEMENTS * SIZE},
                                        &n) < 0);
    assert_string_equal(w.fault, "a text of more than 1 GiB");
    render_work_free(&w);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_written_as_the_server_writes_them),
        cmocka_unit_test(values_that_end_early_are_no_harm),
        cmocka_unit_test(arrays_that_are_damaged_are_faults),
        cmocka_unit_test(arrays_are_bounded_by_their_bitmap),
        cmocka_unit_test(elements_are_inside_of_the_array),
        cmocka_unit_test(rows_that_are_damaged_are_faults),
        cmocka_unit_test(attributes_that_were_added_are_null),
        cmocka_unit_test(ranges_that_are_damaged_are_faults),
        cmocka_unit_test(multiranges_that_are_damaged_are_faults),
        cmocka_unit_test(a_label_that_is_none_is_a_fault),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(texts_have_a_limit),
    };

    return cmocka_run_group_tests(tests, make_types, free_types);
}
