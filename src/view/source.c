#include "view/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"
#include "pg/conn.h"
#include "store/store.h"
#include "view/databases.h"
#include "view/lengths.h"

#define MAX_DEFAULT_JOBS 8
#define OTHER_CONNECTIONS 5 /* to a private server, besides those of the workers */

static unsigned default_jobs(void)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    return cores < 1 ? 1 : cores > MAX_DEFAULT_JOBS ? MAX_DEFAULT_JOBS : (unsigned)cores;
}

void source_init(struct source *s)
{
    *s = (struct source){.request = {
                             .jobs = default_jobs(),
                             .chunk_size = 256u << 20,
                             .lock_timeout_ms = 10000,
                             .freeze_timeout_ms = 5000,
                             .worker_timeout_ms = 60000,
                             .render_memory = UINT64_C(256) << 20,
                             .spool_dir = mem_strdup("/var/tmp"),
                             .timezone = mem_strdup("UTC"),
                             .stop_fd = -1,
                         }};
}

/* Not written by who borrows it, but it is ours. */
static void free_text(const char **text)
{
    free((char *)(uintptr_t)*text);
    *text = NULL;
}

void source_free(struct source *s)
{
    source_close(s);
    moment_free(&s->page.moment);
    free_text(&s->page.view);
    free_text(&s->page.database);
    free_text(&s->page.run_as);
    free_text(&s->page.bindir);
    free_text(&s->page.log);
    free_text(&s->page.restore_command);
    tablelist_free(&s->request.tables);
    free_text(&s->request.spool_dir);
    free_text(&s->request.timezone);
    free_text(&s->request.encoding);
    free(s->place);
    *s = (struct source){0};
}

void source_take(struct source *s, char *arg)
{
    free(s->place);
    s->place = mem_strdup(arg);
    pg_target_scrub(arg);
}

/* ---- what can be refused at once ---- */

int source_check(const struct source *s, struct err *err)
{
    const char *encoding = s->request.encoding;

    if (s->request.format == PG_FORMAT_BINARY && encoding && strcasecmp(encoding, "UTF8") != 0)
        return err_set(err, EINVAL, "--encoding=%s is not possible with --format=binary", encoding);
    return 0;
}

int source_check_nowait(const struct source *s, struct err *err)
{
    if (s->page.database || !store_is(s->place))
        return 0;
    return err_set(err, EINVAL,
                   "--nowait can show one database of a store: --database=NAME says which");
}

int source_check_spool(const struct source *s, struct err *err)
{
    const char *dir = s->request.spool_dir;
    struct stat st;

    if (stat(dir, &st) < 0)
        return err_errno(err, "cannot use %s for spool files (--spool)", dir);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ENOTDIR, "cannot use %s for spool files (--spool): it is no directory",
                       dir);
    if (access(dir, W_OK | X_OK) < 0)
        return err_errno(err, "cannot write spool files to %s (--spool)", dir);
    return 0;
}

/* ---- open ---- */

static bool asks_for_pageview(const struct source *s)
{
    const struct pageview_request *p = &s->page;

    return p->moment.kind != MOMENT_NONE || p->view || p->database || p->run_as || p->bindir ||
           p->log || p->restore_command || s->request.trust_base || s->request.pages;
}

/* It may also be one that may not be looked into. */
static int refuse_place(const struct source *s, struct err *err)
{
    struct store *store;

    if (access(s->place, X_OK) < 0 && errno == EACCES && store_open(s->place, &store, err) < 0)
        return -err->code;
    return err_set(
        err, EINVAL,
        "--at and the other options of page views need a store as SOURCE; \"%s\" is none",
        s->place);
}

