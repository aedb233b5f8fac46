#include "fs/mountpoint.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/mounts.h"
#include "common/proc.h"

/* realpath() fails on a dead mount itself, but not on its parent. */
static char *absolute_path(const char *dir)
{
    char *copy, *slash, *parent, *path;
    size_t len = strlen(dir);

    path = realpath(dir, NULL);
    if (path || errno != ENOTCONN)
        return path;
    copy = mem_strdup(dir);
    while (len > 1 && copy[len - 1] == '/')
        copy[--len] = '\0';
    slash = strrchr(copy, '/');
    if (slash)
        *slash = '\0';
    parent = realpath(slash ? (slash == copy ? "/" : copy) : ".", NULL);
    path = parent ? mem_printf("%s/%s", strcmp(parent, "/") ? parent : "", slash ? slash + 1 : copy)
                  : NULL;
    free(parent);
    free(copy);
    return path;
}

/* Whoever is not root asks fusermount3. */
static bool unmount(const char *path)
{
    char *argv[] = {(char *)(uintptr_t) "fusermount3", (char *)(uintptr_t) "-uz",
                    (char *)(uintptr_t)path, NULL};
    struct err ignored;
    pid_t pid;

    if (geteuid() == 0)
        return umount2(path, MNT_DETACH) == 0;
    return proc_spawn(argv[0], argv, NULL, NULL, 0, &pid, &ignored) == 0 && proc_wait(pid) == 0;
}

static int take_away_dead(const char *path, struct err *err)
{
    if (!mounts_is(path, MOUNTS_OURS) || !unmount(path))
        return err_set(err, ENOTCONN, "%s is a mount whose process is gone; unmount it first",
                       path);
    log_note("%s was a dead asofs mount; it was unmounted", path);
    return 0;
}

static int check_empty(const char *path, struct err *err)
{
    DIR *d = opendir(path);
    struct dirent *e;
    bool empty = true;

    if (!d)
        return err_errno(err, "cannot read %s", path);
    while (empty && (e = readdir(d)))
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    closedir(d);
    if (!empty)
        return err_set(err, ENOTEMPTY, "%s is not empty; mount over an empty directory", path);
    return 0;
}

static int check_device(struct err *err)
{
    if (access("/dev/fuse", F_OK) < 0)
        return err_set(err, ENODEV,
                       "there is no /dev/fuse; load the module (modprobe fuse), or give the "
                       "container the device");
    /* fusermount3 is setuid root, but opens the device with the rights of who called it. */
    if (access("/dev/fuse", R_OK | W_OK) < 0)
        return err_errno(err, "cannot use /dev/fuse");
    return 0;
}

static int check_directory(const char *path, struct err *err)
{
    struct stat st;
    char *type;

    if (stat(path, &st) < 0)
        return err_errno(err, "cannot mount on %s", path);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ENOTDIR, "cannot mount on %s: it is not a directory", path);
    type = mounts_type(path);
    if (type) {
        err_set(err, EBUSY, "%s is a mount point already (%s)", path, type);
        free(type);
        return -EBUSY;
    }
    return check_empty(path, err);
}

/*
 * The kernel can still know the attributes of a dead mount's root, so stat() proves nothing;
 * statfs() always asks the process behind it.
 */
bool mountpoint_is_dead(const char *path)
{
    struct statvfs fs;

    return statvfs(path, &fs) < 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

int mountpoint_prepare(const char *dir, char **absolute, struct err *err)
{
    char *path = absolute_path(dir);
    int rc = 0;

    if (!path)
        return err_errno(err, "cannot mount on %s", dir);
    if (mountpoint_is_dead(path))
        rc = take_away_dead(path, err);
    if (rc == 0)
        rc = check_directory(path, err);
    if (rc == 0)
        rc = check_device(err);
    if (rc == 0)
        *absolute = path;
    else
        free(path);
    return rc;
}
