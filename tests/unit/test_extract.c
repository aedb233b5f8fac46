/* extract/: filters, copy-table list, plan, queue, protocol, sink, spool, finishing. No server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/hash.h"
#include "common/io.h"
#include "common/mem.h"
#include "extract/filter.h"
#include "extract/finish.h"
#include "extract/plan.h"
#include "extract/protocol.h"
#include "extract/queue.h"
#include "extract/result.h"
#include "extract/sink.h"
#include "extract/spool.h"
#include "extract/spooled.h"
#include "extract/tablelist.h"

/* xorshift: the same numbers on every machine. */
static uint64_t random_below(uint64_t *seed, uint64_t n)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (*seed >> 8) % n;
}

static uint64_t checksum(const void *bytes, size_t len)
{
    struct hash *h = hash_new();
    uint64_t v;

    hash_update(h, bytes, len);
    v = hash_value(h);
    hash_free(h);
    return v;
}

static int memory_file(void)
{
    int fd = memfd_create("unit", MFD_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

static void assert_file_holds(int fd, const char *bytes, size_t len, uint64_t offset)
{
    char *got = mem_array(len, 1);

    assert_int_equal(io_pread_full(fd, got, len, offset), len);
    assert_memory_equal(got, bytes, len);
    free(got);
}

static void assert_file_size(int fd, uint64_t size)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, size);
}

/* A new directory below TMPDIR, empty; remove_dir takes it away. */
static int make_dir(char **path)
{
    const char *tmp = getenv("TMPDIR");

    *path = mem_printf("%s/unit-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(*path));
    return open(*path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void remove_dir(char *path, int fd)
{
    close(fd);
    assert_int_equal(io_remove_tree(path), 0);
    free(path);
}

/* ---- filters ---- */

static void filters_that_stay_within_their_parentheses_pass(void **state)
{
    static const char *const good[] = {
        "total > 0",
        "  total > 0\t",
        "(a or b) and ((c))",
        "name = 'it''s'",
        "name = '; -- /* */ $1 $$ ) ( \\'", /* a backslash is a character like any other */
        "name = E'it\\'s ) \\\\' or b",     /* here it is not */
        "name = e'\\'' or (b)",
        "'a'=E'\\')' and true",
        "someE'\\' and true", /* not the E of an escape string */
        "größeE'\\' and true",
        "\"odd ; name \"\" ) --\" > 5",
        "data->>'key' = '1' and tags @> '{a}'",
        "a = U&'d\\0061t\\+000061'",
        "a - 1 > b / c * d",
    };
    struct err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(good) / sizeof(*good); i++)
        if (filter_check(good[i], &err) != 0)
            fail_msg("%s: %s", good[i], err.text);
}

static void filters_that_reach_out_are_refused(void **state)
{
    static const struct {
        const char *filter, *why;
    } bad[] = {
        {"", "empty"},
        {" \t ", "empty"},
        {"true)) to program 'x' --", "closes a parenthesis"},
        {"a) or (b", "closes a parenthesis"},
        {")", "closes a parenthesis"},
        {"(a", "parenthesis that is not closed"},
        {"((a)", "parenthesis that is not closed"},
        {"a = '", "quote that is not closed"},
        {"a = 'b''", "quote that is not closed"},
        {"\"a = 1", "quote that is not closed"},
        {"E'\\'", "quote that is not closed"},
        {"a = E'\\' or true", "quote that is not closed"},
        {"(E'\\'", "quote that is not closed"},
        {"a -- b", "comment"},
        {"a --", "comment"},
        {"a /* b", "comment"},
        {"a */ b", "comment"},
        {"1--1", "comment"},
        {"a; drop table b", "semicolon"},
        {"$1", "dollar"},
        {"a = $$b$$", "dollar"},
        {"a = $x$)$x$", "dollar"},
        {"a \\ b", "backslash"},
        {"a\nb", "control"},
        {"a\rb", "control"},
        {"'a'\v'b'", "control"},
        {"a = \x01", "control"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct err err = {.text = "nothing"};

        if (filter_check(bad[i].filter, &err) != -EINVAL || !strstr(err.text, bad[i].why))
            fail_msg("%s: %s, wanted: %s", bad[i].filter, err.text, bad[i].why);
    }
}

/* Until 15, servers read a number in front of E'…' as just that: a number, and an escape string. */
static void filters_with_an_e_behind_a_number_are_refused(void **state)
{
    static const char *const bad[] = {"a = 1E'\\' or ') --'", "a = 1e5E'\\' or ') --'",
                                      "a = .5e'\\' or ') --'"};
    struct err err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (filter_check(bad[i], &err) == 0)
            fail_msg("passed: %s", bad[i]);
}

/* What passes is whole: it passes in parentheses too, and beside itself. */
static void filters_that_pass_can_stand_anywhere(void **state)
{
    static const char letters[] = "''''\"\"\"EE(())\\\\-/*;a $";
    uint64_t seed = 41;
    struct err err;
    int i, k, passed = 0;

    (void)state;
    for (i = 0; i < 200000; i++) {
        char filter[10] = "", twice[64];

        for (k = (int)random_below(&seed, sizeof(filter)); k > 0; k--)
            filter[k - 1] = letters[random_below(&seed, sizeof(letters) - 1)];
        if (filter_check(filter, &err) < 0)
            continue;
        snprintf(twice, sizeof(twice), "(%s) and ((%s))", filter, filter);
        if (filter_check(twice, &err) < 0)
            fail_msg("%s passes alone, but %s: %s", filter, twice, err.text);
        passed++;
    }
    assert_true(passed > 1000);
}

/* ---- copy-table list ---- */

/* An entry as text: "[!][schema.]name (columns) where filter". */
static void put_entry(struct buf *b, const struct pg_selection *e)
{
    size_t i;

    buf_printf(b, "%s%s%s", e->exclude ? "!" : "", e->pattern.schema ? e->pattern.schema : "",
               e->pattern.name);
    for (i = 0; i < e->ncolumns; i++)
        buf_printf(b, "%s%s", i ? "," : " (", e->columns[i]);
    if (e->ncolumns)
        buf_putc(b, ')');
    if (e->filter)
        buf_printf(b, " where %s", e->filter);
    buf_putc(b, '\n');
}

static void assert_list(const char *text, const char *expected)
{
    struct tablelist l = {0};
    struct buf b = {0};
    struct err err;
    size_t i;

    if (tablelist_parse(&l, text, strlen(text), "list", &err) < 0)
        fail_msg("%s: %s", text, err.text);
    buf_puts(&b, "");
    for (i = 0; i < l.n; i++)
        put_entry(&b, &l.entries[i]);
    assert_string_equal(b.data, expected);
    buf_free(&b);
    tablelist_free(&l);
}

static void tablelist_takes_patterns(void **state)
{
    (void)state;
    assert_list("orders\n", "^(orders)$\n");
    assert_list("orders", "^(orders)$\n");
    assert_list("sales.*\n!sales.audit_*\n", "^(sales)$^(.*)$\n!^(sales)$^(audit_.*)$\n");
    assert_list("! audit\n", "!^(audit)$\n");
    assert_list("\"Odd name (x)\".\"t # 1\"\n", "^(Odd name \\(x\\))$^(t # 1)$\n");
}

static void tablelist_passes_over_comments_and_blanks(void **state)
{
    (void)state;
    assert_list("# one\n\n  \t\r\n  # two\r\n  a  \r\nb\r\n\n", "^(a)$\n^(b)$\n");
}

static void tablelist_takes_columns(void **state)
{
    (void)state;
    assert_list("t (id, Name,\"Odd, (name)\" , \"a\"\"b\")\n",
                "^(t)$ (id,name,Odd, (name),a\"b)\n");
    assert_list("t(id)\n", "^(t)$ (id)\n");
    assert_list("t ( größe )\n", "^(t)$ (größe)\n");
}

static void tablelist_takes_filters(void **state)
{
    (void)state;
    assert_list("t WHERE total > 0  \n", "^(t)$ where total > 0\n");
    assert_list("t where(a) and (b)\n", "^(t)$ where (a) and (b)\n");
    assert_list("t (a) Where b = 'it''s # (here'\r\n", "^(t)$ (a) where b = 'it''s # (here'\n");
    assert_list("t(a)where\tb\n", "^(t)$ (a) where b\n");
    assert_list("where (where) where where\n", "^(where)$ (where) where where\n");
}

static void tablelist_refuses_what_it_cannot_read(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "list: no table is listed"},
        {"\n# nothing\n", "list: no table is listed"},
        {"a.b.c\n", "list, line 1: pattern a.b.c: too many parts"},
        {"a\n\n\"b\n", "list, line 3: pattern \"b: a double quote is not closed"},
        {"!\n", "list, line 1: "},
        {"(a)\n", "list, line 1: "},
        {"t (\n", "a column name is missing"},
        {"t ()\n", "a column name is missing"},
        {"t (a,)\n", "a column name is missing"},
        {"t (,a)\n", "a column name is missing"},
        {"t (\"\")\n", "a column name is missing"},
        {"t (\"a)\n", "a double quote is not closed"},
        {"t (a\n", "not closed by a parenthesis"},
        {"t (a b)\n", "not closed by a parenthesis"},
        {"t (a(b))\n", "not closed by a parenthesis"},
        {"t (a, b, a)\n", "column \"a\" is listed twice"},
        {"t (A, a)\n", "column \"a\" is listed twice"},
        {"t (a) b\n", "\"b\" makes no sense here"},
        {"t u\n", "\"u\" makes no sense here"},
        {"t wherever\n", "\"wherever\" makes no sense here"},
        {"t where\n", "the filter is empty"},
        {"t where a; b\n", "list, line 1: the filter has a semicolon"},
        {"!t (a)\n", "no columns and no filter"},
        {"!t where a\n", "no columns and no filter"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct tablelist l = {0};
        struct err err = {.text = "nothing"};
        int rc = tablelist_parse(&l, bad[i].text, strlen(bad[i].text), "list", &err);

        if (rc != -EINVAL || !strstr(err.text, bad[i].why))
            fail_msg("%s: %s, wanted: %s", bad[i].text, err.text, bad[i].why);
        tablelist_free(&l);
    }
}

static void tablelist_refuses_binary_files(void **state)
{
    struct tablelist l = {0};
    struct err err;

    (void)state;
    assert_int_equal(tablelist_parse(&l, "a\0b\n", 4, "list", &err), -EINVAL);
    assert_string_equal(err.text, "list: this is not a text file");
    tablelist_free(&l);
}

static void tablelist_reads_no_further_than_its_text(void **state)
{
    struct tablelist l = {0};
    struct err err;

    (void)state;
    assert_int_equal(tablelist_parse(&l, "a\norders", 6, "list", &err), 0);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.entries[1].pattern.name, "^(orde)$");
    tablelist_free(&l);
}

static void tablelist_says_where_each_entry_stands(void **state)
{
    struct tablelist l = {0};
    struct err err;

    (void)state;
    assert_int_equal(tablelist_add_pattern(&l, "a", &err), 0);
    assert_int_equal(tablelist_add_pattern(&l, "a.", &err), -EINVAL);
    assert_int_equal(tablelist_parse(&l, "\nb\n", 3, "my list", &err), 0);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.entries[0].where, "--tables");
    assert_string_equal(l.entries[1].where, "my list, line 2");
    assert_int_equal(tablelist_exclude(&l, "\"", &err), -EINVAL);
    assert_int_equal(tablelist_exclude(&l, "c.*", &err), 0);
    assert_true(l.n == 3 && l.entries[2].exclude && !l.entries[0].exclude);
    assert_string_equal(l.entries[2].where, "--exclude-table");
    tablelist_free(&l);
    assert_int_equal(l.n, 0);
}

