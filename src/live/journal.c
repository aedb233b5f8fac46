#include "live/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/io.h"

static const struct frames_kind kind = {JOURNAL_MAGIC, JOURNAL_VERSION, "the journal"};

struct journal {
    int fd;
    uint64_t size;
    bool broken; /* what stands after `size` could not be cut off */
    struct buf frame;
};

/* ---- walking ---- */

static bool is_name(const char *name, size_t len)
{
    return len && strlen(name) == len && strcmp(name, ".") && strcmp(name, "..") &&
           !strchr(name, '/');
}

static void take_name(struct frames_cursor *c, char name[NAME_MAX + 1])
{
    uint16_t len;

    frames_take(c, &len, sizeof(len));
    if (len > NAME_MAX)
        c->bad = true;
    if (c->bad)
        return;
    frames_take(c, name, len);
    name[len] = '\0';
    if (!is_name(name, len))
        c->bad = true;
}

static void take_record(struct frames_cursor *c, struct journal_record *r, char name[NAME_MAX + 1])
{
    uint8_t type;

    *r = (struct journal_record){.name = name};
    frames_take(c, &type, sizeof(type));
    r->type = (enum journal_type)type;
    if (type < JOURNAL_ENTRY || type > JOURNAL_BORN)
        c->bad = true;
    if (type == JOURNAL_ENTRY)
        frames_take(c, &r->dir, sizeof(r->dir));
    frames_take(c, &r->id, sizeof(r->id));
    if (type == JOURNAL_SIZE)
        frames_take(c, &r->size, sizeof(r->size));
    if (type == JOURNAL_ENTRY) {
        frames_take(c, &r->mode, sizeof(r->mode));
        take_name(c, name);
    }
}

struct walk {
    int (*each)(void *arg, const struct journal_record *r);
    void *arg;
};

static int walk_frame(void *arg, struct frames_cursor *c, struct err *err)
{
    const struct walk *w = arg;
    char name[NAME_MAX + 1];
    struct journal_record r;
    int rc = 0;

    while (rc >= 0 && c->left) {
        take_record(c, &r, name);
        if (c->bad)
            return err_set(err, EIO, "the journal, offset %zu: a record makes no sense",
                           (size_t)(c->p - c->start));
        rc = w->each(w->arg, &r);
    }
    return rc < 0 ? err_set(err, -rc, "%s", strerror(-rc)) : 0;
}

int journal_walk(const void *bytes, size_t len, uint64_t epoch,
                 int (*each)(void *arg, const struct journal_record *r), void *arg, uint64_t *good,
                 struct err *err)
{
    struct walk w = {each, arg};
    uint64_t id;
    int rc = frames_check(&kind, bytes, len, &id, err);

    *good = 0;
    if (rc == 0 && id != epoch)
        rc = err_set(err, EIO, "the journal: it is of epoch %" PRIu64, id);
    return rc < 0 ? rc : frames_walk(&kind, bytes, len, walk_frame, &w, good, err);
}

/* ---- on disk ---- */

int journal_create(int dir, uint64_t epoch)
{
    const struct frames_header h = frames_header(&kind, epoch);
    int fd = openat(dir, JOURNAL_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rc;

    if (fd < 0)
        return -errno;
    rc = io_pwrite_all(fd, &h, sizeof(h), 0);
    close(fd);
    return rc;
}

static int read_whole(int fd, char **bytes, size_t *len)
{
    struct stat st;
    int64_t n;

    if (fstat(fd, &st) < 0)
        return -errno;
    *bytes = malloc((size_t)st.st_size + 1);
    if (!*bytes)
        return -ENOMEM;
    n = io_pread_full(fd, *bytes, (size_t)st.st_size, 0);
    *len = n > 0 ? (size_t)n : 0;
    return n < 0 ? (int)n : 0;
}

int journal_read(int dir, uint64_t epoch, int (*each)(void *arg, const struct journal_record *r),
                 void *arg, uint64_t *good, struct err *err)
{
    int fd = openat(dir, JOURNAL_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    char *bytes = NULL;
    size_t len = 0;
    int rc;

    *good = 0;
    if (fd < 0)
        return err_errno(err, "cannot open the journal of epoch %" PRIu64, epoch);
    rc = read_whole(fd, &bytes, &len);
    close(fd);
    if (rc < 0)
        err_set(err, -rc, "cannot read the journal of epoch %" PRIu64 ": %s", epoch, strerror(-rc));
    else
        rc = journal_walk(bytes, len, epoch, each, arg, good, err);
    free(bytes);
    return rc;
}

int journal_open(int dir, uint64_t size, struct journal **j)
{
    struct journal *new = calloc(1, sizeof(*new));

    *j = NULL;
    if (!new)
        return -ENOMEM;
    new->size = size;
    new->fd = openat(dir, JOURNAL_NAME, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (new->fd < 0 || ftruncate(new->fd, (off_t)size) < 0) {
        int rc = -errno;

        journal_close(new);
        return rc;
    }
    *j = new;
    return 0;
}

static void put(struct buf *b, const struct journal_record *r)
{
    uint16_t len;

    buf_putc(b, (char)r->type);
    if (r->type == JOURNAL_ENTRY)
        buf_put_u64(b, r->dir);
    buf_put_u64(b, r->id);
    if (r->type == JOURNAL_SIZE)
        buf_put_u64(b, r->size);
    if (r->type == JOURNAL_ENTRY) {
        len = (uint16_t)strlen(r->name);
        buf_put_u32(b, r->mode);
        buf_put(b, &len, sizeof(len));
        buf_put(b, r->name, len);
    }
}

static void make_frame(struct buf *b, const struct journal_record *records, size_t n)
{
    const char head[FRAMES_HEAD] = {0};
    size_t i;

    buf_clear(b);
    buf_put(b, head, sizeof(head));
    for (i = 0; i < n; i++)
        put(b, &records[i]);
    frames_head(b->data, b->data + FRAMES_HEAD, b->len - FRAMES_HEAD);
}

int journal_append(struct journal *j, const struct journal_record *records, size_t n, bool sync)
{
    int rc;

    if (j->broken)
        return -EIO;
    make_frame(&j->frame, records, n);
    rc = io_pwrite_all(j->fd, j->frame.data, j->frame.len, j->size);
    if (rc == 0 && sync && fdatasync(j->fd) < 0)
        rc = -errno;
    if (rc < 0) {
        /* A frame after the remains of another would never be read again. */
        j->broken = ftruncate(j->fd, (off_t)j->size) < 0;
        return rc;
    }
    j->size += j->frame.len;
    return 0;
}

void journal_close(struct journal *j)
{
    if (!j)
        return;
    if (j->fd >= 0)
        close(j->fd);
    buf_free(&j->frame);
    free(j);
}
