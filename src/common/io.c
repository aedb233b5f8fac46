#include "common/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/mem.h"

int io_pwrite_all(int fd, const void *bytes, size_t len, uint64_t offset)
{
    const char *p = bytes;
    ssize_t n;

    while (len) {
        n = pwrite(fd, p, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -ENOSPC;
        p += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int64_t io_pread_full(int fd, void *bytes, size_t len, uint64_t offset)
{
    char *p = bytes;
    size_t done = 0;
    ssize_t n;

    while (done < len) {
        n = pread(fd, p + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (int64_t)done;
}

int io_write_file(int dirfd, const char *path, const void *bytes, size_t len, struct err *err)
{
    int fd = openat(dirfd, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int rc;

    if (fd < 0)
        return err_errno(err, "cannot create %s", path);
    rc = io_pwrite_all(fd, bytes, len, 0);
    if (close(fd) < 0 && rc == 0)
        rc = -errno;
    if (rc < 0) {
        errno = -rc;
        return err_errno(err, "cannot write %s", path);
    }
    return 0;
}

int io_openat(int dirfd, const char *path, int flags, uint64_t resolve)
{
    struct open_how how = {.flags = (uint64_t)flags, .resolve = resolve};
    int fd = (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));

    if (fd >= 0 || (errno != ENOSYS && errno != EPERM))
        return fd;
    errno = EXDEV;
    if (resolve & RESOLVE_BENEATH && (*path == '/' || strstr(path, "..")))
        return -1;
    return openat(dirfd, path, flags);
}

/* ---- removing ---- */

struct level { /* a directory that is being emptied */
    dev_t dev;
    ino_t ino;
    char *name; /* in the one above; NULL: the first */
};

struct removal {
    int fd; /* of the last level */
    struct level *levels;
    size_t n, room;
};

/* Where openat2() is not known, the device must tell (go_down). */
static int open_below(int dirfd, const char *name)
{
    int fd = io_openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
                       RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);

    return fd < 0 ? -errno : fd;
}

static int go_down(struct removal *r, int fd, const char *name)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || (r->n && st.st_dev != r->levels[0].dev)) {
        close(fd);
        return -EXDEV;
    }
    r->levels = mem_grow(r->levels, r->n, &r->room, sizeof(*r->levels));
    r->levels[r->n++] = (struct level){st.st_dev, st.st_ino, name ? mem_strdup(name) : NULL};
    if (r->fd >= 0)
        close(r->fd);
    r->fd = fd;
    return 0;
}

/* The directory that is empty now may have been moved: then ".." is another one. */
static int go_up(struct removal *r)
{
    struct level *gone = &r->levels[--r->n];
    struct stat st;
    int rc = 0, fd;

    if (!r->n)
        return 0;
    fd = openat(r->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        rc = -errno;
    else if (fstat(fd, &st) < 0 || st.st_dev != gone[-1].dev || st.st_ino != gone[-1].ino)
        rc = -ESTALE;
    else if (unlinkat(fd, gone->name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        rc = -errno;
    free(gone->name);
    close(r->fd);
    r->fd = fd;
    return rc;
}

/* 1: it was a directory, which is the last level now. */
static int remove_entry(struct removal *r, const char *name)
{
    int fd, rc;

    if (unlinkat(r->fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR)
        return -errno;
    fd = open_below(r->fd, name);
    rc = fd < 0 ? fd : go_down(r, fd, name);
    return rc < 0 ? rc : 1;
}

/* Until it is empty, or there is a directory in it. */
static int remove_entries(struct removal *r)
{
    int fd = openat(r->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (!dir) {
        rc = -errno;
        if (fd >= 0)
            close(fd);
        return rc;
    }
    while (rc == 0 && (errno = 0, e = readdir(dir)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = remove_entry(r, e->d_name);
    if (rc == 0)
        rc = -errno;
    closedir(dir);
    return rc;
}

int io_remove_below(int fd)
{
    struct removal r = {.fd = -1};
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0), rc = copy < 0 ? -errno : go_down(&r, copy, NULL);

    while (rc >= 0 && r.n) {
        rc = remove_entries(&r);
        if (rc == 0)
            rc = go_up(&r);
    }
    while (r.n)
        free(r.levels[--r.n].name);
    free(r.levels);
    if (r.fd >= 0)
        close(r.fd);
    return rc < 0 ? rc : 0;
}

int io_remove_tree(const char *path)
{
    int fd, rc;

    if (unlink(path) == 0)
        return 0;
    if (errno != EISDIR)
        return -errno;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    rc = io_remove_below(fd);
    close(fd);
    return rc == 0 && rmdir(path) < 0 ? -errno : rc;
}

/* ---- what somebody else may have put there ---- */

int io_read_text(int dirfd, const char *path, size_t max, char **text)
{
    int fd = openat(dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;
    int64_t n;

    *text = NULL;
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        n = -EINVAL;
    else if ((uint64_t)st.st_size > max)
        n = -EFBIG;
    else {
        *text = mem_alloc((size_t)st.st_size + 1);
        n = io_pread_full(fd, *text, (size_t)st.st_size, 0);
    }
    close(fd);
    if (n >= 0)
        return 0;
    free(*text);
    *text = NULL;
    return (int)n;
}

int io_is_empty(int dirfd)
{
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 1;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    if (!dir)
        return -errno;
    while (rc == 1 && (errno = 0, e = readdir(dir)))
        rc = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    if (rc == 1)
        rc = errno ? -errno : 1;
    closedir(dir);
    return rc;
}

int io_keep_std_fds(void)
{
    int fd;

    do {
        fd = open("/dev/null", O_RDWR);
        if (fd < 0)
            return -errno;
    } while (fd <= STDERR_FILENO);
    close(fd);
    return 0;
}
