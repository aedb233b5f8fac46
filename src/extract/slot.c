#include "extract/slot.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/proc.h"

#define END_PATIENCE_MS 2000

/* What it has to say comes over the socket: whoever reads our output does not wait for it. */
static int spawn(struct slot *s, int theirs, int spool_fd, struct err *err)
{
    char *title = mem_printf("asofs: snapshot worker %u", s->number);
    char *argv[] = {title, "worker", NULL};
    struct proc_fd fds[] = {{PROC_NULL, STDIN_FILENO},
                            {PROC_NULL, STDOUT_FILENO},
                            {PROC_NULL, STDERR_FILENO},
                            {theirs, WORKER_FD_SOCKET},
                            {spool_fd, WORKER_FD_SPOOL}};
    int rc = proc_spawn(proc_self(), argv, NULL, fds, sizeof(fds) / sizeof(*fds), &s->pid, err);

    free(title);
    return rc;
}

int slot_start(struct slot *s, const struct msg_config *config, int spool_fd, struct err *err)
{
    struct buf frame = {0};
    int pair[2], rc;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(err, "cannot create a socket pair");
    rc = spawn(s, pair[1], spool_fd, err);
    close(pair[1]);
    if (rc < 0) {
        close(pair[0]);
        return rc;
    }
    msg_conn_init(&s->socket, pair[0]);
    s->state = SLOT_JOINING;
    s->heard = clock_ms();
    msg_put_config(&frame, config);
    rc = msg_send(&s->socket, &frame, err);
    buf_free(&frame);
    if (rc < 0)
        slot_kill(s);
    return rc;
}

static void empty(struct slot *s)
{
    s->pid = 0;
    s->state = SLOT_EMPTY;
}

static void close_socket(struct slot *s)
{
    close(s->socket.fd);
    msg_conn_free(&s->socket);
    s->socket.fd = -1;
}

void slot_kill(struct slot *s)
{
    if (s->pid <= 0)
        return;
    close_socket(s);
    proc_kill(s->pid);
    empty(s);
}

void slot_end(struct slot *s)
{
    int pidfd;

    if (s->pid <= 0)
        return;
    close_socket(s);
    pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
    if (pidfd >= 0) {
        struct pollfd p = {.fd = pidfd, .events = POLLIN};

        poll(&p, 1, END_PATIENCE_MS);
        close(pidfd);
    }
    proc_kill(s->pid); /* one that has ended is only reaped */
    empty(s);
}
