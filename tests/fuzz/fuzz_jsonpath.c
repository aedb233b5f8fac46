/* Any bytes are a jsonpath that is written, or a fault, and its length says the same. */
#include "fuzz.h"
#include "rendervalues.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct render_type t = {.oid = 4072, .len = -1, .ops = &render_jsonpath_ops};

    free(rendered_text(&t, (const char *)data, size, NULL));
    return 0;
}
