/* store/store.c: the store, and whose cluster it is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/err.h"
#include "store/internal.h"
#include "store/store.h"
#include "storeplace.h"

/* ---- the store ---- */

static void a_store_is_made_in_an_empty_directory_only(void **state)
{
    struct place *p = *state;
    char *empty = place_path(p, "empty"), *file = place_path(p, "data/PG_VERSION");
    char *deep = place_path(p, "no/where");

    assert_true(store_is(p->store_path));
    assert_int_equal(store_create(p->store_path, &p->err), -EEXIST);
    place_assert_says(&p->err, p->store_path, "already");
    assert_int_equal(store_create(p->base_path, &p->err), -ENOTEMPTY);
    assert_false(place_has(p, "data/view"));
    assert_int_equal(store_create(file, &p->err), -ENOTDIR);
    assert_int_equal(store_create(deep, &p->err), -ENOENT);
    place_make_dir(p, "empty");
    assert_int_equal(chmod(empty, 0755), 0);
    assert_int_equal(store_create(empty, &p->err), 0);
    assert_true(store_is(empty));
    free(empty);
    free(file);
    free(deep);
}

static int assert_private(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    mode_t wanted = S_ISDIR(st->st_mode) ? 0700 : 0600;

    (void)flag, (void)ftw;
    if ((st->st_mode & 07777) != wanted)
        fail_msg("%s has mode %o", path, st->st_mode & 07777);
    return 0;
}

static void everything_in_a_store_is_private_whatever_the_umask(void **state)
{
    struct place *p = *state;
    mode_t old = umask(0);
    char *other = place_path(p, "other");

    store_close(p->store);
    place_make_dir(p, "other");
    assert_int_equal(chmod(other, 0777), 0);
    assert_int_equal(store_create(other, &p->err), 0);
    assert_int_equal(store_open(other, &p->store, &p->err), 0);
    place_add_base(p, "1");
    place_make_written_view(p, "v", NULL);
    umask(old);
    assert_int_equal(nftw(other, assert_private, 16, FTW_PHYS), 0);
    free(other);
}

static void what_is_no_store_is_not_opened(void **state)
{
    struct place *p = *state;
    struct store *s;
    char *none = place_path(p, "none");

    assert_int_equal(store_open(p->base_path, &s, &p->err), -EINVAL);
    place_assert_says(&p->err, p->base_path, "no store.json");
    assert_int_equal(store_open(none, &s, &p->err), -ENOENT);
    assert_null(s);
    place_put_text(p, "store/store.json", "{\"format\":7}");
    assert_int_equal(store_open(p->store_path, &s, &p->err), -ENOTSUP);
    place_assert_says(&p->err, "store/store.json", "is 7");
    free(none);
}

/* ---- whose cluster ---- */

static struct store_cluster some_cluster(void)
{
    return (struct store_cluster){.system_identifier = UINT64_C(0xfedcba9876543210),
                                  .major = 15,
                                  .segment_bytes = 16 << 20,
                                  .conninfo = (char *)"host=db",
                                  .slot = (char *)"asofs"};
}

static void reopen(struct place *p)
{
    store_close(p->store);
    if (store_open(p->store_path, &p->store, &p->err) < 0)
        fail_msg("%s", p->err.text);
}

static void a_store_keeps_whose_cluster_it_is(void **state)
{
    struct place *p = *state;
    struct store_cluster c = some_cluster();
    char *log = place_path(p, "store/log");

    assert_null(store_cluster(p->store));
    assert_string_equal(store_wal_directory(p->store), log);
    assert_int_equal(store_set_cluster(p->store, &c, &p->err), 0);
    reopen(p);
    assert_int_equal(store_cluster(p->store)->system_identifier, c.system_identifier);
    assert_int_equal(store_cluster(p->store)->segment_bytes, 16 << 20);
    assert_string_equal(store_cluster(p->store)->conninfo, "host=db");
    assert_null(store_cluster(p->store)->restore_command);
    c = *store_cluster(p->store); /* what it holds is the store's, and goes while it is set */
    c.log = (char *)"/elsewhere";
    assert_int_equal(store_set_cluster(p->store, &c, &p->err), 0);
    assert_string_equal(store_wal_directory(p->store), "/elsewhere");
    reopen(p);
    assert_string_equal(store_cluster(p->store)->slot, "asofs");
    assert_string_equal(store_wal_directory(p->store), "/elsewhere");
    free(log);
}

static void another_cluster_is_refused_by_what_differs(void **state)
{
    struct place *p = *state;
    struct store_cluster c = some_cluster();
    struct store *second;

    assert_int_equal(store_open(p->store_path, &second, &p->err), 0);
    assert_int_equal(store_set_cluster(p->store, &c, &p->err), 0);
    c.major = 16;
    assert_int_equal(store_set_cluster(second, &c, &p->err), -EINVAL); /* opened before */
    place_assert_says(&p->err, "PostgreSQL 15", "PostgreSQL 16");
    store_close(second);
    c = some_cluster();
    c.system_identifier = 7;
    assert_int_equal(store_set_cluster(p->store, &c, &p->err), -EINVAL);
    place_assert_says(&p->err, "18364758544493064720", "the cluster 7");
    c = some_cluster();
    c.segment_bytes = 1 << 20;
    assert_int_equal(store_set_cluster(p->store, &c, &p->err), -EINVAL);
    place_assert_says(&p->err, "16777216", "1048576");
    assert_string_equal(store_cluster(p->store)->slot, "asofs");
}

#define PLACED(f) cmocka_unit_test_setup_teardown(f, place_set_up, place_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACED(a_store_is_made_in_an_empty_directory_only),
        PLACED(everything_in_a_store_is_private_whatever_the_umask),
        PLACED(what_is_no_store_is_not_opened),
        PLACED(a_store_keeps_whose_cluster_it_is),
        PLACED(another_cluster_is_refused_by_what_differs),
    };

    return cmocka_run_group_tests_name("store/store", tests, NULL, NULL);
}
