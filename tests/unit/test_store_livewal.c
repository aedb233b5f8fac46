/* The log of a live base's server is linked while who serves takes it away. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"
#include "store/livewal.h"

#define NAME "000000010000000000000007"
#define OTHER "000000010000000000000009"

static int pg_wal, kept;
static const char *when;
static void (*what)(void);

static void step(const char *where)
{
    if (strcmp(where, when) == 0)
        what();
}

static ino_t make(int dir, const char *name)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct stat st;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    close(fd);
    return st.st_ino;
}

static ino_t inode(int dir, const char *name)
{
    struct stat st;

    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 ? st.st_ino : 0;
}

static ino_t begin(const char *dir)
{
    int top = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_int_equal(mkdirat(top, "pg_wal", 0700), 0);
    assert_int_equal(mkdirat(top, "log", 0700), 0);
    pg_wal = openat(top, "pg_wal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    kept = openat(top, "log", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(top);
    return make(pg_wal, NAME);
}

static void bring(const char *where, void (*f)(void))
{
    when = where;
    what = f;
    livewal_test_step = step;
    livewal_bring_file(pg_wal, kept, NAME, false);
    livewal_test_step = NULL;
}

static void end(void)
{
    close(pg_wal);
    close(kept);
}

/* As live/walfiles.c does, with a link there and without. */
static void take(void)
{
    if (inode(kept, NAME) == inode(pg_wal, NAME))
        assert_int_equal(unlinkat(pg_wal, NAME, 0), 0);
    else
        assert_int_equal(renameat(pg_wal, NAME, kept, NAME), 0);
}

static void use_again(void)
{
    assert_int_equal(renameat(pg_wal, NAME, pg_wal, OTHER), 0);
}

static void nothing(void)
{
}

static void what_is_taken_meanwhile_is_kept(void **state)
{
    static const char *const moments[] = {"before it is linked", "linked"};
    ino_t file = begin(*state);
    size_t i;

    for (i = 0; i < sizeof(moments) / sizeof(*moments); i++) {
        bring(moments[i], take);
        assert_int_equal(inode(kept, NAME), file);
        assert_int_equal(inode(pg_wal, NAME), 0);
        assert_int_equal(renameat(kept, NAME, pg_wal, NAME), 0);
    }
    end();
}

/* Also where there was one of that name. */
static void what_is_of_another_time_is_replaced(void **state)
{
    static const char *const moments[] = {"never", "before it is linked", "before it is replaced",
                                          "linked"};
    ino_t file = begin(*state);
    size_t i;

    for (i = 0; i < sizeof(moments) / sizeof(*moments); i++) {
        make(kept, NAME);
        bring(moments[i], take);
        assert_int_equal(inode(kept, NAME), file);
        unlinkat(pg_wal, NAME, 0);
        assert_int_equal(renameat(kept, NAME, pg_wal, NAME), 0);
    }
    end();
}

static void what_is_used_again_is_not_linked(void **state)
{
    begin(*state);
    bring("linked", use_again);
    assert_int_equal(inode(kept, NAME), 0);
    end();
}

static void what_is_there_stays(void **state)
{
    ino_t file = begin(*state);

    bring("never", nothing);
    assert_int_equal(inode(kept, NAME), file);
    bring("before it is linked", use_again);
    assert_int_equal(inode(kept, NAME), file);
    assert_int_equal(inode(pg_wal, NAME), file);
    end();
}

#define test(f) cmocka_unit_test_setup_teardown(f, fixture_set_up_dir, fixture_tear_down_dir)

int main(void)
{
    const struct CMUnitTest tests[] = {
        test(what_is_taken_meanwhile_is_kept),
        test(what_is_of_another_time_is_replaced),
        test(what_is_used_again_is_not_linked),
        test(what_is_there_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
