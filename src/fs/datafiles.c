/*
 * Node numbers are the datadir's ids, which are never given out twice, so the kernel may forget and
 * ask again as it likes: nothing is counted here. What is kept is one handle for each open file or
 * directory, in a list, because the kernel does not tell of all closings when a mount ends.
 *
 * Names, attributes and contents change through the mount only, if at all. So the kernel may keep
 * all it was told, also that a name does not exist; what it changes itself, it knows. One thing it
 * cannot know: a listing is taken when the directory is opened, and a name in it may mean another
 * file by the time it is read. readdirplus, which makes the kernel remember what the names mean,
 * therefore looks each up again (the kernel holds changes of the directory back meanwhile).
 */
#define FUSE_USE_VERSION 312

#include "fs/datafiles.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <utlist.h>

#include "fs/internal.h"
#include "pages/pagefile.h"

struct datafiles_handle {
    struct pagefile *file;          /* of a file; else NULL */
    struct dirtree_listing listing; /* of a directory */
    struct datafiles_handle *prev, *next;
};

void datafiles_init(struct datafiles *f, struct datadir *d, uid_t uid, gid_t gid, fuse_ino_t first)
{
    *f = (struct datafiles){
        .data = d, .uid = uid, .gid = gid, .first = first, .generation = fs_generation()};
    pthread_mutex_init(&f->lock, NULL);
}

/* ---- handles ---- */

static struct datafiles_handle *handle_of(const struct fuse_file_info *fi)
{
    return (struct datafiles_handle *)(uintptr_t)fi->fh;
}

struct pagefile *datafiles_file(const struct fuse_file_info *fi)
{
    return handle_of(fi)->file;
}

static struct datafiles_handle *handle_new(struct datafiles *f)
{
    struct datafiles_handle *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    pthread_mutex_lock(&f->lock);
    DL_APPEND(f->handles, h);
    pthread_mutex_unlock(&f->lock);
    return h;
}

static void handle_free(struct datafiles *f, struct datafiles_handle *h)
{
    pthread_mutex_lock(&f->lock);
    DL_DELETE(f->handles, h);
    pthread_mutex_unlock(&f->lock);
    if (h->file)
        datadir_close_file(f->data, h->file);
    dirtree_listing_free(&h->listing);
    free(h);
}

void datafiles_end(struct datafiles *f)
{
    struct datafiles_handle *h, *next;

    DL_FOREACH_SAFE(f->handles, h, next)
    handle_free(f, h);
    pthread_mutex_destroy(&f->lock);
}

int datafiles_open_handle(struct datafiles *f, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct datafiles_handle *h = handle_new(f);
    int rc = h ? datadir_open_file(f->data, datafiles_id(f, ino), &h->file) : -ENOMEM;

    if (rc < 0 && h) {
        h->file = NULL;
        handle_free(f, h);
    }
    if (rc < 0)
        return rc;
    fi->fh = (uintptr_t)h;
    fi->keep_cache = 1;
    fi->noflush = !f->flush;
    return 0;
}

/* ---- answers ---- */

static struct datafiles *files_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static void complete_stat(const struct datafiles *f, struct stat *st)
{
    st->st_ino += f->first;
    st->st_uid = f->uid;
    st->st_gid = f->gid;
}

void datafiles_fill_entry(const struct datafiles *f, const struct stat *st,
                          struct fuse_entry_param *e)
{
    *e = (struct fuse_entry_param){
        .attr = *st, .attr_timeout = FS_FOREVER, .entry_timeout = FS_FOREVER};
    complete_stat(f, &e->attr);
    e->ino = e->attr.st_ino;
    e->generation = fs_generation_of(e->ino, f->generation);
}

void datafiles_reply_entry(const struct datafiles *f, fuse_req_t req, int rc, const struct stat *st)
{
    struct fuse_entry_param e;

    if (rc < 0) {
        fuse_reply_err(req, -rc);
        return;
    }
    datafiles_fill_entry(f, st, &e);
    fuse_reply_entry(req, &e);
}

/* A node by its number alone. One without a name is only what is still open, and that the kernel
 * has not forgotten. */
static int find_by_number(struct datafiles *f, uint64_t id, struct stat *st)
{
    int rc = datadir_stat(f->data, id, st);

    return rc == 0 && st->st_nlink == 0 ? -ENOENT : rc;
}

static int find_parent(struct datafiles *f, uint64_t id, struct stat *st)
{
    struct dirtree_node node;
    int rc = dirtree_stat(datadir_tree(f->data), id, &node);

    if (rc == 0 && !S_ISDIR(node.mode))
        rc = -ENOTDIR;
    return rc < 0 ? rc : find_by_number(f, id == DIRTREE_ROOT ? id : node.parent, st);
}

void datafiles_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    struct datafiles *f = files_of(req);
    struct fuse_entry_param none = {.entry_timeout = FS_FOREVER};
    uint64_t id = datafiles_id(f, parent);
    struct stat st;
    int rc = strcmp(name, ".") == 0    ? find_by_number(f, id, &st)
             : strcmp(name, "..") == 0 ? find_parent(f, id, &st)
                                       : datadir_lookup(f->data, id, name, &st);

    if (rc == -ENOENT)
        fuse_reply_entry(req, &none); /* the kernel remembers that there is none */
    else
        datafiles_reply_entry(f, req, rc, &st);
}

