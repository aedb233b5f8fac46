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
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "extract/leader.h"
#include "extract/ledger.h"
#include "extract/schema.h"

#define TICK_MS 250

struct coordinator {
    struct coordinator_config cfg;
    struct workers *workers;
    struct ledger *ledger;
    struct leader *leader;
    struct schema schema;
    struct pollfd *polls;
    bool released;
    int wanted_fd;               /* eventfd: wanted is not empty */
    pthread_mutex_t wanted_lock; /* protects the three below */
    uint32_t *wanted;
    size_t nwanted, wanted_room;
};

enum { POLL_STOP, POLL_WANTED, POLL_LEADER, POLL_DUMP, POLL_DUMP_ERRORS, POLL_WORKERS };

static struct ledger *new_ledger(const struct coordinator_config *c)
{
    struct ledger_config config = {
        .catalog = c->catalog,
        .plan = c->plan,
        .results = c->results,
        .leader = c->leader,
        .spools = c->workers->spools,
        .spool_dir = c->workers->spool_dir,
        .encoding = c->encoding,
        .format = c->format,
        .out_fd = c->out_fd,
        .paths = c->paths,
        .own_files = c->own_files,
        .partial = c->partial,
        .spool_limit = c->spool_limit,
        .writers = c->workers->crew.n + 1,
        .guest = c->guest,
    };

    return ledger_new(&config);
}

static size_t guest_polls(const struct coordinator *c)
{
    return c->cfg.guest ? c->cfg.guest->npolls(c->cfg.guest->arg) : 0;
}

struct coordinator *coordinator_new(const struct coordinator_config *config)
{
    struct coordinator *c = mem_alloc(sizeof(*c));

    c->cfg = *config;
    c->workers = config->workers;
    c->ledger = new_ledger(config);
    c->leader = leader_new(config->leader, c->ledger, config->workers->crew.n,
                           config->workers->crew.silence_ms);
    c->schema =
        (struct schema){.dump = config->dump, .leader = config->leader, .results = config->results};
    c->polls =
        mem_array(POLL_WORKERS + config->workers->crew.n + guest_polls(c), sizeof(*c->polls));
    workers_begin(c->workers, c->ledger, config->results, config->out_fd < 0);
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

/* ---- the loop ---- */

/* Nothing is left to read from the server: give locks and snapshot back, let the workers go. */
static int release_source(struct coordinator *c, struct err *err)
{
    if (c->released || ledger_left(c->ledger) || leader_is_busy(c->leader))
        return 0;
    schema_check(&c->schema, clock_ms());
    if (schema_is_running(&c->schema))
        return 0;
    crew_end(&c->workers->crew);
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

static int give_work(struct coordinator *c, struct err *err)
{
    const struct extract_guest *guest = c->cfg.guest;
    int64_t now = clock_ms();
    int rc = guest ? guest->work(guest->arg, now, err) : 0;

    ledger_take_back(c->ledger);
    if (rc < 0 || c->released)
        return rc;
    rc = check_hold(c, now, err);
    if (rc == 0)
        rc = crew_work(&c->workers->crew, now, err);
    return rc < 0 ? rc : leader_work(c->leader, now, err);
}

static struct pollfd *guest_place(const struct coordinator *c)
{
    return &c->polls[POLL_WORKERS + c->workers->crew.n];
}

static size_t set_polls(struct coordinator *c)
{
    const struct pg_dump *dump = c->cfg.dump;
    bool dumping = schema_is_running(&c->schema);

    c->polls[POLL_STOP] = (struct pollfd){.fd = c->cfg.stop_fd, .events = POLLIN};
    c->polls[POLL_WANTED] = (struct pollfd){.fd = c->wanted_fd, .events = POLLIN};
    c->polls[POLL_LEADER] =
        (struct pollfd){.fd = c->released ? -1 : pg_conn_socket(c->cfg.leader), .events = POLLIN};
    c->polls[POLL_DUMP] = (struct pollfd){.fd = dumping ? dump->out_fd : -1, .events = POLLIN};
    c->polls[POLL_DUMP_ERRORS] =
        (struct pollfd){.fd = dumping ? dump->err_fd : -1, .events = POLLIN};
    crew_set_polls(&c->workers->crew, &c->polls[POLL_WORKERS]);
    if (c->cfg.guest)
        c->cfg.guest->set_polls(c->cfg.guest->arg, guest_place(c));
    return POLL_WORKERS + c->workers->crew.n + guest_polls(c);
}

static int hear_all(struct coordinator *c, struct err *err)
{
    int rc = 0;

    if (c->polls[POLL_STOP].revents)
        return err_set(err, EINTR, "interrupted");
    if (c->polls[POLL_WANTED].revents)
        take_wanted(c);
    if (c->polls[POLL_DUMP].revents || c->polls[POLL_DUMP_ERRORS].revents)
        schema_hear(&c->schema);
    if (c->polls[POLL_LEADER].revents)
        rc = leader_hear(c->leader, err);
    if (rc == 0)
        rc = crew_hear(&c->workers->crew, &c->polls[POLL_WORKERS], err);
    if (rc == 0 && c->cfg.guest)
        rc = c->cfg.guest->hear(c->cfg.guest->arg, guest_place(c), err);
    return rc;
}

static void show_progress(struct coordinator *c)
{
    struct progress_state s;

    ledger_get_progress(c->ledger, &s);
    workers_add_progress(c->workers, &s);
    progress_show(c->cfg.progress, &s, clock_ms());
}

static int take_turn(struct coordinator *c, struct err *err)
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
    int rc = 0;

    set_aside_matviews(c);
    while (rc == 0 && (!c->released || ledger_can_finish(c->ledger)))
        rc = take_turn(c, err);
    crew_kill(&c->workers->crew);
    if (rc < 0)
        ledger_fail_rest(c->ledger, err->text);
    results_end(c->cfg.results);
    progress_end(c->cfg.progress);
    return rc;
}
