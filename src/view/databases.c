/*
 * A database that is done costs what its view costs: the catalog, the spool's descriptors, its
 * texts in memory. Only one at a time has connections and workers, so the private server need not
 * be larger for many databases.
 */
#include "view/databases.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/escape.h"
#include "common/log.h"
#include "common/mem.h"
#include "view/internal.h"

struct database {
    struct snapshot_request request;
    struct snapshot_shown shown;
    const char *name; /* borrowed from the page view */
    char *dir;        /* the name, escaped */
    char *shown_source;
};

struct databases {
    struct database *all; /* sorted by dir */
    size_t n;
};

static int by_dir(const void *a, const void *b)
{
    const struct database *x = a, *y = b;

    return strcmp(x->dir, y->dir);
}

static void add_database(struct databases *d, const struct databases_request *r, const char *name)
{
    struct moment_shown shown = pageview_shown(r->page);
    struct database *b = &d->all[d->n++];

    b->name = name;
    b->dir = escape_name(name);
    b->shown_source = mem_printf("%s of %s", name, r->store);
    b->shown = (struct snapshot_shown){.unix_us = shown.time_us, .lsn = shown.lsn};
    b->request = *r->request;
    b->request.recalled = r->recalled ? remembered_find(r->recalled, name) : NULL;
    b->request.source = r->recalled ? NULL : pageview_source(r->page, name);
    b->request.may_miss = true;
    b->request.pages = false; /* they are of all together */
}

/* What they point at is known once they have their place. */
static void point_at_shown(struct databases *d)
{
    size_t i;

    for (i = 0; i < d->n; i++) {
        d->all[i].shown.source = d->all[i].shown_source;
        d->all[i].request.shown = &d->all[i].shown;
    }
}

static void note_omitted(const struct pg_omitted *omitted)
{
    const struct pg_omitted *o;

    for (o = omitted; o->name; o++)
        log_note("the database \"%s\" is left out: %s", o->name, o->why);
}

static int open_databases(const struct databases_request *r, struct databases *d, struct err *err)
{
    char *const *names = r->recalled ? r->recalled->names : pageview_databases(r->page);
    size_t n = 0;

    *d = (struct databases){0};
    note_omitted(r->recalled ? r->recalled->omitted : pageview_omitted(r->page));
    while (names[n])
        n++;
    if (!n)
        return err_set(err, ENOENT, "the cluster has no database at that moment that can be shown");
    d->all = mem_array(n, sizeof(*d->all));
    for (; *names; names++)
        add_database(d, r, *names);
    qsort(d->all, d->n, sizeof(*d->all), by_dir);
    point_at_shown(d);
    return 0;
}

static void close_databases(struct databases *d)
{
    size_t i;

    for (i = 0; i < d->n; i++) {
        free((char *)(uintptr_t)d->all[i].request.source);
        free(d->all[i].shown_source);
        free(d->all[i].dir);
    }
    free(d->all);
}

static int in_database(const struct database *b, struct err *err)
{
    return err_prefix(err, "database \"%s\"", b->name);
}

static int freeze_one(struct database *b, bool looking, struct snapshot **s, struct err *err)
{
    b->request.looking = looking;
    return snapshot_freeze(&b->request, s, err) < 0 ? in_database(b, err) : 0;
}

/* ---- entries that match nothing anywhere ---- */

static void count_missed(const struct snapshot *s, size_t *missed)
{
    const struct pg_catalog *c = s->catalog;
    size_t i;

    for (i = 0; i < c->nmissed; i++)
        if (c->missed[i] < s->req.tables.n)
            missed[c->missed[i]]++;
}

static int refuse_missed(const struct databases *d, const struct tablelist *l, const size_t *missed,
                         struct err *err)
{
    size_t *numbers = mem_array(l->n, sizeof(*numbers)), n = 0, i;
    int rc;

    for (i = 0; i < l->n; i++)
        if (missed[i] == d->n)
            numbers[n++] = i;
    rc = pg_refuse_missed("no table of any database matches", l->entries, numbers, n, err);
    free(numbers);
    return rc;
}

/* Every database is looked at before the first is extracted, which can take long: entries that
 * match nowhere, tables that cannot be taken, types and encodings. */
static int check_databases(struct databases *d, const struct tablelist *l, struct err *err)
{
    size_t *missed = mem_array(l->n, sizeof(*missed)), i;
    struct snapshot *s;
    int rc = 0;

    for (i = 0; i < d->n && (l->n || d->n > 1) && rc == 0; i++) {
        rc = freeze_one(&d->all[i], true, &s, err);
        if (rc < 0)
            break;
        count_missed(s, missed);
        snapshot_free(s);
    }
    if (rc == 0)
        rc = refuse_missed(d, l, missed, err);
    free(missed);
    return rc;
}

