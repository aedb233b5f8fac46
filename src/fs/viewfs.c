/*
 * The low-level interface is used because node numbers come from the tree and need no path
 * look-ups, and because nothing here may block: each handler is a look into memory or one read of
 * the spool.
 *
 * What is complete never changes, so the kernel may keep everything it learned: attributes, names,
 * names that do not exist, and the pages of files (keep_cache). What is not complete has attributes
 * that time out at once, so that the next stat comes here and is parked; texts that still change
 * are read around the page cache.
 */
#define FUSE_USE_VERSION 312

#include "fs/viewfs.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "fs/datafiles.h"
#include "fs/internal.h"
#include "fs/parking.h"
#include "fs/passthrough.h"

#define PAGES_FIRST                                                                                \
    (UINT64_C(1) << 62) /* node numbers from here on are those below .asofs/pages                  \
                         */
#define MAX_READAHEAD (1u << 20)
#define SPARE_FDS 512

struct viewfs {
    struct view *view;
    const struct tree *tree;
    struct parking *parking;
    struct passthrough *passthrough; /* NULL: not to be had */
    struct datafiles pages;
    uint32_t above_pages; /* the directory that .asofs/pages is in */
    uint64_t generation;  /* fs_generation */
    struct viewfs_options options;
    struct fuse_session *session;
    struct mountpoint *at; /* borrowed; once mounted */
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

/* Below .asofs/pages, or that itself: whoever answers then. */
static struct datafiles *pages_of(fuse_req_t req, fuse_ino_t ino)
{
    struct viewfs *fs = fuse_req_userdata(req);

    return ino >= PAGES_FIRST ? &fs->pages : NULL;
}

static bool is_dir(const struct viewfs *fs, uint32_t node)
{
    return node_is_dir(&fs->tree->nodes[node]);
}

/* The attributes, and how long they may be kept. The size of a pending or failed file is not known:
 * 0. */
static double fill_stat(struct viewfs *fs, uint32_t node, struct stat *st)
{
    const struct node *n = &fs->tree->nodes[node];
    enum view_state state = view_state(fs->view, node);

    *st = (struct stat){.st_ino = n->ino, .st_uid = fs->options.uid, .st_gid = fs->options.gid};
    st->st_mode = (is_dir(fs, node) ? S_IFDIR | 0555 : S_IFREG | 0444) & ~fs->options.umask;
    st->st_nlink = is_dir(fs, node) ? 2 + n->subdirs : 1;
    if (state == VIEW_FINAL || state == VIEW_LIVE)
        st->st_size = (off_t)view_size(fs->view, node);
    st->st_blocks = (st->st_size + 511) / 512;
    st->st_blksize = 1 << 17;
    st->st_atim = st->st_mtim = st->st_ctim = view_time(fs->view);
    return state == VIEW_FINAL ? FS_FOREVER : 0;
}

static void fs_init(void *arg, struct fuse_conn_info *conn)
{
    (void)arg;
    conn->max_readahead = MAX_READAHEAD;
    conn->want |= conn->capable & FUSE_CAP_EXPORT_SUPPORT;
    /* readdirplus always: sizes cost us nothing, and `ls -l` needs them. */
    conn->want &= ~FUSE_CAP_READDIRPLUS_AUTO;
}

/* .asofs/pages is the root of the data directory. */
static bool fill_pages(const struct viewfs *fs, struct fuse_entry_param *e)
{
    struct stat st;

    if (!fs->pages.data || datadir_stat(fs->pages.data, DIRTREE_ROOT, &st) < 0)
        return false;
    datafiles_fill_entry(&fs->pages, &st, e);
    return true;
}

static void fill_entry(struct viewfs *fs, uint32_t node, struct fuse_entry_param *e)
{
    if (fs->tree->nodes[node].kind == NODE_PAGES && fill_pages(fs, e))
        return;
    *e = (struct fuse_entry_param){.ino = ino_of(node),
                                   .generation = fs_generation_of(ino_of(node), fs->generation),
                                   .entry_timeout = FS_FOREVER};
    e->attr_timeout = fill_stat(fs, node, &e->attr);
}

/* The number may come out of a file handle: then it can be any. */
static int64_t find_node(const struct viewfs *fs, fuse_ino_t parent, const char *name)
{
    if (parent - FUSE_ROOT_ID >= fs->tree->n)
        return -1;
    if (strcmp(name, ".") == 0)
        return node_of(parent);
    if (strcmp(name, "..") == 0)
        return fs->tree->nodes[node_of(parent)].parent;
    return tree_lookup(fs->tree, node_of(parent), name);
}

static bool is_above_pages(const struct viewfs *fs, fuse_ino_t parent, const char *name)
{
    return parent == PAGES_FIRST + DIRTREE_ROOT && fs->pages.data && strcmp(name, "..") == 0;
}

static void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct viewfs *fs = fuse_req_userdata(req);
    struct fuse_entry_param e = {.entry_timeout = FS_FOREVER};
    struct datafiles *pages = pages_of(req, parent);
    int64_t node;

