/* pages/manifest.h: every file of a base, and what differs from it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/err.h"
#include "common/io.h"
#include "common/mem.h"
#include "fixture.h"
#include "memdisk.h"
#include "pages/disk.h"
#include "pages/manifest.h"
#include "pages/page.h"

/* ---- manifest ---- */

/* A data directory with something of everything, what lies outside, and its manifest. */
struct base {
    char *dir, *outside;
    struct disk *disk, *out;
    struct err err;
};

static char *below(const char *dir, const char *path)
{
    return mem_printf("%s/%s", dir, path);
}

static void put(const char *dir, const char *path, const char *text)
{
    char *full = below(dir, path);

    assert_int_equal(io_write_file(AT_FDCWD, full, text, strlen(text), NULL), 0);
    free(full);
}

static void make_folder(const char *dir, const char *path)
{
    char *full = below(dir, path);

    assert_int_equal(mkdir(full, 0700), 0);
    free(full);
}

static void put_link(const char *dir, const char *path, const char *target)
{
    char *full = below(dir, path);

    assert_int_equal(symlink(target, full), 0);
    free(full);
}

static void remove_file(const char *dir, const char *path)
{
    char *full = below(dir, path);

    assert_int_equal(unlink(full), 0);
    free(full);
}

static void put_second_name(const char *dir, const char *path, const char *second)
{
    char *a = below(dir, path), *b = below(dir, second);

    assert_int_equal(link(a, b), 0);
    free(a);
    free(b);
}

static int make_base(void **state)
{
    struct base *b = mem_alloc(sizeof(*b));

    b->dir = fixture_make_dir();
    b->outside = fixture_make_dir();
    make_folder(b->dir, "base");
    make_folder(b->dir, "base/5");
    make_folder(b->dir, "global");
    make_folder(b->dir, "pg_tblspc");
    put(b->dir, "PG_VERSION", "16\n");
    put(b->dir, "base/5/1259", "pages");
    put(b->dir, "base/5/1259_fsm", "");
    put(b->dir, "base/5/16384", "more pages");
    put(b->dir, "global/pg_control", "control");
    *state = b;
    b->out = memdisk_new();
    return disk_posix(b->dir, &b->disk);
}

static int remove_base(void **state)
{
    struct base *b = *state;

    b->disk->ops->free(b->disk);
    b->out->ops->free(b->out);
    fixture_remove_dir(b->dir);
    fixture_remove_dir(b->outside);
    free(b);
    return 0;
}

static struct manifest *add_base(struct base *b)
{
    struct manifest *m = NULL;

    if (manifest_write(b->dir, b->out, "files", &b->err) < 0)
        fail_msg("%s", b->err.text);
    if (manifest_open(b->out, "files", &m, &b->err) < 0)
        fail_msg("%s", b->err.text);
    return m;
}

static uint32_t entry_at(const struct manifest *m, const char *path)
{
    char *copy = mem_strdup(path), *rest = copy, *name;
    uint32_t i = 0;

    while (i != MANIFEST_NONE && (name = strsep(&rest, "/")))
        i = manifest_find(m, i, name);
    free(copy);
    return i;
}

static void expect_refused(struct base *b, int code, const char *word)
{
    assert_int_equal(manifest_write(b->dir, b->out, "files", &b->err), -code);
    assert_int_equal(b->err.code, code);
    if (!strstr(b->err.text, word))
        fail_msg("\"%s\" is not in: %s", word, b->err.text);
    assert_false(memdisk_has(b->out, "files"));
}

