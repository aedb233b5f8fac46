/*
 * First step of reading the catalog: the relations that the entries select, as tables with their
 * leaves. For the files of pg/; others have catalog.h.
 */
#ifndef ASOFS_PG_RELATIONS_H
#define ASOFS_PG_RELATIONS_H

#include "pg/catalog.h"

/* The caller's entries, followed by "everything" when they include nothing; *n: how many. The
 * array is freed by the caller, what it holds is borrowed. */
struct pg_selection *pg_relations_entries(const struct pg_selection *entries, size_t *n);

/*
 * One query. Fills tables (by root's OID, no columns yet; `selection` points into the entries),
 * what was left out, missed and gone. What stands in the way is told as pg_catalog_read does.
 */
int pg_relations_read(struct pg_conn *conn, const struct pg_server *server,
                      const struct pg_selection *entries, size_t n,
                      const struct pg_catalog_how *how, struct pg_catalog *c, struct err *err);

#endif
