/* pages/chain.h: which layer holds a page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "memdisk.h"
#include "pages/chain.h"
#include "pages/side.h"

static struct side *table_with(struct disk *d, const char *path, uint64_t limit, uint64_t from,
                               uint64_t to)
{
    struct side *s;

    assert_int_equal(side_create(d, path, 7, limit, 100, &s, NULL), 0);
    for (; from < to; from++)
        side_set(s, from, 1);
    return s;
}

static void chain_asks_the_newest_layer_first(void **state)
{
    struct disk *d = memdisk_new();
    struct side *new = table_with(d, "new", 50, 10, 20), *old = table_with(d, "old", 30, 15, 25);
    struct chain c = {.n = 2, .sides = {new, old}};
    int place;

    (void)state;
    assert_int_equal(chain_find(&c, 0), CHAIN_BASE);
    assert_int_equal(chain_find(&c, 15), 0);
    assert_int_equal(chain_find(&c, 20), 1);
    assert_int_equal(chain_find(&c, 25), CHAIN_BASE);
    assert_int_equal(chain_find(&c, 30), CHAIN_ZERO); /* the old layer cut it off */
    assert_int_equal(chain_find(&c, 60), CHAIN_ZERO);
    assert_int_equal(chain_run(&c, 0, 100, &place), 10);
    assert_int_equal(chain_run(&c, 10, 100, &place), 20);
    assert_int_equal(place, 0);
    assert_int_equal(chain_run(&c, 30, 100, &place), 100);
    assert_int_equal(place, CHAIN_ZERO);
    assert_int_equal(chain_find(&(struct chain){.n = 0}, 5), CHAIN_BASE);
    side_close(new);
    side_close(old);
    d->ops->free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_asks_the_newest_layer_first),
    };

    return cmocka_run_group_tests_name("pages/chain", tests, NULL, NULL);
}
