/* extract/plan.h: tables cut into chunks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "common/mem.h"
#include "extract/plan.h"
#include "fixture.h"

#define BLOCK 8192u

static struct pg_relation relation(uint64_t blocks, uint64_t toast)
{
    return (struct pg_relation){.kind = 'r', .blocks = blocks, .bytes = blocks * BLOCK + toast};
}

/* The chunks k..end are those of one relation: its blocks, without gap or overlap, the last one
 * open. */
static void assert_covers(const struct plan *p, size_t k, size_t end, const struct pg_relation *rel)
{
    uint64_t next = 0;

    if (end - k == 1) {
        assert_int_equal(p->chunks[k].range.from, 0);
        assert_int_equal(p->chunks[k].range.until, 0);
        return;
    }
    for (; k < end; k++) {
        const struct pg_copy_range *r = &p->chunks[k].range;

        assert_int_equal(r->from, next);
        assert_true(r->from < rel->blocks);
        if (k + 1 == end) {
            assert_int_equal(r->until, 0);
        } else {
            assert_true(r->until > r->from);
            assert_true(r->until < rel->blocks);
        }
        next = r->until;
    }
}

static void assert_table_planned(const struct plan *p, const struct pg_catalog *c, size_t table)
{
    const struct pg_table *t = &c->tables[table];
    size_t k = p->first[table], end = p->first[table + 1], from;
    int32_t leaf;

    assert_int_equal(plan_table_chunks(p, table), end - k);
    assert_true(k < end);
    for (from = k; from < end; from++) {
        assert_int_equal(p->chunks[from].table, table);
        assert_int_equal(p->chunks[from].first, from == k);
        assert_int_equal(p->chunks[from].last, from + 1 == end);
    }
    for (leaf = t->nleaves ? 0 : -1; k < end; leaf++, k = from) {
        const struct pg_relation *rel = leaf < 0 ? &t->rel : &t->leaves[leaf];

        for (from = k; from < end && p->chunks[from].leaf == leaf; from++)
            assert_ptr_equal(plan_relation(c, &p->chunks[from]), rel);
        assert_true(from > k);
        assert_covers(p, k, from, rel);
    }
    assert_int_equal(leaf, (int32_t)t->nleaves);
}

static uint64_t table_weight(const struct plan *p, size_t table)
{
    uint64_t sum = 0;
    size_t k;

    for (k = p->first[table]; k < p->first[table + 1]; k++)
        sum += p->chunks[k].weight;
    return sum;
}

/* Every chunk once; tables whole, in file order, no lighter one before a heavier one. */
static void assert_ordered(const struct plan *p)
{
    char *seen = mem_array(p->ntables, 1);
    uint64_t sum = 0, heaviest = UINT64_MAX;
    size_t i = 0, k;

    while (i < p->nchunks) {
        uint32_t t = p->chunks[p->order[i]].table;

        assert_int_equal(seen[t]++, 0);
        assert_true(table_weight(p, t) <= heaviest);
        heaviest = table_weight(p, t);
        sum += heaviest;
        for (k = p->first[t]; k < p->first[t + 1]; k++)
            assert_int_equal(p->order[i++], k);
    }
    assert_int_equal(p->weight, sum);
    free(seen);
}

static void assert_planned(const struct plan *p, const struct pg_catalog *c)
{
    size_t t;

    assert_int_equal(p->ntables, c->ntables);
    assert_int_equal(p->first[c->ntables], p->nchunks);
    for (t = 0; t < c->ntables; t++)
        assert_table_planned(p, c, t);
    assert_ordered(p);
}

/* The number of chunks that one relation is cut into; everything else about them is checked. */
static size_t chunks_of(uint64_t blocks, uint64_t toast, uint64_t chunk_size)
{
    struct pg_table t = {.rel = relation(blocks, toast)};
    struct pg_catalog c = {.tables = &t, .ntables = 1};
    struct plan p;
    size_t n;

    plan_make(&p, &c, chunk_size);
    assert_planned(&p, &c);
    n = p.nchunks;
    plan_free(&p);
    return n;
}

