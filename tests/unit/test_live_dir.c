/* live/: what frozen trees show, and what becomes of epochs that are damaged, full, dropped or of
 * another run of the operating system. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <time.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"
#include "live/frozen.h"
#include "live/header.h"
#include "live/journal.h"
#include "live/livedir.h"
#include "live/livestate.h"
#include "pages/page.h"

struct live {
    char data[PATH_MAX], epochs[PATH_MAX];
    struct livedir *l;
    atomic_int complaints;
    char said[512];
    bool durable;
};

static void complain(void *arg, const char *text)
{
    struct live *v = arg;

    snprintf(v->said, sizeof(v->said), "%s", text);
    v->complaints++;
}

static void assert_no_complaint(const struct live *v)
{
    if (v->complaints)
        fail_msg("it said: %s", v->said);
}

static int try_open(struct live *v, struct err *err)
{
    struct livedir_options options = {.complain = complain, .arg = v, .durable = v->durable};

    return livedir_open(v->data, v->epochs, &options, &v->l, err);
}

static void open_live(struct live *v)
{
    struct err err;

    if (try_open(v, &err) < 0)
        fail_msg("%s", err.text);
}

static struct live new_live(const char *dir)
{
    struct live v = {.complaints = 0};

    snprintf(v.data, sizeof(v.data), "%s/data", dir);
    snprintf(v.epochs, sizeof(v.epochs), "%s/epoch", dir);
    assert_int_equal(mkdir(v.data, 0700), 0);
    return v;
}

static void close_live(struct live *v)
{
    struct err err;

    if (livedir_close(v->l, &err) < 0)
        fail_msg("%s", err.text);
}

/* ---- the server ---- */

static uint64_t number_of(struct live *v, const char *path)
{
    char copy[256], *part, *rest = copy;
    struct live_node n = {.number = LIVEDIR_ROOT};

    snprintf(copy, sizeof(copy), "%s", path);
    while ((part = strsep(&rest, "/")))
        if (*part)
            assert_int_equal(livedir_lookup(v->l, n.number, part, &n), 0);
    return n.number;
}

static struct livefile *create(struct live *v, uint64_t dir, const char *name)
{
    struct live_node n;
    struct livefile *f;

    assert_int_equal(livedir_create(v->l, dir, name, 0600, O_RDWR, &n, &f), 0);
    return f;
}

static void put_page(struct livefile *f, uint64_t page, int version)
{
    char bytes[PAGE_BYTES];

    fixture_fill_page(bytes, page, version);
    assert_int_equal(livedir_write(f, bytes, PAGE_BYTES, page * PAGE_BYTES), PAGE_BYTES);
}

static void make_file(struct live *v, const char *name, uint64_t pages, int version)
{
    struct livefile *f = create(v, LIVEDIR_ROOT, name);
    uint64_t p;

    for (p = 0; p < pages; p++)
        put_page(f, p, version);
    livedir_close_file(f);
}

static void make_dir(struct live *v, uint64_t dir, const char *name)
{
    struct live_node n;

    assert_int_equal(livedir_mkdir(v->l, dir, name, 0700, &n), 0);
}

static uint64_t freeze(struct live *v)
{
    uint64_t number = 0;
    struct err err;

    if (livedir_freeze(v->l, 0, 10000, &number, &err) < 0)
        fail_msg("%s", err.text);
    return number;
}

static void drop(struct live *v, uint64_t number)
{
    assert_int_equal(livedir_drop(v->l, number, NULL), 0);
    livedir_settle(v->l);
}

/* ---- frozen trees ---- */

static int find(struct frozen *t, const char *path, struct stat *st)
{
    char copy[256], *part, *rest = copy;
    int rc = 0;

    snprintf(copy, sizeof(copy), "%s", path);
    st->st_ino = frozen_root(t);
    while (rc == 0 && (part = strsep(&rest, "/")))
        rc = frozen_lookup(t, st->st_ino, part, st);
    return rc;
}

/* -errno, or the version that all `pages` pages of the file have. */
static int version_in(struct live *v, uint64_t number, const char *path, uint64_t pages)
{
    char bytes[PAGE_BYTES], expected[PAGE_BYTES];
    struct frozen_file *f;
    struct frozen *t;
    struct stat st;
    uint64_t p;
    int version = 0, rc = frozen_open(v->l, number, &t);

    if (rc < 0)
        return rc;
    rc = find(t, path, &st);
    if (rc == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size != pages * PAGE_BYTES)
        rc = -EFBIG;
    if (rc < 0 || (rc = frozen_open_file(t, st.st_ino, &f)) < 0) {
        frozen_close(t);
        return rc;
    }
    for (p = 0; rc == 0 && p < pages; p++) {
        int64_t n = frozen_read(f, bytes, PAGE_BYTES, p * PAGE_BYTES);

        if (n < 0)
            rc = (int)n;
        for (version = 1; rc == 0 && version < 9; version++) {
            fixture_fill_page(expected, p, version);
            if (memcmp(bytes, expected, PAGE_BYTES) == 0)
                break;
        }
    }
    frozen_close_file(f);
    frozen_close(t);
    return rc < 0 ? rc : version;
}

static void expect_gone(struct live *v, uint64_t number, const char *path)
{
    struct frozen *t;
    struct stat st;

    assert_int_equal(frozen_open(v->l, number, &t), 0);
    assert_int_equal(find(t, path, &st), -ENOENT);
    frozen_close(t);
}

