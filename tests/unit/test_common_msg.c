/* common/msg.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/msg.h"

static void open_pair(int pair[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
}

static void put_frame(struct buf *frame, uint32_t type, const char *body, size_t len)
{
    msg_begin(frame, type);
    buf_put(frame, body, len);
}

/* What msg_send writes for three messages: of no, of a few and of many bytes. */
static void three_frames(struct buf *stream)
{
    struct buf frame = {0};
    char many[300], bytes[1024];
    struct msg_conn c;
    int pair[2];
    ssize_t n;

    open_pair(pair);
    msg_conn_init(&c, pair[0]);
    memset(many, 'm', sizeof(many));
    put_frame(&frame, 1, "", 0);
    assert_int_equal(msg_send(&c, &frame, NULL), 0);
    put_frame(&frame, 2, "a\0b", 3);
    assert_int_equal(msg_send(&c, &frame, NULL), 0);
    put_frame(&frame, 3, many, sizeof(many));
    assert_int_equal(msg_send(&c, &frame, NULL), 0);
    n = read(pair[1], bytes, sizeof(bytes));
    assert_int_equal(n, 3 * MSG_HEADER + 303);
    buf_put(stream, bytes, (size_t)n);
    buf_free(&frame);
    close(pair[0]);
    close(pair[1]);
}

/* Takes what is whole; *taken says how many messages came so far, and they have to come in order.
 */
static void take_frames(struct msg_conn *c, int *taken)
{
    static const size_t lengths[] = {0, 3, 300};
    struct msg m;
    int rc;

    while ((rc = msg_next(c, &m, NULL)) == 1) {
        assert_in_range(*taken, 0, 2);
        assert_int_equal(m.type, *taken + 1);
        assert_int_equal(m.body.left, lengths[*taken]);
        assert_false(m.body.bad);
        if (*taken == 1)
            assert_memory_equal(m.body.p, "a\0b", 3);
        ++*taken;
    }
    assert_int_equal(rc, 0);
}

static void msg_frames_come_whole_however_they_are_cut(void **state)
{
    struct buf stream = {0};
    size_t cut;

    (void)state;
    three_frames(&stream);
    for (cut = 0; cut <= stream.len; cut++) {
        struct msg_conn c;
        int pair[2], taken = 0;

        open_pair(pair);
        msg_conn_init(&c, pair[1]);
        assert_int_equal(write(pair[0], stream.data, cut), cut);
        assert_int_equal(msg_receive(&c, NULL), cut ? 1 : -EAGAIN);
        take_frames(&c, &taken);
        assert_int_equal(taken, (cut >= 8) + (cut >= 19) + (cut >= stream.len));
        assert_int_equal(write(pair[0], stream.data + cut, stream.len - cut), stream.len - cut);
        assert_int_equal(msg_receive(&c, NULL), cut < stream.len ? 1 : -EAGAIN);
        take_frames(&c, &taken);
        assert_int_equal(taken, 3);
        close(pair[0]);
        assert_int_equal(msg_receive(&c, NULL), 0);
        close(pair[1]);
        msg_conn_free(&c);
    }
    buf_free(&stream);
}

static void msg_frames_come_whole_byte_by_byte(void **state)
{
    struct buf stream = {0};
    struct msg_conn c;
    int pair[2], taken = 0;
    size_t i;

    (void)state;
    three_frames(&stream);
    open_pair(pair);
    msg_conn_init(&c, pair[1]);
    for (i = 0; i < stream.len; i++) {
        assert_int_equal(write(pair[0], stream.data + i, 1), 1);
        assert_int_equal(msg_receive(&c, NULL), 1);
        take_frames(&c, &taken);
    }
    assert_int_equal(taken, 3);
    close(pair[0]);
    close(pair[1]);
    msg_conn_free(&c);
    buf_free(&stream);
}

static void msg_end_inside_a_frame_is_an_error(void **state)
{
    struct buf stream = {0};
    size_t cut;

    (void)state;
    three_frames(&stream);
    for (cut = 0; cut <= stream.len; cut++) {
        bool between = cut == 0 || cut == 8 || cut == 19 || cut == stream.len;
        struct msg_conn c;
        int pair[2], taken = 0;

        open_pair(pair);
        msg_conn_init(&c, pair[1]);
        assert_int_equal(write(pair[0], stream.data, cut), cut);
        close(pair[0]);
        if (cut)
            assert_int_equal(msg_receive(&c, NULL), 1);
        take_frames(&c, &taken);
        assert_int_equal(msg_receive(&c, NULL), between ? 0 : -EPROTO);
        close(pair[1]);
        msg_conn_free(&c);
    }
    buf_free(&stream);
}

/* msg_next after nothing but a header that announces `len` bytes. */
static int announce(uint32_t len)
{
    uint32_t header[2] = {len, 1};
    struct msg_conn c;
    struct msg m;
    int pair[2], rc;

    open_pair(pair);
    msg_conn_init(&c, pair[1]);
    assert_int_equal(write(pair[0], header, sizeof(header)), sizeof(header));
    assert_int_equal(msg_receive(&c, NULL), 1);
    rc = msg_next(&c, &m, NULL);
    assert_true(c.in.room < 1u << 20); /* believed, but nothing allocated on its word */
    close(pair[0]);
    close(pair[1]);
    msg_conn_free(&c);
    return rc;
}

static void msg_refuses_announced_lengths_beyond_the_limit(void **state)
{
    (void)state;
    assert_int_equal(announce(MSG_BODY_MAX), 0);
    assert_int_equal(announce(MSG_BODY_MAX + 1), -EPROTO);
    assert_int_equal(announce(UINT32_MAX), -EPROTO);
}

