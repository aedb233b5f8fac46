/*
 * After a record's head: heads of blocks, other heads, the head of the main data; then, in the
 * same order, the bytes of each: a block's image, its data; the main data last.
 */
#include "store/walrecord.h"

#include <string.h>

/* What begins with this byte (access/xlogrecord.h); up to 32 it is a block of that number. */
enum {
    PART_TOP_XID = 252, /* XLR_BLOCK_ID_TOPLEVEL_XID: 4 bytes */
    PART_ORIGIN = 253,  /* XLR_BLOCK_ID_ORIGIN: 2 bytes */
    PART_LONG = 254,    /* XLR_BLOCK_ID_DATA_LONG: a length of 4 bytes */
    PART_SHORT = 255    /* XLR_BLOCK_ID_DATA_SHORT: of 1 byte */
};

/* fork_flags */
#define FORK 0x0fu      /* BKPBLOCK_FORK_MASK */
#define HAS_IMAGE 0x10u /* BKPBLOCK_HAS_IMAGE */
#define HAS_DATA 0x20u  /* BKPBLOCK_HAS_DATA */
#define BEGINS 0x40u    /* BKPBLOCK_WILL_INIT */
#define SAME 0x80u      /* BKPBLOCK_SAME_REL: as the block before */

/* bimg_info. An image that is compressed says how large its hole is, if it has one. */
#define HAS_HOLE 0x01u      /* BKPIMAGE_HAS_HOLE */
#define COMPRESSED_14 0x02u /* BKPIMAGE_IS_COMPRESSED of 14 */
#define COMPRESSED 0x1cu    /* BKPIMAGE_COMPRESS_PGLZ, _LZ4, _ZSTD from 15 on */

struct reading {
    const uint8_t *at, *end;
    bool bad;
};

/* The next n bytes; zeros, when there are not so many. n <= 16. */
static const uint8_t *next_bytes(struct reading *r, size_t n)
{
    static const uint8_t nothing[16];
    const uint8_t *p = r->at;

    if (r->bad || (size_t)(r->end - r->at) < n) {
        r->bad = true;
        return nothing;
    }
    r->at += n;
    return p;
}

static uint8_t take8(struct reading *r)
{
    return *next_bytes(r, 1);
}

static uint16_t take16(struct reading *r)
{
    uint16_t v;

    memcpy(&v, next_bytes(r, sizeof(v)), sizeof(v));
    return v;
}

static uint32_t take32(struct reading *r)
{
    uint32_t v;

    memcpy(&v, next_bytes(r, sizeof(v)), sizeof(v));
    return v;
}

static int64_t take64(struct reading *r)
{
    int64_t v;

    memcpy(&v, next_bytes(r, sizeof(v)), sizeof(v));
    return v;
}

static void skip(struct reading *r, uint64_t n)
{
    if (r->bad || (uint64_t)(r->end - r->at) < n)
        r->bad = true;
    else
        r->at += n;
}

/* ---- the parts ---- */

static void read_image_head(struct reading *r, unsigned major, struct wal_block *b)
{
    b->n_image = take16(r);
    b->hole = take16(r);
    b->image_info = take8(r);
    if (b->image_info & HAS_HOLE && b->image_info & (major == 14 ? COMPRESSED_14 : COMPRESSED))
        b->hole_bytes = take16(r);
}

static void read_block_head(struct reading *r, uint8_t id, unsigned major, struct wal_parts *p)
{
    struct wal_block *b = &p->blocks[p->n_blocks];
    uint8_t flags = take8(r);

    *b = (struct wal_block){.id = id, .fork = flags & FORK, .begins = flags & BEGINS};
    b->n_data = take16(r);
    if (flags & HAS_IMAGE)
        read_image_head(r, major, b);
    if (!(flags & SAME)) {
        b->space = take32(r);
        b->database = take32(r);
        b->relation = take32(r);
    } else if (p->n_blocks) {
        b->space = b[-1].space;
        b->database = b[-1].database;
        b->relation = b[-1].relation;
    } else
        r->bad = true;
    b->number = take32(r);
    if ((b->n_data != 0) != ((flags & HAS_DATA) != 0))
        r->bad = true;
    p->n_blocks++;
}

