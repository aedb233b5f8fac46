#define FUSE_USE_VERSION 312

#include "fs/pieces.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/log.h"

#define MOST 4 /* pieces of one answer */

struct out_header { /* struct fuse_out_header of linux/fuse.h */
    uint32_t len;
    int32_t error;
    uint64_t unique;
};

static _Thread_local size_t expected; /* bytes of the answer under way; 0: any */

/* As an answer to the same request. */
static ssize_t send_error(int fd, uint64_t unique)
{
    struct out_header h = {sizeof(h), -EIO, unique};

    log_error("reading the spool failed: not all is there");
    expected = 0;
    return write(fd, &h, sizeof(h));
}

int pieces_check(int fd, const struct iovec *iov, int count)
{
    const struct out_header *h = iov[0].iov_base;
    size_t len = 0;
    int i;

    for (i = 0; i < count; i++)
        len += iov[i].iov_len;
    if (!expected || (!h->error && len >= sizeof(*h) + expected))
        return 0;
    return send_error(fd, h->unique) < 0 ? -1 : 1;
}

/* What is in the pipe is thrown away: others use it after us. */
static ssize_t send_error_instead(int from, int fd, size_t len)
{
    struct out_header h;
    char rest[4096];
    size_t left = len - sizeof(h);
    ssize_t n = read(from, &h, sizeof(h));

    if (n != (ssize_t)sizeof(h))
        return n < 0 ? -1 : (errno = EIO, -1);
    while (left && (n = read(from, rest, left < sizeof(rest) ? left : sizeof(rest))) > 0)
        left -= (size_t)n;
    return n <= 0 || send_error(fd, h.unique) < 0 ? -1 : (ssize_t)len;
}

ssize_t pieces_splice(int from, off_t *from_at, int fd, off_t *at, size_t len, unsigned flags)
{
    if (expected && len < sizeof(struct out_header) + expected)
        return send_error_instead(from, fd, len);
    return splice(from, from_at, fd, at, len, flags);
}

static size_t bytes_of(const struct flatfile_piece *pieces, size_t n)
{
    size_t bytes = 0, i;

    for (i = 0; i < n; i++)
        bytes += pieces[i].size;
    return bytes;
}

bool pieces_reply(fuse_req_t req, const struct flatfile *f, size_t size, uint64_t offset)
{
    struct flatfile_piece pieces[MOST];
    size_t i, n = flatfile_pieces(f, size, offset, pieces, MOST);
    struct fuse_bufvec *v = n ? calloc(1, sizeof(*v) + n * sizeof(v->buf[0])) : NULL;

    if (!v)
        return false;
    v->count = n;
    for (i = 0; i < n; i++)
        v->buf[i] = (struct fuse_buf){.size = pieces[i].size,
                                      .flags = FUSE_BUF_IS_FD | FUSE_BUF_FD_SEEK,
                                      .fd = pieces[i].fd,
                                      .pos = (off_t)pieces[i].offset};
    expected = bytes_of(pieces, n);
    fuse_reply_data(req, v, 0);
    expected = 0;
    free(v);
    return true;
}
