/* common/clock.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/clock.h"

static void clock_never_goes_back(void **state)
{
    int64_t before = clock_ms();
    int i;

    (void)state;
    for (i = 0; i < 1000; i++) {
        int64_t now = clock_ms();

        assert_true(now >= before);
        before = now;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clock_never_goes_back),
    };

    return cmocka_run_group_tests_name("common/clock", tests, NULL, NULL);
}
