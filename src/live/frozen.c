/*
 * Reading a page of freeze k: the first epoch from k on that has it; else the file itself, and then
 * a second look at the epochs: whoever changed the page while it was read has kept it before. Pages
 * that lie together and that no epoch has are read at once.
 */
#include "live/frozen.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "live/livestate.h"
#include "pages/page.h"

#define WAL_NAME "pg_wal"
#define RUN 32u /* pages that are looked for at once */

struct frozen {
    struct livedir *l;
    struct epoch *e; /* held */
};

struct frozen_file {
    struct frozen *t;
    uint64_t id;
    struct past *past; /* NULL: below pg_wal, and open as fd */
    int fd;
};

/* ---- the tree ---- */

static int check(const struct frozen *t)
{
    return atomic_load(&t->e->state) == HEADER_OPEN ? 0 : -ESTALE;
}

int frozen_open(struct livedir *l, uint64_t number, struct frozen **t)
{
    struct epoch *e = live_epoch(l, number);
    int state = e ? atomic_load(&e->state) : HEADER_DROPPED;

    *t = NULL;
    if (state != HEADER_OPEN) {
        epoch_release(e);
        return state == HEADER_GIVEN_UP ? -ESTALE : -ENOENT;
    }
    *t = calloc(1, sizeof(**t));
    if (!*t) {
        epoch_release(e);
        return -ENOMEM;
    }
    (*t)->l = l;
    (*t)->e = e;
    return 0;
}

void frozen_close(struct frozen *t)
{
    if (!t)
        return;
    epoch_release(t->e);
    free(t);
}

uint64_t frozen_root(const struct frozen *t)
{
    return node_id(t->l->nodes.root);
}

uint64_t frozen_number(const struct frozen *t)
{
    return t->e->number;
}

/* ---- names ---- */

static bool is_hidden(const struct frozen *t, uint64_t dir, const char *name, mode_t mode)
{
    struct node *d = nodes_of_id(&t->l->nodes, dir);
    bool in_root = dir == frozen_root(t);

    if (d && d->exempt)
        return true;
    return !S_ISDIR(mode) && nodes_name_exempt(in_root, name);
}

/* What the name stood for. The tree is locked. */
static int find(const struct frozen *t, uint64_t dir, const char *name, uint64_t *id, mode_t *mode)
{
    const struct past_name *r = past_names_find(&t->l->names, t->e->number, dir, name);
    struct node *d, *n = NULL;

    if (!r && (d = nodes_of_id(&t->l->nodes, dir)))
        n = nodes_child(&t->l->nodes, d, name);
    *id = r ? r->id : n ? node_id(n) : 0;
    *mode = r ? r->mode : n ? n->mode : 0;
    return *id && !is_hidden(t, dir, name, *mode) ? 0 : -ENOENT;
}

static int list_names(const struct frozen *t, uint64_t dir,
                      int (*each)(void *arg, const char *name, uint64_t id, mode_t mode),
                      void *arg);

static int is_one(void *arg, const char *name, uint64_t id, mode_t mode)
{
    (void)arg, (void)name, (void)id, (void)mode;
    return 1;
}

/* .tablespaces, in which nothing was. The tree is locked. */
static bool is_empty_made_up(const struct frozen *t, uint64_t id)
{
    return id == NODES_SPACES && !list_names(t, id, is_one, NULL);
}

/* The tree is locked, here and below. Names that are there now. */
static int list_live(const struct frozen *t, struct node *d, uint64_t dir,
                     int (*each)(void *arg, const char *name, uint64_t id, mode_t mode), void *arg)
{
    bool in_root = dir == frozen_root(t);
    struct node *n;
    uint64_t id;
    mode_t mode;
    int rc = 0;

    for (n = d ? d->children : NULL; n && rc == 0; n = n->next)
        if (!(in_root && strcmp(n->name, WAL_NAME) == 0) &&
            find(t, dir, n->name, &id, &mode) == 0 && !is_empty_made_up(t, id))
            rc = each(arg, n->name, id, mode);
    return rc;
}

