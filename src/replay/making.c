#include "replay/making.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/proc.h"
#include "common/units.h"
#include "pg/serverlog.h"
#include "replay/serverdir.h"

#define SETTINGS "postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf"

const char *const making_hidden[] = {
    SETTINGS,         "postmaster.pid", "postmaster.opts", "recovery.signal",
    "standby.signal", "tablespace_map", "promote",         NULL};

/* Those of them that somebody who restores a cluster wants back. */
static const char *const shown_settings[] = {SETTINGS, NULL};

/* ---- names and locks of views ---- */

static char *making_path(const struct store *s, const char *name)
{
    return mem_printf("%s/" MAKING_PREFIX "%s", store_path(s), name);
}

#define LOCK_FLAGS (O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)

/* Whose lock it is that path leads to now: it may have been removed, and made anew, in between. */
static bool is_at(const char *path, int fd)
{
    struct stat own, at;

    return fstat(fd, &own) == 0 && S_ISREG(own.st_mode) && lstat(path, &at) == 0 &&
           own.st_ino == at.st_ino && own.st_dev == at.st_dev;
}

/* 1: somebody has it. 0 and no *fd: it was not there, or is another one now. */
static int try_making(const char *path, bool take, int *fd, struct err *err)
{
    int rc = 0;

    *fd = open(path, take ? O_RDWR | O_CREAT | LOCK_FLAGS : O_RDONLY | LOCK_FLAGS, 0600);
    if (*fd < 0)
        return take ? err_errno(err, "cannot make %s", path) : 0;
    if (flock(*fd, (take ? LOCK_EX : LOCK_SH) | LOCK_NB) < 0)
        rc = errno == EWOULDBLOCK ? 1 : err_errno(err, "cannot lock %s", path);
    if (rc == 0 && take && is_at(path, *fd))
        return 0;
    close(*fd);
    *fd = -1;
    return rc;
}

#define MAKING_TRIES 100

int making_lock(const struct store *s, const char *name, bool take, int *fd, struct err *err)
{
    char *path;
    int rc = store_check_view_name(name, err), i;

    *fd = -1;
    if (rc < 0)
        return rc;
    path = making_path(s, name);
    rc = try_making(path, take, fd, err);
    for (i = 0; rc == 0 && take && *fd < 0; i++)
        rc = i < MAKING_TRIES ? try_making(path, take, fd, err)
                              : err_set(err, EINVAL, "cannot lock %s: it is no file", path);
    free(path);
    return rc;
}

void making_unlock(const struct store *s, const char *name, int fd)
{
    char *path = making_path(s, name);

    unlink(path);
    close(fd);
    free(path);
}

/* The maker may be between two replays and not hold the view. */
int making_check_none(struct store *s, struct err *err)
{
    DIR *d = opendir(store_path(s));
    struct dirent *e;
    int rc = 0, fd;

    if (!d)
        return err_errno(err, "cannot read %s", store_path(s));
    while (rc == 0 && (e = readdir(d))) {
        const char *name = e->d_name + strlen(MAKING_PREFIX);

        if (strncmp(e->d_name, MAKING_PREFIX, strlen(MAKING_PREFIX)) != 0)
            continue;
        rc = making_lock(s, name, false, &fd, err);
        if (rc == 1)
            rc = store_has_view(s, name)
                     ? 0
                     : err_set(err, EBUSY,
                               "nothing is removed: the view \"%s\" is being made, and what it "
                               "needs is not known yet; try again",
                               name);
    }
    closedir(d);
    return rc;
}

int making_drop_view(struct store *s, const char *name, struct err *err)
{
    int fd, rc;

    if (!store_has_view(s, name)) /* says so; and no lock is made for it */
        return store_drop_view(s, name, err);
    rc = making_lock(s, name, true, &fd, err);
    if (rc == 1)
        return err_set(err, EBUSY, "the view \"%s\" is being made by another process", name);
    if (rc < 0)
        return rc;
    rc = store_drop_view(s, name, err);
    making_unlock(s, name, fd);
    return rc;
}

/* Locks that nobody has: of processes that were killed. */
static void clear_making(const struct store *s)
{
    DIR *dir = opendir(store_path(s));
    struct dirent *e;
    char *path;
    int fd;

    while (dir && (e = readdir(dir))) {
        if (strncmp(e->d_name, MAKING_PREFIX, strlen(MAKING_PREFIX)) != 0)
            continue;
        path = making_path(s, e->d_name + strlen(MAKING_PREFIX));
        if (try_making(path, true, &fd, NULL) == 0 && fd >= 0) {
            unlink(path);
            close(fd);
        }
        free(path);
    }
    if (dir)
        closedir(dir);
}

bool making_is_temporary(const char *name)
{
    size_t n = strlen(name), end = strlen(MAKING_TEMPORARY);

    return n > end && strcmp(name + n - end, MAKING_TEMPORARY) == 0;
}

/* "NAME-<pid>.tmp": of a process that may have ended. */
static bool is_leftover(const char *name)
{
    const char *dash = strrchr(name, '-');
    char *end;
    long pid = dash ? strtol(dash + 1, &end, 10) : 0;

    return pid > 0 && strcmp(end, MAKING_TEMPORARY) == 0 && proc_has_ended((pid_t)pid);
}

