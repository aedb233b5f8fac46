/*
 * What reads is datafiles.c's; here is what changes something. What a call does is in pages/, but
 * for two things that are the mount's: where links may lead, and what becomes of a page that the
 * kernel wrote back and that could not be stored.
 */
#define FUSE_USE_VERSION 312

#include "fs/pagerequests.h"

#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "pages/manifest.h"
#include "pages/pagefile.h"

#define MAX_READAHEAD (1u << 20)
#define MAX_BACKGROUND 64 /* requests for reading ahead and writing back */

_Static_assert(offsetof(struct pagerequests, files) == 0, "where datafiles.h looks");

/* ---- answers ---- */

static struct pagerequests *fs_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static void reply_rc(fuse_req_t req, int rc)
{
    fuse_reply_err(req, rc < 0 ? -rc : 0);
}

static struct datadir *data_of(fuse_req_t req)
{
    return fs_of(req)->files.data;
}

static void reply_entry(fuse_req_t req, int rc, const struct stat *st)
{
    datafiles_reply_entry(&fs_of(req)->files, req, rc, st);
}

/* ---- names ---- */

static void make_node(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      const char *target)
{
    struct stat st;
    int rc = datadir_make(data_of(req), parent, name, mode, target, &st);

    reply_entry(req, rc, &st);
}

static void fs_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t rdev)
{
    (void)rdev;
    if (S_ISREG(mode))
        make_node(req, parent, name, mode, NULL);
    else
        fuse_reply_err(req, EPERM);
}

static void fs_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    make_node(req, parent, name, S_IFDIR | (mode & 07777), NULL);
}

/* A directory that may be there already. */
static int find_or_make_dir(struct datadir *d, uint64_t parent, const char *name, struct stat *st)
{
    int rc = datadir_lookup(d, parent, name, st);

    return rc == -ENOENT ? datadir_make(d, parent, name, S_IFDIR | 0700, NULL, st) : rc;
}

static bool is_in_root(struct datadir *d, uint64_t dir, const char *name)
{
    struct stat st;

    return datadir_lookup(d, FUSE_ROOT_ID, name, &st) == 0 && st.st_ino == dir;
}

/*
 * A server that replays somebody's log makes the links that it finds there. Where that one runs on
 * this machine they lead to its live files, which must not be written.
 */
static void make_own_space(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct datadir *d = data_of(req);
    struct stat st;
    char target[64]; /* the name is a number */
    int rc = find_or_make_dir(d, FUSE_ROOT_ID, MANIFEST_TABLESPACES, &st);

    if (rc == 0)
        rc = find_or_make_dir(d, st.st_ino, name, &st);
    if (snprintf(target, sizeof(target), "../" MANIFEST_TABLESPACES "/%s", name) >= 64 && rc == 0)
        rc = -ENAMETOOLONG;
    if (rc < 0)
        reply_entry(req, rc, &st);
    else
        make_node(req, parent, name, S_IFLNK | 0777, target);
}

/*
 * A private server has two sorts of links: those of CREATE TABLESPACE, and, from what fetches the
 * log, those in pg_wal, which are gone before anybody reads the view. No other one is to lead
 * whoever reads it out of it.
 */
static void make_private_link(fuse_req_t req, const char *target, fuse_ino_t parent,
                              const char *name)
{
    struct datadir *d = data_of(req);

    if (target[0] == '/' && is_in_root(d, parent, "pg_tblspc"))
        make_own_space(req, parent, name);
    else if (is_in_root(d, parent, "pg_wal"))
        make_node(req, parent, name, S_IFLNK | 0777, target);
    else
        fuse_reply_err(req, EPERM);
}

static void fs_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    if (fs_of(req)->own_spaces)
        make_private_link(req, target, parent, name);
    else
        make_node(req, parent, name, S_IFLNK | 0777, target);
}

static void fs_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t parent, const char *name)
{
    struct stat st;
    int rc = datadir_link(data_of(req), ino, parent, name, &st);

    reply_entry(req, rc, &st);
}

static void fs_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply_rc(req, datadir_unlink(data_of(req), parent, name));
}

static void fs_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    reply_rc(req, dirtree_rmdir(datadir_tree(data_of(req)), parent, name));
}

static void fs_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                      const char *new_name, unsigned flags)
{
    reply_rc(req, datadir_rename(data_of(req), parent, name, new_parent, new_name, flags));
}

/* ---- attributes ---- */

static struct timespec time_to_set(int to_set, int given, int now, struct timespec value)
{
    if (to_set & now)
        return (struct timespec){.tv_nsec = UTIME_NOW};
    return to_set & given ? value : (struct timespec){.tv_nsec = UTIME_OMIT};
}

static int set_times(struct pagerequests *fs, fuse_ino_t ino, const struct stat *attr, int to_set)
{
    const struct timespec times[2] = {
        time_to_set(to_set, FUSE_SET_ATTR_ATIME, FUSE_SET_ATTR_ATIME_NOW, attr->st_atim),
        time_to_set(to_set, FUSE_SET_ATTR_MTIME, FUSE_SET_ATTR_MTIME_NOW, attr->st_mtim)};

    return datadir_set_times(fs->files.data, ino, times);
}

