/*
 * Manifest: the files of a base as they were when it was added. Immutable and mapped read-only: a
 * file that nobody touches costs an entry and its name here (under 64 bytes for names of
 * PostgreSQL) and no other memory.
 *
 * On disk (base/<id>/files; host byte order, which the version tells):
 *   struct manifest_header, `count` entries, `text_bytes` bytes of text
 * The root is entry 0; its name is "". The entries of one directory follow each other, sorted by
 * the bytes of their names (strcmp), and the directories' contents follow each other as the
 * directories do (breadth first). Text, in the order of the entries and without gaps: the entry's
 * name and a NUL; after it, for symbolic links and outside directories, the target and a NUL.
 *
 * Symbolic links that stay inside the directory (relative, whatever links they go through:
 * pages/links.h) are kept as they are. Two kinds may lead outside; what they lead to is taken in:
 *
 * - pg_tblspc/<oid>: the link's target becomes "../.tablespaces/<oid>", and .tablespaces/<oid> is a
 *   directory with MANIFEST_OUTSIDE, which is read at the absolute path in its text.
 * - pg_wal becomes a directory with MANIFEST_OUTSIDE: the link itself is not seen.
 */
#ifndef ASOFS_PAGES_MANIFEST_H
#define ASOFS_PAGES_MANIFEST_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "pages/disk.h"

#define MANIFEST_MAGIC "ASOFSMAN"
#define MANIFEST_VERSION 1
#define MANIFEST_TABLESPACES ".tablespaces"
#define MANIFEST_NONE UINT32_MAX

struct manifest_header {
    char magic[8];
    uint32_t version;
    uint32_t count;
    uint64_t text_bytes;
    uint64_t id;         /* random: layers name the manifest they were made on */
    uint32_t crc;        /* CRC-32C of entries and text */
    uint32_t header_crc; /* CRC-32C of the fields above */
};

enum {
    MANIFEST_OUTSIDE = 1, /* a directory whose absolute path stands after its name */
    MANIFEST_MADE = 2,    /* made up (.tablespaces): nothing on disk to compare with */
};

struct manifest_entry {
    uint64_t inode;
    uint64_t size;    /* bytes; of a link as it is on disk, whatever its target has become */
    int64_t mtime_ns; /* since 1970; 0 for MANIFEST_MADE */
    int64_t ctime_ns;
    uint32_t name;     /* offset of its name in the text */
    uint32_t parent;   /* entry of its directory; 0 for the root */
    uint32_t first;    /* directory: its first entry. File: the entry that stands for it, itself or,
                          for further names of one file (hard links), the first of them */
    uint32_t children; /* directory: how many */
    uint16_t mode;     /* st_mode: S_IFDIR, S_IFREG or S_IFLNK, and permissions */
    uint16_t flags;
} __attribute__((packed, aligned(4)));

struct manifest;

/*
 * Walk a data directory and write the manifest of it to `path` of `out` (disk_replace_file).
 * Sockets, pipes and devices are left out. Refuses names of 256 bytes and more, and links that lead
 * outside anywhere else than said above, or to what is not a directory (named). The data directory
 * must not change meanwhile. For start-up: memory that is not there ends the process.
 */
int manifest_write(const char *directory, struct disk *out, const char *path, struct err *err);

/* Refuses what is damaged (-EIO) or of another version (-ENOTSUP); checks every number before it is
 * used. */
int manifest_open(struct disk *d, const char *path, struct manifest **m, struct err *err);

/* The same from memory (aligned as malloc does), which must outlive it (tests). */
int manifest_from_bytes(const void *bytes, uint64_t len, struct manifest **m, struct err *err);

void manifest_close(struct manifest *m);

uint64_t manifest_id(const struct manifest *m);
uint32_t manifest_entries(const struct manifest *m);
const struct manifest_entry *manifest_entry(const struct manifest *m, uint32_t i);
const char *manifest_name(const struct manifest *m, uint32_t i);
const char *manifest_target(const struct manifest *m, uint32_t i); /* of a link; "" of others */

/* The entry `name` of a directory, or MANIFEST_NONE. */
uint32_t manifest_find(const struct manifest *m, uint32_t dir, const char *name);

/* Where the file is: relative to the base's directory, or absolute below an outside one. Owned by
 * the caller; NULL: no memory. */
char *manifest_path(const struct manifest *m, uint32_t i);

/* A file, opened or not, against its entry: type, inode, size, mtime, ctime. An entry with
 * MANIFEST_MADE is always the same. */
bool manifest_same(const struct manifest_entry *e, const struct stat *st);

/*
 * Every entry against the directory it was made from. -ESTALE with the first file that differs
 * named, and what differs; files that were added show as a directory that differs. Other codes: it
 * could not be looked at.
 */
int manifest_check(const struct manifest *m, struct disk *base, struct err *err);

#endif