static void tablelist_reads_files(void **state)
{
    char *dir, *path;
    int dirfd = make_dir(&dir);
    struct tablelist l = {0};
    struct err err;

    (void)state;
    path = mem_printf("%s/list", dir);
    assert_int_equal(tablelist_read(&l, path, &err), -ENOENT);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(io_write_file(dirfd, "list", "a\nb (c) where d", 15, &err), 0);
    assert_int_equal(tablelist_read(&l, path, &err), 0);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.entries[1].filter, "d");
    assert_int_equal(tablelist_read(&l, dir, &err), -EISDIR);
    free(path);
    tablelist_free(&l);
    remove_dir(dir, dirfd);
}

/* ---- plan ---- */

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
        uint64_t blocks = random_below(&seed, i % 2 ? 20 : 3000);
        uint64_t toast = random_below(&seed, 4) ? 0 : random_below(&seed, 5000 * BLOCK);
        uint64_t bytes = blocks * BLOCK + toast;

        chunks_of(blocks, toast, 1 + random_below(&seed, bytes + 2));
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
            t[i] = (struct pg_table){.rel = relation(random_below(&seed, 30), 0)};
        plan_make(&p, &c, (1 + random_below(&seed, 5)) * BLOCK);
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
        struct pg_table t = {.rel = relation(1 + random_below(&seed, 300), 0)};
        struct pg_catalog c = {.tables = &t, .ntables = 1};
        struct plan p;

        plan_make(&p, &c, 1 + random_below(&seed, t.rel.bytes));
        if (p.weight > t.rel.bytes || t.rel.bytes - p.weight > p.nchunks)
            fail_msg("%zu chunks of %llu blocks weigh %llu of %llu bytes", p.nchunks,
                     (unsigned long long)t.rel.blocks, (unsigned long long)p.weight,
                     (unsigned long long)t.rel.bytes);
        plan_free(&p);
    }
}

/* ---- queue ---- */

struct planned {
    struct plan plan;
    struct queue *queue;
};

/* Tables 0, 1, 2 with 1, 4 and 2 chunks: numbers 0, 1..4, 5..6; in order 1 2 3 4 5 6 0. */
static int set_up_queue(void **state)
{
    struct pg_table t[] = {
        {.rel = relation(1, 0)}, {.rel = relation(4, 0)}, {.rel = relation(2, 0)}};
    struct pg_catalog c = {.tables = t, .ntables = 3};
    struct planned *f = mem_alloc(sizeof(*f));

    plan_make(&f->plan, &c, BLOCK);
    f->queue = queue_new(&f->plan);
    *state = f;
    return 0;
}

