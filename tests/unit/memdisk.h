/*
 * A disk in memory (pages/disk.h) that fails, ends or fills up where a test wants it to.
 *
 * Files are sparse in blocks of 4096 bytes, as on ext4: a block is data once something was written
 * to it (zeros too) or once it was mapped `shared` and holds anything but zeros; allocated blocks
 * are holes to seek(). Maps are real ones: they stay valid when the file grows, `shared` ones are
 * the file's memory, and touching pages beyond the end is SIGBUS. Each file with contents takes one
 * file descriptor of the process.
 *
 * Paths: those of pages/disk.h; "" and "." are the root, which is there, as is "/". There are no
 * links. Time advances by a second with every changing operation, beginning at 1,000,000.
 *
 * Changing operations are counted: an open that makes the file, make_dir, remove, rename, sync_dir,
 * sync_all, write, truncate, allocate, set_times, sync, sync_map. One that is refused in any case
 * (-ENOENT
 * ...) is not. Stores to mapped memory are not seen.
 *
 * To try every point at which a process may end:
 *
 *   for (n = 1;; n++) {
 *       d = memdisk_new();            (or memdisk_copy of a prepared one)
 *       memdisk_die_after(d, n);
 *       ... do the work, close everything, whatever it returns ...
 *       if (!memdisk_dead(d)) break;  (n is after the last operation)
 *       memdisk_revive(d);
 *       ... open again and look ...
 *       d->ops->free(d);
 *   }
 *
 * Thread safe. Free the disk with d->ops->free when all its files are closed (it aborts otherwise).
 */
#ifndef ASOFS_TESTS_MEMDISK_H
#define ASOFS_TESTS_MEMDISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pages/disk.h"

#define MEMDISK_BLOCK 4096u

struct disk *memdisk_new(void);

/* Another disk with the same files; without faults, limit and open files. Not of a dead one. */
struct disk *memdisk_copy(struct disk *d);

/* Changing operations since the disk was made, those that failed by injection included. */
uint64_t memdisk_operations(struct disk *d);

/* The n-th changing operation from now on (1: the next) fails with -code (a positive errno) and
 * does nothing; those after it work again. n == 0: never mind. */
void memdisk_fail_after(struct disk *d, uint64_t n, int code);

/*
 * "The process has ended" at the n-th changing operation from now on: it does nothing and fails
 * with -EIO, as does everything after it, reading too (close and unmap work). What is stored to
 * mapped memory after that point is lost, so the work may be wound up by the ordinary close
 * functions. n == 0: never mind.
 */
void memdisk_die_after(struct disk *d, uint64_t n);

/* If the operation that fails or dies is a write, its first `bytes` bytes are done all the same (a
 * multiple of 512; a shorter write is done whole). Holds until it is set to 0. */
void memdisk_tear(struct disk *d, size_t bytes);

bool memdisk_dead(struct disk *d);

/* A new process: the files are as they were at the end of the old one. Files that are still open
 * from before go on failing with -EIO. */
void memdisk_revive(struct disk *d);

/* Room for so many bytes in all (whole blocks count; UINT64_MAX: no limit). Beyond it a write does
 * the part that fits and fails with -ENOSPC; allocate does nothing and fails. Stores to mapped
 * memory and memdisk_poke take no room. */
void memdisk_limit(struct disk *d, uint64_t bytes);

/* Bytes in blocks that hold data or are allocated. */
uint64_t memdisk_used(struct disk *d);

/*
 * Looking and damaging, past all faults and counters. The file must be there, else the test ends.
 * Poke makes it longer where necessary, and its blocks data; times stay. Flip turns one bit over.
 */
uint64_t memdisk_size(struct disk *d, const char *path);
void memdisk_peek(struct disk *d, const char *path, uint64_t offset, void *bytes, size_t len);
void memdisk_poke(struct disk *d, const char *path, uint64_t offset, const void *bytes, size_t len);
void memdisk_flip(struct disk *d, const char *path, uint64_t offset, unsigned bit);
void memdisk_cut(struct disk *d, const char *path, uint64_t size);
/* A file with just these bytes, made or written over. */
void memdisk_put(struct disk *d, const char *path, const void *bytes, size_t len);
bool memdisk_has(struct disk *d, const char *path); /* anything of that name */

#endif
