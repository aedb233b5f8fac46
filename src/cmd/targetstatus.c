#include "cmd/targetstatus.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/subcommand.h"
#include "common/mem.h"
#include "common/printable.h"
#include "common/stop.h"
#include "common/units.h"
#include "pg/record.h"
#include "pg/recordparts.h"

#define SILENCE_MS 60000

int target_look_set(void *target, const char *value, struct err *err)
{
    char **to = target;

    (void)err;
    free(*to);
    *to = mem_strdup(value);
    pg_target_scrub((char *)(uintptr_t)value);
    return 0;
}

void target_look_free(struct target_look *look)
{
    free(look->target);
    free(look->name);
    free(look->newer_than);
}

static int look_at(const struct target_look *look, const char *called, int stop_fd,
                   struct pg_conn **conn, struct err *err)
{
    struct pg_session session = {.application_name = called,
                                 .timezone = "UTC",
                                 .stop_fd = stop_fd,
                                 .connect_timeout_ms = SILENCE_MS,
                                 .query_timeout_ms = SILENCE_MS};
    struct pg_target target;
    int rc;

    pg_target_init(&target, look->target);
    rc = pg_conn_open(conn, &target, &session, err);
    pg_target_free(&target);
    return rc;
}

/* ---- one copy ---- */

/* A copy that has not been current yet has a list, and no label. */
struct copy {
    const char *name;
    const struct pg_record_view *label; /* NULL: none */
    const struct pg_record_entry *entries;
    size_t n;
    struct pg_record_parts parts;
};

static const char *or_dash(const char *s)
{
    return *s ? s : "-";
}

static void print_entry(const struct pg_record_entry *e)
{
    char rows[24] = "-";

    if (*e->loaded_at)
        snprintf(rows, sizeof(rows), "%llu", (unsigned long long)e->rows);
    printable_out("%-27s  %-27s %12s  %s.%s%s%s\n", or_dash(e->cleared_at), or_dash(e->loaded_at),
                  rows, e->schema, e->name, *e->filter ? " WHERE " : "", e->filter);
}

static bool was_cut_off(const struct copy *c)
{
    return c->parts.of && c->parts.is_over;
}

/* The list is that of the last run, which need not have come to anything. */
static bool is_listed_as_current(const struct copy *c)
{
    size_t i;

    for (i = 0; i < c->n; i++)
        if (!*c->entries[i].loaded_at ||
            strcmp(c->entries[i].loaded_at, c->label->published_at) > 0)
            return false;
    return true;
}

static void print_parts(const struct copy *c)
{
    if (c->parts.of)
        printf("Parts loaded%s: %llu of %llu, %llu rows.\n",
               was_cut_off(c) ? " when it was cut off" : "", (unsigned long long)c->parts.done,
               (unsigned long long)c->parts.of, (unsigned long long)c->parts.rows);
    else if (c->label && strcmp(c->label->state, "current") == 0 && c->parts.is_over &&
             !is_listed_as_current(c))
        puts("The list is of a later copy, which failed.");
}

static void print_label(const struct copy *c)
{
    const struct pg_record_view *v = c->label;
    const char *ended = v && was_cut_off(c) && strcmp(v->state, "loading") == 0
                            ? ", but nobody does: it was cut off"
                            : "";

    if (!v)
        printable_out("%s: not current%s\n", c->name,
                      c->parts.is_over ? ", and nobody makes it so: no copy of it is under way"
                                       : " yet");
    else if (!*v->moment)
        printable_out("%s: %s%s\n", c->name, v->state, ended);
    else if (strcmp(v->state, "lost") == 0)
        printable_out(
            "%s: lost: a crash or a restore has emptied its unlogged tables, or this is a "
            "standby, which has none of their rows; it was current as of %s, published at "
            "%s\n",
            c->name, v->moment, v->published_at);
    else if (strcmp(v->state, "current") != 0)
        printable_out("%s: %s%s; it was current as of %s, published at %s\n", c->name, v->state,
                      ended, v->moment, v->published_at);
    else
        printable_out("%s as of %s: %s, %llu table%s, %llu rows, from %s, published at %s\n",
                      c->name, v->moment, v->state, (unsigned long long)v->tables,
                      units_s((size_t)v->tables), (unsigned long long)v->rows, v->source,
                      v->published_at);
}

static void print_copy(const struct copy *c)
{
    size_t i;

    printf("%-27s  %-27s %12s  %s\n", "cleared", "loaded", "rows", "table");
    for (i = 0; i < c->n; i++)
        print_entry(&c->entries[i]);
    print_parts(c);
    print_label(c);
}

/* ---- as JSON ---- */

static json_t *text_or_null(const char *s)
{
    struct buf b = {0};
    json_t *j = *s ? json_string(s) : json_null();

    if (!j) { /* of a database whose encoding is not known */
        printable_put(&b, s, "");
        j = json_string(b.data);
        buf_free(&b);
    }
    return j;
}

