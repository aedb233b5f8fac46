/*
 * Says to a second database what the lines of standard input say, and what came of each, as a line:
 * "ok …", or the code of the error and its words ("|" for each end of a line). The parts of a line
 * are separated by tabs.
 *
 * usage: second CONNINFO [lc_monetary]
 *
 *   open                                 pg_second_open; what follows needs it
 *   begin  commit  rollback              pg/copyin.h
 *   run SQL                              pg/statements.h
 *   listed SCHEMA NAME TARGET PARTS [FILTER]     for `list`
 *   prepare NAME    check-name NAME    list NAME       pg/record.h; of a RUN, - is that of the last list
 *   claim|done|forget NAME RUN [CHUNK [ROWS]]
 *   cleared|loaded NAME RUN SCHEMA TABLE [ROWS]
 *   read [NAME]     wait NAME [TIME]
 *   table SCHEMA NAME [FILTER]           for what follows; `column` adds to the last one
 *   column NAME TYPE [generated]         pg/snaptable.h
 *   check missing|never    create    order    clear    referred    copy FORMAT
 *   nothing                              no tables, no list
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/copyin.h"
#include "pg/record.h"
#include "pg/snaptable.h"
#include "pg/statements.h"

#define PARTS_MAX 8
#define TABLES_MAX 512
#define COLUMNS_MAX 64

static const char *conninfo, *lc_monetary;
static struct pg_conn *conn;
static int64_t last_run;
static struct pg_record_table listed[TABLES_MAX];
static size_t nlisted;
static struct pg_snaptable tables[TABLES_MAX];
static size_t ntables;
static bool going_on = true; /* until it cannot be opened */

/* ---- what is said ---- */

static void put_line(const char *text)
{
    for (; *text; text++)
        putchar(*text == '\n' ? '|' : *text);
}

static void say(int rc, const char *more, const struct err *err)
{
    if (rc < 0) {
        printf("%s ", strerrorname_np(-rc));
        put_line(err->text);
    } else {
        printf("ok");
        if (more && *more)
            putchar(' ');
        put_line(more ? more : "");
    }
    putchar('\n');
    fflush(stdout);
}

/* ---- the session ---- */

static int open_second(struct err *err)
{
    struct pg_session session = {.application_name = "asofs second",
                                 .timezone = "UTC",
                                 .lc_monetary = lc_monetary,
                                 .stop_fd = -1,
                                 .connect_timeout_ms = 60000,
                                 .query_timeout_ms = 120000};
    struct pg_target target;
    int rc;

    pg_target_init(&target, conninfo);
    rc = pg_second_open(&conn, &target, &session, NULL, err);
    pg_target_free(&target);
    return rc;
}

static int run(const char *sql, struct err *err)
{
    struct pollfd p = {.fd = pg_conn_socket(conn), .events = POLLIN};
    int rc = pg_statements_start(conn, sql, err);

    while (rc == 0 && (rc = pg_statements_step(conn, err)) > 0) {
        poll(&p, 1, -1);
        rc = 0;
    }
    return rc;
}

static int do_session(char **p, struct err *err)
{
    if (strcmp(p[0], "open") == 0)
        return open_second(err);
    if (strcmp(p[0], "begin") == 0)
        return pg_write_begin(conn, 0, err);
    if (strcmp(p[0], "commit") == 0)
        return pg_write_commit(conn, err);
    if (strcmp(p[0], "run") == 0)
        return run(p[1], err);
    pg_write_rollback(conn);
    return 0;
}

/* ---- the record ---- */

static int64_t run_of(const char *text)
{
    return *text == '-' ? last_run : strtoll(text, NULL, 10);
}

static void add_listed(char **p)
{
    listed[nlisted++] = (struct pg_record_table){.schema = mem_strdup(p[1]),
                                                 .name = mem_strdup(p[2]),
                                                 .target_schema = mem_strdup(p[3]),
                                                 .parts = (uint32_t)strtoul(p[4], NULL, 10),
                                                 .filter = mem_strdup(p[5])};
}

