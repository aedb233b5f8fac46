/* extract/passing.h: chunks that pass through a spool give their space back. */
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

#include "common/io.h"
#include "common/mem.h"
#include "extract/passing.h"
#include "fixture.h"

#define BLOCK 8192u
#define CHUNK (128u * BLOCK) /* 1 MiB */
#define LIMIT (4u * CHUNK)

/* Table 0 has chunks 0 to 3, table 1 has chunk 4; a guest who frees what he is told to. */
struct passage {
    struct plan plan;
    struct spool spool;
    struct finisher *finisher;
    struct passing *passing;
    struct extract_guest guest;
    int own_files[2];
    uint32_t freed[8];
    size_t nfreed;
    bool will_free;
    char *bytes;
};

static bool guest_freed(void *arg, size_t *table, uint32_t *chunk)
{
    struct passage *p = arg;

    if (!p->nfreed)
        return false;
    p->nfreed--;
    *table = p->freed[p->nfreed] == 4;
    *chunk = *table ? 0 : p->freed[p->nfreed];
    return true;
}

static bool guest_will_free(void *arg)
{
    return ((struct passage *)arg)->will_free;
}

static int set_up_passing(void **state)
{
    struct pg_table t[] = {{.rel = {.kind = 'r', .blocks = 512, .bytes = 512 * BLOCK}},
                           {.rel = {.kind = 'r', .blocks = 128, .bytes = 128 * BLOCK}}};
    struct pg_catalog c = {.tables = t, .ntables = 2};
    struct passage *p = mem_alloc(sizeof(*p));
    struct passing_config config = {
        .plan = &p->plan, .spool_dir = "/", .spool_limit = LIMIT, .writers = 2};

    plan_make(&p->plan, &c, CHUNK);
    p->spool.fd = fixture_memory_file();
    memset(p->own_files, -1, sizeof(p->own_files));
    p->finisher = finisher_new(&p->plan, &p->spool, p->own_files);
    p->guest = (struct extract_guest){.freed = guest_freed, .will_free = guest_will_free, .arg = p};
    p->bytes = mem_array(CHUNK, 1);
    memset(p->bytes, 'x', CHUNK);
    config.spools = &p->spool;
    config.guest = &p->guest;
    config.finisher = p->finisher;
    p->passing = passing_new(&config);
    *state = p;
    return 0;
}

static int tear_down_passing(void **state)
{
    struct passage *p = *state;

    passing_free(p->passing);
    passing_free(NULL);
    finisher_free(p->finisher);
    plan_free(&p->plan);
    spool_close(&p->spool);
    free(p->bytes);
    free(p);
    return 0;
}

/* A chunk that was begun is there, 100 bytes short of its end. */
static void put(struct passage *p, uint32_t chunk)
{
    uint64_t n = CHUNK - 100, at = p->spool.end;

    assert_int_equal(io_pwrite_all(p->spool.fd, p->bytes, n, at), 0);
    passing_put(p->passing, chunk, 0, at, n);
    if (chunk < 4)
        finisher_add(p->finisher, chunk, 0, at, n, fixture_checksum(p->bytes, n));
    p->spool.end = passing_next_offset(at + n);
    assert_int_equal(p->spool.end % 4096, 0);
}

static void begin_and_put(struct passage *p, uint32_t chunk)
{
    assert_true(passing_may_begin(p->passing, chunk, 0));
    put(p, chunk);
}

static void set_free(struct passage *p, uint32_t chunk)
{
    p->freed[p->nfreed++] = chunk;
    passing_take_back(p->passing);
}

static void finish_all(struct passage *p)
{
    struct finished done;
    struct err err;

    while (finisher_has_work(p->finisher))
        assert_true(finisher_step(p->finisher, &done, &err) >= 0);
    passing_take_back(p->passing);
}

static void assert_held(const struct passage *p, unsigned chunks)
{
    struct stat st;

    assert_int_equal(fstat(p->spool.fd, &st), 0);
    assert_int_equal(st.st_blocks * 512, chunks * CHUNK);
}

