/* common/flatfile.c: what every flat file promises, and a text as one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/flatfile.h"
#include "common/mem.h"

static struct flatfile *flat_text(const char *text)
{
    struct buf b = {0};
    struct flatfile *f;

    buf_puts(&b, text);
    f = flatfile_from_text(&b);
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    return f;
}

static void text_is_read_at_every_place(void **state)
{
    static const char text[] = "id,name\n1,bolt\n";
    struct flatfile *f = flat_text(text);
    size_t len = strlen(text), at, size;
    char got[32];

    (void)state;
    assert_int_equal(f->size, len);
    for (at = 0; at <= len + 2; at++) {
        for (size = 0; size <= len + 2; size++) {
            size_t n = at >= len ? 0 : size < len - at ? size : len - at;

            memset(got, '?', sizeof(got));
            assert_int_equal(flatfile_read(f, got, size, at), n);
            assert_memory_equal(got, text + (at < len ? at : len), n);
            assert_int_equal(got[n], '?');
        }
    }
    assert_int_equal(flatfile_read(f, got, sizeof(got), UINT64_MAX), 0);
    assert_int_equal(flatfile_fd(f), -1);
    flatfile_free(f);
    flatfile_free(NULL);
}

static void text_may_be_empty_or_have_any_bytes(void **state)
{
    struct buf none = {0}, zeros = {0};
    struct flatfile *f = flatfile_from_text(&none);
    char got[8];

    (void)state;
    assert_int_equal(f->size, 0);
    assert_int_equal(flatfile_read(f, got, sizeof(got), 0), 0);
    flatfile_free(f);
    buf_put(&zeros, "a\0b\0", 4);
    f = flatfile_from_text(&zeros);
    assert_int_equal(f->size, 4);
    assert_int_equal(flatfile_read(f, got, sizeof(got), 1), 3);
    assert_memory_equal(got, "\0b\0", 3);
    flatfile_free(f);
}

/* ---- by several threads ---- */

enum { BIG = 5000, THREADS = 4, READS = 2000 };

struct reading {
    const struct flatfile *f;
    const char *expected;
    uint64_t seed;
    int wrong;
};

/* cmocka's assertions are for the thread of the test. */
static void *read_around(void *arg)
{
    struct reading *r = arg;
    char got[300];
    int i;

    for (i = 0; i < READS; i++) {
        uint64_t at = (r->seed = r->seed * 6364136223846793005u + 1442695040888963407u) >> 33;
        size_t size = (size_t)(at >> 13) % sizeof(got);
        int64_t n;

        at %= BIG;
        n = flatfile_read(r->f, got, size, at);
        r->wrong += n != (int64_t)(size < BIG - at ? size : BIG - at) ||
                    memcmp(got, r->expected + at, (size_t)n) != 0;
    }
    return NULL;
}

static void text_is_read_by_several_threads(void **state)
{
    struct reading r[THREADS];
    pthread_t threads[THREADS];
    char *bytes = mem_alloc(BIG);
    struct buf b = {0};
    struct flatfile *f;
    int i;

    (void)state;
    for (i = 0; i < BIG; i++)
        bytes[i] = (char)(i * 7 % 251);
    buf_put(&b, bytes, BIG);
    f = flatfile_from_text(&b);
    for (i = 0; i < THREADS; i++) {
        r[i] = (struct reading){.f = f, .expected = bytes, .seed = (uint64_t)i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, read_around, &r[i]), 0);
    }
    for (i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(r[i].wrong, 0);
    }
    flatfile_free(f);
    free(bytes);
}

/* ---- any maker ---- */

/* What it was asked for, and what it answers. */
struct asked {
    struct flatfile file; /* first */
    uint64_t offset, size;
    int times, answer, freed;
};

static int read_asked(const struct flatfile *f, void *buffer, size_t size, uint64_t offset)
{
    struct asked *a = (struct asked *)(uintptr_t)f;

    (void)buffer;
    a->times++;
    a->size = size;
    a->offset = offset;
    return a->answer;
}

static int fd_of_asked(const struct flatfile *f)
{
    (void)f;
    return 17;
}

static void free_asked(struct flatfile *f)
{
    ((struct asked *)f)->freed++;
}

static void maker_is_asked_for_what_is_there_only(void **state)
{
    static const struct flatfile_ops ops = {.read = read_asked, .fd = fd_of_asked, .free = free_asked};
    struct asked a = {.file = {.ops = &ops, .size = UINT64_C(1) << 40}};
    char byte;

    (void)state;
    assert_int_equal(flatfile_read(&a.file, &byte, 0, 5), 0);
    assert_int_equal(flatfile_read(&a.file, &byte, 1, a.file.size), 0);
    assert_int_equal(a.times, 0);
    assert_int_equal(flatfile_read(&a.file, &byte, SIZE_MAX, a.file.size - 3), 3);
    assert_int_equal(a.offset, a.file.size - 3);
    assert_int_equal(a.size, 3);
    a.answer = -EIO;
    assert_int_equal(flatfile_read(&a.file, &byte, 1, 0), -EIO);
    assert_int_equal(a.times, 2);
    assert_int_equal(flatfile_fd(&a.file), 17);
    flatfile_free(&a.file);
    assert_int_equal(a.freed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_read_at_every_place),
        cmocka_unit_test(text_may_be_empty_or_have_any_bytes),
        cmocka_unit_test(text_is_read_by_several_threads),
        cmocka_unit_test(maker_is_asked_for_what_is_there_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
