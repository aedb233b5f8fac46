/* common/daemon.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/daemon.h"
#include "common/err.h"

/* What the parent hears of a child that does this. */
static int answer(void (*child)(int parent_fd), int *status, struct err *err)
{
    int fd = -1, rc;

    fflush(NULL);
    *status = -1;
    rc = daemon_fork(&fd, status, err);
    if (rc == 0) {
        child(fd);
        exit(9); /* not reached */
    }
    return rc;
}

static void be_ready(int parent_fd)
{
    struct err err;
    char dir[PATH_MAX];

    if (getsid(0) != getpid() || daemon_ready(parent_fd, &err) < 0)
        exit(1);
    exit(getcwd(dir, sizeof(dir)) && strcmp(dir, "/") == 0 ? 0 : 2);
}

static void give_up(int parent_fd)
{
    (void)parent_fd;
    exit(3);
}

static void die(int parent_fd)
{
    (void)parent_fd;
    raise(SIGKILL);
}

static void a_child_that_is_ready_is_a_success(void **state)
{
    struct err err;
    int status, ended;

    (void)state;
    assert_int_equal(answer(be_ready, &status, &err), 1);
    assert_int_equal(status, 0);
    assert_true(wait(&ended) > 0);
    assert_int_equal(ended, 0);
}

static void a_child_that_fails_has_said_why(void **state)
{
    struct err err;
    int status;

    (void)state;
    assert_int_equal(answer(give_up, &status, &err), 1);
    assert_int_equal(status, 3);
}

static void a_child_that_dies_has_not(void **state)
{
    struct err err;
    int status;

    (void)state;
    assert_int_equal(answer(die, &status, &err), -EIO);
    assert_string_equal(err.text, "the background process was killed by signal 9 (Killed)");
}

/* The command was interrupted: nobody wants the mount. */
static void a_parent_that_is_gone_is_no_success(void **state)
{
    struct err err;
    int pair[2], ended;
    pid_t pid;
    char said = 0;

    (void)state;
    assert_int_equal(pipe(pair), 0);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        int fd, status, rc = daemon_fork(&fd, &status, &err);

        if (rc != 0)
            _exit(8);
        kill(getppid(), SIGKILL);
        while (read(fd, &status, 1) > 0)
            ;
        rc = daemon_ready(fd, &err) == -EPIPE ? 1 : 0;
        _exit(write(pair[1], &(char){(char)rc}, 1) == 1 ? 0 : 1);
    }
    assert_true(waitpid(pid, &ended, 0) == pid && WIFSIGNALED(ended));
    close(pair[1]);
    assert_int_equal(read(pair[0], &said, 1), 1);
    assert_int_equal(said, 1);
    close(pair[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_that_is_ready_is_a_success),
        cmocka_unit_test(a_child_that_fails_has_said_why),
        cmocka_unit_test(a_child_that_dies_has_not),
        cmocka_unit_test(a_parent_that_is_gone_is_no_success),
    };

    return cmocka_run_group_tests_name("daemon", tests, NULL, NULL);
}
