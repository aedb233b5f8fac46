/*
 * Writing a run of pages (at most 32, of one lock):
 *
 *   1. the newest epoch, under the lock of the run
 *   2. for each page that it needs and does not have: the old one goes there (past.c)
 *   3. the pages go into the file
 *
 * What is cut off by a truncation is kept in the same way. A truncation to nothing, of a file that
 * a freeze sees, gives its name an empty file and keeps the old one whole: exchanged, so that the
 * name is never missing. Handles and node go on with the new one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "common/io.h"
#include "live/livestate.h"
#include "pages/page.h"

#define LET_GO_MS 1000
#define WRITE_BACK_FILES 16 /* at a time: each takes a descriptor */
#define RUN_BYTES ((uint64_t)LIVE_RUN_PAGES * PAGE_BYTES)

struct livefile {
    struct opened *o;
    bool reads, writes;
    int sync; /* RWF_DSYNC, RWF_SYNC or 0 */
};

/* The old file of an epoch that is written to just now. */
struct grip {
    struct livedir *live;
    struct past *past;
    struct old_file *file;
    atomic_bool pinned; /* changed under the past's `touching` */
};

/* ---- what the newest epoch has of an open file ---- */

static void free_grip(void *arg)
{
    struct grip *g = arg;

    if (atomic_load(&g->pinned)) {
        old_file_unpin(g->past, g->file);
        atomic_fetch_sub(&g->live->pinned, 1);
    }
    old_file_release(g->past, g->file);
    past_put(g->past);
    free(g);
}

static int make_grip(struct opened *o, struct epoch *e, struct grip **result)
{
    struct grip *g = calloc(1, sizeof(*g)), *before;
    int rc;

    if (!g)
        return -ENOMEM;
    rc = past_touch(o->past, e, o->fd, &g->file);
    if (rc < 0) {
        free(g);
        return rc;
    }
    g->live = o->live;
    g->past = past_hold(o->past);
    before = atomic_exchange(&o->grip, g);
    if (before)
        phase_retire(&o->live->phase, free_grip, before); /* who took it may still write */
    *result = g;
    return 0;
}

static int need_past(struct opened *o)
{
    pthread_mutex_lock(&o->live->opening);
    if (!o->past)
        o->past = past_get(&o->live->pasts, o->id, true);
    pthread_mutex_unlock(&o->live->opening);
    return o->past ? 0 : -ENOMEM;
}

/* The size is said in the epoch from now on. */
static int touch(struct opened *o, struct epoch *e, struct grip **g)
{
    int rc;

    *g = atomic_load(&o->grip);
    if (*g && (*g)->file->epoch == e)
        return 0;
    rc = need_past(o);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&o->past->touching);
    *g = atomic_load(&o->grip);
    if (!*g || (*g)->file->epoch != e)
        rc = make_grip(o, e, g);
    pthread_mutex_unlock(&o->past->touching);
    return rc;
}

/* `touching` is locked. */
static bool may_stay_pinned(struct livedir *l)
{
    if (atomic_fetch_add(&l->pinned, 1) < l->most_pinned)
        return true;
    atomic_fetch_sub(&l->pinned, 1);
    return false;
}

/* It stays so until the next epoch, unless there are too many: then for this change only. */
static int pin(struct grip *g, bool *stays)
{
    int rc = 0;

    *stays = true;
    if (atomic_load(&g->pinned))
        return 0;
    pthread_mutex_lock(&g->past->touching);
    if (!atomic_load(&g->pinned)) {
        rc = old_file_make(g->past, g->file);
        *stays = rc == 0 && may_stay_pinned(g->live);
        atomic_store(&g->pinned, *stays);
    }
    pthread_mutex_unlock(&g->past->touching);
    return rc;
}

