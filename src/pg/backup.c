#include "pg/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "common/proc.h"
#include "common/stop.h"
#include "pg/control.h"
#include "pg/internal.h"

#define CONNECT_MS 30000
#define QUERY_MS 60000
#define LOOK_AGAIN_MS 200
#define PARTIAL ".partial"  /* how names of segments end that are being received */
#define MANIFEST_TAIL 16384 /* the ranges of log stand at the end */

/* ---- connections ---- */

int pg_open_base(const char *conninfo, int stop_fd, int64_t timeout_ms, struct pg_conn **c,
                 struct err *err)
{
    struct pg_session session = {.application_name = "asofs base",
                                 .timezone = "UTC",
                                 .stop_fd = stop_fd,
                                 .connect_timeout_ms = timeout_ms ? timeout_ms : CONNECT_MS,
                                 .query_timeout_ms = timeout_ms ? timeout_ms : QUERY_MS};
    struct pg_target t;
    int rc;

    *c = NULL;
    pg_target_init(&t, conninfo);
    rc = pg_conn_open(c, &t, &session, err);
    pg_target_free(&t);
    return rc;
}

int pg_check_identifier(struct pg_conn *c, uint64_t wanted, struct err *err)
{
    uint64_t found = 0;
    int rc = wanted ? pg_ask_identifier(c, &found, err) : 0;

    if (rc < 0 || found == wanted)
        return rc;
    return err_set(err, EINVAL,
                   "the server is of the cluster with system identifier %llu, the store of %llu: "
                   "nothing is done with its replication slots",
                   (unsigned long long)found, (unsigned long long)wanted);
}

static void put_if_set(struct buf *b, const char *key, const char *value)
{
    if (value && *value)
        pg_put_option(b, key, value);
}

static bool is_in(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcmp(name, *names) == 0)
            return true;
    return false;
}

/* The connection that was made, spelled out for a program that knows no home directory; without
 * secrets (dispchar "*"), which have their way through the environment. */
static char *spell_out(struct pg_conn *c, const char *name)
{
    static const char *const ours[] = {
        "application_name", "client_encoding",      "host",   "hostaddr", "port", "service",
        "passfile",         "target_session_attrs", "dbname", "options",  NULL};
    PQconninfoOption *opts = PQconninfo(c->pq), *o;
    struct pg_target pinned;
    struct buf b = {0};

    for (o = opts; o && o->keyword; o++)
        if (!is_in(o->keyword, ours) && !strchr(o->dispchar, 'D') && !strchr(o->dispchar, '*'))
            put_if_set(&b, o->keyword, o->val);
    pg_target_init(&pinned, "");
    pg_conn_pin(c, &pinned);
    put_if_set(&b, "host", pinned.host);
    put_if_set(&b, "hostaddr", pinned.hostaddr);
    put_if_set(&b, "port", pinned.port);
    put_if_set(&b, "application_name", name);
    pg_target_free(&pinned);
    PQconninfoFree(opts);
    return buf_steal(&b);
}

/* ---- the server ---- */

static const char look_sql[] =
    "SELECT (SELECT system_identifier FROM pg_catalog.pg_control_system()),"
    " (SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()),"
    " (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'max_slot_wal_keep_size'),"
    " (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size'),"
    " pg_catalog.current_setting('wal_level'),"
    " (SELECT rolreplication OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user),"
    " current_user, pg_catalog.date_part('epoch', pg_catalog.clock_timestamp())::bigint";

enum { SYSTEM, TIMELINE, SLOT_KEEP, SEGMENT_SIZE, WAL_LEVEL, MAY_COPY, USER_NAME, NOW };

static const struct pg_wanted look_wanted = {"noiotBti", 1, 1};

