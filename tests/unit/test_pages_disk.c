/* pages/disk.h: files and memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "fixture.h"
#include "memdisk.h"
#include "pages/disk.h"

#define BLOCK MEMDISK_BLOCK

static void expect_file(struct disk *d, const char *path, const char *text)
{
    char *bytes;
    size_t len;

    assert_int_equal(disk_read_file(d, path, 1 << 20, &bytes, &len), 0);
    assert_int_equal(len, strlen(text));
    assert_string_equal(bytes, text);
    free(bytes);
}

/* ---- disk: what both have to do ---- */

struct place {
    struct disk *disk;
    char *dir; /* NULL: in memory */
};

static int on_files(void **state)
{
    struct place *p = mem_alloc(sizeof(*p));

    p->dir = fixture_make_dir();
    *state = p;
    return disk_posix(p->dir, &p->disk);
}

static int in_memory(void **state)
{
    struct place *p = mem_alloc(sizeof(*p));

    p->disk = memdisk_new();
    *state = p;
    return 0;
}

static int leave(void **state)
{
    struct place *p = *state;

    p->disk->ops->free(p->disk);
    if (p->dir)
        fixture_remove_dir(p->dir);
    free(p);
    return 0;
}

static struct disk *disk_of(void **state)
{
    return ((struct place *)*state)->disk;
}

static void a_file_is_made_only_when_that_is_asked_for(void **state)
{
    struct disk *d = disk_of(state);
    struct disk_file *f;
    struct stat st;

    assert_int_equal(d->ops->open(d, "a", 0, &f), -ENOENT);
    assert_null(f);
    assert_int_equal(d->ops->open(d, "a", DISK_WRITE, &f), -ENOENT);
    d->ops->close(fixture_open_file(d, "a", DISK_WRITE | DISK_CREATE));
    d->ops->close(fixture_open_file(d, "a", DISK_WRITE | DISK_CREATE));
    assert_int_equal(d->ops->open(d, "a", DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &f), -EEXIST);
    assert_int_equal(d->ops->stat(d, "a", &st), 0);
    assert_int_equal(st.st_mode & ~(mode_t)(S_IFREG | 0600), 0);
    assert_int_equal(d->ops->open(d, "no/a", DISK_WRITE | DISK_CREATE, &f), -ENOENT);
    assert_int_equal(d->ops->open(d, "a/b", DISK_WRITE | DISK_CREATE, &f), -ENOTDIR);
}

static void a_read_is_short_only_at_the_end(void **state)
{
    struct disk *d = disk_of(state);
    struct disk_file *f = fixture_open_file(d, "a", DISK_WRITE | DISK_CREATE);
    char bytes[16];

    assert_int_equal(d->ops->write(f, "0123456789", 10, 5), 0);
    assert_int_equal(d->ops->read(f, bytes, 8, 0), 8);
    assert_memory_equal(bytes,
                        "\0\0\0\0\0"
                        "012",
                        8);
    assert_int_equal(d->ops->read(f, bytes, 8, 10), 5);
    assert_memory_equal(bytes, "56789", 5);
    assert_int_equal(d->ops->read(f, bytes, 8, 15), 0);
    assert_int_equal(d->ops->read(f, bytes, 8, 1 << 20), 0);
    d->ops->close(f);
}

static void a_file_opened_for_reading_is_not_written(void **state)
{
    struct disk *d = disk_of(state);
    struct disk_file *f;

    fixture_put_file(d, "a", "old");
    f = fixture_open_file(d, "a", 0);
    assert_int_equal(d->ops->write(f, "new", 3, 0), -EBADF);
    assert_true(d->ops->truncate(f, 0) < 0);
    assert_null(d->ops->map(f, 0, BLOCK, true));
    d->ops->close(f);
    expect_file(d, "a", "old");
}

