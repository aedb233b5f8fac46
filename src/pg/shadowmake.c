/*
 * The statements that make an empty shadow, so that it can be loaded.
 *
 * CREATE TABLE (LIKE) does the columns, with what each major knows of them. What it does not copy,
 * or not under the name it had, follows by hand: owner, grants, settings of columns, identity,
 * constraints, partitions. Indexes, keys and the like wait until the rows are there (shadowdef.c).
 */
#include "pg/shadowtree.h"

/* clang-format off */
/* Everything whose privileges are to be copied. */
#define OBJECTS                                                                                    \
    ", objects AS (SELECT r.i, 'TABLE' AS word, 'r'::\"char\" AS kind, 'r'::\"char\" AS defacl,"   \
    "  r.s, r.relacl AS acl, r.relowner AS owner FROM rel r"                                       \
    "  UNION ALL SELECT q.i, 'SEQUENCE', 's', 'S', q.s, q.relacl, q.relowner FROM idseq q),"       \
    " given AS (SELECT o.defacl AS kind, string_agg(DISTINCT coalesce(quote_ident(u.rolname),"     \
    "  'PUBLIC'), ', ') AS whom FROM (VALUES ('r'::\"char\"), ('S'::\"char\")) o(defacl)"          \
    "  JOIN pg_default_acl d ON d.defaclobjtype = o.defacl AND d.defaclnamespace = 0"              \
    "   AND d.defaclrole = (SELECT oid FROM pg_roles WHERE rolname = current_user)"                \
    "  CROSS JOIN LATERAL aclexplode(d.defaclacl) e LEFT JOIN pg_roles u ON u.oid = e.grantee"     \
    "  GROUP BY 1)"

#define CREATE                                                                                     \
    " SELECT r.i, 10 AS ord, r.depth, r.oid, 0::int8 AS sub,"                                      \
    "  format('CREATE %sTABLE %s (LIKE %s INCLUDING DEFAULTS INCLUDING GENERATED"                  \
    " INCLUDING STORAGE INCLUDING COMPRESSION INCLUDING COMMENTS)%s%s%s%s',"                       \
    "   CASE r.sp WHEN 'u' THEN 'UNLOGGED ' ELSE '' END, r.s, r.o,"                                \
    "   ' PARTITION BY ' || CASE r.relkind WHEN 'p' THEN pg_get_partkeydef(r.oid) END,"            \
    "   ' USING ' || quote_ident((SELECT m.amname FROM pg_am m WHERE m.oid = r.relam)),"           \
    "   ' WITH (' || nullif(concat_ws(', ',"                                                       \
    "     " SHADOW_OPTIONS("", "r.reloptions") ","                                                 \
    "     (SELECT " SHADOW_OPTIONS("'toast.' || ", "k.reloptions") " FROM pg_class k"              \
    "      WHERE k.oid = r.reltoastrelid)), '') || ')',"                                           \
    "   ' TABLESPACE ' || quote_ident((SELECT p.spcname FROM pg_tablespace p"                      \
    "     WHERE p.oid = r.reltablespace))) AS sql"                                                 \
    "  FROM rel r"                                                                                 \
    " UNION ALL SELECT r.i, 11, r.depth, r.oid, 0,"                                                \
    "  format('ALTER TABLE %s OWNER TO %I', r.s, u.rolname)"                                       \
    "  FROM rel r JOIN pg_roles u ON u.oid = r.relowner WHERE u.rolname <> current_user"           \
    " UNION ALL SELECT r.i, 12, r.depth, r.oid, 0, format('COMMENT ON TABLE %s IS %L', r.s,"       \
    "   obj_description(r.oid, 'pg_class'))"                                                       \
    "  FROM rel r WHERE obj_description(r.oid, 'pg_class') IS NOT NULL"

