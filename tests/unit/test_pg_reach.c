/* pg/reach.h: connection strings that are kept, and failures that stay. No server is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/internal.h"
#include "pg/reach.h"

static const char *value_of(const PQconninfoOption *opts, const char *keyword)
{
    for (; opts->keyword; opts++)
        if (strcmp(opts->keyword, keyword) == 0)
            return opts->val;
    return NULL;
}

/* It says of everything else the same, and nothing of a secret. */
static void assert_same_target(const char *source, const char *kept)
{
    PQconninfoOption *was = PQconninfoParse(source, NULL), *is = PQconninfoParse(kept, NULL), *o;

    assert_non_null(was);
    if (!is)
        fail_msg("\"%s\" became \"%s\"", source, kept);
    for (o = was; o->keyword; o++) {
        const char *now = value_of(is, o->keyword);

        if (strchr(o->dispchar, '*') ? now != NULL
                                     : !o->val != !now || (now && strcmp(o->val, now) != 0))
            fail_msg("\"%s\" became \"%s\": %s", source, kept, o->keyword);
    }
    PQconninfoFree(was);
    PQconninfoFree(is);
}

static void assert_kept(const char *source, const char *expected, bool password, bool others)
{
    struct pg_secrets left_out;
    struct err err;
    char *kept;

    assert_int_equal(pg_target_keep(source, &kept, &left_out, &err), 0);
    assert_string_equal(kept, expected);
    assert_int_equal(left_out.password, password);
    assert_int_equal(left_out.others, others);
    if (strcmp(source, expected) != 0)
        assert_same_target(source, kept);
    free(kept);
}

static void kept_as_given_without_a_password(void **state)
{
    static const char *const sources[] = {"",
                                          "erp",
                                          "a database's name",
                                          "password",
                                          "host=h user=u passfile=/p",
                                          "host = '' dbname='it\\'s'",
                                          "postgresql://u@h%2Fx/db?sslmode=disable",
                                          "postgres://",
                                          "host=password user=sslpassword"};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(sources) / sizeof(*sources); i++)
        assert_kept(sources[i], sources[i], false, false);
}

static void kept_without_the_password(void **state)
{
    (void)state;
    assert_kept("host=h password=secret user=u", "user='u' host='h'", true, false);
    assert_kept("password=secret", "", true, false);
    assert_kept("user=u password= host=h", "user='u'", true, false); /* that is \"host=h\" */
    assert_kept(" host = h  password = secret\n\tport =  5433 ", "host='h' port='5433'", true,
                false);
    assert_kept("user=secret password=secret", "user='secret'", true, false);
    assert_kept("passfile='/my pass' password=secret", "passfile='/my pass'", true, false);
}

static void kept_with_what_needs_quoting(void **state)
{
    (void)state;
    assert_kept("password='it\\'s' dbname='it\\'s'", "dbname='it\\'s'", true, false);
    assert_kept("password=back\\\\slash dbname=back\\\\slash", "dbname='back\\\\slash'", true,
                false);
    assert_kept("password='a b\\\\' user='a  b' host=''", "user='a  b' host=''", true, false);
    assert_kept("password='host=x' dbname='password=y'", "dbname='password=y'", true, false);
    assert_kept("options='-c a=\"b\"' password=\"p\"", "options='-c a=\"b\"'", true, false);
    assert_kept("user=größe password=p", "user='größe'", true, false);
}

static void kept_of_a_uri_is_spelled_out(void **state)
{
    (void)state;
    assert_kept("postgresql://u:secret@h:5433/db?sslmode=disable",
                "user='u' dbname='db' host='h' port='5433' sslmode='disable'", true, false);
    assert_kept("postgres://u%40x:%73%20@%2Frun%2Fpg/a%27b%5C",
                "user='u@x' dbname='a\\'b\\\\' host='/run/pg'", true, false);
    assert_kept("postgresql://u@h/db?password=%73ecret", "user='u' dbname='db' host='h'", true,
                false);
    assert_kept("postgresql://u:p@[::1]/", "user='u' host='::1'", true, false);
    assert_kept("postgresql://:p@/", "", true, false);
}

static void kept_with_all_hosts(void **state)
{
    (void)state;
    assert_kept("postgresql://u:p@one:1,two:2/db?target_session_attrs=primary",
                "user='u' dbname='db' host='one,two' port='1,2' target_session_attrs='primary'",
                true, false);
    assert_kept("host=/a,b port=5433, password=p", "host='/a,b' port='5433,'", true, false);
}

static void kept_without_the_key_file_s_password(void **state)
{
    (void)state;
    assert_kept("sslkey=k sslpassword=secret", "sslkey='k'", false, true);
    assert_kept("sslpassword=one host=h password=two", "host='h'", true, true);
}

static void kept_without_a_password_that_says_nothing(void **state)
{
    (void)state;
    assert_kept("password='' host=h", "host='h'", false, false);
    assert_kept("postgresql://u@h/?password=", "user='u' host='h'", false, false);
}

static void kept_without_either_of_two_passwords(void **state)
{
    (void)state;
    assert_kept("password=first host=h password=second", "host='h'", true, false);
    assert_kept("postgresql://u:first@h/db?password=second", "user='u' dbname='db' host='h'", true,
                false);
    assert_kept("password=first password=''", "", false, false);
}

