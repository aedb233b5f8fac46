/*
 * Loads a part of a file into a table, as a loader worker will (pg/copyin.h), and tells how it went.
 *
 * usage: copyin [option...] CONNINFO TABLE FILE
 *   --format=csv|text|binary  --header  --columns=A,B  --offset=N  --length=N  --lock-timeout=MS
 *   --abort-at=N      abort the COPY once so many bytes were asked for
 *   --fail-at=N       the source of the bytes fails there
 *   --gate=N,FILE     there it makes FILE.reached and waits until FILE is there
 *   --full=FILE       made when the server took nothing more for a while
 *
 * Prints "rows N" once it is committed; or "failed CODE line N at BYTES" and the words after it, and
 * then "usable" when the session is, after a rollback.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pg/copyin.h"
#include "pg/copysql.h"

#define WAIT_MS 300
#define COLUMNS_MAX 16

static struct {
    struct pg_copy_target target;
    const char *columns[COLUMNS_MAX];
    struct pg_copyin_file file;
    int64_t lock_timeout_ms;
    uint64_t abort_at, fail_at, gate_at;
    char *gate;
    const char *full;
} given = {.target = {.schema = "public", .encoding = "UTF8"},
           .file = {.len = UINT64_MAX},
           .abort_at = UINT64_MAX,
           .fail_at = UINT64_MAX,
           .gate_at = UINT64_MAX};

static struct pg_copyin copy;

/* ---- the bytes ---- */

static void make(const char *path)
{
    close(open(path, O_CREAT | O_WRONLY, 0644));
}

static void pass_gate(void)
{
    char reached[4096];

    snprintf(reached, sizeof(reached), "%s.reached", given.gate);
    make(reached);
    while (access(given.gate, F_OK) != 0)
        poll(NULL, 0, 10);
    given.gate_at = UINT64_MAX;
}

static int64_t read_rows(void *arg, char *bytes, size_t room, uint64_t at, struct err *err)
{
    static const struct err enough = {ECANCELED, "enough"};

    if (at >= given.gate_at)
        pass_gate();
    if (at >= given.fail_at)
        return err_set(err, EIO, "the source failed");
    if (at >= given.abort_at)
        pg_copyin_abort(&copy, &enough);
    return pg_copyin_read_file(arg, bytes, room, at, err);
}

/* ---- the work ---- */

static int wait_for_server(struct pg_conn *conn)
{
    struct pollfd p = {.fd = pg_conn_socket(conn), .events = pg_copyin_events(&copy)};
    int n = poll(&p, 1, WAIT_MS);

    if (n == 0 && given.full && p.events & POLLOUT && copy.bytes)
        make(given.full);
    return n;
}

static int load(struct pg_conn *conn, struct err *err)
{
    char *sql;
    int rc = pg_copyin_sql(conn, &given.target, &sql, err);

    if (rc < 0)
        return rc;
    copy = (struct pg_copyin){
        .copy_sql = sql, .table = given.target.table, .read = read_rows, .arg = &given.file};
    rc = pg_copyin_start(conn, &copy, err);
    while (rc == 0 && (rc = pg_copyin_step(conn, &copy, err)) == PG_COPYIN_MORE)
        wait_for_server(conn);
    free(sql);
    return rc < 0 ? rc : 0;
}

static int run(struct pg_conn *conn, struct err *err)
{
    struct err ignored;
    int rc = pg_write_begin(conn, given.lock_timeout_ms, err);

    if (rc == 0)
        rc = load(conn, err);
    if (rc == 0)
        rc = pg_write_commit(conn, err);
    if (rc == 0) {
        printf("rows %llu\n", (unsigned long long)copy.rows);
        return 0;
    }
    printf("failed %s line %llu at %llu\n%s\n", strerrorname_np(-rc), (unsigned long long)copy.line,
           (unsigned long long)copy.bytes, err->text);
    if (pg_write_commit(conn, &ignored) == 0)
        printf("committed all the same\n");
    pg_write_rollback(conn);
    if (pg_write_begin(conn, 0, &ignored) == 0)
        printf("usable\n");
    return 1;
}

/* ---- what is given ---- */

static void take_columns(char *list)
{
    char *p;

    for (p = strtok(list, ","); p && given.target.ncolumns < COLUMNS_MAX; p = strtok(NULL, ","))
        given.columns[given.target.ncolumns++] = p;
    given.target.columns = given.columns;
}

static enum pg_format format_of(const char *name)
{
    int f = PG_FORMAT_CSV;

    while (f < PG_FORMAT_BINARY && strcmp(pg_format_name((enum pg_format)f), name) != 0)
        f++;
    return (enum pg_format)f;
}

static void take_option(int c, char *value)
{
    char *end = value;
    uint64_t n = value ? strtoull(value, &end, 10) : 0;

    switch (c) {
    case 'f':
        given.target.format = format_of(value);
        break;
    case 'h':
        given.target.header = true;
        break;
    case 'c':
        take_columns(value);
        break;
    case 'o':
        given.file.offset = n;
        break;
    case 'l':
        given.file.len = n;
        break;
    case 't':
        given.lock_timeout_ms = (int64_t)n;
        break;
    case 'a':
        given.abort_at = n;
        break;
    case 'e':
        given.fail_at = n;
        break;
    case 'g':
        given.gate_at = n, given.gate = end + 1;
        break;
    case 'w':
        given.full = value;
        break;
    default:
        exit(2);
    }
}

static void take_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"format", 1, NULL, 'f'},   {"header", 0, NULL, 'h'},  {"columns", 1, NULL, 'c'},
        {"offset", 1, NULL, 'o'},   {"length", 1, NULL, 'l'},  {"lock-timeout", 1, NULL, 't'},
        {"abort-at", 1, NULL, 'a'}, {"fail-at", 1, NULL, 'e'}, {"gate", 1, NULL, 'g'},
        {"full", 1, NULL, 'w'},     {NULL, 0, NULL, 0}};
    struct stat st;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
        take_option(c, optarg);
    if (argc - optind != 3)
        exit(2);
    given.target.table = argv[optind + 1];
    given.file.fd = open(argv[optind + 2], O_RDONLY | O_CLOEXEC);
    if (given.file.fd < 0 || fstat(given.file.fd, &st) < 0)
        exit(2);
    if (given.file.len == UINT64_MAX)
        given.file.len = (uint64_t)st.st_size - given.file.offset;
}

int main(int argc, char **argv)
{
    struct pg_session session = {.application_name = "asofs copyin",
                                 .timezone = "UTC",
                                 .stop_fd = -1,
                                 .connect_timeout_ms = 60000,
                                 .query_timeout_ms = 120000};
    struct pg_target target;
    struct pg_conn *conn;
    struct err err = {0};
    int status = 1;

    take_options(argc, argv);
    pg_target_init(&target, argv[optind]);
    if (pg_conn_open(&conn, &target, &session, &err) == 0) {
        status = run(conn, &err);
        pg_conn_close(conn);
    } else {
        fprintf(stderr, "%s\n", err.text);
    }
    pg_target_free(&target);
    close(given.file.fd);
    return status;
}
