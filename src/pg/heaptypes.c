#include "pg/heaptypes.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/internal.h"

bool pg_heap_is_letter(const char *text, const char *letters)
{
    return *text && !text[1] && strchr(letters, *text);
}

/* pg_type.h: -1 varlena, -2 C string. */
bool pg_heap_is_length(int64_t n)
{
    return n >= -2 && n <= INT16_MAX && n != 0;
}

int pg_heap_compare_oids(const void *key, const void *element)
{
    uint32_t a = *(const uint32_t *)key, b = *(const uint32_t *)element;

    return a < b ? -1 : a > b;
}

const struct pg_heap_type *pg_heaps_find_type(const struct pg_heaps *h, uint32_t oid)
{
    return h->ntypes ? bsearch(&oid, h->types, h->ntypes, sizeof(*h->types), pg_heap_compare_oids)
                     : NULL;
}

/* ---- types ---- */

static const char types_sql[] =
    "WITH RECURSIVE inside(type) AS ("
    "  SELECT DISTINCT a.atttypid FROM pg_catalog.pg_attribute a"
    "    WHERE a.attrelid = ANY ($1::pg_catalog.oid[]) AND a.attnum > 0 AND NOT a.attisdropped"
    "  UNION SELECT o.type FROM inside i JOIN pg_catalog.pg_type t ON t.oid = i.type,"
    " " PG_TYPES_INSIDE " WHERE o.type <> 0"
    ")"
    " SELECT t.oid, t.typtype, t.typlen, t.typalign, t.typdelim, y.is_array,"
    " t.typoutput >= " PG_FIRST_OWN_OID ","
    " CASE WHEN t.typtype = 'd' THEN t.typbasetype WHEN y.is_array THEN t.typelem"
    "  ELSE coalesce(r.rngsubtype, m.rngtypid, 0) END,"
    " pg_catalog.format_type(t.oid, NULL)"
    " FROM inside i JOIN pg_catalog.pg_type t ON t.oid = i.type"
    " LEFT JOIN pg_catalog.pg_range r ON r.rngtypid = t.oid"
    " LEFT JOIN pg_catalog.pg_range m ON m.rngmultitypid = t.oid,"
    " LATERAL (SELECT t.typlen = -1 AND t.typtype = 'b'"
    "   AND t.typsubscript = 'pg_catalog.array_subscript_handler'::pg_catalog.regproc"
    "   AND t.typoutput = 'pg_catalog.array_out'::pg_catalog.regproc) AS y(is_array)"
    " ORDER BY t.oid";

enum { OID, KIND, LENGTH, ALIGN, DELIMITER, IS_ARRAY, IS_FOREIGN, ELEMENT, NAME };

static int check_type(const struct pg_answer *r, size_t row, struct err *err)
{
    if (row && pg_oid(r, row - 1, OID) >= pg_oid(r, row, OID))
        return pg_odd_answer(err, "types in another order");
    if (!pg_heap_is_letter(pg_text(r, row, KIND), "bcdeprm") ||
        !pg_heap_is_length(pg_integer(r, row, LENGTH)) ||
        !pg_heap_is_letter(pg_text(r, row, ALIGN), PG_HEAP_ALIGNS) ||
        strlen(pg_text(r, row, DELIMITER)) != 1)
        return pg_odd_answer(err, "a type that is none, %s", pg_text(r, row, NAME));
    return 0;
}

static void take_type(struct pg_heap_type *t, const struct pg_answer *r, size_t row)
{
    *t = (struct pg_heap_type){
        .oid = pg_oid(r, row, OID),
        .kind = pg_text(r, row, KIND)[0],
        .len = (int16_t)pg_integer(r, row, LENGTH),
        .align = pg_text(r, row, ALIGN)[0],
        .delimiter = pg_text(r, row, DELIMITER)[0],
        .is_array = pg_true(r, row, IS_ARRAY),
        .is_foreign = pg_true(r, row, IS_FOREIGN),
        .element = pg_oid(r, row, ELEMENT),
        .name = mem_strdup(pg_text(r, row, NAME)),
    };
}

