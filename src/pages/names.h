/*
 * Names: the journal of a layer's names, an append-only file. What it says replaces what the layers
 * below say. One frame is one change of the tree: it is there whole, or not at all.
 *
 * On disk (names; host byte order): frames (frames.h), whose id is that of the base's manifest
 *   payload: one or more records, each a u8 type and
 *     NODE     u64 id, u32 st_mode, u64 parent (directories, else 0), i64 mtime in ns, u16 length,
 *              target (symbolic links, else nothing)
 *     ENTRY    u64 directory, u64 id (0: there is no such name), u16 length, name
 *     TOUCHED  u64 id           the file has difference storage in this layer
 *     NEXT     u64 id           numbers below it were given out already
 * Ids are unique in a chain of layers: entry i of the manifest has id i + 1 (the root is 1), later
 * files the numbers after those.
 */
#ifndef ASOFS_PAGES_NAMES_H
#define ASOFS_PAGES_NAMES_H

#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "pages/disk.h"
#include "pages/frames.h"

#define NAMES_MAGIC "ASOFSNAM"
#define NAMES_VERSION 1
#define NAMES_TEXT_MAX 4095u /* bytes of a target */

enum names_type { NAMES_NODE = 1, NAMES_ENTRY = 2, NAMES_TOUCHED = 3, NAMES_NEXT = 4 };

struct names_record {
    enum names_type type;
    uint64_t id;
    uint64_t dir;     /* ENTRY: the directory. NODE: the parent */
    uint32_t mode;    /* NODE */
    int64_t mtime_ns; /* NODE */
    const char *text; /* NODE: target. ENTRY: name. NUL-terminated */
};

size_t names_record_bytes(const struct names_record *r);

/* Append a record to a payload that is being put together. Needs no memory when the buffer has room
 * for names_record_bytes and one more. */
void names_put(struct buf *payload, const struct names_record *r);

/*
 * Walk the frames of a whole journal in memory (header included). `each` gets every record in
 * order; a negative value ends the walk and is returned. *good: bytes up to the end of the last
 * whole frame. Refuses names that are empty, ".", "..", hold "/" or are 256 bytes and longer.
 */
int names_walk(const void *bytes, size_t len, uint64_t manifest_id,
               int (*each)(void *arg, const struct names_record *r, struct err *err), void *arg,
               uint64_t *good, struct err *err);

struct names; /* a journal open for appending; not thread safe: dirtree's lock covers it */

/* A new, empty journal at `path`. */
int names_create(struct disk *d, const char *path, uint64_t manifest_id, struct err *err);

/* Open for appending after `size` bytes (as *good of names_walk says); the rest is cut off. */
int names_open(struct disk *d, const char *path, uint64_t size, struct names **n, struct err *err);

/* One frame. 0, or a negative errno and the journal is as before. */
int names_append(struct names *n, const struct buf *payload);

uint64_t names_size(const struct names *n); /* bytes */
int names_sync(struct names *n);            /* its directory too, when it was replaced */
void names_close(struct names *n);

/*
 * Replace the journal by another with these frames (each a payload), synced and renamed over it;
 * `n` goes on with it. On failure the old one stays. `before` (may be NULL) is called right before
 * the renaming with the size of the new one: who keeps the acknowledged size elsewhere must lower
 * it before the shorter journal can be seen. A journal that was broken (names_append) is whole
 * again.
 */
int names_replace(struct names *n, const struct buf *payloads, size_t count, uint64_t manifest_id,
                  void (*before)(void *arg, uint64_t size), void *arg);

#endif
