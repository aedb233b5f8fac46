/*
 * A table is measured by whichever thread finds it first in the queue; threads that have nothing to do
 * help with one that is being measured (render/lines.h hands out runs of blocks). The queue has two
 * ends: what somebody waits for goes to the front.
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
#include "render/lines.h"
#include "render/toast.h"
#include "render/zone.h"
#include "view/describe.h"
#include "view/frozenfiles.h"
#include "view/internal.h"

#define LITTLE (UINT64_C(8) << 20) /* bytes of heap: measured before it is asked for */
#define RECENT 16
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

/* A table that is rendered. */
struct rendered {
    struct flatfile file; /* first; it is the results' from when it is measured on */
    struct rendering *all;
    struct snapshot *snapshot;
    uint32_t table;
    struct render_settings settings;
    enum step progress;    /* protected by the lock of `all`, as is next */
    struct rendered *next; /* in the queue */

    /* From when it is taken out of the queue on, by relation. */
    struct frozenrelation **files; /* two of each: heap and TOAST, NULL: it has none */
    struct render_pages *toast_pages;
    struct render_toast **toasts;
    struct render_relation *relations;
    size_t nrelations;
    struct render_lines *lines;
};

struct added {                /* a snapshot */
    struct rendered **tables; /* by number; NULL: copied */
    size_t n;
    struct render_zone *zone;
};

struct rendering {
    struct frozenfiles *files;
    struct render_xacts *xacts;
    bool checksums;
    struct added *snapshots;
    size_t n;

    pthread_t *threads;
    unsigned nthreads, running;
    atomic_bool stop;

    pthread_mutex_t lock;            /* protects what follows */
    pthread_cond_t more;             /* there is something to do, or `stop` is set */
    pthread_cond_t less;             /* something was done */
    struct rendered *first, *last;   /* the queue */
    struct rendered **helped;        /* by thread: the table that it measures; NULL: none */
    size_t open;                     /* tables that are queued or being measured */
    struct err failed;               /* of the first that failed; code 0: none has */
    struct rendered *recent[RECENT]; /* that were read: note_read */
    size_t next_recent;
};

/* ---- the queue; under the lock ---- */

static void put_last(struct rendering *r, struct rendered *t)
{
    t->next = NULL;
    if (r->last)
        r->last->next = t;
    else
        r->first = t;
    r->last = t;
}

static void put_first(struct rendering *r, struct rendered *t)
{
    t->next = r->first;
    r->first = t;
    if (!r->last)
        r->last = t;
}

static struct rendered *take_first(struct rendering *r)
{
    struct rendered *t = r->first;

    if (!t)
        return NULL;
    r->first = t->next;
    if (!r->first)
        r->last = NULL;
    t->progress = TAKEN;
    return t;
}

static void take_out(struct rendering *r, struct rendered *t)
{
    struct rendered **at = &r->first, *before = NULL;

    while (*at && *at != t) {
        before = *at;
        at = &(*at)->next;
    }
    if (!*at)
        return;
    *at = t->next;
    if (r->last == t)
        r->last = before;
}

/* Measured once, whoever asks. */
static void want(struct rendering *r, struct rendered *t, bool now)
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
    pthread_cond_signal(&r->more);
}

void rendering_prefer(struct rendering *r, size_t snapshot, uint32_t table)
{
    pthread_mutex_lock(&r->lock);
    want(r, r->snapshots[snapshot].tables[table], true);
    pthread_mutex_unlock(&r->lock);
}

/* ---- a table ---- */

static int read_rendered(const struct flatfile *f, void *buffer, size_t size, uint64_t offset);

static void keep_file(struct flatfile *f) /* it is ours; rendering_free frees it */
{
    (void)f;
}

static const struct flatfile_ops rendered_ops = {.read = read_rendered, .free = keep_file};

static const struct described_table *description_of(const struct rendered *t)
{
    return &t->snapshot->described->tables[t->table];
}

/* What is wrong, for people; the name of the table is said by who prints it. */
static char *fault_text(const struct rendered *t, const struct render_fault *f)
{
    const struct described_table *d = description_of(t);
    const char *leaf = d->nrelations > 1 ? d->relations[f->relation].name : "";
    const char *what = f->what ? f->what : strerror(f->code);

    return f->item ? mem_printf("%s%sblock %llu, item %d: %s", leaf, *leaf ? " " : "",
                                (unsigned long long)f->block, f->item, what)
                   : mem_printf("%s%sblock %llu: %s", leaf, *leaf ? " " : "",
                                (unsigned long long)f->block, what);
}

/* What readers leave of a table for those who come next is memory: few tables have it. */
static void note_read(struct rendering *r, struct rendered *t)
{
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
        render_lines_trim(oldest->lines);
}

