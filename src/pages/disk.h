/*
 * pages/: the page layer. A base (a data directory that is never written) plus difference storage
 * is presented as a writable data directory, page granular. The room knows files and pages and
 * nothing of PostgreSQL, FUSE or stores; it may be called from all rooms that know data directories
 * and calls only common/ (and ISA-L for CRC-32C).
 *
 *   disk       files below one directory, as callbacks: the only way to the outside
 *   page       the size of a page and its checksum
 *   manifest   the files of a base as they were when it was added
 *   links      its symbolic links, resolved
 *   names      the journal of a layer's names
 *   dirtree    the tree of names: the base's, changed by the layers' journals
 *   side       the side page table of one file in one layer
 *   inflight   what was being written when a process ended
 *   chain      page -> layer
 *   layer      the directory that holds one layer: names, inflight, diff/, side/
 *   stack      base and layers, and what all open files share
 *   basefile   one file of the base: still the one that was added, or one that takes writes
 *   pagefile   one open file: read, write, truncate
 *   recovery   a layer that was not closed is put right
 *   datadir    the whole data directory: what fs/pagefs serves
 *
 * Disk: files below one directory. Two implementations: the file system, and (tests) memory, which
 * fails or ends where a test wants it to. Offsets and lengths in bytes. Functions return 0 or a
 * negative errno unless they say otherwise. A file may be used from several threads at once.
 */
#ifndef ASOFS_PAGES_DISK_H
#define ASOFS_PAGES_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

struct disk {
    const struct disk_ops *ops;
};

struct disk_file {
    const struct disk_ops *ops;
};

enum {
    DISK_WRITE = 1,     /* else read-only */
    DISK_CREATE = 2,    /* with DISK_WRITE: made when missing, mode 0600 */
    DISK_EXCLUSIVE = 4, /* with DISK_CREATE: -EEXIST when it is there */
};

struct disk_ops {
    /* Paths are relative to the directory; an absolute path stands for itself. */
    int (*open)(struct disk *d, const char *path, unsigned flags, struct disk_file **f);
    int (*make_dir)(struct disk *d, const char *path); /* mode 0700 */
    int (*remove)(struct disk *d, const char *path);   /* a file */
    int (*rename)(struct disk *d, const char *from, const char *to);
    int (*stat)(struct disk *d, const char *path, struct stat *st); /* links are not followed */
    /* Calls `each` for every name but "." and ".."; a value other than 0 ends the walk and is
     * returned. */
    int (*list)(struct disk *d, const char *path, int (*each)(void *arg, const char *name),
                void *arg);
    int (*sync_dir)(struct disk *d, const char *path);
    int (*sync_all)(struct disk *d); /* all files of the file system (syncfs) */
    int (*space)(struct disk *d, struct statvfs *s);
    void (*free)(struct disk *d);

    /* Bytes read, less than len only at the end of the file, or a negative errno. */
    int64_t (*read)(struct disk_file *f, void *bytes, size_t len, uint64_t offset);
    int (*write)(struct disk_file *f, const void *bytes, size_t len, uint64_t offset);
    int (*truncate)(struct disk_file *f, uint64_t size);
    int (*allocate)(struct disk_file *f, int mode, uint64_t offset,
                    uint64_t len); /* fallocate(2) */
    /* The next data or hole at or after offset (SEEK_DATA, SEEK_HOLE); -ENXIO: none before the end
     */
    int64_t (*seek)(struct disk_file *f, uint64_t offset, int whence);
    int (*file_stat)(struct disk_file *f, struct stat *st);
    int (*set_times)(struct disk_file *f, const struct timespec times[2]); /* as futimens(2) */
    int (*sync)(struct disk_file *f);                                      /* contents and size */
    /*
     * Memory that shows the file, readable and writable; with `shared` what is stored there reaches
     * the file, else it stays with the process. Offset and length are multiples of 4096; bytes
     * beyond the end of the file must not be touched. NULL: errno says why.
     */
    void *(*map)(struct disk_file *f, uint64_t offset, size_t len, bool shared);
    void (*unmap)(struct disk_file *f, void *memory, size_t len);
    int (*sync_map)(struct disk_file *f, void *memory, size_t len); /* msync: as sync does */
    void (*close)(struct disk_file *f);
};

/* The file system below a directory; the path is kept open, not looked up again. What is
 * made is of who makes it: root first becomes the owner of what he works on (pg/identity.h). */
int disk_posix(const char *path, struct disk **d);
int disk_posix_at(int dir, const char *path, struct disk **d); /* path below `dir` */

/* A whole small file; *bytes is freed by the caller and has a NUL after its end. -EFBIG above max.
 */
int disk_read_file(struct disk *d, const char *path, size_t max, char **bytes, size_t *len);

/* Written beside, synced, renamed over `path`: readers see the old or the new one. */
int disk_replace_file(struct disk *d, const char *path, const void *bytes, size_t len);

#endif
