#include "view/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/io.h"
#include "common/log.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "common/proc.h"
#include "common/units.h"
#include "extract/lockfreeze.h"
#include "pg/trust.h"
#include "view/internal.h"
#include "view/report.h"

#define CONNECT_TIMEOUT_MS 30000

/* SQL_ASCII says nothing about bytes above 127; the server refuses to take them for UTF8. */
static int choose_encoding(struct view *v, struct err *err)
{
    v->encoding = v->req->encoding                               ? v->req->encoding
                  : strcmp(v->server.encoding, "SQL_ASCII") == 0 ? "SQL_ASCII"
                                                                 : "UTF8";
    return pg_conn_check_encoding(v->leader, &v->server, v->encoding, err);
}

static int connect_leader(struct view *v, struct err *err)
{
    struct pg_session session = {
        .application_name = "asofs leader",
        .timezone = v->req->timezone,
        .stop_fd = v->req->stop_fd,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .query_timeout_ms = v->req->lock_timeout_ms + v->req->worker_timeout_ms,
    };
    int rc = pg_conn_open(&v->leader, &v->target, &session, err);

    if (rc < 0)
        return rc;
    pg_conn_pin(v->leader, &v->target);
    v->source = pg_target_describe(v->leader);
    rc = pg_conn_inspect(v->leader, &v->server, err);
    if (rc == 0)
        rc = choose_encoding(v, err);
    return rc;
}

static void tell_left_out(const struct view *v)
{
    bool one_of_several = v->req->may_miss;
    struct buf b = {0};
    int why;

    for (why = 0; why < PG_WHYS && !v->req->looking; why++) {
        buf_clear(&b);
        if (one_of_several)
            buf_printf(&b, "database \"%s\": ", v->server.database);
        if (pg_catalog_put_left_out(v->catalog, (enum pg_why)why, &b))
            log_note("%s", b.data);
    }
    buf_free(&b);
}

static struct crew *make_crew(const struct view *v)
{
    struct crew *c = crew_new(v->req->jobs);

    c->spool_dir = v->req->spool_dir;
    c->target = &v->target;
    c->timezone = v->req->timezone;
    c->worker_timeout_ms = v->req->worker_timeout_ms;
    return c;
}

