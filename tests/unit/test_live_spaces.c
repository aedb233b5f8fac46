/* live/: tablespaces that lie elsewhere: served, frozen, made and removed, refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"
#include "live/frozen.h"
#include "live/livedir.h"

#define MOUNT "/served/here"

static const char *top; /* of the test: data, epoch, and the directories of tablespaces */
static struct livedir *live;
static char said[1024]; /* the last complaint */

static const char *at(const char *path)
{
    static char full[4][PATH_MAX];
    static unsigned next;

    next = (next + 1) % 4;
    assert_true(snprintf(full[next], PATH_MAX, "%s/%s", top, path) < PATH_MAX);
    return full[next];
}

static void make(const char *path)
{
    assert_int_equal(mkdir(at(path), 0700), 0);
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(at(path), "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void complain(void *arg, const char *text)
{
    (void)arg;
    snprintf(said, sizeof(said), "%s", text);
}

static int try_open(struct err *err)
{
    const struct livedir_options options = {.complain = complain, .mount = MOUNT};
    char data[PATH_MAX];

    snprintf(data, sizeof(data), "%s", at("data"));
    return livedir_open(data, at("epoch"), &options, &live, err);
}

static void open_live(void)
{
    struct err err;

    if (try_open(&err) < 0)
        fail_msg("%s", err.text);
}

static void close_live(void)
{
    struct err err;

    if (livedir_close(live, &err) < 0)
        fail_msg("%s", err.text);
}

static void start(void **state)
{
    top = *state;
    said[0] = '\0';
    make("data");
    make("data/pg_tblspc");
}

/* A tablespace with a file, whose link is there or not. */
static void make_space(const char *name, const char *link)
{
    char path[PATH_MAX];

    make(name);
    snprintf(path, sizeof(path), "%s/PG_99", name);
    make(path);
    snprintf(path, sizeof(path), "%s/PG_99/file", name);
    put(path, "old");
    if (link)
        assert_int_equal(symlink(at(name), at(link)), 0);
}

/* ---- what is there now ---- */

static int find(const char *path, struct live_node *n)
{
    char copy[256], *part, *rest = copy;
    int rc = 0;

    snprintf(copy, sizeof(copy), "%s", path);
    n->number = LIVEDIR_ROOT;
    while (rc == 0 && (part = strsep(&rest, "/")))
        rc = livedir_lookup(live, n->number, part, n);
    return rc;
}

static uint64_t number_of(const char *path)
{
    struct live_node n;

    assert_int_equal(*path ? find(path, &n) : livedir_stat(live, LIVEDIR_ROOT, &n), 0);
    return n.number;
}

static void change(const char *path, const char *text)
{
    struct livefile *f;

    assert_int_equal(livedir_open_file(live, number_of(path), O_RDWR, &f), 0);
    assert_int_equal(livedir_write(f, text, strlen(text), 0), strlen(text));
    livedir_close_file(f);
}

static void create(const char *dir, const char *name, const char *text)
{
    struct live_node n;
    struct livefile *f;

    assert_int_equal(livedir_create(live, number_of(dir), name, 0600, O_RDWR | O_EXCL, &n, &f), 0);
    assert_int_equal(livedir_write(f, text, strlen(text), 0), strlen(text));
    livedir_close_file(f);
}

static int add(const char *oid, const char *target)
{
    struct live_node n;

    return livedir_symlink(live, number_of("pg_tblspc"), oid, target, &n);
}

static int remove_link(const char *oid)
{
    return livedir_unlink(live, number_of("pg_tblspc"), oid);
}

static void expect_link(const char *path, const char *target)
{
    char text[PATH_MAX];
    struct live_node n;

    assert_int_equal(find(path, &n), 0);
    assert_int_equal(livedir_readlink(live, n.number, text, sizeof(text)), 0);
    assert_string_equal(text, target);
    assert_int_equal(n.st.st_size, strlen(target));
}

/* ---- what was there ---- */

static uint64_t freeze(void)
{
    uint64_t number;
    struct err err;

    if (livedir_freeze(live, 0, 10000, &number, &err) < 0)
        fail_msg("%s", err.text);
    return number;
}

struct text {
    char *at;
    size_t room;
};

static int add_name(void *arg, const char *name, uint64_t id, mode_t mode)
{
    struct text *t = arg;

    (void)id, (void)mode;
    t->room -= (size_t)snprintf(t->at, t->room, "%s ", name);
    t->at += strlen(t->at);
    return 0;
}

/* What a path of a tree is: its text, where it leads to, the names in it; or the error. */
static const char *was(uint64_t freeze_number, const char *path)
{
    static char text[512];
    char copy[256], *part, *rest = copy;
    struct text names = {text, sizeof(text)};
    struct frozen_file *f;
    struct frozen *t;
    struct stat st;
    int64_t n = frozen_open(live, freeze_number, &t);

    if (n < 0)
        return n == -ESTALE ? "given up" : "no tree";
    snprintf(copy, sizeof(copy), "%s", path);
    st.st_ino = frozen_root(t);
    st.st_mode = S_IFDIR;
    while (n == 0 && (part = strsep(&rest, "/")))
        if (*part)
            n = frozen_lookup(t, st.st_ino, part, &st);
    memset(text, 0, sizeof(text));
    if (n == 0 && S_ISDIR(st.st_mode))
        n = frozen_list(t, st.st_ino, add_name, &names);
    else if (n == 0 && S_ISLNK(st.st_mode))
        n = frozen_readlink(t, st.st_ino, text, sizeof(text));
    else if (n == 0 && (n = frozen_open_file(t, st.st_ino, &f)) == 0) {
        n = frozen_read(f, text, sizeof(text) - 1, 0);
        frozen_close_file(f);
    }
    frozen_close(t);
    return n == -ENOENT ? "none" : n < 0 ? strerror((int)-n) : text;
}

/* ---- tests ---- */

static void freeze_shows_what_a_tablespace_was(void **state)
{
    char *elsewhere, target[PATH_MAX] = "";
    struct live_node n;
    uint64_t one, two;
    int i;

    start(state);
    elsewhere = strdup(at("elsewhere"));
    make_space("elsewhere", "data/pg_tblspc/16400");
    make("elsewhere/lost+found");
    open_live();
    expect_link("pg_tblspc/16400", MOUNT "/.tablespaces/16400");
    assert_int_equal(find(".tablespaces/16400/lost+found", &n), -ENOENT);
    one = freeze();
    change(".tablespaces/16400/PG_99/file", "new");
    create(".tablespaces/16400/PG_99", "more", "text");
    two = freeze();
    assert_int_equal(livedir_truncate(live, number_of(".tablespaces/16400/PG_99/more"), 0), 0);
    assert_int_equal(livedir_unlink(live, number_of(".tablespaces/16400/PG_99"), "file"), 0);
    for (i = 0; i < 2; i++) { /* the second time, of another process */
        assert_string_equal(was(one, "pg_tblspc/16400"), "../.tablespaces/16400");
        assert_string_equal(was(one, ".tablespaces"), "16400 ");
        assert_string_equal(was(one, ".tablespaces/16400"), "PG_99 ");
        assert_string_equal(was(one, ".tablespaces/16400/PG_99"), "file ");
        assert_string_equal(was(one, ".tablespaces/16400/PG_99/file"), "old");
        assert_string_equal(was(two, ".tablespaces/16400/PG_99/file"), "new");
        assert_string_equal(was(two, ".tablespaces/16400/PG_99/more"), "text");
        close_live();
        open_live();
    }
    close_live();
    assert_true(readlink(at("data/pg_tblspc/16400"), target, sizeof(target) - 1) > 0);
    assert_string_equal(target, elsewhere);
    assert_int_equal(access(at("elsewhere/PG_99/more"), F_OK), 0);
    assert_int_equal(access(at("data/.tablespaces"), F_OK), -1);
    free(elsewhere);
}

/* As the server does it: what is in it, then the link. */
static void drop_space(const char *oid)
{
    char path[128];

    snprintf(path, sizeof(path), ".tablespaces/%s/PG_99", oid);
    assert_int_equal(livedir_unlink(live, number_of(path), "file"), 0);
    snprintf(path, sizeof(path), ".tablespaces/%s", oid);
    assert_int_equal(livedir_rmdir(live, number_of(path), "PG_99"), 0);
    assert_int_equal(remove_link(oid), 0);
}

static void expect_dropped(uint64_t with, uint64_t without)
{
    struct live_node n;

    assert_int_equal(find(".tablespaces", &n), -ENOENT);
    assert_true(n.fleeting);
    assert_string_equal(was(with, "pg_tblspc/16400"), "../.tablespaces/16400");
    assert_string_equal(was(with, ".tablespaces"), "16400 ");
    assert_string_equal(was(with, ".tablespaces/16400"), "PG_99 ");
    assert_string_equal(was(with, ".tablespaces/16400/PG_99/file"), "old");
    assert_string_equal(was(without, ".tablespaces"), "none");
    assert_string_equal(was(without, "pg_tblspc"), "");
}

static void dropped_one_stays_in_older_trees(void **state)
{
    uint64_t one, two, three;

    start(state);
    make_space("elsewhere", "data/pg_tblspc/16400");
    open_live();
    one = freeze();
    drop_space("16400");
    two = freeze();
    expect_dropped(one, two);
    close_live();
    open_live();
    expect_dropped(one, two);

    /* Another one in the same place. */
    make("elsewhere/PG_99");
    put("elsewhere/PG_99/file", "another");
    assert_int_equal(add("16500", at("elsewhere")), 0);
    three = freeze();
    change(".tablespaces/16500/PG_99/file", "changed");
    assert_string_equal(was(one, ".tablespaces"), "16400 ");
    assert_string_equal(was(one, ".tablespaces/16400/PG_99/file"), "old");
    assert_string_equal(was(two, ".tablespaces"), "none");
    assert_string_equal(was(three, "pg_tblspc/16500"), "../.tablespaces/16500");
    assert_string_equal(was(three, ".tablespaces/16500/PG_99/file"), "another");
    close_live();
}

static void one_that_is_made_is_served_from_then_on(void **state)
{
    struct live_node before, n;
    uint64_t one, two;
    int i;

    start(state);
    make_space("elsewhere", NULL);
    open_live();
    one = freeze();
    assert_int_equal(find(".tablespaces", &before), -ENOENT);
    assert_true(before.fleeting);
    assert_int_equal(add("16400", at("elsewhere")), 0);
    assert_int_equal(find(".tablespaces/16400", &n), 0);
    assert_true(n.fleeting);
    expect_link("pg_tblspc/16400", MOUNT "/.tablespaces/16400");
    change(".tablespaces/16400/PG_99/file", "own");
    two = freeze();
    change(".tablespaces/16400/PG_99/file", "new");
    for (i = 0; i < 2; i++) {
        assert_string_equal(was(one, ".tablespaces"), "none");
        assert_string_equal(was(one, "pg_tblspc"), "");
        assert_string_equal(was(two, ".tablespaces/16400/PG_99/file"), "own");
        close_live();
        open_live();
    }
    close_live();
}

/* ---- refused ---- */

static void expect_refused(const char *oid, const char *target, const char *why)
{
    struct live_node n;
    char path[64];

    said[0] = '\0';
    assert_int_equal(add(oid, target), -EPERM);
    if (!strstr(said, why))
        fail_msg("it says: %s", said);
    snprintf(path, sizeof(path), "pg_tblspc/%s", oid);
    assert_int_equal(find(path, &n), -ENOENT);
}

static void what_could_not_be_frozen_is_not_made(void **state)
{
    struct live_node n;

    start(state);
    make_space("elsewhere", "data/pg_tblspc/16400");
    make("data/inside");
    make_space("other", NULL);
    assert_int_equal(symlink(at("other"), at("alias")), 0);
    assert_int_equal(symlink("file", at("other/PG_99/link")), 0);
    open_live();
    expect_refused("16401", MOUNT "/inside",
                   "16401 was not made: " MOUNT "/inside lies in the data");
    expect_refused("16401", at("data/inside"), "is in the data directory");
    expect_refused("16401", at("data"), "is in the data directory");
    expect_refused("16401", at("elsewhere"), "or a tablespace, already");
    expect_refused("16401", at("alias"), "without symbolic links");
    expect_refused("16401", at("inside/../elsewhere"), "no plain absolute path");
    expect_refused("16401", "inside", "no plain absolute path");
    expect_refused("16401", "/proc", "another file system");
    expect_refused("16401", at("missing"), "cannot open");
    expect_refused("other", at("other"), "no tablespace's");
    expect_refused("16401", at("other"), "PG_99/link, in a tablespace, is a symbolic link");
    assert_int_equal(find(".tablespaces/16401", &n), -ENOENT);
    assert_int_equal(unlink(at("other/PG_99/link")), 0);
    assert_int_equal(add("16400", at("other")), -EEXIST);
    assert_int_equal(add("16401", at("other")), 0);
    close_live();
}

static void expect_no_start(int rc, const char *why)
{
    struct err err;

    assert_int_equal(try_open(&err), rc);
    fixture_assert_says(&err, why);
}

static void what_could_not_be_frozen_is_not_served(void **state)
{
    start(state);
    assert_int_equal(symlink("/proc", at("data/pg_tblspc/16400")), 0);
    expect_no_start(-EXDEV, "tablespace 16400: /proc lies on another file system");
    assert_int_equal(unlink(at("data/pg_tblspc/16400")), 0);
    assert_int_equal(symlink(at("missing"), at("data/pg_tblspc/16400")), 0);
    expect_no_start(-ENOENT, "leads to no directory");
    make_space("missing", NULL);
    make("data/.tablespaces");
    expect_no_start(-EEXIST, "has a file \".tablespaces\"");
    assert_int_equal(rmdir(at("data/.tablespaces")), 0);
    assert_int_equal(symlink(at("missing"), at("data/pg_tblspc/16401")), 0);
    expect_no_start(-EEXIST, "or a tablespace, already");
    assert_int_equal(unlink(at("data/pg_tblspc/16401")), 0);
    assert_int_equal(symlink(at("missing"), at("data/pg_tblspc/name")), 0);
    expect_no_start(-EXDEV, "is a symbolic link");
    assert_int_equal(unlink(at("data/pg_tblspc/name")), 0);
    make("data/pg_tblspc/16402"); /* one in place */
    open_live();
    create("pg_tblspc/16402", "file", "text");
    close_live();
}

static void names_of_tablespaces_stay(void **state)
{
    struct live_node n;
    uint64_t links, spaces;

    start(state);
    make_space("elsewhere", "data/pg_tblspc/16400");
    open_live();
    links = number_of("pg_tblspc");
    spaces = number_of(".tablespaces");
    assert_int_equal(livedir_mkdir(live, spaces, "16401", 0700, &n), -EPERM);
    assert_int_equal(livedir_mkdir(live, number_of(".tablespaces/16400"), "x", 0700, &n), -EPERM);
    assert_int_equal(livedir_rmdir(live, spaces, "16400"), -EPERM);
    assert_int_equal(livedir_rmdir(live, LIVEDIR_ROOT, ".tablespaces"), -EPERM);
    assert_int_equal(livedir_rename(live, links, "16400", links, "16401", 0), -EPERM);
    assert_int_equal(livedir_rename(live, spaces, "16400", LIVEDIR_ROOT, "x", 0), -EPERM);
    assert_int_equal(livedir_rename(live, number_of(".tablespaces/16400/PG_99"), "file",
                                    number_of(".tablespaces/16400"), "x", 0),
                     -EPERM);
    assert_int_equal(livedir_rename(live, LIVEDIR_ROOT, "pg_tblspc", LIVEDIR_ROOT, "x", 0), -EPERM);
    assert_int_equal(livedir_symlink(live, LIVEDIR_ROOT, "link", "elsewhere", &n), 0);
    assert_int_equal(livedir_rename(live, LIVEDIR_ROOT, "link", links, "16401", 0), -EPERM);
    close_live();
}

/* ---- recovery ---- */

static void link_that_is_made_anew_costs_nothing(void **state)
{
    struct live_node n;
    uint64_t one;

    start(state);
    make_space("elsewhere", "data/pg_tblspc/16400");
    make_space("other", NULL);
    open_live();
    one = freeze();
    assert_int_equal(remove_link("16400"), 0);
    assert_int_equal(find("pg_tblspc/16400", &n), -ENOENT);
    assert_string_equal(was(one, ".tablespaces/16400/PG_99/file"), "old");
    expect_refused("16400", at("other"), "what was in it before lies elsewhere");
    assert_int_equal(add("16400", at("elsewhere")), 0);
    change(".tablespaces/16400/PG_99/file", "new");
    assert_string_equal(was(one, ".tablespaces/16400/PG_99/file"), "old");
    close_live();
    open_live();
    assert_string_equal(was(one, "pg_tblspc/16400"), "../.tablespaces/16400");
    assert_string_equal(was(one, ".tablespaces/16400/PG_99/file"), "old");
    close_live();
}

static void link_that_stays_away_costs_the_freezes(void **state)
{
    uint64_t one, two;

    start(state);
    make_space("elsewhere", "data/pg_tblspc/16400");
    open_live();
    one = freeze();
    assert_int_equal(remove_link("16400"), 0);
    livedir_abandon(live);
    open_live();
    assert_string_equal(was(one, ""), "given up");
    if (!strstr(said, "the link of a tablespace was removed"))
        fail_msg("it says: %s", said);
    two = freeze();
    close_live();
    open_live();
    assert_string_equal(was(two, ".tablespaces"), "none");
    close_live();
}

#define test(f) cmocka_unit_test_setup_teardown(f, fixture_set_up_dir, fixture_tear_down_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(freeze_shows_what_a_tablespace_was),      test(dropped_one_stays_in_older_trees),
        test(one_that_is_made_is_served_from_then_on), test(what_could_not_be_frozen_is_not_made),
        test(what_could_not_be_frozen_is_not_served),  test(names_of_tablespaces_stay),
        test(link_that_is_made_anew_costs_nothing),    test(link_that_stays_away_costs_the_freezes),
    };

    if (getenv("UNDER_VALGRIND")) {
        puts("valgrind knows no openat2(), without which no link of a tablespace is followed");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