static void plan_cuts_by_size(void **state)
{
    (void)state;
    assert_int_equal(chunks_of(1, 0, BLOCK), 1);
    assert_int_equal(chunks_of(2, 0, BLOCK), 2);
    assert_int_equal(chunks_of(2, 0, 2 * BLOCK), 1);
    assert_int_equal(chunks_of(3, 0, 2 * BLOCK), 2);
    assert_int_equal(chunks_of(100, 0, 10 * BLOCK), 10);
    assert_int_equal(chunks_of(101, 0, 10 * BLOCK), 11);
    assert_int_equal(chunks_of(10, 90 * BLOCK, 10 * BLOCK), 10); /* most of it is TOAST */
}

static void plan_cuts_no_finer_than_blocks(void **state)
{
    (void)state;
    assert_int_equal(chunks_of(3, 0, 1), 3);
    assert_int_equal(chunks_of(1, 1000 * BLOCK, BLOCK), 1);
    assert_int_equal(chunks_of(0, 0, 1), 1);
    assert_int_equal(chunks_of(0, 1000 * BLOCK, 1), 1); /* cannot be cut into block ranges */
}

static void plan_cuts_nothing_without_a_chunk_size(void **state)
{
    (void)state;
    assert_int_equal(chunks_of(1000000, 0, 0), 1);
    assert_int_equal(chunks_of(0, 0, 0), 1);
}

static void plan_survives_extreme_sizes(void **state)
{
    static const uint64_t blocks[] = {0, 1, 2, 3, UINT32_MAX - 1};
    static const uint64_t sizes[] = {(uint64_t)1 << 40, (uint64_t)1 << 62, INT64_MAX, UINT64_MAX};
    size_t i, k;

    (void)state;
    for (i = 0; i < sizeof(blocks) / sizeof(*blocks); i++)
        for (k = 0; k < sizeof(sizes) / sizeof(*sizes); k++)
            assert_true(chunks_of(blocks[i], 0, sizes[k]) <= 33);
    assert_int_equal(chunks_of(UINT32_MAX - 1, (uint64_t)1 << 45, (uint64_t)1 << 36), 1024);
}

static void plan_covers_every_block_whatever_the_sizes(void **state)
{
    uint64_t seed = 7;
    int i;

    (void)state;
    for (i = 0; i < 20000; i++) {
        uint64_t blocks = fixture_random_below(&seed, i % 2 ? 20 : 3000);
        uint64_t toast =
            fixture_random_below(&seed, 4) ? 0 : fixture_random_below(&seed, 5000 * BLOCK);
        uint64_t bytes = blocks * BLOCK + toast;

        chunks_of(blocks, toast, 1 + fixture_random_below(&seed, (uint32_t)bytes + 2));
    }
}

static void plan_takes_leaves_in_order(void **state)
{
    struct pg_relation leaves[] = {relation(5, 0), relation(0, 0), relation(1, 0), relation(40, 0)};
    struct pg_table t[] = {{.rel = relation(3, 0)},
                           {.rel = {.kind = 'p'}, .leaves = leaves, .nleaves = 4},
                           {.rel = {.kind = 'p'}}};
    struct pg_catalog c = {.tables = t, .ntables = 3};
    struct plan p;

    (void)state;
    plan_make(&p, &c, 2 * BLOCK);
    assert_planned(&p, &c);
    assert_int_equal(plan_table_chunks(&p, 0), 2);
    assert_int_equal(plan_table_chunks(&p, 1), 3 + 1 + 1 + 20);
    assert_int_equal(plan_table_chunks(&p, 2), 1); /* no leaves: nothing but a header */
    assert_int_equal(p.chunks[p.order[0]].table, 1);
    plan_free(&p);
}

static void plan_hands_out_the_largest_table_first(void **state)
{
    struct pg_table t[20];
    struct pg_catalog c = {.tables = t, .ntables = 20};
    uint64_t seed = 11;
    struct plan p;
    int round;
    size_t i;

    (void)state;
    for (round = 0; round < 200; round++) {
        for (i = 0; i < c.ntables; i++)
            t[i] = (struct pg_table){.rel = relation(fixture_random_below(&seed, 30), 0)};
        plan_make(&p, &c, (1 + fixture_random_below(&seed, 5)) * BLOCK);
        assert_planned(&p, &c);
        plan_free(&p);
    }
}

