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

/* Of a text of /proc, in its place: blanks and others stand there as \ and three octal digits. */
static void unescape(char *s)
{
    char *to = s;

    while (*s) {
        if (s[0] == '\\' && s[1] && s[2] && s[3]) {
            *to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
            s += 4;
        } else {
            *to++ = *s++;
        }
    }
    *to = 0;
}

/* A line of it (proc(5)): id, parent, device, root, mount point, … */
char *mounts_device(const char *path)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char *line = NULL, *device = NULL, *word[5], *rest;
    size_t room = 0;
    int n;

    while (f && getline(&line, &room, f) > 0) {
        for (n = 0, rest = line; n < 5 && (word[n] = strsep(&rest, " ")); n++)
            ;
        if (n < 5)
            continue;
        unescape(word[4]);
        if (strcmp(word[4], path) == 0) { /* the last one is on top */
            free(device);
            device = mem_strdup(word[2]);
        }
    }
    free(line);
    if (f)
        fclose(f);
    return device;
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
