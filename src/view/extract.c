/* How a view gets what it shows: frozen, extracted, and told about. What needs a server. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/proc.h"
#include "common/units.h"
#include "view/internal.h"
#include "view/outdir.h"
#include "view/rendering.h"
#include "view/report.h"
#include "view/writing.h"

int view_freeze(const struct snapshot_request *req, struct view **view, struct err *err)
{
    struct snapshot *s;
    int rc = snapshot_freeze(req, &s, err);

    if (rc < 0)
        return rc;
    *view = view_new(s->source, 1);
    view_add(*view, s);
    return 0;
}

/* ---- extraction, of the member that was added last ---- */

static struct member *last_member(const struct view *v)
{
    return &v->members[v->n - 1];
}

static void settled(void *arg, size_t table)
{
    struct view *v = arg;

    (void)table;
    if (v->settled)
        v->settled(v->settled_arg);
}

static void prepare_member(struct view *v, int out_fd, const char *spool_dir, int stop_fd)
{
    struct snapshot_job job = {.out_fd = out_fd,
                               .spool_dir = spool_dir,
                               .stop_fd = stop_fd,
                               .settled = settled,
                               .settled_arg = v};

    snapshot_prepare(last_member(v)->snapshot, &job);
}

/* all: nothing will be rendered any more. */
static void report_member(struct view *v, struct member *m, bool all)
{
    int i;

    for (i = 0; i < META_FILES; i++)
        if (!m->texts[i] && (all || !report_is_of_results((enum meta_file)i)))
            m->texts[i] = report_make(m->snapshot, (enum meta_file)i);
    pthread_mutex_lock(&v->lock);
    for (i = 0; i < META_FILES; i++)
        m->final[i] = m->texts[i];
    pthread_mutex_unlock(&v->lock);
}

static int run_member(struct view *v, struct err *err)
{
    struct member *m = last_member(v);
    int rc = snapshot_run(m->snapshot, err);

    report_member(v, m, !m->snapshot->rendered);
    settled(v, 0);
    return rc;
}

static bool any_complete(const struct snapshot *s)
{
    const struct results *r = snapshot_results(s);
    size_t i;

    for (i = 0; i < r->n; i++)
        if (r->tables[i].state == TABLE_COMPLETE)
            return true;
    return false;
}

int view_extract(struct view *v, struct err *err)
{
    struct snapshot *s = last_member(v)->snapshot;
    int rc = snapshot_check_space(s, s->req.spool_dir, true, err);

    if (rc < 0)
        return rc;
    prepare_member(v, -1, s->req.spool_dir, s->req.stop_fd);
    rc = run_member(v, err);
    if (rc < 0 && rc != -EINTR && s->req.partial && any_complete(s)) {
        log_error("%s", err->text);
        rc = 0;
    }
    return rc;
}

static void *extract_thread(void *arg)
{
    struct view *v = arg;
    struct err err;

    if (run_member(v, &err) < 0)
        log_error("%s: %s", v->source, err.text);
    return NULL;
}

int view_extract_begin(struct view *v, struct err *err)
{
    struct snapshot *s = last_member(v)->snapshot;
    int rc = snapshot_check_space(s, s->req.spool_dir, true, err);

    if (rc < 0)
        return rc;
    v->halt_fd = eventfd(0, EFD_CLOEXEC);
    if (v->halt_fd < 0)
        return err_errno(err, "eventfd failed");
    pg_conn_set_stop_fd(s->leader,
                        v->halt_fd); /* the caller's is closed while the view is served */
    s->req.partial = true;
    prepare_member(v, -1, s->req.spool_dir, v->halt_fd);
    rc = proc_thread(&v->thread, extract_thread, v);
    if (rc != 0)
        return err_set(err, rc, "cannot start a thread: %s", strerror(rc));
    v->threaded = true;
    return 0;
}

static int finish_files(struct view *v, struct member *m, int dir_fd, struct err *err)
{
    int rc;

    report_member(v, m, true);
    rc = outdir_write_meta(m->texts, dir_fd, err);
    if (rc == 0)
        outdir_set_times(&m->snapshot->tree, snapshot_time(m->snapshot), dir_fd);
    return rc;
}

