/* view/: names, reading, the files of .asofs/, directories that appear whole. No server is asked.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/escape.h"
#include "common/io.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/mounts.h"
#include "extract/spooled.h"
#include "view/inspect.h"
#include "view/internal.h"
#include "view/outdir.h"
#include "view/report.h"

/* xorshift: the same numbers on every machine. */
static uint32_t random_below(uint64_t *seed, uint32_t n)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return (uint32_t)(*seed >> 33) % n;
}

struct place { /* a table by name */
    const char *schema, *name;
};

static struct pg_catalog *make_catalog(const struct place *places, size_t n)
{
    struct pg_catalog *c = mem_alloc(sizeof(*c));
    size_t i;

    c->ntables = n;
    c->tables = mem_array(n, sizeof(*c->tables));
    for (i = 0; i < n; i++)
        c->tables[i].rel = (struct pg_relation){.oid = (uint32_t)i,
                                                .kind = 'r',
                                                .schema = mem_strdup(places[i].schema),
                                                .name = mem_strdup(places[i].name),
                                                .bytes = 8192,
                                                .blocks = 1};
    return c;
}

/* ---- tree ---- */

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
    struct pg_catalog *c = make_catalog(odd_places, ODD);
    enum pg_format f;

    (void)state;
    for (f = PG_FORMAT_CSV; f <= PG_FORMAT_BINARY; f++) {
        struct tree t;

        tree_make(&t, c, f, false);
        assert_tree(&t, c, extensions[f]);
        tree_free(&t);
    }
    pg_catalog_free(c);
}

/* The names of the root's children, in their order. */
static void assert_root(const struct place *places, size_t n, const char *expected)
{
    struct pg_catalog *c = make_catalog(places, n);
    struct buf b = {0};
    struct tree t;
    uint32_t i;

    tree_make(&t, c, PG_FORMAT_CSV, false);
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
    struct pg_catalog *c = make_catalog(places, 4);
    struct tree t;
    int64_t dir;

    (void)state;
    assert_root(places, 4, ".asofs a a! a%0A ");
    tree_make(&t, c, PG_FORMAT_TEXT, false);
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
    struct pg_catalog *c = make_catalog(odd_places, 2);
    struct tree t;
    int64_t dir, file;
    size_t i;

    (void)state;
    tree_make(&t, c, PG_FORMAT_CSV, false);
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
    struct pg_catalog *full = make_catalog(places, 3), *none = make_catalog(NULL, 0);
    struct tree one, two, t;
    const struct tree *members[] = {&one, &two, &one};
    uint32_t i;
    int64_t dir, schema, file;

    (void)state;
    tree_make(&one, full, PG_FORMAT_CSV, false);
    tree_make(&two, none, PG_FORMAT_CSV, false);
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
    static const char *const wanted[] = {"errors",        "pages",       "schema.sql",
                                         "snapshot.json", "status.json", "tables.csv"};
    char *dirs[] = {"-x", "app", "erp"};
    struct pg_catalog *c = make_catalog(places, 3);
    struct tree one, t;
    const struct tree *members[] = {&one, &one, &one};
    uint32_t i;
    int64_t dir, pages;

    (void)state;
    tree_make(&t, c, PG_FORMAT_CSV, true);
    dir = tree_lookup(&t, 0, ".asofs");
    assert_int_equal(t.nodes[dir].nchildren, 6);
    assert_int_equal(t.nodes[dir].subdirs, 1);
    for (i = 0; i < 6; i++)
        assert_string_equal(t.nodes[t.nodes[dir].children + i].name, wanted[i]);
    pages = tree_lookup(&t, (uint32_t)dir, "pages");
    assert_int_equal(t.nodes[pages].kind, NODE_PAGES);
    assert_int_equal(t.nodes[pages].parent, dir);
    tree_free(&t);

    tree_make(&one, c, PG_FORMAT_CSV, false);
    tree_join(&t, members, dirs, 3, true);
    assert_int_equal(t.nodes[0].nchildren, 4);
    assert_string_equal(t.nodes[t.nodes[0].children + 1].name, ".asofs"); /* behind "-x" */
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
    struct pg_catalog *few = make_catalog(odd_places, 1), *many = make_catalog(odd_places, ODD);
    const uint64_t orders = 0x377416b60ac2bfba;
    struct tree a, b;

    (void)state;
    tree_make(&a, few, PG_FORMAT_CSV, false);
    tree_make(&b, many, PG_FORMAT_CSV, false);
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
        places[i].schema =
            mem_printf("%c%u", "!.%zA"[random_below(&seed, 5)], random_below(&seed, 9));
        places[i].name = mem_printf("%c%zu%c", "a/.%~"[random_below(&seed, 5)], i,
                                    "-./\n"[random_below(&seed, 4)]);
    }
    c = make_catalog(places, TABLES);
    tree_make(&t, c, PG_FORMAT_BINARY, false);
    assert_tree(&t, c, ".bin");
    tree_free(&t);
    pg_catalog_free(c);
    for (i = 0; i < TABLES; i++) {
        free((char *)(uintptr_t)places[i].schema);
        free((char *)(uintptr_t)places[i].name);
    }
    free(places);
}

/* ---- a view without a server: everything that is asked of it while and after it is extracted
 * -------- */

static const struct snapshot_request request = {.source = "service=erp",
                                                .format = PG_FORMAT_CSV,
                                                .jobs = 3,
                                                .timezone = "UTC",
                                                .encoding = "UTF8"};

static const struct place view_places[] = {{"public", "items"}, {"public", "a,b"}, {"s", "\"m\""}};

static struct coordinator *make_coordinator(const struct snapshot *s)
{
    struct coordinator_config config = {.crew = s->crew,
                                        .catalog = s->catalog,
                                        .plan = &s->plan,
                                        .results = s->results,
                                        .out_fd = -1};

    return coordinator_new(&config);
}

/* Table 0 has three chunks, the others one; nothing is extracted yet. */
static struct snapshot *make_snapshot(const char *source, const char *schema_error)
{
    struct snapshot *s = mem_alloc(sizeof(*s));

