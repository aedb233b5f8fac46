/* pg/: patterns, comparing catalogs, hiding and leaving out passwords, the text of
 * statements. No server is asked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/catalog.h"
#include "pg/copysql.h"
#include "pg/internal.h"
#include "pg/pattern.h"
#include "pg/reach.h"

/* ---- patterns ---- */

static void assert_pattern(const char *text, const char *schema, const char *name, bool exact)
{
    struct pg_pattern p;
    struct err err;

    assert_int_equal(pg_pattern_parse(text, &p, &err), 0);
    assert_string_equal(p.text, text);
    if (schema)
        assert_string_equal(p.schema, schema);
    else
        assert_null(p.schema);
    assert_string_equal(p.name, name);
    assert_int_equal(p.exact, exact);
    pg_pattern_free(&p);
}

static void pattern_folds_letters_outside_quotes(void **state)
{
    (void)state;
    assert_pattern("orders", NULL, "^(orders)$", true);
    assert_pattern("Orders_2", NULL, "^(orders_2)$", true);
    assert_pattern("\"Orders\"", NULL, "^(Orders)$", true);
    assert_pattern("Or\"DER\"s", NULL, "^(orDERs)$", true);
    assert_pattern("größe", NULL, "^(größe)$", true);
}

static void pattern_separates_the_schema(void **state)
{
    (void)state;
    assert_pattern("Sales.Orders", "^(sales)$", "^(orders)$", true);
    assert_pattern("\"a.b\".\"c.d\"", "^(a\\.b)$", "^(c\\.d)$", true);
    assert_pattern("*.orders", "^(.*)$", "^(orders)$", false);
    assert_pattern("\"\"\"\".x", "^(\")$", "^(x)$", true);
}

static void pattern_wildcards_are_those_of_psql(void **state)
{
    (void)state;
    assert_pattern("*", NULL, "^(.*)$", false);
    assert_pattern("o*s?", NULL, "^(o.*s.)$", false);
    assert_pattern("\"o*s?\"", NULL, "^(o\\*s\\?)$", true);
    assert_pattern("public.*", "^(public)$", "^(.*)$", false);
}

static void pattern_takes_a_dollar_for_a_letter(void **state)
{
    (void)state;
    assert_pattern("a$b", NULL, "^(a\\$b)$", true);
    assert_pattern("\"a$b\"", NULL, "^(a\\$b)$", true);
}

static void pattern_keeps_other_regular_expressions(void **state)
{
    (void)state;
    assert_pattern("t[0-9]+", NULL, "^(t[0-9]+)$", false);
    assert_pattern("(a|b)", NULL, "^((a|b))$", false);
    assert_pattern("a{2}", NULL, "^(a{2})$", false);
    assert_pattern("^a\\d", NULL, "^(^a\\d)$", false);
}

static void pattern_takes_empty_brackets_for_an_array(void **state)
{
    (void)state;
    assert_pattern("a[]", NULL, "^(a\\[\\])$", true);
    assert_pattern("[]a", NULL, "^(\\[\\]a)$", true);
}

static void pattern_quotes_every_special_character_in_quotes(void **state)
{
    (void)state;
    assert_pattern("\"|*+?()[]{}.^$\\\"", NULL, "^(\\|\\*\\+\\?\\(\\)\\[\\]\\{\\}\\.\\^\\$\\\\)$",
                   true);
}

static void pattern_doubled_quotes_are_quotes(void **state)
{
    (void)state;
    assert_pattern("\"say \"\"Hi\"\"\"", NULL, "^(say \"Hi\")$", true);
    assert_pattern("\"a\"\"b\"", NULL, "^(a\"b)$", true);
    assert_pattern("\"\"a", NULL, "^(a)$", true);
    assert_pattern("\"A\"\"\".x", "^(A\")$", "^(x)$", true);
}

static void assert_pattern_refused(const char *text, const char *why)
{
    struct pg_pattern p;
    struct err err = {0};

    assert_int_equal(pg_pattern_parse(text, &p, &err), -EINVAL);
    if (!strstr(err.text, why))
        fail_msg("pattern %s: \"%s\" does not say \"%s\"", text, err.text, why);
    assert_null(p.text);
    assert_null(p.schema);
    assert_null(p.name);
}