/* Names that are not there any more: each once, by the record that counts. */
static int list_gone(const struct frozen *t, struct node *d, uint64_t dir,
                     int (*each)(void *arg, const char *name, uint64_t id, mode_t mode), void *arg)
{
    const struct past_names *names = &t->l->names;
    const struct past_name *r = NULL;
    int rc = 0;

    while (rc == 0 && (r = past_names_of_dir(names, dir, r))) {
        if (r->epoch < t->e->number || !r->id || (d && nodes_child(&t->l->nodes, d, r->name)))
            continue;
        if (past_names_find(names, t->e->number, dir, r->name) == r &&
            !is_hidden(t, dir, r->name, r->mode))
            rc = each(arg, r->name, r->id, r->mode);
    }
    return rc;
}

static int list_names(const struct frozen *t, uint64_t dir,
                      int (*each)(void *arg, const char *name, uint64_t id, mode_t mode), void *arg)
{
    struct node *d = nodes_of_id(&t->l->nodes, dir);
    int rc = list_live(t, d, dir, each, arg);

    return rc ? rc : list_gone(t, d, dir, each, arg);
}

/* Where the file is now. The tree is locked. *hold: of a kept one, to be released. */
static int locate(const struct frozen *t, uint64_t id, int *dir, char path[PATH_MAX])
{
    struct node *n = nodes_of_id(&t->l->nodes, id);
    struct past *p;
    int rc = -ESTALE;

    *dir = t->l->dir;
    if (n)
        return nodes_path(n, NULL, path);
    p = past_get(&t->l->pasts, id, false);
    if (p && p->kept) {
        *dir = p->kept->dir;
        epoch_kept_path(path, id);
        rc = 0;
    }
    past_put(p);
    return rc;
}

/* ---- tablespaces ---- */

/* .tablespaces, or a tablespace's directory: no part of the data directory on disk. The tree is
 * locked. */
static bool is_made_up(const struct frozen *t, uint64_t id)
{
    const struct past_name *r = NULL;
    const struct node *n = nodes_of_id(&t->l->nodes, id);

    if (id == NODES_SPACES || n)
        return id == NODES_SPACES || n->space;
    while ((r = past_names_of_dir(&t->l->names, NODES_SPACES, r)))
        if (r->id == id)
            return true;
    return false;
}

/* It has no times or size of its own: as the data directory. */
static int stat_made_up(const struct frozen *t, uint64_t id, struct stat *st)
{
    if (fstat(t->l->dir, st) < 0)
        return -errno;
    st->st_ino = id;
    st->st_nlink = 1;
    return 0;
}

struct wanted_name {
    uint64_t id;
    char name[NAME_MAX + 1];
};

static int is_wanted_name(void *arg, const char *name, uint64_t id, mode_t mode)
{
    struct wanted_name *w = arg;

    (void)mode;
    if (id == w->id)
        strcpy(w->name, name);
    return id == w->id;
}

/* A tablespace's link: where it leads to in the tree. The tree is locked. */
static bool space_target(const struct frozen *t, uint64_t id, char *target, size_t room)
{
    struct wanted_name w = {.id = id};
    uint64_t links, space;
    mode_t mode;

    return find(t, frozen_root(t), NODES_SPACE_LINKS, &links, &mode) == 0 &&
           list_names(t, links, is_wanted_name, &w) == 1 &&
           find(t, NODES_SPACES, w.name, &space, &mode) == 0 &&
           (size_t)snprintf(target, room, "../" NODES_SPACES_NAME "/%s", w.name) < room;
}

/* ---- attributes ---- */

#define DIRECTORY_SIZE 4096

/* As some epoch says: true. Within a phase. */
static bool size_said(const struct frozen *t, uint64_t id, uint64_t *size)
{
    struct past *p = past_get(&t->l->pasts, id, false);
    struct old_file *x = p ? past_first(p, t->e->number) : NULL;

    if (x)
        *size = x->size;
    past_put(p);
    return x;
}

