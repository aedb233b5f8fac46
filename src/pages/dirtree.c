/*
 * Only what some layer said is in memory: a node for each changed file, an entry for each changed
 * name. Everything else is looked up in the manifest as it is needed.
 *
 * A change takes four steps, and only the third can be seen to fail half way:
 *
 *   1. look     may it be done? Nothing is held in memory for a refusal.
 *   2. hold     nodes and entries that it changes are brought into memory, still saying what they
 *               said before; memory may be short
 *   3. append   one frame
 *   4. set      in memory; cannot fail
 *
 * Entries that say what the manifest says anyway leave memory again (settle), so that files that
 * come and go do not pile up.
 */
#include "pages/dirtree.h"

#define HASH_NONFATAL_OOM 1 /* hh.tbl is NULL behind an addition that found no memory */

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <uthash.h>

#include "common/mem.h"

#define UNSAID (-1)                /* by no layer */
#define LAYERS 32                  /* bits of dirtree_node.layers */
#define ID_END (UINT64_C(1) << 62) /* numbers are below it */
#define FRAME_ROOM 16384           /* the longest frame: a link's target, six records, names */
#define COMPACT_MIN (1u << 20)     /* shorter journals are left alone */
#define COMPACT_TIMES 4            /* a journal may be so many times as long as it need be */
#define COMPACT_FRAME (64u << 10)  /* bytes of a frame of a compacted journal, about */
#define NSEC INT64_C(1000000000)

/* A name that a layer said something about. */
struct entry {
    UT_hash_handle hh;
    struct entry *next, **link; /* the list of its directory */
    uint64_t id;                /* 0: there is no such name */
    uint64_t below;             /* the same without the layer that said it last */
    int layer;                  /* that one */
    uint64_t dir;               /* the key: dir and name, one behind the other */
    char name[];
};

/* A file that a layer said something about, or whose names did change. */
struct node {
    UT_hash_handle hh;
    uint64_t id;
    uint64_t parent; /* of a directory */
    int64_t mtime_ns;
    struct entry *changed; /* of a directory: names that changed */
    char *target;          /* of a link; NULL: that of the manifest */
    uint32_t mode;
    uint32_t names;
    uint32_t subdirs, children; /* of a directory */
    uint32_t entry;             /* in the manifest */
    uint32_t layers;            /* with difference storage */
    int layer;                  /* the last with a NODE record */
    bool dated;                 /* the mtime is newer than any journal says */
};

/* Of the manifest: further names of a file, subdirectories of a directory; those that have any. */
struct count {
    UT_hash_handle hh;
    uint32_t entry;
    uint32_t n;
};

struct key {
    uint64_t dir;
    char name[NAME_MAX + 1];
};

_Static_assert(offsetof(struct entry, name) == offsetof(struct entry, dir) + sizeof(uint64_t),
               "the key of an entry has no gap");

struct dirtree {
    pthread_mutex_t syncing; /* dirtree_sync; taken before lock */
    pthread_rwlock_t lock;   /* covers all below */
    const struct manifest *m;
    struct node *nodes;
    struct entry *entries;
    struct count *counts; /* does not change */
    uint64_t next;        /* the next number */
    int newest;           /* layer */
    struct names *journal;
    void (*appended)(void *arg, uint64_t size);
    void *arg;
    struct buf frame;    /* has FRAME_ROOM: putting a frame together needs no memory */
    uint64_t compact_at; /* bytes of the journal from which on to see whether it is too long */
    size_t memory;       /* of nodes and entries, without their handles */
};

/* ---- the manifest as nodes ----------------------------------------------------------------------
 */

/* The entry that stands for the file of entry i: names of one file have one number. */
static uint32_t entry_of_file(const struct manifest *m, uint32_t i)
{
    const struct manifest_entry *e = manifest_entry(m, i);

    return S_ISREG(e->mode) ? e->first : i;
}

static struct count *find_count(const struct dirtree *t, uint32_t entry)
{
    struct count *c;

    HASH_FIND(hh, t->counts, &entry, sizeof(entry), c);
    return c;
}

static void add_count(struct dirtree *t, uint32_t entry)
{
    struct count *c = find_count(t, entry);

    if (!c) {
        c = mem_alloc(sizeof(*c));
        c->entry = entry;
        HASH_ADD(hh, t->counts, entry, sizeof(c->entry), c);
        if (!c->hh.tbl)
            abort(); /* as mem_alloc: nothing is served yet */
    }
    c->n++;
}

static void count_names(struct dirtree *t)
{
    uint32_t i;

    for (i = 1; i < manifest_entries(t->m); i++) {
        const struct manifest_entry *e = manifest_entry(t->m, i);

        if (S_ISDIR(e->mode))
            add_count(t, e->parent);
        else if (entry_of_file(t->m, i) != i)
            add_count(t, e->first);
    }
}

/* The node of a file that no layer changed; false: the manifest has none of this number. */
static bool base_node(const struct dirtree *t, uint64_t id, struct node *n)
{
    const struct manifest_entry *e;
    const struct count *c;
    uint32_t i;

    if (id == 0 || id > manifest_entries(t->m))
        return false;
    i = (uint32_t)(id - 1);
    e = manifest_entry(t->m, i);
    if (entry_of_file(t->m, i) != i)
        return false;
    *n = (struct node){.id = id, .mode = e->mode, .names = 1, .entry = i, .layer = UNSAID};
    c = find_count(t, i);
    n->mtime_ns = e->mtime_ns;
    if (S_ISDIR(e->mode)) {
        n->parent = e->parent + UINT64_C(1);
        n->children = e->children;
        n->subdirs = c ? c->n : 0;
    } else if (c) {
        n->names += c->n;
    }
    return true;
}

