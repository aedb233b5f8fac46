#include "pages/treejournal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define COMPACT_MIN (1u << 20)    /* shorter journals are left alone */
#define COMPACT_TIMES 4           /* a journal may be so many times as long as it need be */
#define COMPACT_FRAME (64u << 10) /* bytes of a frame of a compacted journal, about */

/* ---- records ---- */

struct names_record treejournal_node_record(const struct dirtree *t, const struct node *n)
{
    const char *target = n->target;

    if (!S_ISLNK(n->mode))
        target = "";
    else if (!target)
        target = manifest_target(t->m, n->entry);
    return (struct names_record){.type = NAMES_NODE,
                                 .id = n->id,
                                 .mode = n->mode,
                                 .dir = S_ISDIR(n->mode) ? n->parent : 0,
                                 .mtime_ns = n->mtime_ns,
                                 .text = target};
}

static struct names_record entry_record(uint64_t dir, const char *name, uint64_t id)
{
    return (struct names_record){.type = NAMES_ENTRY, .dir = dir, .id = id, .text = name};
}

static struct names_record id_record(enum names_type type, uint64_t id)
{
    return (struct names_record){.type = type, .id = id, .text = ""};
}

void treejournal_say_node(struct dirtree *t, const struct node *n)
{
    struct names_record r = treejournal_node_record(t, n);

    names_put(&t->frame, &r);
}

void treejournal_say_entry(struct dirtree *t, uint64_t dir, const char *name, uint64_t id)
{
    struct names_record r = entry_record(dir, name, id);

    names_put(&t->frame, &r);
}

void treejournal_say_touched(struct dirtree *t, uint64_t id)
{
    struct names_record r = id_record(NAMES_TOUCHED, id);

    names_put(&t->frame, &r);
}

static void acknowledge(void *arg, uint64_t size)
{
    struct dirtree *t = arg;

    if (t->appended)
        t->appended(t->arg, size);
}

int treejournal_append(struct dirtree *t)
{
    int rc = names_append(t->journal, &t->frame);

    if (rc == 0)
        acknowledge(t, names_size(t->journal));
    return rc;
}

/* ---- compaction ---- */

/* The payloads of a journal that is written anew; with `measure` only their size is found out. */
struct rewrite {
    bool measure;
    uint64_t bytes;
    struct buf *payloads;
    size_t count, room;
    int rc;
};

static struct buf *rewrite_next(struct rewrite *w)
{
    struct buf *b;

    if (w->count == w->room) {
        size_t room = w->room ? 2 * w->room : 16;
        struct buf *bigger = realloc(w->payloads, room * sizeof(*bigger));

        if (!bigger)
            return NULL;
        w->payloads = bigger;
        w->room = room;
    }
    b = &w->payloads[w->count];
    *b = (struct buf){.data = malloc(COMPACT_FRAME), .room = COMPACT_FRAME};
    if (!b->data)
        return NULL;
    w->count++;
    return b;
}

static void rewrite_put(struct rewrite *w, struct names_record r)
{
    size_t len = names_record_bytes(&r);
    struct buf *b = w->count ? &w->payloads[w->count - 1] : NULL;

    w->bytes += len;
    if (w->measure || w->rc < 0)
        return;
    if (!b || b->len + len + 1 > b->room)
        b = rewrite_next(w);
    if (!b)
        w->rc = -ENOMEM;
    else
        names_put(b, &r);
}

/*
 * What the newest layer says of the file itself. One without names may still be open: its storage
 * counts, and storage may yet be made (TOUCHED) of one that only a journal knows.
 */
static bool is_said(const struct dirtree *t, const struct node *n)
{
    if (n->layer != t->newest && !n->dated)
        return false;
    return n->names || (n->layers & treenodes_newest_bit(t)) ||
           (S_ISREG(n->mode) && n->id > manifest_entries(t->m));
}

