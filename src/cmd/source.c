#include "cmd/source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/subcommand.h"
#include "common/log.h"
#include "common/stop.h"
#include "common/units.h"

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
    "      --latest              the end of the log; of a live base, now\n"
    "      --checkpoint          then its server makes a checkpoint before: less is replayed\n"
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

/* ---- what no row says ---- */

int source_set_tables(void *tables, const char *v, struct err *err)
{
    return tablelist_add_pattern(tables, v, err);
}

int source_set_exclude_table(void *tables, const char *v, struct err *err)
{
    return tablelist_exclude(tables, v, err);
}

static int set_tables_from(void *tables, const char *v, struct err *err)
{
    return tablelist_read(tables, v, err);
}

static int set_chunk_size(void *bytes, const char *v, struct err *err)
{
    uint64_t n;

    if (units_parse_size(v, &n) < 0)
        return err_set(err, EINVAL, "\"%s\" is not a size; write 64MiB, 1GiB", v);
    if (n < MIN_CHUNK_SIZE)
        return err_set(err, EINVAL, "%s is too small; at least 8KiB, one page", v);
    *(uint64_t *)bytes = n;
    return 0;
}

static int set_freeze(void *by_lock, const char *v, struct err *err)
{
    if (strcmp(v, "export") != 0 && strcmp(v, "lock") != 0)
        return err_set(err, EINVAL, "\"%s\" is none of export, lock", v);
    *(bool *)by_lock = strcmp(v, "lock") == 0;
    return 0;
}

static int set_moment(struct moment *m, enum moment_kind kind, const char *v, struct err *err)
{
    if (m->kind != MOMENT_NONE)
        return err_set(err, EINVAL,
                       "only one of --at, --lsn, --xid, --restore-point and --latest "
                       "can be given");
    return moment_parse(kind, v, m, err);
}

static int set_at(void *moment, const char *v, struct err *err)
{
    return set_moment(moment, MOMENT_TIME, v, err);
}

static int set_lsn(void *moment, const char *v, struct err *err)
{
    return set_moment(moment, MOMENT_LSN, v, err);
}

static int set_xid(void *moment, const char *v, struct err *err)
{
    return set_moment(moment, MOMENT_XID, v, err);
}

static int set_restore_point(void *moment, const char *v, struct err *err)
{
    return set_moment(moment, MOMENT_RESTORE_POINT, v, err);
}

static int set_latest(void *moment, const char *v, struct err *err)
{
    (void)v;
    return set_moment(moment, MOMENT_LATEST, "", err);
}

/* ---- the rows ---- */

#define DURATION(name, member)                                                                     \
    OPTION_DURATION(name, 0, struct source, member, 1, "is not a duration; write 500ms, 10s, 5min")

const struct option_def source_options[] = {
    OPTION_NUMBER("jobs", 'j', struct source, request.jobs, 10, 1, MAX_JOBS,
                  "is not a number from 1 to 256"),
    OPTION_CALL("tables", 't', struct source, request.tables, source_set_tables),
    OPTION_CALL("exclude-table", 'T', struct source, request.tables, source_set_exclude_table),
    OPTION_CALL("tables-from", 0, struct source, request.tables, set_tables_from),
    OPTION_FLAG("readable", 0, struct source, request.readable),
    OPTION_CALL("chunk-size", 0, struct source, request.chunk_size, set_chunk_size),
    OPTION_CALL("freeze", 0, struct source, request.freeze_by_lock, set_freeze),
    DURATION("lock-timeout", request.lock_timeout_ms),
    DURATION("worker-timeout", request.worker_timeout_ms),
    DURATION("freeze-timeout", request.freeze_timeout_ms),
    DURATION("hold-limit", request.hold_limit_ms),
    OPTION_CALL("at", 0, struct source, page.moment, set_at),
    OPTION_CALL("lsn", 0, struct source, page.moment, set_lsn),
    OPTION_CALL("xid", 0, struct source, page.moment, set_xid),
    OPTION_CALL("restore-point", 0, struct source, page.moment, set_restore_point),
    OPTION_CALL_FLAG("latest", 0, struct source, page.moment, set_latest),
    OPTION_FLAG("checkpoint", 0, struct source, page.checkpoint),
    OPTION_TEXT("view", 0, struct source, page.view),
    OPTION_TEXT("database", 0, struct source, page.database),
    OPTION_TEXT("run-as", 0, struct source, page.run_as),
    OPTION_TEXT("bindir", 0, struct source, page.bindir),
    OPTION_TEXT("log", 0, struct source, page.log),
    OPTION_TEXT("restore-command", 0, struct source, page.restore_command),
    OPTION_FLAG("trust-base", 0, struct source, request.trust_base),
    OPTION_FLAG("quiet", 'q', struct source, request.quiet),
    OPTION_END,
};