static void a_manifest_has_every_file(void **state)
{
    struct base *b = *state;
    struct manifest *m = add_base(b);
    const struct manifest_entry *e;
    struct stat st;
    uint32_t i;
    char *path;

    assert_int_equal(manifest_entries(m), 10);
    assert_string_equal(manifest_name(m, 0), "");
    for (i = 0; i < manifest_entries(m); i++) {
        path = manifest_path(m, i);
        e = manifest_entry(m, i);
        assert_int_equal(b->disk->ops->stat(b->disk, path, &st), 0);
        assert_int_equal(e->mode, st.st_mode);
        assert_int_equal(e->inode, st.st_ino);
        assert_int_equal(e->size, st.st_size);
        assert_int_equal(e->ctime_ns, st.st_ctim.tv_sec * 1000000000 + st.st_ctim.tv_nsec);
        assert_int_equal(entry_at(m, *path ? path : ""), i ? i : MANIFEST_NONE);
        free(path);
    }
    i = entry_at(m, "base/5/1259_fsm");
    assert_string_equal(manifest_name(m, i), "1259_fsm");
    assert_string_equal(manifest_target(m, i), "");
    assert_int_equal(entry_at(m, "base/5/125"), MANIFEST_NONE);
    assert_int_equal(entry_at(m, "PG_VERSION/5"), MANIFEST_NONE);
    assert_int_equal(manifest_check(m, b->disk, &b->err), 0);
    manifest_close(m);
}

static void every_manifest_has_an_id_of_its_own(void **state)
{
    struct base *b = *state;
    struct manifest *m = add_base(b);
    uint64_t id = manifest_id(m);

    manifest_close(m);
    m = add_base(b);
    assert_int_not_equal(manifest_id(m), id);
    manifest_close(m);
}

static void an_empty_directory_has_a_manifest(void **state)
{
    struct base *b = *state;
    struct manifest *m;

    assert_int_equal(manifest_write(b->outside, b->out, "files", &b->err), 0);
    assert_int_equal(manifest_open(b->out, "files", &m, &b->err), 0);
    assert_int_equal(manifest_entries(m), 1);
    assert_int_equal(manifest_find(m, 0, "a"), MANIFEST_NONE);
    manifest_close(m);
}

static void sockets_and_pipes_are_left_out(void **state)
{
    struct base *b = *state;
    char *pipe = below(b->dir, "pipe");
    struct manifest *m;

    assert_int_equal(mkfifo(pipe, 0600), 0);
    m = add_base(b);
    assert_int_equal(entry_at(m, "pipe"), MANIFEST_NONE);
    assert_int_equal(manifest_check(m, b->disk, &b->err), 0);
    manifest_close(m);
    free(pipe);
}

static void two_names_of_a_file_are_noticed(void **state)
{
    struct base *b = *state;
    struct manifest *m;

    put_second_name(b->dir, "base/5/16384", "global/16384");
    m = add_base(b);
    assert_int_equal(manifest_entry(m, entry_at(m, "global/16384"))->first,
                     manifest_entry(m, entry_at(m, "base/5/16384"))->first);
    manifest_close(m);
}

static void further_names_of_a_file_lead_to_its_first(void **state)
{
    struct base *b = *state;
    struct manifest *m;
    uint32_t first, second;

    put_second_name(b->dir, "base/5/16384", "again");
    put_second_name(b->dir, "base/5/16384", "global/16384");
    m = add_base(b);
    first = entry_at(m, "again");
    second = entry_at(m, "base/5/16384");
    assert_int_equal(manifest_entry(m, first)->first, first);
    assert_int_equal(manifest_entry(m, second)->first, first);
    assert_int_equal(manifest_entry(m, entry_at(m, "global/16384"))->first, first);
    second = entry_at(m, "base/5/1259");
    assert_int_equal(manifest_entry(m, second)->first, second);
    manifest_close(m);
}

static void links_that_stay_inside_are_kept(void **state)
{
    static const char *const targets[] = {"PG_VERSION", "./base/../global", "no/such/file", ".",
                                          "base/5/../..//PG_VERSION"};
    struct base *b = *state;
    struct manifest *m;
    char name[] = "link0";
    size_t i;

    for (i = 0; i < 5; i++, name[4]++)
        put_link(b->dir, name, targets[i]);
    put_link(b->dir, "base/5/up", "../../global");
    m = add_base(b);
    for (i = 0, name[4] = '0'; i < 5; i++, name[4]++)
        assert_string_equal(manifest_target(m, entry_at(m, name)), targets[i]);
    assert_string_equal(manifest_target(m, entry_at(m, "base/5/up")), "../../global");
    assert_int_equal(manifest_check(m, b->disk, &b->err), 0);
    manifest_close(m);
}

