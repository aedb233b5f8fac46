/*
 * Whether a private server is ready is read from its log: a try to connect starts a process each
 * time, which is a lot to ask of a server that replays for minutes.
 *
 * Recovery that ends at its target writes all that is in memory, a checkpoint, unless the server
 * was promoted. It looks whether it was when it has to wait, and a commit that is to be applied
 * later than it was made (recovery_min_apply_delay) makes it wait. So with that delay, and a
 * promotion that is asked for as soon as recovery has begun, the first commit is where it learns of
 * it; recovery goes on to its target nevertheless, as only a standby would end there. A log without
 * a commit of the last weeks ends with a checkpoint as ever.
 */
#include "pg/private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/io.h"
#include "common/mem.h"
#include "common/proc.h"
#include "pg/privateconf.h"
#include "pg/serverlog.h"
#include "pg/superuser.h"

#define NAP_MS 3
#define PROMOTE_AGAIN_MS 200
#define QUIT_PATIENCE_MS 7000 /* it gives its own children 5 s */
#define LOG_TAIL 3000

struct pg_private {
    struct privateconf conf;
    struct superuser superuser;
    char **env;
    int stop_fd;
    pid_t pid;   /* 0: does not run */
    int tool_fd; /* borrowed; -1 */
    int log_fd;
    uint64_t log_start; /* where the log of this start begins */
    uint64_t log_seen;  /* up to there it does not say that it is ready */
    char *promote;      /* path of the file that asks for it; NULL: not wanted */
    int64_t promoted;   /* clock_ms: when the server was told last */
    bool unread;
};

/* ---- the log ---- */

#define LOG_MOST (UINT64_C(64) << 20) /* its user can make the file as long as he likes */

static uint64_t log_size(const struct pg_private *s)
{
    struct stat st;

    return fstat(s->log_fd, &st) == 0 && st.st_size > 0 ? (uint64_t)st.st_size : 0;
}

/* Up to LOG_MOST bytes; *len: how many they are. */
static char *read_piece(const struct pg_private *s, uint64_t from, size_t *len)
{
    uint64_t size = log_size(s), left = size > from ? size - from : 0;
    char *text;
    int64_t n;

    *len = (size_t)(left < LOG_MOST ? left : LOG_MOST);
    text = mem_alloc(*len + 1);
    n = io_pread_full(s->log_fd, text, *len, from);
    *len = n > 0 ? (size_t)n : 0;
    text[*len] = '\0';
    return text;
}

/* To its end; of what is too long the end. */
static char *read_log(const struct pg_private *s, uint64_t from)
{
    uint64_t size = log_size(s);
    size_t len;

    return read_piece(s, size > LOG_MOST && size - LOG_MOST > from ? size - LOG_MOST : from, &len);
}

char *pg_private_log(struct pg_private *s)
{
    return read_log(s, 0);
}

/* Why it ended, from its log. */
static int fail_ended(struct pg_private *s, int status, struct err *err)
{
    char *log = read_log(s, s->log_start), *cause = serverlog_cause(log), how[96];
    size_t len = strlen(cause);

    s->pid = 0;
    err_set(err, EIO, "the private PostgreSQL server %s%s%s",
            proc_describe(status, how, sizeof(how)), len ? ":\n" : "",
            len > LOG_TAIL ? cause + len - LOG_TAIL : cause);
    free(log);
    free(cause);
    return -EIO;
}

/* ---- starting and stopping ---- */

