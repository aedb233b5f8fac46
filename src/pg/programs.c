#include "pg/programs.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/io.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/proc.h"
#include "common/stop.h"

#define CANNOT_START 127 /* as a shell says it */
#define END_PATIENCE_MS 5000
#define CHUNK 65536
#define DEFAULT_PATH "/usr/local/bin:/usr/bin:/bin"

extern char **environ;

/* ---- asofs child ---- */

struct child {
    const char *user;
    int end_with;
    pid_t parent;
    char **keep; /* names; room for all arguments */
    size_t nkeep;
    char **program; /* its argv */
};

static int parse_number(const char *text, long max)
{
    char *end;
    long n;

    errno = 0;
    n = strtol(text, &end, 10);
    return *text && !*end && !errno && n > 0 && n <= max ? (int)n : -1;
}

static bool take_child_option(struct child *c, char *arg)
{
    if (strncmp(arg, "--user=", 7) == 0)
        c->user = arg + 7;
    else if (strncmp(arg, "--end-with=", 11) == 0)
        c->end_with = parse_number(arg + 11, SIGRTMAX);
    else if (strncmp(arg, "--parent=", 9) == 0)
        c->parent = parse_number(arg + 9, INT32_MAX);
    else if (strncmp(arg, "--keep=", 7) == 0)
        c->keep[c->nkeep++] = arg + 7;
    else
        return false;
    return true;
}

static bool parse_child(struct child *c, int argc, char **argv)
{
    int i;

    c->keep = mem_array((size_t)argc + 1, sizeof(*c->keep));
    for (i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!take_child_option(c, argv[i]))
            return false;
    c->program = argv + i + 1;
    return i + 1 < argc && argv[i + 1][0] == '/' && c->user && c->end_with > 0 && c->parent > 0;
}

/* Groups first: afterwards nobody may. */
static int change_user(const char *user)
{
    unsigned uid, gid;
    gid_t only;
    char rest;

    if (strcmp(user, "-") == 0)
        return 0;
    if (sscanf(user, "%u:%u%c", &uid, &gid, &rest) != 2)
        return -EINVAL;
    only = (gid_t)gid;
    proc_leave_terminal();
    if (setgroups(1, &only) < 0 || setgid(only) < 0 || setuid((uid_t)uid) < 0)
        return -errno;
    return 0;
}

/* A program that goes away from its working directory and back would fail where it has no access.
 */
static void leave_closed_directory(void)
{
    char *cwd = getcwd(NULL, 0);

    if ((!cwd || chdir(cwd) < 0) && chdir("/") < 0)
        log_error("cannot enter /: %s", strerror(errno));
    free(cwd);
}

/* The values come from the environment and not from the command line, which everybody can read. */
static char **bare_environment(const struct child *c)
{
    static const char *const fixed[] = {"HOME=/nonexistent", "LC_ALL=C", "TZ=UTC"};
    size_t room = c->nkeep + sizeof(fixed) / sizeof(*fixed) + 2, n = 0, i, k;
    char **env = mem_array(room, sizeof(*env));
    const char *value = getenv("PATH");

    for (i = 0; i < c->nkeep; i++)
        if (getenv(c->keep[i]))
            env[n++] = mem_printf("%s=%s", c->keep[i], getenv(c->keep[i]));
    for (i = 0; i < sizeof(fixed) / sizeof(*fixed); i++) {
        for (k = 0; k < n; k++)
            if (strncmp(env[k], fixed[i], strcspn(fixed[i], "=") + 1) == 0)
                break;
        if (k == n)
            env[n++] = mem_strdup(fixed[i]);
    }
    env[n] = mem_printf("PATH=%s", value && *value ? value : DEFAULT_PATH);
    return env;
}

/*
 * The order matters: a change of user clears the signal asked for, and a parent that was gone
 * before it was asked for sends none.
 */
static int become_program(const struct child *c, char **env)
{
    int rc = change_user(c->user);

    if (rc < 0) {
        log_error("cannot become user %s: %s", c->user, strerror(-rc));
        return CANNOT_START;
    }
    if (getuid() == 0 || geteuid() == 0) {
        log_error("PostgreSQL's programs do not run as root");
        return CANNOT_START;
    }
    if (prctl(PR_SET_PDEATHSIG, c->end_with) < 0) {
        log_error("cannot ask for a signal at the end of asofs: %s", strerror(errno));
        return CANNOT_START;
    }
    if (getppid() != c->parent)
        return CANNOT_START;
    umask(077);
    leave_closed_directory();
    execve(c->program[0], c->program, env);
    log_error("cannot start %s: %s", c->program[0], strerror(errno));
    return CANNOT_START;
}

