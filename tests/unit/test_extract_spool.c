/* extract/spool.h: files without a name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "common/io.h"
#include "extract/spool.h"
#include "fixture.h"

static void spool_file_has_no_name(void **state)
{
    struct dirent *e;
    struct spool s;
    struct err err;
    char *dir = fixture_make_dir();
    DIR *d;

    (void)state;
    assert_int_equal(spool_open(&s, dir, &err), 0);
    assert_int_equal(s.end, 0);
    assert_int_equal(io_pwrite_all(s.fd, "bytes", 5, 0), 0);
    fixture_assert_holds(s.fd, "bytes", 5, 0);
    d = opendir(dir);
    while ((e = readdir(d)))
        assert_true(strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0);
    closedir(d);
    spool_close(&s);
    assert_int_equal(s.fd, -1);
    spool_close(&s);
    fixture_remove_dir(dir);
}

static void spool_in_a_wrong_place_is_refused(void **state)
{
    struct spool s;
    struct err err;

    (void)state;
    assert_int_equal(spool_open(&s, "/nonexistent", &err), -ENOENT);
    assert_string_equal(err.text,
                        "cannot create a spool file in /nonexistent: No such file or directory");
    assert_int_equal(spool_open(&s, "/dev/null", &err), -ENOTDIR);
    spool_close(&s);
}

static void spool_trim_forgets_what_does_not_count(void **state)
{
    struct spool s = {.fd = fixture_memory_file(), .end = 4};
    struct err err;

    (void)state;
    assert_int_equal(io_pwrite_all(s.fd, "good, bad", 9, 0), 0);
    assert_int_equal(spool_trim(&s, &err), 0);
    fixture_assert_size(s.fd, 4);
    assert_int_equal(io_pwrite_all(s.fd, "more", 4, s.end), 0);
    fixture_assert_holds(s.fd, "goodmore", 8, 0);
    spool_close(&s);
    assert_int_equal(spool_trim(&s, &err), -EBADF);
}

static void spool_discard_takes_only_its_range(void **state)
{
    struct spool s = {.fd = fixture_memory_file()};
    char bytes[3 * 65536], zeros[65536] = {0};
    struct stat before, after;

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    assert_int_equal(io_pwrite_all(s.fd, bytes, sizeof(bytes), 0), 0);
    assert_int_equal(fstat(s.fd, &before), 0);
    spool_discard(&s, 0, 0);
    fixture_assert_holds(s.fd, bytes, sizeof(bytes), 0);
    spool_discard(&s, 65536, 65536);
    fixture_assert_holds(s.fd, bytes, 65536, 0);
    fixture_assert_holds(s.fd, zeros, 65536, 65536);
    fixture_assert_holds(s.fd, bytes, 65536, 2 * 65536);
    assert_int_equal(fstat(s.fd, &after), 0);
    assert_true(after.st_blocks < before.st_blocks);
    assert_int_equal(after.st_size, before.st_size);
    spool_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spool_file_has_no_name),
        cmocka_unit_test(spool_in_a_wrong_place_is_refused),
        cmocka_unit_test(spool_trim_forgets_what_does_not_count),
        cmocka_unit_test(spool_discard_takes_only_its_range),
    };

    return cmocka_run_group_tests_name("extract/spool", tests, NULL, NULL);
}
