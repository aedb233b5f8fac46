#include "load/intosource.h"

#include <errno.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/crew.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/units.h"
#include "load/gate.h"
#include "load/protocol.h"
#include "load/settle.h"
#include "load/worker.h"
#include "pg/intosource.h"
#include "pg/publish.h"
#include "pg/record.h"
#include "pg/snaptable.h"

#define TICK_MS 250

struct into_table {
    size_t table; /* number in the catalog */
    uint64_t rows;
    char *analyze_sql;
    bool told; /* that it is loaded */
};

struct intosource {
    const struct intosource_request *req;
    struct pg_target target;
    struct pg_conn *conn; /* holds the name of the copy */
    int64_t run;
    char *schema;              /* of the new tables */
    struct into_table *tables; /* the largest first; as the items of the gate */
    size_t n;
    struct gate *gate;
    struct crew crew;
    struct gate_job *jobs; /* in work, of each worker */
    bool begun, released, published;
    uint64_t rows, done, total; /* done, total: estimated bytes */
    size_t ntables_loaded;
    int64_t started;
    struct progress progress;
};

static const struct pg_table *table_of(const struct intosource *x, uint32_t item)
{
    return &x->req->catalog->tables[x->tables[item].table];
}

static const struct chunk *chunk_of(const struct intosource *x, const struct gate_job *job)
{
    const struct plan *p = x->req->plan;

    return &p->chunks[p->first[x->tables[job->item].table] + job->part];
}

/* ---- jobs are handed out ---- */

static int configure_inserter(void *arg, unsigned i, struct buf *first, int *fd, struct err *err)
{
    struct intosource *x = arg;
    struct load_config config = {
        .number = i + 1,
        .target = x->target,
        .name = (char *)(uintptr_t)x->req->name,
        .role = (char *)(uintptr_t)LOAD_INSERTER,
        .run = (uint64_t)x->run,
        .timezone = (char *)(uintptr_t)x->req->timezone,
        .snapshot_id = (char *)(uintptr_t)x->req->snapshot_id,
        .timeout_ms = (uint64_t)x->req->worker_timeout_ms,
        .lock_timeout_ms = (uint64_t)x->req->lock_timeout_ms,
        .debug = log_get_level() == LOG_LEVEL_DEBUG,
    };

    (void)fd, (void)err;
    load_put_config(first, &config);
    return 0;
}

static size_t jobs_left(void *arg)
{
    struct intosource *x = arg;
    size_t left = gate_waiting(x->gate, GATE_LOAD) + gate_waiting(x->gate, GATE_FINISH);
    unsigned i;

    for (i = 0; i < x->crew.n; i++)
        left += x->crew.children[i].state == CHILD_BUSY;
    return left;
}

static int insert_sql(struct intosource *x, const struct gate_job *job, char **sql, struct err *err)
{
    const struct chunk *k = chunk_of(x, job);
    struct pg_copy_source from = {.table = table_of(x, job->item),
                                  .rel = plan_relation(x->req->catalog, k),
                                  .range = k->range};

    return pg_insert_sql(x->conn, &from, x->schema, sql, err);
}

static int put_job(struct intosource *x, const struct gate_job *job, struct buf *frame,
                   struct err *err)
{
    struct load_job m = {.kind = job->kind, .item = job->item, .part = job->part};
    char *sql = NULL;
    int rc = 0;

    if (job->kind == GATE_LOAD) {
        rc = insert_sql(x, job, &sql, err);
        m.chunk = (uint32_t)(chunk_of(x, job) - x->req->plan->chunks);
        m.sql = sql;
    } else {
        m.sql = x->tables[job->item].analyze_sql;
    }
    m.table = table_of(x, job->item)->rel.name;
    m.schema = x->schema;
    if (rc == 0)
        load_put_job(frame, &m);
    free(sql);
    return rc < 0 ? rc : 1;
}

static int next_job(void *arg, unsigned i, struct buf *frame, int *fd, struct err *err)
{
    struct intosource *x = arg;

    (void)fd;
    if (!gate_take(x->gate, GATE_LOAD, &x->jobs[i]) &&
        !gate_take(x->gate, GATE_FINISH, &x->jobs[i]))
        return 0;
    return put_job(x, &x->jobs[i], frame, err);
}

