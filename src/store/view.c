#include "store/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"

struct store_view {
    struct store_base base;
    struct disk *layer;
    struct datadir *datadir;
    int lock, parent_lock; /* parent_lock: of the view below, shared; -1: there is none */
};

bool store_has_view(struct store *s, const char *name)
{
    return store_is_view_name(name) && store_is_there(s, "view", name);
}

static int require_view(struct store *s, const char *name, struct err *err)
{
    int rc = store_check_view_name(name, err);

    if (rc == 0 && !store_is_there(s, "view", name))
        rc = err_set(err, ENOENT, "%s has no view %s", s->path, name);
    return rc;
}

/* It is there, and this is its description, for store_description_free. */
static int load_view(struct store *s, const char *name, struct store_description *d,
                     struct err *err)
{
    char *path = mem_printf("view/%s/view.json", name);
    int rc = require_view(s, name, err);

    if (rc == 0)
        rc = store_load_description(s, VIEW_JSON, path, d, err);
    free(path);
    return rc;
}

int store_read_view(struct store *s, const char *name, char **base, struct err *err)
{
    struct store_description d = {0};
    int rc = load_view(s, name, &d, err);

    *base = mem_strdup(d.base);
    store_description_free(&d);
    return rc;
}

int store_view_disk(struct store *s, const char *name, struct disk **d, struct err *err)
{
    char *path = mem_printf("view/%s", name);
    int rc;

    *d = NULL;
    rc = require_view(s, name, err);
    if (rc == 0)
        rc = store_open_disk(s, path, d, err);
    free(path);
    return rc;
}

/* ---- what lies below a view ---- */

/* A view is a layer only when nothing changes in it any more. One on another is not: it is there to
 * be read once. */
static int check_layer_view(const struct store *s, const char *name,
                            const struct store_description *d, struct err *err)
{
    if (strcmp(d->state, "complete") != 0)
        return err_set(err, EINVAL, "view %s of %s is not complete: no view can stand on it", name,
                       s->path);
    if (d->parent)
        return err_set(err, EINVAL, "view %s of %s stands on another view: no view can stand on it",
                       name, s->path);
    return 0;
}

/* The layer of a view on top of its base. */
static int add_view_layer(struct store *s, struct store_base *b, const char *name, struct err *err)
{
    int rc;

    if (b->n_layers >= DATADIR_LAYERS - 1)
        return err_set(err, ENOTSUP, "base %s of %s has too many layers for a view on view %s",
                       b->id, s->path, name);
    rc = store_view_disk(s, name, &b->layers[b->n_layers], err);
    if (rc == 0)
        b->layer_ids[b->n_layers++] = mem_printf(STORE_OVER_VIEW "%s", name);
    return rc;
}

static int open_view_as_base(struct store *s, const char *name, struct store_base *b,
                             struct err *err)
{
    struct store_description d = {0};
    int rc = load_view(s, name, &d, err);

    memset(b, 0, sizeof(*b));
    if (rc == 0)
        rc = check_layer_view(s, name, &d, err);
    if (rc == 0)
        rc = store_open_base(s, d.base, b, err);
    if (rc == 0)
        rc = add_view_layer(s, b, name, err);
    if (rc < 0)
        store_close_base(b);
    store_description_free(&d);
    return rc;
}

/* d: the view's own description. */
static int open_below(struct store *s, const char *name, const struct store_description *d,
                      struct store_base *b, struct err *err)
{
    int rc;

    if (!d->parent)
        return store_open_base(s, d->base, b, err);
    rc = open_view_as_base(s, store_view_of_parent(d->parent), b, err);
    if (rc == 0 && strcmp(b->id, d->base) != 0) {
        rc = err_set(err, EINVAL,
                     "%s/view/%s/view.json: key \"base\" is \"%s\", but %s stands on base %s",
                     s->path, name, d->base, d->parent, b->id);
        store_close_base(b);
    }
    return rc;
}

int store_open_below_view(struct store *s, const char *name, struct store_base *b, struct err *err)
{
    struct store_description d = {0};
    int rc = load_view(s, name, &d, err);

    memset(b, 0, sizeof(*b));
    if (rc == 0)
        rc = open_below(s, name, &d, b, err);
    store_description_free(&d);
    return rc;
}

