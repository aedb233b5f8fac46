/*
 * A whole copy through shadows, whose rows come from statements: what src/load does with processes,
 * for the cases that look at shadows and publishing alone.
 *
 * usage: copyshadow MODE NAME MOMENT TIMEOUT_MS UNTIL CONN [SCHEMA TABLE COLUMNS FILTER FILL]...
 *   MODE     swap or rows; label: nothing but the label, in state UNTIL
 *   UNTIL    clear, refuse, make, fill, finish or publish: the last thing to do
 *   COLUMNS  separated by commas, or empty: all
 *   FILL     a statement, with @ for the shadow
 * Prints "asofs: " and why, and ends with status 1, when something is refused or fails.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/stop.h"
#include "pg/internal.h"
#include "pg/publish.h"
#include "pg/shadow.h"

#define AT_ONCE 3

static struct {
    const char *mode, *name, *moment, *until, *conninfo;
    int64_t timeout_ms;
    struct pg_shadow_table *tables;
    const char **fills;
    size_t n;
} o;

static _Noreturn void give_up(const struct err *err)
{
    fprintf(stderr, "asofs: %s\n", err->text);
    exit(1);
}

static struct pg_conn *open_session(void)
{
    struct pg_session s = {.application_name = "asofs test copy",
                           .timezone = "UTC",
                           .stop_fd = -1,
                           .connect_timeout_ms = 60000};
    struct pg_target t;
    struct pg_conn *c;
    struct err err;

    pg_target_init(&t, o.conninfo);
    if (pg_conn_open(&c, &t, &s, &err) < 0)
        give_up(&err);
    pg_target_free(&t);
    return c;
}

static int run_once(struct pg_conn *c, const char *sql, struct err *err)
{
    int rc = pg_begin(c, PG_READ_WRITE, false, NULL, err);

    if (rc == 0)
        rc = pg_run(c, sql, err);
    if (rc == 0)
        rc = pg_run(c, "COMMIT", err);
    if (rc < 0)
        pg_rollback(c);
    return rc;
}

/* As a worker does: in a process and a transaction of its own. */
static void run_apart(const char *sql)
{
    struct pg_conn *c = open_session();
    struct err err;
    int rc;

    while ((rc = run_once(c, sql, &err)) == -EBUSY)
        stop_within(-1, 50);
    if (rc < 0) {
        err_hint(&err, "of: %s", sql);
        give_up(&err);
    }
    pg_conn_close(c);
}

static void await_one(void)
{
    int status;

    if (wait(&status) < 0 || status != 0)
        exit(1);
}

static void run_phase(const struct pg_shadow_job *jobs, size_t n, enum pg_shadow_phase phase)
{
    size_t i, running = 0;

    for (i = 0; i < n; i++) {
        if (jobs[i].phase != phase)
            continue;
        if (running == AT_ONCE) {
            await_one();
            running--;
        }
        if (fork() == 0) {
            run_apart(jobs[i].sql);
            _exit(0);
        }
        running++;
    }
    while (running--)
        await_one();
}

static void finish(struct pg_conn *c, const struct pg_shadows *s)
{
    struct pg_shadow_job *jobs;
    struct err err;
    size_t n;
    int phase;

    if (pg_shadow_finish(c, s, &jobs, &n, &err) < 0)
        give_up(&err);
    for (phase = 0; phase < PG_SHADOW_PHASES; phase++)
        run_phase(jobs, n, (enum pg_shadow_phase)phase);
    pg_shadow_free_jobs(jobs, n);
}

static void make(struct pg_conn *c, const struct pg_shadows *s)
{
    struct err err;
    size_t i;

    if (pg_shadow_schemas(c, s, &err) < 0)
        give_up(&err);
    for (i = 0; i < o.n; i++) {
        char *sql;

        if (pg_shadow_make(c, s, i, &sql, &err) < 0)
            give_up(&err);
        run_apart(sql);
        free(sql);
    }
}

