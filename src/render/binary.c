/* bytea (hex), bit, varbit, uuid, pg_lsn, tid, int2vector, oidvector, pg_snapshot. */
#include <stdint.h>

#include "render/bytes.h"
#include "render/digits.h"
#include "render/work.h"

#define INT2 21 /* pg_type.oid */
#define OID 26

static char *put_bytes(char *p, const char *bytes, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        p = digits_byte(p, (unsigned char)bytes[i]);
    return p;
}

static int put_bytea(struct render_work *w, const struct render_type *t, struct render_value v,
                     struct out *o)
{
    char *p = out_place(o, 2 + 2 * v.len);

    (void)w;
    (void)t;
    *p++ = '\\';
    *p++ = 'x';
    o->n = (size_t)(put_bytes(p, v.p, v.len) - o->p);
    return 0;
}

static int length_bytea(struct render_work *w, const struct render_type *t, struct render_value v,
                        size_t *n)
{
    (void)w;
    (void)t;
    *n = 2 + 2 * v.len;
    return 0;
}

/* VarBit (varbit.h): bits that there are, 32 bits, then these, the first is the highest of a
 * byte. */
static int length_bits(struct render_work *w, const struct render_type *t, struct render_value v,
                       size_t *n)
{
    (void)t;
    *n = v.len >= 4 ? bytes_u32(v.p) : 0;
    if (v.len < 4 || *n > INT32_MAX || (*n + 7) / 8 != v.len - 4)
        return render_fail(w, "a bit string has another length than it says");
    return 0;
}

static int put_bits(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct out *o)
{
    size_t n, i;
    char *p;
    int rc;

    rc = length_bits(w, t, v, &n);
    if (rc < 0)
        return rc;
    p = out_place(o, n);
    for (i = 0; i < n; i++)
        p[i] = (char)('0' + ((unsigned char)v.p[4 + i / 8] >> (7 - i % 8) & 1));
    o->n += n;
    return 0;
}

static int length_uuid(struct render_work *w, const struct render_type *t, struct render_value v,
                       size_t *n)
{
    (void)t;
    *n = 36;
    return v.len == 16 ? 0 : render_fail(w, "a uuid is not 16 bytes");
}

static int put_uuid(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct out *o)
{
    static const unsigned char parts[] = {4, 2, 2, 2, 6};
    const char *s = v.p;
    size_t i;
    char *p;

    (void)t;
    if (v.len != 16)
        return length_uuid(w, t, v, &i); /* tells the fault */
    p = out_place(o, 37);
    for (i = 0; i < sizeof(parts); s += parts[i++]) {
        p = put_bytes(p, s, parts[i]);
        *p++ = '-';
    }
    o->n += 36;
    return 0;
}

static char *put_upper_hex(char *p, uint32_t v)
{
    static const char digits[] = "0123456789ABCDEF";
    int shift = v ? (31 - __builtin_clz(v)) / 4 * 4 : 0;

    for (; shift >= 0; shift -= 4)
        *p++ = digits[v >> shift & 15];
    return p;
}

static int put_lsn(struct render_work *w, const struct render_type *t, struct render_value v,
                   struct out *o)
{
    char *p;

    (void)t;
    if (v.len != 8)
        return render_fail(w, "a pg_lsn is not 8 bytes");
    p = put_upper_hex(out_place(o, 17), bytes_u32(v.p + 4));
    *p++ = '/';
    o->n = (size_t)(put_upper_hex(p, bytes_u32(v.p)) - o->p);
    return 0;
}

/* ItemPointerData (itemptr.h): the block's upper half and lower half, the item; 16 bits each. */
static int put_tid(struct render_work *w, const struct render_type *t, struct render_value v,
                   struct out *o)
{
    char *p;

