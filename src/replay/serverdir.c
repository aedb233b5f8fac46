/*
 * Both children live below a directory of their own in /tmp (socket paths are short):
 *
 *   /tmp/asofs-XXXXXX/        of who started asofs; others may pass through, and change nothing
 *     data/                   0700, of the user that PostgreSQL runs as; the view, mounted
 *     server/                 0700, of the same; socket, configuration, log
 *
 * So nobody but root exchanges what root mounts on, or what it clears away. pagefs is started as
 * this process is (root has to mount), and does its work as that user; so does this file, whose
 * functions are called by a thread that has entered (pg/identity.h): it leaves for the directory
 * itself alone.
 */
#include "replay/serverdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"
#include "common/mounts.h"
#include "common/proc.h"

#define DATA "data"
#define RUN "server"
#define PASS_THROUGH 0711

/* In a directory where nobody else can make anything. */
static int make_one(const struct serverdir *d, const char *name, struct err *err)
{
    const struct pg_identity *as = d->as;
    int rc = mkdirat(d->lock_fd, name, 0700);

    if (rc == 0 && as->change)
        rc = fchownat(d->lock_fd, name, as->uid, as->gid, AT_SYMLINK_NOFOLLOW);
    return rc < 0 ? err_errno(err, "cannot make %s/%s", d->path, name) : 0;
}

/* 1: locked, and still there. Whoever clears what others left (serverdir_clear) may have been
 * quicker than we were. */
static int lock_directory(struct serverdir *d, const char *dir, struct err *err)
{
    struct stat st;

    d->lock_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (d->lock_fd < 0 && errno == ENOENT)
        return 0;
    if (d->lock_fd < 0 || flock(d->lock_fd, LOCK_EX) < 0)
        return err_errno(err, "cannot lock %s", dir);
    if (stat(dir, &st) == 0)
        return 1;
    close(d->lock_fd);
    d->lock_fd = -1;
    return 0;
}

static int make_locked(struct serverdir *d, char **dir, struct err *err)
{
    int rc = 0;

    *dir = NULL;
    while (rc == 0) {
        free(*dir);
        *dir = mem_strdup(SERVERDIR_PLACE "/" SERVERDIR_PREFIX "XXXXXX");
        rc = mkdtemp(*dir) ? lock_directory(d, *dir, err)
                           : err_errno(err, "cannot make the directory %s", *dir);
    }
    return rc < 0 ? rc : 0;
}

static int make_own(struct serverdir *d, struct err *err)
{
    char *dir;
    int rc = make_locked(d, &dir, err);

    if (rc < 0) {
        free(dir);
        return rc;
    }
    d->path = dir;
    d->data = mem_printf("%s/" DATA, dir);
    d->run = mem_printf("%s/" RUN, dir);
    rc = make_one(d, DATA, err);
    if (rc == 0)
        rc = make_one(d, RUN, err);
    if (rc == 0 && fchmod(d->lock_fd, PASS_THROUGH) < 0)
        rc = err_errno(err, "cannot set the mode of %s", dir);
    return rc;
}

int serverdir_make(struct serverdir *d, const struct pg_identity *as, struct err *err)
{
    int rc;

    *d = (struct serverdir){.as = as, .lock_fd = -1};
    pg_identity_leave(d->as);
    rc = make_own(d, err);
    pg_identity_enter_again(d->as);
    return rc;
}

