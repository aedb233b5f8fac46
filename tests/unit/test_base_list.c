/* view/baselist, view/base: what a store holds, and dropping it; without a server. */
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
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"
#include "fixture.h"
#include "store/store.h"
#include "store/wal.h"
#include "base/create.h"
#include "base/list.h"
#include "walbytes.h"

#define SEGMENT (UINT32_C(1) << 20)
#define WRITTEN 1795000000 /* when every segment was */
#define COMMITTED 1790000000

struct place {
    char *dir, *data, *store;
    struct base_list list;
    struct err err;
};

static int set_up(void **state)
{
    struct place *p = mem_alloc(sizeof(*p));
    char *version;

    p->dir = fixture_make_dir();
    p->data = mem_printf("%s/data", p->dir);
    p->store = mem_printf("%s/store", p->dir);
    assert_int_equal(mkdir(p->data, 0700), 0);
    version = mem_printf("%s/PG_VERSION", p->data);
    assert_int_equal(io_write_file(AT_FDCWD, version, "15\n", 3, &p->err), 0);
    assert_int_equal(store_create(p->store, &p->err), 0);
    free(version);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;

    base_list_free(&p->list);
    fixture_remove_dir(p->dir);
    free(p->data);
    free(p->store);
    free(p);
    return 0;
}

/* ---- a store ---- */

static void put_base(struct place *p, const struct store_base_facts *f)
{
    struct store *s = NULL;
    char *id;

    assert_int_equal(store_open(p->store, &s, &p->err), 0);
    assert_int_equal(store_add_base(s, p->data, f, &id, &p->err), 0);
    store_close(s);
    free(id);
}

static void put_cluster(struct place *p, const char *log)
{
    struct store_cluster c = {.system_identifier = WALBYTES_SYSTEM,
                              .major = 15,
                              .segment_bytes = SEGMENT,
                              .log = (char *)(uintptr_t)log,
                              .conninfo = (char *)"host=nowhere",
                              .slot = (char *)"kept"};
    struct store *s = NULL;

    assert_int_equal(store_open(p->store, &s, &p->err), 0);
    assert_int_equal(store_set_cluster(s, &c, &p->err), 0);
    store_close(s);
}

/* Received at WRITTEN; a commit at COMMITTED is what all of it proves. */
static void put_segment_in(const char *dir, const char *name, const void *bytes)
{
    struct timespec written[2] = {{.tv_sec = WRITTEN}, {.tv_sec = WRITTEN}};
    char *path = mem_printf("%s/%s", dir, name);
    int fd;

    mkdir(dir, 0700);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, SEGMENT), 0);
    if (bytes)
        assert_int_equal(pwrite(fd, bytes, SEGMENT, 0), SEGMENT);
    assert_int_equal(futimens(fd, written), 0);
    close(fd);
    free(path);
}

static void put_segment(const struct place *p, const char *name)
{
    char *log = mem_printf("%s/log", p->store);

    put_segment_in(log, name, NULL);
    free(log);
}

/* Two segments full of log, the second in a directory of its own. */
static void put_log(const struct place *p, uint64_t first, const char *second_dir)
{
    char *log = mem_printf("%s/log", p->store), name[25];
    struct walbytes w;

    walbytes_make_of(&w, first, 2, SEGMENT);
    walbytes_commit(&w, COMMITTED * INT64_C(1000000));
    walbytes_fill(&w, (first + 2) * SEGMENT);
    wal_segment_name(1, first, SEGMENT, name);
    put_segment_in(log, name, w.bytes);
    wal_segment_name(1, first + 1, SEGMENT, name);
    put_segment_in(second_dir ? second_dir : log, name, w.bytes + SEGMENT);
    walbytes_free(&w);
    free(log);
}

static const struct base_list *list(struct place *p)
{
    base_list_free(&p->list);
    if (base_list_read(p->store, NULL, &p->list, &p->err) < 0)
        fail_msg("%s", p->err.text);
    return &p->list;
}

/* ---- list ---- */

static void a_store_without_a_cluster_has_bases_only(void **state)
{
    struct place *p = *state;
    const struct base_list *l = list(p);

    assert_int_equal(l->n, 0);
    put_base(p, NULL);
    l = list(p);
    assert_int_equal(l->n, 1);
    assert_string_equal(l->bases[0].id, "1");
    assert_string_equal(l->bases[0].directory, p->data);
    assert_null(l->bases[0].below);
    assert_true(l->bases[0].facts.plain);
    assert_false(l->of_cluster);
    assert_null(l->slot);
}

static void each_base_reaches_as_far_as_its_log(void **state)
{
    struct place *p = *state;
    const struct store_base_facts early = {.start_lsn = 2 * SEGMENT + 40,
                                           .consistent_lsn = 2 * SEGMENT + 80,
                                           .timeline = 1},
                                  between = {.start_lsn = 5 * SEGMENT + 40, .timeline = 1},
                                  last = {.start_lsn = 6 * SEGMENT,
                                          .consistent_lsn = 8 * SEGMENT,
                                          .timeline = 1};
    const struct base_list *l;

    put_cluster(p, NULL);
    put_base(p, &early);
    put_base(p, &between);
    put_base(p, &last);
    put_log(p, 2, NULL);
    put_log(p, 6, NULL);
    l = list(p);
    assert_int_equal(l->n, 3);
    assert_true(l->bases[0].wal_end == 4 * SEGMENT);
    assert_int_equal(l->bases[0].wal_end_time, COMMITTED); /* no file's time counts */
    assert_int_equal(l->bases[1].wal_end, 0);
    assert_string_equal(l->bases[1].missing, "000000010000000000000005");
    assert_true(l->bases[2].wal_end == 8 * SEGMENT); /* just where it can first be shown */
    assert_int_equal(l->bases[2].wal_end_time, COMMITTED);
    assert_true(l->of_cluster);
    assert_int_equal(l->segments, 4);
    assert_true(l->bytes == 4 * SEGMENT);
    assert_int_equal(l->received, WRITTEN);
    assert_string_equal(l->slot, "kept");
}