/* Before version 17 "as by default" is -1, then it is NULL. */
#define COLUMNS                                                                                    \
    " UNION ALL SELECT r.i, 20, r.depth, r.oid, a.attnum,"                                         \
    "  format('ALTER TABLE ONLY %s ALTER COLUMN %I SET STATISTICS %s', r.s, a.attname,"            \
    "   to_jsonb(a)->>'attstattarget')"                                                            \
    "  FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0"                      \
    "   AND NOT a.attisdropped AND (to_jsonb(a)->>'attstattarget')::int >= 0"                      \
    " UNION ALL SELECT r.i, 21, r.depth, r.oid, a.attnum,"                                         \
    "  format('ALTER TABLE ONLY %s ALTER COLUMN %I SET (%s)', r.s, a.attname,"                     \
    "   " SHADOW_OPTIONS("", "a.attoptions") ")"                                                   \
    "  FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0"                      \
    "   AND NOT a.attisdropped AND a.attoptions IS NOT NULL"

/* Of a partition the parent gives it, from version 17 on; then it has no sequence of its own. */
#define IDENTITY                                                                                   \
    " UNION ALL SELECT q.i, 25, q.depth, q.rel, q.oid,"                                            \
    "  format('ALTER TABLE %s ALTER COLUMN %I ADD GENERATED %s AS IDENTITY (SEQUENCE NAME %s"      \
    " START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s%s)', q.rs, q.attname,"        \
    "   CASE q.attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END, q.s, q.seqstart,"         \
    "   q.seqincrement, q.seqmin, q.seqmax, q.seqcache,"                                           \
    "   CASE WHEN q.seqcycle THEN ' CYCLE' ELSE '' END) FROM idseq q"                              \
    " UNION ALL SELECT q.i, 26, q.depth, q.rel, q.oid, format('ALTER SEQUENCE %s SET %s', q.s,"    \
    "   CASE q.relpersistence WHEN 'u' THEN 'UNLOGGED' ELSE 'LOGGED' END)"                         \
    "  FROM idseq q WHERE q.relpersistence <> q.persistence"                                       \
    "   AND current_setting('server_version_num')::int >= 150000"                                  \
    " UNION ALL SELECT q.i, 27, q.depth, q.rel, q.oid,"                                            \
    "  format('COMMENT ON SEQUENCE %s IS %L', q.s, obj_description(q.oid, 'pg_class'))"            \
    "  FROM idseq q WHERE obj_description(q.oid, 'pg_class') IS NOT NULL"

/*
 * Default privileges of the role that makes a shadow may have given too much; those of a schema
 * cannot be, as the schema is new. The order of the grants is that of the array.
 */
#define PRIVILEGES                                                                                 \
    " UNION ALL SELECT o.i, 30, 0, 0, 0, format('REVOKE ALL ON %s %s FROM %s', o.word, o.s,"       \
    "   concat_ws(', ', 'PUBLIC', quote_ident(u.rolname), g.whom))"                                \
    "  FROM objects o JOIN pg_roles u ON u.oid = o.owner LEFT JOIN given g ON g.kind = o.defacl"   \
    "  WHERE o.acl IS NOT NULL OR g.whom IS NOT NULL"                                              \
    " UNION ALL SELECT o.i, 31, 0, 0, e.n, format('GRANT %s ON %s %s TO %s%s', e.privilege_type,"  \
    "   o.word, o.s, coalesce(quote_ident(u.rolname), 'PUBLIC'),"                                  \
    "   CASE WHEN e.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"                           \
    "  FROM objects o LEFT JOIN given g ON g.kind = o.defacl"                                      \
    "  CROSS JOIN LATERAL aclexplode(coalesce(o.acl, acldefault(o.kind, o.owner)))"                \
    "   WITH ORDINALITY AS e(grantor, grantee, privilege_type, is_grantable, n)"                   \
    "  LEFT JOIN pg_roles u ON u.oid = e.grantee"                                                  \
    "  WHERE o.acl IS NOT NULL OR g.whom IS NOT NULL"                                              \
    " UNION ALL SELECT r.i, 32, r.depth, r.oid, a.attnum * 1000 + e.n,"                            \
    "  format('GRANT %s (%I) ON TABLE %s TO %s%s', e.privilege_type, a.attname, r.s,"              \
    "   coalesce(quote_ident(u.rolname), 'PUBLIC'),"                                               \
    "   CASE WHEN e.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)"                           \
    "  FROM rel r JOIN pg_attribute a ON a.attrelid = r.oid AND NOT a.attisdropped"                \
    "  CROSS JOIN LATERAL aclexplode(a.attacl)"                                                    \
    "   WITH ORDINALITY AS e(grantor, grantee, privilege_type, is_grantable, n)"                   \
    "  LEFT JOIN pg_roles u ON u.oid = e.grantee"

