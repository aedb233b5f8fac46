/* store/: the journal of names, and the tree of names that it changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/io.h"
#include "common/mem.h"
#include "fixture.h"
#include "memdisk.h"
#include "pages/dirtree.h"
#include "pages/manifest.h"
#include "pages/names.h"
#include "pages/page.h"

#define MAX (64u << 20)
#define LAYERS 4

/* xorshift: the same numbers on every machine. */
static uint64_t seed = 88172645463325252u;

static uint32_t random_below(uint32_t n)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 33) % n;
}

/* ---- a base, its copy as a real directory, and a tree above it ---- */

struct world {
    char *dir;         /* the oracle: at first the base itself */
    int fd;            /* of it */
    bool counts_dirs;  /* its file system counts subdirectories as links */
    struct disk *disk; /* journals "names0", "names1", ... and the manifest */
    struct manifest *m;
    struct dirtree *t;
    unsigned layers;
    uint64_t acknowledged; /* of the newest journal */
};

static void make_file_at(int fd, const char *path, mode_t mode)
{
    int f = openat(fd, path, O_CREAT | O_EXCL | O_WRONLY, 0600);

    assert_true(f >= 0);
    assert_int_equal(fchmod(f, mode), 0);
    close(f);
}

/* Two levels of directories with files, further names of files, and links. */
static void fill_base(struct world *w)
{
    struct stat st;

    assert_int_equal(mkdirat(w->fd, "a", 0700), 0);
    assert_int_equal(mkdirat(w->fd, "b", 0750), 0);
    assert_int_equal(mkdirat(w->fd, "a/b", 0700), 0);
    assert_int_equal(mkdirat(w->fd, "a/c", 0700), 0);
    assert_int_equal(mkdirat(w->fd, "b/empty", 0700), 0);
    make_file_at(w->fd, "f", 0600);
    make_file_at(w->fd, "a/d", 0640);
    make_file_at(w->fd, "a/e", 0600);
    make_file_at(w->fd, "a/b/c", 0600);
    make_file_at(w->fd, "b/a", 0600);
    assert_int_equal(linkat(w->fd, "a/d", w->fd, "b/d", 0), 0);
    assert_int_equal(linkat(w->fd, "a/d", w->fd, "d", 0), 0);
    assert_int_equal(symlinkat("f", w->fd, "e"), 0);
    assert_int_equal(fstatat(w->fd, "a", &st, 0), 0);
    w->counts_dirs = st.st_nlink == 4;
}

static void journal_name(char path[16], unsigned layer)
{
    snprintf(path, 16, "names%u", layer);
}

static void appended(void *arg, uint64_t size)
{
    struct world *w = arg;

    if (!memdisk_dead(w->disk)) /* as mapped memory: lost with the process */
        w->acknowledged = size;
}

static int apply(struct world *w, unsigned layer, uint64_t *good, struct err *err)
{
    char path[16], *bytes;
    size_t len;
    int rc;

    journal_name(path, layer);
    assert_int_equal(disk_read_file(w->disk, path, MAX, &bytes, &len), 0);
    rc = dirtree_apply(w->t, layer, bytes, len, good, err);
    free(bytes);
    return rc;
}

/* Everything from disk, and on with the newest journal. */
static void open_tree(struct world *w)
{
    struct names *n;
    struct err err = {0};
    uint64_t good = 0;
    char path[16];
    unsigned i;

    w->t = dirtree_new(w->m);
    for (i = 0; i < w->layers; i++) {
        if (apply(w, i, &good, &err) < 0)
            fail_msg("%s", err.text);
    }
    assert_true(good >= w->acknowledged);
    journal_name(path, w->layers - 1);
    assert_int_equal(names_open(w->disk, path, good, &n, &err), 0);
    w->acknowledged = good;
    dirtree_begin(w->t, w->layers - 1, n, appended, w);
}

static void close_tree(struct world *w)
{
    dirtree_free(w->t);
    w->t = NULL;
}

static void add_layer(struct world *w)
{
    struct err err;
    char path[16];

    if (w->t)
        close_tree(w);
    journal_name(path, w->layers++);
    assert_int_equal(names_create(w->disk, path, manifest_id(w->m), &err), 0);
    w->acknowledged = 0;
    open_tree(w);
}

static void world_begin(struct world *w)
{
    struct err err = {0};

    *w = (struct world){.dir = fixture_make_dir()};
    w->fd = open(w->dir, O_RDONLY | O_DIRECTORY);
    assert_true(w->fd >= 0);
    fill_base(w);
    w->disk = memdisk_new();
    if (manifest_write(w->dir, w->disk, "files", &err) < 0 ||
        manifest_open(w->disk, "files", &w->m, &err) < 0)
        fail_msg("%s", err.text);
    add_layer(w);
}

static void world_end(struct world *w)
{
    if (w->t)
        close_tree(w);
    manifest_close(w->m);
    w->disk->ops->free(w->disk);
    close(w->fd);
    assert_int_equal(io_remove_tree(w->dir), 0);
    free(w->dir);
}

/* ---- trees as text ---- */

/* Numbers in the order in which they are first met: the same for inodes and for ids. */
struct order {
    uint64_t seen[4096];
    unsigned n;
};

static unsigned order_of(struct order *o, uint64_t number)
{
    unsigned i;

    for (i = 0; i < o->n; i++)
        if (o->seen[i] == number)
            return i;
    assert_true(o->n < 4096);
    o->seen[o->n] = number;
    return o->n++;
}

static void put_line(struct buf *b, const char *path, uint32_t mode, uint64_t links,
                     unsigned long long number, const char *target)
{
    buf_printf(b, "%s %o %llu #%llu %s\n", path, mode, (unsigned long long)links, number, target);
}

static void dump_real(const struct world *w, int fd, const char *path, struct order *o,
                      struct buf *b)
{
    int dir = openat(fd, *path ? path : ".", O_RDONLY | O_DIRECTORY), n, i;
    struct dirent **names;
    char *inner, target[256];
    struct stat st;
    ssize_t len;