/* ---- and answered ---- */

static int put_back(struct intosource *x, const struct gate_job *job, const char *why,
                    struct err *err)
{
    const struct pg_relation *rel = &table_of(x, job->item)->rel;

    if (gate_put_back(x->gate, job))
        return 0;
    return err_set(err, EIO, "%s.%s: given up after %d tries: %s", rel->schema, rel->name,
                   GATE_MAX_TRIES, why);
}

static int tell_loaded(struct intosource *x, uint32_t item, struct err *err)
{
    struct into_table *t = &x->tables[item];
    char *schema;
    int rc;

    if (t->told || !gate_is_loaded(x->gate, item))
        return 0;
    t->told = true;
    x->ntables_loaded++;
    schema = mem_printf("asofs_%s", x->req->name);
    rc = pg_record_loaded(x->conn, x->req->name, x->run, schema, table_of(x, item)->rel.name,
                          t->rows, NULL, err);
    free(schema);
    return rc;
}

static int job_done(struct intosource *x, const struct gate_job *job, uint64_t rows,
                    struct err *err)
{
    if (job->kind == GATE_LOAD) {
        x->tables[job->item].rows += rows;
        x->rows += rows;
        x->done += chunk_of(x, job)->weight;
    }
    gate_done(x->gate, job);
    return tell_loaded(x, job->item, err);
}

static int take_answer(struct intosource *x, const struct gate_job *job, uint32_t type,
                       const struct load_answer *a, struct err *err)
{
    const struct pg_relation *rel = &table_of(x, job->item)->rel;
    int rc;

    switch (type) {
    case LOAD_PROGRESS:
        return CREW_GOES_ON;
    case LOAD_DONE:
        rc = job_done(x, job, a->rows, err);
        return rc < 0 ? rc : CREW_RESTS;
    case LOAD_BUSY:
        rc = put_back(x, job, a->text, err);
        return rc < 0 ? rc : CREW_RESTS;
    case LOAD_FAILED:
        return err_set(err, (int)a->code, "%s.%s: %s", rel->schema, rel->name, a->text);
    default:
        return CREW_NONSENSE;
    }
}

static int inserter_answered(void *arg, unsigned i, struct msg *m, struct err *err)
{
    struct intosource *x = arg;
    struct load_answer a = {0};
    int rc = load_get_answer(&m->body, &a) ? take_answer(x, &x->jobs[i], m->type, &a, err)
                                           : CREW_NONSENSE;

    load_answer_free(&a);
    return rc;
}

static int lost(void *arg, unsigned i, bool had_job, const char *why, struct err *err)
{
    struct intosource *x = arg;

    return had_job ? put_back(x, &x->jobs[i], why, err) : 0;
}

static const struct crew_role role = {
    .word = LOAD_INSERTER,
    .title = "insert worker",
    .silence_option = "--worker-timeout",
    .configure = configure_inserter,
    .left = jobs_left,
    .next = next_job,
    .answered = inserter_answered,
    .lost = lost,
};

/* ---- begin ---- */

static int open_source(struct intosource *x, struct err *err)
{
    char *title = mem_printf("asofs %s", x->req->name);
    struct pg_session session = {.application_name = title,
                                 .timezone = "UTC",
                                 .stop_fd = x->req->stop_fd,
                                 .connect_timeout_ms = x->req->worker_timeout_ms,
                                 .query_timeout_ms = x->req->worker_timeout_ms};
    int rc = pg_second_open(&x->conn, x->req->source, &session, NULL, err);

    free(title);
    if (rc == 0)
        rc = pg_record_prepare(x->conn, x->req->name, err);
    return rc < 0 ? err_prefix(err, "--into=source") : 0;
}

