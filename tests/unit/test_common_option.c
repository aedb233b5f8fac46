/* common/option: the forms of a command line, and each kind of row. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"
#include "common/option.h"

/* ---- forms ---- */

struct seen { /* what the setters were told, in order: "name=value;" */
    struct buf log;
};

static int see(void *target, const char *name, const char *value)
{
    struct seen *s = target;

    if (value)
        buf_printf(&s->log, "%s=%s;", name, value);
    else
        buf_printf(&s->log, "%s;", name);
    return 0;
}

static int set_jobs(void *t, const char *v, struct err *err)
{
    if (strcmp(v, "zero") == 0)
        return err_set(err, EINVAL, "\"%s\" is not a number", v);
    return see(t, "jobs", v);
}

static int set_job(void *t, const char *v, struct err *err)
{
    (void)err;
    return see(t, "job", v);
}

static int set_quiet(void *t, const char *v, struct err *err)
{
    (void)err;
    return see(t, "quiet", v);
}

static int set_uid(void *t, const char *v, struct err *err)
{
    (void)err;
    return see(t, "uid", v);
}

static const struct option_def defs[] = {
    OPTION_CALL("jobs", 'j', struct seen, log, set_jobs),
    OPTION_CALL("job", 0, struct seen, log, set_job),
    OPTION_CALL_FLAG("quiet", 'q', struct seen, log, set_quiet),
    OPTION_CALL("uid", OPTION_ONLY_O, struct seen, log, set_uid),
    OPTION_END,
};

enum { MAX_OPERANDS = 2, MAX_LINE = 256 };

