/* store/drop.c: bases are dropped when nothing stands on them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include "common/err.h"
#include "store/internal.h"
#include "store/store.h"
#include "storeplace.h"

static void a_base_is_dropped_when_nothing_stands_on_it(void **state)
{
    struct place *p = *state;

    place_add_base(p, "1");
    place_create_view(p, "v", "1");
    assert_int_equal(store_drop_base(p->store, "1", &p->err), -EBUSY);
    place_assert_says(&p->err, "base 1", "view v");
    assert_int_equal(store_drop_view(p->store, "v", &p->err), 0);
    place_make_dir(p, "store/base/2");
    place_put_text(p, "store/base/2/base.json",
                   "{\"format\":1,\"kind\":\"layer\",\"parent\":\"1\",\"start_lsn\":\"0/9\","
                   "\"timeline\":1}");
    assert_int_equal(store_drop_base(p->store, "1", &p->err), -EBUSY);
    place_assert_says(&p->err, "base 2", "layer");
    assert_int_equal(store_drop_base(p->store, "2", &p->err), 0);
    assert_int_equal(store_drop_base(p->store, "1", &p->err), 0);
    assert_false(place_has(p, "store/base/1"));
    assert_true(place_has(p, "data/PG_VERSION"));
    assert_int_equal(store_drop_base(p->store, "1", &p->err), -ENOENT);
    assert_int_equal(store_drop_base(p->store, "../view", &p->err), -ENOENT);
}

static void a_base_that_a_damaged_view_may_need_is_not_dropped(void **state)
{
    struct place *p = *state;

    place_add_base(p, "1");
    place_create_view(p, "v", "1");
    place_put_text(p, "store/view/v/view.json", "{");
    assert_true(store_drop_base(p->store, "1", &p->err) < 0);
    place_assert_says(&p->err, "view/v/view.json", "damaged");
    assert_true(place_has(p, "store/base/1/base.json"));
}

#define PLACED(f) cmocka_unit_test_setup_teardown(f, place_set_up, place_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACED(a_base_is_dropped_when_nothing_stands_on_it),
        PLACED(a_base_that_a_damaged_view_may_need_is_not_dropped),
    };

    return cmocka_run_group_tests_name("store/drop", tests, NULL, NULL);
}
