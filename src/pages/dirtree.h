/*
 * The tree of names of a data directory: the manifest of the base, changed by the journals of the
 * layers above it, oldest first, and from then on by the calls here, which append to the journal of
 * the newest layer. Only what a layer changed costs memory (beyond the mapped manifest).
 *
 * Thread safe: one reader-writer lock inside. Functions return 0 or a negative errno, those of the
 * system call they serve (ENOENT, EEXIST, ENOTEMPTY, ENOTDIR, EISDIR, ENAMETOOLONG, ENOSPC of the
 * journal, EROFS without one …). A change is in memory only when it is in the journal.
 */
#ifndef ASOFS_PAGES_DIRTREE_H
#define ASOFS_PAGES_DIRTREE_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "pages/manifest.h"
#include "pages/names.h"

#define DIRTREE_ROOT 1 /* also FUSE's number for it */

struct dirtree;

struct dirtree_node {
    uint64_t id;
    uint32_t mode;         /* st_mode */
    uint32_t links;        /* names it has; directories: 2 + subdirectories */
    uint32_t entry;        /* in the manifest, or MANIFEST_NONE */
    uint32_t layers;       /* bit i: layer i (0 the oldest) has difference storage of the file */
    uint64_t parent;       /* of a directory */
    struct timespec mtime; /* of directories, links and new files without storage; of other files
                              the manifest or their difference storage has it */
};

/* The manifest is borrowed. */
struct dirtree *dirtree_new(const struct manifest *m);
void dirtree_free(struct dirtree *t); /* the journal is closed too */

/*
 * Apply the journal of layer `layer` (0 the oldest; at most 31). *good as in names_walk. Also
 * refuses what cannot be: an entry of a directory that is none, an id without node.
 */
int dirtree_apply(struct dirtree *t, unsigned layer, const void *bytes, size_t len, uint64_t *good,
                  struct err *err);

/* All journals applied, none begun: a name in the root that a layer took away from a file of the
 * base is shown again, in memory only. Fine when there is none. */
int dirtree_show(struct dirtree *t, const char *name, struct err *err);

/* All journals applied: from now on changes go to `journal` (owned by the tree) as layer `layer`.
 * `appended` is called after every frame, under the tree's lock, with the journal's size. */
void dirtree_begin(struct dirtree *t, unsigned layer, struct names *journal,
                   void (*appended)(void *arg, uint64_t size), void *arg);

int dirtree_stat(struct dirtree *t, uint64_t id, struct dirtree_node *node);
int dirtree_lookup(struct dirtree *t, uint64_t dir, const char *name, struct dirtree_node *node);

/* The file or directory at a path below the root ("" is the root). */
int dirtree_walk(struct dirtree *t, const char *path, struct dirtree_node *node);

struct dirtree_listing {
    size_t count;
    struct dirtree_item {
        uint64_t id;
        uint32_t mode;
        const char *name; /* in `text` */
    } * items;            /* sorted by name */
    char *text;
};

int dirtree_list(struct dirtree *t, uint64_t dir, struct dirtree_listing *l);
void dirtree_listing_free(struct dirtree_listing *l);

/* The target of a link, owned by the caller. */
int dirtree_readlink(struct dirtree *t, uint64_t id, char **target);

/* A new file (S_IFREG; empty, without storage until dirtree_touch), directory (S_IFDIR) or link
 * (S_IFLNK, with target). */
int dirtree_make(struct dirtree *t, uint64_t dir, const char *name, uint32_t mode,
                 const char *target, struct dirtree_node *node);

int dirtree_link(struct dirtree *t, uint64_t id, uint64_t dir, const char *name,
                 struct dirtree_node *node);

/* *gone: the file afterwards; links == 0: this was its last name, the caller removes its storage
 * once it is closed and then calls dirtree_forget. */
int dirtree_unlink(struct dirtree *t, uint64_t dir, const char *name, struct dirtree_node *gone);
int dirtree_rmdir(struct dirtree *t, uint64_t dir, const char *name);

/* flags: 0, RENAME_NOREPLACE or RENAME_EXCHANGE (<linux/fs.h>). *gone: what was replaced, id 0 when
 * nothing was; files as in dirtree_unlink. */
int dirtree_rename(struct dirtree *t, uint64_t dir, const char *name, uint64_t new_dir,
                   const char *new_name, unsigned flags, struct dirtree_node *gone);

int dirtree_chmod(struct dirtree *t, uint64_t id, uint32_t permissions);
int dirtree_set_mtime(struct dirtree *t, uint64_t id, struct timespec mtime); /* not of files */

/* The file has difference storage in the newest layer from now on. */
int dirtree_touch(struct dirtree *t, uint64_t id);

/* A file without names whose storage is gone. */
void dirtree_forget(struct dirtree *t, uint64_t id);

/* Calls `each` for every node that has difference storage in the newest layer, also for nodes that
 * have no name any more (links == 0). Not to be called back into the tree. Ends with the first
 * value other than 0, and returns it. */
int dirtree_each_touched(struct dirtree *t, int (*each)(void *arg, const struct dirtree_node *node),
                         void *arg);

/* A path of the node, for messages; owned by the caller. "?" for one without a name. */
char *dirtree_path(struct dirtree *t, uint64_t id);

/* Write the journal anew with what the newest layer still says, when that is much shorter. */
int dirtree_compact(struct dirtree *t, bool always);

int dirtree_sync(struct dirtree *t); /* the journal */

/* Memory for what differs from the manifest, in bytes: what the tests hold it to. */
size_t dirtree_memory(struct dirtree *t);

#endif
