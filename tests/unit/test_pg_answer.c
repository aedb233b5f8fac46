/* What a server answered: taken as it was wanted, refused otherwise, and never read beyond its end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "pg/answer.h"

/* A result of text columns; values: rows one after the other, NULL is NULL. */
static PGresult *make(int columns, int rows, const char *const *values)
{
    static char name[] = "c";
    PGresult *r = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
    PGresAttDesc c[4] = {0};
    int i;

    for (i = 0; i < columns; i++)
        c[i] = (PGresAttDesc){.name = name, .typid = 25, .typlen = -1};
    assert_true(PQsetResultAttrs(r, columns, c));
    for (i = 0; i < rows * columns; i++)
        assert_true(PQsetvalue(r, i / columns, i % columns, (char *)(uintptr_t)values[i],
                               values[i] ? (int)strlen(values[i]) : -1));
    return r;
}

/* *rc: of taking it and of its end. */
static struct pg_answer *take(const struct pg_wanted *w, int columns, int rows,
                              const char *const *values, int *rc, struct err *err)
{
    struct pg_answer *a = pg_answer_new(w);
    PGresult *r = make(columns, rows, values);

    err->text[0] = '\0';
    *rc = pg_answer_take(a, r, err);
    if (*rc == 0)
        *rc = pg_answer_end(a, err);
    PQclear(r);
    return a;
}

static void gives_what_it_was_given(void **state)
{
    static const struct pg_wanted w = {"tnlS", 1, 2};
    static const char *const v[] = {
        "a\tb", "18446744073709551615", "1/2A", "1700000000.25", "", "0", "0/0", NULL};
    struct err err;
    int rc;
    struct pg_answer *a = take(&w, 4, 2, v, &rc, &err);

    (void)state;
    assert_int_equal(rc, 0);
    assert_int_equal(pg_rows(a), 2);
    assert_string_equal(pg_text(a, 0, 0), "a\tb");
    assert_true(pg_number(a, 0, 1) == UINT64_MAX);
    assert_true(pg_lsn(a, 0, 2) == 0x10000002A);
    assert_true(pg_nanoseconds(a, 0, 3) == 1700000000250000000);
    assert_string_equal(pg_text(a, 1, 0), "");
    assert_false(pg_is_null(a, 1, 0));
    assert_true(pg_is_null(a, 1, 3));
    pg_answer_free(a);
}

static void gives_nothing_outside(void **state)
{
    static const struct pg_wanted w = {"tb", 0, PG_MANY};
    static const char *const v[] = {"x", "t"};
    struct err err;
    int rc;
    struct pg_answer *a = take(&w, 2, 1, v, &rc, &err);

    (void)state;
    assert_int_equal(rc, 0);
    assert_string_equal(pg_text(a, 1, 0), "");
    assert_string_equal(pg_text(a, 0, 2), "");
    assert_string_equal(pg_text(a, SIZE_MAX, 1), "");
    assert_int_equal(pg_number(a, 0, 0), 0);
    assert_false(pg_true(a, 5, 1));
    assert_true(pg_is_null(a, 1, 1));
    pg_answer_free(a);
}

static void assert_odd(const struct pg_wanted *w, int columns, int rows, const char *const *values,
                       const char *words)
{
    struct err err;
    int rc;
    struct pg_answer *a = take(w, columns, rows, values, &rc, &err);

    assert_int_equal(rc, -EPROTO);
    assert_memory_equal(err.text, "the server answered with ", 25);
    if (!strstr(err.text, words))
        fail_msg("%s lacks %s", err.text, words);
    pg_answer_free(a);
}

static void refuses_another_shape(void **state)
{
    static const struct pg_wanted one = {"t", 1, 1}, two = {"tt", 1, 1};
    static const char *const v[] = {"x", "y"};

    (void)state;
    assert_odd(&one, 1, 0, v, "0 rows where at least 1 were due");
    assert_odd(&one, 1, 2, v, "more than 1 row");
    assert_odd(&two, 1, 1, v, "1 column where 2 were asked for");
    assert_odd(&one, 2, 1, v, "2 columns where 1 were asked for");
    assert_odd(&two, 0, 0, v, "0 columns");
}

static void refuses_what_is_none(void **state)
{
    static const struct {
        const char *letter, *value, *words;
    } cases[] = {
        {"n", "abc", "\"abc\" where a number"},
        {"n", "", "\"\" where a number"},
        {"n", "-1", "a number"},
        {"n", "12x", "a number"},
        {"n", "18446744073709551616", "a number"},
        {"o", "4294967296", "a number"},
        {"i", "--1", "a number"},
        {"i", "9223372036854775808", "a number"},
        {"b", "true", "a boolean"},
        {"b", "", "a boolean"},
        {"l", "1", "a place on the log"},
        {"l", "1/2/3", "a place on the log"},
        {"s", "now", "a time"},
        {"s", "9223372037", "a time"},
        {"s", "1.5e3", "a time"},
        {"s", "1.", NULL},
        {"s", "-1.5", NULL},
        {"n", NULL, "NULL where a number"},
        {"t", NULL, "NULL where a text"},
        {"N", NULL, NULL},
        {"I", "-9223372036854775808", NULL},
        {"t", "anything", NULL},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct pg_wanted w = {cases[i].letter, 1, 1};
        struct err err;
        int rc;

        if (cases[i].words) {
            assert_odd(&w, 1, 1, &cases[i].value, cases[i].words);
            continue;
        }
        pg_answer_free(take(&w, 1, 1, &cases[i].value, &rc, &err));
        assert_int_equal(rc, 0);
    }
}

static void refuses_a_zero_byte(void **state)
{
    static const struct pg_wanted w = {"t", 1, 1};
    static const char *const v[] = {NULL};
    char bytes[] = "a\0b";
    struct pg_answer *a = pg_answer_new(&w);
    PGresult *r = make(1, 1, v);
    struct err err;

    (void)state;
    assert_true(PQsetvalue(r, 0, 0, bytes, 3));
    assert_int_equal(pg_answer_take(a, r, &err), -EPROTO);
    PQclear(r);
    pg_answer_free(a);
}

static void counts_over_all_parts(void **state)
{
    static const struct pg_wanted w = {"t", 1, 3};
    static const char *const v[] = {"x", "y"};
    struct pg_answer *a = pg_answer_new(&w);
    PGresult *r = make(1, 2, v);
    struct err err;

    (void)state;
    assert_int_equal(pg_answer_take(a, r, &err), 0);
    assert_int_equal(pg_answer_take(a, r, &err), -EPROTO);
    assert_int_equal(pg_rows(a), 3);
    assert_string_equal(pg_text(a, 2, 0), "x");
    PQclear(r);
    pg_answer_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gives_what_it_was_given), cmocka_unit_test(gives_nothing_outside),
        cmocka_unit_test(refuses_another_shape),   cmocka_unit_test(refuses_what_is_none),
        cmocka_unit_test(refuses_a_zero_byte),     cmocka_unit_test(counts_over_all_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