static void a_file_that_shrinks_and_grows_has_zeros_at_its_end(void **state)
{
    struct disk *d = disk_of(state);
    struct disk_file *f = fixture_open_file(d, "a", DISK_WRITE | DISK_CREATE);
    struct stat st;
    char bytes[10];

    assert_int_equal(d->ops->write(f, "0123456789", 10, 0), 0);
    assert_int_equal(d->ops->truncate(f, 4), 0);
    assert_int_equal(d->ops->truncate(f, 9), 0);
    assert_int_equal(d->ops->read(f, bytes, 10, 0), 9);
    assert_memory_equal(bytes, "0123\0\0\0\0\0", 9);
    assert_int_equal(d->ops->file_stat(f, &st), 0);
    assert_int_equal(st.st_size, 9);
    d->ops->close(f);
}

static void data_and_holes_are_told_apart(void **state)
{
    struct disk *d = disk_of(state);
    struct disk_file *f = fixture_open_file(d, "a", DISK_WRITE | DISK_CREATE);

    assert_int_equal(d->ops->truncate(f, 16 * BLOCK), 0);
    assert_int_equal(d->ops->seek(f, 0, SEEK_DATA), -ENXIO);
    assert_int_equal(d->ops->write(f, "x", 1, 8 * BLOCK + 7), 0);
    assert_int_equal(d->ops->seek(f, 0, SEEK_DATA), 8 * BLOCK);
    assert_int_equal(d->ops->seek(f, 8 * BLOCK + 9, SEEK_DATA), 8 * BLOCK + 9);
    assert_int_equal(d->ops->seek(f, 8 * BLOCK, SEEK_HOLE), 9 * BLOCK);
    assert_int_equal(d->ops->seek(f, 3, SEEK_HOLE), 3);
    assert_int_equal(d->ops->seek(f, 9 * BLOCK, SEEK_DATA), -ENXIO);
    assert_int_equal(d->ops->seek(f, 16 * BLOCK, SEEK_HOLE), -ENXIO);
    assert_int_equal(
        d->ops->allocate(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8 * BLOCK, 2 * BLOCK), 0);
    assert_int_equal(d->ops->seek(f, 0, SEEK_DATA), -ENXIO);
    d->ops->close(f);
}

static void the_end_of_a_file_is_a_hole(void **state)
{
    struct disk *d = disk_of(state);
    struct disk_file *f = fixture_open_file(d, "a", DISK_WRITE | DISK_CREATE);

    assert_int_equal(d->ops->write(f, "0123456789", 10, 0), 0);
    assert_int_equal(d->ops->seek(f, 0, SEEK_DATA), 0);
    assert_int_equal(d->ops->seek(f, 2, SEEK_HOLE), 10);
    assert_int_equal(d->ops->seek(f, 10, SEEK_DATA), -ENXIO);
    d->ops->close(f);
}

static void space_set_aside_is_no_data(void **state)
{
    struct disk *d = disk_of(state);
    struct disk_file *f = fixture_open_file(d, "a", DISK_WRITE | DISK_CREATE);
    struct stat st;

    assert_int_equal(d->ops->allocate(f, FALLOC_FL_KEEP_SIZE, 0, 4 * BLOCK), 0);
    assert_int_equal(d->ops->file_stat(f, &st), 0);
    assert_int_equal(st.st_size, 0);
    assert_true(st.st_blocks >= 4 * BLOCK / 512);
    assert_int_equal(d->ops->allocate(f, 0, 0, 4 * BLOCK), 0);
    assert_int_equal(d->ops->file_stat(f, &st), 0);
    assert_int_equal(st.st_size, 4 * BLOCK);
    assert_int_equal(d->ops->seek(f, 0, SEEK_DATA), -ENXIO);
    d->ops->close(f);
}

