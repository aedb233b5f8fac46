/*
 * Whether a shadow is what its table is. One query says all of both sides, as (table, item, value),
 * and gives what is not there twice with one value. What can be compared as a text is; what names
 * the table itself is taken to pieces. It is asked for again when the tables are locked: somebody
 * may have altered one while it was loaded.
 */
#include <errno.h>

#include "pg/refusals.h"
#include "pg/shadowtext.h"
#include "pg/shadowtree.h"

/* clang-format off */
/* two: both sides of each table; me: its own name, key: that of the table; sp: as it is to be. */
#define TWO                                                                                        \
    ", two AS MATERIALIZED (SELECT 'o' AS side, r.o AS key, r.o AS me, r.depth, r.sp, c.*"         \
    "  FROM rel r JOIN pg_class c ON c.oid = r.oid"                                                \
    " UNION ALL SELECT 's', r.o, r.s, r.depth, c.relpersistence, c.* FROM rel r JOIN pg_namespace n" \
    "  ON n.nspname = r.w JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = r.relname)"

/* The name of a table as it is known to both sides. */
#define COMMON_NAME(oid)                                                                           \
    "(SELECT format('%I.%I', coalesce(m.s, un.nspname), uc.relname) FROM pg_class uc"              \
    " JOIN pg_namespace un ON un.oid = uc.relnamespace LEFT JOIN map m ON m.w = un.nspname"        \
    " WHERE uc.oid = " oid ")"

#define ACL(acl, kind, owner) "coalesce(" acl ", acldefault(" kind ", " owner "))::text"

#define PRIVILEGES                                                                                 \
    " SELECT t.key, 'privileges' AS item, t.relowner || ' ' || " ACL("t.relacl", "'r'",            \
                                                                     "t.relowner") " AS value"     \
    "  FROM two t"                                                                                 \
    " UNION ALL SELECT t.key, format('privileges on column %I', a.attname), a.attacl::text"        \
    "  FROM two t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0"                      \
    "   AND NOT a.attisdropped"

#define TABLE                                                                                      \
    " UNION ALL SELECT t.key, 'table', row(t.relkind, t.sp, t.relam, t.reltablespace," \
    "   t.reloptions, (SELECT k.reloptions FROM pg_class k WHERE k.oid = t.reltoastrelid),"        \
    "   t.relreplident, t.relrowsecurity, t.relforcerowsecurity,"                                  \
    "   CASE t.relkind WHEN 'p' THEN pg_get_partkeydef(t.oid) END,"                                \
    "   pg_get_expr(t.relpartbound, t.oid), CASE WHEN t.depth > 0 THEN (SELECT "                   \
    COMMON_NAME("h.inhparent") " FROM pg_inherits h WHERE h.inhrelid = t.oid) END,"                \
    "   obj_description(t.oid, 'pg_class'))::text FROM two t"

/* Everything that is not about the row's place; so what a newer version adds is compared, too. */
#define COLUMNS                                                                                    \
    " UNION ALL SELECT t.key, format('column %I', a.attname), concat_ws(' ',"                      \
    "   row_number() OVER (PARTITION BY t.oid ORDER BY a.attnum), to_jsonb(a) - '{attrelid,"       \
    "attnum,attndims,attcacheoff,atthasmissing,attmissingval,attacl,attislocal}'::text[],"                  \
    "   pg_get_expr(f.adbin, f.adrelid), col_description(t.oid, a.attnum))"                        \
    "  FROM two t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum > 0"                      \
    "   AND NOT a.attisdropped"                                                                    \
    "  LEFT JOIN pg_attrdef f ON f.adrelid = t.oid AND f.adnum = a.attnum"                         \
    " UNION ALL SELECT t.key, format('identity of column %I', a.attname), concat_ws(' ',"          \
    "   q.relname, q.relowner, q.relpersistence, " ACL("q.relacl", "'s'", "q.relowner") ","        \
    "   to_jsonb(p) - 'seqrelid', obj_description(q.oid, 'pg_class'))"                             \
    "  FROM two t JOIN pg_attribute a ON a.attrelid = t.oid AND a.attidentity <> ''"               \
    "  JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = t.oid"             \
    "   AND d.refobjsubid = a.attnum AND d.classid = 'pg_class'::regclass AND d.deptype = 'i'"     \
    "  JOIN pg_class q ON q.oid = d.objid AND q.relkind = 'S'"                                     \
    "  JOIN pg_sequence p ON p.seqrelid = q.oid"

