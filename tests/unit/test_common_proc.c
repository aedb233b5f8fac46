/* common/proc.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/proc.h"
#include "fixture.h"

static void proc_arguments_are_counted_and_end_with_null(void **state)
{
    struct proc_args a = {0};
    int i;

    (void)state;
    for (i = 0; i < 40; i++) {
        proc_args_add(&a, mem_printf("argument %d", i));
        assert_int_equal(a.n, i + 1);
        assert_null(a.argv[a.n]);
    }
    assert_string_equal(a.argv[0], "argument 0");
    assert_string_equal(a.argv[39], "argument 39");
    assert_int_equal(a.bytes, 10 * sizeof("argument 0") + 30 * sizeof("argument 10"));
    proc_args_free(&a);
}

static void proc_knows_who_has_ended(void **state)
{
    char *argv[] = {"sleep", "600", NULL};
    siginfo_t info;
    struct err err;
    pid_t pid;

    (void)state;
    assert_false(proc_has_ended(getpid()));
    assert_int_equal(proc_spawn("sleep", argv, NULL, NULL, 0, &pid, &err), 0);
    assert_false(proc_has_ended(pid));
    kill(pid, SIGKILL);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    assert_true(proc_has_ended(pid)); /* not waited for */
    proc_wait(pid);
    assert_true(proc_has_ended(pid));
}

static void proc_describes_every_end(void **state)
{
    char out[96];

    (void)state;
    proc_describe(fixture_run_shell("exit 0", NULL, NULL, 0), out, sizeof(out));
    assert_string_equal(out, "exited with status 0");
    proc_describe(fixture_run_shell("exit 3", NULL, NULL, 0), out, sizeof(out));
    assert_string_equal(out, "exited with status 3");
    proc_describe(fixture_run_shell("kill -KILL $$", NULL, NULL, 0), out, sizeof(out));
    assert_string_equal(out, "was killed by signal 9 (Killed)");
    assert_non_null(strstr(proc_describe(0x137f, out, sizeof(out)), "status"));
    assert_int_equal(strlen(proc_describe(0, out, 8)), 7);
}

static void proc_adds_to_the_environment(void **state)
{
    char *env[] = {(char *)(uintptr_t) "UNIT_A=new", (char *)(uintptr_t) "UNIT_B=b", NULL};

    (void)state;
    setenv("UNIT_A", "old", 1);
    setenv("UNIT_C", "c", 1);
    assert_int_equal(fixture_run_shell("test $UNIT_A$UNIT_B$UNIT_C = newbc", env, NULL, 0), 0);
    assert_int_equal(fixture_run_shell("test $UNIT_A$UNIT_C = oldc", NULL, NULL, 0), 0);
    unsetenv("UNIT_A");
    unsetenv("UNIT_C");
}

static void assert_pipe_holds(int fd, const char *expected)
{
    char got[16];
    ssize_t n = read(fd, got, sizeof(got));

    assert_int_equal(n, strlen(expected));
    assert_memory_equal(got, expected, (size_t)n);
}

static void proc_passes_descriptors_even_crosswise(void **state)
{
    int a[2], b[2];

    (void)state;
    assert_int_equal(pipe2(a, O_CLOEXEC), 0);
    assert_int_equal(pipe2(b, O_CLOEXEC), 0);
    assert_int_equal(dup3(a[1], 8, O_CLOEXEC), 8);
    assert_int_equal(dup3(b[1], 9, O_CLOEXEC), 9);
    struct proc_fd crossed[] = {{8, 9}, {9, 8}};
    assert_int_equal(fixture_run_shell("echo to-a >&9; echo to-b >&8", NULL, crossed, 2), 0);
    assert_pipe_holds(a[0], "to-a\n");
    assert_pipe_holds(b[0], "to-b\n");
    assert_int_not_equal(fixture_run_shell("echo x 2>/dev/null >&8", NULL, NULL, 0),
                         0); /* closed */
    struct proc_fd same[] = {{8, 8}};
    assert_int_equal(fixture_run_shell("echo same >&8", NULL, same, 1), 0);
    assert_pipe_holds(a[0], "same\n");
    close(8);
    close(9);
    close(a[0]), close(a[1]), close(b[0]), close(b[1]);
}

