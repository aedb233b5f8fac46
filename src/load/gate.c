/*
 * Each job counts what it still waits for; an event takes one from the count of those it may set
 * free, and a job whose count is 0 goes into the queue of its kind. So no event looks at everything.
 */
#include "load/gate.h"

#include <stdlib.h>

#include "common/mem.h"

struct numbers {
    uint32_t *list;
    size_t n, room;
};

struct part {
    bool complete, offered, done;
    unsigned tries;
};

struct file {
    struct numbers feeds; /* tables */
    struct part *parts;
    uint32_t nparts, left;
};

struct step {
    unsigned phase;
    bool queued, done;
    unsigned tries;
};

struct table {
    bool cleared, loaded;
    unsigned clear_tries;
    size_t clear_waits;                   /* tables that have to be cleared before */
    size_t load_waits;                    /* tables that have to be loaded before */
    size_t files_left;                    /* that feed it and are not loaded whole */
    struct numbers clear_next, load_next; /* tables that wait for this one */
    struct numbers files;
    struct step *steps;
    size_t nsteps, steps_room, steps_left;
};

struct queue {
    struct gate_job *jobs; /* the next one is the last */
    size_t n, room;
};

struct gate {
    struct table *tables;
    size_t ntables;
    struct file *files;
    size_t nfiles, files_room;
    struct queue queues[GATE_KINDS];
    struct queue
        later[GATE_KINDS]; /* came since the last was taken: turned round when queues is empty */
    size_t left[GATE_KINDS];
    size_t phase_left[GATE_PHASES]; /* steps of each, of all tables */
    bool begun;
};

static void add_number(struct numbers *a, uint32_t v)
{
    a->list = mem_grow(a->list, a->n, &a->room, sizeof(*a->list));
    a->list[a->n++] = v;
}

static void queue_push(struct queue *q, struct gate_job job)
{
    q->jobs = mem_grow(q->jobs, q->n, &q->room, sizeof(*q->jobs));
    q->jobs[q->n++] = job;
}

static void offer(struct gate *g, enum gate_kind kind, uint32_t item, uint32_t part)
{
    queue_push(&g->later[kind], (struct gate_job){.kind = kind, .item = item, .part = part});
}

struct gate *gate_new(size_t ntables)
{
    struct gate *g = mem_alloc(sizeof(*g));

    g->tables = mem_array(ntables, sizeof(*g->tables));
    g->ntables = ntables;
    g->left[GATE_CLEAR] = ntables;
    return g;
}

void gate_free(struct gate *g)
{
    size_t i;

    if (!g)
        return;
    for (i = 0; i < g->ntables; i++) {
        free(g->tables[i].clear_next.list);
        free(g->tables[i].load_next.list);
        free(g->tables[i].files.list);
        free(g->tables[i].steps);
    }
    for (i = 0; i < g->nfiles; i++) {
        free(g->files[i].feeds.list);
        free(g->files[i].parts);
    }
    for (i = 0; i < GATE_KINDS; i++) {
        free(g->queues[i].jobs);
        free(g->later[i].jobs);
    }
    free(g->tables);
    free(g->files);
    free(g);
}

uint32_t gate_add_file(struct gate *g, const uint32_t *tables, size_t n, uint32_t parts)
{
    uint32_t number = (uint32_t)g->nfiles;
    struct file *f;
    size_t i;

    g->files = mem_grow(g->files, g->nfiles, &g->files_room, sizeof(*g->files));
    f = &g->files[g->nfiles++];
    *f = (struct file){.nparts = parts, .left = parts};
    f->parts = mem_array(parts, sizeof(*f->parts));
    g->left[GATE_LOAD] += parts;
    for (i = 0; i < n; i++) {
        add_number(&f->feeds, tables[i]);
        add_number(&g->tables[tables[i]].files, number);
        g->tables[tables[i]].files_left += parts > 0;
    }
    return number;
}

