/*
 * One loop around poll(): worker sockets, the leader's connection, pg_dump's pipe, the stop
 * descriptor. All decisions (which chunk, put back or give up) are made between two polls, from
 * state that only this thread changes.
 *
 * Invariants
 *  - A chunk is running in at most one place, and its bytes count only once its DONE was read and
 * the spool's end moved behind them. A worker that dies before has no effect: its spool is trimmed.
 *  - The leader's locks and snapshot are kept until no chunk is left and pg_dump has finished.
 *
 * What a crash leaves behind: nothing. Spool files have no name, workers end with their sockets,
 * the server ends the transactions with their connections.
 */
#include "extract/coordinator.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/units.h"
#include "extract/leader.h"
#include "extract/ledger.h"
#include "extract/schema.h"
#include "extract/slot.h"

#define MAX_JOIN_FAILURES 5
#define JOIN_PAUSE_MS 100 /* after the first failure, doubled with each further one */
#define TICK_MS 250

struct coordinator {
    struct coordinator_config cfg;
    struct crew *crew;
    struct ledger *ledger;
    struct leader *leader;
    struct schema schema;
    struct pollfd *polls;
    bool released;
    bool told_fewer;
    int wanted_fd;               /* eventfd: wanted is not empty */
    pthread_mutex_t wanted_lock; /* protects the three below */
    uint32_t *wanted;
    size_t nwanted, wanted_room;
};

enum { POLL_STOP, POLL_WANTED, POLL_LEADER, POLL_DUMP, POLL_DUMP_ERRORS, POLL_SLOTS };

static struct ledger *new_ledger(const struct coordinator_config *c)
{
    struct ledger_config config = {
        .catalog = c->catalog,
        .plan = c->plan,
        .results = c->results,
        .leader = c->leader,
        .spools = c->crew->spools,
        .spool_dir = c->crew->spool_dir,
        .encoding = c->encoding,
        .format = c->format,
        .out_fd = c->out_fd,
        .paths = c->paths,
        .own_files = c->own_files,
        .partial = c->partial,
        .spool_limit = c->spool_limit,
    };

    return ledger_new(&config);
}

struct coordinator *coordinator_new(const struct coordinator_config *config)
{
    struct coordinator *c = mem_alloc(sizeof(*c));

    c->cfg = *config;
    c->crew = config->crew;
    c->ledger = new_ledger(config);
    c->leader = leader_new(config->leader, c->ledger, c->crew->n, c->crew->worker_timeout_ms);
    c->schema =
        (struct schema){.dump = config->dump, .leader = config->leader, .results = config->results};
    c->polls = mem_array(c->crew->n + POLL_SLOTS, sizeof(*c->polls));
    results_set_joined(config->results, crew_joined(c->crew));
    c->wanted_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&c->wanted_lock, NULL);
    return c;
}

void coordinator_free(struct coordinator *c)
{
    if (!c)
        return;
    leader_free(c->leader);
    ledger_free(c->ledger);
    if (c->wanted_fd >= 0)
        close(c->wanted_fd);
    pthread_mutex_destroy(&c->wanted_lock);
    free(c->wanted);
    free(c->polls);
    free(c);
}

void coordinator_prefer(struct coordinator *c, uint32_t table)
{
    uint64_t one = 1;

    pthread_mutex_lock(&c->wanted_lock);
    c->wanted = mem_grow(c->wanted, c->nwanted, &c->wanted_room, sizeof(*c->wanted));
    c->wanted[c->nwanted++] = table;
    pthread_mutex_unlock(&c->wanted_lock);
    (void)!write(c->wanted_fd, &one, sizeof(one)); /* full: it is readable already */
}

static void take_wanted(struct coordinator *c)
{
    uint64_t n;

    (void)!read(c->wanted_fd, &n, sizeof(n));
    pthread_mutex_lock(&c->wanted_lock);
    while (c->nwanted)
        ledger_prefer(c->ledger, c->wanted[--c->nwanted]);
    pthread_mutex_unlock(&c->wanted_lock);
}

static struct slot *slot_of(struct coordinator *c, unsigned i)
{
    return &c->crew->slots[i];
}

/* ---- workers ---- */

/* The worker of this slot is idle again. */
static void slot_rests(struct coordinator *c, struct slot *s)
{
    ledger_add_under_way(c->ledger, s->chunk, -s->bytes);
    s->state = SLOT_IDLE;
    s->bytes = 0;
}

static bool any_worker_left(const struct coordinator *c)
{
    unsigned i;

    for (i = 0; i < c->crew->n; i++)
        if (c->crew->slots[i].state != SLOT_GIVEN_UP)
            return true;
    return false;
}

