/*
 * The stages of a COPY … FROM STDIN: the statement, the data, its end, the results. One simple query:
 * after an error the server drops what still comes of a COPY, and there is no Sync too many.
 *
 * libpq keeps an error that comes in the middle of the data to itself until the data ends. But in
 * the middle of it a server says nothing unasked but notices, which libpq does hand out, and
 * errors. So when something came that was no notice, the data is ended, as aborted, and the error
 * is found before the answer to that. Should it have been something else, then the COPY failed for
 * nothing (-EPROTO), which is better than rows that are missing.
 */
#include "pg/copyin.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "pg/internal.h"

enum { STAGE_START, STAGE_DATA, STAGE_END, STAGE_TAIL };

#define PIECES 16           /* of a step, at most */
#define STOP "asofs: ended" /* why a COPY is ended early, for the server's log */

/* ---- transactions that write ---- */

/* A host that is cut off keeps its locks, and what it has claimed, no longer than nine seconds. */
static const char write_settings[] =
    "SET LOCAL client_min_messages = error; SET LOCAL synchronous_commit = off;"
    "SET LOCAL tcp_keepalives_idle = 3; SET LOCAL tcp_keepalives_interval = 2;"
    "SET LOCAL tcp_keepalives_count = 3; SET LOCAL tcp_user_timeout = 9000;";

int pg_write_begin(struct pg_conn *conn, int64_t lock_timeout_ms, struct err *err)
{
    struct buf more = {0};
    int rc;

    buf_printf(&more, "%sSET LOCAL lock_timeout = %lld", write_settings,
               (long long)lock_timeout_ms);
    rc = pg_begin(conn, PG_READ_WRITE, false, more.data, err);
    buf_free(&more);
    if (rc < 0)
        pg_rollback(conn);
    return rc;
}

/* COMMIT of a transaction that failed is a ROLLBACK, and no error. */
int pg_write_commit(struct pg_conn *conn, struct err *err)
{
    if (!pg_conn_is_ready(conn))
        return err_set(err, ECANCELED, "the transaction failed before it could be committed");
    return pg_run(conn, "COMMIT", err);
}

void pg_write_rollback(struct pg_conn *conn)
{
    pg_rollback(conn);
}

/* ---- where bytes come from ---- */

static size_t part_of(uint64_t len, uint64_t at, size_t room)
{
    return at >= len ? 0 : len - at < room ? (size_t)(len - at) : room;
}

int64_t pg_copyin_read_file(void *file, char *bytes, size_t room, uint64_t at, struct err *err)
{
    const struct pg_copyin_file *f = file;
    size_t len = part_of(f->len, at, room);
    int64_t n = io_pread_full(f->fd, bytes, len, f->offset + at);

    if (n < 0)
        return err_set(err, (int)-n, "cannot read the rows to load: %s", strerror((int)-n));
    if ((size_t)n < len)
        return err_set(err, EIO, "the file of rows to load is shorter than it was");
    return n;
}

int64_t pg_copyin_read_bytes(void *b, char *bytes, size_t room, uint64_t at, struct err *err)
{
    const struct pg_copyin_bytes *from = b;
    size_t len = part_of(from->len, at, room);

    (void)err;
    if (len)
        memcpy(bytes, from->bytes + at, len);
    return (int64_t)len;
}

/* ---- sending ---- */

int pg_copyin_start(struct pg_conn *conn, struct pg_copyin *copy, struct err *err)
{
    copy->stage = STAGE_START;
    copy->bytes = copy->rows = copy->line = 0;
    copy->full = copy->stopped = copy->refused = false;
    copy->done = 0;
    copy->failure.code = 0;
    return pg_flush(conn, PQsendQuery(conn->pq, copy->copy_sql), err);
}

short pg_copyin_events(const struct pg_copyin *copy)
{
    return copy->full ? POLLIN | POLLOUT : POLLIN;
}

