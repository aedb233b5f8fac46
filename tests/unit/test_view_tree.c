/* view/tree.h: the names of a view. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "common/mem.h"
#include "fixture.h"
#include "viewfixture.h"

static const struct place odd_places[] = {
    {"public", "orders"}, {"public", "a"},   {"public", "a-b"},    {"public", "a/b"},
    {"public", "a%2Fb"},  {"public", "."},   {"public", ".."},     {"public", "two\nlines"},
    {"public", "größe"},  {"Public", "x"},   {"a\n", "x"},         {"a!", "x"},
    {".asofs", "errors"}, {"..", "x"},       {"zz", "x.csv"},      {"zz", "x"},
    {"!first", "t"},      {".asofs2", "t"},  {".asof", "t"},       {"%", "t"},
    {"ü", "t"},           {"public", "%41"}, {"public", ".asofs"}, {"public", "\"quoted\""},
};

enum { ODD = sizeof(odd_places) / sizeof(*odd_places) };

/* The children of a directory stand together, sorted, and are found by their names. */
static void assert_directory(const struct tree *t, uint32_t dir)
{
    const struct node *d = &t->nodes[dir];
    uint32_t i, subdirs = 0;

    for (i = d->children; i < d->children + d->nchildren; i++) {
        const struct node *n = &t->nodes[i];

        assert_int_equal(n->parent, dir);
        assert_int_equal(tree_lookup(t, dir, n->name), i);
        if (i > d->children)
            assert_true(strcmp(t->nodes[i - 1].name, n->name) < 0);
        assert_null(strchr(n->name, '/'));
        subdirs += n->kind == NODE_DIR;
    }
    assert_int_equal(d->subdirs, subdirs);
}

static void assert_inodes(const struct tree *t)
{
    uint32_t i, k;

    assert_int_equal(t->nodes[0].ino, 1);
    for (i = 1; i < t->n; i++) {
        assert_true(t->nodes[i].ino >= 16 && t->nodes[i].ino < (uint64_t)1 << 62);
        for (k = 1; k < i; k++)
            assert_true(t->nodes[i].ino != t->nodes[k].ino);
    }
}

/* Every table has one node, at the path that belongs to it. */
static void assert_tables(const struct tree *t, const struct pg_catalog *c, const char *extension)
{
    uint32_t i, found = 0;

    assert_int_equal(t->npaths, c->ntables);
    for (i = 0; i < t->n; i++) {
        const struct node *n = &t->nodes[i];
        char *dir, *file, *name;

        if (n->kind != NODE_TABLE)
            continue;
        dir = escape_name(c->tables[n->item].rel.schema);
        file = escape_name(c->tables[n->item].rel.name);
        name = mem_printf("%s/%s%s", dir, file, extension);
        assert_string_equal(t->paths[n->item], name);
        assert_string_equal(n->name, strchr(name, '/') + 1);
        assert_string_equal(t->nodes[n->parent].name, dir);
        found++;
        free(dir);
        free(file);
        free(name);
    }
    assert_int_equal(found, c->ntables);
}

static void assert_meta(const struct tree *t)
{
    int64_t dir = tree_lookup(t, 0, ".asofs");
    uint32_t m;

    assert_true(dir > 0);
    assert_int_equal(t->nodes[dir].nchildren, META_FILES);
    for (m = 0; m < META_FILES; m++) {
        int64_t n = tree_lookup(t, (uint32_t)dir, tree_meta_name(m));

        assert_true(n > 0);
        assert_int_equal(t->nodes[n].kind, NODE_META);
        assert_int_equal(t->nodes[n].item, m);
    }
}

static void assert_tree(const struct tree *t, const struct pg_catalog *c, const char *extension)
{
    uint32_t i, reached = 1;

    assert_int_equal(t->nodes[0].kind, NODE_DIR);
    assert_string_equal(t->nodes[0].name, "");
    for (i = 0; i < t->n; i++) {
        reached += t->nodes[i].nchildren;
        if (t->nodes[i].kind == NODE_DIR)
            assert_directory(t, i);
        else
            assert_int_equal(t->nodes[i].nchildren, 0);
    }
    assert_int_equal(reached, t->n);
    assert_inodes(t);
    assert_tables(t, c, extension);
    assert_meta(t);
}