    s->req = request;
    s->dump = (struct pg_dump){.out_fd = -1, .err_fd = -1};
    s->server = (struct pg_server){.version = 150004,
                                   .version_text = mem_strdup("15.4"),
                                   .database = mem_strdup("erp"),
                                   .user = mem_strdup("planner"),
                                   .encoding = mem_strdup("LATIN1"),
                                   .lc_monetary = mem_strdup("C"),
                                   .system_identifier = mem_strdup("7123")};
    s->source = mem_strdup(source);
    s->encoding = "UTF8";
    s->catalog = make_catalog(view_places, 3);
    s->catalog->tables[0].rel.bytes = 3 * 8192;
    s->catalog->tables[0].rel.blocks = 3;
    s->catalog->tables[1].rel.kind = 'p';
    s->catalog->tables[2].rel.kind = 'm';
    s->moment = (struct pg_moment){.snapshot_id = mem_strdup("1-1"),
                                   .time = mem_strdup("2026-11-16T08:00:00.123456Z"),
                                   .unix_ns = 1794816000123456000,
                                   .lsn = mem_strdup("0/16B3748")};
    s->started = 1000, s->locked = 1200, s->frozen = 1500;
    plan_make(&s->plan, s->catalog, 8192);
    tree_make(&s->tree, s->catalog, PG_FORMAT_CSV, false);
    s->crew = crew_new(2);
    s->results = results_new(&s->plan);
    if (schema_error)
        results_set_schema(s->results, NULL, schema_error);
    s->coordinator = make_coordinator(s);
    return s;
}

static struct view *make_view(const char *source, const char *schema_error)
{
    struct view *v = view_new(source, 1);

    view_add(v, make_snapshot(source, schema_error));
    return v;
}

static struct results *results_of(const struct view *v)
{
    return snapshot_results(v->members[0].snapshot);
}

/* A spool file in memory, with these bytes. */
static void fill_spool(struct view *v, unsigned i, const char *bytes)
{
    struct crew *c = v->members[0].snapshot->crew;

    c->spools[i].fd = memfd_create("unit", MFD_CLOEXEC);
    assert_int_equal(io_pwrite_all(c->spools[i].fd, bytes, strlen(bytes), 0), 0);
}

static void complete(struct view *v, size_t t, struct flatfile *file, uint64_t rows,
                     uint64_t checksum)
{
    struct table_result *r = &results_of(v)->tables[t];

    r->file = file;
    r->bytes = file->size;
    r->rows = rows;
    r->checksum = checksum;
    r->state = TABLE_COMPLETE;
}

static struct flatfile *flat_text(const char *text)
{
    struct buf b = {0};

    buf_puts(&b, text);
    return flatfile_from_text(&b);
}

/* In a file of its own. */
static struct flatfile *flat_alone(const char *text, size_t size)
{
    int fd = memfd_create("unit", MFD_CLOEXEC);

    assert_int_equal(io_pwrite_all(fd, text, strlen(text), 0), 0);
    return spooled_alone(fd, size);
}

static void fail_table(struct view *v, size_t t, const char *why)
{
    struct table_result *r = &results_of(v)->tables[t];

    r->error = mem_strdup(why);
    r->state = TABLE_FAILED;
}

/* Table 0 is complete, "id,name\n1,bolt\n": its chunks lie in two spool files, the second is empty.
 */
static int set_up_view(void **state)
{
    struct view *v = make_view("erp@db1", NULL);
    const struct spool *spools = v->members[0].snapshot->crew->spools;
    struct spooled *s = spooled_new(3);

    fill_spool(v, 0, "??1,bolt\n??");
    fill_spool(v, 1, "id,name\n");
    spooled_set(s, 0, spools[1].fd, 0, 8);
    spooled_set(s, 1, spools[0].fd, 2, 0);
    spooled_set(s, 2, spools[0].fd, 2, 7);
    complete(v, 0, spooled_seal(s), 12, 0xabc);
    *state = v;
    return 0;
}

static int tear_down_view(void **state)
{
    view_free(*state);
    view_free(NULL);
    return 0;
}

static uint32_t node_of(const struct view *v, const char *dir, const char *file)
{
    int64_t d = tree_lookup(view_tree(v), 0, dir), n;

    assert_true(d > 0);
    n = tree_lookup(view_tree(v), (uint32_t)d, file);
    assert_true(n > 0);
    return (uint32_t)n;
}

static void view_tells_its_moment_and_source(void **state)
{
    struct view *v = *state;

    assert_int_equal(view_time(v).tv_sec, 1794816000);
    assert_int_equal(view_time(v).tv_nsec, 123456000);
    assert_string_equal(view_source(v), "erp@db1");
}

/* Whatever is asked for, the answer is that part of `text` that there is. */
static void assert_reads(struct view *v, uint32_t node, const char *text)
{
    const struct flatfile *f = view_file(v, node);
    size_t len = strlen(text), at, size;
    char got[32];

    assert_non_null(f);
    assert_int_equal(view_size(v, node), len);
    for (at = 0; at <= len + 1; at++) {
        for (size = 0; size <= len + 1; size++) {
            size_t n = at >= len ? 0 : size < len - at ? size : len - at;

            assert_int_equal(flatfile_read(f, got, size, at), n);
            assert_memory_equal(got, text + (at < len ? at : len), n);
        }
    }
    assert_int_equal(flatfile_read(f, got, 4, UINT64_MAX), 0);
}

static void view_reads_tables_across_their_chunks(void **state)
{
    struct view *v = *state;

    assert_reads(v, node_of(v, "public", "items.csv"), "id,name\n1,bolt\n");
    assert_int_equal(flatfile_fd(view_file(v, node_of(v, "public", "items.csv"))), -1);
}

static void view_reads_tables_from_files_of_their_own(void **state)
{
    struct view *v = *state;
    uint32_t node = node_of(v, "public", "a,b.csv");

    complete(v, 1, flat_alone("x\ny\n\n", 5), 1, 1);
    assert_reads(v, node, "x\ny\n\n");
    assert_true(flatfile_fd(view_file(v, node)) >= 0);
}

static void view_reads_its_own_files(void **state)
{
    struct view *v = *state;

    v->members[0].texts[META_ERRORS] = flat_text("0123456789");
    v->members[0].texts[META_SCHEMA] = flat_text("");
    v->members[0].reported = true;
    assert_reads(v, node_of(v, ".asofs", "errors"), "0123456789");
    assert_reads(v, node_of(v, ".asofs", "schema.sql"), "");
}

static void view_never_gives_less_than_there_should_be(void **state)
{
    struct view *v = *state;
    const struct flatfile *f = view_file(v, node_of(v, "public", "items.csv"));
    char got[32];

    assert_int_equal(ftruncate(v->members[0].snapshot->crew->spools[0].fd, 8), 0);
    assert_int_equal(flatfile_read(f, got, 32, 0), -EIO);
    assert_int_equal(flatfile_read(f, got, 8, 0), 8);
    complete(v, 1, flat_alone("xxxx", 5), 1, 1);
    f = view_file(v, node_of(v, "public", "a,b.csv"));
    assert_int_equal(flatfile_read(f, got, 32, 0), -EIO);
}

