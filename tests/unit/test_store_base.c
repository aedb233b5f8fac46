/* store/base.c: bases, how they are made, and what is known of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/err.h"
#include "common/io.h"
#include "common/mem.h"
#include "pages/datadir.h"
#include "pages/manifest.h"
#include "store/internal.h"
#include "store/store.h"
#include "storeplace.h"

static void ids_count_up_and_are_not_given_again_below_a_later_one(void **state)
{
    struct place *p = *state;
    char *old, **ids, expected[16];
    int i;

    for (i = 1; i <= 10; i++) {
        snprintf(expected, sizeof(expected), "%d", i);
        place_add_base(p, expected);
    }
    old = place_path(p, "store/base/4");
    assert_int_equal(io_remove_tree(old), 0);
    free(old);
    place_add_base(p, "11");
    assert_int_equal(store_bases(p->store, &ids, &p->err), 0);
    assert_string_equal(ids[0], "1");
    assert_string_equal(ids[3], "5");
    assert_string_equal(ids[9], "11");
    assert_null(ids[10]);
    store_names_free(ids);
}

static void add_some_and_exit(struct place *p, int n)
{
    struct store *s;
    char *id;

    if (store_open(p->store_path, &s, &p->err) < 0)
        _exit(1);
    while (n-- > 0) {
        if (store_add_base(s, p->base_path, NULL, &id, &p->err) < 0)
            _exit(1);
        free(id);
    }
    store_close(s);
    _exit(0);
}

static void bases_added_at_the_same_time_get_ids_of_their_own(void **state)
{
    struct place *p = *state;
    int i, status;
    pid_t pids[4];

    for (i = 0; i < 4; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0)
            add_some_and_exit(p, 5);
    }
    for (i = 0; i < 4; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_true(place_has(p, "store/base/20/base.json"));
    place_add_base(p, "21");
}

static void a_base_is_kept_by_its_real_path(void **state)
{
    struct place *p = *state;
    char *link = place_path(p, "link"), *id, *here = getcwd(NULL, 0);
    struct store_base b;
    struct store *s;

    assert_int_equal(symlink("data", link), 0);
    assert_int_equal(chdir(p->dir), 0);
    assert_int_equal(store_open("./store", &s, &p->err), 0);
    assert_int_equal(store_add_base(s, "link", NULL, &id, &p->err), 0);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(store_open_base(s, id, &b, &p->err), 0);
    assert_string_equal(b.directory, p->base_path);
    assert_int_equal(b.n_layers, 0);
    assert_true(manifest_find(b.manifest, 0, "PG_VERSION") != MANIFEST_NONE);
    assert_true(S_ISDIR(b.root.st_mode));
    store_close_base(&b);
    store_close(s);
    assert_int_equal(chdir(here), 0);
    free(here);
    free(link);
    free(id);
}

static void assert_no_base(struct place *p)
{
    char *path = place_path(p, "store/base");

    assert_int_equal(rmdir(path), 0); /* it is empty */
    assert_int_equal(mkdir(path, 0700), 0);
    free(path);
}

static void assert_not_added(struct place *p, const char *name, const char *word)
{
    char *directory = place_path(p, "%s", name), *id;

    assert_true(store_add_base(p->store, directory, NULL, &id, &p->err) < 0);
    place_assert_says(&p->err, word, "");
    assert_null(id);
    assert_no_base(p);
    free(directory);
}

static void a_base_and_its_store_stand_apart(void **state)
{
    struct place *p = *state;
    char *beside = place_path(p, "storex"), *id;

    assert_not_added(p, "store", "lies in the store");
    assert_not_added(p, "store/view", "lies in the store");
    assert_not_added(p, ".", "outside of it");
    assert_not_added(p, "none", "none");
    assert_not_added(p, "data/PG_VERSION", "no directory");
    place_make_dir(p, "storex"); /* begins like "store", but lies beside it */
    assert_int_equal(store_add_base(p->store, beside, NULL, &id, &p->err), 0);
    free(id);
    free(beside);
}

static void a_store_in_a_tablespace_of_the_base_is_refused(void **state)
{
    struct place *p = *state;
    char *link = place_path(p, "data/pg_tblspc/16400"), *space = place_path(p, "space");
    char *inside = place_path(p, "space/store"), *id;
    struct store *s;

    place_make_dir(p, "space");
    assert_int_equal(symlink(space, link), 0);
    assert_int_equal(store_create(inside, &p->err), 0);
    assert_int_equal(store_open(inside, &s, &p->err), 0);
    assert_int_equal(store_add_base(s, p->base_path, NULL, &id, &p->err), -EINVAL);
    place_assert_says(&p->err, "space/store lies in", "outside of it");
    assert_false(place_has(p, "space/store/base/1"));
    assert_false(place_has(p, "space/store/base/1.new"));
    store_close(s);
    place_add_base(p, "1"); /* to a store elsewhere it can be added */
    free(link);
    free(space);
    free(inside);
}

