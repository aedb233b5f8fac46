/* render/varlena.h: values of variable length, as they are, compressed, or in TOAST. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <lz4.h>
#include <stdlib.h>
#include <string.h>

#include "heapbytes.h"
#include "render/toast.h"
#include "render/varlena.h"
#include "render/xacts.h"

#define PGLZ_ABC "\010abc\3\3" /* 9 bytes: abcabcabc */
#define PGLZ_ABC_LEN 6u

struct fixture {
    struct render_work w;
    char page[RENDER_BLOCK]; /* the TOAST table */
    struct render_xacts *xacts;
};

static int read_page(void *arg, uint64_t block, unsigned n, char *pages)
{
    (void)block;
    (void)n;
    memcpy(pages, arg, RENDER_BLOCK);
    return 0;
}

static int setup(void **state)
{
    struct render_xacts_request r = {.next_xid = 1000};
    struct fixture *f = calloc(1, sizeof(*f));

    render_work_init(&f->w, NULL);
    heapbytes_page(f->page);
    f->xacts = render_xacts_new(&r);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    render_toast_free(f->w.toast);
    render_work_free(&f->w);
    render_xacts_free(f->xacts);
    free(f);
    return 0;
}

/* From memory of exactly that size. Frees what is compared with a value as it stands. */
/* A value that is appended, and one that is looked through: the same, or the same fault. */
static void open_otherwise(struct fixture *f, const char *p, size_t n, int rc, const char *fault,
                           const char *want, size_t len)
{
    static const uint8_t kinds[256] = {['x'] = 1, ['b'] = 2};
    struct out o = {0};
    struct render_value v;
    unsigned seen, enough;
    size_t mark = f->w.used;

    out_put(&o, "ab", 2);
    f->w.fault = NULL;
    assert_int_equal(render_varlena_append(&f->w, p, n, &o), rc);
    assert_ptr_equal(f->w.fault, fault);
    if (rc == 0) {
        assert_int_equal(o.n, 2 + len);
        assert_memory_equal(o.p, "ab", 2);
        assert_memory_equal(o.p + 2, want, len);
    }
    out_free(&o);
    for (enough = 0; enough < 4; enough++) {
        f->w.used = mark;
        assert_int_equal(render_varlena_look(&f->w, p, n, kinds, enough, &v, &seen), rc);
        if (rc < 0)
            continue;
        assert_int_equal(v.len, len);
        if (v.p)
            assert_memory_equal(v.p, want, len);
        else
            assert_int_equal(seen,
                             (memchr(want, 'x', len) ? 1 : 0) | (memchr(want, 'b', len) ? 2 : 0));
    }
    f->w.used = mark;
}

static int open_value(struct fixture *f, const char *p, size_t n, const char *want, size_t len)
{
    char *copy = malloc(n);
    size_t size, mark = f->w.used;
    struct render_value v;
    int rc;

    memcpy(copy, p, n);
    size = varlena_size(copy, n);
    assert_int_equal(size, n);
    f->w.fault = NULL;
    rc = render_varlena(&f->w, copy, size, &v);
    assert_int_equal(rc < 0, f->w.fault != NULL);
    if (rc == 0) {
        assert_int_equal(v.len, len);
        if (len)
            assert_memory_equal(v.p, want, len);
    }
    f->w.used = mark;
    if (varlena_is_closed(copy))
        open_otherwise(f, copy, size, rc, f->w.fault, want, len);
    free(copy);
    return rc;
}

static void expect_fault(struct fixture *f, const char *p, size_t n, const char *fault)
{
    assert_int_equal(open_value(f, p, n, NULL, 0), -EIO);
    assert_string_equal(f->w.fault, fault);
}