static const char *find_database(const struct source *s, struct err *err)
{
    const struct remembered *r = s->recalled;
    char *const *names = r ? r->names : pageview_databases(s->pageview), *const * n;
    const struct pg_omitted *left = r ? r->omitted : pageview_omitted(s->pageview);
    const char *wanted = s->page.database;
    struct buf all = {0};

    while (left->name && strcmp(left->name, wanted) != 0)
        left++;
    for (n = names; *n && strcmp(*n, wanted) != 0; n++)
        buf_printf(&all, "%s%s", all.len ? ", " : "", *n);
    if (!*n && left->name)
        err_set(err, ENOENT, "the database \"%s\" cannot be shown at that moment: %s", wanted,
                left->why);
    else if (!*n)
        err_set(err, ENOENT, "there is no database \"%s\" at that moment; there are: %s", wanted,
                all.data ? all.data : "none");
    buf_free(&all);
    return *n;
}

static void show_database(struct source *s, const char *database)
{
    struct moment_shown shown = pageview_shown(s->pageview);

    free(s->shown_source);
    s->shown_source = mem_printf("%s of %s", database, s->place);
    s->shown = (struct snapshot_shown){
        .source = s->shown_source, .unix_us = shown.time_us, .lsn = shown.lsn};
    s->request.shown = &s->shown;
    s->request.recalled = s->recalled ? remembered_find(s->recalled, database) : NULL;
    if (s->recalled)
        return;
    s->conninfo = pageview_source(s->pageview, database);
    s->request.source = s->conninfo;
}

/* Of a store: from now on a server is asked. */
static int need_server(struct source *s, struct err *err)
{
    const char *database;
    int rc = pageview_serve(s->pageview, err);

    remembered_free(s->recalled);
    s->recalled = NULL;
    s->request.recalled = NULL;
    if (rc < 0)
        return rc;
    s->request.bindir = pageview_bindir(s->pageview);
    if (s->several || s->conninfo)
        return 0;
    database = find_database(s, err);
    if (!database)
        return -err->code;
    show_database(s, database);
    return 0;
}

/* Nothing is asked of a server as long as tables are rendered, and what is to be known of them is. */
static void recall(struct source *s)
{
    struct err err;

    if (!s->page.view || s->request.render == SNAPSHOT_COPY)
        return;
    if (pageview_open_pages(s->pageview, &err) == 0)
        s->recalled = remembered_read(s->pageview, s->page.database);
    s->forgets = !s->recalled;
}

static int reach_moment(struct source *s, struct err *err)
{
    if (s->page.moment.kind == MOMENT_NONE && !s->page.view)
        return err_set(err, EINVAL,
                       "which moment? --at=TIME, --lsn=LSN, --xid=N, "
                       "--restore-point=NAME or --latest; or --view=NAME");
    s->page.store = s->place;
    s->page.pages = s->request.pages;
    s->page.connections = s->request.jobs + OTHER_CONNECTIONS;
    s->page.quiet = s->request.quiet;
    s->page.stop_fd = s->request.stop_fd;
    return pageview_open(&s->page, &s->pageview, err);
}

int source_open(struct source *s, struct err *err)
{
    const char *database;
    int rc;

    s->request.source = s->place;
    if (!store_is(s->place))
        return asks_for_pageview(s) ? refuse_place(s, err) : 0;
    rc = reach_moment(s, err);
    if (rc < 0)
        return rc;
    s->request.replayed = pageview_is_complete(s->pageview) ? 0 : pageview_replayed(s->pageview);
    s->several = !s->page.database;
    recall(s);
    if (!s->recalled)
        return need_server(s, err);
    database = s->several ? NULL : find_database(s, err);
    if (database)
        show_database(s, database);
    return s->several || database ? 0 : -err->code;
}

/* ---- freeze ---- */

/* What looks like a path libpq takes for the name of a database. */
static int hint_no_store(const struct source *s, struct err *err)
{
    if (s->pageview || !strchr(s->place, '/') || strchr(s->place, '=') || strstr(s->place, "://"))
        return -err->code;
    return err_hint(err, "and %s is no store (no store.json there)", s->place);
}

