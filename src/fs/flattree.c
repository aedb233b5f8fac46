/*
 * What is complete never changes, so the kernel may keep everything it learned: attributes, names,
 * names that do not exist, and the pages of files (keep_cache). What is not complete has attributes
 * that time out at once, so that the next stat comes here and is parked; texts that still change
 * are read around the page cache.
 */
#define FUSE_USE_VERSION 312

#include "fs/viewstate.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "common/log.h"
#include "fs/internal.h"
#include "fs/pieces.h"

/* ---- names and attributes ---- */

/* The kernel's root is 1, the tree's is 0. */
static uint32_t node_of(fuse_ino_t ino)
{
    return (uint32_t)(ino - FUSE_ROOT_ID);
}

static fuse_ino_t ino_of(uint32_t node)
{
    return (fuse_ino_t)node + FUSE_ROOT_ID;
}

static bool is_dir(const struct viewstate *fs, uint32_t node)
{
    return node_is_dir(&fs->tree->nodes[node]);
}

/* The attributes, and how long they may be kept. The size of a pending or failed file is not known:
 * 0. */
static double fill_stat(struct viewstate *fs, uint32_t node, struct stat *st)
{
    const struct node *n = &fs->tree->nodes[node];
    enum view_state state = view_state(fs->view, node);

    *st = (struct stat){.st_ino = n->ino, .st_uid = fs->uid, .st_gid = fs->gid};
    st->st_mode = (is_dir(fs, node) ? S_IFDIR | 0555 : S_IFREG | 0444) & ~fs->umask;
    st->st_nlink = is_dir(fs, node) ? 2 + n->subdirs : 1;
    if (state == VIEW_FINAL || state == VIEW_LIVE)
        st->st_size = (off_t)view_size(fs->view, node);
    st->st_blocks = (st->st_size + 511) / 512;
    st->st_blksize = 1 << 17;
    st->st_atim = st->st_mtim = st->st_ctim = view_time(fs->view);
    return state == VIEW_FINAL ? FS_FOREVER : 0;
}

/* .asofs/pages is the root of the data directory. */
static bool fill_pages(const struct viewstate *fs, struct fuse_entry_param *e)
{
    struct stat st;

    if (!fs->pages.data || datadir_stat(fs->pages.data, DIRTREE_ROOT, &st) < 0)
        return false;
    datafiles_fill_entry(&fs->pages, &st, e);
    return true;
}

void flattree_fill_entry(struct viewstate *fs, uint32_t node, struct fuse_entry_param *e)
{
    if (fs->tree->nodes[node].kind == NODE_PAGES && fill_pages(fs, e))
        return;
    *e = (struct fuse_entry_param){.ino = ino_of(node),
                                   .generation = fs_generation_of(ino_of(node), fs->generation),
                                   .entry_timeout = FS_FOREVER};
    e->attr_timeout = fill_stat(fs, node, &e->attr);
}

/* The number may come out of a file handle: then it can be any. */
static int64_t find_node(const struct viewstate *fs, fuse_ino_t parent, const char *name)
{
    if (parent - FUSE_ROOT_ID >= fs->tree->n)
        return -1;
    if (strcmp(name, ".") == 0)
        return node_of(parent);
    if (strcmp(name, "..") == 0)
        return fs->tree->nodes[node_of(parent)].parent;
    return tree_lookup(fs->tree, node_of(parent), name);
}

static void flat_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct viewstate *fs = fuse_req_userdata(req);
    struct fuse_entry_param e = {.entry_timeout = FS_FOREVER};
    int64_t node = find_node(fs, parent, name);

    if (node >= 0)
        flattree_fill_entry(fs, (uint32_t)node, &e);
    fuse_reply_entry(req, &e); /* ino 0: the kernel remembers that there is none */
}

static void flat_readlink(fuse_req_t req, fuse_ino_t ino)
{
    (void)ino;
    fuse_reply_err(req, EINVAL); /* there are no links */
}

/* ---- stat and open, which may have to wait ---- */

static void reply_attr(struct viewstate *fs, fuse_req_t req, uint32_t node)
{
    struct stat st;
    double timeout = fill_stat(fs, node, &st);

    fuse_reply_attr(req, &st, timeout);
}