static int freeze(struct view *v, struct err *err)
{
    const struct view_request *req = v->req;
    struct pg_freeze_request f = {.server = &v->server,
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

    v->locked = clock_ms();
    if (req->freeze_by_lock)
        return lockfreeze_run(v->crew, v->leader, &l, &v->catalog, &v->moment, err);
    rc = pg_freeze_export(v->leader, &f, &v->catalog, &v->moment, err);
    v->crew->snapshot_id = v->moment.snapshot_id;
    return rc;
}

/* The private server of a page view says when it was asked; what counts is what it shows. */
static void say_what_is_shown(struct view *v)
{
    const struct view_shown *shown = v->req->shown;
    char lsn[LSN_TEXT_MAX], seconds[32];
    time_t t = (time_t)(shown->unix_us / 1000000);
    struct tm tm;

    free(v->source);
    v->source = mem_strdup(shown->source);
    free(v->moment.lsn);
    v->moment.lsn = mem_strdup(lsn_text(shown->lsn, lsn));
    if (!shown->unix_us)
        return;
    v->moment.unix_ns = shown->unix_us * 1000;
    free(v->moment.time);
    gmtime_r(&t, &tm);
    strftime(seconds, sizeof(seconds), "%Y-%m-%dT%H:%M:%S", &tm);
    v->moment.time = mem_printf("%s.%06dZ", seconds, (int)(shown->unix_us % 1000000));
}

/* Of a filtered table nobody knows how much will come. */
static uint64_t source_bytes(const struct view *v)
{
    uint64_t bytes = 0;
    size_t k;

    for (k = 0; k < v->plan.nchunks; k++)
        if (!v->catalog->tables[v->plan.chunks[k].table].filter)
            bytes += v->plan.chunks[k].weight;
    return bytes;
}

/*
 * Text is about as long as the pages it comes from: shorter by row headers and free space, longer
 * by numbers and quotes. What is sure to fail is refused; what may fail is left to the limit and
 * the file system.
 */
static int check_space(const struct view *v, const char *dir, bool is_spool, struct err *err)
{
    char need[32], have[32];
    struct statvfs fs;
    uint64_t room;

    if (statvfs(dir, &fs) < 0)
        return err_errno(err, "cannot use %s for %s files", dir, is_spool ? "spool" : "these");
    room = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (v->req->spool_limit && v->req->spool_limit < room)
        room = v->req->spool_limit;
    if (source_bytes(v) / 2 <= room)
        return 0;
    return err_set(err, ENOSPC,
                   "the tables have %s, and %s has room for %s%s\n"
                   "take fewer tables, or %s",
                   units_format_size(source_bytes(v), need, sizeof(need)), dir,
                   units_format_size(room, have, sizeof(have)),
                   v->req->spool_limit ? " (--spool-limit)" : "",
                   is_spool ? "give --spool a larger place" : "write to a larger disk");
}

int view_freeze(const struct view_request *req, struct view **view, struct err *err)
{
    struct view *v = mem_alloc(sizeof(*v));
    int rc;

    v->req = req;
    v->halt_fd = -1;
    v->dump = (struct pg_dump){.out_fd = -1, .err_fd = -1};
    pthread_mutex_init(&v->lock, NULL);
    v->started = clock_ms();
    pg_target_init(&v->target, req->source);
    v->crew = make_crew(v);
    rc = connect_leader(v, err);
    if (rc == 0 && req->shown && !req->trust_base)
        rc = pg_refuse_foreign_code(v->leader, err);
    if (rc == 0)
        rc = freeze(v, err);
    if (rc < 0) {
        view_free(v);
        return rc;
    }
    if (req->shown)
        say_what_is_shown(v);
    v->frozen = clock_ms();
    tell_left_out(v);
    plan_make(&v->plan, v->catalog, req->chunk_size);
    tree_make(&v->tree, v->catalog, req->format, req->pages);
    *view = v;
    return 0;
}

/* pg_dump fails at a table that may not be read. */
static bool may_dump_everything(const struct view *v)
{
    const struct pg_catalog *c = v->catalog;
    size_t i;

    for (i = 0; i < c->nleft_out; i++)
        if (c->left_out[i].why == PG_DENIED || c->left_out[i].why == PG_POLICY)
            return false;
    return v->req->tables.n == 0;
}

/* No pg_dump is no reason to fail: schema.sql then says what is missing. Of a database of which
 * nothing is taken it would be asked for everything. */
static char *start_dump(struct view *v)
{
    struct err why;

    if (!may_dump_everything(v) && !v->catalog->ntables)
        return NULL;
    if (pg_dump_start(&v->dump, v->leader, v->catalog, may_dump_everything(v),
                      v->moment.snapshot_id, v->req->bindir, &why) < 0)
        return mem_strdup(why.text);
    return NULL;
}

static void settled(void *arg, size_t table)
{
    struct view *v = arg;

    (void)table;
    if (v->settled)
        v->settled(v->settled_arg);
}

static void prepare(struct view *v, int out_fd, const char *spool_dir, int stop_fd)
{
    struct coordinator_config config = {
        .leader = v->leader,
        .crew = v->crew,
        .can_join = !v->req->freeze_by_lock,
        .matviews_by_leader = v->req->freeze_by_lock,
        .catalog = v->catalog,
        .plan = &v->plan,
        .encoding = v->encoding,
        .format = v->req->format,
        .out_fd = out_fd,
        .paths = v->tree.paths,
        .own_files = out_fd < 0 ? v->req->own_files : 0,
        .dump = &v->dump,
        .stop_fd = stop_fd,
        .partial = v->req->partial,
        .frozen_at = v->locked,
        .hold_limit_ms = v->req->shown ? 0 : v->req->hold_limit_ms, /* of a store, nobody is */
        .spool_limit = v->req->spool_limit,
        .progress = &v->progress,
        .settled = settled,
        .settled_arg = v,
    };

    v->crew->spool_dir = spool_dir;
    config.schema_error = start_dump(v);
    progress_start(&v->progress, v->req->quiet);
    v->coordinator = coordinator_new(&config);
}

static int run(struct view *v, struct err *err)
{
    int m, rc = coordinator_run(v->coordinator, err);

    pg_conn_close(v->leader);
    v->leader = NULL;
    for (m = 0; m < META_FILES; m++)
        report_make(v, (enum meta_file)m, &v->meta[m]);
    pthread_mutex_lock(&v->lock);
    v->reported = true;
    pthread_mutex_unlock(&v->lock);
    settled(v, 0);
    return rc;
}

static bool any_complete(const struct view *v)
{
    const struct results *r = view_results(v);
    size_t i;

    for (i = 0; i < r->n; i++)
        if (r->tables[i].state == TABLE_COMPLETE)
            return true;
    return false;
}

int view_extract(struct view *v, struct err *err)
{
    int rc = check_space(v, v->req->spool_dir, true, err);

    if (rc < 0)
        return rc;
    prepare(v, -1, v->req->spool_dir, v->req->stop_fd);
    rc = run(v, err);
    if (rc < 0 && rc != -EINTR && v->req->partial && any_complete(v)) {
        log_error("%s", err->text);
        rc = 0;
    }
    return rc;
}

static void *extract_thread(void *arg)
{
    struct view *v = arg;
    struct err err;

    if (run(v, &err) < 0)
        log_error("%s: %s", v->source, err.text);
    return NULL;
}

int view_extract_begin(struct view *v, struct err *err)
{
    int rc = check_space(v, v->req->spool_dir, true, err);

    if (rc < 0)
        return rc;
    v->halt_fd = eventfd(0, EFD_CLOEXEC);
    if (v->halt_fd < 0)
        return err_errno(err, "eventfd failed");
    pg_conn_set_stop_fd(v->leader,
                        v->halt_fd); /* the caller's is closed while the view is served */
    prepare(v, -1, v->req->spool_dir, v->halt_fd);
    rc = proc_thread(&v->thread, extract_thread, v);
    if (rc != 0)
        return err_set(err, rc, "cannot start a thread: %s", strerror(rc));
    v->threaded = true;
    return 0;
}

static int make_dirs(const struct tree *t, int dir_fd, struct err *err)
{
    uint32_t i;

    for (i = 1; i < t->n && t->nodes[i].kind == NODE_DIR; i++)
        if (mkdirat(dir_fd, t->nodes[i].name, 0777) < 0)
            return err_errno(err, "cannot create %s", t->nodes[i].name);
    return 0;
}

static int write_meta(struct view *v, int dir_fd, struct err *err)
{
    int m, rc = 0;

    for (m = 0; m < META_FILES && rc == 0; m++) {
        char *path = mem_printf(".asofs/%s", tree_meta_name(m));

        rc = io_write_file(dir_fd, path, v->meta[m].data, v->meta[m].len, err);
        free(path);
    }
    return rc;
}

/* Files first: a file made in a directory would change its time again. */
static void set_times(const struct view *v, int dir_fd)
{
    struct timespec times[2] = {view_time(v), view_time(v)};
    uint32_t i = v->tree.n;

    while (i-- > 1) {
        const struct node *n = &v->tree.nodes[i];
        char *path = n->kind == NODE_DIR
                         ? mem_strdup(n->name)
                         : mem_printf("%s/%s", v->tree.nodes[n->parent].name, n->name);

        utimensat(dir_fd, path, times, AT_SYMLINK_NOFOLLOW);
        free(path);
    }
    futimens(dir_fd, times);
}

int view_extract_files(struct view *v, int dir_fd, const char *spool_dir, struct err *err)
{
    int rc = check_space(v, spool_dir, false, err);

    if (rc == 0)
        rc = make_dirs(&v->tree, dir_fd, err);
    if (rc == 0) {
        prepare(v, dir_fd, spool_dir, v->req->stop_fd);
        rc = run(v, err);
    }
    if (rc == 0)
        rc = write_meta(v, dir_fd, err);
    if (rc == 0)
        set_times(v, dir_fd);
    return rc;
}

void view_print_plan(const struct view *v, FILE *out)
{
    char size[32];
    uint64_t total = 0;
    size_t i, k;

    fprintf(out, "%10s %7s  %s\n", "size", "chunks", "file");
    for (i = 0; i < v->catalog->ntables; i++) {
        const struct pg_table *t = &v->catalog->tables[i];
        uint64_t bytes = t->rel.bytes;

        for (k = 0; k < t->nleaves; k++)
            bytes += t->leaves[k].bytes;
        total += bytes;
        fprintf(out, "%10s %7zu  %s\n", units_format_size(bytes, size, sizeof(size)),
                plan_table_chunks(&v->plan, i), v->tree.paths[i]);
    }
    fprintf(out, "%10s %7zu  %zu table%s\n", units_format_size(total, size, sizeof(size)),
            v->plan.nchunks, v->catalog->ntables, units_s(v->catalog->ntables));
}

void view_print_summary(const struct view *v, const char *what)
{
    struct results *r = view_results(v);
    uint64_t bytes = 0;
    unsigned failed = 0;
    char size[32];
    size_t t;

    for (t = 0; t < r->n; t++) {
        bytes += r->tables[t].bytes;
        failed += r->tables[t].state == TABLE_FAILED;
    }
    log_note("%s: %zu table%s, %s, as of %s (frozen in %.2f s, extracted in %.2f s)", what, r->n,
             units_s(r->n), units_format_size(bytes, size, sizeof(size)), v->moment.time,
             (double)(v->frozen - v->started) / 1000, (double)(r->ended_at - v->frozen) / 1000);
    if (failed)
        log_note("%s: %u table%s failed; .asofs/errors says why", what, failed, units_s(failed));
}

void view_print_frozen(const struct view *v, const char *what)
{
    log_note("%s: %zu table%s, as of %s (frozen in %.2f s; extraction goes on)", what,
             v->catalog->ntables, units_s(v->catalog->ntables), v->moment.time,
             (double)(v->frozen - v->started) / 1000);
}
