#include "store/walreach.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "store/walrecord.h"
#include "store/walwalk.h"

struct reading {
    const struct wal_way *way;
    uint32_t towards;
    uint64_t before; /* records from there on do not count */
    uint8_t *bytes;  /* of one segment */
    struct wal_walk *walk;
    struct wal_reach *reach;
    bool timed; /* a record was met that was written at the time it has */
};

/* ---- segments ---- */

/*
 * The heads of its pages, until one is of this segment: 1; 0: none is. A server keeps segments for
 * later use, as many as max_wal_size has room for: nothing but the heads counts in them.
 */
static int read_heads(struct reading *g, int fd, uint64_t at)
{
    uint32_t i, bytes = g->way->list->segment_bytes;
    int64_t got;

    for (i = 0; i < bytes; i += WAL_PAGE) {
        got = io_pread_full(fd, g->bytes + i, WAL_PAGE_HEAD, i);
        if (got < 0)
            return (int)got;
        if (got < WAL_PAGE_HEAD || wal_page_is_at(g->bytes + i, at + i))
            return 1;
    }
    return 0;
}

static int64_t read_bytes(struct reading *g, int fd, uint64_t at)
{
    uint32_t bytes = g->way->list->segment_bytes;
    int rc = read_heads(g, fd, at);

    if (rc < 0)
        return rc;
    return rc == 0 ? bytes : io_pread_full(fd, g->bytes, bytes, 0);
}

/* The segment that begins at `at`. Read, not mapped: a file that is cut meanwhile must not end us.
 * 0: it is gone. */
static int read_file(struct reading *g, const char *path, uint64_t at, size_t *n, struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;
    int64_t got;

    if (fd < 0)
        return errno == ENOENT ? 0 : err_errno(err, "cannot read the log segment %s", path);
    if (fstat(fd, &st) < 0)
        got = -errno;
    else if (!S_ISREG(st.st_mode))
        got = -EINVAL;
    else
        got = read_bytes(g, fd, at);
    close(fd);
    if (got < 0)
        return err_set(err, (int)-got, "cannot read the log segment %s: %s", path,
                       strerror((int)-got));
    *n = (size_t)got;
    return 1;
}

/* One that was being received may have become whole. */
static int read_segment(struct reading *g, const struct wal_segment *s, size_t *n, struct err *err)
{
    const struct wal_way *way = g->way;
    uint64_t at = s->number * way->list->segment_bytes;
    char name[25], *path;
    int rc = 0;

    wal_segment_name(s->timeline, s->number, way->list->segment_bytes, name);
    if (s->partial) {
        path = mem_printf("%s/%s.partial", way->dir, name);
        rc = read_file(g, path, at, n, err);
        free(path);
    }
    if (rc == 0) {
        path = mem_printf("%s/%s", s->own ? way->own : way->dir, name);
        rc = read_file(g, path, at, n, err);
        free(path);
    }
    return rc;
}

static int take_segment(void *arg, uint64_t number, const uint8_t **bytes, size_t *n,
                        struct err *err)
{
    struct reading *g = arg;
    const struct wal_segment *s = wal_segment_at(g->way->list, g->towards, number);

    *bytes = g->bytes;
    return s ? read_segment(g, s, n, err) : 0;
}

/* ---- records ---- */

/* A checkpoint has the time at which it began, and later commits lie in front of it. */
static void take_time(struct reading *g, const struct wal_record *record, struct wal_reach *r)
{
    struct wal_event event;

    if (!wal_read_event(record, &event) || event.kind == WAL_EVENT_PREPARE || !event.time_us)
        return;
    if (event.time_us > r->time_us)
        r->time_us = event.time_us;
    g->timed |= event.kind != WAL_EVENT_CHECKPOINT && event.kind != WAL_EVENT_SHUTDOWN;
}

/* The walk up to its end, or to a record that begins at `to` or after it. 1: there were some. */
static int walk(struct reading *g, uint64_t to, struct wal_reach *r, struct err *err)
{
    struct wal_record record;
    int rc, some = 0;

    while ((rc = wal_next(g->walk, &record, err)) == 1 && record.start < to) {
        some = 1;
        r->last = record.start;
        r->end = record.next;
        take_time(g, &record, r);
    }
    return rc < 0 ? rc : some;
}

/* Where records begin in that segment: the walk is put there. */
static int seek(struct reading *g, uint64_t number, uint64_t *at, struct err *err)
{
    uint64_t bytes = g->way->list->segment_bytes;

    if (number > g->way->from / bytes)
        return wal_seek(g->walk, number * bytes, (number + 1) * bytes, at, err);
    *at = g->way->from;
    wal_begin(g->walk, *at);
    return 1;
}

/* A record in the pages after the last one. The head of a page alone may be there before what it
 * promises. */
static int find_more(struct reading *g, uint64_t end, uint64_t *there, struct err *err)
{
    uint64_t page = end - end % WAL_PAGE;
    struct wal_record record;
    int rc;

    do {
        page += WAL_PAGE;
        rc = page < g->before ? wal_seek(g->walk, page, g->before, there, err) : 0;
        if (rc == 1)
            rc = wal_next(g->walk, &record, err) == 1 ? 1 : 2;
        page = *there - *there % WAL_PAGE;
    } while (rc == 2);
    return rc;
}

