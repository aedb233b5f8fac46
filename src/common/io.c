#include "common/io.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

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

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path) < 0 ? -errno : 0;
}

int io_remove_tree(const char *path)
{
    int rc = nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);

    return rc == -1 ? -errno : rc;
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
