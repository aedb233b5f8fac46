#include "render/json.h"

#include <stdbool.h>
#include <string.h>

#include "render/varlena.h"

/* ---- strings ---- */

/* Bytes that each byte of a string becomes (escape_json). */
static const unsigned char widths[256] = {
    [0 ... 7] = 6, ['\b'] = 2,        ['\t'] = 2,      ['\n'] = 2,        ['\v'] = 6,
    ['\f'] = 2,    ['\r'] = 2,        [14 ... 31] = 6, [' '] = 1,         ['!'] = 1,
    ['"'] = 2,     ['#' ... '['] = 1, ['\\'] = 2,      [']' ... 255] = 1,
};

static void put_escaped(struct nested_text *text, unsigned char c)
{
    static const char digits[] = "0123456789abcdef", named[] = "\b\f\n\r\t", letters[] = "bfnrt";
    char escape[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};
    const char *name = widths[c] == 2 ? strchr(named, c) : NULL;

    if (widths[c] == 2)
        escape[1] = name ? letters[name - named] : (char)c;
    nested_write(text, escape, widths[c]);
    if (c == '"') {
        text->quotes++;
        if (text->doubled)
            out_putc(text->o, '"');
    }
}

static size_t escaped_length(const char *p, size_t n)
{
    size_t i, sum = 2;

    for (i = 0; i < n; i++)
        sum += widths[(unsigned char)p[i]];
    return sum;
}

/* Has it something to be escaped? */
static inline bool has_specials(const char *p, size_t n, size_t left)
{
    for (; n >= CHUNK; p += CHUNK, n -= CHUNK, left -= CHUNK)
        if (json_specials_in(chunk_whole(p)))
            return true;
    return json_short_specials(json_short(p, n, left), n);
}

/* The same, while it is copied to `to`, where CHUNK bytes more may be written. */
static inline bool copy_has_specials(char *to, const char *p, size_t n, size_t left)
{
    unsigned mask = 0;
    chunk c;

    for (; n >= CHUNK; to += CHUNK, p += CHUNK, n -= CHUNK, left -= CHUNK) {
        c = chunk_whole(p);
        mask |= json_specials_in(c);
        chunk_store(to, c);
    }
    c = json_short(p, n, left);
    chunk_store(to, c);
    return mask || json_short_specials(c, n);
}

static size_t measure_escapes(const char *p, size_t n, struct nested_text *text)
{
    size_t i;

    for (i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];

        text->quotes += c == '"';
        text->backslashes += (widths[c] > 1) + (c == '\\');
    }
    return escaped_length(p, n);
}

static int measure_string(struct render_work *w, const char *p, size_t n, size_t left,
                          struct nested_text *text)
{
    size_t sum = has_specials(p, n, left) ? measure_escapes(p, n, text) : n + 2;

    if (text->n + sum > NESTED_LONGEST)
        return render_fail(w, "a text of more than 1 GiB");
    text->quotes += 2;
    text->n += sum;
    return 0;
}

static void put_quote(struct nested_text *text)
{
    out_put(text->o, "\"\"", text->doubled ? 2 : 1);
    text->quotes++;
    text->n++;
}

static void put_escapes(const char *p, size_t n, struct nested_text *text)
{
    size_t i, from = 0;

    put_quote(text);
    for (i = 0; i < n; i++) {
        if (widths[(unsigned char)p[i]] == 1)
            continue;
        nested_write(text, p + from, i - from);
        put_escaped(text, (unsigned char)p[i]);
        from = i + 1;
    }
    nested_write(text, p + from, n - from);
    put_quote(text);
}

int json_put_string(struct render_work *w, const char *p, size_t n, size_t left,
                    struct nested_text *text)
{
    struct out *o = text->o;
    char *to;

    if (!o)
        return measure_string(w, p, n, left, text);
    if (n > NESTED_LONGEST / 8 && text->n + escaped_length(p, n) > NESTED_LONGEST)
        return render_fail(w, "a text of more than 1 GiB");
    to = out_place(o, n + 4 + CHUNK);
    if (copy_has_specials(to + 1 + text->doubled, p, n, left))
        put_escapes(p, n, text);
    else
        json_close_string(to, n, text);
    return 0;
}

/* ---- numbers ---- */

static int measure_number(struct render_work *w, struct render_value v, struct nested_text *text)
{
    size_t n = 0;
    int rc = render_numeric_ops.length(w, NULL, v, &n);

    text->n += n;
    return rc;
}

int json_put_number(struct render_work *w, const char *p, size_t n, struct nested_text *text)
{
    size_t size = varlena_size(p, n), from;
    unsigned head = size ? (unsigned char)*p : 1;
    struct render_value v;
    int rc;

    if (head == 1 || (head & 3) == 2)
        return render_fail(w, "a number in a jsonb or jsonpath is damaged");
    v = head & 1 ? (struct render_value){p + 1, size - 1} : (struct render_value){p + 4, size - 4};
    if (!text->o)
        return measure_number(w, v, text);
    from = text->o->n;
    rc = render_numeric_ops.put(w, NULL, v, text->o);
    text->n += text->o->n - from;
    return rc;
}
