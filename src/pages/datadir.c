#include "pages/datadir.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* No memory for a hash table: hh.tbl is NULL then. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "common/units.h"
#include "pages/internal.h"
#include "pages/layer.h"
#include "pages/names.h"
#include "pages/page.h"

#define NAMES_MAX ((size_t)1 << 32) /* bytes of a journal */

static struct disk *newest(const struct datadir *d)
{
    return d->o.layers[d->o.n_layers - 1];
}

void datadir_complain(struct datadir *d, const char *fmt, ...)
{
    char text[1024];
    va_list args;

    if (!d->o.complain)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    d->o.complain(d->o.arg, text);
}

struct dirtree *datadir_tree(struct datadir *d)
{
    return d->tree;
}

/* ---- a new layer ---- */

static int hide_names(struct disk *layer, const struct manifest *m, const char *const *hidden,
                      uint64_t *size, struct err *err)
{
    struct names *names;
    struct buf payload = {0};
    int rc = names_open(layer, LAYER_NAMES, sizeof(struct names_header), &names, err);

    if (rc < 0)
        return rc;
    for (; hidden && *hidden; hidden++)
        if (manifest_find(m, 0, *hidden) != MANIFEST_NONE)
            names_put(&payload, &(struct names_record){
                                    .type = NAMES_ENTRY, .dir = DIRTREE_ROOT, .text = *hidden});
    if (payload.len)
        rc = names_append(names, &payload);
    *size = names_size(names);
    names_close(names);
    buf_free(&payload);
    return rc < 0 ? err_set(err, -rc, "cannot write the journal of names: %s", strerror(-rc)) : 0;
}

static int note_names(struct disk *layer, uint64_t size, struct err *err)
{
    struct inflight *f;
    int rc = inflight_open(layer, LAYER_INFLIGHT, true, &f, err);

    if (rc < 0)
        return rc;
    inflight_set_names_bytes(f, size);
    inflight_close(f, true);
    return 0;
}

int datadir_create_layer(struct disk *layer, const struct manifest *m, const char *const *hidden,
                         struct err *err)
{
    uint64_t size;
    int rc = layer->ops->make_dir(layer, LAYER_DIFF);

    if (rc == 0)
        rc = layer->ops->make_dir(layer, LAYER_SIDE);
    if (rc < 0)
        return err_set(err, -rc, "cannot make the directories of a layer: %s", strerror(-rc));
    rc = names_create(layer, LAYER_NAMES, manifest_id(m), err);
    if (rc == 0)
        rc = inflight_create(layer, LAYER_INFLIGHT, err);
    if (rc == 0)
        rc = hide_names(layer, m, hidden, &size, err);
    if (rc == 0)
        rc = note_names(layer, size, err);
    return rc;
}

/* ---- opening ---- */

/*
 * So much of the journal must be there when it is next opened. Where fsync is real, a power failure
 * may take what was not synced, so only what was counts (datadir_sync_names); a journal that became
 * shorter counts at once.
 */
static void names_appended(void *arg, uint64_t size)
{
    struct datadir *d = arg;

    atomic_store(&d->names_bytes, size);
    if (!atomic_load(&d->durable) || size < inflight_names_bytes(d->inflight))
        inflight_set_names_bytes(d->inflight, size);
}

/* The journal of one layer into the tree. */
static int apply_names(struct datadir *d, unsigned i, uint64_t acknowledged, uint64_t *good,
                       struct err *err)
{
    char *bytes;
    size_t len;
    int rc = disk_read_file(d->o.layers[i], LAYER_NAMES, NAMES_MAX, &bytes, &len);

    if (rc < 0)
        return err_set(err, EIO, "cannot read the journal of names of layer %u: %s", i,
                       strerror(-rc));
    rc = dirtree_apply(d->tree, i, bytes, len, good, err);
    free(bytes);
    if (rc == 0 && *good < acknowledged)
        rc = err_set(err, EIO,
                     "the journal of names of layer %u is damaged: %" PRIu64 " bytes of %" PRIu64
                     " are left",
                     i, *good, acknowledged);
    return rc;
}