static int tear_down_queue(void **state)
{
    struct planned *f = *state;

    queue_free(f->queue);
    plan_free(&f->plan);
    free(f);
    return 0;
}

static struct queue *queue_of(void **state)
{
    return ((struct planned *)*state)->queue;
}

/* The next n chunks; -1 stands for QUEUE_EMPTY. */
static void assert_taken(struct queue *q, int n, ...)
{
    va_list ap;
    int i;

    va_start(ap, n);
    for (i = 0; i < n; i++)
        assert_int_equal(queue_take(q), va_arg(ap, int));
    va_end(ap);
}

static void queue_hands_out_every_chunk_once(void **state)
{
    struct queue *q = queue_of(state);
    uint32_t k;

    assert_int_equal(queue_left(q), 7);
    assert_taken(q, 9, 1, 2, 3, 4, 5, 6, 0, QUEUE_EMPTY, QUEUE_EMPTY);
    assert_int_equal(queue_left(q), 7); /* taken is not done */
    for (k = 0; k < 7; k++) {
        queue_done(q, k);
        assert_int_equal(queue_left(q), 6 - k);
    }
    assert_taken(q, 1, QUEUE_EMPTY);
}

static void queue_puts_back_in_front(void **state)
{
    struct queue *q = queue_of(state);

    assert_taken(q, 3, 1, 2, 3);
    assert_true(queue_put_back(q, 2));
    assert_true(queue_put_back(q, 1));
    assert_taken(q, 7, 1, 2, 4, 5, 6, 0, QUEUE_EMPTY);
    assert_true(queue_put_back(q, 6));
    assert_taken(q, 2, 6, QUEUE_EMPTY);
    assert_int_equal(queue_left(q), 7);
}

static void queue_counts_the_tries_of_each_chunk(void **state)
{
    struct queue *q = queue_of(state);
    int i;

    for (i = 1; i < QUEUE_MAX_TRIES; i++) {
        assert_taken(q, 1, 1);
        assert_true(queue_put_back(q, 1));
    }
    assert_taken(q, 2, 1, 2);
    assert_true(queue_put_back(q, 2));
    assert_false(queue_put_back(q, 1));
}

static void queue_gives_only_the_leader_what_is_the_leader_s(void **state)
{
    struct queue *q = queue_of(state);

    assert_int_equal(queue_take_for_leader(q), QUEUE_EMPTY);
    assert_taken(q, 3, 1, 2, 3);
    queue_give_to_leader(q, 3);
    queue_give_to_leader(q, 1);
    assert_taken(q, 5, 4, 5, 6, 0, QUEUE_EMPTY);
    assert_int_equal(queue_left(q), 7);
    assert_int_equal(queue_take_for_leader(q), 1);
    assert_int_equal(queue_take_for_leader(q), 3);
    assert_int_equal(queue_take_for_leader(q), QUEUE_EMPTY);
    queue_done(q, 1);
    assert_true(queue_put_back(q, 3));
    assert_taken(q, 2, 3, QUEUE_EMPTY);
    assert_int_equal(queue_left(q), 6);
}

static void queue_takes_a_preferred_table_first(void **state)
{
    struct queue *q = queue_of(state);

    queue_prefer_table(q, 2);
    assert_taken(q, 1, 5);
    queue_prefer_table(q, 0);
    assert_taken(q, 7, 0, 6, 1, 2, 3, 4, QUEUE_EMPTY);
}

static void queue_prefers_only_what_still_waits(void **state)
{
    struct queue *q = queue_of(state);

    assert_taken(q, 3, 1, 2, 3);
    queue_done(q, 1);
    queue_give_to_leader(q, 2);
    queue_prefer_table(q, 1);
    queue_prefer_table(q, 1);
    assert_taken(q, 5, 4, 5, 6, 0, QUEUE_EMPTY);
    queue_prefer_table(q, 1);
    assert_taken(q, 1, QUEUE_EMPTY);
}

static void queue_prefers_before_it_tries_again(void **state)
{
    struct queue *q = queue_of(state);

    assert_taken(q, 2, 1, 2);
    queue_put_back(q, 2);
    queue_prefer_table(q, 2);
    assert_taken(q, 3, 5, 6, 2);
    queue_put_back(q, 2);
    queue_prefer_table(q, 1); /* takes it by another way than the one by which it came back */
    assert_taken(q, 5, 2, 3, 4, 0, QUEUE_EMPTY);
}

static void queue_drops_what_waits_of_a_table(void **state)
{
    struct queue *q = queue_of(state);

    assert_taken(q, 3, 1, 2, 3);
    queue_give_to_leader(q, 1);
    queue_put_back(q, 2);
    queue_drop_table(q, 1); /* 1 is the leader's, 2 and 4 wait, 3 is running */
    assert_int_equal(queue_left(q), 4);
    assert_int_equal(queue_take_for_leader(q), QUEUE_EMPTY);
    assert_taken(q, 4, 5, 6, 0, QUEUE_EMPTY);
    queue_done(q, 3);
    assert_int_equal(queue_left(q), 3);
    queue_drop_table(q, 1);
    queue_drop_table(q, 0); /* running */
    assert_int_equal(queue_left(q), 3);
}

static void queue_done_twice_counts_once(void **state)
{
    struct queue *q = queue_of(state);

    assert_taken(q, 1, 1);
    queue_done(q, 1);
    queue_done(q, 1);
    assert_int_equal(queue_left(q), 6);
}

static void queue_of_nothing_is_empty(void **state)
{
    struct pg_catalog c = {0};
    struct plan p;
    struct queue *q;

    (void)state;
    plan_make(&p, &c, 0);
    q = queue_new(&p);
    assert_int_equal(queue_take(q), QUEUE_EMPTY);
    assert_int_equal(queue_take_for_leader(q), QUEUE_EMPTY);
    assert_int_equal(queue_left(q), 0);
    queue_free(q);
    queue_free(NULL);
    plan_free(&p);
}

/* What a queue is supposed to know, told in the plainest way. */
enum model_state { WAITING, RUNNING, LEADERS, DONE };

struct model {
    struct plan plan;
    struct queue *queue;
    enum model_state state[64];
    int tries[64];
    uint64_t seed;
};

static size_t model_count(const struct model *m, enum model_state s)
{
    size_t k, n = 0;

    for (k = 0; k < m->plan.nchunks; k++)
        n += m->state[k] == s;
    return n;
}

/* Some chunk in that state, or -1. */
static int64_t model_any(struct model *m, enum model_state s)
{
    size_t n = model_count(m, s), k, i;

    if (!n)
        return -1;
    i = random_below(&m->seed, n);
    for (k = 0; m->state[k] != s || i--; k++)
        ;
    return (int64_t)k;
}

