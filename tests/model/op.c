/* One operation on one side or on both. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "model.h"

/* ---- mappings ---- */

static __thread sigjmp_buf *volatile bus_return; /* memcpy is known not to read it */

static void on_bus(int sig)
{
    if (bus_return)
        siglongjmp(*bus_return, 1);
    signal(sig, SIG_DFL);
    raise(sig);
}

void bus_guard(void)
{
    struct sigaction action = {.sa_handler = on_bus, .sa_flags = SA_NODEFER};
    sigaction(SIGBUS, &action, NULL);
}

/* memcpy from or to a mapping, whose file system may be gone. */
static int copy_guarded(void *to, const void *from, size_t n)
{
    sigjmp_buf here;
    if (sigsetjmp(here, 1) != 0) {
        bus_return = NULL;
        return -EIO;
    }
    bus_return = &here;
    memcpy(to, from, n);
    bus_return = NULL;
    return 0;
}

/* Within the file; length > 0. */
static int64_t apply_map(struct op *op, enum side side)
{
    bool write = op->kind == OP_MAP_WRITE;
    uint64_t start = op->offset & ~(uint64_t)4095;
    size_t before = (size_t)(op->offset - start), n = before + op->length;
    uint8_t *at = mmap(NULL, n, write ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
                       op->handle->fd[side], (off_t)start);
    if (at == MAP_FAILED)
        return -errno;
    int r = write ? copy_guarded(at + before, op->bytes[0], op->length)
                  : copy_guarded(op->bytes[side], at + before, op->length);
    if (r == 0 && write && msync(at, n, MS_SYNC) != 0)
        r = -errno;
    munmap(at, n);
    return r < 0 ? r : (int64_t)op->length;
}

/* ---- reading and writing ---- */

int64_t side_read(struct model *m, enum side side, int fd, void *bytes, size_t n, uint64_t offset)
{
    size_t done = 0;
    if (side == SUBJECT && m->pretend && pretend_damaged(m, fd, offset, n))
        return -EIO;
    while (done < n) {
        ssize_t r = pread(fd, (char *)bytes + done, n - done, (off_t)(offset + done));
        if (r < 0)
            return -errno;
        if (r == 0)
            break;
        done += (size_t)r;
    }
    return (int64_t)done;
}

int64_t side_write(struct model *m, enum side side, int fd, const void *bytes, size_t n,
                   uint64_t offset)
{
    ssize_t r = pwrite(fd, bytes, n, (off_t)offset);
    if (r > 0 && side == SUBJECT && m->pretend)
        pretend_repair(m, fd, offset, (size_t)r);
    return r < 0 ? -errno : r;
}

/* ---- one side ---- */

static int64_t result(int64_t r)
{
    return r < 0 ? -errno : r;
}

/* O_DIRECT is set later: directories, which O_RDONLY opens too, refuse it. */
static int64_t apply_open(struct model *m, struct op *op, enum side side)
{
    struct stat st;
    int flags = (op->flags & ~O_DIRECT) | O_CLOEXEC | O_NOFOLLOW;
    int fd = openat(m->root[side], op->path, flags, op->mode);
    op->handle->fd[side] = fd;
    if (fd < 0)
        return -errno;
    if (side == SUBJECT && m->fuse && (op->flags & O_DIRECT) && fstat(fd, &st) == 0 &&
        S_ISREG(st.st_mode))
        return result(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_DIRECT));
    return 0;
}

static int64_t apply_readlink(struct model *m, struct op *op, enum side side)
{
    memset(op->bytes[side], 0, PATH_BYTES);
    return result(readlinkat(m->root[side], op->path, (char *)op->bytes[side], PATH_BYTES));
}

