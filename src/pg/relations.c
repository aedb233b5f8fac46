/* Relations: asked for, checked, and made into tables with their leaves. */
#include "pg/relations.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/internal.h"
#include "pg/refusals.h"
#include "pg/usable.h"

/* ---- asking ---- */

/*
 * $1, $2, $3: schema expressions (NULL: visible on the search path), name expressions, kinds of
 * pattern: 'e' exact, 'w' with wildcards, 'x' excluding; as arrays. $4: the schemas of the user's
 * search path. $5: exact sizes.
 *
 * A partition that is being detached is no longer part of what a new query sees. One row
 * for each relation, with `root` = itself or the partitioned table it is a leaf of. A pattern that
 * matched nothing gives a row with oid NULL.
 */
static const char relations_sql[] =
    "WITH RECURSIVE pattern AS ("
    "  SELECT p.nsp, p.rel, p.kind = 'e' AS exact, p.kind = 'x' AS exclude, p.no FROM ROWS FROM"
    "    (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[]),"
    "     pg_catalog.unnest($3::pg_catalog.text[])) WITH ORDINALITY AS p(nsp, rel, kind, no)"
    "), usable AS ("
    "  SELECT c.oid, c.relname, c.relkind, c.relispartition, n.nspname,"
    "  " PG_VISIBLE " AS visible"
    "  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace,"
    "    (SELECT $4::pg_catalog.name[]) AS path(names)"
    "  WHERE " PG_USABLE "), hit AS ("
    "  SELECT u.oid, u.relkind, pg_catalog.bool_or(p.exact) AS exact,"
    "    pg_catalog.array_agg(p.no) FILTER (WHERE NOT p.exclude) AS patterns,"
    "    pg_catalog.bool_or(p.exclude) AS exclude FROM usable u JOIN pattern p"
    "    ON u.relname COLLATE pg_catalog.\"default\" ~ p.rel AND CASE WHEN p.nsp IS NULL THEN "
    "u.visible"
    "      ELSE u.nspname COLLATE pg_catalog.\"default\" ~ p.nsp END"
    "  WHERE p.exact OR p.exclude OR (u.relkind IN ('r', 'p', 'm', 'f') AND NOT u.relispartition)"
    "  GROUP BY u.oid, u.relkind"
    "), chosen AS ("
    "  SELECT h.oid, h.relkind, h.exact, h.patterns FROM hit h"
    "  WHERE NOT h.exclude AND h.patterns IS NOT NULL"
    /* What is known of the root goes along, so that nothing has to be joined to it again. */
    "), part(root, oid, exact, patterns) AS ("
    "  SELECT h.oid, h.oid, h.exact, h.patterns FROM chosen h WHERE h.relkind = 'p'"
    "  UNION ALL SELECT p.root, i.inhrelid, p.exact, p.patterns FROM part p"
    "    JOIN pg_catalog.pg_inherits i ON i.inhparent = p.oid AND NOT i.inhdetachpending"
    "), member AS ("
    "  SELECT h.oid AS root, h.oid, h.exact, h.patterns FROM chosen h"
    "  UNION ALL SELECT p.root, p.oid, p.exact, p.patterns FROM part p WHERE p.oid <> p.root"
    ")"
    " SELECT m.root, c.oid, c.relkind, n.nspname, c.relname,"
    " " PG_RELATION_FACTS ","
    " m.exact, pg_catalog.array_to_string(m.patterns, ' '), NULL::pg_catalog.int8"
    " FROM member m JOIN pg_catalog.pg_class c ON c.oid = m.oid"
    " " PG_RELATION_FACTS_FROM ","
    " (SELECT " PG_BLOCK_SIZE ", $5::pg_catalog.bool) AS b(size, exact)"
    " WHERE c.relkind <> 'p' OR c.oid = m.root"
    " UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, "
    "NULL, NULL, NULL, p.no"
    "  FROM pattern p WHERE NOT p.exclude AND NOT EXISTS (SELECT FROM hit h WHERE p.no = ANY "
    "(h.patterns))"
    " ORDER BY 16 NULLS FIRST, 1, 2";

static const struct pg_wanted relations_wanted = {PG_REL_LETTERS, 0, PG_MANY};

static char every_table[] = "every table"; /* the `where` of the entry that stands for no entries */

/* The entries as the arrays that relations_sql takes. */
struct entry_arrays {
    struct buf schemas, names, kinds;
};

static void put_entry(struct entry_arrays *a, const struct pg_selection *e)
{
    pg_put_element(&a->schemas, e->pattern.schema);
    pg_put_element(&a->names, e->pattern.name);
    pg_put_element(&a->kinds, e->exclude ? "x" : e->pattern.exact ? "e" : "w");
}

