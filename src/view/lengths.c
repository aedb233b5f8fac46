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

struct entry { /* of a note */
    uint64_t key;
    const char *bytes;
    size_t n;
};

struct sheet { /* a note */
    char *bytes;
    struct entry *entries; /* by key */
    size_t n, room;
};

struct lengths {
    struct lengths_notes notes;
    struct sheet known; /* the little ones, as they were at the beginning */

    pthread_mutex_t lock;          /* of notes, and of what follows */
    const struct rendered **fresh; /* little ones that were measured, and are not written down */
    size_t nfresh, room;
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
    while (in.left) {
        e.key = reader_u64(&in);
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

static void put_entry(uint64_t key, const char *bytes, size_t n, struct buf *b)
{
    buf_put_u64(b, key);
    buf_put_u64(b, n);
    buf_put(b, bytes, n);
}

static void put_table(const struct rendered *t, uint64_t key, struct buf *b)
{
    struct buf one = {0};

    render_lines_put(t->lines, &one);
    put_entry(key, one.data, one.len, b);
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
    free(k->fresh);
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

static bool recall_from(const struct sheet *s, uint64_t key, const struct rendered *t)
{
    const struct entry *e = find_entry(s, key);

    return e && render_lines_get(t->lines, e->bytes, e->n);
}

static bool recall_large(struct lengths *k, uint64_t key, const struct rendered *t)
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

bool lengths_recall(struct lengths *k, const struct rendered *t)
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

static void keep_little(struct lengths *k, const struct rendered *t)
{
    pthread_mutex_lock(&k->lock);
    k->fresh = mem_grow(k->fresh, k->nfresh, &k->room, sizeof(*k->fresh));
    k->fresh[k->nfresh++] = t;
    pthread_mutex_unlock(&k->lock);
}

void lengths_keep(struct lengths *k, const struct rendered *t)
{
    if (is_little(t))
        keep_little(k, t);
    else
        keep_large(k, t);
}

/* Under the lock. Another mount may have written since this one read it: what there is of other tables, or of these in
 * another format, stays. */
static void put_all(struct lengths *k, struct buf *b)
{
    struct sheet old = {0}, new = {0};
    struct entry *e;
    size_t i;

    put_version(b);
    new.entries = mem_array(k->nfresh, sizeof(*new.entries));
    for (i = 0; i < k->nfresh; i++) {
        new.entries[new.n++].key = key_of(k->fresh[i]);
        put_table(k->fresh[i], new.entries[i].key, b);
    }
    qsort(new.entries, new.n, sizeof(*new.entries), compare_entries);
    read_sheet(k, TOGETHER, &old);
    for (i = 0, e = old.entries; i < old.n; i++, e++)
        if (!find_entry(&new, e->key) && b->len + e->n <= MOST)
            put_entry(e->key, e->bytes, e->n, b);
    free_sheet(&old);
    free_sheet(&new);
}

void lengths_write(struct lengths *k)
{
    struct buf b = {0};

    pthread_mutex_lock(&k->lock);
    if (k->nfresh) {
        put_all(k, &b);
        write_sheet(k, TOGETHER, &b);
        k->nfresh = 0;
    }
    pthread_mutex_unlock(&k->lock);
    buf_free(&b);
}
