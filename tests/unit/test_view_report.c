/* view/report.h: the files of .asofs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "view/describe.h"
#include "view/report.h"
#include "viewfixture.h"

static void assert_report(struct view *v, enum meta_file which, const char *expected)
{
    char *text = viewfixture_report(v, which);

    assert_string_equal(text, expected);
    free(text);
}

static void report_of_tables_has_a_line_for_each(void **state)
{
    struct view *v = *state;
    struct table_result *r = viewfixture_results(v)->tables;

    r[0].started_at = 2000, r[0].ended_at = 4500;
    r[1].bytes = 100, r[1].under_way = 20;
    assert_report(
        v, META_TABLES,
        TABLES_HEAD
        "public,items,public/"
        "items.csv,table,complete,12,15,24576,3,2.500,0000000000000abc,,,copy,\n"
        "public,\"a,b\",\"public/a,b.csv\",partitioned table,waiting,0,120,8192,1,0.000,,,,copy,\n"
        "s,\"\"\"m\"\"\",\"s/\"\"m\"\".csv\",materialized "
        "view,waiting,0,0,8192,1,0.000,,,,copy,\n");
}

static void report_of_errors_is_empty_when_there_are_none(void **state)
{
    assert_report(*state, META_ERRORS, "");
}

static void reports_say_why_a_table_failed(void **state)
{
    struct view *v = *state;
    char *text;

    viewfixture_fail(v, 1, "no, \"never\"");
    assert_report(v, META_ERRORS, "public/a,b.csv: no, \"never\"\n");
    text = viewfixture_report(v, META_TABLES);
    assert_non_null(strstr(text, ",failed,0,0,8192,1,0.000,,\"no, \"\"never\"\"\",,copy,\n"));
    free(text);
}

static json_t *json_of(struct view *v, enum meta_file which)
{
    char *text = viewfixture_report(v, which);
    json_t *j;

    assert_int_equal(text[strlen(text) - 1], '\n');
    j = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(j);
    free(text);
    return j;
}

/* The value at "a.b" as text; "" when there is none. */
static const char *json_at(json_t *j, const char *path, char *out, size_t room)
{
    const char *dot = strchr(path, '.');
    json_t *v = j;

    if (dot)
        v = json_object_getn(v, path, (size_t)(dot - path));
    v = json_object_get(v, dot ? dot + 1 : path);
    if (json_is_string(v))
        snprintf(out, room, "%s", json_string_value(v));
    else if (json_is_boolean(v))
        snprintf(out, room, "%s", json_is_true(v) ? "true" : "false");
    else
        snprintf(out, room, v ? "%g" : "", json_number_value(v));
    return out;
}

static void assert_json(json_t *j, const char *path, const char *expected)
{
    char got[128];

    assert_string_equal(json_at(j, path, got, sizeof(got)), expected);
}

static void report_of_the_snapshot_is_json(void **state)
{
    struct view *v = *state;
    json_t *j;

    viewfixture_results(v)->joined = 2;
    j = json_of(v, META_SNAPSHOT);
    assert_json(j, "moment", "2026-11-16T08:00:00.123456Z");
    assert_json(j, "lsn", "0/16B3748");
    assert_json(j, "lsn_from", "");
    assert_json(j, "protocol", "export");
    assert_json(j, "server.version", "15.4");
    assert_json(j, "server.source", "erp@db1");
    assert_json(j, "server.in_recovery", "false");
    assert_json(j, "settings.server_encoding", "LATIN1");
    assert_json(j, "settings.format", "csv");
    assert_json(j, "workers.asked", "3");
    assert_json(j, "workers.joined", "2");
    json_decref(j);
}

static void report_of_the_snapshot_is_json_whatever_the_names(void **state)
{
    struct view *v = viewfixture_view("caf\xe9\"\\@db1", NULL);
    json_t *j = json_of(v, META_SNAPSHOT);

    (void)state;
    assert_json(j, "server.source", "caf\\xe9\"\\@db1");
    assert_json(j, "server.database", "erp");
    json_decref(j);
    view_free(v);
}

static void report_of_the_state_counts(void **state)
{
    struct view *v = *state;
    struct results *r = viewfixture_results(v);
    json_t *j = json_of(v, META_STATUS);

    assert_json(j, "state", "extracting");
    assert_json(j, "source_held", "true");
    json_decref(j);
    r->tables[1].state = TABLE_RUNNING;
    r->tables[1].under_way = 85;
    j = json_of(v, META_STATUS);
    assert_json(j, "tables.all", "3");
    assert_json(j, "tables.complete", "1");
    assert_json(j, "tables.running", "1");
    assert_json(j, "tables.waiting", "1");
    assert_json(j, "tables.failed", "0");
    assert_json(j, "rows", "12");
    assert_json(j, "bytes", "100");
    assert_json(j, "chunks", "5");
    assert_json(j, "estimated_bytes", "40960");
    assert_json(j, "estimated_bytes_done", "24576");
    json_decref(j);
}

