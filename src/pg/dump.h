/*
 * schema.sql: PostgreSQL's own pg_dump as a child, --schema-only, in the leader's snapshot.
 *
 * It runs beside the extraction. What it cannot do (no pg_dump, an older one than the server, a
 * lock that is queued for) is no failure of the view: the text then says why.
 */
#ifndef ASOFS_PG_DUMP_H
#define ASOFS_PG_DUMP_H

#include <sys/types.h>

#include "pg/catalog.h"

struct pg_dump {
    pid_t pid;  /* 0: not running */
    int out_fd; /* -1: closed. Poll for POLLIN, then pg_dump_read */
    struct buf text;
    struct buf complaints; /* what it wrote to standard error */
    int err_fd;
};

/*
 * snapshot_id NULL: protocol lock; the leader's locks alone keep the definitions as they are.
 * everything: the view holds every table, so no list of tables need be given.
 * bindir: where it is; NULL: in PATH.
 */
int pg_dump_start(struct pg_dump *d, struct pg_conn *leader, const struct pg_catalog *c,
                  bool everything, const char *snapshot_id, const char *bindir, struct err *err);

/* Take what is there. 1 = finished and successful, 0 = more to come, negative = failed (err: why).
 */
int pg_dump_read(struct pg_dump *d, struct err *err);

/*
 * Is it kept waiting for a lock? It would wait for as long as we do: pg_dump bounds the waits of
 * its LOCK statements only, and whoever is in front of it in the queue waits for the leader. Asks
 * the server, on the leader's connection, which must be idle.
 */
bool pg_dump_is_blocked(struct pg_conn *leader);

/* End it; err says what is to be told of it. */
int pg_dump_give_up(struct pg_dump *d, struct err *err);

void pg_dump_free(struct pg_dump *d); /* kills it when it runs */

#endif
