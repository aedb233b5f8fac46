/* render/xacts.h: what became of transactions, and which rows are there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "heapbytes.h"
#include "render/xacts.h"

/* Pages of pg_xact and pg_multixact that there are. */
struct slru_page {
    enum render_slru which;
    uint64_t page;
    char bytes[8192];
};

static struct {
    struct slru_page pages[8];
    size_t n;
    int reads, rc;
} disk;

static char *page_of(enum render_slru which, uint64_t page)
{
    size_t i;

    for (i = 0; i < disk.n; i++)
        if (disk.pages[i].which == which && disk.pages[i].page == page)
            return disk.pages[i].bytes;
    assert_true(disk.n < sizeof(disk.pages) / sizeof(disk.pages[0]));
    memset(disk.pages[disk.n].bytes, 0, 8192);
    disk.pages[disk.n].which = which;
    disk.pages[disk.n].page = page;
    return disk.pages[disk.n++].bytes;
}

static int read_page(void *arg, enum render_slru which, uint64_t page, char *bytes)
{
    size_t i;

    (void)arg;
    disk.reads++;
    for (i = 0; disk.rc == 0 && i < disk.n; i++) {
        if (disk.pages[i].which != which || disk.pages[i].page != page)
            continue;
        memcpy(bytes, disk.pages[i].bytes, 8192);
        return 0;
    }
    return disk.rc ? disk.rc : -ENOENT;
}

enum { RUNNING, COMMITTED, ABORTED, SUBCOMMITTED };

static void put_xact(uint32_t xid, unsigned what)
{
    page_of(RENDER_XACT, xid / 32768)[xid % 32768 / 4] |= (char)(what << xid % 4 * 2);
}

static void put_offset(uint32_t multi, uint32_t offset)
{
    heapbytes_u32(page_of(RENDER_MULTI_OFFSETS, multi / 2048) + 4 * (multi % 2048), offset);
}

static void put_member(uint32_t offset, uint32_t xid, unsigned status)
{
    char *group = page_of(RENDER_MULTI_MEMBERS, offset / 1636) + offset % 1636 / 4 * 20;

    group[offset % 4] = (char)status;
    heapbytes_u32(group + 4 + 4 * (offset % 4), xid);
}

static struct render_xacts_request limits(void)
{
    return (struct render_xacts_request){.read = read_page,
                                         .next_xid = ((uint64_t)5 << 32) + 1000,
                                         .oldest_xid = 700,
                                         .next_multi = 60,
                                         .oldest_multi = 50,
                                         .next_multi_offset = 220};
}

static int setup(void **state)
{
    struct render_xacts_request r = limits();

    memset(&disk, 0, sizeof(disk));
    put_xact(800, COMMITTED);
    put_xact(801, ABORTED);
    put_xact(802, SUBCOMMITTED);
    put_xact(805, COMMITTED);
    *state = render_xacts_new(&r);
    return 0;
}

static int teardown(void **state)
{
    render_xacts_free(*state);
    return 0;
}

static void again(void **state, struct render_xacts_request r)
{
    render_xacts_free(*state);
    *state = render_xacts_new(&r);
}

static int shows(void **state, uint32_t xmin, uint32_t xmax, unsigned mask)
{
    const char *fault = NULL;
    char row[24];
    int rc;

    heapbytes_header(row, (struct heapbytes_row){.xmin = xmin, .xmax = xmax, .mask = mask});
    rc = render_xacts_shows(*state, row, &fault);
    assert_int_equal(rc < 0, fault != NULL);
    return rc;
}

static void only_commits_are_commits(void **state)
{
    const char *fault = NULL;
    uint32_t xid;

    for (xid = 0; xid < 1000; xid++)
        assert_int_equal(render_xacts_committed(*state, xid, &fault),
                         xid == 1 || xid == 2 || xid == 800 || xid == 805);
    assert_null(fault);
    assert_int_equal(disk.reads, 1);
}

static void what_was_never_begun_is_a_fault(void **state)
{
    const char *fault = NULL;

    assert_int_equal(render_xacts_committed(*state, 1000, &fault), -EIO);
    assert_string_equal(fault, "a row's transaction was never begun");
    assert_int_equal(render_xacts_committed(*state, 1000000, &fault), -EIO);
    assert_int_equal(disk.reads, 0);
}

static void numbers_of_transactions_go_round(void **state)
{
    const char *fault = NULL;

    put_xact(0xfffffff0, COMMITTED);
    assert_int_equal(render_xacts_committed(*state, 0xfffffff0, &fault), 1);
    assert_int_equal(render_xacts_committed(*state, 0xfffffff1, &fault), 0);
    assert_int_equal(render_xacts_committed(*state, 0x7fffffff, &fault), -EIO);
    assert_string_equal(fault, "a row's transaction was never begun");
}

