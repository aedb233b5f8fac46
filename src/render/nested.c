#include "render/nested.h"

#include <errno.h>
#include <strings.h>

#include "render/varlena.h"

#define ALL (NESTED_ARRAY | NESTED_ROW | NESTED_RANGE)
#define ESCAPED 8

/* Which bytes make whom quote a text (array_out, record_out, range_bound_escape), and which of them are
 * escaped then. */
static const unsigned char reasons[256] = {
    [' '] = ALL,
    ['\t'] = ALL,
    ['\n'] = ALL,
    ['\v'] = ALL,
    ['\f'] = ALL,
    ['\r'] = ALL,
    ['"'] = ALL | ESCAPED,
    ['\\'] = ALL | ESCAPED,
    ['{'] = NESTED_ARRAY,
    ['}'] = NESTED_ARRAY,
    [','] = NESTED_ROW | NESTED_RANGE,
    ['('] = NESTED_ROW | NESTED_RANGE,
    [')'] = NESTED_ROW | NESTED_RANGE,
    ['['] = NESTED_RANGE,
    [']'] = NESTED_RANGE,
};

/* ---- parts ---- */

static void align_parts(struct nested_parts *s, int16_t len, char align, bool packed)
{
    if (packed && len == -1 && s->at < s->len && s->p[s->at])
        return; /* no padding: the header is there already */
    s->at = bytes_align(s->at, align);
}

/* Of the bytes that are left; 0: it does not fit. */
static size_t part_size(const char *p, size_t left, int16_t len)
{
    const char *end;

    if (len == -1)
        return varlena_size(p, left);
    if (len != -2)
        return len > 0 && (size_t)len <= left ? (size_t)len : 0;
    end = memchr(p, '\0', left);
    return end ? (size_t)(end - p) + 1 : 0;
}

static int find_part(struct render_work *w, struct nested_parts *s, int16_t len, char align,
                     bool packed, const char **p, size_t *size)
{
    align_parts(s, len, align, packed);
    if (s->at >= s->len)
        return render_fail(w, "a value inside another one ends too early");
    *p = s->p + s->at;
    *size = part_size(*p, s->len - s->at, len);
    if (*size == 0)
        return render_fail(w, "a value inside another one is longer than that");
    if (len == -1 && **p == 1)
        return render_fail(w, "a pointer to TOAST inside a value");
    s->at += *size;
    return 0;
}

int nested_take(struct render_work *w, struct nested_parts *s, int16_t len, char align, bool packed,
                struct render_value *v)
{
    const char *p;
    size_t size;
    int rc = find_part(w, s, len, align, packed, &p, &size);

    if (rc < 0)
        return rc;
    if (len == -1)
        return render_varlena(w, p, size, v);
    *v = (struct render_value){p, len == -2 ? size - 1 : size};
    return 0;
}

int nested_skip(struct render_work *w, struct nested_parts *s, int16_t len, char align, bool packed)
{
    const char *p;
    size_t size;

    return find_part(w, s, len, align, packed, &p, &size);
}

/* ---- quoting ---- */

/* Whether the text has to be quoted, and how many of its bytes are escaped. */
static bool needs_quotes(const char *p, size_t n, enum nested_quoting quoting, char delimiter,
                         size_t *escapes)
{
    bool needed = n == 0;
    size_t i;

    *escapes = 0;
    for (i = 0; i < n; i++) {
        unsigned reason = reasons[(unsigned char)p[i]];

        needed |= (reason & (unsigned)quoting) || (delimiter && p[i] == delimiter);
        *escapes += reason / ESCAPED;
    }
    return needed || (quoting == NESTED_ARRAY && n == 4 && strncasecmp(p, "null", 4) == 0);
}

/* Between quotes, with a backslash before what is escaped. */
static void write_escaped(const char *p, size_t n, struct nested_text *text)
{
    static const char quotes[] = "\"\"";
    size_t i, from = 0;

    out_put(text->o, quotes, text->doubled ? 2 : 1);
    for (i = 0; i < n; i++) {
        if (!(reasons[(unsigned char)p[i]] & ESCAPED))
            continue;
        out_put(text->o, p + from, i - from);
        out_putc(text->o, '\\');
        if (text->doubled && p[i] == '"')
            out_putc(text->o, '"');
        from = i;
    }
    out_put(text->o, p + from, n - from);
    out_put(text->o, quotes, text->doubled ? 2 : 1);
}

