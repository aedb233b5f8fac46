#include "extract/leader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "extract/protocol.h"
#include "extract/sink.h"
#include "pg/copy.h"

struct leader {
    struct pg_conn *conn;
    struct ledger *ledger;
    uint32_t spool;
    int64_t silence_ms;
    bool busy;      /* with what follows */
    bool unwritten; /* a row could not be written */
    uint32_t chunk;
    struct pg_copy copy;
    struct sink *sink;
    struct ledger_job job;
    int64_t heard;  /* clock_ms */
    uint64_t bytes; /* that the ledger knows of */
};

struct leader *leader_new(struct pg_conn *conn, struct ledger *ledger, uint32_t spool,
                          int64_t silence_ms)
{
    struct leader *l = mem_alloc(sizeof(*l));

    *l = (struct leader){.conn = conn, .ledger = ledger, .spool = spool, .silence_ms = silence_ms};
    return l;
}

void leader_free(struct leader *l)
{
    if (!l)
        return;
    sink_free(l->sink);
    ledger_job_free(&l->job);
    free(l);
}

bool leader_is_busy(const struct leader *l)
{
    return l->busy;
}

static int take_row(void *arg, const char *bytes, size_t len, struct err *err)
{
    struct leader *l = arg;
    int rc = sink_put(l->sink, bytes, len, err);

    l->unwritten = rc < 0;
    return rc;
}

static int begin_sink(struct leader *l, struct err *err)
{
    const struct ledger_job *job = &l->job;
    struct sink_chunk target = {.fd = job->fd,
                                .offset = job->offset,
                                .room = job->room,
                                .binary = job->flags & CHUNK_BINARY,
                                .first = job->flags & CHUNK_FIRST,
                                .last = job->flags & CHUNK_LAST};

    if ((job->flags & CHUNK_OWN_FILE) && ftruncate(job->fd, 0) < 0)
        return err_errno(err, "cannot empty a file");
    if (!l->sink)
        l->sink = sink_new();
    sink_begin(l->sink, &target);
    return 0;
}

static int start_chunk(struct leader *l, uint32_t chunk, struct err *err)
{
    int rc;

    ledger_job_free(&l->job);
    rc = ledger_begin(l->ledger, chunk, l->spool, &l->job, err);
    if (rc == 0)
        rc = begin_sink(l, err);
    if (rc < 0)
        return rc;
    l->copy = (struct pg_copy){.copy_sql = l->job.copy_sql, .data = take_row, .arg = l};
    l->chunk = chunk;
    l->busy = true;
    l->unwritten = false;
    l->heard = clock_ms();
    l->bytes = 0;
    return pg_copy_start(l->conn, &l->copy, NULL, err);
}

static void tell_bytes(struct leader *l, uint64_t bytes)
{
    ledger_add_under_way(l->ledger, l->chunk, bytes - l->bytes);
    l->bytes = bytes;
}

static void end_chunk(struct leader *l)
{
    tell_bytes(l, 0);
    l->busy = false;
}

/*
 * The leader has the table's lock, but not that of an index which is just being rebuilt, say; the
 * planner looks at all of them. It comes again until that is over (or --hold-limit is).
 */
static int chunk_blocked(struct leader *l, struct err *err)
{
    log_debug("chunk %u: something of its table is locked; trying again", l->chunk);
    end_chunk(l);
    ledger_give_to_leader(l->ledger, l->chunk);
    return ledger_trim(l->ledger, l->spool, err);
}

static int chunk_failed(struct leader *l, struct err *err)
{
    char why[ERR_TEXT_MAX];
    struct err ignored;
    int rc = ledger_trim(l->ledger, l->spool, &ignored);

    if (rc == 0)
        rc = ledger_no_room(l->ledger, l->chunk, err->code, sink_bytes(l->sink), err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    snprintf(why, sizeof(why), "%s", err->text);
    return ledger_fail(l->ledger, l->chunk, why, err);
}

static int chunk_finished(struct leader *l, struct err *err)
{
    int rc = sink_end(l->sink, err);
    struct ledger_done done = {
        .bytes = sink_bytes(l->sink), .rows = l->copy.rows, .checksum = sink_checksum(l->sink)};

    end_chunk(l);
    return rc < 0 ? chunk_failed(l, err) : ledger_done(l->ledger, l->chunk, l->spool, &done, err);
}

static int say_lost(struct err *err)
{
    return err_prefix(err, "the leader's connection, which holds locks and snapshot, is lost");
}

int leader_hear(struct leader *l, struct err *err)
{
    int rc;

    if (!l->busy) {
        rc = pg_conn_check(l->conn, err);
        return rc < 0 ? say_lost(err) : 0;
    }
    l->heard = clock_ms();
    tell_bytes(l, sink_bytes(l->sink));
    rc = pg_copy_step(l->conn, &l->copy, err);
    if (rc == PG_COPY_MORE)
        return 0;
    if (rc == PG_COPY_DONE)
        return chunk_finished(l, err);
    if (rc == PG_COPY_BUSY)
        return chunk_blocked(l, err);
    if (l->unwritten)
        rc = pg_copy_give_up(l->conn, &l->copy, err);
    end_chunk(l);
    if (rc == -ECONNRESET || !pg_conn_is_ready(l->conn))
        return say_lost(err);
    return chunk_failed(l, err);
}

int leader_work(struct leader *l, int64_t now, struct err *err)
{
    int64_t chunk;

    if (l->busy && now - l->heard > l->silence_ms)
        return err_set(err, ETIMEDOUT, "the leader's connection is silent (--worker-timeout)");
    if (l->busy)
        return 0;
    chunk = ledger_take_for_leader(l->ledger);
    if (chunk == LEDGER_NONE)
        return 0;
    log_debug("chunk %lld goes to the leader: somebody waits to lock its table", (long long)chunk);
    return start_chunk(l, (uint32_t)chunk, err);
}
