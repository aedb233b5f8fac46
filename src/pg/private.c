/*
 * A private server's settings stand in a postgresql.conf of its own and, once more, on its command
 * line: postgresql.auto.conf of the data directory is read after any configuration file, wherever
 * that is, and only the command line outdoes it. (pagefs hides it; who runs without pagefs is safe
 * too.)
 *
 * Whether it is ready is read from its log: a try to connect starts a process each time, which is a
 * lot to ask of a server that replays for minutes.
 *
 * Recovery that ends at its target writes all that is in memory, a checkpoint, unless the server
 * was promoted. It looks whether it was when it has to wait, and a commit that is to be applied
 * later than it was made (recovery_min_apply_delay) makes it wait. So with that delay, and a
 * promotion that is asked for as soon as recovery has begun, the first commit is where it learns of
 * it; recovery goes on to its target nevertheless, as only a standby would end there. A log without
 * a commit of the last weeks ends with a checkpoint as ever.
 *
 * run_dir holds: postgresql.conf, pg_hba.conf, pg_ident.conf, log, the socket and its lock file.
 */
#include "pg/private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/io.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/proc.h"
#include "pg/internal.h"
#include "pg/serverlog.h"

#define PORT "5432"
#define SOCKET_NAME "/.s.PGSQL." PORT
#define NAP_MS 3
#define PROMOTE_AGAIN_MS 200
#define LONGEST_DELAY "2147483647" /* ms */
#define QUIT_PATIENCE_MS 7000      /* it gives its own children 5 s */
#define CONNECT_PATIENCE_MS 60000
#define DEFAULT_BUFFERS ((uint64_t)128 << 20)
#define FEWEST_CONNECTIONS 5
#define LOG_TAIL 3000
#define LOG_ROOM (64 << 10)

struct pg_private {
    const struct pg_programs *programs;
    char *data;
    char *run_dir;
    struct pg_setting *settings; /* all of them, both texts owned; ends with name NULL */
    size_t nsettings, settings_room;
    char **env;
    int stop_fd;
    pid_t pid; /* 0: does not run */
    int tool_fd; /* borrowed; -1 */
    int log_fd;
    uint64_t log_start; /* where the log of this start begins */
    uint64_t log_seen;  /* up to there it does not say that it is ready */
    char *promote;      /* path of the file that asks for it; NULL: not wanted */
    int64_t promoted;   /* clock_ms: when the server was told last */
    char *likely;       /* database; NULL */
    bool unread;
    char *conninfo;
    char **databases;
    struct pg_omitted *omitted; /* ends with name NULL */
    struct err refusal;         /* what the last try to connect said */
};

/* ---- settings -----------------------------------------------------------------------------------
 */

struct fixed {
    int since, until; /* major versions that know it; 0: all */
    const char *name, *value;
};

