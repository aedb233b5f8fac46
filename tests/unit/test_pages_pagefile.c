/* pages/pagefile.h and pages/datadir.h: page files over a small base, as memory has them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"
#include "fixture.h"
#include "memdisk.h"
#include "pages/chain.h"
#include "pages/datadir.h"
#include "pages/layer.h"
#include "pages/manifest.h"
#include "pages/page.h"
#include "pages/pagefile.h"

#define BIG_PAGES 100u

struct world {
    char *dir;
    struct disk *base, *layers[3];
    unsigned n_layers;
    struct manifest *m;
    struct datadir *d;
    struct datadir_recovery recovery;
    char complaint[1024];
    unsigned complaints;
};

static void hear(void *arg, const char *text)
{
    struct world *w = arg;

    __atomic_fetch_add(&w->complaints, 1, __ATOMIC_SEQ_CST);
    snprintf(w->complaint, sizeof(w->complaint), "%s", text);
}

static void write_base_file(const char *dir, const char *name, size_t len)
{
    char *bytes = mem_alloc(len + PAGE_BYTES);
    uint64_t p;
    int fd = open(dir, O_RDONLY | O_DIRECTORY);

    for (p = 0; p * PAGE_BYTES < len; p++)
        fixture_fill_page(bytes + p * PAGE_BYTES, p, 0);
    assert_int_equal(io_write_file(fd, name, bytes, len, NULL), 0);
    close(fd);
    free(bytes);
}

/* Base: big (BIG_PAGES pages), odd (3 pages and 100 bytes), tiny (3 bytes), empty. */
static struct world *world_new(void)
{
    struct world *w = mem_alloc(sizeof(*w));
    struct disk *out = memdisk_new();
    struct err err;

    w->dir = fixture_make_dir();
    write_base_file(w->dir, "big", BIG_PAGES * PAGE_BYTES);
    write_base_file(w->dir, "odd", 3 * PAGE_BYTES + 100);
    write_base_file(w->dir, "tiny", 3);
    write_base_file(w->dir, "empty", 0);
    assert_int_equal(disk_posix(w->dir, &w->base), 0);
    assert_int_equal(manifest_write(w->dir, out, "files", &err), 0);
    w->layers[2] = out; /* only keeps the manifest */
    assert_int_equal(manifest_open(out, "files", &w->m, &err), 0);
    w->layers[0] = memdisk_new();
    w->n_layers = 1;
    assert_int_equal(datadir_create_layer(w->layers[0], w->m, NULL, &err), 0);
    return w;
}

static int world_try_open(struct world *w, struct err *err)
{
    struct datadir_options o = {.base = w->base,
                                .manifest = w->m,
                                .layers = {w->layers[0], w->layers[1]},
                                .n_layers = w->n_layers,
                                .check_base = true,
                                .complain = hear,
                                .arg = w};

    return datadir_open(&o, &w->d, &w->recovery, err);
}

static void world_open(struct world *w)
{
    struct err err;

    if (world_try_open(w, &err) < 0)
        fail_msg("%s", err.text);
}

static void world_close(struct world *w)
{
    struct err err;

    if (w->d && datadir_close(w->d, &err) < 0)
        fail_msg("%s", err.text);
    w->d = NULL;
}

static void world_free(struct world *w)
{
    unsigned i;

    world_close(w);
    manifest_close(w->m);
    for (i = 0; i < w->n_layers; i++)
        w->layers[i]->ops->free(w->layers[i]);
    w->layers[2]->ops->free(w->layers[2]);
    w->base->ops->free(w->base);
    fixture_remove_dir(w->dir);
    free(w);
}

static struct pagefile *open_name(struct world *w, const char *name)
{
    struct pagefile *f;
    struct stat st;

    assert_int_equal(datadir_lookup(w->d, DIRTREE_ROOT, name, &st), 0);
    assert_int_equal(datadir_open_file(w->d, st.st_ino, &f), 0);
    return f;
}

