/* asofs load: the flat files of a view become the tables of a second database. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/source.h"
#include "cmd/subcommand.h"
#include "cmd/target.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/stop.h"
#include "view/contents.h"

#define LOOK_EVERY_MS 500

struct options {
    struct target_options target;
    struct tablelist tables;
    bool quiet, debug, help;
};

static const struct option_def options[] = {
    OPTION_CALL("tables", 't', struct options, tables, source_set_tables),
    OPTION_CALL("exclude-table", 'T', struct options, tables, source_set_exclude_table),
    OPTION_ROWS(struct options, target, target_options),
    OPTION_FLAG("quiet", 'q', struct options, quiet),
    OPTION_FLAG("debug", 'd', struct options, debug),
    OPTION_FLAG("help", 'h', struct options, help),
    OPTION_END,
};

static int print_help(void)
{
    printf("Usage: asofs load [OPTION]... VIEW TARGET\n"
           "Fill the tables of a second database with the flat files of a view, so that they are "
           "one\nconsistent copy there.\n\n"
           "VIEW is a mount, or a directory of asofs extract. Files of a mount made with --nowait "
           "are\nloaded as they become complete.\n"
           "TARGET is a libpq connection string, URI or database name.\n\n"
           "  -t, --tables=PATTERN      tables of the view to take, as in psql's \\d; repeat for "
           "more\n"
           "                            (default: all)\n"
           "  -T, --exclude-table=PATTERN  tables to leave out; repeat for more\n"
           "%s"
           "  -q, --quiet               no progress, no notes\n"
           "  -d, --debug               tell much\n"
           "  -h, --help                this text\n",
           target_help);
    return fflush(stdout) == 0 ? 0 : 1;
}

struct job {
    const char *dir;
    int at; /* the directory that this was when we began; -1: none */
    struct inspected view;
    struct contents contents;
    struct load_list list;
    size_t *of_view; /* of each table of the list: its number in the view */
    bool *given;     /* as the list: its parts were told of */
    uint64_t *bytes; /* as the list: of the file, when they were */
    size_t ngiven;
    int64_t looked; /* clock_ms */
};

static void fill_table(const struct target_options *t, const struct inspected_table *from,
                       struct contents_table *c, struct load_table *to)
{
    size_t i;

    *to = (struct load_table){.schema = mem_strdup(from->schema),
                              .name = mem_strdup(from->name),
                              .target_schema = target_schema_of(t, from->schema),
                              .file = mem_strdup(from->file),
                              .filter = *from->filter ? mem_strdup(from->filter) : NULL,
                              .checksum = *from->checksum ? mem_strdup(from->checksum) : NULL,
                              .ncolumns = c->ncolumns,
                              .nparts = c->nparts ? (uint32_t)c->nparts : 1};
    to->columns = mem_array(c->ncolumns + 1, sizeof(*to->columns));
    for (i = 0; i < c->ncolumns; i++)
        to->columns[i] = (struct load_column){.name = mem_strdup(c->columns[i].name),
                                              .type = mem_strdup(c->columns[i].type),
                                              .inside = mem_strdup(c->columns[i].inside),
                                              .generated = c->columns[i].generated};
}

static int choose_tables(struct job *j, struct loading *l, const struct tablelist *patterns,
                         struct err *err)
{
    struct pg_chosen *tables = mem_array(j->view.ntables + 1, sizeof(*tables));
    size_t i;
    int rc = 0;

    for (i = 0; i < j->view.ntables; i++)
        tables[i] = (struct pg_chosen){j->view.tables[i].schema, j->view.tables[i].name, true};
    if (patterns->n)
        rc = loading_choose(l, patterns->entries, patterns->n, tables, j->view.ntables, err);
    j->of_view = mem_array(j->view.ntables + 1, sizeof(*j->of_view));
    for (i = 0; i < j->view.ntables && rc == 0; i++)
        if (tables[i].chosen)
            j->of_view[j->list.n++] = i;
    free(tables);
    return rc;
}

