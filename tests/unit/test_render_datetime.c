/* render/datetime.c. The texts are what a server wrote; time zones: test_render_zone.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rendering.h"

static const struct rendering_case moments[] = {
    {1082, "00000000", "2000-01-01"},
    {1082, "ffffffff", "1999-12-31"},
    {1082, "79220000", "2024-02-29"},
    {1082, "f9dbf4ff", "0001-01-01"},
    {1082, "f8dbf4ff", "0001-12-31 BC"},
    {1082, "a797daff", "4714-11-24 BC"},
    {1082, "0c97da7f", "5874897-12-31"},
    {1082, "d4952c00", "10000-01-01"},
    {1082, "d3952c00", "9999-12-31"},
    {1082, "ffffff7f", "infinity"},
    {1082, "00000080", "-infinity"},
    {1083, "0000000000000000", "00:00:00"},
    {1083, "0060d71d14000000", "24:00:00"},
    {1083, "ff5fd71d14000000", "23:59:59.999999"},
    {1083, "a0a2db8b0a000000", "12:34:56.1"},
    {1083, "0100000000000000", "00:00:00.000001"},
    {1083, "804deadd00000000", "01:02:03.12"},
    {1266, "000000000000000000000000", "00:00:00+00"},
    {1266, "0060d71d14000000302a0000", "24:00:00-03"},
    {1266, "20bde18b0a000000a8b2ffff", "12:34:56.5+05:30"},
    {1266, "00b0eb0e0a000000f1050000", "12:00:00-00:25:21"},
    {1266, "ff5fd71d14000000011fffff", "23:59:59.999999+15:59:59"},
    {1114, "0000000000000000", "2000-01-01 00:00:00"},
    {1114, "ffffffffffffffff", "1999-12-31 23:59:59.999999"},
    {1114, "201d6e4183b50200", "2024-02-29 12:34:56.5"},
    {1114, "00609cc5ffe21fff", "0001-01-01 00:00:00"},
    {1114, "50ee90c5ffe21fff", "0001-12-31 23:59:59.25 BC"},
    {1114, "00a01f41c17c0ffd", "4714-11-24 00:00:00 BC"},
    {1114, "ff9fb2b35bffff7f", "294276-12-31 23:59:59.999999"},
    {1114, "c0f8236f0ce78003", "10000-01-01 01:02:03"},
    {1114, "ffffffffffffff7f", "infinity"},
    {1114, "0000000000000080", "-infinity"},
    {1184, "0000000000000000", "2000-01-01 00:00:00+00"},
    {1184, "ffffffffffffffff", "1999-12-31 23:59:59.999999+00"},
    {1184, "50ee90c5ffe21fff", "0001-12-31 23:59:59.25+00 BC"},
    {1184, "ffffffffffffff7f", "infinity"},
    {1184, "0000000000000080", "-infinity"},
    {1186, "00000000000000000000000000000000", "00:00:00"},
    {1186, "0000000000000000000000000c000000", "1 year"},
    {1186, "0000000000000000000000000e000000", "1 year 2 mons"},
    {1186, "000000000000000000000000f4ffffff", "-1 years"},
    {1186, "000000000000000001000000ffffffff", "-1 mons +1 day"},
    {1186, "0000000000000000ffffffff01000000", "1 mon -1 days"},
    {1186, "c0bdf0ffffffffff0100000000000000", "1 day -00:00:01"},
    {1186, "40420f0000000000ffffffff00000000", "-1 days +00:00:01"},
    {1186, "00000000000000000100000000000000", "1 day"},
    {1186, "0010acd1530000000000000000000000", "100:00:00"},
    {1186, "e05ef8ffffffffff0000000000000000", "-00:00:00.5"},
    {1186, "01000000000000000000000000000000", "00:00:00.000001"},
    {1186, "e06e966c03000000030000000e000000", "1 year 2 mons 3 days 04:05:06.7"},
    {1186, "00000000000000000000008000000080", "-178956970 years -8 mons -2147483648 days"},
    {1186, "0000000000000000ffffffff00000000", "-1 days"},
    {1186, "00000000000000000000000019000000", "2 years 1 mon"},
};

static void moments_are_written_as_the_server_does(void **state)
{
    (void)state;
    rendering_check(render_datetimes, NULL, moments, sizeof(moments) / sizeof(*moments));
}

static const struct rendering_case damaged[] = {
    {1082, "000000", NULL},
    {1082, "a697daff", NULL}, /* the day before the first */
    {1082, "0d97da7f", NULL}, /* the day after the last */
    {1083, "ffffffffffffffff", NULL},
    {1083, "0160d71d14000000", NULL},
    {1083, "00000000", NULL},
    {1266, "0160d71d1400000000000000", NULL},
    {1266, "0000000000000000", NULL},
    {1114, "ff9f1f41c17c0ffd", NULL},
    {1114, "00a0b2b35bffff7f", NULL},
    {1114, "feffffffffffff7f", NULL},
    {1114, "0100000000000080", NULL},
    {1184, "00a0b2b35bffff7f", NULL},
    {1184, "00", NULL},
    {1186, "000000000000000000000000", NULL},
};

static void damaged_moments_are_faults(void **state)
{
    (void)state;
    rendering_check(render_datetimes, NULL, damaged, sizeof(damaged) / sizeof(*damaged));
}

static const char lowest[] = "00000000000000800000008000000080";
static const char highest[] = "ffffffffffffff7fffffff7fffffff7f";

static void intervals_may_be_infinite(void **state)
{
    static const struct render_settings newest = {0}, older = {.major = 16}, newer = {.major = 17};
    const struct rendering_case infinite[] = {{1186, lowest, "-infinity"},
                                              {1186, highest, "infinity"}};
    const struct rendering_case numbers[] = {
        {1186, lowest, "-178956970 years -8 mons -2147483648 days -2562047788:00:54.775808"},
        {1186, highest, "178956970 years 7 mons 2147483647 days 2562047788:00:54.775807"}};

    (void)state;
    rendering_check(render_datetimes, &newest, infinite, 2);
    rendering_check(render_datetimes, &newer, infinite, 2);
    rendering_check(render_datetimes, &older, numbers, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(moments_are_written_as_the_server_does),
        cmocka_unit_test(damaged_moments_are_faults),
        cmocka_unit_test(intervals_may_be_infinite),
    };

    return cmocka_run_group_tests_name("render/datetime", tests, NULL, NULL);
}
