#include "pg/usable.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/internal.h"
#include "pg/match.h"

/* ---- all of them ---- */

/* $1: the schemas of the user's search path. A leaf is there for its table even where it cannot be named. */
static const char usable_sql[] =
    "SELECT c.oid, c.relkind, n.nspname, c.relname,"
    " " PG_RELATION_FACTS ","
    " " PG_USABLE ", c.relispartition,"
    " " PG_VISIBLE ","
    " coalesce((SELECT pg_catalog.string_agg(i.inhparent::pg_catalog.text, ' ')"
    "  FROM pg_catalog.pg_inherits i WHERE i.inhrelid = c.oid AND NOT i.inhdetachpending), '')"
    " FROM pg_catalog.pg_class c"
    " " PG_RELATION_FACTS_FROM ","
    " (SELECT " PG_BLOCK_SIZE ", true) AS b(size, exact),"
    " (SELECT $1::pg_catalog.name[]) AS path(names)"
    " WHERE " PG_USABLE " OR (c.relispartition AND c.relkind IN ('r', 'p', 'f')) ORDER BY c.oid";

/* From KIND to LOCKABLE as in the answer about relations, one place further on there. */
enum { OID, KIND, SCHEMA, NAME, LOCKABLE = PG_REL_LOCKABLE - 1, NAMED, LEAF, VISIBLE, PARENTS };

static const struct pg_wanted usable_wanted = {"otttBBBIIITBbbBt", 0, PG_MANY};

static int ask_usable(struct pg_conn *conn, const struct pg_server *server, struct pg_answer **a,
                      struct err *err)
{
    const char *path = server->search_path;

    return pg_ask(conn, usable_sql, 1, &path, &usable_wanted, a, err);
}

static bool has_rows(const struct pg_answer *a, size_t row)
{
    const char *kind = pg_text(a, row, KIND);

    return *kind && strchr("rpmf", *kind);
}

int pg_usable_read(struct pg_conn *conn, const struct pg_server *server, struct pg_catalog *c,
                   struct err *err)
{
    static const struct pg_selection plain = {0};
    struct pg_answer *a = NULL;
    int rc = ask_usable(conn, server, &a, err);
    size_t row;

    if (rc < 0)
        return rc;
    c->tables = mem_array(pg_rows(a) + 1, sizeof(*c->tables));
    for (row = 0; row < pg_rows(a); row++)
        if (has_rows(a, row))
            c->tables[c->ntables++] =
                (struct pg_table){.rel = {.oid = pg_oid(a, row, OID),
                                          .kind = *pg_text(a, row, KIND),
                                          .schema = mem_strdup(pg_text(a, row, SCHEMA)),
                                          .name = mem_strdup(pg_text(a, row, NAME))},
                                  .selection = &plain};
    pg_answer_free(a);
    return 0;
}

/* ---- those that are selected ---- */

struct choosing {
    const struct pg_answer *usable;
    const struct pg_selection *entries;
    size_t n;
    bool bytes;   /* a character is a byte */
    bool *hit;    /* by entry: it matched something */
    bool *within; /* by row: it belongs to the table that is looked at */
    struct pg_answer *to;
};

static bool matches(const struct choosing *c, size_t row, const struct pg_pattern *p)
{
    if (!pg_match(p->name, pg_text(c->usable, row, NAME), c->bytes))
        return false;
    return p->schema ? pg_match(p->schema, pg_text(c->usable, row, SCHEMA), c->bytes)
                     : pg_true(c->usable, row, VISIBLE);
}

/* Wildcards take no leaves, and nothing that is no table. */
static bool selects(const struct choosing *c, size_t row, const struct pg_selection *e)
{
    bool is_table = has_rows(c->usable, row) && !pg_true(c->usable, row, LEAF);

    return (is_table || e->exclude || e->pattern.exact) && matches(c, row, &e->pattern);
}

struct choice {
    bool exact, excluded;
    struct buf numbers;
};

static void choose_row(struct choosing *c, size_t row, struct choice *choice)
{
    size_t i;

    for (i = 0; i < c->n; i++) {
        const struct pg_selection *e = &c->entries[i];

        if (!selects(c, row, e))
            continue;
        if (e->exclude) {
            choice->excluded = true;
            continue;
        }
        c->hit[i] = true;
        choice->exact = choice->exact || e->pattern.exact;
        buf_printf(&choice->numbers, "%s%zu", choice->numbers.len ? " " : "", i + 1);
    }
}

/* The parents stand there as numbers with spaces between them. */
static bool is_child(const struct choosing *c, size_t row, uint32_t parent)
{
    const char *p = pg_text(c->usable, row, PARENTS);
    char *end;

    for (; *p; p = end) {
        if (strtoul(p, &end, 10) == parent)
            return true;
        if (end == p)
            return false;
    }
    return false;
}

