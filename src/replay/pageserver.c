/*
 * Both children live below a directory of their own in /tmp (socket paths are short):
 *
 *   /tmp/asofs-XXXXXX/        of who started asofs; others may pass through, and change nothing
 *     data/                   0700, of the user that PostgreSQL runs as; the view, mounted
 *     server/                 0700, of the same; socket, configuration, log
 *
 * So nobody but root exchanges what root mounts on, or what it clears away. pagefs is started as
 * this process is (root has to mount), and does its work as that user; so does this file, whose
 * functions are called by a thread that has entered (pg/identity.h): it leaves for the directory
 * itself alone.
 */
#include "replay/pageserver.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/io.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "common/mounts.h"
#include "common/proc.h"
#include "common/relay.h"
#include "pg/control.h"
#include "replay/lookahead.h"
#include "replay/reached.h"
#include "replay/segment.h"
#include "replay/tablespaces.h"

#define MOUNT_TIMEOUT_MS 60000 /* checking a large base against its manifest takes a while */
#define END_TIMEOUT_MS 60000
#define RECOVERY_SIGNAL "recovery.signal"
#define STANDBY_SIGNAL "standby.signal"
#define SAID "said" /* below the server's own directory: what restore_command said */
#define SAID_TAIL 900
#define MISSING_MAX (1 << 20) /* bytes of the names that were asked for in vain */
#define MISSING_TIMES 5       /* as often a standby asks in vain: then the log ends there */

struct pageserver {
    struct pg_programs programs; /* borrowed strings */
    char *dir, *data, *run;
    int lock_fd;         /* flock of dir, as long as this process uses it; -1 */
    pid_t pagefs;        /* 0: none */
    int out_fd;          /* what pagefs writes to standard output; -1 */
    struct relay *voice; /* and to standard error */
    int tool_fd;         /* this program, for a server's user that cannot reach it; 0 */
    struct pg_private *server;
    int stop_fd;
};

/* ---- the directory ---- */

#define DATA "data"
#define RUN "server"
#define PASS_THROUGH 0711

/* In a directory where nobody else can make anything. */
static int make_one(const struct pageserver *s, const char *name, struct err *err)
{
    const struct pg_identity *as = &s->programs.as;
    int rc = mkdirat(s->lock_fd, name, 0700);

    if (rc == 0 && as->change)
        rc = fchownat(s->lock_fd, name, as->uid, as->gid, AT_SYMLINK_NOFOLLOW);
    return rc < 0 ? err_errno(err, "cannot make %s/%s", s->dir, name) : 0;
}

/* 1: locked, and still there. Whoever clears what others left (pageserver_clear) may have been
 * quicker than we were. */
static int lock_directory(struct pageserver *s, const char *dir, struct err *err)
{
    struct stat st;

    s->lock_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (s->lock_fd < 0 && errno == ENOENT)
        return 0;
    if (s->lock_fd < 0 || flock(s->lock_fd, LOCK_EX) < 0)
        return err_errno(err, "cannot lock %s", dir);
    if (stat(dir, &st) == 0)
        return 1;
    close(s->lock_fd);
    s->lock_fd = -1;
    return 0;
}

bool pageserver_has_mounted(const char *dir)
{
    static const char begins[] = PAGESERVER_PLACE "/" PAGESERVER_PREFIX;
    size_t len = sizeof(begins) - 1 + sizeof("XXXXXX") - 1;

    return strlen(dir) > len && strncmp(dir, begins, sizeof(begins) - 1) == 0 &&
           strcmp(dir + len, "/" DATA) == 0;
}

static int make_locked(struct pageserver *s, char **dir, struct err *err)
{
    int rc = 0;

    *dir = NULL;
    while (rc == 0) {
        free(*dir);
        *dir = mem_strdup(PAGESERVER_PLACE "/" PAGESERVER_PREFIX "XXXXXX");
        rc = mkdtemp(*dir) ? lock_directory(s, *dir, err)
                           : err_errno(err, "cannot make the directory %s", *dir);
    }
    return rc < 0 ? rc : 0;
}

