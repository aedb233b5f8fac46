/* asofs pagefs: one view of a store as a writable data directory. */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/subcommand.h"
#include "common/log.h"
#include "common/option.h"
#include "common/stop.h"
#include "fs/mountpoint.h"
#include "fs/pagefs.h"
#include "pg/identity.h"
#include "store/store.h"
#include "replay/making.h"
#include "replay/viewmount.h"

struct told_owner {
    bool is_told;
    unsigned uid, gid;
};

struct options {
    const char *store, *dir; /* operands */
    char *view, *base;
    bool durable, no_writeback, allow_other, help;
    struct told_owner told;
    struct pg_identity owner; /* of who is root: as whom he serves */
    unsigned parent;          /* 0: none */
};

static int set_owner(void *told, const char *v, struct err *err)
{
    struct told_owner *o = told;
    char rest;

    if (sscanf(v, "%u:%u%c", &o->uid, &o->gid, &rest) != 2)
        return err_set(err, EINVAL, "\"%s\" is not UID:GID", v);
    o->is_told = true;
    return 0;
}

static const struct option_def defs[] = {
    OPTION_TEXT("view", 0, struct options, view),
    OPTION_TEXT("base", 0, struct options, base),
    OPTION_FLAG("durable", 0, struct options, durable),
    OPTION_FLAG("no-writeback", 0, struct options, no_writeback),
    OPTION_FLAG("allow-other", 0, struct options, allow_other),
    OPTION_CALL("owner", 0, struct options, told, set_owner),
    OPTION_NUMBER("parent", 0, struct options, parent, 10, 1, INT_MAX, "is not a process"),
    OPTION_FLAG("help", 'h', struct options, help),
    OPTION_END,
};

static const char help[] =
    "Usage: asofs pagefs STORE DIR --view=NAME [OPTION]...\n"
    "Serve a view of a store at DIR as a writable data directory for one PostgreSQL server. The "
    "base\n"
    "is only read; pages that change are kept in the store. Ends when DIR is unmounted, and at "
    "SIGINT\n"
    "and SIGTERM.\n\n"
    "  --view=NAME      the view; made when it does not exist\n"
    "  --base=ID        the base of a view that is made (default: the newest)\n"
    "  --durable        fsync reaches the disk; otherwise it does nothing\n"
    "  --no-writeback   each write is passed on at once, and survives if this process is killed\n"
    "  --allow-other    other users may use DIR, as the modes of its files say\n"
    "  --owner=UID:GID  whose DIR is shown to be, and the store is; for root, who serves it for "
    "them\n"
    "  -h, --help       this text\n\n"
    "A new view does not show postgresql.conf, postgresql.auto.conf, pg_hba.conf, pg_ident.conf,\n"
    "postmaster.pid, postmaster.opts, recovery.signal, standby.signal, promote and\n"
    "tablespace_map of the base.\n";

/* It ends when the process that started it does. (A change of user makes the kernel forget.) */
static int follow_parent(const struct options *o, struct err *err)
{
    if (!o->parent)
        return 0;
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0)
        return err_errno(err, "cannot ask for a signal at the end of asofs");
    return getppid() == (pid_t)o->parent
               ? 0
               : err_set(err, EINTR, "the process that started it is gone");
}

/*
 * root has to mount and unmount; all else is done as the owner of the store, to whom what is in it,
 * and in the base, belongs. A change of rights makes the kernel forget what follow_parent asked.
 */
static int enter(const struct options *o, struct err *err)
{
    int rc = pg_identity_enter(&o->owner);

    if (rc < 0)
        return err_set(err, -rc, "cannot become the user %u: %s", (unsigned)o->owner.uid,
                       strerror(-rc));
    return o->owner.change ? follow_parent(o, err) : 0;
}

static int leave(const struct options *o, struct err *err)
{
    pg_identity_leave(&o->owner);
    return o->owner.change ? follow_parent(o, err) : 0;
}

static int enter_to_serve(void *arg)
{
    struct err err;

    return enter(arg, &err);
}

static void leave_served(void *arg)
{
    struct err ignored;

    leave(arg, &ignored);
}

/* Not told by --owner, it is as the store is. Who started us for a mount, and tells, has looked. */
static int find_owner(struct options *o, struct err *err)
{
    bool told = o->parent && o->told.is_told;
    struct stat st;

    if (geteuid() != 0)
        return 0;
    if (!told && stat(o->store, &st) < 0)
        return err_errno(err, "cannot open the store %s", o->store);
    o->owner.uid = o->told.is_told ? o->told.uid : st.st_uid;
    o->owner.gid = o->told.is_told ? o->told.gid : st.st_gid;
    o->owner.change = o->owner.uid != 0;
    return told ? 0 : pg_identity_check_place(o->store, st.st_uid, &o->owner, err);
}

/* ---- the view ---- */

static int check_same_base(const struct options *o, struct store *s, struct err *err)
{
    char *base;
    int rc = store_read_view(s, o->view, &base, err);

    if (rc < 0)
        return rc;
    if (strcmp(base, o->base) != 0)
        rc = err_set(err, EEXIST, "the view \"%s\" exists already, of base \"%s\"", o->view, base);
    free(base);
    return rc;
}

static int find_or_create(const struct options *o, struct store *s, struct err *err)
{
    if (!store_has_view(s, o->view))
        return store_create_view(s, o->view, o->base, making_hidden, err);
    return o->base ? check_same_base(o, s, err) : 0;
}

