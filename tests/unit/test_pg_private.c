/*
 * pg/private.h: the private server, on directories of all kinds, and its end.
 * With real programs where there are some (pgcluster.h), started through this program, which takes
 * the part of `asofs child`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/io.h"
#include "common/mem.h"
#include "common/proc.h"
#include "fixture.h"
#include "pg/control.h"
#include "pg/internal.h"
#include "pg/private.h"
#include "pg/programs.h"
#include "pgcluster.h"

static bool exists(const char *dir, const char *name)
{
    char *path = mem_printf("%s/%s", dir, name);
    bool there = access(path, F_OK) == 0;

    free(path);
    return there;
}

/* A zombie that nobody has waited for yet has ended too. */
static bool runs(pid_t pid)
{
    char path[64], text[512] = "";
    const char *state;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY);
    if (fd < 0)
        return false;
    io_pread_full(fd, text, sizeof(text) - 1, 0);
    close(fd);
    state = strrchr(text, ')');
    return state && state[2] != 'Z';
}

static bool ends_within(pid_t pid, int ms)
{
    int64_t deadline = clock_ms() + ms;

    while (runs(pid) && clock_ms() < deadline)
        poll(NULL, 0, 10);
    return !runs(pid);
}

struct server {
    char *data, *run;
    struct pg_private *s;
    int64_t began;
    const char *likely; /* database */
    bool quick_end;
};

/* As the user of its programs, whose files they are. */
static int start_private(const struct pg_private_request *req, struct pg_private **s,
                         struct err *err)
{
    int rc;

    assert_int_equal(pg_identity_enter(&req->programs->as), 0);
    rc = pg_private_start(req, s, err);
    pg_identity_leave(&req->programs->as);
    return rc;
}

static int try_server(struct server *v, char *data, const struct pg_setting *settings, int stop_fd,
                      struct err *err)
{
    struct pg_private_request req = {.programs = pgcluster_programs(),
                                     .data = data,
                                     .settings = settings,
                                     .connections = 3,
                                     .database = v->likely,
                                     .quick_end = v->quick_end,
                                     .stop_fd = stop_fd};
    int rc;

    v->data = data;
    req.run_dir = v->run = pgcluster_new_dir("r");
    v->began = clock_ms();
    rc = start_private(&req, &v->s, err);
    if (rc < 0)
        return rc;
    rc = pg_private_wait(v->s, err);
    if (rc < 0)
        pg_private_abandon(v->s);
    return rc;
}

static void start_server(struct server *v, char *data, const struct pg_setting *settings)
{
    struct err err;

    if (try_server(v, data, settings, -1, &err) < 0)
        fail_msg("%s", err.text);
}

static void free_server(struct server *v)
{
    free(v->data);
    free(v->run);
}

static void stop_server(struct server *v)
{
    struct err err;

    if (pg_private_stop(v->s, &err) < 0)
        fail_msg("%s", err.text);
}

/* The one value, to be freed; fails with the server's words. */
static char *query(struct server *v, const char *database, const char *sql)
{
    char *conninfo = mem_printf("%s dbname='%s'", pg_private_conninfo(v->s), database), *value;
    PGconn *pq = PQconnectdb(conninfo);
    PGresult *r = PQexec(pq, sql);

    if (PQresultStatus(r) != PGRES_TUPLES_OK && PQresultStatus(r) != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(pq));
    value = mem_strdup(PQntuples(r) ? PQgetvalue(r, 0, 0) : "");
    PQclear(r);
    PQfinish(pq);
    free(conninfo);
    return value;
}

static void assert_query(struct server *v, const char *sql, const char *expected)
{
    char *value = query(v, "postgres", sql);

    assert_string_equal(value, expected);
    free(value);
}

static void run_sql(struct server *v, const char *sql)
{
    free(query(v, "postgres", sql));
}

static void assert_logged(struct server *v, const char *text)
{
    char *log = pg_private_log(v->s);

    if (!strstr(log, text))
        fail_msg("the log does not say \"%s\": %s", text, log);
    free(log);
}

