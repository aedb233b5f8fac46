#include "load/protocol.h"

#include <stdlib.h>

void load_put_config(struct buf *frame, const struct load_config *m)
{
    msg_begin(frame, LOAD_CONFIG);
    buf_put_u32(frame, m->number);
    pg_target_put(frame, &m->target);
    buf_put_str(frame, m->name);
    buf_put_str(frame, m->role);
    buf_put_u64(frame, m->run);
    buf_put_str(frame, m->timezone);
    buf_put_str(frame, m->lc_monetary);
    buf_put_str(frame, m->snapshot_id);
    buf_put_u64(frame, m->timeout_ms);
    buf_put_u64(frame, m->lock_timeout_ms);
    buf_put_u32(frame, m->debug);
    buf_put_u32(frame, m->objects);
}

bool load_get_config(struct reader *r, struct load_config *m)
{
    m->number = reader_u32(r);
    pg_target_get(r, &m->target);
    m->name = reader_str(r);
    m->role = reader_str(r);
    m->run = reader_u64(r);
    m->timezone = reader_str(r);
    m->lc_monetary = reader_str(r);
    m->snapshot_id = reader_str(r);
    m->timeout_ms = reader_u64(r);
    m->lock_timeout_ms = reader_u64(r);
    m->debug = reader_u32(r);
    m->objects = reader_u32(r);
    return reader_done(r);
}

void load_config_free(struct load_config *m)
{
    pg_target_free(&m->target);
    free(m->name);
    free(m->role);
    free(m->timezone);
    free(m->lc_monetary);
    free(m->snapshot_id);
}

void load_put_job(struct buf *frame, const struct load_job *m)
{
    msg_begin(frame, LOAD_JOB);
    buf_put_u32(frame, m->kind);
    buf_put_u32(frame, m->item);
    buf_put_u32(frame, m->part);
    buf_put_str(frame, m->sql);
    buf_put_str(frame, m->schema);
    buf_put_str(frame, m->table);
    buf_put_u64(frame, (uint64_t)m->chunk);
    buf_put_u32(frame, m->format);
    buf_put_u32(frame, m->first);
    buf_put_u32(frame, m->last);
    buf_put_u64(frame, m->offset);
    buf_put_u64(frame, m->len);
    buf_put_u64(frame, m->checksum);
    buf_put_u64(frame, m->rows);
    buf_put_str(frame, m->drop);
}

bool load_get_job(struct reader *r, struct load_job *m)
{
    m->kind = reader_u32(r);
    m->item = reader_u32(r);
    m->part = reader_u32(r);
    m->sql = reader_str(r);
    m->schema = reader_str(r);
    m->table = reader_str(r);
    m->chunk = (int64_t)reader_u64(r);
    m->format = reader_u32(r);
    m->first = reader_u32(r);
    m->last = reader_u32(r);
    m->offset = reader_u64(r);
    m->len = reader_u64(r);
    m->checksum = reader_u64(r);
    m->rows = reader_u64(r);
    m->drop = reader_str(r);
    return reader_done(r) && m->kind < GATE_KINDS && m->format <= PG_FORMAT_BINARY;
}

void load_job_free(struct load_job *m)
{
    free(m->sql);
    free(m->schema);
    free(m->table);
    free(m->drop);
}

void load_put_answer(struct buf *frame, enum load_message type, const struct load_answer *m)
{
    msg_begin(frame, type);
    buf_put_u64(frame, m->bytes);
    buf_put_u64(frame, m->rows);
    buf_put_u64(frame, m->lines);
    buf_put_u64(frame, m->line);
    buf_put_u32(frame, m->code);
    buf_put_str(frame, m->text);
}

bool load_get_answer(struct reader *r, struct load_answer *m)
{
    m->bytes = reader_u64(r);
    m->rows = reader_u64(r);
    m->lines = reader_u64(r);
    m->line = reader_u64(r);
    m->code = reader_u32(r);
    m->text = reader_str(r);
    return reader_done(r);
}

void load_answer_free(struct load_answer *m)
{
    free(m->text);
}
