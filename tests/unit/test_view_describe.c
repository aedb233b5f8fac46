/* view/describe.h: which tables are rendered, and how; from values, without a server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "render/zone.h"
#include "view/describe.h"

/* ---- a catalog: public.items, and public.orders with two leaves ---- */

enum { INT4 = 23, TEXT = 25, TIMESTAMPTZ = 1184 };
enum { COLOUR = 20001, SPOTS, SPOT_ARRAY, SPOT, MOMENTS, GEOMETRY, WITH_GEOMETRY };

struct example {
    struct pg_catalog catalog;
    struct pg_table tables[2];
    struct pg_relation leaves[2];
    struct pg_column items_columns[4], orders_columns[2];
    struct pg_heaps heaps;
    struct pg_heap relations[3];
    struct pg_heap_attribute items[5], first[2], second[4];
    struct pg_heap_type types[10];
    struct pg_heap_label labels[2];
    struct pg_heap_field fields[3], bad_fields[1];
    struct describe_request r;
};

/* Nothing writes into the texts of an example. */
static char *text(const char *t)
{
    return (char *)(uintptr_t)t;
}

static struct pg_column column(const char *name)
{
    return (struct pg_column){.name = text(name)};
}

static struct pg_heap_attribute attribute(const char *name, uint32_t type, int16_t len, char align)
{
    return (struct pg_heap_attribute){.name = text(name), .type = type, .len = len, .align = align};
}

static struct pg_heap heap(uint32_t oid, const char *path, struct pg_heap_attribute *a, size_t n)
{
    return (struct pg_heap){.oid = oid,
                            .method = text("heap"),
                            .is_heap = true,
                            .persistence = 'p',
                            .path = text(path),
                            .attributes = a,
                            .nattributes = n};
}

static struct pg_heap_type type(uint32_t oid, char kind, uint32_t element, const char *name)
{
    return (struct pg_heap_type){.oid = oid,
                                 .kind = kind,
                                 .len = -1,
                                 .align = 'i',
                                 .delimiter = ',',
                                 .element = element,
                                 .name = text(name)};
}

static void fill_types(struct example *e)
{
    struct pg_heap_type *t = e->types;

    e->labels[0] = (struct pg_heap_label){30001, text("red")};
    e->labels[1] = (struct pg_heap_label){30002, text("green")};
    e->fields[0] = (struct pg_heap_field){INT4, 4, 'i'};
    e->fields[1] = (struct pg_heap_field){0, -1, 'i'};
    e->fields[2] = (struct pg_heap_field){COLOUR, 4, 'i'};
    e->bad_fields[0] = (struct pg_heap_field){GEOMETRY, -1, 'd'};
    t[0] = type(INT4, 'b', 0, "integer");
    t[0].len = 4;
    t[1] = type(TEXT, 'b', 0, "text");
    t[2] = type(TIMESTAMPTZ, 'b', 0, "timestamp with time zone");
    t[2].len = 8, t[2].align = 'd';
    t[3] = type(COLOUR, 'e', 0, "public.colour");
    t[3].len = 4, t[3].labels = e->labels, t[3].nlabels = 2;
    t[4] = type(SPOTS, 'd', SPOT_ARRAY, "public.spots");
    t[5] = type(SPOT_ARRAY, 'b', SPOT, "public.spot[]");
    t[5].is_array = true, t[5].align = 'd';
    t[6] = type(SPOT, 'c', 0, "public.spot");
    t[6].align = 'd', t[6].fields = e->fields, t[6].nfields = 3;
    t[7] = type(MOMENTS, 'd', TIMESTAMPTZ, "public.moments");
    t[7].len = 8, t[7].align = 'd';
    t[8] = type(GEOMETRY, 'b', 0, "public.geometry");
    t[8].is_foreign = true, t[8].align = 'd';
    t[9] = type(WITH_GEOMETRY, 'c', 0, "public.with_geometry");
    t[9].is_foreign = true;
    t[9].align = 'd', t[9].fields = e->bad_fields, t[9].nfields = 1;
}