static void what_pg_xact_lacks_is_a_fault(void **state)
{
    const char *fault = NULL;

    assert_int_equal(render_xacts_committed(*state, 0xf0000000, &fault), -EIO);
    assert_string_equal(fault, "a row's transaction is older than what pg_xact still has");
    disk.n = 0;
    assert_int_equal(render_xacts_committed(*state, 800, &fault), -EIO);
    assert_string_equal(fault, "a row's transaction is missing in pg_xact");
    disk.rc = -EACCES;
    assert_int_equal(render_xacts_committed(*state, 800, &fault), -EACCES);
    assert_string_equal(fault, "pg_xact cannot be read");
    disk.rc = 0;
    put_xact(800, COMMITTED); /* nothing wrong was kept */
    assert_int_equal(render_xacts_committed(*state, 800, &fault), 1);
}

static void hints_are_believed(void **state)
{
    disk.n = 0; /* nothing else can be asked */
    assert_int_equal(shows(state, 801, 0, 0x0900), 1);
    assert_int_equal(shows(state, 800, 0, 0x0a00), 0);
    assert_int_equal(shows(state, 5, 0, 0x0b00), 1);     /* frozen */
    assert_int_equal(shows(state, 800, 801, 0x0500), 0); /* deleted */
    assert_int_equal(shows(state, 800, 801, 0x0d00), 1); /* not deleted */
    assert_int_equal(shows(state, 800, 805, 0xc900), 1); /* moved long ago, and said so */
    assert_int_equal(shows(state, 800, 805, 0xc200), 0);
}

static void without_hints_pg_xact_tells(void **state)
{
    assert_int_equal(shows(state, 800, 0, 0), 1);
    assert_int_equal(shows(state, 801, 0, 0x0800), 0);
    assert_int_equal(shows(state, 802, 0, 0x0800), 0);
    assert_int_equal(shows(state, 803, 0, 0x0800), 0);
    assert_int_equal(shows(state, 0, 0, 0x0800), 0); /* an insertion that was taken back */
    assert_int_equal(shows(state, 1, 0, 0x0800), 1);
    assert_int_equal(shows(state, 2, 0, 0x0800), 1);
    assert_int_equal(shows(state, 800, 805, 0), 0);
    assert_int_equal(shows(state, 800, 801, 0), 1);
    assert_int_equal(shows(state, 800, 803, 0x100), 1);
    assert_int_equal(shows(state, 801, 805, 0), 0);
    assert_int_equal(shows(state, 1000, 0, 0x0800), -EIO);
    assert_int_equal(shows(state, 800, 1000, 0), -EIO);
    assert_int_equal(shows(state, 800, 0, 0x4800), -EIO); /* moved, nothing known of it */
    assert_int_equal(shows(state, 800, 0, 0x8800), -EIO);
}

static void locked_rows_are_there(void **state)
{
    assert_int_equal(shows(state, 800, 805, 0x0180), 1);
    assert_int_equal(shows(state, 800, 805, 0x0190), 1);
    assert_int_equal(shows(state, 800, 805, 0x01d0), 1);
    assert_int_equal(shows(state, 800, 805, 0x0140), 1); /* before 9.3: exclusive */
    assert_int_equal(shows(state, 800, 7, 0x1180), 1); /* before 9.3: shared, a multixact of then */
    assert_int_equal(shows(state, 800, 55, 0x1190), 1);
    assert_int_equal(shows(state, 800, 805, 0x0110), 0); /* no lock alone */
}

/* Multixact 55: a lock, an update by xid, a lock. */
static void put_update(uint32_t xid, unsigned status)
{
    put_offset(55, 201);
    put_offset(56, 204);
    put_member(201, 801, 0);
    put_member(202, xid, status);
    put_member(203, 805, 3);
}

static void updating_multixacts_tell_by_their_update(void **state)
{
    put_update(805, 4);
    assert_int_equal(shows(state, 800, 55, 0x1100), 0);
    again(state, limits());
    put_update(805, 5);
    assert_int_equal(shows(state, 800, 55, 0x1150), 0);
    assert_int_equal(shows(state, 800, 55, 0x1900), 1); /* but a hint says more */
    again(state, limits());
    put_update(801, 5);
    assert_int_equal(shows(state, 800, 55, 0x1500), 1);
    again(state, limits());
    put_update(801, 2);
    assert_int_equal(shows(state, 800, 55, 0x1100), 1);
}

static void the_last_multixact_ends_where_the_next_would_begin(void **state)
{
    put_offset(59, 219);
    put_member(219, 805, 5);
    assert_int_equal(shows(state, 800, 59, 0x1100), 0);
}

