/* common/io.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/io.h"
#include "common/mem.h"
#include "common/proc.h"
#include "fixture.h"

static void io_reads_back_what_it_wrote(void **state)
{
    int fd = memfd_create("unit", MFD_CLOEXEC);
    char got[8];

    (void)state;
    assert_int_equal(io_pwrite_all(fd, "hello", 5, 3), 0);
    assert_int_equal(io_pread_full(fd, got, 8, 0), 8);
    assert_memory_equal(got, "\0\0\0hello", 8);
    close(fd);
}

static void io_reads_less_only_at_the_end(void **state)
{
    int fd = memfd_create("unit", MFD_CLOEXEC);
    char got[8];

    (void)state;
    assert_int_equal(io_pwrite_all(fd, "hello", 5, 0), 0);
    assert_int_equal(io_pread_full(fd, got, 8, 0), 5);
    assert_int_equal(io_pread_full(fd, got, 8, 4), 1);
    assert_int_equal(io_pread_full(fd, got, 8, 5), 0);
    assert_int_equal(io_pread_full(fd, got, 8, 1000), 0);
    assert_int_equal(io_pread_full(fd, got, 0, 0), 0);
    close(fd);
}

static void io_tells_errors_as_they_come(void **state)
{
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC), closed = dup(full);
    char c = 'x';

    (void)state;
    close(closed);
    assert_int_equal(io_pwrite_all(full, &c, 1, 0), -ENOSPC);
    assert_int_equal(io_pwrite_all(full, &c, 0, 0), 0);
    assert_int_equal(io_pwrite_all(closed, &c, 1, 0), -EBADF);
    assert_int_equal(io_pread_full(closed, &c, 1, 0), -EBADF);
    assert_int_equal(io_pread_full(full, &c, 1, 0), -EBADF);
    close(full);
}

static void io_write_file_makes_new_files_only(void **state)
{
    char *dir = fixture_make_dir(), got[16];
    int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
    mode_t mask = umask(027);
    struct stat st;
    struct err err;

    (void)state;
    assert_int_equal(io_write_file(dirfd, "f", "text", 4, &err), 0);
    umask(mask);
    assert_int_equal(io_write_file(dirfd, "f", "other", 5, &err), -EEXIST);
    assert_string_equal(err.text, "cannot create f: File exists");
    assert_int_equal(io_write_file(dirfd, "no/f", "x", 1, &err), -ENOENT);
    fd = openat(dirfd, "f", O_RDONLY | O_CLOEXEC);
    assert_int_equal(io_pread_full(fd, got, sizeof(got), 0), 4);
    assert_memory_equal(got, "text", 4);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
    close(fd);
    close(dirfd);
    fixture_remove_dir(dir);
}

static void io_is_empty_sees_whatever_is_there(void **state)
{
    char *dir = fixture_make_dir(), *name = mem_printf("%s/.x", dir);
    int fd = open(dir, O_RDONLY | O_DIRECTORY);

    (void)state;
    assert_int_equal(io_is_empty(fd), 1);
    assert_int_equal(mkdir(name, 0700), 0);
    assert_int_equal(io_is_empty(fd), 0);
    assert_int_equal(rmdir(name), 0);
    assert_int_equal(io_is_empty(fd), 1); /* the place in the directory is not the descriptor's */
    assert_int_equal(io_is_empty(-1), -EBADF);
    close(fd);
    free(name);
    fixture_remove_dir(dir);
}