/*
 * A worker is gone or has to go. Its chunk waits again; the slot is filled anew, unless nobody can
 * join later (protocol lock) or workers keep failing to join (no connection left on the server,
 * say): then the others do the work, as long as there is one.
 */
static int worker_lost(struct coordinator *c, unsigned i, const char *why, struct err *err)
{
    struct slot *s = slot_of(c, i);
    bool was_busy = s->state == SLOT_BUSY, was_joining = s->state == SLOT_JOINING;
    int rc;

    log_debug("worker %u: %s", s->number, why);
    if (was_busy)
        slot_rests(c, s);
    slot_kill(s);
    rc = spool_trim(&c->crew->spools[i], err);
    if (rc < 0)
        return rc;
    if (was_busy && (rc = ledger_put_back(c->ledger, s->chunk, why, err)) < 0)
        return rc;
    if (!c->cfg.can_join || (was_joining && ++s->failures >= MAX_JOIN_FAILURES))
        s->state = SLOT_GIVEN_UP;
    s->not_before = was_joining ? clock_ms() + (JOIN_PAUSE_MS << s->failures) : 0;
    if (!any_worker_left(c))
        return err_set(err, ECONNRESET, "no snapshot worker is left: %s", why);
    if (s->state == SLOT_GIVEN_UP && !c->told_fewer)
        log_note("going on with fewer workers: %s", why);
    c->told_fewer |= s->state == SLOT_GIVEN_UP;
    return 0;
}

static int send_chunk(struct coordinator *c, struct slot *s, const struct ledger_job *job,
                      struct err *err)
{
    const struct pg_relation *rel = plan_relation(c->cfg.catalog, &c->cfg.plan->chunks[s->chunk]);
    struct msg_chunk m = {
        .chunk = s->chunk, .flags = job->flags, .offset = job->offset, .copy_sql = job->copy_sql};
    struct buf frame = {0};
    int rc = 0;

    if (rel->kind != 'm') /* LOCK TABLE refuses materialized views; lock_timeout serves */
        rc = pg_lock_nowait_sql(c->cfg.leader, rel, &m.lock_sql, err);
    if (rc == 0) {
        msg_put_chunk(&frame, &m);
        rc = msg_send_fd(&s->socket, &frame, m.flags & CHUNK_OWN_FILE ? job->fd : -1, err);
    }
    buf_free(&frame);
    free(m.lock_sql);
    return rc;
}

static int hand_out(struct coordinator *c, unsigned i, struct err *err)
{
    struct slot *s = slot_of(c, i);
    int64_t chunk = ledger_take(c->ledger);
    struct ledger_job job;
    int rc;

    if (chunk == LEDGER_NONE)
        return 0;
    s->chunk = (uint32_t)chunk;
    s->state = SLOT_BUSY;
    s->bytes = 0;
    s->heard = clock_ms();
    rc = ledger_begin(c->ledger, s->chunk, i, &job, err);
    if (rc == 0)
        rc = send_chunk(c, s, &job, err);
    free(job.copy_sql);
    return rc == -EPIPE || rc == -ECONNRESET ? worker_lost(c, i, "it is gone", err) : rc;
}

static void worker_ready(struct coordinator *c, struct slot *s)
{
    s->state = SLOT_IDLE;
    s->joined = true;
    s->failures = 0;
    results_set_joined(c->cfg.results, crew_joined(c->crew));
}

static int chunk_done(struct coordinator *c, unsigned i, const struct msg_answer *a,
                      struct err *err)
{
    struct ledger_done done = {.bytes = a->bytes, .rows = a->rows, .checksum = a->checksum};

    return ledger_done(c->ledger, slot_of(c, i)->chunk, i, &done, err);
}

/* The worker knows no path: its files came to it open. */
static int chunk_failed(struct coordinator *c, uint32_t chunk, const struct msg_answer *a,
                        struct err *err)
{
    bool full = a->code == ENOSPC || a->code == EDQUOT;
    bool place = full || a->code == EFBIG || a->code == EROFS;
    char why[ERR_TEXT_MAX];

    if (a->code ==
        ECANCELED) /* somebody cancelled the statement: that says nothing about the table */
        return ledger_put_back(c->ledger, chunk, a->text, err);
    snprintf(why, sizeof(why), "%s%s%s%s", a->text, place ? ", in " : "",
             place ? c->crew->spool_dir : "",
             full && c->cfg.out_fd < 0 ? " (--spool names a larger place)" : "");
    return ledger_fail(c->ledger, chunk, why, err);
}

