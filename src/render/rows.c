/*
 * Writing and measuring are one code, which is compiled twice: where `measures` is true, texts are
 * counted instead of written. So both see the same row as damaged, and for the same reason.
 */
#include "render/rows.h"

#include <errno.h>

#include "render/bare.h"
#include "render/digits.h"
#include "render/varlena.h"

/* htup_details.h, HeapTupleHeaderData: t_infomask2 at 18, t_infomask at 20, t_hoff at 22, then the
 * bitmap of nulls if HEAP_HASNULL is set: a bit an attribute, 0 where it is null. */
#define HEADER 23
#define HAS_NULL 0x0001
#define NATTS_MASK 0x07ff

/* A row that is taken apart, attribute by attribute. */
struct tuple {
    const char *data;           /* of its attributes */
    size_t size, at;            /* all of it; where the next attribute, or its padding, begins */
    const unsigned char *nulls; /* NULL: none is */
    size_t n;                   /* attributes that it has */
};

/* What each row asks of an attribute, in one place. */
struct step {
    const struct render_type *type; /* NULL: not wanted */
    const char *missing;
    size_t padding;               /* alignment - 1 */
    int len;                      /* -1: varlena; 0: one that no column has */
    bool bare, verbatim, integer; /* of its render_ops */
    bool field, put_field;        /* it has one */
};

/* The rows of a page on their way to the file. */
struct walk {
    struct render_work *w;
    const struct render_relation *r;
    const struct step *steps; /* attributes up to the last that is wanted */
    size_t nsteps;
    struct render_value *values; /* of those, for columns in another order; NULL: they ascend */
    struct render_style style;
    struct out *o;  /* writing */
    size_t room;    /* there, that the rest of a row takes at most */
    uint64_t bytes; /* measuring */
    uint64_t row;   /* where the row begins, of either */
};

#define ROW_LONGEST 0x3ffffffeu /* bytes of text: the server's limit of what is one message */

#define ALWAYS static inline __attribute__((always_inline))

/* ---- taking apart ---- */

/* That header and bitmap lie within the row, render_page_row has seen. */
ALWAYS struct tuple open_tuple(const char *row, size_t len)
{
    size_t header = (unsigned char)row[22];
    struct tuple t = {.data = row + header, .size = len - header};

    t.n = bytes_u16(row + 18) & NATTS_MASK;
    if (bytes_u16(row + 20) & HAS_NULL)
        t.nulls = (const unsigned char *)row + HEADER;
    return t;
}

static __attribute__((noinline, cold)) int fail_beyond(struct render_work *w, const struct step *s)
{
    return render_fail(w, s->len ? "a value reaches beyond its row"
                                 : "an attribute of a length that no column has");
}

/* A value that is not of fixed length is aligned only if padding is there, and padding is zeros: no
 * value begins with one where it is not aligned. */
ALWAYS size_t find_varlena(const struct step *s, const struct tuple *t, size_t *at)
{
    if (*at < t->size && t->data[*at] == 0)
        *at = (*at + s->padding) & ~s->padding;
    return *at < t->size ? varlena_size(t->data + *at, t->size - *at) : 0;
}

/* Attribute i, which is the next: its bytes, header included; p is NULL where it is null. */
ALWAYS int take_value(struct render_work *w, const struct step *s, size_t i, struct tuple *t,
                      struct render_value *v)
{
    size_t at = t->at, n = (size_t)s->len;

    if (t->nulls && !(t->nulls[i >> 3] >> (i & 7) & 1)) {
        *v = (struct render_value){0};
        return 0;
    }
    if (s->len > 0)
        at = (at + s->padding) & ~s->padding;
    else
        n = s->len ? find_varlena(s, t, &at) : 0;
    if (n == 0 || at + n > t->size)
        return fail_beyond(w, s);
    *v = (struct render_value){t->data + at, n};
    t->at = at + n;
    return 0;
}

