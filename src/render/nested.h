/*
 * Values that stand in other values: how the parts of an array, a row or a range are found among its
 * bytes, and how their texts are quoted. Only for the files that write those.
 *
 * PostgreSQL (access/tupmacs.h; the same in 14 to 18): each part stands at the next multiple of its
 * type's alignment, counted from where the parts begin; in rows and ranges a varlena with a header of one byte
 * is not aligned. Padding is zeros.
 */
#ifndef ASOFS_RENDER_NESTED_H
#define ASOFS_RENDER_NESTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "render/work.h"

/* PostgreSQL makes no text of 1 GiB (MaxAllocSize in utils/memutils.h, less the zero at the end). */
#define NESTED_LONGEST ((size_t)0x3ffffffe)

/* Parts, one after the other. */
struct nested_parts {
    const char *p;
    size_t len, at; /* at: behind the last one that was taken */
};

/*
 * The next part, of a type of this length and alignment. `packed`: as in rows and ranges. The value may be in
 * a buffer of w. A pointer to TOAST is a fault: PostgreSQL puts none into a value. 0 or -EIO.
 */
int nested_take(struct render_work *w, struct nested_parts *s, int16_t len, char align, bool packed,
                struct render_value *v);

/* As nested_take, but only past it. */
int nested_skip(struct render_work *w, struct nested_parts *s, int16_t len, char align,
                bool packed);

/* A text that is being written. */
struct nested_text {
    struct out *o;      /* NULL: only the length is wanted */
    size_t n;           /* so far */
    size_t quotes;      /* in strings of json.h, and of nested_put_text */
    size_t backslashes; /* in what json.h measured */
    bool doubled;       /* each of these quotes is written twice, as in CSV; n and quotes count one */
};

static inline void nested_write(struct nested_text *text, const char *p, size_t n)
{
    if (text->o)
        out_put(text->o, p, n);
    text->n += n;
}

/* -EIO: longer than NESTED_LONGEST. */
static inline int nested_check(struct render_work *w, const struct nested_text *text)
{
    return text->n > NESTED_LONGEST ? render_fail(w, "a text of more than 1 GiB") : 0;
}

/* Who quotes: each has its own reasons to, and its own escapes. */
enum nested_quoting { NESTED_ARRAY = 1, NESTED_ROW = 2, NESTED_RANGE = 4 };

/*
 * Write the value, quoted if the one that holds it has to. `delimiter`: of an array; elsewhere 0. Takes
 * care of RENDER_NESTING, and of NESTED_LONGEST. 0 or -EIO.
 */
int nested_put(struct render_work *w, const struct render_type *t, struct render_value v,
               enum nested_quoting quoting, char delimiter, struct nested_text *text);

/* Whether no text of the type is ever quoted: numbers, bool and uuid. They hold no other values. */
bool nested_is_plain(const struct render_type *t);

/* nested_put of a value of such a type. */
int nested_put_plain(struct render_work *w, const struct render_type *t, struct render_value v,
                     struct nested_text *text);

/* nested_put of a value of a type that is verbatim (type.h), in an array. */
int nested_put_text(struct render_work *w, struct render_value v, char delimiter,
                    struct nested_text *text);

#endif
