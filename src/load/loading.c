/*
 * What a kill leaves behind: shadows in schemas that are known to be ours (pg/shadow.h), which the
 * next copy of that name drops before it begins; chunks of a run that nobody will ask for. The name
 * itself is a lock of a session, and ends with it.
 */
#include "load/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/units.h"
#include "extract/filter.h"
#include "pg/record.h"
#include "pg/share.h"

#define TICK_MS 250

/* ---- open ---- */

int loading_open(const struct loading_request *req, struct loading **loading, struct err *err)
{
    struct loading *l = mem_alloc(sizeof(*l));
    char *title = mem_printf("asofs %s", req->name);
    struct pg_session session = {.application_name = title,
                                 .timezone = "UTC",
                                 .stop_fd = req->stop_fd,
                                 .connect_timeout_ms = req->worker_timeout_ms,
                                 .query_timeout_ms = req->worker_timeout_ms};
    int rc;

    l->req = *req;
    l->started = clock_ms();
    pg_target_init(&l->target, req->target);
    rc = pg_second_open(&l->conn, &l->target, &session, &l->server, err);
    if (rc == 0) {
        pg_conn_pin(l->conn, &l->target);
        rc = pg_record_prepare(l->conn, req->name, err);
    }
    if (rc == 0)
        rc = pg_share_withdraw(l->conn, req->name, err); /* of one that was killed */
    if (rc == 0)
        rc = loading_objects_open(l, err);
    free(title);
    if (rc < 0) {
        loading_close(l);
        l = NULL;
    }
    *loading = l;
    return rc < 0 ? err_prefix(err, "the second database") : 0;
}

int loading_choose(struct loading *l, const struct pg_selection *entries, size_t n,
                   struct pg_chosen *tables, size_t ntables, struct err *err)
{
    return pg_choose(l->conn, &l->server, entries, n, tables, ntables, err);
}

/* ---- begin ---- */

static void describe_table(const struct load_table *from, struct pg_snaptable *t)
{
    size_t i;

    *t = (struct pg_snaptable){.schema = from->target_schema,
                               .name = from->name,
                               .filter = from->filter,
                               .ncolumns = from->ncolumns};
    t->columns = mem_array(from->ncolumns, sizeof(*t->columns));
    for (i = 0; i < from->ncolumns; i++)
        t->columns[i] = (struct pg_snapcolumn){.name = from->columns[i].name,
                                               .type = from->columns[i].type,
                                               .generated = from->columns[i].generated};
}

static void describe_tables(struct loading *l)
{
    size_t i;

    l->tables = mem_array(l->list->n, sizeof(*l->tables));
    l->work = mem_array(l->list->n, sizeof(*l->work));
    for (i = 0; i < l->list->n; i++) {
        describe_table(&l->list->tables[i], &l->tables[i]);
        l->work[i].first_chunk = (uint32_t)l->nparts;
        l->nparts += l->list->tables[i].nparts;
    }
    l->parts = mem_array(l->nparts, sizeof(*l->parts));
}

/* A role need not be told the identifier; a primary and its standby did not start at once. */
static bool is_same_server(const struct load_list *list, const struct pg_server *s)
{
    const char *id = list->system_identifier, *started = list->server_started;

    if (id && *id && *s->system_identifier)
        return strcmp(id, s->system_identifier) == 0;
    return started && strcmp(started, s->started) == 0;
}

/* What was written to them since the moment of the copy would be lost. */
static int check_apart(const struct loading *l, struct err *err)
{
    const struct load_list *list = l->list;
    size_t i;

    if (!is_same_server(list, &l->server) || strcmp(list->database, l->server.database) != 0)
        return 0;
    for (i = 0; i < list->n; i++)
        if (strcmp(list->tables[i].schema, list->tables[i].target_schema) == 0)
            return err_set(
                err, EINVAL,
                "SOURCE and TARGET are the same database: %s.%s would be replaced by its "
                "own copy (--target-schema names another schema)",
                list->tables[i].schema, list->tables[i].name);
    return 0;
}

