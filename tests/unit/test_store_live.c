/* store/live.c: the live base, and freezes that are bases. A directory stands in for where it is served. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/mem.h"
#include "store/store.h"
#include "storeplace.h"

static const struct store_base_facts facts = {.start_lsn = 0x3000028,
                                              .consistent_lsn = 0x3000138,
                                              .start_time = 1795000000,
                                              .consistent_time = 1795000009,
                                              .timeline = 1};

static void add_live(struct place *p)
{
    char *id;

    assert_int_equal(store_add_live(p->store, p->base_path, &id, &p->err), 0);
    assert_string_equal(id, "1");
    free(id);
}

/* As who serves it leaves it. */
static void serve(struct place *p)
{
    char *line = place_path(p, "mnt\n");

    place_make_dir(p, "store/epoch");
    place_put_text(p, "store/epoch/daemon", line);
    free(line);
}

static void put_freeze(struct place *p, const char *number)
{
    char *tree = mem_printf("mnt/" STORE_FREEZES "/%s", number);
    char *file = mem_printf("%s/PG_VERSION", tree);

    place_make_dir(p, "mnt");
    place_make_dir(p, "mnt/.asofs");
    place_make_dir(p, "mnt/" STORE_FREEZES);
    place_make_dir(p, tree);
    place_put_text(p, file, "15\n");
    free(file);
    free(tree);
}

static char *add_freeze(struct place *p, uint64_t number, const char *view)
{
    struct store_freeze z = {.number = number, .view = view};
    char *id;

    assert_int_equal(store_add_frozen(p->store, &z, &facts, &id, &p->err), 0);
    return id;
}

static void a_store_has_one_live_base(void **state)
{
    struct place *p = *state;
    struct store_live l;
    char *id, **ids;

    assert_int_equal(store_find_live(p->store, &l, &p->err), 0);
    assert_null(l.id);
    add_live(p);
    assert_int_equal(store_find_live(p->store, &l, &p->err), 1);
    assert_string_equal(l.directory, p->base_path);
    assert_null(l.mount);
    store_live_free(&l);
    assert_int_equal(store_add_live(p->store, p->base_path, &id, &p->err), -EEXIST);
    assert_null(id);
    place_assert_says(&p->err, "base 1", "live already");
    assert_int_equal(store_bases(p->store, &ids, &p->err), 0); /* it is not read itself */
    assert_null(ids[0]);
    store_names_free(ids);
}

static void a_live_base_is_no_directory_to_read(void **state)
{
    struct place *p = *state;
    struct store_base b;

    add_live(p);
    assert_int_equal(store_open_base(p->store, "1", &b, &p->err), -EINVAL);
    place_assert_says(&p->err, "base 1", "live");
    assert_int_equal(store_create_view(p->store, "v", "1", NULL, &p->err), -EINVAL);
}

/* As the process that serves it does. */
static int hold_lock(struct place *p)
{
    char *path = place_path(p, "store/epoch/lock");
    int fd;

    place_put_text(p, "store/epoch/lock", "");
    fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    free(path);
    return fd;
}

static void where_it_is_served_is_what_its_daemon_wrote(void **state)
{
    struct place *p = *state;
    struct store_live l;
    char *mount = place_path(p, "mnt");
    int lock;

    add_live(p);
    serve(p);
    lock = hold_lock(p);
    assert_int_equal(store_find_live(p->store, &l, &p->err), 1);
    assert_string_equal(l.mount, mount);
    store_live_free(&l);
    assert_int_equal(store_drop_base(p->store, "1", &p->err), -EBUSY);
    place_assert_says(&p->err, "served", mount);
    close(lock);
    place_put_text(p, "store/epoch/daemon", "elsewhere\n"); /* not absolute: not ours */
    assert_int_equal(store_find_live(p->store, &l, &p->err), 1);
    assert_null(l.mount);
    store_live_free(&l);
    free(mount);
}

static void it_is_served_while_its_lock_is_held(void **state)
{
    struct place *p = *state;
    int fd;

    add_live(p);
    serve(p); /* as one that was killed leaves it */
    assert_false(store_is_served(p->store));
    fd = hold_lock(p);
    assert_true(store_is_served(p->store));
    close(fd);
    assert_false(store_is_served(p->store));
}

static void the_next_freeze_has_the_number_that_its_daemon_says(void **state)
{
    struct place *p = *state;
    struct store_live l;
    uint64_t number;

    add_live(p);
    serve(p);
    assert_int_equal(store_find_live(p->store, &l, &p->err), 1);
    assert_int_equal(store_next_freeze(&l, &number), -ENOENT);
    put_freeze(p, "1");
    place_put_text(p, "mnt/.asofs/status.json", "{\"next\": 4711}\n"); /* many were dropped */
    assert_int_equal(store_next_freeze(&l, &number), 0);
    assert_int_equal(number, 4711);
    place_put_text(p, "mnt/.asofs/status.json", "{");
    assert_int_equal(store_next_freeze(&l, &number), -EIO);
    store_live_free(&l);
}

