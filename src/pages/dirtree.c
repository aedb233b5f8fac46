#include "pages/dirtree.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/mem.h"
#include "pages/treejournal.h"
#include "pages/treenodes.h"

#define FRAME_ROOM 16384 /* the longest frame: a link's target, six records, names */

/* ---- the tree as a whole ---- */

struct dirtree *dirtree_new(const struct manifest *m)
{
    struct dirtree *t = mem_alloc(sizeof(*t));

    pthread_rwlock_init(&t->lock, NULL);
    pthread_mutex_init(&t->syncing, NULL);
    t->m = m;
    t->next = manifest_entries(m) + UINT64_C(1);
    buf_reserve(&t->frame, FRAME_ROOM);
    treenodes_count_names(t);
    return t;
}

void dirtree_free(struct dirtree *t)
{
    if (!t)
        return;
    treenodes_free(t);
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
    bytes = sizeof(*t) + t->frame.room + treenodes_memory(t);
    pthread_rwlock_unlock(&t->lock);
    return bytes;
}

/* ---- reading ---- */

int dirtree_stat(struct dirtree *t, uint64_t id, struct dirtree_node *node)
{
    struct node n;
    int rc = -ENOENT;

    pthread_rwlock_rdlock(&t->lock);
    if (treenodes_see(t, id, &n)) {
        treenodes_describe(&n, node);
        rc = 0;
    }
    pthread_rwlock_unlock(&t->lock);
    return rc;
}

int dirtree_lookup(struct dirtree *t, uint64_t dir, const char *name, struct dirtree_node *node)
{
    struct node n;
    int rc;

    pthread_rwlock_rdlock(&t->lock);
    rc = treenodes_lookup(t, dir, name, &n);
    if (rc == 0)
        treenodes_describe(&n, node);
    pthread_rwlock_unlock(&t->lock);
    return rc;
}

static int walk_path(const struct dirtree *t, const char *path, struct node *n)
{
    char name[NAME_MAX + 1];
    size_t len;
    int rc = 0;

    if (!treenodes_see(t, DIRTREE_ROOT, n))
        return -ENOENT;
    for (path += strspn(path, "/"); rc == 0 && *path; path += strspn(path, "/")) {
        len = strcspn(path, "/");
        if (len > NAME_MAX)
            return -ENAMETOOLONG;
        memcpy(name, path, len);
        name[len] = '\0';
        rc = treenodes_lookup(t, n->id, name, n);
        path += len;
    }
    return rc;
}

int dirtree_walk(struct dirtree *t, const char *path, struct dirtree_node *node)
{
    struct node n;
    int rc;

    pthread_rwlock_rdlock(&t->lock);
    rc = walk_path(t, path, &n);
    if (rc == 0)
        treenodes_describe(&n, node);
    pthread_rwlock_unlock(&t->lock);
    return rc;
}

int dirtree_readlink(struct dirtree *t, uint64_t id, char **target)
{
    struct node n;
    int rc = 0;

    *target = NULL;
    pthread_rwlock_rdlock(&t->lock);
    if (!treenodes_see(t, id, &n))
        rc = -ENOENT;
    else if (!S_ISLNK(n.mode))
        rc = -EINVAL;
    else if (!(*target = strdup(treejournal_node_record(t, &n).text)))
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
    for (n = treenodes_next_node(t, NULL); rc == 0 && n; n = treenodes_next_node(t, n)) {
        if (n->layers & treenodes_newest_bit(t)) {
            treenodes_describe(n, &node);
            rc = each(arg, &node);
        }
    }
    pthread_rwlock_unlock(&t->lock);
    return rc;
}

/* ---- listing ---- */

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

/* The next name and what it stands for; NULL after the last. */
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
            *id = treenodes_entry_of_file(g->t->m, g->next++) + UINT64_C(1);
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

static int list_directory(const struct dirtree *t, const struct node *dir,
                          struct dirtree_listing *l)
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
        l->items[l->count++] = (struct dirtree_item){id, treenodes_mode_of(t, id), l->text + at};
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
    if (!treenodes_see(t, dir, &n))
        rc = -ENOENT;
    else if (!S_ISDIR(n.mode))
        rc = -ENOTDIR;
    else
        rc = list_directory(t, &n, l);
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

/* ---- paths, for messages ---- */

/* Of the manifest, unless the name changed. */
static const char *base_name_of(const struct dirtree *t, uint32_t i, uint64_t id, uint64_t *dir)
{
    *dir = manifest_entry(t->m, i)->parent + UINT64_C(1);
    return treenodes_find_id(t, *dir, manifest_name(t->m, i)) == id ? manifest_name(t->m, i) : NULL;
}

/* Any name of a file; NULL: it has none. Nothing leads from a file to its names but looking. */
static const char *any_name(const struct dirtree *t, uint64_t id, uint64_t *dir)
{
    const char *name = NULL;
    const struct entry *e;
    uint32_t i;

    if (id <= manifest_entries(t->m))
        name = base_name_of(t, (uint32_t)(id - 1), id, dir);
    for (e = treenodes_next_entry(t, NULL); e && !name; e = treenodes_next_entry(t, e)) {
        if (e->id == id) {
            *dir = e->dir;
            name = e->name;
        }
    }
    for (i = (uint32_t)id; id < manifest_entries(t->m) && !name && i < manifest_entries(t->m); i++)
        if (treenodes_entry_of_file(t->m, i) + UINT64_C(1) == id)
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
        name = treenodes_see(t, id, &n) && n.names ? any_name(t, id, &id) : NULL;
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
