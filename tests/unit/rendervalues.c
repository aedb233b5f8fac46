#include "rendervalues.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

char *bytes_of_hex(const char *hex, size_t *n)
{
    char *p;
    size_t i;

    *n = strlen(hex) / 2;
    p = mem_alloc(*n ? *n : 1);
    for (i = 0; i < *n; i++) {
        char digits[3] = {hex[2 * i], hex[2 * i + 1], '\0'};

        p[i] = (char)strtoul(digits, NULL, 16);
    }
    return p;
}

static void require(int truth, const char *what)
{
    if (truth)
        return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static void check_length(struct render_work *w, const struct render_type *t, struct render_value v,
                         int rc, size_t n)
{
    const char *fault = w->fault;
    size_t length = 0;

    if (!t->ops->length)
        return;
    w->fault = NULL;
    require(t->ops->length(w, t, v, &length) == rc, "the length is a fault, or the text is");
    require(rc < 0 || length == n, "the length is not that of the text");
    require(w->fault == fault, "the length has another fault");
}

static void check_field(struct render_work *w, const struct render_type *t, struct render_value v,
                        struct render_style s, int rc, const char *text, size_t n)
{
    const char *fault = w->fault;
    size_t length = 0;
    int measured;

    w->fault = NULL;
    measured = t->ops->field(w, t, v, s, &length);
    require(measured == 1 || measured == rc, "a field is a fault, or its text is");
    require(measured || length == render_field_length(s, text, n), "a field has another length");
    require(measured == 1 || w->fault == fault, "a field has another fault");
    w->fault = fault;
}

static void check_put_field(struct render_work *w, const struct render_type *t,
                            struct render_value v, struct render_style s, int rc, const char *text,
                            size_t n)
{
    const char *fault = w->fault;
    struct out o = {0}, field = {0};
    int put;

    out_putc(&field, 'x');
    w->fault = NULL;
    put = t->ops->put_field(w, t, v, s, &field);
    require(put == 1 || put == rc, "a field that is put is a fault, or its text is");
    require(put == 1 || w->fault == fault, "a field that is put has another fault");
    out_putc(&o, 'x');
    if (put == 0)
        render_field_put(s, text, n, &o);
    require(put < 0 || (field.n == o.n && memcmp(field.p, o.p, o.n) == 0),
            "a field is put that is not that of the text");
    w->fault = fault;
    out_free(&field);
    out_free(&o);
}

static void check_fields(struct render_work *w, const struct render_type *t, struct render_value v,
                         int rc, const char *text, size_t n)
{
    static const struct render_style styles[] = {
        {RENDER_CSV, false}, {RENDER_CSV, true}, {RENDER_TEXT, false}};
    size_t i;

    for (i = 0; i < sizeof(styles) / sizeof(styles[0]); i++) {
        if (t->ops->field)
            check_field(w, t, v, styles[i], rc, text, n);
        if (t->ops->put_field)
            check_put_field(w, t, v, styles[i], rc, text, n);
    }
}

char *rendered_text(const struct render_type *t, const char *p, size_t n, const char **fault)
{
    struct render_settings settings = {0};
    struct render_value v = {p, n};
    struct out o = {0};
    struct render_work w;
    int rc;

    render_work_init(&w, &settings);
    out_put(&o, "x", 1); /* what is there already stays */
    rc = t->ops->put(&w, t, v, &o);
    check_length(&w, t, v, rc, o.n - 1);
    check_fields(&w, t, v, rc, o.p + 1, o.n - 1);
    require(w.used == 0 && w.nesting == 0, "buffers are left in use");
    require((rc < 0) == (w.fault != NULL), "a fault without words");
    require(o.p[0] == 'x', "what was there is gone");
    out_putc(&o, '\0');
    memmove(o.p, o.p + 1, o.n - 1);
    if (rc < 0)
        out_free(&o);
    if (fault)
        *fault = w.fault;
    render_work_free(&w);
    return o.p;
}