int view_extract_files(struct view *v, int dir_fd, const char *spool_dir, struct err *err)
{
    struct member *m = last_member(v);
    const struct tree *t = &m->snapshot->tree;
    int rc = snapshot_check_space(m->snapshot, spool_dir, false, err);

    if (rc == 0)
        rc = outdir_make_dirs(t, dir_fd, err);
    if (rc == 0) {
        prepare_member(v, dir_fd, spool_dir, m->snapshot->req.stop_fd);
        rc = run_member(v, err);
    }
    if (rc == 0 && !m->snapshot->rendered)
        return finish_files(v, m, dir_fd, err);
    if (rc == 0) {
        m->out_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
        rc = m->out_fd < 0 ? err_errno(err, "cannot keep the directory") : 0;
    }
    return rc;
}

/* ---- rendering ---- */

bool view_is_rendered(const struct view *v)
{
    size_t i, t;

    for (i = 0; i < v->n; i++)
        for (t = 0; t < v->members[i].snapshot->catalog->ntables; t++)
            if (snapshot_renders(v->members[i].snapshot, t))
                return true;
    return false;
}

bool view_is_all_rendered(const struct view *v)
{
    size_t i, t;

    for (i = 0; i < v->n; i++)
        for (t = 0; t < v->members[i].snapshot->catalog->ntables; t++)
            if (!snapshot_renders(v->members[i].snapshot, t))
                return false;
    return true;
}

static void give_pages(struct view *v, const struct view_pages *pages,
                       const struct lengths_notes *notes)
{
    const struct snapshot_request *req = &v->members[0].snapshot->req;
    struct rendering_request q = {.pages = pages->dir,
                                  .control = pages->control,
                                  .as = pages->as,
                                  .threads = req->jobs,
                                  .memory = req->render_memory,
                                  .notes = notes};
    size_t i;

    v->rendering = rendering_new(&q);
    for (i = 0; i < v->n; i++)
        rendering_add(v->rendering, v->members[i].snapshot);
}

int view_render(struct view *v, const struct view_pages *pages, const struct lengths_notes *notes,
                bool eager, struct err *err)
{
    const struct snapshot_request *req = &v->members[0].snapshot->req;
    int rc;

    give_pages(v, pages, notes);
    rc = rendering_begin(v->rendering, eager, req->stop_fd, err);
    if (rc < 0 && rc != -EINTR && req->partial) {
        log_error("%s", err->text);
        rc = 0;
    }
    return rc;
}

int view_write_begin(struct view *v, const struct view_pages *pages, struct err *err)
{
    const struct snapshot_request *req = &v->members[0].snapshot->req;

    give_pages(v, pages, NULL);
    return writing_begin(&v->writing, req->jobs, req->compress, err);
}

static int write_table(struct view *v, const struct member *m, struct rendered *t, struct err *err)
{
    const struct snapshot *s = m->snapshot;
    struct writing_request r = {.table = t,
                                .path = s->tree.paths[t->table],
                                .chunk_size = s->req.chunk_size,
                                .stop_fd = s->req.stop_fd};
    int rc = rendered_open(t, err);

    if (rc < 0)
        return err_prefix(err, "%s", r.path);
    r.fd = openat(m->out_fd, r.path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (r.fd < 0)
        return err_errno(err, "cannot create %s", r.path);
    rc = writing_table(v->writing, &r, err);
    if (rc == 0)
        render_lines_trim(t->lines);
    close(r.fd);
    return rc;
}

static struct progress_state count_rendered(const struct snapshot *s)
{
    const struct results *r = snapshot_results(s);
    struct progress_state p = {0};
    size_t i;

    for (i = 0; i < r->n; i++) {
        if (!snapshot_renders(s, i))
            continue;
        p.files++;
        p.total += r->tables[i].estimate;
    }
    return p;
}

static void show_written(struct snapshot *s, struct progress_state *p, uint32_t table)
{
    const struct table_result *t = &snapshot_results(s)->tables[table];

    p->files_done++;
    p->done += t->estimate;
    p->bytes += t->bytes;
    progress_show(&s->progress, p, clock_ms());
}

static int write_member(struct view *v, size_t i, struct err *err)
{
    struct member *m = &v->members[i];
    struct snapshot *s = m->snapshot;
    struct progress_state p = count_rendered(s);
    struct rendered *t;
    uint32_t k;
    int rc = 0;

    progress_start(&s->progress, s->req.quiet);
    for (k = 0; k < s->catalog->ntables && rc == 0; k++) {
        t = rendering_table(v->rendering, i, k);
        if (!t)
            continue;
        rc = write_table(v, m, t, err);
        if (rc == 0)
            show_written(s, &p, k);
    }
    progress_end(&s->progress);
    results_end(snapshot_results(s)); /* once more: not before all was written */
    return rc;
}

int view_write_rendered(struct view *v, struct err *err)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < v->n && rc == 0; i++) {
        if (v->members[i].out_fd < 0)
            continue;
        rc = write_member(v, i, err);
        if (rc == 0)
            rc = finish_files(v, &v->members[i], v->members[i].out_fd, err);
    }
    return rc == 0 ? writing_sync(v->writing, err) : rc;
}

