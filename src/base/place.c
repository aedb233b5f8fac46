#include "base/place.h"

#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "pg/identity.h"

/* 1: there is none. */
static int become_owner(const char *path, struct err *err)
{
    struct pg_identity owner = {.change = true};
    struct stat st;
    int rc;

    if (geteuid() != 0)
        return 0;
    if (stat(path, &st) < 0)
        return 1;
    owner.uid = st.st_uid;
    owner.gid = st.st_gid;
    rc = pg_identity_check_place(path, st.st_uid, &owner, err);
    if (rc < 0 || st.st_uid == 0)
        return rc;
    rc = pg_identity_become(&owner, false);
    return rc < 0 ? err_set(err, -rc, "cannot become the owner of %s: %s", path, strerror(-rc)) : 0;
}

int place_open(const char *path, struct store **s, struct err *err)
{
    int rc = become_owner(path, err), missing = rc == 1;

    if (rc >= 0)
        rc = store_open(path, s, err); /* says what is wrong */
    if (rc < 0 || !missing)
        return rc;
    store_close(*s);
    *s = NULL;
    return err_set(err, ESTALE, "%s was not there a moment ago", path);
}

int place_check_new(const char *path, struct err *err)
{
    struct pg_identity root = {0};
    struct stat st;

    if (geteuid() == 0 && lstat(path, &st) == 0)
        return pg_identity_check_place(path, 0, &root, err);
    return pg_identity_check_new(path, &root, err);
}

static uint64_t counted; /* nftw has no argument for its caller */

static int count_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)path, (void)ftw;
    if (flag != FTW_NS)
        counted += (uint64_t)st->st_blocks * 512;
    return 0;
}

uint64_t place_bytes(const struct store *s, const char *name)
{
    char *path = mem_printf("%s/%s", store_path(s), name);

    counted = 0;
    nftw(path, count_one, 16, FTW_PHYS);
    free(path);
    return counted;
}
