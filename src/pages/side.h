/*
 * The side page table of one file in one layer: for each page whether the difference file holds it
 * (*stored*), whether its region has space (*allocated*), and the CRC-32C of what is stored.
 *
 * On disk (side/<id>; host byte order): blocks of 4096 bytes, struct side_block; block b is about
 * pages [b * SIDE_PAGES, (b + 1) * SIDE_PAGES). A block that was never needed is a hole: all zeros.
 * Block 0 is always there. 34.7 bits a page.
 *
 * The header of a block is covered by header_crc; bits and checksums by body_crc while `clean` is
 * set. Values that change while the table is in use are sealed: 32 bits of value and the CRC-32C of
 * it in one 64-bit word, so that the end of a process never finds half of them. The first change of
 * a block clears `clean`, side_close sets it. A block found without it, or with a body that does
 * not match, is rebuilt from the difference file: a page with data whose checksum matches is
 * stored; data or a stored bit that nothing vouches for is damage, and reading it is EIO, never the
 * page below in its stead.
 *
 * In memory the blocks are mapped and the same: readers need no lock. A page's checksum is set
 * before its stored bit (release), and read after it (acquire). Changes of one page are for the
 * caller to order (pagefile's stripe locks).
 */
#ifndef ASOFS_PAGES_SIDE_H
#define ASOFS_PAGES_SIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "pages/disk.h"

#define SIDE_MAGIC 0x54505341u /* "ASPT" */
#define SIDE_VERSION 1
#define SIDE_PAGES 944u
#define SIDE_BLOCK 4096u
#define SIDE_MAX_PAGES (UINT32_MAX - 1) /* nearly 32 TiB */
#define SIDE_NO_LIMIT UINT32_MAX

struct side_block {
    uint32_t magic;
    uint16_t version;
    uint16_t clean;  /* 1: body_crc holds. Not covered by header_crc */
    uint64_t file;   /* id */
    uint64_t limit;  /* block 0, sealed: pages from it on are not looked for in the layers below */
    uint64_t used;   /* block 0, sealed: at least so many blocks are in use */
    uint32_t number; /* of the block */
    uint32_t header_crc; /* CRC-32C of magic, version, file and number */
    uint32_t body_crc;   /* CRC-32C of the three arrays */
    uint32_t unused[10];
    uint8_t stored[SIDE_PAGES / 8]; /* bit p % 8 of byte p / 8 */
    uint8_t allocated[SIDE_PAGES / 8];
    uint32_t crc[SIDE_PAGES]; /* 0: none */
};

struct side;

/* A new table for a file of `pages` pages; `limit` as above. */
int side_create(struct disk *d, const char *path, uint64_t file, uint64_t limit, uint64_t pages,
                struct side **s, struct err *err);

/*
 * Open a table for a difference file of `pages` pages. Refuses (-EIO) a damaged header, another
 * version, another file's table, one too short for `pages`. `shared`: for writing; else changes
 * (a rebuild) stay in memory.
 */
int side_open(struct disk *d, const char *path, uint64_t file, uint64_t pages, bool shared,
              struct side **s, struct err *err);

/* Blocks that side_open found without a body that holds. */
uint64_t side_unclean_blocks(const struct side *s);

struct side_findings {
    uint64_t rebuilt;       /* blocks */
    uint64_t damaged;       /* pages that no checksum vouches for */
    uint64_t first_damaged; /* number of the first of them */
};

/* Rebuild the unclean blocks from the difference file; findings are added up. */
int side_rebuild(struct side *s, struct disk_file *diff, struct side_findings *found,
                 struct err *err);

/*
 * The rule of an epoch (live/epoch.h), whose pages are written once: after the end of a process all
 * bits hold, and there is nothing to rebuild. check: after the end of the operating system a stored
 * page whose checksum does not hold is absent; `pages` are looked at.
 */
int side_accept(struct side *s, struct disk_file *diff, uint64_t pages, bool check);

/* What a page is, from what is known of it. Pure. */
enum side_verdict { SIDE_ABSENT, SIDE_STORED, SIDE_DAMAGED };
enum side_verdict side_judge(bool data, uint32_t crc_kept, uint32_t crc_found, bool all_zero);

/* ---- readers: lock-free ---- */

bool side_stored(const struct side *s, uint64_t page);
uint32_t side_crc(const struct side *s, uint64_t page); /* of a stored page */
uint64_t side_limit(const struct side *s);
bool side_stored_from(const struct side *s, uint64_t page); /* that page or any after it */

/* ---- writers ---- */

/* Room for `pages` pages: the file may have that size afterwards. */
int side_cover(struct side *s, uint64_t pages);

/* Space for the entries of these pages, so that setting them cannot fail. Thread safe. */
int side_prepare(struct side *s, uint64_t page, uint64_t n);

void side_set(struct side *s, uint64_t page, uint32_t crc); /* stored and allocated */
void side_set_allocated(struct side *s, uint64_t page, uint64_t n);
void side_clear_from(struct side *s, uint64_t page); /* that page and all after it */
void side_clear(struct side *s, uint64_t page);
void side_lower_limit(struct side *s, uint64_t limit); /* no effect if it is lower already */

int side_sync_page(struct side *s, uint64_t page); /* its block reaches the disk as it is */
int side_sync(struct side *s);     /* makes the blocks clean; nobody writes meanwhile */
void side_close(struct side *s);   /* of a shared one: makes the blocks clean */
void side_abandon(struct side *s); /* as if the process had ended: blocks stay as they are */

#endif
