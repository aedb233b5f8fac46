/*
 * The stages of a COPY. Two round trips: one simple query for savepoint and lock, one extended
 * query for the COPY (the extended protocol takes a single statement, whatever its text says),
 * whose end is followed by the rollback. At each stage results are read until there are none left.
 * Nothing is complete without the results that have to come: a COPY that says neither that it
 * begins nor that it ended is no empty table.
 */
#include "pg/copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "pg/internal.h"

enum { STAGE_LOCK, STAGE_COPY, STAGE_DATA, STAGE_TAIL, STAGE_ROLLBACK };

#define UNDO "ROLLBACK TO SAVEPOINT asofs; RELEASE SAVEPOINT asofs"

int pg_copy_start(struct pg_conn *conn, struct pg_copy *copy, const char *lock_sql, struct err *err)
{
    struct buf sql = {0};
    int sent;

    copy->stage = STAGE_LOCK;
    copy->done = 0;
    copy->rows = 0;
    copy->failure.code = 0;
    buf_puts(&sql, "SAVEPOINT asofs");
    if (lock_sql)
        buf_printf(&sql, "; %s", lock_sql);
    sent = PQsendQuery(conn->pq, sql.data);
    buf_free(&sql);
    return pg_flush(conn, sent, err);
}

static int send_next(struct pg_conn *conn, struct pg_copy *copy, struct err *err)
{
    int sent;

    if (copy->stage == STAGE_LOCK && !copy->failure.code) {
        copy->stage = STAGE_COPY;
        sent = PQsendQueryParams(conn->pq, copy->copy_sql, 0, NULL, NULL, NULL, NULL, 0);
    } else {
        copy->stage = STAGE_ROLLBACK;
        sent = PQsendQuery(conn->pq, UNDO);
    }
    copy->done = 0;
    return pg_flush(conn, sent, err);
}

/* All results of this stage are in: go to the next, or finish. */
static int stage_done(struct pg_conn *conn, struct pg_copy *copy, struct err *err)
{
    if (!copy->done && !copy->failure.code)
        return pg_odd_answer(err, "no end of a COPY");
    if (copy->stage != STAGE_ROLLBACK)
        return send_next(conn, copy, err) < 0 ? -err->code : PG_COPY_MORE;
    if (copy->failure.code == EBUSY)
        return PG_COPY_BUSY;
    if (copy->failure.code) {
        *err = copy->failure;
        return -err->code;
    }
    return PG_COPY_DONE;
}

/* "COPY 17" */
static int take_count(struct pg_copy *copy, PGresult *r, struct err *err)
{
    const char *n = PQcmdTuples(r);

    if (!*n || strspn(n, "0123456789") != strlen(n))
        return pg_odd_answer(err, "no number of rows at the end of a COPY");
    copy->rows = strtoull(n, NULL, 10);
    return 0;
}

static int take_failure(struct pg_conn *conn, struct pg_copy *copy, const PGresult *r,
                        struct err *err)
{
    int rc = pg_fail(conn, r, err);

    if (rc == -EPROTO)
        return rc;
    if (PQstatus(conn->pq) == CONNECTION_BAD || err->code == ECONNRESET ||
        copy->stage == STAGE_ROLLBACK)
        return pg_fail_lost(err);
    if (!copy->failure.code)
        copy->failure = *err;
    return 0;
}

static int take_result(struct pg_conn *conn, struct pg_copy *copy, PGresult *r, struct err *err)
{
    ExecStatusType status = PQresultStatus(r);

    if (status == PGRES_COPY_OUT && copy->stage == STAGE_COPY) {
        copy->stage = STAGE_DATA;
        return 0;
    }
    if (status != PGRES_COMMAND_OK || copy->stage == STAGE_COPY)
        return take_failure(conn, copy, r, err);
    copy->done++;
    return copy->stage == STAGE_TAIL ? take_count(copy, r, err) : 0;
}

/* Rows that have arrived. 1 = the stream ended, 0 = wait for more. */
static int take_rows(struct pg_conn *conn, struct pg_copy *copy, struct err *err)
{
    char *row;
    int n, rc;

    while ((n = PQgetCopyData(conn->pq, &row, 1)) > 0) {
        rc = copy->data(copy->arg, row, (size_t)n, err);
        PQfreemem(row);
        if (rc < 0)
            return rc;
    }
    if (n == -2)
        return pg_fail(conn, NULL, err);
    return n == -1;
}

int pg_copy_step(struct pg_conn *conn, struct pg_copy *copy, struct err *err)
{
    PGresult *r;
    int rc;

    rc = pg_take_input(conn, copy->stage == STAGE_DATA, err);
    if (rc < 0)
        return rc;
    for (;;) {
        if (copy->stage == STAGE_DATA) {
            rc = take_rows(conn, copy, err);
            if (rc <= 0)
                return rc < 0 ? rc : PG_COPY_MORE;
            copy->stage = STAGE_TAIL;
        }
        if (PQisBusy(conn->pq))
            return PG_COPY_MORE;
        r = PQgetResult(conn->pq);
        if (r) {
            rc = take_result(conn, copy, r, err);
            PQclear(r);
        } else {
            rc = stage_done(conn, copy, err);
            if (rc != PG_COPY_MORE || PQisBusy(conn->pq))
                return rc;
        }
        if (rc < 0)
            return rc;
    }
}

static int drop_row(void *arg, const char *bytes, size_t len, struct err *err)
{
    (void)arg, (void)bytes, (void)len, (void)err;
    return 0;
}

int pg_copy_give_up(struct pg_conn *conn, struct pg_copy *copy, struct err *err)
{
    int rc;

    copy->failure = *err;
    copy->data = drop_row;
    pg_cancel(conn);
    while ((rc = pg_copy_step(conn, copy, err)) == PG_COPY_MORE) {
        rc = pg_wait_input(conn, err);
        if (rc < 0)
            return pg_fail_lost(err);
    }
    return rc < 0 ? rc : pg_odd_answer(err, "an end without a failure");
}
