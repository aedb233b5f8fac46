#include "pg/trust.h"

#include <errno.h>
#include <stdlib.h>

#include "pg/internal.h"

/* Objects made by initdb have smaller OIDs than the first one of a user (FirstNormalObjectId). */
static const char query[] =
    "WITH RECURSIVE foreign_type AS ("
    "  SELECT t.oid FROM pg_catalog.pg_type t WHERE t.typoutput >= 16384 OR t.typsend >= 16384"
    " UNION "
    /* Arrays, domains, ranges and rows of it: their own functions call its. */
    "  SELECT o.oid FROM foreign_type f, LATERAL ("
    "    SELECT t.oid FROM pg_catalog.pg_type t WHERE t.typelem = f.oid OR t.typbasetype = f.oid"
    "    UNION ALL SELECT r.rngtypid FROM pg_catalog.pg_range r WHERE r.rngsubtype = f.oid"
    "    UNION ALL SELECT r.rngmultitypid FROM pg_catalog.pg_range r WHERE r.rngsubtype = f.oid"
    "    UNION ALL SELECT c.reltype FROM pg_catalog.pg_attribute a"
    "      JOIN pg_catalog.pg_class c ON c.oid = a.attrelid"
    "     WHERE a.atttypid = f.oid AND NOT a.attisdropped AND c.reltype <> 0) o)"
    "SELECT 'type ' || t.oid::pg_catalog.regtype::pg_catalog.text"
    "  FROM foreign_type t"
    " WHERE EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.atttypid = t.oid"
    "                  AND a.attrelid >= 16384 AND NOT a.attisdropped)"
    " UNION ALL "
    "SELECT 'access method ' || m.amname::pg_catalog.text"
    "  FROM pg_catalog.pg_am m"
    " WHERE m.amhandler >= 16384"
    "   AND EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.relam = m.oid)"
    " LIMIT 5";

int pg_refuse_foreign_code(struct pg_conn *conn, struct err *err)
{
    static const struct pg_wanted wanted = {"t", 0, 5};
    struct buf names = {0};
    struct pg_answer *a = NULL;
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);
    size_t i;

    if (rc == 0)
        rc = pg_ask(conn, query, 0, NULL, &wanted, &a, err);
    for (i = 0; rc == 0 && i < pg_rows(a); i++)
        buf_printf(&names, "%s%s", i ? ", " : "", pg_text(a, i, 0));
    pg_answer_free(a);
    pg_rollback(conn);
    if (rc == 0 && names.len) {
        rc =
            err_set(err, EACCES, "reading the base would run code that it brought: %s", names.data);
        err_hint(err, "--trust-base allows it, if you know where the base comes from");
    }
    buf_free(&names);
    return rc;
}