static void what_is_no_connection_string_is_not_kept(void **state)
{
    static const char *const sources[] = {
        "password=two words",     "host='h password=p",       "=",
        "color=red password=p",   "postgresql://u:p@[::1/db", "postgres://u:p%zz@h/db",
        "host=h password='p' erp"};
    struct pg_secrets left_out;
    struct err err;
    char *kept;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
        assert_int_equal(pg_target_keep(sources[i], &kept, &left_out, &err), -EINVAL);
        assert_null(kept);
        assert_int_equal(err.code, EINVAL);
        assert_true(strlen(err.text) > 0);
    }
}

/* Of what cannot be read any part can be a secret: it is shown nowhere. */
static void what_cannot_be_read_is_not_shown(void **state)
{
    static const char *const sources[] = {
        "postgresql://u:S3cret%Pw@host/erp",
        "postgresql://u:S3cretPw@[::1/erp",
        "postgresql://u:S3/cret@host/erp",
        "postgresql://u:p@S3cret@host/erp",
        "host=h password=top S3cretPw",
        "host=h password=top S3cretPw=x",
        "host='h password=S3cret",
        "password='\"a\" S3cret",
        "host=h pwd=top S3cret",
    };
    struct pg_secrets left_out;
    struct err err;
    char *kept, *copy;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(sources) / sizeof(*sources); i++) {
        assert_int_equal(pg_target_keep(sources[i], &kept, &left_out, &err), -EINVAL);
        assert_null(strcasestr(err.text, "cret"));
        assert_null(strstr(err.text, "S3"));
        copy = mem_strdup(sources[i]);
        pg_target_scrub(copy);
        assert_int_equal(strspn(copy, "x"), strlen(sources[i]));
        free(copy);
    }
    assert_int_equal(pg_target_keep("colour=red", &kept, &left_out, &err), -EINVAL);
    assert_non_null(strstr(err.text, "invalid connection option \"colour\""));
}

static void what_came_from_the_environment_is_kept(void **state)
{
    struct pg_secrets left_out;
    struct err err;
    char *kept;

    (void)state;
    setenv("PGHOST", "/run/erp", 1);
    setenv("PGPASSFILE", "/srv/pass", 1);
    setenv("PGPASSWORD", "secret", 1);
    setenv("PGAPPNAME", "me", 1);
    assert_int_equal(pg_target_keep("user=walter", &kept, &left_out, &err), 0);
    assert_string_equal(kept, "user='walter' passfile='/srv/pass' host='/run/erp'");
    assert_true(left_out.password);
    free(kept);
    assert_int_equal(pg_target_keep("erp", &kept, &left_out, &err), 0);
    assert_string_equal(kept, "passfile='/srv/pass' dbname='erp' host='/run/erp'");
    free(kept);
    assert_int_equal(pg_target_keep("host=db passfile=/own password=a", &kept, &left_out, &err), 0);
    assert_string_equal(kept, "passfile='/own' host='db'");
    free(kept);
    unsetenv("PGHOST");
    unsetenv("PGPASSFILE");
    unsetenv("PGPASSWORD");
    unsetenv("PGAPPNAME");
}

static void failures_that_stay_are_told_from_those_that_pass(void **state)
{
    static const char refused[] = "connection to server on socket \"/s\" failed: FATAL:  28P01\n",
                      away[] = "connection to server on socket \"/s\" failed: No such file\n"
                               "\tIs the server running?\n",
                      starting[] = "connection to server failed: FATAL:  57P03\n",
                      full[] = "connection to server failed: FATAL:  53300\n";
    char both[512];

    (void)state;
    assert_true(pg_failure_stays(refused));
    assert_true(pg_failure_stays("connection failed: FATAL:  28000"));
    snprintf(both, sizeof(both), "%spassword retrieved from file \"/p\"\n", refused);
    assert_true(pg_failure_stays(both));
    assert_true(pg_failure_stays("connection failed: FATAL:  3D000\n"));
    assert_true(pg_failure_stays("connection failed: FATAL:  42501\n"));
    assert_false(pg_failure_stays(away));
    assert_false(pg_failure_stays(starting));
    assert_false(pg_failure_stays(full));
    assert_false(pg_failure_stays(""));
    assert_false(pg_failure_stays("28P01"));
    snprintf(both, sizeof(both), "%s%s", refused, away); /* one of two servers may come back */
    assert_false(pg_failure_stays(both));
    snprintf(both, sizeof(both), "%s%s", refused, refused);
    assert_true(pg_failure_stays(both));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_as_given_without_a_password),
        cmocka_unit_test(kept_without_the_password),
        cmocka_unit_test(kept_with_what_needs_quoting),
        cmocka_unit_test(kept_of_a_uri_is_spelled_out),
        cmocka_unit_test(kept_with_all_hosts),
        cmocka_unit_test(kept_without_the_key_file_s_password),
        cmocka_unit_test(kept_without_a_password_that_says_nothing),
        cmocka_unit_test(kept_without_either_of_two_passwords),
        cmocka_unit_test(what_is_no_connection_string_is_not_kept),
        cmocka_unit_test(what_cannot_be_read_is_not_shown),
        cmocka_unit_test(what_came_from_the_environment_is_kept),
        cmocka_unit_test(failures_that_stay_are_told_from_those_that_pass),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