static void a_shared_map_is_the_file(void **state)
{
    struct disk *d = disk_of(state);
    struct disk_file *f = fixture_open_file(d, "a", DISK_WRITE | DISK_CREATE);
    char bytes[4], *p;

    assert_int_equal(d->ops->truncate(f, 4 * BLOCK), 0);
    p = d->ops->map(f, BLOCK, 8 * BLOCK, true);
    assert_non_null(p);
    memcpy(p, "here", 4);
    assert_int_equal(d->ops->read(f, bytes, 4, BLOCK), 4);
    assert_memory_equal(bytes, "here", 4);
    assert_int_equal(d->ops->seek(f, 0, SEEK_DATA), BLOCK);
    assert_int_equal(d->ops->write(f, "gone", 4, BLOCK), 0);
    assert_memory_equal(p, "gone", 4);
    assert_int_equal(d->ops->truncate(f, 100 * BLOCK), 0);
    p[7 * BLOCK] = 'x'; /* after what was the end when it was mapped */
    assert_int_equal(d->ops->sync_map(f, p, 8 * BLOCK), 0);
    d->ops->unmap(f, p, 8 * BLOCK);
    d->ops->close(f);
}

static void a_private_map_stays_with_the_process(void **state)
{
    struct disk *d = disk_of(state);
    struct disk_file *f;
    char *p;

    fixture_put_file(d, "a", "text");
    f = fixture_open_file(d, "a", 0);
    p = d->ops->map(f, 0, 4, false);
    assert_non_null(p);
    assert_memory_equal(p, "text", 4);
    memcpy(p, "mine", 4);
    d->ops->unmap(f, p, 4);
    d->ops->close(f);
    expect_file(d, "a", "text");
}

static void times_are_set_to_what_was_said(void **state)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 1234, .tv_nsec = 5678}};
    struct disk *d = disk_of(state);
    struct disk_file *f = fixture_open_file(d, "a", DISK_WRITE | DISK_CREATE);
    struct stat st;

    assert_int_equal(d->ops->set_times(f, times), 0);
    assert_int_equal(d->ops->file_stat(f, &st), 0);
    assert_int_equal(st.st_mtim.tv_sec, 1234);
    assert_int_equal(st.st_mtim.tv_nsec, 5678);
    d->ops->close(f);
}

static int add_to_text(void *arg, const char *name)
{
    strcat(arg, name);
    strcat(arg, " ");
    return 0;
}

static int stop_at_once(void *arg, const char *name)
{
    (void)name;
    ++*(int *)arg;
    return 77;
}

static void a_list_has_the_names_of_one_directory(void **state)
{
    struct disk *d = disk_of(state);
    char text[100] = "";
    int calls = 0;

    assert_int_equal(d->ops->make_dir(d, "dir"), 0);
    assert_int_equal(d->ops->make_dir(d, "dir"), -EEXIST);
    assert_int_equal(d->ops->make_dir(d, "dir/below"), 0);
    fixture_put_file(d, "dir/below/no", "");
    fixture_put_file(d, "directory", "");
    assert_int_equal(d->ops->list(d, "dir", add_to_text, text), 0);
    assert_string_equal(text, "below ");
    fixture_put_file(d, "dir/a", "");
    assert_int_equal(d->ops->list(d, "dir", stop_at_once, &calls), 77);
    assert_int_equal(calls, 1);
    text[0] = '\0';
    assert_int_equal(d->ops->list(d, "", add_to_text, text), 0);
    assert_int_equal(strlen(text), strlen("dir directory "));
    assert_int_equal(d->ops->list(d, "nothing", add_to_text, text), -ENOENT);
    assert_int_equal(d->ops->list(d, "directory", add_to_text, text), -ENOTDIR);
    assert_int_equal(d->ops->sync_dir(d, "dir"), 0);
}