char *making_temporary_name(const char *what)
{
    return mem_printf("%s-%d%s", what, (int)getpid(), MAKING_TEMPORARY);
}

/* Those on others first: they are the scratch views. */
void making_clear_leftovers(struct store *s)
{
    char **names, **n;
    int round;

    if (store_views(s, &names, NULL) < 0)
        return;
    for (round = 0; round < 2; round++)
        for (n = names; *n; n++)
            if (is_leftover(*n))
                store_drop_view(s, *n, NULL);
    store_names_free(names);
    clear_making(s);
}

int making_read_bases(struct store *s, char *const *ids, struct moment_base **bases, unsigned *n,
                      struct err *err)
{
    size_t count = 0;
    int rc = 0;

    while (ids[count])
        count++;
    *bases = mem_array(count + 1, sizeof(**bases));
    for (*n = 0; rc == 0 && *ids; ids++) {
        (*bases)[*n].id = *ids;
        rc = store_base_facts(s, *ids, &(*bases)[*n].facts, err);
        if (rc == -ENOENT && !store_has_base(s, *ids)) {
            rc = 0; /* it was dropped since they were listed */
            continue;
        }
        if (rc == 0 && !(*bases)[*n].facts.plain)
            (*n)++;
    }
    return rc;
}

bool making_needs_more_prepared(unsigned *prepared, const struct err *err)
{
    if (*prepared >= MAKING_PREPARED_MARGIN || !serverlog_says_prepared_full(err->text))
        return false;
    *prepared = MAKING_PREPARED_MARGIN;
    return true;
}

#define LOCKS_OF_NEW_TABLES 16384u /* that are only in the log */
#define FEWEST_LOCKS 10u           /* that PostgreSQL allows */

const char *making_enough_locks(struct store *s, const char *view, unsigned transactions,
                                char out[MAKING_LOCKS_MAX])
{
    uint64_t files = 1u << 17, each;
    struct store_base b;

    if (store_open_below_view(s, view, &b, NULL) == 0) {
        files = manifest_entries(b.manifest);
        store_close_base(&b);
    }
    each = (2 * files + LOCKS_OF_NEW_TABLES) / transactions + FEWEST_LOCKS;
    snprintf(out, MAKING_LOCKS_MAX, "%" PRIu64, each);
    return out;
}

int making_open_pages(struct store *s, const char *view, bool check, struct store_view **v,
                      struct err *err)
{
    struct datadir_recovery recovery;
    const char *const *name;
    unsigned flags = STORE_READ_ONLY | (check ? 0 : STORE_NO_BASE_CHECK);
    int rc = store_open_view(s, view, flags, log_complaint, NULL, v, &recovery, err);

    for (name = shown_settings; rc == 0 && *name; name++)
        rc = dirtree_show(datadir_tree(store_view_datadir(*v)), *name, err);
    if (rc < 0 && *v)
        store_close_view(*v, NULL);
    if (rc < 0)
        *v = NULL;
    return rc;
}

#define LITTLE (UINT64_C(64) << 20) /* a server needs new segments of log, too */

/* What has no room is the place of the private server, or memory that it shares. */
static bool is_elsewhere(const char *text)
{
    const char *place = strstr(text, SERVERDIR_PLACE "/" SERVERDIR_PREFIX);
    size_t len = strlen(SERVERDIR_PLACE "/" SERVERDIR_PREFIX "XXXXXX");

    if (serverlog_names_shared_memory(text))
        return true;
    return place && strlen(place) > len && strncmp(place + len, "/data", 5) != 0;
}

void making_hint_full(const struct store *s, struct err *err)
{
    struct statvfs disk;
    char size[32];
    uint64_t free_bytes;

    if (!strstr(err->text, strerror(ENOSPC)) || is_elsewhere(err->text) ||
        statvfs(store_path(s), &disk) < 0)
        return;
    free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    if (free_bytes < LITTLE)
        err_hint(err,
                 "The disk of the store %s is full (%s are free): pages that replay changes are "
                 "kept there. Make room on it (asofs view drop, asofs prune), and try again.",
                 store_path(s), units_format_size(free_bytes, size, sizeof(size)));
}

int making_hint_fetcher(const char *said, struct err *err)
{
    return err_hint(err, "the command that fetches the log failed last with:\n%s", said);
}

int making_sync_view(struct store *s, const char *view, struct err *err)
{
    struct datadir_recovery recovery;
    struct store_view *v = NULL;
    int rc = store_open_view(s, view, STORE_NO_BASE_CHECK, NULL, NULL, &v, &recovery, err);

    if (rc == 0 && recovery.unclean)
        rc =
            err_set(err, EIO, "the view \"%s\" was not closed by the process that served it", view);
    if (rc == 0)
        rc = datadir_complete(store_view_datadir(v), err);
    if (v && store_close_view(v, rc < 0 ? NULL : err) < 0 && rc == 0)
        rc = -err->code;
    return rc;
}
