/* Heaps: asked for, checked, taken. What else belongs to types: heaptypes.c. */
#include "pg/heaps.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/heaptypes.h"
#include "pg/internal.h"

/* ---- facts of the cluster ---- */

static int read_facts(struct pg_conn *conn, struct pg_heaps *h, struct err *err)
{
    static const char sql[] =
        "SELECT pg_catalog.current_setting('server_encoding'),"
        " pg_catalog.current_setting('data_checksums') = 'on',"
        " pg_catalog.current_setting('block_size')::pg_catalog.int4, i.max_data_alignment,"
        " pg_catalog.current_setting('TimeZone'), i.max_toast_chunk_size"
        " FROM pg_catalog.pg_control_init() i";
    static const struct pg_wanted wanted = {"tbooto", 1, 1};
    struct pg_answer *r = NULL;
    int rc = pg_ask(conn, sql, 0, NULL, &wanted, &r, err);

    if (rc == 0) {
        h->version = pg_version(conn);
        h->encoding = mem_strdup(pg_text(r, 0, 0));
        h->checksums = pg_true(r, 0, 1);
        h->block_bytes = pg_oid(r, 0, 2);
        h->max_align = pg_oid(r, 0, 3);
        h->timezone = mem_strdup(pg_text(r, 0, 4));
        h->toast_chunk = pg_oid(r, 0, 5);
    }
    pg_answer_free(r);
    return rc;
}

/* ---- relations ---- */

static void put_oid(struct buf *b, uint32_t oid)
{
    buf_printf(b, "%s%u", b->len > 1 ? "," : "", oid);
}

/* Of what has rows of its own, as an array literal; some may stand there twice. */
static char *list_relations(const struct pg_catalog *c)
{
    struct buf b = {0};
    size_t i, k;

    buf_putc(&b, '{');
    for (i = 0; i < c->ntables; i++) {
        if (c->tables[i].rel.kind != 'p')
            put_oid(&b, c->tables[i].rel.oid);
        for (k = 0; k < c->tables[i].nleaves; k++)
            put_oid(&b, c->tables[i].leaves[k].oid);
    }
    buf_putc(&b, '}');
    return buf_steal(&b);
}

/* The file is named as of now; of what has none any more, the path is NULL. */
static const char heaps_sql[] =
    "SELECT c.oid, coalesce(m.amname, ''),"
    " coalesce(m.amhandler = 'pg_catalog.heap_tableam_handler'::pg_catalog.regproc, false),"
    " coalesce(m.amhandler >= " PG_FIRST_OWN_OID
    ", false), c.relpersistence, pg_catalog.pg_relation_filepath(c.oid), c.reltoastrelid <> 0,"
    " pg_catalog.pg_relation_filepath(c.reltoastrelid)"
    " FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_am m ON m.oid = c.relam"
    " WHERE c.oid = ANY ($1::pg_catalog.oid[]) ORDER BY c.oid";

enum { OID, METHOD, IS_HEAP, IS_FOREIGN, PERSISTENCE, PATH, HAS_TOAST, TOAST_PATH };

/* It will be opened: it has to stay below the data directory. */
static bool is_path(const char *path)
{
    static const char *const roots[] = {"base/", "global/", "pg_tblspc/"};
    size_t i;

    if (!*path) /* NULL */
        return true;
    for (i = 0; i < 3; i++)
        if (strncmp(path, roots[i], strlen(roots[i])) == 0)
            return path[strspn(path, "abcdefghijklmnopqrstuvwxyzPG_0123456789/")] == '\0';
    return false;
}

static int check_heap(const struct pg_answer *r, size_t row, struct err *err)
{
    if (row && pg_oid(r, row - 1, OID) >= pg_oid(r, row, OID))
        return pg_odd_answer(err, "relations in another order");
    if (!pg_heap_is_letter(pg_text(r, row, PERSISTENCE), "put"))
        return pg_odd_answer(err, "\"%s\" as a relpersistence", pg_text(r, row, PERSISTENCE));
    if (!is_path(pg_text(r, row, PATH)) || !is_path(pg_text(r, row, TOAST_PATH)))
        return pg_odd_answer(err, "\"%s\" as the path of a relation", pg_text(r, row, PATH));
    return 0;
}

