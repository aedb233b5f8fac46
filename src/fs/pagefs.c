/*
 * Stopping: a mount that nobody uses is unmounted while requests are still answered, so that the
 * kernel writes everything it collected. From one that is in use the kernel's collected writes are
 * asked for, and then it ends.
 */
#define FUSE_USE_VERSION 312

#include "fs/pagefs.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "common/proc.h"
#include "fs/datafiles.h"
#include "fs/internal.h"
#include "pages/manifest.h"
#include "pages/pagefile.h"

#define MAX_READAHEAD (1u << 20)
#define MAX_BACKGROUND 64 /* requests for reading ahead and writing back */
#define MAX_THREADS 16
#define WAKE SIGUSR1

struct pagefs {
    struct datafiles files; /* first: datafiles.h */
    struct pagefs_options options;
    struct mountpoint *at; /* borrowed */
    struct fuse_session *session;
    bool mounted;

    int wake_fd;       /* eventfd: the stopper has something to do */
    pthread_t server;  /* runs the session's loop */
    atomic_bool ended; /* the loop has returned */
    atomic_int lost;   /* a page that the kernel wrote back could not be stored: negative errno */
};

_Static_assert(offsetof(struct pagefs, files) == 0, "where datafiles.h looks");

/* ---- answers ---- */

static struct pagefs *fs_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static void reply_rc(fuse_req_t req, int rc)
{
    fuse_reply_err(req, rc < 0 ? -rc : 0);
}

static struct datadir *data_of(fuse_req_t req)
{
    return fs_of(req)->files.data;
}

static void reply_entry(fuse_req_t req, int rc, const struct stat *st)
{
    datafiles_reply_entry(&fs_of(req)->files, req, rc, st);
}

/* ---- names ---- */

static void make_node(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      const char *target)
{
    struct stat st;
    int rc = datadir_make(data_of(req), parent, name, mode, target, &st);

    reply_entry(req, rc, &st);
}

static void fs_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    (void)rdev;
    if (S_ISREG(mode))
        make_node(req, parent, name, mode, NULL);
    else
        fuse_reply_err(req, EPERM);
}

static void fs_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    make_node(req, parent, name, S_IFDIR | (mode & 07777), NULL);
}

/* A directory that may be there already. */
static int find_or_make_dir(struct datadir *d, uint64_t parent, const char *name, struct stat *st)
{
    int rc = datadir_lookup(d, parent, name, st);

    return rc == -ENOENT ? datadir_make(d, parent, name, S_IFDIR | 0700, NULL, st) : rc;
}

static bool is_in_root(struct datadir *d, uint64_t dir, const char *name)
{
    struct stat st;

    return datadir_lookup(d, FUSE_ROOT_ID, name, &st) == 0 && st.st_ino == dir;
}

/*
 * A server that replays somebody's log makes the links that it finds there. Where that one runs on
 * this machine they lead to its live files, which must not be written.
 */
static void make_own_space(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct datadir *d = data_of(req);
    struct stat st;
    char target[64]; /* the name is a number */
    int rc = find_or_make_dir(d, FUSE_ROOT_ID, MANIFEST_TABLESPACES, &st);

    if (rc == 0)
        rc = find_or_make_dir(d, st.st_ino, name, &st);
    if (snprintf(target, sizeof(target), "../" MANIFEST_TABLESPACES "/%s", name) >= 64 && rc == 0)
        rc = -ENAMETOOLONG;
    if (rc < 0)
        reply_entry(req, rc, &st);
    else
        make_node(req, parent, name, S_IFLNK | 0777, target);
}

/*
 * A private server has two sorts of links: those of CREATE TABLESPACE, and, from what fetches the
 * log, those in pg_wal, which are gone before anybody reads the view. No other one is to lead
 * whoever reads it out of it.
 */
static void make_private_link(fuse_req_t req, const char *target, fuse_ino_t parent,
                              const char *name)
{
    struct datadir *d = data_of(req);

    if (target[0] == '/' && is_in_root(d, parent, "pg_tblspc"))
        make_own_space(req, parent, name);
    else if (is_in_root(d, parent, "pg_wal"))
        make_node(req, parent, name, S_IFLNK | 0777, target);
    else
        fuse_reply_err(req, EPERM);
}

static void fs_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    if (fs_of(req)->options.own_spaces)
        make_private_link(req, target, parent, name);
    else
        make_node(req, parent, name, S_IFLNK | 0777, target);
}

