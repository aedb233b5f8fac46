/* replay/serverfiles: what a view has for a private server alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"
#include "fixture.h"
#include "replay/serverfiles.h"

#define FIRST "000000010000000000000001"
#define SECOND "000000010000000000000002"
#define THIRD "000000010000000000000003"

static char *below(const char *dir, const char *name)
{
    return mem_printf("%s/%s", dir, name);
}

static int set_up(void **state)
{
    static const char *const dirs[] = {"pg_wal", "pg_wal/archive_status", "shipped"};
    char *dir = fixture_make_dir(), *path;
    size_t i;

    for (i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
        path = below(dir, dirs[i]);
        assert_int_equal(mkdir(path, 0700), 0);
        free(path);
    }
    *state = dir;
    return 0;
}

static void put(const char *dir, const char *name)
{
    char *path = below(dir, name);
    struct err err;

    assert_int_equal(io_write_file(AT_FDCWD, path, "x", 1, &err), 0);
    free(path);
}

static bool has(const char *dir, const char *name)
{
    char *path = below(dir, name);
    struct stat st;
    bool there = lstat(path, &st) == 0;

    free(path);
    return there;
}

static void put_link(const char *dir, const char *name)
{
    char *path = below(dir, name);

    assert_int_equal(symlink("../shipped/" FIRST, path), 0);
    free(path);
}

static void a_signal_file_says_how_the_server_begins(void **state)
{
    struct err err;

    assert_int_equal(serverfiles_begin(*state, false, &err), 0);
    assert_true(has(*state, "recovery.signal") && !has(*state, "standby.signal"));
    assert_int_equal(serverfiles_begin(*state, false, &err), -EEXIST);
    assert_int_equal(serverfiles_begin(*state, true, &err), 0);
    assert_true(has(*state, "standby.signal"));
}

static void a_label_is_there_until_recovery_begins(void **state)
{
    assert_false(serverfiles_has_label(*state));
    put(*state, "backup_label");
    assert_true(serverfiles_has_label(*state));
}

static void at_the_end_links_and_traces_go(void **state)
{
    struct err err;

    put(*state, "shipped/" FIRST);
    put_link(*state, "pg_wal/" FIRST);
    put(*state, "pg_wal/" SECOND);
    put(*state, "backup_label.old");
    put(*state, "postmaster.opts");
    put(*state, "PG_VERSION");
    assert_int_equal(serverfiles_end(*state, &err), 0);
    assert_false(has(*state, "pg_wal/" FIRST) || has(*state, "backup_label.old") ||
                 has(*state, "postmaster.opts"));
    assert_true(has(*state, "pg_wal/" SECOND) && has(*state, "shipped/" FIRST) &&
                has(*state, "PG_VERSION"));
}

static void of_a_standby_what_is_fetched_again_goes_too(void **state)
{
    char *shipped = below(*state, "shipped");
    struct err err;

    put(*state, "shipped/" FIRST);
    put(*state, "shipped/" SECOND);
    put_link(*state, "pg_wal/" FIRST);
    put(*state, "pg_wal/" SECOND); /* a copy */
    put(*state, "pg_wal/archive_status/" SECOND ".done");
    put(*state, "pg_wal/" THIRD); /* the base's own */
    put(*state, "standby.signal");
    assert_int_equal(serverfiles_end_standby(*state, shipped, &err), 0);
    assert_false(has(*state, "pg_wal/" FIRST) || has(*state, "pg_wal/" SECOND) ||
                 has(*state, "standby.signal"));
    assert_true(has(*state, "pg_wal/" THIRD) && has(*state, "shipped/" SECOND));
    free(shipped);
}

static void a_view_without_pg_wal_is_an_error(void **state)
{
    char *path = below(*state, "pg_wal");
    struct err err;

    assert_int_equal(io_remove_tree(path), 0);
    assert_int_equal(serverfiles_end(*state, &err), -ENOENT);
    assert_non_null(strstr(err.text, "pg_wal"));
    free(path);
}

#define PLACED(f) cmocka_unit_test_setup_teardown(f, set_up, fixture_tear_down_dir)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        PLACED(a_signal_file_says_how_the_server_begins),
        PLACED(a_label_is_there_until_recovery_begins),
        PLACED(at_the_end_links_and_traces_go),
        PLACED(of_a_standby_what_is_fetched_again_goes_too),
        PLACED(a_view_without_pg_wal_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