    if (is_above_pages(fs, parent, name)) {
        node = fs->above_pages;
    } else if (pages && pages->data) {
        datafiles_lookup(pages, req, parent, name);
        return;
    } else {
        node = pages ? -1 : find_node(fs, parent, name);
    }
    if (node >= 0)
        fill_entry(fs, (uint32_t)node, &e);
    fuse_reply_entry(req, &e); /* ino 0: the kernel remembers that there is none */
}

static void reply_attr(struct viewfs *fs, fuse_req_t req, uint32_t node)
{
    struct stat st;
    double timeout = fill_stat(fs, node, &st);

    fuse_reply_attr(req, &st, timeout);
}

/* The text as it is at this moment is kept with the open file, so that its reader sees one state.
 */
struct live_text {
    char *text;
    size_t len;
};

static bool open_live(struct viewfs *fs, uint32_t node, struct fuse_file_info *fi)
{
    struct live_text *t = malloc(sizeof(*t));

    if (!t)
        return false;
    view_live_text(fs->view, node, &t->text, &t->len);
    fi->fh = (uintptr_t)t;
    fi->direct_io = 1;
    return true;
}

static void reply_open(struct viewfs *fs, fuse_req_t req, uint32_t node, struct fuse_file_info *fi)
{
    fi->fh = 0;
    fi->noflush = 1;
    switch (view_state(fs->view, node)) {
    case VIEW_FINAL:
        if (passthrough_reply_open(fs->passthrough, req, node, view_own_fd(fs->view, node)))
            return;
        fi->keep_cache = 1;
        fuse_reply_open(req, fi);
        return;
    case VIEW_LIVE:
        if (open_live(fs, node, fi))
            fuse_reply_open(req, fi);
        else
            fuse_reply_err(req, ENOMEM);
        return;
    default:
        fuse_reply_err(req, EIO);
    }
}

/* For parking: the file is settled. A failed file still has attributes; reading it is the error. */
static void answer_parked(void *arg, fuse_req_t req, uint32_t node, struct fuse_file_info *fi,
                          bool is_open)
{
    struct viewfs *fs = arg;

    if (is_open)
        reply_open(fs, req, node, fi);
    else if (view_state(fs->view, node) == VIEW_FAILED)
        fuse_reply_err(req, EIO);
    else
        reply_attr(fs, req, node);
}

static bool is_pending(void *arg, uint32_t node)
{
    struct viewfs *fs = arg;

    return view_state(fs->view, node) == VIEW_PENDING;
}

static void answer_or_park(struct viewfs *fs, fuse_req_t req, uint32_t node,
                           struct fuse_file_info *fi, bool is_open)
{
    if (!is_pending(fs, node)) {
        answer_parked(fs, req, node, fi, is_open);
        return;
    }
    view_prefer(fs->view, node);
    parking_add(fs->parking, req, node, fi, is_open);
}

void viewfs_settled(void *viewfs)
{
    struct viewfs *fs = viewfs;

    parking_settled(fs->parking);
}

static void fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct datafiles *pages = pages_of(req, ino);

    if (pages)
        datafiles_getattr(pages, req, ino);
    else
        answer_or_park(fuse_req_userdata(req), req, node_of(ino), fi, false);
}

static void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct datafiles *pages = pages_of(req, ino);

    if ((fi->flags & O_ACCMODE) != O_RDONLY || (fi->flags & O_TRUNC))
        fuse_reply_err(req, EROFS);
    else if (pages)
        datafiles_open(pages, req, ino, fi);
    else
        answer_or_park(fuse_req_userdata(req), req, node_of(ino), fi, true);
}

static void fs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct live_text *t = (struct live_text *)(uintptr_t)fi->fh;
    struct datafiles *pages = pages_of(req, ino);

    if (pages) {
        datafiles_release(pages, req, fi);
        return;
    }
    if (t) {
        free(t->text);
        free(t);
    }
    fuse_reply_err(req, 0);
}

/*
 * A copy is replied: as soon as the kernel has the answer the reader may close the file, and the
 * text is freed in another thread while this one is still returning from its write.
 */
static int64_t read_live(const struct live_text *t, char *buffer, size_t size, off_t offset)
{
    size_t at = (uint64_t)offset < t->len ? (size_t)offset : t->len;
    size_t n = size < t->len - at ? size : t->len - at;

    memcpy(buffer, t->text + at, n);
    return (int64_t)n;
}

static void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    struct viewfs *fs = fuse_req_userdata(req);
    const struct live_text *live = (const struct live_text *)(uintptr_t)fi->fh;
    int64_t n = -ENOMEM;
    char *buffer;

    if (pages_of(req, ino)) {
        datafiles_read(req, size, offset, fi);
        return;
    }
    buffer = malloc(size);
    if (buffer && live)
        n = read_live(live, buffer, size, offset);
    else if (buffer)
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
    struct datafiles *pages = pages_of(req, ino);

    if (pages) {
        datafiles_opendir(pages, req, fi);
        return;
    }
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