static void model_take(struct model *m, bool leader)
{
    enum model_state from = leader ? LEADERS : WAITING;
    int64_t k = leader ? queue_take_for_leader(m->queue) : queue_take(m->queue);

    if (model_count(m, from) == 0) {
        assert_int_equal(k, QUEUE_EMPTY);
        return;
    }
    assert_in_range(k, 0, m->plan.nchunks - 1);
    assert_int_equal(m->state[k], from);
    m->state[k] = RUNNING;
}

/* What becomes of a running chunk. */
static void model_end(struct model *m)
{
    int64_t k = model_any(m, RUNNING);

    if (k < 0)
        return;
    switch (random_below(&m->seed, 4)) {
    case 0:
        assert_int_equal(queue_put_back(m->queue, (uint32_t)k), ++m->tries[k] < QUEUE_MAX_TRIES);
        m->state[k] = WAITING;
        break;
    case 1:
        queue_give_to_leader(m->queue, (uint32_t)k);
        m->state[k] = LEADERS;
        break;
    default:
        queue_done(m->queue, (uint32_t)k);
        m->state[k] = DONE;
    }
}

static void model_drop(struct model *m, uint32_t table)
{
    size_t k;

    queue_drop_table(m->queue, table);
    for (k = m->plan.first[table]; k < m->plan.first[table + 1]; k++)
        if (m->state[k] != RUNNING)
            m->state[k] = DONE;
}

static void model_step(struct model *m)
{
    uint32_t table = (uint32_t)random_below(&m->seed, m->plan.ntables);
    uint64_t what = random_below(&m->seed, 100);

    if (what < 45)
        model_take(m, false);
    else if (what < 55)
        model_take(m, true);
    else if (what < 90)
        model_end(m);
    else if (what < 99)
        queue_prefer_table(m->queue, table);
    else
        model_drop(m, table);
    assert_int_equal(queue_left(m->queue), m->plan.nchunks - model_count(m, DONE));
}

static void queue_agrees_with_a_plain_model(void **state)
{
    struct pg_table t[8];
    struct pg_catalog c = {.tables = t, .ntables = 8};
    uint64_t seed = 17;
    int round, i;

    (void)state;
    for (round = 0; round < 300; round++) {
        struct model m = {.seed = seed};

        for (i = 0; i < 8; i++)
            t[i] = (struct pg_table){.rel = relation(random_below(&m.seed, 8), 0)};
        plan_make(&m.plan, &c, BLOCK);
        m.queue = queue_new(&m.plan);
        for (i = 0; i < 20000 && queue_left(m.queue); i++)
            model_step(&m);
        assert_int_equal(queue_left(m.queue), 0);
        assert_int_equal(queue_take(m.queue), QUEUE_EMPTY);
        queue_free(m.queue);
        plan_free(&m.plan);
        seed = m.seed;
    }
}

/* ---- results ---- */

static void results_begin_with_every_table_waiting(void **state)
{
    struct planned *f = *state;
    struct results *r = results_new(&f->plan);
    size_t t;

    assert_int_equal(r->n, 3);
    for (t = 0; t < r->n; t++) {
        assert_int_equal(r->tables[t].state, TABLE_WAITING);
        assert_int_equal(r->tables[t].chunks, plan_table_chunks(&f->plan, t));
        assert_int_equal(r->tables[t].estimate, r->tables[t].chunks * BLOCK);
        assert_null(r->tables[t].file);
    }
    assert_false(r->ended || r->released || r->schema_done);
    r->tables[0].file = spooled_alone(memory_file(), 0);
    r->tables[1].error = mem_strdup("freed with the rest");
    r->schema_error = mem_strdup("so is this");
    buf_puts(&r->schema, "and this");
    results_free(r);
    results_free(NULL);
}

static void table_states_have_names(void **state)
{
    (void)state;
    assert_string_equal(table_state_name(TABLE_WAITING), "waiting");
    assert_string_equal(table_state_name(TABLE_RUNNING), "running");
    assert_string_equal(table_state_name(TABLE_COMPLETE), "complete");
    assert_string_equal(table_state_name(TABLE_FAILED), "failed");
}

/* ---- protocol ---- */

static struct reader body_of(const char *bytes, size_t len)
{
    return (struct reader){.p = bytes, .left = len};
}

static bool get_config(const char *bytes, size_t len)
{
    struct reader r = body_of(bytes, len);
    struct msg_config m;
    bool ok = msg_get_config(&r, &m);

    if (ok) {
        assert_int_equal(m.number, 3);
        assert_string_equal(m.target.source, "service=erp");
        assert_string_equal(m.target.host, "db1");
        assert_string_equal(m.target.hostaddr, "");
        assert_string_equal(m.target.port, "5432");
        assert_string_equal(m.timezone, "UTC");
        assert_string_equal(m.snapshot_id, "00000003-0000001B-1");
        assert_string_equal(m.lock_sql, "LOCK TABLE a");
        assert_int_equal(m.timeout_ms, (uint64_t)1 << 40);
        assert_int_equal(m.debug, 1);
    }
    msg_config_free(&m);
    return ok;
}

static bool get_chunk(const char *bytes, size_t len)
{
    struct reader r = body_of(bytes, len);
    struct msg_chunk m;
    bool ok = msg_get_chunk(&r, &m);

    if (ok) {
        assert_int_equal(m.chunk, 12);
        assert_int_equal(m.flags, CHUNK_BINARY | CHUNK_LAST);
        assert_int_equal(m.offset, (uint64_t)1 << 50);
        assert_string_equal(m.lock_sql, "LOCK");
        assert_string_equal(m.copy_sql, "COPY");
    }
    msg_chunk_free(&m);
    return ok;
}

static bool get_answer(const char *bytes, size_t len)
{
    struct reader r = body_of(bytes, len);
    struct msg_answer m;
    bool ok = msg_get_answer(&r, &m);

    if (ok) {
        assert_int_equal(m.chunk, 12);
        assert_int_equal(m.bytes, UINT64_MAX);
        assert_int_equal(m.rows, 5);
        assert_int_equal(m.checksum, 0x0123456789abcdef);
        assert_int_equal(m.code, EIO);
        assert_string_equal(m.text, "no\nway");
    }
    msg_answer_free(&m);
    return ok;
}

static void put_config(struct buf *frame)
{
    struct msg_config m = {.number = 3, .timeout_ms = (uint64_t)1 << 40, .debug = 1};

    pg_target_init(&m.target, "service=erp");
    m.target.host = mem_strdup("db1");
    m.target.port = mem_strdup("5432");
    m.timezone = mem_strdup("UTC");
    m.snapshot_id = mem_strdup("00000003-0000001B-1");
    m.lock_sql = mem_strdup("LOCK TABLE a");
    msg_put_config(frame, &m);
    msg_config_free(&m);
}

static void put_chunk(struct buf *frame)
{
    struct msg_chunk m = {
        .chunk = 12, .flags = CHUNK_BINARY | CHUNK_LAST, .offset = (uint64_t)1 << 50};

    m.lock_sql = mem_strdup("LOCK");
    m.copy_sql = mem_strdup("COPY");
    msg_put_chunk(frame, &m);
    msg_chunk_free(&m);
}

