/* pages/side.h: side page tables, whole, damaged, cut and rebuilt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>

#include "fixture.h"
#include "memdisk.h"
#include "pages/page.h"
#include "pages/side.h"

#define SIDE_PATH "side"
#define DIFF_PATH "diff"

/* A disk with a difference file of `pages` pages, of which every third is stored, and its table. */
static struct disk *disk_with_table(uint64_t pages)
{
    struct disk *d = memdisk_new();
    struct disk_file *diff;
    struct side *s;
    char bytes[PAGE_BYTES];
    uint64_t p;

    assert_int_equal(d->ops->open(d, DIFF_PATH, DISK_WRITE | DISK_CREATE, &diff), 0);
    assert_int_equal(diff->ops->truncate(diff, pages * PAGE_BYTES), 0);
    assert_int_equal(side_create(d, SIDE_PATH, 7, SIDE_NO_LIMIT, pages, &s, NULL), 0);
    for (p = 0; p < pages; p += 3) {
        fixture_fill_page(bytes, p, 1);
        assert_int_equal(side_prepare(s, p, 1), 0);
        assert_int_equal(diff->ops->write(diff, bytes, PAGE_BYTES, p * PAGE_BYTES), 0);
        side_set(s, p, page_crc(bytes, PAGE_BYTES));
    }
    side_close(s);
    diff->ops->close(diff);
    return d;
}

enum fate { RIGHT, DAMAGED, WRONG };

/* What a reader would get: the stored pages, and nothing else, or damage. */
static enum fate fate_of_page(const struct side *s, struct disk_file *diff, uint64_t p)
{
    char bytes[PAGE_BYTES], expected[PAGE_BYTES];
    bool stored = side_stored(s, p);

    if (!stored)
        return p % 3 == 0 ? WRONG : RIGHT;
    assert_true(diff->ops->read(diff, bytes, PAGE_BYTES, p * PAGE_BYTES) >= 0);
    if (page_crc(bytes, PAGE_BYTES) != side_crc(s, p))
        return DAMAGED;
    fixture_fill_page(expected, p, 1);
    return p % 3 == 0 && memcmp(bytes, expected, PAGE_BYTES) == 0 ? RIGHT : WRONG;
}

struct outcome {
    bool refused;
    unsigned damaged, wrong;
    uint64_t rebuilt;
};

static struct outcome open_table(struct disk *d, uint64_t pages)
{
    struct outcome o = {0};
    struct side_findings found = {0};
    struct disk_file *diff;
    struct side *s;
    struct err err;
    uint64_t p;

    if (side_open(d, SIDE_PATH, 7, pages, true, &s, &err) < 0) {
        assert_non_null(strstr(err.text, SIDE_PATH));
        return (struct outcome){.refused = true};
    }
    assert_int_equal(d->ops->open(d, DIFF_PATH, 0, &diff), 0);
    assert_int_equal(side_rebuild(s, diff, &found, &err), 0);
    assert_int_equal(side_unclean_blocks(s), 0);
    for (p = 0; p < pages; p++) {
        enum fate fate = fate_of_page(s, diff, p);
        o.damaged += fate == DAMAGED;
        o.wrong += fate == WRONG;
    }
    if (found.rebuilt) /* also finds damage beyond the end of the file */
        assert_true(o.damaged <= found.damaged);
    o.rebuilt = found.rebuilt;
    diff->ops->close(diff);
    side_abandon(s);
    return o;
}

static void side_keeps_what_was_set(void **state)
{
    struct disk *d = disk_with_table(2000);
    struct outcome o = open_table(d, 2000);

    (void)state;
    assert_false(o.refused);
    assert_int_equal(o.wrong + o.damaged, 0);
    assert_int_equal(o.rebuilt, 0);
    assert_int_equal(memdisk_size(d, SIDE_PATH), 3 * SIDE_BLOCK);
    d->ops->free(d);
}