/* Keys that partitions have from their parents follow from these, and may be called otherwise. */
#define CONSTRAINTS                                                                                \
    " UNION ALL SELECT t.key, format('constraint %I', k.conname), concat_ws(' ', k.contype,"       \
    "   k.condeferrable, k.condeferred, k.convalidated, CASE k.contype"                            \
    "   WHEN 'f' THEN concat_ws(' ', " COMMON_NAME("k.confrelid") ", k.confupdtype,"               \
    "     k.confdeltype, k.confmatchtype, " SHADOW_REST("pg_get_constraintdef(k.oid)",             \
    SHADOW_FK_HEAD("(SELECT format('%I.%I', un.nspname, uc.relname) FROM pg_class uc"              \
    " JOIN pg_namespace un ON un.oid = uc.relnamespace WHERE uc.oid = k.confrelid)")) ","          \
    "     " SHADOW_KEY("k.conrelid", "k.conkey") ")"                                               \
    "   ELSE pg_get_constraintdef(k.oid) END, obj_description(k.oid, 'pg_constraint'))"            \
    "  FROM two t JOIN pg_constraint k ON k.conrelid = t.oid"                                      \
    "   AND NOT (k.contype = 'f' AND k.conparentid <> 0) AND k.contype <> 't'"

#define INDEXES                                                                                    \
    " UNION ALL SELECT t.key, format('index %I', q.relname), row(" SHADOW_REST(                    \
        "pg_get_indexdef(q.oid)", SHADOW_INDEX_HEAD("t.me")) ", x.indisunique, x.indisprimary,"    \
    "   x.indisexclusion, x.indimmediate, x.indisclustered, x.indisreplident, x.indisvalid,"       \
    "   q.reltablespace, (SELECT string_agg(a.attnum || ' ' || (to_jsonb(a)->>'attstattarget')"    \
    "    , ',' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = q.oid),"                  \
    "   (SELECT " COMMON_NAME("h.inhparent") " FROM pg_inherits h WHERE h.inhrelid = q.oid),"      \
    "   ARRAY(" SHADOW_EXTENSIONS("'pg_class'::regclass", "q.oid") " ORDER BY 1),"                 \
    "   obj_description(q.oid, 'pg_class'))::text"                                                 \
    "  FROM two t JOIN pg_index x ON x.indrelid = t.oid JOIN pg_class q ON q.oid = x.indexrelid"   \
    "  WHERE x.indisvalid OR q.relkind = 'I'"                                                      \
    " UNION ALL SELECT t.key, format('statistics %I', x.stxname), row(" SHADOW_STATISTICS_REST(    \
        "t.me") ", x.stxowner, to_jsonb(x)->>'stxstattarget',"                                     \
    "   obj_description(x.oid, 'pg_statistic_ext'))::text"                                         \
    "  FROM two t JOIN pg_statistic_ext x ON x.stxrelid = t.oid"

#define GUARDS                                                                                     \
    " UNION ALL SELECT t.key, format('trigger %I', g.tgname), row(" SHADOW_REST(                   \
        "pg_get_triggerdef(g.oid)", SHADOW_TRIGGER_HEAD("t.me")) ", g.tgenabled,"                  \
    "   ARRAY(" SHADOW_EXTENSIONS("'pg_trigger'::regclass", "g.oid") " ORDER BY 1),"               \
    "   obj_description(g.oid, 'pg_trigger'))::text"                                               \
    "  FROM two t JOIN pg_trigger g ON g.tgrelid = t.oid AND NOT g.tgisinternal"                   \
    " UNION ALL SELECT t.key, format('policy %I', p.polname), row(" SHADOW_POLICY ","              \
    "   obj_description(p.oid, 'pg_policy'))::text"                                                \
    "  FROM two t JOIN pg_policy p ON p.polrelid = t.oid"