static void members_go_round(void **state)
{
    put_offset(55, 0xffffffff);
    put_offset(56, 2);
    put_member(0xffffffff, 801, 1);
    put_member(1, 805, 4); /* 0 is none */
    assert_int_equal(shows(state, 800, 55, 0x1100), 0);
}

static void multixacts_go_round(void **state)
{
    struct render_xacts_request r = limits();

    r.oldest_multi = 0xfffffff0;
    r.next_multi = 2;
    r.next_multi_offset = 300;
    again(state, r);
    put_offset(0xffffffff, 290);
    put_offset(1, 291);
    put_member(290, 805, 5);
    put_member(291, 801, 5);
    assert_int_equal(shows(state, 800, 0xffffffff, 0x1100), 0);
    assert_int_equal(shows(state, 800, 0, 0x1100), -EIO);
    r.next_multi = 0; /* as the server's counter is before it is used */
    again(state, r);
    r.next_multi_offset = 291;
    assert_int_equal(shows(state, 800, 0xffffffff, 0x1100), 0);
    assert_int_equal(shows(state, 800, 1, 0x1100), -EIO);
}

static void impossible_multixacts_are_faults(void **state)
{
    put_update(805, 4);
    assert_int_equal(shows(state, 800, 49, 0x1100), -EIO); /* forgotten */
    assert_int_equal(shows(state, 800, 60, 0x1100), -EIO); /* never made */
    assert_int_equal(shows(state, 800, 57, 0x1100), -EIO); /* without an offset */
    assert_int_equal(shows(state, 800, 56, 0x1100), -EIO); /* without an end */
    put_offset(56, 200);                                   /* ends before it begins */
    again(state, limits());
    assert_int_equal(shows(state, 800, 55, 0x1100), -EIO);
    put_offset(56, 201); /* no members */
    again(state, limits());
    assert_int_equal(shows(state, 800, 55, 0x1100), -EIO);
    put_offset(56, 201 + 100001); /* too many */
    again(state, limits());
    assert_int_equal(shows(state, 800, 55, 0x1100), -EIO);
}

static void damaged_members_are_faults(void **state)
{
    put_update(805, 6);
    assert_int_equal(shows(state, 800, 55, 0x1100), -EIO);
    put_update(0, 4);
    again(state, limits());
    assert_int_equal(shows(state, 800, 55, 0x1100), -EIO);
    put_update(1000, 4); /* never begun */
    again(state, limits());
    assert_int_equal(shows(state, 800, 55, 0x1100), -EIO);
    put_offset(55, 5000); /* a page that is missing */
    put_offset(56, 5001);
    again(state, limits());
    assert_int_equal(shows(state, 800, 55, 0x1100), -EIO);
    disk.rc = -EMFILE;
    again(state, limits());
    assert_int_equal(shows(state, 800, 55, 0x1100), -EMFILE);
}

static void insertions_are_judged_alone(void **state)
{
    const char *fault = NULL;
    char row[24];

    heapbytes_header(row, (struct heapbytes_row){.xmin = 800, .xmax = 805});
    assert_int_equal(render_xacts_inserted(*state, row, &fault), 1);
    heapbytes_header(row, (struct heapbytes_row){.xmin = 801, .mask = 0x100});
    assert_int_equal(render_xacts_inserted(*state, row, &fault), 1);
    heapbytes_header(row, (struct heapbytes_row){.xmin = 801});
    assert_int_equal(render_xacts_inserted(*state, row, &fault), 0);
    assert_null(fault);
}

static void *ask_much(void *x)
{
    const char *fault = NULL;
    uint32_t xid;
    intptr_t n = 0;

    for (xid = 3; xid < 1000; xid++)
        n += render_xacts_committed(x, xid, &fault);
    return (void *)n;
}

static void threads_may_ask_together(void **state)
{
    pthread_t t[4];
    void *n;
    int i;

    for (i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, ask_much, *state), 0);
    for (i = 0; i < 4; i++) {
        pthread_join(t[i], &n);
        assert_int_equal((intptr_t)n, 2);
    }
    assert_int_equal(disk.reads, 1);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(only_commits_are_commits),
        CASE(what_was_never_begun_is_a_fault),
        CASE(numbers_of_transactions_go_round),
        CASE(what_pg_xact_lacks_is_a_fault),
        CASE(hints_are_believed),
        CASE(without_hints_pg_xact_tells),
        CASE(locked_rows_are_there),
        CASE(updating_multixacts_tell_by_their_update),
        CASE(the_last_multixact_ends_where_the_next_would_begin),
        CASE(members_go_round),
        CASE(multixacts_go_round),
        CASE(impossible_multixacts_are_faults),
        CASE(damaged_members_are_faults),
        CASE(insertions_are_judged_alone),
        CASE(threads_may_ask_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
