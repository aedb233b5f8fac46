/* live/walfiles.c: what becomes of segments of the log that the server removes or uses again. */
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
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"
#include "live/livedir.h"

#define SEGMENT (64u << 10)
#define ONE "000000010000000000000001"
#define TWO "000000010000000000000002"
#define THREE "000000010000000000000003"
#define NEW "00000001000000000000000A"

struct live {
    char data[PATH_MAX], epochs[PATH_MAX], wal[PATH_MAX];
    struct livedir *l;
    uint64_t dir; /* pg_wal */
    uint64_t limit, reserve;
    unsigned complaints;
    char said[512];
};

static void complain(void *arg, const char *text)
{
    struct live *v = arg;

    snprintf(v->said, sizeof(v->said), "%s", text);
    v->complaints++;
}

/* Here a segment begins with its name. */
static bool is_wal(int fd, const char *name)
{
    char head[24];

    return pread(fd, head, sizeof(head), 0) == sizeof(head) && memcmp(head, name, 24) == 0;
}

static void open_live(struct live *v, bool keeps)
{
    struct livedir_options options = {.complain = complain,
                                      .arg = v,
                                      .wal = keeps ? v->wal : NULL,
                                      .is_wal = is_wal,
                                      .wal_limit = v->limit,
                                      .reserve = v->reserve};
    struct live_node n;
    struct err err;

    if (livedir_open(v->data, v->epochs, &options, &v->l, &err) < 0)
        fail_msg("%s", err.text);
    if (livedir_lookup(v->l, LIVEDIR_ROOT, "pg_wal", &n) < 0)
        assert_int_equal(livedir_mkdir(v->l, LIVEDIR_ROOT, "pg_wal", 0700, &n), 0);
    v->dir = n.number;
}

static struct live make(const char *dir, uint64_t limit)
{
    struct live v = {.limit = limit};

    snprintf(v.data, sizeof(v.data), "%s/data", dir);
    snprintf(v.epochs, sizeof(v.epochs), "%s/epoch", dir);
    snprintf(v.wal, sizeof(v.wal), "%s/log", dir);
    assert_int_equal(mkdir(v.data, 0700), 0);
    return v;
}

static void close_live(struct live *v)
{
    struct err err;

    if (livedir_close(v->l, &err) < 0)
        fail_msg("%s", err.text);
}

static void put(struct live *v, const char *name, const char *says)
{
    char bytes[SEGMENT];
    struct live_node n;
    struct livefile *f;

    memset(bytes, 'x', sizeof(bytes));
    memcpy(bytes, says, 24);
    assert_int_equal(livedir_create(v->l, v->dir, name, 0600, O_RDWR, &n, &f), 0);
    assert_int_equal(livedir_write(f, bytes, sizeof(bytes), 0), sizeof(bytes));
    livedir_close_file(f);
}

static uint64_t freeze(struct live *v)
{
    uint64_t number = 0;
    struct err err;

    if (livedir_freeze(v->l, 0, 10000, &number, &err) < 0)
        fail_msg("%s", err.text);
    livedir_settle(v->l);
    return number;
}

static int rename_to(struct live *v, const char *name, const char *new_name)
{
    return livedir_rename(v->l, v->dir, name, v->dir, new_name, 0);
}

/* As some servers rename. */
static int link_to(struct live *v, const char *name, const char *new_name)
{
    struct live_node n, made;
    int rc = livedir_lookup(v->l, v->dir, name, &n);

    if (rc == 0)
        rc = livedir_link(v->l, n.number, v->dir, new_name, &made);
    return rc < 0 ? rc : livedir_unlink(v->l, v->dir, name);
}

/* The first byte of a file, and its size; -1: there is none. */
static int first_of(const char *dir, const char *name, off_t *size)
{
    char path[PATH_MAX + 64];
    struct stat st;
    int fd;
    char c = 0;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    fd = open(path, O_RDONLY);
    if (fd < 0)
        return -1;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(read(fd, &c, 1), 1);
    close(fd);
    *size = st.st_size;
    return c;
}

static void expect_kept(struct live *v, const char *name, bool kept)
{
    off_t size = SEGMENT;

    assert_int_equal(first_of(v->wal, name, &size), kept ? '0' : -1);
    assert_int_equal(size, SEGMENT);
}

/* What the server finds under the name: `first`, or nothing (-1). */
static void expect_there(struct live *v, const char *name, int first)
{
    char path[PATH_MAX + 8];
    off_t size = SEGMENT;

    snprintf(path, sizeof(path), "%s/pg_wal", v->data);
    assert_int_equal(first_of(path, name, &size), first);
    assert_int_equal(size, SEGMENT);
}