static void a_freeze_is_a_base_on_its_tree(void **state)
{
    struct place *p = *state;
    struct store_base b;
    struct store_base_facts f;
    uint64_t number;
    char *id, *view, *tree = place_path(p, "mnt/" STORE_FREEZES "/7");

    add_live(p);
    serve(p);
    put_freeze(p, "7");
    id = add_freeze(p, 7, "mount-1.tmp");
    assert_string_equal(id, "2");
    assert_int_equal(store_open_base(p->store, id, &b, &p->err), 0);
    assert_string_equal(b.directory, tree);
    assert_true(b.is_frozen);
    assert_int_equal(manifest_check(b.manifest, b.disk, &p->err), 0);
    store_close_base(&b);
    assert_int_equal(store_base_facts(p->store, id, &f, &p->err), 0);
    assert_int_equal(f.consistent_lsn, facts.consistent_lsn);
    assert_false(f.plain);
    assert_int_equal(store_is_frozen(p->store, id, &number, &view, &p->err), 1);
    assert_int_equal(number, 7);
    assert_string_equal(view, "mount-1.tmp");
    free(view);
    assert_int_equal(store_is_frozen(p->store, "1", &number, &view, &p->err), 0);
    assert_int_equal(store_is_frozen(p->store, "9", &number, &view, &p->err), -ENOENT);
    place_create_view(p, "v", NULL); /* of the newest base */
    free(tree);
    free(id);
}

static void a_freeze_that_is_not_there_says_what_to_do(void **state)
{
    struct place *p = *state;
    struct store_freeze z = {.number = 4};
    struct store_base b;
    char *id, *daemon = place_path(p, "store/epoch/daemon"), *other;

    add_live(p);
    assert_int_equal(store_add_frozen(p->store, &z, &facts, &id, &p->err), -ENOTCONN);
    place_assert_says(&p->err, "base 1", "not served");
    serve(p);
    put_freeze(p, "3");
    assert_true(store_add_frozen(p->store, &z, &facts, &id, &p->err) < 0); /* there is no tree */
    assert_null(id);
    assert_false(place_has(p, "store/base/2"));
    id = add_freeze(p, 3, NULL);
    place_make_dir(p, "elsewhere");
    other = place_path(p, "elsewhere\n");
    place_put_text(p, "store/epoch/daemon", other);
    assert_int_equal(store_open_base(p->store, id, &b, &p->err), -ENOTCONN);
    place_assert_says(&p->err, "base 2", "base drop");
    assert_int_equal(unlink(daemon), 0);
    assert_int_equal(store_open_base(p->store, id, &b, &p->err), -ENOTCONN);
    place_assert_says(&p->err, "freeze 3", "not served now");
    free(other);
    free(daemon);
    free(id);
}

static void what_stands_on_another_keeps_it(void **state)
{
    struct place *p = *state;
    char *id;

    add_live(p);
    serve(p);
    put_freeze(p, "1");
    id = add_freeze(p, 1, NULL);
    assert_int_equal(store_drop_base(p->store, "1", &p->err), -EBUSY);
    place_assert_says(&p->err, "base 1", "freeze of it");
    place_create_view(p, "v", id);
    assert_int_equal(store_drop_base(p->store, id, &p->err), -EBUSY);
    assert_int_equal(store_drop_view(p->store, "v", &p->err), 0);
    assert_int_equal(store_drop_base(p->store, id, &p->err), 0);
    place_put_text(p, "store/epoch/daemon", "");
    assert_int_equal(store_drop_base(p->store, "1", &p->err), 0);
    assert_false(place_has(p, "store/epoch"));
    assert_true(place_has(p, "data/PG_VERSION"));
    free(id);
}

static void a_freeze_of_what_is_not_live_is_refused(void **state)
{
    struct place *p = *state;
    struct store_base b;

    place_add_base(p, "1");
    place_make_dir(p, "store/base/2");
    place_put_text(
        p, "store/base/2/base.json",
        "{\"format\":1,\"kind\":\"frozen\",\"live\":\"1\",\"epoch\":1,\"start_lsn\":\"0/9\","
        "\"consistent_lsn\":\"0/9\",\"timeline\":1}");
    assert_int_equal(store_open_base(p->store, "2", &b, &p->err), -EINVAL);
    place_assert_says(&p->err, "base 1", "not live");
}

#define PLACED(f) cmocka_unit_test_setup_teardown(f, place_set_up, place_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACED(a_store_has_one_live_base),
        PLACED(a_live_base_is_no_directory_to_read),
        PLACED(where_it_is_served_is_what_its_daemon_wrote),
        PLACED(it_is_served_while_its_lock_is_held),
        PLACED(the_next_freeze_has_the_number_that_its_daemon_says),
        PLACED(a_freeze_is_a_base_on_its_tree),
        PLACED(a_freeze_that_is_not_there_says_what_to_do),
        PLACED(what_stands_on_another_keeps_it),
        PLACED(a_freeze_of_what_is_not_live_is_refused),
    };

    return cmocka_run_group_tests_name("store/live", tests, NULL, NULL);
}
