/*
 * The blocks of a table are cut into parts. Each thread renders a part into memory, and when all before it
 * have their place in the file, it is its turn: it takes the next place, and writes there while others take
 * theirs. What is too long for memory waits for its turn before it goes on, and is written as it is rendered.
 *
 * One more thread brings to disk what is written, again and again. Who publishes the files waits until all of
 * them are there, which is most of the time that it takes if nothing has begun while they were rendered: neither
 * the kernel's writing nor the device's own, which only a sync begins.
 */
#include "view/writing.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/hash.h"
#include "common/io.h"
#include "common/mem.h"
#include "common/proc.h"
#include "view/frame.h"
#include "view/internal.h"

#define PART_HEAP ((uint64_t)4 << 20) /* of heap and TOAST, as an average */
#define PART_BLOCKS (PART_HEAP / RENDER_BLOCK)
#define PART_BYTES ((size_t)8 << 20) /* of text that a thread keeps before it waits for its turn */
#define SYNC_BYTES ((uint64_t)32 << 20) /* of a file, before it is brought to disk */
#define WAIT_NS 100000000               /* between two looks for a stop */

struct writing {
    pthread_t *threads, syncer;
    unsigned n;
    int compress;
    bool syncs; /* there is the thread */

    pthread_mutex_t lock;   /* protects the rest, but what is said to be of whose turn it is */
    pthread_cond_t work;    /* there is a part to be done, or `end` */
    pthread_cond_t turn;    /* it is another part's turn, or nobody's any more */
    pthread_cond_t done;    /* the last of `active` has ended */
    pthread_cond_t written; /* enough for the syncer, or `end` */
    pthread_cond_t synced;
    bool end;