void pg_copyin_abort(struct pg_copyin *copy, const struct err *why)
{
    if (!copy->failure.code)
        copy->failure = *why;
    copy->stopped = true;
}

/* 0: nothing is left to send; 1: the server does not take it now. */
static int send_on(struct pg_conn *conn, struct pg_copyin *copy, struct err *err)
{
    int n = PQflush(conn->pq);

    copy->full = n > 0;
    return n < 0 ? pg_fail(conn, NULL, err) : n;
}

/* 1: there is none yet. */
static int send_piece(struct pg_conn *conn, struct pg_copyin *copy, struct err *err)
{
    struct err why = {0};
    int64_t n = copy->read(copy->arg, copy->piece, sizeof(copy->piece), copy->bytes, &why);

    if (n == -EAGAIN)
        return 1;
    if (n < 0)
        pg_copyin_abort(copy, &why);
    if (n <= 0) {
        copy->stage = STAGE_END;
        return 0;
    }
    if (PQputCopyData(conn->pq, copy->piece, (int)n) != 1)
        return pg_fail(conn, NULL, err);
    copy->bytes += (uint64_t)n;
    return 0;
}

static int send_data(struct pg_conn *conn, struct pg_copyin *copy, struct err *err)
{
    int i, rc = 0;

    for (i = 0; i < PIECES && rc == 0 && copy->stage == STAGE_DATA; i++) {
        rc = send_on(conn, copy, err);
        if (rc == 0)
            rc = send_piece(conn, copy, err);
    }
    if (rc == 0 && copy->stage == STAGE_DATA)
        copy->full = true; /* enough for now; the socket may be writable at once */
    return rc;
}

static int send_end(struct pg_conn *conn, struct pg_copyin *copy, struct err *err)
{
    if (PQputCopyEnd(conn->pq, copy->stopped ? STOP : NULL) != 1)
        return pg_fail(conn, NULL, err);
    copy->refused = copy->stopped;
    copy->stage = STAGE_TAIL;
    return 0;
}

/* ---- receiving ---- */

/* "COPY t, line 4, column x: …": in several languages all but the words in between. */
static uint64_t line_of(const char *context, const char *table)
{
    size_t len = table ? strlen(table) : 0;
    const char *p;

    for (p = context; len && p; p = strchr(p, '\n')) {
        p += *p == '\n';
        if (strncmp(p, "COPY ", 5) == 0 && strncmp(p + 5, table, len) == 0 && p[5 + len] == ',')
            return strtoull(p + 5 + len + strcspn(p + 5 + len, "0123456789\n"), NULL, 10);
    }
    return 0;
}

/* What the server said of a COPY that was ended early, because something had come of it, if that was
 * no error. */
static bool is_echo(const struct err *err)
{
    size_t len = strlen(err->text), stop = strlen(STOP);

    return len > stop && strcmp(err->text + len - stop, STOP) == 0;
}

static int take_failure(struct pg_conn *conn, struct pg_copyin *copy, const PGresult *r,
                        struct err *err)
{
    const char *context = PQresultErrorField(r, PG_DIAG_CONTEXT);
    int rc = pg_fail(conn, r, err);

    if (rc == -EPROTO)
        return rc;
    if (PQstatus(conn->pq) == CONNECTION_BAD || err->code == ECONNRESET)
        return pg_fail_lost(err);
    if (copy->failure.code)
        return 0;
    if (copy->refused && is_echo(err))
        return pg_odd_answer(err, "what is no error in the middle of a COPY");
    if (context) {
        err_hint(err, "%s", context);
        copy->line = line_of(context, copy->table);
    }
    copy->failure = *err;
    return 0;
}

/* "COPY 17" */
static int take_count(struct pg_copyin *copy, PGresult *r, struct err *err)
{
    const char *n = PQcmdTuples(r);

    if (!*n || strspn(n, "0123456789") != strlen(n) || copy->refused)
        return pg_odd_answer(err, "\"%s\" at the end of a COPY", PQcmdStatus(r));
    copy->rows = strtoull(n, NULL, 10);
    copy->done++;
    return 0;
}

