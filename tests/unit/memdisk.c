#include "memdisk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"

enum block { HOLE = 0, ALLOCATED = 1, DATA = 2 };

struct node {
    unsigned refs; /* names and open files */
    mode_t mode;
    ino_t inode;
    int fd; /* of a memfd with the contents; -1 while there are none */
    uint64_t size;
    uint8_t *blocks; /* enum block; those after n_blocks are holes */
    size_t n_blocks;
    bool mapped; /* was ever mapped shared: contents may come from there */
    struct timespec mtime, ctime;
};

struct name {
    struct name *next;
    char *path;
    struct node *node;
};

struct memdisk {
    struct disk disk;
    pthread_mutex_t lock; /* everything below, nodes and names too */
    struct name *names;
    unsigned open_files;
    ino_t last_inode;
    uint64_t used, limit; /* blocks */
    uint64_t operations, fail_at, die_at;
    int fail_code;
    size_t torn;
    bool dead;
    uint64_t life; /* number of processes that ended */
};

struct memfile {
    struct disk_file file;
    struct memdisk *disk;
    struct node *node;
    uint64_t life;
    bool writable;
};

static const struct disk_ops mem_ops;

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "memdisk: %s (errno: %s)\n", what, strerror(errno));
    abort();
}

static struct memdisk *lock_disk(struct disk *disk)
{
    struct memdisk *d = (struct memdisk *)disk;

    must(disk->ops == &mem_ops, "this is another disk");
    pthread_mutex_lock(&d->lock);
    return d;
}

static struct memfile *lock_file(struct disk_file *file)
{
    struct memfile *f = (struct memfile *)file;

    must(file->ops == &mem_ops, "this is a file of another disk");
    pthread_mutex_lock(&f->disk->lock);
    return f;
}

static int unlock(struct memdisk *d, int rc)
{
    pthread_mutex_unlock(&d->lock);
    return rc;
}

static struct timespec now(const struct memdisk *d)
{
    return (struct timespec){.tv_sec = 1000000 + (time_t)d->operations};
}

/* ---- contents ---- */

static struct node *node_new(struct memdisk *d, mode_t mode)
{
    struct node *n = mem_alloc(sizeof(*n));

    n->mode = mode;
    n->inode = ++d->last_inode;
    n->fd = -1;
    n->mtime = n->ctime = now(d);
    return n;
}

static void node_unref(struct memdisk *d, struct node *n)
{
    size_t i;

    if (--n->refs)
        return;
    for (i = 0; i < n->n_blocks; i++)
        d->used -= n->blocks[i] != HOLE;
    if (n->fd >= 0)
        close(n->fd);
    free(n->blocks);
    free(n);
}

static int contents(struct node *n)
{
    if (n->fd < 0) {
        n->fd = memfd_create("memdisk", MFD_CLOEXEC);
        must(n->fd >= 0, "no memory for a file");
    }
    return n->fd;
}

static void set_size(struct node *n, uint64_t size)
{
    must(ftruncate(contents(n), (off_t)size) == 0, "no memory for a file");
    n->size = size;
}

static enum block block(const struct node *n, uint64_t b)
{
    return b < n->n_blocks ? n->blocks[b] : HOLE;
}

static void set_block(struct memdisk *d, struct node *n, uint64_t b, enum block to)
{
    if (b >= n->n_blocks) {
        if (to == HOLE)
            return;
        n->blocks = mem_resize(n->blocks, b + 1, 1);
        memset(n->blocks + n->n_blocks, HOLE, b + 1 - n->n_blocks);
        n->n_blocks = b + 1;
    }
    d->used += (to != HOLE);
    d->used -= (n->blocks[b] != HOLE);
    n->blocks[b] = (uint8_t)to;
}

/* No further than the limit: how many bytes may be written. */
static size_t fitting(const struct memdisk *d, const struct node *n, uint64_t offset, size_t len)
{
    uint64_t b, start, room = d->limit > d->used ? d->limit - d->used : 0;

    for (b = offset / MEMDISK_BLOCK; len && b <= (offset + len - 1) / MEMDISK_BLOCK; b++) {
        if (block(n, b) != HOLE || room-- > 0)
            continue;
        start = b * MEMDISK_BLOCK;
        return start > offset ? (size_t)(start - offset) : 0;
    }
    return len;
}

