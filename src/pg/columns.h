/*
 * Second step of reading the catalog: the columns of the tables there are. For the files of pg/;
 * others have catalog.h.
 */
#ifndef ASOFS_PG_COLUMNS_H
#define ASOFS_PG_COLUMNS_H

#include "pg/catalog.h"

/*
 * One query. Fills in the columns of all tables, as their entries select them, and their filters;
 * sorts the tables by name. -EINVAL: a column that is not there; with `binary` types that have no
 * binary form, all of them named.
 */
int pg_columns_read(struct pg_conn *conn, struct pg_catalog *c, bool binary, struct err *err);

void pg_column_free(struct pg_column *c); /* what it holds */

#endif
