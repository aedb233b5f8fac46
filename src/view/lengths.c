#include "view/lengths.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/hash.h"
#include "common/log.h"
#include "common/mem.h"
#include "render/zone.h"
#include "view/describe.h"
#include "view/internal.h"
#include "view/rendered.h"

#define LITTLE 1024u            /* blocks: up to 4 KiB of lengths */
#define TOGETHER "lengths"      /* the note of all little ones */
#define MOST ((size_t)64 << 20) /* bytes of it; what others have kept there stays within */
#define SHEET_MOST (1u << 20) /* entries that are looked at */

struct entry { /* of a note */
    uint64_t key, checksum;
    const char *bytes;
    size_t n;
};

struct sheet { /* a note */
    char *bytes;
    struct entry *entries; /* by key */
    size_t n, room;
};

struct tables {
    const struct rendered **tables;
    size_t n, room;
};

struct lengths {
    struct lengths_notes notes;
    struct sheet known; /* the little ones, as they were at the beginning */

    pthread_mutex_t lock; /* of notes, and of what follows */
    /* Tables of which something is new that is not written down: little ones; and larger ones, whose checksum is. */
    struct tables fresh, summed;
    bool told; /* that something cannot be written */
};

/* ---- keys ---- */

uint64_t lengths_of(const struct snapshot *s, uint64_t base_id, const struct render_zone *zone)
{
    struct hash *h = hash_new();
    struct buf b = {0};
    uint64_t value;

    buf_put_u64(&b, base_id);
    buf_put_str(&b, s->moment.lsn);
    buf_put_str(&b, s->moment.time);
    buf_put_str(&b, s->server.database);
    buf_put_u32(&b, (uint32_t)s->server.version);
    buf_put_str(&b, s->encoding);
    buf_put_str(&b, s->req.timezone);
    buf_put_u32(&b, s->req.format);
    if (zone)
        render_zone_put(zone, &b);
    hash_update(h, b.data, b.len);
    value = hash_value(h);
    buf_free(&b);
    hash_free(h);
    return value;
}

static void put_relation(const struct described_relation *d, const struct render_relation *r,
                         const struct render_pages *toast, struct buf *b)
{
    size_t i;

    buf_put_str(b, d->path);
    buf_put_u64(b, r->pages.blocks);
    buf_put_str(b, d->toast_path);
    buf_put_u64(b, d->toast_path ? toast->blocks : 0);
    buf_put_u64(b, d->nattributes);
    buf_put_u64(b, d->ncolumns);
    for (i = 0; i < d->ncolumns; i++)
        buf_put_u32(b, d->columns[i]);
}

static uint64_t key_of(const struct rendered *t)
{
    const struct described_table *d = &t->snapshot->described->tables[t->table];
    const struct pg_table *table = &t->snapshot->catalog->tables[t->table];
    struct hash *h = hash_new();
    struct buf b = {0};
    uint64_t key;
    size_t i;

    buf_put_u64(&b, t->of);
    for (i = 0; i < table->ncolumns; i++)
        buf_put_str(&b, table->columns[i].name);
    for (i = 0; i < t->nrelations; i++)
        put_relation(&d->relations[i], &t->relations[i], &t->toast_pages[i], &b);
    hash_update(h, b.data, b.len);
    key = hash_value(h);
    buf_free(&b);
    hash_free(h);
    return key;
}

/* ---- a note ---- */

static void free_sheet(struct sheet *s)
{
    free(s->entries);
    free(s->bytes);
    *s = (struct sheet){0};
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    return x->key < y->key ? -1 : x->key > y->key;
}

static void put_version(struct buf *b)
{
    buf_put_str(b, PACKAGE_VERSION);
    buf_put_u32(b, RENDER_LINES_VERSION);
}

static bool is_of_this_version(struct reader *in)
{
    char *version = reader_str(in);
    bool is = strcmp(version, PACKAGE_VERSION) == 0;

    free(version);
    return reader_u32(in) == RENDER_LINES_VERSION && is;
}

/* What is not whole is left out, and what is behind it. */
static void parse_sheet(struct sheet *s, size_t len)
{
    struct reader in = {s->bytes, len, false};
    struct entry e;
    uint64_t n;

    if (!is_of_this_version(&in))
        return;
    while (in.left && s->n < SHEET_MOST) {
        e.key = reader_u64(&in);
        e.checksum = reader_u64(&in);
        n = reader_u64(&in);
        if (in.bad || n > in.left)
            break;
        e.bytes = in.p;
        e.n = (size_t)n;
        in.p += e.n;
        in.left -= e.n;
        s->entries = mem_grow(s->entries, s->n, &s->room, sizeof(*s->entries));
        s->entries[s->n++] = e;
    }
    if (s->n)
        qsort(s->entries, s->n, sizeof(*s->entries), compare_entries);
}

/* That there is none is no news. */
static void read_sheet(struct lengths *k, const char *name, struct sheet *s)
{
    struct err err;
    size_t len = 0;
    int rc = k->notes.read(k->notes.arg, name, &s->bytes, &len, &err);

    if (rc == 0)
        parse_sheet(s, len);
    else if (rc != -ENOENT)
        log_note("%s", err.text);
}

static const struct entry *find_entry(const struct sheet *s, uint64_t key)
{
    struct entry wanted = {.key = key};

    return s->n ? bsearch(&wanted, s->entries, s->n, sizeof(wanted), compare_entries) : NULL;
}

