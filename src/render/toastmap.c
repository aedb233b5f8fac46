#include "render/toastmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "common/mem.h"

#define LEAST 4096u /* runs that always have memory: of a map, of a buffer */
#define STEP 256u   /* runs between two that the index has, or a multiple */
#define FAN 16u     /* pieces that are merged at once */
#define SIZE sizeof(struct toastmap_run)

_Static_assert(SIZE == 16, "toastmap.h says so");

struct toastmap {
    struct toastmap_room room;
    uint64_t taken; /* bytes of the room's memory */

    struct toastmap_run *runs; /* sorted, once it is finished */
    size_t n, allocated;
    struct toastmap_chunk last; /* that was added */

    int fd;           /* -1: all is in memory */
    uint64_t total;   /* runs in the file */
    uint64_t *pieces; /* where each ends */
    size_t npieces, pieces_room;
    uint32_t *index; /* value of every step-th run in the file */
    size_t nindex, step;
};

struct toastmap *toastmap_new(const struct toastmap_room *room)
{
    struct toastmap *m = mem_alloc(sizeof(*m));

    if (room)
        m->room = *room;
    m->fd = -1;
    return m;
}

/* ---- memory ---- */

static bool take_memory(struct toastmap *m, uint64_t bytes)
{
    struct render_memory *memory = m->room.memory;

    if (!memory)
        return true;
    if (render_memory_left(memory) / 2 < bytes || !render_memory_take(memory, bytes))
        return false;
    m->taken += bytes;
    return true;
}

static void give_memory(struct toastmap *m, uint64_t bytes)
{
    if (m->room.memory)
        render_memory_give(m->room.memory, bytes);
    m->taken -= m->room.memory ? bytes : 0;
}

static void drop_runs(struct toastmap *m)
{
    free(m->runs);
    m->runs = NULL;
    m->n = m->allocated = 0;
    give_memory(m, m->taken);
}

static void drop_file(struct toastmap *m)
{
    if (m->fd >= 0)
        close(m->fd);
    m->fd = -1;
}

void toastmap_free(struct toastmap *m)
{
    if (!m)
        return;
    drop_runs(m);
    drop_file(m);
    free(m->pieces);
    free(m->index);
    free(m);
}

/* ---- order ---- */

static uint64_t key_of(const struct toastmap_run *r)
{
    return (uint64_t)r->value << 32 | r->number;
}

static bool in_order(const struct toastmap_run *r, size_t n)
{
    size_t i;

    for (i = 1; i < n; i++)
        if (key_of(&r[i - 1]) > key_of(&r[i]))
            return false;
    return true;
}

static void insert_sort(struct toastmap_run *r, size_t n)
{
    struct toastmap_run one;
    size_t i, k;

    for (i = 1; i < n; i++) {
        one = r[i];
        for (k = i; k > 0 && key_of(&r[k - 1]) > key_of(&one); k--)
            r[k] = r[k - 1];
        r[k] = one;
    }
}

static size_t byte_of(const struct toastmap_run *r, unsigned shift)
{
    return key_of(r) >> shift & 255;
}

/* Sorts by the byte of the key at `shift`, in place (qsort would take as much memory again): each run
 * changes places with one that lies where it belongs. ends[b]: behind those of byte b. */
static void place_by_byte(struct toastmap_run *r, size_t n, unsigned shift, size_t ends[256])
{
    size_t next[256], i, b, sum = 0;
    struct toastmap_run one;

    memset(ends, 0, 256 * sizeof(*ends));
    for (i = 0; i < n; i++)
        ends[byte_of(&r[i], shift)]++;
    for (b = 0; b < 256; b++) {
        next[b] = sum;
        sum += ends[b];
        ends[b] = sum;
    }
    for (b = 0; b < 256; b++) {
        while (next[b] < ends[b]) {
            one = r[next[b]];
            i = byte_of(&one, shift);
            r[next[b]] = r[next[i]];
            r[next[i]++] = one;
        }
    }
}

static void sort_runs(struct toastmap_run *r, size_t n, unsigned shift)
{
    size_t ends[256], b, from = 0;

    if (n < 64) {
        insert_sort(r, n);
        return;
    }
    place_by_byte(r, n, shift, ends);
    for (b = 0; shift > 0 && b < 256; b++) {
        sort_runs(r + from, ends[b] - from, shift - 8);
        from = ends[b];
    }
}

static void order_runs(struct toastmap *m)
{
    if (!in_order(m->runs, m->n))
        sort_runs(m->runs, m->n, 56);
}

/* ---- the file ---- */