static void put_answer(struct buf *frame)
{
    struct msg_answer m = {
        .chunk = 12, .bytes = UINT64_MAX, .rows = 5, .checksum = 0x0123456789abcdef, .code = EIO};

    m.text = mem_strdup("no\nway");
    msg_put_answer(frame, MSG_FAILED, &m);
    msg_answer_free(&m);
}

static const struct {
    uint32_t type;
    void (*put)(struct buf *frame);
    bool (*get)(const char *bytes, size_t len);
} messages[] = {
    {MSG_CONFIG, put_config, get_config},
    {MSG_CHUNK, put_chunk, get_chunk},
    {MSG_FAILED, put_answer, get_answer},
};

enum { MESSAGES = sizeof(messages) / sizeof(*messages) };

static void messages_come_back_as_they_were_put(void **state)
{
    struct buf frame = {0};
    uint32_t type;
    size_t i;

    (void)state;
    for (i = 0; i < MESSAGES; i++) {
        messages[i].put(&frame);
        memcpy(&type, frame.data + 4, sizeof(type));
        assert_int_equal(type, messages[i].type);
        assert_true(messages[i].get(frame.data + MSG_HEADER, frame.len - MSG_HEADER));
    }
    buf_free(&frame);
}

static void message_to_freeze_has_no_body(void **state)
{
    struct buf frame = {0};
    uint32_t type;

    (void)state;
    msg_put_freeze(&frame);
    assert_int_equal(frame.len, MSG_HEADER);
    memcpy(&type, frame.data + 4, sizeof(type));
    assert_int_equal(type, MSG_FREEZE);
    buf_free(&frame);
}

static void messages_that_are_cut_or_too_long_are_refused(void **state)
{
    struct buf frame = {0};
    size_t i, n;

    (void)state;
    for (i = 0; i < MESSAGES; i++) {
        messages[i].put(&frame);
        for (n = 0; n < frame.len - MSG_HEADER; n++) {
            char *exact = mem_array(n, 1); /* so that the sanitizer sees a read behind it */

            memcpy(exact, frame.data + MSG_HEADER, n);
            assert_false(messages[i].get(exact, n));
            free(exact);
        }
        buf_putc(&frame, '\0');
        assert_false(messages[i].get(frame.data + MSG_HEADER, frame.len - MSG_HEADER));
    }
    buf_free(&frame);
}

/* Whatever a damaged message says, reading it ends and leaks nothing. */
static void messages_with_damaged_bytes_do_no_harm(void **state)
{
    struct msg_config config;
    struct msg_chunk chunk;
    struct msg_answer answer;
    struct buf frame = {0};
    uint64_t seed = 23;
    size_t i, n;

    (void)state;
    for (i = 0; i < MESSAGES * 1000; i++) {
        struct reader r;

        messages[i % MESSAGES].put(&frame);
        for (n = 1 + random_below(&seed, 4); n; n--)
            frame.data[MSG_HEADER + random_below(&seed, frame.len - MSG_HEADER)] ^=
                (char)(1u << random_below(&seed, 8));
        r = body_of(frame.data + MSG_HEADER, frame.len - MSG_HEADER);
        msg_get_config(&r, &config);
        msg_config_free(&config);
        r = body_of(frame.data + MSG_HEADER, frame.len - MSG_HEADER);
        msg_get_chunk(&r, &chunk);
        msg_chunk_free(&chunk);
        r = body_of(frame.data + MSG_HEADER, frame.len - MSG_HEADER);
        msg_get_answer(&r, &answer);
        msg_answer_free(&answer);
    }
    buf_free(&frame);
}

/* ---- sink ---- */

#define HEADER "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"
#define ROW_A "\0\1\0\0\0\4AAAA"
#define ROW_B "\0\1\377\377\377\377" /* NULL: looks a little like the end */
#define END "\377\377"

struct piece { /* one message of the server */
    const char *bytes;
    size_t len;
};

#define PIECE(literal)                                                                             \
    {                                                                                              \
        (literal), sizeof(literal) - 1                                                             \
    }

struct sinking {
    struct sink *sink;
    int fd;
};

static int set_up_sink(void **state)
{
    struct sinking *s = mem_alloc(sizeof(*s));

    s->sink = sink_new();
    s->fd = memory_file();
    *state = s;
    return 0;
}

static int tear_down_sink(void **state)
{
    struct sinking *s = *state;

    sink_free(s->sink);
    sink_free(NULL);
    close(s->fd);
    free(s);
    return 0;
}

/* What is in the file behind `offset` and what the sink says about it are the expected bytes. */
static void assert_sunk(const struct sinking *s, uint64_t offset, const char *expected, size_t len)
{
    assert_int_equal(sink_bytes(s->sink), len);
    assert_int_equal(sink_checksum(s->sink), checksum(expected, len));
    assert_file_size(s->fd, offset + len);
    assert_file_holds(s->fd, expected, len, offset);
}

static void sink_pieces(struct sinking *s, struct sink_chunk chunk, const struct piece *pieces,
                        size_t n)
{
    size_t i;

    assert_int_equal(ftruncate(s->fd, 0), 0);
    chunk.fd = s->fd;
    sink_begin(s->sink, &chunk);
    for (i = 0; i < n; i++)
        assert_int_equal(sink_put(s->sink, pieces[i].bytes, pieces[i].len, NULL), 0);
    assert_int_equal(sink_end(s->sink, NULL), 0);
}

/* As the server sends it: the header together with what follows it, each row, the end. */
static void sink_rows(struct sinking *s, bool first, bool last)
{
    static const struct piece rows[] = {PIECE(HEADER ROW_A), PIECE(ROW_B), PIECE(END)};

    sink_pieces(s, (struct sink_chunk){.binary = true, .first = first, .last = last}, rows, 3);
}

static void sink_writes_the_binary_header_and_trailer_once(void **state)
{
    sink_rows(*state, true, true);
    assert_sunk(*state, 0, HEADER ROW_A ROW_B END, sizeof(HEADER ROW_A ROW_B END) - 1);
    sink_rows(*state, true, false);
    assert_sunk(*state, 0, HEADER ROW_A ROW_B, sizeof(HEADER ROW_A ROW_B) - 1);
    sink_rows(*state, false, false);
    assert_sunk(*state, 0, ROW_A ROW_B, sizeof(ROW_A ROW_B) - 1);
    sink_rows(*state, false, true);
    assert_sunk(*state, 0, ROW_A ROW_B END, sizeof(ROW_A ROW_B END) - 1);
}

/* Without rows header and end come in one message. */
static void sink_no_rows(struct sinking *s, bool first, bool last)
{
    static const struct piece all[] = {PIECE(HEADER END)};

    sink_pieces(s, (struct sink_chunk){.binary = true, .first = first, .last = last}, all, 1);
}

static void sink_drops_the_trailer_of_chunks_without_rows(void **state)
{
    sink_no_rows(*state, true, true);
    assert_sunk(*state, 0, HEADER END, sizeof(HEADER END) - 1);
    sink_no_rows(*state, false, false);
    assert_sunk(*state, 0, "", 0);
    sink_no_rows(*state, false, true);
    assert_sunk(*state, 0, END, sizeof(END) - 1);
    sink_no_rows(*state, true, false);
    assert_sunk(*state, 0, HEADER, sizeof(HEADER) - 1);
}