int pg_child_main(int argc, char **argv)
{
    struct child c = {0};
    char **env = NULL;
    size_t i;
    int status = 2;

    if (!parse_child(&c, argc, argv)) {
        log_error("this is started by asofs itself, not by hand");
        goto out;
    }
    env = bare_environment(&c);
    status = become_program(&c, env);
out:
    for (i = 0; env && env[i]; i++)
        free(env[i]);
    free(env);
    free(c.keep);
    return status;
}

/* ---- starting ---- */

static void build_args(struct proc_args *a, const struct pg_programs *p, const char *program,
                       char *const argv[], char *const env[], int end_with)
{
    proc_args_add(a, mem_strdup("asofs"));
    proc_args_add(a, mem_strdup("child"));
    proc_args_add(a, p->as.change
                         ? mem_printf("--user=%u:%u", (unsigned)p->as.uid, (unsigned)p->as.gid)
                         : mem_strdup("--user=-"));
    proc_args_add(a, mem_printf("--end-with=%d", end_with));
    proc_args_add(a, mem_printf("--parent=%d", (int)getpid()));
    for (; env && *env; env++)
        proc_args_add(a, mem_printf("--keep=%.*s", (int)strcspn(*env, "="), *env));
    proc_args_add(a, mem_strdup("--"));
    proc_args_add(a, mem_printf("%s/%s", p->bindir, program));
    for (argv += *argv ? 1 : 0; *argv; argv++)
        proc_args_add(a, mem_strdup(*argv));
}

static int start(const struct pg_programs *p, const char *program, char *const argv[],
                 char *const env[], const int given[4], int end_with, pid_t *pid, struct err *err)
{
    struct proc_fd fds[4];
    struct proc_args a = {0};
    size_t n = given[PG_PROGRAM_FD] < 0 ? 3 : 4;
    int i, rc;

    for (i = 0; i < (int)n; i++)
        fds[i] = (struct proc_fd){given[i], i};
    build_args(&a, p, program, argv, env, end_with);
    rc = proc_spawn(proc_self(), a.argv, env, fds, n, pid, err);
    proc_args_free(&a);
    return rc;
}

int pg_program_start(const struct pg_programs *p, const char *program, char *const argv[],
                     char *const env[], const struct pg_program_fds *fds, int end_with, pid_t *pid,
                     struct err *err)
{
    return start(p, program, argv, env, (const int[]){PROC_NULL, fds->out, fds->err, fds->more},
                 end_with, pid, err);
}

int pg_program_ended(pid_t pid, int timeout_ms, int *status)
{
    int64_t deadline = clock_ms() + timeout_ms;
    pid_t r;

    for (;;) {
        r = waitpid(pid, status, WNOHANG);
        if (r == pid)
            return 1;
        if (r < 0 && errno != EINTR) {
            *status = -1;
            return 1;
        }
        if (clock_ms() >= deadline)
            return 0;
        poll(NULL, 0, 2);
    }
}

/* ---- running to the end ---- */

struct run {
    pid_t pid;
    int fds[2]; /* its output and error, or -1 */
    struct buf *into[2];
    bool (*look)(void *arg); /* NULL: there is nothing to be looked for (any more) */
    void *arg;
};

