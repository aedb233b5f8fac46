/*
 * Copies of other names that are current no more. Which tables a name fills stands in asofs."table":
 * those of the run that was published, and of later ones, which have failed but taken the entries of
 * earlier ones over. A filter does not matter here, for whether two filters share rows is not known.
 */
#include "pg/internal.h"
#include "pg/overlap.h"
#include "pg/publishing.h"

/* clang-format off */
/* $1: name of the copy that is published. */
#define REPLACED(and)                                                                              \
    "WITH l AS (SELECT o.target_schema AS t, o.name AS n FROM asofs.\"table\" o"                   \
    "  WHERE o.view = $1 AND o.run = (SELECT max(p.run) FROM asofs.\"table\" p WHERE p.view = $1))," \
    " sharing AS (" PG_SHARING("l") "),"                                                           \
    " gone AS (SELECT DISTINCT v.name FROM asofs.label v JOIN asofs.\"table\" o ON o.view = v.name" \
    "  WHERE v.state = 'current' AND v.name <> $1"                                                 \
    "  AND o.run >= coalesce((SELECT max(p.run) FROM asofs.\"table\" p WHERE p.view = v.name"      \
    "   AND p.run <= extract(epoch FROM v.published_at) * 1000), 0)"                               \
    "  AND " PG_OID_OF("o.target_schema", "o.name") " IN (SELECT oid FROM sharing)" and ")"        \
    " UPDATE asofs.label v SET state = 'replaced' FROM gone WHERE v.name = gone.name"               \
    " RETURNING pg_notify('asofs', v.name)::text"

/* A copy in large objects fills no tables. */
static const char replaced_sql[] = REPLACED("");
static const char with_objects_sql[] =
    REPLACED(" AND NOT EXISTS (SELECT FROM asofs.flat_file f WHERE f.view = v.name)");
/* clang-format on */

int pg_publish_replace(struct pg_conn *conn, const char *name, struct err *err)
{
    static const struct pg_wanted there = {"b", 1, 1}, names = {"T", 0, PG_MANY};
    struct pg_answer *a = NULL;
    bool objects;
    int rc =
        pg_ask(conn, "SELECT to_regclass('asofs.flat_file') IS NOT NULL", 0, NULL, &there, &a, err);

    if (rc < 0)
        return rc;
    objects = pg_true(a, 0, 0);
    pg_answer_free(a);
    rc = pg_ask(conn, objects ? with_objects_sql : replaced_sql, 1, &name, &names, &a, err);
    if (rc == 0)
        pg_answer_free(a);
    return rc;
}
