/* Shared by datadir.c and pagefile.c only. */
#ifndef ASOFS_PAGES_INTERNAL_H
#define ASOFS_PAGES_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "pages/chain.h"
#include "pages/datadir.h"
#include "pages/inflight.h"
#include "pages/pagefile.h"

#define STRIPES 64
#define COMPLAINTS_MAX 10 /* of one open file */

/* What all files of a data directory share. */
struct datadir {
    struct datadir_options o;
    struct dirtree *tree;
    struct inflight *inflight;    /* of the newest layer */
    _Atomic uint64_t names_bytes; /* of its journal, as written */
    atomic_bool durable;
    pthread_mutex_t stripes[STRIPES]; /* of runs of pages (pagefile.c) */
    pthread_mutex_t lock;             /* covers files */
    struct open_file *files;          /* those that are open, by id */
};

struct pagefile {
    struct datadir *dir;
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
    struct disk_file *base;     /* NULL: the base has no such file */
    const struct manifest_entry *entry;
};

/* found NULL: unclean side page tables are left as they are, for pagefile_settle. */
int pagefile_open(struct datadir *d, const struct dirtree_node *node, struct pagefile **f,
                  struct side_findings *found, struct err *err);

/* The side page table becomes clean. */
void pagefile_close(struct pagefile *f);

/* Difference storage in the newest layer from now on. */
int pagefile_touch(struct pagefile *f);

/* After a write that did not end: each page is found as written, as before, or damaged (counted).
 */
int pagefile_settle(struct pagefile *f, uint64_t page, uint32_t n, const uint32_t *crc,
                    uint64_t *damaged);

int pagefile_stat(struct pagefile *f, struct stat *st); /* size, times */

void datadir_complain(struct datadir *d, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Where a layer keeps a file: its difference file and side page table. */
int datadir_remove_storage(struct datadir *d, uint64_t id);

#endif
