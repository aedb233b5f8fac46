/*
 * jsonb, as jsonb_out writes it.
 *
 * PostgreSQL (utils/jsonb.h; the same in 14 to 18): the value is a container: a header (count of elements or
 * pairs, and flags), an entry of four bytes for each element, or for each key and then for each value; and their bytes in
 * that order. An entry says what it is, and its length or (high bit) where it ends, counted from the bytes' begin. What
 * is a container or a number is aligned to 4; the padding is part of its length. Keys are strings. A value that is neither
 * array nor object is an array of one, with a flag, at the top.
 *
 * Containers are walked without recursion: PostgreSQL takes some thousand levels. No byte is visited twice, whatever the
 * entries say: an element never begins before the end of the one before.
 */
#include "render/bytes.h"
#include "render/json.h"

#define COUNT 0x0fffffffu
#define SCALAR 0x10000000u
#define OBJECT 0x20000000u
#define ARRAY 0x40000000u

#define LENGTH 0x0fffffffu
#define KIND 0x70000000u
#define IS_END 0x80000000u /* where it ends, not how long it is */

#define STRING 0x00000000u
#define NUMBER 0x10000000u
#define FALSE 0x20000000u
#define TRUE 0x30000000u
#define NIL 0x40000000u
#define CONTAINER 0x50000000u

/* A container that is being written. Places are offsets into the whole value. */
struct level {
    size_t entries, bytes, end;
    uint32_t n, i; /* elements or pairs, and how many are done */
    uint32_t flags;
    size_t key, value; /* from bytes: where the next ones begin */
};

struct walk {
    struct render_work *w;
    const char *p;
    size_t len;
    struct out *levels; /* struct level, the innermost last */
    struct nested_text text;
    bool commas; /* there are some */
};

struct item {
    uint32_t kind;
    size_t at, len;
};

static int fail(struct walk *k, const char *what)
{
    return render_fail(k->w, what);
}

/* What is made of a jsonb: its text, a field of CSV with that, or the length alone. It is one code, compiled for
 * each. */
enum making { MAKE_TEXT, MAKE_FIELD, MAKE_LENGTH };

#define ALWAYS static inline __attribute__((always_inline))

ALWAYS void put(struct walk *k, enum making m, const char *p, size_t n)
{
    if (m != MAKE_LENGTH)
        out_put(k->text.o, p, n);
    k->text.n += n;
}

/* ---- containers ---- */

static uint32_t entry(const struct walk *k, const struct level *l, size_t i)
{
    return bytes_u32(k->p + l->entries + 4 * i);
}

/* Where the bytes of element i begin: sum of the lengths before it, up to one that says where it ends. */
static size_t find_start(const struct walk *k, const struct level *l, size_t i)
{
    size_t sum = 0;

    while (i-- > 0) {
        uint32_t e = entry(k, l, i);

        sum += e & LENGTH;
        if (e & IS_END)
            break;
    }
    return sum;
}

/* The i-th entry's, which begins at *start; that is moved behind it. */
static inline int take_item(struct walk *k, const struct level *l, size_t i, size_t *start,
                            struct item *item)
{
    uint32_t e = entry(k, l, i);
    size_t end = (e & IS_END ? 0 : *start) + (e & LENGTH), padded = *start;

    if (end < *start || end > l->end - l->bytes)
        return fail(k, "an offset in a jsonb is impossible");
    item->kind = e & KIND;
    if (item->kind == NUMBER || item->kind == CONTAINER)
        padded = bytes_align(padded, 'i');
    if (padded > end)
        return fail(k, "an offset in a jsonb is impossible");
    item->at = l->bytes + padded;
    item->len = end - padded;
    *start = end;
    return 0;
}

static int read_header(struct walk *k, size_t at, size_t end, struct level *l)
{
    uint32_t header = end - at >= 4 ? bytes_u32(k->p + at) : 0;
    uint64_t entries;

    *l = (struct level){.entries = at + 4, .end = end, .n = header & COUNT};
    l->flags = header & ~COUNT;
    if (l->flags != OBJECT && l->flags != ARRAY &&
        (l->flags != (ARRAY | SCALAR) || at || l->n != 1))
        return fail(k, "a jsonb has a wrong header");
    entries = (uint64_t)l->n * (l->flags == OBJECT ? 2 : 1);
    if (entries * 4 > end - l->entries)
        return fail(k, "a jsonb of more elements than it has room for");
    l->bytes = l->entries + (size_t)entries * 4;
    if (l->flags == OBJECT)
        l->value = find_start(k, l, l->n);
    return 0;
}

ALWAYS int open_container(struct walk *k, enum making m, size_t at, size_t end)
{
    struct level l;
    int rc = read_header(k, at, end, &l);

    if (rc < 0)
        return rc;
    out_put(k->levels, &l, sizeof(l));
    if (!(l.flags & SCALAR))
        put(k, m, l.flags == OBJECT ? "{" : "[", 1);
    return 0;
}

/* Most are short, and nothing in them is escaped. */
ALWAYS int put_string(struct walk *k, enum making m, size_t at, size_t n)
{
    const char *p = k->p + at;
    size_t left = k->len - at;
    chunk c;
    char *to;

    if (n >= CHUNK)
        return json_put_string(k->w, p, n, left, &k->text);
    c = json_short(p, n, left);
    if (json_short_specials(c, n))
        return json_put_string(k->w, p, n, left, &k->text);
    if (m == MAKE_LENGTH) {
        k->text.quotes += 2;
        k->text.n += n + 2;
        return 0;
    }
    to = out_place(k->text.o, n + 4 + CHUNK);
    chunk_store(to + (m == MAKE_FIELD ? 2 : 1), c);
    json_close_string(to, n, &k->text);
    return 0;
}

