/*
 * One epoch on disk: what changes made since one freeze, until the next, have replaced.
 *
 * STORE/epoch/<number>/ (decimal; 0700):
 *   header      what it is and what became of it (header.h); replaced by renaming
 *   names       names, sizes and births: a journal (journal.h), each record before the change
 *   old/<id>    sparse: old pages, at their own offsets
 *   side/<id>   side page table of it (pages/side.h): which pages are there, and their CRC-32C
 *   kept/<id>   whole files, directories and links that have no live name any more
 *   wal/        the log of the frozen tree; others fill it
 * <id>: the inode number of the file, 16 hexadecimal digits.
 *
 * A page is written once: data, checksum, stored bit, fence, and only then the live page. So data
 * without a stored bit is absent, after a kill all bits hold, and nothing is announced or rebuilt.
 * After a crash of the operating system a durable epoch's stored page whose checksum does not hold
 * is absent, too: the live page was not yet written.
 *
 * The state on disk: *prepared* (the next freeze's, not yet made), open, given up (only the header
 * is of interest), dropped (not shown, but older freezes need it, or it is the newest: numbers are
 * not given twice).
 */
#ifndef ASOFS_LIVE_EPOCH_H
#define ASOFS_LIVE_EPOCH_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "live/header.h"
#include "live/journal.h"
#include "pages/disk.h"

#define EPOCH_KEPT_MAX 32 /* "kept/" and the id */

struct epoch {
    uint64_t number;
    int dir;           /* descriptor */
    struct disk *disk; /* the same directory */
    bool durable;
    bool unread;             /* its header is damaged: given up, with that as its cause */
    bool suspect;            /* the operating system crashed: stored pages are checked (durable) */
    bool emptied;            /* nothing is kept any more; covered by `tidying` (livestate.h) */
    atomic_bool saving;      /* what is changed while it is the newest is saved here */
    atomic_int state;        /* enum header_state; changed under `lock` */
    pthread_mutex_t lock;    /* covers header and journal */
    struct header header;    /* as on disk */
    struct journal *journal; /* NULL: it cannot be written any more */
    _Atomic uint64_t
        bytes; /* of pages and files kept; grows as they come, else from time to time */
    atomic_uint refs;
    struct epoch *older, *newer; /* of the list in livestate.h, under its lock */
};

/* What a process that was killed may have left of making or removing one. */
int epoch_clear_remains(int epochs);

/* A new one, prepared, below the directory `epochs`. */
int epoch_make(int epochs, uint64_t number, bool durable, struct epoch **e, struct err *err);

/* One that is there. Only its header is read. */
int epoch_open(int epochs, uint64_t number, struct epoch **e, struct err *err);

/* Replay the journal and open it for what is to come. A frame that was cut short at its end is not
 * there; other damage is -EIO in words. */
int epoch_replay(struct epoch *e, int (*each)(void *arg, const struct journal_record *r), void *arg,
                 struct err *err);

struct epoch *epoch_hold(struct epoch *e);
void epoch_release(struct epoch *e); /* the last one closes it; nothing on disk changes */

/* The header says this from now on; why: of a freeze that was given up, else NULL. */
int epoch_set_state(struct epoch *e, enum header_state state, const char *why);

/* Records that are there before what they tell of happens: one frame. Synced when durable. */
int epoch_say(struct epoch *e, const struct journal_record *records, size_t n);

void epoch_kept_path(char path[EPOCH_KEPT_MAX], uint64_t id); /* below the epoch's directory */

/* What it takes on the disk, counted anew. */
void epoch_measure(struct epoch *e);

/* Remove everything but header and directory; or all. */
int epoch_empty(struct epoch *e);
int epoch_remove(int epochs, struct epoch *e);

#endif