static void links_that_lead_outside_are_refused_by_name(void **state)
{
    static const char *const targets[] = {"/etc/passwd",     "../..",         "../../x",
                                          "5/../../../base", "./..///./../.", "../base/../../x"};
    struct base *b = *state;
    size_t i;

    for (i = 0; i < 6; i++) {
        put_link(b->dir, "base/out", targets[i]);
        expect_refused(b, EINVAL, "base/out of");
        assert_non_null(strstr(b->err.text, targets[i]));
        remove_file(b->dir, "base/out");
    }
    put_link(b->dir, "base/out", "..");
    put_link(b->dir, "out", "..");
    expect_refused(b, EINVAL, "out of");
    remove_file(b->dir, "out");
    manifest_close(add_base(b));
}

/* By their components they stay inside. */
static void links_that_lead_outside_through_others_are_refused(void **state)
{
    static const char *const targets[] = {
        "base/5/up/../x",      "base/5/up/base/5/up/..", "over/../../x", "none/../x",
        "base/5/up/none/../x", "PG_VERSION/../../x",     "out2/.."};
    struct base *b = *state;
    size_t i;

    put_link(b->dir, "base/5/up", "../..");
    put_link(b->dir, "over", "base/5");
    put_link(b->dir, "out2", "base/5/up");
    for (i = 0; i < 7; i++) {
        put_link(b->dir, "out", targets[i]);
        if (i == 2)
            remove_file(b->dir, "over"), put_link(b->dir, "over", "base");
        expect_refused(b, EINVAL, "out of");
        assert_non_null(strstr(b->err.text, targets[i]));
        remove_file(b->dir, "out");
    }
    manifest_close(add_base(b));
}

/* The kernel follows none of them to its end. */
static void links_that_lead_nowhere_are_kept(void **state)
{
    char name[16], target[16];
    struct base *b = *state;
    int i;

    put_link(b->dir, "self", "self");
    put_link(b->dir, "a", "base/b");
    put_link(b->dir, "base/b", "../a");
    put_link(b->dir, "chain0", "base");
    for (i = 1; i <= 60; i++) {
        snprintf(name, sizeof(name), "chain%d", i);
        snprintf(target, sizeof(target), "chain%d", i - 1);
        put_link(b->dir, name, target);
    }
    put_link(b->dir, "none", "self/x");
    put_link(b->dir, "out", "self/../..");
    expect_refused(b, EINVAL, "out of");
    remove_file(b->dir, "out");
    manifest_close(add_base(b));
}

static void tablespaces_are_taken_in(void **state)
{
    struct base *b = *state;
    struct manifest *m;
    char *path, *wanted = below(b->outside, "ts/PG_16/7");
    char *space = below(b->outside, "ts");
    uint32_t i;

    make_folder(b->outside, "ts");
    make_folder(b->outside, "ts/PG_16");
    put(b->outside, "ts/PG_16/7", "pages");
    put_link(b->dir, "pg_tblspc/16400", space);
    put_link(b->dir, "pg_tblspc/9", b->outside);
    m = add_base(b);
    i = entry_at(m, "pg_tblspc/16400");
    assert_string_equal(manifest_target(m, i), "../.tablespaces/16400");
    assert_true(S_ISLNK(manifest_entry(m, i)->mode));
    i = entry_at(m, ".tablespaces");
    assert_int_equal(manifest_entry(m, i)->flags, MANIFEST_MADE);
    assert_int_equal(manifest_entry(m, i)->children, 2);
    i = entry_at(m, ".tablespaces/16400");
    assert_int_equal(manifest_entry(m, i)->flags, MANIFEST_OUTSIDE);
    assert_string_equal(manifest_target(m, i), "");
    path = manifest_path(m, entry_at(m, ".tablespaces/16400/PG_16/7"));
    assert_string_equal(path, wanted);
    assert_int_not_equal(entry_at(m, ".tablespaces/9/ts/PG_16/7"), MANIFEST_NONE);
    assert_int_equal(manifest_check(m, b->disk, &b->err), 0);
    put(b->outside, "ts/PG_16/8", "");
    assert_int_equal(manifest_check(m, b->disk, &b->err), -ESTALE);
    assert_non_null(strstr(b->err.text, "/ts/PG_16 was modified"));
    manifest_close(m);
    free(path);
    free(wanted);
    free(space);
}

