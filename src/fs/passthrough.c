#define FUSE_USE_VERSION 312

#include "fs/passthrough.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <linux/capability.h>
#include <unistd.h>
#include <uthash.h>

#include "common/log.h"
#include "common/mem.h"

/* From <linux/fuse.h>, 7.40; only what is used. Debian 12's copy of it is older. */
#define OP_INIT 26u
#define INIT_EXT (1u << 30)                 /* flags: flags2 is valid */
#define INIT2_PASSTHROUGH (1u << (37 - 32)) /* flags2 */
#define OPEN_NOFLUSH (1u << 5)
#define OPEN_PASSTHROUGH (1u << 7)

struct in_header {
    uint32_t len, opcode;
    uint64_t unique, nodeid;
    uint32_t uid, gid, pid;
    uint16_t total_extlen, padding;
};

struct init_in {
    uint32_t major, minor, max_readahead, flags, flags2;
};

struct out_header {
    uint32_t len;
    int32_t error;
    uint64_t unique;
};

struct init_out {
    uint32_t major, minor, max_readahead, flags;
    uint16_t max_background, congestion_threshold;
    uint32_t max_write, time_gran;
    uint16_t max_pages, map_alignment;
    uint32_t flags2, max_stack_depth;
    uint16_t request_timeout, unused[11];
};

struct open_out {
    uint64_t fh;
    uint32_t open_flags;
    int32_t backing_id;
};

struct backing_map {
    int32_t fd;
    uint32_t flags;
    uint64_t padding;
};

#define IOC_BACKING_OPEN _IOW(229, 1, struct backing_map)
#define IOC_BACKING_CLOSE _IOW(229, 2, uint32_t)

/* A node that is open. */
struct taken {
    uint64_t node;
    int32_t id;
    unsigned times;
    UT_hash_handle hh;
};

struct passthrough {
    int dev_fd;
    uint32_t nnodes;
    pthread_mutex_t lock; /* protects ids, taken */
    struct taken *taken;
    int32_t *ids;                 /* by node: the kernel's number for its file; 0: none yet */
    _Atomic uint64_t init_unique; /* of the INIT request, until it is answered; 0: none */
    _Atomic bool offered, active; /* the kernel can do it; it was agreed upon */
};

bool passthrough_is_likely(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &head, data) < 0)
        return false;
    return data[CAP_TO_INDEX(CAP_SYS_ADMIN)].effective & CAP_TO_MASK(CAP_SYS_ADMIN);
}

struct passthrough *passthrough_new(struct fuse_session *session, uint32_t nnodes)
{
    struct passthrough *p;

    if (!passthrough_is_likely())
        return NULL;
    p = mem_alloc(sizeof(*p));
    p->dev_fd = fuse_session_fd(session);
    p->nnodes = nnodes;
    p->ids = mem_array(nnodes, sizeof(*p->ids));
    pthread_mutex_init(&p->lock, NULL);
    return p;
}

/* The kernel forgets the numbers with the connection; this is for one that lives on. */
void passthrough_free(struct passthrough *p)
{
    struct taken *t, *next;

    if (!p)
        return;
    HASH_ITER(hh, p->taken, t, next)
    {
        HASH_DEL(p->taken, t);
        free(t);
    }
    pthread_mutex_destroy(&p->lock);
    free(p->ids);
    free(p);
}

ssize_t passthrough_read(struct passthrough *p, int fd, void *buffer, size_t size)
{
    ssize_t n = read(fd, buffer, size);
    const struct in_header *h = buffer;
    const struct init_in *in = (const struct init_in *)(h + 1);

    if (!p || n < (ssize_t)(sizeof(*h) + sizeof(*in)) || h->opcode != OP_INIT)
        return n;
    p->offered = (in->flags & INIT_EXT) && (in->flags2 & INIT2_PASSTHROUGH);
    p->init_unique = p->offered ? h->unique : 0;
    return n;
}