static int worker_answered(struct coordinator *c, unsigned i, uint32_t type,
                           const struct msg_answer *a, struct err *err)
{
    struct slot *s = slot_of(c, i);
    int rc;

    s->heard = clock_ms();
    switch (type) {
    case MSG_READY:
        worker_ready(c, s);
        return 0;
    case MSG_PROGRESS:
        ledger_add_under_way(c->ledger, s->chunk, a->bytes - s->bytes);
        s->bytes = a->bytes;
        rc = ledger_check_spool(c->ledger, s->chunk, err);
        if (rc == 0 && ledger_has_failed(c->ledger, s->chunk))
            rc = worker_lost(c, i, "its table has failed", err);
        return rc;
    case MSG_DONE:
        slot_rests(c, s);
        return chunk_done(c, i, a, err);
    case MSG_BUSY:
        slot_rests(c, s);
        ledger_give_to_leader(c->ledger, s->chunk);
        return spool_trim(&c->crew->spools[i], err);
    case MSG_FAILED:
        slot_rests(c, s);
        rc = spool_trim(&c->crew->spools[i], err);
        return rc < 0 ? rc : chunk_failed(c, s->chunk, a, err);
    default:
        return worker_lost(c, i, a->text, err);
    }
}

static bool answer_fits(const struct slot *s, uint32_t type, const struct msg_answer *a)
{
    if (type == MSG_READY)
        return s->state == SLOT_JOINING;
    if (type == MSG_LOST)
        return true;
    return type >= MSG_PROGRESS && type <= MSG_FAILED && s->state == SLOT_BUSY &&
           a->chunk == s->chunk;
}

static int take_message(struct coordinator *c, unsigned i, struct msg *m, struct err *err)
{
    struct msg_answer a = {0};
    int rc;

    if (msg_get_answer(&m->body, &a) && answer_fits(slot_of(c, i), m->type, &a))
        rc = worker_answered(c, i, m->type, &a, err);
    else
        rc = worker_lost(c, i, "it sent a message that makes no sense", err);
    msg_answer_free(&a);
    return rc;
}

static int hear_worker(struct coordinator *c, unsigned i, struct err *err)
{
    struct slot *s = slot_of(c, i);
    struct err why;
    struct msg m;
    int rc = msg_receive(&s->socket, &why);

    if (rc == 0)
        return worker_lost(c, i, "it ended", err);
    if (rc < 0)
        return worker_lost(c, i, why.text, err);
    while (s->pid && (rc = msg_next(&s->socket, &m, &why)) > 0) {
        rc = take_message(c, i, &m, err);
        if (rc < 0)
            return rc;
    }
    return rc < 0 ? worker_lost(c, i, why.text, err) : 0;
}

