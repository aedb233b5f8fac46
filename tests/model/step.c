/* Which operation comes next: all of it from the thread's random numbers. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model.h"

enum {
    SIZE_USUAL = 512 * 1024, /* files grow up to it */
    SIZE_LARGE = 4 << 20,
    CROWDED = 60, /* names from which on more are removed than made */
    DEPTH = 5,
};

uint64_t random_next(struct random *r)
{
    uint64_t x = r->state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t random_below(struct random *r, uint64_t n)
{
    return random_next(r) % n;
}

bool random_one_in(struct random *r, uint64_t n)
{
    return random_below(r, n) == 0;
}

void random_bytes(struct random *r, uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i += 8) {
        uint64_t x = random_next(r);
        memcpy(bytes + i, &x, n - i < 8 ? n - i : 8);
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- names ---- */

static void add_entry(void *arg, const char *path, mode_t type)
{
    struct thread *t = arg;
    if (t->n_entries < ENTRIES && (t->entries[t->n_entries].path = strdup(path)))
        t->entries[t->n_entries++].type = type;
}

static void scan(struct thread *t)
{
    if (!t->stale)
        return;
    for (size_t i = 0; i < t->n_entries; i++)
        free(t->entries[i].path);
    t->n_entries = 0;
    compare_walk(t->m, t->dir, add_entry, t);
    t->stale = false;
}

/* A random name that is there; type 0: of any. False: there is none. */
static bool pick_entry(struct thread *t, mode_t type, char path[PATH_BYTES])
{
    size_t found = 0;
    for (size_t i = 0; i < t->n_entries; i++)
        if ((type == 0 || t->entries[i].type == type) && random_below(&t->random, ++found) == 0)
            snprintf(path, PATH_BYTES, "%s", t->entries[i].path);
    return found > 0;
}

static unsigned depth_of(const char *path)
{
    unsigned n = 0;
    for (; *path; path++)
        n += *path == '/';
    return n;
}

/* Few names, so that they meet. */
static void pick_component(struct thread *t, bool dir, char name[300])
{
    static const char *const odd[] = {"sp ace", "\xc3\xbc", "a%2Fb", "new\nline", "-", "..."};
    struct random *r = &t->random;
    if (dir) {
        snprintf(name, 300, "d%u", (unsigned)random_below(r, 7));
    } else if (random_one_in(r, 60)) {
        size_t n = 255 + random_below(r, 2);
        memset(name, 'n', n);
        name[n] = 0;
    } else if (random_one_in(r, 8)) {
        snprintf(name, 300, "%s", odd[random_below(r, sizeof odd / sizeof *odd)]);
    } else {
        snprintf(name, 300, "f%u", (unsigned)random_below(r, 16));
    }
}

static void pick_new(struct thread *t, bool dir, char path[PATH_BYTES])
{
    char name[300];
    if (random_one_in(&t->random, 3) || !pick_entry(t, S_IFDIR, path) || depth_of(path) >= DEPTH)
        snprintf(path, PATH_BYTES, "%s", t->dir);
    pick_component(t, dir, name);
    size_t n = strlen(path);
    snprintf(path + n, PATH_BYTES - n, "/%s", name);
}

/* Mostly a name that is there. */
static void pick_any(struct thread *t, mode_t type, char path[PATH_BYTES])
{
    if (random_one_in(&t->random, 20) || !pick_entry(t, type, path))
        pick_new(t, type == S_IFDIR, path);
}

static void perform_name(struct thread *t, struct op *op)
{
    op->path = t->path[0];
    op_perform(t, op);
    t->stale = true;
}

static void step_unlink(struct thread *t)
{
    struct op op = {.kind = OP_UNLINK};
    pick_any(t, random_one_in(&t->random, 20) ? 0 : S_IFREG, t->path[0]);
    perform_name(t, &op);
}

static void step_rename(struct thread *t)
{
    struct op op = {.kind = OP_RENAME, .to = t->path[1]};
    bool dir = random_one_in(&t->random, 4);
    pick_any(t, dir ? S_IFDIR : S_IFREG, t->path[0]);
    if (random_one_in(&t->random, 2))
        pick_any(t, random_one_in(&t->random, 10) ? 0 : dir ? S_IFDIR : S_IFREG, t->path[1]);
    else
        pick_new(t, dir, t->path[1]);
    if (random_one_in(&t->random, 8))
        op.flags = random_one_in(&t->random, 2) ? RENAME_NOREPLACE : RENAME_EXCHANGE;
    perform_name(t, &op);
}

static void step_link(struct thread *t)
{
    struct op op = {.kind = OP_LINK, .to = t->path[1]};
    pick_any(t, random_one_in(&t->random, 20) ? 0 : S_IFREG, t->path[0]);
    pick_new(t, false, t->path[1]);
    perform_name(t, &op);
}

static void step_mkdir(struct thread *t)
{
    struct op op = {.kind = OP_MKDIR, .mode = random_one_in(&t->random, 2) ? 0700 : 0755};
    pick_new(t, !random_one_in(&t->random, 10), t->path[0]);
    perform_name(t, &op);
}

static void step_rmdir(struct thread *t)
{
    struct op op = {.kind = OP_RMDIR};
    pick_any(t, random_one_in(&t->random, 20) ? 0 : S_IFDIR, t->path[0]);
    perform_name(t, &op);
}

static void step_symlink(struct thread *t)
{
    struct op op = {.kind = OP_SYMLINK, .to = t->path[1]};
    size_t n = random_one_in(&t->random, 10) ? 900 : 1 + random_below(&t->random, 30);
    pick_new(t, false, t->path[0]);
    for (size_t i = 0; i < n; i++)
        t->path[1][i] = (char)('a' + random_below(&t->random, 26));
    t->path[1][n] = 0;
    perform_name(t, &op);
}

static void step_readlink(struct thread *t)
{
    struct op op = {.kind = OP_READLINK, .bytes = {t->buffer[0], t->buffer[1]}};
    pick_any(t, random_one_in(&t->random, 10) ? 0 : S_IFLNK, t->path[0]);
    perform_name(t, &op);
}

static void step_chmod(struct thread *t)
{
    static const mode_t modes[2][4] = {{0600, 0640, 0644, 0660}, {0700, 0750, 0755, 0770}};
    bool dir = random_one_in(&t->random, 4);
    struct op op = {.kind = OP_CHMOD, .mode = modes[dir][random_below(&t->random, 4)]};
    pick_any(t, dir ? S_IFDIR : S_IFREG, t->path[0]);
    perform_name(t, &op);
}

static void step_sync_dir(struct thread *t)
{
    struct op op = {.kind = OP_SYNC_DIR};
    pick_any(t, S_IFDIR, t->path[0]);
    perform_name(t, &op);
}

/* ---- open files ---- */

static bool is_open(const struct handle *h)
{
    return h->fd[ORACLE] >= 0;
}

static void close_handle(struct thread *t, struct handle *h)
{
    struct op op = {.kind = OP_NONE};
    if (h->fd[SUBJECT] >= 0 && close(h->fd[SUBJECT]) != 0 && !(t->m->ending && model_is_dead(t->m)))
        model_fail(t->m, t, &op, "close of %s: %s", h->path, strerror(errno));
    if (h->fd[ORACLE] >= 0)
        close(h->fd[ORACLE]);
    h->fd[SUBJECT] = h->fd[ORACLE] = -1;
}

void thread_close_all(struct thread *t, enum side side)
{
    for (size_t i = 0; i < HANDLES; i++) {
        struct handle *h = &t->handles[i];
        if (h->fd[side] >= 0)
            close(h->fd[side]);
        h->fd[side] = -1;
    }
}

static int pick_flags(struct thread *t, bool shared)
{
    struct random *r = &t->random;
    int flags = random_one_in(r, 4) ? O_DIRECT : 0;
    if (shared)
        return flags | O_RDWR;
    if (random_one_in(r, 10))
        return flags | O_RDONLY;
    flags |= O_RDWR;
    flags |= random_one_in(r, 2) ? O_CREAT : 0;
    flags |= (flags & O_CREAT) && random_one_in(r, 6) ? O_EXCL : 0;
    flags |= random_one_in(r, 20) ? O_TRUNC : 0;
    flags |= random_one_in(r, 16) ? O_APPEND : 0;
    return flags;
}

static void step_open(struct thread *t)
{
    struct handle *h = &t->handles[random_below(&t->random, HANDLES)];
    struct op op = {.kind = OP_OPEN, .handle = h, .path = t->path[0], .mode = 0640};
    close_handle(t, h);
    h->shared = random_one_in(&t->random, 6) ? (int)random_below(&t->random, SHARED) : -1;
    op.flags = pick_flags(t, h->shared >= 0);
    if (h->shared >= 0)
        snprintf(t->path[0], PATH_BYTES, "shared/s%d", h->shared);
    else if ((op.flags & O_CREAT) && random_one_in(&t->random, 2))
        pick_new(t, false, t->path[0]);
    else
        pick_any(t, S_IFREG, t->path[0]);
    h->writable = (op.flags & O_ACCMODE) == O_RDWR;
    h->append = (op.flags & O_APPEND) != 0;
    snprintf(h->path, PATH_BYTES, "%s", t->path[0]);
    op_perform(t, &op);
    t->stale |= h->shared < 0;
}

static void step_close(struct thread *t)
{
    close_handle(t, &t->handles[random_below(&t->random, HANDLES)]);
}

/* An open file; NULL when there is none, and then one is opened instead. */
static struct handle *pick_handle(struct thread *t, bool writable, bool own)
{
    struct handle *picked = NULL;
    size_t found = 0;
    for (size_t i = 0; i < HANDLES; i++) {
        struct handle *h = &t->handles[i];
        if (is_open(h) && (!writable || h->writable) && (!own || h->shared < 0) &&
            random_below(&t->random, ++found) == 0)
            picked = h;
    }
    if (!picked)
        step_open(t);
    return picked;
}

static uint64_t size_of(struct handle *h)
{
    struct stat st;
    return fstat(h->fd[ORACLE], &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* ---- where in a file ---- */

static void place_shared(struct thread *t, struct op *op)
{
    uint64_t block = t->number + t->m->threads * random_below(&t->random, 6);
    uint64_t at = random_below(&t->random, SHARED_BLOCK);
    if (random_one_in(&t->random, 2))
        at -= at % PAGE;
    op->offset = block * SHARED_BLOCK + at;
    op->length = 1 + random_below(&t->random, SHARED_BLOCK - at);
    if (random_one_in(&t->random, 2) && at % PAGE == 0)
        op->length = PAGE;
}

/* Only what is there for sure: other threads may be making the file longer. */
static bool within_shared(struct thread *t, struct op *op)
{
    uint64_t end = t->shared_end[op->handle->shared];
    if (op->offset >= end)
        return false;
    op->length = least(op->length, end - op->offset);
    return true;
}

static void place_write(struct thread *t, struct op *op)
{
    struct random *r = &t->random;
    uint64_t size = size_of(op->handle), pages = size / PAGE + 1;
    uint64_t most = random_one_in(r, 40) ? SIZE_LARGE : SIZE_USUAL;
    op->offset = random_below(r, pages) * PAGE;
    switch (t->m->storm ? 8 : random_below(r, 16)) {
    case 0 ... 5:
        op->length = PAGE;
        break;
    case 6 ... 7:
        op->length = PAGE * (2 + random_below(r, 15));
        break;
    case 8:
        op->length =
            PAGE * (1 + random_below(r, t->m->storm || random_one_in(r, 3) ? LONGEST / PAGE : 40));
        break;
    case 9 ... 11:
        op->offset = random_below(r, size + 1);
        op->length = 1 + random_below(r, 20000);
        break;
    case 12 ... 13:
        op->offset = size;
        op->length = 1 + random_below(r, 10000);
        break;
    case 14:
        op->offset = size + random_below(r, 100000);
        op->length = 1 + random_below(r, 10000);
        break;
    default:
        op->offset += PAGE - random_below(r, 32);
        op->length = random_below(r, 64);
    }
    if (op->handle->append)
        op->offset = size;
    else if (op->offset + op->length > most && op->offset + op->length > size)
        op->offset = random_below(r, most);
}

static void fill_buffer(struct thread *t, size_t n)
{
    if (random_one_in(&t->random, 12))
        memset(t->buffer[0], random_one_in(&t->random, 2) ? 0 : 0xff, n);
    else
        random_bytes(&t->random, t->buffer[0], n);
}

/* ---- operations on open files ---- */

static void note_shared_end(struct thread *t, const struct op *op)
{
    if (op->handle->shared < 0)
        return;
    uint64_t *end = &t->shared_end[op->handle->shared];
    if (op->offset + op->length > *end)
        *end = op->offset + op->length;
}

/* What was written, as the server has it, and what is beside it. */
static void read_back(struct thread *t, const struct op *written)
{
    struct op op = {.kind = OP_READ,
                    .handle = written->handle,
                    .offset = written->offset,
                    .length = written->length,
                    .bytes = {t->buffer[0], t->buffer[1]}};
    if (op.handle->shared < 0) {
        op.offset -= least(op.offset, 5000);
        op.length = least(op.length + 10000, LONGEST);
    }
    posix_fadvise(op.handle->fd[SUBJECT], 0, 0, POSIX_FADV_DONTNEED);
    op_perform(t, &op);
}

static void step_write(struct thread *t)
{
    struct op op = {.kind = OP_WRITE, .handle = pick_handle(t, true, false)};
    if (!op.handle)
        return;
    if (op.handle->shared >= 0)
        place_shared(t, &op);
    else
        place_write(t, &op);
    fill_buffer(t, op.length);
    op.bytes[0] = t->buffer[0];
    if (!op_perform(t, &op))
        return;
    note_shared_end(t, &op);
    if (random_one_in(&t->random, 4))
        read_back(t, &op);
}

static void step_read(struct thread *t)
{
    struct random *r = &t->random;
    struct op op = {.kind = OP_READ, .handle = pick_handle(t, false, false)};
    if (!op.handle)
        return;
    uint64_t size = size_of(op.handle);
    op.offset = random_below(r, size + 10000);
    op.length = random_one_in(r, 3) ? PAGE : 1 + random_below(r, 100000);
    if (random_one_in(r, 3))
        op.offset -= op.offset % PAGE;
    if (random_one_in(r, 20))
        op.offset = 0, op.length = LONGEST;
    if (op.handle->shared >= 0 && (op.no_compare = random_one_in(r, 4)) == false) {
        place_shared(t, &op);
        op.no_compare = !within_shared(t, &op);
    }
    if (random_one_in(r, 2)) /* from the server, not from what the kernel keeps */
        posix_fadvise(op.handle->fd[SUBJECT], 0, 0, POSIX_FADV_DONTNEED);
    op.bytes[SUBJECT] = t->buffer[SUBJECT];
    op.bytes[ORACLE] = t->buffer[ORACLE];
    op_perform(t, &op);
}

static void step_map(struct thread *t)
{
    struct random *r = &t->random;
    bool write = random_one_in(r, 2);
    struct op op = {.kind = write ? OP_MAP_WRITE : OP_MAP_READ,
                    .handle = pick_handle(t, write, false),
                    .bytes = {t->buffer[0], t->buffer[1]}};
    uint64_t size = op.handle ? size_of(op.handle) : 0;
    if (size == 0)
        return;
    op.offset = random_below(r, size);
    op.length = least(1 + random_below(r, 100000), size - op.offset);
    if (op.handle->shared >= 0) {
        place_shared(t, &op);
        if (!within_shared(t, &op))
            return;
    }
    if (write)
        fill_buffer(t, op.length);
    op_perform(t, &op);
}

static void step_truncate(struct thread *t)
{
    struct random *r = &t->random;
    struct op op = {.kind = OP_TRUNCATE, .handle = pick_handle(t, true, true)};
    if (!op.handle)
        return;
    uint64_t size = size_of(op.handle);
    switch (random_below(r, 16)) {
    case 0:
        op.offset = 0;
        break;
    case 1 ... 2:
        op.offset = random_below(r, size + 1);
        break;
    case 3 ... 4:
        op.offset = random_below(r, size / PAGE + 2) * PAGE;
        break;
    case 5 ... 9:
        op.offset = size - least(size, random_below(r, 3 * PAGE));
        break;
    default:
        op.offset = size < SIZE_LARGE ? size + random_below(r, 60000) : size / 2;
    }
    op_perform(t, &op);
}

static void step_allocate(struct thread *t)
{
    struct random *r = &t->random;
    struct op op = {.kind = OP_ALLOCATE, .handle = pick_handle(t, true, false)};
    if (!op.handle)
        return;
    op.offset = random_below(r, least(size_of(op.handle), SIZE_LARGE) + 50000);
    op.length = 1 + random_below(r, 100000);
    op.flags = random_one_in(r, 2) ? FALLOC_FL_KEEP_SIZE : 0;
    if (op.handle->shared >= 0) {
        place_shared(t, &op);
        op.flags = FALLOC_FL_KEEP_SIZE;
    }
    op_perform(t, &op);
}

static void step_sync(struct thread *t)
{
    struct op op = {.kind = OP_SYNC, .handle = pick_handle(t, false, false)};
    if (op.handle)
        op_perform(t, &op);
}

static void step_stat(struct thread *t)
{
    struct op op = {.kind = OP_STAT, .handle = pick_handle(t, false, false)};
    if (op.handle)
        op_perform(t, &op);
}

static void step_times(struct thread *t)
{
    struct op op = {.kind = OP_TIMES, .handle = pick_handle(t, true, true)};
    if (!op.handle)
        return;
    op.offset = random_below(&t->random, UINT32_MAX);
    op.length = random_below(&t->random, 1000000000);
    struct op look = {.kind = OP_STAT, .handle = op.handle};
    if (!op_perform(t, &op) || !op_perform(t, &look))
        return;
    struct timespec *s = &look.st[SUBJECT].st_mtim, *o = &look.st[ORACLE].st_mtim;
    if (s->tv_sec != o->tv_sec || s->tv_nsec != o->tv_nsec)
        model_fail(t->m, t, &op, "mtime %jd.%09ld instead of %jd.%09ld", (intmax_t)s->tv_sec,
                   s->tv_nsec, (intmax_t)o->tv_sec, o->tv_nsec);
}

static void step_check(struct thread *t)
{
    struct difference d;
    struct op op = {.kind = OP_NONE};
    if ((t->m->pretend && t->m->ending) || compare_tree(t->m, t->dir, &d))
        return;
    if (t->m->ending && model_is_dead(t->m))
        t->down = true;
    else
        model_fail(t->m, t, &op, "comparing %s: %s", t->dir, d.text);
}

/* ---- choice ---- */

static const struct {
    unsigned weight; /* of 1000 */
    void (*step)(struct thread *t);
} steps[] = {
    {300, step_write},   {215, step_read}, {30, step_map},      {60, step_truncate},
    {40, step_allocate}, {20, step_sync},  {43, step_stat},     {10, step_times},
    {80, step_open},     {20, step_close}, {30, step_unlink},   {45, step_rename},
    {20, step_link},     {15, step_mkdir}, {10, step_rmdir},    {10, step_symlink},
    {10, step_readlink}, {15, step_chmod}, {17, step_sync_dir}, {10, step_check},
};

void step(struct thread *t)
{
    uint64_t n = random_below(&t->random, 1000);
    t->operation++;
    scan(t);
    if (t->n_entries > CROWDED && random_one_in(&t->random, 5)) {
        step_unlink(t);
        return;
    }
    if (t->m->storm && n < 750) {
        step_write(t);
        return;
    }
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        if (n < steps[i].weight) {
            steps[i].step(t);
            return;
        }
        n -= steps[i].weight;
    }
}
