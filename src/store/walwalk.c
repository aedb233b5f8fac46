/*
 * A record begins at a multiple of 8. One that does not fit on its page goes on after the head of
 * the next, which says so, and how much of it is left. In front of a record that was never written
 * to its end, because the server ended, the next page says that it stands for that record's rest;
 * then a record begins there.
 */
#include "store/walwalk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pages/page.h"
#include "store/walrecord.h"

/* XLogPageHeaderData and XLogLongPageHeaderData (access/xlog_internal.h). */
enum {
    HEAD_MAGIC = 0,    /* xlp_magic, 2 bytes */
    HEAD_INFO = 2,     /* xlp_info, 2 */
    HEAD_TIMELINE = 4, /* xlp_tli, 4 */
    HEAD_ADDRESS = 8,  /* xlp_pageaddr, 8 */
    HEAD_REST = 16,    /* xlp_rem_len, 4 */
    HEAD_SYSTEM = 24,  /* xlp_sysid, 8 */
    HEAD_SEGMENT = 32, /* xlp_seg_size, 4 */
    HEAD_PAGE = 36     /* xlp_xlog_blcksz, 4 */
};

#define GOES_ON 1u    /* XLP_FIRST_IS_CONTRECORD */
#define LONG_HEAD 2u  /* XLP_LONG_HEADER */
#define OVERWRITES 8u /* XLP_FIRST_IS_OVERWRITE_CONTRECORD */
#define FLAGS 15u     /* XLP_ALL_FLAGS */

/* XLogRecord (access/xlogrecord.h). */
enum {
    RECORD_LENGTH = 0,   /* xl_tot_len, 4 */
    RECORD_XID = 4,      /* xl_xid, 4 */
    RECORD_PREV = 8,     /* xl_prev, 8 */
    RECORD_INFO = 16,    /* xl_info, 1 */
    RECORD_MANAGER = 17, /* xl_rmid, 1 */
    RECORD_CRC = 20      /* xl_crc, 4: of what follows the head, then of the head in front of it */
};

/* XLogRecordMaxSize is 1020 MiB from 16 on; before that it is what the server can allocate. */
#define LONGEST (UINT32_C(1) << 30)

#define AGAIN 2 /* the record was given up; look where the walk is now */

struct page {
    const uint8_t *bytes; /* NULL: none */
    uint64_t at;
    uint32_t info, timeline, rest, head;
    unsigned major;
};

struct wal_walk {
    struct wal_source source;
    uint64_t at;
    uint64_t prev;          /* start of the record before `at`; 0: not known */
    uint32_t timeline;      /* that the pages have come to */
    const uint8_t *segment; /* NULL: none */
    uint64_t number;
    size_t n;
    struct page page;
    uint8_t *joined; /* a record of several pages */
    size_t room;
    struct wal_ending ending;
};

static uint16_t get16(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;

    memcpy(&v, p, sizeof(v));
    return v;
}

static uint64_t aligned(uint64_t n)
{
    return (n + 7) & ~UINT64_C(7);
}

static bool is_zero(const uint8_t *p, size_t n)
{
    while (n && !*p)
        p++, n--;
    return n == 0;
}

struct wal_walk *wal_walk_new(const struct wal_source *source)
{
    struct wal_walk *w = mem_alloc(sizeof(*w));

    w->source = *source;
    return w;
}

void wal_walk_free(struct wal_walk *w)
{
    if (!w)
        return;
    free(w->joined);
    free(w);
}

static void restart_walk(struct wal_walk *w, uint64_t at)
{
    w->at = at;
    w->prev = 0;
    w->timeline = 0;
    w->page.bytes = NULL;
    w->ending = (struct wal_ending){0};
}

void wal_begin(struct wal_walk *w, uint64_t at)
{
    w->segment = NULL;
    restart_walk(w, at);
}

/* Always 0. */
static int end_walk(struct wal_walk *w, enum wal_end end, uint64_t found_at, const char *why)
{
    w->ending = (struct wal_ending){.end = end, .at = w->at, .found_at = found_at, .why = why};
    return 0;
}

const struct wal_ending *wal_ending(const struct wal_walk *w)
{
    return &w->ending;
}

