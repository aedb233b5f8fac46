/*
 * The shipped log: a directory of segments as pg_receivewal or an archive_command writes them
 * (24 hexadecimal digits; the last one with ".partial" while it is being received; <tli>.history).
 * What they mean is computed from names and sizes here; what is in them is for walwalk.h.
 */
#ifndef ASOFS_STORE_WAL_H
#define ASOFS_STORE_WAL_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "common/err.h"
#include "store/history.h"

struct wal_segment {
    uint32_t timeline;
    uint64_t number; /* LSN / segment size */
    bool partial;
    bool own;                /* wal_add_own */
    struct timespec written; /* mtime: when it came here, perhaps; of what is in it, nothing */
};

struct wal_list {
    struct wal_segment
        *segments; /* by number, then timeline; of a whole and a partial one the whole */
    size_t n;
    struct history *histories; /* by timeline */
    size_t n_histories;
    uint32_t segment_bytes;
};

/* Other files are left out; a segment of a wrong size (not partial) is refused by name. */
int wal_read(const char *dir, uint32_t segment_bytes, struct wal_list *l, struct err *err);
void wal_free(struct wal_list *l);

/*
 * The log as recovery of a base finds it: the segments of `l`, and of the base's own pg_wal those
 * that are not there, marked as such; so with the histories of `timeline`, on which the base can
 * first be shown, and of older ones: its recovery may begin on one of them. Whatever pg_wal has that
 * is not to be read adds nothing. Freed by wal_free; `l` stays as it is.
 */
void wal_add_own(const struct wal_list *l, const char *pg_wal, uint32_t timeline,
                 struct wal_list *all);

/*
 * The same for a freeze, whose own log was cut at `end`: if the whole segment of that was not kept,
 * nothing leads to what is after it. true: there was some; the segment that is missing, and the one
 * that is there after it.
 */
bool wal_end_with_own(struct wal_list *all, uint64_t end, struct wal_segment *missing,
                      struct wal_segment *there);

/*
 * The way: of all timelines whose history is there, the newest that comes through `at` on
 * `timeline` (itself, if there is none). Recovery is told to go there, and "on the way" below means
 * the parts of its ancestors and itself. Pure, as all that follows.
 */
uint32_t wal_newest(const struct wal_list *l, uint32_t timeline, uint64_t at);

/* `at` on `timeline` lies on a branch that was left: the newest timeline of all does not come by.
 */
bool wal_is_left(const struct wal_list *l, uint32_t timeline, uint64_t at, uint32_t *newest);

/* Its history is there. */
bool wal_has_history(const struct wal_list *l, uint32_t timeline);

/* Of the timelines on the way to `towards`, the one whose log holds `at`. */
uint32_t wal_timeline_at(const struct wal_list *l, uint32_t towards, uint64_t at);

/* The segment of that number that recovery reads on its way to `towards`; NULL: there is none. */
const struct wal_segment *wal_segment_at(const struct wal_list *l, uint32_t towards,
                                         uint64_t number);

/* The first segment of a timeline after `towards` of which no history tells where it began; NULL:
 * there is none. */
const struct wal_segment *wal_without_history(const struct wal_list *l, uint32_t towards);

/*
 * The run of segments without a gap from the one that holds `from` on, on the way from there to the
 * newest timeline: *end is the LSN after it (of a partial segment, its end: how much of it is log
 * its records can say: walreach.h). False: the segment that holds `from` is missing.
 */
bool wal_covers(const struct wal_list *l, uint32_t timeline, uint64_t from, uint64_t *end);

/* 24 digits and NUL, and back (-EINVAL: it is none). Of the first segment that is missing after a
 * run, the number is *end / segment_bytes. */
void wal_segment_name(uint32_t timeline, uint64_t number, uint32_t segment_bytes, char out[25]);
int wal_parse_name(const char *name, uint32_t segment_bytes, struct wal_segment *s);

#endif