static void set_times(const struct frozen *t, struct stat *st)
{
    st->st_mtim.tv_sec = t->e->header.seconds;
    st->st_mtim.tv_nsec = t->e->header.nanos;
    st->st_atim = st->st_ctim = st->st_mtim;
}

/* Within a phase. */
static int stat_id(const struct frozen *t, uint64_t id, struct stat *st)
{
    char path[PATH_MAX];
    uint64_t size;
    int dir, rc;

    pthread_rwlock_rdlock(&t->l->tree);
    if (is_made_up(t, id))
        rc = stat_made_up(t, id, st);
    else if ((rc = locate(t, id, &dir, path)) == 0 &&
             fstatat(dir, path, st, AT_SYMLINK_NOFOLLOW) < 0)
        rc = -errno;
    if (rc == 0 && S_ISLNK(st->st_mode) && space_target(t, id, path, sizeof(path)))
        st->st_size = (off_t)strlen(path);
    pthread_rwlock_unlock(&t->l->tree);
    if (rc < 0)
        return rc;
    if (st->st_ino != id)
        return -ESTALE;
    atomic_thread_fence(memory_order_seq_cst);
    if (S_ISREG(st->st_mode) && size_said(t, id, &size))
        st->st_size = (off_t)size;
    if (S_ISDIR(st->st_mode))
        st->st_size = DIRECTORY_SIZE; /* the live one's goes with its names on some file systems */
    set_times(t, st);
    st->st_blocks = (st->st_size + 511) / 512;
    return check(t);
}

/* ---- pg_wal ---- */

