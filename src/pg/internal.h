/* What the files of pg/ share. Not to be included from other rooms. */
#ifndef ASOFS_PG_INTERNAL_H
#define ASOFS_PG_INTERNAL_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "pg/answer.h"
#include "pg/conn.h"

#define PG_MOST_AT_ONCE (16u << 20) /* bytes that a server may send between two results */

struct pg_memory;

struct pg_conn {
    PGconn *pq;                     /* NULL: it answers from `memory` */
    const struct pg_memory *memory; /* else NULL */
    struct pg_memory *keeper;       /* answers are kept in it too (memory.h); NULL: they are not */
    int stop_fd;
    int64_t query_timeout_ms;
    int64_t deadline;             /* clock_ms: of the result that is waited for; 0: none */
    uint64_t received;            /* bytes, at least, since the last result */
    unsigned notices;             /* that came, ever */
    uint64_t affected;            /* rows, by the last statement that pg_step took */
    char *timezone, *lc_monetary; /* of the session */
    char committing[24];          /* publish.h; "": none */
    bool can_notice_end;          /* the server checks now and then whether we are still there */
};

/* Run one command, or several (no parameters); rows that it gives are dropped. */
int pg_run(struct pg_conn *conn, const char *sql, struct err *err);

/* One command with parameters that gives no rows. */
int pg_run_with(struct pg_conn *conn, const char *sql, int nparams, const char *const *values,
                struct err *err);

/* Run one query and wait. *answer is as wanted, and freed by the caller; NULL after a failure. */
int pg_ask(struct pg_conn *conn, const char *sql, int nparams, const char *const *values,
           const struct pg_wanted *wanted, struct pg_answer **answer, struct err *err);

/* After LISTEN, outside of a transaction: until something was notified, or for so long; both are 0. */
int pg_await_notice(struct pg_conn *conn, int64_t timeout_ms, struct err *err);

/* Of the server: 150004. */
int pg_version(const struct pg_conn *conn);

/* For who waits by himself for the end of what he sent (pg_flush), as pg/statements.h says. */
int pg_step(struct pg_conn *conn, struct err *err);

enum pg_access { PG_READ_ONLY, PG_READ_WRITE };

/*
 * Begin a transaction, REPEATABLE READ or READ COMMITTED, made harmless and with fixed text forms
 * by settings of its own; then run `more` (NULL: nothing). No snapshot is taken, unless `more`
 * does.
 */
int pg_begin(struct pg_conn *conn, enum pg_access access, bool repeatable, const char *more,
             struct err *err);
/* Appends the statements with which it does so, without `more`. */
int pg_begin_sql(struct pg_conn *conn, enum pg_access access, bool repeatable, struct buf *sql,
                 struct err *err);
/* ROLLBACK; what goes wrong with it does not matter any more. */
void pg_rollback(struct pg_conn *conn);

/*
 * For a recursive query under an empty search_path: next to pg_type t, the types that t is made of,
 * as o(type, told). told: the binary form tells its OID.
 */
#define PG_TYPES_INSIDE                                                                            \
    "LATERAL (SELECT t.typbasetype, false"                                                         \
    " UNION ALL SELECT t.typelem, true"                                                            \
    "   WHERE t.typsend = 'pg_catalog.array_send'::pg_catalog.regproc"                             \
    " UNION ALL SELECT r.rngsubtype, false FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid"    \
    " UNION ALL SELECT r.rngtypid, false FROM pg_catalog.pg_range r WHERE r.rngmultitypid = t.oid" \
    " UNION ALL SELECT f.atttypid, true FROM pg_catalog.pg_attribute f"                            \
    "   WHERE f.attrelid = t.typrelid AND f.attnum > 0 AND NOT f.attisdropped) o(type, told)"

/* The types inside of another, each once, as one text that two databases can compare. `type` is an
 * expression; NULL where it is. */
#define PG_TYPES_TEXT(type)                                                                        \
    "pg_catalog.string_agg(DISTINCT pg_catalog.format_type(" type ", NULL) COLLATE \"C\", ', '"    \
    " ORDER BY pg_catalog.format_type(" type ", NULL) COLLATE \"C\")"
#define PG_FIRST_OWN_OID "16384" /* what initdb made has lower OIDs, the same everywhere */

/*
 * Our advisory locks have this first number, "asof". The second is a hash of the name of a copy
 * (pg/record.h), or 0: for what only one may do at a time in a database.
 */