    const struct writing_request *request; /* NULL: nothing is to be done */
    uint64_t part_blocks;
    uint64_t parts, next, turns; /* in all; given out; with a place in the file */
    unsigned active;
    int rc; /* of the first that failed */
    struct render_fault fault;
    uint64_t unsynced; /* bytes of the file written since it was brought to disk */
    bool syncing;
    int sync_rc; /* of the first that failed, of any table */

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
    struct frame *frame; /* NULL: text is written as it is */
    struct out framed;   /* the text, to be written */
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

/* Before its turn: others do the same meanwhile. */
static int compress_text(struct part *p)
{
    p->framed.n = 0;
    return p->frame && p->text.n ? frame_make(p->frame, p->text.p, p->text.n, &p->framed) : 0;
}

/* In its turn: a table without text has a frame, too, since an empty file is none of zstd's. */
static int compress_nothing(struct part *p)
{
    const struct writing *w = p->w;

    if (!p->frame || p->number + 1 < w->parts || w->offset || p->framed.n)
        return 0;
    return frame_make(p->frame, "", 0, &p->framed);
}

static const struct out *bytes_of(const struct part *p)
{
    return p->frame ? &p->framed : &p->text;
}

/* In its turn: where its bytes are to be written. */
static uint64_t take_place(const struct part *p)
{
    struct writing *w = p->w;
    const struct out *bytes = bytes_of(p);
    uint64_t offset = w->offset;

    hash_update(w->whole, bytes->p, bytes->n);
    if (w->nchunks) /* of the first chunk, that is its own sum */
        hash_update(w->chunk, bytes->p, bytes->n);
    w->offset += bytes->n;
    w->now.bytes += bytes->n;
    return offset;
}

static int write_bytes(struct part *p, uint64_t offset)
{
    struct writing *w = p->w;
    const struct out *bytes = bytes_of(p);
    int rc = io_pwrite_all(w->request->fd, bytes->p, bytes->n, offset);

    if (rc == 0 && bytes->n) /* the kernel begins, and nobody waits */
        sync_file_range(w->request->fd, (off64_t)offset, (off64_t)bytes->n, SYNC_FILE_RANGE_WRITE);
    pthread_mutex_lock(&w->lock);
    w->unsynced += bytes->n;
    if (w->unsynced >= SYNC_BYTES)
        pthread_cond_signal(&w->written);
    pthread_mutex_unlock(&w->lock);
    p->text.n = 0;
    return rc;
}

static int take_text(void *arg, const char *bytes, size_t n)
{
    struct part *p = arg;
    int rc;

    out_put(&p->text, bytes, n);
    if (p->text.n < PART_BYTES)
        return 0;
    rc = compress_text(p);
    if (rc == 0 && !p->has_turn)
        rc = wait_for_turn(p);
    return rc == 0 ? write_bytes(p, take_place(p)) : rc;
}

static void end_chunk(struct writing *w)
{
    w->now.checksum = hash_value(w->nchunks ? w->chunk : w->whole);
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
    uint64_t blocks = render_lines_blocks(l), size = p->w->part_blocks;
    uint64_t first = p->number * size, rows = 0;
    uint64_t n = blocks - first < size ? blocks - first : size;
    struct render_fault fault = {0};
    uint64_t offset;
    int rc;

    p->has_turn = false;
    p->text.n = 0;
    rc = render_lines_write_part(l, first, n, take_text, p, &rows, &fault);
    if (rc == 0)
        rc = compress_text(p);
    if (rc == 0 && !p->has_turn)
        rc = wait_for_turn(p);
    if (rc == 0)
        rc = compress_nothing(p);
    if (rc == 0) {
        offset = take_place(p);
        pass_turn(p, rows);
        rc = write_bytes(p, offset);
    }
    if (rc < 0)
        fail(p->w, rc, &fault);
}

/* ---- the threads ---- */

static bool has_part(const struct writing *w)
{
    return w->request && w->rc == 0 && w->next < w->parts;
}

static void *write_thread(void *arg)
{
    struct writing *w = arg;
    struct part p = {.w = w, .frame = w->compress ? frame_new(w->compress) : NULL};

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
    out_free(&p.framed);
    frame_free(p.frame);
    return NULL;
}

/* Under the lock, which is free meanwhile. By a descriptor of its own: the table may end first. */
static void sync_file(struct writing *w)
{
    int fd = fcntl(w->request->fd, F_DUPFD_CLOEXEC, 0), rc;

    w->unsynced = 0;
    w->syncing = true;
    pthread_mutex_unlock(&w->lock);
    rc = fd < 0 || fdatasync(fd) < 0 ? -errno : 0;
    if (fd >= 0)
        close(fd);
    pthread_mutex_lock(&w->lock);
    if (w->sync_rc == 0)
        w->sync_rc = rc;
    w->syncing = false;
    pthread_cond_signal(&w->synced);
}

static void *sync_thread(void *arg)
{
    struct writing *w = arg;

    pthread_mutex_lock(&w->lock);
    while (!w->end) {
        if (w->request && w->unsynced >= SYNC_BYTES)
            sync_file(w);
        else
            pthread_cond_wait(&w->written, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

static int start_threads(struct writing *w, unsigned threads)
{
    int rc = proc_thread(&w->syncer, sync_thread, w);

    w->syncs = rc == 0;
    while (rc == 0 && w->n < threads) {
        rc = proc_thread(&w->threads[w->n], write_thread, w);
        w->n += rc == 0;
    }
    return rc;
}

int writing_begin(struct writing **result, unsigned threads, int compress, struct err *err)
{
    struct writing *w = mem_alloc(sizeof(*w));
    int rc;

    w->compress = compress;
    w->threads = mem_array(threads, sizeof(*w->threads));
    w->whole = hash_new();
    w->chunk = hash_new();
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    pthread_cond_init(&w->turn, NULL);
    pthread_cond_init(&w->done, NULL);
    pthread_cond_init(&w->written, NULL);
    pthread_cond_init(&w->synced, NULL);
    rc = start_threads(w, threads);
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
    pthread_cond_signal(&w->written);
    pthread_mutex_unlock(&w->lock);
    while (w->n)
        pthread_join(w->threads[--w->n], NULL);
    if (w->syncs)
        pthread_join(w->syncer, NULL);
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->turn);
    pthread_cond_destroy(&w->done);
    pthread_cond_destroy(&w->written);
    pthread_cond_destroy(&w->synced);
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

/* Where a table has much TOAST, few blocks have much text. */
static uint64_t part_blocks(const struct rendered *t, uint64_t blocks)
{
    uint64_t bytes = snapshot_results(t->snapshot)->tables[t->table].estimate;
    uint64_t n = bytes ? PART_HEAP * blocks / bytes : PART_BLOCKS;

    return n < 1 ? 1 : n > PART_BLOCKS ? PART_BLOCKS : n;
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
    w->part_blocks = part_blocks(r->table, blocks);
    w->parts = blocks ? (blocks + w->part_blocks - 1) / w->part_blocks : 1;
    w->next = w->turns = w->unsynced = 0;
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

int writing_sync(struct writing *w, struct err *err)
{
    int rc;

    pthread_mutex_lock(&w->lock);
    while (w->syncing)
        pthread_cond_wait(&w->synced, &w->lock);
    rc = w->sync_rc;
    pthread_mutex_unlock(&w->lock);
    return rc < 0 ? err_set(err, -rc, "cannot bring what was written to disk: %s", strerror(-rc))
                  : 0;
}
