#include "view/describe.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/mem.h"
#include "render/toast.h"

#define OLDEST_MAJOR 14
#define NEWEST_MAJOR 18
#define MAX_ALIGN 8

struct describing {
    const struct describe_request *r;
    struct described *d;
    bool texts_differ; /* what the catalog says in text is in another encoding than the rows */
    bool plain_labels; /* no label of an enum shows the difference */
};

/* ---- encodings ---- */

/* As pg_char_to_encoding does: letters and digits count, in one case. */
static void fold_encoding(const char *name, char *folded, size_t room)
{
    size_t n = 0;

    for (; *name && n + 1 < room; name++)
        if (isalnum((unsigned char)*name))
            folded[n++] = (char)tolower((unsigned char)*name);
    folded[n] = '\0';
}

/* Other names of the same encoding are not known here: then it is copied. */
static bool is_encoding(const char *a, const char *b)
{
    char x[32], y[32];

    fold_encoding(a, x, sizeof(x));
    fold_encoding(b, y, sizeof(y));
    return strcmp(x, y) == 0 || (strcmp(x, "unicode") == 0 && strcmp(y, "utf8") == 0);
}

static bool is_ascii(const char *text)
{
    for (; text && *text; text++)
        if ((unsigned char)*text >= 0x80)
            return false;
    return true;
}

/* ---- what holds for all tables ---- */

static char *why_not_any(const struct describe_request *r)
{
    const struct pg_heaps *h = r->heaps;
    int major = h->version / 10000;

    if (__BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__)
        return mem_strdup("byte order of this machine");
    if (major < OLDEST_MAJOR || major > NEWEST_MAJOR)
        return mem_printf("PostgreSQL %d", major);
    if (h->block_bytes != RENDER_BLOCK)
        return mem_printf("block size %u", h->block_bytes);
    if (h->max_align != MAX_ALIGN)
        return mem_printf("alignment to %u bytes", h->max_align);
    if (r->format != PG_FORMAT_CSV && r->format != PG_FORMAT_TEXT)
        return mem_printf("format %s", pg_format_name(r->format));
    /* SQL_ASCII: the bytes as they are */
    if (!is_encoding(r->encoding, h->encoding) && !is_encoding(r->encoding, "SQL_ASCII"))
        return mem_printf("conversion from %s to %s", h->encoding, r->encoding);
    return NULL;
}

static bool has_plain_labels(const struct pg_heaps *h)
{
    size_t i, k;

    for (i = 0; i < h->ntypes; i++)
        for (k = 0; k < h->types[i].nlabels; k++)
            if (!is_ascii(h->types[i].labels[k].text))
                return false;
    return true;
}

/* ---- types ---- */

static struct render_label *copy_labels(const struct pg_heap_type *t)
{
    struct render_label *labels = mem_array(t->nlabels, sizeof(*labels));
    size_t i;

    for (i = 0; i < t->nlabels; i++)
        labels[i] = (struct render_label){t->labels[i].oid, t->labels[i].text};
    return labels;
}

static struct render_field_row *copy_fields(const struct pg_heap_type *t)
{
    struct render_field_row *fields = mem_array(t->nfields, sizeof(*fields));
    size_t i;

    for (i = 0; i < t->nfields; i++)
        fields[i] =
            (struct render_field_row){t->fields[i].type, t->fields[i].len, t->fields[i].align};
    return fields;
}

static struct render_types *make_types(const struct pg_heaps *h)
{
    struct render_type_row *rows = mem_array(h->ntypes, sizeof(*rows));
    struct render_types *types;
    size_t i;

    for (i = 0; i < h->ntypes; i++) {
        const struct pg_heap_type *t = &h->types[i];

        rows[i] = (struct render_type_row){.oid = t->oid,
                                           .kind = t->kind,
                                           .len = t->len,
                                           .align = t->align,
                                           .delimiter = t->delimiter,
                                           .array = t->is_array,
                                           .element = t->element,
                                           .labels = copy_labels(t),
                                           .nlabels = t->nlabels,
                                           .fields = copy_fields(t),
                                           .nfields = t->nfields};
    }
    types = render_types_new(rows, h->ntypes);
    for (i = 0; i < h->ntypes; i++) {
        free((void *)(uintptr_t)rows[i].labels);
        free((void *)(uintptr_t)rows[i].fields);
    }
    free(rows);
    return types;
}