static int launch(struct pg_private *s, struct err *err)
{
    char **argv = privateconf_argv(&s->conf, NULL, NULL);
    struct stat st;
    int rc;

    s->log_start = s->log_seen = fstat(s->log_fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    rc = pg_program_start(s->conf.programs, "postgres", argv, s->env,
                          &(struct pg_program_fds){s->log_fd, s->log_fd, s->tool_fd}, SIGQUIT,
                          &s->pid, err);
    if (rc < 0)
        s->pid = 0;
    mem_free_texts(argv);
    return rc;
}

static void free_private(struct pg_private *s)
{
    superuser_free(&s->superuser);
    privateconf_free(&s->conf);
    mem_free_texts(s->env);
    free(s->promote);
    if (s->log_fd >= 0)
        close(s->log_fd);
    free(s);
}

static char **copy_texts(char *const *texts)
{
    size_t n = 0, i;
    char **copy;

    while (texts && texts[n])
        n++;
    copy = mem_array(n + 1, sizeof(*copy));
    for (i = 0; i < n; i++)
        copy[i] = mem_strdup(texts[i]);
    return copy;
}

static int new_private(const struct pg_private_request *req, struct pg_private **out,
                       struct err *err)
{
    struct pg_private *s = mem_alloc(sizeof(*s));
    int rc = privateconf_init(&s->conf, req, err);

    *out = s;
    s->env = copy_texts(req->env);
    s->stop_fd = req->stop_fd;
    s->tool_fd = req->tool_fd > 0 ? req->tool_fd : -1;
    s->log_fd = -1;
    if (rc == 0 && req->quick_end)
        s->promote = mem_printf("%s/" PG_PRIVATE_PROMOTE, s->conf.data);
    s->unread = req->unread;
    s->superuser.conf = &s->conf;
    s->superuser.stop_fd = req->stop_fd;
    s->superuser.likely = req->database ? mem_strdup(req->database) : NULL;
    return rc;
}

int pg_private_start(const struct pg_private_request *req, struct pg_private **out, struct err *err)
{
    struct pg_private *s;
    int rc = new_private(req, &s, err);

    if (rc == 0)
        rc = privateconf_write(&s->conf, &s->log_fd, err);
    if (rc == 0)
        rc = launch(s, err);
    if (rc < 0) {
        free_private(s);
        return rc;
    }
    *out = s;
    return 0;
}

/* 1: it has ended. Waits a moment; -EINTR when asofs shall stop. */
static int nap(struct pg_private *s, int *status, struct err *err)
{
    struct pollfd p = {.fd = s->stop_fd, .events = POLLIN};

    if (pg_program_ended(s->pid, 0, status))
        return 1;
    if (poll(&p, 1, NAP_MS) > 0)
        return err_set(err, EINTR, "interrupted");
    return 0;
}

int pg_private_wait_end_or(struct pg_private *s, bool (*enough)(void *arg), void *arg,
                           struct err *err)
{
    int status, rc;

    do {
        rc = nap(s, &status, err);
    } while (rc == 0 && !(enough && enough(arg)));
    if (rc <= 0)
        return rc < 0 ? rc : 1;
    if (status != 0)
        return fail_ended(s, status, err);
    s->pid = 0;
    return 0;
}

static int shut_down(struct pg_private *s, struct err *err)
{
    if (s->pid <= 0)
        return err_set(err, EIO, "the private PostgreSQL server does not run any more");
    kill(s->pid, SIGINT);
    return pg_private_wait_end_or(s, NULL, NULL, err);
}

int pg_private_stop(struct pg_private *s, struct err *err)
{
    int rc = shut_down(s, err);

    pg_private_abandon(s);
    return rc;
}

void pg_private_abandon(struct pg_private *s)
{
    int status;

    if (!s)
        return;
    if (s->pid > 0) {
        kill(s->pid, SIGQUIT);
        if (!pg_program_ended(s->pid, QUIT_PATIENCE_MS, &status))
            proc_kill(s->pid);
    }
    free_private(s);
}

/* ---- waiting ---- */

/* Looks at whole lines, each once. */
static bool says_ready(struct pg_private *s)
{
    size_t len;
    char *log = read_piece(s, s->log_seen, &len);
    bool ready = serverlog_says_ready(log);
    const char *end = strrchr(log, '\n');

    if (end)
        s->log_seen += (uint64_t)(end - log) + 1;
    else if (len == LOG_MOST) /* that is no line */
        s->log_seen += len;
    free(log);
    return ready;
}

/*
 * Once the file is there the server is up, and takes the signal well. One that came is not
 * forgotten; it is sent again because a server that was not told would wait for weeks.
 */
static void promote(struct pg_private *s)
{
    if (!s->promote || clock_ms() - s->promoted < PROMOTE_AGAIN_MS ||
        faccessat(AT_FDCWD, s->promote, F_OK, AT_EACCESS) < 0)
        return;
    kill(s->pid, SIGUSR1);
    s->promoted = clock_ms();
}

static int wait_ready(struct pg_private *s, struct err *err)
{
    int status, rc;

    do {
        promote(s);
        rc = nap(s, &status, err);
    } while (rc == 0 && !says_ready(s));
    free(s->promote); /* a server that is started again has not recovered, and is not yet ready for
                         it */
    s->promote = NULL;
    return rc == 1 ? fail_ended(s, status, err) : rc;
}

/* ---- as whom ---- */

static int restart_server(struct pg_private *s, struct err *err)
{
    int rc = launch(s, err);

    return rc < 0 ? rc : wait_ready(s, err);
}

/* Only a server without connections tells who may connect: stop it, ask, start it again. */
static int find_insiders(struct pg_private *s, struct err *err)
{
    struct superuser_insiders in = {0};
    int rc = shut_down(s, err);

    if (rc == 0)
        rc = superuser_ask_insiders(&s->superuser, &in, err);
    if (rc == 0 && !in.roles.n)
        rc = superuser_let_bootstrap_in(&s->superuser, &in, err);
    if (rc == 0)
        rc = restart_server(s, err);
    if (rc == 0)
        rc = superuser_try_insiders(&s->superuser, &in, err);
    superuser_free_insiders(&in);
    return rc;
}

int pg_private_wait(struct pg_private *s, struct err *err)
{
    int rc = wait_ready(s, err);

    if (rc == 0 && !s->unread)
        rc = superuser_try_usual(&s->superuser, err);
    if (rc == 0 && !s->unread)
        rc = find_insiders(s, err);
    return rc < 0 ? rc : 0;
}

const char *pg_private_conninfo(const struct pg_private *s)
{
    return s->superuser.conninfo;
}

char *const *pg_private_databases(const struct pg_private *s)
{
    return s->superuser.databases;
}

const struct pg_omitted *pg_private_omitted(const struct pg_private *s)
{
    return s->superuser.omitted;
}
