/*
 * What the two trees of viewfs see of it. viewfs.c mounts and serves, and hands each request about a
 * node to the tree that the node is of; both have the same requests to answer:
 *
 *   flattree    the view's own: its flat files, and the texts of .asofs/
 *   pagestree   what is below .asofs/pages: a data directory
 *
 * The node numbers of the first are those of the view's tree, and FUSE_ROOT_ID more; the second has
 * all from pages.first on.
 */
#ifndef ASOFS_FS_VIEWSTATE_H
#define ASOFS_FS_VIEWSTATE_H

#include "fs/datafiles.h"
#include "fs/parking.h"
#include "fs/passthrough.h"
#include "fs/readahead.h"
#include "view/ahead.h"
#include "view/view.h"

/* The session's userdata begins with it. */
struct viewstate {
    struct datafiles pages; /* first: datafiles.h. Its `data` is NULL: there is no second tree */
    uint32_t above_pages;   /* the directory that .asofs/pages is in */
    struct view *view;
    const struct tree *tree;
    uid_t uid; /* owner of the view's own tree */
    gid_t gid;
    mode_t umask;
    uint64_t generation; /* fs_generation */
    struct parking *parking;
    struct passthrough *passthrough; /* NULL: not to be had */
    struct readahead readahead;
    struct ahead *ahead; /* where the kernel does not: view/ahead.h */
};

/* What the tree needs besides view, tree, owner and generation, which are there. What was left open
 * is closed at the end: nothing is asked any more. */
void flattree_begin(struct viewstate *fs);
void flattree_end(struct viewstate *fs);
void pagestree_begin(struct viewstate *fs, struct datadir *d, uid_t uid, gid_t gid);
void pagestree_end(struct viewstate *fs);

/* The requests that viewfs hands on; both trees answer the same ones. Any thread. */
extern const struct fuse_lowlevel_ops flattree_requests, pagestree_requests;

/* The answer to "who is this?". */
void flattree_fill_entry(struct viewstate *fs, uint32_t node, struct fuse_entry_param *e);

/* Of all flat files that are complete. */
void flattree_statfs(fuse_req_t req, fuse_ino_t ino);

#endif
