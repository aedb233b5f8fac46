/* asofs live: a data directory is served to its server, and frozen. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/liveserve.h"
#include "cmd/livestatus.h"
#include "cmd/subcommand.h"
#include "common/mem.h"
#include "common/option.h"
#include "pg/checkpoint.h"
#include "replay/livefreeze.h"
#include "replay/owner.h"
#include "replay/rungs.h"
#include "store/livewal.h"
#include "store/store.h"

struct options {
    struct live_serve_options serve;
    bool help;
};

/* Without --keep. A rung costs what the server changes until the next. */
#define DEFAULT_KEEP 48
#define MOST_RUNGS 100000

static const struct option_def defs[] = {
    OPTION_FLAG("primary", 0, struct options, serve.primary),
    OPTION_FLAG("foreground", 'f', struct options, serve.foreground),
    OPTION_FLAG("durable-epochs", 0, struct options, serve.durable),
    OPTION_SIZE("epoch-limit", 0, struct options, serve.limit, 1, "is not a size"),
    OPTION_SIZE("log-limit", 0, struct options, serve.log_limit, 1, "is not a size"),
    OPTION_SIZE("reserve", 0, struct options, serve.reserve, 0, "is not a size"),
    OPTION_DURATION("freeze-every", 0, struct options, serve.rungs.every_ms, 1000,
                    "is not a duration of 1s at least; write 15min, 1h"),
    OPTION_NUMBER("keep", 0, struct options, serve.rungs.keep, 10, 1, MOST_RUNGS,
                  "is not a number from 1 to 100000"),
    OPTION_FLAG("checkpoint", 0, struct options, serve.rungs.checkpoint),
    OPTION_FLAG("recover", 0, struct options, serve.recover),
    OPTION_FLAG("help", 'h', struct options, help),
    OPTION_END,
};

static const char help[] =
    "Usage: asofs live STORE DIR [OPTION]...\n"
    "       asofs live STORE freeze [--checkpoint] [--keep=N]\n"
    "       asofs live STORE checkpoint\n"
    "       asofs live STORE list\n"
    "       asofs live STORE drop NUMBER\n"
    "Serve the live base of a store on DIR, as the data directory of its server, which runs "
    "there.\n"
    "freeze keeps it as it is now, at once and without the server noticing: it is in\n"
    "DIR/.asofs/frozen/NUMBER from then on, until it is dropped. What the server changes is "
    "written\n"
    "in place; the old page is kept in the store.\n\n"
    "      --primary            also a server that is no standby\n"
    "  -f, --foreground         stay in the foreground\n"
    "      --durable-epochs     freezes survive a crash of the operating system\n"
    "      --epoch-limit=SIZE   what all freezes may take; the oldest are given up\n"
    "      --log-limit=SIZE     what log may take that the server has done with; the oldest goes\n"
    "      --reserve=SIZE       what is left free on the store's disk (default: 256MB)\n"
    "      --freeze-every=TIME  freeze at that pace: 15min, 1h; each freeze is a rung\n"
    "      --keep=N             so many rungs are kept, the newest (default: 48); of freeze: make "
    "one\n"
    "      --checkpoint         the server makes a checkpoint before a freeze: less is replayed\n"
    "      --recover            first put away what a killed asofs live left: its mount, and the "
    "server\n"
    "                           that ran there\n"
    "  -h, --help               this text\n\n"
    "It ends when DIR is unmounted; at SIGINT and SIGTERM, as soon as no server uses it.\n";

/* ---- commands ---- */

static int refuse_baseless(const char *store, struct err *err)
{
    return err_set(err, ENOENT,
                   "the store %s has no live base: asofs base add %s DIR --live adds one", store,
                   store);
}

/* Of the server on the live base. */
static int checkpoint(const char *store, struct err *err)
{
    struct store *s = NULL;
    struct store_live l = {0};
    int rc = store_open(store, &s, err);

    if (rc == 0)
        rc = store_find_live(s, &l, err);
    if (rc == 0)
        rc = refuse_baseless(store, err);
    if (rc == 1)
        rc = store_cluster(s)
                 ? pg_checkpoint(l.directory, store_cluster(s)->system_identifier, -1, err)
                 : refuse_baseless(store, err);
    store_live_free(&l);
    store_close(s);
    return rc;
}

static int checkpoint_command(const struct options *o, const char *path, const char *operand,
                              struct err *err)
{
    (void)o, (void)operand;
    return checkpoint(path, err);
}

static int make_base(struct store *s, const struct pg_programs *p, unsigned keep, char **id,
                     struct err *err)
{
    return keep ? rungs_make(s, p, keep, id, err)
                : livefreeze_make(s, p, &(struct store_freeze){0}, id, err);
}

/* A base of the store, so that it can be mounted, and moments after it reached. */
static int freeze(const struct live_rungs_options *o, const char *path, struct err *err)
{
    struct pg_programs programs = {0};
    char *id = NULL, *view = NULL;
    struct store *s = NULL;
    uint64_t number = 0;
    int rc = owner_open_store(path, NULL, NULL, &s, &programs, err);

    if (rc == 0)
        rc = make_base(s, &programs, o->keep, &id, err);
    if (rc == 0)
        rc = store_is_frozen(s, id, &number, &view, err);
    if (rc == 1)
        printf("%" PRIu64 "\n", number);
    owner_leave(&programs);
    store_close(s);
    pg_programs_free(&programs);
    free(view);
    free(id);
    return rc < 0 ? rc : 0;
}

static int freeze_command(const struct options *o, const char *path, const char *operand,
                          struct err *err)
{
    int rc = o->serve.rungs.checkpoint ? checkpoint(path, err) : 0;