static void proc_children_have_default_signals(void **state)
{
    sigset_t term, old;
    int status;

    (void)state;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, &old);
    signal(SIGINT, SIG_IGN);
    status = fixture_run_shell("kill -TERM $$; exit 0", NULL, NULL, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    status = fixture_run_shell("kill -INT $$; exit 0", NULL, NULL, 0);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void proc_that_cannot_start_is_told(void **state)
{
    char *argv[] = {(char *)(uintptr_t) "x", NULL};
    struct proc_fd closed = {.ours = 999, .theirs = 3};
    struct err err;
    pid_t pid;

    (void)state;
    if (getenv("UNDER_VALGRIND"))
        skip(); /* its posix_spawn succeeds even when the program does not exist */
    assert_int_equal(proc_spawn("/no/such/program", argv, NULL, NULL, 0, &pid, &err), -ENOENT);
    assert_string_equal(err.text, "cannot start /no/such/program: No such file or directory");
    assert_int_equal(proc_spawn("sh", argv, NULL, &closed, 1, &pid, &err), -EBADF);
}

static void proc_null_is_an_empty_file(void **state)
{
    struct proc_fd fds[] = {{PROC_NULL, 0}, {PROC_NULL, 1}, {PROC_NULL, 7}};

    (void)state;
    assert_int_equal(
        fixture_run_shell("! read -r line && echo x && echo x >&7 && ! [ -t 0 ]", NULL, fds, 3), 0);
}

/* In a child of ours: the signals of the tests stay as they are. */
static void proc_resets_what_would_lose_children(void **state)
{
    sigset_t all, now;
    pid_t pid = fixture_fork_flushed();

    (void)state;
    assert_int_not_equal(pid, -1);
    if (pid == 0) {
        signal(SIGCHLD, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        sigfillset(&all);
        sigprocmask(SIG_SETMASK, &all, NULL);
        proc_reset_signals();
        sigprocmask(SIG_SETMASK, NULL, &now);
        exit(sigismember(&now, SIGTERM) || fixture_run_shell("exit 0", NULL, NULL, 0) != 0 ||
             signal(SIGHUP, SIG_DFL) != SIG_IGN);
    }
    assert_int_equal(proc_wait(pid), 0);
}

/* 0: all that narrow limits would prevent is possible. */
static int widen_narrow_limits(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) < 0)
        return 1;
    r.rlim_cur = r.rlim_max < 20 ? r.rlim_max : 20;
    if (setrlimit(RLIMIT_NOFILE, &r) < 0)
        return 2;
    umask(0777);
    signal(SIGXFSZ, SIG_DFL);
    proc_widen_limits();
    if (umask(022) != 0077)
        return 3;
    if (signal(SIGXFSZ, SIG_DFL) != SIG_IGN)
        return 4;
    if (getrlimit(RLIMIT_NOFILE, &r) < 0 || (r.rlim_cur < 65536 && r.rlim_cur < r.rlim_max))
        return 5;
    proc_widen_limits(); /* there is enough */
    return 0;
}

static void proc_widens_limits_as_far_as_it_may(void **state)
{
    pid_t pid = fixture_fork_flushed();

    (void)state;
    assert_int_not_equal(pid, -1);
    if (pid == 0)
        exit(widen_narrow_limits());
    assert_int_equal(proc_wait(pid), 0);
}

