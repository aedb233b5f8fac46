#include "cmd/place.h"

#include <errno.h>
#include <ftw.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"

static int become_owner(const char *path, struct err *err)
{
    const struct passwd *pw;
    struct stat st;
    int rc;

    if (geteuid() != 0 || stat(path, &st) < 0 || st.st_uid == 0)
        return 0;
    pw = getpwuid(st.st_uid);
    rc = pw ? initgroups(pw->pw_name, st.st_gid) : setgroups(0, NULL);
    if (rc < 0 || setgid(st.st_gid) < 0 || setuid(st.st_uid) < 0)
        return err_errno(err, "cannot become the owner of %s", path);
    return 0;
}

int place_open(const char *path, bool change, struct store **s, struct err *err)
{
    int rc = change && store_is(path) ? become_owner(path, err)
                                      : 0; /* else store_open says what is wrong */

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
