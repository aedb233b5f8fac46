/* render/lines.h and render/index.h: pages made by hand, in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "render/index.h"
#include "render/lines.h"
#include "rowspage.h"

#define THREADS 4
#define HEADER "id,words\n"

static const struct render_settings settings;
static struct render_attribute plain[] = {{&rowspage_number, 4, 'i', NULL},
                                          {&rowspage_brackets, -1, 'i', NULL}};
static struct render_attribute much[] = {{&rowspage_number, 4, 'i', NULL},
                                         {&rowspage_much, -1, 'i', NULL}};
static const uint16_t both[] = {0, 1};

/* The pages of one relation. Reading from `bad` on, when it is not 0, fails. */
struct pages {
    char *bytes;
    uint64_t n, bad;
};

static int read_pages(void *arg, uint64_t block, unsigned n, char *to)
{
    struct pages *p = arg;

    assert_true(block + n <= p->n);
    if (p->bad && block + n > p->bad)
        return -ESTALE;
    memcpy(to, p->bytes + block * RENDER_BLOCK, (size_t)n * RENDER_BLOCK);
    return 0;
}

struct file {
    struct pages pages[4];
    struct render_relation relations[4];
    size_t n;
    struct render_xacts *xacts;
    struct render_lines *lines;
    char *whole; /* as it is written */
    size_t size;
};

static void fill_page(char *page, unsigned block, unsigned rows)
{
    struct rowspage_row r;
    char text[60];
    unsigned i;
    int n;

    rowspage_clear(page);
    for (i = 0; i < rows; i++) {
        n = snprintf(text, sizeof(text), "%.*s %u, %u", (int)(block * 7 + i) % 40,
                     "all work and no play makes jack a dull boy", block, i);
        rowspage_begin(&r, 2, false);
        rowspage_int(&r, (int32_t)(block * 1000 + i));
        rowspage_text(&r, text, (size_t)n);
        rowspage_add(page, &r);
    }
}

/* Rows of about 20,000 × 15 bytes each. */
static void fill_much(char *page, unsigned block)
{
    struct rowspage_row r;
    unsigned i;

    rowspage_clear(page);
    for (i = 0; i < block % 5 * 3; i++) {
        rowspage_begin(&r, 2, false);
        rowspage_int(&r, (int32_t)i);
        rowspage_text(&r, "much \"more\" ado", i % 4 ? 15 : 1);
        rowspage_add(page, &r);
    }
}

static void add_relation(struct file *f, uint64_t blocks, bool is_much)
{
    struct pages *p = &f->pages[f->n];
    unsigned b;

    *p = (struct pages){mem_array(blocks + 1, RENDER_BLOCK), blocks, 0};
    for (b = 0; b < blocks; b++) {
        if (is_much)
            fill_much(p->bytes + b * RENDER_BLOCK, b);
        else if (b % 11 != 3)
            fill_page(p->bytes + b * RENDER_BLOCK, b, b % 5 * 20);
    }
    f->relations[f->n++] = (struct render_relation){.pages = {blocks, read_pages, p},
                                                    .attributes = is_much ? much : plain,
                                                    .nattributes = 2,
                                                    .columns = both,
                                                    .ncolumns = 2,
                                                    .xacts = f->xacts};
}

static int append(void *arg, const char *bytes, size_t n)
{
    struct file *f = arg;

    f->whole = mem_resize(f->whole, f->size + n, 1);
    memcpy(f->whole + f->size, bytes, n);
    f->size += n;
    return 0;
}

static struct file *new_file(void)
{
    struct file *f = mem_alloc(sizeof(*f));

    f->xacts = rowspage_xacts();
    return f;
}

static void open_file(struct file *f)
{
    f->lines = render_lines_new(&settings, HEADER, strlen(HEADER), f->relations, f->n);
}

static void write_file(struct file *f)
{
    struct render_fault fault;

    f->size = 0;
    assert_int_equal(render_lines_write(f->lines, append, f, NULL, &fault), 0);
}