    n = scandirat(fd, *path ? path : ".", &names, NULL, alphasort);
    assert_true(n >= 0);
    for (i = 0; i < n; i++) {
        if (strcmp(names[i]->d_name, ".") && strcmp(names[i]->d_name, "..")) {
            inner = mem_printf("%s%s%s", path, *path ? "/" : "", names[i]->d_name);
            assert_int_equal(fstatat(fd, inner, &st, AT_SYMLINK_NOFOLLOW), 0);
            len = S_ISLNK(st.st_mode) ? readlinkat(fd, inner, target, 255) : 0;
            target[len] = '\0';
            if (S_ISDIR(st.st_mode) && !w->counts_dirs)
                st.st_nlink = 0;
            put_line(b, inner, st.st_mode, st.st_nlink, order_of(o, st.st_ino), target);
            if (S_ISDIR(st.st_mode))
                dump_real(w, fd, inner, o, b);
            free(inner);
        }
        free(names[i]);
    }
    free(names);
    close(dir);
}

/* `o` NULL: with the ids themselves. */
static void dump_tree(const struct world *w, uint64_t dir, const char *path, struct order *o,
                      struct buf *b)
{
    struct dirtree_listing l;
    struct dirtree_node n;
    char *inner, *target;
    size_t i;

    assert_int_equal(dirtree_list(w->t, dir, &l), 0);
    for (i = 0; i < l.count; i++) {
        inner = mem_printf("%s%s%s", path, *path ? "/" : "", l.items[i].name);
        assert_int_equal(dirtree_lookup(w->t, dir, l.items[i].name, &n), 0);
        assert_int_equal(n.id, l.items[i].id);
        assert_int_equal(n.mode, l.items[i].mode);
        target = NULL;
        assert_int_equal(dirtree_readlink(w->t, n.id, &target), S_ISLNK(n.mode) ? 0 : -EINVAL);
        if (o && S_ISDIR(n.mode) && !w->counts_dirs)
            n.links = 0;
        put_line(b, inner, n.mode, n.links, o ? order_of(o, n.id) : n.id, target ? target : "");
        free(target);
        if (S_ISDIR(n.mode)) {
            assert_int_equal(n.parent, dir);
            dump_tree(w, n.id, inner, o, b);
        }
        free(inner);
    }
    dirtree_listing_free(&l);
}

static char *tree_text(const struct world *w)
{
    struct buf b = {0};

    dump_tree(w, DIRTREE_ROOT, "", NULL, &b);
    return buf_steal(&b);
}

static void assert_same_as_real(const struct world *w)
{
    static struct order o;
    struct buf real = {0}, ours = {0};

    o.n = 0;
    dump_real(w, w->fd, "", &o, &real);
    o.n = 0;
    dump_tree(w, DIRTREE_ROOT, "", &o, &ours);
    assert_string_equal(ours.data ? ours.data : "", real.data ? real.data : "");
    buf_free(&real);
    buf_free(&ours);
}

static void reopen_and_compare(struct world *w)
{
    char *before = tree_text(w), *after;

    close_tree(w);
    open_tree(w);
    after = tree_text(w);
    assert_string_equal(after, before);
    free(before);
    free(after);
    assert_same_as_real(w);
}

/* ---- the model test ---- */

struct spot {
    char parent[64];
    char name[8];
    int fd;       /* the real directory, or a negative errno */
    uint64_t dir; /* ours */
    int rc;       /* 0, or why there is none */
};

/* Links are not followed on the way, as a kernel asks a file system. */
static int real_parent(int root, const char *path)
{
    char copy[64], *part, *rest = copy;
    int fd = dup(root), next;

    strcpy(copy, path);
    while (fd >= 0 && (part = strsep(&rest, "/")) && *part) {
        next = openat(fd, part, O_PATH | O_DIRECTORY | O_NOFOLLOW);
        next = next < 0 ? -errno : next;
        close(fd);
        fd = next;
    }
    return fd;
}

static void find_spot(struct world *w, struct spot *s)
{
    struct dirtree_node n;

    s->rc = dirtree_walk(w->t, s->parent, &n);
    if (s->rc == 0 && !S_ISDIR(n.mode))
        s->rc = -ENOTDIR;
    s->dir = s->rc == 0 ? n.id : 0;
    s->fd = real_parent(w->fd, s->parent);
    assert_int_equal(s->fd < 0 ? s->fd : 0, s->rc);
}

static void random_spot(struct world *w, struct spot *s)
{
    static const char *const parents[] = {"",    "",    "a",   "a",   "b",     "c",
                                          "a/b", "a/c", "b/a", "c/a", "a/b/c", "b/a/c"};

    strcpy(s->parent, parents[random_below(12)]);
    snprintf(s->name, sizeof(s->name), "%c", (char)('a' + random_below(6)));
    find_spot(w, s);
}

static void spot_end(struct spot *s)
{
    if (s->fd >= 0)
        close(s->fd);
}

static int result(int rc)
{
    return rc < 0 ? -errno : 0;
}