static void server_starts_on_a_clean_directory(void **state)
{
    char *const *names;
    struct server v = {0};
    struct pg_control c;
    struct err err;

    (void)state;
    pgcluster_need();
    start_server(&v, pgcluster_copy(), NULL);
    print_message("clean directory: ready after %d ms\n", (int)(clock_ms() - v.began));
    run_sql(&v, "CREATE DATABASE zoo");
    run_sql(&v, "CREATE DATABASE \"A b\"");
    run_sql(&v, "CREATE DATABASE closed ALLOW_CONNECTIONS false");
    stop_server(&v);
    free(v.run);
    start_server(&v, v.data, NULL);
    names = pg_private_databases(v.s);
    assert_string_equal(names[0], "A b");
    assert_string_equal(names[1], "postgres");
    assert_string_equal(names[2], "zoo");
    assert_null(names[3]);
    assert_query(&v, "SHOW listen_addresses", "");
    assert_query(&v, "SHOW archive_mode", "off");
    assert_query(&v, "SHOW max_connections", "5");
    assert_query(&v, "SELECT current_user", "postgres");
    stop_server(&v);
    assert_int_equal(pg_control_read(pgcluster_programs(), v.data, &c, &err), 0);
    assert_int_equal(c.state, PG_STATE_SHUT_DOWN);
    assert_false(exists(v.data, "postmaster.pid"));
    free_server(&v);
}

