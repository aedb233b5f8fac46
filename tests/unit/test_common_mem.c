/* common/mem.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/mem.h"

static void mem_grow_keeps_what_was_there(void **state)
{
    size_t room = 0, n;
    int *a = NULL;

    (void)state;
    for (n = 0; n < 1000; n++) {
        a = mem_grow(a, n, &room, sizeof(*a));
        a[n] = (int)n;
    }
    for (n = 0; n < 1000; n++)
        assert_int_equal(a[n], n);
    free(a);
}

static void mem_gives_zeroed_memory_also_for_nothing(void **state)
{
    char *a = mem_array(0, 8), *b = mem_alloc(16);

    (void)state;
    assert_non_null(a);
    assert_memory_equal(b, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    assert_null(mem_strdup(NULL));
    free(a);
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mem_grow_keeps_what_was_there),
        cmocka_unit_test(mem_gives_zeroed_memory_also_for_nothing),
    };

    return cmocka_run_group_tests_name("common/mem", tests, NULL, NULL);
}
