/* Reading CSV: any bytes; what was written reads back the same. */
#include <stdlib.h>
#include <string.h>

#include "common/csv.h"
#include "fuzz.h"

#define MAX_FIELDS 16

static void check_round_trip(char **fields, int n)
{
    char *again[MAX_FIELDS];
    struct buf b = {0};
    const char *p;
    int i, m;

    for (i = 0; i < n; i++) {
        if (i)
            buf_putc(&b, ',');
        csv_put_field(&b, fields[i]);
    }
    buf_putc(&b, '\n');
    p = b.data;
    m = csv_read_record(&p, b.data + b.len, again, MAX_FIELDS);
    if (m != n)
        abort();
    for (i = 0; i < m; i++) {
        if (strcmp(fields[i], again[i]) != 0)
            abort();
        free(again[i]);
    }
    buf_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *p = (const char *)data, *end = p + size;
    char *fields[MAX_FIELDS];
    int n;

    while ((n = csv_read_record(&p, end, fields, MAX_FIELDS)) > 0) {
        check_round_trip(fields, n);
        while (n > 0)
            free(fields[--n]);
    }
    return 0;
}