/* True: it was the last one. */
static bool read_part_head(struct reading *r, unsigned major, struct wal_parts *p)
{
    uint8_t id = take8(r);

    if (id == PART_SHORT)
        p->n_data = take8(r);
    else if (id == PART_LONG)
        p->n_data = take32(r);
    else if (id == PART_ORIGIN)
        take16(r);
    else if (id == PART_TOP_XID)
        p->top_xid = take32(r);
    else if (id < WAL_BLOCKS_MAX && p->n_blocks < WAL_BLOCKS_MAX)
        read_block_head(r, id, major, p);
    else
        r->bad = true;
    return id >= PART_LONG;
}

static const uint8_t *lay(struct reading *r, uint32_t n)
{
    const uint8_t *p = r->at;

    skip(r, n);
    return p;
}

/* How many bytes the heads that were read so far announce. */
static uint64_t announced(const struct wal_parts *p)
{
    uint64_t n = 0;
    unsigned i;

    for (i = 0; i < p->n_blocks; i++)
        n += (uint64_t)p->blocks[i].n_image + p->blocks[i].n_data;
    return n;
}

bool wal_read_parts(const struct wal_record *record, struct wal_parts *p)
{
    struct reading r = {.at = record->bytes + WAL_RECORD_HEAD,
                        .end = record->bytes + record->length,
                        .bad = record->n != record->length || record->n < WAL_RECORD_HEAD};
    struct wal_block *b;
    bool last = false;

    p->n_blocks = 0;
    p->data = NULL;
    p->n_data = p->top_xid = 0;
    while (!r.bad && !last && (uint64_t)(r.end - r.at) > announced(p))
        last = read_part_head(&r, record->major, p);
    if (r.bad || (uint64_t)(r.end - r.at) != announced(p) + p->n_data)
        return false;
    for (b = p->blocks; b < p->blocks + p->n_blocks; b++) {
        b->image = b->n_image ? lay(&r, b->n_image) : NULL;
        b->data = lay(&r, b->n_data);
    }
    p->data = lay(&r, p->n_data);
    return !r.bad;
}

/* ---- events ---- */

#define BEFORE_2000 INT64_C(946684800) /* seconds from 1970 on; TimestampTz counts from 2000 on */

static int64_t since_1970(int64_t timestamp)
{
    int64_t us;

    return __builtin_add_overflow(timestamp, BEFORE_2000 * 1000000, &us) ? 0 : us;
}

/* xinfo (access/xact.h): what follows it, in this order. */
enum {
    XINFO_DATABASE = 1, /* XACT_XINFO_HAS_DBINFO: 8 bytes */
    XINFO_PARTS = 2,    /* _SUBXACTS: a number, and 4 bytes each */
    XINFO_FILES = 4,    /* _RELFILELOCATORS: 12 */
    XINFO_STATS = 256,  /* _DROPPED_STATS, from 15 on: 12; 16 from 18 on */
    XINFO_MESSAGES = 8, /* _INVALS, of commits alone: 16 */
    XINFO_PREPARED = 16 /* _TWOPHASE: the transaction's number */
};

#define HAS_XINFO 0x80u /* XLOG_XACT_HAS_INFO, in info */

static void skip_list(struct reading *r, uint32_t xinfo, uint32_t flag, uint32_t each)
{
    if (xinfo & flag)
        skip(r, (uint64_t)take32(r) * each);
}

