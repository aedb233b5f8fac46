/* render/toast.h, render/blocks.h: values put together out of their chunks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "heapbytes.h"
#include "render/blocks.h"
#include "render/checksum.h"
#include "render/toast.h"
#include "render/xacts.h"

#define CHUNK 1996u
#define BLOCKS 100u

static const struct heapbytes_row live = {.xmin = 700, .mask = HEAPBYTES_NEW};
static const struct heapbytes_row gone = {.xmin = 700, .xmax = 701, .mask = 0x0500};
static const struct heapbytes_row aborted = {.xmin = 702, .mask = 0x0a00};

struct table {
    char pages[BLOCKS][RENDER_BLOCK];
    struct render_pages reader;
    struct render_xacts *xacts;
    struct render_toast *toast;
    const struct toastmap_room *room; /* of its map; NULL: memory is not limited */
    struct render_work w;
    struct out o;
    char bytes[20 * CHUNK]; /* of values */
    atomic_int reads;
    int rc; /* of reading */
};

static int read_pages(void *arg, uint64_t block, unsigned n, char *pages)
{
    struct table *t = arg;

    assert_true(block + n <= t->reader.blocks);
    atomic_fetch_add(&t->reads, 1);
    memcpy(pages, t->pages[block], (size_t)n * RENDER_BLOCK);
    return t->rc;
}

static int no_page(void *arg, enum render_slru which, uint64_t page, char *bytes)
{
    (void)arg;
    (void)which;
    (void)page;
    (void)bytes;
    return -ENOENT;
}

static int setup(void **state)
{
    struct render_xacts_request r = {.read = no_page, .next_xid = 1000, .oldest_xid = 700};
    struct table *t = calloc(1, sizeof(*t));
    size_t i;

    for (i = 0; i < BLOCKS; i++)
        heapbytes_page(t->pages[i]);
    for (i = 0; i < sizeof(t->bytes); i++)
        t->bytes[i] = (char)(i * 31 + i / 1000);
    t->reader = (struct render_pages){.blocks = BLOCKS, .read = read_pages, .arg = t};
    t->xacts = render_xacts_new(&r);
    render_work_init(&t->w, NULL);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct table *t = *state;

    render_work_free(&t->w);
    render_toast_free(t->toast);
    render_xacts_free(t->xacts);
    out_free(&t->o);
    free(t);
    return 0;
}

/* What is put into the pages is seen from here on. */
static void begin(struct table *t, bool checksums)
{
    render_toast_free(t->toast);
    t->toast = render_toast_new(&t->reader, t->xacts, checksums, t->room);
    t->w.toast = t->toast;
}

static void put(struct table *t, size_t block, struct heapbytes_row row, uint32_t value,
                uint32_t number, size_t len)
{
    const char *bytes = t->bytes + number * CHUNK + value % 100;

    assert_true(heapbytes_add_chunk(t->pages[block], row, value, number, bytes, len) > 0);
}

static void expect(struct table *t, uint32_t value, size_t size)
{
    size_t mark = t->o.n;

    t->w.fault = NULL;
    assert_int_equal(render_toast_fetch(&t->w, value, size, &t->o), 0);
    assert_null(t->w.fault);
    assert_int_equal(t->o.n - mark, size);
    if (size) /* chunks begin anew at each number: the bytes go on */
        assert_memory_equal(t->o.p + mark, t->bytes + value % 100, size);
}

static void expect_fault(struct table *t, uint32_t value, size_t size, const char *fault)
{
    t->w.fault = NULL;
    assert_true(render_toast_fetch(&t->w, value, size, &t->o) < 0);
    assert_string_equal(t->w.fault, fault);
}

static void values_are_put_together(void **state)
{
    struct table *t = *state;

    put(t, 0, live, 100, 0, CHUNK);
    put(t, 0, live, 100, 1, CHUNK);
    put(t, 1, live, 100, 2, 50); /* with a short header */
    put(t, 1, live, 207, 0, 300);
    put(t, 50, live, 333, 0, 1);
    begin(t, false);
    expect(t, 100, 2 * CHUNK + 50);
    expect(t, 207, 300); /* behind the other */
    expect(t, 333, 1);
    assert_int_equal(t->o.n, 2 * CHUNK + 50 + 300 + 1);
}