static void a_rename_replaces_and_takes_along(void **state)
{
    struct disk *d = disk_of(state);

    assert_int_equal(d->ops->make_dir(d, "dir"), 0);
    fixture_put_file(d, "dir/a", "a");
    fixture_put_file(d, "dirt", "dirt");
    fixture_put_file(d, "b", "b");
    assert_int_equal(d->ops->rename(d, "no", "b"), -ENOENT);
    assert_int_equal(d->ops->rename(d, "b", "no/b"), -ENOENT);
    assert_int_equal(d->ops->rename(d, "b", "dir"), -EISDIR);
    assert_int_equal(d->ops->rename(d, "b", "b"), 0);
    assert_int_equal(d->ops->rename(d, "b", "dir/a"), 0);
    expect_file(d, "dir/a", "b");
    assert_int_equal(d->ops->rename(d, "dir", "new"), 0);
    expect_file(d, "new/a", "b");
    expect_file(d, "dirt", "dirt");
}

static void a_directory_replaces_only_an_empty_one(void **state)
{
    struct disk *d = disk_of(state);

    assert_int_equal(d->ops->make_dir(d, "full"), 0);
    assert_int_equal(d->ops->make_dir(d, "empty"), 0);
    fixture_put_file(d, "./full/a", "a");
    assert_int_equal(d->ops->rename(d, "empty", "full"), -ENOTEMPTY);
    assert_int_equal(d->ops->rename(d, "full/", "empty"), 0);
    expect_file(d, "empty/a", "a");
}

static void everything_is_synced_and_space_is_told(void **state)
{
    struct disk *d = disk_of(state);
    struct statvfs s;

    assert_int_equal(d->ops->sync_all(d), 0);
    assert_int_equal(d->ops->space(d, &s), 0);
    assert_true(s.f_bsize > 0 && s.f_blocks > 0 && s.f_bfree <= s.f_blocks);
}

static void a_removed_file_lasts_until_it_is_closed(void **state)
{
    struct disk *d = disk_of(state);
    struct disk_file *f, *gone;
    char bytes[4];

    fixture_put_file(d, "a", "text");
    f = fixture_open_file(d, "a", 0);
    assert_int_equal(d->ops->remove(d, "a"), 0);
    assert_int_equal(d->ops->remove(d, "a"), -ENOENT);
    assert_int_equal(d->ops->open(d, "a", 0, &gone), -ENOENT);
    assert_int_equal(d->ops->read(f, bytes, 4, 0), 4);
    assert_memory_equal(bytes, "text", 4);
    d->ops->close(f);
}

static void a_whole_file_is_read_up_to_a_limit(void **state)
{
    struct disk *d = disk_of(state);
    char *bytes;
    size_t len;

    fixture_put_file(d, "a", "text");
    expect_file(d, "a", "text");
    fixture_put_file(d, "empty", "");
    expect_file(d, "empty", "");
    assert_int_equal(disk_read_file(d, "a", 3, &bytes, &len), -EFBIG);
    assert_null(bytes);
    assert_int_equal(disk_read_file(d, "no", 3, &bytes, &len), -ENOENT);
}

static void a_file_is_replaced_whole(void **state)
{
    struct disk *d = disk_of(state);
    char text[100] = "";

    assert_int_equal(d->ops->make_dir(d, "dir"), 0);
    fixture_put_file(d, "dir/a.new", "left by a process that ended here, and longer");
    assert_int_equal(disk_replace_file(d, "dir/a", "old", 3), 0);
    expect_file(d, "dir/a", "old");
    assert_int_equal(disk_replace_file(d, "dir/a", "new", 3), 0);
    expect_file(d, "dir/a", "new");
    assert_int_equal(d->ops->list(d, "dir", add_to_text, text), 0);
    assert_string_equal(text, "a ");
    assert_int_equal(disk_replace_file(d, "no/a", "new", 3), -ENOENT);
}

/* ---- disk: files alone ---- */