/* Parses a command line written with spaces between the words. */
static int parse_words(const struct option_def *rows, void *target, bool take_o, const char *line,
                       char **operands, char copy[MAX_LINE], struct err *err)
{
    char *argv[16] = {(char *)(uintptr_t) "asofs"}, *word;
    int argc = 1;

    strcpy(copy, line);
    for (word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    return option_parse(rows, take_o, target, argc, argv, operands, MAX_OPERANDS, err);
}

static void assert_parsed(bool take_o, const char *line, int noperands, const char *expected)
{
    struct seen seen = {{0}};
    char *operands[MAX_OPERANDS], copy[MAX_LINE];
    struct err err = {0};
    int n = parse_words(defs, &seen, take_o, line, operands, copy, &err), i;

    if (n < 0)
        fail_msg("\"%s\" was refused: %s", line, err.text);
    assert_int_equal(n, noperands);
    buf_putc(&seen.log, '|');
    for (i = 0; i < n; i++)
        buf_printf(&seen.log, " %s", operands[i]);
    assert_string_equal(seen.log.data, expected);
    buf_free(&seen.log);
}

static void assert_refused(bool take_o, const char *line, const char *expected)
{
    struct seen seen = {{0}};
    char *operands[MAX_OPERANDS], copy[MAX_LINE];
    struct err err = {0};

    assert_int_equal(parse_words(defs, &seen, take_o, line, operands, copy, &err), -EINVAL);
    assert_string_equal(err.text, expected);
    buf_free(&seen.log);
}

static void options_long_forms(void **state)
{
    (void)state;
    assert_parsed(false, "--jobs=4 a --quiet b", 2, "jobs=4;quiet;| a b");
    assert_parsed(false, "--jobs 4", 0, "jobs=4;|");
    assert_parsed(false, "--jobs=a=b", 0, "jobs=a=b;|");
    assert_parsed(false, "--jobs=", 0, "jobs=;|");
    assert_parsed(false, "--jobs --quiet", 0, "jobs=--quiet;|");
    assert_parsed(false, "--job=1 --jobs=2", 0, "job=1;jobs=2;|");
    assert_parsed(false, "", 0, "|");
}

static void options_short_forms(void **state)
{
    (void)state;
    assert_parsed(false, "-j4", 0, "jobs=4;|");
    assert_parsed(false, "-j 4 x", 1, "jobs=4;| x");
    assert_parsed(false, "-qqj4 x", 1, "quiet;quiet;jobs=4;| x");
    assert_parsed(false, "-qj 4 x", 1, "quiet;jobs=4;| x");
    assert_parsed(false, "-jq", 0, "jobs=q;|");
}

static void options_end_with_two_dashes(void **state)
{
    (void)state;
    assert_parsed(false, "-q -- -q --", 2, "quiet;| -q --");
    assert_parsed(false, "- x", 2, "| - x");
}

static void options_after_o(void **state)
{
    (void)state;
    assert_parsed(true, "-o uid=5,quiet x", 1, "uid=5;quiet;| x");
    assert_parsed(true, "-ouid=5 -qo jobs=3", 0, "uid=5;quiet;jobs=3;|");
    assert_parsed(true, "-o uid=5 x -o uid=6", 1, "uid=5;uid=6;| x");
    assert_parsed(true, "-o ,,uid=5,,", 0, "uid=5;|");
    assert_parsed(true, "-o jobs=a\\,b\\\\c\\d,quiet", 0, "jobs=a,b\\c\\d;quiet;|");
    assert_parsed(true, "-o uid=", 0, "uid=;|");
}

static void options_that_are_wrong_are_named(void **state)
{
    (void)state;
    assert_refused(false, "--nonsense", "unknown option --nonsense");
    assert_refused(false, "--nonsense=5", "unknown option --nonsense");
    assert_refused(false, "--jo=5", "unknown option --jo");
    assert_refused(false, "--jobsx=5", "unknown option --jobsx");
    assert_refused(false, "--=5", "unknown option --");
    assert_refused(false, "--jobs", "--jobs needs a value");
    assert_refused(false, "--quiet=yes", "--quiet takes no value");
    assert_refused(false, "--jobs=zero", "--jobs: \"zero\" is not a number");
    assert_refused(false, "--uid=5", "unknown option --uid");
    assert_refused(false, "-x", "unknown option -x");
    assert_refused(false, "-qx", "unknown option -x");
    assert_refused(false, "-j", "-j needs a value");
    assert_refused(false, "-jzero", "-j: \"zero\" is not a number");
    assert_refused(false, "-o uid=5", "unknown option -o");
    assert_refused(true, "-o", "-o needs a value");
    assert_refused(true, "-o nonsense=5", "unknown option -o nonsense=5");
    assert_refused(true, "-o quiet,uid", "-o uid needs a value");
    assert_refused(true, "-o quiet=5", "-o quiet takes no value");
    assert_refused(true, "-o =5", "unknown option -o =5");
    assert_refused(true, "-o jobs=zero", "-o jobs: \"zero\" is not a number");
    assert_refused(false, "a b c", "unexpected argument \"c\"");
}

static void option_list_stops_at_the_first_error(void **state)
{
    struct seen seen = {{0}};
    struct err err;

    (void)state;
    assert_int_equal(option_parse_list(defs, &seen, "quiet,bad,uid=1", &err), -EINVAL);
    assert_string_equal(seen.log.data, "quiet;");
    buf_free(&seen.log);
}

/* ---- rows ---- */

struct inner {
    unsigned mode, jobs;
    char *name;
};

enum colour { RED, GREEN, BLUE };
static const char *const colours[] = {"red", "green", "blue", NULL};

struct options {
    bool quiet, loud;
    char *spool;
    const char *slot;
    uint64_t size;
    int64_t ms;
    enum colour colour;
    struct inner inner;
    int moment;
};

static int check_slot(const char *v, struct err *err)
{
    return strchr(v, '-') ? err_set(err, EINVAL, "\"%s\" is no slot", v) : 0;
}

static int set_moment(void *member, const char *v, struct err *err)
{
    (void)err;
    *(int *)member = v ? atoi(v) : -1;
    return 0;
}

static const struct option_def inner_rows[] = {
    OPTION_NUMBER("mode", OPTION_ONLY_O, struct inner, mode, 8, 0, 0777, "is not an octal number"),
    OPTION_NUMBER("jobs", 'j', struct inner, jobs, 10, 1, 256, "is not a number from 1 to 256"),
    OPTION_TEXT("name", 'n', struct inner, name),
    OPTION_END,
};
static const struct option_def more_rows[] = {
    OPTION_CHECKED_TEXT("slot", 0, struct options, slot, check_slot),
    OPTION_CALL("at", 'a', struct options, moment, set_moment),
    OPTION_CALL_FLAG("latest", 'l', struct options, moment, set_moment),
    OPTION_END,
};
static const struct option_def rows[] = {
    OPTION_FLAG("quiet", 'q', struct options, quiet),
    OPTION_MORE(more_rows),
    OPTION_ROWS(struct options, inner, inner_rows),
    OPTION_TEXT("spool", 0, struct options, spool),
    OPTION_SIZE("size", 's', struct options, size, 1, "is not a size; write 64MiB"),
    OPTION_DURATION("time", 't', struct options, ms, 1, "is not a duration; write 10s"),
    OPTION_CHOICE("colour", 0, struct options, colour, colours),
    OPTION_FLAG("loud", 0, struct options, loud),
    OPTION_END,
};

static struct options parsed(const char *line)
{
    struct options o = {.ms = 5000};
    char *operands[MAX_OPERANDS], copy[MAX_LINE];
    struct err err = {0};

    if (parse_words(rows, &o, true, line, operands, copy, &err) != 0)
        fail_msg("\"%s\" was refused: %s", line, err.text);
    memset(copy, 'x', sizeof(copy)); /* what was kept is not in argv */
    return o;
}

/* And what was there before is there still. */
static void assert_row_refused(const char *line, const char *expected)
{
    struct options o = {.ms = 5000, .size = 7, .colour = BLUE, .inner = {.mode = 1, .jobs = 2}};
    struct options before;
    char *operands[MAX_OPERANDS], copy[MAX_LINE];
    struct err err = {0};

    o.spool = mem_strdup("/spool");
    before = o;
    assert_int_equal(parse_words(rows, &o, true, line, operands, copy, &err), -EINVAL);
    assert_string_equal(err.text, expected);
    assert_memory_equal(&o, &before, sizeof(o));
    option_free(rows, &o);
}

static void flags_are_set(void **state)
{
    struct options o = parsed("-q");

    (void)state;
    assert_true(o.quiet && !o.loud);
    o = parsed("-o loud");
    assert_true(!o.quiet && o.loud);
    assert_row_refused("--quiet=1", "--quiet takes no value");
    assert_row_refused("-o loud=1", "-o loud takes no value");
}

static void texts_are_copies_and_the_last_counts(void **state)
{
    struct options o = parsed("--spool=/a -o spool=/b\\,c --slot=x -n y");

    (void)state;
    assert_string_equal(o.spool, "/b,c");
    assert_string_equal(o.slot, "x");
    assert_string_equal(o.inner.name, "y");
    option_free(rows, &o);
    assert_null(o.spool);
    assert_null(o.slot);
    assert_null(o.inner.name);
    option_free(rows, &o);
    o = parsed("--spool=");
    assert_string_equal(o.spool, "");
    option_free(rows, &o);
    assert_row_refused("--slot=a-b", "--slot: \"a-b\" is no slot");
    assert_row_refused("--spool", "--spool needs a value");
}

static void sizes_are_bytes(void **state)
{
    (void)state;
    assert_int_equal(parsed("--size=8kB").size, 8192);
    assert_int_equal(parsed("-s1").size, 1);
    assert_int_equal(parsed("").size, 0);
    assert_row_refused("--size=much", "--size: \"much\" is not a size; write 64MiB");
    assert_row_refused("--size=0", "--size: \"0\" is not a size; write 64MiB");
    assert_row_refused("-s -1", "-s: \"-1\" is not a size; write 64MiB");
    assert_row_refused("-o size=", "-o size: \"\" is not a size; write 64MiB");
    assert_row_refused("--size=99999999999999999999",
                       "--size: \"99999999999999999999\" is not a size; write 64MiB");
}

static void durations_are_milliseconds(void **state)
{
    (void)state;
    assert_int_equal(parsed("--time=2min").ms, 120000);
    assert_int_equal(parsed("-t1ms").ms, 1);
    assert_int_equal(parsed("").ms, 5000);
    assert_row_refused("--time=soon", "--time: \"soon\" is not a duration; write 10s");
    assert_row_refused("--time=0", "--time: \"0\" is not a duration; write 10s");
    assert_row_refused("--time=-1s", "--time: \"-1s\" is not a duration; write 10s");
    assert_row_refused("-t", "-t needs a value");
}

static void numbers_have_bounds_and_a_base(void **state)
{
    (void)state;
    assert_int_equal(parsed("-j256").inner.jobs, 256);
    assert_int_equal(parsed("--jobs=1").inner.jobs, 1);
    assert_int_equal(parsed("-o mode=0777").inner.mode, 0777);
    assert_int_equal(parsed("-o mode=27").inner.mode, 027);
    assert_row_refused("--jobs=0", "--jobs: \"0\" is not a number from 1 to 256");
    assert_row_refused("--jobs=257", "--jobs: \"257\" is not a number from 1 to 256");
    assert_row_refused("--jobs=-1", "--jobs: \"-1\" is not a number from 1 to 256");
    assert_row_refused("--jobs=two", "--jobs: \"two\" is not a number from 1 to 256");
    assert_row_refused("--jobs=2x", "--jobs: \"2x\" is not a number from 1 to 256");
    assert_row_refused("--jobs=", "--jobs: \"\" is not a number from 1 to 256");
    assert_row_refused("--jobs=99999999999999999999",
                       "--jobs: \"99999999999999999999\" is not a number from 1 to 256");
    assert_row_refused("-o mode=8", "-o mode: \"8\" is not an octal number");
    assert_row_refused("-o mode=-0", "-o mode: \"-0\" is not an octal number");
    assert_row_refused("-o mode=1000", "-o mode: \"1000\" is not an octal number");
    assert_row_refused("--mode=0", "unknown option --mode");
}

static void choices_are_known_by_name(void **state)
{
    (void)state;
    assert_int_equal(parsed("--colour=red").colour, RED);
    assert_int_equal(parsed("--colour=green").colour, GREEN);
    assert_int_equal(parsed("-o colour=blue").colour, BLUE);
    assert_row_refused("--colour=pink", "--colour: \"pink\" is none of red, green, blue");
    assert_row_refused("--colour=", "--colour: \"\" is none of red, green, blue");
    assert_row_refused("--colour=re", "--colour: \"re\" is none of red, green, blue");
}

static void setters_are_told_the_member(void **state)
{
    (void)state;
    assert_int_equal(parsed("--at=5").moment, 5);
    assert_int_equal(parsed("-a6 -l").moment, -1);
    assert_row_refused("--latest=5", "--latest takes no value");
    assert_row_refused("--at", "--at needs a value");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_long_forms),
        cmocka_unit_test(options_short_forms),
        cmocka_unit_test(options_end_with_two_dashes),
        cmocka_unit_test(options_after_o),
        cmocka_unit_test(options_that_are_wrong_are_named),
        cmocka_unit_test(option_list_stops_at_the_first_error),
        cmocka_unit_test(flags_are_set),
        cmocka_unit_test(texts_are_copies_and_the_last_counts),
        cmocka_unit_test(sizes_are_bytes),
        cmocka_unit_test(durations_are_milliseconds),
        cmocka_unit_test(numbers_have_bounds_and_a_base),
        cmocka_unit_test(choices_are_known_by_name),
        cmocka_unit_test(setters_are_told_the_member),
    };

    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