static void amend_init(struct passthrough *p, struct iovec *iov)
{
    struct init_out *out = iov->iov_base;

    if (iov->iov_len < sizeof(*out))
        return;
    out->flags |= INIT_EXT;
    out->flags2 |= INIT2_PASSTHROUGH;
    out->max_stack_depth = 1; /* the spool must not itself lie on a stacked file system */
    p->active = true;
}

ssize_t passthrough_writev(struct passthrough *p, int fd, struct iovec *iov, int count)
{
    const struct out_header *h = iov[0].iov_base;

    if (p && p->init_unique && count == 2 && h->unique == p->init_unique && h->error == 0) {
        p->init_unique = 0;
        amend_init(p, &iov[1]);
    }
    return writev(fd, iov, count);
}

/* 0: refused. */
static int32_t make_id(struct passthrough *p, int fd)
{
    struct backing_map map = {.fd = fd};
    int32_t id = ioctl(p->dev_fd, IOC_BACKING_OPEN, &map);

    if (id > 0)
        return id;
    log_debug("no passthrough: %s", strerror(errno));
    p->active = false; /* the next would be refused too */
    return 0;
}

/* The kernel's number for the file of a node, made when it is first asked for. 0: refused. */
static int32_t backing_id(struct passthrough *p, uint32_t node, int fd)
{
    int32_t id;

    pthread_mutex_lock(&p->lock);
    if (p->ids[node] == 0)
        p->ids[node] = make_id(p, fd);
    id = p->ids[node];
    pthread_mutex_unlock(&p->lock);
    return id;
}

bool passthrough_reply_open(struct passthrough *p, fuse_req_t req, uint32_t node, int fd)
{
    struct open_out out = {.open_flags = OPEN_PASSTHROUGH | OPEN_NOFLUSH};

    if (!p || !p->active || fd < 0 || node >= p->nnodes)
        return false;
    out.backing_id = backing_id(p, node, fd);
    if (!out.backing_id)
        return false;
    fuse_reply_buf(req, (const char *)&out, sizeof(out));
    return true;
}

/* ---- nodes that come and go ---- */

/* `lock` is locked. */
static struct taken *add_taken(struct passthrough *p, uint64_t node, int fd)
{
    int32_t id = p->active ? make_id(p, fd) : 0;
    struct taken *t;

    if (!id)
        return NULL;
    t = mem_alloc(sizeof(*t));
    t->node = node;
    t->id = id;
    HASH_ADD(hh, p->taken, node, sizeof(t->node), t);
    return t;
}

int32_t passthrough_take(struct passthrough *p, uint64_t node, int fd)
{
    struct taken *t;
    int32_t id = 0;

    if (!p || fd < 0)
        return 0;
    pthread_mutex_lock(&p->lock);
    HASH_FIND(hh, p->taken, &node, sizeof(node), t);
    if (!t)
        t = add_taken(p, node, fd);
    if (t) {
        t->times++;
        id = t->id;
    }
    pthread_mutex_unlock(&p->lock);
    return id;
}

void passthrough_put(struct passthrough *p, uint64_t node)
{
    struct taken *t;
    uint32_t id = 0;

    pthread_mutex_lock(&p->lock);
    HASH_FIND(hh, p->taken, &node, sizeof(node), t);
    if (t && --t->times == 0) {
        id = (uint32_t)t->id;
        HASH_DEL(p->taken, t);
        free(t);
    }
    if (id && ioctl(p->dev_fd, IOC_BACKING_CLOSE, &id) < 0)
        log_debug("a file that was passed through is not closed: %s", strerror(errno));
    pthread_mutex_unlock(&p->lock);
}

int passthrough_answer(fuse_req_t req, uint64_t fh, int32_t id)
{
    struct open_out out = {
        .fh = fh, .open_flags = OPEN_PASSTHROUGH | OPEN_NOFLUSH, .backing_id = id};

    return fuse_reply_buf(req, (const char *)&out, sizeof(out));
}
