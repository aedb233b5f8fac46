/*
 * The low-level interface is used because node numbers come from the tree and need no path look-ups, and
 * because nothing here may block: each handler is a look into memory or one read of the spool.
 *
 * A view never changes, so the kernel may keep everything it learned: attributes, names, names that do not
 * exist, and the pages of files (keep_cache).
 */
#define FUSE_USE_VERSION 312

#include "fs/viewfs.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/mem.h"

#define FOREVER 86400.0 /* seconds the kernel may keep what it was told */
#define MAX_READAHEAD (1u << 20)

struct viewfs {
    const struct view *view;
    const struct tree *tree;
    struct viewfs_options options;
    struct fuse_session *session;
    bool mounted;
};

/* The kernel's root is 1, the tree's is 0. */
static uint32_t node_of(fuse_ino_t ino)
{
    return (uint32_t)(ino - FUSE_ROOT_ID);
}

static fuse_ino_t ino_of(uint32_t node)
{
    return (fuse_ino_t)node + FUSE_ROOT_ID;
}

static void fill_stat(const struct viewfs *fs, uint32_t node, struct stat *st)
{
    const struct node *n = &fs->tree->nodes[node];

    *st = (struct stat){.st_ino = n->ino, .st_uid = fs->options.uid, .st_gid = fs->options.gid};
    st->st_mode = (n->kind == NODE_DIR ? S_IFDIR | 0555 : S_IFREG | 0444) & ~fs->options.umask;
    st->st_nlink = n->kind == NODE_DIR ? 2 + n->subdirs : 1;
    st->st_size = (off_t)view_size(fs->view, node);
    st->st_blocks = (st->st_size + 511) / 512;
    st->st_blksize = 1 << 17;
    st->st_atim = st->st_mtim = st->st_ctim = view_time(fs->view);
}

static void fs_init(void *arg, struct fuse_conn_info *conn)
{
    (void)arg;
    conn->max_readahead = MAX_READAHEAD;
    /* readdirplus always: sizes cost us nothing, and `ls -l` needs them. */
    conn->want &= ~FUSE_CAP_READDIRPLUS_AUTO;
}

static void fill_entry(const struct viewfs *fs, uint32_t node, struct fuse_entry_param *e)
{
    *e = (struct fuse_entry_param){
        .ino = ino_of(node), .attr_timeout = FOREVER, .entry_timeout = FOREVER};
    fill_stat(fs, node, &e->attr);
}

static void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct viewfs *fs = fuse_req_userdata(req);
    struct fuse_entry_param e = {.entry_timeout = FOREVER};
    int64_t node = tree_lookup(fs->tree, node_of(parent), name);

    if (node >= 0)
        fill_entry(fs, (uint32_t)node, &e);
    fuse_reply_entry(req, &e); /* ino 0: the kernel remembers that there is none */
}

static void fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct viewfs *fs = fuse_req_userdata(req);
    struct stat st;

    (void)fi;
    fill_stat(fs, node_of(ino), &st);
    fuse_reply_attr(req, &st, FOREVER);
}

static void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC)) {
        fuse_reply_err(req, EROFS);
        return;
    }
    fi->keep_cache = 1;
    fi->noflush = 1;
    fuse_reply_open(req, fi);
}

static void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    struct viewfs *fs = fuse_req_userdata(req);
    char *buffer = malloc(size);
    int64_t n;

    (void)fi;
    if (!buffer) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    n = view_read(fs->view, node_of(ino), buffer, size, (uint64_t)offset);
    if (n < 0) {
        log_error("reading %s failed: %s", fs->tree->nodes[node_of(ino)].name, strerror((int)-n));
        fuse_reply_err(req, (int)-n);
    } else {
        fuse_reply_buf(req, buffer, (size_t)n);
    }
    free(buffer);
}

static void fs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    fi->cache_readdir = 1;
    fi->keep_cache = 1;
    fuse_reply_open(req, fi);
}

/* One entry into the buffer; 0 when it does not fit. next: the offset that follows it. */
static size_t put_entry(fuse_req_t req, char *buffer, size_t room, const char *name, uint32_t node,
                        off_t next, bool plus)
{
    struct viewfs *fs = fuse_req_userdata(req);
    struct fuse_entry_param e;
    size_t n;

    fill_entry(fs, node, &e);
    n = plus ? fuse_add_direntry_plus(req, buffer, room, name, &e, next)
             : fuse_add_direntry(req, buffer, room, name, &e.attr, next);
    return n <= room ? n : 0;
}

/* Offsets: 0 is ".", 1 is "..", 2 + i is child i. */
static void list(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, bool plus)
{
    struct viewfs *fs = fuse_req_userdata(req);
    const struct node *dir = &fs->tree->nodes[node_of(ino)];
    char *buffer = malloc(size);
    size_t used = 0, n = 1;
    off_t i;

    if (!buffer) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    for (i = offset; n && i < (off_t)dir->nchildren + 2; i++) {
        uint32_t child = i == 0   ? node_of(ino)
                         : i == 1 ? dir->parent
                                  : dir->children + (uint32_t)(i - 2);
        const char *name = i == 0 ? "." : i == 1 ? ".." : fs->tree->nodes[child].name;

        n = put_entry(req, buffer + used, size - used, name, child, i + 1, plus);
        used += n;
    }
    fuse_reply_buf(req, buffer, used);
    free(buffer);
}

