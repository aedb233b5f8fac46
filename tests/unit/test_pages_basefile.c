/* pages/basefile.h, its second user: a base that lives in memory and takes what is written itself. Of
 * a page that is written the first time since a freeze, it keeps the old one, as a live base will. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
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
#include "pages/page.h"
#include "pages/pagefile.h"

#define MOST_PAGES 200u /* of the file, ever */
#define MOST_BYTES ((size_t)MOST_PAGES * PAGE_BYTES)
#define FREEZES 8u

/* ---- a base that lives ---- */

struct live {
    struct disk disk;      /* what the opener is given; never used as a disk */
    pthread_rwlock_t lock; /* covers bytes and size: a page is read whole, old or new */
    char *bytes;
    uint64_t size;
    struct timespec mtime;

    /* Old pages, by the freeze since which they were kept: filled in before the page is written. */
    unsigned freeze; /* 0: none yet */
    char *kept[FREEZES + 1][MOST_PAGES];
    uint64_t sizes[FREEZES + 1];

    unsigned opened, closed, synced;
    bool busy[MOST_PAGES]; /* somebody writes there, */
    bool met;              /* and somebody else did, too */
    int fail;              /* of every write: an errno; 0 */
};

struct live_file {
    struct basefile b;
    struct live *base;
};

static struct live *base_of(struct basefile *b)
{
    return ((struct live_file *)b)->base;
}

static void copy_from(const char *from, uint64_t size, char *bytes, size_t len, uint64_t offset)
{
    size_t n = offset >= size ? 0 : size - offset < len ? (size_t)(size - offset) : len;

    memcpy(bytes, from + (n ? offset : 0), n);
    memset(bytes + n, 0, len - n);
}

static int live_read(struct basefile *b, char *bytes, size_t len, uint64_t offset)
{
    struct live *base = base_of(b);

    pthread_rwlock_rdlock(&base->lock);
    copy_from(base->bytes, base->size, bytes, len, offset);
    pthread_rwlock_unlock(&base->lock);
    return 0;
}

/* The page as it was, once since the freeze. */
static void keep_page(struct live *base, uint64_t page)
{
    char **kept = &base->kept[base->freeze][page];

    if (base->freeze == 0 || *kept || page * PAGE_BYTES >= base->sizes[base->freeze])
        return;
    *kept = mem_alloc(PAGE_BYTES);
    copy_from(base->bytes, base->size, *kept, PAGE_BYTES, page * PAGE_BYTES);
}

static void set_busy(struct live *base, uint64_t page, uint64_t end, bool busy)
{
    for (; page * PAGE_BYTES < end; page++)
        if (__atomic_exchange_n(&base->busy[page], busy, __ATOMIC_SEQ_CST) == busy)
            __atomic_store_n(&base->met, true, __ATOMIC_SEQ_CST);
}

static int live_write(struct basefile *b, const char *bytes, size_t len, uint64_t offset)
{
    struct live *base = base_of(b);
    uint64_t page;

    if (base->fail)
        return -base->fail;
    set_busy(base, offset / PAGE_BYTES, offset + len, true);
    pthread_rwlock_rdlock(
        &base->lock); /* that nobody else keeps the same page is the caller's part */
    for (page = offset / PAGE_BYTES; page * PAGE_BYTES < offset + len; page++)
        keep_page(base, page);
    pthread_rwlock_unlock(&base->lock);
    pthread_rwlock_wrlock(&base->lock);
    if (offset + len > base->size)
        base->size = offset + len;
    memcpy(base->bytes + offset, bytes, len);
    pthread_rwlock_unlock(&base->lock);
    set_busy(base, offset / PAGE_BYTES, offset + len, false);
    return 0;
}

static int live_resize(struct basefile *b, uint64_t size)
{
    struct live *base = base_of(b);
    uint64_t page;

    pthread_rwlock_wrlock(&base->lock);
    for (page = size / PAGE_BYTES; page * PAGE_BYTES < base->size; page++)
        keep_page(base, page);
    if (size < base->size)
        memset(base->bytes + size, 0, base->size - size);
    base->size = size;
    pthread_rwlock_unlock(&base->lock);
    return 0;
}

static int live_stat(struct basefile *b, struct stat *st)
{
    struct live *base = base_of(b);

    *st = (struct stat){.st_size = (off_t)base->size, .st_mtim = base->mtime};
    return 0;
}

static int live_set_times(struct basefile *b, const struct timespec times[2])
{
    base_of(b)->mtime = times[1];
    return 0;
}

static int live_sync(struct basefile *b)
{
    base_of(b)->synced++;
    return 0;
}

static void live_close(struct basefile *b)
{
    base_of(b)->closed++;
    free(b);
}

