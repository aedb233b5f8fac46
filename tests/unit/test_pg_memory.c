/* pg/recalled.h: answers that are kept, as bytes and back. (Against a server: tests/mount/memory.test.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/recalled.h"

#define SQL "SELECT 1"
#define OTHER_SQL "SELECT 2"

static const struct pg_wanted by_oid = {"ktI", 0, PG_MANY}, whole = {"ott", 0, PG_MANY};

static void add(struct pg_answer *a, const char *value)
{
    struct err err;

    assert_int_equal(pg_answer_add(a, value, value ? strlen(value) : 0, &err), 0);
}

static struct pg_memory *make_memory(void)
{
    static const char *const cells[] = {"7",  "seven", "-7", "12",         "",     NULL,
                                        "12", "twice", "0",  "4294967295", "last", "1"};
    struct pg_memory *m = mem_alloc(sizeof(*m));
    struct pg_answer *a = pg_answer_new(&by_oid);
    size_t i;

    for (i = 0; i < sizeof(cells) / sizeof(*cells); i++)
        add(a, cells[i]);
    pg_memory_keep(m, SQL, a);
    pg_answer_free(a);
    a = pg_answer_new(&whole);
    pg_memory_keep(m, OTHER_SQL, a);
    pg_answer_free(a);
    m->version = 170001;
    for (i = 0; i < PG_MEMORY_TEXTS; i++)
        m->server[i] = mem_printf("text %zu", i);
    return m;
}

static void check_rows(const struct pg_memory *m, const char *oids, size_t rows, const char *last)
{
    struct pg_answer *a;
    struct err err;

    assert_int_equal(pg_memory_answer(m, SQL, oids, &by_oid, &a, &err), 0);
    assert_int_equal(pg_rows(a), rows);
    if (rows)
        assert_string_equal(pg_text(a, rows - 1, 1), last);
    pg_answer_free(a);
}

static struct pg_memory *through_bytes(struct pg_memory *m, struct buf *b)
{
    struct pg_memory *again;

    pg_memory_put(m, b);
    pg_memory_free(m);
    again = pg_memory_get(b->data, b->len);
    assert_non_null(again);
    return again;
}

static void answers_are_those_of_the_relations_asked_for(void **state)
{
    struct buf b = {0};
    struct pg_memory *m = through_bytes(make_memory(), &b);
    struct pg_answer *a;
    struct pg_server server;
    struct err err;

    (void)state;
    check_rows(m, "{}", 0, NULL);
    check_rows(m, "{8,9}", 0, NULL);
    check_rows(m, "{12}", 2, "twice");
    check_rows(m, "{4294967295,7}", 2, "last");
    check_rows(m, "{12,7,12,4294967295}", 4, "last");
    assert_int_equal(pg_memory_answer(m, OTHER_SQL, "{7}", &whole, &a, &err), 0);
    assert_int_equal(pg_rows(a), 0);
    pg_answer_free(a);
    pg_memory_server(m, &server);
    assert_int_equal(server.version, 170001);
    assert_string_equal(server.version_text, "text 0");
    assert_string_equal(server.system_identifier, "text 6");
    pg_server_free(&server);
    pg_memory_free(m);
    buf_free(&b);
}

static void nulls_are_no_empty_texts(void **state)
{
    struct pg_memory *m = make_memory();
    struct pg_answer *a;
    struct err err;

    (void)state;
    assert_int_equal(pg_memory_answer(m, SQL, "{12}", &by_oid, &a, &err), 0);
    assert_false(pg_is_null(a, 0, 1));
    assert_true(pg_is_null(a, 0, 2));
    pg_answer_free(a);
    pg_memory_free(m);
}

static void what_is_not_what_is_wanted_is_refused(void **state)
{
    static const struct pg_wanted others[] = {{"kt", 0, PG_MANY},
                                              {"kti", 0, PG_MANY},
                                              {"kbI", 0, PG_MANY},
                                              {"ktI", 5, PG_MANY},
                                              {"ktI", 0, 3}};
    struct pg_memory *m = make_memory();
    struct pg_answer *a;
    struct err err;
    size_t i;

    (void)state;
    assert_int_equal(pg_memory_answer(m, SQL " ", "{7}", &by_oid, &a, &err), -EPROTO);
    for (i = 0; i < sizeof(others) / sizeof(*others); i++) {
        assert_int_equal(pg_memory_answer(m, SQL, "{7,12,4294967295}", &others[i], &a, &err),
                         -EPROTO);
        assert_null(a);
    }
    pg_memory_free(m);
}

static void what_is_cut_is_no_memory(void **state)
{
    struct buf b = {0};
    struct pg_memory *m = through_bytes(make_memory(), &b);
    char *exact;
    size_t n;

    (void)state;
    pg_memory_free(m);
    for (n = 0; n < b.len; n++) {
        exact = mem_alloc(n + 1); /* nothing is read beyond it */
        memcpy(exact, b.data, n);
        assert_null(pg_memory_get(exact, n));
        free(exact);
    }
    buf_putc(&b, 'x');
    assert_null(pg_memory_get(b.data, b.len));
    buf_free(&b);
}

static void what_is_damaged_is_no_memory_or_another(void **state)
{
    struct buf b = {0};
    struct pg_memory *m = through_bytes(make_memory(), &b);
    struct pg_answer *a;
    struct err err;
    size_t i, way;

    (void)state;
    pg_memory_free(m);
    for (i = 0; i < b.len; i++)
        for (way = 0; way < 3; way++) {
            char was = b.data[i];

            b.data[i] = way == 0 ? (char)~was : way == 1 ? '\0' : 't';
            m = pg_memory_get(b.data, b.len);
            b.data[i] = was;
            if (m && pg_memory_answer(m, SQL, "{7,12}", &by_oid, &a, &err) == 0)
                pg_answer_free(a);
            pg_memory_free(m);
        }
    buf_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_those_of_the_relations_asked_for),
        cmocka_unit_test(nulls_are_no_empty_texts),
        cmocka_unit_test(what_is_not_what_is_wanted_is_refused),
        cmocka_unit_test(what_is_cut_is_no_memory),
        cmocka_unit_test(what_is_damaged_is_no_memory_or_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
