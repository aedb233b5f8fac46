#include "extract/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/units.h"
#include "extract/finish.h"
#include "extract/passing.h"
#include "extract/protocol.h"
#include "extract/queue.h"
#include "extract/spooled.h"
#include "pg/freeze.h"

#define OWN_FILE_MIN (1u << 20) /* smaller tables share the spool files of the workers */

struct ledger {
    struct ledger_config cfg;
    const struct extract_direct *direct; /* NULL: there are files */
    uint32_t *shut;                      /* tables that are not open yet for the guest */
    size_t nshut;
    struct queue *queue;
    struct finisher *finisher;
    struct passing *passing; /* NULL: what is in the spool stays there */
    struct progress_state shown;
    uint64_t spooled;   /* bytes of complete chunks, less those of tables that failed */
    uint64_t under_way; /* bytes of chunks in work */
    int *own_files;     /* by table: a file that shall hold just this table, or -1 */
    size_t nown_files;
    struct spooled **maps; /* by table, from its first complete chunk on: without a file of its own,
                              where they are */
    bool *failed;          /* by table; the same as its state, without the lock */
};

static void receive_guest(struct ledger *l)
{
    struct passing_config config = {.plan = l->cfg.plan,
                                    .spools = l->cfg.spools,
                                    .spool_dir = l->cfg.spool_dir,
                                    .spool_limit = l->cfg.spool_limit,
                                    .writers = l->cfg.writers,
                                    .guest = l->cfg.guest,
                                    .finisher = l->finisher};
    uint32_t t;

    l->direct = l->cfg.guest->direct;
    if (l->cfg.out_fd < 0 && l->cfg.guest->freed)
        l->passing = passing_new(&config);
    l->shut = mem_array(l->cfg.plan->ntables, sizeof(*l->shut));
    for (t = 0; t < l->cfg.plan->ntables; t++)
        l->shut[l->nshut++] = t;
}

struct ledger *ledger_new(const struct ledger_config *config)
{
    struct ledger *l = mem_alloc(sizeof(*l));
    const struct plan *p = config->plan;

    l->cfg = *config;
    l->queue = queue_new(p);
    l->failed = mem_array(p->ntables, sizeof(*l->failed));
    l->own_files = mem_array(p->ntables, sizeof(*l->own_files));
    memset(l->own_files, -1, p->ntables * sizeof(*l->own_files));
    l->maps = mem_array(p->ntables, sizeof(*l->maps));
    l->finisher = finisher_new(p, config->spools, l->own_files);
    l->shown.files = (unsigned)p->ntables;
    l->shown.total = p->weight;
    if (config->guest)
        receive_guest(l);
    return l;
}

void ledger_free(struct ledger *l)
{
    size_t t;

    if (!l)
        return;
    for (t = 0; t < l->cfg.plan->ntables; t++)
        spooled_free(l->maps[t]);
    passing_free(l->passing);
    finisher_free(l->finisher);
    queue_free(l->queue);
    free(l->shut);
    free(l->own_files);
    free(l->maps);
    free(l->failed);
    free(l);
}

static const struct chunk *chunk_of(const struct ledger *l, uint32_t chunk)
{
    return &l->cfg.plan->chunks[chunk];
}

/* ---- files of single tables ---- */

/* Written to the table's own file at once; chunks of larger tables are put together by the
 * finisher. */
static bool goes_to_own_file(const struct ledger *l, uint32_t chunk)
{
    const struct chunk *k = chunk_of(l, chunk);

    return l->own_files[k->table] >= 0 && k->first && k->last;
}

static int open_out_file(const struct ledger *l, uint32_t table, struct err *err)
{
    const char *path = l->cfg.paths[table];
    int fd = openat(l->cfg.out_fd, path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);

    return fd < 0 ? err_errno(err, "cannot create %s", path) : fd;
}

static int open_own_file(struct ledger *l, uint32_t table, struct err *err)
{
    struct spool own = {.fd = -1};
    int rc = 0;

    if (l->own_files[table] >= 0)
        return 0;
    if (l->cfg.out_fd >= 0) {
        own.fd = rc = open_out_file(l, table, err);
    } else if (l->cfg.results->tables[table].estimate >= OWN_FILE_MIN &&
               l->nown_files < l->cfg.own_files) {
        rc = spool_open(&own, l->cfg.spool_dir, err);
        l->nown_files++;
    }
    l->own_files[table] = own.fd;
    return rc < 0 ? rc : 0;
}

