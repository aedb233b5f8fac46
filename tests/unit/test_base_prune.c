/* base/prune: what is removed of a store, and what is said of it; without a server. */
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

#include "common/buf.h"
#include "common/io.h"
#include "common/mem.h"
#include "fixture.h"
#include "replay/making.h"
#include "base/prune.h"

#define SEGMENT (UINT32_C(1) << 20)
#define OLD 1795000000 /* when base 1 could first be shown */
#define DAY 86400

struct place {
    char *dir, *data, *path;
    struct store *s;
    struct buf said;
    uint64_t freed;
    struct err err;
};

static void put_cluster(struct place *p, char *log)
{
    struct store_cluster c = {
        .system_identifier = 7, .major = 15, .segment_bytes = SEGMENT, .log = log};

    assert_int_equal(store_set_cluster(p->s, &c, &p->err), 0);
}

/* Begins with segment 10 * n, a day after the one before. */
static void put_base(struct place *p, unsigned n)
{
    struct store_base_facts f = {.start_lsn = UINT64_C(10) * n * SEGMENT + 40,
                                 .consistent_lsn = UINT64_C(10) * n * SEGMENT + 80,
                                 .timeline = 1};
    char *id;

    f.start_time = f.consistent_time = OLD + (int64_t)n * DAY;
    assert_int_equal(store_add_base(p->s, p->data, &f, &id, &p->err), 0);
    free(id);
}

static char *segment_path(const struct place *p, unsigned number, const char *end)
{
    return mem_printf("%s/log/00000001%016X%s", p->path, number, end);
}

static void put_segment(struct place *p, unsigned number, const char *end)
{
    char *path = segment_path(p, number, end);

    assert_int_equal(io_write_file(AT_FDCWD, path, "log", 3, &p->err), 0);
    assert_int_equal(truncate(path, SEGMENT), 0);
    free(path);
}

static bool has_segment(const struct place *p, unsigned number, const char *end)
{
    char *path = segment_path(p, number, end);
    bool has = access(path, F_OK) == 0;

    free(path);
    return has;
}

static unsigned count_bases(struct place *p)
{
    char **ids;
    unsigned n = 0;

    assert_int_equal(store_bases(p->s, &ids, &p->err), 0);
    while (ids[n])
        n++;
    store_names_free(ids);
    return n;
}

/* Two bases, 10 segments apart, and the log from the first on. */
static int set_up(void **state)
{
    struct place *p = mem_alloc(sizeof(*p));
    char *version, *log;
    unsigned i;

    p->dir = fixture_make_dir();
    p->data = mem_printf("%s/data", p->dir);
    p->path = mem_printf("%s/store", p->dir);
    version = mem_printf("%s/PG_VERSION", p->data);
    log = mem_printf("%s/log", p->path);
    assert_int_equal(mkdir(p->data, 0700), 0);
    assert_int_equal(io_write_file(AT_FDCWD, version, "15\n", 3, &p->err), 0);
    assert_int_equal(store_create(p->path, &p->err), 0);
    assert_int_equal(store_open(p->path, &p->s, &p->err), 0);
    assert_int_equal(mkdir(log, 0700), 0);
    put_cluster(p, NULL);
    put_base(p, 1);
    put_base(p, 2);
    for (i = 10; i <= 22; i++)
        put_segment(p, i, "");
    free(version);
    free(log);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;

    store_close(p->s);
    fixture_remove_dir(p->dir);
    buf_free(&p->said);
    free(p->data);
    free(p->path);
    free(p);
    return 0;
}

static void note(void *arg, const struct pruning_news *news)
{
    struct buf *b = &((struct place *)arg)->said;

    switch (news->event) {
    case PRUNING_KEPT:
        buf_printf(b, "kept %s %s;", news->base,
                   news->why == PRUNE_VIEW    ? news->view
                   : news->why == PRUNE_PLAIN ? "plain"
                                              : "below");
        break;
    case PRUNING_BASE:
        buf_printf(b, "base %s%s;", news->base, news->bytes ? "" : " of nothing");
        break;
    case PRUNING_BUSY:
        buf_printf(b, "busy;");
        break;
    case PRUNING_LOG:
        buf_printf(b, "log %d %s %s%s;", (int)news->segments, news->first + 22, news->last + 22,
                   news->bytes ? "" : " of nothing");
        break;
    case PRUNING_ELSEWHERE:
        buf_printf(b, "elsewhere %s;", news->log);
        break;
    }
}

static int prune(struct place *p, int64_t keep_from, bool dry_run)
{
    struct pruning_request req = {
        .store = p->s, .keep_from = keep_from, .dry_run = dry_run, .tell = note, .arg = p};

    buf_free(&p->said);
    buf_puts(&p->said, "");
    return pruning_run(&req, &p->freed, &p->err);
}

/* ---- */

