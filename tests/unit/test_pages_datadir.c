/* store/: STORE/ itself on a real disk, and looking inside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/io.h"
#include "common/mem.h"
#include "store/check.h"
#include "pages/inflight.h"
#include "pages/page.h"
#include "pages/pagefile.h"
#include "store/store.h"

/* ---- a place with a store and a data directory ---- */

struct place {
    char *dir, *store_path, *base_path;
    struct store *store;
    struct err err;
};

static void write_file(const char *path, const char *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(io_pwrite_all(fd, bytes, len, 0), 0);
    close(fd);
}

__attribute__((format(printf, 2, 3))) static char *path_in(const struct place *p, const char *fmt,
                                                           ...)
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

static void put_text(const struct place *p, const char *name, const char *text)
{
    char *path = path_in(p, "%s", name);

    write_file(path, text, strlen(text));
    free(path);
}

static void make_dir_in(const struct place *p, const char *name)
{
    char *path = path_in(p, "%s", name);

    assert_int_equal(mkdir(path, 0700), 0);
    free(path);
}

static bool is_in(const struct place *p, const char *name)
{
    char *path = path_in(p, "%s", name);
    bool there = access(path, F_OK) == 0;

    free(path);
    return there;
}

#define TABLE_PAGES 10

/* A little like a data directory: PG_VERSION, base/5/1259 with ten pages of "b". */
static void fill_base(const struct place *p)
{
    static char pages[TABLE_PAGES * PAGE_BYTES];

    make_dir_in(p, "data");
    make_dir_in(p, "data/base");
    make_dir_in(p, "data/base/5");
    make_dir_in(p, "data/pg_tblspc");
    put_text(p, "data/PG_VERSION", "15\n");
    memset(pages, 'b', sizeof(pages));
    char *table = path_in(p, "data/base/5/1259");
    write_file(table, pages, sizeof(pages));
    free(table);
}

static int set_up(void **state)
{
    struct place *p = mem_alloc(sizeof(*p));
    const char *tmp = getenv("TMPDIR");
    char *dir = mem_printf("%s/unit-XXXXXX", tmp ? tmp : "/tmp");

    assert_non_null(mkdtemp(dir));
    p->dir = realpath(dir, NULL);
    free(dir);
    p->store_path = path_in(p, "store");
    p->base_path = path_in(p, "data");
    fill_base(p);
    assert_int_equal(store_create(p->store_path, &p->err), 0);
    assert_int_equal(store_open(p->store_path, &p->store, &p->err), 0);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;

    store_close(p->store);
    assert_int_equal(io_remove_tree(p->dir), 0);
    free(p->dir);
    free(p->store_path);
    free(p->base_path);
    free(p);
    return 0;
}

/* The error says each of these words. */
static void assert_says(const struct err *err, const char *a, const char *b)
{
    if (!strstr(err->text, a) || !strstr(err->text, b))
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", err->text, a, b);
}

static void add_base(struct place *p, const char *expected)
{
    char *id;

    if (store_add_base(p->store, p->base_path, NULL, &id, &p->err) < 0)
        fail_msg("%s", p->err.text);
    assert_string_equal(id, expected);
    free(id);
}

static void create_view(struct place *p, const char *name, const char *base)
{
    static const char *const hidden[] = {"postmaster.pid", NULL};

    if (store_create_view(p->store, name, base, hidden, &p->err) < 0)
        fail_msg("%s", p->err.text);
}

static int try_open(struct place *p, const char *name, unsigned flags, struct store_view **v)
{
    struct datadir_recovery r;

    return store_open_view(p->store, name, flags, NULL, NULL, v, &r, &p->err);
}

static struct store_view *open_view(struct place *p, const char *name, unsigned flags)
{
    struct store_view *v;

    if (try_open(p, name, flags, &v) < 0)
        fail_msg("%s", p->err.text);
    return v;
}

static void close_view(struct place *p, struct store_view *v)
{
    if (store_close_view(v, &p->err) < 0)
        fail_msg("%s", p->err.text);
}

static struct pagefile *open_file(struct store_view *v, const char *path)
{
    struct dirtree_node node;
    struct pagefile *f;

    assert_int_equal(dirtree_walk(datadir_tree(store_view_datadir(v)), path, &node), 0);
    assert_int_equal(datadir_open_file(store_view_datadir(v), node.id, &f), 0);
    return f;
}

/* Fill pages of the table with one letter. */
static void write_pages(struct store_view *v, char letter, uint64_t first, uint64_t n)
{
    struct pagefile *f = open_file(v, "base/5/1259");
    char *bytes = mem_alloc(n * PAGE_BYTES);

    memset(bytes, letter, n * PAGE_BYTES);
    assert_int_equal(pagefile_write(f, bytes, n * PAGE_BYTES, first * PAGE_BYTES), n * PAGE_BYTES);
    free(bytes);
    datadir_close_file(store_view_datadir(v), f);
}

static char letter_at(struct store_view *v, uint64_t page)
{
    struct pagefile *f = open_file(v, "base/5/1259");
    char c = 0;

    assert_int_equal(pagefile_read(f, &c, 1, page * PAGE_BYTES + 17), 1);
    datadir_close_file(store_view_datadir(v), f);
    return c;
}

/* A view with pages 3 and 4 of the table changed, closed. */
static void make_written_view(struct place *p, const char *name, const char *base)
{
    struct store_view *v;

    create_view(p, name, base);
    v = open_view(p, name, 0);
    write_pages(v, 'v', 3, 2);
    close_view(p, v);
}

/* ---- descriptions ---- */

static int parse(enum store_description_type type, const char *text, struct store_description *d,
                 struct err *err)
{
    return store_parse(type, text, strlen(text), "FILE", d, err);
}

static void assert_refused(enum store_description_type type, const char *text, const char *word)
{
    struct store_description d;
    struct err err = {0};

    if (parse(type, text, &d, &err) >= 0)
        fail_msg("taken: %s", text);
    assert_says(&err, "FILE", word);
    assert_null(d.kind);
    assert_null(d.base);
}

static void descriptions_are_read(void **state)
{
    struct store_description d;
    struct err err;

    (void)state;
    assert_int_equal(parse(STORE_JSON, "{\"format\":1,\"page_bytes\":8192}", &d, &err), 0);
    assert_int_equal(d.page_bytes, 8192);
    assert_int_equal(
        parse(BASE_JSON, "{\"kind\":\"directory\",\"path\":\"/a b\",\"format\":1}", &d, &err), 0);
    assert_string_equal(d.path, "/a b");
    assert_null(d.parent);
    store_description_free(&d);
    assert_int_equal(
        parse(BASE_JSON, "{\"format\":1,\"kind\":\"layer\",\"parent\":\"12\"}", &d, &err), 0);
    assert_string_equal(d.parent, "12");
    store_description_free(&d);
    assert_int_equal(parse(VIEW_JSON, "{\"format\":1,\"base\":\"3\",\"state\":\"open\"}", &d, &err),
                     0);
    assert_string_equal(d.base, "3");
    store_description_free(&d);
}

static void another_format_is_refused_by_its_number(void **state)
{
    struct store_description d;
    struct err err;

    (void)state;
    assert_int_equal(parse(STORE_JSON, "{\"format\":2,\"page_bytes\":1,\"new\":0}", &d, &err),
                     -ENOTSUP);
    assert_says(&err, "\"format\" is 2", "knows format 1");
    assert_refused(BASE_JSON, "{\"format\":0,\"kind\":\"directory\",\"path\":\"/\"}", "is 0");
    assert_refused(VIEW_JSON, "{\"format\":-1}", "is -1");
    assert_refused(STORE_JSON, "{\"format\":1.0,\"page_bytes\":8192}", "\"format\" is no whole");
    assert_refused(STORE_JSON, "{\"page_bytes\":8192}", "\"format\" is missing");
    assert_refused(STORE_JSON, "{\"format\":99999999999999999999,\"page_bytes\":8192}", "line 1");
}

static void what_is_no_description_is_refused(void **state)
{
    (void)state;
    assert_refused(STORE_JSON, "", "damaged");
    assert_refused(STORE_JSON, "{\"format\":1,\"page_bytes\":8192", "damaged");
    assert_refused(STORE_JSON, "{\"format\":1,\"page_bytes\":8192}x", "damaged");
    assert_refused(STORE_JSON, "[1]", "no JSON object");
    assert_refused(STORE_JSON, "{\"format\":1,\"format\":1,\"page_bytes\":8192}", "damaged");
}