static void end_arrays(struct entry_arrays *a)
{
    buf_putc(&a->schemas, '}');
    buf_putc(&a->names, '}');
    buf_putc(&a->kinds, '}');
}

static int query_relations(struct pg_conn *conn, const struct pg_server *server,
                           const struct pg_selection *entries, size_t n, bool exact_sizes,
                           struct pg_answer **r, struct err *err)
{
    struct entry_arrays a = {0};
    const char *values[5];
    size_t i;
    int rc;

    if (conn->memory)
        return pg_usable_choose(conn, server, entries, n, &relations_wanted, r, err);
    buf_putc(&a.schemas, '{');
    buf_putc(&a.names, '{');
    buf_putc(&a.kinds, '{');
    for (i = 0; i < n; i++)
        put_entry(&a, &entries[i]);
    end_arrays(&a);
    values[0] = a.schemas.data;
    values[1] = a.names.data;
    values[2] = a.kinds.data;
    values[3] = server->search_path;
    values[4] = exact_sizes ? "t" : "f";
    rc = pg_ask(conn, relations_sql, 5, values, &relations_wanted, r, err);
    buf_free(&a.schemas);
    buf_free(&a.names);
    buf_free(&a.kinds);
    return rc;
}

static bool includes_nothing(const struct pg_selection *entries, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (!entries[i].exclude)
            return false;
    return true;
}

/* The caller's entries, followed by "everything" when they include nothing. */
struct pg_selection *pg_relations_entries(const struct pg_selection *entries, size_t *n)
{
    static const struct pg_selection everything = {
        .pattern = {.text = (char *)(uintptr_t) "*.*",
                    .schema = (char *)(uintptr_t) "^(.*)$",
                    .name = (char *)(uintptr_t) "^(.*)$"},
        .where = every_table};
    struct pg_selection *all = mem_array(*n + 1, sizeof(*all));

    if (*n)
        memcpy(all, entries, *n * sizeof(*all));
    if (includes_nothing(entries, *n))
        all[(*n)++] = everything;
    return all;
}

/* ---- checking what came ---- */

/* The numbers of the entries that chose a table: from 1, separated by spaces. */
static bool names_entries(const char *list, size_t n)
{
    unsigned long no;
    char *end;

    do {
        no = strtoul(list, &end, 10);
        if (end == list || no < 1 || no > n)
            return false;
        list = end;
    } while (*list);
    return true;
}

static bool is_relation(const struct pg_answer *r, size_t row, size_t n)
{
    static const int due[] = {PG_REL_ROOT, PG_REL_OID, PG_REL_KIND, PG_REL_SCHEMA, PG_REL_NAME};
    size_t i;

    for (i = 0; i < sizeof(due) / sizeof(*due); i++)
        if (pg_is_null(r, row, (size_t)due[i]))
            return false;
    return names_entries(pg_text(r, row, PG_REL_PATTERNS), n);
}

/* By root and OID, each once. */
static bool follows(const struct pg_answer *r, size_t row)
{
    uint32_t before = pg_oid(r, row - 1, PG_REL_ROOT), root = pg_oid(r, row, PG_REL_ROOT);

    return before < root ||
           (before == root && pg_oid(r, row - 1, PG_REL_OID) < pg_oid(r, row, PG_REL_OID));
}

/* What the code that takes the rows relies on; n: how many entries there are. */
static int check_relations(const struct pg_answer *r, size_t n, struct err *err)
{
    size_t row, rows = pg_rows(r);

    for (row = 0; row < rows && pg_is_null(r, row, PG_REL_MISS); row++)
        if (!is_relation(r, row, n) || (row && !follows(r, row)))
            return pg_odd_answer(err, "a table that is none");
    for (; row < rows; row++)
        if (pg_number(r, row, PG_REL_MISS) < 1 || pg_number(r, row, PG_REL_MISS) > n)
            return pg_odd_answer(err, "a pattern that is none");
    return 0;
}

/* ---- taking ---- */

#define NO_ROW SIZE_MAX

/* The rows of one table: its own, and those of its leaves. */
struct rows {
    size_t first, end;
    size_t own; /* NO_ROW: it is gone */
};

/* What is made out of the rows of relations_sql. */
struct taking {
    struct pg_catalog *c;
    const struct pg_answer *r;
    const struct pg_selection *entries;
    const struct pg_catalog_how *how;
    struct pg_problems problems;
    struct err selecting; /* code: 0, or the entries do not agree about a table */
};

/* relpages is an int4: it is negative for the very largest. */
static uint64_t get_size(const struct pg_answer *r, size_t row, size_t column)
{
    int64_t n = pg_integer(r, row, column);

    return n < 0 ? 0 : (uint64_t)n;
}