static void tree_has_a_place_for_every_odd_name(void **state)
{
    static const char *const extensions[] = {".csv", ".txt", ".bin"};
    struct pg_catalog *c = viewfixture_catalog(odd_places, ODD);
    enum pg_format f;

    (void)state;
    for (f = PG_FORMAT_CSV; f <= PG_FORMAT_BINARY; f++) {
        struct tree t;

        tree_make(&t, c, f, false, NULL);
        assert_tree(&t, c, extensions[f]);
        tree_free(&t);
    }
    pg_catalog_free(c);
}

/* The names of the root's children, in their order. */
static void assert_root(const struct place *places, size_t n, const char *expected)
{
    struct pg_catalog *c = viewfixture_catalog(places, n);
    struct buf b = {0};
    struct tree t;
    uint32_t i;

    tree_make(&t, c, PG_FORMAT_CSV, false, NULL);
    assert_tree(&t, c, ".csv");
    for (i = 0; i < t.nodes[0].nchildren; i++)
        buf_printf(&b, "%s ", t.nodes[t.nodes[0].children + i].name);
    assert_string_equal(b.data, expected);
    buf_free(&b);
    tree_free(&t);
    pg_catalog_free(c);
}

static void tree_puts_its_own_directory_in_order(void **state)
{
    static const struct place after[] = {{"public", "a"}, {"sales", "b"}, {"sales", "c"}};
    static const struct place before[] = {{"!a", "a"}, {"-b", "b"}};
    static const struct place both[] = {{"%", "a"}, {".asof", "a"}, {".asofs2", "b"}, {"A", "b"}};
    static const struct place same[] = {{".asofs", "snapshot.json"}, {"public", "a"}};

    (void)state;
    assert_root(after, 3, ".asofs public sales ");
    assert_root(before, 2, "!a -b .asofs ");
    assert_root(both, 4, "%25 .asof .asofs .asofs2 A ");
    assert_root(same, 2, "%2Easofs .asofs public ");
    assert_root(NULL, 0, ".asofs ");
}

static void tree_sorts_by_names_as_they_are_shown(void **state)
{
    static const struct place places[] = {{"a\n", "x"}, {"a!", "x"}, {"a", "t"}, {"a", "t-1"}};
    struct pg_catalog *c = viewfixture_catalog(places, 4);
    struct tree t;
    int64_t dir;

    (void)state;
    assert_root(places, 4, ".asofs a a! a%0A ");
    tree_make(&t, c, PG_FORMAT_TEXT, false, NULL);
    dir = tree_lookup(&t, 0, "a");
    assert_string_equal(t.nodes[t.nodes[dir].children].name, "t-1.txt");
    assert_int_equal(t.nodes[t.nodes[dir].children].item, 3);
    assert_string_equal(t.nodes[t.nodes[dir].children + 1].name, "t.txt");
    assert_int_equal(t.nodes[t.nodes[dir].children + 1].item, 2);
    tree_free(&t);
    pg_catalog_free(c);
}

static void tree_does_not_find_what_is_not_there(void **state)
{
    static const char *const absent[] = {"",       ".",          "..",       "PUBLIC",
                                         "publi",  "publicx",    "%2Easofs", "a/b",
                                         "errors", "orders.csv", "\xff"};
    struct pg_catalog *c = viewfixture_catalog(odd_places, 2);
    struct tree t;
    int64_t dir, file;
    size_t i;

    (void)state;
    tree_make(&t, c, PG_FORMAT_CSV, false, NULL);
    for (i = 0; i < sizeof(absent) / sizeof(*absent); i++)
        assert_int_equal(tree_lookup(&t, 0, absent[i]), -1);
    dir = tree_lookup(&t, 0, "public");
    assert_int_equal(tree_lookup(&t, (uint32_t)dir, "orders"), -1);
    assert_int_equal(tree_lookup(&t, (uint32_t)dir, "public"), -1);
    file = tree_lookup(&t, (uint32_t)dir, "orders.csv");
    assert_true(file > 0);
    assert_int_equal(tree_lookup(&t, (uint32_t)file, "orders.csv"), -1);
    tree_free(&t);
    pg_catalog_free(c);
}

