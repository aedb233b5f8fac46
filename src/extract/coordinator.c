/*
 * One loop around poll(): worker sockets, the leader's connection, pg_dump's pipe, the stop
 * descriptor. All decisions (which chunk, put back or give up) are made between two polls, from
 * state that only this thread changes.
 *
 * Invariants
 *  - A chunk is running in at most one place, and its bytes count only once its DONE was read and
 * the spool's end moved behind them. A worker that dies before has no effect: its spool is trimmed.
 *  - The leader's locks and snapshot are kept until no chunk is left and pg_dump has finished.
 *  - A chunk that could not lock its table without waiting is extracted on the leader's own
 * connection: it holds the lock already, so it passes a queued ACCESS EXCLUSIVE that would stop a
 * worker.
 *
 * What a crash leaves behind: nothing. Spool files have no name, workers end with their sockets,
 * the server ends the transactions with their connections.
 */
#include "extract/coordinator.h"

#include <errno.h>
#include <fcntl.h>
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
#include "extract/finish.h"
#include "extract/queue.h"
#include "extract/sink.h"
#include "extract/slot.h"
#include "pg/copy.h"

#define MAX_JOIN_FAILURES 5
#define JOIN_PAUSE_MS 100 /* after the first failure, doubled with each further one */
#define TICK_MS 250
#define DUMP_CHECK_MS 1000
#define OWN_FILE_MIN (1u << 20) /* smaller tables share the spool files of the workers */

/* The leader's own extraction of a chunk that no worker could lock. */
struct leader_work {
    bool busy;
    uint32_t chunk;
    struct pg_copy copy;
    struct sink *sink;
    char *copy_sql;
    int64_t heard;
    uint64_t bytes;
};

struct coordinator {
    struct coordinator_config cfg;
    struct crew *crew;
    struct results results;
    struct queue *queue;
    struct finisher *finisher;
    struct leader_work leader;
    struct pollfd *polls;
    struct progress_state shown;
    bool released;
    int64_t dump_checked; /* clock_ms */
    bool dump_was_blocked;
    bool told_fewer;
    uint64_t spooled; /* bytes of complete chunks, less those of tables that failed */
    int *own_files;   /* by table: a file that shall hold just this table, or -1 */
    size_t nown_files;
    bool *failed;                /* by table; the same as its state, without the lock */
    int wanted_fd;               /* eventfd: wanted is not empty */
    pthread_mutex_t wanted_lock; /* protects the three below */
    uint32_t *wanted;
    size_t nwanted, wanted_room;
};

enum { POLL_STOP, POLL_WANTED, POLL_LEADER, POLL_DUMP, POLL_DUMP_ERRORS, POLL_SLOTS };

struct coordinator *coordinator_new(const struct coordinator_config *config)
{
    struct coordinator *c = mem_alloc(sizeof(*c));

    c->cfg = *config;
    c->crew = config->crew;
    results_init(&c->results, config->plan);
    c->queue = queue_new(config->plan);
    c->polls = mem_array(c->crew->n + POLL_SLOTS, sizeof(*c->polls));
    c->failed = mem_array(config->plan->ntables, sizeof(*c->failed));
    c->own_files = mem_array(config->plan->ntables, sizeof(*c->own_files));
    memset(c->own_files, -1, config->plan->ntables * sizeof(*c->own_files));
    c->finisher = finisher_new(config->plan, c->crew->spools, c->own_files);
    c->results.joined = crew_joined(c->crew);
    c->results.schema_error = config->schema_error;
    c->results.schema_done = config->schema_error != NULL;
    c->shown.files = (unsigned)config->plan->ntables;
    c->shown.total = config->plan->weight;
    c->wanted_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&c->wanted_lock, NULL);
    return c;
}

void coordinator_free(struct coordinator *c)
{
    if (!c)
        return;
    sink_free(c->leader.sink);
    free(c->leader.copy_sql);
    finisher_free(c->finisher);
    queue_free(c->queue);
    results_free(&c->results);
    if (c->wanted_fd >= 0)
        close(c->wanted_fd);
    pthread_mutex_destroy(&c->wanted_lock);
    free(c->wanted);
    free(c->own_files);
    free(c->failed);
    free(c->polls);
    free(c);
}

