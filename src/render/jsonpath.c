/*
 * jsonpath, as jsonpath_out writes it.
 *
 * PostgreSQL (utils/jsonpath.h, jsonpath.c: jspInitByBuffer; the same in 14 to 18, and from 17 on there
 * are more sorts of items), behind the varlena's header: 32 bits, 1 and in the highest bit whether it is
 * lax; then items. An item is a byte, what it is; at the next multiple of 4 where the next item of
 * its path is (counted from this one, 0: there is none); then what belongs to it: a string (length,
 * bytes), a number (a varlena), a truth value (a byte), levels (first, last), or where others are that are
 * in it, counted from it, 0 if they are left out. Multiples are counted from the first item.
 *
 * Items stand in the order in which they are read here. One that begins before the end of what has been
 * read already is a fault, so that nothing is written twice. They are walked without recursion:
 * PostgreSQL takes some thousand levels.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "render/bytes.h"
#include "render/json.h"
#include "render/varlena.h"

#define FORMAT 1u
#define LAX 0x80000000u
#define LAST_LEVEL UINT32_MAX

enum shape {
    NONE,    /* no item is that */
    WORD,    /* its text alone */
    KEY_ALL, /* as a key */
    STRING,
    KEY,
    VARIABLE,
    NUMBER,
    TRUTH,
    LEVELS,
    BINARY, /* text between two that are in it */
    UNARY,  /* text before one */
    AROUND, /* text, one, `after` */
    CALL,   /* so, but what is in it may be left out */
    CALL_2, /* of two, with a comma between */
    SUBSCRIPTS,
    REGEX,
};

/* By what an item is (enum JsonPathItemType). */
static const struct kind {
    enum shape shape;
    int priority; /* operationPriority; only of what has operands */
    const char *text, *after;
} kinds[] = {
    {WORD, 6, "null", ""},
    {STRING, 6, "", ""},
    {NUMBER, 6, "", ""},
    {TRUTH, 6, "", ""},
    {BINARY, 1, " && ", ""},
    {BINARY, 0, " || ", ""},
    {AROUND, 6, "!(", ")"},
    {AROUND, 6, "(", ") is unknown"},
    {BINARY, 2, " == ", ""},
    {BINARY, 2, " != ", ""},
    {BINARY, 2, " < ", ""}, /* 10 */
    {BINARY, 2, " > ", ""},
    {BINARY, 2, " <= ", ""},
    {BINARY, 2, " >= ", ""},
    {BINARY, 3, " + ", ""},
    {BINARY, 3, " - ", ""},
    {BINARY, 4, " * ", ""},
    {BINARY, 4, " / ", ""},
    {BINARY, 4, " % ", ""},
    {UNARY, 5, "+", ""},
    {UNARY, 5, "-", ""}, /* 20 */
    {WORD, 6, "[*]", ""},
    {KEY_ALL, 6, "*", ""},
    {SUBSCRIPTS, 6, "[", "]"},
    {LEVELS, 6, "**", ""},
    {KEY, 6, "", ""},
    {WORD, 6, "@", ""},
    {WORD, 6, "$", ""},
    {VARIABLE, 6, "$", ""},
    {AROUND, 6, "?(", ")"},
    {AROUND, 6, "exists (", ")"}, /* 30 */
    {WORD, 6, ".type()", ""},
    {WORD, 6, ".size()", ""},
    {WORD, 6, ".abs()", ""},
    {WORD, 6, ".floor()", ""},
    {WORD, 6, ".ceiling()", ""},
    {WORD, 6, ".double()", ""},
    {CALL, 6, ".datetime(", ")"},
    {WORD, 6, ".keyvalue()", ""},
    {NONE, 6, "", ""},
    {WORD, 6, "last", ""}, /* 40 */
    {BINARY, 2, " starts with ", ""},
    {REGEX, 6, " like_regex ", ""},
    {WORD, 6, ".bigint()", ""},
    {WORD, 6, ".boolean()", ""},
    {WORD, 6, ".date()", ""},
    {CALL_2, 6, ".decimal(", ")"},
    {WORD, 6, ".integer()", ""},
    {WORD, 6, ".number()", ""},
    {WORD, 6, ".string()", ""},
    {CALL, 6, ".time(", ")"}, /* 50 */
    {CALL, 6, ".time_tz(", ")"},
    {CALL, 6, ".timestamp(", ")"},
    {CALL, 6, ".timestamp_tz(", ")"},
};

