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

static void give_up(struct child *c, const char *why)
{
    log_note("worker %u takes no part: %s", c->number, why);
    child_kill(c);
    c->state = CHILD_GIVEN_UP;
}

/* The stages of a worker here: it connects and locks; has its locks; has its snapshot. */
static bool is_locking(const struct workers *w, unsigned i)
{
    return w->crew.children[i].state == CHILD_JOINING && !w->jobs[i].locked;
}

static bool is_locked(const struct workers *w, unsigned i)
{
    return w->crew.children[i].state == CHILD_JOINING && w->jobs[i].locked;
}

static bool is_frozen(const struct workers *w, unsigned i)
{
    return w->crew.children[i].state == CHILD_IDLE;
}

static void take_lost(struct child *c, const struct msg *m, bool *blocked)
{
    struct reader body = m->body;
    struct err why;

    if (!child_get_lost(&body, &why))
        give_up(c, "it sent a message that makes no sense");
    else if (why.code == EBUSY)
        *blocked = true;
    else
        give_up(c, why.text);
}

static void take_message(struct workers *w, unsigned i, const struct msg *m, bool *blocked)
{
    struct child *c = &w->crew.children[i];

    if (m->type == CHILD_LOST)
        take_lost(c, m, blocked);
    else if (m->type == MSG_LOCKED && is_locking(w, i))
        w->jobs[i].locked = true;
    else if (m->type == CHILD_READY && is_locked(w, i))
        c->state = CHILD_IDLE;
    else
        give_up(c, "it sent a message out of turn");
}

static void hear_worker(struct workers *w, unsigned i, bool *blocked)
{
    struct child *c = &w->crew.children[i];
    struct err why;
    struct msg m;
    int rc = msg_receive(&c->socket, &why);

    if (rc <= 0) {
        give_up(c, rc == 0 ? "it ended" : why.text);
        return;
    }
    while (c->pid && (rc = msg_next(&c->socket, &m, &why)) > 0)
        take_message(w, i, &m, blocked);
    if (rc < 0)
        give_up(c, why.text);
}

typedef bool (*stage)(const struct workers *w, unsigned i);

static unsigned count(const struct workers *w, stage in_stage)
{
    unsigned i, n = 0;

    for (i = 0; i < w->crew.n; i++)
        n += in_stage(w, i);
    return n;
}

/*
 * Hear workers until none is in this stage any more, or the deadline. blocked: set, and the wait
 * ended, when one could not have its locks.
 */
static int wait_while(struct workers *w, stage in_stage, int64_t deadline, int stop_fd,
                      bool *blocked, struct err *err)
{
    unsigned i, n = w->crew.n;
    struct pollfd *p = mem_array(n + 1, sizeof(*p));
    int64_t left;
    int rc = 0;

    while (rc == 0 && !*blocked && count(w, in_stage) && (left = deadline - clock_ms()) > 0) {
        p[n] = (struct pollfd){.fd = stop_fd, .events = POLLIN};
        crew_set_polls(&w->crew, p);
        if (poll(p, n + 1, (int)left) < 0 && errno != EINTR)
            rc = err_errno(err, "poll failed");
        if (p[n].revents)
            rc = err_set(err, EINTR, "interrupted");
        for (i = 0; i < n; i++)
            if (p[i].revents && w->crew.children[i].pid)
                hear_worker(w, i, blocked);
    }
    free(p);
    return rc;
}

static void dismiss(struct workers *w, stage in_stage, const char *why)
{
    unsigned i;

    for (i = 0; i < w->crew.n; i++)
        if (in_stage(w, i))
            give_up(&w->crew.children[i], why);
}

/*
 * Workers connect and take ACCESS SHARE. 1: somebody queued for an exclusive lock between the
 * leader's locks and a worker's; he has to be let through, and all begun again.
 */
