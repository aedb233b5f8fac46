/* replay/refetch: the command for a segment, as PostgreSQL makes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "replay/refetch.h"

static void assert_command(const char *command, const char *wanted)
{
    char *text = refetch_command(command, "NAME", "to/it", "FIRST");

    assert_string_equal(text, wanted);
    free(text);
}

static void what_a_command_is_told(void **state)
{
    (void)state;
    assert_command("cp /a/%f \"%p\"", "cp /a/NAME \"to/it\"");
    assert_command("%f%f %r", "NAMENAME FIRST");
    assert_command("", "");
}

static void a_percent_sign_that_means_nothing_stays(void **state)
{
    (void)state;
    assert_command("date +%%s", "date +%s");
    assert_command("%%f", "%f");
    assert_command("100%", "100%");
    assert_command("${f%x}%", "${f%x}%");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_command_is_told),
        cmocka_unit_test(a_percent_sign_that_means_nothing_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