static bool has_state(const struct pg_answer *r, size_t row, const char *state)
{
    return strcmp(pg_text(r, row, PG_REL_STATE), state) == 0;
}

/* Why this relation cannot be taken; PG_WHYS: it can. */
static enum pg_why why_not(const struct pg_answer *r, size_t row)
{
    return pg_text(r, row, PG_REL_KIND)[0] == 'f' ? PG_FOREIGN
           : has_state(r, row, "standby")         ? PG_STANDBY
           : has_state(r, row, "past")            ? PG_PAST
           : has_state(r, row, "empty")           ? PG_UNFILLED
           : !pg_true(r, row, PG_REL_READABLE)    ? PG_DENIED
           : pg_true(r, row, PG_REL_POLICY)       ? PG_POLICY
                                                  : PG_WHYS;
}

static bool is_gone(const struct pg_answer *r, size_t row)
{
    return pg_is_null(r, row, PG_REL_READABLE);
}

/* What only wildcards match is left out, and told; named exactly it is refused. */
static bool may_leave_out(const struct taking *t, size_t row, enum pg_why why)
{
    return why == PG_DENIED || why == PG_POLICY ? t->how->readable
                                                : !pg_true(t->r, row, PG_REL_EXACT);
}

/* The table that a row makes trouble for. */
static char *name_of(const struct taking *t, const struct rows *g, size_t row)
{
    struct buf b = {0};

    pg_pattern_put(&b, pg_text(t->r, g->own, PG_REL_SCHEMA), pg_text(t->r, g->own, PG_REL_NAME));
    if (row != g->own) {
        buf_puts(&b, " (its partition ");
        pg_pattern_put(&b, pg_text(t->r, row, PG_REL_SCHEMA), pg_text(t->r, row, PG_REL_NAME));
        buf_putc(&b, ')');
    }
    return buf_steal(&b);
}

static bool leave_out(struct taking *t, const struct rows *g)
{
    struct pg_catalog *c = t->c;
    size_t row;

    for (row = g->first; row < g->end; row++) {
        enum pg_why why = is_gone(t->r, row) ? PG_WHYS : why_not(t->r, row);

        if (why == PG_WHYS || !may_leave_out(t, row, why))
            continue;
        c->left_out = mem_resize(c->left_out, c->nleft_out + 1, sizeof(*c->left_out));
        c->left_out[c->nleft_out++] = (struct pg_left_out){why, name_of(t, g, row)};
        return true;
    }
    return false;
}

static void note_problems(struct taking *t, const struct rows *g)
{
    char kind = pg_text(t->r, g->own, PG_REL_KIND)[0], *name;
    bool is_table = kind != 'v' && kind != 'S';
    enum pg_why why;
    size_t row;

    for (row = g->first; row < g->end; row++) {
        why = is_gone(t->r, row) ? PG_WHYS : why_not(t->r, row);
        if (is_table && why == PG_WHYS)
            continue;
        name = name_of(t, g, row);
        pg_names_add(is_table ? &t->problems.of[why] : &t->problems.not_table, name);
        free(name);
    }
}

static void fill_relation(struct pg_relation *rel, const struct pg_answer *r, size_t row)
{
    uint64_t heap = get_size(r, row, PG_REL_BYTES), block = get_size(r, row, PG_REL_BLOCK);

    *rel = (struct pg_relation){
        .oid = pg_oid(r, row, PG_REL_OID),
        .kind = pg_text(r, row, PG_REL_KIND)[0],
        .schema = mem_strdup(pg_text(r, row, PG_REL_SCHEMA)),
        .name = mem_strdup(pg_text(r, row, PG_REL_NAME)),
        .bytes = heap + get_size(r, row, PG_REL_TOAST),
        .blocks = pg_true(r, row, PG_REL_HEAP) && block ? heap / block : 0,
        .readable = pg_true(r, row, PG_REL_READABLE),
        .lockable = pg_true(r, row, PG_REL_LOCKABLE) || pg_text(r, row, PG_REL_KIND)[0] == 'm',
        .row_security = pg_true(r, row, PG_REL_POLICY),
        .refreshed = has_state(r, row, "refreshed"),
    };
}

static bool same_columns(const struct pg_selection *a, const struct pg_selection *b)
{
    size_t i;

    if (a->ncolumns != b->ncolumns)
        return false;
    for (i = 0; i < a->ncolumns; i++)
        if (strcmp(a->columns[i], b->columns[i]) != 0)
            return false;
    return true;
}

static bool same_selection(const struct pg_selection *a, const struct pg_selection *b)
{
    const char *x = a->filter ? a->filter : "", *y = b->filter ? b->filter : "";

    return same_columns(a, b) && strcmp(x, y) == 0;
}

