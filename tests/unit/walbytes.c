#include "walbytes.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"
#include "pages/page.h"
#include "store/wal.h"

void walbytes_make_of(struct walbytes *w, uint64_t first, size_t n, uint32_t segment_bytes)
{
    *w = (struct walbytes){.start = first * segment_bytes,
                           .n = n,
                           .timeline = 1,
                           .magic = 0xd110,
                           .segment_bytes = segment_bytes};
    w->at = w->start;
    w->bytes = mem_alloc(n * segment_bytes);
}

void walbytes_make(struct walbytes *w, uint64_t first, size_t n)
{
    walbytes_make_of(w, first, n, WALBYTES_SEGMENT);
}

void walbytes_free(struct walbytes *w)
{
    free(w->bytes);
}

uint8_t *walbytes_at(const struct walbytes *w, uint64_t lsn)
{
    return w->bytes + (lsn - w->start);
}

/* The head of the page that begins at w->at; w->at is after it then. */
static void put_head(struct walbytes *w, uint32_t rest)
{
    uint8_t *p = walbytes_at(w, w->at);
    uint16_t info = (uint16_t)((rest ? 1 : 0) | (w->at % w->segment_bytes ? 0 : 2));
    uint64_t system = WALBYTES_SYSTEM;
    uint32_t sizes[] = {w->segment_bytes, WAL_PAGE};

    memcpy(p, &w->magic, 2);
    memcpy(p + 2, &info, 2);
    memcpy(p + 4, &w->timeline, 4);
    memcpy(p + 8, &w->at, 8);
    memcpy(p + 16, &rest, 4);
    if (info & 2) {
        memcpy(p + 24, &system, 8);
        memcpy(p + 32, sizes, 8);
    }
    w->at += info & 2 ? WAL_SEGMENT_HEAD : WAL_PAGE_HEAD;
}

static void put_bytes(struct walbytes *w, const uint8_t *bytes, size_t n)
{
    size_t part;

    while (n) {
        if (w->at % WAL_PAGE == 0)
            put_head(w, (uint32_t)n);
        part = WAL_PAGE - w->at % WAL_PAGE;
        if (part > n)
            part = n;
        assert(w->at + part <= w->start + w->n * w->segment_bytes);
        memcpy(walbytes_at(w, w->at), bytes, part);
        w->at += part;
        bytes += part;
        n -= part;
    }
    w->at = (w->at + 7) & ~UINT64_C(7);
}

uint64_t walbytes_put_raw(struct walbytes *w, uint8_t manager, uint8_t info, uint32_t xid,
                          const void *body, size_t len)
{
    uint32_t length = (uint32_t)(WAL_RECORD_HEAD + len), crc;
    uint8_t *r = mem_alloc(length);

    memcpy(r, &length, 4);
    memcpy(r + 4, &xid, 4);
    memcpy(r + 8, &w->prev, 8);
    r[16] = info;
    r[17] = manager;
    if (len)
        memcpy(r + WAL_RECORD_HEAD, body, len);
    crc = crc32c_more(crc32c(r + WAL_RECORD_HEAD, len), r, 20);
    memcpy(r + 20, &crc, 4);
    if (w->at % WAL_PAGE == 0)
        put_head(w, 0);
    w->prev = w->at;
    put_bytes(w, r, length);
    free(r);
    return w->prev;
}

uint64_t walbytes_put(struct walbytes *w, uint8_t manager, uint8_t info, uint32_t xid,
                      const void *data, size_t len)
{
    uint8_t *body = mem_alloc(len + 5);
    uint32_t n = (uint32_t)len;
    size_t head = len < 256 ? 2 : 5;
    uint64_t start;

    body[0] = len < 256 ? 255 : 254;
    memcpy(body + 1, &n, head - 1);
    memcpy(body + head, data, len);
    start = walbytes_put_raw(w, manager, info, xid, body, len ? len + head : 0);
    free(body);
    return start;
}

uint64_t walbytes_switch(struct walbytes *w)
{
    uint64_t start = walbytes_put(w, WAL_XLOG, WAL_XLOG_SWITCH, 0, "", 0);

    w->at = (w->at + w->segment_bytes - 1) / w->segment_bytes * w->segment_bytes;
    return start;
}

/* Bytes of records between two places. */
static uint64_t room_between(const struct walbytes *w, uint64_t from, uint64_t to)
{
    uint64_t room = 0, end;

    for (; from < to; from = end) {
        if (from % WAL_PAGE == 0)
            from = wal_after_head(from, w->segment_bytes);
        end = from - from % WAL_PAGE + WAL_PAGE;
        if (end > to)
            end = to;
        room += end - from;
    }
    return room;
}

void walbytes_fill(struct walbytes *w, uint64_t at)
{
    uint64_t room = room_between(w, w->at, at), len = room - WAL_RECORD_HEAD;
    uint8_t *data = mem_alloc(len);

    len -= len < 258 ? 2 : 5;
    memset(data, 0xc5, len);
    walbytes_put(w, WAL_HEAP, 0, 700, data, len);
    assert(w->at == at);
    free(data);
}

uint64_t walbytes_commit(struct walbytes *w, int64_t time_us)
{
    int64_t time = time_us - INT64_C(946684800000000); /* since 2000 */

    return walbytes_put(w, WAL_XACT, 0, 700, &time, sizeof(time));
}

uint64_t walbytes_tablespace(struct walbytes *w, const char *path)
{
    uint8_t *data = mem_alloc(4 + strlen(path) + 1);
    uint32_t number = 16385;
    uint64_t start;

    memcpy(data, &number, 4);
    memcpy(data + 4, path, strlen(path) + 1);
    start = walbytes_put(w, WAL_TBLSPC, WAL_TBLSPC_CREATE, 731, data, 4 + strlen(path) + 1);
    free(data);
    return start;
}

static int give(void *arg, uint64_t number, const uint8_t **bytes, size_t *n, struct err *err)
{
    const struct walbytes *w = arg;
    uint64_t first = w->start / w->segment_bytes;

    (void)err;
    if (number < first || number >= first + w->n)
        return 0;
    *bytes = w->bytes + (number - first) * w->segment_bytes;
    *n = w->segment_bytes;
    return 1;
}

struct wal_source walbytes_source(struct walbytes *w)
{
    return (struct wal_source){
        .segment = give, .arg = w, .segment_bytes = w->segment_bytes, .system = WALBYTES_SYSTEM};
}

struct wal_walk *walbytes_make_walk(struct walbytes *w, uint64_t first, size_t n)
{
    struct wal_source source;
    struct wal_walk *walk;

    walbytes_make(w, first, n);
    source = walbytes_source(w);
    walk = wal_walk_new(&source);
    wal_begin(walk, w->start);
    return walk;
}

void walbytes_write(const char *dir, uint32_t timeline, uint64_t number, const char *more,
                    const uint8_t *bytes)
{
    char name[25], *path;

    wal_segment_name(timeline, number, WALBYTES_SEGMENT, name);
    path = mem_printf("%s/%s%s", dir, name, more);
    unlink(path);
    assert_int_equal(io_write_file(AT_FDCWD, path, bytes, WALBYTES_SEGMENT, NULL), 0);
    free(path);
}

void walbytes_write_all(const struct walbytes *w, const char *dir)
{
    uint64_t first = w->start / WALBYTES_SEGMENT, i;

    for (i = 0; i < w->n; i++)
        walbytes_write(dir, w->timeline, first + i, "", w->bytes + i * WALBYTES_SEGMENT);
}
