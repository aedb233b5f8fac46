/* extract/spooled.c: flat files out of spool files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"
#include "extract/spooled.h"
#include "fixture.h"

static int file_of(const void *bytes, size_t len)
{
    int fd = fixture_memory_file();

    assert_int_equal(io_pwrite_all(fd, bytes, len, 0), 0);
    return fd;
}

/* ---- where bytes are: no file is touched, the descriptors are but numbers ---- */

static void assert_located(const struct spooled *s, uint64_t at, uint64_t want, int fd,
                           uint64_t offset, uint64_t length)
{
    struct extent e;

    assert_true(spooled_locate(s, at, want, &e));
    assert_int_equal(e.fd, fd);
    assert_int_equal(e.offset, offset);
    assert_int_equal(e.length, length);
    assert_int_equal(e.start, at);
}

static void spooled_locates_every_boundary(void **state)
{
    struct spooled *s = spooled_new(3);
    struct flatfile *f;
    struct extent e;

    (void)state;
    spooled_set(s, 2, 7, 0, 5); /* in any order */
    spooled_set(s, 0, 4, 1000, 10);
    spooled_set(s, 1, 4, 500, 1);
    f = spooled_seal(s);
    assert_int_equal(f->size, 16);
    assert_located(s, 0, 100, 4, 1000, 10);
    assert_located(s, 9, 100, 4, 1009, 1);
    assert_located(s, 10, 100, 4, 500, 1);
    assert_located(s, 11, 100, 7, 0, 5);
    assert_located(s, 15, 100, 7, 4, 1);
    assert_located(s, 2, 3, 4, 1002, 3);
    assert_located(s, 0, UINT64_MAX, 4, 1000, 10);
    assert_false(spooled_locate(s, 16, 1, &e));
    assert_false(spooled_locate(s, UINT64_MAX, 1, &e));
    flatfile_free(f);
}

static void spooled_tells_its_pieces(void **state)
{
    static const char bytes[16] = "0123456789abcdef";
    int fd = file_of(bytes, sizeof(bytes)), other = file_of(bytes, 5);
    struct spooled *s = spooled_new(2);
    struct flatfile_piece p[2];
    struct flatfile *f;

    (void)state;
    spooled_set(s, 0, fd, 6, 10);
    spooled_set(s, 1, other, 0, 5);
    f = spooled_seal(s);
    assert_int_equal(flatfile_pieces(f, 100, 8, p, 2), 2);
    assert_int_equal(p[0].fd, fd);
    assert_int_equal(p[0].offset, 14);
    assert_int_equal(p[0].size, 2);
    assert_int_equal(p[1].fd, other);
    assert_int_equal(p[1].offset, 0);
    assert_int_equal(p[1].size, 5);
    assert_int_equal(flatfile_pieces(f, 2, 0, p, 2), 1);
    assert_int_equal(p[0].size, 2);
    assert_int_equal(flatfile_pieces(f, 100, 8, p, 1), 0); /* they are two */
    assert_int_equal(flatfile_pieces(f, 100, 15, p, 2), 0);
    assert_int_equal(ftruncate(other, 4), 0); /* whoever reads it is told */
    assert_int_equal(flatfile_pieces(f, 100, 8, p, 2), 0);
    assert_int_equal(flatfile_pieces(f, 2, 8, p, 2), 1);
    flatfile_free(f);
    close(other);
    close(fd);
}

static void spooled_skips_empty_chunks(void **state)
{
    struct spooled *s = spooled_new(5);
    struct flatfile *f;

    (void)state;
    spooled_set(s, 1, 1, 50, 3);
    spooled_set(s, 3, 2, 60, 2);
    f = spooled_seal(s);
    assert_int_equal(f->size, 5);
    assert_located(s, 2, 9, 1, 52, 1);
    assert_located(s, 3, 9, 2, 60, 2);
    flatfile_free(f);
}

