#include "render/toast.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "common/mem.h"
#include "render/blocks.h"
#include "render/varlena.h"
#include "render/xacts.h"

#define CHUNK RENDER_TOAST_CHUNK
#define RUN 32u /* blocks that the pass reads at once */

struct chunk {
    uint32_t value, number, block;
    uint16_t item;
    bool deleted;
    bool twice; /* another row says that it is this chunk */
};

_Static_assert(sizeof(struct chunk) == 16, "toast.h says so");

struct map {
    struct chunk *chunks; /* by value and number, once they are sorted */
    size_t n, room;
    const char *damage; /* what was left out: the first; NULL: nothing */
};

enum { NOT_MADE, MADE, FAILED };

struct render_toast {
    struct render_pages pages;
    struct render_xacts *xacts;
    bool checksums;
    struct render_source *source;
    pthread_mutex_t lock; /* of who makes the map */
    atomic_int state;     /* what follows is written before it leaves NOT_MADE, and read after */
    struct map map;
    int rc; /* FAILED: why */
    const char *fault;
};

struct render_toast *render_toast_new(const struct render_pages *pages, struct render_xacts *xacts,
                                      bool checksums)
{
    struct render_toast *t = mem_alloc(sizeof(*t));

    t->pages = *pages;
    t->xacts = xacts;
    t->checksums = checksums;
    t->source = render_source_new(pages, checksums);
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

void render_toast_free(struct render_toast *t)
{
    if (!t)
        return;
    free(t->map.chunks);
    render_source_drop(t->source);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

/* ---- a row ---- */

struct row {
    uint32_t value, number;
    const char *bytes;
    size_t size;
};

/* NULL: it is a chunk; else what is wrong with it. */
static const char *read_chunk(const char *p, size_t len, struct row *row)
{
    size_t hoff = (unsigned char)p[22], header, size;

    if (p[20] & 1 || (bytes_u16(p + 18) & 0x7ff) != 3 || len < hoff + 9)
        return "a row of the TOAST table is no chunk";
    row->value = bytes_u32(p + hoff);
    row->number = bytes_u32(p + hoff + 4);
    p += hoff + 8;
    size = varlena_size(p, len - hoff - 8);
    header = *p & 1 ? 1 : 4;
    if (size < header || *p == 1 || (*p & 3) == 2 || size - header > CHUNK)
        return "a chunk in the TOAST table is damaged";
    row->bytes = p + header;
    row->size = size - header;
    return NULL;
}

/* ---- the pass over the table ---- */

static void leave_out(struct map *m, const char *damage)
{
    if (!m->damage)
        m->damage = damage;
}

static void add_chunk(struct map *m, struct chunk c)
{
    m->chunks = mem_grow(m->chunks, m->n, &m->room, sizeof(*m->chunks));
    m->chunks[m->n++] = c;
}

static void map_row(struct render_toast *t, struct map *m, uint64_t block, int item, const char *p,
                    size_t len)
{
    const char *fault = NULL;
    int inserted = render_xacts_inserted(t->xacts, p, &fault);
    int shows = inserted > 0 ? render_xacts_shows(t->xacts, p, &fault) : 0;
    struct row row;

    if (inserted > 0 && shows >= 0)
        fault = read_chunk(p, len, &row);
    if (fault)
        leave_out(m, fault);
    else if (inserted > 0)
        add_chunk(m, (struct chunk){row.value, row.number, (uint32_t)block, (uint16_t)item, !shows,
                                    false});
}

static void map_page(struct render_toast *t, struct map *m, uint64_t block, const char *page)
{
    const char *fault = NULL, *row = NULL;
    int i, rc, n = render_page_items(page, t->checksums, block, &fault);
    size_t len = 0;

    for (i = 1; i <= n; i++) {
        rc = render_page_row(page, i, &row, &len, &fault);
        if (rc > 0)
            map_row(t, m, block, i, row, len);
        else if (rc < 0)
            leave_out(m, fault);
    }
    if (n < 0)
        leave_out(m, fault);
}

static int map_pages(struct render_toast *t, struct map *m)
{
    uint64_t block, left = t->pages.blocks;
    unsigned i, n = left < RUN ? (unsigned)left : RUN;
    char *pages = mem_array(n, RENDER_BLOCK);
    int rc = 0;

    for (block = 0; rc == 0 && block < t->pages.blocks; block += n) {
        left = t->pages.blocks - block;
        n = left < RUN ? (unsigned)left : RUN;
        rc = t->pages.read(t->pages.arg, block, n, pages);
        for (i = 0; rc == 0 && i < n; i++)
            map_page(t, m, block + i, pages + (size_t)i * RENDER_BLOCK);
    }
    free(pages);
    return rc;
}

/* ---- its order ---- */

static uint64_t key_of(const struct chunk *c)
{
    return (uint64_t)c->value << 32 | c->number;
}

static bool in_order(const struct map *m)
{
    size_t i;

    for (i = 1; i < m->n; i++)
        if (key_of(&m->chunks[i - 1]) > key_of(&m->chunks[i]))
            return false;
    return true;
}

static void insert_sort(struct chunk *c, size_t n)
{
    struct chunk one;
    size_t i, k;

    for (i = 1; i < n; i++) {
        one = c[i];
        for (k = i; k > 0 && key_of(&c[k - 1]) > key_of(&one); k--)
            c[k] = c[k - 1];
        c[k] = one;
    }
}

static size_t byte_of(const struct chunk *c, unsigned shift)
{
    return key_of(c) >> shift & 255;
}

/* Sorts by the byte of the key at `shift`, in place (qsort would take as much memory again): each chunk
 * changes places with one that lies where it belongs. ends[b]: behind those of byte b. */
static void place_by_byte(struct chunk *c, size_t n, unsigned shift, size_t ends[256])
{
    size_t next[256], i, b, sum = 0;
    struct chunk one;

    memset(ends, 0, 256 * sizeof(*ends));
    for (i = 0; i < n; i++)
        ends[byte_of(&c[i], shift)]++;
    for (b = 0; b < 256; b++) {
        next[b] = sum;
        sum += ends[b];
        ends[b] = sum;
    }
    for (b = 0; b < 256; b++) {
        while (next[b] < ends[b]) {
            one = c[next[b]];
            i = byte_of(&one, shift);
            c[next[b]] = c[next[i]];
            c[next[i]++] = one;
        }
    }
}

static void sort_chunks(struct chunk *c, size_t n, unsigned shift)
{
    size_t ends[256], b, from = 0;

    if (n < 64) {
        insert_sort(c, n);
        return;
    }
    place_by_byte(c, n, shift, ends);
    for (b = 0; shift > 0 && b < 256; b++) {
        sort_chunks(c + from, ends[b] - from, shift - 8);
        from = ends[b];
    }
}

/* Of rows that say they are the same chunk one stays: the one that is not deleted, as values that are gone
 * leave their numbers to others. */
static void keep_one_of_each(struct map *m)
{
    struct chunk *last, *c;
    size_t i, n = 0;

    for (i = 0; i < m->n; i++) {
        c = &m->chunks[i];
        last = n ? &m->chunks[n - 1] : NULL;
        if (!last || key_of(last) != key_of(c))
            m->chunks[n++] = *c;
        else if (last->deleted)
            *last = *c;
        else if (!c->deleted)
            last->twice = true;
    }
    m->n = n;
}

static void order_map(struct map *m)
{
    if (!in_order(m))
        sort_chunks(m->chunks, m->n, 56);
    keep_one_of_each(m);
    if (m->n < m->room)
        m->chunks = mem_resize(m->chunks, m->n, sizeof(*m->chunks));
    m->room = m->n;
}

/* ---- once ---- */

static int make_map(struct render_toast *t)
{
    if (t->pages.blocks > UINT32_MAX) {
        t->fault = "the TOAST table is too long";
        t->rc = -EIO;
        return FAILED;
    }
    t->rc = map_pages(t, &t->map);
    if (t->rc < 0) {
        free(t->map.chunks);
        t->map = (struct map){0};
        t->fault = "the TOAST table cannot be read";
        return FAILED;
    }
    order_map(&t->map);
    return MADE;
}

static int need_map(struct render_work *w, struct render_toast *t)
{
    int state = atomic_load_explicit(&t->state, memory_order_acquire);

    if (state == NOT_MADE) {
        pthread_mutex_lock(&t->lock);
        state = atomic_load_explicit(&t->state, memory_order_relaxed);
        if (state == NOT_MADE) {
            state = make_map(t);
            atomic_store_explicit(&t->state, state, memory_order_release);
        }
        pthread_mutex_unlock(&t->lock);
    }
    if (state == MADE)
        return 0;
    w->fault = t->fault;
    return t->rc;
}

/* ---- a value ---- */

/* The first that is not before number 0 of the value. */
static size_t find_value(const struct map *m, uint32_t value)
{
    size_t from = 0, to = m->n, middle;

    while (from < to) {
        middle = from + (to - from) / 2;
        if (m->chunks[middle].value < value)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* A chunk that is deleted is a last resort, but not where damage may hide the one that is not. */
static bool is_number(const struct map *m, size_t at, uint32_t value, size_t number)
{
    const struct chunk *c = at < m->n ? &m->chunks[at] : NULL;

    return c && c->value == value && c->number == number && !(c->deleted && m->damage);
}

/* Are numbers 0 to n - 1 there from `at` on, once each, and no more of the value? */
static int check_chunks(struct render_work *w, const struct map *m, size_t at, uint32_t value,
                        size_t n)
{
    size_t i;

    for (i = 0; i < n; i++) {
        if (!is_number(m, at + i, value, i))
            return render_fail(w, m->damage ? m->damage : "a chunk is missing in the TOAST table");
        if (m->chunks[at + i].twice)
            return render_fail(w, "a chunk is twice in the TOAST table");
    }
    if (at + n < m->n && m->chunks[at + n].value == value && !m->chunks[at + n].deleted)
        return render_fail(w, "a value in the TOAST table is longer than its pointer says");
    return 0;
}

static int append_chunk(struct render_work *w, const struct chunk *c, size_t size, struct out *o)
{
    const char *page = NULL, *p = NULL, *fault = NULL;
    size_t len = 0;
    struct row row = {0};
    int rc = render_blocks_page(w->blocks, w->toast->source, c->block, &page, &w->fault);

    if (rc < 0)
        return rc;
    if (c->item > rc || render_page_row(page, c->item, &p, &len, &fault) != 1 ||
        read_chunk(p, len, &row) || row.value != c->value || row.number != c->number)
        return render_fail(w, "a chunk is no longer where it was in the TOAST table");
    if (row.size != size)
        return render_fail(w, "a chunk in the TOAST table has a wrong length");
    out_put(o, row.bytes, row.size);
    return 0;
}

int render_toast_fetch(struct render_work *w, uint32_t value, size_t size, struct out *o)
{
    size_t n = (size + CHUNK - 1) / CHUNK, at, i;
    const struct map *m = &w->toast->map;
    int rc = need_map(w, w->toast);

    if (rc < 0)
        return rc;
    at = find_value(m, value);
    rc = check_chunks(w, m, at, value, n);
    if (rc < 0)
        return rc;
    if (!w->blocks)
        w->blocks = render_blocks_new();
    out_place(o, size);
    for (i = 0; rc == 0 && i < n; i++)
        rc = append_chunk(w, &m->chunks[at + i], i + 1 < n ? CHUNK : size - i * CHUNK, o);
    return rc;
}
