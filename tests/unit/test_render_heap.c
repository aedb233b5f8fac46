/* render/heap.h, render/checksum.h: a page's header, checksum, line pointers and rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "heapbytes.h"
#include "render/checksum.h"
#include "render/heap.h"

static const struct heapbytes_row plain = {.xmin = 700, .mask = HEAPBYTES_NEW, .columns = 1};

static const char *fault_of_page(const char *page, bool checksum)
{
    const char *fault = NULL;
    int n = render_page_items(page, checksum, 3, &fault);

    assert_true(n >= 0 || fault);
    return n < 0 ? fault : NULL;
}

static const char *fault_of_row(const char *page, int item)
{
    const char *fault = NULL, *row = NULL;
    size_t len = 0;
    int rc = render_page_row(page, item, &row, &len, &fault);

    assert_int_equal(rc < 0, fault != NULL);
    return fault;
}

static void a_page_of_zeros_is_empty(void **state)
{
    static char page[RENDER_BLOCK];
    const char *fault = NULL;

    (void)state;
    assert_int_equal(render_page_items(page, false, 0, &fault), 0);
    assert_int_equal(render_page_items(page, true, 0, &fault), 0);
    page[RENDER_BLOCK - 1] = 1;
    assert_string_equal(fault_of_page(page, false), "the page has no header, but is not empty");
    page[RENDER_BLOCK - 1] = 0;
    page[0] = 1;
    assert_string_equal(fault_of_page(page, true), "the page has no header, but is not empty");
}

static void rows_are_found_by_their_line_pointers(void **state)
{
    char page[RENDER_BLOCK];
    const char *fault = NULL, *row = NULL;
    size_t len = 0;

    (void)state;
    heapbytes_page(page);
    assert_int_equal(heapbytes_add(page, plain, "one", 3), 1);
    assert_int_equal(heapbytes_add(page, plain, "second", 6), 2);
    heapbytes_pointer(page, 3, 1, 2, 0);
    heapbytes_pointer(page, 4, 0, 3, 0);
    heapbytes_pointer(page, 5, 0, 0, 0);
    assert_int_equal(render_page_items(page, false, 0, &fault), 5);
    assert_int_equal(render_page_row(page, 1, &row, &len, &fault), 1);
    assert_int_equal(len, 27);
    assert_memory_equal(row + 24, "one", 3);
    assert_int_equal(render_page_row(page, 2, &row, &len, &fault), 1);
    assert_int_equal(len, 30);
    assert_memory_equal(row + 24, "second", 6);
    assert_int_equal(render_page_row(page, 3, &row, &len, &fault), 0);
    assert_int_equal(render_page_row(page, 4, &row, &len, &fault), 0);
    assert_int_equal(render_page_row(page, 5, &row, &len, &fault), 0);
    assert_null(fault);
}

/* As checksum_impl.h has it, a word at a time. */
static uint16_t slow_checksum(const char *page, uint32_t block, const uint32_t *start)
{
    uint32_t sums[32], all = block, word;
    size_t i;

    memcpy(sums, start, sizeof(sums));
    for (i = 0; i < 66 * 32; i++) {
        word = i < 64 * 32 && i != 2 ? bytes_u32(page + 4 * i) : 0;
        if (i == 2)
            word = bytes_u32(page + 8) & 0xffff0000;
        word ^= sums[i % 32];
        sums[i % 32] = word * 16777619 ^ word >> 17;
    }
    for (i = 0; i < 32; i++)
        all ^= sums[i];
    return (uint16_t)(all % 65535 + 1);
}

static void the_checksum_is_that_of_postgresql(void **state)
{
    static const uint32_t start[32] = {
        0x5b1f36e9, 0xb8525960, 0x02ab50aa, 0x1de66d2a, 0x79ff467a, 0x9bb9f8a3, 0x217e7cd2,
        0x83e13d2c, 0xf8d4474f, 0xe39eb970, 0x42c6ae16, 0x993216fa, 0x7b093b5d, 0x98daff3c,
        0xf718902a, 0x0b1c9cdb, 0xe58f764b, 0x187636bc, 0x5d7b3bb1, 0xe73de7de, 0x92bec979,
        0xcca6c0b2, 0x304a0979, 0x85aa43d4, 0x783125bb, 0x6ca8eaa2, 0xe407eac6, 0x4b5cfc3e,
        0x9fbf8c76, 0x15ca20be, 0xf2ca9fd3, 0x959bd756};
    char page[RENDER_BLOCK];
    uint32_t i, state32 = 7;

    (void)state;
    for (i = 0; i < RENDER_BLOCK; i++) {
        state32 = state32 * 1664525 + 1013904223;
        page[i] = (char)(state32 >> 24);
    }
    for (i = 0; i < 70000; i += 999) {
        page[i % RENDER_BLOCK] ^= 1;
        assert_int_equal(render_page_checksum(page, i), slow_checksum(page, i, start));
    }
}

