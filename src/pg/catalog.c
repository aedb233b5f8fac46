#include "pg/catalog.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/internal.h"

/*
 * $1, $2, $3: schema expressions (NULL: visible on the search path), name expressions, kinds of
 * pattern: 'e' exact, 'w' with wildcards, 'x' excluding; as arrays. $4: the schemas of the user's
 * search path. $5: exact sizes.
 *
 * pg_relation_size() takes a lock and waits for it, so before our locks are held the size is
 * relpages. A partition that is being detached is no longer part of what a new query sees. One row
 * for each relation, with `root` = itself or the partitioned table it is a leaf of. A pattern that
 * matched nothing gives a row with oid NULL.
 *
 * LOCK TABLE refuses materialized views, so they are locked after the snapshot was taken; a REFRESH
 * in between is seen by the file node that is current (pg_relation_filenode) being another than the
 * snapshot's.
 */
static const char relations_sql[] =
    "WITH RECURSIVE pattern AS ("
    "  SELECT p.nsp, p.rel, p.kind = 'e' AS exact, p.kind = 'x' AS exclude, p.no FROM ROWS FROM"
    "    (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[]),"
    "     pg_catalog.unnest($3::pg_catalog.text[])) WITH ORDINALITY AS p(nsp, rel, kind, no)"
    "), usable AS ("
    "  SELECT c.oid, c.relname, c.relkind, c.relispartition, n.nspname,"
    "    n.nspname = ANY ($4::pg_catalog.name[]) AND NOT EXISTS (SELECT FROM pg_catalog.pg_class d"
    "      JOIN pg_catalog.pg_namespace m ON m.oid = d.relnamespace"
    "      WHERE d.relname = c.relname AND m.nspname = ANY ($4::pg_catalog.name[])"
    "      AND pg_catalog.array_position($4::pg_catalog.name[], m.nspname)"
    "        < pg_catalog.array_position($4::pg_catalog.name[], n.nspname)) AS visible"
    "  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    "  WHERE c.relkind IN ('r', 'p', 'm', 'f', 'v', 'S') AND c.relpersistence <> 't'"
    "    AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    "), hit AS ("
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
    /* NULL: dropped since the snapshot of this query; so no AND, of which false is stronger */
    "  (pg_catalog.has_table_privilege(c.oid, 'SELECT')::pg_catalog.int4"
    "    & pg_catalog.has_schema_privilege(n.oid, 'USAGE')::pg_catalog.int4) = 1,"
    "  pg_catalog.row_security_active(c.oid), m.exact, coalesce(a.amname = 'heap', false),"
    "  CASE WHEN c.relkind NOT IN ('r', 'm') THEN 0"
    "    WHEN $5::pg_catalog.bool THEN pg_catalog.pg_relation_size(c.oid)"
    "    ELSE c.relpages::pg_catalog.int8 * b.size END,"
    "  CASE WHEN c.relkind NOT IN ('r', 'm') OR c.reltoastrelid = 0 THEN 0"
    "    WHEN $5::pg_catalog.bool THEN pg_catalog.pg_relation_size(c.reltoastrelid)"
    "    ELSE t.relpages::pg_catalog.int8 * b.size END,"
    "  b.size, CASE WHEN c.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery() THEN 'standby'"
    /* said by a private server (private.c): its recovery has emptied them */
    "    WHEN c.relpersistence = 'u'"
    "      AND pg_catalog.current_setting('asofs.recovered', true) = 'on' THEN 'past'"
    "    WHEN c.relkind <> 'm' THEN '' WHEN NOT c.relispopulated THEN 'empty'"
    "    WHEN $5::pg_catalog.bool AND pg_catalog.pg_relation_filenode(c.oid)"
    "      IS DISTINCT FROM c.relfilenode THEN 'refreshed' ELSE '' END,"
    "  pg_catalog.array_to_string(m.patterns, ' '),"
    "  coalesce(pg_catalog.has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE'), false),"
    "  NULL::pg_catalog.int8"
    " FROM member m JOIN pg_catalog.pg_class c ON c.oid = m.oid"
    "  JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    "  LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam"
    "  LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid,"
    "  (SELECT pg_catalog.current_setting('block_size')::pg_catalog.int8) AS b(size)"
    " WHERE c.relkind <> 'p' OR c.oid = m.root"
    " UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, "
    "NULL, NULL, NULL, p.no"
    "  FROM pattern p WHERE NOT p.exclude AND NOT EXISTS (SELECT FROM hit h WHERE p.no = ANY "
    "(h.patterns))"
    " ORDER BY 16 NULLS FIRST, 1, 2";

enum {
    ROOT,
    OID,
    KIND,
    SCHEMA,
    NAME,
    READABLE,
    POLICY,
    EXACT,
    HEAP,
    BYTES,
    TOAST,
    BLOCK,
    STATE,
    PATTERNS,
    LOCKABLE,
    MISS
};

/* All NULL but for the last where a pattern matched nothing. READABLE is NULL of what is gone, and
 * so can be what else a function of the server says. */
static const struct pg_wanted relations_wanted = {"OOTTTBBBBIIITTBN", 0, PG_MANY};

/*
 * $1: the tables; $2: look for types without a binary form. A type's send function calls those of
 * what is in it: of the elements of an array, the base of a domain, the bounds of a range, the
 * columns of a row.
 */
static const char columns_sql[] =
    "WITH RECURSIVE inside(top, type) AS ("
    "  SELECT DISTINCT a.atttypid, a.atttypid FROM pg_catalog.pg_attribute a"
    "    WHERE $2::pg_catalog.bool AND a.attrelid = ANY ($1::pg_catalog.oid[])"
    "    AND a.attnum > 0 AND NOT a.attisdropped"
    "  UNION SELECT i.top, o.type FROM inside i JOIN pg_catalog.pg_type t ON t.oid = i.type,"
    "  LATERAL (SELECT t.typbasetype"
    "    UNION ALL SELECT t.typelem"
    "      WHERE t.typsend = 'pg_catalog.array_send'::pg_catalog.regproc"
    "    UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid"
    "    UNION ALL SELECT r.rngtypid FROM pg_catalog.pg_range r WHERE r.rngmultitypid = t.oid"
    "    UNION ALL SELECT f.atttypid FROM pg_catalog.pg_attribute f WHERE f.attrelid = t.typrelid"
    "      AND f.attnum > 0 AND NOT f.attisdropped) o(type) WHERE o.type <> 0"
    "), unsendable AS ("
    "  SELECT i.top, pg_catalog.min(t.oid)::pg_catalog.regtype::pg_catalog.text AS type"
    "  FROM inside i JOIN pg_catalog.pg_type t ON t.oid = i.type WHERE t.typsend = 0 GROUP BY i.top"
    ")"
    " SELECT a.attrelid, a.attname, a.atttypid, a.attgenerated <> '', u.type"
    " FROM pg_catalog.pg_attribute a LEFT JOIN unsendable u ON u.top = a.atttypid"
    " WHERE a.attrelid = ANY ($1::pg_catalog.oid[])"
    " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum";

static char every_table[] = "every table"; /* the `where` of the entry that stands for no entries */

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

/* Names in an error, which has room for some. */
struct names {
    struct buf text;
    size_t more;
};

#define MAX_NAMES 1200 /* bytes */

/* Problems, collected so that all are told at once; each under its heading. */
struct problems {
    struct names missing, not_table, of[PG_WHYS];
    bool exclusion_missed; /* a pattern that matches nothing looks like one of the list's "!" */
};

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
    struct problems problems;
    struct err selecting; /* code: 0, or the entries do not agree about a table */
};