static void fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
    (void)fi;
    list(req, ino, size, offset, false);
}

static void fs_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                           struct fuse_file_info *fi)
{
    (void)fi;
    list(req, ino, size, offset, true);
}

/* size 0 asks for the length. */
static void reply_bytes(fuse_req_t req, const char *bytes, size_t len, size_t size)
{
    if (size == 0)
        fuse_reply_xattr(req, len);
    else if (size < len)
        fuse_reply_err(req, ERANGE);
    else
        fuse_reply_buf(req, bytes, len);
}

static void fs_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct viewfs *fs = fuse_req_userdata(req);
    char value[VIEW_XATTR_MAX];
    int len = view_xattr(fs->view, node_of(ino), name, value);

    if (len < 0)
        fuse_reply_err(req, -len);
    else
        reply_bytes(req, value, (size_t)len, size);
}

static void fs_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct viewfs *fs = fuse_req_userdata(req);
    const char *names;
    size_t len = view_xattr_names(fs->view, node_of(ino), &names);

    reply_bytes(req, names, len, size);
}

static void fs_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct viewfs *fs = fuse_req_userdata(req);
    struct statvfs st = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255, .f_flag = ST_RDONLY};
    uint64_t bytes = 0;
    uint32_t i;

    (void)ino;
    for (i = 0; i < fs->tree->n; i++)
        bytes += view_size(fs->view, i);
    st.f_blocks = (bytes + 4095) / 4096;
    st.f_files = fs->tree->n;
    fuse_reply_statfs(req, &st);
}

/*
 * The mount is read-only, so the kernel answers every change with EROFS itself; these are asked only if
 * somebody remounts it writable.
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

static const struct fuse_lowlevel_ops operations = {
    .init = fs_init,
    .lookup = fs_lookup,
    .getattr = fs_getattr,
    .open = fs_open,
    .read = fs_read,
    .opendir = fs_opendir,
    .readdir = fs_readdir,
    .readdirplus = fs_readdirplus,
    .getxattr = fs_getxattr,
    .listxattr = fs_listxattr,
    .statfs = fs_statfs,
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

/* A comma in a mount option has to be escaped. */
static void put_option_value(struct buf *b, const char *value)
{
    for (; *value; value++) {
        if (*value == ',' || *value == '\\')
            buf_putc(b, '\\');
        buf_putc(b, *value);
    }
}

static char *mount_options(const struct viewfs *fs)
{
    struct buf b = {0};

    buf_puts(&b, "ro,nosuid,nodev,default_permissions,subtype=asofs,fsname=");
    put_option_value(&b, view_source(fs->view));
    if (fs->options.allow_other)
        buf_puts(&b, ",allow_other");
    if (fs->options.debug)
        buf_puts(&b, ",debug");
    return buf_steal(&b);
}

static int open_session(struct viewfs *fs, struct err *err)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    char *options = mount_options(fs);

    fuse_opt_add_arg(&args, "asofs");
    fuse_opt_add_arg(&args, "-o");
    fuse_opt_add_arg(&args, options);
    fs->session = fuse_session_new(&args, &operations, sizeof(operations), fs);
    fuse_opt_free_args(&args);
    free(options);
    return fs->session ? 0 : err_set(err, EINVAL, "libfuse refused the mount options");
}

int viewfs_mount(struct viewfs **out, const struct view *v, const struct viewfs_options *o,
                 const char *dir, struct err *err)
{
    struct viewfs *fs = mem_alloc(sizeof(*fs));
    int rc;

    *fs = (struct viewfs){.view = v, .tree = view_tree(v), .options = *o};
    rc = open_session(fs, err);
    if (rc == 0 && fuse_session_mount(fs->session, dir) != 0)
        rc = err_set(err, EPERM, "cannot mount on %s%s", dir,
                     o->allow_other && geteuid() != 0
                         ? "; allow_other needs user_allow_other in /etc/fuse.conf"
                         : "");
    if (rc < 0) {
        viewfs_unmount(fs);
        return rc;
    }
    fs->mounted = true;
    *out = fs;
    return 0;
}

int viewfs_serve(struct viewfs *fs, struct err *err)
{
    struct fuse_loop_config *config = fuse_loop_cfg_create();
    int rc;

    if (!config || fuse_set_signal_handlers(fs->session) < 0) {
        fuse_loop_cfg_destroy(config);
        return err_set(err, ENOMEM, "libfuse cannot be prepared");
    }
    fuse_loop_cfg_set_clone_fd(config, 0);
    rc = fuse_session_loop_mt(fs->session, config);
    fuse_remove_signal_handlers(fs->session);
    fuse_loop_cfg_destroy(config);
    /* A positive number is the signal that asked for the end. */
    return rc < 0 ? err_set(err, -rc, "the connection to the kernel failed: %s", strerror(-rc)) : 0;
}

void viewfs_unmount(struct viewfs *fs)
{
    if (!fs)
        return;
    if (fs->mounted)
        fuse_session_unmount(fs->session);
    if (fs->session)
        fuse_session_destroy(fs->session);
    free(fs);
}
