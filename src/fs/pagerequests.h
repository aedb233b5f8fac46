/*
 * The requests of pagefs: those that change a data directory, beside those that read it
 * (datafiles.h). pagefs.c mounts and serves them.
 */
#ifndef ASOFS_FS_PAGEREQUESTS_H
#define ASOFS_FS_PAGEREQUESTS_H

#include <stdatomic.h>

#include "fs/datafiles.h"

/* The session's userdata begins with it. */
struct pagerequests {
    struct datafiles files; /* first: datafiles.h */
    bool own_spaces;        /* pagefs.h */
    bool strict;            /* pagefs.h */
    atomic_int lost; /* a page that the kernel wrote back could not be stored: negative errno */
};

extern const struct fuse_lowlevel_ops pagerequests_all; /* any thread */

#endif