/* They may come from a directory that anybody wrote. */
static int check_filters(const struct loading *l, struct err *err)
{
    size_t i;

    for (i = 0; i < l->list->n; i++) {
        const struct load_table *t = &l->list->tables[i];

        if (t->filter && filter_check(t->filter, err) < 0)
            return err_prefix(err, "%s.%s", t->schema, t->name);
    }
    return 0;
}

static int make_missing(struct loading *l, struct err *err)
{
    int rc = pg_snaptable_check(l->conn, l->tables, l->list->n, l->req.create, err);

    if (rc == 0)
        rc = loading_check_forms(l, err);
    return rc < 0 ? rc : pg_snaptable_create(l->conn, l->tables, l->list->n, err);
}

static char **loaded_columns(const struct pg_snaptable *t, size_t *n)
{
    char **names = mem_array(t->ncolumns + 1, sizeof(*names));
    size_t i;

    *n = 0;
    for (i = 0; i < t->ncolumns; i++)
        if (!t->columns[i].skip)
            names[(*n)++] = (char *)(uintptr_t)t->columns[i].name;
    return names;
}

static int plan_shadows(struct loading *l, struct err *err)
{
    struct pg_shadow_table *tables = mem_array(l->list->n, sizeof(*tables));
    struct pg_shadow_list list = {.name = l->req.name,
                                  .mode = l->req.mode == LOADING_SWAP ? PG_PUBLISH_SWAP
                                                                      : PG_PUBLISH_ROWS,
                                  .unlogged = l->req.unlogged,
                                  .tables = tables,
                                  .n = l->list->n};
    size_t i;
    int rc;

    for (i = 0; i < l->list->n; i++) {
        size_t n;
        char **columns = loaded_columns(&l->tables[i], &n);

        tables[i] = (struct pg_shadow_table){.schema = l->tables[i].schema,
                                             .name = l->tables[i].name,
                                             .columns = columns,
                                             .ncolumns = n,
                                             .filter = l->tables[i].filter};
    }
    rc = pg_shadow_plan(l->conn, &list, &l->shadows, err);
    for (i = 0; i < l->list->n; i++)
        free((void *)(uintptr_t)tables[i].columns);
    free(tables);
    return rc;
}

static int make_shadow_schemas(struct loading *l, struct err *err)
{
    int rc = plan_shadows(l, err);

    if (rc == 0)
        rc = pg_shadow_refuse(l->conn, l->shadows, err);
    l->left_something = rc == 0;
    return rc < 0 ? rc : pg_shadow_schemas(l->conn, l->shadows, err);
}

static int write_list(struct loading *l, struct err *err)
{
    struct pg_record_table *tables = mem_array(l->list->n, sizeof(*tables));
    char *unlisted = NULL;
    size_t i;
    int rc;

    for (i = 0; i < l->list->n; i++) {
        const struct load_table *t = &l->list->tables[i];

        tables[i] = (struct pg_record_table){.schema = t->schema,
                                             .name = t->name,
                                             .target_schema = t->target_schema,
                                             .filter = t->filter,
                                             .parts = t->nparts};
    }
    rc = pg_record_list(l->conn, l->req.name, tables, l->list->n, l->list->n + l->nsteps, &l->run,
                        &unlisted, err);
    if (rc == 0 && unlisted && !l->req.quiet)
        log_note("an earlier copy of \"%s\" filled these, which are not listed now, are no part of "
                 "it any "
                 "more (another --name is for some of the tables), and stay as they are: %s",
                 l->req.name, unlisted);
    free(unlisted);
    free(tables);
    return rc;
}

/* ---- the gate ---- */