static int real_create(const struct spot *s, uint32_t mode)
{
    int fd;

    if (S_ISDIR(mode))
        return result(mkdirat(s->fd, s->name, mode & 07777));
    if (S_ISLNK(mode))
        return result(symlinkat("somewhere", s->fd, s->name));
    fd = openat(s->fd, s->name, O_CREAT | O_EXCL | O_WRONLY, mode & 07777);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

static void try_make(struct world *w, const struct spot *s)
{
    static const uint32_t modes[] = {S_IFREG | 0600, S_IFREG | 0640, S_IFDIR | 0700,
                                     S_IFLNK | 0777};
    uint32_t mode = modes[random_below(4)];
    struct dirtree_node n;

    assert_int_equal(dirtree_make(w->t, s->dir, s->name, mode, "somewhere", &n),
                     real_create(s, mode));
}

static void gone(struct world *w, const struct dirtree_node *n)
{
    if (n->id && n->links == 0 && random_below(2))
        dirtree_forget(w->t, n->id);
}

static void try_remove(struct world *w, const struct spot *s)
{
    struct dirtree_node n = {0};
    bool dir = random_below(3) == 0;
    int rc;

    rc = dir ? dirtree_rmdir(w->t, s->dir, s->name) : dirtree_unlink(w->t, s->dir, s->name, &n);
    assert_int_equal(rc, result(unlinkat(s->fd, s->name, dir ? AT_REMOVEDIR : 0)));
    gone(w, &n);
}

static void try_rename(struct world *w, const struct spot *s, const struct spot *to)
{
    static const unsigned choice[] = {
        0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE, RENAME_NOREPLACE | RENAME_EXCHANGE};
    unsigned flags = choice[random_below(6)];
    struct dirtree_node n;
    int rc = dirtree_rename(w->t, s->dir, s->name, to->dir, to->name, flags, &n);

    assert_int_equal(rc, result(renameat2(s->fd, s->name, to->fd, to->name, flags)));
    gone(w, &n);
}

static void try_link(struct world *w, const struct spot *s, const struct spot *to)
{
    struct dirtree_node n;
    int rc = dirtree_lookup(w->t, s->dir, s->name, &n);

    if (rc == 0)
        rc = dirtree_link(w->t, n.id, to->dir, to->name, &n);
    else if (dirtree_lookup(w->t, to->dir, to->name, &n) == 0 && rc == -ENOENT)
        rc = -ENOENT;
    assert_int_equal(rc, result(linkat(s->fd, s->name, to->fd, to->name, 0)));
}

static void try_chmod(struct world *w, const struct spot *s)
{
    uint32_t mode = 0700 | random_below(64);
    struct dirtree_node n;

    if (dirtree_lookup(w->t, s->dir, s->name, &n) < 0)
        return;
    if (S_ISREG(n.mode))
        assert_int_equal(dirtree_touch(w->t, n.id), 0);
    if (S_ISLNK(n.mode)) {
        assert_int_equal(dirtree_set_mtime(w->t, n.id, (struct timespec){5, 6}), 0);
        return;
    }
    assert_int_equal(dirtree_chmod(w->t, n.id, mode), 0);
    assert_int_equal(fchmodat(s->fd, s->name, mode, 0), 0);
}

static void random_operation(struct world *w)
{
    struct spot s, to;

    random_spot(w, &s);
    random_spot(w, &to);
    if (s.rc == 0) {
        switch (random_below(8)) {
        case 0:
        case 1:
        case 2:
            try_make(w, &s);
            break;
        case 3:
            try_remove(w, &s);
            break;
        case 4:
        case 5:
            if (to.rc == 0)
                try_rename(w, &s, &to);
            break;
        case 6:
            if (to.rc == 0)
                try_link(w, &s, &to);
            break;
        default:
            try_chmod(w, &s);
        }
    }
    spot_end(&s);
    spot_end(&to);
}

static void random_changes_do_what_they_do_to_a_real_directory(void **state)
{
    struct world w;
    mode_t mask = umask(0);
    int i;

    (void)state;
    world_begin(&w);
    assert_same_as_real(&w);
    for (i = 1; i <= 20000 / (int)fixture_step(4); i++) {
        random_operation(&w);
        if (i % 5000 == 0 && w.layers < LAYERS)
            add_layer(&w);
        if (i % 1300 == 0)
            assert_int_equal(dirtree_compact(w.t, true), 0);
        if (i % 50 == 0)
            assert_same_as_real(&w);
        if (i % 200 == 0)
            reopen_and_compare(&w);
    }
    world_end(&w);
    umask(mask);
}

/* ---- single changes ---- */

static uint64_t id_of(struct world *w, const char *path)
{
    struct dirtree_node n;

    assert_int_equal(dirtree_walk(w->t, path, &n), 0);
    return n.id;
}

static int change_make_file(struct world *w)
{
    struct dirtree_node n;

    return dirtree_make(w->t, id_of(w, "a"), "new", S_IFREG | 0600, NULL, &n);
}

static int change_make_directory(struct world *w)
{
    struct dirtree_node n;

    return dirtree_make(w->t, id_of(w, "a"), "new", S_IFDIR | 0700, NULL, &n);
}

/* Long enough to be torn. */
static int change_make_link(struct world *w)
{
    struct dirtree_node n;
    char target[3000];

    memset(target, 'x', sizeof(target) - 1);
    target[sizeof(target) - 1] = '\0';
    return dirtree_make(w->t, DIRTREE_ROOT, "new", S_IFLNK | 0777, target, &n);
}

static int change_link(struct world *w)
{
    struct dirtree_node n;

    return dirtree_link(w->t, id_of(w, "f"), id_of(w, "b"), "new", &n);
}

static int change_unlink(struct world *w)
{
    struct dirtree_node n;

    return dirtree_unlink(w->t, id_of(w, "a"), "d", &n);
}

static int change_rmdir(struct world *w)
{
    return dirtree_rmdir(w->t, id_of(w, "b"), "empty");
}

static int change_rename_over(struct world *w)
{
    struct dirtree_node n;

    return dirtree_rename(w->t, id_of(w, "a"), "b", id_of(w, "b"), "empty", 0, &n);
}

static int change_exchange(struct world *w)
{
    struct dirtree_node n;

    return dirtree_rename(w->t, id_of(w, "a"), "b", DIRTREE_ROOT, "f", RENAME_EXCHANGE, &n);
}

static int change_chmod(struct world *w)
{
    return dirtree_chmod(w->t, id_of(w, "a/e"), 0644);
}

static int change_compact(struct world *w)
{
    return dirtree_compact(w->t, true);
}

static int (*const changes[])(struct world *w) = {
    change_make_file, change_make_directory, change_make_link, change_link,  change_unlink,
    change_rmdir,     change_rename_over,    change_exchange,  change_chmod, change_compact};
#define CHANGES (sizeof(changes) / sizeof(changes[0]))

/* Something for a compaction to leave out, and to keep. */
static void some_history(struct world *w)
{
    struct dirtree_node n;
    int i;

    for (i = 0; i < 40; i++) {
        assert_int_equal(dirtree_make(w->t, DIRTREE_ROOT, "tmp", S_IFREG | 0600, NULL, &n), 0);
        assert_int_equal(dirtree_unlink(w->t, DIRTREE_ROOT, "tmp", &n), 0);
        dirtree_forget(w->t, n.id);
    }
    assert_int_equal(dirtree_make(w->t, DIRTREE_ROOT, "kept", S_IFDIR | 0700, NULL, &n), 0);
    assert_int_equal(dirtree_make(w->t, n.id, "file", S_IFREG | 0600, NULL, &n), 0);
    assert_int_equal(dirtree_unlink(w->t, DIRTREE_ROOT, "d", &n), 0);
}

/* One change that ends at the n-th operation of the disk; false: it needs fewer. */
static bool end_within(const struct world *before, int (*change)(struct world *w), uint64_t n,
                       size_t tear, const char *old, const char *new)
{
    struct world w = *before;
    char *found;
    bool dead;
    int rc;

    w.disk = memdisk_copy(before->disk);
    open_tree(&w);
    memdisk_tear(w.disk, tear);
    memdisk_die_after(w.disk, n);
    rc = change(&w);
    dead = memdisk_dead(w.disk);
    memdisk_die_after(w.disk, 0);
    close_tree(&w);
    if (dead)
        memdisk_revive(w.disk);
    memdisk_tear(w.disk, 0);
    open_tree(&w); /* compares with what was acknowledged */
    found = tree_text(&w);
    if (rc == 0)
        assert_string_equal(found, new);
    else if (strcmp(found, old) != 0)
        assert_string_equal(found, new);
    /* And it goes on from there. */
    assert_int_equal(change_make_file(&w), strstr(found, "a/new ") ? -EEXIST : 0);
    free(found);
    close_tree(&w);
    w.disk->ops->free(w.disk);
    return dead;
}

static char *text_after(const struct world *before, int (*change)(struct world *w))
{
    struct world w = *before;
    char *text;

    w.disk = memdisk_copy(before->disk);
    open_tree(&w);
    assert_int_equal(change(&w), 0);
    text = tree_text(&w);
    close_tree(&w);
    w.disk->ops->free(w.disk);
    return text;
}

static void a_process_that_ends_leaves_a_change_whole_or_not_done(void **state)
{
    struct world w;
    char *old, *new;
    size_t i, tear;
    uint64_t n;

    (void)state;
    world_begin(&w);
    some_history(&w);
    old = tree_text(&w);
    close_tree(&w);
    for (i = 0; i < CHANGES; i++) {
        new = text_after(&w, changes[i]);
        for (tear = 0; tear <= 3072; tear += 512 * fixture_step(3))
            for (n = 1; end_within(&w, changes[i], n, tear, old, new); n++)
                ;
        assert_true(n > 1);
        free(new);
    }
    free(old);
    world_end(&w);
}

static void a_full_disk_refuses_changes_and_loses_nothing(void **state)
{
    struct world w;
    char *old, *now;
    size_t i;

    (void)state;
    world_begin(&w);
    some_history(&w);
    /* Up to the end of the block that the journal is in. */
    while ((w.acknowledged + 60) / MEMDISK_BLOCK == w.acknowledged / MEMDISK_BLOCK)
        assert_int_equal(change_chmod(&w), 0);
    assert_int_equal(dirtree_unlink(w.t, id_of(&w, "a"), "e", &(struct dirtree_node){0}), 0);
    old = tree_text(&w);
    memdisk_limit(w.disk, memdisk_used(w.disk));
    for (i = 0; i < CHANGES; i++) {
        if (changes[i] == change_make_link || changes[i] == change_compact)
            assert_int_equal(changes[i](&w), -ENOSPC);
    }
    now = tree_text(&w);
    assert_string_equal(now, old);
    free(now);
    memdisk_limit(w.disk, UINT64_MAX);
    close_tree(&w);
    open_tree(&w);
    now = tree_text(&w);
    assert_string_equal(now, old);
    assert_int_equal(change_make_link(&w), 0);
    free(now);
    free(old);
    world_end(&w);
}

static void a_failed_change_can_be_made_again(void **state)
{
    struct world w;
    char *old, *now;
    size_t i;

    (void)state;
    for (i = 0; i < CHANGES; i++) {
        world_begin(&w);
        old = tree_text(&w);
        memdisk_fail_after(w.disk, 1, EDQUOT);
        assert_int_equal(changes[i](&w), -EDQUOT);
        now = tree_text(&w);
        assert_string_equal(now, old);
        free(now);
        assert_int_equal(changes[i](&w), 0);
        now = tree_text(&w);
        close_tree(&w);
        open_tree(&w);
        free(old);
        old = tree_text(&w);
        assert_string_equal(old, now);
        free(old);
        free(now);
        world_end(&w);
    }
}

/* A disk in front of another, which does not write or cut files when it is so wanted. */
struct front {
    struct disk disk;
    struct disk *inner;
    bool fails;
    const struct world *world; /* or NULL */
};

struct front_file {
    struct disk_file file;
    struct disk_file *inner;
    const struct front *front;
};

static const struct disk_ops front_ops;

static int front_open(struct disk *d, const char *path, unsigned flags, struct disk_file **f)
{
    struct front *front = (struct front *)d;
    struct front_file *new = mem_alloc(sizeof(*new));
    int rc = front->inner->ops->open(front->inner, path, flags, &new->inner);

    new->file.ops = &front_ops;
    new->front = front;
    *f = rc == 0 ? &new->file : NULL;
    if (rc < 0)
        free(new);
    return rc;
}

/* Were the process to end right after it, the journal must be as long as was acknowledged. */
static int front_rename(struct disk *d, const char *from, const char *to)
{
    const struct front *front = (struct front *)d;
    int rc = front->inner->ops->rename(front->inner, from, to);

    if (front->world)
        assert_true(memdisk_size(front->inner, to) >= front->world->acknowledged);
    return rc;
}

static int front_sync_dir(struct disk *d, const char *path)
{
    struct disk *inner = ((struct front *)d)->inner;

    return inner->ops->sync_dir(inner, path);
}

static int front_write(struct disk_file *f, const void *bytes, size_t len, uint64_t offset)
{
    struct front_file *file = (struct front_file *)f;

    if (!file->front->fails)
        return file->inner->ops->write(file->inner, bytes, len, offset);
    assert_int_equal(file->inner->ops->write(file->inner, bytes, len / 2, offset), 0);
    return -ENOSPC;
}

static int front_truncate(struct disk_file *f, uint64_t size)
{
    struct front_file *file = (struct front_file *)f;

    return file->front->fails ? -EIO : file->inner->ops->truncate(file->inner, size);
}

static int front_stat(struct disk_file *f, struct stat *st)
{
    struct front_file *file = (struct front_file *)f;

    return file->inner->ops->file_stat(file->inner, st);
}

static int front_sync(struct disk_file *f)
{
    struct front_file *file = (struct front_file *)f;

    return file->inner->ops->sync(file->inner);
}

static void front_close(struct disk_file *f)
{
    struct front_file *file = (struct front_file *)f;

    file->inner->ops->close(file->inner);
    free(file);
}

static const struct disk_ops front_ops = {.open = front_open,
                                          .rename = front_rename,
                                          .sync_dir = front_sync_dir,
                                          .write = front_write,
                                          .truncate = front_truncate,
                                          .file_stat = front_stat,
                                          .sync = front_sync,
                                          .close = front_close};

static void a_journal_that_cannot_be_cut_takes_no_more_until_it_is_replaced(void **state)
{
    struct front front = {.disk = {&front_ops}};
    struct names *n;
    struct world w;
    struct err err;

    (void)state;
    world_begin(&w);
    front.inner = w.disk;
    close_tree(&w);
    assert_int_equal(names_open(&front.disk, "names0", w.acknowledged, &n, &err), 0);
    w.t = dirtree_new(w.m);
    dirtree_begin(w.t, 0, n, appended, &w);
    front.fails = true;
    assert_int_equal(change_make_file(&w), -ENOSPC);
    front.fails = false;
    assert_int_equal(change_make_file(&w), -EIO);
    assert_int_equal(dirtree_compact(w.t, true), 0);
    assert_int_equal(change_make_file(&w), 0);
    assert_int_equal(dirtree_sync(w.t), 0);
    close_tree(&w);
    open_tree(&w);
    assert_int_equal(change_make_file(&w), -EEXIST);
    world_end(&w);
}

static void a_journal_is_acknowledged_as_shorter_before_it_is(void **state)
{
    struct front front = {.disk = {&front_ops}};
    struct names *n;
    struct world w;
    struct err err;
    uint64_t size;

    (void)state;
    world_begin(&w);
    some_history(&w);
    size = w.acknowledged;
    close_tree(&w);
    front.inner = w.disk;
    front.world = &w;
    assert_int_equal(names_open(&front.disk, "names0", size, &n, &err), 0);
    w.t = dirtree_new(w.m);
    dirtree_begin(w.t, 0, n, appended, &w);
    assert_int_equal(dirtree_compact(w.t, true), 0);
    assert_true(w.acknowledged < size);
    assert_int_equal(w.acknowledged, memdisk_size(w.disk, "names0"));
    world_end(&w);
}

static void odd_requests_are_refused_as_by_the_kernel(void **state)
{
    struct world w;
    struct dirtree_node n, dir;
    struct dirtree_listing l;
    char longer[257], *path, *target;

    (void)state;
    world_begin(&w);
    memset(longer, 'n', 256);
    longer[256] = '\0';
    assert_int_equal(dirtree_make(w.t, 1, longer, S_IFREG, NULL, &n), -ENAMETOOLONG);
    assert_int_equal(dirtree_lookup(w.t, 1, longer, &n), -ENAMETOOLONG);
    longer[255] = '\0';
    assert_int_equal(dirtree_make(w.t, 1, longer, S_IFREG, NULL, &n), 0);
    assert_int_equal(dirtree_make(w.t, 1, "..", S_IFREG, NULL, &n), -EINVAL);
    assert_int_equal(dirtree_make(w.t, 1, "", S_IFREG, NULL, &n), -EINVAL);
    assert_int_equal(dirtree_make(w.t, 1, "x/y", S_IFREG, NULL, &n), -EINVAL);
    assert_int_equal(dirtree_make(w.t, 1, "p", S_IFIFO | 0600, NULL, &n), -EPERM);
    assert_int_equal(dirtree_make(w.t, 1, "l", S_IFLNK | 0777, "", &n), -ENOENT);
    assert_int_equal(dirtree_make(w.t, id_of(&w, "f"), "x", S_IFREG, NULL, &n), -ENOTDIR);
    assert_int_equal(dirtree_make(w.t, 999999, "x", S_IFREG, NULL, &n), -ENOENT);
    assert_int_equal(dirtree_lookup(w.t, id_of(&w, "f"), "x", &n), -ENOTDIR);
    assert_int_equal(dirtree_list(w.t, id_of(&w, "f"), &l), -ENOTDIR);
    assert_int_equal(dirtree_readlink(w.t, id_of(&w, "f"), &target), -EINVAL);
    assert_int_equal(dirtree_touch(w.t, id_of(&w, "a")), -EISDIR);
    assert_int_equal(dirtree_set_mtime(w.t, id_of(&w, "f"), (struct timespec){1, 0}), -EINVAL);
    assert_int_equal(dirtree_chmod(w.t, id_of(&w, "e"), 0600), -EOPNOTSUPP);

    assert_int_equal(dirtree_make(w.t, 1, "gone", S_IFDIR | 0700, NULL, &dir), 0);
    assert_int_equal(dirtree_rmdir(w.t, 1, "gone"), 0);
    assert_int_equal(dirtree_make(w.t, dir.id, "x", S_IFREG, NULL, &n), -ENOENT);
    assert_int_equal(dirtree_link(w.t, id_of(&w, "f"), dir.id, "x", &n), -ENOENT);
    assert_int_equal(dirtree_rename(w.t, 1, "f", dir.id, "x", 0, &n), -ENOENT);
    assert_int_equal(dirtree_stat(w.t, dir.id, &n), 0);
    assert_int_equal(n.links, 0);
    path = dirtree_path(w.t, dir.id);
    assert_string_equal(path, "?");
    free(path);
    path = dirtree_path(w.t, id_of(&w, "a/b/c"));
    assert_string_equal(path, "a/b/c");
    free(path);
    world_end(&w);
}

/* What a layer hid of the base's root is there again; the journal does not hear of it. */
static void hidden_names_are_shown_again(void **state)
{
    struct world w;
    struct dirtree_node was, n;
    uint64_t size, good;
    struct err err;

    (void)state;
    world_begin(&w);
    assert_int_equal(dirtree_lookup(w.t, 1, "f", &was), 0);
    assert_int_equal(dirtree_show(w.t, "f", &err), -EBUSY);
    assert_int_equal(dirtree_unlink(w.t, 1, "f", &n), 0);
    assert_int_equal(dirtree_unlink(w.t, 1, "d", &n), 0);
    dirtree_free(w.t);

    w.t = dirtree_new(w.m);
    assert_int_equal(apply(&w, 0, &good, &err), 0);
    assert_int_equal(dirtree_lookup(w.t, 1, "f", &n), -ENOENT);
    size = good;
    assert_int_equal(dirtree_show(w.t, "f", &err), 0);
    assert_int_equal(dirtree_show(w.t, "f", &err), 0); /* it is there */
    assert_int_equal(dirtree_show(w.t, "d", &err), 0);
    assert_int_equal(dirtree_show(w.t, "never", &err), 0); /* there is none */
    assert_int_equal(dirtree_lookup(w.t, 1, "f", &n), 0);
    assert_memory_equal(&n, &was, sizeof(n));
    assert_int_equal(dirtree_lookup(w.t, 1, "d", &n), 0);
    assert_int_equal(n.links, 3); /* a/d and b/d are others */
    assert_int_equal(dirtree_lookup(w.t, 1, "never", &n), -ENOENT);
    dirtree_free(w.t);

    open_tree(&w);
    assert_int_equal(w.acknowledged, size);
    assert_int_equal(dirtree_lookup(w.t, 1, "f", &n), -ENOENT);
    world_end(&w);
}

static void a_tree_without_a_journal_refuses_changes(void **state)
{
    struct world w;
    struct dirtree *t;
    struct dirtree_node n;

    (void)state;
    world_begin(&w);
    t = dirtree_new(w.m);
    assert_int_equal(dirtree_make(t, 1, "x", S_IFREG, NULL, &n), -EROFS);
    assert_int_equal(dirtree_compact(t, true), -EROFS);
    assert_int_equal(dirtree_lookup(t, 1, "f", &n), 0);
    dirtree_free(t);
    world_end(&w);
}

static int count_touched(void *arg, const struct dirtree_node *n)
{
    unsigned *count = arg;

    count[n->links == 0]++;
    return 0;
}

static void layers_say_which_of_them_have_storage(void **state)
{
    struct world w;
    struct dirtree_node n;
    unsigned count[2] = {0};
    uint64_t made;

    (void)state;
    world_begin(&w);
    assert_int_equal(dirtree_touch(w.t, id_of(&w, "f")), 0);
    assert_int_equal(dirtree_make(w.t, 1, "made", S_IFREG | 0600, NULL, &n), 0);
    made = n.id;
    assert_int_equal(n.layers, 0);
    assert_int_equal(dirtree_touch(w.t, made), 0);
    assert_int_equal(dirtree_stat(w.t, made, &n), 0);
    assert_int_equal(n.layers, 1);
    assert_int_equal(n.entry, MANIFEST_NONE);
    add_layer(&w);
    assert_int_equal(dirtree_touch(w.t, id_of(&w, "f")), 0);
    assert_int_equal(dirtree_touch(w.t, id_of(&w, "a/d")), 0);
    assert_int_equal(dirtree_unlink(w.t, 1, "f", &n), 0);
    assert_int_equal(dirtree_compact(w.t, true), 0);
    close_tree(&w);
    open_tree(&w);
    assert_int_equal(dirtree_each_touched(w.t, count_touched, count), 0);
    assert_int_equal(count[0], 1);
    assert_int_equal(count[1], 1);
    assert_int_equal(dirtree_walk(w.t, "b/d", &n), 0);
    assert_int_equal(n.layers, 2);
    assert_int_equal(n.links, 3);
    assert_int_equal(dirtree_stat(w.t, made, &n), 0);
    assert_int_equal(n.layers, 1);
    assert_int_equal(dirtree_make(w.t, 1, "later", S_IFREG | 0600, NULL, &n), 0);
    assert_true(n.id > made);
    world_end(&w);
}

static void a_file_without_names_can_still_get_storage(void **state)
{
    struct world w;
    struct dirtree_node n, gone;
    unsigned count[2] = {0};

    (void)state;
    world_begin(&w);
    assert_int_equal(dirtree_make(w.t, 1, "open", S_IFREG | 0600, NULL, &n), 0);
    assert_int_equal(dirtree_unlink(w.t, 1, "open", &gone), 0);
    assert_int_equal(gone.links, 0);
    assert_int_equal(dirtree_unlink(w.t, 1, "f", &gone), 0);
    assert_int_equal(dirtree_compact(w.t, true), 0);
    assert_int_equal(dirtree_touch(w.t, n.id), 0);
    assert_int_equal(dirtree_touch(w.t, gone.id), 0);
    close_tree(&w);
    open_tree(&w);
    assert_int_equal(dirtree_each_touched(w.t, count_touched, count), 0);
    assert_int_equal(count[0], 0);
    assert_int_equal(count[1], 2);
    dirtree_forget(w.t, n.id);
    assert_int_equal(dirtree_stat(w.t, n.id, &n), -ENOENT);
    assert_int_equal(dirtree_stat(w.t, gone.id, &n), 0);
    assert_int_equal(n.links, 0);
    world_end(&w);
}

static void numbers_are_not_given_out_twice(void **state)
{
    struct world w;
    struct dirtree_node n;
    uint64_t last;

    (void)state;
    world_begin(&w);
    some_history(&w);
    assert_int_equal(dirtree_make(w.t, 1, "last", S_IFREG | 0600, NULL, &n), 0);
    last = n.id;
    assert_int_equal(dirtree_unlink(w.t, 1, "last", &n), 0);
    dirtree_forget(w.t, last);
    assert_int_equal(dirtree_stat(w.t, last, &n), -ENOENT);
    assert_int_equal(dirtree_compact(w.t, true), 0);
    close_tree(&w);
    open_tree(&w);
    assert_int_equal(dirtree_stat(w.t, last, &n), -ENOENT);
    assert_int_equal(dirtree_make(w.t, 1, "next", S_IFREG | 0600, NULL, &n), 0);
    assert_int_equal(n.id, last + 1);
    world_end(&w);
}

static void files_that_come_and_go_cost_neither_memory_nor_a_long_journal(void **state)
{
    struct world w;
    struct dirtree_node n;
    size_t memory = 0;
    uint64_t longest = 0;
    char name[32];
    int i;

    (void)state;
    world_begin(&w);
    for (i = 0; i < 30000; i++) {
        snprintf(name, sizeof(name), "temporary.%d", i);
        assert_int_equal(dirtree_make(w.t, 1, name, S_IFREG | 0600, NULL, &n), 0);
        assert_int_equal(dirtree_unlink(w.t, 1, name, &n), 0);
        dirtree_forget(w.t, n.id);
        if (w.acknowledged > longest)
            longest = w.acknowledged;
        if (i == 10)
            memory = dirtree_memory(w.t);
    }
    assert_true(dirtree_memory(w.t) <= memory);
    assert_true(longest < (1u << 20) + 4096);
    assert_true(longest > (1u << 20) - 4096);
    reopen_and_compare(&w);
    world_end(&w);
}

static void a_long_journal_is_compacted_when_little_of_it_counts(void **state)
{
    struct world w;
    struct dirtree_node n;
    uint64_t before = 0, live;
    char name[32];
    int i;

    (void)state;
    world_begin(&w);
    for (i = 0; i < 20000; i++) {
        snprintf(name, sizeof(name), "lasting.%d", i);
        assert_int_equal(dirtree_make(w.t, 1, name, S_IFREG | 0600, NULL, &n), 0);
    }
    live = w.acknowledged;
    assert_true(live > 1u << 20);
    for (i = 0; before <= w.acknowledged && i < 200000; i++) {
        before = w.acknowledged;
        assert_int_equal(change_chmod(&w), 0);
    }
    assert_true(before > 3 * live && before < 5 * live);
    assert_true(w.acknowledged <= live);
    world_end(&w);
}

static void times_of_directories_come_through_a_compaction(void **state)
{
    struct world w;
    struct dirtree_node before, after;

    (void)state;
    world_begin(&w);
    assert_int_equal(dirtree_walk(w.t, "a", &before), 0);
    assert_int_equal(change_make_file(&w), 0);
    assert_int_equal(dirtree_walk(w.t, "a", &after), 0);
    assert_true(after.mtime.tv_sec > before.mtime.tv_sec ||
                after.mtime.tv_nsec != before.mtime.tv_nsec);
    assert_int_equal(dirtree_compact(w.t, true), 0);
    close_tree(&w);
    open_tree(&w);
    assert_int_equal(dirtree_walk(w.t, "a", &before), 0);
    assert_int_equal(before.mtime.tv_sec, after.mtime.tv_sec);
    assert_int_equal(before.mtime.tv_nsec, after.mtime.tv_nsec);
    assert_int_equal(dirtree_set_mtime(w.t, before.id, (struct timespec){-5, 7}), 0);
    close_tree(&w);
    open_tree(&w);
    assert_int_equal(dirtree_walk(w.t, "a", &after), 0);
    assert_int_equal(after.mtime.tv_sec, -5);
    assert_int_equal(after.mtime.tv_nsec, 7);
    world_end(&w);
}

/* ---- damage ---- */

/* Apply the journal of `w` after something was done to it; the text says why it was refused. */
static int try_apply(struct world *w, uint64_t *good, struct err *err)
{
    int rc;

    *err = (struct err){0};
    w->t = dirtree_new(w->m);
    rc = apply(w, 0, good, err);
    close_tree(w);
    return rc;
}

static void every_bit_that_is_flipped_is_noticed(void **state)
{
    struct world w;
    struct err err;
    uint64_t good, at, size;

    (void)state;
    world_begin(&w);
    assert_int_equal(change_make_file(&w), 0);
    assert_int_equal(change_exchange(&w), 0);
    assert_int_equal(change_rmdir(&w), 0);
    close_tree(&w);
    size = memdisk_size(w.disk, "names0");
    for (at = 0; at < size * 8; at += fixture_step(13)) {
        memdisk_flip(w.disk, "names0", at / 8, (unsigned)(at % 8));
        if (try_apply(&w, &good, &err) < 0)
            assert_non_null(strstr(err.text, "journal of names"));
        else
            assert_true(good < w.acknowledged);
        memdisk_flip(w.disk, "names0", at / 8, (unsigned)(at % 8));
    }
    assert_int_equal(try_apply(&w, &good, &err), 0);
    assert_int_equal(good, size);
    world_end(&w);
}

static void a_journal_that_is_cut_ends_with_its_last_whole_frame(void **state)
{
    struct world w;
    struct err err;
    uint64_t good, first, size;

    (void)state;
    world_begin(&w);
    assert_int_equal(change_make_file(&w), 0);
    first = w.acknowledged;
    assert_int_equal(change_rmdir(&w), 0);
    close_tree(&w);
    for (size = memdisk_size(w.disk, "names0") - 1; size > 0; size--) {
        memdisk_cut(w.disk, "names0", size);
        if (size < FRAMES_START) {
            assert_int_equal(try_apply(&w, &good, &err), -EIO);
            continue;
        }
        assert_int_equal(try_apply(&w, &good, &err), 0);
        assert_int_equal(good, size >= first ? first : FRAMES_START);
    }
    world_end(&w);
}

static struct names_record node(uint64_t id, uint32_t mode, uint64_t parent, const char *target)
{
    return (struct names_record){NAMES_NODE, id, parent, mode, 0, target};
}

static struct names_record entry(uint64_t dir, const char *name, uint64_t id)
{
    return (struct names_record){NAMES_ENTRY, id, dir, 0, 0, name};
}

static struct names_record touched(uint64_t id)
{
    return (struct names_record){NAMES_TOUCHED, id, 0, 0, 0, ""};
}

/* The records in one frame are refused, with these words. */
static void assert_refused(const char *words, size_t count, const struct names_record *records)
{
    struct buf payload = {0};
    struct names *n;
    struct world w;
    struct err err;
    uint64_t good;
    size_t i;

    world_begin(&w);
    close_tree(&w);
    for (i = 0; i < count; i++)
        names_put(&payload, &records[i]);
    assert_int_equal(names_open(w.disk, "names0", FRAMES_START, &n, &err), 0);
    assert_int_equal(names_append(n, &payload), 0);
    names_close(n);
    assert_int_equal(try_apply(&w, &good, &err), -EIO);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" instead of \"%s\"", err.text, words);
    assert_int_equal(good, strstr(err.text, "directory") ? good : FRAMES_START);
    buf_free(&payload);
    world_end(&w);
}

