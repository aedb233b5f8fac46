#include "common/mounts.h"

#include <errno.h>
#include <mntent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "common/mem.h"

char *mounts_type(const char *path)
{
    FILE *f = setmntent("/proc/self/mounts", "re");
    struct mntent *m;
    char *type = NULL;

    while (f && (m = getmntent(f))) {
        if (strcmp(m->mnt_dir, path) == 0) { /* the last one is on top */
            free(type);
            type = mem_strdup(m->mnt_type);
        }
    }
    if (f)
        endmntent(f);
    return type;
}

bool mounts_is(const char *path, const char *type)
{
    char *there = mounts_type(path);
    bool is = there && strcmp(there, type) == 0;

    free(there);
    return is;
}

/*
 * The kernel can still know the attributes of a dead mount's root, so stat() proves nothing;
 * statfs() always asks the process behind it.
 */
bool mounts_is_dead(const char *path)
{
    struct statvfs fs;

    return statvfs(path, &fs) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}