static void io_remove_tree_does_not_follow_links(void **state)
{
    char *dir = fixture_make_dir(), *kept = fixture_make_dir(), *path;
    int dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int keptfd = open(kept, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err err;

    (void)state;
    assert_int_equal(mkdirat(dirfd, "a", 0755), 0);
    assert_int_equal(mkdirat(dirfd, "a/b", 0755), 0);
    assert_int_equal(io_write_file(dirfd, "a/b/f", "x", 1, &err), 0);
    assert_int_equal(io_write_file(keptfd, "f", "x", 1, &err), 0);
    assert_int_equal(symlinkat(kept, dirfd, "a/link"), 0);
    assert_int_equal(io_remove_tree(dir), 0);
    assert_int_equal(access(dir, F_OK), -1);
    assert_int_equal(faccessat(keptfd, "f", F_OK, 0), 0);
    assert_int_equal(io_remove_tree(dir), -ENOENT);
    path = mem_printf("%s/f", kept);
    assert_int_equal(io_remove_tree(path), 0); /* a file is a tree too */
    free(path);
    close(dirfd);
    close(keptfd);
    free(dir);
    fixture_remove_dir(kept);
}

#define BAIT 8        /* files */
#define EXCHANGES 300 /* removals meanwhile */

struct exchange {
    char *dir, *tree, *below, *link, *victim;
    bool patient; /* valgrind lets a thread that never waits keep all others waiting */
    atomic_bool rests, ends;
};

static void *exchange(void *arg)
{
    struct exchange *x = arg;

    while (!atomic_load(&x->ends)) {
        bool rests = atomic_load(&x->rests);

        if (!rests)
            renameat2(AT_FDCWD, x->below, AT_FDCWD, x->link, RENAME_EXCHANGE);
        if (rests || x->patient)
            usleep(10);
    }
    return NULL;
}

static void put_files(const char *dir)
{
    unsigned i;

    for (i = 0; i < BAIT; i++) {
        char *path = mem_printf("%s/%u", dir, i);
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        close(fd);
        free(path);
    }
}

static void all_there(const char *dir)
{
    unsigned i;

    for (i = 0; i < BAIT; i++) {
        char *path = mem_printf("%s/%u", dir, i);

        assert_int_equal(access(path, F_OK), 0);
        free(path);
    }
}

/* A directory of the tree, with files in it, and a link beside the tree to somewhere else. */
static void set_up_exchange(struct exchange *x)
{
    assert_int_equal(mkdir(x->tree, 0700), 0);
    assert_int_equal(mkdir(x->below, 0700), 0);
    put_files(x->below);
    assert_int_equal(symlink(x->victim, x->link), 0);
}

/* Somebody exchanges a directory for a link again and again while it is removed. */
static void io_remove_tree_stays_inside_whatever_is_exchanged(void **state)
{
    struct exchange x = {.dir = fixture_make_dir(), .patient = getenv("UNDER_VALGRIND")};
    pthread_t thread;
    unsigned i;

    (void)state;
    x.tree = mem_printf("%s/tree", x.dir);
    x.below = mem_printf("%s/tree/below", x.dir);
    x.link = mem_printf("%s/link", x.dir);
    x.victim = mem_printf("%s/victim", x.dir);
    assert_int_equal(mkdir(x.victim, 0700), 0);
    put_files(x.victim);
    assert_int_equal(pthread_create(&thread, NULL, exchange, &x), 0);
    for (i = 0; i < EXCHANGES; i++) {
        set_up_exchange(&x);
        io_remove_tree(x.tree); /* may fail: what was exchanged is not what it began with */
        all_there(x.victim);
        /* A scheduler that lets the two take turns could let every attempt fail. */
        atomic_store(&x.rests, true);
        while (access(x.tree, F_OK) == 0)
            io_remove_tree(x.tree);
        assert_int_equal(io_remove_tree(x.link), 0);
        atomic_store(&x.rests, false);
    }
    atomic_store(&x.ends, true);
    pthread_join(thread, NULL);
    free(x.tree);
    free(x.below);
    free(x.link);
    free(x.victim);
    fixture_remove_dir(x.dir);
}

static void io_write_file_tells_what_it_cannot_write(void **state)
{
    char *dir = fixture_make_dir(), *path = mem_printf("%s/file", dir);
    struct rlimit old, small;
    struct err err;
    int rc;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 4;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    rc = io_write_file(AT_FDCWD, path, "12345", 5, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(rc, -EFBIG);
    assert_non_null(strstr(err.text, path));
    fixture_remove_dir(dir);
    free(path);
}

static void io_reads_the_text_of_regular_files_only(void **state)
{
    char *dir = fixture_make_dir(), *text;
    int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err err;

    (void)state;
    assert_int_equal(io_write_file(at, "five", "bytes", 5, &err), 0);
    assert_int_equal(symlinkat("five", at, "link"), 0);
    assert_int_equal(mkfifoat(at, "pipe", 0600), 0);
    assert_int_equal(io_read_text(at, "five", 5, &text), 0);
    assert_string_equal(text, "bytes");
    free(text);
    assert_int_equal(io_read_text(at, "five", 4, &text), -EFBIG);
    assert_null(text);
    assert_int_equal(io_read_text(at, "pipe", 5, &text), -EINVAL);
    assert_int_equal(io_read_text(at, ".", 5, &text), -EINVAL);
    assert_int_equal(io_read_text(at, "link", 5, &text), -ELOOP);
    assert_int_equal(io_read_text(at, "absent", 5, &text), -ENOENT);
    close(at);
    fixture_remove_dir(dir);
}

static void io_remove_tree_tells_when_it_cannot_go_on(void **state)
{
    char *dir = fixture_make_dir(), *below = mem_printf("%s/below", dir);
    struct rlimit old;
    int more, rc;

    (void)state;
    assert_int_equal(mkdir(below, 0700), 0);
    for (more = 0; more < 4; more++) { /* it has come one step further each time */
        old = fixture_allow_descriptors(more);
        rc = io_remove_tree(dir);
        setrlimit(RLIMIT_NOFILE, &old);
        assert_int_equal(rc, -EMFILE);
        assert_int_equal(access(below, F_OK), 0);
    }
    fixture_remove_dir(dir);
    free(below);
}

/* In a child, which reports by its exit status. */
static int keep_std_fds_when_closed(int first, int last)
{
    int fd;

    for (fd = first; fd <= last; fd++)
        close(fd);
    if (io_keep_std_fds() != 0)
        return 1;
    for (fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            return 2;
    fd = open("/dev/null", O_RDONLY);
    return fd > 2 ? 0 : 3;
}

static void io_keep_std_fds_fills_the_gaps(void **state)
{
    static const int gaps[][2] = {{0, 2}, {0, 0}, {1, 1}, {2, 2}, {0, 1}, {1, 2}, {3, 3}};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(gaps) / sizeof(*gaps); i++) {
        pid_t pid = fixture_fork_flushed();

        if (pid == 0)
            exit(keep_std_fds_when_closed(gaps[i][0], gaps[i][1]));
        assert_int_equal(proc_wait(pid), 0);
    }
}

static void io_keep_std_fds_tells_when_it_cannot(void **state)
{
    struct rlimit old = fixture_allow_descriptors(0);
    int rc = io_keep_std_fds();

    (void)state;
    setrlimit(RLIMIT_NOFILE, &old);
    assert_int_equal(rc, -EMFILE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(io_reads_back_what_it_wrote),
        cmocka_unit_test(io_reads_less_only_at_the_end),
        cmocka_unit_test(io_tells_errors_as_they_come),
        cmocka_unit_test(io_write_file_makes_new_files_only),
        cmocka_unit_test(io_is_empty_sees_whatever_is_there),
        cmocka_unit_test(io_remove_tree_does_not_follow_links),
        cmocka_unit_test(io_remove_tree_stays_inside_whatever_is_exchanged),
        cmocka_unit_test(io_remove_tree_tells_when_it_cannot_go_on),
        cmocka_unit_test(io_write_file_tells_what_it_cannot_write),
        cmocka_unit_test(io_reads_the_text_of_regular_files_only),
        cmocka_unit_test(io_keep_std_fds_fills_the_gaps),
        cmocka_unit_test(io_keep_std_fds_tells_when_it_cannot),
    };

    return cmocka_run_group_tests_name("common/io", tests, NULL, NULL);
}
