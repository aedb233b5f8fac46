/* Unit tests of fs/passthrough: what it reads in the kernel's first message and puts into the
 * answer, and that it stays out of the way of everything else. The messages go through pipes; of
 * libfuse nothing is linked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/passthrough.h"

/* <linux/fuse.h>, protocol 7.40, as words of 32 bits. */
#define IN_OPCODE 1
#define IN_UNIQUE 2 /* 64 bits */
#define IN_FLAGS 13
#define IN_FLAGS2 14
#define IN_WORDS 26
#define OUT_ERROR 1
#define OUT_UNIQUE 2
#define OUT_WORDS 4
#define INIT_FLAGS 3
#define INIT_FLAGS2 8
#define INIT_DEPTH 9
#define INIT_WORDS 16

#define INIT 26
#define EXT (1u << 30)
#define PASSTHROUGH (1u << 5) /* bit 37 */

static int device;   /* what the session's descriptor is said to be */
static int answered; /* fuse_reply_buf */

int fuse_session_fd(struct fuse_session *session)
{
    (void)session;
    return device;
}

int fuse_reply_buf(fuse_req_t req, const char *bytes, size_t size)
{
    (void)req, (void)bytes, (void)size;
    answered++;
    return 0;
}

static int32_t next_id;    /* of a kernel that takes files; 0: it takes none */
static uint32_t closed_id; /* the last one that was given back */

#define BACKING_CLOSE _IOW(229, 2, uint32_t)

int ioctl(int fd, unsigned long request, ...)
{
    va_list ap;

    assert_int_equal(fd, device);
    if (!next_id) {
        errno = ENOTTY;
        return -1;
    }
    if (request != BACKING_CLOSE)
        return next_id++;
    va_start(ap, request);
    closed_id = *va_arg(ap, uint32_t *);
    va_end(ap);
    return 0;
}

struct place {
    int pipe[2];
    struct passthrough *p;
};

static int set_up(void **state)
{
    static struct place place;

    *state = &place;
    answered = next_id = 0;
    closed_id = 0;
    device = open("/dev/null", O_RDWR | O_CLOEXEC); /* knows nothing of backing files */
    assert_true(device >= 0);
    assert_int_equal(pipe2(place.pipe, O_CLOEXEC), 0);
    place.p = passthrough_new(NULL, 10);
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;

    passthrough_free(place->p);
    close(place->pipe[0]);
    close(place->pipe[1]);
    close(device);
    return 0;
}

/* Who may not have it has none. */
static void need_it(const struct place *place)
{
    assert_true(!!place->p == passthrough_is_likely());
    if (!place->p)
        skip();
}

/* The kernel says this, and libfuse hears it as it was said. */
static void hear(struct place *place, struct passthrough *p, uint32_t opcode, uint32_t flags,
                 uint32_t flags2)
{
    uint32_t message[IN_WORDS] = {
        [IN_OPCODE] = opcode, [IN_UNIQUE] = 7, [IN_FLAGS] = flags, [IN_FLAGS2] = flags2};
    uint32_t got[IN_WORDS + 1];

    message[0] = sizeof(message);
    assert_int_equal(write(place->pipe[1], message, sizeof(message)), sizeof(message));
    assert_int_equal(passthrough_read(p, place->pipe[0], got, sizeof(got)), sizeof(message));
    assert_memory_equal(got, message, sizeof(message));
}

/* The answer of libfuse, as it reaches the kernel. */
static void answer(struct place *place, struct passthrough *p, uint32_t unique, int error,
                   uint32_t got[INIT_WORDS])
{
    uint32_t head[OUT_WORDS] = {[OUT_ERROR] = (uint32_t)error, [OUT_UNIQUE] = unique};
    uint32_t body[INIT_WORDS], all[OUT_WORDS + INIT_WORDS];
    struct iovec iov[2] = {{head, sizeof(head)}, {body, sizeof(body)}};
    size_t i;

    for (i = 0; i < INIT_WORDS; i++)
        body[i] = 0;
    body[INIT_FLAGS] = 0x21;
    head[0] = sizeof(all);
    assert_int_equal(passthrough_writev(p, place->pipe[1], iov, 2), sizeof(all));
    assert_int_equal(read(place->pipe[0], all, sizeof(all)), sizeof(all));
    assert_memory_equal(all, head, sizeof(head));
    memcpy(got, all + OUT_WORDS, sizeof(body));
}

static void assert_as_it_was(const uint32_t *got)
{
    uint32_t body[INIT_WORDS] = {[INIT_FLAGS] = 0x21};

    assert_memory_equal(got, body, sizeof(body));
}

