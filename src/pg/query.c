/*
 * Statements: sent, and their results waited for.
 *
 * Every wait ends: when the stop descriptor becomes readable, and when no result came for as long
 * as the session has patience (notices and parts of a row are none). What the server may send
 * between two results is bounded too (PG_MOST_AT_ONCE). A server that begins a COPY nobody asked
 * for, or answers with another thing than was wanted, is not listened to any further: the
 * connection stays in the middle of that statement, and every later one on it fails at once.
 */
#include "pg/internal.h"
#include "pg/recalled.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "common/clock.h"
#include "common/proc.h"

#define READ_AT_LEAST 8192 /* libpq makes that much room before it reads */
#define CANCEL_PATIENCE_MS 3000
#define MANY_ROWS 1000 /* from here on taken one by one: libpq would collect them all */

/* ---- errors ---- */

int pg_fail_text(struct err *err, int code, const char *what, const char *message)
{
    size_t len = strlen(message);

    while (len && (message[len - 1] == '\n' || message[len - 1] == ' '))
        len--;
    if (!len)
        return err_set(err, code, "%sthe connection to the server is lost", what);
    return err_set(err, code, "%s%.*s", what, (int)len, message);
}

static int code_of_sqlstate(const char *state)
{
    if (!state)
        return EIO;
    if (strcmp(state, "55P03") == 0)
        return EBUSY; /* lock_not_available */
    if (strcmp(state, "57014") == 0)
        return ECANCELED; /* query_canceled: by statement_timeout, or by somebody */
    if (strcmp(state, "40001") == 0)
        return ECANCELED; /* on a standby: conflict with recovery */
    if (strcmp(state, "42501") == 0)
        return EACCES; /* insufficient_privilege */
    if (strcmp(state, "42P01") == 0 || strcmp(state, "3F000") == 0)
        return ESTALE; /* undefined_table, invalid_schema_name */
    if (strncmp(state, "57P", 3) == 0 || strncmp(state, "08", 2) == 0)
        return ECONNRESET; /* admin shutdown, crash, connection failures */
    return EIO;
}

/* A result that is no error, where it cannot be used; or an error that says nothing. */
static int fail_oddly(const PGresult *r, struct err *err)
{
    switch (PQresultStatus(r)) {
    case PGRES_FATAL_ERROR:
    case PGRES_NONFATAL_ERROR:
        if (*PQresultErrorMessage(r))
            return pg_fail_text(err, EIO, "", PQresultErrorMessage(r));
        return pg_odd_answer(err, "an error that has no text");
    case PGRES_COPY_IN:
    case PGRES_COPY_OUT:
    case PGRES_COPY_BOTH:
        return pg_odd_answer(err, "a COPY that nobody asked for");
    case PGRES_TUPLES_OK:
    case PGRES_SINGLE_TUPLE:
        return pg_odd_answer(err, "rows where none are due");
    case PGRES_COMMAND_OK:
        return pg_odd_answer(err, "\"%s\" where rows are due",
                             PQcmdStatus((PGresult *)(uintptr_t)r));
    default:
        return pg_odd_answer(err, "%s", PQresStatus(PQresultStatus(r)));
    }
}

int pg_fail(struct pg_conn *conn, const PGresult *res, struct err *err)
{
    const char *state = res ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;
    const char *text = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    const char *detail = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL) : NULL;
    int code = code_of_sqlstate(state);

    if (PQstatus(conn->pq) == CONNECTION_BAD)
        code = ECONNRESET;
    if (!text && (!res || code == ECONNRESET))
        return pg_fail_text(err, code, "", PQerrorMessage(conn->pq));
    if (!text)
        return fail_oddly(res, err);
    err_set(err, code, "%s", text);
    if (detail)
        err_hint(err, "%s", detail);
    return -code;
}

int pg_fail_lost(struct err *err)
{
    err->code = ECONNRESET;
    return -ECONNRESET;
}

/* ---- waiting ---- */

static void begin_wait(struct pg_conn *conn)
{
    conn->received = 0;
    conn->deadline = conn->query_timeout_ms ? clock_ms() + conn->query_timeout_ms : 0;
}

static int left_of(const struct pg_conn *conn)
{
    int64_t left = conn->deadline - clock_ms();

    if (!conn->deadline)
        return -1;
    return left < 0 ? 0 : left < INT32_MAX ? (int)left : INT32_MAX;
}

static int wait_for(struct pg_conn *conn, short events, struct err *err)
{
    struct pollfd p[2] = {{.fd = PQsocket(conn->pq), .events = events},
                          {.fd = conn->stop_fd, .events = POLLIN}};
    int n;

    if (p[0].fd < 0)
        return err_set(err, ECONNRESET, "the connection to the server is closed");
    do {
        n = poll(p, conn->stop_fd >= 0 ? 2 : 1, left_of(conn));
    } while (n < 0 && errno == EINTR);
    if (n > 0 && p[1].revents)
        return err_set(err, EINTR, "interrupted");
    if (n == 0 || (conn->deadline && clock_ms() >= conn->deadline))
        return err_set(err, ETIMEDOUT, "the server gave no answer for %lld seconds",
                       (long long)(conn->query_timeout_ms / 1000));
    return 0;
}

