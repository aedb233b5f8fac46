/*
 * While the server writes one piece, the next is read. Functions of SQL rather than those of
 * libpq's large-object interface, which wait for every answer without looking elsewhere.
 */
#include "pg/largeobject.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "pg/internal.h"

#define READ_PIECE "1048576" /* bytes that are read at a time: less than PG_MOST_AT_ONCE */
#define INT4 23              /* pg_type.oid */
#define BYTEA 17

/* ---- waiting ---- */

/* A server that is silent for too long, or whoever wants us to stop. */
static int await_input(struct pg_conn *conn, int64_t since, struct err *err)
{
    struct pollfd p[2] = {{.fd = PQsocket(conn->pq), .events = POLLIN},
                          {.fd = conn->stop_fd, .events = POLLIN}};

    if (conn->query_timeout_ms && clock_ms() - since >= conn->query_timeout_ms)
        return err_set(err, ETIMEDOUT, "the server gave no answer for %lld seconds",
                       (long long)(conn->query_timeout_ms / 1000));
    if (poll(p, 2, 1000) > 0 && p[1].revents)
        return err_set(err, EINTR, "interrupted");
    return 0;
}

/* What is left of the results of a statement that failed; they come at once. */
static void drop_results(struct pg_conn *conn)
{
    PGresult *r;

    while (!PQisBusy(conn->pq) && (r = PQgetResult(conn->pq)))
        PQclear(r);
}

/* ---- writing ---- */

/* lz4 where the server has it. 131072: INV_WRITE. */
static const char create_sql[] =
    "WITH o AS MATERIALIZED (SELECT pg_catalog.lo_create(0) AS oid) SELECT o.oid,"
    " pg_catalog.lo_open(o.oid, 131072),"
    " (SELECT pg_catalog.set_config(name, 'lz4', true) FROM pg_catalog.pg_settings"
    "  WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) FROM o";

int pg_objwrite_start(struct pg_conn *conn, struct pg_objwrite *w, struct err *err)
{
    static const struct pg_wanted wanted = {"onT", 1, 1};
    struct pg_answer *a = NULL;
    int rc = pg_ask(conn, create_sql, 0, NULL, &wanted, &a, err);

    w->bytes = 0;
    w->waiting = w->sent = 0;
    w->ended = false;
    if (rc < 0)
        return rc;
    w->oid = pg_oid(a, 0, 0);
    w->descriptor = (uint32_t)pg_number(a, 0, 1);
    pg_answer_free(a);
    return 0;
}

static int read_piece(struct pg_objwrite *w, struct err *err)
{
    int64_t n;

    if (w->ended || w->waiting)
        return 0;
    n = w->read(w->arg, w->piece, sizeof(w->piece), w->bytes + w->sent, err);
    if (n < 0)
        return n == -EAGAIN ? 0 : (int)n;
    if (w->bytes + w->sent + (uint64_t)n > PG_OBJECT_MOST)
        return err_set(err, EFBIG, "a large object has no room for more than 4 TiB");
    w->waiting = (size_t)n;
    w->ended = n == 0;
    return 0;
}

static int send_piece(struct pg_conn *conn, struct pg_objwrite *w, struct err *err)
{
    static const Oid types[] = {INT4, BYTEA};
    static const int formats[] = {1, 1};
    uint32_t descriptor = htonl(w->descriptor);
    const char *values[] = {(const char *)&descriptor, w->piece};
    int lengths[] = {sizeof(descriptor), (int)w->waiting}, rc;

    rc = pg_flush(conn,
                  PQsendQueryParams(conn->pq, "SELECT pg_catalog.lowrite($1, $2)", 2, types, values,
                                    lengths, formats, 0),
                  err);
    w->sent = w->waiting;
    w->waiting = 0;
    return rc;
}

static int take_written(struct pg_conn *conn, struct pg_objwrite *w, const PGresult *r,
                        struct err *err)
{
    int rc;

    if (PQresultStatus(r) != PGRES_TUPLES_OK) {
        rc = pg_fail(conn, r, err);
        drop_results(conn);
        return rc;
    }
    if (PQntuples(r) != 1 || PQnfields(r) != 1 ||
        strtoull(PQgetvalue(r, 0, 0), NULL, 10) != w->sent)
        return pg_odd_answer(err, "another number of bytes than were to be written");
    w->bytes += w->sent;
    w->sent = 0;
    return 0;
}