/* ---- fields ----
 *
 * Where the next byte goes is kept in a variable of the row, not in memory: every byte that is written could change
 * what is there, as far as the compiler knows. There is always room for what else a row may have: its own bytes, if they
 * need no quotes, and for each column a number and a delimiter. Who needs more writes to the walk's text, between leave and
 * enter.
 */
struct cursor {
    char *to;       /* writing */
    uint64_t bytes; /* measuring: of this row */
};

ALWAYS void enter(struct walk *k, struct cursor *c, bool measures)
{
    if (!measures)
        c->to = out_place(k->o, k->room);
}

ALWAYS void leave(struct walk *k, const struct cursor *c, bool measures)
{
    if (measures)
        k->bytes += c->bytes;
    else
        k->o->n = (size_t)(c->to - k->o->p);
}

/* What has no quicker way is written aside, and counted. */
static int measure_aside(struct walk *k, const struct render_type *t, struct render_value v,
                         size_t *n)
{
    size_t mark = k->w->used;
    struct out *o = render_work_buffer(k->w);
    int rc = t->ops->put(k->w, t, v, o);

    if (rc == 0)
        *n = t->ops->bare ? o->n : render_field_length(k->style, o->p, o->n);
    k->w->used = mark;
    return rc;
}

ALWAYS int measure_text(struct walk *k, const struct step *s, struct render_value v, size_t *n)
{
    int rc;

    if (s->verbatim) {
        *n = render_field_length(k->style, v.p, v.len);
        return 0;
    }
    if (s->bare && s->type->ops->length)
        rc = s->type->ops->length(k->w, s->type, v, n);
    else
        rc = s->field ? s->type->ops->field(k->w, s->type, v, k->style, n) : 1;
    return rc > 0 ? measure_aside(k, s->type, v, n) : rc;
}

static int put_text(struct walk *k, const struct step *s, struct render_value v)
{
    size_t at = k->o->n, mark = k->w->used;
    int rc;

    if (s->verbatim) {
        render_field_put(k->style, v.p, v.len, k->o);
        return 0;
    }
    rc = s->put_field ? s->type->ops->put_field(k->w, s->type, v, k->style, k->o) : 1;
    if (rc <= 0)
        return rc;
    rc = s->type->ops->put(k->w, s->type, v, k->o);
    if (rc == 0 && !s->bare)
        render_field_close(k->style, k->o, at, render_work_buffer(k->w));
    k->w->used = mark;
    return rc;
}

ALWAYS int write_text(struct walk *k, struct cursor *c, const struct step *s, struct render_value v,
                      bool measures)
{
    size_t n = 0;
    int rc;

    if (measures) {
        rc = measure_text(k, s, v, &n);
        c->bytes += n;
        return rc;
    }
    leave(k, c, measures);
    rc = s->bare ? s->type->ops->put(k->w, s->type, v, k->o) : put_text(k, s, v);
    enter(k, c, measures);
    return rc;
}

/* One whose bytes are its text: most need no quotes. */
ALWAYS int write_verbatim(struct walk *k, struct cursor *c, const struct step *s,
                          struct render_value v, bool measures)
{
    if (k->style.format != RENDER_CSV)
        return write_text(k, c, s, v, measures);
    if (measures ? !render_field_is_bare(k->style, v.p, v.len)
                 : !render_field_copy(k->style, v.p, v.len, c->to))
        return write_text(k, c, s, v, measures);
    if (measures)
        c->bytes += v.len;
    else
        c->to += v.len;
    return 0;
}

/* Of a text that is compressed, most often nothing needs to be made but its length. */
static int measure_closed_text(struct walk *k, const struct step *s, struct render_value v,
                               size_t *n)
{
    const uint8_t *kinds = render_field_kinds(k->style.format);
    unsigned seen;
    int rc = render_varlena_look(k->w, v.p, v.len, kinds, RENDER_BYTE_DOUBLED, &v, &seen);

    if (rc < 0)
        return rc;
    if (v.p)
        return measure_text(k, s, v, n);
    *n = render_field_length_of_kinds(k->style, v.len, seen);
    return 0;
}