void live_let_go(struct livedir *l)
{
    unsigned entered = phase_enter(&l->phase);
    struct epoch *e = live_saving(l);
    struct opened *o;
    struct grip *g;
    bool some = false;

    pthread_mutex_lock(&l->opening);
    for (o = l->all_opened; o; o = o->next) {
        g = atomic_load(&o->grip);
        if (!g || g->file->epoch == e || !atomic_compare_exchange_strong(&o->grip, &g, NULL))
            continue;
        phase_retire(&l->phase, free_grip, g);
        some = true;
    }
    pthread_mutex_unlock(&l->opening);
    phase_leave(&l->phase, entered);
    if (some)
        phase_wait(&l->phase, LET_GO_MS); /* else they go after the next freeze */
}

/* The page is about to be changed; its run is locked, or the file is. The old file is pinned. */
static int keep_page(struct opened *o, struct grip *g, uint64_t page)
{
    struct old_file *x = g->file;
    char bytes[PAGE_BYTES];
    uint64_t len = page_count(x->size) > page ? x->size - page * PAGE_BYTES : 0;
    int64_t n;
    int rc;

    if (len == 0 || side_stored(x->side, page))
        return 0;
    if (len > PAGE_BYTES)
        len = PAGE_BYTES;
    n = io_pread_full(o->fd, bytes, (size_t)len, page * PAGE_BYTES);
    if (n < 0 || (uint64_t)n < len)
        return n < 0 ? (int)n : -EIO;
    atomic_fetch_add(&o->live->saved, 1);
    live_step("keep: read the old page");
    rc = old_file_put(x, page, bytes, (size_t)n, page_crc(bytes, (size_t)n));
    live_step("keep: kept the old page");
    return rc;
}

static int keep_pages(struct opened *o, struct epoch *e, uint64_t first, uint64_t end)
{
    struct grip *g;
    bool stays;
    int rc = touch(o, e, &g);

    if (rc == 0 && end > page_count(g->file->size))
        end = page_count(g->file->size);
    if (rc < 0 || first >= end)
        return rc;
    rc = pin(g, &stays);
    if (rc < 0)
        return rc;
    for (; rc == 0 && first < end; first++)
        rc = keep_page(o, g, first);
    if (!stays)
        old_file_unpin(g->past, g->file);
    return rc;
}

/* ---- reading and writing ---- */

static pthread_mutex_t *lock_of_run(struct opened *o, uint64_t run)
{
    uint64_t key = o->id * UINT64_C(0x9e3779b97f4a7c15) ^ run * UINT64_C(0xc2b2ae3d27d4eb4f);

    return &o->live->runs[(key >> 32) % LIVE_STRIPES];
}