static int64_t apply_sync_dir(struct model *m, struct op *op, enum side side)
{
    int fd = openat(m->root[side], op->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int64_t r = side == SUBJECT ? result(fsync(fd)) : 0;
    close(fd);
    return r;
}

static int64_t apply_to_name(struct model *m, struct op *op, enum side side)
{
    int root = m->root[side];
    switch (op->kind) {
    case OP_OPEN:
        return apply_open(m, op, side);
    case OP_UNLINK:
        return result(unlinkat(root, op->path, 0));
    case OP_RENAME:
        return result(renameat2(root, op->path, root, op->to, (unsigned)op->flags));
    case OP_LINK:
        return result(linkat(root, op->path, root, op->to, 0));
    case OP_MKDIR:
        return result(mkdirat(root, op->path, op->mode));
    case OP_RMDIR:
        return result(unlinkat(root, op->path, AT_REMOVEDIR));
    case OP_SYMLINK:
        return result(symlinkat(op->to, root, op->path));
    case OP_READLINK:
        return apply_readlink(m, op, side);
    case OP_CHMOD:
        return result(fchmodat(root, op->path, op->mode, 0));
    case OP_SYNC_DIR:
        return apply_sync_dir(m, op, side);
    default:
        return -ENOSYS;
    }
}

static int64_t apply_to_file(struct model *m, struct op *op, enum side side)
{
    int fd = op->handle->fd[side];
    struct timespec times[2] = {{(time_t)op->offset, (long)op->length},
                                {(time_t)op->offset, (long)op->length}};
    switch (op->kind) {
    case OP_READ:
        return side_read(m, side, fd, op->bytes[side], op->length, op->offset);
    case OP_WRITE:
        return side_write(m, side, fd, op->bytes[0], op->length, op->offset);
    case OP_TRUNCATE:
        return result(ftruncate(fd, (off_t)op->offset));
    case OP_ALLOCATE:
        return result(fallocate(fd, op->flags, (off_t)op->offset, (off_t)op->length));
    case OP_SYNC: /* the oracle need not reach a disk */
        return side == SUBJECT ? result(fsync(fd)) : 0;
    case OP_STAT:
        return result(fstat(fd, &op->st[side]));
    case OP_TIMES:
        return result(futimens(fd, times));
    default:
        return apply_map(op, side);
    }
}

int64_t op_apply(struct model *m, struct op *op, enum side side)
{
    return op->kind < OP_READ ? apply_to_name(m, op, side) : apply_to_file(m, op, side);
}

bool op_writes(const struct op *op)
{
    return op->kind == OP_WRITE || op->kind == OP_MAP_WRITE;
}

/* ---- both ---- */

static const char *const names[] = {
    [OP_NONE] = "nothing",       [OP_OPEN] = "open",           [OP_UNLINK] = "unlink",
    [OP_RENAME] = "rename",      [OP_LINK] = "link",           [OP_MKDIR] = "mkdir",
    [OP_RMDIR] = "rmdir",        [OP_SYMLINK] = "symlink",     [OP_READLINK] = "readlink",
    [OP_CHMOD] = "chmod",        [OP_SYNC_DIR] = "fsync of",   [OP_READ] = "read",
    [OP_WRITE] = "write",        [OP_MAP_READ] = "mmap, read", [OP_MAP_WRITE] = "mmap, write",
    [OP_TRUNCATE] = "ftruncate", [OP_ALLOCATE] = "fallocate",  [OP_SYNC] = "fsync",
    [OP_STAT] = "fstat",         [OP_TIMES] = "futimens",
};

void op_describe(const struct op *op, char *text, size_t size)
{
    if (op->kind >= OP_READ)
        snprintf(text, size, "%s %.60s at %ju, %ju bytes, flags %x%s%s", names[op->kind],
                 op->handle->path, (uintmax_t)op->offset, (uintmax_t)op->length,
                 (unsigned)op->flags, op->handle->append ? ", appending" : "",
                 op->no_compare ? ", of others" : "");
    else
        snprintf(text, size, "%s %.60s %.60s flags %x mode %o", names[op->kind],
                 op->path ? op->path : "", op->to ? op->to : "", (unsigned)op->flags,
                 (unsigned)op->mode);
}

bool model_is_dead(struct model *m)
{
    struct statvfs s;
    return fstatvfs(m->root[SUBJECT], &s) != 0 &&
           (errno == ENOTCONN || errno == ECONNABORTED || errno == EIO);
}

/* Sets in flight what did not happen for sure. */
static bool went_away(struct thread *t, struct op *op, int64_t got)
{
    bool part = (op->kind == OP_WRITE || op->kind == OP_READ) && got < (int64_t)op->length;
    if (got >= 0 && !part)
        return false;
    if (got < 0 && got != -ENOTCONN && got != -ECONNABORTED && got != -EIO && got != -ENODEV)
        return false;
    if (!model_is_dead(t->m))
        return false;
    if (!t->m->ending)
        model_fail(t->m, t, op, "the file system has ended by itself");
    if (op->kind == OP_WRITE && got > 0) { /* so much was acknowledged */
        struct op first = *op;
        first.length = (uint64_t)got;
        op_apply(t->m, &first, ORACLE);
        op->offset += (uint64_t)got;
        op->length -= (uint64_t)got;
        op->bytes[0] += got;
    }
    t->inflight = *op;
    t->down = true;
    return true;
}

static void compare_bytes(struct thread *t, const struct op *op, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (op->bytes[SUBJECT][i] != op->bytes[ORACLE][i])
            model_fail(t->m, t, op, "byte %jd is %02x instead of %02x",
                       (intmax_t)((int64_t)op->offset + i), op->bytes[SUBJECT][i],
                       op->bytes[ORACLE][i]);
}

static void compare_stat(struct thread *t, const struct op *op)
{
    const struct stat *s = &op->st[SUBJECT], *o = &op->st[ORACLE];
    if (op->handle->shared < 0 && !S_ISDIR(o->st_mode) && s->st_size != o->st_size)
        model_fail(t->m, t, op, "size %jd instead of %jd", (intmax_t)s->st_size,
                   (intmax_t)o->st_size);
    if (s->st_mode != o->st_mode)
        model_fail(t->m, t, op, "mode %o instead of %o", s->st_mode, o->st_mode);
    if (!S_ISDIR(o->st_mode) && s->st_nlink != o->st_nlink)
        model_fail(t->m, t, op, "%ju links instead of %ju", (uintmax_t)s->st_nlink,
                   (uintmax_t)o->st_nlink);
}

static void compare_results(struct thread *t, struct op *op, int64_t got, int64_t want)
{
    if (op->no_compare && got >= 0)
        return;
    if (got != want)
        model_fail(t->m, t, op, "%s (%jd) instead of %s (%jd)",
                   got < 0 ? strerror((int)-got) : "done", (intmax_t)got,
                   want < 0 ? strerror((int)-want) : "done", (intmax_t)want);
    bool reads = op->kind == OP_READ || op->kind == OP_MAP_READ || op->kind == OP_READLINK;
    if (reads && got > 0)
        compare_bytes(t, op, got);
    if (op->kind == OP_STAT)
        compare_stat(t, op);
}

bool op_perform(struct thread *t, struct op *op)
{
    op_describe(op, t->log[t->operation % LOG], LOG_BYTES);
    if (t->m->pretend && t->m->ending) {
        pretend_end(t, op);
        return false;
    }
    int64_t got = op_apply(t->m, op, SUBJECT);
    if (went_away(t, op, got))
        return false;
    got = pretend_wrong(t, op, got);
    int64_t want = op_apply(t->m, op, ORACLE);
    compare_results(t, op, got, want);
    return true;
}