static int check_worker_silence(struct coordinator *c, int64_t now, struct err *err)
{
    char why[80];
    unsigned i;
    int rc;

    for (i = 0; i < c->crew->n; i++) {
        struct slot *s = slot_of(c, i);

        if ((s->state != SLOT_BUSY && s->state != SLOT_JOINING) ||
            now - s->heard < c->crew->worker_timeout_ms)
            continue;
        snprintf(why, sizeof(why), "nothing came from it for %lld second%s (--worker-timeout)",
                 (long long)((now - s->heard) / 1000), units_s((uint64_t)(now - s->heard) / 1000));
        rc = worker_lost(c, i, why, err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* ---- the loop ---- */

/* Nothing is left to read from the server: give locks and snapshot back, let the workers go. */
static int release_source(struct coordinator *c, struct err *err)
{
    unsigned i;

    if (c->released || ledger_left(c->ledger) || leader_is_busy(c->leader))
        return 0;
    schema_check(&c->schema, clock_ms());
    if (schema_is_running(&c->schema))
        return 0;
    for (i = 0; i < c->crew->n; i++)
        slot_end(slot_of(c, i));
    results_release(c->cfg.results);
    c->released = true;
    return pg_freeze_release(c->cfg.leader, err);
}

static int check_hold(const struct coordinator *c, int64_t now, struct err *err)
{
    if (!c->cfg.hold_limit_ms || now - c->cfg.frozen_at <= c->cfg.hold_limit_ms)
        return 0;
    return err_set(err, ETIMEDOUT,
                   "the source was held for %.1f seconds, and the extraction has not ended "
                   "(--hold-limit)",
                   (double)(now - c->cfg.frozen_at) / 1000);
}

/* No more workers than chunks that are left. */
static bool may_start(const struct coordinator *c, const struct slot *s, int64_t now)
{
    unsigned i, running = 0;

    if (!c->cfg.can_join || s->state != SLOT_EMPTY || now < s->not_before)
        return false;
    for (i = 0; i < c->crew->n; i++)
        running += c->crew->slots[i].pid > 0;
    return running < ledger_left(c->ledger);
}

static int give_work(struct coordinator *c, struct err *err)
{
    int64_t now = clock_ms();
    unsigned i;
    int rc;

    if (c->released)
        return 0;
    rc = check_hold(c, now, err);
    if (rc == 0)
        rc = check_worker_silence(c, now, err);
    for (i = 0; i < c->crew->n && rc == 0; i++) {
        if (may_start(c, slot_of(c, i), now))
            rc = crew_start(c->crew, i, err);
        else if (slot_of(c, i)->state == SLOT_IDLE)
            rc = hand_out(c, i, err);
    }
    return rc < 0 ? rc : leader_work(c->leader, now, err);
}

static size_t set_polls(struct coordinator *c)
{
    const struct pg_dump *dump = c->cfg.dump;
    bool dumping = schema_is_running(&c->schema);
    unsigned i;

    c->polls[POLL_STOP] = (struct pollfd){.fd = c->cfg.stop_fd, .events = POLLIN};
    c->polls[POLL_WANTED] = (struct pollfd){.fd = c->wanted_fd, .events = POLLIN};
    c->polls[POLL_LEADER] =
        (struct pollfd){.fd = c->released ? -1 : pg_conn_socket(c->cfg.leader), .events = POLLIN};
    c->polls[POLL_DUMP] = (struct pollfd){.fd = dumping ? dump->out_fd : -1, .events = POLLIN};
    c->polls[POLL_DUMP_ERRORS] =
        (struct pollfd){.fd = dumping ? dump->err_fd : -1, .events = POLLIN};
    for (i = 0; i < c->crew->n; i++)
        c->polls[POLL_SLOTS + i] = (struct pollfd){
            .fd = c->crew->slots[i].pid ? c->crew->slots[i].socket.fd : -1, .events = POLLIN};
    return POLL_SLOTS + c->crew->n;
}

static int hear_all(struct coordinator *c, struct err *err)
{
    unsigned i;
    int rc = 0;

    if (c->polls[POLL_STOP].revents)
        return err_set(err, EINTR, "interrupted");
    if (c->polls[POLL_WANTED].revents)
        take_wanted(c);
    if (c->polls[POLL_DUMP].revents || c->polls[POLL_DUMP_ERRORS].revents)
        schema_hear(&c->schema);
    if (c->polls[POLL_LEADER].revents)
        rc = leader_hear(c->leader, err);
    for (i = 0; i < c->crew->n && rc == 0; i++)
        if (c->polls[POLL_SLOTS + i].revents && c->crew->slots[i].pid)
            rc = hear_worker(c, i, err);
    return rc;
}

static void show_progress(struct coordinator *c)
{
    struct progress_state s;
    unsigned i;

    ledger_get_progress(c->ledger, &s);
    for (i = 0; i < c->crew->n; i++) {
        const struct slot *w = &c->crew->slots[i];

        if (w->state != SLOT_BUSY)
            continue;
        /* A row is about as long in text as in the table: good enough between two chunks. */
        s.done += w->bytes < c->cfg.plan->chunks[w->chunk].weight
                      ? w->bytes
                      : c->cfg.plan->chunks[w->chunk].weight;
        s.bytes += w->bytes;
    }
    progress_show(c->cfg.progress, &s, clock_ms());
}

static int turn(struct coordinator *c, struct err *err)
{
    int rc = give_work(c, err);
    size_t n;

    if (rc < 0)
        return rc;
    n = set_polls(c);
    if (poll(c->polls, n, ledger_can_finish(c->ledger) ? 0 : TICK_MS) < 0 && errno != EINTR)
        return err_errno(err, "poll failed");
    rc = hear_all(c, err);
    if (rc == 0)
        rc = give_work(c, err); /* before the finisher takes its time */
    if (rc == 0)
        rc = ledger_finish_some(c->ledger, err);
    if (rc == 0)
        rc = release_source(c, err);
    show_progress(c);
    return rc;
}

/* Protocol lock: materialized views cannot be locked, so only the leader's snapshot can show them.
 */
static void set_aside_matviews(struct coordinator *c)
{
    uint32_t k;

    for (k = 0; c->cfg.matviews_by_leader && k < c->cfg.plan->nchunks; k++)
        if (plan_relation(c->cfg.catalog, &c->cfg.plan->chunks[k])->kind == 'm')
            ledger_give_to_leader(c->ledger, k);
}

int coordinator_run(struct coordinator *c, struct err *err)
{
    unsigned i;
    int rc = 0;

    set_aside_matviews(c);
    while (rc == 0 && (!c->released || ledger_can_finish(c->ledger)))
        rc = turn(c, err);
    for (i = 0; i < c->crew->n; i++)
        slot_kill(slot_of(c, i));
    if (rc < 0)
        ledger_fail_rest(c->ledger, err->text);
    results_end(c->cfg.results);
    progress_end(c->cfg.progress);
    return rc;
}
