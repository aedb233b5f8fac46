/* When the next rung is due. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "replay/rungs.h"

#define HOUR 3600000
#define NOW (INT64_C(490000) * HOUR)

static void first_goes_on_from_the_newest(void **state)
{
    (void)state;
    assert_int_equal(rungs_first(0, NOW, HOUR), NOW);
    assert_int_equal(rungs_first(NOW - 10, NOW, HOUR), NOW - 10 + HOUR);
    assert_int_equal(rungs_first(NOW - HOUR, NOW, HOUR), NOW);
    assert_int_equal(rungs_first(NOW - 5 * HOUR, NOW, HOUR), NOW); /* some were missed */
    assert_int_equal(rungs_first(NOW + 2 * HOUR, NOW, HOUR), NOW); /* by a clock that was wrong */
}

static void next_keeps_the_pace(void **state)
{
    (void)state;
    assert_int_equal(rungs_next(NOW, NOW + 1, HOUR), NOW + HOUR);
    assert_int_equal(rungs_next(NOW, NOW + HOUR - 1, HOUR), NOW + HOUR);
    assert_int_equal(rungs_next(NOW, NOW, HOUR), NOW + HOUR);
    assert_int_equal(rungs_next(NOW, NOW + HOUR, HOUR), NOW + 2 * HOUR); /* it took so long */
    assert_int_equal(rungs_next(NOW, NOW + 7 * HOUR + 3, HOUR), NOW + 8 * HOUR);
    assert_int_equal(rungs_next(NOW, NOW - 9 * HOUR, HOUR), NOW - 8 * HOUR); /* set back */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_goes_on_from_the_newest),
        cmocka_unit_test(next_keeps_the_pace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
