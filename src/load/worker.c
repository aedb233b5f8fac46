#include "load/worker.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "load/part.h"
#include "load/protocol.h"
#include "pg/copyin.h"
#include "pg/freeze.h"
#include "pg/intosource.h"
#include "pg/largeobject.h"
#include "pg/objects.h"
#include "pg/record.h"
#include "pg/snaptable.h"
#include "pg/statements.h"

#define PROGRESS_EVERY_MS 250
#define BUSY_PATIENCE_MS 3000

struct worker {
    struct msg_conn socket;
    struct load_config config;
    struct pg_conn *conn;
    struct buf frame;
    struct pg_copyin *copy;
    struct pg_objwrite *object;
    int64_t progress_sent; /* clock_ms */
};

static int say(struct worker *w, enum load_message type, const struct load_answer *a,
               struct err *err)
{
    load_put_answer(&w->frame, type, a);
    return msg_send(&w->socket, &w->frame, err);
}

static int read_config(struct worker *w, struct err *err)
{
    struct msg m;
    int rc = pg_conn_next_message(w->conn, &w->socket, &m, err);

    if (rc <= 0)
        return rc;
    if (m.type != LOAD_CONFIG || !load_get_config(&m.body, &w->config))
        return err_set(err, EPROTO, "the first message is no configuration");
    if (w->config.debug)
        log_set_level(LOG_LEVEL_DEBUG);
    return 1;
}

/* While it connects, and while statements run, nothing comes over the socket but its end, which is
 * why it serves as the stop descriptor. */
static int join_crew(struct worker *w, struct err *err)
{
    char *name = mem_printf("asofs %s %s %u", w->config.name, w->config.role, w->config.number);
    struct pg_session session = {
        .application_name = name,
        .timezone = w->config.timezone,
        .lc_monetary = *w->config.lc_monetary ? w->config.lc_monetary : NULL,
        .stop_fd = w->socket.fd,
        .connect_timeout_ms = (int64_t)w->config.timeout_ms,
        .query_timeout_ms = (int64_t)w->config.timeout_ms,
    };
    int rc = pg_second_open(&w->conn, &w->config.target, &session, NULL, err);

    if (rc == 0)
        rc = child_say_ready(&w->socket, err);
    free(name);
    return rc;
}

/* It lives: said now and then, whether or not bytes have moved. The server's own silence is noticed
 * by the connection (keep-alives). */
static int wait_for_server(struct worker *w, short events, uint64_t bytes, struct err *err)
{
    struct pollfd p[2] = {{.fd = pg_conn_socket(w->conn), .events = events},
                          {.fd = w->socket.fd, .events = POLLIN}};
    struct load_answer a = {.bytes = bytes};
    int64_t now = clock_ms();

    if (now - w->progress_sent >= PROGRESS_EVERY_MS) {
        w->progress_sent = now;
        if (say(w, LOAD_PROGRESS, &a, err) < 0)
            return err_set(err, EPIPE, "the coordinator is gone");
    }
    poll(p, 2, PROGRESS_EVERY_MS);
    if (p[1].revents)
        return err_set(err, EPIPE, "the coordinator is gone"); /* it says nothing during a job */
    return 0;
}

static int run_statements(struct worker *w, const struct load_job *job, struct err *err)
{
    int rc = pg_statements_start(w->conn, job->sql, err);

    while (rc == 0 && (rc = pg_statements_step(w->conn, err)) > 0)
        rc = wait_for_server(w, POLLIN, 0, err);
    return rc;
}

static int run_copy(struct worker *w, const struct load_job *job, struct part *part,
                    struct load_answer *a, struct err *err)
{
    struct pg_copyin *copy = w->copy;
    int rc;

    copy->copy_sql = job->sql;
    copy->table = job->table;
    copy->read = part_read;
    copy->arg = part;
    rc = pg_copyin_start(w->conn, copy, err);
    while (rc == 0 && (rc = pg_copyin_step(w->conn, copy, err)) == PG_COPYIN_MORE)
        rc = wait_for_server(w, pg_copyin_events(copy), part_done(part), err);
    a->rows = copy->rows;
    a->lines = part_lines(part);
    a->line = rc < 0 ? copy->line : 0;
    return rc < 0 ? rc : 0;
}

static int copy_part(struct worker *w, const struct load_job *job, int fd, struct load_answer *a,
                     struct err *err)
{
    struct part_config config = {.fd = fd,
                                 .offset = job->offset,
                                 .len = job->len,
                                 .checksum = job->checksum,
                                 .format = (enum pg_format)job->format,
                                 .first = job->first,
                                 .last = job->last,
                                 .drop = job->drop};
    struct part *part = part_open(&config);
    int rc = run_copy(w, job, part, a, err);