static void a_tablespace_that_is_not_there_is_refused(void **state)
{
    struct base *b = *state;
    char *file = below(b->dir, "PG_VERSION");

    put_link(b->dir, "pg_tblspc/16400", "/no/such/directory");
    expect_refused(b, ENOENT, "pg_tblspc/16400");
    remove_file(b->dir, "pg_tblspc/16400");
    put_link(b->dir, "pg_tblspc/16400", file);
    expect_refused(b, ENOTDIR, "PG_VERSION, which is not a directory");
    remove_file(b->dir, "pg_tblspc/16400");
    put_link(b->dir, "pg_tblspc/12a", b->outside);
    expect_refused(b, EINVAL, "pg_tblspc/12a");
    free(file);
}

static void a_name_that_tablespaces_need_is_refused(void **state)
{
    struct base *b = *state;

    put(b->dir, ".tablespaces", "");
    manifest_close(add_base(b));
    b->out->ops->remove(b->out, "files");
    put_link(b->dir, "pg_tblspc/1", b->outside);
    expect_refused(b, EEXIST, ".tablespaces");
}

static void links_in_a_tablespace_must_stay_there(void **state)
{
    struct base *b = *state;

    put_link(b->dir, "pg_tblspc/1", b->outside);
    put_link(b->outside, "back", "../x");
    expect_refused(b, EINVAL, "/back of");
}

static void a_tablespace_that_holds_the_data_directory_ends(void **state)
{
    struct base *b = *state;

    put_link(b->dir, "pg_tblspc/1", b->dir);
    expect_refused(b, EINVAL, "pg_tblspc/1 of");
}

static void a_wal_directory_outside_is_a_directory(void **state)
{
    struct base *b = *state;
    char *path, *wanted = below(b->outside, "archive_status");
    struct manifest *m;
    uint32_t i;

    make_folder(b->outside, "archive_status");
    put_link(b->dir, "pg_wal", b->outside);
    m = add_base(b);
    i = entry_at(m, "pg_wal");
    assert_true(S_ISDIR(manifest_entry(m, i)->mode));
    assert_int_equal(manifest_entry(m, i)->flags, MANIFEST_OUTSIDE);
    path = manifest_path(m, i);
    assert_string_equal(path, b->outside);
    free(path);
    path = manifest_path(m, entry_at(m, "pg_wal/archive_status"));
    assert_string_equal(path, wanted);
    free(path);
    assert_int_equal(manifest_check(m, b->disk, &b->err), 0);
    manifest_close(m);
    free(wanted);
}

static void only_the_wal_directory_of_the_root_may_be_outside(void **state)
{
    struct base *b = *state;

    put_link(b->dir, "base/pg_wal", b->outside);
    expect_refused(b, EINVAL, "base/pg_wal of");
    remove_file(b->dir, "base/pg_wal");
    put_link(b->dir, "pg_wal", "/no/such/directory");
    expect_refused(b, ENOENT, "pg_wal is a link");
}

static void a_directory_that_cannot_be_read_is_named(void **state)
{
    struct base *b = *state;

    assert_int_equal(manifest_write("/no/such/directory", b->out, "files", &b->err), -ENOENT);
    assert_non_null(strstr(b->err.text, "/no/such/directory"));
    memdisk_limit(b->out, 0);
    assert_int_equal(manifest_write(b->dir, b->out, "files", &b->err), -ENOSPC);
    memdisk_limit(b->out, UINT64_MAX);
    assert_int_equal(manifest_write(b->dir, b->out, "files", NULL), 0);
}

/* ---- manifest_check ---- */

/* A disk that says what a test wants of one path. */
static struct {
    struct disk disk;
    struct disk_ops ops;
    struct disk *real;
    const char *path;
    int rc;
    mode_t mode;
    ino_t inode;
    off_t size;
    time_t mtime, ctime;
} liar;

static int lie(struct disk *d, const char *path, struct stat *st)
{
    int rc = liar.real->ops->stat(liar.real, path, st);

    (void)d;
    if (strcmp(path, liar.path) != 0 || rc)
        return rc;
    st->st_mode ^= liar.mode;
    st->st_ino += liar.inode;
    st->st_size += liar.size;
    st->st_mtim.tv_sec += liar.mtime;
    st->st_ctim.tv_sec += liar.ctime;
    return liar.rc;
}

