/*
 * Strings and numbers as JSON has them, in values of jsonb and jsonpath. Only for the files that write
 * those.
 */
#ifndef ASOFS_RENDER_JSON_H
#define ASOFS_RENDER_JSON_H

#include <stddef.h>

#include "render/nested.h"

/* In quotes, escaped as escape_json does. `left`: bytes from p on that may be read, n or more. 0, or
 * -EIO: the text would be longer than NESTED_LONGEST. */
int json_put_string(struct render_work *w, const char *p, size_t n, size_t left,
                    struct nested_text *text);

/* A varlena of type numeric that stands in the n bytes at p, never compressed. 0 or -EIO. */
int json_put_number(struct render_work *w, const char *p, size_t n, struct nested_text *text);

#endif
