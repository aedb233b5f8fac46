#include "extract/workers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/mem.h"

/* ---- one is started ---- */

static int configure_worker(void *arg, unsigned i, struct buf *first, int *file_fd, struct err *err)
{
    struct workers *w = arg;
    struct spool *spool = &w->spools[i];
    struct msg_config config = {
        .number = i + 1,
        .target = *w->target,
        .timezone = (char *)(uintptr_t)w->timezone,
        .snapshot_id = (char *)(uintptr_t)w->snapshot_id,
        .lock_sql = (char *)(uintptr_t)w->lock_sql,
        .timeout_ms = (uint64_t)w->crew.silence_ms,
        .debug = log_get_level() == LOG_LEVEL_DEBUG,
    };
    int rc = spool->fd >= 0 ? 0 : spool_open(spool, w->spool_dir, err);

    w->jobs[i] = (struct worker_job){0};
    *file_fd = spool->fd;
    msg_put_config(first, &config);
    return rc;
}

static void worker_ready(void *arg, unsigned i)
{
    struct workers *w = arg;

    (void)i;
    results_set_joined(w->results, crew_joined(&w->crew));
}

/* ---- chunks are handed out ---- */

static size_t chunks_left(void *arg)
{
    const struct workers *w = arg;

    return ledger_left(w->ledger);
}

/* What the coordinator sends is borrowed for the sending. */
static void put_place(const struct workers *w, uint32_t chunk, const struct extract_direct_table *t,
                      struct msg_chunk *m)
{
    const struct extract_direct *d = ledger_direct(w->ledger);
    uint32_t part = ledger_part(w->ledger, chunk);

    m->flags |= CHUNK_DIRECT | (d->objects ? CHUNK_OBJECT : 0u);
    m->place = (struct msg_place){.target = *d->target,
                                  .name = (char *)(uintptr_t)d->name,
                                  .schema = (char *)(uintptr_t)(t->schema ? t->schema : ""),
                                  .table = (char *)(uintptr_t)t->name,
                                  .copy_sql = (char *)(uintptr_t)t->copy_sql,
                                  .lc_monetary = (char *)(uintptr_t)d->lc_monetary,
                                  .run = (uint64_t)d->run,
                                  .lock_timeout_ms = (uint64_t)d->lock_timeout_ms,
                                  .chunk = t->first_chunk + part,
                                  .part = part};
}

static int next_chunk(void *arg, unsigned i, struct buf *frame, int *fd, struct err *err)
{
    struct workers *w = arg;
    int64_t chunk = ledger_take(w->ledger);
    struct ledger_job job;
    struct msg_chunk m;
    int rc;

    if (chunk == LEDGER_NONE)
        return 0;
    w->jobs[i] = (struct worker_job){.chunk = (uint32_t)chunk};
    rc = ledger_begin(w->ledger, w->jobs[i].chunk, i, &job, err);
    if (rc == 0) {
        m = (struct msg_chunk){.chunk = w->jobs[i].chunk,
                               .flags = job.flags,
                               .offset = job.offset,
                               .room = job.room,
                               .lock_sql = job.lock_sql,
                               .copy_sql = job.copy_sql};
        if (job.direct)
            put_place(w, w->jobs[i].chunk, job.direct, &m);
        msg_put_chunk(frame, &m);
        *fd = job.flags & CHUNK_OWN_FILE ? job.fd : -1;
    }
    ledger_job_free(&job);
    return rc < 0 ? rc : 1;
}

/* ---- and answered ---- */

static void tell_bytes(struct workers *w, unsigned i, uint64_t bytes)
{
    struct worker_job *j = &w->jobs[i];

    ledger_add_under_way(w->ledger, j->chunk, bytes - j->bytes);
    j->bytes = bytes;
}

static int chunk_progress(struct workers *w, unsigned i, const struct msg_answer *a,
                          struct err *err)
{
    uint32_t chunk = w->jobs[i].chunk;
    int rc;

    tell_bytes(w, i, a->bytes);
    rc = ledger_check_spool(w->ledger, chunk, err);
    if (rc < 0 || !ledger_has_failed(w->ledger, chunk))
        return rc < 0 ? rc : CREW_GOES_ON;
    err_set(err, ECANCELED, "its table has failed");
    return CREW_UNWANTED;
}

static int chunk_done(struct workers *w, unsigned i, const struct msg_answer *a, struct err *err)
{
    struct ledger_done d = {.bytes = a->bytes,
                            .rows = a->rows,
                            .checksum = a->checksum,
                            .direct = ledger_direct(w->ledger) != NULL};

    tell_bytes(w, i, 0);
    return ledger_done(w->ledger, w->jobs[i].chunk, i, &d, err);
}

static int chunk_busy(struct workers *w, unsigned i, struct err *err)
{
    tell_bytes(w, i, 0);
    ledger_give_to_leader(w->ledger, w->jobs[i].chunk);
    return ledger_trim(w->ledger, i, err);
}

