/*
 * The log, where it is in the directory itself: pg_wal/<segment>. A server uses an old segment
 * again: it gives the file another name, and writes over it. Frozen trees and the store have links
 * of segments, and want those that are finished. So what leaves its name here
 *
 *   - goes into the directory of the finished ones (livedir_options.wal), if a freeze is wanted;
 *   - is not used again while it is kept or has a link: the server gets a file of zeros, just as
 *     large, and the old one stays what it was.
 *
 * Where there is no room for that, the server goes on as ever. Then the segment is lost: its links
 * go, and freezes whose own log has one are given up.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/io.h"
#include "live/livestate.h"

#define SPARE "spare" /* beside the epochs: the file that the server gets */
#define TIMELINE_DIGITS 8
#define ZEROS (256u << 10)

/* ---- names ---- */

static bool is_segment(const char *name)
{
    return strlen(name) == LIVE_WAL_NAME - 1 &&
           strspn(name, "0123456789ABCDEF") == LIVE_WAL_NAME - 1;
}

bool live_is_wal_dir(const struct node *d)
{
    return nodes_is_in_root(d, "pg_wal");
}

/* Another name in pg_wal is of the same file. The tree is locked. */
static bool is_shared(const struct node *n)
{
    const struct node *other;

    for (other = n->parent->children; other; other = other->next)
        if (other != n && node_id(other) == node_id(n))
            return true;
    return false;
}

static bool has_inode(int dir, const char *path, uint64_t id)
{
    struct stat st;

    return dir >= 0 && fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == id;
}

/* ---- what was kept, and is lost ---- */

/* `leaving` is locked. It is said once, until one is kept again. */
static void lose(struct livedir *l, const char *name, const char *why)
{
    char text[256];

    atomic_fetch_add(&l->wal.lost, 1);
    if (l->wal.losing)
        return;
    l->wal.losing = true;
    snprintf(text, sizeof(text),
             "the log segment %s is not kept: %s; from there on until the next freeze, no moment "
             "after an older one is reached",
             name, why);
    if (l->options.complain)
        l->options.complain(l->options.arg, text);
}

struct survey {
    uint64_t bytes;             /* of those that are nowhere else */
    char oldest[LIVE_WAL_NAME]; /* of them; "": there is none */
    uint64_t oldest_bytes;
};

static void survey_file(struct survey *s, int dir, const char *name)
{
    struct stat st;

    if (!is_segment(name) || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
        !S_ISREG(st.st_mode) || st.st_nlink > 1)
        return;
    s->bytes += (uint64_t)st.st_blocks * 512;
    if (*s->oldest && strcmp(name + TIMELINE_DIGITS, s->oldest + TIMELINE_DIGITS) >= 0)
        return;
    strcpy(s->oldest, name);
    s->oldest_bytes = (uint64_t)st.st_blocks * 512;
}