static int write_runs(int fd, const struct toastmap_run *r, size_t n, uint64_t at)
{
    return n ? io_pwrite_all(fd, r, n * SIZE, at * SIZE) : 0;
}

static int read_runs(int fd, struct toastmap_run *r, size_t n, uint64_t at)
{
    int64_t got = n ? io_pread_full(fd, r, n * SIZE, at * SIZE) : 0;

    return got < 0 ? (int)got : (size_t)got == n * SIZE ? 0 : -EIO;
}

static void end_piece(struct toastmap *m, uint64_t end)
{
    m->pieces = mem_grow(m->pieces, m->npieces, &m->pieces_room, sizeof(*m->pieces));
    m->pieces[m->npieces++] = end;
}

/* What is in memory becomes a piece. */
static int spill(struct toastmap *m)
{
    int rc;

    if (m->fd < 0)
        m->fd = m->room.file(m->room.arg);
    if (m->fd < 0)
        return m->fd;
    order_runs(m);
    rc = write_runs(m->fd, m->runs, m->n, m->total);
    m->total += m->n;
    m->n = 0;
    end_piece(m, m->total);
    return rc;
}

/* ---- merging ---- */

struct head { /* of a piece */
    struct toastmap_run *runs;
    size_t at, n;       /* of those in memory */
    uint64_t next, end; /* in the file */
};

/* Is there a first one? Or -errno. */
static int fill_head(const struct toastmap *m, struct head *h)
{
    int rc;

    if (h->at < h->n)
        return 1;
    if (h->next == h->end)
        return 0;
    h->n = h->end - h->next < LEAST ? (size_t)(h->end - h->next) : LEAST;
    h->at = 0;
    rc = read_runs(m->fd, h->runs, h->n, h->next);
    h->next += h->n;
    return rc < 0 ? rc : 1;
}

/* The head with the least; NULL: all are empty. */
static int find_least(const struct toastmap *m, struct head *heads, size_t n, struct head **least)
{
    size_t i;
    int rc;

    *least = NULL;
    for (i = 0; i < n; i++) {
        rc = fill_head(m, &heads[i]);
        if (rc < 0)
            return rc;
        if (rc && (!*least ||
                   key_of(&heads[i].runs[heads[i].at]) < key_of(&(*least)->runs[(*least)->at])))
            *least = &heads[i];
    }
    return 0;
}

/* n pieces from `first` on; *to is where in the other file. */
static int merge_pieces(const struct toastmap *m, size_t first, size_t n, int fd, uint64_t *to)
{
    struct toastmap_run *buffers = mem_array((FAN + 1) * LEAST, SIZE), *out = buffers + FAN * LEAST;
    struct head heads[FAN] = {0}, *least = NULL;
    size_t i, filled = 0;
    int rc;

    for (i = 0; i < n; i++)
        heads[i] = (struct head){.runs = buffers + i * LEAST,
                                 .next = first + i ? m->pieces[first + i - 1] : 0,
                                 .end = m->pieces[first + i]};
    rc = find_least(m, heads, n, &least);
    while (rc == 0 && least) {
        out[filled++] = least->runs[least->at++];
        if (filled == LEAST) {
            rc = write_runs(fd, out, filled, *to);
            *to += filled;
            filled = 0;
        }
        if (rc == 0)
            rc = find_least(m, heads, n, &least);
    }
    if (rc == 0)
        rc = write_runs(fd, out, filled, *to);
    *to += filled;
    free(buffers);
    return rc;
}

/* Into another file, in which there are fewer. */
static int merge_all(struct toastmap *m)
{
    int fd = m->room.file(m->room.arg), rc = fd < 0 ? fd : 0;
    size_t first, n, merged = 0;
    uint64_t to = 0;

    for (first = 0; first < m->npieces && rc == 0; first += n) {
        n = m->npieces - first < FAN ? m->npieces - first : FAN;
        rc = merge_pieces(m, first, n, fd, &to);
        m->pieces[merged++] =
            to; /* those up to here are no longer needed but for the last one's end */
    }
    m->npieces = merged;
    drop_file(m);
    m->fd = fd;
    return rc;
}

/* Of a file that is one piece. */
static int make_index(struct toastmap *m)
{
    struct toastmap_run run;
    size_t i;
    int rc = 0;

    m->step = STEP;
    while (m->total / m->step > LEAST && !take_memory(m, m->total / m->step * sizeof(*m->index)))
        m->step *= 2;
    m->nindex = (size_t)((m->total + m->step - 1) / m->step);
    m->index = mem_array(m->nindex, sizeof(*m->index));
    for (i = 0; i < m->nindex && rc == 0; i++) {
        rc = read_runs(m->fd, &run, 1, i * m->step);
        m->index[i] = run.value;
    }
    return rc;
}