static int live_open(struct disk *disk, const struct manifest *m, uint32_t entry,
                     struct basefile **b, struct err *err)
{
    static const struct basefile_ops ops = {.read = live_read,
                                            .stat = live_stat,
                                            .close = live_close,
                                            .write = live_write,
                                            .resize = live_resize,
                                            .set_times = live_set_times,
                                            .sync = live_sync};
    struct live_file *f = mem_alloc(sizeof(*f));

    (void)m;
    (void)entry;
    (void)err;
    *f = (struct live_file){.base = (struct live *)disk};
    f->b = (struct basefile){&ops, f->base->size};
    f->base->opened++;
    *b = &f->b;
    return 0;
}

static void freeze(struct live *base)
{
    base->freeze++;
    base->sizes[base->freeze] = base->size;
}

/* As it was at a freeze: the first page kept since then, or what it is now. */
static char *frozen(struct live *base, unsigned freeze_number, uint64_t *size)
{
    char *bytes = mem_alloc(MOST_BYTES);
    uint64_t page;
    unsigned i;

    *size = base->sizes[freeze_number];
    for (page = 0; page * PAGE_BYTES < *size; page++) {
        for (i = freeze_number; i <= base->freeze && !base->kept[i][page]; i++)
            ;
        memcpy(bytes + page * PAGE_BYTES,
               i <= base->freeze ? base->kept[i][page] : base->bytes + page * PAGE_BYTES,
               PAGE_BYTES);
    }
    return bytes;
}

/* ---- a data directory over it ---- */

struct world {
    char *dir;
    struct live live;
    struct disk *layer, *aside;
    struct manifest *m;
    struct datadir *d;
    uint64_t id; /* of the one file */
};

static void fill(char *bytes, size_t len, unsigned seed)
{
    size_t i;

    for (i = 0; i < len; i++, seed = seed * 1103515245u + 12345u)
        bytes[i] = (char)(seed >> 16 | 1u);
}

/* The directory only gives the manifest a file, which is empty there. */
static void make_manifest(struct world *w)
{
    struct err err;
    int fd;

    w->dir = fixture_make_dir();
    fd = open(w->dir, O_RDONLY | O_DIRECTORY);
    assert_int_equal(io_write_file(fd, "file", "", 0, NULL), 0);
    close(fd);
    w->aside = memdisk_new();
    assert_int_equal(manifest_write(w->dir, w->aside, "files", &err), 0);
    assert_int_equal(manifest_open(w->aside, "files", &w->m, &err), 0);
}