static void survey_kept(const struct livedir *l, struct survey *s)
{
    int fd = openat(l->wal.dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    *s = (struct survey){0};
    while (d && (e = readdir(d)))
        survey_file(s, fd, e->d_name);
    if (d)
        closedir(d);
    else if (fd >= 0)
        close(fd);
}

/* The oldest goes; false: there is none. `leaving` is locked. */
static bool shed(struct livedir *l, struct survey *s, const char *why)
{
    if (!*s->oldest || unlinkat(l->wal.dir, s->oldest, 0) < 0)
        return false;
    lose(l, s->oldest, why);
    survey_kept(l, s);
    return true;
}

static bool is_scarce(const struct livedir *l, uint64_t more)
{
    struct statvfs s;

    return fstatvfs(l->epochs, &s) == 0 &&
           (uint64_t)s.f_bavail * s.f_frsize < l->options.reserve + more;
}

#define LIMIT_WHY "it may not take more"
#define SCARCE_WHY "the disk has too little space left"

/* For one more that is kept, and `more` bytes on the disk; the oldest make room. */
static const char *lacks_room(struct livedir *l, uint64_t kept, uint64_t more, bool *made)
{
    uint64_t limit = l->options.wal_limit;
    struct survey s = {0};

    *made = false;
    if (!limit && !is_scarce(l, more))
        return NULL;
    survey_kept(l, &s);
    while (limit && s.bytes + kept > limit)
        if (!shed(l, &s, LIMIT_WHY))
            return LIMIT_WHY;
        else
            *made = true;
    while (is_scarce(l, more))
        if (!shed(l, &s, SCARCE_WHY))
            return SCARCE_WHY;
        else
            *made = true;
    return NULL;
}

bool live_wal_shed(struct livedir *l)
{
    struct survey s;
    bool some = false;

    if (l->wal.dir < 0)
        return false;
    pthread_mutex_lock(&l->wal.leaving);
    survey_kept(l, &s);
    while (is_scarce(l, 0) && shed(l, &s, SCARCE_WHY))
        some = true;
    pthread_mutex_unlock(&l->wal.leaving);
    return some && !is_scarce(l, 0);
}

bool live_wal_shed_one(struct livedir *l)
{
    struct survey s;
    bool one;

    if (l->wal.dir < 0)
        return false;
    pthread_mutex_lock(&l->wal.leaving);
    survey_kept(l, &s);
    one = shed(l, &s, SCARCE_WHY);
    pthread_mutex_unlock(&l->wal.leaving);
    return one;
}

/* ---- before the tree is locked ---- */

static int write_zeros(int fd, uint64_t size)
{
    char *zeros = calloc(1, ZEROS);
    uint64_t at, n;
    int rc = zeros ? 0 : -ENOMEM;

    if (rc == 0 && fallocate(fd, 0, 0, (off_t)size) < 0 && errno != EOPNOTSUPP)
        rc = -errno;
    for (at = 0; at < size && rc == 0; at += n) {
        n = size - at < ZEROS ? size - at : ZEROS;
        rc = (int)io_pwrite_all(fd, zeros, n, at);
    }
    free(zeros);
    return rc;
}

/* Written, as the server does with a new one: it counts on having its space. */
static int make_spare(struct livedir *l, const struct stat *like)
{
    int fd, rc;

    unlinkat(l->epochs, SPARE, 0);
    fd = openat(l->epochs, SPARE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    rc = fchmod(fd, like->st_mode & 07777) < 0 ? -errno : 0;
    if (rc == 0)
        rc = write_zeros(fd, (uint64_t)like->st_size);
    close(fd);
    if (rc < 0)
        unlinkat(l->epochs, SPARE, 0);
    return rc;
}

static bool is_wanted(struct livedir *l)
{
    unsigned entered = phase_enter(&l->phase);
    bool wanted = live_saving(l) != NULL;

    phase_leave(&l->phase, entered);
    return wanted;
}

static void prepare(struct livedir *l, struct wal_leaving *g, int fd, bool again)
{
    const char *why = NULL;
    struct stat st;
    bool made = false;
    int rc = 0;

    if (fstat(fd, &st) < 0)
        return;
    g->id = st.st_ino;
    g->keep = l->wal.dir >= 0 && is_wanted(l) && l->options.is_wal(fd, g->name);
    if (g->keep)
        why = lacks_room(l, (uint64_t)st.st_size, again ? (uint64_t)st.st_size : 0, &made);
    if (!why && again && (g->keep || st.st_nlink > 1))
        rc = make_spare(l, &st);
    g->spare = !why && rc == 0 && again && (g->keep || st.st_nlink > 1);
    if (why || rc < 0) {
        if (g->keep)
            lose(l, g->name, why ? why : strerror(-rc));
        g->keep = false;
    }
    if (g->keep && !made)
        l->wal.losing = false;
}

/* The file of that name in pg_wal; -1: nothing that concerns us. */
static int open_segment(struct livedir *l, struct node *n, char name[LIVE_WAL_NAME])
{
    char path[PATH_MAX];

    if (!n || !n->linked || !S_ISREG(n->mode) || !live_is_wal_dir(n->parent) ||
        !is_segment(n->name) || nodes_path(n, NULL, path) < 0)
        return -1;
    strcpy(name, n->name);
    return openat(l->dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

static void begin(struct livedir *l, struct wal_leaving *g, int fd, bool again)
{
    if (fd < 0)
        return;
    pthread_mutex_lock(&l->wal.leaving);
    g->begun = true;
    prepare(l, g, fd, again);
    close(fd);
}

void live_wal_begin(struct livedir *l, struct wal_leaving *g, uint64_t dir, const char *name,
                    const char *again)
{
    struct node *d;
    int fd;

    *g = (struct wal_leaving){0};
    if (!is_segment(name) || (again && (!is_segment(again) || strcmp(name, again) == 0)))
        return;
    pthread_rwlock_rdlock(&l->tree);
    d = nodes_of_number(&l->nodes, dir);
    fd = open_segment(l, d ? nodes_child(&l->nodes, d, name) : NULL, g->name);
    pthread_rwlock_unlock(&l->tree);
    begin(l, g, fd, again != NULL);
}

void live_wal_begin_link(struct livedir *l, struct wal_leaving *g, uint64_t number,
                         const char *again)
{
    int fd;

    *g = (struct wal_leaving){0};
    if (!is_segment(again))
        return;
    pthread_rwlock_rdlock(&l->tree);
    fd = open_segment(l, nodes_of_number(&l->nodes, number), g->name);
    pthread_rwlock_unlock(&l->tree);
    begin(l, g, fd, true);
}

void live_wal_end(struct livedir *l, struct wal_leaving *g)
{
    if (!g->begun)
        return;
    if (g->spare)
        unlinkat(l->epochs, SPARE, 0);
    pthread_mutex_unlock(&l->wal.leaving);
}

/* ---- the tree is locked for writing ---- */

bool live_wal_give_spare(struct livedir *l, struct wal_leaving *g, const struct node *n,
                         const char *path)
{
    if (!g->spare || g->id != node_id(n) ||
        renameat2(l->epochs, SPARE, l->dir, path, RENAME_NOREPLACE) < 0)
        return false;
    g->spare = false;
    return true;
}

/* One of that name is there: this one, or what is left of another time. */
static int replace_kept(struct livedir *l, const struct wal_leaving *g, const char *path)
{
    if (has_inode(l->wal.dir, g->name, g->id))
        return unlinkat(l->dir, path, 0) < 0 ? -errno : 0;
    return renameat(l->dir, path, l->wal.dir, g->name) < 0 ? -errno : 0;
}

bool live_wal_keep(struct livedir *l, struct wal_leaving *g, const struct node *n, const char *path)
{
    int rc;

    if (!g->keep || g->id != node_id(n) || is_shared(n))
        return false;
    rc = renameat2(l->dir, path, l->wal.dir, g->name, RENAME_NOREPLACE) < 0 ? -errno : 0;
    if (rc == -EEXIST)
        rc = replace_kept(l, g, path);
    if (rc < 0)
        lose(l, g->name, strerror(-rc));
    else
        atomic_fetch_add(&l->wal.kept, 1);
    return rc == 0;
}

/* The newest of those whose own log has a link of the file; 0: none. */
static uint64_t find_holder(struct livedir *l, const char *name, uint64_t id)
{
    char path[LIVE_WAL_NAME + 4];
    uint64_t number = 0;
    struct epoch *e;

    snprintf(path, sizeof(path), "wal/%s", name);
    pthread_mutex_lock(&l->list);
    for (e = l->oldest; e; e = e->newer)
        if (has_inode(e->dir, path, id))
            number = e->number;
    pthread_mutex_unlock(&l->list);
    return number;
}

void live_wal_used_again(struct livedir *l, const struct wal_leaving *g, const char *path)
{
    struct stat st;
    uint64_t holder;

    if (!g->begun || fstatat(l->dir, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_nlink < 2)
        return;
    if (has_inode(l->wal.dir, g->name, st.st_ino)) {
        unlinkat(l->wal.dir, g->name, 0);
        lose(l, g->name, "the server had to use it again");
    }
    holder = find_holder(l, g->name, st.st_ino);
    if (holder)
        livedir_give_up(l, holder, "the server had to use its log again: no space for another");
}

/* ---- opening ---- */

int live_wal_open(struct livedir *l, struct err *err)
{
    struct stat a, b;

    unlinkat(l->epochs, SPARE, 0);
    if (!l->options.wal)
        return 0;
    if (mkdir(l->options.wal, 0700) < 0 && errno != EEXIST)
        return err_errno(err, "cannot make %s", l->options.wal);
    l->wal.dir = open(l->options.wal, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l->wal.dir < 0 || fstat(l->wal.dir, &a) < 0 || fstat(l->epochs, &b) < 0)
        return err_errno(err, "cannot open %s", l->options.wal);
    return a.st_dev == b.st_dev
               ? 0
               : err_set(err, EXDEV, "%s lies on another file system", l->options.wal);
}
