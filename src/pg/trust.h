/*
 * Code that a data directory brings along. Reading a table runs the output functions of its types
 * and the handlers of access methods; those that did not come with PostgreSQL are somebody's code,
 * and a base that is opened is not trusted to have any run.
 */
#ifndef ASOFS_PG_TRUST_H
#define ASOFS_PG_TRUST_H

#include "pg/conn.h"

/* -EACCES, naming what it is, when reading tables of the database could run such code. */
int pg_refuse_foreign_code(struct pg_conn *conn, struct err *err);

#endif