/* What was written of a table is not wanted, or stands in its directory. */
static void drop_files(struct ledger *l, size_t table)
{
    if (l->own_files[table] >= 0)
        close(l->own_files[table]);
    l->own_files[table] = -1;
    spooled_free(l->maps[table]);
    l->maps[table] = NULL;
}

/* What readers read of a table that is complete. NULL: it stands in its directory. */
static struct flatfile *take_flatfile(struct ledger *l, size_t table, uint64_t bytes)
{
    struct flatfile *f = NULL;

    if (l->own_files[table] < 0) {
        f = spooled_seal(l->maps[table]);
        l->maps[table] = NULL;
    } else if (l->cfg.out_fd < 0) {
        f = spooled_alone(l->own_files[table], bytes);
        l->own_files[table] = -1;
    }
    drop_files(l, table);
    return f;
}

/* ---- tables ---- */

/* A chunk in a file of the table's own moves when the file is put together, so it is told of when
 * the file is there. */
static void tell_chunks(const struct ledger *l, size_t table)
{
    const struct table_result *r = &l->cfg.results->tables[table];
    uint64_t offset = 0;
    size_t k;

    for (k = 0; k < r->chunks; k++) {
        struct extract_place place = {-1, offset, r->lengths[k], r->chunk_rows[k],
                                      r->chunk_sums[k]};

        l->cfg.guest->chunk(l->cfg.guest->arg, table, (uint32_t)k, &place);
        offset += r->lengths[k];
    }
}

static void complete_table(struct ledger *l, size_t table, uint64_t bytes, uint64_t checksum)
{
    bool own = l->own_files[table] >= 0;

    l->shown.files_done++;
    results_complete_table(l->cfg.results, table, l->direct ? NULL : take_flatfile(l, table, bytes),
                           bytes, checksum);
    if (l->cfg.guest && own)
        tell_chunks(l, table);
}

/* Of a table that the finisher has given up. */
static void complete_without_checksum(struct ledger *l, uint32_t table)
{
    const struct table_result *r = &l->cfg.results->tables[table];

    if (r->chunks_done == r->chunks)
        complete_table(l, table, r->bytes, 0);
}

static void fail_table(struct ledger *l, uint32_t table, const char *why)
{
    if (l->failed[table])
        return;
    l->failed[table] = true;
    l->spooled -= l->cfg.results->tables[table].bytes; /* only this thread writes it */
    queue_drop_table(l->queue, table);
    finisher_drop(l->finisher, table);
    drop_files(l, table);
    results_fail_table(l->cfg.results, table, why);
}

static char *table_name(const struct ledger *l, uint32_t chunk)
{
    const struct pg_relation *r = plan_relation(l->cfg.catalog, chunk_of(l, chunk));

    return pg_pattern_of(r->schema, r->name);
}

/* The end of the view, or, when others may go on without it, of this table only. */
static int table_failed(struct ledger *l, uint32_t chunk, const char *why, struct err *err)
{
    uint32_t table = chunk_of(l, chunk)->table;
    char *name = table_name(l, chunk);

    err_set(err, EIO, "%s: %s", name, why);
    free(name);
    if (!l->cfg.partial)
        return -EIO;
    if (!l->failed[table])
        log_error("%s", err->text);
    fail_table(l, table, why);
    return 0;
}

/* ---- chunks that wait ---- */

static void note_open_tables(struct ledger *l)
{
    const struct extract_guest *guest = l->cfg.guest;
    size_t i, n = 0;

    for (i = 0; i < l->nshut; i++)
        if (!guest->is_open(guest->arg, l->shut[i]))
            l->shut[n++] = l->shut[i];
    l->nshut = n;
}

static int64_t take_of_open_tables(struct ledger *l)
{
    int64_t chunk;
    size_t i;

    for (i = 0; i < l->nshut; i++)
        queue_hold_table(l->queue, l->shut[i]);
    chunk = queue_take(l->queue);
    for (i = 0; i < l->nshut; i++)
        queue_open_table(l->queue, l->shut[i]);
    return chunk;
}

/* Without files, chunks of a table that is shut have no place to go to; with them, they must not fill
 * the spool while what has to be loaded before them waits for room. */
static int64_t take_for_guest(struct ledger *l)
{
    int64_t chunk;

    if (!l->direct && (!l->passing || passing_is_ample(l->passing, l->under_way)))
        return queue_take(l->queue);
    note_open_tables(l);
    chunk = take_of_open_tables(l);
    if (chunk == QUEUE_EMPTY && !l->direct && passing_is_stuck(l->passing))
        return queue_take(l->queue);
    return chunk;
}

