/*
 * A part of a file that a reader will want is in the queue while it is WANTED; who takes it out makes it,
 * BUSY, and nobody else touches its buffer until it is DONE or FAILED. Whoever needs it either takes it
 * out or waits for a thread that is at it, which itself waits for nobody.
 */
#include "view/ahead.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/proc.h"

#define PART (256u << 10)
#define PARTS 8u /* a reader */
#define READERS 4u
/* The kernel sends several reads at once, and they may come in another order: so far apart. */
#define SLACK (4u << 20)

enum state { UNUSED, WANTED, BUSY, DONE, FAILED };

struct part {
    enum state state; /* protected by the lock, as are next, users and read */
    struct part *next;
    const struct flatfile *file;
    char *buffer; /* of PART bytes; NULL: none yet */
    uint64_t offset;
    size_t size;
    unsigned users; /* reads that copy from it, or wait for it */
    size_t read;    /* bytes that were asked for */
};

struct ahead_reader {
    struct ahead *ahead;
    struct ahead_reader *next, **link;
    const struct flatfile *file;
    uint64_t begin, end; /* of what he has asked for in order */
    uint64_t planned;    /* end of the last part */
    struct part *parts;  /* NULL: none yet */
};

struct ahead {
    pthread_t *threads;
    unsigned running;

    pthread_mutex_t lock; /* protects what follows, and the readers but their file */
    pthread_cond_t more;  /* something is queued, or `ended` is set */
    pthread_cond_t made;  /* a part was made */
    bool ended;           /* or not begun */
    bool unordered;       /* ahead_leave_order */
    struct part *first, **last;
    struct ahead_reader *readers;
    unsigned with_parts; /* of the readers */
};

/* ---- parts; under the lock, which is free while one is made ---- */

static void queue_part(struct ahead *a, struct part *p)
{
    p->state = WANTED;
    p->next = NULL;
    *a->last = p;
    a->last = &p->next;
    pthread_cond_signal(&a->more);
}

static void take_out(struct ahead *a, struct part *p)
{
    struct part **at = &a->first;

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    if (!*at)
        a->last = at;
}

static void make_part(struct ahead *a, struct part *p)
{
    int rc;

    take_out(a, p);
    p->state = BUSY;
    pthread_mutex_unlock(&a->lock);
    rc = flatfile_try(p->file, p->buffer, p->size, p->offset);
    pthread_mutex_lock(&a->lock);
    p->state = rc < 0 ? FAILED : DONE;
    pthread_cond_broadcast(&a->made);
}

/* DONE or FAILED afterwards. */
static void finish_part(struct ahead *a, struct part *p)
{
    if (p->state == WANTED)
        make_part(a, p);
    while (p->state == BUSY)
        pthread_cond_wait(&a->made, &a->lock);
}

static void *run_thread(void *ahead)
{
    struct ahead *a = ahead;

    pthread_mutex_lock(&a->lock);
    while (!a->ended) {
        if (a->first)
            make_part(a, a->first);
        else
            pthread_cond_wait(&a->more, &a->lock);
    }
    pthread_mutex_unlock(&a->lock);
    return NULL;
}

/* ---- those of a reader; under the lock ---- */

/* Waits for a thread that is at it. */
static void forget_part(struct ahead *a, struct part *p)
{
    if (p->state == WANTED)
        take_out(a, p);
    while (p->state == BUSY)
        pthread_cond_wait(&a->made, &a->lock);
    p->state = UNUSED;
}

static bool is_stale(const struct ahead_reader *r, const struct part *p)
{
    return !p->users && p->state != BUSY &&
           (p->state == UNUSED || p->state == FAILED || p->read >= p->size ||
            p->offset + p->size + PART <= r->end);
}

static struct part *free_part(struct ahead_reader *r)
{
    unsigned i;

    for (i = 0; i < PARTS; i++)
        if (is_stale(r, &r->parts[i])) {
            forget_part(r->ahead, &r->parts[i]);
            return &r->parts[i];
        }
    return NULL;
}

static struct part *find_part(struct ahead_reader *r, uint64_t offset)
{
    unsigned i;

    for (i = 0; r->parts && i < PARTS; i++) {
        struct part *p = &r->parts[i];

        if (p->state != UNUSED && offset >= p->offset && offset - p->offset < p->size)
            return p;
    }
    return NULL;
}

static bool take_parts(struct ahead_reader *r)
{
    if (!r->parts && r->ahead->with_parts < READERS) {
        r->parts = mem_array(PARTS, sizeof(*r->parts));
        r->ahead->with_parts++;
    }
    return r->parts;
}

static char *part_buffer(struct part *p)
{
    if (!p->buffer)
        p->buffer = mem_alloc(PART);
    return p->buffer;
}

/* As far ahead as he has come. */
static void plan(struct ahead_reader *r)
{
    uint64_t far = r->end + (r->end - r->begin), size = r->file->size;
    struct part *p;

    if (r->ahead->ended || r->ahead->unordered || !take_parts(r))
        return;
    if (r->planned < r->end)
        r->planned = r->end;
    while (r->planned < size && r->planned < far && (p = free_part(r))) {
        *p = (struct part){.file = r->file,
                           .buffer = part_buffer(p),
                           .offset = r->planned,
                           .size = size - r->planned < PART ? (size_t)(size - r->planned) : PART};
        r->planned += p->size;
        queue_part(r->ahead, p);
    }
}

/* He is somewhere else now. */
static void forget_parts(struct ahead_reader *r)
{
    unsigned i;

    for (i = 0; r->parts && i < PARTS; i++)
        if (!r->parts[i].users && r->parts[i].state != BUSY)
            forget_part(r->ahead, &r->parts[i]);
    r->planned = 0;
}

