/*
 * The tree of names from inside: shared by dirtree.c, treechange.c and treejournal.c. Everybody
 * else has dirtree.h.
 *
 * Only what some layer said is in memory: a node for each changed file, an entry for each changed
 * name. Everything else is looked up in the manifest as it is needed. Entries that say what the
 * manifest says anyway leave memory again (treenodes_settle), so that files that come and go do not
 * pile up.
 *
 * Whoever calls these functions has the tree's lock: for writing where the tree is not const.
 */
#ifndef ASOFS_PAGES_TREENODES_H
#define ASOFS_PAGES_TREENODES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "pages/dirtree.h"
#include "pages/manifest.h"
#include "pages/names.h"

#define UNSAID (-1)                /* by no layer */
#define LAYERS 32                  /* bits of dirtree_node.layers */
#define ID_END (UINT64_C(1) << 62) /* numbers are below it */
#define NSEC INT64_C(1000000000)

/* A name that a layer said something about. */
struct entry {
    struct entry *next, **link; /* the list of its directory */
    uint64_t id;                /* 0: there is no such name */
    uint64_t below;             /* the same without the layer that said it last */
    int layer;                  /* that one */
    uint64_t dir;               /* the key: dir and name, one after the other */
    char name[];
};

/* A file that a layer said something about, or whose names did change. */
struct node {
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

struct dirtree {
    pthread_mutex_t syncing; /* dirtree_sync; taken before lock */
    pthread_rwlock_t lock;   /* covers all below */
    const struct manifest *m;
    struct held_node *nodes;
    struct held_entry *entries;
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

static inline uint32_t treenodes_newest_bit(const struct dirtree *t)
{
    return 1u << t->newest;
}

/* ---- the manifest as nodes ---- */

/* The entry that stands for the file of entry i: names of one file have one number. */
uint32_t treenodes_entry_of_file(const struct manifest *m, uint32_t i);

/* Fills `counts`, once. */
void treenodes_count_names(struct dirtree *t);

/* What a name stands for in the manifest; 0: nothing. */
uint64_t treenodes_base_id(const struct dirtree *t, uint64_t dir, const char *name);

/* ---- looking: nothing is brought into memory ---- */

struct node *treenodes_find_node(const struct dirtree *t, uint64_t id); /* NULL: not in memory */

/* A copy of the node, in memory or not; its target and list of entries are the tree's. */
bool treenodes_see(const struct dirtree *t, uint64_t id, struct node *n);

uint32_t treenodes_mode_of(const struct dirtree *t, uint64_t id); /* 0: there is none */

/* What a name stands for, 0: nothing. The name is at most NAME_MAX long. */
uint64_t treenodes_find_id(const struct dirtree *t, uint64_t dir, const char *name);

/* The same of any name: -ENOENT, -ENOTDIR (there is no such directory), -ENAMETOOLONG, -EINVAL. */
int treenodes_look(const struct dirtree *t, uint64_t dir, const char *name, uint64_t *id);

/* The node that a name stands for, as treenodes_see; -ENOENT also when it stands for nothing. */
int treenodes_lookup(const struct dirtree *t, uint64_t dir, const char *name, struct node *n);

/* All that are in memory, in the order in which they came; NULL: the first, NULL after the last.
 */
struct node *treenodes_next_node(const struct dirtree *t, const struct node *n);
struct entry *treenodes_next_entry(const struct dirtree *t, const struct entry *e);

/* As the outside sees it. */
void treenodes_describe(const struct node *n, struct dirtree_node *out);

/* Bytes in memory that nodes and entries take, with what it takes to find them. */
size_t treenodes_memory(const struct dirtree *t);

void treenodes_free(struct dirtree *t);

/* ---- holding: brought into memory, still saying what was said before ---- */

size_t treenodes_node_bytes(const struct node *n); /* its part of dirtree.memory */

/* `like` in memory, with a copy of `target` (may be NULL); NULL: no memory. */
struct node *treenodes_add_node(struct dirtree *t, const struct node *like, const char *target);
void treenodes_drop_node(struct dirtree *t, struct node *n);

/* The node of a file. -ENOENT: there is none. */
int treenodes_hold_node(struct dirtree *t, uint64_t id, struct node **n);

/* The entry of a name, its directory and the file it stands for. *e NULL: not held. */
int treenodes_hold_entry(struct dirtree *t, uint64_t dir, const char *name, struct entry **e);

/* As treenodes_hold_entry, of a directory in which names can still be made. */
int treenodes_hold_new_entry(struct dirtree *t, uint64_t dir, const char *name, struct entry **e);

/* An entry that says what the manifest says, and below the newest layer too, is not needed, and
 * goes. NULL: nothing. */
void treenodes_settle(struct dirtree *t, struct entry *e);

/* ---- setting ---- */

/* The name stands for `id` from now on, says `layer`; all three are held. The entry may be gone
 * afterwards. */
void treenodes_set_entry(struct dirtree *t, struct entry *e, uint64_t id, int layer);

#endif