    (void)operand;
    return rc < 0 ? rc : freeze(&o->serve.rungs, path, err);
}

static int list_command(const struct options *o, const char *path, const char *operand,
                        struct err *err)
{
    char *mountpoint = NULL;
    int rc = live_find_mountpoint(path, &mountpoint, err);

    (void)o, (void)operand;
    if (rc == 0)
        rc = live_status_print(mountpoint, err);
    free(mountpoint);
    return rc;
}

static int drop_command(const struct options *o, const char *path, const char *operand,
                        struct err *err)
{
    struct store *s = NULL;
    char *end;
    uint64_t number = strtoull(operand, &end, 10);
    int rc;

    (void)o;
    if (*end || number == 0)
        return err_set(err, EINVAL, "\"%s\" is not the number of a freeze", operand);
    rc = store_open(path, &s, err);
    if (rc == 0)
        rc = livefreeze_drop_number(s, number, err);
    store_close(s);
    return rc;
}

static const struct live_command {
    const char *name;
    int operands;
    int (*run)(const struct options *o, const char *store, const char *operand, struct err *err);
} commands[] = {{"freeze", 0, freeze_command},
                {"checkpoint", 0, checkpoint_command},
                {"list", 0, list_command},
                {"drop", 1, drop_command}};

static const struct live_command *find_command(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int run_command(const struct live_command *c, const struct options *o, char **operands)
{
    const char *store = operands[0], *operand = c->operands ? operands[2] : NULL;
    struct err err;
    int rc = live_become_owner(store, &err);

    if (rc == 0)
        rc = c->run(o, store, operand, &err);
    return rc < 0 ? command_failed(&err) : command_printed(0);
}

/* ---- serving ---- */

/* Where its log goes, if that is in the directory, and nobody else ships it. */
static char *find_log(struct store *s, const struct store_live *l)
{
    char *pg_wal,
        *log = livewal_find(s, l, &pg_wal) == 1 ? mem_strdup(store_wal_directory(s)) : NULL;

    free(pg_wal);
    return log;
}

/* 1: the store has a live base. */
static int find_live(const char *path, struct store_live *l, char **log, struct err *err)
{
    struct store *s = NULL;
    int rc = store_is(path) ? store_open(path, &s, err) : 0;

    if (s)
        rc = store_find_live_base(s, l, err);
    if (rc == 1)
        *log = find_log(s, l);
    store_close(s);
    return rc;
}

static int find_directory(const char *store, char **directory, char **log, struct err *err)
{
    struct store_live l = {0};
    struct pg_identity owner;
    int rc = live_enter_owner(store, &owner, err);

    if (rc < 0)
        return rc;
    rc = find_live(store, &l, log, err);
    pg_identity_leave(&owner);
    if (rc == 0)
        return refuse_baseless(store, err);
    if (rc == 1)
        *directory = mem_strdup(l.directory);
    store_live_free(&l);
    return rc < 0 ? rc : 0;
}

/* From the background too, where the working directory is another. */
static int find_store(const char *told, char **store, struct err *err)
{
    *store = realpath(told, NULL);
    return *store ? 0 : err_errno(err, "cannot open the store %s", told);
}

static int serve_command(const struct options *o, const char *told, const char *dir)
{
    struct live_serve_options serve = o->serve;
    char *directory = NULL, *log = NULL, *store;
    struct err err;
    int rc = find_store(told, &store, &err);
    int status;

    if (rc == 0)
        rc = find_directory(store, &directory, &log, &err);
    serve.log = log;
    status = rc < 0 ? command_failed(&err) : live_serve(store, directory, dir, &serve);
    free(directory);
    free(store);
    free(log);
    return status;
}

/* Rungs are made while it is served, or one now. */
static int check_rungs(struct options *o, const struct live_command *c, struct err *err)
{
    struct live_rungs_options *r = &o->serve.rungs;
    bool freezes = c && c->run == freeze_command;

    if (c && r->every_ms)
        return err_set(err, EINVAL, "--freeze-every goes with the directory to serve on");
    if ((r->keep || r->checkpoint) && !freezes && !r->every_ms)
        return err_set(err, EINVAL, "--keep and --checkpoint go with --freeze-every or freeze");
    if (c && o->serve.recover)
        return err_set(err, EINVAL, "--recover goes with the directory to serve on");
    if (r->every_ms && !r->keep)
        r->keep = DEFAULT_KEEP;
    return 0;
}

static int parse_and_run(struct options *o, int argc, char **argv)
{
    const struct live_command *c;
    char *operands[3];
    struct err err;
    int n = option_parse(defs, false, o, argc, argv, operands, 3, &err);

    if (n >= 0 && o->help) {
        fputs(help, stdout);
        return command_printed(0);
    }
    c = n >= 2 ? find_command(operands[1]) : NULL;
    if (n >= 0 && n < 2)
        n = err_set(&err, EINVAL,
                    "STORE and DIR, or STORE and freeze, checkpoint, list or drop are needed");
    else if (n >= 0 && n != 2 + (c ? c->operands : 0))
        n = err_set(&err, EINVAL,
                    c && c->operands ? "%s needs the number of a freeze"
                                     : "too many operands after \"%s\"",
                    operands[1]);
    if (n < 0 || check_rungs(o, c, &err) < 0)
        return usage_error("live", &err);
    return c ? run_command(c, o, operands) : serve_command(o, operands[0], operands[1]);
}

int cmd_live(int argc, char **argv)
{
    struct options o = {.serve = {.reserve = UINT64_C(256) << 20}};
    int status = parse_and_run(&o, argc, argv);

    option_free(defs, &o);
    return status;
}
