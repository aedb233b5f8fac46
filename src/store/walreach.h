/*
 * How far a log reaches, as its records say it: where the last one ends, and which time it proves.
 * A commit (or another record with a time) proves that everything that was committed before is in
 * front of it: times are taken just before their records are written.
 *
 * Read from the end backwards, as far as to a record with a time, so that it takes the same whatever
 * there is in front. What is damaged further in front only recovery finds.
 */
#ifndef ASOFS_STORE_WALREACH_H
#define ASOFS_STORE_WALREACH_H

#include "store/wal.h"

struct wal_reach {
    uint64_t end;      /* after the last record, or at the next segment after a switch; 0: none */
    uint64_t last;     /* where that record begins */
    uint32_t timeline; /* on which the log goes on at `end` */
    int64_t time_us;   /* the newest that is proved, since 1970; 0: none */
    uint64_t damaged;  /* there is more log there, and none that leads to it; 0: no */
};

/*
 * A log: the segments of `list`, which are in `dir`, or in `own` (wal_add_own; NULL: none), of that
 * cluster (0: any), from `from` on `timeline`, where a record begins, on the way to the newest
 * timeline, and up to the first gap. Records that begin at `before` or after do not count.
 */
struct wal_way {
    const struct wal_list *list;
    const char *dir, *own;
    uint64_t system;
    uint32_t timeline;
    uint64_t from, before;
};

/* 0, also when there is nothing; a segment that cannot be read is an error. */
int wal_reach(const struct wal_way *way, struct wal_reach *r, struct err *err);

/* The same by a walk from way->from on, over every record: nothing in front is damaged. */
int wal_reach_whole(const struct wal_way *way, struct wal_reach *r, struct err *err);

/* No record begins at way->from, though there is log after it, which nothing leads to: where that is.
 * 0: there is none, or a record begins there. */
int wal_find_left_out(const struct wal_way *way, uint64_t *there, struct err *err);

/* The first time that a record from way->from on proves: what is committed later is after that
 * place. Microseconds since 1970; 0: there is none, or a gap is before it. */
int wal_first_time(const struct wal_way *way, int64_t *time_us, struct err *err);

#endif
