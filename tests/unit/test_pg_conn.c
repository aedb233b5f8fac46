/* pg/conn.h: hiding passwords, targets in messages, how a transaction begins. No server is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/conn.h"
#include "pg/internal.h"
#include "pgexample.h"

/* ---- passwords ---- */

static void assert_scrubbed(const char *source, const char *expected)
{
    char *s = mem_strdup(source);

    pg_target_scrub(s);
    assert_string_equal(s, expected);
    free(s);
}

static void scrub_overwrites_the_password_in_place(void **state)
{
    (void)state;
    assert_scrubbed("host=h password=secret user=u", "host=h password=xxxxxx user=u");
    assert_scrubbed("password='two words' host=h", "password='xxxxxxxxx' host=h");
    assert_scrubbed("postgresql://u:secret@h:5432/db", "postgresql://u:xxxxxx@h:5432/db");
    assert_scrubbed("postgres://u@h/db?password=secret", "postgres://u@h/db?password=xxxxxx");
}

static void scrub_leaves_sources_without_a_password_alone(void **state)
{
    static const char *const sources[] = {"",
                                          "erp",
                                          "service=erp",
                                          "host=h user=u",
                                          "postgresql://u@h/db",
                                          "password='' host=h",
                                          "/srv/store",
                                          "host=password"};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(sources) / sizeof(*sources); i++)
        assert_scrubbed(sources[i], sources[i]);
}

/* Nothing of the secret may stay, in whatever form it is written; the rest may go with it. */
static void assert_hidden(const char *source, const char *secret)
{
    char *s = mem_strdup(source);

    pg_target_scrub(s);
    assert_true(strlen(s) <= strlen(source));
    if (strstr(s, secret))
        fail_msg("\"%s\" became \"%s\"", source, s);
    free(s);
}

static void scrub_hides_passwords_however_they_are_written(void **state)
{
    (void)state;
    assert_hidden("postgresql://u:p%40ss@h/db", "p%40ss");
    assert_hidden("postgresql://u:%73ecret@h/db", "%73ecret");
    assert_hidden("postgresql://u@h/db?password=%73ecret", "ecret");
    assert_hidden("host=h password='it\\'s'", "it");
    assert_hidden("host=h password=back\\\\slash", "slash");
    assert_hidden("host = h password = spaced", "spaced");
}

static void scrub_hides_passwords_that_occur_twice(void **state)
{
    (void)state;
    assert_hidden("user=secret password=secret", "secret");
    assert_hidden("postgresql://postgres:postgres@h/db", "postgres@");
    assert_hidden("postgresql://u:h@h/db", ":h@");
    assert_hidden("password=pass", "pass");
    assert_hidden("host=aaa password=aa", "password=aa");
}

static void scrub_is_not_led_astray_by_a_look_alike(void **state)
{
    (void)state;
    assert_hidden("postgresql://u:%61bc@abc/db", "%61bc"); /* the host looks like it */
    assert_hidden("host=it password='i\\t'", "i\\t");
    assert_hidden("postgresql://u:%70%77@h/pw", "%70%77");
}

static void scrub_hides_the_key_file_s_password_too(void **state)
{
    (void)state;
    assert_hidden("host=h sslkey=k sslpassword=secret", "secret");
    assert_hidden("host=h password=first sslpassword=second", "second");
}

static void scrub_hides_a_password_that_another_overrides(void **state)
{
    (void)state;
    assert_hidden("password=first password=second", "first");
    assert_hidden("postgresql://u:first@h/db?password=second", "first");
}

/* ---- targets ---- */

static void array_literals_hold_any_text(void **state)
{
    struct buf b = {0};

    (void)state;
    buf_putc(&b, '{');
    pg_put_element(&b, "");
    pg_put_element(&b, NULL);
    pg_put_element(&b, "NULL");
    pg_put_element(&b, "a \"b\" \\ {c,d}");
    assert_string_equal(b.data, "{\"\",NULL,\"NULL\",\"a \\\"b\\\" \\\\ {c,d}\"");
    buf_free(&b);
}

static void target_comes_back_from_a_message(void **state)
{
    struct pg_target t, got;
    struct buf b = {0};
    struct reader r;

    (void)state;
    pg_target_init(&t, "service=erp");
    t.hostaddr = mem_strdup("127.0.0.1");
    t.port = mem_strdup("5433");
    pg_target_put(&b, &t);
    r = (struct reader){.p = b.data, .left = b.len};
    pg_target_get(&r, &got);
    assert_true(reader_done(&r));
    assert_string_equal(got.source, "service=erp");
    assert_string_equal(got.host, ""); /* was NULL */
    assert_string_equal(got.hostaddr, "127.0.0.1");
    assert_string_equal(got.port, "5433");
    pg_target_free(&t);
    pg_target_free(&got);
    assert_null(got.source);
    buf_free(&b);
}

/* ---- how a transaction begins ---- */

static void assert_begins(struct pg_conn *conn, enum pg_access access, bool repeatable,
                          const char *expected)
{
    struct buf sql = {0};
    struct err err = {0};

    conn->timezone = (char *)(uintptr_t) "UTC";
    assert_int_equal(pg_begin_sql(conn, access, repeatable, &sql, &err), 0);
    assert_memory_equal(sql.data, expected, strlen(expected));
    assert_non_null(strstr(sql.data, "SET LOCAL search_path = '';"));
    assert_non_null(strstr(sql.data, ";SET LOCAL TimeZone = 'UTC'"));
    buf_free(&sql);
}

static void a_transaction_has_an_access_mode(void **state)
{
    assert_begins(*state, PG_READ_ONLY, true,
                  "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;");
    assert_begins(*state, PG_READ_ONLY, false,
                  "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ ONLY;");
    assert_begins(*state, PG_READ_WRITE, true,
                  "BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ WRITE;");
    assert_begins(*state, PG_READ_WRITE, false,
                  "BEGIN TRANSACTION ISOLATION LEVEL READ COMMITTED, READ WRITE;");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scrub_overwrites_the_password_in_place),
        cmocka_unit_test(scrub_leaves_sources_without_a_password_alone),
        cmocka_unit_test(scrub_hides_passwords_however_they_are_written),
        cmocka_unit_test(scrub_hides_passwords_that_occur_twice),
        cmocka_unit_test(scrub_is_not_led_astray_by_a_look_alike),
        cmocka_unit_test(scrub_hides_the_key_file_s_password_too),
        cmocka_unit_test(scrub_hides_a_password_that_another_overrides),
        cmocka_unit_test(target_comes_back_from_a_message),
        cmocka_unit_test(array_literals_hold_any_text),
        WITH_CONNECTION(a_transaction_has_an_access_mode),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
