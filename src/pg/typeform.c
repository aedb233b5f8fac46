#include "pg/typeform.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/internal.h"

/*
 * Types of PostgreSQL itself whose binary form means the same in every database, as format_type()
 * names them. Not reg*, which are numbers of a catalog, nor xml, whose encoding would be another, nor
 * money, whose unit depends on a setting.
 */
static const char *const portable_types[] = {
    "\"char\"",
    "bigint",
    "bit",
    "bit varying",
    "boolean",
    "box",
    "bytea",
    "character",
    "character varying",
    "cidr",
    "circle",
    "date",
    "daterange",
    "double precision",
    "inet",
    "int4range",
    "int8range",
    "integer",
    "interval",
    "json",
    "jsonb",
    "line",
    "lseg",
    "macaddr",
    "macaddr8",
    "name",
    "numeric",
    "numrange",
    "oid",
    "path",
    "pg_lsn",
    "point",
    "polygon",
    "real",
    "smallint",
    "text",
    "tid",
    "time with time zone",
    "time without time zone",
    "timestamp with time zone",
    "timestamp without time zone",
    "tsrange",
    "tstzrange",
    "tsvector",
    "uuid",
    "xid",
    "xid8",
};

/* $1: the types. A type is inside of itself. */
static const char inside_sql[] =
    "WITH RECURSIVE inside(n, top, type, told) AS ("
    "  SELECT u.n, u.type, u.type, false FROM (SELECT x.n, pg_catalog.to_regtype(x.name)::oid AS "
    "type"
    "    FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY AS x(name, n)) u"
    "    WHERE u.type IS NOT NULL"
    "  UNION SELECT i.n, i.top, o.type, o.told FROM inside i"
    "    JOIN pg_catalog.pg_type t ON t.oid = i.type, " PG_TYPES_INSIDE " WHERE o.type <> 0"
    "), texts AS (SELECT i.n, " PG_TYPES_TEXT(
        "CASE WHEN i.type <> i.top AND i.top >= " PG_FIRST_OWN_OID
        " THEN i.type END") " AS text FROM inside i GROUP BY i.n)"
                            " SELECT i.n, pg_catalog.format_type(i.type, NULL), i.told AND i.type "
                            ">= " PG_FIRST_OWN_OID ","
                            " t.typtype IN ('c', 'd', 'e', 'm', 'r') OR t.typsend = "
                            "'pg_catalog.array_send'::pg_catalog.regproc,"
                            " coalesce(x.text, '') FROM inside i JOIN pg_catalog.pg_type t ON "
                            "t.oid = i.type"
                            " JOIN texts x ON x.n = i.n ORDER BY i.n";

enum { I_NUMBER, I_NAME, I_OWN_NUMBER, I_MADE_OF_OTHERS, I_INSIDE };

static bool is_portable(const char *type)
{
    size_t i, n = sizeof(portable_types) / sizeof(*portable_types);

    for (i = 0; i < n; i++)
        if (strcmp(portable_types[i], type) == 0)
            return true;
    return false;
}

/* Those made of others say nothing but these, and an enum its label. */
static void take_part(struct pg_typeform *f, const struct pg_answer *a, size_t row)
{
    f->money |= strcmp(pg_text(a, row, I_NAME), "money") == 0;
    f->portable &= !pg_true(a, row, I_OWN_NUMBER) &&
                   (pg_true(a, row, I_MADE_OF_OTHERS) || is_portable(pg_text(a, row, I_NAME)));
    if (!f->inside)
        f->inside = mem_strdup(pg_text(a, row, I_INSIDE));
}

static int take_parts(struct pg_typeform *forms, size_t n, const struct pg_answer *a,
                      struct err *err)
{
    size_t row, number;

    for (row = 0; row < n; row++)
        forms[row].portable = true;
    for (row = 0; row < pg_rows(a); row++) {
        number = pg_number(a, row, I_NUMBER);
        if (number < 1 || number > n)
            return pg_odd_answer(err, "a type that was not asked for");
        take_part(&forms[number - 1], a, row);
    }
    for (row = 0; row < n; row++)
        forms[row].portable &= forms[row].inside != NULL;
    return 0;
}

void pg_typeform_free(struct pg_typeform *forms, size_t n)
{
    size_t i;

    for (i = 0; forms && i < n; i++)
        free(forms[i].inside);
    free(forms);
}

int pg_typeform_read(struct pg_conn *conn, const char *const *types, size_t n,
                     struct pg_typeform **forms, struct err *err)
{
    static const struct pg_wanted wanted = {"ntbbt", 0, PG_MANY};
    struct buf names = {0};
    struct pg_answer *a = NULL;
    const char *value;
    size_t i;
    int rc;

    buf_putc(&names, '{');
    for (i = 0; i < n; i++)
        pg_put_element(&names, types[i]);
    buf_putc(&names, '}');
    value = names.data;
    *forms = mem_array(n + 1, sizeof(**forms));
    rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);
    if (rc == 0)
        rc = pg_ask(conn, inside_sql, 1, &value, &wanted, &a, err);
    if (rc == 0)
        rc = take_parts(*forms, n, a, err);
    pg_rollback(conn);
    pg_answer_free(a);
    buf_free(&names);
    if (rc < 0) {
        pg_typeform_free(*forms, n);
        *forms = NULL;
    }
    return rc;
}

int pg_typeform_takes_monetary(struct pg_conn *conn, const char *lc_monetary, bool *takes,
                               struct err *err)
{
    static const struct pg_wanted wanted = {"t", 1, 1};
    struct pg_answer *a = NULL;
    struct err why;
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);

    if (rc < 0)
        return rc;
    rc = pg_ask(conn, "SELECT pg_catalog.set_config('lc_monetary', $1, true)", 1, &lc_monetary,
                &wanted, &a, &why);
    *takes = rc == 0;
    pg_answer_free(a);
    pg_rollback(conn);
    if (rc == 0 || rc == -EIO) /* it refused the value */
        return 0;
    *err = why;
    return rc;
}
