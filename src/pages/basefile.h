/*
 * One file of the base: how its pages are read and, where the base takes that, written. A seam:
 *
 *   still (basefile_still)   never changes: it must still be the one that the manifest tells of, each
 *                            time that something of it was read. What is written goes into the
 *                            difference storage of the newest layer (pagewrite.c).
 *   one's own (datadir.h: open_base) a base that lives brings its own pair of read and write: what is
 *                            written goes into the base's file itself (inplace.c).
 *
 * A maker has a struct that begins with struct basefile, and fills in `ops` and `size`.
 */
#ifndef ASOFS_PAGES_BASEFILE_H
#define ASOFS_PAGES_BASEFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/err.h"
#include "pages/disk.h"
#include "pages/manifest.h"

struct basefile;

enum { BASEFILE_CHANGED = 1 };

/* Offsets and lengths in bytes; 0 or a negative errno. */
struct basefile_ops {
    /* len bytes, zeros beyond its end. Any thread, also while something else of it is written; of a
     * page that is being written, it is the maker's part that it is read whole, old or new.
     * BASEFILE_CHANGED: it is not the file any more that was added, and what was read counts for
     * nothing. */
    int (*read)(struct basefile *b, char *bytes, size_t len, uint64_t offset);
    int (*stat)(struct basefile *b, struct stat *st);
    void (*close)(struct basefile *b);

    /* ---- NULL, all of them, where the base is still ---- */

    /* Within one run of pages (filestate.h: RUN_PAGES, aligned), of which nothing else is written
     * meanwhile. The first to write a page may have to keep the old one: it can be read until the
     * call returns. All of it, or a negative errno. */
    int (*write)(struct basefile *b, const char *bytes, size_t len, uint64_t offset);
    int (*resize)(struct basefile *b, uint64_t size); /* nothing is written meanwhile */
    int (*set_times)(struct basefile *b, const struct timespec times[2]); /* as futimens(2) */
    int (*sync)(struct basefile *b);
};

struct basefile {
    const struct basefile_ops *ops;
    uint64_t size; /* when it was opened; bytes */
};

/* May b, which may be NULL, be written itself? */
static inline bool basefile_is_written(const struct basefile *b)
{
    return b && b->ops->write;
}

/* The file of an entry of the manifest; base and manifest are borrowed. */
typedef int basefile_opener(struct disk *base, const struct manifest *m, uint32_t entry,
                            struct basefile **result, struct err *err);

/* -EIO also when it is not the file that
 * was added. */
basefile_opener basefile_still;

#endif