/* What a name stands for in the manifest; 0: nothing. */
static uint64_t base_id(const struct dirtree *t, uint64_t dir, const char *name)
{
    uint32_t i;

    if (dir == 0 || dir > manifest_entries(t->m) ||
        !S_ISDIR(manifest_entry(t->m, (uint32_t)(dir - 1))->mode))
        return 0;
    i = manifest_find(t->m, (uint32_t)(dir - 1), name);
    return i == MANIFEST_NONE ? 0 : entry_of_file(t->m, i) + UINT64_C(1);
}

/* ---- looking ------------------------------------------------------------------------------------
 */

static struct node *find_node(const struct dirtree *t, uint64_t id)
{
    struct node *n;

    HASH_FIND(hh, t->nodes, &id, sizeof(id), n);
    return n;
}

/* The entry of a name that changed; the name is at most NAME_MAX long. */
static struct entry *find_entry(const struct dirtree *t, uint64_t dir, const char *name)
{
    size_t len = strlen(name);
    struct entry *e;
    struct key key;

    key.dir = dir;
    memcpy(key.name, name, len);
    HASH_FIND(hh, t->entries, &key, sizeof(key.dir) + len, e);
    return e;
}

/* A copy of the node, in memory or not. */
static bool see(const struct dirtree *t, uint64_t id, struct node *n)
{
    const struct node *found = find_node(t, id);

    if (!found)
        return base_node(t, id, n);
    *n = *found;
    return true;
}

static uint32_t mode_of(const struct dirtree *t, uint64_t id)
{
    struct node n;

    return see(t, id, &n) ? n.mode : 0;
}

static uint64_t find_id(const struct dirtree *t, uint64_t dir, const char *name)
{
    const struct entry *e = find_entry(t, dir, name);

    return e ? e->id : base_id(t, dir, name);
}

static int check_name(const char *name)
{
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    if (!*name || !strcmp(name, ".") || !strcmp(name, "..") || strchr(name, '/'))
        return -EINVAL;
    return 0;
}

/* *id: what the name stands for, 0: nothing. */
static int look(const struct dirtree *t, uint64_t dir, const char *name, uint64_t *id)
{
    struct node d;
    int rc;

    if (!see(t, dir, &d))
        return -ENOENT;
    if (!S_ISDIR(d.mode))
        return -ENOTDIR;
    rc = check_name(name);
    if (rc == 0)
        *id = find_id(t, dir, name);
    return rc;
}

static struct timespec to_timespec(int64_t ns)
{
    int64_t seconds = ns / NSEC, rest = ns % NSEC;

    if (rest < 0) {
        seconds--;
        rest += NSEC;
    }
    return (struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = (long)rest};
}

static void show(const struct node *n, struct dirtree_node *out)
{
    bool dir = S_ISDIR(n->mode);

    *out = (struct dirtree_node){.id = n->id,
                                 .mode = n->mode,
                                 .links = dir && n->names ? 2 + n->subdirs : n->names,
                                 .entry = n->entry,
                                 .layers = n->layers,
                                 .parent = dir ? n->parent : 0,
                                 .mtime = to_timespec(n->mtime_ns)};
}

/* ---- holding ------------------------------------------------------------------------------------
 */

static size_t node_bytes(const struct node *n)
{
    return sizeof(*n) - sizeof(n->hh) + (n->target ? strlen(n->target) + 1 : 0);
}

static size_t entry_bytes(const struct entry *e)
{
    return sizeof(*e) - sizeof(e->hh) + strlen(e->name) + 1;
}

/* `like` in memory, with a copy of `target` (may be NULL); NULL: no memory. */
static struct node *add_node(struct dirtree *t, const struct node *like, const char *target)
{
    struct node *n = malloc(sizeof(*n));

    if (!n)
        return NULL;
    *n = *like;
    n->target = target ? strdup(target) : NULL;
    if (target && !n->target) {
        free(n);
        return NULL;
    }
    HASH_ADD(hh, t->nodes, id, sizeof(n->id), n);
    if (!n->hh.tbl) {
        free(n->target);
        free(n);
        return NULL;
    }
    t->memory += node_bytes(n);
    return n;
}

static void drop_node(struct dirtree *t, struct node *n)
{
    t->memory -= node_bytes(n);
    HASH_DEL(t->nodes, n);
    free(n->target);
    free(n);
}

/* The node of a file, brought into memory. -ENOENT: there is none. */
static int hold_node(struct dirtree *t, uint64_t id, struct node **n)
{
    struct node base;

    *n = find_node(t, id);
    if (*n)
        return 0;
    if (!base_node(t, id, &base))
        return -ENOENT;
    *n = add_node(t, &base, NULL);
    return *n ? 0 : -ENOMEM;
}

static void drop_entry(struct dirtree *t, struct entry *e)
{
    t->memory -= entry_bytes(e);
    *e->link = e->next;
    if (e->next)
        e->next->link = e->link;
    HASH_DEL(t->entries, e);
    free(e);
}

/* An entry that says what the manifest says, and below the newest layer too, is not needed. */
static void settle(struct dirtree *t, struct entry *e)
{
    if (e && e->id == e->below && e->id == base_id(t, e->dir, e->name))
        drop_entry(t, e);
}

static struct entry *add_entry(struct dirtree *t, struct node *dir, const char *name)
{
    size_t len = strlen(name);
    struct entry *e = malloc(sizeof(*e) + len + 1);

