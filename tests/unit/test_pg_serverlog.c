/* pg/serverlog: the wording of a PostgreSQL server's log, of every version that has its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "pg/serverlog.h"

static void it_is_ready(void **state)
{
    (void)state;
    assert_true(serverlog_says_ready("LOG:  database system is ready to accept connections\n"));
    assert_true(
        serverlog_says_ready("LOG:  starting PostgreSQL\n"
                             "LOG:  database system is ready to accept read-only connections\n"));
    assert_false(serverlog_says_ready("LOG:  database system was interrupted; last known up at "
                                      "2026-11-27 10:00:00 UTC\n"));
    assert_false(serverlog_says_ready("FATAL:  the database system is not accepting connections\n"
                                      "DETAIL:  Hot standby mode is disabled.\n"));
    assert_false(serverlog_says_ready(""));
}

static void check_cause(const char *log, const char *cause)
{
    char *text = serverlog_cause(log);

    assert_string_equal(text, cause);
    free(text);
}

static void the_cause_is_fatal(void **state)
{
    (void)state;
    check_cause("LOG:  starting PostgreSQL\n"
                "LOG:  invalid checkpoint record\n"
                "FATAL:  could not locate required checkpoint record at 0/2000028\n"
                "HINT:  If you are restoring from a backup, touch recovery.signal\n"
                "\tand add required recovery options.\n"
                "LOG:  startup process (PID 7) exited with exit code 1\n"
                "LOG:  aborting startup due to startup process failure\n",
                "LOG:  invalid checkpoint record\n"
                "FATAL:  could not locate required checkpoint record at 0/2000028\n"
                "HINT:  If you are restoring from a backup, touch recovery.signal\n"
                "\tand add required recovery options.");
}

static void each_cause_is_told(void **state)
{
    (void)state;
    check_cause("WARNING:  page 1 of relation base/5/1 does not exist\n"
                "CONTEXT:  WAL redo at 0/3000028\n"
                "PANIC:  WAL contains references to invalid pages\n"
                "CONTEXT:  WAL redo at 0/3000060\n"
                "LOG:  startup process was terminated\n"
                "DETAIL:  of no cause\n"
                "FATAL:  could not write lock file: No space left on device \n\n",
                "WARNING:  page 1 of relation base/5/1 does not exist\n"
                "CONTEXT:  WAL redo at 0/3000028\n"
                "PANIC:  WAL contains references to invalid pages\n"
                "CONTEXT:  WAL redo at 0/3000060\n"
                "FATAL:  could not write lock file: No space left on device");
    check_cause("FATAL:  the first line", "FATAL:  the first line");
}

static void without_a_cause_all_is_told(void **state)
{
    (void)state;
    check_cause("LOG:  one\nLOG:  a word of FATAL: in a line\n",
                "LOG:  one\nLOG:  a word of FATAL: in a line");
    check_cause("", "");
    check_cause("\n\n", "");
}

static void recovery_stopped_at_its_target(void **state)
{
    static const char *const logs[] = {
        "LOG:  recovery stopping before commit of transaction 740, time 2026-11-27 10:00:01+00\n",
        "LOG:  recovery stopping after commit of transaction 740, time 2026-11-27 10:00:01+00\n",
        "LOG:  recovery stopping before abort of transaction 740, time 2026-11-27 10:00:01+00\n",
        "LOG:  recovery stopping before WAL location (LSN) \"0/3000028\"\n",
        "LOG:  recovery stopping after WAL location (LSN) \"0/3000028\"\n",
        "LOG:  recovery stopping at restore point \"a\", time 2026-11-27 10:00:01+00\n",
        "LOG:  recovery stopping after reaching consistency\n"};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(logs) / sizeof(*logs); i++)
        assert_true(serverlog_says_stopped(logs[i]));
    assert_false(serverlog_says_stopped("LOG:  redo done at 0/3000148\n"));
}

static void the_target_is_later(void **state)
{
    (void)state;
    assert_true(serverlog_says_target_later(
        "FATAL:  recovery ended before configured recovery target was reached\n"));
    assert_false(serverlog_says_target_later("LOG:  recovery stopping before WAL location\n"));
}

static void the_target_is_too_early(void **state)
{
    (void)state;
    assert_true(serverlog_says_too_early(
        "FATAL:  requested recovery stop point is before consistent recovery point\n"));
    assert_true(serverlog_says_too_early("FATAL:  WAL ends before end of online backup\n"
                                         "HINT:  All WAL generated while online backup was taken "
                                         "must be available at recovery.\n"));
    assert_true(serverlog_says_too_early("FATAL:  WAL ends before consistent recovery point\n"));
    assert_false(serverlog_says_too_early(
        "FATAL:  recovery ended before configured recovery target was reached\n"));
}

static void no_checkpoint(void **state)
{
    (void)state;
    assert_true(serverlog_says_no_checkpoint(
        "FATAL:  could not locate required checkpoint record\n")); /* up to 16 */
    assert_true(serverlog_says_no_checkpoint(
        "FATAL:  could not locate required checkpoint record at 0/2000028\n"));
    assert_false(serverlog_says_no_checkpoint("LOG:  invalid checkpoint record\n"));
}