static const struct fixed fixed_settings[] = {
    /* Nobody else gets in. */
    {0, 0, "listen_addresses", ""},
    {0, 0, "port", PORT},
    {0, 0, "unix_socket_permissions", "0700"},
    {0, 0, "unix_socket_group", ""},
    {0, 0, "bonjour", "off"},
    {0, 0, "ssl", "off"},
    {0, 0, "ssl_passphrase_command", ""},
    {0, 0, "superuser_reserved_connections", "0"},

    /* No library and no command of the base runs. */
    {0, 0, "shared_preload_libraries", ""},
    {0, 0, "session_preload_libraries", ""},
    {0, 0, "local_preload_libraries", ""},
    {0, 0, "dynamic_library_path", "$libdir"},
    {18, 0, "extension_control_path", "$system"},
    {0, 0, "jit", "off"},
    {0, 0, "jit_provider", "llvmjit"},
    {0, 0, "external_pid_file", ""},
    {0, 0, "archive_mode", "off"},
    {0, 0, "archive_command", ""},
    {15, 0, "archive_library", ""},
    {0, 0, "archive_cleanup_command", ""},
    {0, 0, "recovery_end_command", ""},
    {0, 0, "restore_command", ""},
    {17, 0, "event_triggers", "off"},

    /* Recovery goes where asofs says; at one target, so these come before those of the request. */
    {0, 0, "recovery_target", ""},
    {0, 0, "recovery_target_lsn", ""},
    {0, 0, "recovery_target_name", ""},
    {0, 0, "recovery_target_time", ""},
    {0, 0, "recovery_target_xid", ""},
    {0, 0, "recovery_target_inclusive", "on"},
    {0, 0, "recovery_target_timeline", "latest"},
    {0, 0, "recovery_target_action", "pause"},
    {0, 0, "recovery_min_apply_delay", "0"},
    {0, 15, "promote_trigger_file", ""},
    {0, 0, "primary_conninfo", ""},
    {0, 0, "primary_slot_name", ""},
    {0, 0, "ignore_invalid_pages", "off"},
    {0, 0, "ignore_checksum_failure", "off"},
    {0, 0, "zero_damaged_pages", "off"},

    /* Connections only once recovery has ended; then the limits of the primary need no match. */
    {0, 0, "hot_standby", "off"},

    /* It talks to no other server. Slots that a base may hold are only kept: too low a level or too
     * few of them would be fatal. */
    {0, 0, "max_wal_senders", "0"},
    {0, 0, "wal_level", "logical"},
    {0, 0, "max_replication_slots", "1000"},
    {18, 0, "max_active_replication_origins", "1000"},
    {0, 0, "max_slot_wal_keep_size", "-1"},
    {0, 0, "max_logical_replication_workers", "0"},
    {0, 0, "synchronous_standby_names", ""},
    {17, 0, "sync_replication_slots", "off"},
    {17, 0, "synchronized_standby_slots", ""},
    {17, 0, "summarize_wal", "off"},

    /* What it writes is made durable by others. Files in pg_wal may be links to the shipped log:
     * recycling them would write to it. */
    {0, 0, "fsync", "off"},
    {0, 0, "full_page_writes", "off"},
    {0, 0, "synchronous_commit", "off"},
    {0, 0, "wal_log_hints", "off"},
    {0, 0, "wal_recycle", "off"},
    {0, 0, "wal_init_zero", "off"},
    {0, 0, "wal_consistency_checking", ""},

    /* Nothing happens by itself, not even a vacuum against wraparound. */
    {0, 0, "autovacuum", "off"},
    {0, 0, "autovacuum_freeze_max_age", "2000000000"},
    {0, 0, "autovacuum_multixact_freeze_max_age", "2000000000"},
    {0, 0, "checkpoint_timeout", "1d"},
    {0, 0, "checkpoint_completion_target", "0"},
    {0, 0, "max_wal_size", "1TB"},
    {0, 0, "bgwriter_lru_maxpages", "0"},
    {0, 0, "bgwriter_delay", "10s"},
    {0, 0, "wal_writer_delay", "10s"},
    {0, 0, "track_counts", "off"},
    {0, 14, "stats_temp_directory", "pg_stat_tmp"},
    {0, 0, "restart_after_crash", "off"},
    {0, 0, "max_parallel_workers", "0"},

    /* Nobody else is here: what holds a lock, as a prepared transaction can, never gives it back.
     */
    {0, 0, "lock_timeout", "20s"},

    /* Small and quick to start. mmap: in the view, and gone with it; what is in /dev/shm outlives a
     * server that is killed. */
    {0, 0, "dynamic_shared_memory_type", "mmap"},
    {0, 0, "shared_memory_type", "mmap"},
    {0, 0, "huge_pages", "off"},
    {0, 0, "min_dynamic_shared_memory", "0"},
    {18, 0, "io_method", "sync"},
    {0, 0, "max_worker_processes", "0"},
    {0, 0, "max_locks_per_transaction", "1024"},
    {0, 0, "cluster_name", "asofs"},

    /* The log is standard error, in fixed words, without prefix. */
    {0, 0, "logging_collector", "off"},
    {0, 0, "log_destination", "stderr"},
    {0, 0, "log_line_prefix", ""},
    {0, 0, "log_min_messages", "warning"},
    {0, 0, "log_min_error_statement", "panic"},
    {0, 0, "log_error_verbosity", "default"},
    {0, 0, "log_statement", "none"},
    {0, 0, "log_duration", "off"},
    {0, 0, "log_min_duration_statement", "-1"},
    {0, 0, "log_connections", "off"},
    {0, 0, "log_disconnections", "off"},
    {0, 0, "log_checkpoints", "off"},
    {15, 0, "log_startup_progress_interval", "0"},
    {0, 0, "lc_messages", "C"},
    {0, 0, "log_timezone", "UTC"},
    {0, 0, "TimeZone", "UTC"},
    {0, 0, "search_path", "public"},
};