/* The whole contents; freed by the caller. */
static char *contents(struct world *w, const char *name, size_t *len)
{
    struct pagefile *f = open_name(w, name);
    char *bytes;

    *len = pagefile_size(f);
    bytes = mem_alloc(*len + 1);
    assert_int_equal(pagefile_read(f, bytes, *len, 0), (int64_t)*len);
    datadir_close_file(w->d, f);
    return bytes;
}

/* The same operation on a page file and on bytes in memory. */
struct op {
    enum { WRITE, TRUNCATE, ALLOCATE } kind;
    uint64_t offset; /* TRUNCATE: the size */
    size_t len;
    int version;
};

struct image {
    char *bytes; /* room for IMAGE_MAX */
    size_t len;
};

#define IMAGE_MAX (200 * PAGE_BYTES)

static void fill_op(char *bytes, const struct op *op)
{
    size_t i;

    for (i = 0; i < op->len; i++)
        bytes[i] = (char)(op->version + (int)(i * 13 % 97));
}

static void apply_to_image(struct image *im, const struct op *op)
{
    size_t end = op->offset + op->len;

    if (op->kind == TRUNCATE) {
        if (op->offset < im->len)
            memset(im->bytes + op->offset, 0, im->len - op->offset);
        im->len = op->offset;
        return;
    }
    if (op->kind == WRITE)
        fill_op(im->bytes + op->offset, op);
    if (end > im->len)
        im->len = end;
}

static int64_t apply_to_file(struct pagefile *f, const struct op *op)
{
    char *bytes;
    int64_t n;

    if (op->kind == TRUNCATE)
        return pagefile_truncate(f, op->offset);
    if (op->kind == ALLOCATE)
        return pagefile_allocate(f, 0, op->offset, op->len);
    bytes = mem_alloc(op->len);
    fill_op(bytes, op);
    n = pagefile_write(f, bytes, op->len, op->offset);
    free(bytes);
    return n < 0 ? n : n == (int64_t)op->len ? 0 : -ENOSPC;
}

static struct image image_of(struct world *w, const char *name)
{
    struct image im = {.bytes = mem_alloc(IMAGE_MAX)};
    char *bytes = contents(w, name, &im.len);

    memcpy(im.bytes, bytes, im.len);
    free(bytes);
    return im;
}

static bool same(const struct image *a, const char *bytes, size_t len)
{
    return a->len == len && memcmp(a->bytes, bytes, len) == 0;
}

/* Operations that meet each kind of page: in the base, stored, beyond the end, cut. */
static const struct op ops[] = {
    {WRITE, 0, PAGE_BYTES, 1},
    {WRITE, 5 * PAGE_BYTES, 3 * PAGE_BYTES, 2},
    {WRITE, 5 * PAGE_BYTES + 17, 2 * PAGE_BYTES, 3},
    {WRITE, 31 * PAGE_BYTES, 4 * PAGE_BYTES, 4}, /* two runs */
    {WRITE, 100, 1, 5},
    {TRUNCATE, 7 * PAGE_BYTES + 1000, 0, 0},
    {WRITE, 9 * PAGE_BYTES + 5, 10, 6}, /* leaves a hole over pages of the base */
    {TRUNCATE, 50 * PAGE_BYTES, 0, 0},
    {ALLOCATE, 49 * PAGE_BYTES, 3 * PAGE_BYTES, 0},
    {WRITE, 60 * PAGE_BYTES + 1, 2 * PAGE_BYTES, 7},
    {TRUNCATE, 6 * PAGE_BYTES, 0, 0},
    {TRUNCATE, 3, 0, 0},
    {WRITE, 3, 5000, 8},
};
#define N_OPS (sizeof(ops) / sizeof(*ops))

static void files_read_as_written(const char *name)
{
    struct world *w = world_new();
    struct image im;
    struct pagefile *f;
    char *bytes;
    size_t i, len;

    world_open(w);
    im = image_of(w, name);
    for (i = 0; i < N_OPS; i++) {
        f = open_name(w, name);
        assert_int_equal(apply_to_file(f, &ops[i]), 0);
        datadir_close_file(w->d, f);
        apply_to_image(&im, &ops[i]);
        if (i % 3 == 0) {
            world_close(w);
            world_open(w);
            assert_false(w->recovery.unclean);
        }
        bytes = contents(w, name, &len);
        if (!same(&im, bytes, len))
            fail_msg("%s differs after operation %zu", name, i);
        free(bytes);
    }
    free(im.bytes);
    world_free(w);
}

