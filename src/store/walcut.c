#include "store/walcut.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "store/livewal.h"

#define COPY_BYTES (256u << 10)

/* The first `len` bytes; shared by both where the file system does that. -EAGAIN: there are fewer. */
static int copy_bytes(int from, int to, uint64_t len)
{
    char *buffer;
    uint64_t at;
    int64_t n = 1;
    int rc = 0;

    if (ioctl(to, FICLONE, from) == 0)
        return ftruncate(to, (off_t)len) < 0 ? -errno : 0;
    buffer = mem_alloc(COPY_BYTES);
    for (at = 0; at < len && rc == 0; at += (uint64_t)n) {
        n = io_pread_full(from, buffer, len - at < COPY_BYTES ? len - at : COPY_BYTES, at);
        rc = n > 0 ? io_pwrite_all(to, buffer, (size_t)n, at) : n < 0 ? (int)n : -EAGAIN;
    }
    free(buffer);
    return rc;
}

/* len 0: all of it. size: of the copy, zeros after what was copied; 0: as much as that. Read-only,
 * so that no server opens it to write. */
static int copy_file(const struct walcut *cut, const char *name, uint64_t len, uint64_t size,
                     struct err *err)
{
    char *source = mem_printf("%s/%s", cut->pg_wal, name),
         *copy = mem_printf("%s/%s", cut->to, name);
    int from = open(source, O_RDONLY | O_CLOEXEC | O_NONBLOCK), to = -1, rc = 0;
    struct stat st;

    if (from < 0 || fstat(from, &st) < 0) {
        rc = errno == ENOENT ? -EAGAIN : -errno;
        err_set(err, -rc, "cannot open the log segment %s: %s", source, strerror(-rc));
        goto out;
    }
    to = open(copy, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0400);
    if (to >= 0)
        rc = copy_bytes(from, to, len ? len : (uint64_t)st.st_size);
    if (to < 0 || (rc == 0 && ((size && ftruncate(to, (off_t)size) < 0) || fsync(to) < 0)))
        rc = -errno;
    if (rc < 0)
        rc = err_set(err, -rc, "cannot copy %s to %s: %s", source, copy, strerror(-rc));
out:
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    free(source);
    free(copy);
    return rc;
}

/* 1: it is there; 0: it is to be copied. */
static int link_segment(const struct walcut *cut, const char *name)
{
    char *source = mem_printf("%s/%s", cut->pg_wal, name), *to = mem_printf("%s/%s", cut->to, name);
    int rc = cut->link && link(source, to) == 0;

    free(source);
    free(to);
    return rc;
}

static int copy_segments(const struct walcut *cut, const struct wal_list *l, uint64_t end,
                         struct err *err)
{
    uint32_t bytes = cut->segment_bytes, towards = wal_newest(l, cut->timeline, cut->from);
    uint64_t number, last = (end - 1) / bytes;
    const struct wal_segment *s;
    char name[25];
    int rc = 0;

    for (number = cut->from / bytes; number <= last && rc == 0; number++) {
        s = wal_segment_at(l, towards, number);
        if (!s)
            return err_set(err, EAGAIN, "%s has lost a segment meanwhile", cut->pg_wal);
        wal_segment_name(s->timeline, number, bytes, name);
        if (number < last && link_segment(cut, name))
            continue;
        rc = copy_file(cut, name, number == last ? end - number * bytes : bytes, bytes, err);
    }
    return rc;
}

static int copy_histories(const struct walcut *cut, const struct wal_list *l, struct err *err)
{
    char name[HISTORY_NAME_MAX];
    size_t i;
    int rc = 0;

    for (i = 0; i < l->n_histories && rc == 0; i++) {
        history_name(l->histories[i].timeline, name);
        rc = copy_file(cut, name, 0, 0, err);
    }
    return rc;
}

static struct wal_way way_in(const struct walcut *cut, const char *dir, const struct wal_list *l)
{
    return (struct wal_way){.list = l,
                            .dir = dir,
                            .system = cut->system,
                            .timeline = cut->timeline,
                            .from = cut->from,
                            .before = UINT64_MAX};
}

/* What was made for log to come, and has none yet: nothing after its beginning was flushed. */
static bool is_unused(const struct walcut *cut, const struct wal_segment *s)
{
    char name[25], *path;
    int fd;
    bool unused;

    wal_segment_name(s->timeline, s->number, cut->segment_bytes, name);
    path = mem_printf("%s/%s", cut->pg_wal, name);
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    unused = fd >= 0 && !livewal_is_used(fd, name);
    if (fd >= 0)
        close(fd);
    free(path);
    return unused;
}

static void leave_unused(const struct walcut *cut, struct wal_list *l)
{
    while (l->n && !l->segments[l->n - 1].partial && is_unused(cut, &l->segments[l->n - 1]))
        l->n--;
}

/* The end of the log that the server has written: what is no whole record yet was not flushed as
 * one, and no page has it. */
static int find_end(const struct walcut *cut, const struct wal_list *l, struct wal_reach *r,
                    struct err *err)
{
    struct wal_way way = way_in(cut, cut->pg_wal, l);
    int rc = wal_reach(&way, r, err);
    char name[25], lsn[LSN_TEXT_MAX];

    if (rc < 0)
        return rc;
    if (r->damaged)
        return err_set(err, EAGAIN, "the log in %s has no record at %s, and goes on after it",
                       cut->pg_wal, lsn_text(r->end, lsn));
    wal_segment_name(cut->timeline, cut->from / cut->segment_bytes, cut->segment_bytes, name);
    return r->end
               ? 0
               : err_set(err, EAGAIN,
                         "the log segment %s, where the recovery of the freeze begins, is not in "
                         "%s, or has no record there",
                         name, cut->pg_wal);
}

static int check_copy(const struct walcut *cut, uint64_t end, struct wal_reach *r, struct err *err)
{
    char ended[LSN_TEXT_MAX], wanted[LSN_TEXT_MAX];
    struct wal_list l;
    struct wal_way way = way_in(cut, cut->to, &l);
    int rc = wal_read(cut->to, cut->segment_bytes, &l, err);

    if (rc == 0)
        rc = wal_reach_whole(&way, r, err);
    if (rc == 0 && (r->end != end || r->damaged))
        rc = err_set(err, EAGAIN, "the log that was copied to %s ends at %s, not at %s", cut->to,
                     lsn_text(r->end, ended), lsn_text(end, wanted));
    wal_free(&l);
    return rc;
}

static int sync_names(const char *dir, struct err *err)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) < 0 ? err_errno(err, "cannot sync %s", dir) : 0;

    if (fd >= 0)
        close(fd);
    return rc;
}

static void remove_copies(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd >= 0) {
        io_remove_below(fd);
        close(fd);
    }
}

int wal_cut(const struct walcut *cut, struct wal_reach *r, struct err *err)
{
    struct wal_list l = {0};
    struct wal_reach end;
    int rc = wal_read(cut->pg_wal, cut->segment_bytes, &l, err);

    *r = (struct wal_reach){0};
    if (rc == 0) {
        leave_unused(cut, &l);
        rc = find_end(cut, &l, &end, err);
    }
    if (rc == 0)
        rc = copy_histories(cut, &l, err);
    if (rc == 0)
        rc = copy_segments(cut, &l, end.end, err);
    if (rc == 0)
        rc = check_copy(cut, end.end, r, err);
    if (rc == 0)
        rc = sync_names(cut->to, err);
    if (rc < 0)
        remove_copies(cut->to);
    wal_free(&l);
    return rc;
}