static int open_lower_layer(struct datadir *d, unsigned i, struct err *err)
{
    struct inflight *f;
    uint64_t good;
    int rc = inflight_open(d->o.layers[i], LAYER_INFLIGHT, false, &f, err);

    if (rc < 0)
        return rc;
    if (inflight_was_clean(f))
        rc = apply_names(d, i, inflight_names_bytes(f), &good, err);
    else
        rc = err_set(err, EIO, "layer %u of the base was not completed", i);
    inflight_close(f, false);
    return rc;
}

/* That the layer is open must be on disk before anything else of it is. */
static int sync_inflight(struct datadir *d, struct err *err)
{
    int rc = inflight_sync(d->inflight);

    return rc < 0
               ? err_set(err, -rc, "cannot sync the table of writes in flight: %s", strerror(-rc))
               : 0;
}

static int open_newest_layer(struct datadir *d, struct datadir_recovery *recovery, struct err *err)
{
    unsigned i = d->o.n_layers - 1;
    struct names *names;
    uint64_t good;
    int rc = inflight_open(d->o.layers[i], LAYER_INFLIGHT, !d->o.read_only, &d->inflight, err);

    if (rc < 0)
        return rc;
    recovery->unclean = !inflight_was_clean(d->inflight);
    if (recovery->unclean && d->o.read_only)
        return err_set(err, EBUSY,
                       "it was not closed; it is put right when it is opened for writing");
    rc = apply_names(d, i, inflight_names_bytes(d->inflight), &good, err);
    if (rc < 0 || d->o.read_only)
        return rc;
    rc = names_open(d->o.layers[i], LAYER_NAMES, good, &names, err);
    if (rc < 0)
        return rc;
    inflight_begin(d->inflight);
    inflight_set_names_bytes(d->inflight, good);
    atomic_store(&d->names_bytes, good);
    dirtree_begin(d->tree, i, names, names_appended, d);
    return d->o.durable ? sync_inflight(d, err) : 0;
}

/* ---- putting right what was not closed ---- */

struct orphans {
    struct datadir *d;
    const char *kind; /* LAYER_DIFF or LAYER_SIDE */
    uint64_t removed;
};

static int remove_orphan(void *arg, const char *name)
{
    struct orphans *o = arg;
    unsigned top = o->d->o.n_layers - 1;
    char path[LAYER_PATH_MAX], *end;
    uint64_t id = strtoull(name, &end, 16);
    struct dirtree_node node;
    int rc;

    if (*end || strlen(name) != 16)
        return 0; /* not ours */
    rc = dirtree_stat(o->d->tree, id, &node);
    if (rc == 0 && node.links && node.layers & 1u << top)
        return 0;
    layer_path(path, o->kind, id);
    rc = newest(o->d)->ops->remove(newest(o->d), path);
    o->removed += rc == 0;
    return rc == -ENOENT ? 0 : rc;
}

static int remove_orphans(struct datadir *d, struct datadir_recovery *recovery)
{
    struct orphans o = {.d = d, .kind = LAYER_DIFF};
    int rc = newest(d)->ops->list(newest(d), LAYER_DIFF, remove_orphan, &o);

    recovery->orphans = o.removed;
    o.kind = LAYER_SIDE;
    return rc < 0 ? rc : newest(d)->ops->list(newest(d), LAYER_SIDE, remove_orphan, &o);
}

/* A file as it was left, its side page table not rebuilt yet. NULL: it has no storage any more. */
static int open_left(struct datadir *d, uint64_t id, struct pagefile **f,
                     struct side_findings *found, struct err *err)
{
    struct dirtree_node node;

    *f = NULL;
    if (dirtree_stat(d->tree, id, &node) < 0 || !node.links ||
        !(node.layers & 1u << (d->o.n_layers - 1)))
        return 0;
    return pagefile_open(d, &node, f, found, err);
}

static int settle_slot(struct datadir *d, const struct inflight_slot *s,
                       struct datadir_recovery *recovery, struct err *err)
{
    struct pagefile *f;
    int rc = open_left(d, s->file, &f, NULL, err);

