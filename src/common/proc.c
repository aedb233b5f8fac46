#include "common/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/mem.h"

extern char **environ;

/* Of two values of a name some programs take the first, some the last. */
static bool is_replaced(const char *entry, char *const extra[])
{
    size_t len = strcspn(entry, "=") + 1;

    for (; extra && *extra; extra++)
        if (strncmp(entry, *extra, len) == 0)
            return true;
    return false;
}

static char **merged_env(char *const extra[])
{
    size_t n = 0, m = 0, i;
    char **env;

    while (environ && environ[n])
        n++;
    while (extra && extra[m])
        m++;
    env = mem_array(n + m + 1, sizeof(*env));
    for (i = 0; i < m; i++)
        env[i] = extra[i];
    for (i = 0; i < n; i++)
        if (!is_replaced(environ[i], extra))
            env[m++] = environ[i];
    return env;
}

#define ABOVE 10 /* every number that a child is given: beyond the limit there may be none */

static int move_fd(int fd)
{
    int null_fd, moved;

    if (fd != PROC_NULL)
        return fcntl(fd, F_DUPFD_CLOEXEC, ABOVE);
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        return -1;
    moved = fcntl(null_fd, F_DUPFD_CLOEXEC, ABOVE);
    close(null_fd);
    return moved;
}

/*
 * dup2 in the child must not overwrite a descriptor that is still to be passed, so every one is
 * first moved above all the numbers asked for. Moved copies close on exec.
 */
static int place_fds(posix_spawn_file_actions_t *acts, const struct proc_fd *fds, size_t n,
                     int *moved)
{
    size_t i;

    for (i = 0; i < n; i++) {
        moved[i] = move_fd(fds[i].ours);
        if (moved[i] < 0)
            return errno == EINVAL ? -EMFILE : -errno;
        posix_spawn_file_actions_adddup2(acts, moved[i], fds[i].theirs);
    }
    return 0;
}

int proc_spawn(const char *path, char *const argv[], char *const extra_env[],
               const struct proc_fd *fds, size_t nfds, pid_t *pid, struct err *err)
{
    posix_spawn_file_actions_t acts;
    posix_spawnattr_t attr;
    char **env = merged_env(extra_env);
    int *moved = mem_array(nfds, sizeof(*moved));
    sigset_t none, all;
    size_t i;
    int rc;

    memset(moved, -1, nfds * sizeof(*moved));
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&acts);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr,
                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_RESETIDS);
    rc = place_fds(&acts, fds, nfds, moved);
    if (rc == 0)
        rc = -posix_spawnp(pid, path, &acts, &attr, argv, env);
    for (i = 0; i < nfds; i++)
        if (moved[i] >= 0)
            close(moved[i]);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&acts);
    free(moved);
    free(env);
    if (rc < 0)
        return err_set(err, -rc, "cannot start %s: %s", path, strerror(-rc));
    return 0;
}

#define ENOUGH_FILES 65536 /* some programs look at each number that a descriptor may have */

void proc_widen_limits(void)
{
    struct rlimit r;

    signal(SIGXFSZ, SIG_IGN);
    umask(umask(0) & ~(mode_t)0700);
    if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur >= ENOUGH_FILES)
        return;
    r.rlim_cur = r.rlim_max < ENOUGH_FILES ? r.rlim_max : ENOUGH_FILES;
    setrlimit(RLIMIT_NOFILE, &r);
}

void proc_reset_signals(void)
{
    sigset_t none;

    signal(SIGCHLD, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

void proc_leave_terminal(void)
{
    int fd = getsid(0) == getpid() ? -1 : open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (fd < 0)
        return;
    ioctl(fd, TIOCNOTTY);
    close(fd);
}

const char *proc_self(void)
{
    return "/proc/self/exe";
}

/* Until its other end is closed; -EINTR: it shall stop. */
static int hear(int fd, int stop_fd, struct buf *said)
{
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = stop_fd, .events = POLLIN}};
    char piece[1024];
    ssize_t n = 1;

    while (n > 0) {
        if (poll(p, 2, -1) < 0) {
            if (errno != EINTR)
                return -errno;
            continue;
        }
        if (p[1].revents)
            return -EINTR;
        n = read(fd, piece, sizeof(piece));
        if (n > 0)
            buf_put(said, piece, (size_t)n);
    }
    return n < 0 ? -errno : 0;
}

int proc_run_self(char *const argv[], int stop_fd, struct buf *said)
{
    struct proc_fd fds[] = {
        {PROC_NULL, STDIN_FILENO}, {PROC_NULL, STDOUT_FILENO}, {PROC_NULL, STDERR_FILENO}};
    int ends[2], rc, status;
    struct err err;
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -errno;
    fds[2].ours = ends[1];
    rc = proc_spawn(proc_self(), argv, NULL, fds, 3, &pid, &err);
    close(ends[1]);
    if (rc == 0) {
        rc = hear(ends[0], stop_fd, said);
        if (rc < 0)
            kill(pid, SIGTERM);
        status = proc_wait(pid);
        if (rc == 0)
            rc = WIFEXITED(status) ? WEXITSTATUS(status) : -ECHILD;
        if (rc == -ECHILD)
            buf_puts(said, "the process that was to do it was killed");
    } else {
        buf_puts(said, err.text);
    }
    close(ends[0]);
    return rc;
}

int proc_wait(pid_t pid)
{
    int status = -1;
    pid_t r;

    do {
        r = waitpid(pid, &status, 0);
    } while (r < 0 && errno == EINTR);
    return r == pid ? status : -1;
}

void proc_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    proc_wait(pid);
}

/* The letter after the name, which is in parentheses and may hold any (proc(5)). */
static char state_of(pid_t pid)
{
    char path[64], line[256], *end = NULL;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    f = fopen(path, "re");
    if (!f)
        return 0;
    if (fgets(line, sizeof(line), f))
        end = strrchr(line, ')');
    fclose(f);
    return end && end[1] ? end[2] : 0;
}

bool proc_has_ended(pid_t pid)
{
    return (kill(pid, 0) < 0 && errno == ESRCH) || state_of(pid) == 'Z';
}

int proc_thread(pthread_t *thread, void *(*run)(void *arg), void *arg)
{
    sigset_t all, old;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rc;
}

const char *proc_describe(int status, char *out, size_t room)
{
    if (WIFEXITED(status))
        snprintf(out, room, "exited with status %d", WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        snprintf(out, room, "was killed by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(out, room, "ended with wait status %d", status);
    return out;
}

void proc_args_add(struct proc_args *a, char *owned)
{
    a->argv = mem_grow(a->argv, a->n + 1, &a->room, sizeof(*a->argv));
    a->bytes += strlen(owned) + 1;
    a->argv[a->n++] = owned;
    a->argv[a->n] = NULL;
}

void proc_args_free(struct proc_args *a)
{
    size_t i;

    for (i = 0; i < a->n; i++)
        free(a->argv[i]);
    free(a->argv);
}