#define REFUSED(words, ...)                                                                        \
    do {                                                                                           \
        const struct names_record r_[] = {__VA_ARGS__};                                            \
        assert_refused(words, sizeof(r_) / sizeof(r_[0]), r_);                                     \
    } while (0)

static void records_that_cannot_be_are_refused(void **state)
{
    char longer[300];

    (void)state;
    memset(longer, 'n', 256);
    longer[256] = '\0';
    REFUSED("not a name", entry(1, "", 0));
    REFUSED("not a name", entry(1, ".", 0));
    REFUSED("not a name", entry(1, "..", 0));
    REFUSED("not a name", entry(1, "x/y", 0));
    REFUSED("not a name", entry(1, longer, 0));
    REFUSED("unknown record of type 9", (struct names_record){.type = (enum names_type)9});
    REFUSED("no directory", entry(4711, "x", 0));
    REFUSED("no directory", node(100, S_IFREG, 0, ""), entry(100, "x", 0));
    REFUSED("which there is not", entry(1, "x", 4711));
    REFUSED("the root", entry(1, "x", 1));
    REFUSED("impossible number", node(0, S_IFREG, 0, ""));
    REFUSED("impossible number", node(UINT64_MAX, S_IFREG, 0, ""));
    REFUSED("impossible number", (struct names_record){NAMES_NEXT, UINT64_MAX, 0, 0, 0, ""});
    REFUSED("impossible mode", node(100, S_IFIFO, 0, ""));
    REFUSED("impossible mode", node(100, S_IFREG | 0x1000000, 0, ""));
    REFUSED("target", node(100, S_IFREG, 0, "x"));
    REFUSED("target", node(100, S_IFLNK, 0, ""));
    REFUSED("one type and then of another", node(1, S_IFREG, 0, ""));
    REFUSED("is no file", touched(1));
    REFUSED("is no file", touched(4711));
}