static void pattern_refusals_say_why(void **state)
{
    (void)state;
    assert_pattern_refused("", "missing");
    assert_pattern_refused("\"\"", "missing");
    assert_pattern_refused(".", "missing");
    assert_pattern_refused(".orders", "missing");
    assert_pattern_refused("sales.", "missing");
    assert_pattern_refused("sales..orders", "missing");
    assert_pattern_refused("sales.\"\"", "missing");
    assert_pattern_refused("db.sales.orders", "too many parts");
    assert_pattern_refused("a.b.", "too many parts");
    assert_pattern_refused("*.*.*", "too many parts");
    assert_pattern_refused("\"orders", "not closed");
    assert_pattern_refused("\"", "not closed");
    assert_pattern_refused("\"a\"\"", "not closed");
    assert_pattern_refused("sales.\"orders", "not closed");
    assert_pattern_refused("\"sales.orders", "not closed");
}

static void assert_written(const char *schema, const char *name, const char *pattern)
{
    char *text = pg_pattern_of(schema, name), *quoted = mem_printf("\"%s\".\"%s\"", schema, name);
    struct pg_pattern p, q;
    struct err err;

    assert_string_equal(text, pattern);
    assert_int_equal(pg_pattern_parse(text, &p, &err), 0);
    assert_true(p.exact);
    if (!strchr(name, '"')) { /* the same as with quotes around all of it */
        assert_int_equal(pg_pattern_parse(quoted, &q, &err), 0);
        assert_string_equal(p.schema, q.schema);
        assert_string_equal(p.name, q.name);
        pg_pattern_free(&q);
    }
    pg_pattern_free(&p);
    free(quoted);
    free(text);
}

static void a_table_is_written_as_the_pattern_that_names_it(void **state)
{
    (void)state;
    assert_written("public", "orders_2", "public.orders_2");
    assert_written("public", "Orders", "public.\"Orders\"");
    assert_written("a.b", "c d", "\"a.b\".\"c d\"");
    assert_written("public", "o*s?", "public.\"o*s?\"");
    assert_written("_x", "a$b", "_x.\"a$b\"");
    assert_written("größe", "1st", "größe.\"1st\"");
    assert_written("public", "!x", "public.\"!x\"");
    assert_written("public", "say \"Hi\"", "public.\"say \"\"Hi\"\"\"");
    assert_written("public", "|+()[]{}^\\", "public.\"|+()[]{}^\\\"");
}

/* ---- comparing catalogs ---- */

static struct pg_relation relation(uint32_t oid, char kind, const char *schema, const char *name)
{
    return (struct pg_relation){.oid = oid,
                                .kind = kind,
                                .schema = mem_strdup(schema),
                                .name = mem_strdup(name),
                                .bytes = 8192,
                                .blocks = 1,
                                .readable = true};
}

/* One plain table with two columns, and one partitioned with two leaves. */
static struct pg_catalog *example_catalog(void)
{
    struct pg_catalog *c = mem_alloc(sizeof(*c));
    struct pg_table *t;

    c->ntables = 2;
    c->tables = t = mem_array(2, sizeof(*t));
    t[0].rel = relation(100, 'r', "public", "items");
    t[0].ncolumns = 2;
    t[0].columns = mem_array(2, sizeof(*t[0].columns));
    t[0].columns[0] = (struct pg_column){.name = mem_strdup("id"), .type = 23};
    t[0].columns[1] = (struct pg_column){.name = mem_strdup("name"), .type = 25};
    t[1].rel = relation(200, 'p', "public", "orders");
    t[1].nleaves = 2;
    t[1].leaves = mem_array(2, sizeof(*t[1].leaves));
    t[1].leaves[0] = relation(201, 'r', "public", "orders_1");
    t[1].leaves[1] = relation(202, 'r', "public", "orders_2");
    return c;
}

static void rename_to(char **name, const char *other)
{
    free(*name);
    *name = mem_strdup(other);
}

static void change_oid(struct pg_catalog *c)
{
    c->tables[0].rel.oid++;
}

static void change_kind(struct pg_catalog *c)
{
    c->tables[0].rel.kind = 'p';
}

static void change_schema(struct pg_catalog *c)
{
    rename_to(&c->tables[1].rel.schema, "other");
}

static void change_name(struct pg_catalog *c)
{
    rename_to(&c->tables[1].rel.name, "other");
}

static void change_privilege(struct pg_catalog *c)
{
    c->tables[1].rel.readable = false;
}

static void change_row_security(struct pg_catalog *c)
{
    c->tables[1].rel.row_security = true;
}

static void change_column_name(struct pg_catalog *c)
{
    rename_to(&c->tables[0].columns[1].name, "label");
}

static void change_column_type(struct pg_catalog *c)
{
    c->tables[0].columns[1].type = 1043;
}

static void change_column_generated(struct pg_catalog *c)
{
    c->tables[0].columns[1].generated = true;
}

