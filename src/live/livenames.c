/*
 * Names: what a name stands for is noted in the newest epoch before it is changed for the first
 * time in it, and what loses its last name is moved there when a freeze sees it. The live name is
 * missing at no time: what a renaming replaces is first linked into the epoch, then replaced.
 *
 * A link in pg_tblspc brings the names of a tablespace with it, and takes them away (spaces.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "live/livestate.h"

/* ---- a change ---- */

struct change {
    struct livedir *l;
    unsigned entered;
    uint64_t newest; /* number; what is made is born in it */
    struct epoch *e; /* that saves; NULL: none */
    struct wal_leaving wal;
};

static struct change begin_change(struct livedir *l)
{
    struct change c = {.l = l, .entered = phase_enter(&l->phase)};

    struct epoch *newest;

    pthread_rwlock_wrlock(&l->tree);
    newest = atomic_load(&l->newest);
    c.newest = newest ? newest->number : 0;
    c.e = live_if_saving(newest);
    live_step("names: took the newest");
    live_changes(l);
    return c;
}

/* One by which a segment of the log may go. */
static struct change begin_leaving(struct livedir *l, const struct wal_leaving *wal)
{
    struct change c = begin_change(l);

    c.wal = *wal;
    return c;
}

static int end_change(struct change *c, int rc)
{
    live_root_changed(c->l);
    pthread_rwlock_unlock(&c->l->tree);
    phase_leave(&c->l->phase, c->entered);
    live_wal_end(c->l, &c->wal);
    return rc;
}

/* From now on it goes on without. */
static void lost(struct change *c, int rc, const char *what)
{
    live_fail(c->l, rc, what);
    c->e = NULL;
}

static void note(struct change *c, const struct node *dir, const char *name, uint64_t born)
{
    int rc = c->e ? live_note_name(c->l, c->e, dir, name, born) : 0;

    if (rc < 0)
        lost(c, rc, "a name");
}

static void note_space(struct change *c, const char *oid)
{
    int rc = c->e ? live_note_space(c->l, c->e, oid) : 0;

    if (rc < 0)
        lost(c, rc, "a name");
}

static int check_name(const char *name)
{
    if (strlen(name) > NAME_MAX)
        return -ENAMETOOLONG;
    return !*name || !strcmp(name, ".") || !strcmp(name, "..") || strchr(name, '/') ? -EINVAL : 0;
}

/* The directory, and what the name in it stands for (NULL: nothing). */
static int find(struct livedir *l, uint64_t number, const char *name, struct node **dir,
                struct node **n)
{
    int rc = check_name(name);

    if (rc < 0)
        return rc;
    *dir = nodes_of_number(&l->nodes, number);
    if (!*dir || !(*dir)->linked)
        return -ENOENT;
    if (!S_ISDIR((*dir)->mode))
        return -ENOTDIR;
    *n = nodes_child(&l->nodes, *dir, name);
    return 0;
}

/* ---- looking ---- */

static bool is_fleeting(const struct node *dir, const char *name)
{
    return node_id(dir) == NODES_SPACES ||
           (dir->parent == dir && strcmp(name, NODES_SPACES_NAME) == 0);
}

static bool is_empty_made_up(const struct node *n)
{
    return node_id(n) == NODES_SPACES && !n->children;
}

int livedir_lookup(struct livedir *l, uint64_t dir, const char *name, struct live_node *out)
{
    struct node *d, *n;
    int rc;

    pthread_rwlock_rdlock(&l->tree);
    rc = find(l, dir, name, &d, &n);
    out->fleeting = false;
    if (rc == 0) {
        rc = n && !is_empty_made_up(n) ? live_stat_node(l, n, out) : -ENOENT;
        out->fleeting |= is_fleeting(d, name);
    }
    pthread_rwlock_unlock(&l->tree);
    return rc;
}

int livedir_stat(struct livedir *l, uint64_t number, struct live_node *out)
{
    struct node *n;
    int rc = -ESTALE;

    pthread_rwlock_rdlock(&l->tree);
    n = nodes_of_number(&l->nodes, number);
    if (n)
        rc = live_stat_node(l, n, out);
    pthread_rwlock_unlock(&l->tree);
    return rc;
}