static void store(struct memdisk *d, struct node *n, const void *bytes, size_t len, uint64_t offset)
{
    uint64_t b;

    if (!len)
        return;
    must(io_pwrite_all(contents(n), bytes, len, offset) == 0, "no memory for contents");
    for (b = offset / MEMDISK_BLOCK; b <= (offset + len - 1) / MEMDISK_BLOCK; b++)
        set_block(d, n, b, DATA);
    if (offset + len > n->size)
        n->size = offset + len;
}

static void cut(struct memdisk *d, struct node *n, uint64_t size)
{
    uint64_t b;

    for (b = (size + MEMDISK_BLOCK - 1) / MEMDISK_BLOCK; b < n->n_blocks; b++)
        set_block(d, n, b, HOLE);
    set_size(n, size);
}

/* Mapped memory is filled without a word, hence the look. */
static bool has_data(const struct node *n, uint64_t b)
{
    static const char zeros[MEMDISK_BLOCK];
    char bytes[MEMDISK_BLOCK];
    int64_t got;

    if (block(n, b) == DATA)
        return true;
    if (!n->mapped)
        return false;
    got = io_pread_full(n->fd, bytes, sizeof(bytes), b * MEMDISK_BLOCK);
    return got > 0 && memcmp(bytes, zeros, (size_t)got) != 0;
}

static void copy_contents(int from, int to, uint64_t size)
{
    char bytes[MEMDISK_BLOCK];
    off_t at = 0, end;

    must(ftruncate(to, (off_t)size) == 0, "no memory for a copy");
    while ((at = lseek(from, at, SEEK_DATA)) >= 0) {
        end = lseek(from, at, SEEK_HOLE);
        while (at < end) {
            int64_t got = io_pread_full(from, bytes, sizeof(bytes), (uint64_t)at);

            must(got > 0, "contents are gone");
            must(io_pwrite_all(to, bytes, (size_t)got, (uint64_t)at) == 0, "no memory for a copy");
            at += got;
        }
    }
}

/* ---- faults ---- */

/* Every file gets new memory with the same contents: old maps reach the old memory only. */
static void die(struct memdisk *d)
{
    struct name *e;
    int fd;

    d->dead = true;
    d->life++;
    for (e = d->names; e; e = e->next) {
        if (e->node->fd < 0)
            continue;
        fd = memfd_create("memdisk", MFD_CLOEXEC);
        must(fd >= 0, "no memory for a file");
        copy_contents(e->node->fd, fd, e->node->size);
        close(e->node->fd);
        e->node->fd = fd;
    }
}

/* Whether the next operation is to fail. */
static bool due(const struct memdisk *d)
{
    return d->fail_at == d->operations + 1 || d->die_at == d->operations + 1;
}

/* Begins a changing operation: 0, or what it fails with. */
static int step(struct memdisk *d)
{
    d->operations++;
    if (d->operations == d->die_at) {
        die(d);
        return -EIO;
    }
    return d->operations == d->fail_at ? -d->fail_code : 0;
}

static bool usable(const struct memfile *f)
{
    return !f->disk->dead && f->life == f->disk->life;
}

/* As step, of an open file. */
static int step_file(struct memfile *f)
{
    if (!usable(f))
        return -EIO;
    return f->writable ? step(f->disk) : -EBADF;
}

static void changed(struct memdisk *d, struct node *n)
{
    n->mtime = n->ctime = now(d);
}

/* ---- names ---- */

/* Without "." and superfluous slashes at the end; freed by the caller. */
static char *plain(const char *path)
{
    char *p;
    size_t len;

    if (strcmp(path, ".") == 0)
        path = "";
    if (strncmp(path, "./", 2) == 0)
        path += 2;
    p = mem_strdup(path);
    for (len = strlen(p); len > 1 && p[len - 1] == '/'; len--)
        p[len - 1] = '\0';
    return p;
}

static struct name **find(struct memdisk *d, const char *path)
{
    struct name **at;
    char *p = plain(path);

    for (at = &d->names; *at; at = &(*at)->next)
        if (strcmp((*at)->path, p) == 0)
            break;
    free(p);
    return at;
}

/* The length of the directory's path in a path. */
static size_t dir_len(const char *path)
{
    const char *slash = strrchr(path, '/');

    return !slash ? 0 : slash == path ? 1 : (size_t)(slash - path);
}

