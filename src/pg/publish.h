/*
 * Making a copy current: one short transaction that changes the tables and the label which says
 * what they are.
 *
 * The label is the row of the copy in asofs.view (schema asofs, which has to be there). A reader
 * that begins with asofs.view in its transaction, at whatever isolation, finds tables that are what
 * the label says until its transaction ends: publishing has to wait for it, and it never waits
 * while it holds anything. Others may see the tables change between two statements, but never a
 * table that is empty or half full.
 *
 * Copies of other names that have a table of this one are called "replaced" in the same transaction.
 *
 * Waiting is in tries that are shorter than the server's deadlock_timeout, with pauses in which all
 * others get on; after timeout_ms it is given up (-EBUSY) and who was in the way is named, since
 * when. -EINTR: the session's stop descriptor. After every failure everything is as it was, but
 * for -ECONNRESET, -ETIMEDOUT, -EINTR and -EPROTO: they may have come for the answer to COMMIT, so
 * that it has to be asked for (pg_publish_find). Sequences that were raised stay so.
 *
 * Where some of the tables are unlogged, whoever made them so, the label goes when their rows do: see
 * asofs.marker (record.h).
 */
#ifndef ASOFS_PG_PUBLISH_H
#define ASOFS_PG_PUBLISH_H

#include <stdbool.h>
#include <stdint.h>

#include "pg/shadow.h"

struct pg_label {
    const char *name;   /* of the copy */
    const char *state;  /* "current", "loading", "failed" */
    const char *moment; /* of the rows: ISO 8601 with time zone; NULL: it stays what it was, as do
                            the members below */
    const char *lsn;    /* or NULL: unknown */
    const char *source; /* no secret in it */
    int64_t tables, rows;
    bool objects; /* the copy fills no tables */
};

/*
 * The shadows, finished, take the place of the tables, which are dropped, and their schemas go.
 * Before, it waits until nobody reads with a snapshot that is older than the rows, for he would
 * find the tables empty. -ESTALE: tables and shadows are not alike any more, named; or something
 * depends on a table that did not when pg_shadow_refuse looked (-EIO, in the server's words).
 */
int pg_publish_swap(struct pg_conn *conn, const struct pg_shadows *s, const struct pg_label *label,
                    int64_t timeout_ms, struct err *err);

/*
 * The rows of the tables become those of the shadows, by DELETE, UPDATE and INSERT of what differs
 * (without a primary key: DELETE and INSERT of all), within the filter; user triggers do not fire.
 * Nobody else may write to them meanwhile (SHARE ROW EXCLUSIVE); readers are not held, except at
 * the very end by the label. A snapshot that is older sees the old rows with the old label. The
 * shadows and their schemas go in the same transaction.
 *
 * -EIO: a row is refused, in the server's words: by a constraint, or because its key is that of a
 * row outside of the filter that may not be changed. Or rows came with the same primary key.
 */
int pg_publish_rows(struct pg_conn *conn, const struct pg_shadows *s, const struct pg_label *label,
                    int64_t timeout_ms, struct err *err);

/*
 * intosource.h: the tables in `schema`, filled, take the place of all tables of the copy in schema
 * asofs_NAME, in the way of pg_publish_swap. Privileges on the old tables are given on the new ones
 * of the same name.
 */
int pg_publish_into(struct pg_conn *conn, const char *schema, const struct pg_label *label,
                    int64_t timeout_ms, struct err *err);

/*
 * The label alone, seen by everybody at once, also by snapshots that are older (inplace: "loading"
 * before anything is cleared, "current" when all is loaded).
 */
int pg_publish_label(struct pg_conn *conn, const struct pg_label *label, int64_t timeout_ms,
                     struct err *err);

/*
 * After a pg_publish_… that failed: the transaction whose COMMIT it had sent; "": it had not come to
 * that, and nothing is published.
 */
const char *pg_publish_committing(const struct pg_conn *conn);

/* By another connection to that server. 1: it is committed; 0: it is not, and will not be; -EBUSY:
 * after timeout_ms it is not over. */
int pg_publish_find(struct pg_conn *conn, const char *transaction, int64_t timeout_ms,
                    struct err *err);

#endif