/* relpages is an int4: it is negative for the very largest. */
static uint64_t get_size(const struct pg_answer *r, size_t row, size_t column)
{
    int64_t n = pg_integer(r, row, column);

    return n < 0 ? 0 : (uint64_t)n;
}

/* A name in an array literal. */
static void put_element(struct buf *out, const char *text)
{
    buf_puts(out, out->len > 1 ? "," : "");
    if (!text) {
        buf_puts(out, "NULL");
        return;
    }
    buf_putc(out, '"');
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            buf_putc(out, '\\');
        buf_putc(out, *text);
    }
    buf_putc(out, '"');
}

static void add_name(struct names *n, const char *name)
{
    if (n->text.len > MAX_NAMES)
        n->more++;
    else
        buf_printf(&n->text, "%s%s", n->text.len ? ", " : "", name);
}

static bool has_state(const struct pg_answer *r, size_t row, const char *state)
{
    return strcmp(pg_text(r, row, STATE), state) == 0;
}

/* Why this relation cannot be taken; PG_WHYS: it can. */
static enum pg_why why_not(const struct pg_answer *r, size_t row)
{
    return pg_text(r, row, KIND)[0] == 'f' ? PG_FOREIGN
           : has_state(r, row, "standby")  ? PG_STANDBY
           : has_state(r, row, "past")     ? PG_PAST
           : has_state(r, row, "empty")    ? PG_UNFILLED
           : !pg_true(r, row, READABLE)    ? PG_DENIED
           : pg_true(r, row, POLICY)       ? PG_POLICY
                                           : PG_WHYS;
}