    if (!e)
        return NULL;
    e->id = e->below = base_id(t, dir->id, name);
    e->layer = UNSAID;
    e->dir = dir->id;
    memcpy(e->name, name, len + 1);
    HASH_ADD_KEYPTR(hh, t->entries, (char *)e + offsetof(struct entry, dir), sizeof(e->dir) + len,
                    e);
    if (!e->hh.tbl) {
        free(e);
        return NULL;
    }
    e->next = dir->changed;
    if (e->next)
        e->next->link = &e->next;
    e->link = &dir->changed;
    dir->changed = e;
    t->memory += entry_bytes(e);
    return e;
}

/* The entry of a name, its directory and the file it stands for, brought into memory. */
static int hold_entry(struct dirtree *t, uint64_t dir, const char *name, struct entry **e)
{
    struct node *n, *d;
    int rc;

    *e = NULL;
    rc = hold_node(t, dir, &d);
    if (rc < 0)
        return rc;
    *e = find_entry(t, dir, name);
    if (!*e)
        *e = add_entry(t, d, name);
    if (!*e)
        return -ENOMEM;
    if (!(*e)->id)
        return 0;
    rc = hold_node(t, (*e)->id, &n);
    if (rc < 0) {
        settle(t, *e);
        *e = NULL;
    }
    return rc;
}

/* As hold_entry, of a directory in which names can still be made. */
static int hold_new_entry(struct dirtree *t, uint64_t dir, const char *name, struct entry **e)
{
    struct node d;

    *e = NULL;
    if (!see(t, dir, &d) || !d.names)
        return -ENOENT;
    return hold_entry(t, dir, name, e);
}

/* ---- setting ------------------------------------------------------------------------------------
 */

/* Names that are held: one more (1) or one less (-1) in `dir` for `id`. */
static void count_name(struct dirtree *t, uint64_t dir, uint64_t id, int by)
{
    struct node *n = id ? find_node(t, id) : NULL, *d = find_node(t, dir);

    if (!n || !d)
        return;
    n->names += (uint32_t)by;
    d->children += (uint32_t)by;
    if (S_ISDIR(n->mode))
        d->subdirs += (uint32_t)by;
}

/* The name stands for `id` from now on, says `layer`. The entry may be gone afterwards. */
static void set_entry(struct dirtree *t, struct entry *e, uint64_t id, int layer)
{
    if (e->layer < layer) {
        e->below = e->id;
        e->layer = layer;
    }
    count_name(t, e->dir, e->id, -1);
    count_name(t, e->dir, id, 1);
    e->id = id;
    settle(t, e);
}

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * NSEC + now.tv_nsec;
}

/* As set_entry, as part of a change that is being made: the directory's time is now. */
static void change_entry(struct dirtree *t, struct entry *e, uint64_t id)
{
    struct node *d = find_node(t, e->dir);

    if (d) {
        d->mtime_ns = now_ns();
        d->dated = true;
    }
    set_entry(t, e, id, t->newest);
}

/* ---- records ------------------------------------------------------------------------------------
 */

static struct names_record node_record(const struct dirtree *t, const struct node *n)
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

static void say_node(struct dirtree *t, const struct node *n)
{
    struct names_record r = node_record(t, n);

    names_put(&t->frame, &r);
}

static void say_entry(struct dirtree *t, uint64_t dir, const char *name, uint64_t id)
{
    struct names_record r = entry_record(dir, name, id);

    names_put(&t->frame, &r);
}

static void say_touched(struct dirtree *t, uint64_t id)
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

static int append(struct dirtree *t)
{
    int rc = names_append(t->journal, &t->frame);

    if (rc == 0)
        acknowledge(t, names_size(t->journal));
    return rc;
}

static uint32_t newest_bit(const struct dirtree *t)
{
    return 1u << t->newest;
}

/* ---- compaction ---------------------------------------------------------------------------------
 */

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
    return n->names || (n->layers & newest_bit(t)) ||
           (S_ISREG(n->mode) && n->id > manifest_entries(t->m));
}

static void rewrite_all(const struct dirtree *t, struct rewrite *w)
{
    const struct entry *e;
    const struct node *n;

    rewrite_put(w, id_record(NAMES_NEXT, t->next));
    for (n = t->nodes; n; n = n->hh.next)
        if (is_said(t, n))
            rewrite_put(w, node_record(t, n));
    for (e = t->entries; e; e = e->hh.next)
        if (e->layer == t->newest && e->id != e->below)
            rewrite_put(w, entry_record(e->dir, e->name, e->id));
    for (n = t->nodes; n; n = n->hh.next)
        if (n->layers & newest_bit(t))
            rewrite_put(w, id_record(NAMES_TOUCHED, n->id));
}

/*
 * What no name leads to and no journal needs. Files wait for dirtree_forget, for they may be open;
 * none is when a journal has just been read (`files`).
 */
static void sweep(struct dirtree *t, bool files)
{
    struct node *n, *next;

    for (n = t->nodes; n; n = next) {
        next = n->hh.next;
        if (!n->names && !n->layers && !n->changed && n->id > manifest_entries(t->m) &&
            (files || !S_ISREG(n->mode)))
            drop_node(t, n);
    }
}