/* The path of a node that has a name; the tree is locked. */
static int path_of(struct livedir *l, uint64_t number, struct node **n, char path[PATH_MAX])
{
    *n = nodes_of_number(&l->nodes, number);
    return *n && (*n)->linked ? nodes_path(*n, NULL, path) : -ESTALE;
}

int livedir_readlink(struct livedir *l, uint64_t number, char *target, size_t room)
{
    char path[PATH_MAX];
    struct node *n;
    ssize_t len;
    int rc;

    pthread_rwlock_rdlock(&l->tree);
    rc = path_of(l, number, &n, path);
    len = rc < 0 ? rc : readlinkat(l->dir, path, target, room - 1);
    if (rc == 0 && len < 0)
        rc = -errno;
    if (rc == 0)
        target[len] = '\0';
    if (rc == 0 && live_space_target(l, n, path))
        snprintf(target, room, "%s", path);
    pthread_rwlock_unlock(&l->tree);
    return rc;
}

int livedir_list(struct livedir *l, uint64_t dir,
                 int (*each)(void *arg, const char *name, uint64_t number, mode_t mode), void *arg)
{
    struct node *d, *n;
    int rc = 0;

    pthread_rwlock_rdlock(&l->tree);
    d = nodes_of_number(&l->nodes, dir);
    if (!d || !S_ISDIR(d->mode))
        rc = d ? -ENOTDIR : -ESTALE;
    for (n = rc == 0 ? d->children : NULL; n && rc == 0; n = n->next)
        if (node_id(n) != NODES_SPACES) /* pg_basebackup would read it twice */
            rc = each(arg, n->name, node_number(n), n->mode);
    pthread_rwlock_unlock(&l->tree);
    return rc;
}

int livedir_parent(struct livedir *l, uint64_t dir, uint64_t *parent)
{
    struct node *d;

    pthread_rwlock_rdlock(&l->tree);
    d = nodes_of_number(&l->nodes, dir);
    if (d)
        *parent = node_number(d->parent);
    pthread_rwlock_unlock(&l->tree);
    return d ? 0 : -ESTALE;
}

/* ---- making ---- */

/* What was just made at the path: a node, born now. On failure it stays, and is found at the next
 * start. */
static int add_made(struct change *c, struct node *dir, const char *name, const char *path,
                    struct node **n)
{
    struct livedir *l = c->l;
    struct stat st;