    (void)t;
    if (v.len != 6)
        return render_fail(w, "a tid is not 6 bytes");
    p = out_place(o, 2 * DIGITS_MAX + 3);
    *p++ = '(';
    p = digits_unsigned(p, (uint32_t)bytes_u16(v.p) << 16 | bytes_u16(v.p + 2));
    *p++ = ',';
    p = digits_unsigned(p, bytes_u16(v.p + 4));
    *p++ = ')';
    o->n = (size_t)(p - o->p);
    return 0;
}

/* int2vector, oidvector (c.h): what arrays begin with, 32 bits each: one dimension, no NULLs
 * (0), type of the elements, their number, index of the first; then the elements. Spaces are
 * between them. */
static int put_vector(struct render_work *w, const struct render_type *t, struct render_value v,
                      struct out *o)
{
    size_t n = v.len >= 20 ? bytes_u32(v.p + 12) : 0, size, i;
    uint32_t element = v.len >= 20 ? bytes_u32(v.p + 8) : 0;
    char *p;

    (void)t;
    size = element == INT2 ? 2 : 4;
    if ((element != INT2 && element != OID) || bytes_u32(v.p) != 1 || bytes_u32(v.p + 4) != 0 ||
        v.len != 20 + n * size)
        return render_fail(w, "a vector has another form than it says");
    p = out_place(o, (n + 1) * DIGITS_MAX);
    for (i = 0; i < n; i++) {
        if (i)
            *p++ = ' ';
        p = size == 2 ? digits_signed(p, (int16_t)bytes_u16(v.p + 20 + 2 * i))
                      : digits_unsigned(p, bytes_u32(v.p + 20 + 4 * i));
    }
    o->n = (size_t)(p - o->p);
    return 0;
}

/* xid8funcs.c, pg_snapshot: 32 bits, how many transactions are in progress; then 64 bits each: xmin, xmax,
 * these. */
static int put_snapshot(struct render_work *w, const struct render_type *t, struct render_value v,
                        struct out *o)
{
    size_t n = v.len >= 20 ? bytes_u32(v.p) : 0, i;
    char *p;

    (void)t;
    if (v.len < 20 || v.len - 20 != 8 * n)
        return render_fail(w, "a snapshot has another length than it says");
    p = out_place(o, (n + 2) * (DIGITS_MAX + 1));
    p = digits_unsigned(p, bytes_u64(v.p + 4));
    *p++ = ':';
    p = digits_unsigned(p, bytes_u64(v.p + 12));
    *p++ = ':';
    for (i = 0; i < n; i++) {
        if (i)
            *p++ = ',';
        p = digits_unsigned(p, bytes_u64(v.p + 20 + 8 * i));
    }
    o->n = (size_t)(p - o->p);
    return 0;
}

static const struct render_ops bytea_ops = {.put = put_bytea, .length = length_bytea};
static const struct render_ops bits_ops = {.put = put_bits, .length = length_bits};
static const struct render_ops uuid_ops = {.put = put_uuid, .length = length_uuid, .bare = true};
static const struct render_ops lsn_ops = {.put = put_lsn, .bare = true};
static const struct render_ops tid_ops = {.put = put_tid};
static const struct render_ops vector_ops = {.put = put_vector};
static const struct render_ops snapshot_ops = {.put = put_snapshot};

const struct render_builtin render_binaries[] = {
    {17, -1, 'i', ',', false, &bytea_ops},      /* bytea */
    {22, -1, 'i', ',', false, &vector_ops},     /* int2vector */
    {27, 6, 's', ',', false, &tid_ops},         /* tid */
    {30, -1, 'i', ',', false, &vector_ops},     /* oidvector */
    {1560, -1, 'i', ',', false, &bits_ops},     /* bit */
    {1562, -1, 'i', ',', false, &bits_ops},     /* varbit */
    {2950, 16, 'c', ',', false, &uuid_ops},     /* uuid */
    {2970, -1, 'd', ',', false, &snapshot_ops}, /* txid_snapshot */
    {3220, 8, 'd', ',', false, &lsn_ops},       /* pg_lsn */
    {5038, -1, 'd', ',', false, &snapshot_ops}, /* pg_snapshot */
    {0},
};
