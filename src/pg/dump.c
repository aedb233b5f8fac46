#include "pg/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/proc.h"
#include "pg/internal.h"

#define SESSION_NAME "asofs schema %d" /* the leader's process: so that it finds its own */
#define MAX_ARGS_BYTES (1u << 20) /* beyond that the list of tables does not fit a command line */

/* A table as a pattern that matches just it. */
static char *table_pattern(const struct pg_relation *rel)
{
    struct buf b = {0};
    const char *parts[] = {rel->schema, rel->name}, *p;
    int i;

    buf_puts(&b, "--table=");
    for (i = 0; i < 2; i++) {
        buf_puts(&b, i ? ".\"" : "\"");
        for (p = parts[i]; *p; p++) {
            if (*p == '"')
                buf_putc(&b, '"');
            buf_putc(&b, *p);
        }
        buf_putc(&b, '"');
    }
    return buf_steal(&b);
}

static void put_if_set(struct buf *b, const char *key, const char *value)
{
    if (value && *value)
        pg_put_option(b, key, value);
}

/*
 * The connection as the leader made it, to the one server that answered it, without the password:
 * that goes through the environment, which other users cannot see.
 */
static char *conninfo(struct pg_conn *leader)
{
    PQconninfoOption *opts = PQconninfo(leader->pq), *o;
    struct pg_target pinned;
    struct buf b = {0};
    char name[48];

    for (o = opts; o && o->keyword; o++) {
        if (strcmp(o->keyword, "password") == 0 || strcmp(o->keyword, "application_name") == 0 ||
            strcmp(o->keyword, "client_encoding") == 0 || strcmp(o->keyword, "host") == 0 ||
            strcmp(o->keyword, "hostaddr") == 0 || strcmp(o->keyword, "port") == 0 ||
            strcmp(o->keyword, "target_session_attrs") == 0 || strchr(o->dispchar, 'D') ||
            strchr(o->dispchar, '*'))
            continue;
        put_if_set(&b, o->keyword, o->val);
    }
    pg_target_init(&pinned, "");
    pg_conn_pin(leader, &pinned);
    put_if_set(&b, "host", pinned.host);
    put_if_set(&b, "hostaddr", pinned.hostaddr);
    put_if_set(&b, "port", pinned.port);
    pg_target_free(&pinned);
    snprintf(name, sizeof(name), SESSION_NAME, PQbackendPID(leader->pq));
    put_if_set(&b, "application_name", name);
    PQconninfoFree(opts);
    return buf_steal(&b);
}

/*
 * pg_dump's time for each statement until its locks are held, all of them in one statement since version 16: enough for a
 * busy server, short where it stands behind an exclusive lock that waits for ours.
 */
static size_t lock_milliseconds(const struct pg_catalog *c)
{
    size_t i, ms = 2000;

    for (i = 0; i < c->ntables; i++)
        ms += 2 * (1 + c->tables[i].nleaves);
    return ms;
}

static void build_args(struct proc_args *a, struct pg_conn *leader, const struct pg_catalog *c,
                       bool everything, const char *snapshot_id)
{
    char *dbname = conninfo(leader);
    size_t i, k;

    proc_args_add(a, mem_strdup("pg_dump"));
    proc_args_add(a, mem_strdup("--schema-only"));
    proc_args_add(a, mem_strdup("--no-password"));
    proc_args_add(a, mem_printf("--lock-wait-timeout=%zu", lock_milliseconds(c)));
    proc_args_add(a, mem_strdup("--encoding=UTF8"));
    if (snapshot_id)
        proc_args_add(a, mem_printf("--snapshot=%s", snapshot_id));
    proc_args_add(a, mem_printf("--dbname=%s", dbname));
    free(dbname);
    for (i = 0; !everything && i < c->ntables; i++) {
        proc_args_add(a, table_pattern(&c->tables[i].rel));
        for (k = 0; k < c->tables[i].nleaves; k++)
            proc_args_add(a, table_pattern(&c->tables[i].leaves[k]));
    }
}

static int make_pipes(int out[2], int complaints[2], struct err *err)
{
    if (pipe2(out, O_CLOEXEC) < 0)
        return err_errno(err, "cannot create a pipe");
    if (pipe2(complaints, O_CLOEXEC) < 0) {
        close(out[0]);
        close(out[1]);
        return err_errno(err, "cannot create a pipe");
    }
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(complaints[0], F_SETFL, O_NONBLOCK);
    return 0;
}

