/* Values of types of PostgreSQL itself, as bytes in hexadecimal, and what they are rendered to. */
#ifndef ASOFS_TESTS_RENDERING_H
#define ASOFS_TESTS_RENDERING_H

#include "render/work.h"

struct rendering_case {
    uint32_t oid;
    const char *hex, *text; /* text NULL: it is a fault */
};

/*
 * Each of n cases is rendered as said and measured as long as it is; whatever a prefix of it is, or
 * what it is with one byte changed, both have the same fault or length. settings NULL: UTC.
 */
void rendering_check(const struct render_builtin *list, const struct render_settings *settings,
                     const struct rendering_case *cases, size_t n);

/* The text of one value, or NULL with the fault; freed by the caller. Fails the test if it is not
 * measured as long as it is. */
char *rendering_text(const struct render_builtin *list, const struct render_settings *settings,
                     uint32_t oid, const void *bytes, size_t len);

#endif