static void rewritten(struct dirtree *t, uint64_t bytes)
{
    struct node *n;

    for (n = t->nodes; n; n = n->hh.next) {
        if (n->dated && is_said(t, n)) {
            n->layer = t->newest;
            n->dated = false;
        }
    }
    sweep(t, false);
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

static int begin_change(struct dirtree *t)
{
    pthread_rwlock_wrlock(&t->lock);
    buf_clear(&t->frame);
    return t->journal ? 0 : -EROFS;
}

static int end_change(struct dirtree *t, int rc)
{
    /* A compaction that fails leaves the journal long, which is no reason to fail the change. */
    if (rc == 0 && is_too_long(t))
        compact(t);
    pthread_rwlock_unlock(&t->lock);
    return rc;
}

/* ---- applying journals --------------------------------------------------------------------------
 */

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

    rc = hold_node(t, r->id, n);
    if (rc == -ENOENT && r->id > manifest_entries(t->m)) {
        *n = add_node(t, &new, target);
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
    t->memory -= node_bytes(*n);
    free((*n)->target);
    (*n)->target = copy;
    t->memory += node_bytes(*n);
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

    if (!S_ISDIR(mode_of(a->t, r->dir)))
        return err_set(err, EIO,
                       "journal of names: \"%s\" is said to be in %" PRIu64
                       ", which is no directory",
                       r->text, r->dir);
    if (r->id == DIRTREE_ROOT)
        return err_set(err, EIO, "journal of names: \"%s\" is said to be the root", r->text);
    rc = r->id ? hold_node(a->t, r->id, &n) : 0;
    if (rc == -ENOENT)
        return err_set(err, EIO,
                       "journal of names: \"%s\" stands for file %" PRIu64 ", which there is not",
                       r->text, r->id);
    if (rc == 0)
        rc = hold_entry(a->t, r->dir, r->text, &e);
    if (rc < 0)
        return err_set(err, -rc, "cannot read the journal of names: %s", strerror(-rc));
    set_entry(a->t, e, r->id, a->layer);
    return 0;
}

static int apply_touched(struct applying *a, const struct names_record *r, struct err *err)
{
    struct node *n;
    int rc;

    if (!S_ISREG(mode_of(a->t, r->id)))
        return refuse_node(r, "has difference storage but is no file", err);
    rc = hold_node(a->t, r->id, &n);
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

    while (id != DIRTREE_ROOT && see(t, id, &n) && n.names) {
        id = n.parent;
        if (step && see(t, slow, &n))
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
    return n->parent == dir || find_id(t, dir, manifest_name(t->m, n->entry)) != n->id;
}

/* What no single record shows: every directory has one name, where it says, below the root. */
static int check_directories(const struct dirtree *t, struct err *err)
{
    const struct entry *e;
    const struct node *n, *dir;

    for (e = t->entries; e; e = e->hh.next) {
        dir = e->id ? find_node(t, e->id) : NULL;
        if (dir && S_ISDIR(dir->mode) && dir->parent != e->dir)
            return err_set(err, EIO,
                           "journal of names: directory \"%s\" is in %" PRIu64
                           ", but says that it is in %" PRIu64,
                           e->name, e->dir, dir->parent);
    }
    for (n = t->nodes; n; n = n->hh.next) {
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
        sweep(t, true);
    pthread_rwlock_unlock(&t->lock);
    return rc;
}

int dirtree_show(struct dirtree *t, const char *name, struct err *err)
{
    struct applying a = {t, t->newest};
    struct names_record r = {.type = NAMES_ENTRY, .dir = DIRTREE_ROOT, .text = name};
    int rc = 0;

    pthread_rwlock_wrlock(&t->lock);
    r.id = base_id(t, DIRTREE_ROOT, name);
    if (t->journal)
        rc = err_set(err, EBUSY, "the tree of names is open for writing");
    else if (r.id && !find_id(t, DIRTREE_ROOT, name))
        rc = apply_entry(&a, &r, err);
    pthread_rwlock_unlock(&t->lock);
    return rc;
}

/* ---- the tree as a whole ------------------------------------------------------------------------
 */

struct dirtree *dirtree_new(const struct manifest *m)
{
    struct dirtree *t = mem_alloc(sizeof(*t));

    pthread_rwlock_init(&t->lock, NULL);
    pthread_mutex_init(&t->syncing, NULL);
    t->m = m;
    t->next = manifest_entries(m) + UINT64_C(1);
    buf_reserve(&t->frame, FRAME_ROOM);
    count_names(t);
    return t;
}

void dirtree_free(struct dirtree *t)
{
    struct count *c, *next;

    if (!t)
        return;
    while (t->entries)
        drop_entry(t, t->entries);
    while (t->nodes)
        drop_node(t, t->nodes);
    HASH_ITER(hh, t->counts, c, next)
    {
        HASH_DEL(t->counts, c);
        free(c);
    }
    names_close(t->journal);
    buf_free(&t->frame);
    pthread_mutex_destroy(&t->syncing);
    pthread_rwlock_destroy(&t->lock);
    free(t);
}

void dirtree_begin(struct dirtree *t, unsigned layer, struct names *journal,
                   void (*appended)(void *arg, uint64_t size), void *arg)
{
    pthread_rwlock_wrlock(&t->lock);
    t->newest = (int)(layer % LAYERS);
    t->journal = journal;
    t->appended = appended;
    t->arg = arg;
    pthread_rwlock_unlock(&t->lock);
}

int dirtree_sync(struct dirtree *t)
{
    int rc;

    /* Appending needs the lock alone and waits; whoever only looks does not. */
    pthread_mutex_lock(&t->syncing);
    pthread_rwlock_rdlock(&t->lock);
    rc = t->journal ? names_sync(t->journal) : 0;
    pthread_rwlock_unlock(&t->lock);
    pthread_mutex_unlock(&t->syncing);
    return rc;
}

size_t dirtree_memory(struct dirtree *t)
{
    size_t bytes;

    pthread_rwlock_rdlock(&t->lock);
    bytes = sizeof(*t) + t->frame.room + t->memory;
    bytes += HASH_OVERHEAD(hh, t->nodes) + HASH_OVERHEAD(hh, t->entries);
    bytes += HASH_OVERHEAD(hh, t->counts) +
             HASH_COUNT(t->counts) * (sizeof(*t->counts) - sizeof(t->counts->hh));
    pthread_rwlock_unlock(&t->lock);
    return bytes;
}

/* ---- reading ------------------------------------------------------------------------------------
 */

int dirtree_stat(struct dirtree *t, uint64_t id, struct dirtree_node *node)
{
    struct node n;
    int rc = -ENOENT;

    pthread_rwlock_rdlock(&t->lock);
    if (see(t, id, &n)) {
        show(&n, node);
        rc = 0;
    }
    pthread_rwlock_unlock(&t->lock);
    return rc;
}

static int lookup(const struct dirtree *t, uint64_t dir, const char *name, struct node *n)
{
    uint64_t id = 0;
    int rc = look(t, dir, name, &id);

    if (rc < 0)
        return rc;
    return id && see(t, id, n) ? 0 : -ENOENT;
}

int dirtree_lookup(struct dirtree *t, uint64_t dir, const char *name, struct dirtree_node *node)
{
    struct node n;
    int rc;

    pthread_rwlock_rdlock(&t->lock);
    rc = lookup(t, dir, name, &n);
    if (rc == 0)
        show(&n, node);
    pthread_rwlock_unlock(&t->lock);
    return rc;
}

static int walk(const struct dirtree *t, const char *path, struct node *n)
{
    char name[NAME_MAX + 1];
    size_t len;
    int rc = 0;

    if (!see(t, DIRTREE_ROOT, n))
        return -ENOENT;
    for (path += strspn(path, "/"); rc == 0 && *path; path += strspn(path, "/")) {
        len = strcspn(path, "/");
        if (len > NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(name, path, len);
        name[len] = '\0';
        rc = lookup(t, n->id, name, n);
        path += len;
    }
    return rc;
}

int dirtree_walk(struct dirtree *t, const char *path, struct dirtree_node *node)
{
    struct node n;
    int rc;

    pthread_rwlock_rdlock(&t->lock);
    rc = walk(t, path, &n);
    if (rc == 0)
        show(&n, node);
    pthread_rwlock_unlock(&t->lock);
    return rc;
}

int dirtree_readlink(struct dirtree *t, uint64_t id, char **target)
{
    struct node n;
    int rc = 0;

    *target = NULL;
    pthread_rwlock_rdlock(&t->lock);
    if (!see(t, id, &n))
        rc = -ENOENT;
    else if (!S_ISLNK(n.mode))
        rc = -EINVAL;
    else if (!(*target = strdup(node_record(t, &n).text)))
        rc = -ENOMEM;
    pthread_rwlock_unlock(&t->lock);
    return rc;
}

int dirtree_each_touched(struct dirtree *t, int (*each)(void *arg, const struct dirtree_node *node),
                         void *arg)
{
    struct dirtree_node node;
    const struct node *n;
    int rc = 0;

    pthread_rwlock_rdlock(&t->lock);
    for (n = t->nodes; rc == 0 && n; n = n->hh.next) {
        if (n->layers & newest_bit(t)) {
            show(n, &node);
            rc = each(arg, &node);
        }
    }
    pthread_rwlock_unlock(&t->lock);
    return rc;
}

/* ---- listing ------------------------------------------------------------------------------------
 */

/* The names of a directory in order: those of the manifest, and the changed ones in their place. */
struct merge {
    const struct dirtree *t;
    uint32_t next, end; /* of the manifest */
    const struct entry **changed;
    size_t at, count;
};

static int by_name(const void *a, const void *b)
{
    const struct entry *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

static int merge_begin(struct merge *g, const struct dirtree *t, const struct node *dir)
{
    const struct manifest_entry *base;
    const struct entry *e;

    *g = (struct merge){.t = t};
    if (dir->id <= manifest_entries(t->m)) {
        base = manifest_entry(t->m, dir->entry);
        g->next = base->first;
        g->end = base->first + base->children;
    }
    for (e = dir->changed; e; e = e->next)
        g->count++;
    g->changed = malloc((g->count ? g->count : 1) * sizeof(*g->changed));
    if (!g->changed)
        return -ENOMEM;
    for (e = dir->changed; e; e = e->next)
        g->changed[g->at++] = e;
    qsort(g->changed, g->count, sizeof(*g->changed), by_name);
    g->at = 0;
    return 0;
}

/* The next name and what it stands for; NULL behind the last. */
static const char *merge_next(struct merge *g, uint64_t *id)
{
    const struct entry *e;
    const char *name;
    int order;

    while (g->next < g->end || g->at < g->count) {
        e = g->at < g->count ? g->changed[g->at] : NULL;
        name = g->next < g->end ? manifest_name(g->t->m, g->next) : NULL;
        order = !e ? -1 : !name ? 1 : strcmp(name, e->name);
        if (order < 0) {
            *id = entry_of_file(g->t->m, g->next++) + UINT64_C(1);
            return name;
        }
        g->next += order == 0;
        g->at++;
        *id = e->id;
        if (e->id)
            return e->name;
    }
    return NULL;
}

static int list(const struct dirtree *t, const struct node *dir, struct dirtree_listing *l)
{
    struct merge g;
    const char *name;
    size_t text = 0, count = 0, at = 0, len;
    uint64_t id;
    int rc;

    rc = merge_begin(&g, t, dir);
    if (rc < 0)
        return rc;
    while ((name = merge_next(&g, &id))) {
        count++;
        text += strlen(name) + 1;
    }
    free(g.changed);
    rc = merge_begin(&g, t, dir);
    if (rc < 0)
        return rc;
    l->items = malloc((count ? count : 1) * sizeof(*l->items));
    l->text = malloc(text ? text : 1);
    while (l->items && l->text && (name = merge_next(&g, &id))) {
        len = strlen(name) + 1;
        memcpy(l->text + at, name, len);
        l->items[l->count++] = (struct dirtree_item){id, mode_of(t, id), l->text + at};
        at += len;
    }
    free(g.changed);
    return l->items && l->text ? 0 : -ENOMEM;
}

int dirtree_list(struct dirtree *t, uint64_t dir, struct dirtree_listing *l)
{
    struct node n;
    int rc;

    *l = (struct dirtree_listing){0};
    pthread_rwlock_rdlock(&t->lock);
    if (!see(t, dir, &n))
        rc = -ENOENT;
    else if (!S_ISDIR(n.mode))
        rc = -ENOTDIR;
    else
        rc = list(t, &n, l);
    pthread_rwlock_unlock(&t->lock);
    if (rc < 0)
        dirtree_listing_free(l);
    return rc;
}

void dirtree_listing_free(struct dirtree_listing *l)
{
    free(l->items);
    free(l->text);
    *l = (struct dirtree_listing){0};
}

/* ---- paths, for messages ------------------------------------------------------------------------
 */

/* Of the manifest, unless the name changed. */
static const char *base_name_of(const struct dirtree *t, uint32_t i, uint64_t id, uint64_t *dir)
{
    *dir = manifest_entry(t->m, i)->parent + UINT64_C(1);
    return find_id(t, *dir, manifest_name(t->m, i)) == id ? manifest_name(t->m, i) : NULL;
}

/* Any name of a file; NULL: it has none. Nothing leads from a file to its names but looking. */
static const char *any_name(const struct dirtree *t, uint64_t id, uint64_t *dir)
{
    const char *name = NULL;
    const struct entry *e;
    uint32_t i;

    if (id <= manifest_entries(t->m))
        name = base_name_of(t, (uint32_t)(id - 1), id, dir);
    for (e = t->entries; e && !name; e = e->hh.next) {
        if (e->id == id) {
            *dir = e->dir;
            name = e->name;
        }
    }
    for (i = (uint32_t)id; id < manifest_entries(t->m) && !name && i < manifest_entries(t->m); i++)
        if (entry_of_file(t->m, i) + UINT64_C(1) == id)
            name = base_name_of(t, i, id, dir);
    return name;
}

static char *path_of(const struct dirtree *t, uint64_t id)
{
    char *path = strdup(""), *longer;
    const char *name;
    struct node n;
    size_t len;

    while (path && id != DIRTREE_ROOT) {
        name = see(t, id, &n) && n.names ? any_name(t, id, &id) : NULL;
        if (!name) {
            free(path);
            return strdup("?");
        }
        len = strlen(name) + 1 + strlen(path) + 1;
        longer = malloc(len);
        if (longer) {
            stpcpy(stpcpy(stpcpy(longer, name), *path ? "/" : ""), path);
        }
        free(path);
        path = longer;
    }
    return path;
}

char *dirtree_path(struct dirtree *t, uint64_t id)
{
    char *path;

    pthread_rwlock_rdlock(&t->lock);
    path = path_of(t, id);
    pthread_rwlock_unlock(&t->lock);
    return path;
}

/* ---- making -------------------------------------------------------------------------------------
 */

static int check_kind(uint32_t mode, const char *target)
{
    if (!S_ISREG(mode) && !S_ISDIR(mode) && !S_ISLNK(mode))
        return -EPERM; /* as mknod(2) where a file system has no such files */
    if (!S_ISLNK(mode))
        return 0;
    if (!target || !*target)
        return -ENOENT;
    return strlen(target) > NAMES_TEXT_MAX ? -ENAMETOOLONG : 0;
}

/* A node without names, not yet in any journal. */
static int new_node(struct dirtree *t, uint64_t dir, uint32_t mode, const char *target,
                    struct node **n)
{
    struct node new = {
        .id = t->next, .mode = mode & (S_IFMT | 07777), .entry = MANIFEST_NONE, .layer = t->newest};

    *n = NULL;
    if (t->next >= ID_END)
        return -ENOSPC;
    if (S_ISDIR(mode))
        new.parent = dir;
    new.mtime_ns = now_ns();
    *n = add_node(t, &new, S_ISLNK(mode) ? target : NULL);
    return *n ? 0 : -ENOMEM;
}

static int make(struct dirtree *t, uint64_t dir, const char *name, uint32_t mode,
                const char *target, struct dirtree_node *node)
{
    struct node *n = NULL;
    struct entry *e = NULL;
    uint64_t id = 0;
    int rc;

    rc = look(t, dir, name, &id);
    if (rc == 0)
        rc = id ? -EEXIST : check_kind(mode, target);
    if (rc == 0)
        rc = hold_new_entry(t, dir, name, &e);
    if (rc == 0)
        rc = new_node(t, dir, mode, target, &n);
    if (rc < 0)
        goto out;
    say_node(t, n);
    say_entry(t, dir, name, n->id);
    rc = append(t);
    if (rc < 0)
        goto out;
    t->next++;
    change_entry(t, e, n->id);
    show(n, node);
    return 0;
out:
    if (n)
        drop_node(t, n);
    settle(t, e);
    return rc;
}

int dirtree_make(struct dirtree *t, uint64_t dir, const char *name, uint32_t mode,
                 const char *target, struct dirtree_node *node)
{
    int rc = begin_change(t);

    if (rc == 0)
        rc = make(t, dir, name, mode, target, node);
    return end_change(t, rc);
}

static int make_link(struct dirtree *t, uint64_t id, uint64_t dir, const char *name,
                     struct dirtree_node *node)
{
    struct entry *e = NULL;
    struct node *n, file;
    uint64_t there = 0;
    int rc;

    if (!see(t, id, &file))
        return -ENOENT;
    rc = look(t, dir, name, &there);
    if (rc < 0)
        return rc;
    if (there)
        return -EEXIST;
    if (S_ISDIR(file.mode))
        return -EPERM;
    if (!file.names)
        return -ENOENT;
    if (file.names == UINT32_MAX)
        return -EMLINK;
    rc = hold_node(t, id, &n);
    if (rc == 0)
        rc = hold_new_entry(t, dir, name, &e);
    if (rc < 0)
        return rc;
    say_entry(t, dir, name, id);
    rc = append(t);
    if (rc < 0) {
        settle(t, e);
        return rc;
    }
    change_entry(t, e, id);
    show(n, node);
    return 0;
}

int dirtree_link(struct dirtree *t, uint64_t id, uint64_t dir, const char *name,
                 struct dirtree_node *node)
{
    int rc = begin_change(t);

    if (rc == 0)
        rc = make_link(t, id, dir, name, node);
    return end_change(t, rc);
}

/* ---- removing -----------------------------------------------------------------------------------
 */

static int check_removal(const struct node *n, bool directory)
{
    if (directory && !S_ISDIR(n->mode))
        return -ENOTDIR;
    if (!directory && S_ISDIR(n->mode))
        return -EISDIR;
    return directory && n->children ? -ENOTEMPTY : 0;
}

static int remove_name(struct dirtree *t, uint64_t dir, const char *name, bool directory,
                       struct dirtree_node *gone)
{
    struct entry *e;
    struct node n;
    int rc;

    rc = lookup(t, dir, name, &n);
    if (rc == 0)
        rc = check_removal(&n, directory);
    if (rc == 0)
        rc = hold_entry(t, dir, name, &e);
    if (rc < 0)
        return rc;
    say_entry(t, dir, name, 0);
    rc = append(t);
    if (rc < 0) {
        settle(t, e);
        return rc;
    }
    change_entry(t, e, 0);
    show(find_node(t, n.id), gone);
    return 0;
}

int dirtree_unlink(struct dirtree *t, uint64_t dir, const char *name, struct dirtree_node *gone)
{
    int rc = begin_change(t);

    if (rc == 0)
        rc = remove_name(t, dir, name, false, gone);
    return end_change(t, rc);
}

int dirtree_rmdir(struct dirtree *t, uint64_t dir, const char *name)
{
    struct dirtree_node gone;
    int rc = begin_change(t);

    if (rc == 0)
        rc = remove_name(t, dir, name, true, &gone);
    return end_change(t, rc);
}

void dirtree_forget(struct dirtree *t, uint64_t id)
{
    struct node *n;

    pthread_rwlock_wrlock(&t->lock);
    n = find_node(t, id);
    if (n && !n->names) {
        n->layers &= ~newest_bit(t);
        /* A file of the base has to be remembered as one that has lost its names. */
        if (id > manifest_entries(t->m) && !n->changed)
            drop_node(t, n);
    }
    pthread_rwlock_unlock(&t->lock);
}

/* ---- renaming -----------------------------------------------------------------------------------
 */

/* One of the two names of a rename. */
struct place {
    uint64_t dir;
    const char *name;
    uint64_t id; /* 0: nothing is there */
    struct node node;
    struct entry *entry; /* held */
};

/* Is `dir` the directory `id`, or anywhere below it? */
static bool is_below(const struct dirtree *t, uint64_t dir, uint64_t id)
{
    struct node n;

    while (dir != id && dir != DIRTREE_ROOT && see(t, dir, &n) && n.names)
        dir = n.parent;
    return dir == id;
}

static int look_at_place(const struct dirtree *t, struct place *p)
{
    int rc = look(t, p->dir, p->name, &p->id);

    if (rc == 0 && p->id && !see(t, p->id, &p->node))
        rc = -ENOENT;
    return rc;
}

/* May a file take the place of another? */
static int check_replacement(const struct node *from, const struct node *to)
{
    if (S_ISDIR(from->mode) && !S_ISDIR(to->mode))
        return -ENOTDIR;
    if (!S_ISDIR(from->mode) && S_ISDIR(to->mode))
        return -EISDIR;
    return S_ISDIR(to->mode) && to->children ? -ENOTEMPTY : 0;
}

/* The rules of rename(2), in the order in which Linux applies them. 1: nothing is to be done. */
static int check_rename(const struct dirtree *t, const struct place *from, const struct place *to,
                        unsigned flags)
{
    if (!from->id)
        return -ENOENT;
    if ((flags & RENAME_NOREPLACE) && to->id)
        return -EEXIST;
    if ((flags & RENAME_EXCHANGE) && !to->id)
        return -ENOENT;
    if (is_below(t, to->dir, from->id))
        return -EINVAL;
    if (to->id && is_below(t, from->dir, to->id))
        return flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
    if (from->id == to->id)
        return 1;
    if (to->id && !(flags & RENAME_EXCHANGE))
        return check_replacement(&from->node, &to->node);
    return 0;
}

/* A directory says in its node where it is. */
static void say_move(struct dirtree *t, const struct place *p, uint64_t new_dir)
{
    struct node moved = p->node;

    if (!S_ISDIR(moved.mode) || moved.parent == new_dir)
        return;
    moved.parent = new_dir;
    say_node(t, &moved);
}

static void move_node(struct dirtree *t, uint64_t id, uint64_t new_dir)
{
    struct node *n = find_node(t, id);

    if (!n || !S_ISDIR(n->mode) || n->parent == new_dir)
        return;
    n->parent = new_dir;
    n->layer = t->newest;
}

static int hold_places(struct dirtree *t, struct place *from, struct place *to)
{
    int rc;

    rc = hold_entry(t, from->dir, from->name, &from->entry);
    if (rc == 0)
        rc = hold_new_entry(t, to->dir, to->name, &to->entry);
    return rc;
}

/* `exchanged`: what goes to the old name; 0: nothing. */
static int move(struct dirtree *t, struct place *from, struct place *to, uint64_t exchanged)
{
    int rc;

    say_entry(t, from->dir, from->name, exchanged);
    say_entry(t, to->dir, to->name, from->id);
    say_move(t, from, to->dir);
    if (exchanged)
        say_move(t, to, from->dir);
    rc = append(t);
    if (rc < 0)
        return rc;
    change_entry(t, from->entry, exchanged);
    change_entry(t, to->entry, from->id);
    move_node(t, from->id, to->dir);
    if (exchanged)
        move_node(t, exchanged, from->dir);
    return 0;
}

static int rename_place(struct dirtree *t, struct place *from, struct place *to, unsigned flags,
                        struct dirtree_node *gone)
{
    int rc;

    if (flags != 0 && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE)
        return -EINVAL;
    rc = look_at_place(t, from);
    if (rc == 0)
        rc = look_at_place(t, to);
    if (rc == 0)
        rc = check_rename(t, from, to, flags);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = hold_places(t, from, to);
    if (rc == 0)
        rc = move(t, from, to, flags & RENAME_EXCHANGE ? to->id : 0);
    if (rc < 0) {
        settle(t, from->entry);
        settle(t, to->entry);
        return rc;
    }
    if (to->id && !(flags & RENAME_EXCHANGE))
        show(find_node(t, to->id), gone);
    return 0;
}

int dirtree_rename(struct dirtree *t, uint64_t dir, const char *name, uint64_t new_dir,
                   const char *new_name, unsigned flags, struct dirtree_node *gone)
{
    struct place from = {.dir = dir, .name = name}, to = {.dir = new_dir, .name = new_name};
    int rc = begin_change(t);

    *gone = (struct dirtree_node){0};
    if (rc == 0)
        rc = rename_place(t, &from, &to, flags, gone);
    return end_change(t, rc);
}

/* ---- attributes ---------------------------------------------------------------------------------
 */

/* The node of a file says what `after` says. */
static int change_node(struct dirtree *t, struct node *n, const struct node *after)
{
    int rc;

    say_node(t, after);
    rc = append(t);
    if (rc < 0)
        return rc;
    n->mode = after->mode;
    n->mtime_ns = after->mtime_ns;
    n->layer = t->newest;
    n->dated = false;
    return 0;
}

static int change_mode(struct dirtree *t, uint64_t id, uint32_t permissions)
{
    struct node *n, after;
    int rc;

    if (S_ISLNK(mode_of(t, id)))
        return -EOPNOTSUPP;
    rc = hold_node(t, id, &n);
    if (rc < 0)
        return rc;
    after = *n;
    after.mode = (n->mode & S_IFMT) | (permissions & 07777);
    return change_node(t, n, &after);
}

int dirtree_chmod(struct dirtree *t, uint64_t id, uint32_t permissions)
{
    int rc = begin_change(t);

    if (rc == 0)
        rc = change_mode(t, id, permissions);
    return end_change(t, rc);
}

static int change_mtime(struct dirtree *t, uint64_t id, struct timespec mtime)
{
    struct node *n, after;
    int rc;

    if (S_ISREG(mode_of(t, id)) || mtime.tv_sec > INT64_MAX / NSEC - 1 ||
        mtime.tv_sec < INT64_MIN / NSEC + 1)
        return -EINVAL;
    rc = hold_node(t, id, &n);
    if (rc < 0)
        return rc;
    after = *n;
    after.mtime_ns = mtime.tv_sec * NSEC + mtime.tv_nsec;
    return change_node(t, n, &after);
}

int dirtree_set_mtime(struct dirtree *t, uint64_t id, struct timespec mtime)
{
    int rc = begin_change(t);

    if (rc == 0)
        rc = change_mtime(t, id, mtime);
    return end_change(t, rc);
}

static int touch(struct dirtree *t, uint64_t id)
{
    struct node *n;
    int rc;

    rc = hold_node(t, id, &n);
    if (rc < 0)
        return rc;
    if (!S_ISREG(n->mode))
        return S_ISDIR(n->mode) ? -EISDIR : -EINVAL;
    if (n->layers & newest_bit(t))
        return 0;
    say_touched(t, id);
    rc = append(t);
    if (rc == 0)
        n->layers |= newest_bit(t);
    return rc;
}

int dirtree_touch(struct dirtree *t, uint64_t id)
{
    int rc = begin_change(t);

    if (rc == 0)
        rc = touch(t, id);
    return end_change(t, rc);
}
