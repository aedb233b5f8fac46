/*
 * pg/: what asofs says to a PostgreSQL server. Only this room and load/ include <libpq-fe.h>;
 * callers see opaque connections and named calls. There is no general "run this SQL" function
 * outside this room (internal.h is for its own files). May be called from all rooms but pages/,
 * store/ and fs/; calls only common/.
 *
 * A pg_conn belongs to one thread at a time. Every wait is bounded (timeout_ms) and ends at once
 * when the stop descriptor becomes readable; the query is then cancelled on the server too.
 *
 * Error codes: -EINTR stopped, -ETIMEDOUT the server was silent too long, -ECONNRESET the
 * connection is gone, -EBUSY a lock could not be had, -EACCES no privilege, -ECANCELED the
 * statement was cancelled, -ESTALE a table or schema is not there (any more), -EPROTO it answered
 * with what PostgreSQL does not, -EIO any other error that the server reported.
 */
#ifndef ASOFS_PG_CONN_H
#define ASOFS_PG_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/msg.h"

struct pg_conn;

/* Where to connect. The leader resolves the source to one server; workers are pinned to the same.
 */
struct pg_target {
    char *source; /* libpq conninfo string, URI or database name */
    char *host;   /* NULL until pinned: the host, address and port that answered */
    char *hostaddr;
    char *port;
};

struct pg_session {
    const char *application_name;
    const char *timezone;
    const char *lc_monetary; /* how the type money is written; NULL: as the server has it */
    int stop_fd;             /* -1: none */
    int64_t connect_timeout_ms;
    int64_t query_timeout_ms; /* silence of the server that is too long; 0 = never */
};

/* What a server is, asked once at connect by the leader. */
struct pg_server {
    int version;        /* 150004 */
    char *version_text; /* "15.4 (Debian …)" */
    char *database;
    char *user;
    char *encoding;    /* of the server */
    char *search_path; /* the schemas of the session before it was emptied: an array literal */
    char *lc_monetary;
    char *system_identifier; /* "" when we may not know it */
    char *started;           /* when, to the microsecond; another server hardly has the same */
    bool in_recovery;
    int64_t lock_slots; /* locks that fit in the server's lock table */
    int64_t deadlock_timeout_ms;
};

void pg_target_init(struct pg_target *t, const char *source);
void pg_target_free(struct pg_target *t);
void pg_target_put(struct buf *b, const struct pg_target *t);
void pg_target_get(struct reader *r, struct pg_target *t);

/* Overwrite a password in `source` (an argv string or a copy): what remains is shorter, never
 * longer. */
void pg_target_scrub(char *source);

/* What pg_target_keep (reach.h) found and left out; an empty one is left out without a word. */
struct pg_secrets {
    bool password;
    bool others; /* sslpassword, and what else libpq marks as secret */
};

/* "dbname@host" for people and /proc/mounts: no secret in it. The caller frees it. */
char *pg_target_describe(const struct pg_conn *conn);

/* Servers before 14 are refused. */
int pg_conn_open(struct pg_conn **conn, const struct pg_target *t, const struct pg_session *s,
                 struct err *err);
void pg_conn_close(struct pg_conn *conn); /* NULL is fine */
void pg_conn_pin(const struct pg_conn *conn, struct pg_target *t);
/* From now on this descriptor ends waits, in place of the session's. */
void pg_conn_set_stop_fd(struct pg_conn *conn, int stop_fd);
/* From now on silence of the server is borne for so long; 0 = without end. */
void pg_conn_set_patience(struct pg_conn *conn, int64_t query_timeout_ms);
int pg_conn_socket(const struct pg_conn *conn);

/* Between queries: read what came unasked. -ECONNRESET when the connection is gone (err: why). */
int pg_conn_check(struct pg_conn *conn, struct err *err);

/* Of a worker that waits for its coordinator: its next message. 1: *m is filled; 0: the other side is
 * gone. Meanwhile conn, unless NULL, is read as by pg_conn_check. */
int pg_conn_next_message(struct pg_conn *conn, struct msg_conn *socket, struct msg *m,
                         struct err *err);

/* In a transaction that has not failed, no statement under way. */
bool pg_conn_is_ready(const struct pg_conn *conn);

/* Read the facts of the server, among them the search_path as the user knows it. */
int pg_conn_inspect(struct pg_conn *conn, struct pg_server *server, struct err *err);

/* Refuses an encoding that the server does not know or cannot convert to. */
int pg_conn_check_encoding(struct pg_conn *conn, const struct pg_server *server,
                           const char *encoding, struct err *err);
void pg_server_free(struct pg_server *server);

#endif