/* Does it go on where he was? */
static bool note_read(struct ahead_reader *r, size_t size, uint64_t offset)
{
    bool follows = r->end && offset <= r->end + SLACK && offset + SLACK >= r->end;

    if (!follows) {
        forget_parts(r);
        r->begin = offset;
        r->end = offset + size;
    } else if (r->end < offset + size) {
        r->end = offset + size;
    }
    return follows;
}

/* ---- reading ---- */

static int read_now(const struct ahead_reader *r, char *buffer, size_t size, uint64_t offset)
{
    int64_t n = flatfile_read(r->file, buffer, size, offset);

    return n < 0 ? (int)n : 0;
}

/* Under the lock, which is free meanwhile. n bytes of the part. */
static int read_part(struct ahead_reader *r, struct part *p, char *buffer, size_t n,
                     uint64_t offset)
{
    struct ahead *a = r->ahead;
    int rc = 0;

    p->users++;
    p->read += n;
    finish_part(a, p);
    pthread_mutex_unlock(&a->lock);
    if (p->state == DONE)
        memcpy(buffer, p->buffer + (offset - p->offset), n);
    else
        rc = read_now(r, buffer, n, offset);
    pthread_mutex_lock(&a->lock);
    p->users--;
    return rc;
}

/* How much from there on is in no part. */
static size_t bytes_between(struct ahead_reader *r, size_t size, uint64_t offset)
{
    unsigned i;

    for (i = 0; r->parts && i < PARTS; i++) {
        const struct part *p = &r->parts[i];

        if (p->state != UNUSED && p->offset > offset && p->offset - offset < size)
            size = (size_t)(p->offset - offset);
    }
    return size;
}

/* Under the lock, which is free meanwhile. */
static int read_all(struct ahead_reader *r, char *buffer, size_t size, uint64_t offset)
{
    struct part *p;
    size_t n;
    int rc = 0;

    for (; size && rc == 0; size -= n, buffer += n, offset += n) {
        p = find_part(r, offset);
        if (p) {
            n = (size_t)(p->offset + p->size - offset);
            n = n < size ? n : size;
            rc = read_part(r, p, buffer, n, offset);
            continue;
        }
        n = bytes_between(r, size, offset);
        pthread_mutex_unlock(&r->ahead->lock);
        rc = read_now(r, buffer, n, offset);
        pthread_mutex_lock(&r->ahead->lock);
    }
    return rc;
}

int64_t ahead_read(struct ahead_reader *r, void *buffer, size_t size, uint64_t offset)
{
    int rc;

    if (offset >= r->file->size)
        return 0;
    if (size > r->file->size - offset)
        size = (size_t)(r->file->size - offset);
    pthread_mutex_lock(&r->ahead->lock);
    if (note_read(r, size, offset))
        plan(r);
    rc = read_all(r, buffer, size, offset);
    pthread_mutex_unlock(&r->ahead->lock);
    return rc < 0 ? rc : (int64_t)size;
}

/* ---- readers ---- */

struct ahead_reader *ahead_open(struct ahead *a, const struct flatfile *f)
{
    struct ahead_reader *r = mem_alloc(sizeof(*r));

    pthread_mutex_lock(&a->lock);
    *r = (struct ahead_reader){.ahead = a, .file = f, .next = a->readers, .link = &a->readers};
    if (r->next)
        r->next->link = &r->next;
    a->readers = r;
    pthread_mutex_unlock(&a->lock);
    return r;
}

static void free_reader(struct ahead_reader *r)
{
    unsigned i;

    for (i = 0; r->parts && i < PARTS; i++)
        free(r->parts[i].buffer);
    free(r->parts);
    free(r);
}

void ahead_close(struct ahead_reader *r)
{
    struct ahead *a = r->ahead;
    unsigned i;

    pthread_mutex_lock(&a->lock);
    for (i = 0; r->parts && i < PARTS; i++)
        forget_part(a, &r->parts[i]);
    a->with_parts -= r->parts != NULL;
    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    pthread_mutex_unlock(&a->lock);
    free_reader(r);
}

/* ---- its life ---- */

struct ahead *ahead_new(void)
{
    struct ahead *a = mem_alloc(sizeof(*a));

    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->more, NULL);
    pthread_cond_init(&a->made, NULL);
    a->last = &a->first;
    a->ended = true;
    return a;
}

int ahead_begin(struct ahead *a, unsigned threads, struct err *err)
{
    int rc = 0;

    a->threads = mem_array(threads, sizeof(*a->threads));
    a->ended = false;
    while (rc == 0 && a->running < threads) {
        rc = proc_thread(&a->threads[a->running], run_thread, a);
        a->running += rc == 0;
    }
    return rc == 0 ? 0 : err_set(err, rc, "cannot start a thread: %s", strerror(rc));
}

void ahead_end(struct ahead *a)
{
    pthread_mutex_lock(&a->lock);
    a->ended = true;
    pthread_cond_broadcast(&a->more);
    pthread_mutex_unlock(&a->lock);
    while (a->running)
        pthread_join(a->threads[--a->running], NULL);
}

void ahead_free(struct ahead *a)
{
    if (!a)
        return;
    ahead_end(a);
    while (a->readers)
        ahead_close(a->readers);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->more);
    pthread_cond_destroy(&a->made);
    free(a->threads);
    free(a);
}

void ahead_leave_order(struct ahead *a)
{
    pthread_mutex_lock(&a->lock);
    a->unordered = true;
    pthread_mutex_unlock(&a->lock);
}
