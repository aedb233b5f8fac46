/*
 * The names there are now, in memory: a node for each, 150 to 200 bytes. Everything here is covered
 * by the tree's lock (livestate.h), for writing where something changes.
 *
 * A node has a number, which is the kernel's for it and of this run; and an id, its inode number,
 * which outlives the run but changes when a file is truncated to nothing (livefile.c).
 */
#ifndef ASOFS_LIVE_NODES_H
#define ASOFS_LIVE_NODES_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "live/table.h"

struct opened; /* livestate.h */

struct node {
    struct table_link by_number, by_id, by_name; /* the keys: number, id, hash of parent and name */
    struct node *parent;                         /* of the root itself */
    struct node *children, *prev, *next;         /* of its directory */
    char *name;
    struct opened *opened; /* while some handle is; covered by `opening` */
    uint64_t born;         /* number of the newest epoch when it was made; 0: before all */
    mode_t mode;           /* its type */
    bool exempt;           /* not kept: of a directory, what is in it */
    bool linked;           /* has its name; else it is there for open handles only */
};

struct nodes {
    struct table by_number, by_id, by_name;
    struct node *root;
    uint64_t next; /* number */
    int64_t
        changed; /* the newest change time of what was read and is kept; nanoseconds since 1970 */
};

static inline uint64_t node_id(const struct node *n)
{
    return n->by_id.key;
}

static inline uint64_t node_number(const struct node *n)
{
    return n->by_number.key;
}

/*
 * Everything below the directory `dir`. Refuses, in words: another file system, a file with two
 * names, a tablespace, the server's data behind a symbolic link.
 */
int nodes_read(struct nodes *t, int dir, struct err *err);
void nodes_free(struct nodes *t);

struct node *nodes_of_number(const struct nodes *t, uint64_t number); /* NULL: none */
struct node *nodes_of_id(const struct nodes *t, uint64_t id);         /* that has a name */
struct node *nodes_child(const struct nodes *t, const struct node *dir, const char *name);

/* A new one; NULL: no memory. */
struct node *nodes_add(struct nodes *t, struct node *dir, const char *name, uint64_t id,
                       mode_t mode);
void nodes_unlink(struct nodes *t, struct node *n); /* freed, unless it is open */
void nodes_remove(struct nodes *t, struct node *n); /* one that is not linked */
int nodes_move(struct nodes *t, struct node *n, struct node *dir, const char *name);
void nodes_set_id(struct nodes *t, struct node *n, uint64_t id);

/* Below the data directory, "." the root. -ENAMETOOLONG. name: of an entry in it, or NULL. */
int nodes_path(const struct node *n, const char *name, char path[PATH_MAX]);

/* What of this name and type is in the directory is not kept, nor shown in frozen trees. */
bool nodes_exempt(const struct node *dir, const char *name, mode_t mode);
bool nodes_name_exempt(bool in_root, const char *name); /* of a file */

#endif