static bool has_terminal(void)
{
    int fd = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* The leader of a session with a terminal, and a child of it. */
static int leave_terminal(int terminal)
{
    pid_t pid;

    if (setsid() < 0 || ioctl(terminal, TIOCSCTTY, 0) < 0)
        return 1;
    proc_leave_terminal();
    if (!has_terminal())
        return 2;
    pid = fork();
    if (pid == 0) {
        if (!has_terminal())
            exit(1);
        proc_leave_terminal();
        exit(has_terminal() ? 2 : 0);
    }
    if (pid < 0 || proc_wait(pid) != 0)
        return 3;
    return has_terminal() ? 0 : 4;
}

static void proc_leaves_a_terminal_that_is_another_ones(void **state)
{
    int both = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), terminal = -1;
    pid_t pid;

    (void)state;
    if (both >= 0 && grantpt(both) == 0 && unlockpt(both) == 0)
        terminal = open(ptsname(both), O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0)
        skip();
    pid = fixture_fork_flushed();
    assert_int_not_equal(pid, -1);
    if (pid == 0)
        exit(leave_terminal(terminal));
    assert_int_equal(proc_wait(pid), 0);
    close(terminal);
    close(both);
}

static void proc_kill_leaves_no_zombie(void **state)
{
    char *argv[] = {(char *)(uintptr_t) "sleep", (char *)(uintptr_t) "100", NULL};
    struct err err;
    pid_t pid;

    (void)state;
    assert_int_equal(proc_spawn("sleep", argv, NULL, NULL, 0, &pid, &err), 0);
    proc_kill(pid);
    assert_int_equal(kill(pid, 0), -1);
    assert_int_equal(proc_wait(pid), -1);
}

static void proc_self_can_be_started(void **state)
{
    (void)state;
    assert_int_equal(access(proc_self(), X_OK), 0);
}

/* What main below does when it is started with that word. */
static int run_self(const char *word, int stop_fd, struct buf *said)
{
    char *argv[] = {(char *)(uintptr_t) "self", (char *)(uintptr_t)word, NULL};

    return proc_run_self(argv, stop_fd, said);
}

static void proc_runs_itself_and_hears_what_it_says(void **state)
{
    struct buf said = {0};
    int stop[2];

    (void)state;
    if (getenv("UNDER_VALGRIND"))
        skip(); /* which would be started */
    assert_int_equal(pipe(stop), 0);
    assert_int_equal(run_self("say", stop[0], &said), 3);
    assert_string_equal(said.data, "first\nthen\n");
    buf_free(&said);
    said = (struct buf){0};
    assert_int_equal(run_self("die", stop[0], &said), -ECHILD);
    assert_non_null(strstr(said.data, "was killed"));
    buf_free(&said);
    said = (struct buf){0};
    assert_int_equal(write(stop[1], "x", 1), 1);
    assert_int_equal(run_self("wait", stop[0], &said), -EINTR); /* and it has ended */
    buf_free(&said);
    close(stop[0]);
    close(stop[1]);
}

static int be_what_is_run(const char *word)
{
    if (strcmp(word, "die") == 0)
        raise(SIGKILL);
    if (strcmp(word, "wait") == 0)
        pause();
    fputs("first\n", stderr);
    fputs("then\n", stderr);
    return 3;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(proc_arguments_are_counted_and_end_with_null),
        cmocka_unit_test(proc_knows_who_has_ended),
        cmocka_unit_test(proc_describes_every_end),
        cmocka_unit_test(proc_adds_to_the_environment),
        cmocka_unit_test(proc_passes_descriptors_even_crosswise),
        cmocka_unit_test(proc_children_have_default_signals),
        cmocka_unit_test(proc_null_is_an_empty_file),
        cmocka_unit_test(proc_resets_what_would_lose_children),
        cmocka_unit_test(proc_widens_limits_as_far_as_it_may),
        cmocka_unit_test(proc_leaves_a_terminal_that_is_another_ones),
        cmocka_unit_test(proc_that_cannot_start_is_told),
        cmocka_unit_test(proc_kill_leaves_no_zombie),
        cmocka_unit_test(proc_self_can_be_started),
        cmocka_unit_test(proc_runs_itself_and_hears_what_it_says),
    };

    if (argc > 1)
        return be_what_is_run(argv[1]);

    return cmocka_run_group_tests_name("common/proc", tests, NULL, NULL);
}
