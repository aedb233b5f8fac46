/*
 * What a record of the write-ahead log says (store/walwalk.h has the records): its parts, as
 * XLogRecordBlockHeader and what follows it in access/xlogrecord.h have them, and the few records
 * that matter for moments. Majors 14 to 18, which differ in what `major` is asked for below. Pure:
 * any bytes may be given, and a record that contradicts itself is none.
 */
#ifndef ASOFS_STORE_WALRECORD_H
#define ASOFS_STORE_WALRECORD_H

#include "store/walwalk.h"

/* Resource managers (access/rmgrlist.h, 14 to 18): whose record it is. */
enum wal_manager {
    WAL_XLOG = 0,
    WAL_XACT = 1,
    WAL_SMGR = 2,
    WAL_DBASE = 4,
    WAL_TBLSPC = 5,
    WAL_RELMAP = 7,
    WAL_STANDBY = 8,
    WAL_HEAP2 = 9,
    WAL_HEAP = 10
};

#define WAL_INFO 0xf0u /* the part of `info` that is the manager's (XLR_RMGR_INFO_MASK) */

/* Of WAL_XLOG (catalog/pg_control.h) */
enum {
    WAL_XLOG_SHUTDOWN = 0x00,
    WAL_XLOG_CHECKPOINT = 0x10,
    WAL_XLOG_SWITCH = 0x40,
    WAL_XLOG_RESTORE_POINT = 0x70,
    WAL_XLOG_END_OF_RECOVERY = 0x90
};

/* Of WAL_TBLSPC (commands/tablespace.h): a number, and the absolute path with its NUL. */
enum { WAL_TBLSPC_CREATE = 0x00, WAL_TBLSPC_DROP = 0x10 };

/* ---- the parts ---- */

/* A page that the record changes. */
struct wal_block {
    uint8_t id;   /* by which the record's own description names it */
    uint8_t fork; /* 0 main, 1 free space map, 2 visibility map, 3 init (common/relpath.h) */
    bool begins;  /* the page is made anew (BKPBLOCK_WILL_INIT) */
    uint32_t space, database, relation; /* RelFileLocator: pg_class.relfilenode is the last one */
    uint32_t number;
    const uint8_t *data; /* what is done to it */
    uint32_t n_data;
    const uint8_t *image; /* NULL: none. Without its hole, and perhaps compressed */
    uint32_t n_image;
    uint16_t hole, hole_bytes; /* hole_bytes is not known (0) of an image that is not compressed */
    uint8_t image_info;        /* bimg_info; its bits are others in 14 */
};

#define WAL_BLOCKS_MAX 33 /* XLR_MAX_BLOCK_ID is 32 */

struct wal_parts {
    struct wal_block blocks[WAL_BLOCKS_MAX];
    unsigned n_blocks;
    const uint8_t *data; /* the main data */
    uint32_t n_data;
    uint32_t top_xid; /* the transaction that r->xid is part of; 0: not said */
};

/* False: it contradicts itself, or is unfinished. The pointers are into the record. */
bool wal_read_parts(const struct wal_record *r, struct wal_parts *p);

/* ---- events ---- */

enum wal_event_kind {
    WAL_EVENT_NONE,
    WAL_EVENT_COMMIT,
    WAL_EVENT_ABORT,
    WAL_EVENT_PREPARE,
    WAL_EVENT_COMMIT_PREPARED,
    WAL_EVENT_ABORT_PREPARED,
    WAL_EVENT_RESTORE_POINT,
    WAL_EVENT_SHUTDOWN,        /* the checkpoint of a server that stopped, or ended recovery so */
    WAL_EVENT_CHECKPOINT,      /* of one that runs */
    WAL_EVENT_END_OF_RECOVERY, /* without a checkpoint */
    WAL_EVENT_SWITCH           /* the rest of the segment is not used */
};

#define WAL_NAME_MAX 64 /* MAXFNAMELEN, xl_restore_point's rp_name */

struct wal_event {
    enum wal_event_kind kind;
    /* Microseconds since 1970. Of a commit, abort or restore point what recovery_target_time is
     * compared with; of a checkpoint, whole seconds, in which it began. 0: it has none. */
    int64_t time_us;
    /* That ends or is prepared: what recovery_target_xid is compared with (of a prepared one its
     * own, not that of COMMIT PREPARED). 0: none. */
    uint32_t xid;
    char name[WAL_NAME_MAX];  /* of a restore point */
    uint64_t redo;            /* of a checkpoint */
    uint32_t timeline;        /* of a checkpoint, or end of recovery: which goes on from it, */
    uint32_t timeline_before; /* and which was left for it; the same: none */
};

/* False: the record is none of these (kind is WAL_EVENT_NONE), or contradicts itself. */
bool wal_read_event(const struct wal_record *r, struct wal_event *e);

#endif