static void fill_heaps(struct example *e)
{
    e->items[0] = attribute("id", INT4, 4, 'i');
    e->items[1] = attribute("name", TEXT, -1, 'i');
    e->items[2] = attribute("........pg.dropped.3........", 0, 8, 'd');
    e->items[3] = attribute("spots", SPOTS, -1, 'd');
    e->items[4] = attribute("colour", COLOUR, 4, 'i');
    e->items[4].missing = text("red");
    e->first[0] = attribute("a", INT4, 4, 'i');
    e->first[1] = attribute("b", TEXT, -1, 'i');
    e->second[0] = attribute("b", 0, 2, 's'); /* dropped, whatever its name */
    e->second[1] = attribute("b", TEXT, -1, 'i');
    e->second[2] = attribute("left out", GEOMETRY, -1, 'd');
    e->second[3] = attribute("a", INT4, 4, 'i');
    e->second[3].missing = text("7");
    e->relations[0] = heap(100, "base/5/100", e->items, 5);
    e->relations[0].toast_path = text("base/5/101");
    e->relations[1] = heap(201, "base/5/201", e->first, 2);
    e->relations[2] = heap(202, "pg_tblspc/9/PG_1/5/202", e->second, 4);
    e->heaps = (struct pg_heaps){.version = 150004,
                                 .block_bytes = 8192,
                                 .max_align = 8,
                                 .toast_chunk = 1996,
                                 .encoding = text("UTF8"),
                                 .timezone = text("UTC"),
                                 .heaps = e->relations,
                                 .nheaps = 3,
                                 .types = e->types,
                                 .ntypes = 10};
}

static struct example *example(void)
{
    struct example *e = mem_alloc(sizeof(*e));

    fill_types(e);
    fill_heaps(e);
    e->items_columns[0] = column("id"), e->items_columns[1] = column("name");
    e->items_columns[2] = column("spots"), e->items_columns[3] = column("colour");
    e->orders_columns[0] = column("a"), e->orders_columns[1] = column("b");
    e->tables[0] = (struct pg_table){
        .rel = {.oid = 100, .kind = 'r', .schema = text("public"), .name = text("items")},
        .columns = e->items_columns,
        .ncolumns = 4};
    e->leaves[0] = (struct pg_relation){
        .oid = 201, .kind = 'r', .schema = text("public"), .name = text("first")};
    e->leaves[1] = (struct pg_relation){
        .oid = 202, .kind = 'r', .schema = text("public"), .name = text("Second")};
    e->tables[1] = (struct pg_table){
        .rel = {.oid = 200, .kind = 'p', .schema = text("public"), .name = text("orders")},
        .columns = e->orders_columns,
        .ncolumns = 2,
        .leaves = e->leaves,
        .nleaves = 2};
    e->catalog = (struct pg_catalog){.tables = e->tables, .ntables = 2};
    e->r = (struct describe_request){.catalog = &e->catalog,
                                     .heaps = &e->heaps,
                                     .encoding = "UTF8",
                                     .timezone = "UTC",
                                     .has_zone = true};
    return e;
}

/* ---- what is rendered ---- */

static void assert_columns(const struct described_relation *r, const uint16_t *want, size_t n)
{
    assert_int_equal(r->ncolumns, n);
    assert_memory_equal(r->columns, want, n * sizeof(*want));
}

static void a_table_is_described(void **state)
{
    static const uint16_t columns[] = {0, 1, 3, 4};
    struct example *e = example();
    struct described *d = describe_tables(&e->r);
    const struct described_relation *r = d->tables[0].relations;

    (void)state;
    free(e); /* of which nothing is needed any more */
    assert_int_equal(d->format, RENDER_CSV);
    assert_int_equal(d->ntables, 2);
    assert_null(d->tables[0].copied);
    assert_false(d->tables[0].zoned || d->tables[0].zoned_missing);
    assert_int_equal(d->tables[0].nrelations, 1);
    assert_string_equal(r->name, "public.items");
    assert_string_equal(r->path, "base/5/100");
    assert_string_equal(r->toast_path, "base/5/101");
    assert_columns(r, columns, 4);
    assert_int_equal(r->nattributes, 5);
    assert_int_equal(r->attributes[0].type->oid, INT4);
    assert_int_equal(r->attributes[0].len, 4);
    assert_int_equal(r->attributes[0].align, 'i');
    assert_null(r->attributes[0].missing);
    assert_null(r->attributes[2].type);
    assert_int_equal(r->attributes[2].len, 8);
    assert_int_equal(r->attributes[2].align, 'd');
    assert_int_equal(r->attributes[3].type->oid, SPOTS);
    assert_string_equal(r->attributes[4].missing, "red");
    described_free(d);
}

