#include "store/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/mem.h"

struct store_making {
    struct store *store;
    char *id, *path; /* path: absolute */
    int lock;
};

/* ---- opening a base ---- */

int store_load_base(const struct store *s, const char *id, struct store_description *d,
                    struct err *err)
{
    char *path = mem_printf("base/%s/base.json", id);
    int rc = store_load_description(s, BASE_JSON, path, d, err);

    free(path);
    return rc;
}

/* Ids count up: a parent that is not older is part of a circle. */
static int check_parent(struct store *s, const char *id, const char *parent, struct err *err)
{
    if (store_compare_ids(parent, id) >= 0)
        return err_set(err, ELOOP,
                       "%s/base/%s/base.json: key \"parent\" is %s, but a layer lies on an older "
                       "base",
                       s->path, id, parent);
    if (!store_is_there(s, "base", parent))
        return err_set(err, ENOENT, "base %s of %s is a layer on base %s, which is missing", id,
                       s->path, parent);
    return 0;
}

static void reverse(char **names, unsigned n)
{
    unsigned i;

    for (i = 0; i < n / 2; i++) {
        char *other = names[n - 1 - i];

        names[n - 1 - i] = names[i];
        names[i] = other;
    }
}

char *store_own_directory(const struct store *s, const char *id)
{
    char *base = mem_printf("base/%s", id);
    char *own = store_has_file(s, base, "data") ? mem_printf("%s/%s/data", s->path, base) : NULL;

    free(base);
    return own;
}

/* Where the tree of a freeze is. */
static int find_tree(struct store *s, const char *id, const struct store_description *d,
                     char **directory, struct err *err)
{
    struct store_description live = {0};
    char *mount = store_mount(s);
    int rc = store_load_base(s, d->live, &live, err);

    if (rc == 0 && strcmp(live.kind, "live") != 0)
        rc = err_set(err, EINVAL, "base %s of %s is a freeze of base %s, which is not live", id,
                     s->path, d->live);
    else if (rc == 0 && !mount)
        rc = err_set(err, ENOTCONN,
                     "base %s of %s is freeze %lld of %s, which is not served now: serve it "
                     "(asofs live)",
                     id, s->path, (long long)d->epoch, live.path);
    else if (rc == 0)
        *directory = mem_printf("%s/" STORE_FREEZES "/%lld", mount, (long long)d->epoch);
    store_description_free(&live);
    free(mount);
    return rc;
}

/* The directory of a base that is no layer. */
static int find_directory(struct store *s, const char *id, const struct store_description *d,
                          char **directory, struct err *err)
{
    *directory = NULL;
    if (d->live)
        return find_tree(s, id, d, directory, err);
    if (strcmp(d->kind, "live") == 0)
        return err_set(err, EINVAL,
                       "base %s of %s is live: the server on %s writes it; what can be mounted are "
                       "freezes of it (asofs mount --latest makes one)",
                       id, s->path, d->path);
    *directory = store_own_directory(s, id);
    if (!*directory)
        *directory = mem_strdup(d->path);
    return 0;
}

/* From the base that is asked for down to a directory: b->layer_ids, *root and b->directory. */
static int resolve(struct store *s, struct store_base *b, char **root, struct err *err)
{
    struct store_description d = {0};
    int rc;

    *root = mem_strdup(b->id);
    while ((rc = store_load_base(s, *root, &d, err)) == 0 && d.parent) {
        rc = check_parent(s, *root, d.parent, err);
        if (rc == 0 && b->n_layers == DATADIR_LAYERS - 1)
            rc = err_set(err, ENOTSUP, "base %s of %s has more than %d layers", b->id, s->path,
                         DATADIR_LAYERS - 1);
        if (rc < 0)
            break;
        b->layer_ids[b->n_layers++] = *root;
        *root = mem_strdup(d.parent);
        store_description_free(&d);
    }
    reverse(b->layer_ids, b->n_layers);
    b->directory_id = mem_strdup(*root);
    if (rc == 0)
        rc = find_directory(s, *root, &d, &b->directory, err);
    b->is_frozen = rc == 0 && d.live;
    store_description_free(&d);
    return rc;
}

