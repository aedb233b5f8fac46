/* common/relay.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/err.h"
#include "common/mem.h"
#include "common/proc.h"
#include "common/relay.h"
#include "fixture.h"

/* What is said while `fd` has the relay's standard error, in place of ours. */
static char *relayed(const char *script)
{
    int saved = dup(STDERR_FILENO), fds[2], child;
    char *said = mem_alloc(4096);
    struct proc_fd given;
    struct relay *r;
    struct err err;

    assert_int_equal(pipe(fds), 0);
    dup2(fds[1], STDERR_FILENO);
    close(fds[1]);
    assert_int_equal(relay_start(&r, &child, &err), 0);
    given = (struct proc_fd){child, STDERR_FILENO};
    fixture_run_shell(script, NULL, &given, 1);
    relay_end(r); /* we have the other end still: it does not wait for us */
    close(child);
    dup2(saved, STDERR_FILENO);
    close(saved);
    assert_true(read(fds[0], said, 4095) >= 0);
    close(fds[0]);
    return said;
}

static void relay_says_what_a_child_says(void **state)
{
    char *said = relayed("printf 'asofs: one\\nasofs: two\\nhas more\\n' >&2; echo three >&2; "
                         "printf 'no end' >&2");

    (void)state;
    assert_non_null(strstr(said, "asofs: one\nasofs: two\n  has more\n"));
    assert_null(strstr(said, "asofs: asofs:"));
    assert_non_null(strstr(said, "three\n"));
    assert_non_null(strstr(said, "no end\n"));
    free(said);
    said = relayed("exit 0");
    assert_string_equal(said, "");
    free(said);
}

static void relay_that_gets_no_descriptors_is_told(void **state)
{
    struct relay *r = NULL;
    int more, child;

    (void)state;
    relay_end(r);
    for (more = 0; more < 4; more += 2) { /* one pipe is there, or none */
        struct rlimit old = fixture_allow_descriptors(more);
        struct err err;
        int rc = relay_start(&r, &child, &err), left = dup(STDERR_FILENO);

        setrlimit(RLIMIT_NOFILE, &old);
        assert_int_equal(rc, -EMFILE);
        assert_non_null(strstr(err.text, "cannot make a pipe"));
        assert_int_equal(left >= 0, more > 0); /* it has closed what it had */
        if (left >= 0)
            close(left);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relay_says_what_a_child_says),
        cmocka_unit_test(relay_that_gets_no_descriptors_is_told),
    };

    return cmocka_run_group_tests_name("common/relay", tests, NULL, NULL);
}
