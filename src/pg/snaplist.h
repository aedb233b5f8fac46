/* The list of snapshot tables as parameters of a query. For the files of pg/; others have
 * snaptable.h. */
#ifndef ASOFS_PG_SNAPLIST_H
#define ASOFS_PG_SNAPLIST_H

#include "pg/answer.h"
#include "pg/refusals.h"
#include "pg/snaptable.h"

/* Number in the list, from 1, and what there is under these names. */
#define PG_SNAP_LISTED                                                                             \
    "WITH listed AS (SELECT l.i, l.s, l.n, ns.oid AS schema, c.oid, c.relkind"                     \
    " FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS l(s, n, i)"                           \
    " LEFT JOIN pg_catalog.pg_namespace ns ON ns.nspname = l.s"                                    \
    " LEFT JOIN pg_catalog.pg_class c ON c.relnamespace = ns.oid AND c.relname = l.n)"

/* sql: begins with PG_SNAP_LISTED. more: $3, or NULL. */
int pg_snap_ask(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n, const char *sql,
                const char *more, const struct pg_wanted *wanted, struct pg_answer **a,
                struct err *err);

/* Its name, among others for an error. */
void pg_snap_name(const struct pg_snaptable *t, struct pg_names *names);

/* A statement for whoever may grant. */
void pg_snap_name_grant(struct pg_names *grants, const char *grant);

#endif
