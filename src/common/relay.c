#include "common/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/proc.h"

#define PIECE 4096
#define LONGEST 65536 /* without an end of a line */
#define NAME "asofs: "

struct relay {
    int read_fd, end_fd[2]; /* end_fd: a pipe that is closed for the thread to end */
    pthread_t thread;
    struct buf text;
};

/* The end of the message that begins at `text`: in front of the next one's name. */
static size_t message_length(const char *text)
{
    const char *next = strstr(text, "\n" NAME);

    return next ? (size_t)(next - text) : strlen(text);
}

/* Whole lines, cut into messages. */
static void relay_lines(char *text)
{
    size_t len;

    for (; *text; text += len) {
        text += strspn(text, "\n");
        if (strncmp(text, NAME, sizeof(NAME) - 1) == 0)
            text += sizeof(NAME) - 1;
        len = message_length(text);
        if (len)
            log_error("%.*s", (int)len, text);
    }
}

/* Up to the last end of a line; with `all`, or when there is too much without one, everything. */
static void say_lines(struct relay *r, bool all)
{
    char *end;

    if (!r->text.len)
        return;
    buf_puts(&r->text, "");
    end = all || r->text.len > LONGEST ? r->text.data + r->text.len : strrchr(r->text.data, '\n');
    if (!end)
        return;
    if (*end)
        *end++ = '\0';
    relay_lines(r->text.data);
    r->text.len -= (size_t)(end - r->text.data);
    memmove(r->text.data, end, r->text.len);
}

/* 0: nothing more, now or for ever. */
static ssize_t take_piece(struct relay *r)
{
    ssize_t n;

    buf_reserve(&r->text, PIECE);
    do {
        n = read(r->read_fd, r->text.data + r->text.len, PIECE);
    } while (n < 0 && errno == EINTR);
    if (n > 0)
        r->text.len += (size_t)n;
    return n > 0 ? n : 0;
}

static void *listen_to_child(void *arg)
{
    struct relay *r = arg;
    struct pollfd p[2] = {{.fd = r->read_fd, .events = POLLIN},
                          {.fd = r->end_fd[0], .events = POLLIN}};

    while (!p[1].revents && poll(p, 2, -1) >= 0) {
        if (!p[0].revents)
            continue;
        if (take_piece(r) == 0)
            p[0].fd = -1; /* the child is gone */
        say_lines(r, false);
    }
    while (take_piece(r) > 0)
        ;
    say_lines(r, true);
    return NULL;
}

static void free_relay(struct relay *r)
{
    close(r->read_fd);
    close(r->end_fd[0]);
    buf_free(&r->text);
    free(r);
}

int relay_start(struct relay **result, int *child_fd, struct err *err)
{
    struct relay *r;
    int fds[2], rc;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_errno(err, "cannot make a pipe");
    r = mem_alloc(sizeof(*r));
    r->read_fd = fds[0];
    fcntl(r->read_fd, F_SETFL, O_NONBLOCK);
    if (pipe2(r->end_fd, O_CLOEXEC) < 0) {
        rc = err_errno(err, "cannot make a pipe");
        r->end_fd[0] = r->end_fd[1] = -1;
    } else {
        rc = -proc_thread(&r->thread, listen_to_child, r);
        if (rc < 0)
            err_set(err, -rc, "cannot start a thread: %s", strerror(-rc));
    }
    if (rc < 0) {
        close(fds[1]);
        close(r->end_fd[1]);
        free_relay(r);
        return rc;
    }
    *child_fd = fds[1];
    *result = r;
    return 0;
}

void relay_end(struct relay *r)
{
    if (!r)
        return;
    close(r->end_fd[1]);
    pthread_join(r->thread, NULL);
    free_relay(r);
}