static void chunks_may_lie_in_any_order(void **state)
{
    struct table *t = *state;
    uint32_t i;

    for (i = 0; i < 210; i++)
        put(t, (i * 37) % BLOCKS, live, (i % 30) * 0x08123457u, i / 30, i / 30 < 6 ? CHUNK : 9);
    begin(t, false);
    for (i = 0; i < 30; i++)
        expect(t, i * 0x08123457u, 6 * CHUNK + 9);
}

static void missing_chunks_are_told(void **state)
{
    struct table *t = *state;

    put(t, 0, live, 100, 0, CHUNK);
    put(t, 0, live, 100, 2, CHUNK);
    put(t, 0, live, 200, 1, 10);
    begin(t, false);
    expect_fault(t, 100, 3 * CHUNK, "a chunk is missing in the TOAST table");
    expect_fault(t, 100, 4 * CHUNK, "a chunk is missing in the TOAST table");
    expect_fault(t, 100, 1u << 30, "a chunk is missing in the TOAST table");
    expect_fault(t, 200, CHUNK + 10, "a chunk is missing in the TOAST table");
    expect_fault(t, 99, 10, "a chunk is missing in the TOAST table");
    expect_fault(t, 201, 10, "a chunk is missing in the TOAST table");
    assert_true(t->o.room < 1 << 20); /* no memory for what is not there */
}

static void wrong_lengths_are_told(void **state)
{
    struct table *t = *state;

    put(t, 0, live, 100, 0, CHUNK - 1);
    put(t, 0, live, 100, 1, 20);
    put(t, 0, live, 200, 0, 20);
    begin(t, false);
    expect_fault(t, 100, CHUNK + 19, "a chunk in the TOAST table has a wrong length");
    expect_fault(t, 100, CHUNK - 1, "a value in the TOAST table is longer than its pointer says");
    expect_fault(t, 200, 21, "a chunk in the TOAST table has a wrong length");
    expect_fault(t, 200, 19, "a chunk in the TOAST table has a wrong length");
    expect(t, 200, 20);
}

static void what_was_not_committed_is_no_chunk(void **state)
{
    struct table *t = *state;

    put(t, 0, aborted, 100, 0, 30);
    put(t, 1, live, 100, 0, 40);
    put(t, 2, aborted, 100, 1, 30);
    put(t, 2, aborted, 200, 0, 30);
    begin(t, false);
    expect(t, 100, 40);
    expect_fault(t, 200, 30, "a chunk is missing in the TOAST table");
}

static void of_two_the_one_that_is_not_deleted_counts(void **state)
{
    struct table *t = *state;

    put(t, 0, gone, 100, 0, 30);
    put(t, 1, live, 100, 0, 40);
    put(t, 2, gone, 100, 0, 50);
    put(t, 2, gone, 100, 1, 50); /* the dead value was longer */
    put(t, 3, gone, 200, 0, 60); /* the only one */
    put(t, 3, live, 300, 0, 70);
    put(t, 4, live, 300, 0, 70);
    begin(t, false);
    expect(t, 100, 40);
    expect(t, 200, 60);
    expect_fault(t, 300, 70, "a chunk is twice in the TOAST table");
}

/* Of two writers; and chunks of a value that went on elsewhere, beside dead rows. */
static void values_may_lie_interleaved(void **state)
{
    struct table *t = *state;
    uint32_t i;

    for (i = 0; i < 8; i++) {
        put(t, i / 2, live, 100, i, CHUNK);
        put(t, i / 2, i % 3 ? live : aborted, 200, i % 3 ? i - 1 - i / 3 : 0, CHUNK);
    }
    put(t, 4, gone, 300, 0, CHUNK);
    put(t, 4, gone, 300, 1, CHUNK);
    put(t, 4, live, 300, 0, CHUNK);
    put(t, 5, gone, 300, 2, 9);
    put(t, 5, live, 300, 1, 10);
    begin(t, false);
    expect(t, 100, 8 * CHUNK);
    expect(t, 200, 5 * CHUNK);
    expect(t, 300, CHUNK + 10);
    expect_fault(t, 300, 2 * CHUNK + 9, "a chunk in the TOAST table has a wrong length");
}

static void of_two_that_are_deleted_none_counts(void **state)
{
    struct table *t = *state;

    put(t, 0, gone, 100, 0, 30);
    put(t, 1, gone, 100, 0, 30);
    begin(t, false);
    expect_fault(t, 100, 30, "a chunk is twice in the TOAST table");
}

static int make_file(void *made)
{
    FILE *f = tmpfile();
    int fd = *(int *)made < 0 ? *(int *)made : dup(fileno(f));

    fclose(f);
    *(int *)made += fd >= 0;
    return fd;
}