static void sink_drops_a_header_that_comes_in_parts(void **state)
{
    static const char all[] = HEADER ROW_A;
    size_t cut;

    for (cut = 0; cut < sizeof(HEADER) - 1; cut++) {
        struct piece pieces[] = {{all, cut}, {all + cut, sizeof(all) - 1 - cut}, PIECE(END)};

        sink_pieces(*state, (struct sink_chunk){.binary = true}, pieces, 3);
        assert_sunk(*state, 0, ROW_A, sizeof(ROW_A) - 1);
    }
}

static void sink_keeps_rows_that_look_like_a_trailer(void **state)
{
    static const struct piece text[] = {PIECE(END), PIECE("\377\377\n"), PIECE("")};
    static const struct piece rows[] = {PIECE(HEADER "\0\0"), PIECE("\0\0"), PIECE(END)};

    sink_pieces(*state, (struct sink_chunk){.first = true}, text, 3); /* is no binary format */
    assert_sunk(*state, 0, END "\377\377\n", 5);
    sink_pieces(*state, (struct sink_chunk){.binary = true}, rows, 3); /* rows of no columns */
    assert_sunk(*state, 0, "\0\0\0\0", 4);
}

static void sink_writes_behind_its_offset(void **state)
{
    static const struct piece one[] = {PIECE("first\n")}, two[] = {PIECE("second\n")};
    struct sinking *s = *state;

    sink_pieces(s, (struct sink_chunk){.offset = 5000}, one, 1);
    assert_sunk(s, 5000, "first\n", 6);
    sink_pieces(s, (struct sink_chunk){.offset = 0}, two, 1); /* nothing of the one before */
    assert_sunk(s, 0, "second\n", 7);
}

static void sink_fills_its_buffer_to_every_edge(void **state)
{
    static const size_t buffer = 512 << 10;
    struct sinking *s = *state;
    char *bytes = mem_array(2, buffer + 1);
    uint64_t seed = 29;
    size_t i, total;

    for (i = 0; i < 2 * buffer; i++)
        bytes[i] = (char)random_below(&seed, 256);
    for (total = buffer - 1; total <= 2 * buffer + 1; total += total > buffer ? buffer - 1 : 1) {
        struct piece whole = {bytes, total};
        struct piece halves[] = {{bytes, total - 1}, {bytes + total - 1, 1}};

        sink_pieces(s, (struct sink_chunk){.first = true}, &whole, 1);
        assert_sunk(s, 0, bytes, total);
        sink_pieces(s, (struct sink_chunk){.first = true}, halves, 2);
        assert_sunk(s, 0, bytes, total);
    }
    free(bytes);
}

static void sink_takes_pieces_of_any_size(void **state)
{
    enum { TOTAL = 3000000 };
    struct sinking *s = *state;
    struct sink_chunk chunk = {.fd = s->fd};
    char *bytes = mem_array(TOTAL, 1);
    uint64_t seed = 31;
    size_t done, n;

    for (done = 0; done < TOTAL; done++)
        bytes[done] = (char)(seed = seed * 6364136223846793005u + 1442695040888963407u, seed >> 56);
    sink_begin(s->sink, &chunk);
    for (done = 0; done < TOTAL; done += n) {
        n = (size_t)random_below(&seed, 100000);
        n = n < TOTAL - done ? n : TOTAL - done;
        assert_int_equal(sink_put(s->sink, bytes + done, n, NULL), 0);
        assert_int_equal(sink_bytes(s->sink), done + n);
    }
    assert_int_equal(sink_end(s->sink, NULL), 0);
    assert_sunk(s, 0, bytes, TOTAL);
    free(bytes);
}

static void sink_tells_a_full_disk(void **state)
{
    struct sinking *s = *state;
    struct sink_chunk chunk = {.fd = open("/dev/full", O_WRONLY | O_CLOEXEC), .first = true};
    char *much = mem_array(1, 1 << 20);
    struct err err;

    sink_begin(s->sink, &chunk);
    assert_int_equal(sink_put(s->sink, much, 1 << 20, &err), -ENOSPC);
    assert_non_null(strstr(err.text, "No space left"));
    sink_begin(s->sink, &chunk);
    assert_int_equal(sink_put(s->sink, much, 10, &err), 0);
    assert_int_equal(sink_end(s->sink, &err), -ENOSPC);
    close(chunk.fd);
    free(much);
}

/* ---- spool ---- */

static void spool_file_has_no_name(void **state)
{
    struct dirent *e;
    struct spool s;
    struct err err;
    char *dir;
    int fd = make_dir(&dir);
    DIR *d;

    (void)state;
    assert_int_equal(spool_open(&s, dir, &err), 0);
    assert_int_equal(s.end, 0);
    assert_int_equal(io_pwrite_all(s.fd, "bytes", 5, 0), 0);
    assert_file_holds(s.fd, "bytes", 5, 0);
    d = opendir(dir);
    while ((e = readdir(d)))
        assert_true(strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0);
    closedir(d);
    spool_close(&s);
    assert_int_equal(s.fd, -1);
    spool_close(&s);
    remove_dir(dir, fd);
}

static void spool_in_a_wrong_place_is_refused(void **state)
{
    struct spool s;
    struct err err;

    (void)state;
    assert_int_equal(spool_open(&s, "/nonexistent", &err), -ENOENT);
    assert_string_equal(err.text,
                        "cannot create a spool file in /nonexistent: No such file or directory");
    assert_int_equal(spool_open(&s, "/dev/null", &err), -ENOTDIR);
    spool_close(&s);
}

static void spool_trim_forgets_what_does_not_count(void **state)
{
    struct spool s = {.fd = memory_file(), .end = 4};
    struct err err;

    (void)state;
    assert_int_equal(io_pwrite_all(s.fd, "good, bad", 9, 0), 0);
    assert_int_equal(spool_trim(&s, &err), 0);
    assert_file_size(s.fd, 4);
    assert_int_equal(io_pwrite_all(s.fd, "more", 4, s.end), 0);
    assert_file_holds(s.fd, "goodmore", 8, 0);
    spool_close(&s);
    assert_int_equal(spool_trim(&s, &err), -EBADF);
}

static void spool_discard_takes_only_its_range(void **state)
{
    struct spool s = {.fd = memory_file()};
    char bytes[3 * 65536], zeros[65536] = {0};
    struct stat before, after;

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    assert_int_equal(io_pwrite_all(s.fd, bytes, sizeof(bytes), 0), 0);
    assert_int_equal(fstat(s.fd, &before), 0);
    spool_discard(&s, 0, 0);
    assert_file_holds(s.fd, bytes, sizeof(bytes), 0);
    spool_discard(&s, 65536, 65536);
    assert_file_holds(s.fd, bytes, 65536, 0);
    assert_file_holds(s.fd, zeros, 65536, 65536);
    assert_file_holds(s.fd, bytes, 65536, 2 * 65536);
    assert_int_equal(fstat(s.fd, &after), 0);
    assert_true(after.st_blocks < before.st_blocks);
    assert_int_equal(after.st_size, before.st_size);
    spool_close(&s);
}