static void add_setting(struct pg_private *s, const char *name, char *owned)
{
    s->settings = mem_grow(s->settings, s->nsettings + 1, &s->settings_room, sizeof(*s->settings));
    s->settings[s->nsettings++] = (struct pg_setting){mem_strdup(name), owned};
    s->settings[s->nsettings] = (struct pg_setting){0};
}

static void add_fixed(struct pg_private *s)
{
    const struct fixed *f, *end = fixed_settings + sizeof(fixed_settings) / sizeof(*f);

    for (f = fixed_settings; f < end; f++)
        if (s->programs->major >= f->since && (!f->until || s->programs->major <= f->until))
            add_setting(s, f->name, mem_strdup(f->value));
}

static void add_settings(struct pg_private *s, const struct pg_private_request *req)
{
    unsigned n = req->connections > FEWEST_CONNECTIONS ? req->connections : FEWEST_CONNECTIONS;
    uint64_t buffers = req->shared_buffers ? req->shared_buffers : DEFAULT_BUFFERS;
    const struct pg_setting *more;

    add_fixed(s);
    add_setting(s, "data_directory", mem_strdup(s->data));
    add_setting(s, "hba_file", mem_printf("%s/pg_hba.conf", s->run_dir));
    add_setting(s, "ident_file", mem_printf("%s/pg_ident.conf", s->run_dir));
    add_setting(s, "unix_socket_directories", mem_strdup(s->run_dir));
    add_setting(s, "max_connections", mem_printf("%u", n));
    add_setting(s, "max_prepared_transactions", mem_printf("%u", req->max_prepared));
    add_setting(s, "shared_buffers", mem_printf("%llukB", (unsigned long long)(buffers >> 10)));
    if (req->quick_end) {
        add_setting(s, "recovery_min_apply_delay", mem_strdup(LONGEST_DELAY));
        add_setting(s, "checkpoint_completion_target", mem_strdup("1")); /* as late as can be */
    }
    for (more = req->settings; more && more->name; more++)
        add_setting(s, more->name, mem_strdup(more->value));
}

/* A line break cannot be quoted. */
static int put_setting(struct buf *b, const struct pg_setting *setting, struct err *err)
{
    const char *p;

    if (strpbrk(setting->value, "\r\n"))
        return err_set(err, EINVAL, "the value of %s contains a line break", setting->name);
    buf_printf(b, "%s = '", setting->name);
    for (p = setting->value; *p; p++) {
        if (*p == '\'' || *p == '\\')
            buf_putc(b, *p);
        buf_putc(b, *p);
    }
    buf_puts(b, "'\n");
    return 0;
}

/* ---- run_dir ------------------------------------------------------------------------------------
 */

/* A new file: what was there by that name is of an earlier start. */
static int create(struct pg_private *s, const char *name, const char *text, struct err *err)
{
    char *path = mem_printf("%s/%s", s->run_dir, name);
    int fd, rc;

    unlink(path);
    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        rc = err_errno(err, "cannot create %s", path);
        goto fail;
    }
    rc = io_pwrite_all(fd, text, strlen(text), 0);
    if (rc < 0) {
        rc = err_set(err, -rc, "cannot write %s: %s", path, strerror(-rc));
        goto fail;
    }
    free(path);
    return fd;
fail:
    if (fd >= 0)
        close(fd);
    free(path);
    return rc;
}

static int create_closed(struct pg_private *s, const char *name, const char *text, struct err *err)
{
    int fd = create(s, name, text, err);

    if (fd >= 0)
        close(fd);
    return fd < 0 ? fd : 0;
}

/*
 * What it says has to come through: we wait for it to say that it is ready. Some systems cannot
 * reserve room.
 */
