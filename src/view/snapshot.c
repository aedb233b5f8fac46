#include "view/snapshot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "common/units.h"
#include "extract/lockfreeze.h"
#include "pg/heaps.h"
#include "pg/trust.h"
#include "render/zone.h"
#include "view/describe.h"
#include "view/internal.h"
#include "view/remember.h"
#include "view/rendering.h"

#define CONNECT_TIMEOUT_MS 30000

/* SQL_ASCII says nothing about bytes above 127; the server refuses to take them for UTF8. */
static void choose_encoding(struct snapshot *s)
{
    s->encoding = s->req.encoding                                ? s->req.encoding
                  : strcmp(s->server.encoding, "SQL_ASCII") == 0 ? "SQL_ASCII"
                                                                 : "UTF8";
}

static int connect_leader(struct snapshot *s, struct err *err)
{
    struct pg_session session = {
        .application_name = "asofs leader",
        .timezone = s->req.timezone,
        .stop_fd = s->req.stop_fd,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .query_timeout_ms = s->req.lock_timeout_ms + s->req.worker_timeout_ms,
    };
    int rc = pg_conn_open(&s->leader, &s->target, &session, err);

    if (rc < 0)
        return rc;
    pg_conn_pin(s->leader, &s->target);
    s->source = pg_target_describe(s->leader);
    rc = pg_conn_inspect(s->leader, &s->server, err);
    if (rc < 0)
        return rc;
    choose_encoding(s);
    return pg_conn_check_encoding(s->leader, &s->server, s->encoding, err);
}

static void tell_left_out(const struct snapshot *s)
{
    bool one_of_several = s->req.may_miss;
    struct buf b = {0};
    int why;

    for (why = 0; why < PG_WHYS && !s->req.looking; why++) {
        buf_clear(&b);
        if (one_of_several)
            buf_printf(&b, "database \"%s\": ", s->server.database);
        if (pg_catalog_put_left_out(s->catalog, (enum pg_why)why, &b))
            log_note("%s", b.data);
    }
    buf_free(&b);
}

static struct workers *make_workers(const struct snapshot *s)
{
    struct workers *w = workers_new(s->req.jobs, s->req.worker_timeout_ms);

    w->crew.closed = s->req.freeze_by_lock;
    w->spool_dir = s->req.spool_dir;
    w->target = &s->target;
    w->timezone = s->req.timezone;
    return w;
}

static int freeze_tables(struct snapshot *s, struct err *err)
{
    const struct snapshot_request *req = &s->req;
    struct pg_freeze_request f = {.server = &s->server,
                                  .entries = req->tables.entries,
                                  .nentries = req->tables.n,
                                  .may_miss = req->may_miss,
                                  .readable = req->readable,
                                  .binary = req->format == PG_FORMAT_BINARY,
                                  .lock_timeout_ms = req->lock_timeout_ms,
                                  .sessions = req->freeze_by_lock ? req->jobs + 1 : 1};
    struct lockfreeze_request l = {
        .freeze = f, .freeze_timeout_ms = req->freeze_timeout_ms, .stop_fd = req->stop_fd};
    int rc;

    s->locked = clock_ms();
    if (req->freeze_by_lock)
        return lockfreeze_run(s->workers, s->leader, &l, &s->catalog, &s->moment, err);
    rc = pg_freeze_export(s->leader, &f, &s->catalog, &s->moment, err);
    s->workers->snapshot_id = s->moment.snapshot_id;
    return rc;
}

/* The private server of a page view says when it was asked; what counts is what it shows. */
static void say_what_is_shown(struct snapshot *s, const struct snapshot_shown *shown)
{
    char lsn[LSN_TEXT_MAX], seconds[32];
    time_t t = (time_t)(shown->unix_us / 1000000);
    struct tm tm;

    free(s->source);
    s->source = mem_strdup(shown->source);
    free(s->moment.lsn);
    s->moment.lsn = mem_strdup(lsn_text(shown->lsn, lsn));
    if (!shown->unix_us)
        return;
    s->moment.unix_ns = shown->unix_us * 1000;
    free(s->moment.time);
    gmtime_r(&t, &tm);
    strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm);
    s->moment.time = mem_printf("%s.%06dZ", seconds, (int)(shown->unix_us % 1000000));
}

static uint64_t rendered_bytes(const struct snapshot *s)
{
    uint64_t bytes = 0;
    size_t i;

    for (i = 0; i < s->catalog->ntables; i++)
        if (snapshot_renders(s, i))
            bytes += s->results->tables[i].estimate;
    return bytes;
}

