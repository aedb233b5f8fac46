#include "pg/recordparts.h"

#include "pg/internal.h"

int pg_record_count_parts(struct pg_conn *conn, const char *name, struct pg_record_parts *parts,
                          struct err *err)
{
    static const struct pg_wanted wanted = {"nnn", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);

    if (rc == 0)
        rc = pg_ask(conn,
                    "SELECT pg_catalog.count(done_at), pg_catalog.count(*),"
                    " coalesce(pg_catalog.sum(rows), 0)::bigint FROM asofs.chunk WHERE view = $1",
                    1, &name, &wanted, &a, err);
    if (rc == 0)
        *parts =
            (struct pg_record_parts){pg_number(a, 0, 0), pg_number(a, 0, 1), pg_number(a, 0, 2)};
    pg_answer_free(a);
    pg_rollback(conn);
    return rc;
}
