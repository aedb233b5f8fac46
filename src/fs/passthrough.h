/*
 * Passthrough: a file of the mount that the kernel reads, and writes, straight from and to another
 * file (of the spool, of a data directory), at the speed of that file and without a second copy in
 * memory. Of one node all opens at a time are of that kind, and of the same number of the kernel's;
 * but making a file is not. Syncing is asked of us still, unless the file was opened so that each
 * write is synced: then the kernel does that.
 *
 * The kernel can do it since Linux 6.9 for processes with CAP_SYS_ADMIN; libfuse 3.14 does not know
 * it yet, so the two places where its messages lack a field are filled in here, on their way to
 * /dev/fuse. The messages are those of the kernel's <linux/fuse.h>, protocol 7.40: struct
 * fuse_init_out (flags2, max_stack_depth), struct fuse_open_out (backing_id) and the ioctl
 * FUSE_DEV_IOC_BACKING_OPEN. Where it cannot be had, everything works as without.
 */
#ifndef ASOFS_FS_PASSTHROUGH_H
#define ASOFS_FS_PASSTHROUGH_H

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>

struct passthrough;

/* Could this process have it at all? (Then it pays to give large tables files of their own.) */
bool passthrough_is_likely(void);

/*
 * For a mounted session, before its loop runs. nnodes: how many files there are to name. NULL when
 * it is not to be had.
 */
struct passthrough *passthrough_new(struct fuse_session *session, uint32_t nnodes);
void passthrough_free(struct passthrough *p); /* NULL is fine */

/*
 * What a message on its way to or from the kernel means for us; p is the one of the session. For
 * the session's own I/O (fuse_session_custom_io), whose callbacks get the session's userdata only.
 */
ssize_t passthrough_read(struct passthrough *p, int fd, void *buffer, size_t size);
ssize_t passthrough_writev(struct passthrough *p, int fd, struct iovec *iov, int count);

/*
 * Answer an open of `node`, whose bytes are those of the file fd. false: not this way, nothing was
 * answered. Any thread.
 */
bool passthrough_reply_open(struct passthrough *p, fuse_req_t req, uint32_t node, int fd);

/*
 * The same for nodes that come and go. _take: the kernel's number for the file fd, which is that of
 * the node for as long as it is taken (by each open) and not put (when that is released); 0: not
 * this way. _answer: as fuse_reply_open(). Any thread.
 */
int32_t passthrough_take(struct passthrough *p, uint64_t node, int fd); /* p NULL: 0 */
void passthrough_put(struct passthrough *p, uint64_t node);
int passthrough_answer(fuse_req_t req, uint64_t fh, int32_t id);

#endif
