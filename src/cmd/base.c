/*
 * asofs base: take bases, adopt them, keep their log coming, advance, list and drop them. What is
 * done stands in base/ (create.h, adopt.h, follow.h, advance.h, list.h, rebase.h): here are the
 * options, and what is said.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/baselist.h"
#include "cmd/cmd.h"
#include "cmd/subcommand.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/stop.h"
#include "pg/conn.h"
#include "base/adopt.h"
#include "base/advance.h"
#include "base/create.h"
#include "base/list.h"
#include "base/follow.h"
#include "base/rebase.h"

#define DEFAULT_DELAY_MS 30000 /* between attempts to receive, at most */

struct options {
    char *slot, *run_as, *bindir, *log, *restore_command;
    int64_t restart_delay_ms, advance_every_ms, every_ms; /* the last two 0: never, once */
    struct moment until;
    bool unbounded_slot, crashed, live, primary, all, unproven, quiet, help;
};

static int check_slot(const char *v, struct err *err)
{
    size_t n = strspn(v, "abcdefghijklmnopqrstuvwxyz0123456789_");

    if (!*v || v[n] || n > 63)
        return err_set(
            err, EINVAL,
            "\"%s\" is no name for a slot: it is 1 to 63 small letters, digits and \"_\"", v);
    return 0;
}

static int check_restore_command(const char *v, struct err *err)
{
    if (!strstr(v, "%f") || !strstr(v, "%p"))
        return err_set(err, EINVAL, "it needs %%f (the file that is asked for) and %%p (where to)");
    return 0;
}

static int set_until(struct moment *m, enum moment_kind kind, const char *v, struct err *err)
{
    if (m->kind != MOMENT_NONE)
        return err_set(err, EINVAL, "only one of --at and --lsn can be given");
    return moment_parse(kind, v, m, err);
}

static int set_at(void *until, const char *v, struct err *err)
{
    return set_until(until, MOMENT_TIME, v, err);
}

static int set_lsn(void *until, const char *v, struct err *err)
{
    return set_until(until, MOMENT_LSN, v, err);
}

/* ---- create ---- */

static void tell_waiting(void *arg, const char *segment)
{
    (void)arg;
    log_note("waiting until the log of the backup has been received (%s)", segment);
}

static void tell_created(const struct base_create_result *r, const struct err *failed)
{
    if (r->slot_left)
        log_error("the replication slot \"%s\" may be left (%s)\nthe store is kept, since it knows "
                  "it: asofs base drop --all removes it, base create goes on with it",
                  r->slot_left, r->slot_left_why);
    if (failed)
        log_error("%s", failed->text);
    else
        printf("%s\n", r->id);
    if (!failed && r->left_out.password)
        log_note(
            "the password is not kept: asofs base follow, list and drop --all need it in the "
            "password file (~/.pgpass, passfile=) of the user who runs them, or in PGPASSWORD");
    if (!failed && r->left_out.others)
        log_note(
            "sslpassword is not kept: it is of no use to pg_receivewal, which gets the password "
            "alone; name a key without one");
}

static int run_create(const void *options, char **operands)
{
    const struct options *o = options;
    char *conninfo = mem_strdup(operands[1]);
    struct base_create_request req = {.store = operands[0],
                                      .conninfo = conninfo,
                                      .slot = o->slot,
                                      .unbounded_slot = o->unbounded_slot,
                                      .run_as = o->run_as,
                                      .bindir = o->bindir,
                                      .quiet = o->quiet,
                                      .waiting = tell_waiting};
    struct base_create_result r = {0};
    struct stop stop;
    struct err err;
    int rc = stop_open(&stop, &err);

    pg_target_scrub(operands[1]);
    req.stop_fd = stop.fd;
    if (rc == 0)
        rc = base_create(&req, &r, &err);
    tell_created(&r, rc < 0 ? &err : NULL);
    stop_close(&stop, true);
    base_create_result_free(&r);
    explicit_bzero(conninfo, strlen(conninfo));
    free(conninfo);
    return rc < 0 ? 1 : command_printed(0);
}

/* ---- follow ---- */

static void tell_followed(void *arg, const struct follow_news *news)
{
    (void)arg;
    switch (news->event) {
    case FOLLOW_RECEIVES:
        log_note("receiving the log of the replication slot \"%s\" into %s", news->slot, news->log);
        break;
    case FOLLOW_FAILED:
        log_error("%s", news->why);
        break;
    case FOLLOW_PAUSES:
        log_note("trying again in %.1f s", (double)news->pause_ms / 1000);
        break;
    }
}