static int check_fit(const struct pg_answer *r, struct err *err)
{
    if (!pg_true(r, 0, MAY_COPY))
        return err_set(err, EACCES,
                       "the user \"%s\" may not copy the server: it needs the attribute "
                       "REPLICATION (ALTER ROLE … REPLICATION)",
                       pg_text(r, 0, USER_NAME));
    if (strcmp(pg_text(r, 0, WAL_LEVEL), "minimal") == 0)
        return err_set(err, ENOTSUP,
                       "the server's wal_level is minimal: its log is not enough to replay; set "
                       "wal_level=replica and restart the server");
    return 0;
}

static int take_facts(const struct pg_answer *r, struct pg_source *s, struct err *err)
{
    s->system_identifier = pg_number(r, 0, SYSTEM);
    s->timeline = pg_oid(r, 0, TIMELINE);
    s->max_slot_keep_mb = pg_integer(r, 0, SLOT_KEEP);
    s->segment_bytes = pg_oid(r, 0, SEGMENT_SIZE);
    s->now = pg_integer(r, 0, NOW);
    if (!s->system_identifier || !s->timeline || s->segment_bytes < 1u << 20)
        return err_set(err, EIO, "the server does not tell where its log is");
    return 0;
}

int pg_source_look(const char *conninfo, int stop_fd, struct pg_source *s, struct err *err)
{
    struct pg_conn *c;
    struct pg_answer *r = NULL;
    int rc = pg_open_base(conninfo, stop_fd, 0, &c, err);

    *s = (struct pg_source){0};
    if (rc < 0)
        return rc;
    s->version_num = PQserverVersion(c->pq);
    rc = pg_ask(c, look_sql, 0, NULL, &look_wanted, &r, err);
    if (rc == 0)
        rc = check_fit(r, err);
    if (rc == 0)
        rc = take_facts(r, s, err);
    pg_answer_free(r);
    pg_conn_close(c);
    return rc;
}

/* ---- where its log ends ---- */

struct pg_watch {
    struct pg_conn *conn;
};

enum { WATCH_STANDBY, WATCH_SYSTEM, WATCH_NOW, WATCH_LSN, WATCH_FILE };

/* Columns are worked out from left to right: the clock is read first. */
static const char watch_sql[] =
    "SELECT pg_catalog.pg_is_in_recovery(),"
    " (SELECT system_identifier FROM pg_catalog.pg_control_system()),"
    " (pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) * 1000000)::bigint,"
    " CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_current_wal_insert_lsn() END,"
    " CASE WHEN NOT pg_catalog.pg_is_in_recovery() THEN"
    " pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()) END";

static const struct pg_wanted watch_wanted = {"bniLT", 1, 1};

int pg_watch_open(const char *conninfo, int stop_fd, struct pg_watch **w, struct err *err)
{
    struct pg_conn *conn;
    int rc = pg_open_base(conninfo, stop_fd, 0, &conn, err);

    *w = NULL;
    if (rc < 0)
        return rc;
    *w = mem_alloc(sizeof(**w));
    (*w)->conn = conn;
    return 0;
}

void pg_watch_close(struct pg_watch *w)
{
    if (!w)
        return;
    pg_conn_close(w->conn);
    free(w);
}

static int take_end(const struct pg_answer *r, uint64_t system, struct pg_wal_end *end,
                    struct err *err)
{
    if (pg_true(r, 0, WATCH_STANDBY))
        return err_set(err, ENOTSUP, "the server is a standby");
    if (pg_number(r, 0, WATCH_SYSTEM) != system)
        return err_set(err, EINVAL, "the server is of another cluster");
    end->now_us = pg_integer(r, 0, WATCH_NOW);
    end->lsn = pg_lsn(r, 0, WATCH_LSN);
    if (sscanf(pg_text(r, 0, WATCH_FILE), "%8" SCNx32, &end->timeline) != 1 || !end->lsn ||
        end->now_us <= 0)
        return err_set(err, EIO, "the server does not tell where its log ends");
    return 0;
}