    if (fstatat(l->dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    *n = nodes_add(&l->nodes, dir, name, st.st_ino, st.st_mode);
    if (!*n)
        return -ENOMEM;
    (*n)->born = c->newest;
    if (c->e && !(*n)->exempt)
        note(c, dir, name, st.st_ino);
    return 0;
}

/* Where something new is to be; noted. */
static int begin_making(struct change *c, uint64_t parent, const char *name, struct node **dir,
                        char path[PATH_MAX])
{
    struct node *n;
    int rc = find(c->l, parent, name, dir, &n);

    if (rc == 0)
        rc = n ? -EEXIST : nodes_may_have(*dir, name) ? nodes_path(*dir, name, path) : -EPERM;
    if (rc < 0)
        return rc;
    note(c, *dir, name, 0);
    live_root_changes(c->l, *dir);
    live_step("names: before something is made");
    return rc;
}

static int create_file(struct change *c, uint64_t parent, const char *name, mode_t mode, int flags,
                       struct node **n, struct livefile **f)
{
    char path[PATH_MAX];
    struct node *dir;
    int rc = begin_making(c, parent, name, &dir, path), fd;

    if (rc < 0)
        return rc;
    fd = openat(c->l->dir, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, mode & 07777);
    if (fd < 0)
        return -errno;
    rc = fchmod(fd, mode & 07777) < 0 ? -errno : 0; /* the process has a umask */
    if (rc == 0)
        rc = add_made(c, dir, name, path, n);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    return live_open_node(c->l, *n, flags, fd, f);
}

static int open_existing(struct livedir *l, struct node *n, int flags, struct livefile **f)
{
    if (flags & O_EXCL)
        return -EEXIST;
    if (!S_ISREG(n->mode))
        return S_ISDIR(n->mode) ? -EISDIR : -ELOOP;
    return live_open_node(l, n, flags, -1, f);
}

static int create_once(struct livedir *l, uint64_t dir, const char *name, mode_t mode, int flags,
                       struct live_node *out, struct livefile **f)
{
    struct change c = begin_change(l);
    struct node *d, *n;
    int rc = find(l, dir, name, &d, &n);

    if (rc == 0)
        rc = n ? open_existing(l, n, flags, f) : create_file(&c, dir, name, mode, flags, &n, f);
    if (rc == 0)
        rc = live_stat_node(l, n, out);
    return end_change(&c, rc);
}

int livedir_create(struct livedir *l, uint64_t dir, const char *name, mode_t mode, int flags,
                   struct live_node *out, struct livefile **f)
{
    struct room_made made = {0};
    int rc;

    do {
        rc = create_once(l, dir, name, mode, flags, out, f);
    } while (rc == -ENOSPC && live_make_room(l, &made));
    return rc;
}

static int mkdir_once(struct livedir *l, uint64_t dir, const char *name, mode_t mode,
                      struct live_node *out)
{
    struct change c = begin_change(l);
    char path[PATH_MAX];
    struct node *d, *n;
    int rc = begin_making(&c, dir, name, &d, path);

    if (rc == 0 && mkdirat(l->dir, path, mode & 07777) < 0)
        rc = -errno;
    if (rc == 0 && fchmodat(l->dir, path, mode & 07777, 0) < 0)
        rc = -errno;
    if (rc == 0)
        rc = add_made(&c, d, name, path, &n);
    if (rc == 0)
        rc = live_stat_node(l, n, out);
    return end_change(&c, rc);
}

int livedir_mkdir(struct livedir *l, uint64_t dir, const char *name, mode_t mode,
                  struct live_node *out)
{
    struct room_made made = {0};
    int rc;

    do {
        rc = mkdir_once(l, dir, name, mode, out);
    } while (rc == -ENOSPC && live_make_room(l, &made));
    return rc;
}

/* Some servers use a segment of the log again by linking it, and unlinking its old name. */
static int link_file(struct change *c, struct node *n, const char *from, const struct node *dir,
                     const char *to)
{
    struct livedir *l = c->l;

    if (live_is_wal_dir(dir) && live_wal_give_spare(l, &c->wal, n, to))
        return 0;
    if (linkat(l->dir, from, l->dir, to, 0) < 0)
        return -errno;
    live_wal_used_again(l, &c->wal, to);
    return 0;
}

int livedir_link(struct livedir *l, uint64_t number, uint64_t dir, const char *name,
                 struct live_node *out)
{
    char path[PATH_MAX], from[PATH_MAX];
    struct node *d, *n, *made;
    struct wal_leaving wal;
    struct change c;
    int rc;

    live_wal_begin_link(l, &wal, number, name);
    c = begin_leaving(l, &wal);
    rc = path_of(l, number, &n, from);
    if (rc == 0)
        rc = begin_making(&c, dir, name, &d, path);
    if (rc == 0 && (!n->exempt || !nodes_exempt(d, name, n->mode) || !S_ISREG(n->mode)))
        rc = -EPERM;
    if (rc == 0)
        rc = link_file(&c, n, from, d, path);
    if (rc == 0)
        rc = add_made(&c, d, name, path, &made);
    if (rc == 0)
        rc = live_stat_node(l, made, out);
    return end_change(&c, rc);
}

/* ---- removing ---- */

static bool is_seen(const struct change *c, const struct node *n)
{
    /* of a directory "exempt" is what is in it */
    return live_is_seen(c->e, S_ISDIR(n->mode) ? n->parent->exempt : n->exempt, n->born);
}

static void set_kept(struct change *c, struct node *n, const struct stat *st)
{
    struct past *p = past_get(&c->l->pasts, node_id(n), true);

    if (!p) {
        lost(c, -ENOMEM, "a removed file");
        return;
    }
    past_set_kept(p, c->e);
    past_put(p);
    atomic_fetch_add(&c->l->kept, 1);
    atomic_fetch_add(&c->e->bytes, (uint64_t)st->st_blocks * 512);
}

/* A second name there, of a renaming that failed, goes first: renaming the one to the other would do
 * nothing. */
static int move_into(struct change *c, const char *path, const char *kept)
{
    int rc = renameat2(c->l->dir, path, c->e->dir, kept, RENAME_NOREPLACE) < 0 ? -errno : 0;

    if (rc != -EEXIST)
        return rc;
    if (unlinkat(c->e->dir, kept, 0) < 0)
        return -errno;
    return renameat(c->l->dir, path, c->e->dir, kept) < 0 ? -errno : 0;
}

/* The epoch has the file or directory, if a freeze sees it: true. Not yet said of its past; *st: what
 * it was. */
static bool keep(struct change *c, const struct node *n, const char *path, struct stat *st,
                 int (*into)(struct change *c, const char *path, const char *kept),
                 const char *what)
{
    char kept[EPOCH_KEPT_MAX];
    int rc;

    if (!is_seen(c, n))
        return false;
    epoch_kept_path(kept, node_id(n));
    rc = fstatat(c->l->dir, path, st, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
    live_step("names: before a file is kept");
    if (rc == 0)
        rc = into(c, path, kept);
    if (rc < 0)
        lost(c, rc, what);
    return rc == 0;
}

/* The live name goes, and the epoch has what it meant: true. */
static bool move_away(struct change *c, struct node *n, const char *path)
{
    struct stat st;
    bool kept = keep(c, n, path, &st, move_into, "a removed file");

    if (kept)
        set_kept(c, n, &st);
    return kept;
}

static int remove_name(struct change *c, struct node *n, const char *path)
{
    int flag = S_ISDIR(n->mode) ? AT_REMOVEDIR : 0;

    note(c, n->parent, n->name, 0);
    live_root_changes(c->l, n->parent);
    if (!move_away(c, n, path) && !live_wal_keep(c->l, &c->wal, n, path) &&
        unlinkat(c->l->dir, path, flag) < 0)
        return -errno;
    nodes_unlink(&c->l->nodes, n);
    return 0;
}

/* ---- tablespaces ---- */

static bool has_space_links(struct livedir *l, uint64_t number)
{
    const struct node *n;
    bool has;

    pthread_rwlock_rdlock(&l->tree);
    n = nodes_of_number(&l->nodes, number);
    has = n && nodes_has_space_links(n);
    pthread_rwlock_unlock(&l->tree);
    return has;
}

/* The server itself can only say that it is not permitted. */
static int refuse_space(struct livedir *l, const char *oid, const struct err *err)
{
    char text[ERR_TEXT_MAX + 64];

    snprintf(text, sizeof(text), "the tablespace %.32s was not made: %s", oid, err->text);
    if (l->options.complain)
        l->options.complain(l->options.arg, text);
    return -EPERM;
}

static int make_link(struct change *c, struct node *dir, const char *name, const char *path,
                     const char *target, struct node **n)
{
    return symlinkat(target, c->l->dir, path) < 0 ? -errno : add_made(c, dir, name, path, n);
}

static int make_space(struct change *c, struct node *dir, const char *oid, const char *path,
                      const char *target, const struct live_space *s, struct node **n)
{
    struct livedir *l = c->l;
    struct node *space;
    struct err err;
    int rc;

    note_space(c, oid);
    if (live_add_space(l, oid, s, c->newest, &err) < 0)
        return refuse_space(l, oid, &err);
    space = nodes_space(&l->nodes, oid);
    rc = make_link(c, dir, oid, path, target, n);
    if (rc == 0)
        live_set_lingering(l, space, false);
    else if (!space->lingers)
        nodes_remove_space(&l->nodes, space);
    return rc;
}

static int symlink_within(struct change *c, uint64_t dir, const char *name, const char *target,
                          const struct live_space *s, struct node **n)
{
    char path[PATH_MAX];
    struct node *d;
    int rc = begin_making(c, dir, name, &d, path);

    if (rc < 0)
        return rc;
    if (nodes_has_space_links(d) != (s != NULL))
        return -EPERM; /* it was renamed just now */
    if (nodes_leads_away(d, name, S_IFLNK))
        return -EPERM;
    return s ? make_space(c, d, name, path, target, s, n) : make_link(c, d, name, path, target, n);
}

int livedir_symlink(struct livedir *l, uint64_t dir, const char *name, const char *target,
                    struct live_node *out)
{
    bool is_space = has_space_links(l, dir);
    struct live_space s = {.fd = -1};
    struct change c;
    struct node *n;
    struct err err;
    int rc = is_space ? live_find_space(l, name, target, &s, &err) : 0;

    if (rc < 0) {
        live_close_space(&s);
        return refuse_space(l, name, &err);
    }
    c = begin_change(l);
    rc = symlink_within(&c, dir, name, target, is_space ? &s : NULL, &n);
    if (rc == 0)
        rc = live_stat_node(l, n, out);
    rc = end_change(&c, rc);
    live_close_space(&s);
    return rc;
}

/* The server has emptied it, but for recovery (spaces.c). */
static int remove_space_link(struct change *c, struct node *link, const char *path)
{
    struct node *space = nodes_space(&c->l->nodes, link->name);
    int rc;

    if (!space)
        return remove_name(c, link, path);
    note_space(c, link->name);
    live_set_lingering(c->l, space, true);
    rc = remove_name(c, link, path);
    if (rc < 0)
        live_set_lingering(c->l, space, false);
    else if (!space->lingers)
        nodes_remove_space(&c->l->nodes, space);
    return rc;
}

int livedir_unlink(struct livedir *l, uint64_t dir, const char *name)
{
    char path[PATH_MAX];
    struct node *d, *n;
    struct wal_leaving wal;
    struct change c;
    int rc;

    live_wal_begin(l, &wal, dir, name, NULL);
    c = begin_leaving(l, &wal);
    rc = find(l, dir, name, &d, &n);
    if (rc == 0)
        rc = !n ? -ENOENT : S_ISDIR(n->mode) ? -EISDIR : nodes_path(n, NULL, path);
    if (rc == 0)
        rc = nodes_has_space_links(d) && S_ISLNK(n->mode) ? remove_space_link(&c, n, path)
                                                          : remove_name(&c, n, path);
    return end_change(&c, rc);
}

/* Also of what we were not told. */
static int check_empty(struct livedir *l, const struct node *n, const char *path)
{
    int fd, empty;

    if (n->children)
        return -ENOTEMPTY;
    fd = openat(l->dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    empty = io_is_empty(fd);
    close(fd);
    return empty < 0 ? empty : empty ? 0 : -ENOTEMPTY;
}

int livedir_rmdir(struct livedir *l, uint64_t dir, const char *name)
{
    struct change c = begin_change(l);
    char path[PATH_MAX];
    struct node *d, *n;
    int rc = find(l, dir, name, &d, &n);

    if (rc == 0)
        rc = !n ? -ENOENT : !S_ISDIR(n->mode) ? -ENOTDIR : nodes_path(n, NULL, path);
    if (rc == 0 && n->space)
        rc = -EPERM; /* it goes with its link, and is nobody's to remove */
    if (rc == 0)
        rc = check_empty(l, n, path);
    if (rc == 0)
        rc = remove_name(&c, n, path);
    return end_change(&c, rc);
}

/* ---- renaming ---- */

/* A second name in the epoch: a crash before the renaming leaves a file of two names, of which the
 * epoch's is removed at the next start. */
static int link_into(struct change *c, const char *path, const char *kept)
{
    if (unlinkat(c->e->dir, kept, 0) < 0 && errno != ENOENT)
        return -errno;
    return linkat(c->l->dir, path, c->e->dir, kept, 0) < 0 ? -errno : 0;
}

static int take_back(struct livedir *l, const char *from, const char *to)
{
    int rc = -errno;

    renameat2(l->dir, from, l->dir, to, RENAME_EXCHANGE);
    return rc;
}

/* What a renaming replaces: `over` loses its name. *kept: the epoch has it. */
static int replace(struct change *c, const char *from, struct node *over, const char *to)
{
    struct livedir *l = c->l;
    struct stat st;
    bool kept = !S_ISDIR(over->mode) && keep(c, over, to, &st, link_into, "a replaced file");

    live_step("rename: linked what is replaced");
    if (S_ISDIR(over->mode) && is_seen(c, over)) {
        if (renameat2(l->dir, from, l->dir, to, RENAME_EXCHANGE) < 0)
            return -errno;
        if (!move_away(c, over, from) && unlinkat(l->dir, from, AT_REMOVEDIR) < 0)
            return take_back(l, from, to);
    } else if (renameat(l->dir, from, l->dir, to) < 0) {
        return -errno;
    }
    if (kept)
        set_kept(c, over, &st);
    nodes_unlink(&l->nodes, over);
    return 0;
}

static bool is_below(const struct node *n, const struct node *dir)
{
    for (; n->parent != n; n = n->parent)
        if (n == dir)
            return true;
    return n == dir;
}

/* Links of tablespaces, what they lead to, and where they are, keep their names. */
static bool is_fixed(const struct node *n)
{
    return n->space || node_id(n) == NODES_SPACES || nodes_has_space_links(n) ||
           (S_ISLNK(n->mode) && nodes_has_space_links(n->parent));
}

static bool may_become(const struct node *n, const struct node *dir, const char *name)
{
    return nodes_may_have(dir, name) && !nodes_leads_away(dir, name, n->mode) &&
           !(S_ISLNK(n->mode) && nodes_has_space_links(dir));
}

/* Whether the renaming can be at all. */
static int check_renaming(struct livedir *l, const struct node *n, const struct node *dir,
                          const char *name, const struct node *over, const char *to)
{
    if (is_fixed(n) || (over && is_fixed(over)) || !may_become(n, dir, name))
        return -EPERM;
    if (S_ISDIR(n->mode) && is_below(dir, n))
        return -EINVAL;
    if (nodes_exempt(dir, name, n->mode) != n->exempt || dir->exempt != n->parent->exempt)
        return -EXDEV;
    if (!over)
        return 0;
    if (S_ISDIR(n->mode) != S_ISDIR(over->mode))
        return S_ISDIR(over->mode) ? -EISDIR : -ENOTDIR;
    return S_ISDIR(over->mode) ? check_empty(l, over, to) : 0;
}

/* The new name is another file, as large, and the old one's has gone. */
static int leave_name(struct change *c, struct node *n, struct node *dir, const char *name,
                      const char *from, const char *to)
{
    struct node *made;

    if (!live_wal_keep(c->l, &c->wal, n, from) && unlinkat(c->l->dir, from, 0) < 0)
        return -errno;
    nodes_unlink(&c->l->nodes, n);
    return add_made(c, dir, name, to, &made);
}

static int move_node(struct change *c, struct node *n, struct node *dir, const char *name,
                     const char *from, const char *to)
{
    struct livedir *l = c->l;

    if (live_is_wal_dir(dir) && live_wal_give_spare(l, &c->wal, n, to))
        return leave_name(c, n, dir, name, from, to);
    if (renameat(l->dir, from, l->dir, to) < 0)
        return -errno;
    live_wal_used_again(l, &c->wal, to);
    return nodes_move(&l->nodes, n, dir, name);
}

static int rename_node(struct change *c, struct node *n, struct node *dir, const char *name,
                       struct node *over)
{
    struct livedir *l = c->l;
    char from[PATH_MAX], to[PATH_MAX];
    int rc = nodes_path(n, NULL, from);

    if (rc == 0)
        rc = nodes_path(dir, name, to);
    if (rc == 0)
        rc = check_renaming(l, n, dir, name, over, to);
    if (rc < 0)
        return rc;
    note(c, n->parent, n->name, 0);
    note(c, dir, name, 0);
    live_root_changes(l, n->parent);
    live_root_changes(l, dir);
    if (!over)
        return move_node(c, n, dir, name, from, to);
    rc = replace(c, from, over, to);
    if (rc < 0)
        return rc;
    live_wal_used_again(l, &c->wal, to);
    return nodes_move(&l->nodes, n, dir, name);
}

int livedir_rename(struct livedir *l, uint64_t dir, const char *name, uint64_t new_dir,
                   const char *new_name, unsigned flags)
{
    struct wal_leaving wal;
    struct change c;
    struct node *d, *n, *to, *over = NULL;
    int rc;

    if (flags & ~(unsigned)RENAME_NOREPLACE)
        return -EINVAL;
    live_wal_begin(l, &wal, dir, name, new_name);
    c = begin_leaving(l, &wal);
    rc = find(l, dir, name, &d, &n);
    if (rc == 0)
        rc = n ? find(l, new_dir, new_name, &to, &over) : -ENOENT;
    if (rc == 0 && over && (flags & RENAME_NOREPLACE))
        rc = -EEXIST;
    if (rc == 0 && !(over && node_id(n) == node_id(over))) /* two names of one file stay */
        rc = rename_node(&c, n, to, new_name, over);
    return end_change(&c, rc);
}

/* ---- attributes ---- */

/* The descriptor of what is open without a name; else -1, and its path. The tree is locked, so both
 * stay. */
static int find_attributes(struct livedir *l, uint64_t number, struct node **n, char path[PATH_MAX],
                           int *fd)
{
    int rc = path_of(l, number, n, path);

    *fd = -1;
    if (rc != -ESTALE || !*n)
        return rc;
    pthread_mutex_lock(&l->opening);
    if ((*n)->opened)
        *fd = (*n)->opened->fd;
    pthread_mutex_unlock(&l->opening);
    return *fd >= 0 ? 0 : -ESTALE;
}

int livedir_chmod(struct livedir *l, uint64_t number, mode_t mode)
{
    char path[PATH_MAX];
    struct node *n;
    int rc, fd;

    live_changes(l);
    pthread_rwlock_rdlock(&l->tree);
    rc = find_attributes(l, number, &n, path, &fd);
    if (rc == 0 && S_ISLNK(n->mode))
        rc = -EOPNOTSUPP;
    if (rc == 0 &&
        (fd >= 0 ? fchmod(fd, mode & 07777) : fchmodat(l->dir, path, mode & 07777, 0)) < 0)
        rc = -errno;
    pthread_rwlock_unlock(&l->tree);
    return rc;
}

int livedir_chown(struct livedir *l, uint64_t number, uid_t uid, gid_t gid)
{
    char path[PATH_MAX];
    struct node *n;
    int rc, fd;

    live_changes(l);
    pthread_rwlock_rdlock(&l->tree);
    rc = find_attributes(l, number, &n, path, &fd);
    if (rc == 0 && (fd >= 0 ? fchown(fd, uid, gid)
                            : fchownat(l->dir, path, uid, gid, AT_SYMLINK_NOFOLLOW)) < 0)
        rc = -errno;
    pthread_rwlock_unlock(&l->tree);
    return rc;
}

int livedir_set_times(struct livedir *l, uint64_t number, const struct timespec times[2])
{
    char path[PATH_MAX];
    struct node *n;
    int rc, fd;

    live_changes(l);
    pthread_rwlock_wrlock(&l->tree);
    rc = find_attributes(l, number, &n, path, &fd);
    if (rc == 0 &&
        (fd >= 0 ? futimens(fd, times) : utimensat(l->dir, path, times, AT_SYMLINK_NOFOLLOW)) < 0)
        rc = -errno;
    if (rc == 0 && number == LIVEDIR_ROOT)
        rc = live_note_root(l);
    pthread_rwlock_unlock(&l->tree);
    return rc;
}

int livedir_space(struct livedir *l, struct statvfs *s)
{
    return fstatvfs(l->dir, s) < 0 ? -errno : 0;
}