static int find_parent(struct memdisk *d, const char *path, struct node **dir)
{
    char *p = plain(path);
    struct name **at;

    p[dir_len(p)] = '\0';
    at = find(d, p);
    free(p);
    if (!*at)
        return -ENOENT;
    *dir = (*at)->node;
    return S_ISDIR((*dir)->mode) ? 0 : -ENOTDIR;
}

static void add_name(struct memdisk *d, const char *path, struct node *n)
{
    struct name *e = mem_alloc(sizeof(*e));

    e->path = plain(path);
    e->node = n;
    n->refs++;
    e->next = d->names;
    d->names = e;
}

static void drop_name(struct memdisk *d, struct name **at)
{
    struct name *e = *at;

    *at = e->next;
    node_unref(d, e->node);
    free(e->path);
    free(e);
}

static bool is_inside(const char *path, const char *dir, bool deep)
{
    size_t len = strlen(dir);

    if (!*path || strcmp(path, "/") == 0 || strcmp(path, dir) == 0)
        return false;
    if (!deep)
        return dir_len(path) == len && strncmp(path, dir, len) == 0;
    return strncmp(path, dir, len) == 0 && path[len] == '/';
}

static bool is_empty(const struct memdisk *d, const char *dir)
{
    struct name *e;

    for (e = d->names; e; e = e->next)
        if (is_inside(e->path, dir, false))
            return false;
    return true;
}

static int make(struct memdisk *d, const char *path, mode_t mode)
{
    struct node *dir;
    int rc = find_parent(d, path, &dir);

    if (rc == 0)
        rc = step(d);
    if (rc)
        return rc;
    changed(d, dir);
    add_name(d, path, node_new(d, mode));
    return 0;
}

static int open_node(struct memdisk *d, const char *path, unsigned flags)
{
    struct name *e = *find(d, path);

    if (d->dead)
        return -EIO;
    if (!e)
        return flags & DISK_CREATE ? make(d, path, S_IFREG | 0600) : -ENOENT;
    if (flags & DISK_EXCLUSIVE)
        return -EEXIST;
    return S_ISDIR(e->node->mode) && flags & DISK_WRITE ? -EISDIR : 0;
}

static int mem_open(struct disk *disk, const char *path, unsigned flags, struct disk_file **file)
{
    struct memdisk *d = lock_disk(disk);
    struct memfile *f;
    int rc = open_node(d, path, flags);

    *file = NULL;
    if (rc)
        return unlock(d, rc);
    f = mem_alloc(sizeof(*f));
    f->file.ops = &mem_ops;
    f->disk = d;
    f->node = (*find(d, path))->node;
    f->node->refs++;
    f->life = d->life;
    f->writable = flags & DISK_WRITE;
    d->open_files++;
    *file = &f->file;
    return unlock(d, 0);
}

static int mem_make_dir(struct disk *disk, const char *path)
{
    struct memdisk *d = lock_disk(disk);

    if (d->dead)
        return unlock(d, -EIO);
    return unlock(d, *find(d, path) ? -EEXIST : make(d, path, S_IFDIR | 0700));
}

static int mem_remove(struct disk *disk, const char *path)
{
    struct memdisk *d = lock_disk(disk);
    struct name **at = find(d, path);
    struct node *dir;
    int rc = d->dead ? -EIO : !*at ? -ENOENT : S_ISDIR((*at)->node->mode) ? -EISDIR : 0;

    if (rc == 0)
        rc = find_parent(d, path, &dir);
    if (rc == 0)
        rc = step(d);
    if (rc == 0) {
        changed(d, dir);
        drop_name(d, at);
    }
    return unlock(d, rc);
}

static int may_rename(struct memdisk *d, const char *from, const char *to, struct node *dirs[2])
{
    struct name *old = *find(d, from), *new = *find(d, to);
    int rc;

    if (d->dead)
        return -EIO;
    if (!old)
        return -ENOENT;
    rc = find_parent(d, from, &dirs[0]);
    if (rc == 0)
        rc = find_parent(d, to, &dirs[1]);
    if (rc || !new)
        return rc;
    if (S_ISDIR(old->node->mode) != S_ISDIR(new->node->mode))
        return S_ISDIR(new->node->mode) ? -EISDIR : -ENOTDIR;
    return S_ISDIR(new->node->mode) && !is_empty(d, new->path) ? -ENOTEMPTY : 0;
}