/* ---- tests: trees ---- */

static void trees_stay_as_they_were(void **state)
{
    struct live v = new_live(*state);
    struct livefile *f;
    uint64_t one, two, dir;

    open_live(&v);
    make_file(&v, "a", 4, 1);
    make_file(&v, "b", 4, 1);
    make_file(&v, "c", 4, 1);
    make_dir(&v, LIVEDIR_ROOT, "d");
    one = freeze(&v);
    f = create(&v, LIVEDIR_ROOT, "a");
    assert_int_equal(livedir_unlink(v.l, LIVEDIR_ROOT, "a"), 0);
    put_page(f, 1, 2); /* under an open handle, without a name */
    assert_int_equal(livedir_resize(f, 0), 0);
    livedir_close_file(f);
    assert_int_equal(livedir_truncate(v.l, number_of(&v, "b"), 0), 0);
    assert_int_equal(livedir_rename(v.l, LIVEDIR_ROOT, "b", LIVEDIR_ROOT, "c", 0), 0);
    assert_int_equal(livedir_rmdir(v.l, LIVEDIR_ROOT, "d"), 0);
    dir = number_of(&v, "");
    f = create(&v, dir, "d");
    put_page(f, 0, 3);
    livedir_close_file(f);
    two = freeze(&v);
    assert_int_equal(livedir_unlink(v.l, LIVEDIR_ROOT, "d"), 0);
    assert_int_equal(version_in(&v, one, "a", 4), 1);
    assert_int_equal(version_in(&v, one, "b", 4), 1);
    assert_int_equal(version_in(&v, one, "c", 4), 1);
    assert_int_equal(version_in(&v, one, "d", 0), -EISDIR);
    assert_int_equal(version_in(&v, two, "c", 0), 0);
    assert_int_equal(version_in(&v, two, "d", 1), 3);
    expect_gone(&v, two, "a");
    expect_gone(&v, two, "b");
    drop(&v, two);
    assert_int_equal(version_in(&v, one, "a", 4), 1);
    assert_int_equal(version_in(&v, one, "d", 0), -EISDIR);
    close_live(&v);
    open_live(&v);
    assert_int_equal(version_in(&v, one, "b", 4), 1);
    assert_int_equal(version_in(&v, two, "d", 1), -ENOENT);
    close_live(&v);
}

static void what_is_exempt_is_not_shown(void **state)
{
    struct live v = new_live(*state);
    struct stat st;
    struct frozen *t;
    uint64_t one;
    int dir, fd;

    open_live(&v);
    make_dir(&v, LIVEDIR_ROOT, "pg_wal");
    make_dir(&v, LIVEDIR_ROOT, "base");
    make_dir(&v, number_of(&v, "base"), "pgsql_tmp");
    livedir_close_file(create(&v, number_of(&v, "pg_wal"), "000000010000000000000001"));
    livedir_close_file(create(&v, number_of(&v, "base/pgsql_tmp"), "pgsql_tmp1.0"));
    make_file(&v, "postmaster.pid", 1, 1);
    one = freeze(&v);
    dir = livedir_wal_dir(v.l, one);
    fd = openat(dir, "00000001000000000000000A", O_WRONLY | O_CREAT, 0600);
    assert_true(dir >= 0 && fd >= 0);
    close(fd);
    close(dir);
    expect_gone(&v, one, "postmaster.pid");
    expect_gone(&v, one, "base/pgsql_tmp/pgsql_tmp1.0");
    expect_gone(&v, one, "pg_wal/000000010000000000000001");
    assert_int_equal(frozen_open(v.l, one, &t), 0);
    assert_int_equal(find(t, "base/pgsql_tmp", &st), 0);
    assert_int_equal(find(t, "pg_wal/00000001000000000000000A", &st), 0);
    assert_true(st.st_ino & FROZEN_WAL);
    frozen_close(t);
    assert_int_equal(livedir_rename(v.l, LIVEDIR_ROOT, "postmaster.pid", LIVEDIR_ROOT, "x", 0),
                     -EXDEV);
    close_live(&v);
}

static void numbers_are_not_given_twice(void **state)
{
    struct live v = new_live(*state);
    struct live_freeze *list;
    uint64_t one, two;
    size_t n;

    open_live(&v);
    make_file(&v, "a", 2, 1);
    one = freeze(&v);
    two = freeze(&v);
    drop(&v, one);
    drop(&v, two);
    assert_int_equal(livedir_freezes(v.l, &list, &n), 0);
    assert_int_equal(n, 0);
    free(list);
    livedir_abandon(v.l);
    open_live(&v);
    assert_int_equal(freeze(&v), two + 1);
    assert_int_equal(livedir_freeze(v.l, two, 1000, &one, NULL), -EEXIST);
    close_live(&v);
}

static void second_server_is_refused(void **state)
{
    struct live v = new_live(*state), w;
    struct err err;

    open_live(&v);
    w = v;
    assert_int_equal(try_open(&w, &err), -EBUSY);
    fixture_assert_says(&err, "another process serves");
    snprintf(w.epochs, sizeof(w.epochs), "%.4000s.other", v.epochs);
    assert_int_equal(try_open(&w, &err), -EBUSY);
    fixture_assert_says(&err, "from another store");
    close_live(&v);
    open_live(&w);
    close_live(&w);
}