static void put_entry(const struct entry *e, struct buf *b)
{
    buf_put_u64(b, e->key);
    buf_put_u64(b, e->checksum);
    buf_put_u64(b, e->n);
    buf_put(b, e->bytes, e->n);
}

static void put_table(const struct rendered *t, uint64_t key, struct buf *b)
{
    struct buf one = {0};

    render_lines_put(t->lines, &one);
    put_entry(&(struct entry){key, results_checksum(snapshot_results(t->snapshot), t->table),
                              one.data, one.len},
              b);
    buf_free(&one);
}

/* Under the lock. */
static void write_sheet(struct lengths *k, const char *name, const struct buf *b)
{
    struct err err;

    if (k->notes.write(k->notes.arg, name, b, &err) == 0 || k->told)
        return;
    k->told = true;
    log_note("%s; the next mount works out sizes again", err.text);
}

/* ---- its life ---- */

struct lengths *lengths_new(const struct lengths_notes *notes)
{
    struct lengths *k = mem_alloc(sizeof(*k));

    k->notes = *notes;
    pthread_mutex_init(&k->lock, NULL);
    read_sheet(k, TOGETHER, &k->known);
    return k;
}

void lengths_free(struct lengths *k)
{
    if (!k)
        return;
    free_sheet(&k->known);
    pthread_mutex_destroy(&k->lock);
    free(k->fresh.tables);
    free(k->summed.tables);
    free(k);
}

/* ---- a table ---- */

static bool is_little(const struct rendered *t)
{
    return render_lines_blocks(t->lines) <= LITTLE;
}

static char *own_note(uint64_t key)
{
    return mem_printf("%016llx." TOGETHER, (unsigned long long)key);
}

static bool recall_from(const struct sheet *s, uint64_t key, struct rendered *t)
{
    const struct entry *e = find_entry(s, key);

    if (!e || !render_lines_get(t->lines, e->bytes, e->n))
        return false;
    t->checksum = e->checksum;
    return true;
}

static bool recall_large(struct lengths *k, uint64_t key, struct rendered *t)
{
    char *name = own_note(key);
    struct sheet s = {0};
    bool known;

    pthread_mutex_lock(&k->lock);
    read_sheet(k, name, &s);
    pthread_mutex_unlock(&k->lock);
    known = recall_from(&s, key, t);
    free_sheet(&s);
    free(name);
    return known;
}

bool lengths_recall(struct lengths *k, struct rendered *t)
{
    uint64_t key = key_of(t);

    return is_little(t) ? recall_from(&k->known, key, t) : recall_large(k, key, t);
}

static void keep_large(struct lengths *k, const struct rendered *t)
{
    uint64_t key = key_of(t);
    char *name = own_note(key);
    struct buf b = {0};

    put_version(&b);
    put_table(t, key, &b);
    pthread_mutex_lock(&k->lock);
    write_sheet(k, name, &b);
    pthread_mutex_unlock(&k->lock);
    buf_free(&b);
    free(name);
}

static void append_table(struct tables *list, const struct rendered *t)
{
    list->tables = mem_grow(list->tables, list->n, &list->room, sizeof(*list->tables));
    list->tables[list->n++] = t;
}

/* Once. */
static void add_table(struct lengths *k, struct tables *list, const struct rendered *t)
{
    size_t i;

    pthread_mutex_lock(&k->lock);
    for (i = 0; i < list->n && list->tables[i] != t; i++)
        ;
    if (i == list->n)
        append_table(list, t);
    pthread_mutex_unlock(&k->lock);
}

void lengths_keep(struct lengths *k, const struct rendered *t)
{
    if (is_little(t))
        add_table(k, &k->fresh, t);
    else
        keep_large(k, t);
}

void lengths_keep_sum(struct lengths *k, const struct rendered *t)
{
    add_table(k, is_little(t) ? &k->fresh : &k->summed, t);
}

/* Under the lock. Another mount may have written since this one read it: what there is of other tables, or of these in
 * another format, stays. */
static void put_all(struct lengths *k, struct buf *b)
{
    struct sheet old = {0}, new = {0};
    struct entry *e;
    size_t i;

    put_version(b);
    new.entries = mem_array(k->fresh.n, sizeof(*new.entries));
    for (i = 0; i < k->fresh.n; i++) {
        new.entries[new.n++].key = key_of(k->fresh.tables[i]);
        put_table(k->fresh.tables[i], new.entries[i].key, b);
    }
    qsort(new.entries, new.n, sizeof(*new.entries), compare_entries);
    read_sheet(k, TOGETHER, &old);
    for (i = 0, e = old.entries; i < old.n; i++, e++)
        if (!find_entry(&new, e->key) && b->len + e->n <= MOST)
            put_entry(e, b);
    free_sheet(&old);
    free_sheet(&new);
}

void lengths_write(struct lengths *k)
{
    struct tables summed;
    struct buf b = {0};
    size_t i;

    pthread_mutex_lock(&k->lock);
    if (k->fresh.n) {
        put_all(k, &b);
        write_sheet(k, TOGETHER, &b);
        k->fresh.n = 0;
    }
    summed = k->summed;
    k->summed = (struct tables){0};
    pthread_mutex_unlock(&k->lock);
    for (i = 0; i < summed.n; i++)
        keep_large(k, summed.tables[i]);
    free(summed.tables);
    buf_free(&b);
}