/* A directory takes what is in it along. */
static void move(struct memdisk *d, const char *from, const char *to)
{
    char *a = plain(from), *b = plain(to), *path;
    struct name *e;

    for (e = d->names; e; e = e->next) {
        if (strcmp(e->path, a) != 0 && !is_inside(e->path, a, true))
            continue;
        path = mem_printf("%s%s", b, e->path + strlen(a));
        free(e->path);
        e->path = path;
    }
    free(a);
    free(b);
}

static int mem_rename(struct disk *disk, const char *from, const char *to)
{
    struct memdisk *d = lock_disk(disk);
    struct node *dirs[2];
    int rc = may_rename(d, from, to, dirs);

    if (rc == 0)
        rc = step(d);
    if (rc || *find(d, from) == *find(d, to))
        return unlock(d, rc);
    if (*find(d, to))
        drop_name(d, find(d, to));
    move(d, from, to);
    changed(d, dirs[0]);
    changed(d, dirs[1]);
    return unlock(d, 0);
}

static void stat_node(const struct node *n, struct stat *st)
{
    size_t i;

    memset(st, 0, sizeof(*st));
    st->st_ino = n->inode;
    st->st_mode = n->mode;
    st->st_nlink = S_ISDIR(n->mode) ? 2 : 1;
    st->st_size = (off_t)n->size;
    st->st_blksize = MEMDISK_BLOCK;
    for (i = 0; i < n->n_blocks; i++)
        st->st_blocks += n->blocks[i] != HOLE ? MEMDISK_BLOCK / 512 : 0;
    st->st_atim = st->st_mtim = n->mtime;
    st->st_ctim = n->ctime;
}

static int mem_stat(struct disk *disk, const char *path, struct stat *st)
{
    struct memdisk *d = lock_disk(disk);
    struct name *e = *find(d, path);

    if (d->dead || !e)
        return unlock(d, d->dead ? -EIO : -ENOENT);
    stat_node(e->node, st);
    return unlock(d, 0);
}

/* The names at this moment, so that `each` may use the disk. */
static int names_in(struct disk *disk, const char *path, char ***names, size_t *n)
{
    struct memdisk *d = lock_disk(disk);
    struct name *dir = *find(d, path), *e;
    size_t room = 0;

    if (d->dead || !dir || !S_ISDIR(dir->node->mode))
        return unlock(d, d->dead ? -EIO : !dir ? -ENOENT : -ENOTDIR);
    for (e = d->names; e; e = e->next) {
        if (!is_inside(e->path, dir->path, false))
            continue;
        *names = mem_grow(*names, *n, &room, sizeof(**names));
        (*names)[(*n)++] =
            mem_strdup(e->path + dir_len(e->path) + (e->path[dir_len(e->path)] == '/'));
    }
    return unlock(d, 0);
}

static int mem_list(struct disk *disk, const char *path, int (*each)(void *arg, const char *name),
                    void *arg)
{
    char **names = NULL;
    size_t n = 0, i;
    int rc = names_in(disk, path, &names, &n);

    for (i = 0; i < n; i++) {
        if (rc == 0)
            rc = each(arg, names[i]);
        free(names[i]);
    }
    free(names);
    return rc;
}

static int mem_sync_dir(struct disk *disk, const char *path)
{
    struct memdisk *d = lock_disk(disk);
    struct name *e = *find(d, path);

    if (d->dead || !e || !S_ISDIR(e->node->mode))
        return unlock(d, d->dead ? -EIO : !e ? -ENOENT : -ENOTDIR);
    return unlock(d, step(d));
}

static int mem_sync_all(struct disk *disk)
{
    struct memdisk *d = lock_disk(disk);

    return unlock(d, d->dead ? -EIO : step(d));
}

static int mem_space(struct disk *disk, struct statvfs *s)
{
    struct memdisk *d = lock_disk(disk);

    if (d->dead)
        return unlock(d, -EIO);
    memset(s, 0, sizeof(*s));
    s->f_bsize = s->f_frsize = MEMDISK_BLOCK;
    s->f_blocks = d->limit < UINT32_MAX ? d->limit : UINT32_MAX;
    s->f_bfree = s->f_bavail = s->f_blocks > d->used ? s->f_blocks - d->used : 0;
    s->f_namemax = 255;
    return unlock(d, 0);
}

