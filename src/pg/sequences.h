/*
 * Sequences of tables that were loaded in place: those of identity columns, and those that a column
 * of whole numbers owns or takes its default from. Each is set above the largest value of its column
 * (below the smallest, if it goes down), unless it is there already: never back.
 */
#ifndef ASOFS_PG_SEQUENCES_H
#define ASOFS_PG_SEQUENCES_H

#include "pg/snaptable.h"

/* A transaction of its own; sequences stay raised, whatever becomes of it. -EACCES: UPDATE on a
 * sequence is missing. */
int pg_sequences_raise(struct pg_conn *conn, const struct pg_snaptable *tables, size_t n,
                       struct err *err);

#endif