    part_close(part);
    return rc;
}

/* ---- parts that become large objects ---- */

struct object_source {
    struct pg_copyin_file file;
    struct hash *hash;
};

static int64_t read_object(void *arg, char *bytes, size_t room, uint64_t at, struct err *err)
{
    struct object_source *s = arg;
    int64_t n = pg_copyin_read_file(&s->file, bytes, room, at, err);

    if (n > 0)
        hash_update(s->hash, bytes, (size_t)n);
    return n;
}

static int write_object(struct worker *w, const struct load_job *job, int fd, uint64_t *checksum,
                        struct err *err)
{
    struct object_source from = {{fd, job->offset, job->len}, hash_new()};
    struct pg_objwrite *o = w->object;
    int rc;

    o->read = read_object;
    o->arg = &from;
    rc = pg_objwrite_start(w->conn, o, err);
    while (rc == 0 && (rc = pg_objwrite_step(w->conn, o, err)) > 0)
        rc = wait_for_server(w, POLLIN, o->bytes, err);
    *checksum = hash_value(from.hash);
    hash_free(from.hash);
    return rc;
}

static int store_part(struct worker *w, const struct load_job *job, int fd, struct load_answer *a,
                      struct err *err)
{
    char checksum[17];
    struct pg_object o = {.schema = job->schema,
                          .name = job->table,
                          .part = job->part,
                          .bytes = job->len,
                          .rows = job->rows,
                          .checksum = checksum};
    uint64_t hash;
    int rc = write_object(w, job, fd, &hash, err);

    if (rc == 0 && job->checksum && hash != job->checksum)
        return err_set(err, EIO, PART_DAMAGED);
    snprintf(checksum, sizeof(checksum), "%016llx", (unsigned long long)hash);
    o.oid = w->object->oid;
    a->rows = job->rows;
    return rc < 0 ? rc : pg_objects_add(w->conn, w->config.name, (int64_t)w->config.run, &o, err);
}

/* ---- a job ---- */

/* A session that is just ending may still have it: that is waited for. 1: it is done already. */
static int claim(struct worker *w, const struct load_job *job, uint64_t *rows, struct err *err)
{
    int64_t until = clock_ms() + (int64_t)w->config.lock_timeout_ms;
    int rc;

    do {
        rc =
            pg_record_claim(w->conn, w->config.name, (int64_t)w->config.run, job->chunk, rows, err);
        if (rc != -EBUSY || clock_ms() > until)
            return rc;
        rc = wait_for_server(w, 0, 0, err);
    } while (rc == 0);
    return rc;
}

static int do_within(struct worker *w, const struct load_job *job, int fd, struct load_answer *a,
                     struct err *err)
{
    int rc;

    if (job->kind == GATE_LOAD)
        return w->config.objects ? store_part(w, job, fd, a, err) : copy_part(w, job, fd, a, err);
    rc = run_statements(w, job, err);
    if (rc == 0 && job->kind == GATE_CLEAR)
        rc = pg_record_cleared(w->conn, w->config.name, (int64_t)w->config.run, job->schema,
                               job->table, err);
    return rc;
}

/* 1: it was done before, and a->rows is how many rows that were. */
static int do_once(struct worker *w, const struct load_job *job, int fd, struct load_answer *a,
                   struct err *err)
{
    int rc = claim(w, job, &a->rows, err);

    if (rc != 0)
        return rc;
    rc = do_within(w, job, fd, a, err);
    return rc < 0 ? rc
                  : pg_record_chunk_done(w->conn, w->config.name, (int64_t)w->config.run,
                                         job->chunk, a->rows, err);
}

static bool is_lost(int rc)
{
    return rc == -ECONNRESET || rc == -EPROTO || rc == -EPIPE || rc == -ETIMEDOUT || rc == -EINTR;
}

/* ---- rows that come from the same database ---- */

static int insert_within(struct worker *w, const struct load_job *job, struct load_answer *a,
                         struct err *err)
{
    int64_t run = (int64_t)w->config.run;
    int rc = pg_into_claim(w->conn, w->config.name, run, job->chunk, err);

    if (rc == 0)
        rc = run_statements(w, job, err);
    if (rc == 0)
        a->rows = pg_statements_rows(w->conn);
    if (rc == 0)
        rc = pg_record_chunk_done(w->conn, w->config.name, run, job->chunk, a->rows, err);
    return rc == 0 ? pg_write_commit(w->conn, err) : rc;
}

