#include "pages/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/io.h"

struct posix_disk {
    struct disk disk;
    int dir;
};

struct posix_file {
    struct disk_file file;
    int fd;
};

static int dir_of(const struct disk *d)
{
    return ((const struct posix_disk *)d)->dir;
}

static int fd_of(const struct disk_file *f)
{
    return ((const struct posix_file *)f)->fd;
}

/* What a system call returned, as this room wants it. */
static int result(int rc)
{
    return rc < 0 ? -errno : 0;
}

static const char *or_itself(const char *path)
{
    return *path ? path : ".";
}

/* ---- names ---- */

/*
 * What stands at a path now need not be the file that was expected there: a link is not followed,
 * and a pipe does not keep us waiting for its other end.
 */
static int open_flags(unsigned flags)
{
    int o = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

    o |= flags & DISK_WRITE ? O_RDWR : O_RDONLY;
    if (flags & DISK_CREATE)
        o |= O_CREAT;
    if (flags & DISK_EXCLUSIVE)
        o |= O_EXCL;
    return o;
}

static const struct disk_ops posix_ops;

static int posix_open(struct disk *d, const char *path, unsigned flags, struct disk_file **f)
{
    struct posix_file *new = malloc(sizeof(*new));
    int rc = 0;

    *f = NULL;
    if (!new)
        return -ENOMEM;
    do {
        new->fd = openat(dir_of(d), path, open_flags(flags), 0600);
    } while (new->fd < 0 && errno == EINTR);
    if (new->fd < 0)
        rc = -errno;
    if (rc < 0) {
        free(new);
        return rc;
    }
    new->file.ops = &posix_ops;
    *f = &new->file;
    return 0;
}

static int posix_make_dir(struct disk *d, const char *path)
{
    return result(mkdirat(dir_of(d), path, 0700));
}

static int posix_remove(struct disk *d, const char *path)
{
    return result(unlinkat(dir_of(d), path, 0));
}

static int posix_rename(struct disk *d, const char *from, const char *to)
{
    return result(renameat(dir_of(d), from, dir_of(d), to));
}

static int posix_stat(struct disk *d, const char *path, struct stat *st)
{
    return result(fstatat(dir_of(d), or_itself(path), st, AT_SYMLINK_NOFOLLOW));
}