static int reserve_log(const struct pg_private *s, struct err *err)
{
    if (fallocate(s->log_fd, FALLOC_FL_KEEP_SIZE, 0, LOG_ROOM) == 0 ||
        (errno != ENOSPC && errno != EDQUOT))
        return 0;
    return err_errno(err, "no room for the log of the private server in %s", s->run_dir);
}

static int write_files(struct pg_private *s, struct err *err)
{
    struct buf conf = {0};
    size_t i;
    int rc = 0;

    for (i = 0; i < s->nsettings && rc == 0; i++)
        rc = put_setting(&conf, &s->settings[i], err);
    if (rc == 0)
        rc = create_closed(s, "postgresql.conf", conf.data, err);
    if (rc == 0) /* the directory lets in only who may */
        rc = create_closed(s, "pg_hba.conf", "local all all trust\n", err);
    if (rc == 0)
        rc = create_closed(s, "pg_ident.conf", "# none\n", err);
    if (rc == 0)
        s->log_fd = rc = create(s, "log", "", err);
    if (rc >= 0)
        rc = reserve_log(s, err);
    buf_free(&conf);
    return rc < 0 ? rc : 0;
}

static int check_run_dir(const struct pg_private *s, struct err *err)
{
    struct stat st;

    if (strlen(s->run_dir) + sizeof(SOCKET_NAME) > sizeof(((struct sockaddr_un *)0)->sun_path))
        return err_set(err, ENAMETOOLONG, "the name of %s is too long for a socket in it",
                       s->run_dir);
    if (strpbrk(s->run_dir, ",\r\n"))
        return err_set(err, EINVAL,
                       "%s: a directory with a comma or line break in its name cannot "
                       "hold a socket of PostgreSQL",
                       s->run_dir);
    if (stat(s->run_dir, &st) < 0)
        return err_errno(err, "%s", s->run_dir);
    if (st.st_uid != s->programs->as.uid || st.st_mode & 077)
        return err_set(err, EPERM, "%s does not belong to the user of PostgreSQL's programs alone",
                       s->run_dir);
    return 0;
}

/* ---- the log ------------------------------------------------------------------------------------
 */

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

/* ---- starting and stopping ----------------------------------------------------------------------
 */

/* The program with all settings; `first` and `last` (NULL: none) stand around them. */
static char **build_argv(const struct pg_private *s, const char *first, const char *last)
{
    char **argv = mem_array(2 * s->nsettings + 9, sizeof(*argv));
    size_t n = 0, i;

    argv[n++] = mem_strdup("postgres");
    if (first)
        argv[n++] = mem_strdup(first);
    argv[n++] = mem_strdup("-D");
    argv[n++] = mem_strdup(s->data);
    argv[n++] = mem_strdup("-c");
    argv[n++] = mem_printf("config_file=%s/postgresql.conf", s->run_dir);
    for (i = 0; i < s->nsettings; i++) {
        argv[n++] = mem_strdup("-c");
        argv[n++] = mem_printf("%s=%s", s->settings[i].name, s->settings[i].value);
    }
    if (last)
        argv[n++] = mem_strdup(last);
    return argv;
}

static void free_texts(char **texts)
{
    size_t i;

    for (i = 0; texts && texts[i]; i++)
        free(texts[i]);
    free(texts);
}

static int launch(struct pg_private *s, struct err *err)
{
    char **argv = build_argv(s, NULL, NULL);
    struct stat st;
    int rc;

    s->log_start = s->log_seen = fstat(s->log_fd, &st) == 0 ? (uint64_t)st.st_size : 0;
    rc = pg_program_start(s->programs, "postgres", argv, s->env,
                          &(struct pg_program_fds){s->log_fd, s->log_fd, s->tool_fd}, SIGQUIT,
                          &s->pid, err);
    if (rc < 0)
        s->pid = 0;
    free_texts(argv);
    return rc;
}

static void free_omitted(struct pg_omitted *omitted)
{
    struct pg_omitted *o;

    for (o = omitted; o && o->name; o++) {
        free(o->name);
        free(o->why);
    }
    free(omitted);
}

