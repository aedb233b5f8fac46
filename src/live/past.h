/*
 * What the epochs say of files: for each id that some epoch says something of, or a frozen tree
 * has open.
 *
 * A file's list of epochs is replaced, never changed: who reads it is within a phase (phase.h), and
 * what was replaced is freed after those that began before. A reader of freeze k looks at the epochs
 * from k on, oldest first.
 */
#ifndef ASOFS_LIVE_PAST_H
#define ASOFS_LIVE_PAST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "live/epoch.h"
#include "live/held.h"
#include "live/phase.h"
#include "live/table.h"
#include "pages/side.h"

enum old_storage { STORAGE_UNKNOWN, STORAGE_NONE, STORAGE_THERE };

/* One file in one epoch. */
struct old_file {
    struct epoch *epoch; /* held */
    uint64_t id;
    uint64_t size; /* of the file when it first changed in this epoch */
    atomic_uint refs;
    atomic_int storage; /* enum old_storage; changed under the past's `touching` */
    struct held held;
    struct disk_file *old; /* while it is pinned */
    struct side *side;
};

struct old_files {
    size_t n;
    struct old_file *of[]; /* oldest epoch first */
};

struct pasts {
    struct phase *phase;
    struct held_list held;
    pthread_mutex_t lock; /* covers by_id, refs */
    struct table by_id;
};

struct past {
    struct table_link by_id;
    struct pasts *all;
    unsigned refs;            /* also one while it has old files, and one while it is kept */
    pthread_mutex_t touching; /* covers changes of `files`, opening and making of storage */
    struct old_files *_Atomic files;
    struct epoch *kept; /* where the whole file is that has no name any more; covered by the tree's
                           lock (livestate.h) */
    struct held held;
    int fd; /* the file itself, while it is pinned */
};

void pasts_init(struct pasts *all, struct phase *phase);
void pasts_end(struct pasts *all); /* everything is freed, whoever still has it */

/* NULL: there is none (make: no memory). To be given back. */
struct past *past_get(struct pasts *all, uint64_t id, bool make);
void past_put(struct past *p);
struct past *past_hold(struct past *p);

/* All that `wanted` says yes to, each held; freed by the caller. *n of them. NULL: no memory. */
struct past **pasts_select(struct pasts *all, bool (*wanted)(const struct past *p, void *arg),
                           void *arg, size_t *n);

void past_set_kept(struct past *p, struct epoch *e); /* NULL: not any more */

/* The first old file of an epoch >= number, and the next ones; NULL: none. Within a phase. */
struct old_file *past_first(const struct past *p, uint64_t number);
struct old_file *past_of_epoch(const struct past *p, const struct epoch *e);

/* What epoch `e` says of the file that is open as fd: said (in its journal) if it was not yet. Held
 * for the caller. `touching` is locked. */
int past_touch(struct past *p, struct epoch *e, int fd, struct old_file **x);

/* `touching` is locked. Known from a journal, or taken over from another epoch. */
int past_add(struct past *p, struct epoch *e, uint64_t size, enum old_storage storage,
             struct old_file **x);
/* Not to be found any more. */
void past_drop(struct past *p, struct old_file *x);
/* `by` in place of x. */
int past_replace(struct past *p, struct old_file *x, struct epoch *e, struct old_file **by);

void old_file_release(struct past *p, struct old_file *x);

/* Its storage is open until old_file_unpin: 0, -ENOENT: it has none, or an error. `locked`:
 * `touching` is. */
int old_file_pin(struct past *p, struct old_file *x, bool locked);
void old_file_unpin(struct past *p, struct old_file *x);

/* The same, and made when there is none. `touching` is locked. */
int old_file_make(struct past *p, struct old_file *x);

/* A page into pinned storage: data, checksum, stored bit, fence. */
int old_file_put(struct old_file *x, uint64_t page, const void *bytes, size_t len, uint32_t crc);

#endif
