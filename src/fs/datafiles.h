/*
 * The part of a file system that reads a data directory (pages/datadir.h): names, attributes, open
 * files and directories. pagefs adds what changes it; viewfs shows one below .asofs/pages.
 *
 * The userdata of the session begins with its struct datafiles: there the requests find it.
 */
#ifndef ASOFS_FS_DATAFILES_H
#define ASOFS_FS_DATAFILES_H

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdbool.h>

#include "pages/datadir.h"

struct datafiles_handle;

struct datafiles {
    struct datadir *data; /* borrowed */
    uid_t uid;            /* owner of everything shown */
    gid_t gid;
    fuse_ino_t first; /* node numbers of the file system are those of the datadir, and this more */
    uint64_t generation; /* fs_generation */
    bool flush;          /* the kernel shall write what it collected when a file is closed */
    pthread_mutex_t lock;
    struct datafiles_handle *handles; /* lock */
};

void datafiles_init(struct datafiles *f, struct datadir *d, uid_t uid, gid_t gid, fuse_ino_t first);
void datafiles_end(struct datafiles *f); /* files left open are closed */

/* The datadir's number of a node, and a node's answer to "who is this?", from the datadir's. */
static inline uint64_t datafiles_id(const struct datafiles *f, fuse_ino_t ino)
{
    return ino - f->first;
}
void datafiles_fill_entry(const struct datafiles *f, const struct stat *st,
                          struct fuse_entry_param *e);

/* rc: 0, or a negative errno that is the answer. */
void datafiles_reply_entry(const struct datafiles *f, fuse_req_t req, int rc,
                           const struct stat *st);

/* Open a file for fi; pagefile of an open one. */
int datafiles_open_handle(struct datafiles *f, fuse_ino_t ino, struct fuse_file_info *fi);
struct pagefile *datafiles_file(const struct fuse_file_info *fi);

/* ---- requests of the kernel, as libfuse hands them on (fuse_lowlevel_ops); any thread ---- */

void datafiles_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void datafiles_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void datafiles_readlink(fuse_req_t req, fuse_ino_t ino);
void datafiles_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void datafiles_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi);
void datafiles_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void datafiles_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *fi);
void datafiles_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                           struct fuse_file_info *fi);
void datafiles_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi); /* of either */

#endif