static void directories_that_cannot_be_are_refused(void **state)
{
    (void)state;
    REFUSED("says that it is in", node(100, S_IFDIR, 7, ""), entry(1, "x", 100));
    REFUSED("two places", node(100, S_IFDIR, 1, ""), entry(1, "x", 100), entry(1, "y", 100));
    REFUSED("two places", node(1, S_IFDIR, 2, ""));
    REFUSED("contains itself", node(100, S_IFDIR, 100, ""), entry(100, "x", 100));
    REFUSED("contains itself", node(100, S_IFDIR, 101, ""), node(101, S_IFDIR, 100, ""),
            entry(100, "x", 101), entry(101, "y", 100));
}

static void a_header_that_does_not_fit_is_refused(void **state)
{
    struct frames_header h, changed;
    struct world w;
    struct err err;
    uint64_t good;

    (void)state;
    world_begin(&w);
    close_tree(&w);
    memdisk_peek(w.disk, "names0", 0, &h, sizeof(h));
    changed = h;
    changed.version = 2;
    memdisk_poke(w.disk, "names0", 0, &changed, sizeof(h));
    assert_int_equal(try_apply(&w, &good, &err), -EIO);
    assert_non_null(strstr(err.text, "format version 2"));
    changed = h;
    changed.id ^= 1;
    memdisk_poke(w.disk, "names0", 0, &changed, sizeof(h));
    assert_int_equal(try_apply(&w, &good, &err), -EIO);
    assert_non_null(strstr(err.text, "checksum"));
    changed.crc = 0;
    changed.crc = crc32c(&changed, sizeof(changed));
    memdisk_poke(w.disk, "names0", 0, &changed, sizeof(h));
    assert_int_equal(try_apply(&w, &good, &err), -EIO);
    assert_non_null(strstr(err.text, "another base"));
    changed = h;
    changed.magic[0] = 'x';
    memdisk_poke(w.disk, "names0", 0, &changed, sizeof(h));
    assert_int_equal(try_apply(&w, &good, &err), -EIO);
    assert_non_null(strstr(err.text, "something else"));
    world_end(&w);
}