/* ---- facts of a view ---- */

int store_set_view_facts(struct store *s, const char *name, const struct store_view_facts *f,
                         struct err *err)
{
    struct store_description d = {0};
    char *shown = mem_printf("%s/view/%s", s->path, name);
    struct disk *disk = NULL;
    int rc = store_view_disk(s, name, &disk, err);

    if (rc == 0)
        rc = load_view(s, name, &d, err);
    if (rc == 0)
        rc = store_save_description(disk, "view.json", shown,
                                    store_describe_view(d.base, d.parent, f), err);
    store_free_disk(disk);
    store_description_free(&d);
    free(shown);
    return rc;
}

int store_view_facts(struct store *s, const char *name, struct store_view_facts *f, struct err *err)
{
    struct store_description d = {0};
    int rc = load_view(s, name, &d, err);

    memset(f, 0, sizeof(*f));
    if (rc == 0)
        *f = (struct store_view_facts){.complete = strcmp(d.state, "complete") == 0,
                                       .target = mem_strdup(d.target),
                                       .lsn = store_lsn_or_zero(d.lsn),
                                       .time_us = d.time_us,
                                       .timeline = (uint32_t)d.timeline};
    store_description_free(&d);
    return rc;
}

void store_view_facts_free(struct store_view_facts *f)
{
    free(f->target);
    memset(f, 0, sizeof(*f));
}

/* ---- making and dropping views ---- */

/* Everything but its name. `new` is relative to the store. */
static int fill_view(struct store *s, const char *new, const struct store_base *b,
                     const char *const *hidden, struct err *err)
{
    static const struct store_view_facts open = {0};
    const char *top = b->n_layers ? b->layer_ids[b->n_layers - 1] : NULL;
    char *shown = mem_printf("%s/%s", s->path, new);
    struct disk_file *lock;
    struct disk *d = NULL;
    int rc = store_make_dir(s, new, err);

    if (rc == 0)
        rc = store_open_disk(s, new, &d, err);
    if (rc == 0)
        rc = datadir_create_layer(d, b->manifest, hidden, err);
    if (rc == 0)
        rc = store_save_description(
            d, "view.json", shown,
            store_describe_view(b->id, store_view_of_parent(top) ? top : NULL, &open), err);
    if (rc == 0) {
        rc = d->ops->open(d, STORE_LOCK, DISK_WRITE | DISK_CREATE, &lock);
        if (rc < 0)
            rc = err_set(err, -rc, "cannot make %s/" STORE_LOCK ": %s", shown, strerror(-rc));
        else
            lock->ops->close(lock);
    }
    store_free_disk(d);
    free(shown);
    return rc;
}

static int make_view(struct store *s, const char *name, const struct store_base *b,
                     const char *const *hidden, struct err *err)
{
    char *path = mem_printf("view/%s", name), *new = mem_printf("view/.%s.new", name);
    int rc = fill_view(s, new, b, hidden, err);

    if (rc == 0)
        rc = store_put_in_place(s, "view", new, path, err);
    if (rc < 0)
        store_discard(s, new);
    free(new);
    free(path);
    return rc;
}

static int open_wanted_base(struct store *s, const char *id, struct store_base *b, struct err *err)
{
    char *newest = NULL;
    int rc = id ? 0 : store_newest_base(s, &newest, err);

    if (rc == 0 && !id && !newest)
        rc = err_set(err, ENOENT, "%s has no base yet", s->path);
    if (rc == 0)
        rc = store_view_of_parent(id) ? open_view_as_base(s, store_view_of_parent(id), b, err)
                                      : store_open_base(s, id ? id : newest, b, err);
    free(newest);
    return rc;
}

