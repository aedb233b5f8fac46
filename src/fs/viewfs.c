/*
 * The low-level interface is used because node numbers come from the tree and need no path
 * look-ups, and because nothing here may block: each handler is a look into memory or one read of
 * the spool.
 */
#define FUSE_USE_VERSION 312

#include "fs/viewfs.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "fs/internal.h"
#include "fs/pieces.h"
#include "fs/viewstate.h"

#define MAX_READAHEAD (1u << 20)
#define SPARE_FDS 512

struct viewfs {
    struct viewstate s; /* first: viewstate.h */
    struct viewfs_options options;
    struct fuse_session *session;
    struct mountpoint *at; /* borrowed; once mounted */
    bool mounted;
};

_Static_assert(offsetof(struct viewfs, s) == 0, "where the trees look");

/* ---- whose a node is: the only place that asks ---- */

static const struct fuse_lowlevel_ops *tree_of(fuse_req_t req, fuse_ino_t ino)
{
    const struct viewstate *fs = fuse_req_userdata(req);

    return fs->pages.data && ino >= fs->pages.first ? &pagestree_requests : &flattree_requests;
}

static void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    tree_of(req, parent)->lookup(req, parent, name);
}

static void fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    tree_of(req, ino)->getattr(req, ino, fi);
}

static void fs_readlink(fuse_req_t req, fuse_ino_t ino)
{
    tree_of(req, ino)->readlink(req, ino);
}

static void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC))
        fuse_reply_err(req, EROFS);
    else
        tree_of(req, ino)->open(req, ino, fi);
}

static void fs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    tree_of(req, ino)->release(req, ino, fi);
}

static void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    tree_of(req, ino)->read(req, ino, size, offset, fi);
}

static void fs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    tree_of(req, ino)->opendir(req, ino, fi);
}

static void fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
    tree_of(req, ino)->readdir(req, ino, size, offset, fi);
}

static void fs_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                           struct fuse_file_info *fi)
{
    tree_of(req, ino)->readdirplus(req, ino, size, offset, fi);
}

static void fs_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    tree_of(req, ino)->releasedir(req, ino, fi);
}

static void fs_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    tree_of(req, ino)->getxattr(req, ino, name, size);
}

static void fs_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    tree_of(req, ino)->listxattr(req, ino, size);
}

/* ---- what changes something ---- */

/*
 * The mount is read-only, so the kernel answers every change with EROFS itself; these are asked
 * only if somebody remounts it writable.
 */
static void fs_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    (void)ino, (void)attr, (void)to_set, (void)fi;
    fuse_reply_err(req, EROFS);
}

static void fs_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    (void)parent, (void)name, (void)mode, (void)rdev;
    fuse_reply_err(req, EROFS);
}

static void fs_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    (void)parent, (void)name, (void)mode;
    fuse_reply_err(req, EROFS);
}

static void fs_remove(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    (void)parent, (void)name;
    fuse_reply_err(req, EROFS);
}

static void fs_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    (void)target, (void)parent, (void)name;
    fuse_reply_err(req, EROFS);
}

static void fs_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t newparent,
                      const char *newname, unsigned flags)
{
    (void)parent, (void)name, (void)newparent, (void)newname, (void)flags;
    fuse_reply_err(req, EROFS);
}

static void fs_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t newparent, const char *newname)
{
    (void)ino, (void)newparent, (void)newname;
    fuse_reply_err(req, EROFS);
}

static void fs_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                        size_t size, int flags)
{
    (void)ino, (void)name, (void)value, (void)size, (void)flags;
    fuse_reply_err(req, EROFS);
}

static void fs_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    (void)ino, (void)name;
    fuse_reply_err(req, EROFS);
}

/* ---- the session ---- */

static void fs_init(void *arg, struct fuse_conn_info *conn)
{
    (void)arg;
    conn->max_readahead = MAX_READAHEAD;
    conn->want |= conn->capable & FUSE_CAP_EXPORT_SUPPORT;
    /* What lies in files of ours is not copied twice. */
    conn->want |= conn->capable & FUSE_CAP_SPLICE_WRITE;
    /* readdirplus always: sizes cost us nothing, and `ls -l` needs them. */
    conn->want &= ~FUSE_CAP_READDIRPLUS_AUTO;
}

static const struct fuse_lowlevel_ops operations = {
    .init = fs_init,
    .lookup = fs_lookup,
    .getattr = fs_getattr,
    .readlink = fs_readlink,
    .open = fs_open,
    .release = fs_release,
    .read = fs_read,
    .opendir = fs_opendir,
    .readdir = fs_readdir,
    .readdirplus = fs_readdirplus,
    .releasedir = fs_releasedir,
    .getxattr = fs_getxattr,
    .listxattr = fs_listxattr,
    .statfs = flattree_statfs,
    .setattr = fs_setattr,
    .mknod = fs_mknod,
    .mkdir = fs_mkdir,
    .unlink = fs_remove,
    .rmdir = fs_remove,
    .symlink = fs_symlink,
    .rename = fs_rename,
    .link = fs_link,
    .setxattr = fs_setxattr,
    .removexattr = fs_removexattr,
};

