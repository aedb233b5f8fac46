#include "render/type.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

struct entry {
    struct render_type type;
    const struct render_type_row *row; /* until all is built; NULL: of a family */
    uint32_t blame;              /* what is not covered: this type or one in it; 0: it is covered */
    struct render_label *labels; /* owned, as their texts */
    struct render_field *fields; /* owned */
};

struct render_types {
    struct entry *entries; /* by oid */
    size_t n;
};

static const struct render_builtin *const families[] = {
    render_numbers, render_texts,    render_datetimes, render_networks,
    render_shapes,  render_binaries, render_documents, render_searches,
};

#define NFAMILIES (sizeof(families) / sizeof(families[0]))

static struct entry *find_entry(const struct render_types *t, uint32_t oid)
{
    size_t from = 0, to = t->n;

    while (from < to) {
        size_t middle = from + (to - from) / 2;

        if (t->entries[middle].type.oid == oid)
            return &t->entries[middle];
        if (t->entries[middle].type.oid < oid)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

/* ---- the entries, in order ---- */

static void add_families(struct render_types *t)
{
    const struct render_builtin *b;
    size_t i;

    for (i = 0; i < NFAMILIES; i++) {
        for (b = families[i]; b->oid; b++) {
            t->entries[t->n++].type = (struct render_type){
                .oid = b->oid,
                .base = b->oid,
                .ops = b->ops,
                .len = b->len,
                .align = b->align,
                .delimiter = b->delimiter,
                .zoned = b->zoned,
            };
        }
    }
}

static size_t count_families(void)
{
    const struct render_builtin *b;
    size_t i, n = 0;

    for (i = 0; i < NFAMILIES; i++)
        for (b = families[i]; b->oid; b++)
            n++;
    return n;
}

/* By oid, and of the same one that of a family first, then in the order of the rows. */
static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->type.oid != y->type.oid)
        return x->type.oid < y->type.oid ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static void sort_entries(struct render_types *t)
{
    size_t i, n = 0;

    qsort(t->entries, t->n, sizeof(*t->entries), compare_entries);
    for (i = 0; i < t->n; i++)
        if (n == 0 || t->entries[n - 1].type.oid != t->entries[i].type.oid)
            t->entries[n++] = t->entries[i];
    t->n = n;
}

/* ---- what is in a type ---- */

static bool is_domain(const struct entry *e)
{
    return e->row && e->row->kind == 'd';
}

static size_t count_parts(const struct render_type_row *r)
{
    return r->kind == 'c' ? r->nfields : r->element ? 1 : 0;
}

/* The oid of the i-th type in it; 0: a dropped one. */
static uint32_t part_of(const struct render_type_row *r, size_t i)
{
    return r->kind == 'c' ? r->fields[i].type : r->element;
}

static const struct render_type *type_of(const struct render_types *t, uint32_t oid)
{
    struct entry *e = oid ? find_entry(t, oid) : NULL;

    return e ? &e->type : NULL;
}

static int compare_labels(const void *a, const void *b)
{
    const struct render_label *x = a, *y = b;

    return x->oid < y->oid ? -1 : x->oid > y->oid;
}

static void copy_labels(struct entry *e)
{
    size_t i, n = e->row->nlabels;

    e->labels = mem_array(n, sizeof(*e->labels));
    for (i = 0; i < n; i++)
        e->labels[i] = (struct render_label){
            .oid = e->row->labels[i].oid,
            .text = mem_strdup(e->row->labels[i].text),
        };
    if (n > 0)
        qsort(e->labels, n, sizeof(*e->labels), compare_labels);
    e->type.labels = e->labels;
    e->type.nlabels = n;
}

static void copy_fields(const struct render_types *t, struct entry *e)
{
    size_t i, n = e->row->nfields;

    e->fields = mem_array(n, sizeof(*e->fields));
    for (i = 0; i < n; i++)
        e->fields[i] = (struct render_field){
            .type = type_of(t, e->row->fields[i].type),
            .len = e->row->fields[i].len,
            .align = e->row->fields[i].align,
        };
    e->type.fields = e->fields;
    e->type.nfields = n;
}

/* NULL: it is not a reg* type, or without labels. */
static const struct render_ops *find_reg(const struct render_type_row *r)
{
    const struct render_builtin *b;

    for (b = render_regs; b->oid && b->oid != r->oid;)
        b++;
    return b->oid && r->len == b->len && r->nlabels > 0 ? b->ops : NULL;
}

/* NULL: it is none of those that are covered. Of a domain that of its base, later. */
static const struct render_ops *ops_of(const struct render_type_row *r)
{
    switch (r->kind) {
    case 'b':
        return r->array && r->len == -1 ? &render_array_ops : find_reg(r);
    case 'c':
        return &render_row_ops;
    case 'e':
        return r->len == 4 ? &render_enum_ops : NULL;
    case 'r':
        return &render_range_ops;
    case 'm':
        return &render_multirange_ops;
    default:
        return NULL;
    }
}

static bool needs_element(const struct render_type_row *r)
{
    return r->kind == 'r' || r->kind == 'm' || (r->kind == 'b' && r->array);
}

/* What it needs to be written, but for what its parts say. */
static void fill_entry(const struct render_types *t, struct entry *e)
{
    const struct render_type_row *r = e->row;

    e->type.base = r->oid;
    e->type.ops = ops_of(r);
    e->type.len = r->len;
    e->type.align = r->align;
    e->type.delimiter = r->delimiter;
    if (r->kind == 'c')
        copy_fields(t, e);
    else if (r->kind == 'e' || (r->kind == 'b' && find_reg(r)))
        copy_labels(e);
    else
        e->type.element = type_of(t, r->element);
    if (!is_domain(e) && (!e->type.ops || (needs_element(r) && !r->element)))
        e->blame = r->oid;
}

/* ---- what is said of a type by what is in it ---- */

/* A multirange is of a range: else what it is made of could not be found. */
static uint32_t blame_part(const struct entry *e, uint32_t oid, const struct entry *part)
{
    if (!part)
        return oid;
    if (part->blame)
        return part->blame;
    if (e->row->kind == 'm' && part->type.ops != &render_range_ops)
        return e->row->oid;
    return 0;
}

/* True if something new was learnt. */
static bool learn_from_parts(const struct render_types *t, struct entry *e)
{
    bool news = false;
    size_t i;

    for (i = 0; i < count_parts(e->row); i++) {
        uint32_t oid = part_of(e->row, i);
        const struct entry *part = oid ? find_entry(t, oid) : NULL;

        if (!oid)
            continue;
        if (!e->blame && (e->blame = blame_part(e, oid, part)) != 0)
            news = true;
        if (part && part->type.zoned && !e->type.zoned)
            news = e->type.zoned = true;
    }
    return news;
}

/* Until nothing changes: types may be in each other in a circle. */
static void learn_all(struct render_types *t)
{
    bool news = true;
    size_t i;

    while (news) {
        news = false;
        for (i = 0; i < t->n; i++)
            if (t->entries[i].row && learn_from_parts(t, &t->entries[i]))
                news = true;
    }
}

/* A domain's base may be a domain too. One in a circle of domains is not covered. */
static void resolve_domain(const struct render_types *t, struct entry *e)
{
    const struct entry *base = e;
    uint32_t oid = e->type.oid;
    size_t steps;

    for (steps = 0; base && is_domain(base) && steps <= t->n; steps++)
        base = find_entry(t, base->row->element);
    if (!base || is_domain(base)) {
        e->blame = e->blame ? e->blame : oid;
        return;
    }
    e->type = base->type;
    e->type.oid = oid;
}

static void resolve_domains(struct render_types *t)
{
    size_t i;

    for (i = 0; i < t->n; i++)
        if (is_domain(&t->entries[i]))
            resolve_domain(t, &t->entries[i]);
}

struct render_types *render_types_new(const struct render_type_row *rows, size_t n)
{
    struct render_types *t = mem_alloc(sizeof(*t));
    size_t i;

    t->entries = mem_array(count_families() + n, sizeof(*t->entries));
    add_families(t);
    for (i = 0; i < n; i++) {
        t->entries[t->n].type.oid = rows[i].oid;
        t->entries[t->n++].row = &rows[i];
    }
    sort_entries(t);
    for (i = 0; i < t->n; i++)
        if (t->entries[i].row)
            fill_entry(t, &t->entries[i]);
    learn_all(t);
    resolve_domains(t);
    learn_all(t);
    for (i = 0; i < t->n; i++)
        t->entries[i].row = NULL;
    return t;
}

void render_types_free(struct render_types *t)
{
    size_t i, k;

    if (!t)
        return;
    for (i = 0; i < t->n; i++) {
        for (k = 0; t->entries[i].labels && k < t->entries[i].type.nlabels; k++)
            free((char *)t->entries[i].labels[k].text);
        free(t->entries[i].labels);
        free(t->entries[i].fields);
    }
    free(t->entries);
    free(t);
}

const struct render_type *render_types_find(const struct render_types *t, uint32_t type,
                                            uint32_t *oid)
{
    const struct entry *e = find_entry(t, type);

    if (e && !e->blame)
        return &e->type;
    *oid = e ? e->blame : type;
    return NULL;
}
