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
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/proc.h"
#include "fs/internal.h"
#include "fs/pagerequests.h"

#define MAX_THREADS 16
#define WAKE SIGUSR1

struct pagefs {
    struct pagerequests requests; /* first: pagerequests.h */
    struct pagefs_options options;
    struct mountpoint *at; /* borrowed */
    struct fuse_session *session;
    bool mounted;

    int wake_fd;       /* eventfd: the stopper has something to do */
    pthread_t server;  /* runs the session's loop */
    atomic_bool ended; /* the loop has returned */
};

_Static_assert(offsetof(struct pagefs, requests) == 0, "where the requests look");

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
    datafiles_init(&fs->requests.files, d, o->uid, o->gid, 0);
    fs->requests.files.flush = o->writeback;
    fs->requests.own_spaces = o->own_spaces;
    fs->requests.strict = o->strict;
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
    rc = fs_session_open(&o, &pagerequests_all, fs, &fs->session, err);
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
    *lost = atomic_load(&fs->requests.lost);
    return rc;
}

void pagefs_unmount(struct pagefs *fs)
{
    if (!fs)
        return;
    if (fs->mounted)
        fs_session_unmount(fs->session, fs->at);
    datafiles_end(&fs->requests.files);
    if (fs->session)
        fuse_session_destroy(fs->session);
    if (fs->wake_fd >= 0)
        close(fs->wake_fd);
    free(fs);
}
