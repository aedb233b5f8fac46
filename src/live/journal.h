/*
 * The journal of an epoch: what names, sizes and births were when they first changed in it.
 *
 * On disk (names; host byte order): frames (pages/frames.h), whose id is the epoch's number
 *   payload: one or more records, each a u8 type and
 *     ENTRY  u64 directory, u64 id (0: there was no such name), u32 st_mode, u16 length, name
 *     SIZE   u64 id, u64 bytes
 *     BORN   u64 id              made in this epoch
 */
#ifndef ASOFS_LIVE_JOURNAL_H
#define ASOFS_LIVE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "pages/frames.h"

#define JOURNAL_MAGIC "ASOFSEPN"
#define JOURNAL_VERSION 1
#define JOURNAL_NAME "names"
#define JOURNAL_START FRAMES_START /* bytes of an empty one */

enum journal_type { JOURNAL_ENTRY = 1, JOURNAL_SIZE = 2, JOURNAL_BORN = 3 };

struct journal_record {
    enum journal_type type;
    uint64_t id;
    uint64_t dir;     /* ENTRY */
    uint64_t size;    /* SIZE */
    uint32_t mode;    /* ENTRY */
    const char *name; /* ENTRY; NUL-terminated, at most NAME_MAX bytes */
};

/* Pure: a whole journal in memory. `each` gets every record in order; a negative value ends the
 * walk and is returned. *good: bytes up to the end of the last whole frame. */
int journal_walk(const void *bytes, size_t len, uint64_t epoch,
                 int (*each)(void *arg, const struct journal_record *r), void *arg, uint64_t *good,
                 struct err *err);

struct journal; /* open for appending; not thread safe */

int journal_create(int dir, uint64_t epoch);

/* Walk the journal of the epoch's directory. -EIO: damage. */
int journal_read(int dir, uint64_t epoch, int (*each)(void *arg, const struct journal_record *r),
                 void *arg, uint64_t *good, struct err *err);

/* For appending after `size` bytes; the rest is cut off. */
int journal_open(int dir, uint64_t size, struct journal **j);

/* One frame: all of the records or, with a negative errno, none. */
int journal_append(struct journal *j, const struct journal_record *records, size_t n, bool sync);
void journal_close(struct journal *j);

#endif
