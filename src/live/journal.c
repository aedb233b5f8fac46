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
#include "pages/page.h"

#define MAGIC "ASOFSEPN"
#define FRAME_HEADER 8u
#define FRAME_MAX (1u << 20)

struct journal_header {
    char magic[8];
    uint32_t version;
    uint32_t crc;
    uint64_t epoch;
};

_Static_assert(sizeof(struct journal_header) == JOURNAL_START, "the header has no gaps");

struct journal {
    int fd;
    uint64_t size;
    bool broken; /* what stands after `size` could not be cut off */
    struct buf frame;
};

/* ---- walking ---- */

struct cursor {
    const char *p;
    size_t left;
    bool bad;
};

static void take(struct cursor *c, void *value, size_t len)
{
    if (c->bad || c->left < len) {
        c->bad = true;
        memset(value, 0, len);
        return;
    }
    memcpy(value, c->p, len);
    c->p += len;
    c->left -= len;
}

static bool is_name(const char *name, size_t len)
{
    return len && strlen(name) == len && strcmp(name, ".") && strcmp(name, "..") &&
           !strchr(name, '/');
}

static void take_name(struct cursor *c, char name[NAME_MAX + 1])
{
    uint16_t len;

    take(c, &len, sizeof(len));
    if (len > NAME_MAX)
        c->bad = true;
    if (c->bad)
        return;
    take(c, name, len);
    name[len] = '\0';
    if (!is_name(name, len))
        c->bad = true;
}

static void take_record(struct cursor *c, struct journal_record *r, char name[NAME_MAX + 1])
{
    uint8_t type;

    *r = (struct journal_record){.name = name};
    take(c, &type, sizeof(type));
    r->type = (enum journal_type)type;
    if (type < JOURNAL_ENTRY || type > JOURNAL_BORN)
        c->bad = true;
    if (type == JOURNAL_ENTRY)
        take(c, &r->dir, sizeof(r->dir));
    take(c, &r->id, sizeof(r->id));
    if (type == JOURNAL_SIZE)
        take(c, &r->size, sizeof(r->size));
    if (type == JOURNAL_ENTRY) {
        take(c, &r->mode, sizeof(r->mode));
        take_name(c, name);
    }
}

static int walk_frame(struct cursor *c, size_t offset,
                      int (*each)(void *arg, const struct journal_record *r), void *arg,
                      struct err *err)
{
    char name[NAME_MAX + 1];
    struct journal_record r;
    int rc = 0;

    while (rc >= 0 && c->left) {
        take_record(c, &r, name);
        if (c->bad)
            return err_set(err, EIO, "the journal, offset %zu: a record makes no sense", offset);
        rc = each(arg, &r);
    }
    return rc < 0 ? err_set(err, -rc, "%s", strerror(-rc)) : 0;
}

static uint32_t header_sum(const struct journal_header *h)
{
    struct journal_header copy = *h;

    copy.crc = 0;
    return crc32c(&copy, sizeof(copy));
}

static int check_header(const void *bytes, size_t len, uint64_t epoch, struct err *err)
{
    struct journal_header h;

    if (len < sizeof(h))
        return err_set(err, EIO, "the journal is too short");
    memcpy(&h, bytes, sizeof(h));
    if (memcmp(h.magic, MAGIC, sizeof(h.magic)) != 0)
        return err_set(err, EIO, "the journal is something else");
    if (h.version != JOURNAL_VERSION)
        return err_set(err, EIO, "the journal has format version %" PRIu32 ", known is %d",
                       h.version, JOURNAL_VERSION);
    if (h.crc != header_sum(&h) || h.epoch != epoch)
        return err_set(err, EIO, "the header of the journal is damaged");
    return 0;
}

/* 1, 0: none that is whole, or negative. */
static int next_frame(const char *bytes, size_t len, size_t offset, struct cursor *c,
                      struct err *err)
{
    uint32_t head[2];

    if (len - offset < FRAME_HEADER)
        return 0;
    memcpy(head, bytes + offset, sizeof(head));
    if (head[0] == 0 || head[0] > FRAME_MAX)
        return err_set(err, EIO, "the journal, offset %zu: a frame of %" PRIu32 " bytes cannot be",
                       offset, head[0]);
    if (len - offset - FRAME_HEADER < head[0])
        return 0;
    *c = (struct cursor){bytes + offset + FRAME_HEADER, head[0], false};
    if (crc32c(c->p, head[0]) != head[1])
        return err_set(err, EIO, "the journal, offset %zu: the frame is damaged (checksum)",
                       offset);
    return 1;
}

int journal_walk(const void *bytes, size_t len, uint64_t epoch,
                 int (*each)(void *arg, const struct journal_record *r), void *arg, uint64_t *good,
                 struct err *err)
{
    size_t offset = sizeof(struct journal_header);
    struct cursor c;
    int rc;

    *good = 0;
    rc = check_header(bytes, len, epoch, err);
    if (rc < 0)
        return rc;
    *good = offset;
    while ((rc = next_frame(bytes, len, offset, &c, err)) > 0) {
        offset += FRAME_HEADER + c.left;
        rc = walk_frame(&c, *good, each, arg, err);
        if (rc < 0)
            return rc;
        *good = offset;
    }
    return rc;
}

/* ---- on disk ---- */

int journal_create(int dir, uint64_t epoch)
{
    struct journal_header h = {.version = JOURNAL_VERSION, .epoch = epoch};
    int fd = openat(dir, JOURNAL_NAME, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int rc;

    if (fd < 0)
        return -errno;
    memcpy(h.magic, MAGIC, sizeof(h.magic));
    h.crc = header_sum(&h);
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
    int fd = openat(dir, JOURNAL_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
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
    new->fd = openat(dir, JOURNAL_NAME, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
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
    uint32_t head[2] = {0};
    size_t i;

    buf_clear(b);
    buf_put(b, head, sizeof(head));
    for (i = 0; i < n; i++)
        put(b, &records[i]);
    head[0] = (uint32_t)(b->len - FRAME_HEADER);
    head[1] = crc32c(b->data + FRAME_HEADER, head[0]);
    memcpy(b->data, head, sizeof(head));
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
