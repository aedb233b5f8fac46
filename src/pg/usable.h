/*
 * Relations that somebody may ask for: all of a database at once, and those of them that entries of the
 * copy-table list select, chosen here and not by the server. For memory.h; the answer is that of the query of
 * relations.c, whose parts stand here because both ask for the same.
 */
#ifndef ASOFS_PG_USABLE_H
#define ASOFS_PG_USABLE_H

#include "pg/answer.h"
#include "pg/relations.h"

/* c: pg_class, n: its pg_namespace. Of the kinds that can be named, and not the system's or our own. */
#define PG_USABLE                                                                                  \
    "(c.relkind IN ('r', 'p', 'm', 'f', 'v', 'S') AND c.relpersistence <> 't'"                     \
    " AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"                               \
    " AND n.oid NOT IN (SELECT d.objoid FROM pg_catalog.pg_description d WHERE"                    \
    " d.classoid = 'pg_catalog.pg_namespace'::pg_catalog.regclass"                                 \
    " AND d.description = 'asofs: format 1'))"

/* And visible on a search path; path.names: name[]. */
#define PG_VISIBLE                                                                                 \
    "(n.nspname = ANY (path.names) AND NOT EXISTS (SELECT FROM"                                    \
    " pg_catalog.pg_class d JOIN pg_catalog.pg_namespace m ON m.oid = d.relnamespace"              \
    " WHERE d.relname = c.relname AND m.nspname = ANY (path.names)"                                \
    " AND pg_catalog.array_position(path.names, m.nspname)"                                        \
    " < pg_catalog.array_position(path.names, n.nspname)))"

/*
 * What is to be known of each, from PG_REL_READABLE to PG_REL_LOCKABLE; a: its pg_am, t: its TOAST table, b.size: of
 * a block, b.exact: whether sizes are to be.
 *
 * pg_relation_size() takes a lock and waits for it, so before our locks are held the size is relpages. LOCK TABLE
 * refuses materialized views, so they are locked after the snapshot was taken; a REFRESH in between is seen by the
 * file node that is current (pg_relation_filenode) being another than the snapshot's. asofs.recovered is set by a
 * private server (private.c): its recovery has emptied unlogged tables.
 *
 * PG_REL_READABLE is NULL of what was dropped since the snapshot of the query; so no AND, of which false is stronger.
 */
#define PG_RELATION_FACTS                                                                          \
    "(pg_catalog.has_table_privilege(c.oid, 'SELECT')::pg_catalog.int4"                            \
    " & pg_catalog.has_schema_privilege(n.oid, 'USAGE')::pg_catalog.int4) = 1,"                    \
    " pg_catalog.row_security_active(c.oid), coalesce(a.amname = 'heap', false),"                  \
    " CASE WHEN c.relkind NOT IN ('r', 'm') THEN 0"                                                \
    " WHEN b.exact THEN pg_catalog.pg_relation_size(c.oid)"                                        \
    " ELSE c.relpages::pg_catalog.int8 * b.size END,"                                              \
    " CASE WHEN c.relkind NOT IN ('r', 'm') OR c.reltoastrelid = 0 THEN 0"                         \
    " WHEN b.exact THEN pg_catalog.pg_relation_size(c.reltoastrelid)"                              \
    " ELSE t.relpages::pg_catalog.int8 * b.size END, b.size,"                                      \
    " CASE WHEN c.relpersistence = 'u' AND pg_catalog.pg_is_in_recovery() THEN 'standby'"          \
    " WHEN c.relpersistence = 'u'"                                                                 \
    " AND pg_catalog.current_setting('asofs.recovered', true) = 'on' THEN 'past'"                  \
    " WHEN c.relkind <> 'm' THEN '' WHEN NOT c.relispopulated THEN 'empty'"                        \
    " WHEN b.exact AND pg_catalog.pg_relation_filenode(c.oid)"                                     \
    " IS DISTINCT FROM c.relfilenode THEN 'refreshed' ELSE '' END,"                                \
    " coalesce(pg_catalog.has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE'), false)"

#define PG_RELATION_FACTS_FROM                                                                     \
    " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"                                    \
    " LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam"                                             \
    " LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid"
#define PG_BLOCK_SIZE "pg_catalog.current_setting('block_size')::pg_catalog.int8"

/* The columns of the answer about relations; the last of a pattern that matched nothing, which has no other. */
enum {
    PG_REL_ROOT,
    PG_REL_OID,
    PG_REL_KIND,
    PG_REL_SCHEMA,
    PG_REL_NAME,
    PG_REL_READABLE, /* NULL of what is gone, and so can be what else a function of the server says */
    PG_REL_POLICY,
    PG_REL_HEAP,
    PG_REL_BYTES,
    PG_REL_TOAST,
    PG_REL_BLOCK,
    PG_REL_STATE,
    PG_REL_LOCKABLE,
    PG_REL_EXACT,
    PG_REL_PATTERNS, /* numbers of the entries, from 1, separated by spaces */
    PG_REL_MISS
};
#define PG_REL_LETTERS "OOTTTBBBIIITBBTN"

/* One query. Every table, leaf and partitioned table is a table of c of its own, without columns. */
int pg_usable_read(struct pg_conn *conn, const struct pg_server *server, struct pg_catalog *c,
                   struct err *err);

/* Of a session that answers from memory. *answer has PG_REL_LETTERS and is the caller's. -EREMOTE: a
 * pattern is one that only the server matches. */
int pg_usable_choose(struct pg_conn *conn, const struct pg_server *server,
                     const struct pg_selection *entries, size_t n, const struct pg_wanted *wanted,
                     struct pg_answer **answer, struct err *err);

#endif