/* A file that is not complete yet is loaded as one part. */
static void make_list(struct job *j, const struct target_options *t)
{
    size_t i;

    j->list = (struct load_list){.n = j->list.n,
                                 .format = j->contents.format,
                                 .encoding = mem_strdup(j->contents.encoding),
                                 .timezone = mem_strdup(j->contents.timezone),
                                 .lc_monetary = mem_strdup(j->contents.lc_monetary),
                                 .source = mem_strdup(j->view.source),
                                 .moment = mem_strdup(j->view.moment),
                                 .lsn = mem_strdup(j->contents.lsn)};
    j->list.tables = mem_array(j->list.n + 1, sizeof(*j->list.tables));
    j->given = mem_array(j->list.n + 1, sizeof(*j->given));
    j->bytes = mem_array(j->list.n + 1, sizeof(*j->bytes));
    for (i = 0; i < j->list.n; i++)
        fill_table(t, &j->view.tables[j->of_view[i]], &j->contents.tables[j->of_view[i]],
                   &j->list.tables[i]);
}

/* Files of two views would be a mixed copy. */
static int check_same_view(const struct job *j, struct err *err)
{
    struct stat then, now;

    if (fstat(j->at, &then) == 0 && stat(j->dir, &now) == 0 && then.st_dev == now.st_dev &&
        then.st_ino == now.st_ino)
        return 0;
    return err_set(err, EINVAL, "%s is another view than before", j->dir);
}

/* What was added behind the last part would not be noticed by who reads the parts. */
static int check_size(const struct job *j, size_t table, int fd, struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) == 0 && (uint64_t)st.st_size == j->bytes[table])
        return 0;
    err_set(err, EIO, "%s/%s is not what was extracted: it has %lld bytes, and should have %llu",
            j->dir, j->list.tables[table].file, (long long)st.st_size,
            (unsigned long long)j->bytes[table]);
    return err_hint(err, "asofs verify %s tells what else differs", j->dir);
}

static int open_file(void *arg, size_t table, struct err *err)
{
    struct job *j = arg;
    char *at = mem_printf("/proc/self/fd/%d", j->at);
    int fd = inspect_open_file(at, j->list.tables[table].file), rc;

    free(at);
    if (fd < 0)
        return err_errno(err, "cannot open %s/%s", j->dir, j->list.tables[table].file);
    rc = check_size(j, table, fd, err);
    if (rc < 0)
        close(fd);
    return rc < 0 ? rc : fd;
}

static void give_table(struct job *j, struct loading *l, size_t i,
                       const struct inspected_table *now)
{
    const struct contents_table *c = &j->contents.tables[j->of_view[i]];
    uint32_t p;

    j->given[i] = true;
    j->bytes[i] = now->bytes;
    j->ngiven++;
    loading_expect_rows(l, i, now->rows);
    if (!c->nparts)
        loading_part(l, i, 0,
                     &(struct loading_place){.fd = -1,
                                             .len = now->bytes,
                                             .checksum = strtoull(now->checksum, NULL, 16)});
    for (p = 0; p < c->nparts; p++)
        loading_part(l, i, p,
                     &(struct loading_place){.fd = -1,
                                             .offset = c->parts[p].offset,
                                             .len = c->parts[p].bytes,
                                             .checksum = c->parts[p].checksum});
}

/* The size of one that is rendered is worked out when somebody asks: it is given with the next look. */
static int give_or_ask(struct job *j, struct loading *l, size_t i, const struct inspected_table *t,
                       struct err *err)
{
    if (strcmp(t->state, "failed") == 0)
        return err_set(err, EIO, "%s has failed: %s", t->file, t->error);
    if (!j->given[i] && strcmp(t->state, "complete") == 0)
        give_table(j, l, i, t);
    return strcmp(t->state, "ready") == 0 ? inspect_wait(j->dir, t, err) : 0;
}

static int give_complete(struct job *j, struct loading *l, const struct inspected *now,
                         struct err *err)
{
    size_t i;
    int rc = 0;