static int add_orders(struct loading *l, struct err *err)
{
    uint32_t(*pairs)[2] = NULL;
    size_t i, n;
    int rc = pg_snaptable_order(l->conn, l->tables, l->list->n, &pairs, &n, err);

    for (i = 0; i < n && rc == 0; i++) {
        uint32_t child = pairs[i][0], parent = pairs[i][1];

        l->work[parent].referred_to = true;
        if (child != parent) {
            gate_clear_after(l->gate, parent, child);
            gate_load_after(l->gate, child, parent);
        }
    }
    free(pairs);
    return rc;
}

static unsigned gate_phase(enum pg_shadow_phase phase)
{
    return phase < PG_SHADOW_REFER ? (unsigned)phase : GATE_PHASE_ALL + (unsigned)phase;
}

static int add_steps(struct loading *l, struct err *err)
{
    size_t i;
    int rc = pg_shadow_finish(l->conn, l->shadows, &l->steps, &l->nsteps, err);

    for (i = 0; i < l->nsteps && rc == 0; i++) {
        struct table_work *w = &l->work[l->steps[i].table];

        gate_add_step(l->gate, (uint32_t)l->steps[i].table, gate_phase(l->steps[i].phase));
        w->steps = mem_grow(w->steps, w->nsteps, &w->steps_room, sizeof(*w->steps));
        w->steps[w->nsteps++] = i;
    }
    return rc;
}

static int make_gate(struct loading *l, struct err *err)
{
    uint32_t i;

    l->gate = gate_new(l->list->n);
    for (i = 0; i < l->list->n; i++)
        gate_add_file(l->gate, &i, 1, l->list->tables[i].nparts);
    return l->req.mode == LOADING_INPLACE ? add_orders(l, err) : add_steps(l, err);
}

static char *drop_mask(const struct pg_snaptable *t)
{
    char *mask = mem_alloc(t->ncolumns + 1);
    size_t i;
    bool any = false;

    for (i = 0; i < t->ncolumns; i++) {
        mask[i] = t->columns[i].skip ? '1' : '0';
        any |= t->columns[i].skip;
    }
    if (!any)
        mask[0] = 0;
    return mask;
}

static int make_statements(struct loading *l, size_t i, struct err *err)
{
    const struct pg_snaptable *t = &l->tables[i];
    struct table_work *w = &l->work[i];
    const char *schema = l->shadows ? pg_shadow_schema(l->shadows, i) : t->schema;
    bool csv = l->list->format == PG_FORMAT_CSV && !l->req.direct;
    int rc = l->shadows ? pg_shadow_make(l->conn, l->shadows, i, &w->clear_sql, err)
                        : pg_snaptable_clear_sql(l->conn, t, w->referred_to, &w->clear_sql, err);

    w->format = l->list->format;
    if (l->req.direct)
        w->format = w->portable ? PG_FORMAT_BINARY : PG_FORMAT_TEXT;
    w->drop = l->req.direct ? mem_strdup("") : drop_mask(t);
    if (rc == 0)
        rc = pg_snaptable_copy_sql(l->conn, t, schema, w->format, l->list->encoding, csv,
                                   &w->first_copy_sql, err);
    if (rc == 0)
        rc = pg_snaptable_copy_sql(l->conn, t, schema, w->format, l->list->encoding, false,
                                   &w->copy_sql, err);
    return rc;
}

static int begin_objects(struct loading *l, struct err *err)
{
    size_t i;
    int rc = loading_objects_begin(l, err);

    for (i = 0; i < l->list->n; i++) {
        l->work[i].drop = mem_strdup("");
        l->work[i].format = l->list->format;
    }
    if (rc == 0)
        rc = write_list(l, err);
    if (rc == 0 && l->req.direct)
        loading_make_direct(l);
    if (rc == 0)
        loading_make_crews(l);
    return rc;
}

