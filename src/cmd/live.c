/* asofs live: a data directory is served to its server, and frozen. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/liveserve.h"
#include "cmd/livestatus.h"
#include "cmd/subcommand.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/option.h"
#include "fs/livefs.h"
#include "replay/livefreeze.h"
#include "replay/owner.h"
#include "store/store.h"

#define FREEZE_TRIES 8 /* somebody else freezes, too */

struct options {
    struct live_serve_options serve;
    char *directory; /* that is served */
    bool help;
};

static const struct option_def defs[] = {
    OPTION_FLAG("primary", 0, struct options, serve.primary),
    OPTION_FLAG("foreground", 'f', struct options, serve.foreground),
    OPTION_FLAG("durable-epochs", 0, struct options, serve.durable),
    OPTION_SIZE("epoch-limit", 0, struct options, serve.limit, 1, "is not a size"),
    OPTION_SIZE("reserve", 0, struct options, serve.reserve, 0, "is not a size"),
    OPTION_TEXT("directory", 0, struct options, directory),
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
    "      --reserve=SIZE       what is left free on the store's disk (default: 256MB)\n"
    "  -h, --help               this text\n\n"
    "It ends when DIR is unmounted; at SIGINT and SIGTERM, as soon as no server uses it.\n";

/* ---- through the mount ---- */

static char *path_of_freeze(const char *mountpoint, uint64_t number)
{
    return mem_printf("%s/" LIVEFS_CONTROL "/" LIVEFS_FROZEN "/%" PRIu64, mountpoint, number);
}

static int freeze_as(const char *mountpoint, uint64_t number)
{
    char *path = path_of_freeze(mountpoint, number);
    int rc = mkdir(path, 0700) < 0 ? -errno : 0;

    free(path);
    return rc;
}

static int freeze(const char *mountpoint, uint64_t *number, struct err *err)
{
    int i, rc = -EEXIST;

    for (i = 0; i < FREEZE_TRIES && rc == -EEXIST; i++) {
        rc = live_status_next(mountpoint, number, err);
        if (rc < 0)
            return rc;
        rc = freeze_as(mountpoint, *number);
    }
    if (rc == -EBUSY)
        return err_set(err, EBUSY,
                       "%s was not frozen: calls of the server are under way that do "
                       "not end; nothing came of it, try again",
                       mountpoint);
    return rc < 0 ? err_set(err, -rc, "cannot freeze %s: %s", mountpoint, strerror(-rc)) : 0;
}

/* A base of the store, so that it can be mounted, and moments after it reached. */
static int freeze_base(const char *path, uint64_t *number, struct err *err)
{
    struct pg_programs programs = {0};
    char *id = NULL, *view = NULL;
    struct store *s = NULL;
    int rc = owner_open_store(path, NULL, NULL, &s, &programs, err);

    if (rc == 0)
        rc = livefreeze_make(s, &programs, NULL, &id, err);
    if (rc == 0)
        rc = store_is_frozen(s, id, number, &view, err);
    owner_leave(&programs);
    store_close(s);
    pg_programs_free(&programs);
    free(view);
    free(id);
    return rc < 0 ? rc : 0;
}

/* 1: the store has a live base, whose freezes are bases. */
static int has_live_base(const char *path, struct store_live *l, struct err *err)
{
    struct store *s = NULL;
    int rc = store_is(path) ? store_open(path, &s, err) : 0;

    *l = (struct store_live){0};
    if (s)
        rc = store_find_live(s, l, err);
    store_close(s);
    return rc;
}

static int freeze_command(const char *store, const char *mountpoint, const char *operand,
                          struct err *err)
{
    struct store_live l;
    uint64_t number;
    int rc = has_live_base(store, &l, err);

    (void)operand;
    store_live_free(&l);
    if (rc >= 0)
        rc = rc ? freeze_base(store, &number, err) : freeze(mountpoint, &number, err);
    if (rc == 0)
        printf("%" PRIu64 "\n", number);
    return rc;
}

static int list_command(const char *store, const char *mountpoint, const char *operand,
                        struct err *err)
{
    (void)store, (void)operand;
    return live_status_print(mountpoint, err);
}

/* 1: the base that the freeze is goes, and the freeze with it. 0: it is none. */
static int drop_base_of(const char *path, uint64_t number, struct err *err)
{
    struct store *s = NULL;
    char *id = NULL;
    int rc = store_is(path) ? store_open(path, &s, err) : 0;

    if (s)
        rc = livefreeze_find(s, number, &id, err);
    if (rc == 1 && livefreeze_drop(s, id, err) < 0)
        rc = -err->code;
    store_close(s);
    free(id);
    return rc;
}

static int drop_command(const char *store, const char *mountpoint, const char *operand,
                        struct err *err)
{
    char *end, *path;
    uint64_t number = strtoull(operand, &end, 10);
    int rc;

    if (*end || number == 0)
        return err_set(err, EINVAL, "\"%s\" is not the number of a freeze", operand);
    rc = drop_base_of(store, number, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    path = path_of_freeze(mountpoint, number);
    if (rmdir(path) < 0)
        rc = errno == ENOENT ? err_set(err, ENOENT, "there is no freeze %" PRIu64, number)
                             : err_errno(err, "cannot drop freeze %" PRIu64, number);
    free(path);
    return rc;
}

static const struct live_command {
    const char *name;
    int operands;
    int (*run)(const char *store, const char *mountpoint, const char *operand, struct err *err);
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
    char *mountpoint = NULL;
    struct err err;
    int rc = live_become_owner(store, &err);

    if (rc == 0)
        rc = live_find_mountpoint(store, &mountpoint, &err);
    if (rc == 0)
        rc = c->run(store, mountpoint, operand, &err);
    free(mountpoint);
    return rc < 0 ? command_failed(&err) : command_printed(0);
}

/* ---- serving ---- */

/* The directory that is the store's live base, or of a directory that is no store: `told`. */
static int find_directory(const char *store, const char *told, char **directory, struct err *err)
{
    struct store_live l = {0};
    struct pg_identity owner;
    int rc = live_enter_owner(store, &owner, err);

    if (rc < 0)
        return rc;
    rc = has_live_base(store, &l, err);
    pg_identity_leave(&owner);
    if (rc == 1)
        *directory = mem_strdup(l.directory);
    else if (rc == 0 && told)
        *directory = mem_strdup(told);
    else if (rc == 0)
        rc = err_set(err, ENOENT,
                     "the store %s has no live base: asofs base add %s DIR --live adds one", store,
                     store);
    store_live_free(&l);
    return rc < 0 ? rc : 0;
}

static int serve_command(const struct options *o, const char *store, const char *dir)
{
    char *directory = NULL;
    struct err err;
    int rc = find_directory(store, o->directory, &directory, &err);
    int status = rc < 0 ? command_failed(&err) : live_serve(store, directory, dir, &o->serve);

    free(directory);
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
