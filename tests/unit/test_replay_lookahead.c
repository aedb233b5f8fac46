/* Unit tests of replay/lookahead: which segments are put into pg_wal, how far, and what
 * restore_command does then. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"
#include "fixture.h"
#include "pg/identity.h"
#include "replay/lookahead.h"
#include "walbytes.h"

#define SEGMENT WALBYTES_SEGMENT
#define SEGMENTS 40u
#define FIRST 5u /* number of the first one in the list */
#define FROM 7u  /* where replay begins */
#define AHEAD 16u

struct place {
    char *dir, *log, *wal, *run;
    struct wal_list list;
    struct wal_segment segments[SEGMENTS];
};

static char *name_of(unsigned i)
{
    static char name[25];

    wal_segment_name(1, FIRST + i, SEGMENT, name);
    return name;
}

static void write_segment(const struct place *p, unsigned i, const void *bytes, size_t len,
                          size_t at)
{
    char *path = mem_printf("%s/%s", p->log, name_of(i));
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, SEGMENT), 0);
    assert_int_equal(io_pwrite_all(fd, bytes, len, at), 0);
    close(fd);
    free(path);
}

static int set_up(void **state)
{
    struct place *p = mem_alloc(sizeof(*p));
    unsigned i;

    p->dir = fixture_make_dir();
    p->log = mem_printf("%s/log", p->dir);
    p->wal = mem_printf("%s/wal", p->dir);
    p->run = mem_printf("%s/run", p->dir);
    mkdir(p->log, 0700);
    mkdir(p->wal, 0700);
    mkdir(p->run, 0700);
    for (i = 0; i < SEGMENTS; i++) {
        p->segments[i] = (struct wal_segment){.timeline = 1, .number = FIRST + i};
        write_segment(p, i, "", 0, 0);
    }
    p->list = (struct wal_list){.segments = p->segments, .n = SEGMENTS, .segment_bytes = SEGMENT};
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;

    fixture_remove_dir(p->dir);
    free(p->log);
    free(p->wal);
    free(p->run);
    free(p);
    return 0;
}

static struct lookahead *start(struct place *p)
{
    struct lookahead_request req = {.wal_dir = p->log,
                                    .log = &p->list,
                                    .from = (uint64_t)FROM * SEGMENT + 5,
                                    .system = WALBYTES_SYSTEM,
                                    .wal = p->wal,
                                    .run = p->run};

    return lookahead_start(&req);
}

static bool is_there(const char *dir, const char *sub, unsigned i)
{
    char *path = mem_printf("%s/%s%s", dir, sub, name_of(i));
    struct stat st;
    bool is = lstat(path, &st) == 0;

    free(path);
    return is;
}

static bool comes(const struct place *p, unsigned i)
{
    int tries;

    for (tries = 0; tries < 2000 && !is_there(p->run, "ahead/", i); tries++)
        usleep(5000);
    return is_there(p->run, "ahead/", i) && is_there(p->wal, "", i);
}

/* As the server does; the exit status. */
static int restore(const struct place *p, unsigned i)
{
    char *command = lookahead_command("exit 7"), *script, *at;
    int status;

    while ((at = strstr(command, "%f"))) {
        script = mem_printf("%.*s%s%s", (int)(at - command), command, name_of(i), at + 2);
        free(command);
        command = script;
    }
    assert_int_equal(setenv("ASOFS_RUN", p->run, 1), 0);
    status = system(command);
    free(command);
    return WEXITSTATUS(status);
}

static void segments_are_put_up_to_some_in_front_of_the_server(void **state)
{
    struct place *p = *state;
    struct lookahead *l = start(p);
    unsigned i, first = FROM - FIRST;

    assert_non_null(l);
    assert_true(comes(p, first + AHEAD));
    for (i = 0; i < SEGMENTS; i++) {
        assert_int_equal(is_there(p->wal, "", i), i >= first && i <= first + AHEAD);
        assert_int_equal(is_there(p->run, "ahead/", i), i >= first && i <= first + AHEAD);
    }
    assert_int_equal(restore(p, first), 1); /* it is in pg_wal */
    assert_int_equal(restore(p, first + 3), 1);
    assert_int_equal(restore(p, SEGMENTS - 1), 7);
    assert_true(comes(p, SEGMENTS - 1));
    lookahead_stop(l);
}