int pg_watch_look(struct pg_watch *w, uint64_t system_identifier, struct pg_wal_end *end,
                  struct err *err)
{
    struct pg_answer *r = NULL;
    int rc = pg_ask(w->conn, watch_sql, 0, NULL, &watch_wanted, &r, err);

    if (rc == 0)
        rc = take_end(r, system_identifier, end, err);
    pg_answer_free(r);
    return rc;
}

/* ---- programs ---- */

/* A command line, and what the program needs of the environment. */
struct call {
    char **argv;
    size_t n, room;
    char *env[2]; /* PGPASSWORD */
};

static void add_argument(struct call *a, char *owned)
{
    a->argv = mem_grow(a->argv, a->n + 1, &a->room, sizeof(*a->argv));
    a->argv[a->n++] = owned;
    a->argv[a->n] = NULL;
}

static void free_call(struct call *a)
{
    size_t i;

    for (i = 0; i < a->n; i++)
        free(a->argv[i]);
    free(a->argv);
    if (a->env[0])
        explicit_bzero(a->env[0], strlen(a->env[0]));
    free(a->env[0]);
}

static void add_connection(struct call *a, struct pg_conn *c, const char *name)
{
    const char *password = PQpass(c->pq);
    char *where = spell_out(c, name);

    add_argument(a, mem_strdup("--no-password"));
    add_argument(a, mem_printf("--dbname=%s", where));
    if (password && *password)
        a->env[0] = mem_printf("PGPASSWORD=%s", password);
    free(where);
}

/* A signal from the terminal goes to the program, too, which may have died of it before we look. */
static int wait_for_end(pid_t pid, const char *program, int stop_fd, struct err *err)
{
    char how[96];
    int status;

    while (!pg_program_ended(pid, LOOK_AGAIN_MS, &status)) {
        if (!stop_within(stop_fd, 0))
            continue;
        kill(pid, SIGTERM);
        status = proc_wait(pid);
        break;
    }
    if (status != 0 && stop_within(stop_fd, 0))
        return err_set(err, EINTR, "interrupted");
    return status == 0
               ? 0
               : err_set(err, EIO, "%s %s", program, proc_describe(status, how, sizeof(how)));
}

/* With its standard error where ours is: progress is for people. */
static int run_shown(const struct pg_programs *p, const char *program, struct call *a, int stop_fd,
                     struct err *err)
{
    const struct pg_program_fds fds = {-1, STDERR_FILENO, -1};
    pid_t pid;
    int rc = pg_program_start(p, program, a->argv, a->env, &fds, SIGTERM, &pid, err);

    return rc < 0 ? rc : wait_for_end(pid, program, stop_fd, err);
}

/* ---- the backup ---- */

static char *escape_equals(const char *path)
{
    struct buf b = {0};

    buf_puts(&b, "");
    for (; *path; path++) {
        if (*path == '=')
            buf_putc(&b, '\\');
        buf_putc(&b, *path);
    }
    return buf_steal(&b);
}

/* Where the server has them there may be others, or its own. */
static int add_tablespaces(struct call *a, struct pg_conn *c, const char *dir, struct err *err)
{
    static const char sql[] =
        "SELECT oid, location FROM (SELECT oid, pg_catalog.pg_tablespace_location(oid) AS location"
        " FROM pg_catalog.pg_tablespace) s WHERE location LIKE '/%'";
    size_t parent = (size_t)(strrchr(dir, '/') - dir);
    static const struct pg_wanted wanted = {"ot", 0, PG_MANY};
    struct pg_answer *r = NULL;
    char *from, *to, *plain;
    int rc = pg_ask(c, sql, 0, NULL, &wanted, &r, err);
    size_t i;

    for (i = 0; rc == 0 && i < pg_rows(r); i++) {
        plain = mem_printf("%.*s/tablespaces/%s", (int)parent, dir, pg_text(r, i, 0));
        from = escape_equals(pg_text(r, i, 1));
        to = escape_equals(plain);
        add_argument(a, mem_printf("--tablespace-mapping=%s=%s", from, to));
        free(plain);
        free(from);
        free(to);
    }
    pg_answer_free(r);
    return rc;
}