/* ---- finishing ---- */

enum { FINISH_CHUNKS = 5, FINISH_TABLE = 1 };

/* A table of five chunks, number 1 of three, in two spool files; chunk 1 is long, chunk 3 is empty.
 */
struct finishing {
    struct plan plan;
    struct spool spools[2];
    int own_files[3];
    char *bytes; /* of the flat file */
    uint64_t start[FINISH_CHUNKS + 1];
    uint64_t offset[FINISH_CHUNKS]; /* in spool i % 2 */
    struct finisher *finisher;
};

static void spool_chunks(struct finishing *f)
{
    static const uint64_t lengths[FINISH_CHUNKS] = {100, 5 << 20, 524288, 0, 524289};
    uint64_t seed = 37, at;
    int i;

    for (i = 0; i < FINISH_CHUNKS; i++)
        f->start[i + 1] = f->start[i] + lengths[i];
    f->bytes = mem_alloc(f->start[FINISH_CHUNKS]);
    for (at = 0; at + 8 <= f->start[FINISH_CHUNKS]; at += 8) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        memcpy(f->bytes + at, &seed, 8);
    }
    for (i = FINISH_CHUNKS - 1; i >= 0; i--) {
        struct spool *s = &f->spools[i % 2];

        f->offset[i] = s->end;
        assert_int_equal(io_pwrite_all(s->fd, f->bytes + f->start[i], lengths[i], s->end), 0);
        s->end += lengths[i];
    }
}

static int set_up_finish(void **state)
{
    struct pg_table t[] = {
        {.rel = relation(1, 0)}, {.rel = relation(5, 0)}, {.rel = relation(2, 0)}};
    struct pg_catalog c = {.tables = t, .ntables = 3};
    struct finishing *f = mem_alloc(sizeof(*f));

    plan_make(&f->plan, &c, BLOCK);
    f->spools[0].fd = memory_file();
    f->spools[1].fd = memory_file();
    spool_chunks(f);
    memset(f->own_files, -1, sizeof(f->own_files));
    f->finisher = finisher_new(&f->plan, f->spools, f->own_files);
    *state = f;
    return 0;
}

static int tear_down_finish(void **state)
{
    struct finishing *f = *state;

    finisher_free(f->finisher);
    finisher_free(NULL);
    plan_free(&f->plan);
    spool_close(&f->spools[0]);
    spool_close(&f->spools[1]);
    free(f->bytes);
    free(f);
    return 0;
}

static void add_piece(struct finishing *f, int i)
{
    uint64_t length = f->start[i + 1] - f->start[i];

    finisher_add(f->finisher, (uint32_t)f->plan.first[FINISH_TABLE] + (uint32_t)i, i % 2,
                 f->offset[i], length, checksum(f->bytes + f->start[i], length));
}

/* Steps until a table is finished (1), there is nothing to do (0) or something failed. */
static int step_on(struct finishing *f, struct finished *done, struct err *err)
{
    int rc = 0;

    while (rc == 0 && finisher_has_work(f->finisher))
        rc = finisher_step(f->finisher, done, err);
    return rc;
}

static void assert_finished(struct finishing *f)
{
    struct finished done;
    struct err err;

    assert_int_equal(step_on(f, &done, &err), 1);
    assert_int_equal(done.table, FINISH_TABLE);
    assert_int_equal(done.bytes, f->start[FINISH_CHUNKS]);
    assert_int_equal(done.checksum, checksum(f->bytes, f->start[FINISH_CHUNKS]));
    assert_false(finisher_has_work(f->finisher));
}

static void finish_sums_up_chunks_in_file_order(void **state)
{
    int i;

    for (i = 0; i < FINISH_CHUNKS; i++)
        add_piece(*state, i);
    assert_finished(*state);
}

static void finish_waits_for_chunks_that_come_late(void **state)
{
    static const int order[] = {4, 1, 3, 0, 2};
    struct finishing *f = *state;
    struct finished done;
    struct err err;
    int i;

    assert_false(finisher_has_work(f->finisher));
    assert_int_equal(finisher_step(f->finisher, &done, &err), 0);
    for (i = 0; i < FINISH_CHUNKS; i++) {
        add_piece(f, order[i]);
        if (i < FINISH_CHUNKS - 1)
            assert_int_equal(step_on(f, &done, &err), 0);
    }
    assert_finished(f);
}

static void finish_works_in_short_steps(void **state)
{
    struct finishing *f = *state;
    struct finished done;
    struct err err;
    int steps = 0, i;

    for (i = 0; i < FINISH_CHUNKS; i++)
        add_piece(f, i);
    while (finisher_step(f->finisher, &done, &err) == 0)
        steps++;
    assert_in_range(steps, FINISH_CHUNKS, 20);
    assert_int_equal(done.bytes, f->start[FINISH_CHUNKS]);
}

static void finish_can_be_left_in_the_middle(void **state)
{
    struct finishing *f = *state;
    struct finished done;
    struct err err;

    add_piece(f, 0);
    add_piece(f, 1);
    assert_int_equal(finisher_step(f->finisher, &done, &err), 0);
    assert_int_equal(finisher_step(f->finisher, &done, &err), 0);
    assert_true(finisher_has_work(f->finisher));
}

static void finish_takes_tables_side_by_side(void **state)
{
    struct finishing *f = *state;
    uint32_t other = (uint32_t)f->plan.first[2];
    struct finished done;
    struct err err;
    int i;

    add_piece(f, 0);
    finisher_add(f->finisher, other + 1, 0, f->offset[4], 10, checksum(f->bytes + f->start[4], 10));
    assert_int_equal(step_on(f, &done, &err), 0);
    finisher_add(f->finisher, other, 0, f->offset[0], 20, checksum(f->bytes, 20));
    assert_int_equal(step_on(f, &done, &err), 1);
    assert_int_equal(done.table, 2);
    assert_int_equal(done.bytes, 30);
    for (i = 1; i < FINISH_CHUNKS; i++)
        add_piece(f, i);
    assert_finished(f);
}

static void finish_notices_a_spool_file_that_changed(void **state)
{
    struct finishing *f = *state;
    struct finished done;
    struct err err;
    char c;

    add_piece(f, 0);
    add_piece(f, 1);
    assert_int_equal(io_pread_full(f->spools[1].fd, &c, 1, f->offset[1] + (3 << 20)), 1);
    c ^= 1;
    assert_int_equal(io_pwrite_all(f->spools[1].fd, &c, 1, f->offset[1] + (3 << 20)), 0);
    assert_int_equal(step_on(f, &done, &err), -EIO);
    assert_string_equal(err.text, "a spool file does not hold what was written to it");
}

static void finish_notices_a_spool_file_that_was_cut(void **state)
{
    struct finishing *f = *state;
    struct finished done;
    struct err err;

    add_piece(f, 0);
    assert_int_equal(ftruncate(f->spools[0].fd, (off_t)f->offset[0] + 99), 0);
    assert_int_equal(step_on(f, &done, &err), -EIO);
    assert_non_null(strstr(err.text, "spool file"));
}