static void data_behind_links_is_refused(void **state)
{
    struct live v = new_live(*state);
    char *elsewhere, *link;
    struct err err;

    assert_true(asprintf(&elsewhere, "%s/elsewhere", (char *)*state) > 0);
    assert_true(asprintf(&link, "%s/log", v.data) > 0);
    assert_int_equal(mkdir(elsewhere, 0700), 0);
    assert_int_equal(symlink(elsewhere, link), 0);
    open_live(&v);
    close_live(&v);
    free(link);
    assert_true(asprintf(&link, "%s/pg_xact", v.data) > 0);
    assert_int_equal(symlink(elsewhere, link), 0);
    assert_int_equal(try_open(&v, &err), -EXDEV);
    fixture_assert_says(&err, "\"pg_xact\" in the data directory is a symbolic link");
    free(link);
    free(elsewhere);
}

/* ---- tests: damage ---- */

static char *path_of(const struct live *v, uint64_t number, const char *what)
{
    char *path;

    assert_true(asprintf(&path, "%s/%d/%s", v->epochs, (int)number, what) > 0);
    return path;
}

static void expect_given_up(struct live *v, uint64_t number, const char *why)
{
    struct live_freeze *list;
    struct frozen *t;
    size_t n, i;
    bool found = false;

    assert_int_equal(livedir_freezes(v->l, &list, &n), 0);
    for (i = 0; i < n; i++)
        if (list[i].number == number) {
            found = true;
            assert_int_equal(list[i].state, LIVE_GIVEN_UP);
            if (!strstr(list[i].why, why))
                fail_msg("given up because \"%s\"", list[i].why);
        }
    assert_true(found);
    assert_int_equal(frozen_open(v->l, number, &t), -ESTALE);
    free(list);
}

static uint64_t two_versions(struct live *v)
{
    uint64_t number;

    open_live(v);
    make_file(v, "a", 3, 1);
    number = freeze(v);
    make_file(v, "a", 3, 2);
    return number;
}

static void set_header(const struct live *v, uint64_t number, bool damage)
{
    char *path = path_of(v, number, "");
    int dir = open(path, O_RDONLY | O_DIRECTORY), fd;
    struct header h;

    assert_int_equal(header_read(dir, number, &h, NULL), 0);
    strcpy(h.boot_id, "another one");
    h.crc = 0;
    h.crc = crc32c(&h, sizeof(h)) ^ damage;
    fd = openat(dir, "header", O_WRONLY);
    assert_int_equal(pwrite(fd, &h, sizeof(h), 0), sizeof(h));
    close(fd);
    close(dir);
    free(path);
}

static void crash_of_the_system_costs_freezes(void **state)
{
    struct live v = new_live(*state);
    uint64_t one = two_versions(&v);

    livedir_abandon(v.l);
    set_header(&v, one, false);
    open_live(&v);
    expect_given_up(&v, one, "operating system");
    assert_int_equal(v.complaints, 1);
    make_file(&v, "a", 3, 4);
    one = freeze(&v);
    make_file(&v, "a", 3, 5);
    assert_int_equal(version_in(&v, one, "a", 3), 4);
    close_live(&v);
    set_header(&v, one, false); /* closed cleanly: nothing is lost */
    open_live(&v);
    assert_int_equal(version_in(&v, one, "a", 3), 4);
    close_live(&v);
}

/* As if the second had not reached the disk. */
static void crash_of_the_system_gives_no_number_twice(void **state)
{
    struct live v = new_live(*state);
    uint64_t one = two_versions(&v), two = freeze(&v);
    char *path = path_of(&v, two, ""), *away;

    livedir_settle(v.l);
    livedir_abandon(v.l);
    set_header(&v, one, false);
    assert_true(asprintf(&away, "%s/lost", v.epochs) > 0);
    assert_int_equal(rename(path, away), 0);
    free(path);
    free(away);
    open_live(&v);
    expect_given_up(&v, one, "operating system");
    two = freeze(&v);
    assert_true(two > one + 1);
    make_file(&v, "a", 3, 4);
    close_live(&v);
    open_live(&v);
    assert_int_equal(version_in(&v, two, "a", 3), 2);
    assert_int_equal(freeze(&v), two + 1);
    close_live(&v);
}

static void damaged_header_gives_up(void **state)
{
    struct live v = new_live(*state);
    uint64_t one = two_versions(&v);

    livedir_abandon(v.l);
    set_header(&v, one, true);
    open_live(&v);
    expect_given_up(&v, one, "damaged");
    drop(&v, one);
    close_live(&v);
}

/* Who owns the store may have put them there. */
static void pipe_is_not_waited_for(void **state)
{
    static const char *const names[] = {"header", JOURNAL_NAME};
    struct live v = new_live(*state);
    uint64_t one = two_versions(&v);
    char *path;
    size_t i;

    alarm(60);
    for (i = 0; i < sizeof(names) / sizeof(*names); i++) {
        livedir_abandon(v.l);
        path = path_of(&v, one, names[i]);
        assert_int_equal(unlink(path), 0);
        assert_int_equal(mkfifo(path, 0600), 0);
        free(path);
        open_live(&v);
        expect_given_up(&v, one, "");
        drop(&v, one);
        one = freeze(&v);
    }
    alarm(0);
    close_live(&v);
}