static void expect_difference(struct base *b, const struct manifest *m, int code, const char *text)
{
    liar.ops.stat = lie;
    liar.disk.ops = &liar.ops;
    liar.real = b->disk;
    assert_int_equal(manifest_check(m, &liar.disk, &b->err), -code);
    if (!strstr(b->err.text, text))
        fail_msg("\"%s\" is not in: %s", text, b->err.text);
    assert_true(code != ESTALE || strstr(b->err.text, "added anew"));
    assert_int_equal(manifest_check(m, &liar.disk, NULL), -code);
    liar.rc = 0;
    liar.mode = 0;
    liar.inode = 0;
    liar.size = 0;
    liar.mtime = liar.ctime = 0;
}

static void whatever_differs_is_named(void **state)
{
    struct base *b = *state;
    struct manifest *m = add_base(b);

    liar.path = "base/5/1259";
    liar.rc = -ENOENT;
    expect_difference(b, m, ESTALE, "base/5/1259 is missing");
    liar.rc = -ENOTDIR;
    expect_difference(b, m, ESTALE, "base/5/1259 is missing");
    liar.rc = -EACCES;
    expect_difference(b, m, EACCES, "base/5/1259");
    liar.mode = S_IFREG ^ S_IFLNK;
    expect_difference(b, m, ESTALE, "base/5/1259 is of another type");
    liar.inode = 1;
    expect_difference(b, m, ESTALE, "base/5/1259 is another file (its inode");
    liar.size = 1;
    expect_difference(b, m, ESTALE, "base/5/1259 has another size");
    liar.mtime = 1;
    expect_difference(b, m, ESTALE, "base/5/1259 was modified");
    liar.ctime = 1;
    expect_difference(b, m, ESTALE, "base/5/1259 was changed (its ctime");
    liar.path = "base/5";
    liar.mtime = 1;
    expect_difference(b, m, ESTALE, "base/5 was modified: files were added");
    liar.path = "";
    liar.ctime = 1;
    expect_difference(b, m, ESTALE, "directory itself was changed");
    manifest_close(m);
}

static void an_open_file_is_compared_with_its_entry(void **state)
{
    struct base *b = *state;
    struct manifest *m = add_base(b);
    const struct manifest_entry *e = manifest_entry(m, entry_at(m, "PG_VERSION"));
    const struct manifest_entry made = {.mode = S_IFDIR | 0700, .flags = MANIFEST_MADE};
    struct disk_file *f = fixture_open_file(b->disk, "PG_VERSION", 0);
    struct stat st;

    assert_int_equal(b->disk->ops->file_stat(f, &st), 0);
    assert_true(manifest_same(e, &st));
    assert_true(manifest_same(&made, &st));
    st.st_ctim.tv_nsec ^= 1;
    assert_false(manifest_same(e, &st));
    b->disk->ops->close(f);
    manifest_close(m);
}

static void a_base_that_was_written_is_found_out(void **state)
{
    struct base *b = *state;
    struct manifest *m = add_base(b);
    struct disk_file *f = fixture_open_file(b->disk, "base/5/16384", DISK_WRITE);

    assert_int_equal(b->disk->ops->write(f, "M", 1, 0), 0);
    b->disk->ops->close(f);
    assert_int_equal(manifest_check(m, b->disk, &b->err), -ESTALE);
    assert_non_null(strstr(b->err.text, "base/5/16384 was modified"));
    manifest_close(m);
}

static void a_file_that_was_added_shows(void **state)
{
    struct base *b = *state;
    struct manifest *m = add_base(b);

    put(b->dir, "global/new", "");
    assert_int_equal(manifest_check(m, b->disk, &b->err), -ESTALE);
    assert_non_null(strstr(b->err.text, "global was modified: files were added"));
    manifest_close(m);
}

/* ---- damaged manifests ---- */

struct picture {
    char *bytes;
    size_t len;
    struct manifest_header *header;
    struct manifest_entry *entries;
    char *text;
};