static void spooled_without_bytes_has_no_place_to_read(void **state)
{
    size_t n;

    (void)state;
    for (n = 0; n < 3; n++) {
        struct spooled *s = spooled_new(n);
        struct flatfile *f = spooled_seal(s);
        struct extent e;
        char byte;

        assert_int_equal(f->size, 0);
        assert_false(spooled_locate(s, 0, 1, &e));
        assert_int_equal(flatfile_read(f, &byte, 1, 0), 0);
        flatfile_free(f);
    }
}

static void spooled_shows_nothing_before_it_is_sealed(void **state)
{
    struct spooled *s = spooled_new(1);
    struct flatfile *f;
    struct extent e;

    (void)state;
    spooled_set(s, 0, 1, 0, 10);
    assert_false(spooled_locate(s, 0, 1, &e));
    f = spooled_seal(s);
    assert_true(spooled_locate(s, 0, 1, &e));
    flatfile_free(f);
    spooled_free(spooled_new(2));
    spooled_free(NULL);
}

static void spooled_takes_large_offsets(void **state)
{
    uint64_t big = (uint64_t)1 << 61;
    struct spooled *s = spooled_new(2);
    struct flatfile *f;

    (void)state;
    spooled_set(s, 0, 0, 0, big);
    spooled_set(s, 1, 1, big, big);
    f = spooled_seal(s);
    assert_int_equal(f->size, 2 * big);
    assert_located(s, big - 1, 5, 0, big - 1, 1);
    assert_located(s, 2 * big - 1, 5, 1, 2 * big - 1, 1);
    flatfile_free(f);
}

/* ---- reading, against an array of bytes ---- */

enum { MODEL_FILES = 3, MODEL_SIZE = 4096, MODEL_READ = 2000, MODEL_THREADS = 3 };

/* Spool files of random bytes, a flat file made of ranges of them, and the bytes it should have. */
struct flat_model {
    char spool[MODEL_FILES][MODEL_SIZE];
    int fds[MODEL_FILES];
    struct spooled *spooled;
    struct flatfile *file;
    char *bytes;
    uint64_t size, seed;
};

static void make_spools(struct flat_model *m)
{
    int i;

    m->seed = 19;
    for (i = 0; i < MODEL_FILES * MODEL_SIZE; i++)
        m->spool[i / MODEL_SIZE][i % MODEL_SIZE] = (char)fixture_random_below(&m->seed, 256);
    for (i = 0; i < MODEL_FILES; i++)
        m->fds[i] = file_of(m->spool[i], MODEL_SIZE);
}

static void close_spools(struct flat_model *m)
{
    int i;

    for (i = 0; i < MODEL_FILES; i++)
        close(m->fds[i]);
}

static void make_flat_model(struct flat_model *m)
{
    size_t n = (size_t)fixture_random_below(&m->seed, 30), i;

    m->size = 0;
    m->bytes = mem_array(n, 400);
    m->spooled = spooled_new(n);
    for (i = 0; i < n; i++) {
        uint32_t file = (uint32_t)fixture_random_below(&m->seed, MODEL_FILES);
        uint64_t offset = fixture_random_below(&m->seed, MODEL_SIZE - 400);
        uint64_t length =
            fixture_random_below(&m->seed, 3) ? fixture_random_below(&m->seed, 400) : 0;

        spooled_set(m->spooled, i, m->fds[file], offset, length);
        memcpy(m->bytes + m->size, m->spool[file] + offset, length);
        m->size += length;
    }
    m->file = spooled_seal(m->spooled);
}

static void free_flat_model(struct flat_model *m)
{
    flatfile_free(m->file);
    free(m->bytes);
}

static bool reads_right(const struct flat_model *m, uint64_t offset, size_t want)
{
    char got[MODEL_READ];
    uint64_t n = offset >= m->size ? 0 : want < m->size - offset ? want : m->size - offset;

    return flatfile_read(m->file, got, want, offset) == (int64_t)n &&
           (n == 0 || memcmp(got, m->bytes + offset, n) == 0);
}