int64_t ledger_take(struct ledger *l)
{
    int64_t chunk = l->cfg.guest ? take_for_guest(l) : queue_take(l->queue);

    if (chunk == QUEUE_EMPTY || !l->passing || l->direct ||
        passing_may_begin(l->passing, (uint32_t)chunk, l->under_way))
        return chunk;
    queue_return(l->queue, (uint32_t)chunk);
    return LEDGER_NONE;
}

int64_t ledger_take_for_leader(struct ledger *l)
{
    int64_t chunk = queue_take_for_leader(l->queue);

    if (chunk == QUEUE_EMPTY || !l->passing ||
        passing_may_begin(l->passing, (uint32_t)chunk, l->under_way))
        return chunk;
    queue_give_to_leader(l->queue, (uint32_t)chunk);
    return LEDGER_NONE;
}

void ledger_take_back(struct ledger *l)
{
    if (l->passing)
        passing_take_back(l->passing);
}

void ledger_prefer(struct ledger *l, uint32_t table)
{
    queue_prefer_table(l->queue, table);
}

size_t ledger_left(const struct ledger *l)
{
    return queue_left(l->queue);
}

const struct extract_direct *ledger_direct(const struct ledger *l)
{
    return l->direct;
}

/* ---- a chunk in work ---- */

static enum pg_format format_of(const struct ledger *l, uint32_t table)
{
    return l->direct ? l->direct->tables[table].format : l->cfg.format;
}

static int copy_sql(const struct ledger *l, const struct chunk *k, char **sql, struct err *err)
{
    struct pg_copy_source s = {
        .table = &l->cfg.catalog->tables[k->table],
        .rel = plan_relation(l->cfg.catalog, k),
        .range = k->range,
        .format = format_of(l, k->table),
        .skip = l->direct ? l->direct->tables[k->table].skip : NULL,
        .header = k->first,
        .encoding = l->cfg.encoding,
    };

    return pg_copy_sql(l->cfg.leader, &s, sql, err);
}

static uint32_t chunk_flags(const struct ledger *l, uint32_t chunk)
{
    const struct chunk *k = chunk_of(l, chunk);

    return (format_of(l, k->table) == PG_FORMAT_BINARY ? CHUNK_BINARY : 0u) |
           (k->first ? CHUNK_FIRST : 0u) | (k->last ? CHUNK_LAST : 0u) |
           (goes_to_own_file(l, chunk) ? CHUNK_OWN_FILE : 0u) |
           (queue_was_put_off(l->queue, chunk) ? CHUNK_PATIENT : 0u);
}

static int choose_place(struct ledger *l, uint32_t chunk, uint32_t spool, struct ledger_job *job,
                        struct err *err)
{
    struct spool *s = &l->cfg.spools[spool];
    int rc = 0;

    job->flags = chunk_flags(l, chunk);
    job->room = l->passing && !l->direct ? passing_share(l->passing, chunk) : UINT64_MAX;
    if (job->flags & CHUNK_OWN_FILE) {
        job->fd = l->own_files[chunk_of(l, chunk)->table];
        return 0;
    }
    if (s->fd < 0)
        rc = spool_open(s, l->cfg.spool_dir, err);
    job->fd = s->fd;
    job->offset = s->end;
    return rc;
}

/* LOCK TABLE refuses materialized views; lock_timeout serves. */
static int lock_sql(const struct ledger *l, const struct chunk *k, char **sql, struct err *err)
{
    const struct pg_relation *rel = plan_relation(l->cfg.catalog, k);

    return rel->kind == 'm' ? 0 : pg_lock_nowait_sql(l->cfg.leader, rel, sql, err);
}

int ledger_begin(struct ledger *l, uint32_t chunk, uint32_t spool, struct ledger_job *job,
                 struct err *err)
{
    const struct chunk *k = chunk_of(l, chunk);
    int rc;

    *job = (struct ledger_job){.fd = -1};
    if (l->direct)
        job->direct = &l->direct->tables[k->table];
    results_start_table(l->cfg.results, k->table);
    rc = open_own_file(l, k->table, err);
    if (rc == 0)
        rc = choose_place(l, chunk, spool, job, err);
    if (rc == 0)
        rc = copy_sql(l, k, &job->copy_sql, err);
    return rc < 0 ? rc : lock_sql(l, k, &job->lock_sql, err);
}

