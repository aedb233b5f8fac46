/* common/ask.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "common/ask.h"
#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/proc.h"

static int answer(void *arg, FILE *out)
{
    fprintf(out, "%s\n", (const char *)arg);
    return 7;
}

static int answer_at_length(void *arg, FILE *out)
{
    size_t i;

    (void)arg;
    for (i = 0; i < 100000; i++)
        fputs("0123456789", out);
    return 0;
}

static int never_answer(void *arg, FILE *out)
{
    (void)arg;
    fputs("so far", out);
    fflush(out);
    while (pause() < 0)
        ;
    return 0;
}

static int die(void *arg, FILE *out)
{
    (void)arg, (void)out;
    raise(SIGKILL);
    return 0;
}

static void ask_hears_what_is_answered_in_time(void **state)
{
    struct buf b = {0};
    struct err err;
    struct ask a;

    (void)state;
    assert_int_equal(ask(answer, (char[]){"yes"}, &b, &err), 7);
    assert_string_equal(b.data, "yes\n");
    buf_clear(&b);
    assert_int_equal(ask(answer_at_length, NULL, &b, &err), 0);
    assert_int_equal(b.len, 1000000);
    buf_clear(&b);
    assert_int_equal(ask(die, NULL, &b, &err), -EIO);
    assert_int_equal(ask_start(&a, never_answer, NULL, &err), 0);
    assert_int_equal(ask_wait(&a, clock_ms() + 50, &b), -ETIMEDOUT);
    proc_wait(a.pid); /* it was killed */
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ask_hears_what_is_answered_in_time),
    };

    return cmocka_run_group_tests_name("common/ask", tests, NULL, NULL);
}
