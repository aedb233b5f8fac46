/* render/toastmap.h: against a plain array of all chunks, in memory and in a file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/mem.h"
#include "render/toastmap.h"

#define ITEMS 4 /* of a page */
#define FULL (UINT64_C(1) << 20)

struct chunks {
    struct toastmap_chunk *all;
    size_t n, room;
    unsigned files; /* that were asked for */
};

static int make_file(void *arg)
{
    struct chunks *c = arg;
    char name[] = "/tmp/asofs-test-XXXXXX";
    int fd = mkstemp(name);

    unlink(name);
    c->files++;
    return fd;
}

static int no_file(void *arg)
{
    (void)arg;
    return -ENOSPC;
}

static int compare(const void *a, const void *b)
{
    const struct toastmap_chunk *x = a, *y = b;

    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return x->block < y->block ? -1 : x->block > y->block ? 1 : x->item - y->item;
}

/* The next line pointer, or one farther on. */
static void add(struct chunks *c, struct toastmap *m, size_t skip, uint32_t value, uint32_t number,
                bool deleted)
{
    size_t place =
        skip + (c->n ? (size_t)c->all[c->n - 1].block * ITEMS + (size_t)c->all[c->n - 1].item : 0);
    struct toastmap_chunk one = {.value = value,
                                 .number = number,
                                 .block = (uint32_t)(place / ITEMS),
                                 .item = (int)(place % ITEMS) + 1,
                                 .deleted = deleted};

    one.last = one.item == ITEMS;
    c->all = mem_grow(c->all, c->n, &c->room, sizeof(*c->all));
    c->all[c->n++] = one;
    assert_int_equal(toastmap_add(m, &one), 0);
}

/* Each chunk of each run is taken out of the array. */
static void check_run(const struct toastmap_run *r, struct toastmap_chunk *want, size_t n,
                      bool *found)
{
    size_t place = (size_t)r->block * ITEMS + (size_t)toastmap_item(r) - 1, i, k;

    for (i = 0; i < toastmap_count(r); i++, place++) {
        for (k = 0; k < n; k++)
            if (!found[k] && want[k].number == r->number + i &&
                (size_t)want[k].block * ITEMS + (size_t)want[k].item - 1 == place)
                break;
        assert_true(k < n);
        assert_int_equal(want[k].deleted, toastmap_deleted(r));
        found[k] = true;
    }
}

static size_t check_value(const struct toastmap *m, struct toastmap_chunk *want, size_t n)
{
    const struct toastmap_run *runs;
    bool *found = mem_array(n, sizeof(*found));
    struct out o = {0};
    size_t i, nruns;

    assert_int_equal(toastmap_find(m, want[0].value, &o, &runs, &nruns), 0);
    for (i = 0; i < nruns; i++) {
        assert_int_equal(runs[i].value, want[0].value);
        assert_true(i == 0 || runs[i - 1].number <= runs[i].number);
        check_run(&runs[i], want, n, found);
    }
    for (i = 0; i < n; i++)
        assert_true(found[i]);
    out_free(&o);
    free(found);
    return nruns;
}

/* Returns how many runs there are. */
static size_t check_all(struct chunks *c, const struct toastmap *m)
{
    const struct toastmap_run *runs;
    size_t i, n, nruns, all = 0;
    struct out o = {0};

    qsort(c->all, c->n, sizeof(*c->all), compare);
    for (i = 0; i < c->n; i += n) {
        for (n = 1; i + n < c->n && c->all[i + n].value == c->all[i].value; n++)
            ;
        all += check_value(m, &c->all[i], n);
    }
    assert_int_equal(toastmap_find(m, 0, &o, &runs, &nruns), 0);
    assert_int_equal(nruns, 0);
    assert_int_equal(toastmap_find(m, UINT32_MAX, &o, &runs, &nruns), 0);
    assert_int_equal(nruns, 0);
    out_free(&o);
    return all;
}

static void values_that_are_alone_are_a_run_each(void **state)
{
    struct toastmap *m = toastmap_new(NULL);
    struct chunks c = {0};
    uint32_t value, i;

    (void)state;
    for (value = 1; value <= 500; value++)
        for (i = 0; i < value % 40 + 1; i++)
            add(&c, m, 0, value * 7, i, value % 3 == 0);
    assert_int_equal(toastmap_finish(m), 0);
    assert_int_equal(check_all(&c, m), 500);
    toastmap_free(m);
    free(c.all);
}

static void what_is_not_side_by_side_is_no_run(void **state)
{
    struct toastmap *m = toastmap_new(NULL);
    struct chunks c = {0};

    (void)state;
    add(&c, m, 0, 5, 0, false);
    add(&c, m, 1, 5, 1, false); /* a row between them that is none */
    add(&c, m, 0, 5, 2, true);
    add(&c, m, 0, 5, 4, true);
    add(&c, m, 0, 6, 5, true);
    add(&c, m, ITEMS, 6, 6, true); /* a page between them */
    add(&c, m, 0, 6, 6, true);
    assert_int_equal(toastmap_finish(m), 0);
    assert_int_equal(check_all(&c, m), 7);
    toastmap_free(m);
    free(c.all);
}

/* Two writers in turn, values in no order, some twice. */
static void fill(struct chunks *c, struct toastmap *m, uint32_t values)
{
    uint32_t value, i;

    for (value = 1; value <= values; value++) {
        uint32_t one = value * 2654435761u % 1000000 + 1, other = one + 1000000;

        for (i = 0; i < value % 4 + 1; i++) {
            add(c, m, value % 5 == 0, one, i, value % 7 == 0);
            if (value % 2)
                add(c, m, 0, other, i, false);
        }
    }
}

static void what_has_no_room_is_in_a_file(void **state)
{
    static const uint64_t bytes[] = {0, FULL / 4, FULL, FULL * 64};
    size_t i, runs = 0;

    (void)state;
    for (i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
        struct render_memory *memory = render_memory_new(bytes[i]);
        struct chunks c = {0};
        struct toastmap_room room = {memory, make_file, &c};
        struct toastmap *m = toastmap_new(&room);

        fill(&c, m, 70000);
        assert_int_equal(toastmap_finish(m), 0);
        assert_true(i == 3 ? c.files == 0 : c.files > 1);
        if (i < 3) /* an index at most */
            assert_true(bytes[i] - render_memory_left(memory) < 8192);
        runs = check_all(&c, m);
        assert_true(runs > 100000);
        toastmap_free(m);
        assert_int_equal(render_memory_left(memory), bytes[i]);
        render_memory_free(memory);
        free(c.all);
    }
}

static void a_file_that_cannot_be_had_is_told(void **state)
{
    struct render_memory *memory = render_memory_new(0);
    struct toastmap_room room = {memory, no_file, NULL};
    struct toastmap *m = toastmap_new(&room);
    struct toastmap_chunk c = {.item = 1};
    int rc = 0;

    (void)state;
    for (c.value = 1; c.value < 10000 && rc == 0; c.value++)
        rc = toastmap_add(m, &c);
    assert_int_equal(rc, -ENOSPC);
    assert_int_equal(c.value, 4098);
    toastmap_free(m);
    render_memory_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_that_are_alone_are_a_run_each),
        cmocka_unit_test(what_is_not_side_by_side_is_no_run),
        cmocka_unit_test(what_has_no_room_is_in_a_file),
        cmocka_unit_test(a_file_that_cannot_be_had_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
