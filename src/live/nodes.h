/*
 * The names there are now, in memory: a node for each, 150 to 200 bytes. Everything here is covered
 * by the tree's lock (livestate.h), for writing where something changes.
 *
 * A node has a number, which is the kernel's for it and of this run; and an id, its inode number,
 * which outlives the run but changes when a file is truncated to nothing (livefile.c).
 *
 * A *space* is the directory of a tablespace, which a link in pg_tblspc leads to: it stands as
 * .tablespaces/<oid> among the names, and has the path of where it is. .tablespaces itself is made
 * up (unless the data directory has such a name), and shown when something is in it. What is in a
 * space but the server's own directories (PG_...) is nobody's here.
 */
#ifndef ASOFS_LIVE_NODES_H
#define ASOFS_LIVE_NODES_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/err.h"
#include "live/table.h"
#include "pages/manifest.h"

#define NODES_SPACES (UINT64_C(1) << 61) /* the id of it; inode numbers are below it */
#define NODES_SPACES_NAME MANIFEST_TABLESPACES
#define NODES_SPACE_LINKS "pg_tblspc"

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
    bool space;            /* its path follows its name, behind its NUL */
    bool lingers;          /* a space whose link is gone, for now (spaces.c) */
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
 * Everything below the directory `dir`, but for tablespaces that lie elsewhere. Refuses, in words:
 * another file system, a file or directory with two names, the server's data behind a symbolic
 * link.
 */
int nodes_read(struct nodes *t, int dir, struct err *err);
void nodes_free(struct nodes *t);

/* A space at the path, empty; NULL: no memory. `.tablespaces` is made up. */
struct node *nodes_add_space(struct nodes *t, const char *oid, const char *path, uint64_t id);
int nodes_read_space(struct nodes *t, struct node *space, int dir, struct err *err); /* as above */
void nodes_remove_space(struct nodes *t, struct node *space); /* with what is in it; none is open */
struct node *nodes_space(const struct nodes *t, const char *oid); /* NULL: none */

/* Whether the directory may have the name: of a space only the server's own. */
bool nodes_may_have(const struct node *dir, const char *name);

/* Whether a link of that name would lead to one; whether the directory is pg_tblspc. */
bool nodes_is_oid(const char *name);
bool nodes_has_space_links(const struct node *dir);

/* Whether it is that name of the data directory itself. */
bool nodes_is_in_root(const struct node *n, const char *name);

/* It would be a link in place of the server's data, which is not frozen. */
bool nodes_leads_away(const struct node *dir, const char *name, mode_t mode);

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

/* Below the data directory, "." the root; absolute in a space. -ENAMETOOLONG; -EPERM: it is made up.
 * name: of an entry in it, or NULL. */
int nodes_path(const struct node *n, const char *name, char path[PATH_MAX]);

/* What of this name and type is in the directory is not kept, nor shown in frozen trees. */
bool nodes_exempt(const struct node *dir, const char *name, mode_t mode);
bool nodes_name_exempt(bool in_root, const char *name); /* of a file */

#endif