/* Of a store, where what is remembered does not do. */
static int need_whole_server(struct source *s, struct err *err)
{
    return s->recalled ? need_server(s, err) : 0;
}

static int freeze_view(const struct source *s, struct view **v, struct err *err)
{
    return view_freeze(&s->request, v, err) < 0 ? hint_no_store(s, err) : 0;
}

int source_freeze(struct source *s, struct view **v, struct err *err)
{
    int rc = need_whole_server(s, err);

    return rc == 0 ? freeze_view(s, v, err) : rc;
}

int source_renders_all(struct source *s, bool *all, struct err *err)
{
    struct view *v = NULL;
    int rc;

    *all = false;
    if (!s->pageview || s->several || s->request.render == SNAPSHOT_COPY)
        return 0;
    rc = freeze_view(s, &v, err);
    if (rc == 0)
        *all = view_is_all_rendered(v);
    else if (s->recalled && (rc == -EREMOTE || rc == -EPROTO)) /* a server is needed */
        rc = 0;
    view_free(v);
    return rc;
}

bool source_shows_several(const struct source *s)
{
    return s->pageview && s->several;
}

/* ---- rendering ---- */

/* What pg_control says: remembered, or read once the server has stopped; then it is remembered too. */
static int freeze_pages(struct source *s, struct pg_control *control, struct err *err)
{
    int rc;

    if (s->recalled) {
        *control = s->recalled->control;
        return 0;
    }
    rc = pageview_freeze(s->pageview, control, err);
    if (rc == 0 && s->remembered) {
        s->remembered->control = *control;
        remembered_write(s->remembered, s->pageview);
    }
    return rc;
}

static int read_note(void *pageview, const char *name, char **bytes, size_t *len, struct err *err)
{
    return pageview_read_note_entered(pageview, name, bytes, len, err);
}

static int write_note(void *pageview, const char *name, const struct buf *b, struct err *err)
{
    return pageview_write_note_entered(pageview, name, b, err);
}

static struct view_pages pages_to_render(const struct source *s, const struct pg_control *control)
{
    return (struct view_pages){.dir = store_view_datadir(pageview_pages(s->pageview)),
                               .control = control,
                               .as = pageview_identity(s->pageview)};
}

static int render_entered(struct source *s, struct view *v, const struct pg_control *control,
                          bool eager, struct err *err)
{
    struct lengths_notes notes = {read_note, write_note, s->pageview};
    struct view_pages pages = pages_to_render(s, control);
    int rc = pageview_enter(s->pageview, err);

    if (rc < 0)
        return rc;
    rc = view_render(v, &pages, s->page.view ? &notes : NULL, eager, err);
    pageview_leave(s->pageview);
    return rc;
}

int source_render(struct source *s, struct view *v, bool eager, struct err *err)
{
    struct pg_control control;
    int rc;

    if (!view_is_rendered(v)) {
        source_release(s);
        return 0;
    }
    rc = freeze_pages(s, &control, err);
    return rc == 0 ? render_entered(s, v, &control, eager, err) : rc;
}

static int begin_entered(struct source *s, struct view *v, struct err *err)
{
    struct pg_control control;
    struct view_pages pages;
    int rc = freeze_pages(s, &control, err);

    if (rc == 0)
        rc = pageview_enter(s->pageview, err);
    if (rc < 0)
        return rc;
    pages = pages_to_render(s, &control);
    rc = view_write_begin(v, &pages, err);
    pageview_leave(s->pageview);
    return rc;
}

static int write_rendered(struct source *s, struct view *v, struct err *err)
{
    int rc = begin_entered(s, v, err);

    return rc == 0 ? view_write_rendered(v, err) : rc;
}

/* ---- extraction ---- */

static struct databases_request all_databases(const struct source *s)
{
    return (struct databases_request){&s->request, s->pageview, s->recalled, s->place};
}