static void keys_that_are_missing_or_odd_are_named(void **state)
{
    (void)state;
    assert_refused(STORE_JSON, "{\"format\":1}", "\"page_bytes\" is missing");
    assert_refused(STORE_JSON, "{\"format\":1,\"page_bytes\":\"8192\"}", "\"page_bytes\" is no");
    assert_refused(STORE_JSON, "{\"format\":1,\"page_bytes\":4096}", "\"page_bytes\" is 4096");
    assert_refused(STORE_JSON, "{\"format\":1,\"page_bytes\":8192,\"x\":1}", "\"x\" is unknown");
    assert_refused(BASE_JSON, "{\"format\":1}", "\"kind\" is missing");
    assert_refused(BASE_JSON, "{\"format\":1,\"kind\":7}", "\"kind\" is no text");
    assert_refused(BASE_JSON, "{\"format\":1,\"kind\":\"tape\"}", "\"kind\" is \"tape\"");
    assert_refused(BASE_JSON, "{\"format\":1,\"kind\":\"directory\"}", "\"path\" is missing");
    assert_refused(BASE_JSON, "{\"format\":1,\"kind\":\"directory\",\"path\":\"x\"}", "\"path\"");
    assert_refused(BASE_JSON, "{\"format\":1,\"kind\":\"directory\",\"path\":\"\"}", "\"path\"");
    assert_refused(BASE_JSON,
                   "{\"format\":1,\"kind\":\"directory\",\"path\":\"/\",\"parent\":\"1\"}",
                   "\"parent\" is unknown");
    assert_refused(BASE_JSON, "{\"format\":1,\"kind\":\"layer\"}", "\"parent\" is missing");
    assert_refused(VIEW_JSON, "{\"format\":1,\"base\":\"1\"}", "\"state\" is missing");
    assert_refused(VIEW_JSON, "{\"format\":1,\"base\":1,\"state\":\"open\"}", "\"base\" is no");
    assert_refused(VIEW_JSON, "{\"format\":1,\"base\":\"1\",\"state\":\"shut\"}", "\"state\"");
}

static void ids_that_leave_their_directory_are_refused(void **state)
{
    static const char *const odd[] = {"",   "0",  "01",     "-1",         "..", "1/..",
                                      "1 ", "1a", "../../", "1000000000", "x"};
    char text[256];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        snprintf(text, sizeof(text), "{\"format\":1,\"kind\":\"layer\",\"parent\":\"%s\"}", odd[i]);
        assert_refused(BASE_JSON, text, "\"parent\"");
        snprintf(text, sizeof(text), "{\"format\":1,\"base\":\"%s\",\"state\":\"open\"}", odd[i]);
        assert_refused(VIEW_JSON, text, "\"base\"");
    }
    assert_refused(VIEW_JSON, "{\"format\":1,\"base\":\"1\\u0000\",\"state\":\"open\"}", "damaged");
}

static void whose_cluster_a_store_is_of_is_read(void **state)
{
    struct store_description d;
    struct err err;

    (void)state;
    assert_int_equal(parse(STORE_JSON,
                           "{\"format\":1,\"page_bytes\":8192,\"system_identifier\":"
                           "\"18446744073709551615\",\"major\":15,\"segment_bytes\":16777216,"
                           "\"log\":\"/l\",\"slot\":\"s\",\"conninfo\":\"\"}",
                           &d, &err),
                     0);
    assert_string_equal(d.system_identifier, "18446744073709551615");
    assert_int_equal(d.segment_bytes, 16 << 20);
    assert_string_equal(d.log, "/l");
    assert_null(d.restore_command);
    store_description_free(&d);
}

static void assert_cluster_refused(const char *keys, const char *word)
{
    char text[512];

    snprintf(text, sizeof(text), "{\"format\":1,\"page_bytes\":8192,%s}", keys);
    assert_refused(STORE_JSON, text, word);
}

static void a_cluster_that_cannot_be_is_refused(void **state)
{
    (void)state;
    assert_cluster_refused("\"slot\":\"s\"", "\"system_identifier\" is missing");
    assert_cluster_refused("\"major\":15,\"segment_bytes\":16777216", "\"system_identifier\"");
    assert_cluster_refused("\"system_identifier\":7,\"major\":15,\"segment_bytes\":16777216",
                           "\"system_identifier\" is no text");
    assert_cluster_refused("\"system_identifier\":\"0\",\"major\":15,\"segment_bytes\":16777216",
                           "\"system_identifier\"");
    assert_cluster_refused(
        "\"system_identifier\":\"18446744073709551616\",\"major\":15,\"segment_bytes\":16777216",
        "\"system_identifier\"");
    assert_cluster_refused("\"system_identifier\":\"7\",\"segment_bytes\":16777216", "\"major\"");
    assert_cluster_refused("\"system_identifier\":\"7\",\"major\":-1,\"segment_bytes\":16777216",
                           "\"major\" is -1");
    assert_cluster_refused("\"system_identifier\":\"7\",\"major\":15", "\"segment_bytes\" is 0");
    assert_cluster_refused("\"system_identifier\":\"7\",\"major\":15,\"segment_bytes\":3000000",
                           "\"segment_bytes\"");
    assert_cluster_refused("\"system_identifier\":\"7\",\"major\":15,\"segment_bytes\":524288",
                           "\"segment_bytes\"");
    assert_cluster_refused("\"system_identifier\":\"7\",\"major\":15,\"segment_bytes\":2147483648",
                           "\"segment_bytes\"");
    assert_cluster_refused(
        "\"system_identifier\":\"7\",\"major\":15,\"segment_bytes\":16777216,\"log\":\"l\"",
        "\"log\"");
}

#define BASE_OF "{\"format\":1,\"kind\":\"directory\",\"path\":\"/\","
#define VIEW_OF "{\"format\":1,\"base\":\"1\","

static void times_that_cannot_be_are_refused(void **state)
{
    static const char first[] = BASE_OF "\"start_lsn\":\"0/1\",\"timeline\":1,\"%s\":%lld}";
    static const char shown[] = VIEW_OF "\"state\":\"complete\",\"time_us\":%lld}";
    const long long most = STORE_TIME_MAX, most_us = most * 1000000 + 999999;
    struct store_description d;
    struct err err;
    char text[256];

    (void)state;
    snprintf(text, sizeof(text), first, "start_time", most);
    assert_int_equal(parse(BASE_JSON, text, &d, &err), 0);
    assert_int_equal(d.start_time, most);
    store_description_free(&d);
    snprintf(text, sizeof(text), first, "start_time", most + 1);
    assert_refused(BASE_JSON, text, "\"start_time\" is 9223372037");
    snprintf(text, sizeof(text), first, "consistent_time", (long long)INT64_MAX);
    assert_refused(BASE_JSON, text, "\"consistent_time\"");
    snprintf(text, sizeof(text), first, "consistent_time", -1ll);
    assert_refused(BASE_JSON, text, "\"consistent_time\" is -1");
    snprintf(text, sizeof(text), shown, most_us);
    assert_int_equal(parse(VIEW_JSON, text, &d, &err), 0);
    store_description_free(&d);
    snprintf(text, sizeof(text), shown, most_us + 1);
    assert_refused(VIEW_JSON, text, "\"time_us\"");
    snprintf(text, sizeof(text), shown, (long long)INT64_MIN);
    assert_refused(VIEW_JSON, text, "\"time_us\"");
}

static void facts_that_cannot_be_are_refused(void **state)
{
    (void)state;
    assert_refused(BASE_JSON, BASE_OF "\"start_lsn\":\"0/1\"}", "\"timeline\" is 0");
    assert_refused(BASE_JSON, BASE_OF "\"start_lsn\":\"0/\",\"timeline\":1}", "\"start_lsn\"");
    assert_refused(BASE_JSON, BASE_OF "\"timeline\":1}", "\"start_lsn\" is missing");
    assert_refused(BASE_JSON, BASE_OF "\"consistent_lsn\":\"0/1\"}", "\"start_lsn\" is missing");
    assert_refused(BASE_JSON, BASE_OF "\"start_lsn\":\"0/1\",\"timeline\":4294967296}",
                   "\"timeline\"");
    assert_refused(BASE_JSON,
                   BASE_OF "\"start_lsn\":\"0/1\",\"timeline\":1,\"consistent_lsn\":\"x\"}",
                   "\"consistent_lsn\"");
    assert_refused(VIEW_JSON, VIEW_OF "\"state\":\"complete\",\"lsn\":\"9\"}", "\"lsn\"");
    assert_refused(VIEW_JSON, VIEW_OF "\"state\":\"open\",\"timeline\":-1}", "\"timeline\"");
    assert_refused(VIEW_JSON, VIEW_OF "\"state\":\"open\",\"parent\":\"1\"}", "\"parent\"");
    assert_refused(VIEW_JSON, VIEW_OF "\"state\":\"open\",\"parent\":\"view/\"}", "\"parent\"");
    assert_refused(VIEW_JSON, VIEW_OF "\"state\":\"open\",\"parent\":\"view/..\"}", "\"parent\"");
    assert_refused(VIEW_JSON, VIEW_OF "\"state\":\"open\",\"parent\":\"view/a/b\"}", "\"parent\"");
    assert_refused(BASE_JSON, "{\"format\":1,\"kind\":\"layer\",\"parent\":\"view/a\"}",
                   "\"parent\"");
}

