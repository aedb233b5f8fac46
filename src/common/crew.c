#include "common/crew.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/units.h"

#define PAUSE_MS 100 /* after the first that never became READY, doubled with each further one */
#define NONSENSE "it sent a message that makes no sense"

void crew_init(struct crew *c, const struct crew_role *role, void *arg, unsigned n,
               int64_t silence_ms)
{
    unsigned i;

    *c = (struct crew){.role = role, .arg = arg, .n = n, .silence_ms = silence_ms};
    c->children = mem_array(n, sizeof(*c->children));
    for (i = 0; i < n; i++)
        c->children[i].number = i + 1;
}

void crew_free(struct crew *c)
{
    crew_kill(c);
    free(c->children);
    *c = (struct crew){0};
}

/* ---- lost ---- */

static bool any_left(const struct crew *c)
{
    unsigned i;

    for (i = 0; i < c->n; i++)
        if (c->children[i].state != CHILD_GIVEN_UP)
            return true;
    return false;
}

static int give_up(struct crew *c, struct child *k, const char *why, struct err *err)
{
    k->state = CHILD_GIVEN_UP;
    if (!any_left(c))
        return err_set(err, ECONNRESET, "no %s is left: %s", c->role->title, why);
    if (!c->told_fewer)
        log_note("going on with fewer %ss: %s", c->role->word, why);
    c->told_fewer = true;
    return 0;
}

/* It is gone or has to go. */
static int lose_child(struct crew *c, unsigned i, const char *why, struct err *err)
{
    struct child *k = &c->children[i];
    bool was_busy = k->state == CHILD_BUSY, was_joining = k->state == CHILD_JOINING;
    int rc;

    log_debug("%s %u: %s", c->role->word, k->number, why);
    child_kill(k);
    rc = c->role->lost(c->arg, i, was_busy, why, err);
    if (rc < 0)
        return rc;
    k->failures += was_joining;
    k->not_before = was_joining ? clock_ms() + (PAUSE_MS << k->failures) : 0;
    return c->closed || k->failures >= CREW_MAX_FAILURES ? give_up(c, k, why, err) : 0;
}

static int lose_silent(struct crew *c, unsigned i, int64_t now, struct err *err)
{
    const struct child *k = &c->children[i];
    int64_t seconds = (now - k->heard) / 1000;
    char why[120];

    if ((k->state != CHILD_BUSY && k->state != CHILD_JOINING) || now - k->heard < c->silence_ms)
        return 0;
    snprintf(why, sizeof(why), "nothing came from it for %lld second%s (%s)", (long long)seconds,
             units_s((uint64_t)seconds), c->role->silence_option);
    return lose_child(c, i, why, err);
}

/* ---- work ---- */

int crew_start(struct crew *c, unsigned i, struct err *err)
{
    struct buf first = {0};
    int file_fd = -1, rc = c->role->configure(c->arg, i, &first, &file_fd, err);

    if (rc == 0)
        rc = child_start(&c->children[i], c->role->word, c->role->title, file_fd, &first, err);
    buf_free(&first);
    return rc;
}

/* No more children than jobs that are left. */
static bool may_start(const struct crew *c, const struct child *k, int64_t now)
{
    unsigned i, running = 0;

    if (c->closed || k->state != CHILD_EMPTY || now < k->not_before)
        return false;
    for (i = 0; i < c->n; i++)
        running += c->children[i].pid > 0;
    return running < c->role->left(c->arg);
}

static int hand_out(struct crew *c, unsigned i, struct err *err)
{
    struct child *k = &c->children[i];
    struct buf frame = {0};
    int fd = -1, rc = c->role->next(c->arg, i, &frame, &fd, err);

    if (rc > 0) {
        k->state = CHILD_BUSY;
        k->heard = clock_ms();
        rc = msg_send_fd(&k->socket, &frame, fd, err);
        if (rc == -EPIPE || rc == -ECONNRESET)
            rc = lose_child(c, i, "it is gone", err);
    }
    buf_free(&frame);
    return rc;
}

int crew_work(struct crew *c, int64_t now, struct err *err)
{
    unsigned i;
    int rc = 0;

    for (i = 0; i < c->n && rc == 0; i++)
        rc = lose_silent(c, i, now, err);
    for (i = 0; i < c->n && rc == 0; i++) {
        if (may_start(c, &c->children[i], now))
            rc = crew_start(c, i, err);
        else if (c->children[i].state == CHILD_IDLE)
            rc = hand_out(c, i, err);
    }
    return rc;
}

/* ---- what they say ---- */

void crew_set_polls(const struct crew *c, struct pollfd *polls)
{
    unsigned i;

    for (i = 0; i < c->n; i++)
        polls[i] = (struct pollfd){.fd = c->children[i].pid ? c->children[i].socket.fd : -1,
                                   .events = POLLIN};
}

static int note_ready(struct crew *c, unsigned i)
{
    struct child *k = &c->children[i];

    k->state = CHILD_IDLE;
    k->heard = clock_ms();
    k->joined = true;
    k->failures = 0;
    if (c->role->ready)
        c->role->ready(c->arg, i);
    return 0;
}

static int take_answer(struct crew *c, unsigned i, struct msg *m, struct err *err)
{
    struct child *k = &c->children[i];
    struct err why;
    int rc = c->role->answered(c->arg, i, m, &why);

    if (rc < 0) {
        *err = why;
        return rc;
    }
    if (rc == CREW_NONSENSE || rc == CREW_UNWANTED)
        return lose_child(c, i, rc == CREW_UNWANTED ? why.text : NONSENSE, err);
    k->heard = clock_ms();
    if (rc == CREW_RESTS)
        k->state = CHILD_IDLE;
    return 0;
}

static int take_message(struct crew *c, unsigned i, struct msg *m, struct err *err)
{
    enum child_state state = c->children[i].state;
    struct err why;

    if (m->type == CHILD_LOST)
        return lose_child(c, i, child_get_lost(&m->body, &why) ? why.text : NONSENSE, err);
    if (m->type == CHILD_READY && state == CHILD_JOINING)
        return note_ready(c, i);
    if (m->type >= CHILD_OWN && state == CHILD_BUSY)
        return take_answer(c, i, m, err);
    return lose_child(c, i, NONSENSE, err);
}

static int hear_child(struct crew *c, unsigned i, struct err *err)
{
    struct child *k = &c->children[i];
    struct err why;
    struct msg m;
    int rc = msg_receive(&k->socket, &why);

    if (rc <= 0)
        return lose_child(c, i, rc == 0 ? "it ended" : why.text, err);
    while (k->pid && (rc = msg_next(&k->socket, &m, &why)) > 0) {
        rc = take_message(c, i, &m, err);
        if (rc < 0)
            return rc;
    }
    return rc < 0 ? lose_child(c, i, why.text, err) : 0;
}

int crew_hear(struct crew *c, const struct pollfd *polls, struct err *err)
{
    unsigned i;
    int rc = 0;

    for (i = 0; i < c->n && rc == 0; i++)
        if (polls[i].revents && c->children[i].pid)
            rc = hear_child(c, i, err);
    return rc;
}

/* ---- the end ---- */

void crew_end(struct crew *c)
{
    unsigned i;

    for (i = 0; i < c->n; i++)
        child_end(&c->children[i]);
}

void crew_kill(struct crew *c)
{
    unsigned i;

    for (i = 0; i < c->n; i++)
        child_kill(&c->children[i]);
}

unsigned crew_joined(const struct crew *c)
{
    unsigned i, n = 0;

    for (i = 0; i < c->n; i++)
        n += c->children[i].joined;
    return n;
}
