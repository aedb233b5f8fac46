/*
 * A copy within the first database itself: plain tables in schema asofs_NAME, filled by INSERT …
 * SELECT … of workers that have joined the exported snapshot READ WRITE (pg_freeze_join_writing).
 *
 *   pg_into_prepare    the schema is there and ours; everything that stands in the way is named
 *   pg_into_make       new tables, empty, in a schema asofs_NAME_new_RUN, which is of this run alone:
 *                      a worker of an earlier run that wakes up late finds nothing to write to
 *     … each chunk: pg_into_claim, pg_insert_sql, pg_record_chunk_done (record.h), committed
 *   pg_publish_into    (publish.h) they take the place of the old ones, in asofs_NAME
 *   pg_shadow_clear    (shadow.h) after a failure, and before the next: whatever was left
 *
 * The new tables have names, columns, types, collations and NOT NULL of those they are copies of;
 * generated columns are plain ones; no keys, indexes, defaults, triggers. By their comment they are
 * known to be ours, "asofs: of the copy NAME", as the schema is by "asofs: copy NAME".
 */
#ifndef ASOFS_PG_INTOSOURCE_H
#define ASOFS_PG_INTOSOURCE_H

#include "pg/catalog.h"

/* -EEXIST: a schema of that name that is not ours. -EINVAL: a table of that name there that no copy
 * made, what depends on a table that will be dropped, publications that would send the copy on. */
int pg_into_prepare(struct pg_conn *conn, const char *name, const struct pg_catalog *tables,
                    struct err *err);

/* Nothing may change the tables meanwhile (the leader holds them). *schema is the caller's to free.
 */
int pg_into_make(struct pg_conn *conn, const char *name, int64_t run,
                 const struct pg_catalog *tables, int64_t lock_timeout_ms, char **schema,
                 struct err *err);

/* "ANALYZE schema.table"; the caller's to free. */
int pg_into_analyze_sql(struct pg_conn *conn, const char *schema, const char *table, char **sql,
                        struct err *err);

/*
 * ---- within a transaction of pg_freeze_join_writing ----
 *
 * A chunk is ours, or nobody's: its row in asofs.chunk is written first, in the transaction of its
 * rows. An older snapshot sees no row that another session wrote there, but the key is unique
 * whatever the snapshot. Negative: somebody else has it, or had it; the transaction has failed.
 */
int pg_into_claim(struct pg_conn *conn, const char *name, int64_t run, int64_t chunk,
                  struct err *err);

/* In no transaction: 1: this chunk is committed, with *rows; 0: it is not. */
int pg_into_find(struct pg_conn *conn, const char *name, int64_t run, int64_t chunk, uint64_t *rows,
                 struct err *err);

#endif