/* ---- the store ---- */

static void a_store_is_made_in_an_empty_directory_only(void **state)
{
    struct place *p = *state;
    char *empty = path_in(p, "empty"), *file = path_in(p, "data/PG_VERSION");
    char *deep = path_in(p, "no/where");

    assert_true(store_is(p->store_path));
    assert_int_equal(store_create(p->store_path, &p->err), -EEXIST);
    assert_says(&p->err, p->store_path, "already");
    assert_int_equal(store_create(p->base_path, &p->err), -ENOTEMPTY);
    assert_false(is_in(p, "data/view"));
    assert_int_equal(store_create(file, &p->err), -ENOTDIR);
    assert_int_equal(store_create(deep, &p->err), -ENOENT);
    make_dir_in(p, "empty");
    assert_int_equal(chmod(empty, 0755), 0);
    assert_int_equal(store_create(empty, &p->err), 0);
    assert_true(store_is(empty));
    free(empty);
    free(file);
    free(deep);
}

static int assert_private(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    mode_t wanted = S_ISDIR(st->st_mode) ? 0700 : 0600;

    (void)flag, (void)ftw;
    if ((st->st_mode & 07777) != wanted)
        fail_msg("%s has mode %o", path, st->st_mode & 07777);
    return 0;
}

static void everything_in_a_store_is_private_whatever_the_umask(void **state)
{
    struct place *p = *state;
    mode_t old = umask(0);
    char *other = path_in(p, "other");

    store_close(p->store);
    make_dir_in(p, "other");
    assert_int_equal(chmod(other, 0777), 0);
    assert_int_equal(store_create(other, &p->err), 0);
    assert_int_equal(store_open(other, &p->store, &p->err), 0);
    add_base(p, "1");
    make_written_view(p, "v", NULL);
    umask(old);
    assert_int_equal(nftw(other, assert_private, 16, FTW_PHYS), 0);
    free(other);
}

static void what_is_no_store_is_not_opened(void **state)
{
    struct place *p = *state;
    struct store *s;
    char *none = path_in(p, "none");

    assert_int_equal(store_open(p->base_path, &s, &p->err), -EINVAL);
    assert_says(&p->err, p->base_path, "no store.json");
    assert_int_equal(store_open(none, &s, &p->err), -ENOENT);
    assert_null(s);
    put_text(p, "store/store.json", "{\"format\":7}");
    assert_int_equal(store_open(p->store_path, &s, &p->err), -ENOTSUP);
    assert_says(&p->err, "store/store.json", "is 7");
    free(none);
}

/* ---- bases ---- */

static void ids_count_up_and_are_not_given_again_below_a_later_one(void **state)
{
    struct place *p = *state;
    char *old, **ids, expected[16];
    int i;

    for (i = 1; i <= 10; i++) {
        snprintf(expected, sizeof(expected), "%d", i);
        add_base(p, expected);
    }
    old = path_in(p, "store/base/4");
    assert_int_equal(io_remove_tree(old), 0);
    free(old);
    add_base(p, "11");
    assert_int_equal(store_bases(p->store, &ids, &p->err), 0);
    assert_string_equal(ids[0], "1");
    assert_string_equal(ids[3], "5");
    assert_string_equal(ids[9], "11");
    assert_null(ids[10]);
    store_names_free(ids);
}

static void add_some_and_exit(struct place *p, int n)
{
    struct store *s;
    char *id;

    if (store_open(p->store_path, &s, &p->err) < 0)
        _exit(1);
    while (n-- > 0) {
        if (store_add_base(s, p->base_path, NULL, &id, &p->err) < 0)
            _exit(1);
        free(id);
    }
    store_close(s);
    _exit(0);
}

static void bases_added_at_the_same_time_get_ids_of_their_own(void **state)
{
    struct place *p = *state;
    int i, status;
    pid_t pids[4];

    for (i = 0; i < 4; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0)
            add_some_and_exit(p, 5);
    }
    for (i = 0; i < 4; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_true(is_in(p, "store/base/20/base.json"));
    add_base(p, "21");
}

static void a_base_is_kept_by_its_real_path(void **state)
{
    struct place *p = *state;
    char *link = path_in(p, "link"), *id, *here = getcwd(NULL, 0);
    struct store_base b;
    struct store *s;

    assert_int_equal(symlink("data", link), 0);
    assert_int_equal(chdir(p->dir), 0);
    assert_int_equal(store_open("./store", &s, &p->err), 0);
    assert_int_equal(store_add_base(s, "link", NULL, &id, &p->err), 0);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(store_open_base(s, id, &b, &p->err), 0);
    assert_string_equal(b.directory, p->base_path);
    assert_int_equal(b.n_layers, 0);
    assert_true(manifest_find(b.manifest, 0, "PG_VERSION") != MANIFEST_NONE);
    assert_true(S_ISDIR(b.root.st_mode));
    store_close_base(&b);
    store_close(s);
    assert_int_equal(chdir(here), 0);
    free(here);
    free(link);
    free(id);
}

static void assert_no_base(struct place *p)
{
    char *path = path_in(p, "store/base");

    assert_int_equal(rmdir(path), 0); /* it is empty */
    assert_int_equal(mkdir(path, 0700), 0);
    free(path);
}

static void assert_not_added(struct place *p, const char *name, const char *word)
{
    char *directory = path_in(p, "%s", name), *id;

    assert_true(store_add_base(p->store, directory, NULL, &id, &p->err) < 0);
    assert_says(&p->err, word, "");
    assert_null(id);
    assert_no_base(p);
    free(directory);
}

static void a_base_and_its_store_stand_apart(void **state)
{
    struct place *p = *state;
    char *beside = path_in(p, "storex"), *id;

    assert_not_added(p, "store", "lies in the store");
    assert_not_added(p, "store/view", "lies in the store");
    assert_not_added(p, ".", "outside of it");
    assert_not_added(p, "none", "none");
    assert_not_added(p, "data/PG_VERSION", "no directory");
    make_dir_in(p, "storex"); /* begins like "store", but lies beside it */
    assert_int_equal(store_add_base(p->store, beside, NULL, &id, &p->err), 0);
    free(id);
    free(beside);
}

static void a_store_in_a_tablespace_of_the_base_is_refused(void **state)
{
    struct place *p = *state;
    char *link = path_in(p, "data/pg_tblspc/16400"), *space = path_in(p, "space");
    char *inside = path_in(p, "space/store"), *id;
    struct store *s;

    make_dir_in(p, "space");
    assert_int_equal(symlink(space, link), 0);
    assert_int_equal(store_create(inside, &p->err), 0);
    assert_int_equal(store_open(inside, &s, &p->err), 0);
    assert_int_equal(store_add_base(s, p->base_path, NULL, &id, &p->err), -EINVAL);
    assert_says(&p->err, "space/store lies in", "outside of it");
    assert_false(is_in(p, "space/store/base/1"));
    assert_false(is_in(p, "space/store/base/1.new"));
    store_close(s);
    add_base(p, "1"); /* to a store elsewhere it can be added */
    free(link);
    free(space);
    free(inside);
}

static void a_path_that_json_cannot_hold_is_refused(void **state)
{
    struct place *p = *state;

    make_dir_in(p, "l\xe9on");
    assert_not_added(p, "l\xe9on", "UTF-8");
}

static void what_was_begun_and_never_finished_is_cleared_by_the_next_change(void **state)
{
    struct place *p = *state;
    char **views;

    make_dir_in(p, "store/base/9.new");
    put_text(p, "store/base/9.new/base.json", "{");
    make_dir_in(p, "store/view/.old.old");
    make_dir_in(p, "store/view/.old.old/diff");
    assert_int_equal(store_views(p->store, &views, &p->err), 0);
    assert_null(views[0]);
    store_names_free(views);
    assert_true(is_in(p, "store/base/9.new"));
    add_base(p, "1");
    assert_false(is_in(p, "store/base/9.new"));
    assert_false(is_in(p, "store/view/.old.old"));
}

static void put_layer(struct place *p, const char *id, const char *parent)
{
    char *dir = mem_printf("store/base/%s", id), *file = mem_printf("%s/base.json", dir);
    char *text = mem_printf("{\"format\":1,\"kind\":\"layer\",\"parent\":\"%s\"}", parent);

    if (!is_in(p, dir))
        make_dir_in(p, dir);
    put_text(p, file, text);
    free(dir);
    free(file);
    free(text);
}