/* Neither what was noted of the directory nor the header of the newest epoch had reached the disk. */
static void crash_of_the_system_is_the_cause_that_is_told(void **state)
{
    struct live v = new_live(*state);
    uint64_t one = two_versions(&v), two = freeze(&v);
    char *path = path_of(&v, two, "header"), *lock;

    make_file(&v, "a", 3, 3);
    livedir_abandon(v.l);
    set_header(&v, one, false);
    assert_int_equal(truncate(path, 0), 0);
    assert_true(asprintf(&lock, "%s/lock", v.epochs) > 0);
    assert_int_equal(truncate(lock, 8), 0);
    open_live(&v);
    expect_given_up(&v, one, "operating system");
    free(path);
    free(lock);
    close_live(&v);
}

/* In the place of a page that was being kept when the system ended; the live one was not written. */
static void durable_pages_are_checked_after_a_crash(void **state)
{
    struct live v = new_live(*state);
    char bytes[PAGE_BYTES], *path;
    struct stat st;
    uint64_t one;
    int fd;

    v.durable = true;
    one = two_versions(&v);
    livedir_abandon(v.l);
    assert_true(asprintf(&path, "%s/a", v.data) > 0);
    assert_int_equal(stat(path, &st), 0);
    fd = open(path, O_WRONLY);
    fixture_fill_page(bytes, 1, 1);
    assert_int_equal(pwrite(fd, bytes, PAGE_BYTES, PAGE_BYTES), PAGE_BYTES);
    close(fd);
    free(path);
    assert_true(asprintf(&path, "%s/%d/old/%016lx", v.epochs, (int)one, (long)st.st_ino) > 0);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "damage", 6, PAGE_BYTES + 100), 6);
    close(fd);
    free(path);
    set_header(&v, one, false);
    open_live(&v);
    assert_no_complaint(&v);
    assert_int_equal(version_in(&v, one, "a", 3), 1);
    close_live(&v);
}

static void damaged_page_is_an_error(void **state)
{
    struct live v = new_live(*state);
    uint64_t one = two_versions(&v);
    struct stat st;
    char *path;
    int fd;

    assert_true(asprintf(&path, "%s/a", v.data) > 0);
    assert_int_equal(stat(path, &st), 0);
    free(path);
    assert_true(asprintf(&path, "%s/%d/old/%016lx", v.epochs, (int)one, (long)st.st_ino) > 0);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "damage", 6, PAGE_BYTES + 100), 6);
    close(fd);
    free(path);
    assert_int_equal(version_in(&v, one, "a", 3), -EIO);
    close_live(&v);
}

/* A side page table that was being made when the process was killed. */
static void unfinished_storage_is_none(void **state)
{
    struct live v = new_live(*state);
    struct stat st;
    uint64_t one;
    char *path;

    open_live(&v);
    make_file(&v, "a", 3, 1);
    one = freeze(&v);
    assert_true(asprintf(&path, "%s/a", v.data) > 0);
    assert_int_equal(stat(path, &st), 0);
    free(path);
    assert_true(asprintf(&path, "%s/%d/side/%016lx.new", v.epochs, (int)one, (long)st.st_ino) > 0);
    close(open(path, O_WRONLY | O_CREAT, 0600));
    free(path);
    make_file(&v, "a", 3, 2);
    assert_no_complaint(&v);
    assert_int_equal(version_in(&v, one, "a", 3), 1);
    close_live(&v);
}

static void touch_root(const struct live *v)
{
    char *path;

    assert_true(asprintf(&path, "%s/postmaster.pid", v->data) > 0);
    close(open(path, O_WRONLY | O_CREAT, 0600));
    unlink(path);
    free(path);
}

static void change_behind_our_back_gives_up(void **state)
{
    struct live v = new_live(*state);
    uint64_t one = two_versions(&v);

    assert_int_equal(livedir_truncate(v.l, number_of(&v, "a"), 0), 0);
    livedir_abandon(v.l);
    open_live(&v);
    assert_int_equal(version_in(&v, one, "a", 3), 1);
    close_live(&v);
    touch_root(&v);
    open_live(&v);
    expect_given_up(&v, one, "changed while asofs did not serve it");
    one = freeze(&v);
    close_live(&v);
    open_live(&v);
    assert_int_equal(version_in(&v, one, "a", 0), 0);
    livedir_abandon(v.l);
    touch_root(&v);
    open_live(&v);
    expect_given_up(&v, one, "changed while asofs did not serve it");
    close_live(&v);
}

static void wait_ms(int ms)
{
    struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};

    nanosleep(&t, NULL);
}

static void edit(const struct live *v, const char *name)
{
    char *path;
    int fd;

    assert_true(asprintf(&path, "%s/%s", v->data, name) > 0);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "edited", 6, 100), 6);
    close(fd);
    free(path);
}

/* As pg_checksums does, which makes no file. */
static void edit_behind_our_back_gives_up(void **state)
{
    struct live v = new_live(*state);
    uint64_t one = two_versions(&v);

    make_file(&v, "b", 1, 1);
    close_live(&v);
    wait_ms(30);
    open_live(&v);
    assert_int_equal(version_in(&v, one, "a", 3), 1);
    close_live(&v);
    wait_ms(30);
    edit(&v, "b");
    open_live(&v);
    expect_given_up(&v, one, "changed while asofs did not serve it");
    one = freeze(&v);
    make_file(&v, "a", 3, 3);
    livedir_abandon(v.l);
    open_live(&v); /* a kill alone */
    assert_int_equal(version_in(&v, one, "a", 3), 2);
    livedir_abandon(v.l);
    wait_ms(2100);
    edit(&v, "b");
    open_live(&v);
    expect_given_up(&v, one, "changed while asofs did not serve it");
    close_live(&v);
}

