#include "extract/direct.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/hash.h"
#include "common/mem.h"
#include "extract/seam.h"
#include "pg/copyin.h"
#include "pg/largeobject.h"
#include "pg/objects.h"
#include "pg/record.h"
#include "pg/snaptable.h"

#define WAIT_MS 250
#define CLAIM_AGAIN_MS 100
#define CLAIM_PATIENCE_MS 1000

struct direct {
    struct direct_config cfg;
    struct pg_conn *second; /* NULL: not connected */
    struct pg_copy out;     /* of the source */
    struct pg_copyin *in;   /* of the second database */
    struct buf rows;        /* on their way: from `given` on */
    size_t given;
    bool all; /* nothing comes after them */

    bool as_object; /* in place of `in`: what follows */
    struct pg_objwrite *object;
    struct seam seam;
    struct hash *hash;
};

struct direct *direct_new(const struct direct_config *config)
{
    struct direct *d = mem_alloc(sizeof(*d));

    d->cfg = *config;
    d->in = mem_alloc(sizeof(*d->in));
    d->object = mem_alloc(sizeof(*d->object));
    d->hash = hash_new();
    return d;
}

static void disconnect(struct direct *d)
{
    pg_conn_close(d->second);
    d->second = NULL;
}

void direct_free(struct direct *d)
{
    if (!d)
        return;
    disconnect(d);
    buf_free(&d->rows);
    free(d->in);
    free(d->object);
    hash_free(d->hash);
    free(d);
}

static int connect_second(struct direct *d, const struct msg_place *p, struct err *err)
{
    char *title = mem_printf("asofs %s worker %u", p->name, d->cfg.number);
    struct pg_session session = {.application_name = title,
                                 .timezone = d->cfg.timezone,
                                 .lc_monetary = *p->lc_monetary ? p->lc_monetary : NULL,
                                 .stop_fd = d->cfg.coordinator_fd,
                                 .connect_timeout_ms = d->cfg.timeout_ms,
                                 .query_timeout_ms = d->cfg.timeout_ms};
    int rc = d->second ? 0 : pg_second_open(&d->second, &p->target, &session, NULL, err);

    free(title);
    return rc;
}

static size_t waiting(const struct direct *d)
{
    return d->rows.len - d->given;
}

/* ---- the second side: COPY, or a large object ---- */

static int start_second(struct direct *d, struct err *err)
{
    return d->as_object ? pg_objwrite_start(d->second, d->object, err)
                        : pg_copyin_start(d->second, d->in, err);
}

static int step_second(struct direct *d, struct err *err)
{
    int rc;

    if (!d->as_object)
        return pg_copyin_step(d->second, d->in, err);
    rc = pg_objwrite_step(d->second, d->object, err);
    return rc < 0 ? rc : rc > 0 ? PG_COPYIN_MORE : PG_COPYIN_DONE;
}

static short second_events(const struct direct *d)
{
    return d->as_object ? POLLIN : pg_copyin_events(d->in);
}

static uint64_t second_bytes(const struct direct *d)
{
    return d->as_object ? d->object->bytes : d->in->bytes;
}

/* ---- waiting ---- */

static int wait_for(struct direct *d, short source, short second, int ms, struct err *err)
{
    struct pollfd p[3] = {{.fd = d->cfg.coordinator_fd, .events = POLLIN},
                          {.fd = source ? pg_conn_socket(d->cfg.source) : -1, .events = source},
                          {.fd = second ? pg_conn_socket(d->second) : -1, .events = second}};
    int rc = d->cfg.alive(d->cfg.arg, second_bytes(d) + waiting(d), !source, err);

    if (rc < 0)
        return rc;
    poll(p, 3, ms);
    return p[0].revents ? err_set(err, EPIPE, "the coordinator is gone") : 0;
}

/* ---- the rows between the two ---- */

static int take_row(void *arg, const char *bytes, size_t len, struct err *err)
{
    struct direct *d = arg;

    (void)err;
    if (d->as_object)
        seam_cut(&d->seam, &bytes, &len);
    buf_put(&d->rows, bytes, len);
    return 0;
}

/* Rows are short, and what is sent is a message each time: so a whole piece, or what is left. */
static int64_t give_rows(void *arg, char *bytes, size_t room, uint64_t at, struct err *err)
{
    struct direct *d = arg;
    size_t n = waiting(d) < room ? waiting(d) : room;

    (void)at, (void)err;
    if (n < room && !d->all)
        return -EAGAIN;
    if (n)
        memcpy(bytes, d->rows.data + d->given, n);
    if (d->as_object)
        hash_update(d->hash, bytes, n);
    d->given += n;
    return (int64_t)n;
}

/* What was given makes room, once it is worth the moving. */
static void make_room(struct direct *d)
{
    if (d->given < d->rows.len && d->given < DIRECT_ROOM / 2)
        return;
    memmove(d->rows.data, d->rows.data + d->given, waiting(d));
    d->rows.len = waiting(d);
    d->given = 0;
}

static bool has_room(const struct direct *d)
{
    return !d->all && waiting(d) < DIRECT_ROOM;
}