static void page_files_read_as_written(void **state)
{
    (void)state;
    files_read_as_written("big");
    files_read_as_written("odd");
    files_read_as_written("tiny");
    files_read_as_written("empty");
}

/* Operations 0..n done on `name` of a fresh world; the image is what it then holds. */
static struct world *world_after(const char *name, size_t n, struct image *im)
{
    struct world *w = world_new();
    struct pagefile *f;
    size_t i;

    world_open(w);
    *im = image_of(w, name);
    f = open_name(w, name);
    for (i = 0; i < n; i++) {
        assert_int_equal(apply_to_file(f, &ops[i]), 0);
        apply_to_image(im, &ops[i]);
    }
    datadir_close_file(w->d, f);
    world_close(w);
    return w;
}

/* Each page old or new. Bytes after the old end may be missing or zero. */
static void assert_old_or_new(const struct image *old, const struct image *new, const char *bytes,
                              size_t len, const char *what)
{
    static const char zeros[PAGE_BYTES];
    size_t at, part, most = old->len > new->len ? old->len : new->len;

    if (len > most)
        fail_msg("%s: longer than it ever was", what);
    for (at = 0; at < len; at += PAGE_BYTES) {
        part = len - at < PAGE_BYTES ? len - at : PAGE_BYTES;
        if (memcmp(bytes + at, old->bytes + at, part) != 0 &&
            memcmp(bytes + at, new->bytes + at, part) != 0 &&
            (at < old->len || memcmp(bytes + at, zeros, part) != 0))
            fail_msg("%s: page %zu is neither old nor new", what, at / PAGE_BYTES);
    }
}

/* The process ends at every point of operation i, the write that it ends in done up to `torn`
 * bytes. */
static void end_in_every_point(const char *name, size_t i, size_t torn)
{
    struct image old, new;
    struct world *w = world_after(name, i, &old);
    struct disk *prepared = w->layers[0];
    struct pagefile *f;
    char *bytes, what[80];
    uint64_t n;
    size_t len;
    int64_t rc;
    bool dead = true;

    new = (struct image){.bytes = mem_alloc(IMAGE_MAX), .len = old.len};
    memcpy(new.bytes, old.bytes, IMAGE_MAX);
    apply_to_image(&new, &ops[i]);
    for (n = 1; dead; n++) {
        snprintf(what, sizeof(what), "%s, operation %zu, ended at %llu", name, i,
                 (unsigned long long)n);
        w->layers[0] = memdisk_copy(prepared);
        world_open(w);
        f = open_name(w, name);
        memdisk_tear(w->layers[0], torn);
        memdisk_die_after(w->layers[0], n);
        rc = apply_to_file(f, &ops[i]);
        dead = memdisk_dead(w->layers[0]);
        assert_int_equal(rc == 0, !dead);
        datadir_close_file(w->d, f);
        datadir_close(w->d, NULL);
        memdisk_revive(w->layers[0]);
        world_open(w);
        assert_int_equal(w->recovery.unclean, dead);
        bytes = contents(w, name, &len);
        if (!dead && !same(&new, bytes, len))
            fail_msg("%s: done and not there", what);
        if (ops[i].kind == TRUNCATE && !same(&new, bytes, len) && !same(&old, bytes, len))
            fail_msg("%s: truncated by half", what);
        assert_old_or_new(&old, &new, bytes, len, what);
        free(bytes);
        world_close(w);
        w->layers[0]->ops->free(w->layers[0]);
    }
    w->layers[0] = prepared;
    world_free(w);
    free(old.bytes);
    free(new.bytes);
}

static void a_process_may_end_anywhere(void **state)
{
    static const char *const names[] = {"big", "odd", "empty"};
    size_t i, k;

    (void)state;
    for (k = 0; k < 3; k++)
        for (i = 0; i < N_OPS; i++)
            end_in_every_point(names[k], i, 0);
}

