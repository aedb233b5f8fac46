/* view/source: what is refused before a server is asked, and whose the texts are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"
#include "fixture.h"
#include "store/store.h"
#include "view/source.h"

struct place {
    char *dir, *store;
    struct source source;
    struct err err;
};

static int set_up(void **state)
{
    struct place *p = mem_alloc(sizeof(*p));

    p->dir = fixture_make_dir();
    p->store = mem_printf("%s/store", p->dir);
    source_init(&p->source);
    *state = p;
    return store_create(p->store, &p->err);
}

static int tear_down(void **state)
{
    struct place *p = *state;

    fixture_remove_dir(p->dir);
    source_free(&p->source);
    source_free(&p->source);
    free(p->store);
    free(p);
    return 0;
}

static void take(struct place *p, const char *source)
{
    char *arg = mem_strdup(source);

    source_take(&p->source, arg);
    free(arg);
}

static void assert_open_refused(struct place *p, int rc, const char *text)
{
    assert_int_equal(source_open(&p->source, &p->err), rc);
    assert_non_null(strstr(p->err.text, text));
    source_close(&p->source);
}

static void defaults_are_the_sources_own(void **state)
{
    struct place *p = *state;
    struct snapshot_request *r = &p->source.request;

    assert_string_equal(r->spool_dir, "/var/tmp");
    assert_string_equal(r->timezone, "UTC");
    assert_null(r->encoding);
    assert_true(r->jobs >= 1 && r->jobs <= 8);
    assert_int_equal(r->stop_fd, -1);
    assert_int_equal(p->source.page.moment.kind, MOMENT_NONE);
}

static void a_password_is_taken_out_of_argv(void **state)
{
    struct place *p = *state;
    char arg[] = "host=h password=secret dbname=d";

    source_take(&p->source, arg);
    assert_string_equal(p->source.place, "host=h password=secret dbname=d");
    assert_null(strstr(arg, "secret"));
    take(p, "dbname=e"); /* the one before is freed */
    assert_string_equal(p->source.place, "dbname=e");
}

static void binary_knows_one_encoding(void **state)
{
    struct place *p = *state;

    p->source.request.format = PG_FORMAT_BINARY;
    assert_int_equal(source_check(&p->source, &p->err), 0);
    p->source.request.encoding = mem_strdup("utf8");
    assert_int_equal(source_check(&p->source, &p->err), 0);
    free((char *)(uintptr_t)p->source.request.encoding);
    p->source.request.encoding = mem_strdup("LATIN1");
    assert_int_equal(source_check(&p->source, &p->err), -EINVAL);
    assert_string_equal(p->err.text, "--encoding=LATIN1 is not possible with --format=binary");
    p->source.request.format = PG_FORMAT_TEXT;
    assert_int_equal(source_check(&p->source, &p->err), 0);
}

static void set_spool(struct place *p, const char *dir)
{
    free((char *)(uintptr_t)p->source.request.spool_dir);
    p->source.request.spool_dir = mem_strdup(dir);
}

static void a_spool_is_a_directory_that_can_be_written(void **state)
{
    struct place *p = *state;
    char *file = mem_printf("%s/store.json", p->store);

    set_spool(p, p->dir);
    assert_int_equal(source_check_spool(&p->source, &p->err), 0);
    set_spool(p, file);
    assert_int_equal(source_check_spool(&p->source, &p->err), -ENOTDIR);
    set_spool(p, "/nonexistent");
    assert_int_equal(source_check_spool(&p->source, &p->err), -ENOENT);
    assert_non_null(strstr(p->err.text, "cannot use /nonexistent for spool files (--spool)"));
    if (geteuid() != 0) {
        set_spool(p, p->dir);
        assert_int_equal(chmod(p->dir, 0500), 0);
        assert_int_equal(source_check_spool(&p->source, &p->err), -EACCES);
        assert_int_equal(chmod(p->dir, 0700), 0);
    }
    free(file);
}

static void nowait_is_for_one_database(void **state)
{
    struct place *p = *state;

    take(p, "dbname=x");
    assert_int_equal(source_check_nowait(&p->source, &p->err), 0);
    take(p, p->store);
    assert_int_equal(source_check_nowait(&p->source, &p->err), -EINVAL);
    p->source.page.database = mem_strdup("erp");
    assert_int_equal(source_check_nowait(&p->source, &p->err), 0);
}

static void a_store_needs_a_moment(void **state)
{
    struct place *p = *state;

    take(p, p->store);
    assert_open_refused(p, -EINVAL, "which moment? --at=TIME");
}

static void a_moment_needs_a_store(void **state)
{
    struct place *p = *state;

    take(p, "dbname=x");
    assert_int_equal(source_open(&p->source, &p->err), 0);
    assert_string_equal(p->source.request.source, "dbname=x");
    assert_null(source_pages(&p->source));
    assert_int_equal(source_enter_pages(&p->source, &p->err), 0);
    source_leave_pages(&p->source);
    source_release(&p->source);
    p->source.request.trust_base = true;
    assert_open_refused(p, -EINVAL, "need a store as SOURCE; \"dbname=x\" is none");
    p->source.request.trust_base = false;
    p->source.page.log = mem_strdup("/log");
    assert_open_refused(p, -EINVAL, "need a store as SOURCE");
}

static void a_store_without_a_base_shows_nothing(void **state)
{
    struct place *p = *state;

    take(p, p->store);
    assert_int_equal(moment_parse(MOMENT_LATEST, "", &p->source.page.moment, &p->err), 0);
    assert_true(source_open(&p->source, &p->err) < 0);
    assert_null(p->source.pageview);
}

static void what_looks_like_a_path_is_said_to_be_no_store(void **state)
{
    static const char hint[] = "is no store (no store.json there)";
    struct place *p = *state;
    struct view *v = NULL;

    setenv("PGHOST", p->dir, 1); /* no server is there */
    take(p, "/nonexistent/store");
    assert_int_equal(source_open(&p->source, &p->err), 0);
    assert_true(source_extract(&p->source, &v, &p->err) < 0);
    assert_non_null(strstr(p->err.text, hint));
    assert_true(source_print_plan(&p->source, stdout, &p->err) < 0);
    assert_non_null(strstr(p->err.text, hint));
    source_close(&p->source);
    take(p, "erp");
    assert_int_equal(source_open(&p->source, &p->err), 0);
    assert_true(source_freeze(&p->source, &v, &p->err) < 0);
    assert_null(strstr(p->err.text, hint));
    assert_null(v);
}

#define PLACED(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACED(defaults_are_the_sources_own),
        PLACED(a_password_is_taken_out_of_argv),
        PLACED(binary_knows_one_encoding),
        PLACED(a_spool_is_a_directory_that_can_be_written),
        PLACED(nowait_is_for_one_database),
        PLACED(a_store_needs_a_moment),
        PLACED(a_moment_needs_a_store),
        PLACED(a_store_without_a_base_shows_nothing),
        PLACED(what_looks_like_a_path_is_said_to_be_no_store),
    };

    return cmocka_run_group_tests_name("sources of views", tests, NULL, NULL);
}
