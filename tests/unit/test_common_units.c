/* common/units.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "common/units.h"

static void units_read_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } good[] = {{"0", 0},
                {"4096", 4096},
                {"1B", 1},
                {"8k", 8192},
                {"8kB", 8192},
                {"8KIB", 8192},
                {"256MiB", 256u << 20},
                {"1G", 1u << 30},
                {"1.5GB", 3u << 29},
                {"0.5k", 512},
                {"1.9", 1},
                {"2 TiB", (uint64_t)2 << 40},
                {"1T", (uint64_t)1 << 40},
                {"4194304T", (uint64_t)1 << 62}};
    uint64_t bytes;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_int_equal(units_parse_size(good[i].text, &bytes), 0);
        assert_int_equal(bytes, good[i].bytes);
    }
}

static void units_refuse_what_is_no_size(void **state)
{
    static const char *const bad[] = {"",     " ",   "x",   "-1",   "+1", " 1",  "1 x",   "1kk",
                                      "0x10", "inf", "nan", "1,5G", "kB", ".5k", "1 kB ", "10s"};
    uint64_t bytes = 77;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (units_parse_size(bad[i], &bytes) != -EINVAL)
            fail_msg("\"%s\" was taken for a size", bad[i]);
    assert_int_equal(units_parse_size("4194305T", &bytes), -ERANGE);
    assert_int_equal(units_parse_size("99999999999999999999999", &bytes), -ERANGE);
    assert_int_equal(units_parse_size("1e400", &bytes), -ERANGE);
    assert_int_equal(bytes, 77);
}

static void units_read_durations(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0", 0},        {"10", 10000},    {"10s", 10000},   {"10 sec", 10000},
                {"500ms", 500},  {"0.25", 250},    {"5min", 300000}, {"5m", 300000},
                {"2h", 7200000}, {"1d", 86400000}, {"1D", 86400000}, {"2147483647ms", 2147483647}};
    int64_t ms;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
        assert_int_equal(units_parse_duration(good[i].text, &ms), 0);
        assert_int_equal(ms, good[i].ms);
    }
    assert_int_equal(units_parse_duration("2147483648ms", &ms), -ERANGE);
    assert_int_equal(units_parse_duration("25d", &ms), -ERANGE);
    assert_int_equal(units_parse_duration("5 weeks", &ms), -EINVAL);
    assert_int_equal(units_parse_duration("1kB", &ms), -EINVAL);
    assert_int_equal(units_parse_duration("", &ms), -EINVAL);
}

static void units_write_sizes(void **state)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0 B"},
                 {512, "512 B"},
                 {1023, "1023 B"},
                 {1024, "1.0 KiB"},
                 {1229, "1.2 KiB"},
                 {102348, "99.9 KiB"},
                 {102349, "100 KiB"},
                 {1047552, "1023 KiB"},
                 {1048523, "1.0 MiB"}, /* never "1024 KiB" */
                 {1048575, "1.0 MiB"},
                 {(uint64_t)340 << 20, "340 MiB"},
                 {(uint64_t)1 << 50, "1.0 PiB"},
                 {UINT64_MAX, "16384 PiB"}};
    char out[32];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_string_equal(units_format_size(cases[i].bytes, out, sizeof(out)), cases[i].text);
}

static void units_write_seconds(void **state)
{
    char out[32];

    (void)state;
    assert_string_equal(units_format_seconds(0, out, sizeof(out)), "0:00");
    assert_string_equal(units_format_seconds(7, out, sizeof(out)), "0:07");
    assert_string_equal(units_format_seconds(754, out, sizeof(out)), "12:34");
    assert_string_equal(units_format_seconds(3599, out, sizeof(out)), "59:59");
    assert_string_equal(units_format_seconds(3600, out, sizeof(out)), "1:00:00");
    assert_string_equal(units_format_seconds(3723, out, sizeof(out)), "1:02:03");
    assert_string_equal(units_format_seconds(360000, out, sizeof(out)), "100:00:00");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_read_sizes),     cmocka_unit_test(units_refuse_what_is_no_size),
        cmocka_unit_test(units_read_durations), cmocka_unit_test(units_write_sizes),
        cmocka_unit_test(units_write_seconds),
    };

    return cmocka_run_group_tests_name("common/units", tests, NULL, NULL);
}