/* A stored page that is half overwritten when the process ends is EIO until it is written anew; one
 * not stored before is as before. */
static void a_write_torn_in_a_stored_page_is_never_shown(void **state)
{
    const struct op first = {WRITE, 0, 2 * PAGE_BYTES, 1}, second = {WRITE, 0, 2 * PAGE_BYTES, 2};
    struct world *w;
    struct pagefile *f;
    char bytes[2 * PAGE_BYTES], expected[2 * PAGE_BYTES];
    size_t torn;

    (void)state;
    for (torn = 512; torn < 2 * PAGE_BYTES; torn += 512) {
        w = world_new();
        world_open(w);
        f = open_name(w, "big");
        assert_int_equal(apply_to_file(f, &first), 0);
        memdisk_tear(w->layers[0], torn);
        memdisk_die_after(w->layers[0], 1);
        assert_int_equal(apply_to_file(f, &second), -EIO);
        datadir_close_file(w->d, f);
        datadir_close(w->d, NULL);
        memdisk_revive(w->layers[0]);
        memdisk_tear(w->layers[0], 0);
        world_open(w);
        assert_int_equal(w->recovery.writes, 1);
        assert_int_equal(w->recovery.writes_lost, torn % PAGE_BYTES != 0);
        f = open_name(w, "big");
        assert_int_equal(pagefile_read(f, bytes, PAGE_BYTES, 0),
                         torn < PAGE_BYTES ? -EIO : (int64_t)PAGE_BYTES);
        assert_int_equal(pagefile_read(f, bytes, PAGE_BYTES, PAGE_BYTES),
                         torn > PAGE_BYTES ? -EIO : (int64_t)PAGE_BYTES);
        assert_int_equal(apply_to_file(f, &second), 0);
        fill_op(expected, &second);
        assert_int_equal(pagefile_read(f, bytes, sizeof(bytes), 0), sizeof(bytes));
        assert_memory_equal(bytes, expected, sizeof(bytes));
        datadir_close_file(w->d, f);
        world_free(w);
    }
}

/* Every changing operation fails once; what the call said is what is there, now and after closing.
 */
static void a_failing_disk_is_told_and_nothing_is_mixed(void **state)
{
    struct image old, new;
    struct world *w;
    struct disk *prepared;
    struct pagefile *f;
    char *bytes, what[80];
    uint64_t n, before;
    size_t i, len;
    int64_t rc;
    bool failed;

    (void)state;
    for (i = 0; i < N_OPS; i++) {
        w = world_after("big", i, &old);
        prepared = w->layers[0];
        new = (struct image){.bytes = mem_alloc(IMAGE_MAX), .len = old.len};
        memcpy(new.bytes, old.bytes, IMAGE_MAX);
        apply_to_image(&new, &ops[i]);
        for (n = 1, failed = true; failed; n++) {
            snprintf(what, sizeof(what), "operation %zu, failed at %llu", i, (unsigned long long)n);
            w->layers[0] = memdisk_copy(prepared);
            world_open(w);
            f = open_name(w, "big");
            before = memdisk_operations(w->layers[0]);
            memdisk_fail_after(w->layers[0], n, ENOSPC);
            rc = apply_to_file(f, &ops[i]);
            failed = memdisk_operations(w->layers[0]) - before >= n;
            memdisk_fail_after(w->layers[0], 0, 0);
            if (!failed)
                assert_int_equal(rc, 0);
            datadir_close_file(w->d, f);
            world_close(w);
            world_open(w);
            bytes = contents(w, "big", &len);
            if (rc == 0 && !same(&new, bytes, len))
                fail_msg("%s: done and not there", what);
            assert_old_or_new(&old, &new, bytes, len, what);
            free(bytes);
            world_close(w);
            w->layers[0]->ops->free(w->layers[0]);
        }
        w->layers[0] = prepared;
        world_free(w);
        free(old.bytes);
        free(new.bytes);
    }
}