static void fs_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct datafiles *pages = pages_of(req, ino);

    if (pages)
        datafiles_release(pages, req, fi);
    else
        fuse_reply_err(req, 0);
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
    struct datafiles *pages = pages_of(req, ino);

    if (pages)
        datafiles_readdir(pages, req, ino, size, offset, fi, false);
    else
        list(req, ino, size, offset, false);
}

static void fs_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                           struct fuse_file_info *fi)
{
    struct datafiles *pages = pages_of(req, ino);

    if (pages)
        datafiles_readdir(pages, req, ino, size, offset, fi, true);
    else
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
    int len = -ENODATA;

    if (!pages_of(req, ino) && view_state(fs->view, node_of(ino)) == VIEW_FINAL)
        len = view_xattr(fs->view, node_of(ino), name, value);
    if (len < 0)
        fuse_reply_err(req, -len);
    else
        reply_bytes(req, value, (size_t)len, size);
}

static void fs_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct viewfs *fs = fuse_req_userdata(req);
    const char *names = "";
    size_t len = pages_of(req, ino) ? 0 : view_xattr_names(fs->view, node_of(ino), &names);

    reply_bytes(req, names, len, size);
}

/* There are links below .asofs/pages only. */
static void fs_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct datafiles *pages = pages_of(req, ino);

    if (pages)
        datafiles_readlink(pages, req, ino);
    else
        fuse_reply_err(req, EINVAL);
}

static void fs_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct viewfs *fs = fuse_req_userdata(req);
    struct statvfs st = {.f_bsize = 4096, .f_frsize = 4096, .f_namemax = 255, .f_flag = ST_RDONLY};
    uint64_t bytes = 0;
    uint32_t i;

    (void)ino;
    for (i = 0; i < fs->tree->n; i++)
        if (view_state(fs->view, i) == VIEW_FINAL)
            bytes += view_size(fs->view, i);
    st.f_blocks = (bytes + 4095) / 4096;
    st.f_files = fs->tree->n;
    fuse_reply_statfs(req, &st);
}

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

static struct fs_session_options session_options(const struct viewfs *fs)
{
    return (struct fs_session_options){.flags = "ro,nosuid,nodev",
                                       .source = view_source(fs->view),
                                       .allow_other = fs->options.allow_other,
                                       .debug = fs->options.debug};
}

static uint32_t find_above_pages(const struct tree *t)
{
    uint32_t i;

    for (i = 0; i < t->n; i++)
        if (t->nodes[i].kind == NODE_PAGES)
            return t->nodes[i].parent;
    return 0;
}

int viewfs_open(struct viewfs **out, struct view *v, const struct viewfs_options *o,
                struct err *err)
{
    struct viewfs *fs = mem_alloc(sizeof(*fs));
    struct fs_session_options so;
    int rc;

    *fs = (struct viewfs){.view = v,
                          .tree = view_tree(v),
                          .generation = fs_generation(),
                          .above_pages = find_above_pages(view_tree(v)),
                          .options = *o};
    datafiles_init(&fs->pages, o->pages, o->pages_uid, o->pages_gid, PAGES_FIRST);
    fs->parking = parking_new(is_pending, answer_parked, fs);
    so = session_options(fs);
    rc = fs_session_open(&so, &operations, fs, &fs->session, err);
    if (rc == 0)
        *out = fs;
    else
        viewfs_free(fs);
    return rc;
}

/* libfuse's own I/O, with passthrough looking on. */
static ssize_t session_read(int fd, void *buffer, size_t size, void *viewfs)
{
    return passthrough_read(((struct viewfs *)viewfs)->passthrough, fd, buffer, size);
}

static ssize_t session_writev(int fd, struct iovec *iov, int count, void *viewfs)
{
    return passthrough_writev(((struct viewfs *)viewfs)->passthrough, fd, iov, count);
}

static int watch_messages(struct viewfs *fs, struct err *err)
{
    static const struct fuse_custom_io io = {.read = session_read, .writev = session_writev};
    int rc;

    if (!fs->options.no_passthrough)
        fs->passthrough = passthrough_new(fs->session, fs->tree->n);
    if (!fs->passthrough)
        return 0;
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
    rc = fuse_session_loop_mt(fs->session, config);
    fuse_loop_cfg_destroy(config);
    /* A positive number is the signal that asked for the end. */
    return rc < 0 ? err_set(err, -rc, "the connection to the kernel failed: %s", strerror(-rc)) : 0;
}

void viewfs_unmount(struct viewfs *fs)
{
    if (!fs)
        return;
    parking_close(fs->parking);
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
    datafiles_end(&fs->pages);
    parking_free(fs->parking);
    passthrough_free(fs->passthrough);
    if (fs->session)
        fuse_session_destroy(fs->session);
    free(fs);
}