int pg_base_backup(const struct pg_programs *p, const char *conninfo, const char *dir, bool quiet,
                   int stop_fd, uint64_t *end, struct err *err)
{
    struct pg_backup_label label;
    struct call a = {0};
    struct pg_conn *c;
    int rc = pg_open_base(conninfo, stop_fd, 0, &c, err);

    *end = 0;
    if (rc < 0)
        return rc;
    add_argument(&a, mem_strdup("pg_basebackup"));
    add_argument(&a, mem_printf("--pgdata=%s", dir));
    add_argument(&a, mem_strdup("--wal-method=none"));
    add_argument(&a, mem_strdup("--checkpoint=fast"));
    add_argument(&a, mem_strdup("--label=asofs base"));
    add_connection(&a, c, "asofs base");
    rc = add_tablespaces(&a, c, dir, err);
    pg_conn_close(c); /* it may take hours */
    if (rc == 0 && !quiet && isatty(STDERR_FILENO)) {
        add_argument(&a, mem_strdup("--progress"));
        rc = run_shown(p, "pg_basebackup", &a, stop_fd, err);
    } else if (rc == 0) {
        rc = pg_program_run(p, "pg_basebackup", a.argv, a.env, NULL, stop_fd, NULL, err);
    }
    if (rc == 0)
        rc = pg_backup_label_read(dir, &label, err);
    if (rc == 0 || (rc == 1 && pg_backup_end(dir, label.start, end) != 1))
        rc = err_set(err, EIO, "pg_basebackup left no backup_label and backup_manifest in %s", dir);
    free_call(&a);
    return rc < 0 ? rc : 0;
}

/* "0/2000100" after `key` of the text. */
static bool find_lsn(const char *text, const char *key, uint64_t *lsn)
{
    const char *p = strstr(text, key);
    char value[LSN_TEXT_MAX];
    size_t n;

    if (!p)
        return false;
    p += strlen(key);
    n = strcspn(p, "\"");
    if (!p[n] || n >= sizeof(value))
        return false;
    memcpy(value, p, n);
    value[n] = '\0';
    return lsn_parse(value, lsn) == 0;
}

/* A range for each timeline, the oldest last (a backup lies on one, but for odd standbys): the
 * largest end counts, the start must be among them. */
static bool ranges_end(const char *text, uint64_t start, uint64_t *end)
{
    uint64_t from, to;
    bool found = false;

    *end = 0;
    text = strstr(text, "\"WAL-Ranges\"");
    while (text && (text = strstr(text, "\"Start-LSN\""))) {
        if (!find_lsn(text, "\"Start-LSN\": \"", &from) || !find_lsn(text, "\"End-LSN\": \"", &to))
            return false;
        found |= from == start;
        *end = to > *end ? to : *end;
        text++;
    }
    return found;
}

int pg_backup_end(const char *data_dir, uint64_t start, uint64_t *end)
{
    char *path = mem_printf("%s/backup_manifest", data_dir), tail[MANIFEST_TAIL + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    int64_t n = -1;

    free(path);
    if (fd < 0)
        return 0;
    if (fstat(fd, &st) == 0)
        n = io_pread_full(fd, tail, MANIFEST_TAIL,
                          st.st_size > MANIFEST_TAIL ? (uint64_t)(st.st_size - MANIFEST_TAIL) : 0);
    close(fd);
    if (n < 0)
        return 0;
    tail[n] = '\0';
    return ranges_end(tail, start, end);
}

/* ---- the log ---- */

/*
 * pg_receivewal fills a new segment with zeros before it receives anything into it. Where it was
 * killed, or the disk was full, in the middle of that, it never starts again, until the file is as
 * it should be or empty.
 */
static int empty_half_made(const char *wal_dir, uint32_t segment_bytes, struct err *err)
{
    DIR *dir = opendir(wal_dir);
    struct dirent *e;
    struct stat st;
    int rc = 0, fd;

    if (!dir)
        return 0; /* pg_receivewal says why */
    while (rc == 0 && (e = readdir(dir))) {
        if (strspn(e->d_name, "0123456789ABCDEF") != 24 || strcmp(e->d_name + 24, PARTIAL) != 0 ||
            fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode) ||
            !st.st_size || st.st_size >= segment_bytes)
            continue;
        fd = openat(dirfd(dir), e->d_name, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || ftruncate(fd, 0) < 0)
            rc = err_errno(err, "cannot empty %s/%s, which was left half made", wal_dir, e->d_name);
        if (fd >= 0)
            close(fd);
    }
    closedir(dir);
    return rc;
}

