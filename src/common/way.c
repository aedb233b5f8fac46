#include "common/way.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"

#define LINKS_MAX 40 /* as the kernel */

struct way {
    const uid_t *trusted;
    size_t n;
    char *at;   /* without links; "" is the root */
    char *rest; /* what is still to be gone */
    unsigned links;
};

static bool is_trusted(const struct way *w, uid_t uid)
{
    size_t i;

    for (i = 0; i < w->n; i++)
        if (w->trusted[i] == uid)
            return true;
    return uid == 0;
}

static int refuse_way(uid_t uid, const char *what, const char *why, struct err *err)
{
    err_set(err, EPERM, "%s %s (user %u)", what, why, (unsigned)uid);
    return err_hint(err, "Root works only where nobody but itself, and the owner of the store, can "
                         "put something else in its place. Run asofs as that user, or name a "
                         "place of root's.");
}

/* With the group that a user has for himself he shares nothing. */
static bool is_shared(const struct stat *st)
{
    const struct passwd *pw = st->st_mode & S_IWGRP ? getpwuid(st->st_uid) : NULL;

    return st->st_mode & S_IWOTH || (st->st_mode & S_IWGRP && (!pw || pw->pw_gid != st->st_gid));
}

/* What lies in it stays, but for its owner's doing. In a sticky directory each has his own. */
static int check_directory(const struct way *w, struct err *err)
{
    const char *path = *w->at ? w->at : "/";
    struct stat st;

    if (lstat(path, &st) < 0)
        return 0;
    if (!is_trusted(w, st.st_uid))
        return refuse_way(st.st_uid, path, "belongs to somebody else", err);
    if (is_shared(&st) && !(st.st_mode & S_ISVTX))
        return refuse_way(st.st_uid, path, "can be written by others than its owner", err);
    return 0;
}

static void replace(char **text, char *with)
{
    free(*text);
    *text = with;
}

static void go_up(struct way *w)
{
    char *slash = strrchr(w->at, '/');

    if (slash)
        *slash = '\0';
}

/* 1: there is one, which is the way now. */
static int follow_link(struct way *w, const char *path, struct err *err)
{
    char target[PATH_MAX];
    ssize_t len;
    struct stat st;

    if (lstat(path, &st) < 0 || !S_ISLNK(st.st_mode))
        return 0;
    if (!is_trusted(w, st.st_uid))
        return refuse_way(st.st_uid, path, "is a link of somebody else", err);
    len = ++w->links > LINKS_MAX ? -1 : readlink(path, target, sizeof(target) - 1);
    if (len < 0)
        len = 0; /* whoever opens it fails, too */
    target[len] = '\0';
    if (*target == '/')
        *w->at = '\0';
    replace(&w->rest, mem_printf("%s/%s", target, w->rest));
    return 1;
}

static int step(struct way *w, const char *name, struct err *err)
{
    char *path = mem_printf("%s/%s", w->at, name);
    int rc = check_directory(w, err);

    if (rc == 0)
        rc = follow_link(w, path, err);
    if (rc == 0)
        replace(&w->at, mem_strdup(path));
    free(path);
    return rc < 0 ? rc : 0;
}

/* The first name of what is still to be gone, which is shorter by it then. */
static char *take_name(struct way *w)
{
    const char *begin = w->rest + strspn(w->rest, "/");
    size_t len = strcspn(begin, "/");
    char *name = mem_printf("%.*s", (int)len, begin);

    replace(&w->rest, mem_strdup(begin + len));
    return name;
}

static int go_on(struct way *w, struct err *err)
{
    char *name = take_name(w);
    int rc = 0;

    if (strcmp(name, "..") == 0)
        go_up(w);
    else if (*name && strcmp(name, ".") != 0)
        rc = step(w, name, err);
    free(name);
    return rc;
}

int way_check(const char *path, const uid_t *trusted, size_t n, struct err *err)
{
    struct way w = {.trusted = trusted, .n = n, .at = mem_strdup("")};
    char *here = *path == '/' ? NULL : getcwd(NULL, 0);
    int rc = 0;

    w.rest = mem_printf("%s/%s", here ? here : "", path);
    while (rc == 0 && w.rest[strspn(w.rest, "/")])
        rc = go_on(&w, err);
    free(here);
    free(w.at);
    free(w.rest);
    return rc;
}
