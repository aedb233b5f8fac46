/*
 * Tablespaces that lie elsewhere. The link in pg_tblspc is on disk what it is without us; shown,
 * it leads to .tablespaces/<oid>, so that what the server does there comes through here, and is
 * kept like all else.
 *
 * CREATE TABLESPACE makes its directory in the location, and then the link: with the link the
 * directory is read, and served from then on. Recovery removes the link of one that it replays, and
 * makes it anew, with all that is in the directory: so a space that is not empty *lingers* until
 * the link is there again. If that does not come, the next start would not find what freezes see in
 * it: seen.c notes it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "live/livestate.h"

/* ---- where one lies ---- */

/* What is removed from it is renamed into an epoch. */
static int check_place(const struct livedir *l, struct live_space *s, struct err *err)
{
    const unsigned mask = STATX_BASIC_STATS | STATX_MNT_ID;
    struct statx place, data;

    if (statx(s->fd, "", AT_EMPTY_PATH, mask, &place) < 0 ||
        statx(l->dir, "", AT_EMPTY_PATH, mask, &data) < 0)
        return err_errno(err, "cannot look at %s", s->path);
    s->id = place.stx_ino;
    if (place.stx_dev_major == data.stx_dev_major && place.stx_dev_minor == data.stx_dev_minor &&
        (!(place.stx_mask & data.stx_mask & STATX_MNT_ID) || place.stx_mnt_id == data.stx_mnt_id))
        return 0;
    err_set(err, EXDEV, "%s lies on another file system than the data directory", s->path);
    return err_hint(err,
                    "What the server removes there is moved into the store, and must be on its "
                    "file system: move the directory to it, or its tables to another "
                    "tablespace.");
}

static int open_place(const struct livedir *l, struct live_space *s, struct err *err)
{
    s->fd = io_openat(AT_FDCWD, s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, RESOLVE_NO_SYMLINKS);
    if (s->fd < 0)
        return err_errno(err, "cannot open %s", s->path);
    return check_place(l, s, err);
}

void live_close_space(struct live_space *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

/* With nothing in it that would lead back. */
static bool is_plain(const char *path)
{
    char slashed[PATH_MAX + 1];

    return *path == '/' && snprintf(slashed, sizeof(slashed), "%s/", path) < PATH_MAX &&
           !strstr(slashed, "//") && !strstr(slashed, "/./") && !strstr(slashed, "/../");
}

static bool is_served(const struct livedir *l, const char *path)
{
    size_t n = l->options.mount ? strlen(l->options.mount) : 0;

    return n && strncmp(path, l->options.mount, n) == 0 && (path[n] == '/' || !path[n]);
}

/*
 * While the kernel makes the link it holds pg_tblspc: who went through the mount for the location
 * would wait for himself. So nothing in it may lead there.
 */
int live_find_space(const struct livedir *l, const char *oid, const char *target,
                    struct live_space *s, struct err *err)
{
    s->fd = -1;
    if (!nodes_is_oid(oid))
        return err_set(err, EPERM,
                       "it is no tablespace's, and what it leads to would not be "
                       "frozen");
    if (is_served(l, target))
        return err_set(err, EPERM,
                       "%s lies in the data directory: give a directory outside of it, on the same "
                       "file system",
                       target);
    if (!is_plain(target))
        return err_set(err, EPERM, "%s is no plain absolute path", target);
    snprintf(s->path, sizeof(s->path), "%s", target);
    if (open_place(l, s, err) == 0)
        return 0;
    return err->code == ELOOP ? err_hint(err, "Name it by its path without symbolic links.")
                              : -err->code;
}

/* ---- among the names ---- */

int live_note_space(struct livedir *l, struct epoch *e, const char *oid)
{
    const struct node *spaces = nodes_of_id(&l->nodes, NODES_SPACES);

    return spaces ? live_note_name(l, e, spaces, oid, 0) : 0;
}

static int check_new(const struct livedir *l, const struct live_space *s, struct err *err)
{
    if (nodes_of_id(&l->nodes, s->id))
        return err_set(err, EEXIST, "%s is in the data directory, or a tablespace, already",
                       s->path);
    if (!nodes_of_id(&l->nodes, NODES_SPACES))
        return err_set(err, EEXIST,
                       "the data directory has a file \"" NODES_SPACES_NAME
                       "\", the name under which its tablespaces are shown");
    return 0;
}

static void set_born(struct node *n, uint64_t born)
{
    struct node *child;

    n->born = born;
    for (child = n->children; child; child = child->next)
        set_born(child, born);
}

static int add_new(struct livedir *l, const char *oid, const struct live_space *s, uint64_t born,
                   struct err *err)
{
    struct node *n;
    int rc = check_new(l, s, err);

    if (rc < 0)
        return rc;
    n = nodes_add_space(&l->nodes, oid, s->path, s->id);
    if (!n)
        return err_set(err, ENOMEM, "no memory for the names of a tablespace");
    rc = nodes_read_space(&l->nodes, n, s->fd, err);
    if (rc < 0)
        nodes_remove_space(&l->nodes, n);
    else
        set_born(n, born);
    return rc;
}

int live_add_space(struct livedir *l, const char *oid, const struct live_space *s, uint64_t born,
                   struct err *err)
{
    const struct node *n = nodes_space(&l->nodes, oid);

    if (!n)
        return add_new(l, oid, s, born, err);
    return node_id(n) == s->id
               ? 0
               : err_set(err, EEXIST, "what was in it before lies elsewhere, and is still there");
}

void live_set_lingering(struct livedir *l, struct node *space, bool lingers)
{
    if (space->lingers == lingers || (lingers && !space->children))
        return;
    space->lingers = lingers;
    l->lingering += lingers ? 1 : -1u;
    live_note_lingering(l);
}

bool live_space_target(const struct livedir *l, const struct node *link, char target[PATH_MAX])
{
    const char *mount = l->options.mount;

    if (!S_ISLNK(link->mode) || !link->linked || !nodes_has_space_links(link->parent) ||
        !nodes_space(&l->nodes, link->name))
        return false;
    return snprintf(target, PATH_MAX, "%s/" NODES_SPACES_NAME "/%s", mount ? mount : "..",
                    link->name) < PATH_MAX;
}

/* ---- those that there are at the start ---- */

static int read_link(struct livedir *l, const char *data, const char *oid, struct err *err)
{
    struct live_space s = {.fd = -1};
    char link[PATH_MAX];
    int rc = 0;

    if (snprintf(link, sizeof(link), "%s/" NODES_SPACE_LINKS "/%s", data, oid) >= PATH_MAX)
        rc = err_set(err, ENAMETOOLONG, "%s: its path is too long", data);
    else if (!realpath(link, s.path))
        rc = err_errno(err, "%s leads to no directory that can be found", link);
    if (rc == 0)
        rc = open_place(l, &s, err);
    if (rc == 0)
        rc = add_new(l, oid, &s, 0, err);
    live_close_space(&s);
    return rc < 0 ? err_prefix(err, "tablespace %s", oid) : 0;
}

int live_read_spaces(struct livedir *l, const char *data, struct err *err)
{
    struct node *dir = nodes_child(&l->nodes, l->nodes.root, NODES_SPACE_LINKS), *n;
    int rc = 0;

    for (n = dir ? dir->children : NULL; n && rc == 0; n = n->next)
        if (S_ISLNK(n->mode))
            rc = read_link(l, data, n->name, err);
    return rc;
}