int store_create_view(struct store *s, const char *name, const char *base,
                      const char *const *hidden, struct err *err)
{
    struct store_base b = {0};
    int lock, rc = store_check_view_name(name, err);

    if (rc < 0)
        return rc;
    rc = store_begin_change(s, &lock, err);
    if (rc < 0)
        return rc;
    if (store_is_there(s, "view", name))
        rc = err_set(err, EEXIST, "%s has a view %s already", s->path, name);
    if (rc == 0)
        rc = open_wanted_base(s, base, &b, err);
    if (rc == 0)
        rc = make_view(s, name, &b, hidden, err);
    store_close_base(&b);
    close(lock);
    return rc;
}

/* From the rename on it is dropped; what is then left of it is cleared, now or later. */
static int drop_view(struct store *s, const char *name, struct err *err)
{
    char *path = mem_printf("view/%s", name), *old = mem_printf("view/.%s.old", name);
    char *full = mem_printf("%s/%s", s->path, old);
    int rc = store_put_in_place(s, "view", path, old, err);

    if (rc == 0) {
        rc = io_remove_tree(full);
        if (rc < 0)
            rc = err_set(err, -rc, "view %s is dropped, but cannot remove %s: %s", name, full,
                         strerror(-rc));
    }
    free(full);
    free(old);
    free(path);
    return rc;
}

/* A view whose description is damaged stands on nothing: two such ones could hold each other. */
static int check_no_view_on(struct store *s, const char *name, struct err *err)
{
    char **views, **v;
    struct store_description d = {0};
    int rc = store_views(s, &views, err);

    if (rc < 0)
        return rc;
    for (v = views; *v && rc == 0; v++) {
        if (load_view(s, *v, &d, NULL) == 0 && d.parent &&
            strcmp(store_view_of_parent(d.parent), name) == 0)
            rc = err_set(err, EBUSY, "view %s of %s is needed: view %s stands on it", name, s->path,
                         *v);
        store_description_free(&d);
    }
    store_names_free(views);
    return rc;
}

int store_drop_view(struct store *s, const char *name, struct err *err)
{
    int change, lock, rc = require_view(s, name, err);

    if (rc < 0)
        return rc;
    rc = store_begin_change(s, &change, err);
    if (rc < 0)
        return rc;
    rc = check_no_view_on(s, name, err);
    if (rc == 0)
        rc = store_lock_view(s, name, true, &lock, err);
    if (rc == 0) {
        rc = drop_view(s, name, err);
        close(lock);
    }
    close(change);
    return rc;
}

/* ---- a view that becomes a layer ---- */

/* It lies below base/ under a name that nobody takes for a base; what only a view has goes. */
static int fill_layer(struct store *s, const char *new, const char *parent,
                      const struct store_base_facts *f, struct err *err)
{
    char *shown = mem_printf("%s/%s", s->path, new);
    struct disk *d = NULL;
    int rc = store_open_disk(s, new, &d, err);

    if (rc == 0)
        rc = store_save_description(d, "base.json", shown, store_describe_base(NULL, parent, f),
                                    err);
    if (rc == 0) {
        rc = d->ops->remove(d, "view.json");
        if (rc == 0)
            rc = d->ops->remove(d, STORE_LOCK);
        if (rc < 0)
            rc = err_set(err, -rc, "cannot remove files of %s: %s", shown, strerror(-rc));
    }
    store_free_disk(d);
    free(shown);
    return rc;
}

static int move_view(struct store *s, const char *view, const char *parent,
                     const struct store_base_facts *f, char **id, struct err *err)
{
    char *from = mem_printf("view/%s", view), *to = NULL, *new = NULL;
    int rc = store_next_id(s, id, err);

    if (rc < 0)
        goto out;
    to = mem_printf("base/%s", *id);
    new = mem_printf("%s.new", to);
    rc = store_put_in_place(s, "view", from, new, err);
    if (rc < 0)
        goto out;
    rc = fill_layer(s, new, parent, f, err);
    if (rc == 0)
        rc = store_put_in_place(s, "base", new, to, err);
    if (rc < 0)
        store_discard(s, new);
out:
    free(new);
    free(to);
    free(from);
    return rc;
}

/* d->base: what it stands on. */
static int check_becomes_layer(struct store *s, const char *view, struct store_description *d,
                               struct err *err)
{
    int rc = load_view(s, view, d, err);