/* A file, so that nobody waits for anybody. */
static int make_input(const char *text, struct err *err)
{
    int fd = memfd_create("asofs input", MFD_CLOEXEC), rc;

    if (fd < 0)
        return err_errno(err, "cannot create a file in memory");
    rc = io_pwrite_all(fd, text, strlen(text), 0);
    if (rc == 0)
        return fd;
    close(fd);
    return err_set(err, -rc, "cannot write a file in memory: %s", strerror(-rc));
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int open_run(struct run *r, const struct pg_programs *p, const char *program,
                    char *const argv[], char *const env[], const char *input, struct err *err)
{
    int in = -1, out[2] = {-1, -1}, complaints[2] = {-1, -1}, rc;

    if (pipe2(out, O_CLOEXEC) < 0 || pipe2(complaints, O_CLOEXEC) < 0) {
        rc = err_errno(err, "cannot create a pipe");
        goto out;
    }
    if (input) {
        in = rc = make_input(input, err);
        if (rc < 0)
            goto out;
    }
    rc = start(p, program, argv, env, (const int[]){in, out[1], complaints[1], -1}, SIGTERM,
               &r->pid, err);
    if (rc < 0)
        goto out;
    r->fds[0] = out[0];
    r->fds[1] = complaints[0];
    out[0] = complaints[0] = -1;
out:
    close_fd(&in);
    close_fd(&out[0]);
    close_fd(&out[1]);
    close_fd(&complaints[0]);
    close_fd(&complaints[1]);
    return rc;
}

static void read_some(struct run *r, int i)
{
    struct buf *b = r->into[i];
    ssize_t n;

    buf_reserve(b, CHUNK);
    n = read(r->fds[i], b->data + b->len, CHUNK);
    if (n > 0)
        b->len += (size_t)n;
    else if (n == 0 || errno != EINTR)
        close_fd(&r->fds[i]);
}

static int read_all(struct run *r, int stop_fd, struct err *err)
{
    struct pollfd p[3];
    int i;

    while (r->fds[0] >= 0 || r->fds[1] >= 0) {
        p[0] = (struct pollfd){.fd = r->fds[0], .events = POLLIN};
        p[1] = (struct pollfd){.fd = r->fds[1], .events = POLLIN};
        p[2] = (struct pollfd){.fd = stop_fd, .events = POLLIN};
        if (poll(p, 3, r->look ? PG_LOOK_MS : -1) < 0) {
            if (errno != EINTR)
                return err_errno(err, "cannot wait for a program");
            continue;
        }
        if (p[2].revents)
            return err_set(err, EINTR, "interrupted");
        for (i = 0; i < 2; i++)
            if (r->fds[i] >= 0 && p[i].revents)
                read_some(r, i);
        if (r->look && !r->look(r->arg))
            r->look = NULL;
    }
    return 0;
}

static void end_run(struct run *r)
{
    int status;

    kill(r->pid, SIGTERM);
    if (!pg_program_ended(r->pid, END_PATIENCE_MS, &status))
        proc_kill(r->pid);
}

/* A signal from the terminal goes to the program, too, which may have died of it before we look. */
static int finish_run(struct run *r, const char *program, int stop_fd, struct err *err)
{
    struct buf *b = r->into[1];
    int status = proc_wait(r->pid);
    size_t len = b->len, from;
    char how[96];

    if (status == 0)
        return 0;
    if (stop_within(stop_fd, 0))
        return err_set(err, EINTR, "interrupted");
    while (len && (b->data[len - 1] == '\n' || b->data[len - 1] == ' '))
        len--;
    from = len > ERR_TEXT_MAX / 2 ? len - ERR_TEXT_MAX / 2 : 0;
    return err_set(err, EIO, "%s %s%s%.*s", program, proc_describe(status, how, sizeof(how)),
                   len ? ": " : "", (int)(len - from), len ? b->data + from : "");
}

static int run_to_end(struct run *r, const char *program, int stop_fd, struct err *err)
{
    int rc = read_all(r, stop_fd, err);

    if (rc < 0)
        end_run(r);
    else
        rc = finish_run(r, program, stop_fd, err);
    close_fd(&r->fds[0]);
    close_fd(&r->fds[1]);
    return rc;
}

int pg_program_run_heard(const struct pg_programs *p, const char *program, char *const argv[],
                         char *const env[], const char *input, int stop_fd, struct buf *out,
                         struct buf *complaints, struct err *err)
{
    struct buf dropped = {0};
    struct run r = {.fds = {-1, -1}, .into = {out ? out : &dropped, complaints}};
    int rc = open_run(&r, p, program, argv, env, input, err);

    if (rc < 0)
        return rc;
    rc = run_to_end(&r, program, stop_fd, err);
    buf_free(&dropped);
    if (out)
        buf_puts(out, "");
    buf_puts(complaints, "");
    return rc;
}

int pg_program_run_watched(const struct pg_programs *p, const char *program, char *const argv[],
                           char *const env[], int stop_fd, bool (*look)(void *arg), void *arg,
                           struct err *err)
{
    struct buf dropped = {0}, complaints = {0};
    struct run r = {
        .fds = {-1, -1}, .into = {&dropped, &complaints}, .look = look, .arg = arg};
    int rc = open_run(&r, p, program, argv, env, NULL, err);

    if (rc == 0)
        rc = run_to_end(&r, program, stop_fd, err);
    buf_free(&dropped);
    buf_free(&complaints);
    return rc;
}

int pg_program_run(const struct pg_programs *p, const char *program, char *const argv[],
                   char *const env[], const char *input, int stop_fd, struct buf *out,
                   struct err *err)
{
    struct buf complaints = {0};
    int rc = pg_program_run_heard(p, program, argv, env, input, stop_fd, out, &complaints, err);

    buf_free(&complaints);
    return rc;
}

/* ---- where ---- */

/* "postgres (PostgreSQL) 15.4 (Debian ...)", "... 18beta1"; 0: nothing of the kind. */
static int major_in(const char *text)
{
    static const char mark[] = "(PostgreSQL) ";
    const char *at = strstr(text, mark);
    long n = at ? strtol(at + sizeof(mark) - 1, NULL, 10) : 0;

    return n > 0 && n < 1000 ? (int)n : 0;
}

/* The major version of bindir/postgres; 0: there is none or it cannot be run. */
static int version_in(const char *bindir, const struct pg_identity *as)
{
    struct pg_programs p = {.bindir = (char *)(uintptr_t)bindir, .as = *as};
    char *path = mem_printf("%s/postgres", bindir);
    char *argv[] = {"postgres", "--version", NULL};
    struct buf out = {0};
    struct err ignored;
    int major = 0;

    if (access(path, X_OK) == 0 &&
        pg_program_run(&p, "postgres", argv, NULL, NULL, -1, &out, &ignored) == 0)
        major = major_in(out.data);
    buf_free(&out);
    free(path);
    return major;
}

/* 1: taken. What was there instead is noted in `seen`. */
static int try_bindir(struct pg_programs *p, const char *dir, const struct pg_identity *as,
                      struct buf *seen)
{
    int major = version_in(dir, as);

    if (major == p->major) {
        p->bindir = mem_strdup(dir);
        p->as = *as;
        return 1;
    }
    buf_printf(seen, "%s%s", seen->len ? ", " : "", dir);
    if (major)
        buf_printf(seen, " (has version %d)", major);
    return 0;
}

/* An entry that is no absolute path depends on where one stands, and is left out. */
static int try_path(struct pg_programs *p, const struct pg_identity *as, struct buf *seen)
{
    const char *path = getenv("PATH");
    char *copy = mem_strdup(path && *path ? path : DEFAULT_PATH), *rest = NULL, *dir;
    int found = 0;

    for (dir = strtok_r(copy, ":", &rest); dir && !found; dir = strtok_r(NULL, ":", &rest))
        if (*dir == '/')
            found = try_bindir(p, dir, as, seen);
    free(copy);
    return found;
}

/* Of a directory that distributions name by the version it has, the program is not asked: that
 * would take as long as all else that is done before the server starts. */
static int try_named(struct pg_programs *p, const char *prefix, const struct pg_identity *as,
                     struct buf *seen)
{
    char *dir = mem_printf("%s%d/bin", prefix, p->major), *path = mem_printf("%s/postgres", dir);
    int found = access(path, X_OK) == 0;

    free(path);
    if (found) {
        p->bindir = dir;
        p->as = *as;
        return 1;
    }
    buf_printf(seen, "%s%s", seen->len ? ", " : "", dir);
    free(dir);
    return 0;
}

static int try_known(struct pg_programs *p, const struct pg_identity *as, struct buf *seen)
{
    return try_named(p, "/usr/lib/postgresql/", as, seen) ||
           try_named(p, "/usr/pgsql-", as, seen) || try_path(p, as, seen);
}

int pg_programs_find(int major, const char *bindir, const struct pg_identity *as,
                     struct pg_programs *p, struct err *err)
{
    struct buf seen = {0};
    char *full = NULL;
    int found, rc = 0;

    *p = (struct pg_programs){.major = major};
    if (bindir) {
        full = realpath(bindir, NULL);
        if (!full)
            return err_errno(err, "%s", bindir);
        found = try_bindir(p, full, as, &seen);
    } else {
        found = try_known(p, as, &seen);
    }
    if (!found)
        rc = err_set(err, ENOENT,
                     "the program \"postgres\" of PostgreSQL %d is needed and was not found; "
                     "looked in %s%s",
                     major, seen.data,
                     bindir ? ""
                            : "; install PostgreSQL of that version, or name the directory "
                              "of its programs with --bindir");
    free(full);
    buf_free(&seen);
    return rc;
}

void pg_programs_free(struct pg_programs *p)
{
    free(p->bindir);
    *p = (struct pg_programs){0};
}

int pg_version_of(const char *data_dir, struct err *err)
{
    char *path = mem_printf("%s/PG_VERSION", data_dir);
    char text[16] = "";
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = 0, major;
    int64_t n;

    if (fd < 0) {
        rc = errno == ENOENT ? err_set(err, ENOENT,
                                       "%s has no PG_VERSION: it is no data directory "
                                       "of PostgreSQL",
                                       data_dir)
                             : err_errno(err, "cannot open %s", path);
        goto out;
    }
    n = io_pread_full(fd, text, sizeof(text) - 1, 0);
    close(fd);
    if (n < 0) {
        rc = err_set(err, (int)-n, "cannot read %s: %s", path, strerror((int)-n));
        goto out;
    }
    text[strcspn(text, ".\n")] = 0;
    major = parse_number(text, 999);
    rc = major > 0 ? major : err_set(err, EINVAL, "%s holds no version", path);
out:
    free(path);
    return rc;
}
