/*
 * asofs mount: freeze, extract, mount, serve.
 *
 * Everything that can be known to be wrong is found out before the server is asked for anything:
 * options, mount point, spool. The mount appears only when every file is complete, so nothing has
 * to be taken back from the eyes of readers when something fails before; with --nowait it appears
 * after the freeze, and copies from then on, unless all is rendered.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/source.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/stop.h"
#include "fs/mountpoint.h"
#include "fs/viewfs.h"

struct mount_options {
    struct source_command common;
    struct viewfs_options fs;
    bool foreground;
    bool nowait;
    enum { INDEX_LAZY, INDEX_EAGER } index; /* when the sizes of what is rendered are worked out */
    struct mountpoint at;
};

static const char *const index_names[] = {"lazy", "eager", NULL};

#define MAX_ID 0xfffffffe

static const struct option_def defs[] = {
    OPTION_ROWS(struct mount_options, common, source_command_options),
    OPTION_FLAG("foreground", 'f', struct mount_options, foreground),
    OPTION_FLAG("nowait", 0, struct mount_options, nowait),
    OPTION_FLAG("partial", 0, struct mount_options, common.source.request.partial),
    OPTION_FLAG("pages", 0, struct mount_options, common.source.request.pages),
    OPTION_CHOICE("render", 0, struct mount_options, common.source.request.render,
                  source_render_names),
    OPTION_CHOICE("index", 0, struct mount_options, index, index_names),
    OPTION_SIZE("render-memory", 0, struct mount_options, common.source.request.render_memory, 0,
                "is not a size; write 64MiB, 1GiB"),
    OPTION_FLAG("allow_other", OPTION_ONLY_O, struct mount_options, fs.allow_other),
    OPTION_FLAG("no_passthrough", OPTION_ONLY_O, struct mount_options, fs.no_passthrough),
    OPTION_NUMBER("uid", OPTION_ONLY_O, struct mount_options, fs.uid, 10, 0, MAX_ID,
                  "is not a decimal number"),
    OPTION_NUMBER("gid", OPTION_ONLY_O, struct mount_options, fs.gid, 10, 0, MAX_ID,
                  "is not a decimal number"),
    OPTION_NUMBER("umask", OPTION_ONLY_O, struct mount_options, fs.umask, 8, 0, 0777,
                  "is not an octal number"),
    OPTION_END,
};