static void leaves_may_have_their_columns_in_another_order(void **state)
{
    static const uint16_t first[] = {0, 1}, second[] = {3, 1};
    struct example *e = example();
    struct described *d = describe_tables(&e->r);
    const struct described_table *t = &d->tables[1];

    (void)state;
    assert_null(t->copied);
    assert_int_equal(t->nrelations, 2);
    assert_string_equal(t->relations[0].path, "base/5/201");
    assert_null(t->relations[0].toast_path);
    assert_columns(&t->relations[0], first, 2);
    assert_string_equal(t->relations[1].name, "public.\"Second\"");
    assert_string_equal(t->relations[1].path, "pg_tblspc/9/PG_1/5/202");
    assert_columns(&t->relations[1], second, 2);
    assert_null(t->relations[1].attributes[2].type); /* not wanted: of any type */
    assert_int_equal(t->relations[1].attributes[2].len, -1);
    assert_string_equal(t->relations[1].attributes[3].missing, "7");
    described_free(d);
    free(e);
}

static void columns_come_as_they_were_chosen(void **state)
{
    static const uint16_t columns[] = {4, 0};
    struct example *e = example();
    struct described *d;

    (void)state;
    e->items_columns[0] = column("colour"), e->items_columns[1] = column("id");
    e->tables[0].ncolumns = 2;
    e->r.format = PG_FORMAT_TEXT;
    d = describe_tables(&e->r);
    assert_int_equal(d->format, RENDER_TEXT);
    assert_columns(d->tables[0].relations, columns, 2);
    assert_null(d->tables[0].relations[0].attributes[1].type);
    described_free(d);
    free(e);
}

/* Its file has a header. */
static void a_table_without_leaves_is_rendered(void **state)
{
    struct example *e = example();
    struct described *d;

    (void)state;
    e->tables[1].nleaves = 0, e->tables[1].leaves = NULL;
    d = describe_tables(&e->r);
    assert_null(d->tables[1].copied);
    assert_int_equal(d->tables[1].nrelations, 0);
    described_free(d);
    e->catalog.ntables = 0;
    d = describe_tables(&e->r);
    assert_int_equal(d->ntables, 0);
    described_free(d);
    described_free(NULL);
    free(e);
}

static void what_depends_on_the_time_zone_is_told(void **state)
{
    struct example *e = example();
    struct described *d;

    (void)state;
    e->items[1].type = TIMESTAMPTZ;
    e->first[1].type = e->second[1].type = MOMENTS;
    e->second[1].missing = text("2020-01-01 00:00:00+00");
    e->r.timezone = "utc";
    d = describe_tables(&e->r);
    assert_null(d->tables[0].copied);
    assert_true(d->tables[0].zoned);
    assert_false(d->tables[0].zoned_missing);
    assert_null(d->tables[1].copied);
    assert_true(d->tables[1].zoned && d->tables[1].zoned_missing);
    described_free(d);
    free(e);
}

