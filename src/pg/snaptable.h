/*
 * Snapshot tables: the tables of a second database that a copy fills. What is there is compared with
 * what comes; what is missing is created; and they are cleared in place, where they are not to have
 * shadows.
 *
 * What comes is told by a list that can be anybody's (a directory of flat files): names, types and
 * filters are looked at here before they stand in a statement. But whoever gives a filter has seen
 * to it that its parentheses, quotes and comments do not reach out of it (extract/filter.h); here
 * the server says whether it is a condition on its table. What it calls is not looked at.
 */
#ifndef ASOFS_PG_SNAPTABLE_H
#define ASOFS_PG_SNAPTABLE_H

#include <stddef.h>

#include "pg/conn.h"
#include "pg/copysql.h"

/*
 * A connection to the second database. -EROFS: a standby. -EINVAL: the role has settings under
 * which triggers and foreign keys do not hold. server: filled in unless NULL (pg_server_free).
 */
int pg_second_open(struct pg_conn **conn, const struct pg_target *target,
                   const struct pg_session *session, struct pg_server *server, struct err *err);

/* ---- tables ---- */

struct pg_snapcolumn {
    const char *name;
    const char *type; /* as format_type() names it under an empty search_path */
    bool generated;   /* in the source */
    bool skip;        /* out: it is generated in the target, too, and not to be loaded */
};

struct pg_snaptable {
    const char *schema, *name; /* in the target */
    struct pg_snapcolumn *columns;
    size_t ncolumns;
    const char *filter; /* or NULL */
    uint64_t oid;       /* out; 0: there is no such table */
    bool missing;       /* out: there is no such table */
    bool partitioned;   /* out: its rows are in its partitions */
};

/*
 * What is there, compared: fills in what is out. All that stands in the way is named at once:
 * tables that are not there (create: types of theirs that are not there), that are none, the
 * system's or ours, that stand twice in the list, also as a partition; columns that are missing, too
 * many or of another type, or generated in the target alone; filters that are none; row security;
 * and what has to be granted (-EACCES when there is nothing else). A column that is generated in
 * the source alone is filled as any other.
 */
int pg_snaptable_check(struct pg_conn *conn, struct pg_snaptable *tables, size_t n, bool create,
                       struct err *err);

/* The same once more, when they are filled: -ESTALE when one is not the table any more that it was,
 * by oid; or what was altered meanwhile, as above. */
int pg_snaptable_check_again(struct pg_conn *conn, struct pg_snaptable *tables, size_t n,
                             struct err *err);

/*
 * Create those that are missing, and their schemas, with columns and types; all or none. They are
 * compared once more then, since somebody else may have come first.
 */
int pg_snaptable_create(struct pg_conn *conn, struct pg_snaptable *tables, size_t n,
                        struct err *err);

/* COPY schema.name (columns) FROM STDIN, of those that are not to be skipped. header: csv. */
int pg_snaptable_copy_sql(struct pg_conn *conn, const struct pg_snaptable *t, const char *schema,
                          enum pg_format format, const char *encoding, bool header, char **sql,
                          struct err *err);

/* ---- in place (snapplace.c) ---- */

/*
 * Foreign keys among the tables: *pairs of numbers, child and parent, each once; the caller's to
 * free, NULL after a failure. What cannot be loaded in place is named at once: keys in a circle, if
 * only of one table with itself, since its parts may come in any order; tables outside that refer
 * to one; triggers that would fire, rules, privileges that are not there.
 */
int pg_snaptable_order(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n,
                       uint32_t (**pairs)[2], size_t *npairs, struct err *err);

/* The statement that clears it: all of it, or the rows under its filter. *sql is the caller's. */
int pg_snaptable_clear_sql(struct pg_conn *conn, const struct pg_snaptable *t, bool referred_to,
                           char **sql, struct err *err);

#endif