/* ---- and what others read ---- */

int view_check_held(struct view *v, struct err *err)
{
    return snapshot_check_held(last_member(v)->snapshot, err);
}

int view_release(struct view *v, struct err *err)
{
    return snapshot_release(last_member(v)->snapshot, err);
}

/* ---- words ---- */

struct sums {
    size_t tables, failed, rendered;
    uint64_t bytes;
};

/* written: what is rendered is in plain files. */
static void add_snapshot(const struct snapshot *s, bool written, struct sums *sums)
{
    struct results *r = snapshot_results(s);
    size_t t;

    sums->tables += r->n;
    pthread_mutex_lock(&r->lock); /* what is rendered may be being measured */
    for (t = 0; t < r->n; t++) {
        if (snapshot_renders(s, t) && !written)
            sums->rendered++;
        else
            sums->bytes += r->tables[t].bytes;
        sums->failed += r->tables[t].state == TABLE_FAILED;
    }
    pthread_mutex_unlock(&r->lock);
}

/* How long a table is that is rendered nobody knows before he asks. */
static void put_sums(const struct sums *sums, struct buf *b)
{
    char size[32];

    buf_printf(b, "%zu table%s", sums->tables, units_s(sums->tables));
    if (sums->rendered < sums->tables)
        buf_printf(b, ", %s%s", units_format_size(sums->bytes, size, sizeof(size)),
                   sums->rendered ? " copied" : "");
    if (sums->rendered)
        buf_printf(b, ", %zu rendered as %s read", sums->rendered,
                   sums->rendered == 1 ? "it is" : "they are");
}

/* How long: of databases that were frozen one after the other, all of it. */
static void put_times(const struct view *v, struct buf *b)
{
    const struct snapshot *s = v->members[0].snapshot;

    if (v->tree == &v->joined)
        buf_printf(b, "extracted in %.2f s", (double)(clock_ms() - v->started) / 1000);
    else
        buf_printf(b, "frozen in %.2f s, extracted in %.2f s",
                   (double)(s->frozen - s->started) / 1000,
                   (double)(snapshot_results(s)->ended_at - s->frozen) / 1000);
}

void view_print_summary(const struct view *v, const char *what)
{
    bool joined = v->tree == &v->joined;
    struct sums sums = {0};
    struct buf b = {0};
    size_t i;

    for (i = 0; i < v->n; i++)
        add_snapshot(v->members[i].snapshot, v->writing, &sums);
    if (joined)
        buf_printf(&b, "%zu database%s, ", v->n, units_s(v->n));
    put_sums(&sums, &b);
    buf_printf(&b, ", as of %s (", v->members[0].snapshot->moment.time);
    put_times(v, &b);
    log_note("%s: %s)", what, b.data);
    buf_free(&b);
    if (sums.failed)
        log_note("%s: %zu table%s failed; .asofs/errors%s says why", what, sums.failed,
                 units_s(sums.failed), joined ? " of each database" : "");
}

void view_print_frozen(const struct view *v, const char *what)
{
    const struct snapshot *s = v->members[0].snapshot;

    log_note("%s: %zu table%s, as of %s (frozen in %.2f s; extraction goes on)", what,
             s->catalog->ntables, units_s(s->catalog->ntables), s->moment.time,
             (double)(s->frozen - s->started) / 1000);
}