static int do_chunk(char **p, char **more, struct err *err)
{
    int64_t of = run_of(p[2]);
    uint32_t chunk = p[3] ? (uint32_t)strtoul(p[3], NULL, 10) : 0;
    uint64_t rows = 0;
    int rc;

    if (strcmp(p[0], "forget") == 0)
        return pg_record_forget_chunks(conn, p[1], of, err);
    if (strcmp(p[0], "done") == 0)
        return pg_record_chunk_done(conn, p[1], of, chunk, strtoull(p[4], NULL, 10), err);
    rc = pg_record_claim(conn, p[1], of, chunk, &rows, err);
    *more = rc > 0 ? mem_printf("done %llu", (unsigned long long)rows) : NULL;
    return rc;
}

static int do_read(const char *name, char **more, struct err *err)
{
    struct pg_record *r;
    struct buf b = {0};
    size_t i;
    int rc = pg_record_read(conn, name, &r, err);

    for (i = 0; rc == 0 && i < r->nviews; i++)
        buf_printf(&b, "%s %s %s %llu;", r->views[i].name, r->views[i].state, r->views[i].moment,
                   (unsigned long long)r->views[i].rows);
    for (i = 0; rc == 0 && i < r->nentries; i++) {
        const struct pg_record_entry *e = &r->entries[i];

        buf_printf(&b, " %s: %s.%s [%s]%s%s %llu;", e->view, e->schema, e->name, e->filter,
                   *e->cleared_at ? " cleared" : "", *e->loaded_at ? " loaded" : "",
                   (unsigned long long)e->rows);
    }
    pg_record_free(r);
    *more = buf_steal(&b);
    return rc;
}

static int do_list(const char *name, char **more, struct err *err)
{
    char *unlisted = NULL;
    int rc = pg_record_list(conn, name, listed, nlisted, 0, &last_run, &unlisted, err);

    *more = mem_printf("%s", unlisted ? unlisted : "");
    free(unlisted);
    return rc;
}

static int do_record(char **p, char **more, struct err *err)
{
    if (strcmp(p[0], "prepare") == 0)
        return pg_record_prepare(conn, p[1], err);
    if (strcmp(p[0], "check-name") == 0)
        return pg_record_check_name(conn, p[1], err);
    if (strcmp(p[0], "list") == 0)
        return do_list(p[1], more, err);
    if (strcmp(p[0], "cleared") == 0)
        return pg_record_cleared(conn, p[1], run_of(p[2]), p[3], p[4], err);
    if (strcmp(p[0], "loaded") == 0)
        return pg_record_loaded(conn, p[1], run_of(p[2]), p[3], p[4], strtoull(p[5], NULL, 10),
                                NULL, err);
    if (strcmp(p[0], "read") == 0)
        return do_read(p[1], more, err);
    if (strcmp(p[0], "wait") == 0)
        return pg_record_wait(conn, p[1], p[2], err);
    return do_chunk(p, more, err);
}

/* ---- snapshot tables ---- */

static void add_table(char **p)
{
    tables[ntables++] = (struct pg_snaptable){
        .schema = mem_strdup(p[1]),
        .name = mem_strdup(p[2]),
        .filter = mem_strdup(p[3]),
        .columns = mem_array(COLUMNS_MAX, sizeof(struct pg_snapcolumn)),
    };
}

static void add_column(char **p)
{
    struct pg_snaptable *t = &tables[ntables - 1];

    t->columns[t->ncolumns++] = (struct pg_snapcolumn){
        .name = mem_strdup(p[1]), .type = mem_strdup(p[2]), .generated = p[3] != NULL};
}

static char *tell_tables(void)
{
    struct buf b = {0};
    size_t i, k;

    for (i = 0; i < ntables; i++) {
        buf_printf(&b, "%s%s%s%s", i ? " " : "", tables[i].name,
                   tables[i].missing ? " missing" : "",
                   tables[i].partitioned ? " partitioned" : "");
        for (k = 0; k < tables[i].ncolumns; k++)
            if (tables[i].columns[k].skip)
                buf_printf(&b, " -%s", tables[i].columns[k].name);
    }
    return buf_steal(&b);
}