#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Places are counted from the first item. */
struct item {
    const struct kind *kind;
    size_t at, next; /* next: 0: there is none */
    size_t body;     /* what belongs to it */
};

/* An item with others in it that is being written. */
struct level {
    struct item item;
    bool closes; /* it stands in parentheses */
    size_t i;    /* how many of them are done */
};

struct walk {
    struct render_work *w;
    const char *p;
    size_t len;
    size_t from;        /* what is before that has been read, and belongs to an item */
    struct out *levels; /* struct level, the innermost last */
    struct nested_text text;
};

static int fail(struct walk *k, const char *what)
{
    return render_fail(k->w, what);
}

static void put(struct walk *k, const char *text)
{
    nested_write(&k->text, text, strlen(text));
}

static bool has_room(const struct walk *k, size_t at, size_t n)
{
    return at <= k->len && n <= k->len - at;
}

/* ---- what an item says ---- */

/* Bytes of what belongs to it, as far as they are always there. */
static size_t fixed_size(enum shape shape)
{
    switch (shape) {
    case LEVELS:
    case BINARY:
    case CALL_2:
        return 8;
    case STRING:
    case KEY:
    case VARIABLE:
    case UNARY:
    case AROUND:
    case CALL:
    case SUBSCRIPTS:
        return 4;
    case REGEX:
        return 12;
    case TRUTH:
        return 1;
    default:
        return 0;
    }
}

/* And those behind that; p, len: what is left from where it begins. 0 for a number: it is none. */
static size_t more_size(enum shape shape, const char *p, size_t len)
{
    switch (shape) {
    case STRING:
    case KEY:
    case VARIABLE:
        return bytes_u32(p);
    case REGEX:
        return bytes_u32(p + 8);
    case SUBSCRIPTS:
        return 8 * (size_t)bytes_u32(p);
    case NUMBER:
        return varlena_size(p, len);
    default:
        return 0;
    }
}

/* All that belongs to it is there; what is read next begins behind it. */
static int read_body(struct walk *k, const struct item *item)
{
    enum shape shape = item->kind->shape;
    size_t fixed = fixed_size(shape), more;

    if (!has_room(k, item->body, fixed))
        return fail(k, "an item of a jsonpath is outside of it");
    more = more_size(shape, k->p + item->body, k->len - item->body);
    if (!has_room(k, item->body + fixed, more))
        return fail(k, "an item of a jsonpath is longer than that");
    k->from = item->body + fixed + more;
    return 0;
}

static int read_item(struct walk *k, size_t at, struct item *item)
{
    size_t link = bytes_align(at + 1, 'i');
    unsigned kind;
    uint32_t next;

    if (at < k->from)
        return fail(k, "items of a jsonpath in another order");
    if (!has_room(k, link, 4))
        return fail(k, "an item of a jsonpath is outside of it");
    kind = (unsigned char)k->p[at];
    if (kind >= NKINDS || kinds[kind].shape == NONE)
        return fail(k, "an item of a jsonpath is of an unknown kind");
    next = bytes_u32(k->p + link);
    *item = (struct item){.kind = &kinds[kind], .at = at, .body = link + 4};
    item->next = next && next <= INT32_MAX ? at + next : 0;
    return read_body(k, item);
}

static uint32_t number_of(const struct walk *k, const struct item *item, size_t i)
{
    return bytes_u32(k->p + item->body + 4 * i);
}