static void free_file(struct file *f)
{
    size_t i;

    render_lines_free(f->lines);
    for (i = 0; i < f->n; i++)
        free(f->pages[i].bytes);
    render_xacts_free(f->xacts);
    free(f->whole);
    free(f);
}

static void check_read(struct file *f, uint64_t offset, size_t size)
{
    char *exact = mem_alloc(size + 1);
    struct render_fault fault;

    assert_int_equal(render_lines_read(f->lines, exact, size, offset, &fault), 0);
    assert_memory_equal(exact, f->whole + offset, size);
    free(exact);
}

static void check_reads_at_random(struct file *f, unsigned seed, int n)
{
    uint64_t offset;
    size_t size;

    if (getenv("UNDER_VALGRIND")) /* where each takes fifty times as long */
        n /= 20;
    while (n--) {
        offset = ((uint64_t)rand_r(&seed) << 16 ^ (uint64_t)rand_r(&seed)) % f->size;
        size = (size_t)rand_r(&seed) % (n % 2 ? 300 : 131072) + 1;
        if (size > f->size - offset)
            size = f->size - offset;
        check_read(f, offset, size);
    }
}

static void measure_alone(struct file *f)
{
    struct render_fault fault;

    assert_false(render_lines_measured(f->lines));
    assert_int_equal(render_lines_measure(f->lines, NULL, &fault), 1);
    assert_true(render_lines_measured(f->lines));
    assert_int_equal(render_lines_measure(f->lines, NULL, &fault), 0);
}

static uint64_t count_lines(const struct file *f)
{
    uint64_t n = 0;
    size_t i;

    for (i = strlen(HEADER); i < f->size; i++)
        n += f->whole[i] == '\n';
    return n;
}

/* ---- cases ---- */

static void any_part_is_that_of_the_whole(void **state)
{
    static const uint64_t blocks[] = {0, 1, 15, 16, 17, 32, 33, 100};
    struct file *f;
    size_t i, at;

    (void)state;
    for (i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        f = new_file();
        add_relation(f, blocks[i], false);
        open_file(f);
        write_file(f);
        assert_memory_equal(f->whole, HEADER, strlen(HEADER));
        measure_alone(f);
        assert_int_equal(render_lines_size(f->lines), f->size);
        assert_int_equal(render_lines_rows(f->lines), count_lines(f));
        assert_int_equal(render_lines_blocks(f->lines), blocks[i]);
        write_file(f);
        assert_int_equal(render_lines_size(f->lines), f->size);
        for (at = 0; at < f->size; at += at < 20 ? 1 : 997 * (getenv("UNDER_VALGRIND") ? 100 : 1))
            check_read(f, at, f->size - at < 4000 ? f->size - at : 4000);
        check_reads_at_random(f, 3, 50);
        check_read(f, 0, f->size);
        check_read(f, f->size, 0);
        free_file(f);
    }
}

static void the_whole_is_written_in_parts(struct file *f, uint64_t blocks)
{
    uint64_t first, rows = 0, n = blocks / 3 + 1;
    size_t size = f->size;
    char *whole = f->whole;
    struct render_fault fault;

    f->whole = NULL;
    f->size = 0;
    for (first = 0; first < blocks; first += n)
        assert_int_equal(render_lines_write_part(f->lines, first,
                                                 n < blocks - first ? n : blocks - first, append, f,
                                                 &rows, &fault),
                         0);
    assert_int_equal(f->size, size);
    assert_memory_equal(f->whole, whole, size);
    assert_int_equal(rows, render_lines_rows(f->lines));
    free(whole);
}

static void relations_follow_each_other(void **state)
{
    struct file *f = new_file();
    size_t n;

    (void)state;
    add_relation(f, 20, false);
    add_relation(f, 0, false);
    add_relation(f, 12, true);
    add_relation(f, 40, false);
    open_file(f);
    write_file(f);
    measure_alone(f);
    assert_int_equal(render_lines_blocks(f->lines), 72);
    assert_int_equal(render_lines_size(f->lines), f->size);
    check_reads_at_random(f, 5, 100);
    n = f->size;
    render_lines_trim(f->lines);
    write_file(f);
    assert_int_equal(f->size, n);
    the_whole_is_written_in_parts(f, 72);
    free_file(f);
}

