/* render/types.c: which types are covered, and what is in them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "render/type.h"

#define INT4 23
#define TEXT 25
#define TIMESTAMPTZ 1184
#define ROW(...)                                                                                   \
    {                                                                                              \
        __VA_ARGS__, NULL, 0, NULL, 0                                                              \
    }
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void assert_blames(const struct render_types *t, uint32_t type, uint32_t expected)
{
    uint32_t oid = 1;

    assert_null(render_types_find(t, type, &oid));
    assert_int_equal(oid, expected);
}

static const struct render_type *find(const struct render_types *t, uint32_t type)
{
    uint32_t oid;
    const struct render_type *found = render_types_find(t, type, &oid);

    assert_non_null(found);
    return found;
}

static void types_of_postgresql_are_known_without_rows(void **state)
{
    struct render_types *t = render_types_new(NULL, 0);

    (void)state;
    assert_int_equal(find(t, INT4)->len, 4);
    assert_int_equal(find(t, INT4)->base, INT4);
    assert_int_equal(find(t, TEXT)->len, -1);
    assert_true(find(t, TIMESTAMPTZ)->zoned);
    assert_int_equal(find(t, 603)->delimiter, ';');
    assert_blames(t, 2278, 2278); /* void */
    assert_blames(t, 0, 0);
    assert_blames(t, 20000, 20000);
    render_types_free(t);
    render_types_free(NULL);
}

static void rows_of_what_is_known_do_no_harm(void **state)
{
    const struct render_type_row rows[] = {ROW(INT4, 'b', 8, 'd', ',', false, 0)};
    struct render_types *t = render_types_new(rows, COUNT(rows));

    (void)state;
    assert_int_equal(find(t, INT4)->len, 4);
    render_types_free(t);
}

static void a_domain_is_its_base_but_for_its_oid(void **state)
{
    const struct render_type_row rows[] = {
        ROW(20000, 'd', 4, 'i', ',', false, INT4),  ROW(20001, 'd', 4, 'i', ',', false, 20000),
        ROW(20002, 'b', -1, 'i', ',', true, 20001), ROW(20003, 'd', -1, 'i', ',', false, 20002),
        ROW(20004, 'd', -1, 'i', ',', false, 3904), ROW(3904, 'r', -1, 'i', ',', false, INT4),
    };
    struct render_types *t = render_types_new(rows, COUNT(rows));

    (void)state;
    assert_ptr_equal(find(t, 20001)->ops, find(t, INT4)->ops);
    assert_int_equal(find(t, 20001)->oid, 20001);
    assert_int_equal(find(t, 20001)->base, INT4);
    assert_ptr_equal(find(t, 20003)->ops, &render_array_ops);
    assert_ptr_equal(find(t, 20003)->element, find(t, 20001));
    assert_int_equal(find(t, 20004)->base, 3904);
    assert_ptr_equal(find(t, 20004)->element, find(t, INT4));
    render_types_free(t);
}

static void domains_in_a_circle_are_not_covered(void **state)
{
    const struct render_type_row rows[] = {
        ROW(20000, 'd', 4, 'i', ',', false, 20001),
        ROW(20001, 'd', 4, 'i', ',', false, 20000),
        ROW(20002, 'd', 4, 'i', ',', false, 20002),
        ROW(20003, 'b', -1, 'i', ',', true, 20002),
    };
    struct render_types *t = render_types_new(rows, COUNT(rows));

    (void)state;
    assert_blames(t, 20000, 20000);
    assert_blames(t, 20001, 20001);
    assert_blames(t, 20003, 20002);
    render_types_free(t);
}

static void labels_are_copied_in_order(void **state)
{
    char text[] = "second";
    struct render_label labels[] = {{300, text}, {100, "first"}};
    const struct render_type_row rows[] = {
        {20000, 'e', 4, 'i', ',', false, 0, .labels = labels, .nlabels = 2},
        ROW(20001, 'd', 4, 'i', ',', false, 20000),
        ROW(20002, 'e', 4, 'i', ',', false, 0),
    };
    struct render_types *t = render_types_new(rows, COUNT(rows));
    const struct render_type *e = find(t, 20001);

    (void)state;
    text[0] = 'S';
    labels[1].oid = 7;
    assert_ptr_equal(e->ops, &render_enum_ops);
    assert_int_equal(e->nlabels, 2);
    assert_int_equal(e->labels[0].oid, 100);
    assert_string_equal(e->labels[1].text, "second");
    assert_int_equal(find(t, 20002)->nlabels, 0);
    render_types_free(t);
}

static void regs_need_labels(void **state)
{
    static const struct render_label labels[] = {{0, "-"}};
    const struct render_type_row rows[] = {
        {2205, 'b', 4, 'i', ',', false, 0, .labels = labels, .nlabels = 1},
        ROW(2210, 'b', -1, 'i', ',', true, 2205),
        ROW(2206, 'b', 4, 'i', ',', false, 0),
        ROW(2211, 'b', -1, 'i', ',', true, 2206),
        {4089, 'b', 8, 'd', ',', false, 0, .labels = labels, .nlabels = 1},
        {20000, 'b', 4, 'i', ',', false, 0, .labels = labels, .nlabels = 1},
        ROW(20001, 'd', 4, 'i', ',', false, 2205),
    };
    struct render_types *t = render_types_new(rows, COUNT(rows));

    (void)state;
    assert_ptr_equal(find(t, 2205)->ops, render_regs[0].ops);
    assert_string_equal(find(t, 20001)->labels[0].text, "-");
    assert_ptr_equal(find(t, 2210)->element, find(t, 2205));
    assert_blames(t, 2206, 2206);
    assert_blames(t, 2211, 2206);
    assert_blames(t, 4089, 4089);
    assert_blames(t, 20000, 20000);
    assert_blames(t, 4096, 4096);
    render_types_free(t);
}