/* Why the tree of a freeze cannot be opened, and what to do about it. */
static int refuse_tree(const struct store *s, const struct store_base *b, int rc, struct err *err)
{
    if (rc == -ESTALE || rc == -EIO)
        return err_set(
            err, ESTALE,
            "base %s of %s cannot be read any more, as its freeze was given up (%s; asofs "
            "live told why): asofs base drop %s %s",
            b->directory_id, s->path, b->directory, s->path, b->directory_id);
    if (rc == -ENOENT || rc == -ENOTCONN)
        return err_set(err, ENOTCONN,
                       "base %s of %s is a freeze of a live base, and %s is not there: serve that "
                       "(asofs live); if the freeze was dropped, asofs base drop %s %s",
                       b->directory_id, s->path, b->directory, s->path, b->directory_id);
    return err_set(err, -rc, "base %s of %s: cannot open its freeze %s: %s", b->directory_id,
                   s->path, b->directory, strerror(-rc));
}

static int open_directory(struct store *s, struct store_base *b, const char *root, struct err *err)
{
    char *files = mem_printf("base/%s/" STORE_MANIFEST, root);
    struct stat version;
    int rc = disk_posix(b->directory, &b->disk);

    if (rc == 0)
        rc = b->disk->ops->stat(b->disk, "", &b->root);
    if (rc == 0 && b->is_frozen) /* the directory alone is there even when it was given up */
        rc = b->disk->ops->stat(b->disk, "PG_VERSION", &version);
    if (rc < 0 && b->is_frozen)
        rc = refuse_tree(s, b, rc, err);
    else if (rc < 0)
        rc = err_set(err, -rc, "base %s of %s: cannot open its directory %s: %s", root, s->path,
                     b->directory, strerror(-rc));
    else if (manifest_open(s->disk, files, &b->manifest, err) < 0)
        rc = err_prefix(err, "base %s of %s", root, s->path);
    free(files);
    return rc;
}

static int open_layers(struct store *s, struct store_base *b, struct err *err)
{
    unsigned i;
    char *path;
    int rc = 0;

    for (i = 0; i < b->n_layers && rc == 0; i++) {
        path = mem_printf("base/%s", b->layer_ids[i]);
        rc = store_open_disk(s, path, &b->layers[i], err);
        free(path);
    }
    return rc;
}

bool store_has_base(struct store *s, const char *id)
{
    return store_require_base(s, id, NULL) == 0;
}

int store_require_base(struct store *s, const char *id, struct err *err)
{
    if (!store_is_id(id) || !store_is_there(s, "base", id) || store_is_making(s, id))
        return err_set(err, ENOENT, "%s has no base \"%s\"", s->path, id);
    return 0;
}

int store_newest_base(struct store *s, char **id, struct err *err)
{
    char **ids;
    int rc = store_bases(s, &ids, err);

    *id = rc == 0 ? store_last_name(ids) : NULL;
    store_names_free(rc == 0 ? ids : NULL);
    return rc;
}

int store_open_base(struct store *s, const char *id, struct store_base *b, struct err *err)
{
    char *root = NULL;
    int rc = 0;

    memset(b, 0, sizeof(*b));
    rc = store_require_base(s, id, err);
    if (rc < 0)
        return rc;
    b->id = mem_strdup(id);
    rc = resolve(s, b, &root, err);
    if (rc == 0)
        rc = open_directory(s, b, root, err);
    if (rc == 0)
        rc = open_layers(s, b, err);
    if (rc < 0)
        store_close_base(b);
    free(root);
    return rc;
}

void store_close_base(struct store_base *b)
{
    unsigned i;

    for (i = 0; i < b->n_layers; i++) {
        free(b->layer_ids[i]);
        store_free_disk(b->layers[i]);
    }
    if (b->manifest)
        manifest_close(b->manifest);
    store_free_disk(b->disk);
    free(b->directory_id);
    free(b->directory);
    free(b->id);
    memset(b, 0, sizeof(*b));
}

/* ---- adding a base ---- */

