/*
 * The live tree. Names, attributes and contents change through the mount only, so the kernel may
 * keep all that it was told, also that a name does not exist; what it changes itself, it knows. Node
 * numbers are never given twice, so nothing is counted here: a node that lost its name is found as
 * long as it is open.
 *
 * Writes go through: there is no collecting in the kernel. Exempt files (log, temporary ones) do
 * without its pages, too: they are written once, and hardly read. Where the kernel can, it reads and
 * writes the log without us (passthrough.h), but for those opens that make the file.
 */
#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "fs/internal.h"
#include "fs/livefs.h"
#include "fs/livefsstate.h"

#define OPEN_FLAGS (O_ACCMODE | O_DSYNC | O_SYNC)

/* ---- answers ---- */

static void reply_rc(fuse_req_t req, int rc)
{
    fuse_reply_err(req, rc < 0 ? -rc : 0);
}

/*
 * A file of two names is two nodes: what is done to one changes the other, and files that are not kept
 * may get another name at any time. A segment of the log that gets another name may be another file by
 * then: such names are looked up each time.
 */
static double attr_timeout(const struct live_node *n)
{
    return S_ISREG(n->st.st_mode) && (n->exempt || n->st.st_nlink > 1) ? 0 : FS_FOREVER;
}

static void fill_entry(const struct live_node *n, struct fuse_entry_param *e)
{
    *e = (struct fuse_entry_param){.ino = n->number,
                                   .attr = n->st,
                                   .attr_timeout = attr_timeout(n),
                                   .entry_timeout = n->fleeting ? 0 : FS_FOREVER};
}

static void reply_entry(fuse_req_t req, int rc, const struct live_node *n)
{
    struct fuse_entry_param e;

    if (rc < 0) {
        fuse_reply_err(req, -rc);
        return;
    }
    fill_entry(n, &e);
    fuse_reply_entry(req, &e);
}

/* The name of what is no part of the data directory. */
static bool is_control(fuse_ino_t parent, const char *name)
{
    return parent == LIVEDIR_ROOT && strcmp(name, LIVEFS_CONTROL) == 0;
}

/* ---- names ---- */

static void live_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct fuse_entry_param e = {.entry_timeout = FS_FOREVER};
    struct live_node n;
    int rc;

    if (is_control(parent, name)) {
        livefs_fill_control(livefs_of(req), &e);
        fuse_reply_entry(req, &e);
        return;
    }
    rc = livedir_lookup(livefs_of(req)->live, parent, name, &n);
    if (rc == -ENOENT && n.fleeting)
        e.entry_timeout = 0;
    if (rc == -ENOENT)
        fuse_reply_entry(req, &e); /* the kernel remembers that there is none */
    else
        reply_entry(req, rc, &n);
}

static void live_readlink(fuse_req_t req, fuse_ino_t ino)
{
    char target[PATH_MAX];
    int rc = livedir_readlink(livefs_of(req)->live, ino, target, sizeof(target));

    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        fuse_reply_readlink(req, target);
}

static void live_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    struct livefile *f;
    struct live_node n;
    int rc = S_ISREG(mode) && !is_control(parent, name) ? 0 : -EPERM;

    (void)rdev;
    if (rc == 0)
        rc = livedir_create(livefs_of(req)->live, parent, name, mode & 07777, O_RDWR | O_EXCL, &n,
                            &f);
    if (rc == 0)
        livedir_close_file(f);
    reply_entry(req, rc, &n);
}

static void live_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    struct live_node n;
    int rc = is_control(parent, name)
                 ? -EEXIST
                 : livedir_mkdir(livefs_of(req)->live, parent, name, mode & 07777, &n);

    reply_entry(req, rc, &n);
}

static void live_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    struct live_node n;
    int rc = is_control(parent, name)
                 ? -EEXIST
                 : livedir_symlink(livefs_of(req)->live, parent, name, target, &n);

    reply_entry(req, rc, &n);
}

static void live_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    struct live_node n;
    int rc = is_control(parent, name) ? -EEXIST
                                      : livedir_link(livefs_of(req)->live, ino, parent, name, &n);

    reply_entry(req, rc, &n);
}

