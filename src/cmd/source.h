/* What mount and extract have in common: the options that say what is taken from where. */
#ifndef ASOFS_CMD_SOURCE_H
#define ASOFS_CMD_SOURCE_H

#include <stdbool.h>

#include "common/option.h"
#include "pg/pattern.h"
#include "view/databases.h"
#include "view/outdir.h"

struct source_options {
    struct view_request request;
    char *spool, *timezone, *encoding; /* what request points at, when given */
    struct pageview_request page;      /* of a SOURCE that is a store */
    char *view, *database, *run_as, *bindir, *log, *restore_command;
    struct view_shown shown;
    char *shown_source;
    struct pageview *pageview;
    struct databases_request databases; /* of all; .page NULL: of one, request.source */
    bool dry_run;
    bool quiet;
    bool debug;
    bool help;
    bool version;
};

/* The rows of an option table; the target's first member must be a struct source_options. */
#define SOURCE_OPTION_DEFS                                                                         \
    {"jobs", 'j', true, false, source_set_jobs}, {"tables", 't', true, false, source_set_tables},  \
        {"exclude-table", 'T', true, false, source_set_exclude_table},                             \
        {"tables-from", 0, true, false, source_set_tables_from},                                   \
        {"readable", 0, false, false, source_set_readable},                                        \
        {"format", 0, true, false, source_set_format},                                             \
        {"chunk-size", 0, true, false, source_set_chunk_size},                                     \
        {"lock-timeout", 0, true, false, source_set_lock_timeout},                                 \
        {"worker-timeout", 0, true, false, source_set_worker_timeout},                             \
        {"freeze", 0, true, false, source_set_freeze},                                             \
        {"freeze-timeout", 0, true, false, source_set_freeze_timeout},                             \
        {"hold-limit", 0, true, false, source_set_hold_limit},                                     \
        {"spool-limit", 0, true, false, source_set_spool_limit},                                   \
        {"spool", 0, true, false, source_set_spool},                                               \
        {"timezone", 0, true, false, source_set_timezone}, {"at", 0, true, false, source_set_at},  \
        {"lsn", 0, true, false, source_set_lsn}, {"xid", 0, true, false, source_set_xid},          \
        {"restore-point", 0, true, false, source_set_restore_point},                               \
        {"latest", 0, false, false, source_set_latest}, {"view", 0, true, false, source_set_view}, \
        {"database", 0, true, false, source_set_database},                                         \
        {"run-as", 0, true, false, source_set_run_as},                                             \
        {"bindir", 0, true, false, source_set_bindir}, {"log", 0, true, false, source_set_log},    \
        {"restore-command", 0, true, false, source_set_restore_command},                           \
        {"trust-base", 0, false, false, source_set_trust_base},                                    \
        {"encoding", 0, true, false, source_set_encoding},                                         \
        {"dry-run", 0, false, false, source_set_dry_run},                                          \
        {"quiet", 'q', false, false, source_set_quiet},                                            \
        {"debug", 'd', false, false, source_set_debug},                                            \
        {"help", 'h', false, false, source_set_help},                                              \
    {                                                                                              \
        "version", 'V', false, false, source_set_version                                           \
    }

int source_set_jobs(void *o, const char *v, struct err *err);
int source_set_tables(void *o, const char *v, struct err *err);
int source_set_exclude_table(void *o, const char *v, struct err *err);
int source_set_tables_from(void *o, const char *v, struct err *err);
int source_set_readable(void *o, const char *v, struct err *err);
int source_set_format(void *o, const char *v, struct err *err);
int source_set_chunk_size(void *o, const char *v, struct err *err);
int source_set_lock_timeout(void *o, const char *v, struct err *err);
int source_set_worker_timeout(void *o, const char *v, struct err *err);
int source_set_freeze(void *o, const char *v, struct err *err);
int source_set_freeze_timeout(void *o, const char *v, struct err *err);
int source_set_hold_limit(void *o, const char *v, struct err *err);
int source_set_spool_limit(void *o, const char *v, struct err *err);
int source_set_spool(void *o, const char *v, struct err *err);
int source_set_timezone(void *o, const char *v, struct err *err);
int source_set_at(void *o, const char *v, struct err *err);
int source_set_lsn(void *o, const char *v, struct err *err);
int source_set_xid(void *o, const char *v, struct err *err);
int source_set_restore_point(void *o, const char *v, struct err *err);
int source_set_latest(void *o, const char *v, struct err *err);
int source_set_view(void *o, const char *v, struct err *err);
int source_set_database(void *o, const char *v, struct err *err);
int source_set_run_as(void *o, const char *v, struct err *err);
int source_set_bindir(void *o, const char *v, struct err *err);
int source_set_log(void *o, const char *v, struct err *err);
int source_set_restore_command(void *o, const char *v, struct err *err);
int source_set_trust_base(void *o, const char *v, struct err *err);
int source_set_encoding(void *o, const char *v, struct err *err);
int source_set_dry_run(void *o, const char *v, struct err *err);
int source_set_quiet(void *o, const char *v, struct err *err);
int source_set_debug(void *o, const char *v, struct err *err);
int source_set_help(void *o, const char *v, struct err *err);
int source_set_version(void *o, const char *v, struct err *err);

/* The help text of these options. */
extern const char source_help[];

void source_init(struct source_options *o);
void source_free(struct source_options *o);

/* Copy SOURCE out of argv and overwrite a password in argv. */
void source_take(struct source_options *o, char *arg);

/* Refuse options that exclude each other. */
int source_check(const struct source_options *o, struct err *err);

/* Refuse a spool directory that cannot be written, before any work. */
int source_check_spool(const struct source_options *o, struct err *err);

/*
 * Before view_freeze: a SOURCE that is a store becomes a private server that shows the moment asked
 * for, and request.source says how to reach the database, or `databases` that all of them are
 * meant. Other sources are left as they are.
 */
int source_open(struct source_options *o, struct err *err);

/* Refuse what --nowait cannot do, before the moment is reached. */
int source_check_nowait(const struct source_options *o, struct err *err);

/* view_freeze; of a source that may have been meant for a store, it is said that it is none. */
int source_freeze(struct source_options *o, struct view **v, struct err *err);

/* Freeze and extract: into the spool, or into the directory. *v is the caller's to free, also after
 * a failure. */
int source_extract(struct source_options *o, struct view **v, struct err *err);
int source_extract_files(struct source_options *o, const struct outdir *d, struct view **v,
                         struct err *err);

/* The private server is not needed any more, nor is anything else of a page view but its pages. */
void source_release(struct source_options *o);

/* The data directory of a page view, when request.pages asked for it; NULL: not so. It is open
 * until source_close. */
struct store_view *source_pages(const struct source_options *o);
void source_close(struct source_options *o);

/* --dry-run: freeze, print, release. Returns the exit status. */
int source_dry_run(struct source_options *o);

/* Print "asofs: COMMAND: TEXT" and the hint to --help; returns EXIT_USAGE. */
int usage_error(const char *command, const struct err *err);

#endif
