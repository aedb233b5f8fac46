/* render/compress.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <lz4.h>
#include <stdlib.h>
#include <string.h>

#include "render/compress.h"

/* From memory of exactly that size, into memory of exactly that size. */
static bool try(unsigned method, const char *p, size_t n, size_t size, const char *want)
{
    char *from = malloc(n + 1), *to = malloc(size + 1);
    bool ok;

    memcpy(from + 1, p, n);
    ok = render_decompress(method, from + 1, n, to + 1, size);
    if (ok)
        assert_memory_equal(to + 1, want, size);
    free(from);
    free(to);
    return ok;
}

static void pglz_literals_and_matches(void **state)
{
    char eight[64];

    (void)state;
    assert_true(try(RENDER_PGLZ, "\0abc", 4, 3, "abc"));
    assert_true(try(RENDER_PGLZ, "\0abcdefgh\0ij", 12, 10, "abcdefghij"));
    /* "abc", then 6 bytes from 3 back */
    assert_true(try(RENDER_PGLZ, "\010abc\3\3", 6, 9, "abcabcabc"));
    /* one byte, repeated 18 + 2 times */
    memset(eight, 'x', sizeof(eight));
    assert_true(try(RENDER_PGLZ, "\2x\17\1\2", 5, 21, eight));
    /* far back: 20 bytes as they are, 16 of them again */
    assert_true(try(RENDER_PGLZ,
                    "\0"
                    "abcdefgh"
                    "\0"
                    "ijklmnop"
                    "\020"
                    "qrst"
                    "\15\24"
                    "z",
                    26, 37, "abcdefghijklmnopqrstabcdefghijklmnopz"));
}

/* 40 bytes, a match, and `behind` bytes more, and what they make. Returns their number. */
static size_t put_match(char *from, char *want, size_t back, size_t n, size_t behind)
{
    char *p = from;
    size_t i;

    for (i = 0; i < 40; i++) {
        if (i % 8 == 0)
            *p++ = 0;
        *p++ = want[i] = (char)('A' + i);
    }
    *p++ = 1;
    *p++ = (char)(n < 18 ? n - 3 : 15);
    *p++ = (char)back;
    if (n >= 18)
        *p++ = (char)(n - 18);
    for (i = 40; i < 40 + n; i++)
        want[i] = want[i - back];
    for (i = 0; i < behind; i++) {
        if (i % 8 == 7)
            *p++ = 0;
        *p++ = want[40 + n + i] = (char)('a' + i);
    }
    return (size_t)(p - from);
}

static void pglz_matches_of_all_kinds(void **state)
{
    char from[100], want[100];
    size_t back, n, behind, len;

    (void)state;
    for (back = 1; back <= 40; back++) {
        for (n = 3; n <= 40; n++) {
            for (behind = 0; behind < 20; behind++) {
                len = put_match(from, want, back, n, behind);
                assert_true(try(RENDER_PGLZ, from, len, 40 + n + behind, want));
            }
        }
    }
}

static void pglz_longest_match(void **state)
{
    char want[1000];

    (void)state;
    memset(want, 'y', sizeof(want));
    assert_true(try(RENDER_PGLZ, "\6y\17\1\377\17\1\377", 8, 547, want));
    assert_false(try(RENDER_PGLZ, "\6y\17\1\377\17\1\377", 8, 546, want));
    assert_false(try(RENDER_PGLZ, "\6y\17\1\377\17\1\377", 8, 548, want));
}

static void damaged_pglz_is_refused(void **state)
{
    (void)state;
    assert_false(try(RENDER_PGLZ, "\0abc", 4, 2, NULL));     /* too much */
    assert_false(try(RENDER_PGLZ, "\0abc", 4, 4, NULL));     /* too little */
    assert_false(try(RENDER_PGLZ, "\2a\3", 3, 7, NULL));     /* a match of one byte */
    assert_false(try(RENDER_PGLZ, "\2a\17\1", 4, 19, NULL)); /* without its length */
    assert_false(try(RENDER_PGLZ, "\2a\3\2", 4, 7, NULL));   /* before the beginning */
    assert_false(try(RENDER_PGLZ, "\2a\3\0", 4, 7, NULL));   /* nowhere */
    assert_false(try(RENDER_PGLZ, "\2a\363\1", 4, 7, NULL)); /* far before it */
    assert_false(try(RENDER_PGLZ, "\2a\3\1", 4, 6, NULL));   /* longer than the value */
    assert_false(try(RENDER_PGLZ, "\0", 1, 1, NULL));
    assert_false(try(RENDER_PGLZ, "", 0, 1, NULL));
}

static void lz4_is_what_liblz4_makes(void **state)
{
    char text[5000], small[6000];
    size_t i;
    int n;

    (void)state;
    for (i = 0; i < sizeof(text); i++)
        text[i] = (char)("abcdefghij"[i % 7] + (i > 2500));
    n = LZ4_compress_default(text, small, sizeof(text), sizeof(small));
    assert_true(n > 0);
    assert_true(try(RENDER_LZ4, small, (size_t)n, sizeof(text), text));
    assert_false(try(RENDER_LZ4, small, (size_t)n, sizeof(text) - 1, text));
    assert_false(try(RENDER_LZ4, small, (size_t)n, sizeof(text) + 1, text));
    assert_false(try(RENDER_LZ4, small, (size_t)n - 1, sizeof(text), text));
    small[n / 2] ^= 0x55;
    small[0] ^= 0x70;
    try(RENDER_LZ4, small, (size_t)n, sizeof(text), text);
}

static void lz4_at_its_best_is_plausible(void **state)
{
    static char zeros[1 << 20], small[1 << 15];
    int n;

    (void)state;
    n = LZ4_compress_default(zeros, small, sizeof(zeros), sizeof(small));
    assert_true(n > 0);
    assert_true(render_decompress_plausible(RENDER_LZ4, (size_t)n, sizeof(zeros)));
    assert_true(try(RENDER_LZ4, small, (size_t)n, sizeof(zeros), zeros));
}

static void what_no_bytes_can_make_is_not_plausible(void **state)
{
    (void)state;
    assert_true(render_decompress_plausible(RENDER_PGLZ, 3, 273));
    assert_false(render_decompress_plausible(RENDER_PGLZ, 3, 274));
    assert_false(render_decompress_plausible(RENDER_PGLZ, 2000, 1 << 30));
    assert_false(render_decompress_plausible(RENDER_LZ4, 2000, 1 << 20));
    assert_false(render_decompress_plausible(2, 100, 100));
    assert_false(render_decompress_plausible(3, 100, 100));
    assert_false(try(2, "abc", 3, 3, "abc"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pglz_literals_and_matches),
        cmocka_unit_test(pglz_matches_of_all_kinds),
        cmocka_unit_test(pglz_longest_match),
        cmocka_unit_test(damaged_pglz_is_refused),
        cmocka_unit_test(lz4_is_what_liblz4_makes),
        cmocka_unit_test(lz4_at_its_best_is_plausible),
        cmocka_unit_test(what_no_bytes_can_make_is_not_plausible),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
