/* A data directory, as pagefs reads it; only the way up from its root leads into the other tree. */
#define FUSE_USE_VERSION 312

#include "fs/viewstate.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <stddef.h>
#include <string.h>

_Static_assert(offsetof(struct viewstate, pages) == 0, "where datafiles.h looks");

#define FIRST (UINT64_C(1) << 62) /* of the node numbers; the view's tree has far fewer */

static void pages_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct viewstate *fs = fuse_req_userdata(req);
    struct fuse_entry_param e;

    if (datafiles_id(&fs->pages, parent) != DIRTREE_ROOT || strcmp(name, "..") != 0) {
        datafiles_lookup(req, parent, name);
        return;
    }
    flattree_fill_entry(fs, fs->above_pages, &e);
    fuse_reply_entry(req, &e);
}

/* There are none. Without an answer of its own the kernel would take it that no file has any. */
static void pages_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    (void)ino, (void)name, (void)size;
    fuse_reply_err(req, ENODATA);
}

static void pages_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    (void)ino;
    if (size == 0)
        fuse_reply_xattr(req, 0);
    else
        fuse_reply_buf(req, "", 0);
}

static uint32_t find_above_pages(const struct tree *t)
{
    uint32_t i;

    for (i = 0; i < t->n; i++)
        if (t->nodes[i].kind == NODE_PAGES)
            return t->nodes[i].parent;
    return 0;
}

void pagestree_begin(struct viewstate *fs, struct datadir *d, uid_t uid, gid_t gid)
{
    fs->above_pages = find_above_pages(fs->tree);
    datafiles_init(&fs->pages, d, uid, gid, FIRST);
}

void pagestree_end(struct viewstate *fs)
{
    datafiles_end(&fs->pages);
}

const struct fuse_lowlevel_ops pagestree_requests = {
    .lookup = pages_lookup,
    .getattr = datafiles_getattr,
    .readlink = datafiles_readlink,
    .open = datafiles_open,
    .release = datafiles_release,
    .read = datafiles_read,
    .opendir = datafiles_opendir,
    .readdir = datafiles_readdir,
    .readdirplus = datafiles_readdirplus,
    .releasedir = datafiles_release,
    .getxattr = pages_getxattr,
    .listxattr = pages_listxattr,
};