static char *take_text(const struct pg_answer *r, size_t row, size_t column)
{
    return pg_is_null(r, row, column) ? NULL : mem_strdup(pg_text(r, row, column));
}

static void take_heap(struct pg_heap *h, const struct pg_answer *r, size_t row)
{
    bool gone = pg_true(r, row, HAS_TOAST) && pg_is_null(r, row, TOAST_PATH);

    *h = (struct pg_heap){
        .oid = pg_oid(r, row, OID),
        .method = mem_strdup(pg_text(r, row, METHOD)),
        .is_heap = pg_true(r, row, IS_HEAP),
        .is_foreign = pg_true(r, row, IS_FOREIGN),
        .persistence = pg_text(r, row, PERSISTENCE)[0],
        .path = gone ? NULL : take_text(r, row, PATH),
        .toast_path = take_text(r, row, TOAST_PATH),
    };
}

static int read_heaps(struct pg_conn *conn, const char *const *relations, struct pg_heaps *h,
                      struct err *err)
{
    static const struct pg_wanted wanted = {"ktbbtTbT", 0, PG_MANY};
    struct pg_answer *r = NULL;
    int rc = pg_ask(conn, heaps_sql, 1, relations, &wanted, &r, err);
    size_t row;

    if (rc == 0)
        h->heaps = mem_array(pg_rows(r), sizeof(*h->heaps));
    for (row = 0; rc == 0 && row < pg_rows(r); row++) {
        rc = check_heap(r, row, err);
        if (rc == 0)
            take_heap(&h->heaps[h->nheaps++], r, row);
    }
    pg_answer_free(r);
    return rc;
}

/* ---- attributes ---- */

/*
 * The text of a missing value comes from the output function of its type, which calls those of the types
 * inside: none of them may be the database's. array_to_string writes an element as that function does,
 * without quotes.
 */
static const char attributes_sql[] =
    "WITH RECURSIVE inside(top, type) AS ("
    "  SELECT DISTINCT a.atttypid, a.atttypid FROM pg_catalog.pg_attribute a"
    "    WHERE a.attrelid = ANY ($1::pg_catalog.oid[]) AND a.attnum > 0 AND a.atthasmissing"
    "  UNION SELECT i.top, o.type FROM inside i JOIN pg_catalog.pg_type t ON t.oid = i.type,"
    " " PG_TYPES_INSIDE " WHERE o.type <> 0"
    "), own AS (SELECT i.top FROM inside i JOIN pg_catalog.pg_type t ON t.oid = i.type"
    "  GROUP BY i.top HAVING pg_catalog.bool_and(t.typoutput < " PG_FIRST_OWN_OID "))"
    " SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.attlen, a.attalign,"
    " a.attgenerated = 'v', a.atthasmissing AND o.top IS NULL,"
    " CASE WHEN a.atthasmissing AND o.top IS NOT NULL"
    "  THEN pg_catalog.array_to_string(a.attmissingval, '') END,"
    " CASE WHEN a.atthasmissing AND a.atttypid = 'pg_catalog.timestamptz'::pg_catalog.regtype"
    "  THEN ('x' || pg_catalog.encode(pg_catalog.timestamptz_send("
    "   pg_catalog.array_to_string(a.attmissingval, '')::pg_catalog.timestamptz), 'hex'))"
    "   ::pg_catalog.bit(64)::pg_catalog.int8 END"
    " FROM pg_catalog.pg_attribute a LEFT JOIN own o ON o.top = a.atttypid"
    " WHERE a.attrelid = ANY ($1::pg_catalog.oid[]) AND a.attnum > 0"
    " ORDER BY a.attrelid, a.attnum";