/*
 * The handle of a text is what it was when it was opened, if it is a live one, so that its reader sees one
 * state; of a table it is its reader, if its bytes take work. Else there is none (NULL): files stay the view's.
 */
static bool is_table(const struct viewstate *fs, uint32_t node)
{
    return fs->tree->nodes[node].kind == NODE_TABLE;
}

static struct flatfile *live_text_of(const struct viewstate *fs, uint32_t node,
                                     const struct fuse_file_info *fi)
{
    return is_table(fs, node) ? NULL : (struct flatfile *)(uintptr_t)fi->fh;
}

static struct ahead_reader *reader_of(const struct viewstate *fs, uint32_t node,
                                      const struct fuse_file_info *fi)
{
    return is_table(fs, node) ? (struct ahead_reader *)(uintptr_t)fi->fh : NULL;
}

static void end_handle(const struct viewstate *fs, uint32_t node, const struct fuse_file_info *fi)
{
    struct ahead_reader *reader = reader_of(fs, node, fi);

    flatfile_free(live_text_of(fs, node, fi));
    if (reader)
        ahead_close(reader);
}

/* Who asked may be gone, and then nobody closes it. */
static void reply_handle(const struct viewstate *fs, fuse_req_t req, uint32_t node,
                         struct fuse_file_info *fi)
{
    if (fuse_reply_open(req, fi) < 0)
        end_handle(fs, node, fi);
}

static void reply_open(struct viewstate *fs, fuse_req_t req, uint32_t node,
                       struct fuse_file_info *fi)
{
    const struct flatfile *f;

    fi->fh = 0;
    fi->noflush = 1;
    if (readahead_begin(&fs->readahead))
        ahead_leave_order(fs->ahead);
    switch (view_state(fs->view, node)) {
    case VIEW_FINAL:
        f = view_file(fs->view, node);
        if (f && passthrough_reply_open(fs->passthrough, req, node, flatfile_fd(f)))
            return;
        if (f && flatfile_works(f) && is_table(fs, node))
            fi->fh = (uintptr_t)ahead_open(fs->ahead, f);
        fi->keep_cache = 1;
        reply_handle(fs, req, node, fi);
        return;
    case VIEW_LIVE:
        fi->fh = (uintptr_t)view_live_text(fs->view, node);
        fi->direct_io = 1;
        reply_handle(fs, req, node, fi);
        return;
    default:
        fuse_reply_err(req, EIO);
    }
}

/* For parking: the file is settled. A failed file still has attributes; reading it is the error. */
static void answer_parked(void *arg, fuse_req_t req, uint32_t node, struct fuse_file_info *fi,
                          bool is_open)
{
    struct viewstate *fs = arg;

    if (is_open)
        reply_open(fs, req, node, fi);
    else if (view_state(fs->view, node) == VIEW_FAILED)
        fuse_reply_err(req, EIO);
    else
        reply_attr(fs, req, node);
}

static bool is_pending(void *arg, uint32_t node)
{
    struct viewstate *fs = arg;

    return view_state(fs->view, node) == VIEW_PENDING;
}

static void answer_or_park(struct viewstate *fs, fuse_req_t req, uint32_t node,
                           struct fuse_file_info *fi, bool is_open)
{
    if (!is_pending(fs, node)) {
        answer_parked(fs, req, node, fi, is_open);
        return;
    }
    view_prefer(fs->view, node);
    parking_add(fs->parking, req, node, fi, is_open);
}

static void flat_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    answer_or_park(fuse_req_userdata(req), req, node_of(ino), fi, false);
}

static void flat_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    answer_or_park(fuse_req_userdata(req), req, node_of(ino), fi, true);
}

/* ---- open files ---- */

static int64_t read_bytes(struct ahead_reader *reader, const struct flatfile *f, char *buffer,
                          size_t size, uint64_t offset)
{
    if (reader)
        return ahead_read(reader, buffer, size, offset);
    return f ? flatfile_read(f, buffer, size, offset) : -EIO;
}

/*
 * A copy is replied, of a live text too: as soon as the kernel has the answer the reader may close
 * the file, and the text is freed in another thread while this one still returns from its write.
 */