static int print_help(void)
{
    printf(
        "Usage: asofs mount [OPTION]... SOURCE DIR\n"
        "Mount the tables of a PostgreSQL database, as of now, as files under DIR. Of a store:\n"
        "of all its databases at a past moment, a directory for each.\n\n"
        "SOURCE is a libpq connection string, URI or database name, as for psql, or a store.\n"
        "The command returns when every file is complete; `umount DIR` ends the view.\n\n"
        "%s"
        "      --nowait              return once frozen; readers wait for the file they want\n"
        "      --partial             a table that fails does not end the view\n"
        "      --pages               of a store: the data directory too, below .asofs/pages\n"
        "      --render=WHEN         of a store: tables straight from its pages: auto (where it "
        "is\n"
        "                            quicker than copying them), always (all that can be), never\n"
        "      --index=WHEN          work out the sizes of those tables lazy (when somebody asks)\n"
        "                            or eager (before the mount appears) (default: lazy)\n"
        "      --render-memory=SIZE  keep their text in so much memory from when sizes are worked\n"
        "                            out (default: 256MiB)\n"
        "  -f, --foreground          stay in the foreground\n"
        "  -o OPTION[,OPTION]...     any of the above as name=value, and:\n"
        "      allow_other           let other users read the mount\n"
        "      no_passthrough        read through asofs even where the kernel could do without\n"
        "      uid=N,gid=N           owner of the files (default: you)\n"
        "      umask=OCTAL           bits taken from modes 0444 and 0555\n",
        source_help);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* Whose they are and what they may is as in the base: PostgreSQL wants it so. */
static void show_pages(struct mount_options *o)
{
    struct store_view *pages = source_pages(&o->common.source);

    if (!pages)
        return;
    o->fs.pages = store_view_datadir(pages);
    o->fs.pages_uid = store_view_root(pages)->st_uid;
    o->fs.pages_gid = store_view_root(pages)->st_gid;
}

static int extract_then_mount(struct mount_options *o, const struct stop *stop, struct view **v,
                              struct viewfs **fs, struct err *err)
{
    struct source *source = &o->common.source;
    int rc = source_extract(source, v, err);

    show_pages(o);
    if (rc == 0 && stop_requested(stop))
        rc = err_set(err, EINTR, "interrupted");
    if (rc == 0)
        rc = viewfs_open(fs, *v, &o->fs, err);
    if (rc < 0)
        return rc;
    view_on_settled(*v, viewfs_settled, *fs);
    rc = source_render(source, *v, o->index == INDEX_EAGER, err);
    if (rc == 0)
        rc = viewfs_mount(*fs, &o->at, err);
    if (rc == 0)
        view_print_summary(*v, o->at.path);
    return rc;
}

/* The coordinator has to exist before the first request is answered, so it is begun before the
 * mount. */
static int mount_then_extract(struct mount_options *o, struct view **v, struct viewfs **fs,
                              struct err *err)
{
    int rc;

    o->common.source.request.render =
        SNAPSHOT_COPY; /* whoever waits for a file waits for its rows */
    rc = source_freeze(&o->common.source, v, err);
    show_pages(o);
    if (rc == 0)
        rc = viewfs_open(fs, *v, &o->fs, err);
    if (rc < 0)
        return rc;
    view_on_settled(*v, viewfs_settled, *fs);
    rc = view_extract_begin(*v, err);
    if (rc == 0)
        rc = viewfs_mount(*fs, &o->at, err);
    if (rc == 0)
        view_print_frozen(*v, o->at.path);
    return rc;
}

/* What is rendered is not waited for in any case. */
static int mount_without_waiting(struct mount_options *o, const struct stop *stop, struct view **v,
                                 struct viewfs **fs, struct err *err)
{
    bool rendered;
    int rc = source_renders_all(&o->common.source, &rendered, err);

    o->common.source.request.partial = true;
    if (rc < 0)
        return rc;
    return rendered ? extract_then_mount(o, stop, v, fs, err) : mount_then_extract(o, v, fs, err);
}

/* Freeze, extract, mount. The stop descriptor covers all of it. */
static int bring_up(struct mount_options *o, int parent_fd, struct view **v, struct viewfs **fs,
                    struct err *err)
{
    struct stop stop;
    int rc = stop_open(&stop, err);

    o->common.source.request.stop_fd = stop.fd;
    o->fs.jobs = o->common.source.request.jobs;
    o->common.source.request.own_files = o->fs.no_passthrough ? 0 : viewfs_own_files();
    if (rc == 0 && parent_fd >= 0)
        rc = stop_watch(&stop, parent_fd, err);
    if (rc == 0)
        rc = source_open(&o->common.source, err);
    if (rc == 0)
        rc = o->nowait ? mount_without_waiting(o, &stop, v, fs, err)
                       : extract_then_mount(o, &stop, v, fs, err);
    stop_close(&stop, rc < 0); /* a signal that comes now ends viewfs_serve */
    return rc;
}

/* What --pages shows is read as its owner by all threads that serve. */
static int serve_view(const struct source *source, struct viewfs *fs, struct err *err)
{
    int rc = source_enter_pages(source, err);

    if (rc < 0)
        return rc;
    rc = viewfs_serve(fs, err);
    source_leave_pages(source);
    return rc;
}

static int run_mount(struct mount_options *o, int parent_fd)
{
    struct viewfs *fs = NULL;
    struct view *v = NULL;
    struct err err;
    int rc = bring_up(o, parent_fd, &v, &fs, &err);

    if (rc == 0) {
        if (parent_fd >= 0)
            rc = daemon_ready(parent_fd, &err);
        if (rc == 0)
            rc = serve_view(&o->common.source, fs, &err);
    }
    if (rc < 0)
        log_error("%s", err.text);
    view_stop(v); /* it answers waiting readers, so it has to end before the connection is closed */
    viewfs_unmount(fs);
    view_free(v);
    viewfs_free(fs);
    source_close(&o->common.source);
    return rc < 0;
}

/* Of a live source: pages of a store need the device for extract, too. */
static const char without_fuse[] = "asofs extract writes the same files without it";

static int mount_view(struct mount_options *o, const char *dir)
{
    int parent_fd = -1, status = 1;
    struct err err;
    const char *without = store_is(o->common.source.place) ? NULL : without_fuse;
    int rc = mountpoint_prepare(dir, without, &o->at, &err);

    if (rc == 0)
        rc = mountpoint_check_user(&o->at, o->fs.allow_other, &err);
    if (rc == 0)
        rc = source_check_spool(&o->common.source, &err);
    if (rc == 0 && o->nowait)
        rc = source_check_nowait(&o->common.source, &err);
    if (rc == 0 && !o->foreground)
        rc = daemon_fork(&parent_fd, &status, &err);
    if (rc < 0)
        log_error("%s", err.text);
    if (rc == 0)
        status = run_mount(o, parent_fd);
    mountpoint_close(&o->at);
    return status;
}

static int mount_command(int argc, char **argv, bool fake)
{
    static const struct source_command_def def = {"mount",          defs,       true,
                                                  "SOURCE and DIR", print_help, NULL};
    struct mount_options o = {.fs = {.uid = getuid(), .gid = getgid()}};
    struct source *source = &o.common.source;
    char *operands[2];
    int status;

    source_init(source);
    source->request.render = SNAPSHOT_RENDER_WHERE_IT_PAYS;
    if (source_command_parse(&o.common, &def, &o, argc, argv, operands, &status) && !fake) {
        source_command_begin(&o.common, operands[0]);
        o.fs.debug = o.common.debug;
        o.foreground |= o.common.debug;
        status = o.common.dry_run ? source_dry_run(source) : mount_view(&o, operands[1]);
    }
    source_free(source);
    return status;
}

int cmd_mount(int argc, char **argv)
{
    return mount_command(argc, argv, false);
}

int cmd_mount_fake(int argc, char **argv)
{
    return mount_command(argc, argv, true);
}