/* How many places of others it has. */
static size_t count_parts(const struct walk *k, const struct item *item)
{
    switch (item->kind->shape) {
    case BINARY:
    case CALL_2:
        return 2;
    case UNARY:
    case AROUND:
    case CALL:
    case REGEX:
        return 1;
    case SUBSCRIPTS:
        return 2 * (size_t)number_of(k, item, 0);
    default:
        return 0;
    }
}

/* The i-th of these places, counted from the item; 0: it is left out. */
static uint32_t part_of(const struct walk *k, const struct item *item, size_t i)
{
    bool behind_one = item->kind->shape == SUBSCRIPTS || item->kind->shape == REGEX;

    return number_of(k, item, i + (behind_one ? 1 : 0));
}

static bool may_lack(enum shape shape, size_t i)
{
    return shape == CALL || shape == CALL_2 || (shape == SUBSCRIPTS && i % 2 == 1);
}

/* ---- items without others in them ---- */

/* The length stands at `at`, the bytes behind it. */
static int put_string(struct walk *k, size_t at)
{
    return json_put_string(k->w, k->p + at + 4, bytes_u32(k->p + at), k->len - at - 4, &k->text);
}

/* In parentheses where more of the path follows; before PostgreSQL 15 without them. */
static int put_number(struct walk *k, const struct item *item)
{
    unsigned major = k->w->settings->major;
    bool closes = item->next && (major == 0 || major >= 15);
    int rc;

    if (closes)
        put(k, "(");
    rc = json_put_number(k->w, k->p + item->body, k->len - item->body, &k->text);
    if (closes)
        put(k, ")");
    return rc;
}

static void put_levels(struct walk *k, const struct item *item)
{
    uint32_t first = number_of(k, item, 0), last = number_of(k, item, 1);
    char text[48] = "";

    if (first == last && first == LAST_LEVEL)
        put(k, "{last}");
    else if (first == last)
        snprintf(text, sizeof(text), "{%u}", first);
    else if (first == LAST_LEVEL)
        snprintf(text, sizeof(text), "{last to %u}", last);
    else if (last == LAST_LEVEL && first > 0)
        snprintf(text, sizeof(text), "{%u to last}", first);
    else if (last != LAST_LEVEL)
        snprintf(text, sizeof(text), "{%u to %u}", first, last);
    put(k, text);
}

/* `in_path`: it is not the first of its path. */
static int put_leaf(struct walk *k, const struct item *item, bool in_path)
{
    enum shape shape = item->kind->shape;

    if (in_path && (shape == KEY || shape == KEY_ALL || shape == LEVELS))
        put(k, ".");
    put(k, item->kind->text);
    switch (shape) {
    case STRING:
    case KEY:
    case VARIABLE:
        return put_string(k, item->body);
    case NUMBER:
        return put_number(k, item);
    case TRUTH:
        put(k, k->p[item->body] ? "true" : "false");
        return 0;
    case LEVELS:
        put_levels(k, item);
        return 0;
    default:
        return 0;
    }
}

/* ---- items with others in them ---- */

static bool is_operator(enum shape shape)
{
    return shape == BINARY || shape == UNARY || shape == REGEX;
}

static void open_item(struct walk *k, const struct item *item, bool closes)
{
    struct level l = {.item = *item, .closes = closes && is_operator(item->kind->shape)};

    if (l.closes)
        put(k, "(");
    if (item->kind->shape != BINARY && item->kind->shape != REGEX)
        put(k, item->kind->text);
    out_put(k->levels, &l, sizeof(l));
}

static int put_item(struct walk *k, const struct item *item, bool in_path, bool closes)
{
    if (count_parts(k, item) == 0 && item->kind->shape != SUBSCRIPTS)
        return put_leaf(k, item, in_path);
    open_item(k, item, closes);
    return 0;
}

