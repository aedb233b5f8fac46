#include "pg/identity.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/proc.h"
#include "common/way.h"

/* ---- who ---- */

static int take_user(const struct passwd *pw, struct pg_identity *id, struct err *err)
{
    if (pw->pw_uid == 0)
        return err_set(err, EPERM,
                       "PostgreSQL's programs must not run as root; name another user with "
                       "--run-as");
    *id = (struct pg_identity){.change = true, .uid = pw->pw_uid, .gid = pw->pw_gid};
    return 0;
}

static int find_by_owner(uid_t owner, struct pg_identity *id, struct err *err)
{
    const struct passwd *pw = owner ? getpwuid(owner) : getpwnam("postgres");

    if (!pw && owner)
        return err_set(err, EPERM,
                       "the owner has the number %u and no name: name the user that PostgreSQL's "
                       "programs run as with --run-as",
                       (unsigned)owner);
    if (!pw)
        return err_set(err, EPERM,
                       "there is no user \"postgres\": name the user that PostgreSQL's programs "
                       "run as with --run-as");
    return take_user(pw, id, err);
}

int pg_identity_find(const char *name, uid_t owner, struct pg_identity *id, struct err *err)
{
    const struct passwd *pw = NULL;

    *id = (struct pg_identity){.uid = geteuid(), .gid = getegid()};
    if (name && *name) {
        pw = getpwnam(name);
        if (!pw)
            return err_set(err, EPERM, "there is no user \"%s\"", name);
    }
    if (geteuid() == 0)
        return pw ? take_user(pw, id, err) : find_by_owner(owner, id, err);
    if (pw && pw->pw_uid != geteuid())
        return err_set(err, EPERM, "only root can run PostgreSQL's programs as \"%s\"", name);
    return 0;
}

/* ---- where ---- */

/* Nobody but its owner puts anything there; and it is still his. */
static int check_owned(const char *path, uid_t owner, struct err *err)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return err_errno(err, "cannot open the store %s", path);
    if (st.st_uid != owner)
        return err_set(err, ESTALE, "%s is somebody else's now: it was exchanged", path);
    if (S_ISDIR(st.st_mode) && st.st_mode & (owner ? S_IWOTH : S_IWOTH | S_IWGRP))
        return err_set(err, EPERM,
                       "%s can be written by others than its owner (user %u): no store is safe "
                       "there",
                       path, (unsigned)owner);
    return 0;
}

int pg_identity_check_place(const char *path, uid_t owner, const struct pg_identity *as,
                            struct err *err)
{
    const uid_t trusted[] = {owner, as->uid};
    int rc = geteuid() == 0 ? way_check(path, trusted, 2, err) : 0;

    return rc == 0 && geteuid() == 0 ? check_owned(path, owner, err) : rc;
}

int pg_identity_check_new(const char *path, const struct pg_identity *as, struct err *err)
{
    return geteuid() == 0 ? way_check(path, &as->uid, 1, err) : 0;
}

/* ---- for a while ---- */

/* These tell no error; asked for a user that cannot be, they tell who it is. */
static bool is_entered(uid_t uid, gid_t gid)
{
    return (uid_t)setfsuid((uid_t)-1) == uid && (gid_t)setfsgid((gid_t)-1) == gid;
}

/* The library's setgroups would change all threads. With the user the kernel takes from root what
 * it may do to files of others, and gives it back with root. */
int pg_identity_enter(const struct pg_identity *id)
{
    if (!id->change)
        return 0;
    if (syscall(SYS_setgroups, 0, NULL) < 0)
        return -errno;
    setfsgid(id->gid);
    setfsuid(id->uid);
    if (is_entered(id->uid, id->gid))
        return 0;
    pg_identity_leave(id);
    return -EPERM;
}

void pg_identity_leave(const struct pg_identity *id)
{
    if (!id->change)
        return;
    setfsuid(geteuid());
    setfsgid(getegid());
}

void pg_identity_enter_again(const struct pg_identity *id)
{
    if (pg_identity_enter(id) < 0)
        abort();
}

/* ---- for good ---- */

int pg_identity_return(const struct pg_identity *id)
{
    return id->change && (seteuid(0) < 0 || setegid(0) < 0) ? -errno : 0;
}

/* Groups first: afterwards nobody may. */
int pg_identity_become(const struct pg_identity *id, bool keep_root)
{
    const struct passwd *pw = id->change ? getpwuid(id->uid) : NULL;
    int rc;

    if (!id->change)
        return 0;
    proc_leave_terminal();
    rc = pw ? initgroups(pw->pw_name, id->gid) : setgroups(0, NULL);
    if (rc < 0 || setgid(id->gid) < 0 || setresuid(id->uid, id->uid, keep_root ? 0 : id->uid) < 0)
        return -errno;
    return 0;
}

int pg_identity_renounce(const struct pg_identity *id)
{
    if (!id->change)
        return 0;
    if (setresgid(id->gid, id->gid, id->gid) < 0 || setresuid(id->uid, id->uid, id->uid) < 0)
        return -errno;
    return 0;
}