/* A backup that brought its log along. */
static void what_a_bases_own_pg_wal_has_is_its_log_too(void **state)
{
    const struct store_base_facts f = {
        .start_lsn = 2 * SEGMENT + 40, .consistent_lsn = 3 * SEGMENT + 80, .timeline = 1};
    struct place *p = *state;
    char *own = mem_printf("%s/pg_wal", p->data);
    const struct base_list *l;

    put_cluster(p, NULL);
    put_log(p, 2, own);
    put_base(p, &f);
    l = list(p);
    assert_null(l->bases[0].error);
    assert_true(l->bases[0].wal_end == 4 * SEGMENT);
    assert_int_equal(l->bases[0].wal_end_time, COMMITTED);
    assert_int_equal(l->segments, 1);
    free(own);
}

static void gaps_are_named_by_their_first_and_last_segment(void **state)
{
    struct place *p = *state;
    const struct base_list *l;

    put_cluster(p, NULL);
    put_segment(p, "000000010000000000000002");
    put_segment(p, "000000010000000000000004");
    put_segment(p, "000000020000000000000005"); /* a timeline that begins anew: no gap */
    put_segment(p, "000000020000000000000009.partial");
    l = list(p);
    assert_int_equal(l->n_gaps, 2);
    assert_string_equal(l->gaps[0].first, "000000010000000000000003");
    assert_string_equal(l->gaps[0].last, "000000010000000000000003");
    assert_string_equal(l->gaps[1].first, "000000020000000000000006");
    assert_string_equal(l->gaps[1].last, "000000020000000000000008");
}

static void put_history(const struct place *p, const char *name, const char *text)
{
    char *path = mem_printf("%s/log/%s", p->store, name);

    assert_int_equal(io_write_file(AT_FDCWD, path, text, strlen(text), NULL), 0);
    free(path);
}

/* The history of a timeline comes before its first segment; those after the turn are of a branch
 * that was left. */
static void the_search_for_gaps_comes_past_a_branch_that_was_left(void **state)
{
    struct place *p = *state;
    const struct base_list *l;

    put_cluster(p, NULL);
    put_segment(p, "000000010000000000000002");
    put_segment(p, "000000010000000000000003");
    put_segment(p, "000000010000000000000004");
    put_history(p, "00000002.history", "1\t0/300100\tno recovery target specified\n");
    l = list(p);
    assert_int_equal(l->segments, 3);
    assert_int_equal(l->n_gaps, 0);
}

static void log_of_the_store_may_be_missing_and_another_must_not(void **state)
{
    struct place *p = *state;
    char *elsewhere = mem_printf("%s/archive", p->dir);

    put_cluster(p, NULL);
    assert_int_equal(list(p)->segments, 0);
    assert_int_equal(p->list.received, 0);
    put_cluster(p, elsewhere);
    base_list_free(&p->list);
    assert_int_equal(base_list_read(p->store, NULL, &p->list, &p->err), -ENOENT);
    assert_non_null(strstr(p->err.text, elsewhere));
    free(elsewhere);
}

static void a_base_that_cannot_be_opened_hides_no_other(void **state)
{
    struct place *p = *state;
    char *path = mem_printf("%s/base/1/base.json", p->store);
    const struct base_list *l;

    put_base(p, NULL);
    put_base(p, NULL);
    assert_int_equal(truncate(path, 1), 0);
    l = list(p);
    assert_int_equal(l->n, 2);
    assert_non_null(strstr(l->bases[0].error, "damaged"));
    assert_null(l->bases[0].directory);
    assert_null(l->bases[1].error);
    assert_string_equal(l->bases[1].directory, p->data);
    free(path);
}

/* ---- drop ---- */

static void dropping_says_what_is_not_there(void **state)
{
    struct place *p = *state;

    put_base(p, NULL);
    assert_int_equal(base_drop(p->store, "9", NULL, &p->err), -ENOENT);
    assert_int_equal(list(p)->n, 1);
    put_base(p, NULL);
    assert_int_equal(base_drop(p->store, NULL, NULL, &p->err), 0);
    assert_int_equal(list(p)->n, 0);
    assert_true(base_drop(p->data, NULL, NULL, &p->err) < 0);
}

#define PLACED(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACED(a_store_without_a_cluster_has_bases_only),
        PLACED(each_base_reaches_as_far_as_its_log),
        PLACED(what_a_bases_own_pg_wal_has_is_its_log_too),
        PLACED(gaps_are_named_by_their_first_and_last_segment),
        PLACED(the_search_for_gaps_comes_past_a_branch_that_was_left),
        PLACED(log_of_the_store_may_be_missing_and_another_must_not),
        PLACED(a_base_that_cannot_be_opened_hides_no_other),
        PLACED(dropping_says_what_is_not_there),
    };

    return cmocka_run_group_tests_name("bases of a store", tests, NULL, NULL);
}