/* What failed may have failed because it is done. */
static int insert_part(struct worker *w, const struct load_job *job, struct load_answer *a,
                       struct err *err)
{
    struct err ignored;
    int rc = pg_freeze_join_writing(w->conn, w->config.snapshot_id,
                                    (int64_t)w->config.lock_timeout_ms, err);

    if (rc == 0)
        rc = insert_within(w, job, a, err);
    if (rc == 0 || is_lost(rc))
        return rc;
    pg_write_rollback(w->conn);
    return pg_into_find(w->conn, w->config.name, (int64_t)w->config.run, job->chunk, &a->rows,
                        &ignored) > 0
               ? 0
               : rc;
}

/* ---- a job ---- */

static int do_transaction(struct worker *w, const struct load_job *job, int fd,
                          struct load_answer *a, struct err *err)
{
    int rc = pg_write_begin(w->conn, (int64_t)w->config.lock_timeout_ms, err);

    if (rc < 0)
        return rc;
    rc = job->kind == GATE_LOAD || job->chunk ? do_once(w, job, fd, a, err)
                                              : do_within(w, job, fd, a, err);
    if (rc >= 0)
        return pg_write_commit(w->conn, err);
    if (rc != -ECONNRESET && rc != -EPROTO && rc != -EPIPE)
        pg_write_rollback(w->conn);
    return rc;
}

static int answer_failure(struct worker *w, struct load_answer *a, int rc, const struct err *why,
                          struct err *err)
{
    a->code = (uint32_t)-rc;
    a->text = (char *)(uintptr_t)why->text;
    return say(w, rc == -EBUSY || rc == -ECANCELED ? LOAD_BUSY : LOAD_FAILED, a, err);
}

/* A worker that was killed can have left a server process that is still at the part: it is noticed
 * there within a second. */
static int do_patiently(struct worker *w, const struct load_job *job, int fd, struct load_answer *a,
                        struct err *err)
{
    int64_t until = clock_ms() + BUSY_PATIENCE_MS;
    struct err gone;
    int rc;

    while ((rc = do_transaction(w, job, fd, a, err)) == -EBUSY && clock_ms() < until)
        if (wait_for_server(w, 0, 0, &gone) < 0)
            break;
    return rc;
}

/* Negative: it cannot go on. Whether the job was committed shows when it is tried again. */
static int do_job(struct worker *w, const struct load_job *job, struct err *err)
{
    struct load_answer a = {0};
    struct err why = {0};
    bool inserts = job->kind == GATE_LOAD && *w->config.snapshot_id;
    bool with_file = job->kind == GATE_LOAD && !inserts;
    int fd = with_file ? msg_take_fd(&w->socket) : -1, rc;

    if (with_file && fd < 0)
        return err_set(err, EPROTO, "the file of a job did not come with it");
    w->progress_sent = clock_ms();
    rc = inserts ? insert_part(w, job, &a, &why) : do_patiently(w, job, fd, &a, &why);
    if (fd >= 0)
        close(fd);
    if (rc >= 0)
        return say(w, LOAD_DONE, &a, err);
    if (!is_lost(rc))
        return answer_failure(w, &a, rc, &why, err);
    *err = why;
    return rc;
}

static int serve(struct worker *w, struct err *err)
{
    struct load_job job;
    struct msg m;
    int rc;

    while ((rc = pg_conn_next_message(w->conn, &w->socket, &m, err)) > 0) {
        if (m.type != LOAD_JOB)
            return err_set(err, EPROTO, "a message of type %u is no job", m.type);
        rc = load_get_job(&m.body, &job) ? do_job(w, &job, err)
                                         : err_set(err, EPROTO, "a job is damaged");
        load_job_free(&job);
        if (rc < 0)
            break;
    }
    return rc;
}

int load_worker_main(const char *process_name)
{
    struct worker w = {.copy = mem_alloc(sizeof(*w.copy)), .object = mem_alloc(sizeof(*w.object))};
    struct err err;
    int rc;

    child_enter(&w.socket, process_name);
    rc = read_config(&w, &err);
    if (rc > 0)
        rc = join_crew(&w, &err);
    if (rc == 0 && w.conn)
        rc = serve(&w, &err);
    pg_conn_close(w.conn);
    free(w.copy);
    free(w.object);
    load_config_free(&w.config);
    buf_free(&w.frame);
    return child_leave(&w.socket, rc, &err);
}
