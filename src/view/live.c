#include "view/live.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/io.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/units.h"
#include "view/internal.h"
#include "view/report.h"

#define CONNECT_TIMEOUT_MS 30000

static int connect_leader(struct view *v, struct err *err)
{
    struct pg_session session = {
        .application_name = "asofs leader",
        .timezone = v->req->timezone,
        .stop_fd = v->req->stop_fd,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
    };
    int rc = pg_conn_open(&v->leader, &v->target, &session, err);

    if (rc < 0)
        return rc;
    pg_conn_pin(v->leader, &v->target);
    v->source = pg_target_describe(v->leader);
    rc = pg_conn_inspect(v->leader, &v->server, err);
    if (rc == 0)
        rc = pg_conn_prepare(v->leader, &session, err);
    if (rc == 0)
        rc = pg_conn_check_encoding(v->leader, &v->server, v->req->encoding, err);
    return rc;
}

static void tell_skipped(const struct pg_catalog *c)
{
    struct buf b = {0};
    size_t i;

    for (i = 0; i < c->nskipped; i++)
        buf_printf(&b, "%s%s", i ? ", " : "", c->skipped[i]);
    if (c->nskipped)
        log_note("left out (foreign tables, materialized views never filled): %s", b.data);
    buf_free(&b);
}

int view_freeze(const struct view_request *req, struct view **view, struct err *err)
{
    struct view *v = mem_alloc(sizeof(*v));
    struct pg_freeze_request freeze = {.server = &v->server, .entries = req->tables.entries,
                                       .nentries = req->tables.n,
                                       .lock_timeout_ms = req->lock_timeout_ms};
    int rc;

    v->req = req;
    v->dump = (struct pg_dump){.out_fd = -1, .err_fd = -1};
    v->started = clock_ms();
    pg_target_init(&v->target, req->source);
    rc = connect_leader(v, err);
    if (rc == 0)
        rc = pg_freeze_export(v->leader, &freeze, &v->catalog, &v->moment, err);
    if (rc < 0) {
        view_free(v);
        return rc;
    }
    v->frozen = clock_ms();
    tell_skipped(v->catalog);
    plan_make(&v->plan, v->catalog, req->chunk_size);
    tree_make(&v->tree, v->catalog, req->format);
    *view = v;
    return 0;
}

/* No pg_dump is no reason to fail: schema.sql then says what is missing. */
static char *start_dump(struct view *v)
{
    struct err why;

    if (pg_dump_start(&v->dump, v->leader, v->catalog, v->req->tables.n == 0,
                      v->moment.snapshot_id, &why) < 0)
        return mem_strdup(why.text);
    return NULL;
}

static void make_meta(struct view *v)
{
    report_snapshot(v, &v->meta[META_SNAPSHOT]);
    report_tables(v, &v->meta[META_TABLES]);
    report_errors(v, &v->meta[META_ERRORS]);
    report_schema(v, &v->meta[META_SCHEMA]);
}

static int extract(struct view *v, int out_fd, const char *spool_dir, struct err *err)
{
    struct coordinator_config config = {
        .leader = v->leader,
        .catalog = v->catalog,
        .plan = &v->plan,
        .target = &v->target,
        .snapshot_id = v->moment.snapshot_id,
        .timezone = v->req->timezone,
        .encoding = v->req->encoding,
        .format = v->req->format,
        .jobs = v->req->jobs,
        .worker_timeout_ms = v->req->worker_timeout_ms,
        .spool_dir = spool_dir,
        .out_fd = out_fd,
        .paths = out_fd >= 0 ? v->tree.paths : NULL,
        .dump = &v->dump,
        .stop_fd = v->req->stop_fd,
        .progress = &v->progress,
    };
    int rc;

    config.schema_error = start_dump(v);
    progress_start(&v->progress, v->req->quiet);
    v->coordinator = coordinator_new(&config);
    rc = coordinator_run(v->coordinator, err);
    v->extracted = clock_ms();
    pg_conn_close(v->leader);
    v->leader = NULL;
    if (rc == 0)
        make_meta(v);
    return rc;
}

int view_extract(struct view *v, struct err *err)
{
    return extract(v, -1, v->req->spool_dir, err);
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
    int rc = make_dirs(&v->tree, dir_fd, err);

    if (rc == 0)
        rc = extract(v, dir_fd, spool_dir, err);
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
    fprintf(out, "%10s %7zu  %zu tables\n", units_format_size(total, size, sizeof(size)),
            v->plan.nchunks, v->catalog->ntables);
}

void view_print_summary(const struct view *v, const char *what)
{
    struct results *r = coordinator_results(v->coordinator);
    uint64_t bytes = 0;
    char size[32];
    size_t t;

    for (t = 0; t < r->n; t++)
        bytes += r->tables[t].bytes;
    log_note("%s: %zu tables, %s, as of %s (frozen in %.2f s, extracted in %.2f s)", what, r->n,
             units_format_size(bytes, size, sizeof(size)), v->moment.time,
             (double)(v->frozen - v->started) / 1000, (double)(v->extracted - v->frozen) / 1000);
}
