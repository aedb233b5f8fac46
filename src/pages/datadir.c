#include "pages/datadir.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* No memory for a hash table: hh.tbl is NULL then. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "common/units.h"
#include "pages/inflight.h"
#include "pages/layer.h"
#include "pages/names.h"
#include "pages/page.h"
#include "pages/pagefile.h"
#include "pages/stack.h"

_Static_assert(DATADIR_LAYERS <= CHAIN_MAX, "a stack holds the layers of a data directory");

struct datadir {
    struct stack stack;
    pthread_mutex_t lock;    /* covers files */
    struct open_file *files; /* those that are open, by id */
};

struct dirtree *datadir_tree(struct datadir *d)
{
    return d->stack.tree;
}

uint64_t datadir_base_id(const struct datadir *d)
{
    return manifest_id(d->stack.manifest);
}

/* ---- a new layer ---- */

static int hide_names(struct disk *layer, const struct manifest *m, const char *const *hidden,
                      uint64_t *size, struct err *err)
{
    struct names *names;
    struct buf payload = {0};
    int rc = names_open(layer, LAYER_NAMES, FRAMES_START, &names, err);

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

static void give_options(struct stack *s, const struct datadir_options *o)
{
    s->base = o->base;
    s->manifest = o->manifest;
    memcpy(s->layers, o->layers, sizeof(o->layers));
    s->n_layers = o->n_layers;
    s->read_only = o->read_only;
    s->open_base = o->open_base;
    s->complain = o->complain;
    s->arg = o->arg;
    atomic_init(&s->durable, o->durable);
}

static int open_stack(struct stack *s, struct datadir_recovery *recovery, struct err *err)
{
    int rc = stack_open(s, &recovery->unclean, err);

    return rc < 0 || !recovery->unclean ? rc : recovery_run(s, recovery, err);
}

static void free_datadir(struct datadir *d)
{
    stack_free(&d->stack);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

int datadir_open(const struct datadir_options *o, struct datadir **result,
                 struct datadir_recovery *recovery, struct err *err)
{
    struct datadir *d;
    int rc = o->check_base ? manifest_check(o->manifest, o->base, err) : 0;

    *recovery = (struct datadir_recovery){0};
    if (rc < 0)
        return rc;
    d = calloc(1, sizeof(*d));
    if (!d)
        return err_set(err, ENOMEM, "no memory");
    give_options(&d->stack, o);
    pthread_mutex_init(&d->lock, NULL);
    rc = open_stack(&d->stack, recovery, err);
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
    int rc = dirtree_stat(d->stack.tree, id, node);

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
    rc = pagefile_open(&d->stack, &node, &o->f, found, &err);
    if (rc < 0) {
        stack_complain(&d->stack, "%s", err.text);
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
        stack_complain(&d->stack,
                       "file %" PRIx64 ": %" PRIu64 " damaged page%s, the first is page %" PRIu64,
                       id, found.damaged, units_s(found.damaged), found.first_damaged);
    return rc;
}

/* The file has no name and is not open: its storage goes. What cannot be removed is an orphan,
 * which the next opening of an unclean layer, or `asofs store check`, finds. */
static void end_file(struct datadir *d, const struct dirtree_node *node)
{
    if (stack_has_storage(&d->stack, node))
        stack_remove_storage(&d->stack, node->id);
    dirtree_forget(d->stack.tree, node->id);
}

void datadir_close_file(struct datadir *d, struct pagefile *f)
{
    struct dirtree_node node;
    struct open_file *o;

    pthread_mutex_lock(&d->lock);
    o = find_open(d, pagefile_id(f));
    if (--o->refs == 0) {
        HASH_DEL(d->files, o);
        if (dirtree_stat(d->stack.tree, o->id, &node) < 0)
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
    if (!find_open(d, node->id) && dirtree_stat(d->stack.tree, node->id, &now) == 0 &&
        now.links == 0)
        end_file(d, &now);
    pthread_mutex_unlock(&d->lock);
}

int datadir_check_base(struct datadir *d, uint64_t id, struct err *err)
{
    struct dirtree_node node;
    struct basefile *b;
    int rc = dirtree_stat(d->stack.tree, id, &node);

    if (rc < 0)
        return err_set(err, -rc, "the file is gone");
    if (node.entry == MANIFEST_NONE)
        return 0;
    rc = stack_open_base(&d->stack, node.entry, &b, err);
    if (rc == 0)
        b->ops->close(b);
    return rc;
}

/* ---- attributes ---- */

/* A base that lives is not as its manifest has it. */
static int stat_base(struct datadir *d, const struct dirtree_node *node, struct stat *st)
{
    struct basefile *b;
    struct err err;
    int rc = stack_open_base(&d->stack, node->entry, &b, &err);

    if (rc < 0) {
        stack_complain(&d->stack, "%s", err.text);
        return rc;
    }
    rc = b->ops->stat(b, st);
    b->ops->close(b);
    return rc;
}

/* Size and times of a file that is not open, as its newest difference file has them. */
static int stat_closed(struct datadir *d, const struct dirtree_node *node, struct stat *st)
{
    const struct manifest_entry *e;
    char path[LAYER_PATH_MAX];
    unsigned layer;
    struct disk *disk;

    if (node->layers) {
        layer = 31 - (unsigned)__builtin_clz(node->layers);
        disk = d->stack.layers[layer];
        layer_path(path, LAYER_DIFF, node->id);
        return disk->ops->stat(disk, path, st);
    }
    if (node->entry == MANIFEST_NONE) {
        st->st_mtim = node->mtime;
        return 0;
    }
    if (d->stack.open_base)
        return stat_base(d, node, st);
    e = manifest_entry(d->stack.manifest, node->entry);
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
        if (S_ISLNK(node->mode) && dirtree_readlink(d->stack.tree, node->id, &target) == 0) {
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
    int rc = dirtree_stat(d->stack.tree, id, &node);

    return rc < 0 ? rc : stat_node(d, &node, st);
}

int datadir_lookup(struct datadir *d, uint64_t dir, const char *name, struct stat *st)
{
    struct dirtree_node node;
    int rc = dirtree_lookup(d->stack.tree, dir, name, &node);

    return rc < 0 ? rc : stat_node(d, &node, st);
}

int datadir_set_times(struct datadir *d, uint64_t id, const struct timespec times[2])
{
    struct timespec omit_access[2] = {{.tv_nsec = UTIME_OMIT}, times[1]};
    struct dirtree_node node;
    struct pagefile *f;
    int rc;

    if (times[1].tv_nsec == UTIME_OMIT)
        return 0; /* the time of the last access is not kept */
    rc = dirtree_stat(d->stack.tree, id, &node);
    if (rc < 0)
        return rc;
    if (!S_ISREG(node.mode)) {
        if (times[1].tv_nsec == UTIME_NOW)
            clock_gettime(CLOCK_REALTIME, &omit_access[1]);
        return dirtree_set_mtime(d->stack.tree, id, omit_access[1]);
    }
    rc = datadir_open_file(d, id, &f);
    if (rc < 0)
        return rc;
    rc = pagefile_set_times(f, omit_access);
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
    int rc = dirtree_make(d->stack.tree, dir, name, mode, target, &node);

    return rc < 0 ? rc : stat_node(d, &node, st);
}

int datadir_link(struct datadir *d, uint64_t id, uint64_t dir, const char *name, struct stat *st)
{
    struct dirtree_node node;
    int rc = dirtree_link(d->stack.tree, id, dir, name, &node);

    return rc < 0 ? rc : stat_node(d, &node, st);
}

int datadir_unlink(struct datadir *d, uint64_t dir, const char *name)
{
    struct dirtree_node gone;
    int rc = dirtree_unlink(d->stack.tree, dir, name, &gone);

    if (rc == 0)
        end_if_closed(d, &gone);
    return rc;
}

int datadir_rename(struct datadir *d, uint64_t dir, const char *name, uint64_t new_dir,
                   const char *new_name, unsigned flags)
{
    struct dirtree_node gone;
    int rc = dirtree_rename(d->stack.tree, dir, name, new_dir, new_name, flags, &gone);

    if (rc == 0)
        end_if_closed(d, &gone);
    return rc;
}

int datadir_sync_names(struct datadir *d)
{
    return stack_sync_names(&d->stack);
}

int datadir_space(struct datadir *d, struct statvfs *s)
{
    struct disk *newest = stack_newest(&d->stack);

    return newest->ops->space(newest, s);
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
    int rc;

    close_files(d);
    rc = d->stack.read_only ? 0 : stack_close(&d->stack, err);
    free_datadir(d);
    return rc;
}

int datadir_complete(struct datadir *d, struct err *err)
{
    int rc;

    pthread_mutex_lock(&d->lock);
    rc = d->files ? -EBUSY : 0;
    pthread_mutex_unlock(&d->lock);
    if (rc == 0)
        rc = stack_complete(&d->stack);
    return rc < 0 ? err_set(err, -rc, "cannot complete the view: %s", strerror(-rc)) : 0;
}
