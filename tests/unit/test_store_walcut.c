/* store/walcut.h: the log of a frozen moment, copied and cut where it ended. */
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

#include "common/err.h"
#include "common/io.h"
#include "common/lsn.h"
#include "common/mem.h"
#include "fixture.h"
#include "store/walcut.h"
#include "walbytes.h"

#define SEGMENT WALBYTES_SEGMENT
#define BEGIN (SEGMENT + WAL_SEGMENT_HEAD) /* of the first record */
#define NOON (INT64_C(1790000000) * 1000000)

struct place {
    char *dir, *pg_wal, *to;
    struct walbytes w;
};

static int set_up(void **state)
{
    struct place *p = mem_alloc(sizeof(*p));

    p->dir = fixture_make_dir();
    p->pg_wal = mem_printf("%s/pg_wal", p->dir);
    p->to = mem_printf("%s/wal", p->dir);
    assert_int_equal(mkdir(p->pg_wal, 0700), 0);
    assert_int_equal(mkdir(p->to, 0700), 0);
    walbytes_make(&p->w, 1, 4);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;

    fixture_remove_dir(p->dir);
    walbytes_free(&p->w);
    free(p->pg_wal);
    free(p->to);
    free(p);
    return 0;
}

static int cut_by(const struct place *p, uint64_t from, bool links, struct wal_reach *r,
                  struct err *err)
{
    struct walcut c = {.pg_wal = p->pg_wal,
                       .to = p->to,
                       .system = WALBYTES_SYSTEM,
                       .segment_bytes = SEGMENT,
                       .timeline = 1,
                       .from = from,
                       .link = links};

    return wal_cut(&c, r, err);
}

static int cut(const struct place *p, uint64_t from, struct wal_reach *r, struct err *err)
{
    return cut_by(p, from, false, r, err);
}

static void assert_empty(const struct place *p)
{
    int fd = open(p->to, O_RDONLY | O_DIRECTORY);

    assert_int_equal(io_is_empty(fd), 1);
    close(fd);
}

/* Of the copy of a segment: its bytes, which are the caller's. */
static uint8_t *read_copy(const struct place *p, uint64_t number)
{
    char name[25], *path;
    uint8_t *bytes = mem_alloc(SEGMENT);
    struct stat st;
    int fd;

    wal_segment_name(1, number, SEGMENT, name);
    path = mem_printf("%s/%s", p->to, name);
    fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, SEGMENT);
    assert_int_equal(st.st_mode & 07777, 0400); /* no server opens it to write */
    assert_int_equal(io_pread_full(fd, bytes, SEGMENT, 0), SEGMENT);
    close(fd);
    free(path);
    return bytes;
}

static bool is_zeros(const uint8_t *bytes, size_t n)
{
    while (n && !bytes[n - 1])
        n--;
    return n == 0;
}

/* Three segments in part, and one that the server has made ready, full of what it had. */
static uint64_t write_log(struct place *p)
{
    uint64_t end;

    walbytes_fill(&p->w, 3 * SEGMENT + 1000);
    walbytes_commit(&p->w, NOON);
    end = p->w.at;
    memset(walbytes_at(&p->w, end), 0x5a, 4 * SEGMENT - end); /* a record that is being written */
    walbytes_write_all(&p->w, p->pg_wal);
    return end;
}

static void the_copy_ends_where_the_log_did(void **state)
{
    struct place *p = *state;
    uint64_t end = write_log(p);
    struct wal_reach r;
    struct err err;
    uint8_t *bytes;

    assert_int_equal(cut(p, BEGIN, &r, &err), 0);
    assert_int_equal(r.end, end);
    assert_int_equal(r.time_us, NOON);
    assert_int_equal(r.timeline, 1);
    bytes = read_copy(p, 3);
    assert_memory_equal(bytes, walbytes_at(&p->w, 3 * SEGMENT), end - 3 * SEGMENT);
    assert_true(is_zeros(bytes + (end - 3 * SEGMENT), 4 * SEGMENT - end));
    free(bytes);
    bytes = read_copy(p, 1);
    assert_memory_equal(bytes, walbytes_at(&p->w, SEGMENT), SEGMENT);
    free(bytes);
}

static nlink_t links_of(const char *dir, const char *name)
{
    char *path = mem_printf("%s/%s", dir, name);
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    free(path);
    return st.st_nlink;
}

/* All but the last, which is cut. */
static void whole_segments_are_linked(void **state)
{
    struct place *p = *state;
    uint64_t end = write_log(p);
    struct wal_reach r;
    struct err err;

    assert_int_equal(cut_by(p, BEGIN, true, &r, &err), 0);
    assert_int_equal(r.end, end);
    assert_int_equal(links_of(p->to, "000000010000000000000001"), 2);
    assert_int_equal(links_of(p->to, "000000010000000000000002"), 2);
    assert_int_equal(links_of(p->to, "000000010000000000000003"), 1);
}