static int run_follow(const void *options, char **operands)
{
    const struct options *o = options;
    struct follow_request req = {.store = operands[0],
                                 .restart_delay_ms = o->restart_delay_ms,
                                 .advance_every_ms = o->advance_every_ms,
                                 .run_as = o->run_as,
                                 .bindir = o->bindir,
                                 .tell = tell_followed};
    struct stop stop;
    struct err err;
    int rc = stop_open(&stop, &err);

    req.stop_fd = stop.fd;
    if (rc == 0)
        rc = base_follow(&req, &err);
    stop_close(&stop, true);
    return rc < 0 ? command_failed(&err) : 0;
}

/* ---- add ---- */

static int run_add(const void *options, char **operands)
{
    const struct options *o = options;
    struct base_adopt_request req = {.store = operands[0],
                                     .dir = operands[1],
                                     .log = o->log,
                                     .restore_command = o->restore_command,
                                     .crashed = o->crashed,
                                     .live = o->live,
                                     .primary = o->primary,
                                     .run_as = o->run_as,
                                     .bindir = o->bindir};
    struct err err;
    char *id;

    if ((o->primary && !o->live) || (o->crashed && o->live)) {
        err_set(&err, EINVAL,
                o->crashed ? "--live and --crashed exclude each other"
                           : "--primary goes with --live");
        return usage_error("base add", &err);
    }
    if (base_adopt(&req, &id, &err) < 0)
        return command_failed(&err);
    printf("%s\n", id);
    free(id);
    return command_printed(0);
}

/* ---- advance ---- */

static int advance_once(const struct advance_request *req)
{
    struct advance_result r;
    struct err err;
    int rc = base_advance(req, &r, &err);

    if (rc < 0)
        log_error("%s", err.text);
    else if (r.id)
        printf("%s\n", r.id);
    else
        log_note("base %s stays the newest: the whole segments after it hold no checkpoint that "
                 "could be reached (SELECT pg_switch_wal() ends the one being written)%s%s",
                 r.parent,
                 r.fetcher ? "\nthe command that fetches the log failed last with:\n" : "",
                 r.fetcher ? r.fetcher : "");
    advance_result_free(&r);
    return rc < 0 ? 1 : command_printed(0);
}

/* --every: that nothing is gained is no news. */
static void tell_advanced(const struct advance_result *r, const struct err *why)
{
    if (why && why->code != EINTR)
        log_error("cannot advance: %s", why->text);
    else if (!why && r->id)
        log_note("base %s is a layer on base %s", r->id, r->parent);
}

/* root stays root here: it has to mount. */
static int run_advance(const void *options, char **operands)
{
    const struct options *o = options;
    struct advance_request req = {.store = operands[0],
                                  .until = o->until,
                                  .run_as = o->run_as,
                                  .bindir = o->bindir,
                                  .log = o->log,
                                  .restore_command = o->restore_command};
    struct stop stop;
    struct err err;
    int status;

    if (stop_open(&stop, &err) < 0)
        return command_failed(&err);
    req.stop_fd = stop.fd;
    if (!o->every_ms)
        status = advance_once(&req);
    else if (base_advance_every(&req, &stop, o->every_ms, tell_advanced, &err) < 0)
        status = command_failed(&err);
    else
        status = 0;
    stop_close(&stop, true);
    return status;
}

/* ---- list ---- */

static int run_list(const void *options, char **operands)
{
    const struct options *o = options;

    return baselist_print(operands[0], o->run_as);
}

/* ---- drop ---- */

static int run_drop(const void *options, char **operands)
{
    const struct options *o = options;
    struct err err;

    if (!o->all == !operands[1]) {
        err_set(&err, EINVAL, "STORE and either ID or --all are needed");
        return usage_error("base drop", &err);
    }
    if (base_drop(operands[0], operands[1], o->run_as, &err) < 0)
        return command_failed(&err);
    if (o->all)
        log_note("%s holds no base any more; what is not needed can be removed (rm -r)",
                 operands[0]);
    return 0;
}

/* ---- rebase ---- */

static void print_rebased(void *arg, const char *id, uint64_t proved, uint64_t unproven)
{
    *(bool *)arg = true;
    printf("base %s: taken as it is now; %" PRIu64 " files have the checksums that they had", id,
           proved);
    if (unproven)
        printf(", %" PRIu64 " only the sizes and times", unproven);
    putchar('\n');
}