static void a_full_disk_gives_a_short_write(void **state)
{
    const struct op op = {WRITE, 0, 64 * PAGE_BYTES, 1};
    struct world *w = world_new();
    struct pagefile *f;
    char *bytes = mem_alloc(op.len), *read;
    struct image im;
    int64_t n;
    size_t len;

    (void)state;
    world_open(w);
    im = image_of(w, "big");
    f = open_name(w, "big");
    memdisk_limit(w->layers[0], memdisk_used(w->layers[0]) + 40 * PAGE_BYTES);
    fill_op(bytes, &op);
    n = pagefile_write(f, bytes, op.len, 0);
    assert_int_equal(n, 32 * PAGE_BYTES); /* whole runs */
    assert_int_equal(pagefile_write(f, bytes, op.len, 64 * PAGE_BYTES), -ENOSPC);
    datadir_close_file(w->d, f);
    memcpy(im.bytes, bytes, (size_t)n);
    world_close(w);
    memdisk_limit(w->layers[0], UINT64_MAX);
    world_open(w);
    read = contents(w, "big", &len);
    assert_int_equal(len, im.len);
    assert_memory_equal(read + 40 * PAGE_BYTES, im.bytes + 40 * PAGE_BYTES, len - 40 * PAGE_BYTES);
    assert_memory_equal(read, im.bytes, 32 * PAGE_BYTES);
    free(read);
    free(bytes);
    free(im.bytes);
    world_free(w);
}

/* ---- damage and changes ---- */

static void a_damaged_page_is_eio_and_named(void **state)
{
    const struct op op = {WRITE, 0, 20 * PAGE_BYTES, 1};
    struct world *w = world_new();
    char path[LAYER_PATH_MAX], bytes[PAGE_BYTES];
    struct pagefile *f;
    struct stat st;

    (void)state;
    world_open(w);
    f = open_name(w, "big");
    assert_int_equal(apply_to_file(f, &op), 0);
    assert_int_equal(datadir_lookup(w->d, DIRTREE_ROOT, "big", &st), 0);
    layer_path(path, LAYER_DIFF, st.st_ino);
    memdisk_flip(w->layers[0], path, 13 * PAGE_BYTES + 77, 3);
    assert_int_equal(pagefile_read(f, bytes, PAGE_BYTES, 12 * PAGE_BYTES), PAGE_BYTES);
    assert_int_equal(pagefile_read(f, bytes, PAGE_BYTES, 13 * PAGE_BYTES), -EIO);
    assert_string_equal(w->complaint, "big: page 13: its checksum does not match what is stored");
    assert_int_equal(pagefile_read(f, bytes, 10, 13 * PAGE_BYTES + 5), -EIO);
    assert_int_equal(pagefile_write(f, "x", 1, 13 * PAGE_BYTES), -EIO); /* needs the rest of it */
    datadir_close_file(w->d, f);
    world_free(w);
}

static void a_base_that_changes_is_eio(void **state)
{
    struct world *w = world_new();
    char *path = mem_printf("%s/big", w->dir), bytes[PAGE_BYTES];
    struct pagefile *f;
    struct err err;
    int fd;

    (void)state;
    world_open(w);
    f = open_name(w, "big");
    assert_int_equal(pagefile_read(f, bytes, PAGE_BYTES, 0), PAGE_BYTES);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, "x", 1, 50 * PAGE_BYTES), 1);
    close(fd);
    assert_int_equal(pagefile_read(f, bytes, PAGE_BYTES, 0), -EIO);
    assert_non_null(strstr(w->complaint, "big"));
    datadir_close_file(w->d, f);
    world_close(w);
    assert_true(world_try_open(w, &err) < 0);
    assert_non_null(strstr(err.text, "big"));
    w->d = NULL;
    free(path);
    world_free(w);
}

