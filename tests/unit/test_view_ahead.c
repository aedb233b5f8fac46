/* view/ahead.c: threads that read ahead of those who read in order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "view/ahead.h"

#define SIZE (6u << 20)
#define READ (128u << 10)
#define NOWHERE UINT64_MAX

/* A file whose byte at `bad` cannot be read. */
struct worked {
    struct flatfile file; /* first */
    uint64_t bad;
    atomic_uint reads, tries, told;
};

static char byte_at(uint64_t at)
{
    return (char)(at * 7 + at / 251);
}

static int make_bytes(const struct worked *w, void *buffer, size_t size, uint64_t offset)
{
    size_t i;

    if (w->bad >= offset && w->bad < offset + size)
        return -EIO;
    for (i = 0; i < size; i++)
        ((char *)buffer)[i] = byte_at(offset + i);
    return 0;
}

static int read_worked(const struct flatfile *f, void *buffer, size_t size, uint64_t offset)
{
    struct worked *w = (struct worked *)(uintptr_t)f;
    int rc = make_bytes(w, buffer, size, offset);

    w->reads++;
    if (rc < 0)
        w->told++;
    return rc;
}

static int try_worked(const struct flatfile *f, void *buffer, size_t size, uint64_t offset)
{
    struct worked *w = (struct worked *)(uintptr_t)f;

    w->tries++;
    return make_bytes(w, buffer, size, offset);
}

static struct worked *worked_new(void)
{
    static const struct flatfile_ops ops = {.read = read_worked, .try = try_worked};
    struct worked *w = mem_alloc(sizeof(*w));

    w->file = (struct flatfile){.ops = &ops, .size = SIZE};
    w->bad = NOWHERE;
    return w;
}

static struct ahead *begin(unsigned threads)
{
    struct ahead *a = ahead_new();
    struct err err;

    if (threads)
        assert_int_equal(ahead_begin(a, threads, &err), 0);
    return a;
}

static void assert_bytes(struct ahead_reader *r, uint64_t offset, size_t size)
{
    char *got = malloc(size);
    size_t want = offset >= SIZE ? 0 : size < SIZE - offset ? size : (size_t)(SIZE - offset), i;

    assert_int_equal(ahead_read(r, got, size, offset), want);
    for (i = 0; i < want && got[i] == byte_at(offset + i); i++)
        ;
    assert_int_equal(i, want);
    free(got);
}

static void read_in_order(struct ahead_reader *r, uint64_t from, uint64_t to)
{
    for (; from < to; from += READ)
        assert_bytes(r, from, READ);
}

static void in_order_is_read_ahead(void **state)
{
    struct ahead *a = begin(2);
    struct worked *w = worked_new();
    struct ahead_reader *r = ahead_open(a, &w->file);

    (void)state;
    read_in_order(r, 0, SIZE);
    assert_int_equal(ahead_read(r, NULL, READ, SIZE), 0);
    assert_in_range(w->tries, 10, SIZE / READ);
    assert_in_range(w->reads, 1, 4); /* the beginning, before it was known */
    ahead_close(r);
    ahead_free(a);
    free(w);
}

/* Without being asked, as soon as two reads follow one another. */
static void threads_do_it(void **state)
{
    struct ahead *a = begin(1);
    struct worked *w = worked_new();
    struct ahead_reader *r = ahead_open(a, &w->file);

    (void)state;
    assert_bytes(r, 0, READ);
    assert_int_equal(w->tries, 0);
    assert_bytes(r, READ, READ);
    while (!w->tries)
        usleep(1000);
    ahead_close(r);
    ahead_free(a);
    free(w);
}

static void elsewhere_is_not_read_ahead(void **state)
{
    struct ahead *a = begin(1);
    struct worked *w = worked_new();
    struct ahead_reader *r = ahead_open(a, &w->file);

    (void)state;
    assert_bytes(r, 5u << 20, READ);
    assert_bytes(r, 0, READ);
    assert_bytes(r, SIZE - 10, READ);
    assert_bytes(r, SIZE + 10, READ);
    assert_int_equal(w->tries, 0);
    ahead_close(r);
    ahead_free(a);
    free(w);
}

