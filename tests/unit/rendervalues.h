/* Values of types as a server had them in its heap, and what is rendered of them. */
#ifndef ASOFS_TESTS_RENDERVALUES_H
#define ASOFS_TESTS_RENDERVALUES_H

#include "render/work.h"

struct known_value {
    uint32_t type;
    const char *hex; /* what is behind the header */
    const char *text;
};

extern const struct render_type_row nested_rows[];
extern const size_t nested_nrows;
extern const struct known_value nested_values[], jsonb_values[];
extern const size_t nested_nvalues, jsonb_nvalues;

/* Bytes of exactly their size, so that a sanitizer sees a read beyond them; free(). */
char *bytes_of_hex(const char *hex, size_t *n);

/* The text, ended with a zero, or NULL and the fault; free(). Fails the program if the length alone is another
 * one, or work is left in use. */
char *rendered_text(const struct render_type *t, const char *p, size_t n, const char **fault);

#endif