static void side_judges_by_checksum_and_data(void **state)
{
    (void)state;
    assert_int_equal(side_judge(true, 5, 5, false), SIDE_STORED);
    assert_int_equal(side_judge(false, 5, 5, true), SIDE_STORED);
    assert_int_equal(side_judge(true, 5, 6, false), SIDE_DAMAGED);
    assert_int_equal(side_judge(false, 5, 6, true), SIDE_DAMAGED);
    assert_int_equal(side_judge(true, 0, 6, false), SIDE_DAMAGED);
    assert_int_equal(side_judge(true, 0, 6, true), SIDE_ABSENT);
    assert_int_equal(side_judge(false, 0, 6, true), SIDE_ABSENT);
}

static void side_with_any_bit_flipped_is_never_wrong(void **state)
{
    struct disk *d = disk_with_table(40);
    struct outcome o;
    uint64_t at;
    unsigned bit, refused = 0, rebuilt = 0, damaged = 0, step = fixture_step(37);

    (void)state;
    for (at = 0; at < SIDE_BLOCK; at += step) {
        bit = (unsigned)(at * 5 % 8);
        struct disk *copy = memdisk_copy(d);
        memdisk_flip(copy, SIDE_PATH, at, bit);
        o = open_table(copy, 40);
        if (o.wrong)
            fail_msg("bit %u of byte %llu flipped: %u pages are wrong", bit, (unsigned long long)at,
                     o.wrong);
        refused += o.refused;
        rebuilt += o.rebuilt > 0;
        damaged += o.damaged > 0;
        copy->ops->free(copy);
    }
    /* each way was gone */
    assert_true(refused > 30 / step && rebuilt > 3000 / step && damaged > 40 / step);
    d->ops->free(d);
}

static void side_without_clean_flag_is_rebuilt_the_same(void **state)
{
    struct disk *d = disk_with_table(2000);
    uint16_t unclean = 0;
    struct outcome o;
    unsigned block;

    (void)state;
    for (block = 0; block < 3; block++)
        memdisk_poke(d, SIDE_PATH, block * SIDE_BLOCK + offsetof(struct side_block, clean),
                     &unclean, sizeof(unclean));
    o = open_table(d, 2000);
    assert_int_equal(o.rebuilt, 3);
    assert_int_equal(o.wrong + o.damaged, 0);
    d->ops->free(d);
}

static void side_with_lost_stored_bits_gets_them_back(void **state)
{
    static const uint8_t nothing[SIDE_PAGES / 8];
    struct disk *d = disk_with_table(900);
    struct outcome o;

    (void)state;
    memdisk_poke(d, SIDE_PATH, offsetof(struct side_block, stored), nothing, sizeof(nothing));
    memdisk_poke(d, SIDE_PATH, offsetof(struct side_block, allocated), nothing, sizeof(nothing));
    o = open_table(d, 900);
    assert_int_equal(o.rebuilt, 1);
    assert_int_equal(o.wrong + o.damaged, 0);
    d->ops->free(d);
}

static void side_that_is_gone_cut_or_holed_is_refused(void **state)
{
    static const char zeros[SIDE_BLOCK];
    uint64_t size;
    unsigned block;
    struct disk *d, *copy;

    (void)state;
    d = disk_with_table(2000);
    for (size = 0; size < 3 * SIDE_BLOCK; size += 512 * fixture_step(5)) {
        copy = memdisk_copy(d);
        memdisk_cut(copy, SIDE_PATH, size);
        assert_true(open_table(copy, 2000).refused);
        copy->ops->free(copy);
    }
    for (block = 0; block < 3; block++) {
        copy = memdisk_copy(d);
        memdisk_poke(copy, SIDE_PATH, block * SIDE_BLOCK, zeros, SIDE_BLOCK);
        assert_true(open_table(copy, 2000).refused);
        copy->ops->free(copy);
    }
    d->ops->remove(d, SIDE_PATH);
    assert_true(open_table(d, 2000).refused);
    d->ops->free(d);
}