static bool is_gone(const struct pg_answer *r, size_t row)
{
    return pg_is_null(r, row, READABLE);
}

/* What only wildcards match is left out, and told; named exactly it is refused. */
static bool may_leave_out(const struct taking *t, size_t row, enum pg_why why)
{
    return why == PG_DENIED || why == PG_POLICY ? t->how->readable : !pg_true(t->r, row, EXACT);
}

/* The table that a row makes trouble for. */
static char *name_of(const struct taking *t, const struct rows *g, size_t row)
{
    struct buf b = {0};

    pg_pattern_put(&b, pg_text(t->r, g->own, SCHEMA), pg_text(t->r, g->own, NAME));
    if (row != g->own) {
        buf_puts(&b, " (its partition ");
        pg_pattern_put(&b, pg_text(t->r, row, SCHEMA), pg_text(t->r, row, NAME));
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
    char kind = pg_text(t->r, g->own, KIND)[0], *name;
    bool is_table = kind != 'v' && kind != 'S';
    enum pg_why why;
    size_t row;

    for (row = g->first; row < g->end; row++) {
        why = is_gone(t->r, row) ? PG_WHYS : why_not(t->r, row);
        if (is_table && why == PG_WHYS)
            continue;
        name = name_of(t, g, row);
        add_name(is_table ? &t->problems.of[why] : &t->problems.not_table, name);
        free(name);
    }
}

static void tell(struct err *err, struct names *n, const char *what, const char *advice)
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
    err_hint(err, "  (%s)", advice);
    buf_free(&n->text);
}

static void note_missing(struct problems *p, const char *pattern)
{
    add_name(&p->missing, pattern);
    p->exclusion_missed |= *pattern == '!';
}

static void tell_missing(struct problems *p, const char *what, struct err *err)
{
    tell(err, &p->missing, what,
         p->exclusion_missed ? "to leave tables out: -T PATTERN, without \"!\""
                             : "a pattern without a schema sees the tables on the search_path; "
                               "quote names that have capitals: '\"Order\"'");
}

static int tell_problems(struct problems *p, struct err *err)
{
    int why;

    err->code = 0;
    tell_missing(p, "no table matches", err);
    tell(err, &p->not_table, "not a table",
         "views and sequences have no place in a view of tables");
    for (why = 0; why < PG_WHYS; why++)
        tell(err, &p->of[why], words[why].refused, words[why].advice);
    return -err->code;
}

int pg_refuse_missed(const char *what, const struct pg_selection *entries, const size_t *numbers,
                     size_t n, struct err *err)
{
    struct problems p = {0};
    size_t i;

    for (i = 0; i < n; i++)
        note_missing(&p, entries[numbers[i]].pattern.text);
    err->code = 0;
    tell_missing(&p, what, err);
    return -err->code;
}

static void fill_relation(struct pg_relation *rel, const struct pg_answer *r, size_t row)
{
    uint64_t heap = get_size(r, row, BYTES), block = get_size(r, row, BLOCK);

    *rel = (struct pg_relation){
        .oid = pg_oid(r, row, OID),
        .kind = pg_text(r, row, KIND)[0],
        .schema = mem_strdup(pg_text(r, row, SCHEMA)),
        .name = mem_strdup(pg_text(r, row, NAME)),
        .bytes = heap + get_size(r, row, TOAST),
        .blocks = pg_true(r, row, HEAP) && block ? heap / block : 0,
        .readable = pg_true(r, row, READABLE),
        .lockable = pg_true(r, row, LOCKABLE) || pg_text(r, row, KIND)[0] == 'm',
        .row_security = pg_true(r, row, POLICY),
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

/* "TABLE is no good." */
__attribute__((format(printf, 3, 4))) static int refuse_table(const struct pg_table *t,
                                                              struct err *err, const char *fmt, ...)
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
            return refuse_table(t, err, "is selected in different ways by %s and %s", best->where,
                                e->where);
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
        select_entry(table, t->entries, pg_text(t->r, g->own, PATTERNS), &t->selecting);
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
        note_missing(&t->problems, t->entries[number].pattern.text);
}

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
    static const int due[] = {ROOT, OID, KIND, SCHEMA, NAME};
    size_t i;

    for (i = 0; i < sizeof(due) / sizeof(*due); i++)
        if (pg_is_null(r, row, (size_t)due[i]))
            return false;
    return names_entries(pg_text(r, row, PATTERNS), n);
}