uint32_t gate_add_step(struct gate *g, uint32_t table, unsigned phase)
{
    struct table *t = &g->tables[table];

    t->steps = mem_grow(t->steps, t->nsteps, &t->steps_room, sizeof(*t->steps));
    t->steps[t->nsteps++] = (struct step){.phase = phase};
    t->steps_left++;
    g->left[GATE_FINISH]++;
    g->phase_left[phase]++;
    return (uint32_t)t->nsteps - 1;
}

/* ---- orders ---- */

static bool reaches(const struct gate *g, bool clear, uint32_t from, uint32_t to, bool *seen)
{
    const struct numbers *next = clear ? &g->tables[from].clear_next : &g->tables[from].load_next;
    size_t i;

    if (from == to)
        return true;
    if (seen[from])
        return false;
    seen[from] = true;
    for (i = 0; i < next->n; i++)
        if (reaches(g, clear, next->list[i], to, seen))
            return true;
    return false;
}

static bool add_order(struct gate *g, bool clear, uint32_t table, uint32_t other)
{
    bool *seen = mem_array(g->ntables, sizeof(*seen));
    bool circle = reaches(g, clear, table, other, seen);

    free(seen);
    if (circle)
        return false;
    if (clear) {
        add_number(&g->tables[other].clear_next, table);
        g->tables[table].clear_waits++;
    } else {
        add_number(&g->tables[other].load_next, table);
        g->tables[table].load_waits++;
    }
    return true;
}

bool gate_clear_after(struct gate *g, uint32_t table, uint32_t other)
{
    return add_order(g, true, table, other);
}

bool gate_load_after(struct gate *g, uint32_t table, uint32_t other)
{
    return add_order(g, false, table, other);
}

/* ---- what may begin ---- */

static bool is_open(const struct gate *g, const struct file *f)
{
    size_t i;

    for (i = 0; i < f->feeds.n; i++) {
        const struct table *t = &g->tables[f->feeds.list[i]];

        if (!t->cleared || t->load_waits)
            return false;
    }
    return true;
}

static void offer_part(struct gate *g, uint32_t file, uint32_t part)
{
    struct part *p = &g->files[file].parts[part];

    if (!p->complete || p->offered || !is_open(g, &g->files[file]))
        return;
    p->offered = true;
    offer(g, GATE_LOAD, file, part);
}

static void offer_files(struct gate *g, const struct table *t)
{
    size_t i;
    uint32_t p;

    for (i = 0; i < t->files.n; i++)
        for (p = 0; p < g->files[t->files.list[i]].nparts; p++)
            offer_part(g, t->files.list[i], p);
}

/* Everything is loaded, and no step of a lower phase is left, of whichever table. */
static bool all_have_come_to(const struct gate *g, unsigned phase)
{
    unsigned p;

    for (p = 0; p < phase; p++)
        if (g->phase_left[p])
            return false;
    return !g->left[GATE_LOAD] && !g->left[GATE_CLEAR];
}

static unsigned lowest_phase(const struct table *t)
{
    unsigned lowest = GATE_PHASES;
    size_t i;

    for (i = 0; i < t->nsteps; i++)
        if (!t->steps[i].done && t->steps[i].phase < lowest)
            lowest = t->steps[i].phase;
    return lowest;
}

static void offer_steps(struct gate *g, uint32_t table)
{
    struct table *t = &g->tables[table];
    unsigned phase = lowest_phase(t);
    uint32_t i;

    if (!t->loaded || phase == GATE_PHASES)
        return;
    if (phase >= GATE_PHASE_ALL && !all_have_come_to(g, phase))
        return;
    for (i = 0; i < t->nsteps; i++) {
        if (t->steps[i].phase != phase || t->steps[i].queued)
            continue;
        t->steps[i].queued = true;
        offer(g, GATE_FINISH, table, i);
    }
}

static void offer_all_steps(struct gate *g)
{
    uint32_t i;

    for (i = 0; i < g->ntables; i++)
        offer_steps(g, i);
}

/* A table is loaded when it is cleared and no part of its files is missing. */
static void note_loaded(struct gate *g, uint32_t table)
{
    struct table *t = &g->tables[table];
    size_t i;

    if (t->loaded || !t->cleared || t->load_waits || t->files_left)
        return;
    t->loaded = true;
    for (i = 0; i < t->load_next.n; i++) {
        struct table *next = &g->tables[t->load_next.list[i]];

        if (--next->load_waits == 0) {
            offer_files(g, next);
            note_loaded(g, t->load_next.list[i]);
        }
    }
    offer_steps(g, table);
}