/* Not more than the place that is read, and what a reader comes back to is not rendered again. */
static void blocks_with_much_text_are_read_in_parts(void **state)
{
    struct file *f = new_file();
    uint64_t offset;

    (void)state;
    add_relation(f, 10, true);
    open_file(f);
    write_file(f);
    measure_alone(f);
    assert_true(f->size > (8u << 20));
    check_reads_at_random(f, 9, 100);
    for (offset = 0; offset + 131072 <= f->size; offset += 131072)
        check_read(f, offset, 131072);
    free_file(f);
}

struct crew {
    struct file *f;
    const atomic_bool *stop;
    unsigned seed;
    int rc;
    struct render_fault fault;
};

static void *measure_in_thread(void *arg)
{
    struct crew *c = arg;

    c->rc = render_lines_measure(c->f->lines, c->stop, &c->fault);
    return NULL;
}

static void *read_in_thread(void *arg)
{
    struct crew *c = arg;

    check_reads_at_random(c->f, c->seed, 60);
    return NULL;
}

static void run_crew(struct crew *crew, struct file *f, void *(*work)(void *))
{
    pthread_t threads[THREADS];
    int i;

    for (i = 0; i < THREADS; i++) {
        crew[i] = (struct crew){.f = f, .seed = (unsigned)i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &crew[i]), 0);
    }
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void threads_measure_and_read_together(void **state)
{
    struct file *f = new_file();
    struct crew crew[THREADS];
    int i, last = 0;

    (void)state;
    add_relation(f, 150, false);
    add_relation(f, 20, true);
    open_file(f);
    write_file(f);
    run_crew(crew, f, measure_in_thread);
    for (i = 0; i < THREADS; i++) {
        assert_true(crew[i].rc == 0 || crew[i].rc == 1);
        last += crew[i].rc;
    }
    assert_int_equal(last, 1);
    assert_int_equal(render_lines_size(f->lines), f->size);
    run_crew(crew, f, read_in_thread);
    free_file(f);
}

static void spoil_row(struct file *f, size_t relation, uint64_t block)
{
    struct rowspage_row r;
    char *page = f->pages[relation].bytes + block * RENDER_BLOCK;

    rowspage_clear(page);
    rowspage_begin(&r, 2, false);
    rowspage_int(&r, 1);
    rowspage_text(&r, "fine", 4);
    rowspage_add(page, &r);
    rowspage_begin(&r, 2, false);
    rowspage_int(&r, 2);
    rowspage_text(&r, "bad", 3);
    rowspage_add(page, &r);
}

static void the_first_fault_is_told(void **state)
{
    struct crew crew[THREADS];
    struct render_fault fault;
    struct file *f;
    int round, i, told;

    (void)state;
    for (round = 0; round < 20; round++) {
        f = new_file();
        add_relation(f, 40, false);
        add_relation(f, 400, false);
        spoil_row(f, 1, 300);
        spoil_row(f, 1, 105);
        spoil_row(f, 1, 90);
        open_file(f);
        run_crew(crew, f, measure_in_thread);
        for (i = told = 0; i < THREADS; i++) {
            if (crew[i].rc == 0)
                continue;
            told++;
            assert_int_equal(crew[i].rc, -EIO);
            assert_int_equal(crew[i].fault.relation, 1);
            assert_int_equal(crew[i].fault.block, 90);
            assert_int_equal(crew[i].fault.item, 2);
            assert_string_equal(crew[i].fault.what, "a bad word");
        }
        assert_true(told >= 1);
        assert_int_equal(render_lines_measure(f->lines, NULL, &fault), -EIO);
        assert_int_equal(fault.block, 90);
        assert_false(render_lines_measured(f->lines));
        free_file(f);
    }
}

