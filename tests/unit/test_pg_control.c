/*
 * pg/control.h: what a data directory says of itself.
 * With real programs where there are some (pgcluster.h), started through this program, which takes
 * the part of `asofs child`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"
#include "fixture.h"
#include "pg/control.h"
#include "pg/programs.h"
#include "pgcluster.h"

static void control_file_is_read(void **state)
{
    struct pg_control c;
    struct err err;

    (void)state;
    pgcluster_need();
    assert_int_equal(pg_control_read(pgcluster_programs(), pgcluster_template(), &c, &err), 0);
    assert_true(c.system_identifier > 0);
    assert_int_equal(c.state, PG_STATE_SHUT_DOWN);
    assert_string_equal(c.state_text, "shut down");
    assert_true(c.checkpoint >= 0x1000000 && c.checkpoint == c.redo);
    assert_int_equal(c.timeline, 1);
    assert_true(c.checkpoint_time > time(NULL) - 600 && c.checkpoint_time <= time(NULL));
    assert_int_equal(c.min_recovery, 0);
    assert_int_equal(c.backup_start, 0);
    assert_false(c.backup_end_required);
    assert_int_equal(c.max_prepared, 0);
    assert_int_equal(c.segment_bytes, 16 << 20);
    assert_int_equal(c.block_bytes, 8192);
    assert_int_equal(c.max_align, _Alignof(max_align_t) < 8 ? 4 : 8);
    assert_int_equal(c.checksums, 0);
}

/* What a cluster that was just made says. */
static void limits_of_transactions_are_read(void **state)
{
    struct pg_control c;
    struct err err;

    (void)state;
    pgcluster_need();
    assert_int_equal(pg_control_read(pgcluster_programs(), pgcluster_template(), &c, &err), 0);
    assert_in_range(c.limits.next_xid, c.limits.oldest_xid + 1, 10000);
    assert_in_range(c.limits.oldest_xid, 3, 10000);
    assert_int_equal(c.limits.next_multi, 1);
    assert_int_equal(c.limits.oldest_multi, 1);
    assert_int_equal(c.limits.next_multi_offset, 0);
}

/* pg_controldata, with other values in some of its lines. */
static int read_edited(const char *edit, struct pg_control *c, struct err *err)
{
    char *text =
        mem_printf("'%s/pg_controldata' \"$@\" | sed \"%s\"", pgcluster_programs()->bindir, edit);
    struct pg_programs p = pgcluster_scripts("pg_controldata", text);
    int rc = pg_control_read(&p, pgcluster_template(), c, err);

    pg_programs_free(&p);
    free(text);
    return rc;
}

static void limits_of_an_old_cluster_are_read(void **state)
{
    struct pg_control c;
    struct err err;

    (void)state;
    pgcluster_need();
    assert_int_equal(read_edited("s/^\\(.*NextXID:\\).*/\\1 7:4294967295/;"
                                 "s/^\\(.*oldestXID:\\).*/\\1 2147483651/;"
                                 "s/^\\(.*NextMultiXactId:\\).*/\\1 4294967294/;"
                                 "s/^\\(.*oldestMultiXid:\\).*/\\1 3294967294/;"
                                 "s/^\\(.*NextMultiOffset:\\).*/\\1 4000000000/;"
                                 "s/^\\(Data page checksum version:\\).*/\\1 1/;"
                                 "s/^\\(Maximum data alignment:\\).*/\\1 4/",
                                 &c, &err),
                     0);
    assert_true(c.limits.next_xid == UINT64_C(0x7ffffffff));
    assert_int_equal(c.limits.oldest_xid, 2147483651);
    assert_int_equal(c.limits.next_multi, 4294967294);
    assert_int_equal(c.limits.oldest_multi, 3294967294);
    assert_int_equal(c.limits.next_multi_offset, 4000000000);
    assert_int_equal(c.checksums, 1);
    assert_int_equal(c.max_align, 4);
}