/* The number of the transaction that was prepared. r is past the time. */
static uint32_t prepared_xid(struct reading *r, const struct wal_record *record, bool commit)
{
    uint32_t xinfo = record->info & HAS_XINFO ? take32(r) : 0;

    if (xinfo & XINFO_DATABASE)
        skip(r, 8);
    skip_list(r, xinfo, XINFO_PARTS, 4);
    skip_list(r, xinfo, XINFO_FILES, 12);
    skip_list(r, xinfo, XINFO_STATS, record->major < 18 ? 12 : 16);
    if (commit)
        skip_list(r, xinfo, XINFO_MESSAGES, 16);
    return xinfo & XINFO_PREPARED ? take32(r) : 0;
}

/* xl_xact_commit and xl_xact_abort begin with the time, xl_xact_prepare with its own head. */
static bool read_transaction(const struct wal_record *record, struct reading *r,
                             struct wal_event *e)
{
    static const enum wal_event_kind kinds[8] = {WAL_EVENT_COMMIT, WAL_EVENT_PREPARE,
                                                 WAL_EVENT_ABORT, WAL_EVENT_COMMIT_PREPARED,
                                                 WAL_EVENT_ABORT_PREPARED};

    e->kind = kinds[record->info >> 4 & 7]; /* XLOG_XACT_OPMASK */
    e->xid = record->xid;
    if (e->kind == WAL_EVENT_PREPARE)
        skip(r, 16); /* magic, length, xid, database */
    if (e->kind)
        e->time_us = since_1970(take64(r));
    if (e->kind == WAL_EVENT_COMMIT_PREPARED || e->kind == WAL_EVENT_ABORT_PREPARED)
        e->xid = prepared_xid(r, record, e->kind == WAL_EVENT_COMMIT_PREPARED);
    return e->kind != WAL_EVENT_NONE;
}

/* CheckPoint (catalog/pg_control.h): the same up to its time in 14 to 18. */
static void read_checkpoint(struct reading *r, struct wal_event *e)
{
    e->redo = (uint64_t)take64(r);
    e->timeline = take32(r);
    e->timeline_before = take32(r);
    skip(r, 48); /* from fullPageWrites to oldestMultiDB */
    if (__builtin_mul_overflow(take64(r), 1000000, &e->time_us))
        e->time_us = 0;
}

static void read_restore_point(struct reading *r, struct wal_event *e)
{
    const uint8_t *name;

    e->time_us = since_1970(take64(r));
    name = lay(r, WAL_NAME_MAX);
    if (!r->bad)
        memcpy(e->name, name, WAL_NAME_MAX - 1);
}

static bool read_xlog(const struct wal_record *record, struct reading *r, struct wal_event *e)
{
    switch (record->info & WAL_INFO) {
    case WAL_XLOG_SHUTDOWN:
    case WAL_XLOG_CHECKPOINT:
        e->kind = record->info & WAL_INFO ? WAL_EVENT_CHECKPOINT : WAL_EVENT_SHUTDOWN;
        read_checkpoint(r, e);
        return true;
    case WAL_XLOG_RESTORE_POINT:
        e->kind = WAL_EVENT_RESTORE_POINT;
        read_restore_point(r, e);
        return true;
    case WAL_XLOG_END_OF_RECOVERY: /* xl_end_of_recovery (access/xlog_internal.h) */
        e->kind = WAL_EVENT_END_OF_RECOVERY;
        e->time_us = since_1970(take64(r));
        e->timeline = take32(r);
        e->timeline_before = take32(r);
        return true;
    case WAL_XLOG_SWITCH:
        e->kind = WAL_EVENT_SWITCH;
        return true;
    default:
        return false;
    }
}

bool wal_read_event(const struct wal_record *record, struct wal_event *e)
{
    struct reading r = {0};
    struct wal_parts parts;
    bool is = false;

    *e = (struct wal_event){0};
    if ((record->manager != WAL_XLOG && record->manager != WAL_XACT) ||
        !wal_read_parts(record, &parts))
        return false;
    r.at = parts.data;
    r.end = parts.data + parts.n_data;
    is = record->manager == WAL_XACT ? read_transaction(record, &r, e) : read_xlog(record, &r, e);
    if (r.bad)
        *e = (struct wal_event){0};
    return is && !r.bad;
}
