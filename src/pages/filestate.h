/*
 * An open file from inside: shared by pagefile.c, which opens and reads it, and pagewrite.c, which
 * writes it. Everybody else has pagefile.h.
 */
#ifndef ASOFS_PAGES_FILESTATE_H
#define ASOFS_PAGES_FILESTATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pages/basefile.h"
#include "pages/chain.h"
#include "pages/disk.h"
#include "pages/inflight.h"
#include "pages/page.h"
#include "pages/pagefile.h"
#include "pages/side.h"
#include "pages/stack.h"

#define RUN_PAGES INFLIGHT_PAGES /* of one write, and of one stripe lock */

struct pagefile {
    struct stack *stack;
    uint64_t id;

    pthread_rwlock_t resize;  /* writers share it, truncation has it alone */
    pthread_mutex_t touching; /* covers the making of difference storage in the newest layer */
    _Atomic uint64_t size;
    atomic_uint complaints;
    atomic_bool fresh; /* its storage was made, and the directories not synced since */

    /* The newest layer, NULL until the file has storage there; diff is set before side. */
    struct disk_file *_Atomic diff;
    struct side *_Atomic side;

    /* What lies below; does not change while the file is open. */
    struct chain below;
    struct disk_file *diffs[CHAIN_MAX];
    unsigned layers[CHAIN_MAX]; /* numbers of the layers in `below` */
    struct basefile *base;      /* NULL: the base has no such file */
};

/* The lock of the run that a page is in. Taken after `resize`. */
pthread_mutex_t *pagefile_stripe(struct pagefile *f, uint64_t page);

/* At least so large. */
void pagefile_grow(struct pagefile *f, uint64_t size);

/* inplace.c, for pagewrite.c: what is written of this file goes into the base. */
bool pagefile_is_in_place(struct pagefile *f);
int64_t pagefile_write_in_place(struct pagefile *f, const char *bytes, size_t len, uint64_t offset);
int pagefile_resize_in_place(struct pagefile *f, uint64_t size, bool only_larger);
int pagefile_set_times_in_place(struct pagefile *f, const struct timespec times[2]);

/* A whole page into bytes[PAGE_BYTES]. The caller holds the stripe lock or has the file alone: a
 * checksum that does not match is damage. */
int pagefile_read_locked(struct pagefile *f, uint64_t page, char *bytes);

/* Only the first few of an open file are said. */
void pagefile_complain(struct pagefile *f, uint64_t page, const char *what);

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

#endif
