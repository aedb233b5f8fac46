#include "extract/result.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/mem.h"

struct results *results_new(const struct plan *p)
{
    struct results *r = mem_alloc(sizeof(*r));
    size_t t, k;

    r->n = p->ntables;
    pthread_mutex_init(&r->lock, NULL);
    r->tables = mem_array(p->ntables, sizeof(*r->tables));
    for (t = 0; t < p->ntables; t++) {
        r->tables[t].chunks = plan_table_chunks(p, t);
        r->tables[t].lengths = mem_array(r->tables[t].chunks + 1, sizeof(uint64_t));
        r->tables[t].chunk_rows = mem_array(r->tables[t].chunks + 1, sizeof(uint64_t));
        r->tables[t].chunk_sums = mem_array(r->tables[t].chunks + 1, sizeof(uint64_t));
        for (k = p->first[t]; k < p->first[t + 1]; k++)
            r->tables[t].estimate += p->chunks[k].weight;
    }
    return r;
}

void results_free(struct results *r)
{
    size_t t;

    if (!r)
        return;
    for (t = 0; t < r->n; t++) {
        flatfile_free(r->tables[t].file);
        free(r->tables[t].error);
        free(r->tables[t].lengths);
        free(r->tables[t].chunk_rows);
        free(r->tables[t].chunk_sums);
    }
    buf_free(&r->schema);
    free(r->schema_error);
    free(r->tables);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static void tell_settled(struct results *r, size_t table)
{
    if (r->settled)
        r->settled(r->settled_arg, table);
}

enum table_state results_state(struct results *r, size_t table)
{
    enum table_state s;

    pthread_mutex_lock(&r->lock);
    s = r->tables[table].state;
    pthread_mutex_unlock(&r->lock);
    return s;
}

void results_set_joined(struct results *r, unsigned joined)
{
    pthread_mutex_lock(&r->lock);
    r->joined = joined;
    pthread_mutex_unlock(&r->lock);
}

void results_start_table(struct results *r, size_t table)
{
    struct table_result *t = &r->tables[table];

    pthread_mutex_lock(&r->lock);
    if (t->state == TABLE_WAITING) {
        t->state = TABLE_RUNNING;
        t->started_at = clock_ms();
    }
    pthread_mutex_unlock(&r->lock);
}

void results_add_under_way(struct results *r, size_t table, uint64_t more)
{
    pthread_mutex_lock(&r->lock);
    r->tables[table].under_way += more;
    pthread_mutex_unlock(&r->lock);
}

void results_add_chunk(struct results *r, size_t table, size_t chunk, uint64_t bytes, uint64_t rows,
                       uint64_t checksum)
{
    struct table_result *t = &r->tables[table];

    pthread_mutex_lock(&r->lock);
    t->rows += rows;
    t->bytes += bytes;
    t->lengths[chunk] = bytes;
    t->chunk_rows[chunk] = rows;
    t->chunk_sums[chunk] = checksum;
    t->chunks_done++;
    pthread_mutex_unlock(&r->lock);
}

void results_complete_table(struct results *r, size_t table, struct flatfile *file, uint64_t bytes,
                            uint64_t checksum)
{
    struct table_result *t = &r->tables[table];

    pthread_mutex_lock(&r->lock);
    t->file = file;
    t->bytes = bytes;
    t->checksum = checksum;
    t->state = TABLE_COMPLETE;
    t->ended_at = clock_ms();
    pthread_mutex_unlock(&r->lock);
    tell_settled(r, table);
}

void results_measure_table(struct results *r, size_t table, struct flatfile *file, uint64_t rows,
                           uint64_t checksum)
{
    pthread_mutex_lock(&r->lock);
    r->tables[table].rows = rows;
    pthread_mutex_unlock(&r->lock);
    results_complete_table(r, table, file, file->size, checksum);
}

void results_sum_table(struct results *r, size_t table, uint64_t checksum)
{
    pthread_mutex_lock(&r->lock);
    r->tables[table].checksum = checksum;
    pthread_mutex_unlock(&r->lock);
}

uint64_t results_checksum(struct results *r, size_t table)
{
    uint64_t checksum;

    pthread_mutex_lock(&r->lock);
    checksum = r->tables[table].checksum;
    pthread_mutex_unlock(&r->lock);
    return checksum;
}

void results_write_table(struct results *r, size_t table, const struct results_chunk *chunks,
                         size_t n, uint64_t checksum)
{
    struct table_result *t = &r->tables[table];
    uint64_t bytes = 0;
    size_t k;

    pthread_mutex_lock(&r->lock);
    t->lengths = mem_resize(t->lengths, n + 1, sizeof(*t->lengths));
    t->chunk_rows = mem_resize(t->chunk_rows, n + 1, sizeof(*t->chunk_rows));
    t->chunk_sums = mem_resize(t->chunk_sums, n + 1, sizeof(*t->chunk_sums));
    t->chunks = n;
    pthread_mutex_unlock(&r->lock);
    for (k = 0; k < n; k++) {
        results_add_chunk(r, table, k, chunks[k].bytes, chunks[k].rows, chunks[k].checksum);
        bytes += chunks[k].bytes;
    }
    results_complete_table(r, table, NULL, bytes, checksum);
}

void results_fail_table(struct results *r, size_t table, const char *why)
{
    struct table_result *t = &r->tables[table];

    pthread_mutex_lock(&r->lock);
    t->state = TABLE_FAILED;
    t->ended_at = clock_ms();
    t->error = mem_strdup(why);
    pthread_mutex_unlock(&r->lock);
    tell_settled(r, table);
}

void results_add_error(struct results *r, size_t table, const char *why)
{
    pthread_mutex_lock(&r->lock);
    if (!r->tables[table].error)
        r->tables[table].error = mem_strdup(why);
    pthread_mutex_unlock(&r->lock);
}

void results_set_schema(struct results *r, const struct buf *text, const char *why)
{
    pthread_mutex_lock(&r->lock);
    if (why)
        r->schema_error = mem_strdup(why);
    else
        buf_put(&r->schema, text->data, text->len);
    r->schema_done = true;
    pthread_mutex_unlock(&r->lock);
    tell_settled(r, r->n);
}

static void mark_released(struct results *r)
{
    if (r->released)
        return;
    r->released = true;
    r->released_at = clock_ms();
}

void results_release(struct results *r)
{
    pthread_mutex_lock(&r->lock);
    mark_released(r);
    pthread_mutex_unlock(&r->lock);
}

void results_end(struct results *r)
{
    pthread_mutex_lock(&r->lock);
    mark_released(r);
    r->ended = true;
    r->ended_at = clock_ms();
    pthread_mutex_unlock(&r->lock);
}

const char *table_state_name(enum table_state s)
{
    static const char *const names[] = {"waiting", "running", "complete", "failed"};

    return names[s];
}
