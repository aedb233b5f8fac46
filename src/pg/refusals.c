#include "pg/refusals.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pg/internal.h"

#define OUT "leave it out"
#define OF_PARTITIONED "; in place of a partitioned table, name the partitions that can be taken"

/* Why a table cannot be taken: said when it is refused, and what to do; when it is left out. */
static const struct {
    const char *refused, *advice, *left_out;
} words[PG_WHYS] = {
    [PG_FOREIGN] = {"a foreign table is not part of the frozen state", OUT OF_PARTITIONED,
                    "foreign tables are not part of the frozen state"},
    [PG_UNFILLED] = {"a materialized view was never filled",
                     "REFRESH MATERIALIZED VIEW, or leave it out",
                     "materialized views that were never filled have no rows"},
    [PG_STANDBY] = {"an unlogged table has no rows on a standby",
                    OUT ", or take the primary as source" OF_PARTITIONED,
                    "unlogged tables have no rows on a standby"},
    [PG_PAST] = {"an unlogged table has no rows at a past moment",
                 OUT ", or take the running server as source" OF_PARTITIONED,
                 "unlogged tables have no rows at a past moment"},
    [PG_DENIED] = {"no permission to read",
                   "GRANT USAGE on the schema and SELECT on the table and on its partitions; "
                   "--readable leaves out what may not be read, -T PATTERN what it matches",
                   "the role may not read them"},
    [PG_POLICY] = {"row security would hide rows of",
                   "connect as the owner of the table or as a role with BYPASSRLS; --readable and "
                   "-T PATTERN leave out",
                   "row security would hide rows of them"},
};

void pg_names_add(struct pg_names *n, const char *name)
{
    if (n->text.len > PG_NAMES_MAX)
        n->more++;
    else
        buf_printf(&n->text, "%s%s", n->text.len ? ", " : "", name);
}

void pg_names_refuse(struct err *err, struct pg_names *n, const char *what, const char *advice)
{
    char more[32] = "";

    if (!n->text.len)
        return;
    if (n->more)
        snprintf(more, sizeof(more), " and %zu more", n->more);
    if (!err->code)
        err_set(err, EINVAL, "%s: %s%s", what, n->text.data, more);
    else
        err_hint(err, "%s: %s%s", what, n->text.data, more);
    if (advice)
        err_hint(err, "  (%s)", advice);
    buf_free(&n->text);
}

void pg_problems_note_missing(struct pg_problems *p, const char *pattern)
{
    pg_names_add(&p->missing, pattern);
    p->exclusion_missed |= *pattern == '!';
}

static void tell_missing(struct pg_problems *p, const char *what, struct err *err)
{
    pg_names_refuse(err, &p->missing, what,
                    p->exclusion_missed
                        ? "to leave tables out: -T PATTERN, without \"!\""
                        : "a pattern without a schema sees the tables on the search_path; "
                          "quote names that have capitals: '\"Order\"'");
}

int pg_problems_refuse(struct pg_problems *p, struct err *err)
{
    int why;

    err->code = 0;
    tell_missing(p, "no table matches", err);
    pg_names_refuse(err, &p->not_table, "not a table",
                    "views and sequences have no place in a view of tables");
    for (why = 0; why < PG_WHYS; why++)
        pg_names_refuse(err, &p->of[why], words[why].refused, words[why].advice);
    return -err->code;
}

int pg_refuse_missed(const char *what, const struct pg_selection *entries, const size_t *numbers,
                     size_t n, struct err *err)
{
    struct pg_problems p = {0};
    size_t i;

    for (i = 0; i < n; i++)
        pg_problems_note_missing(&p, entries[numbers[i]].pattern.text);
    err->code = 0;
    tell_missing(&p, what, err);
    return -err->code;
}

/* "TABLE is no good." */
int pg_refuse_table(const struct pg_table *t, struct err *err, const char *fmt, ...)
{
    char *name = pg_pattern_of(t->rel.schema, t->rel.name), why[512];
    va_list ap;
    int rc;

    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    rc = err_set(err, EINVAL, "%s %s", name, why);
    free(name);
    return rc;
}

bool pg_catalog_put_left_out(const struct pg_catalog *c, enum pg_why why, struct buf *out)
{
    size_t i, n = 0;

    for (i = 0; i < c->nleft_out; i++) {
        if (c->left_out[i].why != why)
            continue;
        if (n++)
            buf_puts(out, ", ");
        else
            buf_printf(out, "left out, as %s: ", words[why].left_out);
        buf_puts(out, c->left_out[i].name);
    }
    return n > 0;
}

int pg_refuse_empty(const struct pg_catalog *c, const struct pg_server *server, struct err *err)
{
    struct buf b = {0};
    int why;

    err_set(err, ENOENT, "database \"%s\" has no tables that could be taken", server->database);
    for (why = 0; why < PG_WHYS; why++) {
        buf_clear(&b);
        if (pg_catalog_put_left_out(c, (enum pg_why)why, &b))
            err_hint(err, "%.*s", PG_NAMES_MAX, b.data);
    }
    buf_free(&b);
    return -ENOENT;
}
