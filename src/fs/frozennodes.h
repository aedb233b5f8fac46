/*
 * What of the frozen trees the kernel knows. A node stands for a file or directory of one tree; its
 * number is of this run and never given twice, the inode number that is shown is the tree's own
 * (live/frozen.h). A tree is open as long as the kernel knows something of it.
 *
 * Thread safe. The kernel forgets no node while a request for it is under way.
 */
#ifndef ASOFS_FS_FROZENNODES_H
#define ASOFS_FS_FROZENNODES_H

#include <pthread.h>
#include <stdint.h>

#include "live/frozen.h"

struct frozennode;
struct frozentree;

struct frozennodes {
    struct livedir *live; /* borrowed */
    pthread_mutex_t lock;
    struct frozennode *by_number, *by_id; /* lock */
    struct frozentree *trees;             /* lock */
    uint64_t next;                        /* lock */
};

/* Numbers from `first` on. */
void frozennodes_init(struct frozennodes *t, struct livedir *l, uint64_t first);
void frozennodes_end(struct frozennodes *t);

/* The tree of a node, and its id in it. */
struct frozen *frozennodes_of(struct frozennodes *t, uint64_t number, uint64_t *id);

/* Told to the kernel once more: the root of the tree of a freeze; what has `id` in the tree of
 * `number`. 0, or a negative errno (frozen_open). */
int frozennodes_add_tree(struct frozennodes *t, uint64_t freeze, uint64_t *number);
int frozennodes_add(struct frozennodes *t, uint64_t number, uint64_t id, uint64_t *added);
void frozennodes_forget(struct frozennodes *t, uint64_t number, uint64_t times);

/* Nodes of trees that were given up or dropped since the last call: *numbers is freed by the
 * caller. How many, or -ENOMEM (they come the next time). */
int64_t frozennodes_take_stale(struct frozennodes *t, uint64_t **numbers);

#endif
