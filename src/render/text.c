/* Types whose bytes are their text, or nearly: text, varchar, bpchar, refcursor, json, pg_node_tree; name,
 * "char", xml. */
#include <stdbool.h>
#include <string.h>

#include "render/work.h"

static int put_text(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct out *o)
{
    (void)w;
    (void)t;
    out_put(o, v.p, v.len);
    return 0;
}

static int length_text(struct render_work *w, const struct render_type *t, struct render_value v,
                       size_t *n)
{
    (void)w;
    (void)t;
    *n = v.len;
    return 0;
}

/* NameData: 64 bytes, NULs at the end, one of them at least. */
static int length_name(struct render_work *w, const struct render_type *t, struct render_value v,
                       size_t *n)
{
    (void)t;
    *n = strnlen(v.p, v.len);
    return *n < v.len && v.len == 64 ? 0 : render_fail(w, "a name has no end");
}

static int put_name(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct out *o)
{
    size_t n;
    int rc = length_name(w, t, v, &n);

    if (rc == 0)
        out_put(o, v.p, n);
    return rc;
}

/* "char" (char.c): 0 is empty; above 127 it is \ooo from PostgreSQL 16 on, and was the byte
 * itself before. */
static int put_char(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct out *o)
{
    unsigned char c;
    char octal[4] = {'\\'};

    (void)t;
    if (v.len != 1)
        return render_fail(w, "a \"char\" is not one byte");
    c = (unsigned char)*v.p;
    octal[1] = (char)('0' + (c >> 6));
    octal[2] = (char)('0' + (c >> 3 & 7));
    octal[3] = (char)('0' + (c & 7));
    if (c > 127 && (w->settings->major == 0 || w->settings->major >= 16))
        out_put(o, octal, 4);
    else
        out_put(o, &c, c != 0);
    return 0;
}

/* ---- xml ----
 *
 * The text without its declaration (xml.c, xml_out): of that only a version other than 1.0 and
 * standalone are written again. Without one written, a newline after it is left out; also where
 * there was none, a newline in front. What begins like a declaration and is none stays as it is.
 */
struct declaration {
    const char *version; /* NULL: none */
    size_t version_len;
    const char *standalone; /* yes, no; NULL: it does not say */
    size_t len;             /* of all */
};

/* The rest of the text; s == end: nothing is left. */
struct reader {
    const char *s, *end;
};

static bool take_text(struct reader *r, const char *text)
{
    size_t n = strlen(text);

    if ((size_t)(r->end - r->s) < n || memcmp(r->s, text, n) != 0)
        return false;
    r->s += n;
    return true;
}

static bool take_blanks(struct reader *r)
{
    const char *from = r->s;

    while (r->s < r->end && (*r->s == ' ' || *r->s == '\t' || *r->s == '\n' || *r->s == '\r'))
        r->s++;
    return r->s > from;
}

/* = 'value' or "value", behind a name. */
static bool take_value(struct reader *r, const char **value, size_t *n)
{
    const char *end;

    take_blanks(r);
    if (!take_text(r, "="))
        return false;
    take_blanks(r);
    if (r->s == r->end || (*r->s != '\'' && *r->s != '"'))
        return false;
    end = memchr(r->s + 1, *r->s, (size_t)(r->end - r->s - 1));
    if (!end)
        return false;
    *value = r->s + 1;
    *n = (size_t)(end - *value);
    r->s = end + 1;
    return true;
}

/* 1: it is there, with a value; 0: it is not, and nothing was taken; -1: it is wrong. */
static int take_attribute(struct reader *r, const char *name, const char **value, size_t *n)
{
    struct reader from = *r;
    bool blanks = take_blanks(r);

    if (!take_text(r, name)) {
        *r = from;
        return 0;
    }
    return blanks && take_value(r, value, n) ? 1 : -1;
}

static bool read_standalone(struct declaration *d, const char *value, size_t n)
{
    if (n == 3 && memcmp(value, "yes", 3) == 0)
        d->standalone = "yes";
    else if (n == 2 && memcmp(value, "no", 2) == 0)
        d->standalone = "no";
    return d->standalone;
}

static bool read_declaration(struct render_value v, struct declaration *d)
{
    struct reader r = {.s = v.p, .end = v.p + v.len};
    const char *value, *s;
    size_t n;
    int there;

    *d = (struct declaration){0};
    if (!take_text(&r, "<?xml"))
        return true;
    if (take_attribute(&r, "version", &d->version, &d->version_len) != 1 ||
        take_attribute(&r, "encoding", &value, &n) < 0)
        return false;
    there = take_attribute(&r, "standalone", &value, &n);
    if (there < 0 || (there && !read_standalone(d, value, n)))
        return false;
    take_blanks(&r);
    if (!take_text(&r, "?>"))
        return false;
    for (s = v.p; s < r.s; s++)
        if ((unsigned char)*s > 127)
            return false;
    d->len = (size_t)(r.s - v.p);
    return true;
}

static void put_declaration(const struct declaration *d, struct out *o)
{
    out_put(o, "<?xml version=\"", 15);
    out_put(o, d->version, d->version_len);
    out_putc(o, '"');
    if (d->standalone) {
        out_put(o, " standalone=\"", 13);
        out_put(o, d->standalone, strlen(d->standalone));
        out_putc(o, '"');
    }
    out_put(o, "?>", 2);
}

static int put_xml(struct render_work *w, const struct render_type *t, struct render_value v,
                   struct out *o)
{
    struct declaration d;
    size_t from = 0;

    (void)w;
    (void)t;
    if (read_declaration(v, &d)) {
        from = d.len;
        if (d.standalone || (d.version && (d.version_len != 3 || memcmp(d.version, "1.0", 3) != 0)))
            put_declaration(&d, o);
        else if (from < v.len && v.p[from] == '\n')
            from++;
    }
    out_put(o, v.p + from, v.len - from);
    return 0;
}

static const struct render_ops text_ops = {
    .put = put_text, .length = length_text, .verbatim = true};
static const struct render_ops name_ops = {.put = put_name, .length = length_name};
static const struct render_ops char_ops = {.put = put_char};
static const struct render_ops xml_ops = {.put = put_xml};

const struct render_builtin render_texts[] = {
    {18, 1, 'c', ',', false, &char_ops},    /* "char" */
    {19, 64, 'c', ',', false, &name_ops},   /* name */
    {25, -1, 'i', ',', false, &text_ops},   /* text */
    {114, -1, 'i', ',', false, &text_ops},  /* json */
    {194, -1, 'i', ',', false, &text_ops},  /* pg_node_tree */
    {142, -1, 'i', ',', false, &xml_ops},   /* xml */
    {1042, -1, 'i', ',', false, &text_ops}, /* bpchar */
    {1043, -1, 'i', ',', false, &text_ops}, /* varchar */
    {1790, -1, 'i', ',', false, &text_ops}, /* refcursor */
    {0},
};