static struct picture picture_of(struct base *b, const char *dir)
{
    struct picture p;

    assert_int_equal(manifest_write(dir, b->out, "files", &b->err), 0);
    assert_int_equal(disk_read_file(b->out, "files", 1 << 20, &p.bytes, &p.len), 0);
    p.header = (struct manifest_header *)p.bytes;
    p.entries = (struct manifest_entry *)(p.header + 1);
    p.text = (char *)(p.entries + p.header->count);
    return p;
}

static struct picture take_picture(struct base *b)
{
    put_link(b->dir, "link", "base");
    return picture_of(b, b->dir);
}

static void seal(struct picture *p)
{
    p->header->crc = crc32c(p->header + 1, p->len - sizeof(*p->header));
    p->header->header_crc = crc32c(p->header, offsetof(struct manifest_header, header_crc));
}

static void any_bit_that_flips_is_noticed(void **state)
{
    struct base *b = *state;
    struct picture p = take_picture(b);
    struct manifest *m;
    size_t i;

    for (i = 0; i < p.len * 8; i++) {
        p.bytes[i / 8] ^= (char)(1 << (i % 8));
        assert_true(manifest_from_bytes(p.bytes, p.len, &m, &b->err) < 0);
        assert_null(m);
        p.bytes[i / 8] ^= (char)(1 << (i % 8));
    }
    for (i = 0; i < p.len; i++)
        assert_int_equal(manifest_from_bytes(p.bytes, i, &m, &b->err), -EIO);
    assert_int_equal(manifest_from_bytes(p.bytes, p.len, &m, &b->err), 0);
    manifest_close(m);
    free(p.bytes);
}

static void other_versions_are_refused(void **state)
{
    struct base *b = *state;
    struct picture p = take_picture(b);
    struct manifest *m;

    p.header->version = 2;
    seal(&p);
    assert_int_equal(manifest_from_bytes(p.bytes, p.len, &m, &b->err), -ENOTSUP);
    assert_non_null(strstr(b->err.text, "version 2"));
    p.header->version = 1u << 24;
    assert_int_equal(manifest_from_bytes(p.bytes, p.len, &m, &b->err), -ENOTSUP);
    assert_non_null(strstr(b->err.text, "byte order"));
    free(p.bytes);
}

/* Entry 1 is PG_VERSION, 2 base, 3 global, 4 link, 5 pg_tblspc, 6 base/5, 7 global/pg_control, then
 * three files. */