/* Every node of the joined tree stands for one of a member: same name, kind and place. */
static void trees_of_several_databases_are_joined(void **state)
{
    static const struct place places[] = {{"public", "a"}, {"sales", "b"}, {"sales", "c"}};
    char *dirs[] = {"app", "empty", "erp"};
    struct pg_catalog *full = viewfixture_catalog(places, 3), *none = viewfixture_catalog(NULL, 0);
    struct tree one, two, t;
    const struct tree *members[] = {&one, &two, &one};
    uint32_t i;
    int64_t dir, schema, file;

    (void)state;
    tree_make(&one, full, PG_FORMAT_CSV, false, NULL);
    tree_make(&two, none, PG_FORMAT_CSV, false, NULL);
    tree_join(&t, members, dirs, 3, false);
    assert_int_equal(t.nodes[0].nchildren, 3);
    assert_int_equal(t.nodes[0].subdirs, 3);
    assert_int_equal(t.n, 1 + 2 * one.n + two.n);
    for (i = 0; i < 3; i++) {
        dir = tree_lookup(&t, 0, dirs[i]);
        assert_true(dir > 0);
        assert_int_equal(t.nodes[dir].nchildren, members[i]->nodes[0].nchildren);
        assert_int_equal(t.nodes[dir].member, i);
        assert_true(tree_lookup(&t, (uint32_t)dir, ".asofs") > 0);
    }
    dir = tree_lookup(&t, 0, "erp");
    schema = tree_lookup(&t, (uint32_t)dir, "sales");
    file = tree_lookup(&t, (uint32_t)schema, "c.csv");
    assert_true(file > 0);
    assert_int_equal(t.nodes[file].member, 2);
    assert_int_equal(t.nodes[file].parent, schema);
    schema = tree_lookup(&one, 0, "sales");
    assert_int_equal(t.nodes[file].item,
                     one.nodes[tree_lookup(&one, (uint32_t)schema, "c.csv")].item);
    assert_true(tree_lookup(&t, 0, "public") < 0);
    tree_free(&t);
    tree_free(&one);
    tree_free(&two);
    pg_catalog_free(full);
    pg_catalog_free(none);
}

/* .asofs/pages: in each single view, or once above all. */
static void trees_have_pages_when_asked(void **state)
{
    static const struct place places[] = {{"public", "a"}, {"-", "b"}, {"sales", "c"}};
    static const char *const wanted[] = {"chunks.csv",  "columns.csv", "errors",
                                         "pages",       "schema.sql",  "snapshot.json",
                                         "status.json", "tables.csv"};
    char *dirs[] = {"-x", "app", "erp"};
    struct pg_catalog *c = viewfixture_catalog(places, 3);
    struct tree one, t;
    const struct tree *members[] = {&one, &one, &one};
    uint32_t i;
    int64_t dir, pages;

    (void)state;
    tree_make(&t, c, PG_FORMAT_CSV, true, NULL);
    dir = tree_lookup(&t, 0, ".asofs");
    assert_int_equal(t.nodes[dir].nchildren, 8);
    assert_int_equal(t.nodes[dir].subdirs, 1);
    for (i = 0; i < 8; i++)
        assert_string_equal(t.nodes[t.nodes[dir].children + i].name, wanted[i]);
    pages = tree_lookup(&t, (uint32_t)dir, "pages");
    assert_int_equal(t.nodes[pages].kind, NODE_PAGES);
    assert_int_equal(t.nodes[pages].parent, dir);
    tree_free(&t);

    tree_make(&one, c, PG_FORMAT_CSV, false, NULL);
    tree_join(&t, members, dirs, 3, true);
    assert_int_equal(t.nodes[0].nchildren, 4);
    assert_string_equal(t.nodes[t.nodes[0].children + 1].name, ".asofs"); /* after "-x" */
    dir = tree_lookup(&t, 0, ".asofs");
    assert_int_equal(t.nodes[dir].nchildren, 1);
    pages = tree_lookup(&t, (uint32_t)dir, "pages");
    assert_int_equal(t.nodes[pages].kind, NODE_PAGES);
    for (i = 0; i < 3; i++) {
        dir = tree_lookup(&t, 0, dirs[i]);
        assert_int_equal(t.nodes[dir].member, i);
        assert_true((uint32_t)dir < t.nodes[dir].children);
        assert_true((uint32_t)pages < t.nodes[dir].children);
        dir = tree_lookup(&t, (uint32_t)dir, ".asofs");
        assert_true(tree_lookup(&t, (uint32_t)dir, "pages") < 0);
    }
    tree_free(&t);
    tree_free(&one);
    pg_catalog_free(c);
}