static int write_list(struct intosource *x, struct err *err)
{
    const struct pg_catalog *c = x->req->catalog;
    struct pg_record_table *tables = mem_array(c->ntables, sizeof(*tables));
    char *schema = mem_printf("asofs_%s", x->req->name), *unlisted = NULL;
    size_t i;
    int rc;

    /* No rows of asofs.chunk: who claims one writes it. */
    for (i = 0; i < c->ntables; i++)
        tables[i] = (struct pg_record_table){.schema = c->tables[i].rel.schema,
                                             .name = c->tables[i].rel.name,
                                             .target_schema = schema,
                                             .filter = c->tables[i].filter};
    rc = pg_record_list(x->conn, x->req->name, tables, c->ntables, 0, &x->run, &unlisted, err);
    if (rc == 0 && unlisted && !x->req->quiet)
        log_note("an earlier copy of \"%s\" filled these, which are not listed now; those in "
                 "schema %s go when this copy is current: %s",
                 x->req->name, schema, unlisted);
    free(unlisted);
    free(schema);
    free(tables);
    return rc;
}

/* Tables in the order of the plan, which has the largest first. */
static void order_tables(struct intosource *x)
{
    const struct plan *p = x->req->plan;
    bool *seen = mem_array(p->ntables + 1, sizeof(*seen));
    size_t k;

    x->tables = mem_array(p->ntables + 1, sizeof(*x->tables));
    for (k = 0; k < p->nchunks; k++) {
        uint32_t table = p->chunks[p->order[k]].table;

        if (!seen[table])
            x->tables[x->n++].table = table;
        seen[table] = true;
    }
    free(seen);
}

static int make_gate(struct intosource *x, struct err *err)
{
    struct gate_job job;
    uint32_t i, k, parts;
    int rc = 0;

    x->gate = gate_new(x->n);
    for (i = 0; i < x->n && rc == 0; i++) {
        gate_add_file(x->gate, &i, 1,
                      (uint32_t)plan_table_chunks(x->req->plan, x->tables[i].table));
        gate_add_step(x->gate, i, 0);
        rc = pg_into_analyze_sql(x->conn, x->schema, table_of(x, i)->rel.name,
                                 &x->tables[i].analyze_sql, err);
    }
    while (gate_take(x->gate, GATE_CLEAR, &job))
        gate_done(x->gate, &job); /* they are new */
    for (i = 0; i < x->n; i++) {
        parts = (uint32_t)plan_table_chunks(x->req->plan, x->tables[i].table);
        for (k = 0; k < parts; k++)
            gate_part_complete(x->gate, i, k);
    }
    return rc;
}

static int begin_tables(struct intosource *x, struct err *err)
{
    const struct intosource_request *r = x->req;
    int rc = pg_shadow_clear(x->conn, r->name, r->lock_timeout_ms, err);

    if (rc == 0)
        rc = pg_into_prepare(x->conn, r->name, r->catalog, err);
    if (rc == 0)
        rc = write_list(x, err);
    if (rc < 0)
        return rc;
    x->begun = true;
    rc = pg_into_make(x->conn, r->name, x->run, r->catalog, r->lock_timeout_ms, &x->schema, err);
    order_tables(x);
    if (rc == 0)
        rc = make_gate(x, err);
    if (rc == 0) {
        x->total = r->plan->weight;
        x->jobs = mem_array(r->jobs, sizeof(*x->jobs));
        crew_init(&x->crew, &role, x, r->jobs, r->worker_timeout_ms);
    }
    return rc;
}

/* ---- the loop ---- */

static int look_after_source(struct intosource *x, struct err *err)
{
    if (x->released)
        return 0;
    if (gate_left(x->gate, GATE_LOAD))
        return x->req->held(x->req->arg, err);
    x->released = true;
    return x->req->release(x->req->arg, err);
}

static int hear_inserters(struct intosource *x, const struct pollfd *polls, struct err *err)
{
    int rc = 0;

    if (polls[0].revents)
        return err_set(err, EINTR, "interrupted");
    if (polls[1].revents)
        rc = pg_conn_check(x->conn, err);
    if (rc < 0)
        return err_prefix(err, "the connection that holds the name of the copy is lost");
    return crew_hear(&x->crew, polls + 2, err);
}