static int do_order(char **more, struct err *err)
{
    uint32_t(*pairs)[2];
    struct buf b = {0};
    size_t i, n;
    int rc = pg_snaptable_order(conn, tables, ntables, &pairs, &n, err);

    for (i = 0; i < n; i++)
        buf_printf(&b, "%s%s>%s", i ? " " : "", tables[pairs[i][0]].name, tables[pairs[i][1]].name);
    free(pairs);
    *more = buf_steal(&b);
    return rc;
}

static int do_tables(char **p, char **more, struct err *err)
{
    const struct pg_snaptable *last = &tables[ntables ? ntables - 1 : 0];
    int rc;

    if (strcmp(p[0], "order") == 0)
        return do_order(more, err);
    if (strcmp(p[0], "clear") == 0 || strcmp(p[0], "referred") == 0)
        return pg_snaptable_clear_sql(conn, last, *p[0] == 'r', more, err);
    if (strcmp(p[0], "copy") == 0)
        return pg_snaptable_copy_sql(conn, last, last->schema, PG_FORMAT_CSV, "UTF8", true, more,
                                     err);
    if (strcmp(p[0], "create") == 0)
        rc = pg_snaptable_create(conn, tables, ntables, err);
    else
        rc = pg_snaptable_check(conn, tables, ntables, *p[1] == 'm', err);
    *more = rc == 0 ? tell_tables() : NULL;
    return rc;
}

static void forget_tables(void)
{
    size_t i, k;

    for (i = 0; i < ntables; i++) {
        for (k = 0; k < tables[i].ncolumns; k++) {
            free((void *)(uintptr_t)tables[i].columns[k].name);
            free((void *)(uintptr_t)tables[i].columns[k].type);
        }
        free(tables[i].columns);
        free((void *)(uintptr_t)tables[i].schema);
        free((void *)(uintptr_t)tables[i].name);
        free((void *)(uintptr_t)tables[i].filter);
    }
    for (i = 0; i < nlisted; i++) {
        free((void *)(uintptr_t)listed[i].schema);
        free((void *)(uintptr_t)listed[i].name);
        free((void *)(uintptr_t)listed[i].target_schema);
        free((void *)(uintptr_t)listed[i].filter);
    }
    ntables = nlisted = 0;
}

/* ---- lines ---- */

static bool is_one_of(const char *word, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(*words, word) == 0)
            return true;
    return false;
}

static int do_line(char **p, char **more, struct err *err)
{
    static const char *const session[] = {"open", "begin", "commit", "rollback", "run", NULL};
    static const char *const snap[] = {"check",    "create", "order", "clear",
                                       "referred", "copy",   NULL};

    if (strcmp(p[0], "listed") == 0)
        add_listed(p);
    else if (strcmp(p[0], "table") == 0)
        add_table(p);
    else if (strcmp(p[0], "column") == 0)
        add_column(p);
    else if (strcmp(p[0], "nothing") == 0)
        forget_tables();
    else if (is_one_of(p[0], session))
        return do_session(p, err);
    else if (is_one_of(p[0], snap))
        return do_tables(p, more, err);
    else
        return do_record(p, more, err);
    return 0;
}

static void take_line(char *line)
{
    char *p[PARTS_MAX] = {NULL}, *more = NULL;
    struct err err = {0};
    size_t n;
    int rc;

    line[strcspn(line, "\n")] = '\0';
    for (n = 0; n + 1 < PARTS_MAX && line; n++)
        p[n] = strsep(&line, "\t");
    rc = do_line(p, &more, &err);
    say(rc, more, &err);
    going_on = conn || rc == 0;
    free(more);
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t room = 0;

    if (argc < 2)
        return 2;
    conninfo = argv[1];
    lc_monetary = argv[2];
    while (going_on && getline(&line, &room, stdin) > 0)
        take_line(line);
    forget_tables();
    free(line);
    pg_conn_close(conn);
    return 0;
}