static void tell_recovery(const struct options *o, const struct datadir_recovery *r)
{
    if (!r->unclean)
        return;
    log_note(
        "the view \"%s\" had not been closed; %llu writes and %llu truncations were looked at, "
        "%llu blocks of side page tables rebuilt, %llu files without a name removed",
        o->view, (unsigned long long)r->writes, (unsigned long long)r->truncations,
        (unsigned long long)r->sides.rebuilt, (unsigned long long)r->orphans);
    if (r->writes_lost || r->sides.damaged)
        log_error("the view \"%s\" has %llu pages that were cut off in the middle of being written "
                  "and %llu that no checksum vouches for; reading them is an error",
                  o->view, (unsigned long long)r->writes_lost,
                  (unsigned long long)r->sides.damaged);
}

static int open_view(const struct options *o, struct store *s, struct store_view **v,
                     struct err *err)
{
    struct datadir_recovery recovery = {0};
    int rc = find_or_create(o, s, err);

    if (rc == 0)
        rc = store_open_view(s, o->view, o->durable ? STORE_DURABLE : 0, log_complaint, NULL, v,
                             &recovery, err);
    if (rc == 0)
        tell_recovery(o, &recovery);
    return rc;
}

/* ---- serving ---- */

/* Whoever started us may wait for this line. */
static int tell_mounted(const struct options *o, const char *dir, struct err *err)
{
    printf("mounted %s of %s on %s\n", o->view, o->store, dir);
    return fflush(stdout) == 0 ? 0 : err_errno(err, "cannot write to standard output");
}

/* Positive: that exit status. */
static int serve_pages(struct options *o, struct store_view *v, struct mountpoint *at,
                       const struct stop *stop, struct err *err)
{
    const struct stat *root = store_view_root(v);
    struct pagefs_options options = {.uid = root->st_uid,
                                     .gid = root->st_gid,
                                     .allow_other = o->allow_other,
                                     .writeback = !o->no_writeback,
                                     .own_spaces = o->parent != 0, /* a private server */
                                     .strict = o->parent != 0,
                                     .source = o->store,
                                     .enter = enter_to_serve,
                                     .leave = leave_served,
                                     .arg = o};
    struct pagefs *fs = NULL;
    int rc = leave(o, err), lost = 0;

    if (o->told.is_told) {
        options.uid = o->told.uid;
        options.gid = o->told.gid;
    }
    if (rc == 0)
        rc = pagefs_mount(store_view_datadir(v), at, &options, &fs, err);
    if (rc == 0)
        rc = tell_mounted(o, at->path, err);
    if (rc == 0) {
        rc = pagefs_serve(fs, stop, &lost);
        if (rc < 0)
            err_set(err, -rc, "the connection to the kernel failed: %s", strerror(-rc));
    }
    pagefs_unmount(fs);
    if (rc == 0 && lost &&
        o->parent) /* our parent may want it no more: it says what is to be said */
        rc = lost == -ENOSPC || lost == -EDQUOT ? VIEWMOUNT_FULL : VIEWMOUNT_LOST;
    return rc;
}

/* What is wrong is said here, since closing can go wrong too. */
static int serve_and_close(struct options *o, struct store *s, struct mountpoint *at,
                           const struct stop *stop, struct err *err)
{
    struct store_view *v = NULL;
    struct err closing;
    int rc = open_view(o, s, &v, err), closed;

    if (rc < 0)
        return rc;
    rc = serve_pages(o, v, at, stop, err);
    pg_identity_enter_again(&o->owner);
    closed = store_close_view(v, &closing);
    if (closed < 0 && rc != 0)
        log_error("%s", closing.text);
    else if (closed < 0)
        *err = closing;
    return rc != 0 ? rc : closed;
}

static int run_pagefs(struct options *o)
{
    struct store *s = NULL;
    struct stop stop;
    struct err err;
    struct mountpoint at = {0};
    int rc = stop_open(&stop, &err);

    signal(SIGPIPE, SIG_IGN);
    if (rc == 0)
        rc = follow_parent(o, &err);
    if (rc == 0)
        rc = mountpoint_prepare(o->dir, NULL, &at, &err);
    if (rc == 0)
        rc = find_owner(o, &err);
    if (rc == 0)
        rc = enter(o, &err);
    if (rc == 0)
        rc = store_open(o->store, &s, &err);
    if (rc == 0)
        rc = serve_and_close(o, s, &at, &stop, &err);
    if (rc < 0)
        log_error("%s", err.text);
    mountpoint_close(&at);
    if (s)
        store_close(s);
    stop_close(&stop, true);
    return rc < 0 ? 1 : rc;
}

static int parse_and_run(struct options *o, int argc, char **argv)
{
    char *operands[2];
    struct err err;
    int n = option_parse(defs, false, o, argc, argv, operands, 2, &err);

    if (n >= 0 && o->help) {
        fputs(help, stdout);
        return fflush(stdout) != 0;
    }
    if (n >= 0 && n < 2)
        n = err_set(&err, EINVAL, "STORE and DIR are needed");
    if (n >= 0 && !o->view)
        n = err_set(&err, EINVAL, "--view=NAME is needed");
    if (n < 0)
        return usage_error("pagefs", &err);
    o->store = operands[0];
    o->dir = operands[1];
    return run_pagefs(o);
}

int cmd_pagefs(int argc, char **argv)
{
    struct options o = {0};
    int status = parse_and_run(&o, argc, argv);

    option_free(defs, &o);
    return status;
}