uint64_t wal_after_head(uint64_t at, uint32_t segment_bytes)
{
    if (at % WAL_PAGE)
        return at;
    return at + (at % segment_bytes ? WAL_PAGE_HEAD : WAL_SEGMENT_HEAD);
}

/* ---- pages ---- */

/* The number at the beginning of a page (XLOG_PAGE_MAGIC); 0: not known here. */
static unsigned major_of(uint16_t magic)
{
    static const uint16_t known[] = {0xd10d, 0xd110, 0xd113, 0xd116, 0xd118}; /* 14 to 18 */
    unsigned i;

    for (i = 0; i < sizeof(known) / sizeof(*known); i++)
        if (magic == known[i])
            return 14 + i;
    return 0;
}

bool wal_page_is_at(const uint8_t *head, uint64_t at)
{
    return get64(head + HEAD_ADDRESS) == at;
}

bool wal_system(const uint8_t *segment, size_t n, uint64_t *system)
{
    if (n < WAL_SEGMENT_HEAD || !get16(segment + HEAD_MAGIC) ||
        !(get16(segment + HEAD_INFO) & LONG_HEAD))
        return false;
    *system = get64(segment + HEAD_SYSTEM);
    return true;
}

bool wal_segment_begins(const uint8_t *segment, size_t n, uint64_t *at, uint32_t *bytes)
{
    uint64_t system;

    if (!wal_system(segment, n, &system) || !major_of(get16(segment + HEAD_MAGIC)))
        return false;
    *at = get64(segment + HEAD_ADDRESS);
    *bytes = get32(segment + HEAD_SEGMENT);
    return *bytes >= WAL_PAGE && !(*bytes & (*bytes - 1)) && *at % *bytes == 0;
}

/* The fields that only a segment's first page has. */
static int check_long_head(struct wal_walk *w, const uint8_t *p, uint64_t at)
{
    if (w->source.system && get64(p + HEAD_SYSTEM) != w->source.system)
        return end_walk(w, WAL_END_FOREIGN, at, "the log is of another cluster");
    if (get32(p + HEAD_SEGMENT) != w->source.segment_bytes)
        return end_walk(w, WAL_END_FOREIGN, at, "the log says that its segments have another size");
    if (get32(p + HEAD_PAGE) != WAL_PAGE)
        return end_walk(w, WAL_END_FOREIGN, at, "the log says that its pages have another size");
    return 1;
}

static int check_head(struct wal_walk *w, const uint8_t *p, uint64_t at)
{
    uint16_t magic = get16(p + HEAD_MAGIC);

    if (is_zero(p, WAL_PAGE_HEAD))
        return end_walk(w, WAL_END_ZEROS, at, "nothing was written");
    if (get64(p + HEAD_ADDRESS) < at)
        return end_walk(w, WAL_END_OLD, at, "the page is of an earlier use of the segment");
    if (!wal_page_is_at(p, at))
        return end_walk(w, WAL_END_BROKEN, at, "the page says that it belongs elsewhere");
    if (!major_of(magic) && (magic & 0xfe00) == 0xd000)
        return end_walk(w, WAL_END_FOREIGN, at, "the log is of an unknown version of PostgreSQL");
    if (!major_of(magic) || get16(p + HEAD_INFO) & ~FLAGS)
        return end_walk(w, WAL_END_BROKEN, at, "the page's head is damaged");
    if (at % w->source.segment_bytes == 0 && !(get16(p + HEAD_INFO) & LONG_HEAD))
        return end_walk(w, WAL_END_BROKEN, at, "the segment's head is damaged");
    if (get32(p + HEAD_TIMELINE) < w->timeline)
        return end_walk(w, WAL_END_OLD, at, "the page is of an earlier timeline");
    return get16(p + HEAD_INFO) & LONG_HEAD ? check_long_head(w, p, at) : 1;
}

static int load_segment(struct wal_walk *w, uint64_t number, struct err *err)
{
    int rc;

    if (w->segment && w->number == number)
        return 1;
    w->segment = NULL;
    rc = w->source.segment(w->source.arg, number, &w->segment, &w->n, err);
    w->number = number;
    if (rc <= 0)
        w->segment = NULL;
    return rc;
}

