/* bool, integers, transaction numbers, floating point, numeric. */
#include <errno.h>
#include <stdbool.h>

#include "render/bytes.h"
#include "render/digits.h"
#include "render/shortest.h"
#include "render/work.h"

static int refuse_length(struct render_work *w)
{
    return render_fail(w, "a number is not as long as its type");
}

static int put_bool(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct out *o)
{
    (void)t;
    if (v.len != 1)
        return refuse_length(w);
    out_putc(o, *v.p ? 't' : 'f');
    return 0;
}

static int length_bool(struct render_work *w, const struct render_type *t, struct render_value v,
                       size_t *n)
{
    (void)t;
    *n = 1;
    return v.len == 1 ? 0 : refuse_length(w);
}

/* ---- integers ---- */

static inline int put_signed(struct out *o, int64_t v)
{
    char *p = out_place(o, DIGITS_MAX);

    o->n += (size_t)(digits_signed(p, v) - p);
    return 0;
}

static inline int put_unsigned(struct out *o, uint64_t v)
{
    char *p = out_place(o, DIGITS_MAX);

    o->n += (size_t)(digits_unsigned(p, v) - p);
    return 0;
}

static int put_int2(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct out *o)
{
    (void)t;
    return v.len == 2 ? put_signed(o, (int16_t)bytes_u16(v.p)) : refuse_length(w);
}

static int length_int2(struct render_work *w, const struct render_type *t, struct render_value v,
                       size_t *n)
{
    (void)t;
    if (v.len != 2)
        return refuse_length(w);
    *n = digits_count_signed((int16_t)bytes_u16(v.p));
    return 0;
}

static int put_int4(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct out *o)
{
    (void)t;
    return v.len == 4 ? put_signed(o, (int32_t)bytes_u32(v.p)) : refuse_length(w);
}

static int length_int4(struct render_work *w, const struct render_type *t, struct render_value v,
                       size_t *n)
{
    (void)t;
    if (v.len != 4)
        return refuse_length(w);
    *n = digits_count_signed((int32_t)bytes_u32(v.p));
    return 0;
}

static int put_int8(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct out *o)
{
    (void)t;
    return v.len == 8 ? put_signed(o, (int64_t)bytes_u64(v.p)) : refuse_length(w);
}

static int length_int8(struct render_work *w, const struct render_type *t, struct render_value v,
                       size_t *n)
{
    (void)t;
    if (v.len != 8)
        return refuse_length(w);
    *n = digits_count_signed((int64_t)bytes_u64(v.p));
    return 0;
}

static int put_oid(struct render_work *w, const struct render_type *t, struct render_value v,
                   struct out *o)
{
    (void)t;
    return v.len == 4 ? put_unsigned(o, bytes_u32(v.p)) : refuse_length(w);
}

static int length_oid(struct render_work *w, const struct render_type *t, struct render_value v,
                      size_t *n)
{
    (void)t;
    if (v.len != 4)
        return refuse_length(w);
    *n = digits_count(bytes_u32(v.p));
    return 0;
}

static int put_xid8(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct out *o)
{
    (void)t;
    return v.len == 8 ? put_unsigned(o, bytes_u64(v.p)) : refuse_length(w);
}

static int length_xid8(struct render_work *w, const struct render_type *t, struct render_value v,
                       size_t *n)
{
    (void)t;
    if (v.len != 8)
        return refuse_length(w);
    *n = digits_count(bytes_u64(v.p));
    return 0;
}

/* ---- floating point ---- */

static int put_shortest(struct out *o, struct shortest s)
{
    char *p = out_place(o, SHORTEST_MAX);

    o->n += (size_t)(render_shortest_put(&s, p) - p);
    return 0;
}

static int put_float4(struct render_work *w, const struct render_type *t, struct render_value v,
                      struct out *o)
{
    (void)t;
    return v.len == 4 ? put_shortest(o, render_shortest_float(bytes_u32(v.p))) : refuse_length(w);
}

static int length_float4(struct render_work *w, const struct render_type *t, struct render_value v,
                         size_t *n)
{
    struct shortest s;

    (void)t;
    if (v.len != 4)
        return refuse_length(w);
    s = render_shortest_float(bytes_u32(v.p));
    *n = render_shortest_length(&s);
    return 0;
}

static int put_float8(struct render_work *w, const struct render_type *t, struct render_value v,
                      struct out *o)
{
    (void)t;
    return v.len == 8 ? put_shortest(o, render_shortest_double(bytes_u64(v.p))) : refuse_length(w);
}

static int length_float8(struct render_work *w, const struct render_type *t, struct render_value v,
                         size_t *n)
{
    struct shortest s;

    (void)t;
    if (v.len != 8)
        return refuse_length(w);
    s = render_shortest_double(bytes_u64(v.p));
    *n = render_shortest_length(&s);
    return 0;
}

/* ---- numeric ----
 *
 * NumericData (numeric.c): a header of 16 bits, then maybe the weight, then the digits, 16 bits
 * each, base 10000, the first worth 10000^weight; what is not there is 0. Bits 15 and 14 of the
 * header:
 *
 *   11  special: bits 13 and 12 tell: 00 NaN, 01 Infinity, 11 -Infinity
 *   10  short: 13 sign, 12-7 places behind the point (dscale), 6-0 weight with its sign
 *   0s  long: sign s, 13-0 dscale; 16 bits of weight follow
 */
struct numeric {
    bool negative;
    int weight, scale;
    const char *digits;
    int ndigits;
};

static const char *special_name(unsigned header)
{
    static const char *const names[] = {"NaN", "Infinity", NULL, "-Infinity"};

    return names[header >> 12 & 3];
}