static void storage_that_is_missing_is_eio_not_the_base(void **state)
{
    static const char *const kinds[] = {LAYER_DIFF, LAYER_SIDE};
    const struct op op = {WRITE, 0, PAGE_BYTES, 1};
    char path[LAYER_PATH_MAX];
    struct pagefile *f;
    struct world *w;
    struct stat st;
    unsigned k;

    (void)state;
    for (k = 0; k < 2; k++) {
        w = world_new();
        world_open(w);
        f = open_name(w, "big");
        assert_int_equal(apply_to_file(f, &op), 0);
        datadir_close_file(w->d, f);
        assert_int_equal(datadir_lookup(w->d, DIRTREE_ROOT, "big", &st), 0);
        world_close(w);
        layer_path(path, kinds[k], st.st_ino);
        w->layers[0]->ops->remove(w->layers[0], path);
        world_open(w);
        assert_int_equal(datadir_open_file(w->d, st.st_ino, &f), -EIO);
        assert_non_null(strstr(w->complaint, path));
        world_free(w);
    }
}

static void a_journal_that_was_cut_is_refused(void **state)
{
    struct world *w = world_new();
    struct stat st;
    struct err err;

    (void)state;
    world_open(w);
    assert_int_equal(datadir_make(w->d, DIRTREE_ROOT, "one", S_IFREG | 0600, NULL, &st), 0);
    assert_int_equal(datadir_make(w->d, DIRTREE_ROOT, "two", S_IFREG | 0600, NULL, &st), 0);
    world_close(w);
    memdisk_cut(w->layers[0], LAYER_NAMES, memdisk_size(w->layers[0], LAYER_NAMES) - 5);
    assert_int_equal(world_try_open(w, &err), -EIO);
    assert_non_null(strstr(err.text, "journal of names"));
    w->d = NULL;
    world_free(w);
}

/* ---- names and files together ---- */

static void an_unlinked_file_lives_until_it_is_closed(void **state)
{
    const struct op op = {WRITE, 0, PAGE_BYTES, 1};
    struct world *w = world_new();
    char path[LAYER_PATH_MAX], bytes[PAGE_BYTES], expected[PAGE_BYTES];
    struct pagefile *f;
    struct stat st;

    (void)state;
    world_open(w);
    assert_int_equal(datadir_make(w->d, DIRTREE_ROOT, "new", S_IFREG | 0600, NULL, &st), 0);
    f = open_name(w, "new");
    assert_int_equal(apply_to_file(f, &op), 0);
    assert_int_equal(datadir_unlink(w->d, DIRTREE_ROOT, "new"), 0);
    layer_path(path, LAYER_DIFF, st.st_ino);
    assert_true(memdisk_has(w->layers[0], path));
    fill_op(expected, &op);
    assert_int_equal(pagefile_read(f, bytes, PAGE_BYTES, 0), PAGE_BYTES);
    assert_memory_equal(bytes, expected, PAGE_BYTES);
    datadir_close_file(w->d, f);
    assert_false(memdisk_has(w->layers[0], path));
    assert_int_equal(datadir_open_file(w->d, st.st_ino, &f), -ENOENT);
    world_free(w);
}

static void files_that_lost_their_names_are_cleared_after_a_kill(void **state)
{
    const struct op op = {WRITE, 0, PAGE_BYTES, 1};
    struct world *w = world_new();
    struct disk *killed;
    char path[LAYER_PATH_MAX];
    struct pagefile *f;
    struct stat st;

    (void)state;
    world_open(w);
    assert_int_equal(datadir_make(w->d, DIRTREE_ROOT, "new", S_IFREG | 0600, NULL, &st), 0);
    f = open_name(w, "new");
    assert_int_equal(apply_to_file(f, &op), 0);
    assert_int_equal(datadir_unlink(w->d, DIRTREE_ROOT, "new"), 0);
    killed = memdisk_copy(w->layers[0]);
    datadir_close_file(w->d, f);
    world_close(w);
    w->layers[0]->ops->free(w->layers[0]);
    w->layers[0] = killed;
    layer_path(path, LAYER_DIFF, st.st_ino);
    assert_true(memdisk_has(killed, path));
    world_open(w);
    assert_true(w->recovery.unclean);
    assert_int_equal(w->recovery.orphans, 1);
    assert_false(memdisk_has(killed, path));
    world_free(w);
}

