/*
 * Who measures, reads or writes takes a worker: what one thread needs to render. Workers that nobody
 * has wait in a list. Each remembers the last place that it rendered for a reader, because who reads
 * in order comes back for the rest of it.
 *
 * Measuring: runs of blocks are given out in order, so when a fault is found, all blocks before it are
 * measured or being measured; no more are given out then, and of all faults the first counts. It
 * is the same, however many threads there are.
 *
 * A run may be rendered in place of being measured, to the same lengths, marks and faults; its text is kept then.
 */
#include "render/lines.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "common/mem.h"
#include "render/index.h"

#define RUN 32                  /* blocks that are read at once */
#define WRITE_SIZE (256u << 10) /* bytes that the sink gets at once, or more: what caches hold */
#define KEEP (1u << 20)         /* a buffer of more is not kept for the next */
#define KEPT_RUN (4u << 20)     /* the text of a run is not kept where it is longer */

struct worker {
    struct worker *next; /* in the list of those that nobody has */
    struct render_work work;
    char *pages; /* a run of blocks: n from block on, counted through all relations */
    uint64_t block;
    unsigned n;
    struct out text; /* of the place, if its length is not 0 */
    uint64_t rows;   /* that were put there, all in all */
    struct render_place place;
    struct render_fault fault;
    struct render_mark *marks; /* found in the run being measured */
    size_t nmarks, marks_room;
    bool keeps; /* that run is rendered into the text, to be kept */
};

struct kept { /* the text of a run; NULL: not kept */
    char *text;
    size_t n;
};

struct render_lines {
    const struct render_settings *settings;
    char *header;
    size_t nheader;
    struct render_relation *relations;
    uint64_t *first; /* block of each relation, and the end of the last */
    size_t n;
    struct render_index index; /* see index.h; finished when measured is set */
    atomic_bool measured;

    struct render_memory *memory; /* NULL: nothing is kept */
    atomic_bool keeps;            /* and there was enough of it so far */
    pthread_rwlock_t kept_lock;   /* of what follows, once it is measured */
    struct kept *kept;            /* by run; NULL: none */
    uint64_t nkept;               /* bytes */

    pthread_mutex_t lock; /* of all below */
    struct worker *workers;
    uint64_t next;   /* block that nobody measures yet */
    unsigned active; /* threads that measure */
    bool failed;     /* then fault is the first of all so far */
    struct render_fault fault;
};

struct render_lines *render_lines_new(const struct render_settings *s, const char *header,
                                      size_t nheader, const struct render_relation *relations,
                                      size_t n)
{
    struct render_lines *l = mem_alloc(sizeof(*l));
    size_t i;

    l->settings = s;
    l->header = mem_alloc(nheader + 1);
    if (nheader) /* a file may have none, and then nothing is pointed at */
        memcpy(l->header, header, nheader);
    l->nheader = nheader;
    l->relations = mem_array(n + 1, sizeof(*relations));
    l->first = mem_array(n + 1, sizeof(*l->first));
    l->n = n;
    for (i = 0; i < n; i++) {
        l->relations[i] = relations[i];
        l->first[i + 1] = l->first[i] + relations[i].pages.blocks;
    }
    render_index_init(&l->index, l->first[n]);
    pthread_mutex_init(&l->lock, NULL);
    pthread_rwlock_init(&l->kept_lock, NULL);
    return l;
}

/* ---- workers ---- */

static void free_worker(struct worker *k)
{
    render_work_free(&k->work);
    out_free(&k->text);
    free(k->pages);
    free(k->marks);
    free(k);
}

static struct worker *new_worker(const struct render_lines *l)
{
    struct worker *k = mem_alloc(sizeof(*k));

    render_work_init(&k->work, l->settings);
    k->pages = mem_array(RUN, RENDER_BLOCK);
    return k;
}

static bool has_byte(const struct worker *k, uint64_t offset)
{
    return offset >= k->place.begin && offset - k->place.begin < k->place.length;
}

/* One that has rendered the byte at `offset`, if there is such a one. */
static struct worker *take_worker(struct render_lines *l, uint64_t offset)
{
    struct worker **at, **found = &l->workers, *k;

    pthread_mutex_lock(&l->lock);
    for (at = &l->workers; *at; at = &(*at)->next)
        if (has_byte(*at, offset))
            found = at;
    k = *found;
    if (k)
        *found = k->next;
    pthread_mutex_unlock(&l->lock);
    if (!k)
        k = new_worker(l);
    k->n = 0;
    k->fault = (struct render_fault){0};
    return k;
}

