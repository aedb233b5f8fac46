/* What swap.c and rows.c have from publish.c. */
#ifndef ASOFS_PG_PUBLISHING_H
#define ASOFS_PG_PUBLISHING_H

#include "pg/publish.h"
#include "pg/shadowtree.h"

/* READ COMMITTED, READ WRITE; what is committed is durable as the server's owner wants it. */
int pg_publish_begin(struct pg_conn *conn, struct err *err);

/* How long a try may wait for locks. */
int pg_publish_try_ms(struct pg_conn *conn, int64_t *try_ms, struct err *err);

/* 0: pause before the next try; -EBUSY: the time is over; -EINTR. */
int pg_publish_pause(struct pg_conn *conn, int64_t deadline, struct err *err);

/*
 * Between two tries: pause, as above, when autovacuum has been driven off the tables, which goes only
 * when somebody has waited for longer than a try. Only one of them is locked at a time: who waits so
 * long must have nothing that others may wait for. In no transaction.
 */
int pg_publish_clear_way(struct pg_conn *conn, const struct pg_shadows *s, int64_t deadline,
                         struct err *err);

/*
 * One statement that locks, with a limit for all of its locks; afterwards lock_timeout is that
 * limit for what follows in the transaction. -EBUSY: not now, and the transaction has failed.
 */
int pg_publish_lock(struct pg_conn *conn, const char *lock_sql, int64_t try_ms, struct err *err);

/* swap.c: until nobody reads with a snapshot that is older than what was loaded before the call.
 * -EBUSY: who still does is named. */
int pg_publish_wait_older(struct pg_conn *conn, int64_t deadline, int64_t timeout_ms,
                          struct err *err);

/* Name those of an answer of process (0: a prepared transaction), user, application, since when,
 * query, behind the lock that each has. */
#define PUBLISH_HOLDERS "tntttt"
void pg_publish_put_holders(const struct pg_answer *a, struct err *err);

/* Name who holds locks that conflict: of any kind, or (writers) only writers'. In no transaction. */
void pg_publish_name_holders(struct pg_conn *conn, const struct pg_shadows *s, bool writers,
                             struct err *err);

/* -EBUSY: asofs.view alone could not be locked within timeout_ms; by whom, as above. */
int pg_publish_refuse_label(struct pg_conn *conn, int64_t timeout_ms, struct err *err);

/* asofs.view is locked ACCESS EXCLUSIVE: its row is written so that every snapshot sees it. */
int pg_publish_put_label(struct pg_conn *conn, const struct pg_label *label, struct err *err);
/* So that older snapshots see the old one. */
int pg_publish_update_label(struct pg_conn *conn, const struct pg_label *label, struct err *err);

/* replaced.c: other names whose current copy has a table of this one, or a part of one, are called
 * "replaced" now; and asofs is notified. */
int pg_publish_replace(struct pg_conn *conn, const char *name, struct err *err);

/* NOTIFY asofs, with the name of the copy, and COMMIT. */
int pg_publish_commit(struct pg_conn *conn, const struct pg_label *label, struct err *err);

/* pg_shadow_collect for all tables, and run it. */
int pg_publish_run(struct pg_conn *conn, const struct pg_shadows *s, const char *query,
                   struct err *err);

/*
 * Sequences of the tables: those that a column of whole numbers owns or has for its default. Two
 * queries for pg_shadow_collect: in advance the largest value of each in the shadows is kept as a
 * setting of the transaction, at the end the sequence is set above it, if it is not yet.
 */
/* clang-format off */
#define SHADOW_SEQUENCES                                                                           \
    ", seq AS (SELECT DISTINCT q.oid, p.seqincrement, p.seqmin, p.seqmax,"                         \
    "  format('%I.%I', n.nspname, q.relname) AS q, r0.s, a.attname,"                               \
    "  format('asofs.max_%s_%s_%s', q.oid, r0.oid, a.attnum) AS setting"                           \
    "  FROM rel r JOIN rel r0 ON r0.i = r.i AND r0.depth = 0"                                      \
    "  JOIN pg_attribute a ON a.attrelid = r.oid AND a.attidentity = ''"                           \
    "   AND a.atttypid IN ('int2'::regtype, 'int4'::regtype, 'int8'::regtype)"                     \
    "  LEFT JOIN pg_attrdef f ON f.adrelid = r.oid AND f.adnum = a.attnum"                         \
    "  JOIN pg_depend d ON (d.classid = 'pg_class'::regclass AND d.deptype = 'a'"                  \
    "    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = r.oid"                           \
    "    AND d.refobjsubid = a.attnum)"                                                            \
    "   OR (d.classid = 'pg_attrdef'::regclass AND d.objid = f.oid"                                \
    "    AND d.refclassid = 'pg_class'::regclass)"                                                 \
    "  JOIN pg_class q ON q.relkind = 'S' AND q.oid = CASE d.classid"                              \
    "   WHEN 'pg_class'::regclass THEN d.objid ELSE d.refobjid END"                                \
    "  JOIN pg_sequence p ON p.seqrelid = q.oid JOIN pg_namespace n ON n.oid = q.relnamespace"     \
    "  WHERE EXISTS (SELECT FROM pg_class k JOIN pg_namespace w ON w.oid = k.relnamespace"         \
    "   JOIN pg_attribute b ON b.attrelid = k.oid AND b.attname = a.attname"                       \
    "   WHERE w.nspname = r0.w AND k.relname = r0.relname))"
#define SHADOW_KEEP_LARGEST                                                                        \
    "SELECT format('SELECT set_config(%L, coalesce((SELECT %s(%I) FROM %s)::text, %L), true)',"    \
    "  seq.setting, CASE WHEN seq.seqincrement > 0 THEN 'max' ELSE 'min' END, seq.attname, seq.s," \
    "  '') AS sql FROM seq"
#define SHADOW_RAISE                                                                               \
    "SELECT format('SELECT setval(%L::regclass, x.m) FROM (SELECT least(greatest(nullif("          \
    "current_setting(%L), %L)::int8, %s), %s) AS m) x, %s q WHERE q.last_value %s x.m"             \
    " OR (q.last_value = x.m AND NOT q.is_called)', seq.q, seq.setting, '', seq.seqmin,"           \
    "  seq.seqmax, seq.q, CASE WHEN seq.seqincrement > 0 THEN '<' ELSE '>' END) AS sql FROM seq"
/* clang-format on */

#endif
