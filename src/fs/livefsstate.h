/* livefs from inside: shared by its requests. The userdata of the session is its struct
 * livefs_state. */
#ifndef ASOFS_FS_LIVEFSSTATE_H
#define ASOFS_FS_LIVEFSSTATE_H

#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdint.h>

#include "fs/frozennodes.h"
#include "fs/listing.h"
#include "fs/passthrough.h"
#include "live/frozen.h"
#include "live/livedir.h"

/* Node numbers: below it those of the livedir. */
#define LIVEFS_FIRST_CONTROL (UINT64_C(1) << 60)
#define LIVEFS_FIRST_FROZEN (UINT64_C(1) << 61)

/* Of an open file or directory; in fi->fh. */
struct livefs_handle {
    struct livefile *live;      /* or NULL */
    struct frozen_file *frozen; /* or NULL */
    struct listing names;       /* of a directory */
    char *text;                 /* of status.json */
    uint64_t passed;            /* number of the node that was taken for passthrough; 0: none */
    struct livefs_handle *prev, *next;
};

struct livefs_state {
    struct livedir *live;
    uid_t uid; /* owner of the data directory */
    gid_t gid;
    struct frozennodes frozen;
    char *(*status)(void *arg);
    void *arg;
    int stale;                       /* eventfd: a tree was dropped or given up */
    struct passthrough *passthrough; /* NULL: it is not to be had */
    pthread_mutex_t lock;
    struct livefs_handle *handles; /* lock */
};

static inline struct livefs_state *livefs_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

static inline struct livefs_handle *livefs_handle_of(const struct fuse_file_info *fi)
{
    return (struct livefs_handle *)(uintptr_t)fi->fh;
}

/* A new one, for fi; NULL: no memory. Closed with all that is open in it. */
struct livefs_handle *livefs_handle_new(struct livefs_state *fs, struct fuse_file_info *fi);
void livefs_handle_free(struct livefs_state *fs, struct livefs_handle *h);
void livefs_handles_end(struct livefs_state *fs); /* those that were left open */

/* fuse_lowlevel_ops of the three parts; members that are missing: livefs.c answers EROFS. */
extern const struct fuse_lowlevel_ops liverequests;   /* the live tree, but for .asofs */
extern const struct fuse_lowlevel_ops asofsrequests;  /* .asofs itself */
extern const struct fuse_lowlevel_ops frozenrequests; /* the frozen trees */

/* "Who is .asofs?" */
void livefs_fill_control(const struct livefs_state *fs, struct fuse_entry_param *e);

/* The root of a freeze's tree, told to the kernel. */
int livefs_fill_tree(struct livefs_state *fs, uint64_t freeze, struct fuse_entry_param *e);

/* An answer with a frozen node, which was counted as told. */
void livefs_reply_frozen(fuse_req_t req, const struct fuse_entry_param *e);

/* Some tree may be stale: the kernel is to forget what it knows of it. */
void livefs_wake_stale(struct livefs_state *fs);
void livefs_ring(int fd); /* an eventfd */

#endif
