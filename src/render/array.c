/*
 * Arrays, as array_out writes them.
 *
 * PostgreSQL (utils/array.h; the same in 14 to 18), behind the varlena's header of four bytes, which counts
 * in all offsets and alignments: ndim, dataoffset (0: no bitmap, and the elements begin at the multiple of 8 behind
 * the header), elemtype, ndim sizes, ndim lower bounds, bitmap (a bit for each element, 1: not NULL), elements.
 */
#include <limits.h>
#include <stdio.h>

#include "render/bytes.h"
#include "render/digits.h"
#include "render/nested.h"

#define HEADER 16         /* up to the sizes */
#define DIMENSIONS 6      /* MAXDIM */
#define LONGEST 134217727 /* MaxArraySize: elements */

struct array {
    const struct render_type *element;
    bool plain;    /* nested_is_plain: of the element */
    bool verbatim; /* of its ops, and commas are between such elements */
    int dimensions;
    int32_t sizes[DIMENSIONS], lower[DIMENSIONS];
    int64_t count;      /* of all elements */
    const char *bitmap; /* NULL: no element is NULL */
    struct nested_parts elements;
};

static int read_dimensions(struct render_work *w, struct array *a, struct render_value v)
{
    int d;

    a->count = a->dimensions > 0;
    for (d = 0; d < a->dimensions; d++) {
        const char *size = v.p + HEADER - 4 + 4 * d;

        a->sizes[d] = (int32_t)bytes_u32(size);
        a->lower[d] = (int32_t)bytes_u32(size + 4 * a->dimensions);
        if (a->sizes[d] < 0 || (int64_t)a->lower[d] + a->sizes[d] > INT_MAX)
            return render_fail(w, "an array's bounds are impossible");
        a->count *= a->sizes[d];
        if (a->count > LONGEST)
            return render_fail(w, "an array of too many elements");
    }
    return 0;
}

/* Where the elements are. `header`: offset of what is behind the lower bounds. */
static int read_offset(struct render_work *w, struct array *a, struct render_value v, size_t header)
{
    size_t offset = bytes_u32(v.p + 4), bitmap = offset ? ((size_t)a->count + 7) / 8 : 0;

    if (offset)
        a->bitmap = v.p + header - 4;
    else
        offset = bytes_align(header, 'd');
    if (offset % 8 || offset < header + bitmap || (offset > v.len + 4 && a->count))
        return render_fail(w, "an array's elements are at an impossible place");
    if (a->count)
        a->elements = (struct nested_parts){.p = v.p + offset - 4, .len = v.len + 4 - offset};
    return 0;
}

static int open_array(struct render_work *w, const struct render_type *t, struct render_value v,
                      struct array *a)
{
    size_t header;
    int rc;

    if (v.len < HEADER - 4)
        return render_fail(w, "an array without a header");
    a->element = t->element;
    a->plain = nested_is_plain(t->element);
    a->verbatim = t->element->ops->verbatim && t->element->delimiter == ',';
    a->dimensions = (int)bytes_u32(v.p);
    a->bitmap = NULL;
    a->elements = (struct nested_parts){0};
    if (a->dimensions < 0 || a->dimensions > DIMENSIONS)
        return render_fail(w, "an array of an impossible number of dimensions");
    if (bytes_u32(v.p + 8) != t->element->oid)
        return render_fail(w, "an array of another type");
    header = HEADER + 8 * (size_t)a->dimensions;
    if (v.len + 4 < header)
        return render_fail(w, "an array without a header");
    rc = read_dimensions(w, a, v);
    return rc < 0 ? rc : read_offset(w, a, v, header);
}

/* Only if one of them does not begin at 1. */
static void put_bounds(const struct array *a, struct nested_text *text)
{
    char bounds[32];
    bool needed = false;
    int d;

    for (d = 0; d < a->dimensions; d++)
        needed |= a->lower[d] != 1;
    if (!needed)
        return;
    for (d = 0; d < a->dimensions; d++)
        nested_write(text, bounds,
                     (size_t)snprintf(bounds, sizeof(bounds), "[%d:%d]", a->lower[d],
                                      a->lower[d] + a->sizes[d] - 1));
    nested_write(text, "=", 1);
}

static int put_element(struct render_work *w, struct array *a, int64_t i, struct nested_text *text)
{
    const struct render_type *t = a->element;
    size_t mark = w->used;
    struct render_value v;
    int rc;

    if (a->bitmap && !((unsigned char)a->bitmap[i / 8] >> i % 8 & 1)) {
        nested_write(text, "NULL", 4);
        return nested_check(w, text);
    }
    rc = nested_take(w, &a->elements, t->len, t->align, false, &v);
    if (rc == 0 && a->verbatim)
        rc = nested_put_text(w, v, t->delimiter, text);
    else if (rc == 0)
        rc = a->plain ? nested_put_plain(w, t, v, text)
                      : nested_put(w, t, v, NESTED_ARRAY, t->delimiter, text);
    w->used = mark;
    return rc;
}

/* ---- integers, one after the other in one dimension ---- */