/* Of a filtered table nobody knows how much will come; what is rendered needs no spool. */
static uint64_t source_bytes(const struct snapshot *s, bool is_spool)
{
    uint64_t bytes = is_spool ? 0 : rendered_bytes(s);
    size_t k;

    for (k = 0; k < s->plan.nchunks; k++)
        if (!s->catalog->tables[s->plan.chunks[k].table].filter)
            bytes += s->plan.chunks[k].weight;
    return bytes;
}

/*
 * Text is about as long as the pages it comes from: shorter by row headers and free space, longer
 * by numbers and quotes. What is sure to fail is refused; what may fail is left to the limit and
 * the file system.
 */
int snapshot_check_space(const struct snapshot *s, const char *dir, bool is_spool, struct err *err)
{
    char need[32], have[32];
    struct statvfs fs;
    uint64_t room;

    if (s->req.guest && is_spool) /* nothing stays in it */
        return 0;
    if (statvfs(dir, &fs) < 0)
        return err_errno(err, "cannot use %s for %s files", dir, is_spool ? "spool" : "these");
    room = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (s->req.spool_limit && s->req.spool_limit < room)
        room = s->req.spool_limit;
    if (source_bytes(s, is_spool) / 2 <= room)
        return 0;
    return err_set(err, ENOSPC,
                   "the tables have %s, and %s has room for %s%s\n"
                   "take fewer tables, or %s",
                   units_format_size(source_bytes(s, is_spool), need, sizeof(need)), dir,
                   units_format_size(room, have, sizeof(have)),
                   s->req.spool_limit ? " (--spool-limit)" : "",
                   is_spool ? "give --spool a larger place" : "write to a larger disk");
}

/* ---- what is rendered ---- */

static uint64_t table_bytes(const struct pg_table *t)
{
    uint64_t bytes = t->rel.bytes;
    size_t i;

    for (i = 0; i < t->nleaves; i++)
        bytes += t->leaves[i].bytes;
    return bytes;
}

static void choose_rendered(struct snapshot *s)
{
    const struct described *d = s->described;
    uint64_t bytes = 0;
    size_t i;

    for (i = 0; i < d->ntables; i++)
        if (!d->tables[i].copied)
            bytes += table_bytes(&s->catalog->tables[i]);
    if (s->req.render != SNAPSHOT_RENDER && !rendering_pays(bytes, s->req.replayed))
        return;
    s->rendered = mem_array(d->ntables + 1, sizeof(*s->rendered));
    for (i = 0; i < d->ntables; i++)
        s->rendered[i] = !d->tables[i].copied;
}

const char *snapshot_why_copied(const struct snapshot *s, size_t table)
{
    if (!s->rendered)
        return s->described ? "quicker so" : "";
    return s->rendered[table] ? "" : s->described->tables[table].copied;
}

static int describe_snapshot(struct snapshot *s, struct err *err)
{
    struct render_zone *zone = render_zone_new(s->req.timezone);
    struct describe_request d = {.catalog = s->catalog,
                                 .format = s->req.format,
                                 .encoding = s->encoding,
                                 .timezone = s->req.timezone,
                                 .has_zone = zone,
                                 .zone = zone};
    struct pg_heaps *heaps = NULL;
    int rc = pg_heaps_read(s->leader, s->catalog, &heaps, err);

    if (rc == 0) {
        d.heaps = heaps;
        s->described = describe_tables(&d);
        pg_heaps_free(heaps);
        choose_rendered(s);
    }
    render_zone_free(zone);
    return rc;
}

static void estimate_rendered(struct snapshot *s)
{
    size_t i;

    for (i = 0; i < s->catalog->ntables; i++)
        if (snapshot_renders(s, i))
            s->results->tables[i].estimate = table_bytes(&s->catalog->tables[i]);
}

/* Code that a base brings is no danger as long as nobody runs it: what is rendered runs none. */
static int refuse_code(const struct snapshot *s, struct err *err)
{
    struct buf b = {0};
    size_t i;
    int rc;

    for (i = 0; i < s->catalog->ntables && !s->req.trust_base; i++) {
        const struct described_table *d = &s->described->tables[i];

        if (snapshot_renders(s, i) || !d->runs_code)
            continue;
        buf_puts(&b, b.len ? ", " : "");
        pg_pattern_put(&b, s->catalog->tables[i].rel.schema, s->catalog->tables[i].rel.name);
        buf_printf(&b, " (%s)", d->copied);
    }
    if (!b.len)
        return 0;
    rc = err_set(err, EACCES, "reading tables would run code that the base brought: %s", b.data);
    err_hint(err,
             "leave them out (-T); --trust-base allows it, if you know where the base comes from");
    buf_free(&b);
    return rc;
}

