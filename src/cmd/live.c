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
#include "replay/livefreeze.h"
#include "replay/owner.h"
#include "store/livewal.h"
#include "store/store.h"

struct options {
    struct live_serve_options serve;
    bool help;
};

static const struct option_def defs[] = {
    OPTION_FLAG("primary", 0, struct options, serve.primary),
    OPTION_FLAG("foreground", 'f', struct options, serve.foreground),
    OPTION_FLAG("durable-epochs", 0, struct options, serve.durable),
    OPTION_SIZE("epoch-limit", 0, struct options, serve.limit, 1, "is not a size"),
    OPTION_SIZE("log-limit", 0, struct options, serve.log_limit, 1, "is not a size"),
    OPTION_SIZE("reserve", 0, struct options, serve.reserve, 0, "is not a size"),
    OPTION_FLAG("help", 'h', struct options, help),
    OPTION_END,
};

static const char help[] =
    "Usage: asofs live STORE DIR [OPTION]...\n"
    "       asofs live STORE freeze\n"
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
    "  -h, --help               this text\n\n"
    "It ends when DIR is unmounted; at SIGINT and SIGTERM, as soon as no server uses it.\n";

/* ---- commands ---- */

/* A base of the store, so that it can be mounted, and moments after it reached. */
static int freeze_command(const char *path, const char *operand, struct err *err)
{
    struct pg_programs programs = {0};
    char *id = NULL, *view = NULL;
    struct store *s = NULL;
    uint64_t number = 0;
    int rc = owner_open_store(path, NULL, NULL, &s, &programs, err);

    (void)operand;
    if (rc == 0)
        rc = livefreeze_make(s, &programs, NULL, &id, err);
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

static int list_command(const char *path, const char *operand, struct err *err)
{
    char *mountpoint = NULL;
    int rc = live_find_mountpoint(path, &mountpoint, err);

    (void)operand;
    if (rc == 0)
        rc = live_status_print(mountpoint, err);
    free(mountpoint);
    return rc;
}

static int drop_command(const char *path, const char *operand, struct err *err)
{
    struct store *s = NULL;
    char *end;
    uint64_t number = strtoull(operand, &end, 10);
    int rc;

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
    int (*run)(const char *store, const char *operand, struct err *err);
} commands[] = {
    {"freeze", 0, freeze_command}, {"list", 0, list_command}, {"drop", 1, drop_command}};

static const struct live_command *find_command(const char *name)
{
    size_t i;

    for (i = 0; i < sizeof(commands) / sizeof(*commands); i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

static int run_command(const struct live_command *c, const char *store, const char *operand)
{
    struct err err;
    int rc = live_become_owner(store, &err);

    if (rc == 0)
        rc = c->run(store, operand, &err);
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
        rc = store_find_live(s, l, err);
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
        return err_set(err, ENOENT,
                       "the store %s has no live base: asofs base add %s DIR --live adds one",
                       store, store);
    if (rc == 1)
        *directory = mem_strdup(l.directory);
    store_live_free(&l);
    return rc < 0 ? rc : 0;
}

static int serve_command(const struct options *o, const char *store, const char *dir)
{
    struct live_serve_options serve = o->serve;
    char *directory = NULL, *log = NULL;
    struct err err;
    int rc = find_directory(store, &directory, &log, &err);
    int status;

    serve.log = log;
    status = rc < 0 ? command_failed(&err) : live_serve(store, directory, dir, &serve);
    free(directory);
    free(log);
    return status;
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
        n = err_set(&err, EINVAL, "STORE and DIR, or STORE and freeze, list or drop are needed");
    else if (n >= 0 && n != 2 + (c ? c->operands : 0))
        n = err_set(&err, EINVAL,
                    c && c->operands ? "%s needs the number of a freeze"
                                     : "too many operands after \"%s\"",
                    operands[1]);
    if (n < 0)
        return usage_error("live", &err);
    return c ? run_command(c, operands[0], c->operands ? operands[2] : NULL)
             : serve_command(o, operands[0], operands[1]);
}

int cmd_live(int argc, char **argv)
{
    struct options o = {.serve = {.reserve = UINT64_C(256) << 20}};
    int status = parse_and_run(&o, argc, argv);

    option_free(defs, &o);
    return status;
}