static void flat_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                      struct fuse_file_info *fi)
{
    struct viewstate *fs = fuse_req_userdata(req);
    struct ahead_reader *reader = reader_of(fs, node_of(ino), fi);
    const struct flatfile *f = live_text_of(fs, node_of(ino), fi);
    char *buffer;
    int64_t n = -ENOMEM;

    if (!f)
        f = view_file(fs->view, node_of(ino));
    if (f && pieces_reply(req, f, size, (uint64_t)offset))
        return;
    buffer = malloc(size);
    if (buffer)
        n = read_bytes(reader, f, buffer, size, (uint64_t)offset);
    if (n < 0) {
        log_error("reading %s failed: %s", fs->tree->nodes[node_of(ino)].name, strerror((int)-n));
        fuse_reply_err(req, (int)-n);
    } else {
        fuse_reply_buf(req, buffer, (size_t)n);
    }
    free(buffer);
}

static void flat_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    end_handle(fuse_req_userdata(req), node_of(ino), fi);
    fuse_reply_err(req, 0);
}

/* ---- directories ---- */

static void flat_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    fi->cache_readdir = 1;
    fi->keep_cache = 1;
    fuse_reply_open(req, fi);
}

static void flat_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino, (void)fi;
    fuse_reply_err(req, 0);
}

/* One entry into the buffer; 0 when it does not fit. next: the offset that follows it. */
static size_t put_node(fuse_req_t req, char *buffer, size_t room, const char *name, uint32_t node,
                       off_t next, bool plus)
{
    struct viewstate *fs = fuse_req_userdata(req);
    struct fuse_entry_param e;
    size_t n;

    flattree_fill_entry(fs, node, &e);
    n = plus ? fuse_add_direntry_plus(req, buffer, room, name, &e, next)
             : fuse_add_direntry(req, buffer, room, name, &e.attr, next);
    return n <= room ? n : 0;
}

/* Offsets: 0 is ".", 1 is "..", 2 + i is child i. */
static void reply_children(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset, bool plus)
{
    struct viewstate *fs = fuse_req_userdata(req);
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

        n = put_node(req, buffer + used, size - used, name, child, i + 1, plus);
        used += n;
    }
    fuse_reply_buf(req, buffer, used);
    free(buffer);
}

static void flat_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                         struct fuse_file_info *fi)
{
    (void)fi;
    reply_children(req, ino, size, offset, false);
}

static void flat_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                             struct fuse_file_info *fi)
{
    (void)fi;
    reply_children(req, ino, size, offset, true);
}

/* ---- attributes of ours, and the whole ---- */

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

static void flat_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    struct viewstate *fs = fuse_req_userdata(req);
    char value[VIEW_XATTR_MAX];
    int len = -ENODATA;

    if (view_state(fs->view, node_of(ino)) == VIEW_FINAL)
        len = view_xattr(fs->view, node_of(ino), name, value);
    if (len < 0)
        fuse_reply_err(req, -len);
    else
        reply_bytes(req, value, (size_t)len, size);
}

static void flat_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    struct viewstate *fs = fuse_req_userdata(req);
    const char *names = "";
    size_t len = view_xattr_names(fs->view, node_of(ino), &names);

    reply_bytes(req, names, len, size);
}

void flattree_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct viewstate *fs = fuse_req_userdata(req);
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

/* ---- the tree ---- */

void flattree_begin(struct viewstate *fs)
{
    fs->ahead = ahead_new();
    fs->parking = parking_new(is_pending, answer_parked, fs);
}

void flattree_end(struct viewstate *fs)
{
    parking_free(fs->parking);
    ahead_free(fs->ahead);
}

const struct fuse_lowlevel_ops flattree_requests = {
    .lookup = flat_lookup,
    .getattr = flat_getattr,
    .readlink = flat_readlink,
    .open = flat_open,
    .release = flat_release,
    .read = flat_read,
    .opendir = flat_opendir,
    .readdir = flat_readdir,
    .readdirplus = flat_readdirplus,
    .releasedir = flat_releasedir,
    .getxattr = flat_getxattr,
    .listxattr = flat_listxattr,
};
