#include "cmd/source.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/stop.h"
#include "common/units.h"

#define MAX_DEFAULT_JOBS 8
#define MAX_JOBS 256
#define MIN_CHUNK_SIZE 8192

const char source_help[] =
    "  -t, --tables=PATTERN      tables to take, as in psql's \\d; repeat for more (default: all)\n"
    "  -T, --exclude-table=PATTERN  tables to leave out; repeat for more\n"
    "      --tables-from=FILE    the copy-table list (asofs-tables(5)); - is standard input\n"
    "      --readable            leave out, with a note, what may not be read\n"
    "  -j, --jobs=N              snapshot workers (default: number of cores, at most 8)\n"
    "      --format=FORMAT       csv, text or binary, as COPY writes them (default: csv)\n"
    "      --chunk-size=SIZE     larger tables are extracted by several workers (default: 256MiB)\n"
    "      --lock-timeout=TIME   how long to wait for the tables' locks (default: 10s)\n"
    "      --worker-timeout=TIME silence after which a worker is replaced (default: 60s)\n"
    "      --freeze=PROTOCOL     export (a snapshot) or lock (SHARE locks) (default: export)\n"
    "      --freeze-timeout=TIME how long SHARE locks may be held for it (default: 5s)\n"
    "      --hold-limit=TIME     give up when the source is held longer (default: no limit)\n"
    "      --spool-limit=SIZE    give up when more is extracted (default: no limit)\n"
    "      --spool=DIR           where extracted data is kept (default: /var/tmp)\n"
    "      --timezone=ZONE       of timestamps with time zone (default: UTC)\n"
    "      --encoding=NAME       of the files (default: UTF8; of SQL_ASCII as they are)\n"
    "\nOf a store (asofs-base(1)), a past moment:\n"
    "      --at=TIME             2026-11-16 08:00, with or without a zone (default: yours)\n"
    "      --lsn=LSN             up to that place on the log\n"
    "      --xid=N               up to the end of that transaction\n"
    "      --restore-point=NAME  pg_create_restore_point()\n"
    "      --latest              the end of the log\n"
    "      --view=NAME           keep the view under this name; mount one that was kept\n"
    "      --database=NAME       only that one (default: a directory for each)\n"
    "      --run-as=USER         who PostgreSQL runs as (default: the owner of the store)\n"
    "      --bindir=DIR          where PostgreSQL's programs are\n"
    "      --log=DIR             where the log is (default: as the store says)\n"
    "      --restore-command=CMD how to fetch it, as in postgresql.conf\n"
    "      --trust-base          code that the base brings (types, access methods) may run\n"
    "\n"
    "      --dry-run             freeze, print tables, sizes and chunks, release\n"
    "  -q, --quiet               no progress, no notes\n"
    "  -d, --debug               tell much\n"
    "  -h, --help                this text\n"
    "  -V, --version             the version\n";

static struct view_request *request(void *o)
{
    return &((struct source_options *)o)->request;
}

/* A value behind -o does not outlive its setter. */
static const char *keep(char **place, const char *value)
{
    free(*place);
    *place = mem_strdup(value);
    return *place;
}

int source_set_jobs(void *o, const char *v, struct err *err)
{
    char *end;
    long n = strtol(v, &end, 10);

    if (*end || end == v || n < 1 || n > MAX_JOBS)
        return err_set(err, EINVAL, "\"%s\" is not a number from 1 to %d", v, MAX_JOBS);
    request(o)->jobs = (unsigned)n;
    return 0;
}

int source_set_tables(void *o, const char *v, struct err *err)
{
    return tablelist_add_pattern(&request(o)->tables, v, err);
}

int source_set_exclude_table(void *o, const char *v, struct err *err)
{
    return tablelist_exclude(&request(o)->tables, v, err);
}

int source_set_readable(void *o, const char *v, struct err *err)
{
    (void)v, (void)err;
    request(o)->readable = true;
    return 0;
}

int source_set_tables_from(void *o, const char *v, struct err *err)
{
    return tablelist_read(&request(o)->tables, v, err);
}

int source_set_format(void *o, const char *v, struct err *err)
{
    enum pg_format f;

    for (f = PG_FORMAT_CSV; f <= PG_FORMAT_BINARY; f++) {
        if (strcmp(v, pg_format_name(f)) == 0) {
            request(o)->format = f;
            return 0;
        }
    }
    return err_set(err, EINVAL, "\"%s\" is none of csv, text, binary", v);
}

