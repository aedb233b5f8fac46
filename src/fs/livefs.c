/*
 * Requests go by their node to the live tree, to .asofs or to the frozen trees. Beside those that
 * serve, one thread tells the kernel to forget what it keeps of trees that were given up or dropped:
 * who serves must not, for the kernel may hold what it would have to wait for.
 */
#define FUSE_USE_VERSION 312

#include "fs/livefs.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "fs/internal.h"
#include "fs/livefsstate.h"
#include "fs/serving.h"

#define MAX_THREADS 32 /* each may wait for the disk */
#define MAX_READAHEAD (1u << 20)
#define MAX_BACKGROUND 64

struct livefs {
    struct livefs_state state; /* first: userdata of the session */
    struct livefs_options options;
    struct mountpoint *at; /* borrowed */
    struct fuse_session *session;
    bool mounted;
    pthread_t teller;
    bool telling; /* that thread runs */
    int ending;   /* eventfd */
};

_Static_assert(offsetof(struct livefs, state) == 0, "where the requests look");

/* ---- which part of the tree ---- */

static const struct fuse_lowlevel_ops *part_of(fuse_ino_t ino)
{
    if (ino < LIVEFS_FIRST_CONTROL)
        return &liverequests;
    return ino < LIVEFS_FIRST_FROZEN ? &asofsrequests : &frozenrequests;
}

/* What a part does not know changes something. */
#define PASS(ino, call, ...)                                                                       \
    do {                                                                                           \
        if (part_of(ino)->call)                                                                    \
            part_of(ino)->call(__VA_ARGS__);                                                       \
        else                                                                                       \
            fuse_reply_err(req, EROFS);                                                            \
    } while (0)

static void fs_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    PASS(parent, lookup, req, parent, name);
}

static void fs_forget(fuse_req_t req, fuse_ino_t ino, uint64_t times)
{
    if (part_of(ino)->forget)
        part_of(ino)->forget(req, ino, times);
    fuse_reply_none(req);
}

static void fs_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (part_of(forgets[i].ino)->forget)
            part_of(forgets[i].ino)->forget(req, forgets[i].ino, forgets[i].nlookup);
    fuse_reply_none(req);
}

static void fs_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    PASS(ino, getattr, req, ino, fi);
}

static void fs_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    PASS(ino, setattr, req, ino, attr, to_set, fi);
}

static void fs_readlink(fuse_req_t req, fuse_ino_t ino)
{
    PASS(ino, readlink, req, ino);
}

static void fs_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    PASS(parent, mknod, req, parent, name, mode, rdev);
}

static void fs_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    PASS(parent, mkdir, req, parent, name, mode);
}

static void fs_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    PASS(parent, unlink, req, parent, name);
}

static void fs_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    PASS(parent, rmdir, req, parent, name);
}

static void fs_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    PASS(parent, symlink, req, target, parent, name);
}

static void fs_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned flags)
{
    if (part_of(parent) == part_of(new_parent))
        PASS(parent, rename, req, parent, name, new_parent, new_name, flags);
    else
        fuse_reply_err(req, EXDEV);
}

static void fs_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    if (part_of(ino) == part_of(parent))
        PASS(ino, link, req, ino, parent, name);
    else
        fuse_reply_err(req, EXDEV);
}

static void fs_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    PASS(ino, open, req, ino, fi);
}

static void fs_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    PASS(parent, create, req, parent, name, mode, fi);
}

static void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    PASS(ino, read, req, ino, size, offset, fi);
}

static void fs_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    PASS(ino, write, req, ino, bytes, size, offset, fi);
}

static void fs_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    if (part_of(ino)->fsync)
        part_of(ino)->fsync(req, ino, data_only, fi);
    else
        fuse_reply_err(req, 0); /* nothing is written there */
}

static void fs_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                         struct fuse_file_info *fi)
{
    PASS(ino, fallocate, req, ino, mode, offset, length, fi);
}

static void fs_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    livefs_handle_free(livefs_of(req), livefs_handle_of(fi));
    fuse_reply_err(req, 0);
}

