/*
 * Shadows: stand-ins for the tables of a second database (snapshot tables) that a copy fills while
 * everybody still reads the old rows. They live in schemas of ours and bear the names of the tables
 * that they stand for, as do their indexes, constraints, statistics and identity sequences; so
 * nothing has to be renamed when they change places.
 *
 *   pg_shadow_clear    what an earlier copy of this name left is dropped
 *   pg_shadow_plan     what there is: tables, their partitions, the schemas that are needed
 *   pg_shadow_refuse   everything that stands in the way, before anything is changed
 *   pg_shadow_schemas  the schemas, empty
 *   pg_shadow_make     for each table: statements that make its shadow
 *   pg_shadow_finish   statements that give them all else: indexes, constraints, triggers; to be run
 *                      when the shadows are filled, by COPY into pg_shadow_schema(i).name
 *   pg_publish_swap or pg_publish_rows (publish.h)
 *   pg_shadow_clear    after a failure
 *
 * Two forms. PG_PUBLISH_SWAP: a shadow is a whole table, which takes the place of the old one; of a
 * partitioned table the parent and all its partitions have one, attached as the old ones are. It may
 * be unlogged where the old one is not: faster to fill, and empty after a crash (record.h).
 * PG_PUBLISH_ROWS: a heap with the columns that are loaded, UNLOGGED, without anything else.
 *
 * The schemas are "asofs_NAME_new_1", … with the comment "asofs: shadow tables of NAME". By the
 * comment they are known to be ours.
 *
 * What others notice before it is published: foreign keys of a shadow count, so that a row that it
 * refers to, of a table outside of the list, cannot be deleted. Replication by FOR ALL TABLES sends
 * the shadow's rows under its own name; other publications do not send the rows of a swap at all.
 * On a standby nobody waits for readers whose snapshot is older than the rows.
 *
 * Every function here is one transaction of its own on conn, which has to be in none. Statements
 * that are handed out are to be run by whoever, each in one transaction as pg_begin (internal.h)
 * makes it: READ WRITE, empty search_path; as the same role. -ESTALE: a table is gone.
 */
#ifndef ASOFS_PG_SHADOW_H
#define ASOFS_PG_SHADOW_H

#include <stdbool.h>
#include <stddef.h>

#include "pg/conn.h"

#define PG_COPY_NAME_MAX 32 /* bytes of the name of a copy: letters, digits, _ and - */

enum pg_publish { PG_PUBLISH_SWAP, PG_PUBLISH_ROWS };

struct pg_shadow_table {
    const char *schema, *name; /* of the snapshot table; a partitioned one stands for its leaves */
    char *const *columns;      /* those that are loaded; NULL: all but generated ones */
    size_t ncolumns;
    const char *filter; /* a condition, checked (pg_filter_check): only its rows are replaced; or
                           NULL */
};

struct pg_shadow_list {
    const char *name; /* of the copy */
    enum pg_publish mode;
    bool unlogged; /* swap: the new tables are; else what an earlier copy made so is not any more */
    const struct pg_shadow_table *tables;
    size_t n;
};

struct pg_shadows;

/* The list is copied. -ESTALE: tables are not there, all named. -EINVAL: a name that is none. */
int pg_shadow_plan(struct pg_conn *conn, const struct pg_shadow_list *list,
                   struct pg_shadows **shadows, struct err *err);
void pg_shadow_free(struct pg_shadows *s); /* NULL is fine */

/* The schema of the shadow of table i of the list; its name is the table's. */
const char *pg_shadow_schema(const struct pg_shadows *s, size_t i);

/*
 * -EINVAL: what cannot be taken, all named at once, with what to do. Swap: whatever depends on a
 * table from outside of the list (views, functions, foreign keys, row types), and what a new table
 * cannot be given (rules, inheritance, …). Rows: no table, rules, keys that would cascade. Both:
 * privileges that are not there (-EACCES if there is nothing else).
 */
int pg_shadow_refuse(struct pg_conn *conn, const struct pg_shadows *s, struct err *err);

/* Drop the shadows of this name, whoever of ours made them. They may be locked, by a session of
 * ours that is just ending, say: -EBUSY after timeout_ms. */
int pg_shadow_clear(struct pg_conn *conn, const char *name, int64_t timeout_ms, struct err *err);

int pg_shadow_schemas(struct pg_conn *conn, const struct pg_shadows *s, struct err *err);

/* Statements that make the shadow of table i; under swap with the rows outside of the filter. */
int pg_shadow_make(struct pg_conn *conn, const struct pg_shadows *s, size_t i, char **sql,
                   struct err *err);

/*
 * A job may end with -EBUSY, as it does not wait long for tables that others use: it is to be run
 * again after a pause. Jobs: those of one phase may run at the same time, in any order, when all of the phases before
 * are done. Under rows there is nothing but ANALYZE.
 */
enum pg_shadow_phase {
    PG_SHADOW_INDEX,     /* one index or exclusion constraint: the long ones */
    PG_SHADOW_CONSTRAIN, /* of one table: keys, partition indexes, statistics */
    PG_SHADOW_ANALYZE,
    PG_SHADOW_REFER,    /* all foreign keys, not validated but where the table is partitioned */
    PG_SHADOW_VALIDATE, /* one foreign key */
    PG_SHADOW_GUARD,    /* of one table: triggers, policies. Nothing is loaded after it */
    PG_SHADOW_PHASES
};

struct pg_shadow_job {
    enum pg_shadow_phase phase;
    size_t table; /* number in the list; of PG_SHADOW_REFER that of the first */
    char *sql;
};

int pg_shadow_finish(struct pg_conn *conn, const struct pg_shadows *s, struct pg_shadow_job **jobs,
                     size_t *n, struct err *err);
void pg_shadow_free_jobs(struct pg_shadow_job *jobs, size_t n);

#endif
