/* common/way.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/mem.h"
#include "common/way.h"
#include "fixture.h"

static int check_way(const char *dir, const char *path, uid_t trusted)
{
    char *whole = mem_printf("%s/%s", dir, path);
    struct err err = {0};
    int rc = way_check(whole, &trusted, 1, &err);

    free(whole);
    return rc;
}

static void own(const char *dir, const char *name, uid_t uid, mode_t mode)
{
    char *path = mem_printf("%s/%s", dir, name);

    mkdir(path, 0700); /* or there */
    assert_int_equal(chmod(path, mode), 0);
    assert_int_equal(chown(path, uid, uid), 0);
    free(path);
}

static void lead(const char *dir, const char *name, uid_t uid, const char *to)
{
    char *path = mem_printf("%s/%s", dir, name);

    assert_int_equal(symlink(to, path), 0);
    assert_int_equal(lchown(path, uid, uid), 0);
    free(path);
}

#define THEIRS 65534
#define SOMEBODY 65533

static void way_is_refused_where_others_can_exchange(void **state)
{
    char *dir;

    (void)state;
    if (geteuid() != 0)
        skip();
    dir = fixture_make_dir();
    own(dir, "", THEIRS, 0700);
    own(dir, "sticky", 0, 01777);
    own(dir, "open", 0, 0777);
    own(dir, "else", SOMEBODY, 0755);
    own(dir, "sticky/roots", 0, 0755);
    lead(dir, "else/up", 0, "..");
    lead(dir, "sticky/theirs", THEIRS, "../sticky");
    lead(dir, "sticky/else", SOMEBODY, "../sticky");
    lead(dir, "round", THEIRS, "round");
    assert_int_equal(check_way(dir, "missing", 0), -EPERM);
    assert_int_equal(check_way(dir, "missing", THEIRS), 0);
    assert_int_equal(check_way(dir, "missing/more", THEIRS), 0);
    assert_int_equal(check_way(dir, "sticky/./roots//x", THEIRS), 0);
    assert_int_equal(check_way(dir, "open", THEIRS), 0);
    assert_int_equal(check_way(dir, "open/x", THEIRS), -EPERM);
    assert_int_equal(check_way(dir, "else", THEIRS), 0);
    assert_int_equal(check_way(dir, "else/x", THEIRS), -EPERM);
    assert_int_equal(check_way(dir, "else/../x", THEIRS), 0);
    assert_int_equal(check_way(dir, "else/up/x", THEIRS), -EPERM);
    assert_int_equal(check_way(dir, "sticky/theirs/roots/x", THEIRS), 0);
    assert_int_equal(check_way(dir, "sticky/else/roots/x", THEIRS), -EPERM);
    assert_int_equal(check_way(dir, "round/x", THEIRS), 0);
    fixture_remove_dir(dir);
}

static void way_is_not_refused_for_a_group_of_ones_own(void **state)
{
    char *dir;

    (void)state;
    if (geteuid() != 0)
        skip();
    dir = fixture_make_dir();
    own(dir, "group", 0, 0770);
    assert_int_equal(check_way(dir, "group/x", 0), 0);
    assert_int_equal(chown(dir, 0, SOMEBODY), 0);
    assert_int_equal(chmod(dir, 0770), 0);
    assert_int_equal(check_way(dir, "x", 0), -EPERM);
    fixture_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(way_is_refused_where_others_can_exchange),
        cmocka_unit_test(way_is_not_refused_for_a_group_of_ones_own),
    };

    return cmocka_run_group_tests_name("common/way", tests, NULL, NULL);
}