static void a_path_that_json_cannot_hold_is_refused(void **state)
{
    struct place *p = *state;

    place_make_dir(p, "l\xe9on");
    assert_not_added(p, "l\xe9on", "UTF-8");
}

static void what_was_begun_and_never_finished_is_cleared_by_the_next_change(void **state)
{
    struct place *p = *state;
    char **views;

    place_make_dir(p, "store/base/9.new");
    place_put_text(p, "store/base/9.new/base.json", "{");
    place_make_dir(p, "store/view/.old.old");
    place_make_dir(p, "store/view/.old.old/diff");
    assert_int_equal(store_views(p->store, &views, &p->err), 0);
    assert_null(views[0]);
    store_names_free(views);
    assert_true(place_has(p, "store/base/9.new"));
    place_add_base(p, "1");
    assert_false(place_has(p, "store/base/9.new"));
    assert_false(place_has(p, "store/view/.old.old"));
}

static void layers_are_resolved_oldest_first(void **state)
{
    struct place *p = *state;
    struct store_base b;

    place_add_base(p, "1");
    place_put_layer(p, "2", "1");
    place_put_layer(p, "10", "2");
    assert_int_equal(store_open_base(p->store, "10", &b, &p->err), 0);
    assert_int_equal(b.n_layers, 2);
    assert_string_equal(b.layer_ids[0], "2");
    assert_string_equal(b.layer_ids[1], "10");
    assert_non_null(b.layers[1]);
    assert_string_equal(b.directory, p->base_path);
    store_close_base(&b);
}

static void circles_and_missing_parents_are_refused(void **state)
{
    struct place *p = *state;
    struct store_base b;

    place_add_base(p, "1");
    place_put_layer(p, "2", "2");
    assert_int_equal(store_open_base(p->store, "2", &b, &p->err), -ELOOP);
    place_put_layer(p, "2", "3");
    place_put_layer(p, "3", "2");
    assert_int_equal(store_open_base(p->store, "3", &b, &p->err), -ELOOP);
    place_assert_says(&p->err, "base/2/base.json", "\"parent\" is 3");
    place_put_layer(p, "9", "8");
    assert_int_equal(store_open_base(p->store, "9", &b, &p->err), -ENOENT);
    place_assert_says(&p->err, "base 9", "base 8, which is missing");
    assert_int_equal(store_open_base(p->store, "7", &b, &p->err), -ENOENT);
    assert_int_equal(store_open_base(p->store, "../view", &b, &p->err), -ENOENT);
    assert_null(b.id);
}

static void more_layers_than_a_chain_holds_are_refused(void **state)
{
    struct place *p = *state;
    struct store_base b;
    char id[16], parent[16];
    int i;

    place_add_base(p, "1");
    for (i = 2; i <= DATADIR_LAYERS + 1; i++) {
        snprintf(id, sizeof(id), "%d", i);
        snprintf(parent, sizeof(parent), "%d", i - 1);
        place_put_layer(p, id, parent);
    }
    snprintf(id, sizeof(id), "%d", DATADIR_LAYERS);
    assert_int_equal(store_open_base(p->store, id, &b, &p->err), 0);
    assert_int_equal(b.n_layers, DATADIR_LAYERS - 1);
    store_close_base(&b);
    snprintf(id, sizeof(id), "%d", DATADIR_LAYERS + 1);
    assert_int_equal(store_open_base(p->store, id, &b, &p->err), -ENOTSUP);
    place_assert_says(&p->err, "more than", "layers");
}

static void a_base_keeps_its_facts(void **state)
{
    struct place *p = *state;
    const struct store_base_facts f = {.start_lsn = 0x3000028,
                                       .consistent_lsn = UINT64_C(0x100000000),
                                       .start_time = 1795000000,
                                       .consistent_time = 1795000060,
                                       .timeline = 3};
    struct store_base_facts g;
    char *id;

    place_add_base(p, "1");
    assert_int_equal(store_add_base(p->store, p->base_path, &f, &id, &p->err), 0);
    assert_int_equal(store_base_facts(p->store, "1", &g, &p->err), 0);
    assert_true(g.plain);
    assert_int_equal(g.start_lsn, 0);
    assert_int_equal(store_base_facts(p->store, id, &g, &p->err), 0);
    assert_memory_equal(&g, &f, sizeof(g));
    assert_int_equal(store_base_facts(p->store, "3", &g, &p->err), -ENOENT);
    free(id);
}