static void free_private(struct pg_private *s)
{
    size_t i;

    for (i = 0; i < s->nsettings; i++) {
        free((char *)(uintptr_t)s->settings[i].name);
        free((char *)(uintptr_t)s->settings[i].value);
    }
    free(s->settings);
    free_texts(s->env);
    free(s->data);
    free(s->run_dir);
    free(s->conninfo);
    free(s->promote);
    free(s->likely);
    free_texts(s->databases);
    free_omitted(s->omitted);
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

    *out = s;
    s->programs = req->programs;
    s->env = copy_texts(req->env);
    s->stop_fd = req->stop_fd;
    s->tool_fd = req->tool_fd > 0 ? req->tool_fd : -1;
    s->log_fd = -1;
    s->data = realpath(req->data, NULL);
    if (!s->data)
        return err_errno(err, "%s", req->data);
    s->run_dir = realpath(req->run_dir, NULL);
    if (!s->run_dir)
        return err_errno(err, "%s", req->run_dir);
    if (req->quick_end)
        s->promote = mem_printf("%s/" PG_PRIVATE_PROMOTE, s->data);
    s->unread = req->unread;
    s->likely = req->database ? mem_strdup(req->database) : NULL;
    add_settings(s, req);
    return check_run_dir(s, err);
}

int pg_private_start(const struct pg_private_request *req, struct pg_private **out, struct err *err)
{
    struct pg_private *s;
    int rc = new_private(req, &s, err);

    if (rc == 0)
        rc = write_files(s, err);
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

int pg_private_wait_end(struct pg_private *s, struct err *err)
{
    return pg_private_wait_end_or(s, NULL, NULL, err);
}

static int shut_down(struct pg_private *s, struct err *err)
{
    if (s->pid <= 0)
        return err_set(err, EIO, "the private PostgreSQL server does not run any more");
    kill(s->pid, SIGINT);
    return pg_private_wait_end(s, err);
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

/* ---- waiting -----------------------------------------------------------------------------------
 */

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

/* ---- connecting ---------------------------------------------------------------------------------
 */

/*
 * What libpq would take from our environment is said here. The options outdo ALTER ROLE and ALTER
 * DATABASE SET; role=none keeps the session a superuser's. No password is asked for, and none is
 * told: another server may stand at the socket, which is in a directory of its user's.
 */
static char *make_conninfo(const struct pg_private *s, const char *user)
{
    static const char *const plain[][2] = {
        {"hostaddr", ""},         {"port", PORT},
        {"sslmode", "disable"},   {"gssencmode", "disable"},
        {"requirepeer", ""},      {"channel_binding", "disable"},
        {"replication", "false"}, {"target_session_attrs", "any"},
        {"password", ""},         {"passfile", "/nonexistent"},
    };
    struct buf b = {0}, options = {0};
    size_t i;

    buf_puts(&options, "-c session_preload_libraries= -c local_preload_libraries="
                       " -c dynamic_library_path=$libdir -c jit=off -c role=none"
                       " -c search_path=public -c statement_timeout=0 -c asofs.recovered=on");
    if (s->programs->major >= 17)
        buf_puts(&options, " -c event_triggers=off -c transaction_timeout=0");
    pg_put_option(&b, "host", s->run_dir);
    pg_put_option(&b, "user", user);
    pg_put_option(&b, "options", options.data);
    for (i = 0; i < sizeof(plain) / sizeof(*plain); i++)
        pg_put_option(&b, plain[i][0], plain[i][1]);
    buf_free(&options);
    return buf_steal(&b);
}

static int open_conn(struct pg_private *s, const char *conninfo, const char *database,
                     struct pg_conn **conn, struct err *err)
{
    struct pg_session session = {.application_name = "asofs",
                                 .timezone = "UTC",
                                 .stop_fd = s->stop_fd,
                                 .connect_timeout_ms = CONNECT_PATIENCE_MS};
    struct pg_target target;
    struct buf source = {0};
    int rc;

    buf_puts(&source, conninfo);
    pg_put_option(&source, "dbname", database);
    pg_target_init(&target, source.data);
    rc = pg_conn_open(conn, &target, &session, err);
    pg_target_free(&target);
    buf_free(&source);
    return rc;
}

/* One query in a transaction made harmless. */
static int ask(struct pg_conn *conn, const char *sql, const struct pg_wanted *wanted,
               struct pg_answer **a, struct err *err)
{
    int rc = pg_begin(conn, false, NULL, err);

    if (rc == 0)
        rc = pg_ask(conn, sql, 0, NULL, wanted, a, err);
    if (rc == 0)
        pg_rollback(conn);
    return rc;
}

static int is_superuser(struct pg_conn *conn, struct err *err)
{
    static const struct pg_wanted wanted = {"", 0, 1};
    struct pg_answer *a = NULL;
    int rc = ask(conn, "SELECT FROM pg_catalog.pg_roles WHERE rolname = current_user AND rolsuper",
                 &wanted, &a, err);

    if (rc == 0)
        rc = pg_rows(a) == 1;
    pg_answer_free(a);
    return rc;
}

/* Why a database cannot be shown, or "". A datconnlimit of -2: dropdb() of commands/dbcommands.c
 * marks it so, and a connection is refused; servers before that fix just remove the directory. */
static const char databases_sql[] =
    "SELECT d.datname, CASE WHEN NOT d.datallowconn THEN 'it allows no connections'"
    " WHEN d.datconnlimit = -2 THEN 'a DROP DATABASE of it was interrupted, or was under way'"
    " WHEN NOT EXISTS (SELECT FROM pg_catalog.pg_tablespace_databases(d.dattablespace) t"
    "   WHERE t = d.oid) THEN 'its files are gone: a DROP DATABASE was under way'"
    " ELSE '' END FROM pg_catalog.pg_database d WHERE NOT d.datistemplate"
    " ORDER BY d.datname COLLATE \"C\"";

static int read_databases(struct pg_private *s, struct pg_conn *conn, struct err *err)
{
    static const struct pg_wanted wanted = {"tt", 0, PG_MANY};
    struct pg_answer *a = NULL;
    int rc = ask(conn, databases_sql, &wanted, &a, err);
    size_t n = rc == 0 ? pg_rows(a) : 0, shown = 0, omitted = 0, i;

    s->databases = mem_array(n + 1, sizeof(*s->databases));
    s->omitted = mem_array(n + 1, sizeof(*s->omitted));
    for (i = 0; i < n; i++) {
        char *name = mem_strdup(pg_text(a, i, 0));

        if (*pg_text(a, i, 1))
            s->omitted[omitted++] = (struct pg_omitted){name, mem_strdup(pg_text(a, i, 1))};
        else
            s->databases[shown++] = name;
    }
    pg_answer_free(a);
    return rc;
}

/* ---- prepared transactions ---- */

static int roll_back_one(struct pg_conn *conn, const char *gid, struct err *err)
{
    struct buf sql = {0};
    int rc;

    buf_puts(&sql, "ROLLBACK PREPARED ");
    rc = pg_put_literal(conn, &sql, gid, err);
    if (rc == 0)
        rc = pg_run(conn, sql.data, err);
    buf_free(&sql);
    return rc;
}

static int roll_back_in(struct pg_private *s, const char *database, struct err *err)
{
    static const char sql[] = "SELECT gid FROM pg_catalog.pg_prepared_xacts"
                              " WHERE database = pg_catalog.current_database()";
    static const struct pg_wanted wanted = {"t", 0, PG_MANY};
    struct pg_conn *conn = NULL;
    struct pg_answer *a = NULL;
    int rc = open_conn(s, s->conninfo, database, &conn, err);
    size_t i;

    if (rc == 0)
        rc = ask(conn, sql, &wanted, &a, err);
    for (i = 0; rc == 0 && i < pg_rows(a); i++)
        rc = roll_back_one(conn, pg_text(a, i, 0), err);
    pg_answer_free(a);
    pg_conn_close(conn);
    return rc < 0 ? err_prefix(err, "prepared transactions of the database \"%s\"", database) : 0;
}

/*
 * What they did is not to be seen, and nobody will ever end them here; but their locks would stand
 * in the way of who reads. It can be done only in their databases: those of which nothing is shown
 * are left alone.
 */
static int roll_back_prepared(struct pg_private *s, struct pg_conn *conn, struct err *err)
{
    static const char sql[] = "SELECT DISTINCT database FROM pg_catalog.pg_prepared_xacts";
    static const struct pg_wanted wanted = {"t", 0, PG_MANY};
    struct pg_answer *a = NULL;
    char *const *name;
    int rc = ask(conn, sql, &wanted, &a, err);
    size_t i;

    for (i = 0; rc == 0 && i < pg_rows(a); i++)
        for (name = s->databases; rc == 0 && *name; name++)
            if (strcmp(*name, pg_text(a, i, 0)) == 0)
                rc = roll_back_in(s, *name, err);
    pg_answer_free(a);
    return rc;
}

/* ---- as whom, and where ---- */

static int look_around(struct pg_private *s, struct pg_conn *conn, struct err *err)
{
    int rc = read_databases(s, conn, err);

    return rc < 0 ? rc : roll_back_prepared(s, conn, err);
}

/* 1: that is a superuser, and s->conninfo and databases are set. 0: it is not, or cannot connect
 * there. */
static int try_database(struct pg_private *s, const char *user, const char *database,
                        struct err *err)
{
    char *conninfo = make_conninfo(s, user);
    struct pg_conn *conn = NULL;
    int rc = open_conn(s, conninfo, database, &conn, &s->refusal);

    if (rc == -EINTR || rc == -ENOTSUP)
        *err = s->refusal;
    else
        rc = rc < 0 ? 0 : is_superuser(conn, err);
    free(s->conninfo);
    s->conninfo = conninfo;
    if (rc == 1 && look_around(s, conn, err) < 0)
        rc = -err->code;
    pg_conn_close(conn);
    return rc;
}

static int try_databases(struct pg_private *s, const char *user, char *const *names,
                         struct err *err)
{
    int rc = 0;

    for (; *names && rc == 0; names++)
        rc = try_database(s, user, *names, err);
    return rc;
}

/* Those that are there in nearly every cluster; that nobody has to be asked for. Ends with NULL.
 * template0 lets nobody in but a server without connections. */
#define USUAL 5
static void usual_databases(const struct pg_private *s, bool single, char *names[USUAL])
{
    static const char *const usual[] = {"postgres", "template1", "template0"};
    size_t i, n = 0;

    if (s->likely)
        names[n++] = s->likely;
    for (i = 0; i < (single ? 3u : 2u); i++)
        names[n++] = (char *)(uintptr_t)usual[i];
    names[n] = NULL;
}

/* What a server without connections is asked, a line each, and answers in hexadecimal digits,
 * whatever characters the names hold. */
static const char insiders_sql[] =
    "SELECT pg_catalog.concat('r', pg_catalog.encode(pg_catalog.namesend(rolname), 'hex')) AS "
    "asofs_name FROM pg_catalog.pg_authid WHERE rolsuper AND rolcanlogin "
    "ORDER BY oid OPERATOR(pg_catalog.<>) 10, oid LIMIT 10\n"
    "SELECT pg_catalog.concat('d', pg_catalog.encode(pg_catalog.namesend(datname), 'hex')) AS "
    "asofs_name FROM pg_catalog.pg_database WHERE datallowconn "
    "AND datconnlimit OPERATOR(pg_catalog.<>) -2 ORDER BY datistemplate, oid LIMIT 10\n"
    "SELECT pg_catalog.concat('b', pg_catalog.encode(pg_catalog.namesend(rolname), 'hex')) AS "
    "asofs_name FROM pg_catalog.pg_authid WHERE oid OPERATOR(pg_catalog.=) 10\n";

struct insiders {
    struct proc_args roles, databases; /* superusers who may log in; where one may */
    char *bootstrap;                   /* OID 10, who always is there */
};

static void free_insiders(struct insiders *in)
{
    proc_args_free(&in->roles);
    proc_args_free(&in->databases);
    free(in->bootstrap);
}

/* A line of a server without protocol: <tab> 1: asofs_name = "r626f7373"<tab>(typeid = ... */
static void parse_names(const char *out, struct insiders *in)
{
    static const char mark[] = "asofs_name = \"";
    const char *at = out;
    unsigned byte;

    while ((at = strstr(at, mark))) {
        struct buf b = {0};
        char kind = *(at += sizeof(mark) - 1);

        for (at += kind != 0; sscanf(at, "%2x", &byte) == 1 && *at != '"'; at += 2)
            buf_putc(&b, (char)byte);
        if (b.len && kind == 'r')
            proc_args_add(&in->roles, buf_steal(&b));
        else if (b.len && kind == 'd')
            proc_args_add(&in->databases, buf_steal(&b));
        else if (b.len && kind == 'b' && !in->bootstrap)
            in->bootstrap = buf_steal(&b);
        buf_free(&b);
    }
}

/* In the first of the usual databases that is there: a server without connections does not mind
 * whether one allows them. */
static int run_single(struct pg_private *s, const char *sql, struct buf *out, struct err *err)
{
    char *names[USUAL], *const *name, **argv;
    int rc = -ENOENT;

    usual_databases(s, true, names);
    for (name = names; *name && rc < 0 && rc != -EINTR; name++) {
        buf_clear(out);
        argv = build_argv(s, "--single", *name);
        rc = pg_program_run(s->programs, "postgres", argv, NULL, sql, s->stop_fd, out, err);
        free_texts(argv);
    }
    return rc;
}

static int ask_insiders(struct pg_private *s, struct insiders *in, struct err *err)
{
    struct buf out = {0};
    int rc = run_single(s, insiders_sql, &out, err);

    if (rc == 0)
        parse_names(out.data, in);
    buf_free(&out);
    if (rc == 0 && !in->bootstrap)
        rc = err_set(err, EIO, "cannot find out the name of the bootstrap superuser");
    if (rc == 0 && !in->databases.n)
        rc = err_set(err, ENOENT, "the cluster has no database that allows connections");
    return rc;
}

/* The data directory that this server writes is nobody else's: a view that is kept, or whose pages
 * are shown, has another over it for who reads. */
static int let_bootstrap_in(struct pg_private *s, struct insiders *in, struct err *err)
{
    static const char sql[] = "UPDATE pg_catalog.pg_authid SET rolcanlogin = true, rolsuper = true "
                              "WHERE oid OPERATOR(pg_catalog.=) 10\n";
    struct buf out = {0};
    int rc = run_single(s, sql, &out, err);

    buf_free(&out);
    if (rc < 0)
        return rc;
    log_note("no superuser may log in at that moment: \"%s\" may, in the private server alone",
             in->bootstrap);
    proc_args_add(&in->roles, mem_strdup(in->bootstrap));
    return 0;
}

static int restart(struct pg_private *s, struct err *err)
{
    int rc = launch(s, err);

    return rc < 0 ? rc : wait_ready(s, err);
}

static int try_insiders(struct pg_private *s, const struct insiders *in, struct err *err)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < in->roles.n && rc == 0; i++)
        rc = try_databases(s, in->roles.argv[i], in->databases.argv, err);
    return rc != 0 ? rc
                   : err_set(err, EIO, "no superuser can connect to the private server: %s",
                             s->refusal.text);
}