/* ---- one COPY into the other ---- */

/* As pg_copy_step: what the source has, when there is room for it. */
static int read_on(struct direct *d, struct err *err)
{
    int rc;

    if (!has_room(d))
        return d->all ? PG_COPY_DONE : PG_COPY_MORE;
    if (d->given)
        make_room(d);
    rc = pg_copy_step(d->cfg.source, &d->out, err);
    d->all = rc == PG_COPY_DONE;
    return rc;
}

enum side { SOURCE, SECOND };

/* PG_COPY_DONE, PG_COPY_BUSY, or negative; *side: whose the failure is. */
static int pump(struct direct *d, enum side *side, struct err *err)
{
    int rc;

    for (;;) {
        *side = SOURCE;
        rc = read_on(d, err);
        if (rc < 0 || rc == PG_COPY_BUSY)
            return rc;
        *side = SECOND;
        rc = step_second(d, err);
        if (rc != PG_COPYIN_MORE)
            return rc < 0 ? rc : PG_COPY_DONE;
        *side = SOURCE;
        rc = wait_for(d, has_room(d) ? POLLIN : 0, second_events(d), WAIT_MS, err);
        if (rc < 0)
            return rc;
    }
}

/* No row of it stays; the session is one that can be used again, or none. */
static void give_up_second(struct direct *d, bool copying, const struct err *why)
{
    struct err ignored;
    int rc = copying ? PG_COPYIN_MORE : 0;

    if (copying && d->as_object) {
        disconnect(d); /* it may be writing a piece */
        return;
    }
    if (copying)
        pg_copyin_abort(d->in, why);
    while (rc == PG_COPYIN_MORE && (rc = pg_copyin_step(d->second, d->in, &ignored)) == 0)
        rc = wait_for(d, 0, pg_copyin_events(d->in), WAIT_MS, &ignored);
    if (rc == -EPIPE || rc == -ECONNRESET || rc == -EPROTO)
        disconnect(d);
    else
        pg_write_rollback(d->second);
}

static int drop_row(void *arg, const char *bytes, size_t len, struct err *err)
{
    (void)arg, (void)bytes, (void)len, (void)err;
    return 0;
}

/* The second server is to be tried again, for which the session of the source has to be at rest. */
static int read_to_end(struct direct *d, struct err *err)
{
    int rc;

    if (d->all)
        return 0;
    d->out.data = drop_row;
    while ((rc = pg_copy_step(d->cfg.source, &d->out, err)) == PG_COPY_MORE) {
        rc = wait_for(d, POLLIN, 0, WAIT_MS, err);
        if (rc < 0)
            return rc;
    }
    return rc < 0 ? rc : 0;
}

static bool says_nothing(int rc)
{
    return rc == -ECONNRESET || rc == -ETIMEDOUT || rc == -EBUSY || rc == -ECANCELED;
}

/* Of the second server. -ECANCELED where it says nothing about the rows. */
static int second_failed(struct direct *d, int rc, struct err *err)
{
    if (rc == -EINTR)
        return err_set(err, EPIPE, "the coordinator is gone");
    if (rc == -ECONNRESET || rc == -ETIMEDOUT || rc == -EPROTO)
        disconnect(d);
    err_prefix(err, "the second database");
    if (!says_nothing(rc))
        return rc == -EPIPE ? rc : -err->code;
    err->code = ECANCELED;
    return -ECANCELED;
}

/* The server counts the rows of a part. */
static int row_refused(struct direct *d, const struct msg_chunk *m, int rc, struct err *err)
{
    bool whole = (m->flags & CHUNK_FIRST) && (m->flags & CHUNK_LAST);

    if (says_nothing(rc) || rc == -EINTR || rc == -EPROTO)
        return second_failed(d, rc, err);
    if (!d->in->line)
        return second_failed(d, rc, err);
    if (whole)
        return err_prefix(err, "the second database, row %llu", (unsigned long long)d->in->line);
    return err_prefix(err, "the second database, part %u, row %llu", m->place.part + 1,
                      (unsigned long long)d->in->line);
}

static int start_both(struct direct *d, const struct msg_chunk *m, struct err *err)
{
    d->out = (struct pg_copy){.copy_sql = m->copy_sql, .data = take_row, .arg = d};
    d->in->copy_sql = m->place.copy_sql;
    d->in->table = m->place.table;
    d->in->read = d->object->read = give_rows;
    d->in->arg = d->object->arg = d;
    d->in->line = 0;
    d->all = false;
    hash_reset(d->hash);
    seam_begin(&d->seam, m->flags & CHUNK_BINARY, m->flags & CHUNK_FIRST, m->flags & CHUNK_LAST);
    return pg_copy_start(d->cfg.source, &d->out, *m->lock_sql ? m->lock_sql : NULL, err);
}

