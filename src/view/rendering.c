/*
 * A table is measured by whichever thread finds it first in the queue; threads that have nothing to do
 * help with one that is being measured (render/lines.h hands out runs of blocks). The queue has two
 * ends: what somebody waits for goes to the front, and a thread leaves what takes long for it: that goes
 * back to the end, and on from where it was.
 *
 * What is remembered of a table (lengths.h) is as good as a measurement. What is new is written down when
 * nothing is left to be measured, or by the last thread that ends: they alone have entered as the owner.
 *
 * A table's files are looked up when it is measured, so what nobody asks for costs nothing.
 */
#include "view/rendering.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/log.h"
#include "common/mem.h"
#include "common/proc.h"
#include "render/zone.h"
#include "view/internal.h"
#include "view/rendered.h"

#define LITTLE (UINT64_C(8) << 20) /* bytes of heap: measured before it is asked for */
#define RECENT 16
#define EARLY (UINT64_C(16) << 20)           /* bytes that are read, but not in order: sum.h */
#define WAIT_NS 100000000                    /* between two looks for a stop */
#define COPY_SPEED UINT64_C(100000000)       /* bytes of heap a second, through the server */
#define CHECKPOINT_SPEED UINT64_C(250000000) /* bytes of log a second */
#define CHECKPOINT_MS UINT64_C(400)          /* of any, and of the pages' opening */

/* The figures are of two cores and a disk of the ordinary sort; where they do not hold, it takes somewhat
 * longer. */
bool rendering_pays(uint64_t bytes, uint64_t replayed)
{
    uint64_t copy = bytes * 1000 / COPY_SPEED;

    return !replayed || copy > CHECKPOINT_MS + replayed * 1000 / CHECKPOINT_SPEED;
}

enum step { IDLE, QUEUED, TAKEN, SETTLED };

struct measured {             /* a table that is rendered */
    struct rendered rendered; /* first */
    enum step progress;       /* protected by the lock, as is what follows */
    struct measured *next;    /* in the queue */
    bool urgent;              /* it is there because somebody waits for it */
};

struct added {                /* a snapshot */
    struct measured **tables; /* by number; NULL: copied */
    size_t n;
    struct render_zone *zone;
};

struct rendering {
    struct rendered_from from;
    struct lengths *lengths; /* NULL: nothing is remembered */
    uint64_t base_id;
    struct render_memory *memory, *early;
    struct added *snapshots;
    size_t n;

    pthread_t *threads;
    unsigned nthreads, running;
    atomic_bool stop;
    atomic_bool leave; /* what is being measured: `stop`, or something is urgent */

    pthread_mutex_t lock;            /* protects what follows */
    pthread_cond_t more;             /* there is something to do, or `stop` is set */
    pthread_cond_t less;             /* something was done */
    struct measured *first, *last;   /* the queue */
    size_t urgent;                   /* of those in it */
    struct measured **helped;        /* by thread: the table that it measures; NULL: none */
    size_t open;                     /* tables that are queued or being measured */
    unsigned active;                 /* threads that have not ended */
    struct err failed;               /* of the first that failed; code 0: none has */
    struct rendered *recent[RECENT]; /* that were read: note_read */
    size_t next_recent;
};

/* ---- the queue; under the lock ---- */

static void put_last(struct rendering *r, struct measured *t)
{
    t->next = NULL;
    if (r->last)
        r->last->next = t;
    else
        r->first = t;
    r->last = t;
}

static void put_first(struct rendering *r, struct measured *t)
{
    t->next = r->first;
    r->first = t;
    if (!r->last)
        r->last = t;
}

static void set_urgent(struct rendering *r, struct measured *t, bool urgent)
{
    r->urgent += urgent;
    r->urgent -= t->urgent;
    t->urgent = urgent;
    atomic_store(&r->leave, atomic_load(&r->stop) || r->urgent);
}

static void take_out(struct rendering *r, struct measured *t)
{
    struct measured **at = &r->first, *before = NULL;

    while (*at && *at != t) {
        before = *at;
        at = &(*at)->next;
    }
    if (!*at)
        return;
    *at = t->next;
    if (r->last == t)
        r->last = before;
    set_urgent(r, t, false);
}

static struct measured *take_first(struct rendering *r)
{
    struct measured *t = r->first;