static int parse_duration(const char *v, int64_t *ms, struct err *err)
{
    if (units_parse_duration(v, ms) < 0 || *ms == 0)
        return err_set(err, EINVAL, "\"%s\" is not a duration; write 500ms, 10s, 5min", v);
    return 0;
}

int source_set_chunk_size(void *o, const char *v, struct err *err)
{
    uint64_t n;

    if (units_parse_size(v, &n) < 0)
        return err_set(err, EINVAL, "\"%s\" is not a size; write 64MiB, 1GiB", v);
    if (n < MIN_CHUNK_SIZE)
        return err_set(err, EINVAL, "%s is too small; at least 8KiB, one page", v);
    request(o)->chunk_size = n;
    return 0;
}

int source_set_lock_timeout(void *o, const char *v, struct err *err)
{
    return parse_duration(v, &request(o)->lock_timeout_ms, err);
}

int source_set_worker_timeout(void *o, const char *v, struct err *err)
{
    return parse_duration(v, &request(o)->worker_timeout_ms, err);
}

int source_set_freeze(void *o, const char *v, struct err *err)
{
    if (strcmp(v, "export") != 0 && strcmp(v, "lock") != 0)
        return err_set(err, EINVAL, "\"%s\" is none of export, lock", v);
    request(o)->freeze_by_lock = strcmp(v, "lock") == 0;
    return 0;
}

int source_set_freeze_timeout(void *o, const char *v, struct err *err)
{
    return parse_duration(v, &request(o)->freeze_timeout_ms, err);
}

int source_set_hold_limit(void *o, const char *v, struct err *err)
{
    return parse_duration(v, &request(o)->hold_limit_ms, err);
}

int source_set_spool_limit(void *o, const char *v, struct err *err)
{
    if (units_parse_size(v, &request(o)->spool_limit) < 0 || !request(o)->spool_limit)
        return err_set(err, EINVAL, "\"%s\" is not a size; write 500MiB, 20GiB", v);
    return 0;
}

int source_set_spool(void *o, const char *v, struct err *err)
{
    (void)err;
    request(o)->spool_dir = keep(&((struct source_options *)o)->spool, v);
    return 0;
}

int source_set_timezone(void *o, const char *v, struct err *err)
{
    (void)err;
    request(o)->timezone = keep(&((struct source_options *)o)->timezone, v);
    return 0;
}

int source_set_encoding(void *o, const char *v, struct err *err)
{
    (void)err;
    request(o)->encoding = keep(&((struct source_options *)o)->encoding, v);
    return 0;
}

static int set_moment(void *o, enum moment_kind kind, const char *v, struct err *err)
{
    struct moment *m = &((struct source_options *)o)->page.moment;

    if (m->kind != MOMENT_NONE)
        return err_set(err, EINVAL,
                       "only one of --at, --lsn, --xid, --restore-point and --latest "
                       "can be given");
    return moment_parse(kind, v, m, err);
}

int source_set_at(void *o, const char *v, struct err *err)
{
    return set_moment(o, MOMENT_TIME, v, err);
}

int source_set_lsn(void *o, const char *v, struct err *err)
{
    return set_moment(o, MOMENT_LSN, v, err);
}

int source_set_xid(void *o, const char *v, struct err *err)
{
    return set_moment(o, MOMENT_XID, v, err);
}

int source_set_restore_point(void *o, const char *v, struct err *err)
{
    return set_moment(o, MOMENT_RESTORE_POINT, v, err);
}

int source_set_latest(void *o, const char *v, struct err *err)
{
    return set_moment(o, MOMENT_LATEST, v ? v : "", err);
}

#define SET_TEXT(name)                                                                             \
    int source_set_##name(void *o, const char *v, struct err *err)                                 \
    {                                                                                              \
        (void)err;                                                                                 \
        keep(&((struct source_options *)o)->name, v);                                              \
        return 0;                                                                                  \
    }

SET_TEXT(view)
SET_TEXT(database)
SET_TEXT(run_as)
SET_TEXT(bindir)
SET_TEXT(log)
SET_TEXT(restore_command)

int source_set_trust_base(void *o, const char *v, struct err *err)
{
    (void)v, (void)err;
    request(o)->trust_base = true;
    return 0;
}

