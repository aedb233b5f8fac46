/*
 * Expressions over what the server prints of an index, a trigger, a foreign key, statistics: it
 * names the table in the middle. What stands before that is computed (head) and has to be what was
 * printed; then the same can be said of another table. Else the expression is NULL, and the table
 * is refused. For shadowdef.c and shadowcheck.c; the texts are of PostgreSQL 14 to 18.
 */
#ifndef ASOFS_PG_SHADOWTEXT_H
#define ASOFS_PG_SHADOWTEXT_H

/* clang-format off */
#define SHADOW_REST(text, head)                                                                    \
    "CASE WHEN starts_with(" text ", " head ") THEN substr(" text ", length(" head ") + 1) END"

/* Of index q (pg_class), x (pg_index), on table `on`. */
#define SHADOW_INDEX_HEAD(on)                                                                      \
    "format('CREATE %sINDEX %I ON %s%s USING ', CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE ''"    \
    " END, q.relname, CASE q.relkind WHEN 'I' THEN 'ONLY ' ELSE '' END, " on ")"

/* Columns of a key (k, pg_constraint); a period's is the last (version 18). */
#define SHADOW_PERIOD "coalesce((to_jsonb(k)->>'conperiod')::bool, false)"
#define SHADOW_KEY(rel, key)                                                                       \
    "(SELECT string_agg(CASE WHEN " SHADOW_PERIOD " AND u.n = cardinality(" key ")"                \
    " THEN 'PERIOD ' ELSE '' END || quote_ident(ua.attname), ', ' ORDER BY u.n)"                   \
    " FROM unnest(" key ") WITH ORDINALITY AS u(num, n)"                                           \
    " JOIN pg_attribute ua ON ua.attrelid = " rel " AND ua.attnum = u.num)"

/* Of foreign key k that refers to the table `to`. */
#define SHADOW_FK_HEAD(to)                                                                         \
    "format('FOREIGN KEY (%s) REFERENCES %s(', " SHADOW_KEY("k.conrelid", "k.conkey") ", " to ")"

/* Of trigger g on table `on`. */
#define SHADOW_TRIGGER_HEAD(on)                                                                    \
    "format('CREATE %sTRIGGER %I %s %s ON %s ', CASE WHEN g.tgconstraint <> 0 THEN 'CONSTRAINT '"  \
    " ELSE '' END, g.tgname, CASE WHEN g.tgtype & 2 <> 0 THEN 'BEFORE' WHEN g.tgtype & 64 <> 0"    \
    " THEN 'INSTEAD OF' ELSE 'AFTER' END, concat_ws(' OR ',"                                       \
    " CASE WHEN g.tgtype & 4 <> 0 THEN 'INSERT' END,"                                              \
    " CASE WHEN g.tgtype & 8 <> 0 THEN 'DELETE' END,"                                              \
    " CASE WHEN g.tgtype & 16 <> 0 THEN 'UPDATE' || coalesce(' OF ' || (SELECT"                    \
    "  string_agg(quote_ident(ua.attname), ', ' ORDER BY u.n)"                                     \
    "  FROM unnest(g.tgattr::int2[]) WITH ORDINALITY AS u(num, n)"                                 \
    "  JOIN pg_attribute ua ON ua.attrelid = g.tgrelid AND ua.attnum = u.num), '') END,"           \
    " CASE WHEN g.tgtype & 32 <> 0 THEN 'TRUNCATE' END), " on ")"

/* Statistics x of table `on`: what stands between its name and the table's. */
#define SHADOW_STATISTICS_HEAD                                                                     \
    "format('CREATE STATISTICS %I.%I ', (SELECT un.nspname FROM pg_namespace un"                   \
    " WHERE un.oid = x.stxnamespace), x.stxname)"
#define SHADOW_STATISTICS_REST(on)                                                                 \
    "(SELECT CASE WHEN right(ut.rest, length(' FROM ' || " on ")) = ' FROM ' || " on               \
    " THEN left(ut.rest, -length(' FROM ' || " on ")) END FROM (SELECT " SHADOW_REST(              \
        "pg_get_statisticsobjdef(x.oid)", SHADOW_STATISTICS_HEAD) " AS rest) ut)"

/* Those with which an index or a trigger goes (ALTER … DEPENDS ON EXTENSION). */
#define SHADOW_EXTENSIONS(class, oid)                                                              \
    "SELECT ue.extname FROM pg_depend ud JOIN pg_extension ue ON ue.oid = ud.refobjid"             \
    " WHERE ud.classid = " class " AND ud.objid = " oid " AND ud.deptype = 'x'"

/* "FOR cmd TO roles USING … WITH CHECK …" of policy p. */
#define SHADOW_POLICY                                                                              \
    "format('AS %s FOR %s TO %s%s%s', CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE"            \
    " 'RESTRICTIVE' END, CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT'"              \
    " WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,"                               \
    " (SELECT string_agg(coalesce(quote_ident(uu.rolname), 'PUBLIC'), ', ' ORDER BY u.n)"          \
    "  FROM unnest(p.polroles) WITH ORDINALITY AS u(role, n)"                                      \
    "  LEFT JOIN pg_roles uu ON uu.oid = u.role),"                                                 \
    " ' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')',"                                    \
    " ' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')')"
/* clang-format on */

#endif