static void values_as_they_stand(void **state)
{
    struct fixture *f = *state;
    char p[20];

    assert_int_equal(open_value(f, "\7ab", 3, "ab", 2), 0);
    assert_int_equal(open_value(f, "\3", 1, "", 0), 0);
    heapbytes_u32(p, 4 << 2);
    assert_int_equal(open_value(f, p, 4, "", 0), 0);
    heapbytes_u32(p, 9 << 2);
    memcpy(p + 4, "hello", 5);
    assert_int_equal(open_value(f, p, 9, "hello", 5), 0);
    assert_int_equal(f->w.nbuffers, 0);
}

static void sizes_that_cannot_be(void **state)
{
    char p[20] = {0};

    (void)state;
    assert_int_equal(varlena_size("", 0), 0);
    assert_int_equal(varlena_size("\7a", 2), 0);
    assert_int_equal(varlena_size(p, 3), 0);
    assert_int_equal(varlena_size(p, 4), 0);
    heapbytes_u32(p, 21 << 2);
    assert_int_equal(varlena_size(p, 20), 0);
    memcpy(p, "\1\22", 2);
    assert_int_equal(varlena_size(p, 18), 18);
    assert_int_equal(varlena_size(p, 17), 0);
    assert_int_equal(varlena_size(p, 1), 0);
    p[1] = 1; /* a pointer in memory, of a server that ran */
    assert_int_equal(varlena_size(p, 20), 0);
}

/* A compressed value that says it makes `size`. Returns its bytes. */
static size_t put_compressed(char *p, unsigned method, size_t size, const char *bytes, size_t n)
{
    heapbytes_u32(p, (uint32_t)(n + 8) << 2 | 2);
    heapbytes_u32(p + 4, (uint32_t)size | method << 30);
    memcpy(p + 8, bytes, n);
    return n + 8;
}

static void compressed_values(void **state)
{
    static const char text[] = "to be or not to be or to be or not to be or to be or not to be";
    struct fixture *f = *state;
    char p[300], small[200];
    size_t n;

    n = put_compressed(p, 0, 9, PGLZ_ABC, PGLZ_ABC_LEN);
    assert_int_equal(open_value(f, p, n, "abcabcabc", 9), 0);
    n = (size_t)LZ4_compress_default(text, small, sizeof(text), sizeof(small));
    n = put_compressed(p, 1, sizeof(text), small, n);
    assert_int_equal(open_value(f, p, n, text, sizeof(text)), 0);
}

static void damaged_compressed_values(void **state)
{
    struct fixture *f = *state;
    char p[300];
    size_t n;

    n = put_compressed(p, 0, 8, PGLZ_ABC, PGLZ_ABC_LEN);
    expect_fault(f, p, n, "a compressed value is damaged");
    n = put_compressed(p, 0, 0, PGLZ_ABC, PGLZ_ABC_LEN);
    expect_fault(f, p, n, "a compressed value has an impossible length");
    n = put_compressed(p, 0, 0x3fffffff, PGLZ_ABC, PGLZ_ABC_LEN);
    expect_fault(f, p, n, "a compressed value has an impossible length");
    n = put_compressed(p, 1, 1 << 20, PGLZ_ABC, PGLZ_ABC_LEN);
    expect_fault(f, p, n, "a compressed value has an impossible length");
    n = put_compressed(p, 2, 9, PGLZ_ABC, PGLZ_ABC_LEN);
    expect_fault(f, p, n, "a compressed value has an impossible length");
    heapbytes_u32(p, 6u << 2 | 2);
    expect_fault(f, p, 6, "a compressed value is too short");
    assert_true(f->w.nbuffers == 1 && f->w.buffers[0]->room < 4096);
}

static void put_pointer(char *p, size_t size, size_t stored, unsigned method, uint32_t value)
{
    p[0] = 1;
    p[1] = 18;
    heapbytes_u32(p + 2, (uint32_t)size + 4);
    heapbytes_u32(p + 6, (uint32_t)stored | method << 30);
    heapbytes_u32(p + 10, value);
    heapbytes_u32(p + 14, 16400);
}

