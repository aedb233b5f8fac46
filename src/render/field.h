/*
 * A field of a line, as COPY TO writes it (copyto.c, in copy.c until 13: CopyAttributeOutCSV and
 * CopyAttributeOutText; the same in 14 to 18), with the default delimiter, quote, and null.
 *
 * CSV: quoted when it is empty (null is empty, without quotes), when it has a comma, a quote, a line
 * feed or a carriage return in it, and when it is \. alone on its line. Quotes in it are doubled.
 * Text: backslash, and \b \f \n \r \t \v, are escaped; null is \N.
 */
#ifndef ASOFS_RENDER_FIELD_H
#define ASOFS_RENDER_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "render/out.h"

enum render_format { RENDER_CSV, RENDER_TEXT };

/* How the fields of a file are written. */
struct render_style {
    enum render_format format;
    bool alone; /* a line has one field only */
};

static inline char render_field_delimiter(enum render_format f)
{
    return f == RENDER_CSV ? ',' : '\t';
}

/* Append a field with this text. */
void render_field_put(struct render_style s, const char *text, size_t n, struct out *o);

/* The same for a text that has been appended already: what stands in *o from `at` on. `aside` is empty, and may
 * be written. */
void render_field_close(struct render_style s, struct out *o, size_t at, struct out *aside);

/*
 * The same where a field ends that was begun with render_field_open: its text stands in *o, behind one byte for a
 * quote where the format has them. For long texts: nothing is copied where none of their bytes is doubled.
 */
size_t render_field_open(struct render_style s, struct out *o); /* where it begins */
void render_field_end(struct render_style s, struct out *o, size_t at, struct out *aside);

/* Kinds of bytes, by byte, and what a text takes that has some of those kinds, none of which is doubled. */
#define RENDER_BYTE_QUOTED 1u
#define RENDER_BYTE_DOUBLED 2u
const uint8_t *render_field_kinds(enum render_format f);
size_t render_field_length_of_kinds(struct render_style s, size_t n, unsigned kinds);

/* What these would append, in bytes. */
size_t render_field_length(struct render_style s, const char *text, size_t n);

#define RENDER_FIELD_NULL "\\N" /* of the text format */

static inline size_t render_field_null_length(enum render_format f)
{
    return f == RENDER_TEXT ? strlen(RENDER_FIELD_NULL) : 0;
}

#endif
