/* common/mounts.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/mounts.h"

static void mounts_are_known_by_their_whole_path(void **state)
{
    char *type = mounts_type("/proc");

    (void)state;
    assert_string_equal(type, "proc");
    assert_true(mounts_is("/proc", "proc"));
    assert_false(mounts_is("/proc", MOUNTS_OURS));
    assert_null(mounts_type("/proc/self"));
    assert_false(mounts_is("/no/such/place", "proc"));
    assert_false(mounts_is_dead("/proc") || mounts_is_dead("/no/such/place"));
    free(type);
}

static void the_device_of_a_mount_is_known_without_asking_it(void **state)
{
    char *device = mounts_device("/proc"), *rest;

    (void)state;
    assert_non_null(device);
    strtoul(device, &rest, 10);
    assert_true(rest > device && *rest == ':');
    strtoul(rest + 1, &rest, 10);
    assert_int_equal(*rest, 0);
    free(device);
    assert_null(mounts_device("/proc/self"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mounts_are_known_by_their_whole_path),
        cmocka_unit_test(the_device_of_a_mount_is_known_without_asking_it),
    };

    return cmocka_run_group_tests_name("common/mounts", tests, NULL, NULL);
}
