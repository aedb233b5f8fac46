/*
 * Answers whose bytes the kernel copies from files by itself.
 *
 * libfuse takes a file that cannot be read any further for one that ends there: it answers with what it has, and the
 * kernel, to which that is the end of the file, forgets the rest. So what it sends is looked at: where it is less than was
 * said, the answer is EIO.
 */
#ifndef ASOFS_FS_PIECES_H
#define ASOFS_FS_PIECES_H

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <sys/uio.h>

#include "common/flatfile.h"

/* What flatfile_read would read, from pieces of files. false: it is to be read, and nothing was answered. */
bool pieces_reply(fuse_req_t req, const struct flatfile *f, size_t size, uint64_t offset);

/* libfuse sends with these (fuse_custom_io). */
int pieces_check(int fd, const struct iovec *iov,
                 int count); /* 1: it was less, and that was sent */
ssize_t pieces_splice(int from, off_t *from_at, int fd, off_t *at, size_t len, unsigned flags);

#endif
