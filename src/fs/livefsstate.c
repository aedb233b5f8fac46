#define FUSE_USE_VERSION 312

#include "fs/livefsstate.h"

#include <stdlib.h>
#include <unistd.h>
#include <utlist.h>

struct livefs_handle *livefs_handle_new(struct livefs_state *fs, struct fuse_file_info *fi)
{
    struct livefs_handle *h = calloc(1, sizeof(*h));

    if (!h)
        return NULL;
    pthread_mutex_lock(&fs->lock);
    DL_APPEND(fs->handles, h);
    pthread_mutex_unlock(&fs->lock);
    fi->fh = (uintptr_t)h;
    return h;
}

void livefs_handle_free(struct livefs_state *fs, struct livefs_handle *h)
{
    pthread_mutex_lock(&fs->lock);
    DL_DELETE(fs->handles, h);
    pthread_mutex_unlock(&fs->lock);
    if (h->passed)
        passthrough_put(fs->passthrough, h->passed);
    if (h->live)
        livedir_close_file(h->live);
    if (h->frozen)
        frozen_close_file(h->frozen);
    listing_clear(&h->names);
    free(h->text);
    free(h);
}

void livefs_handles_end(struct livefs_state *fs)
{
    struct livefs_handle *h, *next;

    DL_FOREACH_SAFE(fs->handles, h, next)
    livefs_handle_free(fs, h);
}

void livefs_ring(int fd)
{
    uint64_t one = 1;
    ssize_t ignored = write(fd, &one, sizeof(one));

    (void)ignored; /* it can fail only when it has rung already */
}

void livefs_wake_stale(struct livefs_state *fs)
{
    livefs_ring(fs->stale);
}
