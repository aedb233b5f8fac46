#include "view/outdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/log.h"
#include "common/mem.h"

static char *parent_of(const char *path)
{
    char *copy = mem_strdup(path), *dir = mem_strdup(dirname(copy));

    free(copy);
    return dir;
}

static char *hidden_prefix(const char *path)
{
    char *copy = mem_strdup(path), *prefix = mem_printf(".%s.asofs-", basename(copy));

    free(copy);
    return prefix;
}

#define UNFINISHED                                                                                 \
    01700 /* the mode that no directory has which appeared, or that somebody else made */
#define TRIES 100

/* What a killed run of ours can have left. */
static bool is_left(int parent, int fd)
{
    struct stat st;

    (void)parent;
    return fstat(fd, &st) == 0 && st.st_uid == geteuid() && (st.st_mode & 07777) == UNFINISHED;
}

/* What we have just made: ours (some file systems have owners and modes of their own), or in a
 * place where nobody else can have put it. */
static bool is_made(int parent, int fd)
{
    struct stat st, in;

    return fstat(fd, &st) == 0 && fstat(parent, &in) == 0 &&
           (st.st_uid == geteuid() || !(in.st_mode & (S_IWGRP | S_IWOTH)));
}

static int open_unfinished(int parent, const char *name, bool (*is_own)(int parent, int fd))
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0 || (is_own(parent, fd) && flock(fd, LOCK_EX | LOCK_NB) == 0))
        return fd;
    close(fd);
    errno = EBUSY;
    return -1;
}

/* Its lock is ours: nobody is filling it. By the descriptor, since whoever may write in the parent
 * can put something else in its place; then that stays, unless it is empty. */
static void remove_unfinished(int parent, const char *name, int fd)
{
    if (io_remove_below(fd) == 0)
        unlinkat(parent, name, AT_REMOVEDIR);
}

static void remove_stale(int parent, const char *in, const char *prefix)
{
    int copy = openat(parent, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd;
    DIR *d = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *e;
    size_t len = strlen(prefix);

    while (d && (e = readdir(d))) {
        if (strncmp(e->d_name, prefix, len) != 0 || strlen(e->d_name) != len + 6)
            continue;
        fd = open_unfinished(parent, e->d_name, is_left);
        if (fd < 0)
            continue;
        log_note("removing %s/%s, left behind by a run that was killed", in, e->d_name);
        remove_unfinished(parent, e->d_name, fd);
        close(fd);
    }
    if (d)
        closedir(d);
}

/* Six letters and digits that are not there yet, as mkdtemp does it. */
static int make_unfinished(struct outdir *d, const char *prefix)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    unsigned char random[6];
    char end[7] = "";
    int tries, i, rc = -1;

    for (tries = 0; tries < TRIES && rc < 0; tries++) {
        if (getrandom(random, sizeof(random), 0) != sizeof(random))
            return -1;
        for (i = 0; i < 6; i++)
            end[i] = letters[random[i] % (sizeof(letters) - 1)];
        free(d->name);
        d->name = mem_printf("%s%s", prefix, end);
        rc = mkdirat(d->parent, d->name, UNFINISHED);
        if (rc < 0 && errno != EEXIST)
            return -1;
    }
    return rc;
}

static int create_hidden(struct outdir *d, const char *parent, const char *prefix, struct err *err)
{
    if (make_unfinished(d, prefix) < 0)
        return err_errno(err, "cannot create a directory in %s", parent);
    d->hidden = mem_printf("%s/%s", parent, d->name);
    d->fd = open_unfinished(d->parent, d->name, is_made);
    if (d->fd >= 0)
        return 0;
    err_errno(err, "cannot use %s", d->hidden);
    unlinkat(d->parent, d->name, AT_REMOVEDIR);
    return -err->code;
}

static int check_place(const char *path, const char *parent, struct err *err)
{
    struct stat st;

    if (!*path)
        return err_set(err, ENOENT, "the name of the directory is empty");
    if (lstat(path, &st) == 0)
        return err_set(err, EEXIST, "%s exists already; give a directory that does not exist yet",
                       path);
    if (stat(parent, &st) < 0)
        return err_errno(err, "cannot create %s in %s", path, parent);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ENOTDIR, "%s is not a directory", parent);
    return 0;
}

static void close_outdir(struct outdir *d)
{
    if (d->fd >= 0)
        close(d->fd);
    if (d->parent >= 0)
        close(d->parent);
    free(d->path);
    free(d->hidden);
    free(d->name);
}