int loading_begin(struct loading *l, const struct load_list *list, struct err *err)
{
    size_t i;
    int rc;

    l->list = list;
    describe_tables(l);
    if (l->req.mode == LOADING_OBJECTS)
        return begin_objects(l, err);
    rc = check_apart(l, err);
    if (rc == 0)
        rc = check_filters(l, err);
    if (rc == 0)
        rc = pg_shadow_clear(l->conn, l->req.name, l->req.lock_timeout_ms, err);
    if (rc == 0)
        rc = make_missing(l, err);
    if (rc == 0 && l->req.mode != LOADING_INPLACE)
        rc = make_shadow_schemas(l, err);
    if (rc == 0)
        rc = make_gate(l, err);
    for (i = 0; i < list->n && rc == 0; i++)
        rc = make_statements(l, i, err);
    if (rc == 0)
        rc = write_list(l, err);
    if (rc == 0 && l->req.mode == LOADING_INPLACE) {
        rc = loading_label(l, "loading", err);
        l->labelled = rc == 0;
    }
    if (rc == 0 && l->req.direct)
        loading_make_direct(l);
    if (rc == 0)
        loading_make_crews(l);
    return rc;
}

/* ---- a turn ---- */

void loading_part(struct loading *l, size_t table, uint32_t part, const struct loading_place *p)
{
    l->parts[l->work[table].first_chunk + part] = (struct part_place){.fd = p->fd,
                                                                      .offset = p->offset,
                                                                      .len = p->len,
                                                                      .rows = p->rows,
                                                                      .checksum = p->checksum,
                                                                      .told = true};
    l->bytes_told += p->len;
    gate_part_complete(l->gate, (uint32_t)table, part);
}

bool loading_freed(struct loading *l, size_t *table, uint32_t *part)
{
    if (!l->nfreed)
        return false;
    l->nfreed--;
    *table = l->freed[l->nfreed].item;
    *part = l->freed[l->nfreed].part;
    return true;
}

bool loading_will_free(const struct loading *l)
{
    unsigned i;

    for (i = 0; i < l->loaders.n; i++)
        if (l->loaders.children[i].state == CHILD_BUSY)
            return true;
    return gate_waiting(l->gate, GATE_LOAD) || gate_left(l->gate, GATE_CLEAR);
}

bool loading_is_open(const struct loading *l, size_t table)
{
    return gate_is_open(l->gate, (uint32_t)table);
}

void loading_expect_rows(struct loading *l, size_t table, uint64_t rows)
{
    l->work[table].expected = rows;
    l->work[table].is_expected = true;
}

size_t loading_npolls(const struct loading *l)
{
    return 1 + l->deleters.n + l->loaders.n;
}

void loading_set_polls(const struct loading *l, struct pollfd *polls)
{
    polls[0] = (struct pollfd){.fd = pg_conn_socket(l->conn), .events = POLLIN};
    crew_set_polls(&l->deleters, polls + 1);
    crew_set_polls(&l->loaders, polls + 1 + l->deleters.n);
}

int loading_hear(struct loading *l, const struct pollfd *polls, struct err *err)
{
    int rc = 0;

    if (polls[0].revents)
        rc = pg_conn_check(l->conn, err);
    if (rc < 0)
        return err_prefix(err, "the connection that holds the name of the copy is lost");
    rc = crew_hear(&l->deleters, polls + 1, err);
    return rc < 0 ? rc : crew_hear(&l->loaders, polls + 1 + l->deleters.n, err);
}

int loading_work(struct loading *l, int64_t now, struct err *err)
{
    int rc = crew_work(&l->deleters, now, err);

    if (rc == 0)
        rc = loading_open_shared(l, err);
    if (rc == 0)
        rc = crew_work(&l->loaders, now, err);
    if (rc == 0 && !gate_left(l->gate, GATE_CLEAR))
        crew_end(&l->deleters);
    return rc;
}

bool loading_is_done(const struct loading *l)
{
    return !gate_left(l->gate, GATE_CLEAR) && !gate_left(l->gate, GATE_LOAD) &&
           !gate_left(l->gate, GATE_FINISH);
}

static void show_progress(struct loading *l)
{
    struct progress_state s = {.files = (unsigned)l->list->n,
                               .files_done = (unsigned)l->ntables_loaded,
                               .bytes = l->bytes_loaded,
                               .done = l->bytes_loaded,
                               .total = l->bytes_told};

    if (l->req.progress)
        progress_show(l->req.progress, &s, clock_ms());
}

