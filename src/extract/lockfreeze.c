#include "extract/lockfreeze.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

#define MIN_TRIES 5 /* more as long as --lock-timeout allows */
#define TRY_MS 300
#define PAUSE_MS 100 /* between two tries writers get on */

static void give_up(struct slot *s, const char *why)
{
    log_note("worker %u takes no part: %s", s->number, why);
    slot_kill(s);
    s->state = SLOT_GIVEN_UP;
}

static void take_message(struct slot *s, const struct msg *m, bool *blocked)
{
    struct msg_answer a = {0};
    struct reader body = m->body;

    if (!msg_get_answer(&body, &a))
        give_up(s, "it sent a message that makes no sense");
    else if (m->type == MSG_LOCKED && s->state == SLOT_JOINING)
        s->state = SLOT_LOCKED;
    else if (m->type == MSG_READY && s->state == SLOT_LOCKED)
        s->state = SLOT_IDLE;
    else if (m->type == MSG_LOST && a.code == EBUSY)
        *blocked = true;
    else
        give_up(s, m->type == MSG_LOST ? a.text : "it sent a message out of turn");
    msg_answer_free(&a);
}

static void hear_slot(struct slot *s, bool *blocked)
{
    struct err why;
    struct msg m;
    int rc = msg_receive(&s->socket, &why);

    if (rc <= 0) {
        give_up(s, rc == 0 ? "it ended" : why.text);
        return;
    }
    while (s->pid && (rc = msg_next(&s->socket, &m, &why)) > 0)
        take_message(s, &m, blocked);
    if (rc < 0)
        give_up(s, why.text);
}

static unsigned count(const struct crew *c, enum slot_state state)
{
    unsigned i, n = 0;

    for (i = 0; i < c->n; i++)
        n += c->slots[i].state == state;
    return n;
}

/*
 * Hear workers until none is in `state` any more, or the deadline. blocked: set, and the wait
 * ended, when one could not have its locks.
 */
static int wait_while(struct crew *c, enum slot_state state, int64_t deadline, int stop_fd,
                      bool *blocked, struct err *err)
{
    struct pollfd *p = mem_array(c->n + 1, sizeof(*p));
    int64_t left;
    unsigned i;
    int rc = 0;

    while (rc == 0 && !*blocked && count(c, state) && (left = deadline - clock_ms()) > 0) {
        p[c->n] = (struct pollfd){.fd = stop_fd, .events = POLLIN};
        for (i = 0; i < c->n; i++)
            p[i] = (struct pollfd){.fd = c->slots[i].pid ? c->slots[i].socket.fd : -1,
                                   .events = POLLIN};
        if (poll(p, c->n + 1, (int)left) < 0 && errno != EINTR)
            rc = err_errno(err, "poll failed");
        if (p[c->n].revents)
            rc = err_set(err, EINTR, "interrupted");
        for (i = 0; i < c->n; i++)
            if (p[i].revents && c->slots[i].pid)
                hear_slot(&c->slots[i], blocked);
    }
    free(p);
    return rc;
}

static void dismiss(struct crew *c, enum slot_state state, const char *why)
{
    unsigned i;

    for (i = 0; i < c->n; i++)
        if (c->slots[i].state == state)
            give_up(&c->slots[i], why);
}

/*
 * Workers connect and take ACCESS SHARE. 1: somebody queued for an exclusive lock between the
 * leader's locks and a worker's; he has to be let through, and all begun again.
 */
static int gather(struct crew *c, const struct lockfreeze_request *req, struct err *err)
{
    bool blocked = false;
    unsigned i;
    int rc = 0;

    for (i = 0; i < c->n && rc == 0; i++)
        rc = crew_start(c, i, err);
    if (rc == 0)
        rc = wait_while(c, SLOT_JOINING, clock_ms() + req->freeze.lock_timeout_ms, req->stop_fd,
                        &blocked, err);
    if (rc < 0)
        return rc;
    if (blocked) {
        err_set(err, EBUSY, "somebody waits to lock one of the tables");
        return 1;
    }
    dismiss(c, SLOT_JOINING, "it could not connect and lock in time (--lock-timeout)");
    if (!count(c, SLOT_LOCKED))
        return err_set(err, ETIMEDOUT,
                       "no snapshot worker could connect and lock the tables in time");
    return 0;
}

static int pause_between(int stop_fd, struct err *err)
{
    struct pollfd p = {.fd = stop_fd, .events = POLLIN};

    return poll(&p, 1, PAUSE_MS) > 0 ? err_set(err, EINTR, "interrupted") : 0;
}

