/* render/jsonb.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "rendervalues.h"

static const struct render_type jsonb = {.len = -1, .align = 'i'};

static char *render(const char *p, size_t n, const char **fault)
{
    struct render_type t = jsonb;

    t.ops = render_documents[0].ops;
    return rendered_text(&t, p, n, fault);
}

static void assert_text(const char *hex, const char *expected)
{
    size_t n;
    char *bytes = bytes_of_hex(hex, &n), *text = render(bytes, n, NULL);

    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
    free(bytes);
}

static void assert_fault(const char *hex, const char *expected)
{
    const char *fault;
    size_t n;
    char *bytes = bytes_of_hex(hex, &n), *text = render(bytes, n, &fault);

    assert_null(text);
    assert_string_equal(fault, expected);
    free(bytes);
}

static void documents_are_written_as_the_server_writes_them(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < jsonb_nvalues; i++)
        assert_text(jsonb_values[i].hex, jsonb_values[i].text);
}

static void documents_that_end_early_are_no_harm(void **state)
{
    size_t i, k, n;

    (void)state;
    for (i = 0; i < jsonb_nvalues; i++) {
        char *bytes = bytes_of_hex(jsonb_values[i].hex, &n);

        for (k = 0; k < n; k++) {
            char *cut = mem_alloc(k ? k : 1);

            memcpy(cut, bytes, k);
            free(render(cut, k, NULL));
            free(cut);
        }
        free(bytes);
    }
}

/* An array in an array in an array: a server takes thousands of levels, by the size of its stack. */
static void nesting_has_no_limit(void **state)
{
    size_t levels = 100000, n = levels * 8 - 4, i;
    char *bytes = mem_alloc(n), *text;

    (void)state;
    for (i = 0; i < levels; i++) {
        uint32_t header = 0x40000000u | (i < levels - 1);
        uint32_t entry = 0x50000000u | (uint32_t)(n - i * 8 - 8);

        memcpy(bytes + i * 8, &header, 4);
        if (i < levels - 1)
            memcpy(bytes + i * 8 + 4, &entry, 4);
    }
    text = render(bytes, n, NULL);
    assert_non_null(text);
    assert_int_equal(strspn(text, "["), levels);
    assert_int_equal(strspn(text + levels, "]"), levels);
    assert_int_equal(strlen(text), 2 * levels);
    free(text);
    free(bytes);
}

static void headers_that_are_wrong_are_faults(void **state)
{
    static const char wrong[] = "a jsonb has a wrong header";

    (void)state;
    assert_fault("", wrong);
    assert_fault("000040", wrong);
    assert_fault("00000000", wrong);
    assert_fault("00000060", wrong);                         /* array and object */
    assert_fault("00000050", wrong);                         /* one value, but none */
    assert_fault("0100003000000040", wrong);                 /* one value, in an object */
    assert_fault("010000c000000040", wrong);                 /* a flag that is none */
    assert_fault("01000040080000500100005000000040", wrong); /* one value, but inside */
    assert_fault("010000500400005000000040",
                 "a jsonb has an element of an unknown kind"); /* one value, but an array */
    assert_fault("ffffff4f00000040", "a jsonb of more elements than it has room for");
    assert_fault("ffffff2f00000040", "a jsonb of more elements than it has room for");
    assert_fault("0100002000000000", "a jsonb of more elements than it has room for");
}

static void offsets_that_are_wrong_are_faults(void **state)
{
    static const char wrong[] = "an offset in a jsonb is impossible";

    (void)state;
    assert_fault("0100004002000000"
                 "78",
                 wrong); /* beyond the end */
    assert_fault("0200004001000000"
                 "00000080"
                 "78",
                 wrong); /* back */
    assert_fault("0200004001000000"
                 "02000050"
                 "78797a",
                 wrong); /* no room for the padding */
    assert_fault("0100002001000000"
                 "00000080"
                 "78",
                 wrong); /* a value in a key */
    assert_fault("01000020ffffff0f"
                 "00000040"
                 "78",
                 wrong); /* a key without end */
    assert_text("0200004001000000"
                "01000080"
                "78",
                "[\"x\", \"\"]");
}

static void elements_that_are_wrong_are_faults(void **state)
{
    (void)state;
    assert_fault("0100004000000060", "a jsonb has an element of an unknown kind");
    assert_fault("0100004000000070", "a jsonb has an element of an unknown kind");
    assert_fault("0100002000000040"
                 "00000040",
                 "a key in a jsonb is not a string");
    assert_fault("0100004000000010", "a number in a jsonb or jsonpath is damaged");
    assert_fault("0100004008000010"
                 "3000000000000000",
                 "a number in a jsonb or jsonpath is damaged");
    assert_fault("0100004008000010"
                 "2200000000000000",
                 "a number in a jsonb or jsonpath is damaged");
    assert_fault("0100004012000010"
                 "011200000000000000000000000000000000",
                 "a number in a jsonb or jsonpath is damaged");
    assert_fault("0100004000000050", "a jsonb has a wrong header");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_written_as_the_server_writes_them),
        cmocka_unit_test(documents_that_end_early_are_no_harm),
        cmocka_unit_test(nesting_has_no_limit),
        cmocka_unit_test(headers_that_are_wrong_are_faults),
        cmocka_unit_test(offsets_that_are_wrong_are_faults),
        cmocka_unit_test(elements_that_are_wrong_are_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
