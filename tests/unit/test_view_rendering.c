/* view/rendering: when rendering is worth a checkpoint. (What it does is seen in mounts: tests/mount/render-*.test.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "view/rendering.h"

#define KB UINT64_C(1000)
#define MB (1000 * KB)
#define GB (1000 * MB)

/* How much heap, and how much log was replayed. */
static const struct trade {
    uint64_t bytes, replayed;
    bool pays;
} trades[] = {
    {0, 0, true}, /* there is nothing to be made durable: a view that is there already */
    {8 * KB, 0, true},
    {100 * GB, 0, true},
    {0, 1, false},
    {8 * KB, 48 * MB, false},
    {8 * KB, 640 * MB, false},
    {10 * MB, 48 * MB, false},
    {100 * MB, 48 * MB, true},
    {100 * MB, 640 * MB, false},
    {1300 * MB, 48 * MB, true},
    {1300 * MB, 640 * MB, true},
    {1300 * MB, 20 * GB, false},
    {1000 * GB, 20 * GB, true},
    {1000000 * GB, 1000 * GB, true},
};

static void little_is_copied_where_much_was_replayed(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(trades) / sizeof(trades[0]); i++)
        if (rendering_pays(trades[i].bytes, trades[i].replayed) != trades[i].pays)
            fail_msg("%llu bytes, %llu of log", (unsigned long long)trades[i].bytes,
                     (unsigned long long)trades[i].replayed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(little_is_copied_where_much_was_replayed),
    };

    return cmocka_run_group_tests_name("view/rendering", tests, NULL, NULL);
}