/* ---- extraction ---- */

static void add_spool_use(const struct snapshot *s, uint64_t *bytes, size_t *own_files)
{
    const struct results *r = snapshot_results(s);
    size_t t;

    for (t = 0; t < r->n; t++) {
        *bytes += r->tables[t].bytes;
        *own_files += r->tables[t].file && flatfile_fd(r->tables[t].file) >= 0;
    }
}

/* What is left for the next of n databases by the view's members. 0 would be "no limit". */
static void share_out(struct snapshot_request *req, size_t n, const struct view *v)
{
    size_t used_files = n * (req->jobs + 1), k; /* spools stay open */
    uint64_t used_bytes = 0;

    for (k = 0; k < v->n; k++)
        add_spool_use(v->members[k].snapshot, &used_bytes, &used_files);
    if (req->spool_limit)
        req->spool_limit = used_bytes < req->spool_limit ? req->spool_limit - used_bytes : 1;
    req->own_files = used_files < req->own_files ? req->own_files - used_files : 0;
}

struct place { /* where plain files go; dir_fd -1: into the spool */
    int dir_fd;
    const char *spool_dir;
};

static int extract_files(struct view *v, const char *dir, const struct place *p, struct err *err)
{
    int rc, fd;

    if (mkdirat(p->dir_fd, dir, 0777) < 0)
        return err_errno(err, "cannot create %s", dir);
    fd = openat(p->dir_fd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "cannot open %s", dir);
    rc = view_extract_files(v, fd, p->spool_dir, err);
    close(fd);
    return rc;
}

static int extract_one(struct database *b, const struct place *p, struct view *v, struct err *err)
{
    struct snapshot *s;
    int rc = freeze_one(b, false, &s, err);

    if (rc < 0)
        return rc;
    view_add(v, s);
    log_debug("extracting the database \"%s\"", b->name);
    rc = p->dir_fd < 0 ? view_extract(v, err) : extract_files(v, b->dir, p, err);
    return rc < 0 ? in_database(b, err) : 0;
}

static void join_members(const struct databases *d, struct view *v, bool pages)
{
    char **dirs = mem_array(d->n, sizeof(*dirs));
    size_t i;

    for (i = 0; i < d->n; i++)
        dirs[i] = d->all[i].dir;
    view_join(v, dirs, pages);
    free(dirs);
}

static int extract_each(const struct databases_request *r, struct databases *d,
                        const struct place *p, struct view *v, struct err *err)
{
    int rc = check_databases(d, &r->request->tables, err);
    size_t i;

    for (i = 0; i < d->n && rc == 0; i++) {
        share_out(&d->all[i].request, d->n, v);
        rc = extract_one(&d->all[i], p, v, err);
    }
    if (rc == 0)
        join_members(d, v, r->request->pages);
    return rc;
}

static int extract_all(const struct databases_request *r, const struct place *p, struct view **view,
                       struct err *err)
{
    struct databases d;
    struct view *v;
    int rc = open_databases(r, &d, err);

    if (rc < 0)
        return rc;
    v = view_new(r->store, d.n);
    rc = extract_each(r, &d, p, v, err);
    close_databases(&d);
    if (rc < 0)
        view_free(v);
    else
        *view = v;
    return rc;
}

int databases_extract(const struct databases_request *r, struct view **v, struct err *err)
{
    struct place p = {.dir_fd = -1};

    return extract_all(r, &p, v, err);
}

int databases_extract_files(const struct databases_request *r, int dir_fd, const char *spool_dir,
                            struct view **v, struct err *err)
{
    struct place p = {dir_fd, spool_dir};
    int rc = extract_all(r, &p, v, err);

    if (rc == 0) {
        struct timespec times[2] = {view_time(*v), view_time(*v)};

        futimens(dir_fd, times);
    }
    return rc;
}

/* ---- the plan ---- */

static int print_one(struct database *b, bool first, FILE *out, struct err *err)
{
    struct snapshot *s;
    int rc = freeze_one(b, false, &s, err);

    if (rc < 0)
        return rc;
    fprintf(out, "%s%s:\n", first ? "" : "\n", b->dir);
    snapshot_print_plan(s, out);
    snapshot_free(s);
    return 0;
}

int databases_print_plan(const struct databases_request *r, FILE *out, struct err *err)
{
    struct databases d;
    size_t i;
    int rc = open_databases(r, &d, err);

    if (rc < 0)
        return rc;
    rc = check_databases(&d, &r->request->tables, err);
    for (i = 0; i < d.n && rc == 0; i++)
        rc = print_one(&d.all[i], i == 0, out, err);
    close_databases(&d);
    return rc;
}
