/* Two trees: names, types, modes, link counts, sizes, contents, which names are one file. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model.h"

enum { PIECE = 256 * 1024, LINKED = 1024 };

struct linked {
    ino_t inode[2];
};

struct comparison {
    struct model *m;
    struct difference *d;
    uint8_t *piece[2];
    struct linked linked[LINKED]; /* files with several names, seen so far */
    size_t n_linked;
};

static bool differs(struct comparison *c, const char *path, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static bool differs(struct comparison *c, const char *path, const char *format, ...)
{
    va_list args;
    int n = snprintf(c->d->text, sizeof c->d->text, "%.200s: ", path);
    va_start(args, format);
    vsnprintf(c->d->text + n, sizeof c->d->text - (size_t)n, format, args);
    va_end(args);
    return false;
}

/* ---- names of a directory ---- */

struct listing {
    char **names;
    size_t n, room;
};

static void listing_add(struct listing *l, const char *name)
{
    if (l->n == l->room) {
        l->room = l->room ? 2 * l->room : 32;
        l->names = realloc(l->names, l->room * sizeof *l->names);
    }
    if (!l->names || !(l->names[l->n++] = strdup(name)))
        abort();
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void listing_free(struct listing *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->names[i]);
    free(l->names);
}

static int list(int root, const char *path, struct listing *l)
{
    struct dirent *e;
    int fd = openat(root, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    *l = (struct listing){0};
    if (!dir)
        return -errno;
    while (errno = 0, (e = readdir(dir)))
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            listing_add(l, e->d_name);
    int r = -errno;
    closedir(dir);
    if (l->n > 0)
        qsort(l->names, l->n, sizeof *l->names, by_name);
    return r;
}

static void join(char path[PATH_BYTES], const char *dir, const char *name)
{
    if (strcmp(dir, ".") == 0)
        snprintf(path, PATH_BYTES, "%s", name);
    else
        snprintf(path, PATH_BYTES, "%s/%s", dir, name);
}

/* ---- files ---- */

static bool same_piece(struct comparison *c, const char *path, uint64_t offset, int64_t got,
                       int64_t want)
{
    int64_t first = -1, count = 0;
    if (got < 0 || want < 0)
        return differs(c, path, "reading at %ju: %s", (uintmax_t)offset,
                       strerror((int)-(got < 0 ? got : want)));
    if (got == want && memcmp(c->piece[SUBJECT], c->piece[ORACLE], (size_t)want) == 0)
        return true;
    if (got != want)
        return differs(c, path, "%jd bytes instead of %jd can be read at %ju", (intmax_t)got,
                       (intmax_t)want, (uintmax_t)offset);
    for (int64_t i = 0; i < want; i++)
        if (c->piece[SUBJECT][i] != c->piece[ORACLE][i]) {
            first = first < 0 ? i : first;
            count++;
        }
    uint64_t at = offset + (uint64_t)first;
    return differs(
        c, path,
        "byte %ju (page %ju, %ju of it) is %02x instead of %02x; so are %jd bytes of the "
        "%jd from %ju on",
        (uintmax_t)at, (uintmax_t)(at / PAGE), (uintmax_t)(at % PAGE), c->piece[SUBJECT][first],
        c->piece[ORACLE][first], (intmax_t)count, (intmax_t)want, (uintmax_t)offset);
}

static bool same_bytes(struct comparison *c, const char *path)
{
    int fd[2];
    bool same = true;
    for (int side = 0; side < 2; side++)
        fd[side] = openat(c->m->root[side], path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd[SUBJECT] < 0 || fd[ORACLE] < 0)
        same = differs(c, path, "cannot be opened: %s", strerror(errno));
    else
        posix_fadvise(fd[SUBJECT], 0, 0, POSIX_FADV_DONTNEED);
    for (uint64_t offset = 0; same; offset += PIECE) {
        int64_t n[2];
        for (int side = 0; side < 2; side++)
            n[side] = side_read(c->m, side, fd[side], c->piece[side], PIECE, offset);
        same = same_piece(c, path, offset, n[SUBJECT], n[ORACLE]);
        if (n[ORACLE] < PIECE)
            break;
    }
    for (int side = 0; side < 2; side++)
        if (fd[side] >= 0)
            close(fd[side]);
    return same;
}

static bool same_target(struct comparison *c, const char *path)
{
    char target[2][4096] = {{0}};
    for (int side = 0; side < 2; side++)
        if (readlinkat(c->m->root[side], path, target[side], sizeof target[side] - 1) < 0)
            return differs(c, path, "cannot read the link: %s", strerror(errno));
    if (strcmp(target[SUBJECT], target[ORACLE]) != 0)
        return differs(c, path, "links to %.300s instead of %.300s", target[SUBJECT],
                       target[ORACLE]);
    return true;
}

/* Names of one file here are names of one file there. */
static bool same_links(struct comparison *c, const char *path, const struct stat st[2])
{
    for (size_t i = 0; i < c->n_linked; i++) {
        bool s = c->linked[i].inode[SUBJECT] == st[SUBJECT].st_ino;
        bool o = c->linked[i].inode[ORACLE] == st[ORACLE].st_ino;
        if (s != o)
            return differs(c, path, "it %s another name's file", s ? "is" : "is not");
        if (s)
            return true;
    }
    if (c->n_linked < LINKED)
        c->linked[c->n_linked++] = (struct linked){{st[SUBJECT].st_ino, st[ORACLE].st_ino}};
    return true;
}

static bool same_stat(struct comparison *c, const char *path, const struct stat st[2])
{
    const struct stat *s = &st[SUBJECT], *o = &st[ORACLE];
    if (s->st_mode != o->st_mode)
        return differs(c, path, "mode %o instead of %o", s->st_mode, o->st_mode);
    if ((!S_ISDIR(o->st_mode) || c->m->links) && s->st_nlink != o->st_nlink)
        return differs(c, path, "%ju links instead of %ju", (uintmax_t)s->st_nlink,
                       (uintmax_t)o->st_nlink);
    if (!S_ISDIR(o->st_mode) && s->st_size != o->st_size)
        return differs(c, path, "size %jd instead of %jd", (intmax_t)s->st_size,
                       (intmax_t)o->st_size);
    return true;
}

static bool same_entry(struct comparison *c, const char *path);

static bool same_dir(struct comparison *c, const char *path)
{
    struct listing l[2];
    char child[PATH_BYTES];
    bool same = true;
    size_t i = 0;
    for (int side = 0; side < 2; side++) {
        int r = list(c->m->root[side], path, &l[side]);
        if (r < 0)
            same = differs(c, path, "cannot be listed (%d): %s", side, strerror(-r));
    }
    for (; same && i < l[SUBJECT].n && i < l[ORACLE].n; i++) {
        int order = strcmp(l[SUBJECT].names[i], l[ORACLE].names[i]);
        if (order != 0)
            break;
        join(child, path, l[ORACLE].names[i]);
        same = same_entry(c, child);
    }
    bool rest[2] = {i < l[SUBJECT].n, i < l[ORACLE].n};
    if (same && (rest[SUBJECT] || rest[ORACLE])) {
        bool extra =
            !rest[ORACLE] || (rest[SUBJECT] && strcmp(l[SUBJECT].names[i], l[ORACLE].names[i]) < 0);
        join(child, path, l[extra ? SUBJECT : ORACLE].names[i]);
        same = differs(c, child, extra ? "should not be there" : "is missing");
    }
    for (int side = 0; side < 2; side++)
        listing_free(&l[side]);
    return same;
}

static bool same_entry(struct comparison *c, const char *path)
{
    struct stat st[2];
    for (int side = 0; side < 2; side++)
        if (fstatat(c->m->root[side], path, &st[side], AT_SYMLINK_NOFOLLOW) != 0)
            return differs(c, path, "no attributes (%d): %s", side, strerror(errno));
    if (!same_stat(c, path, st))
        return false;
    if (S_ISDIR(st[ORACLE].st_mode))
        return same_dir(c, path);
    if (st[ORACLE].st_nlink > 1 && !same_links(c, path, st))
        return false;
    return S_ISLNK(st[ORACLE].st_mode) ? same_target(c, path) : same_bytes(c, path);
}

bool compare_tree(struct model *m, const char *path, struct difference *d)
{
    struct comparison *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    c->m = m;
    c->d = d;
    d->text[0] = 0;
    for (int side = 0; side < 2; side++)
        if (!(c->piece[side] = malloc(PIECE)))
            abort();
    bool same = strcmp(path, ".") == 0 ? same_dir(c, path) : same_entry(c, path);
    for (int side = 0; side < 2; side++)
        free(c->piece[side]);
    free(c);
    return same;
}

/* ---- the oracle alone ---- */

void compare_walk(struct model *m, const char *dir,
                  void (*each)(void *arg, const char *path, mode_t type), void *arg)
{
    struct listing l;
    char path[PATH_BYTES];
    struct stat st;
    int r = list(m->root[ORACLE], dir, &l);
    if (r < 0)
        model_fail(m, NULL, NULL, "cannot list %s of the oracle: %s", dir, strerror(-r));
    for (size_t i = 0; i < l.n; i++) {
        join(path, dir, l.names[i]);
        if (fstatat(m->root[ORACLE], path, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        each(arg, path, st.st_mode & S_IFMT);
        if (S_ISDIR(st.st_mode))
            compare_walk(m, path, each, arg);
    }
    listing_free(&l);
}

struct search {
    struct model *m;
    ino_t inode;
    char *path;
    bool found;
};

static void search_entry(void *arg, const char *path, mode_t type)
{
    struct search *s = arg;
    struct stat st;
    if (s->found || type != S_IFREG ||
        fstatat(s->m->root[ORACLE], path, &st, AT_SYMLINK_NOFOLLOW) != 0 || st.st_ino != s->inode)
        return;
    snprintf(s->path, PATH_BYTES, "%s", path);
    s->found = true;
}

bool compare_find(struct model *m, const char *dir, ino_t inode, char path[PATH_BYTES])
{
    struct search s = {.m = m, .inode = inode, .path = path};
    compare_walk(m, dir, search_entry, &s);
    return s.found;
}