static int read_types(struct pg_conn *conn, const char *const *relations, struct pg_heaps *h,
                      struct err *err)
{
    static const struct pg_wanted wanted = {"otittbbot", 0, PG_MANY};
    struct pg_answer *r = NULL;
    int rc = pg_ask(conn, types_sql, 1, relations, &wanted, &r, err);
    size_t row;

    if (rc == 0)
        h->types = mem_array(pg_rows(r), sizeof(*h->types));
    for (row = 0; rc == 0 && row < pg_rows(r); row++) {
        rc = check_type(r, row, err);
        if (rc == 0)
            take_type(&h->types[h->ntypes++], r, row);
    }
    pg_answer_free(r);
    return rc;
}

/* ---- what belongs to a type: rows that begin with its OID, in that order ---- */

struct belongings {
    const char *sql; /* $1: the types */
    struct pg_wanted wanted;
    int (*take)(struct pg_heap_type *t, const struct pg_answer *r, size_t row, struct err *err);
};

static int take_field(struct pg_heap_type *t, const struct pg_answer *r, size_t row,
                      struct err *err)
{
    if (pg_number(r, row, 1) != t->nfields + 1)
        return pg_odd_answer(err, "columns of a type that are not all there");
    if (!pg_heap_is_length(pg_integer(r, row, 3)) ||
        !pg_heap_is_letter(pg_text(r, row, 4), PG_HEAP_ALIGNS))
        return pg_odd_answer(err, "a column of a type that is none");
    t->fields = mem_resize(t->fields, t->nfields + 1, sizeof(*t->fields));
    t->fields[t->nfields++] = (struct pg_heap_field){.type = pg_oid(r, row, 2),
                                                     .len = (int16_t)pg_integer(r, row, 3),
                                                     .align = pg_text(r, row, 4)[0]};
    return 0;
}

static const struct belongings fields = {
    "SELECT t.oid, a.attnum, a.atttypid, a.attlen, a.attalign"
    " FROM pg_catalog.pg_type t JOIN pg_catalog.pg_attribute a ON a.attrelid = t.typrelid"
    " WHERE t.oid = ANY ($1::pg_catalog.oid[]) AND t.typtype = 'c' AND a.attnum > 0"
    " ORDER BY t.oid, a.attnum",
    {"knoit", 0, PG_MANY},
    take_field};

static int take_label(struct pg_heap_type *t, const struct pg_answer *r, size_t row,
                      struct err *err)
{
    uint32_t oid = pg_oid(r, row, 1);

    if (t->nlabels && t->labels[t->nlabels - 1].oid >= oid)
        return pg_odd_answer(err, "labels in another order");
    t->labels = mem_resize(t->labels, t->nlabels + 1, sizeof(*t->labels));
    t->labels[t->nlabels++] = (struct pg_heap_label){oid, mem_strdup(pg_text(r, row, 2))};
    return 0;
}

static const struct belongings labels = {
    "SELECT e.enumtypid, e.oid, e.enumlabel FROM pg_catalog.pg_enum e"
    " WHERE e.enumtypid = ANY ($1::pg_catalog.oid[]) ORDER BY e.enumtypid, e.oid",
    {"kot", 0, PG_MANY},
    take_label};

static int read_belongings(struct pg_conn *conn, const struct belongings *b, const char *types,
                           struct pg_heaps *h, struct err *err)
{
    struct pg_answer *r = NULL;
    int rc = pg_ask(conn, b->sql, 1, &types, &b->wanted, &r, err);
    size_t row, i = 0;

    for (row = 0; rc == 0 && row < pg_rows(r); row++) {
        while (i < h->ntypes && h->types[i].oid < pg_oid(r, row, 0))
            i++;
        if (i == h->ntypes || h->types[i].oid != pg_oid(r, row, 0))
            rc = pg_odd_answer(err, "parts of another type");
        else
            rc = b->take(&h->types[i], r, row, err);
    }
    pg_answer_free(r);
    return rc;
}

/* ---- names that reg* types print: they depend on what else is there, so the server writes them ---- */

