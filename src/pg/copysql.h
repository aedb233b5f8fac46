/*
 * The statements that extract rows (COPY of a table, of a block range, of nothing but a header), and
 * the one that loads them.
 *
 * Rows come in physical order: the session has every other access path switched off
 * (pg_conn_prepare).
 */
#ifndef ASOFS_PG_COPYSQL_H
#define ASOFS_PG_COPYSQL_H

#include "pg/catalog.h"

enum pg_format { PG_FORMAT_CSV, PG_FORMAT_TEXT, PG_FORMAT_BINARY };

/* COPY BINARY, since 7.4: an 11-byte signature, int32 flags, int32 length of an extension (0). */
#define PG_BINARY_HEADER 19
/* int16 -1 ends the file; a row begins with its number of columns, so it is never that. */
#define PG_BINARY_TRAILER 2

struct pg_copy_range {
    uint64_t from;  /* first heap block */
    uint64_t until; /* first block after the range; 0: no end */
};

struct pg_copy_source {
    const struct pg_table *table;  /* columns, and their order */
    const struct pg_relation *rel; /* where the rows are: the table or one of its leaves */
    struct pg_copy_range range;    /* all zero: the whole relation */
    enum pg_format format;
    bool header; /* csv: column names first */
    const char *encoding;
    const bool *skip; /* of each column: it is left out; NULL: none is */
};

extern const char *const pg_format_names[];        /* of all, NULL after them */
const char *pg_format_name(enum pg_format f);      /* as in COPY */
const char *pg_format_extension(enum pg_format f); /* ".csv" */

/* Where rows are loaded; all strings are borrowed. */
struct pg_copy_target {
    const char *schema, *table;
    const char *const
        *columns;    /* in the order in which the rows have them; none of them generated */
    size_t ncolumns; /* 0: all that are not generated, in the table's order */
    enum pg_format format;
    bool header; /* csv: the first line is none of the rows */
    const char *encoding;
};

/* Fresh strings, freed by the caller. */
int pg_copy_sql(struct pg_conn *conn, const struct pg_copy_source *s, char **sql, struct err *err);
int pg_copyin_sql(struct pg_conn *conn, const struct pg_copy_target *t, char **sql,
                  struct err *err);
/* INSERT INTO schema.(name of the table) of these rows, in the same database; format, header and
 * encoding say nothing. */
int pg_insert_sql(struct pg_conn *conn, const struct pg_copy_source *s, const char *schema,
                  char **sql, struct err *err);
int pg_lock_nowait_sql(struct pg_conn *conn, const struct pg_relation *rel, char **sql,
                       struct err *err);

#endif
