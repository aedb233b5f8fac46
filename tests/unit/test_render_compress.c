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

static unsigned kinds_of(const uint8_t kinds[256], const char *bytes, size_t n)
{
    unsigned seen = 0;
    size_t i;

    for (i = 0; i < n; i++)
        seen |= kinds[(unsigned char)bytes[i]];
    return seen;
}

/* Who only looks through finds out the same as who makes the value. */
static void look_too(const char *p, size_t n, size_t size, bool ok, const char *want)
{
    uint8_t kinds[256] = {0};
    unsigned i, seen = 0;

    for (i = 0; i < 8; i++)
        kinds[(i * 77 + n) % 256] |= (uint8_t)(1 << i);
    assert_int_equal(render_look_through(p, n, size, kinds, 0, &seen), ok);
    if (!ok)
        return;
    assert_int_equal(seen, kinds_of(kinds, want, size));
    for (i = 1; i < 256; i *= 2) {
        assert_true(render_look_through(p, n, size, kinds, i, &seen));
        assert_int_equal(seen & i, kinds_of(kinds, want, size) & i);
    }
}

/* From memory of exactly that size, into memory of exactly that size. */
static bool try(unsigned method, const char *p, size_t n, size_t size, const char *want)
{
    char *from = malloc(n + 1), *to = malloc(size + 1);
    bool ok;

    memcpy(from + 1, p, n);
    ok = render_decompress(method, from + 1, n, to + 1, size);
    if (ok)
        assert_memory_equal(to + 1, want, size);
    if (method == RENDER_PGLZ && render_decompress_plausible(method, n, size))
        look_too(from + 1, n, size, ok, want);
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

/* ---- long values: any stream, as one loop that looks at every end ---- */

#define STREAM 4000
#define LONGEST (STREAM * 91)

static unsigned random_of(unsigned *seed)
{
    return (*seed = *seed * 1103515245 + 12345) >> 8;
}

/* Where *n bytes at p lead: -1: nowhere. */
static int plain_match(const unsigned char *p, size_t left, char *to, size_t at, size_t *n)
{
    size_t back, taken = 2, i;

    if (left < 2 || ((p[0] & 15) == 15 && left < 3))
        return -1;
    back = (size_t)(p[0] >> 4) << 8 | p[1];
    *n = (p[0] & 15u) + 3;
    if (*n == 18)
        *n += p[taken++];
    if (!back || back > at || at + *n > LONGEST)
        return -1;
    for (i = 0; i < *n; i++)
        to[at + i] = to[at + i - back];
    return (int)taken;
}

/* All of the stream, as long as it makes sense: how much it makes; *used: how much of it that is. */
static size_t plain_decompress(const unsigned char *p, size_t n, char *to, size_t *used)
{
    size_t i = 0, at = 0, bit = 8, more;
    unsigned control = 0;
    int taken;

    for (*used = 0; i < n; *used = i, bit++) {
        if (bit == 8) {
            bit = 0;
            control = p[i++];
            if (i == n)
                break;
        }
        if (!(control >> bit & 1)) {
            to[at++] = (char)p[i++];
            continue;
        }
        taken = plain_match(p + i, n - i, to, at, &more);
        if (taken < 0)
            break;
        i += (size_t)taken;
        at += more;
    }
    return at;
}

/* Two or three bytes that may follow `at` bytes of the value; *n becomes their number. Returns what they make. */
static size_t make_match(unsigned char *p, size_t at, unsigned *seed, size_t *n)
{
    size_t most = random_of(seed) % 2 ? 20 : 4095, back;
    unsigned length = random_of(seed) % 3 ? random_of(seed) % 15 : 15;

    back = 1 + random_of(seed) % (at < most ? at : most);
    p[0] = (unsigned char)(back >> 8 << 4 | length);
    p[1] = (unsigned char)back;
    p[2] = (unsigned char)(random_of(seed) % 4 ? random_of(seed) % 16 : random_of(seed));
    *n = length == 15 ? 3 : 2;
    return 3 + length + (length == 15 ? p[2] : 0);
}

static unsigned char make_control(unsigned *seed, unsigned matches)
{
    unsigned control = 0, bit;

    for (bit = 0; bit < 8; bit++)
        control |= (random_of(seed) % 8 < matches ? 1u : 0u) << bit;
    return (unsigned char)control;
}

/* Literals and matches of all sorts, up to the end; then maybe some bytes are changed. */
static void make_stream(unsigned char *p, unsigned *seed)
{
    unsigned matches = random_of(seed) % 9;
    unsigned char control = 0;
    size_t i = 0, at = 0, bit = 8, n;

    for (; i + 4 < STREAM; i += n, bit++) {
        if (bit == 8) {
            bit = 0;
            p[i++] = control = at ? make_control(seed, matches) : 0;
        }
        n = 1;
        if (control >> bit & 1) {
            at += make_match(p + i, at, seed, &n);
        } else {
            p[i] = (unsigned char)random_of(seed);
            at++;
        }
    }
    for (; i < STREAM; i++)
        p[i] = 0;
    for (n = random_of(seed) % 3; n > 0; n--)
        p[random_of(seed) % STREAM] = (unsigned char)random_of(seed);
}

static void pglz_streams_of_all_kinds(void **state)
{
    static char want[LONGEST + 1];
    unsigned char stream[STREAM];
    unsigned seed = 1, round;
    size_t used, size;

    (void)state;
    for (round = 0; round < (getenv("UNDER_VALGRIND") ? 200 : 2000); round++) {
        make_stream(stream, &seed);
        size = plain_decompress(stream, STREAM, want, &used);
        assert_true(try(RENDER_PGLZ, (char *)stream, used, size, want));
        assert_false(try(RENDER_PGLZ, (char *)stream, used, size + 1, want));
        assert_false(try(RENDER_PGLZ, (char *)stream, used, size - 1, want));
        if (used < STREAM)
            assert_false(try(RENDER_PGLZ, (char *)stream, STREAM, size + 4000, want));
    }
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
        cmocka_unit_test(pglz_streams_of_all_kinds),
        cmocka_unit_test(damaged_pglz_is_refused),
        cmocka_unit_test(lz4_is_what_liblz4_makes),
        cmocka_unit_test(lz4_at_its_best_is_plausible),
        cmocka_unit_test(what_no_bytes_can_make_is_not_plausible),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
