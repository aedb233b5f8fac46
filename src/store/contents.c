/*
 * How the store changes so that an end at any moment leaves it whole: what is made is made under a
 * name that nobody takes for a base or view, and renamed when it is complete; what is dropped is
 * renamed away first. Whoever changes the store holds STORE/lock, so anything with such a name is
 * nobody's any more and is cleared. A view's own lock is another matter: it is held as long as the
 * view is served.
 */
#include "store/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"

const char *store_path(const struct store *s)
{
    return s->path;
}

int store_check_view_name(const char *name, struct err *err)
{
    if (store_is_view_name(name))
        return 0;
    return err_set(err, EINVAL,
                   "\"%s\" is no name for a view: it is 1 to %d letters, digits, \"_\", \"-\" and "
                   "\".\", not beginning with \".\"",
                   name, STORE_NAME_MAX);
}

int store_compare_ids(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);

    return na != nb ? (na < nb ? -1 : 1) : strcmp(a, b);
}

/* ---- locks ---- */

/* In NFS an exclusive lock wants a file open for writing; on a read-only disk there is none to be
 * had. */
static int open_lock(const char *path, bool exclusive)
{
    int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK; /* a pipe is not waited for */
    int fd = open(path, O_RDWR | O_CREAT | flags, 0600);

    if (fd < 0 && !exclusive && (errno == EROFS || errno == EACCES))
        fd = open(path, O_RDONLY | flags);
    return fd < 0 ? -errno : fd;
}

/* The file may have been dropped and made anew between opening and locking it. */
static bool still_there(int fd, const char *path)
{
    struct stat a, b;

    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino &&
           a.st_dev == b.st_dev;
}

int store_lock_file(const char *path, int how, int *fd)
{
    int rc;

    *fd = -1;
    rc = open_lock(path, how & LOCK_EX);
    if (rc < 0)
        return rc;
    *fd = rc;
    while ((rc = flock(*fd, how)) < 0 && errno == EINTR)
        ;
    if (rc < 0)
        rc = -errno;
    else if (!still_there(*fd, path))
        rc = -ENOENT;
    if (rc < 0) {
        close(*fd);
        *fd = -1;
    }
    return rc;
}

int store_lock_view(struct store *s, const char *name, bool exclusive, int *fd, struct err *err)
{
    char *path = mem_printf("%s/view/%s/" STORE_LOCK, s->path, name);
    int rc = store_check_view_name(name, err);

    *fd = -1;
    if (rc < 0)
        goto out;
    rc = store_lock_file(path, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB, fd);
    if (rc == -EWOULDBLOCK)
        rc = err_set(err, EBUSY, "view %s of %s is served by another process", name, s->path);
    else if (rc == -ENOENT)
        rc = err_set(err, ENOENT, "%s has no view %s", s->path, name);
    else if (rc < 0)
        rc = err_set(err, -rc, "cannot lock %s: %s", path, strerror(-rc));
out:
    free(path);
    return rc;
}

int store_view_in_use(struct store *s, const char *name, struct err *err)
{
    int lock, rc = store_lock_view(s, name, false, &lock, err);

    if (rc == 0)
        close(lock);
    return rc == -EBUSY ? 1 : rc;
}

/* ---- changing the store ---- */

bool store_has_file(const struct store *s, const char *dir, const char *name)
{
    char *path = mem_printf("%s/%s", dir, name);
    struct stat st;
    bool there = s->disk->ops->stat(s->disk, path, &st) == 0;

    free(path);
    return there;
}

/* A base that is not complete. base.json is written last but for the removal of the lock, so one
 * that is merely damaged is none. */
bool store_is_making(const struct store *s, const char *id)
{
    char *dir = mem_printf("base/%s", id);
    bool making = store_has_file(s, dir, STORE_MAKING) && !store_has_file(s, dir, "base.json");

    free(dir);
    return making;
}

/* Nobody is at it any more. The lock that this takes is of no use to others: the store's is held.
 */
static bool is_deserted(const struct store *s, const char *id)
{
    char *path = mem_printf("%s/base/%s/" STORE_MAKING, s->path, id);
    int fd = -1;
    bool deserted = store_is_making(s, id) && store_lock_file(path, LOCK_EX | LOCK_NB, &fd) == 0;

    if (fd >= 0)
        close(fd);
    free(path);
    return deserted;
}

static bool is_leftover_base(const struct store *s, const char *name)
{
    size_t n = strlen(name);

    if (store_is_id(name))
        return is_deserted(s, name);
    return n > 4 && (strcmp(name + n - 4, ".new") == 0 || strcmp(name + n - 4, ".old") == 0);
}

static bool is_leftover_view(const struct store *s, const char *name)
{
    (void)s;
    return name[0] == '.';
}

/* Renamed first: half a base must not be taken for a base. */
int store_remove_base_tree(const struct store *s, const char *id)
{
    char *path = mem_printf("%s/base/%s", s->path, id), *old = mem_printf("%s.old", path);
    int rc = rename(path, old) < 0 ? -errno : io_remove_tree(old);

    free(old);
    free(path);
    return rc;
}

struct clearing {
    const struct store *store;
    const char *kind;
    bool (*is_leftover)(const struct store *s, const char *name);
};