static void begin(struct gate *g)
{
    uint32_t i;

    if (g->begun)
        return;
    g->begun = true;
    for (i = 0; i < g->ntables; i++)
        if (!g->tables[i].clear_waits)
            offer(g, GATE_CLEAR, i, 0);
}

/* ---- events ---- */

void gate_part_complete(struct gate *g, uint32_t file, uint32_t part)
{
    begin(g);
    g->files[file].parts[part].complete = true;
    offer_part(g, file, part);
}

static void table_cleared(struct gate *g, uint32_t table)
{
    struct table *t = &g->tables[table];
    size_t i;

    t->cleared = true;
    for (i = 0; i < t->clear_next.n; i++)
        if (--g->tables[t->clear_next.list[i]].clear_waits == 0)
            offer(g, GATE_CLEAR, t->clear_next.list[i], 0);
    offer_files(g, t);
    note_loaded(g, table);
}

static void part_loaded(struct gate *g, uint32_t file, uint32_t part)
{
    struct file *f = &g->files[file];
    size_t i;

    f->parts[part].done = true;
    if (--f->left)
        return;
    for (i = 0; i < f->feeds.n; i++) {
        g->tables[f->feeds.list[i]].files_left--;
        note_loaded(g, f->feeds.list[i]);
    }
}

static void step_done(struct gate *g, uint32_t table, uint32_t step)
{
    struct table *t = &g->tables[table];

    t->steps[step].done = true;
    t->steps_left--;
    if (--g->phase_left[t->steps[step].phase] == 0)
        offer_all_steps(g);
    else
        offer_steps(g, table);
}

void gate_done(struct gate *g, const struct gate_job *job)
{
    g->left[job->kind]--;
    switch (job->kind) {
    case GATE_CLEAR:
        table_cleared(g, job->item);
        break;
    case GATE_LOAD:
        part_loaded(g, job->item, job->part);
        break;
    case GATE_FINISH:
        step_done(g, job->item, job->part);
        break;
    }
    if (job->kind != GATE_FINISH && !g->left[GATE_LOAD] && !g->left[GATE_CLEAR])
        offer_all_steps(g);
}

static unsigned *tries_of(struct gate *g, const struct gate_job *job)
{
    switch (job->kind) {
    case GATE_CLEAR:
        return &g->tables[job->item].clear_tries;
    case GATE_LOAD:
        return &g->files[job->item].parts[job->part].tries;
    default:
        return &g->tables[job->item].steps[job->part].tries;
    }
}

bool gate_put_back(struct gate *g, const struct gate_job *job)
{
    if (++*tries_of(g, job) >= GATE_MAX_TRIES)
        return false;
    queue_push(&g->queues[job->kind], *job);
    return true;
}

/* ---- jobs ---- */

bool gate_take(struct gate *g, enum gate_kind kind, struct gate_job *job)
{
    struct queue *q = &g->queues[kind], *later = &g->later[kind];

    begin(g);
    if (!q->n)
        while (later->n)
            queue_push(q, later->jobs[--later->n]);
    if (!q->n)
        return false;
    *job = q->jobs[--q->n];
    return true;
}

size_t gate_left(const struct gate *g, enum gate_kind kind)
{
    return g->left[kind];
}

size_t gate_waiting(struct gate *g, enum gate_kind kind)
{
    begin(g);
    return g->queues[kind].n + g->later[kind].n;
}

bool gate_is_open(struct gate *g, uint32_t file)
{
    begin(g);
    return is_open(g, &g->files[file]);
}

bool gate_is_cleared(const struct gate *g, uint32_t table)
{
    return g->tables[table].cleared;
}

bool gate_is_loaded(const struct gate *g, uint32_t table)
{
    return g->tables[table].loaded;
}

bool gate_is_finished(const struct gate *g, uint32_t table)
{
    return g->tables[table].loaded && !g->tables[table].steps_left;
}
