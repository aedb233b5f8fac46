/* The copy-table list: any bytes are a list or an error with words. */
#include <stdlib.h>
#include <string.h>

#include "extract/filter.h"
#include "extract/tablelist.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1); /* the parser's contract: a NUL after the text */
    struct tablelist l = {0};
    struct err err = {0};
    size_t i;

    memcpy(text, data, size);
    text[size] = '\0';
    if (tablelist_parse(&l, text, size, "fuzz", &err) < 0 && (!err.code || !*err.text))
        abort();
    for (i = 0; i < l.n; i++)
        if (l.entries[i].filter && filter_check(l.entries[i].filter, &err) < 0)
            abort(); /* a filter that was let through must stay good */
    tablelist_free(&l);
    free(text);
    return 0;
}
