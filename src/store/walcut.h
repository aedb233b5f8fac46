/*
 * The log that a frozen moment is recovered from: copied out of the pg_wal of a server that goes on
 * writing it, and cut where it ended. Recovery finds its end there, and nowhere else.
 */
#ifndef ASOFS_STORE_WALCUT_H
#define ASOFS_STORE_WALCUT_H

#include "store/walreach.h"

/*
 * From `from` on `timeline`, where a record begins, to the end of the log that is in `pg_wal` now:
 * its segments, the last one with zeros after that end, and the histories of timelines, are copied
 * into the directory `to`, which has none, and synced. Then the copy is walked, record after
 * record: it has to end exactly there. r: of the copy.
 *
 * With `link`, whole segments are linked instead of copied. What was made ready for log to come, and
 * has none, is not looked at.
 *
 * The end is not before anything that was flushed when this was called. -EAGAIN: a segment was used
 * again by the server before it was copied. On failure what was copied is removed.
 */
struct walcut {
    const char *pg_wal, *to;
    uint64_t system; /* identifier of the cluster */
    uint32_t segment_bytes, timeline;
    uint64_t from;
    bool link; /* what has a link is not used again: whole segments are linked instead of copied */
};
int wal_cut(const struct walcut *cut, struct wal_reach *r, struct err *err);

#endif