/* ---- filling ---- */

static int make_place(struct toastmap *m)
{
    size_t more = m->allocated ? m->allocated : LEAST;

    if (m->n < m->allocated)
        return 0;
    if (m->allocated && !take_memory(m, more * SIZE))
        return spill(m);
    m->allocated += more;
    m->runs = mem_resize(m->runs, m->allocated, SIZE);
    return 0;
}

/* Is it where the chunk before it ends? */
static bool is_next(const struct toastmap_chunk *last, const struct toastmap_chunk *c)
{
    if (c->value != last->value || c->number != last->number + 1 || c->deleted != last->deleted)
        return false;
    return last->last ? c->block == last->block + 1 && c->item == 1
                      : c->block == last->block && c->item == last->item + 1;
}

int toastmap_add(struct toastmap *m, const struct toastmap_chunk *c)
{
    struct toastmap_run *before = m->n ? &m->runs[m->n - 1] : NULL;
    int rc = 0;

    if (before && is_next(&m->last, c) && toastmap_count(before) < TOASTMAP_MOST) {
        before->rest++;
    } else {
        rc = make_place(m);
        if (rc == 0)
            m->runs[m->n++] =
                (struct toastmap_run){c->value, c->number, c->block,
                                      1u | (uint32_t)c->item << 18 | (uint32_t)c->deleted << 30};
    }
    m->last = *c;
    return rc;
}

static void finish_in_memory(struct toastmap *m)
{
    uint64_t needed = m->n > LEAST ? (m->n - LEAST) * SIZE : 0;

    order_runs(m);
    if (m->n)
        m->runs = mem_resize(m->runs, m->n, SIZE);
    m->allocated = m->n;
    if (m->taken > needed)
        give_memory(m, m->taken - needed);
}

int toastmap_finish(struct toastmap *m)
{
    int rc;

    if (m->fd < 0) {
        finish_in_memory(m);
        return 0;
    }
    rc = spill(m);
    drop_runs(m);
    while (rc == 0 && m->npieces > 1)
        rc = merge_all(m);
    return rc == 0 ? make_index(m) : rc;
}

/* ---- finding ---- */

/* The first run that is not before the value. */
static size_t find_first(const struct toastmap *m, uint32_t value)
{
    size_t from = 0, to = m->n, middle;

    while (from < to) {
        middle = from + (to - from) / 2;
        if (m->runs[middle].value < value)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Where in the file to begin: a run of the index before the value, or the first of all. */
static uint64_t find_step(const struct toastmap *m, uint32_t value)
{
    size_t from = 0, to = m->nindex, middle;

    while (from < to) {
        middle = from + (to - from) / 2;
        if (m->index[middle] < value)
            from = middle + 1;
        else
            to = middle;
    }
    return from ? (uint64_t)(from - 1) * m->step : 0;
}

/* Of n runs in *o behind those that are kept: those of the value are kept, too. */
static void keep_those(struct out *o, size_t n, uint32_t value)
{
    struct toastmap_run *r = (void *)o->p;
    size_t kept = o->n / SIZE, end = kept + n, i;

    for (i = kept; i < end; i++)
        if (r[i].value == value)
            r[kept++] = r[i];
    o->n = kept * SIZE;
}

static int find_in_file(const struct toastmap *m, uint32_t value, struct out *o)
{
    uint64_t at = find_step(m, value);
    struct toastmap_run *r;
    bool beyond = false;
    size_t n;
    int rc = 0;

    for (; at < m->total && !beyond && rc == 0; at += n) {
        n = m->total - at < m->step ? (size_t)(m->total - at) : m->step;
        r = (void *)out_place(o, n * SIZE);
        rc = read_runs(m->fd, r, n, at);
        beyond = rc == 0 && r[n - 1].value > value;
        if (rc == 0)
            keep_those(o, n, value);
    }
    return rc;
}

int toastmap_find(const struct toastmap *m, uint32_t value, struct out *o,
                  const struct toastmap_run **runs, size_t *n)
{
    size_t first;
    int rc = 0;

    o->n = 0;
    if (m->fd >= 0) {
        rc = find_in_file(m, value, o);
        *runs = (const void *)o->p;
        *n = o->n / SIZE;
        return rc;
    }
    first = find_first(m, value);
    *runs = m->runs + first;
    for (*n = 0; first + *n < m->n && (*runs)[*n].value == value; ++*n)
        ;
    return 0;
}