ALWAYS int put_scalar(struct walk *k, enum making m, struct item item)
{
    switch (item.kind) {
    case STRING:
        return put_string(k, m, item.at, item.len);
    case NUMBER:
        return json_put_number(k->w, k->p + item.at, item.len, &k->text);
    case FALSE:
        put(k, m, "false", 5);
        return 0;
    case TRUE:
        put(k, m, "true", 4);
        return 0;
    case NIL:
        put(k, m, "null", 4);
        return 0;
    default:
        return fail(k, "a jsonb has an element of an unknown kind");
    }
}

ALWAYS int put_key(struct walk *k, enum making m, struct level *l)
{
    struct item item = {0};
    int rc = take_item(k, l, l->i, &l->key, &item);

    if (rc == 0 && item.kind != STRING)
        rc = fail(k, "a key in a jsonb is not a string");
    if (rc == 0)
        rc = put_string(k, m, item.at, item.len);
    put(k, m, ": ", 2);
    return rc;
}

/* What is before the next element, and where that is. */
ALWAYS int take_element(struct walk *k, enum making m, struct level *l, struct item *item)
{
    int rc = 0;

    if (l->i > 0) {
        k->commas = true;
        put(k, m, ", ", 2);
    }
    if (l->flags == OBJECT)
        rc = put_key(k, m, l);
    if (rc == 0)
        rc = take_item(k, l, (size_t)l->i + (l->flags == OBJECT ? l->n : 0), &l->value, item);
    l->i++;
    return rc;
}

/* On with the innermost container: until there is one more inside of it, or it ends. */
ALWAYS int walk_container(struct walk *k, enum making m)
{
    struct level *top = (void *)(k->levels->p + k->levels->n - sizeof(*top)), l = *top;
    struct item item = {0};
    int rc = 0;

    while (rc == 0 && l.i < l.n) {
        rc = take_element(k, m, &l, &item);
        if (rc < 0)
            return rc;
        if (item.kind == CONTAINER && !(l.flags & SCALAR)) {
            *top = l; /* now: a new level may move it */
            return open_container(k, m, item.at, item.at + item.len);
        }
        rc = put_scalar(k, m, item);
        if (rc == 0)
            rc = nested_check(k->w, &k->text);
    }
    if (!(l.flags & SCALAR))
        put(k, m, l.flags == OBJECT ? "}" : "]", 1);
    k->levels->n -= sizeof(l);
    return rc;
}

ALWAYS int write_jsonb(struct walk *k, enum making m, struct render_work *w, struct render_value v,
                       struct out *o)
{
    size_t mark = w->used;
    int rc;

    *k =
        (struct walk){.w = w, .p = v.p, .len = v.len, .text = {.o = o, .doubled = m == MAKE_FIELD}};
    k->levels = render_work_buffer(w);
    rc = open_container(k, m, 0, v.len);
    while (rc == 0 && k->levels->n > 0)
        rc = walk_container(k, m);
    w->used = mark;
    return rc;
}

static int put_jsonb(struct render_work *w, const struct render_type *t, struct render_value v,
                     struct out *o)
{
    struct walk k;

    (void)t;
    return write_jsonb(&k, MAKE_TEXT, w, v, o);
}

static int measure_jsonb(struct walk *k, struct render_work *w, struct render_value v)
{
    return write_jsonb(k, MAKE_LENGTH, w, v, NULL);
}

static int jsonb_length(struct render_work *w, const struct render_type *t, struct render_value v,
                        size_t *n)
{
    struct walk k;
    int rc = measure_jsonb(&k, w, v);

    (void)t;
    *n = k.text.n;
    return rc;
}

/* Only strings have quotes, and backslashes; and control characters are escaped in them. */
static bool needs_quotes(const struct walk *k)
{
    return k->text.quotes || k->commas;
}

static int jsonb_field(struct render_work *w, const struct render_type *t, struct render_value v,
                       struct render_style s, size_t *n)
{
    struct walk k;
    int rc = measure_jsonb(&k, w, v);

    (void)t;
    *n = k.text.n;
    if (s.format == RENDER_TEXT)
        *n += k.text.backslashes;
    else if (needs_quotes(&k))
        *n += 2 + k.text.quotes;
    return rc;
}

/* Quotes are the rule: where there is no need for them, the first is taken away again. */
static int put_jsonb_field(struct render_work *w, const struct render_type *t,
                           struct render_value v, struct render_style s, struct out *o)
{
    size_t at = o->n;
    struct walk k;
    int rc;

    (void)t;
    if (s.format != RENDER_CSV)
        return 1;
    out_putc(o, '"');
    rc = write_jsonb(&k, MAKE_FIELD, w, v, o);
    if (rc < 0)
        return rc;
    if (needs_quotes(&k)) {
        out_putc(o, '"');
    } else {
        o->n--;
        memmove(o->p + at, o->p + at + 1, o->n - at);
    }
    return 0;
}

static const struct render_ops jsonb_ops = {
    .put = put_jsonb, .length = jsonb_length, .field = jsonb_field, .put_field = put_jsonb_field};

const struct render_builtin render_documents[] = {
    {3802, -1, 'i', ',', false, &jsonb_ops},           /* jsonb */
    {4072, -1, 'i', ',', false, &render_jsonpath_ops}, /* jsonpath */
    {0},
};
