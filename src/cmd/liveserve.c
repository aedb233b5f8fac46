/*
 * Root mounts and unmounts; all else is done as the owner of the store, whose the data directory is,
 * too (pg/identity.h): opened as him, and served by threads that have become him.
 */
#include "cmd/liveserve.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/liverecover.h"
#include "cmd/liverungs.h"
#include "cmd/livestatus.h"
#include "common/daemon.h"
#include "common/io.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/stop.h"
#include "fs/livefs.h"
#include "fs/mountpoint.h"
#include "live/livedir.h"
#include "store/livewal.h"
#include "pg/postmaster.h"
#include "pg/settings.h"
#include "store/store.h"

#define PATH_FILE_MAX 65536

struct serving {
    const struct live_serve_options *o;
    const char *store, *data;
    char *epochs, *epochs_id;
    struct pg_identity owner;
    struct mountpoint at;
    struct livedir *live;
    struct livefs *_Atomic fs;
    struct live_rungs *rungs; /* NULL: none are made */
    bool left;                /* postmaster.pid is of a server that is gone */
};

/* ---- where it is served ---- */

static char *daemon_file(const char *store)
{
    return mem_printf("%s/epoch/daemon", store);
}

/* A full disk keeps no server from starting as long as something is kept. */
static int write_down(const struct serving *s, struct err *err)
{
    char *path = daemon_file(s->store), *line = mem_printf("%s\n", s->at.path);
    int rc;

    do {
        unlink(path); /* of one that was killed */
        rc = io_write_file(AT_FDCWD, path, line, strlen(line), err);
    } while ((rc == -ENOSPC || rc == -EDQUOT) && livedir_make_room(s->live));
    free(line);
    free(path);
    return rc;
}

static void strike_out(const struct serving *s)
{
    char *path = daemon_file(s->store);

    unlink(path);
    free(path);
}

int live_find_mountpoint(const char *store, char **mountpoint, struct err *err)
{
    char *path = daemon_file(store);
    int rc = io_read_text(AT_FDCWD, path, PATH_FILE_MAX, mountpoint);

    free(path);
    if (rc == 0) {
        (*mountpoint)[strcspn(*mountpoint, "\n")] = '\0';
        if (store_is_shown(store, *mountpoint))
            return 0;
        free(*mountpoint);
        *mountpoint = NULL;
        rc = -ENOENT;
    }
    if (rc == -ENOENT)
        return err_set(err, ENOENT, "no process serves %s; start it with asofs live %s DIR", store,
                       store);
    return err_set(err, -rc, "cannot read %s/epoch/daemon: %s", store, strerror(-rc));
}

/* ---- who ---- */

static int find_owner(const char *store, struct pg_identity *owner, struct err *err)
{
    struct stat st;

    *owner = (struct pg_identity){0};
    if (stat(store, &st) < 0)
        return err_errno(err, "cannot open the store %s", store);
    if (geteuid() != 0)
        return 0;
    *owner = (struct pg_identity){.change = st.st_uid != 0, .uid = st.st_uid, .gid = st.st_gid};
    return pg_identity_check_place(store, st.st_uid, owner, err);
}

static int cannot_become(const struct pg_identity *owner, int rc, struct err *err)
{
    return rc < 0 ? err_set(err, -rc, "cannot become the user %u: %s", (unsigned)owner->uid,
                            strerror(-rc))
                  : 0;
}

int live_become_owner(const char *store, struct err *err)
{
    struct pg_identity owner;
    int rc = find_owner(store, &owner, err);

    return rc < 0 ? rc : cannot_become(&owner, pg_identity_become(&owner, false), err);
}

int live_enter_owner(const char *store, struct pg_identity *owner, struct err *err)
{
    int rc = find_owner(store, owner, err);

    return rc < 0 ? rc : cannot_become(owner, pg_identity_enter(owner), err);
}

static int enter(void *arg)
{
    struct serving *s = arg;

    return pg_identity_enter(&s->owner);
}

static void leave(void *arg)
{
    struct serving *s = arg;

    pg_identity_leave(&s->owner);
}

/* ---- what is served ---- */

/* A server works in its data directory. One that was left by a daemon that died works in a mount
 * that is no more. */
