/*
 * What all open files of a data directory share: the base and the layers above it, the tree of
 * names, and the state of the newest layer, which alone is written. datadir.c owns the one there
 * is, and adds the open files; recovery.c, pagefile.c and pagewrite.c read its members. Nothing of
 * it changes after stack_open but what is atomic, or locked by what it is (tree, inflight,
 * stripes).
 *
 * Functions return 0 or a negative errno; those with `err` say why.
 */
#ifndef ASOFS_PAGES_STACK_H
#define ASOFS_PAGES_STACK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "pages/basefile.h"
#include "pages/chain.h"
#include "pages/dirtree.h"
#include "pages/disk.h"
#include "pages/inflight.h"

#define STRIPES 64

struct stack {
    /* Given before stack_open, borrowed (datadir.h: struct datadir_options). */
    struct disk *base;
    const struct manifest *manifest;
    struct disk *layers[CHAIN_MAX]; /* oldest first; the last is the newest */
    unsigned n_layers;
    bool read_only;
    basefile_opener *open_base; /* NULL: the base is still */
    void (*complain)(void *arg, const char *text);
    void *arg;

    struct dirtree *tree;
    struct inflight *inflight;        /* of the newest layer */
    _Atomic uint64_t names_bytes;     /* of its journal, as written */
    atomic_bool durable;              /* fsync is real */
    pthread_mutex_t stripes[STRIPES]; /* of runs of pages (pagefile.c) */
};

/* Reads the layers, and begins to write the newest one when the stack is not read-only. `unclean`:
 * the newest layer had not been closed, and is to be put right (recovery.h) before anything else.
 * After a failure, too, stack_free is to be called. */
int stack_open(struct stack *s, bool *unclean, struct err *err);

/* Everything of the newest layer is written, and it counts as closed. No file may be open. Not when
 * read-only. stack_free is to be called after it. */
int stack_close(struct stack *s, struct err *err);

/* Whatever it holds; the layer stays as it is. */
void stack_free(struct stack *s);

/* The newest layer. */
struct disk *stack_newest(const struct stack *s);

/* The base's file of an entry of the manifest. */
int stack_open_base(struct stack *s, uint32_t entry, struct basefile **b, struct err *err);

/* Does a file have storage in the newest layer? */
bool stack_has_storage(const struct stack *s, const struct dirtree_node *node);

/* A file's difference file and side page table in the newest layer, as far as they are there. */
int stack_remove_storage(struct stack *s, uint64_t id);

/* The journal of names; nothing when the stack is not durable. */
int stack_sync_names(struct stack *s);

/* Everything on disk, in the order that makes it count; the stack is durable from then on. No file
 * may be open. */
int stack_complete(struct stack *s);

/* Said to whoever opened the data directory. From any thread. */
void stack_complain(struct stack *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
