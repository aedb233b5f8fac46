#include "base/writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"

static int give_below(int fd, const struct pg_identity *to);

static int give_one(int fd, const char *name, const struct pg_identity *to)
{
    int below = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    int rc = 0;

    if (below >= 0) {
        rc = give_below(below, to);
        close(below);
    }
    if (rc < 0 || fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_uid != 0)
        return rc;
    return fchownat(fd, name, to->uid, to->gid, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

/* What is in a directory before the directory itself: until that is his, he cannot get in and put
 * something else in the place of what is to be given. */
static int give_below(int fd, const struct pg_identity *to)
{
    int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
    DIR *dir = copy < 0 ? NULL : fdopendir(copy);
    struct dirent *e;

    if (!dir)
        return -errno;
    while (rc == 0 && (errno = 0, e = readdir(dir)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = give_one(fd, e->d_name, to);
    if (rc == 0)
        rc = -errno;
    closedir(dir);
    return rc;
}

/* A name that was mistyped is no reason to give all of /etc to somebody, nor is what others could
 * put into a directory. */
static int check_is_store(const struct writer *w, int fd, struct err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return err_errno(err, "cannot look at %s", w->path);
    if (st.st_uid != 0 || st.st_mode & (S_IWGRP | S_IWOTH))
        return err_set(err, EPERM,
                       "%s can be written by others than root; name a directory of its own",
                       w->path);
    if (io_is_empty(fd) == 1 || (fstatat(fd, STORE_FILE, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                                 S_ISREG(st.st_mode) && st.st_uid == 0))
        return 0;
    return err_set(err, ENOTEMPTY, "%s is not empty, and no store; name a directory of its own",
                   w->path);
}

/* A store of root's (asofs store create) becomes that of who writes it from now on. */
static int give_store(struct writer *w, struct err *err)
{
    int fd = open(w->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 ? -errno : 0;

    if (fd >= 0 && check_is_store(w, fd, err) < 0) {
        close(fd);
        return -err->code;
    }
    if (rc == 0)
        rc = give_below(fd, &w->who);
    if (rc == 0 && fchown(fd, w->who.uid, w->who.gid) < 0)
        rc = -errno;
    if (fd >= 0)
        close(fd);
    return rc < 0 ? err_set(err, -rc, "cannot give %s to the user %u: %s", w->path,
                            (unsigned)w->who.uid, strerror(-rc))
                  : 0;
}

/* The kernel's default for those who never changed. */
static void let_be_looked_at(void)
{
    prctl(PR_SET_DUMPABLE, 1);
}

/* For good, except for undo_store. */
static int become(struct writer *w, struct err *err)
{
    const struct passwd *pw = getpwuid(w->who.uid);
    char *name;
    int rc;

    if (!w->who.change)
        return 0;
    if (!pw)
        return err_set(err, EPERM, "there is no user with the number %u", (unsigned)w->who.uid);
    setenv("HOME", pw->pw_dir, 1); /* his password and service files count */
    name = mem_strdup(pw->pw_name);
    rc = pg_identity_become(&w->who, true);
    if (rc < 0)
        err_set(err, -rc, "cannot become the user %s: %s", name, strerror(-rc));
    free(name);
    if (rc < 0)
        return rc;
    let_be_looked_at();
    w->became = w->who;
    w->who.change = false;
    return 0;
}

static int choose_writer(struct writer *w, bool needs_programs, struct err *err)
{
    struct stat st;
    bool there = stat(w->path, &st) == 0;
    int rc;

    if (!needs_programs && there && geteuid() == 0 && st.st_uid == 0 && !w->run_as) {
        w->who = (struct pg_identity){.uid = 0};
        return pg_identity_check_place(w->path, 0, &w->who, err);
    }
    rc = pg_identity_find(w->run_as, there ? st.st_uid : geteuid(), &w->who, err);
    if (rc == 0)
        rc = there ? pg_identity_check_place(w->path, st.st_uid, &w->who, err)
                   : pg_identity_check_new(w->path, &w->who, err);
    if (rc == 0 && needs_programs && there && w->who.change && st.st_uid == 0)
        rc = give_store(w, err);
    return rc;
}

/* Only if it is as root has made it, and nothing that somebody else has put in its place. */
static int fchown_own(int fd, const struct pg_identity *to)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -1;
    errno = ESTALE;
    return st.st_uid == geteuid() && io_is_empty(fd) == 1 ? fchown(fd, to->uid, to->gid) : -1;
}

/* The directory, made by root for him who fills it. */
static int make_directory(struct writer *w, struct err *err)
{
    int fd, rc;

    if (!w->who.change || mkdir(w->path, 0700) < 0)
        return 0; /* there, or store_create says why not */
    w->made_directory = true;
    fd = open(w->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    rc = fd < 0 ? -1 : fchown_own(fd, &w->who);
    if (fd >= 0)
        close(fd);
    if (rc < 0)
        return err_errno(err, "cannot give %s to the user %u", w->path, (unsigned)w->who.uid);
    return 0;
}

int writer_open(struct writer *w, bool needs_programs, struct err *err)
{
    int rc;

    if (!store_is(w->path)) {
        rc = store_open(w->path, &w->store, err); /* says what is wrong */
        return rc < 0 ? rc : err_set(err, ESTALE, "%s was no store a moment ago", w->path);
    }
    rc = choose_writer(w, needs_programs, err);
    if (rc == 0)
        rc = become(w, err);
    if (rc == 0)
        rc = store_open(w->path, &w->store, err);
    return rc;
}

int writer_open_or_make(struct writer *w, struct err *err)
{
    bool there = access(w->path, F_OK) == 0;
    int rc;

    if (store_is(w->path))
        return writer_open(w, true, err);
    rc = choose_writer(w, true, err);
    if (rc == 0 && !there)
        rc = make_directory(w, err);
    if (rc == 0)
        rc = become(w, err);
    if (rc == 0) {
        rc = store_create(w->path, err);
        w->fresh = rc == 0;
        if (rc == 0 && !there)
            w->made_directory = true;
    }
    return rc == 0 ? store_open(w->path, &w->store, err) : rc;
}

/* A store that was made for nothing. */
static void undo_store(struct writer *w)
{
    static const char *const names[] = {"log", "base", "view", "taking", "lock", "store.json"};
    char *path;
    size_t i;

    for (i = 0; w->fresh && i < sizeof(names) / sizeof(*names); i++) {
        path = mem_printf("%s/%s", w->path, names[i]);
        io_remove_tree(path);
        free(path);
    }
    if (!w->made_directory || rmdir(w->path) == 0 || !w->became.change)
        return;
    if (pg_identity_return(&w->became) == 0)
        rmdir(w->path);
}

void writer_close(struct writer *w, int rc)
{
    store_close(w->store);
    if (rc < 0)
        undo_store(w);
    if (w->became.change && pg_identity_renounce(&w->became) == 0)
        let_be_looked_at();
}
