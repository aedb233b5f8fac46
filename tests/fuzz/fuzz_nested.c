/*
 * Any bytes are a value of an array, row, range, multirange or enum that is written, or a fault, and its length
 * says the same. The first byte chooses the type, of those in rendervalues_known.c.
 */
#include "fuzz.h"
#include "rendervalues.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct render_types *types; /* once: there are many inputs */
    const struct render_type *t;
    uint32_t oid;

    if (size == 0)
        return 0;
    if (!types)
        types = render_types_new(nested_rows, nested_nrows);
    t = render_types_find(types, nested_rows[data[0] % nested_nrows].oid, &oid);
    if (!t)
        abort();
    free(rendered_text(t, (const char *)data + 1, size - 1, NULL));
    return 0;
}