/* ---- figures, on request ---- */

static void figures(void **state)
{
    struct world w;
    struct dirtree_node n;
    size_t memory;
    int64_t start;
    uint32_t i;

    (void)state;
    if (!getenv("ASOFS_FIGURES"))
        skip();
    world_begin(&w);
    start = clock_ms();
    for (i = 0; i < 100000; i++)
        assert_int_equal(dirtree_lookup(w.t, id_of(&w, "a"), i % 2 ? "d" : "e", &n), 0);
    print_message("100,000 walks and lookups: %d ms\n", (int)(clock_ms() - start));
    memory = dirtree_memory(w.t);
    for (i = 0; i < 1000; i++) {
        char name[16];

        snprintf(name, sizeof(name), "%u", 16384 + i);
        assert_int_equal(dirtree_make(w.t, 1, name, S_IFREG | 0600, NULL, &n), 0);
    }
    print_message("1,000 new files: %zu bytes\n", dirtree_memory(w.t) - memory);
    world_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_changes_do_what_they_do_to_a_real_directory),
        cmocka_unit_test(a_process_that_ends_leaves_a_change_whole_or_not_done),
        cmocka_unit_test(a_full_disk_refuses_changes_and_loses_nothing),
        cmocka_unit_test(a_failed_change_can_be_made_again),
        cmocka_unit_test(a_journal_that_cannot_be_cut_takes_no_more_until_it_is_replaced),
        cmocka_unit_test(a_journal_is_acknowledged_as_shorter_before_it_is),
        cmocka_unit_test(odd_requests_are_refused_as_by_the_kernel),
        cmocka_unit_test(a_tree_without_a_journal_refuses_changes),
        cmocka_unit_test(layers_say_which_of_them_have_storage),
        cmocka_unit_test(a_file_without_names_can_still_get_storage),
        cmocka_unit_test(numbers_are_not_given_out_twice),
        cmocka_unit_test(files_that_come_and_go_cost_neither_memory_nor_a_long_journal),
        cmocka_unit_test(a_long_journal_is_compacted_when_little_of_it_counts),
        cmocka_unit_test(times_of_directories_come_through_a_compaction),
        cmocka_unit_test(every_bit_that_is_flipped_is_noticed),
        cmocka_unit_test(hidden_names_are_shown_again),
        cmocka_unit_test(a_journal_that_is_cut_ends_with_its_last_whole_frame),
        cmocka_unit_test(records_that_cannot_be_are_refused),
        cmocka_unit_test(directories_that_cannot_be_are_refused),
        cmocka_unit_test(a_header_that_does_not_fit_is_refused),
        cmocka_unit_test(figures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
