/* render/search.c. The texts are what a server wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rendering.h"

static const struct rendering_case good[] = {
    {3614, "03000000030000000760000007e000006100010001c0636174000100050066617400020002800440",
     "'a':1A 'cat':5 'fat':2B,4C"},
    {3614, "00000000", ""},
    {3614, "0300000002000000031000000360000061620100ff3f6300050001c00280034004000500",
     "'a' 'b':16383 'c':1A,2B,3C,4,5"},
    {3614, "030000000a00000008500000159000005c6261636b69742773776974682073706163650001000300",
     "'\\\\back' 'it''s' 'with space':3"},
    {3614, "020000000f00000002c000006772c3b6c39f6500010007c078", "'größe':7A 'x'"},
    {3615,
     "04000000020200000300000000000000020100000100000000000000010c0000c8fc15fa0340000001000000a3339"
     "be9030000006661740072617400",
     "'fat' & !'rat':AB"},
    {3615, "00000000", ""},
    {3615, "0100000001000000bcbeb717010000006100", "'a'"},
    {3615, "0100000001000100bcbeb717010000006100", "'a':*"},
    {3615, "01000000010f0100bcbeb717010000006100", "'a':*ABCD"},
    {3615,
     "050000000203000002000000000000000100000090dfb9f9014000000202000002000000000000000100000006efb"
     "e8e0120000001000000bcbeb71701000000610062006300",
     "'a' & 'b' | 'c'"},
    {3615,
     "050000000203000004000000000000000202000002000000000000000100000090dfb9f9014000000100000006efb"
     "e8e0120000001000000bcbeb71701000000610062006300",
     "'a' | 'b' & 'c'"},
    {3615,
     "050000000202000002000000000000000100000090dfb9f9014000000203000002000000000000000100000006efb"
     "e8e0120000001000000bcbeb71701000000610062006300",
     "( 'a' | 'b' ) & 'c'"},
    {3615,
     "050000000204010002000000000000000100000090dfb9f9014000000204010002000000000000000100000006efb"
     "e8e0120000001000000bcbeb71701000000610062006300",
     "'a' <-> 'b' <-> 'c'"},
    {3615,
     "050000000204010004000000000000000204010002000000000000000100000090dfb9f9014000000100000006efb"
     "e8e0120000001000000bcbeb71701000000610062006300",
     "'a' <-> ( 'b' <-> 'c' )"},
    {3615,
     "0700000002040000040000000000000002030000020000000000000001000000334add67016000000100000090dfb"
     "9f90140000002040c0002000000000000000100000006efbe8e0120000001000000bcbeb717010000006100620063"
     "006400",
     "'a' <12> 'b' <0> ( 'c' | 'd' )"},
    {3615,
     "040000000201000001000000000000000202000002000000000000000100000006efbe8e0120000001000000bcbeb"
     "7170100000061006200",
     "!( 'a' & 'b' )"},
    {3615, "0300000002010000010000000000000002010000010000000000000001000000bcbeb717010000006100",
     "!!'a'"},
    {3615,
     "0b00000002030000040000000000000002040100020000000000000001000000a57ada100180000001000000334ad"
     "d67016000000202000003000000000000000201000001000000000000000100000090dfb9f9014000000201000001"
     "000000000000000204010002000000000000000100000006efbe8e0120000001000000bcbeb717010000006100620"
     "0630064006500",
     "!( 'a' <-> 'b' ) & !'c' | 'd' <-> 'e'"},
    {3615,
     "0800000002040100020000000000000001000000334add67016000000204010005000000000000000201000001000"
     "000000000000204010002000000000000000100000090dfb9f9014000000100000006efbe8e0120000001000000bc"
     "beb717010000006100620063006400",
     "'a' <-> !( 'b' <-> 'c' ) <-> 'd'"},
    {3615,
     "050000000203000004000000000000000202000002000000000000000101000048d892b80780000001000000071e2"
     "fb7025000000100000062f6d4ec0400000069742773005c62006772c3b6c39f6500",
     "'it''s' | '\\\\b' & 'größe':D"},
};

static void searches_are_written_as_the_server_does(void **state)
{
    (void)state;
    rendering_check(render_searches, NULL, good, sizeof(good) / sizeof(*good));
}

static const struct rendering_case damaged[] = {
    {3614, "", NULL},
    {3614, "01000000", NULL},
    {3614, "ffffffff00000000", NULL},
    {3614, "010000000400000061", NULL}, /* one byte longer than it has */
    {3614,
     "020000000200000002000000"
     "61",
     NULL},                                    /* both are the same byte */
    {3614, "010000000300000061000100", NULL},  /* a position that is not there */
    {3614, "010000000300000061000000", "'a'"}, /* positions, but none */
    {3614, "0100000003000000", NULL},
    {3615, "", NULL},
    {3615, "01000000", NULL},
    {3615, "ffffff7f00000000", NULL},
    {3615,
     "01000000"
     "030000000000000000000000",
     NULL}, /* neither of both */
    {3615,
     "01000000"
     "010000000000000000000000",
     NULL}, /* without a text */
    {3615,
     "01000000"
     "010000000000000001000000"
     "61",
     NULL},
    {3615,
     "01000000"
     "010000000000000001000000"
     "6161",
     NULL},
    {3615,
     "01000000"
     "010000000000000002000000"
     "610000",
     NULL}, /* it is shorter */
    {3615,
     "01000000"
     "018000000000000001000000"
     "6100",
     "'a':"},
    {3615,
     "01000000"
     "020100000100000000000000",
     NULL}, /* NOT, of nothing */
    {3615,
     "02000000"
     "020500000200000000000000"
     "010000000000000001000000"
     "6100",
     NULL},
    /* AND, of one; of the same, twice; of what is behind the end */
    {3615,
     "02000000"
     "020200000100000000000000"
     "010000000000000001000000"
     "6100",
     NULL},
    {3615,
     "03000000"
     "020200000100000000000000"
     "010000000000000001000000"
     "010000000000000001000000"
     "6100",
     NULL},
    {3615,
     "03000000"
     "020200000300000000000000"
     "010000000000000001000000"
     "010000000000000001000000"
     "61006100",
     NULL},
    {3615,
     "03000000"
     "020200000200000000000000"
     "010000000000000001000000"
     "010000000000000001000000"
     "6100",
     NULL}, /* both have the same text */
    {3615,
     "03000000"
     "020200000200000000000000"
     "010000000000000001000000"
     "010000000000000001200000"
     "61006200",
     "'b' & 'a'"},
};

