/*
 * A worker's life: receive CONFIG; connect to the leader's server and join its snapshot; say READY;
 * then chunk by chunk until the coordinator closes the socket. It owns nothing that outlives it:
 * the spool file is unlinked already, and what it wrote counts only once the coordinator has its
 * DONE. So it may be killed at any moment.
 *
 * While it connects nothing but end of file can arrive on the socket (chunks are sent after READY
 * only), which is why the socket itself serves as the stop descriptor of the connection.
 */
#include "extract/worker.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "extract/direct.h"
#include "extract/protocol.h"
#include "extract/sink.h"
#include "pg/copy.h"
#include "pg/freeze.h"

#define PROGRESS_EVERY_MS 250

struct worker {
    struct msg_conn socket;
    struct msg_config config;
    struct pg_conn *conn;
    struct sink *sink;
    struct direct *direct; /* NULL before the first chunk of that kind */
    struct buf frame;
    uint32_t chunk;        /* the one in work */
    bool unwritten;        /* a row of it could not be written */
    int64_t progress_sent; /* clock_ms */
    uint64_t progress_bytes;
};

static int answer(struct worker *w, enum message_type type, const struct msg_answer *a,
                  struct err *err)
{
    msg_put_answer(&w->frame, type, a);
    return msg_send(&w->socket, &w->frame, err);
}

static void answer_failed(struct worker *w, const struct err *what)
{
    struct msg_answer a = {.chunk = w->chunk,
                           .bytes = sink_bytes(w->sink),
                           .code = (uint32_t)what->code,
                           .text = mem_strdup(what->text)};
    struct err ignored;

    answer(w, MSG_FAILED, &a, &ignored);
    free(a.text);
}

static int read_config(struct worker *w, struct err *err)
{
    struct msg m;
    int rc = pg_conn_next_message(w->conn, &w->socket, &m, err);

    if (rc <= 0)
        return rc;
    if (m.type != MSG_CONFIG || !msg_get_config(&m.body, &w->config))
        return err_set(err, EPROTO, "the first message is no configuration");
    if (w->config.debug)
        log_set_level(LOG_LEVEL_DEBUG);
    return 1;
}

/* Protocol lock: hold the tables, then wait for the word that the snapshot is to be taken now. */
static int lock_and_wait(struct worker *w, struct err *err)
{
    struct msg_answer locked = {0};
    struct msg m;
    int rc = pg_freeze_hold(w->conn, w->config.lock_sql, err);

    if (rc == 0)
        rc = answer(w, MSG_LOCKED, &locked, err);
    if (rc < 0)
        return rc;
    rc = pg_conn_next_message(w->conn, &w->socket, &m, err);
    if (rc <= 0)
        return rc < 0 ? rc : err_set(err, EPIPE, "the coordinator is gone");
    if (m.type != MSG_FREEZE)
        return err_set(err, EPROTO, "a message of type %u came in place of FREEZE", m.type);
    return pg_freeze_now(w->conn, err);
}

static int join_snapshot(struct worker *w, struct err *err)
{
    char *name = mem_printf("asofs worker %u", w->config.number);
    struct pg_session session = {
        .application_name = name,
        .timezone = w->config.timezone,
        .stop_fd = w->socket.fd,
        .connect_timeout_ms = (int64_t)w->config.timeout_ms,
        .query_timeout_ms = (int64_t)w->config.timeout_ms,
    };
    int rc = pg_conn_open(&w->conn, &w->config.target, &session, err);

    if (rc == 0 && *w->config.lock_sql)
        rc = lock_and_wait(w, err);
    else if (rc == 0)
        rc = pg_freeze_join(w->conn, w->config.snapshot_id, err);
    if (rc == 0)
        rc = child_say_ready(&w->socket, err);
    free(name);
    return rc;
}

static int take_row(void *arg, const char *bytes, size_t len, struct err *err)
{
    struct worker *w = arg;
    int rc = sink_put(w->sink, bytes, len, err);

    w->unwritten = rc < 0;
    return rc;
}

/* always: although nothing has moved. */
static int tell_progress(struct worker *w, uint64_t bytes, bool always, struct err *err)
{
    struct msg_answer a = {.chunk = w->chunk, .bytes = bytes};
    int64_t now = clock_ms();

    if ((!always && a.bytes == w->progress_bytes) || now - w->progress_sent < PROGRESS_EVERY_MS)
        return 0;
    w->progress_bytes = a.bytes;
    w->progress_sent = now;
    return answer(w, MSG_PROGRESS, &a, err);
}

/* -EPIPE: the coordinator is gone. Other results as pg_copy_step. */
static int wait_for_rows(struct worker *w, struct err *err)
{
    struct pollfd p[2] = {{.fd = pg_conn_socket(w->conn), .events = POLLIN},
                          {.fd = w->socket.fd, .events = POLLIN}};
    int rc = tell_progress(w, sink_bytes(w->sink), false, err);

    if (rc < 0)
        return err_set(err, EPIPE, "the coordinator is gone");
    poll(p, 2, PROGRESS_EVERY_MS);
    if (p[1].revents)
        return err_set(err, EPIPE, "the coordinator is gone"); /* it says nothing during a chunk */
    return 0;
}