struct watch {
    const struct pg_receive *what;
    struct pg_conn *conn; /* NULL: seen, or cannot be seen any more */
    char name[32];        /* of our receiver, and nobody else's */
};

static void end_watch(struct watch *w)
{
    pg_conn_close(w->conn);
    w->conn = NULL;
}

/* A slot is somebody's from the moment on that it is sent from. The state is shown to those who may
 * read all statistics. */
static bool is_receiving(struct watch *w, struct err *err)
{
    static const char sql[] = "SELECT EXISTS (SELECT FROM pg_catalog.pg_replication_slots s"
                              " JOIN pg_catalog.pg_stat_replication r ON r.pid = s.active_pid"
                              " WHERE s.slot_name = $1 AND r.application_name = $2"
                              " AND coalesce(r.state, 'streaming') IN ('catchup', 'streaming'))";
    static const struct pg_wanted wanted = {"b", 1, 1};
    const char *values[] = {w->what->slot, w->name};
    struct pg_answer *r = NULL;
    bool seen = false;

    if (pg_ask(w->conn, sql, 2, values, &wanted, &r, err) == 0)
        seen = pg_true(r, 0, 0);
    else
        end_watch(w);
    pg_answer_free(r);
    return seen;
}

static bool watch_receiver(void *arg)
{
    struct watch *w = arg;
    struct err ignored;

    if (w->conn && is_receiving(w, &ignored)) {
        w->what->receiving(w->what->arg);
        end_watch(w);
    }
    return w->conn != NULL;
}

static void add_receive(struct call *a, const struct watch *w)
{
    const struct pg_receive *what = w->what;
    char lsn[LSN_TEXT_MAX];

    add_argument(a, mem_strdup("pg_receivewal"));
    add_argument(a, mem_printf("--directory=%s", what->wal_dir));
    add_argument(a, mem_printf("--slot=%s", what->slot));
    add_argument(a, mem_strdup("--no-loop"));
    add_argument(a, mem_strdup("--status-interval=5"));
    if (what->until) /* it ends when it has received more than that */
        add_argument(a, mem_printf("--endpos=%s", lsn_text(what->until - 1, lsn)));
    add_connection(a, w->conn, w->name);
}

int pg_receive_wal(const struct pg_programs *p, const struct pg_receive *what, struct err *err)
{
    struct watch w = {.what = what};
    struct call a = {0};
    int rc = pg_open_base(what->conninfo, what->stop_fd, 0, &w.conn, err);

    if (rc < 0)
        return rc;
    snprintf(w.name, sizeof(w.name), "asofs base %d", (int)getpid());
    rc = pg_check_identifier(w.conn, what->system_identifier, err);
    if (rc == 0)
        rc = empty_half_made(what->wal_dir, what->segment_bytes, err);
    if (rc == 0) {
        add_receive(&a, &w);
        if (!what->receiving)
            end_watch(&w);
        rc = pg_program_run_watched(p, "pg_receivewal", a.argv, a.env, what->stop_fd,
                                    watch_receiver, &w, err);
    }
    end_watch(&w);
    free_call(&a);
    return rc;
}