static void rewrite_all(const struct dirtree *t, struct rewrite *w)
{
    const struct entry *e;
    const struct node *n;

    rewrite_put(w, id_record(NAMES_NEXT, t->next));
    for (n = treenodes_next_node(t, NULL); n; n = treenodes_next_node(t, n))
        if (is_said(t, n))
            rewrite_put(w, treejournal_node_record(t, n));
    for (e = treenodes_next_entry(t, NULL); e; e = treenodes_next_entry(t, e))
        if (e->layer == t->newest && e->id != e->below)
            rewrite_put(w, entry_record(e->dir, e->name, e->id));
    for (n = treenodes_next_node(t, NULL); n; n = treenodes_next_node(t, n))
        if (n->layers & treenodes_newest_bit(t))
            rewrite_put(w, id_record(NAMES_TOUCHED, n->id));
}

/*
 * What no name leads to and no journal needs. Files wait for dirtree_forget, for they may be open;
 * none is when a journal has just been read (`files`).
 */
static void sweep_nodes(struct dirtree *t, bool files)
{
    struct node *n, *next;

    for (n = treenodes_next_node(t, NULL); n; n = next) {
        next = treenodes_next_node(t, n);
        if (!n->names && !n->layers && !n->changed && n->id > manifest_entries(t->m) &&
            (files || !S_ISREG(n->mode)))
            treenodes_drop_node(t, n);
    }
}

static void rewritten(struct dirtree *t, uint64_t bytes)
{
    struct node *n;

    for (n = treenodes_next_node(t, NULL); n; n = treenodes_next_node(t, n)) {
        if (n->dated && is_said(t, n)) {
            n->layer = t->newest;
            n->dated = false;
        }
    }
    sweep_nodes(t, false);
    t->compact_at = COMPACT_TIMES * bytes;
}

static int compact(struct dirtree *t)
{
    struct rewrite w = {0};
    int rc;

    rewrite_all(t, &w);
    rc = w.rc;
    if (rc == 0) {
        rc = names_replace(t->journal, w.payloads, w.count, manifest_id(t->m), acknowledge, t);
        acknowledge(t, names_size(t->journal)); /* also when the old one stays */
    }
    if (rc == 0)
        rewritten(t, w.bytes);
    while (w.count)
        buf_free(&w.payloads[--w.count]);
    free(w.payloads);
    return rc;
}

/* Measuring takes time too: it is done again only when the journal has grown by an eighth. */
static bool is_too_long(struct dirtree *t)
{
    uint64_t size = names_size(t->journal);
    struct rewrite w = {.measure = true};

    if (size <= COMPACT_MIN || size <= t->compact_at)
        return false;
    rewrite_all(t, &w);
    t->compact_at = size + size / 8;
    return size > COMPACT_TIMES * w.bytes;
}

int dirtree_compact(struct dirtree *t, bool always)
{
    int rc = 0;

    pthread_rwlock_wrlock(&t->lock);
    if (!t->journal)
        rc = -EROFS;
    else if (always || is_too_long(t))
        rc = compact(t);
    pthread_rwlock_unlock(&t->lock);
    return rc;
}

/* Around each change. */

int treejournal_begin_change(struct dirtree *t)
{
    pthread_rwlock_wrlock(&t->lock);
    buf_clear(&t->frame);
    return t->journal ? 0 : -EROFS;
}

int treejournal_end_change(struct dirtree *t, int rc)
{
    /* A compaction that fails leaves the journal long, which is no reason to fail the change. */
    if (rc == 0 && is_too_long(t))
        compact(t);
    pthread_rwlock_unlock(&t->lock);
    return rc;
}

/* ---- applying journals ---- */

struct applying {
    struct dirtree *t;
    int layer;
};

static void see_number(struct dirtree *t, uint64_t id)
{
    if (id >= t->next)
        t->next = id + 1;
}

static int refuse_node(const struct names_record *r, const char *why, struct err *err)
{
    return err_set(err, EIO, "journal of names: file %" PRIu64 " %s", r->id, why);
}