#define PG_LOCK_CLASS "1634955110"
#define PG_ONE_AT_A_TIME "SELECT pg_catalog.pg_advisory_xact_lock(" PG_LOCK_CLASS ", 0)"

/* record.c: who has the name NAME. l: pg_catalog.pg_locks */
#define PG_HOLDS_NAME(name)                                                                        \
    " l.locktype = 'advisory' AND l.granted AND l.objsubid = 2"                                    \
    " AND l.classid::bigint = " PG_LOCK_CLASS " AND l.objid::bigint = (pg_catalog.hashtext(" name  \
    ")::bigint & 4294967295)"                                                                      \
    " AND l.database = (SELECT oid FROM pg_catalog.pg_database"                                    \
    " WHERE datname = pg_catalog.current_database())"

/* record.c: -EEXIST: these tables of schema asofs, an array literal, are not as we make them. -ENOENT:
 * there is no schema asofs. */
int pg_record_check_plain(struct pg_conn *conn, const char *tables, struct err *err);

/* The transaction ends: with COMMIT where rc is 0, or without. rc, or what COMMIT came to. */
int pg_record_end_writing(struct pg_conn *conn, int rc, struct err *err);
int pg_record_check_there(struct pg_conn *conn, struct err *err);

/* Have one statement parsed and analysed, not run, by the extended protocol. */
int pg_prepare(struct pg_conn *conn, const char *sql, struct err *err);
/* The same of a row filter: it is a condition on its table (catalog.h: pg_filter_check). */
int pg_filter_prepare(struct pg_conn *conn, const char *schema, const char *name,
                      const char *filter, struct err *err);

/* Fill err from a result that cannot be used (or, without one, from the connection). */
int pg_fail(struct pg_conn *conn, const PGresult *res, struct err *err);

/* The same from libpq's words: they end with a newline, and are repeated for every address tried.
 */
int pg_fail_text(struct err *err, int code, const char *what, const char *message);

/* err holds the words already, and they mean that the session is lost: -ECONNRESET. */
int pg_fail_lost(struct err *err);

/*
 * For who sends by himself (sent: what libpq's PQsend… gave): all of it on its way. And: what has
 * arrived is taken in; -EPROTO when it is far too much since pg_flush (in_copy: a row may be
 * large).
 */
int pg_flush(struct pg_conn *conn, int sent, struct err *err);
int pg_take_input(struct pg_conn *conn, bool in_copy, struct err *err);
bool pg_has_input(struct pg_conn *conn); /* something has arrived and is not taken in */
int pg_wait_input(struct pg_conn *conn, struct err *err); /* until something arrives */

/* Have the statement under way end there; it ends as any other, soon. */
void pg_cancel(struct pg_conn *conn);

/* PQconnectPoll, what arrived counted. */
PostgresPollingStatusType pg_connect_on(struct pg_conn *conn);

/* A connection string taken to pieces; *opts is NULL for the name of a database, and after a
 * failure. */
int pg_target_parse(const char *source, PQconninfoOption **opts, struct err *err);

/* backup.c: a connection of asofs base. timeout_ms: to connect, and for each query; 0: patient. */
int pg_open_base(const char *conninfo, int stop_fd, int64_t timeout_ms, struct pg_conn **c,
                 struct err *err);
/* -EACCES: the user may not ask */
int pg_ask_identifier(struct pg_conn *conn, uint64_t *system_identifier, struct err *err);
/* slot.c: -EINVAL, told, when it is another; 0: it does not matter. */
int pg_check_identifier(struct pg_conn *conn, uint64_t wanted, struct err *err);

/* Append key='value' to a connection string. */
void pg_put_option(struct buf *conninfo, const char *key, const char *value);
/* Append an identifier, quoted by libpq. */
int pg_put_identifier(struct pg_conn *conn, struct buf *sql, const char *name, struct err *err);
/* schema.name */
int pg_put_relation(struct pg_conn *conn, struct buf *sql, const char *schema, const char *name,
                    struct err *err);
/* Append a string literal, quoted by libpq. */
int pg_put_literal(struct pg_conn *conn, struct buf *sql, const char *text, struct err *err);

/* Append an element (NULL: the null) to an array literal, which begins as "{". It is to be a value
 * of a parameter: it is not quoted for a statement. */
void pg_put_element(struct buf *array, const char *text);

#endif
