#include "view/outdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
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

/* Ours, unless somebody holds its lock: then it is being filled right now. */
static void remove_if_stale(const char *parent, const char *name)
{
    char *path = mem_printf("%s/%s", parent, name);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
        log_note("removing %s, left behind by a run that was killed", path);
        io_remove_tree(path);
    }
    if (fd >= 0)
        close(fd);
    free(path);
}

static void remove_stale(const char *parent, const char *prefix)
{
    DIR *d = opendir(parent);
    struct dirent *e;
    size_t len = strlen(prefix);

    while (d && (e = readdir(d)))
        if (strncmp(e->d_name, prefix, len) == 0 && strlen(e->d_name) == len + 6)
            remove_if_stale(parent, e->d_name);
    if (d)
        closedir(d);
}

static int create_hidden(struct outdir *d, const char *parent, const char *prefix, struct err *err)
{
    d->hidden = mem_printf("%s/%sXXXXXX", parent, prefix);
    if (!mkdtemp(d->hidden))
        return err_errno(err, "cannot create a directory in %s", parent);
    d->fd = open(d->hidden, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d->fd < 0 || flock(d->fd, LOCK_EX | LOCK_NB) < 0) {
        err_errno(err, "cannot use %s", d->hidden);
        rmdir(d->hidden);
        return -err->code;
    }
    return 0;
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

int outdir_open(struct outdir *d, const char *path, struct err *err)
{
    char *parent, *prefix;
    size_t len = strlen(path);
    int rc;

    *d = (struct outdir){.path = mem_strdup(path), .fd = -1};
    while (len > 1 && d->path[len - 1] == '/')
        d->path[--len] = '\0';
    parent = parent_of(d->path);
    prefix = hidden_prefix(d->path);
    rc = check_place(d->path, parent, err);
    if (rc == 0) {
        remove_stale(parent, prefix);
        rc = create_hidden(d, parent, prefix, err);
    }
    free(parent);
    free(prefix);
    if (rc < 0) {
        if (d->fd >= 0)
            close(d->fd);
        free(d->path);
        free(d->hidden);
    }
    return rc;
}

static void close_outdir(struct outdir *d)
{
    close(d->fd);
    free(d->path);
    free(d->hidden);
}

static void sync_parent(const char *path)
{
    char *parent = parent_of(path);
    int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
    free(parent);
}

int outdir_publish(struct outdir *d, struct err *err)
{
    mode_t mask = umask(0);
    int rc = 0;

    umask(mask);
    if (fchmod(d->fd, 0777 & ~mask) < 0) /* private until it is whole */
        rc = err_errno(err, "cannot change the mode of %s", d->hidden);
    else if (syncfs(d->fd) < 0)
        rc = err_errno(err, "cannot bring %s to disk", d->hidden);
    else if (renameat2(AT_FDCWD, d->hidden, AT_FDCWD, d->path, RENAME_NOREPLACE) < 0)
        rc = err_errno(err, "cannot rename %s to %s", d->hidden, d->path);
    if (rc < 0) {
        outdir_abandon(d);
        return rc;
    }
    sync_parent(d->path);
    close_outdir(d);
    return 0;
}

void outdir_abandon(struct outdir *d)
{
    io_remove_tree(d->hidden);
    close_outdir(d);
}