static struct fs_session_options session_options(const struct viewfs *fs)
{
    return (struct fs_session_options){.flags = "ro,nosuid,nodev",
                                       .source = view_source(fs->s.view),
                                       .allow_other = fs->options.allow_other,
                                       .debug = fs->options.debug};
}

int viewfs_open(struct viewfs **out, struct view *v, const struct viewfs_options *o,
                struct err *err)
{
    struct viewfs *fs = mem_alloc(sizeof(*fs));
    struct fs_session_options so;
    int rc;

    fs->options = *o;
    fs->s = (struct viewstate){.view = v,
                               .tree = view_tree(v),
                               .uid = o->uid,
                               .gid = o->gid,
                               .umask = o->umask,
                               .generation = fs_generation(),
                               .readahead = {.fd = -1}};
    flattree_begin(&fs->s);
    pagestree_begin(&fs->s, o->pages, o->pages_uid, o->pages_gid);
    so = session_options(fs);
    rc = fs_session_open(&so, &operations, fs, &fs->session, err);
    if (rc == 0)
        *out = fs;
    else
        viewfs_free(fs);
    return rc;
}

/* libfuse's own I/O, with passthrough looking on, and at what is sent of files (pieces.h). */
static ssize_t session_read(int fd, void *buffer, size_t size, void *viewfs)
{
    return passthrough_read(((struct viewstate *)viewfs)->passthrough, fd, buffer, size);
}

static ssize_t session_writev(int fd, struct iovec *iov, int count, void *viewfs)
{
    int rc = pieces_check(fd, iov, count);

    return rc ? rc : passthrough_writev(((struct viewstate *)viewfs)->passthrough, fd, iov, count);
}

static ssize_t session_splice(int fd_in, off_t *off_in, int fd_out, off_t *off_out, size_t len,
                              unsigned flags, void *viewfs)
{
    (void)viewfs;
    return pieces_splice(fd_in, off_in, fd_out, off_out, len, flags);
}

static int watch_messages(struct viewfs *fs, struct err *err)
{
    static const struct fuse_custom_io io = {
        .read = session_read, .writev = session_writev, .splice_send = session_splice};
    int rc;

    if (!fs->options.no_passthrough)
        fs->s.passthrough = passthrough_new(fs->session, fs->s.tree->n);
    rc = fuse_session_custom_io(fs->session, &io, fuse_session_fd(fs->session));
    return rc == 0 ? 0 : err_set(err, -rc, "libfuse cannot be prepared: %s", strerror(-rc));
}

int viewfs_mount(struct viewfs *fs, struct mountpoint *m, struct err *err)
{
    struct fs_session_options o = session_options(fs);
    int rc = fs_session_mount(fs->session, m, &o, err);

    if (rc < 0)
        return rc;
    fs->at = m;
    fs->mounted = true;
    readahead_open(&fs->s.readahead, m->path);
    if (fuse_set_signal_handlers(fs->session) < 0)
        return err_set(err, EIO, "libfuse cannot handle signals");
    return watch_messages(fs, err);
}

/* Descriptors: one for each such table; a good number is left for everything else. */
size_t viewfs_own_files(void)
{
    struct rlimit r;

    if (!passthrough_is_likely() || getrlimit(RLIMIT_NOFILE, &r) < 0)
        return 0;
    r.rlim_cur = r.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &r) < 0)
        return 0;
    return r.rlim_cur > 2 * SPARE_FDS ? (size_t)r.rlim_cur - SPARE_FDS : 0;
}

int viewfs_serve(struct viewfs *fs, struct err *err)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    int rc;

    if (!config)
        return err_set(err, ENOMEM, "libfuse cannot be prepared");
    fuse_loop_cfg_set_clone_fd(config, 0);
    fs_prepare_heap();
    if (ahead_begin(fs->s.ahead, fs->options.jobs, err) < 0)
        log_error("%s", err->text); /* then who asks reads */
    rc = fuse_session_loop_mt(fs->session, config);
    ahead_end(fs->s.ahead);
    fuse_loop_cfg_destroy(config);
    /* A positive number is the signal that asked for the end. */
    return rc < 0 ? err_set(err, -rc, "the connection to the kernel failed: %s", strerror(-rc)) : 0;
}

void viewfs_settled(void *viewfs)
{
    struct viewfs *fs = viewfs;

    parking_settled(fs->s.parking);
}

void viewfs_unmount(struct viewfs *fs)
{
    if (!fs)
        return;
    parking_close(fs->s.parking);
    if (fs->mounted) {
        fuse_remove_signal_handlers(fs->session);
        fs_session_unmount(fs->session, fs->at);
    }
    fs->mounted = false;
}

void viewfs_free(struct viewfs *fs)
{
    if (!fs)
        return;
    pagestree_end(&fs->s);
    flattree_end(&fs->s);
    passthrough_free(fs->s.passthrough);
    readahead_close(&fs->s.readahead);
    if (fs->session)
        fuse_session_destroy(fs->session);
    free(fs);
}