static void open_datadir(struct world *w, bool read_only)
{
    struct datadir_options o = {.base = &w->live.disk,
                                .manifest = w->m,
                                .layers = {w->layer},
                                .n_layers = 1,
                                .read_only = read_only,
                                .durable = !read_only,
                                .open_base = live_open};
    struct datadir_recovery recovery;
    struct stat st;
    struct err err;

    if (datadir_open(&o, &w->d, &recovery, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(datadir_lookup(w->d, DIRTREE_ROOT, "file", &st), 0);
    w->id = st.st_ino;
}

static struct world *world_new(uint64_t size)
{
    struct world *w = mem_alloc(sizeof(*w));
    struct err err;

    make_manifest(w);
    pthread_rwlock_init(&w->live.lock, NULL);
    w->live.bytes = mem_alloc(MOST_BYTES);
    w->live.size = size;
    fill(w->live.bytes, size, 1);
    w->layer = memdisk_new();
    assert_int_equal(datadir_create_layer(w->layer, w->m, NULL, &err), 0);
    open_datadir(w, false);
    return w;
}

static void close_datadir(struct world *w)
{
    struct err err;

    assert_int_equal(datadir_close(w->d, &err), 0);
}

static void world_free(struct world *w)
{
    unsigned i, page;

    close_datadir(w);
    assert_int_equal(w->live.opened, w->live.closed);
    manifest_close(w->m);
    w->layer->ops->free(w->layer);
    w->aside->ops->free(w->aside);
    for (i = 0; i <= FREEZES; i++)
        for (page = 0; page < MOST_PAGES; page++)
            free(w->live.kept[i][page]);
    pthread_rwlock_destroy(&w->live.lock);
    free(w->live.bytes);
    io_remove_tree(w->dir);
    free(w->dir);
    free(w);
}

static struct pagefile *open_file(struct world *w)
{
    struct pagefile *f;

    assert_int_equal(datadir_open_file(w->d, w->id, &f), 0);
    return f;
}

static unsigned count_kept(const struct world *w, unsigned freeze_number)
{
    unsigned page, n = 0;

    for (page = 0; page < MOST_PAGES; page++)
        n += w->live.kept[freeze_number][page] != NULL;
    return n;
}

/* ---- tests ---- */

static void pages_are_read_from_it(void **state)
{
    uint64_t size = 70 * PAGE_BYTES + 100;
    struct world *w = world_new(size);
    struct pagefile *f = open_file(w);
    char *bytes = mem_alloc(MOST_BYTES);

    (void)state;
    assert_int_equal(pagefile_size(f), size);
    assert_int_equal(pagefile_read(f, bytes, MOST_BYTES, 0), size);
    assert_memory_equal(bytes, w->live.bytes, size);
    assert_int_equal(pagefile_read(f, bytes, 1000, 69 * PAGE_BYTES + 7900), 392);
    assert_memory_equal(bytes, w->live.bytes + 69 * PAGE_BYTES + 7900, 392);
    datadir_close_file(w->d, f);
    free(bytes);
    world_free(w);
}

static void what_is_written_goes_into_it_and_nowhere_else(void **state)
{
    struct world *w = world_new(10 * PAGE_BYTES);
    struct pagefile *f = open_file(w);
    uint64_t before = memdisk_operations(w->layer);
    size_t len = 80 * PAGE_BYTES;
    char *bytes = mem_alloc(len);
    struct stat st;

    (void)state;
    fill(bytes, len, 2);
    assert_int_equal(pagefile_write(f, bytes, len, 5 * PAGE_BYTES + 17), len); /* three runs */
    assert_memory_equal(w->live.bytes + 5 * PAGE_BYTES + 17, bytes, len);
    assert_int_equal(pagefile_size(f), 85 * PAGE_BYTES + 17);
    assert_int_equal(pagefile_sync(f), 0);
    assert_int_equal(w->live.synced, 1);
    assert_int_equal(pagefile_place(f, 6), CHAIN_BASE);
    datadir_close_file(w->d, f);
    assert_int_equal(memdisk_operations(w->layer), before);
    assert_int_equal(datadir_stat(w->d, w->id, &st), 0); /* closed: of the base, not the manifest */
    assert_int_equal(st.st_size, 85 * PAGE_BYTES + 17);
    free(bytes);
    world_free(w);
}

static void old_pages_are_kept_once_for_each_freeze(void **state)
{
    struct world *w = world_new(40 * PAGE_BYTES);
    struct pagefile *f = open_file(w);
    char was[PAGE_BYTES], page[PAGE_BYTES] = {1};

    (void)state;
    memcpy(was, w->live.bytes + 3 * PAGE_BYTES, PAGE_BYTES);
    freeze(&w->live);
    assert_int_equal(pagefile_write(f, page, PAGE_BYTES, 3 * PAGE_BYTES), PAGE_BYTES);
    page[0] = 2;
    assert_int_equal(pagefile_write(f, page, 100, 3 * PAGE_BYTES + 50), 100);
    assert_int_equal(pagefile_write(f, page, 100, 31 * PAGE_BYTES - 50), 100); /* pages 30, 31 */
    assert_int_equal(count_kept(w, 1), 3);
    assert_memory_equal(w->live.kept[1][3], was, PAGE_BYTES);
    freeze(&w->live);
    assert_int_equal(pagefile_write(f, page, 1, 3 * PAGE_BYTES), 1);
    assert_int_equal(count_kept(w, 1), 3);
    assert_int_equal(count_kept(w, 2), 1);
    assert_int_equal(w->live.kept[2][3][0], 1);
    datadir_close_file(w->d, f);
    world_free(w);
}

static void change_somehow(struct pagefile *f, char *bytes, unsigned *seed)
{
    uint64_t at = (uint64_t)rand_r(seed) % (MOST_BYTES - 40 * PAGE_BYTES);
    size_t len = 1 + (size_t)rand_r(seed) % (size_t)(rand_r(seed) % 4 ? 9000 : 40 * PAGE_BYTES);

    if (rand_r(seed) % 3)
        at -= at % PAGE_BYTES;
    fill(bytes, len, *seed);
    if (rand_r(seed) % 10)
        assert_int_equal(pagefile_write(f, bytes, len, at), len);
    else
        assert_int_equal(pagefile_truncate(f, at), 0);
}

static void every_freeze_stays_as_it_was(void **state)
{
    struct world *w = world_new(100 * PAGE_BYTES + 5);
    struct pagefile *f = open_file(w);
    char *images[FREEZES + 1] = {NULL}, *bytes = mem_alloc(MOST_BYTES), *old;
    unsigned i, k, seed = 7;
    uint64_t size;

    (void)state;
    for (i = 1; i <= FREEZES; i++) {
        images[i] = mem_alloc(MOST_BYTES);
        assert_int_equal(pagefile_read(f, images[i], MOST_BYTES, 0), w->live.size);
        freeze(&w->live);
        for (k = 0; k < 30; k++)
            change_somehow(f, bytes, &seed);
    }
    for (i = 1; i <= FREEZES; i++) {
        old = frozen(&w->live, i, &size);
        assert_memory_equal(old, images[i], size);
        free(old);
        free(images[i]);
    }
    datadir_close_file(w->d, f);
    free(bytes);
    world_free(w);
}

static void sizes_and_times_are_its_own(void **state)
{
    struct world *w = world_new(3 * PAGE_BYTES);
    struct pagefile *f = open_file(w);
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 12345}};
    struct stat st;

    (void)state;
    assert_int_equal(pagefile_truncate(f, 100), 0);
    assert_int_equal(w->live.size, 100);
    assert_int_equal(pagefile_allocate(f, FALLOC_FL_KEEP_SIZE, 0, 9 * PAGE_BYTES), 0);
    assert_int_equal(pagefile_size(f), 100);
    assert_int_equal(pagefile_allocate(f, 0, 0, 50), 0);
    assert_int_equal(pagefile_size(f), 100);
    assert_int_equal(pagefile_allocate(f, 0, 0, 9 * PAGE_BYTES), 0);
    assert_int_equal(pagefile_size(f), 9 * PAGE_BYTES);
    assert_int_equal(pagefile_set_times(f, times), 0);
    assert_int_equal(datadir_stat(w->d, w->id, &st), 0);
    assert_int_equal(st.st_mtim.tv_sec, 12345);
    assert_int_equal(st.st_size, 9 * PAGE_BYTES);
    datadir_close_file(w->d, f);
    world_free(w);
}

