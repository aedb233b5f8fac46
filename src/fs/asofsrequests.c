/* .asofs itself: the directory of the frozen trees, where freezes are made and dropped, and
 * status.json. What is in it changes by itself, so the kernel keeps nothing. */
#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fs/internal.h"
#include "fs/livefs.h"
#include "fs/livefsstate.h"

#define CONTROL LIVEFS_FIRST_CONTROL
#define FROZEN (LIVEFS_FIRST_CONTROL + 1)
#define STATUS (LIVEFS_FIRST_CONTROL + 2)
#define GIVEN_UP (LIVEFS_FIRST_CONTROL + 16) /* and the number of a freeze whose tree is stale */

#define FREEZE_WAIT_MS 10000 /* for calls that are under way */

/* ---- attributes ---- */

static void fill_stat(const struct livefs_state *fs, fuse_ino_t ino, struct stat *st)
{
    *st = (struct stat){.st_ino = ino,
                        .st_mode = ino == STATUS ? S_IFREG | 0400 : S_IFDIR | 0700,
                        .st_nlink = ino == STATUS ? 1 : 2,
                        .st_uid = fs->uid,
                        .st_gid = fs->gid,
                        .st_blksize = 4096};
    clock_gettime(CLOCK_REALTIME, &st->st_mtim);
    st->st_atim = st->st_ctim = st->st_mtim;
}

static void fill_entry(const struct livefs_state *fs, fuse_ino_t ino, struct fuse_entry_param *e)
{
    *e = (struct fuse_entry_param){.ino = ino};
    fill_stat(fs, ino, &e->attr);
}

void livefs_fill_control(const struct livefs_state *fs, struct fuse_entry_param *e)
{
    fill_entry(fs, CONTROL, e);
}

static void asofs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st;

    (void)fi;
    fill_stat(livefs_of(req), ino, &st);
    fuse_reply_attr(req, &st, 0);
}

/* ---- names ---- */

static bool is_number(const char *name, uint64_t *number)
{
    char *end;

    errno = 0;
    *number = strtoull(name, &end, 10);
    return name[0] >= '1' && name[0] <= '9' && !*end && errno == 0;
}

static void reply_fixed(fuse_req_t req, fuse_ino_t ino)
{
    struct fuse_entry_param e;

    fill_entry(livefs_of(req), ino, &e);
    fuse_reply_entry(req, &e);
}

/* One that was given up is still there, to be dropped. */
static void lookup_freeze(fuse_req_t req, uint64_t freeze)
{
    struct fuse_entry_param e;
    int rc = livefs_fill_tree(livefs_of(req), freeze, &e);

    if (rc == 0)
        livefs_reply_frozen(req, &e);
    else if (rc == -ESTALE)
        reply_fixed(req, GIVEN_UP + freeze);
    else
        fuse_reply_err(req, -rc);
}

static void asofs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    uint64_t freeze;

    if (parent == CONTROL && strcmp(name, LIVEFS_FROZEN) == 0)
        reply_fixed(req, FROZEN);
    else if (parent == CONTROL && strcmp(name, LIVEFS_STATUS) == 0)
        reply_fixed(req, STATUS);
    else if (parent == FROZEN && is_number(name, &freeze))
        lookup_freeze(req, freeze);
    else
        fuse_reply_err(req, parent >= GIVEN_UP ? ESTALE : ENOENT);
}

/* ---- freezes ---- */

static void asofs_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct livefs_state *fs = livefs_of(req);
    struct fuse_entry_param e;
    uint64_t freeze;
    int rc = 0;

    (void)mode;
    if (parent != FROZEN || !is_number(name, &freeze))
        rc = parent >= GIVEN_UP ? -ESTALE : -EPERM;
    if (rc == 0)
        rc = livedir_freeze(fs->live, freeze, FREEZE_WAIT_MS, &freeze, NULL);
    if (rc == 0)
        rc = livefs_fill_tree(fs, freeze, &e);
    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        livefs_reply_frozen(req, &e);
}

