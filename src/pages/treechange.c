/*
 * A change takes four steps, and only the third can be seen to fail half way:
 *
 *   1. look     may it be done? Nothing is held in memory for a refusal.
 *   2. hold     nodes and entries that it changes are brought into memory, still saying what they
 *               said before; memory may be short
 *   3. append   one frame
 *   4. set      in memory; cannot fail
 */
#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "pages/dirtree.h"
#include "pages/treejournal.h"
#include "pages/treenodes.h"

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * NSEC + now.tv_nsec;
}

/* As treenodes_set_entry, as part of a change that is being made: the directory's time is now. */
static void change_entry(struct dirtree *t, struct entry *e, uint64_t id)
{
    struct node *d = treenodes_find_node(t, e->dir);

    if (d) {
        d->mtime_ns = now_ns();
        d->dated = true;
    }
    treenodes_set_entry(t, e, id, t->newest);
}

/* ---- making ---- */

static int check_kind(uint32_t mode, const char *target)
{
    if (!S_ISREG(mode) && !S_ISDIR(mode) && !S_ISLNK(mode))
        return -EPERM; /* as mknod(2) where a file system has no such files */
    if (!S_ISLNK(mode))
        return 0;
    if (!target || !*target)
        return -ENOENT;
    return strlen(target) > NAMES_TEXT_MAX ? -ENAMETOOLONG : 0;
}

/* A node without names, not yet in any journal. */
static int new_node(struct dirtree *t, uint64_t dir, uint32_t mode, const char *target,
                    struct node **n)
{
    struct node new = {
        .id = t->next, .mode = mode & (S_IFMT | 07777), .entry = MANIFEST_NONE, .layer = t->newest};

    *n = NULL;
    if (t->next >= ID_END)
        return -ENOSPC;
    if (S_ISDIR(mode))
        new.parent = dir;
    new.mtime_ns = now_ns();
    *n = treenodes_add_node(t, &new, S_ISLNK(mode) ? target : NULL);
    return *n ? 0 : -ENOMEM;
}

static int make(struct dirtree *t, uint64_t dir, const char *name, uint32_t mode,
                const char *target, struct dirtree_node *node)
{
    struct node *n = NULL;
    struct entry *e = NULL;
    uint64_t id = 0;
    int rc;

    rc = treenodes_look(t, dir, name, &id);
    if (rc == 0)
        rc = id ? -EEXIST : check_kind(mode, target);
    if (rc == 0)
        rc = treenodes_hold_new_entry(t, dir, name, &e);
    if (rc == 0)
        rc = new_node(t, dir, mode, target, &n);
    if (rc < 0)
        goto out;
    treejournal_say_node(t, n);
    treejournal_say_entry(t, dir, name, n->id);
    rc = treejournal_append(t);
    if (rc < 0)
        goto out;
    t->next++;
    change_entry(t, e, n->id);
    treenodes_describe(n, node);
    return 0;
out:
    if (n)
        treenodes_drop_node(t, n);
    treenodes_settle(t, e);
    return rc;
}

int dirtree_make(struct dirtree *t, uint64_t dir, const char *name, uint32_t mode,
                 const char *target, struct dirtree_node *node)
{
    int rc = treejournal_begin_change(t);

    if (rc == 0)
        rc = make(t, dir, name, mode, target, node);
    return treejournal_end_change(t, rc);
}

static int make_link(struct dirtree *t, uint64_t id, uint64_t dir, const char *name,
                     struct dirtree_node *node)
{
    struct entry *e = NULL;
    struct node *n, file;
    uint64_t there = 0;
    int rc;

    if (!treenodes_see(t, id, &file))
        return -ENOENT;
    rc = treenodes_look(t, dir, name, &there);
    if (rc < 0)
        return rc;
    if (there)
        return -EEXIST;
    if (S_ISDIR(file.mode))
        return -EPERM;
    if (!file.names)
        return -ENOENT;
    if (file.names == UINT32_MAX)
        return -EMLINK;
    rc = treenodes_hold_node(t, id, &n);
    if (rc == 0)
        rc = treenodes_hold_new_entry(t, dir, name, &e);
    if (rc < 0)
        return rc;
    treejournal_say_entry(t, dir, name, id);
    rc = treejournal_append(t);
    if (rc < 0) {
        treenodes_settle(t, e);
        return rc;
    }
    change_entry(t, e, id);
    treenodes_describe(n, node);
    return 0;
}

int dirtree_link(struct dirtree *t, uint64_t id, uint64_t dir, const char *name,
                 struct dirtree_node *node)
{
    int rc = treejournal_begin_change(t);

    if (rc == 0)
        rc = make_link(t, id, dir, name, node);
    return treejournal_end_change(t, rc);
}

/* ---- removing ---- */

static int check_removal(const struct node *n, bool directory)
{
    if (directory && !S_ISDIR(n->mode))
        return -ENOTDIR;
    if (!directory && S_ISDIR(n->mode))
        return -EISDIR;
    return directory && n->children ? -ENOTEMPTY : 0;
}

