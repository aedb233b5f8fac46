/* render/binary.c. The texts are what a server wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rendering.h"

static const struct rendering_case good[] = {
    {17, "", "\\x"},
    {17, "00", "\\x00"},
    {17, "0123456789abcdef", "\\x0123456789abcdef"},
    {17, "ff80", "\\xff80"},
    {1560, "05000000a8", "10101"},
    {1560, "0500000000", "00000"},
    {1562, "00000000", ""},
    {1562, "0100000080", "1"},
    {1562, "0800000001", "00000001"},
    {1562, "09000000ff00", "111111110"},
    {1562, "10000000aaaa", "1010101010101010"},
    {2950, "0123456789abcdeffedcba9876543210", "01234567-89ab-cdef-fedc-ba9876543210"},
    {2950, "00000000000000000000000000000000", "00000000-0000-0000-0000-000000000000"},
    {3220, "0000000000000000", "0/0"},
    {3220, "1000000000000000", "0/10"},
    {3220, "48d874b316000000", "16/B374D848"},
    {3220, "ffffffffffffffff", "FFFFFFFF/FFFFFFFF"},
    {3220, "0000000010000000", "10/0"},
    {27, "000000000000", "(0,0)"},
    {27, "000000000100", "(0,1)"},
    {27, "ffffffffffff", "(4294967295,65535)"},
    {27, "010000000200", "(65536,2)"},
    {22, "0100000000000000150000000000000000000000", ""},
    {22, "01000000000000001500000001000000000000000100", "1"},
    {22, "0100000000000000150000000300000000000000ffff0000ff7f", "-1 0 32767"},
    {30, "01000000000000001a0000000000000000000000", ""},
    {30, "01000000000000001a000000010000000000000000000000", "0"},
    {30, "01000000000000001a000000030000000000000001000000ffffffff1a000000", "1 4294967295 26"},
    {5038, "000000000a000000000000001400000000000000", "10:20:"},
    {5038,
     "030000000a0000000000000014000000000000000a000000000000000e000000000000000f00000000000000",
     "10:20:10,14,15"},
    {2970, "010000000100000000000000ffffffffffffffff0000000000000080",
     "1:18446744073709551615:9223372036854775808"},
};

static void binaries_are_written_as_the_server_does(void **state)
{
    (void)state;
    rendering_check(render_binaries, NULL, good, sizeof(good) / sizeof(*good));
}

static const struct rendering_case damaged[] = {
    {1560, "0500", NULL},
    {1560, "05000000", NULL},
    {1560, "050000000000", NULL},
    {1562, "ffffffff", NULL},
    {1562, "fdffffff00", NULL},
    {2950, "00", NULL},
    {3220, "00000000", NULL},
    {27, "0000000000", NULL},
    {5038, "", NULL},
    {5038, "000000000a0000000000000014000000000000000a00000000000000",
     NULL}, /* one more than it says */
    {5038, "ffffffff0a0000000000000014000000000000000a00000000000000", NULL},
};

static void damaged_binaries_are_faults(void **state)
{
    (void)state;
    rendering_check(render_binaries, NULL, damaged, sizeof(damaged) / sizeof(*damaged));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(binaries_are_written_as_the_server_does),
        cmocka_unit_test(damaged_binaries_are_faults),
    };

    return cmocka_run_group_tests_name("render/binary", tests, NULL, NULL);
}