static void times_and_sizes_are_those_of_the_file(void **state)
{
    const struct op op = {TRUNCATE, 12345, 0, 0};
    const struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 4711, .tv_nsec = 5}};
    struct world *w = world_new();
    struct pagefile *f;
    struct stat before, st;

    (void)state;
    world_open(w);
    assert_int_equal(datadir_lookup(w->d, DIRTREE_ROOT, "odd", &before), 0);
    assert_int_equal(before.st_size, 3 * PAGE_BYTES + 100);
    assert_int_equal(datadir_set_times(w->d, before.st_ino, times), 0);
    assert_int_equal(datadir_stat(w->d, before.st_ino, &st), 0);
    assert_int_equal(st.st_mtim.tv_sec, 4711);
    assert_int_equal(st.st_mtim.tv_nsec, 5);
    assert_int_equal(st.st_size, before.st_size);
    f = open_name(w, "odd");
    assert_int_equal(apply_to_file(f, &op), 0);
    assert_int_equal(datadir_stat(w->d, before.st_ino, &st), 0);
    assert_int_equal(st.st_size, 12345);
    datadir_close_file(w->d, f);
    world_close(w);
    world_open(w);
    assert_int_equal(datadir_stat(w->d, before.st_ino, &st), 0);
    assert_int_equal(st.st_size, 12345);
    world_free(w);
}

/* ---- layers ---- */

static void a_view_on_a_layer_on_a_base(void **state)
{
    const struct op low = {WRITE, 2 * PAGE_BYTES, 4 * PAGE_BYTES, 1};
    const struct op cut = {TRUNCATE, 50 * PAGE_BYTES, 0, 0},
                    regrow = {TRUNCATE, 60 * PAGE_BYTES, 0, 0};
    const struct op high = {WRITE, 3 * PAGE_BYTES, PAGE_BYTES, 2};
    struct world *w = world_new();
    struct image im;
    struct pagefile *f;
    struct stat st;
    struct err err;
    char *bytes;
    size_t len;

    (void)state;
    world_open(w);
    im = image_of(w, "big");
    f = open_name(w, "big");
    assert_int_equal(apply_to_file(f, &low), 0);
    assert_int_equal(apply_to_file(f, &cut), 0);
    datadir_close_file(w->d, f);
    assert_int_equal(datadir_make(w->d, DIRTREE_ROOT, "made", S_IFREG | 0600, NULL, &st), 0);
    assert_int_equal(datadir_unlink(w->d, DIRTREE_ROOT, "odd"), 0);
    assert_int_equal(datadir_complete(w->d, &err), 0);
    world_close(w);

    w->layers[1] = memdisk_new();
    w->n_layers = 2;
    assert_int_equal(datadir_create_layer(w->layers[1], w->m, NULL, &err), 0);
    world_open(w);
    f = open_name(w, "big");
    assert_int_equal(apply_to_file(f, &regrow), 0);
    assert_int_equal(apply_to_file(f, &high), 0);
    assert_int_equal(pagefile_place(f, 2), 0);
    assert_int_equal(pagefile_place(f, 3), 1);
    assert_int_equal(pagefile_place(f, 10), CHAIN_BASE);
    assert_int_equal(pagefile_place(f, 55), CHAIN_ZERO); /* cut off in the layer below */
    datadir_close_file(w->d, f);
    apply_to_image(&im, &low);
    apply_to_image(&im, &cut);
    apply_to_image(&im, &regrow);
    apply_to_image(&im, &high);
    bytes = contents(w, "big", &len);
    assert_true(same(&im, bytes, len));
    free(bytes);
    assert_int_equal(datadir_lookup(w->d, DIRTREE_ROOT, "odd", &st), -ENOENT);
    assert_int_equal(datadir_lookup(w->d, DIRTREE_ROOT, "made", &st), 0);
    world_close(w);
    world_open(w);
    bytes = contents(w, "big", &len);
    assert_true(same(&im, bytes, len));
    free(bytes);
    free(im.bytes);
    world_free(w);
}