    if (!t)
        return NULL;
    take_out(r, t);
    t->progress = TAKEN;
    return t;
}

/* Measured once, whoever asks. */
static void want(struct rendering *r, struct measured *t, bool now)
{
    if (t->progress >= TAKEN || (t->progress == QUEUED && !now))
        return;
    if (t->progress == QUEUED)
        take_out(r, t);
    else
        r->open++;
    t->progress = QUEUED;
    if (now)
        put_first(r, t);
    else
        put_last(r, t);
    set_urgent(r, t, now);
    pthread_cond_signal(&r->more);
}

void rendering_prefer(struct rendering *r, size_t snapshot, uint32_t table)
{
    pthread_mutex_lock(&r->lock);
    want(r, r->snapshots[snapshot].tables[table], true);
    pthread_mutex_unlock(&r->lock);
}

/* ---- readers ---- */

/* What readers leave of a table for those who come next is memory: few tables have it. */
static void note_read(void *rendering, struct rendered *t)
{
    struct rendering *r = rendering;
    struct rendered *oldest = NULL;
    size_t i;

    pthread_mutex_lock(&r->lock);
    for (i = 0; i < RECENT && r->recent[i] != t; i++)
        ;
    if (i == RECENT) {
        oldest = r->recent[r->next_recent];
        r->recent[r->next_recent] = t;
        r->next_recent = (r->next_recent + 1) % RECENT;
    }
    pthread_mutex_unlock(&r->lock);
    if (oldest)
        rendered_trim(oldest);
}

static void note_sum(void *rendering, struct rendered *t)
{
    struct rendering *r = rendering;

    if (r->lengths)
        lengths_keep_sum(r->lengths, t);
}

/* ---- measuring ---- */

/* A thread that comes to help too late can find out once more that it failed. */
static bool settle(struct rendering *r, struct measured *t)
{
    bool first;

    pthread_mutex_lock(&r->lock);
    first = t->progress != SETTLED;
    if (t->progress == QUEUED) /* again, by one that has left it */
        take_out(r, t);
    t->progress = SETTLED;
    pthread_mutex_unlock(&r->lock);
    return first;
}

static void tell_results(struct rendered *t, const char *why)
{
    struct results *results = snapshot_results(t->snapshot);

    if (why) {
        results_fail_table(results, t->table, why);
        return;
    }
    rendered_complete(t);
    results_measure_table(results, t->table, &t->file, render_lines_rows(t->lines), t->checksum);
}

/* The first is told by whoever waits for all. */
static void note_failure(struct rendering *r, const struct rendered *t, const char *why)
{
    char *name = rendered_name(t);

    log_error("%s: %s", name, why);
    pthread_mutex_lock(&r->lock);
    if (!r->failed.code)
        err_set(&r->failed, EIO, "%s: %s", name, why);
    pthread_mutex_unlock(&r->lock);
    free(name);
}

static void write_lengths(struct rendering *r)
{
    if (r->lengths)
        lengths_write(r->lengths);
}

/* new: it was measured, or failed, just now. */
static void end_table(struct rendering *r, struct measured *t, const char *why, bool new)
{
    bool all;

    if (!settle(r, t))
        return;
    if (t->rendered.lines)
        render_lines_trim(t->rendered.lines);
    if (t->rendered.lines && why)
        render_lines_give_back(t->rendered.lines);
    if (why)
        note_failure(r, &t->rendered, why);
    tell_results(&t->rendered, why);
    if (new && !why && r->lengths)
        lengths_keep(r->lengths, &t->rendered);
    pthread_mutex_lock(&r->lock);
    all = --r->open == 0;
    pthread_cond_broadcast(&r->less);
    pthread_mutex_unlock(&r->lock);
    if (all)
        write_lengths(r);
}

/* For something urgent. The first that leaves it does that. */
static void put_back(struct rendering *r, struct measured *t)
{
    pthread_mutex_lock(&r->lock);
    if (t->progress == TAKEN) {
        t->progress = QUEUED;
        put_last(r, t);
    }
    pthread_mutex_unlock(&r->lock);
}

/* Whoever is the last to measure it ends it. */
static void measure(struct rendering *r, struct measured *t)
{
    struct render_fault fault = {0};
    int rc = render_lines_measure(t->rendered.lines, &r->leave, &fault);
    char *why = NULL;

    if (rc == -ECANCELED)
        put_back(r, t);
    else if (rc < 0)
        why = rendered_fault_text(&t->rendered, &fault);
    if (rc == 1 || why)
        end_table(r, t, why, true);
    free(why);
}