static void fs_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    struct stat st;
    int rc = datadir_link(data_of(req), ino, parent, name, &st);

    reply_entry(req, rc, &st);
}

static void fs_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply_rc(req, datadir_unlink(data_of(req), parent, name));
}

static void fs_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply_rc(req, dirtree_rmdir(datadir_tree(data_of(req)), parent, name));
}

static void fs_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned flags)
{
    reply_rc(req, datadir_rename(data_of(req), parent, name, new_parent, new_name, flags));
}

/* ---- attributes ---- */

static struct timespec time_to_set(int to_set, int given, int now, struct timespec value)
{
    if (to_set & now)
        return (struct timespec){.tv_nsec = UTIME_NOW};
    return to_set & given ? value : (struct timespec){.tv_nsec = UTIME_OMIT};
}

static int set_times(struct pagefs *fs, fuse_ino_t ino, const struct stat *attr, int to_set)
{
    const struct timespec times[2] = {
        time_to_set(to_set, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, attr->st_atim),
        time_to_set(to_set, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, attr->st_mtim)};

    return datadir_set_times(fs->files.data, ino, times);
}

/* There is one owner; who may change what was checked by the kernel. */
static int set_attributes(struct pagefs *fs, fuse_ino_t ino, const struct stat *attr, int to_set,
                          const struct fuse_file_info *fi)
{
    int rc = 0;

    if (((to_set & FUSE_SET_ATTR_UID) && attr->st_uid != fs->options.uid) ||
        ((to_set & FUSE_SET_ATTR_GID) && attr->st_gid != fs->options.gid))
        return -EPERM;
    if (to_set & FUSE_SET_ATTR_MODE)
        rc = dirtree_chmod(datadir_tree(fs->files.data), ino, attr->st_mode & 07777);
    if (rc == 0 && (to_set & FUSE_SET_ATTR_SIZE))
        rc = fi ? pagefile_truncate(datafiles_file(fi), (uint64_t)attr->st_size)
                : datadir_truncate(fs->files.data, ino, (uint64_t)attr->st_size);
    if (rc == 0 && (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME)))
        rc = set_times(fs, ino, attr, to_set);
    return rc;
}

static void fs_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    int rc = set_attributes(fs_of(req), ino, attr, to_set, fi);

    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        datafiles_getattr(req, ino, fi);
}

static void fs_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct statvfs s;
    int rc = datadir_space(data_of(req), &s);

    (void)ino;
    if (rc < 0) {
        fuse_reply_err(req, -rc);
        return;
    }
    s.f_namemax = 255;
    fuse_reply_statfs(req, &s);
}

/* ---- files ---- */

static void fs_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    struct pagefs *fs = fs_of(req);
    struct fuse_entry_param e;
    struct stat st;
    int rc = datadir_make(fs->files.data, parent, name, S_IFREG | (mode & 07777), NULL, &st);

    if (rc == -EEXIST && !(fi->flags & O_EXCL))
        rc = datadir_lookup(fs->files.data, parent, name, &st);
    if (rc == 0)
        rc = datafiles_open_handle(&fs->files, st.st_ino, fi);
    if (rc < 0) {
        fuse_reply_err(req, -rc);
        return;
    }
    datafiles_fill_entry(&fs->files, &st, &e);
    fuse_reply_create(req, &e, fi);
}

/* Whoever wrote a page that the kernel wrote back later has not heard that it is lost. */
static int lost_of(const struct pagefs *fs)
{
    return fs->options.strict ? atomic_load(&fs->lost) : 0;
}

static void note_lost(struct pagefs *fs, int64_t rc)
{
    int none = 0;

    atomic_compare_exchange_strong(&fs->lost, &none, (int)rc);
}

static void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    int lost = lost_of(fs_of(req));

    if (lost < 0)
        fuse_reply_err(req, -lost);
    else
        datafiles_read(req, ino, size, offset, fi);
}

/* Of pages that the kernel writes back nobody is told how many came through: half is nothing. */
static void fs_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    int64_t n = pagefile_write(datafiles_file(fi), bytes, size, (uint64_t)offset);

    (void)ino;
    if (n >= 0 && (size_t)n < size && fi->writepage)
        n = -ENOSPC;
    if (n < 0 && fi->writepage)
        note_lost(fs_of(req), n);
    if (n < 0)
        fuse_reply_err(req, (int)-n);
    else
        fuse_reply_write(req, (size_t)n);
}