/* By root and OID, each once. */
static bool follows(const struct pg_answer *r, size_t row)
{
    uint32_t before = pg_oid(r, row - 1, ROOT), root = pg_oid(r, row, ROOT);

    return before < root || (before == root && pg_oid(r, row - 1, OID) < pg_oid(r, row, OID));
}

/* What the code that takes the rows relies on; n: how many entries there are. */
static int check_relations(const struct pg_answer *r, size_t n, struct err *err)
{
    size_t row, rows = pg_rows(r);

    for (row = 0; row < rows && pg_is_null(r, row, MISS); row++)
        if (!is_relation(r, row, n) || (row && !follows(r, row)))
            return pg_odd_answer(err, "a table that is none");
    for (; row < rows; row++)
        if (pg_number(r, row, MISS) < 1 || pg_number(r, row, MISS) > n)
            return pg_odd_answer(err, "a pattern that is none");
    return 0;
}

/* Rows come ordered by root and then OID, so a table's rows stand together; its own may stand among
 * them. */
static struct rows find_rows(const struct pg_answer *r, size_t first)
{
    struct rows g = {.first = first, .end = first, .own = NO_ROW};
    uint32_t root = pg_oid(r, first, ROOT);

    for (; g.end < pg_rows(r) && pg_is_null(r, g.end, MISS) && pg_oid(r, g.end, ROOT) == root;
         g.end++)
        if (pg_oid(r, g.end, OID) == root)
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
    while (row < rows && pg_is_null(t->r, row, MISS)) {
        struct rows g = find_rows(t->r, row);

        take_table(t, &g);
        row = g.end;
    }
    for (; row < rows; row++)
        take_miss(t, pg_number(t->r, row, MISS) - 1);
    if (t->c->nleft_out)
        qsort(t->c->left_out, t->c->nleft_out, sizeof(*t->c->left_out), by_words);
    rc = tell_problems(&t->problems, err);
    if (rc == 0 && t->selecting.code)
        *err = t->selecting;
    return rc == 0 ? -t->selecting.code : rc;
}

static int by_oid(const void *a, const void *b)
{
    const struct pg_table *x = a, *y = b;

    return x->rel.oid < y->rel.oid ? -1 : x->rel.oid > y->rel.oid;
}

static int by_name(const void *a, const void *b)
{
    const struct pg_table *x = a, *y = b;
    int d = strcmp(x->rel.schema, y->rel.schema);

    return d ? d : strcmp(x->rel.name, y->rel.name);
}

static void take_columns(struct pg_catalog *c, const struct pg_answer *r)
{
    size_t row, rows = pg_rows(r);
    size_t i = 0;

    for (row = 0; row < rows; row++) {
        uint32_t oid = pg_oid(r, row, 0);
        struct pg_table *t;

        while (i < c->ntables && c->tables[i].rel.oid < oid)
            i++;
        if (i == c->ntables)
            return;
        t = &c->tables[i];
        t->columns = mem_resize(t->columns, t->ncolumns + 1, sizeof(*t->columns));
        t->columns[t->ncolumns++] = (struct pg_column){
            .name = mem_strdup(pg_text(r, row, 1)),
            .type = pg_oid(r, row, 2),
            .generated = pg_true(r, row, 3),
            .unsendable = pg_is_null(r, row, 4) ? NULL : mem_strdup(pg_text(r, row, 4)),
        };
    }
}

static void column_free(struct pg_column *c)
{
    free(c->name);
    free(c->unsendable);
}

