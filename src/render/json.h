/*
 * Strings and numbers as JSON has them, in values of jsonb and jsonpath. Only for the files that write
 * those.
 */
#ifndef ASOFS_RENDER_JSON_H
#define ASOFS_RENDER_JSON_H

#include <stddef.h>

#include "render/chunk.h"
#include "render/nested.h"

/* ---- strings of less than CHUNK bytes, at p, of `left` bytes that may be read ---- */

/* Bytes behind it may be anything. */
static inline chunk json_short(const char *p, size_t n, size_t left)
{
    return left >= CHUNK ? chunk_whole(p) : chunk_part(p, n);
}

/* What is escaped in it: 0: nothing. */
static inline unsigned json_short_specials(chunk c, size_t n)
{
    return json_specials_in(c) & ((1u << n) - 1);
}

/* A string of n bytes, which are no specials, stands at `to`, the end of *text, behind the place for its quote: it
 * gets its quotes. */
static inline void json_close_string(char *to, size_t n, struct nested_text *text)
{
    size_t quotes = text->doubled ? 2 : 1;

    memset(to, '"', quotes);
    memset(to + quotes + n, '"', quotes);
    text->o->n += n + 2 * quotes;
    text->quotes += 2;
    text->n += n + 2;
}

/* ---- any ---- */

/* In quotes, escaped as escape_json does. `left`: bytes from p on that may be read, n or more. 0, or
 * -EIO: the text would be longer than NESTED_LONGEST. */
int json_put_string(struct render_work *w, const char *p, size_t n, size_t left,
                    struct nested_text *text);

/* A varlena of type numeric that stands in the n bytes at p, never compressed. 0 or -EIO. */
int json_put_number(struct render_work *w, const char *p, size_t n, struct nested_text *text);

#endif