int loading_run(struct loading *l, struct err *err)
{
    size_t n = loading_npolls(l) + 1;
    struct pollfd *polls = mem_array(n, sizeof(*polls));
    int rc = 0;

    while (rc == 0 && !loading_is_done(l)) {
        rc = l->req.look ? l->req.look(l->req.arg, l, err) : 0;
        if (rc == 0)
            rc = loading_work(l, clock_ms(), err);
        if (rc < 0)
            break;
        polls[0] = (struct pollfd){.fd = l->req.stop_fd, .events = POLLIN};
        loading_set_polls(l, polls + 1);
        if (poll(polls, n, TICK_MS) < 0 && errno != EINTR)
            rc = err_errno(err, "poll failed");
        else if (polls[0].revents)
            rc = err_set(err, EINTR, "interrupted");
        else
            rc = loading_hear(l, polls + 1, err);
        show_progress(l);
    }
    if (l->req.progress)
        progress_end(l->req.progress);
    free(polls);
    return rc;
}

/* ---- the end ---- */

static void free_work(struct table_work *w)
{
    free(w->clear_sql);
    free(w->first_copy_sql);
    free(w->copy_sql);
    free(w->drop);
    free(w->skip);
    free(w->steps);
}

/* What was left there is ours to take away, unless the connection is gone: then the next copy of
 * this name does it. */
static void take_away(struct loading *l)
{
    struct err err;

    pg_conn_set_stop_fd(l->conn, -1); /* also after an interruption, which ends it no more */
    pg_conn_set_patience(l->conn, l->req.worker_timeout_ms);
    if (l->shared && pg_share_withdraw(l->conn, l->req.name, &err) < 0)
        log_debug("who has joined: %s", err.text);
    if (l->run && pg_record_forget_chunks(l->conn, l->req.name, l->run, &err) < 0)
        log_debug("chunks: %s", err.text);
    if (l->left_something && !l->published &&
        pg_shadow_clear(l->conn, l->req.name, l->req.lock_timeout_ms, &err) < 0)
        log_note(
            "the shadow tables of this copy could not be dropped; the next copy of \"%s\" does "
            "it: %s",
            l->req.name, err.text);
    if (l->req.mode == LOADING_OBJECTS && l->run)
        loading_objects_end(l);
    if (l->labelled && !l->published && loading_label(l, "failed", &err) < 0)
        log_note("asofs.view could not be told that the copy has failed: %s", err.text);
}

void loading_close(struct loading *l)
{
    size_t i;

    if (!l)
        return;
    for (i = 0; l->files && i < l->deleters.n + l->loaders.n; i++)
        if (l->files[i] >= 0)
            close(l->files[i]);
    crew_free(&l->deleters);
    crew_free(&l->loaders);
    if (l->conn && l->list)
        take_away(l);
    for (i = 0; l->list && l->work && i < l->list->n; i++) {
        free_work(&l->work[i]);
        free(l->tables[i].columns);
    }
    pg_shadow_free_jobs(l->steps, l->nsteps);
    pg_shadow_free(l->shadows);
    pg_conn_close(l->conn);
    pg_server_free(&l->server);
    pg_target_free(&l->target);
    gate_free(l->gate);
    free(l->tables);
    free(l->work);
    free(l->parts);
    free(l->direct_tables);
    free(l->shut);
    free(l->files);
    free(l->jobs);
    free(l->freed);
    free(l);
}

void loading_print_summary(const struct loading *l)
{
    char size[32];

    if (l->req.quiet)
        return;
    log_note("\"%s\" is current: %zu table%s, %llu rows, %s in %.1f s", l->req.name, l->list->n,
             units_s(l->list->n), (unsigned long long)l->rows_loaded,
             units_format_size(l->bytes_loaded, size, sizeof(size)),
             (double)(clock_ms() - l->started) / 1000);
}