static void links_are_not_followed(void **state)
{
    struct place *p = *state;
    struct disk_file *f;
    struct stat st;
    char *link = mem_printf("%s/link", p->dir);

    fixture_put_file(p->disk, "a", "text");
    assert_int_equal(symlink("a", link), 0);
    assert_int_equal(p->disk->ops->open(p->disk, "link", 0, &f), -ELOOP);
    assert_int_equal(p->disk->ops->stat(p->disk, "link", &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    free(link);
}

static void an_absolute_path_stands_for_itself(void **state)
{
    struct place *p = *state;
    char *path = mem_printf("%s/a", p->dir);
    struct disk *other;
    char *dir = fixture_make_dir();

    fixture_put_file(p->disk, "a", "text");
    assert_int_equal(disk_posix(dir, &other), 0);
    expect_file(other, path, "text");
    other->ops->free(other);
    fixture_remove_dir(dir);
    free(path);
}

static void a_file_is_closed_by_exec(void **state)
{
    struct place *p = *state;
    char *path = mem_printf("%s/a", p->dir);
    struct disk_file *f = fixture_open_file(p->disk, "a", DISK_WRITE | DISK_CREATE);
    struct stat wanted, st;
    int fd = 3;

    assert_int_equal(stat(path, &wanted), 0);
    while (fstat(fd, &st) < 0 || st.st_dev != wanted.st_dev || st.st_ino != wanted.st_ino)
        assert_true(++fd < 1024);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    p->disk->ops->close(f);
    free(path);
}

static void a_directory_that_is_none_is_refused(void **state)
{
    struct place *p = *state;
    char *path = mem_printf("%s/a", p->dir);
    struct disk *d;

    assert_int_equal(disk_posix(path, &d), -ENOENT);
    fixture_put_file(p->disk, "a", "");
    assert_int_equal(disk_posix(path, &d), -ENOTDIR);
    assert_null(d);
    free(path);
}

/* ---- disk: memory alone ---- */

static void a_file_that_is_replaced_is_the_old_or_the_new_one(void **state)
{
    struct disk *d;
    uint64_t n, seen_old = 0, seen_new = 0;
    bool ended;
    char *bytes;
    size_t len;

    (void)state;
    for (n = 1, ended = true; ended; n++) {
        d = memdisk_new();
        fixture_put_file(d, "a", "old");
        memdisk_die_after(d, n);
        memdisk_tear(d, 512 * (n % 2));
        assert_int_equal(disk_replace_file(d, "a", "newer", 5), n <= 6 ? -EIO : 0);
        ended = memdisk_dead(d);
        memdisk_revive(d);
        assert_int_equal(disk_read_file(d, "a", 100, &bytes, &len), 0);
        assert_true(strcmp(bytes, "old") == 0 || strcmp(bytes, "newer") == 0);
        ++*(strcmp(bytes, "old") == 0 ? &seen_old : &seen_new);
        free(bytes);
        d->ops->free(d);
    }
    assert_int_equal(seen_old, 5); /* open, truncate, write, sync, rename */
    assert_int_equal(seen_new, 2); /* sync of the directory, and all went well */
}

static void a_replacement_that_fails_leaves_the_old_file_alone(void **state)
{
    struct disk *d = memdisk_new();
    uint64_t n;

    (void)state;
    fixture_put_file(d, "a", "old");
    for (n = 1; n <= 5; n++) {
        memdisk_fail_after(d, n, ENOSPC);
        assert_int_equal(disk_replace_file(d, "a", "new", 3), -ENOSPC);
        expect_file(d, "a", "old");
        assert_false(memdisk_has(d, "a.new"));
    }
    d->ops->free(d);
}

static void operations_that_change_something_are_counted(void **state)
{
    struct disk *d = memdisk_new();
    struct disk_file *f = fixture_open_file(d, "a", DISK_WRITE | DISK_CREATE);
    char bytes[4];

    (void)state;
    assert_int_equal(memdisk_operations(d), 1);
    d->ops->write(f, "text", 4, 0);
    d->ops->sync(f);
    d->ops->truncate(f, 2);
    assert_int_equal(memdisk_operations(d), 4);
    d->ops->read(f, bytes, 4, 0);
    d->ops->seek(f, 0, SEEK_DATA);
    d->ops->remove(d, "no");
    d->ops->close(fixture_open_file(d, "a", DISK_WRITE | DISK_CREATE));
    assert_int_equal(memdisk_operations(d), 4);
    d->ops->close(f);
    d->ops->free(d);
}

static void the_nth_operation_fails_and_no_other(void **state)
{
    struct disk *d = memdisk_new();
    struct disk_file *f = fixture_open_file(d, "a", DISK_WRITE | DISK_CREATE);

    (void)state;
    memdisk_fail_after(d, 2, EDQUOT);
    assert_int_equal(d->ops->write(f, "one", 3, 0), 0);
    assert_int_equal(d->ops->write(f, "two", 3, 0), -EDQUOT);
    assert_int_equal(d->ops->write(f, "3", 1, 0), 0);
    d->ops->close(f);
    expect_file(d, "a", "3ne");
    d->ops->free(d);
}

static void a_write_tears_at_a_sector(void **state)
{
    struct disk *d = memdisk_new();
    struct disk_file *f = fixture_open_file(d, "a", DISK_WRITE | DISK_CREATE);
    char bytes[2048], found[2048];

    (void)state;
    memset(bytes, 'o', sizeof(bytes));
    d->ops->write(f, bytes, sizeof(bytes), 0);
    memset(bytes, 'n', sizeof(bytes));
    memdisk_tear(d, 1024);
    memdisk_fail_after(d, 1, EIO);
    assert_int_equal(d->ops->write(f, bytes, sizeof(bytes), 0), -EIO);
    memdisk_peek(d, "a", 0, found, sizeof(found));
    assert_memory_equal(found, bytes, 1024);
    memset(bytes, 'o', sizeof(bytes));
    assert_memory_equal(found + 1024, bytes, 1024);
    d->ops->close(f);
    d->ops->free(d);
}

static void nothing_works_in_a_process_that_ended(void **state)
{
    struct disk *d = memdisk_new();
    struct disk_file *f, *g;
    char *p, byte;

    (void)state;
    fixture_put_file(d, "a", "text");
    f = fixture_open_file(d, "a", DISK_WRITE);
    p = d->ops->map(f, 0, BLOCK, true);
    p[0] = 'T';
    memdisk_die_after(d, 1);
    assert_int_equal(d->ops->write(f, "lost", 4, 0), -EIO);
    p[1] = 'E'; /* after its end: nobody ever sees it */
    assert_int_equal(d->ops->read(f, &byte, 1, 0), -EIO);
    assert_int_equal(d->ops->open(d, "a", 0, &g), -EIO);
    assert_int_equal(d->ops->make_dir(d, "dir"), -EIO);
    assert_true(memdisk_dead(d));
    memdisk_revive(d);
    assert_int_equal(d->ops->write(f, "lost", 4, 0), -EIO);
    assert_int_equal(d->ops->sync(f), -EIO);
    d->ops->unmap(f, p, BLOCK);
    d->ops->close(f);
    expect_file(d, "a", "Text");
    d->ops->free(d);
}

static void a_full_disk_takes_what_fits(void **state)
{
    struct disk *d = memdisk_new();
    struct disk_file *f = fixture_open_file(d, "a", DISK_WRITE | DISK_CREATE);
    char bytes[4 * BLOCK];
    struct stat st;

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    memdisk_limit(d, 3 * BLOCK);
    assert_int_equal(d->ops->write(f, bytes, sizeof(bytes), 100), -ENOSPC);
    assert_int_equal(d->ops->file_stat(f, &st), 0);
    assert_int_equal(st.st_size, 3 * BLOCK);
    assert_int_equal(memdisk_used(d), 3 * BLOCK);
    assert_int_equal(d->ops->write(f, bytes, BLOCK, BLOCK), 0); /* has room already */
    assert_int_equal(d->ops->allocate(f, 0, 0, 4 * BLOCK), -ENOSPC);
    assert_int_equal(d->ops->truncate(f, BLOCK), 0);
    assert_int_equal(memdisk_used(d), BLOCK);
    assert_int_equal(d->ops->allocate(f, FALLOC_FL_KEEP_SIZE, BLOCK, 2 * BLOCK), 0);
    assert_int_equal(d->ops->write(f, bytes, BLOCK, 4 * BLOCK), -ENOSPC);
    assert_int_equal(d->ops->write(f, bytes, BLOCK, 2 * BLOCK), 0);
    d->ops->close(f);
    assert_int_equal(d->ops->remove(d, "a"), 0);
    assert_int_equal(memdisk_used(d), 0);
    d->ops->free(d);
}

static void a_copy_goes_its_own_way(void **state)
{
    struct disk *d = memdisk_new(), *copy;

    (void)state;
    d->ops->make_dir(d, "dir");
    fixture_put_file(d, "dir/a", "text");
    copy = memdisk_copy(d);
    assert_int_equal(memdisk_operations(copy), memdisk_operations(d));
    memdisk_flip(copy, "dir/a", 1, 5);
    expect_file(d, "dir/a", "text");
    expect_file(copy, "dir/a", "tExt");
    memdisk_poke(d, "dir/a", 6, "!", 1);
    assert_int_equal(memdisk_size(d, "dir/a"), 7);
    memdisk_cut(d, "dir/a", 2);
    expect_file(d, "dir/a", "te");
    assert_int_equal(memdisk_size(copy, "dir/a"), 4);
    copy->ops->free(copy);
    d->ops->free(d);
}

/* ---- damaged manifests ---- */

#define BOTH(test)                                                                                 \
    {#test " (files)", test, on_files, leave, NULL},                                               \
    {                                                                                              \
#test " (memory)", test, in_memory, leave, NULL                                            \
    }

#define FILES(test) cmocka_unit_test_setup_teardown(test, on_files, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_file_is_made_only_when_that_is_asked_for),
        BOTH(a_read_is_short_only_at_the_end),
        BOTH(a_file_opened_for_reading_is_not_written),
        BOTH(a_file_that_shrinks_and_grows_has_zeros_at_its_end),
        BOTH(data_and_holes_are_told_apart),
        BOTH(the_end_of_a_file_is_a_hole),
        BOTH(space_set_aside_is_no_data),
        BOTH(a_shared_map_is_the_file),
        BOTH(a_private_map_stays_with_the_process),
        BOTH(times_are_set_to_what_was_said),
        BOTH(a_list_has_the_names_of_one_directory),
        BOTH(a_rename_replaces_and_takes_along),
        BOTH(a_directory_replaces_only_an_empty_one),
        BOTH(everything_is_synced_and_space_is_told),
        BOTH(a_removed_file_lasts_until_it_is_closed),
        BOTH(a_whole_file_is_read_up_to_a_limit),
        BOTH(a_file_is_replaced_whole),
        FILES(links_are_not_followed),
        FILES(an_absolute_path_stands_for_itself),
        FILES(a_file_is_closed_by_exec),
        FILES(a_directory_that_is_none_is_refused),
        cmocka_unit_test(a_file_that_is_replaced_is_the_old_or_the_new_one),
        cmocka_unit_test(a_replacement_that_fails_leaves_the_old_file_alone),
        cmocka_unit_test(operations_that_change_something_are_counted),
        cmocka_unit_test(the_nth_operation_fails_and_no_other),
        cmocka_unit_test(a_write_tears_at_a_sector),
        cmocka_unit_test(nothing_works_in_a_process_that_ended),
        cmocka_unit_test(a_full_disk_takes_what_fits),
        cmocka_unit_test(a_copy_goes_its_own_way),
    };

    return cmocka_run_group_tests_name("pages/disk", tests, NULL, NULL);
}
