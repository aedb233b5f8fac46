/* The two roles: what a delete worker and a loader worker are told, and what their answers mean. */
#include "load/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "common/log.h"
#include "common/mem.h"
#include "load/protocol.h"
#include "load/worker.h"
#include "pg/record.h"

/* ---- what both have in common ---- */

static int configure(struct loading *l, const char *role, unsigned i, struct buf *first)
{
    struct load_config config = {
        .number = i + 1,
        .target = l->target,
        .name = (char *)(uintptr_t)l->req.name,
        .role = (char *)(uintptr_t)role,
        .run = (uint64_t)l->run,
        .timezone = l->list->timezone,
        .lc_monetary = (char *)(uintptr_t)l->lc_monetary,
        .timeout_ms = (uint64_t)l->req.worker_timeout_ms,
        .lock_timeout_ms = (uint64_t)l->req.lock_timeout_ms,
        .debug = log_get_level() == LOG_LEVEL_DEBUG,
        .objects = l->req.mode == LOADING_OBJECTS,
    };

    load_put_config(first, &config);
    return 0;
}

static const char *verb_of(enum gate_kind kind)
{
    return kind == GATE_CLEAR ? "clear" : kind == GATE_LOAD ? "load" : "finish";
}

/* Whoever reads the log can see that a part is loaded only when it may be. */
static void trace(const char *what, const struct gate_job *job)
{
    log_debug("gate: %s %s %u %u", what, verb_of(job->kind), job->item, job->part);
}