static void a_layer_that_was_not_closed_is_no_base(void **state)
{
    struct world *w = world_new();
    struct disk *unclean;
    struct err err;

    (void)state;
    world_open(w);
    unclean = memdisk_copy(w->layers[0]);
    world_close(w);
    w->layers[1] = memdisk_new();
    w->n_layers = 2;
    w->layers[0]->ops->free(w->layers[0]);
    w->layers[0] = unclean;
    assert_int_equal(datadir_create_layer(w->layers[1], w->m, NULL, &err), 0);
    assert_int_equal(world_try_open(w, &err), -EIO);
    assert_non_null(strstr(err.text, "not completed"));
    w->d = NULL;
    world_free(w);
}

/* ---- threads ---- */

struct stirrer {
    struct world *w;
    int number;
    unsigned wrong;
};

/* Writes pages that belong to the thread, whole ones of one value, and reads those of all: each
 * page it sees must be of one value. */
static void *stir(void *arg)
{
    struct stirrer *s = arg;
    struct pagefile *f = open_name(s->w, "big");
    char bytes[4 * PAGE_BYTES];
    uint32_t seed = (uint32_t)s->number + 1;
    unsigned i, k;

    for (i = 0; i < 3000 / fixture_step(10); i++) {
        seed = seed * 1664525 + 1013904223;
        uint64_t page = (seed >> 8) % (BIG_PAGES - 4);
        if (i % 2) {
            memset(bytes, (int)(seed >> 24), PAGE_BYTES);
            if (pagefile_write(f, bytes, PAGE_BYTES, page * PAGE_BYTES) != PAGE_BYTES)
                s->wrong++;
        } else if (pagefile_read(f, bytes, sizeof(bytes), page * PAGE_BYTES) == sizeof(bytes)) {
            for (k = 0; k < 4; k++)
                s->wrong +=
                    memcmp(bytes + k * PAGE_BYTES, bytes + k * PAGE_BYTES + 1, PAGE_BYTES - 1) != 0;
        } else {
            s->wrong++;
        }
    }
    datadir_close_file(s->w->d, f);
    return NULL;
}

static void readers_and_writers_never_see_a_mixed_page(void **state)
{
    const struct op all = {WRITE, 0, BIG_PAGES * PAGE_BYTES, 0};
    struct world *w = world_new();
    struct stirrer s[4];
    pthread_t threads[4];
    struct pagefile *f;
    char *bytes = mem_alloc(all.len);
    int i;

    (void)state;
    world_open(w);
    f = open_name(w, "big");
    assert_int_equal(pagefile_write(f, bytes, all.len, 0), all.len);
    for (i = 0; i < 4; i++) {
        s[i] = (struct stirrer){w, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, stir, &s[i]), 0);
    }
    for (i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(s[i].wrong, 0);
    }
    datadir_close_file(w->d, f);
    assert_int_equal(w->complaints, 0);
    free(bytes);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(page_files_read_as_written),
        cmocka_unit_test(a_process_may_end_anywhere),
        cmocka_unit_test(a_write_torn_in_a_stored_page_is_never_shown),
        cmocka_unit_test(a_failing_disk_is_told_and_nothing_is_mixed),
        cmocka_unit_test(a_full_disk_gives_a_short_write),
        cmocka_unit_test(a_damaged_page_is_eio_and_named),
        cmocka_unit_test(a_base_that_changes_is_eio),
        cmocka_unit_test(storage_that_is_missing_is_eio_not_the_base),
        cmocka_unit_test(a_journal_that_was_cut_is_refused),
        cmocka_unit_test(an_unlinked_file_lives_until_it_is_closed),
        cmocka_unit_test(files_that_lost_their_names_are_cleared_after_a_kill),
        cmocka_unit_test(times_and_sizes_are_those_of_the_file),
        cmocka_unit_test(a_view_on_a_layer_on_a_base),
        cmocka_unit_test(a_layer_that_was_not_closed_is_no_base),
        cmocka_unit_test(readers_and_writers_never_see_a_mixed_page),
    };

    return cmocka_run_group_tests_name("pages/pagefile", tests, NULL, NULL);
}
