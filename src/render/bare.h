/* Texts that are a field of CSV as they are: field.h, for those who cannot afford a call. */
#ifndef ASOFS_RENDER_BARE_H
#define ASOFS_RENDER_BARE_H

#include "render/chunk.h"
#include "render/field.h"

/* Quotes that no byte of it asks for. */
static inline bool render_field_is_odd(struct render_style s, const char *text, size_t n)
{
    return n == 0 || (s.alone && n == 2 && memcmp(text, "\\.", 2) == 0);
}

/* Is the text itself the field? Of CSV. */
static inline bool render_field_is_bare(struct render_style s, const char *text, size_t n)
{
    chunk marks;
    size_t i;

    if (n < CHUNK)
        return !chunk_has_marks(csv_marks_in(chunk_part(text, n))) &&
               !render_field_is_odd(s, text, n);
    marks = csv_marks_in(chunk_whole(text + n - CHUNK));
    for (i = 0; i + CHUNK < n; i += CHUNK)
        marks = chunk_or(marks, csv_marks_in(chunk_whole(text + i)));
    return !chunk_has_marks(marks);
}

/* The same, while it is copied to `to`, where CHUNK bytes more may be written. */
static inline bool render_field_copy(struct render_style s, const char *text, size_t n, char *to)
{
    chunk c = n < CHUNK ? chunk_part(text, n) : chunk_whole(text + n - CHUNK);
    chunk marks = csv_marks_in(c);
    size_t i;

    if (n < CHUNK) {
        chunk_store(to, c);
        return !chunk_has_marks(marks) && !render_field_is_odd(s, text, n);
    }
    chunk_store(to + n - CHUNK, c);
    for (i = 0; i + CHUNK < n; i += CHUNK) {
        c = chunk_whole(text + i);
        marks = chunk_or(marks, csv_marks_in(c));
        chunk_store(to + i, c);
    }
    return !chunk_has_marks(marks);
}

#endif