static int check_no_server(const struct serving *s, struct err *err)
{
    struct pg_postmaster p;
    pid_t pid = pg_postmaster_read(s->data, &p) == 0 ? p.pid : 0;
    char *path = mem_printf("/proc/%ld/cwd", (long)pid);
    struct stat at, data;
    bool runs = pid > 0 && stat(path, &at) == 0 && stat(s->data, &data) == 0 &&
                at.st_dev == data.st_dev && at.st_ino == data.st_ino;

    free(path);
    pg_postmaster_free(&p);
    if (!runs)
        return 0;
    return err_set(err, EBUSY,
                   "a server runs on %s (process %ld), past asofs; stop it, and start it on the "
                   "directory where this is mounted",
                   s->data, (long)pid);
}

static bool has_file(const char *data, const char *name)
{
    char *path = mem_printf("%s/%s", data, name);
    struct stat st;
    bool has = stat(path, &st) == 0; /* access() would ask as root */

    free(path);
    return has;
}

static int check_role(const struct serving *s, struct err *err)
{
    if (s->o->primary || has_file(s->data, "standby.signal"))
        return 0;
    return err_set(
        err, EINVAL,
        "%s is no standby's (it has no standby.signal); --primary serves it nevertheless", s->data);
}

/* What a crash of the machine would do to it is its owner's affair, but is not left unsaid. */
static void warn_without_fsync(const struct serving *s)
{
    struct pg_programs programs = {0};
    struct err ignored;
    int major = s->o->primary && !has_file(s->data, "standby.signal")
                    ? pg_version_of(s->data, &ignored)
                    : -1;

    if (major > 0 && pg_programs_find(major, NULL, &s->owner, &programs, &ignored) == 0 &&
        pg_settings_without_fsync(&programs, s->data))
        log_error("fsync is off in the settings of %s, which is a primary's: a crash of the "
                  "machine would destroy it, whatever is kept of its past. Set it on",
                  s->data);
    pg_programs_free(&programs);
}

static int check_owner(const struct serving *s, struct err *err)
{
    struct stat st;

    if (stat(s->data, &st) < 0)
        return err_errno(err, "cannot open the data directory %s", s->data);
    if (s->owner.change && st.st_uid != s->owner.uid)
        return err_set(err, EPERM, "%s and the store %s belong to different users", s->data,
                       s->store);
    return 0;
}

/* Where it is served is not among what it is made of. */
static int check_apart(const struct serving *s, struct err *err)
{
    const char *const places[] = {s->data, s->store};
    int rc = 0;
    size_t i, n;

    for (i = 0; i < sizeof(places) / sizeof(*places) && rc == 0; i++) {
        char *real = realpath(places[i], NULL);

        n = real ? strlen(real) : 0;
        if (real && strncmp(s->at.path, real, n) == 0 && s->at.path[n] == '/')
            rc = err_set(err, EINVAL, "%s lies in %s: serve it on a directory outside of that",
                         s->at.path, real);
        free(real);
    }
    return rc;
}

static void complain(void *arg, const char *text)
{
    struct serving *s = arg;

    log_error("%s", text);
    livefs_given_up(atomic_load(&s->fs));
}

static void say_in_use(void *arg)
{
    struct serving *s = arg;

    log_error("%s is in use; it is served until the server on it has stopped", s->at.path);
}

static char *print_status(void *arg)
{
    struct serving *s = arg;

    return live_status_text(s->live, s->epochs_id);
}

static int remove_left(struct serving *s, struct err *err)
{
    int rc = livedir_unlink(s->live, LIVEDIR_ROOT, PG_POSTMASTER_FILE);

    return rc < 0 && rc != -ENOENT
               ? err_set(err, -rc, "cannot remove %s/" PG_POSTMASTER_FILE ": %s", s->data,
                         strerror(-rc))
               : 0;
}

/* Entered. */
static int open_live(struct serving *s, struct err *err)
{
    const struct livedir_options options = {.durable = s->o->durable,
                                            .limit = s->o->limit,
                                            .reserve = s->o->reserve,
                                            .mount = s->at.path,
                                            .wal = s->o->log,
                                            .is_wal = livewal_is_used,
                                            .wal_limit = s->o->log_limit,
                                            .complain = complain,
                                            .arg = s};
    int rc = check_owner(s, err);

    if (rc == 0)
        rc = check_apart(s, err);
    if (rc == 0)
        rc = check_no_server(s, err);
    if (rc == 0)
        rc = check_role(s, err);
    if (rc == 0)
        warn_without_fsync(s);
    if (rc == 0)
        rc = livedir_open(s->data, s->epochs, &options, &s->live, err);
    if (rc == 0 && s->left)
        rc = remove_left(s, err);
    if (rc == 0) {
        s->epochs_id = store_epochs_id(s->store);
        rc = write_down(s, err);
    }
    return rc;
}

