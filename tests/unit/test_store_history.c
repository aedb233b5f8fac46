/* store/history.h: what the history of a timeline says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "common/err.h"
#include "store/history.h"

static int parse(const char *text, struct history *h)
{
    struct err err = {0};
    int rc;

    *h = (struct history){.timeline = 3};
    rc = history_parse(text, "/srv/log", h, &err);
    if (rc < 0)
        assert_non_null(strstr(err.text, "/srv/log/00000003.history"));
    return rc;
}

static void a_history_is_read_as_postgresql_writes_it(void **state)
{
    struct history h;
    uint64_t begin, end;

    (void)state;
    assert_int_equal(parse("# why\n\n1\t0/D00090\tbefore LSN 0/D00090\n2\t1/A\tno recovery "
                           "target specified\n",
                           &h),
                     0);
    assert_int_equal(h.n, 2);
    assert_true(history_part(&h, 1, &begin, &end));
    assert_int_equal(begin, 0);
    assert_int_equal(end, 0xD00090);
    assert_true(history_part(&h, 2, &begin, &end));
    assert_int_equal(begin, 0xD00090);
    assert_int_equal(end, 0x10000000A);
    assert_true(history_part(&h, 3, &begin, &end));
    assert_int_equal(begin, 0x10000000A);
    assert_true(end == UINT64_MAX);
    assert_false(history_part(&h, 4, &begin, &end));
    history_free(&h);
}

static void what_is_no_history_is_refused_by_name(void **state)
{
    static const char *const odd[] = {
        "",
        "\n# nothing\n",
        "1",
        "1\t0/D0", /* cut */
        "1\t0\tx\n",
        "one\t0/D0\tx\n",
        "0\t0/D0\tx\n",
        "3\t0/D0\tx\n",             /* from itself */
        "2\t0/D0\tx\n1\t0/E0\tx\n", /* backwards */
        "1\t0/D0\tx\n2\t0/C0\tx\n",
    };
    struct history h;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        if (parse(odd[i], &h) != -EINVAL)
            fail_msg("taken: \"%s\"", odd[i]);
        history_free(&h);
    }
}

static void names_of_histories_are_read_strictly(void **state)
{
    uint32_t timeline;
    char name[HISTORY_NAME_MAX];

    (void)state;
    assert_true(history_parse_name("0000000A.history", &timeline));
    assert_int_equal(timeline, 10);
    history_name(UINT32_MAX, name);
    assert_true(history_parse_name(name, &timeline));
    assert_false(history_parse_name("00000000.history", &timeline));
    assert_false(history_parse_name("00000001.history", &timeline));
    assert_false(history_parse_name("0000000a.history", &timeline));
    assert_false(history_parse_name("00000002.history.tmp", &timeline));
    assert_false(history_parse_name("0000002.history", &timeline));
    assert_false(history_parse_name(" 0000002.history", &timeline));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_history_is_read_as_postgresql_writes_it),
        cmocka_unit_test(what_is_no_history_is_refused_by_name),
        cmocka_unit_test(names_of_histories_are_read_strictly),
    };

    return cmocka_run_group_tests_name("store/history", tests, NULL, NULL);
}
