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
}

static size_t escaped_length(const char *p, size_t n)
{
    size_t i, sum = 2;

    for (i = 0; i < n; i++)
        sum += widths[(unsigned char)p[i]];
    return sum;
}

static void write_string(const char *p, size_t n, struct nested_text *text)
{
    size_t i, from = 0;

    nested_write(text, "\"", 1);
    for (i = 0; i < n; i++) {
        if (widths[(unsigned char)p[i]] == 1)
            continue;
        nested_write(text, p + from, i - from);
        put_escaped(text, (unsigned char)p[i]);
        from = i + 1;
    }
    nested_write(text, p + from, n - from);
    nested_write(text, "\"", 1);
}

int json_put_string(struct render_work *w, const char *p, size_t n, struct nested_text *text)
{
    size_t sum = 0;

    if (!text->o || n > NESTED_LONGEST / 8)
        sum = escaped_length(p, n);
    if (text->n + sum > NESTED_LONGEST)
        return render_fail(w, "a text of more than 1 GiB");
    if (text->o)
        write_string(p, n, text);
    else
        text->n += sum;
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