/* Only a server without connections tells who may connect: stop it, ask, start it again. */
static int find_insiders(struct pg_private *s, struct err *err)
{
    struct insiders in = {0};
    int rc = shut_down(s, err);

    if (rc == 0)
        rc = ask_insiders(s, &in, err);
    if (rc == 0 && !in.roles.n)
        rc = let_bootstrap_in(s, &in, err);
    if (rc == 0)
        rc = restart(s, err);
    if (rc == 0)
        rc = try_insiders(s, &in, err);
    free_insiders(&in);
    return rc;
}

/* Most clusters have them. */
static int try_usual(struct pg_private *s, struct err *err)
{
    char *names[USUAL];

    usual_databases(s, false, names);
    return try_databases(s, "postgres", names, err);
}

int pg_private_wait(struct pg_private *s, struct err *err)
{
    int rc = wait_ready(s, err);

    if (rc == 0 && !s->unread)
        rc = try_usual(s, err);
    if (rc == 0 && !s->unread)
        rc = find_insiders(s, err);
    return rc < 0 ? rc : 0;
}

const char *pg_private_conninfo(const struct pg_private *s)
{
    return s->conninfo;
}

char *const *pg_private_databases(const struct pg_private *s)
{
    return s->databases;
}

const struct pg_omitted *pg_private_omitted(const struct pg_private *s)
{
    return s->omitted;
}