static void live_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply_rc(req, livedir_unlink(livefs_of(req)->live, parent, name));
}

static void live_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply_rc(req,
             is_control(parent, name) ? -EPERM : livedir_rmdir(livefs_of(req)->live, parent, name));
}

static void live_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                        const char *new_name, unsigned flags)
{
    if (is_control(parent, name) || is_control(new_parent, new_name))
        fuse_reply_err(req, EPERM);
    else
        reply_rc(req,
                 livedir_rename(livefs_of(req)->live, parent, name, new_parent, new_name, flags));
}

/* ---- attributes ---- */

static void live_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct live_node n;
    int rc = livedir_stat(livefs_of(req)->live, ino, &n);

    (void)fi;
    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        fuse_reply_attr(req, &n.st, attr_timeout(&n));
}

static struct timespec time_to_set(int to_set, int given, int now, struct timespec value)
{
    if (to_set & now)
        return (struct timespec){.tv_nsec = UTIME_NOW};
    return to_set & given ? value : (struct timespec){.tv_nsec = UTIME_OMIT};
}

static int set_times(struct livedir *l, fuse_ino_t ino, const struct stat *attr, int to_set)
{
    const struct timespec times[2] = {
        time_to_set(to_set, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, attr->st_atim),
        time_to_set(to_set, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, attr->st_mtim)};

    return livedir_set_times(l, ino, times);
}

static int set_size(struct livedir *l, fuse_ino_t ino, uint64_t size,
                    const struct fuse_file_info *fi)
{
    return fi ? livedir_resize(livefs_handle_of(fi)->live, size) : livedir_truncate(l, ino, size);
}

static int set_attributes(struct livedir *l, fuse_ino_t ino, const struct stat *attr, int to_set,
                          const struct fuse_file_info *fi)
{
    int rc = 0;

    if (to_set & FUSE_SET_ATTR_MODE)
        rc = livedir_chmod(l, ino, attr->st_mode & 07777);
    if (rc == 0 && (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)))
        rc = livedir_chown(l, ino, to_set & FUSE_SET_ATTR_UID ? attr->st_uid : (uid_t)-1,
                           to_set & FUSE_SET_ATTR_GID ? attr->st_gid : (gid_t)-1);
    if (rc == 0 && (to_set & FUSE_SET_ATTR_SIZE))
        rc = set_size(l, ino, (uint64_t)attr->st_size, fi);
    if (rc == 0 && (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME)))
        rc = set_times(l, ino, attr, to_set);
    return rc;
}

static void live_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                         struct fuse_file_info *fi)
{
    int rc = set_attributes(livefs_of(req)->live, ino, attr, to_set, fi);

    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        live_getattr(req, ino, fi);
}

/* ---- files ---- */

/* What the kernel shall do with an open file. */
static void fill_open(struct livefile *f, struct fuse_file_info *fi)
{
    fi->direct_io = livedir_is_exempt(f);
    fi->keep_cache = !fi->direct_io;
    fi->noflush = 1;
}

/* With passthrough, if that is to be had. */
static int reply_open(fuse_req_t req, fuse_ino_t ino, struct livefs_handle *h,
                      struct fuse_file_info *fi)
{
    struct livefs_state *fs = livefs_of(req);
    int32_t id = passthrough_take(fs->passthrough, ino, livedir_descriptor(h->live));

    if (!id) {
        fill_open(h->live, fi);
        return fuse_reply_open(req, fi);
    }
    h->passed = ino;
    return passthrough_answer(req, fi->fh, id);
}

static void live_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct livefs_state *fs = livefs_of(req);
    struct livefs_handle *h = livefs_handle_new(fs, fi);
    int rc = h ? livedir_open_file(fs->live, ino, fi->flags & OPEN_FLAGS, &h->live) : -ENOMEM;

    if (rc < 0) {
        if (h)
            livefs_handle_free(fs, h);
        fuse_reply_err(req, -rc);
        return;
    }
    if (reply_open(req, ino, h, fi) < 0)
        livefs_handle_free(fs, h); /* the open was interrupted, and nobody closes it */
}