static void pages_torn_at_every_sector_are_damaged(void **state)
{
    struct disk *d = disk_with_table(30);
    char new[PAGE_BYTES];
    uint16_t unclean = 0;
    struct outcome o;
    size_t cut;

    (void)state;
    fixture_fill_page(new, 3, 2);
    for (cut = 512; cut <= PAGE_BYTES; cut += 512) {
        struct disk *copy = memdisk_copy(d);
        memdisk_poke(copy, DIFF_PATH, 3 * PAGE_BYTES, new, cut);
        o = open_table(copy, 30);
        assert_int_equal(o.rebuilt, 0); /* found when it is read */
        assert_int_equal(o.damaged, 1);
        memdisk_poke(copy, SIDE_PATH, offsetof(struct side_block, clean), &unclean, 2);
        o = open_table(copy, 30);
        assert_int_equal(o.wrong, 0);
        assert_int_equal(o.damaged, 1);
        copy->ops->free(copy);
    }
    d->ops->free(d);
}

static void side_of_another_file_or_version_is_refused(void **state)
{
    struct disk *d = disk_with_table(30);
    uint16_t version = SIDE_VERSION + 1;
    struct side *s;
    struct err err;

    (void)state;
    assert_int_equal(side_open(d, SIDE_PATH, 8, 30, true, &s, &err), -EIO);
    assert_non_null(strstr(err.text, "another file"));
    memdisk_poke(d, SIDE_PATH, offsetof(struct side_block, version), &version, 2);
    assert_int_equal(side_open(d, SIDE_PATH, 7, 30, true, &s, &err), -EIO);
    assert_non_null(strstr(err.text, "another version"));
    d->ops->free(d);
}

static void side_on_a_full_disk_says_so(void **state)
{
    struct disk *d = memdisk_new();
    struct side *s;
    struct err err;

    (void)state;
    memdisk_limit(d, SIDE_BLOCK);
    assert_int_equal(side_create(d, SIDE_PATH, 7, SIDE_NO_LIMIT, 5000, &s, &err), 0);
    assert_int_equal(side_prepare(s, 2000, 1), -ENOSPC);
    assert_false(side_stored(s, 2000));
    side_close(s);
    memdisk_limit(d, 0);
    assert_int_equal(side_create(d, "other", 8, SIDE_NO_LIMIT, 1, &s, &err), -ENOSPC);
    assert_false(memdisk_has(d, "other"));
    d->ops->free(d);
}

static void side_limit_only_falls(void **state)
{
    struct disk *d = disk_with_table(30);
    struct side *s;

    (void)state;
    assert_int_equal(side_open(d, SIDE_PATH, 7, 30, true, &s, NULL), 0);
    assert_int_equal(side_limit(s), SIDE_NO_LIMIT);
    side_lower_limit(s, 12);
    side_lower_limit(s, 20);
    assert_int_equal(side_limit(s), 12);
    side_close(s);
    assert_int_equal(side_open(d, SIDE_PATH, 7, 30, true, &s, NULL), 0);
    assert_int_equal(side_limit(s), 12);
    side_close(s);
    d->ops->free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(side_keeps_what_was_set),
        cmocka_unit_test(side_judges_by_checksum_and_data),
        cmocka_unit_test(side_with_any_bit_flipped_is_never_wrong),
        cmocka_unit_test(side_without_clean_flag_is_rebuilt_the_same),
        cmocka_unit_test(side_with_lost_stored_bits_gets_them_back),
        cmocka_unit_test(side_that_is_gone_cut_or_holed_is_refused),
        cmocka_unit_test(pages_torn_at_every_sector_are_damaged),
        cmocka_unit_test(side_of_another_file_or_version_is_refused),
        cmocka_unit_test(side_on_a_full_disk_says_so),
        cmocka_unit_test(side_limit_only_falls),
    };

    return cmocka_run_group_tests_name("pages/side", tests, NULL, NULL);
}