static char *why_not_type(const struct pg_heaps *h, uint32_t oid)
{
    const struct pg_heap_type *t = pg_heaps_find_type(h, oid);

    return t ? mem_printf("type %s", t->name) : mem_printf("type %u", oid);
}

/* ---- columns ---- */

/* The number of an attribute that is not dropped; nattributes: there is none of that name. */
static size_t find_attribute(const struct pg_heap *h, const char *name)
{
    size_t i;

    for (i = 0; i < h->nattributes; i++)
        if (h->attributes[i].type != 0 && strcmp(h->attributes[i].name, name) == 0)
            break;
    return i;
}

static bool is_other_zone(const struct describe_request *r)
{
    return strcasecmp(r->timezone, r->heaps->timezone) != 0;
}

/* A moment in the zone of the request; NULL: it is none, or not one that PostgreSQL has. */
static char *write_moment(const struct describe_request *r, const struct pg_heap_attribute *a,
                          const struct render_type *type)
{
    struct render_settings settings = {.zone = r->zone};
    struct render_value v = {(const char *)&a->moment, sizeof(a->moment)};
    struct render_work w;
    struct out o = {0};
    char *text = NULL;

    if (!a->is_moment || !r->zone || type->len != sizeof(a->moment))
        return NULL;
    render_work_init(&w, &settings);
    if (type->ops->put(&w, type, v, &o) == 0)
        text = mem_printf("%.*s", (int)o.n, o.p);
    render_work_free(&w);
    out_free(&o);
    return text;
}

static void take_missing(const struct describe_request *r, const struct pg_heap_attribute *a,
                         struct render_attribute *wanted, struct described_table *t)
{
    if (wanted->type->zoned && a->missing && is_other_zone(r))
        wanted->missing = write_moment(r, a, wanted->type);
    if (wanted->missing)
        return;
    wanted->missing = mem_strdup(a->missing);
    t->zoned_missing = t->zoned_missing || (wanted->type->zoned && a->missing);
}

static char *why_not_zone(const struct describe_request *r, const struct described_table *t)
{
    if (t->zoned && !r->has_zone)
        return mem_printf("time zone %s has no file", r->timezone);
    if (t->zoned_missing && is_other_zone(r))
        return mem_printf("column added in time zone %s", r->heaps->timezone);
    return NULL;
}

/* The attribute is a column of the file. */
static char *want_attribute(const struct describing *g, const struct pg_heap_attribute *a,
                            struct render_attribute *wanted, struct described_table *t)
{
    uint32_t oid = 0;

    if (a->is_virtual)
        return mem_strdup("virtual generated column");
    if (g->texts_differ && !is_ascii(a->missing))
        return mem_printf("default in %s", g->r->heaps->encoding);
    wanted->type = render_types_find(g->d->types, a->type, &oid);
    if (!wanted->type || a->missing_unread)
        return why_not_type(g->r->heaps, !wanted->type && oid ? oid : a->type);
    take_missing(g->r, a, wanted, t);
    t->zoned = t->zoned || wanted->type->zoned;
    return NULL;
}

static char *choose_columns(const struct describing *g, const struct pg_table *table,
                            const struct pg_heap *h, struct described_relation *rel,
                            struct described_table *t)
{
    char *why = NULL;
    size_t i, k;

    rel->columns = mem_array(table->ncolumns, sizeof(*rel->columns));
    for (i = 0; i < table->ncolumns && !why; i++) {
        k = find_attribute(h, table->columns[i].name);
        if (k == h->nattributes)
            return mem_printf("column \"%s\" is gone", table->columns[i].name);
        rel->columns[rel->ncolumns++] = (uint16_t)k;
        why = want_attribute(g, &h->attributes[k], &rel->attributes[k], t);
    }
    return why ? why : why_not_zone(g->r, t);
}

/* ---- relations and tables ---- */

static char *why_not_heap(const struct pg_heaps *all, const struct pg_heap *h)
{
    if (!h || !h->path)
        return mem_strdup("dropped meanwhile");
    if (!h->is_heap)
        return mem_printf("access method %s", h->method);
    if (h->persistence != 'p')
        return mem_strdup(h->persistence == 'u' ? "unlogged" : "temporary");
    if (h->toast_path && all->toast_chunk != RENDER_TOAST_CHUNK)
        return mem_printf("TOAST in chunks of %u bytes", all->toast_chunk);
    return NULL;
}