static void a_wrong_checksum_is_told(void **state)
{
    char page[RENDER_BLOCK];

    (void)state;
    heapbytes_page(page);
    heapbytes_add(page, plain, "row", 3);
    heapbytes_u16(page + 8, render_page_checksum(page, 3));
    assert_null(fault_of_page(page, true));
    page[RENDER_BLOCK - 1] ^= 4;
    assert_string_equal(fault_of_page(page, true), "the checksum of the page is wrong");
    assert_null(fault_of_page(page, false));
    page[RENDER_BLOCK - 1] ^= 4;
    heapbytes_u16(page + 8, render_page_checksum(page, 4)); /* another block's */
    assert_non_null(fault_of_page(page, true));
}

static void damaged_headers_are_told(void **state)
{
    static const struct {
        unsigned at, value;
    } wrong[] = {{10, 8},    {12, 20},   {12, 26},   {12, 8000},     {14, 20},      {14, 8200},
                 {16, 8000}, {16, 8191}, {16, 8200}, {18, 8192 | 3}, {18, 4096 | 4}};
    char page[RENDER_BLOCK];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        heapbytes_page(page);
        heapbytes_u16(page + 14, 8100 / 4 * 4);
        if (wrong[i].at == 12 && wrong[i].value == 8000)
            heapbytes_u16(page + 14, 7000);
        heapbytes_u16(page + wrong[i].at, wrong[i].value);
        assert_string_equal(fault_of_page(page, false), "the header of the page is damaged");
    }
}

static void damaged_line_pointers_are_told(void **state)
{
    char page[RENDER_BLOCK];

    (void)state;
    heapbytes_page(page);
    heapbytes_add(page, plain, "12345678", 8);
    assert_null(fault_of_row(page, 1));
    heapbytes_pointer(page, 1, 8160, 1, 23); /* too short */
    assert_string_equal(fault_of_row(page, 1), "a line pointer is damaged");
    heapbytes_pointer(page, 1, 8160, 1, 33); /* behind the page */
    assert_string_equal(fault_of_row(page, 1), "a line pointer is damaged");
    heapbytes_pointer(page, 1, 8152, 1, 32); /* before the rows */
    assert_string_equal(fault_of_row(page, 1), "a line pointer is damaged");
    heapbytes_pointer(page, 1, 8164, 1, 24); /* at an odd place */
    assert_string_equal(fault_of_row(page, 1), "a line pointer is damaged");
    heapbytes_pointer(page, 1, 32760, 1, 32); /* far away */
    assert_string_equal(fault_of_row(page, 1), "a line pointer is damaged");
}

static void damaged_headers_of_rows_are_told(void **state)
{
    char page[RENDER_BLOCK], *row;

    (void)state;
    heapbytes_page(page);
    heapbytes_add(page, plain, "12345678", 8);
    row = page + 8160;
    row[22] = 32;
    assert_null(fault_of_row(page, 1));
    row[22] = 40; /* behind the row */
    assert_string_equal(fault_of_row(page, 1), "the header of a row is damaged");
    row[22] = 16; /* within its own header */
    assert_string_equal(fault_of_row(page, 1), "the header of a row is damaged");
    row[22] = 28;
    assert_string_equal(fault_of_row(page, 1), "the header of a row is damaged");
    row[22] = 24; /* nulls: one byte of them has room, two have not */
    row[20] |= 1;
    heapbytes_u16(row + 18, 8);
    assert_null(fault_of_row(page, 1));
    heapbytes_u16(row + 18, 9);
    assert_string_equal(fault_of_row(page, 1), "the header of a row is damaged");
    row[22] = 32;
    assert_null(fault_of_row(page, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_of_zeros_is_empty),
        cmocka_unit_test(rows_are_found_by_their_line_pointers),
        cmocka_unit_test(the_checksum_is_that_of_postgresql),
        cmocka_unit_test(a_wrong_checksum_is_told),
        cmocka_unit_test(damaged_headers_are_told),
        cmocka_unit_test(damaged_line_pointers_are_told),
        cmocka_unit_test(damaged_headers_of_rows_are_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
