/*
 * A value of a type of PostgreSQL itself: two bytes choose type and server, the rest are its bytes.
 * Whatever they are, its text has the length that is measured, or both have a fault; and what is
 * said to need no quotes needs none.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "render/work.h"

static const struct render_builtin *const families[] = {
    render_numbers, render_texts,    render_datetimes, render_networks,
    render_shapes,  render_binaries, render_regs,      render_searches};
#define FAMILIES (sizeof(families) / sizeof(*families))

static size_t count_types(void)
{
    const struct render_builtin *b;
    size_t i, n = 0;

    for (i = 0; i < FAMILIES; i++)
        for (b = families[i]; b->oid; b++)
            n++;
    return n;
}

static const struct render_builtin *choose_type(size_t which)
{
    const struct render_builtin *b;
    size_t i;

    which %= count_types();
    for (i = 0; i < FAMILIES; i++)
        for (b = families[i]; b->oid; b++)
            if (which-- == 0)
                return b;
    abort();
}

static bool needs_quotes(const struct out *o)
{
    size_t i;

    for (i = 0; i < o->n; i++)
        if (!o->p[i] || strchr(",\"\\\t\n\r", o->p[i]))
            return true;
    return o->n == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct render_builtin *b = choose_type(size ? data[0] : 0);
    struct render_settings settings = {.major = size > 1 ? data[1] : 0};
    struct render_type t = {.oid = b->oid, .ops = b->ops, .len = b->len, .align = b->align};
    struct render_value v;
    struct render_work w;
    struct out o = {0};
    size_t n;
    int rc;

    if (size < 2)
        return 0;
    v = (struct render_value){(const char *)data + 2, size - 2};
    render_work_init(&w, &settings);
    rc = t.ops->put(&w, &t, v, &o);
    if ((rc < 0) != (w.fault != NULL) || (rc < 0 && o.n) ||
        (rc == 0 && t.ops->bare && needs_quotes(&o)))
        abort();
    if (t.ops->length && (t.ops->length(&w, &t, v, &n) != rc || (rc == 0 && n != o.n)))
        abort();
    if (rc == 0 && t.ops->verbatim && (o.n != v.len || (o.n && memcmp(o.p, v.p, o.n) != 0)))
        abort();
    out_free(&o);
    render_work_free(&w);
    return 0;
}