/* d: of plain files; NULL: into the spool. */
static int extract_database(const struct source *s, const struct outdir *d, struct view **v,
                            struct err *err)
{
    int rc = freeze_view(s, v, err);

    if (rc < 0)
        return rc;
    return d ? view_extract_files(*v, d->fd, d->hidden, err) : view_extract(*v, err);
}

static int extract_databases(const struct source *s, const struct outdir *d, struct view **v,
                             struct err *err)
{
    struct databases_request all = all_databases(s);

    return d ? databases_extract_files(&all, d->fd, d->hidden, v, err)
             : databases_extract(&all, v, err);
}

static int extract_any(const struct source *s, const struct outdir *d, struct view **v,
                       struct err *err)
{
    return source_shows_several(s) ? extract_databases(s, d, v, err)
                                   : extract_database(s, d, v, err);
}

/* Only of what is rendered; a failure is no reason not to show it. */
static int remember(struct source *s, const struct view *v, struct err *err)
{
    struct err why;
    int rc;

    if (!s->forgets || !view_is_rendered(v))
        return 0;
    rc = remembered_make(s->pageview, v, s->request.stop_fd, &s->remembered, &why);
    if (rc == -EINTR) {
        *err = why;
        return rc;
    }
    if (rc < 0)
        log_note("%s; the next mount starts a server, too", why.text);
    return 0;
}

/* That what is remembered does not do is found before anything is extracted. */
static int extract(struct source *s, const struct outdir *d, struct view **v, struct err *err)
{
    int rc = extract_any(s, d, v, err);

    if (s->recalled && (rc == -EREMOTE || rc == -EPROTO)) {
        log_debug("a server is needed: %s", err->text);
        s->forgets = rc == -EPROTO;
        rc = need_server(s, err);
        if (rc == 0)
            rc = extract_any(s, d, v, err);
    }
    return rc == 0 ? remember(s, *v, err) : rc;
}

int source_extract(struct source *s, struct view **v, struct err *err)
{
    return extract(s, NULL, v, err);
}

int source_extract_files(struct source *s, const struct outdir *d, struct view **v, struct err *err)
{
    int rc = extract(s, d, v, err);

    return rc == 0 && view_is_rendered(*v) ? write_rendered(s, *v, err) : rc;
}

int source_print_plan(struct source *s, FILE *out, struct err *err)
{
    struct databases_request all;
    struct snapshot *snapshot;
    int rc = need_whole_server(s, err);

    if (rc < 0)
        return rc;
    all = all_databases(s);
    if (source_shows_several(s))
        return databases_print_plan(&all, out, err);
    if (snapshot_freeze(&s->request, &snapshot, err) < 0)
        return hint_no_store(s, err);
    snapshot_print_plan(snapshot, out);
    snapshot_free(snapshot);
    return 0;
}

/* ---- afterwards ---- */

void source_release(struct source *s)
{
    if (s->request.pages)
        pageview_release(s->pageview);
    else
        source_close(s);
}

struct store_view *source_pages(const struct source *s)
{
    return s->pageview && s->request.pages ? pageview_pages(s->pageview) : NULL;
}

static const struct pageview *with_pages(const struct source *s)
{
    return s->pageview && pageview_pages(s->pageview) ? s->pageview : NULL;
}

int source_enter_pages(const struct source *s, struct err *err)
{
    return pageview_enter(with_pages(s), err);
}

void source_leave_pages(const struct source *s)
{
    pageview_leave(with_pages(s));
}

void source_close(struct source *s)
{
    pageview_close(s->pageview);
    s->pageview = NULL;
    remembered_free(s->recalled);
    s->recalled = NULL;
    remembered_free(s->remembered);
    s->remembered = NULL;
    free(s->conninfo);
    s->conninfo = NULL;
    free(s->shown_source);
    s->shown_source = NULL;
    s->request.shown = NULL;
    s->request.source = NULL;
    s->request.bindir = NULL;
    s->request.recalled = NULL;
}