/* Shorter than deadlock_timeout: a writer that waits for us shall never be taken for a deadlock. */
static int64_t try_time(const struct pg_server *server)
{
    int64_t half = server->deadlock_timeout_ms / 2;

    return half < 1 ? 1 : half < TRY_MS ? half : TRY_MS;
}

static int lock_share(struct pg_conn *leader, const struct pg_catalog *c,
                      const struct lockfreeze_request *req, struct err *err)
{
    int64_t deadline = clock_ms() + req->freeze.lock_timeout_ms;
    int rc;

    while ((rc = pg_freeze_try_share(leader, c, try_time(req->freeze.server), err)) == -EBUSY) {
        if (clock_ms() >= deadline) {
            err_set(err, EBUSY, "SHARE locks could not be had within %lld ms (--lock-timeout)",
                    (long long)req->freeze.lock_timeout_ms);
            pg_freeze_name_writers(leader, c, err);
            return -EBUSY;
        }
        rc = pause_between(req->stop_fd, err);
        if (rc < 0)
            return rc;
    }
    return rc;
}

static void send_freeze(struct crew *c)
{
    struct buf frame = {0};
    struct err why;
    unsigned i;

    for (i = 0; i < c->n; i++) {
        if (c->slots[i].state != SLOT_LOCKED)
            continue;
        msg_put_freeze(&frame);
        if (msg_send(&c->slots[i].socket, &frame, &why) < 0)
            give_up(&c->slots[i], why.text);
    }
    buf_free(&frame);
}

/* Under the SHARE locks: every snapshot, the leader's first. */
static int snapshots(struct crew *c, struct pg_conn *leader, const struct lockfreeze_request *req,
                     struct pg_moment *moment, struct err *err)
{
    bool blocked = false; /* they hold their locks: it stays so */
    int64_t deadline = clock_ms() + req->freeze_timeout_ms;
    unsigned i;
    int rc = pg_freeze_moment(leader, moment, err);

    if (rc < 0)
        return rc;
    send_freeze(c);
    rc = wait_while(c, SLOT_LOCKED, deadline, req->stop_fd, &blocked, err);
    if (rc < 0)
        return rc;
    dismiss(c, SLOT_LOCKED, "it did not get its snapshot in time (--freeze-timeout)");
    for (i = 0; i < c->n; i++)
        c->slots[i].joined = c->slots[i].state == SLOT_IDLE;
    if (!count(c, SLOT_IDLE))
        return err_set(err, ETIMEDOUT,
                       "no snapshot worker got its snapshot within %lld ms "
                       "(--freeze-timeout)",
                       (long long)req->freeze_timeout_ms);
    return 0;
}

/* 0, negative, or 1: the catalog changed meanwhile. */
static int try_once(struct crew *crew, struct pg_conn *leader, const struct lockfreeze_request *req,
                    struct pg_catalog **catalog, struct pg_moment *moment, struct err *err)
{
    struct pg_catalog *before = NULL;
    char *lock_sql = NULL;
    int rc = pg_freeze_prepare(leader, &req->freeze, &before, &lock_sql, err);

    if (rc != 0)
        return rc;
    crew->lock_sql = lock_sql;
    rc = gather(crew, req, err);
    if (rc == 0)
        rc = lock_share(leader, before, req, err);
    if (rc == 0)
        rc = snapshots(crew, leader, req, moment, err);
    if (rc == 0)
        rc = pg_freeze_unshare(leader, moment, err);
    if (rc == 0)
        rc = pg_freeze_verify(leader, &req->freeze, before, catalog, err);
    crew->lock_sql = NULL;
    free(lock_sql);
    pg_catalog_free(before);
    return rc;
}

static void start_again(struct crew *crew, struct pg_conn *leader, struct pg_moment *moment)
{
    unsigned i;

    for (i = 0; i < crew->n; i++) {
        slot_kill(&crew->slots[i]);
        crew->slots[i].state = SLOT_EMPTY;
        crew->slots[i].joined = false;
    }
    pg_freeze_rollback(leader);
    pg_moment_free(moment);
}

int lockfreeze_run(struct crew *crew, struct pg_conn *leader, const struct lockfreeze_request *req,
                   struct pg_catalog **catalog, struct pg_moment *moment, struct err *err)
{
    int64_t deadline = clock_ms() + req->freeze.lock_timeout_ms;
    int tries, rc = 1;

    for (tries = 0; rc > 0 && (tries < MIN_TRIES || clock_ms() < deadline); tries++) {
        rc = try_once(crew, leader, req, catalog, moment, err);
        if (rc != 0)
            start_again(crew, leader, moment);
        if (rc > 0 && pause_between(req->stop_fd, err) < 0)
            rc = -err->code;
    }
    return rc <= 0 ? rc : -err->code;
}
