#define FUSE_USE_VERSION 312

#include "fs/serving.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/proc.h"

#define WAKE SIGUSR1
#define STILL_USED_MS 500 /* until a mount that was in use is tried again */

/* A server keeps very many files open, each of which may stand on several of ours. */
void fs_raise_file_limit(void)
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

/* ---- stopping ---- */

static bool unmount_if_idle(const struct fs_serving *s)
{
    char *argv[] = {(char *)(uintptr_t) "fusermount3", (char *)(uintptr_t) "-uq",
                    (char *)(uintptr_t) "--", s->at->path, NULL};
    struct err ignored;
    pid_t pid;

    if (geteuid() == 0)
        return mountpoint_unmount(s->at, false) == 0;
    return proc_spawn(argv[0], argv, NULL, NULL, 0, &pid, &ignored) == 0 && proc_wait(pid) == 0;
}

/* The loop sleeps until a signal makes it look whether it shall end; one sent just before it falls
 * asleep is lost, so it is sent until it was heard. */
static void end_loop(struct fs_serving *s)
{
    const struct timespec moment = {.tv_nsec = 5000000};

    fuse_session_exit(s->session);
    while (!atomic_load(&s->ended)) {
        pthread_kill(s->server, WAKE);
        nanosleep(&moment, NULL);
    }
}

/* The loop has ended by itself within this time. */
static bool has_ended_within(const struct fs_serving *s, int ms)
{
    struct pollfd p = {.fd = s->wake_fd, .events = POLLIN};

    return poll(&p, 1, ms) > 0;
}

static void wait_until_idle(struct fs_serving *s)
{
    s->in_use(s->arg);
    while (!has_ended_within(s, STILL_USED_MS) && !unmount_if_idle(s))
        ;
}

/* Until the loop has ended by itself, or somebody wants it to. */
static void *await_stop(void *arg)
{
    struct fs_serving *s = arg;
    struct pollfd p[2] = {{.fd = s->wake_fd, .events = POLLIN},
                          {.fd = s->stop ? s->stop->fd : -1, .events = POLLIN}};

    while (poll(p, 2, -1) < 0 && errno == EINTR)
        ;
    if (!p[1].revents)
        return NULL;
    if (!unmount_if_idle(s)) {
        if (s->in_use)
            wait_until_idle(s);
        else
            mountpoint_sync(s->at);
    }
    end_loop(s);
    return NULL;
}

static void wake_stopper(struct fs_serving *s)
{
    uint64_t one = 1;
    ssize_t ignored = write(s->wake_fd, &one, sizeof(one));

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

static int run_loop(struct fs_serving *s)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    int rc;

    if (!config)
        return -ENOMEM;
    fuse_loop_cfg_set_clone_fd(config, may_open_device());
    fuse_loop_cfg_set_max_threads(config, s->threads);
    fuse_loop_cfg_set_idle_threads(config, s->threads);
    rc = fuse_session_loop_mt(s->session, config);
    fuse_loop_cfg_destroy(config);
    return rc < 0 ? rc : 0;
}

static int run_loop_entered(struct fs_serving *s)
{
    int rc = s->enter ? s->enter(s->arg) : 0;

    if (rc < 0)
        return rc;
    rc = run_loop(s);
    if (s->leave)
        s->leave(s->arg);
    return rc;
}

static int serve_beside_stopper(struct fs_serving *s)
{
    pthread_t stopper;
    int rc = -pthread_create(&stopper, NULL, await_stop, s);

    if (rc < 0)
        return rc;
    rc = run_loop_entered(s);
    atomic_store(&s->ended, true);
    wake_stopper(s);
    pthread_join(stopper, NULL);
    return rc;
}

int fs_serve(struct fs_serving *s)
{
    struct sigaction wake = {.sa_handler = ignore_signal}, before;
    int rc;

    s->server = pthread_self();
    s->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (s->wake_fd < 0)
        return -errno;
    sigaction(WAKE, &wake, &before);
    rc = serve_beside_stopper(s);
    sigaction(WAKE, &before, NULL);
    close(s->wake_fd);
    return rc;
}
