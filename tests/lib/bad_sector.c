/* Preloaded: a file without a name has a part that cannot be read, BAD_FROM bytes from its beginning on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes that can be read of n at that place. -1: none. */
static ssize_t readable(int fd, off64_t at, size_t n)
{
    off64_t bad = atoll(getenv("BAD_FROM"));
    struct stat st;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_nlink || at + (off64_t)n <= bad)
        return (ssize_t)n;
    errno = EIO;
    return at >= bad ? -1 : (ssize_t)(bad - at);
}

ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags)
{
    ssize_t (*real)(int, off64_t *, int, off64_t *, size_t, unsigned) = dlsym(RTLD_NEXT, "splice");
    ssize_t some = in_at ? readable(in, *in_at, n) : (ssize_t)n;

    return some < 0 ? -1 : real(in, in_at, out, out_at, (size_t)some, flags);
}

ssize_t pread64(int fd, void *buffer, size_t n, off64_t at)
{
    ssize_t (*real)(int, void *, size_t, off64_t) = dlsym(RTLD_NEXT, "pread64");
    ssize_t some = readable(fd, at, n);

    return some < 0 ? -1 : real(fd, buffer, (size_t)some, at);
}

ssize_t pread(int fd, void *buffer, size_t n, off_t at)
{
    return pread64(fd, buffer, n, at);
}
