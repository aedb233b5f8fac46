#include "common/lsn.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

/* At most 8 digits; returns what follows them, or NULL when there is none. */
static const char *parse_half(const char *p, uint32_t *value)
{
    int digits = 0;

    for (*value = 0; isxdigit((unsigned char)*p); p++) {
        if (++digits > 8)
            return NULL;
        *value =
            *value << 4 | (uint32_t)(isdigit((unsigned char)*p) ? *p - '0' : (*p | 32) - 'a' + 10);
    }
    return digits ? p : NULL;
}

int lsn_parse(const char *text, uint64_t *lsn)
{
    uint32_t high, low;

    text = parse_half(text, &high);
    if (!text || *text != '/')
        return -EINVAL;
    text = parse_half(text + 1, &low);
    if (!text || *text)
        return -EINVAL;
    *lsn = (uint64_t)high << 32 | low;
    return 0;
}

const char *lsn_text(uint64_t lsn, char out[LSN_TEXT_MAX])
{
    snprintf(out, LSN_TEXT_MAX, "%X/%X", (unsigned)(lsn >> 32), (unsigned)lsn);
    return out;
}