/* As a server would have written it, with a tablespace, and as one of another cluster. */
static void write_log(const struct place *p, unsigned with_tablespace, unsigned of_another)
{
    struct walbytes w;

    walbytes_make(&w, FIRST + with_tablespace, 1);
    walbytes_fill(&w, w.start + 4096);
    walbytes_tablespace(&w, "/x/y");
    write_segment(p, with_tablespace, w.bytes, SEGMENT, 0);
    walbytes_free(&w);
    walbytes_make(&w, FIRST + of_another, 1);
    walbytes_fill(&w, w.start + 4096);
    memset(walbytes_at(&w, w.start + 24), 9, 8); /* the number of the cluster */
    write_segment(p, of_another, w.bytes, SEGMENT, 0);
    walbytes_free(&w);
}

static void what_is_not_well_is_left_to_the_command(void **state)
{
    struct place *p = *state;
    unsigned first = FROM - FIRST;
    struct lookahead *l;
    char *path;

    write_log(p, first + 1, first + 6);
    p->segments[first + 2].partial = true;
    path = mem_printf("%s/%s", p->log, name_of(first + 3));
    assert_int_equal(unlink(path), 0); /* pruned meanwhile */
    free(path);
    path = mem_printf("%s/%s", p->wal, name_of(first + 4));
    assert_int_equal(mkdir(path, 0700), 0); /* something is there */
    free(path);
    l = start(p);
    assert_non_null(l);
    assert_true(comes(p, first + 7));
    assert_true(is_there(p->run, "ahead/", first + 5));
    assert_false(is_there(p->wal, "", first + 6)); /* of another cluster */
    assert_true(is_there(p->run, "ahead/", first));
    assert_false(is_there(p->wal, "", first + 1));
    assert_false(is_there(p->wal, "", first + 2));
    assert_false(is_there(p->wal, "", first + 3));
    assert_false(is_there(p->run, "ahead/", first + 4));
    assert_int_equal(restore(p, first + 1), 7);
    assert_int_equal(restore(p, first + 4), 7);
    lookahead_stop(l);
}

static void files_of_another_user_are_left_to_the_command(void **state)
{
    const struct pg_identity as = {.change = true, .uid = 65534, .gid = 65534};
    struct place *p = *state;
    unsigned first = FROM - FIRST;
    struct lookahead *l;

    if (geteuid() != 0) {
        print_message("skipped: needs root\n");
        skip();
    }
    assert_int_equal(chmod(p->dir, 0755), 0);
    assert_int_equal(chmod(p->log, 0755), 0);
    assert_int_equal(chown(p->wal, 65534, 65534), 0);
    assert_int_equal(chown(p->run, 65534, 65534), 0);
    {
        char *path = mem_printf("%s/%s", p->log, name_of(first + 1));

        assert_int_equal(chown(path, 65534, 65534), 0);
        free(path);
    }
    assert_int_equal(pg_identity_enter(&as), 0);
    l = start(p);
    pg_identity_leave(&as);
    assert_non_null(l);
    assert_true(comes(p, first + 1));
    assert_false(is_there(p->wal, "", first));
    lookahead_stop(l);
}

static void nothing_to_look_at_is_no_thread(void **state)
{
    struct place *p = *state;

    lookahead_stop(NULL);
    p->list.n = 1; /* in front of where replay begins */
    assert_null(start(p));
    p->list = (struct wal_list){0};
    assert_null(start(p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(segments_are_put_up_to_some_in_front_of_the_server, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(what_is_not_well_is_left_to_the_command, set_up, tear_down),
        cmocka_unit_test_setup_teardown(files_of_another_user_are_left_to_the_command, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(nothing_to_look_at_is_no_thread, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