static int chunk_elsewhere(struct workers *w, unsigned i, struct err *err)
{
    tell_bytes(w, i, 0);
    ledger_put_off(w->ledger, w->jobs[i].chunk);
    return ledger_trim(w->ledger, i, err);
}

/* The worker knows no path: its files came to it open. */
static int chunk_failed(struct workers *w, unsigned i, const struct msg_answer *a, struct err *err)
{
    bool full = a->code == ENOSPC || a->code == EDQUOT;
    bool place = full || a->code == EFBIG || a->code == EROFS;
    char why[ERR_TEXT_MAX];
    int rc;

    tell_bytes(w, i, 0);
    rc = ledger_trim(w->ledger, i, err);
    if (rc < 0)
        return rc;
    rc = ledger_no_room(w->ledger, w->jobs[i].chunk, (int)a->code, a->bytes, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    if (a->code == ECANCELED) /* of the statement, by somebody: it says nothing about the table */
        return ledger_put_back(w->ledger, w->jobs[i].chunk, a->text, err);
    snprintf(why, sizeof(why), "%s%s%s%s", a->text, place ? ", in " : "", place ? w->spool_dir : "",
             full && w->to_spool ? " (--spool names a larger place)" : "");
    return ledger_fail(w->ledger, w->jobs[i].chunk, why, err);
}

static int job_settled(int rc)
{
    return rc < 0 ? rc : CREW_RESTS;
}

static int take_answer(struct workers *w, unsigned i, uint32_t type, const struct msg_answer *a,
                       struct err *err)
{
    switch (type) {
    case MSG_PROGRESS:
        return chunk_progress(w, i, a, err);
    case MSG_DONE:
        return job_settled(chunk_done(w, i, a, err));
    case MSG_BUSY:
        return job_settled(chunk_busy(w, i, err));
    case MSG_ELSEWHERE:
        return job_settled(chunk_elsewhere(w, i, err));
    case MSG_FAILED:
        return job_settled(chunk_failed(w, i, a, err));
    default:
        return CREW_NONSENSE;
    }
}

static int worker_answered(void *arg, unsigned i, struct msg *m, struct err *err)
{
    struct workers *w = arg;
    struct msg_answer a = {0};
    int rc = CREW_NONSENSE;

    if (msg_get_answer(&m->body, &a) && a.chunk == w->jobs[i].chunk)
        rc = take_answer(w, i, m->type, &a, err);
    msg_answer_free(&a);
    return rc;
}

static int worker_lost(void *arg, unsigned i, bool had_job, const char *why, struct err *err)
{
    struct workers *w = arg;
    int rc;

    if (had_job)
        tell_bytes(w, i, 0);
    rc = ledger_trim(w->ledger, i, err);
    return rc < 0 || !had_job ? rc : ledger_put_back(w->ledger, w->jobs[i].chunk, why, err);
}

static const struct crew_role role = {
    .word = "worker",
    .title = "snapshot worker",
    .silence_option = "--worker-timeout",
    .configure = configure_worker,
    .ready = worker_ready,
    .left = chunks_left,
    .next = next_chunk,
    .answered = worker_answered,
    .lost = worker_lost,
};

/* ---- all of them ---- */

struct workers *workers_new(unsigned n, int64_t silence_ms)
{
    struct workers *w = mem_alloc(sizeof(*w));
    unsigned i;

    crew_init(&w->crew, &role, w, n, silence_ms);
    w->jobs = mem_array(n, sizeof(*w->jobs));
    w->spools = mem_array(n + 1, sizeof(*w->spools));
    for (i = 0; i <= n; i++)
        w->spools[i].fd = -1;
    return w;
}

void workers_free(struct workers *w)
{
    unsigned i, n;

    if (!w)
        return;
    n = w->crew.n;
    crew_free(&w->crew);
    for (i = 0; i <= n; i++)
        spool_close(&w->spools[i]);
    free(w->jobs);
    free(w->spools);
    free(w);
}

void workers_begin(struct workers *w, struct ledger *ledger, struct results *results, bool to_spool)
{
    w->ledger = ledger;
    w->results = results;
    w->to_spool = to_spool;
    results_set_joined(results, crew_joined(&w->crew));
}

void workers_add_progress(const struct workers *w, struct progress_state *s)
{
    uint64_t weight;
    unsigned i;

    for (i = 0; i < w->crew.n; i++) {
        const struct worker_job *j = &w->jobs[i];

        if (w->crew.children[i].state != CHILD_BUSY)
            continue;
        /* A row is about as long in text as in the table: good enough between two chunks. */
        weight = ledger_weight(w->ledger, j->chunk);
        s->done += j->bytes < weight ? j->bytes : weight;
        s->bytes += j->bytes;
    }
}
