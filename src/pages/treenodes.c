#include "pages/treenodes.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* No memory for a hash table: hh.tbl is NULL then. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "common/mem.h"

/* Nodes and entries as they are in memory: only this file knows how they are found. */
struct held_node {
    struct node n;
    UT_hash_handle hh;
};

struct held_entry {
    UT_hash_handle hh;
    struct entry e; /* its name is after it */
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

static struct held_node *held_node(const struct node *n)
{
    return (struct held_node *)((char *)n - offsetof(struct held_node, n));
}

static struct held_entry *held_entry(const struct entry *e)
{
    return (struct held_entry *)((char *)e - offsetof(struct held_entry, e));
}

/* ---- the manifest as nodes ---- */

/* The entry that stands for the file of entry i: names of one file have one number. */
uint32_t treenodes_entry_of_file(const struct manifest *m, uint32_t i)
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

void treenodes_count_names(struct dirtree *t)
{
    uint32_t i;

    for (i = 1; i < manifest_entries(t->m); i++) {
        const struct manifest_entry *e = manifest_entry(t->m, i);

        if (S_ISDIR(e->mode))
            add_count(t, e->parent);
        else if (treenodes_entry_of_file(t->m, i) != i)
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
    if (treenodes_entry_of_file(t->m, i) != i)
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
uint64_t treenodes_base_id(const struct dirtree *t, uint64_t dir, const char *name)
{
    uint32_t i;

    if (dir == 0 || dir > manifest_entries(t->m) ||
        !S_ISDIR(manifest_entry(t->m, (uint32_t)(dir - 1))->mode))
        return 0;
    i = manifest_find(t->m, (uint32_t)(dir - 1), name);
    return i == MANIFEST_NONE ? 0 : treenodes_entry_of_file(t->m, i) + UINT64_C(1);
}

/* ---- looking ---- */

struct node *treenodes_find_node(const struct dirtree *t, uint64_t id)
{
    struct held_node *h;

    HASH_FIND(hh, t->nodes, &id, sizeof(id), h);
    return h ? &h->n : NULL;
}

/* The entry of a name that changed; the name is at most NAME_MAX long. */
static struct entry *find_entry(const struct dirtree *t, uint64_t dir, const char *name)
{
    size_t len = strlen(name);
    struct held_entry *h;
    struct key key;

    key.dir = dir;
    memcpy(key.name, name, len);
    HASH_FIND(hh, t->entries, &key, sizeof(key.dir) + len, h);
    return h ? &h->e : NULL;
}

/* A copy of the node, in memory or not. */
bool treenodes_see(const struct dirtree *t, uint64_t id, struct node *n)
{
    const struct node *found = treenodes_find_node(t, id);

    if (!found)
        return base_node(t, id, n);
    *n = *found;
    return true;
}

uint32_t treenodes_mode_of(const struct dirtree *t, uint64_t id)
{
    struct node n;

    return treenodes_see(t, id, &n) ? n.mode : 0;
}

uint64_t treenodes_find_id(const struct dirtree *t, uint64_t dir, const char *name)
{
    const struct entry *e = find_entry(t, dir, name);

    return e ? e->id : treenodes_base_id(t, dir, name);
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
int treenodes_look(const struct dirtree *t, uint64_t dir, const char *name, uint64_t *id)
{
    struct node d;
    int rc;

    if (!treenodes_see(t, dir, &d))
        return -ENOENT;
    if (!S_ISDIR(d.mode))
        return -ENOTDIR;
    rc = check_name(name);
    if (rc == 0)
        *id = treenodes_find_id(t, dir, name);
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

void treenodes_describe(const struct node *n, struct dirtree_node *out)
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

int treenodes_lookup(const struct dirtree *t, uint64_t dir, const char *name, struct node *n)
{
    uint64_t id = 0;
    int rc = treenodes_look(t, dir, name, &id);

    if (rc < 0)
        return rc;
    return id && treenodes_see(t, id, n) ? 0 : -ENOENT;
}

struct node *treenodes_next_node(const struct dirtree *t, const struct node *n)
{
    struct held_node *h = n ? held_node(n)->hh.next : t->nodes;

    return h ? &h->n : NULL;
}

struct entry *treenodes_next_entry(const struct dirtree *t, const struct entry *e)
{
    struct held_entry *h = e ? held_entry(e)->hh.next : t->entries;

    return h ? &h->e : NULL;
}

size_t treenodes_memory(const struct dirtree *t)
{
    size_t bytes = t->memory;

    bytes += HASH_OVERHEAD(hh, t->nodes) + HASH_OVERHEAD(hh, t->entries);
    bytes += HASH_OVERHEAD(hh, t->counts) +
             HASH_COUNT(t->counts) * (sizeof(*t->counts) - sizeof(t->counts->hh));
    return bytes;
}

/* ---- holding ---- */

size_t treenodes_node_bytes(const struct node *n)
{
    return sizeof(*n) + (n->target ? strlen(n->target) + 1 : 0);
}

static size_t entry_bytes(const struct entry *e)
{
    return sizeof(*e) + strlen(e->name) + 1;
}

/* `like` in memory, with a copy of `target` (may be NULL); NULL: no memory. */
struct node *treenodes_add_node(struct dirtree *t, const struct node *like, const char *target)
{
    struct held_node *h = malloc(sizeof(*h));
    struct node *n;

    if (!h)
        return NULL;
    n = &h->n;
    *n = *like;
    n->target = target ? strdup(target) : NULL;
    if (target && !n->target) {
        free(h);
        return NULL;
    }
    HASH_ADD(hh, t->nodes, n.id, sizeof(n->id), h);
    if (!h->hh.tbl) {
        free(n->target);
        free(h);
        return NULL;
    }
    t->memory += treenodes_node_bytes(n);
    return n;
}

void treenodes_drop_node(struct dirtree *t, struct node *n)
{
    struct held_node *h = held_node(n);

    t->memory -= treenodes_node_bytes(n);
    HASH_DEL(t->nodes, h);
    free(n->target);
    free(h);
}

/* The node of a file, brought into memory. -ENOENT: there is none. */
int treenodes_hold_node(struct dirtree *t, uint64_t id, struct node **n)
{
    struct node base;

    *n = treenodes_find_node(t, id);
    if (*n)
        return 0;
    if (!base_node(t, id, &base))
        return -ENOENT;
    *n = treenodes_add_node(t, &base, NULL);
    return *n ? 0 : -ENOMEM;
}

static void drop_entry(struct dirtree *t, struct entry *e)
{
    struct held_entry *h = held_entry(e);

    t->memory -= entry_bytes(e);
    *e->link = e->next;
    if (e->next)
        e->next->link = e->link;
    HASH_DEL(t->entries, h);
    free(h);
}

/* An entry that says what the manifest says, and below the newest layer too, is not needed. */
void treenodes_settle(struct dirtree *t, struct entry *e)
{
    if (e && e->id == e->below && e->id == treenodes_base_id(t, e->dir, e->name))
        drop_entry(t, e);
}

static struct entry *add_entry(struct dirtree *t, struct node *dir, const char *name)
{
    size_t len = strlen(name);
    struct held_entry *h = malloc(sizeof(*h) + len + 1);
    struct entry *e;

    if (!h)
        return NULL;
    e = &h->e;
    e->id = e->below = treenodes_base_id(t, dir->id, name);
    e->layer = UNSAID;
    e->dir = dir->id;
    memcpy(e->name, name, len + 1);
    HASH_ADD_KEYPTR(hh, t->entries, (char *)e + offsetof(struct entry, dir), sizeof(e->dir) + len,
                    h);
    if (!h->hh.tbl) {
        free(h);
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
int treenodes_hold_entry(struct dirtree *t, uint64_t dir, const char *name, struct entry **e)
{
    struct node *n, *d;
    int rc;

    *e = NULL;
    rc = treenodes_hold_node(t, dir, &d);
    if (rc < 0)
        return rc;
    *e = find_entry(t, dir, name);
    if (!*e)
        *e = add_entry(t, d, name);
    if (!*e)
        return -ENOMEM;
    if (!(*e)->id)
        return 0;
    rc = treenodes_hold_node(t, (*e)->id, &n);
    if (rc < 0) {
        treenodes_settle(t, *e);
        *e = NULL;
    }
    return rc;
}

/* As treenodes_hold_entry, of a directory in which names can still be made. */
int treenodes_hold_new_entry(struct dirtree *t, uint64_t dir, const char *name, struct entry **e)
{
    struct node d;

    *e = NULL;
    if (!treenodes_see(t, dir, &d) || !d.names)
        return -ENOENT;
    return treenodes_hold_entry(t, dir, name, e);
}

/* ---- setting ---- */

/* Names that are held: one more (1) or one less (-1) in `dir` for `id`. */
static void count_name(struct dirtree *t, uint64_t dir, uint64_t id, int by)
{
    struct node *n = id ? treenodes_find_node(t, id) : NULL, *d = treenodes_find_node(t, dir);

    if (!n || !d)
        return;
    n->names += (uint32_t)by;
    d->children += (uint32_t)by;
    if (S_ISDIR(n->mode))
        d->subdirs += (uint32_t)by;
}

/* The name stands for `id` from now on, says `layer`. The entry may be gone afterwards. */
void treenodes_set_entry(struct dirtree *t, struct entry *e, uint64_t id, int layer)
{
    if (e->layer < layer) {
        e->below = e->id;
        e->layer = layer;
    }
    count_name(t, e->dir, e->id, -1);
    count_name(t, e->dir, id, 1);
    e->id = id;
    treenodes_settle(t, e);
}

/* ---- the end ---- */

void treenodes_free(struct dirtree *t)
{
    struct count *c, *next;

    while (t->entries)
        drop_entry(t, &t->entries->e);
    while (t->nodes)
        treenodes_drop_node(t, &t->nodes->n);
    HASH_ITER(hh, t->counts, c, next)
    {
        HASH_DEL(t->counts, c);
        free(c);
    }
}
