/* extract/finish.h: files of several chunks, summed up and put together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"
#include "extract/finish.h"
#include "fixture.h"

#define BLOCK 8192u

enum { FINISH_CHUNKS = 5, FINISH_TABLE = 1 };

/* A table of five chunks, number 1 of three, in two spool files; chunk 1 is long, chunk 3 is empty.
 */
struct finishing {
    struct plan plan;
    struct spool spools[2];
    int own_files[3];
    char *bytes; /* of the flat file */
    uint64_t start[FINISH_CHUNKS + 1];
    uint64_t offset[FINISH_CHUNKS]; /* in spool i % 2 */
    struct finisher *finisher;
};

static void spool_chunks(struct finishing *f)
{
    static const uint64_t lengths[FINISH_CHUNKS] = {100, 5 << 20, 524288, 0, 524289};
    uint64_t seed = 37, at;
    int i;

    for (i = 0; i < FINISH_CHUNKS; i++)
        f->start[i + 1] = f->start[i] + lengths[i];
    f->bytes = mem_alloc(f->start[FINISH_CHUNKS]);
    for (at = 0; at + 8 <= f->start[FINISH_CHUNKS]; at += 8) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        memcpy(f->bytes + at, &seed, 8);
    }
    for (i = FINISH_CHUNKS - 1; i >= 0; i--) {
        struct spool *s = &f->spools[i % 2];

        f->offset[i] = s->end;
        assert_int_equal(io_pwrite_all(s->fd, f->bytes + f->start[i], lengths[i], s->end), 0);
        s->end += lengths[i];
    }
}

static int set_up_finish(void **state)
{
    struct pg_table t[] = {{.rel = {.kind = 'r', .blocks = 1, .bytes = BLOCK}},
                           {.rel = {.kind = 'r', .blocks = 5, .bytes = 5 * BLOCK}},
                           {.rel = {.kind = 'r', .blocks = 2, .bytes = 2 * BLOCK}}};
    struct pg_catalog c = {.tables = t, .ntables = 3};
    struct finishing *f = mem_alloc(sizeof(*f));

    plan_make(&f->plan, &c, BLOCK);
    f->spools[0].fd = fixture_memory_file();
    f->spools[1].fd = fixture_memory_file();
    spool_chunks(f);
    memset(f->own_files, -1, sizeof(f->own_files));
    f->finisher = finisher_new(&f->plan, f->spools, f->own_files);
    *state = f;
    return 0;
}

static int tear_down_finish(void **state)
{
    struct finishing *f = *state;

    finisher_free(f->finisher);
    finisher_free(NULL);
    plan_free(&f->plan);
    spool_close(&f->spools[0]);
    spool_close(&f->spools[1]);
    free(f->bytes);
    free(f);
    return 0;
}

static void add_piece(struct finishing *f, int i)
{
    uint64_t length = f->start[i + 1] - f->start[i];

    finisher_add(f->finisher, (uint32_t)f->plan.first[FINISH_TABLE] + (uint32_t)i, i % 2,
                 f->offset[i], length, fixture_checksum(f->bytes + f->start[i], length));
}

/* Steps until a table is finished (1), there is nothing to do (0) or something failed. */
static int step_on(struct finishing *f, struct finished *done, struct err *err)
{
    int rc = 0;

    while (rc == 0 && finisher_has_work(f->finisher))
        rc = finisher_step(f->finisher, done, err);
    return rc;
}

static void assert_finished(struct finishing *f)
{
    struct finished done;
    struct err err;

    assert_int_equal(step_on(f, &done, &err), 1);
    assert_int_equal(done.table, FINISH_TABLE);
    assert_int_equal(done.bytes, f->start[FINISH_CHUNKS]);
    assert_int_equal(done.checksum, fixture_checksum(f->bytes, f->start[FINISH_CHUNKS]));
    assert_false(finisher_has_work(f->finisher));
}

static void finish_sums_up_chunks_in_file_order(void **state)
{
    int i;

    for (i = 0; i < FINISH_CHUNKS; i++)
        add_piece(*state, i);
    assert_finished(*state);
}