void ledger_job_free(struct ledger_job *job)
{
    free(job->copy_sql);
    free(job->lock_sql);
    *job = (struct ledger_job){.fd = -1};
}

void ledger_add_under_way(struct ledger *l, uint32_t chunk, uint64_t more)
{
    l->under_way += more;
    results_add_under_way(l->cfg.results, chunk_of(l, chunk)->table, more);
}

/* What the spool holds now, the chunks in work included; what failed has given its space back. */
static int check_spool(struct ledger *l, uint32_t chunk, uint64_t more, struct err *err)
{
    char size[32], why[120];

    if (l->passing || !l->cfg.spool_limit || l->spooled + l->under_way + more <= l->cfg.spool_limit)
        return 0;
    snprintf(why, sizeof(why), "the spool has grown beyond %s (--spool-limit)",
             units_format_size(l->cfg.spool_limit, size, sizeof(size)));
    return table_failed(l, chunk, why, err);
}

int ledger_check_spool(struct ledger *l, uint32_t chunk, struct err *err)
{
    return check_spool(l, chunk, 0, err);
}

bool ledger_has_failed(const struct ledger *l, uint32_t chunk)
{
    return l->failed[chunk_of(l, chunk)->table];
}

uint64_t ledger_weight(const struct ledger *l, uint32_t chunk)
{
    return chunk_of(l, chunk)->weight;
}

uint32_t ledger_part(const struct ledger *l, uint32_t chunk)
{
    return chunk - (uint32_t)l->cfg.plan->first[chunk_of(l, chunk)->table];
}

/* Of a table without a file of its own. */
static void map_chunk(struct ledger *l, uint32_t chunk, const struct spool *s, uint64_t length)
{
    size_t table = chunk_of(l, chunk)->table, first = l->cfg.plan->first[table];

    if (!l->maps[table])
        l->maps[table] = spooled_new(plan_table_chunks(l->cfg.plan, table));
    spooled_set(l->maps[table], chunk - first, s->fd, s->end, length);
}

/* A chunk has been written there. */
static void end_in_spool(struct ledger *l, uint32_t chunk, uint32_t spool, uint64_t bytes)
{
    struct spool *s = &l->cfg.spools[spool];

    if (l->passing)
        passing_put(l->passing, chunk, spool, s->end, bytes);
    s->end += bytes;
    if (l->passing)
        s->end = passing_next_offset(s->end);
}

/* The bytes of a chunk are in their place. */
static void keep_chunk(struct ledger *l, uint32_t chunk, uint32_t spool,
                       const struct ledger_done *d)
{
    const struct chunk *k = chunk_of(l, chunk);
    struct spool *s = &l->cfg.spools[spool];
    uint32_t number = ledger_part(l, chunk);
    uint64_t offset = s->end;
    struct extract_place place = {s->fd, offset, d->bytes, d->rows, d->checksum};

    l->shown.bytes += d->bytes;
    l->spooled += d->bytes;
    if (l->own_files[k->table] < 0)
        map_chunk(l, chunk, s, d->bytes);
    if (l->cfg.guest && l->own_files[k->table] < 0)
        l->cfg.guest->chunk(l->cfg.guest->arg, k->table, number, &place);
    if (!goes_to_own_file(l, chunk))
        end_in_spool(l, chunk, spool, d->bytes);
    results_add_chunk(l->cfg.results, k->table, number, d->bytes, d->rows, d->checksum);
    if (k->first && k->last)
        complete_table(l, k->table, d->bytes, d->checksum);
    else if (!finisher_gave_up(l->finisher, k->table))
        finisher_add(l->finisher, chunk, spool, offset, d->bytes, d->checksum);
    else
        complete_without_checksum(l, k->table);
}

/* Its rows are in the second database; the leader's are on their way there, by the spool. */
static int keep_direct(struct ledger *l, uint32_t chunk, uint32_t spool,
                       const struct ledger_done *d, struct err *err)
{
    uint32_t table = chunk_of(l, chunk)->table, number = ledger_part(l, chunk);
    const struct table_result *r = &l->cfg.results->tables[table];
    struct spool *s = &l->cfg.spools[spool];
    int rc = 0;

    l->shown.bytes += d->bytes;
    results_add_chunk(l->cfg.results, table, number, d->bytes, d->rows, d->checksum);
    if (d->direct) {
        rc = l->direct->loaded(l->direct->arg, table, number, d->rows, d->bytes, err);
    } else {
        l->cfg.guest->chunk(l->cfg.guest->arg, table, number,
                            &(struct extract_place){s->fd, s->end, d->bytes, d->rows, d->checksum});
        end_in_spool(l, chunk, spool, d->bytes);
    }
    if (r->chunks_done == r->chunks)
        complete_table(l, table, r->bytes, r->chunks == 1 ? d->checksum : 0);
    return rc;
}