static bool is_within(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    if (strcmp(dir, "/") == 0)
        return true;
    return strncmp(path, dir, n) == 0 && (path[n] == '/' || !path[n]);
}

int store_check_apart(const struct store *s, const char *directory, struct err *err)
{
    if (is_within(directory, s->path))
        return err_set(err, EINVAL, "%s lies in the store %s: a base stands outside of it",
                       directory, s->path);
    if (is_within(s->path, directory))
        return err_set(err, EINVAL,
                       "the store %s lies in %s: a base must not change, so its store stands "
                       "outside of it",
                       s->path, directory);
    return 0;
}

int store_check_outside(const struct store *s, const struct manifest *m, const char *own,
                        struct err *err)
{
    uint32_t i, n = manifest_entries(m);
    char *path, *real;
    int rc = 0;

    for (i = 0; i < n && rc == 0; i++) {
        if (!(manifest_entry(m, i)->flags & MANIFEST_OUTSIDE))
            continue;
        path = manifest_path(m, i);
        real = path ? realpath(path, NULL) : NULL;
        if (!real)
            rc = err_errno(err, "cannot open a tablespace");
        else if (!own || !is_within(real, own))
            rc = store_check_apart(s, real, err);
        free(real);
        free(path);
    }
    return rc;
}

static int write_manifest(struct store *s, struct disk *d, const char *directory, const char *own,
                          struct err *err)
{
    struct manifest *m = NULL;
    int rc = manifest_write(directory, d, STORE_MANIFEST, err);

    if (rc == 0)
        rc = manifest_open(d, STORE_MANIFEST, &m, err);
    if (rc == 0)
        rc = store_check_outside(s, m, own, err);
    if (m)
        manifest_close(m);
    return rc;
}

/* Everything but its name. `new` is relative to the store. */
static int fill_new(struct store *s, const char *new, json_t *j, const char *directory,
                    struct err *err)
{
    char *shown = mem_printf("%s/%s", s->path, new);
    struct disk *d = NULL;
    int rc = store_make_dir(s, new, err);

    if (rc == 0)
        rc = store_open_disk(s, new, &d, err);
    if (rc == 0) /* before the walk, which takes long: the name may be unfit for JSON */
        rc = store_save_description(d, "base.json", shown, json_incref(j), err);
    if (rc == 0 && directory)
        rc = write_manifest(s, d, directory, NULL, err);
    store_free_disk(d);
    free(shown);
    return rc;
}

int store_fill_base(struct store *s, const char *id, json_t *j, const char *directory,
                    struct err *err)
{
    char *path = mem_printf("base/%s", id), *new = mem_printf("%s.new", path);
    int rc = fill_new(s, new, j, directory, err);

    if (rc == 0)
        rc = store_put_in_place(s, "base", new, path, err);
    if (rc < 0)
        store_discard(s, new);
    json_decref(j);
    free(new);
    free(path);
    return rc;
}

int store_next_id(struct store *s, char **id, struct err *err)
{
    char **ids, *newest, *next;
    int rc = store_all_bases(s, &ids, err);

    if (rc < 0)
        return rc;
    newest = store_last_name(ids);
    store_names_free(ids);
    next = mem_printf("%ld", newest ? strtol(newest, NULL, 10) + 1 : 1);
    free(newest);
    if (store_is_id(next)) {
        *id = next;
        return 0;
    }
    free(next);
    return err_set(err, ENOSPC, "%s has no more ids for bases", s->path);
}

static int add_directory(struct store *s, const char *directory, const struct store_base_facts *f,
                         char **id, struct err *err)
{
    int lock, rc = store_begin_change(s, &lock, err);

    if (rc < 0)
        return rc;
    rc = store_next_id(s, id, err);
    if (rc == 0)
        rc = store_fill_base(s, *id, store_describe_base(directory, NULL, f), directory, err);
    close(lock);
    return rc;
}