static void finish_waits_for_chunks_that_come_late(void **state)
{
    static const int order[] = {4, 1, 3, 0, 2};
    struct finishing *f = *state;
    struct finished done;
    struct err err;
    int i;

    assert_false(finisher_has_work(f->finisher));
    assert_int_equal(finisher_step(f->finisher, &done, &err), 0);
    for (i = 0; i < FINISH_CHUNKS; i++) {
        add_piece(f, order[i]);
        if (i < FINISH_CHUNKS - 1)
            assert_int_equal(step_on(f, &done, &err), 0);
    }
    assert_finished(f);
}

static void finish_works_in_short_steps(void **state)
{
    struct finishing *f = *state;
    struct finished done;
    struct err err;
    int steps = 0, i;

    for (i = 0; i < FINISH_CHUNKS; i++)
        add_piece(f, i);
    while (finisher_step(f->finisher, &done, &err) == 0)
        steps++;
    assert_in_range(steps, FINISH_CHUNKS, 20);
    assert_int_equal(done.bytes, f->start[FINISH_CHUNKS]);
}

static void finish_can_be_left_in_the_middle(void **state)
{
    struct finishing *f = *state;
    struct finished done;
    struct err err;

    add_piece(f, 0);
    add_piece(f, 1);
    assert_int_equal(finisher_step(f->finisher, &done, &err), 0);
    assert_int_equal(finisher_step(f->finisher, &done, &err), 0);
    assert_true(finisher_has_work(f->finisher));
}

static void finish_takes_tables_side_by_side(void **state)
{
    struct finishing *f = *state;
    uint32_t other = (uint32_t)f->plan.first[2];
    struct finished done;
    struct err err;
    int i;

    add_piece(f, 0);
    finisher_add(f->finisher, other + 1, 0, f->offset[4], 10,
                 fixture_checksum(f->bytes + f->start[4], 10));
    assert_int_equal(step_on(f, &done, &err), 0);
    finisher_add(f->finisher, other, 0, f->offset[0], 20, fixture_checksum(f->bytes, 20));
    assert_int_equal(step_on(f, &done, &err), 1);
    assert_int_equal(done.table, 2);
    assert_int_equal(done.bytes, 30);
    for (i = 1; i < FINISH_CHUNKS; i++)
        add_piece(f, i);
    assert_finished(f);
}

static void finish_notices_a_spool_file_that_changed(void **state)
{
    struct finishing *f = *state;
    struct finished done;
    struct err err;
    char c;

    add_piece(f, 0);
    add_piece(f, 1);
    assert_int_equal(io_pread_full(f->spools[1].fd, &c, 1, f->offset[1] + (3 << 20)), 1);
    c ^= 1;
    assert_int_equal(io_pwrite_all(f->spools[1].fd, &c, 1, f->offset[1] + (3 << 20)), 0);
    assert_int_equal(step_on(f, &done, &err), -EIO);
    assert_string_equal(err.text, "a spool file does not hold what was written to it");
}

static void finish_notices_a_spool_file_that_was_cut(void **state)
{
    struct finishing *f = *state;
    struct finished done;
    struct err err;

    add_piece(f, 0);
    assert_int_equal(ftruncate(f->spools[0].fd, (off_t)f->offset[0] + 99), 0);
    assert_int_equal(step_on(f, &done, &err), -EIO);
    assert_non_null(strstr(err.text, "spool file"));
}

static void finish_writes_the_file_and_gives_the_space_back(void **state)
{
    struct finishing *f = *state;
    int fd = f->own_files[FINISH_TABLE] = fixture_memory_file(), i;
    struct stat st;

    for (i = FINISH_CHUNKS - 1; i >= 0; i--)
        add_piece(f, i);
    assert_finished(f);
    fixture_assert_size(fd, f->start[FINISH_CHUNKS]);
    fixture_assert_holds(fd, f->bytes, f->start[FINISH_CHUNKS], 0);
    assert_int_equal(fstat(f->spools[1].fd, &st), 0);
    assert_true(st.st_blocks * 512 < 1 << 20); /* of five MiB */
    close(fd);
}

