#include "replay/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"
#include "store/walwalk.h"

static int read_file(int fd, uint64_t number, uint32_t segment_bytes, struct segment *s)
{
    struct stat st;
    int64_t n;

    s->n = 0;
    s->number = number;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if (s->room < segment_bytes) {
        s->bytes = mem_resize(s->bytes, segment_bytes, 1);
        s->room = segment_bytes;
    }
    n = io_pread_full(fd, s->bytes, segment_bytes, 0);
    if (n < 0)
        return (int)n;
    s->n = (size_t)n;
    return 0;
}

int segment_read(const char *path, uint64_t number, uint32_t segment_bytes, struct segment *s,
                 struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc;

    if (fd < 0)
        return err_errno(err, "cannot read the log %s", path);
    rc = read_file(fd, number, segment_bytes, s);
    close(fd);
    if (rc == -EINVAL)
        return err_set(err, EINVAL, "cannot read the log %s: it is no file", path);
    return rc < 0 ? err_set(err, -rc, "cannot read the log %s: %s", path, strerror(-rc)) : 0;
}

void segment_free(struct segment *s)
{
    free(s->bytes);
    *s = (struct segment){0};
}

/* As the source of a walk: there is no other one. */
static int give_own(void *arg, uint64_t number, const uint8_t **bytes, size_t *n, struct err *err)
{
    const struct segment *s = arg;

    (void)err;
    if (number != s->number)
        return 0;
    *bytes = s->bytes;
    *n = s->n;
    return 1;
}

static uint64_t find_record(struct wal_walk *w, uint64_t end, uint64_t *from)
{
    struct wal_record r;
    uint64_t at;

    while (wal_seek(w, *from, end, &at, NULL) == 1) {
        *from = at - at % WAL_PAGE + WAL_PAGE;
        if (wal_next(w, &r, NULL) == 1)
            return at;
        if (wal_ending(w)->end == WAL_END_UNFINISHED && wal_ending(w)->instead == WAL_END_MISSING)
            return at;
    }
    *from = end;
    return 0;
}

uint64_t segment_find_page(int fd, uint64_t start, uint64_t end, uint64_t *from)
{
    uint32_t bytes = (uint32_t)(end - start);
    struct segment s = {0};
    struct wal_source source = {.segment = give_own, .arg = &s, .segment_bytes = bytes};
    struct wal_walk *w = wal_walk_new(&source);
    uint64_t at = 0;

    if (read_file(fd, start / bytes, bytes, &s) == 0)
        at = find_record(w, end, from);
    wal_walk_free(w);
    segment_free(&s);
    return at;
}

int segment_check_system(const struct segment *s, uint64_t system_identifier, struct err *err)
{
    uint64_t system;

    if (!wal_system(s->bytes, s->n, &system) || system == system_identifier)
        return 0;
    return err_set(err, EINVAL,
                   "it is of another cluster (its system identifier is %" PRIu64
                   ", that of the store is %" PRIu64 ")",
                   system, system_identifier);
}