static int check_node(const struct names_record *r, struct err *err)
{
    uint32_t type = r->mode & S_IFMT;

    if (r->id == 0 || r->id >= ID_END)
        return refuse_node(r, "has an impossible number", err);
    if ((type != S_IFREG && type != S_IFDIR && type != S_IFLNK) ||
        (r->mode & ~(uint32_t)(S_IFMT | 07777)))
        return refuse_node(r, "has an impossible mode", err);
    if ((type == S_IFLNK) != (*r->text != '\0'))
        return refuse_node(r, "has a target without being a link, or is a link without one", err);
    return 0;
}

/* The node that a record is about, with the link's target it names. */
static int node_of_record(struct dirtree *t, const struct names_record *r, struct node **n,
                          struct err *err)
{
    const char *target = S_ISLNK(r->mode) ? r->text : NULL;
    struct node new = {.id = r->id, .mode = r->mode, .entry = MANIFEST_NONE, .layer = UNSAID};
    char *copy;
    int rc;

    rc = treenodes_hold_node(t, r->id, n);
    if (rc == -ENOENT && r->id > manifest_entries(t->m)) {
        *n = treenodes_add_node(t, &new, target);
        return *n ? 0 : err_set(err, ENOMEM, "out of memory");
    }
    if (rc == -ENOENT)
        return refuse_node(r, "is a further name of a file of the base", err);
    if (rc < 0)
        return err_set(err, -rc, "out of memory");
    if (((*n)->mode & S_IFMT) != (r->mode & S_IFMT))
        return refuse_node(r, "is of one type and then of another", err);
    if (!target)
        return 0;
    copy = strdup(target);
    if (!copy)
        return err_set(err, ENOMEM, "out of memory");
    t->memory -= treenodes_node_bytes(*n);
    free((*n)->target);
    (*n)->target = copy;
    t->memory += treenodes_node_bytes(*n);
    return 0;
}

static int apply_node(struct applying *a, const struct names_record *r, struct err *err)
{
    struct node *n;
    int rc;

    rc = check_node(r, err);
    if (rc == 0)
        rc = node_of_record(a->t, r, &n, err);
    if (rc < 0)
        return rc;
    n->mode = r->mode;
    n->layer = a->layer;
    if (S_ISDIR(r->mode))
        n->parent = r->dir;
    n->mtime_ns = r->mtime_ns;
    see_number(a->t, r->id);
    return 0;
}

static int apply_entry(struct applying *a, const struct names_record *r, struct err *err)
{
    struct node *n;
    struct entry *e;
    int rc;

    if (!S_ISDIR(treenodes_mode_of(a->t, r->dir)))
        return err_set(err, EIO,
                       "journal of names: \"%s\" is said to be in %" PRIu64
                       ", which is no directory",
                       r->text, r->dir);
    if (r->id == DIRTREE_ROOT)
        return err_set(err, EIO, "journal of names: \"%s\" is said to be the root", r->text);
    rc = r->id ? treenodes_hold_node(a->t, r->id, &n) : 0;
    if (rc == -ENOENT)
        return err_set(err, EIO,
                       "journal of names: \"%s\" stands for file %" PRIu64 ", which there is not",
                       r->text, r->id);
    if (rc == 0)
        rc = treenodes_hold_entry(a->t, r->dir, r->text, &e);
    if (rc < 0)
        return err_set(err, -rc, "cannot read the journal of names: %s", strerror(-rc));
    treenodes_set_entry(a->t, e, r->id, a->layer);
    return 0;
}

static int apply_touched(struct applying *a, const struct names_record *r, struct err *err)
{
    struct node *n;
    int rc;

    if (!S_ISREG(treenodes_mode_of(a->t, r->id)))
        return refuse_node(r, "has difference storage but is no file", err);
    rc = treenodes_hold_node(a->t, r->id, &n);
    if (rc < 0)
        return err_set(err, -rc, "cannot read the journal of names: %s", strerror(-rc));
    n->layers |= 1u << a->layer;
    return 0;
}