/* In one of the two directories, as who that is of: what `f` says of it, or -errno. */
static int in_one(int dir, const char *name, int (*f)(int fd))
{
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rc;
    struct pg_identity of = {.change = geteuid() == 0};
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        rc = -errno;
    } else {
        of.uid = st.st_uid;
        of.gid = st.st_gid;
        rc = pg_identity_enter(&of);
    }
    if (rc == 0) {
        rc = f(fd);
        pg_identity_leave(&of);
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

/* What is mounted is busy. */
static int remove_one_own(int dir, const char *name)
{
    int rc = unlinkat(dir, name, AT_REMOVEDIR) < 0 ? -errno : 0;

    if (rc == -ENOTEMPTY)
        rc = in_one(dir, name, io_remove_below);
    if (rc == 0 && unlinkat(dir, name, AT_REMOVEDIR) < 0)
        rc = -errno;
    return rc == -ENOENT ? 0 : rc;
}

/* As who made it. What is still mounted stays, and so does all else then. */
static void remove_own(int dir, const char *path)
{
    if (remove_one_own(dir, DATA) == 0 && remove_one_own(dir, RUN) == 0)
        rmdir(path);
}

void serverdir_remove(struct serverdir *d)
{
    if (d->path) {
        pg_identity_leave(d->as);
        remove_own(d->lock_fd, d->path);
        pg_identity_enter_again(d->as);
        free(d->path);
        free(d->data);
        free(d->run);
    }
    if (d->lock_fd >= 0)
        close(d->lock_fd);
}

bool serverdir_has_mounted(const char *dir)
{
    static const char begins[] = SERVERDIR_PLACE "/" SERVERDIR_PREFIX;
    size_t len = sizeof(begins) - 1 + sizeof("XXXXXX") - 1;

    return strlen(dir) > len && strncmp(dir, begins, sizeof(begins) - 1) == 0 &&
           strcmp(dir + len, "/" DATA) == 0;
}

/*
 * A mount of ours below our own directory that nobody serves any more: nobody else could have put
 * it there, or anything in its place. Whoever is not root asks fusermount3.
 */
static void detach(int dir, const char *path)
{
    char *data = mem_printf("%s/" DATA, path), *there = mem_printf("/proc/self/fd/%d/" DATA, dir);
    char *argv[] = {"fusermount3", "-uzq", "--", data, NULL};
    struct err ignored;
    pid_t pid;

    if (mounts_is(data, MOUNTS_OURS) && umount2(there, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 &&
        errno == EPERM && proc_spawn("fusermount3", argv, NULL, NULL, 0, &pid, &ignored) == 0)
        proc_wait(pid);
    free(there);
    free(data);
}

static bool is_own(const struct stat *st)
{
    mode_t mode = st->st_mode & 0777; /* not yet, or already as make_own makes it */

    return S_ISDIR(st->st_mode) && st->st_uid == geteuid() &&
           (mode == 0700 || mode == PASS_THROUGH);
}

#define LOCK_MAX 1024

/* Its server may end a moment later than the process that started it. 1: it runs. */
static int has_server(int run)
{
    char *text;
    int pid = 0;
    bool has = io_read_text(run, ".s.PGSQL.5432.lock", LOCK_MAX, &text) == 0 &&
               sscanf(text, "%d", &pid) == 1 && pid > 0 && !proc_has_ended((pid_t)pid);

    free(text);
    return has;
}

/* Nobody has the lock: the process that made it was killed. */
static void clear_one(int place, const char *name)
{
    int dir = openat(place, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    char *path = mem_printf(SERVERDIR_PLACE "/%s", name);
    struct stat st;

    if (dir >= 0 && fstat(dir, &st) == 0 && is_own(&st) && flock(dir, LOCK_EX | LOCK_NB) == 0 &&
        in_one(dir, RUN, has_server) != 1) {
        detach(dir, path);
        remove_own(dir, path);
    }
    if (dir >= 0)
        close(dir);
    free(path);
}

static void clear_all(void)
{
    DIR *place = opendir(SERVERDIR_PLACE);
    struct dirent *e;

    while (place && (e = readdir(place)))
        if (strncmp(e->d_name, SERVERDIR_PREFIX, strlen(SERVERDIR_PREFIX)) == 0 &&
            strlen(e->d_name) == strlen(SERVERDIR_PREFIX) + 6)
            clear_one(dirfd(place), e->d_name);
    if (place)
        closedir(place);
}

void serverdir_clear(const struct pg_identity *as)
{
    pg_identity_leave(as);
    clear_all();
    pg_identity_enter_again(as);
}

void serverdir_detach(struct serverdir *d)
{
    pg_identity_leave(d->as);
    detach(d->lock_fd, d->path);
    pg_identity_enter_again(d->as);
}