struct results *coordinator_results(struct coordinator *c)
{
    return &c->results;
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
        queue_prefer_table(c->queue, c->wanted[--c->nwanted]);
    pthread_mutex_unlock(&c->wanted_lock);
}

static struct slot *slot_of(struct coordinator *c, unsigned i)
{
    return &c->crew->slots[i];
}

static void tell_settled(struct coordinator *c, size_t table)
{
    if (c->cfg.settled)
        c->cfg.settled(c->cfg.settled_arg, table);
}

/* ---- chunks ---- */

static char *table_name(const struct coordinator *c, uint32_t chunk)
{
    const struct pg_relation *r = plan_relation(c->cfg.catalog, &c->cfg.plan->chunks[chunk]);

    return pg_pattern_of(r->schema, r->name);
}

/* Written to the table's own file at once; chunks of larger tables are put together by the
 * finisher. */
static bool goes_to_own_file(const struct coordinator *c, uint32_t chunk)
{
    const struct chunk *k = &c->cfg.plan->chunks[chunk];

    return c->own_files[k->table] >= 0 && k->first && k->last;
}

static int open_out_file(const struct coordinator *c, uint32_t table, struct err *err)
{
    const char *path = c->cfg.paths[table];
    int fd = openat(c->cfg.out_fd, path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);

    return fd < 0 ? err_errno(err, "cannot create %s", path) : fd;
}

static int open_own_file(struct coordinator *c, uint32_t table, struct err *err)
{
    struct spool own = {.fd = -1};
    int rc = 0;

    if (c->own_files[table] >= 0)
        return 0;
    if (c->cfg.out_fd >= 0) {
        own.fd = rc = open_out_file(c, table, err);
    } else if (c->results.tables[table].estimate >= OWN_FILE_MIN &&
               c->nown_files < c->cfg.own_files) {
        rc = spool_open(&own, c->crew->spool_dir, err);
        c->nown_files++;
    }
    c->own_files[table] = own.fd;
    return rc < 0 ? rc : 0;
}

/* The file of a plain directory is closed when it is done; one of a mount is what readers read. */
static void settle_own_file(struct coordinator *c, size_t table, bool complete)
{
    int fd = c->own_files[table];

    c->own_files[table] = -1;
    if (fd >= 0 && c->cfg.out_fd < 0 && complete)
        c->results.tables[table].own_fd = fd;
    else if (fd >= 0)
        close(fd);
}

static int copy_sql(struct coordinator *c, uint32_t chunk, char **sql, struct err *err)
{
    const struct chunk *k = &c->cfg.plan->chunks[chunk];
    struct pg_copy_source s = {
        .table = &c->cfg.catalog->tables[k->table],
        .rel = plan_relation(c->cfg.catalog, k),
        .range = k->range,
        .format = c->cfg.format,
        .header = k->first,
        .encoding = c->cfg.encoding,
    };

    return pg_copy_sql(c->cfg.leader, &s, sql, err);
}

static uint32_t chunk_flags(const struct coordinator *c, uint32_t chunk)
{
    const struct chunk *k = &c->cfg.plan->chunks[chunk];

    return (c->cfg.format == PG_FORMAT_BINARY ? CHUNK_BINARY : 0u) | (k->first ? CHUNK_FIRST : 0u) |
           (k->last ? CHUNK_LAST : 0u);
}

static int table_started(struct coordinator *c, uint32_t table, struct err *err)
{
    struct table_result *r = &c->results.tables[table];

    pthread_mutex_lock(&c->results.lock);
    if (r->state == TABLE_WAITING) {
        r->state = TABLE_RUNNING;
        r->started_at = clock_ms();
    }
    pthread_mutex_unlock(&c->results.lock);
    return open_own_file(c, table, err);
}

