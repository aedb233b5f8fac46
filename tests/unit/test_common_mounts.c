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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mounts_are_known_by_their_whole_path),
    };

    return cmocka_run_group_tests_name("common/mounts", tests, NULL, NULL);
}
