/* The names of a directory, as they were when its reading began, and the kernel's reading of them. */
#ifndef ASOFS_FS_LISTING_H
#define ASOFS_FS_LISTING_H

#include <fuse_lowlevel.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

struct listing {
    struct listing_item {
        char *name;
        uint64_t ino; /* that is shown */
        mode_t mode;  /* type */
    } * items;
    size_t n, room;
};

int listing_add(struct listing *l, const char *name, uint64_t ino, mode_t mode); /* 0, -ENOMEM */
void listing_clear(struct listing *l);

/* What a name stands for now: 0, or a negative errno: it is not there any more. */
typedef int (*listing_lookup)(void *arg, const char *name, struct fuse_entry_param *e);

/*
 * Answer readdir, from `offset`, the number of names that were told. plus: it is readdirplus.
 * lookup: what the kernel shall remember a name as; NULL: nothing. "." and ".." are of the list,
 * and not looked up.
 */
void listing_reply(const struct listing *l, fuse_req_t req, size_t size, off_t offset, bool plus,
                   listing_lookup lookup, void *arg);

#endif
