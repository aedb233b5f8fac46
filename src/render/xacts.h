/*
 * What became of a transaction, in a cluster that is shut down: so what neither committed nor aborted
 * counts as aborted. Pages of pg_xact and pg_multixact are read when they are needed, and kept.
 * Thread safe.
 *
 * PostgreSQL: pg_xact (clog.c): two bits a transaction, 1 committed, four in a byte, the lowest first;
 * pg_multixact/offsets (multixact.c): a u32 a multixact; members: groups of four flag bytes and four
 * u32 transactions, 409 groups a page, flags 4 and 5 update. Pages of 8192 bytes, 32 a segment file
 * of four hexadecimal digits.
 */
#ifndef ASOFS_RENDER_XACTS_H
#define ASOFS_RENDER_XACTS_H

#include <stdint.h>

enum render_slru { RENDER_XACT, RENDER_MULTI_OFFSETS, RENDER_MULTI_MEMBERS };

struct render_xacts_request {
    /* A page of 8192 bytes. 0; -ENOENT: there is no such page (any more); -errno. */
    int (*read)(void *arg, enum render_slru which, uint64_t page, char *bytes);
    void *arg;
    /* From pg_control. */
    uint64_t next_xid;    /* with its epoch */
    uint32_t oldest_xid;  /* pg_xact may lack what is older */
    uint32_t next_multi, oldest_multi;
    uint32_t next_multi_offset;
};

struct render_xacts;
struct render_xacts *render_xacts_new(const struct render_xacts_request *r);
void render_xacts_free(struct render_xacts *x); /* NULL is fine */

/* 1, 0, or -EIO with *fault: a transaction that is not in pg_xact, or was never begun; or -errno. */
int render_xacts_committed(struct render_xacts *x, uint32_t xid, const char **fault);

/* Is the row with this header (23 bytes; htup_details.h) there, for everybody? 1, 0, or -errno with
 * *fault. */
int render_xacts_shows(struct render_xacts *x, const char *row, const char **fault);

#endif
