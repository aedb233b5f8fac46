/*
 * tsvector and tsquery, as tsvectorout and tsqueryout write them.
 *
 * PostgreSQL (tsearch/ts_type.h; the same in 14 to 18), behind the varlena's header:
 *
 * tsvector: 32 bits, how many lexemes there are; an entry of 32 bits for each: bit 0: it has positions, 11
 * bits length, 20 bits where it begins, counted from behind the entries. Behind a lexeme, at an even
 * place, its positions, 16 bits each: how many, and then these: 14 bits, and a weight above them.
 *
 * tsquery: 32 bits, how many items there are; items of 12 bytes; texts of the operands, ended with NUL. An
 * item begins with what it is. 1, an operand: weights, 8 bits; prefix, 8 bits; at 8: 12 bits length of the
 * text, 20 bits where it begins, counted from behind the items. 2, an operator: which one, 8 bits;
 * distance, 16 bits; at 4: how many items further on its left operand begins; its right one, or
 * the only one of a NOT, is the next item.
 *
 * No two lexemes or operands share bytes, and no two operators share an operand: what is damaged makes no
 * text that is much longer than it. Operators are walked without recursion: a chain of some thousand
 * is a tree that deep.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "render/bytes.h"
#include "render/digits.h"
#include "render/nested.h"

/* In quotes; quotes and backslashes in it are doubled. */
static void put_word(struct nested_text *text, const char *p, size_t n)
{
    size_t i, from = 0;

    nested_write(text, "'", 1);
    for (i = 0; i < n; i++) {
        if (p[i] != '\'' && p[i] != '\\')
            continue;
        nested_write(text, p + from, i + 1 - from);
        from = i; /* that one once more */
    }
    nested_write(text, p + from, n - from);
    nested_write(text, "'", 1);
}

/* Of what is damaged nothing is left. */
static int close_text(int rc, const struct nested_text *text, size_t *n)
{
    if (rc < 0 && text->o)
        text->o->n -= text->n;
    *n = text->n;
    return rc;
}

/* ---- tsvector ---- */

struct vector {
    struct render_work *w;
    const char *entries, *bytes;
    size_t n, len; /* entries; bytes */
    size_t used;   /* of them, so far: no lexemes overlap */
    struct nested_text text;
};

static int open_vector(struct vector *k, struct render_value v)
{
    k->n = v.len >= 4 ? bytes_u32(v.p) : 0;
    if (v.len < 4 || k->n > (v.len - 4) / 4)
        return render_fail(k->w, "a tsvector of more lexemes than it has room for");
    k->entries = v.p + 4;
    k->bytes = k->entries + 4 * k->n;
    k->len = v.len - 4 - 4 * k->n;
    return 0;
}

static void put_position(struct nested_text *text, uint16_t position)
{
    static const char weights[] = {0, 'C', 'B', 'A'};
    char digits[DIGITS_MAX];
    unsigned weight = position >> 14;

    nested_write(text, digits, (size_t)(digits_unsigned(digits, position & 0x3fff) - digits));
    nested_write(text, weights + weight, weight > 0);
}

static int put_positions(struct vector *k, size_t at)
{
    size_t i, n;

    at = bytes_align(at, 's');
    n = at + 2 <= k->len ? bytes_u16(k->bytes + at) : 0;
    if (at + 2 + 2 * n > k->len)
        return render_fail(k->w, "positions in a tsvector are outside of it");
    k->used += 2 + 2 * n;
    for (i = 0; i < n; i++) {
        nested_write(&k->text, i ? "," : ":", 1);
        put_position(&k->text, bytes_u16(k->bytes + at + 2 + 2 * i));
    }
    return 0;
}

static int put_lexeme(struct vector *k, uint32_t entry)
{
    size_t len = entry >> 1 & 0x7ff, at = entry >> 12;
    int rc = 0;

    if (at + len > k->len)
        return render_fail(k->w, "a lexeme in a tsvector is outside of it");
    if (memchr(k->bytes + at, '\0', len))
        return render_fail(k->w, "a lexeme in a tsvector has a NUL");
    k->used += len;
    put_word(&k->text, k->bytes + at, len);
    if (entry & 1)
        rc = put_positions(k, at + len);
    if (rc == 0 && k->used > k->len)
        rc = render_fail(k->w, "lexemes in a tsvector overlap");
    return rc < 0 ? rc : nested_check(k->w, &k->text);
}

static int write_vector(struct render_work *w, struct render_value v, struct out *o, size_t *n)
{
    struct vector k = {.w = w, .text = {.o = o}};
    int rc = open_vector(&k, v);
    size_t i;

    for (i = 0; rc == 0 && i < k.n; i++) {
        if (i)
            nested_write(&k.text, " ", 1);
        rc = put_lexeme(&k, bytes_u32(k.entries + 4 * i));
    }
    return close_text(rc, &k.text, n);
}

static int put_vector(struct render_work *w, const struct render_type *t, struct render_value v,
                      struct out *o)
{
    size_t n;

    (void)t;
    return write_vector(w, v, o, &n);
}

static int vector_length(struct render_work *w, const struct render_type *t, struct render_value v,
                         size_t *n)
{
    (void)t;
    return write_vector(w, v, NULL, n);
}

/* ---- tsquery ---- */

#define ITEM 12 /* bytes */
#define IS_OPERAND 1
#define IS_OPERATOR 2

enum { NOT = 1, AND, OR, PHRASE };

/* The higher, the closer it binds (ts_utils.h). */
static const int priorities[] = {[NOT] = 4, [AND] = 2, [OR] = 1, [PHRASE] = 3};