static int look_at_tables(struct snapshot *s, struct err *err)
{
    int rc = 0;

    if (s->of_store && s->req.render != SNAPSHOT_COPY)
        rc = describe_snapshot(s, err);
    if (rc == 0 && s->described)
        rc = refuse_code(s, err);
    if (rc == 0)
        plan_make_part(&s->plan, s->catalog, s->req.chunk_size, s->rendered);
    return rc;
}

/* ---- what is remembered ---- */

/* What only a server can refuse, or take. */
static int check_recalled(const struct snapshot *s, struct err *err)
{
    struct render_zone *zone = render_zone_new(s->req.timezone);
    bool known = zone && s->req.shown && s->req.shown->unix_us;
    size_t i;

    render_zone_free(zone);
    if (!known || (s->req.encoding && !s->catalog->ntables))
        return err_set(err, EREMOTE, "settings that a server looks at");
    for (i = 0; i < s->catalog->ntables; i++)
        if (!snapshot_renders(s, i))
            return err_set(err, EREMOTE, "a table is copied");
    return 0;
}

static int recall_tables(struct snapshot *s, struct err *err)
{
    const struct snapshot_request *req = &s->req;
    const struct pg_catalog_how how = {
        .exact_sizes = true, .may_miss = req->may_miss, .readable = req->readable};
    int rc;

    s->leader = pg_memory_connect(req->recalled->memory);
    pg_memory_server(req->recalled->memory, &s->server);
    choose_encoding(s);
    s->locked = clock_ms();
    rc = pg_catalog_read(s->leader, &s->server, req->tables.entries, req->tables.n, &how,
                         &s->catalog, err);
    if (rc == 0)
        rc = look_at_tables(s, err);
    pg_conn_close(s->leader);
    s->leader = NULL;
    return rc == 0 ? check_recalled(s, err) : rc;
}

static int ask_server(struct snapshot *s, struct err *err)
{
    int rc = connect_leader(s, err);

    if (rc == 0 && s->of_store && s->req.render == SNAPSHOT_COPY && !s->req.trust_base)
        rc = pg_refuse_foreign_code(s->leader, err);
    if (rc == 0)
        rc = freeze_tables(s, err);
    return rc == 0 ? look_at_tables(s, err) : rc;
}

int snapshot_freeze(const struct snapshot_request *req, struct snapshot **snapshot, struct err *err)
{
    struct snapshot *s = mem_alloc(sizeof(*s));
    int rc;

    s->req = *req;
    s->of_store = req->shown;
    s->dump = (struct pg_dump){.out_fd = -1, .err_fd = -1};
    s->started = clock_ms();
    pg_target_init(&s->target, req->source);
    s->workers = make_workers(s);
    rc = req->recalled ? recall_tables(s, err) : ask_server(s, err);
    if (rc < 0) {
        snapshot_free(s);
        return rc;
    }
    if (req->shown)
        say_what_is_shown(s, req->shown);
    s->frozen = clock_ms();
    tell_left_out(s);
    s->results = results_new(&s->plan);
    estimate_rendered(s);
    tree_make(&s->tree, s->catalog, req->format, req->pages, req->compress ? s->rendered : NULL);
    *snapshot = s;
    return 0;
}

void snapshot_free(struct snapshot *s)
{
    if (!s)
        return;
    pg_dump_free(&s->dump);
    coordinator_free(s->coordinator);
    results_free(s->results);
    described_free(s->described);
    free(s->rendered);
    workers_free(s->workers);
    pg_conn_close(s->leader);
    tree_free(&s->tree);
    plan_free(&s->plan);
    pg_catalog_free(s->catalog);
    pg_moment_free(&s->moment);
    pg_server_free(&s->server);
    pg_target_free(&s->target);
    free(s->source);
    free(s);
}

struct timespec snapshot_time(const struct snapshot *s)
{
    return (struct timespec){.tv_sec = s->moment.unix_ns / 1000000000,
                             .tv_nsec = s->moment.unix_ns % 1000000000};
}

/* pg_dump fails at a table that may not be read. */
static bool may_dump_everything(const struct snapshot *s)
{
    const struct pg_catalog *c = s->catalog;
    size_t i;

    for (i = 0; i < c->nleft_out; i++)
        if (c->left_out[i].why == PG_DENIED || c->left_out[i].why == PG_POLICY)
            return false;
    return s->req.tables.n == 0;
}

