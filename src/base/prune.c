#include "base/prune.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "store/walreach.h"
#include "replay/livefreeze.h"
#include "replay/making.h"
#include "base/place.h"

struct pruning {
    const struct pruning_request *req;
    struct store *s;
    char **ids; /* of bases, oldest first */
    struct prune_base *bases;
    char **directories; /* by base: where it stands */
    char **views;       /* by base: one that stands on it, or NULL */
    size_t n;
    struct wal_list log;
    uint64_t wal_from; /* 0: all of it is needed */
    uint64_t freed;
};

static void forget(struct pruning *p)
{
    size_t i;

    for (i = 0; i < p->n; i++) {
        free(p->directories[i]);
        free(p->views[i]);
    }
    free(p->directories);
    free(p->views);
    free(p->bases);
    store_names_free(p->ids);
    wal_free(&p->log);
    p->directories = p->views = p->ids = NULL;
    p->bases = NULL;
    p->n = 0;
}

/* ---- looking ---- */

/* Of a base whose own moment is not known: the log says when it was consistent at the latest. */
static int time_in_wal(const struct pruning *p, const struct store_base_facts *f, int64_t *time,
                       struct err *err)
{
    const struct wal_way way = {.list = &p->log,
                                .dir = store_wal_directory(p->s),
                                .system = store_cluster(p->s)->system_identifier,
                                .timeline = f->timeline,
                                .from = f->consistent_lsn,
                                .before = UINT64_MAX};
    int64_t us = 0;
    int rc = f->consistent_lsn ? wal_first_time(&way, &us, err) : 0;

    *time = us ? us / 1000000 + 1 : 0;
    return rc;
}

/* One that is to be dropped with its view. */
static bool goes_with_view(const struct pruning *p, const char *id)
{
    uint64_t number;
    char *view;
    bool goes = store_is_frozen(p->s, id, &number, &view, NULL) == 1 && view;

    free(view);
    return goes;
}

/* The index of the base that a layer lies on; -1: it is none. */
static int find_below(const struct pruning *p, size_t i, const struct store_base *b)
{
    size_t k;

    if (!b->n_layers)
        return -1;
    for (k = 0; k < i; k++)
        if (b->n_layers > 1 ? strcmp(p->bases[k].id, b->layer_ids[b->n_layers - 2]) == 0
                            : p->bases[k].below < 0 && strcmp(p->directories[k], b->directory) == 0)
            return (int)k;
    return -1;
}

/* A freeze that was given up cannot be opened: no layer is told to lie on it. */
static void take_lost(struct pruning *p, size_t i)
{
    p->bases[i].lost = p->bases[i].frozen = true;
    p->bases[i].below = -1;
    p->directories[i] = mem_strdup("");
}

static int look_at_base(struct pruning *p, size_t i, struct err *err)
{
    struct prune_base *base = &p->bases[i];
    bool lost = store_is_lost(p->s, p->ids[i]);
    struct store_base b;
    int rc;

    base->id = p->ids[i];
    rc = store_base_facts(p->s, base->id, &base->facts, err);
    if (rc == 0 && !lost)
        rc = store_open_base(p->s, base->id, &b, err);
    if (rc < 0)
        return err_hint(err, "Nothing is removed from a store that is not understood.");
    if (lost) {
        take_lost(p, i);
        return 0;
    }
    p->directories[i] = mem_strdup(b.directory);
    base->below = find_below(p, i, &b);
    base->frozen = b.is_frozen;
    base->with_view = goes_with_view(p, base->id);
    base->first_time = base->facts.consistent_time;
    if (!base->first_time && p->log.n)
        rc = time_in_wal(p, &base->facts, &base->first_time, err);
    store_close_base(&b);
    return rc;
}

static int look_at_bases(struct pruning *p, struct err *err)
{
    size_t i, n = 0;
    int rc = store_bases(p->s, &p->ids, err);

    if (rc < 0)
        return rc;
    while (p->ids[n])
        n++;
    p->bases = mem_array(n, sizeof(*p->bases));
    p->directories = mem_array(n, sizeof(*p->directories));
    p->views = mem_array(n, sizeof(*p->views));
    p->n = n;
    for (i = 0; i < n && rc == 0; i++)
        rc = look_at_base(p, i, err);
    return rc;
}

static void pin(struct pruning *p, const char *base, const char *view)
{
    size_t i;

    for (i = 0; i < p->n; i++) {
        if (strcmp(p->bases[i].id, base) != 0)
            continue;
        p->bases[i].has_view = true;
        if (!p->views[i])
            p->views[i] = mem_strdup(view);
    }
}

static int look_at_views(struct pruning *p, struct err *err)
{
    char **views, **v, *base = NULL;
    int rc = store_views(p->s, &views, err);

    if (rc < 0)
        return rc;
    for (v = views; *v && rc == 0; v++) {
        rc = store_read_view(p->s, *v, &base, err);
        if (rc == 0) {
            pin(p, base, *v);
            free(base);
        } else if (!store_has_view(p->s, *v)) {
            rc = 0; /* it is gone by now */
        }
    }
    store_names_free(views);
    return rc;
}

/* Ours to prune, and there. */
static bool has_wal(const struct pruning *p)
{
    const struct store_cluster *c = store_cluster(p->s);

    return c && !c->log;
}