static void pages_that_cannot_be_read_are_told(void **state)
{
    struct render_fault fault;
    struct file *f = new_file();

    (void)state;
    add_relation(f, 3, false);
    add_relation(f, 100, false);
    f->pages[1].bad = 43;
    open_file(f);
    assert_int_equal(render_lines_measure(f->lines, NULL, &fault), -ESTALE);
    assert_int_equal(fault.relation, 1);
    assert_int_equal(fault.block, 43);
    assert_int_equal(fault.item, 0);
    assert_int_equal(fault.code, ESTALE);
    assert_int_equal(render_lines_write(f->lines, append, f, NULL, &fault), -ESTALE);
    assert_int_equal(fault.block, 43);
    free_file(f);
}

static void measuring_can_be_stopped_and_goes_on(void **state)
{
    struct render_fault fault;
    atomic_bool stop = true;
    struct file *f = new_file();

    (void)state;
    add_relation(f, 100, false);
    open_file(f);
    write_file(f);
    assert_int_equal(render_lines_measure(f->lines, &stop, &fault), -ECANCELED);
    assert_int_equal(render_lines_write(f->lines, append, f, &stop, &fault), -ECANCELED);
    atomic_store(&stop, false);
    assert_int_equal(render_lines_measure(f->lines, &stop, &fault), 1);
    write_file(f);
    assert_int_equal(render_lines_size(f->lines), f->size);
    free_file(f);
}

static void a_page_that_changes_is_an_error(void **state)
{
    struct render_fault fault;
    struct file *f = new_file();
    char byte;

    (void)state;
    add_relation(f, 50, false);
    open_file(f);
    write_file(f);
    measure_alone(f);
    fill_page(f->pages[0].bytes + 44 * RENDER_BLOCK, 44, 3);
    assert_int_equal(render_lines_read(f->lines, &byte, 1, f->size - 1, &fault), 0);
    f->whole = mem_resize(f->whole, f->size, 2);
    assert_int_equal(render_lines_read(f->lines, f->whole, f->size, 0, &fault), -EIO);
    assert_int_equal(fault.block, 44);
    assert_non_null(strstr(fault.what, "changed"));
    assert_int_equal(render_lines_write(f->lines, append, f, NULL, &fault), -EIO);
    assert_int_equal(fault.block, 44);
    spoil_row(f, 0, 44);
    assert_int_equal(render_lines_read(f->lines, f->whole, f->size, 0, &fault), -EIO);
    assert_int_equal(fault.item, 2);
    free_file(f);
}

static int refuse(void *arg, const char *bytes, size_t n)
{
    (void)arg;
    (void)bytes;
    (void)n;
    return -ENOSPC;
}

static void an_error_of_the_sink_ends_writing(void **state)
{
    struct render_fault fault;
    struct file *f = new_file();

    (void)state;
    add_relation(f, 2, false);
    add_relation(f, 5, true);
    open_file(f);
    assert_int_equal(render_lines_write(f->lines, refuse, f, NULL, &fault), -ENOSPC);
    assert_int_equal(fault.code, 0);
    free_file(f);
    render_lines_free(NULL);
}

/* ---- what was measured, as bytes ---- */

static struct file *measured_file(struct buf *b)
{
    struct file *f = new_file();

    add_relation(f, 20, false);
    add_relation(f, 5, true);
    open_file(f);
    write_file(f);
    measure_alone(f);
    render_lines_put(f->lines, b);
    return f;
}

static void open_again(struct file *f)
{
    render_lines_free(f->lines);
    open_file(f);
}

static void what_was_measured_is_taken_back(void **state)
{
    struct buf b = {0}, again = {0};
    struct file *f = measured_file(&b);
    struct render_fault fault;
    uint64_t rows = render_lines_rows(f->lines);

    (void)state;
    open_again(f);
    assert_true(render_lines_get(f->lines, b.data, b.len));
    assert_true(render_lines_measured(f->lines));
    assert_false(render_lines_has_more(f->lines));
    assert_int_equal(render_lines_measure(f->lines, NULL, &fault), 0);
    assert_int_equal(render_lines_size(f->lines), f->size);
    assert_int_equal(render_lines_rows(f->lines), rows);
    check_reads_at_random(f, 11, 100);
    render_lines_put(f->lines, &again);
    assert_int_equal(again.len, b.len);
    assert_memory_equal(again.data, b.data, b.len);
    buf_free(&again);
    buf_free(&b);
    free_file(f);
}

