/* pages/page.h: the checksums of pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "pages/page.h"

static void crc32c_is_the_one_that_everybody_has(void **state)
{
    (void)state;
    assert_int_equal(crc32c("123456789", 9), 0xe3069283);
    assert_int_equal(crc32c("", 0), 0);
}

static void the_checksum_of_an_odd_page_stays_when_the_file_grows(void **state)
{
    static unsigned char page[PAGE_BYTES];
    size_t len;

    (void)state;
    for (len = 0; len < 1000; len++)
        page[len] = (unsigned char)(len * 7 + 1);
    assert_int_equal(page_crc(page, 1000), page_crc(page, PAGE_BYTES));
    assert_int_equal(page_crc(page, PAGE_BYTES), crc32c(page, PAGE_BYTES));
    assert_int_not_equal(page_crc(page, 999), page_crc(page, 1000));
}

static void a_page_never_has_the_checksum_0(void **state)
{
    static const unsigned char odd[4] = {0xe8, 0x49, 0x80, 0x33};
    static unsigned char page[PAGE_BYTES];

    (void)state;
    memcpy(page, odd, sizeof(odd));
    assert_int_equal(crc32c(page, PAGE_BYTES), 0);
    assert_int_equal(page_crc(odd, sizeof(odd)), 0xffffffff);
}

static void pages_are_counted_up(void **state)
{
    (void)state;
    assert_int_equal(page_count(0), 0);
    assert_int_equal(page_count(1), 1);
    assert_int_equal(page_count(PAGE_BYTES), 1);
    assert_int_equal(page_count(PAGE_BYTES + 1), 2);
    assert_int_equal(page_count(UINT64_MAX), (UINT64_MAX >> 13) + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_is_the_one_that_everybody_has),
        cmocka_unit_test(the_checksum_of_an_odd_page_stays_when_the_file_grows),
        cmocka_unit_test(a_page_never_has_the_checksum_0),
        cmocka_unit_test(pages_are_counted_up),
    };

    return cmocka_run_group_tests_name("pages/page", tests, NULL, NULL);
}