#define SET_FLAG(name)                                                                             \
    int source_set_##name(void *o, const char *v, struct err *err)                                 \
    {                                                                                              \
        (void)v, (void)err;                                                                        \
        ((struct source_options *)o)->name = true;                                                 \
        return 0;                                                                                  \
    }

SET_FLAG(dry_run)
SET_FLAG(quiet)
SET_FLAG(debug)
SET_FLAG(help)
SET_FLAG(version)

void source_init(struct source_options *o)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    *o = (struct source_options){.request = {
                                     .jobs = cores < 1                  ? 1
                                             : cores > MAX_DEFAULT_JOBS ? MAX_DEFAULT_JOBS
                                                                        : (unsigned)cores,
                                     .chunk_size = 256u << 20,
                                     .lock_timeout_ms = 10000,
                                     .freeze_timeout_ms = 5000,
                                     .worker_timeout_ms = 60000,
                                     .spool_dir = "/var/tmp",
                                     .timezone = "UTC",
                                     .stop_fd = -1,
                                 }};
}

void source_free(struct source_options *o)
{
    source_close(o);
    moment_free(&o->page.moment);
    free(o->view);
    free(o->database);
    free(o->run_as);
    free(o->bindir);
    free(o->log);
    free(o->restore_command);
    free(o->shown_source);
    tablelist_free(&o->request.tables);
    free(o->spool);
    free(o->timezone);
    free(o->encoding);
    free((char *)(uintptr_t)o->request.source);
}

void source_take(struct source_options *o, char *arg)
{
    o->request.source = mem_strdup(arg);
    o->request.quiet = o->quiet;
    pg_target_scrub(arg);
    log_set_level(o->debug ? LOG_LEVEL_DEBUG : o->quiet ? LOG_LEVEL_QUIET : LOG_LEVEL_NORMAL);
}

int source_check(const struct source_options *o, struct err *err)
{
    const char *encoding = o->request.encoding;

    if (o->request.format == PG_FORMAT_BINARY && encoding && strcasecmp(encoding, "UTF8") != 0)
        return err_set(err, EINVAL, "--encoding=%s is not possible with --format=binary", encoding);
    return 0;
}

/* ---- a store as the source ---- */

static bool asks_for_pageview(const struct source_options *o)
{
    return o->page.moment.kind != MOMENT_NONE || o->view || o->database || o->run_as || o->bindir ||
           o->log || o->restore_command || o->request.trust_base || o->request.pages;
}

static const char *find_database(const struct source_options *o, struct err *err)
{
    char *const *names = pageview_databases(o->pageview), *const * n;
    const struct pg_omitted *left = pageview_omitted(o->pageview);
    struct buf all = {0};

    while (left->name && strcmp(left->name, o->database) != 0)
        left++;
    for (n = names; *n && strcmp(*n, o->database) != 0; n++)
        buf_printf(&all, "%s%s", all.len ? ", " : "", *n);
    if (!*n && left->name)
        err_set(err, ENOENT, "the database \"%s\" cannot be shown at that moment: %s", o->database,
                left->why);
    else if (!*n)
        err_set(err, ENOENT, "there is no database \"%s\" at that moment; there are: %s",
                o->database, all.data ? all.data : "none");
    buf_free(&all);
    return *n;
}

static void show(struct source_options *o, const char *database)
{
    struct pageview_shown shown = pageview_shown(o->pageview);

    o->shown_source = mem_printf("%s of %s", database, o->page.store);
    o->shown =
        (struct view_shown){.source = o->shown_source, .unix_us = shown.time_us, .lsn = shown.lsn};
    free((char *)(uintptr_t)o->request.source);
    o->request.source = pageview_source(o->pageview, database);
    o->request.shown = &o->shown;
}

/* It may also be one that may not be looked into. */
static int refuse_source(const struct source_options *o, struct err *err)
{
    const char *source = o->request.source;
    struct store *s;

    if (access(source, X_OK) < 0 && errno == EACCES && store_open(source, &s, err) < 0)
        return -err->code;
    return err_set(
        err, EINVAL,
        "--at and the other options of page views need a store as SOURCE; \"%s\" is none", source);
}