/*
 * What follows the end may have been written since that was read: it is read again until nothing
 * follows, or nothing leads there.
 */
static int check_end(struct reading *g, struct err *err)
{
    struct wal_reach *r = g->reach;
    uint64_t there;
    int rc;

    while ((rc = find_more(g, r->end, &there, err)) == 1) {
        wal_begin(g->walk, r->end);
        rc = walk(g, g->before, r, err);
        if (rc == 0)
            r->damaged = there;
        if (rc <= 0)
            break;
    }
    return rc < 0 ? rc : 0;
}

/* Segments from the last one back: the last record of all, then the next one with a time. */
static int read_backwards(struct reading *g, uint64_t last, struct err *err)
{
    uint64_t first = g->way->from / g->way->list->segment_bytes, number = last + 1, at;
    struct wal_reach *r = g->reach, found;
    uint64_t to = g->before;
    int rc = 0;

    while (rc >= 0 && number-- > first && !g->timed) {
        rc = seek(g, number, &at, err);
        if (rc <= 0 || at >= to)
            continue;
        found = (struct wal_reach){.time_us = r->time_us};
        rc = walk(g, to, &found, err);
        if (rc == 1 && !r->end)
            *r = found;
        if (rc == 1) {
            r->time_us = found.time_us;
            to = at;
        }
    }
    return rc < 0 ? rc : 0;
}

static void start_reading(struct reading *g, const struct wal_way *way, struct wal_reach *r)
{
    uint32_t bytes = way->list->segment_bytes;
    struct wal_source source = {
        .segment = take_segment, .arg = g, .segment_bytes = bytes, .system = way->system};

    *r = (struct wal_reach){0};
    *g = (struct reading){.way = way,
                          .towards = wal_newest(way->list, way->timeline, way->from),
                          .reach = r,
                          .bytes = mem_alloc(bytes),
                          .walk = wal_walk_new(&source)};
}

/* As far as the log is there, which is to *end; false: none of that way is. */
static bool start_within(struct reading *g, const struct wal_way *way, struct wal_reach *r,
                         uint64_t *end)
{
    *r = (struct wal_reach){0};
    if (!wal_covers(way->list, way->timeline, way->from, end) || way->before <= way->from)
        return false;
    start_reading(g, way, r);
    g->before = way->before < *end ? way->before : *end;
    return true;
}

static void finish(struct reading *g)
{
    if (g->reach->end)
        g->reach->timeline = wal_timeline_at(g->way->list, g->towards, g->reach->end);
    wal_walk_free(g->walk);
    free(g->bytes);
}

int wal_reach(const struct wal_way *way, struct wal_reach *r, struct err *err)
{
    struct reading g;
    uint64_t end;
    int rc;

    if (!start_within(&g, way, r, &end))
        return 0;
    rc = read_backwards(&g, (g.before - 1) / way->list->segment_bytes, err);
    if (rc == 0 && r->end && g.before == end)
        rc = check_end(&g, err);
    finish(&g);
    return rc;
}

int wal_reach_whole(const struct wal_way *way, struct wal_reach *r, struct err *err)
{
    struct reading g;
    uint64_t end;
    int rc;

    if (!start_within(&g, way, r, &end))
        return 0;
    wal_begin(g.walk, way->from);
    rc = walk(&g, g.before, r, err);
    if (rc == 1 && g.before == end)
        rc = check_end(&g, err);
    finish(&g);
    return rc < 0 ? rc : 0;
}

int wal_find_left_out(const struct wal_way *way, uint64_t *there, struct err *err)
{
    struct wal_record record;
    struct wal_reach reach;
    struct reading g;
    uint64_t end;
    int rc;

    *there = 0;
    if (!wal_covers(way->list, way->timeline, way->from, &end))
        return 0;
    start_reading(&g, way, &reach);
    g.before = end;
    wal_begin(g.walk, way->from);
    rc = wal_next(g.walk, &record, err);
    if (rc == 0)
        rc = find_more(&g, way->from, there, err) == 1;
    else if (rc == 1)
        rc = 0;
    if (rc == 0)
        *there = 0;
    finish(&g);
    return rc < 0 ? rc : 0;
}

int wal_first_time(const struct wal_way *way, int64_t *time_us, struct err *err)
{
    struct wal_record record;
    struct wal_reach r;
    struct reading g;
    uint64_t at;
    int rc;

    *time_us = 0;
    if (!way->list->segment_bytes)
        return 0;
    start_reading(&g, way, &r);
    rc = wal_seek(g.walk, way->from, way->before, &at, err);
    while (rc == 1 && !g.timed && (rc = wal_next(g.walk, &record, err)) == 1)
        if (record.start >= way->from && record.start < way->before)
            take_time(&g, &record, &r);
    if (g.timed)
        *time_us = r.time_us;
    finish(&g);
    return rc < 0 ? rc : 0;
}