static void put_chunk(struct fixture *f, uint32_t value, const char *bytes, size_t n)
{
    struct heapbytes_row row = {.xmin = 700, .mask = HEAPBYTES_NEW};

    assert_true(heapbytes_add_chunk(f->page, row, value, 0, bytes, n) > 0);
}

static void begin(struct fixture *f)
{
    struct render_pages pages = {.blocks = 1, .read = read_page, .arg = f->page};

    f->w.toast = render_toast_new(&pages, f->xacts, false, NULL);
}

static void values_in_toast(void **state)
{
    struct fixture *f = *state;
    char p[18], stored[50] = "\11\0\0\0" PGLZ_ABC;

    put_chunk(f, 20000, "as it is", 8);
    put_chunk(f, 20001, stored, 4 + PGLZ_ABC_LEN);
    stored[3] = 0x40; /* lz4: 9 bytes as they are */
    memcpy(stored + 4, "\220abcabcabc", 10);
    put_chunk(f, 20002, stored, 14);
    begin(f);
    put_pointer(p, 8, 8, 0, 20000);
    assert_int_equal(open_value(f, p, 18, "as it is", 8), 0);
    put_pointer(p, 14, 14, 0, 20002);
    assert_int_equal(open_value(f, p, 18, stored, 14), 0);
    put_pointer(p, 11, 4 + PGLZ_ABC_LEN, 0, 20001); /* of 9 bytes */
    expect_fault(f, p, 18, "a value in TOAST has another length than its pointer says");
    put_pointer(p, 11, 4 + PGLZ_ABC_LEN, 1, 20001);
    expect_fault(f, p, 18, "a value in TOAST has another length than its pointer says");
    put_pointer(p, 8, 7, 0, 20000);
    expect_fault(f, p, 18, "a chunk in the TOAST table has a wrong length");
    put_pointer(p, 8, 8, 0, 20009);
    expect_fault(f, p, 18, "a chunk is missing in the TOAST table");
}

/* 273 bytes of three, with one before and four of information: what PostgreSQL would store so. */
static void compressed_values_in_toast(void **state)
{
    struct fixture *f = *state;
    char p[18], stored[9] = "\22\1\0\0\2x\17\1\377", want[274];

    memset(want, 'x', sizeof(want));
    put_chunk(f, 20000, stored, sizeof(stored));
    begin(f);
    put_pointer(p, 274, sizeof(stored), 0, 20000);
    assert_int_equal(open_value(f, p, 18, want, 274), 0);
    assert_int_equal(f->w.nbuffers, 3);
    put_pointer(p, 274, sizeof(stored), 1, 20000);
    expect_fault(f, p, 18, "a value in TOAST has another length than its pointer says");
    put_pointer(p, 273, sizeof(stored), 0, 20000);
    expect_fault(f, p, 18, "a value in TOAST has another length than its pointer says");
    put_pointer(p, 274, 3, 0, 20000);
    expect_fault(f, p, 18, "a compressed value has an impossible length");
}

static void damaged_pointers(void **state)
{
    struct fixture *f = *state;
    char p[18];

    put_pointer(p, 8, 8, 0, 20000);
    expect_fault(f, p, 18, "a pointer to TOAST in a table that has none");
    begin(f);
    put_pointer(p, 0x40000000, 8, 0, 20000);
    expect_fault(f, p, 18, "a pointer to TOAST has an impossible length");
    put_pointer(p, 8, 9, 0, 20000);
    expect_fault(f, p, 18, "a pointer to TOAST has an impossible length");
    heapbytes_u32(p + 2, 3);
    expect_fault(f, p, 18, "a pointer to TOAST has an impossible length");
    put_pointer(p, 1000000, 100, 0, 20000);
    expect_fault(f, p, 18, "a compressed value has an impossible length");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(values_as_they_stand), CASE(sizes_that_cannot_be),
        CASE(compressed_values),    CASE(damaged_compressed_values),
        CASE(values_in_toast),      CASE(compressed_values_in_toast),
        CASE(damaged_pointers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