/* It is not read, let alone as log that nothing leads to: here it could not be. */
static void segments_without_log_are_left_out(void **state)
{
    struct place *p = *state;
    uint64_t end = write_log(p);
    uint8_t *zeros = mem_alloc(SEGMENT);
    struct wal_reach r;
    struct err err;

    walbytes_write(p->pg_wal, 1, 5, "", walbytes_at(&p->w, SEGMENT)); /* as it was used before */
    walbytes_write(p->pg_wal, 1, 6, "", zeros);
    assert_int_equal(cut(p, BEGIN, &r, &err), 0);
    assert_int_equal(r.end, end);
    free(zeros);
}

static void an_end_on_the_border_of_a_segment_needs_no_next_one(void **state)
{
    struct place *p = *state;
    struct wal_reach r;
    struct err err;

    walbytes_commit(&p->w, NOON);
    walbytes_switch(&p->w);
    walbytes_write_all(&p->w, p->pg_wal);
    assert_int_equal(cut(p, BEGIN, &r, &err), 0);
    assert_int_equal(r.end, 2 * SEGMENT);
    free(read_copy(p, 1));
    assert_int_equal(cut(p, BEGIN, &r, &err), -EEXIST); /* it is for an empty directory */
}

static void log_that_is_gone_leaves_nothing(void **state)
{
    struct place *p = *state;
    struct wal_reach r;
    struct err err;
    char *first = mem_printf("%s/000000010000000000000001", p->pg_wal);

    write_log(p);
    assert_int_equal(unlink(first), 0);
    assert_int_equal(cut(p, BEGIN, &r, &err), -EAGAIN);
    assert_non_null(strstr(err.text, "000000010000000000000001"));
    assert_empty(p);
    free(first);
}

/* Its end is seen from behind, and is right; only the walk over the copy meets the damage. */
static void damage_in_front_of_the_end_is_found(void **state)
{
    struct place *p = *state;
    struct wal_reach r;
    struct err err;
    uint64_t at;

    walbytes_fill(&p->w, 2 * SEGMENT + 1000);
    at = walbytes_commit(&p->w, NOON);
    walbytes_fill(&p->w, 3 * SEGMENT + 1000);
    walbytes_commit(&p->w, NOON);
    walbytes_at(&p->w, at)[WAL_RECORD_HEAD + 4] ^= 1;
    walbytes_write_all(&p->w, p->pg_wal);
    assert_int_equal(cut(p, BEGIN, &r, &err), -EAGAIN);
    assert_empty(p);
}

static void histories_come_along(void **state)
{
    struct place *p = *state;
    char *history = mem_printf("%s/00000002.history", p->pg_wal),
         *copy = mem_printf("%s/00000002.history", p->to);
    struct wal_reach r;
    struct err err;

    write_log(p);
    assert_int_equal(io_write_file(AT_FDCWD, history, "1\t0/F0000\tno\n", 13, &err), 0);
    assert_int_equal(cut(p, BEGIN, &r, &err), 0);
    assert_int_equal(access(copy, R_OK), 0);
    free(history);
    free(copy);
}

static void empty(const struct place *p)
{
    int fd = open(p->to, O_RDONLY | O_DIRECTORY);

    assert_int_equal(io_remove_below(fd), 0);
    close(fd);
}

/* Its server was promoted after the checkpoint from which the freeze is recovered. */
static void the_way_leads_to_the_next_timeline(void **state)
{
    struct place *p = *state;
    char *history = mem_printf("%s/00000002.history", p->pg_wal), left[LSN_TEXT_MAX], *text,
         *copy = mem_printf("%s/000000020000000000000002", p->to);
    struct wal_reach r;
    struct err err;

    walbytes_fill(&p->w, 2 * SEGMENT + 1000);
    text = mem_printf("1\t%s\tno\n", lsn_text(p->w.at, left));
    assert_int_equal(io_write_file(AT_FDCWD, history, text, strlen(text), &err), 0);
    walbytes_write(p->pg_wal, 1, 1, "", walbytes_at(&p->w, SEGMENT));
    walbytes_write(p->pg_wal, 1, 2, "", walbytes_at(&p->w, 2 * SEGMENT));
    walbytes_write(p->pg_wal, 2, 2, "", walbytes_at(&p->w, 2 * SEGMENT)); /* with nothing new */
    assert_int_equal(cut(p, BEGIN, &r, &err), 0);
    assert_int_equal(r.end, p->w.at);
    assert_int_equal(r.timeline, 2);
    assert_int_equal(access(copy, R_OK), 0);

    empty(p);
    p->w.timeline = 2;
    walbytes_commit(&p->w, NOON);
    walbytes_write(p->pg_wal, 2, 2, "", walbytes_at(&p->w, 2 * SEGMENT));
    assert_int_equal(cut(p, BEGIN, &r, &err), 0);
    assert_int_equal(r.end, p->w.at);
    assert_int_equal(r.timeline, 2);
    free(text);
    free(copy);
    free(history);
}

#define PLACED(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLACED(the_copy_ends_where_the_log_did),
        PLACED(whole_segments_are_linked),
        PLACED(segments_without_log_are_left_out),
        PLACED(an_end_on_the_border_of_a_segment_needs_no_next_one),
        PLACED(log_that_is_gone_leaves_nothing),
        PLACED(damage_in_front_of_the_end_is_found),
        PLACED(histories_come_along),
        PLACED(the_way_leads_to_the_next_timeline),
    };

    return cmocka_run_group_tests_name("store/walcut", tests, NULL, NULL);
}
