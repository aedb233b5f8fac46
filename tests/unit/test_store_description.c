/* store/description.c: what the JSON files of a store may say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/err.h"
#include "store/store.h"
#include "storeplace.h"

static int parse(enum store_description_type type, const char *text, struct store_description *d,
                 struct err *err)
{
    return store_parse(type, text, strlen(text), "FILE", d, err);
}

#define FROZEN(live, epoch)                                                                        \
    "{\"format\":1,\"kind\":\"frozen\",\"live\":" live ",\"epoch\":" epoch                         \
    ",\"start_lsn\":\"0/9\",\"consistent_lsn\":\"0/A\",\"timeline\":1}"

static void assert_refused(enum store_description_type type, const char *text, const char *word)
{
    struct store_description d;
    struct err err = {0};

    if (parse(type, text, &d, &err) >= 0)
        fail_msg("taken: %s", text);
    place_assert_says(&err, "FILE", word);
    assert_null(d.kind);
    assert_null(d.base);
}

static void descriptions_are_read(void **state)
{
    struct store_description d;
    struct err err;

    (void)state;
    assert_int_equal(parse(STORE_JSON, "{\"format\":1,\"page_bytes\":8192}", &d, &err), 0);
    assert_int_equal(d.page_bytes, 8192);
    assert_int_equal(
        parse(BASE_JSON, "{\"kind\":\"directory\",\"path\":\"/a b\",\"format\":1}", &d, &err), 0);
    assert_string_equal(d.path, "/a b");
    assert_null(d.parent);
    store_description_free(&d);
    assert_int_equal(
        parse(BASE_JSON, "{\"format\":1,\"kind\":\"layer\",\"parent\":\"12\"}", &d, &err), 0);
    assert_string_equal(d.parent, "12");
    store_description_free(&d);
    assert_int_equal(parse(BASE_JSON, "{\"format\":1,\"kind\":\"live\",\"path\":\"/a\"}", &d, &err),
                     0);
    assert_string_equal(d.path, "/a");
    store_description_free(&d);
    assert_int_equal(parse(BASE_JSON, FROZEN("\"2\"", "7"), &d, &err), 0);
    assert_string_equal(d.live, "2");
    assert_int_equal(d.epoch, 7);
    assert_null(d.view);
    store_description_free(&d);
    assert_int_equal(parse(VIEW_JSON, "{\"format\":1,\"base\":\"3\",\"state\":\"open\"}", &d, &err),
                     0);
    assert_string_equal(d.base, "3");
    store_description_free(&d);
}

static void another_format_is_refused_by_its_number(void **state)
{
    struct store_description d;
    struct err err;

    (void)state;
    assert_int_equal(parse(STORE_JSON, "{\"format\":2,\"page_bytes\":1,\"new\":0}", &d, &err),
                     -ENOTSUP);
    place_assert_says(&err, "\"format\" is 2", "knows format 1");
    assert_refused(BASE_JSON, "{\"format\":0,\"kind\":\"directory\",\"path\":\"/\"}", "is 0");
    assert_refused(VIEW_JSON, "{\"format\":-1}", "is -1");
    assert_refused(STORE_JSON, "{\"format\":1.0,\"page_bytes\":8192}", "\"format\" is no whole");
    assert_refused(STORE_JSON, "{\"page_bytes\":8192}", "\"format\" is missing");
    assert_refused(STORE_JSON, "{\"format\":99999999999999999999,\"page_bytes\":8192}", "line 1");
}

static void what_is_no_description_is_refused(void **state)
{
    (void)state;
    assert_refused(STORE_JSON, "", "damaged");
    assert_refused(STORE_JSON, "{\"format\":1,\"page_bytes\":8192", "damaged");
    assert_refused(STORE_JSON, "{\"format\":1,\"page_bytes\":8192}x", "damaged");
    assert_refused(STORE_JSON, "[1]", "no JSON object");
    assert_refused(STORE_JSON, "{\"format\":1,\"format\":1,\"page_bytes\":8192}", "damaged");
}

static void keys_that_are_missing_or_odd_are_named(void **state)
{
    (void)state;
    assert_refused(STORE_JSON, "{\"format\":1}", "\"page_bytes\" is missing");
    assert_refused(STORE_JSON, "{\"format\":1,\"page_bytes\":\"8192\"}", "\"page_bytes\" is no");
    assert_refused(STORE_JSON, "{\"format\":1,\"page_bytes\":4096}", "\"page_bytes\" is 4096");
    assert_refused(STORE_JSON, "{\"format\":1,\"page_bytes\":8192,\"x\":1}", "\"x\" is unknown");
    assert_refused(BASE_JSON, "{\"format\":1}", "\"kind\" is missing");
    assert_refused(BASE_JSON, "{\"format\":1,\"kind\":7}", "\"kind\" is no text");
    assert_refused(BASE_JSON, "{\"format\":1,\"kind\":\"tape\"}", "\"kind\" is \"tape\"");
    assert_refused(BASE_JSON, "{\"format\":1,\"kind\":\"directory\"}", "\"path\" is missing");
    assert_refused(BASE_JSON, "{\"format\":1,\"kind\":\"directory\",\"path\":\"x\"}", "\"path\"");
    assert_refused(BASE_JSON, "{\"format\":1,\"kind\":\"directory\",\"path\":\"\"}", "\"path\"");
    assert_refused(BASE_JSON,
                   "{\"format\":1,\"kind\":\"directory\",\"path\":\"/\",\"parent\":\"1\"}",
                   "\"parent\" is unknown");
    assert_refused(BASE_JSON, "{\"format\":1,\"kind\":\"layer\"}", "\"parent\" is missing");
    assert_refused(BASE_JSON, "{\"format\":1,\"kind\":\"live\",\"path\":\"a\"}", "\"path\"");
    assert_refused(BASE_JSON,
                   "{\"format\":1,\"kind\":\"live\",\"path\":\"/a\",\"start_lsn\":\"0/1\"}",
                   "\"start_lsn\" is unknown");
    assert_refused(BASE_JSON, FROZEN("\"../1\"", "7"), "\"live\"");
    assert_refused(BASE_JSON, FROZEN("\"1\"", "0"), "\"epoch\" is 0");
    assert_refused(BASE_JSON, FROZEN("\"1\"", "7,\"view\":\"../v\""), "\"view\"");
    assert_refused(BASE_JSON, "{\"format\":1,\"kind\":\"frozen\",\"live\":\"1\",\"epoch\":1}",
                   "\"start_lsn\" is missing");
    assert_refused(
        BASE_JSON,
        "{\"format\":1,\"kind\":\"frozen\",\"live\":\"1\",\"epoch\":1,\"start_lsn\":\"0/9\","
        "\"timeline\":1}",
        "\"consistent_lsn\" is missing");
    assert_refused(VIEW_JSON, "{\"format\":1,\"base\":\"1\"}", "\"state\" is missing");
    assert_refused(VIEW_JSON, "{\"format\":1,\"base\":1,\"state\":\"open\"}", "\"base\" is no");
    assert_refused(VIEW_JSON, "{\"format\":1,\"base\":\"1\",\"state\":\"shut\"}", "\"state\"");
}

static void ids_that_leave_their_directory_are_refused(void **state)
{
    static const char *const odd[] = {"",   "0",  "01",     "-1",         "..", "1/..",
                                      "1 ", "1a", "../../", "1000000000", "x"};
    char text[256];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        snprintf(text, sizeof(text), "{\"format\":1,\"kind\":\"layer\",\"parent\":\"%s\"}", odd[i]);
        assert_refused(BASE_JSON, text, "\"parent\"");
        snprintf(text, sizeof(text), "{\"format\":1,\"base\":\"%s\",\"state\":\"open\"}", odd[i]);
        assert_refused(VIEW_JSON, text, "\"base\"");
    }
    assert_refused(VIEW_JSON, "{\"format\":1,\"base\":\"1\\u0000\",\"state\":\"open\"}", "damaged");
}

static void whose_cluster_a_store_is_of_is_read(void **state)
{
    struct store_description d;
    struct err err;

    (void)state;
    assert_int_equal(parse(STORE_JSON,
                           "{\"format\":1,\"page_bytes\":8192,\"system_identifier\":"
                           "\"18446744073709551615\",\"major\":15,\"segment_bytes\":16777216,"
                           "\"log\":\"/l\",\"slot\":\"s\",\"conninfo\":\"\"}",
                           &d, &err),
                     0);
    assert_string_equal(d.system_identifier, "18446744073709551615");
    assert_int_equal(d.segment_bytes, 16 << 20);
    assert_string_equal(d.log, "/l");
    assert_null(d.restore_command);
    store_description_free(&d);
}

static void assert_cluster_refused(const char *keys, const char *word)
{
    char text[512];

    snprintf(text, sizeof(text), "{\"format\":1,\"page_bytes\":8192,%s}", keys);
    assert_refused(STORE_JSON, text, word);
}

static void a_cluster_that_cannot_be_is_refused(void **state)
{
    (void)state;
    assert_cluster_refused("\"slot\":\"s\"", "\"system_identifier\" is missing");
    assert_cluster_refused("\"major\":15,\"segment_bytes\":16777216", "\"system_identifier\"");
    assert_cluster_refused("\"system_identifier\":7,\"major\":15,\"segment_bytes\":16777216",
                           "\"system_identifier\" is no text");
    assert_cluster_refused("\"system_identifier\":\"0\",\"major\":15,\"segment_bytes\":16777216",
                           "\"system_identifier\"");
    assert_cluster_refused(
        "\"system_identifier\":\"18446744073709551616\",\"major\":15,\"segment_bytes\":16777216",
        "\"system_identifier\"");
    assert_cluster_refused("\"system_identifier\":\"7\",\"segment_bytes\":16777216", "\"major\"");
    assert_cluster_refused("\"system_identifier\":\"7\",\"major\":-1,\"segment_bytes\":16777216",
                           "\"major\" is -1");
    assert_cluster_refused("\"system_identifier\":\"7\",\"major\":15", "\"segment_bytes\" is 0");
    assert_cluster_refused("\"system_identifier\":\"7\",\"major\":15,\"segment_bytes\":3000000",
                           "\"segment_bytes\"");
    assert_cluster_refused("\"system_identifier\":\"7\",\"major\":15,\"segment_bytes\":524288",
                           "\"segment_bytes\"");
    assert_cluster_refused("\"system_identifier\":\"7\",\"major\":15,\"segment_bytes\":2147483648",
                           "\"segment_bytes\"");
    assert_cluster_refused(
        "\"system_identifier\":\"7\",\"major\":15,\"segment_bytes\":16777216,\"log\":\"l\"",
        "\"log\"");
}

#define BASE_OF "{\"format\":1,\"kind\":\"directory\",\"path\":\"/\","
#define VIEW_OF "{\"format\":1,\"base\":\"1\","

static void times_that_cannot_be_are_refused(void **state)
{
    static const char first[] = BASE_OF "\"start_lsn\":\"0/1\",\"timeline\":1,\"%s\":%lld}";
    static const char shown[] = VIEW_OF "\"state\":\"complete\",\"time_us\":%lld}";
    const long long most = STORE_TIME_MAX, most_us = most * 1000000 + 999999;
    struct store_description d;
    struct err err;
    char text[256];

    (void)state;
    snprintf(text, sizeof(text), first, "start_time", most);
    assert_int_equal(parse(BASE_JSON, text, &d, &err), 0);
    assert_int_equal(d.start_time, most);
    store_description_free(&d);
    snprintf(text, sizeof(text), first, "start_time", most + 1);
    assert_refused(BASE_JSON, text, "\"start_time\" is 9223372037");
    snprintf(text, sizeof(text), first, "consistent_time", (long long)INT64_MAX);
    assert_refused(BASE_JSON, text, "\"consistent_time\"");
    snprintf(text, sizeof(text), first, "consistent_time", -1ll);
    assert_refused(BASE_JSON, text, "\"consistent_time\" is -1");
    snprintf(text, sizeof(text), shown, most_us);
    assert_int_equal(parse(VIEW_JSON, text, &d, &err), 0);
    store_description_free(&d);
    snprintf(text, sizeof(text), shown, most_us + 1);
    assert_refused(VIEW_JSON, text, "\"time_us\"");
    snprintf(text, sizeof(text), shown, (long long)INT64_MIN);
    assert_refused(VIEW_JSON, text, "\"time_us\"");
}

static void facts_that_cannot_be_are_refused(void **state)
{
    (void)state;
    assert_refused(BASE_JSON, BASE_OF "\"start_lsn\":\"0/1\"}", "\"timeline\" is 0");
    assert_refused(BASE_JSON, BASE_OF "\"start_lsn\":\"0/\",\"timeline\":1}", "\"start_lsn\"");
    assert_refused(BASE_JSON, BASE_OF "\"timeline\":1}", "\"start_lsn\" is missing");
    assert_refused(BASE_JSON, BASE_OF "\"consistent_lsn\":\"0/1\"}", "\"start_lsn\" is missing");
    assert_refused(BASE_JSON, BASE_OF "\"start_lsn\":\"0/1\",\"timeline\":4294967296}",
                   "\"timeline\"");
    assert_refused(BASE_JSON,
                   BASE_OF "\"start_lsn\":\"0/1\",\"timeline\":1,\"consistent_lsn\":\"x\"}",
                   "\"consistent_lsn\"");
    assert_refused(VIEW_JSON, VIEW_OF "\"state\":\"complete\",\"lsn\":\"9\"}", "\"lsn\"");
    assert_refused(VIEW_JSON, VIEW_OF "\"state\":\"open\",\"timeline\":-1}", "\"timeline\"");
    assert_refused(VIEW_JSON, VIEW_OF "\"state\":\"open\",\"parent\":\"1\"}", "\"parent\"");
    assert_refused(VIEW_JSON, VIEW_OF "\"state\":\"open\",\"parent\":\"view/\"}", "\"parent\"");
    assert_refused(VIEW_JSON, VIEW_OF "\"state\":\"open\",\"parent\":\"view/..\"}", "\"parent\"");
    assert_refused(VIEW_JSON, VIEW_OF "\"state\":\"open\",\"parent\":\"view/a/b\"}", "\"parent\"");
    assert_refused(BASE_JSON, "{\"format\":1,\"kind\":\"layer\",\"parent\":\"view/a\"}",
                   "\"parent\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptions_are_read),
        cmocka_unit_test(another_format_is_refused_by_its_number),
        cmocka_unit_test(what_is_no_description_is_refused),
        cmocka_unit_test(keys_that_are_missing_or_odd_are_named),
        cmocka_unit_test(ids_that_leave_their_directory_are_refused),
        cmocka_unit_test(whose_cluster_a_store_is_of_is_read),
        cmocka_unit_test(a_cluster_that_cannot_be_is_refused),
        cmocka_unit_test(facts_that_cannot_be_are_refused),
        cmocka_unit_test(times_that_cannot_be_are_refused),
    };

    return cmocka_run_group_tests_name("store/description", tests, NULL, NULL);
}
