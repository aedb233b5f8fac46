/*
 * A walk along the write-ahead log, record after record, as recovery reads it: by the records'
 * lengths, their checksums, and each one's knowledge of the one before. Where it ends, it says
 * where, and what lies there. What a record says is for store/walrecord.h.
 *
 * The bytes come from a callback, a segment at a time; nothing here opens a file or asks a clock.
 * Majors 14 to 18 are read alike: XLogPageHeaderData (access/xlog_internal.h) and XLogRecord
 * (access/xlogrecord.h) are the same in all of them, but for the number at the beginning of a page.
 * What recovery takes for a record is one here too, whatever it is called on: a walk never ends in
 * front of something that would be replayed.
 */
#ifndef ASOFS_STORE_WALWALK_H
#define ASOFS_STORE_WALWALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

#define WAL_PAGE 8192u       /* XLOG_BLCKSZ; a log of other pages is WAL_END_FOREIGN */
#define WAL_PAGE_HEAD 24u    /* SizeOfXLogShortPHD: in front of every page, */
#define WAL_SEGMENT_HEAD 40u /* SizeOfXLogLongPHD: of every segment's first */
#define WAL_RECORD_HEAD 24u  /* SizeOfXLogRecord */

struct wal_source {
    /*
     * The bytes of the segment of that number (LSN / segment_bytes), on the way that is to be
     * walked: which timeline's, is for the callback to know. They stay until the next call, which
     * comes for another segment, or when a walk begins, is sought or tried again. 1: there it is,
     * all of it or its beginning; 0: there is none; negative: err says why, and the walk ends with
     * it.
     */
    int (*segment)(void *arg, uint64_t number, const uint8_t **bytes, size_t *n, struct err *err);
    void *arg;
    uint32_t segment_bytes;
    uint64_t system; /* identifier of the cluster; 0: any */
};

struct wal_record {
    uint64_t start; /* of its first byte */
    uint64_t end; /* after its last one, aligned: what the server calls its end. On the border of a
                     page it is the border; see wal_after_head */
    uint64_t
        next; /* where the next one is looked for: the end, but the next segment after a switch */
    uint64_t prev;     /* start of the one before it, as it says itself */
    uint32_t timeline; /* of the page where it begins: on a page where one timeline was left for
                          another it is still the one that was left */
    unsigned major;    /* of PostgreSQL: 14 to 18 */
    uint32_t xid;
    uint8_t manager;      /* enum wal_manager */
    uint8_t info;         /* its own flags in the upper half */
    uint32_t length;      /* of all of it, its head too */
    const uint8_t *bytes; /* without the heads of pages; until the next call */
    uint32_t n;           /* so many; less than length only of one that is WAL_END_UNFINISHED */
};

enum wal_end {
    WAL_END_NONE,
    WAL_END_ZEROS,      /* nothing was written there */
    WAL_END_OLD,        /* what a segment had in it that was used again, or of a timeline before */
    WAL_END_MISSING,    /* no such segment, or not so much of it */
    WAL_END_UNFINISHED, /* a record begins there, and the rest of it does not follow: `instead` */
    WAL_END_BROKEN,     /* neither a record, nor nothing */
    WAL_END_FOREIGN /* log of another cluster, of other sizes, or of a PostgreSQL not known here */
};

struct wal_ending {
    enum wal_end end;
    enum wal_end instead; /* of an unfinished record: what is there in place of its rest */
    uint64_t at;          /* where the next record would begin (as `next` above) */
    uint64_t found_at;    /* what it was found by: `at`, or a page in which its rest should be */
    const char *why;      /* in words that complete "at LSN, …" */
};

struct wal_walk;

/* `source` is copied. */
struct wal_walk *wal_walk_new(const struct wal_source *source);
void wal_walk_free(struct wal_walk *w); /* NULL is fine */

/* A record begins there, or, where a page begins, after its head. A walk may begin anew. */
void wal_begin(struct wal_walk *w, uint64_t at);

/*
 * The first place from the page of `from` on, and before `to`, where a record begins as the heads
 * of pages have it. 1: the walk begins there, *at tells where; 0: there is none, or a segment is
 * missing on the way there; the walk has no place then. Pages that are not log are left out.
 */
int wal_seek(struct wal_walk *w, uint64_t from, uint64_t to, uint64_t *at, struct err *err);

/*
 * The next record, as it was written. 1: there it is; 0: the walk ends (wal_ending), and of an
 * unfinished record *r has what there is of it; negative: the source failed. A walk that ended can
 * be tried again, as more may have come.
 */
int wal_next(struct wal_walk *w, struct wal_record *r, struct err *err);

const struct wal_ending *wal_ending(const struct wal_walk *w);

/* The cluster's identifier in a segment's first page; false: it says none. */
bool wal_system(const uint8_t *segment, size_t n, uint64_t *system);

/* The head of a page (WAL_PAGE_HEAD bytes) says that it is the page at that place. No other is log:
 * a walk does not look at the rest of it. */
bool wal_page_is_at(const uint8_t *head, uint64_t at);

/* Where the segment begins, and its size, as its first page says it; false: that says nothing. (A
 * segment that is used again has the old place until its first page is written.) */
bool wal_segment_begins(const uint8_t *segment, size_t n, uint64_t *at, uint32_t *bytes);

/* A place on the border of a page as the server names it when a record begins there
 * (pg_current_wal_insert_lsn): after the page's head. Others are themselves. */
uint64_t wal_after_head(uint64_t at, uint32_t segment_bytes);

#endif
