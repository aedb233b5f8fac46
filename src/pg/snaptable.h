/*
 * Snapshot tables: the tables of a second database that a copy fills. What is there is compared with
 * what comes; what is missing is created; and they are cleared in place, where they are not to have
 * shadows (shadow.h).
 */
#ifndef ASOFS_PG_SNAPTABLE_H
#define ASOFS_PG_SNAPTABLE_H

#include <stddef.h>

#include "pg/conn.h"
#include "pg/copysql.h"

/*
 * A connection to the second database. A standby is refused. server: filled in unless NULL
 * (pg_server_free).
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
    bool missing;       /* out: there is no such table */
};

/*
 * What is there, compared: fills in `missing` and `skip`. All that stands in the way is named at
 * once: columns that are missing, too many or of another type, generated on one side only;
 * what is no table; schemas of the server's or of asofs; with create false, tables that are not
 * there; types that are not there.
 */
int pg_snaptable_check(struct pg_conn *conn, struct pg_snaptable *tables, size_t n, bool create,
                       struct err *err);

/*
 * Create those that are missing, and their schemas, with columns and types; nothing is created
 * unless each filter, which filter_check has let pass, is a condition on its table. (It is not run.)
 */
int pg_snaptable_create(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n,
                        struct err *err);

/* ---- in place ---- */

/*
 * Foreign keys among the tables: *pairs of numbers, child and parent, the caller's to free. What
 * cannot be loaded in place is named at once: keys in a circle, tables outside that refer to one,
 * triggers that would fire, rules, privileges that are not there.
 */
int pg_snaptable_order(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n,
                       uint32_t (**pairs)[2], size_t *npairs, struct err *err);

/* The statements that clear it: all of it, or the rows under its filter. *sql is the caller's. */
int pg_snaptable_clear_sql(struct pg_conn *conn, const struct pg_snaptable *t, bool referred_to,
                           char **sql, struct err *err);

/* COPY schema.name (columns) FROM STDIN, of those that are not to be skipped. header: csv. */
int pg_snaptable_copy_sql(struct pg_conn *conn, const struct pg_snaptable *t, const char *schema,
                          enum pg_format format, const char *encoding, bool header, char **sql,
                          struct err *err);

#endif