static void close_file(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* The file of a part, open until its job is settled. */
static int give_file(struct loading *l, unsigned slot, const struct part_place *p, int *fd,
                     struct err *err)
{
    if (p->fd < 0) {
        *fd = l->files[slot] = l->req.open_file(l->req.arg, l->jobs[slot].item, err);
        return *fd < 0 ? *fd : 0;
    }
    *fd = p->fd;
    return 0;
}

static int put_job(struct loading *l, unsigned slot, struct buf *frame, int *fd, struct err *err)
{
    const struct gate_job *job = &l->jobs[slot];
    const struct load_table *t = &l->list->tables[job->item];
    const struct table_work *w = &l->work[job->item];
    struct load_job m = {.kind = job->kind,
                         .item = job->item,
                         .part = job->part,
                         .schema = t->target_schema,
                         .table = t->name,
                         .drop = w->drop,
                         .format = w->format};
    int rc = 0;

    if (job->kind == GATE_CLEAR) {
        m.sql = w->clear_sql;
        m.chunk = -1 - (int64_t)job->item;
    }
    if (job->kind == GATE_FINISH) {
        m.sql = l->steps[w->steps[job->part]].sql;
        m.chunk = -1 - (int64_t)(l->list->n + w->steps[job->part]);
    }
    if (job->kind == GATE_LOAD) {
        const struct part_place *p = &l->parts[w->first_chunk + job->part];

        m.sql = job->part == 0 ? w->first_copy_sql : w->copy_sql;
        m.chunk = w->first_chunk + job->part;
        m.first = job->part == 0;
        m.last = job->part + 1 == t->nparts;
        m.offset = p->offset;
        m.len = p->len;
        m.rows = p->rows;
        m.checksum = p->checksum;
        rc = give_file(l, slot, p, fd, err);
    }
    if (rc < 0)
        return rc;
    load_put_job(frame, &m);
    trace("begin", job);
    return 1;
}

/* Newlines of a part; false: it cannot be read. */
static bool count_lines(int fd, const struct part_place *p, uint64_t *lines)
{
    char bytes[64 << 10];
    uint64_t at = 0;

    while (at < p->len) {
        size_t want = p->len - at < sizeof(bytes) ? (size_t)(p->len - at) : sizeof(bytes), i;

        if (io_pread_full(fd, bytes, want, p->offset + at) < (int64_t)want)
            return false;
        for (i = 0; i < want; i++)
            *lines += bytes[i] == '\n';
        at += want;
    }
    return true;
}

static bool lines_of(int open_fd, const struct part_place *p, uint64_t *lines)
{
    *lines += p->lines;
    if (p->loaded)
        return p->lines > 0 || p->len == 0;
    return p->told && count_lines(p->fd < 0 ? open_fd : p->fd, p, lines);
}

/* The server counts from the beginning of the part. false: what stands before is not known. */
static bool lines_before(const struct loading *l, const struct gate_job *job, int open_fd,
                         uint64_t *lines)
{
    const struct part_place *p = &l->parts[l->work[job->item].first_chunk];
    uint32_t i;

    *lines = 0;
    if (l->work[job->item].format == PG_FORMAT_BINARY && job->part)
        return false;
    for (i = 0; i < job->part; i++)
        if (!lines_of(open_fd, &p[i], lines))
            return false;
    return true;
}

static int part_failed(const struct loading *l, const struct gate_job *job,
                       const struct load_answer *a, struct err *err)
{
    int fd = l->files[job - l->jobs];
    const char *file = l->list->tables[job->item].file;
    uint64_t before;

    if (!a->line)
        return err_set(err, (int)a->code, "%s: %s", file, a->text);
    if (!lines_before(l, job, fd, &before))
        return err_set(err, (int)a->code, "%s, part %u, line %llu: %s", file, job->part + 1,
                       (unsigned long long)a->line, a->text);
    return err_set(err, (int)a->code, "%s, line %llu: %s", file,
                   (unsigned long long)(before + a->line), a->text);
}

static int job_failed(struct loading *l, const struct gate_job *job, const struct load_answer *a,
                      struct err *err)
{
    const struct load_table *t = &l->list->tables[job->item];

    if (job->kind == GATE_LOAD)
        return part_failed(l, job, a, err);
    return err_set(err, (int)a->code, "%s.%s: %s", t->target_schema, t->name, a->text);
}

static int put_back(struct loading *l, const struct gate_job *job, const char *why, struct err *err)
{
    const struct load_table *t = &l->list->tables[job->item];

    trace("lost", job);
    if (gate_put_back(l->gate, job))
        return 0;
    return err_set(err, EIO, "%s.%s: given up after %d tries: %s", t->target_schema, t->name,
                   GATE_MAX_TRIES, why);
}

static int record_loaded(struct loading *l, size_t table, struct err *err)
{
    const struct load_table *t = &l->list->tables[table];
    const struct table_work *w = &l->work[table];

    return pg_record_loaded(l->conn, l->req.name, l->run, t->target_schema, t->name, w->rows,
                            *w->checksum ? w->checksum : t->checksum, err);
}

static int tell_loaded(struct loading *l, uint32_t table, struct err *err)
{
    struct table_work *w = &l->work[table];

    if (w->told || !gate_is_loaded(l->gate, table))
        return 0;
    w->told = true;
    l->ntables_loaded++;
    return record_loaded(l, table, err);
}

int loading_note_checksum(struct loading *l, size_t table, uint64_t checksum, struct err *err)
{
    struct table_work *w = &l->work[table];

    snprintf(w->checksum, sizeof(w->checksum), "%016llx", (unsigned long long)checksum);
    return w->told ? record_loaded(l, table, err) : 0;
}

int loading_job_done(struct loading *l, const struct gate_job *job, uint64_t rows, uint64_t bytes,
                     struct err *err)
{
    struct table_work *w = &l->work[job->item];

    trace("end", job);
    if (job->kind == GATE_LOAD) {
        w->rows += rows;
        l->rows_loaded += rows;
        l->bytes_loaded += bytes;
    }
    gate_done(l->gate, job);
    return tell_loaded(l, job->item, err);
}

static struct part_place *part_of(const struct loading *l, const struct gate_job *job)
{
    return &l->parts[l->work[job->item].first_chunk + job->part];
}

static uint64_t bytes_of(const struct loading *l, const struct gate_job *job)
{
    return job->kind == GATE_LOAD ? part_of(l, job)->len : 0;
}

/* The bytes of a part have become rows. */
static void note_loaded(struct loading *l, const struct gate_job *job, uint64_t lines)
{
    struct part_place *p = part_of(l, job);

    p->loaded = true;
    p->lines = lines;
    if (p->fd < 0)
        return;
    l->freed = mem_grow(l->freed, l->nfreed, &l->freed_room, sizeof(*l->freed));
    l->freed[l->nfreed++] = *job;
}

static int take_answer(struct loading *l, const struct gate_job *job, uint32_t type,
                       const struct load_answer *a, struct err *err)
{
    int rc;

    switch (type) {
    case LOAD_PROGRESS:
        return CREW_GOES_ON;
    case LOAD_DONE:
        if (job->kind == GATE_LOAD)
            note_loaded(l, job, a->lines);
        rc = loading_job_done(l, job, a->rows, bytes_of(l, job), err);
        return rc < 0 ? rc : CREW_RESTS;
    case LOAD_BUSY:
        rc = put_back(l, job, a->text, err);
        return rc < 0 ? rc : CREW_RESTS;
    case LOAD_FAILED:
        return job_failed(l, job, a, err);
    default:
        return CREW_NONSENSE;
    }
}

static int answered(struct loading *l, unsigned slot, struct msg *m, struct err *err)
{
    const struct gate_job *job = &l->jobs[slot];
    struct load_answer a = {0};
    int rc = load_get_answer(&m->body, &a) ? take_answer(l, job, m->type, &a, err) : CREW_NONSENSE;

    load_answer_free(&a);
    if (rc == CREW_RESTS)
        close_file(&l->files[slot]);
    return rc;
}

/* ---- delete workers ---- */

static int configure_deleter(void *arg, unsigned i, struct buf *first, int *fd, struct err *err)
{
    (void)fd, (void)err;
    return configure(arg, LOAD_DELETER, i, first);
}

static size_t clears_left(void *arg)
{
    return gate_left(((struct loading *)arg)->gate, GATE_CLEAR);
}

static int next_clear(void *arg, unsigned i, struct buf *frame, int *fd, struct err *err)
{
    struct loading *l = arg;

    return gate_take(l->gate, GATE_CLEAR, &l->jobs[i]) ? put_job(l, i, frame, fd, err) : 0;
}

static int deleter_answered(void *arg, unsigned i, struct msg *m, struct err *err)
{
    struct loading *l = arg;

    return answered(l, i, m, err);
}

static int deleter_lost(void *arg, unsigned i, bool had_job, const char *why, struct err *err)
{
    struct loading *l = arg;

    return had_job ? put_back(l, &l->jobs[i], why, err) : 0;
}

static const struct crew_role deleter_role = {
    .word = LOAD_DELETER,
    .title = "delete worker",
    .silence_option = "--worker-timeout",
    .configure = configure_deleter,
    .left = clears_left,
    .next = next_clear,
    .answered = deleter_answered,
    .lost = deleter_lost,
};

/* ---- loader workers ---- */

static int configure_loader(void *arg, unsigned i, struct buf *first, int *fd, struct err *err)
{
    (void)fd, (void)err;
    return configure(arg, LOAD_LOADER, i, first);
}

/* They are started when there is something to load. */
static size_t loads_left(void *arg)
{
    struct loading *l = arg;
    size_t waiting = gate_waiting(l->gate, GATE_LOAD) + gate_waiting(l->gate, GATE_FINISH);
    unsigned i;

    for (i = 0; i < l->loaders.n; i++)
        waiting += l->loaders.children[i].state == CHILD_BUSY;
    return waiting;
}

static int next_load(void *arg, unsigned i, struct buf *frame, int *fd, struct err *err)
{
    struct loading *l = arg;
    struct gate_job *job = &l->jobs[l->deleters.n + i];

    if (!gate_take(l->gate, GATE_LOAD, job) && !gate_take(l->gate, GATE_FINISH, job))
        return 0;
    return put_job(l, l->deleters.n + i, frame, fd, err);
}

static int loader_answered(void *arg, unsigned i, struct msg *m, struct err *err)
{
    struct loading *l = arg;

    return answered(l, l->deleters.n + i, m, err);
}

static int loader_lost(void *arg, unsigned i, bool had_job, const char *why, struct err *err)
{
    struct loading *l = arg;

    close_file(&l->files[l->deleters.n + i]);
    return had_job ? put_back(l, &l->jobs[l->deleters.n + i], why, err) : 0;
}

static const struct crew_role loader_role = {
    .word = LOAD_LOADER,
    .title = "loader worker",
    .silence_option = "--worker-timeout",
    .configure = configure_loader,
    .left = loads_left,
    .next = next_load,
    .answered = loader_answered,
    .lost = loader_lost,
};

void loading_make_crews(struct loading *l)
{
    unsigned deleters = l->req.delete_jobs, loaders = l->req.load_jobs;

    l->jobs = mem_array(deleters + loaders, sizeof(*l->jobs));
    l->files = mem_array(deleters + loaders, sizeof(*l->files));
    memset(l->files, -1, (deleters + loaders) * sizeof(*l->files));
    crew_init(&l->deleters, &deleter_role, l, deleters, l->req.worker_timeout_ms);
    crew_init(&l->loaders, &loader_role, l, loaders, l->req.worker_timeout_ms);
}