static const struct {
    uint32_t type; /* pg_type.oid, the same everywhere */
    const char *name, *catalog;
} regs[] = {
    {24, "regproc", "pg_proc"},
    {2202, "regprocedure", "pg_proc"},
    {2203, "regoper", "pg_operator"},
    {2204, "regoperator", "pg_operator"},
    {2205, "regclass", "pg_class"},
    {2206, "regtype", "pg_type"},
    {3734, "regconfig", "pg_ts_config"},
    {3769, "regdictionary", "pg_ts_dict"},
    {4089, "regnamespace", "pg_namespace"},
    {4096, "regrole", "pg_roles"},
    {4191, "regcollation", "pg_collation"},
};

/* pg_roles, since not everybody may read pg_authid. */
static int read_names(struct pg_conn *conn, uint32_t type, const char *name, const char *catalog,
                      struct pg_heaps *h, struct err *err)
{
    char *sql = mem_printf("SELECT t.oid, o.oid, pg_catalog.textin(pg_catalog.%sout(o.oid))"
                           " FROM pg_catalog.pg_type t,"
                           " (SELECT 0::pg_catalog.oid UNION ALL SELECT c.oid FROM pg_catalog.%s c)"
                           " AS o(oid) WHERE t.oid = $1::pg_catalog.oid ORDER BY o.oid",
                           name, catalog);
    char *number = mem_printf("%u", type);
    const struct belongings names = {sql, {"oot", 1, PG_MANY}, take_label};
    int rc = read_belongings(conn, &names, number, h, err);

    free(number);
    free(sql);
    return rc;
}

static int read_all_names(struct pg_conn *conn, struct pg_heaps *h, struct err *err)
{
    int rc = 0;
    size_t i;

    for (i = 0; rc == 0 && i < sizeof(regs) / sizeof(*regs); i++)
        if (pg_heaps_find_type(h, regs[i].type))
            rc = read_names(conn, regs[i].type, regs[i].name, regs[i].catalog, h, err);
    return rc;
}

/* ---- foreign types ---- */

static bool is_foreign(const struct pg_heaps *h, uint32_t oid)
{
    const struct pg_heap_type *t = pg_heaps_find_type(h, oid);

    return t && t->is_foreign;
}

static bool has_foreign(const struct pg_heaps *h, const struct pg_heap_type *t)
{
    size_t i;

    for (i = 0; i < t->nfields; i++)
        if (is_foreign(h, t->fields[i].type))
            return true;
    return is_foreign(h, t->element);
}

/* From type to type that it is in, until no more are found. */
static void spread_foreign(struct pg_heaps *h)
{
    bool more = true;
    size_t i;

    while (more) {
        more = false;
        for (i = 0; i < h->ntypes; i++)
            if (!h->types[i].is_foreign && has_foreign(h, &h->types[i]))
                h->types[i].is_foreign = more = true;
    }
}

/* ---- all of it ---- */

static char *list_types(const struct pg_heaps *h)
{
    struct buf b = {0};
    size_t i;

    buf_putc(&b, '{');
    for (i = 0; i < h->ntypes; i++)
        buf_printf(&b, "%s%u", i ? "," : "", h->types[i].oid);
    buf_putc(&b, '}');
    return buf_steal(&b);
}

int pg_heap_types_read(struct pg_conn *conn, const char *relations, struct pg_heaps *h,
                       struct err *err)
{
    int rc = read_types(conn, &relations, h, err);
    char *types = list_types(h);

    if (rc == 0)
        rc = read_belongings(conn, &fields, types, h, err);
    if (rc == 0)
        rc = read_belongings(conn, &labels, types, h, err);
    if (rc == 0)
        rc = read_all_names(conn, h, err);
    spread_foreign(h);
    free(types);
    return rc;
}

void pg_heap_type_free(struct pg_heap_type *t)
{
    size_t i;

    for (i = 0; i < t->nlabels; i++)
        free(t->labels[i].text);
    free(t->labels);
    free(t->fields);
    free(t->name);
}