static void layers_are_resolved_oldest_first(void **state)
{
    struct place *p = *state;
    struct store_base b;

    add_base(p, "1");
    put_layer(p, "2", "1");
    put_layer(p, "10", "2");
    assert_int_equal(store_open_base(p->store, "10", &b, &p->err), 0);
    assert_int_equal(b.n_layers, 2);
    assert_string_equal(b.layer_ids[0], "2");
    assert_string_equal(b.layer_ids[1], "10");
    assert_non_null(b.layers[1]);
    assert_string_equal(b.directory, p->base_path);
    store_close_base(&b);
}

static void circles_and_missing_parents_are_refused(void **state)
{
    struct place *p = *state;
    struct store_base b;

    add_base(p, "1");
    put_layer(p, "2", "2");
    assert_int_equal(store_open_base(p->store, "2", &b, &p->err), -ELOOP);
    put_layer(p, "2", "3");
    put_layer(p, "3", "2");
    assert_int_equal(store_open_base(p->store, "3", &b, &p->err), -ELOOP);
    assert_says(&p->err, "base/2/base.json", "\"parent\" is 3");
    put_layer(p, "9", "8");
    assert_int_equal(store_open_base(p->store, "9", &b, &p->err), -ENOENT);
    assert_says(&p->err, "base 9", "base 8, which is missing");
    assert_int_equal(store_open_base(p->store, "7", &b, &p->err), -ENOENT);
    assert_int_equal(store_open_base(p->store, "../view", &b, &p->err), -ENOENT);
    assert_null(b.id);
}

static void more_layers_than_a_chain_holds_are_refused(void **state)
{
    struct place *p = *state;
    struct store_base b;
    char id[16], parent[16];
    int i;

    add_base(p, "1");
    for (i = 2; i <= DATADIR_LAYERS + 1; i++) {
        snprintf(id, sizeof(id), "%d", i);
        snprintf(parent, sizeof(parent), "%d", i - 1);
        put_layer(p, id, parent);
    }
    snprintf(id, sizeof(id), "%d", DATADIR_LAYERS);
    assert_int_equal(store_open_base(p->store, id, &b, &p->err), 0);
    assert_int_equal(b.n_layers, DATADIR_LAYERS - 1);
    store_close_base(&b);
    snprintf(id, sizeof(id), "%d", DATADIR_LAYERS + 1);
    assert_int_equal(store_open_base(p->store, id, &b, &p->err), -ENOTSUP);
    assert_says(&p->err, "more than", "layers");
}

/* ---- views ---- */

static void odd_names_of_views_are_refused(void **state)
{
    struct place *p = *state;
    char longest[STORE_NAME_MAX + 2];
    static const char *const odd[] = {"", ".", "..", ".x", "a/b", "a b", "\xc3\xa9", "a\n", "a%"};
    struct store_view *v;
    size_t i;

    add_base(p, "1");
    for (i = 0; i < sizeof(odd) / sizeof(*odd); i++) {
        assert_int_equal(store_create_view(p->store, odd[i], NULL, NULL, &p->err), -EINVAL);
        assert_int_equal(store_drop_view(p->store, odd[i], &p->err), -EINVAL);
        assert_int_equal(try_open(p, odd[i], 0, &v), -EINVAL);
        assert_null(v);
        assert_false(store_has_view(p->store, odd[i]));
    }
    memset(longest, 'x', sizeof(longest));
    longest[STORE_NAME_MAX + 1] = '\0';
    assert_int_equal(store_create_view(p->store, longest, NULL, NULL, &p->err), -EINVAL);
    longest[STORE_NAME_MAX] = '\0';
    create_view(p, longest, NULL);
    assert_true(store_has_view(p->store, longest));
}

static void a_view_stands_on_the_newest_base_or_the_one_named(void **state)
{
    struct place *p = *state;
    char *base, **views;

    assert_int_equal(store_create_view(p->store, "v", NULL, NULL, &p->err), -ENOENT);
    assert_says(&p->err, "no base yet", "");
    add_base(p, "1");
    add_base(p, "2");
    create_view(p, "b", NULL);
    create_view(p, "a", "1");
    assert_int_equal(store_read_view(p->store, "b", &base, &p->err), 0);
    assert_string_equal(base, "2");
    free(base);
    assert_int_equal(store_read_view(p->store, "a", &base, &p->err), 0);
    assert_string_equal(base, "1");
    free(base);
    assert_int_equal(store_create_view(p->store, "a", "1", NULL, &p->err), -EEXIST);
    assert_int_equal(store_create_view(p->store, "c", "3", NULL, &p->err), -ENOENT);
    assert_int_equal(store_create_view(p->store, "c", "x", NULL, &p->err), -ENOENT);
    assert_int_equal(store_views(p->store, &views, &p->err), 0);
    assert_string_equal(views[0], "a");
    assert_string_equal(views[1], "b");
    assert_null(views[2]);
    store_names_free(views);
}

static void a_view_keeps_what_was_written_and_hides_what_it_shall(void **state)
{
    struct place *p = *state;
    struct dirtree_node node;
    struct store_view *v;

    put_text(p, "data/postmaster.pid", "1\n");
    add_base(p, "1");
    make_written_view(p, "v", NULL);
    v = open_view(p, "v", STORE_READ_ONLY);
    assert_int_equal(letter_at(v, 2), 'b');
    assert_int_equal(letter_at(v, 3), 'v');
    assert_int_equal(letter_at(v, 4), 'v');
    assert_int_equal(letter_at(v, 5), 'b');
    assert_int_equal(dirtree_walk(datadir_tree(store_view_datadir(v)), "postmaster.pid", &node),
                     -ENOENT);
    assert_int_equal(store_view_root(v)->st_mode & 07777, 0700);
    close_view(p, v);
}

static void a_view_has_one_writer_or_many_readers(void **state)
{
    struct place *p = *state;
    struct store_view *v, *w;

    add_base(p, "1");
    create_view(p, "v", NULL);
    v = open_view(p, "v", 0);
    assert_int_equal(try_open(p, "v", 0, &w), -EBUSY);
    assert_says(&p->err, "view v of", "served by another process");
    assert_int_equal(try_open(p, "v", STORE_READ_ONLY, &w), -EBUSY);
    close_view(p, v);
    v = open_view(p, "v", STORE_READ_ONLY);
    w = open_view(p, "v", STORE_READ_ONLY);
    close_view(p, v);
    assert_int_equal(try_open(p, "v", 0, &v), -EBUSY);
    assert_int_equal(store_drop_view(p->store, "v", &p->err), -EBUSY);
    close_view(p, w);
    v = open_view(p, "v", 0);
    close_view(p, v);
}

static void a_dropped_view_is_gone_and_its_base_stays(void **state)
{
    struct place *p = *state;
    struct store_view *v;

    add_base(p, "1");
    make_written_view(p, "v", NULL);
    v = open_view(p, "v", 0);
    assert_int_equal(store_drop_view(p->store, "v", &p->err), -EBUSY);
    assert_true(store_has_view(p->store, "v"));
    close_view(p, v);
    assert_int_equal(store_drop_view(p->store, "v", &p->err), 0);
    assert_false(store_has_view(p->store, "v"));
    assert_false(is_in(p, "store/view/.v.old"));
    assert_true(is_in(p, "store/base/1/base.json"));
    assert_int_equal(store_drop_view(p->store, "v", &p->err), -ENOENT);
    assert_int_equal(try_open(p, "v", 0, &v), -ENOENT);
    create_view(p, "v", NULL);
    v = open_view(p, "v", 0);
    assert_int_equal(letter_at(v, 3), 'b');
    close_view(p, v);
}

static void a_damaged_view_can_be_dropped(void **state)
{
    struct place *p = *state;
    struct store_view *v;

    add_base(p, "1");
    create_view(p, "v", NULL);
    put_text(p, "store/view/v/view.json", "{\"format\":1,\"base\":\"1\",\"state\":\"op");
    assert_int_equal(try_open(p, "v", 0, &v), -EINVAL);
    assert_says(&p->err, "view/v/view.json", "damaged");
    assert_int_equal(store_drop_view(p->store, "v", &p->err), 0);
}

static void a_base_that_changed_or_went_is_told(void **state)
{
    struct place *p = *state;
    struct store_view *v;
    char *away = path_in(p, "away");

    add_base(p, "1");
    create_view(p, "v", NULL);
    put_text(p, "data/PG_VERSION", "16 it is\n");
    assert_int_equal(try_open(p, "v", 0, &v), -ESTALE);
    assert_says(&p->err, "view v", "PG_VERSION");
    v = open_view(p, "v", STORE_NO_BASE_CHECK);
    close_view(p, v);
    assert_int_equal(rename(p->base_path, away), 0);
    assert_int_equal(try_open(p, "v", 0, &v), -ENOENT);
    assert_says(&p->err, "base 1", p->base_path);
    assert_int_equal(rename(away, p->base_path), 0);
    free(away);
}