const struct option_def flatfile_options[] = {
    OPTION_CHOICE("format", 0, struct source, request.format, pg_format_names),
    OPTION_TEXT("timezone", 0, struct source, request.timezone),
    OPTION_TEXT("encoding", 0, struct source, request.encoding),
    OPTION_TEXT("spool", 0, struct source, request.spool_dir),
    OPTION_SIZE("spool-limit", 0, struct source, request.spool_limit, 1,
                "is not a size; write 500MiB, 20GiB"),
    OPTION_END,
};

const char *const source_render_names[] = {[SNAPSHOT_COPY] = "never",
                                           [SNAPSHOT_RENDER_WHERE_IT_PAYS] = "auto",
                                           [SNAPSHOT_RENDER] = "always",
                                           NULL};

const struct option_def source_command_options[] = {
    OPTION_ROWS(struct source_command, source, source_options),
    OPTION_ROWS(struct source_command, source, flatfile_options),
    OPTION_FLAG("dry-run", 0, struct source_command, dry_run),
    OPTION_FLAG("debug", 'd', struct source_command, debug),
    OPTION_FLAG("help", 'h', struct source_command, help),
    OPTION_FLAG("version", 'V', struct source_command, version),
    OPTION_END,
};

/* ---- a command line ---- */

bool source_command_parse(struct source_command *c, const struct source_command_def *def,
                          void *target, int argc, char **argv, char *operands[2], int *status)
{
    struct err err;
    int n = option_parse(def->options, def->take_o, target, argc, argv, operands, 2, &err);
    bool alone = n >= 0 && def->alone && def->alone(target);

    *status = 0;
    if (n >= 0 && source_check(&c->source, &err) < 0)
        n = -EINVAL;
    if (n >= 0 && c->help) {
        *status = def->print_help();
    } else if (n >= 0 && c->version) {
        *status = printf("asofs %s\n", PACKAGE_VERSION) < 0;
    } else {
        if (n >= 0 && n < 2 && !(n == 1 && (c->dry_run || alone)))
            n = err_set(&err, EINVAL, "%s %s needed", alone ? "SOURCE" : def->operands,
                        alone ? "is" : "are");
        else if (n == 2 && alone)
            n = err_set(&err, EINVAL, "SOURCE is all that is needed");
        if (n >= 0)
            return true;
        *status = usage_error(def->name, &err);
    }
    return false;
}

void source_command_begin(struct source_command *c, char *source)
{
    source_take(&c->source, source);
    log_set_level(c->debug                  ? LOG_LEVEL_DEBUG
                  : c->source.request.quiet ? LOG_LEVEL_QUIET
                                            : LOG_LEVEL_NORMAL);
}

int source_dry_run(struct source *s)
{
    struct stop stop;
    struct err err;
    int rc = stop_open(&stop, &err);

    s->request.stop_fd = stop.fd;
    if (rc == 0)
        rc = source_open(s, &err);
    if (rc == 0)
        rc = source_print_plan(s, stdout, &err);
    if (rc < 0)
        log_error("%s", err.text);
    stop_close(&stop, true);
    return rc == 0 && fflush(stdout) == 0 ? 0 : 1;
}