static const struct render_field_row circle[] = {{INT4, 4, 'i'}, {20001, -1, 'd'}, {0, 2, 's'}};
static const struct render_field_row zoned_circle[] = {{20003, -1, 'd'}, {TIMESTAMPTZ, 8, 'd'}};
static const struct render_field_row bad_circle[] = {{20005, -1, 'd'}, {2278, 4, 'i'}};

static void rows_may_hold_arrays_of_themselves(void **state)
{
    const struct render_type_row rows[] = {
        {20000, 'c', -1, 'd', ',', false, 0, .fields = circle, .nfields = 3},
        ROW(20001, 'b', -1, 'd', ',', true, 20000),
        {20002, 'c', -1, 'd', ',', false, 0, .fields = zoned_circle, .nfields = 2},
        ROW(20003, 'b', -1, 'd', ',', true, 20002),
        {20004, 'c', -1, 'd', ',', false, 0, .fields = bad_circle, .nfields = 2},
        ROW(20005, 'b', -1, 'd', ',', true, 20004),
    };
    struct render_types *t = render_types_new(rows, COUNT(rows));
    const struct render_type *row = find(t, 20000);

    (void)state;
    assert_ptr_equal(row->fields[1].type->element, row);
    assert_null(row->fields[2].type);
    assert_int_equal(row->fields[2].len, 2);
    assert_int_equal(row->fields[2].align, 's');
    assert_false(row->zoned);
    assert_true(find(t, 20002)->zoned);
    assert_true(find(t, 20003)->zoned);
    assert_blames(t, 20004, 2278);
    assert_blames(t, 20005, 2278);
    render_types_free(t);
}

static void what_is_in_a_type_is_to_blame(void **state)
{
    const struct render_type_row rows[] = {
        ROW(20000, 'b', -1, 'i', ',', true, 20010),  /* of a type without a row */
        ROW(20001, 'd', -1, 'i', ',', false, 20000), /* over that */
        ROW(20002, 'r', -1, 'i', ',', false, 20003), /* of a type of an extension */
        ROW(20003, 'b', -1, 'i', ',', false, 0),     ROW(20004, 'm', -1, 'i', ',', false, 20002),
        ROW(20005, 'm', -1, 'i', ',', false, INT4), /* of no range */
        ROW(20006, 'r', -1, 'i', ',', false, 0),     ROW(20007, 'p', 4, 'i', ',', false, 0),
    };
    struct render_types *t = render_types_new(rows, COUNT(rows));

    (void)state;
    assert_blames(t, 20000, 20010);
    assert_blames(t, 20001, 20010);
    assert_blames(t, 20002, 20003);
    assert_blames(t, 20004, 20003);
    assert_blames(t, 20005, 20005);
    assert_blames(t, 20006, 20006);
    assert_blames(t, 20007, 20007);
    render_types_free(t);
}

/* An array by what pg_type says, and written in another way. */
static void vectors_are_no_arrays(void **state)
{
    const struct render_type_row rows[] = {
        ROW(1006, 'b', -1, 'i', ',', true, 22), /* int2vector[] */
        ROW(22, 'b', -1, 'i', ',', true, 21),
    };
    struct render_types *t = render_types_new(rows, COUNT(rows));

    (void)state;
    assert_ptr_equal(find(t, 1006)->ops, &render_array_ops);
    assert_non_null(find(t, 22)->ops);
    assert_ptr_not_equal(find(t, 22)->ops, &render_array_ops);
    render_types_free(t);
}

static void ranges_know_their_bounds(void **state)
{
    const struct render_type_row rows[] = {
        ROW(20000, 'r', -1, 'd', ',', false, TIMESTAMPTZ),
        ROW(20001, 'm', -1, 'd', ',', false, 20000),
        ROW(20002, 'b', -1, 'd', ',', true, 20001),
    };
    struct render_types *t = render_types_new(rows, COUNT(rows));

    (void)state;
    assert_ptr_equal(find(t, 20000)->ops, &render_range_ops);
    assert_ptr_equal(find(t, 20001)->ops, &render_multirange_ops);
    assert_int_equal(find(t, 20001)->element->element->oid, TIMESTAMPTZ);
    assert_true(find(t, 20002)->zoned);
    assert_int_equal(find(t, 20002)->align, 'd');
    render_types_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_of_postgresql_are_known_without_rows),
        cmocka_unit_test(rows_of_what_is_known_do_no_harm),
        cmocka_unit_test(a_domain_is_its_base_but_for_its_oid),
        cmocka_unit_test(domains_in_a_circle_are_not_covered),
        cmocka_unit_test(labels_are_copied_in_order),
        cmocka_unit_test(regs_need_labels),
        cmocka_unit_test(rows_may_hold_arrays_of_themselves),
        cmocka_unit_test(what_is_in_a_type_is_to_blame),
        cmocka_unit_test(vectors_are_no_arrays),
        cmocka_unit_test(ranges_know_their_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