/* ---- check ---- */

struct lines {
    struct buf text;
    struct check_report report;
};

static void add_line(void *arg, const char *line)
{
    buf_printf(arg, "%s\n", line);
}

/* The lines of a check; freed by check_says. */
static struct lines check(struct place *p)
{
    struct lines l = {0};

    buf_puts(&l.text, "");
    if (store_check(p->store, add_line, &l.text, &l.report, &p->err) < 0)
        fail_msg("%s", p->err.text);
    return l;
}

/* So many findings, and among the lines these words. */
static void check_says(struct place *p, uint64_t findings, const char *a, const char *b)
{
    struct lines l = check(p);

    if (l.report.findings != findings || !strstr(l.text.data, a) || !strstr(l.text.data, b))
        fail_msg("%llu findings, wanted %llu with \"%s\" and \"%s\":\n%s",
                 (unsigned long long)l.report.findings, (unsigned long long)findings, a, b,
                 l.text.data);
    buf_free(&l.text);
}

static char *kept;

static int keep_path(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)flag, (void)ftw;
    if (S_ISREG(st->st_mode)) {
        assert_null(kept);
        kept = mem_strdup(path);
    }
    return 0;
}

/* The path of the only file below a directory; freed by the caller. */
static char *only_file(const struct place *p, const char *dir)
{
    char *path = path_in(p, "%s", dir), *found;

    kept = NULL;
    assert_int_equal(nftw(path, keep_path, 16, FTW_PHYS), 0);
    assert_non_null(kept);
    found = kept;
    kept = NULL;
    free(path);
    return found;
}

static void flip_byte(const char *path, off_t at)
{
    int fd = open(path, O_RDWR);
    char c;

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &c, 1, at), 1);
    c = (char)(c ^ 0x40);
    assert_int_equal(pwrite(fd, &c, 1, at), 1);
    close(fd);
}

static void nothing_is_found_in_a_store_that_is_right(void **state)
{
    struct place *p = *state;
    struct lines l;

    add_base(p, "1");
    make_written_view(p, "v", NULL);
    make_written_view(p, "w", NULL);
    l = check(p);
    assert_string_equal(l.text.data, "");
    assert_int_equal(l.report.findings, 0);
    assert_int_equal(l.report.bases, 1);
    assert_int_equal(l.report.views, 2);
    assert_int_equal(l.report.files, 2);
    assert_int_equal(l.report.pages, 4);
    buf_free(&l.text);
}

static void a_damaged_page_is_told_by_file_and_number(void **state)
{
    struct place *p = *state;
    struct store_view *v;
    char *diff;

    add_base(p, "1");
    make_written_view(p, "v", NULL);
    diff = only_file(p, "store/view/v/diff");
    flip_byte(diff, 4 * PAGE_BYTES + 5000);
    check_says(p, 1, "view v: base/5/1259, page 4:", "diff/");
    flip_byte(diff, 3 * PAGE_BYTES);
    check_says(p, 1, "view v: base/5/1259, pages 3 to 4:", "checksum");
    free(diff);
    make_written_view(p, "w", NULL);
    v = open_view(p, "w", 0);
    write_pages(v, 'w', 7, 1);
    close_view(p, v);
    diff = only_file(p, "store/view/w/diff");
    flip_byte(diff, 3 * PAGE_BYTES);
    flip_byte(diff, 7 * PAGE_BYTES);
    check_says(p, 3, "view w: base/5/1259, page 3:", "view w: base/5/1259, page 7:");
    free(diff);
}

static void a_damaged_side_page_table_is_told(void **state)
{
    struct place *p = *state;
    char *side;

    add_base(p, "1");
    make_written_view(p, "v", NULL);
    side = only_file(p, "store/view/v/side");
    flip_byte(side, offsetof(struct side_block, stored));
    check_says(p, 1, "view v: base/5/1259: 1 block of side/", "rebuilt");
    flip_byte(side, offsetof(struct side_block, stored));
    check_says(p, 0, "", "");
    flip_byte(side, offsetof(struct side_block, file));
    check_says(p, 1, "view v: base/5/1259: side/", "");
    free(side);
}

static void storage_without_a_file_and_a_file_without_storage_are_told(void **state)
{
    struct place *p = *state;
    char *diff;

    add_base(p, "1");
    make_written_view(p, "v", NULL);
    put_text(p, "store/view/v/diff/00000000000ffff1", "x");
    check_says(p, 1, "view v: diff/00000000000ffff1 belongs to no file", "");
    put_text(p, "store/view/v/side/note", "x");
    check_says(p, 2, "view v: side/note belongs to no file", "");
    make_written_view(p, "w", NULL);
    diff = only_file(p, "store/view/w/diff");
    assert_int_equal(unlink(diff), 0);
    check_says(p, 3, "view w: base/5/1259: cannot open diff/", "");
    free(diff);
}

static void a_damaged_journal_is_told(void **state)
{
    struct place *p = *state;
    char *names = path_in(p, "store/view/v/names");
    struct stat st;

    add_base(p, "1");
    make_written_view(p, "v", NULL);
    assert_int_equal(stat(names, &st), 0);
    assert_int_equal(truncate(names, st.st_size - 1), 0);
    check_says(p, 3, "view v: names holds", "changes of names are lost");
    flip_byte(names, 0);
    check_says(p, 1, "view v: names:", "");
    assert_int_equal(unlink(names), 0);
    check_says(p, 1, "view v: cannot read names", "");
    free(names);
}

static void damaged_descriptions_and_bases_are_told_one_by_one(void **state)
{
    struct place *p = *state;

    add_base(p, "1");
    add_base(p, "2");
    make_written_view(p, "v", "1");
    make_written_view(p, "w", "2");
    put_text(p, "store/view/v/view.json", "{}");
    put_text(p, "store/base/2/base.json", "{}");
    check_says(p, 3, "view v: ", "view/v/view.json: key \"format\" is missing");
    check_says(p, 3, "base 2: ", "view w: ");
    put_text(p, "data/base/5/1259", "shorter");
    check_says(p, 4, "base 1: ", "base/5/1259");
}

static void a_view_in_use_is_told_and_no_finding(void **state)
{
    struct place *p = *state;
    struct store_view *v;
    struct lines l;

    add_base(p, "1");
    create_view(p, "v", NULL);
    v = open_view(p, "v", 0);
    write_pages(v, 'x', 0, 1);
    l = check(p);
    assert_string_equal(l.text.data, "view v: in use, not looked into\n");
    assert_int_equal(l.report.findings, 0);
    assert_int_equal(l.report.views, 0);
    buf_free(&l.text);
    close_view(p, v);
}

/* A process that writes and ends without closing, the file neither. */
static void write_and_die(struct place *p, const char *name)
{
    struct store_view *v;
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        if (try_open(p, name, 0, &v) < 0)
            _exit(1);
        open_file(v, "base/5/1259");
        write_pages(v, 'd', 6, 2);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void a_view_that_was_not_closed_is_told_and_no_finding(void **state)
{
    struct place *p = *state;
    struct store_view *v;
    char *diff;

    add_base(p, "1");
    make_written_view(p, "v", NULL);
    write_and_die(p, "v");
    check_says(p, 0, "view v was not closed", "put right when it is next opened");
    diff = only_file(p, "store/view/v/diff");
    flip_byte(diff, 6 * PAGE_BYTES);
    check_says(p, 1, "view v was not closed", "view v: base/5/1259, page 6:");
    flip_byte(diff, 6 * PAGE_BYTES);
    free(diff);
    v = open_view(p, "v", 0);
    assert_int_equal(letter_at(v, 7), 'd');
    close_view(p, v);
    check_says(p, 0, "", "");
}

/* As a process leaves it that ends in the middle of a write of pages 3 and 4. */
static void announce_pages(const struct place *p, uint64_t id, const char *page)
{
    uint32_t crc[2] = {page_crc(page, PAGE_BYTES), page_crc(page, PAGE_BYTES)};
    char *path = path_in(p, "store/view/v");
    struct inflight *f;
    struct disk *d;

    assert_int_equal(disk_posix(path, &d), 0);
    assert_int_equal(inflight_open(d, "inflight", true, &f, NULL), 0);
    inflight_begin(f);
    inflight_write(f, id, 3, 2, crc);
    inflight_close(f, false);
    d->ops->free(d);
    free(path);
}

static void a_page_is_right_as_it_was_or_as_it_was_announced(void **state)
{
    struct place *p = *state;
    char page[PAGE_BYTES], *diff;
    struct store_view *v;
    int fd;

    memset(page, 'n', sizeof(page));
    add_base(p, "1");
    make_written_view(p, "v", NULL);
    diff = only_file(p, "store/view/v/diff");
    announce_pages(p, strtoull(strrchr(diff, '/') + 1, NULL, 16), page);
    fd = open(diff, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, page, sizeof(page), 3 * PAGE_BYTES), PAGE_BYTES);
    check_says(p, 0, "view v was not closed", "");
    assert_int_equal(pwrite(fd, page, 512, 4 * PAGE_BYTES), 512);
    check_says(p, 1, "view v: base/5/1259, page 4:", "");
    assert_int_equal(pwrite(fd, page, sizeof(page), 4 * PAGE_BYTES), PAGE_BYTES);
    close(fd);
    v = open_view(p, "v", 0);
    assert_int_equal(letter_at(v, 3), 'n');
    assert_int_equal(letter_at(v, 4), 'n');
    close_view(p, v);
    check_says(p, 0, "", "");
    free(diff);
}

