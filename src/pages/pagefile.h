/*
 * One open file of a data directory: its pages come from the newest layer that has them. Offsets
 * and sizes in bytes. Thread safe:
 *
 * - reads take no lock. A page that is overwritten meanwhile fails its checksum and is read again
 *   under its stripe lock.
 * - writes share `resize`, and hold the stripe lock of each run of pages (up to 32, aligned).
 * - truncation has `resize` for itself.
 */
#ifndef ASOFS_PAGES_PAGEFILE_H
#define ASOFS_PAGES_PAGEFILE_H

#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "common/err.h"
#include "pages/dirtree.h"
#include "pages/side.h"

struct pagefile;
struct stack;

uint64_t pagefile_id(const struct pagefile *f); /* of its node in the tree */
uint64_t pagefile_size(const struct pagefile *f);

/* Bytes read (less than len only at the end), or -EIO: a page whose checksum does not match, a base
 * that changed, an unreadable disk. */
int64_t pagefile_read(struct pagefile *f, void *bytes, size_t len, uint64_t offset);

/* Bytes written, less than len when the disk became full on the way, or a negative errno. */
int64_t pagefile_write(struct pagefile *f, const void *bytes, size_t len, uint64_t offset);

int pagefile_truncate(struct pagefile *f, uint64_t size);

/* mode 0 or FALLOC_FL_KEEP_SIZE; others are -EOPNOTSUPP. */
int pagefile_allocate(struct pagefile *f, int mode, uint64_t offset, uint64_t len);

/* Real when the data directory is durable or completed; else nothing. */
int pagefile_sync(struct pagefile *f);

/* Where a page comes from, for people: index of the layer (0 the oldest), CHAIN_BASE or CHAIN_ZERO.
 */
int pagefile_place(const struct pagefile *f, uint64_t page);

/* ---- for who keeps the open files (datadir.c), and puts them right (recovery.c) ---- */

/* found NULL: unclean side page tables are left as they are, for pagefile_settle. */
int pagefile_open(struct stack *s, const struct dirtree_node *node, struct pagefile **f,
                  struct side_findings *found, struct err *err);

/* The side page table becomes clean. */
void pagefile_close(struct pagefile *f);

/* After a write that did not end: each page is found as written, as before, or damaged (counted).
 */
int pagefile_settle(struct pagefile *f, uint64_t page, uint32_t n, const uint32_t *crc,
                    uint64_t *damaged);

int pagefile_stat(struct pagefile *f, struct stat *st); /* size, times */

/* As utimensat. */
int pagefile_set_times(struct pagefile *f, const struct timespec times[2]);

#endif