static void report_of_the_state_at_the_end_stands_still(void **state)
{
    struct view *v = *state;
    struct results *r = viewfixture_results(v);
    json_t *j;

    r->released = r->ended = true;
    r->released_at = 3200, r->ended_at = 4000;
    viewfixture_complete(v, 1, viewfixture_text(""), 0, 0);
    viewfixture_complete(v, 2, viewfixture_text(""), 0, 0);
    j = json_of(v, META_STATUS);
    assert_json(j, "state", "complete");
    assert_json(j, "source_held", "false");
    assert_json(j, "held_seconds", "2");
    assert_json(j, "freeze_seconds", "0.5");
    assert_json(j, "extract_seconds", "2.5");
    json_decref(j);
    viewfixture_fail(v, 2, "gone");
    j = json_of(v, META_STATUS);
    assert_json(j, "state", "failed");
    json_decref(j);
}

/* Of a page view: table 1 is rendered, table 2 is not. */
static void what_is_rendered_is_ready_before_its_size_is_known(void **state)
{
    struct view *v = *state;
    struct snapshot *s = v->members[0].snapshot;
    struct results *r = viewfixture_results(v);
    bool rendered[] = {false, true, false};
    char reason[] = "row filter";
    struct described_table tables[] = {{.copied = reason}, {.copied = NULL}, {.copied = reason}};
    struct described described = {.tables = tables, .ntables = 3};
    char *text;
    json_t *j;

    s->rendered = rendered;
    s->described = &described;
    r->released = r->ended = true;
    viewfixture_complete(v, 2, viewfixture_text(""), 0, 0);
    text = viewfixture_report(v, META_TABLES);
    assert_non_null(strstr(text, "partitioned table,ready,0,0,8192,1,0.000,,,,heap,\n"));
    assert_non_null(
        strstr(text, "materialized view,complete,0,0,8192,1,0.000,,,,copy,row filter\n"));
    free(text);
    j = json_of(v, META_STATUS);
    assert_json(j, "state", "complete");
    assert_json(j, "tables.ready", "1");
    assert_json(j, "tables.waiting", "0");
    json_decref(j);
    s->rendered = NULL;
    text = viewfixture_report(v, META_TABLES);
    assert_non_null(strstr(text, ",copy,quicker so\n"));
    free(text);
    s->described = NULL;
    assert_true(report_is_of_results(META_TABLES));
    assert_false(report_is_of_results(META_SCHEMA));
}

static void report_of_the_schema_is_what_pg_dump_said(void **state)
{
    struct view *v = *state;

    assert_report(v, META_SCHEMA, "");
    buf_puts(&viewfixture_results(v)->schema, "CREATE TABLE items ();\n");
    assert_report(v, META_SCHEMA, "CREATE TABLE items ();\n");
}

static void reports_without_definitions_say_why(void **state)
{
    struct view *v = viewfixture_view("erp", "pg_dump exited\nwith two lines");

    (void)state;
    assert_report(v, META_ERRORS, "schema.sql could not be made: pg_dump exited\nwith two lines\n");
    assert_report(v, META_SCHEMA,
                  "-- The definitions could not be read:\n-- pg_dump exited\n"
                  "-- with two lines\n");
    view_free(v);
}

#define WITH_VIEW(f) cmocka_unit_test_setup_teardown(f, viewfixture_set_up, viewfixture_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_VIEW(report_of_tables_has_a_line_for_each),
        WITH_VIEW(report_of_errors_is_empty_when_there_are_none),
        WITH_VIEW(reports_say_why_a_table_failed),
        WITH_VIEW(report_of_the_snapshot_is_json),
        cmocka_unit_test(report_of_the_snapshot_is_json_whatever_the_names),
        WITH_VIEW(report_of_the_state_counts),
        WITH_VIEW(report_of_the_state_at_the_end_stands_still),
        WITH_VIEW(what_is_rendered_is_ready_before_its_size_is_known),
        WITH_VIEW(report_of_the_schema_is_what_pg_dump_said),
        cmocka_unit_test(reports_without_definitions_say_why),
    };

    return cmocka_run_group_tests_name("view/report", tests, NULL, NULL);
}