#define DIFFERENT                                                                                  \
    " SELECT x.key || ': ' || x.item FROM sides x, copy GROUP BY x.key, x.item"                    \
    " HAVING count(*) <> 2 OR min(x.value) IS DISTINCT FROM max(x.value)"                          \
    "  OR count(x.value) = 1 ORDER BY 1"

static const char full_sql[] = SHADOW_TREE TWO ", sides AS (" PRIVILEGES TABLE COLUMNS CONSTRAINTS
    INDEXES GUARDS ")" DIFFERENT;
static const char quick_sql[] = SHADOW_TREE TWO ", sides AS (" PRIVILEGES ")" DIFFERENT;
/* clang-format on */

static int refuse(struct pg_answer *a, const char *what, const char *advice, struct err *err)
{
    struct pg_names names = {0};
    size_t i;

    for (i = 0; i < pg_rows(a); i++)
        pg_names_add(&names, pg_text(a, i, 0));
    pg_answer_free(a);
    err->code = 0;
    pg_names_refuse(err, &names, what, advice);
    return err->code ? (err->code = ESTALE, -ESTALE) : 0;
}

int pg_shadow_expect_all(struct pg_conn *conn, const struct pg_shadows *s, struct err *err)
{
    static const char sql[] =
        SHADOW_TREE " SELECT r.o FROM rel r, copy WHERE NOT EXISTS (SELECT FROM pg_class c"
                    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = r.w"
                    " AND c.relname = r.relname) ORDER BY 1";
    static const struct pg_wanted wanted = {"t", 0, PG_MANY};
    struct pg_answer *a;
    int rc = pg_shadow_ask(conn, s, 0, sql, &wanted, &a, err);

    return rc < 0 ? rc
                  : refuse(a, "there is no shadow of", "partitions that are new? Copy again", err);
}

int pg_shadow_expect_listed(struct pg_conn *conn, const struct pg_shadows *s, struct err *err)
{
    static const char sql[] =
        SHADOW_TREE " SELECT format('%I.%I', l.s, l.n) FROM listed l, copy"
                    " WHERE NOT EXISTS (SELECT FROM rel r WHERE r.i = l.i)"
                    " UNION ALL SELECT r.o || '.' || quote_ident(b.attname) FROM rel r"
                    " JOIN pg_namespace w ON w.nspname = r.w"
                    " JOIN pg_class k ON k.relnamespace = w.oid AND k.relname = r.relname"
                    " JOIN pg_attribute b ON b.attrelid = k.oid AND b.attnum > 0"
                    " AND NOT b.attisdropped, copy WHERE r.depth = 0 AND NOT EXISTS ("
                    "SELECT FROM pg_attribute a WHERE a.attrelid = r.oid AND NOT a.attisdropped"
                    " AND a.attname = b.attname) ORDER BY 1";
    static const struct pg_wanted wanted = {"t", 0, PG_MANY};
    struct pg_answer *a;
    int rc = pg_shadow_ask(conn, s, 0, sql, &wanted, &a, err);

    return rc < 0 ? rc
                  : refuse(a, "tables or columns that are not there any more",
                           "dropped or renamed while they were loaded? Copy again", err);
}

int pg_shadow_compare(struct pg_conn *conn, const struct pg_shadows *s, bool quick, struct err *err)
{
    static const struct pg_wanted wanted = {"t", 0, PG_MANY};
    struct pg_answer *a;
    int rc = pg_shadow_ask(conn, s, 0, quick ? quick_sql : full_sql, &wanted, &a, err);

    return rc < 0 ? rc
                  : refuse(a, "tables and their shadows are not alike",
                           "was a table altered while it was loaded? Copy again; if that does not "
                           "help: --publish=rows",
                           err);
}
