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
#define NO_FILE "the file with the map of the TOAST table cannot be used"
#define RUN 32u /* blocks that the pass reads at once */

enum { NOT_MADE, MADE, FAILED };

struct render_toast {
    struct render_pages pages;
    struct render_xacts *xacts;
    bool checksums;
    struct render_source *source;
    pthread_mutex_t lock; /* of who makes the map */
    atomic_int state;     /* what follows is written before it leaves NOT_MADE, and read after */
    struct toastmap *map;
    const char *damage; /* what was left out of it: the first; NULL: nothing */
    int rc;             /* FAILED: why */
    const char *fault;
};

struct render_toast *render_toast_new(const struct render_pages *pages, struct render_xacts *xacts,
                                      bool checksums, const struct toastmap_room *room)
{
    struct render_toast *t = mem_alloc(sizeof(*t));

    t->pages = *pages;
    t->xacts = xacts;
    t->checksums = checksums;
    t->source = render_source_new(pages, checksums);
    t->map = toastmap_new(room);
    pthread_mutex_init(&t->lock, NULL);
    return t;
}

void render_toast_free(struct render_toast *t)
{
    if (!t)
        return;
    toastmap_free(t->map);
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

static void leave_out(struct render_toast *t, const char *damage)
{
    if (!t->damage)
        t->damage = damage;
}

/* c says where it is. */
static int map_row(struct render_toast *t, struct toastmap_chunk *c, const char *p, size_t len)
{
    const char *fault = NULL;
    int inserted = render_xacts_inserted(t->xacts, p, &fault);
    int shows = inserted > 0 ? render_xacts_shows(t->xacts, p, &fault) : 0;
    struct row row;

    if (inserted > 0 && shows >= 0)
        fault = read_chunk(p, len, &row);
    if (fault)
        leave_out(t, fault);
    if (fault || inserted <= 0)
        return 0;
    c->value = row.value;
    c->number = row.number;
    c->deleted = !shows;
    return toastmap_add(t->map, c);
}

static int map_page(struct render_toast *t, uint32_t block, const char *page)
{
    const char *fault = NULL, *row = NULL;
    int i, found, rc = 0, n = render_page_items(page, t->checksums, block, &fault);
    size_t len = 0;

    for (i = 1; i <= n && rc == 0; i++) {
        struct toastmap_chunk c = {.block = block, .item = i, .last = i == n};

        found = render_page_row(page, i, &row, &len, &fault);
        if (found > 0)
            rc = map_row(t, &c, row, len);
        else if (found < 0)
            leave_out(t, fault);
    }
    if (n < 0)
        leave_out(t, fault);
    return rc;
}

static int fail_map(struct render_toast *t, int rc, const char *fault)
{
    if (rc < 0)
        t->fault = fault;
    return rc;
}

static int map_pages(struct render_toast *t)
{
    uint64_t block, left = t->pages.blocks;
    unsigned i, n = left < RUN ? (unsigned)left : RUN;
    char *pages = mem_array(n, RENDER_BLOCK);
    int rc = 0;

    for (block = 0; rc == 0 && block < t->pages.blocks; block += n) {
        left = t->pages.blocks - block;
        n = left < RUN ? (unsigned)left : RUN;
        rc = t->pages.read(t->pages.arg, block, n, pages);
        if (rc < 0)
            fail_map(t, rc, "the TOAST table cannot be read");
        for (i = 0; rc == 0 && i < n; i++)
            rc = fail_map(t, map_page(t, (uint32_t)(block + i), pages + (size_t)i * RENDER_BLOCK),
                          NO_FILE);
    }
    free(pages);
    return rc;
}

/* ---- once ---- */

static int make_map(struct render_toast *t)
{
    if (t->pages.blocks > UINT32_MAX) {
        t->rc = fail_map(t, -EIO, "the TOAST table is too long");
        return FAILED;
    }
    t->rc = map_pages(t);
    if (t->rc == 0)
        t->rc = fail_map(t, toastmap_finish(t->map), NO_FILE);
    if (t->rc == 0)
        return MADE;
    toastmap_free(t->map);
    t->map = NULL;
    return FAILED;
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

/* Chunks that follow each other, of one run. */
struct piece {
    const struct toastmap_run *run;
    size_t skip, n; /* of the run's chunks */
};

/* On its way through the runs of a value, chunk by chunk. */
struct sweep {
    const struct toastmap_run *runs;
    size_t nruns, next;
    size_t at;                          /* chunks before it are found */
    const struct toastmap_run *here[8]; /* that reach beyond `at`, and do not begin behind it */
    size_t nhere;
};

static size_t end_of(const struct toastmap_run *r)
{
    return (size_t)r->number + toastmap_count(r);
}

/* false: there are more than anybody writes. */
static bool move_on(struct sweep *s)
{
    size_t i, n = 0;

    for (i = 0; i < s->nhere; i++)
        if (end_of(s->here[i]) > s->at)
            s->here[n++] = s->here[i];
    for (; s->next < s->nruns && s->runs[s->next].number <= s->at; s->next++) {
        if (end_of(&s->runs[s->next]) <= s->at)
            continue;
        if (n == sizeof(s->here) / sizeof(s->here[0]))
            return false;
        s->here[n++] = &s->runs[s->next];
    }
    s->nhere = n;
    return true;
}

/* Of rows that say they are the same chunk the one counts that is not deleted, as values that are gone leave their
 * numbers to others. One that is deleted is a last resort, but not where damage may hide the one that is not. */
static const char *choose(const struct sweep *s, const char *damage, struct piece *p)
{
    size_t i, live = 0;

    p->run = NULL;
    for (i = 0; i < s->nhere; i++) {
        if (!toastmap_deleted(s->here[i]))
            live++;
        if (!p->run || !toastmap_deleted(s->here[i]))
            p->run = s->here[i];
    }
    if (live > 1 || (live == 0 && s->nhere > 1))
        return "a chunk is twice in the TOAST table";
    if (live == 0 && (damage || !p->run))
        return damage ? damage : "a chunk is missing in the TOAST table";
    return NULL;
}

/* The next chunks, up to number n; or what is wrong with the first of them. */
static const char *next_piece(struct sweep *s, const char *damage, size_t n, struct piece *p)
{
    const char *fault = "a chunk is many times in the TOAST table";
    size_t i, end = n;

    if (move_on(s))
        fault = choose(s, damage, p);
    if (fault)
        return fault;
    for (i = 0; i < s->nhere; i++)
        end = end_of(s->here[i]) < end ? end_of(s->here[i]) : end;
    if (s->next < s->nruns && s->runs[s->next].number < end)
        end = s->runs[s->next].number;
    p->skip = s->at - p->run->number;
    p->n = end - s->at;
    s->at = end;
    return NULL;
}

static bool is_longer(const struct toastmap_run *runs, size_t nruns, size_t n)
{
    size_t i;

    for (i = 0; i < nruns; i++)
        if (end_of(&runs[i]) > n && !toastmap_deleted(&runs[i]))
            return true;
    return false;
}

/* Are chunks 0 to n - 1 there, once each, and no more of the value? */
static int check_chunks(struct render_work *w, struct sweep s, size_t n)
{
    const char *fault = NULL;
    struct piece p;

    while (s.at < n && !fault)
        fault = next_piece(&s, w->toast->damage, n, &p);
    if (!fault && is_longer(s.runs, s.nruns, n))
        fault = "a value in the TOAST table is longer than its pointer says";
    return fault ? render_fail(w, fault) : 0;
}

/* A row of a page with so many items: `left` is what is left of the value from it on. */
static int append_row(struct render_work *w, const char *page, int items, int item,
                      const struct row *want, size_t left, struct out *o)
{
    const char *p = NULL, *fault = NULL;
    size_t len = 0;
    struct row row = {0};

    if (item > items || render_page_row(page, item, &p, &len, &fault) != 1 ||
        read_chunk(p, len, &row) || row.value != want->value || row.number != want->number)
        return render_fail(w, "a chunk is no longer where it was in the TOAST table");
    if (row.size != (left < CHUNK ? left : CHUNK))
        return render_fail(w, "a chunk in the TOAST table has a wrong length");
    out_put(o, row.bytes, row.size);
    return 0;
}

static int append_piece(struct render_work *w, const struct piece *p, size_t size, struct out *o)
{
    struct row want = {.value = p->run->value, .number = p->run->number};
    uint64_t block = p->run->block;
    int item = toastmap_item(p->run), items, rc = 0;
    const char *page = NULL;
    size_t i;

    for (i = 0; i < p->skip + p->n && rc == 0; i++, want.number++) {
        items = render_blocks_page(w->blocks, w->toast->source, block, &page, &w->fault);
        if (items < 0)
            return items;
        if (i >= p->skip)
            rc = append_row(w, page, items, item, &want, size - (size_t)want.number * CHUNK, o);
        if (item++ >= items) {
            block++;
            item = 1;
        }
    }
    return rc;
}

static int append_value(struct render_work *w, struct sweep s, size_t size, struct out *o)
{
    size_t n = (size + CHUNK - 1) / CHUNK;
    struct piece p = {0};
    int rc = check_chunks(w, s, n);

    if (rc < 0)
        return rc;
    if (!w->blocks)
        w->blocks = render_blocks_new();
    out_place(o, size);
    while (s.at < n && rc == 0) {
        next_piece(&s, w->toast->damage, n, &p);
        rc = append_piece(w, &p, size, o);
    }
    return rc;
}

int render_toast_fetch(struct render_work *w, uint32_t value, size_t size, struct out *o)
{
    size_t mark = w->used;
    struct sweep s = {0};
    int rc = need_map(w, w->toast);

    if (rc < 0)
        return rc;
    rc = toastmap_find(w->toast->map, value, render_work_buffer(w), &s.runs, &s.nruns);
    if (rc < 0)
        w->fault = NO_FILE;
    else
        rc = append_value(w, s, size, o);
    w->used = mark;
    return rc;
}
