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

/* One more name of a struct listing, as livedir_list and frozen_list call it. 0, -ENOMEM. */
int listing_add(void *listing, const char *name, uint64_t ino, mode_t mode);
int listing_add_dots(struct listing *l, uint64_t ino, uint64_t parent); /* "." and ".." */
void listing_clear(struct listing *l);

/* Where its names come from. */
struct listing_source {
    void *arg;
    int (*take)(void *arg,
                struct listing *l); /* all names, ".." too, into an empty list; 0, -errno */
    /* What a name stands for now, for the kernel to remember; -errno: it is not there any more.
     * NULL: nothing is remembered. Not called for "." and "..". */
    int (*lookup)(void *arg, const char *name, struct fuse_entry_param *e);
};

/* Answer readdir, from `offset`, the number of names that were told: at 0 they are taken anew. plus:
 * it is readdirplus. Negative: it was interrupted, and the kernel remembers nothing. */
int listing_reply(struct listing *l, fuse_req_t req, size_t size, off_t offset, bool plus,
                  const struct listing_source *s);

#endif