/* To render takes up to twice as long as to measure; but who asks for a size reads, as a rule, and then only copies. What it
 * costs where he does not is bounded by the memory. */
static void keep_text(struct rendering *r, struct rendered *t)
{
    if (rendered_pages(t) <= render_memory_left(r->memory))
        render_lines_keep(t->lines, r->memory);
}

/* false: nothing is left to be done. */
static bool open_table(struct rendering *r, struct measured *t)
{
    struct err err;

    if (t->rendered.lines) /* somebody left it */
        return true;
    if (rendered_open(&t->rendered, &err) < 0)
        end_table(r, t, err.text, true);
    else if (r->lengths && lengths_recall(r->lengths, &t->rendered))
        end_table(r, t, NULL, false);
    else {
        keep_text(r, &t->rendered);
        return true;
    }
    return false;
}

/* For all to see, so that others can help. */
static void measure_first(struct rendering *r, struct measured *t, struct measured **place)
{
    results_start_table(snapshot_results(t->rendered.snapshot), t->rendered.table);
    if (!open_table(r, t))
        return;
    pthread_mutex_lock(&r->lock);
    *place = t;
    pthread_cond_broadcast(&r->more);
    pthread_mutex_unlock(&r->lock);
    measure(r, t);
    pthread_mutex_lock(&r->lock);
    *place = NULL;
    pthread_mutex_unlock(&r->lock);
}

/* One that others measure, and that has more to be measured; under the lock. */
static struct measured *find_helped(const struct rendering *r)
{
    unsigned i;

    for (i = 0; i < r->nthreads; i++)
        if (r->helped[i] && render_lines_has_more(r->helped[i]->rendered.lines))
            return r->helped[i];
    return NULL;
}

struct measurer { /* a thread */
    struct rendering *r;
    struct measured **place;
};

static void *measure_thread(void *arg)
{
    struct measurer m = *(struct measurer *)arg;
    struct rendering *r = m.r;
    struct measured *t, *helped;
    bool last;

    free(arg);
    pthread_mutex_lock(&r->lock);
    r->active++;
    while (!atomic_load(&r->stop)) {
        t = take_first(r);
        helped = t ? NULL : find_helped(r);
        if (!t && !helped) {
            pthread_cond_wait(&r->more, &r->lock);
            continue;
        }
        pthread_mutex_unlock(&r->lock);
        if (t)
            measure_first(r, t, m.place);
        else
            measure(r, helped);
        pthread_mutex_lock(&r->lock);
    }
    last = --r->active == 0;
    pthread_mutex_unlock(&r->lock);
    if (last)
        write_lengths(r);
    return NULL;
}

/* ---- its life ---- */

struct rendering *rendering_new(const struct rendering_request *q)
{
    struct rendering *r = mem_alloc(sizeof(*r));
    const struct pg_control *c = q->control;
    struct render_xacts_request xacts = {.read = frozenfiles_read_slru,
                                         .next_xid = c->limits.next_xid,
                                         .oldest_xid = c->limits.oldest_xid,
                                         .next_multi = c->limits.next_multi,
                                         .oldest_multi = c->limits.oldest_multi,
                                         .next_multi_offset = c->limits.next_multi_offset};

    xacts.arg = frozenfiles_new(q->pages);
    r->memory = render_memory_new(q->memory);
    r->early = render_memory_new(EARLY);
    r->from = (struct rendered_from){
        xacts.arg, render_xacts_new(&xacts), c->checksums, r->memory, q->as, r->early};
    r->lengths = q->notes ? lengths_new(q->notes) : NULL;
    r->base_id = datadir_base_id(q->pages);
    r->threads = mem_array(q->threads, sizeof(*r->threads));
    r->helped = mem_array(q->threads, sizeof(struct measured *));
    r->nthreads = q->threads;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->more, NULL);
    pthread_cond_init(&r->less, NULL);
    return r;
}

