/*
 * pg/programs.h: where PostgreSQL's programs are, and how they run.
 * With real programs where there are some (pgcluster.h), started through this program, which takes
 * the part of `asofs child`.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/mem.h"
#include "common/proc.h"
#include "fixture.h"
#include "pg/programs.h"
#include "pgcluster.h"

static void programs_of_another_version_are_refused(void **state)
{
    const struct pg_programs *here = pgcluster_programs();
    struct pg_programs p;
    struct err err;
    char *empty;

    (void)state;
    pgcluster_need();
    empty = pgcluster_new_dir("empty");
    assert_int_equal(pg_programs_find(99, NULL, &here->as, &p, &err), -ENOENT);
    fixture_assert_says(&err, "/usr/lib/postgresql/99/bin");
    fixture_assert_says(&err, "--bindir");
    assert_int_equal(pg_programs_find(99, here->bindir, &here->as, &p, &err), -ENOENT);
    fixture_assert_says(&err, here->bindir);
    fixture_assert_says(&err, "has version");
    assert_int_equal(pg_programs_find(here->major, empty, &here->as, &p, &err), -ENOENT);
    assert_int_equal(pg_programs_find(here->major, "/nowhere at all", &here->as, &p, &err),
                     -ENOENT);
    fixture_assert_says(&err, "/nowhere at all");
    assert_int_equal(pg_programs_find(here->major, here->bindir, &here->as, &p, &err), 0);
    assert_int_equal(p.major, here->major);
    pg_programs_free(&p);
    free(empty);
}

static void version_is_that_of_the_data_directory(void **state)
{
    struct err err;
    char *dir;

    (void)state;
    pgcluster_need();
    assert_int_equal(pg_version_of(pgcluster_template(), &err), pgcluster_programs()->major);
    dir = pgcluster_new_dir("empty");
    assert_int_equal(pg_version_of(dir, &err), -ENOENT);
    fixture_assert_says(&err, "no data directory");
    pgcluster_append(dir, "PG_VERSION", "9.6\n");
    assert_int_equal(pg_version_of(dir, &err), 9);
    pgcluster_append(dir, "PG_VERSION", "garbage\n");
    assert_int_equal(pg_version_of(dir, &err), 9);
    free(dir);
    dir = pgcluster_new_dir("empty");
    pgcluster_append(dir, "PG_VERSION", "banana\n");
    assert_int_equal(pg_version_of(dir, &err), -EINVAL);
    free(dir);
}

static void programs_run_with_a_bare_environment(void **state)
{
    struct pg_programs p;
    char *argv[] = {"print", NULL}, *env[] = {"GIVEN=a b=c", "TZ=Mars", NULL};
    struct buf out = {0};
    struct err err;

    (void)state;
    pgcluster_need();
    p = pgcluster_scripts("print", "env; id -u; umask; cat");
    setenv("SECRET", "x", 1);
    assert_int_equal(pg_program_run(&p, "print", argv, env, "some input", -1, &out, &err), 0);
    unsetenv("SECRET");
    assert_null(strstr(out.data, "SECRET"));
    assert_non_null(strstr(out.data, "GIVEN=a b=c\n"));
    assert_non_null(strstr(out.data, "TZ=Mars\n"));
    assert_null(strstr(out.data, "TZ=UTC\n"));
    assert_non_null(strstr(out.data, "HOME=/nonexistent\n"));
    assert_non_null(strstr(out.data, "LC_ALL=C\n"));
    assert_non_null(strstr(out.data, "PATH="));
    assert_non_null(strstr(out.data, "0077\nsome input"));
    if (pgcluster_programs()->as.change)
        assert_null(strstr(out.data, "\n0\n0077"));
    buf_free(&out);
    pg_programs_free(&p);
}

static void programs_that_fail_say_why(void **state)
{
    struct pg_programs p;
    char *argv[] = {"x", NULL};
    struct buf out = {0};
    struct err err;

    (void)state;
    pgcluster_need();
    p = pgcluster_scripts("x", "echo out; echo 'this is why' >&2; exit 3");
    assert_int_equal(pg_program_run(&p, "x", argv, NULL, NULL, -1, &out, &err), -EIO);
    assert_string_equal(err.text, "x exited with status 3: this is why");
    assert_string_equal(out.data, "out\n");
    assert_int_equal(pg_program_run(&p, "missing", argv, NULL, NULL, -1, NULL, &err), -EIO);
    fixture_assert_says(&err, "missing: No such file");
    buf_free(&out);
    pg_programs_free(&p);
}

static void programs_end_when_asked_to_stop(void **state)
{
    struct pg_programs p;
    char *argv[] = {"slow", NULL};
    int64_t begin = clock_ms();
    struct err err;
    int fds[2];

    (void)state;
    pgcluster_need();
    p = pgcluster_scripts("slow", "exec sleep 60");
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(write(fds[1], "x", 1), 1);
    assert_int_equal(pg_program_run(&p, "slow", argv, NULL, NULL, fds[0], NULL, &err), -EINTR);
    assert_true(clock_ms() - begin < 5000);
    close(fds[0]);
    close(fds[1]);
    pg_programs_free(&p);
}

static void child_refuses_what_nobody_meant(void **state)
{
    char *none[] = {"child", NULL},
         *no_parent[] = {"child", "--user=-", "--end-with=9", "--", "/bin/true", NULL};
    char *relative[] = {"child", "--user=-", "--end-with=9", "--parent=1", "--", "true", NULL};
    char *odd[] = {"child", "--odd", NULL};

    (void)state;
    assert_int_equal(pg_child_main(1, none), 2);
    assert_int_equal(pg_child_main(5, no_parent), 2);
    assert_int_equal(pg_child_main(6, relative), 2);
    assert_int_equal(pg_child_main(2, odd), 2);
}

/* As if the parent had ended before the child asked for a signal. */
static void child_ends_when_its_parent_is_gone_already(void **state)
{
    const struct pg_identity *as = &pgcluster_programs()->as;
    char *user = as->change ? mem_printf("--user=%u:%u", as->uid, as->gid) : mem_strdup("--user=-");
    char *argv[] = {"asofs", "child", user, "--end-with=9", "--parent=1", "--", "/bin/true", NULL};
    char *parent = mem_printf("--parent=%d", (int)getpid());
    struct err err;
    pid_t pid;
    int status;

    (void)state;
    pgcluster_need();
    assert_int_equal(proc_spawn(proc_self(), argv, NULL, NULL, 0, &pid, &err), 0);
    status = proc_wait(pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 127);
    argv[4] = parent;
    assert_int_equal(proc_spawn(proc_self(), argv, NULL, NULL, 0, &pid, &err), 0);
    assert_int_equal(proc_wait(pid), 0);
    free(user);
    free(parent);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_of_another_version_are_refused),
        cmocka_unit_test(version_is_that_of_the_data_directory),
        cmocka_unit_test(programs_run_with_a_bare_environment),
        cmocka_unit_test(programs_that_fail_say_why),
        cmocka_unit_test(programs_end_when_asked_to_stop),
        cmocka_unit_test(child_refuses_what_nobody_meant),
        cmocka_unit_test(child_ends_when_its_parent_is_gone_already),
    };

    if (argc > 1 && strcmp(argv[1], "child") == 0)
        return pg_child_main(argc - 1, argv + 1);
    return cmocka_run_group_tests_name("pg/programs", tests, pgcluster_set_up, pgcluster_tear_down);
}