static int64_t write_live(struct livefile *f, const char *bytes, size_t len, uint64_t offset)
{
    struct iovec v = {(void *)(uintptr_t)bytes, len};
    ssize_t n;

    if (!f->sync)
        return io_pwrite_all(f->o->fd, bytes, len, offset);
    while (v.iov_len) {
        do {
            n = pwritev2(f->o->fd, &v, 1, (off_t)offset, f->sync);
        } while (n < 0 && errno == EINTR);
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        v.iov_base = (char *)v.iov_base + n;
        v.iov_len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

static int64_t write_run(struct livefile *f, const char *bytes, size_t len, uint64_t offset)
{
    struct opened *o = f->o;
    pthread_mutex_t *lock = lock_of_run(o, offset / RUN_BYTES);
    struct epoch *e;
    int64_t rc = 0;

    pthread_mutex_lock(lock);
    e = live_saving(o->live);
    live_step("write: took the newest");
    if (live_is_seen(e, o->exempt, o->born))
        rc = keep_pages(o, e, offset / PAGE_BYTES, (offset + len - 1) / PAGE_BYTES + 1);
    if (rc < 0)
        live_fail(o->live, (int)rc, "the old page of a file");
    live_changes(o->live);
    rc = write_live(f, bytes, len, offset);
    pthread_mutex_unlock(lock);
    return rc;
}

static size_t write_all(struct livefile *f, const char *bytes, size_t len, uint64_t offset, int *rc)
{
    size_t done = 0, part;

    *rc = 0;
    while (done < len) {
        part = (size_t)(RUN_BYTES - (offset + done) % RUN_BYTES);
        if (part > len - done)
            part = len - done;
        *rc = (int)write_run(f, bytes + done, part, offset + done);
        if (*rc < 0)
            break;
        done += part;
    }
    return done;
}

/* How much was written, and why no more. */
static size_t write_once(struct livefile *f, const char *bytes, size_t len, uint64_t offset,
                         int *rc)
{
    struct opened *o = f->o;
    unsigned entered = phase_enter(&o->live->phase);
    size_t done;

    pthread_rwlock_rdlock(&o->resize);
    done = write_all(f, bytes, len, offset, rc);
    pthread_rwlock_unlock(&o->resize);
    phase_leave(&o->live->phase, entered);
    return done;
}

int64_t livedir_write(struct livefile *f, const void *bytes, size_t len, uint64_t offset)
{
    struct opened *o = f->o;
    struct livedir *l = o->live;
    struct room_made made = {0};
    size_t n = 0;
    int rc;

    if (!f->writes)
        return -EBADF;
    do {
        n += write_once(f, (const char *)bytes + n, len - n, offset + n, &rc);
    } while (rc == -ENOSPC && live_make_room(l, &made));
    atomic_fetch_add_explicit(&l->writes, 1, memory_order_relaxed);
    if (!atomic_load_explicit(&o->written, memory_order_relaxed))
        atomic_store(&o->written, true);
    return n ? (int64_t)n : rc;
}

int64_t livedir_read(struct livefile *f, void *bytes, size_t len, uint64_t offset)
{
    int64_t n;

    if (!f->reads)
        return -EBADF;
    pthread_rwlock_rdlock(&f->o->resize);
    n = io_pread_full(f->o->fd, bytes, len, offset);
    pthread_rwlock_unlock(&f->o->resize);
    return n;
}

/* ---- sizes ---- */

/* An empty file like `st` in the epoch, in the place of the one that is to be kept. */
static int make_empty(struct epoch *e, const char *path, const struct stat *st, int *fd)
{
    int rc;

    if (unlinkat(e->dir, path, 0) < 0 && errno != ENOENT) /* of an exchange that did not come */
        return -errno;
    *fd = openat(e->dir, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (*fd < 0)
        return -errno;
    rc = fchmod(*fd, st->st_mode & 07777) < 0 ? -errno : 0;
    if (rc == 0 && (st->st_uid != geteuid() || st->st_gid != getegid())) {
        struct stat made;

        rc = fstat(*fd, &made) < 0 ? -errno : 0;
        if (rc == 0 && (made.st_uid != st->st_uid || made.st_gid != st->st_gid) &&
            fchown(*fd, st->st_uid, st->st_gid) < 0)
            rc = -errno;
    }
    if (rc < 0) {
        close(*fd);
        unlinkat(e->dir, path, 0);
    }
    return rc;
}

/* The open file goes on with another one. Resize is locked alone, the tree for writing. */
static void go_on_with(struct opened *o, int fd, uint64_t id, uint64_t born)
{
    struct grip *g = atomic_exchange(&o->grip, NULL);

    if (g)
        phase_retire(&o->live->phase, free_grip, g);
    past_put(o->past);
    o->past = NULL;
    close(o->fd);
    o->fd = fd;
    o->id = id;
    o->born = o->node->born = born;
    nodes_set_id(&o->live->nodes, o->node, id);
    atomic_store(&o->renamed, true);
}

static int exchange(struct opened *o, struct epoch *e, int fd, uint64_t id, const char *kept)
{
    struct livedir *l = o->live;
    struct past *old = past_get(&l->pasts, o->id, true);
    char path[PATH_MAX];
    int rc = old ? nodes_path(o->node, NULL, path) : -ENOMEM;

    if (rc == 0)
        rc = live_note_name(l, e, o->node->parent, o->node->name, id);
    live_step("truncate: before the exchange");
    live_changes(l);
    live_root_changes(l, o->node->parent);
    if (rc == 0 && renameat2(l->dir, path, e->dir, kept, RENAME_EXCHANGE) < 0)
        rc = -errno;
    if (rc == 0) {
        past_set_kept(old, e);
        go_on_with(o, fd, id, e->number);
    }
    live_root_changed(l);
    past_put(old);
    return rc;
}

/* The name gets an empty file, and the epoch the old one. */
static int replace_by_empty(struct opened *o, struct epoch *e)
{
    char kept[EPOCH_KEPT_MAX];
    struct stat old, new;
    int fd = -1, rc;

    epoch_kept_path(kept, o->id);
    rc = fstat(o->fd, &old) < 0 ? -errno : make_empty(e, kept, &old, &fd);
    if (rc < 0)
        return rc;
    rc = fstat(fd, &new) < 0 ? -errno : exchange(o, e, fd, new.st_ino, kept);
    if (rc < 0) {
        close(fd);
        unlinkat(e->dir, kept, 0);
        return rc;
    }
    atomic_fetch_add(&o->live->kept, 1);
    atomic_fetch_add(&e->bytes, (uint64_t)old.st_blocks * 512);
    return 0;
}

static int set_size(struct opened *o, uint64_t size)
{
    live_changes(o->live);
    return ftruncate(o->fd, (off_t)size) < 0 ? -errno : 0;
}

/* 1: it was done; 0: it is not to be done in this way. */
static int empty_by_exchange(struct opened *o)
{
    struct livedir *l = o->live;
    struct epoch *e;
    struct stat st;
    int rc = 0;

    pthread_rwlock_wrlock(&l->tree);
    e = live_saving(l);
    if (live_is_seen(e, o->exempt, o->born) && o->node->linked && fstat(o->fd, &st) == 0 &&
        st.st_size > 0) {
        rc = replace_by_empty(o, e);
        if (rc < 0)
            live_fail(l, rc, "a file that was emptied");
        rc = rc == 0;
    }
    pthread_rwlock_unlock(&l->tree);
    return rc;
}

/* Resize is locked alone. */
static int resize(struct opened *o, uint64_t size)
{
    struct epoch *e;
    struct stat st;
    int rc = 0;

    if (size == 0 && empty_by_exchange(o))
        return 0;
    e = live_saving(o->live);
    live_step("truncate: took the newest");
    if (fstat(o->fd, &st) < 0)
        return -errno;
    if (live_is_seen(e, o->exempt, o->born) && (uint64_t)st.st_size != size)
        rc = keep_pages(o, e, size / PAGE_BYTES, page_count((uint64_t)st.st_size));
    if (rc < 0)
        live_fail(o->live, rc, "the end of a file that was cut off");
    return set_size(o, size);
}

int livedir_resize(struct livefile *f, uint64_t size)
{
    struct opened *o = f->o;
    unsigned entered;
    int rc;

    if (!f->writes)
        return -EBADF;
    entered = phase_enter(&o->live->phase);
    pthread_rwlock_wrlock(&o->resize);
    rc = resize(o, size);
    pthread_rwlock_unlock(&o->resize);
    phase_leave(&o->live->phase, entered);
    return rc;
}

int livedir_truncate(struct livedir *l, uint64_t number, uint64_t size)
{
    struct livefile *f;
    int rc = livedir_open_file(l, number, O_WRONLY, &f);

    if (rc < 0)
        return rc;
    rc = livedir_resize(f, size);
    livedir_close_file(f);
    return rc;
}

/* No page below the size that a freeze sees changes: what is a hole there reads the same. */
static int allocate(struct opened *o, int mode, uint64_t offset, uint64_t len)
{
    struct epoch *e = live_saving(o->live);
    struct grip *g;
    int rc = live_is_seen(e, o->exempt, o->born) ? touch(o, e, &g) : 0;

    if (rc < 0)
        live_fail(o->live, rc, "the size of a file");
    live_changes(o->live);
    return fallocate(o->fd, mode, (off_t)offset, (off_t)len) < 0 ? -errno : 0;
}

static int allocate_once(struct opened *o, int mode, uint64_t offset, uint64_t len)
{
    unsigned entered = phase_enter(&o->live->phase);
    int rc;

    pthread_rwlock_wrlock(&o->resize);
    rc = allocate(o, mode, offset, len);
    pthread_rwlock_unlock(&o->resize);
    phase_leave(&o->live->phase, entered);
    return rc;
}

int livedir_allocate(struct livefile *f, int mode, uint64_t offset, uint64_t len)
{
    struct room_made made = {0};
    int rc;

    if (mode != 0 && mode != FALLOC_FL_KEEP_SIZE)
        return -EOPNOTSUPP;
    if (!f->writes)
        return -EBADF;
    do {
        rc = allocate_once(f->o, mode, offset, len);
    } while (rc == -ENOSPC && live_make_room(f->o->live, &made));
    return rc;
}

/* ---- opening and closing ---- */

/* A descriptor that serves everybody who opens the file. */
static int open_live(struct livedir *l, struct node *n, bool *writable)
{
    char path[PATH_MAX];
    int fd, rc = nodes_path(n, NULL, path);

    if (rc < 0)
        return rc;
    fd = openat(l->dir, path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    *writable = fd >= 0;
    if (fd < 0 && (errno == EACCES || errno == EROFS || errno == ETXTBSY))
        fd = openat(l->dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

static struct opened *new_opened(struct livedir *l, struct node *n, int fd, bool writable)
{
    struct opened *o = calloc(1, sizeof(*o));
    pthread_rwlockattr_t attr;

    if (!o)
        return NULL;
    o->live = l;
    o->node = n;
    o->fd = fd;
    o->writable = writable;
    o->exempt = n->exempt;
    o->in_wal = n->linked && live_is_wal_dir(n->parent);
    o->id = node_id(n);
    o->born = n->born;
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&o->resize, &attr);
    pthread_rwlockattr_destroy(&attr);
    o->next = l->all_opened;
    if (o->next)
        o->next->prev = o;
    l->all_opened = o;
    return o;
}

/* `opening` is locked. fd >= 0: was opened for writing. */
static int need_opened(struct livedir *l, struct node *n, int fd)
{
    bool writable = true;

    if (n->opened) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    if (fd < 0)
        fd = open_live(l, n, &writable);
    if (fd < 0)
        return fd;
    n->opened = new_opened(l, n, fd, writable);
    if (!n->opened)
        close(fd);
    return n->opened ? 0 : -ENOMEM;
}

static int sync_flag(int flags)
{
    if ((flags & O_SYNC) == O_SYNC)
        return RWF_SYNC;
    return flags & O_DSYNC ? RWF_DSYNC : 0;
}

/* The last handle is gone. */
static void free_opened(struct opened *o)
{
    struct grip *g = atomic_load(&o->grip);

    if (g)
        free_grip(g);
    past_put(o->past);
    close(o->fd);
    pthread_rwlock_destroy(&o->resize);
    free(o);
}

/* `opening` and the tree are locked, for writing where `last`: the node may go. */
static struct opened *put_handle(struct opened *o)
{
    struct node *n = o->node;

    if (--o->handles)
        return NULL;
    n->opened = NULL;
    if (o->prev)
        o->prev->next = o->next;
    else
        o->live->all_opened = o->next;
    if (o->next)
        o->next->prev = o->prev;
    if (!n->linked)
        nodes_remove(&o->live->nodes, n);
    return o;
}

int live_open_node(struct livedir *l, struct node *n, int flags, int fd, struct livefile **f)
{
    int access = flags & O_ACCMODE, rc;
    struct livefile *new = calloc(1, sizeof(*new));

    *f = NULL;
    if (!new) {
        if (fd >= 0)
            close(fd);
        return -ENOMEM;
    }
    pthread_mutex_lock(&l->opening);
    rc = need_opened(l, n, fd);
    if (rc == 0 && access != O_RDONLY && !n->opened->writable)
        rc = -EACCES;
    if (rc == 0) {
        new->o = n->opened;
        n->opened->handles++;
    }
    pthread_mutex_unlock(&l->opening);
    if (rc < 0) {
        free(new);
        return rc;
    }
    new->reads = access != O_WRONLY;
    new->writes = access != O_RDONLY;
    new->sync = sync_flag(flags);
    *f = new;
    return 0;
}

int livedir_open_file(struct livedir *l, uint64_t number, int flags, struct livefile **f)
{
    struct node *n;
    int rc = -ESTALE;

    pthread_rwlock_rdlock(&l->tree);
    n = nodes_of_number(&l->nodes, number);
    if (n)
        rc = S_ISREG(n->mode) ? live_open_node(l, n, flags, -1, f)
                              : (S_ISDIR(n->mode) ? -EISDIR : -ELOOP);
    pthread_rwlock_unlock(&l->tree);
    return rc;
}

/* Only the last handle of a file needs the tree. */
static bool put_one_of_many(struct opened *o)
{
    struct livedir *l = o->live;
    bool many;

    pthread_mutex_lock(&l->opening);
    many = o->handles > 1;
    if (many)
        o->handles--;
    pthread_mutex_unlock(&l->opening);
    return many;
}

void livedir_close_file(struct livefile *f)
{
    struct opened *o = f->o, *gone;
    struct livedir *l = o->live;

    free(f);
    if (put_one_of_many(o))
        return;
    pthread_rwlock_wrlock(&l->tree);
    pthread_mutex_lock(&l->opening);
    gone = put_handle(o);
    pthread_mutex_unlock(&l->opening);
    pthread_rwlock_unlock(&l->tree);
    if (gone)
        free_opened(gone);
}

bool livedir_is_exempt(const struct livefile *f)
{
    return f->o->exempt;
}

int livedir_descriptor(struct livefile *f)
{
    return f->o->in_wal ? f->o->fd : -EPERM;
}

/* ---- attributes ---- */

static int stat_by_path(struct livedir *l, const struct node *n, struct stat *st)
{
    char path[PATH_MAX];
    int rc = nodes_path(n, NULL, path);

    if (node_id(n) == NODES_SPACES)
        rc = fstat(l->dir, st) < 0 ? -errno : 0;
    else if (rc == 0 && fstatat(l->dir, path, st, AT_SYMLINK_NOFOLLOW) < 0)
        rc = -errno;
    if (rc == 0 && live_space_target(l, n, path))
        st->st_size = (off_t)strlen(path);
    return rc;
}

int live_stat_node(struct livedir *l, struct node *n, struct live_node *out)
{
    int rc = 0;

    pthread_mutex_lock(&l->opening);
    if (n->opened)
        rc = fstat(n->opened->fd, &out->st) < 0 ? -errno : 1;
    pthread_mutex_unlock(&l->opening);
    if (rc == 0 && !n->linked)
        rc = -ESTALE;
    if (rc == 0)
        rc = stat_by_path(l, n, &out->st);
    out->number = out->st.st_ino = node_number(n);
    out->exempt = n->exempt;
    out->fleeting = n->linked && S_ISREG(n->mode) && live_is_wal_dir(n->parent);
    return rc < 0 ? rc : 0;
}

int livedir_file_stat(struct livefile *f, struct live_node *n)
{
    struct livedir *l = f->o->live;
    int rc;

    pthread_rwlock_rdlock(&l->tree);
    rc = live_stat_node(l, f->o->node, n);
    pthread_rwlock_unlock(&l->tree);
    return rc;
}

/* ---- to the disk ---- */

/* A descriptor of its own: nobody waits for the disk under the lock. */
static int duplicate(struct opened *o)
{
    int fd;

    pthread_rwlock_rdlock(&o->resize);
    fd = fcntl(o->fd, F_DUPFD_CLOEXEC, 3);
    pthread_rwlock_unlock(&o->resize);
    return fd < 0 ? -errno : fd;
}

int livedir_sync_dir(struct livedir *l, uint64_t number)
{
    char path[PATH_MAX];
    struct node *n;
    int rc = -ESTALE, fd;

    pthread_rwlock_rdlock(&l->tree);
    n = nodes_of_number(&l->nodes, number);
    if (n && n->linked)
        rc = nodes_path(n, NULL, path);
    fd = rc < 0 ? rc : openat(l->dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    pthread_rwlock_unlock(&l->tree);
    if (rc < 0)
        return rc;
    if (fd < 0 && (errno == EMFILE || errno == ENFILE))
        return syncfs(l->dir) < 0 ? -errno : 0; /* a server ends when it cannot sync */
    if (fd < 0 || fsync(fd) < 0)
        rc = -errno;
    if (fd >= 0)
        close(fd);
    return rc;
}

/* The server takes it that an empty file is one after a sync. */
static int sync_its_dir(struct opened *o)
{
    struct livedir *l = o->live;
    uint64_t parent;
    int rc;

    if (!atomic_exchange(&o->renamed, false))
        return 0;
    pthread_rwlock_rdlock(&l->tree);
    parent = o->node->linked ? node_number(o->node->parent) : 0;
    pthread_rwlock_unlock(&l->tree);
    rc = parent ? livedir_sync_dir(l, parent) : 0;
    if (rc < 0)
        atomic_store(&o->renamed, true);
    return rc;
}

static int sync_fd(int fd, bool data_only)
{
    return (data_only ? fdatasync(fd) : fsync(fd)) < 0 ? -errno : 0;
}

/* Where no descriptor is to be had: a truncation waits, which is better than a server that ends
 * because it cannot sync. */
static int sync_locked(struct opened *o, bool data_only)
{
    int rc;

    pthread_rwlock_rdlock(&o->resize);
    rc = sync_fd(o->fd, data_only);
    pthread_rwlock_unlock(&o->resize);
    return rc;
}

int livedir_sync(struct livefile *f, bool data_only)
{
    int fd = duplicate(f->o), rc;

    rc = fd < 0 ? sync_locked(f->o, data_only) : sync_fd(fd, data_only);
    if (fd >= 0)
        close(fd);
    return rc < 0 ? rc : sync_its_dir(f->o);
}

/* Descriptors of up to n files that were written, each once a round; how many. */
static size_t take_written(struct livedir *l, unsigned round, int *fds, size_t n)
{
    struct opened *o;
    size_t taken = 0;

    pthread_mutex_lock(&l->opening);
    for (o = l->all_opened; o && taken < n; o = o->next) {
        if (o->round == round || !atomic_load(&o->written) ||
            pthread_rwlock_tryrdlock(&o->resize) != 0)
            continue; /* who truncates it may wait for `opening`: the next time */
        atomic_store(&o->written, false);
        o->round = round;
        fds[taken] = fcntl(o->fd, F_DUPFD_CLOEXEC, 3);
        pthread_rwlock_unlock(&o->resize);
        taken += fds[taken] >= 0;
    }
    pthread_mutex_unlock(&l->opening);
    return taken;
}

void live_write_back(struct livedir *l)
{
    unsigned round = ++l->round;
    int fds[WRITE_BACK_FILES];
    size_t n, i;

    do {
        n = take_written(l, round, fds, WRITE_BACK_FILES);
        for (i = 0; i < n; i++) {
            sync_file_range(fds[i], 0, 0, SYNC_FILE_RANGE_WRITE);
            close(fds[i]);
        }
    } while (n == WRITE_BACK_FILES);
}
