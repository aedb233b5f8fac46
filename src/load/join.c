/*
 * The coordinator of who joins has a ledger and a crew of snapshot workers, as the leader's has, over
 * a plan that is read, not made. But nothing is released, finished or published here, and a chunk
 * whose table somebody waits to lock is the leader's affair, who alone gets through.
 *
 * The session of the source stays in the leader's snapshot, and the one of the second database asks
 * now and then what others have done, and whether the leader is there.
 */
#include "load/join.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/progress.h"
#include "common/stop.h"
#include "common/units.h"
#include "extract/filter.h"
#include "extract/workers.h"
#include "pg/freeze.h"
#include "pg/share.h"
#include "pg/snaptable.h"
#include "pg/typeform.h"

#define TICK_MS 250
#define LOOK_EVERY_MS 500

struct join {
    const struct join_request *req;
    struct pg_target source, target;
    struct pg_conn *from, *to;
    struct pg_share *share;
    struct plan plan;
    struct results *results;
    struct extract_direct direct;
    struct extract_direct_table *tables;
    struct extract_guest guest;
    struct ledger *ledger;
    struct workers *workers;
    bool *open;        /* by table */
    char *lc_monetary; /* in which our workers write money; NULL: unknown in the second database */
    struct pg_share_look look;
    int64_t looked, started; /* clock_ms */
    struct progress progress;
    size_t nchunks;
    uint64_t rows, bytes;
};

/* ---- both databases ---- */

static struct pg_session session_of(const struct join *j, const char *title, const char *timezone)
{
    return (struct pg_session){.application_name = title,
                               .timezone = timezone,
                               .stop_fd = j->req->stop_fd,
                               .connect_timeout_ms = j->req->worker_timeout_ms,
                               .query_timeout_ms = j->req->worker_timeout_ms};
}

static int open_target(struct join *j, struct err *err)
{
    char *title = mem_printf("asofs %s join", j->req->name);
    struct pg_session session = session_of(j, title, "UTC");
    int rc;

    pg_target_init(&j->target, j->req->target);
    rc = pg_second_open(&j->to, &j->target, &session, NULL, err);
    if (rc == 0)
        pg_conn_pin(j->to, &j->target);
    free(title);
    return rc < 0 ? err_prefix(err, "the second database") : 0;
}

/* The leader may be about to begin. */
static int find_copy(struct join *j, struct err *err)
{
    int64_t until = clock_ms() + j->req->wait_ms;
    int rc;

    while ((rc = pg_share_read(j->to, j->req->name, &j->share, err)) == -ENOENT || rc == -EAGAIN) {
        if (clock_ms() >= until)
            return rc;
        if (stop_within(j->req->stop_fd, TICK_MS))
            return err_set(err, EINTR, "interrupted");
    }
    return rc;
}

/* The leader has refused columns with money where it is unknown. */
static int note_monetary(struct join *j, const char *lc_monetary, struct err *err)
{
    bool takes = false;
    int rc = pg_typeform_takes_monetary(j->to, lc_monetary, &takes, err);

    if (takes)
        j->lc_monetary = mem_strdup(lc_monetary);
    return rc;
}

/* A snapshot of another server can have the same name. */
static int check_source(struct join *j, struct err *err)
{
    const struct pg_share *s = j->share;
    struct pg_server server = {0};
    int rc = pg_conn_inspect(j->from, &server, err);

    if (rc == 0 && strcmp(server.system_identifier, s->system_identifier) != 0)
        rc = err_set(
            err, EINVAL,
            "SOURCE is a server with the system identifier \"%s\", and the copy \"%s\" is one "
            "of \"%s\"",
            server.system_identifier, j->req->name, s->system_identifier);
    else if (rc == 0 && strcmp(server.database, s->database) != 0)
        rc = err_set(err, EINVAL,
                     "SOURCE is the database \"%s\", and the copy \"%s\" is one of \"%s\"",
                     server.database, j->req->name, s->database);
    if (rc == 0)
        rc = note_monetary(j, server.lc_monetary, err);
    pg_server_free(&server);
    return rc;
}

static int check_filters(const struct join *j, struct err *err)
{
    const struct pg_catalog *c = j->share->catalog;
    size_t i;

    for (i = 0; i < c->ntables; i++)
        if (c->tables[i].filter && filter_check(c->tables[i].filter, err) < 0)
            return err_prefix(err, "%s.%s", c->tables[i].rel.schema, c->tables[i].rel.name);
    return pg_filter_check(j->from, c, err);
}