static void fill(struct pg_conn *c, const struct pg_shadows *s)
{
    struct err err;
    size_t i;

    for (i = 0; i < o.n; i++) {
        struct buf b = {0};
        const char *p;

        for (p = o.fills[i]; *p; p++)
            if (*p != '@')
                buf_putc(&b, *p);
            else if (pg_put_relation(c, &b, pg_shadow_schema(s, i), o.tables[i].name, &err) < 0)
                give_up(&err);
        run_apart(b.data);
        buf_free(&b);
    }
}

static char **split(const char *columns, size_t *n)
{
    char **out = mem_array(strlen(columns) + 2, sizeof(*out)), *word, *save = NULL;
    char *copy = mem_strdup(columns);

    for (word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save))
        out[(*n)++] = mem_strdup(word);
    free(copy);
    return out;
}

static void parse(int argc, char **argv)
{
    int i;

    if (argc < 7 || (argc - 7) % 5)
        exit(2);
    o.mode = argv[1], o.name = argv[2], o.moment = argv[3];
    o.timeout_ms = atoll(argv[4]);
    o.until = argv[5], o.conninfo = argv[6];
    o.n = (size_t)(argc - 7) / 5;
    o.tables = mem_array(o.n + 1, sizeof(*o.tables));
    o.fills = mem_array(o.n + 1, sizeof(*o.fills));
    for (i = 0; i < (int)o.n; i++) {
        char **a = argv + 7 + i * 5;

        o.tables[i] = (struct pg_shadow_table){.schema = a[0], .name = a[1]};
        if (*a[2])
            o.tables[i].columns = split(a[2], &o.tables[i].ncolumns);
        o.tables[i].filter = *a[3] ? a[3] : NULL;
        o.fills[i] = a[4];
    }
}

/* -> how many of the steps up to "publish" are wanted */
static int steps_wanted(void)
{
    static const char *const steps[] = {"clear", "refuse", "make", "fill", "finish", "publish"};
    int i = 0;

    while (i < 5 && strcmp(o.until, steps[i]) != 0)
        i++;
    return i + 1;
}

static void through_shadows(struct pg_conn *c, const struct pg_shadow_list *list,
                            const struct pg_label *label)
{
    int rc = 0, steps = steps_wanted();
    struct pg_shadows *s;
    struct err err;

    if (pg_shadow_plan(c, list, &s, &err) < 0 || pg_shadow_refuse(c, s, &err) < 0)
        give_up(&err);
    if (steps >= 3)
        make(c, s);
    if (steps >= 4)
        fill(c, s);
    if (steps >= 5)
        finish(c, s);
    if (steps >= 6)
        rc = list->mode == PG_PUBLISH_ROWS ? pg_publish_rows(c, s, label, o.timeout_ms, &err)
                                           : pg_publish_swap(c, s, label, o.timeout_ms, &err);
    if (rc < 0)
        give_up(&err);
    pg_shadow_free(s);
}

static void copy(struct pg_conn *c, const struct pg_label *label)
{
    struct pg_shadow_list list = {.name = o.name,
                                  .mode = strcmp(o.mode, "rows") == 0 ? PG_PUBLISH_ROWS
                                                                      : PG_PUBLISH_SWAP,
                                  .tables = o.tables,
                                  .n = o.n};
    struct err err;

    if (pg_shadow_clear(c, o.name, o.timeout_ms, &err) < 0)
        give_up(&err);
    if (steps_wanted() > 1)
        through_shadows(c, &list, label);
}

int main(int argc, char **argv)
{
    struct pg_label label = {.state = "current", .lsn = "0/1", .source = "a, \"test\""};
    struct pg_conn *c;
    struct err err;

    parse(argc, argv);
    label.name = o.name;
    label.moment = *o.moment ? o.moment : NULL;
    label.tables = (int64_t)o.n;
    c = open_session();
    if (strcmp(o.mode, "label") != 0) {
        copy(c, &label);
    } else {
        label.state = o.until;
        if (pg_publish_label(c, &label, o.timeout_ms, &err) < 0)
            give_up(&err);
    }
    pg_conn_close(c);
    return 0;
}