/* ---- layers of a base ---- */

/* As a later command will do it: what a view holds becomes a base. */
static void make_layer(struct place *p, const char *view, const char *id)
{
    char *from = path_in(p, "store/view/%s", view), *to = path_in(p, "store/base/%s", id);
    char *json = path_in(p, "store/base/%s/view.json", id), *base;

    assert_int_equal(store_read_view(p->store, view, &base, &p->err), 0);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(unlink(json), 0);
    put_layer(p, id, base);
    free(base);
    free(json);
    free(to);
    free(from);
}

static void a_layer_that_was_not_completed_is_told(void **state)
{
    struct place *p = *state;
    struct store_view *v;

    add_base(p, "1");
    create_view(p, "w", "1");
    write_and_die(p, "w");
    make_layer(p, "w", "2");
    check_says(p, 1, "base 2 was not completed", "");
    create_view(p, "v", "2");
    assert_true(try_open(p, "v", 0, &v) < 0);
    assert_says(&p->err, "view v", "not completed");
}

static void a_layer_of_a_base_shows_in_views_and_is_checked(void **state)
{
    struct place *p = *state;
    struct store_view *v;
    char *diff;

    add_base(p, "1");
    make_written_view(p, "w", "1");
    make_layer(p, "w", "2");
    create_view(p, "v", NULL);
    v = open_view(p, "v", 0);
    assert_int_equal(store_view_base(v)->n_layers, 1);
    assert_int_equal(letter_at(v, 3), 'v');
    assert_int_equal(letter_at(v, 5), 'b');
    write_pages(v, 'x', 4, 2);
    close_view(p, v);
    check_says(p, 0, "", "");
    diff = only_file(p, "store/base/2/diff");
    flip_byte(diff, 3 * PAGE_BYTES);
    check_says(p, 1, "base 2: base/5/1259, page 3:", "");
    free(diff);
}

/* ---- map ---- */

static void add_map_line(void *arg, const struct map_run *run)
{
    buf_printf(arg, "%llu+%llu %s", (unsigned long long)run->first, (unsigned long long)run->count,
               run->place);
    if (run->unreadable)
        buf_printf(arg, " bad %llu", (unsigned long long)run->unreadable);
    buf_putc(arg, ';');
}

static void map_says(struct place *p, const char *view, const char *expected, uint64_t bytes)
{
    struct buf b = {0};
    uint64_t size = 0;

    buf_puts(&b, "");
    if (store_map(p->store, view, "base/5/1259", &size, add_map_line, &b, &p->err) < 0)
        fail_msg("%s", p->err.text);
    assert_string_equal(b.data, expected);
    assert_int_equal(size, bytes);
    buf_free(&b);
}

static void a_map_tells_which_layer_holds_which_page(void **state)
{
    struct place *p = *state;
    struct store_view *v;

    add_base(p, "1");
    create_view(p, "v", NULL);
    map_says(p, "v", "0+10 base;", 10 * PAGE_BYTES);
    assert_int_equal(store_drop_view(p->store, "v", &p->err), 0);
    make_written_view(p, "w", "1");
    map_says(p, "w", "0+3 base;3+2 view;5+5 base;", 10 * PAGE_BYTES);
    make_layer(p, "w", "2");
    create_view(p, "v", NULL);
    v = open_view(p, "v", 0);
    write_pages(v, 'x', 4, 2);
    write_pages(v, 'x', 9, 1);
    close_view(p, v);
    map_says(p, "v", "0+3 base;3+1 layer 2;4+2 view;6+3 base;9+1 view;", 10 * PAGE_BYTES);
    make_layer(p, "v", "3");
    create_view(p, "u", NULL);
    map_says(p, "u", "0+3 base;3+1 layer 2;4+2 layer 3;6+3 base;9+1 layer 3;", 10 * PAGE_BYTES);
}

static void a_map_shows_what_was_cut_off_and_what_cannot_be_read(void **state)
{
    struct place *p = *state;
    struct store_view *v;
    struct pagefile *f;
    char *diff;

    add_base(p, "1");
    make_written_view(p, "v", NULL);
    v = open_view(p, "v", 0);
    f = open_file(v, "base/5/1259");
    assert_int_equal(pagefile_truncate(f, 6 * PAGE_BYTES), 0);
    assert_int_equal(pagefile_truncate(f, 8 * PAGE_BYTES + 100), 0);
    datadir_close_file(store_view_datadir(v), f);
    close_view(p, v);
    map_says(p, "v", "0+3 base;3+2 view;5+1 base;6+3 zero;", 8 * PAGE_BYTES + 100);
    diff = only_file(p, "store/view/v/diff");
    flip_byte(diff, 3 * PAGE_BYTES);
    map_says(p, "v", "0+3 base;3+2 view bad 1;5+1 base;6+3 zero;", 8 * PAGE_BYTES + 100);
    free(diff);
}

static void a_map_of_what_is_no_file_is_refused(void **state)
{
    struct place *p = *state;
    uint64_t size;

    add_base(p, "1");
    create_view(p, "v", NULL);
    assert_int_equal(store_map(p->store, "v", "base/5/1", &size, add_map_line, NULL, &p->err),
                     -ENOENT);
    assert_says(&p->err, "view v", "base/5/1");
    assert_int_equal(store_map(p->store, "v", "base/5", &size, add_map_line, NULL, &p->err),
                     -EINVAL);
    assert_int_equal(store_map(p->store, "w", "base/5/1259", &size, add_map_line, NULL, &p->err),
                     -ENOENT);
    put_text(p, "data/base/5/1259", "other");
    assert_int_equal(store_map(p->store, "v", "base/5/1259", &size, add_map_line, NULL, &p->err),
                     -EIO);
    assert_says(&p->err, "base/5/1259", "changed");
}

/* ---- whose cluster ---- */

static struct store_cluster some_cluster(void)
{
    return (struct store_cluster){.system_identifier = UINT64_C(0xfedcba9876543210),
                                  .major = 15,
                                  .segment_bytes = 16 << 20,
                                  .conninfo = (char *)"host=db",
                                  .slot = (char *)"asofs"};
}

static void reopen(struct place *p)
{
    store_close(p->store);
    if (store_open(p->store_path, &p->store, &p->err) < 0)
        fail_msg("%s", p->err.text);
}

static void a_store_keeps_whose_cluster_it_is(void **state)
{
    struct place *p = *state;
    struct store_cluster c = some_cluster();
    char *log = path_in(p, "store/log");

    assert_null(store_cluster(p->store));
    assert_string_equal(store_wal_directory(p->store), log);
    assert_int_equal(store_set_cluster(p->store, &c, &p->err), 0);
    reopen(p);
    assert_int_equal(store_cluster(p->store)->system_identifier, c.system_identifier);
    assert_int_equal(store_cluster(p->store)->segment_bytes, 16 << 20);
    assert_string_equal(store_cluster(p->store)->conninfo, "host=db");
    assert_null(store_cluster(p->store)->restore_command);
    c = *store_cluster(p->store); /* what it holds is the store's, and goes while it is set */
    c.log = (char *)"/elsewhere";
    assert_int_equal(store_set_cluster(p->store, &c, &p->err), 0);
    assert_string_equal(store_wal_directory(p->store), "/elsewhere");
    reopen(p);
    assert_string_equal(store_cluster(p->store)->slot, "asofs");
    assert_string_equal(store_wal_directory(p->store), "/elsewhere");
    free(log);
}

static void another_cluster_is_refused_by_what_differs(void **state)
{
    struct place *p = *state;
    struct store_cluster c = some_cluster();
    struct store *second;

    assert_int_equal(store_open(p->store_path, &second, &p->err), 0);
    assert_int_equal(store_set_cluster(p->store, &c, &p->err), 0);
    c.major = 16;
    assert_int_equal(store_set_cluster(second, &c, &p->err), -EINVAL); /* opened before */
    assert_says(&p->err, "PostgreSQL 15", "PostgreSQL 16");
    store_close(second);
    c = some_cluster();
    c.system_identifier = 7;
    assert_int_equal(store_set_cluster(p->store, &c, &p->err), -EINVAL);
    assert_says(&p->err, "18364758544493064720", "the cluster 7");
    c = some_cluster();
    c.segment_bytes = 1 << 20;
    assert_int_equal(store_set_cluster(p->store, &c, &p->err), -EINVAL);
    assert_says(&p->err, "16777216", "1048576");
    assert_string_equal(store_cluster(p->store)->slot, "asofs");
}