static void asofs_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct livefs_state *fs = livefs_of(req);
    uint64_t freeze;
    int rc = -EPERM;

    if (parent == FROZEN && is_number(name, &freeze))
        rc = livedir_drop(fs->live, freeze, NULL);
    livefs_wake_stale(fs);
    fuse_reply_err(req, -rc);
}

/* ---- status.json ---- */

static void asofs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct livefs_state *fs = livefs_of(req);
    struct livefs_handle *h;

    if ((fi->flags & O_ACCMODE) != O_RDONLY) {
        fuse_reply_err(req, EACCES);
        return;
    }
    h = livefs_handle_new(fs, fi);
    if (h)
        h->text = fs->status(fs->arg);
    fi->direct_io = 1; /* nobody knows its size before */
    (void)ino;
    if (!h || !h->text)
        fuse_reply_err(req, ENOMEM);
    if (h && (!h->text || fuse_reply_open(req, fi) < 0))
        livefs_handle_free(fs, h);
}

static void asofs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
    const char *text = livefs_handle_of(fi)->text;
    size_t len = strlen(text), from = (uint64_t)offset < len ? (size_t)offset : len;
    size_t n = size < len - from ? size : len - from;
    char *buffer = malloc(n ? n : 1);

    (void)ino;
    if (buffer) /* a copy: who has the answer may close the file before this returns */
        fuse_reply_buf(req, memcpy(buffer, text + from, n), n);
    else
        fuse_reply_err(req, ENOMEM);
    free(buffer);
}

/* ---- directories ---- */

static int take_freezes(struct livedir *l, struct listing *names)
{
    struct live_freeze *list;
    char name[24];
    size_t n, i;
    int rc = livedir_freezes(l, &list, &n);

    if (rc < 0)
        return rc;
    for (i = 0; i < n && rc == 0; i++) {
        snprintf(name, sizeof(name), "%" PRIu64, list[i].number);
        rc = listing_add(names, name, GIVEN_UP + list[i].number, S_IFDIR);
    }
    free(list);
    return rc;
}

static int take_control(void *arg, struct listing *names)
{
    int rc = listing_add_dots(names, CONTROL, LIVEDIR_ROOT);

    (void)arg;
    if (rc == 0)
        rc = listing_add(names, LIVEFS_FROZEN, FROZEN, S_IFDIR);
    return rc < 0 ? rc : listing_add(names, LIVEFS_STATUS, STATUS, S_IFREG);
}

static int take_frozen(void *arg, struct listing *names)
{
    int rc = listing_add_dots(names, FROZEN, CONTROL);

    return rc < 0 ? rc : take_freezes(arg, names);
}

static int take_given_up(void *arg, struct listing *names)
{
    (void)arg, (void)names;
    return -ESTALE;
}

static void reply_names(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                        struct fuse_file_info *fi, bool plus)
{
    const struct listing_source source = {.arg = livefs_of(req)->live,
                                          .take = ino == CONTROL  ? take_control
                                                  : ino == FROZEN ? take_frozen
                                                                  : take_given_up};

    listing_reply(&livefs_handle_of(fi)->names, req, size, offset, plus, &source);
}

static void asofs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                          struct fuse_file_info *fi)
{
    reply_names(req, ino, size, offset, fi, false);
}

static void asofs_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                              struct fuse_file_info *fi)
{
    reply_names(req, ino, size, offset, fi, true);
}

const struct fuse_lowlevel_ops asofsrequests = {
    .lookup = asofs_lookup,
    .getattr = asofs_getattr,
    .mkdir = asofs_mkdir,
    .rmdir = asofs_rmdir,
    .open = asofs_open,
    .read = asofs_read,
    .readdir = asofs_readdir,
    .readdirplus = asofs_readdirplus,
};