static uint64_t waiting_bytes(struct pg_conn *conn)
{
    int n = 0;

    return ioctl(PQsocket(conn->pq), FIONREAD, &n) == 0 && n > 0 ? (uint64_t)n : 0;
}

/* How much libpq has read it does not tell: at least what is counted here. */
static void count_input(struct pg_conn *conn, uint64_t before)
{
    uint64_t after = waiting_bytes(conn);
    uint64_t least = before < READ_AT_LEAST ? before : READ_AT_LEAST;

    conn->received += before > after + least ? before - after : least;
}

bool pg_has_input(struct pg_conn *conn)
{
    return waiting_bytes(conn) > 0;
}

int pg_take_input(struct pg_conn *conn, bool in_copy, struct err *err)
{
    uint64_t before = waiting_bytes(conn);

    if (!PQconsumeInput(conn->pq)) {
        pg_fail(conn, NULL, err);
        return pg_fail_lost(err);
    }
    if (in_copy)
        return 0;
    count_input(conn, before);
    if (conn->received > PG_MOST_AT_ONCE)
        return pg_odd_answer(err, "more than %u MiB between two results", PG_MOST_AT_ONCE >> 20);
    return 0;
}

PostgresPollingStatusType pg_connect_on(struct pg_conn *conn)
{
    uint64_t before = waiting_bytes(conn);
    PostgresPollingStatusType want = PQconnectPoll(conn->pq);

    count_input(conn, before);
    return want;
}

/* All of it on its way; a server that does not read keeps us no longer than one that does not
 * answer. */
int pg_flush(struct pg_conn *conn, int sent, struct err *err)
{
    int n, rc = 0;

    begin_wait(conn);
    while (sent && rc == 0 && (n = PQflush(conn->pq)) != 0) {
        if (n < 0)
            return pg_fail(conn, NULL, err);
        rc = wait_for(conn, POLLIN | POLLOUT, err);
        if (rc == 0)
            rc = pg_take_input(conn, false, err);
    }
    return sent ? rc : pg_fail(conn, NULL, err);
}

static int wait_result(struct pg_conn *conn, struct err *err)
{
    int rc = 0;

    while (rc == 0 && PQisBusy(conn->pq)) {
        rc = wait_for(conn, POLLIN, err);
        if (rc == 0)
            rc = pg_take_input(conn, false, err);
    }
    return rc;
}

int pg_wait_input(struct pg_conn *conn, struct err *err)
{
    begin_wait(conn);
    return wait_for(conn, POLLIN, err);
}

/* ---- cancelling ---- */

static void *cancel(void *arg)
{
    char text[256];

    PQcancel(arg, text, sizeof(text));
    PQfreeCancel(arg);
    return NULL;
}

/* As pthread_clockjoin_np, which the thread sanitizer does not know. */
static bool join_within(pthread_t thread, int64_t ms)
{
    int64_t until = clock_ms() + ms;

    while (pthread_tryjoin_np(thread, NULL) == EBUSY) {
        if (clock_ms() >= until)
            return false;
        poll(NULL, 0, 1);
    }
    return true;
}

/*
 * PQcancel makes a connection and waits until the server closes it, without end. So it has a thread
 * of its own, which is left to itself when that takes too long.
 */
void pg_cancel(struct pg_conn *conn)
{
    PGcancel *what = PQgetCancel(conn->pq);
    pthread_t thread;

    if (!what)
        return;
    if (proc_thread(&thread, cancel, what) != 0) {
        PQfreeCancel(what);
        return;
    }
    if (!join_within(thread, CANCEL_PATIENCE_MS))
        pthread_detach(thread);
}

/* ---- results ---- */

/* Errors go to err, the first alone counts. -EPROTO: nothing that follows can be trusted. */
static int take_result(struct pg_conn *conn, struct pg_answer *a, const PGresult *r,
                       struct err *err)
{
    switch (PQresultStatus(r)) {
    case PGRES_COMMAND_OK:
        return a ? fail_oddly(r, err) : 0;
    case PGRES_SINGLE_TUPLE:
        begin_wait(conn);
        return a ? pg_answer_take(a, r, err) : fail_oddly(r, err);
    case PGRES_TUPLES_OK:
        return a ? pg_answer_take(a, r, err) : 0;
    default:
        return pg_fail(conn, r, err);
    }
}

/* The results of what was sent: all of them, or up to one that cannot be. */
static int collect_results(struct pg_conn *conn, struct pg_answer *a, struct err *err)
{
    struct err further;
    unsigned n;
    int rc = 0, rc2 = 0;

    for (n = 0; rc2 != -EPROTO; n++) {
        PGresult *r;

        rc2 = wait_result(conn, rc < 0 ? &further : err);
        if (rc2 < 0)
            return rc < 0 ? rc : rc2;
        r = PQgetResult(conn->pq);
        if (!r)
            return rc < 0 || n ? rc : pg_odd_answer(err, "nothing");
        rc2 = take_result(conn, a, r, rc < 0 ? &further : err);
        rc = rc < 0 ? rc : rc2;
        PQclear(r);
        if (PQstatus(conn->pq) == CONNECTION_BAD)
            return rc < 0 ? rc : pg_fail(conn, NULL, err);
    }
    return rc;
}