/* ---- bases that are made, facts, dropping ---- */

static void a_base_keeps_its_facts(void **state)
{
    struct place *p = *state;
    const struct store_base_facts f = {.start_lsn = 0x3000028,
                                       .consistent_lsn = UINT64_C(0x100000000),
                                       .start_time = 1795000000,
                                       .consistent_time = 1795000060,
                                       .timeline = 3};
    struct store_base_facts g;
    char *id;

    add_base(p, "1");
    assert_int_equal(store_add_base(p->store, p->base_path, &f, &id, &p->err), 0);
    assert_int_equal(store_base_facts(p->store, "1", &g, &p->err), 0);
    assert_true(g.plain);
    assert_int_equal(g.start_lsn, 0);
    assert_int_equal(store_base_facts(p->store, id, &g, &p->err), 0);
    assert_memory_equal(&g, &f, sizeof(g));
    assert_int_equal(store_base_facts(p->store, "3", &g, &p->err), -ENOENT);
    free(id);
}

static void times_of_a_wrong_clock_are_not_known(void **state)
{
    struct place *p = *state;
    const struct store_base_facts f = {
        .start_lsn = 9, .timeline = 1, .start_time = -5, .consistent_time = STORE_TIME_MAX + 1};
    struct store_base_facts g;
    char *id;

    assert_int_equal(store_add_base(p->store, p->base_path, &f, &id, &p->err), 0);
    assert_int_equal(store_base_facts(p->store, id, &g, &p->err), 0);
    assert_int_equal(g.start_lsn, 9);
    assert_int_equal(g.start_time, 0);
    assert_int_equal(g.consistent_time, 0);
    free(id);
}

static struct store_making *begin_base(struct place *p)
{
    struct store_making *m;

    if (store_begin_base(p->store, &m, &p->err) < 0)
        fail_msg("%s", p->err.text);
    return m;
}

/* A data directory with a tablespace beside it. */
static void fill_making(struct place *p, const struct store_making *m)
{
    char *path = mem_printf("%s/data", store_making_path(m)), *link, *space;

    assert_int_equal(mkdir(path, 0700), 0);
    link = mem_printf("%s/pg_tblspc", path);
    assert_int_equal(mkdir(link, 0700), 0);
    free(link);
    link = mem_printf("%s/pg_tblspc/70", path);
    space = mem_printf("%s/70", store_making_path(m));
    assert_int_equal(mkdir(space, 0700), 0);
    assert_int_equal(symlink(space, link), 0);
    free(space);
    free(link);
    link = mem_printf("%s/PG_VERSION", path);
    write_file(link, "15\n", 3);
    free(link);
    free(path);
    (void)p;
}

static void a_base_that_is_made_is_seen_when_it_is_complete(void **state)
{
    struct place *p = *state;
    const struct store_base_facts f = {.start_lsn = 9, .timeline = 1}, *none = NULL;
    struct store_making *m = begin_base(p), *n;
    struct store_base b;
    char *id, **ids;

    assert_int_equal(store_open_base(p->store, "1", &b, &p->err), -ENOENT);
    add_base(p, "2"); /* clears what is deserted, which this is not */
    assert_true(is_in(p, "store/base/1"));
    assert_int_equal(store_bases(p->store, &ids, &p->err), 0);
    assert_string_equal(ids[0], "2");
    assert_null(ids[1]);
    store_names_free(ids);
    assert_int_equal(store_drop_base(p->store, "1", &p->err), -ENOENT);
    fill_making(p, m);
    if (store_finish_base(m, &f, &id, &p->err) < 0)
        fail_msg("%s", p->err.text);
    assert_string_equal(id, "1");
    free(id);
    assert_int_equal(store_open_base(p->store, "1", &b, &p->err), 0);
    store_close_base(&b);
    assert_false(is_in(p, "store/base/1/making"));
    n = begin_base(p);
    assert_true(store_finish_base(n, none, &id, &p->err) < 0); /* there is no data */
    assert_null(id);
    assert_false(is_in(p, "store/base/3"));
    assert_false(is_in(p, "store/base/3.old"));
}

static void a_base_that_was_given_up_or_deserted_is_cleared(void **state)
{
    struct place *p = *state;
    struct store_making *m = begin_base(p);

    fill_making(p, m);
    store_abandon_base(m);
    assert_false(is_in(p, "store/base/1"));
    make_dir_in(p, "store/base/1"); /* as a process leaves it that was killed */
    put_text(p, "store/base/1/making", "");
    make_dir_in(p, "store/base/2"); /* damaged, but a base */
    add_base(p, "3");
    assert_false(is_in(p, "store/base/1"));
    assert_false(is_in(p, "store/base/1.old"));
    assert_true(is_in(p, "store/base/2"));
}

static void a_view_becomes_a_layer_on_its_base(void **state)
{
    struct place *p = *state;
    const struct store_base_facts f = {.start_lsn = 9, .consistent_lsn = 10, .timeline = 1};
    struct store_base_facts g;
    struct store_base b;
    char *id;
    int fd;

    add_base(p, "1");
    create_view(p, "v", "1");
    assert_int_equal(store_lock_view(p->store, "v", true, &fd, &p->err), 0);
    assert_int_equal(store_finish_layer(p->store, "v", &f, &id, &p->err), -EBUSY);
    assert_null(id);
    assert_true(store_has_view(p->store, "v"));
    close(fd);
    if (store_finish_layer(p->store, "v", &f, &id, &p->err) < 0)
        fail_msg("%s", p->err.text);
    assert_string_equal(id, "2");
    free(id);
    assert_false(store_has_view(p->store, "v"));
    assert_false(is_in(p, "store/base/2/view.json"));
    assert_int_equal(store_open_base(p->store, "2", &b, &p->err), 0);
    assert_int_equal(b.n_layers, 1);
    assert_string_equal(b.directory_id, "1");
    store_close_base(&b);
    assert_int_equal(store_base_facts(p->store, "2", &g, &p->err), 0);
    assert_memory_equal(&g, &f, sizeof(g));
    create_view(p, "w", "2"); /* as on any base */
    assert_int_equal(store_drop_base(p->store, "2", &p->err), -EBUSY);
    assert_int_equal(store_finish_layer(p->store, "v", &f, &id, &p->err), -ENOENT);
}

static void a_base_is_dropped_when_nothing_stands_on_it(void **state)
{
    struct place *p = *state;

    add_base(p, "1");
    create_view(p, "v", "1");
    assert_int_equal(store_drop_base(p->store, "1", &p->err), -EBUSY);
    assert_says(&p->err, "base 1", "view v");
    assert_int_equal(store_drop_view(p->store, "v", &p->err), 0);
    make_dir_in(p, "store/base/2");
    put_text(p, "store/base/2/base.json",
             "{\"format\":1,\"kind\":\"layer\",\"parent\":\"1\",\"start_lsn\":\"0/9\","
             "\"timeline\":1}");
    assert_int_equal(store_drop_base(p->store, "1", &p->err), -EBUSY);
    assert_says(&p->err, "base 2", "layer");
    assert_int_equal(store_drop_base(p->store, "2", &p->err), 0);
    assert_int_equal(store_drop_base(p->store, "1", &p->err), 0);
    assert_false(is_in(p, "store/base/1"));
    assert_true(is_in(p, "data/PG_VERSION"));
    assert_int_equal(store_drop_base(p->store, "1", &p->err), -ENOENT);
    assert_int_equal(store_drop_base(p->store, "../view", &p->err), -ENOENT);
}

static void a_base_that_a_damaged_view_may_need_is_not_dropped(void **state)
{
    struct place *p = *state;

    add_base(p, "1");
    create_view(p, "v", "1");
    put_text(p, "store/view/v/view.json", "{");
    assert_true(store_drop_base(p->store, "1", &p->err) < 0);
    assert_says(&p->err, "view/v/view.json", "damaged");
    assert_true(is_in(p, "store/base/1/base.json"));
}

/* ---- facts of views, and views on views ---- */

static void set_facts(struct place *p, const char *name, const struct store_view_facts *f)
{
    if (store_set_view_facts(p->store, name, f, &p->err) < 0)
        fail_msg("%s", p->err.text);
}

