/*
 * What the files that deal with shadows share: the list as parameters of a query, and the tables of
 * it with their partitions as the beginning of one. For shadow*.c, publish.c, swap.c and rows.c.
 *
 * The server makes the statements (format with %I and %L), from its own catalogs; C runs them. All
 * queries run with an empty search_path (pg_begin), so that what the server prints is qualified.
 */
#ifndef ASOFS_PG_SHADOWTREE_H
#define ASOFS_PG_SHADOWTREE_H

#include "pg/internal.h"
#include "pg/shadow.h"

#define SHADOW_COMMENT "asofs: shadow tables of " /* on the schemas, before the name of the copy */

/*
 * $1, $2: schema and name of the tables of the list; $3, $4: schemas, and those of their shadows.
 * $5: the columns that are loaded of each, an array literal, '{}' for all but generated ones; $6:
 * their filters, '' for none; $7: name of the copy; $8: shadows are to be unlogged; $9: number of a
 * table in the list, or 0.
 */
#define SHADOW_PARAMETERS 8 /* and $9, which belongs to the query */
struct pg_shadows {
    char *name;
    enum pg_publish mode;
    size_t n;
    char **schemas; /* of the shadows of the list; ends with NULL */
    char *values[SHADOW_PARAMETERS];
};

/* clang-format off */
/*
 * tree: every table of the list with its partitions. i: number in the list, from 1.
 */
#define SHADOW_LISTED                                                                              \
    "WITH RECURSIVE listed AS (SELECT l.i, l.s, l.n, l.c::text[] AS cols, nullif(l.f, '') AS f"    \
    "  FROM unnest($1::text[], $2::text[], $5::text[], $6::text[])"                                \
    "    WITH ORDINALITY AS l(s, n, c, f, i)),"                                                    \
    " tree AS (SELECT l.i, c.oid, 0 AS depth, 0::oid AS parent"                                    \
    "  FROM listed l JOIN pg_namespace n ON n.nspname = l.s"                                       \
    "  JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = l.n"                              \
    "  UNION ALL SELECT t.i, h.inhrelid, t.depth + 1, t.oid"                                       \
    "  FROM tree t JOIN pg_class p ON p.oid = t.oid AND p.relkind = 'p'"                           \
    "  JOIN pg_inherits h ON h.inhparent = t.oid)"

/*
 * rel: the same with what pg_class says, sch: its schema, w: that of its shadow, o and s: the names
 * of both, qualified and quoted; sp: relpersistence of the shadow under swap. copy: its name, and the
 * number i of the table that is asked about.
 *
 * Who made a table unlogged himself wants it so. Those that a copy of this name made so become logged
 * again. Parents of partitions, which have no rows, cannot be unlogged from version 18 on.
 */
#define SHADOW_TREE                                                                                \
    SHADOW_LISTED                                                                                  \
    ", copy AS (SELECT $7::text AS name, $8::bool AS unlogged, $9::int8 AS i),"                    \
    " made AS (SELECT l.i FROM listed l JOIN asofs.\"table\" m ON m.target_schema = l.s"           \
    "  AND m.name = l.n JOIN copy ON copy.name = m.view WHERE m.unlogged),"                        \
    " map AS (SELECT m.s, m.w FROM unnest($3::text[], $4::text[]) AS m(s, w)),"                    \
    " rel AS MATERIALIZED (SELECT t.i, t.depth, t.parent, c.*, n.nspname AS sch, m.w,"             \
    "  CASE WHEN c.relpersistence = 'u' AND t.i NOT IN (SELECT made.i FROM made) THEN 'u'"         \
    "   WHEN c.relkind = 'p' AND current_setting('server_version_num')::int >= 180000"             \
    "   THEN c.relpersistence WHEN (SELECT copy.unlogged FROM copy) THEN 'u' ELSE 'p' END AS sp,"  \
    "  format('%I.%I', n.nspname, c.relname) AS o,"                                                \
    "  quote_ident(m.w) || '.' || quote_ident(c.relname) AS s"                                     \
    "  FROM tree t JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace"      \
    "  LEFT JOIN map m ON m.s = n.nspname)"