/* A view that is kept is shown in another zone than that in which it was described. */
static void missing_moments_are_written_in_another_zone(void **state)
{
    struct render_zone *zone = render_zone_new("Asia/Tokyo");
    struct example *e = example();
    struct described *d;

    (void)state;
    if (!zone) {
        free(e);
        skip();
    }
    e->items[4].type = TIMESTAMPTZ, e->items[4].missing = text("2000-01-01 00:00:01+00");
    e->items[4].is_moment = true, e->items[4].moment = 1000000;
    e->second[1].type = e->first[1].type = MOMENTS, e->second[1].missing = text("x");
    e->r.timezone = "Asia/Tokyo", e->r.zone = zone;
    d = describe_tables(&e->r);
    assert_null(d->tables[0].copied);
    assert_true(d->tables[0].zoned);
    assert_false(d->tables[0].zoned_missing);
    assert_string_equal(d->tables[0].relations[0].attributes[4].missing, "2000-01-01 09:00:01+09");
    assert_string_equal(d->tables[1].copied, "column added in time zone UTC");
    described_free(d);
    e->items[4].moment = INT64_MAX - 1; /* PostgreSQL has no such moment */
    d = describe_tables(&e->r);
    assert_string_equal(d->tables[0].copied, "column added in time zone UTC");
    described_free(d);
    render_zone_free(zone);
    free(e);
}

/* ---- what is copied, and why ---- */

#define CHANGE(name, what)                                                                         \
    static void name(struct example *e)                                                            \
    {                                                                                              \
        what;                                                                                      \
    }

CHANGE(set_binary, e->r.format = PG_FORMAT_BINARY)
CHANGE(set_old, e->heaps.version = 130012)
CHANGE(set_new, e->heaps.version = 190000)
CHANGE(set_blocks, e->heaps.block_bytes = 16384)
CHANGE(set_align, e->heaps.max_align = 4)
CHANGE(set_chunks, e->heaps.toast_chunk = 2000; e->relations[2].toast_path = text("base/5/203"))
CHANGE(convert, e->heaps.encoding = text("LATIN1"))
CHANGE(convert_to, e->r.encoding = "latin1")
CHANGE(validate, e->heaps.encoding = text("SQL_ASCII"))
CHANGE(filter, e->tables[1].filter = text("a > 1"))
CHANGE(set_method, e->relations[2].is_heap = false; e->relations[2].method = text("columnar"))
CHANGE(set_foreign_method, set_method(e); e->relations[2].is_foreign = true)
CHANGE(set_unlogged, e->relations[1].persistence = 'u')
CHANGE(set_temporary, e->relations[1].persistence = 't')
CHANGE(drop_leaf, e->heaps.nheaps = 2)
CHANGE(drop_file, e->relations[1].path = NULL)
CHANGE(drop_column, e->second[3].type = 0)
CHANGE(set_virtual, e->second[1].is_virtual = true)
CHANGE(set_type, e->second[1].type = GEOMETRY)
CHANGE(set_inner_type, e->second[1].type = WITH_GEOMETRY)
CHANGE(set_unknown_type, e->second[1].type = 20099)
CHANGE(set_unread, e->second[1].missing_unread = true)
CHANGE(set_zone, e->first[1].type = TIMESTAMPTZ; e->r.has_zone = false; e->r.timezone = "Mars/X")
CHANGE(set_other_zone, e->first[1].type = TIMESTAMPTZ; e->first[1].missing = text("x");
       e->r.timezone = "Asia/Tokyo")
CHANGE(set_name,
       e->orders_columns[1].name = e->first[1].name = e->second[1].name = text("gr\xc3\xb6\xc3\x9f"
                                                                               "e");
       e->heaps.encoding = text("LATIN1"); e->r.encoding = "LATIN1")
CHANGE(set_label, e->labels[0].text = text("r\xc3\xb6t"); e->heaps.encoding = text("LATIN1");
       e->r.encoding = "LATIN1")
CHANGE(set_missing, e->second[3].missing = text("\xc3\xb6"); e->heaps.encoding = text("LATIN1");
       e->r.encoding = "sql-ascii")

