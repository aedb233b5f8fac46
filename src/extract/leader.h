/*
 * The leader's own extraction: chunks that no worker could lock, one after the other, on the
 * connection that holds the locks and the snapshot. It has the lock already, so it passes a queued
 * ACCESS EXCLUSIVE that would stop a worker.
 *
 * For the thread that extracts: poll pg_conn_socket of the connection, then leader_hear; and
 * leader_work whenever there may be something to do.
 */
#ifndef ASOFS_EXTRACT_LEADER_H
#define ASOFS_EXTRACT_LEADER_H

#include "extract/ledger.h"
#include "pg/conn.h"

struct leader;

/* conn and ledger are borrowed; spool: the number of the spool file that is the leader's;
 * silence_ms: how long nothing may come during a chunk. */
struct leader *leader_new(struct pg_conn *conn, struct ledger *ledger, uint32_t spool,
                          int64_t silence_ms);
void leader_free(struct leader *l);

bool leader_is_busy(const struct leader *l); /* the connection cannot be used for anything else */

/* Something came over the connection. Negative: it is lost, or the extraction cannot go on. */
int leader_hear(struct leader *l, struct err *err);

/* Begin with the next chunk if there is one; -ETIMEDOUT: the server is silent. now: clock_ms */
int leader_work(struct leader *l, int64_t now, struct err *err);

#endif