static void show_progress(struct intosource *x)
{
    struct progress_state s = {.files = (unsigned)x->n,
                               .files_done = (unsigned)x->ntables_loaded,
                               .bytes = x->done,
                               .done = x->done,
                               .total = x->total};

    progress_show(&x->progress, &s, clock_ms());
}

static int insert_turn(struct intosource *x, struct pollfd *polls, struct err *err)
{
    int rc = look_after_source(x, err);

    if (rc == 0)
        rc = crew_work(&x->crew, clock_ms(), err);
    if (rc < 0)
        return rc;
    polls[0] = (struct pollfd){.fd = x->req->stop_fd, .events = POLLIN};
    polls[1] = (struct pollfd){.fd = pg_conn_socket(x->conn), .events = POLLIN};
    crew_set_polls(&x->crew, polls + 2);
    if (poll(polls, 2 + x->crew.n, TICK_MS) < 0 && errno != EINTR)
        return err_errno(err, "poll failed");
    show_progress(x);
    return hear_inserters(x, polls, err);
}

static int fill_tables(struct intosource *x, struct err *err)
{
    struct pollfd *polls = mem_array(2 + x->crew.n, sizeof(*polls));
    int rc = 0;

    progress_start(&x->progress, x->req->quiet);
    while (rc == 0 && (gate_left(x->gate, GATE_LOAD) || gate_left(x->gate, GATE_FINISH)))
        rc = insert_turn(x, polls, err);
    progress_end(&x->progress);
    free(polls);
    if (rc == 0)
        rc = look_after_source(x, err);
    if (rc == 0)
        crew_end(&x->crew);
    return rc;
}

/* ---- the end ---- */

static int publish_tables(struct intosource *x, struct err *err)
{
    const struct intosource_request *r = x->req;
    struct pg_label label = {.name = r->name,
                             .state = "current",
                             .moment = r->moment,
                             .lsn = r->lsn,
                             .source = r->description,
                             .tables = (int64_t)x->n,
                             .rows = (int64_t)x->rows};
    struct settle_request settle = {.target = &x->target,
                                    .name = r->name,
                                    .timeout_ms = r->worker_timeout_ms,
                                    .stop_fd = r->stop_fd};
    int rc = pg_publish_into(x->conn, x->schema, &label, r->publish_timeout_ms, err);

    if (rc < 0)
        rc = settle_publish(&x->conn, &settle, rc, err);
    if (rc < 0)
        return rc;
    x->published = true;
    if (!r->quiet)
        log_note("\"%s\" is current: %zu table%s in schema asofs_%s, %llu rows, in %.1f s", r->name,
                 x->n, units_s(x->n), r->name, (unsigned long long)x->rows,
                 (double)(clock_ms() - x->started) / 1000);
    return 0;
}

/* What was left there is ours to take away, unless the connection is gone: then the next copy of
 * this name does it. */
static void take_away(struct intosource *x)
{
    struct err err;

    pg_conn_set_stop_fd(x->conn, -1); /* also after an interruption */
    if (pg_record_forget_chunks(x->conn, x->req->name, x->run, &err) < 0)
        log_debug("chunks: %s", err.text);
    if (!x->published && pg_shadow_clear(x->conn, x->req->name, x->req->lock_timeout_ms, &err) < 0)
        log_note("the new tables of this copy could not be dropped; the next copy of \"%s\" does "
                 "it: %s",
                 x->req->name, err.text);
}

static void close_all(struct intosource *x)
{
    size_t i;

    crew_free(&x->crew);
    if (x->conn && x->begun)
        take_away(x);
    pg_conn_close(x->conn);
    for (i = 0; i < x->n; i++)
        free(x->tables[i].analyze_sql);
    gate_free(x->gate);
    free(x->tables);
    free(x->jobs);
    free(x->schema);
}

int intosource_run(const struct intosource_request *req, struct err *err)
{
    struct intosource x = {.req = req, .target = *req->source, .started = clock_ms()};
    int rc = open_source(&x, err);

    if (rc == 0)
        rc = begin_tables(&x, err);
    if (rc == 0)
        rc = fill_tables(&x, err);
    if (rc == 0)
        rc = publish_tables(&x, err);
    close_all(&x);
    return rc;
}