static int open_dir(struct disk *d, const char *path)
{
    int fd = openat(dir_of(d), or_itself(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

static int walk_names(DIR *dir, int (*each)(void *arg, const char *name), void *arg)
{
    struct dirent *e;
    int rc;

    while ((errno = 0, e = readdir(dir))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        rc = each(arg, e->d_name);
        if (rc)
            return rc;
    }
    return -errno;
}

static int posix_list(struct disk *d, const char *path, int (*each)(void *arg, const char *name),
                      void *arg)
{
    int fd = open_dir(d, path);
    DIR *dir;
    int rc;

    if (fd < 0)
        return fd;
    dir = fdopendir(fd);
    if (!dir) {
        rc = -errno;
        close(fd);
        return rc;
    }
    rc = walk_names(dir, each, arg);
    closedir(dir);
    return rc;
}

static int posix_sync_dir(struct disk *d, const char *path)
{
    int fd = open_dir(d, path);
    int rc;

    if (fd < 0)
        return fd;
    rc = result(fsync(fd));
    close(fd);
    return rc;
}

static int posix_sync_all(struct disk *d)
{
    return result(syncfs(dir_of(d)));
}

static int posix_space(struct disk *d, struct statvfs *s)
{
    return result(fstatvfs(dir_of(d), s));
}

static void posix_free(struct disk *d)
{
    close(dir_of(d));
    free(d);
}

/* ---- files ---- */

static int64_t posix_read(struct disk_file *f, void *bytes, size_t len, uint64_t offset)
{
    return io_pread_full(fd_of(f), bytes, len, offset);
}

static int posix_write(struct disk_file *f, const void *bytes, size_t len, uint64_t offset)
{
    return io_pwrite_all(fd_of(f), bytes, len, offset);
}

static int posix_truncate(struct disk_file *f, uint64_t size)
{
    int rc;

    do {
        rc = ftruncate(fd_of(f), (off_t)size);
    } while (rc < 0 && errno == EINTR);
    return result(rc);
}

static int posix_allocate(struct disk_file *f, int mode, uint64_t offset, uint64_t len)
{
    int rc;

    do {
        rc = fallocate(fd_of(f), mode, (off_t)offset, (off_t)len);
    } while (rc < 0 && errno == EINTR);
    return result(rc);
}

/* This moves the file's own position, which nothing here uses. */
static int64_t posix_seek(struct disk_file *f, uint64_t offset, int whence)
{
    off_t at = lseek(fd_of(f), (off_t)offset, whence);

    return at < 0 ? -errno : at;
}

static int posix_file_stat(struct disk_file *f, struct stat *st)
{
    return result(fstat(fd_of(f), st));
}

static int posix_set_times(struct disk_file *f, const struct timespec times[2])
{
    return result(futimens(fd_of(f), times));
}

static int posix_sync(struct disk_file *f)
{
    return result(fdatasync(fd_of(f))); /* with the size; times do not matter */
}

/* Private memory is for the few pages that are changed in it: the kernel need not set space aside.
 */
static void *posix_map(struct disk_file *f, uint64_t offset, size_t len, bool shared)
{
    int flags = shared ? MAP_SHARED : MAP_PRIVATE | MAP_NORESERVE;
    void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags, fd_of(f), (off_t)offset);

    return p == MAP_FAILED ? NULL : p;
}

static void posix_unmap(struct disk_file *f, void *memory, size_t len)
{
    (void)f;
    munmap(memory, len);
}

static int posix_sync_map(struct disk_file *f, void *memory, size_t len)
{
    (void)f;
    return result(msync(memory, len, MS_SYNC));
}

static void posix_close(struct disk_file *f)
{
    close(fd_of(f));
    free(f);
}

static const struct disk_ops posix_ops = {
    .open = posix_open,
    .make_dir = posix_make_dir,
    .remove = posix_remove,
    .rename = posix_rename,
    .stat = posix_stat,
    .list = posix_list,
    .sync_dir = posix_sync_dir,
    .sync_all = posix_sync_all,
    .space = posix_space,
    .free = posix_free,
    .read = posix_read,
    .write = posix_write,
    .truncate = posix_truncate,
    .allocate = posix_allocate,
    .seek = posix_seek,
    .file_stat = posix_file_stat,
    .set_times = posix_set_times,
    .sync = posix_sync,
    .map = posix_map,
    .unmap = posix_unmap,
    .sync_map = posix_sync_map,
    .close = posix_close,
};

int disk_posix(const char *path, struct disk **d)
{
    return disk_posix_at(AT_FDCWD, path, d);
}

int disk_posix_at(int dir, const char *path, struct disk **d)
{
    struct posix_disk *new = calloc(1, sizeof(*new));
    int rc;

    *d = NULL;
    if (!new)
        return -ENOMEM;
    new->dir = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (new->dir < 0) {
        rc = -errno;
        free(new);
        return rc;
    }
    new->disk.ops = &posix_ops;
    *d = &new->disk;
    return 0;
}

/* ---- whole files ---- */

int disk_read_file(struct disk *d, const char *path, size_t max, char **bytes, size_t *len)
{
    struct disk_file *f;
    struct stat st;
    char *p = NULL;
    int64_t n;
    int rc = d->ops->open(d, path, 0, &f);

    *bytes = NULL;
    *len = 0;
    if (rc)
        return rc;
    rc = d->ops->file_stat(f, &st);
    if (rc)
        goto out;
    rc = -EFBIG;
    if (st.st_size < 0 || (uint64_t)st.st_size > max)
        goto out;
    rc = -ENOMEM;
    p = malloc((size_t)st.st_size + 1);
    if (!p)
        goto out;
    n = d->ops->read(f, p, (size_t)st.st_size, 0);
    rc = n < 0 ? (int)n : 0;
    if (rc)
        goto out;
    p[n] = '\0';
    *bytes = p;
    *len = (size_t)n;
    p = NULL;
out:
    free(p);
    d->ops->close(f);
    return rc;
}

/* A file of the process that ended while it wrote here is overwritten. */
static int write_whole(struct disk *d, const char *path, const void *bytes, size_t len)
{
    struct disk_file *f;
    int rc = d->ops->open(d, path, DISK_WRITE | DISK_CREATE, &f);

    if (rc)
        return rc;
    rc = d->ops->truncate(f, 0);
    if (rc == 0)
        rc = d->ops->write(f, bytes, len, 0);
    if (rc == 0)
        rc = d->ops->sync(f);
    d->ops->close(f);
    return rc;
}

static int sync_parent(struct disk *d, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir;
    int rc;

    if (!slash)
        return d->ops->sync_dir(d, "");
    dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (!dir)
        return -ENOMEM;
    rc = d->ops->sync_dir(d, dir);
    free(dir);
    return rc;
}

int disk_replace_file(struct disk *d, const char *path, const void *bytes, size_t len)
{
    char *beside;
    int rc;

    if (asprintf(&beside, "%s.new", path) < 0)
        return -ENOMEM;
    rc = write_whole(d, beside, bytes, len);
    if (rc == 0)
        rc = d->ops->rename(d, beside, path);
    if (rc == 0)
        rc = sync_parent(d, path);
    else
        d->ops->remove(d, beside);
    free(beside);
    return rc;
}