static int open_wal(const struct frozen *t)
{
    int fd = openat(t->e->dir, "wal", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

static int stat_wal_dir(const struct frozen *t, struct stat *st)
{
    if (fstatat(t->e->dir, "wal", st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    st->st_ino = FROZEN_WAL;
    set_times(t, st);
    return check(t);
}

static int stat_wal_file(int dir, const char *name, struct stat *st)
{
    if (fstatat(dir, name, st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    st->st_ino |= FROZEN_WAL;
    st->st_mode &= ~(mode_t)0222; /* no server opens it to write */
    st->st_nlink = 1; /* it may be a link of what the server wrote, and be linked again */
    st->st_ctim = st->st_mtim;
    return S_ISREG(st->st_mode) ? 0 : -ENOENT;
}

static int lookup_wal(const struct frozen *t, const char *name, struct stat *st)
{
    int dir = strchr(name, '/') ? -ENOENT : open_wal(t), rc;

    if (dir < 0)
        return dir;
    rc = stat_wal_file(dir, name, st);
    close(dir);
    return rc < 0 ? rc : check(t);
}

/* Of every file: a value other than 0 ends it. */
static int each_wal(const struct frozen *t,
                    int (*each)(void *arg, const char *name, const struct stat *st), void *arg)
{
    int fd = open_wal(t), rc = 0;
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;
    struct stat st;

    if (!d)
        return fd < 0 ? fd : (close(fd), -ENOMEM);
    while (rc == 0 && (errno = 0, e = readdir(d)))
        if (stat_wal_file(fd, e->d_name, &st) == 0)
            rc = each(arg, e->d_name, &st);
    if (rc == 0 && errno)
        rc = -errno;
    closedir(d);
    return rc;
}

struct wanted_wal {
    uint64_t id;
    struct stat st;
    char name[NAME_MAX + 1];
};

static int is_wanted_wal(void *arg, const char *name, const struct stat *st)
{
    struct wanted_wal *w = arg;

    if (st->st_ino != w->id)
        return 0;
    w->st = *st;
    strcpy(w->name, name);
    return 1;
}

static int find_wal(const struct frozen *t, struct wanted_wal *w)
{
    int rc = each_wal(t, is_wanted_wal, w);

    return rc == 1 ? check(t) : rc < 0 ? rc : -ESTALE;
}

struct wal_listing {
    int (*each)(void *arg, const char *name, uint64_t id, mode_t mode);
    void *arg;
};

static int list_wal_file(void *arg, const char *name, const struct stat *st)
{
    struct wal_listing *w = arg;

    return w->each(w->arg, name, st->st_ino, st->st_mode & S_IFMT);
}

/* ---- calls ---- */

int frozen_lookup(struct frozen *t, uint64_t dir, const char *name, struct stat *st)
{
    unsigned entered;
    uint64_t id;
    mode_t mode;
    int rc = check(t);

    if (rc < 0)
        return rc;
    if (dir == FROZEN_WAL)
        return lookup_wal(t, name, st);
    if (dir == frozen_root(t) && strcmp(name, WAL_NAME) == 0)
        return stat_wal_dir(t, st);
    entered = phase_enter(&t->l->phase);
    pthread_rwlock_rdlock(&t->l->tree);
    rc = find(t, dir, name, &id, &mode);
    if (rc == 0 && is_empty_made_up(t, id))
        rc = -ENOENT;
    pthread_rwlock_unlock(&t->l->tree);
    if (rc == 0)
        rc = stat_id(t, id, st);
    phase_leave(&t->l->phase, entered);
    return check(t) < 0 ? -ESTALE : rc;
}

int frozen_stat(struct frozen *t, uint64_t id, struct stat *st)
{
    struct wanted_wal w = {.id = id};
    unsigned entered;
    int rc = check(t);

    if (rc < 0)
        return rc;
    if (id == FROZEN_WAL)
        return stat_wal_dir(t, st);
    if (id & FROZEN_WAL) {
        rc = find_wal(t, &w);
        *st = w.st;
        return rc;
    }
    entered = phase_enter(&t->l->phase);
    rc = stat_id(t, id, st);
    phase_leave(&t->l->phase, entered);
    return check(t) < 0 ? -ESTALE : rc;
}

int frozen_readlink(struct frozen *t, uint64_t id, char *target, size_t room)
{
    char path[PATH_MAX];
    ssize_t n = -1;
    int dir, rc;

    pthread_rwlock_rdlock(&t->l->tree);
    rc = locate(t, id, &dir, path);
    if (rc == 0 && (n = readlinkat(dir, path, target, room - 1)) < 0)
        rc = -errno;
    if (rc == 0)
        target[n] = '\0';
    if (rc == 0 && space_target(t, id, path, sizeof(path)))
        snprintf(target, room, "%s", path);
    pthread_rwlock_unlock(&t->l->tree);
    return check(t) < 0 ? -ESTALE : rc;
}

int frozen_list(struct frozen *t, uint64_t dir,
                int (*each)(void *arg, const char *name, uint64_t id, mode_t mode), void *arg)
{
    struct wal_listing wal = {each, arg};
    int rc = check(t);

    if (rc < 0)
        return rc;
    if (dir == FROZEN_WAL)
        return each_wal(t, list_wal_file, &wal);
    pthread_rwlock_rdlock(&t->l->tree);
    if (dir == frozen_root(t))
        rc = each(arg, WAL_NAME, FROZEN_WAL, S_IFDIR);
    if (rc == 0)
        rc = list_names(t, dir, each, arg);
    pthread_rwlock_unlock(&t->l->tree);
    return rc < 0 || check(t) == 0 ? rc : -ESTALE;
}

/* ---- files ---- */

static int open_wal_file(struct frozen_file *f)
{
    struct wanted_wal w = {.id = f->id};
    int rc = find_wal(f->t, &w), dir;

    if (rc < 0)
        return rc;
    dir = open_wal(f->t);
    if (dir < 0)
        return dir;
    f->fd = openat(dir, w.name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    rc = f->fd < 0 ? -errno : 0;
    close(dir);
    return rc;
}

static int open_id(struct frozen_file *f)
{
    struct stat st;
    int rc = frozen_stat(f->t, f->id, &st);

    if (rc < 0)
        return rc;
    if (!S_ISREG(st.st_mode))
        return S_ISDIR(st.st_mode) ? -EISDIR : -ELOOP;
    f->past = past_get(&f->t->l->pasts, f->id, true);
    return f->past ? 0 : -ENOMEM;
}

int frozen_open_file(struct frozen *t, uint64_t id, struct frozen_file **result)
{
    struct frozen_file *f = calloc(1, sizeof(*f));
    int rc;

    *result = NULL;
    if (!f)
        return -ENOMEM;
    f->t = t;
    f->id = id;
    f->fd = -1;
    rc = id & FROZEN_WAL ? open_wal_file(f) : open_id(f);
    if (rc < 0) {
        free(f);
        return rc;
    }
    *result = f;
    return 0;
}

void frozen_close_file(struct frozen_file *f)
{
    past_put(f->past);
    if (f->fd >= 0)
        close(f->fd);
    free(f);
}

static int open_where_it_is(const struct frozen_file *f)
{
    char path[PATH_MAX];
    struct stat st;
    int dir, fd, rc;

    pthread_rwlock_rdlock(&f->t->l->tree);
    rc = locate(f->t, f->id, &dir, path);
    fd = rc < 0 ? rc : openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (rc == 0 && fd < 0)
        fd = -errno;
    pthread_rwlock_unlock(&f->t->l->tree);
    if (fd >= 0 && (fstat(fd, &st) < 0 || st.st_ino != f->id)) {
        close(fd);
        return -ESTALE;
    }
    return fd;
}

/* The file itself is open, until held_unpin. */
static int pin_file(const struct frozen_file *f)
{
    struct held_list *list = &f->t->l->pasts.held;
    int fd;

    if (held_pin(list, &f->past->held))
        return 0;
    fd = open_where_it_is(f);
    if (fd < 0)
        return fd;
    pthread_mutex_lock(&f->past->touching);
    if (held_pin(list, &f->past->held)) {
        close(fd); /* another one was quicker */
    } else {
        f->past->fd = fd;
        held_opened(list, &f->past->held);
    }
    pthread_mutex_unlock(&f->past->touching);
    return 0;
}

/* 1: read; 0: this epoch does not have it. */
static int read_stored(const struct frozen_file *f, struct old_file *x, uint64_t page, char *bytes)
{
    int64_t n;
    int rc = old_file_pin(f->past, x, false);

    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    if (side_stored(x->side, page)) {
        n = x->old->ops->read(x->old, bytes, PAGE_BYTES, page * PAGE_BYTES);
        rc = n < 0 ? (int)n : 1;
        if (n >= 0)
            memset(bytes + n, 0, PAGE_BYTES - (size_t)n);
        if (n >= 0 && page_crc(bytes, PAGE_BYTES) != side_crc(x->side, page))
            rc = -EIO;
    }
    old_file_unpin(f->past, x);
    return rc;
}

/* 1: read from the first epoch that has it; 0: none has. */
static int look(const struct frozen_file *f, uint64_t page, char *bytes)
{
    const struct old_files *files = atomic_load(&f->past->files);
    size_t i;
    int rc = 0;

    for (i = 0; files && rc == 0 && i < files->n; i++)
        if (files->of[i]->epoch->number >= f->t->e->number)
            rc = read_stored(f, files->of[i], page, bytes);
    return rc;
}

/* Of the page that was read from the file itself there are n bytes (or an error), and have to be
 * `need`; but what was kept meanwhile counts. */
static int look_again(const struct frozen_file *f, uint64_t page, char *bytes, int64_t n,
                      size_t need)
{
    int rc;

    atomic_thread_fence(memory_order_seq_cst);
    rc = look(f, page, bytes);
    if (rc) {
        atomic_fetch_add(&f->t->l->raced, 1);
        return rc < 0 ? rc : 0;
    }
    if (n < 0)
        return (int)n;
    return n < (int64_t)need ? -EIO : 0; /* what was cut off is kept: this cannot be */
}

/* Pages that no epoch had. */
static int read_live(const struct frozen_file *f, uint64_t page, size_t n, char *bytes, size_t need)
{
    int64_t got = io_pread_full(f->past->fd, bytes, n * PAGE_BYTES, page * PAGE_BYTES);
    size_t i;
    int rc = 0;

    live_step("frozen: read the live page");
    for (i = 0; rc == 0 && i < n; i++)
        rc = look_again(f, page + i, bytes + i * PAGE_BYTES,
                        got < 0 ? got : got - (int64_t)(i * PAGE_BYTES), need);
    return rc;
}

/* n pages, RUN at most, of which `need` bytes each are the file's. */
static int read_run(const struct frozen_file *f, uint64_t page, size_t n, char *bytes, size_t need)
{
    bool has[RUN];
    size_t i, end;
    int rc;

    for (i = 0; i < n; i++) {
        rc = look(f, page + i, bytes + i * PAGE_BYTES);
        if (rc < 0)
            return rc;
        has[i] = rc;
    }
    live_step("frozen: looked");
    for (i = 0, rc = 0; rc == 0 && i < n; i = end) {
        for (end = i; end < n && has[end] == has[i]; end++)
            ;
        if (!has[i])
            rc = read_live(f, page + i, end - i, bytes + i * PAGE_BYTES, need);
    }
    return rc;
}

/* A part of a page. */
static int read_part(const struct frozen_file *f, char *bytes, size_t len, uint64_t offset)
{
    char room[PAGE_BYTES];
    size_t from = (size_t)(offset % PAGE_BYTES);
    int rc = read_run(f, offset / PAGE_BYTES, 1, room, from + len);

    if (rc == 0)
        memcpy(bytes, room + from, len);
    return rc;
}

static int64_t read_pages(const struct frozen_file *f, char *bytes, size_t len, uint64_t offset)
{
    size_t done = 0, from, part, pages;
    int rc = 0;

    for (; rc == 0 && done < len; done += part) {
        from = (size_t)((offset + done) % PAGE_BYTES);
        pages = from ? 0 : (len - done) / PAGE_BYTES;
        if (pages > RUN)
            pages = RUN;
        part = pages ? pages * PAGE_BYTES : PAGE_BYTES - from;
        if (part > len - done)
            part = len - done;
        if (pages)
            rc = read_run(f, (offset + done) / PAGE_BYTES, pages, bytes + done, PAGE_BYTES);
        else
            rc = read_part(f, bytes + done, part, offset + done);
    }
    return rc < 0 ? rc : (int64_t)len;
}

/* No epoch says anything of the file, before and after: all at once. */
static bool read_untouched(const struct frozen_file *f, void *bytes, size_t len, uint64_t offset)
{
    int64_t n;

    if (past_first(f->past, f->t->e->number))
        return false;
    n = io_pread_full(f->past->fd, bytes, len, offset);
    atomic_thread_fence(memory_order_seq_cst);
    return n == (int64_t)len && !past_first(f->past, f->t->e->number);
}

/* Within a phase; the file is pinned. */
static int64_t read_within(const struct frozen_file *f, void *bytes, size_t len, uint64_t offset)
{
    struct old_file *x;
    struct stat st;
    uint64_t size;

    if (fstat(f->past->fd, &st) < 0)
        return -errno;
    atomic_thread_fence(memory_order_seq_cst);
    x = past_first(f->past, f->t->e->number);
    size = x ? x->size : (uint64_t)st.st_size;
    if (offset >= size)
        return 0;
    if (len > size - offset)
        len = (size_t)(size - offset);
    if (read_untouched(f, bytes, len, offset))
        return (int64_t)len;
    return read_pages(f, bytes, len, offset);
}

int64_t frozen_read(struct frozen_file *f, void *bytes, size_t len, uint64_t offset)
{
    unsigned entered;
    int64_t n = check(f->t);

    if (n < 0)
        return n;
    if (!f->past)
        return io_pread_full(f->fd, bytes, len, offset);
    live_step("frozen: about to read");
    entered = phase_enter(&f->t->l->phase);
    n = check(f->t); /* within: who takes its files away has waited for those that saw it */
    if (n == 0)
        n = pin_file(f);
    if (n == 0) {
        n = read_within(f, bytes, len, offset);
        held_unpin(&f->t->l->pasts.held, &f->past->held);
    }
    phase_leave(&f->t->l->phase, entered);
    return check(f->t) < 0 ? -ESTALE : n;
}
