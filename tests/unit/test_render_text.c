/* render/text.c. The texts are what a server wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rendering.h"

static const struct rendering_case good[] = {
    {25, "", ""},
    {25, "61", "a"},
    {25, "61202262222c2063", "a \"b\", c"},
    {25, "c3a4c3b6c3bc", "äöü"},
    {1043, "", ""},
    {1043, "78207920", "x y "},
    {1790, "63", "c"},
    {194, "7b5041522022227d", "{PAR \"\"}"},
    {1042, "2020202020", "     "},
    {1042, "7820202020", "x    "},
    {1042, "6162636465", "abcde"},
    {114, "7b226122203a20317d", "{\"a\" : 1}"},
    {19,
     "000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
     "00000000000000000000000000000000000",
     ""},
    {19,
     "6e0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
     "00000000000000000000000000000000000",
     "n"},
    {19,
     "6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6"
     "e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e00",
     "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"},
    {19,
     "70675f636c61737300000000000000000000000000000000000000000000000000000000000000000000000000000"
     "00000000000000000000000000000000000",
     "pg_class"},
    {142, "3c612f3e", "<a/>"},
    {142, "0a3c612f3e", "<a/>"},
    {142, "0a0a3c612f3e", "\n<a/>"},
    {142, "", ""},
    {142, "74657874", "text"},
    {142, "3c3f786d6c2076657273696f6e3d22312e30223f3e3c612f3e", "<a/>"},
    {142, "3c3f786d6c2076657273696f6e3d22312e30223f3e0a3c612f3e", "<a/>"},
    {142, "3c3f786d6c2076657273696f6e3d22312e30223f3e0a0a3c612f3e", "\n<a/>"},
    {142, "3c3f786d6c2076657273696f6e3d22312e31223f3e3c612f3e", "<?xml version=\"1.1\"?><a/>"},
    {142, "3c3f786d6c2076657273696f6e3d22312e302220656e636f64696e673d225554462d38223f3e3c612f3e",
     "<a/>"},
    {142,
     "3c3f786d6c2076657273696f6e3d27312e302720656e636f64696e673d275554462d3827207374616e64616c6f6e6"
     "53d2779657327203f3e0a3c612f3e",
     "<?xml version=\"1.0\" standalone=\"yes\"?>\n<a/>"},
    {142,
     "3c3f786d6c202076657273696f6e203d2022312e312220207374616e64616c6f6e65203d20226e6f223f3e3c612f3"
     "e",
     "<?xml version=\"1.1\" standalone=\"no\"?><a/>"},
    {142, "3c3f786d6c2d7374796c65736865657420687265663d2278223f3e3c612f3e",
     "<?xml-stylesheet href=\"x\"?><a/>"},
    {142, "3c3f786d6c2076657273696f6e3d22312e3022207374616e64616c6f6e653d22796573223f3e0a3c612f3e",
     "<?xml version=\"1.0\" standalone=\"yes\"?>\n<a/>"},
};

static void texts_are_written_as_the_server_does(void **state)
{
    (void)state;
    rendering_check(render_texts, NULL, good, sizeof(good) / sizeof(*good));
}

static const struct rendering_case damaged[] = {
    {19, "", NULL},
    {19, "6e00", NULL},
    {19,
     "6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6"
     "e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e6e",
     NULL}, /* no NUL */
    {18, "", NULL},
    {18, "6161", NULL},
};

static void damaged_texts_are_faults(void **state)
{
    (void)state;
    rendering_check(render_texts, NULL, damaged, sizeof(damaged) / sizeof(*damaged));
}

static void high_chars_depend_on_the_version(void **state)
{
    static const struct render_settings newest = {0}, older = {.major = 15}, newer = {.major = 16};
    static const struct rendering_case plain[] = {
        {18, "00", ""}, {18, "61", "a"}, {18, "5c", "\\"}};
    static const struct rendering_case raw[] = {{18, "80", "\x80"}, {18, "ff", "\xff"}};
    static const struct rendering_case octal[] = {{18, "80", "\\200"}, {18, "ff", "\\377"}};

    (void)state;
    rendering_check(render_texts, &newest, plain, 3);
    rendering_check(render_texts, &older, plain, 3);
    rendering_check(render_texts, &older, raw, 2);
    rendering_check(render_texts, &newer, octal, 2);
    rendering_check(render_texts, &newest, octal, 2);
}

/* What looks like a declaration and is none stays. */
static void wrong_declarations_stay(void **state)
{
    static const char *const texts[] = {
        "<?xml",
        "<?xml ",
        "<?xml?>",
        "<?xmlversion='1.1'?>\n",
        "<?xml version?>",
        "<?xml version=?>",
        "<?xml version='1.1?>",
        "<?xml version='1.1\"?>",
        "<?xml version='1.1'",
        "<?xml version='1.1'?",
        "<?xml version='1.1'encoding='x'?>",
        "<?xml version='1.1' encoding?>",
        "<?xml version='1.1'standalone='yes'?>",
        "<?xml version='1.1' standalone='maybe'?>",
        "<?xml version='1.1' standalone='yes?>",
        "<?xml version='1.1' other='x'?>",
        "<?xml version='\xc3\xa4'?>",
        "<?xml standalone='yes'?>",
    };
    char *text;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        text = rendering_text(render_texts, NULL, 142, texts[i], strlen(texts[i]));
        assert_string_equal(text, texts[i]);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_written_as_the_server_does),
        cmocka_unit_test(damaged_texts_are_faults),
        cmocka_unit_test(high_chars_depend_on_the_version),
        cmocka_unit_test(wrong_declarations_stay),
    };

    return cmocka_run_group_tests_name("render/text", tests, NULL, NULL);
}