/* All below a partitioned table; those with parts of their own are gone through once more. */
static void mark_leaves(struct choosing *c, uint32_t parent)
{
    size_t row;

    for (row = 0; row < pg_rows(c->usable); row++) {
        if (c->within[row] || !is_child(c, row, parent))
            continue;
        c->within[row] = true;
        if (*pg_text(c->usable, row, KIND) == 'p')
            mark_leaves(c, pg_oid(c->usable, row, OID));
    }
}

static int add(struct pg_answer *to, const char *value, struct err *err)
{
    return pg_answer_add(to, value, value ? strlen(value) : 0, err);
}

static int add_cell(struct choosing *c, size_t row, int column, struct err *err)
{
    bool null = pg_is_null(c->usable, row, (size_t)column);

    return add(c->to, null ? NULL : pg_text(c->usable, row, (size_t)column), err);
}

static int add_member(struct choosing *c, size_t root, size_t row, const struct choice *choice,
                      struct err *err)
{
    int rc = add_cell(c, root, OID, err), i;

    for (i = OID; i <= LOCKABLE && rc == 0; i++)
        rc = add_cell(c, row, i, err);
    if (rc == 0)
        rc = add(c->to, choice->exact ? "t" : "f", err);
    if (rc == 0)
        rc = add(c->to, choice->numbers.data, err);
    return rc == 0 ? add(c->to, NULL, err) : rc;
}

static int add_chosen(struct choosing *c, size_t root, const struct choice *choice, struct err *err)
{
    size_t row, rows = pg_rows(c->usable);
    int rc = 0;

    if (*pg_text(c->usable, root, KIND) != 'p')
        return add_member(c, root, root, choice, err);
    memset(c->within, 0, rows);
    mark_leaves(c, pg_oid(c->usable, root, OID));
    for (row = 0; row < rows && rc == 0; row++)
        if (row == root || (c->within[row] && *pg_text(c->usable, row, KIND) != 'p'))
            rc = add_member(c, root, row, choice, err);
    return rc;
}

static int add_relations(struct choosing *c, struct err *err)
{
    size_t row;
    int rc = 0;

    for (row = 0; row < pg_rows(c->usable) && rc == 0; row++) {
        struct choice choice = {0};

        if (!pg_true(c->usable, row, NAMED))
            continue;
        choose_row(c, row, &choice);
        if (choice.numbers.len && !choice.excluded)
            rc = add_chosen(c, row, &choice, err);
        buf_free(&choice.numbers);
    }
    return rc;
}

static int add_misses(struct choosing *c, struct err *err)
{
    char number[24];
    size_t i;
    int rc = 0, k;

    for (i = 0; i < c->n && rc == 0; i++) {
        if (c->hit[i] || c->entries[i].exclude)
            continue;
        for (k = 0; k < PG_REL_MISS && rc == 0; k++)
            rc = add(c->to, NULL, err);
        snprintf(number, sizeof(number), "%zu", i + 1);
        if (rc == 0)
            rc = add(c->to, number, err);
    }
    return rc;
}

static int check_patterns(const struct pg_selection *entries, size_t n, struct err *err)
{
    size_t i;

    for (i = 0; i < n; i++) {
        const struct pg_pattern *p = &entries[i].pattern;

        if (!pg_match_can(p->name) || (p->schema && !pg_match_can(p->schema)))
            return err_set(err, EREMOTE, "pattern %s: only the server knows what it matches",
                           p->text);
    }
    return 0;
}

int pg_usable_choose(struct pg_conn *conn, const struct pg_server *server,
                     const struct pg_selection *entries, size_t n, const struct pg_wanted *wanted,
                     struct pg_answer **answer, struct err *err)
{
    struct choosing c = {
        .entries = entries, .n = n, .bytes = strcmp(server->encoding, "SQL_ASCII") == 0};
    struct pg_answer *usable = NULL;
    int rc = check_patterns(entries, n, err);

    *answer = NULL;
    if (rc == 0)
        rc = ask_usable(conn, server, &usable, err);
    if (rc < 0)
        return rc;
    c.usable = usable;
    c.hit = mem_array(n + 1, sizeof(*c.hit));
    c.within = mem_array(pg_rows(usable) + 1, sizeof(*c.within));
    c.to = pg_answer_new(wanted);
    rc = add_relations(&c, err);
    if (rc == 0)
        rc = add_misses(&c, err);
    pg_answer_free(usable);
    free(c.hit);
    free(c.within);
    if (rc == 0)
        *answer = c.to;
    else
        pg_answer_free(c.to);
    return rc;
}