static void drop_column(struct pg_catalog *c)
{
    free(c->tables[0].columns[--c->tables[0].ncolumns].name);
}

static void change_leaf_oid(struct pg_catalog *c)
{
    c->tables[1].leaves[1].oid = 299;
}

static void change_leaf_name(struct pg_catalog *c)
{
    rename_to(&c->tables[1].leaves[0].name, "orders_0");
}

static void change_leaf_privilege(struct pg_catalog *c)
{
    c->tables[1].leaves[0].readable = false;
}

static void detach_leaf(struct pg_catalog *c)
{
    struct pg_relation *last = &c->tables[1].leaves[--c->tables[1].nleaves];

    free(last->schema);
    free(last->name);
}

static void drop_table(struct pg_catalog *c)
{
    struct pg_table *last = &c->tables[--c->ntables];

    free(last->rel.schema);
    free(last->rel.name);
    free(last->leaves[0].schema), free(last->leaves[0].name);
    free(last->leaves[1].schema), free(last->leaves[1].name);
    free(last->leaves);
}

static void catalogs_differ_by_every_change_that_matters(void **state)
{
    static void (*const changes[])(struct pg_catalog *) = {change_oid,
                                                           change_kind,
                                                           change_schema,
                                                           change_name,
                                                           change_privilege,
                                                           change_row_security,
                                                           change_column_name,
                                                           change_column_type,
                                                           change_column_generated,
                                                           drop_column,
                                                           change_leaf_oid,
                                                           change_leaf_name,
                                                           change_leaf_privilege,
                                                           detach_leaf,
                                                           drop_table};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(changes) / sizeof(*changes); i++) {
        struct pg_catalog *a = example_catalog(), *b = example_catalog();

        assert_true(pg_catalog_same(a, b));
        changes[i](b);
        if (pg_catalog_same(a, b) || pg_catalog_same(b, a))
            fail_msg("change %zu makes no difference", i);
        pg_catalog_free(a);
        pg_catalog_free(b);
    }
}

static void catalogs_with_a_refreshed_materialized_view_are_not_the_same(void **state)
{
    struct pg_catalog *a = example_catalog(), *b = example_catalog();

    (void)state;
    a->tables[0].rel.refreshed = b->tables[0].rel.refreshed = true;
    assert_false(pg_catalog_same(a, b));
    assert_false(pg_catalog_same(a, a));
    pg_catalog_free(a);
    pg_catalog_free(b);
}

static void catalogs_are_not_the_same_when_the_second_misses_something(void **state)
{
    struct pg_catalog *a = example_catalog(), *b = example_catalog();

    (void)state;
    a->gone = 1; /* before the snapshot */
    assert_true(pg_catalog_same(a, b));
    assert_false(pg_catalog_same(b, a));
    pg_catalog_free(a);
    pg_catalog_free(b);
}

static void catalogs_are_the_same_whatever_their_sizes(void **state)
{
    struct pg_catalog *a = example_catalog(), *b = example_catalog();

    (void)state;
    b->tables[0].rel.bytes = 1 << 20;
    b->tables[0].rel.blocks = 128;
    b->tables[1].leaves[0].bytes = 0;
    assert_true(pg_catalog_same(a, b));
    pg_catalog_free(a);
    pg_catalog_free(b);
}

static void catalog_counts_parents_and_leaves(void **state)
{
    struct pg_catalog *c = example_catalog(), *none = mem_alloc(sizeof(*none));

    (void)state;
    assert_int_equal(pg_catalog_count_relations(c), 4);
    assert_int_equal(pg_catalog_count_relations(none), 0);
    assert_true(pg_catalog_same(none, none));
    pg_catalog_free(c);
    pg_catalog_free(none);
    pg_catalog_free(NULL);
}

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

/* ---- connection strings that are kept ---- */

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

/* ---- targets ---- */

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

/* ---- statements ---- */

/* libpq quotes by the rules of a connection, which need not have come about. */
static int open_nowhere(void **state)
{
    static struct pg_conn conn;

    conn.pq = PQconnectdb("host=/nonexistent port=1");
    *state = &conn;
    return conn.pq && PQstatus(conn.pq) == CONNECTION_BAD ? 0 : -1;
}

static int close_nowhere(void **state)
{
    struct pg_conn *conn = *state;

    PQfinish(conn->pq);
    return 0;
}

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

static void assert_statement(struct pg_conn *conn, const struct pg_copy_source *s,
                             const char *expected)
{
    struct err err = {0};
    char *sql = NULL;

    assert_int_equal(pg_copy_sql(conn, s, &sql, &err), 0);
    assert_string_equal(sql, expected);
    free(sql);
}

