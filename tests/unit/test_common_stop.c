/* common/stop.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/err.h"
#include "common/proc.h"
#include "common/stop.h"

static void open_pair(int pair[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
}

static void stop_hears_signals(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct stop s;
    struct err err;
    char info[128];
    size_t i;

    (void)state;
    signal(SIGHUP, SIG_DFL);
    assert_int_equal(stop_open(&s, &err), 0);
    for (i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
        assert_false(stop_requested(&s));
        assert_false(stop_within(s.fd, 1));
        assert_false(stop_within(-1, 1));
        assert_int_equal(kill(getpid(), signals[i]), 0);
        assert_true(stop_requested(&s));
        assert_true(stop_within(s.fd, INT64_MAX));
        assert_int_equal(read(s.signal_fd, info, sizeof(info)), sizeof(info));
    }
    stop_close(&s, true);
}

/* Under nohup. */
static void stop_does_not_hear_an_ignored_hangup(void **state)
{
    struct stop s;
    struct err err;

    (void)state;
    signal(SIGHUP, SIG_IGN);
    assert_int_equal(stop_open(&s, &err), 0);
    assert_int_equal(kill(getpid(), SIGHUP), 0);
    assert_false(stop_requested(&s));
    assert_int_equal(kill(getpid(), SIGTERM), 0);
    assert_true(stop_requested(&s));
    stop_close(&s, true);
    signal(SIGHUP, SIG_DFL);
}

/* In a child: the signal was heard, so nothing is left of it that could kill when stop ends. */
static void stop_keeps_the_signal_it_heard(void **state)
{
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        struct stop s;
        struct err err;

        if (stop_open(&s, &err) < 0 || kill(getpid(), SIGTERM) < 0 || !stop_requested(&s))
            _exit(1);
        stop_close(&s, true);
        _exit(0);
    }
    assert_int_equal(proc_wait(pid), 0);
}

static void stop_hears_the_end_of_the_peer(void **state)
{
    struct stop s;
    struct err err;
    int pair[2];

    (void)state;
    open_pair(pair);
    assert_int_equal(stop_open(&s, &err), 0);
    assert_int_equal(stop_watch(&s, pair[0], &err), 0);
    assert_false(stop_requested(&s));
    close(pair[1]);
    assert_true(stop_requested(&s));
    stop_close(&s, true);
    close(pair[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stop_hears_signals),
        cmocka_unit_test(stop_does_not_hear_an_ignored_hangup),
        cmocka_unit_test(stop_keeps_the_signal_it_heard),
        cmocka_unit_test(stop_hears_the_end_of_the_peer),
    };

    return cmocka_run_group_tests_name("common/stop", tests, NULL, NULL);
}