static void failure_belongs_to_who_asks(void **state)
{
    struct ahead *a = begin(2);
    struct worked *w = worked_new();
    struct ahead_reader *r = ahead_open(a, &w->file);
    uint64_t bad = 2u << 20;
    char *got = malloc(READ);

    (void)state;
    w->bad = bad + 100;
    read_in_order(r, 0, bad);
    assert_int_equal(w->told, 0); /* though it was tried */
    assert_int_equal(ahead_read(r, got, READ, bad), -EIO);
    assert_int_equal(w->told, 1);
    read_in_order(r, bad + READ, SIZE);
    assert_int_equal(w->told, 1);
    free(got);
    ahead_close(r);
    ahead_free(a);
    free(w);
}

static void nothing_is_left_of_who_goes(void **state)
{
    struct ahead *a = begin(2);
    struct worked *w = worked_new();
    struct ahead_reader *r = ahead_open(a, &w->file);
    unsigned tries;

    (void)state;
    read_in_order(r, 0, 1u << 20);
    ahead_close(r);
    tries = w->tries;
    usleep(20000);
    assert_int_equal(w->tries, tries);
    free(w);
    ahead_free(a);
}

/* More than there is memory for: all are right, and the last finds memory when others have gone. */
static void many_read_in_order(void **state)
{
    enum { MANY = 7 };
    struct ahead *a = begin(2);
    struct worked *w[MANY];
    struct ahead_reader *r[MANY];
    int i;

    (void)state;
    for (i = 0; i < MANY; i++) {
        w[i] = worked_new();
        r[i] = ahead_open(a, &w[i]->file);
        read_in_order(r[i], 0, 1u << 20);
    }
    assert_true(w[3]->reads < 4);
    assert_int_equal(w[MANY - 1]->tries, 0);
    ahead_close(r[0]);
    read_in_order(r[MANY - 1], 1u << 20, SIZE);
    assert_true(w[MANY - 1]->tries > 0);
    ahead_free(a); /* with the readers that are left */
    for (i = 0; i < MANY; i++)
        free(w[i]);
}

static void without_threads_who_asks_reads(void **state)
{
    struct ahead *a = begin(0), *b = begin(1);
    struct worked *w = worked_new();
    struct ahead_reader *r = ahead_open(a, &w->file), *s = ahead_open(b, &w->file);

    (void)state;
    read_in_order(r, 0, SIZE);
    ahead_leave_order(b);
    read_in_order(s, 0, SIZE);
    assert_int_equal(w->tries, 0);
    ahead_free(b);
    ahead_free(a);
    free(w);
}

static void ended_in_the_middle(void **state)
{
    struct ahead *a = begin(2);
    struct worked *w = worked_new();
    struct ahead_reader *r = ahead_open(a, &w->file);

    (void)state;
    read_in_order(r, 0, 1u << 20);
    ahead_end(a);
    read_in_order(r, 1u << 20, SIZE);
    ahead_free(a);
    free(w);
}

/* ---- several threads read by one reader, as the kernel asks ---- */

static void *read_some(void *reader)
{
    unsigned seed = (unsigned)(uintptr_t)pthread_self(), i;
    uint64_t at = 0;

    for (i = 0; i < 80; i++) {
        if (rand_r(&seed) % 8 == 0)
            at = (uint64_t)rand_r(&seed) % SIZE;
        assert_bytes(reader, at, 1 + (size_t)rand_r(&seed) % READ);
        at = (at + READ) % SIZE;
    }
    return NULL;
}

static void several_threads_read(void **state)
{
    struct ahead *a = begin(3);
    struct worked *w = worked_new();
    struct ahead_reader *r = ahead_open(a, &w->file);
    pthread_t threads[4];
    size_t i;

    (void)state;
    for (i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_some, r), 0);
    for (i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    ahead_close(r);
    ahead_free(a);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_is_read_ahead),
        cmocka_unit_test(threads_do_it),
        cmocka_unit_test(elsewhere_is_not_read_ahead),
        cmocka_unit_test(failure_belongs_to_who_asks),
        cmocka_unit_test(nothing_is_left_of_who_goes),
        cmocka_unit_test(many_read_in_order),
        cmocka_unit_test(without_threads_who_asks_reads),
        cmocka_unit_test(ended_in_the_middle),
        cmocka_unit_test(several_threads_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