/* Within the transaction. */
static int copy_rows(struct direct *d, const struct msg_chunk *m, struct err *err)
{
    enum side side = SECOND;
    int rc = start_both(d, m, err);

    if (rc < 0) {
        give_up_second(d, false, err);
        return rc;
    }
    rc = start_second(d, err);
    if (rc == 0)
        rc = pump(d, &side, err);
    if (rc == PG_COPY_DONE)
        return rc;
    if (rc == PG_COPY_BUSY)
        err_set(err, EBUSY, "the table is locked in the source");
    if (side == SOURCE) {
        struct err why = *err;

        give_up_second(d, true, &why);
        return rc;
    }
    rc = row_refused(d, m, rc, err);
    if (d->second)
        pg_write_rollback(d->second);
    return rc == -ECANCELED && read_to_end(d, err) < 0 ? -err->code : rc;
}

/* ---- the transaction ---- */

/* 0: it is ours; 1: it is done already. */
static int claim_chunk(struct direct *d, const struct msg_place *p, bool patient, uint64_t *rows,
                       struct err *err)
{
    int64_t until = clock_ms() + (patient ? CLAIM_PATIENCE_MS : 0);
    int rc;

    for (;;) {
        rc = pg_write_begin(d->second, (int64_t)p->lock_timeout_ms, err);
        if (rc < 0)
            return rc;
        rc = pg_record_claim(d->second, p->name, (int64_t)p->run, p->chunk, rows, err);
        if (rc != 0)
            pg_write_rollback(d->second);
        if (rc != -EBUSY)
            return rc;
        if (clock_ms() >= until)
            return DIRECT_ELSEWHERE;
        rc = wait_for(d, 0, 0, CLAIM_AGAIN_MS, err);
        if (rc < 0)
            return rc;
    }
}

static struct pg_object object_of(const struct msg_place *p)
{
    return (struct pg_object){.schema = p->schema, .name = p->table, .part = p->part};
}

static int add_object(struct direct *d, const struct msg_place *p, const struct msg_answer *done,
                      struct err *err)
{
    struct pg_object o = object_of(p);
    char checksum[17];

    snprintf(checksum, sizeof(checksum), "%016llx", (unsigned long long)done->checksum);
    o.oid = d->object->oid;
    o.bytes = done->bytes;
    o.rows = done->rows;
    o.checksum = checksum;
    return pg_objects_add(d->second, p->name, (int64_t)p->run, &o, err);
}

/* The chunk was done by somebody whose answer is lost. */
static int find_done_object(struct direct *d, const struct msg_place *p, struct msg_answer *done,
                            struct err *err)
{
    struct pg_object o = object_of(p);
    int rc = pg_objects_find(d->second, p->name, (int64_t)p->run, &o, err);

    if (rc < 0)
        return second_failed(d, rc, err);
    done->bytes = o.bytes;
    done->checksum = strtoull(o.checksum, NULL, 16);
    free(o.checksum);
    return PG_COPY_DONE;
}

static int commit(struct direct *d, const struct msg_place *p, const struct msg_answer *done,
                  struct err *err)
{
    int rc = d->as_object ? add_object(d, p, done, err) : 0;

    if (rc == 0)
        rc = pg_record_chunk_done(d->second, p->name, (int64_t)p->run, p->chunk, done->rows, err);
    if (rc == 0)
        rc = pg_write_commit(d->second, err);
    if (rc < 0 && d->second)
        pg_write_rollback(d->second);
    return rc < 0 ? second_failed(d, rc, err) : 0;
}

/* COPY may have ended early, or the table have left rows out. */
static int compare_row_counts(struct direct *d, struct err *err)
{
    if (d->in->rows == d->out.rows)
        return 0;
    pg_write_rollback(d->second);
    return err_set(err, EIO, "the source gave %llu rows, and %llu came into the second database",
                   (unsigned long long)d->out.rows, (unsigned long long)d->in->rows);
}

int direct_chunk(struct direct *d, const struct msg_chunk *m, struct msg_answer *done,
                 struct err *err)
{
    uint64_t rows = 0;
    int rc = connect_second(d, &m->place, err);

    *done = (struct msg_answer){.chunk = m->chunk};
    d->as_object = m->flags & CHUNK_OBJECT;
    d->in->bytes = d->object->bytes = d->given = 0;
    buf_clear(&d->rows);
    if (rc < 0 && rc != -EINTR) {
        err->code = ECANCELED;
        rc = -ECANCELED;
    }
    if (rc == 0)
        rc = claim_chunk(d, &m->place, m->flags & CHUNK_PATIENT, &rows, err);
    if (rc < 0)
        return second_failed(d, rc, err);
    if (rc == DIRECT_ELSEWHERE)
        return rc;
    done->rows = rows;
    if (rc > 0)
        return d->as_object ? find_done_object(d, &m->place, done, err) : PG_COPY_DONE;
    rc = copy_rows(d, m, err);
    if (rc != PG_COPY_DONE)
        return rc;
    done->bytes = second_bytes(d);
    done->rows = d->as_object ? d->out.rows : d->in->rows;
    done->checksum = d->as_object ? hash_value(d->hash) : 0;
    rc = d->as_object ? 0 : compare_row_counts(d, err);
    if (rc == 0)
        rc = commit(d, &m->place, done, err);
    return rc < 0 ? rc : PG_COPY_DONE;
}
