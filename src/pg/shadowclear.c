/*
 * What an earlier copy left is dropped: in tries, as in publishing. For a foreign key of a shadow
 * may be dropped with it, which locks the table that it refers to, and this may be anybody's.
 */
#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/mem.h"
#include "pg/publishing.h"

static int drop(struct pg_conn *conn, const char *name, struct err *err)
{
    static const char find[] =
        "SELECT string_agg(format('DROP SCHEMA %I CASCADE', n.nspname), '; ' ORDER BY n.nspname)"
        " FROM pg_namespace n WHERE n.nspname LIKE 'asofs\\_%'"
        " AND obj_description(n.oid, 'pg_namespace') = '" SHADOW_COMMENT "' || $1";
    static const struct pg_wanted wanted = {"T", 1, 1};
    struct pg_answer *a;
    int rc = pg_ask(conn, find, 1, &name, &wanted, &a, err);

    if (rc == 0 && !pg_is_null(a, 0, 0))
        rc = pg_run(conn, pg_text(a, 0, 0), err);
    if (rc == 0)
        rc = pg_run(conn, "COMMIT", err);
    pg_answer_free(a);
    return rc;
}

static int try_clear(struct pg_conn *conn, const char *name, int64_t try_ms, struct err *err)
{
    char *more = mem_printf("SET LOCAL lock_timeout = %lld", (long long)try_ms);
    int rc = pg_begin(conn, PG_READ_WRITE, false, more, err);

    free(more);
    if (rc == 0)
        rc = drop(conn, name, err);
    if (rc < 0)
        pg_rollback(conn);
    return rc;
}

int pg_shadow_clear(struct pg_conn *conn, const char *name, int64_t timeout_ms, struct err *err)
{
    int64_t deadline = clock_ms() + timeout_ms, try_ms;
    int rc = pg_publish_try_ms(conn, &try_ms, err);

    while (rc == 0 && (rc = try_clear(conn, name, try_ms, err)) == -EBUSY)
        rc = pg_publish_pause(conn, deadline, err);
    if (rc < 0)
        err_prefix(err, "the shadow tables of an earlier copy \"%s\" cannot be dropped", name);
    return rc;
}
