/* Whole reads and writes. All retry EINTR and short transfers. Offsets and lengths in bytes. */
#ifndef ASOFS_COMMON_IO_H
#define ASOFS_COMMON_IO_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* 0 or a negative errno; ENOSPC and friends as they come. */
int io_pwrite_all(int fd, const void *bytes, size_t len, uint64_t offset);

/* Bytes read (less than len only at end of file) or a negative errno. */
int64_t io_pread_full(int fd, void *bytes, size_t len, uint64_t offset);

/* Write a whole new file below dirfd, mode 0666 less the umask. */
int io_write_file(int dirfd, const char *path, const void *bytes, size_t len, struct err *err);

/*
 * openat2() with these RESOLVE_ flags: a descriptor, or -1 and errno. Older kernels do not know it,
 * and some sandboxes forbid it: there it is openat(), which heeds O_NOFOLLOW of the last part only,
 * and with RESOLVE_BENEATH refuses (EXDEV) what begins with "/" or has ".." in it.
 */
int io_openat(int dirfd, const char *path, int flags, uint64_t resolve);

/*
 * Everything below and including path, or below a directory that is open. It goes by descriptors:
 * whatever is exchanged meanwhile, nothing outside is removed; links are removed and not followed,
 * and what is mounted below is left, which is an error (-EXDEV or -EBUSY). 0 or a negative errno:
 * of the first that could not be removed, where it ends.
 */
int io_remove_tree(const char *path);
int io_remove_below(int fd);

/* The whole of a regular file below dirfd that is at most `max` bytes long, which somebody else may
 * have put there: no link is followed and no pipe waited for. *text is freed by the caller and has
 * a NUL after its end. 0 or a negative errno; -EINVAL: it is no regular file, -EFBIG: longer. */
int io_read_text(int dirfd, const char *path, size_t max, char **text);

/* 1: nothing is in the directory; 0: something is; or a negative errno. The descriptor stays where
 * it is. */
int io_is_empty(int dirfd);

/* File descriptors opened by the system start above standard error even if the caller closed those.
 */
int io_keep_std_fds(void);

#endif
