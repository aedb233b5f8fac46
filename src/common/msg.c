#include "common/msg.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void msg_conn_init(struct msg_conn *c, int fd)
{
    *c = (struct msg_conn){.fd = fd, .passed_fd = -1};
}

void msg_conn_free(struct msg_conn *c)
{
    int fd = msg_take_fd(c);

    if (fd >= 0)
        close(fd);
    buf_free(&c->in);
    c->taken = 0;
}

int msg_take_fd(struct msg_conn *c)
{
    int fd = c->passed_fd;

    c->passed_fd = -1;
    return fd;
}

void msg_begin(struct buf *frame, uint32_t type)
{
    buf_clear(frame);
    buf_put_u32(frame, 0);
    buf_put_u32(frame, type);
}

/* Room for one descriptor, aligned as the kernel wants it. */
union control {
    struct cmsghdr head;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static ssize_t send_part(int socket, const char *bytes, size_t len, int fd)
{
    struct iovec iov = {.iov_base = (char *)(uintptr_t)bytes, .iov_len = len};
    struct msghdr h = {.msg_iov = &iov, .msg_iovlen = 1};
    union control control = {0};
    struct cmsghdr *c;

    if (fd >= 0) {
        h.msg_control = &control;
        h.msg_controllen = sizeof(control);
        c = CMSG_FIRSTHDR(&h);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    }
    return sendmsg(socket, &h, MSG_NOSIGNAL);
}

int msg_send_fd(struct msg_conn *c, struct buf *frame, int fd, struct err *err)
{
    uint32_t len = (uint32_t)(frame->len - MSG_HEADER);
    size_t done = 0;
    ssize_t n;

    if (frame->len - MSG_HEADER > MSG_BODY_MAX)
        return err_set(err, EMSGSIZE, "a message of %zu bytes is too long", frame->len);
    memcpy(frame->data, &len, sizeof(len));
    while (done < frame->len) {
        n = send_part(c->fd, frame->data + done, frame->len - done, fd);
        if (n >= 0) {
            done += (size_t)n;
            fd = -1;
        } else if (errno == EAGAIN) {
            struct pollfd p = {.fd = c->fd, .events = POLLOUT};
            poll(&p, 1, -1);
        } else if (errno != EINTR) {
            return err_errno(err, "sending a message failed");
        }
    }
    return 0;
}

int msg_send(struct msg_conn *c, struct buf *frame, struct err *err)
{
    return msg_send_fd(c, frame, -1, err);
}

static void keep_passed_fd(struct msg_conn *c, struct msghdr *h)
{
    struct cmsghdr *m = CMSG_FIRSTHDR(h);

    if (!m || m->cmsg_level != SOL_SOCKET || m->cmsg_type != SCM_RIGHTS)
        return;
    if (c->passed_fd >= 0)
        close(c->passed_fd);
    memcpy(&c->passed_fd, CMSG_DATA(m), sizeof(int));
}

static ssize_t receive_part(struct msg_conn *c, char *bytes, size_t len)
{
    struct iovec iov = {.iov_base = bytes, .iov_len = len};
    union control control = {0};
    struct msghdr h = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    ssize_t n;

    do {
        n = recvmsg(c->fd, &h, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n > 0)
        keep_passed_fd(c, &h);
    return n;
}

int msg_receive(struct msg_conn *c, struct err *err)
{
    ssize_t n;

    if (c->taken) {
        memmove(c->in.data, c->in.data + c->taken, c->in.len - c->taken);
        c->in.len -= c->taken;
        c->taken = 0;
    }
    buf_reserve(&c->in, 65536);
    n = receive_part(c, c->in.data + c->in.len, 65536);
    if (n > 0) {
        c->in.len += (size_t)n;
        return 1;
    }
    if (n == 0)
        return c->in.len ? err_set(err, EPROTO, "the other process ended inside a message") : 0;
    if (errno == EAGAIN)
        return -EAGAIN;
    return err_errno(err, "receiving a message failed");
}

int msg_next(struct msg_conn *c, struct msg *m, struct err *err)
{
    const char *p = c->in.data + c->taken;
    size_t left = c->in.len - c->taken;
    uint32_t len;

    if (left < MSG_HEADER)
        return 0;
    memcpy(&len, p, sizeof(len));
    if (len > MSG_BODY_MAX)
        return err_set(err, EPROTO, "a message announces %u bytes, more than any may have", len);
    if (left - MSG_HEADER < len)
        return 0;
    memcpy(&m->type, p + 4, sizeof(m->type));
    m->body = (struct reader){.p = p + MSG_HEADER, .left = len};
    c->taken += MSG_HEADER + (size_t)len;
    return 1;
}