/* Reduce the columns to those the entry names, in its order. */
static int choose_columns(struct pg_table *t, const struct pg_selection *e, struct err *err)
{
    struct pg_column *chosen = mem_array(e->ncolumns, sizeof(*chosen));
    size_t i, k, n = 0;

    for (i = 0; i < e->ncolumns; i++) {
        for (k = 0; k < t->ncolumns && strcmp(t->columns[k].name, e->columns[i]) != 0; k++)
            ;
        if (k == t->ncolumns) {
            refuse_table(t, err, "has no column \"%s\"", e->columns[i]);
            err_prefix(err, "%s", e->where);
            break;
        }
        chosen[n] = t->columns[k];
        chosen[n].name = mem_strdup(t->columns[k].name);
        chosen[n++].unsendable = mem_strdup(t->columns[k].unsendable);
    }
    for (k = 0; k < t->ncolumns; k++)
        column_free(&t->columns[k]);
    free(t->columns);
    t->columns = chosen;
    t->ncolumns = n;
    return n < e->ncolumns ? -EINVAL : 0;
}

static int apply_selections(struct pg_catalog *c, struct err *err)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < c->ntables && rc == 0; i++) {
        struct pg_table *t = &c->tables[i];

        if (t->selection->ncolumns)
            rc = choose_columns(t, t->selection, err);
        t->filter = mem_strdup(t->selection->filter);
        t->filter_where = mem_strdup(t->selection->where);
    }
    return rc;
}

static void add_unsendable(struct names *n, const struct pg_table *t, const struct pg_column *c)
{
    struct buf b = {0};

    pg_pattern_put(&b, t->rel.schema, t->rel.name);
    buf_puts(&b, " (");
    pg_pattern_put_name(&b, c->name);
    buf_printf(&b, " %s)", c->unsendable);
    add_name(n, b.data);
    buf_free(&b);
}

static int check_sendable(const struct pg_catalog *c, struct err *err)
{
    struct names names = {0};
    size_t i, k;

    for (i = 0; i < c->ntables; i++)
        for (k = 0; k < c->tables[i].ncolumns; k++)
            if (c->tables[i].columns[k].unsendable)
                add_unsendable(&names, &c->tables[i], &c->tables[i].columns[k]);
    err->code = 0;
    tell(err, &names, "--format=binary is not possible for types that have no binary form",
         "take --format=csv or text; or leave out the tables (-T), or the columns "
         "(--tables-from)");
    return -err->code;
}

static int read_columns(struct pg_conn *conn, struct pg_catalog *c, bool binary, struct err *err)
{
    static const struct pg_wanted wanted = {"otobT", 0, PG_MANY};
    struct buf oids = {0};
    const char *values[2];
    struct pg_answer *r = NULL;
    size_t i;
    int rc;

    qsort(c->tables, c->ntables, sizeof(*c->tables), by_oid);
    buf_putc(&oids, '{');
    for (i = 0; i < c->ntables; i++)
        buf_printf(&oids, "%s%u", i ? "," : "", c->tables[i].rel.oid);
    buf_putc(&oids, '}');
    values[0] = oids.data;
    values[1] = binary ? "t" : "f";
    rc = pg_ask(conn, columns_sql, 2, values, &wanted, &r, err);
    if (rc == 0) {
        take_columns(c, r);
        rc = apply_selections(c, err);
    }
    pg_answer_free(r);
    buf_free(&oids);
    qsort(c->tables, c->ntables, sizeof(*c->tables), by_name);
    return rc == 0 ? check_sendable(c, err) : rc;
}

/* The entries as the arrays that relations_sql takes. */
struct entry_arrays {
    struct buf schemas, names, kinds;
};