/* A part that ends with the last line of its block ends the block. */
static void what_nobody_sees_behind_much_text_is_no_part(void **state)
{
    struct buf b = {0};
    struct file *f = new_file();
    struct rowspage_row r;

    (void)state;
    add_relation(f, 5, true);
    assert_true(rowspage_add_dead(f->pages[0].bytes + 3 * RENDER_BLOCK));
    rowspage_begin(&r, 2, false);
    rowspage_hide(&r);
    assert_true(rowspage_add(f->pages[0].bytes + 4 * RENDER_BLOCK, &r));
    open_file(f);
    write_file(f);
    measure_alone(f);
    check_reads_at_random(f, 31, 50);
    render_lines_put(f->lines, &b);
    open_again(f);
    assert_true(render_lines_get(f->lines, b.data, b.len));
    check_reads_at_random(f, 37, 50);
    buf_free(&b);
    free_file(f);
}

/* Whatever it says: the size is known only if it is believed, and no read leaves the file, or gives bytes that are not
 * in it. */
static void check_believed(struct file *f, const char *bytes, size_t n, unsigned seed)
{
    char buffer[5000];
    struct render_fault fault;
    uint64_t size, offset;
    size_t some;

    open_again(f);
    if (!render_lines_get(f->lines, bytes, n)) {
        assert_false(render_lines_measured(f->lines));
        measure_alone(f);
        assert_int_equal(render_lines_size(f->lines), f->size);
        return;
    }
    size = render_lines_size(f->lines);
    offset = size ? (uint64_t)rand_r(&seed) * 1009 % size : 0;
    some = size - offset < sizeof(buffer) ? (size_t)(size - offset) : sizeof(buffer);
    (void)render_lines_read(f->lines, buffer, some, offset, &fault);
}

static void what_makes_no_sense_is_measured_anew(void **state)
{
    struct buf b = {0};
    struct file *f = measured_file(&b);
    size_t i, step = getenv("UNDER_VALGRIND") ? 97 : 5;

    (void)state;
    for (i = 0; i < b.len; i++) {
        open_again(f);
        assert_false(render_lines_get(f->lines, b.data, i));
        assert_false(render_lines_measured(f->lines));
    }
    for (i = 0; i < b.len; i += step) {
        b.data[i] ^= (char)(1 << i % 8);
        check_believed(f, b.data, b.len, (unsigned)i);
        b.data[i] ^= (char)(1 << i % 8);
    }
    buf_putc(&b, 0);
    open_again(f);
    assert_false(render_lines_get(f->lines, b.data, b.len));
    buf_free(&b);
    free_file(f);
}

static void of_other_pages_nothing_is_taken_back(void **state)
{
    struct buf b = {0};
    struct file *f = measured_file(&b);

    (void)state;
    add_relation(f, 1, false);
    open_again(f);
    assert_false(render_lines_get(f->lines, b.data, b.len));
    buf_free(&b);
    free_file(f);
}

/* ---- what is kept ---- */

static struct file *kept_file(struct render_memory *m)
{
    struct file *f = new_file();

    add_relation(f, 70, false);
    add_relation(f, 0, false);
    add_relation(f, 3, true);
    add_relation(f, 33, false);
    open_file(f);
    write_file(f);
    render_lines_keep(f->lines, m);
    measure_alone(f);
    assert_int_equal(render_lines_size(f->lines), f->size);
    assert_int_equal(render_lines_rows(f->lines), count_lines(f));
    return f;
}

static void lose_pages(struct file *f)
{
    size_t i;

    for (i = 0; i < f->n; i++)
        f->pages[i].bad = 1;
}