/* Identity sequences. */
#define SHADOW_IDENTITY                                                                            \
    ", idseq AS (SELECT r.i, r.depth, r.oid AS rel, r.sp AS persistence, a.attname,"               \
    "  a.attidentity, q.oid, q.relname, q.relacl, q.relowner, q.relpersistence, p.*,"              \
    "  format('%I.%I', r.w, q.relname) AS s, format('%I.%I', r.sch, q.relname) AS o, r.s AS rs"    \
    "  FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attidentity <> ''"               \
    "    AND NOT a.attisdropped"                                                                   \
    "  JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.deptype = 'i'"                   \
    "    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = r.oid"                           \
    "    AND d.refobjsubid = a.attnum"                                                             \
    "  JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'"                                     \
    "  JOIN pg_sequence p ON p.seqrelid = q.oid)"

/*
 * FROM and WHERE: k, foreign keys by which a row that is deleted from r takes others with it, or
 * changes them, that a copy by rows does not put back: of tables that are not in the list, or behind
 * a filter, or that cannot be updated. r0: the table of the list.
 */
#define SHADOW_REACHED                                                                             \
    " FROM rel r JOIN rel r0 ON r0.i = r.i AND r0.depth = 0"                                       \
    "  JOIN pg_constraint k ON k.confrelid = r.oid AND k.contype = 'f'"                            \
    "   AND k.confdeltype NOT IN ('a', 'r') AND (r.depth = 0 OR k.conparentid = 0)"                \
    "  WHERE k.conrelid NOT IN (SELECT t.oid FROM rel t JOIN listed l ON l.i = t.i"                \
    "   WHERE l.f IS NULL AND NOT (k.confdeltype <> 'c' AND EXISTS (SELECT FROM pg_attribute a"    \
    "    WHERE a.attrelid = t.oid AND a.attidentity = 'a')))"

/* name=value, … of an array of options; NULL when there are none. */
#define SHADOW_OPTIONS(prefix, options)                                                            \
    "(SELECT string_agg(format(" prefix "'%I = %L', x.option_name, x.option_value), ', ')"         \
    " FROM pg_options_to_table(" options ") x)"
/* clang-format on */

/* Run such a query, of table i (from 1; 0: of all). It has to be in a transaction. */
int pg_shadow_ask(struct pg_conn *conn, const struct pg_shadows *s, size_t i, const char *sql,
                  const struct pg_wanted *wanted, struct pg_answer **a, struct err *err);

/*
 * A query with columns "tT": what, and the statement for it. They are appended to sql, separated;
 * 1: one could not be made (NULL), and err says of what.
 */
int pg_shadow_collect(struct pg_conn *conn, const struct pg_shadows *s, size_t i, const char *query,
                      struct buf *sql, struct err *err);

/* shadowcheck.c: -ESTALE: a table, or a partition that came later, has no shadow. Swap only. */
int pg_shadow_expect_all(struct pg_conn *conn, const struct pg_shadows *s, struct err *err);
/* -ESTALE: a table of the list, or a column that its shadow has, is not there any more. */
int pg_shadow_expect_listed(struct pg_conn *conn, const struct pg_shadows *s, struct err *err);

/*
 * shadowcheck.c: whether the shadows are what the tables are, but for their rows; within a
 * transaction. -ESTALE: not, and what differs is named. quick: only what may change without any
 * lock on the table, which is privileges.
 */
int pg_shadow_compare(struct pg_conn *conn, const struct pg_shadows *s, bool quick,
                      struct err *err);

/* shadowdef.c: what pg_shadow_finish could not give a new table, as names for people: rows of what,
 * table. Within a transaction. */
int pg_shadow_unmakeable(struct pg_conn *conn, const struct pg_shadows *s, struct pg_answer **a,
                         struct err *err);

#endif