static void what_is_retained_stays(void **state)
{
    struct place *p = *state;

    assert_int_equal(prune(p, OLD + DAY + 1, false), 0);
    assert_string_equal(p->said.data, "");
    assert_int_equal(p->freed, 0);
    assert_int_equal(count_bases(p), 2);
    assert_true(has_segment(p, 10, ""));
}

static void a_base_goes_and_the_log_up_to_the_next(void **state)
{
    struct place *p = *state;

    put_segment(p, 12, ".partial"); /* beside the whole one */
    assert_int_equal(prune(p, OLD + 3 * DAY, false), 0);
    assert_string_equal(p->said.data, "base 1;log 10 0A 13;");
    assert_true(p->freed > 0);
    assert_int_equal(count_bases(p), 1);
    assert_false(has_segment(p, 10, ""));
    assert_false(has_segment(p, 12, ".partial"));
    assert_false(has_segment(p, 19, ""));
    assert_true(has_segment(p, 20, ""));
    assert_int_equal(prune(p, OLD + 3 * DAY, false), 0);
    assert_string_equal(p->said.data, "");
    assert_int_equal(p->freed, 0);
}

static void a_dry_run_says_the_same_and_does_nothing(void **state)
{
    struct place *p = *state;
    uint64_t would;

    assert_int_equal(prune(p, OLD + 3 * DAY, true), 0);
    assert_string_equal(p->said.data, "base 1;log 10 0A 13;");
    would = p->freed;
    assert_int_equal(count_bases(p), 2);
    assert_true(has_segment(p, 10, ""));
    assert_int_equal(prune(p, OLD + 3 * DAY, false), 0);
    assert_true(p->freed == would);
}

static void a_single_segment_is_first_and_last(void **state)
{
    struct place *p = *state;
    unsigned i;

    for (i = 10; i < 19; i++) {
        char *path = segment_path(p, i, "");

        assert_int_equal(unlink(path), 0);
        free(path);
    }
    assert_int_equal(prune(p, OLD + 3 * DAY, false), 0);
    assert_string_equal(p->said.data, "base 1;log 1 13 13;");
}

static void a_log_elsewhere_is_left(void **state)
{
    struct place *p = *state;
    char *elsewhere = mem_printf("%s/archive", p->dir), *said;

    assert_int_equal(mkdir(elsewhere, 0700), 0);
    put_cluster(p, elsewhere);
    said = mem_printf("base 1;elsewhere %s;", elsewhere);
    assert_int_equal(prune(p, OLD + 3 * DAY, false), 0);
    assert_string_equal(p->said.data, said);
    assert_true(has_segment(p, 10, ""));
    free(elsewhere);
    free(said);
}

static void a_base_of_which_nothing_is_known_keeps_itself(void **state)
{
    struct place *p = *state;
    char *id;

    assert_int_equal(store_add_base(p->s, p->data, NULL, &id, &p->err), 0);
    assert_int_equal(prune(p, OLD + 3 * DAY, false), 0);
    assert_string_equal(p->said.data, "kept 3 plain;base 1;log 10 0A 13;");
    free(id);
}

static void a_base_that_cannot_be_read_stops_it_all(void **state)
{
    struct place *p = *state;
    char *path = mem_printf("%s/base/2/base.json", p->path);

    assert_int_equal(truncate(path, 1), 0);
    assert_true(prune(p, OLD + 3 * DAY, false) < 0);
    assert_non_null(strstr(p->err.text, "Nothing is removed"));
    assert_string_equal(p->said.data, "");
    assert_true(has_segment(p, 10, ""));
    free(path);
}

static void a_view_that_is_being_made_stops_it_all(void **state)
{
    struct place *p = *state;
    int fd;

    assert_int_equal(making_lock(p->s, "new", true, &fd, &p->err), 0);
    assert_int_equal(prune(p, OLD + 3 * DAY, false), -EBUSY);
    assert_non_null(strstr(p->err.text, "\"new\" is being made"));
    assert_string_equal(p->said.data, "");
    assert_int_equal(count_bases(p), 2);
    making_unlock(p->s, "new", fd);
    assert_int_equal(prune(p, OLD + 3 * DAY, false), 0);
    assert_int_equal(count_bases(p), 1);
}

#define PLACED(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACED(what_is_retained_stays),
        PLACED(a_base_goes_and_the_log_up_to_the_next),
        PLACED(a_dry_run_says_the_same_and_does_nothing),
        PLACED(a_single_segment_is_first_and_last),
        PLACED(a_log_elsewhere_is_left),
        PLACED(a_base_of_which_nothing_is_known_keeps_itself),
        PLACED(a_base_that_cannot_be_read_stops_it_all),
        PLACED(a_view_that_is_being_made_stops_it_all),
    };

    return cmocka_run_group_tests_name("pruning a store", tests, NULL, NULL);
}
