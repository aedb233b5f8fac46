/*
 * Ranges and multiranges, as range_out and multirange_out write them.
 *
 * PostgreSQL (utils/rangetypes.h, multirangetypes.h and .c; the same in 14 to 18), behind the varlena's header
 * of four bytes, which counts in all offsets and alignments. A range: type, lower bound, upper bound, as far as
 * the flags say that there is one, and in the last byte the flags. A multirange: type, number of ranges, for
 * each range but the first where its bounds are (high bit: counted from the bounds of the first; else from the range
 * before), flags of each, and at the next multiple of the bounds' alignment the bounds, those of each range aligned.
 */
#include "render/bytes.h"
#include "render/nested.h"

#define EMPTY 0x01
#define LOWER_INCLUSIVE 0x02
#define UPPER_INCLUSIVE 0x04
#define LOWER_INFINITE 0x08
#define UPPER_INFINITE 0x10
#define LOWER_NULL 0x20 /* of old, as below */
#define UPPER_NULL 0x40

#define MULTIRANGE_HEADER 12 /* up to the first offset */
#define FROM_START 0x80000000u

static int put_bound(struct render_work *w, const struct render_type *t, struct nested_parts *s,
                     struct nested_text *text)
{
    size_t mark = w->used;
    struct render_value v;
    int rc = nested_take(w, s, t->len, t->align, true, &v);

    if (rc == 0)
        rc = nested_put(w, t, v, NESTED_RANGE, 0, text);
    w->used = mark;
    return rc;
}

/* `t`: of the bounds, which are in s. */
static int put_bounds(struct render_work *w, const struct render_type *t, unsigned flags,
                      struct nested_parts *s, struct nested_text *text)
{
    int rc = 0;

    if (flags & EMPTY) {
        nested_write(text, "empty", 5);
        return 0;
    }
    nested_write(text, flags & LOWER_INCLUSIVE ? "[" : "(", 1);
    if (!(flags & (LOWER_INFINITE | LOWER_NULL)))
        rc = put_bound(w, t, s, text);
    nested_write(text, ",", 1);
    if (rc == 0 && !(flags & (UPPER_INFINITE | UPPER_NULL)))
        rc = put_bound(w, t, s, text);
    nested_write(text, flags & UPPER_INCLUSIVE ? "]" : ")", 1);
    return rc;
}

static int write_range(struct render_work *w, const struct render_type *t, struct render_value v,
                       struct nested_text *text)
{
    struct nested_parts s;

    if (v.len < 5)
        return render_fail(w, "a range without a header");
    if (bytes_u32(v.p) != t->base)
        return render_fail(w, "a range of another type");
    s = (struct nested_parts){.p = v.p + 4, .len = v.len - 5};
    return put_bounds(w, t->element, (unsigned char)v.p[v.len - 1], &s, text);
}

static int put_range(struct render_work *w, const struct render_type *t, struct render_value v,
                     struct out *o)
{
    struct nested_text text = {.o = o};

    return write_range(w, t, v, &text);
}

static int range_length(struct render_work *w, const struct render_type *t, struct render_value v,
                        size_t *n)
{
    struct nested_text text = {.o = NULL};
    int rc = write_range(w, t, v, &text);

    *n = text.n;
    return rc;
}

const struct render_ops render_range_ops = {.put = put_range, .length = range_length};

struct multirange {
    size_t n;
    const char *offsets, *flags;
    struct nested_parts bounds;
};

static int open_multirange(struct render_work *w, const struct render_type *t,
                           struct render_value v, struct multirange *m)
{
    const struct render_type *bound = t->element->element;
    size_t left, start;

    if (v.len < MULTIRANGE_HEADER - 4)
        return render_fail(w, "a multirange without a header");
    if (bytes_u32(v.p) != t->base)
        return render_fail(w, "a multirange of another type");
    *m = (struct multirange){.n = bytes_u32(v.p + 4), .offsets = v.p + 8};
    left = v.len - 8;
    if (m->n == 0)
        return 0;
    if ((uint64_t)m->n * 5 - 4 > left)
        return render_fail(w, "a multirange of more ranges than it has room for");
    m->flags = m->offsets + (m->n - 1) * 4;
    start = bytes_align(MULTIRANGE_HEADER + m->n * 5 - 4, bound->align);
    if (start <= v.len + 4)
        m->bounds = (struct nested_parts){.p = v.p + start - 4, .len = v.len + 4 - start};
    return 0;
}

/* To where its bounds begin: *start holds where those of the range before did. Never back: so damage
 * cannot make the same bytes be read over and over. */
static int seek_range(struct render_work *w, struct multirange *m, size_t i, size_t *start)
{
    uint32_t offset = bytes_u32(m->offsets + (i - 1) * 4);

    if (offset & FROM_START)
        *start = offset & ~FROM_START;
    else
        *start += offset;
    if (*start < m->bounds.at)
        return render_fail(w, "ranges of a multirange overlap");
    m->bounds.at = *start;
    return 0;
}

static int write_multirange(struct render_work *w, const struct render_type *t,
                            struct render_value v, struct nested_text *text)
{
    size_t start = 0, i;
    struct multirange m;
    int rc = open_multirange(w, t, v, &m);

    if (rc < 0)
        return rc;
    nested_write(text, "{", 1);
    for (i = 0; rc == 0 && i < m.n; i++) {
        if (i > 0) {
            nested_write(text, ",", 1);
            rc = seek_range(w, &m, i, &start);
        }
        if (rc == 0)
            rc = put_bounds(w, t->element->element, (unsigned char)m.flags[i], &m.bounds, text);
        if (rc == 0)
            rc = nested_check(w, text);
    }
    nested_write(text, "}", 1);
    return rc;
}

static int put_multirange(struct render_work *w, const struct render_type *t, struct render_value v,
                          struct out *o)
{
    struct nested_text text = {.o = o};

    return write_multirange(w, t, v, &text);
}

static int multirange_length(struct render_work *w, const struct render_type *t,
                             struct render_value v, size_t *n)
{
    struct nested_text text = {.o = NULL};
    int rc = write_multirange(w, t, v, &text);

    *n = text.n;
    return rc;
}

const struct render_ops render_multirange_ops = {.put = put_multirange,
                                                 .length = multirange_length};