static void print_finding(void *arg, const char *line)
{
    (void)arg;
    log_error("%s", line);
}

static int run_rebase(const void *options, char **operands)
{
    const struct options *o = options;
    bool some = false;
    struct rebase_request req = {.store = operands[0],
                                 .arg = &some,
                                 .run_as = o->run_as,
                                 .unproven = o->unproven,
                                 .rebased = print_rebased,
                                 .finding = print_finding};
    struct err err;

    if (base_rebase(&req, &err) < 0)
        return command_failed(&err);
    if (!some)
        puts("Nothing has to be done: every base is as it was when it was added.");
    return command_printed(0);
}

/* ---- which of them ---- */

static const struct option_def every_defs[] = {
    OPTION_TEXT("run-as", 0, struct options, run_as),
    OPTION_FLAG("help", 'h', struct options, help),
    OPTION_END,
};
static const struct option_def program_defs[] = {
    OPTION_TEXT("bindir", 0, struct options, bindir),
    OPTION_END,
};
static const struct option_def wal_defs[] = {
    OPTION_TEXT("log", 0, struct options, log),
    OPTION_CHECKED_TEXT("restore-command", 0, struct options, restore_command,
                        check_restore_command),
    OPTION_END,
};

static const struct option_def create_defs[] = {
    OPTION_CHECKED_TEXT("slot", 0, struct options, slot, check_slot),
    OPTION_FLAG("unbounded-slot", 0, struct options, unbounded_slot),
    OPTION_FLAG("quiet", 'q', struct options, quiet),
    OPTION_MORE(program_defs),
    OPTION_MORE(every_defs),
    OPTION_END,
};
static const struct option_def follow_defs[] = {
    OPTION_DURATION("restart-delay", 0, struct options, restart_delay_ms, 1,
                    "is no duration, such as 30s"),
    OPTION_DURATION("advance-every", 0, struct options, advance_every_ms, 1,
                    "is no duration, such as 15min"),
    OPTION_MORE(program_defs),
    OPTION_MORE(every_defs),
    OPTION_END,
};
static const struct option_def add_defs[] = {
    OPTION_FLAG("crashed", 0, struct options, crashed),
    OPTION_FLAG("live", 0, struct options, live),
    OPTION_FLAG("primary", 0, struct options, primary),
    OPTION_MORE(wal_defs),
    OPTION_MORE(program_defs),
    OPTION_MORE(every_defs),
    OPTION_END,
};
static const struct option_def advance_defs[] = {
    OPTION_CALL("at", 0, struct options, until, set_at),
    OPTION_CALL("lsn", 0, struct options, until, set_lsn),
    /* Internal: of follow. */
    OPTION_DURATION("every", 0, struct options, every_ms, 1, "is no duration, such as 15min"),
    OPTION_MORE(wal_defs),
    OPTION_MORE(program_defs),
    OPTION_MORE(every_defs),
    OPTION_END,
};
static const struct option_def rebase_defs[] = {
    OPTION_FLAG("unproven", 0, struct options, unproven),
    OPTION_MORE(every_defs),
    OPTION_END,
};
static const struct option_def drop_defs[] = {
    OPTION_FLAG("all", 0, struct options, all),
    OPTION_MORE(every_defs),
    OPTION_END,
};

#define RUN_AS_HELP                                                                                \
    "  --run-as=USER       who does it, when root starts it (default: the store's owner)\n"
#define BINDIR_HELP "  --bindir=DIR        where PostgreSQL's programs are\n"
#define HELP_HELP "  -h, --help          this text\n"

