#define FUSE_USE_VERSION 312

#include "fs/pagefs.h"

#include <errno.h>
#include <fuse_lowlevel.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>

#include "fs/internal.h"
#include "fs/pagerequests.h"
#include "fs/serving.h"

#define MAX_THREADS 16

struct pagefs {
    struct pagerequests requests; /* first: pagerequests.h */
    struct pagefs_options options;
    struct mountpoint *at; /* borrowed */
    struct fuse_session *session;
    bool mounted;
};

_Static_assert(offsetof(struct pagefs, requests) == 0, "where the requests look");

/*
 * Writing back must not wait for memory or for dirty pages that only this process can clean; the
 * kernel is told that it is one through which others write. Without the right to say so, it works
 * as long as memory is not short.
 */
static void prepare_process(const struct pagefs *fs)
{
    fs_raise_file_limit();
    fs_prepare_heap();
    if (fs->options.writeback)
        prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
}

static int new_pagefs(struct datadir *d, struct mountpoint *m, const struct pagefs_options *o,
                      struct pagefs **out, struct err *err)
{
    struct pagefs *fs = calloc(1, sizeof(*fs));

    *out = fs;
    if (!fs)
        return err_set(err, ENOMEM, "out of memory");
    datafiles_init(&fs->requests.files, d, o->uid, o->gid, 0);
    fs->requests.files.flush = o->writeback;
    fs->requests.own_spaces = o->own_spaces;
    fs->requests.strict = o->strict;
    fs->options = *o;
    fs->at = m;
    return 0;
}

int pagefs_mount(struct datadir *d, struct mountpoint *m, const struct pagefs_options *options,
                 struct pagefs **out, struct err *err)
{
    struct fs_session_options o = {
        .flags = "rw,nosuid,nodev", .source = options->source, .allow_other = options->allow_other};
    struct pagefs *fs;
    int rc = new_pagefs(d, m, options, &fs, err);

    if (rc < 0)
        goto out;
    prepare_process(fs);
    rc = fs_session_open(&o, &pagerequests_all, fs, &fs->session, err);
    if (rc < 0)
        goto out;
    rc = fs_session_mount(fs->session, m, &o, err);
    fs->mounted = rc == 0;
out:
    if (rc < 0)
        pagefs_unmount(fs);
    else
        *out = fs;
    return rc;
}

int pagefs_serve(struct pagefs *fs, const struct stop *stop, int *lost)
{
    struct fs_serving s = {.session = fs->session,
                           .at = fs->at,
                           .stop = stop,
                           .threads = MAX_THREADS,
                           .enter = fs->options.enter,
                           .leave = fs->options.leave,
                           .arg = fs->options.arg};
    int rc = fs_serve(&s);

    *lost = atomic_load(&fs->requests.lost);
    return rc;
}

void pagefs_unmount(struct pagefs *fs)
{
    if (!fs)
        return;
    if (fs->mounted)
        fs_session_unmount(fs->session, fs->at);
    datafiles_end(&fs->requests.files);
    if (fs->session)
        fuse_session_destroy(fs->session);
    free(fs);
}
