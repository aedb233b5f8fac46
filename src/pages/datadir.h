/*
 * A data directory as of a split point: base, layers and the view's own difference storage in one.
 * This is what fs/pagefs serves, call by call.
 *
 * Opened for writing by one process at a time (the caller holds the lock of the view), or read-only
 * by many. A layer that was not closed is put right when it is next opened for writing (inflight.h,
 * side.h): everything that was acknowledged is there; read-only it is refused (-EBUSY). Thread
 * safe. Functions return 0 or a negative errno, those of the system call they serve; why a read
 * gave EIO is said once, in words, through `complain`.
 */
#ifndef ASOFS_PAGES_DATADIR_H
#define ASOFS_PAGES_DATADIR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "common/err.h"
#include "pages/basefile.h"
#include "pages/dirtree.h"
#include "pages/disk.h"
#include "pages/recovery.h"

struct datadir;
struct pagefile;

#define DATADIR_LAYERS 16 /* of a base, and the view's own */

struct datadir_options {
    struct disk *base;                   /* the base's directory, never written */
    const struct manifest *manifest;     /* its files; both borrowed */
    struct disk *layers[DATADIR_LAYERS]; /* directories of the layers, oldest first; borrowed */
    unsigned n_layers;                   /* at least 1; the last is the one that is written */
    bool read_only;
    bool check_base;            /* compare every file of the base with the manifest first */
    basefile_opener *open_base; /* of a base that lives (basefile.h); NULL: it is still */
    bool durable;               /* fsync is real; else a no-op, until datadir_complete */
    /* A fault found while serving: damaged page, base that changed, disk full. From any thread. */
    void (*complain)(void *arg, const char *text);
    void *arg;
};

/* A new layer in an empty directory. `hidden`: names in the root that are not shown
 * (NULL-terminated; those that the base lacks are ignored). */
int datadir_create_layer(struct disk *layer, const struct manifest *m, const char *const *hidden,
                         struct err *err);

int datadir_open(const struct datadir_options *o, struct datadir **d,
                 struct datadir_recovery *recovery, struct err *err);

/* Everything written and marked clean; all files must be closed. */
int datadir_close(struct datadir *d, struct err *err);

/* Everything on disk, in the order that makes it count; -EBUSY while files are open for writing. */
int datadir_complete(struct datadir *d, struct err *err);

struct dirtree *datadir_tree(struct datadir *d);

/* Of the base, random since it was added (manifest.h). */
uint64_t datadir_base_id(const struct datadir *d);

/* ---- names: as dirtree, and the storage of files that end with their last name ---- */

int datadir_stat(struct datadir *d, uint64_t id, struct stat *st); /* no uid, gid */
int datadir_lookup(struct datadir *d, uint64_t dir, const char *name, struct stat *st);
int datadir_make(struct datadir *d, uint64_t dir, const char *name, uint32_t mode,
                 const char *target, struct stat *st);
int datadir_link(struct datadir *d, uint64_t id, uint64_t dir, const char *name, struct stat *st);
int datadir_unlink(struct datadir *d, uint64_t dir, const char *name);
int datadir_rename(struct datadir *d, uint64_t dir, const char *name, uint64_t new_dir,
                   const char *new_name, unsigned flags);
int datadir_truncate(struct datadir *d, uint64_t id, uint64_t size);
int datadir_set_times(struct datadir *d, uint64_t id, const struct timespec times[2]);
int datadir_sync_names(struct datadir *d);

/* ---- open files: one pagefile however often it is opened ---- */

int datadir_open_file(struct datadir *d, uint64_t id, struct pagefile **f);
void datadir_close_file(struct datadir *d, struct pagefile *f);

/* Is what the base has of this file there, and still what was added? 0, also where the base has nothing of
 * it; or a negative errno: err says what became of it. */
int datadir_check_base(struct datadir *d, uint64_t id, struct err *err);

/* Space for people who ask (statvfs of the newest layer). */
struct statvfs;
int datadir_space(struct datadir *d, struct statvfs *s);

#endif