struct query {
    struct render_work *w;
    const char *items, *texts;
    size_t n, len;      /* items; bytes of texts */
    size_t used;        /* of them, so far: no operands share some */
    struct out *levels; /* struct level, the innermost last */
    struct nested_text text;
};

/* An operator that is being written. */
struct level {
    size_t at, left, end; /* items: its own, where its left operand begins, behind that */
    int which;
    bool closes; /* it stands in parentheses */
    enum { LEFT, RIGHT, DONE } next;
};

static void put(struct query *k, const char *text)
{
    nested_write(&k->text, text, strlen(text));
}

static int open_query(struct query *k, struct render_value v)
{
    k->n = v.len >= 4 ? bytes_u32(v.p) : 0;
    if (v.len < 4 || k->n > (v.len - 4) / ITEM)
        return render_fail(k->w, "a tsquery of more items than it has room for");
    k->items = v.p + 4;
    k->texts = k->items + ITEM * k->n;
    k->len = v.len - 4 - ITEM * k->n;
    return 0;
}

static void put_weights(struct query *k, unsigned char weights, bool is_prefix)
{
    int i;

    if (weights || is_prefix)
        put(k, ":");
    if (is_prefix)
        put(k, "*");
    for (i = 0; i < 4; i++)
        if (weights & 8 >> i)
            nested_write(&k->text, "ABCD" + i, 1);
}

static int put_operand(struct query *k, const char *item)
{
    uint32_t place = bytes_u32(item + 8);
    size_t len = place & 0xfff, at = place >> 12;

    if (at + len >= k->len || memchr(k->texts + at, '\0', len + 1) != k->texts + at + len)
        return render_fail(k->w, "an operand in a tsquery has no end");
    k->used += len + 1;
    if (k->used > k->len)
        return render_fail(k->w, "operands in a tsquery overlap");
    put_word(&k->text, k->texts + at, len);
    put_weights(k, (unsigned char)item[1], item[2] != 0);
    return nested_check(k->w, &k->text);
}

/* One of two operands, of those items. `parent`: the operator that it is an operand of, 0: none. */
static int open_operator(struct query *k, size_t at, size_t end, int parent, bool is_right)
{
    const char *item = k->items + ITEM * at;
    struct level p = {.at = at, .end = end, .which = item[1], .next = LEFT};
    size_t left = bytes_u32(item + 4);

    if (p.which < AND || p.which > PHRASE)
        return render_fail(k->w, "an operator in a tsquery is none");
    if (left < 2 || left >= end - at)
        return render_fail(k->w, "an operand in a tsquery is at an impossible place");
    p.left = at + left;
    p.closes = (parent && priorities[p.which] < priorities[parent]) ||
               (p.which == PHRASE && parent == PHRASE && is_right);
    if (p.closes)
        put(k, "( ");
    out_put(k->levels, &p, sizeof(p));
    return 0;
}

/* A NOT binds closest: it never stands in parentheses. */
static int open_part(struct query *k, size_t at, size_t end, int parent, bool is_right)
{
    const char *item;

    for (; at < end; at++) {
        item = k->items + ITEM * at;
        if (item[0] == IS_OPERAND)
            return put_operand(k, item);
        if (item[0] != IS_OPERATOR)
            return render_fail(k->w, "an item in a tsquery is none");
        if (item[1] != NOT)
            return open_operator(k, at, end, parent, is_right);
        put(k, "!");
        parent = NOT;
    }
    return render_fail(k->w, "an operator in a tsquery without an operand");
}

static void put_operator(struct query *k, const struct level *p)
{
    int16_t distance = (int16_t)bytes_u16(k->items + ITEM * p->at + 2);
    char text[16];

    snprintf(text, sizeof(text), " <%d> ", distance);
    if (p->which == PHRASE)
        put(k, distance == 1 ? " <-> " : text);
    else
        put(k, p->which == AND ? " & " : " | ");
}

/* One more operand of the innermost operator, or its end. */
static int step(struct query *k)
{
    struct level *top = (void *)(k->levels->p + k->levels->n - sizeof(*top)), p = *top;

    top->next++; /* before a new level moves it */
    if (p.next == LEFT)
        return open_part(k, p.left, p.end, p.which, false);
    if (p.next == RIGHT) {
        put_operator(k, &p);
        return open_part(k, p.at + 1, p.left, p.which, true);
    }
    if (p.closes)
        put(k, " )");
    k->levels->n -= sizeof(p);
    return 0;
}

static int write_query(struct render_work *w, struct render_value v, struct out *o, size_t *n)
{
    struct query k = {.w = w, .text = {.o = o}};
    size_t mark = w->used;
    int rc = open_query(&k, v);

    k.levels = render_work_buffer(w);
    if (rc == 0 && k.n > 0)
        rc = open_part(&k, 0, k.n, 0, false);
    while (rc == 0 && k.levels->n > 0)
        rc = step(&k);
    w->used = mark;
    return close_text(rc, &k.text, n);
}

static int put_query(struct render_work *w, const struct render_type *t, struct render_value v,
                     struct out *o)
{
    size_t n;

    (void)t;
    return write_query(w, v, o, &n);
}

static int query_length(struct render_work *w, const struct render_type *t, struct render_value v,
                        size_t *n)
{
    (void)t;
    return write_query(w, v, NULL, n);
}

static const struct render_ops vector_ops = {.put = put_vector, .length = vector_length};
static const struct render_ops query_ops = {.put = put_query, .length = query_length};

const struct render_builtin render_searches[] = {
    {3614, -1, 'i', ',', false, &vector_ops}, /* tsvector */
    {3615, -1, 'i', ',', false, &query_ops},  /* tsquery */
    {0},
};
