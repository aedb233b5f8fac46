#include "common/msg.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

void msg_conn_free(struct msg_conn *c)
{
    buf_free(&c->in);
    c->taken = 0;
}

void msg_begin(struct buf *frame, uint32_t type)
{
    buf_clear(frame);
    buf_put_u32(frame, 0);
    buf_put_u32(frame, type);
}

int msg_send(struct msg_conn *c, struct buf *frame, struct err *err)
{
    uint32_t len = (uint32_t)(frame->len - MSG_HEADER);
    size_t done = 0;
    ssize_t n;

    if (frame->len - MSG_HEADER > MSG_BODY_MAX)
        return err_set(err, EMSGSIZE, "a message of %zu bytes is too long", frame->len);
    memcpy(frame->data, &len, sizeof(len));
    while (done < frame->len) {
        n = send(c->fd, frame->data + done, frame->len - done, MSG_NOSIGNAL);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno == EAGAIN) {
            struct pollfd p = {.fd = c->fd, .events = POLLOUT};
            poll(&p, 1, -1);
        } else if (errno != EINTR) {
            return err_errno(err, "sending a message failed");
        }
    }
    return 0;
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
    do {
        n = recv(c->fd, c->in.data + c->in.len, 65536, 0);
    } while (n < 0 && errno == EINTR);
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