static void table_complete(struct coordinator *c, size_t table, uint64_t bytes, uint64_t checksum)
{
    struct table_result *r = &c->results.tables[table];

    pthread_mutex_lock(&c->results.lock);
    settle_own_file(c, table, true);
    flatfile_seal(&r->file);
    r->bytes = bytes;
    r->checksum = checksum;
    r->state = TABLE_COMPLETE;
    r->ended_at = clock_ms();
    pthread_mutex_unlock(&c->results.lock);
    c->shown.files_done++;
    tell_settled(c, table);
}

static void fail_table(struct coordinator *c, uint32_t table, const char *why)
{
    struct table_result *r = &c->results.tables[table];

    if (c->failed[table])
        return;
    c->failed[table] = true;
    c->spooled -= r->bytes; /* only this thread writes it */
    pthread_mutex_lock(&c->results.lock);
    r->state = TABLE_FAILED;
    r->ended_at = clock_ms();
    r->error = mem_strdup(why);
    pthread_mutex_unlock(&c->results.lock);
    queue_drop_table(c->queue, table);
    finisher_drop(c->finisher, table);
    settle_own_file(c, table, false);
    tell_settled(c, table);
}

/* The end of the view, or, when others may go on without it, of this table only. */
static int table_failed(struct coordinator *c, uint32_t chunk, const char *why, struct err *err)
{
    uint32_t table = c->cfg.plan->chunks[chunk].table;
    char *name = table_name(c, chunk);

    err_set(err, EIO, "%s: %s", name, why);
    free(name);
    if (!c->cfg.partial)
        return -EIO;
    if (!c->failed[table])
        log_error("%s", err->text);
    fail_table(c, table, why);
    return 0;
}

/* What the spool holds now, the chunks in work included; what failed has given its space back. */
static uint64_t spool_used(const struct coordinator *c)
{
    uint64_t used = c->spooled + c->leader.bytes;
    unsigned i;

    for (i = 0; i < c->crew->n; i++)
        used += c->crew->slots[i].bytes;
    return used;
}

/* The table of this chunk has brought the spool beyond its limit: it fails, the others need not. */
static int check_spool(struct coordinator *c, uint32_t chunk, uint64_t more, struct err *err)
{
    char size[32], why[120];

    if (!c->cfg.spool_limit || spool_used(c) + more <= c->cfg.spool_limit)
        return 0;
    snprintf(why, sizeof(why), "the spool has grown beyond %s (--spool-limit)",
             units_format_size(c->cfg.spool_limit, size, sizeof(size)));
    return table_failed(c, chunk, why, err);
}

/* The bytes of a chunk are in their place. spool: number of the spool file, unused for own files.
 */
static int chunk_done(struct coordinator *c, uint32_t chunk, uint32_t spool,
                      const struct msg_answer *a, struct err *err)
{
    const struct chunk *k = &c->cfg.plan->chunks[chunk];
    struct table_result *r = &c->results.tables[k->table];
    uint64_t offset = c->crew->spools[spool].end;
    int rc;

    queue_done(c->queue, chunk);
    c->shown.done += k->weight;
    if (c->failed[k->table])
        return spool_trim(&c->crew->spools[spool], err);
    rc = check_spool(c, chunk, a->bytes, err);
    if (rc < 0)
        return rc;
    if (c->failed[k->table])
        return spool_trim(&c->crew->spools[spool], err);
    c->shown.bytes += a->bytes;
    c->spooled += a->bytes;
    if (!goes_to_own_file(c, chunk))
        c->crew->spools[spool].end += a->bytes;
    pthread_mutex_lock(&c->results.lock);
    flatfile_set(&r->file, chunk - c->cfg.plan->first[k->table], spool, offset, a->bytes);
    r->rows += a->rows;
    r->bytes += a->bytes;
    r->chunks_done++;
    pthread_mutex_unlock(&c->results.lock);
    if (r->chunks == 1)
        table_complete(c, k->table, a->bytes, a->checksum);
    else
        finisher_add(c->finisher, chunk, spool, offset, a->bytes, a->checksum);
    return 0;
}

