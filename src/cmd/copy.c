/*
 * asofs copy: freeze, extract, load, publish: one pipeline from a database, or a past moment of it,
 * into a second one. The loading is the guest of the extraction: what is extracted is loaded while
 * the rest is still extracted.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/intosource.h"
#include "cmd/join.h"
#include "cmd/source.h"
#include "cmd/subcommand.h"
#include "cmd/target.h"
#include "common/io.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/stop.h"
#include "extract/result.h"

enum objects_where { OBJECTS_NONE, OBJECTS_TARGET, OBJECTS_SOURCE };

struct options {
    struct source_command c;
    struct target_options target;
    char *keep;
    bool direct;
    bool join;
    int64_t join_timeout_ms;
    enum objects_where objects;
    enum { INTO_TARGET, INTO_SOURCE } into;
};

#define JOIN_TIMEOUT_MS 10000

static const char *const into_names[] = {"target", "source", NULL};

static int set_objects(void *where, const char *v, struct err *err)
{
    enum objects_where *w = where;

    if (strcmp(v, "target") != 0 && strcmp(v, "source") != 0)
        return err_set(err, EINVAL, "\"%s\" is none of target, source", v);
    *w = strcmp(v, "source") == 0 ? OBJECTS_SOURCE : OBJECTS_TARGET;
    return 0;
}

static const struct option_def options[] = {
    OPTION_ROWS(struct options, c, source_command_options),
    OPTION_ROWS(struct options, target, target_options),
    OPTION_TEXT("keep", 0, struct options, keep),
    OPTION_FLAG("direct", 0, struct options, direct),
    OPTION_FLAG("join", 0, struct options, join),
    OPTION_DURATION("join-timeout", 0, struct options, join_timeout_ms, 1,
                    "is not a duration; write 500ms, 10s, 5min"),
    OPTION_CHOICE("into", 0, struct options, into, into_names),
    OPTION_CALL("large-objects", 0, struct options, objects, set_objects),
    OPTION_END,
};

static int print_help(void)
{
    printf("Usage: asofs copy [OPTION]... SOURCE TARGET\n"
           "       asofs copy [OPTION]... --join --name=NAME SOURCE TARGET\n"
           "       asofs copy [OPTION]... --into=source SOURCE\n"
           "       asofs copy [OPTION]... --large-objects=source SOURCE\n"
           "Fill the tables of a second database with those of SOURCE as of one moment.\n\n"
           "SOURCE is a libpq connection string, URI or database name, as for psql, or a store.\n"
           "TARGET is one, too, of the database that is filled.\n\n"
           "%s"
           "      --keep=DIR            keep the flat files, as asofs extract writes them\n"
           "      --direct              no files: snapshot workers write into TARGET\n"
           "                            (else --spool holds what is not loaded yet: up to\n"
           "                            --spool-limit; the source waits while it is full)\n"
           "      --join                add workers to the --direct copy NAME that is under way\n"
           "      --join-timeout=TIME   how long to wait until it is (default: 10s)\n"
           "      --into=source         separate tables in schema asofs_NAME of SOURCE itself\n"
           "      --large-objects=WHERE  the files become large objects of the target, or of the\n"
           "                            source, and no tables are filled: target, source\n\n"
           "%s",
           target_help, source_help);
    return fflush(stdout) == 0 ? 0 : 1;
}

struct job {
    struct options *o;
    struct loading *loading;
    struct load_list list;
    struct view *view;
    struct extract_guest guest;
    struct outdir out; /* with --keep */
    bool out_is_open;
    int dir_fd; /* of its files, also when they have their name; -1: none */
};

/* ---- the loading as a guest ---- */

static size_t guest_npolls(void *arg)
{
    return loading_npolls(((struct job *)arg)->loading);
}

static void guest_set_polls(void *arg, struct pollfd *polls)
{
    loading_set_polls(((struct job *)arg)->loading, polls);
}

static int guest_hear(void *arg, const struct pollfd *polls, struct err *err)
{
    return loading_hear(((struct job *)arg)->loading, polls, err);
}

static int guest_work(void *arg, int64_t now, struct err *err)
{
    return loading_work(((struct job *)arg)->loading, now, err);
}

static void guest_chunk(void *arg, size_t table, uint32_t chunk, const struct extract_place *p)
{
    struct loading_place place = {p->fd, p->offset, p->len, p->rows, p->checksum};

    loading_part(((struct job *)arg)->loading, table, chunk, &place);
}