enum { RELATION, NUMBER, NAME, TYPE, LENGTH, ALIGN, VIRTUAL, UNREAD, MISSING, MOMENT };

static int take_attribute(struct pg_heap *h, const struct pg_answer *r, size_t row, struct err *err)
{
    if (pg_number(r, row, NUMBER) != h->nattributes + 1)
        return pg_odd_answer(err, "attributes of a relation that are not all there");
    if (!pg_heap_is_length(pg_integer(r, row, LENGTH)) ||
        !pg_heap_is_letter(pg_text(r, row, ALIGN), PG_HEAP_ALIGNS))
        return pg_odd_answer(err, "an attribute that is none");
    h->attributes = mem_resize(h->attributes, h->nattributes + 1, sizeof(*h->attributes));
    h->attributes[h->nattributes++] = (struct pg_heap_attribute){
        .name = mem_strdup(pg_text(r, row, NAME)),
        .type = pg_oid(r, row, TYPE),
        .len = (int16_t)pg_integer(r, row, LENGTH),
        .align = pg_text(r, row, ALIGN)[0],
        .is_virtual = pg_true(r, row, VIRTUAL),
        .missing = take_text(r, row, MISSING),
        .is_moment = !pg_is_null(r, row, MOMENT),
        .moment = pg_integer(r, row, MOMENT),
        .missing_unread = pg_true(r, row, UNREAD),
    };
    return 0;
}

static int read_attributes(struct pg_conn *conn, const char *const *relations, struct pg_heaps *h,
                           struct err *err)
{
    static const struct pg_wanted wanted = {"kntoitbbTI", 0, PG_MANY};
    struct pg_answer *r = NULL;
    int rc = pg_ask(conn, attributes_sql, 1, relations, &wanted, &r, err);
    size_t row, i = 0;

    for (row = 0; rc == 0 && row < pg_rows(r); row++) {
        while (i < h->nheaps && h->heaps[i].oid < pg_oid(r, row, RELATION))
            i++;
        if (i == h->nheaps || h->heaps[i].oid != pg_oid(r, row, RELATION))
            rc = pg_odd_answer(err, "attributes of another relation");
        else
            rc = take_attribute(&h->heaps[i], r, row, err);
    }
    pg_answer_free(r);
    return rc;
}

/* ---- all of it ---- */

int pg_heaps_read(struct pg_conn *conn, const struct pg_catalog *c, struct pg_heaps **h,
                  struct err *err)
{
    char *list = list_relations(c);
    const char *relations = list;
    int rc;

    *h = mem_alloc(sizeof(**h));
    rc = read_facts(conn, *h, err);
    if (rc == 0)
        rc = read_heaps(conn, &relations, *h, err);
    if (rc == 0)
        rc = read_attributes(conn, &relations, *h, err);
    if (rc == 0)
        rc = pg_heap_types_read(conn, relations, *h, err);
    free(list);
    if (rc < 0) {
        pg_heaps_free(*h);
        *h = NULL;
    }
    return rc;
}

static void free_heap(struct pg_heap *h)
{
    size_t i;

    for (i = 0; i < h->nattributes; i++) {
        free(h->attributes[i].name);
        free(h->attributes[i].missing);
    }
    free(h->attributes);
    free(h->method);
    free(h->path);
    free(h->toast_path);
}

void pg_heaps_free(struct pg_heaps *h)
{
    size_t i;

    if (!h)
        return;
    for (i = 0; i < h->nheaps; i++)
        free_heap(&h->heaps[i]);
    for (i = 0; i < h->ntypes; i++)
        pg_heap_type_free(&h->types[i]);
    free(h->heaps);
    free(h->types);
    free(h->encoding);
    free(h->timezone);
    free(h);
}

const struct pg_heap *pg_heaps_find(const struct pg_heaps *h, uint32_t oid)
{
    return h->nheaps ? bsearch(&oid, h->heaps, h->nheaps, sizeof(*h->heaps), pg_heap_compare_oids)
                     : NULL;
}