static uint64_t ino_of(const struct tree *t, const char *dir, const char *file)
{
    int64_t d = tree_lookup(t, 0, dir), f;

    assert_true(d > 0);
    f = tree_lookup(t, (uint32_t)d, file);
    assert_true(f > 0);
    return t->nodes[f].ino;
}

static void tree_numbers_last_whatever_else_there_is(void **state)
{
    struct pg_catalog *few = viewfixture_catalog(odd_places, 1),
                      *many = viewfixture_catalog(odd_places, ODD);
    const uint64_t orders = 0x377416b60ac2bfba;
    struct tree a, b;

    (void)state;
    tree_make(&a, few, PG_FORMAT_CSV, false, NULL);
    tree_make(&b, many, PG_FORMAT_CSV, false, NULL);
    /* printf 'public\0orders.csv' | xxhsum -H3 gives ddd05ad82b0afea9: two bits less, bit 4 set */
    assert_int_equal(ino_of(&a, "public", "orders.csv"), orders);
    assert_int_equal(ino_of(&b, "public", "orders.csv"), orders);
    assert_int_equal(ino_of(&a, ".asofs", "errors"), ino_of(&b, ".asofs", "errors"));
    tree_free(&a);
    tree_free(&b);
    pg_catalog_free(few);
    pg_catalog_free(many);
}

static void tree_of_many_random_names_is_right(void **state)
{
    enum { TABLES = 700 };
    struct place *places = mem_array(TABLES, sizeof(*places));
    struct pg_catalog *c;
    uint64_t seed = 5;
    struct tree t;
    size_t i;

    (void)state;
    for (i = 0; i < TABLES; i++) {
        places[i].schema = mem_printf("%c%u", "!.%zA"[fixture_random_below(&seed, 5)],
                                      fixture_random_below(&seed, 9));
        places[i].name = mem_printf("%c%zu%c", "a/.%~"[fixture_random_below(&seed, 5)], i,
                                    "-./\n"[fixture_random_below(&seed, 4)]);
    }
    c = viewfixture_catalog(places, TABLES);
    tree_make(&t, c, PG_FORMAT_BINARY, false, NULL);
    assert_tree(&t, c, ".bin");
    tree_free(&t);
    pg_catalog_free(c);
    for (i = 0; i < TABLES; i++) {
        free((char *)(uintptr_t)places[i].schema);
        free((char *)(uintptr_t)places[i].name);
    }
    free(places);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree_has_a_place_for_every_odd_name),
        cmocka_unit_test(tree_puts_its_own_directory_in_order),
        cmocka_unit_test(tree_sorts_by_names_as_they_are_shown),
        cmocka_unit_test(tree_does_not_find_what_is_not_there),
        cmocka_unit_test(trees_of_several_databases_are_joined),
        cmocka_unit_test(trees_have_pages_when_asked),
        cmocka_unit_test(tree_numbers_last_whatever_else_there_is),
        cmocka_unit_test(tree_of_many_random_names_is_right),
    };

    return cmocka_run_group_tests_name("view/tree", tests, NULL, NULL);
}