static int read_rendered(const struct flatfile *f, void *buffer, size_t size, uint64_t offset)
{
    struct rendered *t = (struct rendered *)(uintptr_t)f; /* not const: the maker's */
    struct render_fault fault = {0};
    int rc = render_lines_read(t->lines, buffer, size, offset, &fault);
    char *text;

    note_read(t->all, t);
    if (rc == 0)
        return 0;
    text = fault_text(t, &fault);
    results_add_error(snapshot_results(t->snapshot), t->table, text);
    log_error("%s: %s", t->snapshot->tree.paths[t->table], text);
    free(text);
    return -EIO;
}

static int open_relation(struct rendered *t, size_t i, const struct described_relation *d)
{
    struct rendering *r = t->all;
    struct render_relation *rel = &t->relations[i];
    int rc = frozenrelation_open(r->files, d->path, &t->files[2 * i]);

    if (rc == 0 && d->toast_path)
        rc = frozenrelation_open(r->files, d->toast_path, &t->files[2 * i + 1]);
    if (rc < 0)
        return rc;
    if (d->toast_path) {
        t->toast_pages[i] = frozenrelation_pages(t->files[2 * i + 1]);
        t->toasts[i] = render_toast_new(&t->toast_pages[i], r->xacts, r->checksums);
    }
    *rel = (struct render_relation){
        .pages = frozenrelation_pages(t->files[2 * i]),
        .checksums = r->checksums,
        .toast = t->toasts[i],
        .attributes = d->attributes,
        .nattributes = d->nattributes,
        .columns = d->columns,
        .ncolumns = d->ncolumns,
        .xacts = r->xacts,
        .format = t->snapshot->req.format == PG_FORMAT_TEXT ? RENDER_TEXT : RENDER_CSV};
    return 0;
}

static void make_header(const struct rendered *t, struct out *header)
{
    const struct pg_table *table = &t->snapshot->catalog->tables[t->table];
    char **names = mem_array(table->ncolumns + 1, sizeof(*names));
    size_t i;

    for (i = 0; i < table->ncolumns; i++)
        names[i] = table->columns[i].name;
    if (t->snapshot->req.format == PG_FORMAT_CSV)
        render_rows_header(names, table->ncolumns, header);
    free(names);
}

/* By the thread that measures it first. */
static int open_table(struct rendered *t)
{
    const struct described_table *d = description_of(t);
    struct out header = {0};
    size_t i;
    int rc = 0;

    t->nrelations = d->nrelations;
    t->files = mem_array(2 * d->nrelations + 1, sizeof(struct frozenrelation *));
    t->toast_pages = mem_array(d->nrelations + 1, sizeof(*t->toast_pages));
    t->toasts = mem_array(d->nrelations + 1, sizeof(struct render_toast *));
    t->relations = mem_array(d->nrelations + 1, sizeof(*t->relations));
    for (i = 0; i < d->nrelations && rc == 0; i++)
        rc = open_relation(t, i, &d->relations[i]);
    if (rc < 0)
        return rc;
    make_header(t, &header);
    t->lines = render_lines_new(&t->settings, header.p, header.n, t->relations, t->nrelations);
    out_free(&header);
    return 0;
}

static void free_table(struct rendered *t)
{
    size_t i;

    render_lines_free(t->lines);
    for (i = 0; i < t->nrelations; i++) {
        render_toast_free(t->toasts[i]);
        frozenrelation_free(t->files[2 * i]);
        frozenrelation_free(t->files[2 * i + 1]);
    }
    free(t->files);
    free(t->toast_pages);
    free(t->toasts);
    free(t->relations);
    free(t);
}

/* ---- measuring ---- */

/* A thread that comes to help too late can find out once more that it failed. */
static bool settle(struct rendered *t)
{
    bool first;

    pthread_mutex_lock(&t->all->lock);
    first = t->progress != SETTLED;
    t->progress = SETTLED;
    pthread_mutex_unlock(&t->all->lock);
    return first;
}

static void end_table(struct rendered *t, const char *why)
{
    struct results *results = snapshot_results(t->snapshot);
    struct rendering *r = t->all;

    if (!settle(t))
        return;
    if (t->lines)
        render_lines_trim(t->lines);
    if (why) {
        log_error("%s: %s", t->snapshot->tree.paths[t->table], why);
        results_fail_table(results, t->table, why);
    } else {
        t->file = (struct flatfile){.ops = &rendered_ops, .size = render_lines_size(t->lines)};
        results_measure_table(results, t->table, &t->file, render_lines_rows(t->lines));
    }
    pthread_mutex_lock(&r->lock);
    if (why && !r->failed.code)
        err_set(&r->failed, EIO, "%s: %s", t->snapshot->tree.paths[t->table], why);
    r->open--;
    pthread_cond_broadcast(&r->less);
    pthread_mutex_unlock(&r->lock);
}

