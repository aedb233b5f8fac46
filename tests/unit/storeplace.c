#include "storeplace.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"
#include "fixture.h"
#include "pages/datadir.h"
#include "pages/dirtree.h"
#include "pages/page.h"
#include "pages/pagefile.h"
#include "store/check.h"

void place_write_file(const char *path, const char *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(io_pwrite_all(fd, bytes, len, 0), 0);
    close(fd);
}

char *place_path(const struct place *p, const char *fmt, ...)
{
    struct buf b = {0};
    va_list ap;
    char *tail;

    va_start(ap, fmt);
    assert_true(vasprintf(&tail, fmt, ap) >= 0);
    va_end(ap);
    buf_printf(&b, "%s/%s", p->dir, tail);
    free(tail);
    return buf_steal(&b);
}

void place_put_text(const struct place *p, const char *name, const char *text)
{
    char *path = place_path(p, "%s", name);

    place_write_file(path, text, strlen(text));
    free(path);
}

void place_make_dir(const struct place *p, const char *name)
{
    char *path = place_path(p, "%s", name);

    assert_int_equal(mkdir(path, 0700), 0);
    free(path);
}

bool place_has(const struct place *p, const char *name)
{
    char *path = place_path(p, "%s", name);
    bool there = access(path, F_OK) == 0;

    free(path);
    return there;
}

/* A little like a data directory: PG_VERSION, base/5/1259 with ten pages of "b". */
static void fill_base(const struct place *p)
{
    static char pages[PLACE_TABLE_PAGES * PAGE_BYTES];

    place_make_dir(p, "data");
    place_make_dir(p, "data/base");
    place_make_dir(p, "data/base/5");
    place_make_dir(p, "data/pg_tblspc");
    place_put_text(p, "data/PG_VERSION", "15\n");
    memset(pages, 'b', sizeof(pages));
    char *table = place_path(p, "data/base/5/1259");
    place_write_file(table, pages, sizeof(pages));
    free(table);
}

int place_set_up(void **state)
{
    struct place *p = mem_alloc(sizeof(*p));

    p->dir = fixture_make_dir();
    p->store_path = place_path(p, "store");
    p->base_path = place_path(p, "data");
    fill_base(p);
    assert_int_equal(store_create(p->store_path, &p->err), 0);
    assert_int_equal(store_open(p->store_path, &p->store, &p->err), 0);
    *state = p;
    return 0;
}

int place_tear_down(void **state)
{
    struct place *p = *state;

    store_close(p->store);
    fixture_remove_dir(p->dir);
    free(p->store_path);
    free(p->base_path);
    free(p);
    return 0;
}

void place_assert_says(const struct err *err, const char *a, const char *b)
{
    if (!strstr(err->text, a) || !strstr(err->text, b))
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", err->text, a, b);
}

void place_add_base(struct place *p, const char *expected)
{
    char *id;

    if (store_add_base(p->store, p->base_path, NULL, &id, &p->err) < 0)
        fail_msg("%s", p->err.text);
    assert_string_equal(id, expected);
    free(id);
}

void place_create_view(struct place *p, const char *name, const char *base)
{
    static const char *const hidden[] = {"postmaster.pid", NULL};

    if (store_create_view(p->store, name, base, hidden, &p->err) < 0)
        fail_msg("%s", p->err.text);
}

int place_try_open(struct place *p, const char *name, unsigned flags, struct store_view **v)
{
    struct datadir_recovery r;

    return store_open_view(p->store, name, flags, NULL, NULL, v, &r, &p->err);
}

struct store_view *place_open_view(struct place *p, const char *name, unsigned flags)
{
    struct store_view *v;

    if (place_try_open(p, name, flags, &v) < 0)
        fail_msg("%s", p->err.text);
    return v;
}

void place_close_view(struct place *p, struct store_view *v)
{
    if (store_close_view(v, &p->err) < 0)
        fail_msg("%s", p->err.text);
}

struct pagefile *place_open_file(struct store_view *v, const char *path)
{
    struct dirtree_node node;
    struct pagefile *f;

    assert_int_equal(dirtree_walk(datadir_tree(store_view_datadir(v)), path, &node), 0);
    assert_int_equal(datadir_open_file(store_view_datadir(v), node.id, &f), 0);
    return f;
}

void place_write_pages(struct store_view *v, char letter, uint64_t first, uint64_t n)
{
    struct pagefile *f = place_open_file(v, "base/5/1259");
    char *bytes = mem_alloc(n * PAGE_BYTES);

    memset(bytes, letter, n * PAGE_BYTES);
    assert_int_equal(pagefile_write(f, bytes, n * PAGE_BYTES, first * PAGE_BYTES), n * PAGE_BYTES);
    free(bytes);
    datadir_close_file(store_view_datadir(v), f);
}

char place_letter_at(struct store_view *v, uint64_t page)
{
    struct pagefile *f = place_open_file(v, "base/5/1259");
    char c = 0;

    assert_int_equal(pagefile_read(f, &c, 1, page * PAGE_BYTES + 17), 1);
    datadir_close_file(store_view_datadir(v), f);
    return c;
}

void place_make_written_view(struct place *p, const char *name, const char *base)
{
    struct store_view *v;

    place_create_view(p, name, base);
    v = place_open_view(p, name, 0);
    place_write_pages(v, 'v', 3, 2);
    place_close_view(p, v);
}

void place_put_layer(struct place *p, const char *id, const char *parent)
{
    char *dir = mem_printf("store/base/%s", id), *file = mem_printf("%s/base.json", dir);
    char *text = mem_printf("{\"format\":1,\"kind\":\"layer\",\"parent\":\"%s\"}", parent);

    if (!place_has(p, dir))
        place_make_dir(p, dir);
    place_put_text(p, file, text);
    free(dir);
    free(file);
    free(text);
}

static void add_line(void *arg, const char *line)
{
    buf_printf(arg, "%s\n", line);
}

struct place_lines place_check(struct place *p)
{
    struct place_lines l = {0};

    buf_puts(&l.text, "");
    if (store_check(p->store, add_line, &l.text, &l.report, &p->err) < 0)
        fail_msg("%s", p->err.text);
    return l;
}

void place_check_says(struct place *p, uint64_t findings, const char *a, const char *b)
{
    struct place_lines l = place_check(p);

    if (l.report.findings != findings || !strstr(l.text.data, a) || !strstr(l.text.data, b))
        fail_msg("%llu findings, wanted %llu with \"%s\" and \"%s\":\n%s",
                 (unsigned long long)l.report.findings, (unsigned long long)findings, a, b,
                 l.text.data);
    buf_free(&l.text);
}