static void its_failures_are_those_of_the_call(void **state)
{
    struct world *w = world_new(3 * PAGE_BYTES);
    struct pagefile *f = open_file(w);
    struct timespec times[2] = {{0}};

    (void)state;
    w->live.fail = ENOSPC;
    assert_int_equal(pagefile_write(f, "x", 1, 4 * PAGE_BYTES), -ENOSPC);
    assert_int_equal(pagefile_size(f), 3 * PAGE_BYTES);
    datadir_close_file(w->d, f);
    close_datadir(w);
    w->live.fail = 0;
    open_datadir(w, true);
    f = open_file(w);
    assert_int_equal(pagefile_write(f, "x", 1, 0), -EROFS);
    assert_int_equal(pagefile_truncate(f, 0), -EROFS);
    assert_int_equal(pagefile_allocate(f, 0, 0, 9 * PAGE_BYTES), -EROFS);
    assert_int_equal(pagefile_set_times(f, times), -EROFS);
    assert_int_equal(w->live.size, 3 * PAGE_BYTES);
    datadir_close_file(w->d, f);
    world_free(w);
}

/* ---- threads ---- */

struct writer {
    struct pagefile *f;
    unsigned seed;
};

static void *write_pages(void *arg)
{
    struct writer *t = arg;
    char page[PAGE_BYTES];
    unsigned i;

    for (i = 0; i < 2000; i++) {
        memset(page, (int)rand_r(&t->seed), sizeof(page));
        if (pagefile_write(t->f, page, sizeof(page), rand_r(&t->seed) % 64 * PAGE_BYTES) !=
            (int64_t)sizeof(page))
            return t;
    }
    return NULL;
}

static void writers_of_the_same_pages_keep_the_old_ones(void **state)
{
    struct world *w = world_new(64 * PAGE_BYTES);
    struct pagefile *f = open_file(w);
    char *was = mem_alloc(MOST_BYTES), *old;
    struct writer writers[4];
    pthread_t threads[4];
    uint64_t size;
    void *failed;
    unsigned i;

    (void)state;
    memcpy(was, w->live.bytes, 64 * PAGE_BYTES);
    freeze(&w->live);
    for (i = 0; i < 4; i++) {
        writers[i] = (struct writer){f, i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_pages, &writers[i]), 0);
    }
    for (i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    old = frozen(&w->live, 1, &size);
    assert_memory_equal(old, was, size);
    assert_false(w->live.met);
    free(old);
    free(was);
    datadir_close_file(w->d, f);
    world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_read_from_it),
        cmocka_unit_test(what_is_written_goes_into_it_and_nowhere_else),
        cmocka_unit_test(old_pages_are_kept_once_for_each_freeze),
        cmocka_unit_test(every_freeze_stays_as_it_was),
        cmocka_unit_test(sizes_and_times_are_its_own),
        cmocka_unit_test(its_failures_are_those_of_the_call),
        cmocka_unit_test(writers_of_the_same_pages_keep_the_old_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