static void control_file_that_is_damaged_is_refused(void **state)
{
    char *dir, *path, byte = 0x5a;
    struct pg_control c;
    struct err err;
    int fd;

    (void)state;
    pgcluster_need();
    dir = pgcluster_copy();
    path = mem_printf("%s/global/pg_control", dir);
    fd = open(path, O_RDWR);
    assert_int_equal(io_pwrite_all(fd, &byte, 1, 100), 0);
    assert_int_equal(pg_control_read(pgcluster_programs(), dir, &c, &err), -EIO);
    fixture_assert_says(&err, "damaged");
    assert_int_equal(ftruncate(fd, 100), 0);
    assert_int_equal(pg_control_read(pgcluster_programs(), dir, &c, &err), -EIO);
    fixture_assert_says(&err, "pg_controldata");
    close(fd);
    assert_int_equal(pg_control_read(pgcluster_programs(), "/nowhere at all", &c, &err), -ENOENT);
    free(path);
    free(dir);
}

/* A pg_controldata of some other version. */
static void control_lines_that_are_missing_are_named(void **state)
{
    static const struct {
        const char *edit, *says;
    } cases[] = {
        {"/^Latest checkpoint.s REDO/d", "\"Latest checkpoint's REDO location\" is missing"},
        {"s/^\\(Bytes per WAL segment:\\).*/\\1 12x/", "no such number: 12x"},
        {"s/^\\(Bytes per WAL segment:\\).*/\\1 12/", "no size of a segment"},
        {"s/^\\(Minimum recovery ending location:\\).*/\\1 0-1/", "no place on the log: 0-1"},
        {"s/^\\(Time of latest checkpoint:\\).*/\\1 yesterday/", "holds no time: yesterday"},
        {"s/^\\(End-of-backup record required:\\).*/\\1 perhaps/", "neither yes nor no: perhaps"},
        {"s/^\\(Database cluster state:\\).*/\\1 in a state that has a very long name indeed/",
         "is too long"},
        {"/NextXID/d", "\"Latest checkpoint's NextXID\" is missing"},
        {"s/^\\(.*NextXID:\\).*/\\1 735/", "no transaction: 735"},
        {"s/^\\(.*NextXID:\\).*/\\1 0:4294967296/", "no transaction: 0:4294967296"},
        {"s/^\\(.*NextXID:\\).*/\\1 0:12:3/", "no transaction: 0:12:3"},
        {"s/^\\(.*oldestXID:\\).*/\\1 -3/", "no such number: -3"},
        {"s/^\\(.*NextMultiOffset:\\).*/\\1 4294967296/", "no such number: 4294967296"},
    };
    struct pg_control c;
    struct err err;
    size_t i;

    (void)state;
    pgcluster_need();
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        assert_int_equal(read_edited(cases[i].edit, &c, &err), -EINVAL);
        fixture_assert_says(&err, cases[i].says);
    }
}

#define LABEL_HEAD                                                                                 \
    "START WAL LOCATION: 1A/2000028 (file 000000030000001A00000002)\n"                             \
    "CHECKPOINT LOCATION: 1A/2000060\nBACKUP METHOD: streamed\nBACKUP FROM: primary\n"
#define LABEL_TAIL "LABEL: pg_basebackup base backup\nSTART TIMELINE: 3\n"

static int read_label(const char *text, struct pg_backup_label *l, struct err *err)
{
    char *dir = pgcluster_new_dir("label");
    int rc;

    pgcluster_append(dir, "backup_label", text);
    rc = pg_backup_label_read(dir, l, err);
    free(dir);
    return rc;
}

static void backup_label_is_read(void **state)
{
    struct pg_backup_label l;
    struct err err;
    char *dir = pgcluster_new_dir("label");

    (void)state;
    assert_int_equal(pg_backup_label_read(dir, &l, &err), 0);
    free(dir);
    assert_int_equal(
        read_label(LABEL_HEAD "START TIME: 2026-11-22 19:00:00 UTC\n" LABEL_TAIL, &l, &err), 1);
    assert_true(l.start == 0x1A02000028);
    assert_true(l.checkpoint == 0x1A02000060);
    assert_int_equal(l.timeline, 3);
    assert_int_equal(l.start_time, 1795374000);
    assert_int_equal(
        read_label(LABEL_HEAD "START TIME: 2026-11-22 19:00:00 -0330\n" LABEL_TAIL, &l, &err), 1);
    assert_int_equal(l.start_time, 1795374000 + 12600);
    assert_int_equal(
        read_label(LABEL_HEAD "START TIME: 2026-11-22 19:00:00 +03\n" LABEL_TAIL, &l, &err), 1);
    assert_int_equal(l.start_time, 1795374000 - 10800);
    assert_int_equal(
        read_label(LABEL_HEAD "START TIME: 2001-11-22 19:00:00 IST\n" LABEL_TAIL, &l, &err), 1);
    assert_true(l.start_time > time(NULL) - 60);
}