static struct pg_copy_source source_of(const struct pg_table *t, const struct pg_relation *rel,
                                       enum pg_format format)
{
    return (struct pg_copy_source){
        .table = t, .rel = rel, .format = format, .header = true, .encoding = "UTF8"};
}

static void copy_of_a_plain_table_names_its_columns(void **state)
{
    struct pg_catalog *c = example_catalog();
    struct pg_table *t = &c->tables[0];
    struct pg_copy_source s = source_of(t, &t->rel, PG_FORMAT_CSV);

    assert_statement(*state, &s,
                     "COPY \"public\".\"items\" (\"id\", \"name\") TO STDOUT "
                     "(FORMAT csv, HEADER true, ENCODING 'UTF8')");
    s.header = false;
    assert_statement(*state, &s,
                     "COPY \"public\".\"items\" (\"id\", \"name\") TO STDOUT "
                     "(FORMAT csv, HEADER false, ENCODING 'UTF8')");
    s.format = PG_FORMAT_TEXT;
    assert_statement(*state, &s,
                     "COPY \"public\".\"items\" (\"id\", \"name\") TO STDOUT "
                     "(FORMAT text, ENCODING 'UTF8')");
    s.format = PG_FORMAT_BINARY;
    assert_statement(*state, &s,
                     "COPY \"public\".\"items\" (\"id\", \"name\") TO STDOUT "
                     "(FORMAT binary)");
    pg_catalog_free(c);
}

#define ITEMS_SELECT "COPY (SELECT \"id\", \"name\" FROM ONLY \"public\".\"items\" AS \"items\""

static void copy_of_a_block_range_selects_by_ctid(void **state)
{
    struct pg_catalog *c = example_catalog();
    struct pg_table *t = &c->tables[0];
    struct pg_copy_source s = source_of(t, &t->rel, PG_FORMAT_BINARY);

    s.range = (struct pg_copy_range){.from = 0, .until = 5};
    assert_statement(*state, &s,
                     ITEMS_SELECT " WHERE ctid >= '(0,0)' AND ctid < '(5,0)') "
                                  "TO STDOUT (FORMAT binary)");
    s.range = (struct pg_copy_range){.from = 5, .until = 4294967295};
    assert_statement(*state, &s,
                     ITEMS_SELECT " WHERE ctid >= '(5,0)' AND ctid < "
                                  "'(4294967295,0)') TO STDOUT (FORMAT binary)");
    s.range = (struct pg_copy_range){.from = 5};
    assert_statement(*state, &s, ITEMS_SELECT " WHERE ctid >= '(5,0)') TO STDOUT (FORMAT binary)");
    pg_catalog_free(c);
}

static void copy_with_a_filter_puts_it_in_parentheses(void **state)
{
    struct pg_catalog *c = example_catalog();
    struct pg_table *t = &c->tables[0];
    struct pg_copy_source s = source_of(t, &t->rel, PG_FORMAT_BINARY);

    t->filter = mem_strdup("a or b");
    assert_statement(*state, &s, ITEMS_SELECT " WHERE (a or b)) TO STDOUT (FORMAT binary)");
    s.range = (struct pg_copy_range){.from = 5, .until = 7};
    assert_statement(*state, &s,
                     ITEMS_SELECT " WHERE ctid >= '(5,0)' AND ctid < '(7,0)' AND (a or b)) "
                                  "TO STDOUT (FORMAT binary)");
    pg_catalog_free(c);
}

static void copy_selects_what_plain_copy_refuses(void **state)
{
    struct pg_catalog *c = example_catalog();
    struct pg_table *t = &c->tables[0], *p = &c->tables[1];
    struct pg_copy_source s = source_of(t, &t->rel, PG_FORMAT_BINARY);

    t->rel.kind = 'm';
    assert_statement(*state, &s, ITEMS_SELECT ") TO STDOUT (FORMAT binary)");
    t->rel.kind = 'r';
    t->columns[1].generated = true;
    assert_statement(*state, &s, ITEMS_SELECT ") TO STDOUT (FORMAT binary)");
    s = source_of(p, &p->leaves[0], PG_FORMAT_BINARY); /* has no columns */
    assert_statement(
        *state, &s,
        "COPY (SELECT  FROM ONLY \"public\".\"orders_1\" AS \"orders\") TO STDOUT (FORMAT binary)");
    pg_catalog_free(c);
}