/* More runs than a map always has memory for, and no memory. */
static void fill_up(struct table *t)
{
    uint32_t block, i;

    for (block = 0; block < BLOCKS; block++)
        for (i = 0; i < 60; i++)
            put(t, block, live, 100 + (block * 60 + i) * 7 % (BLOCKS * 60), 0, 20);
}

static void a_map_may_be_in_a_file(void **state)
{
    struct table *t = *state;
    struct render_memory *memory = render_memory_new(0);
    int made = 0;
    struct toastmap_room room = {memory, make_file, &made};
    uint32_t i;

    fill_up(t);
    t->room = &room;
    begin(t, false);
    for (i = 0; i < BLOCKS * 60; i += 11)
        expect(t, 100 + i, 20);
    expect_fault(t, 99, 20, "a chunk is missing in the TOAST table");
    assert_int_equal(made, 2);
    made = -ENOSPC;
    begin(t, false);
    expect_fault(t, 100, 20, "the file with the map of the TOAST table cannot be used");
    assert_int_equal(render_toast_fetch(&t->w, 100, 20, &t->o), -ENOSPC);
    render_toast_free(t->toast);
    t->toast = NULL;
    render_memory_free(memory);
}

static void damage_fails_those_that_need_it(void **state)
{
    struct table *t = *state;

    put(t, 0, live, 100, 0, 30);
    put(t, 1, live, 200, 0, 30);
    put(t, 2, gone, 200, 0, 30); /* not what is asked for */
    t->pages[1][18] ^= 1;
    begin(t, false);
    expect(t, 100, 30);
    expect_fault(t, 200, 30, "the header of the page is damaged");
    t->pages[1][18] ^= 1;
    begin(t, false);
    expect(t, 200, 30);
    heapbytes_pointer(t->pages[1], 1, 8100, 1, 24);
    begin(t, false);
    expect_fault(t, 200, 30, "a line pointer is damaged");
    expect(t, 100, 30);
}

static void rows_that_are_no_chunks_are_damage(void **state)
{
    static const struct heapbytes_row wide = {.xmin = 700, .mask = HEAPBYTES_NEW, .columns = 4};
    static const struct heapbytes_row nulls = {.xmin = 700, .mask = HEAPBYTES_NEW | 1};
    static const struct heapbytes_row unknown = {.xmin = 5000};
    struct table *t = *state;
    char *row;

    put(t, 0, nulls, 100, 0, 30);
    begin(t, false);
    expect_fault(t, 100, 30, "a row of the TOAST table is no chunk");
    heapbytes_page(t->pages[0]);
    heapbytes_add(t->pages[0], wide, "0123456789ABCDEF", 16);
    begin(t, false);
    expect_fault(t, 100, 30, "a row of the TOAST table is no chunk");
    heapbytes_page(t->pages[0]);
    put(t, 0, unknown, 100, 0, 30);
    begin(t, false);
    expect_fault(t, 100, 30, "a row's transaction was never begun");
    heapbytes_page(t->pages[0]);
    put(t, 0, live, 100, 0, 200);
    row = t->pages[0] + bytes_u16(t->pages[0] + 14);
    row[32] |= 2; /* compressed */
    begin(t, false);
    expect_fault(t, 100, 200, "a chunk in the TOAST table is damaged");
    heapbytes_u32(row + 32, 205u << 2); /* longer than the row */
    begin(t, false);
    expect_fault(t, 100, 200, "a chunk in the TOAST table is damaged");
}

static void checksums_are_compared(void **state)
{
    struct table *t = *state;
    uint32_t i;

    put(t, 0, live, 100, 0, 30);
    put(t, 9, live, 200, 0, 30);
    for (i = 0; i < BLOCKS; i++)
        heapbytes_u16(t->pages[i] + 8, render_page_checksum(t->pages[i], i));
    t->pages[9][8190] ^= 1;
    begin(t, true);
    expect(t, 100, 30);
    expect_fault(t, 200, 30, "the checksum of the page is wrong");
}

static void a_table_that_cannot_be_read_tells_it_to_all(void **state)
{
    struct table *t = *state;

    put(t, 0, live, 100, 0, 30);
    t->rc = -EACCES;
    begin(t, false);
    expect_fault(t, 100, 30, "the TOAST table cannot be read");
    t->rc = 0;
    assert_int_equal(render_toast_fetch(&t->w, 100, 30, &t->o), -EACCES);
    assert_int_equal(t->reads, 1);
    t->reader.blocks = (uint64_t)1 << 32; /* more than a table can have */
    begin(t, false);
    expect_fault(t, 100, 30, "the TOAST table is too long");
    t->reader.blocks = 0; /* empty */
    begin(t, false);
    expect_fault(t, 100, 30, "a chunk is missing in the TOAST table");
}

