#include "common/escape.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"

static bool is_reserved(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, ".asofs") == 0;
}

static bool must_escape(unsigned char c)
{
    return c == '%' || c == '/' || c < 0x20 || c == 0x7f;
}

char *escape_name(const char *name)
{
    struct buf out = {0};
    bool reserved = is_reserved(name);
    const unsigned char *p;

    if (!*name)
        return mem_strdup("%");
    for (p = (const unsigned char *)name; *p; p++) {
        if (must_escape(*p) || (reserved && *p == '.'))
            buf_printf(&out, "%%%02X", *p);
        else
            buf_putc(&out, (char)*p);
    }
    return buf_steal(&out);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static char *unescape(const char *escaped)
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

char *escape_undo(const char *escaped)
{
    char *name = unescape(escaped);
    char *again;

    if (!name)
        return NULL;
    again = escape_name(name); /* only the canonical form is a name */
    if (strcmp(again, escaped) != 0) {
        free(name);
        name = NULL;
    }
    free(again);
    return name;
}