static void agreed_upon(void **state)
{
    uint32_t got[INIT_WORDS], body[INIT_WORDS] = {
                                  [INIT_FLAGS] = 0x21 | EXT,
                                  [INIT_FLAGS2] = PASSTHROUGH,
                                  [INIT_DEPTH] = 1,
                              };
    struct place *place = *state;

    need_it(place);
    hear(place, place->p, INIT, EXT, PASSTHROUGH | 1);
    answer(place, place->p, 6, 0, got); /* of another request */
    assert_as_it_was(got);
    answer(place, place->p, 7, 0, got);
    assert_memory_equal(got, body, sizeof(body));
    answer(place, place->p, 7, 0, got); /* once */
    assert_as_it_was(got);
}

static void not_offered(void **state)
{
    static const struct {
        uint32_t opcode, flags, flags2;
    } messages[] = {{INIT, EXT, 0}, {INIT, 0, PASSTHROUGH}, {15, EXT, PASSTHROUGH}};
    struct place *place = *state;
    uint32_t got[INIT_WORDS];
    size_t i;

    need_it(place);
    for (i = 0; i < sizeof(messages) / sizeof(*messages); i++) {
        hear(place, place->p, messages[i].opcode, messages[i].flags, messages[i].flags2);
        answer(place, place->p, 7, 0, got);
        assert_as_it_was(got);
    }
    assert_false(passthrough_reply_open(place->p, NULL, 1, device));
}

static void refused_by_libfuse(void **state)
{
    struct place *place = *state;
    uint32_t got[INIT_WORDS];

    need_it(place);
    hear(place, place->p, INIT, EXT, PASSTHROUGH);
    answer(place, place->p, 7, -EPROTO, got);
    assert_as_it_was(got);
    assert_false(passthrough_reply_open(place->p, NULL, 1, device));
}

/* A kernel that refuses the file is not asked again, and the open is somebody else's to answer. */
static void refused_by_the_kernel(void **state)
{
    struct place *place = *state;
    uint32_t got[INIT_WORDS];

    need_it(place);
    hear(place, place->p, INIT, EXT, PASSTHROUGH);
    answer(place, place->p, 7, 0, got);
    assert_false(passthrough_reply_open(place->p, NULL, 1, -1)); /* no file of its own */
    assert_false(passthrough_reply_open(place->p, NULL, 10, device));
    assert_false(passthrough_reply_open(place->p, NULL, 1, device));
    assert_false(passthrough_reply_open(place->p, NULL, 2, device));
    assert_int_equal(answered, 0);
}

/* All that have a node open at a time have one file of the kernel's. */
static void nodes_that_come_and_go(void **state)
{
    struct place *place = *state;
    uint32_t got[INIT_WORDS];

    need_it(place);
    next_id = 5;
    assert_int_equal(passthrough_take(place->p, 100, device), 0); /* not agreed upon */
    hear(place, place->p, INIT, EXT, PASSTHROUGH);
    answer(place, place->p, 7, 0, got);
    assert_int_equal(passthrough_take(place->p, 100, -1), 0);
    assert_int_equal(passthrough_take(place->p, 100, device), 5);
    assert_int_equal(passthrough_take(place->p, 100, device), 5);
    assert_int_equal(passthrough_take(place->p, 200, device), 6);
    passthrough_put(place->p, 100);
    assert_int_equal(closed_id, 0);
    passthrough_put(place->p, 100);
    assert_int_equal(closed_id, 5);
    assert_int_equal(passthrough_take(place->p, 100, device), 7);
    next_id = 0; /* what is open stays so */
    assert_int_equal(passthrough_take(place->p, 300, device), 0);
    assert_int_equal(passthrough_take(place->p, 200, device), 6);
    assert_int_equal(passthrough_answer(NULL, 1, 6), 0);
    assert_int_equal(answered, 1);
}

static void without(void **state)
{
    struct place *place = *state;
    uint32_t got[INIT_WORDS];

    hear(place, NULL, INIT, EXT, PASSTHROUGH);
    answer(place, NULL, 7, 0, got);
    assert_as_it_was(got);
    assert_false(passthrough_reply_open(NULL, NULL, 1, device));
    assert_int_equal(passthrough_take(NULL, 1, device), 0);
    passthrough_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(agreed_upon, set_up, tear_down),
        cmocka_unit_test_setup_teardown(not_offered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refused_by_libfuse, set_up, tear_down),
        cmocka_unit_test_setup_teardown(refused_by_the_kernel, set_up, tear_down),
        cmocka_unit_test_setup_teardown(nodes_that_come_and_go, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