static bool guest_freed(void *arg, size_t *table, uint32_t *chunk)
{
    return loading_freed(((struct job *)arg)->loading, table, chunk);
}

static bool guest_will_free(void *arg)
{
    return loading_will_free(((struct job *)arg)->loading);
}

static bool guest_is_open(void *arg, size_t table)
{
    return loading_is_open(((struct job *)arg)->loading, table);
}

static int open_file(void *arg, size_t table, struct err *err)
{
    struct job *j = arg;
    const char *file = view_tree(j->view)->paths[table];
    int fd = openat(j->dir_fd, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? err_errno(err, "cannot open %s/%s", j->o->keep, file) : fd;
}

/* ---- the list ---- */

static void fill_table(const struct target_options *t, const struct view_facts *f, size_t i,
                       const char *file, struct load_table *to)
{
    const struct pg_table *from = &f->catalog->tables[i];
    size_t k;

    *to = (struct load_table){.schema = mem_strdup(from->rel.schema),
                              .name = mem_strdup(from->rel.name),
                              .target_schema = target_schema_of(t, from->rel.schema),
                              .file = mem_strdup(file),
                              .filter = mem_strdup(from->filter),
                              .ncolumns = from->ncolumns,
                              .nparts = (uint32_t)plan_table_chunks(f->plan, i)};
    to->columns = mem_array(from->ncolumns + 1, sizeof(*to->columns));
    for (k = 0; k < from->ncolumns; k++)
        to->columns[k] = (struct load_column){.name = mem_strdup(from->columns[k].name),
                                              .type = mem_strdup(from->columns[k].type_name),
                                              .inside = mem_strdup(from->columns[k].inside),
                                              .generated = from->columns[k].generated};
}

static int make_list(struct job *j, struct err *err)
{
    struct view_facts f;
    size_t i;

    view_get_facts(j->view, &f);
    j->list = (struct load_list){.n = f.catalog->ntables,
                                 .format = f.format,
                                 .encoding = mem_strdup(f.encoding),
                                 .timezone = mem_strdup(f.timezone),
                                 .lc_monetary = mem_strdup(f.lc_monetary),
                                 .system_identifier = mem_strdup(f.system_identifier),
                                 .server_started = mem_strdup(f.server_started),
                                 .database = mem_strdup(f.database),
                                 .source = mem_strdup(f.source),
                                 .moment = mem_strdup(f.moment),
                                 .lsn = mem_strdup(f.lsn)};
    j->list.tables = mem_array(j->list.n + 1, sizeof(*j->list.tables));
    for (i = 0; i < j->list.n; i++)
        fill_table(&j->o->target, &f, i, view_tree(j->view)->paths[i], &j->list.tables[i]);
    return target_check_list(&j->list, err);
}

/* ---- the pipeline ---- */

static int open_target(struct job *j, struct err *err)
{
    struct view_facts f;
    int rc = 0;

    if (j->loading)
        return 0;
    if (!j->o->target.name && j->view) {
        view_get_facts(j->view, &f);
        rc = target_name(&j->o->target, f.database, err);
    } else if (!j->o->target.name) {
        return 0; /* the name is that of a database that is not known yet */
    } else {
        rc = target_name(&j->o->target, NULL, err);
    }
    return rc < 0 ? rc : loading_open(&j->o->target.request, &j->loading, err);
}

static int freeze(struct job *j, struct err *err)
{
    struct source *source = &j->o->c.source;
    int rc = source_open(source, err);

    if (rc == 0 && source->pageview && j->o->objects == OBJECTS_SOURCE)
        rc = err_set(err, EINVAL, "%s is a store, which takes no large objects", source->place);
    if (rc == 0 && source_shows_several(source))
        rc = err_set(err, EINVAL, "the store holds several databases: name one, --database=NAME");
    return rc < 0 ? rc : source_freeze(source, &j->view, err);
}

static int extract(struct job *j, struct err *err)
{
    if (!j->o->keep)
        return view_extract(j->view, err);
    return view_extract_files(j->view, j->out.fd, j->out.hidden, err);
}

/* All is extracted: nobody changes the results any more. */
static int tell_results(struct job *j, struct err *err)
{
    struct view_facts f;
    size_t i;
    int rc = 0;

    view_get_facts(j->view, &f);
    for (i = 0; i < f.results->n && rc == 0; i++) {
        const struct table_result *r = &f.results->tables[i];

        loading_expect_rows(j->loading, i, r->rows);
        if (r->checksum && !j->o->objects)
            rc = loading_note_checksum(j->loading, i, r->checksum, err);
    }
    return rc;
}

/* The files have their name as soon as they are complete, whatever becomes of the copy. */
static int keep_files(struct job *j, struct err *err)
{
    j->out_is_open = false;
    return j->o->keep ? outdir_publish(&j->out, err) : 0;
}

/* .asofs/, so that the directory can be had back. */
static int store_texts(struct job *j, struct err *err)
{
    const struct tree *t = view_tree(j->view);
    uint32_t i;
    int rc = 0;

    for (i = 0; i < t->n && rc == 0; i++)
        if (t->nodes[i].kind == NODE_META)
            rc = loading_text(j->loading, t->nodes[i].name, view_file(j->view, i), err);
    return rc;
}

static int load_extracted(struct job *j, struct err *err)
{
    int rc = tell_results(j, err);

    if (rc == 0)
        rc = loading_run(j->loading, err);
    if (rc == 0 && j->o->objects)
        rc = store_texts(j, err);
    if (rc == 0)
        rc = loading_publish(j->loading, err);
    if (rc == 0)
        loading_print_summary(j->loading);
    return rc;
}

/* Other hosts may join what makes no files, but for objects. */
static int share_work(struct job *j, struct err *err)
{
    struct view_facts f;
    struct loading_shared s;

    if (!j->o->direct || j->o->objects)
        return 0;
    view_get_facts(j->view, &f);
    s = (struct loading_shared){f.catalog, f.plan, f.snapshot_id};
    return loading_share(j->loading, &s, err);
}

static int keep_and_load(struct job *j, struct err *err)
{
    int rc = keep_files(j, err);

    if (rc < 0)
        return rc;
    rc = load_extracted(j, err);
    if (rc < 0 && j->o->keep && !j->o->objects)
        err_hint(err, "the flat files are in %s: asofs load takes them", j->o->keep);
    return rc;
}

static int copy(struct job *j, struct err *err)
{
    int rc = j->o->objects == OBJECTS_SOURCE ? 0 : open_target(j, err);

    if (rc == 0)
        rc = freeze(j, err);
    if (rc == 0)
        rc = open_target(j, err);
    if (rc == 0)
        rc = make_list(j, err);
    if (rc == 0)
        rc = loading_begin(j->loading, &j->list, err);
    if (rc == 0)
        rc = share_work(j, err);
    if (rc == 0)
        j->guest.direct = loading_direct(j->loading);
    if (rc == 0)
        rc = extract(j, err);
    if (rc < 0)
        return rc;
    source_release(&j->o->c.source);
    return keep_and_load(j, err);
}

static int open_keep(struct job *j, struct err *err)
{
    int rc;

    if (!j->o->keep)
        return 0;
    rc = outdir_open(&j->out, j->o->keep, err);
    if (rc < 0)
        return rc;
    j->out_is_open = true;
    j->dir_fd = fcntl(j->out.fd, F_DUPFD_CLOEXEC, 0);
    return j->dir_fd < 0 ? err_errno(err, "cannot keep a directory open") : 0;
}

static int run_copy(struct options *o)
{
    struct job j = {.o = o,
                    .dir_fd = -1,
                    .guest = {.npolls = guest_npolls,
                              .set_polls = guest_set_polls,
                              .hear = guest_hear,
                              .work = guest_work,
                              .chunk = guest_chunk,
                              .freed = guest_freed,
                              .will_free = guest_will_free,
                              .is_open = guest_is_open,
                              .arg = &j,
                              .wants_schema = o->objects != OBJECTS_NONE,
                              .wants_checksums = o->objects != OBJECTS_NONE}};
    struct loading_request *req = &o->target.request;
    struct progress progress;
    struct stop stop;
    struct err err;
    int rc = stop_open(&stop, &err);

    o->c.source.request.stop_fd = req->stop_fd = stop.fd;
    o->c.source.request.guest = &j.guest;
    req->direct = o->direct;
    req->quiet = o->c.source.request.quiet;
    req->worker_timeout_ms = o->c.source.request.worker_timeout_ms;
    req->lock_timeout_ms = o->c.source.request.lock_timeout_ms;
    req->open_file = open_file;
    req->arg = &j;
    req->progress = &progress;
    progress_start(&progress, req->quiet);
    if (rc == 0)
        rc = open_keep(&j, &err);
    if (rc == 0)
        rc = copy(&j, &err);
    if (rc < 0)
        log_error("%s", err.text);
    loading_close(j.loading);
    view_free(j.view);
    source_close(&o->c.source);
    if (j.out_is_open)
        outdir_abandon(&j.out);
    if (j.dir_fd >= 0)
        close(j.dir_fd);
    load_list_free(&j.list);
    stop_close(&stop, true);
    return rc < 0;
}

/* What is about tables. */
static const char *useless_with_objects(const struct options *o)
{
    return o->target.schema                         ? "--target-schema"
           : o->target.request.mode != LOADING_SWAP ? "--publish"
           : o->target.create != CREATE_MISSING     ? "--create"
           : o->target.request.unlogged             ? "--unlogged"
                                                    : NULL;
}

/* Options that exclude each other. */
static int check(const struct options *o)
{
    const char *useless = o->objects ? useless_with_objects(o) : NULL;
    struct err err;

    if (target_check(&o->target, &err) < 0)
        return usage_error("copy", &err);
    if (useless) {
        err_set(&err, EINVAL, "--large-objects fills no tables: %s does not go with it", useless);
        return usage_error("copy", &err);
    }
    if (!o->direct)
        return 0;
    if (o->keep)
        err_set(&err, EINVAL, "--direct makes no files: --keep does not go with it");
    else if (o->c.source.request.format != PG_FORMAT_CSV && !o->objects)
        err_set(&err, EINVAL, "--direct makes no files: --format does not go with it");
    else
        return 0;
    return usage_error("copy", &err);
}

static bool is_alone(const void *target)
{
    const struct options *o = target;

    return o->into == INTO_SOURCE || o->objects == OBJECTS_SOURCE;
}

static int copy_into_source(struct options *o)
{
    struct err err;

    if (into_source_check(&o->c.source, &o->target,
                          o->keep      ? "--keep"
                          : o->direct  ? "--direct"
                          : o->objects ? "--large-objects"
                                       : NULL,
                          &err) < 0)
        return usage_error("copy", &err);
    return into_source(&o->c.source, &o->target);
}

static int join_running(struct options *o, char **operands)
{
    const char *other = o->keep                  ? "--keep"
                        : o->into == INTO_SOURCE ? "--into"
                        : o->objects             ? "--large-objects"
                        : o->c.dry_run           ? "--dry-run"
                                                 : NULL;
    struct err err;

    if (join_check(&o->c.source, &o->target, other, &err) < 0)
        return usage_error("copy", &err);
    target_take(&o->target, operands[1]);
    return join_copy(&o->c.source, &o->target, o->join_timeout_ms);
}

/* The tables of schema asofs, in which the objects are found, are not copied themselves. */
static int begin_objects(struct options *o)
{
    o->target.request.mode = LOADING_OBJECTS;
    if (o->objects == OBJECTS_SOURCE)
        o->target.request.target = mem_strdup(o->c.source.place);
    return run_copy(o);
}

int cmd_copy(int argc, char **argv)
{
    static const struct source_command_def def = {"copy",     options, false, "SOURCE and TARGET",
                                                  print_help, is_alone};
    struct options o = {.join_timeout_ms = JOIN_TIMEOUT_MS};
    char *operands[2];
    int status;

    source_init(&o.c.source);
    target_init(&o.target);
    if (source_command_parse(&o.c, &def, &o, argc, argv, operands, &status)) {
        source_command_begin(&o.c, operands[0]);
        if (o.join) {
            status = join_running(&o, operands);
        } else if (o.c.dry_run) {
            status = source_dry_run(&o.c.source);
        } else if (o.into == INTO_SOURCE) {
            status = copy_into_source(&o);
        } else if ((status = check(&o)) == 0) {
            if (o.objects != OBJECTS_SOURCE)
                target_take(&o.target, operands[1]);
            status = o.objects ? begin_objects(&o) : run_copy(&o);
        }
    }
    source_free(&o.c.source);
    target_free(&o.target);
    free(o.keep);
    return status;
}
