/* render/shortest.c. The texts are what a server wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "render/shortest.h"

static void check_text(const struct shortest *s, const char *want)
{
    char text[SHORTEST_MAX + 1];

    *render_shortest_put(s, text) = '\0';
    assert_string_equal(text, want);
    assert_int_equal(render_shortest_length(s), strlen(want));
}

static void doubles_are_written_as_the_server_does(void **state)
{
    static const struct {
        uint64_t bits;
        const char *text;
    } cases[] = {
        {0x0000000000000001, "5e-324"},
        {0x0000000000000002, "1e-323"},
        {0x0000000000000003, "1.5e-323"},
        {0x0010000000000000, "2.2250738585072014e-308"},
        {0x000fffffffffffff, "2.225073858507201e-308"},
        {0x7fefffffffffffff, "1.7976931348623157e+308"},
        {0x44b52d02c7e14af6, "9.999999999999999e+22"},
        {0x44b52d02c7e14af6, "9.999999999999999e+22"},
        {0x4480f0cf064dd592, "1e+22"},
        {0x3fb999999999999a, "0.1"},
        {0x3fd3333333333333, "0.3"},
        {0x4011666666666666, "4.35"},
        {0x4059000000000000, "100"},
        {0x42d6bcc41e900000, "100000000000000"},
        {0x430c6bf526340000, "1e+15"},
        {0x430c6bf52633fff8, "999999999999999"},
        {0x42dc12218377de66, "123456789012345.6"},
        {0x43118b54f22aeb03, "1.2345678901234568e+15"},
        {0x433fffffffffffff, "9.007199254740991e+15"},
        {0x4340000000000000, "9.007199254740992e+15"},
        {0x4340000000000000, "9.007199254740992e+15"},
        {0x3f1a36e2eb1c432d, "0.0001"},
        {0x3f506243162a38e4, "0.00099999"},
        {0x3ee4f8b588e368f1, "1e-05"},
        {0x3f202e85be111841, "0.000123456789"},
        {0x3e60000000000000, "2.9802322387695312e-08"},
        {0x4830f0cf064dd592, "5.764607523034235e+39"},
        {0x4840f0cf064dd592, "1.152921504606847e+40"},
        {0x3eb0000000000000, "9.5367431640625e-07"},
        {0x16d789a06079e1ff, "1.23e-198"},
        {0x3fd3333333333334, "0.30000000000000004"},
        {0x0010000000000000, "2.2250738585072014e-308"},
        {0x0020000000000000, "4.450147717014403e-308"},
        {0x3d30000000000000, "5.684341886080802e-14"},
        {0x3fc0000000000000, "0.125"},
        {0x4000000000000000, "2"},
        {0x43b0000000000000, "1.152921504606847e+18"},
        {0x4580000000000000, "6.189700196426902e+26"},
        {0x4630000000000000, "1.2676506002282294e+30"},
        {0x4c70000000000000, "1.6069380442589903e+60"},
        {0x7fe0000000000000, "8.98846567431158e+307"},
        {0x4380000000000042, "1.4411518807585798e+17"},
        {0x4380000000000043, "1.4411518807585802e+17"},
        {0x43800000000000bf, "1.4411518807586198e+17"},
        {0x43800000000000c0, "1.4411518807586202e+17"},
        {0x438000000000013c, "1.4411518807586598e+17"},
        {0x438000000000013d, "1.4411518807586602e+17"},
        {0x43800000000001b9, "1.4411518807586998e+17"},
        {0x43800000000001ba, "1.4411518807587002e+17"},
    };
    struct shortest s;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        s = render_shortest_double(cases[i].bits);
        check_text(&s, cases[i].text);
    }
}

static void floats_are_written_as_the_server_does(void **state)
{
    static const struct {
        uint32_t bits;
        const char *text;
    } cases[] = {
        {0x00000001, "1e-45"},         {0x00000002, "3e-45"},         {0x00800000, "1.1754944e-38"},
        {0x007fffff, "1.1754942e-38"}, {0x7f7fffff, "3.4028235e+38"}, {0x4b800000, "1.6777216e+07"},
        {0x4b800001, "1.6777218e+07"}, {0x4c000000, "3.3554432e+07"}, {0x4b000000, "8.388608e+06"},
        {0x47c35000, "100000"},        {0x49742400, "1e+06"},         {0x497423f0, "999999"},
        {0x497423fe, "999999.9"},      {0x47f1205a, "123456.7"},      {0x38d1b717, "0.0001"},
        {0x3727c5ac, "1e-05"},         {0x3e99999a, "0.3"},           {0x48951f84, "305404.12"},
        {0x50000000, "8.589935e+09"},  {0x501502f9, "1e+10"},         {0x00000007, "1e-44"},
        {0x01000000, "2.3509887e-38"}, {0x01800000, "4.7019774e-38"}, {0x3f800001, "1.0000001"},
        {0x00800000, "1.1754944e-38"}, {0x01000000, "2.3509887e-38"}, {0x32000000, "7.450581e-09"},
        {0x3c000000, "0.0078125"},     {0x4f000000, "2.1474836e+09"}, {0x64000000, "9.444733e+21"},
        {0x7f000000, "1.7014118e+38"}, {0x4e000004, "5.3687117e+08"}, {0x4e000005, "5.3687123e+08"},
        {0x4e00001d, "5.3687277e+08"}, {0x4e00001e, "5.3687283e+08"}, {0x4e000036, "5.3687437e+08"},
        {0x4e000037, "5.3687443e+08"},
    };
    struct shortest s;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        s = render_shortest_float(cases[i].bits);
        check_text(&s, cases[i].text);
    }
}

/* It is read as the same number, and what has a digit less is not. (From 2^54 to 2^60 a middle
 * between two doubles, which does not count, may be so short.) */
static void check_shortest(uint64_t bits)
{
    struct shortest s = render_shortest_double(bits);
    char text[64];
    double v, back;
    int digits;

    memcpy(&v, &bits, sizeof(v));
    *render_shortest_put(&s, text) = '\0';
    back = strtod(text, NULL);
    assert_memory_equal(&back, &v, sizeof(v));
    snprintf(text, sizeof(text), "%llu", (unsigned long long)s.digits);
    digits = (int)strlen(text);
    if (digits < 2 || (v > 0x1p54 && v < 0x1p60))
        return;
    snprintf(text, sizeof(text), "%.*e", digits - 2, v);
    back = strtod(text, NULL);
    assert_memory_not_equal(&back, &v, sizeof(v));
}

static void any_double_is_read_back(void **state)
{
    uint64_t seed = 4, exponent, fraction;
    int i;

    (void)state;
    for (exponent = 0; exponent < 2047; exponent++)
        for (i = 0; i < 10; i++) {
            fraction = (uint64_t)fixture_random_below(&seed, 1u << 20) << 32 |
                       fixture_random_below(&seed, 0xffffffff);
            check_shortest(exponent << 52 | fraction);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_are_written_as_the_server_does),
        cmocka_unit_test(floats_are_written_as_the_server_does),
        cmocka_unit_test(any_double_is_read_back),
    };

    return cmocka_run_group_tests_name("render/shortest", tests, NULL, NULL);
}