static int look_at_wal(struct pruning *p, struct err *err)
{
    const struct store_cluster *c = store_cluster(p->s);
    int rc;

    p->log = (struct wal_list){.segment_bytes = c ? c->segment_bytes : 1u << 24};
    if (!c)
        return 0;
    rc = wal_read(store_wal_directory(p->s), c->segment_bytes, &p->log, err);
    return rc == -ENOENT ? 0 : rc;
}

static int look_at_all(struct pruning *p, struct err *err)
{
    int rc = look_at_wal(p, err);

    if (rc == 0)
        rc = look_at_bases(p, err);
    if (rc == 0)
        rc = making_check_none(p->s, err);
    if (rc == 0) /* last: what was being made before is a view now, or on a base that is needed */
        rc = look_at_views(p, err);
    if (rc == 0)
        p->wal_from = prune_decide(p->bases, p->n, &p->log, p->req->keep_from);
    return rc;
}

/* ---- doing ---- */

static void tell_pruning(const struct pruning *p, struct pruning_news news)
{
    p->req->tell(p->req->arg, &news);
}

static void tell_kept(const struct pruning *p)
{
    size_t i;

    for (i = 0; i < p->n; i++) {
        const struct prune_base *b = &p->bases[i];

        if (b->why == PRUNE_VIEW || b->why == PRUNE_BELOW || b->why == PRUNE_PLAIN)
            tell_pruning(
                p, (struct pruning_news){
                       .event = PRUNING_KEPT, .base = b->id, .why = b->why, .view = p->views[i]});
    }
}

static int remove_base(struct pruning *p, const char *id, struct err *err)
{
    char *path = mem_printf("base/%s", id);
    uint64_t bytes = place_bytes(p->s, path);
    int rc = p->req->dry_run ? 0 : livefreeze_drop(p->s, id, err);

    if (rc == 0) {
        p->freed += bytes;
        tell_pruning(p, (struct pruning_news){.event = PRUNING_BASE, .base = id, .bytes = bytes});
    } else if (rc == -EBUSY) {
        tell_pruning(p, (struct pruning_news){.event = PRUNING_BUSY, .refusal = err->text});
        rc = 0;
    }
    free(path);
    return rc;
}

/* The newest first: a layer goes before what it lies on. */
static int remove_bases(struct pruning *p, struct err *err)
{
    size_t i = p->n;
    int rc = 0;

    while (i-- > 0 && rc == 0)
        if (p->bases[i].why == PRUNE_REMOVE)
            rc = remove_base(p, p->bases[i].id, err);
    return rc;
}

/* A whole segment and one that was left partial can have the same name. */
static int remove_segment(struct pruning *p, const char *name, uint64_t *bytes, struct err *err)
{
    static const char *const ends[] = {"", ".partial"};
    struct stat st;
    size_t i;
    int rc = 0;

    for (i = 0; i < 2 && rc == 0; i++) {
        char *path = mem_printf("%s/%s%s", store_wal_directory(p->s), name, ends[i]);

        if (lstat(path, &st) == 0) {
            if (!p->req->dry_run && unlink(path) < 0)
                rc = err_errno(err, "cannot remove %s", path);
            else
                *bytes += (uint64_t)st.st_blocks * 512;
        }
        free(path);
    }
    return rc;
}

/* Oldest first: what is left after a failure has no gap. */
static int remove_wal(struct pruning *p, struct err *err)
{
    char first[25] = "", last[25] = "", name[25];
    uint64_t bytes = 0, n = 0;
    size_t i;
    int rc = 0;

    for (i = 0; i < p->log.n && rc == 0 && prune_segment(&p->log, i, p->wal_from); i++) {
        const struct wal_segment *g = &p->log.segments[i];

        wal_segment_name(g->timeline, g->number, p->log.segment_bytes, name);
        rc = remove_segment(p, name, &bytes, err);
        if (rc == 0)
            strcpy(n++ ? last : first, name);
    }
    if (n)
        tell_pruning(p, (struct pruning_news){.event = PRUNING_LOG,
                                              .segments = n,
                                              .first = first,
                                              .last = n > 1 ? last : first,
                                              .bytes = bytes});
    p->freed += bytes;
    return rc;
}

static int prune_wal(struct pruning *p, struct err *err)
{
    const struct store_cluster *c = store_cluster(p->s);
    int rc;

    if (c && c->log)
        tell_pruning(p, (struct pruning_news){.event = PRUNING_ELSEWHERE, .log = c->log});
    if (!has_wal(p))
        return 0;
    if (p->req->dry_run)
        return remove_wal(p, err);
    forget(p);
    rc = look_at_all(p, err);
    return rc == 0 ? remove_wal(p, err) : rc;
}

int pruning_run(const struct pruning_request *req, uint64_t *freed, struct err *err)
{
    struct pruning p = {.req = req, .s = req->store};
    int rc = look_at_all(&p, err);

    if (rc == 0) {
        tell_kept(&p);
        rc = remove_bases(&p, err);
    }
    if (rc == 0)
        rc = prune_wal(&p, err);
    *freed = p.freed;
    forget(&p);
    return rc;
}
