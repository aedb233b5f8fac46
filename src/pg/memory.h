/*
 * A memory: what a server answered to all that reading the catalog and the heaps of a database asks for
 * (catalog.h, heaps.h), so that they can be read once more without it. For page views that are kept: nothing
 * changes there.
 *
 * It holds answers, each found by a hash of the query: what reads them checks them as it checks a server's, and
 * a version of asofs that asks something else does not find them. Patterns are matched as the server does, as
 * far as match.h goes.
 */
#ifndef ASOFS_PG_MEMORY_H
#define ASOFS_PG_MEMORY_H

#include "common/buf.h"
#include "common/err.h"
#include "pg/conn.h"

struct pg_memory;

/* Ask the server, in a transaction of its own, and keep what it says. *m is the caller's; NULL after a
 * failure. */
int pg_memory_make(struct pg_conn *conn, struct pg_memory **m, struct err *err);
void pg_memory_free(struct pg_memory *m); /* NULL is fine */

/* As bytes, for a file (docs/formats.md): what was put can be got again. NULL: they are no memory. */
void pg_memory_put(const struct pg_memory *m, struct buf *b);
struct pg_memory *pg_memory_get(const char *bytes, size_t len);

/*
 * A session that answers from memory, for pg_catalog_read and pg_heaps_read alone, to be ended by
 * pg_conn_close; m outlives it. -EREMOTE: a pattern that only the server matches; -EPROTO: it
 * is not what asofs asks.
 */
struct pg_conn *pg_memory_connect(const struct pg_memory *m);

/* A copy of what the server was, for pg_server_free. */
void pg_memory_server(const struct pg_memory *m, struct pg_server *server);

#endif
