/*
 * What became of a transaction, in a cluster that is shut down: so what neither committed nor aborted
 * counts as aborted. Pages of pg_xact and pg_multixact are read when they are needed, and kept.
 * Thread safe; a lock is taken for the reading of a page alone.
 *
 * PostgreSQL: pg_xact (clog.c): two bits a transaction, 1 committed, four in a byte, the lowest first;
 * pg_multixact/offsets (multixact.c): a u32 a multixact; members: groups of four flag bytes and four
 * u32 transactions, 409 groups a page, flags 4 and 5 update. Pages of 8192 bytes, 32 a segment file
 * of four hexadecimal digits. Rows (htup_details.h): xmin u32 at 0, xmax u32 at 4, t_infomask u16 at 20.
 */
#ifndef ASOFS_RENDER_XACTS_H
#define ASOFS_RENDER_XACTS_H

#include <stdint.h>

#include "render/bytes.h"

enum render_slru { RENDER_XACT, RENDER_MULTI_OFFSETS, RENDER_MULTI_MEMBERS };

struct render_xacts_request {
    /* A page of 8192 bytes. 0; -ENOENT: there is no such page (any more); -errno. */
    int (*read)(void *arg, enum render_slru which, uint64_t page, char *bytes);
    void *arg;
    /* From pg_control. */
    uint64_t next_xid;   /* with its epoch */
    uint32_t oldest_xid; /* pg_xact may lack what is older */
    uint32_t next_multi, oldest_multi;
    uint32_t next_multi_offset;
};

struct render_xacts;
struct render_xacts *render_xacts_new(const struct render_xacts_request *r);
void render_xacts_free(struct render_xacts *x); /* NULL is fine */

/* 1, 0, or -EIO with *fault (a static text): a transaction that is not in pg_xact, or was never begun; or
 * another -errno of reading, also with *fault. */
int render_xacts_committed(struct render_xacts *x, uint32_t xid, const char **fault);

enum { /* t_infomask */
       RENDER_XMAX_KEYSHR_LOCK = 0x0010,
       RENDER_XMAX_EXCL_LOCK = 0x0040,
       RENDER_XMAX_LOCK_ONLY = 0x0080,
       RENDER_XMIN_COMMITTED = 0x0100,
       RENDER_XMIN_INVALID = 0x0200, /* with the one before: frozen */
       RENDER_XMAX_COMMITTED = 0x0400,
       RENDER_XMAX_INVALID = 0x0800,
       RENDER_XMAX_IS_MULTI = 0x1000,
       RENDER_MOVED = 0xc000 /* by VACUUM FULL before 9.0 */
};

/* The same as the two below, which see first to what is most frequent. */
int render_xacts_judge_insert(struct render_xacts *x, const char *row, const char **fault);
int render_xacts_judge(struct render_xacts *x, const char *row, const char **fault);

/* Was the row with this header (23 bytes) inserted, by a transaction that committed? 1, 0, or -errno with
 * *fault. */
static inline int render_xacts_inserted(struct render_xacts *x, const char *row, const char **fault)
{
    return bytes_u16(row + 20) & RENDER_XMIN_COMMITTED ? 1
                                                       : render_xacts_judge_insert(x, row, fault);
}

/* Is the row with this header (23 bytes) there, for everybody? 1, 0, or -errno with *fault. */
static inline int render_xacts_shows(struct render_xacts *x, const char *row, const char **fault)
{
    unsigned hints = RENDER_XMIN_COMMITTED | RENDER_XMAX_INVALID;

    return (bytes_u16(row + 20) & hints) == hints ? 1 : render_xacts_judge(x, row, fault);
}

#endif