static void expect_state(struct live *v, uint64_t number, enum live_state state)
{
    struct live_freeze *list;
    size_t n, i;

    assert_int_equal(livedir_freezes(v->l, &list, &n), 0);
    for (i = 0; i < n && list[i].number != number; i++)
        ;
    assert_true(i < n);
    assert_int_equal(list[i].state, state);
    free(list);
}

/* By both ways; handles of the old one read what it was. */
static void used_again_is_kept(struct live *v,
                               int (*again)(struct live *, const char *, const char *))
{
    struct live_node old, new;
    struct livefile *f;
    char c;

    open_live(v, true);
    put(v, ONE, ONE);
    freeze(v);
    assert_int_equal(livedir_lookup(v->l, v->dir, ONE, &old), 0);
    assert_true(old.fleeting);
    assert_int_equal(livedir_open_file(v->l, old.number, O_RDWR, &f), 0);
    assert_int_equal(again(v, ONE, NEW), 0);
    expect_kept(v, ONE, true);
    expect_there(v, ONE, -1);
    expect_there(v, NEW, 0);
    assert_int_equal(livedir_lookup(v->l, v->dir, NEW, &new), 0);
    assert_int_not_equal(new.number, old.number);
    assert_int_equal(livedir_read(f, &c, 1, 0), 1);
    assert_int_equal(c, '0');
    livedir_close_file(f);
    put(v, NEW, NEW);
    expect_kept(v, ONE, true);
    close_live(v);
    open_live(v, true);
    expect_there(v, NEW, '0');
    close_live(v);
}

static void renamed_segment_is_kept(void **state)
{
    struct live v = make(*state, 0);

    used_again_is_kept(&v, rename_to);
}

static void linked_segment_is_kept(void **state)
{
    struct live v = make(*state, 0);

    used_again_is_kept(&v, link_to);
}

static void removed_segment_is_kept_while_a_freeze_is_wanted(void **state)
{
    struct live v = make(*state, 0);
    struct live_counts c;
    uint64_t one;
    struct err err;

    open_live(&v, true);
    put(&v, ONE, ONE);
    put(&v, TWO, TWO);
    put(&v, THREE, ONE); /* what it was used for before */
    assert_int_equal(livedir_unlink(v.l, v.dir, ONE), 0);
    expect_kept(&v, ONE, false);
    one = freeze(&v);
    assert_int_equal(livedir_unlink(v.l, v.dir, TWO), 0);
    assert_int_equal(livedir_unlink(v.l, v.dir, THREE), 0);
    expect_kept(&v, TWO, true);
    expect_kept(&v, THREE, false);
    livedir_counts(v.l, &c);
    assert_int_equal(c.wal_kept, 1);
    assert_int_equal(c.wal_lost, 0);
    assert_int_equal(livedir_drop(v.l, one, &err), 0);
    put(&v, ONE, ONE);
    assert_int_equal(rename_to(&v, ONE, NEW), 0);
    expect_kept(&v, ONE, false);
    expect_there(&v, NEW, '0'); /* the same file */
    close_live(&v);
}

static void link_into(struct live *v, const char *name, const char *dir)
{
    char from[PATH_MAX + 64], to[PATH_MAX + 64];

    snprintf(from, sizeof(from), "%s/pg_wal/%s", v->data, name);
    snprintf(to, sizeof(to), "%s/%s", dir, name);
    assert_int_equal(link(from, to), 0);
}

/* Also where nothing is kept. */
static void what_has_a_link_is_not_used_again(void **state)
{
    struct live v = make(*state, 0);
    off_t size;

    open_live(&v, false);
    put(&v, ONE, ONE);
    put(&v, TWO, TWO);
    link_into(&v, ONE, *state);
    link_into(&v, TWO, *state);
    assert_int_equal(rename_to(&v, ONE, NEW), 0);
    assert_int_equal(link_to(&v, TWO, THREE), 0);
    put(&v, NEW, "another segment         ");
    put(&v, THREE, "another segment         ");
    assert_int_equal(first_of(*state, ONE, &size), '0');
    assert_int_equal(first_of(*state, TWO, &size), '0');
    close_live(&v);
}

/* Whoever needs the log has linked it already, or something of another time is there. */
static void what_is_there_already_is_kept_once(void **state)
{
    struct live v = make(*state, 0);
    char path[PATH_MAX + 64];
    int fd;

    open_live(&v, true);
    put(&v, ONE, ONE);
    put(&v, TWO, TWO);
    freeze(&v);
    link_into(&v, ONE, v.wal);
    snprintf(path, sizeof(path), "%s/" TWO, v.wal);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(rename_to(&v, ONE, NEW), 0);
    assert_int_equal(livedir_unlink(v.l, v.dir, TWO), 0);
    expect_kept(&v, ONE, true);
    expect_kept(&v, TWO, true);
    expect_there(&v, NEW, 0);
    close_live(&v);
}

