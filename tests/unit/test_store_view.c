/* store/view.c: views, what is known of them, and views that become layers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/err.h"
#include "pages/datadir.h"
#include "pages/dirtree.h"
#include "store/internal.h"
#include "store/store.h"
#include "storeplace.h"

static void odd_names_of_views_are_refused(void **state)
{
    struct place *p = *state;
    char longest[STORE_NAME_MAX + 2];
    static const char *const odd[] = {"", ".", "..", ".x", "a/b", "a b", "\xc3\xa9", "a\n", "a%"};
    struct store_view *v;
    size_t i;

    place_add_base(p, "1");
    for (i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        assert_int_equal(store_create_view(p->store, odd[i], NULL, NULL, &p->err), -EINVAL);
        assert_int_equal(store_drop_view(p->store, odd[i], &p->err), -EINVAL);
        assert_int_equal(place_try_open(p, odd[i], 0, &v), -EINVAL);
        assert_null(v);
        assert_false(store_has_view(p->store, odd[i]));
    }
    memset(longest, 'x', sizeof(longest));
    longest[STORE_NAME_MAX + 1] = '\0';
    assert_int_equal(store_create_view(p->store, longest, NULL, NULL, &p->err), -EINVAL);
    longest[STORE_NAME_MAX] = '\0';
    place_create_view(p, longest, NULL);
    assert_true(store_has_view(p->store, longest));
}

static void a_view_stands_on_the_newest_base_or_the_one_named(void **state)
{
    struct place *p = *state;
    char *base, **views;

    assert_int_equal(store_create_view(p->store, "v", NULL, NULL, &p->err), -ENOENT);
    place_assert_says(&p->err, "no base yet", "");
    place_add_base(p, "1");
    place_add_base(p, "2");
    place_create_view(p, "b", NULL);
    place_create_view(p, "a", "1");
    assert_int_equal(store_read_view(p->store, "b", &base, &p->err), 0);
    assert_string_equal(base, "2");
    free(base);
    assert_int_equal(store_read_view(p->store, "a", &base, &p->err), 0);
    assert_string_equal(base, "1");
    free(base);
    assert_int_equal(store_create_view(p->store, "a", "1", NULL, &p->err), -EEXIST);
    assert_int_equal(store_create_view(p->store, "c", "3", NULL, &p->err), -ENOENT);
    assert_int_equal(store_create_view(p->store, "c", "x", NULL, &p->err), -ENOENT);
    assert_int_equal(store_views(p->store, &views, &p->err), 0);
    assert_string_equal(views[0], "a");
    assert_string_equal(views[1], "b");
    assert_null(views[2]);
    store_names_free(views);
}

static void a_view_keeps_what_was_written_and_hides_what_it_shall(void **state)
{
    struct place *p = *state;
    struct dirtree_node node;
    struct store_view *v;

    place_put_text(p, "data/postmaster.pid", "1\n");
    place_add_base(p, "1");
    place_make_written_view(p, "v", NULL);
    v = place_open_view(p, "v", STORE_READ_ONLY);
    assert_int_equal(place_letter_at(v, 2), 'b');
    assert_int_equal(place_letter_at(v, 3), 'v');
    assert_int_equal(place_letter_at(v, 4), 'v');
    assert_int_equal(place_letter_at(v, 5), 'b');
    assert_int_equal(dirtree_walk(datadir_tree(store_view_datadir(v)), "postmaster.pid", &node),
                     -ENOENT);
    assert_int_equal(store_view_root(v)->st_mode & 07777, 0700);
    place_close_view(p, v);
}

static void a_view_has_one_writer_or_many_readers(void **state)
{
    struct place *p = *state;
    struct store_view *v, *w;

    place_add_base(p, "1");
    place_create_view(p, "v", NULL);
    v = place_open_view(p, "v", 0);
    assert_int_equal(place_try_open(p, "v", 0, &w), -EBUSY);
    place_assert_says(&p->err, "view v of", "served by another process");
    assert_int_equal(place_try_open(p, "v", STORE_READ_ONLY, &w), -EBUSY);
    place_close_view(p, v);
    v = place_open_view(p, "v", STORE_READ_ONLY);
    w = place_open_view(p, "v", STORE_READ_ONLY);
    place_close_view(p, v);
    assert_int_equal(place_try_open(p, "v", 0, &v), -EBUSY);
    assert_int_equal(store_drop_view(p->store, "v", &p->err), -EBUSY);
    place_close_view(p, w);
    v = place_open_view(p, "v", 0);
    place_close_view(p, v);
}

static void a_dropped_view_is_gone_and_its_base_stays(void **state)
{
    struct place *p = *state;
    struct store_view *v;

    place_add_base(p, "1");
    place_make_written_view(p, "v", NULL);
    v = place_open_view(p, "v", 0);
    assert_int_equal(store_drop_view(p->store, "v", &p->err), -EBUSY);
    assert_true(store_has_view(p->store, "v"));
    place_close_view(p, v);
    assert_int_equal(store_drop_view(p->store, "v", &p->err), 0);
    assert_false(store_has_view(p->store, "v"));
    assert_false(place_has(p, "store/view/.v.old"));
    assert_true(place_has(p, "store/base/1/base.json"));
    assert_int_equal(store_drop_view(p->store, "v", &p->err), -ENOENT);
    assert_int_equal(place_try_open(p, "v", 0, &v), -ENOENT);
    place_create_view(p, "v", NULL);
    v = place_open_view(p, "v", 0);
    assert_int_equal(place_letter_at(v, 3), 'b');
    place_close_view(p, v);
}

static void a_damaged_view_can_be_dropped(void **state)
{
    struct place *p = *state;
    struct store_view *v;

    place_add_base(p, "1");
    place_create_view(p, "v", NULL);
    place_put_text(p, "store/view/v/view.json", "{\"format\":1,\"base\":\"1\",\"state\":\"op");
    assert_int_equal(place_try_open(p, "v", 0, &v), -EINVAL);
    place_assert_says(&p->err, "view/v/view.json", "damaged");
    assert_int_equal(store_drop_view(p->store, "v", &p->err), 0);
}

static void a_base_that_changed_or_went_is_told(void **state)
{
    struct place *p = *state;
    struct store_view *v;
    char *away = place_path(p, "away");

    place_add_base(p, "1");
    place_create_view(p, "v", NULL);
    place_put_text(p, "data/PG_VERSION", "16 it is\n");
    assert_int_equal(place_try_open(p, "v", 0, &v), -ESTALE);
    place_assert_says(&p->err, "view v", "PG_VERSION");
    v = place_open_view(p, "v", STORE_NO_BASE_CHECK);
    place_close_view(p, v);
    assert_int_equal(rename(p->base_path, away), 0);
    assert_int_equal(place_try_open(p, "v", 0, &v), -ENOENT);
    place_assert_says(&p->err, "base 1", p->base_path);
    assert_int_equal(rename(away, p->base_path), 0);
    free(away);
}

static void a_view_becomes_a_layer_on_its_base(void **state)
{
    struct place *p = *state;
    const struct store_base_facts f = {.start_lsn = 9, .consistent_lsn = 10, .timeline = 1};
    struct store_base_facts g;
    struct store_base b;
    char *id;
    int fd;

    place_add_base(p, "1");
    place_create_view(p, "v", "1");
    assert_int_equal(store_lock_view(p->store, "v", true, &fd, &p->err), 0);
    assert_int_equal(store_finish_layer(p->store, "v", &f, &id, &p->err), -EBUSY);
    assert_null(id);
    assert_true(store_has_view(p->store, "v"));
    close(fd);
    if (store_finish_layer(p->store, "v", &f, &id, &p->err) < 0)
        fail_msg("%s", p->err.text);
    assert_string_equal(id, "2");
    free(id);
    assert_false(store_has_view(p->store, "v"));
    assert_false(place_has(p, "store/base/2/view.json"));
    assert_int_equal(store_open_base(p->store, "2", &b, &p->err), 0);
    assert_int_equal(b.n_layers, 1);
    assert_string_equal(b.directory_id, "1");
    store_close_base(&b);
    assert_int_equal(store_base_facts(p->store, "2", &g, &p->err), 0);
    assert_memory_equal(&g, &f, sizeof(g));
    place_create_view(p, "w", "2"); /* as on any base */
    assert_int_equal(store_drop_base(p->store, "2", &p->err), -EBUSY);
    assert_int_equal(store_finish_layer(p->store, "v", &f, &id, &p->err), -ENOENT);
}