static void pages_that_change_later_are_told(void **state)
{
    struct table *t = *state;

    put(t, 0, live, 100, 0, 30);
    put(t, 20, live, 200, 0, 30);
    begin(t, false);
    expect(t, 100, 30);
    heapbytes_page(t->pages[20]);
    expect_fault(t, 200, 30, "a chunk is no longer where it was in the TOAST table");
    t->pages[20][18] ^= 1;
    expect(t, 100, 30);
    expect_fault(t, 200, 30, "the header of the page is damaged");
    expect_fault(t, 200, 30, "the header of the page is damaged");
    t->rc = -EMFILE;
    expect_fault(t, 100, 30, "a page cannot be read");
    assert_int_equal(render_toast_fetch(&t->w, 100, 30, &t->o), -EMFILE);
}

static void neighbours_are_read_at_once(void **state)
{
    struct table *t = *state;
    uint32_t i;
    int passed;

    for (i = 0; i < 16; i++)
        put(t, i, live, 100 + i, 0, 40);
    begin(t, false);
    expect(t, 100, 40);
    passed = t->reads;
    for (i = 0; i < 16; i++)
        expect(t, 100 + i, 40);
    assert_int_equal(t->reads, passed + 1);
}

static void another_table_has_other_pages(void **state)
{
    struct table *t = *state;
    int i;

    for (i = 0; i < 3; i++) { /* perhaps at the same address */
        heapbytes_page(t->pages[0]);
        put(t, 0, live, 100 + (uint32_t)i, 0, 40);
        begin(t, false);
        expect(t, 100 + (uint32_t)i, 40);
    }
}

static void *fetch_much(void *arg)
{
    struct table *t = arg;
    struct render_work w;
    struct out o = {0};
    uint32_t i;
    intptr_t bad = 0;

    render_work_init(&w, NULL);
    w.toast = t->toast;
    for (i = 0; i < BLOCKS; i++)
        bad += render_toast_fetch(&w, 100 + i, CHUNK + 40, &o) != 0;
    render_work_free(&w);
    out_free(&o);
    return (void *)bad;
}

static void threads_may_fetch_together(void **state)
{
    struct table *t = *state;
    pthread_t threads[4];
    uint32_t i;
    void *bad;

    for (i = 0; i < BLOCKS; i++) {
        put(t, i, live, 100 + i, 0, CHUNK);
        put(t, BLOCKS - 1 - i, live, 100 + i, 1, 40);
    }
    begin(t, false);
    for (i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, fetch_much, t), 0);
    for (i = 0; i < 4; i++) {
        pthread_join(threads[i], &bad);
        assert_int_equal((intptr_t)bad, 0);
    }
}

static void blocks_end_where_the_table_ends(void **state)
{
    struct table *t = *state;
    struct render_blocks *b = render_blocks_new();
    struct render_source *s;
    const char *page, *fault = NULL;

    t->reader.blocks = 11;
    s = render_source_new(&t->reader, false);
    put(t, 10, live, 100, 0, 10);
    assert_int_equal(render_blocks_page(b, s, 10, &page, &fault), 1);
    assert_int_equal(render_blocks_page(b, s, 11, &page, &fault), -EIO);
    assert_string_equal(fault, "a block is behind the end of its table");
    render_source_drop(s);
    render_blocks_free(b);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(values_are_put_together),
        CASE(chunks_may_lie_in_any_order),
        CASE(missing_chunks_are_told),
        CASE(wrong_lengths_are_told),
        CASE(what_was_not_committed_is_no_chunk),
        CASE(of_two_the_one_that_is_not_deleted_counts),
        CASE(values_may_lie_interleaved),
        CASE(of_two_that_are_deleted_none_counts),
        CASE(a_map_may_be_in_a_file),
        CASE(damage_fails_those_that_need_it),
        CASE(rows_that_are_no_chunks_are_damage),
        CASE(checksums_are_compared),
        CASE(a_table_that_cannot_be_read_tells_it_to_all),
        CASE(pages_that_change_later_are_told),
        CASE(neighbours_are_read_at_once),
        CASE(another_table_has_other_pages),
        CASE(threads_may_fetch_together),
        CASE(blocks_end_where_the_table_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