int store_add_base(struct store *s, const char *directory, const struct store_base_facts *f,
                   char **id, struct err *err)
{
    char *real = realpath(directory, NULL);
    struct stat st;
    int rc;

    *id = NULL;
    if (!real || stat(real, &st) < 0)
        rc = err_errno(err, "cannot open %s", directory);
    else if (!S_ISDIR(st.st_mode))
        rc = err_set(err, ENOTDIR, "%s is no directory", directory);
    else
        rc = store_check_apart(s, real, err);
    if (rc == 0)
        rc = add_directory(s, real, f, id, err);
    if (rc < 0) {
        free(*id);
        *id = NULL;
    }
    free(real);
    return rc;
}

/* ---- a base that is made in the store ---- */

static void free_making(struct store_making *m)
{
    if (m->lock >= 0)
        close(m->lock);
    free(m->path);
    free(m->id);
    free(m);
}

/* The directory and its lock; the store's lock is held. */
static int begin_making(struct store_making *m, struct err *err)
{
    char *dir = mem_printf("base/%s", m->id), *lock = mem_printf("%s/" STORE_MAKING, m->path);
    int rc = store_make_dir(m->store, dir, err);

    if (rc == 0) {
        rc = store_lock_file(lock, LOCK_EX | LOCK_NB, &m->lock);
        if (rc < 0) {
            rc = err_set(err, -rc, "cannot lock %s: %s", lock, strerror(-rc));
            store_discard(m->store, dir);
        }
    }
    free(lock);
    free(dir);
    return rc;
}

int store_begin_base(struct store *s, struct store_making **making, struct err *err)
{
    struct store_making *m;
    int change, rc = store_begin_change(s, &change, err);

    *making = NULL;
    if (rc < 0)
        return rc;
    m = mem_alloc(sizeof(*m));
    m->store = s;
    m->lock = -1;
    rc = store_next_id(s, &m->id, err);
    if (rc == 0) {
        m->path = mem_printf("%s/base/%s", s->path, m->id);
        rc = begin_making(m, err);
    }
    close(change);
    if (rc < 0)
        free_making(m);
    else
        *making = m;
    return rc;
}

const char *store_making_path(const struct store_making *m)
{
    return m->path;
}

static int finish_making(struct store_making *m, const struct store_base_facts *f, struct err *err)
{
    char *dir = mem_printf("base/%s", m->id), *data = mem_printf("%s/data", m->path);
    struct disk *d = NULL;
    int rc = store_open_disk(m->store, dir, &d, err);

    if (rc == 0)
        rc = write_manifest(m->store, d, data, m->path, err);
    if (rc == 0)
        rc = m->store->disk->ops->sync_dir(m->store->disk, "base") < 0
                 ? err_set(err, EIO, "cannot sync %s/base", m->store->path)
                 : 0;
    if (rc == 0) /* from now on it is a base */
        rc = store_save_description(d, "base.json", m->path, store_describe_base(data, NULL, f),
                                    err);
    if (rc == 0)
        d->ops->remove(d, STORE_MAKING); /* beside base.json it means nothing */
    store_free_disk(d);
    free(data);
    free(dir);
    return rc;
}

int store_finish_base(struct store_making *m, const struct store_base_facts *f, char **id,
                      struct err *err)
{
    int rc = finish_making(m, f, err);

    *id = NULL;
    if (rc < 0) {
        store_abandon_base(m);
        return rc;
    }
    *id = mem_strdup(m->id);
    free_making(m);
    return 0;
}

void store_abandon_base(struct store_making *m)
{
    if (!m)
        return;
    store_remove_base_tree(m->store, m->id);
    free_making(m);
}

/* ---- facts of a base ---- */

int store_base_facts(struct store *s, const char *id, struct store_base_facts *f, struct err *err)
{
    struct store_description d = {0};
    int rc = store_require_base(s, id, err);

    memset(f, 0, sizeof(*f));
    if (rc == 0)
        rc = store_load_base(s, id, &d, err);
    if (rc == 0)
        *f = (struct store_base_facts){.start_lsn = store_lsn_or_zero(d.start_lsn),
                                       .consistent_lsn = store_lsn_or_zero(d.consistent_lsn),
                                       .start_time = d.start_time,
                                       .consistent_time = d.consistent_time,
                                       .timeline = (uint32_t)d.timeline,
                                       .plain = !d.start_lsn};
    store_description_free(&d);
    return rc;
}