/* It is made where it is to stand. */
static int put_closed_text(struct walk *k, struct render_value v)
{
    size_t at = render_field_open(k->style, k->o);
    int rc = render_varlena_append(k->w, v.p, v.len, k->o);

    if (rc == 0)
        render_field_end(k->style, k->o, at, render_work_buffer(k->w));
    return rc;
}

/* Long values make a row as long as one likes: a page has room for hundreds of pointers to one. */
static int check_row(struct walk *k, size_t n, bool measures)
{
    uint64_t end = measures ? k->bytes + n : k->o->n;

    return end - k->row > ROW_LONGEST ? render_fail(k->w, "a row of more than 1 GiB") : 0;
}

/* *n: measuring, its length. */
static int write_opened(struct walk *k, const struct step *s, struct render_value v, size_t *n,
                        bool measures)
{
    int rc = render_varlena_open(k->w, v.p, v.len, &v);

    if (rc == 0)
        rc = measures ? measure_text(k, s, v, n) : put_text(k, s, v);
    return rc;
}

/* One that is compressed or in a TOAST table. *n as above. */
static int write_closed(struct walk *k, const struct step *s, struct render_value v, size_t *n,
                        bool measures)
{
    size_t mark = k->w->used;
    int rc;

    if (!s->verbatim)
        rc = write_opened(k, s, v, n, measures);
    else
        rc = measures ? measure_closed_text(k, s, v, n) : put_closed_text(k, v);
    k->w->used = mark;
    return rc;
}

/* What half of all columns are needs no call. */
ALWAYS void write_integer(struct cursor *c, struct render_value v, bool measures)
{
    int64_t number = v.len == 4 ? (int32_t)bytes_u32(v.p) : (int64_t)bytes_u64(v.p);

    if (measures)
        c->bytes += digits_count_signed(number);
    else
        c->to = digits_signed(c->to, number);
}

ALWAYS int write_varlena(struct walk *k, struct cursor *c, const struct step *s,
                         struct render_value v, bool measures)
{
    size_t n = 0;
    int rc;

    if (varlena_is_closed(v.p)) { /* varlena.h */
        leave(k, c, measures);
        rc = write_closed(k, s, v, &n, measures);
        if (rc == 0)
            rc = check_row(k, n, measures);
        *c = (struct cursor){.bytes = n};
        enter(k, c, measures);
        return rc;
    }
    v = *v.p & 1 ? (struct render_value){v.p + 1, v.len - 1}
              : (struct render_value){v.p + 4, v.len - 4};
    return s->verbatim ? write_verbatim(k, c, s, v, measures) : write_text(k, c, s, v, measures);
}

ALWAYS int write_value(struct walk *k, struct cursor *c, const struct step *s,
                       struct render_value v, bool measures)
{
    if (s->integer) {
        write_integer(c, v, measures);
        return 0;
    }
    return s->len == -1 ? write_varlena(k, c, s, v, measures) : write_text(k, c, s, v, measures);
}

ALWAYS void write_null(struct walk *k, struct cursor *c, bool measures)
{
    size_t n = render_field_null_length(k->style.format);

    if (measures)
        c->bytes += n;
    else if (n)
        c->to = mempcpy(c->to, RENDER_FIELD_NULL, n);
}

/* Of a row that is older than the column. */
ALWAYS void write_missing(struct walk *k, struct cursor *c, const char *text, bool measures)
{
    if (!text) {
        write_null(k, c, measures);
    } else if (measures) {
        c->bytes += render_field_length(k->style, text, strlen(text));
    } else {
        leave(k, c, measures);
        render_field_put(k->style, text, strlen(text), k->o);
        enter(k, c, measures);
    }
}

ALWAYS void write_char(struct cursor *c, char byte, bool measures)
{
    if (measures)
        c->bytes++;
    else
        *c->to++ = byte;
}