/* 1: the answer is not there yet. */
static int take_results(struct pg_conn *conn, struct pg_objwrite *w, struct err *err)
{
    PGresult *r;
    int rc = pg_take_input(conn, false, err);

    while (rc == 0) {
        if (PQisBusy(conn->pq))
            return 1;
        r = PQgetResult(conn->pq);
        if (!r)
            return w->sent ? pg_odd_answer(err, "nothing") : 0;
        rc = take_written(conn, w, r, err);
        PQclear(r);
    }
    return rc;
}

int pg_objwrite_step(struct pg_conn *conn, struct pg_objwrite *w, struct err *err)
{
    int rc = read_piece(w, err);

    if (rc == 0 && w->sent)
        rc = take_results(conn, w, err);
    if (rc != 0)
        return rc;
    if (!w->waiting)
        return !w->ended;
    rc = send_piece(conn, w, err);
    if (rc == 0)
        rc = read_piece(w, err);
    return rc < 0 ? rc : 1;
}

int pg_objwrite_run(struct pg_conn *conn, struct pg_objwrite *w, struct err *err)
{
    int64_t since = clock_ms();
    uint64_t written = 0;
    int rc = pg_objwrite_start(conn, w, err);

    while (rc == 0 && (rc = pg_objwrite_step(conn, w, err)) > 0) {
        if (!w->sent || w->bytes > written)
            since = clock_ms();
        written = w->bytes;
        rc = w->sent ? await_input(conn, since, err) : 0;
    }
    return rc;
}

/* ---- reading ---- */

struct reading {
    int (*take)(void *arg, const char *bytes, size_t len, struct err *err);
    void *arg;
    uint64_t left; /* bytes */
};

static int take_rows(struct pg_conn *conn, struct reading *to, const PGresult *r, struct err *err)
{
    size_t len;

    if (PQresultStatus(r) == PGRES_TUPLES_OK)
        return 0;
    if (PQresultStatus(r) != PGRES_SINGLE_TUPLE)
        return pg_fail(conn, r, err);
    if (PQntuples(r) != 1 || PQnfields(r) != 1)
        return pg_odd_answer(err, "another thing than a piece of a large object");
    len = (size_t)PQgetlength(r, 0, 0);
    if (len > to->left)
        return err_set(err, EIO, "it is longer than it should be");
    to->left -= len;
    return to->take(to->arg, PQgetvalue(r, 0, 0), len, err);
}

/* The rows that are there. 1: more may come. */
static int take_pieces(struct pg_conn *conn, struct reading *to, struct err *err)
{
    PGresult *r;
    int rc = 0;

    while (rc == 0 && !PQisBusy(conn->pq)) {
        r = PQgetResult(conn->pq);
        if (!r)
            return to->left ? err_set(err, EIO, "it is shorter than it should be") : 0;
        conn->received = 0;
        rc = take_rows(conn, to, r, err);
        PQclear(r);
    }
    return rc < 0 ? rc : 1;
}

/* One more byte is asked for than should be there, in the last piece. */
static int send_question(struct pg_conn *conn, uint32_t oid, uint64_t bytes, struct err *err)
{
    char id[16], end[24];
    const char *values[] = {id, end};
    int sent;

    snprintf(id, sizeof(id), "%u", oid);
    snprintf(end, sizeof(end), "%llu", (unsigned long long)bytes);
    sent = PQsendQueryParams(conn->pq,
                             "SELECT pg_catalog.lo_get($1::oid, g, " READ_PIECE
                             ") FROM pg_catalog.generate_series(0::bigint, $2::bigint, " READ_PIECE
                             ") g",
                             2, NULL, values, NULL, NULL, 1);
    if (sent)
        PQsetSingleRowMode(conn->pq);
    return pg_flush(conn, sent, err);
}

int pg_objread_run(struct pg_conn *conn, uint32_t oid, uint64_t bytes,
                   int (*take)(void *arg, const char *bytes, size_t len, struct err *err),
                   void *arg, struct err *err)
{
    struct reading to = {take, arg, bytes};
    int64_t since = clock_ms();
    int rc = send_question(conn, oid, bytes, err);

    while (rc == 0 && (rc = take_pieces(conn, &to, err)) > 0) {
        rc = await_input(conn, since, err);
        if (rc == 0 && pg_has_input(conn))
            since = clock_ms();
        if (rc == 0)
            rc = pg_take_input(conn, false, err);
    }
    return rc;
}