#define REFUSED(change)                                                                            \
    do {                                                                                           \
        memcpy(copy, p.bytes, p.len);                                                              \
        change;                                                                                    \
        seal(&p);                                                                                  \
        if (manifest_from_bytes(p.bytes, p.len, &m, &b->err) != -EIO)                              \
            fail_msg("taken in: %s", #change);                                                     \
        memcpy(p.bytes, copy, p.len);                                                              \
    } while (0)

/* As a program wrote it that looked at components alone: "link" led to "base", "5/up" to the root.
 */
static void a_link_that_leads_outside_is_refused_when_it_is_read(void **state)
{
    struct base *b = *state;
    struct picture p;
    struct manifest *m;
    char *target;

    put_link(b->dir, "base/5/up", "../..");
    put_link(b->dir, "link", "base/5/up/5");
    p = picture_of(b, b->dir);
    target = p.text + p.entries[4].name + sizeof("link");
    assert_string_equal(target, "base/5/up/5");
    memcpy(target, "base/5/up/..", 11); /* "base/5/up/." */
    seal(&p);
    assert_int_equal(manifest_from_bytes(p.bytes, p.len, &m, &b->err), 0);
    manifest_close(m);
    memcpy(target, "base/../../", 11);
    seal(&p);
    assert_int_equal(manifest_from_bytes(p.bytes, p.len, &m, &b->err), -EINVAL);
    assert_non_null(strstr(b->err.text, "leads out of it: link, to base/../../"));
    free(p.bytes);
}

static void numbers_that_cannot_be_are_refused(void **state)
{
    struct base *b = *state;
    struct picture p = take_picture(b);
    struct manifest_entry *e = p.entries;
    struct manifest *m;
    char *copy = mem_alloc(p.len);

    assert_string_equal(p.text + e[4].name, "link");
    assert_string_equal(p.text + e[7].name, "pg_control");
    REFUSED(p.header->count++);
    REFUSED(p.header->count = 0);
    REFUSED(p.header->count = MANIFEST_NONE);
    REFUSED(p.header->text_bytes--);
    REFUSED(p.header->text_bytes += UINT64_C(1) << 63);
    REFUSED((p.header->count += 1000, p.header->text_bytes -= 1000 * sizeof(*e))); /* around 2^64 */
    REFUSED(e[0].mode = S_IFREG);
    REFUSED(e[0].parent = 1);
    REFUSED(e[0].flags = MANIFEST_OUTSIDE);
    REFUSED(e[0].first = 0);
    REFUSED(e[0].children = 0);
    REFUSED(e[0].children = 4);
    REFUSED(e[0].children = 6);
    REFUSED(e[0].children = UINT32_MAX);
    REFUSED(e[1].mode = S_IFIFO);
    REFUSED(e[1].flags = MANIFEST_MADE);
    REFUSED(e[1].children = 1);
    REFUSED(e[1].first = 2);
    REFUSED(e[1].first = UINT32_MAX);
    REFUSED(e[8].first = 1);
    REFUSED(e[8].first = 2);
    REFUSED(e[4].first = 1);
    REFUSED(e[2].parent = 2);
    REFUSED(e[2].flags = 4);
    REFUSED(e[2].first = 1);
    REFUSED(e[2].children = 0);
    REFUSED(e[2].children = 2);
    REFUSED(e[6].parent = UINT32_MAX);
    REFUSED(e[6].first = 2);
    REFUSED(e[9].name = e[8].name);
    REFUSED(e[9].name = UINT32_MAX);
    REFUSED(e[1].name++);
    REFUSED(e[1].mode = S_IFLNK);
    REFUSED(e[4].mode = S_IFREG);
    REFUSED(e[5].flags = MANIFEST_OUTSIDE);
    free(copy);
    free(p.bytes);
}

static void a_directory_does_not_hold_itself(void **state)
{
    struct base *b = *state;
    struct manifest_entry *e;
    struct manifest *m;
    struct picture p;

    make_folder(b->outside, "dir");
    p = picture_of(b, b->outside);
    assert_int_equal(p.header->count, 2);
    e = p.entries;
    e[0].children = 0;
    e[1].parent = e[1].first = e[1].children = 1;
    seal(&p);
    assert_int_equal(manifest_from_bytes(p.bytes, p.len, &m, &b->err), -EIO);
    assert_non_null(strstr(b->err.text, "is in no directory"));
    free(p.bytes);
}

static void a_further_name_leads_to_a_first_one_at_once(void **state)
{
    struct base *b = *state;
    struct picture p = take_picture(b);
    struct manifest_entry *e = p.entries;
    struct manifest *m;

    e[9].mode = e[10].mode = e[8].mode;
    e[9].inode = e[10].inode = e[8].inode;
    e[9].first = e[10].first = 8;
    seal(&p);
    assert_int_equal(manifest_from_bytes(p.bytes, p.len, &m, &b->err), 0);
    manifest_close(m);
    e[10].first = 9;
    seal(&p);
    assert_int_equal(manifest_from_bytes(p.bytes, p.len, &m, &b->err), -EIO);
    free(p.bytes);
}

static void nothing_is_left_over_in_a_manifest(void **state)
{
    struct base *b = *state;
    struct picture p = take_picture(b);
    struct manifest *m;

    p.bytes = mem_resize(p.bytes, p.len + 1, 1);
    p.bytes[p.len++] = '\0';
    p.header = (struct manifest_header *)p.bytes;
    p.header->text_bytes++;
    seal(&p);
    assert_int_equal(manifest_from_bytes(p.bytes, p.len, &m, &b->err), -EIO);
    assert_non_null(strstr(b->err.text, "more than its directories hold"));
    free(p.bytes);
}

static void names_that_cannot_be_are_refused(void **state)
{
    struct base *b = *state;
    struct picture p = (put(b->dir, "global/pg_controm", ""), take_picture(b));
    struct manifest_entry *e = p.entries;
    struct manifest *m;
    char *copy = mem_alloc(p.len);

    REFUSED(p.text[e[1].name] = '/');
    REFUSED(p.text[e[1].name] = '\0');
    REFUSED(p.text[e[1].name] = 'z'); /* out of order */
    REFUSED(memcpy(p.text + e[3].name, "base", 5));
    assert_string_equal(p.text + e[8].name, "pg_controm");
    REFUSED(memcpy(p.text + e[8].name, "pg_control", 10));
    REFUSED(p.text[e[6].name] = '.');
    REFUSED(p.text[p.header->text_bytes - 1] = 'x');
    REFUSED(p.text[e[5].name - 1] = 'x');
    REFUSED(p.text[0] = 'x');
    free(copy);
    free(p.bytes);
}

static void a_manifest_that_is_none_is_refused_with_its_path(void **state)
{
    struct base *b = *state;
    struct manifest *m;

    assert_int_equal(manifest_open(b->out, "files", &m, &b->err), -ENOENT);
    assert_null(m);
    assert_non_null(strstr(b->err.text, "files: "));
    fixture_put_file(b->out, "files", "");
    assert_int_equal(manifest_open(b->out, "files", &m, &b->err), -EIO);
    fixture_put_file(b->out, "files", "something that is not a manifest, and long enough");
    assert_int_equal(manifest_open(b->out, "files", &m, &b->err), -EIO);
    assert_non_null(strstr(b->err.text, "files: this is not a manifest"));
    assert_int_equal(manifest_open(b->out, "files", &m, NULL), -EIO);
    manifest_close(add_base(b));
    memdisk_flip(b->out, "files", 100, 3);
    assert_int_equal(manifest_open(b->out, "files", &m, &b->err), -EIO);
}

static void a_file_that_nobody_touches_costs_less_than_64_bytes(void **state)
{
    (void)state;
    assert_true(sizeof(struct manifest_entry) + sizeof("16384_fsm") < 64);
    assert_int_equal(sizeof(struct manifest_header), 40);
}

#define BASE(test) cmocka_unit_test_setup_teardown(test, make_base, remove_base)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BASE(a_manifest_has_every_file),
        BASE(every_manifest_has_an_id_of_its_own),
        BASE(an_empty_directory_has_a_manifest),
        BASE(sockets_and_pipes_are_left_out),
        BASE(two_names_of_a_file_are_noticed),
        BASE(further_names_of_a_file_lead_to_its_first),
        BASE(links_that_stay_inside_are_kept),
        BASE(links_that_lead_outside_are_refused_by_name),
        BASE(links_that_lead_outside_through_others_are_refused),
        BASE(links_that_lead_nowhere_are_kept),
        BASE(tablespaces_are_taken_in),
        BASE(a_tablespace_that_is_not_there_is_refused),
        BASE(a_name_that_tablespaces_need_is_refused),
        BASE(links_in_a_tablespace_must_stay_there),
        BASE(a_tablespace_that_holds_the_data_directory_ends),
        BASE(a_wal_directory_outside_is_a_directory),
        BASE(only_the_wal_directory_of_the_root_may_be_outside),
        BASE(a_directory_that_cannot_be_read_is_named),
        BASE(whatever_differs_is_named),
        BASE(an_open_file_is_compared_with_its_entry),
        BASE(a_base_that_was_written_is_found_out),
        BASE(a_file_that_was_added_shows),
        BASE(any_bit_that_flips_is_noticed),
        BASE(other_versions_are_refused),
        BASE(a_link_that_leads_outside_is_refused_when_it_is_read),
        BASE(numbers_that_cannot_be_are_refused),
        BASE(a_directory_does_not_hold_itself),
        BASE(a_further_name_leads_to_a_first_one_at_once),
        BASE(nothing_is_left_over_in_a_manifest),
        BASE(names_that_cannot_be_are_refused),
        BASE(a_manifest_that_is_none_is_refused_with_its_path),
        cmocka_unit_test(a_file_that_nobody_touches_costs_less_than_64_bytes),
    };

    return cmocka_run_group_tests_name("pages/manifest", tests, NULL, NULL);
}