static void the_last_record(void **state)
{
    (void)state;
    assert_int_equal(serverlog_last_record("LOG:  redo starts at 0/2000028\n"
                                           "LOG:  redo done at 16/B374D848 system usage: CPU: "
                                           "user: 0.00 s\n"),
                     UINT64_C(0x16b374d848));
    assert_int_equal(serverlog_last_record("LOG:  redo done at 0/3000148\n"), 0x3000148);
    assert_int_equal(serverlog_last_record("LOG:  redo done at no place\n"), 0);
    assert_int_equal(serverlog_last_record("LOG:  redo is not required\n"), 0);
}

static void check_commit(const char *log, const char *time)
{
    char *text = serverlog_last_commit(log);

    if (time)
        assert_string_equal(text, time);
    else
        assert_null(text);
    free(text);
}

static void the_last_commit(void **state)
{
    (void)state;
    check_commit("LOG:  last completed transaction was at log time 2026-11-27 10:00:00.25+00\n"
                 "LOG:  selected new timeline ID: 2\n",
                 "2026-11-27 10:00:00.25+00");
    /* of a restartpoint */
    check_commit("LOG:  recovery restart point at 0/3000028\n"
                 "DETAIL:  Last completed transaction was at log time 2026-11-27 10:00:00+00.\n",
                 "2026-11-27 10:00:00+00");
    check_commit("DETAIL:  Last completed transaction was at log time 2026-11-27 10:00:00+00.\n"
                 "LOG:  last completed transaction was at log time 2026-11-27 10:00:01+00",
                 "2026-11-27 10:00:01+00");
    check_commit("LOG:  last completed transaction was at log time ", "");
    check_commit("LOG:  redo done at 0/3000148\n", NULL);
}

static void room_for_prepared_transactions(void **state)
{
    (void)state;
    assert_true(serverlog_says_prepared_full(
        "FATAL:  maximum number of prepared transactions reached\n"
        "HINT:  Increase \"max_prepared_transactions\" (currently 64).\n"));
    assert_false(serverlog_says_prepared_full("FATAL:  out of shared memory\n"));
}

static void shared_memory(void **state)
{
    (void)state;
    assert_true(serverlog_names_shared_memory(
        "FATAL:  could not resize shared memory segment \"/x\" to 8 bytes: No space left\n"));
    assert_true(serverlog_names_shared_memory(
        "FATAL:  could not create shared memory segment: No space left on device\n"));
    assert_false(serverlog_names_shared_memory(
        "FATAL:  could not write to file \"pg_wal/x\": No space left on device\n"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_ready),
        cmocka_unit_test(the_cause_is_fatal),
        cmocka_unit_test(each_cause_is_told),
        cmocka_unit_test(without_a_cause_all_is_told),
        cmocka_unit_test(recovery_stopped_at_its_target),
        cmocka_unit_test(the_target_is_later),
        cmocka_unit_test(the_target_is_too_early),
        cmocka_unit_test(no_checkpoint),
        cmocka_unit_test(the_last_record),
        cmocka_unit_test(the_last_commit),
        cmocka_unit_test(room_for_prepared_transactions),
        cmocka_unit_test(shared_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
