/*
 * A disk that loses what was not synced: for cases in which the operating system ends. Serves, in the
 * foreground, until it is unmounted:
 *
 *   DIR/disk    a disk of the size of IMAGE, for a loop device. A sync brings all that was written
 *               before it into IMAGE; until then it is here alone.
 *   DIR/crash   opening it ends all, at once or instead of the next sync that has something to do, when
 *               most is lost: of what was not synced, chance decides what reaches IMAGE, piece
 *               by piece (also of 512 bytes, so that pages are torn) or until some moment; it
 *               reads as what became of it. From then on nothing is written or synced any more (EIO),
 *               so nobody is told that something lasts which does not.
 *
 * usage: losingdisk IMAGE DIR SEED
 */
#define FUSE_USE_VERSION 312

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DISK 2
#define CRASH 3
#define FOREVER 86400.0
#define SECTOR 512u
#define PAGE 4096u

struct written {
    struct written *next;
    uint64_t offset;
    size_t len;
    char bytes[];
};

/* One thread serves. */
static int image;
static uint64_t size;
static char *now; /* the disk as it is read: a private mapping of the image */
static struct written *first, **last = &first;
static size_t unsynced, kept, pieces;
static bool crashed;
static fuse_req_t waiting; /* who opened `crash`, until the next sync */
static struct fuse_file_info waiting_info;
static char outcome[160];

/* ---- what is lost ---- */

static bool chance(unsigned percent)
{
    return (unsigned)(random() % 100) < percent;
}

static int reach_image(const struct written *w, size_t from, size_t len)
{
    ssize_t n = pwrite(image, w->bytes + from, len, (off_t)(w->offset + from));

    return n == (ssize_t)len ? 0 : -EIO;
}

/* In pieces of so many bytes. */
static void lose_pieces(const struct written *w, size_t piece, unsigned percent)
{
    size_t from, len;

    for (from = 0; from < w->len; from += len) {
        len = w->len - from < piece ? w->len - from : piece;
        pieces++;
        if (chance(percent) && reach_image(w, from, len) == 0)
            kept++;
    }
}

static void crash(void)
{
    static const unsigned percents[] = {0, 10, 50, 90, 100};
    static const size_t sizes[] = {SECTOR, PAGE, SIZE_MAX};
    unsigned percent = percents[random() % 5];
    size_t piece = sizes[random() % 3], until = unsynced ? (size_t)random() % unsynced : 0, i = 0;
    bool in_order = chance(25);
    const struct written *w;

    crashed = true;
    for (w = first; w; w = w->next, i++)
        lose_pieces(w, piece, !in_order ? percent : i < until ? 100 : i > until ? 0 : 50);
    snprintf(outcome, sizeof(outcome),
             "%zu writes were not synced; %zu of %zu pieces (%s, %s) are kept\n", unsynced, kept,
             pieces,
             piece == SIZE_MAX ? "whole"
             : piece == PAGE   ? "4096"
                               : "512",
             in_order ? "in their order" : "by chance");
}

/* ---- the disk ---- */

static int sync_disk(void)
{
    struct written *w;

    if (crashed)
        return -EIO;
    while ((w = first)) {
        if (reach_image(w, 0, w->len) < 0)
            return -EIO;
        first = w->next;
        free(w);
    }
    last = &first;
    unsynced = 0;
    return 0;
}

static int write_disk(const char *bytes, size_t len, uint64_t offset)
{
    struct written *w;

    if (crashed)
        return -EIO;
    if (offset > size || len > size - offset)
        return -ENOSPC;
    w = malloc(sizeof(*w) + len);
    if (!w)
        return -ENOMEM;
    *w = (struct written){.offset = offset, .len = len};
    memcpy(w->bytes, bytes, len);
    memcpy(now + offset, bytes, len);
    *last = w;
    last = &w->next;
    unsynced++;
    return 0;
}

