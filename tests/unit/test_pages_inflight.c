/* pages/inflight.h: writes that are announced, and what the end of a process leaves of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>

#include "memdisk.h"
#include "pages/inflight.h"

static void inflight_is_found_after_the_end_of_a_process(void **state)
{
    struct disk *d = memdisk_new();
    const uint32_t crc[] = {11, 12, 13};
    struct inflight *f;
    unsigned slot;

    (void)state;
    assert_int_equal(inflight_create(d, "inflight", NULL), 0);
    assert_int_equal(inflight_open(d, "inflight", true, &f, NULL), 0);
    assert_true(inflight_was_clean(f));
    inflight_begin(f);
    inflight_set_names_bytes(f, 77);
    slot = inflight_write(f, 5, 100, 3, crc);
    inflight_end(f, inflight_truncate(f, 6, 4711));
    inflight_close(f, false);

    assert_int_equal(inflight_open(d, "inflight", true, &f, NULL), 0);
    assert_false(inflight_was_clean(f));
    assert_int_equal(inflight_names_bytes(f), 77);
    assert_non_null(inflight_slot(f, slot));
    assert_int_equal(inflight_slot(f, slot)->where, 100);
    assert_int_equal(inflight_slot(f, slot)->crc[2], 13);
    assert_null(inflight_slot(f, slot + 1));
    inflight_end(f, slot);
    inflight_close(f, true);
    assert_int_equal(inflight_open(d, "inflight", true, &f, NULL), 0);
    assert_true(inflight_was_clean(f));
    inflight_close(f, true);
    d->ops->free(d);
}

static void inflight_with_a_flipped_bit_is_refused_or_unclean(void **state)
{
    struct disk *d = memdisk_new(), *copy;
    struct inflight *f;
    struct err err;
    uint64_t at;

    (void)state;
    assert_int_equal(inflight_create(d, "inflight", NULL), 0);
    for (at = 0; at < sizeof(struct inflight_header); at++) {
        copy = memdisk_copy(d);
        memdisk_flip(copy, "inflight", at, (unsigned)(at % 8));
        if (inflight_open(copy, "inflight", true, &f, &err) == 0) {
            assert_false(inflight_was_clean(f));
            inflight_close(f, false);
        }
        copy->ops->free(copy);
    }
    memdisk_cut(d, "inflight", 8192);
    assert_int_equal(inflight_open(d, "inflight", true, &f, &err), -EIO);
    d->ops->free(d);
}

struct announcer {
    struct inflight *f;
    uint64_t id;
};

static void *announce_much(void *arg)
{
    struct announcer *a = arg;
    uint32_t crc[INFLIGHT_PAGES] = {0};
    int i;

    for (i = 0; i < 2000; i++)
        inflight_end(a->f, inflight_write(a->f, a->id, (uint64_t)i, INFLIGHT_PAGES, crc));
    return NULL;
}

static void inflight_serves_more_threads_than_it_has_slots(void **state)
{
    enum { THREADS = INFLIGHT_SLOTS + 12 };
    struct disk *d = memdisk_new();
    struct announcer a[THREADS];
    pthread_t threads[THREADS];
    struct inflight *f;
    unsigned i;

    (void)state;
    assert_int_equal(inflight_create(d, "inflight", NULL), 0);
    assert_int_equal(inflight_open(d, "inflight", true, &f, NULL), 0);
    inflight_begin(f);
    for (i = 0; i < THREADS; i++) {
        a[i] = (struct announcer){f, i};
        assert_int_equal(pthread_create(&threads[i], NULL, announce_much, &a[i]), 0);
    }
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (i = 0; i < INFLIGHT_SLOTS; i++)
        assert_null(inflight_slot(f, i));
    inflight_close(f, true);
    d->ops->free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inflight_is_found_after_the_end_of_a_process),
        cmocka_unit_test(inflight_with_a_flipped_bit_is_refused_or_unclean),
        cmocka_unit_test(inflight_serves_more_threads_than_it_has_slots),
    };

    return cmocka_run_group_tests_name("pages/inflight", tests, NULL, NULL);
}