static void mem_free(struct disk *disk)
{
    struct memdisk *d = (struct memdisk *)disk;

    must(d->open_files == 0, "a file is still open");
    while (d->names)
        drop_name(d, &d->names);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

/* ---- files ---- */

static int64_t mem_read(struct disk_file *file, void *bytes, size_t len, uint64_t offset)
{
    struct memfile *f = lock_file(file);
    int64_t got = 0;

    if (!usable(f))
        got = -EIO;
    else if (S_ISDIR(f->node->mode))
        got = -EISDIR;
    else if (offset < f->node->size)
        got = io_pread_full(f->node->fd, bytes, len, offset);
    pthread_mutex_unlock(&f->disk->lock);
    return got;
}

static int mem_write(struct disk_file *file, const void *bytes, size_t len, uint64_t offset)
{
    struct memfile *f = lock_file(file);
    struct memdisk *d = f->disk;
    size_t fits;
    int rc;

    if (usable(f) && f->writable && due(d))
        store(d, f->node, bytes, len < d->torn ? len : d->torn, offset);
    rc = step_file(f);
    if (rc)
        return unlock(d, rc);
    fits = fitting(d, f->node, offset, len);
    store(d, f->node, bytes, fits, offset);
    changed(d, f->node);
    return unlock(d, fits < len ? -ENOSPC : 0);
}

static int mem_truncate(struct disk_file *file, uint64_t size)
{
    struct memfile *f = lock_file(file);
    int rc = step_file(f);

    if (rc == 0) {
        cut(f->disk, f->node, size);
        changed(f->disk, f->node);
    }
    return unlock(f->disk, rc);
}

static void punch(struct memfile *f, uint64_t offset, uint64_t len)
{
    uint64_t b, end = (offset + len) / MEMDISK_BLOCK;

    must(f->node->size == 0 || fallocate(f->node->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                         (off_t)offset, (off_t)len) == 0,
         "cannot punch a hole");
    if (end > f->node->n_blocks)
        end = f->node->n_blocks;
    for (b = (offset + MEMDISK_BLOCK - 1) / MEMDISK_BLOCK; b < end; b++)
        set_block(f->disk, f->node, b, HOLE);
}

static int reserve(struct memfile *f, int mode, uint64_t offset, uint64_t len)
{
    uint64_t b;

    if (fitting(f->disk, f->node, offset, len) < len)
        return -ENOSPC;
    for (b = offset / MEMDISK_BLOCK; b <= (offset + len - 1) / MEMDISK_BLOCK; b++)
        if (block(f->node, b) == HOLE)
            set_block(f->disk, f->node, b, ALLOCATED);
    if (!(mode & FALLOC_FL_KEEP_SIZE) && offset + len > f->node->size)
        set_size(f->node, offset + len);
    return 0;
}

static int mem_allocate(struct disk_file *file, int mode, uint64_t offset, uint64_t len)
{
    struct memfile *f = lock_file(file);
    bool hole = mode == (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE);
    int rc;

    if (!hole && (mode & ~FALLOC_FL_KEEP_SIZE))
        return unlock(f->disk, -EOPNOTSUPP);
    if (len == 0)
        return unlock(f->disk, -EINVAL);
    rc = step_file(f);
    if (rc == 0 && hole)
        punch(f, offset, len);
    else if (rc == 0)
        rc = reserve(f, mode, offset, len);
    if (rc == 0)
        changed(f->disk, f->node);
    return unlock(f->disk, rc);
}

static int64_t mem_seek(struct disk_file *file, uint64_t offset, int whence)
{
    struct memfile *f = lock_file(file);
    struct node *n = f->node;
    uint64_t b = offset / MEMDISK_BLOCK, start;
    int64_t at = -ENXIO;

    if (!usable(f))
        return (int64_t)unlock(f->disk, -EIO);
    for (; offset < n->size; b++) {
        start = b * MEMDISK_BLOCK > offset ? b * MEMDISK_BLOCK : offset;
        if (start >= n->size) {
            at = whence == SEEK_HOLE ? (int64_t)n->size : -ENXIO;
            break;
        }
        if (has_data(n, b) == (whence == SEEK_DATA)) {
            at = (int64_t)start;
            break;
        }
    }
    pthread_mutex_unlock(&f->disk->lock);
    return at;
}

static int mem_file_stat(struct disk_file *file, struct stat *st)
{
    struct memfile *f = lock_file(file);

    if (!usable(f))
        return unlock(f->disk, -EIO);
    stat_node(f->node, st);
    return unlock(f->disk, 0);
}

static int mem_set_times(struct disk_file *file, const struct timespec times[2])
{
    struct memfile *f = lock_file(file);
    int rc = step_file(f);

    if (rc)
        return unlock(f->disk, rc);
    if (!times || times[1].tv_nsec == UTIME_NOW)
        f->node->mtime = now(f->disk);
    else if (times[1].tv_nsec != UTIME_OMIT)
        f->node->mtime = times[1];
    f->node->ctime = now(f->disk);
    return unlock(f->disk, 0);
}

/* A file that is only read may be synced too. */
static int mem_sync(struct disk_file *file)
{
    struct memfile *f = lock_file(file);

    return unlock(f->disk, usable(f) ? step(f->disk) : -EIO);
}

static void *mem_map(struct disk_file *file, uint64_t offset, size_t len, bool shared)
{
    struct memfile *f = lock_file(file);
    void *p = MAP_FAILED;

    errno = EIO;
    if (usable(f)) {
        errno = EACCES;
        if (f->writable || !shared)
            p = mmap(NULL, len, PROT_READ | PROT_WRITE, shared ? MAP_SHARED : MAP_PRIVATE,
                     contents(f->node), (off_t)offset);
    }
    f->node->mapped |= shared && p != MAP_FAILED;
    pthread_mutex_unlock(&f->disk->lock);
    return p == MAP_FAILED ? NULL : p;
}

static void mem_unmap(struct disk_file *file, void *memory, size_t len)
{
    (void)file;
    munmap(memory, len);
}

static int mem_sync_map(struct disk_file *file, void *memory, size_t len)
{
    (void)memory;
    (void)len;
    return mem_sync(file);
}

static void mem_close(struct disk_file *file)
{
    struct memfile *f = lock_file(file);
    struct memdisk *d = f->disk;

    node_unref(d, f->node);
    d->open_files--;
    free(f);
    unlock(d, 0);
}

static const struct disk_ops mem_ops = {
    .open = mem_open,
    .make_dir = mem_make_dir,
    .remove = mem_remove,
    .rename = mem_rename,
    .stat = mem_stat,
    .list = mem_list,
    .sync_dir = mem_sync_dir,
    .sync_all = mem_sync_all,
    .space = mem_space,
    .free = mem_free,
    .read = mem_read,
    .write = mem_write,
    .truncate = mem_truncate,
    .allocate = mem_allocate,
    .seek = mem_seek,
    .file_stat = mem_file_stat,
    .set_times = mem_set_times,
    .sync = mem_sync,
    .map = mem_map,
    .unmap = mem_unmap,
    .sync_map = mem_sync_map,
    .close = mem_close,
};

/* ---- for tests ---- */

static struct memdisk *empty_disk(void)
{
    struct memdisk *d = mem_alloc(sizeof(*d));

    d->disk.ops = &mem_ops;
    d->limit = UINT64_MAX;
    pthread_mutex_init(&d->lock, NULL);
    return d;
}

struct disk *memdisk_new(void)
{
    struct memdisk *d = empty_disk();

    add_name(d, "", node_new(d, S_IFDIR | 0700));
    add_name(d, "/", node_new(d, S_IFDIR | 0700));
    return &d->disk;
}

static void copy_node(struct memdisk *to, const char *path, const struct node *n)
{
    struct node *new = node_new(to, n->mode);
    uint64_t b;

    if (n->fd >= 0) {
        copy_contents(n->fd, contents(new), n->size);
        new->size = n->size;
    }
    for (b = 0; b < n->n_blocks; b++)
        set_block(to, new, b, n->blocks[b]);
    new->inode = n->inode;
    new->mapped = n->mapped;
    new->mtime = n->mtime;
    new->ctime = n->ctime;
    add_name(to, path, new);
}

struct disk *memdisk_copy(struct disk *disk)
{
    struct memdisk *d = lock_disk(disk), *to = empty_disk();
    struct name *e;

    must(!d->dead, "a dead disk is not copied");
    for (e = d->names; e; e = e->next)
        copy_node(to, e->path, e->node);
    to->last_inode = d->last_inode;
    to->operations = d->operations;
    unlock(d, 0);
    return &to->disk;
}

uint64_t memdisk_operations(struct disk *disk)
{
    struct memdisk *d = lock_disk(disk);
    uint64_t n = d->operations;

    unlock(d, 0);
    return n;
}

void memdisk_fail_after(struct disk *disk, uint64_t n, int code)
{
    struct memdisk *d = lock_disk(disk);

    d->fail_at = n ? d->operations + n : 0;
    d->fail_code = code;
    unlock(d, 0);
}

void memdisk_die_after(struct disk *disk, uint64_t n)
{
    struct memdisk *d = lock_disk(disk);

    d->die_at = n ? d->operations + n : 0;
    unlock(d, 0);
}

void memdisk_tear(struct disk *disk, size_t bytes)
{
    struct memdisk *d = lock_disk(disk);

    must(bytes % 512 == 0, "writes tear at multiples of 512");
    d->torn = bytes;
    unlock(d, 0);
}

bool memdisk_dead(struct disk *disk)
{
    struct memdisk *d = lock_disk(disk);
    bool dead = d->dead;

    unlock(d, 0);
    return dead;
}

void memdisk_revive(struct disk *disk)
{
    struct memdisk *d = lock_disk(disk);

    d->dead = false;
    d->fail_at = d->die_at = 0;
    unlock(d, 0);
}

void memdisk_limit(struct disk *disk, uint64_t bytes)
{
    struct memdisk *d = lock_disk(disk);

    d->limit = bytes == UINT64_MAX ? bytes : bytes / MEMDISK_BLOCK;
    unlock(d, 0);
}

uint64_t memdisk_used(struct disk *disk)
{
    struct memdisk *d = lock_disk(disk);
    uint64_t n = d->used;

    unlock(d, 0);
    return n * MEMDISK_BLOCK;
}

static struct node *file_at(struct memdisk *d, const char *path)
{
    struct name *e = *find(d, path);

    errno = ENOENT;
    must(e && S_ISREG(e->node->mode), path);
    return e->node;
}

uint64_t memdisk_size(struct disk *disk, const char *path)
{
    struct memdisk *d = lock_disk(disk);
    uint64_t size = file_at(d, path)->size;

    unlock(d, 0);
    return size;
}

void memdisk_peek(struct disk *disk, const char *path, uint64_t offset, void *bytes, size_t len)
{
    struct memdisk *d = lock_disk(disk);
    struct node *n = file_at(d, path);

    must(offset <= n->size && len <= n->size - offset, "a peek beyond the end");
    must(!len || io_pread_full(n->fd, bytes, len, offset) == (int64_t)len, "contents are gone");
    unlock(d, 0);
}

void memdisk_poke(struct disk *disk, const char *path, uint64_t offset, const void *bytes,
                  size_t len)
{
    struct memdisk *d = lock_disk(disk);

    store(d, file_at(d, path), bytes, len, offset);
    unlock(d, 0);
}

void memdisk_flip(struct disk *disk, const char *path, uint64_t offset, unsigned bit)
{
    unsigned char byte;

    memdisk_peek(disk, path, offset, &byte, 1);
    byte ^= (unsigned char)(1u << (bit % 8));
    memdisk_poke(disk, path, offset, &byte, 1);
}

void memdisk_cut(struct disk *disk, const char *path, uint64_t size)
{
    struct memdisk *d = lock_disk(disk);

    cut(d, file_at(d, path), size);
    unlock(d, 0);
}

bool memdisk_has(struct disk *disk, const char *path)
{
    struct memdisk *d = lock_disk(disk);
    bool there = *find(d, path) != NULL;

    unlock(d, 0);
    return there;
}

void memdisk_put(struct disk *d, const char *path, const void *bytes, size_t len)
{
    struct disk_file *f;

    if (d->ops->open(d, path, DISK_WRITE | DISK_CREATE, &f) < 0 || f->ops->truncate(f, 0) < 0 ||
        f->ops->write(f, bytes, len, 0) < 0)
        abort();
    f->ops->close(f);
}