/* ---- rows ---- */

ALWAYS int write_field(struct walk *k, struct cursor *c, const struct step *s,
                       struct render_value v, bool measures)
{
    if (v.p)
        return write_value(k, c, s, v, measures);
    write_null(k, c, measures);
    return 0;
}

/* Columns in the order of the attributes: each is written as soon as it is found. */
ALWAYS int write_ascending(struct walk *k, struct cursor *c, struct tuple *t, bool measures)
{
    const struct step *s = k->steps, *end = s + k->nsteps;
    char delimiter = render_field_delimiter(k->style.format);
    struct render_value v = {0};
    bool first = true;
    size_t i = 0;
    int rc = 0;

    for (; s < end && rc == 0; s++, i++) {
        if (i < t->n)
            rc = take_value(k->w, s, i, t, &v);
        if (!s->type || rc < 0)
            continue;
        if (!first)
            write_char(c, delimiter, measures);
        first = false;
        if (i < t->n)
            rc = write_field(k, c, s, v, measures);
        else
            write_missing(k, c, s->missing, measures);
    }
    return rc;
}

/* Columns in any order: all attributes are found first. */
ALWAYS int write_permuted(struct walk *k, struct cursor *c, struct tuple *t, bool measures)
{
    const struct render_relation *r = k->r;
    size_t column, i;
    int rc = 0;

    for (i = 0; i < k->nsteps && i < t->n && rc == 0; i++)
        rc = take_value(k->w, &k->steps[i], i, t, &k->values[i]);
    for (column = 0; column < r->ncolumns && rc == 0; column++) {
        i = r->columns[column];
        if (column)
            write_char(c, render_field_delimiter(k->style.format), measures);
        if (i >= t->n)
            write_missing(k, c, k->steps[i].missing, measures);
        else
            rc = write_field(k, c, &k->steps[i], k->values[i], measures);
    }
    return rc;
}

/* 1: it is written; 0: nobody sees it. */
ALWAYS int write_row(struct walk *k, const char *row, size_t len, bool measures)
{
    struct cursor c = {0};
    struct tuple t;
    int rc = render_xacts_shows(k->r->xacts, row, &k->w->fault);

    if (rc <= 0)
        return rc;
    t = open_tuple(row, len);
    k->row = measures ? k->bytes : k->o->n;
    k->room = len + CHUNK + (k->nsteps + 1) * (DIGITS_MAX + 1);
    enter(k, &c, measures);
    rc = k->values ? write_permuted(k, &c, &t, measures) : write_ascending(k, &c, &t, measures);
    if (rc < 0)
        return rc;
    write_char(&c, '\n', measures);
    leave(k, &c, measures);
    return 1;
}

/* ---- pages ---- */

static bool columns_ascend(const struct render_relation *r)
{
    size_t c;

    for (c = 1; c < r->ncolumns; c++)
        if (r->columns[c] <= r->columns[c - 1])
            return false;
    return true;
}

static size_t count_steps(const struct render_relation *r)
{
    size_t c, n = 0;

    for (c = 0; c < r->ncolumns; c++)
        if (r->columns[c] >= n)
            n = r->columns[c] + 1u;
    return n;
}

static void *scratch(struct render_work *w, size_t bytes)
{
    return out_place(render_work_buffer(w), bytes + 1);
}

static void prepare_steps(struct walk *k)
{
    const struct render_relation *r = k->r;
    struct step *steps;
    size_t i;

    k->nsteps = count_steps(r);
    k->steps = steps = scratch(k->w, k->nsteps * sizeof(*steps));
    for (i = 0; i < k->nsteps; i++)
        steps[i] = (struct step){.missing = r->attributes[i].missing,
                                 .padding = bytes_align(1, r->attributes[i].align) - 1,
                                 .len = r->attributes[i].len < -1 ? 0 : r->attributes[i].len};
    for (i = 0; i < r->ncolumns; i++) {
        struct step *s = &steps[r->columns[i]];

        s->type = r->attributes[r->columns[i]].type;
        s->bare = s->type->ops->bare;
        s->verbatim = s->type->ops->verbatim;
        s->integer = s->type->ops->integer && (s->len == 4 || s->len == 8);
        s->field = s->type->ops->field;
        s->put_field = s->type->ops->put_field;
    }
}

