/* render/zone.c and zonerule.c. The offsets are what a server said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "render/zone.h"
#include "render/zonerule.h"

/* ---- the system's zones ---- */

static const struct {
    const char *zone;
    int64_t at;
    int32_t east;
} moments[] = {
    {"Europe/Berlin", -5364662400, 3208},        /* 1800-01-01 00:00 */
    {"Europe/Berlin", -2422054409, 3208},        /* 1893-03-31 23:06:31 */
    {"Europe/Berlin", -2422054408, 3600},        /* 1893-03-31 23:06:32 */
    {"Europe/Berlin", -776559600, 10800},        /* 1945-05-24 01:00 */
    {"Europe/Berlin", 15638400, 3600},           /* 1970-07-01 00:00 */
    {"Europe/Berlin", 1585443599, 3600},         /* 2020-03-29 00:59:59 */
    {"Europe/Berlin", 1585443600, 7200},         /* 2020-03-29 01:00 */
    {"Europe/Berlin", 1603587599, 7200},         /* 2020-10-25 00:59:59 */
    {"Europe/Berlin", 1603587600, 3600},         /* 2020-10-25 01:00 */
    {"Europe/Berlin", 2145830400, 3600},         /* 2037-12-31 00:00 */
    {"Europe/Berlin", 2161555200, 7200},         /* 2038-07-01 00:00 */
    {"Europe/Berlin", 13585190400, 7200},        /* 2400-07-01 00:00 */
    {"Europe/Berlin", 14752800000, 7200},        /* 2437-07-01 00:00 */
    {"Europe/Berlin", 14768697600, 3600},        /* 2438-01-01 00:00 */
    {"Europe/Berlin", 253386403200, 7200},       /* 9999-07-01 00:00 */
    {"Europe/Berlin", 253399622400, 3600},       /* 9999-12-01 00:00 */
    {"Europe/Berlin", 3093543705600, 7200},      /* 100000-07-01 00:00 */
    {"Europe/Berlin", 9224315337600, 3600},      /* 294276-12-01 00:00 */
    {"Europe/Berlin", -188363404800, 3208},      /* 4000-01-01 00:00 BC */
    {"America/New_York", -2717650801, -17762},   /* 1883-11-18 16:59:59 */
    {"America/New_York", -2717650800, -18000},   /* 1883-11-18 17:00 */
    {"America/New_York", -865296000, -14400},    /* 1942-08-01 00:00 */
    {"America/New_York", 1719792000, -14400},    /* 2024-07-01 00:00 */
    {"America/New_York", 1733011200, -18000},    /* 2024-12-01 00:00 */
    {"America/New_York", 4671388713600, -14400}, /* 150000-06-01 00:00 */
    {"Asia/Kolkata", -5364662400, 21208},        /* 1800-01-01 00:00 */
    {"Asia/Kolkata", -852076800, 23400},         /* 1943-01-01 00:00 */
    {"Asia/Kolkata", 1704067200, 19800},         /* 2024-01-01 00:00 */
    {"Asia/Kolkata", 6249223180800, 19800},      /* 200000-01-01 00:00 */
    {"Europe/Dublin", -2208988800, -1521},       /* 1900-01-01 00:00 */
    {"Europe/Dublin", -34214400, 3600},          /* 1968-12-01 00:00 */
    {"Europe/Dublin", 1704067200, 0},            /* 2024-01-01 00:00 */
    {"Europe/Dublin", 1719792000, 3600},         /* 2024-07-01 00:00 */
    {"Europe/Dublin", 32519318400, 3600},        /* 3000-07-01 00:00 */
    {"Europe/Dublin", 32503680000, 0},           /* 3000-01-01 00:00 */
    {"Australia/Lord_Howe", 1704067200, 39600},  /* 2024-01-01 00:00 */
    {"Australia/Lord_Howe", 1719792000, 37800},  /* 2024-07-01 00:00 */
    {"Australia/Lord_Howe", 95617584000, 39600}, /* 5000-01-01 00:00 */
    {"Pacific/Apia", 1325239199, -36000},        /* 2011-12-30 09:59:59 */
    {"Pacific/Apia", 1325239200, 50400},         /* 2011-12-30 10:00 */
};

static void offsets_are_those_of_the_server(void **state)
{
    struct render_zone *z = render_zone_new("Europe/Berlin");
    const char *name = "Europe/Berlin";
    size_t i;

    (void)state;
    if (!z)
        skip(); /* no zones on this machine */
    for (i = 0; i < sizeof(moments) / sizeof(*moments); i++) {
        if (strcmp(moments[i].zone, name) != 0) {
            render_zone_free(z);
            name = moments[i].zone;
            z = render_zone_new(name);
            assert_non_null(z);
        }
        assert_int_equal(render_zone_offset(z, moments[i].at), moments[i].east);
    }
    render_zone_free(z);
}

