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
