#include "common/csv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void csv_put_field(struct buf *b, const char *text)
{
    if (!text)
        return;
    if (!text[strcspn(text, ",\"\r\n")]) {
        buf_puts(b, text);
        return;
    }
    buf_putc(b, '"');
    for (; *text; text++) {
        if (*text == '"')
            buf_putc(b, '"');
        buf_putc(b, *text);
    }
    buf_putc(b, '"');
}

/* A quoted field; *p stands on the opening quote. NULL when it is not closed. */
static char *read_quoted(const char **p, const char *end)
{
    struct buf b = {0};

    for ((*p)++; *p < end; (*p)++) {
        if (**p == '"' && *p + 1 < end && (*p)[1] == '"')
            (*p)++;
        else if (**p == '"')
            break;
        buf_putc(&b, **p);
    }
    if (*p == end) {
        buf_free(&b);
        return NULL;
    }
    (*p)++;
    return buf_steal(&b);
}

static char *read_plain(const char **p, const char *end)
{
    struct buf b = {0};

    for (; *p < end && !strchr(",\r\n", **p); (*p)++)
        buf_putc(&b, **p);
    return buf_steal(&b);
}

static int give_up(char **fields, int n)
{
    while (n > 0)
        free(fields[--n]);
    return -EINVAL;
}

int csv_read_record(const char **text, const char *end, char **fields, int max)
{
    const char *p = *text;
    int n = 0;

    if (p >= end)
        return 0;
    for (;;) {
        if (n == max)
            return give_up(fields, n);
        fields[n] = p < end && *p == '"' ? read_quoted(&p, end) : read_plain(&p, end);
        if (!fields[n])
            return give_up(fields, n);
        n++;
        if (p < end && *p == ',') {
            p++;
            continue;
        }
        break;
    }
    if (p < end && *p == '\r')
        p++;
    if (p < end && *p != '\n')
        return give_up(fields, n);
    *text = p < end ? p + 1 : p;
    return n;
}