static void a_chunk_that_is_freed_and_read_gives_its_space_back(void **state)
{
    struct passage *p = *state;

    begin_and_put(p, 0);
    begin_and_put(p, 1);
    begin_and_put(p, 4);
    assert_held(p, 3);
    set_free(p, 4); /* it is all of its file, and was read on the way */
    assert_held(p, 2);
    set_free(p, 1);
    assert_held(p, 2);
    finish_all(p);
    assert_held(p, 1);
    set_free(p, 0);
    assert_held(p, 0);
    assert_true(passing_is_stuck(p->passing)); /* nothing is there */
}

static void who_is_full_waits_for_the_guest(void **state)
{
    struct passage *p = *state;

    p->will_free = true;
    assert_true(passing_is_ample(p->passing, 0));
    begin_and_put(p, 0);
    begin_and_put(p, 1);
    begin_and_put(p, 2);
    assert_false(passing_is_ample(p->passing, 0));
    assert_false(passing_may_begin(p->passing, 3, 0));
    finish_all(p);
    assert_false(passing_is_stuck(p->passing));
    assert_false(passing_may_begin(p->passing, 3, 0));
    set_free(p, 0);
    assert_true(passing_may_begin(p->passing, 3, 0));
    assert_int_equal(passing_share(p->passing, 3), CHUNK + CHUNK / 4);
    passing_return(p->passing, 3);
    assert_true(passing_may_begin(p->passing, 3, 0));
}

/* Chunk 0 is still to come, so the finisher has read none of the others. */
static void checksums_are_given_up_for_room(void **state)
{
    struct passage *p = *state;

    begin_and_put(p, 1);
    begin_and_put(p, 2);
    begin_and_put(p, 3);
    set_free(p, 1);
    set_free(p, 2);
    assert_held(p, 3);
    p->will_free = true;
    assert_false(passing_may_begin(p->passing, 0, 0));
    p->will_free = false;
    assert_true(passing_may_begin(p->passing, 0, 0));
    assert_true(finisher_gave_up(p->finisher, 0));
    assert_held(p, 1);
    assert_int_equal(passing_share(p->passing, 0), CHUNK + CHUNK / 4);
}

static void checksums_that_are_wanted_are_not_given_up(void **state)
{
    struct passage *p = *state;

    p->guest.wants_checksums = true;
    begin_and_put(p, 1);
    begin_and_put(p, 2);
    begin_and_put(p, 3);
    set_free(p, 1);
    assert_true(passing_may_begin(p->passing, 0, 0)); /* it may have what is left */
    assert_false(finisher_gave_up(p->finisher, 0));
    assert_int_equal(passing_share(p->passing, 0), LIMIT - 3 * CHUNK);
    put(p, 0);
    finish_all(p);
    assert_held(p, 3);
}

static void what_does_not_fit_at_all_is_refused_with_the_place(void **state)
{
    struct passage *p = *state;
    struct err err;
    uint64_t share;
    int tries = 0, rc;

    do {
        assert_true(passing_may_begin(p->passing, 4, 0));
        share = passing_share(p->passing, 4);
        rc = passing_overrun(p->passing, 4, EOVERFLOW, share, 0, &err);
    } while (rc == 0 && ++tries < 10);
    assert_int_equal(rc, -ENOSPC);
    assert_int_equal(share, LIMIT);
    assert_non_null(strstr(err.text, "the spool in /, which has room for 4.0 MiB (--spool-limit)"));
    assert_non_null(strstr(err.text, "--direct"));
    p->guest.wants_checksums = true; /* large objects, which --direct does not make */
    assert_true(passing_may_begin(p->passing, 4, 0));
    assert_int_equal(passing_overrun(p->passing, 4, ENOSPC, share, 0, &err), -ENOSPC);
    assert_null(strstr(err.text, "--direct"));
    assert_non_null(strstr(err.text, "--spool=DIR"));
}

#define WITH_PASSING(f) cmocka_unit_test_setup_teardown(f, set_up_passing, tear_down_passing)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_PASSING(a_chunk_that_is_freed_and_read_gives_its_space_back),
        WITH_PASSING(who_is_full_waits_for_the_guest),
        WITH_PASSING(checksums_are_given_up_for_room),
        WITH_PASSING(checksums_that_are_wanted_are_not_given_up),
        WITH_PASSING(what_does_not_fit_at_all_is_refused_with_the_place),
    };

    return cmocka_run_group_tests_name("extract/passing", tests, NULL, NULL);
}