static char *name_relation(const struct pg_relation *r)
{
    struct buf b = {0};

    pg_pattern_put(&b, r->schema, r->name);
    return buf_steal(&b);
}

static void describe_relation(const struct describing *g, const struct pg_table *table,
                              const struct pg_relation *rel, struct described_table *t)
{
    const struct pg_heap *h = pg_heaps_find(g->r->heaps, rel->oid);
    struct described_relation *to = &t->relations[t->nrelations++];
    size_t i;

    t->copied = why_not_heap(g->r->heaps, h);
    if (t->copied)
        return;
    to->name = name_relation(rel);
    to->path = mem_strdup(h->path);
    to->toast_path = mem_strdup(h->toast_path);
    to->nattributes = h->nattributes;
    to->attributes = mem_array(h->nattributes, sizeof(*to->attributes));
    for (i = 0; i < h->nattributes; i++)
        to->attributes[i] =
            (struct render_attribute){.len = h->attributes[i].len, .align = h->attributes[i].align};
    t->copied = choose_columns(g, table, h, to, t);
}

/* Whether COPY of the columns runs code of the database's. */
static bool runs_code(const struct describe_request *r, const struct pg_table *table,
                      const struct pg_heap *h)
{
    const struct pg_heap_type *type;
    size_t i, k;

    for (i = 0; h && i < table->ncolumns; i++) {
        k = find_attribute(h, table->columns[i].name);
        type = k < h->nattributes ? pg_heaps_find_type(r->heaps, h->attributes[k].type) : NULL;
        if (type && type->is_foreign)
            return true;
    }
    return h && h->is_foreign;
}

static void free_relations(struct described_table *t)
{
    size_t i, k;

    for (i = 0; i < t->nrelations; i++) {
        struct described_relation *r = &t->relations[i];

        for (k = 0; k < r->nattributes; k++)
            free(r->attributes[k].missing);
        free(r->attributes);
        free(r->columns);
        free(r->name);
        free(r->path);
        free(r->toast_path);
    }
    free(t->relations);
    t->relations = NULL;
    t->nrelations = 0;
}

static char *why_not_table(const struct describing *g, const struct pg_table *t)
{
    char *why = t->filter ? mem_strdup("row filter") : why_not_any(g->r);
    bool plain = g->plain_labels;
    size_t i;

    for (i = 0; i < t->ncolumns; i++)
        plain = plain && is_ascii(t->columns[i].name);
    if (!why && g->texts_differ && !plain)
        why = mem_printf("names in %s", g->r->heaps->encoding);
    return why;
}

static void describe_table(const struct describing *g, const struct pg_table *table,
                           struct described_table *t)
{
    bool parted = table->rel.kind == 'p';
    const struct pg_relation *rels = parted ? table->leaves : &table->rel;
    size_t i, n = parted ? table->nleaves : 1;

    t->copied = why_not_table(g, table);
    t->relations = mem_array(n, sizeof(*t->relations));
    for (i = 0; i < n && !t->copied; i++)
        describe_relation(g, table, &rels[i], t);
    if (!t->copied)
        return;
    free_relations(t);
    for (i = 0; i < n && !t->runs_code; i++)
        t->runs_code = runs_code(g->r, table, pg_heaps_find(g->r->heaps, rels[i].oid));
}

struct described *describe_tables(const struct describe_request *r)
{
    struct described *d = mem_alloc(sizeof(*d));
    struct describing g = {.r = r, .d = d};
    size_t i;

    g.texts_differ =
        !is_encoding(r->heaps->encoding, "UTF8") && !is_encoding(r->heaps->encoding, "SQL_ASCII");
    g.plain_labels = has_plain_labels(r->heaps);
    d->format = r->format == PG_FORMAT_TEXT ? RENDER_TEXT : RENDER_CSV;
    d->types = make_types(r->heaps);
    d->ntables = r->catalog->ntables;
    d->tables = mem_array(d->ntables, sizeof(*d->tables));
    for (i = 0; i < d->ntables; i++)
        describe_table(&g, &r->catalog->tables[i], &d->tables[i]);
    return d;
}

void described_free(struct described *d)
{
    size_t i;

    if (!d)
        return;
    for (i = 0; i < d->ntables; i++) {
        free_relations(&d->tables[i]);
        free(d->tables[i].copied);
    }
    free(d->tables);
    render_types_free(d->types);
    free(d);
}
