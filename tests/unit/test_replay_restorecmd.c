/* replay/restorecmd: what is put around a restore_command, and what it leaves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"
#include "fixture.h"
#include "replay/restorecmd.h"

static void put(const char *dir, const char *name, const char *text)
{
    char *path = mem_printf("%s/%s", dir, name);
    struct err err;

    unlink(path);
    assert_int_equal(io_write_file(AT_FDCWD, path, text, strlen(text), &err), 0);
    free(path);
}

static void all_settings_but_the_command_stay(void **state)
{
    const struct pg_setting given[] = {
        {"work_mem", "4MB"}, {"restore_command", "cp /a/%f %p"}, {0}};
    struct pg_setting *s = restorecmd_guard(given, false, false);

    (void)state;
    assert_string_equal(s[0].name, "work_mem");
    assert_ptr_equal(s[0].value, given[0].value);
    assert_string_equal(s[1].name, "restore_command");
    assert_non_null(strstr(s[1].value, "( cp /a/%f %p )"));
    assert_null(s[2].name);
    restorecmd_guard_free(s);
    assert_string_equal(restorecmd_given(given), "cp /a/%f %p");
}

static void a_server_without_settings_has_none(void **state)
{
    struct pg_setting *s = restorecmd_guard(NULL, true, true);

    (void)state;
    assert_null(s[0].name);
    restorecmd_guard_free(s);
}

static void only_a_recovery_that_ends_asks_for_its_quick_end(void **state)
{
    const struct pg_setting given[] = {{"restore_command", "x"}, {0}};
    struct pg_setting *ends = restorecmd_guard(given, false, true);
    struct pg_setting *stays = restorecmd_guard(given, false, false);

    (void)state;
    assert_non_null(strstr(ends[0].value, PG_PRIVATE_PROMOTE));
    assert_null(strstr(stays[0].value, PG_PRIVATE_PROMOTE));
    restorecmd_guard_free(ends);
    restorecmd_guard_free(stays);
}

static void the_environment_says_where_and_from_where(void **state)
{
    char *const given[] = {"ASOFS_LOG=/a", NULL};
    char **env = restorecmd_env(given, "/r", -1, UINT64_C(0x1600000028));

    (void)state;
    assert_ptr_equal(env[0], given[0]);
    assert_string_equal(env[1], "ASOFS_RUN=/r");
    assert_memory_equal(env[2], "ASOFS_PROGRAM=/", 15);
    assert_string_equal(env[3], "ASOFS_FROM=16/28");
    assert_null(env[4]);
    restorecmd_env_free(env);
    env = restorecmd_env(NULL, "/r", 7, 0);
    assert_string_equal(env[1], "ASOFS_PROGRAM=/proc/self/fd/3"); /* as the server has it */
    restorecmd_env_free(env);
}

static void what_the_command_said_has_no_empty_end(void **state)
{
    char *said;

    assert_null(restorecmd_said(*state));
    put(*state, "said", " \n\n");
    assert_null(restorecmd_said(*state));
    put(*state, "said", "no archive\ntoday \n\n");
    said = restorecmd_said(*state);
    assert_string_equal(said, "no archive\ntoday");
    free(said);
}

static void a_link_in_its_place_is_not_followed(void **state)
{
    char *path = mem_printf("%s/said", (char *)*state);

    put(*state, "other", "secret");
    assert_int_equal(symlink("other", path), 0);
    assert_null(restorecmd_said(*state));
    free(path);
}

#define NAME "000000010000000000000003\n"

static void a_segment_is_missing_when_it_is_asked_for_again_and_again(void **state)
{
    char missing[RESTORECMD_NAME_MAX];

    assert_false(restorecmd_misses(*state, missing));
    assert_string_equal(missing, "");
    put(*state, "missing", NAME NAME NAME NAME);
    assert_false(restorecmd_misses(*state, missing));
    put(*state, "missing", NAME NAME NAME NAME NAME);
    assert_true(restorecmd_misses(*state, missing));
    assert_string_equal(missing, "000000010000000000000003");
}

static void another_timeline_of_it_is_no_other_segment(void **state)
{
    char missing[RESTORECMD_NAME_MAX];

    put(*state, "missing", NAME "000000020000000000000003\n" NAME NAME NAME NAME);
    assert_true(restorecmd_misses(*state, missing));
    put(*state, "missing", NAME NAME NAME NAME NAME "000000010000000000000004\n");
    assert_false(restorecmd_misses(*state, missing)); /* it came after all */
}

#define PLACED(f) cmocka_unit_test_setup_teardown(f, fixture_set_up_dir, fixture_tear_down_dir)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_settings_but_the_command_stay),
        cmocka_unit_test(a_server_without_settings_has_none),
        cmocka_unit_test(only_a_recovery_that_ends_asks_for_its_quick_end),
        cmocka_unit_test(the_environment_says_where_and_from_where),
        PLACED(what_the_command_said_has_no_empty_end),
        PLACED(a_link_in_its_place_is_not_followed),
        PLACED(a_segment_is_missing_when_it_is_asked_for_again_and_again),
        PLACED(another_timeline_of_it_is_no_other_segment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