static void damaged_searches_are_faults(void **state)
{
    (void)state;
    rendering_check(render_searches, NULL, damaged, sizeof(damaged) / sizeof(*damaged));
}

static void put_item(struct out *o, char type, char which, uint32_t left, uint32_t text)
{
    char item[12] = {type, which, which == 4 ? 1 : 0};

    memcpy(item + 4, &left, 4);
    memcpy(item + 8, &text, 4);
    out_put(o, item, sizeof(item));
}

/* So many operators, each within the left, or the right, operand of the one before. */
static char *chain_text(uint32_t n, bool is_left)
{
    uint32_t i, items = 2 * n + 1, texts = 0;
    struct out o = {0};
    char *text;

    out_put(&o, &items, 4);
    for (i = 0; i < n; i++) {
        put_item(&o, 2, 4, is_left ? 2 : 2 * (n - i), 0);
        if (is_left)
            put_item(&o, 1, 0, 0, 1 | texts++ * 2 << 12);
    }
    for (i = is_left ? n : 0; i <= n; i++)
        put_item(&o, 1, 0, 0, 1 | texts++ * 2 << 12);
    for (i = 0; i < texts; i++)
        out_put(&o, "a", 2);
    text = rendering_text(render_searches, NULL, 3615, o.p, o.n);
    out_free(&o);
    assert_non_null(text);
    return text;
}

static void long_chains_need_no_stack(void **state)
{
    char *text;

    (void)state;
    text = chain_text(2, true);
    assert_string_equal(text, "'a' <-> 'a' <-> 'a'");
    free(text);
    text = chain_text(2, false);
    assert_string_equal(text, "'a' <-> ( 'a' <-> 'a' )");
    free(text);
    text = chain_text(100000, true);
    assert_int_equal(strlen(text), 3 + 100000 * 8);
    free(text);
    text = chain_text(100000, false);
    assert_int_equal(strlen(text), 3 + 100000 * 8 + 99999 * 4);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(searches_are_written_as_the_server_does),
        cmocka_unit_test(damaged_searches_are_faults),
        cmocka_unit_test(long_chains_need_no_stack),
    };

    return cmocka_run_group_tests_name("render/search", tests, NULL, NULL);
}
