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

#include "common/clock.h"
#include "common/escape.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/units.h"
#include "view/internal.h"

struct member {
    struct view_request request;
    struct view_shown shown;
    const char *database; /* borrowed from the page view */
    char *dir;            /* its name, escaped */
    char *shown_source;
    struct view *view;
};

struct cluster {
    struct member *members; /* sorted by dir */
    uint32_t *first;        /* tree_join */
    size_t n;
    int64_t started;
};

/* ---- what view.h asks ---- */

/* The root is the first one's: a directory is like another. */
struct view *cluster_member(const struct view *v, uint32_t *node)
{
    uint32_t k = v->tree.nodes[*node].member, first = v->cluster->first[k];

    *node = *node < first ? 0 : *node - first + 1;
    return v->cluster->members[k].view;
}

struct view *cluster_first(const struct view *v)
{
    return v->cluster->members[0].view;
}

void cluster_free(struct view *v)
{
    struct cluster *c = v->cluster;
    size_t i;

    for (i = 0; i < c->n; i++) {
        struct member *m = &c->members[i];

        view_free(m->view);
        free((char *)(uintptr_t)m->request.source);
        free(m->shown_source);
        free(m->dir);
    }
    free(c->members);
    free(c->first);
    free(c);
    tree_free(&v->tree);
    free(v->source);
    free(v);
}

/* ---- the databases ---- */

static int by_dir(const void *a, const void *b)
{
    const struct member *x = a, *y = b;

    return strcmp(x->dir, y->dir);
}

static void add_member(struct cluster *c, const struct cluster_request *r, const char *database)
{
    struct page_shown shown = page_view_shown(r->page);
    struct member *m = &c->members[c->n++];

    m->database = database;
    m->dir = escape_name(database);
    m->shown_source = mem_printf("%s of %s", database, r->store);
    m->shown = (struct view_shown){.unix_us = shown.time_us, .lsn = shown.lsn};
    m->request = *r->request;
    m->request.source = page_view_source(r->page, database);
    m->request.may_miss = true;
    m->request.pages = false; /* they are of all together */
}

/* What members point at is known once they have their place. */
static void point(struct cluster *c)
{
    size_t i;

    for (i = 0; i < c->n; i++) {
        c->members[i].shown.source = c->members[i].shown_source;
        c->members[i].request.shown = &c->members[i].shown;
    }
}

static void note_omitted(const struct page_view *page)
{
    const struct pg_omitted *o;

    for (o = page_view_omitted(page); o->name; o++)
        log_note("the database \"%s\" is left out: %s", o->name, o->why);
}

static int open_cluster(const struct cluster_request *r, struct view **v, struct err *err)
{
    char *const *names = page_view_databases(r->page);
    struct cluster *c;
    size_t n = 0;

    note_omitted(r->page);
    while (names[n])
        n++;
    if (!n)
        return err_set(err, ENOENT, "the cluster has no database at that moment that can be shown");
    c = mem_alloc(sizeof(*c));
    c->started = clock_ms();
    c->members = mem_array(n, sizeof(*c->members));
    c->first = mem_array(n, sizeof(*c->first));
    for (; *names; names++)
        add_member(c, r, *names);
    qsort(c->members, c->n, sizeof(*c->members), by_dir);
    point(c);
    *v = mem_alloc(sizeof(**v));
    (*v)->cluster = c;
    (*v)->source = mem_strdup(r->store);
    return 0;
}

static int in_database(const struct member *m, struct err *err)
{
    return err_prefix(err, "database \"%s\"", m->database);
}

static int freeze_member(struct member *m, bool looking, struct err *err)
{
    m->request.looking = looking;
    return view_freeze(&m->request, &m->view, err) < 0 ? in_database(m, err) : 0;
}

/* ---- entries that match nothing anywhere ---- */

static void count_missed(const struct view *v, size_t *missed)
{
    const struct pg_catalog *c = v->catalog;
    size_t i;

    for (i = 0; i < c->nmissed; i++)
        if (c->missed[i] < v->req->tables.n)
            missed[c->missed[i]]++;
}

static int refuse_missed(const struct cluster *c, const struct tablelist *l, const size_t *missed,
                         struct err *err)
{
    size_t *numbers = mem_array(l->n, sizeof(*numbers)), n = 0, i;
    int rc;

    for (i = 0; i < l->n; i++)
        if (missed[i] == c->n)
            numbers[n++] = i;
    rc = pg_refuse_missed("no table of any database matches", l->entries, numbers, n, err);
    free(numbers);
    return rc;
}

/* Every database is looked at before the first is extracted, which can take long: entries that
 * match nowhere, tables that cannot be taken, types and encodings. */
static int check_all(struct cluster *c, const struct tablelist *l, struct err *err)
{
    size_t *missed = mem_array(l->n, sizeof(*missed)), i;
    int rc = 0;

    for (i = 0; i < c->n && (l->n || c->n > 1) && rc == 0; i++) {
        struct member *m = &c->members[i];

        rc = freeze_member(m, true, err);
        if (rc == 0)
            count_missed(m->view, missed);
        view_free(m->view);
        m->view = NULL;
    }
    if (rc == 0)
        rc = refuse_missed(c, l, missed, err);
    free(missed);
    return rc;
}