static void names_are_those_of_files(void **state)
{
    static const char *const none[] = {"",
                                       ".",
                                       "..",
                                       "/etc/localtime",
                                       "../zoneinfo/UTC",
                                       "Europe/../UTC",
                                       "Europe//Berlin",
                                       "Europe/",
                                       "Europe",
                                       "europe/berlin",
                                       "No/Where",
                                       "UTC+1",
                                       "zone.tab",
                                       "tzdata.zi",
                                       "right/UTC",
                                       "+01",
                                       "<+03>-3",
                                       "UTC\n"};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(none) / sizeof(*none); i++)
        assert_null(render_zone_new(none[i]));
}

static void utc_needs_no_file(void **state)
{
    static const char *const names[] = {"UTC", "GMT"};
    struct render_zone *z;
    size_t i;

    (void)state;
    for (i = 0; i < 2; i++) {
        z = render_zone_new(names[i]);
        assert_non_null(z);
        assert_int_equal(render_zone_offset(z, 0), 0);
        assert_int_equal(render_zone_offset(z, INT64_MAX / 2), 0);
        assert_int_equal(render_zone_offset(z, INT64_MIN / 2), 0);
        render_zone_free(z);
    }
}

/* ---- files of our own ---- */

struct file {
    char bytes[512];
    size_t n;
};

static void add(struct file *f, const void *bytes, size_t n)
{
    assert_true(f->n + n <= sizeof(f->bytes));
    memcpy(f->bytes + f->n, bytes, n);
    f->n += n;
}

static void add_big(struct file *f, uint64_t v, int bytes)
{
    char c;

    while (bytes-- > 0) {
        c = (char)(v >> 8 * bytes);
        add(f, &c, 1);
    }
}

static void add_header(struct file *f, uint32_t times, uint32_t types, uint32_t leaps)
{
    add(f, "TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    add_big(f, 0, 4);
    add_big(f, 0, 4);
    add_big(f, leaps, 4);
    add_big(f, times, 4);
    add_big(f, types, 4);
    add_big(f, 4, 4);
}

static void add_type(struct file *f, int32_t east, int summer)
{
    add_big(f, (uint32_t)east, 4);
    add_big(f, (uint64_t)summer << 8, 2);
}

struct example {
    int64_t at[3];
    uint8_t type[3];
    int32_t east[3];
    uint8_t summer[3];
    uint32_t times, leaps;
    const char *footer;
};

static struct file make_file(const struct example *e)
{
    struct file f = {.n = 0};
    uint32_t i;

    add_header(&f, 0, 1, 0);
    add_type(&f, 0, 0);
    add(&f, "UTC", 4);
    add_header(&f, e->times, 3, e->leaps);
    for (i = 0; i < e->times; i++)
        add_big(&f, (uint64_t)e->at[i], 8);
    add(&f, e->type, e->times);
    for (i = 0; i < 3; i++)
        add_type(&f, e->east[i], e->summer[i]);
    add(&f, "ABC", 4);
    for (i = 0; i < 3 * e->leaps; i++)
        add_big(&f, 0, 4);
    add(&f, e->footer, strlen(e->footer));
    return f;
}

static struct render_zone *parse(const struct file *f, size_t n)
{
    char *copy = malloc(n ? n : 1); /* of the exact size, for sanitizers */
    struct render_zone *z;

    memcpy(copy, f->bytes, n);
    z = render_zone_parse(copy, n);
    free(copy);
    return z;
}

static const struct example plain = {.at = {-1000, 0, 1000},
                                     .type = {1, 2, 1},
                                     .east = {600, 3600, 7200},
                                     .summer = {0, 0, 1},
                                     .times = 3,
                                     .footer = "\nCET-1CEST,M3.5.0,M10.5.0/3\n"};

static int32_t offset_at(const struct example *e, int64_t at)
{
    struct file f = make_file(e);
    struct render_zone *z = parse(&f, f.n);
    int32_t east;

    assert_non_null(z);
    east = render_zone_offset(z, at);
    render_zone_free(z);
    return east;
}

static void transitions_begin_at_their_second(void **state)
{
    (void)state;
    assert_int_equal(offset_at(&plain, -1001), 600);
    assert_int_equal(offset_at(&plain, -1000), 3600);
    assert_int_equal(offset_at(&plain, -1), 3600);
    assert_int_equal(offset_at(&plain, 0), 7200);
    assert_int_equal(offset_at(&plain, 999), 7200);
    assert_int_equal(offset_at(&plain, 1000), 3600);
    assert_int_equal(offset_at(&plain, 7513200), 3600); /* 1970-03-29: the rule holds already */
    assert_int_equal(offset_at(&plain, 7520400), 7200);
}

static void the_first_type_is_standard_time(void **state)
{
    struct example e = plain;

    (void)state;
    e.type[0] = 0; /* used: not the first for that reason alone, but it is standard time */
    assert_int_equal(offset_at(&e, -5000), 600);
    e.summer[0] = 1;
    assert_int_equal(offset_at(&e, -5000), 3600);
    e.type[0] = 2; /* the standard type before that of the first transition */
    e.type[1] = 0;
    assert_int_equal(offset_at(&e, -5000), 3600);
    e.summer[1] = 1;
    e.type[0] = 1;
    assert_int_equal(offset_at(&e, -5000), 600);
}

static void without_a_rule_the_last_type_stays(void **state)
{
    struct example e = plain;

    (void)state;
    e.footer = "\n\n";
    assert_int_equal(offset_at(&e, INT64_C(100000000000)), 3600);
    e.footer = "\nCET-1\n";
    assert_int_equal(offset_at(&e, INT64_C(100000000000)), 3600);
    e.times = 0;
    assert_int_equal(offset_at(&e, 0), 600);
}

static void damaged_files_are_no_zones(void **state)
{
    struct file f = make_file(&plain);
    size_t i;
    int k;

    (void)state;
    for (i = 0; i < f.n; i++)
        assert_null(parse(&f, i));
    for (i = 0; i < f.n; i++)
        for (k = 1; k < 256; k += 2) {
            f.bytes[i] ^= (char)k;
            render_zone_free(parse(&f, f.n));
            f.bytes[i] ^= (char)k;
        }
}

static void impossible_files_are_no_zones(void **state)
{
    static const char *const footers[] = {"", "\n", "CET-1\n", "\nCET\n", "\nCET-1CEST\n", "\n1\n"};
    struct example e;
    struct file f;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(footers) / sizeof(*footers); i++) {
        e = plain;
        e.footer = footers[i];
        f = make_file(&e);
        assert_null(parse(&f, f.n));
    }
    e = plain;
    e.at[1] = -1000; /* not later */
    f = make_file(&e);
    assert_null(parse(&f, f.n));
    e = plain;
    e.type[1] = 3;
    f = make_file(&e);
    assert_null(parse(&f, f.n));
    e = plain;
    e.east[2] = 200000;
    f = make_file(&e);
    assert_null(parse(&f, f.n));
    e = plain;
    e.leaps = 1;
    f = make_file(&e);
    assert_null(parse(&f, f.n));
}

