#include "common/printable.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* The bytes of the character at p, and which it is; 0: that is no UTF-8. */
static int decode(const unsigned char *p, uint32_t *c)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    int n = *p < 0x80 ? 1 : *p < 0xc0 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3 : *p < 0xf8 ? 4 : 0, i;

    if (n <= 1) {
        *c = *p;
        return n;
    }
    *c = *p & (0x7fu >> n);
    for (i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
        *c = *c << 6 | (p[i] & 0x3fu);
    }
    return *c < smallest[n] || *c > 0x10ffff || (*c >= 0xd800 && *c < 0xe000) ? 0 : n;
}

static bool is_shown(uint32_t c)
{
    if (c == '\t' || c == '\n')
        return true;
    return c >= 0x20 && !(c >= 0x7f && c < 0xa0) &&
           !(c >= 0x2028 && c <= 0x202e) && /* line and paragraph separators, directions */
           !(c >= 0x2066 && c <= 0x2069) && /* isolated directions */
           c != 0x200e && c != 0x200f && c != 0x061c;
}

static void put_character(struct buf *b, const unsigned char *p, int n, uint32_t c,
                          const char *indent)
{
    int i;

    if (n && is_shown(c)) {
        buf_put(b, p, (size_t)n);
        if (c == '\n' && p[1] && p[1] != ' ' && p[1] != '\n')
            buf_puts(b, indent);
        return;
    }
    for (i = 0; i < (n ? n : 1); i++)
        buf_printf(b, "\\x%02x", p[i]);
}

void printable_put(struct buf *b, const char *text, const char *indent)
{
    const unsigned char *p = (const unsigned char *)text;
    uint32_t c;
    int n;

    buf_puts(b, "");
    for (; *p; p += n ? n : 1) {
        n = decode(p, &c);
        put_character(b, p, n, c, indent);
    }
}

int printable_out(const char *fmt, ...)
{
    struct buf b = {0};
    char *text = NULL;
    va_list ap;
    int rc;

    va_start(ap, fmt);
    rc = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (rc < 0)
        return rc;
    printable_put(&b, text, "");
    free(text);
    rc = fputs(b.data, stdout);
    buf_free(&b);
    return rc;
}