static void view_reads_no_directories_and_nothing_unfinished(void **state)
{
    struct view *v = *state;

    assert_null(view_file(v, 0));
    assert_int_equal(view_size(v, 0), 0);
    assert_null(view_file(v, node_of(v, "public", "a,b.csv")));
    assert_null(view_file(v, node_of(v, ".asofs", "errors")));
    fail_table(v, 2, "gone");
    assert_null(view_file(v, node_of(v, "s", "\"m\".csv")));
}

static void view_states_follow_the_extraction(void **state)
{
    struct view *v = *state;
    uint32_t items = node_of(v, "public", "items.csv"), other = node_of(v, "public", "a,b.csv");

    assert_int_equal(view_state(v, 0), VIEW_FINAL);
    assert_int_equal(view_state(v, items), VIEW_FINAL);
    assert_int_equal(view_state(v, other), VIEW_PENDING);
    results_of(v)->tables[1].state = TABLE_RUNNING;
    assert_int_equal(view_state(v, other), VIEW_PENDING);
    view_prefer(v, other);
    view_prefer(v, 0);
    fail_table(v, 1, "gone");
    assert_int_equal(view_state(v, other), VIEW_FAILED);
}

static void view_texts_are_live_until_the_end(void **state)
{
    struct view *v = *state;
    uint32_t tables = node_of(v, ".asofs", "tables.csv"),
             schema = node_of(v, ".asofs", "schema.sql");
    struct flatfile *text;
    char head[13];

    assert_int_equal(view_state(v, tables), VIEW_LIVE);
    assert_int_equal(view_state(v, schema), VIEW_PENDING);
    text = view_live_text(v, tables);
    assert_int_equal(view_size(v, tables), text->size);
    assert_int_equal(flatfile_read(text, head, 13, 0), 13);
    assert_memory_equal(head, "schema,table,", 13);
    flatfile_free(text);
    v->members[0].reported = true;
    assert_int_equal(view_state(v, tables), VIEW_FINAL);
    assert_int_equal(view_state(v, schema), VIEW_FINAL);
}

static void assert_xattr(struct view *v, uint32_t node, const char *name, const char *expected)
{
    char value[VIEW_XATTR_MAX];
    int n = view_xattr(v, node, name, value);

    assert_int_equal(n, strlen(expected));
    assert_memory_equal(value, expected, strlen(expected));
}

static void view_has_attributes_on_tables_only(void **state)
{
    struct view *v = *state;
    uint32_t node = node_of(v, "public", "items.csv"), errors = node_of(v, ".asofs", "errors");
    char value[VIEW_XATTR_MAX];
    const char *names;

    assert_xattr(v, node, "user.asofs.rows", "12");
    assert_xattr(v, node, "user.asofs.xxh3", "0000000000000abc");
    assert_xattr(v, node, "user.asofs.lsn", "0/16B3748");
    assert_int_equal(view_xattr(v, node, "user.asofs", value), -ENODATA);
    assert_int_equal(view_xattr(v, node, "user.asofs.other", value), -ENODATA);
    assert_int_equal(view_xattr(v, node, "security.capability", value), -ENODATA);
    assert_int_equal(view_xattr(v, 0, "user.asofs.rows", value), -ENODATA);
    assert_int_equal(view_xattr(v, errors, "user.asofs.lsn", value), -ENODATA);
    assert_int_equal(view_xattr_names(v, 0, &names), 0);
    assert_int_equal(view_xattr_names(v, errors, &names), 0);
}

static void view_lists_the_attributes_that_it_has(void **state)
{
    struct view *v = *state;
    uint32_t node = node_of(v, "public", "items.csv");
    char value[VIEW_XATTR_MAX];
    const char *names;
    size_t len = view_xattr_names(v, node, &names), at, n = 0;

    for (at = 0; at < len; at += strlen(names + at) + 1, n++)
        assert_true(view_xattr(v, node, names + at, value) > 0);
    assert_int_equal(at, len);
    assert_int_equal(n, 3);
}

/* Table 1 of the member is complete, in a file of its own. */
static void complete_member(struct view *v, size_t m, const char *text)
{
    struct table_result *r = &snapshot_results(v->members[m].snapshot)->tables[1];

    r->file = flat_alone(text, strlen(text));
    r->bytes = strlen(text);
    r->state = TABLE_COMPLETE;
}

/* A file below the directory of a database. */
static uint32_t node_in(const struct view *v, const char *database, const char *dir,
                        const char *file)
{
    const struct tree *t = view_tree(v);
    uint32_t top = (uint32_t)tree_lookup(t, 0, database);
    int64_t n = tree_lookup(t, (uint32_t)tree_lookup(t, top, dir), file);

    assert_true(n > 0);
    return (uint32_t)n;
}

/* Both have the same names; each file is that of its own database. */
static void view_of_several_databases_asks_the_right_one(void **state)
{
    struct view *v = view_new("/store", 2);
    char *dirs[] = {"app", "erp"};

    (void)state;
    view_add(v, make_snapshot("app", NULL));
    view_add(v, make_snapshot("erp", NULL));
    view_join(v, dirs, true);
    complete_member(v, 0, "one\n");
    v->members[1].texts[META_ERRORS] = flat_text("bad\n");
    v->members[1].reported = true;
    assert_string_equal(view_source(v), "/store");
    assert_int_equal(view_time(v).tv_sec, 1794816000);
    assert_reads(v, node_in(v, "app", "public", "a,b.csv"), "one\n");
    assert_int_equal(view_state(v, node_in(v, "erp", "public", "a,b.csv")), VIEW_PENDING);
    complete_member(v, 1, "and two\n");
    assert_reads(v, node_in(v, "erp", "public", "a,b.csv"), "and two\n");
    assert_reads(v, node_in(v, "app", "public", "a,b.csv"), "one\n");
    assert_int_equal(view_state(v, node_in(v, "app", ".asofs", "errors")), VIEW_LIVE);
    assert_reads(v, node_in(v, "erp", ".asofs", "errors"), "bad\n");
    assert_int_equal(view_state(v, node_of(v, ".asofs", "pages")), VIEW_FINAL);
    assert_int_equal(view_size(v, node_of(v, ".asofs", "pages")), 0);
    view_free(v);
}