/* One beside the server is the right one, and Debian's in PATH is a script that looks for it. */
static char *find_program(const char *bindir)
{
    char *path = bindir ? mem_printf("%s/pg_dump", bindir) : NULL;

    if (path && access(path, X_OK) == 0)
        return path;
    free(path);
    return mem_strdup("pg_dump");
}

/* The password is the leader's also when that has none: not one of our environment. */
static int spawn_dump(struct pg_dump *d, const char *program, struct proc_args *a,
                      const char *password, struct err *err)
{
    char *env[] = {mem_printf("PGPASSWORD=%s", password ? password : ""), NULL};
    int out[2], complaints[2], null_fd, rc;

    rc = make_pipes(out, complaints, err);
    if (rc == 0) {
        null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        struct proc_fd fds[] = {{null_fd, 0}, {out[1], 1}, {complaints[1], 2}};
        rc = proc_spawn(program, a->argv, env, fds, 3, &d->pid, err);
        close(null_fd);
        close(out[1]);
        close(complaints[1]);
        d->out_fd = out[0];
        d->err_fd = complaints[0];
    }
    if (rc < 0)
        d->pid = 0;
    free(env[0]);
    return rc;
}

int pg_dump_start(struct pg_dump *d, struct pg_conn *leader, const struct pg_catalog *c,
                  bool everything, const char *snapshot_id, const char *bindir, struct err *err)
{
    char *program = find_program(bindir);
    struct proc_args a = {0};
    int rc;

    *d = (struct pg_dump){.out_fd = -1, .err_fd = -1};
    build_args(&a, leader, c, everything, snapshot_id);
    if (a.bytes > MAX_ARGS_BYTES)
        rc = err_set(err, E2BIG, "the list of %zu tables is too long for pg_dump's command line",
                     c->ntables);
    else
        rc = spawn_dump(d, program, &a, PQpass(leader->pq), err);
    free(program);
    proc_args_free(&a);
    return rc;
}

/* 1 = end of file */
static int drain(int fd, struct buf *into)
{
    ssize_t n;

    for (;;) {
        buf_reserve(into, 65536);
        n = read(fd, into->data + into->len, 65536);
        if (n > 0)
            into->len += (size_t)n;
        else if (n == 0)
            return 1;
        else if (errno != EINTR)
            return 0;
    }
}

static void close_fds(struct pg_dump *d)
{
    if (d->out_fd >= 0)
        close(d->out_fd);
    if (d->err_fd >= 0)
        close(d->err_fd);
    d->out_fd = d->err_fd = -1;
}

int pg_dump_read(struct pg_dump *d, struct err *err)
{
    char how[96];
    int status;

    drain(d->err_fd, &d->complaints);
    if (!drain(d->out_fd, &d->text))
        return 0;
    status = proc_wait(d->pid);
    d->pid = 0;
    drain(d->err_fd, &d->complaints);
    close_fds(d);
    if (status == 0)
        return 1;
    buf_puts(&d->complaints, "");
    return err_set(err, EIO, "pg_dump %s: %s", proc_describe(status, how, sizeof(how)),
                   d->complaints.data);
}

bool pg_dump_is_blocked(struct pg_conn *leader)
{
    static const char sql[] =
        "SELECT FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_locks l ON l.pid = a.pid"
        " WHERE a.application_name = $1 AND NOT l.granted";
    char name[48];
    const char *values[] = {name};
    static const struct pg_wanted wanted = {"", 0, PG_MANY};
    struct pg_answer *a;
    struct err ignored;
    bool blocked;

    snprintf(name, sizeof(name), SESSION_NAME, PQbackendPID(leader->pq));
    if (pg_run(leader, "SELECT pg_catalog.pg_stat_clear_snapshot()", &ignored) < 0 ||
        pg_ask(leader, sql, 1, values, &wanted, &a, &ignored) < 0)
        return false; /* a lost connection is noticed by whoever needs it next */
    blocked = pg_rows(a) > 0;
    pg_answer_free(a);
    return blocked;
}

int pg_dump_give_up(struct pg_dump *d, struct err *err)
{
    proc_kill(d->pid);
    d->pid = 0;
    close_fds(d);
    return err_set(err, EBUSY,
                   "pg_dump would have to wait for a lock that somebody waits for, who "
                   "waits for this view");
}

void pg_dump_free(struct pg_dump *d)
{
    if (d->pid > 0)
        proc_kill(d->pid);
    d->pid = 0;
    close_fds(d);
    buf_free(&d->text);
    buf_free(&d->complaints);
}