static const struct subcommand subcommands[] = {
    {"create", "STORE and CONNINFO are",
     "Usage: asofs base create STORE CONNINFO [OPTION]...\n"
     "Take a base from a running server with pg_basebackup, and print its id. The server keeps "
     "its\n"
     "log for the store from then on, in a replication slot: asofs base follow fetches it. STORE "
     "is\n"
     "made when it does not exist.\n\n"
     "  --slot=NAME         the replication slot that is made (default: asofs)\n"
     "  --unbounded-slot    also when the server sets no bound to what it keeps for a slot\n"
     "  -q, --quiet         no progress\n" RUN_AS_HELP BINDIR_HELP HELP_HELP,
     create_defs, 2, 2, run_create},
    {"follow", "STORE is",
     "Usage: asofs base follow STORE [OPTION]...\n"
     "Receive the log of the server that the store's base is of, with pg_receivewal, until "
     "SIGTERM\n"
     "or SIGINT. When the server is away, try again and again.\n\n"
     "  --restart-delay=DURATION\n"
     "                      the longest pause between two attempts (default: 30s)\n"
     "  --advance-every=DURATION\n"
     "                      advance the newest base that often (asofs base advance)\n" RUN_AS_HELP
         BINDIR_HELP HELP_HELP,
     follow_defs, 1, 1, run_follow},
    {"add", "STORE and DIR are",
     "Usage: asofs base add STORE DIR [OPTION]...\n"
     "Adopt a data directory in place as a base, and print its id: a restored backup, or what a\n"
     "server or standby left that was shut down. DIR is never written, and must not change from "
     "now\n"
     "on. STORE is made when it does not exist.\n\n"
     "  --log=DIR           where its log is archived\n"
     "  --restore-command=COMMAND\n"
     "                      what fetches a segment %f of it to %p\n"
     "  --crashed           also what a crash or an atomic snapshot left, without a "
     "backup_label\n"
     "  --live              a stopped standby whose server then runs while asofs live serves DIR:\n"
     "                      asofs mount --latest freezes it\n"
     "  --primary           with --live: also a primary's\n" RUN_AS_HELP BINDIR_HELP HELP_HELP,
     add_defs, 2, 2, run_add},
    {"advance", "STORE is",
     "Usage: asofs base advance STORE [OPTION]...\n"
     "Replay the newest base forward into a layer on it, a base of its own, and print its id. "
     "Later\n"
     "moments are then mounted from there, and replay little. Without a checkpoint in the log "
     "after\n"
     "the newest base nothing is made. Where that stands on 13 layers, the new one replaces "
     "some.\n\n"
     "  --at=TIME           no further than to this time (default: to the end of the log)\n"
     "  --lsn=LSN           no further than to this place on the log\n"
     "  --log=DIR           where the log is, if not where the store says\n"
     "  --restore-command=COMMAND\n"
     "                      what fetches a segment %f of it to %p\n" RUN_AS_HELP BINDIR_HELP
         HELP_HELP,
     advance_defs, 1, 1, run_advance},
    {"list", "STORE is",
     "Usage: asofs base list STORE\n"
     "The bases of a store, from which moment to which they can be mounted, the log with its "
     "gaps,\n"
     "and what the server keeps.\n\n" RUN_AS_HELP HELP_HELP,
     every_defs, 1, 1, run_list},
    {"drop", "STORE and either ID or --all are",
     "Usage: asofs base drop STORE ID\n"
     "       asofs base drop STORE --all\n"
     "Remove a base that no view and no layer stands on. A directory that was adopted stays.\n\n"
     "  --all               all bases, the log that was received, and the slot on the "
     "server\n" RUN_AS_HELP HELP_HELP,
     drop_defs, 1, 2, run_drop},
    {"rebase", "STORE is",
     "Usage: asofs base rebase STORE [--unproven]\n"
     "Take the bases of a store that was moved, copied or restored as they are now: names and "
     "sizes of\n"
     "their files must be as they were, and their contents those of the backup_manifest. Then "
     "layers and\n"
     "views are checked.\n\n"
     "  --unproven          also files that no checksum proves, if size and time are as they "
     "were\n" RUN_AS_HELP HELP_HELP,
     rebase_defs, 1, 1, run_rebase},
};

static const char general_help[] =
    "Usage: asofs base COMMAND STORE ...\n"
    "Bases are what past moments are mounted from, with the log that follows them.\n\n"
    "  asofs base create STORE CONNINFO    take one from a running server\n"
    "  asofs base follow STORE             keep its log coming\n"
    "  asofs base add STORE DIR            adopt a data directory in place\n"
    "  asofs base advance STORE            replay the newest forward, so that later moments are "
    "near\n"
    "  asofs base list STORE               what there is, and which moments can be mounted\n"
    "  asofs base drop STORE ID|--all      remove one, or all and the slot\n"
    "  asofs base rebase STORE             of a store that was moved or restored\n\n"
    "The manual is asofs-base(1).\n";

int cmd_base(int argc, char **argv)
{
    static const struct subcommands all = {"base", general_help, subcommands,
                                           sizeof(subcommands) / sizeof(*subcommands), true};
    struct options o = {.restart_delay_ms = DEFAULT_DELAY_MS};
    int status = subcommand_main(&all, &o, &o.help, argc, argv);

    moment_free(&o.until);
    return status;
}