static void limit_costs_the_oldest(void **state)
{
    struct live v = make(*state, 2 * SEGMENT);
    struct live_counts c;

    open_live(&v, true);
    put(&v, ONE, ONE);
    put(&v, TWO, TWO);
    put(&v, THREE, THREE);
    freeze(&v);
    assert_int_equal(rename_to(&v, ONE, NEW), 0);
    assert_int_equal(livedir_unlink(v.l, v.dir, TWO), 0);
    assert_int_equal(v.complaints, 0);
    assert_int_equal(livedir_unlink(v.l, v.dir, THREE), 0);
    expect_kept(&v, ONE, false);
    expect_kept(&v, TWO, true);
    expect_kept(&v, THREE, true);
    assert_non_null(strstr(v.said, "segment " ONE " is not kept"));
    put(&v, ONE, ONE);
    assert_int_equal(livedir_unlink(v.l, v.dir, ONE), 0);
    assert_int_equal(v.complaints, 1); /* it is said once */
    livedir_counts(v.l, &c);
    assert_int_equal(c.wal_lost, 2);
    close_live(&v);
}

static void fill_disk(const char *dir)
{
    char path[PATH_MAX], bytes[4096] = {1};
    int fd;

    snprintf(path, sizeof(path), "%s/filler", dir);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    while (write(fd, bytes, sizeof(bytes)) > 0)
        ;
    close(fd);
}

static void log_of(const struct live *v, uint64_t number, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%.*s/%u/wal", PATH_MAX - 32, v->epochs, (unsigned)number);
}

/* The server uses it again as ever; freezes stay, but for one whose own log has a link of it. */
static void full_disk_keeps_no_log(void **state)
{
    char path[PATH_MAX];
    struct live v;
    uint64_t one, two;

    if (geteuid() != 0 || mount("none", *state, "tmpfs", 0, "size=4m") < 0)
        skip();
    v = make(*state, 0);
    open_live(&v, true);
    put(&v, ONE, ONE);
    put(&v, TWO, TWO);
    one = freeze(&v);
    log_of(&v, one, path);
    link_into(&v, TWO, path);
    two = freeze(&v);
    link_into(&v, ONE, v.wal);
    fill_disk(*state);
    assert_int_equal(rename_to(&v, ONE, NEW), 0);
    expect_there(&v, NEW, '0'); /* the same file */
    expect_kept(&v, ONE, false);
    expect_state(&v, one, LIVE_OPEN);
    assert_non_null(strstr(v.said, "segment " ONE " is not kept"));
    assert_int_equal(link_to(&v, TWO, THREE), 0);
    expect_kept(&v, TWO, false); /* it would be written over */
    expect_there(&v, THREE, '0');
    expect_state(&v, one, LIVE_GIVEN_UP);
    expect_state(&v, two, LIVE_OPEN);
    livedir_abandon(v.l);
    assert_int_equal(umount(*state), 0);
}

/* What is kept goes before a freeze does. */
static void little_space_costs_the_log_first(void **state)
{
    struct live v;
    uint64_t one;

    if (geteuid() != 0 || mount("none", *state, "tmpfs", 0, "size=4m") < 0)
        skip();
    v = make(*state, 0);
    v.reserve = 4 * SEGMENT;
    open_live(&v, true);
    put(&v, ONE, ONE);
    put(&v, TWO, TWO);
    one = freeze(&v);
    assert_int_equal(livedir_unlink(v.l, v.dir, ONE), 0);
    assert_int_equal(livedir_unlink(v.l, v.dir, TWO), 0);
    expect_kept(&v, TWO, true);
    {
        char path[PATH_MAX];
        struct stat st;

        snprintf(path, sizeof(path), "%s/filler", (const char *)*state);
        fill_disk(*state);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(truncate(path, st.st_size - 3 * (off_t)SEGMENT), 0);
    }
    livedir_settle(v.l);
    expect_kept(&v, ONE, false);
    expect_state(&v, one, LIVE_OPEN);
    livedir_abandon(v.l);
    assert_int_equal(umount(*state), 0);
}

#define test(f) cmocka_unit_test_setup_teardown(f, fixture_set_up_dir, fixture_tear_down_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(renamed_segment_is_kept),
        test(linked_segment_is_kept),
        test(removed_segment_is_kept_while_a_freeze_is_wanted),
        test(what_has_a_link_is_not_used_again),
        test(what_is_there_already_is_kept_once),
        test(limit_costs_the_oldest),
        test(full_disk_keeps_no_log),
        test(little_space_costs_the_log_first),
    };

    return cmocka_run_group_tests_name("live/walfiles", tests, NULL, NULL);
}