static int run_copy(struct worker *w, struct pg_copy *copy, const char *lock_sql, struct err *err)
{
    int rc = pg_copy_start(w->conn, copy, *lock_sql ? lock_sql : NULL, err);

    if (rc < 0)
        return rc;
    while ((rc = pg_copy_step(w->conn, copy, err)) == PG_COPY_MORE) {
        rc = wait_for_rows(w, err);
        if (rc < 0)
            return rc;
    }
    return w->unwritten ? pg_copy_give_up(w->conn, copy, err) : rc;
}

/* A file of the table's own comes with the message; one that an earlier try began is emptied. */
static int open_target(struct worker *w, const struct msg_chunk *m, struct err *err)
{
    int fd;

    if (!(m->flags & CHUNK_OWN_FILE))
        return WORKER_FD_SPOOL;
    fd = msg_take_fd(&w->socket);
    if (fd < 0)
        return err_set(err, EPROTO, "the file of a chunk did not come with it");
    if (ftruncate(fd, 0) < 0) {
        close(fd);
        return err_errno(err, "cannot empty a file");
    }
    return fd;
}

static int close_target(int fd, int rc, struct err *err)
{
    if (fd != WORKER_FD_SPOOL && close(fd) < 0 && rc >= 0)
        return err_errno(err, "cannot write a file");
    return rc;
}

static int extract_chunk(struct worker *w, const struct msg_chunk *m, struct msg_answer *done,
                         struct err *err)
{
    struct pg_copy copy = {.copy_sql = m->copy_sql, .data = take_row, .arg = w};
    int fd = open_target(w, m, err);
    struct sink_chunk target = {.fd = fd,
                                .offset = m->flags & CHUNK_OWN_FILE ? 0 : m->offset,
                                .room = m->room,
                                .binary = m->flags & CHUNK_BINARY,
                                .first = m->flags & CHUNK_FIRST,
                                .last = m->flags & CHUNK_LAST};
    int rc, end;

    if (fd < 0)
        return fd;
    w->progress_bytes = 0;
    w->unwritten = false;
    sink_begin(w->sink, &target);
    rc = run_copy(w, &copy, m->lock_sql, err);
    if (rc == PG_COPY_DONE && (end = sink_end(w->sink, err)) < 0)
        rc = end;
    *done = (struct msg_answer){.chunk = m->chunk,
                                .bytes = sink_bytes(w->sink),
                                .rows = copy.rows,
                                .checksum = sink_checksum(w->sink)};
    return close_target(fd, rc, err);
}

/* ---- without a file (direct.h) ---- */

static int tell_alive(void *arg, uint64_t bytes, bool waits, struct err *err)
{
    return tell_progress(arg, bytes, waits, err) < 0
               ? err_set(err, EPIPE, "the coordinator is gone")
               : 0;
}

static int direct_to_second(struct worker *w, const struct msg_chunk *m, struct msg_answer *done,
                            struct err *err)
{
    struct direct_config config = {.source = w->conn,
                                   .coordinator_fd = w->socket.fd,
                                   .number = w->config.number,
                                   .timezone = w->config.timezone,
                                   .timeout_ms = (int64_t)w->config.timeout_ms,
                                   .alive = tell_alive,
                                   .arg = w};

    if (!w->direct)
        w->direct = direct_new(&config);
    w->progress_bytes = 0;
    return direct_chunk(w->direct, m, done, err);
}

/* The answer to one chunk. */
static int do_chunk(struct worker *w, const struct msg_chunk *m, struct err *err)
{
    struct msg_answer done;
    int rc;

    w->chunk = m->chunk;
    rc = m->flags & CHUNK_DIRECT ? direct_to_second(w, m, &done, err)
                                 : extract_chunk(w, m, &done, err);
    if (rc == PG_COPY_DONE)
        return answer(w, MSG_DONE, &done, err);
    if (rc == PG_COPY_BUSY)
        return answer(w, MSG_BUSY, &done, err);
    if (rc == DIRECT_ELSEWHERE)
        return answer(w, MSG_ELSEWHERE, &done, err);
    if (rc == -ECONNRESET || rc == -EPIPE || rc == -ETIMEDOUT)
        return rc;
    answer_failed(w, err);
    return pg_conn_is_ready(w->conn) ? 0 : rc;
}

static int extract_chunks(struct worker *w, struct err *err)
{
    struct msg_chunk chunk;
    struct msg m;
    int rc;

    while ((rc = pg_conn_next_message(w->conn, &w->socket, &m, err)) > 0) {
        rc = m.type == MSG_CHUNK && msg_get_chunk(&m.body, &chunk)
                 ? do_chunk(w, &chunk, err)
                 : err_set(err, EPROTO, "a message of type %u is no chunk", m.type);
        if (m.type == MSG_CHUNK)
            msg_chunk_free(&chunk);
        if (rc < 0)
            break;
    }
    return rc;
}

static int live(struct worker *w, struct err *err)
{
    int rc = read_config(w, err);

    if (rc > 0)
        rc = join_snapshot(w, err);
    else
        return rc;
    return rc == 0 ? extract_chunks(w, err) : rc;
}

int worker_main(void)
{
    struct worker w = {.sink = sink_new()};
    struct err err;
    int status;

    child_enter(&w.socket, "asofs-worker");
    status = child_leave(&w.socket, live(&w, &err), &err);
    pg_conn_close(w.conn);
    direct_free(w.direct);
    sink_free(w.sink);
    msg_config_free(&w.config);
    buf_free(&w.frame);
    return status;
}