static int open_disk(const char *path)
{
    struct stat st;

    image = open(path, O_RDWR | O_CLOEXEC);
    if (image < 0 || fstat(image, &st) < 0)
        return -errno;
    size = (uint64_t)st.st_size;
    now = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, image, 0);
    return now == MAP_FAILED ? -errno : 0;
}

/* ---- requests ---- */

static struct stat attributes(fuse_ino_t ino)
{
    return (struct stat){.st_ino = ino,
                         .st_nlink = 1,
                         .st_mode = ino == FUSE_ROOT_ID ? S_IFDIR | 0700 : S_IFREG | 0600,
                         .st_size = ino == DISK ? (off_t)size : 0};
}

static void disk_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    fuse_ino_t ino = strcmp(name, "disk") == 0 ? DISK : strcmp(name, "crash") == 0 ? CRASH : 0;
    struct fuse_entry_param e = {.ino = ino, .entry_timeout = FOREVER, .attr_timeout = FOREVER};

    (void)parent;
    e.attr = attributes(ino);
    if (ino)
        fuse_reply_entry(req, &e);
    else
        fuse_reply_err(req, ENOENT);
}

static void disk_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct stat st = attributes(ino);

    (void)fi;
    fuse_reply_attr(req, &st, FOREVER);
}

/* No page of the kernel's is between: what the loop device writes is written here. */
static void disk_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    fi->direct_io = 1;
    if (ino == CRASH && !crashed && !waiting && chance(60)) {
        waiting = req;
        waiting_info = *fi;
        return;
    }
    if (ino == CRASH && !crashed)
        crash();
    fuse_reply_open(req, fi);
}

static void crash_if_waited_for(void)
{
    if (!waiting || !unsynced)
        return;
    crash();
    fuse_reply_open(waiting, &waiting_info);
    waiting = NULL;
}

static void disk_read(fuse_req_t req, fuse_ino_t ino, size_t len, off_t offset,
                      struct fuse_file_info *fi)
{
    const char *from = ino == DISK ? now : outcome;
    size_t end = ino == DISK ? size : strlen(outcome), at = (size_t)offset;

    (void)fi;
    if (at > end)
        at = end;
    fuse_reply_buf(req, from + at, len < end - at ? len : end - at);
}

static void disk_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t len, off_t offset,
                       struct fuse_file_info *fi)
{
    int rc = ino == DISK ? write_disk(bytes, len, (uint64_t)offset) : -EPERM;

    (void)fi;
    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        fuse_reply_write(req, len);
}

static void disk_fsync(fuse_req_t req, fuse_ino_t ino, int data_only, struct fuse_file_info *fi)
{
    (void)ino, (void)data_only, (void)fi;
    crash_if_waited_for();
    fuse_reply_err(req, -sync_disk());
}

static const struct fuse_lowlevel_ops requests = {
    .lookup = disk_lookup,
    .getattr = disk_getattr,
    .open = disk_open,
    .read = disk_read,
    .write = disk_write,
    .fsync = disk_fsync,
};

static int serve(const char *dir)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    struct fuse_session *session;
    int rc = -1;

    fuse_opt_add_arg(&args, "losingdisk");
    session = fuse_session_new(&args, &requests, sizeof(requests), NULL);
    if (session && fuse_session_mount(session, dir) == 0) {
        rc = fuse_session_loop(session);
        fuse_session_unmount(session);
    }
    if (session)
        fuse_session_destroy(session);
    fuse_opt_free_args(&args);
    return rc;
}

int main(int argc, char **argv)
{
    int rc;

    if (argc != 4) {
        fprintf(stderr, "usage: losingdisk IMAGE DIR SEED\n");
        return 2;
    }
    srandom((unsigned)strtoul(argv[3], NULL, 10));
    rc = open_disk(argv[1]);
    if (rc < 0) {
        fprintf(stderr, "losingdisk: %s: %s\n", argv[1], strerror(-rc));
        return 1;
    }
    return serve(argv[2]) < 0;
}