/* The next of the numbers in *list (from 1, separated by spaces), or NULL at the end. */
static const struct pg_selection *next_entry(const struct pg_selection *entries, const char **list)
{
    char *end;
    unsigned long n = strtoul(*list, &end, 10);

    if (end == *list)
        return NULL;
    *list = end;
    return &entries[n - 1];
}

/* An entry that names the table exactly stands above wildcards; among equals all must say the same.
 */
static int select_entry(struct pg_table *t, const struct pg_selection *entries, const char *list,
                        struct err *err)
{
    const struct pg_selection *best = NULL, *e;
    const char *p = list;

    while ((e = next_entry(entries, &p)))
        if (!best || (e->pattern.exact && !best->pattern.exact))
            best = e;
    t->selection = best;
    for (p = list; (e = next_entry(entries, &p));)
        if (e->pattern.exact == best->pattern.exact && !same_selection(best, e))
            return pg_refuse_table(t, err, "is selected in different ways by %s and %s",
                                   best->where, e->where);
    return 0;
}

static void add_table(struct taking *t, const struct rows *g)
{
    struct pg_table *table = &t->c->tables[t->c->ntables++];
    size_t row;

    fill_relation(&table->rel, t->r, g->own);
    table->leaves =
        g->end - g->first > 1 ? mem_array(g->end - g->first - 1, sizeof(*table->leaves)) : NULL;
    for (row = g->first; row < g->end; row++) {
        if (row == g->own)
            continue;
        if (is_gone(t->r, row))
            t->c->gone++;
        else
            fill_relation(&table->leaves[table->nleaves++], t->r, row);
    }
    if (!t->selecting.code)
        select_entry(table, t->entries, pg_text(t->r, g->own, PG_REL_PATTERNS), &t->selecting);
}

static void take_table(struct taking *t, const struct rows *g)
{
    if (g->own == NO_ROW || is_gone(t->r, g->own)) {
        t->c->gone++;
    } else if (!leave_out(t, g)) {
        note_problems(t, g);
        add_table(t, g);
    }
}

/* That "every table" is none is told by who finds the list empty. */
static void take_miss(struct taking *t, size_t number)
{
    if (t->how->may_miss)
        t->c->missed[t->c->nmissed++] = number;
    else if (t->entries[number].where != every_table)
        pg_problems_note_missing(&t->problems, t->entries[number].pattern.text);
}

/* Rows come ordered by root and then OID, so a table's rows stand together; its own may stand among
 * them. */
static struct rows find_rows(const struct pg_answer *r, size_t first)
{
    struct rows g = {.first = first, .end = first, .own = NO_ROW};
    uint32_t root = pg_oid(r, first, PG_REL_ROOT);

    for (; g.end < pg_rows(r) && pg_is_null(r, g.end, PG_REL_MISS) &&
           pg_oid(r, g.end, PG_REL_ROOT) == root;
         g.end++)
        if (pg_oid(r, g.end, PG_REL_OID) == root)
            g.own = g.end;
    return g;
}

static int by_words(const void *a, const void *b)
{
    const struct pg_left_out *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static int take_relations(struct taking *t, struct err *err)
{
    size_t row = 0, rows = pg_rows(t->r);
    int rc;

    t->c->tables = mem_array(rows, sizeof(*t->c->tables));
    t->c->missed = mem_array(rows, sizeof(*t->c->missed));
    while (row < rows && pg_is_null(t->r, row, PG_REL_MISS)) {
        struct rows g = find_rows(t->r, row);

        take_table(t, &g);
        row = g.end;
    }
    for (; row < rows; row++)
        take_miss(t, pg_number(t->r, row, PG_REL_MISS) - 1);
    if (t->c->nleft_out)
        qsort(t->c->left_out, t->c->nleft_out, sizeof(*t->c->left_out), by_words);
    rc = pg_problems_refuse(&t->problems, err);
    if (rc == 0 && t->selecting.code)
        *err = t->selecting;
    return rc == 0 ? -t->selecting.code : rc;
}

int pg_relations_read(struct pg_conn *conn, const struct pg_server *server,
                      const struct pg_selection *entries, size_t n,
                      const struct pg_catalog_how *how, struct pg_catalog *c, struct err *err)
{
    struct taking t = {.c = c, .entries = entries, .how = how};
    struct pg_answer *r = NULL;
    int rc = query_relations(conn, server, entries, n, how->exact_sizes, &r, err);

    t.r = r;
    if (rc == 0)
        rc = check_relations(r, n, err);
    if (rc == 0)
        rc = take_relations(&t, err);
    if (rc == 0 && c->ntables == 0 && !how->may_miss)
        rc = pg_refuse_empty(c, server, err);
    pg_answer_free(r);
    return rc;
}