static void msg_send_refuses_bodies_beyond_the_limit(void **state)
{
    struct msg_conn c = {.fd = -1, .passed_fd = -1};
    struct buf frame = {0};
    char *body = mem_array(1, MSG_BODY_MAX + 1);
    struct err err;

    (void)state;
    put_frame(&frame, 1, body, MSG_BODY_MAX + 1);
    assert_int_equal(msg_send(&c, &frame, &err), -EMSGSIZE);
    buf_free(&frame);
    free(body);
}

static void msg_send_to_the_dead_is_an_error_and_no_signal(void **state)
{
    struct buf frame = {0};
    struct msg_conn c;
    struct err err;
    int pair[2];

    (void)state;
    open_pair(pair);
    close(pair[1]);
    msg_conn_init(&c, pair[0]);
    put_frame(&frame, 1, "x", 1);
    assert_int_equal(msg_send(&c, &frame, &err), -EPIPE);
    assert_int_equal(err.code, EPIPE);
    buf_free(&frame);
    close(pair[0]);
}

static void *send_largest(void *arg)
{
    struct msg_conn c = {.fd = *(int *)arg, .passed_fd = -1};
    struct buf frame = {0};
    char *body = mem_array(1, MSG_BODY_MAX);
    intptr_t rc;

    body[MSG_BODY_MAX - 1] = 'z';
    put_frame(&frame, 9, body, MSG_BODY_MAX);
    rc = msg_send(&c, &frame, NULL); /* has to wait: a socket holds far less */
    buf_free(&frame);
    free(body);
    return (void *)rc;
}

static void msg_of_the_largest_size_passes(void **state)
{
    struct msg_conn c;
    pthread_t sender;
    struct msg m;
    void *sent;
    int pair[2];

    (void)state;
    open_pair(pair);
    msg_conn_init(&c, pair[1]);
    assert_int_equal(pthread_create(&sender, NULL, send_largest, &pair[0]), 0);
    while (!c.in.data || msg_next(&c, &m, NULL) == 0) {
        struct pollfd p = {.fd = pair[1], .events = POLLIN};

        assert_int_equal(poll(&p, 1, 10000), 1);
        assert_int_equal(msg_receive(&c, NULL), 1);
    }
    assert_int_equal(m.type, 9);
    assert_int_equal(m.body.left, MSG_BODY_MAX);
    assert_int_equal(m.body.p[MSG_BODY_MAX - 1], 'z');
    pthread_join(sender, &sent);
    assert_null(sent);
    close(pair[0]);
    close(pair[1]);
    msg_conn_free(&c);
}

/* Whether two descriptors are the same open file. */
static bool same_file(int a, int b)
{
    struct stat x, y;

    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static void send_with_fd(int socket, uint32_t type, int fd)
{
    struct buf frame = {0};
    struct msg_conn c;

    msg_conn_init(&c, socket);
    put_frame(&frame, type, "body", 4);
    assert_int_equal(msg_send_fd(&c, &frame, fd, NULL), 0);
    buf_free(&frame);
    msg_conn_free(&c);
}

static void msg_passes_a_descriptor(void **state)
{
    int pair[2], file = memfd_create("unit", MFD_CLOEXEC), got;
    struct msg_conn c;
    struct msg m;

    (void)state;
    open_pair(pair);
    msg_conn_init(&c, pair[1]);
    assert_int_equal(msg_take_fd(&c), -1);
    send_with_fd(pair[0], 1, -1);
    send_with_fd(pair[0], 2, file);
    while (msg_receive(&c, NULL) == 1)
        ;
    assert_int_equal(msg_next(&c, &m, NULL), 1);
    assert_int_equal(msg_next(&c, &m, NULL), 1);
    assert_int_equal(m.type, 2);
    assert_int_equal(m.body.left, 4);
    got = msg_take_fd(&c);
    assert_true(got != file && same_file(got, file));
    assert_int_equal(fcntl(got, F_GETFD), FD_CLOEXEC);
    assert_int_equal(msg_take_fd(&c), -1);
    close(got);
    close(file);
    close(pair[0]);
    close(pair[1]);
    msg_conn_free(&c);
}

/* The number that the next descriptor will get: one that is not closed makes it grow. */
static int next_fd(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

    close(fd);
    return fd;
}

static void msg_closes_descriptors_that_nobody_takes(void **state)
{
    int before = next_fd(), pair[2], file = memfd_create("unit", MFD_CLOEXEC);
    struct msg_conn c;

    (void)state;
    open_pair(pair);
    msg_conn_init(&c, pair[1]);
    send_with_fd(pair[0], 1, file);
    assert_int_equal(msg_receive(&c, NULL), 1);
    send_with_fd(pair[0], 2, file);
    assert_int_equal(msg_receive(&c, NULL), 1); /* in the place of the first */
    close(file);
    close(pair[0]);
    close(pair[1]);
    msg_conn_free(&c);
    assert_int_equal(next_fd(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(msg_frames_come_whole_however_they_are_cut),
        cmocka_unit_test(msg_frames_come_whole_byte_by_byte),
        cmocka_unit_test(msg_end_inside_a_frame_is_an_error),
        cmocka_unit_test(msg_refuses_announced_lengths_beyond_the_limit),
        cmocka_unit_test(msg_send_refuses_bodies_beyond_the_limit),
        cmocka_unit_test(msg_send_to_the_dead_is_an_error_and_no_signal),
        cmocka_unit_test(msg_of_the_largest_size_passes),
        cmocka_unit_test(msg_passes_a_descriptor),
        cmocka_unit_test(msg_closes_descriptors_that_nobody_takes),
    };

    return cmocka_run_group_tests_name("common/msg", tests, NULL, NULL);
}
