/* common/lsn.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "common/lsn.h"

static void lsn_is_read_and_written_as_the_server_does(void **state)
{
    char text[LSN_TEXT_MAX];
    uint64_t lsn = 1;

    (void)state;
    assert_int_equal(lsn_parse("16/B374D848", &lsn), 0);
    assert_true(lsn == 0x16B374D848);
    assert_string_equal(lsn_text(lsn, text), "16/B374D848");
    assert_int_equal(lsn_parse("0/0", &lsn), 0);
    assert_true(lsn == 0);
    assert_string_equal(lsn_text(lsn, text), "0/0");
    assert_int_equal(lsn_parse("ffffffff/FFFFFFFF", &lsn), 0);
    assert_true(lsn == UINT64_MAX);
    assert_string_equal(lsn_text(lsn, text), "FFFFFFFF/FFFFFFFF");
    assert_int_equal(lsn_parse("0000000A/00000b", &lsn), 0);
    assert_true(lsn == 0xA0000000B);
}

static void lsn_refuses_what_is_none(void **state)
{
    static const char *const wrong[] = {
        "",     "/",     "1",           "1/",  "/1",   "1/2/3", "1/2 ",       " 1/2",
        "-1/2", "0x1/2", "1/123456789", "G/1", "1/+2", "1//2",  "123456789/1"};
    uint64_t lsn = 7;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++)
        if (lsn_parse(wrong[i], &lsn) != -EINVAL)
            fail_msg("\"%s\" was taken for a place on the log", wrong[i]);
    assert_true(lsn == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lsn_is_read_and_written_as_the_server_does),
        cmocka_unit_test(lsn_refuses_what_is_none),
    };

    return cmocka_run_group_tests_name("common/lsn", tests, NULL, NULL);
}