/* ---- rules ---- */

static void check_rule(const char *text, int64_t year, int64_t begin, int64_t end)
{
    struct zonerule r;
    int64_t b, e;

    assert_true(render_zonerule_parse(text, strlen(text), &r));
    assert_true(render_zonerule_year(&r, year, &b, &e));
    assert_int_equal(b, begin);
    assert_int_equal(e, end);
}

static void rules_give_the_days_of_a_year(void **state)
{
    (void)state;
    check_rule("CET-1CEST,M3.5.0,M10.5.0/3", 2020, 1585443600, 1603587600);
    check_rule("EST5EDT,M3.2.0,M11.1.0", 2024, 1710054000, 1730613600);
    check_rule("IST-1GMT0,M10.5.0,M3.5.0/1", 2024, 1729990800, 1711846800);
    check_rule("<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", 2024, 1728142200, 1712415600);
    check_rule("A0B,J59,J60", 2024, 1709085600 + 0, 1709254800); /* Feb 28th, Mar 1st */
    check_rule("A0B,58/0,59/-1", 2024, 1709078400, 1709157600);  /* Feb 28th, Feb 29th */
}

static void other_texts_are_no_rules(void **state)
{
    static const char *const texts[] = {"",
                                        "A",
                                        "-1",
                                        "<+03-3",
                                        "A168",
                                        "A1:60",
                                        "A1:00:61",
                                        "A-",
                                        "A0B",
                                        "A0B1",
                                        "A0B,",
                                        "A0B,M3.5.0",
                                        "A0B,M3.5.0,M10.5.0,",
                                        "A0B,M13.5.0,M10.5.0",
                                        "A0B,M3.6.0,M10.5.0",
                                        "A0B,M3.5.7,M10.5.0",
                                        "A0B,M3.5,M10.5.0",
                                        "A0B,J0,J5",
                                        "A0B,J366,J5",
                                        "A0B,1/,5",
                                        "A99999999999",
                                        "A0 "};
    struct zonerule r;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(texts) / sizeof(*texts); i++)
        assert_false(render_zonerule_parse(texts[i], strlen(texts[i]), &r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offsets_are_those_of_the_server),
        cmocka_unit_test(names_are_those_of_files),
        cmocka_unit_test(utc_needs_no_file),
        cmocka_unit_test(transitions_begin_at_their_second),
        cmocka_unit_test(the_first_type_is_standard_time),
        cmocka_unit_test(without_a_rule_the_last_type_stays),
        cmocka_unit_test(damaged_files_are_no_zones),
        cmocka_unit_test(impossible_files_are_no_zones),
        cmocka_unit_test(rules_give_the_days_of_a_year),
        cmocka_unit_test(other_texts_are_no_rules),
    };

    return cmocka_run_group_tests_name("render/zone", tests, NULL, NULL);
}