static int apply_record(void *arg, const struct names_record *r, struct err *err)
{
    struct applying *a = arg;

    switch (r->type) {
    case NAMES_NODE:
        return apply_node(a, r, err);
    case NAMES_ENTRY:
        return apply_entry(a, r, err);
    case NAMES_TOUCHED:
        return apply_touched(a, r, err);
    case NAMES_NEXT:
        break;
    }
    if (r->id > ID_END)
        return err_set(err, EIO, "journal of names: an impossible number of files");
    if (r->id)
        see_number(a->t, r->id - 1);
    return 0;
}

/* Does the way up from a directory end? A second traveller of half the speed meets those in a ring.
 */
static bool has_way_up(const struct dirtree *t, uint64_t id)
{
    uint64_t slow = id;
    bool step = false;
    struct node n;

    while (id != DIRTREE_ROOT && treenodes_see(t, id, &n) && n.names) {
        id = n.parent;
        if (step && treenodes_see(t, slow, &n))
            slow = n.parent;
        step = !step;
        if (id == slow && id != DIRTREE_ROOT)
            return false;
    }
    return true;
}

/* The name of a base's directory, if it still has that: what its NODE record says must agree. */
static bool base_name_agrees(const struct dirtree *t, const struct node *n)
{
    const struct manifest_entry *e;
    uint64_t dir;

    if (n->id == DIRTREE_ROOT)
        return n->parent == DIRTREE_ROOT;
    if (n->id > manifest_entries(t->m))
        return true;
    e = manifest_entry(t->m, n->entry);
    dir = e->parent + UINT64_C(1);
    return n->parent == dir || treenodes_find_id(t, dir, manifest_name(t->m, n->entry)) != n->id;
}

/* What no single record shows: every directory has one name, where it says, below the root. */
static int check_directories(const struct dirtree *t, struct err *err)
{
    const struct entry *e;
    const struct node *n, *dir;

    for (e = treenodes_next_entry(t, NULL); e; e = treenodes_next_entry(t, e)) {
        dir = e->id ? treenodes_find_node(t, e->id) : NULL;
        if (dir && S_ISDIR(dir->mode) && dir->parent != e->dir)
            return err_set(err, EIO,
                           "journal of names: directory \"%s\" is in %" PRIu64
                           ", but says that it is in %" PRIu64,
                           e->name, e->dir, dir->parent);
    }
    for (n = treenodes_next_node(t, NULL); n; n = treenodes_next_node(t, n)) {
        if (!S_ISDIR(n->mode))
            continue;
        if (n->names > 1 || !base_name_agrees(t, n))
            return err_set(err, EIO, "journal of names: directory %" PRIu64 " is in two places",
                           n->id);
        if (!has_way_up(t, n->id))
            return err_set(err, EIO, "journal of names: directory %" PRIu64 " contains itself",
                           n->id);
    }
    return 0;
}

int dirtree_apply(struct dirtree *t, unsigned layer, const void *bytes, size_t len, uint64_t *good,
                  struct err *err)
{
    struct applying a = {t, (int)layer};
    int rc;

    *good = 0;
    if (layer >= LAYERS)
        return err_set(err, EINVAL, "layer %u is one too many", layer);
    pthread_rwlock_wrlock(&t->lock);
    t->newest = (int)layer;
    rc = names_walk(bytes, len, manifest_id(t->m), apply_record, &a, good, err);
    if (rc == 0)
        rc = check_directories(t, err);
    if (rc == 0)
        sweep_nodes(t, true);
    pthread_rwlock_unlock(&t->lock);
    return rc;
}

int dirtree_show(struct dirtree *t, const char *name, struct err *err)
{
    struct applying a = {t, t->newest};
    struct names_record r = {.type = NAMES_ENTRY, .dir = DIRTREE_ROOT, .text = name};
    int rc = 0;

    pthread_rwlock_wrlock(&t->lock);
    r.id = treenodes_base_id(t, DIRTREE_ROOT, name);
    if (t->journal)
        rc = err_set(err, EBUSY, "the tree of names is open for writing");
    else if (r.id && !treenodes_find_id(t, DIRTREE_ROOT, name))
        rc = apply_entry(&a, &r, err);
    pthread_rwlock_unlock(&t->lock);
    return rc;
}