/* It is not in work any more. */
static void leave_room(struct ledger *l, uint32_t chunk)
{
    if (l->passing)
        passing_return(l->passing, chunk);
}

int ledger_done(struct ledger *l, uint32_t chunk, uint32_t spool, const struct ledger_done *done,
                struct err *err)
{
    int rc = 0;

    leave_room(l, chunk);
    queue_done(l->queue, chunk);
    l->shown.done += chunk_of(l, chunk)->weight;
    if (!ledger_has_failed(l, chunk))
        rc = check_spool(l, chunk, done->bytes, err);
    if (rc < 0)
        return rc;
    if (ledger_has_failed(l, chunk))
        return ledger_trim(l, spool, err);
    if (l->direct)
        return keep_direct(l, chunk, spool, done, err);
    keep_chunk(l, chunk, spool, done);
    return 0;
}

int ledger_put_back(struct ledger *l, uint32_t chunk, const char *why, struct err *err)
{
    char text[ERR_TEXT_MAX];

    leave_room(l, chunk);
    if (ledger_has_failed(l, chunk)) {
        queue_done(l->queue, chunk);
        return 0;
    }
    if (queue_put_back(l->queue, chunk))
        return 0;
    snprintf(text, sizeof(text), "given up after %d tries: %s", QUEUE_MAX_TRIES, why);
    return table_failed(l, chunk, text, err);
}

void ledger_put_off(struct ledger *l, uint32_t chunk)
{
    leave_room(l, chunk);
    if (ledger_has_failed(l, chunk))
        queue_done(l->queue, chunk);
    else
        queue_put_off(l->queue, chunk);
}

void ledger_done_elsewhere(struct ledger *l, uint32_t chunk)
{
    if (queue_done_elsewhere(l->queue, chunk))
        l->shown.done += chunk_of(l, chunk)->weight;
}

int ledger_no_room(struct ledger *l, uint32_t chunk, int code, uint64_t written, struct err *err)
{
    char why[ERR_TEXT_MAX];

    if (!l->passing || l->direct || (code != EOVERFLOW && code != ENOSPC && code != EDQUOT))
        return 0;
    if (passing_overrun(l->passing, chunk, code, written, l->under_way, err) == 0) {
        queue_return(l->queue, chunk);
        return 1;
    }
    snprintf(why, sizeof(why), "%s", err->text);
    queue_done(l->queue, chunk);
    return table_failed(l, chunk, why, err) < 0 ? -EIO : 1;
}

int ledger_fail(struct ledger *l, uint32_t chunk, const char *why, struct err *err)
{
    leave_room(l, chunk);
    queue_done(l->queue, chunk);
    return table_failed(l, chunk, why, err);
}

void ledger_give_to_leader(struct ledger *l, uint32_t chunk)
{
    leave_room(l, chunk);
    if (ledger_has_failed(l, chunk))
        queue_done(l->queue, chunk);
    else
        queue_give_to_leader(l->queue, chunk);
}

int ledger_trim(struct ledger *l, uint32_t spool, struct err *err)
{
    struct spool *s = &l->cfg.spools[spool];

    return s->fd < 0 ? 0 : spool_trim(s, err);
}

/* ---- what is left ---- */

bool ledger_can_finish(const struct ledger *l)
{
    return finisher_has_work(l->finisher);
}

int ledger_finish_some(struct ledger *l, struct err *err)
{
    struct finished done;
    int rc = finisher_step(l->finisher, &done, err);

    if (rc < 0)
        return err_prefix(err, "%s", l->cfg.spool_dir);
    if (rc > 0)
        complete_table(l, done.table, done.bytes, done.checksum);
    return 0;
}

void ledger_fail_rest(struct ledger *l, const char *why)
{
    uint32_t t;

    for (t = 0; t < l->cfg.plan->ntables; t++)
        if (l->cfg.results->tables[t].state != TABLE_COMPLETE) /* only this thread writes it */
            fail_table(l, t, why);
    if (!l->cfg.results->schema_done)
        results_set_schema(l->cfg.results, NULL, why);
}

void ledger_get_progress(const struct ledger *l, struct progress_state *s)
{
    *s = l->shown;
}