/* ---- extraction ---- */

static void add_up(const struct view *v, uint64_t *bytes, size_t *own_files)
{
    const struct results *r = view_results(v);
    size_t t;

    for (t = 0; t < r->n; t++) {
        *bytes += r->tables[t].bytes;
        *own_files += r->tables[t].own_fd >= 0;
    }
}

/* What is left for database i by those before it. 0 would be "no limit". */
static void share_out(struct cluster *c, size_t i)
{
    struct view_request *req = &c->members[i].request;
    size_t used_files = c->n * (req->jobs + 1), k; /* spools stay open */
    uint64_t used_bytes = 0;

    for (k = 0; k < i; k++)
        add_up(c->members[k].view, &used_bytes, &used_files);
    if (req->spool_limit)
        req->spool_limit = used_bytes < req->spool_limit ? req->spool_limit - used_bytes : 1;
    req->own_files = used_files < req->own_files ? req->own_files - used_files : 0;
}

struct place { /* where plain files go; dir_fd -1: into the spool */
    int dir_fd;
    const char *spool_dir;
};

static int extract_files(struct member *m, const struct place *p, struct err *err)
{
    int rc, fd;

    if (mkdirat(p->dir_fd, m->dir, 0777) < 0)
        return err_errno(err, "cannot create %s", m->dir);
    fd = openat(p->dir_fd, m->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_errno(err, "cannot open %s", m->dir);
    rc = view_extract_files(m->view, fd, p->spool_dir, err);
    close(fd);
    return rc;
}

static int extract_member(struct member *m, const struct place *p, struct err *err)
{
    int rc = freeze_member(m, false, err);

    if (rc < 0)
        return rc;
    log_debug("extracting the database \"%s\"", m->database);
    rc = p->dir_fd < 0 ? view_extract(m->view, err) : extract_files(m, p, err);
    return rc < 0 ? in_database(m, err) : 0;
}

static void join(struct view *v, bool pages)
{
    struct cluster *c = v->cluster;
    const struct tree **trees = mem_array(c->n, sizeof(*trees));
    char **dirs = mem_array(c->n, sizeof(*dirs));
    size_t i;

    for (i = 0; i < c->n; i++) {
        trees[i] = &c->members[i].view->tree;
        dirs[i] = c->members[i].dir;
    }
    tree_join(&v->tree, trees, dirs, c->n, pages, c->first);
    free(trees);
    free(dirs);
}

static int extract_all(const struct cluster_request *r, const struct place *p, struct view **view,
                       struct err *err)
{
    struct view *v;
    size_t i;
    int rc = open_cluster(r, &v, err);

    if (rc < 0)
        return rc;
    rc = check_all(v->cluster, &r->request->tables, err);
    for (i = 0; i < v->cluster->n && rc == 0; i++) {
        share_out(v->cluster, i);
        rc = extract_member(&v->cluster->members[i], p, err);
    }
    if (rc < 0) {
        view_free(v);
        return rc;
    }
    join(v, r->request->pages);
    *view = v;
    return 0;
}

int cluster_extract(const struct cluster_request *r, struct view **v, struct err *err)
{
    struct place p = {.dir_fd = -1};

    return extract_all(r, &p, v, err);
}

int cluster_extract_files(const struct cluster_request *r, int dir_fd, const char *spool_dir,
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

/* ---- words ---- */

int cluster_print_plan(const struct cluster_request *r, FILE *out, struct err *err)
{
    struct view *v;
    size_t i;
    int rc = open_cluster(r, &v, err);

    if (rc < 0)
        return rc;
    rc = check_all(v->cluster, &r->request->tables, err);
    for (i = 0; i < v->cluster->n && rc == 0; i++) {
        struct member *m = &v->cluster->members[i];

        rc = freeze_member(m, false, err);
        if (rc < 0)
            break;
        fprintf(out, "%s%s:\n", i ? "\n" : "", m->dir);
        view_print_plan(m->view, out);
        view_free(m->view);
        m->view = NULL;
    }
    view_free(v);
    return rc;
}

void cluster_print_summary(const struct view *v, const char *what)
{
    const struct cluster *c = v->cluster;
    size_t i, t, tables = 0, failed = 0, ignored = 0;
    uint64_t bytes = 0;
    char size[32];

    if (!c) {
        view_print_summary(v, what);
        return;
    }
    for (i = 0; i < c->n; i++) {
        const struct results *r = view_results(c->members[i].view);

        tables += r->n;
        add_up(c->members[i].view, &bytes, &ignored);
        for (t = 0; t < r->n; t++)
            failed += r->tables[t].state == TABLE_FAILED;
    }
    log_note("%s: %zu database%s, %zu table%s, %s, as of %s (extracted in %.2f s)", what, c->n,
             units_s(c->n), tables, units_s(tables), units_format_size(bytes, size, sizeof(size)),
             cluster_first(v)->moment.time, (double)(clock_ms() - c->started) / 1000);
    if (failed)
        log_note("%s: %zu table%s failed; .asofs/errors of each database says why", what, failed,
                 units_s(failed));
}
