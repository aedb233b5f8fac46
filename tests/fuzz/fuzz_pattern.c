/* psql patterns, and file names: any text is a pattern or an error; escaping is reversible. */
#include <stdlib.h>
#include <string.h>

#include "common/escape.h"
#include "fuzz.h"
#include "pg/pattern.h"
#include "unescape.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1), *escaped, *back;
    struct pg_pattern p;
    struct err err = {0};

    memcpy(text, data, size);
    text[size] = '\0';
    if (pg_pattern_parse(text, &p, &err) == 0)
        pg_pattern_free(&p);
    escaped = escape_name(text);
    back = unescape(escaped);
    if (!back || strcmp(back, text) != 0 || strchr(escaped, '/') || !*escaped)
        abort();
    free(back);
    free(escaped);
    free(text);
    return 0;
}