    if (now->ntables != j->view.ntables)
        return err_set(err, EINVAL, "%s is another view than before", j->dir);
    for (i = 0; i < j->list.n && rc == 0; i++)
        rc = give_or_ask(j, l, i, &now->tables[j->of_view[i]], err);
    return rc;
}

/* A mount that is still extracting. */
static int look_for_more(void *arg, struct loading *l, struct err *err)
{
    struct job *j = arg;
    struct inspected now;
    int rc;

    if (j->ngiven == j->list.n || clock_ms() - j->looked < LOOK_EVERY_MS)
        return 0;
    j->looked = clock_ms();
    rc = inspect_open(&now, j->dir, err);
    if (rc < 0)
        return rc;
    rc = check_same_view(j, err);
    if (rc == 0)
        rc = give_complete(j, l, &now, err);
    inspect_free(&now);
    return rc;
}

static int begin_loading(struct job *j, struct loading *l, const struct options *o, struct err *err)
{
    int rc = choose_tables(j, l, &o->tables, err);

    if (rc < 0)
        return rc;
    make_list(j, &o->target);
    rc = target_check_list(&j->list, err);
    return rc < 0 ? rc : loading_begin(l, &j->list, err);
}

static int load_list(struct job *j, const struct options *o, struct err *err)
{
    struct loading *l;
    int rc = loading_open(&o->target.request, &l, err);

    if (rc < 0)
        return rc;
    rc = begin_loading(j, l, o, err);
    if (rc == 0)
        rc = give_complete(j, l, &j->view, err);
    if (rc == 0)
        rc = loading_run(l, err);
    if (rc == 0)
        rc = loading_publish(l, err);
    if (rc == 0)
        loading_print_summary(l);
    loading_close(l);
    return rc;
}

static int load_chosen(struct options *o, struct job *j, struct err *err)
{
    struct loading_request *req = &o->target.request;
    struct progress progress;
    struct stop stop;
    int rc = target_name(&o->target, j->contents.database, err);

    if (rc < 0)
        return rc;
    rc = stop_open(&stop, err);
    if (rc < 0)
        return rc;
    req->stop_fd = stop.fd;
    req->quiet = o->quiet;
    req->open_file = open_file;
    req->look = look_for_more;
    req->arg = j;
    req->progress = &progress;
    progress_start(&progress, o->quiet);
    rc = load_list(j, o, err);
    stop_close(&stop, true);
    return rc;
}

static int run_load(struct options *o, char **operands)
{
    struct job j = {.dir = operands[0], .at = -1};
    struct err err;
    int rc;

    target_take(&o->target, operands[1]);
    j.at = open(j.dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    rc = inspect_open(&j.view, j.dir, &err);
    if (rc == 0)
        rc = contents_read(&j.contents, j.dir, &j.view, &err);
    if (rc == 0)
        rc = check_same_view(&j, &err);
    if (rc == 0)
        rc = load_chosen(o, &j, &err);
    load_list_free(&j.list);
    contents_free(&j.contents);
    inspect_free(&j.view);
    free(j.of_view);
    free(j.given);
    free(j.bytes);
    if (j.at >= 0)
        close(j.at);
    return rc < 0 ? command_failed(&err) : 0;
}

int cmd_load(int argc, char **argv)
{
    struct options o = {0};
    char *operands[2];
    struct err err;
    int n, status;

    target_init(&o.target);
    n = option_parse(options, false, &o, argc, argv, operands, 2, &err);
    if (n >= 0 && o.help)
        status = print_help();
    else {
        if (n >= 0 && n < 2)
            n = err_set(&err, EINVAL, "VIEW and TARGET are needed");
        if (n >= 0 && target_check(&o.target, &err) < 0)
            n = -EINVAL;
        log_set_level(o.debug ? LOG_LEVEL_DEBUG : o.quiet ? LOG_LEVEL_QUIET : LOG_LEVEL_NORMAL);
        status = n < 0 ? usage_error("load", &err) : run_load(&o, operands);
    }
    tablelist_free(&o.tables);
    target_free(&o.target);
    return status;
}