/* What is damaged in them, those who take them one by one find. */
static bool is_integers(const struct array *a)
{
    size_t size = (size_t)a->element->len;

    return a->element->ops->integer && (size == 4 || size == 8) && a->dimensions == 1 &&
           a->lower[0] == 1 && !a->bitmap && (size_t)a->count * size <= a->elements.len;
}

static inline int64_t integer_at(const struct array *a, int64_t i)
{
    const char *p = a->elements.p + i * a->element->len;

    return a->element->len == 4 ? (int32_t)bytes_u32(p) : (int64_t)bytes_u64(p);
}

static char *put_integers(const struct array *a, char *p)
{
    int64_t i;

    for (i = 0; i < a->count; i++) {
        *p++ = i ? a->element->delimiter : '{';
        p = digits_signed(p, integer_at(a, i));
    }
    *p++ = '}';
    return p;
}

static int write_integers(struct render_work *w, const struct array *a, struct nested_text *text)
{
    size_t n = (size_t)a->count + 1;
    int64_t i;
    char *p;

    if (text->o) {
        p = out_place(text->o, (size_t)a->count * DIGITS_MAX + 1);
        n = (size_t)(put_integers(a, p) - p);
        text->o->n += n;
    } else {
        for (i = 0; i < a->count; i++)
            n += digits_count_signed(integer_at(a, i));
    }
    text->n += n;
    return nested_check(w, text);
}

/* ---- all ---- */

/* Behind an element: the braces that end with it, a delimiter, the braces of the next one. `at`: which one
 * it is, in each dimension. */
static void put_between(const struct array *a, int32_t *at, struct nested_text *text)
{
    int d = a->dimensions - 1, closed;

    while (d >= 0 && ++at[d] == a->sizes[d]) {
        at[d--] = 0;
        nested_write(text, "}", 1);
    }
    if (d < 0)
        return;
    closed = a->dimensions - 1 - d;
    nested_write(text, &a->element->delimiter, 1);
    nested_write(text, "{{{{{{", (size_t)closed);
}

static int write_elements(struct render_work *w, struct array *a, struct nested_text *text)
{
    int32_t at[DIMENSIONS] = {0};
    int64_t i;
    int rc = 0;

    if (a->count == 0) {
        nested_write(text, "{}", 2);
        return 0;
    }
    if (is_integers(a))
        return write_integers(w, a, text);
    put_bounds(a, text);
    nested_write(text, "{{{{{{", (size_t)a->dimensions);
    for (i = 0; i < a->count && rc == 0; i++) {
        rc = put_element(w, a, i, text);
        put_between(a, at, text);
    }
    return rc;
}

static int put_array(struct render_work *w, const struct render_type *t, struct render_value v,
                     struct out *o)
{
    struct nested_text text = {.o = o};
    struct array a;
    int rc = open_array(w, t, v, &a);

    return rc < 0 ? rc : write_elements(w, &a, &text);
}

static int array_length(struct render_work *w, const struct render_type *t, struct render_value v,
                        size_t *n)
{
    struct nested_text text = {.o = NULL};
    struct array a;
    int rc = open_array(w, t, v, &a);

    if (rc == 0)
        rc = write_elements(w, &a, &text);
    *n = text.n;
    return rc;
}

/* Numbers and the like have no quotes and no backslashes; and a text with something that makes a field of CSV be quoted
 * has quotes of its own. What is between them may be a comma. */
static bool field_is_known(const struct array *a, enum render_format f)
{
    return a->element->delimiter == ',' && (a->plain || (a->verbatim && f == RENDER_CSV));
}

static int array_field(struct render_work *w, const struct render_type *t, struct render_value v,
                       struct render_style s, size_t *n)
{
    struct nested_text text = {.o = NULL};
    struct array a;
    int rc = open_array(w, t, v, &a);

    if (rc < 0 || !field_is_known(&a, s.format))
        return rc < 0 ? rc : 1;
    rc = write_elements(w, &a, &text);
    *n = text.n + text.quotes;
    if (s.format == RENDER_CSV && (a.count > 1 || text.quotes))
        *n += 2;
    return rc;
}

/* Quotes around it come first, and are taken away where there is no need for them. */
static int put_array_field(struct render_work *w, const struct render_type *t,
                           struct render_value v, struct render_style s, struct out *o)
{
    struct nested_text text = {.o = o, .doubled = true};
    size_t at = o->n;
    struct array a;
    int rc = s.format == RENDER_CSV ? open_array(w, t, v, &a) : 1;

    if (rc != 0 || !field_is_known(&a, s.format))
        return rc ? rc : 1;
    out_putc(o, '"');
    rc = write_elements(w, &a, &text);
    if (rc < 0)
        return rc;
    if (a.count > 1 || text.quotes) {
        out_putc(o, '"');
    } else {
        o->n--;
        memmove(o->p + at, o->p + at + 1, o->n - at);
    }
    return 0;
}

const struct render_ops render_array_ops = {
    .put = put_array, .length = array_length, .field = array_field, .put_field = put_array_field};