static void set_facts(struct place *p, const char *name, const struct store_view_facts *f)
{
    if (store_set_view_facts(p->store, name, f, &p->err) < 0)
        fail_msg("%s", p->err.text);
}

static void a_view_keeps_its_facts(void **state)
{
    struct place *p = *state;
    struct store_view_facts f = {.target = (char *)"lsn 0/3000148"}, g;
    char *base;

    place_add_base(p, "1");
    place_create_view(p, "v", NULL);
    assert_int_equal(store_view_facts(p->store, "v", &g, &p->err), 0);
    assert_false(g.complete);
    assert_null(g.target);
    set_facts(p, "v", &f);
    assert_int_equal(store_view_facts(p->store, "v", &g, &p->err), 0);
    assert_false(g.complete);
    assert_string_equal(g.target, "lsn 0/3000148");
    store_view_facts_free(&g);
    f = (struct store_view_facts){.complete = true,
                                  .target = (char *)"latest",
                                  .lsn = UINT64_C(0x500000148),
                                  .time_us = 1795000000123456,
                                  .timeline = 2};
    set_facts(p, "v", &f);
    assert_int_equal(store_view_facts(p->store, "v", &g, &p->err), 0);
    assert_true(g.complete);
    assert_int_equal(g.lsn, f.lsn);
    assert_int_equal(g.time_us, f.time_us);
    assert_int_equal(g.timeline, 2);
    store_view_facts_free(&g);
    assert_int_equal(store_read_view(p->store, "v", &base, &p->err), 0);
    assert_string_equal(base, "1");
    free(base);
    assert_int_equal(store_set_view_facts(p->store, "w", &f, &p->err), -ENOENT);
}