/* The server's own file of a backup that ended: names with the segment and the place in it. */
static void the_end_of_a_backup_is_read(void **state)
{
    static const char name[] = "00000003000000680000000A.00000028.backup"; /* segments of 4 MiB */
    struct pg_backup_label l = {.timeline = 3};
    struct pg_backup_stop stop;
    char *dir = pgcluster_new_dir("label");

    (void)state;
    l.start = (UINT64_C(0x68) << 32) + 10 * (UINT64_C(4) << 20) + 0x28;
    assert_int_equal(pg_backup_stop_read(dir, &l, 4 << 20, &stop), 0);
    pgcluster_append(
        dir, name,
        "START WAL LOCATION: 68/2800028 (file 00000003000000680000000A)\n"
        "STOP WAL LOCATION: 68/2C00100 (file 00000003000000680000000B)\n"
        "CHECKPOINT LOCATION: 68/2800060\nSTART TIME: 2026-11-22 19:00:00 UTC\n"
        "LABEL: STOP TIME: none\nSTART TIMELINE: 3\nSTOP TIME: 2026-11-22 19:00:07 UTC\n"
        "STOP TIMELINE: 3\n");
    assert_int_equal(pg_backup_stop_read(dir, &l, 4 << 20, &stop), 1);
    assert_true(stop.lsn == UINT64_C(0x6802C00100));
    assert_int_equal(stop.time, 1795374007);
    assert_int_equal(pg_backup_stop_read(dir, &l, 16 << 20, &stop), 0);
    l.start += 8; /* another backup */
    assert_int_equal(pg_backup_stop_read(dir, &l, 4 << 20, &stop), 0);
    free(dir);
}

static void backup_label_that_is_odd_is_refused(void **state)
{
    struct pg_backup_label l;
    struct err err;

    (void)state;
    assert_int_equal(read_label("", &l, &err), -EINVAL);
    fixture_assert_says(&err, "START WAL LOCATION");
    assert_int_equal(read_label(LABEL_HEAD, &l, &err), -EINVAL);
    fixture_assert_says(&err, "START TIME");
    assert_int_equal(read_label(LABEL_HEAD "START TIME: 2026-11-22 19:00:00 UTC\n"
                                           "START TIMELINE: x\n",
                                &l, &err),
                     -EINVAL);
    fixture_assert_says(&err, "START TIMELINE");
    assert_int_equal(read_label(LABEL_HEAD "START TIME: soon\n" LABEL_TAIL, &l, &err), -EINVAL);
    assert_int_equal(read_label("INCREMENTAL FROM LSN: 0/2000028\n" LABEL_HEAD, &l, &err),
                     -ENOTSUP);
    fixture_assert_says(&err, "pg_combinebackup");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(control_file_is_read),
        cmocka_unit_test(limits_of_transactions_are_read),
        cmocka_unit_test(limits_of_an_old_cluster_are_read),
        cmocka_unit_test(control_file_that_is_damaged_is_refused),
        cmocka_unit_test(control_lines_that_are_missing_are_named),
        cmocka_unit_test(backup_label_is_read),
        cmocka_unit_test(the_end_of_a_backup_is_read),
        cmocka_unit_test(backup_label_that_is_odd_is_refused),
    };

    if (argc > 1 && strcmp(argv[1], "child") == 0)
        return pg_child_main(argc - 1, argv + 1);
    return cmocka_run_group_tests_name("pg/control", tests, pgcluster_set_up, pgcluster_tear_down);
}