/* No pg_dump is no reason to fail: schema.sql then says what is missing. Of a database of which
 * nothing is taken it would be asked for everything. */
static void start_dump(struct snapshot *s, bool shown)
{
    struct err why;

    if (!shown) {
        results_set_schema(s->results, NULL, "nobody looks at it");
        return;
    }
    if (!may_dump_everything(s) && !s->catalog->ntables)
        return;
    if (pg_dump_start(&s->dump, s->leader, s->catalog, may_dump_everything(s),
                      s->moment.snapshot_id, s->req.bindir, &why) < 0)
        results_set_schema(s->results, NULL, why.text);
}

/* The definitions of all the database: of some tables alone pg_dump would have to be asked. */
static void recall_schema(struct snapshot *s)
{
    struct buf text = {0};

    if (s->req.tables.n)
        buf_puts(&text, "-- All of the database, and not only the tables that were chosen.\n");
    buf_put(&text, s->req.recalled->schema.data, s->req.recalled->schema.len);
    results_set_schema(s->results, &text, NULL);
    buf_free(&text);
}

void snapshot_prepare(struct snapshot *s, const struct snapshot_job *job)
{
    struct coordinator_config config = {
        .leader = s->leader,
        .workers = s->workers,
        .matviews_by_leader = s->req.freeze_by_lock,
        .catalog = s->catalog,
        .plan = &s->plan,
        .results = s->results,
        .encoding = s->encoding,
        .format = s->req.format,
        .out_fd = job->out_fd,
        .paths = s->tree.paths,
        .own_files = job->out_fd < 0 ? s->req.own_files : 0,
        .dump = &s->dump,
        .stop_fd = job->stop_fd,
        .partial = s->req.partial,
        .frozen_at = s->locked,
        .hold_limit_ms = s->of_store ? 0 : s->req.hold_limit_ms, /* of a store, nobody is */
        .spool_limit = s->req.guest && s->req.guest->direct ? 0 : s->req.spool_limit,
        .progress = &s->progress,
        .guest = s->req.guest,
    };

    s->results->settled = job->settled;
    s->results->settled_arg = job->settled_arg;
    progress_start(&s->progress, s->req.quiet);
    if (s->req.recalled) {
        recall_schema(s);
        return;
    }
    s->workers->spool_dir = job->spool_dir;
    start_dump(s, !s->req.guest || s->req.guest->wants_schema || job->out_fd >= 0);
    s->coordinator = coordinator_new(&config);
}

int snapshot_run(struct snapshot *s, struct err *err)
{
    int rc;

    if (!s->coordinator) { /* nothing is copied */
        results_release(s->results);
        results_end(s->results);
        progress_end(&s->progress);
        return 0;
    }
    rc = coordinator_run(s->coordinator, err);
    pg_conn_close(s->leader);
    s->leader = NULL;
    return rc;
}

int snapshot_check_held(struct snapshot *s, struct err *err)
{
    int64_t held = clock_ms() - s->locked;

    if (pg_conn_check(s->leader, err) < 0)
        return err_prefix(err, "the leader is lost");
    if (!s->req.hold_limit_ms || held <= s->req.hold_limit_ms)
        return 0;
    return err_set(err, ETIMEDOUT,
                   "the source was held for %.1f seconds, and the copy has not ended "
                   "(--hold-limit)",
                   (double)held / 1000);
}

int snapshot_release(struct snapshot *s, struct err *err)
{
    int rc = pg_freeze_release(s->leader, err);

    pg_conn_close(s->leader);
    s->leader = NULL;
    return rc;
}

void snapshot_print_plan(const struct snapshot *s, FILE *out)
{
    char size[32];
    uint64_t total = 0;
    size_t i;

    fprintf(out, "%10s %7s  %s\n", "size", "chunks", "file");
    for (i = 0; i < s->catalog->ntables; i++) {
        uint64_t bytes = table_bytes(&s->catalog->tables[i]);

        total += bytes;
        fprintf(out, "%10s %7zu  %s\n", units_format_size(bytes, size, sizeof(size)),
                plan_table_chunks(&s->plan, i), s->tree.paths[i]);
    }
    fprintf(out, "%10s %7zu  %zu table%s\n", units_format_size(total, size, sizeof(size)),
            s->plan.nchunks, s->catalog->ntables, units_s(s->catalog->ntables));
}