/* A cluster that was killed with work that is only in its log. */
static char *crashed_cluster(void)
{
    struct server v = {0};
    char *data;

    start_server(&v, pgcluster_copy(), NULL);
    run_sql(&v, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS i");
    run_sql(&v, "SET synchronous_commit = on; INSERT INTO t VALUES (0)");
    pg_private_abandon(v.s);
    data = v.data;
    free(v.run);
    return data;
}

static void server_recovers_what_crashed(void **state)
{
    struct pg_control c;
    struct server v = {0};
    struct err err;
    char *data;

    (void)state;
    pgcluster_need();
    data = crashed_cluster();
    assert_int_equal(pg_control_read(pgcluster_programs(), data, &c, &err), 0);
    assert_int_equal(c.state, PG_STATE_IN_PRODUCTION);
    start_server(&v, data, NULL);
    print_message("crashed directory: ready after %d ms\n", (int)(clock_ms() - v.began));
    assert_query(&v, "SELECT count(*) FROM t", "1001");
    assert_logged(&v, "redo done");
    stop_server(&v);
    free_server(&v);
}

/* A directory with log that goes on from the template; target: a place in it, before a row. */
static char *make_archive(char **target)
{
    char *archive = pgcluster_new_dir("archive");
    struct server v = {0};

    start_server(&v, pgcluster_copy(), NULL);
    run_sql(&v, "CREATE TABLE t AS SELECT 1 AS i");
    *target = query(&v, "postgres", "SELECT pg_current_wal_insert_lsn()");
    run_sql(&v, "INSERT INTO t VALUES (2)");
    run_sql(&v, "SELECT pg_switch_wal()");
    pgcluster_shell("cp '%s'/pg_wal/0*1 '%s' && chmod 755 '%s' && chmod 644 '%s'/*", v.data,
                    archive, archive, archive);
    stop_server(&v);
    free_server(&v);
    return archive;
}

static void server_replays_up_to_a_target(void **state)
{
    char *data, *archive, *target, *restore;
    struct server v = {0};

    (void)state;
    pgcluster_need();
    archive = make_archive(&target);
    restore = mem_printf("cp '%s/%%f' %%p", archive);
    data = pgcluster_copy();
    pgcluster_append(data, "recovery.signal", "");
    struct pg_setting settings[] = {{"restore_command", restore},
                                    {"recovery_target_lsn", target},
                                    {"recovery_target_inclusive", "off"},
                                    {"recovery_target_action", "promote"},
                                    {0}};
    start_server(&v, data, settings);
    assert_query(&v, "SELECT count(*) FROM t", "1");
    assert_query(&v, "SELECT pg_is_in_recovery()", "f");
    assert_logged(&v, "recovery stopping before");
    assert_logged(&v, "restored log file");
    stop_server(&v);
    free_server(&v);
    free(archive);
    free(target);
    free(restore);
}

/* What was asked for as soon as recovery began must not end it early. */
static void server_goes_on_to_its_target_without_a_checkpoint_there(void **state)
{
    struct server v = {.quick_end = true, .likely = "there is none"};
    char *data, *archive, *target, *restore, *redo;
    struct pg_control c;
    struct err err;

    (void)state;
    pgcluster_need();
    archive = make_archive(&target);
    restore = mem_printf(": >" PG_PRIVATE_PROMOTE "; cp '%s/%%f' %%p", archive);
    data = pgcluster_copy();
    pgcluster_append(data, "recovery.signal", "");
    struct pg_setting settings[] = {{"restore_command", restore},
                                    {"recovery_target_lsn", target},
                                    {"recovery_target_inclusive", "off"},
                                    {"recovery_target_action", "promote"},
                                    {0}};
    assert_int_equal(pg_control_read(pgcluster_programs(), data, &c, &err), 0);
    redo = mem_printf("%u", (unsigned)c.redo);
    start_server(&v, data, settings);
    assert_query(&v, "SELECT count(*) FROM t", "1");
    assert_logged(&v, "received promote request");
    assert_logged(&v, "recovery stopping before");
    assert_query(&v, "SELECT (redo_lsn - '0/0')::text FROM pg_control_checkpoint()", redo);
    stop_server(&v);
    assert_int_equal(pg_control_read(pgcluster_programs(), data, &c, &err), 0);
    assert_int_equal(c.state, PG_STATE_SHUT_DOWN);
    free_server(&v);
    free(archive);
    free(target);
    free(restore);
    free(redo);
}

static void server_that_shuts_down_at_its_target_is_waited_for(void **state)
{
    struct pg_private_request req = {.programs = pgcluster_programs(), .stop_fd = -1};
    char *data, *run, *archive, *target, *restore;
    struct pg_private *s;
    struct err err;

    (void)state;
    pgcluster_need();
    archive = make_archive(&target);
    restore = mem_printf("cp \"$ARCHIVE/%%f\" %%p");
    char *env[] = {mem_printf("ARCHIVE=%s", archive), NULL};
    struct pg_setting settings[] = {{"restore_command", restore},
                                    {"recovery_target_lsn", target},
                                    {"recovery_target_action", "shutdown"},
                                    {0}};
    req.settings = settings;
    req.env = env;
    req.data = data = pgcluster_copy();
    req.run_dir = run = pgcluster_new_dir("r");
    pgcluster_append(data, "recovery.signal", "");
    assert_int_equal(start_private(&req, &s, &err), 0);
    if (pg_private_wait_end_or(s, NULL, NULL, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(pg_private_stop(s, &err), -EIO);
    fixture_assert_says(&err, "does not run");
    assert_true(exists(data, "recovery.signal"));
    free(data);
    free(run);
    free(archive);
    free(target);
    free(restore);
    free(env[0]);
}

static void server_that_cannot_recover_says_why(void **state)
{
    static const struct pg_setting settings[] = {
        {"restore_command", "false"}, {"recovery_target_lsn", "7/0"}, {0}};
    char *data;
    struct server v = {0};
    struct err err;

    (void)state;
    pgcluster_need();
    data = pgcluster_copy();
    pgcluster_append(data, "recovery.signal", "");
    assert_int_equal(try_server(&v, data, settings, -1, &err), -EIO);
    fixture_assert_says(&err,
                        "FATAL:  recovery ended before configured recovery target was reached");
    free_server(&v);
    data = pgcluster_copy();
    pgcluster_shell("rm -f '%s'/pg_wal/0*", data);
    assert_int_equal(try_server(&v, data, NULL, -1, &err), -EIO);
    fixture_assert_says(&err, "could not locate a valid checkpoint record");
    free_server(&v);
}

static void server_gives_up_when_asked_to_stop(void **state)
{
    struct server v = {0};
    struct err err;
    int fds[2];

    (void)state;
    pgcluster_need();
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(try_server(&v, pgcluster_copy(), NULL, fds[0], &err), -EINTR);
    assert_false(exists(v.run, ".s.PGSQL.5432"));
    close(fds[0]);
    close(fds[1]);
    free_server(&v);
}

static void server_refuses_a_run_directory_that_will_not_do(void **state)
{
    struct pg_private_request req = {
        .programs = pgcluster_programs(), .data = pgcluster_template(), .stop_fd = -1};
    static const struct pg_setting broken[] = {{"cluster_name", "a\nport = 1"}, {0}};
    struct pg_private *s;
    struct err err;
    char *dir, *longer;

    (void)state;
    pgcluster_need();
    dir = pgcluster_new_dir("open");
    assert_int_equal(chmod(dir, 0755), 0);
    req.run_dir = dir;
    assert_int_equal(start_private(&req, &s, &err), -EPERM);
    assert_int_equal(chmod(dir, 0700), 0);
    req.settings = broken;
    assert_int_equal(start_private(&req, &s, &err), -EINVAL);
    fixture_assert_says(&err, "cluster_name");
    longer = mem_printf("%s/%0100d", dir, 0);
    assert_int_equal(mkdir(longer, 0700), 0);
    pgcluster_own(longer);
    req.run_dir = longer;
    assert_int_equal(start_private(&req, &s, &err), -ENAMETOOLONG);
    fixture_assert_says(&err, "too long for a socket");
    req.run_dir = "/nowhere at all";
    assert_int_equal(start_private(&req, &s, &err), -ENOENT);
    free(longer);
    free(dir);
}

static void server_settings_may_hold_quotes_and_backslashes(void **state)
{
    static const struct pg_setting settings[] = {{"cluster_name", "it's a \\ back"}, {0}};
    struct server v = {0};

    (void)state;
    pgcluster_need();
    start_server(&v, pgcluster_copy(), settings);
    assert_query(&v, "SHOW cluster_name", "it's a \\ back");
    assert_query(&v,
                 "SELECT setting FROM pg_file_settings WHERE name = 'cluster_name'"
                 " ORDER BY seqno DESC LIMIT 1",
                 "it's a \\ back");
    stop_server(&v);
    free_server(&v);
}

static void server_finds_a_superuser_of_another_name(void **state)
{
    char *data;
    struct server v = {0};
    struct err err;

    (void)state;
    pgcluster_need();
    data = pgcluster_new_dir("boss");
    if (pgcluster_init(data, "boss", &err) < 0)
        fail_msg("%s", err.text);
    start_server(&v, data, NULL);
    print_message("another superuser: ready after %d ms\n", (int)(clock_ms() - v.began));
    assert_query(&v, "SELECT current_user", "boss");
    run_sql(&v, "CREATE ROLE postgres LOGIN SUPERUSER");
    run_sql(&v, "SET SESSION AUTHORIZATION postgres;"
                "ALTER ROLE boss RENAME TO \"the \"\"boss\\'s größte \"");
    stop_server(&v);
    free(v.run);
    start_server(&v, data, NULL);
    assert_query(&v, "SELECT current_user", "postgres"); /* any superuser will do */
    run_sql(&v, "CREATE ROLE other LOGIN SUPERUSER");
    run_sql(&v, "ALTER ROLE postgres NOSUPERUSER");
    stop_server(&v);
    free(v.run);
    start_server(&v, data, NULL);
    assert_query(&v, "SELECT current_user", "the \"boss\\'s größte ");
    run_sql(&v, "UPDATE pg_authid SET rolcanlogin = false WHERE oid = 10");
    stop_server(&v);
    free(v.run);
    start_server(&v, data, NULL);
    assert_query(&v, "SELECT current_user", "other");
    run_sql(&v, "UPDATE pg_authid SET rolcanlogin = false");
    stop_server(&v);
    free(v.run);
    start_server(&v, data, NULL);
    assert_query(&v, "SELECT current_user", "the \"boss\\'s größte ");
    stop_server(&v);
    free_server(&v);
}

/* ---- a base that means harm ---- */

static void server_ignores_the_settings_of_the_base(void **state)
{
    struct server v = {0};
    char *data, *hostile, *seen;

    (void)state;
    pgcluster_need();
    data = pgcluster_copy();
    seen = pgcluster_new_dir("seen");
    hostile = mem_printf("listen_addresses = '*'\nport = 1\nssl = on\n"
                         "ssl_passphrase_command = 'touch %1$s/ssl'\n"
                         "shared_preload_libraries = 'no_such_library'\n"
                         "session_preload_libraries = 'no_such_library'\n"
                         "local_preload_libraries = 'no_such_library'\n"
                         "archive_mode = on\narchive_command = 'touch %1$s/archive'\n"
                         "restore_command = 'touch %1$s/restore; false'\n"
                         "archive_cleanup_command = 'touch %1$s/cleanup'\n"
                         "recovery_end_command = 'touch %1$s/end'\n"
                         "recovery_target_time = '2001-01-01'\n"
                         "external_pid_file = '%1$s/pid'\nlogging_collector = on\n"
                         "unix_socket_directories = '%1$s'\ndata_directory = '%1$s'\n"
                         "hba_file = '%1$s/hba'\nfsync = on\nwal_level = minimal\n",
                         seen);
    pgcluster_append(data, "postgresql.auto.conf", hostile);
    pgcluster_append(data, "postgresql.conf", hostile);
    pgcluster_append(data, "pg_hba.conf", "local all all reject\n");
    start_server(&v, data, NULL);
    assert_query(&v, "SHOW listen_addresses", "");
    assert_query(&v, "SHOW shared_preload_libraries", "");
    assert_query(&v, "SHOW session_preload_libraries", "");
    assert_query(&v, "SHOW fsync", "off");
    run_sql(&v, "CREATE TABLE t (); SELECT pg_switch_wal(); CHECKPOINT");
    stop_server(&v);
    assert_int_equal(rmdir(seen), 0);
    free(v.run);
    pgcluster_append(data, "recovery.signal", "");
    assert_true(mkdir(seen, 0777) == 0 && chmod(seen, 0777) == 0);
    static const struct pg_setting settings[] = {
        {"restore_command", "false"}, {"recovery_target_action", "promote"}, {0}};
    start_server(&v, data, settings);
    stop_server(&v);
    assert_int_equal(rmdir(seen), 0);
    free_server(&v);
    free(seen);
    free(hostile);
}

static void server_sessions_ignore_settings_of_roles_and_databases(void **state)
{
    struct server v = {0};
    char *data;

    (void)state;
    pgcluster_need();
    start_server(&v, pgcluster_copy(), NULL);
    run_sql(&v, "ALTER ROLE postgres SET session_preload_libraries = 'no_such_library'");
    run_sql(&v, "ALTER DATABASE postgres SET local_preload_libraries = 'no_such_library'");
    run_sql(&v, "ALTER ROLE ALL SET session_preload_libraries = 'no_such_library'");
    run_sql(&v, "CREATE ROLE nobody_special");
    run_sql(&v, "ALTER ROLE postgres SET role = 'nobody_special'");
    run_sql(&v, "ALTER ROLE postgres SET search_path = evil, pg_catalog");
    stop_server(&v);
    data = v.data;
    free(v.run);
    start_server(&v, data, NULL);
    assert_query(&v, "SHOW session_preload_libraries", "");
    assert_query(&v, "SHOW local_preload_libraries", "");
    assert_query(&v, "SELECT current_user", "postgres");
    assert_query(&v, "SHOW search_path", "public");
    stop_server(&v);
    free_server(&v);
}

/* ---- the end of asofs ---- */

/* In another process: starts a server, tells that it is ready, waits to be killed. */
static void live_with_a_server(char *data, int fd)
{
    struct server v = {0};
    struct err err;

    if (try_server(&v, data, NULL, -1, &err) < 0)
        _exit(1);
    if (write(fd, "x", 1) != 1)
        _exit(1);
    pause();
    _exit(0);
}

static pid_t postmaster_of(const char *data)
{
    char *path = mem_printf("%s/postmaster.pid", data), text[32] = "";
    int fd = open(path, O_RDONLY);

    assert_true(fd >= 0);
    io_pread_full(fd, text, sizeof(text) - 1, 0);
    close(fd);
    free(path);
    return (pid_t)strtol(text, NULL, 10);
}

static void server_ends_when_its_parent_is_killed(void **state)
{
    char *data, byte;
    pid_t pid, postmaster;
    int fds[2];

    (void)state;
    pgcluster_need();
    data = pgcluster_copy();
    assert_int_equal(pipe(fds), 0);
    pid = fork();
    if (pid == 0)
        live_with_a_server(data, fds[1]);
    close(fds[1]);
    assert_int_equal(read(fds[0], &byte, 1), 1);
    postmaster = postmaster_of(data);
    assert_true(postmaster > 1 && runs(postmaster));
    proc_kill(pid);
    assert_true(ends_within(postmaster, 5000));
    close(fds[0]);
    free(data);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_starts_on_a_clean_directory),
        cmocka_unit_test(server_recovers_what_crashed),
        cmocka_unit_test(server_replays_up_to_a_target),
        cmocka_unit_test(server_goes_on_to_its_target_without_a_checkpoint_there),
        cmocka_unit_test(server_that_shuts_down_at_its_target_is_waited_for),
        cmocka_unit_test(server_that_cannot_recover_says_why),
        cmocka_unit_test(server_gives_up_when_asked_to_stop),
        cmocka_unit_test(server_refuses_a_run_directory_that_will_not_do),
        cmocka_unit_test(server_settings_may_hold_quotes_and_backslashes),
        cmocka_unit_test(server_finds_a_superuser_of_another_name),
        cmocka_unit_test(server_ignores_the_settings_of_the_base),
        cmocka_unit_test(server_sessions_ignore_settings_of_roles_and_databases),
        cmocka_unit_test(server_ends_when_its_parent_is_killed),
    };

    if (argc > 1 && strcmp(argv[1], "child") == 0)
        return pg_child_main(argc - 1, argv + 1);
    return cmocka_run_group_tests_name("pg/private", tests, pgcluster_set_up, pgcluster_tear_down);
}