static void plan_orders_equal_tables_as_they_stand(void **state)
{
    struct pg_table t[] = {{.rel = relation(0, 0)},
                           {.rel = relation(2, 0)},
                           {.rel = relation(2, 0)},
                           {.rel = relation(0, 0)}};
    struct pg_catalog c = {.tables = t, .ntables = 4};
    static const uint32_t expected[] = {1, 2, 0, 3};
    struct plan p;

    (void)state;
    plan_make(&p, &c, 0);
    assert_memory_equal(p.order, expected, sizeof(expected));
    plan_free(&p);
}

static void plan_of_nothing_is_empty(void **state)
{
    struct pg_catalog c = {0};
    struct plan p;

    (void)state;
    plan_make(&p, &c, BLOCK);
    assert_int_equal(p.nchunks, 0);
    assert_int_equal(p.weight, 0);
    plan_free(&p);
}

/* "Estimated bytes in the source": but for rounding, nothing of a table is forgotten or counted
 * twice. */
static void plan_weights_add_up_to_the_size_of_the_table(void **state)
{
    uint64_t seed = 13;
    int i;

    (void)state;
    for (i = 0; i < 2000; i++) {
        struct pg_table t = {.rel = relation(1 + fixture_random_below(&seed, 300), 0)};
        struct pg_catalog c = {.tables = &t, .ntables = 1};
        struct plan p;

        plan_make(&p, &c, 1 + fixture_random_below(&seed, (uint32_t)t.rel.bytes));
        if (p.weight > t.rel.bytes || t.rel.bytes - p.weight > p.nchunks)
            fail_msg("%zu chunks of %llu blocks weigh %llu of %llu bytes", p.nchunks,
                     (unsigned long long)t.rel.blocks, (unsigned long long)p.weight,
                     (unsigned long long)t.rel.bytes);
        plan_free(&p);
    }
}

/* The chunks of another host, and the other way round. */
static void plan_of_who_joins_is_the_same_backwards(void **state)
{
    struct pg_relation leaves[] = {relation(3, 0), relation(2, 0)};
    struct pg_table t[] = {{.rel = relation(1, 0)},
                           {.rel = relation(0, 0), .leaves = leaves, .nleaves = 2},
                           {.rel = relation(2, 0)}};
    struct pg_catalog c = {.tables = t, .ntables = 3};
    struct plan p, joined;
    size_t i;

    (void)state;
    plan_make(&p, &c, BLOCK);
    plan_join(&joined, p.chunks, p.nchunks, 3);
    assert_int_equal(joined.nchunks, 8);
    assert_int_equal(joined.weight, p.weight);
    assert_memory_equal(joined.first, p.first, 4 * sizeof(*p.first));
    for (i = 0; i < 3; i++)
        assert_table_planned(&joined, &c, i);
    for (i = 0; i < 8; i++)
        assert_int_equal(joined.order[i], p.order[7 - i]);
    assert_int_equal(plan_chunks_on(&p, 1), 5);
    assert_int_equal(plan_chunks_on(&p, 4), 2);
    assert_int_equal(plan_chunks_on(&joined, 1), 1);
    assert_int_equal(plan_chunks_on(&joined, 4), 4);
    plan_free(&joined);
    plan_free(&p);
    plan_join(&joined, NULL, 0, 0);
    assert_int_equal(joined.nchunks, 0);
    plan_free(&joined);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plan_cuts_by_size),
        cmocka_unit_test(plan_cuts_no_finer_than_blocks),
        cmocka_unit_test(plan_cuts_nothing_without_a_chunk_size),
        cmocka_unit_test(plan_survives_extreme_sizes),
        cmocka_unit_test(plan_covers_every_block_whatever_the_sizes),
        cmocka_unit_test(plan_takes_leaves_in_order),
        cmocka_unit_test(plan_hands_out_the_largest_table_first),
        cmocka_unit_test(plan_orders_equal_tables_as_they_stand),
        cmocka_unit_test(plan_of_nothing_is_empty),
        cmocka_unit_test(plan_weights_add_up_to_the_size_of_the_table),
        cmocka_unit_test(plan_of_who_joins_is_the_same_backwards),
    };

    return cmocka_run_group_tests_name("extract/plan", tests, NULL, NULL);
}