static int open_source(struct join *j, struct err *err)
{
    char *title = mem_printf("asofs %s join", j->req->name);
    struct pg_session session = session_of(j, title, j->share->timezone);
    int rc;

    pg_target_init(&j->source, j->req->source);
    rc = pg_conn_open(&j->from, &j->source, &session, err);
    free(title);
    if (rc < 0)
        return rc;
    pg_conn_pin(j->from, &j->source);
    rc = check_source(j, err);
    if (rc < 0)
        return rc;
    rc = pg_freeze_join(j->from, j->share->snapshot_id, err);
    if (rc < 0)
        return err_prefix(err, "the snapshot of the copy's leader cannot be had (has it ended?)");
    return check_filters(j, err);
}

/* ---- what there is to do ---- */

static bool is_open(void *arg, size_t table)
{
    return ((struct join *)arg)->open[table];
}

/* Without bytes: it was done by somebody else. */
static int note_loaded(void *arg, size_t table, uint32_t chunk, uint64_t rows, uint64_t bytes,
                       struct err *err)
{
    struct join *j = arg;

    (void)table, (void)chunk, (void)err;
    if (!bytes)
        return 0;
    j->nchunks++;
    j->rows += rows;
    j->bytes += bytes;
    return 0;
}

static void make_plan(struct join *j)
{
    const struct pg_share *s = j->share;
    struct chunk *chunks = mem_array(s->nchunks + 1, sizeof(*chunks));
    size_t k;

    for (k = 0; k < s->nchunks; k++)
        chunks[k] = (struct chunk){.table = s->chunks[k].table,
                                   .leaf = s->chunks[k].leaf,
                                   .range = s->chunks[k].range,
                                   .weight = s->chunks[k].weight};
    plan_join(&j->plan, chunks, s->nchunks, s->catalog->ntables);
    free(chunks);
}

static int copyin_sql(const struct join *j, size_t i, char **sql, struct err *err)
{
    const struct pg_table *t = &j->share->catalog->tables[i];
    const struct pg_share_table *s = &j->share->tables[i];
    struct pg_snaptable to = {.name = t->rel.name, .ncolumns = t->ncolumns};
    size_t k;
    int rc;

    to.columns = mem_array(t->ncolumns + 1, sizeof(*to.columns));
    for (k = 0; k < t->ncolumns; k++)
        to.columns[k] = (struct pg_snapcolumn){.name = t->columns[k].name, .skip = s->skip[k]};
    rc = pg_snaptable_copy_sql(j->from, &to, s->target_schema, s->format, j->share->encoding, false,
                               sql, err);
    free(to.columns);
    return rc;
}

static int make_direct(struct join *j, struct err *err)
{
    const struct pg_catalog *c = j->share->catalog;
    size_t i;
    int rc = 0;

    j->tables = mem_array(c->ntables + 1, sizeof(*j->tables));
    for (i = 0; i < c->ntables && rc == 0; i++) {
        char *sql = NULL;

        rc = copyin_sql(j, i, &sql, err);
        j->tables[i] = (struct extract_direct_table){.name = c->tables[i].rel.name,
                                                     .copy_sql = sql,
                                                     .format = j->share->tables[i].format,
                                                     .skip = j->share->tables[i].skip,
                                                     .first_chunk = (uint32_t)j->plan.first[i]};
    }
    j->direct = (struct extract_direct){.target = &j->target,
                                        .name = j->req->name,
                                        .run = j->share->run,
                                        .lc_monetary = j->lc_monetary,
                                        .lock_timeout_ms = j->req->lock_timeout_ms,
                                        .tables = j->tables,
                                        .loaded = note_loaded,
                                        .arg = j};
    j->guest = (struct extract_guest){.is_open = is_open, .arg = j, .direct = &j->direct};
    return rc;
}

static void make_crew(struct join *j)
{
    struct workers *w = workers_new(j->req->jobs, j->req->worker_timeout_ms);
    struct ledger_config config = {.catalog = j->share->catalog,
                                   .plan = &j->plan,
                                   .results = j->results,
                                   .leader = j->from,
                                   .spools = w->spools,
                                   .spool_dir = j->req->spool_dir,
                                   .encoding = j->share->encoding,
                                   .out_fd = -1,
                                   .guest = &j->guest};

    w->spool_dir = j->req->spool_dir;
    w->target = &j->source;
    w->timezone = j->share->timezone;
    w->snapshot_id = j->share->snapshot_id;
    j->workers = w;
    j->ledger = ledger_new(&config);
    workers_begin(w, j->ledger, j->results, true);
}

/* ---- what others do ---- */

static void note_opened(void *arg, uint32_t table)
{
    struct join *j = arg;

    if (table < j->share->catalog->ntables)
        j->open[table] = true;
}

static void note_done(void *arg, uint32_t chunk)
{
    struct join *j = arg;

    if (chunk < j->plan.nchunks)
        ledger_done_elsewhere(j->ledger, chunk);
}

static int look_at_leader(struct join *j, struct err *err)
{
    j->looked = clock_ms();
    return pg_share_look(j->to, j->req->name, j->share->run, &j->look, err);
}

static bool is_over(const struct join *j)
{
    return !ledger_left(j->ledger) || j->look.loaded;
}