/* A long text is kept only where its reader has not come to its end. */
static void leave_worker(struct render_lines *l, struct worker *k, uint64_t read_to)
{
    if (k->text.room > KEEP && !has_byte(k, read_to)) {
        out_free(&k->text);
        k->place = (struct render_place){0};
    }
    render_work_trim(&k->work, KEEP);
    pthread_mutex_lock(&l->lock);
    k->next = l->workers;
    l->workers = k;
    pthread_mutex_unlock(&l->lock);
}

void render_lines_trim(struct render_lines *l)
{
    struct worker *k, *list;

    pthread_mutex_lock(&l->lock);
    list = l->workers;
    l->workers = NULL;
    pthread_mutex_unlock(&l->lock);
    while ((k = list)) {
        list = k->next;
        free_worker(k);
    }
}

void render_lines_free(struct render_lines *l)
{
    if (!l)
        return;
    render_lines_trim(l);
    render_lines_give_back(l);
    pthread_rwlock_destroy(&l->kept_lock);
    pthread_mutex_destroy(&l->lock);
    render_index_free(&l->index);
    free(l->header);
    free(l->relations);
    free(l->first);
    free(l);
}

/* ---- pages ---- */

static size_t relation_of(const struct render_lines *l, uint64_t block)
{
    size_t low = 0, high = l->n, middle;

    while (high - low > 1) {
        middle = low + (high - low) / 2;
        if (l->first[middle] <= block)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static int fail_at(const struct render_lines *l, struct worker *k, uint64_t block, int item,
                   const char *what, int rc)
{
    size_t r = relation_of(l, block);

    k->fault = (struct render_fault){r, block - l->first[r], item,
                                     what ? what : "what it needs cannot be read", -rc};
    return rc;
}

/* Up to n blocks of one relation into k->pages. Where not all can be read, the first is tried alone: so a
 * fault is told of the very block. */
static int read_pages(const struct render_lines *l, struct worker *k, uint64_t block, unsigned n)
{
    size_t r = relation_of(l, block);
    const struct render_pages *p = &l->relations[r].pages;
    uint64_t there = l->first[r + 1] - block;
    int rc;

    k->block = block;
    k->n = n < there ? n : (unsigned)there;
    rc = p->read(p->arg, block - l->first[r], k->n, k->pages);
    if (rc < 0 && k->n > 1) {
        k->n = 1;
        rc = p->read(p->arg, block - l->first[r], 1, k->pages);
    }
    if (rc == 0)
        return 0;
    k->n = 0;
    return fail_at(l, k, block, 0, "the page cannot be read", rc);
}

static const char *page_of(const struct worker *k, uint64_t block)
{
    return k->pages + (block - k->block) * RENDER_BLOCK;
}

/* Lines of a block from *item on are appended, as render_rows_put_from does it. */
static int put_lines(const struct render_lines *l, struct worker *k, uint64_t block,
                     uint64_t enough, int *item)
{
    size_t r = relation_of(l, block);
    int rc = render_rows_put_from(&k->work, &l->relations[r], block - l->first[r],
                                  page_of(k, block), enough, &k->text, &k->rows, item);

    return rc < 0 ? fail_at(l, k, block, *item, k->work.fault, rc) : 0;
}

static int fail_changed(const struct render_lines *l, struct worker *k, uint64_t block)
{
    return fail_at(l, k, block, 0, "the page has changed since it was measured", -EIO);
}

/* ---- measuring ---- */

static int measure_part(const struct render_lines *l, struct worker *k, uint64_t block,
                        uint64_t *bytes, uint64_t *rows, int *item)
{
    size_t r = relation_of(l, block), was = k->text.n;
    const char *page = page_of(k, block);
    uint64_t n = block - l->first[r];
    int rc;

    if (!k->keeps)
        return render_rows_measure_from(&k->work, &l->relations[r], n, page, RENDER_INDEX_PART,
                                        bytes, rows, item);
    rc = render_rows_put_from(&k->work, &l->relations[r], n, page, RENDER_INDEX_PART, &k->text,
                              rows, item);
    *bytes += k->text.n - was;
    k->keeps = k->text.n <= KEPT_RUN;
    return rc;
}

/* With marks where a part ends, which are kept if there is much. */
static int measure_block(const struct render_lines *l, struct worker *k, uint64_t block,
                         uint64_t *bytes, uint64_t *rows)
{
    size_t marks = k->nmarks;
    int item = 1, rc;

    *bytes = 0;
    do {
        rc = measure_part(l, k, block, bytes, rows, &item);
        if (rc < 0)
            return fail_at(l, k, block, item, k->work.fault, rc);
        if (*bytes > UINT32_MAX)
            return fail_at(l, k, block, item, "a page with more than 4 GiB of text", -EFBIG);
        if (!item)
            break;
        k->marks = mem_grow(k->marks, k->nmarks, &k->marks_room, sizeof(*k->marks));
        k->marks[k->nmarks++] = (struct render_mark){block, (uint32_t)item, (uint32_t)*bytes};
    } while (item);
    if (*bytes <= RENDER_INDEX_LARGE)
        k->nmarks = marks;
    else if (k->nmarks > marks && k->marks[k->nmarks - 1].before == *bytes)
        k->nmarks--; /* nobody sees a row behind it */
    return 0;
}

static int measure_run(struct render_lines *l, struct worker *k, uint64_t block, uint64_t end,
                       uint64_t *rows)
{
    uint64_t bytes;
    int rc = 0;

    k->nmarks = 0;
    k->place = (struct render_place){0};
    k->text.n = 0;
    k->keeps = atomic_load(&l->keeps);
    for (; block < end && rc == 0; block++) {
        if (block >= k->block + k->n || block < k->block)
            rc = read_pages(l, k, block, (unsigned)(end - block));
        if (rc == 0)
            rc = measure_block(l, k, block, &bytes, rows);
        if (rc == 0)
            l->index.length[block] = (uint32_t)bytes;
    }
    return rc;
}

/* Of the run that begins there. */
static void keep_text(struct render_lines *l, const struct worker *k, uint64_t block)
{
    size_t n = k->text.n;
    char *text;

    if (!k->keeps || n == 0)
        return;
    if (!render_memory_take(l->memory, n)) {
        atomic_store(&l->keeps, false);
        return;
    }
    text = mem_alloc(n);
    memcpy(text, k->text.p, n);
    pthread_rwlock_wrlock(&l->kept_lock);
    l->kept[block / RUN] = (struct kept){text, n};
    l->nkept += n;
    pthread_rwlock_unlock(&l->kept_lock);
}

/* Under the lock: what a run has brought. */
static void keep_run(struct render_lines *l, const struct worker *k, uint64_t rows, int rc)
{
    const struct render_fault *f = &k->fault, *old = &l->fault;

    l->index.rows += rows;
    render_index_mark(&l->index, k->marks, k->nmarks);
    if (rc == 0)
        return;
    if (!l->failed || f->relation < old->relation ||
        (f->relation == old->relation && f->block < old->block))
        l->fault = *f;
    l->failed = true;
}

/* Under the lock, which is free while a run is measured. 0: there is no more; -ECANCELED. */
static int measure_runs(struct render_lines *l, struct worker *k, const atomic_bool *stop)
{
    uint64_t begin, end, rows;
    int rc;

    while (!l->failed && l->next < l->index.blocks) {
        if (stop && atomic_load(stop))
            return -ECANCELED;
        begin = l->next;
        end = begin + RUN < l->index.blocks ? begin + RUN : l->index.blocks;
        l->next = end;
        pthread_mutex_unlock(&l->lock);
        rows = 0;
        rc = measure_run(l, k, begin, end, &rows);
        if (rc == 0)
            keep_text(l, k, begin);
        pthread_mutex_lock(&l->lock);
        keep_run(l, k, rows, rc);
    }
    return 0;
}

/* Under the lock: nobody measures any more, and nothing is left. */
static int end_measuring(struct render_lines *l, struct render_fault *fault)
{
    if (l->failed) {
        *fault = l->fault;
        return -l->fault.code;
    }
    if (atomic_load(&l->measured))
        return 0;
    render_index_finish(&l->index, l->nheader);
    atomic_store(&l->measured, true);
    return 1;
}

int render_lines_measure(struct render_lines *l, const atomic_bool *stop,
                         struct render_fault *fault)
{
    struct worker *k;
    int rc;

    *fault = (struct render_fault){0};
    if (render_lines_measured(l))
        return 0;
    k = take_worker(l, UINT64_MAX);
    pthread_mutex_lock(&l->lock);
    l->active++;
    rc = measure_runs(l, k, stop);
    l->active--;
    if (rc == 0 && l->active == 0)
        rc = end_measuring(l, fault);
    pthread_mutex_unlock(&l->lock);
    leave_worker(l, k, UINT64_MAX);
    return rc;
}

/* ---- what is kept ---- */

void render_lines_keep(struct render_lines *l, struct render_memory *m)
{
    l->memory = m;
    l->kept = mem_array(l->index.blocks / RUN + 1, sizeof(*l->kept));
    atomic_store(&l->keeps, true);
}

uint64_t render_lines_kept(struct render_lines *l)
{
    uint64_t n;

    pthread_rwlock_rdlock(&l->kept_lock);
    n = l->nkept;
    pthread_rwlock_unlock(&l->kept_lock);
    return n;
}

void render_lines_give_back(struct render_lines *l)
{
    uint64_t i;

    pthread_rwlock_wrlock(&l->kept_lock);
    for (i = 0; l->kept && i <= l->index.blocks / RUN; i++)
        free(l->kept[i].text);
    free(l->kept);
    l->kept = NULL;
    if (l->nkept)
        render_memory_give(l->memory, l->nkept);
    l->nkept = 0;
    pthread_rwlock_unlock(&l->kept_lock);
}

/* Of what is wanted from `offset` on, bytes that are kept: those of one run at most; 0: the first is not. */
static size_t read_kept(struct render_lines *l, char *buffer, size_t size, uint64_t offset)
{
    const struct kept *k = NULL;
    uint64_t run, skip = 0;
    size_t n = 0;

    if (!l->memory)
        return 0;
    pthread_rwlock_rdlock(&l->kept_lock);
    if (l->kept) {
        run = render_index_step(&l->index, offset) * RENDER_INDEX_STEP / RUN;
        skip = offset - l->index.before[run * RUN / RENDER_INDEX_STEP];
        k = &l->kept[run];
    }
    if (k && k->text && skip < k->n) {
        n = k->n - skip < size ? (size_t)(k->n - skip) : size;
        memcpy(buffer, k->text + skip, n);
    }
    pthread_rwlock_unlock(&l->kept_lock);
    return n;
}

bool render_lines_has_more(struct render_lines *l)
{
    bool more;

    pthread_mutex_lock(&l->lock);
    more = !l->failed && l->next < l->index.blocks;
    pthread_mutex_unlock(&l->lock);
    return more;
}

bool render_lines_measured(const struct render_lines *l)
{
    return atomic_load(&l->measured);
}

uint64_t render_lines_size(const struct render_lines *l)
{
    return l->index.size;
}

uint64_t render_lines_rows(const struct render_lines *l)
{
    return l->index.rows;
}

uint64_t render_lines_blocks(const struct render_lines *l)
{
    return l->index.blocks;
}

void render_lines_put(const struct render_lines *l, struct buf *b)
{
    render_index_put(&l->index, b);
}

bool render_lines_get(struct render_lines *l, const char *bytes, size_t n)
{
    if (!render_index_get(&l->index, l->nheader, bytes, n))
        return false;
    l->next = l->index.blocks;
    atomic_store(&l->measured, true);
    return true;
}

/* ---- reading ---- */

/* Blocks from that of the place on, whose text begins before `end`: as many as one run has. */
static unsigned blocks_until(const struct render_lines *l, const struct render_place *p,
                             uint64_t end)
{
    uint64_t at = p->begin + p->length;
    unsigned n = 1;

    while (n < RUN && p->block + n < l->index.blocks && at < end)
        at += l->index.length[p->block + n++];
    return n;
}

/* The text of the place with the byte at `offset`; up to `end` is wanted in all. */
static int render_place(const struct render_lines *l, struct worker *k, uint64_t offset,
                        uint64_t end)
{
    struct render_place p;
    int item, rc = 0;

    if (has_byte(k, offset))
        return 0;
    k->place = (struct render_place){0};
    p = render_index_find(&l->index, offset);
    if (k->n == 0 || p.block < k->block || p.block >= k->block + k->n)
        rc = read_pages(l, k, p.block, blocks_until(l, &p, end));
    k->text.n = 0;
    item = p.item;
    if (rc == 0)
        rc = put_lines(l, k, p.block, p.enough, &item);
    if (rc == 0 && k->text.n != p.length)
        rc = fail_changed(l, k, p.block);
    if (rc == 0)
        k->place = p;
    return rc;
}

static int read_lines(const struct render_lines *l, struct worker *k, char *buffer, uint64_t offset,
                      uint64_t end)
{
    uint64_t skip, n;
    int rc = 0;

    for (; offset < end && rc == 0; offset += n, buffer += n) {
        n = 0;
        rc = render_place(l, k, offset, end);
        if (rc < 0)
            break;
        skip = offset - k->place.begin;
        n = k->place.length - skip;
        if (n > end - offset)
            n = end - offset;
        memcpy(buffer, k->text.p + skip, n);
    }
    return rc;
}

int render_lines_read(struct render_lines *l, char *buffer, size_t size, uint64_t offset,
                      struct render_fault *fault)
{
    struct worker *k;
    size_t n = 0, some = 1;
    int rc;

    *fault = (struct render_fault){0};
    if (offset < l->nheader) {
        n = l->nheader - offset < size ? (size_t)(l->nheader - offset) : size;
        memcpy(buffer, l->header + offset, n);
    }
    for (; n < size && some; n += some)
        some = read_kept(l, buffer + n, size - n, offset + n);
    if (n == size)
        return 0;
    k = take_worker(l, offset + n);
    rc = read_lines(l, k, buffer + n, offset + n, offset + size);
    *fault = k->fault;
    leave_worker(l, k, offset + size);
    return rc;
}

/* ---- writing ---- */

struct writer {
    struct render_lines *l;
    struct worker *k;
    render_sink *sink;
    void *arg;
};

static int flush_text(struct writer *w)
{
    size_t n = w->k->text.n;

    w->k->text.n = 0;
    return n ? w->sink(w->arg, w->k->text.p, n) : 0;
}

/* The sink gets it as soon as there is enough, so a block with much text needs no more memory. */
static int write_block(struct writer *w, uint64_t block)
{
    const struct render_lines *l = w->l;
    struct out *o = &w->k->text;
    uint64_t bytes = 0;
    size_t was;
    int item = 1, rc;

    do {
        was = o->n;
        rc = put_lines(l, w->k, block, WRITE_SIZE, &item);
        bytes += o->n - was;
        if (rc == 0 && o->n >= WRITE_SIZE)
            rc = flush_text(w);
    } while (rc == 0 && item);
    if (rc == 0 && render_lines_measured(l) && bytes != l->index.length[block])
        rc = fail_changed(l, w->k, block);
    return rc;
}

static int write_blocks(struct writer *w, uint64_t block, uint64_t end, const atomic_bool *stop)
{
    int rc = 0;

    for (; block < end && rc == 0; block++) {
        if (w->k->n == 0 || block < w->k->block || block >= w->k->block + w->k->n) {
            if (stop && atomic_load(stop))
                return -ECANCELED;
            rc = read_pages(w->l, w->k, block, end - block < RUN ? (unsigned)(end - block) : RUN);
        }
        if (rc == 0)
            rc = write_block(w, block);
    }
    return rc < 0 ? rc : flush_text(w);
}

static struct worker *take_writer(struct render_lines *l)
{
    struct worker *k = take_worker(l, UINT64_MAX);

    k->place = (struct render_place){0};
    k->text.n = 0;
    k->rows = 0;
    return k;
}

int render_lines_write(struct render_lines *l, render_sink *sink, void *arg,
                       const atomic_bool *stop, struct render_fault *fault)
{
    struct writer w = {l, take_writer(l), sink, arg};
    int rc;

    out_put(&w.k->text, l->header, l->nheader);
    rc = write_blocks(&w, 0, l->index.blocks, stop);
    *fault = w.k->fault;
    leave_worker(l, w.k, UINT64_MAX);
    return rc;
}

int render_lines_write_part(struct render_lines *l, uint64_t first, uint64_t n, render_sink *sink,
                            void *arg, uint64_t *rows, struct render_fault *fault)
{
    struct writer w = {l, take_writer(l), sink, arg};
    int rc;

    if (first == 0)
        out_put(&w.k->text, l->header, l->nheader);
    rc = write_blocks(&w, first, first + n, NULL);
    *rows += w.k->rows;
    *fault = w.k->fault;
    leave_worker(l, w.k, UINT64_MAX);
    return rc;
}