static json_t *entry_json(const struct pg_record_entry *e)
{
    json_t *rows = *e->loaded_at ? json_integer((json_int_t)e->rows) : json_null();

    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "schema", text_or_null(e->schema), "name",
                     text_or_null(e->name), "filter", text_or_null(e->filter), "cleared_at",
                     text_or_null(e->cleared_at), "loaded_at", text_or_null(e->loaded_at), "rows",
                     rows, "xxh3", text_or_null(e->checksum));
}

static json_t *copy_json(const struct copy *c)
{
    static const struct pg_record_view none = {"", "", "", "", "", "", 0, 0};
    const struct pg_record_view *v = c->label ? c->label : &none;
    json_t *list = json_array();
    size_t i;

    for (i = 0; i < c->n; i++)
        json_array_append_new(list, entry_json(&c->entries[i]));
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:I,s:I,s:o,s:{s:I,s:I,s:I},s:b,s:o}", "name",
                     text_or_null(c->name), "state", text_or_null(v->state), "moment",
                     text_or_null(v->moment), "lsn", text_or_null(v->lsn), "source",
                     text_or_null(v->source), "tables", (json_int_t)v->tables, "rows",
                     (json_int_t)v->rows, "published_at", text_or_null(v->published_at), "parts",
                     "done", (json_int_t)c->parts.done, "of", (json_int_t)c->parts.of, "rows",
                     (json_int_t)c->parts.rows, "cut_off", was_cut_off(c), "list", list);
}

static void print_json(const struct copy *copies, size_t n)
{
    json_t *all = json_array();
    size_t i;
    char *s;

    for (i = 0; i < n; i++)
        json_array_append_new(all, copy_json(&copies[i]));
    all = json_pack("{s:o}", "copies", all);
    s = json_dumps(all, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
    puts(s);
    free(s);
    json_decref(all);
}

/* ---- all copies ---- */

static struct copy *find_copy(struct copy *copies, size_t *n, const char *name)
{
    size_t i;

    for (i = 0; i < *n; i++)
        if (strcmp(copies[i].name, name) == 0)
            return &copies[i];
    copies[(*n)++] = (struct copy){.name = name};
    return &copies[*n - 1];
}

/* The entries of a copy stand together. */
static struct copy *gather_copies(const struct pg_record *r, size_t *n)
{
    struct copy *copies = mem_array(r->nviews + r->nentries + 1, sizeof(*copies)), *c;
    size_t i;

    *n = 0;
    for (i = 0; i < r->nviews; i++)
        find_copy(copies, n, r->views[i].name)->label = &r->views[i];
    for (i = 0; i < r->nentries; i++) {
        c = find_copy(copies, n, r->entries[i].view);
        if (!c->n++)
            c->entries = &r->entries[i];
    }
    return copies;
}

static void print_copies(const struct copy *copies, size_t n)
{
    size_t i;

    if (!n)
        puts("No copy has been made into this database.");
    for (i = 0; i < n; i++) {
        if (i)
            putchar('\n');
        print_copy(&copies[i]);
    }
}

static bool came_to_nothing(const struct copy *c)
{
    if (!c->label)
        return c->parts.is_over;
    return strcmp(c->label->state, "failed") == 0 || strcmp(c->label->state, "lost") == 0;
}

static int show(struct pg_conn *conn, const struct pg_record *r, bool json, struct err *err)
{
    size_t i, n;
    struct copy *copies = gather_copies(r, &n);
    int rc = 0, failed = 0;

    for (i = 0; i < n && rc == 0; i++)
        rc = pg_record_count_parts(conn, copies[i].name, &copies[i].parts, err);
    if (rc == 0 && json)
        print_json(copies, n);
    else if (rc == 0)
        print_copies(copies, n);
    for (i = 0; i < n; i++)
        failed |= came_to_nothing(&copies[i]);
    free(copies);
    return rc < 0 ? rc : failed;
}

int target_status(const struct target_look *look, bool json)
{
    struct pg_conn *conn = NULL;
    struct pg_record *r = NULL;
    struct err err;
    int rc = look_at(look, "asofs status", -1, &conn, &err);

    if (rc == 0)
        rc = pg_record_read(conn, look->name, &r, &err);
    if (rc == 0)
        rc = show(conn, r, json, &err);
    pg_record_free(r);
    pg_conn_close(conn);
    return rc < 0 ? command_failed(&err) : command_printed(rc);
}

int target_wait(const struct target_look *look)
{
    struct pg_conn *conn = NULL;
    struct stop stop;
    struct err err;
    int rc = stop_open(&stop, &err);

    if (rc < 0)
        return command_failed(&err);
    rc = look_at(look, "asofs wait", stop.fd, &conn, &err);
    if (rc == 0)
        rc = pg_record_wait(conn, look->name, look->newer_than, &err);
    pg_conn_close(conn);
    stop_close(&stop, true);
    return rc < 0 ? command_failed(&err) : 0;
}