static size_t count_quotes(const char *p, size_t n)
{
    size_t i, count = 0;

    for (i = 0; i < n; i++)
        count += p[i] == '"';
    return count;
}

/* In its place, from the end on. A row and a range double what they escape, an array puts a backslash. */
static void add_quotes(struct out *o, size_t from, size_t escapes, enum nested_quoting quoting)
{
    size_t n = o->n - from;
    char *text = out_place(o, escapes + 2) - n, *to = text + n + escapes + 2;

    *--to = '"';
    while (n-- > 0) {
        char c = text[n];

        *--to = c;
        if (reasons[(unsigned char)c] & ESCAPED)
            *--to = quoting == NESTED_ARRAY ? '\\' : c;
    }
    *--to = '"';
    o->n += escapes + 2;
}

static int quote(struct render_work *w, struct out *o, size_t from, enum nested_quoting quoting,
                 char delimiter)
{
    size_t n = o->n - from, escapes;

    if (!needs_quotes(o->p + from, n, quoting, delimiter, &escapes))
        return 0;
    if (n + escapes + 2 > NESTED_LONGEST)
        return render_fail(w, "a text of more than 1 GiB");
    add_quotes(o, from, escapes, quoting);
    return 0;
}

/* ---- values ---- */

bool nested_is_plain(const struct render_type *t)
{
    switch (t->base) {
    case 16:   /* bool */
    case 20:   /* int8 */
    case 21:   /* int2 */
    case 23:   /* int4 */
    case 26:   /* oid */
    case 28:   /* xid */
    case 29:   /* cid */
    case 700:  /* float4 */
    case 701:  /* float8 */
    case 1700: /* numeric */
    case 2950: /* uuid */
    case 5069: /* xid8 */
        return true;
    default:
        return false;
    }
}

static int put_quoted(struct render_work *w, const struct render_type *t, struct render_value v,
                      enum nested_quoting quoting, char delimiter, struct out *o)
{
    size_t from = o->n;
    int rc;

    if (w->nesting >= RENDER_NESTING)
        return render_fail(w, "values nested too deeply");
    w->nesting++;
    rc = t->ops->put(w, t, v, o);
    w->nesting--;
    return rc < 0 ? rc : quote(w, o, from, quoting, delimiter);
}

int nested_put_plain(struct render_work *w, const struct render_type *t, struct render_value v,
                     struct nested_text *text)
{
    struct out *o = text->o;
    size_t mark = w->used, from, n = 0;
    int rc;

    if (!o && t->ops->length) {
        rc = t->ops->length(w, t, v, &n);
        text->n += n;
    } else {
        o = o ? o : render_work_buffer(w);
        from = o->n;
        rc = t->ops->put(w, t, v, o);
        text->n += o->n - from;
    }
    w->used = mark;
    return rc < 0 ? rc : nested_check(w, text);
}

int nested_put_text(struct render_work *w, struct render_value v, char delimiter,
                    struct nested_text *text)
{
    size_t escapes;

    if (w->nesting >= RENDER_NESTING)
        return render_fail(w, "values nested too deeply");
    if (!needs_quotes(v.p, v.len, NESTED_ARRAY, delimiter, &escapes)) {
        nested_write(text, v.p, v.len);
        return nested_check(w, text);
    }
    text->n += v.len + escapes + 2;
    text->quotes += 2 + (escapes ? count_quotes(v.p, v.len) : 0);
    if (nested_check(w, text) < 0)
        return -EIO;
    if (text->o)
        write_escaped(v.p, v.len, text);
    return 0;
}

int nested_put(struct render_work *w, const struct render_type *t, struct render_value v,
               enum nested_quoting quoting, char delimiter, struct nested_text *text)
{
    size_t mark = w->used, from;
    struct out *o;
    int rc;

    if (nested_is_plain(t))
        return nested_put_plain(w, t, v, text);
    o = text->o ? text->o : render_work_buffer(w);
    from = o->n;
    rc = put_quoted(w, t, v, quoting, delimiter, o);
    text->n += o->n - from;
    w->used = mark;
    return rc < 0 ? rc : nested_check(w, text);
}