/* The listing is taken by the first read, as by each from offset 0. */
static void fs_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct livefs_handle *h = livefs_handle_new(livefs_of(req), fi);

    (void)ino;
    if (!h)
        fuse_reply_err(req, ENOMEM);
    else if (fuse_reply_open(req, fi) < 0)
        livefs_handle_free(livefs_of(req), h);
}

static void fs_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
    PASS(ino, readdir, req, ino, size, offset, fi);
}

static void fs_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                           struct fuse_file_info *fi)
{
    PASS(ino, readdirplus, req, ino, size, offset, fi);
}

static void fs_fsyncdir(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    if (part_of(ino)->fsyncdir)
        part_of(ino)->fsyncdir(req, ino, data_only, fi);
    else
        fuse_reply_err(req, 0);
}

/* They lie on one file system. */
static void fs_statfs(fuse_req_t req, fuse_ino_t ino)
{
    liverequests.statfs(req, ino);
}

/*
 * Sizes and times change by the kernel's own doing: that is no reason for it to drop its pages (no
 * automatic invalidation). Truncation at opening comes as a call of its own. Who lists a directory
 * looks at what is in it (not only READDIRPLUS_AUTO's first page).
 */
static void fs_init(void *arg, struct fuse_conn_info *conn)
{
    (void)arg;
    conn->max_readahead = MAX_READAHEAD;
    conn->max_background = MAX_BACKGROUND;
    conn->congestion_threshold = MAX_BACKGROUND * 3 / 4;
    conn->want &=
        ~(unsigned)(FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_HANDLE_KILLPRIV |
                    FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                    FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_READDIRPLUS_AUTO);
    conn->want |= conn->capable & (FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_CACHE_SYMLINKS);
}

static const struct fuse_lowlevel_ops operations = {
    .init = fs_init,
    .lookup = fs_lookup,
    .forget = fs_forget,
    .forget_multi = fs_forget_multi,
    .getattr = fs_getattr,
    .setattr = fs_setattr,
    .readlink = fs_readlink,
    .mknod = fs_mknod,
    .mkdir = fs_mkdir,
    .unlink = fs_unlink,
    .rmdir = fs_rmdir,
    .symlink = fs_symlink,
    .rename = fs_rename,
    .link = fs_link,
    .open = fs_open,
    .create = fs_create,
    .read = fs_read,
    .write = fs_write,
    .fsync = fs_fsync,
    .fallocate = fs_fallocate,
    .release = fs_release,
    .opendir = fs_opendir,
    .readdir = fs_readdir,
    .readdirplus = fs_readdirplus,
    .releasedir = fs_release,
    .fsyncdir = fs_fsyncdir,
    .statfs = fs_statfs,
};

/* ---- telling the kernel ---- */

void livefs_given_up(struct livefs *fs)
{
    if (fs)
        livefs_ring(fs->state.stale);
}

static void tell_stale(struct livefs *fs)
{
    uint64_t *numbers;
    int64_t n = frozennodes_take_stale(&fs->state.frozen, &numbers), i;

    for (i = 0; i < n; i++)
        fuse_lowlevel_notify_inval_inode(fs->session, numbers[i], 0, 0);
    free(numbers);
}

static void *tell(void *arg)
{
    struct livefs *fs = arg;
    struct pollfd p[2] = {{.fd = fs->ending, .events = POLLIN},
                          {.fd = fs->state.stale, .events = POLLIN}};
    uint64_t ignored;

    for (;;) {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            return NULL;
        if (p[0].revents)
            return NULL;
        if (p[1].revents && read(fs->state.stale, &ignored, sizeof(ignored)) > 0)
            tell_stale(fs);
    }
}

static void stop_teller(struct livefs *fs)
{
    if (!fs->telling)
        return;
    livefs_ring(fs->ending);
    pthread_join(fs->teller, NULL);
    fs->telling = false;
}

/* ---- the session ---- */

static int look_at_root(struct livedir *l, struct livefs_state *s, struct err *err)
{
    struct live_node root, control;
    int rc = livedir_stat(l, LIVEDIR_ROOT, &root);

    if (rc < 0)
        return err_set(err, -rc, "cannot look at the data directory: %s", strerror(-rc));
    if (livedir_lookup(l, LIVEDIR_ROOT, LIVEFS_CONTROL, &control) == 0)
        return err_set(err, EEXIST, "the data directory has a file \"%s\"; that name is asofs'",
                       LIVEFS_CONTROL);
    s->uid = root.st.st_uid;
    s->gid = root.st.st_gid;
    return 0;
}