static void put_entry(struct entry_arrays *a, const struct pg_selection *e)
{
    put_element(&a->schemas, e->pattern.schema);
    put_element(&a->names, e->pattern.name);
    put_element(&a->kinds, e->exclude ? "x" : e->pattern.exact ? "e" : "w");
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

/* The caller's entries, with "everything" behind them when they include nothing. */
static struct pg_selection *complete_entries(const struct pg_selection *entries, size_t *n)
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

static int refuse_empty(const struct pg_catalog *c, const struct pg_server *server, struct err *err)
{
    struct buf b = {0};
    int why;

    err_set(err, ENOENT, "database \"%s\" has no tables that could be taken", server->database);
    for (why = 0; why < PG_WHYS; why++) {
        buf_clear(&b);
        if (pg_catalog_put_left_out(c, (enum pg_why)why, &b))
            err_hint(err, "%.*s", MAX_NAMES, b.data);
    }
    buf_free(&b);
    return -ENOENT;
}

static int read_relations(struct pg_conn *conn, const struct pg_server *server,
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
        rc = refuse_empty(c, server, err);
    pg_answer_free(r);
    return rc;
}

int pg_catalog_read(struct pg_conn *conn, const struct pg_server *server,
                    const struct pg_selection *entries, size_t n, const struct pg_catalog_how *how,
                    struct pg_catalog **catalog, struct err *err)
{
    struct pg_catalog *c = mem_alloc(sizeof(*c));
    struct pg_selection *all = complete_entries(entries, &n);
    int rc = read_relations(conn, server, all, n, how, c, err);

    if (rc == 0)
        rc = read_columns(conn, c, how->binary, err);
    free(all);
    if (rc == 0)
        *catalog = c;
    else
        pg_catalog_free(c);
    return rc;
}

static int check_filter(struct pg_conn *conn, const struct pg_table *t, struct err *err)
{
    struct buf sql = {0};
    char *name;
    int rc;

    buf_puts(&sql, "SELECT FROM ONLY ");
    rc = pg_put_relation(conn, &sql, t->rel.schema, t->rel.name, err);
    buf_puts(&sql, " AS "); /* as where the filter is used (pg/copysql.c) */
    if (rc == 0)
        rc = pg_put_identifier(conn, &sql, t->rel.name, err);
    buf_printf(&sql, " WHERE (%s)", t->filter);
    if (rc == 0)
        rc = pg_prepare(conn, sql.data, err);
    buf_free(&sql);
    if (rc == 0)
        return 0;
    name = pg_pattern_of(t->rel.schema, t->rel.name);
    err_prefix(err, "%s: the filter of %s", t->filter_where, name);
    free(name);
    return rc;
}

int pg_filter_check(struct pg_conn *conn, const struct pg_catalog *c, struct err *err)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < c->ntables && rc == 0; i++)
        if (c->tables[i].filter)
            rc = check_filter(conn, &c->tables[i], err);
    return rc;
}

static void relation_free(struct pg_relation *r)
{
    free(r->schema);
    free(r->name);
}

void pg_catalog_free(struct pg_catalog *c)
{
    size_t i, k;

    if (!c)
        return;
    for (i = 0; i < c->ntables; i++) {
        struct pg_table *t = &c->tables[i];

        relation_free(&t->rel);
        for (k = 0; k < t->ncolumns; k++)
            column_free(&t->columns[k]);
        for (k = 0; k < t->nleaves; k++)
            relation_free(&t->leaves[k]);
        free(t->columns);
        free(t->leaves);
        free(t->filter);
        free(t->filter_where);
    }
    for (i = 0; i < c->nleft_out; i++)
        free(c->left_out[i].name);
    free(c->left_out);
    free(c->missed);
    free(c->tables);
    free(c);
}

static bool same_relation(const struct pg_relation *a, const struct pg_relation *b)
{
    return a->oid == b->oid && a->kind == b->kind && strcmp(a->schema, b->schema) == 0 &&
           strcmp(a->name, b->name) == 0 && a->readable == b->readable &&
           a->row_security == b->row_security && !a->refreshed && !b->refreshed;
}

static bool same_table(const struct pg_table *a, const struct pg_table *b)
{
    size_t i;

    if (!same_relation(&a->rel, &b->rel) || a->ncolumns != b->ncolumns || a->nleaves != b->nleaves)
        return false;
    for (i = 0; i < a->ncolumns; i++)
        if (strcmp(a->columns[i].name, b->columns[i].name) != 0 ||
            a->columns[i].type != b->columns[i].type ||
            a->columns[i].generated != b->columns[i].generated)
            return false;
    for (i = 0; i < a->nleaves; i++)
        if (!same_relation(&a->leaves[i], &b->leaves[i]))
            return false;
    return true;
}

bool pg_catalog_same(const struct pg_catalog *before, const struct pg_catalog *b)
{
    const struct pg_catalog *a = before;
    size_t i;

    if (a->ntables != b->ntables || b->gone)
        return false;
    for (i = 0; i < a->ntables; i++)
        if (!same_table(&a->tables[i], &b->tables[i]))
            return false;
    return true;
}

size_t pg_catalog_count_relations(const struct pg_catalog *c)
{
    size_t n = 0, i;

    for (i = 0; i < c->ntables; i++)
        n += 1 + c->tables[i].nleaves;
    return n;
}