static int open_entered(struct serving *s, struct err *err)
{
    int rc = cannot_become(&s->owner, enter(s), err);

    if (rc < 0)
        return rc;
    rc = open_live(s, err);
    leave(s);
    return rc;
}

/* ---- serving ---- */

static int mount_live(struct serving *s, struct err *err)
{
    const struct livefs_options options = {.allow_other = geteuid() == 0,
                                           .source = s->store,
                                           .status = print_status,
                                           .in_use = say_in_use,
                                           .enter = enter,
                                           .leave = leave,
                                           .arg = s};
    struct livefs *fs;
    int rc = livefs_mount(s->live, &s->at, &options, &fs, err);

    atomic_store(&s->fs, fs);
    return rc;
}

static int start_rungs(struct serving *s, struct err *err)
{
    return s->o->rungs.every_ms
               ? live_rungs_start(s->store, s->live, &s->owner, &s->o->rungs, &s->rungs, err)
               : 0;
}

static int serve(struct serving *s, int parent_fd, const struct stop *stop, struct err *err)
{
    int rc = mount_live(s, err);

    if (rc == 0 && parent_fd >= 0)
        rc = daemon_ready(parent_fd, err);
    if (rc == 0)
        rc = start_rungs(s, err);
    if (rc == 0 && (rc = livefs_serve(s->fs, stop)) < 0)
        err_set(err, -rc, "the connection to the kernel failed: %s", strerror(-rc));
    return rc;
}

/* What is wrong is said here, since closing can go wrong, too. */
static int close_live(struct serving *s)
{
    struct livefs *fs = atomic_exchange(&s->fs, NULL);
    struct err err;
    int rc = 0;

    livefs_unmount(fs);
    live_rungs_stop(s->rungs);
    if (!s->live)
        return 0;
    pg_identity_enter_again(&s->owner);
    strike_out(s);
    rc = livedir_close(s->live, &err);
    leave(s);
    if (rc < 0)
        log_error("%s", err.text);
    return rc;
}

static int run(struct serving *s, int parent_fd)
{
    struct stop stop;
    struct err err;
    int rc = stop_open(&stop, &err), closed;

    signal(SIGPIPE, SIG_IGN);
    if (rc == 0)
        rc = open_entered(s, &err);
    if (rc == 0)
        rc = serve(s, parent_fd, &stop, &err);
    if (rc < 0)
        log_error("%s", err.text);
    closed = close_live(s);
    stop_close(&stop, true);
    return rc < 0 || closed < 0;
}

/* What a killed process left is looked at, too, where that is wanted. */
static int prepare_place(struct serving *s, const char *dir, struct err *err)
{
    int rc = s->o->recover ? live_recover_check(s->store, &s->owner, err) : 0;

    if (rc == 0)
        rc = mountpoint_prepare(dir, NULL, &s->at, err);
    if (rc == 0 && s->o->recover)
        rc = live_recover(s->data, &s->at, &s->owner, &s->left, err);
    return rc;
}

int live_serve(const char *store, const char *data, const char *dir,
               const struct live_serve_options *o)
{
    struct serving s = {.o = o, .store = store, .data = data};
    int parent_fd = -1, status = 1;
    struct err err;
    int rc = find_owner(store, &s.owner, &err);

    s.epochs = mem_printf("%s/epoch", store);
    if (rc == 0)
        rc = prepare_place(&s, dir, &err);
    if (rc == 0)
        rc = mountpoint_check_user(&s.at, false, &err);
    if (rc == 0 && !o->foreground)
        rc = daemon_fork(&parent_fd, &status, &err);
    if (rc < 0)
        log_error("%s", err.text);
    if (rc == 0)
        status = run(&s, parent_fd);
    mountpoint_close(&s.at);
    free(s.epochs_id);
    free(s.epochs);
    return status;
}
