/* view/view.h: a view while and after it is extracted. No server is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/io.h"
#include "extract/spooled.h"
#include "viewfixture.h"

/* In a file of its own. */
static struct flatfile *flat_alone(const char *text, size_t size)
{
    int fd = memfd_create("unit", MFD_CLOEXEC);

    assert_int_equal(io_pwrite_all(fd, text, strlen(text), 0), 0);
    return spooled_alone(fd, size);
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

    viewfixture_complete(v, 1, flat_alone("x\ny\n\n", 5), 1, 1);
    assert_reads(v, node, "x\ny\n\n");
    assert_true(flatfile_fd(view_file(v, node)) >= 0);
}

static void view_reads_its_own_files(void **state)
{
    struct view *v = *state;

    v->members[0].texts[META_ERRORS] = viewfixture_text("0123456789");
    v->members[0].texts[META_SCHEMA] = viewfixture_text("");
    memset(v->members[0].final, true, sizeof(v->members[0].final));
    assert_reads(v, node_of(v, ".asofs", "errors"), "0123456789");
    assert_reads(v, node_of(v, ".asofs", "schema.sql"), "");
}

static void view_never_gives_less_than_there_should_be(void **state)
{
    struct view *v = *state;
    const struct flatfile *f = view_file(v, node_of(v, "public", "items.csv"));
    char got[32];

    assert_int_equal(ftruncate(v->members[0].snapshot->workers->spools[0].fd, 8), 0);
    assert_int_equal(flatfile_read(f, got, 32, 0), -EIO);
    assert_int_equal(flatfile_read(f, got, 8, 0), 8);
    viewfixture_complete(v, 1, flat_alone("xxxx", 5), 1, 1);
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
    viewfixture_fail(v, 2, "gone");
    assert_null(view_file(v, node_of(v, "s", "\"m\".csv")));
}

static void view_states_follow_the_extraction(void **state)
{
    struct view *v = *state;
    uint32_t items = node_of(v, "public", "items.csv"), other = node_of(v, "public", "a,b.csv");

    assert_int_equal(view_state(v, 0), VIEW_FINAL);
    assert_int_equal(view_state(v, items), VIEW_FINAL);
    assert_int_equal(view_state(v, other), VIEW_PENDING);
    viewfixture_results(v)->tables[1].state = TABLE_RUNNING;
    assert_int_equal(view_state(v, other), VIEW_PENDING);
    view_prefer(v, other);
    view_prefer(v, 0);
    viewfixture_fail(v, 1, "gone");
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
    memset(v->members[0].final, true, sizeof(v->members[0].final));
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
    view_add(v, viewfixture_snapshot("app", NULL));
    view_add(v, viewfixture_snapshot("erp", NULL));
    view_join(v, dirs, true);
    complete_member(v, 0, "one\n");
    v->members[1].texts[META_ERRORS] = viewfixture_text("bad\n");
    memset(v->members[1].final, true, sizeof(v->members[1].final));
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

#define WITH_VIEW(f) cmocka_unit_test_setup_teardown(f, viewfixture_set_up, viewfixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
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
    };

    return cmocka_run_group_tests_name("view/view", tests, NULL, NULL);
}
