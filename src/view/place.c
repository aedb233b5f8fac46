#include "view/place.h"

#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "pg/identity.h"

static int become_owner(const char *path, struct err *err)
{
    struct pg_identity owner = {.change = true};
    struct stat st;
    int rc;

    if (geteuid() != 0 || stat(path, &st) < 0 || st.st_uid == 0)
        return 0; /* store_open says what is wrong */
    owner.uid = st.st_uid;
    owner.gid = st.st_gid;
    rc = pg_identity_become(&owner, false);
    return rc < 0 ? err_set(err, -rc, "cannot become the owner of %s: %s", path, strerror(-rc)) : 0;
}

int place_open(const char *path, struct store **s, struct err *err)
{
    int rc = become_owner(path, err);

    return rc < 0 ? rc : store_open(path, s, err);
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