/* ---- reports ---- */

#define TABLES_HEAD                                                                                \
    "schema,table,file,kind,state,rows,bytes,estimated_bytes,chunks,seconds,xxh3,error\n"

static char *report_of(const struct view *v, enum meta_file which)
{
    struct flatfile *f = report_make(v->members[0].snapshot, which);
    char *text = mem_alloc((size_t)f->size + 1);

    assert_int_equal(flatfile_read(f, text, (size_t)f->size, 0), f->size);
    flatfile_free(f);
    return text;
}

static void assert_report(struct view *v, enum meta_file which, const char *expected)
{
    char *text = report_of(v, which);

    assert_string_equal(text, expected);
    free(text);
}

static void report_of_tables_has_a_line_for_each(void **state)
{
    struct view *v = *state;
    struct table_result *r = results_of(v)->tables;

    r[0].started_at = 2000, r[0].ended_at = 4500;
    r[1].bytes = 100, r[1].under_way = 20;
    assert_report(
        v, META_TABLES,
        TABLES_HEAD
        "public,items,public/items.csv,table,complete,12,15,24576,3,2.500,0000000000000abc,\n"
        "public,\"a,b\",\"public/a,b.csv\",partitioned table,waiting,0,120,8192,1,0.000,,\n"
        "s,\"\"\"m\"\"\",\"s/\"\"m\"\".csv\",materialized view,waiting,0,0,8192,1,0.000,,\n");
}

static void report_of_errors_is_empty_when_there_are_none(void **state)
{
    assert_report(*state, META_ERRORS, "");
}

static void reports_say_why_a_table_failed(void **state)
{
    struct view *v = *state;
    char *text;

    fail_table(v, 1, "no, \"never\"");
    assert_report(v, META_ERRORS, "public/a,b.csv: no, \"never\"\n");
    text = report_of(v, META_TABLES);
    assert_non_null(strstr(text, ",failed,0,0,8192,1,0.000,,\"no, \"\"never\"\"\"\n"));
    free(text);
}

static json_t *json_of(struct view *v, enum meta_file which)
{
    char *text = report_of(v, which);
    json_t *j;

    assert_int_equal(text[strlen(text) - 1], '\n');
    j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(j);
    free(text);
    return j;
}

/* The value at "a.b" as text; "" when there is none. */
static const char *json_at(json_t *j, const char *path, char *out, size_t room)
{
    const char *dot = strchr(path, '.');
    json_t *v = j;

    if (dot)
        v = json_object_getn(v, path, (size_t)(dot - path));
    v = json_object_get(v, dot ? dot + 1 : path);
    if (json_is_string(v))
        snprintf(out, room, "%s", json_string_value(v));
    else if (json_is_boolean(v))
        snprintf(out, room, "%s", json_is_true(v) ? "true" : "false");
    else
        snprintf(out, room, v ? "%g" : "", json_number_value(v));
    return out;
}

static void assert_json(json_t *j, const char *path, const char *expected)
{
    char got[128];

    assert_string_equal(json_at(j, path, got, sizeof(got)), expected);
}

static void report_of_the_snapshot_is_json(void **state)
{
    struct view *v = *state;
    json_t *j;

    results_of(v)->joined = 2;
    j = json_of(v, META_SNAPSHOT);
    assert_json(j, "moment", "2026-11-16T08:00:00.123456Z");
    assert_json(j, "lsn", "0/16B3748");
    assert_json(j, "lsn_from", "");
    assert_json(j, "protocol", "export");
    assert_json(j, "server.version", "15.4");
    assert_json(j, "server.source", "erp@db1");
    assert_json(j, "server.in_recovery", "false");
    assert_json(j, "settings.server_encoding", "LATIN1");
    assert_json(j, "settings.format", "csv");
    assert_json(j, "workers.asked", "3");
    assert_json(j, "workers.joined", "2");
    json_decref(j);
}

static void report_of_the_snapshot_is_json_whatever_the_names(void **state)
{
    struct view *v = make_view("caf\xe9\"\\@db1", NULL);
    json_t *j = json_of(v, META_SNAPSHOT);

    (void)state;
    assert_json(j, "server.source", "caf\\xe9\"\\@db1");
    assert_json(j, "server.database", "erp");
    json_decref(j);
    view_free(v);
}

static void report_of_the_state_counts(void **state)
{
    struct view *v = *state;
    struct results *r = results_of(v);
    json_t *j = json_of(v, META_STATUS);

    assert_json(j, "state", "extracting");
    assert_json(j, "source_held", "true");
    json_decref(j);
    r->tables[1].state = TABLE_RUNNING;
    r->tables[1].under_way = 85;
    j = json_of(v, META_STATUS);
    assert_json(j, "tables.all", "3");
    assert_json(j, "tables.complete", "1");
    assert_json(j, "tables.running", "1");
    assert_json(j, "tables.waiting", "1");
    assert_json(j, "tables.failed", "0");
    assert_json(j, "rows", "12");
    assert_json(j, "bytes", "100");
    assert_json(j, "chunks", "5");
    assert_json(j, "estimated_bytes", "40960");
    assert_json(j, "estimated_bytes_done", "24576");
    json_decref(j);
}

static void report_of_the_state_at_the_end_stands_still(void **state)
{
    struct view *v = *state;
    struct results *r = results_of(v);
    json_t *j;

    r->released = r->ended = true;
    r->released_at = 3200, r->ended_at = 4000;
    complete(v, 1, flat_text(""), 0, 0);
    complete(v, 2, flat_text(""), 0, 0);
    j = json_of(v, META_STATUS);
    assert_json(j, "state", "complete");
    assert_json(j, "source_held", "false");
    assert_json(j, "held_seconds", "2");
    assert_json(j, "freeze_seconds", "0.5");
    assert_json(j, "extract_seconds", "2.5");
    json_decref(j);
    fail_table(v, 2, "gone");
    j = json_of(v, META_STATUS);
    assert_json(j, "state", "failed");
    json_decref(j);
}

static void report_of_the_schema_is_what_pg_dump_said(void **state)
{
    struct view *v = *state;

    assert_report(v, META_SCHEMA, "");
    buf_puts(&results_of(v)->schema, "CREATE TABLE items ();\n");
    assert_report(v, META_SCHEMA, "CREATE TABLE items ();\n");
}