static int gather_workers(struct workers *w, const struct lockfreeze_request *req, struct err *err)
{
    bool blocked = false;
    unsigned i;
    int rc = 0;

    for (i = 0; i < w->crew.n && rc == 0; i++)
        rc = crew_start(&w->crew, i, err);
    if (rc == 0)
        rc = wait_while(w, is_locking, clock_ms() + req->freeze.lock_timeout_ms, req->stop_fd,
                        &blocked, err);
    if (rc < 0)
        return rc;
    if (blocked) {
        err_set(err, EBUSY, "somebody waits to lock one of the tables");
        return 1;
    }
    dismiss(w, is_locking, "it could not connect and lock in time (--lock-timeout)");
    if (!count(w, is_locked))
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

static void send_freeze(struct workers *w)
{
    struct buf frame = {0};
    struct err why;
    unsigned i;

    for (i = 0; i < w->crew.n; i++) {
        if (!is_locked(w, i))
            continue;
        msg_put_freeze(&frame);
        if (msg_send(&w->crew.children[i].socket, &frame, &why) < 0)
            give_up(&w->crew.children[i], why.text);
    }
    buf_free(&frame);
}

/* Under the SHARE locks: every snapshot, the leader's first. */
static int snapshots(struct workers *w, struct pg_conn *leader,
                     const struct lockfreeze_request *req, struct pg_moment *moment,
                     struct err *err)
{
    bool blocked = false; /* they hold their locks: it stays so */
    int64_t deadline = clock_ms() + req->freeze_timeout_ms;
    unsigned i;
    int rc = pg_freeze_moment(leader, moment, err);

    if (rc < 0)
        return rc;
    send_freeze(w);
    rc = wait_while(w, is_locked, deadline, req->stop_fd, &blocked, err);
    if (rc < 0)
        return rc;
    dismiss(w, is_locked, "it did not get its snapshot in time (--freeze-timeout)");
    for (i = 0; i < w->crew.n; i++)
        w->crew.children[i].joined = is_frozen(w, i);
    if (!count(w, is_frozen))
        return err_set(err, ETIMEDOUT,
                       "no snapshot worker got its snapshot within %lld ms "
                       "(--freeze-timeout)",
                       (long long)req->freeze_timeout_ms);
    return 0;
}

/* 0, negative, or 1: the catalog changed meanwhile. */
static int try_once(struct workers *workers, struct pg_conn *leader,
                    const struct lockfreeze_request *req, struct pg_catalog **catalog,
                    struct pg_moment *moment, struct err *err)
{
    struct pg_catalog *before = NULL;
    char *lock_sql = NULL;
    int rc = pg_freeze_prepare(leader, &req->freeze, &before, &lock_sql, err);

    if (rc != 0)
        return rc;
    workers->lock_sql = lock_sql;
    rc = gather_workers(workers, req, err);
    if (rc == 0)
        rc = lock_share(leader, before, req, err);
    if (rc == 0)
        rc = snapshots(workers, leader, req, moment, err);
    if (rc == 0)
        rc = pg_freeze_unshare(leader, moment, err);
    if (rc == 0)
        rc = pg_freeze_verify(leader, &req->freeze, before, catalog, err);
    workers->lock_sql = NULL;
    free(lock_sql);
    pg_catalog_free(before);
    return rc;
}

static void start_again(struct workers *w, struct pg_conn *leader, struct pg_moment *moment)
{
    unsigned i;

    crew_kill(&w->crew);
    for (i = 0; i < w->crew.n; i++) {
        w->crew.children[i].state = CHILD_EMPTY;
        w->crew.children[i].joined = false;
    }
    pg_freeze_rollback(leader);
    pg_moment_free(moment);
}

int lockfreeze_run(struct workers *workers, struct pg_conn *leader,
                   const struct lockfreeze_request *req, struct pg_catalog **catalog,
                   struct pg_moment *moment, struct err *err)
{
    int64_t deadline = clock_ms() + req->freeze.lock_timeout_ms;
    int tries, rc = 1;

    for (tries = 0; rc > 0 && (tries < MIN_TRIES || clock_ms() < deadline); tries++) {
        rc = try_once(workers, leader, req, catalog, moment, err);
        if (rc != 0)
            start_again(workers, leader, moment);
        if (rc > 0 && pause_between(req->stop_fd, err) < 0)
            rc = -err->code;
    }
    return rc <= 0 ? rc : -err->code;
}
