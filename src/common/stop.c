#include "common/stop.h"

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* A hang-up that was ignored when we were started (nohup) shall stay so; if it were blocked, it would
 * be heard. */
static void stop_signals(sigset_t *set)
{
    struct sigaction hangup = {0};

    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    if (sigaction(SIGHUP, NULL, &hangup) < 0 || hangup.sa_handler != SIG_IGN)
        sigaddset(set, SIGHUP);
}

static int watch_fd(struct stop *s, int fd, struct err *err)
{
    struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};

    if (epoll_ctl(s->fd, EPOLL_CTL_ADD, fd, &ev) < 0)
        return err_errno(err, "epoll_ctl failed");
    return 0;
}

int stop_open(struct stop *s, struct err *err)
{
    sigset_t set;

    stop_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    s->fd = epoll_create1(EPOLL_CLOEXEC);
    if (s->signal_fd < 0 || s->fd < 0)
        return err_errno(err, "cannot create a descriptor for signals");
    return watch_fd(s, s->signal_fd, err);
}

int stop_watch(struct stop *s, int peer_fd, struct err *err)
{
    return watch_fd(s, peer_fd, err);
}

void stop_close(struct stop *s, bool forget)
{
    sigset_t set;
    struct signalfd_siginfo heard;

    while (forget && read(s->signal_fd, &heard, sizeof(heard)) > 0)
        ;
    stop_signals(&set);
    close(s->fd);
    close(s->signal_fd);
    s->fd = s->signal_fd = -1;
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

bool stop_requested(const struct stop *s)
{
    return stop_within(s->fd, 0);
}

bool stop_within(int stop_fd, int64_t ms)
{
    struct pollfd p = {.fd = stop_fd, .events = POLLIN};

    return poll(&p, 1, (int)(ms > INT_MAX ? INT_MAX : ms)) > 0;
}
