/*
 * Two halves. The walk collects a directory into entries and text, in the order in which they are
 * written. What is read back is checked once, completely, in manifest_from_bytes: from then on
 * every number in it is in range, every text ends, and every way up ends at the root.
 */
#include "pages/manifest.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <uthash.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/mem.h"
#include "pages/links.h"
#include "pages/page.h"

#define NAME_BYTES_MAX 255 /* NAME_MAX of Linux */
#define TABLESPACE_LINKS "pg_tblspc"
#define WAL "pg_wal"

/* ---- both halves ---- */

/* Any time has a number, the same each time; those after 2262 have no sensible one. */
static int64_t nanoseconds(struct timespec t)
{
    return (int64_t)((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec);
}

static const char *target_of(const struct manifest_entry *e, const char *text)
{
    const char *name = text + e->name;

    if (!S_ISLNK(e->mode) && !(e->flags & MANIFEST_OUTSIDE))
        return "";
    return name + strlen(name) + 1;
}

/* Bytes of an entry's path, with its NUL. */
static size_t path_bytes(const struct manifest_entry *entries, const char *text, uint32_t i)
{
    size_t len = 0;

    for (; i != 0; i = entries[i].parent) {
        if (entries[i].flags & MANIFEST_OUTSIDE)
            return len + strlen(target_of(&entries[i], text)) + 1;
        len += strlen(text + entries[i].name) + 1;
    }
    return len ? len : 1;
}

/* Upwards to the root or an outside directory; filled from the end. */
static char *path_of(const struct manifest_entry *entries, const char *text, uint32_t i)
{
    size_t len = path_bytes(entries, text, i), n;
    char *path = malloc(len), *at;
    const char *part;
    bool outside;

    if (!path)
        return NULL;
    at = path + len;
    while (i != 0) {
        outside = entries[i].flags & MANIFEST_OUTSIDE;
        part = outside ? target_of(&entries[i], text) : text + entries[i].name;
        n = strlen(part);
        at -= n + 1;
        memcpy(at, part, n);
        at[n] = '/';
        i = outside ? 0 : entries[i].parent;
    }
    path[len - 1] = '\0';
    return path;
}

/* ---- the walk ---- */

/* A tablespace outside. */
struct space {
    char *oid, *target;
};

/* A file with several names. */
struct seen {
    struct {
        dev_t dev;
        ino_t inode;
    } key;
    uint32_t entry; /* of its first name */
    UT_hash_handle hh;
};

struct walk {
    const char *directory;
    int root;
    struct manifest_entry *entries;
    size_t n, room;
    struct buf text;
    struct space *spaces; /* sorted by oid */
    size_t n_spaces, spaces_room;
    struct seen *seen;
    struct err *err;
};

struct listing {
    DIR *dir;
    char **names; /* sorted */
    size_t n, room;
};

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void listing_add(struct listing *l, const char *name)
{
    l->names = mem_grow(l->names, l->n, &l->room, sizeof(*l->names));
    l->names[l->n++] = mem_strdup(name);
}

/* Takes the descriptor; 0 or a negative errno. */
static int listing_open(struct listing *l, int fd)
{
    struct dirent *e;

    memset(l, 0, sizeof(*l));
    l->dir = fdopendir(fd);
    if (!l->dir) {
        int rc = -errno;

        close(fd);
        return rc;
    }
    while ((errno = 0, e = readdir(l->dir)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            listing_add(l, e->d_name);
    return -errno;
}

static void listing_sort(struct listing *l)
{
    if (l->n)
        qsort(l->names, l->n, sizeof(*l->names), by_bytes);
}

static void listing_close(struct listing *l)
{
    size_t i;

    for (i = 0; i < l->n; i++)
        free(l->names[i]);
    free(l->names);
    if (l->dir)
        closedir(l->dir);
}

static uint32_t add_entry(struct walk *w, const char *name, const struct stat *st, uint32_t parent)
{
    struct manifest_entry *e;

    w->entries = mem_grow(w->entries, w->n, &w->room, sizeof(*w->entries));
    e = &w->entries[w->n];
    *e = (struct manifest_entry){
        .inode = st->st_ino,
        .size = (uint64_t)st->st_size,
        .mtime_ns = nanoseconds(st->st_mtim),
        .ctime_ns = nanoseconds(st->st_ctim),
        .name = (uint32_t)w->text.len,
        .parent = parent,
        .first = (uint32_t)w->n,
        .mode = (uint16_t)st->st_mode,
    };
    buf_put(&w->text, name, strlen(name) + 1);
    return (uint32_t)w->n++;
}

static void add_target(struct walk *w, const char *target)
{
    buf_put(&w->text, target, strlen(target) + 1);
}

static void add_file(struct walk *w, const char *name, const struct stat *st, uint32_t parent)
{
    uint32_t entry = add_entry(w, name, st, parent);
    struct seen *s, key = {0};

    if (st->st_nlink < 2)
        return;
    key.key.dev = st->st_dev;
    key.key.inode = st->st_ino;
    HASH_FIND(hh, w->seen, &key.key, sizeof(key.key), s);
    if (s) {
        w->entries[entry].first = s->entry;
        return;
    }
    s = mem_alloc(sizeof(*s));
    s->key = key.key;
    s->entry = entry;
    HASH_ADD(hh, w->seen, key, sizeof(s->key), s);
}

/* "pg_wal/archive_status", or absolute; freed by the caller. */
static char *full_path(const struct walk *w, uint32_t dir, const char *name)
{
    char *path = path_of(w->entries, w->text.data, dir);
    char *full;

    if (!path || !*path || !*name)
        full = mem_strdup(path && *path ? path : name);
    else
        full = mem_printf("%s/%s", path, name);
    free(path);
    return full;
}

static int fail(const struct walk *w, uint32_t dir, const char *name, int code)
{
    char *path = full_path(w, dir, name);
    int rc;

    errno = -code;
    rc = err_errno(w->err, "cannot read %s of %s", *path ? path : "the root", w->directory);
    free(path);
    return rc;
}

/* By its components alone: whether a link `depth` directories below the top ends inside. What it
 * goes through may be links: check_links. */
static bool stays_inside(const char *target, unsigned depth)
{
    size_t len;

    if (*target == '/')
        return false;
    for (; *target; target += len + (target[len] == '/')) {
        len = strcspn(target, "/");
        if (len == 2 && target[0] == '.' && target[1] == '.') {
            if (depth-- == 0)
                return false;
        } else if (len > 1 || (len == 1 && target[0] != '.')) {
            depth++;
        }
    }
    return true;
}

static unsigned depth_of(const struct walk *w, uint32_t dir)
{
    unsigned depth = 0;

    for (; dir && !(w->entries[dir].flags & MANIFEST_OUTSIDE); dir = w->entries[dir].parent)
        depth++;
    return depth;
}

static int read_link(int fd, const char *name, char target[PATH_MAX])
{
    ssize_t n = readlinkat(fd, name, target, PATH_MAX);

    if (n < 0)
        return -errno;
    if (n == 0 || n == PATH_MAX)
        return n ? -ENAMETOOLONG : -EINVAL;
    target[n] = '\0';
    return 0;
}

/* The directory that a link leads to: its absolute path (freed by the caller) and what it is. */
static int follow_link(const struct walk *w, const char *link, char **target, struct stat *st)
{
    char *path = mem_printf("%s/%s", w->directory, link);
    int rc = 0;

    *target = realpath(path, NULL);
    if (!*target || lstat(*target, st) < 0)
        rc = err_errno(w->err, "%s is a link to a directory that cannot be found", path);
    else if (!S_ISDIR(st->st_mode))
        rc =
            err_set(w->err, ENOTDIR, "%s is a link to %s, which is not a directory", path, *target);
    free(path);
    return rc;
}

static const struct space *find_space(const struct walk *w, const char *oid)
{
    size_t i;

    for (i = 0; i < w->n_spaces; i++)
        if (strcmp(w->spaces[i].oid, oid) == 0)
            return &w->spaces[i];
    return NULL;
}

/* Remembers pg_tblspc/NAME if it is a tablespace outside. */
static int look_at_space(struct walk *w, int fd, const char *name)
{
    char target[PATH_MAX], *path;
    struct stat st;
    int rc = read_link(fd, name, target);

    if (rc || name[strspn(name, "0123456789")] || stays_inside(target, 1))
        return 0; /* the walk sees it again */
    path = mem_printf("%s/%s", TABLESPACE_LINKS, name);
    w->spaces = mem_grow(w->spaces, w->n_spaces, &w->spaces_room, sizeof(*w->spaces));
    rc = follow_link(w, path, &w->spaces[w->n_spaces].target, &st);
    free(path);
    if (rc) {
        free(w->spaces[w->n_spaces].target);
        return rc;
    }
    w->spaces[w->n_spaces++].oid = mem_strdup(name);
    return 0;
}

/* Before the walk, for .tablespaces comes before pg_tblspc. */
static int find_spaces(struct walk *w)
{
    int fd = openat(w->root, TABLESPACE_LINKS, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct listing l;
    size_t i;
    int rc;

    if (fd < 0)
        return 0; /* if it is there, the walk says what is wrong with it */
    rc = listing_open(&l, fd);
    if (rc)
        rc = fail(w, 0, TABLESPACE_LINKS, rc);
    listing_sort(&l);
    for (i = 0; i < l.n && rc == 0; i++)
        rc = look_at_space(w, dirfd(l.dir), l.names[i]);
    listing_close(&l);
    return rc;
}

static void add_made(struct walk *w, uint32_t parent)
{
    struct stat st = {.st_mode = S_IFDIR | 0700};
    uint32_t entry = add_entry(w, MANIFEST_TABLESPACES, &st, parent);

    w->entries[entry].flags = MANIFEST_MADE;
}

static void add_outside(struct walk *w, const char *name, const char *target, const struct stat *st,
                        uint32_t parent)
{
    uint32_t entry = add_entry(w, name, st, parent);

    w->entries[entry].flags = MANIFEST_OUTSIDE;
    add_target(w, target);
}

static int add_spaces(struct walk *w, uint32_t dir)
{
    struct stat st;
    size_t i;

    for (i = 0; i < w->n_spaces; i++) {
        if (lstat(w->spaces[i].target, &st) < 0)
            return err_errno(w->err, "cannot read %s", w->spaces[i].target);
        add_outside(w, w->spaces[i].oid, w->spaces[i].target, &st, dir);
    }
    return 0;
}

static int add_wal(struct walk *w)
{
    struct stat st;
    char *target;
    int rc = follow_link(w, WAL, &target, &st);

    if (rc == 0)
        add_outside(w, WAL, target, &st, 0);
    free(target);
    return rc;
}

static int refuse_link(const struct walk *w, uint32_t dir, const char *name, const char *target)
{
    char *path = full_path(w, dir, name);

    err_set(w->err, EINVAL, "%s of %s is a symbolic link that leads out of the directory, to %s",
            path, w->directory, target);
    free(path);
    return err_hint(
        w->err, "only pg_wal and the tablespaces in pg_tblspc may be outside; put a copy in the "
                "place of the link");
}

static bool is_space_link(const struct walk *w, uint32_t dir, const char *name)
{
    return dir && w->entries[dir].parent == 0 &&
           strcmp(w->text.data + w->entries[dir].name, TABLESPACE_LINKS) == 0 &&
           find_space(w, name);
}

static int add_link(struct walk *w, uint32_t dir, int fd, const char *name, const struct stat *st)
{
    char target[PATH_MAX], *inside;
    int rc = read_link(fd, name, target);

    if (rc)
        return fail(w, dir, name, rc);
    if (stays_inside(target, depth_of(w, dir))) {
        add_entry(w, name, st, dir);
        add_target(w, target);
        return 0;
    }
    if (dir == 0 && strcmp(name, WAL) == 0)
        return add_wal(w);
    if (!is_space_link(w, dir, name))
        return refuse_link(w, dir, name, target);
    inside = mem_printf("../" MANIFEST_TABLESPACES "/%s", name);
    add_entry(w, name, st, dir);
    add_target(w, inside);
    free(inside);
    return 0;
}

static int add_child(struct walk *w, uint32_t dir, int fd, const char *name)
{
    struct stat st;

    if (w->n >= MANIFEST_NONE - 1 || w->text.len > UINT32_MAX - 2 * PATH_MAX)
        return err_set(w->err, EFBIG, "%s has too many files", w->directory);
    if (dir == 0 && w->n_spaces && strcmp(name, MANIFEST_TABLESPACES) == 0) {
        add_made(w, dir);
        return 0;
    }
    if (strlen(name) > NAME_BYTES_MAX)
        return fail(w, dir, name, -ENAMETOOLONG);
    if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return fail(w, dir, name, -errno);
    switch (st.st_mode & S_IFMT) {
    case S_IFDIR:
        add_entry(w, name, &st, dir);
        return 0;
    case S_IFREG:
        add_file(w, name, &st, dir);
        return 0;
    case S_IFLNK:
        return add_link(w, dir, fd, name, &st);
    default:
        return 0;
    }
}

/* The made up directory stands among the others. */
static int list_root_too(struct walk *w, uint32_t dir, struct listing *l)
{
    size_t i;

    if (dir != 0 || !w->n_spaces)
        return 0;
    for (i = 0; i < l->n; i++)
        if (strcmp(l->names[i], MANIFEST_TABLESPACES) == 0)
            return err_set(w->err, EEXIST,
                           "%s has a file named " MANIFEST_TABLESPACES
                           ", the name under which its tablespaces are shown",
                           w->directory);
    listing_add(l, MANIFEST_TABLESPACES);
    return 0;
}

static int open_listing(struct walk *w, uint32_t dir, struct listing *l)
{
    char *path = path_of(w->entries, w->text.data, dir);
    int fd, rc;

    memset(l, 0, sizeof(*l));
    if (!path)
        return fail(w, dir, "", -ENOMEM);
    fd = openat(w->root, *path ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    rc = fd < 0 ? -errno : listing_open(l, fd);
    free(path);
    return rc ? fail(w, dir, "", rc) : 0;
}

static int add_children(struct walk *w, uint32_t dir)
{
    struct listing l;
    size_t i;
    int rc;

    if (w->entries[dir].flags & MANIFEST_MADE)
        return add_spaces(w, dir);
    rc = open_listing(w, dir, &l);
    if (rc == 0)
        rc = list_root_too(w, dir, &l);
    listing_sort(&l);
    for (i = 0; i < l.n && rc == 0; i++)
        rc = add_child(w, dir, dirfd(l.dir), l.names[i]);
    listing_close(&l);
    return rc;
}

static int walk_all(struct walk *w)
{
    struct stat st;
    uint32_t i;
    int rc;

    if (fstat(w->root, &st) < 0)
        return err_errno(w->err, "cannot read %s", w->directory);
    add_entry(w, "", &st, 0);
    rc = find_spaces(w);
    for (i = 0; i < w->n && rc == 0; i++) {
        if (!S_ISDIR(w->entries[i].mode))
            continue;
        w->entries[i].first = (uint32_t)w->n;
        rc = add_children(w, i);
        w->entries[i].children = (uint32_t)w->n - w->entries[i].first;
    }
    return rc;
}

/* When all is known that they can go through. */
static int check_links(struct walk *w)
{
    const char *name;
    uint32_t i;

    for (i = 0; i < w->n; i++) {
        if (!S_ISLNK(w->entries[i].mode) || links_stay(w->entries, w->text.data, i))
            continue;
        name = w->text.data + w->entries[i].name;
        return refuse_link(w, w->entries[i].parent, name, name + strlen(name) + 1);
    }
    return 0;
}

static int save(struct walk *w, struct disk *out, const char *path)
{
    struct manifest_header h = {.version = MANIFEST_VERSION};
    size_t entries = w->n * sizeof(*w->entries);
    struct buf b = {0};
    int rc;

    memcpy(h.magic, MANIFEST_MAGIC, sizeof(h.magic));
    h.count = (uint32_t)w->n;
    h.text_bytes = w->text.len;
    if (getrandom(&h.id, sizeof(h.id), 0) != sizeof(h.id))
        return err_errno(w->err, "no random numbers");
    buf_reserve(&b, sizeof(h) + entries + w->text.len);
    buf_put(&b, &h, sizeof(h));
    buf_put(&b, w->entries, entries);
    buf_put(&b, w->text.data, w->text.len);
    h.crc = crc32c(b.data + sizeof(h), b.len - sizeof(h));
    h.header_crc = crc32c(&h, offsetof(struct manifest_header, header_crc));
    memcpy(b.data, &h, sizeof(h));
    rc = disk_replace_file(out, path, b.data, b.len);
    buf_free(&b);
    if (rc < 0) {
        errno = -rc;
        return err_errno(w->err, "cannot write the manifest %s", path);
    }
    return 0;
}

static void walk_free(struct walk *w)
{
    struct seen *s, *next;
    size_t i;

    HASH_ITER(hh, w->seen, s, next)
    {
        HASH_DEL(w->seen, s);
        free(s);
    }
    for (i = 0; i < w->n_spaces; i++) {
        free(w->spaces[i].oid);
        free(w->spaces[i].target);
    }
    free(w->spaces);
    free(w->entries);
    buf_free(&w->text);
}

int manifest_write(const char *directory, struct disk *out, const char *path, struct err *err)
{
    struct err unread;
    struct walk w = {.directory = directory, .err = err ? err : &unread};
    int rc;

    w.root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (w.root < 0)
        return err_errno(err, "cannot open the data directory %s", directory);
    rc = walk_all(&w);
    if (rc == 0)
        rc = check_links(&w);
    if (rc == 0)
        rc = save(&w, out, path);
    close(w.root);
    walk_free(&w);
    return rc;
}

/* ---- reading back ---- */

struct manifest {
    struct manifest_header header;
    const struct manifest_entry *entries;
    const char *text;
    struct disk_file *file; /* NULL: from bytes of the caller */
    void *memory;
    size_t memory_len;
};

static int damaged(struct err *err, uint32_t entry, const char *what)
{
    return err_set(err, EIO, "the manifest is damaged: entry %u %s", entry, what);
}

static int check_header(const struct manifest_header *h, uint64_t len, struct err *err)
{
    uint64_t entries = (uint64_t)h->count * sizeof(struct manifest_entry);

    if (memcmp(h->magic, MANIFEST_MAGIC, sizeof(h->magic)) != 0)
        return err_set(err, EIO, "this is not a manifest");
    if (h->version == __builtin_bswap32(MANIFEST_VERSION))
        return err_set(err, ENOTSUP, "the manifest is of a machine with another byte order");
    if (h->version != MANIFEST_VERSION)
        return err_set(err, ENOTSUP, "the manifest has version %u; this program knows version %d",
                       h->version, MANIFEST_VERSION);
    if (h->header_crc != crc32c(h, offsetof(struct manifest_header, header_crc)))
        return err_set(err, EIO, "the manifest is damaged: the checksum of its header is wrong");
    if (h->count == 0 || h->count == MANIFEST_NONE || h->text_bytes > UINT32_MAX ||
        len - sizeof(*h) != entries + h->text_bytes)
        return err_set(err, EIO, "the manifest is damaged: its size does not fit its header");
    return 0;
}

/* A text at `at` that ends inside, or 0; counted with its NUL. */
static size_t text_at(const struct manifest *m, uint64_t at)
{
    size_t left = (size_t)(m->header.text_bytes - at), len = strnlen(m->text + at, left);

    return len < left ? len + 1 : 0;
}

/* *at: where the text of this entry begins, then where it ends. */
static int check_text(const struct manifest *m, uint32_t i, uint64_t *at, struct err *err)
{
    const struct manifest_entry *e = &m->entries[i];
    const char *name = m->text + *at;
    size_t len;

    if (e->name != *at || (len = text_at(m, *at)) == 0)
        return damaged(err, i, "has its name in the wrong place");
    if (i == 0 ? len > 1 : len < 2 || len > NAME_BYTES_MAX + 1)
        return damaged(err, i, "has a name of a wrong length");
    if (strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return damaged(err, i, "has a name that cannot be");
    *at += len;
    if (!S_ISLNK(e->mode) && !(e->flags & MANIFEST_OUTSIDE))
        return 0;
    len = text_at(m, *at);
    if (len < 2 || len > PATH_MAX || (!S_ISLNK(e->mode) && m->text[*at] != '/'))
        return damaged(err, i, "has a target that cannot be");
    *at += len;
    return 0;
}

static int check_kind(const struct manifest *m, uint32_t i, struct err *err)
{
    const struct manifest_entry *e = &m->entries[i];

    if ((!S_ISDIR(e->mode) && !S_ISREG(e->mode) && !S_ISLNK(e->mode)) ||
        (i == 0 && !S_ISDIR(e->mode)))
        return damaged(err, i, "has a type that cannot be");
    if (e->flags && ((e->flags != MANIFEST_OUTSIDE && e->flags != MANIFEST_MADE) || i == 0 ||
                     !S_ISDIR(e->mode)))
        return damaged(err, i, "has flags that cannot be");
    return 0;
}

/* A file or link: what stands for it is itself, or an earlier name of the same file. */
static int check_first(const struct manifest *m, uint32_t i, struct err *err)
{
    const struct manifest_entry *e = &m->entries[i], *first;

    if (e->children || e->first > i)
        return damaged(err, i, "is a file that has files");
    first = &m->entries[e->first];
    if (first->first != e->first || first->mode != e->mode || first->inode != e->inode ||
        (S_ISLNK(e->mode) && e->first != i))
        return damaged(err, i, "is a further name of another file");
    return 0;
}

/* *next: the first entry that belongs to no directory so far. */
static int check_children(const struct manifest *m, uint32_t i, uint64_t *next, struct err *err)
{
    const struct manifest_entry *e = &m->entries[i];
    uint64_t k, end = *next + e->children;

    if (i >= *next)
        return damaged(err, i, "is in no directory");
    if (e->first != *next || end > m->header.count)
        return damaged(err, i, "has files that are not there");
    for (k = *next; k < end; k++)
        if (m->entries[k].parent != i)
            return damaged(err, (uint32_t)k, "is in two directories");
    *next = end;
    return 0;
}

static int check_order(const struct manifest *m, uint32_t i, struct err *err)
{
    const struct manifest_entry *e = &m->entries[i], *before;

    if (i == 0)
        return e->parent == 0 ? 0 : damaged(err, 0, "has a directory above it");
    before = &m->entries[i - 1];
    if (i > 1 && before->parent == e->parent &&
        strcmp(m->text + before->name, m->text + e->name) >= 0)
        return damaged(err, i, "is out of order");
    return 0;
}

/* Texts first, for the order compares them; an entry's is known to end when its turn has come. */
static int check_entries(const struct manifest *m, struct err *err)
{
    uint64_t at = 0, next = 1;
    uint32_t i;
    int rc = 0;

    for (i = 0; i < m->header.count && rc == 0; i++) {
        rc = check_kind(m, i, err);
        if (rc == 0)
            rc = check_text(m, i, &at, err);
        if (rc == 0)
            rc = check_order(m, i, err);
        if (rc == 0)
            rc = S_ISDIR(m->entries[i].mode) ? check_children(m, i, &next, err)
                                             : check_first(m, i, err);
    }
    if (rc == 0 && (next != m->header.count || at != m->header.text_bytes))
        rc = err_set(err, EIO, "the manifest is damaged: it has more than its directories hold");
    return rc;
}

/* Of a base that was added by a program that did not look at what links go through. */
static int check_ways(const struct manifest *m, struct err *err)
{
    char *path;
    uint32_t i;

    for (i = 0; i < m->header.count; i++) {
        if (!S_ISLNK(m->entries[i].mode) || links_stay(m->entries, m->text, i))
            continue;
        path = manifest_path(m, i);
        err_set(err, EINVAL,
                "the base has a symbolic link that leads out of it: %s, to %s; put a copy in the "
                "place of the link, and add the base anew",
                path ? path : "(no memory)", manifest_target(m, i));
        free(path);
        return -EINVAL;
    }
    return 0;
}

static int check_bytes(struct manifest *m, const char *bytes, uint64_t len, struct err *err)
{
    struct manifest_header *h = &m->header;
    int rc;

    if (len < sizeof(*h))
        return err_set(err, EIO, "the manifest is damaged: it is cut short");
    memcpy(h, bytes, sizeof(*h));
    rc = check_header(h, len, err);
    if (rc)
        return rc;
    if (h->crc != crc32c(bytes + sizeof(*h), len - sizeof(*h)))
        return err_set(err, EIO, "the manifest is damaged: its checksum is wrong");
    m->entries = (const struct manifest_entry *)(bytes + sizeof(*h));
    m->text = (const char *)(m->entries + h->count);
    rc = check_entries(m, err);
    return rc ? rc : check_ways(m, err);
}

int manifest_from_bytes(const void *bytes, uint64_t len, struct manifest **m, struct err *err)
{
    struct manifest *new = calloc(1, sizeof(*new));
    int rc;

    *m = NULL;
    if (!new)
        return err_set(err, ENOMEM, "no memory for a manifest");
    rc = check_bytes(new, bytes, len, err);
    if (rc)
        free(new);
    else
        *m = new;
    return rc;
}

static int map_file(struct disk *d, const char *path, struct disk_file **f, void **memory,
                    size_t *len, struct err *err)
{
    struct stat st;
    int rc = d->ops->open(d, path, 0, f);

    if (rc == 0)
        rc = d->ops->file_stat(*f, &st);
    if (rc < 0) {
        errno = -rc;
        return err_errno(err, "cannot open it");
    }
    if (!S_ISREG(st.st_mode) || st.st_size == 0)
        return err_set(err, EIO, "the manifest is damaged: it is empty");
    *len = (size_t)st.st_size;
    *memory = d->ops->map(*f, 0, *len, false);
    return *memory ? 0 : err_errno(err, "cannot map it");
}

int manifest_open(struct disk *d, const char *path, struct manifest **m, struct err *err)
{
    struct disk_file *f = NULL;
    void *memory = NULL;
    size_t len = 0;
    int rc = map_file(d, path, &f, &memory, &len, err);

    *m = NULL;
    if (rc == 0)
        rc = manifest_from_bytes(memory, len, m, err);
    if (rc == 0) {
        (*m)->file = f;
        (*m)->memory = memory;
        (*m)->memory_len = len;
        return 0;
    }
    if (memory)
        d->ops->unmap(f, memory, len);
    if (f)
        d->ops->close(f);
    return err ? err_prefix(err, "%s", path) : rc;
}

void manifest_close(struct manifest *m)
{
    if (!m)
        return;
    if (m->file) {
        m->file->ops->unmap(m->file, m->memory, m->memory_len);
        m->file->ops->close(m->file);
    }
    free(m);
}

uint64_t manifest_id(const struct manifest *m)
{
    return m->header.id;
}

uint32_t manifest_entries(const struct manifest *m)
{
    return m->header.count;
}

const struct manifest_entry *manifest_entry(const struct manifest *m, uint32_t i)
{
    return &m->entries[i];
}

const char *manifest_name(const struct manifest *m, uint32_t i)
{
    return m->text + m->entries[i].name;
}

const char *manifest_target(const struct manifest *m, uint32_t i)
{
    return S_ISLNK(m->entries[i].mode) ? target_of(&m->entries[i], m->text) : "";
}

uint32_t manifest_find(const struct manifest *m, uint32_t dir, const char *name)
{
    const struct manifest_entry *d = &m->entries[dir];
    uint32_t low = d->first, n = d->children, half;
    int order;

    if (!S_ISDIR(d->mode))
        return MANIFEST_NONE;
    while (n) {
        half = n / 2;
        order = strcmp(name, manifest_name(m, low + half));
        if (order == 0)
            return low + half;
        if (order > 0) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return MANIFEST_NONE;
}

char *manifest_path(const struct manifest *m, uint32_t i)
{
    return path_of(m->entries, m->text, i);
}

/* ---- the base against it ---- */

/* What differs, in words; NULL: nothing. */
static const char *difference(const struct manifest_entry *e, const struct stat *st)
{
    if (e->flags & MANIFEST_MADE)
        return NULL;
    if ((e->mode & S_IFMT) != (st->st_mode & S_IFMT))
        return "is of another type";
    if (e->inode != st->st_ino)
        return "is another file (its inode differs)";
    if (S_ISREG(e->mode) && e->size != (uint64_t)st->st_size)
        return "has another size";
    if (e->mtime_ns != nanoseconds(st->st_mtim))
        return S_ISDIR(e->mode) ? "was modified: files were added, removed or renamed in it"
                                : "was modified";
    if (e->size != (uint64_t)st->st_size)
        return "has another size";
    return e->ctime_ns != nanoseconds(st->st_ctim)
               ? "was changed (its ctime differs: permissions, owner, links or contents)"
               : NULL;
}

bool manifest_same(const struct manifest_entry *e, const struct stat *st)
{
    return !difference(e, st);
}

static int stale(struct err *err, const char *path, const char *what)
{
    err_set(err, ESTALE, "%s %s", *path ? path : "the base's directory itself", what);
    return err ? err_hint(err,
                          "the base changed since it was added; it must be added anew (or, if the "
                          "store was moved or restored: asofs base rebase)")
               : -ESTALE;
}

static int check_path(const struct manifest *m, uint32_t i, struct disk *base, const char *path,
                      struct err *err)
{
    const char *what;
    struct stat st;
    int rc = base->ops->stat(base, path, &st);

    if (rc == -ENOENT || rc == -ENOTDIR)
        return stale(err, path, "is missing");
    if (rc < 0) {
        errno = -rc;
        return err_errno(err, "cannot look at %s", *path ? path : "the base's directory");
    }
    what = difference(&m->entries[i], &st);
    return what ? stale(err, path, what) : 0;
}

/* The path of a directory stays, the names below it change. */
static int check_dir(const struct manifest *m, uint32_t dir, struct disk *base, struct err *err)
{
    const struct manifest_entry *d = &m->entries[dir], *e;
    char *path = manifest_path(m, dir), *longer;
    size_t len = path ? strlen(path) : 0;
    uint32_t i;
    int rc = -ENOMEM;

    longer = path ? realloc(path, len + NAME_BYTES_MAX + 2) : NULL;
    if (!longer)
        goto out;
    path = longer;
    if (len)
        path[len++] = '/';
    rc = 0;
    for (i = d->first; i < d->first + d->children && rc == 0; i++) {
        e = &m->entries[i];
        strcpy(path + len, m->text + e->name);
        if (e->flags & MANIFEST_OUTSIDE)
            rc = check_path(m, i, base, target_of(e, m->text), err);
        else if (!(e->flags & MANIFEST_MADE))
            rc = check_path(m, i, base, path, err);
    }
out:
    free(path);
    return rc == -ENOMEM ? err_set(err, ENOMEM, "no memory to check the base") : rc;
}

int manifest_check(const struct manifest *m, struct disk *base, struct err *err)
{
    uint32_t i;
    int rc = check_path(m, 0, base, "", err);

    for (i = 0; i < m->header.count && rc == 0; i++)
        if (m->entries[i].children)
            rc = check_dir(m, i, base, err);
    return rc;
}
