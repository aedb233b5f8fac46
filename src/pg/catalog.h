/*
 * The catalog: which tables there are, what they look like, what stands in the way of reading them.
 *
 * Read with a fixed number of queries however many tables there are: one for relations, one for
 * columns. Nothing is locked by it, so it may be used before the locks are taken (sizes are then
 * the planner's estimates) and again under the snapshot (sizes are then exact).
 */
#ifndef ASOFS_PG_CATALOG_H
#define ASOFS_PG_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pg/conn.h"
#include "pg/pattern.h"

/* A relation that has rows of its own: a table, a leaf partition, a materialized view. */
struct pg_relation {
    uint32_t oid;
    char kind; /* pg_class.relkind */
    char *schema;
    char *name;
    uint64_t bytes;    /* heap + TOAST, main forks */
    uint64_t blocks;   /* of the heap; 0 when it cannot be cut into block ranges */
    bool readable;     /* SELECT on it and USAGE on its schema */
    bool lockable;     /* SHARE mode is allowed to us (protocol lock) */
    bool row_security; /* a policy would filter rows for us */
    bool refreshed;    /* a materialized view refreshed between the snapshot and its lock */
};

struct pg_column {
    char *name;
    uint32_t type;
    char *type_name; /* format_type() of it, with an empty search_path */
    char *inside;    /* the types that it is made of, so named; "" of those of PostgreSQL itself */
    bool generated;
    char *unsendable; /* pg_catalog_how.binary: a type in it that has no binary form; else NULL */
};

/* An entry of the copy-table list. */
struct pg_selection {
    struct pg_pattern pattern;
    bool exclude;   /* leave out what it matches */
    char **columns; /* NULL: all */
    size_t ncolumns;
    char *filter; /* NULL: all rows */
    char *where;  /* "list.txt, line 3": for messages */
};

struct pg_table {
    struct pg_relation rel;
    struct pg_column *columns; /* in attribute order, dropped ones left out; or as selected */
    size_t ncolumns;
    char *filter;               /* a row filter, checked (pg_filter_check); or NULL */
    char *filter_where;         /* which line it stands on, for messages */
    struct pg_relation *leaves; /* of a partitioned table, in OID order; NULL otherwise */
    size_t nleaves;
    const struct pg_selection *selection; /* only while the catalog is read */
};

/* Why a table cannot be taken. Of a partitioned table: that one of its partitions cannot. */
enum pg_why {
    PG_FOREIGN,
    PG_UNFILLED, /* a materialized view that was never filled */
    PG_STANDBY,  /* unlogged, on a standby */
    PG_PAST,     /* unlogged, and recovery has emptied it */
    PG_DENIED,   /* no SELECT, or no USAGE on the schema */
    PG_POLICY,   /* row security would hide rows */
    PG_WHYS
};

struct pg_left_out {
    enum pg_why why;
    char *name; /* for people */
};

struct pg_catalog {
    struct pg_table *tables; /* in order of schema and name, bytewise */
    size_t ntables;
    struct pg_left_out *left_out; /* matched by wildcards only; PG_DENIED and PG_POLICY: however */
    size_t nleft_out;
    size_t gone;    /* relations that were dropped while they were read, and are not in it */
    size_t *missed; /* with may_miss: numbers of the entries that matched nothing; n: every table */
    size_t nmissed;
};

struct pg_catalog_how {
    bool exact_sizes; /* of what is locked; else as the last ANALYZE left them */
    bool may_miss;    /* an entry may match nothing, and there may be no tables at all */
    bool readable;    /* what may not be read is left out */
    bool binary;      /* rows are wanted in their binary form */
};

/*
 * The tables that the entries select; if none of them includes anything: every table of every
 * schema that is not the system's. Everything that stands in the way is named at once in err:
 * patterns that match nothing, relations that are no tables, foreign tables and leaves, no
 * privilege, row security; then columns that do not exist, tables selected twice in different
 * ways, and types without a binary form.
 */
int pg_catalog_read(struct pg_conn *conn, const struct pg_server *server,
                    const struct pg_selection *entries, size_t n, const struct pg_catalog_how *how,
                    struct pg_catalog **catalog, struct err *err);
void pg_catalog_free(struct pg_catalog *c);

/* "left out, as …: names", of those left out for that reason; false: there are none. */
bool pg_catalog_put_left_out(const struct pg_catalog *c, enum pg_why why, struct buf *out);

/* Refuse those of the entries whose numbers are listed: no table matches them. */
int pg_refuse_missed(const char *what, const struct pg_selection *entries, const size_t *numbers,
                     size_t n, struct err *err);

/* Same tables, columns, leaves, privileges, and materialized views not refreshed in between; and
 * nothing that b's snapshot sees was dropped meanwhile. */
bool pg_catalog_same(const struct pg_catalog *before, const struct pg_catalog *b);

/*
 * Let the server prepare every filter, alone and by the extended protocol, which takes a single
 * statement: what is no condition on its table is refused here, named by its line. Inside a
 * transaction a failure ends it.
 */
int pg_filter_check(struct pg_conn *conn, const struct pg_catalog *c, struct err *err);

/* Relations that have to be locked: tables, partitioned parents and leaves. */
size_t pg_catalog_count_relations(const struct pg_catalog *c);

#endif