static void live_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                        struct fuse_file_info *fi)
{
    struct livefs_state *fs = livefs_of(req);
    struct livefs_handle *h = livefs_handle_new(fs, fi);
    struct fuse_entry_param e;
    struct live_node n;
    int rc = !h ? -ENOMEM : is_control(parent, name) ? -EISDIR : 0;

    if (rc == 0)
        rc = livedir_create(fs->live, parent, name, mode & 07777, fi->flags & (OPEN_FLAGS | O_EXCL),
                            &n, &h->live);
    if (rc < 0) {
        if (h)
            livefs_handle_free(fs, h);
        fuse_reply_err(req, -rc);
        return;
    }
    fill_open(h->live, fi);
    fill_entry(&n, &e);
    if (fuse_reply_create(req, &e, fi) < 0)
        livefs_handle_free(fs, h);
}

static void live_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                      struct fuse_file_info *fi)
{
    char *buffer = malloc(size);
    int64_t n = -ENOMEM;

    (void)ino;
    if (buffer)
        n = livedir_read(livefs_handle_of(fi)->live, buffer, size, (uint64_t)offset);
    if (n < 0)
        fuse_reply_err(req, (int)-n);
    else
        fuse_reply_buf(req, buffer, (size_t)n);
    free(buffer);
}

static void live_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
    int64_t n = livedir_write(livefs_handle_of(fi)->live, bytes, size, (uint64_t)offset);

    (void)ino;
    if (n < 0)
        fuse_reply_err(req, (int)-n);
    else
        fuse_reply_write(req, (size_t)n);
}

static void live_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    (void)ino;
    reply_rc(req, livedir_sync(livefs_handle_of(fi)->live, data_only));
}

static void live_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                           struct fuse_file_info *fi)
{
    (void)ino;
    reply_rc(req, livedir_allocate(livefs_handle_of(fi)->live, mode, (uint64_t)offset,
                                   (uint64_t)length));
}

static void live_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct statvfs s;
    int rc = livedir_space(livefs_of(req)->live, &s);

    (void)ino;
    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        fuse_reply_statfs(req, &s);
}

/* ---- directories ---- */

struct place {
    struct livedir *live;
    uint64_t dir;
};

static int take_names(void *arg, struct listing *names)
{
    const struct place *p = arg;
    uint64_t parent;
    int rc = livedir_parent(p->live, p->dir, &parent);

    if (rc == 0)
        rc = listing_add_dots(names, p->dir, parent);
    return rc < 0 ? rc : livedir_list(p->live, p->dir, listing_add, names);
}

/* A listed name may mean another file by now. (The kernel holds changes of the directory back.) */
static int look_up_again(void *arg, const char *name, struct fuse_entry_param *e)
{
    const struct place *p = arg;
    struct live_node n;
    int rc = livedir_lookup(p->live, p->dir, name, &n);

    if (rc == 0)
        fill_entry(&n, e);
    return rc;
}

static void reply_names(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                        struct fuse_file_info *fi, bool plus)
{
    struct place place = {livefs_of(req)->live, ino};
    const struct listing_source source = {&place, take_names, look_up_again};

    listing_reply(&livefs_handle_of(fi)->names, req, size, offset, plus, &source);
}

static void live_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                         struct fuse_file_info *fi)
{
    reply_names(req, ino, size, offset, fi, false);
}

static void live_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                             struct fuse_file_info *fi)
{
    reply_names(req, ino, size, offset, fi, true);
}

static void live_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    (void)data_only, (void)fi;
    reply_rc(req, livedir_sync_dir(livefs_of(req)->live, ino));
}

const struct fuse_lowlevel_ops liverequests = {
    .lookup = live_lookup,
    .getattr = live_getattr,
    .setattr = live_setattr,
    .readlink = live_readlink,
    .mknod = live_mknod,
    .mkdir = live_mkdir,
    .unlink = live_unlink,
    .rmdir = live_rmdir,
    .symlink = live_symlink,
    .rename = live_rename,
    .link = live_link,
    .open = live_open,
    .create = live_create,
    .read = live_read,
    .write = live_write,
    .fsync = live_fsync,
    .fallocate = live_fallocate,
    .readdir = live_readdir,
    .readdirplus = live_readdirplus,
    .fsyncdir = live_fsyncdir,
    .statfs = live_statfs,
};