static void prepare_walk(struct walk *k)
{
    k->w->toast = k->r->toast;
    k->w->fault = NULL;
    k->w->nesting = 0;
    k->style = (struct render_style){k->r->format, k->r->ncolumns == 1};
    prepare_steps(k);
    if (!columns_ascend(k->r))
        k->values = scratch(k->w, k->nsteps * sizeof(*k->values));
}

ALWAYS uint64_t written(const struct walk *k, bool measures)
{
    return measures ? k->bytes : k->o->n;
}

/* Items *item to n, or fewer of them. */
ALWAYS int write_items(struct walk *k, const char *page, int n, uint64_t enough, uint64_t *rows,
                       int *item, bool measures)
{
    uint64_t from = written(k, measures);
    const char *row;
    size_t len;
    int rc;

    for (; *item <= n && written(k, measures) - from < enough; ++*item) {
        rc = render_page_row(page, *item, &row, &len, &k->w->fault);
        if (rc > 0)
            rc = write_row(k, row, len, measures);
        else if (rc < 0)
            rc = -EIO;
        if (rc < 0)
            return rc;
        *rows += (uint64_t)rc;
    }
    if (*item > n)
        *item = 0;
    return 0;
}

ALWAYS int write_page(struct walk *k, uint64_t block, const char *page, uint64_t enough,
                      uint64_t *rows, int *item, bool measures)
{
    size_t mark = k->w->used;
    uint64_t shown = 0;
    int rc, n;

    prepare_walk(k);
    n = render_page_items(page, k->r->checksums, block, &k->w->fault);
    if (n < 0) {
        *item = 0;
        rc = -EIO;
    } else {
        rc = write_items(k, page, n, enough, &shown, item, measures);
    }
    k->w->used = mark;
    if (rc == 0)
        *rows += shown;
    return rc;
}

int render_rows_put_from(struct render_work *w, const struct render_relation *r, uint64_t block,
                         const char *page, uint64_t enough, struct out *o, uint64_t *rows,
                         int *item)
{
    struct walk k = {.w = w, .r = r, .o = o};
    size_t at = o->n;
    int rc = write_page(&k, block, page, enough, rows, item, false);

    if (rc < 0)
        o->n = at;
    return rc;
}

int render_rows_measure_from(struct render_work *w, const struct render_relation *r, uint64_t block,
                             const char *page, uint64_t enough, uint64_t *bytes, uint64_t *rows,
                             int *item)
{
    struct walk k = {.w = w, .r = r};
    int rc = write_page(&k, block, page, enough, rows, item, true);

    if (rc == 0)
        *bytes += k.bytes;
    return rc;
}

int render_rows_put(struct render_work *w, const struct render_relation *r, uint64_t block,
                    const char *page, struct out *o, uint64_t *rows, int *item)
{
    *item = 1;
    return render_rows_put_from(w, r, block, page, UINT64_MAX, o, rows, item);
}

int render_rows_measure(struct render_work *w, const struct render_relation *r, uint64_t block,
                        const char *page, uint64_t *bytes, uint64_t *rows, int *item)
{
    *item = 1;
    return render_rows_measure_from(w, r, block, page, UINT64_MAX, bytes, rows, item);
}

void render_rows_header(char *const *names, size_t n, struct out *o)
{
    struct render_style style = {RENDER_CSV, n == 1};
    size_t i;

    for (i = 0; i < n; i++) {
        if (i)
            out_putc(o, ',');
        render_field_put(style, names[i], strlen(names[i]), o);
    }
    out_putc(o, '\n');
}