static int load_page(struct wal_walk *w, uint64_t at, struct err *err)
{
    uint64_t offset = at % w->source.segment_bytes;
    const uint8_t *p;
    int rc;

    if (w->page.bytes && w->page.at == at)
        return 1;
    w->page.bytes = NULL;
    rc = load_segment(w, at / w->source.segment_bytes, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return end_walk(w, WAL_END_MISSING, at, "there is no further segment");
    if (w->n < WAL_PAGE || offset > w->n - WAL_PAGE)
        return end_walk(w, WAL_END_MISSING, at, "the segment is cut off");
    p = w->segment + offset;
    rc = check_head(w, p, at);
    if (rc <= 0)
        return rc;
    w->page = (struct page){.bytes = p,
                            .at = at,
                            .info = get16(p + HEAD_INFO),
                            .timeline = get32(p + HEAD_TIMELINE),
                            .rest = get32(p + HEAD_REST),
                            .major = major_of(get16(p + HEAD_MAGIC))};
    w->page.head = w->page.info & LONG_HEAD ? WAL_SEGMENT_HEAD : WAL_PAGE_HEAD;
    w->timeline = w->page.timeline;
    return 1;
}

/* Where a record begins on the page that is loaded, as its head has it; 0: nowhere. */
static uint64_t first_on_page(const struct page *p)
{
    uint64_t offset = p->head;

    if (p->info & GOES_ON)
        offset += aligned(p->rest);
    return offset < WAL_PAGE ? p->at + offset : 0;
}

int wal_seek(struct wal_walk *w, uint64_t from, uint64_t to, uint64_t *at, struct err *err)
{
    uint64_t page = from - from % WAL_PAGE, first;
    int rc;

    w->segment = NULL;
    for (; page < to && page <= UINT64_MAX - WAL_PAGE; page += WAL_PAGE) {
        restart_walk(w, page);
        rc = load_page(w, page, err);
        if (rc < 0 || (rc == 0 && w->ending.end == WAL_END_MISSING))
            return rc;
        first = rc ? first_on_page(&w->page) : 0;
        if (first && first < to) {
            restart_walk(w, first);
            *at = first;
            return 1;
        }
    }
    return 0;
}

/* ---- records ---- */

static void read_head(struct wal_record *r)
{
    r->xid = get32(r->bytes + RECORD_XID);
    r->prev = get64(r->bytes + RECORD_PREV);
    r->info = r->bytes[RECORD_INFO];
    r->manager = r->bytes[RECORD_MANAGER];
}

/* What the record says of the one before it. In a segment used again, it may be from then. */
static int check_prev(struct wal_walk *w, const struct wal_record *r)
{
    if (w->prev ? r->prev == w->prev : r->prev < r->start)
        return 1;
    if (r->prev < w->prev)
        return end_walk(w, WAL_END_OLD, r->start, "a record is of an earlier use of the segment");
    return end_walk(w, WAL_END_BROKEN, r->start, "a record does not fit to the one before it");
}

/* The part of a record's head that is on the page where it begins: 8 bytes of it at least. */
static int check_begin(struct wal_walk *w, struct wal_record *r)
{
    r->length = get32(r->bytes + RECORD_LENGTH);
    if (is_zero(r->bytes, r->n < WAL_RECORD_HEAD ? r->n : WAL_RECORD_HEAD))
        return end_walk(w, WAL_END_ZEROS, r->start, "nothing was written");
    if (r->length < WAL_RECORD_HEAD || r->length > LONGEST)
        return end_walk(w, WAL_END_BROKEN, r->start, "a record has an impossible length");
    if (r->n < WAL_RECORD_HEAD)
        return 1;
    read_head(r);
    return check_prev(w, r);
}

static int check_crc(struct wal_walk *w, const struct wal_record *r)
{
    uint32_t crc = crc32c(r->bytes + WAL_RECORD_HEAD, r->length - WAL_RECORD_HEAD);

    if (crc32c_more(crc, r->bytes, RECORD_CRC) == get32(r->bytes + RECORD_CRC))
        return 1;
    return end_walk(w, WAL_END_BROKEN, r->start, "a record's checksum is wrong");
}

static void keep_piece(struct wal_walk *w, struct wal_record *r, const uint8_t *bytes, uint32_t n)
{
    size_t need = (size_t)r->n + n;

    if (w->room < need) {
        w->room = need < 2 * w->room ? 2 * w->room : need;
        w->joined = mem_resize(w->joined, w->room, 1);
    }
    memcpy(w->joined + r->n, bytes, n);
    r->n += n;
    r->bytes = w->joined;
}

static int unfinished(struct wal_walk *w, struct wal_record *r)
{
    if (r->n >= WAL_RECORD_HEAD)
        read_head(r);
    w->ending.instead = w->ending.end;
    w->ending.end = WAL_END_UNFINISHED;
    return 0;
}

/* A page more of the record; 0: the walk ends. */
static int join_page(struct wal_walk *w, struct wal_record *r, uint64_t at, struct err *err)
{
    uint32_t n = r->length - r->n;
    int rc = load_page(w, at, err);

    if (rc == 1 && w->page.info & OVERWRITES) {
        w->at = at;
        return AGAIN;
    }
    if (rc == 1 && !(w->page.info & GOES_ON && w->page.rest == n))
        rc = end_walk(w, WAL_END_BROKEN, at, "the rest of a record is not where it should be");
    if (rc == 0)
        return unfinished(w, r);
    if (rc < 0)
        return rc;
    if (n > WAL_PAGE - w->page.head)
        n = WAL_PAGE - w->page.head;
    keep_piece(w, r, w->page.bytes + w->page.head, n);
    r->end = at + w->page.head + aligned(n);
    return 1;
}

static int join_record(struct wal_walk *w, struct wal_record *r, struct err *err)
{
    uint64_t at = w->page.at;
    const uint8_t *begin = r->bytes;
    uint32_t n = r->n;
    int rc = 1;

    r->n = 0;
    keep_piece(w, r, begin, n);
    while (rc == 1 && r->n < r->length) {
        at += WAL_PAGE;
        rc = join_page(w, r, at, err);
    }
    return rc;
}

static bool is_switch(const struct wal_record *r)
{
    return r->manager == WAL_XLOG && (r->info & WAL_INFO) == WAL_XLOG_SWITCH;
}

/* The record is all there. */
static int check_whole(struct wal_walk *w, struct wal_record *r)
{
    uint64_t bytes = w->source.segment_bytes;
    int rc;

    read_head(r);
    rc = check_prev(w, r);
    if (rc == 1)
        rc = check_crc(w, r);
    if (rc <= 0)
        return rc;
    r->next = is_switch(r) ? (r->end + bytes - 1) / bytes * bytes : r->end;
    w->prev = r->start;
    w->at = r->next;
    return 1;
}

/* Where on its page the record begins; 0: nowhere. */
static uint32_t offset_of(struct wal_walk *w)
{
    uint32_t offset = (uint32_t)(w->at % WAL_PAGE);

    if (!offset)
        offset = w->page.head;
    if (offset == w->page.head && w->page.info & GOES_ON)
        end_walk(w, WAL_END_BROKEN, w->at, "the rest of a record is where one should begin");
    else if (offset < w->page.head || offset % 8)
        end_walk(w, WAL_END_BROKEN, w->at, "no record can begin");
    else
        return offset;
    return 0;
}

static int read_record(struct wal_walk *w, struct wal_record *r, struct err *err)
{
    uint32_t offset;
    int rc = load_page(w, w->at - w->at % WAL_PAGE, err);

    *r = (struct wal_record){0};
    if (rc <= 0)
        return rc;
    offset = offset_of(w);
    if (!offset)
        return 0;
    *r = (struct wal_record){.start = w->page.at + offset,
                             .timeline = w->page.timeline,
                             .major = w->page.major,
                             .bytes = w->page.bytes + offset,
                             .n = WAL_PAGE - offset};
    rc = check_begin(w, r);
    if (rc <= 0)
        return rc;
    if (r->n > r->length)
        r->n = r->length;
    r->end = r->start + aligned(r->length);
    if (r->n < r->length)
        rc = join_record(w, r, err);
    return rc == 1 ? check_whole(w, r) : rc;
}

int wal_next(struct wal_walk *w, struct wal_record *r, struct err *err)
{
    int rc;

    if (w->ending.end) /* more may be there now */
        w->segment = w->page.bytes = NULL;
    w->ending = (struct wal_ending){0};
    do
        rc = read_record(w, r, err);
    while (rc == AGAIN);
    return rc;
}