static void finish_writes_the_file_and_gives_the_space_back(void **state)
{
    struct finishing *f = *state;
    int fd = f->own_files[FINISH_TABLE] = memory_file(), i;
    struct stat st;

    for (i = FINISH_CHUNKS - 1; i >= 0; i--)
        add_piece(f, i);
    assert_finished(f);
    assert_file_size(fd, f->start[FINISH_CHUNKS]);
    assert_file_holds(fd, f->bytes, f->start[FINISH_CHUNKS], 0);
    assert_int_equal(fstat(f->spools[1].fd, &st), 0);
    assert_true(st.st_blocks * 512 < 1 << 20); /* of five MiB */
    close(fd);
}

static void finish_of_chunks_without_bytes_is_an_empty_file(void **state)
{
    struct finishing *f = *state;
    uint32_t first = (uint32_t)f->plan.first[2];
    struct finished done;
    struct err err;

    finisher_add(f->finisher, first, 0, 0, 0, checksum("", 0));
    finisher_add(f->finisher, first + 1, 0, 0, 0, checksum("", 0));
    assert_int_equal(step_on(f, &done, &err), 1);
    assert_int_equal(done.table, 2);
    assert_int_equal(done.bytes, 0);
    assert_int_equal(done.checksum, checksum("", 0));
}

static void finish_tells_a_full_disk(void **state)
{
    struct finishing *f = *state;
    struct finished done;
    struct err err;

    f->own_files[FINISH_TABLE] = open("/dev/full", O_WRONLY | O_CLOEXEC);
    add_piece(f, 0);
    assert_int_equal(step_on(f, &done, &err), -ENOSPC);
    assert_non_null(strstr(err.text, "No space left"));
    close(f->own_files[FINISH_TABLE]);
}

static void finish_drops_a_table_and_gives_its_space_back(void **state)
{
    struct finishing *f = *state;
    struct finished done;
    struct err err;
    struct stat st;

    finisher_drop(f->finisher, FINISH_TABLE); /* nothing of it has come yet */
    finisher_add(f->finisher, (uint32_t)f->plan.first[2], 1, f->offset[3], 10, 0);
    add_piece(f, 1);
    add_piece(f, 0);
    assert_int_equal(finisher_step(f->finisher, &done, &err), 0);
    finisher_drop(f->finisher, FINISH_TABLE);
    assert_int_equal(fstat(f->spools[1].fd, &st), 0);
    assert_true(st.st_blocks * 512 < 1 << 20); /* of five MiB */
    assert_file_holds(f->spools[0].fd, f->bytes + f->start[4], 524289, f->offset[4]);
    assert_true(finisher_has_work(f->finisher)); /* the other table */
    finisher_drop(f->finisher, 2);
    assert_false(finisher_has_work(f->finisher));
    assert_int_equal(finisher_step(f->finisher, &done, &err), 0);
}

#define WITH_QUEUE(f) cmocka_unit_test_setup_teardown(f, set_up_queue, tear_down_queue)
#define WITH_SINK(f) cmocka_unit_test_setup_teardown(f, set_up_sink, tear_down_sink)
#define WITH_FINISH(f) cmocka_unit_test_setup_teardown(f, set_up_finish, tear_down_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_that_stay_within_their_parentheses_pass),
        cmocka_unit_test(filters_that_reach_out_are_refused),
        cmocka_unit_test(filters_with_an_e_behind_a_number_are_refused),
        cmocka_unit_test(filters_that_pass_can_stand_anywhere),
        cmocka_unit_test(tablelist_takes_patterns),
        cmocka_unit_test(tablelist_passes_over_comments_and_blanks),
        cmocka_unit_test(tablelist_takes_columns),
        cmocka_unit_test(tablelist_takes_filters),
        cmocka_unit_test(tablelist_refuses_what_it_cannot_read),
        cmocka_unit_test(tablelist_refuses_binary_files),
        cmocka_unit_test(tablelist_reads_no_further_than_its_text),
        cmocka_unit_test(tablelist_says_where_each_entry_stands),
        cmocka_unit_test(tablelist_reads_files),
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
        WITH_QUEUE(queue_hands_out_every_chunk_once),
        WITH_QUEUE(queue_puts_back_in_front),
        WITH_QUEUE(queue_counts_the_tries_of_each_chunk),
        WITH_QUEUE(queue_gives_only_the_leader_what_is_the_leader_s),
        WITH_QUEUE(queue_takes_a_preferred_table_first),
        WITH_QUEUE(queue_prefers_only_what_still_waits),
        WITH_QUEUE(queue_prefers_before_it_tries_again),
        WITH_QUEUE(queue_drops_what_waits_of_a_table),
        WITH_QUEUE(queue_done_twice_counts_once),
        cmocka_unit_test(queue_of_nothing_is_empty),
        cmocka_unit_test(queue_agrees_with_a_plain_model),
        WITH_QUEUE(results_begin_with_every_table_waiting),
        cmocka_unit_test(table_states_have_names),
        cmocka_unit_test(messages_come_back_as_they_were_put),
        cmocka_unit_test(message_to_freeze_has_no_body),
        cmocka_unit_test(messages_that_are_cut_or_too_long_are_refused),
        cmocka_unit_test(messages_with_damaged_bytes_do_no_harm),
        WITH_SINK(sink_writes_the_binary_header_and_trailer_once),
        WITH_SINK(sink_drops_the_trailer_of_chunks_without_rows),
        WITH_SINK(sink_drops_a_header_that_comes_in_parts),
        WITH_SINK(sink_keeps_rows_that_look_like_a_trailer),
        WITH_SINK(sink_writes_behind_its_offset),
        WITH_SINK(sink_fills_its_buffer_to_every_edge),
        WITH_SINK(sink_takes_pieces_of_any_size),
        WITH_SINK(sink_tells_a_full_disk),
        cmocka_unit_test(spool_file_has_no_name),
        cmocka_unit_test(spool_in_a_wrong_place_is_refused),
        cmocka_unit_test(spool_trim_forgets_what_does_not_count),
        cmocka_unit_test(spool_discard_takes_only_its_range),
        WITH_FINISH(finish_sums_up_chunks_in_file_order),
        WITH_FINISH(finish_waits_for_chunks_that_come_late),
        WITH_FINISH(finish_works_in_short_steps),
        WITH_FINISH(finish_can_be_left_in_the_middle),
        WITH_FINISH(finish_takes_tables_side_by_side),
        WITH_FINISH(finish_notices_a_spool_file_that_changed),
        WITH_FINISH(finish_notices_a_spool_file_that_was_cut),
        WITH_FINISH(finish_writes_the_file_and_gives_the_space_back),
        WITH_FINISH(finish_of_chunks_without_bytes_is_an_empty_file),
        WITH_FINISH(finish_tells_a_full_disk),
        WITH_FINISH(finish_drops_a_table_and_gives_its_space_back),
    };

    return cmocka_run_group_tests_name("extract", tests, NULL, NULL);
}