static void a_view_keeps_its_facts(void **state)
{
    struct place *p = *state;
    struct store_view_facts f = {.target = (char *)"lsn 0/3000148"}, g;
    char *base;

    add_base(p, "1");
    create_view(p, "v", NULL);
    assert_int_equal(store_view_facts(p->store, "v", &g, &p->err), 0);
    assert_false(g.complete);
    assert_null(g.target);
    set_facts(p, "v", &f);
    assert_int_equal(store_view_facts(p->store, "v", &g, &p->err), 0);
    assert_false(g.complete);
    assert_string_equal(g.target, "lsn 0/3000148");
    store_view_facts_free(&g);
    f = (struct store_view_facts){.complete = true,
                                  .target = (char *)"latest",
                                  .lsn = UINT64_C(0x500000148),
                                  .time_us = 1795000000123456,
                                  .timeline = 2};
    set_facts(p, "v", &f);
    assert_int_equal(store_view_facts(p->store, "v", &g, &p->err), 0);
    assert_true(g.complete);
    assert_int_equal(g.lsn, f.lsn);
    assert_int_equal(g.time_us, f.time_us);
    assert_int_equal(g.timeline, 2);
    store_view_facts_free(&g);
    assert_int_equal(store_read_view(p->store, "v", &base, &p->err), 0);
    assert_string_equal(base, "1");
    free(base);
    assert_int_equal(store_set_view_facts(p->store, "w", &f, &p->err), -ENOENT);
}

static const struct store_view_facts complete = {.complete = true, .target = (char *)"latest"};

static void a_complete_view_is_not_written_any_more(void **state)
{
    struct place *p = *state;
    struct store_view *v;

    add_base(p, "1");
    make_written_view(p, "v", NULL);
    set_facts(p, "v", &complete);
    assert_int_equal(try_open(p, "v", 0, &v), -EROFS);
    assert_says(&p->err, "view v", "complete");
    v = open_view(p, "v", STORE_READ_ONLY);
    assert_int_equal(letter_at(v, 3), 'v');
    close_view(p, v);
}

static void a_view_over_a_complete_one_leaves_it_as_it_is(void **state)
{
    struct place *p = *state;
    struct store_view *v, *w;

    add_base(p, "1");
    make_written_view(p, "v", NULL);
    set_facts(p, "v", &complete);
    create_view(p, "w", "view/v");
    w = open_view(p, "w", 0);
    assert_string_equal(store_view_base(w)->layer_ids[0], "view/v");
    assert_int_equal(letter_at(w, 2), 'b');
    assert_int_equal(letter_at(w, 3), 'v');
    write_pages(w, 'w', 4, 2);
    v = open_view(p, "v", STORE_READ_ONLY);
    assert_int_equal(letter_at(v, 4), 'v');
    assert_int_equal(letter_at(v, 5), 'b');
    close_view(p, v);
    close_view(p, w);
    w = open_view(p, "w", STORE_READ_ONLY);
    assert_int_equal(letter_at(w, 3), 'v');
    assert_int_equal(letter_at(w, 5), 'w');
    close_view(p, w);
    check_says(p, 0, "", "");
}

static void a_view_that_carries_another_is_kept(void **state)
{
    struct place *p = *state;
    struct store_view *w;

    add_base(p, "1");
    make_written_view(p, "v", NULL);
    set_facts(p, "v", &complete);
    create_view(p, "w", "view/v");
    assert_int_equal(store_drop_view(p->store, "v", &p->err), -EBUSY);
    assert_says(&p->err, "view v", "view w");
    assert_int_equal(store_drop_base(p->store, "1", &p->err), -EBUSY);
    w = open_view(p, "w", 0); /* holds v as well */
    assert_int_equal(store_drop_view(p->store, "w", &p->err), -EBUSY);
    close_view(p, w);
    assert_int_equal(store_drop_view(p->store, "w", &p->err), 0);
    assert_int_equal(store_drop_view(p->store, "v", &p->err), 0);
}

static void only_a_complete_view_on_a_base_carries_another(void **state)
{
    struct place *p = *state;
    struct store_view_facts replaying = {.target = (char *)"latest"};

    add_base(p, "1");
    make_written_view(p, "v", NULL);
    assert_int_equal(store_create_view(p->store, "w", "view/v", NULL, &p->err), -EINVAL);
    assert_says(&p->err, "view v", "not complete");
    set_facts(p, "v", &replaying);
    assert_int_equal(store_create_view(p->store, "w", "view/v", NULL, &p->err), -EINVAL);
    set_facts(p, "v", &complete);
    create_view(p, "w", "view/v");
    set_facts(p, "w", &complete);
    assert_int_equal(store_create_view(p->store, "x", "view/w", NULL, &p->err), -EINVAL);
    assert_says(&p->err, "view w", "another view");
    assert_int_equal(store_create_view(p->store, "x", "view/none", NULL, &p->err), -ENOENT);
    assert_int_equal(store_create_view(p->store, "x", "view/../v", NULL, &p->err), -EINVAL);
    assert_false(store_has_view(p->store, "x"));
}

#define PLACED(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptions_are_read),
        cmocka_unit_test(another_format_is_refused_by_its_number),
        cmocka_unit_test(what_is_no_description_is_refused),
        cmocka_unit_test(keys_that_are_missing_or_odd_are_named),
        cmocka_unit_test(ids_that_leave_their_directory_are_refused),
        cmocka_unit_test(whose_cluster_a_store_is_of_is_read),
        cmocka_unit_test(a_cluster_that_cannot_be_is_refused),
        cmocka_unit_test(facts_that_cannot_be_are_refused),
        cmocka_unit_test(times_that_cannot_be_are_refused),
        PLACED(a_store_is_made_in_an_empty_directory_only),
        PLACED(everything_in_a_store_is_private_whatever_the_umask),
        PLACED(what_is_no_store_is_not_opened),
        PLACED(ids_count_up_and_are_not_given_again_below_a_later_one),
        PLACED(bases_added_at_the_same_time_get_ids_of_their_own),
        PLACED(a_base_is_kept_by_its_real_path),
        PLACED(a_base_and_its_store_stand_apart),
        PLACED(a_store_in_a_tablespace_of_the_base_is_refused),
        PLACED(a_path_that_json_cannot_hold_is_refused),
        PLACED(what_was_begun_and_never_finished_is_cleared_by_the_next_change),
        PLACED(layers_are_resolved_oldest_first),
        PLACED(circles_and_missing_parents_are_refused),
        PLACED(more_layers_than_a_chain_holds_are_refused),
        PLACED(odd_names_of_views_are_refused),
        PLACED(a_view_stands_on_the_newest_base_or_the_one_named),
        PLACED(a_view_keeps_what_was_written_and_hides_what_it_shall),
        PLACED(a_view_has_one_writer_or_many_readers),
        PLACED(a_dropped_view_is_gone_and_its_base_stays),
        PLACED(a_damaged_view_can_be_dropped),
        PLACED(a_base_that_changed_or_went_is_told),
        PLACED(nothing_is_found_in_a_store_that_is_right),
        PLACED(a_damaged_page_is_told_by_file_and_number),
        PLACED(a_damaged_side_page_table_is_told),
        PLACED(storage_without_a_file_and_a_file_without_storage_are_told),
        PLACED(a_damaged_journal_is_told),
        PLACED(damaged_descriptions_and_bases_are_told_one_by_one),
        PLACED(a_view_in_use_is_told_and_no_finding),
        PLACED(a_view_that_was_not_closed_is_told_and_no_finding),
        PLACED(a_page_is_right_as_it_was_or_as_it_was_announced),
        PLACED(a_layer_that_was_not_completed_is_told),
        PLACED(a_layer_of_a_base_shows_in_views_and_is_checked),
        PLACED(a_map_tells_which_layer_holds_which_page),
        PLACED(a_map_shows_what_was_cut_off_and_what_cannot_be_read),
        PLACED(a_map_of_what_is_no_file_is_refused),
        PLACED(a_store_keeps_whose_cluster_it_is),
        PLACED(another_cluster_is_refused_by_what_differs),
        PLACED(a_base_keeps_its_facts),
        PLACED(times_of_a_wrong_clock_are_not_known),
        PLACED(a_base_that_is_made_is_seen_when_it_is_complete),
        PLACED(a_base_that_was_given_up_or_deserted_is_cleared),
        PLACED(a_view_becomes_a_layer_on_its_base),
        PLACED(a_base_is_dropped_when_nothing_stands_on_it),
        PLACED(a_base_that_a_damaged_view_may_need_is_not_dropped),
        PLACED(a_view_keeps_its_facts),
        PLACED(a_complete_view_is_not_written_any_more),
        PLACED(a_view_over_a_complete_one_leaves_it_as_it_is),
        PLACED(a_view_that_carries_another_is_kept),
        PLACED(only_a_complete_view_on_a_base_carries_another),
    };

    return cmocka_run_group_tests_name("store directory", tests, NULL, NULL);
}
