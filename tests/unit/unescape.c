#include "unescape.h"

#include <string.h>

#include "common/buf.h"
#include "common/mem.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

char *unescape(const char *escaped)
{
    struct buf out = {0};
    const char *p;
    int hi, lo;

    if (strcmp(escaped, "%") == 0)
        return mem_strdup("");
    for (p = escaped; *p; p++) {
        if (*p != '%') {
            buf_putc(&out, *p);
            continue;
        }
        hi = hex_digit(p[1]);
        lo = hi < 0 ? -1 : hex_digit(p[2]);
        if (lo < 0 || hi * 16 + lo == 0) {
            buf_free(&out);
            return NULL;
        }
        buf_putc(&out, (char)(hi * 16 + lo));
        p += 2;
    }
    return buf_steal(&out);
}