int source_open(struct source_options *o, struct err *err)
{
    const char *database;
    int rc;

    if (!store_is(o->request.source))
        return asks_for_pageview(o) ? refuse_source(o, err) : 0;
    if (o->page.moment.kind == MOMENT_NONE && !o->view)
        return err_set(err, EINVAL,
                       "which moment? --at=TIME, --lsn=LSN, --xid=N, "
                       "--restore-point=NAME or --latest; or --view=NAME");
    o->page.store = mem_strdup(o->request.source);
    o->page.view = o->view;
    o->page.run_as = o->run_as;
    o->page.bindir = o->bindir;
    o->page.log = o->log;
    o->page.restore_command = o->restore_command;
    o->page.pages = o->request.pages;
    o->page.database = o->database;
    o->page.connections = o->request.jobs + 5;
    o->page.quiet = o->quiet;
    o->page.stop_fd = o->request.stop_fd;
    rc = pageview_open(&o->page, &o->pageview, err);
    if (rc < 0)
        return rc;
    o->request.bindir = pageview_bindir(o->pageview);
    if (!o->database) {
        o->databases = (struct databases_request){&o->request, o->pageview, o->page.store};
        return 0;
    }
    database = find_database(o, err);
    if (!database)
        return -err->code;
    show(o, database);
    return 0;
}

int source_check_nowait(const struct source_options *o, struct err *err)
{
    if (o->database || !store_is(o->request.source))
        return 0;
    return err_set(err, EINVAL,
                   "--nowait can show one database of a store: --database=NAME says which");
}

/* What looks like a path libpq takes for the name of a database. */
static int hint_no_store(const struct source_options *o, struct err *err)
{
    const char *source = o->request.source;

    if (!strchr(source, '/') || strchr(source, '=') || strstr(source, "://"))
        return -err->code;
    return err_hint(err, "and %s is no store (no store.json there)", source);
}

int source_freeze(struct source_options *o, struct view **v, struct err *err)
{
    return view_freeze(&o->request, v, err) < 0 ? hint_no_store(o, err) : 0;
}

int source_extract(struct source_options *o, struct view **v, struct err *err)
{
    int rc;

    if (o->databases.page)
        return databases_extract(&o->databases, v, err);
    rc = source_freeze(o, v, err);
    return rc == 0 ? view_extract(*v, err) : rc;
}

int source_extract_files(struct source_options *o, const struct outdir *d, struct view **v,
                         struct err *err)
{
    int rc;

    if (o->databases.page)
        return databases_extract_files(&o->databases, d->fd, d->hidden, v, err);
    rc = source_freeze(o, v, err);
    return rc == 0 ? view_extract_files(*v, d->fd, d->hidden, err) : rc;
}

void source_release(struct source_options *o)
{
    o->databases.page = NULL;
    if (o->request.pages)
        pageview_release(o->pageview);
    else
        source_close(o);
}

struct store_view *source_pages(const struct source_options *o)
{
    return o->pageview ? pageview_pages(o->pageview) : NULL;
}

void source_close(struct source_options *o)
{
    o->databases.page = NULL;
    pageview_close(o->pageview);
    o->pageview = NULL;
    free((char *)(uintptr_t)o->page.store);
    o->page.store = NULL;
}

int source_check_spool(const struct source_options *o, struct err *err)
{
    const char *dir = o->request.spool_dir;
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

static int print_plan(struct source_options *o, struct err *err)
{
    struct snapshot *s;
    int rc;

    if (o->databases.page)
        return databases_print_plan(&o->databases, stdout, err);
    rc = snapshot_freeze(&o->request, &s, err);
    if (rc < 0)
        return hint_no_store(o, err);
    snapshot_print_plan(s, stdout);
    snapshot_free(s);
    return 0;
}

int source_dry_run(struct source_options *o)
{
    struct stop stop;
    struct err err;
    int rc = stop_open(&stop, &err);

    o->request.stop_fd = stop.fd;
    if (rc == 0)
        rc = source_open(o, &err);
    if (rc == 0)
        rc = print_plan(o, &err);
    if (rc < 0)
        log_error("%s", err.text);
    stop_close(&stop, true);
    return rc == 0 && fflush(stdout) == 0 ? 0 : 1;
}

int usage_error(const char *command, const struct err *err)
{
    log_error("%s: %s", command, err->text);
    fprintf(stderr, "Try \"asofs %s --help\".\n", command);
    return EXIT_USAGE;
}
