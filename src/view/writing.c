/*
 * The blocks of a table are cut into parts. Each thread renders a part into memory, and writes it when
 * all before it are written: then it is its turn. What is too long for memory waits for its turn before
 * it goes on, and is written as it is rendered.
 */
#include "view/writing.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/hash.h"
#include "common/io.h"
#include "common/mem.h"
#include "common/proc.h"
#include "view/internal.h"

#define PART_BLOCKS 512u
#define PART_BYTES ((size_t)8 << 20) /* of text that a thread keeps before it waits for its turn */
#define WAIT_NS 100000000            /* between two looks for a stop */

struct writing {
    pthread_t *threads;
    unsigned n;

    pthread_mutex_t lock; /* protects the rest, but what is said to be of whose turn it is */
    pthread_cond_t work;  /* there is a part to be done, or `end` */
    pthread_cond_t turn;  /* it is another part's turn, or nobody's any more */
    pthread_cond_t done;  /* the last of `active` has ended */
    bool end;

    const struct writing_request *request; /* NULL: nothing is to be done */
    uint64_t parts, next, turns;           /* in all; given out; written */
    unsigned active;
    int rc; /* of the first that failed */
    struct render_fault fault;

    /* Of whose turn it is; of nobody but the calling thread otherwise. */
    uint64_t offset, rows;
    struct hash *whole, *chunk;
    struct results_chunk now, *chunks;
    size_t nchunks, room;
};

struct part {
    struct writing *w;
    uint64_t number;
    bool has_turn;
    struct out text;
};

/* ---- a part ---- */

static void fail(struct writing *w, int rc, const struct render_fault *fault)
{
    pthread_mutex_lock(&w->lock);
    if (w->rc == 0) {
        w->rc = rc;
        w->fault = fault ? *fault : (struct render_fault){0};
    }
    pthread_cond_broadcast(&w->turn);
    pthread_mutex_unlock(&w->lock);
}

/* 0: it is; -ECANCELED: another one failed. */
static int wait_for_turn(struct part *p)
{
    struct writing *w = p->w;
    int rc;

    pthread_mutex_lock(&w->lock);
    while (w->rc == 0 && w->turns != p->number)
        pthread_cond_wait(&w->turn, &w->lock);
    rc = w->rc ? -ECANCELED : 0;
    pthread_mutex_unlock(&w->lock);
    p->has_turn = rc == 0;
    return rc;
}

static int flush(struct part *p)
{
    struct writing *w = p->w;
    int rc;

    if (!p->text.n)
        return 0;
    rc = io_pwrite_all(w->request->fd, p->text.p, p->text.n, w->offset);
    if (rc < 0)
        return rc;
    hash_update(w->whole, p->text.p, p->text.n);
    hash_update(w->chunk, p->text.p, p->text.n);
    w->offset += p->text.n;
    w->now.bytes += p->text.n;
    p->text.n = 0;
    return 0;
}

static int take_text(void *arg, const char *bytes, size_t n)
{
    struct part *p = arg;
    int rc = 0;

    out_put(&p->text, bytes, n);
    if (p->text.n < PART_BYTES)
        return 0;
    if (!p->has_turn)
        rc = wait_for_turn(p);
    return rc == 0 ? flush(p) : rc;
}

static void end_chunk(struct writing *w)
{
    w->now.checksum = hash_value(w->chunk);
    w->chunks = mem_grow(w->chunks, w->nchunks, &w->room, sizeof(*w->chunks));
    w->chunks[w->nchunks++] = w->now;
    w->now = (struct results_chunk){0};
    hash_reset(w->chunk);
}

static void pass_turn(struct part *p, uint64_t rows)
{
    struct writing *w = p->w;

    w->rows += rows;
    w->now.rows += rows;
    if (w->now.bytes >= w->request->chunk_size || (p->number + 1 == w->parts && w->now.bytes))
        end_chunk(w);
    pthread_mutex_lock(&w->lock);
    w->turns++;
    pthread_cond_broadcast(&w->turn);
    pthread_mutex_unlock(&w->lock);
}

static void write_part(struct part *p)
{
    struct render_lines *l = p->w->request->table->lines;
    uint64_t blocks = render_lines_blocks(l), first = p->number * PART_BLOCKS, rows = 0;
    uint64_t n = blocks - first < PART_BLOCKS ? blocks - first : PART_BLOCKS;
    struct render_fault fault = {0};
    int rc;

    p->has_turn = false;
    p->text.n = 0;
    rc = render_lines_write_part(l, first, n, take_text, p, &rows, &fault);
    if (rc == 0 && !p->has_turn)
        rc = wait_for_turn(p);
    if (rc == 0)
        rc = flush(p);
    if (rc < 0)
        fail(p->w, rc, &fault);
    else
        pass_turn(p, rows);
}