static void what_is_kept_is_read_without_pages(void **state)
{
    struct render_memory *m = render_memory_new(64 << 20);
    struct file *f = kept_file(m);
    struct render_fault fault;
    char byte;

    (void)state;
    assert_int_equal(render_lines_kept(f->lines), f->size - strlen(HEADER));
    assert_int_equal(render_memory_left(m), (64 << 20) - render_lines_kept(f->lines));
    check_reads_at_random(f, 13, 100);
    lose_pages(f);
    render_lines_trim(f->lines);
    check_reads_at_random(f, 17, 100);
    check_read(f, 0, f->size);
    render_lines_give_back(f->lines);
    assert_int_equal(render_memory_left(m), 64 << 20);
    assert_int_equal(render_lines_kept(f->lines), 0);
    assert_int_equal(render_lines_read(f->lines, &byte, 1, f->size - 1, &fault), -ESTALE);
    render_lines_give_back(f->lines);
    free_file(f);
    render_memory_free(m);
}

static void as_much_is_kept_as_there_is_memory_for(void **state)
{
    static const uint64_t sizes[] = {0, 1000, 100000, 300000, 1000000, 3000000};
    struct render_memory *m;
    struct file *f;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        m = render_memory_new(sizes[i]);
        f = kept_file(m);
        assert_true(render_lines_kept(f->lines) <= sizes[i]);
        assert_int_equal(render_memory_left(m), sizes[i] - render_lines_kept(f->lines));
        check_reads_at_random(f, 19, 100);
        check_read(f, 0, f->size);
        free_file(f);
        assert_int_equal(render_memory_left(m), sizes[i]);
        render_memory_free(m);
    }
}

static void *give_back_in_thread(void *arg)
{
    struct file *f = arg;

    render_lines_give_back(f->lines);
    return NULL;
}

static void who_reads_is_not_disturbed_when_it_is_given_back(void **state)
{
    struct render_memory *m = render_memory_new(64 << 20);
    struct file *f = kept_file(m);
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, give_back_in_thread, f), 0);
    check_reads_at_random(f, 23, 50);
    pthread_join(thread, NULL);
    check_reads_at_random(f, 29, 20);
    free_file(f);
    render_memory_free(m);
}

/* As it is without. */
static void a_fault_is_told_the_same_and_nothing_stays(void **state)
{
    struct render_memory *m = render_memory_new(64 << 20);
    struct file *f = new_file();
    struct render_fault without, with;

    (void)state;
    add_relation(f, 80, false);
    f->pages[0].bytes[50 * RENDER_BLOCK + 12] = (char)0xff; /* pd_lower */
    f->pages[0].bytes[50 * RENDER_BLOCK + 13] = (char)0xff;
    open_file(f);
    assert_true(render_lines_measure(f->lines, NULL, &without) < 0);
    open_again(f);
    render_lines_keep(f->lines, m);
    assert_true(render_lines_measure(f->lines, NULL, &with) < 0);
    assert_int_equal(with.block, without.block);
    assert_int_equal(with.item, without.item);
    assert_string_equal(with.what, without.what);
    free_file(f);
    assert_int_equal(render_memory_left(m), 64 << 20);
    render_memory_free(m);
    render_memory_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_part_is_that_of_the_whole),
        cmocka_unit_test(relations_follow_each_other),
        cmocka_unit_test(blocks_with_much_text_are_read_in_parts),
        cmocka_unit_test(threads_measure_and_read_together),
        cmocka_unit_test(the_first_fault_is_told),
        cmocka_unit_test(pages_that_cannot_be_read_are_told),
        cmocka_unit_test(measuring_can_be_stopped_and_goes_on),
        cmocka_unit_test(a_page_that_changes_is_an_error),
        cmocka_unit_test(an_error_of_the_sink_ends_writing),
        cmocka_unit_test(what_was_measured_is_taken_back),
        cmocka_unit_test(what_nobody_sees_behind_much_text_is_no_part),
        cmocka_unit_test(what_makes_no_sense_is_measured_anew),
        cmocka_unit_test(of_other_pages_nothing_is_taken_back),
        cmocka_unit_test(what_is_kept_is_read_without_pages),
        cmocka_unit_test(as_much_is_kept_as_there_is_memory_for),
        cmocka_unit_test(who_reads_is_not_disturbed_when_it_is_given_back),
        cmocka_unit_test(a_fault_is_told_the_same_and_nothing_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
