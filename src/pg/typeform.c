#include "pg/typeform.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "pg/internal.h"

/* $1: the types. A type is inside of itself. */
static const char inside_sql[] =
    "WITH RECURSIVE inside(n, type) AS ("
    "  SELECT u.n, pg_catalog.to_regtype(u.name)::pg_catalog.oid"
    "    FROM pg_catalog.unnest($1::pg_catalog.text[]) WITH ORDINALITY AS u(name, n)"
    "  UNION SELECT i.n, o.type FROM inside i JOIN pg_catalog.pg_type t"
    "    ON t.oid OPERATOR(pg_catalog.=) i.type, LATERAL (SELECT t.typbasetype"
    "    UNION ALL SELECT t.typelem WHERE t.typsend OPERATOR(pg_catalog.=)"
    "      'pg_catalog.array_send'::pg_catalog.regproc"
    "    UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r"
    "      WHERE t.oid OPERATOR(pg_catalog.=) r.rngtypid"
    "    UNION ALL SELECT r.rngtypid FROM pg_catalog.pg_range r"
    "      WHERE t.oid OPERATOR(pg_catalog.=) r.rngmultitypid"
    "    UNION ALL SELECT f.atttypid FROM pg_catalog.pg_attribute f"
    "      WHERE f.attrelid OPERATOR(pg_catalog.=) t.typrelid"
    "      AND f.attnum OPERATOR(pg_catalog.>) 0 AND NOT f.attisdropped) o(type)"
    "    WHERE o.type OPERATOR(pg_catalog.<>) 0::pg_catalog.oid"
    ") SELECT i.n, pg_catalog.format_type(i.type, NULL) FROM inside i"
    " WHERE i.type IS NOT NULL ORDER BY i.n";

enum { I_NUMBER, I_NAME };

static void take_part(struct pg_typeform *f, const struct pg_answer *a, size_t row)
{
    f->money |= strcmp(pg_text(a, row, I_NAME), "money") == 0;
}

static int take_parts(struct pg_typeform *forms, size_t n, const struct pg_answer *a,
                      struct err *err)
{
    size_t row, number;

    for (row = 0; row < pg_rows(a); row++) {
        number = pg_number(a, row, I_NUMBER);
        if (number < 1 || number > n)
            return pg_odd_answer(err, "a type that was not asked for");
        take_part(&forms[number - 1], a, row);
    }
    return 0;
}

int pg_typeform_read(struct pg_conn *conn, const char *const *types, size_t n,
                     struct pg_typeform **forms, struct err *err)
{
    static const struct pg_wanted wanted = {"nt", 0, PG_MANY};
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
        free(*forms);
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