static int remove_name(struct dirtree *t, uint64_t dir, const char *name, bool directory,
                       struct dirtree_node *gone)
{
    struct entry *e;
    struct node n;
    int rc;

    rc = treenodes_lookup(t, dir, name, &n);
    if (rc == 0)
        rc = check_removal(&n, directory);
    if (rc == 0)
        rc = treenodes_hold_entry(t, dir, name, &e);
    if (rc < 0)
        return rc;
    treejournal_say_entry(t, dir, name, 0);
    rc = treejournal_append(t);
    if (rc < 0) {
        treenodes_settle(t, e);
        return rc;
    }
    change_entry(t, e, 0);
    treenodes_describe(treenodes_find_node(t, n.id), gone);
    return 0;
}

int dirtree_unlink(struct dirtree *t, uint64_t dir, const char *name, struct dirtree_node *gone)
{
    int rc = treejournal_begin_change(t);

    if (rc == 0)
        rc = remove_name(t, dir, name, false, gone);
    return treejournal_end_change(t, rc);
}

int dirtree_rmdir(struct dirtree *t, uint64_t dir, const char *name)
{
    struct dirtree_node gone;
    int rc = treejournal_begin_change(t);

    if (rc == 0)
        rc = remove_name(t, dir, name, true, &gone);
    return treejournal_end_change(t, rc);
}

void dirtree_forget(struct dirtree *t, uint64_t id)
{
    struct node *n;

    pthread_rwlock_wrlock(&t->lock);
    n = treenodes_find_node(t, id);
    if (n && !n->names) {
        n->layers &= ~treenodes_newest_bit(t);
        /* A file of the base has to be remembered as one that has lost its names. */
        if (id > manifest_entries(t->m) && !n->changed)
            treenodes_drop_node(t, n);
    }
    pthread_rwlock_unlock(&t->lock);
}

/* ---- renaming ---- */

/* One of the two names of a rename. */
struct place {
    uint64_t dir;
    const char *name;
    uint64_t id; /* 0: nothing is there */
    struct node node;
    struct entry *entry; /* held */
};

/* Is `dir` the directory `id`, or anywhere below it? */
static bool is_below(const struct dirtree *t, uint64_t dir, uint64_t id)
{
    struct node n;

    while (dir != id && dir != DIRTREE_ROOT && treenodes_see(t, dir, &n) && n.names)
        dir = n.parent;
    return dir == id;
}

static int look_at_place(const struct dirtree *t, struct place *p)
{
    int rc = treenodes_look(t, p->dir, p->name, &p->id);

    if (rc == 0 && p->id && !treenodes_see(t, p->id, &p->node))
        rc = -ENOENT;
    return rc;
}

/* May a file take the place of another? */
static int check_replacement(const struct node *from, const struct node *to)
{
    if (S_ISDIR(from->mode) && !S_ISDIR(to->mode))
        return -ENOTDIR;
    if (!S_ISDIR(from->mode) && S_ISDIR(to->mode))
        return -EISDIR;
    return S_ISDIR(to->mode) && to->children ? -ENOTEMPTY : 0;
}

/* The rules of rename(2), in the order in which Linux applies them. 1: nothing is to be done. */
static int check_rename(const struct dirtree *t, const struct place *from, const struct place *to,
                        unsigned flags)
{
    if (!from->id)
        return -ENOENT;
    if ((flags & RENAME_NOREPLACE) && to->id)
        return -EEXIST;
    if ((flags & RENAME_EXCHANGE) && !to->id)
        return -ENOENT;
    if (is_below(t, to->dir, from->id))
        return -EINVAL;
    if (to->id && is_below(t, from->dir, to->id))
        return flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
    if (from->id == to->id)
        return 1;
    if (to->id && !(flags & RENAME_EXCHANGE))
        return check_replacement(&from->node, &to->node);
    return 0;
}

/* A directory says in its node where it is. */
static void say_move(struct dirtree *t, const struct place *p, uint64_t new_dir)
{
    struct node moved = p->node;

    if (!S_ISDIR(moved.mode) || moved.parent == new_dir)
        return;
    moved.parent = new_dir;
    treejournal_say_node(t, &moved);
}

static void move_node(struct dirtree *t, uint64_t id, uint64_t new_dir)
{
    struct node *n = treenodes_find_node(t, id);

    if (!n || !S_ISDIR(n->mode) || n->parent == new_dir)
        return;
    n->parent = new_dir;
    n->layer = t->newest;
}

static int hold_places(struct dirtree *t, struct place *from, struct place *to)
{
    int rc;

    rc = treenodes_hold_entry(t, from->dir, from->name, &from->entry);
    if (rc == 0)
        rc = treenodes_hold_new_entry(t, to->dir, to->name, &to->entry);
    return rc;
}