static void spooled_agrees_with_an_array_of_bytes(void **state)
{
    struct flat_model *m = mem_alloc(sizeof(*m));
    int round, i;

    (void)state;
    make_spools(m);
    for (round = 0; round < 200; round++) {
        make_flat_model(m);
        assert_int_equal(m->file->size, m->size);
        for (i = 0; i < 100; i++)
            assert_true(reads_right(m, fixture_random_below(&m->seed, (uint32_t)m->size + 3),
                                    (size_t)fixture_random_below(&m->seed, MODEL_READ)));
        assert_int_equal(flatfile_fd(m->file), -1);
        free_flat_model(m);
    }
    close_spools(m);
    free(m);
}

static void *read_model(void *arg)
{
    const struct flat_model *m = arg;
    uint64_t at;

    for (at = 0; at <= m->size; at++)
        if (!reads_right(m, at, at % MODEL_READ))
            return (void *)(uintptr_t)(at + 1);
    return NULL;
}

static void spooled_is_read_by_several_threads(void **state)
{
    struct flat_model *m = mem_alloc(sizeof(*m));
    pthread_t threads[MODEL_THREADS];
    void *wrong;
    int i;

    (void)state;
    make_spools(m);
    for (make_flat_model(m); m->size < MODEL_READ; make_flat_model(m))
        free_flat_model(m);
    for (i = 0; i < MODEL_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_model, m), 0);
    for (i = 0; i < MODEL_THREADS; i++) {
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    free_flat_model(m);
    close_spools(m);
    free(m);
}

/* ---- files that are less than they should be ---- */

static void spooled_that_lost_its_end_is_an_error(void **state)
{
    struct spooled *s = spooled_new(2);
    int fd = file_of("0123456789", 10);
    struct flatfile *f;
    char got[16];

    (void)state;
    spooled_set(s, 0, fd, 0, 4);
    spooled_set(s, 1, fd, 6, 4);
    f = spooled_seal(s);
    assert_int_equal(flatfile_read(f, got, 16, 0), 8);
    assert_memory_equal(got, "01236789", 8);
    assert_int_equal(ftruncate(fd, 8), 0);
    assert_int_equal(flatfile_read(f, got, 16, 0), -EIO);
    assert_int_equal(flatfile_read(f, got, 6, 0), 6);
    close(fd);
    assert_int_equal(flatfile_read(f, got, 1, 0), -EBADF);
    flatfile_free(f);
}

static void spooled_alone_has_a_file_that_is_its_own(void **state)
{
    int fd = file_of("0123456789", 10);
    struct flatfile *f = spooled_alone(fd, 6);
    char got[16];

    (void)state;
    assert_int_equal(f->size, 6);
    assert_int_equal(flatfile_fd(f), fd);
    assert_int_equal(flatfile_read(f, got, 16, 2), 4);
    assert_memory_equal(got, "2345", 4);
    assert_int_equal(ftruncate(fd, 5), 0);
    assert_int_equal(flatfile_read(f, got, 16, 2), -EIO);
    flatfile_free(f);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spooled_locates_every_boundary),
        cmocka_unit_test(spooled_tells_its_pieces),
        cmocka_unit_test(spooled_skips_empty_chunks),
        cmocka_unit_test(spooled_without_bytes_has_no_place_to_read),
        cmocka_unit_test(spooled_shows_nothing_before_it_is_sealed),
        cmocka_unit_test(spooled_takes_large_offsets),
        cmocka_unit_test(spooled_agrees_with_an_array_of_bytes),
        cmocka_unit_test(spooled_is_read_by_several_threads),
        cmocka_unit_test(spooled_that_lost_its_end_is_an_error),
        cmocka_unit_test(spooled_alone_has_a_file_that_is_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