static void times_of_a_wrong_clock_are_not_known(void **state)
{
    struct place *p = *state;
    const struct store_base_facts f = {
        .start_lsn = 9, .timeline = 1, .start_time = -5, .consistent_time = STORE_TIME_MAX + 1};
    struct store_base_facts g;
    char *id;

    assert_int_equal(store_add_base(p->store, p->base_path, &f, &id, &p->err), 0);
    assert_int_equal(store_base_facts(p->store, id, &g, &p->err), 0);
    assert_int_equal(g.start_lsn, 9);
    assert_int_equal(g.start_time, 0);
    assert_int_equal(g.consistent_time, 0);
    free(id);
}

static struct store_making *begin_base(struct place *p)
{
    struct store_making *m;

    if (store_begin_base(p->store, &m, &p->err) < 0)
        fail_msg("%s", p->err.text);
    return m;
}

/* A data directory with a tablespace beside it. */
static void fill_making(struct place *p, const struct store_making *m)
{
    char *path = mem_printf("%s/data", store_making_path(m)), *link, *space;

    assert_int_equal(mkdir(path, 0700), 0);
    link = mem_printf("%s/pg_tblspc", path);
    assert_int_equal(mkdir(link, 0700), 0);
    free(link);
    link = mem_printf("%s/pg_tblspc/70", path);
    space = mem_printf("%s/70", store_making_path(m));
    assert_int_equal(mkdir(space, 0700), 0);
    assert_int_equal(symlink(space, link), 0);
    free(space);
    free(link);
    link = mem_printf("%s/PG_VERSION", path);
    place_write_file(link, "15\n", 3);
    free(link);
    free(path);
    (void)p;
}

static void a_base_that_is_made_is_seen_when_it_is_complete(void **state)
{
    struct place *p = *state;
    const struct store_base_facts f = {.start_lsn = 9, .timeline = 1}, *none = NULL;
    struct store_making *m = begin_base(p), *n;
    struct store_base b;
    char *id, **ids;

    assert_int_equal(store_open_base(p->store, "1", &b, &p->err), -ENOENT);
    place_add_base(p, "2"); /* clears what is deserted, which this is not */
    assert_true(place_has(p, "store/base/1"));
    assert_int_equal(store_bases(p->store, &ids, &p->err), 0);
    assert_string_equal(ids[0], "2");
    assert_null(ids[1]);
    store_names_free(ids);
    assert_int_equal(store_drop_base(p->store, "1", &p->err), -ENOENT);
    fill_making(p, m);
    if (store_finish_base(m, &f, &id, &p->err) < 0)
        fail_msg("%s", p->err.text);
    assert_string_equal(id, "1");
    free(id);
    assert_int_equal(store_open_base(p->store, "1", &b, &p->err), 0);
    store_close_base(&b);
    assert_false(place_has(p, "store/base/1/making"));
    n = begin_base(p);
    assert_true(store_finish_base(n, none, &id, &p->err) < 0); /* there is no data */
    assert_null(id);
    assert_false(place_has(p, "store/base/3"));
    assert_false(place_has(p, "store/base/3.old"));
}

static void a_base_that_was_given_up_or_deserted_is_cleared(void **state)
{
    struct place *p = *state;
    struct store_making *m = begin_base(p);

    fill_making(p, m);
    store_abandon_base(m);
    assert_false(place_has(p, "store/base/1"));
    place_make_dir(p, "store/base/1"); /* as a process leaves it that was killed */
    place_put_text(p, "store/base/1/making", "");
    place_make_dir(p, "store/base/2"); /* damaged, but a base */
    place_add_base(p, "3");
    assert_false(place_has(p, "store/base/1"));
    assert_false(place_has(p, "store/base/1.old"));
    assert_true(place_has(p, "store/base/2"));
}

#define PLACED(f) cmocka_unit_test_setup_teardown(f, place_set_up, place_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACED(ids_count_up_and_are_not_given_again_below_a_later_one),
        PLACED(bases_added_at_the_same_time_get_ids_of_their_own),
        PLACED(a_base_is_kept_by_its_real_path),
        PLACED(a_base_and_its_store_stand_apart),
        PLACED(a_store_in_a_tablespace_of_the_base_is_refused),
        PLACED(a_path_that_json_cannot_hold_is_refused),
        PLACED(what_was_begun_and_never_finished_is_cleared_by_the_next_change),
        PLACED(layers_are_resolved_oldest_first),
        PLACED(circles_and_missing_parents_are_refused),
        PLACED(more_layers_than_a_chain_holds_are_refused),
        PLACED(a_base_keeps_its_facts),
        PLACED(times_of_a_wrong_clock_are_not_known),
        PLACED(a_base_that_is_made_is_seen_when_it_is_complete),
        PLACED(a_base_that_was_given_up_or_deserted_is_cleared),
    };

    return cmocka_run_group_tests_name("store/base", tests, NULL, NULL);
}