static void fail_table(struct rendered *t, const struct render_fault *fault)
{
    char *why = fault_text(t, fault);

    end_table(t, why);
    free(why);
}

/* Whoever is the last to measure it ends it. */
static void measure(struct rendered *t)
{
    struct render_fault fault = {0};
    int rc = render_lines_measure(t->lines, &t->all->stop, &fault);

    if (rc == 1)
        end_table(t, NULL);
    else if (rc < 0 && rc != -ECANCELED)
        fail_table(t, &fault);
}

/* Open it for all to see, and measure it. */
static void measure_first(struct rendering *r, struct rendered *t, struct rendered **place)
{
    int rc;

    results_start_table(snapshot_results(t->snapshot), t->table);
    rc = open_table(t);
    if (rc < 0) {
        end_table(t, strerror(-rc));
        return;
    }
    pthread_mutex_lock(&r->lock);
    *place = t;
    pthread_cond_broadcast(&r->more);
    pthread_mutex_unlock(&r->lock);
    measure(t);
    pthread_mutex_lock(&r->lock);
    *place = NULL;
    pthread_mutex_unlock(&r->lock);
}

/* One that others measure, and that has more to be measured; under the lock. */
static struct rendered *find_helped(const struct rendering *r)
{
    unsigned i;

    for (i = 0; i < r->nthreads; i++)
        if (r->helped[i] && render_lines_has_more(r->helped[i]->lines))
            return r->helped[i];
    return NULL;
}

struct measurer { /* a thread */
    struct rendering *r;
    struct rendered **place;
};

static void *measure_thread(void *arg)
{
    struct measurer m = *(struct measurer *)arg;
    struct rendering *r = m.r;
    struct rendered *t, *helped;

    free(arg);
    pthread_mutex_lock(&r->lock);
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
            measure(helped);
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* ---- its life ---- */

struct rendering *rendering_new(struct datadir *pages, const struct pg_control *c, unsigned threads)
{
    struct rendering *r = mem_alloc(sizeof(*r));
    struct render_xacts_request xacts = {.read = frozenfiles_read_slru,
                                         .next_xid = c->limits.next_xid,
                                         .oldest_xid = c->limits.oldest_xid,
                                         .next_multi = c->limits.next_multi,
                                         .oldest_multi = c->limits.oldest_multi,
                                         .next_multi_offset = c->limits.next_multi_offset};

    r->files = frozenfiles_new(pages);
    xacts.arg = r->files;
    r->xacts = render_xacts_new(&xacts);
    r->checksums = c->checksums;
    r->threads = mem_array(threads, sizeof(*r->threads));
    r->helped = mem_array(threads, sizeof(struct rendered *));
    r->nthreads = threads;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->more, NULL);
    pthread_cond_init(&r->less, NULL);
    return r;
}

void rendering_add(struct rendering *r, struct snapshot *s)
{
    struct added *a;
    size_t i;

    r->snapshots = mem_resize(r->snapshots, r->n + 1, sizeof(*r->snapshots));
    a = &r->snapshots[r->n++];
    *a = (struct added){.n = s->catalog->ntables, .zone = render_zone_new(s->req.timezone)};
    a->tables = mem_array(a->n + 1, sizeof(struct rendered *));
    for (i = 0; i < a->n; i++) {
        struct rendered *t;

        if (!snapshot_renders(s, i))
            continue;
        t = a->tables[i] = mem_alloc(sizeof(*t));
        t->all = r;
        t->snapshot = s;
        t->table = (uint32_t)i;
        t->settings = (struct render_settings){
            .zone = a->zone, .major = (unsigned)s->server.version / 10000};
    }
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
            struct rendered *t = r->snapshots[i].tables[k];

            if (t && (eager || heap_bytes(t) <= LITTLE))
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
    pthread_mutex_lock(&r->lock);
    atomic_store(&r->stop, true);
    pthread_cond_broadcast(&r->more);
    pthread_mutex_unlock(&r->lock);
    while (r->running)
        pthread_join(r->threads[--r->running], NULL);
}

void rendering_free(struct rendering *r)
{
    size_t i, k;

    if (!r)
        return;
    rendering_stop(r);
    for (i = 0; i < r->n; i++) {
        for (k = 0; k < r->snapshots[i].n; k++)
            if (r->snapshots[i].tables[k])
                free_table(r->snapshots[i].tables[k]);
        free(r->snapshots[i].tables);
        render_zone_free(r->snapshots[i].zone);
    }
    free(r->snapshots);
    render_xacts_free(r->xacts);
    frozenfiles_free(r->files);
    pthread_mutex_destroy(&r->lock);
    pthread_cond_destroy(&r->more);
    pthread_cond_destroy(&r->less);
    free(r->threads);
    free(r->helped);
    free(r);
}