/* ---- the threads ---- */

static bool has_part(const struct writing *w)
{
    return w->request && w->rc == 0 && w->next < w->parts;
}

static void *write_thread(void *arg)
{
    struct writing *w = arg;
    struct part p = {.w = w};

    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->end && !has_part(w))
            pthread_cond_wait(&w->work, &w->lock);
        if (w->end)
            break;
        p.number = w->next++;
        w->active++;
        pthread_mutex_unlock(&w->lock);
        write_part(&p);
        pthread_mutex_lock(&w->lock);
        if (--w->active == 0)
            pthread_cond_signal(&w->done);
    }
    pthread_mutex_unlock(&w->lock);
    out_free(&p.text);
    return NULL;
}

int writing_begin(struct writing **result, unsigned threads, struct err *err)
{
    struct writing *w = mem_alloc(sizeof(*w));
    int rc = 0;

    w->threads = mem_array(threads, sizeof(*w->threads));
    w->whole = hash_new();
    w->chunk = hash_new();
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    pthread_cond_init(&w->turn, NULL);
    pthread_cond_init(&w->done, NULL);
    while (rc == 0 && w->n < threads) {
        rc = proc_thread(&w->threads[w->n], write_thread, w);
        w->n += rc == 0;
    }
    *result = w;
    return rc == 0 ? 0 : err_set(err, rc, "cannot start a thread: %s", strerror(rc));
}

void writing_end(struct writing *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->end = true;
    pthread_cond_broadcast(&w->work);
    pthread_mutex_unlock(&w->lock);
    while (w->n)
        pthread_join(w->threads[--w->n], NULL);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->turn);
    pthread_cond_destroy(&w->done);
    hash_free(w->whole);
    hash_free(w->chunk);
    free(w->chunks);
    free(w->threads);
    free(w);
}

/* ---- a table ---- */

static bool is_over(const struct writing *w)
{
    return !w->active && (w->rc || w->turns == w->parts);
}

static void wait_until_over(struct writing *w, int stop_fd)
{
    struct pollfd p = {.fd = stop_fd, .events = POLLIN};
    struct timespec until;

    while (!is_over(w)) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += WAIT_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&w->done, &w->lock, &until);
        if (w->rc == 0 && stop_fd >= 0 && poll(&p, 1, 0) > 0) {
            w->rc = -EINTR;
            pthread_cond_broadcast(&w->turn);
        }
    }
}

static void run(struct writing *w, const struct writing_request *r)
{
    uint64_t blocks = render_lines_blocks(r->table->lines);

    w->offset = w->rows = 0;
    w->now = (struct results_chunk){0};
    w->nchunks = 0;
    hash_reset(w->whole);
    hash_reset(w->chunk);
    pthread_mutex_lock(&w->lock);
    w->parts = blocks ? (blocks + PART_BLOCKS - 1) / PART_BLOCKS : 1;
    w->next = w->turns = 0;
    w->rc = 0;
    w->request = r;
    pthread_cond_broadcast(&w->work);
    wait_until_over(w, r->stop_fd);
    w->request = NULL;
    pthread_mutex_unlock(&w->lock);
}

static int tell_failure(const struct writing *w, const struct writing_request *r, struct err *err)
{
    struct results *results = snapshot_results(r->table->snapshot);
    char *why;

    if (w->rc == -EINTR)
        return err_set(err, EINTR, "interrupted");
    if (w->fault.code)
        why = rendered_fault_text(r->table, &w->fault);
    else
        why = mem_printf("cannot write: %s", strerror(-w->rc));
    results_fail_table(results, r->table->table, why);
    err_set(err, -w->rc, "%s: %s", r->path, why);
    free(why);
    return w->rc;
}

int writing_table(struct writing *w, const struct writing_request *r, struct err *err)
{
    struct results *results = snapshot_results(r->table->snapshot);

    results_start_table(results, r->table->table);
    run(w, r);
    if (w->rc < 0)
        return tell_failure(w, r, err);
    results_write_table(results, r->table->table, w->chunks, w->nchunks, hash_value(w->whole));
    return 0;
}
