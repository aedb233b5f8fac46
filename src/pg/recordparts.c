#include "pg/recordparts.h"

#include "pg/internal.h"

/* Locks of the primary are not seen on a standby. */
static int ask_held(struct pg_conn *conn, const char *name, bool *held, struct err *err)
{
    static const struct pg_wanted wanted = {"b", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn,
                    "SELECT pg_catalog.pg_is_in_recovery() OR EXISTS"
                    " (SELECT FROM pg_catalog.pg_locks l WHERE" PG_HOLDS_NAME("$1") ")",
                    1, &name, &wanted, &a, err);

    if (rc == 0)
        *held |= pg_true(a, 0, 0);
    pg_answer_free(a);
    return rc;
}

static int count_parts(struct pg_conn *conn, const char *name, struct pg_record_parts *parts,
                       struct err *err)
{
    static const struct pg_wanted wanted = {"nnn", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn,
                    "SELECT pg_catalog.count(done_at), pg_catalog.count(*),"
                    " coalesce(pg_catalog.sum(rows), 0)::bigint FROM asofs.chunk"
                    " WHERE view = $1 AND chunk >= 0",
                    1, &name, &wanted, &a, err);

    if (rc == 0)
        *parts = (struct pg_record_parts){pg_number(a, 0, 0), pg_number(a, 0, 1),
                                          pg_number(a, 0, 2), false};
    pg_answer_free(a);
    return rc;
}

/* One that ends takes its parts away before it gives its name back; one that begins takes the name
 * first. */
int pg_record_count_parts(struct pg_conn *conn, const char *name, struct pg_record_parts *parts,
                          struct err *err)
{
    bool held = false;
    int rc = pg_begin(conn, PG_READ_ONLY, false, NULL, err);

    if (rc == 0)
        rc = ask_held(conn, name, &held, err);
    if (rc == 0)
        rc = count_parts(conn, name, parts, err);
    if (rc == 0)
        rc = ask_held(conn, name, &held, err);
    if (rc == 0)
        parts->is_over = !held;
    pg_rollback(conn);
    return rc;
}