    if (rc < 0 || !f)
        return rc;
    if (s->kind == INFLIGHT_WRITE) {
        recovery->writes++;
        rc = pagefile_settle(f, s->where, s->pages, s->crc, &recovery->writes_lost);
    } else {
        recovery->truncations++;
        rc = pagefile_truncate(f, s->where);
    }
    pagefile_close(f);
    return rc < 0
               ? err_set(err, -rc, "cannot put file %" PRIx64 " right: %s", s->file, strerror(-rc))
               : 0;
}

/* Writes first: a truncation reads the page that it cuts. */
static int settle_slots(struct datadir *d, enum inflight_kind kind,
                        struct datadir_recovery *recovery, struct err *err)
{
    const struct inflight_slot *s;
    struct inflight_slot copy;
    unsigned i;
    int rc = 0;

    for (i = 0; rc == 0 && i < INFLIGHT_SLOTS; i++) {
        s = inflight_slot(d->inflight, i);
        if (!s || s->kind != kind)
            continue;
        copy = *s;
        rc = settle_slot(d, &copy, recovery, err);
        if (rc == 0)
            inflight_end(d->inflight, i);
    }
    return rc;
}

struct touched {
    size_t n, room;
    uint64_t *ids;
};

static int note_touched(void *arg, const struct dirtree_node *node)
{
    struct touched *t = arg;
    uint64_t *ids;

    if (!node->links)
        return 0;
    if (t->n == t->room) {
        t->room = t->room ? t->room * 2 : 256;
        ids = reallocarray(t->ids, t->room, sizeof(*ids));
        if (!ids)
            return -ENOMEM;
        t->ids = ids;
    }
    t->ids[t->n++] = node->id;
    return 0;
}

/* Calls `each` with every file that has storage in the newest layer, outside the tree's lock. */
static int each_touched(struct datadir *d, int (*each)(struct datadir *d, uint64_t id, void *arg),
                        void *arg)
{
    struct touched t = {0};
    int rc = dirtree_each_touched(d->tree, note_touched, &t);
    size_t i;

    for (i = 0; rc == 0 && i < t.n; i++)
        rc = each(d, t.ids[i], arg);
    free(t.ids);
    return rc;
}

struct rebuilding {
    struct side_findings *found;
    struct err *err;
};

static int rebuild_file(struct datadir *d, uint64_t id, void *arg)
{
    struct rebuilding *r = arg;
    struct pagefile *f;
    int rc = open_left(d, id, &f, r->found, r->err);

    if (rc == 0 && f)
        pagefile_close(f);
    return rc;
}

static int put_right(struct datadir *d, struct datadir_recovery *recovery, struct err *err)
{
    struct rebuilding r = {&recovery->sides, err};
    int rc = remove_orphans(d, recovery);

    if (rc < 0)
        return err_set(err, -rc, "cannot remove files without a name: %s", strerror(-rc));
    rc = settle_slots(d, INFLIGHT_WRITE, recovery, err);
    if (rc == 0)
        rc = settle_slots(d, INFLIGHT_TRUNCATE, recovery, err);
    return rc < 0 ? rc : each_touched(d, rebuild_file, &r);
}

