/*
 * Rows (values of composite types), as record_out writes them.
 *
 * PostgreSQL (access/htup_details.h; the same in 14 to 18), behind the varlena's header of four bytes, which
 * counts in all offsets: typmod, type, 6 bytes, t_infomask2 (low 11 bits: attributes), t_infomask (1: has a
 * bitmap), t_hoff, bitmap (1: not NULL); at t_hoff the attributes that are not NULL. Attributes that were added to the type
 * later are not there, and NULL.
 */
#include "render/bytes.h"
#include "render/nested.h"

#define HEADER 23 /* up to the bitmap */

struct row {
    size_t attributes;
    const char *bitmap; /* NULL: none of them is NULL */
    struct nested_parts parts;
};

static int open_row(struct render_work *w, const struct render_type *t, struct render_value v,
                    struct row *r)
{
    size_t offset, header = HEADER;

    if (v.len < HEADER - 4)
        return render_fail(w, "a row inside a value has no header");
    if (bytes_u32(v.p + 4) != t->base)
        return render_fail(w, "a row inside a value is of another type");
    *r = (struct row){.attributes = bytes_u16(v.p + 14) & 0x7ff};
    if (bytes_u16(v.p + 16) & 1) {
        r->bitmap = v.p + HEADER - 4;
        header += (r->attributes + 7) / 8;
    }
    offset = (unsigned char)v.p[18];
    if (offset < header || offset > v.len + 4)
        return render_fail(w, "a row inside a value begins at an impossible place");
    r->parts = (struct nested_parts){.p = v.p + offset - 4, .len = v.len + 4 - offset};
    return 0;
}

static bool is_null(const struct row *r, size_t i)
{
    if (i >= r->attributes)
        return true;
    return r->bitmap && !((unsigned char)r->bitmap[i / 8] >> i % 8 & 1);
}

static int put_field(struct render_work *w, const struct render_field *f, struct row *r,
                     struct nested_text *text)
{
    size_t mark = w->used;
    struct render_value v;
    int rc;

    if (!f->type)
        return nested_skip(w, &r->parts, f->len, f->align, true);
    rc = nested_take(w, &r->parts, f->len, f->align, true, &v);
    if (rc == 0)
        rc = nested_put(w, f->type, v, NESTED_ROW, 0, text);
    w->used = mark;
    return rc;
}

static int write_row(struct render_work *w, const struct render_type *t, struct render_value v,
                     struct nested_text *text)
{
    bool first = true;
    struct row r;
    size_t i;
    int rc = open_row(w, t, v, &r);

    nested_write(text, "(", 1);
    for (i = 0; rc == 0 && i < t->nfields; i++) {
        if (t->fields[i].type && !first)
            nested_write(text, ",", 1);
        if (t->fields[i].type)
            first = false;
        if (!is_null(&r, i))
            rc = put_field(w, &t->fields[i], &r, text);
    }
    nested_write(text, ")", 1);
    return rc;
}

static int put_row(struct render_work *w, const struct render_type *t, struct render_value v,
                   struct out *o)
{
    struct nested_text text = {.o = o};

    return write_row(w, t, v, &text);
}

static int row_length(struct render_work *w, const struct render_type *t, struct render_value v,
                      size_t *n)
{
    struct nested_text text = {.o = NULL};
    int rc = write_row(w, t, v, &text);

    *n = text.n;
    return rc;
}

const struct render_ops render_row_ops = {.put = put_row, .length = row_length};