static int new_livefs(struct livedir *l, struct mountpoint *m, const struct livefs_options *o,
                      struct livefs **out, struct err *err)
{
    struct livefs *fs = calloc(1, sizeof(*fs));

    *out = fs;
    if (!fs)
        return err_set(err, ENOMEM, "out of memory");
    fs->options = *o;
    fs->at = m;
    fs->state.live = l;
    fs->state.status = o->status;
    fs->state.arg = o->arg;
    pthread_mutex_init(&fs->state.lock, NULL);
    frozennodes_init(&fs->state.frozen, l, LIVEFS_FIRST_FROZEN);
    fs->state.stale = eventfd(0, EFD_CLOEXEC);
    fs->ending = eventfd(0, EFD_CLOEXEC);
    if (fs->state.stale < 0 || fs->ending < 0)
        return err_errno(err, "cannot prepare the mount");
    return look_at_root(l, &fs->state, err);
}

/* libfuse's own I/O, with passthrough looking on. */
static ssize_t session_read(int fd, void *buffer, size_t size, void *state)
{
    return passthrough_read(((struct livefs_state *)state)->passthrough, fd, buffer, size);
}

static ssize_t session_writev(int fd, struct iovec *iov, int count, void *state)
{
    return passthrough_writev(((struct livefs_state *)state)->passthrough, fd, iov, count);
}

/* Mounted, and not served yet. */
static int prepare_passthrough(struct livefs *fs, struct err *err)
{
    static const struct fuse_custom_io io = {.read = session_read, .writev = session_writev};
    int rc;

    fs->state.passthrough = passthrough_new(fs->session, 0);
    if (!fs->state.passthrough)
        return 0;
    rc = fuse_session_custom_io(fs->session, &io, fuse_session_fd(fs->session));
    return rc == 0 ? 0 : err_set(err, -rc, "libfuse cannot be prepared: %s", strerror(-rc));
}

int livefs_mount(struct livedir *l, struct mountpoint *m, const struct livefs_options *options,
                 struct livefs **out, struct err *err)
{
    struct fs_session_options o = {
        .flags = "rw,nosuid,nodev", .source = options->source, .allow_other = options->allow_other};
    struct livefs *fs;
    int rc = new_livefs(l, m, options, &fs, err);

    if (rc < 0)
        goto out;
    fs_raise_file_limit();
    fs_prepare_heap();
    rc = fs_session_open(&o, &operations, &fs->state, &fs->session, err);
    if (rc == 0)
        rc = fs_session_mount(fs->session, m, &o, err);
    fs->mounted = rc == 0;
    if (rc == 0)
        rc = prepare_passthrough(fs, err);
    if (rc == 0 && (rc = -pthread_create(&fs->teller, NULL, tell, fs)) < 0)
        err_set(err, -rc, "cannot start a thread: %s", strerror(-rc));
    fs->telling = rc == 0;
out:
    if (rc < 0)
        livefs_unmount(fs);
    *out = rc < 0 ? NULL : fs;
    return rc;
}

int livefs_serve(struct livefs *fs, const struct stop *stop)
{
    struct fs_serving s = {.session = fs->session,
                           .at = fs->at,
                           .stop = stop,
                           .threads = MAX_THREADS,
                           .in_use = fs->options.in_use,
                           .enter = fs->options.enter,
                           .leave = fs->options.leave,
                           .arg = fs->options.arg};

    return fs_serve(&s);
}

void livefs_unmount(struct livefs *fs)
{
    if (!fs)
        return;
    if (fs->mounted)
        fs_session_unmount(fs->session, fs->at);
    stop_teller(fs);
    livefs_handles_end(&fs->state);
    passthrough_free(fs->state.passthrough);
    frozennodes_end(&fs->state.frozen);
    if (fs->session)
        fuse_session_destroy(fs->session);
    if (fs->state.stale >= 0)
        close(fs->state.stale);
    if (fs->ending >= 0)
        close(fs->ending);
    pthread_mutex_destroy(&fs->state.lock);
    free(fs);
}