static int open_in(struct outdir *d, const char *parent, const char *prefix, struct err *err)
{
    int rc = check_place(d->path, parent, err);

    if (rc < 0)
        return rc;
    d->parent = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->parent < 0)
        return err_errno(err, "cannot create %s in %s", d->path, parent);
    remove_stale(d->parent, parent, prefix);
    return create_hidden(d, parent, prefix, err);
}

int outdir_open(struct outdir *d, const char *path, struct err *err)
{
    char *parent, *prefix;
    size_t len = strlen(path);
    int rc;

    *d = (struct outdir){.path = mem_strdup(path), .fd = -1, .parent = -1};
    while (len > 1 && d->path[len - 1] == '/')
        d->path[--len] = '\0';
    parent = parent_of(d->path);
    prefix = hidden_prefix(d->path);
    rc = open_in(d, parent, prefix, err);
    free(parent);
    free(prefix);
    if (rc < 0)
        close_outdir(d);
    return rc;
}

static bool is_at(const struct outdir *d, const char *name)
{
    struct stat at, own;

    return fstatat(d->parent, name, &at, AT_SYMLINK_NOFOLLOW) == 0 && fstat(d->fd, &own) == 0 &&
           at.st_dev == own.st_dev && at.st_ino == own.st_ino;
}

/* What appears is what was filled, or it is said: others may be able to write in the parent. */
static int appear(const struct outdir *d, struct err *err)
{
    char *copy = mem_strdup(d->path), *name = basename(copy);
    int rc = 0;

    if (!is_at(d, d->name))
        rc = err_set(err, ESTALE, "%s is another directory now: somebody has exchanged it",
                     d->hidden);
    else if (renameat2(d->parent, d->name, d->parent, name, RENAME_NOREPLACE) < 0)
        rc = err_errno(err, "cannot rename %s to %s", d->hidden, d->path);
    else if (!is_at(d, name))
        rc = err_set(err, ESTALE, "%s is another directory: somebody has exchanged it", d->path);
    free(copy);
    return rc;
}

int outdir_publish(struct outdir *d, struct err *err)
{
    mode_t mask = umask(0);
    int rc = 0;

    umask(mask);
    if (syncfs(d->fd) < 0)
        rc = err_errno(err, "cannot bring %s to disk", d->hidden);
    else if (fchmod(d->fd, 0777 & ~mask) < 0 || fsync(d->fd) < 0) /* private until it is whole */
        rc = err_errno(err, "cannot change the mode of %s", d->hidden);
    else
        rc = appear(d, err);
    if (rc < 0) {
        outdir_abandon(d);
        return rc;
    }
    fsync(d->parent);
    close_outdir(d);
    return 0;
}

void outdir_abandon(struct outdir *d)
{
    remove_unfinished(d->parent, d->name, d->fd);
    close_outdir(d);
}

int outdir_make_dirs(const struct tree *t, int dir_fd, struct err *err)
{
    uint32_t i;

    for (i = 1; i < t->n && t->nodes[i].kind == NODE_DIR; i++)
        if (mkdirat(dir_fd, t->nodes[i].name, 0777) < 0)
            return err_errno(err, "cannot create %s", t->nodes[i].name);
    return 0;
}

static int write_flatfile(const struct flatfile *f, int dir_fd, const char *path, struct err *err)
{
    char *bytes = mem_alloc((size_t)f->size + 1);
    int64_t n = flatfile_read(f, bytes, (size_t)f->size, 0);
    int rc = n < 0 ? err_set(err, (int)-n, "cannot make %s: %s", path, strerror((int)-n))
                   : io_write_file(dir_fd, path, bytes, (size_t)n, err);

    free(bytes);
    return rc;
}

int outdir_write_meta(struct flatfile *const texts[META_FILES], int dir_fd, struct err *err)
{
    int m, rc = 0;

    for (m = 0; m < META_FILES && rc == 0; m++) {
        char *path = mem_printf(".asofs/%s", tree_meta_name(m));

        rc = write_flatfile(texts[m], dir_fd, path, err);
        free(path);
    }
    return rc;
}

/* Files first: a file made in a directory would change its time again. */
void outdir_set_times(const struct tree *t, struct timespec time, int dir_fd)
{
    struct timespec times[2] = {time, time};
    uint32_t i = t->n;

    while (i-- > 1) {
        const struct node *n = &t->nodes[i];
        char *path = n->kind == NODE_DIR ? mem_strdup(n->name)
                                         : mem_printf("%s/%s", t->nodes[n->parent].name, n->name);

        utimensat(dir_fd, path, times, AT_SYMLINK_NOFOLLOW);
        free(path);
    }
    futimens(dir_fd, times);
}
