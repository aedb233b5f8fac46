#include "rendering.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"

static const struct render_builtin *find_type(const struct render_builtin *list, uint32_t oid)
{
    while (list->oid && list->oid != oid)
        list++;
    assert_int_equal(list->oid, oid);
    return list;
}

static int measure(struct render_work *w, const struct render_type *t, struct render_value v,
                   size_t *n)
{
    struct out *o;
    int rc;

    if (t->ops->length)
        return t->ops->length(w, t, v, n);
    o = render_work_buffer(w);
    rc = t->ops->put(w, t, v, o);
    *n = o->n;
    w->used = 0;
    return rc;
}

char *rendering_text(const struct render_builtin *list, const struct render_settings *settings,
                     uint32_t oid, const void *bytes, size_t len)
{
    static const struct render_settings utc;
    const struct render_builtin *b = find_type(list, oid);
    struct render_type t = {.oid = oid, .ops = b->ops, .len = b->len, .align = b->align};
    char *copy = malloc(len ? len : 1), *text = NULL; /* of the exact size, for sanitizers */
    struct render_value v = {copy, len};
    struct render_work w;
    struct out o = {0};
    size_t n;
    int rc;

    if (len)
        memcpy(copy, bytes, len);
    render_work_init(&w, settings ? settings : &utc);
    rc = t.ops->put(&w, &t, v, &o);
    assert_int_equal(measure(&w, &t, v, &n), rc);
    assert_int_equal(w.fault != NULL, rc < 0);
    if (rc == 0) {
        assert_int_equal(n, o.n);
        out_putc(&o, '\0');
        text = mem_strdup(o.p);
        assert_int_equal(strlen(text), n);
    }
    out_free(&o);
    render_work_free(&w);
    free(copy);
    return text;
}

static unsigned nibble(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static size_t read_hex(const char *hex, char *bytes)
{
    size_t n = strlen(hex) / 2, i;

    for (i = 0; i < n; i++)
        bytes[i] = (char)(nibble(hex[2 * i]) << 4 | nibble(hex[2 * i + 1]));
    return n;
}

static void check_damaged(const struct render_builtin *list, const struct render_settings *settings,
                          uint32_t oid, char *bytes, size_t n)
{
    static const char flips[] = {1, 0x7f, (char)0x80, (char)0xff};
    size_t i, k;

    for (i = 0; i < n; i++) {
        free(rendering_text(list, settings, oid, bytes, i));
        for (k = 0; k < sizeof(flips); k++) {
            bytes[i] ^= flips[k];
            free(rendering_text(list, settings, oid, bytes, n));
            bytes[i] ^= flips[k];
        }
    }
}

void rendering_check(const struct render_builtin *list, const struct render_settings *settings,
                     const struct rendering_case *cases, size_t n)
{
    char bytes[1024], *text;
    size_t i, len;

    for (i = 0; i < n; i++) {
        assert_true(strlen(cases[i].hex) <= 2 * sizeof(bytes));
        len = read_hex(cases[i].hex, bytes);
        text = rendering_text(list, settings, cases[i].oid, bytes, len);
        if (cases[i].text && text)
            assert_string_equal(text, cases[i].text);
        else
            assert_ptr_equal(text, cases[i].text);
        free(text);
        check_damaged(list, settings, cases[i].oid, bytes, len);
    }
}
