/*
 * Types whose values are numbers that have labels: enums (pg_enum.oid), and the reg* types, OIDs of what the
 * catalog names. An enum's number without a label is damage; of a reg* type it is printed (regproc.c:
 * "return it numerically"). What 0 is printed as is a label, too.
 */
#include <errno.h>
#include <string.h>

#include "render/bytes.h"
#include "render/digits.h"
#include "render/work.h"

static const char *find_label(const struct render_type *t, uint32_t oid)
{
    size_t from = 0, to = t->nlabels;

    while (from < to) {
        size_t middle = from + (to - from) / 2;

        if (t->labels[middle].oid == oid)
            return t->labels[middle].text;
        if (t->labels[middle].oid < oid)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

/* ---- enums ---- */

/* NULL, and the fault is told: it has none. */
static const char *label_of(struct render_work *w, const struct render_type *t,
                            struct render_value v)
{
    const char *label = v.len == 4 ? find_label(t, bytes_u32(v.p)) : NULL;

    if (!label)
        render_fail(w, "a value of an enum that is none of its labels");
    return label;
}

static int put_enum(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct out *o)
{
    const char *label = label_of(w, t, v);

    if (!label)
        return -EIO;
    out_put(o, label, strlen(label));
    return 0;
}

static int enum_length(struct render_work *w, const struct render_type *t, struct render_value v,
                       size_t *n)
{
    const char *label = label_of(w, t, v);

    if (!label)
        return -EIO;
    *n = strlen(label);
    return 0;
}

const struct render_ops render_enum_ops = {.put = put_enum, .length = enum_length};

/* ---- reg* ---- */

static int put_reg(struct render_work *w, const struct render_type *t, struct render_value v,
                   struct out *o)
{
    const char *label;

    if (v.len != 4)
        return render_fail(w, "an oid is not 4 bytes");
    label = find_label(t, bytes_u32(v.p));
    if (label)
        out_put(o, label, strlen(label));
    else
        o->n = (size_t)(digits_unsigned(out_place(o, DIGITS_MAX), bytes_u32(v.p)) - o->p);
    return 0;
}

static int reg_length(struct render_work *w, const struct render_type *t, struct render_value v,
                      size_t *n)
{
    const char *label;

    if (v.len != 4)
        return render_fail(w, "an oid is not 4 bytes");
    label = find_label(t, bytes_u32(v.p));
    *n = label ? strlen(label) : digits_count(bytes_u32(v.p));
    return 0;
}

static const struct render_ops reg_ops = {.put = put_reg, .length = reg_length};

const struct render_builtin render_regs[] = {
    {24, 4, 'i', ',', false, &reg_ops},   /* regproc */
    {2202, 4, 'i', ',', false, &reg_ops}, /* regprocedure */
    {2203, 4, 'i', ',', false, &reg_ops}, /* regoper */
    {2204, 4, 'i', ',', false, &reg_ops}, /* regoperator */
    {2205, 4, 'i', ',', false, &reg_ops}, /* regclass */
    {2206, 4, 'i', ',', false, &reg_ops}, /* regtype */
    {3734, 4, 'i', ',', false, &reg_ops}, /* regconfig */
    {3769, 4, 'i', ',', false, &reg_ops}, /* regdictionary */
    {4089, 4, 'i', ',', false, &reg_ops}, /* regnamespace */
    {4096, 4, 'i', ',', false, &reg_ops}, /* regrole */
    {4191, 4, 'i', ',', false, &reg_ops}, /* regcollation */
    {0},
};