static int take_result(struct pg_conn *conn, struct pg_copyin *copy, PGresult *r, struct err *err)
{
    ExecStatusType status = PQresultStatus(r);

    if (status == PGRES_COPY_IN && copy->stage == STAGE_START) {
        copy->stage = copy->stopped ? STAGE_END : STAGE_DATA;
        return 0;
    }
    if (status == PGRES_COMMAND_OK && copy->stage == STAGE_TAIL)
        return take_count(copy, r, err);
    if (status == PGRES_COMMAND_OK)
        return pg_odd_answer(err, "\"%s\" where a COPY is to begin", PQcmdStatus(r));
    return take_failure(conn, copy, r, err);
}

static int end_copy(const struct pg_copyin *copy, struct err *err)
{
    if (copy->failure.code) {
        *err = copy->failure;
        return -err->code;
    }
    return copy->done == 1 ? PG_COPYIN_DONE : pg_odd_answer(err, "no end of a COPY");
}

/* The results that are there, up to one after which data is to be sent. */
static int take_results(struct pg_conn *conn, struct pg_copyin *copy, struct err *err)
{
    PGresult *r;
    int rc = 0;

    while (rc == 0 && (copy->stage == STAGE_START || copy->stage == STAGE_TAIL)) {
        if (PQisBusy(conn->pq))
            return PG_COPYIN_MORE;
        r = PQgetResult(conn->pq);
        if (!r)
            return end_copy(copy, err);
        rc = take_result(conn, copy, r, err);
        PQclear(r);
    }
    return rc;
}

/* The connection broke in the middle of the data: the server may have said why. */
static int take_last_words(struct pg_conn *conn, struct pg_copyin *copy, struct err *err)
{
    PGresult *r;

    if (copy->stage != STAGE_DATA || PQstatus(conn->pq) != CONNECTION_BAD ||
        PQputCopyEnd(conn->pq, STOP) < 0 || PQisBusy(conn->pq))
        return -err->code;
    r = PQgetResult(conn->pq);
    if (r && PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY))
        pg_fail(conn, r, err);
    PQclear(r);
    return pg_fail_lost(err);
}

/* What came is taken in. In the middle of the data: 1, it was no notice. */
static int take_news(struct pg_conn *conn, const struct pg_copyin *copy, struct err *err)
{
    unsigned told = conn->notices;
    bool came = pg_has_input(conn);
    int rc = pg_take_input(conn, false, err);

    if (rc < 0 || copy->stage != STAGE_DATA)
        return rc;
    PQisBusy(conn->pq); /* parses what came */
    return came && conn->notices == told;
}

/* ---- a step ---- */

static int send_what_is_due(struct pg_conn *conn, struct pg_copyin *copy, struct err *err)
{
    int rc = 0;

    if (copy->stage == STAGE_DATA && copy->stopped)
        copy->stage = STAGE_END;
    if (copy->stage == STAGE_DATA)
        rc = send_data(conn, copy, err);
    if (rc == 0 && copy->stage == STAGE_END)
        rc = send_end(conn, copy, err);
    if (rc == 0 && copy->stage == STAGE_TAIL)
        rc = send_on(conn, copy, err);
    return rc;
}

int pg_copyin_step(struct pg_conn *conn, struct pg_copyin *copy, struct err *err)
{
    int rc = take_news(conn, copy, err);

    if (rc < 0)
        return take_last_words(conn, copy, err);
    copy->stopped |= rc > 0;
    rc = take_results(conn, copy, err);
    if (rc != PG_COPYIN_MORE || copy->stage == STAGE_START)
        return rc;
    rc = send_what_is_due(conn, copy, err);
    if (rc < 0)
        return take_last_words(conn, copy, err);
    return rc == 0 && copy->stage == STAGE_TAIL ? take_results(conn, copy, err) : PG_COPYIN_MORE;
}