static void free_datadir(struct datadir *d)
{
    unsigned i;

    dirtree_free(d->tree);
    inflight_close(d->inflight, false);
    for (i = 0; i < STRIPES; i++)
        pthread_mutex_destroy(&d->stripes[i]);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static int open_layers(struct datadir *d, struct datadir_recovery *recovery, struct err *err)
{
    unsigned i;
    int rc = 0;

    for (i = 0; rc == 0 && i + 1 < d->o.n_layers; i++)
        rc = open_lower_layer(d, i, err);
    if (rc == 0)
        rc = open_newest_layer(d, recovery, err);
    if (rc == 0 && recovery->unclean)
        rc = put_right(d, recovery, err);
    return rc;
}

int datadir_open(const struct datadir_options *o, struct datadir **result,
                 struct datadir_recovery *recovery, struct err *err)
{
    struct datadir *d;
    unsigned i;
    int rc = o->check_base ? manifest_check(o->manifest, o->base, err) : 0;

    *recovery = (struct datadir_recovery){0};
    if (rc < 0)
        return rc;
    d = calloc(1, sizeof(*d));
    if (!d)
        return err_set(err, ENOMEM, "no memory");
    d->o = *o;
    atomic_store(&d->durable, o->durable);
    for (i = 0; i < STRIPES; i++)
        pthread_mutex_init(&d->stripes[i], NULL);
    pthread_mutex_init(&d->lock, NULL);
    d->tree = dirtree_new(o->manifest);
    rc = d->tree ? open_layers(d, recovery, err) : err_set(err, ENOMEM, "no memory");
    if (rc < 0) {
        free_datadir(d);
        return rc;
    }
    *result = d;
    return 0;
}

/* ---- open files ---- */

struct open_file {
    uint64_t id;
    unsigned refs;
    struct pagefile *f;
    UT_hash_handle hh;
};

static struct open_file *find_open(struct datadir *d, uint64_t id)
{
    struct open_file *o;

    HASH_FIND(hh, d->files, &id, sizeof(id), o);
    return o;
}

/* What may be opened: regular files with a name. */
static int stat_for_open(struct datadir *d, uint64_t id, struct dirtree_node *node)
{
    int rc = dirtree_stat(d->tree, id, node);

    if (rc < 0)
        return rc;
    if (!S_ISREG(node->mode))
        return S_ISDIR(node->mode) ? -EISDIR : -ELOOP;
    return node->links == 0 ? -ESTALE : 0;
}

static int open_first(struct datadir *d, uint64_t id, struct open_file **result,
                      struct side_findings *found)
{
    struct open_file *o;
    struct dirtree_node node;
    struct err err;
    int rc = stat_for_open(d, id, &node);

    if (rc < 0)
        return rc;
    o = calloc(1, sizeof(*o));
    if (!o)
        return -ENOMEM;
    rc = pagefile_open(d, &node, &o->f, found, &err);
    if (rc < 0) {
        datadir_complain(d, "%s", err.text);
        free(o);
        return rc;
    }
    o->id = id;
    HASH_ADD(hh, d->files, id, sizeof(id), o);
    if (!o->hh.tbl) {
        pagefile_close(o->f);
        free(o);
        return -ENOMEM;
    }
    *result = o;
    return 0;
}

int datadir_open_file(struct datadir *d, uint64_t id, struct pagefile **f)
{
    struct side_findings found = {0};
    struct open_file *o;
    int rc = 0;

    pthread_mutex_lock(&d->lock);
    o = find_open(d, id);
    if (!o)
        rc = open_first(d, id, &o, &found);
    if (rc == 0) {
        o->refs++;
        *f = o->f;
    }
    pthread_mutex_unlock(&d->lock);
    if (found.damaged)
        datadir_complain(d,
                         "file %" PRIx64 ": %" PRIu64 " damaged page%s, the first is page %" PRIu64,
                         id, found.damaged, units_s(found.damaged), found.first_damaged);
    return rc;
}

int datadir_remove_storage(struct datadir *d, uint64_t id)
{
    char path[LAYER_PATH_MAX];
    int rc, rc2;

    layer_path(path, LAYER_DIFF, id);
    rc = newest(d)->ops->remove(newest(d), path);
    layer_path(path, LAYER_SIDE, id);
    rc2 = newest(d)->ops->remove(newest(d), path);
    return rc < 0 ? rc : rc2;
}

/* The file has no name and is not open: its storage goes. What cannot be removed is an orphan,
 * which the next opening of an unclean layer, or `asofs store check`, finds. */
static void end_file(struct datadir *d, const struct dirtree_node *node)
{
    if (node->layers & 1u << (d->o.n_layers - 1))
        datadir_remove_storage(d, node->id);
    dirtree_forget(d->tree, node->id);
}

void datadir_close_file(struct datadir *d, struct pagefile *f)
{
    struct dirtree_node node;
    struct open_file *o;

    pthread_mutex_lock(&d->lock);
    o = find_open(d, f->id);
    if (--o->refs == 0) {
        HASH_DEL(d->files, o);
        if (dirtree_stat(d->tree, o->id, &node) < 0)
            node.links = 1;
        pagefile_close(f);
        free(o);
        if (node.links == 0)
            end_file(d, &node);
    }
    pthread_mutex_unlock(&d->lock);
}

/* A file lost its last name. */
static void end_if_closed(struct datadir *d, const struct dirtree_node *node)
{
    struct dirtree_node now;

    if (!node->id || node->links || !S_ISREG(node->mode))
        return;
    pthread_mutex_lock(&d->lock);
    if (!find_open(d, node->id) && dirtree_stat(d->tree, node->id, &now) == 0 && now.links == 0)
        end_file(d, &now);
    pthread_mutex_unlock(&d->lock);
}

/* ---- attributes ---- */

/* Size and times of a file that is not open, as its newest difference file has them. */
static int stat_closed(struct datadir *d, const struct dirtree_node *node, struct stat *st)
{
    const struct manifest_entry *e;
    char path[LAYER_PATH_MAX];
    unsigned layer;
    struct disk *disk;

    if (node->layers) {
        layer = 31 - (unsigned)__builtin_clz(node->layers);
        disk = d->o.layers[layer];
        layer_path(path, LAYER_DIFF, node->id);
        return disk->ops->stat(disk, path, st);
    }
    if (node->entry == MANIFEST_NONE) {
        st->st_mtim = node->mtime;
        return 0;
    }
    e = manifest_entry(d->o.manifest, node->entry);
    st->st_size = (off_t)e->size;
    st->st_blocks = (blkcnt_t)((e->size + 511) / 512);
    st->st_mtim.tv_sec = e->mtime_ns / 1000000000;
    st->st_mtim.tv_nsec = e->mtime_ns % 1000000000;
    return 0;
}

static int stat_file(struct datadir *d, const struct dirtree_node *node, struct stat *st)
{
    struct open_file *o;
    int rc;

    pthread_mutex_lock(&d->lock);
    o = find_open(d, node->id);
    rc = o ? pagefile_stat(o->f, st) : stat_closed(d, node, st);
    pthread_mutex_unlock(&d->lock);
    return rc;
}

static int stat_node(struct datadir *d, const struct dirtree_node *node, struct stat *st)
{
    struct stat found = {0};
    char *target;
    int rc = 0;

    if (S_ISREG(node->mode)) {
        rc = stat_file(d, node, &found);
    } else {
        found.st_mtim = node->mtime;
        if (S_ISLNK(node->mode) && dirtree_readlink(d->tree, node->id, &target) == 0) {
            found.st_size = (off_t)strlen(target);
            free(target);
        }
    }
    *st = (struct stat){.st_ino = node->id, .st_mode = node->mode, .st_nlink = node->links};
    st->st_size = found.st_size;
    st->st_blocks = found.st_blocks;
    st->st_mtim = st->st_ctim = st->st_atim = found.st_mtim;
    st->st_blksize = PAGE_BYTES;
    return rc;
}

int datadir_stat(struct datadir *d, uint64_t id, struct stat *st)
{
    struct dirtree_node node;
    int rc = dirtree_stat(d->tree, id, &node);

    return rc < 0 ? rc : stat_node(d, &node, st);
}

int datadir_lookup(struct datadir *d, uint64_t dir, const char *name, struct stat *st)
{
    struct dirtree_node node;
    int rc = dirtree_lookup(d->tree, dir, name, &node);

    return rc < 0 ? rc : stat_node(d, &node, st);
}

int datadir_set_times(struct datadir *d, uint64_t id, const struct timespec times[2])
{
    struct timespec omit_access[2] = {{.tv_nsec = UTIME_OMIT}, times[1]};
    struct dirtree_node node;
    struct disk_file *diff;
    struct pagefile *f;
    int rc;

    if (times[1].tv_nsec == UTIME_OMIT)
        return 0; /* the time of the last access is not kept */
    rc = dirtree_stat(d->tree, id, &node);
    if (rc < 0)
        return rc;
    if (!S_ISREG(node.mode)) {
        if (times[1].tv_nsec == UTIME_NOW)
            clock_gettime(CLOCK_REALTIME, &omit_access[1]);
        return dirtree_set_mtime(d->tree, id, omit_access[1]);
    }
    rc = datadir_open_file(d, id, &f);
    if (rc < 0)
        return rc;
    rc = pagefile_touch(f);
    diff = f->diff;
    if (rc == 0)
        rc = diff->ops->set_times(diff, omit_access);
    datadir_close_file(d, f);
    return rc;
}

int datadir_truncate(struct datadir *d, uint64_t id, uint64_t size)
{
    struct pagefile *f;
    int rc = datadir_open_file(d, id, &f);

    if (rc < 0)
        return rc;
    rc = pagefile_truncate(f, size);
    datadir_close_file(d, f);
    return rc;
}

/* ---- names ---- */

int datadir_make(struct datadir *d, uint64_t dir, const char *name, uint32_t mode,
                 const char *target, struct stat *st)
{
    struct dirtree_node node;
    int rc = dirtree_make(d->tree, dir, name, mode, target, &node);

    return rc < 0 ? rc : stat_node(d, &node, st);
}

int datadir_link(struct datadir *d, uint64_t id, uint64_t dir, const char *name, struct stat *st)
{
    struct dirtree_node node;
    int rc = dirtree_link(d->tree, id, dir, name, &node);

    return rc < 0 ? rc : stat_node(d, &node, st);
}

int datadir_unlink(struct datadir *d, uint64_t dir, const char *name)
{
    struct dirtree_node gone;
    int rc = dirtree_unlink(d->tree, dir, name, &gone);

    if (rc == 0)
        end_if_closed(d, &gone);
    return rc;
}

int datadir_rename(struct datadir *d, uint64_t dir, const char *name, uint64_t new_dir,
                   const char *new_name, unsigned flags)
{
    struct dirtree_node gone;
    int rc = dirtree_rename(d->tree, dir, name, new_dir, new_name, flags, &gone);

    if (rc == 0)
        end_if_closed(d, &gone);
    return rc;
}

int datadir_sync_names(struct datadir *d)
{
    uint64_t size = atomic_load(&d->names_bytes);
    int rc;

    if (!atomic_load(&d->durable) || size == inflight_names_bytes(d->inflight))
        return 0; /* nothing was appended since it was last synced */
    rc = dirtree_sync(d->tree);
    if (rc == 0 && size > inflight_names_bytes(d->inflight))
        inflight_set_names_bytes(d->inflight, size);
    if (atomic_load(&d->names_bytes) < inflight_names_bytes(d->inflight)) /* compacted meanwhile */
        inflight_set_names_bytes(d->inflight, atomic_load(&d->names_bytes));
    return rc;
}

int datadir_space(struct datadir *d, struct statvfs *s)
{
    return newest(d)->ops->space(newest(d), s);
}

/* ---- closing ---- */

static void close_files(struct datadir *d)
{
    struct open_file *o, *next;

    HASH_ITER(hh, d->files, o, next)
    {
        HASH_DEL(d->files, o);
        pagefile_close(o->f);
        free(o);
    }
}

int datadir_close(struct datadir *d, struct err *err)
{
    int rc = 0;

    close_files(d);
    if (!d->o.read_only) {
        rc = dirtree_compact(d->tree, false);
        if (rc < 0)
            err_set(err, -rc, "cannot write the journal of names anew: %s", strerror(-rc));
        dirtree_free(d->tree); /* the journal is closed before the layer counts as closed */
        d->tree = NULL;
        inflight_set_names_bytes(d->inflight, d->names_bytes);
        inflight_close(d->inflight, true);
        d->inflight = NULL;
    }
    free_datadir(d);
    return rc;
}

static int sync_layer(struct datadir *d)
{
    int rc = dirtree_sync(d->tree);

    if (rc == 0)
        rc = newest(d)->ops->sync_all(newest(d));
    if (rc == 0)
        rc = inflight_sync(d->inflight);
    return rc;
}

int datadir_complete(struct datadir *d, struct err *err)
{
    int rc;

    pthread_mutex_lock(&d->lock);
    rc = d->files ? -EBUSY : 0;
    pthread_mutex_unlock(&d->lock);
    if (rc == 0)
        rc = dirtree_compact(d->tree, true);
    if (rc == 0)
        rc = sync_layer(d);
    if (rc == 0)
        atomic_store(&d->durable, true);
    return rc < 0 ? err_set(err, -rc, "cannot complete the view: %s", strerror(-rc)) : 0;
}