static void reports_without_definitions_say_why(void **state)
{
    struct view *v = make_view("erp", "pg_dump exited\nwith two lines");

    (void)state;
    assert_report(v, META_ERRORS, "schema.sql could not be made: pg_dump exited\nwith two lines\n");
    assert_report(v, META_SCHEMA,
                  "-- The definitions could not be read:\n-- pg_dump exited\n"
                  "-- with two lines\n");
    view_free(v);
}

/* ---- outdir ---- */

struct place_below { /* a directory below TMPDIR, and one in it that shall be made */
    char *dir, *out;
};

static int set_up_place(void **state)
{
    struct place_below *p = mem_alloc(sizeof(*p));
    const char *tmp = getenv("TMPDIR");

    p->dir = mem_printf("%s/unit-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(p->dir))
        return -1;
    p->out = mem_printf("%s/out", p->dir);
    *state = p;
    return 0;
}

static int tear_down_place(void **state)
{
    struct place_below *p = *state;
    int rc = io_remove_tree(p->dir);

    free(p->dir);
    free(p->out);
    free(p);
    return rc;
}

static size_t entries_in(const char *dir)
{
    DIR *d = opendir(dir);
    size_t n = 0;

    assert_non_null(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n - 2; /* . and .. */
}

static void outdir_appears_when_it_is_published(void **state)
{
    struct place_below *p = *state;
    mode_t mask = umask(027);
    struct outdir d;
    struct stat st;
    struct err err;

    assert_int_equal(outdir_open(&d, p->out, &err), 0);
    assert_int_equal(access(p->out, F_OK), -1);
    assert_int_equal(fstat(d.fd, &st), 0);
    assert_int_equal(st.st_mode & 07777, 01700);
    assert_int_equal(io_write_file(d.fd, "f", "x", 1, &err), 0);
    assert_int_equal(outdir_publish(&d, &err), 0);
    assert_int_equal(stat(p->out, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
    assert_int_equal(entries_in(p->out), 1);
    assert_int_equal(entries_in(p->dir), 1);
    umask(mask);
}

static void outdir_leaves_nothing_when_abandoned(void **state)
{
    struct place_below *p = *state;
    struct outdir d;
    struct err err;

    assert_int_equal(outdir_open(&d, p->out, &err), 0);
    assert_int_equal(mkdirat(d.fd, "sub", 0700), 0);
    assert_int_equal(io_write_file(d.fd, "sub/f", "x", 1, &err), 0);
    outdir_abandon(&d);
    assert_int_equal(entries_in(p->dir), 0);
}

static void outdir_ignores_slashes_at_the_end(void **state)
{
    struct place_below *p = *state;
    char *path = mem_printf("%s//", p->out);
    struct outdir d;
    struct err err;

    assert_int_equal(outdir_open(&d, path, &err), 0);
    assert_string_equal(d.path, p->out);
    assert_int_equal(outdir_publish(&d, &err), 0);
    assert_int_equal(access(p->out, F_OK), 0);
    free(path);
}

static void assert_outdir_refused(const char *path, int code, const char *named)
{
    struct outdir d;
    struct err err;

    assert_int_equal(outdir_open(&d, path, &err), -code);
    assert_int_equal(err.code, code);
    assert_non_null(strstr(err.text, named));
}

static void outdir_refuses_a_place_that_is_taken_or_missing(void **state)
{
    struct place_below *p = *state;
    char *below = mem_printf("%s/new", p->out), *dangling = mem_printf("%s/link", p->dir);
    int fd;

    assert_outdir_refused(p->dir, EEXIST, p->dir);
    assert_outdir_refused("/", EEXIST, "/");
    assert_outdir_refused(below, ENOENT, below);
    fd = open(p->out, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_outdir_refused(p->out, EEXIST, p->out);
    assert_outdir_refused(below, ENOTDIR, p->out);
    assert_int_equal(symlink("/nonexistent", dangling), 0);
    assert_outdir_refused(dangling, EEXIST, dangling);
    assert_int_equal(entries_in(p->dir), 2);
    close(fd);
    free(below);
    free(dangling);
}

static void outdir_refuses_an_empty_name_at_once(void **state)
{
    struct place_below *p = *state;
    int back = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc;
    struct outdir d;
    struct err err;

    assert_int_equal(chdir(p->dir), 0);
    rc = outdir_open(&d, "", &err);
    if (rc == 0)
        outdir_abandon(&d);
    assert_int_equal(fchdir(back), 0);
    close(back);
    assert_true(rc < 0);
}

static void outdir_does_not_replace_what_came_meanwhile(void **state)
{
    struct place_below *p = *state;
    struct outdir d;
    struct err err;

    assert_int_equal(outdir_open(&d, p->out, &err), 0);
    assert_int_equal(mkdir(p->out, 0700), 0);
    assert_int_equal(outdir_publish(&d, &err), -EEXIST);
    assert_int_equal(entries_in(p->dir), 1);
    assert_int_equal(entries_in(p->out), 0);
}

/* A directory of that mode and owner beside the place, with a file in it; is it still there after
 * one more has been opened? */
static bool survives(struct place_below *p, const char *name, mode_t mode, uid_t owner, bool locked)
{
    char *path = mem_printf("%s/%s", p->dir, name), *file = mem_printf("%s/f", path);
    struct outdir d;
    struct err err;
    bool there;
    int fd;

    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(io_write_file(AT_FDCWD, file, "x", 1, &err), 0);
    assert_int_equal(chown(path, owner, getegid()), 0);
    assert_int_equal(chmod(path, mode), 0);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (locked)
        assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(outdir_open(&d, p->out, &err), 0);
    outdir_abandon(&d);
    there = access(file, F_OK) == 0;
    close(fd);
    free(path);
    free(file);
    return there;
}

static void outdir_removes_what_a_killed_run_left(void **state)
{
    log_set_level(LOG_LEVEL_QUIET);
    assert_false(survives(*state, ".out.asofs-abcDEF", 01700, geteuid(), false));
    /* another run is filling it */
    assert_true(survives(*state, ".out.asofs-123456", 01700, geteuid(), true));
    assert_true(survives(*state, ".out.asofs-1234567", 01700, geteuid(), false));
    assert_true(survives(*state, ".outer.asofs-123456", 01700, geteuid(), false));
    assert_true(survives(*state, "out.asofs-123456", 01700, geteuid(), false));
    /* a result that somebody has moved there */
    assert_true(survives(*state, ".out.asofs-ABCDEF", 0700, geteuid(), false));
    if (geteuid() == 0)
        assert_true(survives(*state, ".out.asofs-GHIJKL", 01700, 65534, false));
    log_set_level(LOG_LEVEL_NORMAL);
}

static void outdir_that_was_exchanged_does_not_appear(void **state)
{
    struct place_below *p = *state;
    char *aside = mem_printf("%s/aside", p->dir), *file;
    struct outdir d;
    struct err err;

    assert_int_equal(outdir_open(&d, p->out, &err), 0);
    assert_int_equal(rename(d.hidden, aside), 0);
    assert_int_equal(mkdir(d.hidden, 0700), 0);
    file = mem_printf("%s/theirs", d.hidden);
    assert_int_equal(io_write_file(d.fd, "own", "x", 1, &err), 0);
    assert_int_equal(io_write_file(AT_FDCWD, file, "x", 1, &err), 0);
    assert_int_equal(outdir_publish(&d, &err), -ESTALE);
    assert_int_equal(access(file, F_OK), 0);
    assert_int_equal(access(p->out, F_OK), -1);
    assert_int_equal(entries_in(aside), 0); /* what was filled is gone */
    free(file);
    free(aside);
}

static void outdir_is_filled_with_what_a_view_has(void **state)
{
    struct place_below *p = *state;
    struct view *v = make_view("erp", NULL);
    const struct tree *t = view_tree(v);
    int fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), m;
    struct stat st;
    struct err err;

    for (m = 0; m < META_FILES; m++)
        v->members[0].texts[m] = flat_text(m == META_ERRORS ? "bad\n" : "");
    assert_int_equal(outdir_make_dirs(t, fd, &err), 0);
    assert_int_equal(outdir_write_meta(v->members[0].texts, fd, &err), 0);
    assert_int_equal(io_write_file(fd, "public/items.csv", "x", 1, &err), 0);
    outdir_set_times(t, view_time(v), fd);
    assert_int_equal(fstatat(fd, ".asofs/errors", &st, 0), 0);
    assert_int_equal(st.st_size, 4);
    assert_int_equal(fstatat(fd, "public/items.csv", &st, 0), 0);
    assert_int_equal(st.st_mtime, 1794816000);
    assert_int_equal(fstatat(fd, "public", &st, 0), 0);
    assert_int_equal(st.st_mtime, 1794816000);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mtime, 1794816000);
    assert_int_equal(outdir_make_dirs(t, fd, &err), -EEXIST);
    close(fd);
    view_free(v);
}

/* ---- inspecting ---- */

/* The files of .asofs/ of a view in which one table is complete, one waits and one has failed. */
static void write_view_of(const char *dir, const char *source)
{
    struct view *v = make_view(source, NULL);
    char *meta = mem_printf("%s/.asofs", dir);
    enum meta_file m;
    struct err err;
    int fd;

    complete(v, 0, flat_text(""), 12, 0xabc);
    results_of(v)->tables[0].started_at = 1000;
    results_of(v)->tables[0].ended_at = 2500;
    results_of(v)->tables[1].bytes = 77;
    fail_table(v, 2, "two\nlines, \"quoted\"");
    assert_int_equal(mkdir(meta, 0700), 0);
    fd = open(meta, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (m = 0; m < META_FILES; m++) {
        char *text = report_of(v, m);

        assert_int_equal(io_write_file(fd, tree_meta_name(m), text, strlen(text), &err), 0);
        free(text);
    }
    close(fd);
    free(meta);
    view_free(v);
}

static void write_view(const struct place_below *p)
{
    write_view_of(p->dir, "erp@db1");
}

static void inspect_reads_what_was_reported(void **state)
{
    struct place_below *p = *state;
    struct inspected i;
    struct err err;

    write_view(p);
    assert_int_equal(inspect_open(&i, p->dir, &err), 0);
    assert_string_equal(i.state, "extracting");
    assert_string_equal(i.moment, "2026-11-16T08:00:00.123456Z");
    assert_string_equal(i.source, "erp@db1");
    assert_true(i.source_held);
    assert_int_equal(i.estimate, 40960);
    assert_int_equal(i.estimate_done, 24576 + 8192);
    assert_int_equal(i.bytes, 77);
    assert_int_equal(i.ntables, 3);
    assert_string_equal(i.tables[0].file, "public/items.csv");
    assert_string_equal(i.tables[0].checksum, "0000000000000abc");
    assert_int_equal(i.tables[0].rows, 12);
    assert_true(i.tables[0].seconds == 1.5);
    assert_string_equal(i.tables[1].name, "a,b");
    assert_string_equal(i.tables[1].checksum, "");
    assert_int_equal(i.tables[1].bytes, 77);
    assert_string_equal(i.tables[2].state, "failed");
    assert_string_equal(i.tables[2].error, "two\nlines, \"quoted\"");
    inspect_free(&i);
    inspect_free(&i);
}

/* Opens a view of which one file has another text; NULL: it is not there. */
static void assert_damaged(const struct place_below *p, const char *file, const char *text,
                           const char *why)
{
    char *meta = mem_printf("%s/.asofs", p->dir);
    struct err err = {.text = "nothing"};
    struct inspected i;
    int fd;

    write_view(p);
    fd = open(meta, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(unlinkat(fd, file, 0), 0);
    if (text)
        assert_int_equal(io_write_file(fd, file, text, strlen(text), &err), 0);
    if (inspect_open(&i, p->dir, &err) != -EINVAL || !strstr(err.text, why))
        fail_msg("%s: \"%s\", wanted \"%s\"", file, err.text, why);
    assert_int_equal(io_remove_tree(meta), 0);
    close(fd);
    free(meta);
}

static void inspect_refuses_damaged_files(void **state)
{
    const struct place_below *p = *state;

    assert_damaged(p, "status.json", NULL, "is no view of asofs");
    assert_damaged(p, "status.json", "", "is damaged");
    assert_damaged(p, "status.json", "{", "is damaged");
    assert_damaged(p, "status.json", "{}", "lacks what it should hold");
    assert_damaged(p, "status.json", "[1]", "lacks what it should hold");
    assert_damaged(p, "snapshot.json", NULL, "is no view of asofs");
    assert_damaged(p, "snapshot.json", "{\"moment\": 5}", "lacks what it should hold");
    assert_damaged(p, "tables.csv", NULL, "is no view of asofs");
    assert_damaged(p, "tables.csv", "", "is damaged in line 1");
    assert_damaged(p, "tables.csv", "a,b\n", "is damaged in line 1");
    assert_damaged(p, "tables.csv", TABLES_HEAD "a,b,c,d,e,1,2,3,4,5,6,7\na,b\n",
                   "is damaged in line 3");
    assert_damaged(p, "tables.csv", TABLES_HEAD "a,\"b", "is damaged in line 2");
    assert_damaged(p, "tables.csv", TABLES_HEAD "1,2,3,4,5,6,7,8,9,10,11,12,13\n",
                   "is damaged in line 2");
}

static void inspect_refuses_what_is_no_view(void **state)
{
    const struct place_below *p = *state;
    struct inspected i;
    struct err err;

    assert_int_equal(inspect_open(&i, p->dir, &err), -EINVAL);
    assert_non_null(strstr(err.text, "is no view of asofs"));
    assert_int_equal(inspect_open(&i, "/nonexistent", &err), -EINVAL);
    assert_int_equal(inspect_open(&i, "/dev/null", &err), -EINVAL);
}

static void inspect_sums_files_up_as_xxhsum_does(void **state)
{
    struct place_below *p = *state;
    struct err err;
    char sum[17];

    assert_int_equal(io_write_file(AT_FDCWD, p->out, "abc", 3, &err), 0);
    assert_int_equal(inspect_checksum(p->dir, strrchr(p->out, '/') + 1, sum, &err), 0);
    assert_string_equal(sum, "78af5f94892f3950");
    assert_int_equal(inspect_checksum(p->dir, ".", sum, &err), -EINVAL);
    assert_int_equal(inspect_checksum(p->dir, "absent", sum, &err), -ENOENT);
    assert_non_null(strstr(err.text, "absent"));
}

/* tables.csv can be somebody else's. */
static void inspect_reads_nothing_outside(void **state)
{
    struct place_below *p = *state;
    char *around = mem_printf("..%s/out", strrchr(p->dir, '/'));
    const char *const names[] = {"link", "pipe", "below/link", "/dev/null", p->out, around};
    struct err err;
    char sum[17];
    size_t i;
    int dir = open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_int_equal(io_write_file(AT_FDCWD, p->out, "abc", 3, &err), 0);
    assert_int_equal(symlinkat("out", dir, "link"), 0);
    assert_int_equal(mkfifoat(dir, "pipe", 0600), 0);
    assert_int_equal(mkdirat(dir, "below", 0700), 0);
    assert_int_equal(symlinkat("../out", dir, "below/link"), 0);
    if (!getenv("UNDER_VALGRIND")) /* that has no openat2(), without which no ".." is followed */
        assert_int_equal(inspect_checksum(p->dir, "below/../out", sum, &err), 0);
    for (i = 0; i < sizeof(names) / sizeof(*names); i++)
        assert_true(inspect_checksum(p->dir, names[i], sum, &err) < 0);
    free(around);
    close(dir);
}

/* Two databases of a cluster, whose pages would be in .asofs. */
static void write_databases(const struct place_below *p)
{
    static const char *const names[] = {"shop", "erp"};
    char *pages = mem_printf("%s/.asofs", p->dir);
    size_t i;

    assert_int_equal(mkdir(pages, 0700), 0);
    for (i = 0; i < 2; i++) {
        char *dir = mem_printf("%s/%s", p->dir, names[i]);
        char *source = mem_printf("%s of /srv/store", names[i]);

        assert_int_equal(mkdir(dir, 0700), 0);
        write_view_of(dir, source);
        free(source);
        free(dir);
    }
    free(pages);
}

static void inspect_adds_databases_up(void **state)
{
    struct place_below *p = *state;
    struct inspected i;
    struct err err;
    json_t *j, *databases;

    write_databases(p);
    assert_int_equal(inspect_open(&i, p->dir, &err), 0);
    assert_string_equal(i.state, "extracting");
    assert_string_equal(i.moment, "2026-11-16T08:00:00.123456Z");
    assert_string_equal(i.source, "/srv/store");
    assert_true(i.source_held);
    assert_int_equal(i.estimate, 2 * 40960);
    assert_int_equal(i.estimate_done, 2 * (24576 + 8192));
    assert_int_equal(i.bytes, 2 * 77);
    assert_int_equal(i.ntables, 6);
    assert_string_equal(i.tables[0].database, "erp");
    assert_string_equal(i.tables[0].file, "erp/public/items.csv");
    assert_string_equal(i.tables[0].checksum, "0000000000000abc");
    assert_string_equal(i.tables[3].database, "shop");
    assert_string_equal(i.tables[3].file, "shop/public/items.csv");
    j = json_loads(i.json, 0, NULL);
    databases = json_object_get(j, "databases");
    assert_string_equal(json_string_value(json_object_get(j, "state")), "extracting");
    assert_int_equal(json_object_size(databases), 2);
    assert_non_null(json_object_get(json_object_get(databases, "shop"), "bytes"));
    json_decref(j);
    inspect_free(&i);
}

static void put_state(const struct place_below *p, const char *database, const char *name,
                      double held)
{
    char *path = mem_printf("%s/%s/.asofs/status.json", p->dir, database);
    char *text = mem_printf("{\"state\": \"%s\", \"source_held\": false, \"held_seconds\": %.1f,"
                            " \"extract_seconds\": 2.0, \"estimated_bytes\": 8,"
                            " \"estimated_bytes_done\": 4, \"bytes\": 1}",
                            name, held);
    struct err err;

    unlink(path);
    assert_int_equal(io_write_file(AT_FDCWD, path, text, strlen(text), &err), 0);
    free(text);
    free(path);
}

static void inspect_tells_the_worst_of_the_states(void **state)
{
    static const char *const rows[][3] = {{"complete", "complete", "complete"},
                                          {"complete", "extracting", "extracting"},
                                          {"extracting", "failed", "failed"},
                                          {"failed", "complete", "failed"}};
    struct inspected i;
    struct err err;
    size_t k;

    write_databases(*state);
    for (k = 0; k < sizeof(rows) / sizeof(*rows); k++) {
        put_state(*state, "erp", rows[k][0], 1.5);
        put_state(*state, "shop", rows[k][1], 2.5);
        assert_int_equal(inspect_open(&i, ((struct place_below *)*state)->dir, &err), 0);
        assert_string_equal(i.state, rows[k][2]);
        assert_false(i.source_held);
        assert_true(i.held_seconds == 2.5); /* at the same time */
        assert_true(i.extract_seconds == 4.0);
        assert_int_equal(i.bytes, 2);
        inspect_free(&i);
    }
}

static void assert_no_view(const struct place_below *p, const char *named)
{
    struct inspected i;
    struct err err;

    assert_int_equal(inspect_open(&i, p->dir, &err), -EINVAL);
    assert_non_null(strstr(err.text, named));
}

static void inspect_adds_up_nothing_but_databases(void **state)
{
    struct place_below *p = *state;
    char *empty = mem_printf("%s/empty", p->dir), *link = mem_printf("%s/link", p->dir);
    char *damaged = mem_printf("%s/shop/.asofs/snapshot.json", p->dir);
    struct err err;

    assert_no_view(p, "is no view of asofs");
    write_databases(p);
    assert_int_equal(mkdir(empty, 0700), 0);
    assert_no_view(p, "is no view of asofs");
    assert_int_equal(rmdir(empty), 0);
    assert_int_equal(symlink("erp", link), 0);
    assert_no_view(p, "is no view of asofs");
    assert_int_equal(unlink(link), 0);
    assert_int_equal(io_write_file(AT_FDCWD, p->out, "x", 1, &err), 0);
    assert_no_view(p, "is no view of asofs");
    assert_int_equal(unlink(p->out), 0);
    assert_int_equal(unlink(damaged), 0);
    assert_no_view(p, damaged);
    free(damaged);
    free(empty);
    free(link);
}

struct mount_seen {
    const char *dir, *source;
    int times, stop;
};

static int see_mount(void *arg, const char *dir, const char *source)
{
    struct mount_seen *m = arg;

    if (strcmp(dir, m->dir) == 0 && strcmp(source, m->source) == 0)
        m->times++;
    return m->stop;
}

/* A mount in a namespace of this process's own, dead: nobody serves it. */
static int mount_dead(const char *dir, const char *source)
{
    int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC), rc = -1;
    char options[96];

    snprintf(options, sizeof(options), "fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);
    if (fuse >= 0 && unshare(CLONE_NEWNS) == 0 &&
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
        rc = mount(source, dir, MOUNTS_OURS, MS_NOSUID | MS_NODEV, options);
    if (fuse >= 0)
        close(fuse);
    return rc;
}

#define CANNOT_MOUNT 77

static int find_mount(const char *dir)
{
    struct mount_seen m = {.dir = dir, .source = "erp of /srv/the store"};
    struct inspected i;
    struct err err;

    if (mount_dead(dir, m.source) < 0)
        return CANNOT_MOUNT;
    if (inspect_each_mount(see_mount, &m, &err) != 0 || m.times != 1)
        return 1;
    m.stop = 5;
    if (inspect_each_mount(see_mount, &m, &err) != 5)
        return 2;
    if (inspect_open(&i, dir, &err) >= 0 || !strstr(err.text, "is a dead mount"))
        return 3;
    return umount2(dir, MNT_DETACH) == 0 ? 0 : 4;
}

static void inspect_finds_what_is_mounted_and_says_when_it_is_dead(void **state)
{
    struct place_below *p = *state;
    struct mount_seen m = {.dir = p->dir, .source = ""};
    struct err err;
    int status;
    pid_t pid;

    assert_int_equal(inspect_each_mount(see_mount, &m, &err), 0);
    assert_int_equal(m.times, 0);
    if (getenv("UNDER_VALGRIND"))
        skip(); /* the child would end with valgrind's status, whatever it found */
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        exit(find_mount(p->dir));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_MOUNT)
        return; /* nobody but root can, and not everywhere */
    assert_int_equal(status, 0);
}

#define WITH_VIEW(f) cmocka_unit_test_setup_teardown(f, set_up_view, tear_down_view)
#define WITH_PLACE(f) cmocka_unit_test_setup_teardown(f, set_up_place, tear_down_place)

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
        WITH_VIEW(view_tells_its_moment_and_source),
        WITH_VIEW(view_reads_tables_across_their_chunks),
        WITH_VIEW(view_reads_tables_from_files_of_their_own),
        WITH_VIEW(view_reads_its_own_files),
        WITH_VIEW(view_never_gives_less_than_there_should_be),
        WITH_VIEW(view_reads_no_directories_and_nothing_unfinished),
        WITH_VIEW(view_states_follow_the_extraction),
        WITH_VIEW(view_texts_are_live_until_the_end),
        WITH_VIEW(view_has_attributes_on_tables_only),
        WITH_VIEW(view_lists_the_attributes_that_it_has),
        cmocka_unit_test(view_of_several_databases_asks_the_right_one),
        WITH_VIEW(report_of_tables_has_a_line_for_each),
        WITH_VIEW(report_of_errors_is_empty_when_there_are_none),
        WITH_VIEW(reports_say_why_a_table_failed),
        WITH_VIEW(report_of_the_snapshot_is_json),
        cmocka_unit_test(report_of_the_snapshot_is_json_whatever_the_names),
        WITH_VIEW(report_of_the_state_counts),
        WITH_VIEW(report_of_the_state_at_the_end_stands_still),
        WITH_VIEW(report_of_the_schema_is_what_pg_dump_said),
        cmocka_unit_test(reports_without_definitions_say_why),
        WITH_PLACE(outdir_appears_when_it_is_published),
        WITH_PLACE(outdir_leaves_nothing_when_abandoned),
        WITH_PLACE(outdir_is_filled_with_what_a_view_has),
        WITH_PLACE(outdir_ignores_slashes_at_the_end),
        WITH_PLACE(outdir_refuses_a_place_that_is_taken_or_missing),
        WITH_PLACE(outdir_refuses_an_empty_name_at_once),
        WITH_PLACE(outdir_does_not_replace_what_came_meanwhile),
        WITH_PLACE(outdir_removes_what_a_killed_run_left),
        WITH_PLACE(outdir_that_was_exchanged_does_not_appear),
        WITH_PLACE(inspect_reads_what_was_reported),
        WITH_PLACE(inspect_refuses_damaged_files),
        WITH_PLACE(inspect_refuses_what_is_no_view),
        WITH_PLACE(inspect_sums_files_up_as_xxhsum_does),
        WITH_PLACE(inspect_reads_nothing_outside),
        WITH_PLACE(inspect_adds_databases_up),
        WITH_PLACE(inspect_tells_the_worst_of_the_states),
        WITH_PLACE(inspect_adds_up_nothing_but_databases),
        WITH_PLACE(inspect_finds_what_is_mounted_and_says_when_it_is_dead),
    };

    return cmocka_run_group_tests_name("view", tests, NULL, NULL);
}