static const struct store_view_facts complete = {.complete = true, .target = (char *)"latest"};

static void a_complete_view_is_not_written_any_more(void **state)
{
    struct place *p = *state;
    struct store_view *v;

    place_add_base(p, "1");
    place_make_written_view(p, "v", NULL);
    set_facts(p, "v", &complete);
    assert_int_equal(place_try_open(p, "v", 0, &v), -EROFS);
    place_assert_says(&p->err, "view v", "complete");
    v = place_open_view(p, "v", STORE_READ_ONLY);
    assert_int_equal(place_letter_at(v, 3), 'v');
    place_close_view(p, v);
}

static void a_view_over_a_complete_one_leaves_it_as_it_is(void **state)
{
    struct place *p = *state;
    struct store_view *v, *w;

    place_add_base(p, "1");
    place_make_written_view(p, "v", NULL);
    set_facts(p, "v", &complete);
    place_create_view(p, "w", "view/v");
    w = place_open_view(p, "w", 0);
    assert_string_equal(store_view_base(w)->layer_ids[0], "view/v");
    assert_int_equal(place_letter_at(w, 2), 'b');
    assert_int_equal(place_letter_at(w, 3), 'v');
    place_write_pages(w, 'w', 4, 2);
    v = place_open_view(p, "v", STORE_READ_ONLY);
    assert_int_equal(place_letter_at(v, 4), 'v');
    assert_int_equal(place_letter_at(v, 5), 'b');
    place_close_view(p, v);
    place_close_view(p, w);
    w = place_open_view(p, "w", STORE_READ_ONLY);
    assert_int_equal(place_letter_at(w, 3), 'v');
    assert_int_equal(place_letter_at(w, 5), 'w');
    place_close_view(p, w);
    place_check_says(p, 0, "", "");
}

static void a_view_that_carries_another_is_kept(void **state)
{
    struct place *p = *state;
    struct store_view *w;

    place_add_base(p, "1");
    place_make_written_view(p, "v", NULL);
    set_facts(p, "v", &complete);
    place_create_view(p, "w", "view/v");
    assert_int_equal(store_drop_view(p->store, "v", &p->err), -EBUSY);
    place_assert_says(&p->err, "view v", "view w");
    assert_int_equal(store_drop_base(p->store, "1", &p->err), -EBUSY);
    w = place_open_view(p, "w", 0); /* holds v as well */
    assert_int_equal(store_drop_view(p->store, "w", &p->err), -EBUSY);
    place_close_view(p, w);
    assert_int_equal(store_drop_view(p->store, "w", &p->err), 0);
    assert_int_equal(store_drop_view(p->store, "v", &p->err), 0);
}

static void only_a_complete_view_on_a_base_carries_another(void **state)
{
    struct place *p = *state;
    struct store_view_facts replaying = {.target = (char *)"latest"};

    place_add_base(p, "1");
    place_make_written_view(p, "v", NULL);
    assert_int_equal(store_create_view(p->store, "w", "view/v", NULL, &p->err), -EINVAL);
    place_assert_says(&p->err, "view v", "not complete");
    set_facts(p, "v", &replaying);
    assert_int_equal(store_create_view(p->store, "w", "view/v", NULL, &p->err), -EINVAL);
    set_facts(p, "v", &complete);
    place_create_view(p, "w", "view/v");
    set_facts(p, "w", &complete);
    assert_int_equal(store_create_view(p->store, "x", "view/w", NULL, &p->err), -EINVAL);
    place_assert_says(&p->err, "view w", "another view");
    assert_int_equal(store_create_view(p->store, "x", "view/none", NULL, &p->err), -ENOENT);
    assert_int_equal(store_create_view(p->store, "x", "view/../v", NULL, &p->err), -EINVAL);
    assert_false(store_has_view(p->store, "x"));
}

#define PLACED(f) cmocka_unit_test_setup_teardown(f, place_set_up, place_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACED(odd_names_of_views_are_refused),
        PLACED(a_view_stands_on_the_newest_base_or_the_one_named),
        PLACED(a_view_keeps_what_was_written_and_hides_what_it_shall),
        PLACED(a_view_has_one_writer_or_many_readers),
        PLACED(a_dropped_view_is_gone_and_its_base_stays),
        PLACED(a_damaged_view_can_be_dropped),
        PLACED(a_base_that_changed_or_went_is_told),
        PLACED(a_view_becomes_a_layer_on_its_base),
        PLACED(a_view_keeps_its_facts),
        PLACED(a_complete_view_is_not_written_any_more),
        PLACED(a_view_over_a_complete_one_leaves_it_as_it_is),
        PLACED(a_view_that_carries_another_is_kept),
        PLACED(only_a_complete_view_on_a_base_carries_another),
    };

    return cmocka_run_group_tests_name("store/view", tests, NULL, NULL);
}