void datafiles_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct datafiles *f = files_of(req);
    struct stat st;
    int rc = datadir_stat(f->data, datafiles_id(f, ino), &st);

    (void)fi;
    if (rc < 0) {
        fuse_reply_err(req, -rc);
        return;
    }
    complete_stat(f, &st);
    fuse_reply_attr(req, &st, FS_FOREVER);
}

void datafiles_readlink(fuse_req_t req, fuse_ino_t ino)
{
    struct datafiles *f = files_of(req);
    char *target;
    int rc = dirtree_readlink(datadir_tree(f->data), datafiles_id(f, ino), &target);

    if (rc < 0) {
        fuse_reply_err(req, -rc);
        return;
    }
    fuse_reply_readlink(req, target);
    free(target);
}

/* ---- files ---- */

void datafiles_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    int rc = datafiles_open_handle(files_of(req), ino, fi);

    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        fuse_reply_open(req, fi);
}

void datafiles_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                    struct fuse_file_info *fi)
{
    char *buffer = malloc(size);
    int64_t n = -ENOMEM;

    (void)ino;
    if (buffer)
        n = pagefile_read(datafiles_file(fi), buffer, size, (uint64_t)offset);
    if (n < 0)
        fuse_reply_err(req, (int)-n);
    else
        fuse_reply_buf(req, buffer, (size_t)n);
    free(buffer);
}

void datafiles_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    (void)ino;
    handle_free(files_of(req), handle_of(fi));
    fuse_reply_err(req, 0);
}

/* ---- directories ---- */

static int take_listing(struct datafiles *f, fuse_ino_t ino, struct datafiles_handle *h)
{
    struct dirtree_listing fresh = {0};
    int rc = dirtree_list(datadir_tree(f->data), datafiles_id(f, ino), &fresh);

    if (rc < 0)
        return rc;
    dirtree_listing_free(&h->listing);
    h->listing = fresh;
    return 0;
}

void datafiles_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct datafiles_handle *h = handle_new(files_of(req));

    (void)ino;
    if (!h) {
        fuse_reply_err(req, ENOMEM);
        return;
    }
    fi->fh = (uintptr_t)h;
    fuse_reply_open(req, fi); /* the listing is taken by the first read, as by each from offset 0 */
}

struct listing { /* being answered */
    struct datafiles *files;
    fuse_req_t req;
    uint64_t dir;
    bool plus;
};

/* "." and "..", which the kernel wants no attributes of. */
static size_t put_dot(const struct listing *l, char *buffer, size_t room, off_t i)
{
    struct fuse_entry_param e = {.attr = {.st_ino = l->dir + l->files->first, .st_mode = S_IFDIR}};
    const char *name = i == 0 ? "." : "..";
    struct dirtree_node node;

    if (i == 1 && l->dir != DIRTREE_ROOT &&
        dirtree_stat(datadir_tree(l->files->data), l->dir, &node) == 0)
        e.attr.st_ino = node.parent + l->files->first;
    return l->plus ? fuse_add_direntry_plus(l->req, buffer, room, name, &e, i + 1)
                   : fuse_add_direntry(l->req, buffer, room, name, &e.attr, i + 1);
}

/* The size of the entry, which is there only if that is at most `room`; 0: no such name any more.
 */
static size_t put_entry(const struct listing *l, char *buffer, size_t room,
                        const struct dirtree_item *item, off_t next)
{
    struct stat st = {.st_ino = item->id, .st_mode = item->mode};
    struct fuse_entry_param e;

    if (!l->plus) {
        complete_stat(l->files, &st);
        return fuse_add_direntry(l->req, buffer, room, item->name, &st, next);
    }
    if (datadir_lookup(l->files->data, l->dir, item->name, &st) < 0)
        return 0;
    datafiles_fill_entry(l->files, &st, &e);
    return fuse_add_direntry_plus(l->req, buffer, room, item->name, &e, next);
}

/* Offsets: 0 is ".", 1 is "..", 2 + i is item i. */
static size_t fill_listing(const struct listing *l, const struct dirtree_listing *names,
                           char *buffer, size_t size, off_t offset)
{
    size_t used = 0, n;
    off_t i;

    for (i = offset; i < (off_t)names->count + 2; i++) {
        n = i < 2 ? put_dot(l, buffer + used, size - used, i)
                  : put_entry(l, buffer + used, size - used, &names->items[i - 2], i + 1);
        if (n > size - used)
            break;
        used += n;
    }
    return used;
}

static void reply_listing(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                          struct fuse_file_info *fi, bool plus)
{
    struct datafiles *f = files_of(req);
    struct listing l = {f, req, datafiles_id(f, ino), plus};
    struct datafiles_handle *h = handle_of(fi);
    char *buffer = malloc(size);
    int rc = 0;

    if (!buffer)
        rc = -ENOMEM;
    else if (offset == 0)
        rc = take_listing(f, ino, h);
    if (rc < 0)
        fuse_reply_err(req, -rc);
    else
        fuse_reply_buf(req, buffer, fill_listing(&l, &h->listing, buffer, size, offset));
    free(buffer);
}

void datafiles_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                       struct fuse_file_info *fi)
{
    reply_listing(req, ino, size, offset, fi, false);
}

void datafiles_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t offset,
                           struct fuse_file_info *fi)
{
    reply_listing(req, ino, size, offset, fi, true);
}