/* If it stays, whoever needs the name finds out. */
static int clear_one(void *arg, const char *name)
{
    const struct clearing *c = arg;
    char *path;

    if (!c->is_leftover(c->store, name))
        return 0;
    if (store_is_id(name) && strcmp(c->kind, "base") == 0) {
        store_remove_base_tree(c->store, name);
    } else {
        path = mem_printf("%s/%s/%s", c->store->path, c->kind, name);
        io_remove_tree(path);
        free(path);
    }
    return 0;
}

int store_begin_change(struct store *s, int *fd, struct err *err)
{
    struct clearing bases = {s, "base", is_leftover_base}, views = {s, "view", is_leftover_view};
    char *path = mem_printf("%s/" STORE_LOCK, s->path);
    int rc = store_lock_file(path, LOCK_EX, fd);

    if (rc < 0) {
        rc = err_set(err, -rc, "cannot lock %s: %s", path, strerror(-rc));
    } else {
        s->disk->ops->list(s->disk, bases.kind, clear_one, &bases);
        s->disk->ops->list(s->disk, views.kind, clear_one, &views);
    }
    free(path);
    return rc;
}

int store_make_dir(struct store *s, const char *path, struct err *err)
{
    int rc = s->disk->ops->make_dir(s->disk, path);

    return rc < 0 ? err_set(err, -rc, "cannot make %s/%s: %s", s->path, path, strerror(-rc)) : 0;
}

int store_put_in_place(struct store *s, const char *kind, const char *from, const char *to,
                       struct err *err)
{
    int rc = s->disk->ops->sync_dir(s->disk, from);

    if (rc == 0)
        rc = s->disk->ops->rename(s->disk, from, to);
    if (rc == 0)
        rc = s->disk->ops->sync_dir(s->disk, kind);
    return rc < 0 ? err_set(err, -rc, "cannot rename %s/%s to %s: %s", s->path, from, to,
                            strerror(-rc))
                  : 0;
}

int store_open_disk(struct store *s, const char *path, struct disk **d, struct err *err)
{
    char *full = mem_printf("%s/%s", s->path, path);
    int rc = disk_posix(full, d);

    if (rc < 0)
        rc = err_set(err, -rc, "cannot open %s: %s", full, strerror(-rc));
    free(full);
    return rc;
}

void store_discard(const struct store *s, const char *path)
{
    char *full = mem_printf("%s/%s", s->path, path);

    io_remove_tree(full);
    free(full);
}

void store_free_disk(struct disk *d)
{
    if (d)
        d->ops->free(d);
}

/* ---- what is in it ---- */

struct collection {
    bool (*wanted)(const char *name);
    char **names;
    size_t n, room;
};

static int collect(void *arg, const char *name)
{
    struct collection *c = arg;

    if (!c->wanted(name))
        return 0;
    c->names = mem_grow(c->names, c->n, &c->room, sizeof(*c->names));
    c->names[c->n++] = mem_strdup(name);
    return 0;
}

/* Shorter names first, if they are ids; else as the bytes are. */
static int order_ids(const void *a, const void *b)
{
    return store_compare_ids(*(char *const *)a, *(char *const *)b);
}

static int order_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int list_names(struct store *s, const char *kind, bool (*wanted)(const char *name),
                      int (*order)(const void *, const void *), char ***names, struct err *err)
{
    struct collection c = {.wanted = wanted};
    int rc = s->disk->ops->list(s->disk, kind, collect, &c);

    *names = NULL;
    c.names = mem_grow(c.names, c.n, &c.room, sizeof(*c.names));
    c.names[c.n] = NULL;
    if (rc < 0) {
        store_names_free(c.names);
        return err_set(err, -rc, "cannot read %s/%s: %s", s->path, kind, strerror(-rc));
    }
    qsort(c.names, c.n, sizeof(*c.names), order);
    *names = c.names;
    return 0;
}

int store_all_bases(struct store *s, char ***ids, struct err *err)
{
    return list_names(s, "base", store_is_id, order_ids, ids, err);
}

/* What cannot be read may be anything. */
static bool is_live(const struct store *s, const char *id)
{
    char *path = mem_printf("base/%s/base.json", id);
    struct store_description d;
    bool live =
        store_load_description(s, BASE_JSON, path, &d, NULL) == 0 && strcmp(d.kind, "live") == 0;

    store_description_free(&d);
    free(path);
    return live;
}

int store_bases(struct store *s, char ***ids, struct err *err)
{
    int rc = store_all_bases(s, ids, err);
    size_t i, n = 0;

    for (i = 0; rc == 0 && (*ids)[i]; i++) {
        if (store_is_making(s, (*ids)[i]) || is_live(s, (*ids)[i]))
            free((*ids)[i]);
        else
            (*ids)[n++] = (*ids)[i];
    }
    if (rc == 0)
        (*ids)[n] = NULL;
    return rc;
}

int store_views(struct store *s, char ***names, struct err *err)
{
    return list_names(s, "view", store_is_view_name, order_names, names, err);
}

void store_names_free(char **names)
{
    mem_free_texts(names);
}

char *store_last_name(char **names)
{
    size_t n = 0;

    while (names[n])
        n++;
    return n ? mem_strdup(names[n - 1]) : NULL;
}

bool store_is_there(struct store *s, const char *kind, const char *name)
{
    char *path = mem_printf("%s/%s", kind, name);
    struct stat st;
    bool there = s->disk->ops->stat(s->disk, path, &st) == 0 && S_ISDIR(st.st_mode);

    free(path);
    return there;
}
