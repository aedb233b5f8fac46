#include "fs/frozennodes.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <uthash.h>
#include <utlist.h>

struct frozentree {
    struct frozen *t;
    size_t nodes;
    bool stale; /* was told */
    struct frozentree *prev, *next;
};

struct frozennode {
    struct key {
        uint64_t freeze, id;
    } key;
    uint64_t number;
    uint64_t lookups; /* of the kernel */
    struct frozentree *tree;
    UT_hash_handle by_id, by_number;
};

void frozennodes_init(struct frozennodes *t, struct livedir *l, uint64_t first)
{
    *t = (struct frozennodes){.live = l, .next = first};
    pthread_mutex_init(&t->lock, NULL);
}

/* The lock is held, here and below. */
static struct frozennode *find(struct frozennodes *t, uint64_t number)
{
    struct frozennode *n;

    HASH_FIND(by_number, t->by_number, &number, sizeof(number), n);
    return n;
}

static void release_tree(struct frozennodes *t, struct frozentree *tree)
{
    if (tree->nodes)
        return;
    DL_DELETE(t->trees, tree);
    frozen_close(tree->t);
    free(tree);
}

static void remove_node(struct frozennodes *t, struct frozennode *n)
{
    HASH_DELETE(by_number, t->by_number, n);
    HASH_DELETE(by_id, t->by_id, n);
    n->tree->nodes--;
    release_tree(t, n->tree);
    free(n);
}

static int need_tree(struct frozennodes *t, uint64_t freeze, struct frozentree **tree)
{
    struct frozen *f;
    int rc = frozen_open(t->live, freeze, &f);

    if (rc < 0)
        return rc;
    DL_FOREACH(t->trees, *tree)
    if (frozen_number((*tree)->t) == freeze) {
        frozen_close(f);
        return 0;
    }
    *tree = calloc(1, sizeof(**tree));
    if (!*tree) {
        frozen_close(f);
        return -ENOMEM;
    }
    (*tree)->t = f;
    DL_APPEND(t->trees, *tree);
    return 0;
}

static int add(struct frozennodes *t, struct frozentree *tree, uint64_t id, uint64_t *number)
{
    const struct key key = {frozen_number(tree->t), id};
    struct frozennode *n;

    HASH_FIND(by_id, t->by_id, &key, sizeof(key), n);
    if (!n) {
        n = calloc(1, sizeof(*n));
        if (!n)
            return -ENOMEM;
        n->key = key;
        n->number = t->next++;
        n->tree = tree;
        tree->nodes++;
        HASH_ADD(by_id, t->by_id, key, sizeof(n->key), n);
        HASH_ADD(by_number, t->by_number, number, sizeof(n->number), n);
    }
    n->lookups++;
    *number = n->number;
    return 0;
}

/* ---- calls ---- */

void frozennodes_end(struct frozennodes *t)
{
    struct frozennode *n, *next;

    HASH_ITER(by_number, t->by_number, n, next)
    remove_node(t, n);
    pthread_mutex_destroy(&t->lock);
}

struct frozen *frozennodes_of(struct frozennodes *t, uint64_t number, uint64_t *id)
{
    struct frozennode *n;
    struct frozen *f = NULL;

    pthread_mutex_lock(&t->lock);
    n = find(t, number);
    if (n) {
        *id = n->key.id;
        f = n->tree->t;
    }
    pthread_mutex_unlock(&t->lock);
    return f;
}

int frozennodes_add_tree(struct frozennodes *t, uint64_t freeze, uint64_t *number)
{
    struct frozentree *tree;
    int rc;

    pthread_mutex_lock(&t->lock);
    rc = need_tree(t, freeze, &tree);
    if (rc == 0) {
        rc = add(t, tree, frozen_root(tree->t), number);
        release_tree(t, tree);
    }
    pthread_mutex_unlock(&t->lock);
    return rc;
}

int frozennodes_add(struct frozennodes *t, uint64_t number, uint64_t id, uint64_t *added)
{
    struct frozennode *n;
    int rc;

    pthread_mutex_lock(&t->lock);
    n = find(t, number);
    rc = n ? add(t, n->tree, id, added) : -ESTALE;
    pthread_mutex_unlock(&t->lock);
    return rc;
}

void frozennodes_forget(struct frozennodes *t, uint64_t number, uint64_t times)
{
    struct frozennode *n;

    pthread_mutex_lock(&t->lock);
    n = find(t, number);
    if (n && n->lookups > times)
        n->lookups -= times;
    else if (n)
        remove_node(t, n);
    pthread_mutex_unlock(&t->lock);
}

static bool is_stale(struct frozentree *tree)
{
    struct stat st;

    return frozen_stat(tree->t, frozen_root(tree->t), &st) == -ESTALE;
}

int64_t frozennodes_take_stale(struct frozennodes *t, uint64_t **numbers)
{
    struct frozentree *tree;
    struct frozennode *n, *next;
    int64_t found = 0;

    pthread_mutex_lock(&t->lock);
    *numbers = malloc((HASH_CNT(by_number, t->by_number) + 1) * sizeof(**numbers));
    DL_FOREACH(t->trees, tree)
    {
        if (!*numbers || tree->stale || !is_stale(tree))
            continue;
        tree->stale = true;
        HASH_ITER(by_number, t->by_number, n, next)
        if (n->tree == tree)
            (*numbers)[found++] = n->number;
    }
    pthread_mutex_unlock(&t->lock);
    return *numbers ? found : -ENOMEM;
}