/* A server that was started past us, say: nothing is saved of what it changes. */
static void change_past_us_is_noticed(void **state)
{
    struct live v = new_live(*state);
    uint64_t one = two_versions(&v), number;
    struct err err;

    make_file(&v, "b", 1, 1);
    livedir_settle(v.l);
    assert_int_equal(version_in(&v, one, "a", 3), 1);
    wait_ms(30);
    touch_root(&v);
    make_file(&v, "c", 1, 1);
    assert_int_equal(livedir_freeze(v.l, 0, 1000, &number, &err), -ESTALE);
    expect_given_up(&v, one, "changed past asofs while it was served");
    assert_int_equal(v.complaints, 1);
    close_live(&v);
    open_live(&v);
    one = freeze(&v);
    wait_ms(30);
    touch_root(&v);
    livedir_settle(v.l);
    expect_given_up(&v, one, "changed past asofs while it was served");
    close_live(&v);
}

static int count(void *arg, const struct journal_record *r)
{
    (void)r;
    ++*(int *)arg;
    return 0;
}

static void journal_cut_anywhere_keeps_what_is_whole(void **state)
{
    struct journal_record r[] = {
        {.type = JOURNAL_ENTRY, .dir = 5, .id = 6, .mode = S_IFREG, .name = "name"},
        {.type = JOURNAL_BORN, .id = 7},
        {.type = JOURNAL_SIZE, .id = 8, .size = 9}};
    int dir = open(*state, O_RDONLY | O_DIRECTORY), n, last = 0, fd;
    struct journal *j;
    char bytes[512];
    uint64_t good;
    struct err err;
    ssize_t len, cut;

    assert_int_equal(journal_create(dir, 3), 0);
    assert_int_equal(journal_open(dir, JOURNAL_START, &j), 0);
    assert_int_equal(journal_append(j, r, 2, false), 0);
    assert_int_equal(journal_append(j, r + 2, 1, false), 0);
    journal_close(j);
    fd = openat(dir, JOURNAL_NAME, O_RDONLY);
    len = read(fd, bytes, sizeof(bytes));
    close(fd);
    for (cut = 0; cut <= len; cut++) {
        n = 0;
        if (cut < (ssize_t)JOURNAL_START) {
            assert_int_equal(journal_walk(bytes, (size_t)cut, 3, count, &n, &good, &err), -EIO);
            continue;
        }
        assert_int_equal(journal_walk(bytes, (size_t)cut, 3, count, &n, &good, &err), 0);
        assert_true(n >= last && (n == 0 || n == 2 || n == 3));
        last = n;
    }
    assert_int_equal(last, 3);
    for (cut = JOURNAL_START; cut < len; cut++) {
        bytes[cut] ^= 1;
        n = 0;
        if (journal_walk(bytes, (size_t)len, 3, count, &n, &good, &err) == 0)
            assert_true(n < 3); /* a length that now reaches over the end */
        bytes[cut] ^= 1;
    }
    close(dir);
}

/* ---- tests: an epoch that cannot be written ---- */

static void server_goes_on_when_nothing_can_be_kept(void **state)
{
    struct live v = new_live(*state);
    char *old, *away;
    uint64_t one, two;

    open_live(&v);
    make_file(&v, "a", 3, 1);
    one = freeze(&v);
    two = freeze(&v);
    old = path_of(&v, two, "old");
    away = path_of(&v, two, "away");
    assert_int_equal(rename(old, away), 0);
    make_file(&v, "a", 3, 2);
    expect_given_up(&v, one, "could not be kept");
    expect_given_up(&v, two, "could not be kept");
    assert_int_equal(v.complaints, 1);
    assert_non_null(strstr(v.said, "2 freezes are given up"));
    assert_int_equal(livedir_unlink(v.l, LIVEDIR_ROOT, "a"), 0);
    assert_int_equal(rename(away, old), 0);
    free(old);
    free(away);
    livedir_abandon(v.l);
    open_live(&v);
    expect_given_up(&v, two, "could not be kept");
    make_file(&v, "a", 3, 3);
    one = freeze(&v);
    make_file(&v, "a", 3, 4);
    assert_int_equal(version_in(&v, one, "a", 3), 3);
    close_live(&v);
}

static void fill_disk(const char *dir)
{
    char *path, bytes[4096] = {1};
    int fd;

    assert_true(asprintf(&path, "%s/filler", dir) > 0);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    while (write(fd, bytes, sizeof(bytes)) > 0)
        ;
    close(fd);
    free(path);
}

static void full_disk_fails_no_write(void **state)
{
    struct live v;
    uint64_t one;

    if (geteuid() != 0 || mount("none", *state, "tmpfs", 0, "size=4m") < 0)
        skip();
    v = new_live(*state);
    open_live(&v);
    make_file(&v, "a", 40, 1);
    one = freeze(&v);
    livedir_settle(v.l);
    fill_disk(*state);
    make_file(&v, "a", 40, 2);
    expect_given_up(&v, one, "could not be kept");
    assert_int_equal(livedir_truncate(v.l, number_of(&v, "a"), 0), 0);
    assert_int_equal(livedir_unlink(v.l, LIVEDIR_ROOT, "a"), 0);
    livedir_abandon(v.l);
    open_live(&v);
    expect_given_up(&v, one, "could not be kept");
    livedir_abandon(v.l);
    assert_int_equal(umount(*state), 0);
}

