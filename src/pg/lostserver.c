#include "pg/postmaster.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/io.h"
#include "common/mem.h"

#define LOOK_AGAIN_MS 50
#define NUMBER_MS 5000
#define START_SLACK_S 60 /* between its beginning and that of its main function; the clock is set */
#define STATUS_MAX (64 << 10)

static void pause_a_moment(void)
{
    const struct timespec moment = {.tv_nsec = LOOK_AGAIN_MS * 1000000L};

    nanosleep(&moment, NULL);
}

/* ---- one process ---- */

/* Files of /proc tell no size. */
static int read_proc(pid_t pid, const char *name, char **text)
{
    char *path = mem_printf("/proc/%ld/%s", (long)pid, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int64_t n;

    free(path);
    if (fd < 0)
        return -errno;
    *text = mem_alloc(STATUS_MAX + 1);
    n = io_pread_full(fd, *text, STATUS_MAX, 0);
    close(fd);
    if (n > 0)
        return 0;
    free(*text);
    return n < 0 ? (int)n : -ESRCH;
}

/* In all of its identities. */
static bool is_mine(pid_t pid)
{
    unsigned uid[4] = {0};
    char *text, *line;
    bool mine = false;
    int i;

    if (read_proc(pid, "status", &text) < 0)
        return false;
    line = strstr(text, "\nUid:");
    if (line && sscanf(line, "\nUid: %u %u %u %u", &uid[0], &uid[1], &uid[2], &uid[3]) == 4)
        for (i = 0, mine = true; i < 4; i++)
            mine &= uid[i] == geteuid();
    free(text);
    return mine;
}

#define PROGRAM_MAX 4096

/* One that is ending has none any more. */
static bool find_program(pid_t pid, char to[PROGRAM_MAX])
{
    char *path = mem_printf("/proc/%ld/exe", (long)pid);
    ssize_t n = readlink(path, to, PROGRAM_MAX - 1);

    free(path);
    to[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* Also one that was replaced by a newer version since. */
static bool is_postgres(pid_t pid)
{
    static const char *const names[] = {"postgres", "postgres (deleted)", "postmaster"};
    char to[PROGRAM_MAX];
    const char *name;
    bool is = false;
    size_t i;

    if (!find_program(pid, to))
        return false;
    name = strrchr(to, '/');
    for (i = 0; name && i < sizeof(names) / sizeof(*names); i++)
        is |= strcmp(name + 1, names[i]) == 0;
    return is;
}

enum place { ELSEWHERE, IN_LOST, IN_DATA, UNKNOWN };

#define DEVICE_MAX 40

/* Where it works is on. The process that served a mount is not asked. */
static bool find_device(pid_t pid, char device[DEVICE_MAX])
{
    char *path = mem_printf("/proc/%ld/cwd", (long)pid);
    struct statx st;
    bool found = statx(AT_FDCWD, path, AT_STATX_DONT_SYNC, STATX_INO, &st) == 0;

    if (found)
        snprintf(device, DEVICE_MAX, "%u:%u", st.stx_dev_major, st.stx_dev_minor);
    free(path);
    return found;
}

static bool is_on(pid_t pid, const char *device)
{
    char found[DEVICE_MAX];

    return find_device(pid, found) && strcmp(found, device) == 0;
}

/* Where it works. What the kernel remembers of a mount that is gone it still tells, but not how full it
 * is. */
static enum place place_of(pid_t pid, const char *data, const char *device)
{
    char *path = mem_printf("/proc/%ld/cwd", (long)pid);
    enum place place = ELSEWHERE;
    struct stat at, own;
    struct statfs space;

    if (device && is_on(pid, device))
        place = IN_LOST;
    else if (statfs(path, &space) < 0)
        place = !device && (errno == ENOTCONN || errno == ECONNABORTED) ? IN_LOST : UNKNOWN;
    else if (stat(path, &at) < 0 || stat(data, &own) < 0)
        place = UNKNOWN;
    else if (at.st_dev == own.st_dev && at.st_ino == own.st_ino)
        place = IN_DATA;
    free(path);
    return place;
}

/* When the machine started, seconds since 1970; 0: not known. */
static int64_t boot_time(void)
{
    long long at = 0;
    char line[256];
    FILE *f = fopen("/proc/stat", "re");

    while (f && fgets(line, sizeof(line), f))
        if (sscanf(line, "btime %lld", &at) == 1)
            break;
    if (f)
        fclose(f);
    return at;
}

/* 0: not known. */
static int64_t start_of(pid_t pid)
{
    unsigned long long ticks = 0;
    char *text, *rest;
    int i;

    if (read_proc(pid, "stat", &text) < 0)
        return 0;
    rest = strrchr(text, ')'); /* of its name; what follows is field 3 and so on: 22 is the start */
    for (i = 3; i <= 22 && rest; i++)
        rest = strchr(rest + 1, ' ');
    if (rest)
        ticks = strtoull(rest, NULL, 10);
    free(text);
    return ticks ? boot_time() + (int64_t)(ticks / (unsigned long long)sysconf(_SC_CLK_TCK)) : 0;
}

static bool started_then(pid_t pid, int64_t told)
{
    int64_t start = start_of(pid);

    return start && told && llabs(start - told) <= START_SLACK_S;
}

/* ---- the server ---- */

static bool has_ended(int pidfd, int64_t within_ms)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};

    return poll(&p, 1, (int)within_ms) > 0;
}

/* Its number is not in use any more, if whoever started it asks for its end: while it is, the next
 * server takes the files beside its socket for those of one that runs. */
static void await_number_free(pid_t pid)
{
    int64_t deadline = clock_ms() + NUMBER_MS;

    while (kill(pid, 0) == 0 && clock_ms() < deadline)
        pause_a_moment();
}

/* 1: it is the server, which lost its directory. 0: it is not. What was read is of the process that
 * pidfd is, if that has not ended by then. */
static int judge(const struct pg_postmaster *p, const char *data, const char *device,
                 struct err *err)
{
    enum place place;

    if (!is_mine(p->pid) || !is_postgres(p->pid))
        return 0;
    place = place_of(p->pid, data, device);
    if (place == UNKNOWN)
        return err_set(err, EPERM,
                       "it cannot be told whether process %ld, which %s/" PG_POSTMASTER_FILE
                       " names, is its server: nothing was done; end that server if it is",
                       (long)p->pid, data);
    if (place == IN_DATA)
        return err_set(err, EBUSY, "a server runs on %s (process %ld), past asofs; stop it", data,
                       (long)p->pid);
    if (place == IN_LOST && !started_then(p->pid, p->started))
        return err_set(err, EPERM,
                       "process %ld was not started when %s/" PG_POSTMASTER_FILE
                       " says: nothing was done; if it is the server, end it (kill -QUIT %ld)",
                       (long)p->pid, data, (long)p->pid);
    return place == IN_LOST;
}

/* device: of where it worked, if it is not known. */
static int end_if_lost(const struct pg_postmaster *p, const char *data, char device[DEVICE_MAX],
                       pid_t *ended, struct err *err)
{
    int fd = (int)syscall(SYS_pidfd_open, p->pid, 0), rc;
    char program[PROGRAM_MAX];

    if (fd < 0)
        return errno == ESRCH || errno == EINVAL
                   ? 0
                   : err_errno(err, "cannot look at process %ld", (long)p->pid);
    rc = judge(p, data, *device ? device : NULL, err);
    if (rc == 1 && !*device && !find_device(p->pid, device))
        *device = '\0';
    if (has_ended(fd, 0))
        rc = 0;
    if (rc == 1 && syscall(SYS_pidfd_send_signal, fd, SIGQUIT, NULL, 0) < 0 && errno != ESRCH)
        rc = err_errno(err, "cannot end the server, process %ld", (long)p->pid);
    if (rc == 1)
        *ended = p->pid;
    if (rc == 1 || (rc == 0 && is_mine(p->pid) && !find_program(p->pid, program))) {
        has_ended(fd, PG_POSTMASTER_WAIT_MS);
        await_number_free(p->pid);
    }
    close(fd);
    return rc < 0 ? rc : 0;
}

/* One of the processes that lost their directory, or 0. */
static pid_t find_lost(const char *device)
{
    DIR *dir = opendir("/proc");
    struct dirent *e;
    pid_t found = 0, pid;

    while (dir && !found && (e = readdir(dir))) {
        pid = (pid_t)strtol(e->d_name, NULL, 10);
        if (pid > 0 && is_mine(pid) && is_postgres(pid) && is_on(pid, device))
            found = pid;
    }
    if (dir)
        closedir(dir);
    return found;
}

static int await_end(const char *device, struct err *err)
{
    int64_t deadline = clock_ms() + PG_POSTMASTER_WAIT_MS;
    pid_t left;

    while ((left = find_lost(device)) != 0) {
        if (clock_ms() >= deadline)
            return err_set(err, ETIMEDOUT,
                           "the server that lost its files has not ended: process %ld is left; end "
                           "it (kill -KILL %ld), and try again",
                           (long)left, (long)left);
        pause_a_moment();
    }
    return 0;
}

int pg_postmaster_end_lost(const char *data, const char *device, pid_t *pid, bool *left,
                           struct err *err)
{
    char on[DEVICE_MAX] = "";
    struct pg_postmaster p;
    int there = pg_postmaster_read(data, &p), rc = 0;

    *pid = 0;
    *left = there == 0;
    if (device)
        snprintf(on, sizeof(on), "%s", device);
    if (there < 0 && there != -ENOENT)
        return err_set(err, -there, "cannot read %s/" PG_POSTMASTER_FILE ": %s", data,
                       strerror(-there));
    if (there == 0 && p.pid > 0)
        rc = end_if_lost(&p, data, on, pid, err);
    if (rc == 0 && *on)
        rc = await_end(on, err);
    pg_postmaster_free(&p);
    return rc;
}
