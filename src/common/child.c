#include "common/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/proc.h"

#define END_PATIENCE_MS 2000

static int spawn_child(struct child *c, const char *word, const char *title, int socket,
                       int file_fd, struct err *err)
{
    char *shown = mem_printf("asofs: %s %u", title, c->number);
    char *argv[] = {shown, (char *)(uintptr_t)word, NULL};
    struct proc_fd fds[] = {{PROC_NULL, STDIN_FILENO},
                            {PROC_NULL, STDOUT_FILENO},
                            {PROC_NULL, STDERR_FILENO},
                            {socket, CHILD_FD_SOCKET},
                            {file_fd, CHILD_FD_FILE}};
    size_t n = sizeof(fds) / sizeof(*fds) - (file_fd < 0);
    int rc = proc_spawn(proc_self(), argv, NULL, fds, n, &c->pid, err);

    free(shown);
    return rc;
}

int child_start(struct child *c, const char *word, const char *title, int file_fd,
                struct buf *first, struct err *err)
{
    int pair[2], rc;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return err_errno(err, "cannot create a socket pair");
    rc = spawn_child(c, word, title, pair[1], file_fd, err);
    close(pair[1]);
    if (rc < 0) {
        close(pair[0]);
        return rc;
    }
    msg_conn_init(&c->socket, pair[0]);
    c->state = CHILD_JOINING;
    c->heard = clock_ms();
    rc = msg_send(&c->socket, first, err);
    if (rc < 0)
        child_kill(c);
    return rc;
}

static void make_empty(struct child *c)
{
    c->pid = 0;
    c->state = CHILD_EMPTY;
}

static void close_socket(struct child *c)
{
    close(c->socket.fd);
    msg_conn_free(&c->socket);
    c->socket.fd = -1;
}

void child_kill(struct child *c)
{
    if (c->pid <= 0)
        return;
    close_socket(c);
    proc_kill(c->pid);
    make_empty(c);
}

void child_end(struct child *c)
{
    int pidfd;

    if (c->pid <= 0)
        return;
    close_socket(c);
    pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0);
    if (pidfd >= 0) {
        struct pollfd p = {.fd = pidfd, .events = POLLIN};

        poll(&p, 1, END_PATIENCE_MS);
        close(pidfd);
    }
    proc_kill(c->pid); /* one that has ended is only reaped */
    make_empty(c);
}

#define ERRNO_END 4096 /* the kernel's (IS_ERR_VALUE); what is beyond is none */

bool child_get_lost(struct reader *body, struct err *why)
{
    uint32_t code = reader_u32(body);
    char *text = reader_str(body);

    err_set(why, code < ERRNO_END ? (int)code : EIO, "%s", text);
    free(text);
    return reader_done(body);
}

/* ---- in the child's own process ---- */

bool child_was_started(bool with_file)
{
    return fcntl(CHILD_FD_SOCKET, F_GETFD) >= 0 &&
           (!with_file || fcntl(CHILD_FD_FILE, F_GETFD) >= 0);
}

void child_enter(struct msg_conn *socket, const char *name)
{
    msg_conn_init(socket, CHILD_FD_SOCKET);
    prctl(PR_SET_NAME, name);
    signal(SIGINT, SIG_IGN); /* Ctrl-C is the parent's affair; our end is its closed socket */
    signal(SIGPIPE, SIG_IGN);
}

int child_say_ready(struct msg_conn *socket, struct err *err)
{
    struct buf frame = {0};
    int rc;

    msg_begin(&frame, CHILD_READY);
    rc = msg_send(socket, &frame, err);
    buf_free(&frame);
    return rc;
}

int child_leave(struct msg_conn *socket, int rc, const struct err *why)
{
    struct buf frame = {0};
    struct err ignored;

    if (rc < 0 && rc != -EINTR && rc != -EPIPE) {
        msg_begin(&frame, CHILD_LOST);
        buf_put_u32(&frame, (uint32_t)why->code);
        buf_put_str(&frame, why->text);
        msg_send(socket, &frame, &ignored);
        buf_free(&frame);
    }
    msg_conn_free(socket);
    return rc < 0;
}