static void file_is_synced_without_descriptors(void **state)
{
    struct live v = new_live(*state);
    struct rlimit all, few = {3, 3};
    struct livefile *f;

    open_live(&v);
    make_file(&v, "a", 3, 1);
    freeze(&v);
    livedir_settle(v.l);
    f = create(&v, LIVEDIR_ROOT, "a");
    assert_int_equal(livedir_resize(f, 0), 0);
    put_page(f, 0, 2);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    few.rlim_max = all.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(livedir_sync(f, true), 0); /* and its directory */
    assert_int_equal(livedir_sync_dir(v.l, LIVEDIR_ROOT), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
    livedir_close_file(f);
    close_live(&v);
}

static void many_open_files_take_few_descriptors(void **state)
{
    enum { FILES = 250 };
    struct rlimit all, few;
    struct live v = new_live(*state);
    struct livefile *f[FILES];
    char name[16];
    uint64_t one;
    int i;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    few = (struct rlimit){640, all.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    open_live(&v);
    for (i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        f[i] = create(&v, LIVEDIR_ROOT, name);
        put_page(f[i], 0, 1);
    }
    one = freeze(&v);
    for (i = 0; i < FILES; i++)
        put_page(f[i], 0, 2);
    for (i = 0; i < FILES; i++)
        put_page(f[i], 0, 3);
    assert_no_complaint(&v);
    for (i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        assert_int_equal(version_in(&v, one, name, 1), 1);
        livedir_close_file(f[i]);
    }
    close_live(&v);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
}

/* A freeze more is refused before the server lacks any. */
static void many_freezes_leave_descriptors(void **state)
{
    enum { LIMIT = 240, FILES = LIMIT / 8 };
    struct live v = new_live(*state);
    struct rlimit all, few;
    uint64_t number, n = 0;
    int fd[FILES], i, rc;
    struct livefile *f;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
    few = (struct rlimit){LIMIT, all.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    open_live(&v);
    f = create(&v, LIVEDIR_ROOT, "a");
    while ((rc = livedir_freeze(v.l, 0, 10000, &number, NULL)) == 0) {
        put_page(f, 0, (int)++n);
        assert_true(n < LIMIT);
    }
    assert_int_equal(rc, -EMFILE);
    assert_true(n >= LIMIT / 16);
    for (i = 0; i < FILES; i++)
        assert_true((fd[i] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0);
    put_page(f, 0, 1);
    assert_no_complaint(&v);
    for (i = 0; i < FILES; i++)
        close(fd[i]);
    livedir_close_file(f);
    close_live(&v);
    open_live(&v); /* with as many */
    assert_int_equal(livedir_freeze(v.l, 0, 10000, &number, NULL), -EMFILE);
    drop(&v, 1);
    freeze(&v);
    close_live(&v);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
}

static bool has_removed_file_open(void)
{
    char link[64], target[PATH_MAX];
    ssize_t n;
    int fd;

    for (fd = 0; fd < 256; fd++) {
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, target, sizeof(target) - 1);
        target[n > 0 ? n : 0] = '\0';
        if (strstr(target, "/epoch/") && strstr(target, "(deleted)"))
            return true;
    }
    return false;
}

/* The server has the file open, and does not write to it any more. */
static void dropped_epoch_takes_no_space(void **state)
{
    struct live v = new_live(*state);
    struct livefile *f;
    uint64_t one;

    open_live(&v);
    make_file(&v, "a", 3, 1);
    one = freeze(&v);
    f = create(&v, LIVEDIR_ROOT, "a");
    put_page(f, 0, 2);
    freeze(&v);
    drop(&v, one);
    assert_false(has_removed_file_open());
    livedir_close_file(f);
    close_live(&v);
}

/* As a renaming over it leaves it that fails at its last step. */
static void second_name_does_not_keep_the_first(void **state)
{
    struct live v = new_live(*state);
    struct livefile *f;
    struct live_node n;
    char *from, *to;
    struct stat st;
    uint64_t one;

    open_live(&v);
    make_file(&v, "a", 3, 1);
    one = freeze(&v);
    assert_true(asprintf(&from, "%s/a", v.data) > 0);
    assert_int_equal(stat(from, &st), 0);
    assert_true(asprintf(&to, "%s/%d/kept/%016lx", v.epochs, (int)one, (long)st.st_ino) > 0);
    assert_int_equal(link(from, to), 0);
    assert_int_equal(livedir_unlink(v.l, LIVEDIR_ROOT, "a"), 0);
    assert_int_equal(access(from, F_OK), -1);
    assert_int_equal(livedir_create(v.l, LIVEDIR_ROOT, "a", 0600, O_RDWR | O_EXCL, &n, &f), 0);
    livedir_close_file(f);
    assert_int_equal(version_in(&v, one, "a", 3), 1);
    assert_no_complaint(&v);
    free(from);
    free(to);
    close_live(&v);
}

/* ---- tests: bounds ---- */

static atomic_int held_up; /* 1: a write shall stop, 2: it did, 0: it may go on */

static void hold_up(const char *where)
{
    struct timespec moment = {0, 1000000};

    if (strcmp(where, "write: took the newest") != 0 || held_up != 1)
        return;
    held_up = 2;
    while (held_up)
        nanosleep(&moment, NULL);
}

static void *write_slowly(void *arg)
{
    make_file(arg, "a", 1, 2);
    return NULL;
}

static void freeze_that_cannot_drain_does_no_harm(void **state)
{
    struct live v = new_live(*state);
    struct timespec moment = {0, 1000000};
    uint64_t one, number = 0;
    pthread_t writer;
    struct err err;

    open_live(&v);
    make_file(&v, "a", 1, 1);
    one = freeze(&v);
    held_up = 1;
    livedir_test_step = hold_up;
    assert_int_equal(pthread_create(&writer, NULL, write_slowly, &v), 0);
    while (held_up != 2)
        nanosleep(&moment, NULL);
    assert_int_equal(livedir_freeze(v.l, 0, 30, &number, &err), -EBUSY);
    fixture_assert_says(&err, "were not over after 30 ms");
    assert_int_equal(livedir_freeze(v.l, 0, 30, &number, &err), -EBUSY);
    held_up = 0;
    pthread_join(writer, NULL);
    livedir_test_step = NULL;
    assert_int_equal(freeze(&v), one + 3);
    make_file(&v, "a", 1, 3);
    assert_int_equal(version_in(&v, one, "a", 1), 1);
    assert_int_equal(version_in(&v, one + 1, "a", 1), -ENOENT);
    assert_int_equal(version_in(&v, one + 3, "a", 1), 2);
    livedir_settle(v.l);
    assert_int_equal(version_in(&v, one, "a", 1), 1);
    close_live(&v);
}

static void limit_costs_the_oldest(void **state)
{
    struct live v = new_live(*state);
    struct livedir_options options = {
        .complain = complain, .arg = &v, .limit = UINT64_C(30) * PAGE_BYTES};
    uint64_t one, two;
    struct err err;

    assert_int_equal(livedir_open(v.data, v.epochs, &options, &v.l, &err), 0);
    make_file(&v, "a", 20, 1);
    one = freeze(&v);
    make_file(&v, "a", 20, 2);
    two = freeze(&v);
    make_file(&v, "a", 20, 3);
    livedir_settle(v.l);
    expect_given_up(&v, one, "may take");
    livedir_settle(v.l);
    assert_int_equal(version_in(&v, two, "a", 20), 2);
    assert_int_equal(v.complaints, 1);
    close_live(&v);
}

/* ---- tests: readers and what is dropped ---- */

static atomic_int tidies, reads; /* what has come to that point */

/* A read that has seen that its freeze is there, when that goes. */
static void read_late(const char *where)
{
    struct timespec moment = {0, 1000000};
    int i;

    if (strcmp(where, "frozen: about to read") == 0)
        for (reads = 1; !tidies;)
            nanosleep(&moment, NULL);
    if (strcmp(where, "frozen: looked") == 0)
        reads = 2;
    if (strcmp(where, "tidy: waited") != 0 || reads != 1)
        return;
    tidies = 1;
    for (i = 0; i < 50; i++)
        nanosleep(&moment, NULL);
}

struct reading {
    struct frozen_file *f;
    int64_t n;
};

static void *read_a_page(void *arg)
{
    struct reading *r = arg;
    char bytes[PAGE_BYTES];

    r->n = frozen_read(r->f, bytes, PAGE_BYTES, PAGE_BYTES);
    return NULL;
}

static void nobody_reads_what_is_being_taken_away(void **state)
{
    struct live v = new_live(*state);
    struct timespec moment = {0, 1000000};
    struct reading r = {0};
    struct frozen *t;
    struct stat st;
    pthread_t reader;
    uint64_t one;

    open_live(&v);
    make_file(&v, "a", 3, 1);
    one = freeze(&v);
    make_file(&v, "a", 1, 2);
    assert_int_equal(livedir_unlink(v.l, LIVEDIR_ROOT, "a"), 0);
    assert_int_equal(frozen_open(v.l, one, &t), 0);
    assert_int_equal(find(t, "a", &st), 0);
    assert_int_equal(frozen_open_file(t, st.st_ino, &r.f), 0);
    tidies = reads = 0;
    livedir_test_step = read_late;
    assert_int_equal(pthread_create(&reader, NULL, read_a_page, &r), 0);
    while (reads != 1)
        nanosleep(&moment, NULL);
    drop(&v, one);
    pthread_join(reader, NULL);
    livedir_test_step = NULL;
    assert_int_equal(r.n, -ESTALE);
    assert_int_equal(reads, 1); /* it took no descriptor that was about to be closed */
    frozen_close_file(r.f);
    frozen_close(t);
    close_live(&v);
}

/* ---- tests: merging ---- */

static void dropping_keeps_what_older_ones_need(void **state)
{
    struct live v = new_live(*state);
    uint64_t one, two, three;
    char *path;

    open_live(&v);
    make_file(&v, "a", 6, 1);
    make_file(&v, "b", 6, 1);
    one = freeze(&v);
    make_file(&v, "a", 2, 2); /* pages 0 and 1 are kept in the first */
    two = freeze(&v);
    make_file(&v, "a", 6, 3); /* all of them in the second */
    make_file(&v, "b", 6, 2); /* only there */
    make_file(&v, "new", 1, 1);
    three = freeze(&v);
    assert_int_equal(livedir_unlink(v.l, LIVEDIR_ROOT, "new"), 0);
    drop(&v, two);
    path = path_of(&v, two, "header");
    assert_int_equal(access(path, F_OK), -1);
    free(path);
    assert_int_equal(version_in(&v, one, "a", 6), 1);
    assert_int_equal(version_in(&v, one, "b", 6), 1);
    expect_gone(&v, one, "new");
    assert_int_equal(version_in(&v, three, "new", 1), 1);
    drop(&v, three);
    assert_int_equal(version_in(&v, one, "b", 6), 1);
    livedir_abandon(v.l);
    open_live(&v);
    assert_int_equal(version_in(&v, one, "a", 6), 1);
    assert_int_equal(version_in(&v, one, "b", 6), 1);
    assert_no_complaint(&v);
    close_live(&v);
}

static void end_in_the_middle(const char *where)
{
    if (strcmp(where, "merge: pages are in both") == 0)
        _exit(9);
}

/* The system ends while what a dropped one has is moved: nothing of it is lost. */
static void merge_cut_short_loses_nothing(void **state)
{
    struct live v = new_live(*state);
    uint64_t one, two, three;
    int status;
    pid_t child;

    v.durable = true;
    open_live(&v);
    make_file(&v, "a", 6, 1);
    one = freeze(&v);
    two = freeze(&v);
    make_file(&v, "a", 6, 2);
    three = freeze(&v);
    close_live(&v);
    child = fork();
    if (child == 0) {
        open_live(&v);
        livedir_test_step = end_in_the_middle;
        drop(&v, two);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(WEXITSTATUS(status), 9);
    set_header(&v, one, false);
    set_header(&v, two, false);
    set_header(&v, three, false);
    open_live(&v);
    assert_int_equal(version_in(&v, one, "a", 6), 1);
    livedir_settle(v.l);
    assert_int_equal(version_in(&v, one, "a", 6), 1);
    assert_no_complaint(&v);
    close_live(&v);
}

static void set_durable(struct live *v, bool durable)
{
    close_live(v);
    v->durable = durable;
    open_live(v);
}

static void merge_of_what_is_not_durable_is_none(void **state)
{
    struct live v = new_live(*state);
    uint64_t one, two;

    v.durable = true;
    open_live(&v);
    make_file(&v, "a", 6, 1);
    one = freeze(&v);
    set_durable(&v, false);
    two = freeze(&v);
    make_file(&v, "a", 6, 2);
    freeze(&v);
    set_durable(&v, true);
    drop(&v, two);
    assert_int_equal(version_in(&v, one, "a", 6), 1);
    livedir_abandon(v.l);
    set_header(&v, one, false);
    open_live(&v);
    expect_given_up(&v, one, "operating system");
    close_live(&v);
}

static void lost_pages_are_an_error(void **state)
{
    struct live v = new_live(*state);
    uint64_t one;
    struct stat st;
    char *path;

    open_live(&v);
    livedir_close_file(create(&v, LIVEDIR_ROOT, "a"));
    assert_int_equal(livedir_truncate(v.l, number_of(&v, "a"), PAGE_BYTES), 0); /* zeros */
    one = freeze(&v);
    make_file(&v, "a", 1, 2);
    close_live(&v);
    assert_true(asprintf(&path, "%s/a", v.data) > 0);
    assert_int_equal(stat(path, &st), 0);
    free(path);
    assert_true(asprintf(&path, "%s/%d/old/%016lx", v.epochs, (int)one, (long)st.st_ino) > 0);
    assert_int_equal(unlink(path), 0);
    free(path);
    open_live(&v);
    assert_int_equal(version_in(&v, one, "a", 1), -EIO);
    close_live(&v);
}

#define test(f) cmocka_unit_test_setup_teardown(f, fixture_set_up_dir, fixture_tear_down_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(trees_stay_as_they_were),
        test(what_is_exempt_is_not_shown),
        test(numbers_are_not_given_twice),
        test(second_server_is_refused),
        test(data_behind_links_is_refused),
        test(crash_of_the_system_costs_freezes),
        test(crash_of_the_system_gives_no_number_twice),
        test(crash_of_the_system_is_the_cause_that_is_told),
        test(damaged_header_gives_up),
        test(pipe_is_not_waited_for),
        test(durable_pages_are_checked_after_a_crash),
        test(damaged_page_is_an_error),
        test(unfinished_storage_is_none),
        test(change_behind_our_back_gives_up),
        test(edit_behind_our_back_gives_up),
        test(change_past_us_is_noticed),
        test(journal_cut_anywhere_keeps_what_is_whole),
        test(server_goes_on_when_nothing_can_be_kept),
        test(full_disk_fails_no_write),
        test(file_is_synced_without_descriptors),
        test(many_open_files_take_few_descriptors),
        test(many_freezes_leave_descriptors),
        test(dropped_epoch_takes_no_space),
        test(second_name_does_not_keep_the_first),
        test(freeze_that_cannot_drain_does_no_harm),
        test(limit_costs_the_oldest),
        test(nobody_reads_what_is_being_taken_away),
        test(dropping_keeps_what_older_ones_need),
        test(merge_cut_short_loses_nothing),
        test(merge_of_what_is_not_durable_is_none),
        test(lost_pages_are_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