/* There is one owner; who may change what was checked by the kernel. */
static int set_attributes(struct pagerequests *fs, fuse_ino_t ino, const struct stat *attr,
                          int to_set, const struct fuse_file_info *fi)
{
    int rc = 0;

    if (((to_set & FUSE_SET_ATTR_UID) && attr->st_uid != fs->files.uid) ||
        ((to_set & FUSE_SET_ATTR_GID) && attr->st_gid != fs->files.gid))
        return -EPERM;
    if (to_set & FUSE_SET_ATTR_MODE)
        rc = dirtree_chmod(datadir_tree(fs->files.data), ino, attr->st_mode & 07777);
    if (rc == 0 && (to_set & FUSE_SET_ATTR_SIZE))
        rc = fi ? pagefile_truncate(datafiles_file(fi), (uint64_t)attr->st_size)
                : datadir_truncate(fs->files.data, ino, (uint64_t)attr->st_size);
    if (rc == 0 && (to_set & (FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_MTIME)))
        rc = set_times(fs, ino, attr, to_set);
    return rc;
}

static void fs_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                       struct fuse_file_info *fi)
{
    int rc = set_attributes(fs_of(req), ino, attr, to_set, fi);

    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        datafiles_getattr(req, ino, fi);
}

static void fs_statfs(fuse_req_t req, fuse_ino_t ino)
{
    struct statvfs s;
    int rc = datadir_space(data_of(req), &s);

    (void)ino;
    if (rc < 0) {
        fuse_reply_err(req, -rc);
        return;
    }
    s.f_namemax = 255;
    fuse_reply_statfs(req, &s);
}

/* ---- files ---- */

static void fs_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                      struct fuse_file_info *fi)
{
    struct pagerequests *fs = fs_of(req);
    struct fuse_entry_param e;
    struct stat st;
    int rc = datadir_make(fs->files.data, parent, name, S_IFREG | (mode & 07777), NULL, &st);

    if (rc == -EEXIST && !(fi->flags & O_EXCL))
        rc = datadir_lookup(fs->files.data, parent, name, &st);
    if (rc == 0)
        rc = datafiles_open_handle(&fs->files, st.st_ino, fi);
    if (rc < 0) {
        fuse_reply_err(req, -rc);
        return;
    }
    datafiles_fill_entry(&fs->files, &st, &e);
    fuse_reply_create(req, &e, fi);
}

/* Whoever wrote a page that the kernel wrote back later has not heard that it is lost. */
static int lost_of(const struct pagerequests *fs)
{
    return fs->strict ? atomic_load(&fs->lost) : 0;
}

static void note_lost(struct pagerequests *fs, int64_t rc)
{
    int none = 0;

    atomic_compare_exchange_strong(&fs->lost, &none, (int)rc);
}

static void fs_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    int lost = lost_of(fs_of(req));

    if (lost < 0)
        fuse_reply_err(req, -lost);
    else
        datafiles_read(req, ino, size, offset, fi);
}

/* Of pages that the kernel writes back nobody is told how many came through: half is nothing. */
static void fs_write(fuse_req_t req, fuse_ino_t ino, const char *bytes, size_t size, off_t offset,
                     struct fuse_file_info *fi)
{
    int64_t n = pagefile_write(datafiles_file(fi), bytes, size, (uint64_t)offset);

    (void)ino;
    if (n >= 0 && (size_t)n < size && fi->writepage)
        n = -ENOSPC;
    if (n < 0 && fi->writepage)
        note_lost(fs_of(req), n);
    if (n < 0)
        fuse_reply_err(req, (int)-n);
    else
        fuse_reply_write(req, (size_t)n);
}

static void fs_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino, (void)datasync;
    reply_rc(req, pagefile_sync(datafiles_file(fi)));
}

static void fs_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                         struct fuse_file_info *fi)
{
    (void)ino;
    reply_rc(req, pagefile_allocate(datafiles_file(fi), mode, (uint64_t)offset, (uint64_t)length));
}

/* ---- directories ---- */

static void fs_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    (void)ino, (void)datasync, (void)fi;
    reply_rc(req, datadir_sync_names(data_of(req)));
}

/* ---- what the kernel is told at first ---- */

/*
 * Sizes and times change by the kernel's own doing: that is no reason for it to drop its pages (no
 * automatic invalidation). Truncation at opening comes as a call of its own.
 */
static void fs_init(void *arg, struct fuse_conn_info *conn)
{
    const struct pagerequests *fs = arg;

    conn->max_readahead = MAX_READAHEAD;
    conn->max_background = MAX_BACKGROUND;
    conn->congestion_threshold = MAX_BACKGROUND * 3 / 4;
    conn->want &=
        ~(unsigned)(FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_AUTO_INVAL_DATA | FUSE_CAP_HANDLE_KILLPRIV |
                    FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE);
    conn->want |= conn->capable & (FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_CACHE_SYMLINKS |
                                   FUSE_CAP_EXPORT_SUPPORT);
    if (fs->files.flush)
        conn->want |= conn->capable & FUSE_CAP_WRITEBACK_CACHE;
}

const struct fuse_lowlevel_ops pagerequests_all = {
    .init = fs_init,
    .lookup = datafiles_lookup,
    .getattr = datafiles_getattr,
    .setattr = fs_setattr,
    .readlink = datafiles_readlink,
    .mknod = fs_mknod,
    .mkdir = fs_mkdir,
    .unlink = fs_unlink,
    .rmdir = fs_rmdir,
    .symlink = fs_symlink,
    .rename = fs_rename,
    .link = fs_link,
    .open = datafiles_open,
    .create = fs_create,
    .read = fs_read,
    .write = fs_write,
    .release = datafiles_release,
    .fsync = fs_fsync,
    .fallocate = fs_fallocate,
    .opendir = datafiles_opendir,
    .readdir = datafiles_readdir,
    .readdirplus = datafiles_readdirplus,
    .releasedir = datafiles_release,
    .fsyncdir = fs_fsyncdir,
    .statfs = fs_statfs,
};