static int check_leader(const struct join *j, struct err *err)
{
    if (is_over(j) || j->look.there)
        return 0;
    return err_set(err, ESTALE, "the leader of the copy \"%s\" has ended before all was loaded",
                   j->req->name);
}

static int prepare_work(struct join *j, struct err *err)
{
    int rc;

    make_plan(j);
    j->results = results_new(&j->plan);
    j->open = mem_array(j->plan.ntables + 1, sizeof(*j->open));
    rc = make_direct(j, err);
    if (rc < 0)
        return rc;
    make_crew(j);
    j->look = (struct pg_share_look){.opened = note_opened, .done = note_done, .arg = j};
    return look_at_leader(j, err);
}

/* ---- the loop ---- */

static void show_progress(struct join *j)
{
    struct progress_state s;

    ledger_get_progress(j->ledger, &s);
    workers_add_progress(j->workers, &s);
    progress_show(&j->progress, &s, clock_ms());
}

static int hear_hosts(struct join *j, const struct pollfd *polls, struct err *err)
{
    int rc = 0;

    if (polls[0].revents)
        return err_set(err, EINTR, "interrupted");
    if (polls[1].revents)
        rc = pg_conn_check(j->from, err);
    if (rc == 0 && polls[2].revents && (rc = pg_conn_check(j->to, err)) < 0)
        err_prefix(err, "the second database");
    return rc < 0 ? rc : crew_hear(&j->workers->crew, polls + 3, err);
}

static int take_turn(struct join *j, struct pollfd *polls, struct err *err)
{
    int64_t now = clock_ms();
    int rc = now - j->looked >= LOOK_EVERY_MS ? look_at_leader(j, err) : 0;

    if (rc == 0)
        rc = check_leader(j, err);
    if (rc == 0)
        rc = crew_work(&j->workers->crew, now, err);
    if (rc < 0)
        return rc;
    polls[0] = (struct pollfd){.fd = j->req->stop_fd, .events = POLLIN};
    polls[1] = (struct pollfd){.fd = pg_conn_socket(j->from), .events = POLLIN};
    polls[2] = (struct pollfd){.fd = pg_conn_socket(j->to), .events = POLLIN};
    crew_set_polls(&j->workers->crew, polls + 3);
    if (poll(polls, 3 + j->workers->crew.n, TICK_MS) < 0 && errno != EINTR)
        return err_errno(err, "poll failed");
    show_progress(j);
    return hear_hosts(j, polls, err);
}

/* Who comes when the leader has got all it wants finds no snapshot any more. */
static bool was_late(struct join *j, int rc)
{
    struct err ignored;

    return rc != -EINTR && look_at_leader(j, &ignored) == 0 && is_over(j);
}

static int load_chunks(struct join *j, struct err *err)
{
    struct pollfd *polls = mem_array(3 + j->workers->crew.n, sizeof(*polls));
    int rc = 0;

    progress_start(&j->progress, j->req->quiet);
    while (rc == 0 && !is_over(j))
        rc = take_turn(j, polls, err);
    if (rc < 0 && was_late(j, rc))
        rc = 0;
    progress_end(&j->progress);
    free(polls);
    if (rc == 0)
        crew_end(&j->workers->crew);
    return rc;
}

/* ---- the end ---- */

static void print_summary(const struct join *j)
{
    char size[32];

    if (j->req->quiet)
        return;
    log_note("\"%s\" is loaded: of its %zu part%s %zu from here, with %llu rows, %s in %.1f s",
             j->req->name, j->plan.nchunks, units_s(j->plan.nchunks), j->nchunks,
             (unsigned long long)j->rows, units_format_size(j->bytes, size, sizeof(size)),
             (double)(clock_ms() - j->started) / 1000);
}

static void close_all(struct join *j)
{
    size_t i;

    workers_free(j->workers);
    ledger_free(j->ledger);
    results_free(j->results);
    for (i = 0; j->tables && i < j->share->catalog->ntables; i++)
        free((char *)(uintptr_t)j->tables[i].copy_sql);
    free(j->tables);
    free(j->open);
    free(j->lc_monetary);
    plan_free(&j->plan);
    pg_share_free(j->share);
    pg_conn_close(j->from);
    pg_conn_close(j->to);
    pg_target_free(&j->source);
    pg_target_free(&j->target);
}

int join_run(const struct join_request *req, struct err *err)
{
    struct join j = {.req = req, .started = clock_ms()};
    int rc = open_target(&j, err);

    if (rc == 0)
        rc = find_copy(&j, err);
    if (rc == 0)
        rc = open_source(&j, err);
    if (rc == 0)
        rc = prepare_work(&j, err);
    if (rc == 0)
        rc = load_chunks(&j, err);
    if (rc == 0)
        print_summary(&j);
    close_all(&j);
    return rc;
}