static int make_own(struct pageserver *s, struct err *err)
{
    char *dir;
    int rc = make_locked(s, &dir, err);

    if (rc < 0) {
        free(dir);
        return rc;
    }
    s->dir = dir;
    s->data = mem_printf("%s/" DATA, dir);
    s->run = mem_printf("%s/" RUN, dir);
    rc = make_one(s, DATA, err);
    if (rc == 0)
        rc = make_one(s, RUN, err);
    if (rc == 0 && fchmod(s->lock_fd, PASS_THROUGH) < 0)
        rc = err_errno(err, "cannot set the mode of %s", dir);
    return rc;
}

static int make_directories(struct pageserver *s, struct err *err)
{
    int rc;

    pg_identity_leave(&s->programs.as);
    rc = make_own(s, err);
    pg_identity_enter_again(&s->programs.as);
    return rc;
}

/* In one of the two directories, as who that is of: what `f` says of it, or -errno. */
static int in_one(int dir, const char *name, int (*f)(int fd))
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rc;
    struct pg_identity of = {.change = geteuid() == 0};
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        rc = -errno;
    } else {
        of.uid = st.st_uid;
        of.gid = st.st_gid;
        rc = pg_identity_enter(&of);
    }
    if (rc == 0) {
        rc = f(fd);
        pg_identity_leave(&of);
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

/* What is mounted is busy. */
static int remove_one_own(int dir, const char *name)
{
    int rc = unlinkat(dir, name, AT_REMOVEDIR) < 0 ? -errno : 0;

    if (rc == -ENOTEMPTY)
        rc = in_one(dir, name, io_remove_below);
    if (rc == 0 && unlinkat(dir, name, AT_REMOVEDIR) < 0)
        rc = -errno;
    return rc == -ENOENT ? 0 : rc;
}

/* As who made it. What is still mounted stays, and so does all else then. */
static void remove_own(int dir, const char *path)
{
    if (remove_one_own(dir, DATA) == 0 && remove_one_own(dir, RUN) == 0)
        rmdir(path);
}

static void remove_directories(struct pageserver *s)
{
    if (!s->dir)
        return;
    pg_identity_leave(&s->programs.as);
    remove_own(s->lock_fd, s->dir);
    pg_identity_enter_again(&s->programs.as);
    free(s->dir);
    free(s->data);
    free(s->run);
}

/* ---- pagefs ---- */

static int spawn_pagefs(struct pageserver *s, const struct pageserver_request *req, int out,
                        int voice, struct err *err)
{
    char *view = mem_printf("--view=%s", req->view);
    char *owner =
        mem_printf("--owner=%u:%u", (unsigned)s->programs.as.uid, (unsigned)s->programs.as.gid);
    char *parent = mem_printf("--parent=%d", (int)getpid());
    char *argv[] = {"asofs",         "pagefs", view, parent,
                    "--allow-other", owner,    "--", (char *)(uintptr_t)req->store,
                    s->data,         NULL};
    struct proc_fd fds[] = {
        {PROC_NULL, STDIN_FILENO}, {out, STDOUT_FILENO}, {voice, STDERR_FILENO}};
    int rc;

    if (!s->programs.as.change) { /* one's own mount needs neither */
        memmove(&argv[4], &argv[6], 4 * sizeof(*argv));
    }
    rc = proc_spawn(proc_self(), argv, NULL, fds, 3, &s->pagefs, err);
    free(view);
    free(owner);
    free(parent);
    return rc;
}

/* Its first line says that the view is mounted; its end that it cannot be. */
static int wait_for_mount(struct pageserver *s, struct err *err)
{
    struct pollfd p[] = {{.fd = s->out_fd, .events = POLLIN}, {.fd = s->stop_fd, .events = POLLIN}};
    char line[256];
    ssize_t n;

    if (poll(p, s->stop_fd >= 0 ? 2 : 1, MOUNT_TIMEOUT_MS) <= 0)
        return err_set(err, ETIMEDOUT, "the view was not mounted within a minute");
    if (s->stop_fd >= 0 && p[1].revents)
        return err_set(err, EINTR, "interrupted");
    n = read(s->out_fd, line, sizeof(line));
    if (n <= 0)
        return err_set(err, EIO, "the view cannot be served (see above)");
    return 0;
}

static int start_pagefs(struct pageserver *s, const struct pageserver_request *req, struct err *err)
{
    int fds[2], voice, rc = relay_start(&s->voice, &voice, err);

    if (rc < 0)
        return rc;
    if (pipe2(fds, O_CLOEXEC) < 0) {
        close(voice);
        return err_errno(err, "cannot make a pipe");
    }
    s->out_fd = fds[0];
    rc = spawn_pagefs(s, req, fds[1], voice, err);
    close(fds[1]);
    close(voice);
    return rc < 0 ? rc : wait_for_mount(s, err);
}

/*
 * A mount of ours below our own directory that nobody serves any more: nobody else could have put
 * it there, or anything in its place. Whoever is not root asks fusermount3.
 */
static void detach(int dir, const char *path)
{
    char *data = mem_printf("%s/" DATA, path), *there = mem_printf("/proc/self/fd/%d/" DATA, dir);
    char *argv[] = {"fusermount3", "-uzq", "--", data, NULL};
    struct err ignored;
    pid_t pid;

    if (mounts_is(data, MOUNTS_OURS) && umount2(there, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 &&
        errno == EPERM && proc_spawn("fusermount3", argv, NULL, NULL, 0, &pid, &ignored) == 0)
        proc_wait(pid);
    free(there);
    free(data);
}

static bool is_own(const struct stat *st)
{
    mode_t mode = st->st_mode & 0777; /* not yet, or already as make_own makes it */

    return S_ISDIR(st->st_mode) && st->st_uid == geteuid() &&
           (mode == 0700 || mode == PASS_THROUGH);
}

#define LOCK_MAX 1024

/* Its server may end a moment later than the process that started it. 1: it runs. */
static int has_server(int run)
{
    char *text;
    int pid = 0;
    bool has = io_read_text(run, ".s.PGSQL.5432.lock", LOCK_MAX, &text) == 0 &&
               sscanf(text, "%d", &pid) == 1 && pid > 0 && !proc_has_ended((pid_t)pid);

    free(text);
    return has;
}

/* Nobody has the lock: the process that made it was killed. */
static void clear_one(int place, const char *name)
{
    int dir = openat(place, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    char *path = mem_printf(PAGESERVER_PLACE "/%s", name);
    struct stat st;

    if (dir >= 0 && fstat(dir, &st) == 0 && is_own(&st) && flock(dir, LOCK_EX | LOCK_NB) == 0 &&
        in_one(dir, RUN, has_server) != 1) {
        detach(dir, path);
        remove_own(dir, path);
    }
    if (dir >= 0)
        close(dir);
    free(path);
}

static void clear_all(void)
{
    DIR *place = opendir(PAGESERVER_PLACE);
    struct dirent *e;

    while (place && (e = readdir(place)))
        if (strncmp(e->d_name, PAGESERVER_PREFIX, strlen(PAGESERVER_PREFIX)) == 0 &&
            strlen(e->d_name) == strlen(PAGESERVER_PREFIX) + 6)
            clear_one(dirfd(place), e->d_name);
    if (place)
        closedir(place);
}

void pageserver_clear(const struct pg_identity *as)
{
    pg_identity_leave(as);
    clear_all();
    pg_identity_enter_again(as);
}

static void detach_left(struct pageserver *s)
{
    pg_identity_leave(&s->programs.as);
    detach(s->lock_fd, s->dir);
    pg_identity_enter_again(&s->programs.as);
}

/* It unmounts, closes the view and ends; it is waited for. */
static int end_pagefs(struct pageserver *s, struct err *err)
{
    int status = 0, waited;
    char words[80];

    if (!s->pagefs)
        return 0;
    kill(s->pagefs, SIGTERM);
    waited = pg_program_ended(s->pagefs, END_TIMEOUT_MS, &status);
    if (!waited)
        proc_kill(s->pagefs);
    s->pagefs = 0;
    if (waited && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    detach_left(s);
    if (waited && WIFEXITED(status) && WEXITSTATUS(status) == PAGESERVER_FULL)
        return err_set(err, ENOSPC, "pages that replay changed could not be stored: %s",
                       strerror(ENOSPC));
    if (waited && WIFEXITED(status) && WEXITSTATUS(status) == PAGESERVER_LOST)
        return err_set(err, EIO, "pages that replay changed could not be stored");
    return err_set(err, EIO, "the process that served the view %s",
                   waited ? proc_describe(status, words, sizeof(words)) : "did not end");
}

/* ---- both ---- */

static int make_signal(struct pageserver *s, const char *name, struct err *err)
{
    char *path = mem_printf("%s/%s", s->data, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc = fd < 0 ? err_errno(err, "cannot make %s in the view", name) : 0;

    if (fd >= 0 && close(fd) < 0 && rc == 0)
        rc = err_errno(err, "cannot make %s in the view", name);
    free(path);
    return rc;
}

#define OWN_ENV 3

/* What is given, and where the server's own directory is, and this program, and where replay begins.
 */
static char **make_env(const struct pageserver *s, const struct pageserver_request *req)
{
    char program[PATH_MAX], from[LSN_TEXT_MAX];
    char *const *given = req->env;
    ssize_t len = readlink(proc_self(), program, sizeof(program));
    size_t n = 0;
    char **env;

    while (given && given[n])
        n++;
    env = mem_array(n + OWN_ENV + 1, sizeof(*env));
    if (n)
        memcpy(env, given, n * sizeof(*env));
    env[n] = mem_printf("ASOFS_RUN=%s", s->run);
    env[n + 1] = s->tool_fd > 0 ? mem_printf("ASOFS_PROGRAM=/proc/self/fd/%d", PG_PROGRAM_FD)
                                : mem_printf("ASOFS_PROGRAM=%.*s", len < 0 ? 0 : (int)len, program);
    env[n + 2] = mem_printf(SEGMENT_FROM_ENV "=%s", lsn_text(req->wal_from, from));
    return env;
}

static void free_env(char **env)
{
    size_t n = 0, i;

    while (env[n])
        n++;
    for (i = n - OWN_ENV; i < n; i++) /* those that we made */
        free(env[i]);
    free(env);
}

/* Who may not even read it gets to it all the same. */
static int open_program(const struct pageserver *s)
{
    int fd;

    pg_identity_leave(&s->programs.as);
    fd = open(proc_self(), O_RDONLY | O_CLOEXEC);
    pg_identity_enter_again(&s->programs.as);
    return fd;
}

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3: an older one gives the right to execute by itself */
#endif

static int make_memory(struct err *err)
{
    int fd = memfd_create("asofs", MFD_CLOEXEC | MFD_EXEC);

    if (fd < 0 && errno == EINVAL)
        fd = memfd_create("asofs", MFD_CLOEXEC);
    return fd < 0 ? err_errno(err, "cannot make a program in memory") : fd;
}

static int copy_bytes(int from, int to, struct err *err)
{
    struct stat st;
    ssize_t n = 1;

    if (fstat(from, &st) < 0)
        return err_errno(err, "cannot look at this program");
    for (; st.st_size > 0 && n > 0; st.st_size -= n)
        n = sendfile(to, from, NULL, (size_t)st.st_size);
    if (n <= 0 || fchmod(to, 0755) < 0)
        return err_errno(err, "cannot copy this program");
    return 0;
}

/* Where it lies may be closed to that user, and any place to put it mounted without the right to
 * execute: a copy in memory, which the server passes on as a descriptor. */
static int lend_program(struct pageserver *s, struct err *err)
{
    int from = open_program(s), rc;

    if (from < 0)
        return err_errno(err, "cannot read this program");
    s->tool_fd = rc = make_memory(err);
    if (rc >= 0)
        rc = copy_bytes(from, s->tool_fd, err);
    close(from);
    if (rc >= 0)
        return 0;
    err_prefix(err, "the user %u, who runs PostgreSQL, cannot run asofs where it is",
               (unsigned)s->programs.as.uid);
    return err_hint(err, "Install it where that user can reach it.");
}

static bool reaches_program(void)
{
    char program[PATH_MAX];
    ssize_t len = readlink(proc_self(), program, sizeof(program) - 1);

    program[len < 0 ? 0 : len] = 0;
    return faccessat(AT_FDCWD, program, X_OK, AT_EACCESS) == 0;
}

/*
 * Keeps what a restore_command says of a segment that it does not fetch: a program that has lost
 * its archive fails just as one that has come to the end of it. Histories of timelines may well be
 * missing; but a status above 125, such as of a program that is not there, ends recovery.
 */
static char *heard_command(const char *command)
{
    return mem_printf("s=\"$ASOFS_RUN/" SAID "\"; ( %s ) >\"$s.new\" 2>&1; r=$?; "
                      "[ $r -ne 0 ] || : >\"$s.new\"; "
                      "case \"%%f\" in *.*) [ $r -gt 125 ] ;; *) true ;; esac && "
                      "mv -f -- \"$s.new\" \"$s\"; exit $r",
                      command);
}

/* Around the one that is given: it keeps what that says, looks at the log first, leaves alone what
 * was looked at ahead, and asks for the quick end of a recovery. */
static char *restore_command(const char *given, const struct pageserver_request *req)
{
    char *heard = heard_command(given), *guarded = tablespaces_guarded(heard);
    char *ahead = req->log ? lookahead_command(guarded) : mem_strdup(guarded);
    char *command = mem_printf("%s%s", req->recover ? ": >" PG_PRIVATE_PROMOTE "; " : "", ahead);

    free(heard);
    free(guarded);
    free(ahead);
    return command;
}

/* The settings, with a restore_command that looks at the log first; freed by free_guarded. */
static struct pg_setting *guard_settings(const struct pageserver_request *req)
{
    const struct pg_setting *given = req->settings;
    struct pg_setting *settings;
    size_t n = 0, i;

    while (given && given[n].name)
        n++;
    settings = mem_array(n + 1, sizeof(*settings));
    for (i = 0; i < n; i++) {
        settings[i] = given[i];
        if (strcmp(given[i].name, "restore_command") == 0)
            settings[i].value = restore_command(given[i].value, req);
    }
    return settings;
}

static void free_guarded(struct pg_setting *settings)
{
    struct pg_setting *setting;

    for (setting = settings; setting->name; setting++)
        if (strcmp(setting->name, "restore_command") == 0)
            free((char *)(uintptr_t)setting->value);
    free(settings);
}

/* ---- pg_wal ---- */

struct wal_file {
    const char *dir, *name, *path;
};

/* Of every name in pg_wal but those that begin with a dot, until `f` returns something else than 0.
 * It may remove the file. */
static int each_in_wal(const struct pageserver *s,
                       int (*f)(const struct wal_file *file, void *arg, struct err *err), void *arg,
                       struct err *err)
{
    char *wal = mem_printf("%s/pg_wal", s->data), *path;
    DIR *dir = opendir(wal);
    struct dirent *e;
    int rc = dir ? 0 : err_errno(err, "cannot read %s", wal);

    while (rc == 0 && (e = readdir(dir))) {
        if (e->d_name[0] == '.')
            continue;
        path = mem_printf("%s/%s", wal, e->d_name);
        rc = f(&(struct wal_file){wal, e->d_name, path}, arg, err);
        free(path);
    }
    if (dir)
        closedir(dir);
    free(wal);
    return rc;
}

static int remove_one(const char *dir, const char *name, struct err *err)
{
    char *path = mem_printf("%s/%s", dir, name);
    int rc = unlink(path) < 0 && errno != ENOENT ? err_errno(err, "cannot remove %s", path) : 0;

    free(path);
    return rc;
}

/* What lies in the base's own pg_wal may be replayed without being asked for. */
static int look_at_segment(const struct wal_file *file, void *tablespaces, struct err *err)
{
    int rc = tablespaces_look(tablespaces, file->path, file->name, err);

    return rc < 0 ? err_prefix(err, "segment %s", file->name) : 0;
}

static int look_for_tablespaces(const struct pageserver *s, const struct pageserver_request *req,
                                struct err *err)
{
    struct tablespaces *t = tablespaces_new(
        &(struct tablespaces_wal){.segment_bytes = req->wal_segment_bytes, .from = req->wal_from});
    int rc = each_in_wal(s, look_at_segment, t, err);

    tablespaces_free(t);
    return rc;
}

static bool is_link(const struct wal_file *file)
{
    struct stat st;

    return lstat(file->path, &st) == 0 && S_ISLNK(st.st_mode);
}

/* A segment of the shipped log. Whoever runs a server on a copy of the view must not write to the
 * log through it. */
static int remove_link(const struct wal_file *file, void *unused, struct err *err)
{
    (void)unused;
    return is_link(file) ? remove_one(file->dir, file->name, err) : 0;
}

/* Recovery will fetch it again: a link to the shipped log, or a copy of what is there. */
static bool is_restored(const struct wal_file *file, const char *wal_dir)
{
    char *shipped = mem_printf("%s/%s", wal_dir, file->name);
    struct stat st;
    bool is = is_link(file) || (lstat(file->path, &st) == 0 && S_ISREG(st.st_mode) &&
                                faccessat(AT_FDCWD, shipped, F_OK, AT_EACCESS) == 0);

    free(shipped);
    return is;
}

static int remove_restored(const struct wal_file *file, void *wal_dir, struct err *err)
{
    char *done;
    int rc;

    if (!is_restored(file, wal_dir))
        return 0;
    done = mem_printf("archive_status/%s.done", file->name);
    rc = remove_one(file->dir, file->name, err);
    if (rc == 0)
        rc = remove_one(file->dir, done, err);
    free(done);
    return rc;
}

/* ---- the server on it ---- */

static int prepare_recovery(struct pageserver *s, const struct pageserver_request *req,
                            struct err *err)
{
    int rc = make_signal(s, req->standby ? STANDBY_SIGNAL : RECOVERY_SIGNAL, err);

    if (rc == 0)
        rc = look_for_tablespaces(s, req, err);
    return rc;
}

static struct lookahead *look_ahead(struct pageserver *s, const struct pageserver_request *req)
{
    char *wal = mem_printf("%s/pg_wal", s->data);
    struct lookahead *ahead = lookahead_start(&(struct lookahead_request){.wal_dir = req->wal_dir,
                                                                          .log = req->log,
                                                                          .from = req->wal_from,
                                                                          .system = req->wal_system,
                                                                          .wal = wal,
                                                                          .run = s->run});

    free(wal);
    return ahead;
}

static int run_server(struct pageserver *s, const struct pageserver_request *req, struct err *err)
{
    char **env = make_env(s, req);
    struct pg_setting *settings = guard_settings(req);
    struct pg_private_request private = {.programs = req->programs,
                                         .data = s->data,
                                         .run_dir = s->run,
                                         .tool_fd = s->tool_fd,
                                         .settings = settings,
                                         .env = env,
                                         .connections = req->connections,
                                         .max_prepared = req->max_prepared,
                                         .shared_buffers = req->shared_buffers,
                                         .database = req->database,
                                         .unread = req->unread,
                                         .quick_end = req->recover,
                                         .stop_fd = req->stop_fd};
    struct lookahead *ahead = NULL;
    int rc = 0;

    if (req->recover || req->standby)
        rc = prepare_recovery(s, req, err);
    if (rc == 0 && req->log)
        ahead = look_ahead(s, req);
    if (rc == 0)
        rc = pg_private_start(&private, &s->server, err);
    if (rc == 0 && !req->standby)
        rc = pg_private_wait(s->server, err);
    lookahead_stop(ahead);
    free_guarded(settings);
    free_env(env);
    return rc;
}

static int start_server(struct pageserver *s, const struct pageserver_request *req, struct err *err)
{
    bool guarded = req->recover || req->standby;
    int rc = guarded && !reaches_program() ? lend_program(s, err) : 0;

    return rc < 0 ? rc : run_server(s, req, err);
}

static void free_pageserver(struct pageserver *s)
{
    remove_directories(s);
    if (s->lock_fd >= 0)
        close(s->lock_fd);
    if (s->out_fd >= 0)
        close(s->out_fd);
    if (s->tool_fd > 0)
        close(s->tool_fd);
    relay_end(s->voice);
    free(s);
}

/* Its last lines, or NULL. The file is the server's user's: no link of his is followed. */
static char *read_said(const struct pageserver *s)
{
    char *path = mem_printf("%s/" SAID, s->run), text[SAID_TAIL + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    int64_t n = 0;

    free(path);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        n = io_pread_full(fd, text, SAID_TAIL,
                          st.st_size > SAID_TAIL ? (uint64_t)(st.st_size - SAID_TAIL) : 0);
    close(fd);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' '))
        n--;
    if (n <= 0)
        return NULL;
    text[n] = '\0';
    return mem_strdup(text);
}

static struct pageserver_heard hear(const struct pageserver *s)
{
    return (struct pageserver_heard){.log = pg_private_log(s->server), .fetcher = read_said(s)};
}

/* Where recovery has ended. What a command fetched is seen only now. */
static void hear_end(const struct pageserver *s, const struct pageserver_request *req,
                     struct pageserver_heard *heard)
{
    char *wal = mem_printf("%s/pg_wal", s->data);
    struct reached reached = {0};

    heard->end = reached_switch_point(wal);
    if (!req->log && heard->log) {
        reached_read_log(heard->log, &reached);
        heard->more = reached_damage(wal, reached.last, req->wal_segment_bytes);
    }
    free(wal);
}

void pageserver_heard_free(struct pageserver_heard *heard)
{
    free(heard->log);
    free(heard->fetcher);
    *heard = (struct pageserver_heard){0};
}

int pageserver_start(const struct pageserver_request *req, struct pageserver **result,
                     struct pageserver_heard *heard, struct err *err)
{
    struct pageserver *s = mem_alloc(sizeof(*s));
    int rc;

    if (heard)
        *heard = (struct pageserver_heard){0};
    s->programs = *req->programs;
    s->out_fd = s->lock_fd = -1;
    s->stop_fd = req->stop_fd;
    rc = make_directories(s, err);
    if (rc == 0)
        rc = start_pagefs(s, req, err);
    if (rc == 0)
        rc = start_server(s, req, err);
    if (s->server && heard)
        *heard = hear(s);
    if (rc == 0 && heard && req->recover)
        hear_end(s, req, heard);
    if (rc < 0) {
        pageserver_abandon(s);
        return rc;
    }
    *result = s;
    return 0;
}

struct pg_private *pageserver_private(struct pageserver *s)
{
    return s->server;
}

static int check_shut_down(struct pageserver *s, enum pg_state wanted, struct pg_control *c,
                           struct err *err)
{
    int rc = pg_control_read(&s->programs, s->data, c, err);

    if (rc == 0 && c->state != wanted)
        rc = err_set(err, EIO, "the private server did not shut down (pg_control says \"%s\")",
                     c->state_text);
    return rc;
}

/* What only says how this server was started, and what it began with. */
static int remove_traces(struct pageserver *s, struct err *err)
{
    static const char *const names[] = {"backup_label.old", "tablespace_map.old", "postmaster.opts",
                                        PG_PRIVATE_PROMOTE};
    size_t i;
    int rc = 0;

    for (i = 0; rc == 0 && i < sizeof(names) / sizeof(*names); i++)
        rc = remove_one(s->data, names[i], err);
    return rc;
}

int pageserver_stop(struct pageserver *s, struct err *err)
{
    struct pg_control control;
    struct err ignored;
    int rc = pg_private_stop(s->server, err);
    int ended;

    s->server = NULL;
    if (rc == 0)
        rc = check_shut_down(s, PG_STATE_SHUT_DOWN, &control, err);
    if (rc == 0)
        rc = each_in_wal(s, remove_link, NULL, err);
    if (rc == 0)
        rc = remove_traces(s, err);
    ended = end_pagefs(s, rc < 0 ? &ignored : err);
    free_pageserver(s);
    return rc < 0 ? rc : ended;
}

/* ---- a standby ---- */

/* "Again" is for the same number: it is asked for on every timeline that may have it. */
static bool is_same_number(const char *name, const char *other)
{
    return strlen(name) > 8 && strlen(other) > 8 && strcmp(name + 8, other + 8) == 0;
}

/* The same segment again and again. Once or twice says nothing: what the shipped log lacks may be
 * in pg_wal. */
static int times_missing(const struct pageserver *s, char first[64])
{
    char *path = mem_printf("%s/missing", s->run), *text, *line, *rest = NULL;
    int times = 0;

    *first = '\0';
    if (io_read_text(AT_FDCWD, path, MISSING_MAX, &text) < 0)
        text = NULL;
    for (line = text ? strtok_r(text, "\n", &rest) : NULL; line;
         line = strtok_r(NULL, "\n", &rest)) {
        if (!is_same_number(line, first)) {
            snprintf(first, 64, "%s", line);
            times = 0;
        }
        times += strcmp(line, first) == 0;
    }
    free(text);
    free(path);
    return times;
}

static bool wal_has_ended(const struct pageserver *s)
{
    char name[64];

    return times_missing(s, name) >= MISSING_TIMES;
}

static void tell_missing(const struct pageserver *s, char missing[25])
{
    char name[64];

    *missing = '\0';
    if (times_missing(s, name) >= MISSING_TIMES)
        snprintf(missing, 25, "%.*s", (int)strcspn(name, "\n"), name);
}

/* It is not waited for here: end_pagefs does. */
static bool pagefs_has_ended(const struct pageserver *s)
{
    siginfo_t info = {0};

    return waitid(P_PID, (id_t)s->pagefs, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid;
}

/* Without pagefs the server would not get on, and might not end. */
static bool is_enough(void *arg)
{
    const struct pageserver *s = arg;

    return pagefs_has_ended(s) || wal_has_ended(s);
}

static int replay_and_stop(struct pageserver *s, struct pageserver_standby *r, struct err *err)
{
    int rc = pg_private_wait_end_or(s->server, is_enough, s, err);

    if (rc == 1 && pagefs_has_ended(s))
        rc = err_set(err, EIO, "the process that served the view ended too early");
    r->heard = hear(s);
    tell_missing(s, r->missing);
    if (rc == 1) {
        rc = pg_private_stop(s->server, err);
        s->server = NULL;
    }
    if (rc == 0)
        rc = check_shut_down(s, PG_STATE_SHUT_DOWN_IN_RECOVERY, &r->control, err);
    return rc;
}

static int put_in_order(struct pageserver *s, const char *wal_dir, struct err *err)
{
    int rc = each_in_wal(s, remove_restored, (char *)(uintptr_t)wal_dir, err);

    if (rc == 0)
        rc = remove_one(s->data, STANDBY_SIGNAL, err);
    return rc < 0 ? rc : remove_traces(s, err);
}

/* Recovery of a backup renames it when it begins. */
static bool has_label(const struct pageserver *s)
{
    char *path = mem_printf("%s/backup_label", s->data);
    bool has = faccessat(AT_FDCWD, path, F_OK, AT_EACCESS) == 0;

    free(path);
    return has;
}

int pageserver_stop_standby(struct pageserver *s, const char *wal_dir,
                            struct pageserver_standby *result, struct err *err)
{
    struct err ignored;
    int rc, ended;

    *result = (struct pageserver_standby){0};
    rc = replay_and_stop(s, result, err);
    result->never_began = has_label(s);
    if (rc == 0)
        rc = put_in_order(s, wal_dir, err);
    pg_private_abandon(s->server);
    s->server = NULL;
    ended = end_pagefs(s, rc < 0 ? &ignored : err);
    free_pageserver(s);
    return rc < 0 ? rc : ended;
}

void pageserver_abandon(struct pageserver *s)
{
    struct err ignored;

    if (!s)
        return;
    pg_private_abandon(s->server);
    end_pagefs(s, &ignored);
    free_pageserver(s);
}