/* What was interrupted ends soon, for it was cancelled: its end is waited for, so that who was
 * interrupted can still use the session to clean up. */
static void drain_cancelled(struct pg_conn *conn)
{
    int64_t patience_ms = conn->query_timeout_ms;
    int stop_fd = conn->stop_fd;
    struct err ignored;

    conn->stop_fd = -1;
    conn->query_timeout_ms = CANCEL_PATIENCE_MS;
    begin_wait(conn);
    collect_results(conn, NULL, &ignored);
    conn->stop_fd = stop_fd;
    conn->query_timeout_ms = patience_ms;
}

static int finish_query(struct pg_conn *conn, int sent, struct pg_answer *a, struct err *err)
{
    int rc = pg_flush(conn, sent, err);

    if (rc == 0)
        rc = collect_results(conn, a, err);
    if (rc == -EINTR || rc == -ETIMEDOUT || rc == -EPROTO)
        pg_cancel(conn);
    if (rc == -EINTR)
        drain_cancelled(conn);
    return rc;
}

int pg_run(struct pg_conn *conn, const char *sql, struct err *err)
{
    return finish_query(conn, PQsendQuery(conn->pq, sql), NULL, err);
}

int pg_run_with(struct pg_conn *conn, const char *sql, int nparams, const char *const *values,
                struct err *err)
{
    int sent = PQsendQueryParams(conn->pq, sql, nparams, NULL, values, NULL, NULL, 0);

    return finish_query(conn, sent, NULL, err);
}

int pg_ask(struct pg_conn *conn, const char *sql, int nparams, const char *const *values,
           const struct pg_wanted *wanted, struct pg_answer **answer, struct err *err)
{
    struct pg_answer *a;
    int rc, sent;

    if (conn->memory)
        return pg_memory_answer(conn->memory, sql, nparams ? values[0] : NULL, wanted, answer, err);
    a = pg_answer_new(wanted);
    if (nparams)
        sent = PQsendQueryParams(conn->pq, sql, nparams, NULL, values, NULL, NULL, 0);
    else
        sent = PQsendQuery(conn->pq, sql);
    if (sent && wanted->most > MANY_ROWS)
        PQsetSingleRowMode(conn->pq);
    rc = finish_query(conn, sent, a, err);
    if (rc == 0)
        rc = pg_answer_end(a, err);
    if (rc == 0 && conn->keeper)
        pg_memory_keep(conn->keeper, sql, a);
    *answer = rc == 0 ? a : NULL;
    if (rc < 0)
        pg_answer_free(a);
    return rc;
}

int pg_prepare(struct pg_conn *conn, const char *sql, struct err *err)
{
    return finish_query(conn, PQsendPrepare(conn->pq, "", sql, 0, NULL), NULL, err);
}

/* ---- by steps ---- */

/* One of several results. After an error the rest comes at once, and is waited for: so that the
 * session can be used again. */
static int take_step(struct pg_conn *conn, const PGresult *r, struct err *err)
{
    struct err ignored;
    int rc = PQresultStatus(r) == PGRES_EMPTY_QUERY ? 0 : take_result(conn, NULL, r, err);

    if (rc < 0 && PQstatus(conn->pq) == CONNECTION_BAD)
        return pg_fail_lost(err);
    if (rc < 0 && rc != -EPROTO) {
        begin_wait(conn);
        collect_results(conn, NULL, &ignored);
    }
    return rc;
}

int pg_step(struct pg_conn *conn, struct err *err)
{
    PGresult *r;
    int rc = pg_take_input(conn, false, err);

    while (rc == 0) {
        if (PQisBusy(conn->pq))
            return 1;
        r = PQgetResult(conn->pq);
        if (!r)
            return 0;
        rc = take_step(conn, r, err);
        conn->affected = strtoull(PQcmdTuples(r), NULL, 10);
        PQclear(r);
    }
    return rc;
}

/* ---- notices ---- */

/* How many had come. */
static unsigned drop_notices(struct pg_conn *conn)
{
    PGnotify *notice;
    unsigned n = 0;

    while ((notice = PQnotifies(conn->pq))) {
        PQfreemem(notice);
        n++;
    }
    return n;
}

int pg_await_notice(struct pg_conn *conn, int64_t timeout_ms, struct err *err)
{
    int rc;

    if (drop_notices(conn) > 0)
        return 0;
    conn->received = 0;
    conn->deadline = clock_ms() + timeout_ms;
    rc = wait_for(conn, POLLIN, err);
    if (rc == -ETIMEDOUT)
        return 0;
    if (rc == 0)
        rc = pg_take_input(conn, false, err);
    drop_notices(conn);
    return rc;
}