static void fs_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino, (void)datasync;
    reply_rc(req, pagefile_sync(datafiles_file(fi)));
}

static void fs_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                         struct fuse_file_info *fi)
{
    (void)ino;
    reply_rc(req, pagefile_allocate(datafiles_file(fi), mode, (uint64_t)offset, (uint64_t)length));
}

/* ---- directories ---- */

static void fs_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino, (void)datasync, (void)fi;
    reply_rc(req, datadir_sync_names(data_of(req)));
}

/* ---- the session ---- */

/*
 * Sizes and times change by the kernel's own doing: that is no reason for it to drop its pages (no
 * automatic invalidation). Truncation at opening comes as a call of its own.
 */
static void fs_init(void *arg, struct fuse_conn_info *conn)
{
    const struct pagefs *fs = arg;

    conn->max_readahead = MAX_READAHEAD;
    conn->max_background = MAX_BACKGROUND;
    conn->congestion_threshold = MAX_BACKGROUND * 3 / 4;
    conn->want &=
        ~(unsigned)(FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_HANDLE_KILLPRIV |
                    FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
    conn->want |= conn->capable & (FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_CACHE_SYMLINKS |
                                   FUSE_CAP_EXPORT_SUPPORT);
    if (fs->options.writeback)
        conn->want |= conn->capable & FUSE_CAP_WRITEBACK_CACHE;
}

static const struct fuse_lowlevel_ops operations = {
    .init = fs_init,
    .lookup = datafiles_lookup,
    .getattr = datafiles_getattr,
    .setattr = fs_setattr,
    .readlink = datafiles_readlink,
    .mknod = fs_mknod,
    .mkdir = fs_mkdir,
    .unlink = fs_unlink,
    .rmdir = fs_rmdir,
    .symlink = fs_symlink,
    .rename = fs_rename,
    .link = fs_link,
    .open = datafiles_open,
    .create = fs_create,
    .read = fs_read,
    .write = fs_write,
    .release = datafiles_release,
    .fsync = fs_fsync,
    .fallocate = fs_fallocate,
    .opendir = datafiles_opendir,
    .readdir = datafiles_readdir,
    .readdirplus = datafiles_readdirplus,
    .releasedir = datafiles_release,
    .fsyncdir = fs_fsyncdir,
    .statfs = fs_statfs,
};

/* A server keeps very many files open, each of which may stand on several of ours. */
static void raise_file_limit(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) < 0)
        return;
    if (geteuid() == 0 && r.rlim_max < 1u << 20) {
        struct rlimit more = {.rlim_cur = 1u << 20, .rlim_max = 1u << 20};

        if (setrlimit(RLIMIT_NOFILE, &more) == 0)
            return;
    }
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
}

/*
 * Writing back must not wait for memory or for dirty pages that only this process can clean; the
 * kernel is told that it is one through which others write. Without the right to say so, it works
 * as long as memory is not short.
 */
static void prepare_process(const struct pagefs *fs)
{
    raise_file_limit();
    fs_prepare_heap();
    if (fs->options.writeback)
        prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
}

static int new_pagefs(struct datadir *d, struct mountpoint *m, const struct pagefs_options *o,
                      struct pagefs **out, struct err *err)
{
    struct pagefs *fs = calloc(1, sizeof(*fs));

    *out = fs;
    if (!fs)
        return err_set(err, ENOMEM, "out of memory");
    datafiles_init(&fs->files, d, o->uid, o->gid, 0);
    fs->files.flush = o->writeback;
    fs->options = *o;
    fs->wake_fd = eventfd(0, EFD_CLOEXEC);
    fs->at = m;
    if (fs->wake_fd < 0)
        return err_errno(err, "cannot prepare the mount");
    return 0;
}

int pagefs_mount(struct datadir *d, struct mountpoint *m, const struct pagefs_options *options,
                 struct pagefs **out, struct err *err)
{
    struct fs_session_options o = {
        .flags = "rw,nosuid,nodev", .source = options->source, .allow_other = options->allow_other};
    struct pagefs *fs;
    int rc = new_pagefs(d, m, options, &fs, err);

    if (rc < 0)
        goto out;
    prepare_process(fs);
    rc = fs_session_open(&o, &operations, fs, &fs->session, err);
    if (rc < 0)
        goto out;
    rc = fs_session_mount(fs->session, m, &o, err);
    fs->mounted = rc == 0;
out:
    if (rc < 0)
        pagefs_unmount(fs);
    else
        *out = fs;
    return rc;
}

