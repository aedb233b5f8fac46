/* extract/tablelist.h: what is to be copied, as people write it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/mem.h"
#include "extract/tablelist.h"
#include "fixture.h"

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
    char *dir = fixture_make_dir(), *path;
    struct tablelist l = {0};
    struct err err;

    (void)state;
    path = mem_printf("%s/list", dir);
    assert_int_equal(tablelist_read(&l, path, &err), -ENOENT);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(io_write_file(AT_FDCWD, path, "a\nb (c) where d", 15, &err), 0);
    assert_int_equal(tablelist_read(&l, path, &err), 0);
    assert_int_equal(l.n, 2);
    assert_string_equal(l.entries[1].filter, "d");
    assert_int_equal(tablelist_read(&l, dir, &err), -EISDIR);
    free(path);
    tablelist_free(&l);
    fixture_remove_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tablelist_takes_patterns),
        cmocka_unit_test(tablelist_passes_over_comments_and_blanks),
        cmocka_unit_test(tablelist_takes_columns),
        cmocka_unit_test(tablelist_takes_filters),
        cmocka_unit_test(tablelist_refuses_what_it_cannot_read),
        cmocka_unit_test(tablelist_refuses_binary_files),
        cmocka_unit_test(tablelist_reads_no_further_than_its_text),
        cmocka_unit_test(tablelist_says_where_each_entry_stands),
        cmocka_unit_test(tablelist_reads_files),
    };

    return cmocka_run_group_tests_name("extract/tablelist", tests, NULL, NULL);
}
