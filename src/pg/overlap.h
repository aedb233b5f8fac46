/* Which tables share rows: a partition with what it is a partition of. For queries of the files of
 * pg/. */
#ifndef ASOFS_PG_OVERLAP_H
#define ASOFS_PG_OVERLAP_H

#define PG_OID_OF(schema, name)                                                                    \
    "pg_catalog.to_regclass(pg_catalog.format('%I.%I', " schema ", " name "))::oid"

/* The OIDs of tables of the list l, with schema t and name n, of their partitions, and of what they
 * are partitions of: "SELECT oid". */
#define PG_SHARING(list)                                                                           \
    "SELECT x.oid FROM " list " CROSS JOIN LATERAL (SELECT " PG_OID_OF("l.t", "l.n") " AS oid) c"  \
    " CROSS JOIN LATERAL (SELECT c.oid UNION"                                                      \
    " SELECT p.relid::oid FROM pg_catalog.pg_partition_tree(c.oid) p UNION"                        \
    " SELECT a.relid::oid FROM pg_catalog.pg_partition_ancestors(c.oid) a(relid)) x"               \
    " WHERE x.oid IS NOT NULL"

#endif