/* `exchanged`: what goes to the old name; 0: nothing. */
static int move(struct dirtree *t, struct place *from, struct place *to, uint64_t exchanged)
{
    int rc;

    treejournal_say_entry(t, from->dir, from->name, exchanged);
    treejournal_say_entry(t, to->dir, to->name, from->id);
    say_move(t, from, to->dir);
    if (exchanged)
        say_move(t, to, from->dir);
    rc = treejournal_append(t);
    if (rc < 0)
        return rc;
    change_entry(t, from->entry, exchanged);
    change_entry(t, to->entry, from->id);
    move_node(t, from->id, to->dir);
    if (exchanged)
        move_node(t, exchanged, from->dir);
    return 0;
}

static int rename_place(struct dirtree *t, struct place *from, struct place *to, unsigned flags,
                        struct dirtree_node *gone)
{
    int rc;

    if (flags != 0 && flags != RENAME_NOREPLACE && flags != RENAME_EXCHANGE)
        return -EINVAL;
    rc = look_at_place(t, from);
    if (rc == 0)
        rc = look_at_place(t, to);
    if (rc == 0)
        rc = check_rename(t, from, to, flags);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = hold_places(t, from, to);
    if (rc == 0)
        rc = move(t, from, to, flags & RENAME_EXCHANGE ? to->id : 0);
    if (rc < 0) {
        treenodes_settle(t, from->entry);
        treenodes_settle(t, to->entry);
        return rc;
    }
    if (to->id && !(flags & RENAME_EXCHANGE))
        treenodes_describe(treenodes_find_node(t, to->id), gone);
    return 0;
}

int dirtree_rename(struct dirtree *t, uint64_t dir, const char *name, uint64_t new_dir,
                   const char *new_name, unsigned flags, struct dirtree_node *gone)
{
    struct place from = {.dir = dir, .name = name}, to = {.dir = new_dir, .name = new_name};
    int rc = treejournal_begin_change(t);

    *gone = (struct dirtree_node){0};
    if (rc == 0)
        rc = rename_place(t, &from, &to, flags, gone);
    return treejournal_end_change(t, rc);
}

/* ---- attributes ---- */

/* The node of a file says what `after` says. */
static int change_node(struct dirtree *t, struct node *n, const struct node *after)
{
    int rc;

    treejournal_say_node(t, after);
    rc = treejournal_append(t);
    if (rc < 0)
        return rc;
    n->mode = after->mode;
    n->mtime_ns = after->mtime_ns;
    n->layer = t->newest;
    n->dated = false;
    return 0;
}

static int change_mode(struct dirtree *t, uint64_t id, uint32_t permissions)
{
    struct node *n, after;
    int rc;

    if (S_ISLNK(treenodes_mode_of(t, id)))
        return -EOPNOTSUPP;
    rc = treenodes_hold_node(t, id, &n);
    if (rc < 0)
        return rc;
    after = *n;
    after.mode = (n->mode & S_IFMT) | (permissions & 07777);
    return change_node(t, n, &after);
}

int dirtree_chmod(struct dirtree *t, uint64_t id, uint32_t permissions)
{
    int rc = treejournal_begin_change(t);

    if (rc == 0)
        rc = change_mode(t, id, permissions);
    return treejournal_end_change(t, rc);
}

static int change_mtime(struct dirtree *t, uint64_t id, struct timespec mtime)
{
    struct node *n, after;
    int rc;

    if (S_ISREG(treenodes_mode_of(t, id)) || mtime.tv_sec > INT64_MAX / NSEC - 1 ||
        mtime.tv_sec < INT64_MIN / NSEC + 1)
        return -EINVAL;
    rc = treenodes_hold_node(t, id, &n);
    if (rc < 0)
        return rc;
    after = *n;
    after.mtime_ns = mtime.tv_sec * NSEC + mtime.tv_nsec;
    return change_node(t, n, &after);
}

int dirtree_set_mtime(struct dirtree *t, uint64_t id, struct timespec mtime)
{
    int rc = treejournal_begin_change(t);

    if (rc == 0)
        rc = change_mtime(t, id, mtime);
    return treejournal_end_change(t, rc);
}

static int touch(struct dirtree *t, uint64_t id)
{
    struct node *n;
    int rc;

    rc = treenodes_hold_node(t, id, &n);
    if (rc < 0)
        return rc;
    if (!S_ISREG(n->mode))
        return S_ISDIR(n->mode) ? -EISDIR : -EINVAL;
    if (n->layers & treenodes_newest_bit(t))
        return 0;
    treejournal_say_touched(t, id);
    rc = treejournal_append(t);
    if (rc == 0)
        n->layers |= treenodes_newest_bit(t);
    return rc;
}

int dirtree_touch(struct dirtree *t, uint64_t id)
{
    int rc = treejournal_begin_change(t);

    if (rc == 0)
        rc = touch(t, id);
    return treejournal_end_change(t, rc);
}