/* 0; 1: it is special, and *name is its text; -1: it is none. */
static inline int open_header(struct render_value v, struct numeric *n, const char **name)
{
    unsigned header = v.len >= 2 ? bytes_u16(v.p) : 0;
    unsigned size = header & 0x8000 ? 2 : 4;

    if (v.len < size || v.len % 2)
        return -1;
    if (header >= 0xc000) {
        *name = special_name(header);
        return *name ? 1 : -1;
    }
    n->digits = v.p + size;
    n->ndigits = (int)((v.len - size) / 2);
    if (header & 0x8000) {
        n->negative = header & 0x2000;
        n->scale = (int)(header >> 7 & 0x3f);
        n->weight = (int)(header & 0x3f) - (int)(header & 0x40);
    } else {
        n->negative = header & 0x4000;
        n->scale = (int)(header & 0x3fff);
        n->weight = (int16_t)bytes_u16(v.p + 2);
    }
    return 0;
}

/* The same, but -EIO with the fault told. */
static inline int open_numeric(struct render_work *w, struct render_value v, struct numeric *n,
                               const char **name)
{
    int rc = open_header(v, n, name), i;
    unsigned bad = 0;

    if (rc < 0)
        return render_fail(w, "a numeric's header or length is impossible");
    if (rc > 0)
        return rc;
    for (i = 0; i < n->ndigits; i++)
        bad |= bytes_u16(n->digits + 2 * i) > 9999;
    return bad ? render_fail(w, "a numeric has a digit that is none") : 0;
}

static inline unsigned numeric_digit(const struct numeric *n, int i)
{
    return i >= 0 && i < n->ndigits ? bytes_u16(n->digits + 2 * i) : 0;
}

static inline size_t numeric_length(const struct numeric *n)
{
    size_t whole = 1, scale = (size_t)n->scale;

    if (n->weight >= 0)
        whole = digits_count_short(numeric_digit(n, 0)) + 4 * (size_t)n->weight;
    return (n->negative ? 1 : 0) + whole + (scale ? 1 + scale : 0);
}

static inline char *put_whole(const struct numeric *n, char *p)
{
    int i;

    p = digits_short(p, n->weight >= 0 ? numeric_digit(n, 0) : 0);
    for (i = 1; i <= n->weight; i++)
        p = digits_four(p, numeric_digit(n, i));
    return p;
}

/* Up to three digits more are written behind the end. */
static inline char *put_fraction(const struct numeric *n, char *p)
{
    char *end = p + 1 + n->scale;
    int i;

    *p++ = '.';
    for (i = n->weight + 1; p < end; i++)
        p = digits_four(p, numeric_digit(n, i));
    return end;
}

static int put_numeric(struct render_work *w, const struct render_type *t, struct render_value v,
                       struct out *o)
{
    const char *name;
    struct numeric n = {0};
    int rc = open_numeric(w, v, &n, &name);
    char *p;

    (void)t;
    if (rc > 0)
        out_put(o, name, strlen(name));
    if (rc != 0)
        return rc < 0 ? rc : 0;
    p = out_place(o, (n.weight > 0 ? 4 * (size_t)n.weight : 0) + (size_t)n.scale + DIGITS_MAX);
    *p = '-';
    p = put_whole(&n, p + n.negative);
    if (n.scale)
        p = put_fraction(&n, p);
    o->n = (size_t)(p - o->p);
    return 0;
}

static int length_numeric(struct render_work *w, const struct render_type *t, struct render_value v,
                          size_t *n)
{
    const char *name;
    struct numeric number = {0};
    int rc = open_numeric(w, v, &number, &name);

    (void)t;
    if (rc < 0)
        return rc;
    *n = rc ? strlen(name) : numeric_length(&number);
    return 0;
}

static const struct render_ops bool_ops = {.put = put_bool, .length = length_bool, .bare = true};
static const struct render_ops int2_ops = {.put = put_int2, .length = length_int2, .bare = true};
static const struct render_ops int4_ops = {
    .put = put_int4, .length = length_int4, .bare = true, .integer = true};
static const struct render_ops int8_ops = {
    .put = put_int8, .length = length_int8, .bare = true, .integer = true};
static const struct render_ops oid_ops = {.put = put_oid, .length = length_oid, .bare = true};
static const struct render_ops xid8_ops = {.put = put_xid8, .length = length_xid8, .bare = true};
static const struct render_ops float4_ops = {
    .put = put_float4, .length = length_float4, .bare = true};
static const struct render_ops float8_ops = {
    .put = put_float8, .length = length_float8, .bare = true};
const struct render_ops render_numeric_ops = {
    .put = put_numeric, .length = length_numeric, .bare = true};

const struct render_builtin render_numbers[] = {
    {16, 1, 'c', ',', false, &bool_ops},              /* bool */
    {20, 8, 'd', ',', false, &int8_ops},              /* int8 */
    {21, 2, 's', ',', false, &int2_ops},              /* int2 */
    {23, 4, 'i', ',', false, &int4_ops},              /* int4 */
    {26, 4, 'i', ',', false, &oid_ops},               /* oid */
    {28, 4, 'i', ',', false, &oid_ops},               /* xid */
    {29, 4, 'i', ',', false, &oid_ops},               /* cid */
    {700, 4, 'i', ',', false, &float4_ops},           /* float4 */
    {701, 8, 'd', ',', false, &float8_ops},           /* float8 */
    {1700, -1, 'i', ',', false, &render_numeric_ops}, /* numeric */
    {5069, 8, 'd', ',', false, &xid8_ops},            /* xid8 */
    {0},
};
