/*
 * The names of a view: directories and files, fixed when the view is frozen. Pure; read by any
 * number of threads.
 *
 * Nodes are numbered from 0 (the root). The children of a directory stand together, sorted bytewise
 * by name.
 */
#ifndef ASOFS_VIEW_TREE_H
#define ASOFS_VIEW_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pg/copysql.h"

enum node_kind {
    NODE_DIR,
    NODE_TABLE, /* a flat file */
    NODE_META,  /* a file of .asofs/ */
    NODE_PAGES, /* .asofs/pages: a directory whose contents are not in the tree */
};

enum meta_file { /* in the order of their names */
                 META_CHUNKS,
                 META_COLUMNS,
                 META_ERRORS,
                 META_SCHEMA,
                 META_SNAPSHOT,
                 META_STATUS,
                 META_TABLES,
                 META_FILES
};

struct node {
    enum node_kind kind;
    char *name;   /* as in the directory; "" for the root */
    uint64_t ino; /* st_ino: a hash of the path, so the same for every mount of the same names */
    uint32_t parent;
    uint32_t children; /* NODE_DIR: number of the first child */
    uint32_t nchildren;
    uint32_t subdirs; /* NODE_DIR: how many of them are directories, pages too */
    uint32_t item;    /* NODE_TABLE: index of the table; NODE_META: which */
    uint32_t member;  /* of a joined tree: which of them it comes from; else 0 */
};

struct tree {
    struct node *nodes;
    uint32_t n;
    char **paths; /* by table: "schema/table.csv" */
    size_t npaths;
};

/* pages: with .asofs/pages. compressed: by table, which file has a name that says so; NULL: none. */
void tree_make(struct tree *t, const struct pg_catalog *c, enum pg_format format, bool pages,
               const bool *compressed);
void tree_free(struct tree *t);

/*
 * Several trees as one: a directory for each at the top, named dirs[i] (sorted bytewise), with what
 * its root holds below. Everything is copied, but the paths stay with the single trees. At least
 * one. pages: at the top there is .asofs/pages too, and nothing else in .asofs.
 */
void tree_join(struct tree *t, const struct tree *const *members, char *const *dirs, size_t n,
               bool pages);

static inline bool node_is_dir(const struct node *n)
{
    return n->kind == NODE_DIR || n->kind == NODE_PAGES;
}

/* The child of that name, or -1. */
int64_t tree_lookup(const struct tree *t, uint32_t dir, const char *name);

const char *tree_meta_name(enum meta_file m); /* "snapshot.json" */

#endif
