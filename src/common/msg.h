/*
 * Messages over a stream socket between two processes of asofs.
 *
 * Frame: u32 length of the body, u32 type, body. A body longer than MSG_BODY_MAX is refused, so a
 * damaged length cannot make us allocate without bound. End of file between two frames is the other
 * side's death, told apart from a frame that was cut. A frame may carry one file descriptor; the
 * sender waits for an answer before it sends another, so at most one is under way.
 *
 * A msg_conn is used by one thread at a time.
 */
#ifndef ASOFS_COMMON_MSG_H
#define ASOFS_COMMON_MSG_H

#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

#define MSG_BODY_MAX (16u << 20)
#define MSG_HEADER 8

struct msg_conn {
    int fd;        /* not owned */
    struct buf in; /* bytes received and not yet taken */
    size_t taken;  /* how many of them msg_next has given out */
    int passed_fd; /* the descriptor that came and was not taken yet; -1: none */
};

struct msg {
    uint32_t type;
    struct reader body; /* valid until the next msg_receive */
};

void msg_conn_init(struct msg_conn *c, int fd);
void msg_conn_free(struct msg_conn *c);

/* Start a frame in an empty buffer; then put the body; then msg_send fills in the length. */
void msg_begin(struct buf *frame, uint32_t type);

/* Send the whole frame, waiting as long as the other side takes. -EPIPE when it is gone. No
 * SIGPIPE. */
int msg_send(struct msg_conn *c, struct buf *frame, struct err *err);
/* The same with a descriptor (borrowed; -1: none), of which the other side gets a copy. */
int msg_send_fd(struct msg_conn *c, struct buf *frame, int fd, struct err *err);

/* The descriptor that came with the last frame, now the caller's; -1: none. */
int msg_take_fd(struct msg_conn *c);

/* Receive what is there (one recv; blocks only if the socket is blocking and empty).
 * 1 = something came, 0 = end of file, -EAGAIN = nothing there, other negative = error. */
int msg_receive(struct msg_conn *c, struct err *err);

/* Take the next whole frame. 1 = *m filled, 0 = none whole yet, negative = the stream is damaged.
 */
int msg_next(struct msg_conn *c, struct msg *m, struct err *err);

#endif