/* The first of a path, and what follows up to one with others in it, whose end comes later. */
static int put_path(struct walk *k, struct item item, bool in_path, bool closes)
{
    size_t levels = k->levels->n;
    int rc;

    for (;;) {
        rc = put_item(k, &item, in_path, closes);
        if (rc == 0)
            rc = nested_check(k->w, &k->text);
        if (rc < 0 || k->levels->n > levels || !item.next)
            return rc;
        rc = read_item(k, item.next, &item);
        if (rc < 0)
            return rc;
        in_path = closes = true;
    }
}

/* What stands before the i-th that is in it. */
static const char *text_between(const struct kind *kind, size_t i)
{
    switch (kind->shape) {
    case BINARY:
        return i == 1 ? kind->text : "";
    case CALL_2:
        return i == 1 ? "," : "";
    case SUBSCRIPTS:
        return i % 2 == 1 ? " to " : i > 0 ? "," : "";
    default:
        return "";
    }
}

static int put_part(struct walk *k, const struct level *l)
{
    const struct kind *kind = l->item.kind;
    uint32_t place = part_of(k, &l->item, l->i);
    struct item part;
    bool closes;
    int rc;

    if (place == 0 && may_lack(kind->shape, l->i))
        return 0;
    put(k, text_between(kind, l->i));
    rc = read_item(k, l->item.at + place, &part);
    if (rc < 0)
        return rc;
    closes = is_operator(kind->shape) && part.kind->priority <= kind->priority;
    return put_path(k, part, false, closes);
}

/* like_regex: flags, where the item is, then the pattern. */
static int put_pattern(struct walk *k, const struct item *item)
{
    uint32_t flags = number_of(k, item, 0);
    int rc, i;

    put(k, item->kind->text);
    rc = put_string(k, item->body + 8);
    if (flags)
        put(k, " flag \"");
    for (i = 0; i < 5; i++)
        if (flags >> i & 1)
            nested_write(&k->text, "ismxq" + i, 1);
    if (flags)
        put(k, "\"");
    return rc;
}

static int close_item(struct walk *k, const struct level *l)
{
    struct item next;
    int rc = 0;

    k->levels->n -= sizeof(*l);
    if (l->item.kind->shape == REGEX)
        rc = put_pattern(k, &l->item);
    put(k, l->item.kind->after);
    if (l->closes)
        put(k, ")");
    if (rc < 0 || !l->item.next)
        return rc;
    rc = read_item(k, l->item.next, &next);
    return rc < 0 ? rc : put_path(k, next, true, true);
}

/* One more of what is in the innermost item, or its end. */
static int step(struct walk *k)
{
    struct level *top = (void *)(k->levels->p + k->levels->n - sizeof(*top)), l = *top;

    top->i++; /* before a new level moves it */
    return l.i < count_parts(k, &l.item) ? put_part(k, &l) : close_item(k, &l);
}

static int write_path(struct render_work *w, struct render_value v, struct out *o, size_t *n)
{
    struct walk k = {.w = w, .text = {.o = o}};
    uint32_t header = v.len >= 4 ? bytes_u32(v.p) : 0;
    size_t mark = w->used;
    struct item first;
    int rc;

    if ((header & ~LAX) != FORMAT)
        return render_fail(w, "a jsonpath of an unknown version");
    k.p = v.p + 4;
    k.len = v.len - 4;
    if (!(header & LAX))
        put(&k, "strict ");
    k.levels = render_work_buffer(w);
    rc = read_item(&k, 0, &first);
    if (rc == 0)
        rc = put_path(&k, first, false, true);
    while (rc == 0 && k.levels->n > 0)
        rc = step(&k);
    w->used = mark;
    *n = k.text.n;
    return rc;
}

static int put_jsonpath(struct render_work *w, const struct render_type *t, struct render_value v,
                        struct out *o)
{
    size_t n;

    (void)t;
    return write_path(w, v, o, &n);
}

static int jsonpath_length(struct render_work *w, const struct render_type *t,
                           struct render_value v, size_t *n)
{
    (void)t;
    return write_path(w, v, NULL, n);
}

const struct render_ops render_jsonpath_ops = {.put = put_jsonpath, .length = jsonpath_length};
