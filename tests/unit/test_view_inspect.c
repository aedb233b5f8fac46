/* view/inspect.h: what the files of .asofs tell. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"
#include "common/mounts.h"
#include "view/inspect.h"
#include "viewfixture.h"

/* The files of .asofs/ of a view in which one table is complete, one waits and one has failed. */
static void write_view_of(const char *dir, const char *source)
{
    struct view *v = viewfixture_view(source, NULL);
    char *meta = mem_printf("%s/.asofs", dir);
    enum meta_file m;
    struct err err;
    int fd;

    viewfixture_complete(v, 0, viewfixture_text(""), 12, 0xabc);
    viewfixture_results(v)->tables[0].started_at = 1000;
    viewfixture_results(v)->tables[0].ended_at = 2500;
    viewfixture_results(v)->tables[1].bytes = 77;
    viewfixture_fail(v, 2, "two\nlines, \"quoted\"");
    assert_int_equal(mkdir(meta, 0700), 0);
    fd = open(meta, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (m = 0; m < META_FILES; m++) {
        char *text = viewfixture_report(v, m);

        assert_int_equal(io_write_file(fd, tree_meta_name(m), text, strlen(text), &err), 0);
        free(text);
    }
    close(fd);
    free(meta);
    view_free(v);
}

static void write_view(const struct place_below *p)
{
    write_view_of(p->dir, "erp@db1");
}

static void inspect_reads_what_was_reported(void **state)
{
    struct place_below *p = *state;
    struct inspected i;
    struct err err;

    write_view(p);
    assert_int_equal(inspect_open(&i, p->dir, &err), 0);
    assert_string_equal(i.state, "extracting");
    assert_string_equal(i.moment, "2026-11-16T08:00:00.123456Z");
    assert_string_equal(i.source, "erp@db1");
    assert_true(i.source_held);
    assert_int_equal(i.estimate, 40960);
    assert_int_equal(i.estimate_done, 24576 + 8192);
    assert_int_equal(i.bytes, 77);
    assert_int_equal(i.ntables, 3);
    assert_string_equal(i.tables[0].file, "public/items.csv");
    assert_string_equal(i.tables[0].checksum, "0000000000000abc");
    assert_int_equal(i.tables[0].rows, 12);
    assert_true(i.tables[0].seconds == 1.5);
    assert_string_equal(i.tables[1].name, "a,b");
    assert_string_equal(i.tables[1].checksum, "");
    assert_int_equal(i.tables[1].bytes, 77);
    assert_string_equal(i.tables[2].state, "failed");
    assert_string_equal(i.tables[2].error, "two\nlines, \"quoted\"");
    inspect_free(&i);
    inspect_free(&i);
}

/* Opens a view of which one file has another text; NULL: it is not there. */
static void assert_damaged(const struct place_below *p, const char *file, const char *text,
                           const char *why)
{
    char *meta = mem_printf("%s/.asofs", p->dir);
    struct err err = {.text = "nothing"};
    struct inspected i;
    int fd;

    write_view(p);
    fd = open(meta, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(unlinkat(fd, file, 0), 0);
    if (text)
        assert_int_equal(io_write_file(fd, file, text, strlen(text), &err), 0);
    if (inspect_open(&i, p->dir, &err) != -EINVAL || !strstr(err.text, why))
        fail_msg("%s: \"%s\", wanted \"%s\"", file, err.text, why);
    assert_int_equal(io_remove_tree(meta), 0);
    close(fd);
    free(meta);
}

static void inspect_refuses_damaged_files(void **state)
{
    const struct place_below *p = *state;

    assert_damaged(p, "status.json", NULL, "is no view of asofs");
    assert_damaged(p, "status.json", "", "is damaged");
    assert_damaged(p, "status.json", "{", "is damaged");
    assert_damaged(p, "status.json", "{}", "lacks what it should hold");
    assert_damaged(p, "status.json", "[1]", "lacks what it should hold");
    assert_damaged(p, "snapshot.json", NULL, "is no view of asofs");
    assert_damaged(p, "snapshot.json", "{\"moment\": 5}", "lacks what it should hold");
    assert_damaged(p, "tables.csv", NULL, "is no view of asofs");
    assert_damaged(p, "tables.csv", "", "is damaged in line 1");
    assert_damaged(p, "tables.csv", "a,b\n", "is damaged in line 1");
    assert_damaged(p, "tables.csv", TABLES_HEAD "a,b,c,d,e,1,2,3,4,5,6,7,8,copy,\na,b\n",
                   "is damaged in line 3");
    assert_damaged(p, "tables.csv", TABLES_HEAD "a,\"b", "is damaged in line 2");
    assert_damaged(p, "tables.csv", TABLES_HEAD "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16\n",
                   "is damaged in line 2");
}

static void inspect_refuses_what_is_no_view(void **state)
{
    const struct place_below *p = *state;
    struct inspected i;
    struct err err;

    assert_int_equal(inspect_open(&i, p->dir, &err), -EINVAL);
    assert_non_null(strstr(err.text, "is no view of asofs"));
    assert_int_equal(inspect_open(&i, "/nonexistent", &err), -EINVAL);
    assert_int_equal(inspect_open(&i, "/dev/null", &err), -EINVAL);
}

static void inspect_sums_files_up_as_xxhsum_does(void **state)
{
    struct place_below *p = *state;
    struct err err;
    char sum[17];

    assert_int_equal(io_write_file(AT_FDCWD, p->out, "abc", 3, &err), 0);
    assert_int_equal(inspect_checksum(p->dir, strrchr(p->out, '/') + 1, sum, &err), 0);
    assert_string_equal(sum, "78af5f94892f3950");
    assert_int_equal(inspect_checksum(p->dir, ".", sum, &err), -EINVAL);
    assert_int_equal(inspect_checksum(p->dir, "absent", sum, &err), -ENOENT);
    assert_non_null(strstr(err.text, "absent"));
}

/* tables.csv can be somebody else's. */
static void inspect_reads_nothing_outside(void **state)
{
    struct place_below *p = *state;
    char *around = mem_printf("..%s/out", strrchr(p->dir, '/'));
    const char *const names[] = {"link", "pipe", "below/link", "/dev/null", p->out, around};
    struct err err;
    char sum[17];
    size_t i;
    int dir = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_int_equal(io_write_file(AT_FDCWD, p->out, "abc", 3, &err), 0);
    assert_int_equal(symlinkat("out", dir, "link"), 0);
    assert_int_equal(mkfifoat(dir, "pipe", 0600), 0);
    assert_int_equal(mkdirat(dir, "below", 0700), 0);
    assert_int_equal(symlinkat("../out", dir, "below/link"), 0);
    if (!getenv("UNDER_VALGRIND")) /* that has no openat2(), without which no ".." is followed */
        assert_int_equal(inspect_checksum(p->dir, "below/../out", sum, &err), 0);
    for (i = 0; i < sizeof(names) / sizeof(*names); i++)
        assert_true(inspect_checksum(p->dir, names[i], sum, &err) < 0);
    free(around);
    close(dir);
}

/* Two databases of a cluster, whose pages would be in .asofs. */
static void write_databases(const struct place_below *p)
{
    static const char *const names[] = {"shop", "erp"};
    char *pages = mem_printf("%s/.asofs", p->dir);
    size_t i;

    assert_int_equal(mkdir(pages, 0700), 0);
    for (i = 0; i < 2; i++) {
        char *dir = mem_printf("%s/%s", p->dir, names[i]);
        char *source = mem_printf("%s of /srv/store", names[i]);

        assert_int_equal(mkdir(dir, 0700), 0);
        write_view_of(dir, source);
        free(source);
        free(dir);
    }
    free(pages);
}

static void inspect_adds_databases_up(void **state)
{
    struct place_below *p = *state;
    struct inspected i;
    struct err err;
    json_t *j, *databases;

    write_databases(p);
    assert_int_equal(inspect_open(&i, p->dir, &err), 0);
    assert_string_equal(i.state, "extracting");
    assert_string_equal(i.moment, "2026-11-16T08:00:00.123456Z");
    assert_string_equal(i.source, "/srv/store");
    assert_true(i.source_held);
    assert_int_equal(i.estimate, 2 * 40960);
    assert_int_equal(i.estimate_done, 2 * (24576 + 8192));
    assert_int_equal(i.bytes, 2 * 77);
    assert_int_equal(i.ntables, 6);
    assert_string_equal(i.tables[0].database, "erp");
    assert_string_equal(i.tables[0].file, "erp/public/items.csv");
    assert_string_equal(i.tables[0].checksum, "0000000000000abc");
    assert_string_equal(i.tables[3].database, "shop");
    assert_string_equal(i.tables[3].file, "shop/public/items.csv");
    j = json_loads(i.json, 0, NULL);
    databases = json_object_get(j, "databases");
    assert_string_equal(json_string_value(json_object_get(j, "state")), "extracting");
    assert_int_equal(json_object_size(databases), 2);
    assert_non_null(json_object_get(json_object_get(databases, "shop"), "bytes"));
    json_decref(j);
    inspect_free(&i);
}

static void inspect_finds_tables_by_what_people_write(void **state)
{
    struct place_below *p = *state;
    struct inspected i;
    struct err err;

    write_databases(p);
    assert_int_equal(inspect_open(&i, p->dir, &err), 0);
    assert_ptr_equal(inspect_find(&i, "erp/public/items.csv"), &i.tables[0]);
    assert_ptr_equal(inspect_find(&i, "erp/public.items"), &i.tables[0]);
    assert_ptr_equal(inspect_find(&i, "shop/public.items"), &i.tables[3]);
    assert_null(inspect_find(&i, "public.items"));
    assert_null(inspect_find(&i, "shop/public"));
    assert_null(inspect_find(&i, "other/public.items"));
    inspect_free(&i);
}

static void inspect_verifies_size_and_state(void **state)
{
    struct place_below *p = *state;
    char complete[] = "complete", failed[] = "failed", none[] = "", why[] = "no room";
    char *file = strrchr(p->out, '/') + 1, sum[17];
    struct inspected_table t = {.file = file, .state = failed, .error = why, .checksum = sum};
    struct stat st;
    struct err err;

    assert_int_equal(io_write_file(AT_FDCWD, p->out, "abc", 3, &err), 0);
    assert_int_equal(inspect_checksum(p->dir, file, sum, &err), 0);
    assert_int_equal(stat(p->out, &st), 0);
    assert_true(inspect_verify(p->dir, &t, &err) < 0);
    assert_non_null(strstr(err.text, ": failed: no room"));
    t.state = complete;
    t.error = none;
    t.bytes = (uint64_t)st.st_size;
    assert_int_equal(inspect_verify(p->dir, &t, &err), 0);
    t.bytes++;
    assert_true(inspect_verify(p->dir, &t, &err) < 0);
    assert_non_null(strstr(err.text, "bytes, should be"));
    t.bytes--;
    sum[0] = sum[0] == '0' ? '1' : '0';
    assert_true(inspect_verify(p->dir, &t, &err) < 0);
    assert_non_null(strstr(err.text, "should be"));
    t.file = none;
    assert_true(inspect_verify(p->dir, &t, &err) < 0);
}

static void put_state(const struct place_below *p, const char *database, const char *name,
                      double held)
{
    char *path = mem_printf("%s/%s/.asofs/status.json", p->dir, database);
    char *text = mem_printf("{\"state\": \"%s\", \"source_held\": false, \"held_seconds\": %.1f,"
                            " \"extract_seconds\": 2.0, \"estimated_bytes\": 8,"
                            " \"estimated_bytes_done\": 4, \"bytes\": 1}",
                            name, held);
    struct err err;

    unlink(path);
    assert_int_equal(io_write_file(AT_FDCWD, path, text, strlen(text), &err), 0);
    free(text);
    free(path);
}

static void inspect_tells_the_worst_of_the_states(void **state)
{
    static const char *const rows[][3] = {{"complete", "complete", "complete"},
                                          {"complete", "extracting", "extracting"},
                                          {"extracting", "failed", "failed"},
                                          {"failed", "complete", "failed"}};
    struct inspected i;
    struct err err;
    size_t k;

    write_databases(*state);
    for (k = 0; k < sizeof(rows) / sizeof(*rows); k++) {
        put_state(*state, "erp", rows[k][0], 1.5);
        put_state(*state, "shop", rows[k][1], 2.5);
        assert_int_equal(inspect_open(&i, ((struct place_below *)*state)->dir, &err), 0);
        assert_string_equal(i.state, rows[k][2]);
        assert_false(i.source_held);
        assert_true(i.held_seconds == 2.5); /* at the same time */
        assert_true(i.extract_seconds == 4.0);
        assert_int_equal(i.bytes, 2);
        inspect_free(&i);
    }
}

static void assert_no_view(const struct place_below *p, const char *named)
{
    struct inspected i;
    struct err err;

    assert_int_equal(inspect_open(&i, p->dir, &err), -EINVAL);
    assert_non_null(strstr(err.text, named));
}

static void inspect_adds_up_nothing_but_databases(void **state)
{
    struct place_below *p = *state;
    char *empty = mem_printf("%s/empty", p->dir), *link = mem_printf("%s/link", p->dir);
    char *damaged = mem_printf("%s/shop/.asofs/snapshot.json", p->dir);
    struct err err;

    assert_no_view(p, "is no view of asofs");
    write_databases(p);
    assert_int_equal(mkdir(empty, 0700), 0);
    assert_no_view(p, "is no view of asofs");
    assert_int_equal(rmdir(empty), 0);
    assert_int_equal(symlink("erp", link), 0);
    assert_no_view(p, "is no view of asofs");
    assert_int_equal(unlink(link), 0);
    assert_int_equal(io_write_file(AT_FDCWD, p->out, "x", 1, &err), 0);
    assert_no_view(p, "is no view of asofs");
    assert_int_equal(unlink(p->out), 0);
    assert_int_equal(unlink(damaged), 0);
    assert_no_view(p, damaged);
    free(damaged);
    free(empty);
    free(link);
}

struct mount_seen {
    const char *dir, *source;
    int times, stop;
};

static int see_mount(void *arg, const char *dir, const char *source)
{
    struct mount_seen *m = arg;

    if (strcmp(dir, m->dir) == 0 && strcmp(source, m->source) == 0)
        m->times++;
    return m->stop;
}

/* A mount in a namespace of this process's own, dead: nobody serves it. */
static int mount_dead(const char *dir, const char *source)
{
    int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC), rc = -1;
    char options[96];

    snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
    if (fuse >= 0 && unshare(CLONE_NEWNS) == 0 &&
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
        rc = mount(source, dir, MOUNTS_OURS, MS_NOSUID | MS_NODEV, options);
    if (fuse >= 0)
        close(fuse);
    return rc;
}

#define CANNOT_MOUNT 77

static int find_mount(const char *dir)
{
    struct mount_seen m = {.dir = dir, .source = "erp of /srv/the store"};
    struct inspected i;
    struct err err;

    if (mount_dead(dir, m.source) < 0)
        return CANNOT_MOUNT;
    if (inspect_each_mount(see_mount, &m, &err) != 0 || m.times != 1)
        return 1;
    m.stop = 5;
    if (inspect_each_mount(see_mount, &m, &err) != 5)
        return 2;
    if (inspect_open(&i, dir, &err) >= 0 || !strstr(err.text, "is a dead mount"))
        return 3;
    return umount2(dir, MNT_DETACH) == 0 ? 0 : 4;
}

static void inspect_finds_what_is_mounted_and_says_when_it_is_dead(void **state)
{
    struct place_below *p = *state;
    struct mount_seen m = {.dir = p->dir, .source = ""};
    struct err err;
    int status;
    pid_t pid;

    assert_int_equal(inspect_each_mount(see_mount, &m, &err), 0);
    assert_int_equal(m.times, 0);
    if (getenv("UNDER_VALGRIND"))
        skip(); /* the child would end with valgrind's status, whatever it found */
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        exit(find_mount(p->dir));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_MOUNT)
        return; /* nobody but root can, and not everywhere */
    assert_int_equal(status, 0);
}

#define WITH_PLACE(f)                                                                              \
    cmocka_unit_test_setup_teardown(f, viewfixture_set_up_place, viewfixture_tear_down_place)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PLACE(inspect_reads_what_was_reported),
        WITH_PLACE(inspect_refuses_damaged_files),
        WITH_PLACE(inspect_refuses_what_is_no_view),
        WITH_PLACE(inspect_sums_files_up_as_xxhsum_does),
        WITH_PLACE(inspect_reads_nothing_outside),
        WITH_PLACE(inspect_adds_databases_up),
        WITH_PLACE(inspect_finds_tables_by_what_people_write),
        WITH_PLACE(inspect_verifies_size_and_state),
        WITH_PLACE(inspect_tells_the_worst_of_the_states),
        WITH_PLACE(inspect_adds_up_nothing_but_databases),
        WITH_PLACE(inspect_finds_what_is_mounted_and_says_when_it_is_dead),
    };

    return cmocka_run_group_tests_name("view/inspect", tests, NULL, NULL);
}
