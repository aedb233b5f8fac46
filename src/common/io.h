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

/* Everything below and including path, symbolic links not followed. 0 or a negative errno. */
int io_remove_tree(const char *path);

/* File descriptors opened by the system start above standard error even if the caller closed those.
 */
int io_keep_std_fds(void);

#endif
