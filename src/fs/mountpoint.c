#include "fs/mountpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/ask.h"
#include "common/log.h"
#include "common/io.h"
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

/* ---- by descriptor ---- */

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash[1] ? slash + 1 : ".";
}

/* A real path has no links: where it has one now, somebody has put it there. */
static int open_real(const char *path, int flags)
{
    return io_openat(AT_FDCWD, path, flags | O_NOFOLLOW | O_CLOEXEC,
                     RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

static int open_parent(const char *path)
{
    size_t len = (size_t)(strrchr(path, '/') - path);
    char *parent = mem_printf("%.*s", len ? (int)len : 1, path);
    int fd = open_real(parent, O_PATH | O_DIRECTORY);

    free(parent);
    return fd;
}

/* A path that leads through descriptors of this process alone. */
static char *through_parent(const struct mountpoint *m)
{
    return mem_printf("/proc/self/fd/%d/%s", m->parent, name_of(m->path));
}

/* The device of what is at the mount point, without asking the process that serves it: that may be
 * us. */
static bool read_device(const struct mountpoint *m, dev_t *dev)
{
    struct statx st;

    if (statx(m->parent, name_of(m->path), AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, 0, &st) < 0)
        return false;
    *dev = makedev(st.stx_dev_major, st.stx_dev_minor);
    return true;
}

static int unmount_place(const struct mountpoint *m, int flags)
{
    char *path = through_parent(m);
    int rc = umount2(path, flags | UMOUNT_NOFOLLOW) < 0 ? -errno : 0;

    free(path);
    return rc;
}

/* ---- before ---- */

/* Whoever is not root asks fusermount3. */
static bool unmount_dead(const struct mountpoint *m)
{
    char *argv[] = {(char *)(uintptr_t) "fusermount3", (char *)(uintptr_t) "-uz", m->path, NULL};
    struct err ignored;
    pid_t pid;

    if (geteuid() == 0)
        return unmount_place(m, MNT_DETACH) == 0;
    return proc_spawn(argv[0], argv, NULL, NULL, 0, &pid, &ignored) == 0 && proc_wait(pid) == 0;
}

static int take_away_dead(struct mountpoint *m, struct err *err)
{
    m->dead = mounts_device(m->path);
    if (!mounts_is(m->path, MOUNTS_OURS) || !unmount_dead(m))
        return err_set(err, ENOTCONN, "%s is a mount whose process is gone; unmount it first",
                       m->path);
    log_note("%s was a dead asofs mount; it was unmounted", m->path);
    return 0;
}

static int check_empty(const struct mountpoint *m, struct err *err)
{
    int rc = io_is_empty(m->dir);

    if (rc < 0)
        return err_set(err, -rc, "cannot read %s: %s", m->path, strerror(-rc));
    if (rc == 0)
        return err_set(err, ENOTEMPTY, "%s is not empty; mount over an empty directory", m->path);
    return 0;
}

static int check_device(const char *without, struct err *err)
{
    if (access("/dev/fuse", F_OK) < 0)
        err_set(err, ENODEV,
                "there is no /dev/fuse; load the module (modprobe fuse), or give the container the "
                "device");
    /* fusermount3 is setuid root, but opens the device with the rights of who called it. */
    else if (access("/dev/fuse", R_OK | W_OK) == 0)
        return 0;
    else
        err_errno(err, "cannot use /dev/fuse");
    return without ? err_hint(err, "%s", without) : -err->code;
}

static int open_directory(struct mountpoint *m, struct err *err)
{
    m->dir = openat(m->parent, name_of(m->path), O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
    if (m->dir < 0 && (errno == ENOTDIR || errno == ELOOP))
        return err_set(err, ENOTDIR, "cannot mount on %s: it is not a directory", m->path);
    return m->dir < 0 ? err_errno(err, "cannot mount on %s", m->path) : 0;
}

static int check_directory(const struct mountpoint *m, struct err *err)
{
    char *type = mounts_type(m->path);

    if (type) {
        err_set(err, EBUSY, "%s is a mount point already (%s)", m->path, type);
        free(type);
        return -EBUSY;
    }
    return check_empty(m, err);
}

/* Where it is; 1: it is dead. 2: what is wrong. */
static int find_place(void *dir, FILE *out)
{
    char *path = absolute_path(dir);

    if (!path) {
        fputs(strerror(errno), out);
        return 2;
    }
    fputs(path, out);
    return mounts_is_dead(path);
}

/* The mount there, or one above it, may be of a process that has stopped. */
static int ask_for_place(const char *dir, char **path, struct err *err)
{
    struct buf answer = {0};
    int rc = ask(find_place, (char *)(uintptr_t)dir, &answer, err);

    if (rc == -ETIMEDOUT)
        err_set(err, ETIMEDOUT,
                "%s does not answer: it is, or lies on, a mount whose process has stopped; unmount "
                "it first (umount -l)",
                dir);
    else if (rc == 2)
        rc = err_set(err, ENOENT, "cannot mount on %s: %s", dir, answer.data);
    else if (rc == -EIO)
        err_set(err, EIO, "cannot mount on %s: it cannot be looked at", dir);
    *path = rc >= 0 ? buf_steal(&answer) : NULL;
    buf_free(&answer);
    return rc;
}

static int check_place(struct mountpoint *m, bool dead, struct err *err)
{
    int rc = 0;

    m->parent = open_parent(m->path);
    if (m->parent < 0)
        rc = err_errno(err, "cannot mount on %s", m->path);
    else if (dead)
        rc = take_away_dead(m, err);
    if (rc == 0)
        rc = open_directory(m, err);
    return rc;
}

int mountpoint_prepare(const char *dir, const char *without, struct mountpoint *m, struct err *err)
{
    char *path;
    int rc = ask_for_place(dir, &path, err);

    *m = (struct mountpoint){.path = path, .parent = -1, .dir = -1};
    if (rc < 0)
        return rc;
    m->is_set = true;
    rc = check_place(m, rc == 1, err);
    if (rc == 0)
        rc = check_directory(m, err);
    if (rc == 0)
        rc = check_device(without, err);
    if (rc < 0)
        mountpoint_close(m);
    return rc;
}

/* ---- what fusermount3 will refuse ---- */

#define FUSE_CONF "/etc/fuse.conf"

/* Also where that cannot be told. */
static bool may_allow_other(void)
{
    FILE *f = fopen(FUSE_CONF, "re");
    char line[256], word[32], rest[2];
    bool may = !f && errno != ENOENT;

    while (f && !may && fgets(line, sizeof(line), f))
        may = sscanf(line, "%31s %1s", word, rest) >= 1 && strcmp(word, "user_allow_other") == 0;
    if (f)
        fclose(f);
    return may;
}

static int check_own(const struct mountpoint *m, struct err *err)
{
    struct stat st;

    if (fstat(m->dir, &st) < 0)
        return err_errno(err, "cannot mount on %s", m->path);
    if ((st.st_mode & S_ISVTX) && st.st_uid != getuid())
        return err_set(
            err, EPERM,
            "cannot mount on %s: it is sticky and another user's; mount over a directory "
            "of your own",
            m->path);
    if (access(m->path, W_OK) == 0)
        return 0;
    err_errno(err, "cannot mount on %s", m->path);
    return err_hint(err, "Only root mounts where he may not write; mount over a directory of your "
                         "own.");
}

int mountpoint_check_user(const struct mountpoint *m, bool allow_other, struct err *err)
{
    if (geteuid() == 0)
        return 0;
    if (allow_other && !may_allow_other())
        return err_set(err, EPERM,
                       "-o allow_other is for root alone, unless " FUSE_CONF " has the line "
                       "user_allow_other: have it added, or leave the option out");
    return check_own(m, err);
}

void mountpoint_close(struct mountpoint *m)
{
    if (!m->is_set)
        return;
    if (m->parent >= 0)
        close(m->parent);
    if (m->dir >= 0)
        close(m->dir);
    free(m->path);
    free(m->dead);
    *m = (struct mountpoint){0};
}

/* ---- mounting ---- */

static unsigned long flags_of(const char *options)
{
    static const struct {
        const char *name;
        unsigned long flag;
    } known[] = {{"ro", MS_RDONLY}, {"nosuid", MS_NOSUID}, {"nodev", MS_NODEV}};
    unsigned long flags = 0;
    size_t i, n = sizeof(known) / sizeof(*known), len;

    for (; *options; options += len + (options[len] == ',')) {
        len = strcspn(options, ",");
        for (i = 0; i < n; i++)
            if (strlen(known[i].name) == len && strncmp(known[i].name, options, len) == 0)
                flags |= known[i].flag;
    }
    return flags;
}

int mountpoint_mount(struct mountpoint *m, const char *source, const char *options,
                     bool allow_other, struct err *err)
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC), rc = 0;
    char *on = mem_printf("/proc/self/fd/%d", m->dir);
    char *data =
        mem_printf("fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions%s", fd,
                   (unsigned)geteuid(), (unsigned)getegid(), allow_other ? ",allow_other" : "");

    if (fd < 0)
        rc = err_errno(err, "cannot use /dev/fuse");
    else if (mount(source, on, MOUNTS_OURS, flags_of(options), data) < 0)
        rc = err_errno(err, "cannot mount on %s", m->path);
    else
        m->mounted = read_device(m, &m->dev);
    free(on);
    free(data);
    if (rc < 0 && fd >= 0)
        close(fd);
    return rc < 0 ? rc : fd;
}

/* ---- in a process of its own ---- */

/* An error's number, or 0. */
static int unmount_there(const struct mountpoint *m, const char *path)
{
    (void)m;
    return umount2(path, UMOUNT_NOFOLLOW) < 0 ? errno : 0;
}

static int sync_there(const struct mountpoint *m, const char *path)
{
    int fd = openat(m->parent, name_of(path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 || syncfs(fd) < 0 ? errno : 0;
}

/*
 * What waits for requests that this process answers. If it is killed meanwhile, a thread of its own
 * that waits would keep /dev/fuse open, and so would wait for ever; a child that has not got that
 * open goes on, with errors, when the connection breaks. (The child of a process with threads makes
 * system calls only.)
 */
static int apart(const struct mountpoint *m, int (*what)(const struct mountpoint *, const char *))
{
    char *path = through_parent(m);
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        if (m->parent > 0)
            close_range(0, (unsigned)m->parent - 1, 0);
        close_range((unsigned)m->parent + 1, ~0u, 0);
        _exit(what(m, path));
    }
    free(path);
    if (pid < 0)
        return -EAGAIN;
    status = proc_wait(pid);
    return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

int mountpoint_unmount(struct mountpoint *m, bool lazily)
{
    dev_t dev;
    int rc;

    if (!m->mounted || !read_device(m, &dev) || dev != m->dev)
        return 0;
    rc = lazily ? unmount_place(m, MNT_DETACH) : apart(m, unmount_there);
    m->mounted = rc < 0;
    return rc;
}

int mountpoint_sync(const struct mountpoint *m)
{
    return apart(m, sync_there);
}
