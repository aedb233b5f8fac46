/* view/outdir.h: directories that appear whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/log.h"
#include "common/mem.h"
#include "view/outdir.h"
#include "viewfixture.h"

static size_t entries_in(const char *dir)
{
    DIR *d = opendir(dir);
    size_t n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2; /* . and .. */
}

static void outdir_appears_when_it_is_published(void **state)
{
    struct place_below *p = *state;
    mode_t mask = umask(027);
    struct outdir d;
    struct stat st;
    struct err err;

    assert_int_equal(outdir_open(&d, p->out, &err), 0);
    assert_int_equal(access(p->out, F_OK), -1);
    assert_int_equal(fstat(d.fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 01700);
    assert_int_equal(io_write_file(d.fd, "f", "x", 1, &err), 0);
    assert_int_equal(outdir_publish(&d, &err), 0);
    assert_int_equal(stat(p->out, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
    assert_int_equal(entries_in(p->out), 1);
    assert_int_equal(entries_in(p->dir), 1);
    umask(mask);
}

static void outdir_leaves_nothing_when_abandoned(void **state)
{
    struct place_below *p = *state;
    struct outdir d;
    struct err err;

    assert_int_equal(outdir_open(&d, p->out, &err), 0);
    assert_int_equal(mkdirat(d.fd, "sub", 0700), 0);
    assert_int_equal(io_write_file(d.fd, "sub/f", "x", 1, &err), 0);
    outdir_abandon(&d);
    assert_int_equal(entries_in(p->dir), 0);
}

static void outdir_ignores_slashes_at_the_end(void **state)
{
    struct place_below *p = *state;
    char *path = mem_printf("%s//", p->out);
    struct outdir d;
    struct err err;

    assert_int_equal(outdir_open(&d, path, &err), 0);
    assert_string_equal(d.path, p->out);
    assert_int_equal(outdir_publish(&d, &err), 0);
    assert_int_equal(access(p->out, F_OK), 0);
    free(path);
}

static void assert_outdir_refused(const char *path, int code, const char *named)
{
    struct outdir d;
    struct err err;

    assert_int_equal(outdir_open(&d, path, &err), -code);
    assert_int_equal(err.code, code);
    assert_non_null(strstr(err.text, named));
}

static void outdir_refuses_a_place_that_is_taken_or_missing(void **state)
{
    struct place_below *p = *state;
    char *below = mem_printf("%s/new", p->out), *dangling = mem_printf("%s/link", p->dir);
    int fd;

    assert_outdir_refused(p->dir, EEXIST, p->dir);
    assert_outdir_refused("/", EEXIST, "/");
    assert_outdir_refused(below, ENOENT, below);
    fd = open(p->out, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_outdir_refused(p->out, EEXIST, p->out);
    assert_outdir_refused(below, ENOTDIR, p->out);
    assert_int_equal(symlink("/nonexistent", dangling), 0);
    assert_outdir_refused(dangling, EEXIST, dangling);
    assert_int_equal(entries_in(p->dir), 2);
    close(fd);
    free(below);
    free(dangling);
}

static void outdir_refuses_an_empty_name_at_once(void **state)
{
    struct place_below *p = *state;
    int back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;
    struct outdir d;
    struct err err;

    assert_int_equal(chdir(p->dir), 0);
    rc = outdir_open(&d, "", &err);
    if (rc == 0)
        outdir_abandon(&d);
    assert_int_equal(fchdir(back), 0);
    close(back);
    assert_true(rc < 0);
}

static void outdir_does_not_replace_what_came_meanwhile(void **state)
{
    struct place_below *p = *state;
    struct outdir d;
    struct err err;

    assert_int_equal(outdir_open(&d, p->out, &err), 0);
    assert_int_equal(mkdir(p->out, 0700), 0);
    assert_int_equal(outdir_publish(&d, &err), -EEXIST);
    assert_int_equal(entries_in(p->dir), 1);
    assert_int_equal(entries_in(p->out), 0);
}

/* A directory of that mode and owner beside the place, with a file in it; is it still there after
 * one more has been opened? */
static bool survives(struct place_below *p, const char *name, mode_t mode, uid_t owner, bool locked)
{
    char *path = mem_printf("%s/%s", p->dir, name), *file = mem_printf("%s/f", path);
    struct outdir d;
    struct err err;
    bool there;
    int fd;

    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(io_write_file(AT_FDCWD, file, "x", 1, &err), 0);
    assert_int_equal(chown(path, owner, getegid()), 0);
    assert_int_equal(chmod(path, mode), 0);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (locked)
        assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(outdir_open(&d, p->out, &err), 0);
    outdir_abandon(&d);
    there = access(file, F_OK) == 0;
    close(fd);
    free(path);
    free(file);
    return there;
}

static void outdir_removes_what_a_killed_run_left(void **state)
{
    log_set_level(LOG_LEVEL_QUIET);
    assert_false(survives(*state, ".out.asofs-abcDEF", 01700, geteuid(), false));
    /* another run is filling it */
    assert_true(survives(*state, ".out.asofs-123456", 01700, geteuid(), true));
    assert_true(survives(*state, ".out.asofs-1234567", 01700, geteuid(), false));
    assert_true(survives(*state, ".outer.asofs-123456", 01700, geteuid(), false));
    assert_true(survives(*state, "out.asofs-123456", 01700, geteuid(), false));
    /* a result that somebody has moved there */
    assert_true(survives(*state, ".out.asofs-ABCDEF", 0700, geteuid(), false));
    if (geteuid() == 0)
        assert_true(survives(*state, ".out.asofs-GHIJKL", 01700, 65534, false));
    log_set_level(LOG_LEVEL_NORMAL);
}

static void outdir_that_was_exchanged_does_not_appear(void **state)
{
    struct place_below *p = *state;
    char *aside = mem_printf("%s/aside", p->dir), *file;
    struct outdir d;
    struct err err;

    assert_int_equal(outdir_open(&d, p->out, &err), 0);
    assert_int_equal(rename(d.hidden, aside), 0);
    assert_int_equal(mkdir(d.hidden, 0700), 0);
    file = mem_printf("%s/theirs", d.hidden);
    assert_int_equal(io_write_file(d.fd, "own", "x", 1, &err), 0);
    assert_int_equal(io_write_file(AT_FDCWD, file, "x", 1, &err), 0);
    assert_int_equal(outdir_publish(&d, &err), -ESTALE);
    assert_int_equal(access(file, F_OK), 0);
    assert_int_equal(access(p->out, F_OK), -1);
    assert_int_equal(entries_in(aside), 0); /* what was filled is gone */
    free(file);
    free(aside);
}

static void outdir_is_filled_with_what_a_view_has(void **state)
{
    struct place_below *p = *state;
    struct view *v = viewfixture_view("erp", NULL);
    const struct tree *t = view_tree(v);
    int fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), m;
    struct stat st;
    struct err err;

    for (m = 0; m < META_FILES; m++)
        v->members[0].texts[m] = viewfixture_text(m == META_ERRORS ? "bad\n" : "");
    assert_int_equal(outdir_make_dirs(t, fd, &err), 0);
    assert_int_equal(outdir_write_meta(v->members[0].texts, fd, &err), 0);
    assert_int_equal(io_write_file(fd, "public/items.csv", "x", 1, &err), 0);
    outdir_set_times(t, view_time(v), fd);
    assert_int_equal(fstatat(fd, ".asofs/errors", &st, 0), 0);
    assert_int_equal(st.st_size, 4);
    assert_int_equal(fstatat(fd, "public/items.csv", &st, 0), 0);
    assert_int_equal(st.st_mtime, 1794816000);
    assert_int_equal(fstatat(fd, "public", &st, 0), 0);
    assert_int_equal(st.st_mtime, 1794816000);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mtime, 1794816000);
    assert_int_equal(outdir_make_dirs(t, fd, &err), -EEXIST);
    close(fd);
    view_free(v);
}

#define WITH_PLACE(f)                                                                              \
    cmocka_unit_test_setup_teardown(f, viewfixture_set_up_place, viewfixture_tear_down_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PLACE(outdir_appears_when_it_is_published),
        WITH_PLACE(outdir_leaves_nothing_when_abandoned),
        WITH_PLACE(outdir_is_filled_with_what_a_view_has),
        WITH_PLACE(outdir_ignores_slashes_at_the_end),
        WITH_PLACE(outdir_refuses_a_place_that_is_taken_or_missing),
        WITH_PLACE(outdir_refuses_an_empty_name_at_once),
        WITH_PLACE(outdir_does_not_replace_what_came_meanwhile),
        WITH_PLACE(outdir_removes_what_a_killed_run_left),
        WITH_PLACE(outdir_that_was_exchanged_does_not_appear),
    };

    return cmocka_run_group_tests_name("view/outdir", tests, NULL, NULL);
}