static int put_back(struct coordinator *c, uint32_t chunk, const char *why, struct err *err)
{
    char text[ERR_TEXT_MAX];

    if (c->failed[c->cfg.plan->chunks[chunk].table]) {
        queue_done(c->queue, chunk);
        return 0;
    }
    if (queue_put_back(c->queue, chunk))
        return 0;
    snprintf(text, sizeof(text), "given up after %d tries: %s", QUEUE_MAX_TRIES, why);
    return table_failed(c, chunk, text, err);
}

/* ---- workers ---- */

static void show_chunk_progress(struct coordinator *c, uint32_t chunk, uint64_t more)
{
    struct table_result *r = &c->results.tables[c->cfg.plan->chunks[chunk].table];

    pthread_mutex_lock(&c->results.lock);
    r->under_way += more;
    pthread_mutex_unlock(&c->results.lock);
}

/* The worker of this slot is idle again. */
static void slot_rests(struct coordinator *c, struct slot *s)
{
    show_chunk_progress(c, s->chunk, -s->bytes);
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
    if (was_busy && (rc = put_back(c, s->chunk, why, err)) < 0)
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

static int send_chunk(struct coordinator *c, struct slot *s, uint32_t chunk, struct err *err)
{
    const struct chunk *k = &c->cfg.plan->chunks[chunk];
    const struct pg_relation *rel = plan_relation(c->cfg.catalog, k);
    struct msg_chunk m = {.chunk = chunk,
                          .flags = chunk_flags(c, chunk),
                          .offset = c->crew->spools[s->number - 1].end};
    struct buf frame = {0};
    int own_fd = -1, rc = copy_sql(c, chunk, &m.copy_sql, err);

    if (rc == 0 &&
        rel->kind != 'm') /* LOCK TABLE refuses materialized views; lock_timeout serves */
        rc = pg_lock_nowait_sql(c->cfg.leader, rel, &m.lock_sql, err);
    if (goes_to_own_file(c, chunk)) {
        m.flags |= CHUNK_OWN_FILE;
        own_fd = c->own_files[k->table];
    }
    if (rc == 0) {
        msg_put_chunk(&frame, &m);
        rc = msg_send_fd(&s->socket, &frame, own_fd, err);
    }
    buf_free(&frame);
    msg_chunk_free(&m);
    return rc;
}

static int hand_out(struct coordinator *c, unsigned i, struct err *err)
{
    struct slot *s = slot_of(c, i);
    int64_t chunk = queue_take(c->queue);
    int rc;

    if (chunk == QUEUE_EMPTY)
        return 0;
    s->chunk = (uint32_t)chunk;
    s->state = SLOT_BUSY;
    s->bytes = 0;
    s->heard = clock_ms();
    rc = table_started(c, c->cfg.plan->chunks[chunk].table, err);
    if (rc < 0)
        return rc;
    if (send_chunk(c, s, s->chunk, err) < 0) {
        if (err->code != EPIPE && err->code != ECONNRESET)
            return -err->code;
        return worker_lost(c, i, "it is gone", err);
    }
    return 0;
}

static void worker_ready(struct coordinator *c, struct slot *s)
{
    s->state = SLOT_IDLE;
    s->joined = true;
    s->failures = 0;
    pthread_mutex_lock(&c->results.lock);
    c->results.joined = crew_joined(c->crew);
    pthread_mutex_unlock(&c->results.lock);
}

static void give_to_leader(struct coordinator *c, uint32_t chunk)
{
    if (c->failed[c->cfg.plan->chunks[chunk].table])
        queue_done(c->queue, chunk);
    else
        queue_give_to_leader(c->queue, chunk);
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
        return put_back(c, chunk, a->text, err);
    queue_done(c->queue, chunk);
    snprintf(why, sizeof(why), "%s%s%s%s", a->text, place ? ", in " : "",
             place ? c->crew->spool_dir : "",
             full && c->cfg.out_fd < 0 ? " (--spool names a larger place)" : "");
    return table_failed(c, chunk, why, err);
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
        show_chunk_progress(c, s->chunk, a->bytes - s->bytes);
        s->bytes = a->bytes;
        rc = check_spool(c, s->chunk, 0, err);
        if (rc == 0 && c->failed[c->cfg.plan->chunks[s->chunk].table])
            rc = worker_lost(c, i, "its table has failed", err);
        return rc;
    case MSG_DONE:
        slot_rests(c, s);
        return chunk_done(c, s->chunk, i, a, err);
    case MSG_BUSY:
        slot_rests(c, s);
        give_to_leader(c, s->chunk);
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

/* ---- the leader ---- */

static int leader_row(void *arg, const char *bytes, size_t len, struct err *err)
{
    struct coordinator *c = arg;

    return sink_put(c->leader.sink, bytes, len, err);
}

static int leader_target(struct coordinator *c, uint32_t chunk, struct sink_chunk *t,
                         struct err *err)
{
    struct spool *spool = &c->crew->spools[c->crew->n];
    uint32_t flags = chunk_flags(c, chunk);
    int rc;

    *t = (struct sink_chunk){
        .binary = flags & CHUNK_BINARY, .first = flags & CHUNK_FIRST, .last = flags & CHUNK_LAST};
    if (goes_to_own_file(c, chunk)) {
        t->fd = c->own_files[c->cfg.plan->chunks[chunk].table];
        return ftruncate(t->fd, 0) < 0 ? err_errno(err, "cannot empty a file") : 0;
    }
    rc = crew_open_spool(c->crew, c->crew->n, err);
    t->fd = spool->fd;
    t->offset = spool->end;
    return rc;
}

static int leader_start(struct coordinator *c, uint32_t chunk, struct err *err)
{
    struct leader_work *l = &c->leader;
    struct sink_chunk target;
    int rc;

    free(l->copy_sql);
    l->copy_sql = NULL;
    rc = copy_sql(c, chunk, &l->copy_sql, err);
    if (rc == 0)
        rc = table_started(c, c->cfg.plan->chunks[chunk].table, err);
    if (rc == 0)
        rc = leader_target(c, chunk, &target, err);
    if (rc < 0)
        return rc;
    if (!l->sink)
        l->sink = sink_new();
    sink_begin(l->sink, &target);
    l->copy = (struct pg_copy){.copy_sql = l->copy_sql, .data = leader_row, .arg = c};
    l->chunk = chunk;
    l->busy = true;
    l->heard = clock_ms();
    l->bytes = 0;
    return pg_copy_start(c->cfg.leader, &l->copy, NULL, err);
}

static int leader_finished(struct coordinator *c, struct err *err)
{
    struct leader_work *l = &c->leader;
    int rc = sink_end(l->sink, err);
    struct msg_answer a = {
        .bytes = sink_bytes(l->sink), .rows = l->copy.rows, .checksum = sink_checksum(l->sink)};

    l->busy = false;
    l->bytes = 0;
    if (rc < 0)
        return rc;
    return chunk_done(c, l->chunk, c->crew->n, &a, err);
}

/*
 * The leader has the table's lock, but not that of an index which is just being rebuilt, say; the
 * planner looks at all of them. It comes again until that is over (or --hold-limit is).
 */
static int leader_blocked(struct coordinator *c, uint32_t chunk, struct err *err)
{
    log_debug("chunk %u: something of its table is locked; trying again", chunk);
    give_to_leader(c, chunk);
    return c->crew->spools[c->crew->n].fd < 0 ? 0 : spool_trim(&c->crew->spools[c->crew->n], err);
}

static int leader_lost(struct err *err)
{
    return err_prefix(err, "the leader's connection, which holds locks and snapshot, is lost");
}

static int hear_leader(struct coordinator *c, struct err *err)
{
    struct leader_work *l = &c->leader;
    char why[ERR_TEXT_MAX];
    int rc;

    if (!l->busy) {
        rc = pg_conn_check(c->cfg.leader, err);
        return rc < 0 ? leader_lost(err) : 0;
    }
    l->heard = clock_ms();
    l->bytes = sink_bytes(l->sink);
    rc = pg_copy_step(c->cfg.leader, &l->copy, err);
    if (rc == PG_COPY_MORE)
        return 0;
    if (rc == PG_COPY_DONE)
        return leader_finished(c, err);
    if (rc != PG_COPY_BUSY && (rc == -ECONNRESET || !pg_conn_is_ready(c->cfg.leader)))
        return leader_lost(err);
    l->busy = false;
    if (rc == PG_COPY_BUSY)
        return leader_blocked(c, l->chunk, err);
    queue_done(c->queue, l->chunk);
    snprintf(why, sizeof(why), "%s", err->text);
    return table_failed(c, l->chunk, why, err);
}

static int use_leader(struct coordinator *c, int64_t now, struct err *err)
{
    int64_t chunk;

    if (c->leader.busy && now - c->leader.heard > c->crew->worker_timeout_ms)
        return err_set(err, ETIMEDOUT, "the leader's connection is silent (--worker-timeout)");
    if (c->leader.busy || c->released)
        return 0;
    chunk = queue_take_for_leader(c->queue);
    if (chunk == QUEUE_EMPTY)
        return 0;
    log_debug("chunk %lld goes to the leader: somebody waits to lock its table", (long long)chunk);
    return leader_start(c, (uint32_t)chunk, err);
}

static void dump_done(struct coordinator *c, const char *why)
{
    pthread_mutex_lock(&c->results.lock);
    if (why)
        c->results.schema_error = mem_strdup(why);
    else
        buf_put(&c->results.schema, c->cfg.dump->text.data, c->cfg.dump->text.len);
    c->results.schema_done = true;
    pthread_mutex_unlock(&c->results.lock);
    tell_settled(c, c->cfg.plan->ntables);
}

static void hear_dump(struct coordinator *c)
{
    struct err why;
    int rc = pg_dump_read(c->cfg.dump, &why);

    if (rc != 0)
        dump_done(c, rc < 0 ? why.text : NULL);
}

/* Only pg_dump is left: it is not waited for when it waits for somebody who waits for us. */
static void check_dump(struct coordinator *c, int64_t now)
{
    struct err why;
    bool was_blocked;

    if (!c->cfg.dump->pid || now - c->dump_checked < DUMP_CHECK_MS)
        return;
    c->dump_checked = now;
    was_blocked = c->dump_was_blocked;
    c->dump_was_blocked = pg_dump_is_blocked(c->cfg.leader);
    if (was_blocked && c->dump_was_blocked) {
        pg_dump_give_up(c->cfg.dump, &why);
        dump_done(c, why.text);
    }
}

static void note_released(struct coordinator *c)
{
    pthread_mutex_lock(&c->results.lock);
    c->results.released = true;
    c->results.released_at = clock_ms();
    pthread_mutex_unlock(&c->results.lock);
    c->released = true;
}

/* Nothing is left to read from the server: give locks and snapshot back, let the workers go. */
static int release(struct coordinator *c, struct err *err)
{
    unsigned i;

    if (c->released || queue_left(c->queue) || c->leader.busy)
        return 0;
    check_dump(c, clock_ms());
    if (c->cfg.dump->pid)
        return 0;
    for (i = 0; i < c->crew->n; i++)
        slot_end(slot_of(c, i));
    note_released(c);
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

/* ---- the loop ---- */

/* No more workers than chunks that are left. */
static bool may_start(const struct coordinator *c, const struct slot *s, int64_t now)
{
    unsigned i, running = 0;

    if (!c->cfg.can_join || s->state != SLOT_EMPTY || now < s->not_before)
        return false;
    for (i = 0; i < c->crew->n; i++)
        running += c->crew->slots[i].pid > 0;
    return running < queue_left(c->queue);
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
    return rc < 0 ? rc : use_leader(c, now, err);
}

static size_t set_polls(struct coordinator *c)
{
    unsigned i;

    c->polls[POLL_STOP] = (struct pollfd){.fd = c->cfg.stop_fd, .events = POLLIN};
    c->polls[POLL_WANTED] = (struct pollfd){.fd = c->wanted_fd, .events = POLLIN};
    c->polls[POLL_LEADER] =
        (struct pollfd){.fd = c->released ? -1 : pg_conn_socket(c->cfg.leader), .events = POLLIN};
    c->polls[POLL_DUMP] =
        (struct pollfd){.fd = c->cfg.dump->pid ? c->cfg.dump->out_fd : -1, .events = POLLIN};
    c->polls[POLL_DUMP_ERRORS] =
        (struct pollfd){.fd = c->cfg.dump->pid ? c->cfg.dump->err_fd : -1, .events = POLLIN};
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
        hear_dump(c);
    if (c->polls[POLL_LEADER].revents)
        rc = hear_leader(c, err);
    for (i = 0; i < c->crew->n && rc == 0; i++)
        if (c->polls[POLL_SLOTS + i].revents && c->crew->slots[i].pid)
            rc = hear_worker(c, i, err);
    return rc;
}

static void show_progress(struct coordinator *c)
{
    struct progress_state s = c->shown;
    unsigned i;

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

static int finish_some(struct coordinator *c, struct err *err)
{
    struct finished done;
    int rc = finisher_step(c->finisher, &done, err);

    if (rc < 0)
        return err_prefix(err, "%s", c->crew->spool_dir);
    if (rc > 0)
        table_complete(c, done.table, done.bytes, done.checksum);
    return 0;
}

static int turn(struct coordinator *c, struct err *err)
{
    int rc = give_work(c, err);
    size_t n;

    if (rc < 0)
        return rc;
    n = set_polls(c);
    if (poll(c->polls, n, finisher_has_work(c->finisher) ? 0 : TICK_MS) < 0 && errno != EINTR)
        return err_errno(err, "poll failed");
    rc = hear_all(c, err);
    if (rc == 0)
        rc = give_work(c, err); /* before the finisher takes its time */
    if (rc == 0)
        rc = finish_some(c, err);
    if (rc == 0)
        rc = release(c, err);
    show_progress(c);
    return rc;
}

/* What is not complete now never will be. */
static void fail_rest(struct coordinator *c, const char *why)
{
    uint32_t t;

    for (t = 0; t < c->cfg.plan->ntables; t++)
        if (c->results.tables[t].state != TABLE_COMPLETE) /* only this thread writes it */
            fail_table(c, t, why);
    if (c->results.schema_done)
        return;
    pthread_mutex_lock(&c->results.lock);
    c->results.schema_error = mem_strdup(why);
    c->results.schema_done = true;
    pthread_mutex_unlock(&c->results.lock);
    tell_settled(c, c->cfg.plan->ntables);
}

/* Protocol lock: materialized views cannot be locked, so only the leader's snapshot can show them.
 */
static void set_aside_matviews(struct coordinator *c)
{
    uint32_t k;

    for (k = 0; c->cfg.matviews_by_leader && k < c->cfg.plan->nchunks; k++)
        if (plan_relation(c->cfg.catalog, &c->cfg.plan->chunks[k])->kind == 'm')
            queue_give_to_leader(c->queue, k);
}

int coordinator_run(struct coordinator *c, struct err *err)
{
    unsigned i;
    int rc = 0;

    set_aside_matviews(c);
    while (rc == 0 && (!c->released || finisher_has_work(c->finisher)))
        rc = turn(c, err);
    for (i = 0; i < c->crew->n; i++)
        slot_kill(slot_of(c, i));
    if (rc < 0)
        fail_rest(c, err->text);
    pthread_mutex_lock(&c->results.lock);
    c->results.released =
        true; /* after a failure: the caller closes the leader's connection at once */
    c->results.released_at = c->released ? c->results.released_at : clock_ms();
    c->results.ended = true;
    c->results.ended_at = clock_ms();
    pthread_mutex_unlock(&c->results.lock);
    progress_end(c->cfg.progress);
    return rc;
}
