/* The frozen trees. They never change, so the kernel keeps what it was told, until livefs.c tells it
 * that the freeze was given up or dropped. */
#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fs/internal.h"
#include "fs/livefsstate.h"

/* The tree of the node; NULL: it was answered. */
static struct frozen *tree_of(fuse_req_t req, fuse_ino_t ino, uint64_t *id)
{
    struct frozen *t = frozennodes_of(&livefs_of(req)->frozen, ino, id);

    if (!t)
        fuse_reply_err(req, ESTALE);
    return t;
}

/* pg_wal is filled after the freeze. */
static double timeout_of(uint64_t id)
{
    return id & FROZEN_WAL ? 0 : FS_FOREVER;
}

static int fill_entry(struct livefs_state *fs, uint64_t number, const struct stat *st,
                      struct fuse_entry_param *e)
{
    *e = (struct fuse_entry_param){.attr = *st,
                                   .attr_timeout = timeout_of(st->st_ino),
                                   .entry_timeout = timeout_of(st->st_ino)};
    return frozennodes_add(&fs->frozen, number, st->st_ino, &e->ino);
}

int livefs_fill_tree(struct livefs_state *fs, uint64_t freeze, struct fuse_entry_param *e)
{
    struct frozen *t;
    uint64_t id;
    int rc;

    *e = (struct fuse_entry_param){.attr_timeout = FS_FOREVER}; /* the name may come to mean none */
    rc = frozennodes_add_tree(&fs->frozen, freeze, &e->ino);
    if (rc < 0)
        return rc;
    t = frozennodes_of(&fs->frozen, e->ino, &id);
    rc = frozen_stat(t, id, &e->attr);
    if (rc < 0)
        frozennodes_forget(&fs->frozen, e->ino, 1);
    return rc;
}

void livefs_reply_frozen(fuse_req_t req, const struct fuse_entry_param *e)
{
    struct livefs_state *fs = livefs_of(req);

    if (fuse_reply_entry(req, e) < 0)
        frozennodes_forget(&fs->frozen, e->ino, 1); /* it was interrupted, and does not know */
}

static void frozen_request_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param e = {.entry_timeout = FS_FOREVER};
    uint64_t dir;
    struct frozen *t = tree_of(req, parent, &dir);
    struct stat st;
    int rc;

    if (!t)
        return;
    rc = frozen_lookup(t, dir, name, &st);
    if (rc == -ENOENT && dir != FROZEN_WAL) {
        fuse_reply_entry(req, &e); /* the kernel remembers that there is none */
        return;
    }
    if (rc == 0)
        rc = fill_entry(livefs_of(req), parent, &st, &e);
    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        livefs_reply_frozen(req, &e);
}

static void frozen_request_forget(fuse_req_t req, fuse_ino_t ino, uint64_t times)
{
    frozennodes_forget(&livefs_of(req)->frozen, ino, times);
}

static void frozen_request_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    uint64_t id;
    struct frozen *t = tree_of(req, ino, &id);
    struct stat st;
    int rc;

    (void)fi;
    if (!t)
        return;
    rc = frozen_stat(t, id, &st);
    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        fuse_reply_attr(req, &st, timeout_of(id));
}

static void frozen_request_readlink(fuse_req_t req, fuse_ino_t ino)
{
    uint64_t id;
    struct frozen *t = tree_of(req, ino, &id);
    char target[PATH_MAX];
    int rc;

    if (!t)
        return;
    rc = frozen_readlink(t, id, target, sizeof(target));
    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        fuse_reply_readlink(req, target);
}

static void frozen_request_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct livefs_state *fs = livefs_of(req);
    uint64_t id;
    struct frozen *t = tree_of(req, ino, &id);
    struct livefs_handle *h;
    int rc;

    if (!t)
        return;
    if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC)) {
        fuse_reply_err(req, EROFS);
        return;
    }
    h = livefs_handle_new(fs, fi);
    rc = h ? frozen_open_file(t, id, &h->frozen) : -ENOMEM;
    fi->keep_cache = !(id & FROZEN_WAL);
    fi->noflush = 1;
    if (rc < 0)
        fuse_reply_err(req, -rc);
    if ((rc < 0 && h) || (rc == 0 && fuse_reply_open(req, fi) < 0))
        livefs_handle_free(fs, h);
}

static void frozen_request_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                                struct fuse_file_info *fi)
{
    char *buffer = malloc(size);
    int64_t n = -ENOMEM;

    (void)ino;
    if (buffer)
        n = frozen_read(livefs_handle_of(fi)->frozen, buffer, size, (uint64_t)offset);
    if (n < 0)
        fuse_reply_err(req, (int)-n);
    else
        fuse_reply_buf(req, buffer, (size_t)n);
    free(buffer);
}

/* ---- directories ---- */

struct place {
    struct livefs_state *fs;
    struct frozen *tree;
    uint64_t dir, number; /* in the tree; of the node */
    uint64_t *told;       /* nodes */
    size_t n, room;
};

static int take_names(void *arg, struct listing *names)
{
    const struct place *p = arg;
    int rc = listing_add_dots(names, p->dir, p->dir); /* nobody needs to know its parent's number */

    return rc < 0 ? rc : frozen_list(p->tree, p->dir, listing_add, names);
}

static bool has_room(struct place *p)
{
    uint64_t *more = p->told;

    if (p->n < p->room)
        return true;
    more = realloc(more, (p->room * 2 + 64) * sizeof(*more));
    if (!more)
        return false;
    p->told = more;
    p->room = p->room * 2 + 64;
    return true;
}

/* Whoever lists a directory of a tree looks at what is in it. The name is there in any case: the
 * kernel asks again when it was told nothing more. */
static int look_up(void *arg, const char *name, struct fuse_entry_param *e)
{
    struct place *p = arg;
    struct fuse_entry_param found;
    struct stat st;

    if (!has_room(p) || frozen_lookup(p->tree, p->dir, name, &st) < 0 ||
        fill_entry(p->fs, p->number, &st, &found) < 0)
        return 0;
    p->told[p->n++] = found.ino;
    *e = found;
    return 0;
}

static void reply_names(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                        struct fuse_file_info *fi, bool plus)
{
    struct place p = {.fs = livefs_of(req), .number = ino};
    const struct listing_source source = {.arg = &p, .take = take_names, .lookup = look_up};
    size_t i;

    p.tree = tree_of(req, ino, &p.dir);
    if (p.tree && listing_reply(&livefs_handle_of(fi)->names, req, size, offset, plus, &source) < 0)
        for (i = 0; i < p.n; i++)
            frozennodes_forget(&p.fs->frozen, p.told[i], 1);
    free(p.told);
}

static void frozen_request_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                                   struct fuse_file_info *fi)
{
    reply_names(req, ino, size, offset, fi, false);
}

static void frozen_request_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                                       struct fuse_file_info *fi)
{
    reply_names(req, ino, size, offset, fi, true);
}

const struct fuse_lowlevel_ops frozenrequests = {
    .lookup = frozen_request_lookup,
    .forget = frozen_request_forget,
    .getattr = frozen_request_getattr,
    .readlink = frozen_request_readlink,
    .open = frozen_request_open,
    .read = frozen_request_read,
    .readdir = frozen_request_readdir,
    .readdirplus = frozen_request_readdirplus,
};