/* A check that is not validated waits: rows that break it may be there, and may come. */
#define CHECKS                                                                                     \
    " UNION ALL SELECT r.i, 40, r.depth, r.oid, k.oid, format('ALTER TABLE %s ADD CONSTRAINT"    \
    " %I %s', r.s, k.conname, pg_get_constraintdef(k.oid))"                                       \
    "  FROM rel r JOIN pg_constraint k ON k.conrelid = r.oid AND k.contype = 'c'"                  \
    "   AND k.convalidated"

#define PARTITIONS                                                                                 \
    " UNION ALL SELECT r.i, 50, r.depth, r.oid, 0, format('ALTER TABLE %s ATTACH PARTITION %s %s'" \
    "   , p.s, r.s, pg_get_expr(r.relpartbound, r.oid))"                                           \
    "  FROM rel r JOIN rel p ON p.oid = r.parent AND p.i = r.i WHERE r.depth > 0"

/* The rows that stay. */
#define OUTSIDE                                                                                    \
    " UNION ALL SELECT r.i, 60, 0, r.oid, 0, format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE"  \
    " SELECT %s FROM %s%s WHERE (' || chr(10) || '%s' || chr(10) || ') IS NOT TRUE', r.s, a.cols," \
    "   a.cols, CASE r.relkind WHEN 'r' THEN 'ONLY ' ELSE '' END, r.o, l.f)"                       \
    "  FROM rel r JOIN listed l ON l.i = r.i AND l.f IS NOT NULL CROSS JOIN LATERAL ("             \
    "   SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS cols"                 \
    "   FROM pg_attribute a WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped"      \
    "   AND a.attgenerated = '') a WHERE r.depth = 0"

static const char swap_sql[] = SHADOW_TREE SHADOW_IDENTITY OBJECTS
    " SELECT '', x.sql FROM (" CREATE COLUMNS IDENTITY PRIVILEGES CHECKS PARTITIONS OUTSIDE
    ") x, copy WHERE x.i = copy.i AND x.sql IS NOT NULL"
    " ORDER BY x.ord, x.depth, x.oid, x.sub, x.sql";

static const char rows_sql[] =
    SHADOW_TREE " SELECT '', format('CREATE UNLOGGED TABLE %s WITH (autovacuum_enabled = false)"
                " AS SELECT %s FROM %s WITH NO DATA', r.s, a.cols, r.o)"
                " FROM rel r JOIN listed l ON l.i = r.i JOIN copy ON copy.i = r.i"
                " CROSS JOIN LATERAL ("
                "  SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS cols"
                "  FROM pg_attribute a WHERE a.attrelid = r.oid AND a.attnum > 0"
                "  AND NOT a.attisdropped AND a.attgenerated = ''"
                "  AND (l.cols = '{}' OR a.attname = ANY (l.cols))) a WHERE r.depth = 0";
/* clang-format on */

int pg_shadow_make(struct pg_conn *conn, const struct pg_shadows *s, size_t i, char **sql,
                   struct err *err)
{
    struct buf b = {0};
    int rc = pg_begin(conn, PG_READ_ONLY, true, NULL, err);

    buf_puts(&b, "SET LOCAL default_tablespace = ''");
    if (rc == 0)
        rc = pg_shadow_collect(conn, s, i + 1, s->mode == PG_PUBLISH_SWAP ? swap_sql : rows_sql, &b,
                               err);
    pg_rollback(conn);
    if (rc == 0)
        *sql = buf_steal(&b);
    buf_free(&b);
    return rc > 0 ? -err->code : rc;
}
