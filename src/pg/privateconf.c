/*
 * A private server's settings stand in a postgresql.conf of its own and, once more, on its command
 * line: postgresql.auto.conf of the data directory is read after any configuration file, wherever
 * that is, and only the command line outdoes it. (pagefs hides it; who runs without pagefs is safe
 * too.)
 */
#include "pg/privateconf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/io.h"
#include "common/mem.h"

#define LONGEST_DELAY "2147483647" /* ms */
#define DEFAULT_BUFFERS ((uint64_t)128 << 20)
#define FEWEST_CONNECTIONS 5
#define LOG_ROOM (64 << 10)

/* ---- settings ---- */

struct fixed {
    int since, until; /* major versions that know it; 0: all */
    const char *name, *value;
};

static const struct fixed fixed_settings[] = {
    /* Nobody else gets in. */
    {0, 0, "listen_addresses", ""},
    {0, 0, "port", PRIVATECONF_PORT},
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

static void add_setting(struct privateconf *s, const char *name, char *owned)
{
    s->settings = mem_grow(s->settings, s->nsettings + 1, &s->settings_room, sizeof(*s->settings));
    s->settings[s->nsettings++] = (struct pg_setting){mem_strdup(name), owned};
    s->settings[s->nsettings] = (struct pg_setting){0};
}

static void add_fixed(struct privateconf *s)
{
    const struct fixed *f, *end = fixed_settings + sizeof(fixed_settings) / sizeof(*f);

    for (f = fixed_settings; f < end; f++)
        if (s->programs->major >= f->since && (!f->until || s->programs->major <= f->until))
            add_setting(s, f->name, mem_strdup(f->value));
}

/* Recovery gives up at a tablespace that is a directory in pg_tblspc, unless that is allowed. Who
 * made one knows the setting, which servers of 14 may not. */
static bool has_space_in_place(const struct privateconf *s)
{
    char *path = mem_printf("%s/pg_tblspc", s->data);
    DIR *dir = opendir(path);
    struct dirent *e;
    struct stat st;
    bool has = false;

    while (dir && !has && (e = readdir(dir)))
        has = *e->d_name != '.' && fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
              S_ISDIR(st.st_mode);
    if (dir)
        closedir(dir);
    free(path);
    return has;
}

static void add_settings(struct privateconf *s, const struct pg_private_request *req)
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
    if (has_space_in_place(s))
        add_setting(s, "allow_in_place_tablespaces", mem_strdup("on"));
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

/* ---- run_dir ---- */

/* A new file: what was there by that name is of an earlier start. */
static int create_file(const struct privateconf *s, const char *name, const char *text,
                       struct err *err)
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

static int create_closed(const struct privateconf *s, const char *name, const char *text,
                         struct err *err)
{
    int fd = create_file(s, name, text, err);

    if (fd >= 0)
        close(fd);
    return fd < 0 ? fd : 0;
}

/*
 * What it says has to come through: we wait for it to say that it is ready. Some systems cannot
 * reserve room.
 */
static int reserve_log(const struct privateconf *s, int fd, struct err *err)
{
    if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, LOG_ROOM) == 0 ||
        (errno != ENOSPC && errno != EDQUOT))
        return 0;
    return err_errno(err, "no room for the log of the private server in %s", s->run_dir);
}

int privateconf_write(const struct privateconf *s, int *log_fd, struct err *err)
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
        *log_fd = rc = create_file(s, "log", "", err);
    if (rc >= 0)
        rc = reserve_log(s, *log_fd, err);
    buf_free(&conf);
    return rc < 0 ? rc : 0;
}

static int check_run_dir(const struct privateconf *s, struct err *err)
{
    struct stat st;

    if (strlen(s->run_dir) + sizeof(PRIVATECONF_SOCKET) >
        sizeof(((struct sockaddr_un *)0)->sun_path))
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

int privateconf_init(struct privateconf *s, const struct pg_private_request *req, struct err *err)
{
    s->programs = req->programs;
    s->data = realpath(req->data, NULL);
    if (!s->data)
        return err_errno(err, "%s", req->data);
    s->run_dir = realpath(req->run_dir, NULL);
    if (!s->run_dir)
        return err_errno(err, "%s", req->run_dir);
    add_settings(s, req);
    return check_run_dir(s, err);
}

void privateconf_free(struct privateconf *s)
{
    size_t i;

    for (i = 0; i < s->nsettings; i++) {
        free((char *)(uintptr_t)s->settings[i].name);
        free((char *)(uintptr_t)s->settings[i].value);
    }
    free(s->settings);
    free(s->data);
    free(s->run_dir);
}

/* ---- the command line ---- */

char **privateconf_argv(const struct privateconf *s, const char *first, const char *last)
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
