#include "extract/protocol.h"

#include <stdlib.h>

void msg_put_config(struct buf *frame, const struct msg_config *m)
{
    msg_begin(frame, MSG_CONFIG);
    buf_put_u32(frame, m->number);
    pg_target_put(frame, &m->target);
    buf_put_str(frame, m->timezone);
    buf_put_str(frame, m->snapshot_id);
    buf_put_str(frame, m->lock_sql);
    buf_put_u64(frame, m->timeout_ms);
    buf_put_u32(frame, m->debug);
}

bool msg_get_config(struct reader *r, struct msg_config *m)
{
    m->number = reader_u32(r);
    pg_target_get(r, &m->target);
    m->timezone = reader_str(r);
    m->snapshot_id = reader_str(r);
    m->lock_sql = reader_str(r);
    m->timeout_ms = reader_u64(r);
    m->debug = reader_u32(r);
    return reader_done(r);
}

void msg_config_free(struct msg_config *m)
{
    pg_target_free(&m->target);
    free(m->timezone);
    free(m->snapshot_id);
    free(m->lock_sql);
}

void msg_put_freeze(struct buf *frame)
{
    msg_begin(frame, MSG_FREEZE);
}

static void put_place(struct buf *frame, const struct msg_place *p)
{
    pg_target_put(frame, &p->target);
    buf_put_str(frame, p->name);
    buf_put_str(frame, p->schema);
    buf_put_str(frame, p->table);
    buf_put_str(frame, p->copy_sql);
    buf_put_str(frame, p->lc_monetary);
    buf_put_u64(frame, p->run);
    buf_put_u64(frame, p->lock_timeout_ms);
    buf_put_u32(frame, p->chunk);
    buf_put_u32(frame, p->part);
}

static void get_place(struct reader *r, struct msg_place *p)
{
    pg_target_get(r, &p->target);
    p->name = reader_str(r);
    p->schema = reader_str(r);
    p->table = reader_str(r);
    p->copy_sql = reader_str(r);
    p->lc_monetary = reader_str(r);
    p->run = reader_u64(r);
    p->lock_timeout_ms = reader_u64(r);
    p->chunk = reader_u32(r);
    p->part = reader_u32(r);
}

void msg_put_chunk(struct buf *frame, const struct msg_chunk *m)
{
    msg_begin(frame, MSG_CHUNK);
    buf_put_u32(frame, m->chunk);
    buf_put_u32(frame, m->flags);
    buf_put_u64(frame, m->offset);
    buf_put_u64(frame, m->room);
    buf_put_str(frame, m->lock_sql);
    buf_put_str(frame, m->copy_sql);
    if (m->flags & CHUNK_DIRECT)
        put_place(frame, &m->place);
}

bool msg_get_chunk(struct reader *r, struct msg_chunk *m)
{
    m->chunk = reader_u32(r);
    m->flags = reader_u32(r);
    m->offset = reader_u64(r);
    m->room = reader_u64(r);
    m->lock_sql = reader_str(r);
    m->copy_sql = reader_str(r);
    m->place = (struct msg_place){0};
    if (m->flags & CHUNK_DIRECT)
        get_place(r, &m->place);
    return reader_done(r);
}

void msg_chunk_free(struct msg_chunk *m)
{
    free(m->lock_sql);
    free(m->copy_sql);
    pg_target_free(&m->place.target);
    free(m->place.name);
    free(m->place.schema);
    free(m->place.table);
    free(m->place.copy_sql);
    free(m->place.lc_monetary);
}

void msg_put_answer(struct buf *frame, enum message_type type, const struct msg_answer *m)
{
    msg_begin(frame, type);
    buf_put_u32(frame, m->chunk);
    buf_put_u64(frame, m->bytes);
    buf_put_u64(frame, m->rows);
    buf_put_u64(frame, m->checksum);
    buf_put_u32(frame, m->code);
    buf_put_str(frame, m->text);
}

bool msg_get_answer(struct reader *r, struct msg_answer *m)
{
    m->chunk = reader_u32(r);
    m->bytes = reader_u64(r);
    m->rows = reader_u64(r);
    m->checksum = reader_u64(r);
    m->code = reader_u32(r);
    m->text = reader_str(r);
    return reader_done(r);
}

void msg_answer_free(struct msg_answer *m)
{
    free(m->text);
}