static const struct {
    void (*change)(struct example *e);
    const char *why;
} reasons[] = {
    {set_binary, "format binary"},
    {set_old, "PostgreSQL 13"},
    {set_new, "PostgreSQL 19"},
    {set_blocks, "block size 16384"},
    {set_align, "alignment to 4 bytes"},
    {set_chunks, "TOAST in chunks of 2000 bytes"},
    {convert, "conversion from LATIN1 to UTF8"},
    {convert_to, "conversion from UTF8 to latin1"},
    {validate, "conversion from SQL_ASCII to UTF8"},
    {filter, "row filter"},
    {set_method, "access method columnar"},
    {set_unlogged, "unlogged"},
    {set_temporary, "temporary"},
    {drop_leaf, "dropped meanwhile"},
    {drop_file, "dropped meanwhile"},
    {drop_column, "column \"a\" is gone"},
    {set_virtual, "virtual generated column"},
    {set_type, "type public.geometry"},
    {set_inner_type, "type public.geometry"},
    {set_unknown_type, "type 20099"},
    {set_unread, "type text"},
    {set_zone, "time zone Mars/X has no file"},
    {set_other_zone, "column added in time zone UTC"},
    {set_name, "names in LATIN1"},
    {set_label, "names in LATIN1"},
    {set_missing, "default in LATIN1"},
};

static void what_is_copied_has_a_reason(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(reasons) / sizeof(*reasons); i++) {
        struct example *e = example();
        struct described *d;

        reasons[i].change(e);
        d = describe_tables(&e->r);
        if (!d->tables[1].copied)
            fail_msg("it is rendered in spite of: %s", reasons[i].why);
        assert_string_equal(d->tables[1].copied, reasons[i].why);
        assert_null(d->tables[1].relations);
        assert_int_equal(d->tables[1].nrelations, 0);
        described_free(d);
        free(e);
    }
}

/* What is wrong with a column that is not wanted, or with another table, does not matter. */
static void others_are_rendered_all_the_same(void **state)
{
    struct example *e = example();
    struct described *d;

    (void)state;
    e->tables[0].filter = text("true");
    e->heaps.toast_chunk = 4000; /* nothing of it is in TOAST */
    e->second[2].is_virtual = e->second[2].missing_unread = true;
    d = describe_tables(&e->r);
    assert_string_equal(d->tables[0].copied, "row filter");
    assert_null(d->tables[1].copied);
    described_free(d);
    free(e);
}

static void what_runs_code_of_the_database_is_told(void **state)
{
    static const struct {
        void (*change)(struct example *e);
        bool runs;
    } cases[] = {{set_type, true},    {set_inner_type, true}, {set_foreign_method, true},
                 {set_method, false}, {filter, false},        {drop_leaf, false},
                 {drop_column, false}};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct example *e = example();
        struct described *d;

        cases[i].change(e);
        d = describe_tables(&e->r);
        assert_non_null(d->tables[1].copied);
        assert_int_equal(d->tables[1].runs_code, cases[i].runs);
        assert_false(d->tables[0].runs_code);
        described_free(d);
        free(e);
    }
}

static void encodings_have_several_spellings(void **state)
{
    static const char *const same[][2] = {{"UTF8", "utf-8"},       {"UTF8", "Unicode"},
                                          {"UTF8", "SQL_ASCII"},   {"LATIN1", "latin-1"},
                                          {"EUC_JP", "EUC_JP"},    {"SQL_ASCII", "sql_ascii"},
                                          {"LATIN1", "SQL_ASCII"}, {"UTF8", "UTF8"}};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(same) / sizeof(*same); i++) {
        struct example *e = example();
        struct described *d;

        e->heaps.encoding = text(same[i][0]);
        e->r.encoding = same[i][1];
        d = describe_tables(&e->r);
        if (d->tables[0].copied || d->tables[1].copied)
            fail_msg("%s to %s: %s", same[i][0], same[i][1], d->tables[0].copied);
        described_free(d);
        free(e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_is_described),
        cmocka_unit_test(leaves_may_have_their_columns_in_another_order),
        cmocka_unit_test(columns_come_as_they_were_chosen),
        cmocka_unit_test(a_table_without_leaves_is_rendered),
        cmocka_unit_test(what_depends_on_the_time_zone_is_told),
        cmocka_unit_test(missing_moments_are_written_in_another_zone),
        cmocka_unit_test(what_is_copied_has_a_reason),
        cmocka_unit_test(others_are_rendered_all_the_same),
        cmocka_unit_test(what_runs_code_of_the_database_is_told),
        cmocka_unit_test(encodings_have_several_spellings),
    };

    return cmocka_run_group_tests_name("view/describe", tests, NULL, NULL);
}
