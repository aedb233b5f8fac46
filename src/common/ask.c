#include "common/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/proc.h"

#define PIECE 4096

__attribute__((noreturn)) static void answer_and_exit(int fd, int (*question)(void *arg, FILE *out),
                                                      void *arg)
{
    FILE *out = fdopen(fd, "w");
    int status = out ? question(arg, out) : 126;

    if (out && fflush(out) != 0)
        status = 126;
    _exit(status);
}

int ask_start(struct ask *a, int (*question)(void *arg, FILE *out), void *arg, struct err *err)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(err, "cannot make a pipe");
    a->pid = fork();
    if (a->pid == 0)
        answer_and_exit(fds[1], question, arg);
    close(fds[1]);
    a->fd = fds[0];
    if (a->pid > 0)
        return 0;
    close(fds[0]);
    return err_errno(err, "cannot start a process");
}

/* 1: the child has closed it. */
static int read_until(int fd, int64_t deadline, struct buf *answer)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int64_t left = deadline - clock_ms();
    ssize_t n;

    if (poll(&p, 1, left > 0 ? (int)left : 0) == 0)
        return -ETIMEDOUT;
    buf_reserve(answer, PIECE);
    n = read(fd, answer->data + answer->len, PIECE);
    if (n > 0)
        answer->len += (size_t)n;
    return n == 0 ? 1 : n < 0 && errno != EINTR ? -EIO : 0;
}

int ask_wait(struct ask *a, int64_t deadline, struct buf *answer)
{
    int rc = 0, status;

    while (rc == 0)
        rc = read_until(a->fd, deadline, answer);
    buf_puts(answer, "");
    close(a->fd);
    if (rc < 0) {
        kill(a->pid, SIGKILL); /* when it gets to it */
        return rc;
    }
    status = proc_wait(a->pid);
    return WIFEXITED(status) && WEXITSTATUS(status) < 126 ? WEXITSTATUS(status) : -EIO;
}

int ask(int (*question)(void *arg, FILE *out), void *arg, struct buf *answer, struct err *err)
{
    struct ask a;
    int rc = ask_start(&a, question, arg, err);

    return rc < 0 ? rc : ask_wait(&a, clock_ms() + ASK_PATIENCE_MS, answer);
}