    if (rc == 0 && d->parent)
        rc = err_set(err, EINVAL, "view %s of %s stands on another view: it can be no layer", view,
                     s->path);
    if (rc == 0)
        rc = store_require_base(s, d->base, err);
    return rc;
}

int store_finish_layer(struct store *s, const char *view, const struct store_base_facts *f,
                       char **id, struct err *err)
{
    struct store_description d = {0};
    int change, lock, rc = require_view(s, view, err);

    *id = NULL;
    if (rc < 0)
        return rc;
    rc = store_begin_change(s, &change, err);
    if (rc < 0)
        return rc;
    rc = check_no_view_on(s, view, err);
    if (rc == 0)
        rc = store_lock_view(s, view, true, &lock, err);
    if (rc == 0) {
        rc = check_becomes_layer(s, view, &d, err);
        if (rc == 0)
            rc = move_view(s, view, d.base, f, id, err);
        close(lock);
    }
    if (rc < 0) {
        free(*id);
        *id = NULL;
    }
    store_description_free(&d);
    close(change);
    return rc;
}

/* ---- opening a view ---- */

static void free_view(struct store_view *v)
{
    store_free_disk(v->layer);
    store_close_base(&v->base);
    if (v->parent_lock >= 0)
        close(v->parent_lock);
    if (v->lock >= 0)
        close(v->lock); /* last: until here nobody else may look */
    free(v);
}

static int open_parts(struct store *s, const char *name, unsigned flags, struct store_view *v,
                      struct err *err)
{
    struct store_description d = {0};
    int rc = load_view(s, name, &d, err);

    if (rc == 0 && !(flags & STORE_READ_ONLY) && strcmp(d.state, "complete") == 0)
        rc = err_set(err, EROFS,
                     "view %s of %s is complete: it can be read, or a view be put over it", name,
                     s->path);
    if (rc == 0 && d.parent)
        rc = store_lock_view(s, store_view_of_parent(d.parent), false, &v->parent_lock, err);
    if (rc == 0)
        rc = open_below(s, name, &d, &v->base, err);
    if (rc == 0)
        rc = store_view_disk(s, name, &v->layer, err);
    store_description_free(&d);
    return rc;
}

static void put_options(struct datadir_options *o, const struct store_view *v, unsigned flags)
{
    unsigned n = v->base.n_layers;

    o->base = v->base.disk;
    o->manifest = v->base.manifest;
    memcpy(o->layers, v->base.layers, n * sizeof(*o->layers));
    o->layers[n] = v->layer;
    o->n_layers = n + 1;
    o->read_only = flags & STORE_READ_ONLY;
    o->check_base = !(flags & STORE_NO_BASE_CHECK);
    o->durable = flags & STORE_DURABLE;
}

int store_open_view(struct store *s, const char *name, unsigned flags,
                    void (*complain)(void *arg, const char *text), void *arg, struct store_view **v,
                    struct datadir_recovery *recovery, struct err *err)
{
    struct store_view *new = mem_alloc(sizeof(*new));
    struct datadir_options o = {.complain = complain, .arg = arg};
    int rc;

    *v = NULL;
    new->lock = new->parent_lock = -1;
    rc = require_view(s, name, err);
    if (rc == 0)
        rc = store_lock_view(s, name, !(flags & STORE_READ_ONLY), &new->lock, err);
    if (rc == 0)
        rc = open_parts(s, name, flags, new, err);
    if (rc == 0) {
        put_options(&o, new, flags);
        if (datadir_open(&o, &new->datadir, recovery, err) < 0)
            rc = err_prefix(err, "view %s of %s", name, s->path);
    }
    if (rc < 0)
        free_view(new);
    else
        *v = new;
    return rc;
}

struct datadir *store_view_datadir(struct store_view *v)
{
    return v->datadir;
}

const struct stat *store_view_root(struct store_view *v)
{
    return &v->base.root;
}

const struct store_base *store_view_base(struct store_view *v)
{
    return &v->base;
}

int store_close_view(struct store_view *v, struct err *err)
{
    int rc = datadir_close(v->datadir, err);

    free_view(v);
    return rc;
}