/* ---- stopping ---- */

static bool unmount_if_idle(const struct pagefs *fs)
{
    char *argv[] = {(char *)(uintptr_t) "fusermount3", (char *)(uintptr_t) "-uq",
                    (char *)(uintptr_t) "--", fs->at->path, NULL};
    struct err ignored;
    pid_t pid;

    if (geteuid() == 0)
        return mountpoint_unmount(fs->at, false) == 0;
    return proc_spawn(argv[0], argv, NULL, NULL, 0, &pid, &ignored) == 0 && proc_wait(pid) == 0;
}

static void ask_for_collected_writes(const struct pagefs *fs)
{
    int fd = mountpoint_open(fs->at);

    if (fd < 0)
        return;
    syncfs(fd);
    close(fd);
}

/* The loop sleeps until a signal makes it look whether it shall end; one sent just before it falls
 * asleep is lost, so it is sent until it was heard. */
static void end_loop(struct pagefs *fs)
{
    const struct timespec moment = {.tv_nsec = 5000000};

    fuse_session_exit(fs->session);
    while (!atomic_load(&fs->ended)) {
        pthread_kill(fs->server, WAKE);
        nanosleep(&moment, NULL);
    }
}

struct stopper {
    struct pagefs *fs;
    const struct stop *stop;
    pthread_t thread;
};

/* Until the loop has ended by itself, or somebody wants it to. */
static void *await_stop(void *arg)
{
    struct stopper *s = arg;
    struct pollfd p[2] = {{.fd = s->fs->wake_fd, .events = POLLIN},
                          {.fd = s->stop ? s->stop->fd : -1, .events = POLLIN}};

    while (poll(p, 2, -1) < 0 && errno == EINTR)
        ;
    if (!p[1].revents)
        return NULL;
    if (!unmount_if_idle(s->fs))
        ask_for_collected_writes(s->fs);
    end_loop(s->fs);
    return NULL;
}

static void wake_stopper(struct pagefs *fs)
{
    uint64_t one = 1;
    ssize_t ignored = write(fs->wake_fd, &one, sizeof(one));

    (void)ignored; /* it can fail only when it is awake already */
}

static void ignore_signal(int number)
{
    (void)number;
}

/* A descriptor for each thread lets them work more side by side. Systems let everybody open the
 * device, but for some containers. */
static bool may_open_device(void)
{
    return faccessat(AT_FDCWD, "/dev/fuse", R_OK | W_OK, AT_EACCESS) == 0;
}

static int run_loop(struct pagefs *fs)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    int rc;

    if (!config)
        return -ENOMEM;
    fuse_loop_cfg_set_clone_fd(config, may_open_device());
    fuse_loop_cfg_set_max_threads(config, MAX_THREADS);
    fuse_loop_cfg_set_idle_threads(config, MAX_THREADS);
    rc = fuse_session_loop_mt(fs->session, config);
    fuse_loop_cfg_destroy(config);
    return rc < 0 ? rc : 0;
}

static int run_loop_entered(struct pagefs *fs)
{
    const struct pagefs_options *o = &fs->options;
    int rc = o->enter ? o->enter(o->arg) : 0;

    if (rc < 0)
        return rc;
    rc = run_loop(fs);
    if (o->leave)
        o->leave(o->arg);
    return rc;
}

int pagefs_serve(struct pagefs *fs, const struct stop *stop, int *lost)
{
    struct sigaction wake = {.sa_handler = ignore_signal}, before;
    struct stopper s = {.fs = fs, .stop = stop};
    int rc;

    fs->server = pthread_self();
    sigaction(WAKE, &wake, &before);
    rc = -pthread_create(&s.thread, NULL, await_stop, &s);
    if (rc == 0) {
        rc = run_loop_entered(fs);
        atomic_store(&fs->ended, true);
        wake_stopper(fs);
        pthread_join(s.thread, NULL);
    }
    sigaction(WAKE, &before, NULL);
    *lost = atomic_load(&fs->lost);
    return rc;
}

void pagefs_unmount(struct pagefs *fs)
{
    if (!fs)
        return;
    if (fs->mounted)
        fs_session_unmount(fs->session, fs->at);
    datafiles_end(&fs->files);
    if (fs->session)
        fuse_session_destroy(fs->session);
    if (fs->wake_fd >= 0)
        close(fs->wake_fd);
    free(fs);
}