static void finish_of_chunks_without_bytes_is_an_empty_file(void **state)
{
    struct finishing *f = *state;
    uint32_t first = (uint32_t)f->plan.first[2];
    struct finished done;
    struct err err;

    finisher_add(f->finisher, first, 0, 0, 0, fixture_checksum("", 0));
    finisher_add(f->finisher, first + 1, 0, 0, 0, fixture_checksum("", 0));
    assert_int_equal(step_on(f, &done, &err), 1);
    assert_int_equal(done.table, 2);
    assert_int_equal(done.bytes, 0);
    assert_int_equal(done.checksum, fixture_checksum("", 0));
}

static void finish_tells_a_full_disk(void **state)
{
    struct finishing *f = *state;
    struct finished done;
    struct err err;

    f->own_files[FINISH_TABLE] = open("/dev/full", O_WRONLY | O_CLOEXEC);
    add_piece(f, 0);
    assert_int_equal(step_on(f, &done, &err), -ENOSPC);
    assert_non_null(strstr(err.text, "No space left"));
    close(f->own_files[FINISH_TABLE]);
}

static void finish_drops_a_table_and_gives_its_space_back(void **state)
{
    struct finishing *f = *state;
    struct finished done;
    struct err err;
    struct stat st;

    finisher_drop(f->finisher, FINISH_TABLE); /* nothing of it has come yet */
    finisher_add(f->finisher, (uint32_t)f->plan.first[2], 1, f->offset[3], 10, 0);
    add_piece(f, 1);
    add_piece(f, 0);
    assert_int_equal(finisher_step(f->finisher, &done, &err), 0);
    finisher_drop(f->finisher, FINISH_TABLE);
    assert_int_equal(fstat(f->spools[1].fd, &st), 0);
    assert_true(st.st_blocks * 512 < 1 << 20); /* of five MiB */
    fixture_assert_holds(f->spools[0].fd, f->bytes + f->start[4], 524289, f->offset[4]);
    assert_true(finisher_has_work(f->finisher)); /* the other table */
    finisher_drop(f->finisher, 2);
    assert_false(finisher_has_work(f->finisher));
    assert_int_equal(finisher_step(f->finisher, &done, &err), 0);
}

static void finish_gives_a_table_up_and_keeps_what_it_has(void **state)
{
    struct finishing *f = *state;
    uint32_t first = (uint32_t)f->plan.first[FINISH_TABLE];
    struct finished done;
    struct err err;

    add_piece(f, 0);
    add_piece(f, 2);
    assert_false(finisher_is_past(f->finisher, first));
    assert_int_equal(step_on(f, &done, &err), 0);
    assert_true(finisher_is_past(f->finisher, first));
    assert_false(finisher_is_past(f->finisher, first + 1));
    assert_false(finisher_is_past(f->finisher, first + 2));
    add_piece(f, 1);
    assert_false(finisher_gave_up(f->finisher, FINISH_TABLE));
    finisher_give_up(f->finisher, FINISH_TABLE);
    assert_true(finisher_gave_up(f->finisher, FINISH_TABLE));
    assert_false(finisher_has_work(f->finisher));
    fixture_assert_holds(f->spools[1].fd, f->bytes + f->start[1], 5 << 20, f->offset[1]);
}

#define WITH_FINISH(f) cmocka_unit_test_setup_teardown(f, set_up_finish, tear_down_finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FINISH(finish_sums_up_chunks_in_file_order),
        WITH_FINISH(finish_waits_for_chunks_that_come_late),
        WITH_FINISH(finish_works_in_short_steps),
        WITH_FINISH(finish_can_be_left_in_the_middle),
        WITH_FINISH(finish_takes_tables_side_by_side),
        WITH_FINISH(finish_notices_a_spool_file_that_changed),
        WITH_FINISH(finish_notices_a_spool_file_that_was_cut),
        WITH_FINISH(finish_writes_the_file_and_gives_the_space_back),
        WITH_FINISH(finish_of_chunks_without_bytes_is_an_empty_file),
        WITH_FINISH(finish_tells_a_full_disk),
        WITH_FINISH(finish_drops_a_table_and_gives_its_space_back),
        WITH_FINISH(finish_gives_a_table_up_and_keeps_what_it_has),
    };

    return cmocka_run_group_tests_name("extract/finish", tests, NULL, NULL);
}
