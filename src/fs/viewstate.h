/*
 * The file system of a view from inside: viewfs.c mounts and serves it, and hands each request about
 * a node to the tree that the node is of. There are two, with the same requests to answer:
 *
 *   flattree    the view's own: its flat files, and the texts of .asofs/
 *   pagestree   what is below .asofs/pages: a data directory
 *
 * The node numbers of the first are those of the view's tree, and FUSE_ROOT_ID more; the second has
 * all from pages.first on. Everybody else has viewfs.h.
 */
#ifndef ASOFS_FS_VIEWSTATE_H
#define ASOFS_FS_VIEWSTATE_H

#include "fs/datafiles.h"
#include "fs/viewfs.h"

struct viewfs {
    struct datafiles pages; /* first: datafiles.h. Its `data` is NULL: there is no second tree */
    uint32_t above_pages;   /* the directory that .asofs/pages is in */
    struct view *view;
    const struct tree *tree;
    struct parking *parking;
    struct passthrough *passthrough; /* NULL: not to be had */
    uint64_t generation;             /* fs_generation */
    struct viewfs_options options;
    struct fuse_session *session;
    struct mountpoint *at; /* borrowed; once mounted */
    bool mounted;
};

/* Once the members of viewfs_open are set: view, tree, generation, options. The end closes what was
 * left open; nothing is asked any more. */
void flattree_begin(struct viewfs *fs);
void flattree_end(struct viewfs *fs);
void pagestree_begin(struct viewfs *fs);
void pagestree_end(struct viewfs *fs);

/* The requests that viewfs hands on; both trees answer the same ones. Any thread. */
extern const struct fuse_lowlevel_ops flattree_requests, pagestree_requests;

/* The answer to "who is this?". */
void flattree_fill_entry(struct viewfs *fs, uint32_t node, struct fuse_entry_param *e);

/* Of all flat files that are complete. */
void flattree_statfs(fuse_req_t req, fuse_ino_t ino);

#endif
