/* common/hash.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/hash.h"
#include "fixture.h"

static uint64_t hash_of(const char *text)
{
    struct hash *h = hash_new();
    uint64_t v;

    hash_update(h, text, strlen(text));
    v = hash_value(h);
    hash_free(h);
    return v;
}

/* As `printf %s TEXT | xxhsum -H3` prints them. */
static void hash_is_xxh3(void **state)
{
    (void)state;
    assert_int_equal(hash_of(""), 0x2d06800538d394c2);
    assert_int_equal(hash_of("a"), 0xe6c632b61e964e1f);
    assert_int_equal(hash_of("abc"), 0x78af5f94892f3950);
    assert_int_equal(hash_of("xxhash"), 0xaa4c2b42ae6b13de);
}

static void hash_in_pieces_is_the_same(void **state)
{
    struct hash *h = hash_new();
    char zeros[1000] = {0};
    uint64_t seed = 1;
    size_t done, n;

    (void)state;
    hash_update(h, "what was there before", 21);
    hash_reset(h);
    for (done = 0; done < sizeof(zeros); done += n) {
        n = fixture_random_below(&seed, 50);
        if (n > sizeof(zeros) - done)
            n = sizeof(zeros) - done;
        hash_update(h, zeros, n);
    }
    assert_int_equal(hash_value(h), 0x24c1ea6074dd588c); /* head -c 1000 /dev/zero | xxhsum -H3 */
    assert_int_equal(hash_value(h), 0x24c1ea6074dd588c);
    hash_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_is_xxh3),
        cmocka_unit_test(hash_in_pieces_is_the_same),
    };

    return cmocka_run_group_tests_name("common/hash", tests, NULL, NULL);
}