void rendering_add(struct rendering *r, struct snapshot *s)
{
    struct added *a;
    uint64_t of;
    size_t i;

    r->snapshots = mem_resize(r->snapshots, r->n + 1, sizeof(*r->snapshots));
    a = &r->snapshots[r->n++];
    *a = (struct added){.n = s->catalog->ntables, .zone = render_zone_new(s->req.timezone)};
    of = lengths_of(s, r->base_id, a->zone);
    a->tables = mem_array(a->n + 1, sizeof(struct measured *));
    for (i = 0; i < a->n; i++) {
        if (!snapshot_renders(s, i))
            continue;
        a->tables[i] = mem_alloc(sizeof(struct measured));
        a->tables[i]->rendered = (struct rendered){
            .from = &r->from,
            .snapshot = s,
            .table = (uint32_t)i,
            .settings = {.zone = a->zone, .major = (unsigned)s->server.version / 10000},
            .of = of,
            .was_read = note_read,
            .was_summed = note_sum,
            .arg = r};
    }
}

struct rendered *rendering_table(const struct rendering *r, size_t snapshot, size_t table)
{
    struct measured *t = r->snapshots[snapshot].tables[table];

    return t ? &t->rendered : NULL;
}

static uint64_t heap_bytes(const struct rendered *t)
{
    return snapshot_results(t->snapshot)->tables[t->table].estimate;
}

static void want_little(struct rendering *r, bool eager)
{
    size_t i, k;

    for (i = 0; i < r->n; i++)
        for (k = 0; k < r->snapshots[i].n; k++) {
            struct measured *t = r->snapshots[i].tables[k];

            if (t && (eager || heap_bytes(&t->rendered) <= LITTLE))
                want(r, t, false);
        }
}

static int start_threads(struct rendering *r, struct err *err)
{
    int rc = 0;

    while (rc == 0 && r->running < r->nthreads) {
        struct measurer *m = mem_alloc(sizeof(*m));

        *m = (struct measurer){r, &r->helped[r->running]};
        rc = proc_thread(&r->threads[r->running], measure_thread, m);
        if (rc == 0)
            r->running++;
        else
            free(m);
    }
    return rc == 0 ? 0 : err_set(err, rc, "cannot start a thread: %s", strerror(rc));
}

/* Until everything that was wanted is measured. */
static int wait_for_all(struct rendering *r, int stop_fd, struct err *err)
{
    struct pollfd p = {.fd = stop_fd, .events = POLLIN};
    struct timespec until;
    int rc = 0;

    pthread_mutex_lock(&r->lock);
    while (r->open && rc == 0) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += WAIT_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&r->less, &r->lock, &until);
        if (stop_fd >= 0 && poll(&p, 1, 0) > 0)
            rc = err_set(err, EINTR, "interrupted");
    }
    if (rc == 0 && r->failed.code) {
        *err = r->failed;
        rc = -err->code;
    }
    pthread_mutex_unlock(&r->lock);
    return rc;
}

int rendering_begin(struct rendering *r, bool eager, int stop_fd, struct err *err)
{
    int rc;

    pthread_mutex_lock(&r->lock);
    want_little(r, eager);
    pthread_mutex_unlock(&r->lock);
    rc = start_threads(r, err);
    return rc == 0 && eager ? wait_for_all(r, stop_fd, err) : rc;
}

void rendering_stop(struct rendering *r)
{
    if (!r)
        return;
    frozenfiles_stop(r->from.files);
    pthread_mutex_lock(&r->lock);
    atomic_store(&r->stop, true);
    atomic_store(&r->leave, true);
    pthread_cond_broadcast(&r->more);
    pthread_mutex_unlock(&r->lock);
    while (r->running)
        pthread_join(r->threads[--r->running], NULL);
}

static void free_added(struct added *a)
{
    size_t i;

    for (i = 0; i < a->n; i++)
        if (a->tables[i]) {
            rendered_close(&a->tables[i]->rendered);
            free(a->tables[i]);
        }
    free(a->tables);
    render_zone_free(a->zone);
}

void rendering_free(struct rendering *r)
{
    size_t i;

    if (!r)
        return;
    rendering_stop(r);
    for (i = 0; i < r->n; i++)
        free_added(&r->snapshots[i]);
    free(r->snapshots);
    lengths_free(r->lengths);
    render_memory_free(r->memory); /* after the tables */
    render_memory_free(r->early);
    render_xacts_free(r->from.xacts);
    frozenfiles_free(r->from.files);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->more);
    pthread_cond_destroy(&r->less);
    free(r->threads);
    free(r->helped);
    free(r);
}
