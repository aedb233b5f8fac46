/* render/number.c. The texts are what a server wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"
#include "rendering.h"

static const struct rendering_case numbers[] = {
    {16, "01", "t"},
    {16, "00", "f"},
    {21, "0000", "0"},
    {21, "ffff", "-1"},
    {21, "0900", "9"},
    {21, "0a00", "10"},
    {21, "ff7f", "32767"},
    {21, "0080", "-32768"},
    {23, "00000000", "0"},
    {23, "63000000", "99"},
    {23, "64000000", "100"},
    {23, "c7cfffff", "-12345"},
    {23, "ffffff7f", "2147483647"},
    {23, "00000080", "-2147483648"},
    {20, "0000000000000000", "0"},
    {20, "0f27000000000000", "9999"},
    {20, "1027000000000000", "10000"},
    {20, "ffffffffffffff7f", "9223372036854775807"},
    {20, "0000000000000080", "-9223372036854775808"},
    {20, "000064a7b3b6e00d", "1000000000000000000"},
    {26, "00000000", "0"},
    {26, "ffffffff", "4294967295"},
    {5069, "0000000000000000", "0"},
    {5069, "ffffffffffffffff", "18446744073709551615"},
    {1700, "0080", "0"},
    {1700, "0081", "0.00"},
    {1700, "00800100", "1"},
    {1700, "00a00100", "-1"},
    {1700, "00800f27", "9999"},
    {1700, "01800100", "10000"},
    {1700, "02a301002909851a00006400", "-123456789.000001"},
    {1700, "7f820100", "0.0001"},
    {1700, "fe82e803", "0.00001"},
    {1700, "05800100", "100000000000000000000"},
    {1700, "7b8a0100", "0.00000000000000000001"},
    {1700, "7fa1e803", "-0.10"},
    {1700, "018201002909851a", "12345.6789"},
    {1700, "00004b000100",
     "100000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
     "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
     "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
     "0000000000000000000000"},
    {1700, "5a00e9ff8403",
     "0."
     "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000009"},
    {1700, "01810f270f27ac26", "99999999.99"},
    {1700, "00c0", "NaN"},
    {1700, "00d0", "Infinity"},
    {1700, "00f0", "-Infinity"},
    {1700, "8082d2048813", "1234.50000"},
    {700, "00000000", "0"},
    {700, "00000080", "-0"},
    {700, "0000803f", "1"},
    {700, "0000c03f", "1.5"},
    {700, "d00f49c0", "-3.14159"},
    {700, "0020f147", "123456"},
    {700, "38b49649", "1.234567e+06"},
    {700, "17b7d138", "0.0001"},
    {700, "acc52737", "1e-05"},
    {700, "ffff7f7f", "3.4028235e+38"},
    {700, "01000000", "1e-45"},
    {700, "0000c07f", "NaN"},
    {700, "0000807f", "Infinity"},
    {701, "0000000000000000", "0"},
    {701, "0000000000000080", "-0"},
    {701, "000000000000f03f", "1"},
    {701, "000000000000f83f", "1.5"},
    {701, "6e861bf0f92109c0", "-3.14159"},
    {701, "40de77832112dc42", "123456789012345"},
    {701, "00eb2af2548b1143", "1.234567890123456e+15"},
    {701, "2d431cebe2361a3f", "0.0001"},
    {701, "f168e388b5f8e43e", "1e-05"},
    {701, "ffffffffffffef7f", "1.7976931348623157e+308"},
    {701, "0100000000000000", "5e-324"},
    {701, "000000000000f87f", "NaN"},
    {701, "000000000000f0ff", "-Infinity"},
    {16, "02", "t"}, /* any bit */
};

static void numbers_are_written_as_the_server_does(void **state)
{
    (void)state;
    rendering_check(render_numbers, NULL, numbers, sizeof(numbers) / sizeof(*numbers));
}

static const struct rendering_case damaged[] = {
    {16, "", NULL},
    {16, "0000", NULL},
    {21, "00", NULL},
    {23, "0000000000", NULL},
    {20, "00000000", NULL},
    {26, "000000", NULL},
    {701, "00000000", NULL},
    {700, "0000000000000000", NULL},
    {1700, "", NULL},
    {1700, "80", NULL},
    {1700, "0000", NULL},             /* a long header without its weight */
    {1700, "008001", NULL},           /* half a digit */
    {1700, "00801027", NULL},         /* 10000 */
    {1700, "0080ffff", NULL},         /* -1 */
    {1700, "0080010001001027", NULL}, /* behind what is shown */
    {1700, "00e0", NULL},
};

static void damaged_numbers_are_faults(void **state)
{
    (void)state;
    rendering_check(render_numbers, NULL, damaged, sizeof(damaged) / sizeof(*damaged));
}

/* Six bytes: a digit, and a weight or scale that takes more room than any stack buffer has. */
static void numerics_of_few_bytes_may_be_long(void **state)
{
    static const char big[] = {0, 0, (char)0xff, 0x7f, 9, 0}, wide[] = {(char)0xff, 0x3f, 0, 0};
    char *text = rendering_text(render_numbers, NULL, 1700, big, sizeof(big));

    (void)state;
    assert_int_equal(strlen(text), 1 + 4 * 32767);
    assert_int_equal(strspn(text + 1, "0"), 4 * 32767);
    assert_int_equal(*text, '9');
    free(text);
    text = rendering_text(render_numbers, NULL, 1700, wide, sizeof(wide));
    assert_int_equal(strlen(text), 2 + 16383);
    assert_int_equal(strspn(text + 2, "0"), 16383);
    free(text);
}

/* Numbers of every length, beside powers of ten. */
static void integers_have_all_their_digits(void **state)
{
    char want[32], *text;
    uint64_t power = 1, v;
    int i, k;

    (void)state;
    for (i = 0; i < 20; i++, power *= 10)
        for (k = -1; k <= 1; k++) {
            v = power + (uint64_t)k;
            snprintf(want, sizeof(want), "%llu", (unsigned long long)v);
            text = rendering_text(render_numbers, NULL, 5069, &v, sizeof(v));
            assert_string_equal(text, want);
            free(text);
            snprintf(want, sizeof(want), "%lld", (long long)v);
            text = rendering_text(render_numbers, NULL, 20, &v, sizeof(v));
            assert_string_equal(text, want);
            free(text);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_written_as_the_server_does),
        cmocka_unit_test(damaged_numbers_are_faults),
        cmocka_unit_test(numerics_of_few_bytes_may_be_long),
        cmocka_unit_test(integers_have_all_their_digits),
    };

    return cmocka_run_group_tests_name("render/number", tests, NULL, NULL);
}