static void copy_of_a_leaf_has_the_parent_s_columns(void **state)
{
    struct pg_catalog *c = example_catalog();
    struct pg_copy_source s = source_of(&c->tables[0], &c->tables[1].leaves[1], PG_FORMAT_BINARY);

    assert_statement(*state, &s,
                     "COPY \"public\".\"orders_2\" (\"id\", \"name\") TO STDOUT "
                     "(FORMAT binary)");
    pg_catalog_free(c);
}

static void statements_quote_every_name(void **state)
{
    struct pg_catalog *c = example_catalog();
    struct pg_table *t = &c->tables[0];
    struct pg_copy_source s = source_of(t, &t->rel, PG_FORMAT_TEXT);
    struct err err;
    char *sql;

    rename_to(&t->rel.schema, "my\"schema");
    rename_to(&t->rel.name, "x\"; DROP TABLE y; --");
    rename_to(&t->columns[0].name, "a\"b");
    s.encoding = "U'8";
    assert_statement(*state, &s,
                     "COPY \"my\"\"schema\".\"x\"\"; DROP TABLE y; --\" (\"a\"\"b\", \"name\") "
                     "TO STDOUT (FORMAT text, ENCODING 'U''8')");
    assert_int_equal(pg_lock_nowait_sql(*state, &t->rel, &sql, &err), 0);
    assert_string_equal(sql, "LOCK TABLE ONLY \"my\"\"schema\".\"x\"\"; DROP TABLE y; --\" "
                             "IN ACCESS SHARE MODE NOWAIT");
    free(sql);
    pg_catalog_free(c);
}

#define WITH_CONNECTION(f) cmocka_unit_test_setup_teardown(f, open_nowhere, close_nowhere)

static void formats_have_names_and_extensions(void **state)
{
    (void)state;
    assert_string_equal(pg_format_name(PG_FORMAT_CSV), "csv");
    assert_string_equal(pg_format_name(PG_FORMAT_TEXT), "text");
    assert_string_equal(pg_format_name(PG_FORMAT_BINARY), "binary");
    assert_string_equal(pg_format_extension(PG_FORMAT_CSV), ".csv");
    assert_string_equal(pg_format_extension(PG_FORMAT_TEXT), ".txt");
    assert_string_equal(pg_format_extension(PG_FORMAT_BINARY), ".bin");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pattern_folds_letters_outside_quotes),
        cmocka_unit_test(pattern_separates_the_schema),
        cmocka_unit_test(pattern_wildcards_are_those_of_psql),
        cmocka_unit_test(pattern_takes_a_dollar_for_a_letter),
        cmocka_unit_test(pattern_keeps_other_regular_expressions),
        cmocka_unit_test(pattern_takes_empty_brackets_for_an_array),
        cmocka_unit_test(pattern_quotes_every_special_character_in_quotes),
        cmocka_unit_test(pattern_doubled_quotes_are_quotes),
        cmocka_unit_test(pattern_refusals_say_why),
        cmocka_unit_test(a_table_is_written_as_the_pattern_that_names_it),
        cmocka_unit_test(catalogs_differ_by_every_change_that_matters),
        cmocka_unit_test(catalogs_with_a_refreshed_materialized_view_are_not_the_same),
        cmocka_unit_test(catalogs_are_not_the_same_when_the_second_misses_something),
        cmocka_unit_test(catalogs_are_the_same_whatever_their_sizes),
        cmocka_unit_test(catalog_counts_parents_and_leaves),
        cmocka_unit_test(scrub_overwrites_the_password_in_place),
        cmocka_unit_test(scrub_leaves_sources_without_a_password_alone),
        cmocka_unit_test(scrub_hides_passwords_however_they_are_written),
        cmocka_unit_test(scrub_hides_passwords_that_occur_twice),
        cmocka_unit_test(scrub_is_not_led_astray_by_a_look_alike),
        cmocka_unit_test(scrub_hides_the_key_file_s_password_too),
        cmocka_unit_test(scrub_hides_a_password_that_another_overrides),
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
        cmocka_unit_test(target_comes_back_from_a_message),
        cmocka_unit_test(formats_have_names_and_extensions),
        WITH_CONNECTION(a_transaction_has_an_access_mode),
        WITH_CONNECTION(copy_of_a_plain_table_names_its_columns),
        WITH_CONNECTION(copy_of_a_block_range_selects_by_ctid),
        WITH_CONNECTION(copy_with_a_filter_puts_it_in_parentheses),
        WITH_CONNECTION(copy_selects_what_plain_copy_refuses),
        WITH_CONNECTION(copy_of_a_leaf_has_the_parent_s_columns),
        WITH_CONNECTION(statements_quote_every_name),
    };

    return cmocka_run_group_tests_name("pg", tests, NULL, NULL);
}
